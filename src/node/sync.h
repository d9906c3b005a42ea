#ifndef NODE_SYNC_H
#define NODE_SYNC_H

/* Anti-entropy (vignette(7), "Anti-entropy"): digests in every probe, and where they differ a
 * descent of the tree over key hashes, leaf lists, block digests, repairs and wants. Nothing is
 * remembered between datagrams but what is still to be sent. Private to the room.
 *
 * The audit. Digests are sums. Where the sums of two unequal sets are equal, by chance or because
 * somebody who may write saw to it, no descent begins or gets there. So one probe in 24 carries, as
 * `v` beside its `r`, the tree of a random prefix of at most 256 keys, of members and of data in
 * turn. Its digests are not those of a descent: each is the sum, mod 2^32, of the salted
 * contributions of the keys under that child. A node whose root of that set is equal adds up its
 * own, and answers where they differ with the leaf list of that child. */

#include "base/moment.h"
#include "base/random.h"
#include "node/lag.h"
#include "node/outbox.h"
#include "node/recent.h"
#include "store/marks.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

void sync_free(struct node *node);

/* Roots came: salted with `salt`. Notes how far that peer is from us; begins an exchange where
 * due. `answering`: they came in an ack to our probe (the prober begins). */
void sync_roots_received(struct node *node, struct moment now, struct peer *from,
                         const struct envelope *envelope, uint32_t salt, bool answering);

/* Put an audit into a probe, if it is one's turn; `salt` is its `q`, and it carries our roots. Time
 * O(256 keys). */
void sync_audit_put(struct node *node, struct moment now, struct writer *writer, uint32_t salt);

/* The variable fields of an extended datagram came from a validated peer. `salt` is its `q`. */
void sync_receive(struct node *node, struct moment now, struct peer *from,
                  const struct message *message, uint32_t salt);

/* An item of a repair raised something, or our own refusals changed: doubling waits begin anew. */
void sync_raised(struct node *node, struct moment now, struct peer *from, enum table_set set);

/* The turn's changes, from node_turn_end(): what is under way is left out for a while. */
void sync_note(struct node *node, struct moment now, struct changes changes);

void sync_acked(struct moment now, const struct flight *flight);
void sync_lost(struct node *node, struct moment now, struct flight *flight);

void sync_tick(struct node *node, struct moment now);
uint64_t sync_due_us(const struct node *node);
size_t sync_emit(struct node *node, struct moment now, struct space space, struct address *to);
void sync_drop_peer(struct node *node, struct peer *peer);
void sync_drop_entries(struct node *node, struct drops drops);

#endif /* NODE_SYNC_H */
