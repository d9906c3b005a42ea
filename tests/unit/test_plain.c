/* What this file tests: what a node does with plain messages, and what it says to plain peers. */

#include "node/claim.h"
#include "node/exchange.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/queue.h"
#include "node/search.h"

#include <stdio.h>

#include "unit/plain_world.h"
#include "unit/test.h"

#define A "10.0.0.2:7000"
#define B "10.0.0.3:7000"
#define C "10.0.0.4:7000"
#define D "10.0.0.5:7000"

static const char *const abc[] = { A, B, C };
static const char *const many[] = {
    "10.0.1.1:7000", "10.0.1.2:7000",  "10.0.1.3:7000",  "10.0.1.4:7000",
    "10.0.1.5:7000", "10.0.1.6:7000",  "10.0.1.7:7000",  "10.0.1.8:7000",
    "10.0.1.9:7000", "10.0.1.10:7000", "10.0.1.11:7000", "10.0.1.12:7000",
};

/* Receiving. */

static void test_plain_sends_larger_elements_back_and_passes_raised_ones_on(void **state)
{
    struct world *world = *state;
    const struct pair first[] = { { 0, 5 }, { 3, 7 } };
    const struct pair second[] = { { 0, 8 }, { 3, 2 }, { 5, 1 } };
    const struct said *said;

    world_meet(world, abc, 2, 0);
    hear(world, A, "foo", first, 2, 10, FRAME_FULL);
    world_run(world, SECOND);
    assert_null(said_find(world, A, "foo", 0));
    said = said_find(world, B, "foo", 0);
    assert_non_null(said);
    assert_int_equal(said_value(said, 0), 5);
    assert_int_equal(said_value(said, 3), 7);
    assert_int_equal(said->ttl, 3);
    assert_true(said->full);
    world->said_count = 0;
    hear(world, A, "foo", second, 3, 3, 0);
    world_run(world, SECOND);
    said = said_find(world, A, "foo", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 1);
    assert_int_equal(said_value(said, 3), 7);
    assert_int_equal(said->ttl, 2);
    assert_false(said->full);
    said = said_find(world, B, "foo", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 2);
    assert_int_equal(said_value(said, 0), 8);
    assert_int_equal(said_value(said, 5), 1);
    assert_int_equal(said_count_of(world, NULL, "foo"), 2);
}

static void test_plain_ttl_says_what_may_follow(void **state)
{
    struct world *world = *state;
    static const struct {
        uint8_t ttl;
        unsigned flags;
        int follows; /* ttl of what follows; 0: nothing */
    } cases[] = {
        { 0, 0, 0 }, { 1, 0, 0 },  { 2, 0, 1 },  { 3, 0, 2 },
        { 4, 0, 3 }, { 50, 0, 3 }, { 99, 0, 3 }, { 0, FRAME_NO_TTL, 3 },
    };

    world_meet(world, abc, 2, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pair pair = { 0, i + 1 };
        const struct said *said;

        world->said_count = 0;
        hear(world, A, "foo", &pair, 1, cases[i].ttl, cases[i].flags | FRAME_FULL);
        world_run(world, SECOND);
        assert_int_equal(stored(world, "foo", 0), i + 1);
        said = said_find(world, B, "foo", 0);
        assert_int_equal(said == NULL ? 0 : said->ttl, cases[i].follows);
    }
}

static void test_plain_equal_is_answered_by_silence(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, 5 };

    world_meet(world, abc, 2, 0);
    hear(world, A, "foo", &pair, 1, 10, FRAME_FULL);
    world_run(world, SECOND);
    world->said_count = 0;
    hear(world, B, "foo", &pair, 1, 10, FRAME_FULL);
    world_run(world, SECOND);
    assert_null(said_find(world, NULL, "foo", 0));
}

static void test_plain_full_asks_for_what_it_does_not_list(void **state)
{
    struct world *world = *state;
    const struct pair both[] = { { 0, 5 }, { 3, 7 } };
    const struct said *said;

    hear(world, A, "foo", both, 2, 10, FRAME_FULL);
    hear(world, B, "foo", both, 1, 10, FRAME_FULL);
    world_run(world, SECOND);
    said = said_find(world, B, "foo", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 1);
    assert_int_equal(said_value(said, 3), 7);
}

static void test_plain_an_empty_vector_gets_all(void **state)
{
    struct world *world = *state;
    static const unsigned forms[] = { 0, FRAME_NO_VECTOR, FRAME_FULL };
    const struct pair zero = { 0, 0 };
    const struct pair both[] = { { 0, 5 }, { 300, 7 } };

    hear(world, A, "foo", both, 2, 10, FRAME_FULL);
    world_run(world, SECOND);
    for (size_t i = 0; i <= sizeof forms / sizeof forms[0]; i++) {
        const struct said *said;

        world->said_count = 0;
        if (i < sizeof forms / sizeof forms[0]) {
            hear(world, B, "foo", NULL, 0, 3, forms[i]);
        } else {
            hear(world, B, "foo", &zero, 1, 3, 0); /* a value of 0 is no element */
        }
        world_run(world, SECOND);
        said = said_find(world, B, "foo", 0);
        assert_non_null(said);
        assert_int_equal(said->count, 2);
        assert_true(said->full);
        assert_int_equal(said->ttl, 2);
        assert_int_equal(said_count_of(world, NULL, "foo"), 1);
    }
    world->said_count = 0;
    hear(world, B, "unknown", NULL, 0, 3, 0);
    world_run(world, SECOND);
    assert_null(said_find(world, NULL, "unknown", 0));
    assert_null(table_find(world->table, bytes_of("unknown")));
}

static void test_plain_an_unseen_part_is_asked_for_at_three_peers(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, 5 };
    size_t questions = 0;

    world_meet(world, many, 8, 0);
    hear(world, many[0], "foo", &pair, 1, 10, 0);
    world_run(world, SECOND);
    for (size_t i = 0; i < world->said_count; i++) {
        const struct said *said = &world->said[i];

        if (strcmp(said->key, "foo") == 0 && said->count == 0) {
            questions++;
            assert_int_equal(said->ttl, 2);
            assert_false(said->full);
        }
    }
    assert_int_equal(questions, 3);
    world->said_count = 0;
    hear(world, many[0], "whole", &pair, 1, 10, FRAME_FULL);
    hear(world, many[0], "last hop", &pair, 1, 1, 0);
    world_run(world, SECOND);
    assert_true(world->said_count > 0);
    for (size_t i = 0; i < world->said_count; i++) {
        assert_int_not_equal(world->said[i].count, 0);
    }
}

static void test_plain_asks_five_such_questions_a_second_at_most(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, 5 };
    size_t questions = 0;
    char key[] = "key-00";

    world_meet(world, abc, 3, 0);
    for (unsigned i = 0; i < 40; i++) {
        key[4] = (char)('0' + i / 10);
        key[5] = (char)('0' + i % 10);
        hear(world, A, key, &pair, 1, 10, 0);
    }
    world_run(world, 30 * SECOND);
    for (size_t i = 0; i < world->said_count; i++) {
        questions += world->said[i].count == 0;
    }
    assert_int_equal(questions, 5 * 3);
}

static void test_plain_keys_that_are_patterns_are_not_stored(void **state)
{
    struct world *world = *state;
    static const char *const keys[] = { "%", "*", "foo%", "*foo", "a*b%c", "n:%" };
    const struct pair pair = { 0, 5 };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        hear(world, A, keys[i], &pair, 1, 10, FRAME_FULL);
        world_run(world, SECOND);
        assert_null(table_find(world->table, bytes_of(keys[i])));
    }
}

/* Sending. */

static void test_plain_spreads_to_all_of_eight_and_to_four_of_more(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, 5 };
    size_t reached = 0;

    world_meet(world, many, 8, 0);
    hear(world, many[0], "foo", &pair, 1, 10, FRAME_FULL);
    world_run(world, SECOND);
    assert_int_equal(said_count_of(world, NULL, "foo"), 7);
    world_meet(world, many, 12, 0);
    hear(world, many[0], "bar", &pair, 1, 10, FRAME_FULL);
    world_run(world, SECOND);
    for (size_t i = 1; i < 12; i++) {
        const size_t count = said_count_of(world, many[i], "bar");

        assert_true(count <= 1);
        reached += count;
    }
    assert_int_equal(reached, 4);
    assert_null(said_find(world, many[0], "bar", 0));
}

static void test_plain_a_clients_update_leaves_within_a_fifth_of_a_second(void **state)
{
    struct world *world = *state;
    const struct said *said;

    world_meet(world, abc, 3, 0);
    write_one(world, "foo", 9, 4);
    world_run(world, SECOND);
    for (size_t i = 0; i < 3; i++) {
        said = said_find(world, abc[i], "foo", 0);
        assert_non_null(said);
        assert_true(said->at_us <= world->now.mono_us - SECOND + SECOND / 5);
        assert_int_equal(said->ttl, 3);
        assert_true(said->full);
    }
}

static void test_plain_big_vectors_are_split_and_every_part_says_full(void **state)
{
    struct world *world = *state;
    const struct said *said;
    uint64_t sum = 0;
    size_t parts;

    for (uint64_t i = 0; i < 700; i++) {
        write_one(world, "hll", i * 3, i + 1);
    }
    hear(world, A, "hll", NULL, 0, 2, 0);
    world_run(world, 10 * SECOND);
    parts = said_count_of(world, A, "hll");
    assert_true(parts >= 5);
    for (size_t i = 0; i < parts; i++) {
        said = said_find(world, A, "hll", i);
        assert_true(said->full);
        for (size_t j = 0; j < said->count; j++) {
            assert_int_equal(said->pairs[j].index, (said->pairs[j].value - 1) * 3);
            sum += said->pairs[j].value;
        }
    }
    assert_int_equal(sum, 700 * 701 / 2);
}

static void test_plain_marks_of_a_key_wait_together(void **state)
{
    struct world *world = *state;
    size_t last = 0;

    world_meet(world, abc, 1, 0);
    for (unsigned i = 0; i < 20; i++) {
        write_one(world, "filler", i, 1);
        world_emit(world);
    }
    for (unsigned i = 0; i < 500; i++) {
        write_one(world, "foo", i % 40, i + 1);
    }
    world->said_count = 0;
    world_run(world, 10 * SECOND);
    assert_int_equal(said_count_of(world, A, "foo"), 1);
    last = said_find(world, A, "foo", 0)->count;
    assert_int_equal(last, 40);
}

static void test_plain_peers_with_ttl_get_eight_at_once_then_twenty_a_second(void **state)
{
    struct world *world = *state;
    char key[] = "key-00";
    uint64_t begin_us;

    world_meet(world, abc, 1, 0);
    begin_us = world->now.mono_us;
    for (unsigned i = 0; i < 60; i++) {
        key[4] = (char)('0' + i / 10);
        key[5] = (char)('0' + i % 10);
        write_one(world, key, 0, 1);
    }
    world_run(world, 10 * SECOND);
    assert_true(world->said_count >= 60);
    for (size_t i = 0; i < world->said_count; i++) {
        const uint64_t after_us = world->said[i].at_us - begin_us;

        assert_true(i < 8 ? after_us == 0 : after_us >= (i - 7) * 50000);
    }
    assert_true(said_find(world, A, "key-59", 0)->at_us - begin_us < 3 * SECOND);
}

/* The prototype that sends no ttl only speaks once it has heard nothing for 3 s. */
static void test_plain_peers_without_ttl_get_bursts_and_quiet(void **state)
{
    struct world *world = *state;
    char key[] = "key-000";
    uint64_t burst_us;
    size_t in_burst = 0;

    world_meet(world, abc, 1, FRAME_NO_TTL);
    burst_us = world->now.mono_us;
    for (unsigned i = 0; i < 600; i++) {
        key[4] = (char)('0' + i / 100);
        key[5] = (char)('0' + i / 10 % 10);
        key[6] = (char)('0' + i % 10);
        write_one(world, key, 0, 1);
        world_run(world, SECOND / 10);
    }
    assert_true(world->said_count > 64);
    for (size_t i = 1; i < world->said_count; i++) {
        const uint64_t gap_us = world->said[i].at_us - world->said[i - 1].at_us;

        in_burst = gap_us >= 3200000 ? 0 : in_burst + 1;
        burst_us = gap_us >= 3200000 ? world->said[i].at_us : burst_us;
        assert_true(gap_us < 400000 || gap_us >= 3200000);
        assert_true(in_burst < 64);
        assert_true(world->said[i].at_us - burst_us < 4 * SECOND);
        assert_true(in_burst < 8
                    || world->said[i].at_us - burst_us >= (in_burst - 7) * UINT64_C(50000));
    }
    world_run(world, 20 * SECOND);
    assert_int_equal(said_count_of(world, A, "key-599"), 1);
}

static void test_plain_bursts_begin_with_the_keys_of_fewest_elements(void **state)
{
    struct world *world = *state;
    const struct said *first;

    world_meet(world, abc, 1, FRAME_NO_TTL);
    for (unsigned i = 0; i < 30; i++) {
        write_one(world, "big", i, 1);
    }
    write_one(world, "small", 0, 1);
    world_run(world, SECOND);
    first = said_find(world, A, NULL, 0);
    assert_string_equal(first->key, "small");
    assert_non_null(said_find(world, A, "big", 0));
}

/* That one is looked for among those that wait, which is work like any. */
static void test_plain_counts_the_keys_it_looks_at_for_a_burst(void **state)
{
    enum { KEYS = 256, LEAST = KEYS / 8 };
    struct world *world = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct address to;
    uint64_t before;
    char key[] = "key-000";

    world_meet(world, abc, 1, FRAME_NO_TTL);
    for (unsigned i = 0; i < KEYS; i++) {
        key[4] = (char)('0' + i / 100);
        key[5] = (char)('0' + i / 10 % 10);
        key[6] = (char)('0' + i % 10);
        write_one(world, key, 0, 1);
    }
    before = node_work(world->node);
    assert_true(node_emit(world->node, world->now, (struct space){ buffer, sizeof buffer }, &to)
                > 0);
    assert_in_range(node_work(world->node) - before, LEAST, KEYS);
    node_turn_end(world->node);
}

/* Thousands wait for a word, and none of them has credit: finding that out ends with the turn's
 * budget. */
static void test_plain_refuses_as_much_as_a_turn_allows(void **state)
{
    enum { PEERS = 8000 };
    static const char *const keys[] = { "one", "two", "three" };
    struct world *world = *state;
    struct node *node = world->node;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    uint64_t before;

    for (unsigned j = 0; j < 3; j++) {
        write_one(world, keys[j], 0, 1);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        const struct address address = {
            .ip = { [10] = 0xff, [11] = 0xff, 192, 0, (uint8_t)(i >> 8), (uint8_t)i }, .port = 6001
        };
        struct peer *peer = peers_obtain(node->peers, &address, node_peer_id(node, &address));

        assert_non_null(peer);
        for (unsigned j = 0; j < 3; j++) {
            plain_queue_all(node, world->now, peer, table_find(world->table, bytes_of(keys[j])), 1);
        }
        plain_introduce(node, world->now, peer, true);
    }
    node_turn_end(node);
    before = node_work(node);
    while (node_emit(node, world->now, space, &to) > 0) {
    }
    assert_in_range(node_work(node) - before, NODE_TURN_WORK_MAX / 2,
                    NODE_TURN_WORK_MAX + NODE_EMIT_WORK_MIN);
    assert_int_equal(node_due_us(node), 0); /* the rest has its turn at once */
    node_turn_end(node);
}

/* Presence. */

/* A plain peer says what time it is, as prototypes do: by a stamp of somebody else. */
static void tell_stamp(struct world *world, const char *from, uint64_t minutes)
{
    const struct pair pair = { 0, minutes };

    hear(world, from, "n:10.0.0.1:6001", &pair, 1, 2, 0);
}

/* The last stamp of our own presence that it was told; 0: none. */
static uint64_t stamp_said(const struct world *world, const char *to)
{
    const struct address address = address_of(to);
    uint64_t stamp = 0;

    for (size_t i = 0; i < world->said_count; i++) {
        const struct said *said = &world->said[i];

        if (address_compare(&said->to, &address) == 0
            && strcmp(said->key, "n:10.0.0.1:6001") == 0) {
            stamp = said_value(said, 0);
        }
    }
    return stamp;
}

/* Two prototypes answer each other for ever where one is told a stamp ahead of its clock, and ours
 * may be ahead of it. */
static void test_plain_stamps_are_never_ahead_of_what_the_receiver_told(void **state)
{
    struct world *world = *state;
    const struct pair ahead = { 0, WORLD_MINUTES };

    world_meet(world, abc, 2, 0);
    world_run(world, 20 * SECOND);
    assert_int_equal(stamp_said(world, A), 10000000); /* so old that it tells its own */
    tell_stamp(world, A, WORLD_MINUTES - 2);
    tell_stamp(world, A, WORLD_MINUTES - 500); /* of somebody not heard for long */
    tell_stamp(world, B, WORLD_MINUTES + 2);
    hear(world, B, "n:" C, &ahead, 1, 49, 0);
    world_run(world, 20 * SECOND);
    assert_int_equal(stamp_said(world, A), WORLD_MINUTES - 2);
    assert_int_equal(stamp_said(world, B), world->now.unix_s / 60); /* nor of our own */
    hear(world, A, "n:%", NULL, 0, 9, 0);
    world_run(world, SECOND);
    assert_int_equal(said_value(said_find(world, A, "n:" B, 0), 0), WORLD_MINUTES - 2);
    world_run(world, 100 * SECOND); /* its clock goes on as ours does */
    assert_int_equal(stamp_said(world, A), world->now.unix_s / 60 - 2);
}

static void test_plain_presence_is_announced_in_minutes_to_four_an_interval(void **state)
{
    struct world *world = *state;
    size_t announced = 0;

    world_meet(world, many, 12, 0);
    for (size_t i = 0; i < 12; i++) {
        tell_stamp(world, many[i], WORLD_MINUTES);
    }
    world_run(world, 3 * SECOND);
    for (size_t i = 0; i < world->said_count; i++) {
        const struct said *said = &world->said[i];

        if (strcmp(said->key, "n:10.0.0.1:6001") == 0) {
            announced++;
            assert_int_equal(said->count, 1);
            assert_int_equal(said_value(said, 0), world->now.unix_s / 60);
        }
    }
    assert_int_equal(announced, 4);
    world_run(world, 6 * SECOND);
    for (size_t i = 0; i < 12; i++) {
        assert_non_null(said_find(world, many[i], "n:10.0.0.1:6001", 0));
    }
}

static void test_plain_presence_is_never_answered(void **state)
{
    struct world *world = *state;
    static const uint64_t stamps[] = {
        1,
        5,
        WORLD_MINUTES - 100,
        WORLD_MINUTES,
        WORLD_MINUTES + 100,
        WORLD_START_S,
        WORLD_START_S * 1000,
        WORLD_START_S * 1000000,
        UINT64_MAX,
    };

    world_meet(world, abc, 2, 0);
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        const struct pair pair = { 0, stamps[i] };

        hear(world, A, "n:" A, &pair, 1, 49, 0);
        hear(world, A, "n:" B, &pair, 1, 49, 0);
        hear(world, B, "n:" A, &pair, 1, 49, 0);
        hear(world, B, "n:10.0.0.1:6001", &pair, 1, 49, 0);
        world_run(world, SECOND / 10);
    }
    assert_int_equal(world->said_count, 0);
}

static void test_plain_stamps_never_enter_the_store(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, WORLD_START_S * 1000 };

    hear(world, A, "n:" A, &pair, 1, 49, FRAME_NO_TTL | FRAME_FULL);
    world_run(world, SECOND);
    assert_int_equal(stored(world, "n:" A, 0), 0);
    assert_true(stored(world, "n:" A, PRESENCE_STATE) != 0);
    assert_int_equal(node_stamp(world->node, bytes_of("n:" A)), WORLD_MINUTES);
}

/* Two prototypes answer each other for ever where a stamp is ahead of their clock. */
static void test_plain_stamps_ahead_of_the_clock_do_not_leave(void **state)
{
    struct world *world = *state;
    const struct pair pair = { 0, (WORLD_MINUTES + 1000) * 60000 };
    const struct said *said;

    world_meet(world, abc, 2, 0);
    tell_stamp(world, B, WORLD_MINUTES);
    hear(world, A, "n:" A, &pair, 1, 49, 0);
    assert_int_equal(node_stamp(world->node, bytes_of("n:" A)), world->now.unix_s / 60);
    world->now.unix_s -= 7200; /* somebody sets the clock */
    hear(world, B, "n:%", NULL, 0, 9, 0);
    world_run(world, SECOND);
    said = said_find(world, B, "n:" A, 0);
    assert_non_null(said);
    assert_int_equal(said_value(said, 0), world->now.unix_s / 60);
}

/* In the same network as the other kind each prototype stops for ever; and those who send no ttl
 * silence and stop each other. */
static void test_plain_presence_goes_among_those_who_send_a_ttl_alone(void **state)
{
    struct world *world = *state;

    hear(world, A, "greeting", NULL, 0, 9, 0);
    hear(world, B, "greeting", NULL, 0, 9, FRAME_NO_TTL);
    world_run(world, 10 * SECOND);
    hear(world, C, "greeting", NULL, 0, 9, 0);
    hear(world, D, "greeting", NULL, 0, 9, FRAME_NO_TTL);
    hear(world, C, "n:%", NULL, 0, 9, 0);
    hear(world, D, "n:%", NULL, 0, 9, FRAME_NO_TTL);
    world_run(world, 20 * SECOND);
    assert_non_null(said_find(world, C, "n:" A, 0));
    assert_null(said_find(world, C, "n:" B, 0));
    assert_null(said_find(world, C, "n:" D, 0));
    assert_null(said_find(world, A, "n:" B, 0));
    assert_null(said_find(world, A, "n:" D, 0));
    assert_null(said_find(world, D, "n:" B, 0));
    assert_null(said_find(world, D, "n:" A, 0));
    assert_null(said_find(world, B, "n:" D, 0));
    assert_null(said_find(world, B, "n:" A, 0));
    assert_null(said_find(world, B, "n:" C, 0));
}

static void test_plain_keys_that_stop_prototypes_do_not_leave(void **state)
{
    struct world *world = *state;
    static const char *const keys[] = {
        "n:",        "n:name:7000",      "n:10.0.0.9",      "n:10.0.0.9:0",
        "n:foo",     "n:010.0.0.9:7000", "n:224.0.0.1:700", "x\nn:bad",
        "tab\there", "del\x7f",          "n:0.0.0.0:7000",  "n:[2001:db8::1]:x",
    };

    world_meet(world, abc, 2, 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct pair pair = { 1, 5 };

        hear(world, A, keys[i], &pair, 1, 10, 0);
        hear(world, B, keys[i], NULL, 0, 10, 0);
        world_run(world, SECOND);
        assert_int_equal(stored(world, keys[i], 1), 5);
        assert_null(said_find(world, NULL, keys[i], 0));
    }
    hear(world, "[2001:db8::7]:7000", "n:[2001:db8::7]:7000", NULL, 0, 10, 0);
    hear(world, B, "n:%", NULL, 0, 10, 0);
    world_run(world, SECOND);
    assert_true(world->said_count > 0);
    for (size_t i = 0; i < world->said_count; i++) {
        assert_null(strchr(world->said[i].key, '['));
    }
}

static void test_plain_first_contact_says_all_of_us_and_asks_for_peers(void **state)
{
    struct world *world = *state;
    const struct address seed = address_of(A);
    const struct said *said;

    node_seeds(world->node, world->now, &seed, 1);
    world_run(world, SECOND / 2);
    said = said_find(world, A, NULL, 0);
    assert_non_null(said);
    assert_string_equal(said->key, "n:10.0.0.1:6001");
    assert_true(said->full);
    assert_int_equal(said_value(said, PRESENCE_STAMP), 10000000);
    assert_int_equal(said_value(said, PRESENCE_LEVEL), WORLD_START_S << 16 | 1);
    assert_int_equal(said_value(said, PRESENCE_STATE), WORLD_START_S << 2);
    assert_int_equal(said_value(said, PRESENCE_INSTANCE) >> 16, WORLD_START_S);
    assert_int_equal(said_value(said, PRESENCE_HTTP), WORLD_START_S << 16 | 8001);
    said = said_find(world, A, "n:%", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 0);
    assert_int_equal(said->ttl, 2);
}

static void test_plain_leaving_is_told(void **state)
{
    struct world *world = *state;
    const struct said *said;

    world_meet(world, abc, 1, 0);
    node_leave(world->node, world->now);
    world_run(world, SECOND);
    said = said_find(world, A, "n:10.0.0.1:6001", 0);
    assert_non_null(said);
    assert_int_equal(said_value(said, PRESENCE_STATE), WORLD_START_S << 2 | WORD_LEFT);
    assert_true(said_value(said, PRESENCE_SINCE) >= WORLD_START_S);
    assert_true(node_has_left(world->node));
}

/* Whatever allocation fails, the node stays whole and goes on. */
/* Its presence as it begins: what it asks it will be told by anti-entropy. */
static void presence_hear(struct world *world, const char *address, const char *key)
{
    const struct pair elements[] = {
        { PRESENCE_LEVEL, WORLD_START_S << 16 | 1 },
        { PRESENCE_STATE, WORLD_START_S << 2 },
        { PRESENCE_INSTANCE, WORLD_START_S << 16 | 7 },
    };

    hear(world, address, key, elements, 3, 2, FRAME_FULL);
}

static size_t plain_said_to(const struct world *world, const char *to)
{
    size_t count = 0;

    for (size_t i = 0; said_find(world, to, NULL, i) != NULL; i++) {
        count += said_find(world, to, NULL, i)->extended ? 0 : 1;
    }
    return count;
}

static void test_plain_a_node_of_our_kind_is_not_answered_in_plain_what_it_asks_first(void **state)
{
    struct world *world = *state;

    world_meet(world, many, 12, 0);
    presence_hear(world, A, "n:" A);
    hear(world, A, "n:%", NULL, 0, 2, FRAME_NO_VECTOR);
    world_run(world, 10 * SECOND);
    assert_int_equal(plain_said_to(world, A), 0);
    /* The question may overtake the presence: what has not left by then does not leave. */
    hear(world, B, "n:%", NULL, 0, 2, FRAME_NO_VECTOR);
    presence_hear(world, B, "n:" B);
    world_run(world, 10 * SECOND);
    assert_int_equal(plain_said_to(world, B), 0);
    hear(world, C, "n:%", NULL, 0, 2, FRAME_NO_VECTOR);
    world_run(world, 10 * SECOND);
    assert_true(plain_said_to(world, C) >= 12);
}

/* Neither kind of pattern: who has said level 1 gets all keys by anti-entropy. */
static void test_plain_a_node_of_our_kind_is_not_answered_any_pattern(void **state)
{
    static const char *const patterns[] = { "few%", "few*", "%" };
    struct world *world = *state;

    world_meet(world, many, 12, 0);
    write_one(world, "few1", 1, 1);
    write_one(world, "few2", 1, 2);
    node_turn_end(world->node);
    presence_hear(world, A, "n:" A);
    world_run(world, 10 * SECOND);
    world->said_count = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        hear(world, A, patterns[i], NULL, 0, 2, FRAME_NO_VECTOR);
        world_run(world, 2 * SECOND);
        assert_int_equal(plain_said_to(world, A), 0);
        hear(world, C, patterns[i], NULL, 0, 2, FRAME_NO_VECTOR);
        world_run(world, 2 * SECOND);
        assert_true(plain_said_to(world, C) > 0);
        world->said_count = 0;
    }
}

/* Two long questions, and a slice of each in its turn. */
static void test_plain_questions_are_looked_into_in_turn(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 4000; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key%u", i);
        write_one(world, key, 1, 1);
    }
    node_turn_end(world->node);
    for (unsigned i = 0; i < 6; i++) {
        hear(world, many[i], "key%zz", NULL, 0, 2, FRAME_NO_VECTOR);
    }
    for (unsigned tick = 0; tick < 6; tick++) {
        world->now.mono_us += 2000;
        node_tick(world->node, world->now);
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_true(search_due_us(peer_of(world, many[i])->plain) > world->now.mono_us - 6000);
    }
}

static void test_plain_survives_every_failing_allocation(void **state)
{
    struct world *world = *state;
    const struct pair pairs[] = { { 0, 5 }, { 300, 7 }, { 70000, 9 } };

    write_one(world, "foo", 9, 4);
    for (uint64_t n = 1; n < 120; n++) {
        char key[] = "key-000";
        char from[] = "10.0.2.100:7000";

        key[4] = (char)('0' + n / 100);
        key[5] = (char)('0' + n / 10 % 10);
        key[6] = (char)('0' + n % 10);
        from[7] = (char)('1' + n / 100);
        from[8] = (char)('0' + n / 10 % 10);
        from[9] = (char)('0' + n % 10);
        world->said_count = 0;
        world->mem.fail_countdown = n % 40 + 1;
        hear(world, from, key, pairs, 3, 10, 0);
        hear(world, from, "%", pairs, 3, 10, 0);
        hear(world, from, "foo", NULL, 0, 10, 0);
        hear(world, from, "k*", pairs, 1, 10, 0);
        world_run(world, SECOND / 10);
        world->mem.fail_countdown = 0;
        world_run(world, SECOND / 2);
        table_audit(world->table);
        for (uint32_t i = 0; i < peers_count(world->node->peers); i++) {
            const struct peer *peer = peers_at(world->node->peers, i);

            if (peer->plain != NULL) {
                queue_audit(peer->plain);
            }
        }
    }
}

/* However much waits for plain peers, every third datagram of bulk is anti-entropy's. */
static void test_plain_leaves_its_share_to_anti_entropy(void **state)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct world *world = *state;
    const uint64_t *sent = node_stats(world->node)->sent;
    struct exchange *exchange;
    struct address to;
    struct peer *joiner;
    uint64_t before;

    world_meet(world, abc, 3, 0);
    hear(world, D, "greeting", NULL, 0, 1, 0);
    for (unsigned i = 0; i < 8; i++) {
        const char key[] = { 'k', (char)('0' + i), 0 };

        write_one(world, key, 0, 1);
    }
    joiner = peer_of(world, D);
    joiner->level = 1;
    joiner->extended_us = world->now.mono_us;
    exchange = exchange_obtain(world->node, world->now, joiner);
    assert_non_null(exchange);
    exchange_order(world->node, exchange, (struct order){ .kind = ORDER_TREE });
    before = sent[NODE_KIND_PLAIN];
    while (sent[NODE_KIND_SYNC] == 0 && node_emit(world->node, world->now, space, &to) > 0) {
    }
    assert_int_equal(sent[NODE_KIND_SYNC], 1);
    assert_in_range(sent[NODE_KIND_PLAIN] - before, 0, 2);
    joiner->level = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain_sends_larger_elements_back_and_passes_raised_ones_on),
        TEST(test_plain_ttl_says_what_may_follow),
        TEST(test_plain_equal_is_answered_by_silence),
        TEST(test_plain_full_asks_for_what_it_does_not_list),
        TEST(test_plain_an_empty_vector_gets_all),
        TEST(test_plain_an_unseen_part_is_asked_for_at_three_peers),
        TEST(test_plain_asks_five_such_questions_a_second_at_most),
        TEST(test_plain_keys_that_are_patterns_are_not_stored),
        TEST(test_plain_spreads_to_all_of_eight_and_to_four_of_more),
        TEST(test_plain_a_clients_update_leaves_within_a_fifth_of_a_second),
        TEST(test_plain_big_vectors_are_split_and_every_part_says_full),
        TEST(test_plain_marks_of_a_key_wait_together),
        TEST(test_plain_peers_with_ttl_get_eight_at_once_then_twenty_a_second),
        TEST(test_plain_peers_without_ttl_get_bursts_and_quiet),
        TEST(test_plain_bursts_begin_with_the_keys_of_fewest_elements),
        TEST(test_plain_counts_the_keys_it_looks_at_for_a_burst),
        TEST(test_plain_refuses_as_much_as_a_turn_allows),
        TEST(test_plain_presence_is_announced_in_minutes_to_four_an_interval),
        TEST(test_plain_stamps_are_never_ahead_of_what_the_receiver_told),
        TEST(test_plain_presence_is_never_answered),
        TEST(test_plain_stamps_never_enter_the_store),
        TEST(test_plain_stamps_ahead_of_the_clock_do_not_leave),
        TEST(test_plain_presence_goes_among_those_who_send_a_ttl_alone),
        TEST(test_plain_keys_that_stop_prototypes_do_not_leave),
        TEST(test_plain_first_contact_says_all_of_us_and_asks_for_peers),
        TEST(test_plain_leaving_is_told),
        TEST(test_plain_a_node_of_our_kind_is_not_answered_in_plain_what_it_asks_first),
        TEST(test_plain_a_node_of_our_kind_is_not_answered_any_pattern),
        TEST(test_plain_questions_are_looked_into_in_turn),
        TEST(test_plain_survives_every_failing_allocation),
        TEST(test_plain_leaves_its_share_to_anti_entropy),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
