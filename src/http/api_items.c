#include "http/api_items.h"

#include "http/api_packed.h"

#include <string.h>

void items_init(struct items *items, struct mem *mem, const struct http_request *request)
{
    *items = (struct items){ .mem = mem };
    items->form = (uint8_t)reply_form(request, API_JSON | API_LINES | API_PACKED, &items->type);
    gather_init(&items->copy, mem);
}

void items_clear(struct items *items)
{
    gather_clear(&items->copy);
}

void items_begin(struct items *items, struct http_request *request, const char *name)
{
    struct json_writer *json = &items->reply.json;

    http_header_add(request, "Vary", "Accept");
    http_stream_begin(request, 200, items->type, HTTP_LENGTH_UNKNOWN);
    reply_begin_form(&items->reply, request, (enum api_form)items->form);
    if (items->form == API_JSON) {
        json_begin_object(json);
        json_name(json, name);
        json_begin_array(json);
    }
}

/* The key of the item written last, or under way. */
static struct bytes last_key(const struct items *items)
{
    return (struct bytes){ items->key, items->key_size };
}

/* -- JSON ---------------------------------------------------------------------------------- */

static void json_item_begin(struct items *items, struct bytes key, const struct vector *vector,
                            const uint64_t *digest)
{
    struct json_writer *json = &items->reply.json;

    if (items->form == API_LINES) {
        json_restart(json);
    }
    reply_facts(&items->reply, key, vector_size(vector), digest, 0);
    if (items->has_vectors) {
        reply_vector_begin(&items->reply, vector_size(vector));
    }
}

static void json_item_end(struct items *items)
{
    struct json_writer *json = &items->reply.json;

    if (items->has_vectors) {
        json_end_object(json);
    }
    json_end_object(json);
    if (items->form == API_LINES) {
        output_put_byte(&items->reply.output, '\n');
    }
}

/* `vector` NULL: it is gone; `request` NULL: all of the vector at once. */
static enum items_progress json_item_go_on(struct items *items, const struct vector *vector,
                                           const struct http_request *request)
{
    if (items->has_vectors && vector != NULL
        && !reply_vector(&items->reply, vector, &items->number, request)) {
        items->is_in_item = true;
        return ITEMS_OVER;
    }
    json_item_end(items);
    return ITEMS_DONE;
}

/* -- msgpack ------------------------------------------------------------------------------- */

static void packed_item_put(struct items *items, const struct vector *vector,
                            const uint64_t *digest)
{
    struct output *output = &items->reply.output;

    if (items->has_vectors) {
        packed_map(output, 1);
        packed_text(output, last_key(items));
        packed_map(output, vector_size(vector));
        (void)reply_vector(&items->reply, vector, &items->number, NULL);
        return;
    }
    reply_facts(&items->reply, last_key(items), vector_size(vector), digest, 0);
}

/* A large vector. Nothing is written before it is copied; gone by then, it is left out. */
static enum items_progress packed_item_go_on(struct items *items,
                                             const struct http_request *request,
                                             const struct table *table)
{
    struct output *output = &items->reply.output;

    items->is_in_item = true;
    if (!items->is_copied) {
        switch (gather_key(&items->copy, request, table, last_key(items))) {
        case GATHER_OVER: return ITEMS_OVER;
        case GATHER_MEMORY: return ITEMS_MEMORY;
        case GATHER_DONE: break;
        }
        items->is_copied = true;
        if (items->copy.matched > 0) {
            packed_map(output, 1);
            packed_text(output, last_key(items));
            packed_map(output, vector_size(&items->copy.join));
        } else {
            gather_clear(&items->copy); /* of what was copied before it was gone nothing is said */
        }
    }
    if (!reply_vector(&items->reply, &items->copy.join, &items->number, request)) {
        return ITEMS_OVER;
    }
    gather_clear(&items->copy);
    items->is_copied = false;
    items->is_in_item = false;
    return ITEMS_DONE;
}

/* -- any form ------------------------------------------------------------------------------ */

enum items_progress items_put(struct items *items, struct http_request *request,
                              const struct http_context *context, struct bytes key,
                              const struct vector *vector, const uint64_t *digest)
{
    const bool is_at_once =
        digest == NULL || !items->has_vectors || vector_blocks(vector) <= API_PACKED_BLOCKS;

    items->number = 0;
    items->key_size = key.size;
    memcpy(items->key, key.data, key.size);
    if (items->form != API_PACKED) {
        json_item_begin(items, key, vector, digest);
        return json_item_go_on(items, vector, digest == NULL ? NULL : request);
    }
    if (!is_at_once) {
        return packed_item_go_on(items, request, context->table);
    }
    packed_item_put(items, vector, digest);
    return ITEMS_DONE;
}

enum items_progress items_resume(struct items *items, struct http_request *request,
                                 const struct http_context *context)
{
    const struct entry *entry;

    if (!items->is_in_item) {
        return ITEMS_DONE;
    }
    if (items->form == API_PACKED) {
        return packed_item_go_on(items, request, context->table);
    }
    items->is_in_item = false;
    entry = table_find(context->table, last_key(items));
    return json_item_go_on(items, entry == NULL ? NULL : entry_vector(entry), request);
}

void items_flush(struct items *items)
{
    reply_flush(&items->reply);
}

void items_end(struct items *items, bool has_more)
{
    struct json_writer *json = &items->reply.json;

    if (items->form == API_JSON) {
        json_end_array(json);
        if (has_more) {
            json_name(json, "next");
            json_string(json, last_key(items));
        }
        json_end_object(json);
        output_put_byte(&items->reply.output, '\n');
    }
    reply_flush(&items->reply);
}
