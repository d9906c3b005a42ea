#ifndef WIRE_BLOCK_H
#define WIRE_BLOCK_H

/* The one form in which elements travel between rooms: a view of some of the 256 elements whose
 * index has the same upper 56 bits. The wire decodes into it, the store merges it and lends it,
 * the disk writes it, the views read it. Nobody converts to pairs on the way. Open: blocks and
 * marks live on stacks and in queues by the thousand. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_ELEMENTS     256 /* index = number << 8 | offset */
#define BLOCK_BITMAP_BYTES 32

struct block {
    uint64_t number;        /* index >> 8, 0..2^56 - 1 */
    const void *values;     /* `count` unsigned integers, host order, aligned to `width`; width 0:
                             * a bitmap of BLOCK_BITMAP_BYTES, bit (o & 7) of byte (o >> 3) */
    const uint8_t *offsets; /* strictly ascending; NULL: dense, value i has offset i */
    uint16_t count;         /* sparse: 1..256 values; dense and bitmap: 256, where a 0 is nothing */
    uint8_t width;          /* bytes a value: 1, 2, 4 or 8; 0: a bitmap, every set bit is a 1 */
};

/* Which elements of one block: a set of offsets, never a copy of values. Because values only
 * rise, whoever reads a marked element later reads something at least as new, and marks that
 * wait in a queue merge by OR. This is what "a delta" is everywhere above the wire. */
struct mark {
    uint64_t number;  /* of the block */
    uint64_t bits[4]; /* bit (offset & 63) of word (offset >> 6) */
};

/* Memory for one decoded block, on the caller's stack. */
struct block_room {
    union {
        uint64_t values[BLOCK_ELEMENTS];
        uint32_t values32[BLOCK_ELEMENTS];
        uint16_t values16[BLOCK_ELEMENTS];
        uint8_t values8[BLOCK_ELEMENTS];
    };
    uint8_t offsets[BLOCK_ELEMENTS];
};

/* The block whose `count` values, 8 bytes each and none of them 0, were unpacked into `room`. */
static inline struct block block_unpacked(const struct block_room *room, uint64_t number,
                                          unsigned count)
{
    return (struct block){ .number = number,
                           .values = room->values,
                           .offsets = count < BLOCK_ELEMENTS ? room->offsets : NULL,
                           .count = (uint16_t)count,
                           .width = 8 };
}

/* Value at position i of the block (not at offset i unless dense). Asserts i < count. */
uint64_t block_value(const struct block *block, unsigned i);

/* Offset of position i. */
static inline unsigned block_offset(const struct block *block, unsigned i)
{
    return block->offsets == 0 ? i : block->offsets[i];
}

/* Value at an offset 0..255, 0 when the block does not have it. O(log count) when sparse. */
uint64_t block_get(const struct block *block, unsigned offset);

/* Bits of the elements whose value is not 0. */
struct mark block_mark(const struct block *block);

/* Assert all that struct block promises. For tests, the simulator and the fuzzers. */
void block_audit(const struct block *block);

/* Operations on sets of offsets. `into` and `from` are of the same block (asserted). */
void mark_or(struct mark *into, const struct mark *from);
void mark_and_not(struct mark *into, const struct mark *from);
bool mark_empty(const struct mark *mark);
unsigned mark_count(const struct mark *mark);
static inline bool mark_has(const struct mark *mark, unsigned offset)
{
    return (mark->bits[offset >> 6] >> (offset & 63) & 1) != 0;
}
static inline void mark_set(struct mark *mark, unsigned offset)
{
    mark->bits[offset >> 6] |= UINT64_C(1) << (offset & 63);
}

/* The marked offsets ascending: the first one >= `from`, or BLOCK_ELEMENTS when there is none. */
unsigned mark_next(const struct mark *mark, unsigned from);

#endif /* WIRE_BLOCK_H */
