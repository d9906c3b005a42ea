/* What this file tests: comparing and joining two blocks, in every pair of forms and widths. */

#include "base/random.h"
#include "store/digest.h"
#include "store/merge.h"
#include "store/vector.h"

#include <string.h>

#include "unit/test.h"

#define SALT UINT64_C(0x0123456789abcdef)

/* A block, what it views, and the same values by offset. */
struct sample {
    struct block block;
    uint64_t memory[BLOCK_ELEMENTS];
    uint8_t offsets[BLOCK_ELEMENTS];
    uint64_t plain[BLOCK_ELEMENTS];
};

enum form { EMPTY, SPARSE, DENSE };

static const struct {
    enum form form;
    uint8_t width;
} forms[] = {
    { EMPTY, 0 }, { SPARSE, 1 }, { SPARSE, 2 }, { SPARSE, 4 }, { SPARSE, 8 },
    { DENSE, 0 }, { DENSE, 1 },  { DENSE, 2 },  { DENSE, 4 },  { DENSE, 8 },
};

#define FORMS (sizeof forms / sizeof forms[0])

static void sample_make(struct sample *sample, struct random *random, enum form form, uint8_t width,
                        unsigned density)
{
    const uint64_t most = width == 0 ? 1 : UINT64_MAX >> (64 - 8 * width);

    memset(sample, 0, sizeof *sample);
    sample->block = (struct block){ .number = 77, .values = sample->memory, .width = width };
    if (form == EMPTY) {
        return;
    }
    for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
        const bool chosen = random_below(random, 256) < density;
        uint64_t value =
            1 + random_next(random) % (random_below(random, 2) == 0 && most > 9 ? 9 : most);

        if (most > 9 && random_below(random, 8) == 0) {
            value = most;
        }
        if (form == SPARSE && (chosen || (o == 255 && sample->block.count == 0))) {
            sample->offsets[sample->block.count] = (uint8_t)o;
            value = random_below(random, 16) == 0 ? 0 : value;
            merge_store(sample->memory, width, sample->block.count++, value);
            sample->plain[o] = value;
        }
        if (form == DENSE && chosen) {
            merge_store(sample->memory, width, o, value);
            sample->plain[o] = value;
        }
    }
    if (form == SPARSE) {
        sample->block.offsets = sample->offsets;
    } else {
        sample->block.count = BLOCK_ELEMENTS;
    }
}

static bool same_dense_width(const struct sample *ours, const struct sample *theirs)
{
    return ours->block.count > 0 && ours->block.offsets == NULL && theirs->block.offsets == NULL
           && ours->block.width == theirs->block.width && ours->block.width > 0;
}

/* What merge_bytes() does to two blocks dense in bytes is what the other functions say. */
static void check_bytes(const struct sample *ours, const struct sample *theirs,
                        const struct merge_plan *plan, uint64_t delta)
{
    uint8_t values[BLOCK_ELEMENTS];
    uint8_t joined[BLOCK_ELEMENTS];
    struct merge_result result;

    memcpy(values, ours->memory, sizeof values);
    memcpy(joined, ours->memory, sizeof joined);
    merge_max(joined, theirs->memory, 1);
    assert_int_equal(merge_bytes(values, &theirs->block, SALT, &result), plan->fresh_count);
    assert_memory_equal(values, joined, sizeof values);
    assert_memory_equal(&result.raised, &plan->raised, sizeof result.raised);
    assert_memory_equal(&result.larger, &plan->larger, sizeof result.larger);
    assert_true(result.digest_delta == delta);
}

static void check_pair(const struct sample *ours, const struct sample *theirs)
{
    struct mark raised = { .number = 77 };
    struct mark larger = { .number = 77 };
    struct merge_plan plan;
    struct block_room room;
    struct block joined;
    uint64_t bits = 0;
    uint64_t delta = 0;
    uint64_t sum = 0;
    unsigned fresh = 0;
    unsigned position = 0;

    for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
        const uint64_t one = ours->plain[o];
        const uint64_t other = theirs->plain[o];

        if (other > one) {
            mark_set(&raised, o);
            bits |= other;
            fresh += one == 0;
            delta += digest_element(SALT, 77 << 8 | o, other);
            delta -= one == 0 ? 0 : digest_element(SALT, 77 << 8 | o, one);
        } else if (other > 0 && other < one) {
            mark_set(&larger, o);
        }
        sum += other == 0 ? 0 : digest_element(SALT, 77 << 8 | o, other);
    }
    merge_compare(&ours->block, &theirs->block, &plan);
    assert_memory_equal(&plan.raised, &raised, sizeof raised);
    assert_memory_equal(&plan.larger, &larger, sizeof larger);
    assert_int_equal(plan.fresh_count, fresh);
    assert_true(plan.raised_bits == (same_dense_width(ours, theirs) ? 0 : bits));
    assert_true(merge_digest_delta(&ours->block, &theirs->block, &raised, SALT) == delta);
    assert_true(merge_digest(&theirs->block, SALT) == sum);
    if (same_dense_width(ours, theirs) && ours->block.width == 1) {
        check_bytes(ours, theirs, &plan, delta);
    }

    joined = merge_union(&ours->block, &theirs->block, &room);
    for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
        const uint64_t most = ours->plain[o] > theirs->plain[o] ? ours->plain[o] : theirs->plain[o];

        if (most > 0) {
            assert_true(position < joined.count);
            assert_int_equal(joined.offsets[position], o);
            assert_true(block_value(&joined, position) == most);
            position++;
        }
    }
    assert_int_equal(joined.count, position);
}

static void test_merge_compare_and_union_are_the_naive_ones_in_every_form(void **state)
{
    static const unsigned densities[] = { 1, 8, 128, 255, 256 };
    static struct sample ours;
    static struct sample theirs;
    struct random random;

    (void)state;
    random_seed(&random, 1, 0);
    for (unsigned i = 0; i < FORMS; i++) {
        for (unsigned j = 1; j < FORMS; j++) { /* theirs is never empty */
            for (unsigned k = 0; k < 25; k++) {
                sample_make(&ours, &random, forms[i].form, forms[i].width, densities[k % 5]);
                sample_make(&theirs, &random, forms[j].form, forms[j].width, densities[k / 5]);
                check_pair(&ours, &theirs);
                check_pair(&theirs, &theirs);
            }
        }
    }
}

/* One value differs, by one, at each place and at both ends of what a byte holds: a comparison that
 * is signed, or that forgets a lane, fails here. */
static void test_merge_compare_of_dense_bytes_sees_every_place(void **state)
{
    static const uint8_t pairs[][2] = {
        { 0, 1 }, { 127, 128 }, { 254, 255 }, { 0, 255 }, { 1, 2 }
    };
    uint8_t low[BLOCK_ELEMENTS];
    uint8_t high[BLOCK_ELEMENTS];
    const struct block below = { .values = low, .count = BLOCK_ELEMENTS, .width = 1 };
    const struct block above = { .values = high, .count = BLOCK_ELEMENTS, .width = 1 };
    struct merge_plan plan;

    (void)state;
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            memset(low, pairs[i][0], sizeof low);
            memset(high, pairs[i][0], sizeof high);
            high[o] = pairs[i][1];
            merge_compare(&below, &above, &plan);
            assert_int_equal(mark_count(&plan.raised), 1);
            assert_true(mark_has(&plan.raised, o));
            assert_true(mark_empty(&plan.larger));
            assert_int_equal(plan.fresh_count, pairs[i][0] == 0);
            merge_compare(&above, &below, &plan);
            assert_true(mark_empty(&plan.raised));
            assert_int_equal(mark_count(&plan.larger), pairs[i][0] != 0);
        }
    }
}

static void test_merge_max_and_count_are_the_naive_ones_in_every_width(void **state)
{
    static struct sample ours;
    static struct sample theirs;
    static uint64_t joined[BLOCK_ELEMENTS];
    struct random random;

    (void)state;
    random_seed(&random, 2, 0);
    for (unsigned k = 0; k < 200; k++) {
        const uint8_t width = (uint8_t)(1U << (k % 4));
        unsigned count = 0;

        sample_make(&ours, &random, DENSE, width, k < 100 ? 40 : 250);
        sample_make(&theirs, &random, DENSE, width, k % 8 < 4 ? 40 : 250);
        memcpy(joined, ours.memory, sizeof joined);
        merge_max(joined, theirs.memory, width);
        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            const uint64_t most = ours.plain[o] > theirs.plain[o] ? ours.plain[o] : theirs.plain[o];

            assert_true(merge_load(joined, width, o) == most);
            count += most != 0;
        }
        assert_int_equal(merge_dense_count(joined, width), count);
    }
}

/* Nothing before, behind or between is left out or touched, wherever the values lie. */
static void test_merge_max_stretch_joins_exactly_its_blocks(void **state)
{
    enum { BLOCKS = 5, MARGIN = 64, SIZE = BLOCKS * BLOCK_ELEMENTS + 2 * MARGIN };
    static uint8_t ours[SIZE];
    static uint8_t theirs[SIZE];
    static uint8_t before[SIZE];
    struct random random;

    (void)state;
    random_seed(&random, 3, 0);
    for (size_t count = 0; count <= BLOCKS; count++) {
        for (size_t from = MARGIN; from < MARGIN + 40; from += 8) {
            for (size_t i = 0; i < SIZE; i++) {
                ours[i] = (uint8_t)random_next(&random);
                theirs[i] = (uint8_t)random_next(&random);
            }
            memcpy(before, ours, SIZE);
            merge_max_stretch(ours + from, theirs + from - 8, count);
            for (size_t i = 0; i < SIZE; i++) {
                const bool is_inside = i >= from && i < from + count * BLOCK_ELEMENTS;

                assert_int_equal(ours[i], is_inside && theirs[i - 8] > before[i] ? theirs[i - 8]
                                                                                 : before[i]);
            }
        }
    }
}

static void test_merge_dense_count_of_nothing_and_of_all(void **state)
{
    uint64_t values[BLOCK_ELEMENTS] = { 0 };

    (void)state;
    for (unsigned width = 1; width <= 8; width *= 2) {
        memset(values, 0, sizeof values);
        assert_int_equal(merge_dense_count(values, width), 0);
        memset(values, 1, sizeof values);
        assert_int_equal(merge_dense_count(values, width), BLOCK_ELEMENTS);
    }
}

static void test_merge_seek_finds_the_first_not_below(void **state)
{
    const uint8_t offsets[] = { 0, 3, 4, 200, 255 };

    (void)state;
    assert_int_equal(merge_seek(offsets, 0, 5, 0), 0);
    assert_int_equal(merge_seek(offsets, 0, 5, 1), 1);
    assert_int_equal(merge_seek(offsets, 0, 5, 4), 2);
    assert_int_equal(merge_seek(offsets, 0, 5, 201), 4);
    assert_int_equal(merge_seek(offsets, 0, 5, 255), 4);
    assert_int_equal(merge_seek(offsets, 0, 4, 255), 4);
    assert_int_equal(merge_seek(offsets, 3, 5, 1), 3);
    assert_int_equal(merge_seek(offsets, 0, 0, 9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_compare_and_union_are_the_naive_ones_in_every_form),
        cmocka_unit_test(test_merge_compare_of_dense_bytes_sees_every_place),
        cmocka_unit_test(test_merge_max_and_count_are_the_naive_ones_in_every_width),
        cmocka_unit_test(test_merge_max_stretch_joins_exactly_its_blocks),
        cmocka_unit_test(test_merge_dense_count_of_nothing_and_of_all),
        cmocka_unit_test(test_merge_seek_finds_the_first_not_below),
    };

    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
