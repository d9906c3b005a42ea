/* Pages of keys, in byte order, and searches: pages that show the vectors. */

#include "http/api.h"
#include "store/pattern.h"

#include <string.h>

#define SLICE_KEYS 64

struct name {
    uint8_t data[HTTP_KEY_BYTES_MAX];
    size_t size;
};

struct listing {
    struct mem *mem;
    struct name prefix;
    struct name pattern; /* size 0: none */
    struct name after;   /* what was looked at last; a copy, so that no iterator can go stale */
    struct name shown;   /* what was written last */
    uint64_t limit;
    uint64_t count;
    uint64_t number; /* of the vector under way: block to go on from */
    bool has_vectors;
    bool is_presence; /* keys of peers: in the order of their addresses */
    bool is_empty;    /* prefix and pattern contradict each other */
    bool is_in_item;
    struct reply reply;
};

static void listing_free(void *state)
{
    struct listing *listing = (struct listing *)state;

    mem_free(listing->mem, listing, sizeof *listing);
}

static void name_set(struct name *name, struct bytes bytes)
{
    name->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(name->data, bytes.data, bytes.size);
    }
}

static struct bytes name_bytes(const struct name *name)
{
    return (struct bytes){ name->data, name->size };
}

static bool begins_with(struct bytes whole, struct bytes front)
{
    return whole.size >= front.size && memcmp(whole.data, front.data, front.size) == 0;
}

static bool wanted(const struct listing *listing, struct bytes key)
{
    return listing->pattern.size == 0 || pattern_matches(name_bytes(&listing->pattern), key);
}

/* -- writing ------------------------------------------------------------------------------- */

static void item_begin(struct listing *listing, struct bytes key, const struct vector *vector,
                       const uint64_t *digest)
{
    struct json_writer *json = &listing->reply.json;

    json_begin_object(json);
    json_name(json, "key");
    json_string(json, key);
    json_name(json, "size");
    json_u64(json, vector_size(vector));
    if (digest != NULL) {
        json_name(json, "digest");
        json_hex64(json, *digest);
    }
    if (listing->has_vectors) {
        json_name(json, "vector");
        json_begin_object(json);
    }
    name_set(&listing->shown, key);
    listing->count++;
    listing->number = 0;
    listing->is_in_item = true;
}

static void item_end(struct listing *listing)
{
    if (listing->has_vectors) {
        json_end_object(&listing->reply.json);
    }
    json_end_object(&listing->reply.json);
    listing->is_in_item = false;
}

/* The rest of the item under way. False: the step is over. */
static bool item_write(struct http_request *request, struct http_context *context,
                       struct listing *listing)
{
    const struct entry *entry = table_find(context->table, name_bytes(&listing->shown));

    if (listing->has_vectors && entry != NULL
        && !reply_vector(&listing->reply.json, entry_vector(entry), &listing->number, request)) {
        return false;
    }
    item_end(listing);
    return true;
}

static enum http_step pause(struct listing *listing)
{
    reply_flush(&listing->reply);
    return HTTP_STEP_AGAIN;
}

static enum http_step finish(struct listing *listing, enum http_step step, const struct name *next)
{
    struct json_writer *json = &listing->reply.json;

    json_end_array(json);
    if (next != NULL) {
        json_name(json, "next");
        json_string(json, name_bytes(next));
    }
    json_end_object(json);
    reply_end(&listing->reply);
    return step;
}

/* -- keys of the store --------------------------------------------------------------------- */

enum slice { SLICE_ON, SLICE_PAUSE, SLICE_FULL };

/* Show what is wanted of a slice, up to the last key looked at. */
static enum slice slice_write(struct http_request *request, struct http_context *context,
                              struct listing *listing, struct entry *const *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = entries[i];
        const struct bytes key = entry_key(entry);
        const uint64_t digest = entry_digest(entry);

        if (http_step_is_over(request)) {
            return SLICE_PAUSE;
        }
        if (entry_set(entry) == TABLE_D && wanted(listing, key)) {
            if (listing->count == listing->limit) {
                return SLICE_FULL;
            }
            item_begin(listing, key, entry_vector(entry), &digest);
            name_set(&listing->after, key);
            if (!item_write(request, context, listing)) {
                return SLICE_PAUSE;
            }
        } else {
            name_set(&listing->after, key);
        }
    }
    return SLICE_ON;
}

static enum http_step keys_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct listing *listing = (struct listing *)state;
    struct entry *entries[SLICE_KEYS];

    if (listing->is_in_item && !item_write(request, context, listing)) {
        return pause(listing);
    }
    while (!listing->is_empty && !http_step_is_over(request)) {
        const size_t count = table_slice(context->table, name_bytes(&listing->prefix),
                                         name_bytes(&listing->after), entries, SLICE_KEYS);

        switch (slice_write(request, context, listing, entries, count)) {
        case SLICE_PAUSE: return pause(listing);
        case SLICE_FULL: return finish(listing, HTTP_STEP_DONE, &listing->shown);
        case SLICE_ON: break;
        }
        if (count < SLICE_KEYS) {
            return finish(listing, HTTP_STEP_DONE, NULL);
        }
    }
    return listing->is_empty ? finish(listing, HTTP_STEP_DONE, NULL) : pause(listing);
}

/* -- keys of peers ------------------------------------------------------------------------- */

static void presence_write(struct http_context *context, struct listing *listing, struct bytes key)
{
    struct vector vector;

    if (presence_vector(context, key, &vector)) {
        item_begin(listing, key, &vector, NULL);
        if (listing->has_vectors) {
            (void)reply_vector(&listing->reply.json, &vector, &listing->number, NULL);
        }
        item_end(listing);
    }
    vector_clear(&vector, context->mem);
}

static enum http_step peers_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct listing *listing = (struct listing *)state;
    struct peer_view peers[SLICE_KEYS];
    struct address after;
    size_t count;

    do {
        const struct bytes text = { listing->after.data + 2, listing->after.size - 2 };
        const bool is_first = listing->after.size == 0;

        if (!is_first && !address_from_text(text, &after)) {
            break;
        }
        count = node_peers(context->node, is_first ? NULL : &after, peers, SLICE_KEYS);
        for (size_t i = 0; i < count; i++) {
            uint8_t buffer[API_PRESENCE_KEY_MAX];
            const struct bytes key = { buffer, presence_key_put(buffer, &peers[i].address) };

            name_set(&listing->after, key);
            if (!begins_with(key, name_bytes(&listing->prefix)) || !wanted(listing, key)) {
                continue;
            }
            if (listing->count == listing->limit) {
                return finish(listing, HTTP_STEP_DONE, &listing->shown);
            }
            presence_write(context, listing, key);
        }
        if (count == SLICE_KEYS && http_step_is_over(request)) {
            return pause(listing);
        }
    } while (count == SLICE_KEYS);
    return finish(listing, HTTP_STEP_DONE, NULL);
}

/* -- beginning ----------------------------------------------------------------------------- */

/* A parameter that is a key or a piece of one. */
static bool name_query(struct http_request *request, const char *parameter, struct name *name)
{
    struct bytes text;

    if (!http_query(request, parameter, 0, &text)) {
        return true;
    }
    if (text.size > sizeof name->data) {
        http_refuse(request, 400, "'%s' is longer than 255 bytes", parameter);
        return false;
    }
    name_set(name, text);
    return true;
}

static struct listing *listing_create(struct http_request *request, struct http_context *context)
{
    struct listing *listing = (struct listing *)mem_alloc(context->mem, sizeof *listing);

    if (listing == NULL) {
        reply_memory(request);
        return NULL;
    }
    *listing = (struct listing){ .mem = context->mem, .limit = API_KEYS_LIMIT };
    if (!query_u64(request, "limit", 1, API_KEYS_LIMIT_MAX, &listing->limit)
        || !name_query(request, "after", &listing->after)) {
        listing_free(listing);
        return NULL;
    }
    return listing;
}

/* Limit the listing to what the pattern and the prefix allow together. */
static void listing_limit(struct listing *listing)
{
    const struct bytes front = pattern_prefix(name_bytes(&listing->pattern));
    const struct bytes prefix = name_bytes(&listing->prefix);

    if (listing->pattern.size > 0) {
        if (begins_with(front, prefix)) {
            name_set(&listing->prefix, front);
        } else if (!begins_with(prefix, front)) {
            listing->is_empty = true;
        }
    }
    listing->is_presence = key_is_presence(name_bytes(&listing->prefix)) && !listing->is_empty;
}

static void listing_begin(struct http_request *request, struct listing *listing, const char *name)
{
    const struct bytes after = name_bytes(&listing->after);
    struct json_writer *json;

    listing_limit(listing);
    if (listing->is_presence && after.size > 0 && !key_is_presence(after)) {
        http_refuse(request, 400, "'after' is not a key of this listing");
        listing_free(listing);
        return;
    }
    http_stream_begin(request, 200, "application/json", HTTP_LENGTH_UNKNOWN);
    json = reply_begin(&listing->reply, request);
    json_begin_object(json);
    json_name(json, name);
    json_begin_array(json);
    http_continue(request, listing->is_presence ? peers_step : keys_step, listing, listing_free);
}

void api_keys_get(struct http_request *request, struct http_context *context)
{
    struct listing *listing = listing_create(request, context);

    if (listing == NULL) {
        return;
    }
    if (!name_query(request, "prefix", &listing->prefix)
        || !name_query(request, "match", &listing->pattern)) {
        listing_free(listing);
        return;
    }
    listing->has_vectors = query_flag(request, "vectors");
    listing_begin(request, listing, "keys");
}

void api_search_get(struct http_request *request, struct http_context *context)
{
    struct listing *listing = listing_create(request, context);

    if (listing == NULL) {
        return;
    }
    name_set(&listing->pattern, http_key(request));
    listing->has_vectors = true;
    listing_begin(request, listing, "results");
}
