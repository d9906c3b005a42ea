#include "base/deadline.h"
#include "base/text.h"
#include "http/api.h"
#include "store/pattern.h"
#include "view/packed_writer.h"

#include <assert.h>
#include <string.h>

#define DURATION_MS_MAX (HTTP_WAIT_US_MAX / 1000)

static void sink(void *owner, struct bytes bytes)
{
    http_put((struct http_request *)owner, bytes);
}

struct json_writer *reply_begin(struct reply *reply, struct http_request *request)
{
    const struct space space = { reply->buffer, sizeof reply->buffer };

    output_init(&reply->output, space, sink, request);
    json_begin(&reply->json, &reply->output, http_is_pretty(request));
    reply->is_packed = false;
    return &reply->json;
}

void reply_begin_form(struct reply *reply, struct http_request *request, enum api_form form)
{
    (void)reply_begin(reply, request);
    reply->is_packed = form == API_PACKED;
}

void reply_flush(struct reply *reply)
{
    output_flush(&reply->output);
}

void reply_end(struct reply *reply)
{
    if (!reply->is_packed) {
        output_put_byte(&reply->output, '\n');
    }
    output_flush(&reply->output);
}

/* When a key ends, as text in `room`; empty for one that does not. */
static struct bytes expires_of(struct bytes key, char room[DEADLINE_ISO_BYTES])
{
    const uint32_t deadline = deadline_of(key);

    if (deadline == DEADLINE_NONE) {
        return (struct bytes){ NULL, 0 };
    }
    deadline_put_iso(room, deadline);
    return (struct bytes){ (const uint8_t *)room, DEADLINE_ISO_BYTES };
}

void reply_key(struct json_writer *json, struct bytes key)
{
    char room[DEADLINE_ISO_BYTES];
    const struct bytes expires = expires_of(key, room);

    json_name(json, "key");
    json_string(json, key);
    if (expires.size > 0) {
        json_name(json, "expires");
        json_string(json, expires);
    }
}

static void packed_facts(struct output *output, struct bytes key, uint64_t size,
                         const uint64_t *digest, unsigned others)
{
    char room[DEADLINE_ISO_BYTES];
    const struct bytes expires = expires_of(key, room);

    packed_map(output, UINT64_C(2) + (expires.size > 0) + (digest != NULL) + others);
    packed_name(output, "key");
    packed_text(output, key);
    if (expires.size > 0) {
        packed_name(output, "expires");
        packed_text(output, expires);
    }
    packed_name(output, "size");
    packed_u64(output, size);
    if (digest != NULL) {
        packed_name(output, "digest");
        packed_hex64(output, *digest);
    }
}

void reply_facts(struct reply *reply, struct bytes key, uint64_t size, const uint64_t *digest,
                 unsigned others)
{
    struct json_writer *json = &reply->json;

    if (reply->is_packed) {
        packed_facts(&reply->output, key, size, digest, others);
        return;
    }
    json_begin_object(json);
    reply_key(json, key);
    json_name(json, "size");
    json_u64(json, size);
    if (digest != NULL) {
        json_name(json, "digest");
        json_hex64(json, *digest);
    }
}

void reply_vector_begin(struct reply *reply, uint64_t elements)
{
    if (reply->is_packed) {
        packed_name(&reply->output, "vector");
        packed_map(&reply->output, elements);
    } else {
        json_name(&reply->json, "vector");
        json_begin_object(&reply->json);
    }
}

void reply_vector_end(struct reply *reply)
{
    if (!reply->is_packed) {
        json_end_object(&reply->json);
        json_end_object(&reply->json);
    }
    reply_end(reply);
}

bool reply_vector(struct reply *reply, const struct vector *vector, uint64_t *number,
                  const struct http_request *request)
{
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = vector_seek(vector, *number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        if (request != NULL && http_step_is_over(request)) {
            *number = block.number;
            return false;
        }
        if (reply->is_packed) {
            packed_elements(&reply->output, &block);
        } else {
            json_elements(&reply->json, &block, NULL);
        }
    }
    return true;
}

bool reply_minimal(struct http_request *request)
{
    static const char preference[] = "return=minimal";

    if (!http_prefers(request, preference)) {
        return false;
    }
    http_header_add(request, "Preference-Applied", preference);
    http_begin(request, 204, NULL);
    return true;
}

void reply_fault(struct http_request *request, struct bytes key, const struct fault *why,
                 const struct http_place *place)
{
    switch (why->code) {
    case STATUS_CONFLICT:
        if (node_is_reserved(key)) {
            http_refuse(request, 403,
                        "keys of peers, n: and an address, are kept by the nodes themselves; "
                        "introduce peers with POST /peers");
            return;
        }
        http_problem(request, 400, why, place);
        return;
    case STATUS_ENDED: http_problem(request, 410, why, place); return;
    case STATUS_FULL:
    case STATUS_MEMORY: http_problem(request, 507, why, place); return;
    case STATUS_SYSTEM:
    case STATUS_CORRUPT: http_problem(request, 503, why, place); return;
    case STATUS_INVALID:
    case STATUS_OK:
    case STATUS_COUNT: break;
    }
    http_problem(request, 400, why, place);
}

bool disk_takes(const struct http_context *context, bool is_deletion, struct fault *why)
{
    struct api_disk disk;

    if (context->disk == NULL) {
        return true;
    }
    disk = context->disk(context->shell);
    if (disk.state == API_DISK_FULL && !is_deletion) {
        (void)fault_set(why, STATUS_FULL,
                        "there is no space on the disk (%s): nothing is updated until there is; "
                        "deletions still pass",
                        strerror(disk.error));
        return false;
    }
    if (disk.state == API_DISK_FAILING) {
        (void)fault_set(why, STATUS_SYSTEM,
                        "the disk fails (%s): nothing is updated until it is back",
                        strerror(disk.error));
        return false;
    }
    return true;
}

bool query_u64(struct http_request *request, const char *name, uint64_t min, uint64_t max,
               uint64_t *number)
{
    struct bytes text;
    uint64_t given;

    if (!http_query(request, name, &text)) {
        return true;
    }
    if (!text_get_u64(text, &given) || given < min || given > max) {
        http_refuse(request, 400, "'%s' must be a whole number %llu..%llu", name,
                    (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *number = given;
    return true;
}

bool query_duration(struct http_request *request, const char *name, uint64_t *us)
{
    struct bytes text;
    uint64_t ms;

    if (!http_query(request, name, &text)) {
        return true;
    }
    if (!text_get_duration_ms(text, &ms)) {
        http_refuse(request, 400, "'%s' must be a duration like 250ms, 30s or 5m", name);
        return false;
    }
    if (ms > DURATION_MS_MAX) {
        http_refuse(request, 400, "'%s' is at most 5m", name);
        return false;
    }
    *us = ms * 1000;
    return true;
}

bool query_only(struct http_request *request, const char *taker, const char *words)
{
    struct bytes name;

    if (!http_query_beside(request, words, &name)) {
        return true;
    }
    http_refuse(request, 400, "'%.*s' does not go with %s", (int)name.size, (const char *)name.data,
                taker);
    return false;
}

static const struct {
    const char *name;
    enum api_form form;
} types[] = {
    { "text/event-stream", API_EVENTS },       { "application/json", API_JSON },
    { "application/x-ndjson", API_LINES },     { "application/ndjson", API_LINES },
    { "application/jsonl", API_LINES },        { "application/msgpack", API_PACKED },
    { "application/vnd.msgpack", API_PACKED }, { "application/x-msgpack", API_PACKED },
};
#define TYPES_COUNT (sizeof types / sizeof types[0])

enum api_form reply_form(const struct http_request *request, unsigned forms, const char **type_out)
{
    size_t chosen = TYPES_COUNT;
    unsigned most = 0;

    for (size_t i = 0; i < TYPES_COUNT; i++) {
        const unsigned wanted = http_accepts(request, types[i].name);

        if ((types[i].form & forms) != 0 && (chosen == TYPES_COUNT || wanted > most)) {
            chosen = i;
            most = wanted;
        }
    }
    assert(chosen < TYPES_COUNT);
    *type_out = types[chosen].name;
    return types[chosen].form;
}

enum api_form body_form(const struct http_request *request)
{
    for (size_t i = 0; i < TYPES_COUNT; i++) {
        if (http_type_is(request, types[i].name)) {
            return types[i].form;
        }
    }
    return API_JSON;
}

bool key_is_presence(struct bytes key)
{
    return key.size >= 2 && key.data[0] == 'n' && key.data[1] == ':';
}

size_t presence_key_put(uint8_t to[API_PRESENCE_KEY_MAX], const struct address *address)
{
    to[0] = 'n';
    to[1] = ':';
    return 2 + address_to_text(address, (char *)to + 2);
}

/* Merging a few elements into an inlined vector can fail for want of memory only; what is shown
 * then is short of them. */
bool reply_presence(const struct http_context *context, struct bytes key, struct vector *scratch)
{
    const struct entry *entry = table_find(context->table, key);
    const uint64_t stamp = node_stamp(context->node, key);
    const uint8_t offset = 0;
    const struct block first = {
        .values = &stamp, .offsets = &offset, .count = 1, .width = sizeof stamp
    };

    vector_init(scratch);
    if (stamp != 0 && vector_merge(scratch, context->mem, &first, 0, NULL) != STATUS_OK) {
        return false;
    }
    if (entry != NULL) {
        const size_t count = vector_blocks(entry_vector(entry));
        struct block_room room;

        for (size_t i = 0; i < count; i++) {
            const struct block block = vector_block(entry_vector(entry), i, &room);

            if (vector_merge(scratch, context->mem, &block, 0, NULL) != STATUS_OK) {
                break;
            }
        }
    }
    return vector_size(scratch) > 0;
}
