#ifndef NODE_SUSPICION_H
#define NODE_SUSPICION_H

/* How long a peer may stay suspect: the more members say so independently, the shorter. Knows a
 * peer's presence and nothing else. Private to the room. Source: vignette(7), "Failure detection";
 * Dadgar, Phillips and Currey, "Lifeguard" (2018). */

#include "node/peers.h"

#include <stdint.h>

/* Independent suspectors of its present incarnation, at least 1. */
unsigned suspicion_confirmations(const struct peer *peer);

/* How long a peer may stay suspect before it is dead, in a cluster of that many nodes, at least
 * 1. */
uint64_t suspicion_us(const struct peer *peer, uint64_t nodes);

#endif /* NODE_SUSPICION_H */
