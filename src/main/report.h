#ifndef MAIN_REPORT_H
#define MAIN_REPORT_H

/* What the core counted and did, told to the operator: once a second the counters are compared with
 * those of a second before, and what rose and matters becomes a line; each transition of a peer
 * becomes one at once. The core itself never logs. */

#include "base/address.h"
#include "node/trace.h"

#include <stddef.h>
#include <stdint.h>

struct http_server;
struct log;
struct node;
struct report; /* opaque */
struct udp;

/* Whose doings are told; all of them outlive the report. */
struct report_options {
    struct log *log;
    struct node *node;
    const struct http_server *server;
    const struct udp *udp;
    struct address bound; /* the gossip socket's own address */
    struct address self;  /* what peers are told */
};

/* NULL: no memory. */
struct report *report_create(const struct report_options *options);
void report_free(struct report *report);

/* The addresses that the seeds resolve to now, at most NODE_SEEDS_MAX. One that does not answer is
 * told after 10 s and then ever more rarely; one that no socket on loopback can reach, at once. */
void report_seeds(struct report *report, const struct address *addresses, size_t count,
                  uint64_t now_us);

/* What the node did since the last call; to be called when a turn ends. */
void report_events(struct report *report, uint64_t now_us);

/* An event of the node's trace, as a line; the listener that node_options take. `log` is the struct
 * log. */
void report_trace(void *log, const struct trace_event *event);

/* Once a second. */
void report_changes(struct report *report, uint64_t now_us);

#endif /* MAIN_REPORT_H */
