/* What this file tests: entries in byte order of their keys. */

#include "base/random.h"
#include "store/order.h"

#include <stdlib.h>

#include "unit/entries.h"
#include "unit/test.h"

#define KEYS 4000
#define MANY 60000

struct fixture {
    struct mem mem;
    struct slabs slabs;
    struct order order;
    struct random random;
    uint64_t nodes;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    slabs_init(&fixture.slabs);
    order_init(&fixture.order);
    random_seed(&fixture.random, 1, 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    order_audit(&fixture->order, &fixture->slabs);
    order_clear(&fixture->order, &fixture->mem);
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static uint32_t key_insert(struct fixture *fixture, struct bytes key)
{
    const uint32_t id = entry_make(&fixture->slabs, &fixture->mem, key, 0);

    assert_true(order_ready(&fixture->order, &fixture->mem));
    order_insert(&fixture->order, &fixture->slabs, id, &fixture->nodes);
    return id;
}

static void entry_out(struct fixture *fixture, const struct entry *entry)
{
    order_remove(&fixture->order, &fixture->slabs, &fixture->mem, entry, &fixture->nodes);
}

static uint32_t bytes_seek(struct fixture *fixture, struct bytes key, enum order_bound bound)
{
    struct order_cursor cursor =
        order_seek(&fixture->order, &fixture->slabs, key, bound, &fixture->nodes);
    const struct entry *entry = order_next(&cursor, &fixture->slabs);

    return entry == NULL ? 0 : entry->link;
}

static uint32_t key_seek(struct fixture *fixture, const char *key, enum order_bound bound)
{
    return bytes_seek(fixture, bytes_of(key), bound);
}

static void test_order_of_nothing_has_no_first(void **state)
{
    assert_int_equal(key_seek(*state, "", ORDER_FROM), 0);
    assert_int_equal(key_seek(*state, "a", ORDER_AFTER), 0);
}

static void test_order_seek_finds_at_and_after(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t b = key_insert(fixture, bytes_of("b"));
    const uint32_t bb = key_insert(fixture, bytes_of("bb"));
    const uint32_t high = key_insert(fixture, bytes_of("\xff"));

    assert_int_equal(key_seek(fixture, "", ORDER_FROM), b);
    assert_int_equal(key_seek(fixture, "a", ORDER_AFTER), b);
    assert_int_equal(key_seek(fixture, "b", ORDER_FROM), b);
    assert_int_equal(key_seek(fixture, "b", ORDER_AFTER), bb);
    assert_int_equal(key_seek(fixture, "ba", ORDER_FROM), bb);
    assert_int_equal(key_seek(fixture, "bb", ORDER_AFTER), high);
    assert_int_equal(key_seek(fixture, "\xff", ORDER_FROM), high);
    assert_int_equal(key_seek(fixture, "\xff", ORDER_AFTER), 0);
}

/* Bytes are unsigned, NUL is a byte, and a key comes after what it begins with. */
static void test_order_is_that_of_unsigned_bytes(void **state)
{
    static const struct bytes keys[] = {
        { (const uint8_t *)"\0", 1 },   { (const uint8_t *)"\0\0", 2 },
        { (const uint8_t *)"\1", 1 },   { (const uint8_t *)"a", 1 },
        { (const uint8_t *)"a\0", 2 },  { (const uint8_t *)"aa", 2 },
        { (const uint8_t *)"\x7f", 1 }, { (const uint8_t *)"\x80", 1 },
        { (const uint8_t *)"\xff", 1 }, { (const uint8_t *)"\xff\xff", 2 },
    };
    const size_t count = sizeof keys / sizeof keys[0];
    struct fixture *fixture = *state;
    struct order_cursor cursor;

    for (size_t i = count; i-- > 0;) {
        (void)key_insert(fixture, keys[i]);
        order_audit(&fixture->order, &fixture->slabs);
    }
    cursor = order_begin(&fixture->order);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entry_compare(order_next(&cursor, &fixture->slabs), keys[i]), 0);
    }
    assert_null(order_next(&cursor, &fixture->slabs));
}

static int entries_compare(const void *a, const void *b)
{
    const struct entry *const *left = a;
    const struct entry *const *right = b;

    return entry_compare(*left, entry_key_of(*right));
}

/* A walk meets exactly these, and each is found. */
static void entries_check(struct fixture *fixture, const struct entry **entries, size_t count)
{
    struct order_cursor cursor;

    order_audit(&fixture->order, &fixture->slabs);
    assert_int_equal(fixture->order.count, count);
    qsort(entries, count, sizeof(struct entry *), entries_compare);
    cursor = order_begin(&fixture->order);
    for (size_t i = 0; i < count; i++) {
        const struct bytes key = entry_key_of(entries[i]);

        assert_ptr_equal(order_next(&cursor, &fixture->slabs), entries[i]);
        assert_int_equal(bytes_seek(fixture, key, ORDER_FROM), entries[i]->link);
        assert_int_equal(bytes_seek(fixture, key, ORDER_AFTER),
                         i + 1 == count ? 0 : entries[i + 1]->link);
    }
    assert_null(order_next(&cursor, &fixture->slabs));
}

/* Kinds of keys: how they are alike decides what nodes share and where heads are the same. */
enum kind { KIND_NUMBERS, KIND_ASCENDING, KIND_DESCENDING, KIND_LONG, KIND_BITS, KIND_COUNT };

static struct bytes kind_key(struct fixture *fixture, enum kind kind, unsigned i, char key[256])
{
    const unsigned long long drawn = random_next(&fixture->random);
    int size = 0;

    switch (kind) {
    case KIND_NUMBERS: size = snprintf(key, 256, "%llu", drawn); break;
    case KIND_ASCENDING: size = snprintf(key, 256, "visitors:%011u", i); break;
    case KIND_DESCENDING: size = snprintf(key, 256, "visitors:%011u", KEYS - i); break;
    case KIND_LONG:
        /* What they share is longer than what a node keeps, and heads in it are all the same. */
        size =
            snprintf(key, 256, "%0*u%llu", (int)(drawn % 3) * 40 + 1, (unsigned)(drawn % 2), drawn);
        break;
    default:
        /* Two bytes only, many a key the beginning of another. */
        for (size = 0; size < 11 || (size < 200 && (drawn >> size % 64 & 7) != 0); size++) {
            key[size] = (char)(random_next(&fixture->random) & 1);
        }
        break;
    }
    return (struct bytes){ (const uint8_t *)key, (size_t)size };
}

static bool key_there(struct fixture *fixture, struct bytes key)
{
    const uint32_t id = bytes_seek(fixture, key, ORDER_FROM);

    return id != 0 && entry_compare(slabs_entry(&fixture->slabs, id), key) == 0;
}

static void kind_run(struct fixture *fixture, enum kind kind)
{
    static const struct entry *entries[KEYS];
    size_t count = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        char text[256];
        const struct bytes key = kind_key(fixture, kind, i, text);

        if (!key_there(fixture, key)) {
            entries[count++] = slabs_entry(&fixture->slabs, key_insert(fixture, key));
        }
        if (i % 3 == 2 && count > KEYS / 4) {
            const size_t at = (size_t)random_below(&fixture->random, count);

            entry_out(fixture, entries[at]);
            entries[at] = entries[--count];
        }
        if (i % (KEYS / 8) == 0) {
            order_audit(&fixture->order, &fixture->slabs);
        }
    }
    entries_check(fixture, entries, count);
    /* A stretch goes, then all. */
    for (size_t end = count / 2; count > end;) {
        entry_out(fixture, entries[--count]);
    }
    entries_check(fixture, entries, count);
    while (count > 0) {
        const size_t at = (size_t)random_below(&fixture->random, count);

        entry_out(fixture, entries[at]);
        entries[at] = entries[--count];
    }
    assert_int_equal(fixture->order.count, 0);
    assert_int_equal(fixture->order.height, 0);
    assert_int_equal(fixture->order.nodes, 0);
}

static void test_order_keeps_keys_of_all_kinds_sorted_while_they_come_and_go(void **state)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        kind_run(*state, (enum kind)kind);
    }
}

static void numbers_insert(struct fixture *fixture, unsigned count, unsigned step)
{
    char key[32];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "key:%09u", (unsigned)((uint64_t)i * step % count));
        (void)key_insert(fixture, bytes_of(key));
    }
}

/* Leaves are full where keys came in order, half full at least where they did not. */
static void test_order_fills_its_nodes(void **state)
{
    struct fixture *fixture = *state;

    numbers_insert(fixture, MANY, 1);
    assert_in_range(fixture->order.nodes, 1, MANY / ORDER_LEAF_ITEMS * 21 / 20);
    teardown(state);
    setup(state);
    numbers_insert(fixture, MANY, 12345677);
    assert_in_range(fixture->order.nodes, 1, MANY / ORDER_LEAF_ITEMS * 8 / 5);
}

/* Where most keys of a leaf go, it goes too. */
static void test_order_gives_nodes_back(void **state)
{
    struct fixture *fixture = *state;
    char key[32];

    numbers_insert(fixture, MANY, 1);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "key:%09u", i);
        if (i % 64 != 0) {
            entry_out(fixture, slabs_entry(&fixture->slabs, key_seek(fixture, key, ORDER_FROM)));
        }
    }
    order_audit(&fixture->order, &fixture->slabs);
    assert_int_equal(fixture->order.count, (MANY + 63) / 64);
    assert_in_range(fixture->order.nodes, 1, MANY / 64 / (ORDER_LEAF_ITEMS / 4) + 3);
}

/* A node a level, and hardly an entry. */
static void test_order_seek_reads_nodes_and_hardly_an_entry(void **state)
{
    struct fixture *fixture = *state;
    char key[32];

    numbers_insert(fixture, MANY, 12345677);
    assert_int_equal(fixture->order.height, 3);
    fixture->nodes = 0;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "key:%09u", i);
        assert_int_not_equal(key_seek(fixture, key, ORDER_FROM), 0);
    }
    /* The key itself, once for the leaf. */
    assert_in_range(fixture->nodes, 4 * MANY, 4 * MANY + MANY / 5);
}

/* An entry whose memory does not count, ready to be inserted. */
static uint32_t entry_free_of_charge(struct fixture *fixture, const char *key)
{
    const uint64_t limit_bytes = fixture->mem.limit_bytes;
    uint32_t id;

    fixture->mem.limit_bytes = 0;
    id = entry_make(&fixture->slabs, &fixture->mem, bytes_of(key), 0);
    fixture->mem.limit_bytes = limit_bytes;
    return id;
}

/* Without memory for a node it says so beforehand, and nothing changed. */
static void test_order_ready_refuses_without_memory(void **state)
{
    struct fixture *fixture = *state;
    unsigned inserted = 0;
    char key[32];

    numbers_insert(fixture, 5 * ORDER_LEAF_ITEMS, 1);
    fixture->mem.limit_bytes = 1;
    while (order_ready(&fixture->order, &fixture->mem)) {
        (void)snprintf(key, sizeof key, "key:1%09u", inserted++);
        order_insert(&fixture->order, &fixture->slabs, entry_free_of_charge(fixture, key),
                     &fixture->nodes);
    }
    assert_in_range(inserted, 1, ORDER_LEAF_ITEMS);
    assert_int_equal(fixture->order.count, 5 * ORDER_LEAF_ITEMS + inserted);
    order_audit(&fixture->order, &fixture->slabs);
    fixture->mem.limit_bytes = 0;
    assert_true(order_ready(&fixture->order, &fixture->mem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_of_nothing_has_no_first),
        TEST(test_order_seek_finds_at_and_after),
        TEST(test_order_is_that_of_unsigned_bytes),
        TEST(test_order_keeps_keys_of_all_kinds_sorted_while_they_come_and_go),
        TEST(test_order_fills_its_nodes),
        TEST(test_order_gives_nodes_back),
        TEST(test_order_seek_reads_nodes_and_hardly_an_entry),
        TEST(test_order_ready_refuses_without_memory),
    };

    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
