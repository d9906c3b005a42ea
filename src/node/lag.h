#ifndef NODE_LAG_H
#define NODE_LAG_H

/* How far apart a peer and we are. Digests of data that change all the time are hardly ever equal
 * at the moment they are compared: what a peer says is compared with the digests of all states that
 * we had lately too, and what it said the time before with those that we came to since.
 *
 * A peer was last equal to us at the latest of: when what it said was ours; when ours last was what
 * it said now; when it said what became ours later; half a second before it listed keys of which
 * none differed but such as changed since, or as had not differed when it listed them before.
 * (Where many nodes write all the time, the last is all there is.) Private to the room; used by
 * sync. */

#include "base/moment.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct peer;
#define LAG_STATES_MAX 1024 /* some seconds of a busy node, and one of a node as busy as can be */

#define LAG_FRESH_MS 500 /* what changed since may be under way */

/* Nothing is remembered. False: no memory. */
bool lag_create(struct node *node);
void lag_free(struct node *node);

/* The turn changed data, perhaps: remember the digest that they have now. Without memory what was
 * remembered so far is all there is. */
void lag_note(struct node *node, struct moment now);

/* A salted digest, and the minute as of which it is, not after that of our own roots. */
struct lag_said {
    uint32_t root;
    uint32_t salt;
    uint32_t minute;
};

/* A peer said the digest of its data. Notes when it was last equal to us (peer->equal_us), what it
 * has of ours for certain (peer->has_us, to which the last of the ways above does not count: it
 * makes likely and does not prove), and that it was compared (peer->checked_us), unless its digest
 * is none of ours only as that of data that change all the time may be. Returns whether its digest,
 * or the one it said before, is one that our data have or had. Time O(LAG_STATES_MAX), counted. */
bool lag_check(struct node *node, struct moment now, struct peer *peer, struct lag_said said);

/* A peer listed a key that differs from ours, which did not change lately: a change of the peer's
 * may be on its way to us, unless the same was found before. `difference` is the key's hash and our
 * digest of it. Returns whether it was. */
bool lag_is_old(struct node *node, struct moment now, const struct peer *peer, uint64_t difference);

/* A peer listed keys that differ from ours; `old`: not only by what is on its way. */
void lag_differs(struct moment now, struct peer *peer, bool old);

/* Give back memory that is not needed for now. */
void lag_tick(struct node *node, struct moment now);

#endif /* NODE_LAG_H */
