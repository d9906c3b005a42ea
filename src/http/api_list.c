/* Pages of keys, in byte order, and searches: listings that show the vectors. */

#include "http/api_items.h"
#include "http/api_names.h"
#include "store/pattern.h"

#include <string.h>

#define SLICE_KEYS 64

#define SEARCH_TAKES \
    "a search (a key with %), which takes 'after' and 'limit'; changes come by /watch?match="

struct name {
    uint8_t data[HTTP_KEY_BYTES_MAX];
    size_t size;
};

struct listing {
    struct mem *mem;
    struct name prefix;
    struct name pattern; /* size 0: none */
    struct name after;   /* what was looked at last; a copy, so that no iterator can go stale */
    uint64_t limit;
    uint64_t count;
    bool is_empty; /* prefix and pattern contradict each other */
    struct names names;
    struct items items;
};

static void listing_free(void *state)
{
    struct listing *listing = (struct listing *)state;

    items_clear(&listing->items);
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

static bool wanted(const struct listing *listing, struct bytes key)
{
    return listing->pattern.size == 0 || pattern_matches(name_bytes(&listing->pattern), key);
}

/* -- listing ------------------------------------------------------------------------------- */

static enum http_step pause(struct listing *listing)
{
    items_flush(&listing->items);
    return HTTP_STEP_AGAIN;
}

static enum http_step finish(struct listing *listing, bool has_more)
{
    items_end(&listing->items, has_more);
    return HTTP_STEP_DONE;
}

static enum http_step unfinished(struct listing *listing, enum items_progress progress)
{
    return progress == ITEMS_MEMORY ? HTTP_STEP_ABORT : pause(listing);
}

/* What became of a key or a slice of them. */
enum list_progress {
    LISTING_GOES_ON,
    LISTING_OVER /* the step is over */,
    LISTING_FULL /* up to the limit */,
    LISTING_FAILED
};

static enum list_progress progress_of(enum items_progress progress)
{
    return progress == ITEMS_DONE   ? LISTING_GOES_ON
           : progress == ITEMS_OVER ? LISTING_OVER
                                    : LISTING_FAILED;
}

/* Show what is wanted of a slice, up to the last key looked at. */
static enum list_progress slice_show(struct http_request *request,
                                     const struct http_context *context, struct listing *listing,
                                     struct entry *const *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bytes key = entry_key(entries[i]);
        const uint64_t digest = entry_digest(entries[i]);
        enum list_progress progress = LISTING_GOES_ON;

        if (http_step_is_over(request)) {
            return LISTING_OVER;
        }
        if (entry_set(entries[i]) == TABLE_DATA && wanted(listing, key)
            && !entry_ended(context->table, entries[i])) {
            if (listing->count == listing->limit) {
                return LISTING_FULL;
            }
            listing->count++;
            progress = progress_of(items_put(&listing->items, request, context, key,
                                             entry_vector(entries[i]), &digest));
        }
        name_set(&listing->after, key);
        if (progress != LISTING_GOES_ON) {
            return progress;
        }
    }
    return LISTING_GOES_ON;
}

static enum http_step keys_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct listing *listing = (struct listing *)state;
    const enum items_progress resumed = items_resume(&listing->items, request, context);
    struct entry *entries[SLICE_KEYS];

    if (resumed != ITEMS_DONE) {
        return unfinished(listing, resumed);
    }
    while (!listing->is_empty) {
        const size_t count = table_slice(context->table, name_bytes(&listing->prefix),
                                         name_bytes(&listing->after), entries, SLICE_KEYS);

        switch (slice_show(request, context, listing, entries, count)) {
        case LISTING_OVER: return pause(listing);
        case LISTING_FULL: return finish(listing, true);
        case LISTING_FAILED: return HTTP_STEP_ABORT;
        case LISTING_GOES_ON: break;
        }
        if (count < SLICE_KEYS) {
            break;
        }
    }
    return finish(listing, false);
}

/* -- keys that begin with "n:" --------------------------------------------------------------- */

/* Show one, unless there is nothing of it any more. */
static enum list_progress name_show(struct http_request *request, struct http_context *context,
                                    struct listing *listing, struct bytes key)
{
    const struct entry *entry = table_find(context->table, key);
    struct vector presence;
    enum list_progress progress = LISTING_GOES_ON;

    if (listing->count == listing->limit) {
        return LISTING_FULL;
    }
    if (entry != NULL && entry_set(entry) == TABLE_DATA) {
        const uint64_t digest = entry_digest(entry);

        listing->count++;
        return progress_of(
            items_put(&listing->items, request, context, key, entry_vector(entry), &digest));
    }
    if (reply_presence(context, key, &presence)) {
        listing->count++;
        progress = progress_of(items_put(&listing->items, request, context, key, &presence, NULL));
    }
    vector_clear(&presence, context->mem);
    return progress;
}

static enum http_step names_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct listing *listing = (struct listing *)state;
    const enum items_progress resumed = items_resume(&listing->items, request, context);
    struct bytes key;

    if (resumed != ITEMS_DONE) {
        return unfinished(listing, resumed);
    }
    while (!http_step_is_over(request)) {
        enum list_progress progress = LISTING_GOES_ON;

        switch (names_next(&listing->names, request, context, name_bytes(&listing->prefix),
                           name_bytes(&listing->after), &key)) {
        case NAMES_OVER: return pause(listing);
        case NAMES_END: return finish(listing, false);
        case NAMES_ONE: break;
        }
        if (wanted(listing, key)) {
            progress = name_show(request, context, listing, key);
        }
        name_set(&listing->after, key);
        switch (progress) {
        case LISTING_OVER: return pause(listing);
        case LISTING_FULL: return finish(listing, true);
        case LISTING_FAILED: return HTTP_STEP_ABORT;
        case LISTING_GOES_ON: break;
        }
    }
    return pause(listing);
}

/* -- beginning ----------------------------------------------------------------------------- */

/* A parameter that is a key or a piece of one. */
static bool name_query(struct http_request *request, const char *parameter, struct name *name)
{
    struct bytes text;

    if (!http_query(request, parameter, &text)) {
        return true;
    }
    if (text.size > sizeof name->data) {
        http_refuse(request, 400, "'%s' is longer than 255 bytes", parameter);
        return false;
    }
    name_set(name, text);
    return true;
}

/* A page is for people and has an end; lines and msgpack are for programs, which take all that
 * there is as it comes. */
static struct listing *listing_create(struct http_request *request, struct http_context *context)
{
    bool is_page;
    struct listing *listing = (struct listing *)mem_alloc_zeroed(context->mem, sizeof *listing);

    if (listing == NULL) {
        http_refuse_memory(request);
        return NULL;
    }
    listing->mem = context->mem;
    items_init(&listing->items, context->mem, request);
    is_page = listing->items.form == API_JSON;
    listing->limit = is_page ? API_KEYS_LIMIT : UINT64_MAX;
    if (!http_query_flag(request, "vectors", &listing->items.has_vectors)
        || !query_u64(request, "limit", 1, is_page ? API_KEYS_LIMIT_MAX : UINT64_MAX,
                      &listing->limit)
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
        if (bytes_begin_with(front, prefix)) {
            name_set(&listing->prefix, front);
        } else if (!bytes_begin_with(prefix, front)) {
            listing->is_empty = true;
        }
    }
}

static void listing_begin(struct http_request *request, struct listing *listing, const char *name)
{
    listing_limit(listing);
    items_begin(&listing->items, request, name);
    http_continue(request,
                  key_is_presence(name_bytes(&listing->prefix)) && !listing->is_empty ? names_step
                                                                                      : keys_step,
                  listing, listing_free);
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
    listing_begin(request, listing, "keys");
}

void api_search_get(struct http_request *request, struct http_context *context)
{
    struct listing *listing;

    if (!query_only(request, SEARCH_TAKES, "after limit")) {
        return;
    }
    listing = listing_create(request, context);
    if (listing == NULL) {
        return;
    }
    name_set(&listing->pattern, http_key(request));
    listing->items.has_vectors = true;
    listing_begin(request, listing, "results");
}
