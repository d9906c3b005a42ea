#ifndef WIRE_PAIRS_H
#define WIRE_PAIRS_H

/* Pairs of a msgpack map of elements that message.c has judged. Senders write them as their own
 * maps have them: in any order, and some the same index twice. Those that rise, as ours do and most
 * others', message.c reads where they stand; this sorts and reads the rest, so that whoever walks
 * elements gets each block once, rising. What is sorted is a list of where each pair begins, two
 * bytes a pair, in room that struct message has. Private to the room. Never allocates. */

#include "wire/block.h"
#include "wire/elements.h"
#include "wire/little.h"

#include <stdbool.h>
#include <stdint.h>

/* A pair judged before, and where the next one is. */
struct pair {
    uint64_t index;
    uint64_t value;
    const uint8_t *next;
};

/* Whether four bytes are an index of two bytes with its head and a value of one, as most pairs are:
 * one comparison. */
static inline bool pair_is_common(const uint8_t *at)
{
    return (little_get32(at) & 0x800000ffU) == 0xcd;
}

/* The pair that begins here, in any form; the two that most have are read in place, without a
 * cursor in memory. */
struct pair pair_next_wide(const uint8_t *at, const uint8_t *end);
static inline struct pair pair_next(const uint8_t *at, const uint8_t *end)
{
    if (end - at >= 4 && pair_is_common(at)) {
        return (struct pair){ (uint64_t)at[1] << 8 | at[2], at[3], at + 4 };
    }
    if (end - at >= 2 && at[0] < 0x80 && at[1] < 0x80) {
        return (struct pair){ at[0], at[1], at + 2 };
    }
    return pair_next_wide(at, end);
}

/* Sort pairs that do not rise (ELEMENTS_UNSORTED to ELEMENTS_SORTED). `order` has room for as many
 * as there are, and belongs to these elements from then on.
 *
 * Time: O(pairs), seventeen looks at each at most, by a radix sort; where indices stay below 65536,
 * five. Needs 64 KiB of stack. */
void pairs_sort(struct elements *elements, uint16_t *order);

/* elements_next() for sorted pairs. */
bool pairs_next(struct elements *elements, struct block_room *room, struct block *block);

#endif /* WIRE_PAIRS_H */
