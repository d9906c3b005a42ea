#ifndef NODE_CONTACT_H
#define NODE_CONTACT_H

/* First contact, for ever: seeds and introduced addresses, hellos to whom we know and have not
 * heard, strangers' records that came to nothing, and the good-bye. Private to the room.
 *
 * Source: vignette(7), "Presence" and "Extended datagrams". */

#include "base/address.h"
#include "base/moment.h"
#include "base/status.h"
#include "node/node.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;
struct flight;

#define CONTACT_LEAVE_MAX  8  /* members that are told of our leaving directly */
#define CONTACT_DOOMED_MAX 16 /* records dropped in one turn */

/* Open, because it is embedded in the node; only node/contact.c touches the fields. */
struct contact {
    struct address seeds[NODE_SEEDS_MAX]; /* configured ones, then introduced ones */
    uint32_t seeds_count;
    uint32_t seeds_configured;
    uint64_t seeds_due_us;
    uint64_t seeds_wait_us; /* back-off of the next round */
    uint64_t sweep_due_us;
    uint64_t alone_us; /* when we last had no member */
    uint32_t sweep;    /* position of the next peer to look at */
    uint32_t doomed_count;
    struct peer *doomed[CONTACT_DOOMED_MAX]; /* dropped when the turn ends */
    struct peer *leave[CONTACT_LEAVE_MAX];   /* to be told, NULL: done */
    uint8_t leave_tries[CONTACT_LEAVE_MAX];  /* sent so often */
    bool leave_under_way[CONTACT_LEAVE_MAX]; /* waits for its ack */
    bool leaving;
};

void contact_init(struct node *node, struct moment now);

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

/* The record goes when the turn ends. */
void contact_doom(struct node *node, struct peer *peer);

void contact_acked(struct node *node, const struct flight *flight);
void contact_lost(struct node *node, const struct flight *flight);

void contact_tick(struct node *node, struct moment now);
uint64_t contact_due_us(const struct node *node);

/* One good-bye. 0: none to send now. */
size_t contact_emit(struct node *node, struct moment now, struct space space, struct address *to);
void contact_drop_peer(struct node *node, const struct peer *peer);

#endif /* NODE_CONTACT_H */
