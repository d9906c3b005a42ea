#ifndef HTTP_PARK_H
#define HTTP_PARK_H

/* Where requests wait: for a key to change or be born, or for a ticket of the disk to become
 * durable. A waiting place is embedded in whoever waits and is in at most one of the two; it knows
 * nothing of requests, so that it can be tested by itself. The key is a string, not an entry,
 * because a key nobody has written yet can be waited for.
 *
 * Called by http/server.c; private to the room. Never calls anybody but the wake function it is
 * given, which may make its own place wait again but does not touch others. */

#include "base/bytes.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct park; /* opaque */

/* A waiting place, all zero when not in use. Open: embedded in the request; only http/park.c
 * touches the fields. */
struct park_place {
    struct park_place *next;
    struct park_place *previous;
    struct park_place **first; /* of the list it is in; NULL: in none */
    uint64_t hash;
    uint8_t *key; /* a copy; NULL: waits for a ticket */
    size_t key_size;
    uint64_t ticket;
    uint64_t due_us;
};

typedef void park_wake(struct park_place *place);

/* NULL: no memory. `secret` keys the hash of the keys: strangers choose them. */
struct park *park_create(struct mem *mem, const uint8_t secret[16]);

/* Nobody waits any more. NULL is allowed. */
void park_free(struct park *park);

/* Wait for a key of at least one byte. False: no memory, the place is as it was. */
bool park_wait_for_key(struct park *park, struct park_place *place, struct bytes key);

/* Wait for a ticket, until due_us at the latest.
 * Time: O(1) when tickets do not fall from call to call. */
void park_wait_for_ticket(struct park *park, struct park_place *place, uint64_t ticket,
                          uint64_t due_us);

/* Leave. Allowed when not waiting. */
void park_leave(struct park *park, struct park_place *place);

/* How many wait for keys; for a quick "nobody". */
size_t park_keys_count(const struct park *park);
size_t park_tickets_count(const struct park *park);

/* Take all who wait for this key out, then call wake for each. */
void park_note_key(struct park *park, struct bytes key, park_wake *wake);

/* The same for those whose ticket is at most `durable`. */
void park_note_durable(struct park *park, uint64_t durable, park_wake *wake);

/* The same for those of the tickets whose time is over. O(waiting for tickets). */
void park_note_time(struct park *park, uint64_t now_us, park_wake *wake);

#endif /* HTTP_PARK_H */
