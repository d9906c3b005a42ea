#include "http/api_packed.h"

#include <assert.h>
#include <string.h>

/* -- large vectors ------------------------------------------------------------------------- */

void packed_copy_init(struct packed_copy *copy)
{
    *copy = (struct packed_copy){ 0 };
    vector_init(&copy->vector);
}

void packed_copy_clear(struct packed_copy *copy, struct mem *mem)
{
    vector_clear(&copy->vector, mem);
    packed_copy_init(copy);
}

enum packed_progress packed_copy_take(struct packed_copy *copy, const struct http_request *request,
                                      struct mem *mem, const struct vector *vector)
{
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = vector_seek(vector, copy->number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        copy->number = block.number;
        if (http_step_is_over(request)) {
            return PACKED_OVER;
        }
        if (vector_merge(&copy->vector, mem, &block, 0, NULL) != STATUS_OK) {
            return PACKED_MEMORY;
        }
    }
    copy->number = 0;
    copy->is_whole = true;
    return PACKED_DONE;
}

bool packed_copy_is_whole(const struct packed_copy *copy)
{
    return copy->is_whole;
}

uint64_t packed_copy_size(const struct packed_copy *copy)
{
    return vector_size(&copy->vector);
}

bool packed_pairs(struct output *output, const struct vector *vector, uint64_t *number,
                  const struct http_request *request)
{
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = vector_seek(vector, *number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        *number = block.number;
        if (request != NULL && http_step_is_over(request)) {
            return false;
        }
        packed_elements(output, &block);
    }
    return true;
}

bool packed_copy_put(struct packed_copy *copy, const struct http_request *request,
                     struct output *output)
{
    assert(copy->is_whole);
    return packed_pairs(output, &copy->vector, &copy->number, request);
}

/* -- one key ------------------------------------------------------------------------------- */

struct sending {
    struct mem *mem;
    uint8_t key[HTTP_KEY_BYTES_MAX];
    size_t key_size;
    uint64_t digest; /* from before the first block was copied */
    const char *type;
    struct packed_copy copy;
    struct reply reply;
};

static void sending_free(void *state)
{
    struct sending *sending = (struct sending *)state;

    packed_copy_clear(&sending->copy, sending->mem);
    mem_free(sending->mem, sending, sizeof *sending);
}

/* What every answer says first, in a map of so many pairs. */
static void facts_put(struct output *output, struct bytes key, uint64_t size, uint64_t digest,
                      uint64_t pairs)
{
    packed_map(output, pairs);
    packed_name(output, "key");
    packed_text(output, key);
    packed_name(output, "size");
    packed_u64(output, size);
    packed_name(output, "digest");
    packed_hex64(output, digest);
}

/* All but the vector. */
static void head_put(struct output *output, struct bytes key, uint64_t size, uint64_t digest)
{
    facts_put(output, key, size, digest, 4);
    packed_name(output, "vector");
}

static enum http_step write_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct sending *sending = (struct sending *)state;
    const bool is_all = packed_copy_put(&sending->copy, request, &sending->reply.output);

    (void)context;
    reply_flush(&sending->reply);
    return is_all ? HTTP_STEP_DONE : HTTP_STEP_AGAIN;
}

/* Copied: from here on the size is known and stays. */
static void write_begin(struct http_request *request, struct sending *sending)
{
    const uint64_t size = packed_copy_size(&sending->copy);
    struct output *output;

    http_etag(request, sending->digest);
    http_stream_begin(request, 200, sending->type, HTTP_LENGTH_UNKNOWN);
    (void)reply_begin(&sending->reply, request);
    output = &sending->reply.output;
    head_put(output, (struct bytes){ sending->key, sending->key_size }, size, sending->digest);
    packed_map(output, size);
    http_continue(request, write_step, sending, sending_free);
}

static enum http_step copy_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct sending *sending = (struct sending *)state;
    const struct entry *entry =
        table_find(context->table, (struct bytes){ sending->key, sending->key_size });

    if (entry == NULL) {
        http_refuse(request, 404, "no such key here any more");
        return HTTP_STEP_DONE;
    }
    switch (packed_copy_take(&sending->copy, request, context->mem, entry_vector(entry))) {
    case PACKED_OVER: return HTTP_STEP_AGAIN;
    case PACKED_MEMORY: http_refuse_memory(request); return HTTP_STEP_DONE;
    case PACKED_DONE: break;
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
    packed_copy_init(&sending->copy);
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
    (void)reply_begin(&reply, request);
    output = &reply.output;
    head_put(output, entry_key(entry), vector_size(entry_vector(entry)), entry_digest(entry));
    packed_map(output, vector_size(chosen));
    (void)packed_pairs(output, chosen, &number, NULL);
    reply_flush(&reply);
}

void packed_range_head(struct output *output, const struct entry *entry, uint64_t from,
                       uint64_t count)
{
    facts_put(output, entry_key(entry), vector_size(entry_vector(entry)), entry_digest(entry), 5);
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
