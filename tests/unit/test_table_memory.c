/* What this file tests: what the table promises, and what happens when memory ends. */

#include "base/random.h"
#include "store/table.h"

#include <stdio.h>
#include <string.h>

#include "unit/table_fixture.h"
#include "unit/test.h"

#define RESERVED_KEYS  400
#define RESERVED_PARTS 5

/* Memory. */

struct digest_of_all {
    uint64_t roots[TABLE_SET_COUNT];
    struct table_stats stats;
    size_t changes;
};

static struct digest_of_all all_digest(const struct table *table)
{
    struct digest_of_all all = {
        .roots = { table_root(table, TABLE_M), table_root(table, TABLE_D) },
        .stats = table_stats(table),
        .changes = changes_count(table),
    };

    return all;
}

/* A write that failed has changed nothing (an entry without elements is nothing), and goes through
 * when there is memory. Returns whether it failed. */
static bool write_or_unchanged(struct table *table, const char *key, uint64_t index, uint64_t value)
{
    const struct digest_of_all before = all_digest(table);
    const enum status status = key_write(table, key, index, value);
    struct digest_of_all after;

    if (status == STATUS_OK) {
        return false;
    }
    assert_int_equal(status, STATUS_MEMORY);
    after = all_digest(table);
    assert_true(after.roots[TABLE_D] == before.roots[TABLE_D]);
    assert_int_equal(after.stats.keys[TABLE_D], before.stats.keys[TABLE_D]);
    assert_int_equal(after.stats.elements, before.stats.elements);
    assert_int_equal(after.changes, before.changes);
    table_audit(table);
    assert_int_equal(key_write(table, key, index, value), STATUS_OK);
    return true;
}

/* Everything that allocates: keys of many sizes, vectors that grow, a long feed, segments, leaves
 * that split, a reservation. Returns whether an allocation was refused on the way. */
static bool script_run(struct table *table, struct mem *mem)
{
    const uint64_t countdown = mem->fail_countdown;
    struct reservation reservation = { 0 };
    char key[64];

    for (unsigned i = 0; i < 900; i++) {
        (void)snprintf(key, sizeof key, "%u%.*s", i, (int)(i % 40),
                       "........................................");
        (void)write_or_unchanged(table, key, i, i + 1);
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)write_or_unchanged(table, "grows", (uint64_t)i << 7, UINT64_MAX >> i % 64);
    }
    if (table_reserve(table, 3, 1000, &reservation) != STATUS_OK) {
        assert_int_equal(reservation.mem.bytes, 0);
        table_audit(table);
        assert_int_equal(table_reserve(table, 3, 1000, &reservation), STATUS_OK);
    }
    table_draw(table, &reservation);
    assert_int_equal(key_write(table, "reserved 1", 0, 1), STATUS_OK);
    assert_int_equal(key_write(table, "reserved 2", 0, 1), STATUS_OK);
    table_draw(table, NULL);
    table_release(table, &reservation);
    for (unsigned i = 0; i < 900; i += 3) {
        (void)snprintf(key, sizeof key, "%u%.*s", i, (int)(i % 40),
                       "........................................");
        table_drop(table, table_find(table, bytes_of(key)));
    }
    table_audit(table);
    table_turn_end(table);
    table_turn_end(table);
    return countdown > 0 && mem->fail_countdown == 0;
}

static void test_table_survives_each_allocation_failing(void **state)
{
    struct fixture *fixture = *state;
    struct table_options options = options_default;
    uint64_t root = 0;
    bool failed = true;

    options.mem = &fixture->mem;
    for (uint64_t countdown = 0; failed || countdown <= 1; countdown++) {
        struct table *table = NULL;
        enum status status;

        fixture->mem.fail_countdown = countdown;
        status = table_create(&options, &table);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_MEMORY);
            assert_null(table);
            failed = true;
            continue;
        }
        failed = script_run(table, &fixture->mem);
        table_audit(table);
        root = countdown == 0 ? table_root(table, TABLE_D) : root;
        assert_true(table_root(table, TABLE_D) == root);
        table_free(table);
    }
    assert_true(root != 0);
    fixture->mem.fail_countdown = 0;
}

/* One bulk write: keys of all sizes with vectors of several forms, a part of them a turn. */
struct bulk {
    struct reservation reservation;
    struct vector vectors[RESERVED_KEYS];
    struct mem mem; /* of the vectors */
    unsigned number;
    unsigned written;
};

static struct bytes bulk_key(const struct bulk *bulk, unsigned i, char key[256])
{
    const int size = snprintf(key, 256, "bulk %u, %u ", bulk->number, i);
    const size_t padded = i % 7 == 0 ? 255 : (size_t)size + i % 50;

    memset(key + size, '-', 256 - (size_t)size);
    return (struct bytes){ (const uint8_t *)key, padded };
}

static void bulk_begin(struct fixture *fixture, struct bulk *bulk, unsigned number)
{
    uint64_t bytes = 0;

    *bulk = (struct bulk){ .number = number };
    for (unsigned i = 0; i < RESERVED_KEYS; i++) {
        const unsigned elements = i % 10 == 0 ? 60 : 1;

        vector_init(&bulk->vectors[i]);
        for (unsigned j = 0; j < elements; j++) {
            const uint64_t value = random_next(&fixture->random) >> j;
            const uint8_t offset = (uint8_t)j;
            const struct block block = {
                .number = j % 20, .values = &value, .offsets = &offset, .count = 1, .width = 8
            };

            assert_int_equal(vector_merge(&bulk->vectors[i], &bulk->mem, &block, 0, NULL),
                             STATUS_OK);
        }
        bytes += table_merge_bytes_max(NULL, &bulk->vectors[i]);
    }
    assert_int_equal(table_reserve(fixture->table, RESERVED_KEYS, bytes, &bulk->reservation),
                     STATUS_OK);
}

/* Not a byte but what was promised. */
static void bulk_write(struct fixture *fixture, struct bulk *bulk, unsigned count)
{
    fixture->mem.limit_bytes = 1;
    table_draw(fixture->table, &bulk->reservation);
    for (unsigned end = bulk->written + count; bulk->written < end; bulk->written++) {
        const struct vector *vector = &bulk->vectors[bulk->written];
        struct entry *entry = NULL;
        struct block_room room;
        char key[256];

        assert_int_equal(
            table_obtain(fixture->table, bulk_key(bulk, bulk->written, key), TABLE_D, &entry),
            STATUS_OK);
        for (size_t i = 0; i < vector_blocks(vector); i++) {
            const struct block block = vector_block(vector, i, &room);

            assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_CLIENT, NULL),
                             STATUS_OK);
        }
    }
    table_draw(fixture->table, NULL);
    fixture->mem.limit_bytes = 0;
}

static void bulk_end(struct fixture *fixture, struct bulk *bulk)
{
    char key[256];

    assert_int_equal(bulk->written, RESERVED_KEYS);
    table_release(fixture->table, &bulk->reservation);
    for (unsigned i = 0; i < RESERVED_KEYS; i++) {
        const struct entry *entry = table_find(fixture->table, bulk_key(bulk, i, key));

        assert_non_null(entry);
        assert_int_equal(vector_size(entry_vector(entry)), vector_size(&bulk->vectors[i]));
        vector_clear(&bulk->vectors[i], &bulk->mem);
    }
    assert_int_equal(bulk->mem.used_bytes, 0);
}

/* Two bulk writes and a third writer without a promise take turns, which begins the slabs and
 * fills the feed that the others paid for: all the same nothing that was promised fails. */
static void test_table_keeps_promises_whatever_others_write(void **state)
{
    static struct bulk bulks[2];
    struct fixture *fixture = *state;
    char key[256];

    bulk_begin(fixture, &bulks[0], 0);
    bulk_begin(fixture, &bulks[1], 1);
    for (unsigned part = 0; part < RESERVED_KEYS; part += RESERVED_PARTS) {
        bulk_write(fixture, &bulks[0], RESERVED_PARTS);
        for (unsigned i = 0; i < 3 * RESERVED_PARTS; i++) {
            (void)snprintf(key, sizeof key, "other %u %.*s", part + i, (int)(i * 16),
                           "................................................................"
                           "................................................................"
                           "................................................................"
                           "................................................................");
            (void)key_put(fixture->table, key, i, UINT64_MAX);
        }
        bulk_write(fixture, &bulks[1], RESERVED_PARTS);
        if (part % 25 == 0) {
            table_drop(fixture->table, table_find(fixture->table, bytes_of(key)));
            table_turn_end(fixture->table);
            table_audit(fixture->table);
        }
    }
    bulk_end(fixture, &bulks[0]);
    bulk_end(fixture, &bulks[1]);
}

/* 577 blocks that are there already need no memory but that of their changes: after a full list,
 * ten steps of it, the last for a single change. */
static void test_table_promise_covers_the_feed(void **state)
{
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    struct vector more;
    struct mem mem = { 0 };
    struct entry *entry = key_put(fixture->table, "dense", 0, 1);
    const uint64_t blocks = 64 * 9 + 1;
    char key[16];

    vector_init(&more);
    for (uint64_t index = 0; index < blocks << 8; index++) {
        const uint64_t value = 2;
        const uint8_t offset = (uint8_t)index;
        const struct block block = {
            .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };

        assert_int_equal(element_merge(fixture->table, entry, index, 3, CHANGE_FROM_DISK),
                         STATUS_OK);
        assert_int_equal(vector_merge(&more, &mem, &block, 0, NULL), STATUS_OK);
        table_turn_end(fixture->table);
    }
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        (void)key_put(fixture->table, key, 0, 1);
    }
    assert_int_equal(
        table_reserve(fixture->table, 0, table_merge_bytes_max(entry, &more), &reservation),
        STATUS_OK);
    fixture->mem.limit_bytes = 1;
    table_draw(fixture->table, &reservation);
    for (uint64_t number = 0; number < blocks; number++) {
        assert_int_equal(element_merge(fixture->table, entry, number << 8, 4, CHANGE_FROM_CLIENT),
                         STATUS_OK);
    }
    table_draw(fixture->table, NULL);
    fixture->mem.limit_bytes = 0;
    table_release(fixture->table, &reservation);
    vector_clear(&more, &mem);
}

/* A key of each size needs a slab of its own. */
static void test_table_promise_covers_a_slab_for_each_size(void **state)
{
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    uint8_t text[255];

    memset(text, 'k', sizeof text);
    assert_int_equal(table_reserve(fixture->table, 32, 0, &reservation), STATUS_OK);
    fixture->mem.limit_bytes = 1;
    table_draw(fixture->table, &reservation);
    for (unsigned i = 0; i < 32; i++) {
        struct entry *entry;

        assert_int_equal(
            table_obtain(fixture->table, (struct bytes){ text, 7 + 8 * i }, TABLE_D, &entry),
            STATUS_OK);
        assert_int_equal(element_merge(fixture->table, entry, 0, 1, CHANGE_FROM_CLIENT), STATUS_OK);
    }
    table_draw(fixture->table, NULL);
    fixture->mem.limit_bytes = 0;
    table_release(fixture->table, &reservation);
}

/* Many long keys in no order: what the order of keys needs for them is more than the slack of what
 * a promise asks for slabs, buckets and leaves. */
static void test_table_promise_covers_the_order_of_keys(void **state)
{
    enum { MANY = 40000 };
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    char text[256];

    memset(text, 'k', sizeof text);
    assert_int_equal(table_reserve(fixture->table, MANY, 0, &reservation), STATUS_OK);
    fixture->mem.limit_bytes = 1;
    table_draw(fixture->table, &reservation);
    for (unsigned i = 0; i < MANY; i++) {
        const struct bytes key = { (const uint8_t *)text, 255 };
        struct entry *entry;
        char number[12];

        (void)snprintf(number, sizeof number, "%05u", (unsigned)((uint64_t)i * 7919 % MANY));
        memcpy(text + 100, number, 5);
        assert_int_equal(table_obtain(fixture->table, key, TABLE_D, &entry), STATUS_OK);
        assert_int_equal(element_merge(fixture->table, entry, 0, 1, CHANGE_FROM_CLIENT), STATUS_OK);
    }
    table_draw(fixture->table, NULL);
    fixture->mem.limit_bytes = 0;
    table_release(fixture->table, &reservation);
}

/* What was promised to vectors is not spent on buckets and leaves. */
static void test_table_indexes_grow_within_their_share_of_a_promise(void **state)
{
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    char key[16];

    assert_int_equal(table_reserve(fixture->table, 0, 1000000, &reservation), STATUS_OK);
    assert_int_equal(reservation.growth_bytes, 0);
    table_draw(fixture->table, &reservation);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        (void)key_put(fixture->table, key, 0, 1);
    }
    table_draw(fixture->table, NULL);
    assert_int_equal(reservation.growth_bytes, 0);
    table_release(fixture->table, &reservation);
}

static void test_table_release_gives_all_back(void **state)
{
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    uint64_t used_bytes;

    /* What the directory of slabs grew by stays. */
    assert_int_equal(table_reserve(fixture->table, 1000, 5000, &reservation), STATUS_OK);
    table_release(fixture->table, &reservation);
    used_bytes = fixture->mem.used_bytes;
    assert_int_equal(table_reserve(fixture->table, 1000, 5000, &reservation), STATUS_OK);
    assert_true(fixture->mem.used_bytes > used_bytes + 5000);
    table_draw(fixture->table, &reservation);
    assert_int_equal(key_write(fixture->table, "a", 0, 1), STATUS_OK);
    table_drop(fixture->table, table_find(fixture->table, bytes_of("a")));
    table_draw(fixture->table, NULL);
    table_turn_end(fixture->table);
    table_release(fixture->table, &reservation);
    assert_true(fixture->mem.used_bytes <= used_bytes + 65 * sizeof(struct change));
}

static void test_table_refuses_promises_there_is_no_memory_for(void **state)
{
    struct fixture *fixture = *state;
    struct reservation reservation = { 0 };
    const uint64_t used_bytes = fixture->mem.used_bytes;

    assert_int_equal(table_reserve(fixture->table, UINT64_MAX, 0, &reservation), STATUS_MEMORY);
    assert_int_equal(table_reserve(fixture->table, 0, UINT64_MAX, &reservation), STATUS_MEMORY);
    assert_int_equal(fixture->mem.used_bytes, used_bytes);
    fixture->mem.limit_bytes = used_bytes + 10000;
    assert_int_equal(table_reserve(fixture->table, 1, 10000, &reservation), STATUS_MEMORY);
    assert_int_equal(table_reserve(fixture->table, 1000, 0, &reservation), STATUS_MEMORY);
    fixture->mem.limit_bytes = 0;
    assert_int_equal(reservation.mem.bytes, 0);
    assert_int_equal(reservation.keys, 0);
    table_release(fixture->table, &reservation);
}

/* The drop of a key cannot fail: where there is no room to tell, it is told later. */
static void test_table_tells_drops_later_when_the_feed_cannot_grow(void **state)
{
    struct fixture *fixture = *state;
    struct entry *last = NULL;
    char key[16];

    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        last = key_put(fixture->table, key, 0, i + 1);
    }
    assert_int_equal(changes_count(fixture->table), 64);
    fixture->mem.limit_bytes = 1;
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        table_drop(fixture->table, table_find(fixture->table, bytes_of(key)));
    }
    assert_int_equal(changes_count(fixture->table), 64);
    assert_null(table_find(fixture->table, bytes_of("63")));
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    assert_int_equal(changes_count(fixture->table), 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(table_changes(fixture->table).list[i].dropped);
    }
    assert_int_equal(vector_get(entry_vector(last), 0), 64);
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    assert_int_equal(changes_count(fixture->table), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table_survives_each_allocation_failing),
        TEST(test_table_keeps_promises_whatever_others_write),
        TEST(test_table_promise_covers_the_feed),
        TEST(test_table_promise_covers_a_slab_for_each_size),
        TEST(test_table_promise_covers_the_order_of_keys),
        TEST(test_table_indexes_grow_within_their_share_of_a_promise),
        TEST(test_table_release_gives_all_back),
        TEST(test_table_refuses_promises_there_is_no_memory_for),
        TEST(test_table_tells_drops_later_when_the_feed_cannot_grow),
    };

    return cmocka_run_group_tests_name("table_memory", tests, NULL, NULL);
}
