#ifndef MAIN_REPORT_H
#define MAIN_REPORT_H

/* What the core counted, told to the operator: once a second the counters are compared with those
 * of a second before, and what rose and matters becomes a line. The core itself never logs. */

struct http_server;
struct log;
struct node;
struct report; /* opaque */
struct udp;

/* All of them outlive the report. NULL: no memory. */
struct report *report_create(struct log *log, struct node *node, const struct http_server *server,
                             const struct udp *udp);
void report_free(struct report *report);

void report_changes(struct report *report);

#endif /* MAIN_REPORT_H */
