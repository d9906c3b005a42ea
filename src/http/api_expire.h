#ifndef HTTP_API_EXPIRE_H
#define HTTP_API_EXPIRE_H

/* Which key an update of one key goes to: the one it names, or where that says not when it ends and
 * the request does (`?expire=35d`) or a `keep` rule, the one of the same name that ends then
 * (base/deadline.h). Called by api_update.c. */

#include "http/api.h"

/* Replace the key of the request by the one that ends in time, if it is to end. The answer then
 * leads there (Location).
 *
 * key   in and out: the request's own, which may be written to; its dated name lies in `room`
 *
 * False: refused. That the key may be written to is for the caller to ask: of a name that it gets,
 * too. */
bool expire_key(struct http_request *request, const struct http_context *context,
                uint8_t room[HTTP_KEY_BYTES_MAX], struct bytes *key);

#endif /* HTTP_API_EXPIRE_H */
