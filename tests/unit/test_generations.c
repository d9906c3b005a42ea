/* What this file tests: deletion, and that (generation, vector) is joined in any order. */

#include "base/deadline.h"
#include "store/digest.h"
#include "store/table.h"

#include <string.h>

#include "unit/table_fixture.h"
#include "unit/test.h"

#define KEYS     3
#define INDICES  4
#define UPDATES  16
#define SHUFFLES 200

#define MINUTE_BEFORE  UINT32_C(29960000) /* when nothing ends that is written here; */
#define MINUTE_BETWEEN UINT32_C(29975760) /* 2026-12-29T12:00: one of two did; */
#define MINUTE_AFTER   UINT32_C(29990000) /* both */

static uint64_t hash_of(const char *key)
{
    return digest_key_hash(0, bytes_of(key));
}

static struct entry *by_hash(const struct table *table, const char *key)
{
    return table_find_hash(table, TABLE_DATA, hash_of(key));
}

/* As a node does; what is as late or later stays. */
static enum status key_delete_maybe(struct table *table, const char *key, uint32_t generation,
                                    struct entry **entry)
{
    *entry = by_hash(table, key);
    return *entry != NULL && entry_generation(*entry) >= generation
               ? STATUS_OK
               : table_delete(table, entry, hash_of(key), deadline_of(bytes_of(key)), generation,
                              CHANGE_FROM_CLIENT);
}

static struct entry *key_delete(struct table *table, const char *key, uint32_t generation)
{
    struct entry *entry;

    assert_int_equal(key_delete_maybe(table, key, generation, &entry), STATUS_OK);
    return entry;
}

/* Join a block of a generation, as a node does. */
static enum status block_join(struct table *table, const char *key, uint32_t generation,
                              const struct block *block)
{
    struct merge_result result;
    struct entry *entry;
    enum status status = table_obtain(table, bytes_of(key), TABLE_DATA, &entry);

    if (status != STATUS_OK || generation < entry_generation(entry)) {
        return status;
    }
    return generation == entry_generation(entry)
               ? table_merge(table, entry, block, CHANGE_FROM_PEER, &result)
               : table_renew(table, &entry, generation, block, CHANGE_FROM_PEER, &result);
}

static void element_put(struct table *table, const char *key, uint32_t generation, uint64_t index,
                        uint64_t value)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };

    assert_int_equal(block_join(table, key, generation, &block), STATUS_OK);
}

static void test_deleted_key_is_found_by_hash_alone(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    struct tree_child children[WIRE_TREE_CHILDREN];
    struct entry *entries[4];
    struct entry *tombstone;

    (void)key_put(table, "a", 0, 5);
    (void)key_put(table, "b", 0, 5);
    table_turn_end(table);
    tombstone = key_delete(table, "a", 7);
    assert_null(table_find(table, bytes_of("a")));
    assert_int_equal(table_slice(table, none, none, entries, 4), 1);
    assert_int_equal(table_stats(table).keys[TABLE_DATA], 1);
    assert_int_equal(table_stats(table).elements, 1);
    assert_int_equal(table_stats(table).tombstones, 1);
    assert_ptr_equal(table_tombstone(table, bytes_of("a")), tombstone);
    assert_null(table_tombstone(table, bytes_of("b")));
    assert_ptr_equal(by_hash(table, "a"), tombstone);
    assert_true(entry_deleted(tombstone));
    assert_false(entry_deleted(by_hash(table, "b")));
    assert_int_equal(entry_generation(tombstone), 7);
    assert_int_equal(entry_set(tombstone), TABLE_DATA);
    assert_true(entry_hash(table, tombstone) == hash_of("a"));
    assert_int_equal(table_slice_hash(table, (struct prefix){ .set = TABLE_DATA }, 0, entries, 4),
                     2);
    assert_ptr_equal(entries[hash_of("a") > hash_of("b")], tombstone);
    table_children(table, (struct prefix){ .set = TABLE_DATA }, children);
    assert_int_equal(children[hash_of("a") >> 60].keys + children[hash_of("b") >> 60].keys,
                     hash_of("a") >> 60 == hash_of("b") >> 60 ? 4 : 2);
}

/* Generation 0 is what vignette(7) gives; others are told apart from it and from each other. */
static void test_digest_of_a_generation(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    const uint64_t hash = hash_of("foo");
    const uint64_t h = UINT64_C(0xd3c1e3fcfc1ac1c5);
    struct entry *entry;

    element_put(table, "foo", 0, 0, 5);
    element_put(table, "foo", 0, 1, 11);
    element_put(table, "foo", 0, 5, 3);
    assert_true(entry_digest(table_find(table, bytes_of("foo"))) == h);
    assert_true(table_root(table, TABLE_DATA) == UINT64_C(0x4ed792c97ab1b88e));
    entry = key_delete(table, "foo", 1764000000);
    assert_true(entry_digest(entry) == UINT64_C(0x78a351b6bf73f35e));
    assert_true(table_root(table, TABLE_DATA) == digest_contribution(hash, entry_digest(entry)));
    element_put(table, "foo", 1764000000, 5, 3);
    element_put(table, "foo", 1764000000, 0, 5);
    element_put(table, "foo", 1764000000, 1, 11);
    assert_true(entry_digest(table_find(table, bytes_of("foo"))) == UINT64_C(0x4c6535b3bb8eb523));
    assert_true(table_root(table, TABLE_DATA) == UINT64_C(0x23f7850726b11407));
}

static const struct change *change_of(const struct table *table, const struct entry *entry,
                                      bool dropped)
{
    const struct changes changes = table_changes(table);

    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].entry == entry && changes.list[i].dropped == dropped) {
            return &changes.list[i];
        }
    }
    return NULL;
}

static void test_deletion_is_in_the_feed(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    const struct entry *old = key_put(table, "a", 0, 5);
    const struct entry *tombstone;

    table_turn_end(table);
    tombstone = key_delete(table, "a", 7);
    assert_int_equal(changes_count(table), 2);
    assert_true(change_of(table, old, true)->deleted);
    assert_true(entry_dropped(old));
    assert_int_equal(entry_key(old).size, 1);
    assert_int_equal(change_of(table, tombstone, false)->origin, CHANGE_FROM_CLIENT);
    assert_true(mark_has(&change_of(table, tombstone, false)->raised, 0));
    assert_false(entry_dropped(tombstone));
    table_audit(table);
    table_turn_end(table);
    assert_int_equal(changes_count(table), 0);
    assert_ptr_equal(key_delete(table, "a", 9), tombstone); /* a later one: the same place */
    assert_int_equal(changes_count(table), 1);
    assert_false(change_of(table, tombstone, false)->deleted);
}

static void test_write_to_a_deleted_key_lives_in_its_generation(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    struct entry *tombstone = key_delete(table, "a", 7);
    struct entry *entry;

    table_turn_end(table);
    entry = key_put(table, "a", 3, 1);
    assert_int_equal(entry_generation(entry), 7);
    assert_int_equal(table_stats(table).tombstones, 0);
    assert_int_equal(table_stats(table).keys[TABLE_DATA], 1);
    assert_true(change_of(table, tombstone, true) != NULL);
    assert_true(entry_dropped(tombstone));
    assert_true(change_of(table, entry, false)->created);
    table_audit(table);
    table_turn_end(table);
    assert_int_equal(vector_get(entry_vector(entry), 3), 1);
    assert_null(table_tombstone(table, bytes_of("a")));
}

/* All in one turn: what was obtained before the deletion does not outlive it. */
static void test_key_obtained_before_its_deletion_is_begun_anew(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    struct entry *entry;

    assert_int_equal(table_obtain(table, bytes_of("a"), TABLE_DATA, &entry), STATUS_OK);
    (void)key_delete(table, "a", 7);
    assert_int_equal(entry_generation(key_put(table, "a", 0, 1)), 7);
    (void)key_delete(table, "a", 8);
    assert_int_equal(entry_generation(key_put(table, "a", 0, 2)), 8);
    (void)key_delete(table, "a", 9);
    table_audit(table);
    table_turn_end(table);
    assert_int_equal(table_stats(table).tombstones, 1);
    assert_int_equal(table_stats(table).keys[TABLE_DATA], 0);
}

static void test_greater_generation_empties_a_key_first(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    const struct entry *old = key_put(table, "a", 1, 100);

    table_turn_end(table);
    element_put(table, "a", 3, 2, 5);
    assert_true(change_of(table, old, true)->deleted);
    assert_int_equal(vector_get(entry_vector(table_find(table, bytes_of("a"))), 1), 0);
    assert_int_equal(entry_generation(table_find(table, bytes_of("a"))), 3);
    element_put(table, "a", 0, 1, 100); /* comes back, too late */
    assert_int_equal(vector_size(entry_vector(table_find(table, bytes_of("a")))), 1);
    table_turn_end(table);
    (void)key_delete(table, "a", 4);
    element_put(table, "a", 5, 2, 1);
    assert_int_equal(table_stats(table).tombstones, 0);
    element_put(table, "unseen", 5, 2, 1);
    assert_int_equal(entry_generation(table_find(table, bytes_of("unseen"))), 5);
}

/* A key that has ended is not found by hash; a deletion by one who does not say when it ends counts
 * all the same when the clock, which was ahead, goes back. */
static void test_deletion_of_what_has_ended_is_not_lost(void **state)
{
    static const char dated[] = "a~2026-12-29";
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    const uint32_t deadline = deadline_of(bytes_of(dated));
    struct entry *tombstone;
    uint64_t root;

    for (unsigned written = 0; written < 2; written++) {
        (void)key_put(table, dated, 0, 5);
        table_set_minute(table, deadline);
        (void)table_expire(table, 10);
        tombstone = NULL;
        assert_int_equal(table_delete(table, &tombstone, hash_of(dated), DEADLINE_NONE, 7 + written,
                                      CHANGE_FROM_PEER),
                         STATUS_OK);
        root = table_root(table, TABLE_DATA);
        table_set_minute(table, deadline - 1);
        assert_null(table_find(table, bytes_of(dated)));
        if (written == 1) {
            assert_int_equal(entry_generation(key_put(table, dated, 0, 1)), 8);
            break;
        }
        table_audit(table);
        (void)table_expire(table, 10);
        assert_null(table_find(table, bytes_of(dated)));
        assert_true(table_root(table, TABLE_DATA) == root);
        table_turn_end(table);
    }
    table_audit(table);
    assert_int_equal(vector_size(entry_vector(table_find(table, bytes_of(dated)))), 1);
}

static void test_tombstones_of_unknown_keys_are_limited(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    struct entry *tombstone;

    (void)key_put(table, "a", 1, 1);
    (void)key_put(table, "b", 1, 1);
    table_set_keys_max(table, 2);
    (void)key_delete(table, "unseen", 1);
    (void)key_delete(table, "unheard", 1);
    assert_int_equal(key_delete_maybe(table, "c", 1, &tombstone), STATUS_FULL);
    assert_null(tombstone);
    (void)key_delete(table, "a", 1);
    (void)key_delete(table, "unseen", 2);
    assert_int_equal(table_stats(table).tombstones, 3);
    assert_non_null(key_put(table, "unseen", 1, 1)); /* a place became free with a */
}

/* The lattice: any order, any number of times. */

struct update {
    const char *key;
    uint32_t generation;
    uint64_t index;
    uint64_t value; /* 0: a deletion */
};

/* What must come of all updates together. */
static void updates_expect(const struct table *table, const struct update *updates, const char *key)
{
    const struct entry *entry = table_find(table, bytes_of(key));
    uint64_t values[INDICES] = { 0 };
    uint32_t generation = 0;
    uint64_t largest = 0;

    for (unsigned i = 0; i < UPDATES; i++) {
        const struct update *update = &updates[i];

        if (strcmp(update->key, key) != 0 || update->generation < generation) {
            continue;
        }
        if (update->generation > generation) {
            memset(values, 0, sizeof values);
            generation = update->generation;
        }
        if (update->value > values[update->index]) {
            values[update->index] = update->value;
        }
    }
    for (unsigned i = 0; i < INDICES; i++) {
        assert_int_equal(entry == NULL ? 0 : vector_get(entry_vector(entry), i), values[i]);
        largest |= values[i];
    }
    assert_int_equal(entry != NULL, largest > 0);
    entry = by_hash(table, key);
    assert_int_equal(entry == NULL ? 0 : entry_generation(entry), generation);
}

/* A clock that is ahead and comes back, and what is done meanwhile. */
static uint32_t clock_wander(struct fixture *fixture, struct table *table, uint32_t minute)
{
    static const uint32_t minutes[] = { MINUTE_BEFORE, MINUTE_BETWEEN, MINUTE_AFTER };

    switch (random_below(&fixture->random, 4)) {
    case 0:
        minute = minutes[random_below(&fixture->random, 3)];
        table_set_minute(table, minute);
        break;
    case 1: (void)table_drop_ended(table, 1); break;
    default: (void)table_expire(table, 1); break;
    }
    return minute;
}

static void update_apply(struct table *table, const struct update *update)
{
    if (update->value == 0) {
        (void)key_delete(table, update->key, update->generation);
    } else {
        element_put(table, update->key, update->generation, update->index, update->value);
    }
}

/* All of them in some order, the last of them once the clock is right. */
static void updates_apply(struct fixture *fixture, struct table *table,
                          const struct update *updates)
{
    _Static_assert((UPDATES & (UPDATES - 1)) == 0, "an odd step visits all");
    const unsigned start = (unsigned)random_below(&fixture->random, UPDATES);
    const unsigned step = 1 + 2 * (unsigned)random_below(&fixture->random, UPDATES / 2);
    uint32_t minute = MINUTE_BEFORE;

    table_set_minute(table, minute);
    for (unsigned i = 0; i < 2 * UPDATES; i++) {
        const bool wanders = i < UPDATES;
        const unsigned at =
            wanders ? (unsigned)random_below(&fixture->random, UPDATES) : start + i * step;
        const struct update *update = &updates[at % UPDATES];

        if (wanders) {
            minute = clock_wander(fixture, table, minute);
        } else if (i == UPDATES) {
            minute = MINUTE_BEFORE;
            table_set_minute(table, minute);
        } else {
            (void)table_expire(table, (size_t)random_below(&fixture->random, 2));
        }
        if (deadline_of(bytes_of(update->key)) > minute) {
            update_apply(table, update);
        }
        table_audit(table);
        if (random_below(&fixture->random, 3) == 0) {
            table_turn_end(table);
        }
    }
    while (table_expires(table)) {
        (void)table_expire(table, 1);
    }
    table_audit(table);
    table_turn_end(table);
}

/* Of keys that ended nothing is left, whether they were deleted or not. */
static void ended_expect(struct table *table, const char *other)
{
    static const char *const dated[] = { "b~2026-12-29", "c~2026-12-30" };
    const uint64_t deleted = by_hash(table, other) != NULL && entry_deleted(by_hash(table, other));

    table_set_minute(table, MINUTE_AFTER);
    for (unsigned i = 0; i < 2; i++) {
        assert_null(by_hash(table, dated[i]));
        assert_null(table_tombstone(table, bytes_of(dated[i])));
    }
    assert_true(table_expire(table, KEYS) < KEYS);
    table_audit(table);
    assert_int_equal(table_stats(table).tombstones, deleted);
    assert_int_equal(table_stats(table).keys[TABLE_DATA],
                     table_find(table, bytes_of(other)) != NULL);
    while (table_drop_ended(table, KEYS) > 0) {
        table_audit(table);
        table_turn_end(table);
    }
    assert_int_equal(table_stats(table).ended, 0);
}

static void test_any_order_of_joins_gives_the_same(void **state)
{
    static const char *const keys[KEYS] = { "a", "b~2026-12-29", "c~2026-12-30" };
    struct fixture *fixture = *state;
    struct table_options options = options_default;

    options.mem = &fixture->mem;
    for (unsigned shuffle = 0; shuffle < SHUFFLES; shuffle++) {
        struct update updates[UPDATES];
        uint64_t root = 0;

        for (unsigned i = 0; i < UPDATES; i++) {
            const bool deletes = random_below(&fixture->random, 3) == 0;

            updates[i] = (struct update){
                .key = keys[random_below(&fixture->random, KEYS)],
                .generation = deletes + (uint32_t)random_below(&fixture->random, 3),
                .index = random_below(&fixture->random, INDICES),
                .value = deletes ? 0 : 1 + random_below(&fixture->random, 5),
            };
        }
        for (unsigned i = 0; i < 2; i++) {
            struct table *table;

            assert_int_equal(table_create(&options, &table), STATUS_OK);
            updates_apply(fixture, table, updates);
            for (unsigned k = 0; k < KEYS; k++) {
                updates_expect(table, updates, keys[k]);
            }
            assert_true(i == 0 || table_root(table, TABLE_DATA) == root);
            root = table_root(table, TABLE_DATA);
            ended_expect(table, keys[0]);
            table_free(table);
        }
    }
}

/* Many in the same leaves: each is found, whatever stands before it. */
static void test_tombstones_are_found_among_many_keys(void **state)
{
    struct fixture *fixture = *state;
    struct table *table = fixture->table;
    char key[16];

    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        if (i % 3 > 0) {
            (void)key_put(table, key, 0, 1);
        }
        if (i % 3 < 2) {
            (void)key_delete(table, key, 1);
        }
    }
    table_audit(table);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        assert_ptr_equal(table_tombstone(table, bytes_of(key)),
                         i % 3 == 2 ? NULL : by_hash(table, key));
        (void)key_put(table, key, 0, 1);
    }
    assert_int_equal(table_stats(table).tombstones, 0);
}

/* Memory ends. */

/* What failed has changed nothing, and goes through when there is memory. */
static void delete_or_unchanged(struct table *table, const char *key, uint32_t generation)
{
    const struct table_stats before = table_stats(table);
    const uint64_t root = table_root(table, TABLE_DATA);
    const size_t changes = changes_count(table);
    struct entry *tombstone;

    if (key_delete_maybe(table, key, generation, &tombstone) == STATUS_OK) {
        return;
    }
    assert_true(table_root(table, TABLE_DATA) == root);
    assert_int_equal(table_stats(table).keys[TABLE_DATA], before.keys[TABLE_DATA]);
    assert_int_equal(table_stats(table).tombstones, before.tombstones);
    assert_int_equal(changes_count(table), changes);
    table_audit(table);
    (void)key_delete(table, key, generation);
}

static void join_or_unchanged(struct table *table, const char *key, uint32_t generation)
{
    static const uint64_t values[] = { UINT64_MAX, UINT64_MAX, UINT64_MAX }; /* not inlined */
    static const uint8_t offsets[] = { 1, 2, 3 };
    const struct block block = { .values = values, .offsets = offsets, .count = 3, .width = 8 };
    const uint64_t root = table_root(table, TABLE_DATA);
    const size_t changes = changes_count(table);

    if (block_join(table, key, generation, &block) == STATUS_OK) {
        return;
    }
    assert_true(table_root(table, TABLE_DATA) == root);
    assert_int_equal(changes_count(table), changes);
    table_audit(table);
    assert_int_equal(block_join(table, key, generation, &block), STATUS_OK);
}

static void test_deletion_survives_each_allocation_failing(void **state)
{
    struct fixture *fixture = *state;
    struct table_options options = options_default;
    bool failed = true;

    options.mem = &fixture->mem;
    for (uint64_t countdown = 1; failed; countdown++) {
        struct table *table;
        char key[64];

        assert_int_equal(table_create(&options, &table), STATUS_OK);
        fixture->mem.fail_countdown = countdown;
        for (unsigned i = 0; i < countdown % 20; i++) {
            (void)snprintf(key, sizeof key, "moves what follows in the feed by %u", i);
            join_or_unchanged(table, key, 0);
        }
        for (unsigned i = 0; i < 300; i++) {
            (void)snprintf(key, sizeof key, i % 2 == 0 ? "%u" : "%u~2026-12-29", i);
            join_or_unchanged(table, key, 0);
            if (i % 3 == 0) {
                join_or_unchanged(table, key, 1);
            }
            if (i % 3 > 0) {
                delete_or_unchanged(table, key, 1);
            }
            if (i % 3 > 1) {
                join_or_unchanged(table, key, 1 + i % 2);
            }
        }
        failed = fixture->mem.fail_countdown == 0;
        fixture->mem.fail_countdown = 0;
        table_audit(table);
        assert_int_equal(table_stats(table).tombstones, 100);
        table_turn_end(table);
        table_audit(table);
        table_free(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_deleted_key_is_found_by_hash_alone),
        TEST(test_digest_of_a_generation),
        TEST(test_deletion_is_in_the_feed),
        TEST(test_write_to_a_deleted_key_lives_in_its_generation),
        TEST(test_key_obtained_before_its_deletion_is_begun_anew),
        TEST(test_greater_generation_empties_a_key_first),
        TEST(test_deletion_of_what_has_ended_is_not_lost),
        TEST(test_tombstones_of_unknown_keys_are_limited),
        TEST(test_any_order_of_joins_gives_the_same),
        TEST(test_tombstones_are_found_among_many_keys),
        TEST(test_deletion_survives_each_allocation_failing),
    };

    return cmocka_run_group_tests_name("generations", tests, NULL, NULL);
}
