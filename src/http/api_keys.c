/* Reading one key. */

#include "base/deadline.h"
#include "base/text.h"
#include "http/api.h"
#include "http/api_packed.h"
#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define AGGREGATE_TAKES "an aggregate (a key with *); changes come by /watch?match="
#define INDEX_TAKES     "'index': ask for a range or for chosen elements"
#define PEER_TAKES      "the key of a peer"
#define KEY_TAKES                                                     \
    "one key, which takes 'wait' and 'index' or 'from' and 'count'; " \
    "'limit' and 'after' are for lists"

/* A key's vector on its way out, in steps. The key is looked up again in each: an entry could be
 * gone by then. Values only rise, so that what is read late is something newer. */
struct reading {
    struct mem *mem;
    uint8_t key[HTTP_KEY_BYTES_MAX];
    size_t key_size;
    uint64_t number; /* of the block to go on from */
    struct reply reply;
};

static void reading_free(void *state)
{
    struct reading *reading = (struct reading *)state;

    mem_free(reading->mem, reading, sizeof *reading);
}

static void larger_head_put(struct json_writer *json, struct bytes key, uint64_t digest)
{
    json_begin_object(json);
    reply_key(json, key);
    json_name(json, "changed");
    json_begin_object(json);
    json_end_object(json);
    json_name(json, "digest");
    json_hex64(json, digest);
    json_name(json, "larger");
    json_begin_object(json);
}

static enum http_step reading_step(struct http_request *request, struct http_context *context,
                                   void *state)
{
    struct reading *reading = (struct reading *)state;
    const struct entry *entry =
        table_find(context->table, (struct bytes){ reading->key, reading->key_size });

    if (entry != NULL
        && !reply_vector(&reading->reply, entry_vector(entry), &reading->number, request)) {
        reply_flush(&reading->reply);
        return HTTP_STEP_AGAIN;
    }
    reply_vector_end(&reading->reply);
    return HTTP_STEP_DONE;
}

enum http_step api_vector_answer(struct http_request *request, struct http_context *context,
                                 const struct entry *entry, enum api_vector_form form)
{
    const struct bytes key = entry_key(entry);
    const struct vector *vector = entry_vector(entry);
    const bool is_large = vector_blocks(vector) > API_AT_ONCE_BLOCKS;
    const uint64_t digest = entry_digest(entry);
    struct reading *reading = (struct reading *)mem_alloc(context->mem, sizeof *reading);
    struct json_writer *json;

    if (reading == NULL) {
        http_refuse_memory(request);
        return HTTP_STEP_DONE;
    }
    reading->mem = context->mem;
    reading->number = 0;
    reading->key_size = key.size;
    memcpy(reading->key, key.data, key.size);
    if (form == API_VECTOR) {
        http_etag(request, digest);
    }
    if (is_large) {
        http_stream_begin(request, 200, "application/json", HTTP_LENGTH_UNKNOWN);
    } else {
        http_begin(request, 200, "application/json");
    }
    json = reply_begin(&reading->reply, request);
    if (form == API_VECTOR) {
        reply_facts(&reading->reply, key, vector_size(vector), &digest, 1);
        reply_vector_begin(&reading->reply, vector_size(vector));
    } else {
        larger_head_put(json, key, digest);
    }
    if (is_large) {
        http_continue(request, reading_step, reading, reading_free);
        return HTTP_STEP_AGAIN;
    }
    (void)reply_vector(&reading->reply, vector, &reading->number, NULL);
    reply_vector_end(&reading->reply);
    reading_free(reading);
    return HTTP_STEP_DONE;
}

/* A vector that lies ready, with the head of the key it was asked for under. */
static void ready_put(struct http_request *request, enum api_form form, const struct vector *vector,
                      const struct vector *whole, const uint64_t *digest)
{
    struct reply reply;
    uint64_t number = 0;

    reply_begin_form(&reply, request, form);
    reply_facts(&reply, http_key(request), vector_size(whole), digest, 1);
    reply_vector_begin(&reply, vector_size(vector));
    (void)reply_vector(&reply, vector, &number, NULL);
    reply_vector_end(&reply);
}

static void range_values_put(struct reply *reply, const struct vector *vector, uint64_t from,
                             uint64_t count)
{
    for (uint64_t i = 0; i < count;) {
        const uint64_t number = (from + i) >> 8;
        const size_t position = vector_seek(vector, number);
        struct block_room room;
        struct block block = { .number = number + 1 };

        if (position < vector_blocks(vector)) {
            block = vector_block(vector, position, &room);
        }
        do {
            const unsigned offset = (unsigned)((from + i) & 0xff);
            const uint64_t value = block.number == number ? block_get(&block, offset) : 0;

            if (reply->is_packed) {
                packed_u64(&reply->output, value);
            } else {
                json_u64(&reply->json, value);
            }
            i++;
        } while (i < count && (from + i) >> 8 == number);
    }
}

/* `?from=&count=`: every value of a range, zeros too. */
static void range_get(struct http_request *request, const struct entry *entry)
{
    const uint64_t digest = entry_digest(entry);
    const struct vector *vector = entry_vector(entry);
    uint64_t from = 0;
    uint64_t count = API_RANGE_MAX;
    struct reply reply;
    struct json_writer *json = &reply.json;
    const char *type;
    enum api_form form;

    if (!query_u64(request, "from", 0, UINT64_MAX, &from)
        || !query_u64(request, "count", 1, API_RANGE_MAX, &count)) {
        return;
    }
    if (count - 1 > UINT64_MAX - from) {
        count = UINT64_MAX - from + 1;
    }
    form = reply_form(request, API_JSON | API_PACKED, &type);
    http_etag(request, digest);
    http_begin(request, 200, type);
    reply_begin_form(&reply, request, form);
    reply_facts(&reply, http_key(request), vector_size(vector), &digest, 2);
    if (form == API_PACKED) {
        packed_name(&reply.output, "from");
        packed_u64(&reply.output, from);
        packed_name(&reply.output, "values");
        packed_array(&reply.output, count);
    } else {
        json_name(json, "from");
        json_u64(json, from);
        json_name(json, "values");
        json_begin_array(json);
    }
    range_values_put(&reply, vector, from, count);
    if (form != API_PACKED) {
        json_end_array(json);
        json_end_object(json);
    }
    reply_end(&reply);
}

/* `?index=`, repeated: chosen elements. */
static void chosen_get(struct http_request *request, struct http_context *context,
                       const struct entry *entry)
{
    const uint64_t digest = entry_digest(entry);
    struct vector chosen;
    struct bytes text;
    const char *type;
    enum api_form form;

    vector_init(&chosen);
    for (size_t at = 0; http_query_next(request, "index", &at, &text);) {
        uint64_t index;
        uint64_t value;
        uint8_t offset;
        struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };

        if (!text_get_u64(text, &index)) {
            http_refuse(request, 400, "'index' must be a whole number 0..18446744073709551615");
            goto clear_chosen;
        }
        value = vector_get(entry_vector(entry), index);
        offset = (uint8_t)index;
        block.number = index >> 8;
        if (value > 0 && vector_merge(&chosen, context->mem, &block, 0, NULL) != STATUS_OK) {
            http_refuse_memory(request);
            goto clear_chosen;
        }
    }
    form = reply_form(request, API_JSON | API_PACKED, &type);
    http_etag(request, digest);
    http_begin(request, 200, type);
    ready_put(request, form, &chosen, entry_vector(entry), &digest);
clear_chosen:
    vector_clear(&chosen, context->mem);
}

/* Presence changes with every announcement of its owner: no digest, no ETag, no wait. */
static void presence_get(struct http_request *request, struct http_context *context)
{
    struct vector vector;

    if (reply_presence(context, http_key(request), &vector)) {
        http_begin(request, 200, "application/json");
        ready_put(request, API_JSON, &vector, &vector, NULL);
    } else {
        http_refuse(request, 404, "no such peer is known here");
    }
    vector_clear(&vector, context->mem);
}

static void pattern_get(struct http_request *request, struct http_context *context)
{
    const struct bytes key = http_key(request);
    const bool is_search = memchr(key.data, '%', key.size) != NULL;
    const bool is_aggregate = memchr(key.data, '*', key.size) != NULL;

    if (is_aggregate && !is_search && !query_only(request, AGGREGATE_TAKES, "")) {
        return;
    }
    if (is_search && is_aggregate) {
        http_refuse(request, 400,
                    "a pattern has either %% (a search) or * (an aggregate), not both; use "
                    "GET /keys?match= to list");
    } else if (is_search) {
        api_search_get(request, context);
    } else {
        api_aggregate_get(request, context);
    }
}

/* There is no such key. Who waited for a change of it is told that it is gone; for a key that is to
 * be born it is waited, unless it has ended. */
static void absent_get(struct http_request *request, const struct http_context *context,
                       uint64_t wait_us)
{
    const struct bytes key = http_key(request);
    const uint32_t deadline = deadline_of(key);
    char text[DEADLINE_ISO_BYTES];

    if (deadline <= deadline_now(node_now_s(context->node, http_now(request)))) {
        deadline_put_iso(text, deadline);
        http_refuse(request, 404, "the key ended at %.*s", (int)sizeof text, text);
    } else if (wait_us == 0 || http_has_waited(request)
               || !http_park_until_changed(request, key, wait_us)) {
        http_refuse(request, 404, "no such key here");
    }
}

void api_key_get(struct http_request *request, struct http_context *context)
{
    const struct bytes key = http_key(request);
    const struct entry *entry;
    uint64_t wait_us = 0;
    uint64_t digest;
    const char *type;

    if (pattern_is(key)) {
        pattern_get(request, context);
        return;
    }
    if (node_is_reserved(key)) {
        if (query_only(request, PEER_TAKES, "")) {
            presence_get(request, context);
        }
        return;
    }
    if (!query_only(request, KEY_TAKES, "wait index from count")
        || !query_duration(request, "wait", &wait_us)) {
        return;
    }
    if (http_query_count(request, "index") > 0 && !query_only(request, INDEX_TAKES, "wait index")) {
        return;
    }
    entry = table_find(context->table, key);
    if (entry == NULL || vector_size(entry_vector(entry)) == 0) {
        absent_get(request, context, wait_us);
        return;
    }
    digest = entry_digest(entry);
    if (http_etag_matches(request, digest)) {
        if (wait_us == 0 || !http_park_until_changed(request, key, wait_us)) {
            http_not_modified(request, digest);
        }
        return;
    }
    if (http_query_count(request, "index") > 0) {
        chosen_get(request, context, entry);
    } else if (http_query_count(request, "from") > 0 || http_query_count(request, "count") > 0) {
        range_get(request, entry);
    } else if (reply_form(request, API_JSON | API_PACKED, &type) == API_JSON) {
        (void)api_vector_answer(request, context, entry, API_VECTOR);
    } else if (vector_blocks(entry_vector(entry)) > API_AT_ONCE_BLOCKS) {
        packed_get(request, context, entry, type);
    } else {
        http_etag(request, digest);
        http_begin(request, 200, type);
        ready_put(request, API_PACKED, entry_vector(entry), entry_vector(entry), &digest);
    }
}
