#ifndef VIEW_BATCH_H
#define VIEW_BATCH_H

/* Many updates, read and checked but not yet applied: what lies between the two halves of a bulk
 * request. Packed into a few large pieces of memory, without an allocation an update: an update of
 * one small element takes six bytes and its key. Written once, then read any number of times.
 *
 * Layout of an update, integers as LEB128: size of the key, key, then for each block its count,
 * its number, and `count` offsets each with its value; a count of 0 ends it. No integer and no key
 * lies across two pieces. */

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_piece; /* batch.c */

/* Open, because it is embedded in whoever collects; only view/batch.c touches the fields. */
struct batch {
    struct mem *mem;
    struct batch_piece *first;
    struct batch_piece *last;
    uint64_t updates;
};

void batch_init(struct batch *batch, struct mem *mem);
void batch_clear(struct batch *batch);

/* Begin an update, add its blocks in ascending order, end it. False: no memory; the batch is then
 * good only for batch_clear().
 *
 * key    0..255 bytes
 * block  without zero values */
MUST_CHECK bool batch_begin(struct batch *batch, struct bytes key);
MUST_CHECK bool batch_put(struct batch *batch, const struct block *block);
MUST_CHECK bool batch_end(struct batch *batch);

uint64_t batch_updates(const struct batch *batch);

/* A place in a batch. Open: on the stack of whoever reads; only view/batch.c touches the fields. */
struct batch_cursor {
    const struct batch_piece *piece;
    size_t at;
};

struct batch_cursor batch_first(const struct batch *batch);

/* The next update's key, lent until the batch is cleared; false: no more. The blocks of the one
 * before must have been read to their end. */
bool batch_next_key(struct batch_cursor *cursor, struct bytes *key);

/* The next block of the update; false: no more. The block lives as long as the room. */
bool batch_next_block(struct batch_cursor *cursor, struct block_room *room, struct block *block);

#endif /* VIEW_BATCH_H */
