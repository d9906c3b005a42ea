#include "main/report.h"

#include "http/server.h"
#include "log/log.h"
#include "net/udp.h"
#include "node/node.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_SEED_WAIT_US UINT64_C(10000000) /* before a seed that does not answer is told */
#define REPORT_SEED_WAIT_MAX \
    UINT64_C(3600000000) /* between two such lines: it doubles until then */

/* A seed's address, and when it is to be told that it does not answer. */
struct report_seed {
    struct address address;
    uint64_t since_us; /* asked, or last seen alive */
    uint64_t due_us;
};

struct report {
    struct report_options at;
    struct node_stats node_last;
    struct http_stats http_last;
    struct udp_stats udp_last;
    uint64_t peers_last[PEER_STATE_COUNT];
    struct report_seed seeds[NODE_SEEDS_MAX];
    size_t seeds_count;
    bool has_told_loopback;
};

struct report *report_create(const struct report_options *options)
{
    struct report *report = calloc(1, sizeof *report);

    if (report != NULL) {
        report->at = *options;
    }
    return report;
}

void report_free(struct report *report)
{
    free(report);
}

/* The field of an address; `text` is where it is written, and stays until the line is logged. */
static struct log_field report_address(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    const size_t size = address_to_text(address, text);

    return log_text("address", (struct bytes){ (const uint8_t *)text, size });
}

/* Counters of the node that are a line where they rose. */
static const struct report_rise {
    const char *event;
    size_t offset; /* in struct node_stats */
    enum log_level level;
} report_rises[] = {
    { "keys_refused", offsetof(struct node_stats, refused_keys), LOG_LEVEL_WARN },
    { "values_refused", offsetof(struct node_stats, refused_values), LOG_LEVEL_WARN },
    { "memory_refused", offsetof(struct node_stats, memory_refused), LOG_LEVEL_WARN },
    { "max_keep_refused", offsetof(struct node_stats, refused_max_keep), LOG_LEVEL_WARN },
    { "generations_refused", offsetof(struct node_stats, refused_generations), LOG_LEVEL_DEBUG },
    { "presence_refused", offsetof(struct node_stats, refused_presence), LOG_LEVEL_DEBUG },
    { "cluster_refused", offsetof(struct node_stats, refused_cluster), LOG_LEVEL_DEBUG },
};

static void report_rise(struct report *report, enum log_level level, const char *event,
                        uint64_t now, uint64_t before)
{
    if (now > before) {
        log_event(report->at.log, level, event, log_number("count", now - before),
                  log_number("total", now));
    }
}

static void report_drops(struct report *report, const struct node_stats *now)
{
    for (size_t i = 0; i < WIRE_DROP_COUNT; i++) {
        const uint64_t before = report->node_last.dropped[i];

        if (now->dropped[i] > before) {
            log_event(report->at.log, LOG_LEVEL_DEBUG, "datagrams_dropped",
                      log_string("reason", wire_drop_label((enum wire_drop)i)),
                      log_number("count", now->dropped[i] - before),
                      log_number("total", now->dropped[i]));
        }
    }
}

static void report_peers(struct report *report)
{
    uint64_t counts[PEER_STATE_COUNT];

    node_peer_counts(report->at.node, counts);
    if (memcmp(counts, report->peers_last, sizeof counts) == 0) {
        return;
    }
    memcpy(report->peers_last, counts, sizeof counts);
    log_event(report->at.log, LOG_LEVEL_INFO, "peers", log_number("alive", counts[PEER_ALIVE]),
              log_number("suspect", counts[PEER_SUSPECT]),
              log_number("silent", counts[PEER_SILENT]), log_number("dead", counts[PEER_DEAD]),
              log_number("left", counts[PEER_LEFT]), log_number("new", counts[PEER_NEW]));
}

/* "5.9s", or "never". */
static struct log_field report_ago(const char *name, uint64_t then_us, uint64_t now_us,
                                   char text[32])
{
    const uint64_t ago_ms = then_us < now_us ? (now_us - then_us) / 1000 : 0;

    if (then_us == 0) {
        return log_string(name, "never");
    }
    (void)snprintf(text, 32, "%llu.%llus", (unsigned long long)(ago_ms / 1000),
                   (unsigned long long)(ago_ms % 1000 / 100));
    return log_string(name, text);
}

static void report_peer(struct report *report, const struct node_event *event, uint64_t now_us)
{
    char address[ADDRESS_TEXT_MAX];
    char ago[32];

    log_event(report->at.log, event->is == PEER_DEAD ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "peer",
              report_address(&event->address, address),
              log_string("state", node_peer_state_label((enum peer_state)event->is)),
              log_string("was", node_peer_state_label((enum peer_state)event->was)),
              report_ago("heard", event->heard_us, now_us, ago));
}

static void report_event(struct report *report, const struct node_event *event, uint64_t now_us)
{
    char address[ADDRESS_TEXT_MAX];

    switch ((enum node_event_kind)event->kind) {
    case NODE_EVENT_PEER: report_peer(report, event, now_us); break;
    case NODE_EVENT_OTHER_CLUSTER:
        log_event(report->at.log, LOG_LEVEL_WARN, "other_cluster",
                  report_address(&event->address, address),
                  log_string("hint", "it has another cluster name, or speaks plainly and is no "
                                     "plain-peer"));
        break;
    case NODE_EVENT_DUPLICATE_ADDRESS:
        log_event(report->at.log, LOG_LEVEL_ERROR, "duplicate_address",
                  report_address(&event->address, address),
                  log_string("hint", "another process speaks for our address: give each node its "
                                     "own, see advertise"));
        break;
    }
}

void report_events(struct report *report, uint64_t now_us)
{
    struct node_event event;

    while (node_take_event(report->at.node, &event)) {
        report_event(report, &event, now_us);
    }
}

static const struct report_seed *report_find_seed(const struct report_seed *seeds, size_t count,
                                                  const struct address *address)
{
    for (size_t i = 0; i < count; i++) {
        if (address_compare(&seeds[i].address, address) == 0) {
            return &seeds[i];
        }
    }
    return NULL;
}

static void report_loopback(struct report *report, const struct address *seed)
{
    char address[ADDRESS_TEXT_MAX];

    if (report->has_told_loopback || !address_is_loopback(&report->at.bound)
        || address_is_loopback(seed)) {
        return;
    }
    report->has_told_loopback = true;
    log_event(report->at.log, LOG_LEVEL_WARN, "seed_out_of_reach", report_address(seed, address),
              log_string("hint",
                         "we listen on loopback, where no other machine answers: set listen "
                         "to an address of this machine"));
}

void report_seeds(struct report *report, const struct address *addresses, size_t count,
                  uint64_t now_us)
{
    struct report_seed seeds[NODE_SEEDS_MAX];
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const struct report_seed *before =
            report_find_seed(report->seeds, report->seeds_count, &addresses[i]);

        if (address_compare(&addresses[i], &report->at.self) == 0) {
            continue; /* one list of seeds for all nodes names each itself */
        }
        seeds[kept++] = before != NULL
                            ? *before
                            : (struct report_seed){ .address = addresses[i],
                                                    .since_us = now_us,
                                                    .due_us = now_us + REPORT_SEED_WAIT_US };
        report_loopback(report, &addresses[i]);
    }
    memcpy(report->seeds, seeds, kept * sizeof *seeds);
    report->seeds_count = kept;
}

static void report_tell_seed(struct report *report, struct report_seed *seed, uint64_t now_us)
{
    char address[ADDRESS_TEXT_MAX];
    char ago[32];
    struct peer_view peer;
    uint64_t waited_us;

    if (node_peer(report->at.node, &seed->address, &peer) && peer.state == PEER_ALIVE) {
        seed->since_us = now_us;
        seed->due_us = now_us + REPORT_SEED_WAIT_US;
        return;
    }
    if (now_us < seed->due_us) {
        return;
    }
    waited_us = now_us - seed->since_us;
    seed->due_us = now_us + (waited_us < REPORT_SEED_WAIT_MAX ? waited_us : REPORT_SEED_WAIT_MAX);
    log_event(report->at.log, LOG_LEVEL_WARN, "seed_does_not_answer",
              report_address(&seed->address, address),
              report_ago("for", seed->since_us, now_us, ago));
}

static void report_http(struct report *report)
{
    const struct http_stats now = *http_server_stats(report->at.server);

    for (size_t i = 0; i < HTTP_REFUSED_COUNT; i++) {
        const uint64_t before = report->http_last.refused[i];

        if (now.refused[i] > before) {
            log_event(
                report->at.log, i == HTTP_REFUSED_DESCRIPTORS ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
                "requests_refused", log_string("reason", http_refused_label((enum http_refused)i)),
                log_number("count", now.refused[i] - before), log_number("total", now.refused[i]));
        }
    }
    report->http_last = now;
}

static void report_send_errors(struct report *report, const struct udp_stats *udp)
{
    char address[ADDRESS_TEXT_MAX];

    if (udp->send_errors > report->udp_last.send_errors) {
        log_event(report->at.log, LOG_LEVEL_WARN, "send_errors",
                  report_address(&udp->send_error_to, address),
                  log_string("reason", strerror(udp->send_error)),
                  log_number("count", udp->send_errors - report->udp_last.send_errors),
                  log_number("total", udp->send_errors));
    }
}

void report_trace(void *log, const struct trace_event *event)
{
    const struct trace_names names = trace_names_of((enum trace_kind)event->kind);
    struct log_field fields[4] = { 0 };
    struct log_field *next = fields;
    char address[ADDRESS_TEXT_MAX];

    if (event->peer.port != 0) {
        *next++ = report_address(&event->peer, address);
    }
    if (event->about != NULL) {
        *next++ = log_string(names.about, event->about);
    }
    if (names.number[0] != '\0') {
        *next++ = log_number(names.number, event->number);
    }
    log_write(log, LOG_LEVEL_TRACE, names.event, fields);
}

void report_changes(struct report *report, uint64_t now_us)
{
    const struct node_stats now = *node_stats(report->at.node);
    const struct udp_stats udp = udp_stats(report->at.udp);

    report_drops(report, &now);
    for (size_t i = 0; i < sizeof report_rises / sizeof report_rises[0]; i++) {
        const size_t offset = report_rises[i].offset;
        uint64_t total;
        uint64_t before;

        memcpy(&total, (const char *)&now + offset, sizeof total);
        memcpy(&before, (const char *)&report->node_last + offset, sizeof before);
        report_rise(report, report_rises[i].level, report_rises[i].event, total, before);
    }
    report_rise(report, LOG_LEVEL_WARN, "receive_queue_full", udp.receive_drops,
                report->udp_last.receive_drops);
    report_send_errors(report, &udp);
    report_peers(report);
    for (size_t i = 0; i < report->seeds_count; i++) {
        report_tell_seed(report, &report->seeds[i], now_us);
    }
    report_http(report);
    report->node_last = now;
    report->udp_last = udp;
}
