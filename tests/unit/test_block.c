/* What this file tests: the form in which elements travel, and sets of offsets. */

#include "wire/block.h"

#include "unit/test.h"

static const uint8_t offsets[] = { 0, 7, 63, 64, 200, 255 };
static const uint8_t values8[] = { 1, 2, 3, 4, 5, 255 };
static const uint16_t values16[] = { 1, 2, 3, 4, 5, 65535 };
static const uint32_t values32[] = { 1, 2, 3, 4, 5, UINT32_MAX };
static const uint64_t values64[] = { 1, 2, 3, 4, 5, UINT64_MAX };

static struct block sparse(const void *values, uint8_t width)
{
    return (struct block){
        .number = 9, .values = values, .offsets = offsets, .count = 6, .width = width
    };
}

static void test_block_get_reads_every_width(void **state)
{
    const struct block blocks[] = { sparse(values8, 1), sparse(values16, 2), sparse(values32, 4),
                                    sparse(values64, 8) };
    const uint64_t last[] = { UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        block_audit(&blocks[i]);
        assert_true(block_get(&blocks[i], 0) == 1);
        assert_true(block_get(&blocks[i], 64) == 4);
        assert_true(block_get(&blocks[i], 255) == last[i]);
        assert_true(block_value(&blocks[i], 5) == last[i]);
    }
}

static void test_block_get_gives_0_for_what_a_sparse_block_does_not_have(void **state)
{
    const struct block block = sparse(values8, 1);
    unsigned found = 0;

    (void)state;
    for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset++) {
        found += block_get(&block, offset) != 0;
    }
    assert_int_equal(found, 6);
    assert_true(block_get(&block, 1) == 0);
    assert_true(block_get(&block, 254) == 0);
}

static void test_block_value_reads_a_bitmap_and_a_dense_block(void **state)
{
    uint8_t bits[BLOCK_BITMAP_BYTES] = { 0x81, [31] = 0x80 };
    uint8_t registers[BLOCK_ELEMENTS] = { [3] = 17, [255] = 1 };
    const struct block bitmap = { .values = bits, .count = BLOCK_ELEMENTS, .width = 0 };
    const struct block dense = { .values = registers, .count = BLOCK_ELEMENTS, .width = 1 };
    struct mark mark;

    (void)state;
    block_audit(&bitmap);
    block_audit(&dense);
    mark = block_mark(&bitmap);
    assert_int_equal(mark_count(&mark), 3);
    assert_true(mark_has(&mark, 0));
    assert_true(mark_has(&mark, 7));
    assert_true(mark_has(&mark, 255));
    assert_true(block_get(&dense, 3) == 17);
    mark = block_mark(&dense);
    assert_int_equal(mark_count(&mark), 2);
}

static void test_block_mark_has_the_number_and_the_offsets(void **state)
{
    const struct block block = sparse(values8, 1);
    const struct mark mark = block_mark(&block);
    unsigned at = 0;

    (void)state;
    assert_true(mark.number == 9);
    for (unsigned i = 0; i < 6; i++) {
        at = mark_next(&mark, at);
        assert_int_equal(at, offsets[i]);
        at++;
    }
    assert_int_equal(mark_next(&mark, at), BLOCK_ELEMENTS);
}

static void test_mark_next_skips_empty_words(void **state)
{
    struct mark mark = { .number = 0 };

    (void)state;
    assert_int_equal(mark_next(&mark, 0), BLOCK_ELEMENTS);
    mark_set(&mark, 255);
    assert_int_equal(mark_next(&mark, 0), 255);
    assert_int_equal(mark_next(&mark, 255), 255);
    assert_int_equal(mark_next(&mark, BLOCK_ELEMENTS), BLOCK_ELEMENTS);
}

static void test_mark_or_and_and_not_are_set_operations(void **state)
{
    struct mark one = { .number = 1 };
    struct mark other = { .number = 1 };

    (void)state;
    assert_true(mark_empty(&one));
    mark_set(&one, 1);
    mark_set(&one, 130);
    mark_set(&other, 130);
    mark_set(&other, 131);
    mark_or(&one, &other);
    assert_int_equal(mark_count(&one), 3);
    mark_and_not(&one, &other);
    assert_int_equal(mark_count(&one), 1);
    assert_true(mark_has(&one, 1));
    assert_false(mark_empty(&one));
    mark_and_not(&one, &one);
    assert_true(mark_empty(&one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_get_reads_every_width),
        cmocka_unit_test(test_block_get_gives_0_for_what_a_sparse_block_does_not_have),
        cmocka_unit_test(test_block_value_reads_a_bitmap_and_a_dense_block),
        cmocka_unit_test(test_block_mark_has_the_number_and_the_offsets),
        cmocka_unit_test(test_mark_next_skips_empty_words),
        cmocka_unit_test(test_mark_or_and_and_not_are_set_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
