#ifndef NODE_WORK_H
#define NODE_WORK_H

/* Counted work: what a datagram and a turn cost, in units that are the same on every machine, so
 * that a bound on them can be judged by a test and by the simulator, which have no use for time.
 * Private to the room; node_work() shows the sum to callers.
 *
 * A unit is one thing looked at: a block joined, compared or encoded, an element of a map, a mark,
 * a key, a peer, a pair of a leaf list, sixty-four bytes of a pattern match. It takes between 20 ns
 * and half a microsecond (bench/turns), so a turn of NODE_TURN_WORK_MAX stays below 10 ms.
 *
 * Two rules keep it there. What one datagram makes a node do at once is bounded by the datagram's
 * own size (node_datagram_work_max()), never by what the store holds: an answer that would need
 * more is kept as a cursor and made while datagrams leave. And whatever goes on over several turns
 * asks work_allows() before each step, and waits for the next turn when it says no. */

#include <stdbool.h>
#include <stdint.h>

struct node;

/* Open, because it is embedded in the node; only node/work.c touches the fields. */
struct work {
    uint64_t done;      /* since the node was created */
    uint64_t turn_done; /* of that, before this turn */
};

/* So many units were done. */
void work_count(struct node *node, uint64_t units);

/* The turn's budget is not used up. */
bool work_allows(const struct node *node);

/* The turn ends: the next one has a budget of its own. */
void work_turn_end(struct node *node);

#endif /* NODE_WORK_H */
