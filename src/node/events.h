#ifndef NODE_EVENTS_H
#define NODE_EVENTS_H

/* What a person may want to know of a node, kept until its driver takes it: transitions of peers,
 * another cluster's node, another process at our address. Private to the room; node_take_event()
 * shows it.
 *
 * A ring of a turn or so: where more happens the oldest are lost, since they are lines of a limited
 * log and never the only place where something can be seen. */

#include "base/address.h"
#include "base/moment.h"
#include "node/types.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct peer;

struct events; /* events.c */

/* None. False: no memory. */
bool events_create(struct node *node);
void events_free(struct node *node);

/* A peer's state is another one now. */
void events_state(struct events *events, const struct peer *peer, enum peer_state was);

/* A datagram of another cluster, or a plain one that is not taken, came from this address. */
void events_cluster(struct events *events, struct moment now, const struct address *from);

/* Another process speaks for our address. */
void events_duplicate(struct events *events, const struct address *self);

/* The oldest that was not taken. False: none; *event_out untouched. */
bool events_take(struct events *events, struct node_event *event_out);

#endif /* NODE_EVENTS_H */
