#ifndef NODE_PUSH_H
#define NODE_PUSH_H

/* Dissemination by delegated push (vignette(7), "Delegated push"): members form a trie over their
 * ids, base 4; a change goes to one random member of each sibling subtree, which covers its own
 * the same way. Acked, re-delegated, and given to anti-entropy after that. Private to the room. */

#include "base/moment.h"
#include "base/random.h"
#include "node/outbox.h"
#include "store/marks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

#define PUSH_TTL     2  /* of what came by push, which has none, for the plain members it covers */
#define PUSH_LEVELS  32 /* base-4 digits of an id */
#define PUSH_BUCKETS (PUSH_LEVELS * 3)

/* How a change goes on. */
struct push_route {
    const struct peer *from; /* whom it came from, it does not go back there; NULL: it is ours */
    uint8_t depth;           /* the level to begin at; 0: all. WIRE_DEPTH_STOP: it goes nowhere */
    uint8_t ttl;             /* hops left for plain members that this node covers itself */
};

void push_free(struct node *node);

/* A change to spread. Presence goes first. */
void push_queue(struct node *node, struct moment now, struct entry *entry, const struct mark *mark,
                struct push_route route);

/* Whether the present values of some elements were queued from a level <= depth within the last
 * 10 s: an item that came by push and raised nothing is still to be passed on otherwise. */
bool push_handled(struct node *node, struct moment now, const struct entry *entry,
                  const struct mark *mark, uint8_t depth);

void push_acked(struct node *node, struct moment now, const struct flight *flight);

/* True: its receiver may be dead, a probe out of turn would tell. */
bool push_lost(struct node *node, struct moment now, struct flight *flight);

void push_tick(struct node *node, struct moment now);
uint64_t push_due_us(const struct node *node);

/* One datagram: of membership only when `urgent`, else of anything. 0: nothing now. */
size_t push_emit(struct node *node, struct moment now, struct space space, struct address *to,
                 bool urgent);
void push_drop_peer(struct node *node, const struct peer *peer);
void push_drop_entries(struct node *node, struct drops drops);

#endif /* NODE_PUSH_H */
