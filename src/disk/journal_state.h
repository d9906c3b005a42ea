#ifndef DISK_JOURNAL_STATE_H
#define DISK_JOURNAL_STATE_H

/* What a journal is made of: private to disk/journal, disk/journal_log and disk/journal_snapshot,
 * which share out what it does: the first says what comes next, the others do it. */

#include "disk/checkpoint.h"
#include "disk/frame.h"
#include "disk/inventory.h"
#include "disk/journal_types.h"
#include "disk/notes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_PEERS_US       UINT64_C(60000000) /* in which a change of theirs is written */
#define JOURNAL_ITEM_BYTES_MIN 512 /* of a payload: one element fits, whatever its key */

/* A group that has room for this says something new. */
#define JOURNAL_GROUP_BYTES_MIN                                                \
    (3 * FRAME_HEAD_BYTES + FRAME_BEGIN_BYTES + (uint64_t)DISK_PEERS_BYTES_MAX \
     + JOURNAL_ITEM_BYTES_MIN)

/* What is under way, or comes next. */
enum step {
    STEP_NONE,
    STEP_LEAVE,  /* let go of a log */
    STEP_CREATE, /* a log, */
    STEP_FILL,   /* of zeros at first */
    STEP_EXTEND,
    STEP_SYNC,
    STEP_GROUP,
    STEP_CHECKPOINT,
    STEP_REMOVE
};

/* The log that is being written. */
struct journal_log {
    uint64_t number; /* 0: none was begun */
    uint64_t first_sequence;
    uint64_t size; /* extended to */
    uint64_t used;
    bool is_created : 1;
    bool is_ready : 1;
    bool is_unused : 1;  /* nothing was ever written to it: its number may be had again */
    bool is_rotated : 1; /* begun for a snapshot */
};

/* What of a group is under way. */
struct journal_group {
    uint64_t bytes;
    uint64_t frames;
    uint64_t begun_us;
    bool has_peers;
};

struct journal {
    struct mem *mem;
    struct table *table;
    uint64_t directory_id;
    uint64_t snapshot_bytes_min;
    uint64_t extend_bytes;
    uint64_t reserve_bytes;
    uint64_t sync_interval_us;
    uint64_t next_number;
    uint64_t sequence;        /* of the next frame */
    uint64_t synced_sequence; /* the same when all before it were synced */
    uint64_t now_us;          /* of the last call that said it */
    uint64_t log_us;          /* when a log may be begun */
    uint64_t extend_us;       /* when it may be extended */
    uint64_t sync_us;         /* when what is written is to be synced */
    uint64_t peers_us;        /* when they are to be written */
    uint64_t remove_us;       /* when files may be removed */
    uint8_t *buffer;          /* of JOURNAL_GROUP_BYTES, lent to writes */
    struct notes notes;
    struct inventory inventory;
    struct checkpoint checkpoint;
    struct journal_log log;
    struct journal_group group;
    struct disk_operation leave; /* with verb and file, while has_leave */
    struct disk_file removed;    /* while it is under way */
    struct disk_peers peers;
    struct journal_stats stats;
    uint32_t minute;    /* the table's, when it was last looked at */
    uint8_t durability; /* enum journal_durability */
    uint8_t health;     /* enum journal_health */
    uint8_t step;       /* enum step: the operation under way */
    bool has_leave : 1;
    bool has_doomed : 1; /* files that may go */
    bool is_peers_changed : 1;
    bool is_peers_urgent : 1; /* not only their time: they go with the next group */
    bool is_snapshot_wanted : 1;
    bool is_snapshot_turn : 1; /* a group was the last */
    bool is_cancelled : 1;     /* the snapshot, once its operation is back */
    bool is_stopping : 1;
    bool is_given_up : 1; /* the snapshot of a stop failed */
};

static inline uint64_t journal_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t journal_greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline bool journal_writes_log(const struct journal *journal)
{
    return journal->durability != JOURNAL_NONE;
}

static inline bool journal_peers_are_due(const struct journal *journal)
{
    return journal->is_peers_changed
           && (journal->is_stopping || journal->now_us >= journal->peers_us);
}

static inline struct disk_file journal_log_file(const struct journal *journal)
{
    return (struct disk_file){ .number = journal->log.number, .kind = DISK_LOG };
}

static inline uint64_t journal_log_room(const struct journal *journal)
{
    return journal->log.is_ready ? journal->log.size - journal->log.used : 0;
}

static inline bool journal_log_is_writable(const struct journal *journal)
{
    return journal_log_room(journal) >= JOURNAL_GROUP_BYTES_MIN;
}

static inline bool journal_log_is_short(const struct journal *journal)
{
    return journal->log.is_ready
           && (journal_log_room(journal) < journal->reserve_bytes
               || !journal_log_is_writable(journal));
}

static inline bool journal_is_unsynced(const struct journal *journal)
{
    return journal->synced_sequence < journal->sequence;
}

/* Whether the directory holds so many files that only a snapshot makes room. */
static inline bool journal_files_are_many(const struct journal *journal)
{
    return journal->inventory.count >= JOURNAL_FILES_MAX - 1;
}

#endif /* DISK_JOURNAL_STATE_H */
