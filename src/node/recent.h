#ifndef NODE_RECENT_H
#define NODE_RECENT_H

/* A set of 64-bit hashes, each with a small number, that are remembered for a fixed while: what
 * push has passed on lately, what changed lately. Bounded: at RECENT_ROOM_MAX an older one gives
 * way. Private to the room; used by push and sync.
 *
 * Open, because it is embedded; only node/recent.c touches the fields. All zero but keep_ms is
 * empty and holds no memory. */

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECENT_ROOM_MAX  65536
#define RECENT_LEVEL_MAX 254

struct recent_slot; /* recent.c */

struct recent {
    struct recent_slot *slots; /* sets of 8, chosen by the hash's low bits */
    uint64_t last_ms;          /* of the last put */
    uint32_t room;             /* slots; 0 or a power of two */
    uint32_t keep_ms;          /* how long one is remembered */
};

void recent_clear(struct recent *recent, struct mem *mem);

/* Remember a hash from now on; the lower level wins over one still remembered.
 *
 * False: there was no memory, or another one that was still remembered had to give way. */
bool recent_put(struct recent *recent, struct mem *mem, uint64_t hash, uint8_t level,
                uint64_t now_ms);

/* Whether it is remembered with a level <= `level`. */
bool recent_has(const struct recent *recent, uint64_t hash, uint8_t level, uint64_t now_ms);

/* Give the memory back once nothing is remembered. */
void recent_tick(struct recent *recent, struct mem *mem, uint64_t now_ms);

#endif /* NODE_RECENT_H */
