#ifndef NODE_PLAIN_H
#define NODE_PLAIN_H

/* The plain level: what every vignette ever written speaks, and the care its two prototypes need
 * (vignette(7), "Plain messages" and "The prototypes"): dialects, bursts and quiet, minutes as
 * stamps, no presence across dialects, questions. Private to the room. */

#include "base/moment.h"
#include "node/peers.h"
#include "store/marks.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

/* Nobody is to be told anything. False: no memory. */
bool plain_create(struct node *node);
void plain_free(struct node *node);

/* Queue a mark for one plain peer; ttl 0 queues nothing. */
void plain_queue(struct node *node, struct moment now, struct peer *peer, struct entry *entry,
                 const struct mark *mark, uint8_t ttl);

/* Queue all there is of a key for one plain peer, in O(1). */
void plain_queue_all(struct node *node, struct moment now, struct peer *peer, struct entry *entry,
                     uint8_t ttl);

/* Queue a mark for plain peers by the plain rule: all of at most 8 live ones, else 4 at random;
 * not for `except`. For networks without extended members; push covers plain members otherwise. */
void plain_spread(struct node *node, struct moment now, struct entry *entry,
                  const struct mark *mark, uint8_t ttl, const struct peer *except);

/* First contact and introductions: our presence in full, and a question for `n:%` where wanted. */
void plain_introduce(struct node *node, struct moment now, struct peer *peer, bool query);

/* We leave: tell a plain peer so, in so many elements. */
void plain_leave(struct node *node, struct moment now, struct peer *peer);

/* Ask a few plain peers for the rest of a key, within the budget of questions. */
void plain_ask(struct node *node, struct moment now, struct entry *entry);

/* Answer a question for all we have of a key. */
void plain_answer(struct node *node, struct moment now, struct peer *to, struct bytes key,
                  uint8_t ttl);

/* Begin to answer a question for many keys; none of a peer of our kind, which has anti-entropy. */
void plain_search(struct node *node, struct moment now, struct peer *from, const struct item *item,
                  uint8_t ttl);

void plain_tick(struct node *node, struct moment now);
uint64_t plain_due_us(const struct node *node);
size_t plain_emit(struct node *node, struct moment now, struct space space, struct address *to);
void plain_drop_peer(struct node *node, struct peer *peer);
void plain_drop_entries(struct node *node, struct drops drops);

/* How many queues there are: each may name a key that is dropped. */
uint32_t plain_queues(const struct node *node);

#endif /* NODE_PLAIN_H */
