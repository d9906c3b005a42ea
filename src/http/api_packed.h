#ifndef HTTP_API_PACKED_H
#define HTTP_API_PACKED_H

/* Answers as application/msgpack. A map says how many pairs it has before the first, and a vector
 * may gain elements between two steps; so one too large to be written at once is copied first, in
 * steps, and written from the copy. Called by api_keys.c and api_items.c. */

#include "http/api.h"
#include "view/packed_writer.h"

/* A large vector on its way out. Open: embedded in the state of a step; only api_packed.c touches
 * the fields. All zero, but for packed_copy_init(), before and after. */
struct packed_copy {
    struct vector vector;
    uint64_t number; /* block to go on from, of the original and then of the copy */
    bool is_whole;
};

void packed_copy_init(struct packed_copy *copy);
void packed_copy_clear(struct packed_copy *copy, struct mem *mem);

enum packed_progress { PACKED_DONE, PACKED_OVER /* the step is */, PACKED_MEMORY };

/* Copy on. */
enum packed_progress packed_copy_take(struct packed_copy *copy, const struct http_request *request,
                                      struct mem *mem, const struct vector *vector);
bool packed_copy_is_whole(const struct packed_copy *copy);

/* The number of its elements, and its elements as pairs, as far as the step goes. False: the step
 * is over. */
uint64_t packed_copy_size(const struct packed_copy *copy);
bool packed_copy_put(struct packed_copy *copy, const struct http_request *request,
                     struct output *output);

/* The elements of a vector that does not change meanwhile as pairs, from block *number on, as far
 * as the step goes. False: the step is over. `request` NULL: all of them. */
bool packed_pairs(struct output *output, const struct vector *vector, uint64_t *number,
                  const struct http_request *request);

/* One key: {"key", "size", "digest", "vector": {0: 5}}, as this type. */
void packed_get(struct http_request *request, struct http_context *context,
                const struct entry *entry, const char *type);

/* The same of chosen elements, all of which lie ready. */
void packed_chosen(struct http_request *request, const struct entry *entry,
                   const struct vector *chosen, const char *type);

/* Of a range, {"key", "size", "digest", "from", "values": [5, 0]}, what is in front of its `count`
 * values, which packed_u64() puts. */
void packed_range_head(struct output *output, const struct entry *entry, uint64_t from,
                       uint64_t count);

#endif /* HTTP_API_PACKED_H */
