#ifndef DEFAULTS_H
#define DEFAULTS_H

/* The defaults of the option table as the nodes and servers of tests, simulator and benches take
 * them, who have no settings: what is given in an initializer before what differs. That the daemon
 * makes the same of the same table is proved in test_settings. */

#include <stdint.h>

#define OPTION_NUMBER(type, name, initial, least, most, when, help) \
    static const uint64_t default_##name = (initial);
#include "config/options.def"

#define NODE_DEFAULTS                                                                          \
    .announce_interval_us = default_announce_interval * 1000,                                  \
    .silent_after_us = default_silent_after * 1000,                                            \
    .probe_interval_us = default_probe_interval * 1000,                                        \
    .batch_delay_us = default_batch_delay * 1000, .bytes_per_second_max = default_gossip_rate, \
    .ready_after_us = default_ready_after * 1000, .keep_max_s = default_max_keep / 1000,       \
    .search_max = (uint32_t)default_search_max

#define HTTP_DEFAULTS                                                                         \
    .document_bytes_max = default_http_max_body, .lines_bytes_max = default_http_max_lines,   \
    .upload_bytes_max = default_http_max_upload, .header_bytes_max = default_http_max_header, \
    .connections_max = 1000, .timeout_us = default_http_timeout * 1000,                       \
    .watchers_max = default_http_watchers, .watch_buffer_bytes = default_watch_buffer

#endif /* DEFAULTS_H */
