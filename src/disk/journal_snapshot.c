#include "disk/journal_snapshot.h"

#include "disk/journal_log.h"

static bool remove_next(struct journal *journal, struct disk_operation *operation)
{
    if (!journal->has_doomed || journal->now_us < journal->remove_us
        || !inventory_doomed(&journal->inventory, &journal->removed)) {
        return false;
    }
    *operation = (struct disk_operation){ .verb = DISK_REMOVE, .file = journal->removed };
    journal->step = STEP_REMOVE;
    return true;
}

void journal_snapshot_removed(struct journal *journal, struct disk_result result)
{
    if (result.outcome == DISK_DONE) {
        inventory_take(&journal->inventory, journal->removed);
    } else {
        journal->remove_us = journal->now_us + JOURNAL_RETRY_US;
    }
    journal_log_count_files(journal);
}

/* Whether a new log is to be begun first, so that the one that is long can go. */
static bool needs_rotation(const struct journal *journal)
{
    const struct journal_log *log = &journal->log;

    return log->is_ready && !log->is_rotated && journal->inventory.count + 2 < JOURNAL_FILES_MAX
           && ((log->used > 0 && log->used >= journal->snapshot_bytes_min)
               || log->number == journal->inventory.floor);
}

static void snapshot_start(struct journal *journal)
{
    struct journal_log *log = &journal->log;
    const bool is_logged = log->is_ready;
    uint64_t number = log->number;

    if (!is_logged) {
        /* One after the other that fails is under the same number: there is room for one alone. */
        number = journal->checkpoint.number > journal_greater(log->number, journal->inventory.floor)
                     ? journal->checkpoint.number
                     : journal->next_number++;
        /* The next log has a greater number, and counts anew: no log belongs to the snapshot. */
        log->is_unused = false;
        journal->sequence = 1;
        journal->synced_sequence = 1;
    }
    checkpoint_begin(&journal->checkpoint, journal->directory_id, number,
                     is_logged ? log->first_sequence : 0, is_logged);
    journal->inventory.draft = number;
    inventory_put(&journal->inventory, (struct disk_file){ .number = number, .kind = DISK_DRAFT },
                  0);
    journal_log_count_files(journal);
    notes_cover(&journal->notes);
    journal_log_count_files(journal); /* one that could not be removed is had again */
}

/* Whether one may be begun as it is: beside a log, or where none can be. */
static bool can_begin(const struct journal *journal)
{
    if (journal->is_given_up
        || (journal->is_stopping && journal_writes_log(journal) && !journal->notes.is_blocked)) {
        return false;
    }
    if (!journal_writes_log(journal)) {
        return true;
    }
    /* Of the keys that come back with the clock those that the table still hides are not walked. */
    return !table_expires(journal->table)
           && (journal->log.is_ready || journal_files_are_many(journal));
}

/* Begin one where one is wanted and can be. False: not now. */
static bool snapshot_is_begun(struct journal *journal)
{
    if (!checkpoint_is_idle(&journal->checkpoint)) {
        return true;
    }
    if (!journal->is_snapshot_wanted || !can_begin(journal)
        || journal->now_us < journal->checkpoint.retry_us) {
        return false;
    }
    snapshot_start(journal);
    return true;
}

/* Whether there are keys that older files alone may have, as their end is not sure yet. */
static bool older_alone_have_some(const struct journal *journal)
{
    return journal_writes_log(journal) && !journal->is_stopping
           && inventory_has_older(&journal->inventory, journal->checkpoint.number)
           && (table_expires(journal->table) || table_stats(journal->table).ended > 0);
}

static bool snapshot_step(struct journal *journal, struct disk_operation *operation)
{
    const struct checkpoint_source source = { .table = journal->table,
                                              .peers = &journal->peers,
                                              .space = { journal->buffer, JOURNAL_GROUP_BYTES },
                                              .noted = journal->notes.noted,
                                              .synced = journal->notes.synced,
                                              .hides = older_alone_have_some(journal) };

    if (journal->is_snapshot_wanted && checkpoint_is_idle(&journal->checkpoint)
        && !journal->is_stopping && journal->now_us >= journal->checkpoint.retry_us
        && needs_rotation(journal)) {
        return journal_log_rotate(journal, operation);
    }
    if (!snapshot_is_begun(journal) || !checkpoint_next(&journal->checkpoint, &source, operation)) {
        return false;
    }
    journal->step = STEP_CHECKPOINT;
    return true;
}

static void snapshot_made(struct journal *journal)
{
    const uint64_t number = journal->checkpoint.number;

    inventory_take(&journal->inventory, (struct disk_file){ .number = number, .kind = DISK_DRAFT });
    inventory_put(&journal->inventory,
                  (struct disk_file){ .number = number, .kind = DISK_SNAPSHOT },
                  journal->checkpoint.bytes);
    journal->inventory.floor = number;
    journal->inventory.draft = 0;
    journal->stats.snapshots++;
    journal->stats.snapshot_bytes = journal->checkpoint.bytes;
    notes_covered(&journal->notes);
    journal->is_snapshot_wanted = journal->is_cancelled || journal->notes.is_blocked;
    journal->log.is_rotated = false;
    journal_log_count_files(journal);
}

/* It is let go of, and its draft goes. */
static void snapshot_forget(struct journal *journal)
{
    journal->inventory.draft = 0;
    journal->log.is_rotated = false;
    journal_log_count_files(journal);
}

static void snapshot_failed(struct journal *journal, struct disk_result result, bool is_named)
{
    if (is_named) {
        /* It may be there under its name, and whole: it was synced. */
        inventory_put(
            &journal->inventory,
            (struct disk_file){ .number = journal->checkpoint.number, .kind = DISK_SNAPSHOT },
            journal->checkpoint.bytes);
    }
    journal->is_given_up = journal->is_stopping && !journal->is_cancelled;
    if (!journal_writes_log(journal)) {
        journal->health = result.outcome == DISK_FULL ? JOURNAL_FULL : JOURNAL_FAILING;
    }
    snapshot_forget(journal);
}

void journal_snapshot_done(struct journal *journal, struct disk_result result)
{
    const bool is_named = journal->checkpoint.stage == CHECKPOINT_PUBLISH;

    switch (
        checkpoint_done(&journal->checkpoint, journal->now_us, (enum disk_outcome)result.outcome)) {
    case CHECKPOINT_MADE: snapshot_made(journal); break;
    case CHECKPOINT_FAILED: snapshot_failed(journal, result, is_named); break;
    default:
        if (journal->is_cancelled) {
            checkpoint_cancel(&journal->checkpoint);
            snapshot_forget(journal);
        }
    }
    if (journal->is_cancelled) {
        journal->is_cancelled = false;
        journal->checkpoint.retry_us = 0;
    }
}

bool journal_snapshot_next(struct journal *journal, struct disk_operation *operation)
{
    return remove_next(journal, operation) || snapshot_step(journal, operation);
}

void journal_snapshot_cancel(struct journal *journal)
{
    if (checkpoint_is_idle(&journal->checkpoint)) {
        return;
    }
    if (journal->step == STEP_CHECKPOINT) {
        journal->is_cancelled = true;
    } else {
        checkpoint_cancel(&journal->checkpoint);
        snapshot_forget(journal);
    }
}

void journal_snapshot_look(struct journal *journal)
{
    const uint32_t minute = table_minute(journal->table);

    if ((minute < journal->minute && journal_writes_log(journal))
        || (journal->notes.is_blocked && !journal->notes.is_covered)) {
        journal_snapshot_cancel(journal);
        journal->is_snapshot_wanted = true;
    }
    journal->minute = minute;
}

uint64_t journal_snapshot_due_us(const struct journal *journal)
{
    uint64_t due_us = journal->has_doomed ? journal->remove_us : UINT64_MAX;

    if (journal->is_snapshot_wanted && checkpoint_is_idle(&journal->checkpoint)
        && can_begin(journal)) {
        due_us = journal_least(due_us, journal->checkpoint.retry_us);
    }
    return due_us;
}
