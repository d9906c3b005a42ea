#ifndef HTTP_API_PACKED_H
#define HTTP_API_PACKED_H

/* A key's vector as application/msgpack: {"key", "size", "digest", "vector": {0: 5}}. Called by
 * api_keys.c. A map says how many pairs it has before the first, so a vector too large to be
 * written at once is first copied, in steps. */

#include "http/api.h"

void packed_get(struct http_request *request, struct http_context *context,
                const struct entry *entry);

#endif /* HTTP_API_PACKED_H */
