#include "main/report.h"

#include "http/server.h"
#include "log/log.h"
#include "net/udp.h"
#include "node/node.h"

#include <stdlib.h>
#include <string.h>

struct report {
    struct log *log;
    struct node *node;
    const struct http_server *server;
    const struct udp *udp;
    struct node_stats node_last;
    struct http_stats http_last;
    struct udp_stats udp_last;
    uint64_t peers_last[PEER_STATE_COUNT];
};

struct report *report_create(struct log *log, struct node *node, const struct http_server *server,
                             const struct udp *udp)
{
    struct report *report = calloc(1, sizeof *report);

    if (report != NULL) {
        report->log = log;
        report->node = node;
        report->server = server;
        report->udp = udp;
    }
    return report;
}

void report_free(struct report *report)
{
    free(report);
}

/* A line where a counter rose. */
static void report_rise(struct report *report, enum log_level level, const char *event,
                        uint64_t now, uint64_t before)
{
    if (now > before) {
        log_event(report->log, level, event, log_number("count", now - before),
                  log_number("total", now));
    }
}

static void report_drops(struct report *report, const struct node_stats *now)
{
    for (size_t i = 0; i < WIRE_DROP_COUNT; i++) {
        const uint64_t before = report->node_last.dropped[i];

        if (now->dropped[i] > before) {
            log_event(report->log, LOG_LEVEL_DEBUG, "datagrams_dropped",
                      log_string("reason", wire_drop_label((enum wire_drop)i)),
                      log_number("count", now->dropped[i] - before),
                      log_number("total", now->dropped[i]));
        }
    }
}

static void report_peers(struct report *report)
{
    uint64_t counts[PEER_STATE_COUNT];

    node_peer_counts(report->node, counts);
    if (memcmp(counts, report->peers_last, sizeof counts) == 0) {
        return;
    }
    memcpy(report->peers_last, counts, sizeof counts);
    log_event(report->log, LOG_LEVEL_INFO, "peers", log_number("alive", counts[PEER_ALIVE]),
              log_number("suspect", counts[PEER_SUSPECT]),
              log_number("silent", counts[PEER_SILENT]), log_number("dead", counts[PEER_DEAD]),
              log_number("left", counts[PEER_LEFT]), log_number("new", counts[PEER_NEW]));
}

static void report_notices(struct report *report)
{
    enum node_notice notice;

    while ((notice = node_take_notice(report->node)) != NODE_NOTICE_NONE) {
        if (notice == NODE_NOTICE_DUPLICATE_ADDRESS) {
            log_event(report->log, LOG_LEVEL_ERROR, "duplicate_address",
                      log_string("hint", "another process speaks for our address: give each node "
                                         "its own, see advertise"));
        }
    }
}

static void report_http(struct report *report)
{
    const struct http_stats now = *http_server_stats(report->server);

    for (size_t i = 0; i < HTTP_REFUSED_COUNT; i++) {
        const uint64_t before = report->http_last.refused[i];

        if (now.refused[i] > before) {
            log_event(
                report->log, i == HTTP_REFUSED_DESCRIPTORS ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
                "requests_refused", log_string("reason", http_refused_label((enum http_refused)i)),
                log_number("count", now.refused[i] - before), log_number("total", now.refused[i]));
        }
    }
    report->http_last = now;
}

void report_changes(struct report *report)
{
    const struct node_stats now = *node_stats(report->node);
    const struct udp_stats udp = udp_stats(report->udp);

    report_drops(report, &now);
    report_rise(report, LOG_LEVEL_WARN, "keys_refused", now.refused_keys,
                report->node_last.refused_keys);
    report_rise(report, LOG_LEVEL_WARN, "values_refused", now.refused_values,
                report->node_last.refused_values);
    report_rise(report, LOG_LEVEL_WARN, "memory_refused", now.memory_refused,
                report->node_last.memory_refused);
    report_rise(report, LOG_LEVEL_DEBUG, "presence_refused", now.refused_presence,
                report->node_last.refused_presence);
    report_rise(report, LOG_LEVEL_DEBUG, "cluster_refused", now.refused_cluster,
                report->node_last.refused_cluster);
    report_rise(report, LOG_LEVEL_WARN, "receive_queue_full", udp.kernel_drops,
                report->udp_last.kernel_drops);
    report_rise(report, LOG_LEVEL_DEBUG, "send_errors", udp.send_errors,
                report->udp_last.send_errors);
    report_peers(report);
    report_notices(report);
    report_http(report);
    report->node_last = now;
    report->udp_last = udp;
}
