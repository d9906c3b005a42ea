#ifndef NODE_JOIN_H
#define NODE_JOIN_H

/* Joining data into the store, for clients and for peers: what limits refuse, what rises, what goes
 * back to the sender, what is passed on. Private to the room. Presence has its own rules: see
 * node/presence.h. */

#include "base/moment.h"
#include "base/status.h"
#include "node/types.h"
#include "store/marks.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct peer;

/* node_update_begin(), node_update_check() and node_update_join() of node/node.h. */
MUST_CHECK enum status join_update_begin(const struct node *node, struct bytes key,
                                         struct node_update *update, struct fault *why);
MUST_CHECK enum status join_update_check(const struct node_update *update,
                                         const struct block *block, struct fault *why);
MUST_CHECK enum status join_update(struct node *node, struct moment now, struct node_update *update,
                                   const struct block *block, struct merge_result *merged,
                                   struct fault *why);

/* node_delete() of node/node.h. */
MUST_CHECK enum status join_delete(struct node *node, struct moment now, struct bytes key,
                                   uint32_t *generation_out, struct fault *why);

/* A plain message about data: joined, what rose is spread, and where ours is larger it goes back to
 * the sender, with that ttl; 0: to nobody plain. Where it says `full`, what it does not list goes
 * back too. Of a key that was deleted once, nothing is taken. Returns the entry where there was
 * nothing of the key before, else NULL. */
struct entry *join_plain(struct node *node, struct moment now, struct peer *from,
                         const struct item *item, uint8_t ttl);

/* A plain message about data of an address that is no peer: joined, and what rose is spread.
 * `larger` takes the elements of one block where ours are larger, if there is one; empty before.
 * Returns the entry; NULL: refused, or nothing was said. */
struct entry *join_stranger(struct node *node, struct moment now, const struct item *item,
                            uint8_t ttl, struct mark *larger);

/* An item of an extended datagram: joined by its generation (vignette(7), "Deletion"), and passed on from `depth`, raised or not.
 * WIRE_DEPTH_STOP: a repair, not passed on. `reply` takes what goes back to the sender; NULL: there
 * was no memory for it. */
void join_item(struct node *node, struct moment now, struct peer *from, const struct item *item,
               uint8_t depth, struct marks *reply);

#endif /* NODE_JOIN_H */
