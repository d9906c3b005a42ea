/* What this file tests: one turn's changes, and the slots that were paid for. */

#include "store/feed.h"

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct feed feed;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    *state = &fixture;
    return feed_init(&fixture.feed, &fixture.mem) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    feed_audit(&fixture->feed);
    feed_clear(&fixture->feed, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

/* The feed never looks into an entry. */
static struct entry *entry_at(uintptr_t number)
{
    return (struct entry *)(number << 4);
}

static bool change_add(struct fixture *fixture, uintptr_t entry, uint64_t number)
{
    const struct change change = { .entry = entry_at(entry),
                                   .raised = { .number = number, .bits = { 1 } } };

    if (!feed_ready(&fixture->feed, &fixture->mem, 1)) {
        return false;
    }
    feed_append(&fixture->feed, &fixture->mem, &change);
    return true;
}

static void test_feed_finds_a_change_by_entry_and_block(void **state)
{
    struct fixture *fixture = *state;

    for (uintptr_t i = 0; i < 2000; i++) {
        assert_true(change_add(fixture, 1 + i / 10, i % 10));
    }
    feed_audit(&fixture->feed);
    for (uintptr_t i = 0; i < 2000; i++) {
        assert_ptr_equal(feed_find(&fixture->feed, entry_at(1 + i / 10), i % 10),
                         &fixture->feed.list[i]);
    }
    assert_null(feed_find(&fixture->feed, entry_at(1), 10));
    assert_null(feed_find(&fixture->feed, entry_at(201), 0));
    feed_end(&fixture->feed, &fixture->mem);
    assert_int_equal(fixture->feed.count, 0);
    for (uintptr_t i = 0; i < 2000; i++) {
        assert_null(feed_find(&fixture->feed, entry_at(1 + i / 10), i % 10));
    }
    feed_audit(&fixture->feed);
}

static void test_feed_without_memory_keeps_what_it_has(void **state)
{
    struct fixture *fixture = *state;
    unsigned added = 0;

    fixture->mem.limit_bytes = 1;
    while (change_add(fixture, 1 + added, 0)) {
        added++;
    }
    assert_int_equal(added, FEED_STEP);
    feed_audit(&fixture->feed);
    fixture->mem.limit_bytes = 0;
    /* From here on buckets are refused, and nobody minds. */
    for (; added < 3000; added++) {
        const bool due = fixture->feed.count == fixture->feed.capacity;

        fixture->mem.fail_countdown = due ? 0 : 1;
        assert_true(change_add(fixture, 1 + added, 0));
    }
    fixture->mem.fail_countdown = 0;
    feed_audit(&fixture->feed);
}

static void test_feed_shrinks_after_a_long_turn(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t used_bytes = fixture->mem.used_bytes;

    for (uintptr_t i = 0; i < 50000; i++) {
        assert_true(change_add(fixture, 1, i));
    }
    for (unsigned i = 0; i < 20; i++) {
        feed_end(&fixture->feed, &fixture->mem);
        feed_audit(&fixture->feed);
    }
    assert_true(fixture->mem.used_bytes <= 16 * used_bytes);
    assert_true(change_add(fixture, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_feed_finds_a_change_by_entry_and_block),
        TEST(test_feed_without_memory_keeps_what_it_has),
        TEST(test_feed_shrinks_after_a_long_turn),
    };

    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
