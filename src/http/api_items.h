#ifndef HTTP_API_ITEMS_H
#define HTTP_API_ITEMS_H

/* The keys of a listing on their way out, one item each, in one of three forms:
 *
 *     a page      {"keys": [{"key", "size", "digest"}], "next"}, with the vectors when asked for
 *     lines       the same objects, one a line, as application/x-ndjson
 *     msgpack     the same objects as maps, one after another; with the vectors {key: vector} each
 *
 * With the vectors, lines and msgpack are what POST /keys takes: a listing of one node can be sent
 * to another as it comes. A vector too large for one step goes on in the next.
 *
 * Called by api_list.c. */

#include "http/api.h"
#include "http/api_gather.h"

/* Open: embedded in the state of a listing, never copied; only api_items.c touches the fields, but
 * for has_vectors before the answer begins. */
struct items {
    struct mem *mem;
    const char *type;
    uint8_t form; /* enum api_form: API_JSON is a page */
    bool has_vectors;
    bool is_in_item;
    uint8_t key[HTTP_KEY_BYTES_MAX]; /* of the item written last, or under way */
    size_t key_size;
    uint64_t number; /* of its vector: block to go on from */
    bool is_copied;
    struct gather copy; /* of a vector too large to be written at once as msgpack */
    struct reply reply;
};

/* In the form that the request's Accept asks for; without vectors until the caller sets that. */
void items_init(struct items *items, struct mem *mem, const struct http_request *request);
void items_clear(struct items *items);

/* Begin the answer. `name` is that of a page's array. */
void items_begin(struct items *items, struct http_request *request, const char *name);

enum items_progress {
    ITEMS_DONE,  /* the item is out */
    ITEMS_OVER,  /* the step is, in the middle of the item: items_resume() in the next */
    ITEMS_MEMORY /* cannot go on */
};

/* Write an item. `digest` NULL: it has none (presence). An item without digest is written at once;
 * others are looked up by their keys when they are resumed. */
enum items_progress items_put(struct items *items, struct http_request *request,
                              const struct http_context *context, struct bytes key,
                              const struct vector *vector, const uint64_t *digest);

/* Go on with what the last step did not finish; ITEMS_DONE when it did. */
enum items_progress items_resume(struct items *items, struct http_request *request,
                                 const struct http_context *context);

/* At the end of each step but the last. */
void items_flush(struct items *items);

/* End the answer. `has_more`: there is more after the last item. */
void items_end(struct items *items, bool has_more);

#endif /* HTTP_API_ITEMS_H */
