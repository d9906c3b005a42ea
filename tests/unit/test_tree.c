/* What this file tests: sums over the prefixes of the key hash, and walking by it. */

#include "base/random.h"
#include "store/tree.h"

#include <stdlib.h>

#include "unit/entries.h"
#include "unit/test.h"

#define KEYS 5000

struct fixture {
    struct mem mem;
    struct slabs slabs;
    struct tree tree;
    struct entry *entries[KEYS]; /* ascending by hash, once entries_sort() was called */
    size_t count;
    uint64_t nodes;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    slabs_init(&fixture.slabs);
    *state = &fixture;
    return tree_init(&fixture.tree, &fixture.mem, 0) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    tree_audit(&fixture->tree, &fixture->slabs);
    tree_clear(&fixture->tree, &fixture->mem);
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static uint64_t hash_of(const struct entry *entry)
{
    return digest_key_hash(0, entry_key_of(entry));
}

static void key_insert(struct fixture *fixture, const char *key, uint64_t digest)
{
    const uint32_t id = entry_make(&fixture->slabs, &fixture->mem, bytes_of(key), digest);
    struct entry *entry = slabs_entry(&fixture->slabs, id);

    tree_insert(&fixture->tree, &fixture->slabs, &fixture->mem, id, hash_of(entry),
                &fixture->nodes);
    fixture->entries[fixture->count++] = entry;
}

static void keys_insert(struct fixture *fixture, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "key:%zu", i);
        key_insert(fixture, key, i * 7919 + 1);
    }
}

static void key_remove(struct fixture *fixture, size_t position)
{
    struct entry *entry = fixture->entries[position];

    tree_remove(&fixture->tree, &fixture->slabs, &fixture->mem, entry, hash_of(entry),
                &fixture->nodes);
    fixture->entries[position] = fixture->entries[--fixture->count];
}

static int hashes_compare(const void *a, const void *b)
{
    const uint64_t left = hash_of(*(struct entry *const *)a);
    const uint64_t right = hash_of(*(struct entry *const *)b);

    return (left > right) - (left < right);
}

static void entries_sort(struct fixture *fixture)
{
    qsort(fixture->entries, fixture->count, sizeof fixture->entries[0], hashes_compare);
}

static uint64_t prefix_mask(unsigned nibbles)
{
    return nibbles == 0 ? 0 : UINT64_MAX << (64 - 4 * nibbles);
}

/* The children of a prefix by definition. */
static void children_check(struct fixture *fixture, struct prefix prefix)
{
    struct tree_child expected[WIRE_TREE_CHILDREN] = { { 0 } };
    struct tree_child children[WIRE_TREE_CHILDREN];

    for (size_t i = 0; i < fixture->count; i++) {
        const uint64_t hash = hash_of(fixture->entries[i]);

        if ((hash & prefix_mask(prefix.nibbles)) == prefix.bits) {
            struct tree_child *child = &expected[hash >> (60 - 4 * prefix.nibbles) & 15];

            child->digest += digest_contribution(hash, fixture->entries[i]->digest);
            child->keys++;
        }
    }
    tree_children(&fixture->tree, &fixture->slabs, prefix, children, &fixture->nodes);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        assert_true(children[i].digest == expected[i].digest);
        assert_int_equal(children[i].keys, expected[i].keys);
    }
}

static void test_tree_of_nothing_sums_to_0(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry;

    assert_int_equal(fixture->tree.digest, 0);
    children_check(fixture, (struct prefix){ 0 });
    children_check(fixture, (struct prefix){ .nibbles = 15 });
    assert_int_equal(tree_slice(&fixture->tree, &fixture->slabs, (struct prefix){ 0 }, 0, &entry, 1,
                                &fixture->nodes),
                     0);
}

static void test_tree_children_are_sums_at_every_depth(void **state)
{
    struct fixture *fixture = *state;

    keys_insert(fixture, KEYS);
    tree_audit(&fixture->tree, &fixture->slabs);
    for (uint8_t nibbles = 0; nibbles < 16; nibbles++) {
        for (size_t i = 0; i < KEYS; i += 500) {
            children_check(fixture, (struct prefix){
                                        .bits = hash_of(fixture->entries[i]) & prefix_mask(nibbles),
                                        .nibbles = nibbles,
                                    });
        }
    }
}

static void test_tree_change_moves_all_sums_above(void **state)
{
    struct fixture *fixture = *state;

    keys_insert(fixture, 300);
    for (size_t i = 0; i < 300; i++) {
        struct entry *entry = fixture->entries[i];

        tree_change(&fixture->tree, hash_of(entry), entry->digest, i, &fixture->nodes);
        entry->digest = i;
    }
    tree_audit(&fixture->tree, &fixture->slabs);
}

static void test_tree_gives_nodes_back_when_keys_go(void **state)
{
    struct fixture *fixture = *state;
    uint64_t used_bytes;

    keys_insert(fixture, KEYS);
    tree_audit(&fixture->tree, &fixture->slabs);
    used_bytes = fixture->mem.used_bytes;
    for (size_t i = 0; fixture->count > 0; i++) {
        key_remove(fixture, i * 31 % fixture->count);
        if (i % 1000 == 0) {
            tree_audit(&fixture->tree, &fixture->slabs);
        }
    }
    assert_int_equal(fixture->tree.digest, 0);
    assert_int_equal(fixture->tree.keys, 0);
    assert_true(fixture->mem.used_bytes < used_bytes);
    keys_insert(fixture, 200);
}

/* A leaf that may not grow holds everything, and grows when it may. */
static void test_tree_without_memory_only_gets_slower(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t used_bytes = fixture->mem.used_bytes;

    for (size_t i = 0; i < KEYS - 1; i++) {
        char key[32];
        uint32_t id;

        (void)snprintf(key, sizeof key, "key:%zu", i);
        id = entry_make(&fixture->slabs, &fixture->mem, bytes_of(key), i + 1);
        fixture->entries[fixture->count++] = slabs_entry(&fixture->slabs, id);
        fixture->mem.limit_bytes = 1;
        tree_insert(&fixture->tree, &fixture->slabs, &fixture->mem, id,
                    hash_of(slabs_entry(&fixture->slabs, id)), &fixture->nodes);
        fixture->mem.limit_bytes = 0;
    }
    assert_true(fixture->mem.used_bytes > used_bytes);
    tree_audit(&fixture->tree, &fixture->slabs);
    children_check(fixture, (struct prefix){ 0 });
    children_check(fixture, (struct prefix){ .bits = UINT64_C(0xA) << 60, .nibbles = 1 });
    key_insert(fixture, "one more", 1);
    tree_audit(&fixture->tree, &fixture->slabs);
}

/* Slices of several sizes, under prefixes of several depths, are the sorted list. */
static void test_tree_slices_ascend_by_hash_and_miss_nothing(void **state)
{
    static const size_t rooms[] = { 1, 2, 31, 32, 33, 64, 65, 1000, KEYS + 1 };
    struct fixture *fixture = *state;
    struct entry **entries = calloc(KEYS + 1, sizeof *entries);

    keys_insert(fixture, KEYS);
    entries_sort(fixture);
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        for (uint8_t nibbles = 0; nibbles < 5; nibbles++) {
            const struct prefix prefix = {
                .bits = hash_of(fixture->entries[KEYS / 3]) & prefix_mask(nibbles),
                .nibbles = nibbles,
            };
            uint64_t from = 0;
            size_t found = rooms[i];
            size_t at = 0;

            while (at < KEYS && hash_of(fixture->entries[at]) < prefix.bits) {
                at++;
            }
            while (found == rooms[i]) {
                found = tree_slice(&fixture->tree, &fixture->slabs, prefix, from, entries, rooms[i],
                                   &fixture->nodes);
                for (size_t j = 0; j < found; j++) {
                    assert_ptr_equal(entries[j], fixture->entries[at++]);
                    assert_true((hash_of(entries[j]) & prefix_mask(nibbles)) == prefix.bits);
                }
                from = found == 0 ? 0 : hash_of(entries[found - 1]) + 1;
            }
            assert_true(at == KEYS
                        || (hash_of(fixture->entries[at]) & prefix_mask(nibbles)) != prefix.bits);
        }
    }
    free(entries);
}

static void test_tree_slice_begins_where_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entries[2];
    size_t found;

    keys_insert(fixture, 1000);
    entries_sort(fixture);
    for (size_t i = 0; i < 999; i++) {
        found = tree_slice(&fixture->tree, &fixture->slabs, (struct prefix){ 0 },
                           hash_of(fixture->entries[i]) + 1, entries, 2, &fixture->nodes);
        assert_int_equal(found, i + 2 < 1000 ? 2 : 1);
        assert_ptr_equal(entries[0], fixture->entries[i + 1]);
    }
    found = tree_slice(&fixture->tree, &fixture->slabs, (struct prefix){ 0 },
                       hash_of(fixture->entries[999]) + 1, entries, 2, &fixture->nodes);
    assert_int_equal(found, 0);
    found = tree_slice(&fixture->tree, &fixture->slabs, (struct prefix){ 0 }, UINT64_MAX, entries,
                       2, &fixture->nodes);
    assert_int_equal(found, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tree_of_nothing_sums_to_0),
        TEST(test_tree_children_are_sums_at_every_depth),
        TEST(test_tree_change_moves_all_sums_above),
        TEST(test_tree_gives_nodes_back_when_keys_go),
        TEST(test_tree_without_memory_only_gets_slower),
        TEST(test_tree_slices_ascend_by_hash_and_miss_nothing),
        TEST(test_tree_slice_begins_where_it_is_told),
    };

    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
