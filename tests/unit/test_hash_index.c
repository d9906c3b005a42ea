/* What this file tests: an index from hashes to positions, against an array of all hashes. */

#include "base/hash_index.h"
#include "base/random.h"

#include <string.h>

#include "unit/test.h"

enum { POSITIONS = 20000 };

struct fixture {
    struct mem mem;
    struct hash_index *index;
    struct random random;
    uint32_t hashes[POSITIONS];
    bool is_in[POSITIONS];
    uint32_t count;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    random_seed(&fixture.random, 1, 3);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    hash_index_clear(&fixture->index, &fixture->mem);
    return fixture->mem.used_bytes == 0 && fixture->index == NULL ? 0 : -1;
}

static bool is_found(const struct fixture *fixture, uint32_t position)
{
    uint32_t cursor = 0;
    uint32_t found;

    do {
        found = hash_index_next(fixture->index, fixture->hashes[position], &cursor);
    } while (found != HASH_INDEX_NONE && found != position);
    return found == position;
}

static void toggle(struct fixture *fixture, uint32_t position)
{
    const uint32_t hash = fixture->hashes[position];

    if (fixture->is_in[position]) {
        hash_index_remove(fixture->index, hash, position);
        fixture->count--;
    } else {
        assert_true(hash_index_put(&fixture->index, &fixture->mem, hash, position));
        fixture->count++;
    }
    fixture->is_in[position] = !fixture->is_in[position];
    assert_int_equal(is_found(fixture, position), fixture->is_in[position]);
}

/* All come, then half of them come and go, then all go. */
static void positions_run(struct fixture *fixture)
{
    for (uint32_t i = 0; i < POSITIONS; i++) {
        toggle(fixture, i);
    }
    for (uint32_t i = 0; i < POSITIONS; i++) {
        toggle(fixture, (uint32_t)random_below(&fixture->random, POSITIONS));
    }
    assert_int_equal(hash_index_audit(fixture->index), fixture->count);
    for (uint32_t i = 0; i < POSITIONS; i++) {
        assert_int_equal(is_found(fixture, i), fixture->is_in[i]);
        if (fixture->is_in[i]) {
            toggle(fixture, i);
        }
    }
    assert_int_equal(hash_index_audit(fixture->index), 0);
}

static void test_hash_index_finds_what_is_in_it(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < POSITIONS; i++) {
        fixture->hashes[i] = (uint32_t)random_next(&fixture->random);
    }
    positions_run(fixture);
}

/* Many of one hash, many that differ in their lowest bits alone, and many in their highest. */
static void test_hash_index_finds_what_has_the_same_hash(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < POSITIONS; i++) {
        fixture->hashes[i] = i % 100 == 0 ? UINT32_MAX : i % 2 == 0 ? i : i << 16;
    }
    positions_run(fixture);
}

/* What one more costs does not grow with how many there are, but for pointers. */
static void test_hash_index_grows_by_a_segment(void **state)
{
    struct fixture *fixture = *state;
    uint64_t most = 0;

    for (uint32_t i = 0; i < POSITIONS; i++) {
        const uint64_t before = fixture->mem.used_bytes;

        fixture->hashes[i] = (uint32_t)random_next(&fixture->random);
        assert_true(hash_index_put(&fixture->index, &fixture->mem, fixture->hashes[i], i));
        most = fixture->mem.used_bytes - before > most ? fixture->mem.used_bytes - before : most;
    }
    assert_in_range(most, 4096, 6000);
    assert_in_range(fixture->mem.used_bytes, 0, POSITIONS * 26);
}

static void test_hash_index_is_as_it_was_after_a_failed_allocation(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < 2000; i++) {
        fixture->hashes[i] = (uint32_t)random_next(&fixture->random);
        for (uint64_t countdown = 1;; countdown++) {
            fixture->mem.fail_countdown = countdown;
            if (hash_index_put(&fixture->index, &fixture->mem, fixture->hashes[i], i)) {
                break;
            }
            assert_int_equal(hash_index_audit(fixture->index), i);
        }
        assert_true(is_found(fixture, i));
    }
    fixture->mem.fail_countdown = 0;
    assert_int_equal(hash_index_audit(fixture->index), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hash_index_finds_what_is_in_it),
        TEST(test_hash_index_finds_what_has_the_same_hash),
        TEST(test_hash_index_grows_by_a_segment),
        TEST(test_hash_index_is_as_it_was_after_a_failed_allocation),
    };

    return cmocka_run_group_tests_name("hash_index", tests, NULL, NULL);
}
