#include "net/udp.h"

#include "net/backlog.h"
#include "net/sockaddr.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_RECEIVE_BYTES 65536 /* more than any datagram */
#define UDP_SOURCES       1024  /* peers whose local address is remembered; a power of 2 */

/* What the kernel says beside a datagram: to which address it came, and how many were dropped. */
union udp_control {
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))
              + CMSG_SPACE(sizeof(uint32_t))];
    struct cmsghdr align;
};

struct udp_slot {
    struct sockaddr_storage name;
    struct iovec piece;
    union udp_control control;
};

/* Which of our addresses a peer writes to. */
struct udp_source {
    struct address peer; /* port 0: none */
    uint8_t ip[16];
};

struct udp {
    struct udp_options options;
    struct udp_stats stats;
    struct address address;
    struct event *readable;
    struct event *writable;
    struct event *again; /* the next pass of the loop: something was left over by this one */
    int fd;
    int family;
    bool wildcard;
    bool blocked;
    bool held;              /* nothing more is handed over before udp_send() */
    uint32_t drops_seen;    /* the kernel's counter, which wraps */
    unsigned pending_first; /* encoded and not yet taken by the kernel: first..count - 1 */
    unsigned pending_count;
    struct mmsghdr in[UDP_BATCH];
    struct mmsghdr out[UDP_BATCH];
    struct udp_slot in_slots[UDP_BATCH];
    struct udp_slot out_slots[UDP_BATCH];
    struct udp_source sources[UDP_SOURCES];
    struct backlog backlog; /* for which a pass had no time */
    uint8_t out_bytes[UDP_BATCH][UDP_SEND_BYTES];
    uint8_t in_bytes[UDP_BATCH][UDP_RECEIVE_BYTES];
};

static struct udp_source *udp_source(struct udp *udp, const struct address *peer)
{
    uint32_t hash = peer->port;

    for (size_t i = 0; i < sizeof peer->ip; i++) {
        hash = (hash ^ peer->ip[i]) * UINT32_C(16777619);
    }
    return &udp->sources[(hash ^ hash >> 15) % UDP_SOURCES];
}

/* Remember to which of our addresses the peer wrote. */
static void udp_note_local(struct udp *udp, const struct address *peer, const uint8_t ip[16])
{
    struct udp_source *source = udp_source(udp, peer);

    source->peer = *peer;
    memcpy(source->ip, ip, sizeof source->ip);
}

static void udp_read_control(struct udp *udp, struct msghdr *header, const struct address *from)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t drops;

            memcpy(&drops, CMSG_DATA(c), sizeof drops);
            udp->stats.receive_drops += (uint32_t)(drops - udp->drops_seen);
            udp->drops_seen = drops;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct address local = { .ip = { [10] = 0xff, [11] = 0xff } };
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof info);
            /* Not ipi_addr, which of a broadcast is no address that an answer could leave from. */
            memcpy(local.ip + 12, &info.ipi_spec_dst, 4);
            udp_note_local(udp, from, local.ip);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) {
                udp_note_local(udp, from, (const uint8_t *)&info.ipi6_addr);
            }
        }
    }
}

/* One call to the kernel. Returns how many came: 0 where there is nothing, or an error of one
 * peer's that the next call is free of. */
static unsigned udp_receive_batch(struct udp *udp)
{
    int count;

    for (unsigned i = 0; i < UDP_BATCH; i++) {
        udp->in[i].msg_hdr.msg_namelen = sizeof udp->in_slots[i].name;
        udp->in[i].msg_hdr.msg_controllen = sizeof udp->in_slots[i].control;
        udp->in[i].msg_hdr.msg_flags = 0;
    }
    count = recvmmsg(udp->fd, udp->in, UDP_BATCH, MSG_DONTWAIT, NULL);
    return count <= 0 ? 0 : (unsigned)count;
}

static bool udp_allows(const struct udp *udp)
{
    return udp->options.allows == NULL || udp->options.allows(udp->options.owner);
}

static void udp_hand_over(struct udp *udp, const struct address *from, struct bytes datagram)
{
    udp->options.receive(udp->options.owner, from, datagram);
    udp->held = !udp_allows(udp);
}

/* Hand over what came, or have it wait behind what waits already. */
static void udp_take(struct udp *udp, unsigned i)
{
    const struct bytes datagram = { udp->in_bytes[i], udp->in[i].msg_len };
    struct address from;

    if ((udp->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0
        || !sockaddr_get((const struct sockaddr *)&udp->in_slots[i].name, &from)) {
        return;
    }
    udp->stats.received++;
    udp->stats.received_bytes += datagram.size;
    udp_read_control(udp, &udp->in[i].msg_hdr, &from);
    if (udp->held || !backlog_empty(&udp->backlog)) {
        udp->stats.receive_drops += backlog_put(&udp->backlog, &from, datagram);
    } else {
        udp_hand_over(udp, &from, datagram);
    }
}

/* Empty the kernel's queue, which is one for all: what is behind a flood is to be seen. */
static bool udp_receive_all(struct udp *udp)
{
    const uint64_t bytes_max = udp->stats.received_bytes + UDP_PASS_BYTES_MAX;
    unsigned count = UDP_BATCH;
    bool any = false;

    for (unsigned batches = 0;
         count == UDP_BATCH && batches < UDP_BATCHES_MAX && udp->stats.received_bytes < bytes_max;
         batches++) {
        count = udp_receive_batch(udp);
        for (unsigned i = 0; i < count; i++) {
            udp_take(udp, i);
        }
        any = any || count > 0;
    }
    return any;
}

static void udp_on_readable(evutil_socket_t fd, short events, void *argument)
{
    struct udp *udp = argument;
    struct backlog_datagram *waited;
    bool worked;

    (void)fd;
    (void)events;
    if (udp->held) {
        return;
    }
    worked = udp_receive_all(udp);
    while (!udp->held && (waited = backlog_take(&udp->backlog)) != NULL) {
        udp_hand_over(udp, &waited->from, (struct bytes){ waited->data, waited->size });
        free(waited);
        worked = true;
    }
    if (worked) {
        udp->options.wanted(udp->options.owner);
    }
}

static void udp_on_again(evutil_socket_t fd, short events, void *argument)
{
    struct udp *udp = argument;

    udp_on_readable(fd, events, udp);
    udp->options.wanted(udp->options.owner);
}

/* Have the loop come back in its next pass, after everything else has had its turn. */
static void udp_come_again(struct udp *udp)
{
    static const struct timeval at_once = { .tv_sec = 0 };

    (void)event_add(udp->again, &at_once);
}

static void udp_on_writable(evutil_socket_t fd, short events, void *argument)
{
    struct udp *udp = argument;

    (void)fd;
    (void)events;
    udp->blocked = false;
    udp->options.wanted(udp->options.owner);
}

/* Name the local address that the datagram shall leave from. */
static void udp_put_source(struct udp *udp, struct udp_slot *slot, struct msghdr *header,
                           const struct address *to)
{
    const struct udp_source *source = udp_source(udp, to);
    struct cmsghdr *c = &slot->control.align;

    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (!udp->wildcard || source->peer.port == 0 || address_compare(&source->peer, to) != 0) {
        return;
    }
    memset(&slot->control, 0, sizeof slot->control);
    header->msg_control = &slot->control;
    if (udp->family == AF_INET) {
        struct in_pktinfo info = { 0 };

        memcpy(&info.ipi_spec_dst, source->ip + 12, 4);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof info),
                               .cmsg_level = IPPROTO_IP,
                               .cmsg_type = IP_PKTINFO };
        memcpy(CMSG_DATA(c), &info, sizeof info);
        header->msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in6_pktinfo info = { 0 };

        memcpy(&info.ipi6_addr, source->ip, 16);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof info),
                               .cmsg_level = IPPROTO_IPV6,
                               .cmsg_type = IPV6_PKTINFO };
        memcpy(CMSG_DATA(c), &info, sizeof info);
        header->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

/* Have the batch's free slots encoded. False: the owner has no more. */
static bool udp_fill(struct udp *udp, udp_emit *emit, void *owner)
{
    while (udp->pending_count < UDP_BATCH) {
        const unsigned i = udp->pending_count;
        const struct space space = { udp->out_bytes[i], UDP_SEND_BYTES };
        struct address to;
        const size_t size = emit(owner, space, &to);

        if (size == 0) {
            return false;
        }
        assert(size <= UDP_SEND_BYTES);
        if (udp->family == AF_INET && !address_is_ipv4(&to)) {
            udp->stats.send_errors++; /* no way from an IPv4 socket to an IPv6 peer */
            udp->stats.send_error_to = to;
            udp->stats.send_error = EAFNOSUPPORT;
            continue;
        }
        udp->out_slots[i].piece.iov_len = size;
        udp->out[i].msg_hdr.msg_namelen = sockaddr_put(&to, udp->family, &udp->out_slots[i].name);
        udp_put_source(udp, &udp->out_slots[i], &udp->out[i].msg_hdr, &to);
        udp->pending_count++;
    }
    return true;
}

/* The kernel refused a datagram: no route, a firewall, or an address that was ours once. The next
 * one to this peer leaves from the address that the kernel chooses. */
static void udp_refused(struct udp *udp, const struct udp_slot *slot, int reason)
{
    struct address to;

    udp->stats.send_errors++;
    if (sockaddr_get((const struct sockaddr *)&slot->name, &to)) {
        udp->stats.send_error_to = to;
        udp->stats.send_error = reason;
        udp_source(udp, &to)->peer.port = 0;
    }
}

/* Hand the batch to the kernel. False: the socket is full. */
static bool udp_flush(struct udp *udp)
{
    while (udp->pending_first < udp->pending_count) {
        const int count = sendmmsg(udp->fd, udp->out + udp->pending_first,
                                   udp->pending_count - udp->pending_first, MSG_DONTWAIT);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            udp->stats.send_blocked++;
            return false;
        }
        if (count <= 0) {
            /* This one alone. */
            udp_refused(udp, &udp->out_slots[udp->pending_first++], count < 0 ? errno : EIO);
            continue;
        }
        for (int i = 0; i < count; i++) {
            udp->stats.sent++;
            udp->stats.sent_bytes += udp->out_slots[udp->pending_first++].piece.iov_len;
        }
    }
    udp->pending_first = 0;
    udp->pending_count = 0;
    return true;
}

void udp_send(struct udp *udp, udp_emit *emit, void *owner)
{
    unsigned batches = 0;
    bool more = true;

    if (udp->held) {
        udp->held = false;
        udp_come_again(udp);
    }
    while (more && !udp->blocked) {
        if (batches++ == UDP_SENDS_MAX) {
            udp_come_again(udp);
            break;
        }
        if (udp->pending_count == 0) { /* what a full socket left behind goes first */
            more = udp_fill(udp, emit, owner);
        }
        if (!udp_flush(udp)) {
            udp->blocked = event_add(udp->writable, NULL) == 0;
            more = false;
        }
    }
}

static void udp_prepare(struct udp *udp)
{
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        udp->in_slots[i].piece = (struct iovec){ udp->in_bytes[i], UDP_RECEIVE_BYTES };
        udp->in[i].msg_hdr = (struct msghdr){ .msg_name = &udp->in_slots[i].name,
                                              .msg_iov = &udp->in_slots[i].piece,
                                              .msg_iovlen = 1,
                                              .msg_control = &udp->in_slots[i].control };
        udp->out_slots[i].piece = (struct iovec){ udp->out_bytes[i], 0 };
        udp->out[i].msg_hdr = (struct msghdr){ .msg_name = &udp->out_slots[i].name,
                                               .msg_iov = &udp->out_slots[i].piece,
                                               .msg_iovlen = 1 };
    }
}

/* Options that make things better where the kernel has them; nothing is lost where not. */
static void udp_set_options(struct udp *udp)
{
    const int on = 1;
    const int off = 0;
    const uint64_t wanted = udp->options.receive_buffer_bytes;
    int buffer = wanted > INT32_MAX / 2 ? INT32_MAX / 2 : (int)wanted;
    socklen_t size = sizeof buffer;

    (void)setsockopt(udp->fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    if (setsockopt(udp->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) {
        (void)setsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
    if (getsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &buffer, &size) == 0 && buffer > 0) {
        udp->stats.receive_buffer_bytes = (uint64_t)buffer / 2; /* the kernel counts double */
    }
    if (udp->family == AF_INET6) {
        (void)setsockopt(udp->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (udp->wildcard && udp->family == AF_INET6) {
        (void)setsockopt(udp->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else if (udp->wildcard) {
        (void)setsockopt(udp->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
}

static enum status udp_bind(struct udp *udp, struct fault *why)
{
    struct sockaddr_storage name;
    socklen_t size = sockaddr_put(&udp->options.listen, udp->family, &name);
    char text[ADDRESS_TEXT_MAX];
    const int text_size = (int)address_to_text(&udp->options.listen, text);

    if (bind(udp->fd, (struct sockaddr *)&name, size) != 0) {
        const int reason = errno;

        return fault_set(why, STATUS_SYSTEM, "cannot listen on UDP %.*s: %s%s", text_size, text,
                         strerror(reason),
                         reason == EADDRINUSE ? " (another process has it: choose another port)"
                                              : "");
    }
    size = sizeof name;
    if (getsockname(udp->fd, (struct sockaddr *)&name, &size) != 0) {
        return fault_set(why, STATUS_SYSTEM, "cannot name the UDP socket: %s", strerror(errno));
    }
    (void)sockaddr_get((const struct sockaddr *)&name, &udp->address);
    return STATUS_OK;
}

enum status udp_open(const struct udp_options *options, struct udp **udp_out, struct fault *why)
{
    struct udp *udp = calloc(1, sizeof *udp);
    uint64_t secret = 0;
    enum status status;

    if (udp == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory for the UDP socket's buffers");
    }
    udp->options = *options;
    udp->family = sockaddr_family(&options->listen);
    udp->wildcard = address_is_wildcard(&options->listen);
    udp->fd = socket(udp->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp->fd < 0) {
        status = fault_set(why, STATUS_SYSTEM, "cannot open a UDP socket: %s", strerror(errno));
        goto free_udp;
    }
    udp_prepare(udp);
    /* Without it lanes can be told, and no more. */
    (void)getrandom(&secret, sizeof secret, 0);
    backlog_init(&udp->backlog, secret);
    udp_set_options(udp);
    status = udp_bind(udp, why);
    if (status != STATUS_OK) {
        goto close_socket;
    }
    *udp_out = udp;
    return STATUS_OK;

close_socket:
    (void)close(udp->fd);
free_udp:
    free(udp);
    return status;
}

enum status udp_start(struct udp *udp, struct fault *why)
{
    udp->readable =
        event_new(udp->options.base, udp->fd, EV_READ | EV_PERSIST, udp_on_readable, udp);
    udp->writable = event_new(udp->options.base, udp->fd, EV_WRITE, udp_on_writable, udp);
    udp->again = evtimer_new(udp->options.base, udp_on_again, udp);
    if (udp->readable == NULL || udp->writable == NULL || udp->again == NULL
        || event_add(udp->readable, NULL) != 0) {
        return fault_set(why, STATUS_MEMORY, "no memory to watch the UDP socket");
    }
    return STATUS_OK;
}

void udp_close(struct udp *udp)
{
    if (udp == NULL) {
        return;
    }
    if (udp->readable != NULL) {
        event_free(udp->readable);
    }
    if (udp->writable != NULL) {
        event_free(udp->writable);
    }
    if (udp->again != NULL) {
        event_free(udp->again);
    }
    backlog_clear(&udp->backlog);
    (void)close(udp->fd);
    free(udp);
}

struct address udp_address(const struct udp *udp)
{
    return udp->address;
}

struct udp_stats udp_stats(const struct udp *udp)
{
    return udp->stats;
}
