/* What this file tests: the layout of a run: forms, room, cuts. */

#include "base/random.h"
#include "store/run.h"

#include <string.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct vector_run *run;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.run = run_create(&fixture.mem, RUN_UNITS_MAX);
    *state = &fixture;
    return fixture.run == NULL;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    run_free(fixture->run, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

/* A dense source of `count` equal values at the first offsets. */
static void source_make(struct run_block *block, uint64_t values[BLOCK_ELEMENTS], uint64_t number,
                        unsigned count, uint64_t value)
{
    memset(values, 0, BLOCK_ELEMENTS * sizeof values[0]);
    for (unsigned i = 0; i < count; i++) {
        values[i] = value;
    }
    *block = run_block_measure(
        &(struct block){ .number = number, .values = values, .count = BLOCK_ELEMENTS, .width = 8 });
}

static void insert(struct vector_run *run, unsigned slot, uint64_t number, unsigned count,
                   uint64_t value)
{
    uint64_t values[BLOCK_ELEMENTS];
    uint64_t payload[BLOCK_ELEMENTS];
    struct run_block block;

    source_make(&block, values, number, count, value);
    run_pack(&block, payload);
    run_insert(run, slot, &block, payload);
}

static void test_run_block_units_is_the_smaller_form(void **state)
{
    static const struct {
        unsigned class;
        unsigned count;
        unsigned units;
    } rows[] = {
        { 0, 1, 1 },   { 0, 4, 1 },     { 0, 5, 2 },     { 0, 12, 3 },   { 0, 13, 4 },
        { 0, 256, 4 }, { 1, 1, 1 },     { 1, 124, 31 },  { 1, 125, 32 }, { 1, 256, 32 },
        { 2, 1, 1 },   { 2, 168, 63 },  { 2, 169, 64 },  { 3, 1, 1 },    { 3, 204, 128 },
        { 4, 1, 2 },   { 4, 226, 255 }, { 4, 256, 256 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(run_block_units(rows[i].class, rows[i].count), rows[i].units);
    }
}

static void test_run_block_units_rises_with_class_and_count(void **state)
{
    (void)state;
    for (unsigned class = 0; class < RUN_CLASSES; class ++) {
        for (unsigned count = 1; count < BLOCK_ELEMENTS; count++) {
            assert_true(run_block_units(class, count) <= run_block_units(class, count + 1));
            assert_true(class == 0
                        || run_block_units(class - 1, count) <= run_block_units(class, count));
        }
        assert_int_equal(run_block_units(class, 0), 0);
    }
}

static void test_run_class_is_by_the_bytes_needed(void **state)
{
    (void)state;
    assert_int_equal(run_class(0), 0);
    assert_int_equal(run_class(1), 0);
    assert_int_equal(run_class(2), 1);
    assert_int_equal(run_class(255), 1);
    assert_int_equal(run_class(256), 2);
    assert_int_equal(run_class(65535), 2);
    assert_int_equal(run_class(65536), 3);
    assert_int_equal(run_class(UINT32_MAX), 3);
    assert_int_equal(run_class(UINT64_C(1) << 32), 4);
    assert_int_equal(run_class(UINT64_MAX), 4);
}

static void test_run_units_rounded_never_passes_the_limit(void **state)
{
    size_t before = 0;

    (void)state;
    for (size_t units = 1; units <= RUN_UNITS_MAX; units++) {
        const size_t rounded = run_units_rounded(units);

        assert_true(rounded >= units);
        assert_true(rounded <= RUN_UNITS_MAX);
        assert_true(rounded >= before);
        assert_int_equal(rounded % 2, 1); /* malloc's sizes end in a half */
        before = rounded;
    }
}

static void test_run_holds_a_whole_sketch_and_its_header_to_the_limit(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 64; i++) {
        insert(fixture->run, i, i, 256, 17);
    }
    insert(fixture->run, 64, UINT64_C(1) << 24, 1, 1);
    assert_false(run_fits(fixture->run, 32, 1));
    assert_int_equal(run_audit(fixture->run), 64 * 256 + 1);
}

static void test_run_seek_finds_neighbours_and_gaps(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t numbers[] = { 5, 6, 7, 9, 1000, (UINT64_C(1) << 56) - 1 };

    assert_int_equal(run_seek(fixture->run, 5), 0);
    for (unsigned i = 0; i < 6; i++) {
        insert(fixture->run, i, numbers[i], 1 + i, 1 + i);
    }
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(run_seek(fixture->run, numbers[i]), i);
        assert_int_equal(run_seek(fixture->run, numbers[i] - 1), i == 1 || i == 2 ? i - 1 : i);
    }
    assert_int_equal(run_seek(fixture->run, 0), 0);
    assert_int_equal(run_seek(fixture->run, 10), 4);
    assert_int_equal(run_seek(fixture->run, 1001), 5);
}

/* Every position to cut at, with blocks of every form in between. */
static void test_run_split_parts_the_blocks_anywhere(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned cut = 0; cut <= 20; cut++) {
        struct vector_run *upper = run_create(&fixture->mem, RUN_UNITS_MAX);
        struct vector_run *lower = run_create(&fixture->mem, RUN_UNITS_MAX);

        assert_non_null(upper);
        assert_non_null(lower);
        for (unsigned i = 0; i < 20; i++) {
            insert(lower, i, i * 3, 1 + i * 13 % 256, UINT64_C(1) << (i * 7 % 33));
        }
        run_split(lower, cut, upper);
        assert_int_equal(lower->count, cut);
        assert_int_equal(upper->count, 20 - cut);
        if (cut > 0 && cut < 20) {
            run_audit(lower);
            run_audit(upper);
            assert_int_equal(run_number(lower, cut - 1), (cut - 1) * 3);
            assert_int_equal(run_number(upper, 0), cut * 3);
        }
        run_free(lower, &fixture->mem);
        run_free(upper, &fixture->mem);
    }
}

static void test_run_resize_that_fails_leaves_the_run(void **state)
{
    struct fixture *fixture = *state;
    struct vector_run *run = run_create(&fixture->mem, 21);
    struct vector_run *other;

    assert_non_null(run);
    insert(run, 0, 1, 3, 300);
    insert(run, 1, 2, 20, 1);
    fixture->mem.fail_countdown = 1;
    assert_null(run_resize(run, &fixture->mem, 41));
    assert_int_equal(run_audit(run), 23);
    assert_int_equal(run_bytes(run), 21 * 8);
    other = run_resize(run, &fixture->mem, 41);
    assert_non_null(other);
    assert_int_equal(run_audit(other), 23);
    run = run_resize(other, &fixture->mem, 15);
    assert_non_null(run);
    assert_int_equal(run_audit(run), 23);
    run_free(run, &fixture->mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_run_block_units_is_the_smaller_form),
        TEST(test_run_block_units_rises_with_class_and_count),
        TEST(test_run_class_is_by_the_bytes_needed),
        TEST(test_run_units_rounded_never_passes_the_limit),
        TEST(test_run_holds_a_whole_sketch_and_its_header_to_the_limit),
        TEST(test_run_seek_finds_neighbours_and_gaps),
        TEST(test_run_split_parts_the_blocks_anywhere),
        TEST(test_run_resize_that_fails_leaves_the_run),
    };

    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
