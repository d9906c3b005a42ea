#ifndef HTTP_API_PACKED_H
#define HTTP_API_PACKED_H

/* Answers as application/msgpack. A map says how many pairs it has before the first, and a vector
 * may gain elements between two steps; so one too large to be written at once is copied first, in
 * steps (api_gather.h), and written from the copy. Called by api_keys.c, api_items.c and
 * api_aggregate.c. */

#include "http/api.h"
#include "view/packed_writer.h"

/* One key, {"key", "size", "digest", "vector": {0: 5}}, whose vector is too large to be written at
 * once, as this type. */
void packed_get(struct http_request *request, struct http_context *context,
                const struct entry *entry, const char *type);

#endif /* HTTP_API_PACKED_H */
