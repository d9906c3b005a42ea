#ifndef NODE_FLIGHTS_H
#define NODE_FLIGHTS_H

/* What became of a datagram, told to whoever sent it. Above all producers. Private to the room. */

#include "base/moment.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct peer;

/* An ack came. False: of a number that is not under way to this peer, which is ignored. */
bool flights_acked(struct node *node, struct moment now, struct peer *peer, uint32_t sequence);

/* Tell of all that is overdue. */
void flights_tick(struct node *node, struct moment now);

#endif /* NODE_FLIGHTS_H */
