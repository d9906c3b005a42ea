#ifndef NODE_QUEUE_H
#define NODE_QUEUE_H

/* What one plain peer is still to get, a key at a time, and when it may get it. A plain message has
 * one key, so marks of one key wait together however they came; they merge, so a queue is bounded
 * by the state. Used by node/plain.c and node/search.c. Private to the room.
 *
 * Pace (vignette(7), "The prototypes"): 8 datagrams at once, then 20 a second. A peer that sends no
 * `ttl` passes nothing on while it hears something, so it gets bursts: what became ready within a
 * second of the burst's first datagram, 64 datagrams at most, keys of few elements first; then at
 * least 3.2 s of quiet. */

#include "base/mem.h"
#include "base/moment.h"
#include "node/peers.h"
#include "store/marks.h"
#include "store/table.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct search;

#define QUEUE_KEYS_MAX 65536 /* near an hour of datagrams: who gets so far behind has to ask */

/* Besides marks: what else of a key is to be said. */
enum queue_what {
    QUEUE_STAMP = 1, /* a presence key: element 0 alone, made up when it leaves */
    QUEUE_HELLO = 2, /* our own presence key, all of it, with element 0 */
    QUEUE_LEAVE = 4, /* our own presence key: the state and since when */
    QUEUE_ASK = 8,   /* a question: the key with an empty vector */
    QUEUE_FULL = 16, /* what is marked is all there is: every part of it says `full` */
    QUEUE_ALL = 32   /* all of the key, from (`at`, `offset`) on, whatever is marked */
};

/* One key that waits. */
struct queue_key {
    struct entry *entry; /* NULL: a hole */
    struct marks marks;  /* all of this entry */
    uint64_t at;         /* QUEUE_ALL: the block that comes next */
    uint64_t ready_us;   /* since when it waits */
    uint16_t offset;     /* QUEUE_ALL: of that block, what comes next */
    uint8_t ttl;         /* of what leaves */
    uint8_t what;        /* enum queue_what bits */
};

/* Open, because node/plain.c links queues with each other and node/agenda.c orders them; only
 * node/queue.c touches the rest. */
struct plain_queue {
    struct peer *peer;
    struct plain_queue *next;
    struct plain_queue *previous;
    struct search *search; /* a question of this peer's being answered; node/search.c */
    struct queue_key *keys;
    struct hash_index *index; /* over key positions, once there are more than a few */
    uint32_t first;
    uint32_t last;
    uint32_t room;
    uint32_t count;
    uint32_t burst_sent;
    uint64_t burst_us;     /* first datagram of the present burst; 0: there was none */
    uint64_t sent_us;      /* last datagram; 0: none */
    uint64_t rate_us;      /* when all that left will have been paid for */
    uint64_t announced_us; /* when it last got our presence */
    uint64_t due_us;       /* node/agenda.c: its time there */
    uint32_t place;        /* node/agenda.c: its place there plus one; 0: none */
    bool asks_peers;       /* a question for `n:%` waits */
};

/* Give back what it holds; the struct itself is the caller's. */
void queue_clear(struct plain_queue *queue, struct mem *mem);

/* Nothing waits: no key, no question of ours. */
static inline bool queue_empty(const struct plain_queue *queue)
{
    return queue->count == 0 && !queue->asks_peers;
}

/* What is to be said of a key, added to what waits. */
struct queue_part {
    const struct mark *mark; /* elements; NULL: only `what` */
    uint8_t ttl;             /* the larger one is kept */
    uint8_t what;            /* QUEUE_STAMP and the like */
};

/* Have a key wait; in O(1), also all of a large one, which is kept as a place in it. Asked for all
 * of a key while that is being said already, it goes on where it is: one question is answered once.
 * False: no memory, or there are QUEUE_KEYS_MAX others. */
bool queue_add(struct plain_queue *queue, struct mem *mem, struct moment now, struct entry *entry,
               struct queue_part part);

/* The key whose turn it is; NULL: none waits. Valid until the queue changes. */
struct queue_key *queue_next(struct plain_queue *queue, struct moment now);

/* How much work it is to find it, in units (node/work.h). */
uint64_t queue_next_work(const struct plain_queue *queue);

/* All of a key has been said. */
void queue_remove(struct plain_queue *queue, struct mem *mem, struct queue_key *key);

/* Forget entries that are being dropped. Time O(keys) at most, however many they are.
 *
 * Returns how much work it was, in units (node/work.h). */
uint64_t queue_drop(struct plain_queue *queue, struct mem *mem, struct drops drops);

/* mono_us from which a datagram may leave to this peer. */
uint64_t queue_due_us(const struct plain_queue *queue);

/* A datagram left. */
void queue_sent(struct plain_queue *queue, struct moment now);

/* Abort unless every invariant above holds. */
void queue_audit(const struct plain_queue *queue);

#endif /* NODE_QUEUE_H */
