/* What this file tests: that a batch gives back what was put in, across all its pieces, and that
 * memory that runs out loses nothing but the batch. */

#include "view/batch.h"

#include "unit/test.h"

static int setup(void **state)
{
    static struct mem mem;

    mem = (struct mem){ 0 };
    *state = &mem;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(((const struct mem *)*state)->used_bytes, 0);
    return 0;
}

/* Block `number` of update `i`: contents that both sides of the test can make. */
static struct block block_make(struct block_room *room, unsigned i, uint64_t number)
{
    const uint16_t count = (uint16_t)(1 + (i * 31 + number) % 256);

    for (unsigned j = 0; j < count; j++) {
        room->offsets[j] = (uint8_t)j;
        room->values[j] = (UINT64_C(1) << (i + j) % 64) + j;
    }
    return (struct block){ .number = number,
                           .values = room->values,
                           .offsets = room->offsets,
                           .count = count,
                           .width = 8 };
}

static bool batch_fill(struct batch *batch, unsigned updates)
{
    for (unsigned i = 0; i < updates; i++) {
        const struct bytes key = { (const uint8_t *)&i, sizeof i };
        struct block_room room;

        if (!batch_begin(batch, key)) {
            return false;
        }
        for (unsigned j = 0; j < i % 5; j++) {
            const struct block block = block_make(&room, i, (uint64_t)j << 50);

            if (!batch_put(batch, &block)) {
                return false;
            }
        }
        if (!batch_end(batch)) {
            return false;
        }
    }
    return true;
}

static void test_batch_gives_back_what_was_put_in(void **state)
{
    struct batch batch;
    struct batch_cursor cursor;
    struct bytes key;
    struct block_room room;
    struct block block;
    unsigned i = 0;

    batch_init(&batch, (struct mem *)*state);
    cursor = batch_first(&batch);
    assert_false(batch_next_key(&cursor, &key));
    assert_true(batch_fill(&batch, 3000));
    assert_int_equal(batch_updates(&batch), 3000);
    cursor = batch_first(&batch);
    for (; batch_next_key(&cursor, &key); i++) {
        unsigned blocks = 0;

        assert_int_equal(key.size, sizeof i);
        assert_memory_equal(key.data, &i, sizeof i);
        for (; batch_next_block(&cursor, &room, &block); blocks++) {
            struct block_room room_made;
            const struct block made = block_make(&room_made, i, (uint64_t)blocks << 50);

            assert_int_equal(block.number, made.number);
            assert_int_equal(block.count, made.count);
            assert_memory_equal(block.offsets, made.offsets, made.count);
            assert_memory_equal(block.values, made.values, made.count * sizeof(uint64_t));
        }
        assert_int_equal(blocks, i % 5);
    }
    assert_int_equal(i, 3000);
    batch_clear(&batch);
}

static void test_batch_says_when_memory_runs_out(void **state)
{
    struct mem *mem = (struct mem *)*state;

    for (uint64_t nth = 1; nth < 6; nth++) {
        struct batch batch;

        batch_init(&batch, mem);
        mem->fail_countdown = nth;
        assert_false(batch_fill(&batch, 1000));
        mem->fail_countdown = 0;
        batch_clear(&batch);
        assert_int_equal(mem->used_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_batch_gives_back_what_was_put_in),
        TEST(test_batch_says_when_memory_runs_out),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
