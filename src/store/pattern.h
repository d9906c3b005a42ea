#ifndef STORE_PATTERN_H
#define STORE_PATTERN_H

/* Patterns over keys: '%' and '*' each stand for any run of bytes, also none; every other byte
 * stands for itself. Called by node (questions) and http (search, aggregate, watch). */

#include "base/bytes.h"

#include <stdbool.h>

/* True when the key has a '%' or '*' in it, and so can be a question but never be stored. */
bool pattern_is(struct bytes key);

/* Bytes before the first wildcard: what a listing can be limited to. A view into `pattern`. */
struct bytes pattern_prefix(struct bytes pattern);

/* Whether the whole key matches. Time O(pattern + key): the literal runs between wildcards are
 * looked for from left to right, each by a linear search, and the leftmost place is always right;
 * nothing is tried twice, so that no pattern is a trap. */
bool pattern_matches(struct bytes pattern, struct bytes key);

#endif /* STORE_PATTERN_H */
