#include "disk/checkpoint.h"

#include "disk/frame.h"

#include <assert.h>

static struct disk_file draft_of(const struct checkpoint *checkpoint)
{
    return (struct disk_file){ .number = checkpoint->number, .kind = DISK_DRAFT };
}

static void walk_begin(struct checkpoint *checkpoint)
{
    checkpoint->bytes = 0;
    checkpoint->bytes_unsynced = 0;
    checkpoint->stage = CHECKPOINT_CREATE;
    checkpoint->is_crossed = false;
    snapshot_begin(&checkpoint->walk, checkpoint->seed, checkpoint->first_sequence);
}

void checkpoint_begin(struct checkpoint *checkpoint, uint64_t directory_id, uint64_t number,
                      uint64_t first_sequence, bool is_logged)
{
    assert(checkpoint_is_idle(checkpoint));
    checkpoint->number = number;
    checkpoint->seed = frame_seed(directory_id, draft_of(checkpoint));
    checkpoint->first_sequence = first_sequence;
    checkpoint->is_logged = is_logged;
    walk_begin(checkpoint);
}

void checkpoint_cancel(struct checkpoint *checkpoint)
{
    checkpoint->stage = CHECKPOINT_IDLE;
}

void checkpoint_cross(struct checkpoint *checkpoint)
{
    checkpoint->is_crossed = true;
}

/* The next piece, or the last sync. */
static void walk_next(struct checkpoint *checkpoint, const struct checkpoint_source *source,
                      struct disk_operation *operation)
{
    checkpoint->is_syncing = checkpoint->bytes_unsynced >= CHECKPOINT_SYNC_BYTES;
    if (!checkpoint->is_syncing) {
        checkpoint->piece_bytes =
            snapshot_next(&checkpoint->walk, source->table, source->peers, source->space);
        if (checkpoint->piece_bytes > 0) {
            operation->verb = DISK_WRITE;
            operation->offset = checkpoint->bytes;
            operation->from = source->space.data;
            operation->size = checkpoint->piece_bytes;
            return;
        }
        checkpoint->stage = CHECKPOINT_SYNC;
        checkpoint->end_ticket = source->noted;
    }
    operation->verb = DISK_SYNC;
}

bool checkpoint_next(struct checkpoint *checkpoint, const struct checkpoint_source *source,
                     struct disk_operation *operation_out)
{
    *operation_out = (struct disk_operation){ .file = draft_of(checkpoint) };
    switch (checkpoint->stage) {
    case CHECKPOINT_CREATE: operation_out->verb = DISK_CREATE; return true;
    case CHECKPOINT_WALK: walk_next(checkpoint, source, operation_out); return true;
    case CHECKPOINT_PUBLISH:
        operation_out->verb = DISK_PUBLISH;
        return !source->hides
               && (!checkpoint->is_logged || source->synced >= checkpoint->end_ticket);
    default: return false;
    }
}

static enum checkpoint_outcome failed(struct checkpoint *checkpoint, uint64_t now_us)
{
    uint64_t *backoff_us = &checkpoint->backoff_us;

    if (*backoff_us == 0) {
        *backoff_us = CHECKPOINT_RETRY_US;
    }
    checkpoint->stage = CHECKPOINT_IDLE;
    checkpoint->retry_us = now_us + *backoff_us;
    *backoff_us = *backoff_us >= CHECKPOINT_RETRY_MAX_US ? *backoff_us : *backoff_us * 2;
    return CHECKPOINT_FAILED;
}

static void walk_done(struct checkpoint *checkpoint)
{
    if (checkpoint->is_syncing) {
        checkpoint->bytes_unsynced = 0;
        return;
    }
    checkpoint->bytes += checkpoint->piece_bytes;
    checkpoint->bytes_unsynced += checkpoint->piece_bytes;
}

enum checkpoint_outcome checkpoint_done(struct checkpoint *checkpoint, uint64_t now_us,
                                        enum disk_outcome outcome)
{
    if (outcome != DISK_DONE) {
        return failed(checkpoint, now_us);
    }
    switch (checkpoint->stage) {
    case CHECKPOINT_CREATE: checkpoint->stage = CHECKPOINT_WALK; break;
    case CHECKPOINT_WALK: walk_done(checkpoint); break;
    case CHECKPOINT_SYNC:
        checkpoint->stage = CHECKPOINT_PUBLISH;
        if (!checkpoint->is_logged && checkpoint->is_crossed) {
            walk_begin(checkpoint);
        }
        break;
    default:
        assert(checkpoint->stage == CHECKPOINT_PUBLISH);
        checkpoint->stage = CHECKPOINT_IDLE;
        checkpoint->backoff_us = 0;
        return CHECKPOINT_MADE;
    }
    return CHECKPOINT_GOES_ON;
}
