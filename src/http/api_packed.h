#ifndef HTTP_API_PACKED_H
#define HTTP_API_PACKED_H

/* Answers as application/msgpack. A map says how many pairs it has before the first, and a vector
 * may gain elements between two steps; so one too large to be written at once is copied first, in
 * steps (api_gather.h), and written from the copy. Called by api_keys.c, api_items.c and
 * api_aggregate.c. */

#include "http/api.h"
#include "view/packed_writer.h"

/* Begin a map that has a key, which is put as reply_key() does, and `others` pairs behind it. */
void packed_key(struct output *output, struct bytes key, uint64_t others);

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
