/* Peers: who is there, introducing one, declaring one left. */

#include "base/text.h"
#include "http/api.h"

#include <cJSON.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLICE_PEERS      64
#define ADDRESS_BODY_MAX 1024

/* -- the list ------------------------------------------------------------------------------ */

struct peer_list {
    struct mem *mem;
    struct address after;
    bool has_after;
    bool is_discovery; /* Prometheus' HTTP service discovery */
    uint8_t states;    /* set of 1 << enum peer_state that are shown */
    struct reply reply;
};

static void peer_list_free(void *state)
{
    struct peer_list *list = (struct peer_list *)state;

    mem_free(list->mem, list, sizeof *list);
}

static void address_put(struct json_writer *json, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    const size_t size = address_to_text(address, text);

    json_string(json, (struct bytes){ (const uint8_t *)text, size });
}

static void http_put_address(struct json_writer *json, const struct address *address,
                             uint16_t http_port)
{
    struct address http = *address;

    http.port = http_port;
    address_put(json, &http);
}

/* RFC 3339, in UTC. */
static void time_put(struct json_writer *json, uint64_t unix_s)
{
    char text[32];
    struct tm parts;
    const time_t seconds = (time_t)unix_s;

    if (gmtime_r(&seconds, &parts) == NULL
        || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        json_text(json, "");
        return;
    }
    json_text(json, text);
}

static void version_put(struct json_writer *json, uint16_t version)
{
    char text[sizeof "15.63.63"];

    (void)snprintf(text, sizeof text, "%u.%u.%u", NODE_VERSION_MAJOR(version),
                   NODE_VERSION_MINOR(version), NODE_VERSION_PATCH(version));
    json_text(json, text);
}

static void peer_put(struct json_writer *json, const struct peer_view *peer, struct moment now)
{
    json_begin_object(json);
    json_name(json, "address");
    address_put(json, &peer->address);
    if (peer->http_port != 0) {
        json_name(json, "http");
        http_put_address(json, &peer->address, peer->http_port);
    }
    json_name(json, "state");
    json_text(json, node_peer_state_label((enum peer_state)peer->state));
    if (peer->last_heard_us != 0) {
        const uint64_t age_us = now.mono_us - peer->last_heard_us;

        json_name(json, "last_heard");
        time_put(json, now.unix_s - age_us / 1000000);
        json_name(json, "last_heard_ms");
        json_u64(json, age_us / 1000);
    }
    if (peer->rtt_us != 0) {
        json_name(json, "rtt_ms");
        json_decimal(json, (double)peer->rtt_us / 1000, 3);
    }
    if (peer->checked_us != 0) {
        json_name(json, "converged");
        json_bool(json, peer->converged);
        if (peer->equal_us != 0) {
            json_name(json, "lag_ms");
            json_u64(json, peer->equal_us >= peer->checked_us
                               ? 0
                               : (peer->checked_us - peer->equal_us) / 1000);
        }
        json_name(json, "checked_ms");
        json_u64(json, (now.mono_us - peer->checked_us) / 1000);
    }
    json_name(json, "protocol");
    json_u64(json, peer->level);
    if (peer->version != 0) {
        json_name(json, "version");
        version_put(json, peer->version);
    }
    json_name(json, "seed");
    json_bool(json, peer->is_seed);
    json_end_object(json);
}

/* One target of service discovery. */
static void target_put(struct json_writer *json, const struct address *address, uint16_t http_port,
                       const char *state)
{
    json_begin_object(json);
    json_name(json, "targets");
    json_begin_array(json);
    http_put_address(json, address, http_port);
    json_end_array(json);
    json_name(json, "labels");
    json_begin_object(json);
    json_name(json, "__meta_vignette_state");
    json_text(json, state);
    json_name(json, "__meta_vignette_gossip_address");
    address_put(json, address);
    json_end_object(json);
    json_end_object(json);
}

static void self_put(struct json_writer *json, const struct http_context *context,
                     struct moment now)
{
    json_name(json, "self");
    json_begin_object(json);
    json_name(json, "address");
    address_put(json, &context->self);
    if (context->http_port != 0) {
        json_name(json, "http");
        http_put_address(json, &context->self, context->http_port);
    }
    json_name(json, "version");
    json_text(json, context->version);
    json_name(json, "uptime_s");
    json_u64(json, (now.mono_us - context->started_us) / 1000000);
    json_name(json, "keys");
    json_u64(json, table_stats(context->table).keys[TABLE_DATA]);
    json_name(json, "digest");
    json_hex64(json, table_root(context->table, TABLE_DATA));
    json_end_object(json);
}

static void list_end(struct peer_list *list, const struct http_context *context)
{
    static const uint8_t order[] = { PEER_ALIVE, PEER_SUSPECT, PEER_SILENT,
                                     PEER_DEAD,  PEER_LEFT,    PEER_NEW };
    struct json_writer *json = &list->reply.json;

    json_end_array(json);
    if (!list->is_discovery) {
        uint64_t counts[PEER_STATE_COUNT];

        node_peer_counts(context->node, counts);
        for (size_t i = 0; i < sizeof order; i++) {
            json_name(json, node_peer_state_label((enum peer_state)order[i]));
            json_u64(json, counts[order[i]]);
        }
        json_end_object(json);
    }
    reply_end(&list->reply);
}

static enum http_step list_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct peer_list *list = (struct peer_list *)state;
    struct json_writer *json = &list->reply.json;
    struct peer_view peers[SLICE_PEERS];
    size_t count;

    do {
        count =
            node_peers(context->node, list->has_after ? &list->after : NULL, peers, SLICE_PEERS);
        for (size_t i = 0; i < count; i++) {
            const struct peer_view *peer = &peers[i];

            if (!list->is_discovery && (list->states >> peer->state & 1) != 0) {
                peer_put(json, peer, http_now(request));
            }
            if (list->is_discovery && peer->http_port != 0 && peer->state != PEER_LEFT) {
                target_put(json, &peer->address, peer->http_port,
                           node_peer_state_label((enum peer_state)peer->state));
            }
        }
        if (count > 0) {
            list->after = peers[count - 1].address;
            list->has_after = true;
        }
        if (count == SLICE_PEERS && http_step_is_over(request)) {
            reply_flush(&list->reply);
            return HTTP_STEP_AGAIN;
        }
    } while (count == SLICE_PEERS);
    list_end(list, context);
    return HTTP_STEP_DONE;
}

/* Names with commas between them, into a set. False: one is not a state. */
static bool states_read(struct bytes text, uint8_t *states)
{
    *states = 0;
    for (size_t from = 0; from <= text.size;) {
        struct bytes name = { text.data + from, 0 };
        uint8_t state = 0;

        while (from + name.size < text.size && name.data[name.size] != ',') {
            name.size++;
        }
        while (state < PEER_STATE_COUNT
               && !text_is(name, node_peer_state_label((enum peer_state)state))) {
            state++;
        }
        if (state == PEER_STATE_COUNT) {
            return false;
        }
        *states = (uint8_t)(*states | 1u << state);
        from += name.size + 1;
    }
    return true;
}

/* What the query asks for. False: refused. */
static bool list_ask(struct http_request *request, struct peer_list *list)
{
    struct bytes text;

    list->states = UINT8_MAX;
    if (http_query(request, "state", &text) && !states_read(text, &list->states)) {
        http_refuse(request, 400,
                    "'state' must be some of alive, suspect, silent, dead, left and new, with "
                    "commas between them");
        return false;
    }
    if (!http_query(request, "format", &text) || text_is(text, "json")) {
        return true;
    }
    if (!text_is(text, "prometheus")) {
        http_refuse(request, 400, "'format' must be json or prometheus");
        return false;
    }
    list->is_discovery = true;
    return query_only(request, "format=prometheus, which lists all peers", "format");
}

void api_peers_get(struct http_request *request, struct http_context *context)
{
    struct peer_list *list = (struct peer_list *)mem_alloc_zeroed(context->mem, sizeof *list);
    struct json_writer *json;

    if (list == NULL) {
        http_refuse_memory(request);
        return;
    }
    list->mem = context->mem;
    if (!list_ask(request, list)) {
        peer_list_free(list);
        return;
    }
    http_begin(request, 200, "application/json");
    json = reply_begin(&list->reply, request);
    if (list->is_discovery) {
        json_begin_array(json);
        if (context->http_port != 0) {
            target_put(json, &context->self, context->http_port, "self");
        }
    } else {
        json_begin_object(json);
        self_put(json, context, http_now(request));
        json_name(json, "peers");
        json_begin_array(json);
    }
    http_continue(request, list_step, list, peer_list_free);
}

/* -- introducing and forgetting ------------------------------------------------------------ */

/* A literal address and port, in any form a person may type. */
static bool address_read(struct bytes text, struct address *address)
{
    struct bytes ip = { text.data, 0 };
    struct bytes port;
    uint64_t number;

    if (address_from_text(text, address)) {
        return true;
    }
    for (size_t i = 0; i < text.size; i++) {
        ip.size = text.data[i] == ':' ? i : ip.size;
    }
    if (ip.size == 0) {
        return false;
    }
    port = (struct bytes){ text.data + ip.size + 1, text.size - ip.size - 1 };
    if (ip.size > 2 && ip.data[0] == '[' && ip.data[ip.size - 1] == ']') {
        ip.data++;
        ip.size -= 2;
    }
    if (!text_get_u64(port, &number) || number > UINT16_MAX
        || !address_ip_from_text(ip, address->ip)) {
        return false;
    }
    address->port = (uint16_t)number;
    return true;
}

/* The one member of the body. Refuses, and says false, what is not exactly that. An address needs
 * no escape, and cJSON would cut a string at a NUL, written as such or as \u0000: both that and a
 * backslash are wrong anywhere. */
static bool address_of_body(struct http_request *request, struct address *address)
{
    const struct bytes body = http_body(request);
    const bool is_sane = body.data != NULL && body.size <= ADDRESS_BODY_MAX
                         && memchr(body.data, '\\', body.size) == NULL
                         && memchr(body.data, '\0', body.size) == NULL;
    const char *end = NULL;
    cJSON *document =
        is_sane ? cJSON_ParseWithLengthOpts((const char *)body.data, body.size, &end, false) : NULL;
    const cJSON *member = document == NULL ? NULL : document->child;
    bool is_right = cJSON_IsObject(document) && member != NULL && member->next == NULL
                    && strcmp(member->string, "address") == 0 && cJSON_IsString(member);

    while (is_right && end < (const char *)body.data + body.size) {
        is_right = *end == ' ' || *end == '\t' || *end == '\r' || *end == '\n';
        end++;
    }
    if (!is_right) {
        http_refuse(request, 400, "the body must be {\"address\": \"10.0.0.7:6001\"}");
    } else if (!address_read((struct bytes){ (const uint8_t *)member->valuestring,
                                             strlen(member->valuestring) },
                             address)) {
        const struct http_place place = { .pointer = { (const uint8_t *)"/address", 8 } };
        struct fault why;

        (void)fault_set(&why, STATUS_INVALID,
                        "not an address and port like 10.0.0.7:6001 or [2001:db8::7]:6001; names "
                        "are resolved in the configuration only");
        http_problem(request, 400, &why, &place);
        is_right = false;
    }
    cJSON_Delete(document);
    return is_right;
}

static void peer_answer(struct http_request *request, unsigned code, const struct address *address,
                        const char *state, const char *note)
{
    struct reply reply;
    struct json_writer *json;

    http_begin(request, code, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "address");
    address_put(json, address);
    json_name(json, "state");
    json_text(json, state);
    if (note != NULL) {
        json_name(json, "note");
        json_text(json, note);
    }
    json_end_object(json);
    reply_end(&reply);
}

void api_peers_post(struct http_request *request, struct http_context *context)
{
    struct address address;
    struct fault why;

    if (!address_of_body(request, &address)) {
        return;
    }
    if (node_introduce(context->node, http_now(request), &address, &why) != STATUS_OK) {
        reply_fault(request, (struct bytes){ NULL, 0 }, &why, NULL);
        return;
    }
    peer_answer(request, 202, &address, "contacting", NULL);
}

void api_peer_get(struct http_request *request, struct http_context *context)
{
    struct address address;
    struct peer_view peer;
    struct reply reply;

    if (!address_read(http_key(request), &address) || !node_peer(context->node, &address, &peer)) {
        http_refuse(request, 404, "no such peer is known here");
        return;
    }
    http_begin(request, 200, "application/json");
    peer_put(reply_begin(&reply, request), &peer, http_now(request));
    reply_end(&reply);
}

void api_peer_delete(struct http_request *request, struct http_context *context)
{
    struct address address;
    struct peer_view peer;
    struct fault why;

    if (!address_read(http_key(request), &address) || !node_peer(context->node, &address, &peer)) {
        http_refuse(request, 404, "no such peer is known here");
        return;
    }
    if (node_forget(context->node, http_now(request), &address, &why) != STATUS_OK) {
        reply_fault(request, (struct bytes){ NULL, 0 }, &why, NULL);
        return;
    }
    peer_answer(request, 200, &address, "left",
                peer.state == PEER_ALIVE ? "it is alive: it will say so within a second or two, "
                                           "and be taken back"
                                         : NULL);
}
