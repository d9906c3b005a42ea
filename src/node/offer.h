#ifndef NODE_OFFER_H
#define NODE_OFFER_H

/* What takes part in anti-entropy: not what is forgotten, nor what may still be under way. Private
 * to the room. */

#include "base/moment.h"
#include "store/table.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct exchange;

/* Exchanges that ended as they began, after which what may be under way is sent all the same. */
#define PATIENT_ROUNDS 2

/* By what a block of a key is remembered. */
uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number);

/* Whether a key counts in exchanges: a forgotten presence does not. */
bool sync_exists(const struct node *node, struct moment now, const struct entry *entry);

/* Our store refused a key lately: it asks for nothing new, as our `F` says. */
bool sync_is_full(const struct node *node, struct moment now);

/* Whether a block changed so lately that it may be under way by push. */
bool offer_is_hot(const struct node *node, struct moment now, const struct entry *entry,
                  uint64_t number);

/* Whether the peer and we differ, or differed a moment ago, in more than what is under way: then
 * nothing is left out, so that no rest remains which is under way whenever it is looked at. */
bool offer_is_behind(struct moment now, const struct exchange *exchange, enum table_set set);

/* Whether a block of a key is sent in this exchange: not while a change of it may be under way,
 * unless the peer is behind, or exchanges with it have come to nothing for a while. */
bool sync_offers(const struct node *node, struct moment now, const struct exchange *exchange,
                 const struct entry *entry, uint64_t number);

#endif /* NODE_OFFER_H */
