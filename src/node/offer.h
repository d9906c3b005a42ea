#ifndef NODE_OFFER_H
#define NODE_OFFER_H

/* What takes part in anti-entropy: not what is forgotten, nor what may still be under way. Private
 * to the room. */

#include "base/moment.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;

/* By what a block of a key is remembered. */
uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number);

/* Whether a key counts in exchanges: a forgotten presence does not, nor what has ended. */
bool sync_exists(const struct node *node, struct moment now, const struct entry *entry);

/* Whether it counts for a peer, too, whose clock may be ahead of ours: what has ended to it, it
 * refuses. */
bool sync_exists_for(const struct node *node, struct moment now, const struct peer *peer,
                     const struct entry *entry);

/* table_find_hash() and table_slice_hash(), and the work they take is counted: hashes are chosen by
 * peers, and to find one costs a walk of some dozen entries all over the memory. */
struct entry *sync_find(struct node *node, enum table_set set, uint64_t hash);
size_t sync_slice(struct node *node, struct prefix prefix, uint64_t from, struct entry **entries,
                  size_t room);

/* Keys and tombstones of a set: what its tree counts. */
uint64_t sync_keys(const struct node *node, unsigned set);

/* Our store refused a key lately: it asks for nothing new, as our `F` says. */
bool sync_is_full(const struct node *node, struct moment now);

/* Whether a block changed so lately that it may be under way by push. */
bool offer_is_fresh(const struct node *node, struct moment now, const struct entry *entry,
                    uint64_t number);

#endif /* NODE_OFFER_H */
