#ifndef MAIN_SETTINGS_H
#define MAIN_SETTINGS_H

/* From the settings that people write to the options that each room takes. Called by main/daemon.c
 * at the start and at a reload. Nothing here is checked again for form: config has done that; what
 * can still fail is a name that does not resolve. */

#include "config/options.h"
#include "disk/journal.h"
#include "http/api.h"
#include "http/server.h"
#include "log/log.h"
#include "net/resolve.h"
#include "node/node.h"

#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_LISTENERS_MAX 16 /* addresses of the HTTP interface */
#define SETTINGS_KEEPS_MAX     64 /* each update of one key is compared with each */

/* Lists of the options of node and handlers, which point into it. */
struct settings_lists {
    struct keep_rule keeps[SETTINGS_KEEPS_MAX];
    struct address_range trust[NODE_TRUST_MAX];
    struct address_range plain_peers[NODE_TRUST_MAX];
    struct node_value_rule value_rules[NODE_VALUES_MAX];
};

/* Too many of one list, and the like. False: reported. */
bool settings_check(const struct config *config, struct config_report *report);

/* Everything of a node's options that a reload may change; the rest stays as it is. `lists` and
 * `config` must live until the options are next set. */
void settings_node(const struct config *config, struct settings_lists *lists,
                   struct node_options *options);

/* The `keep` rules, which live as those lists do. Returns how many. */
size_t settings_keeps(const struct config *config, struct settings_lists *lists);

/* Bytes that requests may hold all together: http-max-memory, or what stands in for 0. */
uint64_t settings_http_memory(const struct config *config);

/* The HTTP server's limits and lists; `descriptors` is the limit of the process. */
void settings_http(const struct config *config, size_t descriptors, struct http_options *options);

/* Whether anything is to be kept: `data-dir` is not none. */
bool settings_has_directory(const struct config *config);

/* What of a journal's options people may set, and the sizes that a daemon has. */
void settings_journal(const struct config *config, struct journal_options *options);

void settings_log(const struct config *config, struct log_options *options);

/* Seeds as names, into room for NODE_SEEDS_MAX; returns how many. */
size_t settings_seeds(const struct config *config, struct resolve_seed *seeds);

/* The gossip address, resolved. STATUS_INVALID: no such host. */
MUST_CHECK enum status settings_listen(const struct config *config, struct address *address_out,
                                       struct fault *why);

/* What peers are told, given the address that was bound: `advertise`, or the bound one, or where
 * that is a wildcard the local address of the route to the first seed.
 *
 * STATUS_INVALID: no such host, or not an address that a peer may have. */
MUST_CHECK enum status settings_advertise(const struct config *config, const struct address *bound,
                                          struct address *address_out, struct fault *why);

/* Fill in what the daemon would use where nothing was said (`advertise`, `http-listen`),
 * for --show-config. What only the start can tell, such as the port that 0 becomes, stays unset; so
 * does an address whose name does not resolve. */
void settings_show(struct config *config);

#endif /* MAIN_SETTINGS_H */
