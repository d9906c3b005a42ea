#include "disk/journal.h"

#include "disk/journal_log.h"
#include "disk/journal_snapshot.h"
#include "disk/journal_state.h"

#include <assert.h>
#include <string.h>

#define FILES_MORE 4 /* beyond those counted: what is begun as the others go */

/* Beginning and end. */

/* Take the files in that are there. What is damaged is kept whole until a snapshot stands. */
static bool files_take(struct journal *journal, const struct journal_options *options)
{
    if (!inventory_init(&journal->inventory, journal->mem, options->old, options->old_count,
                        JOURNAL_FILES_MAX + FILES_MORE)) {
        return false;
    }
    journal->inventory.floor = options->wants_snapshot ? 0 : options->snapshot_number;
    for (size_t i = 0; i < options->old_count; i++) {
        const struct disk_found *found = &options->old[i];

        if (found->file.kind == DISK_SNAPSHOT && found->file.number == options->snapshot_number) {
            journal->stats.snapshot_bytes = found->size;
        }
    }
    journal_log_count_files(journal);
    return true;
}

enum status journal_create(const struct journal_options *options, struct journal **journal_out)
{
    struct journal *journal = mem_alloc_zeroed(options->mem, sizeof *journal);

    assert(options->number > 0);
    assert(options->sequence > 0);
    assert(options->extend_bytes >= JOURNAL_GROUP_BYTES_MIN);
    if (journal == NULL) {
        return STATUS_MEMORY;
    }
    journal->mem = options->mem;
    journal->table = options->table;
    journal->directory_id = options->directory_id;
    journal->snapshot_bytes_min = options->snapshot_bytes_min;
    journal->extend_bytes = options->extend_bytes;
    journal->reserve_bytes = options->reserve_bytes;
    journal->sync_interval_us = options->sync_interval_us;
    journal->durability = options->durability;
    journal->next_number = options->number;
    journal->sequence = options->sequence;
    journal->synced_sequence = options->sequence;
    journal->notes.is_kept_early = options->durability == JOURNAL_INTERVAL;
    journal->is_snapshot_wanted = options->wants_snapshot;
    journal->sync_us = UINT64_MAX;
    journal->minute = table_minute(options->table);
    journal->buffer = mem_alloc(journal->mem, JOURNAL_GROUP_BYTES);
    if (journal->buffer == NULL || !files_take(journal, options)) {
        journal_free(journal);
        return STATUS_MEMORY;
    }
    *journal_out = journal;
    return STATUS_OK;
}

void journal_free(struct journal *journal)
{
    struct mem *mem;

    if (journal == NULL) {
        return;
    }
    mem = journal->mem;
    notes_clear(&journal->notes, mem);
    inventory_clear(&journal->inventory, mem);
    mem_free(mem, journal->buffer, journal->buffer == NULL ? 0 : JOURNAL_GROUP_BYTES);
    mem_free(mem, journal, sizeof *journal);
}

/* What is noted. */

void journal_note(struct journal *journal, struct changes changes)
{
    if (notes_have_deletion(changes)) {
        checkpoint_cross(&journal->checkpoint);
    }
    if (journal_writes_log(journal)) {
        notes_add(&journal->notes, journal->mem, changes);
    }
}

static bool peers_equal(const struct disk_peers *a, const struct disk_peers *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (address_compare(&a->list[i], &b->list[i]) != 0) {
            return false;
        }
    }
    return true;
}

void journal_note_peers(struct journal *journal, const struct disk_peers *peers)
{
    const bool is_same = peers_equal(&journal->peers, peers);

    assert(peers->count <= DISK_PEERS_MAX);
    if (is_same && journal->peers.contact_s == peers->contact_s) {
        return;
    }
    if (!journal->is_peers_changed) {
        journal->is_peers_changed = true;
        journal->peers_us = journal->now_us + JOURNAL_PEERS_US;
    }
    journal->is_peers_urgent = journal->is_peers_urgent || !is_same;
    journal->peers = *peers;
}

/* What comes next, and how it went. */

/* Groups go ahead, and one step of a snapshot comes after each. */
static bool turn_next(struct journal *journal, struct disk_operation *operation)
{
    if (journal->is_snapshot_turn) {
        journal->is_snapshot_turn = false;
        if (journal_snapshot_next(journal, operation)) {
            return true;
        }
    }
    if (journal_log_group(journal, operation)) {
        journal->is_snapshot_turn = true;
        return true;
    }
    return journal_snapshot_next(journal, operation);
}

static void stats_refresh(struct journal *journal)
{
    journal->stats.waiting = notes_count(&journal->notes);
    journal->stats.is_snapshotting = !checkpoint_is_idle(&journal->checkpoint);
}

bool journal_next(struct journal *journal, struct moment now, struct disk_operation *operation_out)
{
    struct disk_operation operation;
    bool is_one;

    journal->now_us = now.mono_us;
    if (journal->step != STEP_NONE || table_changes(journal->table).count > 0
        || journal_has_stopped(journal)) {
        return false;
    }
    journal_snapshot_look(journal);
    is_one = journal_log_next(journal, &operation) || turn_next(journal, &operation);
    stats_refresh(journal);
    if (is_one) {
        *operation_out = operation;
    }
    return is_one;
}

void journal_done(struct journal *journal, struct moment now, struct disk_result result)
{
    const uint8_t step = journal->step;

    assert(step != STEP_NONE);
    journal->step = STEP_NONE;
    journal->now_us = now.mono_us;
    if (result.outcome != DISK_DONE) {
        journal->stats.failures++;
        journal->stats.error = result.error;
    }
    switch (step) {
    case STEP_CHECKPOINT: journal_snapshot_done(journal, result); break;
    case STEP_REMOVE: journal_snapshot_removed(journal, result); break;
    default: journal_log_done(journal, (enum step)step, result); break;
    }
    stats_refresh(journal);
}

uint64_t journal_due_us(const struct journal *journal)
{
    if (journal->step != STEP_NONE || journal_has_stopped(journal)) {
        return UINT64_MAX;
    }
    return journal_least(journal_log_due_us(journal), journal_snapshot_due_us(journal));
}

uint64_t journal_ticket(const struct journal *journal)
{
    return journal->notes.noted;
}

uint64_t journal_kept(const struct journal *journal)
{
    return journal->notes.kept;
}

uint64_t journal_lost(const struct journal *journal)
{
    return journal->notes.lost;
}

enum journal_health journal_health(const struct journal *journal)
{
    return (enum journal_health)journal->health;
}

void journal_want_snapshot(struct journal *journal)
{
    journal->is_snapshot_wanted = true;
    journal->checkpoint.retry_us = 0;
}

void journal_stop(struct journal *journal)
{
    if (journal->is_stopping) {
        return;
    }
    journal->is_stopping = true;
    journal->is_snapshot_wanted = !journal_writes_log(journal) || journal->notes.is_blocked;
    journal->checkpoint.retry_us = 0;
    journal_snapshot_cancel(journal);
}

bool journal_has_stopped(const struct journal *journal)
{
    const bool is_cleared = !journal->has_doomed || journal->now_us < journal->remove_us;

    if (!journal->is_stopping || journal->step != STEP_NONE) {
        return false;
    }
    if (!journal_writes_log(journal)) {
        return journal->is_given_up
               || (!journal->is_snapshot_wanted && checkpoint_is_idle(&journal->checkpoint)
                   && is_cleared);
    }
    if (!journal_log_is_writable(journal) && journal->health != JOURNAL_FINE) {
        return true;
    }
    return notes_are_done(&journal->notes) && !journal_is_unsynced(journal)
           && !journal->is_peers_changed && is_cleared
           && (!journal->notes.is_blocked || journal->is_given_up);
}

const struct journal_stats *journal_stats(const struct journal *journal)
{
    return &journal->stats;
}

void journal_audit(const struct journal *journal)
{
    const struct journal_log *log = &journal->log;

    notes_audit(&journal->notes);
    assert(journal->synced_sequence <= journal->sequence);
    assert(journal->durability != JOURNAL_COMMIT || journal->step == STEP_GROUP
           || !journal_is_unsynced(journal));
    assert(!log->is_ready || (log->is_created && log->used <= log->size));
    assert(log->number < journal->next_number);
    assert(journal->inventory.floor < journal->next_number);
    assert(checkpoint_is_idle(&journal->checkpoint)
           == (journal->inventory.draft != journal->checkpoint.number
               || journal->inventory.draft == 0));
}
