#ifndef WIRE_PACKED_H
#define WIRE_PACKED_H

/* Packed items (vignette(7), "Packed items"): the elements of an item of `b` with more than
 * WRITER_MAP_ELEMENTS_MAX elements, as the content of a msgpack bin. Each item stands by itself:
 * nothing in it refers to another item or another datagram. Private to the room; message.c and
 * writer.c call it. Never allocates.
 *
 * Byte 0 says the kind. Varints are those of wire/varint.h: 7 bits a byte, lowest first, shortest
 * form only. Anything else than what is written here is refused (WIRE_BAD_ITEM).
 *
 * Kind 1, sparse: 01, then one or more pairs, to the end of the bin:
 *
 *     gap     varint   index - (index before + 1); of the first pair the index itself
 *     value   varint   1..2^64 - 1
 *
 *     {0: 5, 3: 300, 256: 1}   01  00 05  02 ac 02  fc 01 01
 *
 * Indices rise strictly and stay below 2^64.
 *
 * Kind 2, dense: 02, then one or more segments, to the end of the bin. A segment holds elements of
 * one block (256 elements whose indices have the same upper 56 bits, the block's number):
 *
 *     head    varint   2 * gap + part; gap = number - (number before + 1), of the first segment
 *                      the number itself; part = 1 when not all 256 offsets are covered
 *     from    1 byte   } only when part is 1: the first and the last offset covered, from <= last
 *     last    1 byte   }
 *     shape   1 byte   bits 0..6 the width of a code in bits, 0..64; bit 7 = there are exceptions
 *     base    varint   base + 2^width - 1 is at most 2^64 - 1
 *     count   1 byte   only when there are exceptions: their number - 1
 *     codes            n = last - from + 1 (or 256) numbers of `width` bits without gaps, the first
 *                      in the lowest bits of the first byte; the bits left in the last byte are 0
 *     exceptions       `count` + 1 times: 1 byte offset, ascending, from..last; varint value
 *
 * The value at an offset is base + code, but for an exception, whose code means nothing and whose
 * value is its own. A value of 0 is no element. Width 0 has no codes: all n values are the base.
 *
 *     block 1: offset 2 = 7, offset 3 = 4, offset 4 = 200, offset 5 = 5     02  03 02 05
 *     as base 4, width 2, codes 3 0 0 1, one exception at offset 4          82 04 00  43  04 c8 01
 *
 * A segment is 3 bytes at least, so a byte of a datagram yields less than 86 elements, and a
 * datagram of WIRE_EXTENDED_BYTES_MAX bytes less than 100,000: that bounds both the time of a walk
 * and what a reader must be ready to store for one datagram.
 *
 * Source: frame of reference with patched exceptions, after Zukowski, Heman, Nes and Boncz,
 * "Super-scalar RAM-CPU cache compression" (2006). */

#include "base/bytes.h"
#include "wire/block.h"
#include "wire/elements.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packed_kind {
    PACKED_SPARSE = 1,
    PACKED_DENSE = 2,
};

/* Check a whole bin and begin a walk over it. False: it is not a packed item; elements untouched.
 *
 * Time O(size): segments are checked by their heads, their codes are not unpacked. */
bool packed_judge(struct bytes bin, struct elements *elements);

/* elements_next() for the two packed kinds. A block of 256 elements comes dense, as wide as its
 * values need; any other comes sparse. Zeros never come. */
bool packed_next(struct elements *elements, struct block_room *room, struct block *block);

/* A segment at its longest: all values 8 bytes wide (head 9, range 2, shape 1, base 10). */
#define PACKED_SEGMENT_BYTES_MAX (9 + 2 + 1 + 10 + BLOCK_ELEMENTS * 8)

/* How a segment will be written. */
struct packed_segment {
    uint64_t base;
    size_t size; /* bytes without the head */
    uint16_t exceptions;
    uint8_t from;
    uint8_t last;
    uint8_t width;
};

/* Choose base and width for a block; offsets with value 0 are not there, but at least one is.
 *
 * Values within 64 of one another (registers of sketches, counts, bits) get the best pair there
 * is; wider ones the best width over their least value. Watched by bench/decode. */
void packed_plan(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment);

/* Cut a planned segment, which does not fit, to as many of its elements, from the first on, as take
 * `room` bytes with the same base and width, or to the first alone. Returns the offset behind the
 * last one taken; 0, and the segment untouched, when not even one fits. */
unsigned packed_cut(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment,
                    size_t room);

/* Write a planned segment; gap as above. Returns the end of what was written, which is
 * varint_size(2 * gap + 1) + segment->size bytes after `to` at most. */
uint8_t *packed_segment_put(uint8_t *to, const uint64_t values[BLOCK_ELEMENTS],
                            const struct packed_segment *segment, uint64_t gap);

#endif /* WIRE_PACKED_H */
