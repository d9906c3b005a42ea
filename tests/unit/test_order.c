/* What this file tests: entries in byte order of their keys. */

#include "base/random.h"
#include "store/order.h"

#include <stdlib.h>

#include "unit/entries.h"
#include "unit/test.h"

#define KEYS 2000

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
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static uint32_t key_insert(struct fixture *fixture, struct bytes key)
{
    const unsigned height = order_height(random_next(&fixture->random));
    const uint32_t id = entry_make(&fixture->slabs, &fixture->mem, key, height, 0);

    order_insert(&fixture->order, &fixture->slabs, id, &fixture->nodes);
    return id;
}

static uint32_t key_seek(struct fixture *fixture, const char *key, enum order_bound bound)
{
    return order_seek(&fixture->order, &fixture->slabs, bytes_of(key), bound, &fixture->nodes);
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
    uint32_t id;

    for (size_t i = count; i-- > 0;) {
        (void)key_insert(fixture, keys[i]);
    }
    id = fixture->order.first[0];
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = slabs_entry(&fixture->slabs, id);

        assert_int_equal(entry_compare(entry, keys[i]), 0);
        id = entry->tower[0];
    }
    assert_int_equal(id, 0);
}

static void test_order_height_is_bounded_and_rarely_large(void **state)
{
    struct fixture *fixture = *state;
    unsigned counts[ENTRY_HEIGHT_MAX + 1] = { 0 };

    assert_int_equal(order_height(0), ENTRY_HEIGHT_MAX);
    assert_int_equal(order_height(UINT64_MAX), 1);
    /* The lower half is the buckets'. */
    assert_int_equal(order_height(UINT64_C(0xffffffff00000000)), 1);
    assert_int_equal(order_height(UINT32_MAX), ENTRY_HEIGHT_MAX);
    for (unsigned i = 0; i < 100000; i++) {
        counts[order_height(random_next(&fixture->random))]++;
    }
    assert_in_range(counts[1], 74000, 76000);
    assert_in_range(counts[2], 18000, 19500);
}

static int ids_compare(const void *a, const void *b)
{
    const struct entry *const *left = a;
    const struct entry *const *right = b;

    return entry_compare(*left, entry_key_of(*right));
}

static void test_order_keeps_random_keys_sorted_while_they_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    static const struct entry *entries[KEYS];
    uint32_t id;

    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "%llu", (unsigned long long)random_next(&fixture->random));
        entries[i] = slabs_entry(&fixture->slabs, key_insert(fixture, bytes_of(key)));
    }
    order_audit(&fixture->order, &fixture->slabs);
    for (unsigned i = KEYS / 2; i < KEYS; i++) {
        order_remove(&fixture->order, &fixture->slabs, entries[i], &fixture->nodes);
    }
    order_audit(&fixture->order, &fixture->slabs);
    qsort(entries, KEYS / 2, sizeof entries[0], ids_compare);
    id = fixture->order.first[0];
    for (unsigned i = 0; i < KEYS / 2; i++) {
        assert_ptr_equal(slabs_entry(&fixture->slabs, id), entries[i]);
        assert_int_equal(order_seek(&fixture->order, &fixture->slabs, entry_key_of(entries[i]),
                                    ORDER_FROM, &fixture->nodes),
                         id);
        id = entries[i]->tower[0];
    }
    assert_int_equal(id, 0);
    for (unsigned i = 0; i < KEYS / 2; i++) {
        order_remove(&fixture->order, &fixture->slabs, entries[i], &fixture->nodes);
    }
    assert_int_equal(fixture->order.count, 0);
    assert_int_equal(key_seek(fixture, "", ORDER_FROM), 0);
}

/* 2.5 entries a level are compared, and there are log4 of the number of levels. */
static void test_order_seek_touches_few_entries(void **state)
{
    struct fixture *fixture = *state;
    char key[32];

    for (unsigned i = 0; i < 16384; i++) {
        (void)snprintf(key, sizeof key, "key:%05u", i);
        (void)key_insert(fixture, bytes_of(key));
    }
    fixture->nodes = 0;
    for (unsigned i = 0; i < 16384; i++) {
        (void)snprintf(key, sizeof key, "key:%05u", i);
        assert_int_not_equal(key_seek(fixture, key, ORDER_FROM), 0);
    }
    assert_in_range(fixture->nodes / 16384, 5, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_of_nothing_has_no_first),
        TEST(test_order_seek_finds_at_and_after),
        TEST(test_order_is_that_of_unsigned_bytes),
        TEST(test_order_height_is_bounded_and_rarely_large),
        TEST(test_order_keeps_random_keys_sorted_while_they_come_and_go),
        TEST(test_order_seek_touches_few_entries),
    };

    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
