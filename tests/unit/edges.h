#ifndef UNIT_EDGES_H
#define UNIT_EDGES_H

/* Numbers at which arithmetic goes wrong: where a width, a block, a double or a sign ends. What
 * makes random indices, values and counts favours them, in tests and in fuzz targets. */

#include <stdint.h>

#define EDGES 24

/* Edge i, 0..EDGES - 1. */
static inline uint64_t edge_at(unsigned i)
{
    static const uint64_t edges[EDGES] = {
        0,
        1,
        2,
        127,
        128,
        255,
        256,
        257,
        UINT16_MAX,
        UINT64_C(1) << 16,
        (UINT64_C(1) << 32) - 1,
        UINT64_C(1) << 32,
        (UINT64_C(1) << 32) + 1,
        (UINT64_C(1) << 53) - 1,
        UINT64_C(1) << 53,
        (UINT64_C(1) << 53) + 1,
        (UINT64_C(1) << 63) - 1,
        UINT64_C(1) << 63,
        (UINT64_C(1) << 63) + 1,
        UINT64_MAX - 256, /* the last of the block before the last */
        UINT64_MAX - 255, /* the first of the last block */
        UINT64_MAX - 2,
        UINT64_MAX - 1,
        UINT64_MAX,
    };

    return edges[i];
}

#endif /* UNIT_EDGES_H */
