#ifndef STORE_MERGE_H
#define STORE_MERGE_H

/* Comparing and joining two blocks of the same number: the loops that everything else waits for.
 * Leaf functions on views; nothing here allocates, and nothing knows how a vector keeps its
 * blocks. Called by store/vector and store/run only.
 *
 * Wherever "ours" is taken it may be empty: count 0, other fields of no meaning. Values of 0 are
 * no elements, whatever form they come in. Watched by bench/merge: gcc 12 does not vectorise a
 * max loop of unknown length at -O2, and marks made bit by bit cost ten times the join. */

#include "base/search.h"
#include "store/merge_result.h"
#include "wire/block.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a join would do, before anything is written. */
struct merge_plan {
    struct mark raised;   /* theirs is larger */
    struct mark larger;   /* theirs is there and smaller: ours is larger */
    uint64_t raised_bits; /* bitwise or of the values that rise; 0 when they fit ours' width anyway,
                           * both sides being dense in the same width */
    unsigned fresh_count; /* of raised: elements that were 0 before */
};

/* Compare without changing either. */
void merge_compare(const struct block *ours, const struct block *theirs, struct merge_plan *plan);

/* What the digest of the vector gains when `raised` rises from ours to theirs. */
uint64_t merge_digest_delta(const struct block *ours, const struct block *theirs,
                            const struct mark *raised, uint64_t salt);

/* Join theirs, dense in bytes, into 256 bytes of ours, as sketches meet each other: all that a
 * comparison, a digest and a join would do, in one pass over both. Returns how many elements were 0
 * before. */
unsigned merge_bytes(uint8_t *ours, const struct block *theirs, uint64_t salt,
                     struct merge_result *result);

/* The sum of digest_element() over one block. */
uint64_t merge_digest(const struct block *block, uint64_t salt);

/* Both blocks' elements, the larger of the two each, as a sparse block 8 bytes wide in `room`. */
struct block merge_union(const struct block *ours, const struct block *theirs,
                         struct block_room *room);

/* Join 256 dense values into 256 dense values of the same width, 1, 2, 4 or 8 bytes; both aligned
 * to it. No marks: the fastest that there is. */
void merge_max(void *ours, const void *theirs, unsigned width);

/* The same for `count` blocks of bytes that follow each other on both sides. */
void merge_max_stretch(void *ours, const void *theirs, size_t count);

/* How many of 256 dense values are not 0. */
unsigned merge_dense_count(const void *values, unsigned width);

/* Position of the first of `count` ascending offsets, from position `from` on, that is >= offset;
 * count when there is none. */
static inline unsigned merge_seek(const uint8_t *offsets, unsigned from, unsigned count,
                                  unsigned offset)
{
    unsigned to = count;

    SEARCH_FIRST(from, to, at, offsets[at] < offset);
    return from;
}

/* Value i of an array of unsigned integers; width 0 is a bitmap. The same as block_value(), inline
 * because it is asked for every element. */
static inline uint64_t merge_load(const void *values, unsigned width, unsigned i)
{
    switch (width) {
    case 0: return ((const uint8_t *)values)[i >> 3] >> (i & 7) & 1;
    case 1: return ((const uint8_t *)values)[i];
    case 2: return ((const uint16_t *)values)[i];
    case 4: return ((const uint32_t *)values)[i];
    default: return ((const uint64_t *)values)[i];
    }
}

/* Set value i, which must fit; in a bitmap the value is 1. */
static inline void merge_store(void *values, unsigned width, unsigned i, uint64_t value)
{
    switch (width) {
    case 0:
        ((uint8_t *)values)[i >> 3] = (uint8_t)(((uint8_t *)values)[i >> 3] | 1U << (i & 7));
        break;
    case 1: ((uint8_t *)values)[i] = (uint8_t)value; break;
    case 2: ((uint16_t *)values)[i] = (uint16_t)value; break;
    case 4: ((uint32_t *)values)[i] = (uint32_t)value; break;
    default: ((uint64_t *)values)[i] = value; break;
    }
}

#endif /* STORE_MERGE_H */
