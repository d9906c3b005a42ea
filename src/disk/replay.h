#ifndef DISK_REPLAY_H
#define DISK_REPLAY_H

/* Joining what frames hold into a table: each item by its generation, as one that came in a
 * datagram (vignette(7), "Deletion"). It knows nothing of files, and counts what it meets, whether
 * it raised anything or not. What has ended is passed over.
 *
 * Called by disk/recover. Calls store and wire. Watched by bench/replay. */

#include "base/bytes.h"
#include "base/status.h"
#include "disk/frame.h"
#include "store/table.h"
#include "wire/message.h"

#include <stdint.h>

/* Open: it is embedded. Zeroed, and the table set, it is ready. */
struct replay {
    struct table *table;   /* NULL: only counted */
    struct frame_end seen; /* since replay_begin_file(), as a snapshot counts them */
    uint64_t items;
    uint64_t refused; /* frames, or items, of a form in which nothing is written */
    uint8_t key_size; /* of the last item that had elements: a key may go on in another one */
    uint8_t key[WIRE_KEY_BYTES_MAX];
};

/* Count `seen` anew. */
void replay_begin_file(struct replay *replay);

/* Join all items of a frame's payload. What is of no valid form, as it would be refused from a
 * peer, is counted and left out.
 *
 * STATUS_MEMORY, STATUS_FULL as from the table: not all was joined. */
MUST_CHECK enum status replay_items(struct replay *replay, struct bytes payload);

#endif /* DISK_REPLAY_H */
