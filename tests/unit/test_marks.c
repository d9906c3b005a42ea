/* What this file tests: sets of marks that wait, against an array of all marks there could be. */

#include "base/deadline.h"
#include "base/random.h"
#include "store/marks.h"
#include "wire/message.h"

#include <string.h>

#include "unit/test.h"

enum { KEYS = 12, BLOCKS = 5, PAIRS = KEYS * BLOCKS };

struct fixture {
    struct mem mem;
    struct table *table;
    struct entry *entries[KEYS];
    struct marks marks;
    struct marks carried;
    struct random random;
    struct mark model[PAIRS];
};

/* Every block of every key has all its elements: 1 + the offset, so that widths differ. */
static bool key_create(struct fixture *fixture, unsigned i)
{
    const uint8_t text[] = { 'k', (uint8_t)('a' + i) };

    if (table_obtain(fixture->table, (struct bytes){ text, 2 }, TABLE_DATA, &fixture->entries[i])
        != STATUS_OK) {
        return false;
    }
    for (unsigned j = 0; j < BLOCKS; j++) {
        uint64_t values[BLOCK_ELEMENTS];
        const struct block block = {
            .number = j * 3, .values = values, .count = BLOCK_ELEMENTS, .width = 8
        };

        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            values[o] = UINT64_C(1) + o + ((uint64_t)i << (8 * j));
        }
        if (table_merge(fixture->table, fixture->entries[i], &block, CHANGE_FROM_CLIENT, NULL)
            != STATUS_OK) {
            return false;
        }
        fixture->model[i * BLOCKS + j] = (struct mark){ .number = j * 3 };
    }
    table_turn_end(fixture->table);
    return true;
}

/* A key is dropped, and comes again. */
static void key_drop(struct fixture *fixture, unsigned i)
{
    table_drop(fixture->table, fixture->entries[i]);
    marks_drop(&fixture->marks, &fixture->mem, (struct drops){ &fixture->entries[i], 1 });
    table_turn_end(fixture->table);
    assert_true(key_create(fixture, i));
}

static int setup(void **state)
{
    static struct fixture fixture;
    const struct table_options options = { .mem = &fixture.mem, .digest_mask = UINT64_MAX };

    memset(&fixture, 0, sizeof fixture);
    random_seed(&fixture.random, 1, 3);
    if (table_create(&options, &fixture.table) != STATUS_OK) {
        return -1;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        if (!key_create(&fixture, i)) {
            return -1;
        }
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    marks_audit(&fixture->marks);
    marks_clear(&fixture->marks, &fixture->mem);
    marks_clear(&fixture->carried, &fixture->mem);
    table_free(fixture->table);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static struct mark mark_random(struct fixture *fixture, unsigned pair)
{
    struct mark mark = { .number = fixture->model[pair].number };
    const uint64_t count = 1 + random_below(&fixture->random, 20);

    for (uint64_t i = 0; i < count; i++) {
        mark_set(&mark, (unsigned)random_below(&fixture->random, BLOCK_ELEMENTS));
    }
    return mark;
}

/* Everything that the model has is in the set, and nothing else. */
static void model_compare(struct fixture *fixture)
{
    struct marks copy = { 0 };
    uint32_t count = 0;

    for (unsigned i = 0; i < PAIRS; i++) {
        count += !mark_empty(&fixture->model[i]);
    }
    marks_audit(&fixture->marks);
    assert_int_equal(fixture->marks.count, count);
    assert_true(marks_add_all(&copy, &fixture->mem, &fixture->marks));
    for (unsigned i = 0; i < PAIRS; i++) {
        marks_remove(&copy, &fixture->mem, fixture->entries[i / BLOCKS], &fixture->model[i]);
    }
    assert_true(marks_empty(&copy));
    marks_clear(&copy, &fixture->mem);
}

static void test_marks_agree_with_an_array_of_all_marks(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned step = 0; step < 20000; step++) {
        const unsigned pair = (unsigned)random_below(&fixture->random, PAIRS);
        struct entry *entry = fixture->entries[pair / BLOCKS];
        const struct mark mark = mark_random(fixture, pair);
        const uint64_t what = random_below(&fixture->random, 1000);

        if (what < 500) {
            assert_true(marks_add(&fixture->marks, &fixture->mem, entry, &mark));
            mark_or(&fixture->model[pair], &mark);
        } else if (what < 950) {
            struct mark all = { mark.number, { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };

            marks_remove(&fixture->marks, &fixture->mem, entry, what < 700 ? &mark : &all);
            mark_and_not(&fixture->model[pair], what < 700 ? &mark : &all);
        } else if (what < 998) {
            key_drop(fixture, pair / BLOCKS);
        } else {
            marks_clear(&fixture->marks, &fixture->mem);
            for (unsigned j = 0; j < PAIRS; j++) {
                fixture->model[j] = (struct mark){ .number = fixture->model[j].number };
            }
        }
        model_compare(fixture);
    }
}

/* While a set grows its index is made bit by bit: every mark is found once at every time. Keys have
 * blocks in a row and far from each other, as a sketch and a set have. */
static void test_marks_are_found_while_a_large_set_grows(void **state)
{
    enum { MANY = 5000 };
    struct fixture *fixture = *state;
    struct marks *marks = &fixture->marks;

    for (uint32_t i = 0; i < MANY; i++) {
        struct entry *entry = fixture->entries[i % 2];
        struct mark mark = { .number = i % 2 == 0 ? i / 2 : (uint64_t)i * 1000 };

        mark_set(&mark, i % BLOCK_ELEMENTS);
        assert_true(marks_add(marks, &fixture->mem, entry, &mark));
        assert_true(marks_add(marks, &fixture->mem, entry, &mark));
        assert_int_equal(marks->count, i + 1);
        if (i % 97 == 0 || (i & (i - 1)) < 3) {
            marks_audit(marks);
        }
    }
    /* Every third one leaves while it grows on; so does all that is at the front. */
    for (uint32_t i = 0; i < MANY; i++) {
        struct mark mark = { .number = i % 2 == 0 ? i / 2 : (uint64_t)i * 1000 };
        struct mark more = { .number = (uint64_t)i * 7 };

        mark_set(&mark, i % BLOCK_ELEMENTS);
        mark_set(&more, 1);
        if (i % 3 == 0) {
            marks_remove(marks, &fixture->mem, fixture->entries[i % 2], &mark);
        }
        assert_true(marks_add(marks, &fixture->mem, fixture->entries[2], &more));
        if (i % 97 == 0) {
            marks_audit(marks);
        }
    }
    assert_int_equal(marks->count, 2 * MANY - (MANY + 2) / 3);
    while (!marks_empty(marks)) {
        (void)marks_take(marks, &fixture->mem);
    }
    assert_int_equal(marks->room, 0);
}

/* What one more costs does not grow with how many there are, but for pointers to chunks. */
static void test_marks_grow_by_a_chunk(void **state)
{
    enum { MANY = 50000, CHUNK_POINTERS = MANY / MARKS_CHUNK * 2 * sizeof(void *) };
    struct fixture *fixture = *state;
    const struct marked *first = NULL;
    uint64_t most = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        const uint64_t before = fixture->mem.used_bytes;
        const struct mark mark = { .number = i, .bits = { 1 } };

        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
        most = fixture->mem.used_bytes > before + most ? fixture->mem.used_bytes - before : most;
        first = i == MARKS_CHUNK ? marks_first(&fixture->marks) : first;
    }
    assert_in_range(most, 1, CHUNK_POINTERS + 10000);
    assert_ptr_equal(marks_first(&fixture->marks), first);
}

/* What the oldest had is given back as they leave, though the set never is empty. */
static void test_marks_give_back_what_has_left(void **state)
{
    enum { MANY = 50000, LEFT = 100 };
    struct fixture *fixture = *state;
    uint64_t full_bytes = 0;

    for (uint32_t i = 0; i < 3 * MANY; i++) {
        const struct mark mark = { .number = i, .bits = { 1 } };

        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
        if (i == MANY) {
            full_bytes = fixture->mem.used_bytes;
        }
        if (i > MANY) {
            (void)marks_take(&fixture->marks, &fixture->mem);
        }
    }
    marks_audit(&fixture->marks);
    assert_in_range(fixture->mem.used_bytes, 0, full_bytes + full_bytes / 4);
    while (fixture->marks.count > LEFT) {
        (void)marks_take(&fixture->marks, &fixture->mem);
    }
    marks_audit(&fixture->marks);
    assert_in_range(fixture->mem.used_bytes, 0, full_bytes / 2);
}

/* Keys that go are looked up in a large set, which is not gone through for each: this test would
 * take minutes. */
static void test_marks_drop_looks_up_what_goes(void **state)
{
    enum { MANY = 200000, DROPS = 100000 };
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < MANY; i++) {
        const struct mark mark = { .number = i, .bits = { 1 } };

        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[1], &mark));
    }
    for (uint32_t i = 0; i < DROPS; i++) {
        const struct mark mark = { .number = 3, .bits = { 1 } };

        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
        marks_drop(&fixture->marks, &fixture->mem, (struct drops){ &fixture->entries[0], 1 });
        assert_int_equal(fixture->marks.count, MANY);
    }
    marks_audit(&fixture->marks);
}

/* Nor does it look for each block of a large vector, where it has few marks itself. */
static void test_marks_drop_costs_no_more_than_there_are_marks(void **state)
{
    enum { BLOCKS_MANY = 20000, MARKS = 100, LEFT = 8 };
    static const uint64_t value = 1;
    struct fixture *fixture = *state;
    struct entry *entry = fixture->entries[0];
    uint64_t work;

    for (uint32_t i = 0; i < BLOCKS_MANY; i++) {
        const struct block block = { .number = 100 + i,
                                     .values = &value,
                                     .count = 1,
                                     .width = 8,
                                     .offsets = (const uint8_t[]){ 0 } };

        assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_DISK, NULL),
                         STATUS_OK);
    }
    for (uint32_t i = 0; i < MARKS; i++) {
        const struct mark mark = { .number = i, .bits = { 1 } };

        assert_true(marks_add(&fixture->marks, &fixture->mem,
                              fixture->entries[i < MARKS - LEFT ? 0 : 1], &mark));
    }
    table_drop(fixture->table, entry);
    work = marks_drop(&fixture->marks, &fixture->mem, (struct drops){ &entry, 1 });
    assert_in_range(work, 1, MARKS);
    assert_int_equal(fixture->marks.count, LEFT);
    marks_audit(&fixture->marks);
    table_turn_end(fixture->table);
}

static void test_marks_first_is_the_oldest(void **state)
{
    struct fixture *fixture = *state;
    const struct mark mark = { .number = 0, .bits = { 1 } };

    assert_null(marks_first(&fixture->marks));
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[i], &mark));
    }
    assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
    for (unsigned i = 0; i < KEYS; i++) {
        assert_ptr_equal(marks_first(&fixture->marks)->entry, fixture->entries[i]);
        marks_remove(&fixture->marks, &fixture->mem, fixture->entries[i], &mark);
    }
    assert_null(marks_first(&fixture->marks));
}

static void test_marks_add_of_an_empty_mark_adds_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct mark mark = { .number = 3 };

    assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
    assert_true(marks_empty(&fixture->marks));
    assert_int_equal(fixture->marks.room, 0);
}

static void test_marks_add_entry_marks_every_element(void **state)
{
    struct fixture *fixture = *state;
    uint64_t count = 0;

    assert_true(marks_add_entry(&fixture->marks, &fixture->mem, fixture->entries[3]));
    while (!marks_empty(&fixture->marks)) {
        const struct marked marked = *marks_first(&fixture->marks);

        assert_ptr_equal(marked.entry, fixture->entries[3]);
        count += mark_count(&marked.mark);
        marks_remove(&fixture->marks, &fixture->mem, marked.entry, &marked.mark);
    }
    assert_int_equal(count, BLOCKS * BLOCK_ELEMENTS);
}

/* Take the elements of a datagram out of the model; each must be in it, with the value of now. */
static void model_receive(struct fixture *fixture, struct bytes datagram)
{
    struct message message;
    struct item item;

    assert_int_equal(message_decode(datagram, &message), WIRE_OK);
    assert_true(datagram.size <= WIRE_EXTENDED_BYTES_MAX);
    while (message_next_item(&message.items, &item)) {
        struct block_room room;
        struct block block;
        const unsigned key = (unsigned)(item.key.data[1] - 'a');

        assert_false(item.full);
        while (elements_next(&item.elements, &room, &block)) {
            const struct mark mark = block_mark(&block);
            struct mark *model = &fixture->model[key * BLOCKS + block.number / 3];

            for (unsigned o = mark_next(&mark, 0); o < BLOCK_ELEMENTS;
                 o = mark_next(&mark, o + 1)) {
                assert_true(mark_has(model, o));
                assert_true(
                    block_get(&block, o)
                    == vector_get(entry_vector(fixture->entries[key]), block.number << 8 | o));
            }
            mark_and_not(model, &mark);
        }
    }
}

/* What is put, carried and left make up what was there, datagram after datagram. */
static void test_marks_put_items_loses_and_doubles_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct envelope envelope = { .has = WIRE_HAS_SENDER, .sender_id = 1 };
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];

    for (unsigned round = 0; round < 200; round++) {
        const uint64_t adds = 1 + random_below(&fixture->random, 150);

        for (uint64_t i = 0; i < adds; i++) {
            const unsigned pair = (unsigned)random_below(&fixture->random, PAIRS);
            const struct mark mark = mark_random(fixture, pair);

            assert_true(
                marks_add(&fixture->marks, &fixture->mem, fixture->entries[pair / BLOCKS], &mark));
            mark_or(&fixture->model[pair], &mark);
        }
        while (!marks_empty(&fixture->marks)) {
            struct writer writer;
            uint32_t carried_before = fixture->carried.count;

            writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
            assert_true(marks_put_items(&fixture->marks, fixture->table, &fixture->mem, &writer,
                                        &fixture->carried)
                        > 0);
            assert_true(fixture->carried.count >= carried_before);
            model_receive(fixture, writer_end(&writer));
            model_compare(fixture);
        }
        assert_false(marks_empty(&fixture->carried));
        marks_clear(&fixture->carried, &fixture->mem);
    }
}

/* Where some of it cannot be carried it has left all the same, and that is said. */
static void test_marks_carry_items_says_what_it_could_not_carry(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct mark mark = { .number = 0 };

    mark_set(&mark, 7);
    for (unsigned i = 0; i < 2; i++) {
        struct carried carried = { .count = 0 };
        struct writer writer;

        assert_true(marks_add(&fixture->marks, &fixture->mem, fixture->entries[0], &mark));
        writer_begin_items(&writer, (struct space){ buffer, sizeof buffer });
        fixture->mem.fail_countdown = i;
        marks_carry_items(&fixture->marks, fixture->table, &fixture->mem, &writer, &carried, 1);
        assert_int_equal(carried.is_short, i == 1);
        assert_int_equal(carried.count, 1 - i);
        assert_true(marks_empty(&fixture->marks));
        carried_clear(&carried, &fixture->mem);
    }
}

/* What ended while it waited is not told. */
static void test_marks_put_items_leaves_out_what_has_ended(void **state)
{
    struct fixture *fixture = *state;
    const struct envelope envelope = { .has = WIRE_HAS_SENDER, .sender_id = 1 };
    const struct mark mark = { .bits = { 1 } };
    struct entry *entry = NULL;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct writer writer;

    assert_int_equal(table_obtain(fixture->table,
                                  (struct bytes){ (const uint8_t *)"k~2000-01-02", 12 }, TABLE_DATA,
                                  &entry),
                     STATUS_OK);
    assert_true(marks_add(&fixture->marks, &fixture->mem, entry, &mark));
    table_set_minute(fixture->table, deadline_of(entry_key(entry)));
    writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
    assert_int_equal(
        marks_put_items(&fixture->marks, fixture->table, &fixture->mem, &writer, &fixture->carried),
        0);
    assert_true(marks_empty(&fixture->marks));
    assert_true(marks_empty(&fixture->carried));
}

static void test_marks_put_items_of_whole_entries_takes_several_datagrams(void **state)
{
    struct fixture *fixture = *state;
    const struct envelope envelope = { .has = WIRE_HAS_SENDER, .sender_id = 1 };
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    unsigned datagrams = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(marks_add_entry(&fixture->marks, &fixture->mem, fixture->entries[i]));
        for (unsigned j = 0; j < BLOCKS; j++) {
            memset(fixture->model[i * BLOCKS + j].bits, 0xff, sizeof fixture->model[0].bits);
        }
    }
    while (!marks_empty(&fixture->marks)) {
        struct writer writer;

        writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
        assert_true(marks_put_items(&fixture->marks, fixture->table, &fixture->mem, &writer, NULL)
                    > 0);
        model_receive(fixture, writer_end(&writer));
        model_compare(fixture);
        datagrams++;
    }
    assert_in_range(datagrams, 2, 60);
}

static void test_marks_are_as_they_were_after_a_failed_allocation(void **state)
{
    struct fixture *fixture = *state;
    unsigned refused = 0;

    for (uint64_t countdown = 1; countdown < 20; countdown++) {
        marks_clear(&fixture->marks, &fixture->mem);
        for (unsigned i = 0; i < PAIRS; i++) {
            const struct mark mark = { .number = fixture->model[i].number, .bits = { 7 } };
            const uint32_t count = fixture->marks.count;

            fixture->mem.fail_countdown = i == 3 ? countdown : fixture->mem.fail_countdown;
            if (!marks_add(&fixture->marks, &fixture->mem, fixture->entries[i / BLOCKS], &mark)) {
                refused++;
                assert_int_equal(fixture->marks.count, count);
                marks_audit(&fixture->marks);
                assert_true(
                    marks_add(&fixture->marks, &fixture->mem, fixture->entries[i / BLOCKS], &mark));
            }
        }
        fixture->mem.fail_countdown = 0;
        assert_int_equal(fixture->marks.count, PAIRS);
        marks_audit(&fixture->marks);
    }
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_marks_agree_with_an_array_of_all_marks),
        TEST(test_marks_are_found_while_a_large_set_grows),
        TEST(test_marks_grow_by_a_chunk),
        TEST(test_marks_give_back_what_has_left),
        TEST(test_marks_drop_looks_up_what_goes),
        TEST(test_marks_drop_costs_no_more_than_there_are_marks),
        TEST(test_marks_first_is_the_oldest),
        TEST(test_marks_add_of_an_empty_mark_adds_nothing),
        TEST(test_marks_add_entry_marks_every_element),
        TEST(test_marks_put_items_loses_and_doubles_nothing),
        TEST(test_marks_carry_items_says_what_it_could_not_carry),
        TEST(test_marks_put_items_leaves_out_what_has_ended),
        TEST(test_marks_put_items_of_whole_entries_takes_several_datagrams),
        TEST(test_marks_are_as_they_were_after_a_failed_allocation),
    };

    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
