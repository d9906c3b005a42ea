#ifndef DISK_RECOVER_H
#define DISK_RECOVER_H

/* Loading a table from a directory: the newest snapshot, then each log from its number on, in the
 * order of their numbers. Pure, as disk/journal.h is: it gives operations (DISK_READ, DISK_SYNC and
 * DISK_CLOSE alone) and is told their results, a step each, so that whoever loads a gigabyte is
 * never gone for longer than a millisecond or two.
 *
 * A start syncs each file that it has read. A process that was killed may have written to a log
 * what it never synced: it is read, the next log says of it that it was kept, and a client that
 * repeats its update is answered, since nothing rises; so it must outlive the machine from then on.
 * Likewise a snapshot that has its name must not lose it once what is older goes.
 *
 * Every frame that passes its checksum is joined, wherever it lies: a join cannot be misled by what
 * is missing. What is missing is told, since the node must know that it has less than it once said
 * it kept:
 *
 *   torn     frames of a log do not pass, and no later one says that they were kept (disk/frame.h):
 *            the crash of a machine, or of a write that was never acknowledged
 *   damaged  a frame does not pass, or a sequence is left out, that a later one says was kept; one
 *            passes and is of no valid form; a snapshot is not whole or does not add up; a log is
 *            gone
 *
 * Where a snapshot is damaged, the one before it is loaded as well, if it is still there, and its
 * logs. Zeros at the end of a log are its end.
 *
 * Called by main (a start, and the commands that look at a directory) and the simulator. Calls
 * store and wire. The table's limit on keys is the caller's to lift meanwhile: what was kept is
 * never refused. */

#include "base/mem.h"
#include "base/status.h"
#include "disk/operation.h"
#include "disk/peers.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recover; /* opaque */

#define RECOVER_READ_BYTES (UINT64_C(32) << 10) /* a step: what is read and joined at once */

struct recover_options {
    struct mem *mem;
    struct table *table; /* empty; NULL: only look whether all is well */
    uint64_t directory_id;
    const struct disk_found *files; /* in any order; lent until recover_free() */
    size_t files_count;
    bool is_read_only; /* nothing is synced: for commands that only look */
};

struct recover_report {
    uint64_t bytes_total; /* to read, zeros at the ends of logs too */
    uint64_t bytes_read;
    uint64_t frames; /* that passed */
    uint64_t items;
    uint64_t torn_bytes;           /* at the ends of logs */
    uint64_t damaged;              /* places; 0: all that was ever kept is there */
    uint64_t damaged_bytes;        /* passed over there, as far as known */
    struct disk_file damaged_file; /* the first such place */
    uint64_t damaged_offset;
    uint64_t snapshot_number; /* 0: none */
    uint64_t next_number;     /* of files: above all that are there */
    uint64_t next_sequence;   /* of frames: behind the last, or at the first that was torn */
    struct disk_peers peers;
    int error; /* errno, where a file could not be read or synced: STATUS_SYSTEM */
};

MUST_CHECK enum status recover_create(const struct recover_options *options,
                                      struct recover **recover_out);
void recover_free(struct recover *recover);

/* The next operation; false when the load is over, or one is under way. */
bool recover_next(struct recover *recover, struct disk_operation *operation_out);

/* What was read is joined; the table's turn is ended (table_turn_end()). */
void recover_done(struct recover *recover, struct disk_result result);

/* STATUS_OK once all is read, whatever was damaged; before that it says so too. STATUS_MEMORY: the
 * table's account said no, and what is loaded is not all: a start must not go on. STATUS_SYSTEM: a
 * file could not be read or synced, likewise. */
enum status recover_status(const struct recover *recover);
bool recover_is_over(const struct recover *recover);

const struct recover_report *recover_report(const struct recover *recover);

#endif /* DISK_RECOVER_H */
