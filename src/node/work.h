#ifndef NODE_WORK_H
#define NODE_WORK_H

/* Counted work: what a datagram and a turn cost, in units that are the same on every machine, so
 * that a bound on them can be judged by a test and by the simulator, which have no use for time.
 * Private to the room; node_work() shows the sum to callers.
 *
 * A unit is one thing looked at: a block joined, compared or encoded, an element of a map, a mark,
 * a key, a peer, a pair of a leaf list, sixty-four bytes of a pattern match. It takes between 50 ns
 * and half a microsecond (bench/costs), so a turn of NODE_TURN_WORK_MAX stays below 10 ms.
 *
 * Two rules keep it there. What one datagram makes a node do at once is bounded by the datagram's
 * own size (node_datagram_work_max()), never by what the store holds: an answer that would need
 * more is kept as a cursor and made while datagrams leave. And whatever goes on over several turns
 * asks work_allows() before each step, and waits for the next turn when it says no. */

#include <stdbool.h>
#include <stdint.h>

struct node;

/* What one datagram or update raised is spread at once up to so many units of all the work it made,
 * and by a node that knows at most so many members: the usual one of few blocks leaves in its own
 * turn, and even its last mark costs no more than a step for each member. */
#define WORK_AT_ONCE         256
#define WORK_AT_ONCE_MEMBERS 256

/* One datagram that leaves has so much to find out what to say. */
#define WORK_DATAGRAM_MIN 256

/* The state of the count, but for the sum itself, which is in the node. False: no memory. */
bool work_create(struct node *node);
void work_free(struct node *node);

/* What this turn has done and owes. */
uint64_t work_of_turn(const struct node *node);

/* The turn's budget is not used up. */
bool work_allows(const struct node *node);

/* A datagram or an update begins to be taken in. */
void work_call_begin(struct node *node);

/* What it raises may be spread at once; else it is kept for later (node/spread.h). */
bool work_at_once(const struct node *node);

/* One more datagram may be encoded in this turn; noted when not. */
bool work_emits(struct node *node);

/* What leaves stopped for want of budget, and more waits: asked, and said by whoever stops. */
bool work_is_cut(const struct node *node);
void work_cut(struct node *node);

/* The sum when this turn began. */
uint64_t work_turn_begun(const struct node *node);

/* A datagram begins to be encoded, and has been. What is done in between is counted as what leaves
 * costs. */
void work_emit_begin(struct node *node);
void work_emit_end(struct node *node);

/* The datagram that is being encoded may go on looking for what to say: a turn whose budget is used
 * up by what came in, or by spreading it, sends some repairs all the same. */
bool work_emit_allows(const struct node *node);

/* A key is dropped. Whoever may name it is looked through as the turn ends, which cannot wait; so
 * that is owed from now on, and a turn drops no more than it can have forgotten. */
void work_drop(struct node *node);

/* The turn ends: the next one has a budget of its own. What ending it costs is part of that: who
 * makes others forget much is listened to less. `namers`: how many may name a key and are looked
 * through for each that the next turn drops. */
void work_turn_end(struct node *node, uint64_t namers);

#endif /* NODE_WORK_H */
