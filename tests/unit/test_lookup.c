/* What this file tests: finding entries by key while the buckets grow one by one. */

#include "store/lookup.h"

#include "unit/entries.h"
#include "unit/test.h"

#define KEYS 20000

struct fixture {
    struct mem mem;
    struct slabs slabs;
    struct lookup lookup;
    struct lookup_work work;
};

static int setup(void **state)
{
    static const uint8_t secret[16] = { 1, 2, 3 };
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    slabs_init(&fixture.slabs);
    *state = &fixture;
    return lookup_init(&fixture.lookup, &fixture.mem, secret) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    lookup_audit(&fixture->lookup, &fixture->slabs);
    lookup_clear(&fixture->lookup, &fixture->mem);
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static struct bytes key_of(char key[16], unsigned i)
{
    (void)snprintf(key, 16, "%u", i);
    return bytes_of(key);
}

/* `has_memory`: the buckets may grow. */
static uint32_t key_insert(struct fixture *fixture, unsigned i, bool has_memory)
{
    char text[16];
    const struct bytes key = key_of(text, i);
    const uint32_t id = entry_make(&fixture->slabs, &fixture->mem, key, 0);

    lookup_insert(&fixture->lookup, &fixture->slabs, id, lookup_hash(&fixture->lookup, key));
    fixture->mem.limit_bytes = has_memory ? 0 : 1;
    lookup_grow(&fixture->lookup, &fixture->slabs, &fixture->mem, 0);
    fixture->mem.limit_bytes = 0;
    return id;
}

static uint32_t key_find(struct fixture *fixture, unsigned i)
{
    char text[16];
    const struct bytes key = key_of(text, i);

    return lookup_find(&fixture->lookup, &fixture->slabs, lookup_hash(&fixture->lookup, key), key,
                       &fixture->work);
}

static void test_lookup_finds_every_key_at_every_size(void **state)
{
    static uint32_t ids[KEYS];
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(key_find(fixture, i), 0);
        ids[i] = key_insert(fixture, i, true);
        assert_int_equal(key_find(fixture, i), ids[i]);
        assert_int_equal(key_find(fixture, i / 2), ids[i / 2]);
        assert_true(fixture->lookup.bucket_count >= 2 * (uint64_t)i);
    }
    lookup_audit(&fixture->lookup, &fixture->slabs);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(key_find(fixture, i), ids[i]);
    }
}

static void test_lookup_removes_from_anywhere_in_a_chain(void **state)
{
    struct fixture *fixture = *state;

    /* Without memory all share a few buckets. */
    for (unsigned i = 0; i < 3000; i++) {
        (void)key_insert(fixture, i, false);
    }
    for (unsigned i = 0; i < 3000; i += 2) {
        const uint32_t id = key_find(fixture, i);

        assert_int_equal(
            lookup_remove(&fixture->lookup, &fixture->slabs, slabs_entry(&fixture->slabs, id)), id);
    }
    lookup_audit(&fixture->lookup, &fixture->slabs);
    for (unsigned i = 0; i < 3000; i++) {
        assert_true((key_find(fixture, i) != 0) == (i % 2 == 1));
    }
}

/* Each insertion makes up for one bucket that there was no memory for. */
static void test_lookup_catches_up_after_memory_was_short(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 5000; i++) {
        (void)key_insert(fixture, i, false);
    }
    assert_int_equal(fixture->lookup.bucket_count, LOOKUP_SEGMENT_BUCKETS);
    fixture->mem.fail_countdown = 2; /* of the entry, and of the segment */
    (void)key_insert(fixture, 5000, true);
    assert_int_equal(fixture->lookup.bucket_count, LOOKUP_SEGMENT_BUCKETS);
    for (unsigned i = 5001; i < KEYS; i++) {
        (void)key_insert(fixture, i, true);
    }
    assert_int_equal(fixture->lookup.bucket_count, 2 * KEYS);
    lookup_audit(&fixture->lookup, &fixture->slabs);
}

/* Never more segments at once than one insertion's buckets lie in. */
static void test_lookup_grows_with_its_entries(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < KEYS; i++) {
        const size_t segments_before = fixture->lookup.segment_count;

        (void)key_insert(fixture, i, true);
        assert_true(fixture->lookup.bucket_count >= 2 * fixture->lookup.entry_count);
        assert_true(fixture->lookup.segment_count <= segments_before + 1);
    }
}

/* Where it is known how many come, the buckets are there when they do. */
static void test_lookup_grows_ahead_of_entries_that_are_foreseen(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < KEYS; i++) {
        char text[16];
        const struct bytes key = key_of(text, i);
        const uint32_t id = entry_make(&fixture->slabs, &fixture->mem, key, 0);

        lookup_insert(&fixture->lookup, &fixture->slabs, id, lookup_hash(&fixture->lookup, key));
        lookup_grow(&fixture->lookup, &fixture->slabs, &fixture->mem, KEYS - 1 - i);
        if (i == KEYS / 4) {
            assert_true(fixture->lookup.bucket_count == 2 * KEYS);
        }
    }
    assert_true(fixture->lookup.bucket_count == 2 * KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_not_equal(key_find(fixture, i), 0);
    }
}

/* Whatever is left is found on the way, and the memory goes with the keys. */
static void test_lookup_shrinks_with_its_entries(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t used_bytes = fixture->mem.used_bytes;
    uint32_t ids[KEYS];

    for (unsigned i = 0; i < KEYS; i++) {
        ids[i] = key_insert(fixture, i, true);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        const struct entry *entry = slabs_entry(&fixture->slabs, ids[i * 7919 % KEYS]);

        (void)lookup_remove(&fixture->lookup, &fixture->slabs, entry);
        lookup_shrink(&fixture->lookup, &fixture->slabs, &fixture->mem);
        slabs_free(&fixture->slabs, &fixture->mem, ids[i * 7919 % KEYS]);
        assert_true(fixture->lookup.bucket_count >= 2 * fixture->lookup.entry_count);
        if (i % 256 == 0) {
            lookup_audit(&fixture->lookup, &fixture->slabs);
        }
    }
    assert_true(fixture->lookup.bucket_count <= LOOKUP_SEGMENT_BUCKETS);
    assert_true(fixture->mem.used_bytes <= used_bytes + 8192); /* rows of slabs, pointers */
    (void)key_insert(fixture, 0, true);
}

static void test_lookup_touches_a_bucket_and_few_entries(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < KEYS; i++) {
        (void)key_insert(fixture, i, true);
    }
    fixture->work = (struct lookup_work){ 0 };
    for (unsigned i = 0; i < KEYS; i++) {
        (void)key_find(fixture, i);
    }
    assert_int_equal(fixture->work.calls, KEYS);
    assert_in_range(fixture->work.probes, 2.20 * KEYS, 2.32 * KEYS);
    fixture->work = (struct lookup_work){ 0 };
    for (unsigned i = KEYS; i < 2 * KEYS; i++) {
        (void)key_find(fixture, i);
    }
    assert_in_range(fixture->work.probes, 1.45 * KEYS, 1.58 * KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lookup_finds_every_key_at_every_size),
        TEST(test_lookup_removes_from_anywhere_in_a_chain),
        TEST(test_lookup_catches_up_after_memory_was_short),
        TEST(test_lookup_grows_with_its_entries),
        TEST(test_lookup_grows_ahead_of_entries_that_are_foreseen),
        TEST(test_lookup_shrinks_with_its_entries),
        TEST(test_lookup_touches_a_bucket_and_few_entries),
    };

    return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
