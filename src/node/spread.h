#ifndef NODE_SPREAD_H
#define NODE_SPREAD_H

/* Spreading what rose: at once where it is little, over turns where it is much. One mark that is
 * spread costs a step for every subtree and for every plain member that this node covers, so what
 * one datagram or one update may cause grows with the cluster. Beyond WORK_AT_ONCE the marks are
 * therefore kept once, and each turn spreads as many of them as its budget allows. They merge, so
 * what waits is bounded by the state. Private to the room. */

#include "base/moment.h"
#include "node/push.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct peer;

/* Nothing waits. False: no memory. */
bool spread_create(struct node *node);
void spread_free(struct node *node);

/* That what rises in a block will be spread soon: memory that it takes is fetched meanwhile. */
void spread_expect(const struct node *node, const struct entry *entry, uint64_t number);

/* Spread what rose or is to be passed on: by push, or where there are only plain members, by the
 * plain rule. */
void node_spread(struct node *node, struct moment now, struct entry *entry, const struct mark *mark,
                 struct push_route route);

/* The same of what came by push, and goes on by push. */
void spread_pushed(struct node *node, struct moment now, struct entry *entry,
                   const struct mark *mark, struct push_route route);

/* What came by push and raised nothing: passed on once, unless that was done lately. */
void spread_repeat(struct node *node, struct moment now, struct entry *entry,
                   const struct mark *mark, uint8_t depth, const struct peer *from);

/* Spread what waits, as far as the turn's budget allows: one mark at least. Routes take turns. */
void spread_step(struct node *node, struct moment now);

bool spread_waits(const struct node *node);

void spread_drop_peer(struct node *node, const struct peer *peer);
void spread_drop_entries(struct node *node, struct drops drops);

#endif /* NODE_SPREAD_H */
