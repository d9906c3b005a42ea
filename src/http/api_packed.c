#include "http/api_packed.h"

#include "base/text.h"

#include <msgpack.h>

#include <string.h>

struct copying {
    struct mem *mem;
    uint8_t key[HTTP_KEY_BYTES_MAX];
    size_t key_size;
    uint64_t digest;
    uint64_t number; /* of the block to go on from, of either vector */
    struct vector copy;
    struct reply reply;
};

static void copying_free(void *state)
{
    struct copying *copying = (struct copying *)state;

    vector_clear(&copying->copy, copying->mem);
    mem_free(copying->mem, copying, sizeof *copying);
}

static int put(void *data, const char *bytes, size_t size)
{
    json_put_raw((struct json_writer *)data, (struct bytes){ (const uint8_t *)bytes, size });
    return 0;
}

static void text_put(msgpack_packer *packer, struct bytes text)
{
    msgpack_pack_str(packer, text.size);
    msgpack_pack_str_body(packer, text.data, text.size);
}

static void name_put(msgpack_packer *packer, const char *name)
{
    text_put(packer, (struct bytes){ (const uint8_t *)name, strlen(name) });
}

static void head_put(msgpack_packer *packer, struct bytes key, uint64_t size, uint64_t digest)
{
    char hex[16];

    text_put_hex64(hex, digest);
    msgpack_pack_map(packer, 4);
    name_put(packer, "key");
    text_put(packer, key);
    name_put(packer, "size");
    msgpack_pack_uint64(packer, size);
    name_put(packer, "digest");
    text_put(packer, (struct bytes){ (const uint8_t *)hex, sizeof hex });
    name_put(packer, "vector");
    msgpack_pack_map(packer, size);
}

static void block_put(msgpack_packer *packer, const struct block *block)
{
    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);

        if (value != 0) {
            msgpack_pack_uint64(packer, block->number << 8 | block_offset(block, i));
            msgpack_pack_uint64(packer, value);
        }
    }
}

static enum http_step write_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct copying *copying = (struct copying *)state;
    const size_t count = vector_blocks(&copying->copy);
    struct block_room room;
    msgpack_packer packer;

    (void)context;
    msgpack_packer_init(&packer, &copying->reply.json, put);
    for (size_t i = vector_seek(&copying->copy, copying->number); i < count; i++) {
        const struct block block = vector_block(&copying->copy, i, &room);

        copying->number = block.number;
        if (http_step_is_over(request)) {
            reply_flush(&copying->reply);
            return HTTP_STEP_AGAIN;
        }
        block_put(&packer, &block);
    }
    reply_flush(&copying->reply);
    return HTTP_STEP_DONE;
}

/* Copied: from here on the size is known and stays. */
static void write_begin(struct http_request *request, struct copying *copying)
{
    msgpack_packer packer;

    http_etag(request, copying->digest);
    http_stream_begin(request, 200, "application/msgpack", HTTP_LENGTH_UNKNOWN);
    msgpack_packer_init(&packer, reply_begin(&copying->reply, request), put);
    head_put(&packer, (struct bytes){ copying->key, copying->key_size },
             vector_size(&copying->copy), copying->digest);
    copying->number = 0;
    http_continue(request, write_step, copying, copying_free);
}

static enum http_step copy_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct copying *copying = (struct copying *)state;
    const struct entry *entry =
        table_find(context->table, (struct bytes){ copying->key, copying->key_size });
    const struct vector *vector = entry == NULL ? NULL : entry_vector(entry);
    const size_t count = vector == NULL ? 0 : vector_blocks(vector);
    struct block_room room;

    for (size_t i = count == 0 ? 0 : vector_seek(vector, copying->number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        copying->number = block.number;
        if (http_step_is_over(request)) {
            return HTTP_STEP_AGAIN;
        }
        if (vector_merge(&copying->copy, context->mem, &block, 0, NULL) != STATUS_OK) {
            reply_memory(request);
            return HTTP_STEP_DONE;
        }
    }
    write_begin(request, copying);
    return HTTP_STEP_AGAIN;
}

static void large_get(struct http_request *request, struct http_context *context,
                      const struct entry *entry)
{
    const struct bytes key = entry_key(entry);
    struct copying *copying = (struct copying *)mem_alloc_zeroed(context->mem, sizeof *copying);

    if (copying == NULL) {
        reply_memory(request);
        return;
    }
    copying->mem = context->mem;
    copying->digest = entry_digest(entry);
    copying->key_size = key.size;
    memcpy(copying->key, key.data, key.size);
    vector_init(&copying->copy);
    http_continue(request, copy_step, copying, copying_free);
}

void packed_get(struct http_request *request, struct http_context *context,
                const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;
    struct reply reply;
    msgpack_packer packer;

    if (count > API_AT_ONCE_BLOCKS) {
        large_get(request, context, entry);
        return;
    }
    http_etag(request, entry_digest(entry));
    http_begin(request, 200, "application/msgpack");
    msgpack_packer_init(&packer, reply_begin(&reply, request), put);
    head_put(&packer, entry_key(entry), vector_size(vector), entry_digest(entry));
    for (size_t i = 0; i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        block_put(&packer, &block);
    }
    reply_flush(&reply);
}
