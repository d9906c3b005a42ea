#ifndef NODE_PACE_H
#define NODE_PACE_H

/* How much may leave, and to whom: the node's rate, each peer's window of unacked datagrams, and
 * the credit of addresses that have not shown that they receive where they send from. Every
 * datagram is asked for here before it is encoded and charged here after. Private to the room.
 *
 * Source: vignette(7), "Pacing" and "Strangers"; the window is AIMD, RFC 5681, in datagrams. */

#include "base/address.h"
#include "base/moment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;

#define PACE_WINDOW_MIN  2
#define PACE_WINDOW_MAX  64
#define PACE_BURST_BYTES 19200 /* 16 full datagrams, or */
#define PACE_BURST_US    2000  /* what a high rate brings while a timer of 1 ms is waited for */

/* The most that may leave at once at a rate. What one peer gets of it is bounded by its window, so
 * that a high rate fills no receive queue. */
static inline uint64_t pace_burst_bytes(uint64_t bytes_per_second)
{
    const uint64_t bytes = bytes_per_second / (1000000 / PACE_BURST_US);

    return bytes < PACE_BURST_BYTES ? PACE_BURST_BYTES : bytes;
}

/* Begin with a full burst. False: no memory. */
bool pace_create(struct node *node, struct moment now);
void pace_free(struct node *node);

/* Bytes may leave now at all. Acks may always. */
bool pace_rate_allows(struct node *node, struct moment now);

/* When pace_rate_allows() will say yes; not before `now`. */
uint64_t pace_due_us(const struct node *node, struct moment now);

/* A datagram of at most `size` bytes may go to this peer as far as its credit is concerned
 * (node/credit.h); a refusal is counted. A seed was named by a person, not by whoever sends from
 * its address: small datagrams of first contact always go there. */
bool pace_credit_allows(struct node *node, const struct peer *peer, size_t size);

/* One more datagram may be unacked at this peer. */
bool pace_window_allows(const struct peer *peer);

/* A datagram came or left. pace_charge() is for what left to no peer, or was paid for before: it
 * is charged to the rate alone. */
void pace_received(struct peer *peer, size_t size);
void pace_charge(struct node *node, struct moment now, size_t size);
void pace_sent(struct node *node, struct moment now, struct peer *peer, size_t size);

/* An ack came, or did not in time: the window follows. `in_flight` is the outbox's. */
void pace_acked(struct peer *peer);
void pace_lost(struct peer *peer);

/* Retransmission time-out: 4 * srtt, at least 100 ms and at most 3 s. Of a peer that was not
 * measured the srtt is taken for that of all: in a large cluster most are such, and across an ocean
 * all that is sent to them would be sent again in vain. */
uint64_t pace_rto_us(const struct node *node, const struct peer *peer);

/* A round trip was measured. */
void pace_measured(struct node *node, struct peer *peer, uint64_t rtt_us);

#endif /* NODE_PACE_H */
