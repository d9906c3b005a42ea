#include "disk/journal_log.h"

#include <assert.h>

void journal_log_count_files(struct journal *journal)
{
    struct disk_file file;
    uint64_t bytes;
    const size_t logs = inventory_logs(&journal->inventory, &bytes);
    const uint64_t bytes_max = journal->stats.snapshot_bytes > journal->snapshot_bytes_min
                                   ? journal->stats.snapshot_bytes
                                   : journal->snapshot_bytes_min;

    journal->stats.log_bytes = bytes;
    journal->has_doomed = inventory_doomed(&journal->inventory, &file);
    if (journal_writes_log(journal) && checkpoint_is_idle(&journal->checkpoint)
        && (bytes > bytes_max || logs >= JOURNAL_LOGS_MAX)) {
        journal->is_snapshot_wanted = true;
    }
}

/* Letting go, and beginning. */

/* Go on without it. One that never was written to makes room. */
static void log_leave(struct journal *journal)
{
    journal->leave =
        (struct disk_operation){ .file = journal_log_file(journal),
                                 .verb = journal->log.is_unused ? DISK_REMOVE : DISK_CLOSE };
    journal->has_leave = true;
    journal->log.is_created = false;
    journal->log.is_ready = false;
}

static bool leave_next(struct journal *journal, struct disk_operation *operation)
{
    if (!journal->has_leave) {
        return false;
    }
    *operation = journal->leave;
    journal->step = STEP_LEAVE;
    return true;
}

/* It failed: what it had not kept is noted again, and the next log is begun in a while. */
static void log_failed(struct journal *journal, struct disk_result result)
{
    log_leave(journal);
    notes_failed(&journal->notes, journal->mem);
    journal->sequence = journal->synced_sequence;
    journal->sync_us = UINT64_MAX;
    journal->log_us = journal->now_us + JOURNAL_RETRY_US;
    journal->health = result.outcome == DISK_FULL ? JOURNAL_FULL : JOURNAL_FAILING;
}

static bool begin_next(struct journal *journal, struct disk_operation *operation)
{
    struct journal_log *log = &journal->log;

    if (!journal_writes_log(journal) || log->is_ready || journal->now_us < journal->log_us) {
        return false;
    }
    if (log->is_created) {
        *operation = (struct disk_operation){ .verb = DISK_EXTEND,
                                              .file = journal_log_file(journal),
                                              .size = journal->extend_bytes };
        journal->step = STEP_FILL;
        return true;
    }
    if (journal_files_are_many(journal)) {
        /* Where one stands already, and what it tells cannot be removed, another makes no room. */
        journal->is_snapshot_wanted = journal->is_snapshot_wanted || !journal->has_doomed;
        return false;
    }
    *log = (struct journal_log){ .number = log->is_unused ? log->number : journal->next_number++,
                                 .is_unused = true,
                                 .is_rotated = log->is_rotated };
    inventory_put(&journal->inventory, journal_log_file(journal), 0);
    *operation = (struct disk_operation){ .verb = DISK_CREATE, .file = journal_log_file(journal) };
    journal->step = STEP_CREATE;
    return true;
}

static void log_begun(struct journal *journal)
{
    journal->log.is_ready = true;
    journal->log.size = journal->extend_bytes;
    journal->log.first_sequence = journal->sequence;
    journal->health = JOURNAL_FINE;
    journal->extend_us = 0;
    if (!journal->is_peers_changed) {
        journal->is_peers_changed = journal->peers.count > 0;
        journal->peers_us = journal->now_us + JOURNAL_PEERS_US;
    }
    journal->is_peers_urgent = journal->is_peers_changed;
    journal_log_count_files(journal);
}

static void sync_next(struct journal *journal, struct disk_operation *operation)
{
    *operation = (struct disk_operation){ .verb = DISK_SYNC, .file = journal_log_file(journal) };
    journal->step = STEP_SYNC;
}

/* What is written and not synced is so when its time has come, and before anything that could fail
 * the file. */
static bool sync_is_due(const struct journal *journal)
{
    return journal_is_unsynced(journal)
           && (journal->now_us >= journal->sync_us || notes_are_heavy(&journal->notes)
               || (journal->is_stopping && !journal->notes.is_under_way)
               || (journal_log_is_short(journal) && journal->now_us >= journal->extend_us));
}

static bool upkeep_next(struct journal *journal, struct disk_operation *operation)
{
    if (sync_is_due(journal)) {
        sync_next(journal, operation);
        return true;
    }
    if (!journal_log_is_short(journal) || journal->now_us < journal->extend_us) {
        return false;
    }
    *operation = (struct disk_operation){ .verb = DISK_EXTEND,
                                          .file = journal_log_file(journal),
                                          .offset = journal->log.size,
                                          .size = journal->extend_bytes };
    journal->step = STEP_EXTEND;
    return true;
}

/* On a full disk the file is as good as it was: all of it was synced, and what is left of it is
 * there to be written to. */
static void extend_done(struct journal *journal, struct disk_result result)
{
    if (result.outcome == DISK_DONE) {
        journal->log.size += journal->extend_bytes;
        journal->health = JOURNAL_FINE;
        return;
    }
    if (result.outcome != DISK_FULL) {
        log_failed(journal, result);
        return;
    }
    journal->health = JOURNAL_FULL;
    journal->extend_us = journal->now_us + JOURNAL_RETRY_US;
    if (!journal_log_is_writable(journal)) {
        notes_failed(&journal->notes, journal->mem);
    }
}

/* Groups. */

static void frame_add(struct journal *journal, uint64_t seed, enum frame_kind kind,
                      size_t payload_size)
{
    /* The first of a file takes none of its own. */
    const uint64_t sequence = journal->sequence - (kind == FRAME_BEGIN ? 1 : 0);
    struct journal_group *group = &journal->group;

    group->bytes +=
        frame_seal(journal->buffer + group->bytes, seed,
                   &(struct frame){ .payload = { NULL, payload_size },
                                    .sequence = sequence,
                                    .kept = journal_least(journal->synced_sequence, sequence),
                                    .kind = (uint8_t)kind });
    journal->sequence = sequence + 1;
    group->frames++;
}

static uint8_t *payload_at(const struct journal *journal)
{
    return journal->buffer + journal->group.bytes + FRAME_HEAD_BYTES;
}

/* Frames of items, as many as fit. */
static void items_add(struct journal *journal, uint64_t seed, uint64_t limit)
{
    const uint32_t before = journal->notes.waiting.count;
    uint32_t taken = 0;

    while (!marks_empty(&journal->notes.waiting) && taken < JOURNAL_GROUP_BLOCKS
           && limit - journal->group.bytes >= FRAME_HEAD_BYTES + JOURNAL_ITEM_BYTES_MIN) {
        const uint64_t left = limit - journal->group.bytes - FRAME_HEAD_BYTES;
        const struct space space = { payload_at(journal),
                                     left < FRAME_PAYLOAD_MAX ? left : FRAME_PAYLOAD_MAX };
        struct writer writer;
        struct bytes payload;

        writer_begin_items(&writer, space);
        notes_put(&journal->notes, journal->table, journal->mem, &writer,
                  JOURNAL_GROUP_BLOCKS - taken);
        taken = before - journal->notes.waiting.count;
        payload = writer_end(&writer);
        if (payload.size > 1) {
            frame_add(journal, seed, FRAME_ITEMS, payload.size);
        }
    }
}

/* Encode what waits, as much as fits. False: there is nothing. */
static bool group_encode(struct journal *journal)
{
    const uint64_t seed = frame_seed(journal->directory_id, journal_log_file(journal));
    const uint64_t room = journal_log_room(journal);
    const uint64_t sequence = journal->sequence;
    struct journal_group *group = &journal->group;

    *group = (struct journal_group){ .begun_us = journal->now_us };
    if (journal->log.used == 0) {
        frame_begin_put(payload_at(journal),
                        &(struct frame_begin){ FRAME_FORMAT, journal->sequence });
        frame_add(journal, seed, FRAME_BEGIN, FRAME_BEGIN_BYTES);
    }
    if (journal->is_peers_changed && (journal->is_peers_urgent || journal_peers_are_due(journal))) {
        group->has_peers = true;
        frame_add(journal, seed, FRAME_PEERS, disk_peers_put(payload_at(journal), &journal->peers));
    }
    items_add(journal, seed, room < JOURNAL_GROUP_BYTES ? room : JOURNAL_GROUP_BYTES);
    return journal->sequence > sequence;
}

bool journal_log_group(struct journal *journal, struct disk_operation *operation)
{
    bool is_begun = false;
    bool is_drained = true;

    if (!journal_log_is_writable(journal)) {
        return false;
    }
    /* Of a round all may have ended: then the next one is begun. Where that is much, the rest of it
     * is looked at in the next turn. */
    while (!is_begun && is_drained
           && (notes_ready(&journal->notes) || journal_peers_are_due(journal))) {
        is_begun = group_encode(journal);
        is_drained = marks_empty(&journal->notes.waiting);
    }
    if (!is_begun) {
        return false;
    }
    *operation = (struct disk_operation){ .verb = DISK_WRITE,
                                          .file = journal_log_file(journal),
                                          .offset = journal->log.used,
                                          .from = journal->buffer,
                                          .size = journal->group.bytes,
                                          .is_synced = journal->durability == JOURNAL_COMMIT };
    journal->log.is_unused = false;
    journal->step = STEP_GROUP;
    return true;
}

static void group_count(struct journal *journal)
{
    struct journal_stats *stats = &journal->stats;

    stats->groups++;
    stats->frames += journal->group.frames;
    stats->written_bytes += journal->group.bytes;
    stats->commit_us = journal->now_us - journal->group.begun_us;
    stats->commit_us_sum += stats->commit_us;
    if (stats->commit_us > stats->commit_us_max) {
        stats->commit_us_max = stats->commit_us;
    }
}

static void group_done(struct journal *journal)
{
    const bool is_synced = journal->durability == JOURNAL_COMMIT;

    if (is_synced) {
        journal->synced_sequence = journal->sequence;
    } else if (journal->sync_us == UINT64_MAX) {
        journal->sync_us = journal->group.begun_us + journal->sync_interval_us;
    }
    journal->log.used += journal->group.bytes;
    if (journal->group.has_peers) {
        journal->is_peers_changed = false;
        journal->is_peers_urgent = false;
    }
    notes_written(&journal->notes, journal->mem, is_synced);
    group_count(journal);
    inventory_put(&journal->inventory, journal_log_file(journal), journal->log.used);
    journal_log_count_files(journal);
}

static void create_done(struct journal *journal, struct disk_result result)
{
    if (result.outcome == DISK_DONE) {
        journal->log.is_created = true;
    } else {
        log_failed(journal, result);
    }
}

static void fill_done(struct journal *journal, struct disk_result result)
{
    if (result.outcome == DISK_DONE) {
        log_begun(journal);
    } else {
        log_failed(journal, result);
    }
}

static void leave_done(struct journal *journal, struct disk_result result)
{
    if (journal->leave.verb == DISK_REMOVE && result.outcome == DISK_DONE) {
        inventory_take(&journal->inventory, journal->leave.file);
        journal_log_count_files(journal);
    }
    journal->has_leave = false;
}

static void write_done(struct journal *journal, struct disk_result result)
{
    if (result.outcome == DISK_DONE) {
        group_done(journal);
    } else {
        log_failed(journal, result);
    }
}

static void sync_done(struct journal *journal, struct disk_result result)
{
    if (result.outcome != DISK_DONE) {
        log_failed(journal, result);
        return;
    }
    journal->synced_sequence = journal->sequence;
    journal->sync_us = UINT64_MAX;
    notes_synced(&journal->notes, journal->mem);
}

bool journal_log_next(struct journal *journal, struct disk_operation *operation)
{
    return leave_next(journal, operation) || begin_next(journal, operation)
           || upkeep_next(journal, operation);
}

bool journal_log_rotate(struct journal *journal, struct disk_operation *operation)
{
    if (journal_is_unsynced(journal)) {
        sync_next(journal, operation);
        return true;
    }
    journal->log.is_rotated = true;
    journal->log.is_unused = false;
    journal->log_us = 0;
    log_leave(journal);
    return leave_next(journal, operation);
}

void journal_log_done(struct journal *journal, enum step step, struct disk_result result)
{
    switch (step) {
    case STEP_LEAVE: leave_done(journal, result); break;
    case STEP_CREATE: create_done(journal, result); break;
    case STEP_FILL: fill_done(journal, result); break;
    case STEP_EXTEND: extend_done(journal, result); break;
    case STEP_SYNC: sync_done(journal, result); break;
    default: write_done(journal, result); break;
    }
}

uint64_t journal_log_due_us(const struct journal *journal)
{
    uint64_t due_us = UINT64_MAX;

    if (!journal_writes_log(journal)) {
        return due_us;
    }
    if (journal->has_leave || (journal_log_is_writable(journal) && notes_wait(&journal->notes))) {
        return 0;
    }
    if (!journal->log.is_ready) {
        return journal_files_are_many(journal) ? due_us : journal->log_us;
    }
    if (journal_log_is_short(journal)) {
        due_us = journal->extend_us;
    }
    if (journal_is_unsynced(journal)) {
        due_us = journal_least(due_us, journal->sync_us);
    }
    if (journal_log_is_writable(journal) && journal->is_peers_changed) {
        due_us = journal_least(due_us, journal->peers_us);
    }
    return due_us;
}
