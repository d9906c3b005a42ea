#ifndef NODE_CREDIT_H
#define NODE_CREDIT_H

/* What an address may be sent that has not shown that it receives where it sends from: no more
 * bytes than came from there, headers counted, and no more datagrams; besides that a little for
 * everybody, so that a first contact is possible. Whoever sends under another's address so gains
 * nothing by sending here first. Private to the room.
 *
 * Asked and charged by node/pace.c for peers, by node/strangers.c for strangers and by
 * node/outbox.c for first words. Who is trusted or validated is not limited: node_trusts().
 *
 * Source: vignette(7), "Strangers"; the same rule as RFC 9000, section 8.1, with a factor of 1. */

#include "base/address.h"
#include "base/moment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

#define CREDIT_FLOOR_BYTES 128   /* of the one datagram a second and network, headers apart */
#define CREDIT_FLOOR_RATE  64000 /* bytes a second of those to all networks, headers counted */
#define CREDIT_FLOOR_NETS  256   /* two that share a place share its datagram */
#define CREDIT_BYTES_MAX   (64 * 1024) /* saved up; more was not sent to be answered */

/* Of one address. All 0: nothing came. */
struct credit {
    int32_t bytes;
    uint16_t datagrams;
};

/* What all networks have together: all of it. False: no memory. */
bool credit_create(struct node *node, struct moment now);
void credit_free(struct node *node);

/* A keyed hash of an address's network. */
uint64_t credit_net(const struct node *node, const struct address *address);

/* A datagram of so many bytes came. */
void credit_received(struct credit *credit, size_t size);

/* A trusted peer told of this address, in about as many bytes: one small datagram may go there. */
void credit_told(struct credit *credit);

/* Bytes that the next datagram to this address may have, headers apart. 0: none may go. */
size_t credit_room(struct node *node, struct moment now, const struct address *address,
                   const struct credit *credit);

/* A datagram of so many bytes goes there: out of what came while that lasts, else out of what all
 * may have. */
void credit_spend(struct node *node, struct moment now, const struct address *address,
                  struct credit *credit, size_t size);

#endif /* NODE_CREDIT_H */
