#ifndef NODE_STRANGERS_H
#define NODE_STRANGERS_H

/* Addresses that nobody vouches for: not in `trust`, and not yet shown to receive where they send
 * from. They are no peers. Nothing of them enters the store but data, none is a member, and what
 * they get is at most what they sent (node/credit.h), in a share of the rate of their own:
 *
 *     who says that it speaks extended    a challenge: our token, and its own token back
 *     who asks for a key, or tells of     elements of that key, as many as its credit allows
 *       one of which we have more
 *     who asks for all presence           our own
 *
 * Who echoes the token becomes a peer; the token is a keyed hash of the address and the time, so
 * that nothing has to be remembered for that. Private to the room; node_receive() and node_emit()
 * call it.
 *
 * The table is small, since a record matters for the time of one answer only. Where it is full the
 * oldest of the network with most records goes, so that one network does not drive out the others.
 * It is the SYN cache of TCP (Lemon, "Resisting SYN flood DoS attacks with a SYN cache", 2002). */

#include "base/address.h"
#include "base/moment.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

#define STRANGERS_MAX   1024 /* a hundred a second and then some time to answer; 150 kB */
#define STRANGERS_NETS  64   /* lists of networks, /24 of IPv4 and /56 of IPv6, by a keyed hash */
#define STRANGERS_CELLS 256  /* lists of the look-up */
#define STRANGERS_SHARE 4    /* answers to them take at most so much of the rate: a quarter */

/* None. False: no memory. */
bool strangers_create(struct node *node, struct moment now);
void strangers_free(struct node *node);

/* Whether a datagram shows that its sender receives where it sends from: it names the id of its
 * address and echoes the token that this address was sent. It then is no stranger any more: what is
 * kept of it as one is forgotten. */
bool strangers_echoes(struct node *node, struct moment now, const struct address *from,
                      const struct message *message);

/* A datagram of so many bytes came from a stranger. */
void strangers_receive(struct node *node, struct moment now, const struct address *from,
                       const struct message *message, size_t size);

/* One datagram to a stranger. 0: none may leave now. What there is no credit for is refused,
 * counted and forgotten. */
size_t strangers_emit(struct node *node, struct moment now, struct space space, struct address *to);

/* When one may leave; UINT64_MAX: nobody is to be told anything. */
uint64_t strangers_due_us(const struct node *node, struct moment now);

/* Abort unless every invariant above holds. */
void strangers_audit(const struct node *node);

#endif /* NODE_STRANGERS_H */
