/* What this file tests: what a journal still has to write, and when it counts as kept: after a
 * failure, and where there was no memory for it. */

#include "unit/journal_fixture.h"

/* Each allocation of the journal fails in turn. */
static void test_nothing_is_called_kept_that_there_was_no_memory_for(void **state)
{
    struct fixture *fixture = *state;
    bool is_reached = true;

    fixture->options.snapshot_bytes_min = 4096;
    fixture->options.extend_bytes = 8192;
    fixture->options.reserve_bytes = 3000;
    for (unsigned nth = 1; is_reached; nth++) {
        crash(fixture, true);
        fixture->mem.fail_countdown = nth;
        for (unsigned i = 0; i < 60; i++) {
            turn_random(fixture);
            if (i % 10 == 3) {
                fail_at(fixture, DISK_WRITE, 1, DISK_BROKEN);
            }
            if (i % 3 == 0) {
                (void)step(fixture);
            }
            pass(fixture, JOURNAL_RETRY_US / 3);
        }
        is_reached = fixture->mem.fail_countdown == 0;
        fixture->mem.fail_countdown = 0;
        fixture->fails_in = 0;
        if (nth % 2 == 0) {
            pass(fixture, UINT64_C(100000000));
            settle(fixture);
            assert_true(journal_kept(fixture->journal) == journal_ticket(fixture->journal));
        }
    }
}

static void test_notes_are_blocked_until_a_snapshot_stands(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    settle(fixture);
    key_raise(fixture, 0, 1);
    fixture->mem.fail_countdown = 1;
    ticket = turn(fixture);
    assert_int_equal(fixture->mem.fail_countdown, 0);
    key_raise(fixture, 1, 1);
    (void)turn(fixture);
    while (journal_stats(fixture->journal)->snapshots == 0) {
        assert_true(journal_kept(fixture->journal) < ticket);
        assert_true(step(fixture));
    }
    assert_true(journal_kept(fixture->journal) >= ticket);
    images_check(fixture);
    assert_int_equal(loaded_value(fixture, 0), 1);
}

/* Run until a snapshot more stands; nothing is kept meanwhile. */
static void snapshot_await_blocked(struct fixture *fixture, uint64_t ticket)
{
    const uint64_t before = journal_stats(fixture->journal)->snapshots;

    for (unsigned i = 0; journal_stats(fixture->journal)->snapshots == before; i++) {
        assert_true(journal_kept(fixture->journal) < ticket);
        if (!step(fixture)) {
            pass(fixture, JOURNAL_RETRY_US);
        }
        assert_true(i < 1000);
    }
}

static void test_what_a_failed_group_had_and_nobody_remembers_waits_for_a_snapshot(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    settle(fixture);
    key_raise(fixture, 0, 1);
    ticket = turn(fixture);
    fixture->mem.fail_countdown = 1;
    fail_at(fixture, DISK_WRITE, 1, DISK_BROKEN);
    assert_true(step(fixture));
    assert_int_equal(fixture->mem.fail_countdown, 0);
    snapshot_await_blocked(fixture, ticket);
    assert_true(journal_kept(fixture->journal) >= ticket);
    assert_int_equal(loaded_value(fixture, 0), 1);
}

static void test_a_snapshot_that_began_before_it_is_begun_anew(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    key_keep(fixture, 0);
    journal_want_snapshot(fixture->journal);
    do {
        assert_true(step(fixture));
    } while (fixture->last.file.kind != DISK_DRAFT || fixture->last.verb != DISK_WRITE);
    key_raise(fixture, 0, 1);
    fixture->mem.fail_countdown = 1;
    ticket = turn(fixture);
    snapshot_await_blocked(fixture, ticket);
    assert_true(journal_kept(fixture->journal) >= ticket);
    assert_int_equal(loaded_value(fixture, 0), 2);
}

/* A deletion is kept by an old log. The key is written to again behind the walk, and there is no
 * memory to note that: neither draft nor new log says that it was deleted. */
static void test_a_deletion_that_was_not_noted_is_not_lost_with_older_logs(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.snapshot_bytes_min = 200 << 10;
    fixture->options.extend_bytes = 450 << 10;
    restart_with(fixture, JOURNAL_COMMIT);
    bulk_write(fixture, 180);
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    key_delete(fixture, 0);
    (void)turn(fixture);
    fixture->kept[0] = state_of(fixture->table, 0);
    do {
        assert_true(step(fixture));
    } while (fixture->last.file.kind != DISK_DRAFT || fixture->last.verb != DISK_WRITE);
    assert_true(journal_kept(fixture->journal) == journal_ticket(fixture->journal));
    key_raise(fixture, 0, 1);
    fixture->mem.fail_countdown = 1;
    (void)turn(fixture);
    assert_int_equal(fixture->mem.fail_countdown, 0);
    while (step(fixture)) {
        images_check(fixture);
    }
    assert_int_equal(loaded_value(fixture, 0), 1);
}

/* All that was written is dropped before it is synced, and that fails: there is nothing to note
 * again, and nothing that a snapshot waits for. */
static void test_what_went_before_a_failure_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    static const char dated[] = "a~2026-11-29";
    const struct bytes key = { (const uint8_t *)dated, sizeof dated - 1 };

    restart_with(fixture, JOURNAL_INTERVAL);
    element_put(fixture, key, 0, 1, CHANGE_FROM_CLIENT);
    (void)turn(fixture);
    settle(fixture);
    table_set_minute(fixture->table, deadline_of(key));
    (void)table_expire(fixture->table, 10);
    (void)turn(fixture);
    assert_int_equal(table_drop_ended(fixture->table, 10), 1);
    (void)turn(fixture);
    fail_at(fixture, DISK_SYNC, 1, DISK_BROKEN);
    pass(fixture, fixture->options.sync_interval_us);
    settle(fixture);
    pass(fixture, JOURNAL_RETRY_US);
    journal_want_snapshot(fixture->journal);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 1);
}

/* A round that is kept with the next one only, which has the deletion, stays so after a failure. */
static void test_a_failure_does_not_part_an_update_from_its_deletion(void **state)
{
    struct fixture *fixture = *state;
    struct notes notes = { .is_kept_early = false };
    uint8_t bytes[4096];

    key_raise(fixture, 0, 1);
    key_raise(fixture, 1, 1);
    notes_add(&notes, &fixture->mem, table_changes(fixture->table));
    table_turn_end(fixture->table);
    for (unsigned i = 0; i < 2; i++) {
        struct writer writer;

        assert_true(notes_ready(&notes));
        writer_begin_items(&writer, (struct space){ bytes, sizeof bytes });
        notes_put(&notes, fixture->table, &fixture->mem, &writer, 1);
        if (i == 0) {
            key_delete(fixture, 1);
            notes_add(&notes, &fixture->mem, table_changes(fixture->table));
            table_turn_end(fixture->table);
            notes_written(&notes, &fixture->mem, true);
            notes_failed(&notes, &fixture->mem);
        }
        assert_int_equal(notes.kept, 0);
    }
    notes_written(&notes, &fixture->mem, true);
    assert_int_equal(notes.kept, 2);
    notes_clear(&notes, &fixture->mem);
}

/* What is noted again in several groups is not synced with the first of them. */
static void test_what_is_noted_again_is_not_synced_before_it_is_written(void **state)
{
    struct fixture *fixture = *state;
    struct notes notes = { .is_kept_early = true };
    uint8_t bytes[4096];
    struct writer writer;

    key_raise(fixture, 0, 1);
    notes_add(&notes, &fixture->mem, table_changes(fixture->table));
    table_turn_end(fixture->table);
    assert_true(notes_ready(&notes));
    writer_begin_items(&writer, (struct space){ bytes, sizeof bytes });
    notes_put(&notes, fixture->table, &fixture->mem, &writer, 1);
    notes_written(&notes, &fixture->mem, false);
    assert_true(notes.kept == 1 && notes.synced == 0);
    notes_failed(&notes, &fixture->mem);
    notes_synced(&notes, &fixture->mem);
    assert_true(notes.kept == 1 && notes.synced == 0);
    notes_clear(&notes, &fixture->mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_called_kept_that_there_was_no_memory_for),
        TEST(test_notes_are_blocked_until_a_snapshot_stands),
        TEST(test_what_a_failed_group_had_and_nobody_remembers_waits_for_a_snapshot),
        TEST(test_a_snapshot_that_began_before_it_is_begun_anew),
        TEST(test_a_deletion_that_was_not_noted_is_not_lost_with_older_logs),
        TEST(test_what_went_before_a_failure_holds_nobody_up),
        TEST(test_a_failure_does_not_part_an_update_from_its_deletion),
        TEST(test_what_is_noted_again_is_not_synced_before_it_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
