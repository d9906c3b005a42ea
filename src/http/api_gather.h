#ifndef HTTP_API_GATHER_H
#define HTTP_API_GATHER_H

/* The join of one key or of all keys that match a pattern, taken into a scratch vector in steps. A
 * lower bound of some moment while writes go on: keys are looked up again in each step, and values
 * only rise. Called by api_aggregate.c, api_items.c, api_packed.c and api_update.c. */

#include "http/api.h"

/* Open: embedded in the state of a request; only api_gather.c touches the fields but those that are
 * marked. */
struct gather {
    struct mem *mem;
    struct vector join;                /* the result; to be read */
    uint64_t matched;                  /* keys that are wholly in; to be read */
    uint64_t number;                   /* block to go on from, */
    uint64_t inside;                   /* of the key with this hash, unless it has gone */
    uint8_t after[HTTP_KEY_BYTES_MAX]; /* the last key of a pattern that is wholly in */
    size_t after_size;
};

void gather_init(struct gather *gather, struct mem *mem);

/* Throw away what was joined: the next call begins anew. Allowed twice. */
void gather_clear(struct gather *gather);

enum gather_progress {
    GATHER_DONE,  /* the next key or pattern may be joined */
    GATHER_OVER,  /* the step is: call again with the same in the next */
    GATHER_MEMORY /* there is none: call again with the same, or clear */
};

/* Join one key; `matched` says whether there was one. An eighth of the memory that requests may
 * hold is left to others, here and below. */
enum gather_progress gather_key(struct gather *gather, const struct http_request *request,
                                const struct table *table, struct bytes key);

/* Join all keys that match; keys of peers only where the pattern begins with "n:". */
enum gather_progress gather_pattern(struct gather *gather, const struct http_request *request,
                                    const struct table *table, struct bytes pattern);

#endif /* HTTP_API_GATHER_H */
