#ifndef NODE_BOUNDS_H
#define NODE_BOUNDS_H

/* Presence as far as it needs nothing but a key, a vector and the clocks that were told: whose a
 * key is, what a stamp says, how far ahead a value may lie, who is forgotten. Private to the
 * room. */

#include "base/address.h"
#include "base/moment.h"
#include "node/peers.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

/* Whether a key is a peer's presence, and whose. */
bool presence_address(struct bytes key, struct address *address_out);

/* What clocks stand in element 0 of a peer's presence, in whole minutes of the unix epoch: minutes,
 * seconds, milliseconds, microseconds and nanoseconds are told apart by magnitude. 0: neither. */
uint64_t presence_minutes(uint64_t stamp);

/* Minutes for element 0 of a presence that goes to a plain peer: never above our own wall clock. 0:
 * nothing is known. `peer` NULL: our own. */
uint64_t presence_stamp(const struct node *node, struct moment now, const struct peer *peer);

/* A clock for bounds only: see vignette(7), "Bounds". */
uint64_t presence_now_s(const struct node *node, struct moment now);

/* Whether a presence entry is forgotten: dead or left for more than 24 h. */
bool presence_forgotten(const struct node *node, struct moment now, const struct vector *vector);

#endif /* NODE_BOUNDS_H */
