#ifndef NET_BACKLOG_H
#define NET_BACKLOG_H

/* Datagrams that came out of the kernel and for which the pass had no time. They wait by source and
 * are taken in turns, so that whoever sends much waits for itself and holds up nobody else's acks.
 * Private to the room; used by udp.c. Does no I/O.
 *
 * Hosts take turns, and in a host's turn its sources do: thousands of ports of one host, or
 * addresses of one IPv6 network (address_host()), get no more than one. Hosts share a fixed number
 * of groups by a keyed hash, and the sources of a group its lanes; nobody can choose whose lane it
 * shares. Where memory is used up, the longest lane of the group that keeps most loses its oldest
 * datagram.
 *
 * Source: McKenney, "Stochastic Fairness Queueing" (1990), with datagrams for a quantum. */

#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define BACKLOG_HOSTS     128
#define BACKLOG_LANES     16        /* of each */
#define BACKLOG_BYTES_MAX (4 << 20) /* as much as a receive buffer usually has */

struct backlog_datagram {
    STAILQ_ENTRY(backlog_datagram) link;
    struct address from;
    size_t size;
    uint8_t data[];
};

struct backlog_lane {
    STAILQ_HEAD(, backlog_datagram) datagrams;
    TAILQ_ENTRY(backlog_lane) turn; /* while it has datagrams */
    size_t bytes;
};

struct backlog_host {
    struct backlog_lane lanes[BACKLOG_LANES];
    TAILQ_HEAD(, backlog_lane) turns; /* lanes with datagrams; the first is next */
    TAILQ_ENTRY(backlog_host) turn;   /* while it has some */
    size_t bytes;
};

/* Open, because it is embedded; only net/backlog.c touches the fields. */
struct backlog {
    struct backlog_host hosts[BACKLOG_HOSTS];
    TAILQ_HEAD(, backlog_host) turns; /* hosts with datagrams; the first is next */
    uint64_t secret;
    size_t bytes;
};

void backlog_init(struct backlog *backlog, uint64_t secret);

/* Drop all that waits. */
void backlog_clear(struct backlog *backlog);

static inline bool backlog_empty(const struct backlog *backlog)
{
    return TAILQ_EMPTY(&backlog->turns);
}

/* Keep a copy. Returns how many datagrams were dropped for it, this one among them where there is
 * no memory. */
unsigned backlog_put(struct backlog *backlog, const struct address *from, struct bytes datagram);

/* The next one, the caller's to free(); NULL: none waits. */
struct backlog_datagram *backlog_take(struct backlog *backlog);

#endif /* NET_BACKLOG_H */
