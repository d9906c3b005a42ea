#ifndef HTTP_PARK_H
#define HTTP_PARK_H

/* Where requests wait for a key to change or be born. A waiting place is embedded in whoever waits;
 * it knows nothing of requests, so that it can be tested by itself. The key is a string, not an
 * entry, because a key nobody has written yet can be waited for.
 *
 * Called by http/life.c; private to the room. Never calls anybody but the wake function it is
 * given, which may make its own place wait again but does not touch others. */

#include "base/bytes.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct park; /* opaque */

/* A waiting place, all zero when not in use. Open: embedded in the request; only http/park.c
 * touches the fields. */
struct park_place {
    LIST_ENTRY(park_place) list;
    uint64_t hash;
    struct bytes key; /* lent by whoever waits; data NULL: waits for nothing */
};

typedef void park_wake(struct park_place *place);

/* NULL: no memory. `secret` keys the hash of the keys: strangers choose them. */
struct park *park_create(struct mem *mem, const uint8_t secret[16]);

/* Nobody waits any more. NULL is allowed. */
void park_free(struct park *park);

/* Wait for a key, which stays where it is until the place has left or is woken. */
void park_wait(struct park *park, struct park_place *place, struct bytes key);

/* Leave. Allowed when not waiting. */
void park_leave(struct park *park, struct park_place *place);

/* How many wait; for a quick "nobody". */
size_t park_count(const struct park *park);

/* Take all who wait for this key out, then call wake for each, in the order in which they came. */
void park_note(struct park *park, struct bytes key, park_wake *wake);

#endif /* HTTP_PARK_H */
