#ifndef HTTP_API_BULK_H
#define HTTP_API_BULK_H

/* Updates too large for one go: read and checked whole in steps, then room for all of it is
 * promised, then applied in steps. All or nothing: refused as a whole or accepted as a whole.
 * Readers may see a part of it meanwhile. Called by api_update.c. */

#include "http/api.h"

enum bulk_form {
    BULK_KEYS, /* many keys; answers how many changed */
    BULK_KEY,  /* one large vector for http_key(); answers what changed in it */
    BULK_JOIN  /* the vectors named by `?join=` into http_key(); the same answer */
};

/* Work on the request's body until it is answered. */
void bulk_begin(struct http_request *request, struct http_context *context, enum bulk_form form);

/* The answer to one update, from what its merges found. `results` are ascending by block. */
void update_answer(struct http_request *request, const struct node_update_result *result);

#endif /* HTTP_API_BULK_H */
