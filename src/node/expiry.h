#ifndef NODE_EXPIRY_H
#define NODE_EXPIRY_H

/* Keys that end: tells the table the minute of the guarded clock, has it take out what has ended,
 * within counted work, and frees that while the clock is confirmed. Private to the room. Source:
 * vignette(7), "Keys that end". */

#include "base/moment.h"
#include "node/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

/* The minute falls only if the clock does by more than one: votes waver about its turn, and each
 * fall has the calendar sort all it has anew. */
#define EXPIRY_BACK_MINUTES 2

/* Taken out or freed in a turn: 4 to 7 us each (bench/expiry), so that a turn stays below 2 ms. */
#define EXPIRY_KEYS_MAX 192

/* Time goes on: to be called with the moment of each call that the node gets. */
void expiry_note(struct node *node, struct moment now);

/* Do what is due, as far as the turn's budget and EXPIRY_KEYS_MAX allow. */
void expiry_tick(struct node *node, struct moment now);

/* When expiry_tick() has something to do: 0 at once, UINT64_MAX when no key ends. */
uint64_t expiry_due_us(const struct node *node);

/* Whether a deadline lies further ahead than options.keep_max_s. */
bool expiry_is_far(const struct node *node, uint32_t deadline);

/* Whether what a peer says of a key with such a deadline is refused, and counts that: it has ended,
 * or ends further ahead than that. */
bool expiry_refuses(struct node *node, uint32_t deadline);

#endif /* NODE_EXPIRY_H */
