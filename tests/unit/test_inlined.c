/* What this file tests: how elements lie in the struct, and how they come out as blocks. */

#include "store/parts.h"
#include "store/vector.h"

#include <string.h>

#include "unit/test.h"

static void test_inlined_write_lays_out_as_the_header_says(void **state)
{
    static const struct inlined_element elements[] = { { 0, 5 }, { 300, 1 } };
    static const uint8_t bytes[] = { 0x01, 0x05, 0x21, 0x2c, 0x01, 0x01 };
    struct vector vector;

    (void)state;
    vector_init(&vector);
    inlined_write(&vector.inlined, elements, 2);
    assert_memory_equal(vector.inlined.elements, bytes, sizeof bytes);
    inlined_audit(&vector.inlined);
}

static void test_inlined_read_gives_back_every_size(void **state)
{
    struct vector vector;
    struct inlined_element read[INLINED_ELEMENTS_MAX];

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        for (unsigned j = 0; j < 64; j++) {
            const struct inlined_element element = { UINT64_MAX >> i, UINT64_MAX >> j };

            vector_init(&vector);
            assert_true(inlined_fits(&element, 1));
            inlined_write(&vector.inlined, &element, 1);
            assert_int_equal(inlined_read(&vector.inlined, read), 1);
            assert_memory_equal(&read[0], &element, sizeof element);
        }
    }
}

static void test_inlined_fits_counts_to_the_byte(void **state)
{
    static const struct inlined_element full[] = { { 0, 1 }, { 1, 1 }, { 2, 1 }, { 3, 1 },
                                                   { 4, 1 }, { 5, 1 }, { 6, 1 } };
    static const struct inlined_element extremes[] = { { 65535, UINT64_MAX },
                                                       { UINT32_MAX, UINT64_MAX } };
    struct inlined_element more[7];

    (void)state;
    assert_true(inlined_fits(full, 7)); /* 2 + 6 * 3 = 20 */
    memcpy(more, full, sizeof more);
    more[5].value = 256;
    more[6].value = 256; /* 22 */
    assert_true(inlined_fits(more, 7));
    more[4].value = 256; /* 23 */
    assert_false(inlined_fits(more, 7));
    assert_false(inlined_fits(extremes, 2)); /* 11 + 13 */
}

static void test_inlined_parts_are_the_blocks(void **state)
{
    static const struct inlined_element elements[] = {
        { 3, 9 }, { 255, 1 }, { 256, 1 }, { 9999, 300 }
    };
    struct parts parts;

    (void)state;
    parts_make(&parts, elements, 4);
    assert_int_equal(parts.count, 3);
    assert_int_equal(parts.blocks[0].count, 2);
    assert_int_equal(parts.blocks[0].class, 1);
    assert_int_equal(parts.blocks[1].class, 0);
    assert_int_equal(parts.blocks[2].class, 2);
    assert_int_equal(parts_seek(&parts, 0), 0);
    assert_int_equal(parts_seek(&parts, 2), 2);
    assert_int_equal(parts_seek(&parts, 40), 3);
    assert_int_equal(parts_find(&parts, 39).count, 1);
    assert_int_equal(parts_find(&parts, 38).count, 0);
    assert_true(block_get(&parts.blocks[0].view, 255) == 1);
}

static void test_inlined_join_one_raises_what_is_there_and_nothing_else(void **state)
{
    const struct inlined_element elements[] = { { 3, 9 }, { 300, 200 }, { 1ull << 40, 300 } };
    static const struct {
        uint64_t index;
        uint64_t value;
        bool joined;
        bool raised;
        bool larger;
    } cases[] = {
        { 300, 201, true, true, false },         { 300, 200, true, false, false },
        { 300, 1, true, false, true },           { 1ull << 40, 301, true, true, false },
        { 3, UINT32_MAX, true, true, false },    { 3, 0, false, false, false },
        { 4, 9, false, false, false },           { 259, 9, false, false, false },
        { 300, UINT64_MAX, false, false, false } /* 23 bytes in all */
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint64_t index = cases[i].index;
        struct inlined_element found[INLINED_ELEMENTS_MAX];
        struct merge_result result;
        struct vector vector;
        struct vector before;

        vector_init(&vector);
        inlined_write(&vector.inlined, elements, 3);
        before = vector;
        assert_int_equal(inlined_join_one(&vector.inlined, index, cases[i].value, 5, &result),
                         cases[i].joined);
        if (!cases[i].raised) {
            assert_memory_equal(&vector, &before, sizeof vector);
        }
        if (!cases[i].joined) {
            continue;
        }
        inlined_audit(&vector.inlined);
        assert_true(result.raised.number == index >> 8);
        assert_true(result.larger.number == index >> 8);
        assert_int_equal(mark_count(&result.raised), cases[i].raised);
        assert_int_equal(mark_count(&result.larger), cases[i].larger);
        assert_int_equal(mark_has(&result.raised, index & 255), cases[i].raised);
        assert_int_equal(mark_has(&result.larger, index & 255), cases[i].larger);
        assert_true(vector_digest(&vector, 5) == vector_digest(&before, 5) + result.digest_delta);
        assert_int_equal(inlined_read(&vector.inlined, found), 3);
        for (unsigned j = 0; j < 3; j++) {
            assert_true(found[j].index == elements[j].index);
            assert_true(found[j].value
                        == (cases[i].raised && index == elements[j].index ? cases[i].value
                                                                          : elements[j].value));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inlined_write_lays_out_as_the_header_says),
        cmocka_unit_test(test_inlined_read_gives_back_every_size),
        cmocka_unit_test(test_inlined_fits_counts_to_the_byte),
        cmocka_unit_test(test_inlined_join_one_raises_what_is_there_and_nothing_else),
        cmocka_unit_test(test_inlined_parts_are_the_blocks),
    };

    return cmocka_run_group_tests_name("inlined", tests, NULL, NULL);
}
