#include "http/api_packed.h"

#include "base/deadline.h"
#include "http/api_gather.h"

#include <assert.h>
#include <string.h>

void packed_key(struct output *output, struct bytes key, uint64_t others)
{
    const uint32_t deadline = deadline_of(key);
    char text[DEADLINE_ISO_BYTES];

    packed_map(output, (deadline == DEADLINE_NONE ? 1 : 2) + others);
    packed_name(output, "key");
    packed_text(output, key);
    if (deadline != DEADLINE_NONE) {
        deadline_put_iso(text, deadline);
        packed_name(output, "expires");
        packed_text(output, (struct bytes){ (const uint8_t *)text, sizeof text });
    }
}

/* -- one key ------------------------------------------------------------------------------- */

struct sending {
    struct mem *mem;
    uint8_t key[HTTP_KEY_BYTES_MAX];
    size_t key_size;
    uint64_t digest; /* from before the first block was copied */
    uint64_t number; /* block of the copy to go on from */
    const char *type;
    struct gather copy;
    struct reply reply;
};

static void sending_free(void *state)
{
    struct sending *sending = (struct sending *)state;

    gather_clear(&sending->copy);
    mem_free(sending->mem, sending, sizeof *sending);
}

/* What every answer says first, in a map that has so many pairs behind it. */
static void facts_put(struct output *output, struct bytes key, uint64_t size, uint64_t digest,
                      uint64_t others)
{
    packed_key(output, key, 2 + others);
    packed_name(output, "size");
    packed_u64(output, size);
    packed_name(output, "digest");
    packed_hex64(output, digest);
}

/* All but the vector. */
static void head_put(struct output *output, struct bytes key, uint64_t size, uint64_t digest)
{
    facts_put(output, key, size, digest, 1);
    packed_name(output, "vector");
}

static enum http_step write_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct sending *sending = (struct sending *)state;
    const bool is_all =
        reply_vector(&sending->reply, &sending->copy.join, &sending->number, request);

    (void)context;
    reply_flush(&sending->reply);
    return is_all ? HTTP_STEP_DONE : HTTP_STEP_AGAIN;
}

/* Copied: from here on the size is known and stays. */
static void write_begin(struct http_request *request, struct sending *sending)
{
    const uint64_t size = vector_size(&sending->copy.join);
    struct output *output;

    http_etag(request, sending->digest);
    http_stream_begin(request, 200, sending->type, HTTP_LENGTH_UNKNOWN);
    output = reply_begin_packed(&sending->reply, request);
    head_put(output, (struct bytes){ sending->key, sending->key_size }, size, sending->digest);
    packed_map(output, size);
    http_continue(request, write_step, sending, sending_free);
}

static enum http_step copy_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct sending *sending = (struct sending *)state;

    switch (gather_key(&sending->copy, request, context->table,
                       (struct bytes){ sending->key, sending->key_size })) {
    case GATHER_OVER: return HTTP_STEP_AGAIN;
    case GATHER_MEMORY: http_refuse_memory(request); return HTTP_STEP_DONE;
    case GATHER_DONE: break;
    }
    if (sending->copy.matched == 0) {
        http_refuse(request, 404, "no such key here any more");
        return HTTP_STEP_DONE;
    }
    write_begin(request, sending);
    return HTTP_STEP_AGAIN;
}

static void large_get(struct http_request *request, struct http_context *context,
                      const struct entry *entry, const char *type)
{
    const struct bytes key = entry_key(entry);
    struct sending *sending = (struct sending *)mem_alloc_zeroed(context->mem, sizeof *sending);

    if (sending == NULL) {
        http_refuse_memory(request);
        return;
    }
    sending->mem = context->mem;
    sending->digest = entry_digest(entry);
    sending->type = type;
    sending->key_size = key.size;
    memcpy(sending->key, key.data, key.size);
    gather_init(&sending->copy, context->mem);
    http_continue(request, copy_step, sending, sending_free);
}

void packed_chosen(struct http_request *request, const struct entry *entry,
                   const struct vector *chosen, const char *type)
{
    struct reply reply;
    struct output *output;
    uint64_t number = 0;

    http_etag(request, entry_digest(entry));
    http_begin(request, 200, type);
    output = reply_begin_packed(&reply, request);
    head_put(output, entry_key(entry), vector_size(entry_vector(entry)), entry_digest(entry));
    packed_map(output, vector_size(chosen));
    (void)reply_vector(&reply, chosen, &number, NULL);
    reply_flush(&reply);
}

void packed_range_head(struct output *output, const struct entry *entry, uint64_t from,
                       uint64_t count)
{
    facts_put(output, entry_key(entry), vector_size(entry_vector(entry)), entry_digest(entry), 2);
    packed_name(output, "from");
    packed_u64(output, from);
    packed_name(output, "values");
    packed_array(output, count);
}

void packed_get(struct http_request *request, struct http_context *context,
                const struct entry *entry, const char *type)
{
    if (vector_blocks(entry_vector(entry)) > API_AT_ONCE_BLOCKS) {
        large_get(request, context, entry, type);
    } else {
        packed_chosen(request, entry, entry_vector(entry), type);
    }
}
