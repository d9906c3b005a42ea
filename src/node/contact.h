#ifndef NODE_CONTACT_H
#define NODE_CONTACT_H

/* First contact, for ever: seeds and introduced addresses, hellos to whom we know and have not
 * heard, strangers' records that came to nothing, and the good-bye. Private to the room.
 *
 * Source: vignette(7), "Presence" and "Extended datagrams". */

#include "base/address.h"
#include "base/moment.h"
#include "base/status.h"
#include "node/types.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;
struct flight;

#define CONTACT_LEAVE_MAX  8  /* members that are told of our leaving directly */
#define CONTACT_DOOMED_MAX 16 /* records dropped in one turn */

/* No seeds. False: no memory. */
bool contact_create(struct node *node, struct moment now);
void contact_free(struct node *node);

/* How many seeds there are, configured and introduced. */
uint32_t contact_seeds_count(const struct node *node);

/* node_seeds(), node_introduce(), node_forget(), node_leave(), node_has_left(). */
void contact_seeds(struct node *node, struct moment now, const struct address *addresses,
                   size_t count);
MUST_CHECK enum status contact_introduce(struct node *node, struct moment now,
                                         const struct address *address, struct fault *why);
MUST_CHECK enum status contact_forget(struct node *node, struct moment now,
                                      const struct address *address, struct fault *why);
void contact_leave(struct node *node, struct moment now);
bool contact_has_left(const struct node *node);

/* Whether a datagram is our own first contact come back: one of the seeds is our own address under
 * another name. That seed is then left out until the list is next set. */
bool contact_own_address(struct node *node, const struct address *from,
                         const struct message *message);

/* The record goes when the turn ends, where there is room for one more. */
void contact_doom(struct node *node, struct peer *peer);
bool contact_may_doom(const struct node *node);

/* The next of those that go, taken out. NULL: none is left. */
struct peer *contact_take_doomed(struct node *node);

void contact_acked(struct node *node, const struct flight *flight);
void contact_lost(struct node *node, const struct flight *flight);

void contact_tick(struct node *node, struct moment now);
uint64_t contact_due_us(const struct node *node);

/* One good-bye. 0: none to send now. */
size_t contact_emit(struct node *node, struct moment now, struct space space, struct address *to);
void contact_drop_peer(struct node *node, const struct peer *peer);

#endif /* NODE_CONTACT_H */
