#include "net/resolve.h"

#include "base/text.h"
#include "log/log.h"
#include "net/sockaddr.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLVE_PER_SEED_MAX 16 /* addresses of one name */

/* One name and what it had when it last answered. */
struct resolve_name {
    struct resolver *resolver;
    struct resolve_seed seed;
    struct evdns_getaddrinfo_request *request; /* NULL: none under way */
    struct address addresses[RESOLVE_PER_SEED_MAX];
    size_t count;
    bool failed;
};

struct resolver {
    struct resolve_options options;
    struct evdns_base *dns;
    struct event *timer;
    struct resolve_name names[RESOLVE_SEEDS_MAX];
    struct resolve_name before[RESOLVE_SEEDS_MAX]; /* while a list takes the place of another */
    size_t count;
    size_t waiting; /* names whose answer is not here yet */
    struct address last[RESOLVE_ADDRESSES_MAX];
    size_t last_count;
    bool asking; /* answers that come while we ask do not end the round */
};

/* Tell the owner when the union of all names' addresses is another one. */
static void resolver_publish(struct resolver *resolver)
{
    struct address all[RESOLVE_ADDRESSES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < resolver->count; i++) {
        const struct resolve_name *name = &resolver->names[i];

        for (size_t j = 0; j < name->count && count < RESOLVE_ADDRESSES_MAX; j++) {
            all[count++] = name->addresses[j];
        }
    }
    if (count != resolver->last_count || memcmp(all, resolver->last, count * sizeof all[0]) != 0) {
        memcpy(resolver->last, all, count * sizeof all[0]);
        resolver->last_count = count;
        resolver->options.resolved(resolver->options.owner, all, count);
    }
}

static void resolver_round_end(struct resolver *resolver)
{
    struct timeval wait = { .tv_sec = RESOLVE_INTERVAL_S };

    for (size_t i = 0; i < resolver->count; i++) {
        if (resolver->names[i].failed && resolver->names[i].count == 0) {
            wait.tv_sec = RESOLVE_RETRY_S;
        }
    }
    (void)event_add(resolver->timer, &wait);
}

static void resolver_take(struct resolve_name *name, const struct evutil_addrinfo *list)
{
    struct address address;

    name->count = 0;
    for (; list != NULL && name->count < RESOLVE_PER_SEED_MAX; list = list->ai_next) {
        bool known = false;

        if (!sockaddr_get(list->ai_addr, &address)) {
            continue;
        }
        address.port = name->seed.port;
        for (size_t i = 0; i < name->count; i++) {
            known = known || address_compare(&name->addresses[i], &address) == 0;
        }
        if (!known) {
            name->addresses[name->count++] = address;
        }
    }
}

static void resolver_on_answer(int result, struct evutil_addrinfo *list, void *argument)
{
    struct resolve_name *name = argument;
    struct resolver *resolver;

    if (result == EVUTIL_EAI_CANCEL) {
        return; /* the name itself is gone by now: the list was replaced, or the daemon ends */
    }
    resolver = name->resolver;
    name->request = NULL;
    name->failed = result != 0;
    if (result == 0) {
        resolver_take(name, list);
        evutil_freeaddrinfo(list);
    } else {
        log_event(resolver->options.log, LOG_LEVEL_WARN, "seed_unresolved",
                  log_string("host", name->seed.host), log_number("port", name->seed.port),
                  log_string("reason", evutil_gai_strerror(result)),
                  log_string("hint", "check the name and the name server; trying on"));
    }
    resolver->waiting--;
    if (!resolver->asking) {
        resolver_publish(resolver);
        if (resolver->waiting == 0) {
            resolver_round_end(resolver);
        }
    }
}

static void resolver_ask(struct resolver *resolver)
{
    const struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
                                           .ai_socktype = SOCK_DGRAM,
                                           .ai_protocol = IPPROTO_UDP };

    resolver->asking = true;
    resolver->waiting = resolver->count;
    for (size_t i = 0; i < resolver->count; i++) {
        struct resolve_name *name = &resolver->names[i];
        struct evdns_getaddrinfo_request *request;

        /* An answer known at once comes before this returns, and then NULL does. */
        request = evdns_getaddrinfo(resolver->dns, name->seed.host, NULL, &hints,
                                    resolver_on_answer, name);
        if (request != NULL) {
            name->request = request;
        }
    }
    resolver->asking = false;
    resolver_publish(resolver); /* literals wait for no name server */
    if (resolver->waiting == 0) {
        resolver_round_end(resolver);
    }
}

/* Without a readable resolv.conf there are still literals and /etc/hosts. NULL: no memory. */
static struct evdns_base *resolver_open(struct event_base *base)
{
    struct evdns_base *dns =
        evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);

    if (dns == NULL) {
        dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (dns != NULL) {
            (void)evdns_base_load_hosts(dns, "/etc/hosts");
        }
    }
    return dns;
}

/* evdns reads resolv.conf and /etc/hosts only when it is opened, and either may have changed. No
 * request is under way between two rounds. */
static void resolver_on_timer(evutil_socket_t fd, short events, void *argument)
{
    struct resolver *resolver = argument;
    struct evdns_base *fresh = resolver_open(resolver->options.base);

    (void)fd;
    (void)events;
    if (fresh != NULL) {
        evdns_base_free(resolver->dns, 0);
        resolver->dns = fresh;
    }
    resolver_ask(resolver);
}

enum status resolver_create(const struct resolve_options *options, struct resolver **resolver_out,
                            struct fault *why)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);

    if (resolver == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory to resolve seeds");
    }
    resolver->options = *options;
    resolver->dns = resolver_open(options->base);
    resolver->timer = event_new(options->base, -1, 0, resolver_on_timer, resolver);
    if (resolver->dns == NULL || resolver->timer == NULL) {
        resolver_free(resolver);
        return fault_set(why, STATUS_MEMORY, "no memory to resolve seeds");
    }
    *resolver_out = resolver;
    return STATUS_OK;
}

/* Cancelled requests still call back, later: resolver_on_answer() then looks at nothing. */
static void resolver_cancel(struct resolver *resolver)
{
    for (size_t i = 0; i < resolver->count; i++) {
        if (resolver->names[i].request != NULL) {
            evdns_getaddrinfo_cancel(resolver->names[i].request);
            resolver->names[i].request = NULL;
        }
    }
}

void resolver_stop(struct resolver *resolver)
{
    resolver_cancel(resolver);
    (void)event_del(resolver->timer);
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    resolver_cancel(resolver);
    if (resolver->dns != NULL) {
        evdns_base_free(resolver->dns, 0);
    }
    if (resolver->timer != NULL) {
        event_free(resolver->timer);
    }
    free(resolver);
}

/* A name of the new list; what it had in the old one is kept, whether it answers now or not. */
static void resolver_place(struct resolver *resolver, size_t position, size_t before_count,
                           const struct resolve_seed *seed)
{
    struct resolve_name *name = &resolver->names[position];

    *name = (struct resolve_name){ .resolver = resolver, .seed = *seed };
    for (size_t i = 0; i < before_count; i++) {
        const struct resolve_name *before = &resolver->before[i];

        if (before->seed.port == seed->port && strcmp(before->seed.host, seed->host) == 0) {
            *name = *before;
        }
    }
}

void resolver_seeds(struct resolver *resolver, const struct resolve_seed *seeds, size_t count)
{
    const size_t before_count = resolver->count;

    assert(count <= RESOLVE_SEEDS_MAX);
    resolver_cancel(resolver);
    (void)event_del(resolver->timer);
    memcpy(resolver->before, resolver->names, before_count * sizeof resolver->names[0]);
    for (size_t i = 0; i < count; i++) {
        resolver_place(resolver, i, before_count, &seeds[i]);
    }
    resolver->count = count;
    if (count == 0) {
        resolver_publish(resolver);
    } else {
        resolver_ask(resolver);
    }
}

enum status resolve_now(const struct resolve_seed *seed, struct address *address_out,
                        struct fault *why)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
    struct addrinfo *list;
    const int result = getaddrinfo(seed->host, NULL, &hints, &list);

    if (result != 0) {
        return fault_set(why, STATUS_INVALID, "cannot find the address of '%s': %s", seed->host,
                         gai_strerror(result));
    }
    if (!sockaddr_get(list->ai_addr, address_out)) {
        freeaddrinfo(list);
        return fault_set(why, STATUS_INVALID, "'%s' has no IP address", seed->host);
    }
    freeaddrinfo(list);
    address_out->port = seed->port;
    return STATUS_OK;
}

bool resolve_seed_from_text(const char *text, const char *host_default,
                            struct resolve_seed *seed_out)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon == NULL ? text : colon + 1;
    struct bytes host = { (const uint8_t *)text, colon == NULL ? 0 : (size_t)(colon - text) };
    uint64_t number;

    if (colon == NULL) {
        host = (struct bytes){ (const uint8_t *)host_default, strlen(host_default) };
    } else if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = (struct bytes){ host.data + 1, host.size - 2 };
    } else if (memchr(host.data, ':', host.size) != NULL) {
        return false; /* an IPv6 literal wants brackets, or its port is anybody's guess */
    }
    if (host.size == 0 || host.size > RESOLVE_HOST_MAX
        || !text_get_u64((struct bytes){ (const uint8_t *)port, strlen(port) }, &number)
        || number > UINT16_MAX) {
        return false;
    }
    memcpy(seed_out->host, host.data, host.size);
    seed_out->host[host.size] = '\0';
    seed_out->port = (uint16_t)number;
    return true;
}

enum status resolve_route(const struct address *to, struct address *local_out, struct fault *why)
{
    const int family = sockaddr_family(to);
    struct sockaddr_storage name;
    socklen_t size = sockaddr_put(to, family, &name);
    const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int reason;

    /* Connecting a datagram socket sends nothing; it only chooses the route. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&name, size) != 0) {
        goto fail;
    }
    size = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &size) != 0) {
        goto fail;
    }
    (void)close(fd);
    (void)sockaddr_get((const struct sockaddr *)&name, local_out);
    local_out->port = 0;
    return STATUS_OK;

fail:
    reason = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return fault_set(why, STATUS_SYSTEM, "no route to the first seed: %s", strerror(reason));
}
