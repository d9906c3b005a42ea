#ifndef HTTP_API_NAMES_H
#define HTTP_API_NAMES_H

/* The keys that begin with "n:", in byte order, some at a time: peers' presence, this node's own,
 * and data whose key only looks like it. Peers are kept in another order than that of their texts,
 * and part of their presence is not in the store, so that each batch is the smallest keys after
 * the last one that a walk over all of them finds. Called by api_list.c. */

#include "http/api.h"

#define NAMES_ROOM 64

/* Open: embedded in the state of a listing; only api_names.c touches the fields. All zero at the
 * beginning. */
struct names {
    struct name_of_presence {
        uint8_t size;
        uint8_t text[HTTP_KEY_BYTES_MAX];
    } list[NAMES_ROOM]; /* ascending */
    size_t count;
    size_t position;
    bool is_found; /* the walk is over */
    bool is_cut;   /* there are more */
    bool has_address;
    struct address address; /* of the peer that the walk saw last */
};

enum names_progress { NAMES_ONE, NAMES_END, NAMES_OVER /* the step is */ };

/* The first key after `after` that begins with the prefix; `after` is the key that this gave the
 * last time, or where to begin. */
enum names_progress names_next(struct names *names, struct http_request *request,
                               struct http_context *context, struct bytes prefix,
                               struct bytes after, struct bytes *key_out);

#endif /* HTTP_API_NAMES_H */
