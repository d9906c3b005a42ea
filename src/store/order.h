#ifndef STORE_ORDER_H
#define STORE_ORDER_H

/* Entries in byte order of their keys: a B+tree of entry ids, which reads the nodes instead of the
 * entries. Called by store/table only.
 *
 * A node knows how many bytes all its keys begin with (`skip`), and of each key the next four
 * bytes (its head) as a number. Heads are searched; an entry is read only where heads are the same.
 * So a search touches one leaf that is not in cache and mostly no entry, where a skip list, a treap
 * or a plain tree of ids reads an entry, hence a cache line or two, at each of twenty comparisons.
 * An item of an inner node is its child and the first entry below it: there are no separators to
 * keep, and whatever is compared is an entry that is there.
 *
 * Skips and heads belong to one node and follow from its own items: they hold wherever the node
 * stands. A key that does not share the skip shortens it, from what the node knows; a split
 * lengthens it, which reads the entries of that node.
 *
 * Memory. An insertion may split a node at each level. order_ready() makes sure beforehand that
 * there are nodes for all of them, so that order_insert() cannot fail. Leaves split in halves but
 * at the end of the order, where a full one stays full: keys that come in order cost 8 bytes, in
 * disorder about 12.
 *
 * Source: Bayer and Unterauer, "Prefix B-trees" (1977); heads as Graefe and Larson, "B-tree indexes
 * and CPU caches" (2001), have them. Watched by bench/table. */

#include "base/bytes.h"
#include "base/mem.h"
#include "store/slab.h"

#include <stdbool.h>
#include <stdint.h>

#define ORDER_LEAF_ITEMS   128
#define ORDER_INNER_ITEMS  64
#define ORDER_HEIGHT_MAX   12 /* 2^32 entries, a quarter of the room used at each level: 9 */
#define ORDER_PREFIX_BYTES 29 /* of the skip kept in the node; what is longer is in its entries */

struct order_node {
    struct order_node *next; /* at its level, or in the list of spare ones */
    uint8_t level;           /* 0: a leaf */
    uint8_t count;
    uint8_t skip; /* all keys share so many bytes */
    uint8_t prefix[ORDER_PREFIX_BYTES];
    union {
        struct {
            uint32_t heads[ORDER_LEAF_ITEMS];
            uint32_t ids[ORDER_LEAF_ITEMS];
        } leaf;
        struct {
            uint32_t heads[ORDER_INNER_ITEMS];
            uint32_t ids[ORDER_INNER_ITEMS]; /* of the first entry below each child */
            struct order_node *children[ORDER_INNER_ITEMS];
        } inner;
    };
};

struct order {
    struct order_node *root; /* NULL: empty */
    struct order_node *spare;
    uint64_t count;       /* entries */
    uint64_t nodes;       /* in the tree */
    uint32_t height;      /* levels */
    uint32_t spare_count; /* nodes in the list of spare ones */
};

void order_init(struct order *order);
void order_clear(struct order *order, struct mem *mem);

/* Make sure that the next order_insert() has the nodes it may need. False: no memory; nothing
 * changed but the number of spare nodes. */
MUST_CHECK bool order_ready(struct order *order, struct mem *mem);

/* Take in an entry whose key is not there, after order_ready(), or take one out. Neither can fail.
 * `nodes` counts nodes and entries touched. */
void order_insert(struct order *order, const struct slabs *slabs, uint32_t id, uint64_t *nodes);
void order_remove(struct order *order, const struct slabs *slabs, struct mem *mem,
                  const struct entry *entry, uint64_t *nodes);

/* A place between two entries; valid until the order is next written. */
struct order_cursor {
    const struct order_node *leaf; /* NULL: the end */
    unsigned at;
};

/* Before all. */
struct order_cursor order_begin(const struct order *order);

enum order_bound { ORDER_FROM, ORDER_AFTER };

/* Before the first entry whose key is >= (ORDER_FROM) or > (ORDER_AFTER) the given one.
 * O(log count). */
struct order_cursor order_seek(const struct order *order, const struct slabs *slabs,
                               struct bytes key, enum order_bound bound, uint64_t *nodes);

/* The entry that follows, and on; NULL: the end. */
struct entry *order_next(struct order_cursor *cursor, const struct slabs *slabs);

/* Abort unless ascending, and every node is what its entries make it. */
void order_audit(const struct order *order, const struct slabs *slabs);

#endif /* STORE_ORDER_H */
