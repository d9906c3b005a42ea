#ifndef DISK_JOURNAL_TYPES_H
#define DISK_JOURNAL_TYPES_H

/* What the journal takes and tells (disk/journal.h). */

#include "base/mem.h"
#include "disk/operation.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_GROUP_BYTES        (UINT64_C(256) << 10) /* of a write: a millisecond to encode */
#define JOURNAL_GROUP_BLOCKS       4096 /* or as many: each is looked up, half a microsecond */
#define JOURNAL_EXTEND_BYTES       (UINT64_C(16) << 20) /* by which a log grows */
#define JOURNAL_RESERVE_BYTES      (UINT64_C(4) << 20)  /* left in a log when it is made to grow */
#define JOURNAL_SNAPSHOT_BYTES_MIN (UINT64_C(64) << 20) /* of logs, before there is one */
#define JOURNAL_LOGS_MAX           16                   /* or as many, however short they are */
#define JOURNAL_RETRY_US           UINT64_C(1000000)
#define JOURNAL_FILES_MAX          64 /* that a directory may hold: each failure begins one */

enum journal_durability {
    JOURNAL_COMMIT,   /* kept: written and synced */
    JOURNAL_INTERVAL, /* kept: written; synced once each interval */
    JOURNAL_NONE      /* nothing is written but a snapshot at journal_stop() */
};

enum journal_health {
    JOURNAL_FINE,
    JOURNAL_FULL,   /* no space: updates are to be refused, deletions may pass */
    JOURNAL_FAILING /* a write or sync failed, and no new log could be begun yet */
};

struct journal_options {
    struct mem *mem;     /* outlives the journal */
    struct table *table; /* likewise */
    uint64_t directory_id;
    uint64_t number;              /* of the first file to write: above all that are there */
    uint64_t sequence;            /* of the first frame, from 1: behind the last that is kept */
    const struct disk_found *old; /* files that are there, lent for the call */
    size_t old_count;
    uint64_t snapshot_number;    /* of the one that was loaded; 0: none. What is older is removed */
    bool wants_snapshot;         /* what is there is damaged, or all of it was never loaded */
    uint64_t snapshot_bytes_min; /* JOURNAL_SNAPSHOT_BYTES_MIN; the simulator has less */
    uint64_t extend_bytes;       /* JOURNAL_EXTEND_BYTES; likewise */
    uint64_t reserve_bytes;      /* JOURNAL_RESERVE_BYTES; likewise */
    uint64_t sync_interval_us;   /* of JOURNAL_INTERVAL */
    uint8_t durability;          /* enum journal_durability */
};

struct journal_stats {
    uint64_t groups; /* written */
    uint64_t frames;
    uint64_t written_bytes; /* of logs */
    uint64_t snapshots;
    uint64_t snapshot_bytes; /* of the last one */
    uint64_t log_bytes;      /* of the logs that a start would read */
    uint64_t failures;       /* operations that failed */
    uint64_t waiting;        /* blocks noted and not written */
    uint64_t commit_us;      /* that the last group took, from its encoding to its result */
    uint64_t commit_us_sum;
    uint64_t commit_us_max;
    int error; /* errno of the last failure */
    bool is_snapshotting;
};

#endif /* DISK_JOURNAL_TYPES_H */
