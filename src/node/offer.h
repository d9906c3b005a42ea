#ifndef NODE_OFFER_H
#define NODE_OFFER_H

/* What takes part in anti-entropy: not what is forgotten, nor what may still be under way. Private
 * to the room. */

#include "base/moment.h"
#include "node/peers.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

/* By what a block of a key is remembered. */
uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number);

/* Whether a key counts in exchanges: a forgotten presence does not. */
bool sync_exists(const struct node *node, struct moment now, const struct entry *entry);

/* Whether a block of a key is sent to this peer by anti-entropy: not while a change of it may still
 * be under way, unless exchanges with the peer have come to nothing for a while. */
bool sync_offers(const struct node *node, struct moment now, const struct peer *peer,
                 const struct entry *entry, uint64_t number);

#endif /* NODE_OFFER_H */
