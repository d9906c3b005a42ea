#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

/* Seeds are names: this finds the addresses they have now, and again every minute, for ever, so
 * that a seed which moves is found. Never blocks the loop (libevent's evdns, which also reads
 * /etc/hosts; that and resolv.conf are read anew each time), and what is known does not wait for
 * a name server that never answers. Sources that only nsswitch.conf(5) knows, such as mDNS or LDAP,
 * are not asked. Called by main; hands complete lists to its owner. */

#include "base/address.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct log;
struct resolver; /* opaque */

#define RESOLVE_INTERVAL_S    60 /* between two rounds: as long as a short DNS lifetime */
#define RESOLVE_RETRY_S       5  /* after a round in which a name failed and none is known yet */
#define RESOLVE_ADDRESSES_MAX 256
#define RESOLVE_SEEDS_MAX     256
#define RESOLVE_HOST_MAX      255

/* A host and a port that somebody wrote: a name, an IPv4 or an IPv6 literal without brackets. */
struct resolve_seed {
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
};

struct resolve_options {
    struct event_base *base;
    struct log *log;
    void *owner;

    /* The addresses of all seeds now; called when it has changed. What a name that fails now had
     * before is kept. */
    void (*resolved)(void *owner, const struct address *addresses, size_t count);
};

MUST_CHECK enum status resolver_create(const struct resolve_options *options,
                                       struct resolver **resolver_out, struct fault *why);

/* Ask nothing any more. evdns gives the memory of what it was asked back when the loop next turns,
 * so this comes a turn or more before resolver_free(). */
void resolver_stop(struct resolver *resolver);
void resolver_free(struct resolver *resolver);

/* Take a new list, at most RESOLVE_SEEDS_MAX, and begin at once. A name that stood in the old one
 * keeps the addresses it had until it answers again. */
void resolver_seeds(struct resolver *resolver, const struct resolve_seed *seeds, size_t count);

/* One name, now and blocking, for what is needed to start (`listen`, `advertise`). Asks whatever
 * nsswitch.conf(5) says.
 *
 * STATUS_INVALID: no such host; `why` says so. */
MUST_CHECK enum status resolve_now(const struct resolve_seed *seed, struct address *address_out,
                                   struct fault *why);

/* "host:port", "[v6]:port", or a bare port with the default host. False: none of these. */
bool resolve_seed_from_text(const char *text, const char *host_default,
                            struct resolve_seed *seed_out);

/* The local address that datagrams to `to` leave from, port 0. STATUS_SYSTEM: no route. */
MUST_CHECK enum status resolve_route(const struct address *to, struct address *local_out,
                                     struct fault *why);

#endif /* NET_RESOLVE_H */
