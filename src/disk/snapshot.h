#ifndef DISK_SNAPSHOT_H
#define DISK_SNAPSHOT_H

/* The walk of a table into frames, a piece at a time: keys in their order, big vectors in parts,
 * then tombstones by hash. It need not be of one moment (disk/journal.h says why); what has ended
 * and presence are left out. The cursor is a key, copied, and an index in it: no pointer into the
 * table is kept between pieces.
 *
 * Called by disk/journal. Pure. */

#include "base/bytes.h"
#include "disk/frame.h"
#include "disk/peers.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open: it is embedded; only disk/snapshot.c touches the fields. */
struct snapshot_walk {
    uint64_t seed;
    uint64_t sequence;           /* of the next frame, from 0 */
    uint64_t first_log_sequence; /* what FRAME_BEGIN says */
    uint64_t block;              /* of the key to go on with: numbers from here on */
    uint64_t hash;               /* of tombstones: from here on */
    struct frame_end end;
    uint16_t key_size;
    uint8_t key[255]; /* the last one that went whole; or with is_inside the one to go on with */
    uint8_t offset;   /* in that block: elements from here on */
    uint8_t stage;
    bool is_inside;
};

/* first_log_sequence  of the first frame of the log that was begun with it; 0: there is none */
void snapshot_begin(struct snapshot_walk *walk, uint64_t seed, uint64_t first_log_sequence);

/* Write the next frames. Returns how many bytes; 0: the snapshot is whole. `space` has room for at
 * least FRAME_BYTES_MAX. Time O(space), however much there is of what is left out. */
size_t snapshot_next(struct snapshot_walk *walk, const struct table *table,
                     const struct disk_peers *peers, struct space space);

#endif /* DISK_SNAPSHOT_H */
