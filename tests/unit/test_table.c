/* What this file tests: the table against a naive model, its listings, digests and feed. */

#include "base/random.h"
#include "store/digest.h"
#include "store/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/table_fixture.h"
#include "unit/test.h"

#define MODEL_KEYS    300
#define MODEL_INDICES 10
#define MODEL_STEPS   60000

/* Keys. */

static void test_table_finds_what_was_put_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 3, 5);

    assert_non_null(entry);
    assert_int_equal(vector_get(entry_vector(entry), 3), 5);
    assert_int_equal(entry_set(entry), TABLE_DATA);
    assert_int_equal(entry_key(entry).size, 1);
    assert_null(table_find(fixture->table, bytes_of("b")));
    assert_null(table_find(fixture->table, bytes_of("aa")));
    assert_null(table_find(fixture->table, none));
}

/* All of it or nothing, whichever allocation is refused. */
static void test_table_renews_an_entry_with_smaller_elements(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t value = 2;
    const uint8_t offset = 3;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct entry *entry = key_put(fixture->table, "a", 3, 5);
    struct entry *const old = entry;
    struct merge_result result;

    assert_non_null(key_put(fixture->table, "a", 4, 1));
    table_turn_end(fixture->table);
    fixture->mem.limit_bytes = 1;
    assert_int_equal(table_renew(fixture->table, &entry, 0, &block, CHANGE_FROM_SELF, &result),
                     STATUS_MEMORY);
    assert_ptr_equal(entry, old);
    assert_int_equal(vector_get(entry_vector(entry), 3), 5);
    table_audit(fixture->table);
    fixture->mem.limit_bytes = 0;
    assert_int_equal(table_renew(fixture->table, &entry, 0, &block, CHANGE_FROM_SELF, &result),
                     STATUS_OK);
    assert_ptr_equal(table_find(fixture->table, bytes_of("a")), entry);
    assert_int_equal(vector_get(entry_vector(entry), 3), 2);
    assert_int_equal(vector_size(entry_vector(entry)), 1);
    assert_int_equal(table_changes(fixture->table).count, 2);
    assert_true(table_changes(fixture->table).list[0].dropped);
    table_turn_end(fixture->table);
    table_audit(fixture->table);
}

static void test_table_takes_keys_of_1_to_255_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entries[256];
    uint8_t key[255];
    struct entry *entry;

    memset(key, 'k', sizeof key);
    for (size_t size = 1; size <= 255; size++) {
        assert_int_equal(table_obtain(fixture->table, (struct bytes){ key, size }, TABLE_MEMBERS,
                                      &entries[size]),
                         STATUS_OK);
        assert_int_equal(element_merge(fixture->table, entries[size], 0, size, CHANGE_FROM_DISK),
                         STATUS_OK);
    }
    for (size_t size = 1; size <= 255; size++) {
        entry = table_find(fixture->table, (struct bytes){ key, size });
        assert_ptr_equal(entry, entries[size]);
        assert_int_equal(entry_key(entry).size, size);
        assert_memory_equal(entry_key(entry).data, key, size);
        assert_int_equal(vector_get(entry_vector(entry), 0), size);
    }
}

static void test_table_obtain_gives_the_same_entry_again(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 0, 1);
    struct entry *again = NULL;

    assert_int_equal(table_obtain(fixture->table, bytes_of("a"), TABLE_DATA, &again), STATUS_OK);
    assert_ptr_equal(again, entry);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 1);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_MEMBERS], 0);
}

/* A key exists from its first element. */
static void test_table_entry_without_elements_is_found_but_nowhere_else(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = NULL;
    struct entry *listed;

    assert_int_equal(table_obtain(fixture->table, bytes_of("a"), TABLE_DATA, &entry), STATUS_OK);
    assert_ptr_equal(table_find(fixture->table, bytes_of("a")), entry);
    assert_int_equal(entry_digest(entry), 0);
    assert_int_equal(table_slice(fixture->table, none, none, &listed, 1), 0);
    assert_null(table_find_hash(fixture->table, TABLE_DATA, entry_hash(fixture->table, entry)));
    assert_int_equal(table_root(fixture->table, TABLE_DATA), 0);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 0);
    /* A zero is no element. */
    assert_int_equal(element_merge(fixture->table, entry, 0, 0, CHANGE_FROM_PEER), STATUS_OK);
    assert_int_equal(changes_count(fixture->table), 0);
    assert_int_equal(table_slice(fixture->table, none, none, &listed, 1), 0);
    table_audit(fixture->table);
}

static void test_table_forgets_entries_still_empty_at_the_end_of_the_turn(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = NULL;
    char key[2] = "a";

    for (; key[0] <= 'z'; key[0]++) {
        assert_int_equal(table_obtain(fixture->table, bytes_of(key), TABLE_DATA, &entry),
                         STATUS_OK);
        if (key[0] % 3 == 0) {
            assert_int_equal(element_merge(fixture->table, entry, 0, 1, CHANGE_FROM_PEER),
                             STATUS_OK);
        }
    }
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    for (key[0] = 'a'; key[0] <= 'z'; key[0]++) {
        assert_true((table_find(fixture->table, bytes_of(key)) != NULL) == (key[0] % 3 == 0));
    }
}

static void test_table_refuses_keys_above_the_limit(void **state)
{
    struct fixture *fixture = *state;

    table_set_keys_max(fixture->table, 2);
    (void)key_put(fixture->table, "a", 0, 1);
    assert_int_equal(key_write(fixture->table, "b", 0, 1), STATUS_OK);
    assert_int_equal(key_write(fixture->table, "c", 0, 1), STATUS_FULL);
    assert_null(table_find(fixture->table, bytes_of("c")));
    assert_int_equal(key_write(fixture->table, "a", 0, 2), STATUS_OK);
    /* What is there may be more than a limit set later; merging goes on. */
    table_set_keys_max(fixture->table, 1);
    assert_int_equal(key_write(fixture->table, "c", 0, 1), STATUS_FULL);
    assert_int_equal(key_write(fixture->table, "b", 0, 2), STATUS_OK);
    table_set_keys_max(fixture->table, 0);
    assert_int_equal(key_write(fixture->table, "c", 0, 1), STATUS_OK);
}

/* A node knows its peers whatever it holds: they take no room from the keys. */
static void test_table_limit_is_of_data_and_not_of_presence(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t value = 1;
    const uint8_t offset = 0;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct entry *entry;

    table_set_keys_max(fixture->table, 2);
    for (unsigned i = 0; i < 3; i++) {
        char key[] = "n:127.0.0.1:1";

        key[sizeof key - 2] = (char)('1' + i);
        assert_int_equal(table_obtain(fixture->table, bytes_of(key), TABLE_MEMBERS, &entry),
                         STATUS_OK);
        assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_SELF, NULL),
                         STATUS_OK);
    }
    (void)key_put(fixture->table, "a", 0, 1);
    (void)key_put(fixture->table, "b", 0, 1);
    assert_int_equal(key_write(fixture->table, "c", 0, 1), STATUS_FULL);
    assert_int_equal(table_obtain(fixture->table, bytes_of("n:127.0.0.1:9"), TABLE_MEMBERS, &entry),
                     STATUS_OK);
}

/* Listings. */

static void test_table_slice_stops_at_the_end_of_the_prefix(void **state)
{
    static const struct {
        const char *prefix;
        const char *after;
        const char *listed; /* one letter a key, by the order below */
    } cases[] = {
        { "", "", "123456" },    { "b", "", "234" },      { "b", "b", "34" }, { "b", "ba", "4" },
        { "b", "bzz", "" },      { "b", "a", "234" },     { "b", "c", "" },   { "", "b", "3456" },
        { "", "c\xff\xff", "" }, { "ba", "", "3" },       { "bb", "", "" },   { "d", "", "" },
        { "c", "c", "6" },       { "", "aaaa", "23456" },
    };
    static const char *const keys[] = { "a", "b", "ba", "bz", "c", "c\xff" };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 6; i++) {
        (void)key_put(fixture->table, keys[(i * 5) % 6], 0, 1);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct entry *entries[7];
        const size_t count = table_slice(fixture->table, bytes_of(cases[i].prefix),
                                         bytes_of(cases[i].after), entries, 7);

        assert_int_equal(count, strlen(cases[i].listed));
        for (size_t j = 0; j < count; j++) {
            const struct bytes expected = bytes_of(keys[cases[i].listed[j] - '1']);

            assert_int_equal(entry_key(entries[j]).size, expected.size);
            assert_memory_equal(entry_key(entries[j]).data, expected.data, expected.size);
        }
    }
}

static void test_table_slices_go_on_after_a_key_that_went(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entries[2];

    (void)key_put(fixture->table, "a", 0, 1);
    table_drop(fixture->table, key_put(fixture->table, "b", 0, 1));
    (void)key_put(fixture->table, "c", 0, 1);
    assert_int_equal(table_slice(fixture->table, none, bytes_of("b"), entries, 2), 1);
    assert_memory_equal(entry_key(entries[0]).data, "c", 1);
}

/* Digests. */

/* vignette(7), "Functions". */
static void test_table_digests_are_those_of_the_manual(void **state)
{
    struct fixture *fixture = *state;
    struct entry *foo = key_put(fixture->table, "foo", 0, 5);

    (void)key_put(fixture->table, "foo", 1, 11);
    (void)key_put(fixture->table, "foo", 5, 3);
    assert_true(entry_hash(fixture->table, foo) == UINT64_C(0xdde38bd48eae7414));
    assert_true(entry_digest(foo) == UINT64_C(0xd3c1e3fcfc1ac1c5));
    assert_true(table_root(fixture->table, TABLE_DATA) == UINT64_C(0x4ed792c97ab1b88e));
    (void)key_put(fixture->table, "bar", 7, 1);
    assert_true(table_root(fixture->table, TABLE_DATA) == UINT64_C(0xa7132a0617b7f54e));
    assert_int_equal(digest_salted(table_root(fixture->table, TABLE_DATA), 9), 0xc653f446);
    assert_int_equal(table_root(fixture->table, TABLE_MEMBERS), 0);
    assert_ptr_equal(table_find_hash(fixture->table, TABLE_DATA, UINT64_C(0xdde38bd48eae7414)),
                     foo);
    assert_null(table_find_hash(fixture->table, TABLE_MEMBERS, UINT64_C(0xdde38bd48eae7414)));
    table_drop(fixture->table, foo);
    table_drop(fixture->table, table_find(fixture->table, bytes_of("bar")));
    assert_int_equal(table_root(fixture->table, TABLE_DATA), 0);
}

static void test_table_of_another_cluster_hashes_otherwise(void **state)
{
    struct fixture *fixture = *state;
    struct table_options options = options_default;
    struct table *blue = NULL;
    struct entry *entry;

    options.mem = &fixture->mem;
    options.cluster_id = digest_cluster_id(bytes_of("blue"));
    assert_int_equal(table_create(&options, &blue), STATUS_OK);
    entry = key_put(blue, "foo", 0, 5);
    assert_true(entry_hash(blue, entry) == digest_key_hash(0xdf589da9, bytes_of("foo")));
    assert_true(entry_hash(blue, entry) != entry_hash(fixture->table, entry));
    table_audit(blue);
    table_free(blue);
}

static void test_table_weakens_set_and_tree_digests_by_the_mask(void **state)
{
    struct fixture *fixture = *state;
    struct table_options options = options_default;
    struct tree_child children[WIRE_TREE_CHILDREN];
    struct tree_child weak[WIRE_TREE_CHILDREN];
    const struct prefix root = { .set = TABLE_DATA };
    struct table *table = NULL;

    options.mem = &fixture->mem;
    options.digest_mask = 0xff;
    assert_int_equal(table_create(&options, &table), STATUS_OK);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%u", i);
        assert_true(entry_digest(key_put(table, key, i, i + 1))
                    == entry_digest(key_put(fixture->table, key, i, i + 1)));
    }
    assert_true(table_root(fixture->table, TABLE_DATA) > 0xff);
    assert_true(table_root(table, TABLE_DATA) == (table_root(fixture->table, TABLE_DATA) & 0xff));
    table_children(table, root, weak);
    table_children(fixture->table, root, children);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        assert_true(weak[i].digest == (children[i].digest & 0xff));
        assert_int_equal(weak[i].keys, children[i].keys);
    }
    table_audit(table);
    table_free(table);
}

/* The same state by another way has the same digests. */
static void test_table_digests_do_not_depend_on_the_order_of_writes(void **state)
{
    struct fixture *fixture = *state;
    struct table_options options = options_default;
    struct table *other = NULL;

    options.mem = &fixture->mem;
    options.hash_secret[0] = 'X';
    assert_int_equal(table_create(&options, &other), STATUS_OK);
    for (unsigned i = 0; i < 500; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%u", i % 50);
        (void)key_put(fixture->table, key, i % 7 * 100, i + 1);
        (void)snprintf(key, sizeof key, "%u", (499 - i) % 50);
        (void)key_put(other, key, (499 - i) % 7 * 100, 500 - i);
    }
    assert_true(table_root(other, TABLE_DATA) == table_root(fixture->table, TABLE_DATA));
    table_audit(other);
    table_free(other);
}

/* The feed. */

static void test_table_feed_tells_each_block_once_a_turn(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 1, 1);
    struct changes changes;

    assert_int_equal(element_merge(fixture->table, entry, 3, 1, CHANGE_FROM_PEER), STATUS_OK);
    assert_int_equal(element_merge(fixture->table, entry, 256, 1, CHANGE_FROM_PEER), STATUS_OK);
    assert_int_equal(element_merge(fixture->table, entry, 1, 2, CHANGE_FROM_PEER), STATUS_OK);
    (void)key_put(fixture->table, "b", 1, 1);
    changes = table_changes(fixture->table);
    assert_int_equal(changes.count, 3);
    assert_ptr_equal(changes.list[0].entry, entry);
    assert_int_equal(changes.list[0].raised.number, 0);
    assert_int_equal(changes.list[0].raised.bits[0], 1 << 1 | 1 << 3);
    assert_int_equal(changes.list[0].origin, CHANGE_FROM_CLIENT);
    assert_true(changes.list[0].created);
    assert_int_equal(changes.list[1].raised.number, 1);
    assert_int_equal(changes.list[1].origin, CHANGE_FROM_PEER);
    assert_false(changes.list[1].created);
    assert_true(changes.list[2].created);
    table_turn_end(fixture->table);
    assert_int_equal(changes_count(fixture->table), 0);
    (void)key_put(fixture->table, "a", 1, 3);
    changes = table_changes(fixture->table);
    assert_int_equal(changes.count, 1);
    assert_false(changes.list[0].created);
}

static void test_table_feed_is_silent_where_nothing_rose(void **state)
{
    struct fixture *fixture = *state;

    (void)key_put(fixture->table, "a", 1, 5);
    table_turn_end(fixture->table);
    (void)key_put(fixture->table, "a", 1, 5);
    (void)key_put(fixture->table, "a", 1, 4);
    (void)key_put(fixture->table, "a", 2, 0);
    assert_int_equal(changes_count(fixture->table), 0);
}

static void test_table_merge_reports_both_directions(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 1, 5);
    const uint64_t values[2] = { 4, 9 };
    const uint8_t offsets[2] = { 1, 2 };
    const struct block block = { .values = values, .offsets = offsets, .count = 2, .width = 8 };
    const uint64_t digest = entry_digest(entry);
    struct merge_result result;

    assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_PEER, &result),
                     STATUS_OK);
    assert_int_equal(result.raised.bits[0], 1 << 2);
    assert_int_equal(result.larger.bits[0], 1 << 1);
    assert_true(entry_digest(entry) == digest + result.digest_delta);
}

/* Many changes in one turn: the list grows and shrinks, and nothing is told twice. */
static void test_table_feed_coalesces_however_long_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 0, 1);
    uint64_t used_bytes;

    table_turn_end(fixture->table);
    used_bytes = table_stats(fixture->table).used_bytes;
    for (unsigned round = 1; round <= 3; round++) {
        for (uint64_t number = 0; number < 5000; number++) {
            assert_int_equal(
                element_merge(fixture->table, entry, number << 8, round * 2, CHANGE_FROM_PEER),
                STATUS_OK);
        }
        assert_int_equal(changes_count(fixture->table), 5000);
    }
    table_audit(fixture->table);
    table_drop(fixture->table, entry);
    for (unsigned i = 0; i < 12; i++) {
        table_turn_end(fixture->table);
    }
    assert_true(table_stats(fixture->table).used_bytes <= used_bytes + 65536);
}

/* Dropping. */

static void test_table_drop_leaves_indexes_at_once_and_memory_at_the_end_of_the_turn(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 1, 5);
    const uint64_t digest = entry_digest(entry);
    const struct change *change;
    struct entry *listed;

    table_turn_end(fixture->table);
    table_drop(fixture->table, entry);
    assert_null(table_find(fixture->table, bytes_of("a")));
    assert_int_equal(table_slice(fixture->table, none, none, &listed, 1), 0);
    assert_int_equal(table_root(fixture->table, TABLE_DATA), 0);
    assert_int_equal(table_stats(fixture->table).elements, 0);
    assert_int_equal(changes_count(fixture->table), 1);
    change = table_changes(fixture->table).list;
    assert_ptr_equal(change->entry, entry);
    assert_true(change->dropped);
    assert_true(mark_empty(&change->raised));
    /* Still readable. */
    assert_int_equal(vector_get(entry_vector(entry), 1), 5);
    assert_true(entry_digest(entry) == digest);
    assert_memory_equal(entry_key(entry).data, "a", 1);
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    table_audit(fixture->table);
}

static void test_table_key_can_come_back_in_the_turn_it_went(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = key_put(fixture->table, "a", 1, 5);
    struct entry *again;

    table_drop(fixture->table, entry);
    again = key_put(fixture->table, "a", 1, 3);
    assert_ptr_not_equal(again, entry);
    assert_int_equal(vector_get(entry_vector(again), 1), 3);
    assert_int_equal(changes_count(fixture->table), 3);
    assert_true(table_changes(fixture->table).list[2].created);
    table_turn_end(fixture->table);
    assert_ptr_equal(table_find(fixture->table, bytes_of("a")), again);
    assert_int_equal(vector_get(entry_vector(again), 1), 3);
}

static void test_table_reuses_the_memory_of_dropped_keys(void **state)
{
    struct fixture *fixture = *state;
    uint64_t used_bytes = 0;

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 200; i++) {
            char key[32];

            (void)snprintf(key, sizeof key, "key %u of round %u", i, round);
            (void)key_put(fixture->table, key, i, UINT64_MAX);
        }
        table_turn_end(fixture->table);
        if (round == 2) {
            used_bytes = fixture->mem.used_bytes;
        }
        for (unsigned i = 0; i < 200; i++) {
            char key[32];

            (void)snprintf(key, sizeof key, "key %u of round %u", i, round);
            table_drop(fixture->table, table_find(fixture->table, bytes_of(key)));
        }
        table_turn_end(fixture->table);
        table_audit(fixture->table);
    }
    assert_true(fixture->mem.used_bytes <= used_bytes);
}

/* The model. */

struct model_key {
    char key[16];
    uint64_t values[MODEL_INDICES];
    uint64_t raised; /* bit i: index i rose in this turn */
};

static const uint64_t model_indices[MODEL_INDICES] = {
    0,
    1,
    100,
    255,
    256,
    511,
    UINT64_C(1) << 20,
    (UINT64_C(1) << 20) + 1,
    UINT64_C(1) << 40,
    UINT64_MAX,
};

static enum table_set model_set(size_t i)
{
    return i % 5 == 0 ? TABLE_MEMBERS : TABLE_DATA;
}

static bool model_exists(const struct model_key *model)
{
    for (unsigned i = 0; i < MODEL_INDICES; i++) {
        if (model->values[i] > 0) {
            return true;
        }
    }
    return false;
}

static uint64_t model_digest(const struct model_key *model)
{
    const uint64_t hash = digest_key_hash(0, bytes_of(model->key));
    uint64_t sum = 0;

    for (unsigned i = 0; i < MODEL_INDICES; i++) {
        if (model->values[i] > 0) {
            sum += digest_element(hash, model_indices[i], model->values[i]);
        }
    }
    return sum;
}

static void model_write(struct fixture *fixture, struct model_key *model, enum table_set set)
{
    const unsigned i = (unsigned)random_below(&fixture->random, MODEL_INDICES);
    const uint64_t value = random_next(&fixture->random) >> random_below(&fixture->random, 64);
    struct entry *entry = NULL;

    assert_int_equal(table_obtain(fixture->table, bytes_of(model->key), set, &entry), STATUS_OK);
    assert_int_equal(
        element_merge(fixture->table, entry, model_indices[i], value, CHANGE_FROM_PEER), STATUS_OK);
    if (value > model->values[i]) {
        model->values[i] = value;
        model->raised |= 1U << i;
    }
}

/* The feed has exactly what rose. */
static void model_check_feed(const struct fixture *fixture, const struct model_key *models)
{
    const struct changes changes = table_changes(fixture->table);
    uint64_t told = 0;
    uint64_t rose = 0;

    for (size_t i = 0; i < MODEL_KEYS; i++) {
        const struct entry *entry = table_find(fixture->table, bytes_of(models[i].key));

        rose += (uint64_t)__builtin_popcountll(models[i].raised);
        for (unsigned j = 0; j < MODEL_INDICES; j++) {
            unsigned found = 0;

            for (size_t k = 0; (models[i].raised >> j & 1) != 0 && k < changes.count; k++) {
                found += changes.list[k].entry == entry
                         && changes.list[k].raised.number == model_indices[j] >> 8
                         && mark_has(&changes.list[k].raised, model_indices[j] & 255);
            }
            assert_int_equal(found, models[i].raised >> j & 1);
        }
    }
    for (size_t k = 0; k < changes.count; k++) {
        if (table_find(fixture->table, entry_key(changes.list[k].entry)) == changes.list[k].entry) {
            told += mark_count(&changes.list[k].raised);
        }
    }
    assert_int_equal(told, rose);
}

static int models_compare(const void *a, const void *b)
{
    return strcmp(((const struct model_key *)a)->key, ((const struct model_key *)b)->key);
}

static void model_check(const struct fixture *fixture, const struct model_key *models)
{
    static struct model_key sorted[MODEL_KEYS];
    static struct entry *entries[MODEL_KEYS + 1];
    const size_t count = table_slice(fixture->table, none, none, entries, MODEL_KEYS + 1);
    uint64_t roots[TABLE_SET_COUNT] = { 0 };
    size_t at = 0;

    for (size_t i = 0; i < MODEL_KEYS; i++) {
        const struct entry *entry = table_find(fixture->table, bytes_of(models[i].key));
        const uint64_t digest = model_digest(&models[i]);

        if (!model_exists(&models[i])) {
            assert_true(entry == NULL || vector_size(entry_vector(entry)) == 0);
            continue;
        }
        assert_non_null(entry);
        assert_true(entry_digest(entry) == digest);
        roots[model_set(i)] +=
            digest_contribution(digest_key_hash(0, bytes_of(models[i].key)), digest);
    }
    assert_true(table_root(fixture->table, TABLE_MEMBERS) == roots[TABLE_MEMBERS]);
    assert_true(table_root(fixture->table, TABLE_DATA) == roots[TABLE_DATA]);
    memcpy(sorted, models, sizeof sorted);
    qsort(sorted, MODEL_KEYS, sizeof sorted[0], models_compare);
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        if (model_exists(&sorted[i])) {
            assert_true(at < count);
            assert_memory_equal(entry_key(entries[at]).data, sorted[i].key, strlen(sorted[i].key));
            at++;
        }
    }
    assert_int_equal(at, count);
}

static void test_table_does_what_a_naive_one_does(void **state)
{
    static struct model_key models[MODEL_KEYS];
    struct fixture *fixture = *state;

    memset(models, 0, sizeof models);
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        (void)snprintf(models[i].key, sizeof models[i].key, "%zx", i * 7919 % 10007);
    }
    for (unsigned step = 1; step <= MODEL_STEPS; step++) {
        const size_t i = random_below(&fixture->random, MODEL_KEYS);
        struct model_key *model = &models[i];
        const uint64_t what = random_below(&fixture->random, 1000);

        if (what < 900) {
            model_write(fixture, model, model_set(i));
        } else if (what < 990) {
            struct entry *entry = table_find(fixture->table, bytes_of(model->key));

            if (entry != NULL) {
                table_drop(fixture->table, entry);
                memset(model->values, 0, sizeof model->values);
                model->raised = 0;
            }
        } else {
            model_check_feed(fixture, models);
            table_turn_end(fixture->table);
            for (size_t j = 0; j < MODEL_KEYS; j++) {
                models[j].raised = 0;
            }
        }
        if (step % 2000 == 0) {
            table_audit(fixture->table);
            model_check(fixture, models);
        }
    }
}

/* Growth. */

static void test_table_work_does_not_grow_with_its_keys(void **state)
{
    struct fixture *fixture = *state;
    struct table_stats stats;
    struct entry *entry;
    char key[32];

    for (unsigned i = 0; i < 200000; i++) {
        (void)snprintf(key, sizeof key, "key:%u", i);
        (void)key_put(fixture->table, key, 0, i + 1);
        if (i % 500 == 0) {
            table_turn_end(fixture->table);
        }
        if (i == 1000 || i == 30000) {
            table_audit(fixture->table);
        }
    }
    table_turn_end(fixture->table);
    table_audit(fixture->table);
    stats = table_stats(fixture->table);
    for (unsigned i = 0; i < 200000; i++) {
        (void)snprintf(key, sizeof key, "key:%u", i);
        entry = table_find(fixture->table, bytes_of(key));
        assert_int_equal(vector_get(entry_vector(entry), 0), i + 1);
    }
    /* A bucket and 1.25 entries. */
    assert_int_equal(table_stats(fixture->table).lookups - stats.lookups, 200000);
    assert_in_range(table_stats(fixture->table).probes - stats.probes, 400000, 480000);
    assert_true(stats.used_bytes < UINT64_C(200000) * 108);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table_finds_what_was_put_and_nothing_else),
        TEST(test_table_renews_an_entry_with_smaller_elements),
        TEST(test_table_takes_keys_of_1_to_255_bytes),
        TEST(test_table_obtain_gives_the_same_entry_again),
        TEST(test_table_entry_without_elements_is_found_but_nowhere_else),
        TEST(test_table_forgets_entries_still_empty_at_the_end_of_the_turn),
        TEST(test_table_refuses_keys_above_the_limit),
        TEST(test_table_limit_is_of_data_and_not_of_presence),
        TEST(test_table_slice_stops_at_the_end_of_the_prefix),
        TEST(test_table_slices_go_on_after_a_key_that_went),
        TEST(test_table_digests_are_those_of_the_manual),
        TEST(test_table_of_another_cluster_hashes_otherwise),
        TEST(test_table_weakens_set_and_tree_digests_by_the_mask),
        TEST(test_table_digests_do_not_depend_on_the_order_of_writes),
        TEST(test_table_feed_tells_each_block_once_a_turn),
        TEST(test_table_feed_is_silent_where_nothing_rose),
        TEST(test_table_merge_reports_both_directions),
        TEST(test_table_feed_coalesces_however_long_it_is),
        TEST(test_table_drop_leaves_indexes_at_once_and_memory_at_the_end_of_the_turn),
        TEST(test_table_key_can_come_back_in_the_turn_it_went),
        TEST(test_table_reuses_the_memory_of_dropped_keys),
        TEST(test_table_does_what_a_naive_one_does),
        TEST(test_table_work_does_not_grow_with_its_keys),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
