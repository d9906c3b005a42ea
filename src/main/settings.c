#include "main/settings.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>

_Static_assert(NODE_SEEDS_MAX <= RESOLVE_SEEDS_MAX, "the resolver takes every seed");

#define SETTINGS_HOST_DEFAULT "127.0.0.1"
/* Descriptors that are not connections: sockets, log, epoll, a spare one, room for libraries. */
#define SETTINGS_DESCRIPTORS_KEPT 32
#define SETTINGS_CONNECTIONS_MIN  16
#define SETTINGS_HTTP_MEMORY_MIN  (UINT64_C(4) << 20)

static struct bytes settings_bytes(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static bool settings_fits(const struct config_list *list, size_t count_max, const char *name,
                          struct config_report *report)
{
    if (list->count > count_max) {
        config_say(report, "%s: at most %zu of them, not %zu", name, count_max, list->count);
    }
    return list->count <= count_max;
}

bool settings_check(const struct config *config, struct config_report *report)
{
    bool good = settings_fits(&config->seed, NODE_SEEDS_MAX, "seed", report);

    good =
        settings_fits(&config->http_listen, SETTINGS_LISTENERS_MAX, "http-listen", report) && good;
    good = settings_fits(&config->trust, NODE_TRUST_MAX, "trust", report) && good;
    good = settings_fits(&config->plain_peer, NODE_TRUST_MAX, "plain-peer", report) && good;
    good = settings_fits(&config->keep, SETTINGS_KEEPS_MAX, "keep", report) && good;
    return settings_fits(&config->max_value, NODE_VALUES_MAX, "max-value", report) && good;
}

static size_t settings_ranges(const struct config_list *list, struct address_range *ranges)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct bytes text = settings_bytes(list->texts[i]);

        if (!text_is(text, "none") && address_range_from_text(text, &ranges[count])) {
            count++;
        }
    }
    return count;
}

static size_t settings_rules(const struct config_list *list, struct node_value_rule *rules)
{
    for (size_t i = 0; i < list->count; i++) {
        struct bytes limit;
        const bool good = option_rule(list->texts[i], &rules[i].pattern, &limit)
                          && text_get_u64(limit, &rules[i].value_max);

        assert(good);
    }
    return list->count;
}

size_t settings_keeps(const struct config *config, struct settings_lists *lists)
{
    for (size_t i = 0; i < config->keep.count; i++) {
        struct keep_rule *rule = &lists->keeps[i];
        struct bytes limit;
        uint64_t ms = 0;
        const bool good = option_rule(config->keep.texts[i], &rule->pattern, &limit)
                          && text_get_duration_ms(limit, &ms);

        assert(good);
        rule->keep_s = ms / 1000 + (ms % 1000 != 0);
    }
    return config->keep.count;
}

void settings_node(const struct config *config, struct settings_lists *lists,
                   struct node_options *options)
{
    options->announce_interval_us = config->announce_interval_ms * 1000;
    options->silent_after_us = config->silent_after_ms * 1000;
    options->probe_interval_us = config->probe_interval_ms * 1000;
    options->batch_delay_us = config->batch_delay_ms * 1000;
    options->bytes_per_second_max = config->gossip_rate_bytes;
    options->keep_max_s = config->max_keep_ms / 1000;
    options->search_max = (uint32_t)config->search_max;
    options->ready_after_us = config->ready_after_ms * 1000;
    options->trust = lists->trust;
    options->trust_count = settings_ranges(&config->trust, lists->trust);
    options->plain_peers = lists->plain_peers;
    options->plain_peers_count = settings_ranges(&config->plain_peer, lists->plain_peers);
    options->value_rules = lists->value_rules;
    options->value_rules_count = settings_rules(&config->max_value, lists->value_rules);
}

uint64_t settings_http_memory(const struct config *config)
{
    const uint64_t quarter = config->max_memory_bytes / 4;

    if (config->http_max_memory_bytes > 0) {
        return config->http_max_memory_bytes;
    }
    return quarter > SETTINGS_HTTP_MEMORY_MIN ? quarter : SETTINGS_HTTP_MEMORY_MIN;
}

void settings_http(const struct config *config, size_t descriptors, struct http_options *options)
{
    const size_t kept = SETTINGS_DESCRIPTORS_KEPT;
    const size_t free = descriptors > kept ? (descriptors - kept) / 5 * 4 : 0;

    options->document_bytes_max = config->http_max_body_bytes;
    options->lines_bytes_max = config->http_max_lines_bytes;
    options->upload_bytes_max = config->http_max_upload_bytes;
    options->header_bytes_max = config->http_max_header_bytes;
    options->connections_max = config->http_max_connections;
    if (options->connections_max == 0) {
        options->connections_max =
            free > SETTINGS_CONNECTIONS_MIN ? free : SETTINGS_CONNECTIONS_MIN;
    }
    options->timeout_us = config->http_timeout_ms * 1000;
    options->watchers_max = config->http_watchers;
    options->watch_buffer_bytes = config->watch_buffer_bytes;
    options->is_open = config->http_open != 0;
    options->hosts = (const char *const *)config->http_host.texts;
    options->hosts_count = config->http_host.count;
    options->origins = (const char *const *)config->http_allow_origin.texts;
    options->origins_count = config->http_allow_origin.count;
}

bool settings_has_directory(const struct config *config)
{
    return strcmp(config->data_dir, "none") != 0;
}

void settings_journal(const struct config *config, struct journal_options *options)
{
    options->durability = (uint8_t)config->durability;
    options->sync_interval_us = config->sync_interval_ms * 1000;
    options->snapshot_bytes_min = JOURNAL_SNAPSHOT_BYTES_MIN;
    options->extend_bytes = JOURNAL_EXTEND_BYTES;
    options->reserve_bytes = JOURNAL_RESERVE_BYTES;
}

void settings_log(const struct config *config, struct log_options *options)
{
    *options = (struct log_options){ .target = config->log_target,
                                     .level = (enum log_level)config->log_level,
                                     .format = (enum log_format)config->log_format };
    if (config->daemonize != 0 && strcmp(config->log_target, "stderr") == 0) {
        options->target = "syslog"; /* a daemon has no stderr that anybody reads */
    }
}

size_t settings_seeds(const struct config *config, struct resolve_seed *seeds)
{
    for (size_t i = 0; i < config->seed.count; i++) {
        const bool good =
            resolve_seed_from_text(config->seed.texts[i], SETTINGS_HOST_DEFAULT, &seeds[i]);

        assert(good);
    }
    return config->seed.count;
}

/* [host:]port with the default host, looked up. */
static enum status settings_resolve(const char *text, const char *host_default,
                                    struct address *address_out, struct fault *why)
{
    struct resolve_seed endpoint;
    const bool good = resolve_seed_from_text(text, host_default, &endpoint);

    assert(good);
    return resolve_now(&endpoint, address_out, why);
}

enum status settings_listen(const struct config *config, struct address *address_out,
                            struct fault *why)
{
    const enum status status =
        settings_resolve(config->listen, SETTINGS_HOST_DEFAULT, address_out, why);

    return status == STATUS_OK ? STATUS_OK : fault_prefix(why, "listen: ");
}

/* Of a wildcard: what the route to the first seed says. */
static enum status settings_routed(const struct config *config, struct address *address,
                                   struct fault *why)
{
    struct resolve_seed seeds[NODE_SEEDS_MAX];
    struct address seed;
    enum status status;
    const uint16_t port = address->port;

    assert(config->seed.count > 0 && config->seed.count <= NODE_SEEDS_MAX);
    (void)settings_seeds(config, seeds);
    status = resolve_now(&seeds[0], &seed, why);
    if (status == STATUS_OK) {
        status = resolve_route(&seed, address, why);
        address->port = port;
    }
    return status == STATUS_OK ? STATUS_OK
                               : fault_prefix(why, "advertise: what to tell peers is not known "
                                                   "(set it, or mend the first seed): ");
}

enum status settings_advertise(const struct config *config, const struct address *bound,
                               struct address *address_out, struct fault *why)
{
    struct address address = *bound;
    enum status status = STATUS_OK;

    if (config->advertise[0] != '\0') {
        char host[ADDRESS_TEXT_MAX + 1];

        host[address_ip_to_text(bound, host)] = '\0';
        status = settings_resolve(config->advertise, host, &address, why);
        if (status == STATUS_OK && address.port == 0) {
            address.port = bound->port;
        }
    } else if (address_is_wildcard(bound) && config->seed.count > 0) {
        status = settings_routed(config, &address, why);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!address_is_peer(&address)) {
        char text[ADDRESS_TEXT_MAX];
        const int size = (int)address_to_text(&address, text);

        return fault_set(why, STATUS_INVALID,
                         "advertise: %.*s is no address that a peer can have: set one", size, text);
    }
    *address_out = address;
    return STATUS_OK;
}

static void settings_derive(struct config *config, const char *name, const char *text)
{
    const struct config_place place = { .word = name, .level = CONFIG_DERIVED };
    struct config_report report = { 0 };

    (void)config_put(config, name, text, &place, &report);
}

static void settings_derive_address(struct config *config, const char *name,
                                    const struct address *address)
{
    char text[ADDRESS_TEXT_MAX + 1];

    text[address_to_text(address, text)] = '\0';
    settings_derive(config, name, text);
}

static void settings_derive_number(struct config *config, const char *name, uint64_t number)
{
    char text[TEXT_U64_MAX + 1];

    text[text_put_u64(text, number)] = '\0';
    settings_derive(config, name, text);
}

void settings_show(struct config *config)
{
    struct address listen;
    struct address advertise;
    struct fault why;

    if (config->http_max_memory_bytes == 0) {
        settings_derive_number(config, "http-max-memory", settings_http_memory(config));
    }
    if (settings_listen(config, &listen, &why) != STATUS_OK || listen.port == 0) {
        return;
    }
    if (config->http_listen.count == 0) {
        settings_derive_address(config, "http-listen", &listen);
    }
    if (config->advertise[0] == '\0'
        && settings_advertise(config, &listen, &advertise, &why) == STATUS_OK) {
        settings_derive_address(config, "advertise", &advertise);
    }
}
