#ifndef NODE_NODE_H
#define NODE_NODE_H

/* What a node decides: gossip, membership, anti-entropy. Pure. The daemon and the simulator link
 * this same archive and drive it the same way, one turn after another:
 *
 *     node_receive() / node_update_join() / node_delete() / node_tick()   any number, at one moment
 *     node_changes()                                   disk and watch note what changed
 *     node_emit() until it says 0                      datagrams, encoded into the caller's buffer
 *     node_turn_end()
 *
 * Within a turn nothing is sent, written or waited for. The same options, seed and calls give the
 * same datagrams, byte for byte, on every machine. A node is a few KiB plus its table and its
 * peers, keeps no static data and starts no thread: two thousand of them fit in one process.
 *
 * Called by net/udp, http, main and tests/sim. Calls store and wire. Never calls anything else,
 * never logs: what is worth saying is a counter in node_stats() or an event.
 *
 * The protocol is specified in vignette(7). */

#include "base/address.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "node/types.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node; /* opaque */

/* Create a node over an empty or loaded table. *node_out is written only on STATUS_OK. The account
 * and the table outlive it. */
MUST_CHECK enum status node_create(const struct node_options *options, struct mem *mem,
                                   struct table *table, struct moment now, struct node **node_out);
void node_free(struct node *node);

/* Take new intervals, limits, trust and rules while running; self, seed, secret, start_s_min,
 * cluster, http_port, version and plain_only stay as they were. What was refused is asked for
 * again. To be called, too, when the table's limits were raised.
 *
 * STATUS_MEMORY: everything is as it was, also whose patterns are lent. */
MUST_CHECK enum status node_configure(struct node *node, struct moment now,
                                      const struct node_options *options);

/* The addresses that the configured seeds resolve to now; replaces the last list, own addresses
 * are skipped once known. Each is contacted until it is a live member, for ever. */
void node_seeds(struct node *node, struct moment now, const struct address *addresses,
                size_t count);

/* A datagram came. Decodes it in place, merges it, queues what must follow.
 *
 * from      the source address; the only address an answer to it can go to
 * datagram  not kept: every view of it is gone when this returns
 *
 * Never fails: bad input is counted by reason, a full table refuses new keys and counts them. */
void node_receive(struct node *node, struct moment now, const struct address *from,
                  struct bytes datagram);

/* Begin an update of a key and judge it.
 *
 * why     the reason and the key at fault, for the problem document
 *
 * STATUS_CONFLICT  the key is reserved (a peer's presence), or is a pattern
 * STATUS_ENDED     its name says that it has ended
 * STATUS_INVALID   or that it ends further ahead than options.keep_max_s allow */
MUST_CHECK enum status node_update_begin(const struct node *node, struct bytes key,
                                         struct node_update *update, struct fault *why);

/* Judge a block. STATUS_INVALID: a value is above what a max-value rule allows. */
MUST_CHECK enum status node_update_check(const struct node_update *update,
                                         const struct block *block, struct fault *why);

/* Join a block and tell others of what rose. Joins are idempotent: an update that ended half-way
 * may be repeated as a whole.
 *
 * merged  what the store found (table_merge()); written only on STATUS_OK
 *
 * STATUS_FULL (a new key beyond max-keys), STATUS_MEMORY, STATUS_ENDED (since it was begun):
 * everything is as it was before this block. */
MUST_CHECK enum status node_update_join(struct node *node, struct moment now,
                                        struct node_update *update, const struct block *block,
                                        struct merge_result *merged, struct fault *why);

/* Delete a key, here and in the cluster: all that it held, and whatever is written elsewhere by who
 * has not seen the deletion.
 *
 * generation_out  that the key is in from now on; written only on STATUS_OK
 *
 * STATUS_CONFLICT  the key is reserved or a pattern
 * STATUS_INVALID   there is none of this name
 * STATUS_MEMORY, STATUS_FULL (not before the year 2106): nothing changed */
MUST_CHECK enum status node_delete(struct node *node, struct moment now, struct bytes key,
                                   uint32_t *generation_out, struct fault *why);

/* How many members have all that changed here in the turn of that moment (mono_us), or before it:
 * a digest that they said later is that of a state which our data had after it. Fewer than there
 * are, never more; one of the plain level says no digest. What a member keeps is in its memory.
 * Time O(members). */
uint32_t node_acks(struct node *node, uint64_t turn_us);

/* Ask so many others of them for their digest, at random and at once; it comes within a round trip.
 * No more than a few are asked at a time, and whoever is being asked is not asked twice. */
void node_acks_ask(struct node *node, struct moment now, uint64_t turn_us, uint32_t count);

/* Let time pass. Call when the moment node_due_us() names has come; earlier or later is allowed
 * and late calls make the node patient with others, not wrong. */
void node_tick(struct node *node, struct moment now);

/* mono_us at which something is due, also a datagram that pacing holds back; UINT64_MAX when
 * nothing is. */
uint64_t node_due_us(const struct node *node);

/* Take the next datagram that may leave now (pacing, windows and amplification limits applied).
 *
 * space   at least WIRE_EXTENDED_BYTES_MAX; encoded into directly, values read at this moment
 * to      out
 *
 * Returns its size, 0 when there is none to send now. A caller whose socket is full just stops
 * asking: what waits keeps merging. */
size_t node_emit(struct node *node, struct moment now, struct space space, struct address *to);

struct changes node_changes(const struct node *node);
void node_turn_end(struct node *node);

/* People. Introduce an address as `POST /peers` does: contact it like a seed until it answers.
 * STATUS_INVALID: not an address a peer may have, or our own; STATUS_FULL: too many. */
MUST_CHECK enum status node_introduce(struct node *node, struct moment now,
                                      const struct address *address, struct fault *why);

/* Declare a peer left, everywhere, and drop it from the introduced seeds. One that is alive
 * refutes within a probe or so. STATUS_INVALID: no such peer. */
MUST_CHECK enum status node_forget(struct node *node, struct moment now,
                                   const struct address *address, struct fault *why);

/* Say `left` to others: at least to 8 members, acked where they are extended. */
void node_leave(struct node *node, struct moment now);

/* True once what node_leave() sent was acked or given up. */
bool node_has_left(const struct node *node);

/* Peers in address order, a slice at a time, like table_slice(): `after` exclusive, NULL for the
 * first slice. */
size_t node_peers(const struct node *node, const struct address *after, struct peer_view *peers,
                  size_t room);

/* One peer by address; false when there is none. */
bool node_peer(const struct node *node, const struct address *address, struct peer_view *peer);

/* "new", "alive", "suspect", "dead", "left", "silent". */
const char *node_peer_state_label(enum peer_state state);

/* How many peers are in each state. */
void node_peer_counts(const struct node *node, uint64_t counts[PEER_STATE_COUNT]);

/* Whether readers find here what the cluster knows. */
enum node_readiness node_readiness(const struct node *node, struct moment now);

/* Whether an update was refused within the last minute, for max-keys or for want of memory. */
bool node_is_full(const struct node *node, struct moment now);

/* The stamp (minutes, element 0) of a presence key: it lives in the peer's record, not in the
 * store. 0 when the key is no peer's or has none. */
uint64_t node_stamp(const struct node *node, struct bytes key);

/* Whether clients may not write the key: it is a peer's presence. */
bool node_is_reserved(struct bytes key);

/* Unix seconds by the guarded clock (vignette(7), "Bounds"): what decides when a key ends. */
uint64_t node_now_s(const struct node *node, struct moment now);

/* Take the oldest event that was not taken. The last 64 are kept: more of them in a turn are lost,
 * but for what they changed. False: none; *event_out untouched. */
bool node_take_event(struct node *node, struct node_event *event_out);

/* Counted work (node/work.h): units done since the node was created, for tests, the simulator and
 * whoever drives a node. What node_receive() does is at most node_datagram_work_max() of the
 * datagram's size. A turn's calls together stay below NODE_TURN_WORK_MAX + NODE_EMIT_WORK_MIN, but
 * for the last datagram or step that was begun: the driver stops taking datagrams in once
 * node_work_allows() says no, which it does at half of it so that ticks and what leaves have the
 * rest, and goes on in the next turn. node_emit() and node_tick() keep to the budget by themselves;
 * node_emit() has a share of its own in every turn however much came in, and where it stopped for
 * want of budget, or something raised is still to be spread, node_due_us() names a moment that has
 * come. */
uint64_t node_work(const struct node *node);
uint64_t node_datagram_work_max(size_t size);
bool node_work_allows(const struct node *node);

const struct node_stats *node_stats(const struct node *node);

/* Abort unless every invariant of the node's own structures holds; not the table's. */
void node_audit(const struct node *node);

#endif /* NODE_NODE_H */
