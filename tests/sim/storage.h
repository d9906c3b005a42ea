#ifndef SIM_STORAGE_H
#define SIM_STORAGE_H

/* What a machine does with its disk: it loads its directory (disk/recover.h), and only then starts
 * its node; then it keeps what changes (disk/journal.h), an operation after the other, each of
 * which takes its time. It may end at any moment of one: by a power cut, as a process, or in order.
 *
 *  lost       what was acknowledged is there after whatever end (sim/kept.h)
 *  invented   nothing is loaded that was not there
 *  silence    what the disk lost by itself is told
 *  wolf       nothing is called damaged that is not
 *  order      the same files, loaded again and the logs in any order, give the same digest
 *  foreign    no frame passes in another file than its own
 *  one        no operation is given while one is under way
 *  failed     a file of which a write or a sync failed is neither written nor synced again
 *  work       an operation is of bounded size, however long the disk stood still before it
 *
 * Used by the world and by runs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct storage; /* opaque: of one machine */

/* Of a thousand. */
struct storage_faults {
    unsigned crash_permille; /* operations during or soon after which the machine ends */
    unsigned stall_permille; /* sim/disk.h */
    unsigned broken_permille;
    unsigned full_permille;
    unsigned rot_permille;  /* ends after which a sector has rotted */
    unsigned lose_permille; /* ends after which the directory is empty, or an old copy */
};

enum storage_end { STORAGE_POWER, STORAGE_KILL };

/* Every function but the first takes a machine without a disk as well, and does nothing then. */
struct storage *storage_create(const struct world *world, uint32_t machine);
void storage_free(struct world *world, uint32_t machine);

/* Of all machines from now on: an end that was to come does not. Zeros at first. */
void storage_set_faults(struct world *world, const struct storage_faults *faults);

/* Load what is in the directory, and start the node when that is done. The machine is down. */
void storage_start(struct world *world, uint32_t machine);

/* A client's update was taken. */
void storage_asked(struct world *world, uint32_t machine, const char *key, uint64_t index,
                   uint64_t value);

/* A turn ends: its changes are noted. It has ended: what is to be done is begun. */
void storage_note(struct world *world, uint32_t machine);
void storage_go_on(struct world *world, uint32_t machine);

/* The moment has come for which an event was scheduled. */
void storage_event(struct world *world, uint32_t machine, uint64_t at_us);

/* The machine or its process ends. */
void storage_end(struct world *world, uint32_t machine, enum storage_end how);

/* Keep a copy of the directory; put it back, in which case there must be one, or empty it: the
 * machine is down. */
void storage_save(struct world *world, uint32_t machine);
void storage_restore(struct world *world, uint32_t machine);
void storage_empty(struct world *world, uint32_t machine);

/* Whether some update is not acknowledged anywhere. */
bool storage_waits(const struct world *world);

/* Sums over all machines. */
struct storage_figures {
    uint64_t power_cuts;
    uint64_t kills;
    uint64_t stops;
    uint64_t loads;
    uint64_t damaged;   /* of which something was missing because the disk lost it */
    uint64_t torn;      /* of which the last write was torn */
    uint64_t refused;   /* reads that failed, so that the load began again */
    uint64_t missing;   /* records that the disk lost by itself: told, and mended by the others */
    uint64_t snapshots; /* published */
    uint64_t failures;
    uint64_t stalls;
    uint64_t lies;
};
struct storage_figures storage_figures(const struct world *world);

#endif /* SIM_STORAGE_H */
