/* What this file tests: keys that wait for one plain peer, and when it may get them. */

#include "node/peers.h"
#include "node/queue.h"
#include "store/marks.h"

#include "unit/test.h"

#define KEYS   200
#define SECOND UINT64_C(1000000)

struct fixture {
    struct mem mem;
    struct table *table;
    struct moment now;
    struct peer peer;
    struct plain_queue queue;
    struct entry *entries[KEYS];
};

/* Entry i has i % 7 + 1 elements, in one block each. */
static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */
    const struct table_options options = { .mem = &fixture.mem, .digest_mask = UINT64_MAX };
    static const uint64_t value = 1;
    static const uint8_t offset = 0;

    fixture =
        (struct fixture){ .now = { .mono_us = 100 * SECOND }, .peer = { .dialect = DIALECT_TTL } };
    fixture.queue.peer = &fixture.peer;
    assert_int_equal(table_create(&options, &fixture.table), STATUS_OK);
    for (unsigned i = 0; i < KEYS; i++) {
        const uint8_t key[] = { 'k', (uint8_t)i };

        assert_int_equal(table_obtain(fixture.table, (struct bytes){ key, sizeof key }, TABLE_DATA,
                                      &fixture.entries[i]),
                         STATUS_OK);
        for (unsigned j = 0; j <= i % 7; j++) {
            const struct block block = {
                .number = j, .values = &value, .offsets = &offset, .count = 1, .width = 8
            };

            assert_int_equal(
                table_merge(fixture.table, fixture.entries[i], &block, CHANGE_FROM_CLIENT, NULL),
                STATUS_OK);
        }
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    queue_clear(&fixture->queue, &fixture->mem);
    table_free(fixture->table);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static bool add(struct fixture *fixture, unsigned entry, uint64_t number, uint8_t ttl)
{
    struct mark mark = { .number = number };

    mark_set(&mark, 0);
    return queue_add(&fixture->queue, &fixture->mem, fixture->now, fixture->entries[entry],
                     (struct queue_part){ .mark = &mark, .ttl = ttl });
}

static void test_queue_gives_keys_in_the_order_they_came(void **state)
{
    struct fixture *fixture = *state;
    struct plain_queue *queue = &fixture->queue;

    assert_null(queue_next(queue, fixture->now));
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(add(fixture, i, 0, 1));
    }
    for (unsigned i = 0; i < KEYS; i++) {
        struct queue_key *key = queue_next(queue, fixture->now);

        assert_ptr_equal(key->entry, fixture->entries[i]);
        queue_remove(queue, &fixture->mem, key);
        queue_audit(queue);
    }
    assert_true(queue_empty(queue));
}

static void test_queue_merges_marks_and_keeps_the_larger_ttl(void **state)
{
    struct fixture *fixture = *state;
    const struct queue_key *key;

    assert_true(add(fixture, 6, 5, 1));
    assert_true(add(fixture, 6, 2, 3));
    assert_true(add(fixture, 6, 5, 2));
    queue_audit(&fixture->queue);
    key = queue_next(&fixture->queue, fixture->now);
    assert_int_equal(key->marks.count, 2);
    assert_int_equal(key->ttl, 3);
    assert_int_equal(fixture->queue.count, 1);
}

static bool add_all(struct fixture *fixture, unsigned entry)
{
    return queue_add(&fixture->queue, &fixture->mem, fixture->now, fixture->entries[entry],
                     (struct queue_part){ .ttl = 1, .what = QUEUE_ALL });
}

static void test_queue_takes_a_whole_entry_as_a_place_in_it(void **state)
{
    struct fixture *fixture = *state;
    struct queue_key *key;

    assert_true(add(fixture, 6, 2, 1));
    assert_true(add_all(fixture, 6));
    key = queue_next(&fixture->queue, fixture->now);
    assert_true(marks_empty(&key->marks));
    assert_true(add(fixture, 6, 5, 1)); /* comes anyhow */
    assert_true(marks_empty(&key->marks));
    key->at = 3;
    key->offset = BLOCK_ELEMENTS;
    assert_true(add(fixture, 6, 3, 1)); /* has been said */
    assert_int_equal(key->marks.count, 1);
    assert_true(add_all(fixture, 6)); /* the same question once more */
    assert_int_equal(key->at, 3);
}

static uint64_t key_drop(struct fixture *fixture, unsigned i)
{
    return queue_drop(&fixture->queue, &fixture->mem, (struct drops){ &fixture->entries[i], 1 });
}

static void test_queue_forgets_a_dropped_entry(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(add(fixture, i, 0, 1));
    }
    for (unsigned i = 0; i < KEYS; i += 2) {
        key_drop(fixture, i);
        queue_audit(&fixture->queue);
    }
    assert_int_equal(fixture->queue.count, KEYS / 2);
    assert_ptr_equal(queue_next(&fixture->queue, fixture->now)->entry, fixture->entries[1]);
    key_drop(fixture, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(add(fixture, i, 0, 1));
        queue_audit(&fixture->queue);
    }
    assert_int_equal(fixture->queue.count, KEYS);
}

static void test_queue_allows_eight_at_once_and_twenty_a_second(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t begin_us = fixture->now.mono_us;
    struct moment now = fixture->now;

    assert_true(add(fixture, 0, 0, 1));
    for (unsigned i = 0; i < 100; i++) {
        const uint64_t due_us = queue_due_us(&fixture->queue);

        now.mono_us = due_us > now.mono_us ? due_us : now.mono_us;
        assert_int_equal(now.mono_us - begin_us, i < 8 ? 0 : (i - 7) * 50000);
        queue_sent(&fixture->queue, now);
    }
}

static void test_queue_in_bursts_waits_for_quiet(void **state)
{
    struct fixture *fixture = *state;
    struct plain_queue *queue = &fixture->queue;
    struct moment now = fixture->now;

    fixture->peer.dialect = DIALECT_NO_TTL;
    assert_true(add(fixture, 0, 0, 1));
    assert_true(queue_due_us(queue) <= now.mono_us);
    queue_sent(queue, now);
    queue_remove(queue, &fixture->mem, queue_next(queue, now));
    fixture->now.mono_us = now.mono_us + 900000; /* within a second: of the same burst */
    assert_true(add(fixture, 1, 0, 1));
    assert_true(queue_due_us(queue) <= fixture->now.mono_us);
    queue_sent(queue, fixture->now);
    queue_remove(queue, &fixture->mem, queue_next(queue, fixture->now));
    fixture->now.mono_us = now.mono_us + 1000001; /* of the next one */
    assert_true(add(fixture, 2, 0, 1));
    assert_int_equal(queue_due_us(queue), now.mono_us + 900000 + 3200000);
    fixture->peer.dialect = DIALECT_TTL; /* its next frame may show another dialect */
    assert_true(queue_due_us(queue) <= fixture->now.mono_us);
}

static void test_queue_a_burst_ends_after_64(void **state)
{
    struct fixture *fixture = *state;
    struct plain_queue *queue = &fixture->queue;
    struct moment now = fixture->now;

    fixture->peer.dialect = DIALECT_NO_TTL;
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(add(fixture, i, 0, 1));
    }
    for (unsigned i = 0; i < 64; i++) {
        const uint64_t due_us = queue_due_us(queue);
        struct queue_key *key;

        now.mono_us = due_us > now.mono_us ? due_us : now.mono_us;
        key = queue_next(queue, now);
        assert_int_equal(vector_size(entry_vector(key->entry)), 1 + i / 29); /* fewest first */
        queue_remove(queue, &fixture->mem, key);
        queue_sent(queue, now);
        queue_audit(queue);
    }
    assert_int_equal(now.mono_us - fixture->now.mono_us, 56 * 50000);
    assert_int_equal(queue_due_us(queue), now.mono_us + 3200000);
}

static void test_queue_survives_every_failing_allocation(void **state)
{
    struct fixture *fixture = *state;
    struct mem *mem = &fixture->mem;

    for (unsigned i = 0; i < KEYS * 4; i++) {
        mem->fail_countdown = i % 3 + 1;
        (void)add(fixture, i % KEYS, i, 1);
        mem->fail_countdown = 0;
        queue_audit(&fixture->queue);
    }
    assert_true(fixture->queue.count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_gives_keys_in_the_order_they_came),
        TEST(test_queue_merges_marks_and_keeps_the_larger_ttl),
        TEST(test_queue_takes_a_whole_entry_as_a_place_in_it),
        TEST(test_queue_forgets_a_dropped_entry),
        TEST(test_queue_allows_eight_at_once_and_twenty_a_second),
        TEST(test_queue_in_bursts_waits_for_quiet),
        TEST(test_queue_a_burst_ends_after_64),
        TEST(test_queue_survives_every_failing_allocation),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
