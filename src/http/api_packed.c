#include "http/api_packed.h"

#include "http/api_gather.h"

#include <assert.h>
#include <string.h>

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
    const struct bytes key = { sending->key, sending->key_size };
    const uint64_t size = vector_size(&sending->copy.join);

    http_etag(request, sending->digest);
    http_stream_begin(request, 200, sending->type, HTTP_LENGTH_UNKNOWN);
    reply_begin_form(&sending->reply, request, API_PACKED);
    reply_facts(&sending->reply, key, size, &sending->digest, 1);
    reply_vector_begin(&sending->reply, size);
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

void packed_get(struct http_request *request, struct http_context *context,
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
