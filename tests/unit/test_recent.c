/* What this file tests: hashes that are remembered for a while, in bounded memory. */

#include "base/hash.h"
#include "node/recent.h"

#include "unit/test.h"

#define KEEP_MS 1000

struct fixture {
    struct mem mem;
    struct recent recent;
};

static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */

    fixture = (struct fixture){ .recent = { .keep_ms = KEEP_MS } };
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    recent_clear(&fixture->recent, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static void test_recent_has_what_was_put_until_its_time_is_over(void **state)
{
    struct fixture *fixture = *state;

    assert_false(recent_has(&fixture->recent, 7, RECENT_LEVEL_MAX, 0));
    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 0, 50));
    assert_true(recent_has(&fixture->recent, 7, 0, 50));
    assert_true(recent_has(&fixture->recent, 7, 0, 50 + KEEP_MS - 1));
    assert_false(recent_has(&fixture->recent, 7, 0, 50 + KEEP_MS));
    assert_false(recent_has(&fixture->recent, 8, 0, 50));
}

static void test_recent_keeps_the_lower_level_while_it_lasts(void **state)
{
    struct fixture *fixture = *state;

    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 3, 0));
    assert_false(recent_has(&fixture->recent, 7, 2, 0));
    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 1, 10));
    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 5, 20));
    assert_true(recent_has(&fixture->recent, 7, 1, 20));
    assert_false(recent_has(&fixture->recent, 7, 0, 20));
    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 5, 20 + KEEP_MS));
    assert_false(recent_has(&fixture->recent, 7, 4, 20 + KEEP_MS));
}

static void test_recent_forgets_nothing_while_it_grows(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(recent_put(&fixture->recent, &fixture->mem, hash_mix(i, 1), 0, 0));
    }
    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(recent_has(&fixture->recent, hash_mix(i, 1), 0, 1));
        assert_false(recent_has(&fixture->recent, hash_mix(i, 1), 0, KEEP_MS));
    }
}

static void test_recent_stays_bounded_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    uint64_t evicted = 0;

    for (uint64_t i = 0; i < 2 * RECENT_ROOM_MAX; i++) {
        evicted += !recent_put(&fixture->recent, &fixture->mem, hash_mix(i, 1), 0, 0);
    }
    assert_true(evicted >= RECENT_ROOM_MAX);
    assert_int_equal(fixture->recent.room, RECENT_ROOM_MAX);
    assert_true(fixture->mem.used_bytes <= RECENT_ROOM_MAX * 16);
}

static void test_recent_gives_its_memory_back_when_all_is_past(void **state)
{
    struct fixture *fixture = *state;

    assert_true(recent_put(&fixture->recent, &fixture->mem, 7, 0, 0));
    recent_tick(&fixture->recent, &fixture->mem, KEEP_MS);
    assert_true(fixture->mem.used_bytes > 0);
    recent_tick(&fixture->recent, &fixture->mem, KEEP_MS + 1);
    assert_int_equal(fixture->mem.used_bytes, 0);
}

static void test_recent_without_memory_remembers_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->mem.fail_countdown = 1;
    assert_false(recent_put(&fixture->recent, &fixture->mem, 7, 0, 0));
    assert_false(recent_has(&fixture->recent, 7, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recent_has_what_was_put_until_its_time_is_over),
        TEST(test_recent_keeps_the_lower_level_while_it_lasts),
        TEST(test_recent_forgets_nothing_while_it_grows),
        TEST(test_recent_stays_bounded_and_says_so),
        TEST(test_recent_gives_its_memory_back_when_all_is_past),
        TEST(test_recent_without_memory_remembers_nothing),
    };

    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
