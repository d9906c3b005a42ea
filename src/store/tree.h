#ifndef STORE_TREE_H
#define STORE_TREE_H

/* Digests over one set: the sum of its keys' contributions under every prefix of the shared key
 * hash, 4 bits at a time (vignette(7), "Anti-entropy"). Called by store/table only.
 *
 * A node has 16 children, each with the sum and the number of its keys. A child is a leaf, a list
 * of entries linked through 4 bytes in each, until it has more than TREE_LEAF_KEYS; then it becomes
 * a node. Splitting one leaf is all the growth there is; a leaf that there is no memory for simply
 * stays longer. At 16 nibbles nothing is left to split by. A node without keys is freed.
 *
 * A key is an entry or a tombstone (store/tombstone.h): both are linked, counted, summed up and
 * found the same way. Tombstones come first in a leaf: whoever writes a new key asks for one. */

#include "base/mem.h"
#include "store/slab.h"
#include "store/tree_child.h"
#include "wire/message.h"

#include <stdint.h>

#define TREE_LEAF_KEYS 32 /* a walk through them takes up to 6 us: each is a cache miss or two */
#define TREE_DEPTH_MAX 16

struct tree_node; /* tree.c */

union tree_link {
    struct tree_node *node;
    uint32_t entry; /* first of the leaf */
};

struct tree {
    uint32_t cluster_id;
    uint32_t keys;
    uint64_t digest;
    struct tree_node *root;
};

/* False: no memory; nothing to clear then. */
bool tree_init(struct tree *tree, struct mem *mem, uint32_t cluster_id);
void tree_clear(struct tree *tree, struct mem *mem);

/* Take in an entry or a tombstone; the leaf is split as far as there is memory. Cannot fail.
 * Its digest is what it contributes with; `hash` is its shared key hash. */
void tree_insert(struct tree *tree, const struct slabs *slabs, struct mem *mem, uint32_t id,
                 uint64_t hash, uint64_t *nodes);

/* The digest of an entry became another. */
void tree_change(struct tree *tree, uint64_t hash, uint64_t digest_before, uint64_t digest_after,
                 uint64_t *nodes);

/* Take out an entry whose digest is what it contributes with. Returns its id. */
uint32_t tree_remove(struct tree *tree, const struct slabs *slabs, struct mem *mem,
                     struct entry *entry, uint64_t hash, uint64_t *nodes);

/* As table_children(), without a mask. */
void tree_children(const struct tree *tree, const struct slabs *slabs, struct prefix prefix,
                   struct tree_child children[WIRE_TREE_CHILDREN], uint64_t *nodes);

/* As table_find_hash(). */
struct entry *tree_find(const struct tree *tree, const struct slabs *slabs, uint64_t hash,
                        uint64_t *nodes);

/* The tombstone of a hash, or NULL. Takes a look at no entry. */
struct entry *tree_find_tombstone(const struct tree *tree, const struct slabs *slabs, uint64_t hash,
                                  uint64_t *nodes);

/* As table_slice_hash(). */
size_t tree_slice(const struct tree *tree, const struct slabs *slabs, struct prefix prefix,
                  uint64_t from, struct entry **entries, size_t room, uint64_t *nodes);

/* Tombstones in a tree. */
struct tree_tombstones {
    uint64_t all;
    uint64_t dated; /* that end */
};

/* Abort unless every sum is that of the entries below it, and every entry below its prefix. */
struct tree_tombstones tree_audit(const struct tree *tree, const struct slabs *slabs);

#endif /* STORE_TREE_H */
