/* The node itself: index, health, readiness, figures, the specification. */

#include "http/api.h"
#include "http/openapi.h"
#include "http/watch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* -- index --------------------------------------------------------------------------------- */

void api_index_get(struct http_request *request, struct http_context *context)
{
    static const char *const links[] = { "health", "keys",  "openapi.json", "peers",
                                         "ready",  "stats", "watch" };
    struct reply reply;
    struct json_writer *json;

    http_header_add(request, "Vary", "Accept");
    http_begin(request, 200, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "name");
    json_text(json, "vignette");
    json_name(json, "version");
    json_text(json, context->version);
    json_name(json, "links");
    json_begin_object(json);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        char path[32] = "/";

        memcpy(path + 1, links[i], strlen(links[i]) + 1);
        json_name(json, links[i]);
        json_text(json, path);
    }
    json_end_object(json);
    json_end_object(json);
    reply_end(&reply);
}

/* -- health and readiness ------------------------------------------------------------------ */

void api_health_get(struct http_request *request, struct http_context *context)
{
    struct reply reply;
    struct json_writer *json;

    (void)context;
    http_begin(request, 200, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "status");
    json_text(json, "ok");
    json_end_object(json);
    reply_end(&reply);
}

static const char *readiness_text(enum node_readiness readiness)
{
    switch (readiness) {
    case NODE_READY_EQUAL: return "ok";
    case NODE_READY_ALONE: return "ok: alone, no seeds are set";
    case NODE_READY_LATE: return "no member was equal to this one within ready-after";
    default: return "not equal to any member yet";
    }
}

#define STORAGE_TEXT_MAX 200

/* What there is to say of where data are. True: the node can be used all the same. */
static bool storage_tell(const struct http_context *context, struct moment now,
                         char text[STORAGE_TEXT_MAX])
{
    struct api_disk disk = { .state = API_DISK_FINE };

    if (context->disk != NULL) {
        disk = context->disk(context->shell);
    }
    switch ((enum api_disk_state)disk.state) {
    case API_DISK_LOADING:
        (void)snprintf(text, STORAGE_TEXT_MAX, "loading: %llu of %llu bytes",
                       (unsigned long long)disk.loaded_bytes,
                       (unsigned long long)disk.to_load_bytes);
        return false;
    case API_DISK_FULL:
        (void)snprintf(text, STORAGE_TEXT_MAX, "no space on the disk: updates are refused (%s)",
                       strerror(disk.error));
        return false;
    case API_DISK_FAILING:
        (void)snprintf(text, STORAGE_TEXT_MAX, "the disk fails: updates are refused (%s)",
                       strerror(disk.error));
        return false;
    case API_DISK_FINE: break;
    }
    (void)snprintf(text, STORAGE_TEXT_MAX, "%s",
                   context->problem != NULL           ? context->problem
                   : node_is_full(context->node, now) ? "full: updates are refused, see max-keys "
                                                        "and max-memory"
                   : disk.is_damaged ? "ok, but data on disk were found damaged at the start: what "
                                       "is missing is asked of members"
                                     : "ok");
    return context->problem == NULL;
}

/* A full store is told and does not take the node out of service: all members are full at once, and
 * still answer questions and raise what they know. */
void api_ready_get(struct http_request *request, struct http_context *context)
{
    const struct moment now = http_now(request);
    const enum node_readiness readiness =
        context->node == NULL ? NODE_READY_NOT : node_readiness(context->node, now);
    char storage[STORAGE_TEXT_MAX];
    const bool is_ready = storage_tell(context, now, storage) && readiness != NODE_READY_NOT;
    struct reply reply;
    struct json_writer *json;

    if (!is_ready) {
        http_retry_after(request, 1);
    }
    http_begin(request, is_ready ? 200 : 503, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "status");
    json_text(json, is_ready ? "ready" : "not ready");
    json_name(json, "checks");
    json_begin_object(json);
    json_name(json, "peers");
    json_text(json, readiness_text(readiness));
    json_name(json, "storage");
    json_text(json, storage);
    json_end_object(json);
    json_end_object(json);
    reply_end(&reply);
}

/* -- figures ------------------------------------------------------------------------------- */

static void figure(struct json_writer *json, const char *name, uint64_t number)
{
    json_name(json, name);
    json_u64(json, number);
}

static void labelled(struct json_writer *json, const char *name, const char *label, uint64_t number)
{
    char text[64];
    const size_t name_size = strlen(name);
    const size_t label_size = strlen(label);

    assert(name_size + label_size + 2 <= sizeof text);
    memcpy(text, name, name_size);
    text[name_size] = '_';
    memcpy(text + name_size + 1, label, label_size + 1);
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '-' || *at == ' ') {
            *at = '_';
        }
    }
    figure(json, text, number);
}

static void store_put(struct json_writer *json, const struct http_context *context)
{
    const struct table_stats stats = table_stats(context->table);
    uint64_t counts[PEER_STATE_COUNT];

    figure(json, "keys", stats.keys[TABLE_DATA]);
    figure(json, "keys_ended", stats.ended);
    figure(json, "presence_keys", stats.keys[TABLE_MEMBERS]);
    figure(json, "tombstones", stats.tombstones);
    figure(json, "elements", stats.elements);
    figure(json, "memory_bytes", stats.used_bytes);
    figure(json, "http_memory_bytes", context->mem->used_bytes);
    node_peer_counts(context->node, counts);
    for (unsigned i = 0; i < PEER_STATE_COUNT; i++) {
        labelled(json, "peers", node_peer_state_label((enum peer_state)i), counts[i]);
    }
}

static void gossip_put(struct json_writer *json, const struct node_stats *stats)
{
    for (unsigned i = 0; i < NODE_KIND_COUNT; i++) {
        const char *label = node_kind_label((enum node_kind)i);

        labelled(json, "received", label, stats->received[i]);
        labelled(json, "received_bytes", label, stats->received_bytes[i]);
        labelled(json, "sent", label, stats->sent[i]);
        labelled(json, "sent_bytes", label, stats->sent_bytes[i]);
    }
    for (unsigned i = 0; i < WIRE_DROP_COUNT; i++) {
        if (i != WIRE_OK) {
            labelled(json, "dropped", wire_drop_label((enum wire_drop)i), stats->dropped[i]);
        }
    }
    figure(json, "refused_cluster", stats->refused_cluster);
    figure(json, "refused_credit", stats->refused_credit);
    figure(json, "refused_keys", stats->refused_keys);
    figure(json, "refused_values", stats->refused_values);
    figure(json, "refused_ended", stats->refused_ended);
    figure(json, "refused_max_keep", stats->refused_max_keep);
    figure(json, "refused_generations", stats->refused_generations);
    figure(json, "refused_presence", stats->refused_presence);
    figure(json, "elements_raised_peers", stats->elements_raised);
    figure(json, "elements_raised_clients", stats->elements_raised_clients);
    figure(json, "copies", stats->copies);
    figure(json, "copies_received", stats->copies_received);
    figure(json, "copies_duplicate", stats->copies_duplicate);
    figure(json, "retries", stats->retries);
    figure(json, "abandoned", stats->abandoned);
    figure(json, "questions", stats->questions);
    figure(json, "suspicions", stats->suspicions);
    figure(json, "deaths", stats->deaths);
    figure(json, "refutations", stats->refutations);
    figure(json, "sync_rounds", stats->sync_rounds);
    figure(json, "sync_keys_sent", stats->sync_keys_sent);
    figure(json, "duplicate_address", stats->duplicate_address);
    figure(json, "memory_refused", stats->memory_refused);
}

static void socket_put(struct json_writer *json, const struct http_context *context)
{
    struct api_socket socket;

    if (context->socket == NULL) {
        return;
    }
    socket = context->socket(context->shell);
    figure(json, "socket_kernel_drops", socket.kernel_drops);
    figure(json, "socket_send_errors", socket.send_errors);
    figure(json, "socket_send_blocked", socket.send_blocked);
    figure(json, "socket_receive_buffer_bytes", socket.receive_buffer_bytes);
}

static void disk_put(struct json_writer *json, const struct http_context *context)
{
    struct api_disk disk;

    json_name(json, "data");
    if (context->disk == NULL) {
        json_text(json, "memory-only");
        return;
    }
    disk = context->disk(context->shell);
    json_text(json, disk.promise);
    figure(json, "disk_state", disk.state);
    figure(json, "disk_damaged", disk.is_damaged);
    figure(json, "disk_log_bytes", disk.log_bytes);
    figure(json, "disk_snapshot_bytes", disk.snapshot_bytes);
    figure(json, "disk_written_bytes", disk.written_bytes);
    figure(json, "disk_groups", disk.groups);
    figure(json, "disk_snapshots", disk.snapshots);
    figure(json, "disk_failures", disk.failures);
    figure(json, "disk_waiting_blocks", disk.waiting_blocks);
    figure(json, "disk_commit_us", disk.commit_us);
    figure(json, "disk_commit_us_most", disk.commit_us_most);
}

static void http_stats_put(struct json_writer *json, const struct http_stats *stats)
{
    static const char *const classes[HTTP_CLASSES] = { NULL, "1xx", "2xx", "3xx", "4xx", "5xx" };

    for (unsigned i = 2; i < HTTP_CLASSES; i++) {
        labelled(json, "http_answers", classes[i], stats->answers[i]);
    }
    for (unsigned i = 0; i < HTTP_REFUSED_COUNT; i++) {
        labelled(json, "http_refused", http_refused_label((enum http_refused)i), stats->refused[i]);
    }
    figure(json, "http_accepted", stats->accepted);
    figure(json, "http_connections", stats->connections);
    figure(json, "http_received_bytes", stats->received_bytes);
    figure(json, "http_upload_bytes", stats->upload_bytes);
    figure(json, "http_turn_work_most", stats->turn_work_most);
    figure(json, "http_parked", stats->parked);
    figure(json, "http_holding", stats->holding);
    figure(json, "http_unknown", stats->unknown);
    figure(json, "http_stepping", stats->stepping);
    figure(json, "http_watchers", stats->watchers);
    figure(json, "http_abandoned", stats->abandoned);
}

void api_stats_get(struct http_request *request, struct http_context *context)
{
    const struct moment now = http_now(request);
    struct reply reply;
    struct json_writer *json;

    http_begin(request, 200, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "version");
    json_text(json, context->version);
    figure(json, "uptime_s", (now.mono_us - context->started_us) / 1000000);
    json_name(json, "digest");
    json_hex64(json, table_root(context->table, TABLE_DATA));
    store_put(json, context);
    gossip_put(json, node_stats(context->node));
    socket_put(json, context);
    disk_put(json, context);
    http_stats_put(json, http_server_stats(http_server_of(request)));
    figure(json, "watch_turn_work_most", watch_work_most(context->watch));
    json_end_object(json);
    reply_end(&reply);
}

/* -- specification ------------------------------------------------------------------------- */

void api_openapi_get(struct http_request *request, struct http_context *context)
{
    (void)context;
    http_begin(request, 200, "application/json");
    http_put(request, (struct bytes){ openapi_json, openapi_json_size });
}
