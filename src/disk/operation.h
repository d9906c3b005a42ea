#ifndef DISK_OPERATION_H
#define DISK_OPERATION_H

/* What is asked of the disk, one operation after the other: the small interface between what
 * decides (disk/journal.h, disk/recover.h: pure) and what does it (the daemon's worker thread, the
 * simulator's disk). Whoever decides gives the next operation, waits for its result and decides
 * again; nothing is ever under way beside it. Buffers are lent until the result is told.
 *
 * Files are named by kind and number, never by descriptor: who does it opens what it needs, and
 * keeps it open until DISK_CLOSE, DISK_PUBLISH or DISK_REMOVE of that file. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers rise by one and count both kinds: snapshot N holds all that the logs below N said. */
enum disk_file_kind {
    DISK_LOG,      /* "log-N" */
    DISK_SNAPSHOT, /* "snap-N" */
    DISK_DRAFT     /* "snap-N.tmp": a snapshot that is being written */
};

struct disk_file {
    uint64_t number; /* 1..DISK_NUMBER_MAX; nobody writes one that is greater, and none is read */
    uint8_t kind;    /* enum disk_file_kind */
};
#define DISK_NUMBER_MAX (UINT64_MAX / 2)

enum disk_verb {
    /* An empty file; one of that name goes. */
    DISK_CREATE,
    /* `size` zero bytes at `offset`, where the file ends; then sync the file with its length, and
     * its directory. So writes into it later need no change of any metadata. */
    DISK_EXTEND,
    /* `size` bytes at `offset` into `to`; fewer at the end of the file. */
    DISK_READ,
    /* `size` bytes of `from` at `offset`, all of them; then DISK_SYNC where is_synced. */
    DISK_WRITE,
    /* fdatasync(); and sync the directory, unless this process has done so for the file's name. */
    DISK_SYNC,
    /* A draft, which was synced, gets its name as a snapshot; then sync the directory. */
    DISK_PUBLISH,
    /* Need not be there. */
    DISK_REMOVE,
    /* Let go of it; need not be open. Cannot fail. */
    DISK_CLOSE
};

struct disk_operation {
    struct disk_file file;
    uint64_t offset;
    const uint8_t *from;
    uint8_t *to;
    size_t size;
    uint8_t verb; /* enum disk_verb */
    bool is_synced;
};

enum disk_outcome {
    DISK_DONE,
    DISK_FULL,  /* no space, or a quota */
    DISK_BROKEN /* all else. What was written or synced may be there or not */
};

struct disk_result {
    size_t size;     /* that was read */
    int error;       /* errno, for people; 0 when done */
    uint8_t outcome; /* enum disk_outcome */
};

/* What lies in a directory when it is opened. */
struct disk_found {
    struct disk_file file;
    uint64_t size;
};

#endif /* DISK_OPERATION_H */
