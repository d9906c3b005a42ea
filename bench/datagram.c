/* What a plain datagram of one element costs, received, decoded and applied, beside a bare drain of
 * the same datagrams in the same run.
 *
 *     datagram [KEYS]        known keys; default 10,000
 *
 * Prints one line a figure, "name value unit":
 *
 *     bare ns                recvmmsg() into buffers, 32 at once, and nothing else
 *     ours ns                the daemon's own way: the event loop, net/udp, node_receive(), the
 *                            turn's end. Every datagram raises an element of a random known key
 *     ratio                  the second by the first
 *
 * Thread CPU time, medians of ROUNDS rounds of ROUND datagrams, the two in turns. Sending is not in
 * it. How many elements rose is checked. */

#include "base/mem.h"
#include "net/udp.h"
#include "node/node.h"
#include "store/table.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "defaults.h"

#define KEYS_DEFAULT  10000
#define KEY_BYTES     20
#define ROUNDS        201
#define ROUND         1000 /* fit into the receive buffer */
#define BATCH         32
#define BUFFER_BYTES  (4 << 20)
#define DATAGRAM_MAX  64
#define DATAGRAM_READ 2048

struct bench {
    struct mem mem;
    struct table *table;
    struct node *node;
    struct event_base *base;
    struct udp *udp;
    struct moment now;
    uint64_t received;
    int bare_fd;
    int send_fd;
    struct sockaddr_in bare_name;
    struct sockaddr_in ours_name;
    uint8_t datagrams[ROUND][DATAGRAM_MAX];
    struct iovec parts[ROUND];
    struct mmsghdr messages[ROUND];
    double bare_ns[ROUNDS];
    double ours_ns[ROUNDS];
    uint64_t keys;
    uint64_t sum;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void must(enum status status, const struct fault *why)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "datagram: %s\n", why == NULL ? status_text(status) : why->text);
        exit(1);
    }
}

static double cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct moment moment_read(void)
{
    struct timespec mono;

    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct moment){ .mono_us =
                                (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000 + 1,
                            .unix_s = (uint64_t)time(NULL) };
}

static int double_compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

static double median(double *list, size_t count)
{
    qsort(list, count, sizeof *list, double_compare);
    return list[count / 2];
}

static void key_put(uint8_t key[KEY_BYTES], uint64_t number)
{
    memcpy(key, "visitors:00000000000", KEY_BYTES);
    for (unsigned i = KEY_BYTES; number > 0; number /= 10) {
        key[--i] = (uint8_t)('0' + number % 10);
    }
}

/* {"key": ..., "vector": {0: value}, "ttl": 1} */
static size_t datagram_put(uint8_t *to, uint64_t number, uint32_t value)
{
    static const uint8_t head[] = { 0x83, 0xa3, 'k', 'e', 'y', 0xa0 | KEY_BYTES };
    static const uint8_t middle[] = { 0xa6, 'v', 'e', 'c', 't', 'o', 'r', 0x81, 0x00, 0xce };
    static const uint8_t tail[] = { 0xa3, 't', 't', 'l', 0x01 };
    const uint32_t big = htonl(value);
    uint8_t *at = to;

    memcpy(at, head, sizeof head);
    at += sizeof head;
    key_put(at, number);
    at += KEY_BYTES;
    memcpy(at, middle, sizeof middle);
    at += sizeof middle;
    memcpy(at, &big, sizeof big);
    at += sizeof big;
    memcpy(at, tail, sizeof tail);
    return (size_t)(at + sizeof tail - to);
}

/* A round's datagrams, to one of the sockets. */
static void round_send(struct bench *bench, struct sockaddr_in *to, uint32_t value)
{
    unsigned sent = 0;

    for (unsigned i = 0; i < ROUND; i++) {
        const uint64_t number = (uint64_t)rand() % bench->keys;

        bench->parts[i] = (struct iovec){ bench->datagrams[i],
                                          datagram_put(bench->datagrams[i], number, value + i) };
        bench->messages[i].msg_hdr = (struct msghdr){
            .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &bench->parts[i], .msg_iovlen = 1
        };
    }
    while (sent < ROUND) {
        const int count = sendmmsg(bench->send_fd, bench->messages + sent, ROUND - sent, 0);

        if (count <= 0) {
            fail("sendmmsg");
        }
        sent += (unsigned)count;
    }
}

static double bare_drain(struct bench *bench)
{
    static uint8_t buffers[BATCH][DATAGRAM_READ];
    static struct sockaddr_storage names[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    unsigned received = 0;
    const double begin = cpu_ns();

    while (received < ROUND) {
        int count;

        for (unsigned i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){ buffers[i], sizeof buffers[i] };
            messages[i].msg_hdr = (struct msghdr){ .msg_name = &names[i],
                                                   .msg_namelen = sizeof names[i],
                                                   .msg_iov = &parts[i],
                                                   .msg_iovlen = 1 };
        }
        count = recvmmsg(bench->bare_fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (count <= 0) {
            fail("recvmmsg: datagrams were lost");
        }
        for (int i = 0; i < count; i++) {
            bench->sum += buffers[i][messages[i].msg_len - 1];
        }
        received += (unsigned)count;
    }
    return (cpu_ns() - begin) / ROUND;
}

static void on_receive(void *owner, const struct address *from, struct bytes datagram)
{
    struct bench *bench = owner;

    if (bench->now.mono_us == 0) {
        bench->now = moment_read();
    }
    node_receive(bench->node, bench->now, from, datagram);
    bench->received++;
}

static size_t on_emit(void *owner, struct space space, struct address *to)
{
    struct bench *bench = owner;

    return node_emit(bench->node, bench->now, space, to);
}

/* The turn, as the daemon has it. */
static void on_wanted(void *owner)
{
    struct bench *bench = owner;

    if (bench->now.mono_us == 0) {
        bench->now = moment_read();
    }
    if (bench->now.mono_us >= node_due_us(bench->node)) {
        node_tick(bench->node, bench->now);
    }
    bench->sum += node_changes(bench->node).count;
    udp_send(bench->udp, on_emit, bench);
    node_turn_end(bench->node);
    bench->now.mono_us = 0;
}

static double ours_drain(struct bench *bench)
{
    const uint64_t until = bench->received + ROUND;
    const double begin = cpu_ns();

    while (bench->received < until) {
        if (udp_stats(bench->udp).receive_drops > 0
            || event_base_loop(bench->base, EVLOOP_NONBLOCK)) {
            fail("datagrams were lost");
        }
    }
    return (cpu_ns() - begin) / ROUND;
}

static int socket_open(struct sockaddr_in *name)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int buffer = BUFFER_BYTES;
    socklen_t size = sizeof *name;

    *name = (struct sockaddr_in){ .sin_family = AF_INET };
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0
        || bind(fd, (const struct sockaddr *)name, sizeof *name) != 0
        || getsockname(fd, (struct sockaddr *)name, &size) != 0) {
        fail("socket");
    }
    return fd;
}

static void keys_create(struct bench *bench)
{
    const struct moment now = moment_read();
    uint8_t key[KEY_BYTES];
    uint64_t value = 1;
    uint8_t offset = 0;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct merge_result merged;
    struct fault why;

    for (uint64_t i = 0; i < bench->keys; i++) {
        struct node_update update;

        key_put(key, i);
        must(node_update_begin(bench->node, (struct bytes){ key, KEY_BYTES }, &update, &why), &why);
        must(node_update_join(bench->node, now, &update, &block, &merged, &why), &why);
        if (i % 256 == 255) {
            node_turn_end(bench->node);
        }
    }
    node_turn_end(bench->node);
}

static void bench_open(struct bench *bench)
{
    const struct table_options table = { .mem = &bench->mem, .digest_mask = UINT64_MAX };
    struct udp_options udp = { .receive_buffer_bytes = BUFFER_BYTES,
                               .owner = bench,
                               .receive = on_receive,
                               .wanted = on_wanted };
    struct node_options options = { NODE_DEFAULTS, .seed = 1 };
    struct address_range trust;
    struct event_config *config = event_config_new();
    struct sockaddr_in name;
    struct fault why;

    if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) != 0
        || (bench->base = event_base_new_with_config(config)) == NULL
        || !address_from_text((struct bytes){ (const uint8_t *)"127.0.0.1:1", 11 }, &udp.listen)
        || !address_range_from_text((struct bytes){ (const uint8_t *)"127.0.0.0/8", 11 }, &trust)) {
        fail("event base");
    }
    event_config_free(config);
    udp.listen.port = 0;
    udp.base = bench->base;
    must(udp_open(&udp, &bench->udp, &why), &why);
    must(udp_start(bench->udp, &why), &why);
    options.self = udp_address(bench->udp);
    options.trust = &trust;
    options.trust_count = 1;
    must(table_create(&table, &bench->table), NULL);
    must(node_create(&options, &bench->mem, bench->table, moment_read(), &bench->node), NULL);
    bench->ours_name =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(options.self.port) };
    bench->ours_name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bench->bare_fd = socket_open(&bench->bare_name);
    bench->send_fd = socket_open(&name);
    keys_create(bench);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    double bare_ns;
    double ours_ns;
    uint64_t raised;

    bench.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS_DEFAULT;
    if (bench.keys == 0) {
        (void)fprintf(stderr, "usage: datagram [KEYS]\n");
        return 64;
    }
    bench_open(&bench);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint32_t value = 2 + i * ROUND; /* rises, so that each one changes something */

        round_send(&bench, &bench.bare_name, value);
        bench.bare_ns[i] = bare_drain(&bench);
        round_send(&bench, &bench.ours_name, value);
        bench.ours_ns[i] = ours_drain(&bench);
    }
    raised = node_stats(bench.node)->elements_raised;
    if (raised != (uint64_t)ROUNDS * ROUND) {
        (void)fprintf(stderr, "datagram: %llu of %u datagrams raised something\n",
                      (unsigned long long)raised, ROUNDS * ROUND);
        return 1;
    }
    bare_ns = median(bench.bare_ns, ROUNDS);
    ours_ns = median(bench.ours_ns, ROUNDS);
    (void)printf("bare %.0f ns\nours %.0f ns\nratio %.2f\n", bare_ns, ours_ns, ours_ns / bare_ns);
    (void)fprintf(stderr, "sum %llu\n", (unsigned long long)bench.sum);
    (void)close(bench.bare_fd);
    (void)close(bench.send_fd);
    udp_close(bench.udp);
    node_free(bench.node);
    table_free(bench.table);
    event_base_free(bench.base);
    return 0;
}
