/* What this file tests: the journal: that what it calls kept is there, as disk/recover reads it,
 * whatever the disk did and whenever it ended. */

#include "unit/journal_fixture.h"

static void test_a_ticket_is_kept_only_once_its_group_is_told_done(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation;
    uint64_t first;
    uint64_t second;

    settle(fixture); /* a log is there before anybody waits for one */
    assert_int_equal(fixture->verbs[DISK_EXTEND], 1);
    key_raise(fixture, 0, 7);
    first = turn(fixture);
    assert_true(first > journal_kept(fixture->journal));
    assert_true(journal_next(fixture->journal, fixture->now, &operation));
    assert_int_equal(operation.verb, DISK_WRITE);
    assert_true(operation.is_synced);
    key_raise(fixture, 1, 8);
    second = turn(fixture);
    assert_true(second > first);
    assert_true(first > journal_kept(fixture->journal));
    journal_done(fixture->journal, fixture->now, perform(fixture, &operation));
    assert_true(journal_kept(fixture->journal) == first);
    assert_int_equal(loaded_value(fixture, 0), 7);
    assert_int_equal(loaded_value(fixture, 1), 0);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == second);
    assert_int_equal(loaded_value(fixture, 1), 8);
    assert_true(journal_due_us(fixture->journal) == UINT64_MAX);
}

static void test_a_hot_register_is_written_once_a_group(void **state)
{
    struct fixture *fixture = *state;

    settle(fixture);
    for (unsigned i = 0; i < 1000; i++) {
        key_raise(fixture, 0, 1);
        (void)turn(fixture);
    }
    settle(fixture);
    assert_int_equal(fixture->verbs[DISK_WRITE], 1);
    assert_true(fixture->last.size < 128);
    assert_int_equal(loaded_value(fixture, 0), 1000);
}

static void test_presence_and_what_came_from_the_disk_are_not_written(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = NULL;
    const uint64_t value = 1;
    const uint8_t offset = 0;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };

    settle(fixture);
    assert_int_equal(table_obtain(fixture->table, key_of(0), TABLE_MEMBERS, &entry), STATUS_OK);
    assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_SELF, NULL), STATUS_OK);
    element_put(fixture, key_of(1), 0, 1, CHANGE_FROM_DISK);
    assert_true(turn(fixture) == journal_kept(fixture->journal));
    assert_false(step(fixture));
}

static void test_a_group_has_a_limit_and_a_round_is_kept_with_its_last(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    fixture->options.extend_bytes = 450 << 10;
    fixture->options.snapshot_bytes_min = FILE_BYTES;
    restart_with(fixture, JOURNAL_COMMIT);
    settle(fixture);
    bulk_write(fixture, 180);
    ticket = turn(fixture);
    assert_true(step(fixture));
    assert_int_equal(fixture->last.verb, DISK_WRITE);
    assert_true(fixture->last.size > JOURNAL_GROUP_BYTES - FRAME_BYTES_MAX);
    assert_true(journal_kept(fixture->journal) < ticket);
    key_raise(fixture, 0, 1); /* this is of the next round */
    (void)turn(fixture);
    assert_true(step(fixture));
    assert_true(journal_kept(fixture->journal) == ticket);
    settle(fixture);
    images_check(fixture);
    assert_int_equal(loaded_value(fixture, 0), 1);
}

static void test_a_group_has_a_limit_of_blocks(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    fixture->options.extend_bytes = 450 << 10;
    restart_with(fixture, JOURNAL_COMMIT);
    settle(fixture);
    for (unsigned i = 0; i < 2 * JOURNAL_GROUP_BLOCKS; i++) {
        char name[16];
        const int size = snprintf(name, sizeof name, "y%05u", i);

        element_put(fixture, (struct bytes){ (const uint8_t *)name, (size_t)size }, 0, 1,
                    CHANGE_FROM_CLIENT);
    }
    ticket = turn(fixture);
    assert_true(step(fixture));
    assert_int_equal(journal_stats(fixture->journal)->waiting, JOURNAL_GROUP_BLOCKS);
    assert_true(journal_kept(fixture->journal) < ticket);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == ticket);
}

/* A million keys may end at once, and each is looked at. */
static void test_a_group_passes_by_only_so_many_that_ended(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket;

    settle(fixture);
    for (unsigned i = 0; i < 3 * JOURNAL_GROUP_BLOCKS; i++) {
        char name[24];
        const int size = snprintf(name, sizeof name, "y%05u~2026-11-29", i);

        element_put(fixture, (struct bytes){ (const uint8_t *)name, (size_t)size }, 0, 1,
                    CHANGE_FROM_CLIENT);
    }
    key_raise(fixture, 0, 1);
    ticket = turn(fixture);
    table_set_minute(fixture->table, UINT32_MAX - 1);
    for (unsigned left = 3; left-- > 0;) {
        assert_false(step(fixture));
        assert_int_equal(journal_stats(fixture->journal)->waiting, left * JOURNAL_GROUP_BLOCKS + 1);
        assert_true(journal_due_us(fixture->journal) == 0);
    }
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == ticket);
    assert_int_equal(fixture->verbs[DISK_WRITE], 1);
}

/* Write with a failure under way, see that it is told, and that it comes back by itself. */
static void failure_check(struct fixture *fixture, uint8_t verb, enum disk_outcome outcome)
{
    uint64_t ticket;

    fail_at(fixture, verb, 1, outcome);
    key_raise(fixture, verb, 5);
    ticket = turn(fixture);
    settle(fixture);
    assert_int_equal(fixture->fails_in, 0);
    assert_int_equal(journal_health(fixture->journal),
                     outcome == DISK_FULL ? JOURNAL_FULL : JOURNAL_FAILING);
    assert_true(journal_kept(fixture->journal) < ticket);
    assert_true(journal_lost(fixture->journal) == ticket);
    assert_true(journal_due_us(fixture->journal) > fixture->now.mono_us + JOURNAL_RETRY_US / 2);
    assert_true(journal_due_us(fixture->journal) <= fixture->now.mono_us + JOURNAL_RETRY_US);
    key_raise(fixture, verb, 6); /* it is written with today's value */
    assert_true(turn(fixture) > ticket);
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FINE);
    assert_true(journal_kept(fixture->journal) > ticket);
    assert_true(loaded_value(fixture, verb) >= 11);
    images_check(fixture);
}

static void test_a_log_that_failed_is_let_go_of_and_all_is_noted_again(void **state)
{
    struct fixture *fixture = *state;

    failure_check(fixture, DISK_CREATE, DISK_BROKEN);
    failure_check(fixture, DISK_WRITE, DISK_BROKEN);
    failure_check(fixture, DISK_WRITE, DISK_FULL);
    restart_with(fixture, JOURNAL_COMMIT);
    images_check(fixture);
}

static void test_a_log_that_cannot_be_made_is_tried_again_under_its_number(void **state)
{
    struct fixture *fixture = *state;

    failure_check(fixture, DISK_EXTEND, DISK_FULL);
    assert_true(file_is_there(fixture, DISK_LOG, 1));
    assert_false(file_is_there(fixture, DISK_LOG, 2));
    assert_int_equal(fixture->verbs[DISK_REMOVE], 1);
}

static void test_a_full_disk_leaves_the_reserve_and_is_told(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ticket = 0;
    unsigned written = 0;

    settle(fixture);
    fixture->space = 0;
    while (journal_health(fixture->journal) == JOURNAL_FINE) {
        element_put(fixture, key_of(0), written * 256, 1, CHANGE_FROM_CLIENT);
        ticket = turn(fixture);
        settle(fixture);
        assert_true(++written < 1000);
    }
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FULL);
    assert_true(journal_kept(fixture->journal) == ticket);
    for (unsigned i = 0; i < 50; i++) {
        key_keep(fixture, 1); /* the reserve takes it */
        pass(fixture, JOURNAL_RETRY_US);
    }
    images_check(fixture);
    while (journal_kept(fixture->journal) == journal_ticket(fixture->journal)) {
        key_raise(fixture, 2, 1);
        ticket = turn(fixture);
        settle(fixture);
        pass(fixture, JOURNAL_RETRY_US / 64);
    }
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FULL);
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_true(journal_lost(fixture->journal) == ticket);
    fixture->space = 64 << 10;
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FINE);
    assert_true(journal_kept(fixture->journal) == ticket);
    images_check(fixture);
}

static void test_interval_keeps_what_is_written_and_syncs_each_interval(void **state)
{
    struct fixture *fixture = *state;

    restart_with(fixture, JOURNAL_INTERVAL);
    for (unsigned i = 0; i < 8; i++) {
        key_keep(fixture, i);
        assert_false(fixture->last.is_synced);
        pass(fixture, 100000);
    }
    assert_int_equal(fixture->verbs[DISK_SYNC], 0);
    assert_true(journal_due_us(fixture->journal) > fixture->now.mono_us);
    pass(fixture, journal_due_us(fixture->journal) - fixture->now.mono_us - 1);
    settle(fixture);
    assert_int_equal(fixture->verbs[DISK_SYNC], 0);
    pass(fixture, 1);
    settle(fixture);
    assert_int_equal(fixture->verbs[DISK_SYNC], 1);
    assert_true(journal_due_us(fixture->journal) == UINT64_MAX);
    crash(fixture, true);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(state_of(fixture->table, i).value, 1);
    }
}

/* What is to be noted again if a sync fails is bounded, however much an interval brings. */
static void test_interval_syncs_before_too_much_is_carried(void **state)
{
    struct fixture *fixture = *state;
    unsigned rounds = 0;

    fixture->options.extend_bytes = 450 << 10;
    fixture->options.snapshot_bytes_min = FILE_BYTES;
    restart_with(fixture, JOURNAL_INTERVAL);
    while (fixture->verbs[DISK_SYNC] == 0) {
        rounds++;
        for (unsigned i = 0; i < JOURNAL_GROUP_BLOCKS; i++) {
            element_put(fixture, key_of(0), i * BLOCK_ELEMENTS, rounds, CHANGE_FROM_CLIENT);
        }
        (void)turn(fixture);
        settle(fixture);
        assert_true(rounds <= 8);
    }
    assert_int_equal(rounds, 8);
    assert_int_equal(loaded_value(fixture, 0), 8);
}

static void test_interval_notes_again_what_a_failed_sync_had(void **state)
{
    struct fixture *fixture = *state;

    restart_with(fixture, JOURNAL_INTERVAL);
    for (unsigned i = 0; i < 8; i++) {
        key_keep(fixture, i);
    }
    fail_at(fixture, DISK_SYNC, 1, DISK_BROKEN);
    pass(fixture, fixture->options.sync_interval_us);
    settle(fixture);
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FAILING);
    assert_int_equal(journal_stats(fixture->journal)->waiting, 8);
    key_delete(fixture, 3); /* meanwhile */
    (void)turn(fixture);
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    pass(fixture, fixture->options.sync_interval_us);
    settle(fixture);
    assert_int_equal(fixture->verbs[DISK_SYNC], 2);
    machine_crash(fixture);
    images_check(fixture);
    assert_int_equal(loaded_value(fixture, 7), 1);
    assert_int_equal(loaded_value(fixture, 3), 0);
}

static void test_none_writes_a_snapshot_at_the_end_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;

    restart_with(fixture, JOURNAL_NONE);
    key_raise(fixture, 0, 9);
    assert_true(turn(fixture) == journal_kept(fixture->journal));
    assert_false(step(fixture));
    assert_true(journal_due_us(fixture->journal) == UINT64_MAX);
    journal_stop(fixture->journal);
    assert_false(journal_has_stopped(fixture->journal));
    settle(fixture);
    assert_true(journal_has_stopped(fixture->journal));
    assert_int_equal(fixture->files_count, 1);
    assert_true(file_is_there(fixture, DISK_SNAPSHOT, 1));
    crash(fixture, true);
    assert_int_equal(state_of(fixture->table, 0).value, 9);
}

static void test_none_that_cannot_write_its_snapshot_ends_all_the_same(void **state)
{
    struct fixture *fixture = *state;

    restart_with(fixture, JOURNAL_NONE);
    fail_at(fixture, DISK_PUBLISH, 1, DISK_BROKEN);
    journal_stop(fixture->journal);
    settle(fixture);
    assert_true(journal_has_stopped(fixture->journal));
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FAILING);
}

/* Write until a snapshot was made. */
static void snapshot_await(struct fixture *fixture)
{
    const uint64_t before = journal_stats(fixture->journal)->snapshots;
    unsigned i = 0;

    while (journal_stats(fixture->journal)->snapshots == before) {
        key_raise(fixture, i % KEYS, 1);
        (void)turn(fixture);
        settle(fixture);
        assert_true(++i < 10000);
    }
}

static void test_a_long_log_makes_a_snapshot_and_goes(void **state)
{
    struct fixture *fixture = *state;
    const struct journal_stats *stats = journal_stats(fixture->journal);

    snapshot_await(fixture);
    assert_true(stats->written_bytes > fixture->options.snapshot_bytes_min);
    assert_int_equal(fixture->files_count, 2);
    assert_true(file_is_there(fixture, DISK_SNAPSHOT, 2));
    assert_true(file_is_there(fixture, DISK_LOG, 2));
    assert_false(stats->is_snapshotting);
    assert_true(stats->log_bytes < fixture->options.snapshot_bytes_min);
    crash(fixture, true);
    stats = journal_stats(fixture->journal);
    snapshot_await(fixture);
    crash(fixture, false);
}

static void test_pieces_of_a_snapshot_and_groups_take_turns(void **state)
{
    struct fixture *fixture = *state;
    uint8_t before = DISK_LOG;
    unsigned pieces = 0;

    fixture->options.snapshot_bytes_min = FILE_BYTES;
    fixture->options.extend_bytes = 450 << 10;
    restart_with(fixture, JOURNAL_COMMIT);
    bulk_write(fixture, 180);
    (void)turn(fixture);
    settle(fixture);
    journal_want_snapshot(fixture->journal);
    for (unsigned i = 0; journal_stats(fixture->journal)->snapshots == 0; i++) {
        key_raise(fixture, 0, 1);
        (void)turn(fixture);
        assert_true(step(fixture));
        assert_true(before == DISK_LOG || fixture->last.file.kind == DISK_LOG);
        before = fixture->last.file.kind;
        pieces += before == DISK_DRAFT && fixture->last.verb == DISK_WRITE;
        assert_true(i < 100);
    }
    assert_true(pieces >= 2);
    images_check(fixture);
}

static void test_a_snapshot_that_fails_is_begun_anew_and_no_log_goes(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t verbs[] = { DISK_WRITE, DISK_SYNC, DISK_PUBLISH };

    for (size_t i = 0; i < sizeof verbs; i++) {
        const size_t files = fixture->files_count;
        struct disk_operation operation;

        key_keep(fixture, 0);
        journal_want_snapshot(fixture->journal);
        fail_at(fixture, verbs[i], 1, DISK_BROKEN);
        settle(fixture);
        assert_int_equal(fixture->fails_in, 0);
        assert_int_equal(journal_stats(fixture->journal)->snapshots, i);
        assert_int_equal(journal_health(fixture->journal), JOURNAL_FINE);
        assert_true(fixture->files_count >= files);
        images_check(fixture);
        key_keep(fixture, 1);
        assert_false(journal_next(fixture->journal, fixture->now, &operation));
        pass(fixture, journal_due_us(fixture->journal) - fixture->now.mono_us);
        settle(fixture);
        assert_int_equal(journal_stats(fixture->journal)->snapshots, i + 1);
        images_check(fixture);
    }
}

/* Its draft could not be removed: it is had again, and no longer due to go. */
static void test_a_draft_that_stayed_is_had_again(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.sync_interval_us = 10 * JOURNAL_RETRY_US;
    restart_with(fixture, JOURNAL_INTERVAL);
    key_keep(fixture, 0);
    journal_want_snapshot(fixture->journal);
    fail_at(fixture, DISK_SYNC, 1, DISK_BROKEN);
    while (fixture->fails_in > 0) {
        assert_true(step(fixture));
    }
    fail_at(fixture, DISK_REMOVE, 1, DISK_BROKEN);
    settle(fixture);
    assert_int_equal(fixture->fails_in, 0);
    key_keep(fixture, 1);
    pass(fixture, journal_due_us(fixture->journal) - fixture->now.mono_us);
    settle(fixture);
    assert_true(journal_stats(fixture->journal)->is_snapshotting);
    pass(fixture, journal_due_us(fixture->journal) - fixture->now.mono_us);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 1);
}

/* A key that moves past the walk: deleted and written to again behind it. */
static void test_a_snapshot_is_named_once_what_rose_meanwhile_is_kept(void **state)
{
    struct fixture *fixture = *state;

    key_keep(fixture, 0);
    journal_want_snapshot(fixture->journal);
    do {
        assert_true(step(fixture));
    } while (fixture->last.file.kind != DISK_DRAFT || fixture->last.verb != DISK_CREATE);
    key_delete(fixture, 0);
    (void)turn(fixture);
    assert_true(step(fixture)); /* its group */
    fail_at(fixture, DISK_WRITE, 2, DISK_BROKEN);
    assert_true(step(fixture)); /* the walk */
    assert_int_equal(fixture->last.file.kind, DISK_DRAFT);
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    while (step(fixture)) {
        assert_true(fixture->last.verb != DISK_PUBLISH);
        images_check(fixture);
    }
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 1);
    images_check(fixture);
    assert_int_equal(loaded_value(fixture, 0), 1);
}

static void test_what_is_left_of_earlier_lives_goes(void **state)
{
    struct fixture *fixture = *state;

    snapshot_await(fixture);
    file_create(fixture, (struct disk_file){ .number = 1, .kind = DISK_LOG });
    file_create(fixture, (struct disk_file){ .number = 1, .kind = DISK_SNAPSHOT });
    file_create(fixture, (struct disk_file){ .number = 7, .kind = DISK_DRAFT });
    crash(fixture, true);
    settle(fixture);
    assert_int_equal(fixture->files_count, 3); /* snapshot and log 2, and log 8 */
    assert_true(file_is_there(fixture, DISK_LOG, 8));
}

static void test_what_is_damaged_stays_until_a_snapshot_stands(void **state)
{
    struct fixture *fixture = *state;

    key_keep(fixture, 0);
    file_create(fixture, (struct disk_file){ .number = 1, .kind = DISK_SNAPSHOT });
    journal_free(fixture->journal);
    fixture->report = (struct recover_report){
        .next_number = 5, .next_sequence = 9, .snapshot_number = 3, .damaged = 1
    };
    journal_begin(fixture);
    do {
        assert_true(file_is_there(fixture, DISK_LOG, 1));
        assert_true(file_is_there(fixture, DISK_SNAPSHOT, 1));
        assert_true(step(fixture));
    } while (fixture->last.verb != DISK_PUBLISH);
    settle(fixture);
    assert_int_equal(fixture->files_count, 2);
    images_check(fixture);
}

static void test_many_logs_make_a_snapshot(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.snapshot_bytes_min = UINT64_C(1) << 40;
    for (unsigned i = 0; i < JOURNAL_LOGS_MAX - 1; i++) {
        key_keep(fixture, 0);
        assert_int_equal(fixture->files_count, i + 1);
        crash(fixture, true);
    }
    key_keep(fixture, 0);
    settle(fixture);
    assert_int_equal(fixture->files_count, 2);
    assert_true(journal_stats(fixture->journal)->snapshots == 1);
    images_check(fixture);
}

static void test_a_directory_holds_only_so_many_files(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.snapshot_bytes_min = UINT64_C(1) << 40;
    restart_with(fixture, JOURNAL_COMMIT);
    fail_at(fixture, DISK_WRITE, 1, DISK_BROKEN);
    fixture->fails_on = true;
    for (unsigned i = 0; i < 200; i++) {
        key_raise(fixture, i % KEYS, 1);
        (void)turn(fixture);
        settle(fixture);
        assert_true(fixture->files_count <= JOURNAL_FILES_MAX);
        pass(fixture, JOURNAL_RETRY_US);
    }
    assert_true(fixture->files_count >= JOURNAL_FILES_MAX - 2);
    images_check(fixture);
    fixture->fails_in = 0;
    fixture->fails_on = false;
    for (unsigned i = 0; i < 130; i++) {
        settle(fixture);
        pass(fixture, JOURNAL_RETRY_US);
    }
    assert_true(journal_kept(fixture->journal) == journal_ticket(fixture->journal));
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FINE);
    assert_true(fixture->files_count <= 3);
    images_check(fixture);
    crash(fixture, true);
}

/* Two rounds: the update's is still being written as the key is deleted. */
static void test_an_update_whose_key_is_deleted_waits_for_the_deletion(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first;
    uint64_t second;

    fixture->options.extend_bytes = 450 << 10;
    fixture->options.snapshot_bytes_min = FILE_BYTES;
    restart_with(fixture, JOURNAL_COMMIT);
    settle(fixture);
    bulk_write(fixture, 150);
    key_raise(fixture, 0, 1);
    first = turn(fixture);
    assert_true(step(fixture));
    key_delete(fixture, 0);
    second = turn(fixture);
    assert_true(step(fixture));
    assert_true(journal_kept(fixture->journal) < first);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == second);
    images_check(fixture);
}

static void test_what_is_deleted_while_a_group_is_under_way_is_no_longer_touched(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation;

    settle(fixture);
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    assert_true(journal_next(fixture->journal, fixture->now, &operation));
    key_delete(fixture, 0);
    (void)turn(fixture);
    journal_done(fixture->journal, fixture->now, (struct disk_result){ .outcome = DISK_BROKEN });
    assert_int_equal(journal_stats(fixture->journal)->waiting, 1); /* the deletion */
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == journal_ticket(fixture->journal));
    assert_int_equal(loaded_value(fixture, 0), 0);
    images_check(fixture);
}

/* A deletion that is written to in turn while its group, which fails, is under way. */
static void test_a_deletion_that_nobody_wrote_waits_for_what_took_its_place(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation;
    uint64_t ticket;

    key_keep(fixture, 0);
    key_delete(fixture, 0);
    ticket = turn(fixture);
    assert_true(journal_next(fixture->journal, fixture->now, &operation));
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    journal_done(fixture->journal, fixture->now, (struct disk_result){ .outcome = DISK_BROKEN });
    pass(fixture, JOURNAL_RETRY_US);
    do {
        assert_true(journal_next(fixture->journal, fixture->now, &operation));
        assert_true(journal_kept(fixture->journal) < ticket);
        journal_done(fixture->journal, fixture->now, perform(fixture, &operation));
    } while (operation.verb != DISK_WRITE);
    assert_true(journal_kept(fixture->journal) > ticket);
    images_check(fixture);
}

static void test_peers_are_written_within_a_minute_and_in_each_file(void **state)
{
    struct fixture *fixture = *state;
    struct disk_peers peers = { .contact_s = 77, .count = 1, .list = { { { 1 }, 6000 } } };

    settle(fixture);
    journal_note_peers(fixture->journal, &peers);
    assert_false(step(fixture));
    pass(fixture, 60000000);
    settle(fixture);
    table_free(load(fixture));
    assert_int_equal(fixture->report.peers.count, 1);
    peers.contact_s = 78; /* this alone is not written with each group */
    journal_note_peers(fixture->journal, &peers);
    key_keep(fixture, 0);
    table_free(load(fixture));
    assert_int_equal(fixture->report.peers.contact_s, 77);
    peers.list[0].port = 6001; /* but with this it is */
    journal_note_peers(fixture->journal, &peers);
    key_keep(fixture, 0);
    table_free(load(fixture));
    assert_int_equal(fixture->report.peers.contact_s, 78);
    fail_at(fixture, DISK_WRITE, 1, DISK_BROKEN);
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    settle(fixture);
    pass(fixture, JOURNAL_RETRY_US);
    settle(fixture);
    assert_true(fixture->last.size > 2 * (size_t)FRAME_HEAD_BYTES + 26);
    snapshot_await(fixture);
    file_remove(fixture, (struct disk_file){ .number = 3, .kind = DISK_LOG });
    table_free(load(fixture));
    assert_int_equal(fixture->report.peers.list[0].port, 6001);
}

static void test_stopping_writes_all_and_then_nothing(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned durability = JOURNAL_COMMIT; durability <= JOURNAL_INTERVAL; durability++) {
        const struct disk_peers peers = { .contact_s = 5 + durability };
        struct disk_operation operation;

        restart_with(fixture, (enum journal_durability)durability);
        settle(fixture);
        key_raise(fixture, durability, 1);
        (void)turn(fixture);
        assert_true(journal_next(fixture->journal, fixture->now, &operation));
        journal_note_peers(fixture->journal, &peers);
        journal_stop(fixture->journal);
        key_raise(fixture, durability, 1); /* notes still come */
        (void)turn(fixture);
        assert_false(journal_has_stopped(fixture->journal));
        journal_done(fixture->journal, fixture->now, perform(fixture, &operation));
        settle(fixture);
        assert_true(journal_has_stopped(fixture->journal));
        assert_true(journal_due_us(fixture->journal) == UINT64_MAX);
        machine_crash(fixture);
        assert_int_equal(loaded_value(fixture, durability), 2);
        assert_int_equal(fixture->report.peers.contact_s, 5 + durability);
    }
}

static void test_stopping_waits_for_what_was_noted_last(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation;

    settle(fixture);
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    journal_stop(fixture->journal);
    assert_true(journal_next(fixture->journal, fixture->now, &operation));
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    journal_done(fixture->journal, fixture->now, perform(fixture, &operation));
    assert_false(journal_has_stopped(fixture->journal));
    settle(fixture);
    assert_int_equal(loaded_value(fixture, 0), 2);
}

/* A key that moves past the walk where there is no log that says so. */
static void test_a_snapshot_without_a_log_is_walked_anew_after_a_deletion(void **state)
{
    struct fixture *fixture = *state;

    restart_with(fixture, JOURNAL_NONE);
    key_raise(fixture, 0, 7);
    key_delete(fixture, 0);
    bulk_write(fixture, 180);
    (void)turn(fixture);
    journal_stop(fixture->journal);
    assert_true(step(fixture)); /* it is created, */
    assert_true(step(fixture)); /* and walked beyond the key */
    key_raise(fixture, 0, 7);
    (void)turn(fixture);
    settle(fixture);
    assert_true(journal_has_stopped(fixture->journal));
    assert_int_equal(loaded_value(fixture, 0), 7);
    images_check(fixture);
}

static void test_stopping_does_not_wait_for_a_disk_that_fails(void **state)
{
    struct fixture *fixture = *state;

    settle(fixture);
    fail_at(fixture, VERBS, 1, DISK_BROKEN);
    fixture->fails_on = true;
    key_raise(fixture, 0, 1);
    (void)turn(fixture);
    journal_stop(fixture->journal);
    settle(fixture);
    assert_true(journal_has_stopped(fixture->journal));
    assert_true(journal_kept(fixture->journal) < journal_ticket(fixture->journal));
}

static const struct bytes dated = { (const uint8_t *)"a~2026-11-29", 12 };

/* It is this minute, and the table has taken out or back in what that says. */
static void clock_turn(struct fixture *fixture, uint32_t minute)
{
    table_set_minute(fixture->table, minute);
    (void)table_expire(fixture->table, 10);
    (void)turn(fixture);
}

static void dated_is_kept(struct fixture *fixture)
{
    struct table *loaded = load(fixture);

    assert_non_null(table_find(loaded, dated));
    table_free(loaded);
}

static void test_keys_that_ended_are_not_written_and_come_back_with_the_clock(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t deadline = deadline_of(dated);
    uint64_t ticket;

    table_set_minute(fixture->table, deadline - 1);
    settle(fixture);
    element_put(fixture, dated, 0, 1, CHANGE_FROM_CLIENT);
    ticket = turn(fixture);
    clock_turn(fixture, deadline);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) == ticket);
    assert_int_equal(fixture->verbs[DISK_WRITE], 0);
    clock_turn(fixture, deadline - 1);
    settle(fixture);
    dated_is_kept(fixture);
}

/* A dated key is in the log, the clock passes its end, and comes back while a snapshot is made:
 * what it says must not take the log's place. */
static void test_a_snapshot_begins_anew_when_the_clock_goes_back(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t deadline = deadline_of(dated);

    snapshot_await(fixture);
    table_set_minute(fixture->table, deadline - 1);
    element_put(fixture, dated, 0, 1, CHANGE_FROM_CLIENT);
    (void)turn(fixture);
    settle(fixture);
    clock_turn(fixture, deadline);
    journal_want_snapshot(fixture->journal);
    do {
        assert_true(step(fixture));
    } while (fixture->last.file.kind != DISK_DRAFT || fixture->last.verb != DISK_WRITE);
    table_set_minute(fixture->table, deadline - 1);
    assert_true(step(fixture));  /* the draft goes: */
    assert_false(step(fixture)); /* the table still hides the key */
    (void)table_expire(fixture->table, 10);
    (void)turn(fixture);
    do {
        dated_is_kept(fixture);
    } while (step(fixture));
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 2);
}

/* It went there and back before the table had taken out what ended. */
static void test_keys_that_ended_for_a_moment_are_written_when_they_come_back(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t deadline = deadline_of(dated);

    table_set_minute(fixture->table, deadline - 1);
    settle(fixture);
    element_put(fixture, dated, 0, 1, CHANGE_FROM_CLIENT);
    (void)turn(fixture);
    table_set_minute(fixture->table, deadline);
    settle(fixture);
    clock_turn(fixture, deadline - 1);
    settle(fixture);
    dated_is_kept(fixture);
}

/* A snapshot has not what ended, and the clock that says so may be wrong: the logs stay until the
 * table frees it. */
static void test_logs_stay_while_what_ended_is_hidden(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t deadline = deadline_of(dated);

    snapshot_await(fixture); /* the next one lets that and its log go */
    table_set_minute(fixture->table, deadline - 1);
    element_put(fixture, dated, 0, 1, CHANGE_FROM_CLIENT);
    (void)turn(fixture);
    settle(fixture);
    clock_turn(fixture, deadline);
    journal_want_snapshot(fixture->journal);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 1);
    dated_is_kept(fixture);
    assert_int_equal(table_drop_ended(fixture->table, 10), 1);
    (void)turn(fixture);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 2);
}

/* Where nothing is older than the snapshot, its name takes nothing away. */
static void test_a_first_snapshot_waits_for_nothing_that_ended(void **state)
{
    struct fixture *fixture = *state;

    element_put(fixture, dated, 0, 1, CHANGE_FROM_DISK);
    clock_turn(fixture, deadline_of(dated));
    journal_want_snapshot(fixture->journal);
    settle(fixture);
    assert_int_equal(journal_stats(fixture->journal)->snapshots, 1);
}

static void trouble_random(struct fixture *fixture)
{
    if (random_below(&fixture->random, 40) == 0) {
        fail_at(fixture, VERBS, 1 + (unsigned)random_below(&fixture->random, 20),
                random_below(&fixture->random, 2) == 0 ? DISK_FULL : DISK_BROKEN);
        fixture->fails_on = random_below(&fixture->random, 4) == 0;
    }
    if (random_below(&fixture->random, 60) == 0) {
        fixture->fails_in = 0;
    }
    if (random_below(&fixture->random, 100) == 0) {
        journal_want_snapshot(fixture->journal);
    }
    if (random_below(&fixture->random, 10) == 0) {
        pass(fixture, random_below(&fixture->random, 1500000));
    }
}

/* Lives of writes, faults and crashes, one after the other. */
static void lives_random(struct fixture *fixture, enum journal_durability durability,
                         bool is_machine, unsigned lives)
{
    fixture->options.snapshot_bytes_min = 4096;
    fixture->options.extend_bytes = 8192;
    fixture->options.reserve_bytes = 3000;
    restart_with(fixture, durability);
    for (unsigned life = 0; life < lives; life++) {
        fixture->is_eventful = true;
        const unsigned steps = (unsigned)random_below(&fixture->random, 400);

        for (unsigned i = 0; i < steps; i++) {
            turn_random(fixture);
            trouble_random(fixture);
            for (uint64_t n = random_below(&fixture->random, 4); n > 0; n--) {
                (void)step(fixture);
            }
        }
        fixture->is_eventful = false;
        if (random_below(&fixture->random, 3) == 0) {
            journal_stop(fixture->journal);
            settle(fixture);
        }
        fixture->fails_in = 0;
        crash(fixture, is_machine);
    }
    pass(fixture, UINT64_C(100000000));
    settle(fixture);
    key_keep(fixture, 0);
    assert_int_equal(journal_health(fixture->journal), JOURNAL_FINE);
}

static void test_what_is_kept_outlives_any_crash_of_the_machine(void **state)
{
    lives_random(*state, JOURNAL_COMMIT, true, 150);
}

static void test_what_is_kept_outlives_any_crash_of_the_process(void **state)
{
    lives_random(*state, JOURNAL_INTERVAL, false, 150);
}

/* Neither a log nor a file that goes: whatever is tried, and however long. */
static void test_files_that_cannot_go_are_no_reason_for_more(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.snapshot_bytes_min = UINT64_C(1) << 40;
    restart_with(fixture, JOURNAL_COMMIT);
    for (unsigned i = 0; i < JOURNAL_FILES_MAX; i++) {
        fail_at(fixture, DISK_WRITE, 1, DISK_BROKEN);
        fixture->fails_on = true;
        key_raise(fixture, 0, 1);
        (void)turn(fixture);
        settle(fixture);
        pass(fixture, JOURNAL_RETRY_US);
    }
    fail_at(fixture, VERBS, 1, DISK_BROKEN);
    for (unsigned i = 0; i < 200; i++) { /* no draft can be begun, and none goes */
        settle(fixture);
        pass(fixture, UINT64_C(64000000));
    }
    fail_at(fixture, DISK_REMOVE, 1, DISK_BROKEN);
    for (unsigned i = 0; i < 200; i++) { /* one stands by now, and nothing goes */
        settle(fixture);
        pass(fixture, UINT64_C(64000000));
        assert_true(fixture->files_count <= JOURNAL_FILES_MAX);
    }
    assert_true(journal_stats(fixture->journal)->snapshots <= 3);
}

static void test_a_journal_may_go_with_an_operation_that_nobody_told_of(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation;

    assert_true(journal_next(fixture->journal, fixture->now, &operation));
    journal_free(fixture->journal);
    fixture->journal = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_ticket_is_kept_only_once_its_group_is_told_done),
        TEST(test_a_hot_register_is_written_once_a_group),
        TEST(test_presence_and_what_came_from_the_disk_are_not_written),
        TEST(test_a_group_has_a_limit_and_a_round_is_kept_with_its_last),
        TEST(test_a_group_has_a_limit_of_blocks),
        TEST(test_a_group_passes_by_only_so_many_that_ended),
        TEST(test_a_log_that_failed_is_let_go_of_and_all_is_noted_again),
        TEST(test_a_log_that_cannot_be_made_is_tried_again_under_its_number),
        TEST(test_a_full_disk_leaves_the_reserve_and_is_told),
        TEST(test_interval_keeps_what_is_written_and_syncs_each_interval),
        TEST(test_interval_syncs_before_too_much_is_carried),
        TEST(test_interval_notes_again_what_a_failed_sync_had),
        TEST(test_none_writes_a_snapshot_at_the_end_and_nothing_else),
        TEST(test_none_that_cannot_write_its_snapshot_ends_all_the_same),
        TEST(test_a_long_log_makes_a_snapshot_and_goes),
        TEST(test_pieces_of_a_snapshot_and_groups_take_turns),
        TEST(test_a_snapshot_that_fails_is_begun_anew_and_no_log_goes),
        TEST(test_a_draft_that_stayed_is_had_again),
        TEST(test_a_snapshot_is_named_once_what_rose_meanwhile_is_kept),
        TEST(test_what_is_left_of_earlier_lives_goes),
        TEST(test_what_is_damaged_stays_until_a_snapshot_stands),
        TEST(test_many_logs_make_a_snapshot),
        TEST(test_a_directory_holds_only_so_many_files),
        TEST(test_an_update_whose_key_is_deleted_waits_for_the_deletion),
        TEST(test_what_is_deleted_while_a_group_is_under_way_is_no_longer_touched),
        TEST(test_a_deletion_that_nobody_wrote_waits_for_what_took_its_place),
        TEST(test_peers_are_written_within_a_minute_and_in_each_file),
        TEST(test_stopping_writes_all_and_then_nothing),
        TEST(test_stopping_waits_for_what_was_noted_last),
        TEST(test_stopping_does_not_wait_for_a_disk_that_fails),
        TEST(test_a_snapshot_without_a_log_is_walked_anew_after_a_deletion),
        TEST(test_keys_that_ended_are_not_written_and_come_back_with_the_clock),
        TEST(test_a_snapshot_begins_anew_when_the_clock_goes_back),
        TEST(test_logs_stay_while_what_ended_is_hidden),
        TEST(test_a_first_snapshot_waits_for_nothing_that_ended),
        TEST(test_keys_that_ended_for_a_moment_are_written_when_they_come_back),
        TEST(test_files_that_cannot_go_are_no_reason_for_more),
        TEST(test_a_journal_may_go_with_an_operation_that_nobody_told_of),
        TEST(test_what_is_kept_outlives_any_crash_of_the_machine),
        TEST(test_what_is_kept_outlives_any_crash_of_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
