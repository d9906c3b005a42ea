/* What this file tests: what the table does when memory ends. */

#include "base/random.h"
#include "store/table.h"

#include <stdio.h>
#include <string.h>

#include "unit/table_fixture.h"
#include "unit/test.h"

struct digest_of_all {
    uint64_t roots[TABLE_SET_COUNT];
    struct table_stats stats;
    size_t changes;
};

static struct digest_of_all all_digest(const struct table *table)
{
    struct digest_of_all all = {
        .roots = { table_root(table, TABLE_MEMBERS), table_root(table, TABLE_DATA) },
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
    assert_true(after.roots[TABLE_DATA] == before.roots[TABLE_DATA]);
    assert_int_equal(after.stats.keys[TABLE_DATA], before.stats.keys[TABLE_DATA]);
    assert_int_equal(after.stats.elements, before.stats.elements);
    assert_int_equal(after.changes, before.changes);
    table_audit(table);
    assert_int_equal(key_write(table, key, index, value), STATUS_OK);
    return true;
}

/* Everything that allocates: keys of many sizes, vectors that grow, a long feed, segments, leaves
 * that split, keys that are expected. Returns whether an allocation was refused on the way. */
static bool script_run(struct table *table, struct mem *mem)
{
    const uint64_t countdown = mem->fail_countdown;
    char key[64];

    for (unsigned i = 0; i < 900; i++) {
        (void)snprintf(key, sizeof key, "%u%.*s", i, (int)(i % 40),
                       "........................................");
        (void)write_or_unchanged(table, key, i, i + 1);
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)write_or_unchanged(table, "grows", (uint64_t)i << 7, UINT64_MAX >> i % 64);
    }
    table_expect(table, 5000);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof key, "expected %u", i);
        (void)write_or_unchanged(table, key, 0, 1);
    }
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
        root = countdown == 0 ? table_root(table, TABLE_DATA) : root;
        assert_true(table_root(table, TABLE_DATA) == root);
        table_free(table);
    }
    assert_true(root != 0);
    fixture->mem.fail_countdown = 0;
}

/* Keys of many sizes with vectors of several forms until memory ends, in one turn or in many: every
 * key that went in is there, whole, and the account never passed its limit. */
static void limit_meet(struct fixture *fixture, unsigned keys_a_turn)
{
    unsigned written = 0;
    char key[300];

    fixture->mem.limit_bytes = fixture->mem.used_bytes + (1 << 20);
    for (;; written++) {
        const int size = snprintf(key, sizeof key, "%05u", (unsigned)(written * 7919U % 100003));

        memset(key + size, '-', written % 250);
        key[(unsigned)size + written % 250] = '\0';
        if (key_write(fixture->table, key, (uint64_t)written << 5, UINT64_MAX >> written % 64)
            != STATUS_OK) {
            break;
        }
        assert_true(fixture->mem.used_bytes <= fixture->mem.limit_bytes);
        if (written % keys_a_turn == 0) {
            table_turn_end(fixture->table);
        }
    }
    assert_in_range(written, 2000, 20000);
    table_turn_end(fixture->table);
    table_audit(fixture->table);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], written);
    assert_int_equal(table_stats(fixture->table).elements, written);
    fixture->mem.limit_bytes = 0;
}

static void test_table_meets_its_limit_in_small_turns(void **state)
{
    limit_meet(*state, 10);
}

static void test_table_meets_its_limit_in_one_turn(void **state)
{
    limit_meet(*state, 1000000);
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
        TEST(test_table_meets_its_limit_in_small_turns),
        TEST(test_table_meets_its_limit_in_one_turn),
        TEST(test_table_tells_drops_later_when_the_feed_cannot_grow),
    };

    return cmocka_run_group_tests_name("table_memory", tests, NULL, NULL);
}
