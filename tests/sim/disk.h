#ifndef SIM_DISK_H
#define SIM_DISK_H

/* The disk of one machine: it does what disk/operation.h asks, in memory. A file is sectors, each
 * with what the machine sees and what is on the medium; a sync makes them the same. A name, too, is
 * on the medium from the next sync of its directory on.
 *
 * When the power goes, of each sector that was not synced the new content, the old one or a piece
 * of both is left, in any order; a length or a name that was not synced may be the old one; and
 * what a file grew by without being written may be what a removed file had there.
 *
 * A sync that fails has kept some sectors and forgotten that the others are to be written: the
 * machine goes on seeing them, the next sync says that all is well, and they are not on the medium.
 *
 * All of it follows from the seed and the operations. Used by sim/storage. */

#include "base/random.h"
#include "disk/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk; /* opaque */

#define DISK_SECTOR_BYTES 512
#define DISK_STALL_US     UINT64_C(3000000) /* that the slowest operations take */

/* Of a thousand operations. */
struct disk_faults {
    unsigned stall_permille;  /* take up to DISK_STALL_US */
    unsigned broken_permille; /* fail, after having done a part of it */
    unsigned full_permille;   /* find no space, as do the next ones, up to DISK_FULL_MAX */
};
#define DISK_FULL_MAX 8

struct disk_stats {
    uint64_t operations;
    uint64_t power_cuts;
    uint64_t interrupted; /* operations under way at an end */
    uint64_t sectors_lost;
    uint64_t sectors_torn;
    uint64_t sectors_stale; /* that show what a removed file had there */
    uint64_t names_undone;
    uint64_t stalls;
    uint64_t broken;
    uint64_t full;
    uint64_t lies; /* syncs that said all is well of a file of which one had failed */
    uint64_t rotten;
};

struct disk *disk_create(uint64_t seed);
void disk_free(struct disk *disk);

/* None at first. */
void disk_set_faults(struct disk *disk, const struct disk_faults *faults);

/* An operation begins. Returns how many microseconds it takes. None may be under way. */
uint64_t disk_begin(struct disk *disk, const struct disk_operation *operation);

/* It is done, or fails. */
struct disk_result disk_end(struct disk *disk);
bool disk_is_busy(const struct disk *disk);

/* The process ends: what it had under way is done in part, and all that it wrote is seen by the
 * next one, but for what a sync forgot. */
void disk_kill(struct disk *disk);

/* The machine ends. */
void disk_cut_power(struct disk *disk);

/* A sector of some file loses some bits or all that it had, or from it on there is what another
 * file has at the same places. What was written to it is on the medium by then. False: there is
 * nothing to lose. */
bool disk_rot(struct disk *disk);

/* A copy of all files, as a backup takes it; and back, in place of what is there. NULL: nothing. */
struct disk *disk_copy(const struct disk *disk);
void disk_restore(struct disk *disk, const struct disk *copy);

/* What is there, in any order. Returns how many, at most `room`. */
size_t disk_list(const struct disk *disk, struct disk_found *found, size_t room);

/* Whether a write or a sync of this file failed since the process began: it must not be synced. */
bool disk_has_failed(const struct disk *disk, struct disk_file file);

const struct disk_stats *disk_stats(const struct disk *disk);

#endif /* SIM_DISK_H */
