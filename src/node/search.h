#ifndef NODE_SEARCH_H
#define NODE_SEARCH_H

/* Questions over many keys, answered in slices, so that no question holds up a turn: `%` asks for
 * every matching key, in byte order; `*` for the join of all of them, which goes to the asker alone
 * and is not stored. One a source: a new one replaces the old. Used by node/plain.c. Private to the
 * room. Source: vignette(7), "Plain messages". */

#include "base/mem.h"
#include "base/moment.h"
#include "node/peers.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct plain_queue;
struct search; /* opaque */

#define SEARCHES_MAX 64 /* at once, of all sources together */

/* A search ends by itself: when for so long neither a key was looked at nor anything left to its
 * source, which may get nothing then; and for good after the longest time that
 * the largest answer takes, 4 MiB at 20 datagrams a second. */
#define SEARCH_IDLE_US  UINT64_C(10000000)
#define SEARCH_TOTAL_US UINT64_C(300000000)

/* Begin to answer a question to the owner of a queue.
 *
 * item  the key is a pattern; elements are what the asker has: only larger ones are said
 * ttl   of the answers, 1..3
 *
 * Where SEARCHES_MAX are under way, the oldest of the host that has most ends for it. Where
 * memory is short (counted) nothing happens: who asks may ask again. */
void search_begin(struct node *node, struct moment now, struct plain_queue *queue,
                  const struct item *item, uint8_t ttl);

/* All questions that are being answered, as queues, next first: none at first (false: no memory);
 * how many there are, and one of them; who had its turn goes to the end. Free when none is left. */
bool searches_create(struct node *node);
void searches_free(struct node *node);
uint32_t searches_count(const struct node *node);
struct plain_queue *searches_at(const struct node *node, uint32_t position);
void search_last(struct node *node, struct plain_queue *queue);

/* Give up the question of a queue, if there is one. */
void search_end(struct node *node, struct plain_queue *queue);

/* Its time is up: to be ended. */
bool search_is_over(const struct plain_queue *queue, struct moment now);

/* Look at the next slice of keys where that is due; found keys go into the queue. */
void search_step(struct node *node, struct moment now, struct plain_queue *queue);

/* mono_us of the next slice; UINT64_MAX: none is left, or the queue must empty first. */
uint64_t search_due_us(const struct plain_queue *queue);

/* The join is complete and some of it is still to be said. */
bool search_has_answer(const struct plain_queue *queue);

/* Encode the next part of that answer; the last one ends the search. Returns its size; 0: there was
 * nothing to say, and the search is over. */
size_t search_put(struct node *node, struct moment now, struct plain_queue *queue,
                  struct space space);

#endif /* NODE_SEARCH_H */
