/* What this file tests: what is read from a presence vector, what is out of bounds, and when a peer
 * is forgotten. */

#include "node/claim.h"
#include "wire/message.h"

#include <string.h>

#include "unit/test.h"

#define NOW UINT64_C(1800000000)
#define DAY UINT64_C(86400)

static int setup(void **state)
{
    (void)state;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return 0;
}

/* A claim read from {"key": "k", "vector": {...}}, the pairs written as they are. */
static uint64_t claim_of(struct claim *claim, const uint64_t (*pairs)[2], uint8_t count)
{
    uint8_t frame[600] = { 0x82, 0xa3, 'k', 'e', 'y', 0xa1, 'k', 0xa6, 'v',
                           'e',  'c',  't', 'o', 'r', 0xde, 0,   count };
    size_t size = 17;
    struct message message;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < 2; j++) {
            frame[size++] = 0xcf;
            for (unsigned k = 0; k < 8; k++) {
                frame[size++] = (uint8_t)(pairs[i][j] >> (56 - 8 * k));
            }
        }
    }
    assert_int_equal(message_decode((struct bytes){ frame, size }, &message), WIRE_OK);
    return claim_read(claim, message.plain.elements);
}

static void test_claim_reads_elements_with_a_meaning_and_counts_the_rest(void **state)
{
    static const uint64_t pairs[][2] = {
        { 2, 40 },  { 0, 7 },  { 2, 44 }, { 2, 8 }, { 24, 1 },
        { 256, 1 }, { 23, 9 }, { 1, 0 },  { 0, 5 }, { UINT64_MAX, 3 },
    };
    struct claim claim;

    (void)state;
    assert_int_equal(claim_of(&claim, pairs, sizeof pairs / sizeof pairs[0]), 3);
    assert_int_equal(claim.stamp, 7);
    assert_int_equal(claim.values[PRESENCE_STAMP], 0);
    assert_int_equal(claim.values[PRESENCE_LEVEL], 0);
    assert_int_equal(claim.values[PRESENCE_STATE], 44);
    assert_int_equal(claim.values[23], 9);
}

static void test_claim_of_a_stamp_alone_says_nothing_to_merge(void **state)
{
    static const uint64_t pairs[][2] = { { 0, 7 } };
    struct claim claim;

    (void)state;
    assert_int_equal(claim_of(&claim, pairs, 1), 0);
    assert_false(claim_any(&claim));
    claim.values[PRESENCE_HTTP] = 1;
    assert_true(claim_any(&claim));
}

static void test_claim_judges_each_element_by_its_own_bound(void **state)
{
    const struct claim_bounds bounds = { .now_s = NOW };
    struct claim claim = { .stamp = 0 };

    (void)state;
    claim.values[PRESENCE_HTTP] = (NOW + 2 * DAY + 1) << 16 | 1;
    claim.values[PRESENCE_STATE] = claim_state(NOW + 2 * DAY, WORD_LEFT);
    claim.values[PRESENCE_SINCE] = NOW + DAY;
    claim.values[PRESENCE_CONFIRM] = NOW + 2 * DAY + 1;
    claim.values[7] = 1;
    assert_int_equal(claim_judge(&claim, &bounds), 3);
    assert_int_equal(claim.values[PRESENCE_HTTP], 0);
    assert_int_equal(claim.values[PRESENCE_STATE], claim_state(NOW + 2 * DAY, WORD_LEFT));
    assert_int_equal(claim.values[PRESENCE_SINCE], NOW + DAY);
    assert_int_equal(claim.values[PRESENCE_CONFIRM], 0);
    assert_int_equal(claim.values[7], 0);
    claim.values[PRESENCE_STATE] = claim_state(NOW + 2 * DAY, WORD_DEAD);
    assert_int_equal(claim_judge(&claim, &bounds), 2); /* and since when */
}

/* A state without its level would be that of a plain peer, and nothing ends a time alone. */
static void test_claim_loses_with_an_element_what_means_nothing_without_it(void **state)
{
    static const struct {
        uint64_t level;
        uint64_t level_stored;
        enum presence_word word;
        uint64_t refused;
    } cases[] = {
        { (NOW + 9 * DAY) << 16 | 1, 0, WORD_ALIVE, 2 },
        { (NOW + 9 * DAY) << 16 | 1, 0, WORD_DEAD, 3 },
        { (NOW + 9 * DAY) << 16 | 1, NOW << 16 | 1, WORD_DEAD, 1 },
        { NOW << 16 | 1, 0, WORD_DEAD, 0 },
        { 0, 0, WORD_DEAD, 0 }, /* a plain peer */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mem mem = { 0 };
        struct vector vector;
        const struct claim_bounds bounds = { .now_s = NOW, .stored = &vector };
        struct claim stored = { .stamp = 0 };
        struct claim claim = { .stamp = 0 };
        struct claim_block room;
        struct block block;

        vector_init(&vector);
        stored.values[PRESENCE_LEVEL] = cases[i].level_stored;
        if (claim_any(&stored)) {
            block = claim_block(&stored, &room);
            assert_int_equal(vector_merge(&vector, &mem, &block, 0, NULL), STATUS_OK);
        }
        claim.values[PRESENCE_LEVEL] = cases[i].level;
        claim.values[PRESENCE_STATE] = claim_state(NOW, cases[i].word);
        claim.values[PRESENCE_SINCE] = cases[i].word == WORD_DEAD ? NOW : 0;
        assert_int_equal(claim_judge(&claim, &bounds), cases[i].refused);
        assert_int_equal(claim.values[PRESENCE_STATE],
                         cases[i].refused > 1 ? 0 : claim_state(NOW, cases[i].word));
        vector_clear(&vector, &mem);
    }
}

/* What is stored of somebody dead: now begins at its end what lay beyond all clocks. */
static void test_claim_keeps_the_end_of_who_died_far_ahead(void **state)
{
    static const uint64_t far_s = NOW + 9 * DAY;
    static const struct {
        uint64_t start_s;
        uint64_t state;
        uint64_t since_s;
        uint64_t start_kept_s;
        uint64_t state_kept;
    } cases[] = {
        { far_s, far_s << 2 | WORD_DEAD, NOW - 5, NOW - 5, (NOW - 5) << 2 | WORD_DEAD },
        { far_s, far_s << 2 | WORD_LEFT, NOW - 5, NOW - 5, (NOW - 5) << 2 | WORD_LEFT },
        { far_s, NOW << 2 | WORD_DEAD, NOW - 5, NOW - 5, NOW << 2 | WORD_DEAD },
        { NOW - 9, far_s << 2 | WORD_DEAD, NOW - 5, NOW - 9, (NOW - 5) << 2 | WORD_DEAD },
        { 0, far_s << 2 | WORD_DEAD, NOW - 5, 0, (NOW - 5) << 2 | WORD_DEAD }, /* plain */
        { far_s, far_s << 2 | WORD_ALIVE, NOW - 5, 0, 0 },
        { far_s, far_s << 2 | WORD_SUSPECT, NOW - 5, 0, 0 },
        { far_s, far_s << 2 | WORD_DEAD, far_s, 0, 0 }, /* who declared it was wrong, too */
        { far_s, far_s << 2 | WORD_DEAD, 0, 0, 0 },
    };
    const struct claim_bounds bounds = { .now_s = NOW, .by = CLAIM_WIDE };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mem mem = { 0 };
        struct vector vector;
        struct claim claim = { .stamp = 0 };
        struct claim_block room;
        struct block block;
        bool keeps;

        keeps = cases[i].state_kept != 0;
        claim.values[PRESENCE_LEVEL] = cases[i].start_s == 0 ? 0 : cases[i].start_s << 16 | 1;
        claim.values[PRESENCE_STATE] = cases[i].state;
        claim.values[PRESENCE_SINCE] = cases[i].since_s;
        vector_init(&vector);
        block = claim_block(&claim, &room);
        assert_int_equal(vector_merge(&vector, &mem, &block, 0, NULL), STATUS_OK);
        claim_of_stored(&claim, &vector);
        assert_true(claim_judge(&claim, &bounds) > 0);
        claim_keep_end(&claim, &bounds, &vector);
        assert_int_equal(claim.values[PRESENCE_LEVEL] >> 16, cases[i].start_kept_s);
        assert_int_equal(claim.values[PRESENCE_STATE], cases[i].state_kept);
        assert_int_equal(claim.values[PRESENCE_SINCE], keeps ? cases[i].since_s : 0);
        assert_int_equal(claim_judge(&claim, &bounds), 0); /* others take it as it is */
        vector_clear(&vector, &mem);
    }
}

static void test_claim_bounds_follow_who_says_it(void **state)
{
    static const uint64_t year_2160_s = UINT64_C(6000000000) + 2 * DAY;
    static const uint64_t most_s = UINT64_C(1) << 47;
    static const struct {
        enum claim_by by;
        unsigned element;
        uint64_t value;
        bool taken;
    } cases[] = {
        { CLAIM_RELAYED, PRESENCE_LEVEL, NOW << 16, false }, /* level 0 */
        { CLAIM_OF_OWNER, PRESENCE_LEVEL, NOW << 16 | 0x300, false },
        { CLAIM_OF_OWNER, PRESENCE_LEVEL, most_s << 16 | 1, true },
        { CLAIM_OF_OWNER, PRESENCE_LEVEL, (most_s + 1) << 16 | 1, false },
        { CLAIM_OF_OWNER, PRESENCE_STATE, most_s << 2 | WORD_ALIVE, true },
        { CLAIM_OF_OWNER, PRESENCE_STATE, (most_s + 1) << 2 | WORD_ALIVE, false },
        { CLAIM_OF_OWNER, PRESENCE_STATE, UINT64_MAX, false },
        { CLAIM_OF_OWNER, PRESENCE_SINCE, NOW + DAY + 1, false },
        { CLAIM_TO_OWNER, PRESENCE_STATE, year_2160_s << 2 | WORD_LEFT, true },
        { CLAIM_TO_OWNER, PRESENCE_STATE, year_2160_s << 2 | WORD_SUSPECT, true },
        { CLAIM_TO_OWNER, PRESENCE_STATE, (year_2160_s + 1) << 2 | WORD_LEFT, false },
        { CLAIM_TO_OWNER, PRESENCE_LEVEL, year_2160_s << 16 | 1, true },
        { CLAIM_TO_OWNER, PRESENCE_INSTANCE, (year_2160_s + 1) << 16, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct claim_bounds bounds = { .now_s = NOW, .by = cases[i].by };
        struct claim claim = { .stamp = 0 };

        claim.values[cases[i].element] = cases[i].value;
        assert_int_equal(claim_judge(&claim, &bounds), cases[i].taken ? 0 : 1);
        assert_int_equal(claim.values[cases[i].element], cases[i].taken ? cases[i].value : 0);
    }
}

static void test_claim_is_forgotten_a_day_after_death(void **state)
{
    static const struct {
        enum presence_word word;
        uint64_t since_s;
        bool forgotten;
    } cases[] = {
        { WORD_DEAD, NOW - DAY - 1, true },
        { WORD_LEFT, NOW - DAY - 1, true },
        { WORD_DEAD, NOW - DAY, false },
        { WORD_ALIVE, NOW - DAY - 1, false },
        { WORD_DEAD, 0, false },
        { WORD_SUSPECT, NOW - DAY - 1, false },
        { WORD_DEAD, NOW + 5, false },
        { WORD_LEFT, 1, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct claim claim = { .stamp = 0 };

        claim.values[PRESENCE_STATE] = claim_state(9, cases[i].word);
        claim.values[PRESENCE_SINCE] = cases[i].since_s;
        assert_int_equal(claim_forgotten(&claim, NULL, NOW), cases[i].forgotten);
    }
}

static void test_claim_is_forgotten_by_what_is_stored_too(void **state)
{
    struct claim claim = { .stamp = 0 };
    struct claim stored = { .stamp = 0 };
    struct mem mem = { 0 };
    struct claim_block room;
    struct vector vector;
    struct block block;

    (void)state;
    stored.values[PRESENCE_STATE] = claim_state(9, WORD_DEAD);
    stored.values[PRESENCE_SINCE] = NOW - 2 * DAY;
    block = claim_block(&stored, &room);
    assert_int_equal(block.count, 2);
    vector_init(&vector);
    assert_int_equal(vector_merge(&vector, &mem, &block, 0, NULL), STATUS_OK);
    claim.values[PRESENCE_STATE] = claim_state(9, WORD_SUSPECT);
    assert_true(claim_forgotten(&claim, &vector, NOW));
    claim.values[PRESENCE_STATE] = claim_state(10, WORD_ALIVE);
    assert_false(claim_forgotten(&claim, &vector, NOW));
    vector_clear(&vector, &mem);
    assert_int_equal(mem.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_claim_reads_elements_with_a_meaning_and_counts_the_rest),
        TEST(test_claim_of_a_stamp_alone_says_nothing_to_merge),
        TEST(test_claim_judges_each_element_by_its_own_bound),
        TEST(test_claim_loses_with_an_element_what_means_nothing_without_it),
        TEST(test_claim_keeps_the_end_of_who_died_far_ahead),
        TEST(test_claim_bounds_follow_who_says_it),
        TEST(test_claim_is_forgotten_a_day_after_death),
        TEST(test_claim_is_forgotten_by_what_is_stored_too),
    };

    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
