#ifndef DISK_FRAME_H
#define DISK_FRAME_H

/* Frames: what a log or a snapshot consists of, one behind the other from its first byte on. Little
 * endian:
 *
 *     0   u64   checksum: XXH3-64 of all that follows, seeded with the file's own seed
 *     8   u16   length of the payload, 0..FRAME_PAYLOAD_MAX
 *     10  u16   how many frames before it were not known to be kept when it was written; 65535: as
 *               many or more
 *     12  u8    kind
 *     13  3     "vgn"
 *     16  u64   sequence
 *     24        payload
 *
 * The second number parts what is missing from what was never promised. Of a write of several
 * frames a crash may leave any sectors out, and so of all that was written since the last sync. A
 * frame that is bad is damage only where a later one says that it was kept.
 *
 * The seed is made of the directory's id and the file's kind and number, so a frame that was copied
 * from another file or directory does not pass. The sequence counts the frames of all logs of a
 * directory; in a snapshot it counts from 0. A file that was extended ends in zeros.
 *
 * Called by disk/journal, disk/snapshot and disk/recover. Pure; allocates nothing; cannot fail.
 *
 * Source: the checksum is XXH3 of libxxhash. */

#include "base/bytes.h"
#include "disk/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_BYTES  24
#define FRAME_PAYLOAD_MAX 16384 /* what one damaged sector can cost, and a step of a start */
#define FRAME_BYTES_MAX   (FRAME_HEAD_BYTES + FRAME_PAYLOAD_MAX)

/* No frame has a greater sequence: whoever counts on from it never comes to the end. */
#define FRAME_SEQUENCE_MAX (UINT64_MAX / 2)

enum frame_kind {
    FRAME_BEGIN = 1, /* the first of a file: struct frame_begin */
    FRAME_ITEMS,     /* an array as the field `b` of an extended datagram (wire/message.h) */
    FRAME_PEERS,     /* struct frame_peers, and so many addresses */
    FRAME_END,       /* the last of a snapshot: struct frame_end */
    FRAME_KIND_COUNT
};

/* The first frame of each file says what it is, for whoever looks at it, and how it joins on. */
struct frame_begin {
    uint32_t format;   /* FRAME_FORMAT */
    uint64_t sequence; /* of the first frame behind it, from 1: all below it is kept, as far as it
                        * ever will be. In a snapshot: that of the log of its number; 0: none */
};
#define FRAME_FORMAT      1
#define FRAME_BEGIN_BYTES 12

/* The whole of what a snapshot holds. */
struct frame_end {
    uint64_t keys;
    uint64_t tombstones;
    uint64_t elements;
};
#define FRAME_END_BYTES 24

struct frame {
    struct bytes payload; /* view */
    uint64_t sequence;
    uint64_t kept; /* those of lesser sequence were known to be kept when it was written */
    uint8_t kind;
};

/* Seed of a file's checksums. A draft has that of the snapshot it becomes. */
uint64_t frame_seed(uint64_t directory_id, struct disk_file file);

/* Write the head of a frame in front of its payload, which is there already, at `to` +
 * FRAME_HEAD_BYTES. Returns the size of the frame.
 *
 * frame  `kept` at most `sequence`, where in a snapshot it means nothing and is equal; of the
 *        payload only the size is read */
size_t frame_seal(uint8_t *to, uint64_t seed, const struct frame *frame);

/* The frame that `bytes` begin with. False: there is none that is whole and passes. */
bool frame_open(struct bytes bytes, uint64_t seed, struct frame *frame_out);

/* Size of a frame. */
static inline size_t frame_size(const struct frame *frame)
{
    return FRAME_HEAD_BYTES + frame->payload.size;
}

/* Where in `bytes` the first frame begins that passes and whose sequence is at least `sequence`;
 * bytes.size when there is none. For what lies behind a damaged one: lengths are not to be trusted
 * there. Where fewer than FRAME_BYTES_MAX bytes are left of what is given, a frame may go on behind
 * them and is not found. Time O(bytes): a checksum is computed only where the other fields could be
 * those of a frame. */
size_t frame_search(struct bytes bytes, uint64_t seed, uint64_t sequence);

/* Whether these are zeros alone. */
bool frame_is_blank(struct bytes bytes);

/* Payloads of fixed form. The readers say false when it is of another size or format. */
void frame_begin_put(uint8_t to[FRAME_BEGIN_BYTES], const struct frame_begin *begin);
bool frame_begin_read(struct bytes payload, struct frame_begin *begin);
void frame_end_put(uint8_t to[FRAME_END_BYTES], const struct frame_end *end);
bool frame_end_read(struct bytes payload, struct frame_end *end);

#endif /* DISK_FRAME_H */
