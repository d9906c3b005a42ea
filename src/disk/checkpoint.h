#ifndef DISK_CHECKPOINT_H
#define DISK_CHECKPOINT_H

/* The making of a snapshot, an operation at a time: a draft is created, written in pieces and
 * synced as it grows, so that no other sync ever waits for long; then it gets its name.
 *
 * It gets that only once all is synced that was noted while the table was walked: a key that was
 * deleted and written to again moves past the cursor, and then is in the log alone. Where no log is
 * written the walk begins anew. Nor does it get it while the table hides keys that ended, which it
 * frees once the clock is confirmed: older files alone have them, and the clock may be wrong.
 *
 * Called by disk/journal. Open: it is embedded; only disk/checkpoint.c touches the fields. */

#include "base/bytes.h"
#include "disk/operation.h"
#include "disk/peers.h"
#include "disk/snapshot.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_SYNC_BYTES   (UINT64_C(4) << 20) /* after so many: tens of milliseconds */
#define CHECKPOINT_RETRY_US     UINT64_C(1000000)   /* after a failure; then twice as long, */
#define CHECKPOINT_RETRY_MAX_US UINT64_C(64000000)  /* up to this: each writes all anew */

enum checkpoint_stage {
    CHECKPOINT_IDLE,
    CHECKPOINT_CREATE,
    CHECKPOINT_WALK,
    CHECKPOINT_SYNC, /* the walk is over */
    CHECKPOINT_PUBLISH
};

struct checkpoint {
    struct snapshot_walk walk;
    uint64_t number;
    uint64_t seed;
    uint64_t first_sequence;
    uint64_t bytes;          /* written */
    uint64_t bytes_unsynced; /* of them */
    uint64_t piece_bytes;    /* under way */
    uint64_t end_ticket;     /* of what was noted when the walk ended */
    uint64_t retry_us;       /* when the next may begin */
    uint64_t backoff_us;     /* after the next failure */
    uint8_t stage;           /* enum checkpoint_stage */
    bool is_logged : 1;      /* what changes meanwhile is in a log */
    bool is_crossed : 1;     /* a key was deleted meanwhile */
    bool is_syncing : 1;     /* the operation under way */
};

static inline bool checkpoint_is_idle(const struct checkpoint *checkpoint)
{
    return checkpoint->stage == CHECKPOINT_IDLE;
}

void checkpoint_begin(struct checkpoint *checkpoint, uint64_t directory_id, uint64_t number,
                      uint64_t first_sequence, bool is_logged);

/* Let go of it; there is no operation under way. The draft is the caller's to remove. */
void checkpoint_cancel(struct checkpoint *checkpoint);

/* A key was deleted. */
void checkpoint_cross(struct checkpoint *checkpoint);

/* What a piece is made of, and where. */
struct checkpoint_source {
    const struct table *table;
    const struct disk_peers *peers;
    struct space space; /* lent to the operation */
    uint64_t noted;     /* newest ticket */
    uint64_t synced;    /* up to which all is synced */
    bool hides;         /* the table has keys that ended, and older files may have them */
};

/* The next operation. False: none, or what was noted is to be synced, or what ended freed first. */
bool checkpoint_next(struct checkpoint *checkpoint, const struct checkpoint_source *source,
                     struct disk_operation *operation_out);

enum checkpoint_outcome { CHECKPOINT_GOES_ON, CHECKPOINT_MADE, CHECKPOINT_FAILED };

/* How it went. A failed one is idle again, to be begun anew from retry_us on. */
enum checkpoint_outcome checkpoint_done(struct checkpoint *checkpoint, uint64_t now_us,
                                        enum disk_outcome outcome);

#endif /* DISK_CHECKPOINT_H */
