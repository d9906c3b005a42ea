#ifndef NET_UDP_H
#define NET_UDP_H

/* The gossip socket. Receives in batches and hands each datagram to its owner; sends what its owner
 * encodes when asked. Keeps no queue: a datagram is encoded when the socket has room, straight into
 * the buffers of the next sendmmsg(2).
 *
 * What comes while a pass has no more time is read all the same and waits by source
 * (net/backlog.h): the kernel's queue is one for all, and an ack behind a flood would be too late.
 *
 * Called by main alone. It never looks into a datagram and knows no node.
 *
 * Answers leave from the address that the question came to, also when the socket listens on all
 * of them: the address to which a peer last wrote is remembered in a table of fixed size.
 *
 * A socket on [::] takes and sends IPv4 too, whatever net.ipv6.bindv6only says. */

#include "base/address.h"
#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct udp; /* opaque */

#define UDP_SEND_BYTES     2048 /* of a datagram: more than any that the node makes */
#define UDP_BATCH          32   /* datagrams a system call */
#define UDP_BATCHES_MAX    16 /* receive calls a pass of the loop: HTTP and timers get their turn */
#define UDP_PASS_BYTES_MAX (2 << 20) /* received in a pass: above, one batch more ends it */
#define UDP_SENDS_MAX      8         /* batches sent in a pass, likewise */

struct udp_options {
    struct event_base *base;
    struct address listen;         /* port 0: any */
    uint64_t receive_buffer_bytes; /* asked of the kernel, which may give less */
    void *owner;                   /* handed to those below */

    /* A datagram came; it is valid during the call. */
    void (*receive)(void *owner, const struct address *from, struct bytes datagram);
    /* Work was done, or the socket has room again, or more could be sent: a turn is due. */
    void (*wanted)(void *owner);
    /* Whether more may be handed over in this pass of the loop; NULL: always. What comes out of the
     * kernel then waits for the next pass, after udp_send(), and its sources are served in turns. A
     * pass hands over one datagram at least, whatever this says: so whoever makes work elsewhere
     * stops no gossip. */
    bool (*allows)(void *owner);
};

/* Encode the next datagram into the space, UDP_SEND_BYTES, and say where it goes; 0: none. */
typedef size_t udp_emit(void *owner, struct space space, struct address *to);

struct udp_stats {
    uint64_t received;
    uint64_t received_bytes;
    uint64_t receive_drops; /* no room in the kernel (SO_RXQ_OVFL) or in the backlog */
    uint64_t sent;
    uint64_t sent_bytes;
    uint64_t send_errors;          /* datagrams that the kernel refused for good */
    struct address send_error_to;  /* where the last of them was to go, */
    int send_error;                /* and why: an errno */
    uint64_t send_blocked;         /* how often the socket was full */
    uint64_t receive_buffer_bytes; /* what the kernel gave */
};

/* Open and bind the socket, without reading from it yet. *udp_out is written only on STATUS_OK.
 *
 * STATUS_SYSTEM: `why` names the address and the reason. */
MUST_CHECK enum status udp_open(const struct udp_options *options, struct udp **udp_out,
                                struct fault *why);

/* Begin to read. STATUS_MEMORY: libevent could not. */
MUST_CHECK enum status udp_start(struct udp *udp, struct fault *why);

void udp_close(struct udp *udp);

/* The address it is bound to, with the real port. */
struct address udp_address(const struct udp *udp);

/* Send until `emit` has no more, or for this pass UDP_SENDS_MAX batches, and then wanted() is
 * called in the next pass; or until the socket is full, and wanted() is called once there is room.
 * What was encoded and did not leave goes first the next time. To be called at the end of every
 * pass in which a datagram was handed over. */
void udp_send(struct udp *udp, udp_emit *emit, void *owner);

struct udp_stats udp_stats(const struct udp *udp);

#endif /* NET_UDP_H */
