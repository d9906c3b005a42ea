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
static inline bool presence_address(struct bytes key, struct address *address_out)
{
    return address_from_presence(key, address_out);
}

#define STAMP_FRESH_MIN 3 /* a stranger's stamp older than this is history */

/* What clocks stand in element 0 of a peer's presence, in whole minutes of the unix epoch: minutes,
 * seconds, milliseconds, microseconds and nanoseconds are told apart by magnitude. 0: neither. */
uint64_t presence_minutes(uint64_t stamp);

/* A stamp came: minutes, never beyond our wall clock, kept in the record. One that rises is a sign
 * of life of a plain peer that we have heard ourselves before. */
void presence_stamp_receive(struct moment now, struct peer *peer, uint64_t stamp);

/* Minutes for element 0 of a presence that goes to the plain peer `to`: never above our own wall
 * clock, nor above what `to` has told by its stamps and the time since. Two prototypes that get a
 * stamp ahead of their clock answer each other for ever. Who told none gets the oldest stamp there
 * is, and answers with its own. 0: nothing is known. `peer` NULL: our own. */
uint64_t presence_stamp(struct moment now, const struct peer *peer, const struct peer *to);

/* A plain peer told a stamp: its clock is not before it. */
void presence_stamp_told(struct moment now, struct peer *from, uint64_t stamp);

/* A clock for bounds only: see vignette(7), "Bounds". */
uint64_t presence_now_s(const struct node *node, struct moment now);

/* Whether a presence entry is forgotten: dead or left for more than 24 h. */
bool presence_forgotten(const struct node *node, struct moment now, const struct vector *vector);

#endif /* NODE_BOUNDS_H */
