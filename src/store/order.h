#ifndef STORE_ORDER_H
#define STORE_ORDER_H

/* Entries in byte order of their keys: a skip list whose towers stand in the entries. Called by
 * store/table only.
 *
 * Why no tree: a tree must split nodes, and so can fail to take an entry in, while a tower is part
 * of the entry; it also takes fewer bytes a key (5.3, 1.33 links), and no more cache misses on the
 * way to a key, because a tree of ids reads the entries all the same to compare. Only walking on
 * costs a miss a key, where a leaf's ids could be fetched at once.
 *
 * Heights come from the secret hash of the key, so that a stranger cannot choose keys to lie low.
 *
 * Source: Pugh, "Skip lists: a probabilistic alternative to balanced trees" (1990), with p = 1/4.
 */

#include "base/bytes.h"
#include "store/slab.h"

#include <stdint.h>

struct order {
    uint32_t first[ENTRY_HEIGHT_MAX]; /* at each height; 0: none */
    unsigned height;                  /* of the tallest tower that there ever was, at least 1 */
    uint64_t count;
};

void order_init(struct order *order);

/* Height of a key's tower by its secret hash: 1 for three of four, and so on. */
unsigned order_height(uint64_t hash);

/* Take in an entry whose key is not there, or take it out. `nodes` counts entries touched. */
void order_insert(struct order *order, const struct slabs *slabs, uint32_t id, uint64_t *nodes);
void order_remove(struct order *order, const struct slabs *slabs, const struct entry *entry,
                  uint64_t *nodes);

enum order_bound { ORDER_FROM, ORDER_AFTER };

/* The first entry whose key is >= (ORDER_FROM) or > (ORDER_AFTER) the given one; 0: none. The next
 * one is tower[0] of it. O(log count). */
uint32_t order_seek(const struct order *order, const struct slabs *slabs, struct bytes key,
                    enum order_bound bound, uint64_t *nodes);

/* Abort unless ascending, and every tower stands in every list up to its height. */
void order_audit(const struct order *order, const struct slabs *slabs);

#endif /* STORE_ORDER_H */
