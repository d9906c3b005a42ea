#ifndef NODE_EXCHANGE_H
#define NODE_EXCHANGE_H

/* What anti-entropy has still to send to one peer: digests of prefixes, leaf lists, block digests,
 * wanted keys, keys and ranges of keys. Each is a short order, carried out from the store's state
 * at the moment a datagram leaves: however big a key or a range is, what was asked for costs one
 * order and a cursor. An exchange without orders is freed. Private to the room: sync.c decides what
 * is ordered, this file keeps and sends it.
 *
 * What is sent of keys is acked and keeps to the peer's window. Digests of a small difference are
 * neither: whatever is lost, the next probe begins again. A long queue of them is acked too, so
 * that it fills no receive queue.
 *
 * There is room for so many orders. What finds none is not forgotten: the range of hashes it lies
 * in is remembered (struct spill), and once there is room again its trees are sent, from the lowest
 * hash on, so that a long repair goes on where it stood. */

#include "base/moment.h"
#include "node/outbox.h"
#include "store/marks.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;

/* An empty side is told as a leaf list without keys, whatever the size of the prefix. */
#define EXCHANGE_LEAF_KEYS_MAX 32
#define EXCHANGE_ORDERS_MAX    2048 /* to one peer; for more, a range of hashes is kept */
#define EXCHANGE_REPAIRS_MAX   8192 /* blocks that a peer's block digests asked for, likewise */
#define EXCHANGE_BEHIND_KEYS   8    /* not under way, before a peer counts as behind, */
#define EXCHANGE_BEHIND_SHARE  4    /* and of all that differ one in so many */

/* Exchanges that ended as they began, after which what may be under way is sent all the same. */
#define PATIENT_ROUNDS 2

enum order_kind {
    ORDER_TREE,   /* the digests of a prefix's children */
    ORDER_LEAF,   /* the leaf list of a prefix, or its tree if it has grown too long */
    ORDER_WANT,   /* a wanted key: prefix.bits is its hash */
    ORDER_BLOCKS, /* block digests of a key, from number `block` on: prefix.bits is its hash */
    ORDER_SEND,   /* a key, or a prefix of few keys: from hash `from` and its number `block` on */
    ORDER_STREAM, /* the same of many keys: other questions wait for its end */
    ORDER_KIND_COUNT
};

struct order {
    struct prefix prefix;
    uint64_t from;
    uint64_t block;
    uint64_t block_last; /* of the key where that is sent: UINT64_MAX is to its end */
    uint8_t kind;        /* enum order_kind */
};

/* A range of hashes in which something was not ordered for want of room. */
struct spill {
    uint64_t first;
    uint64_t last;
    uint8_t nibbles; /* of the trees that are sent of it */
    bool any;
};

struct exchange {
    struct exchange *next;
    struct exchange *previous;
    struct peer *peer;                     /* whose `exchange` this is */
    struct marks repairs[TABLE_SET_COUNT]; /* the next blocks to leave, presence first */
    struct order *orders;
    uint32_t count;
    uint32_t room;
    uint32_t counts[ORDER_KIND_COUNT];
    struct spill spills[TABLE_SET_COUNT];
    uint32_t settled[TABLE_SET_COUNT]; /* keys found to differ that did not change lately */
    uint32_t fresh[TABLE_SET_COUNT];   /* and that did */
    uint64_t heard_us;                 /* when the peer last took part: asked, answered or acked */
    uint32_t sent;                     /* datagrams of repairs */
    bool salted;  /* the last exchange ended as it began: not with digests unsalted again */
    bool blocked; /* all there is waits for the peer's window */
};

/* The exchange with a peer; created where there is none. NULL: no memory (counted). Like all that
 * follow that say nothing else, it takes the same time however many exchanges there are. */
struct exchange *exchange_obtain(struct node *node, struct moment now, struct peer *peer);

/* All others are asked before it, the next time. */
void exchange_last(struct node *node, struct exchange *exchange);

/* Order something; the same order twice is one. What finds no room or memory is spilled. */
void exchange_order(struct node *node, struct exchange *exchange, struct order order);

/* Note that something under a prefix is to be looked at again, once there is room. Time O(1). */
void exchange_spill(const struct node *node, struct exchange *exchange, struct prefix prefix);

/* Order some elements of a key. */
void exchange_repair(struct node *node, struct exchange *exchange, struct entry *entry,
                     const struct mark *mark);

/* What a datagram of repairs carried is lost: order it again. `carried` is emptied. */
void exchange_repair_again(struct node *node, struct exchange *exchange, struct marks *carried);

/* Note that a key differed, and whether it changed lately. */
void exchange_note(struct exchange *exchange, enum table_set set, bool fresh);

/* The peer and we differ in more than what is under way: then nothing is left out any more. */
static inline bool exchange_is_behind(const struct exchange *exchange, enum table_set set)
{
    const uint32_t settled = exchange->settled[set];

    return settled >= EXCHANGE_BEHIND_KEYS
           && settled >= exchange->fresh[set] / (EXCHANGE_BEHIND_SHARE - 1);
}

/* Whether the peer and we differ, or differed a moment ago, in more than what is under way: then
 * nothing is left out, so that no rest remains which is under way whenever it is looked at. */
bool offer_is_behind(struct moment now, const struct exchange *exchange, enum table_set set);

/* Whether a block of a key is sent in this exchange: not while a change of it may be under way,
 * unless the peer is behind, or exchanges with it have come to nothing for a while. */
bool sync_offers(const struct node *node, struct moment now, const struct exchange *exchange,
                 const struct entry *entry, uint64_t number);

/* Something of this set is on its way to the peer, or to be. */
bool exchange_repairs(const struct exchange *exchange, enum table_set set);

/* A stream of this set is: another descent would only find the same again. */
bool exchange_streams(const struct exchange *exchange, enum table_set set);

/* Forget what was ordered of a set: the peer has it from elsewhere. Time O(orders). */
void exchange_cancel(struct node *node, struct exchange *exchange, enum table_set set);

/* The next datagram of this exchange. 0: none may leave now. */
size_t exchange_emit(struct node *node, struct moment now, struct space space,
                     struct exchange *exchange);

bool exchange_done(const struct exchange *exchange);
void exchange_free(struct node *node, struct exchange *exchange);

/* All of them: none at first (false: no memory); the one that is asked first, whose `next` leads to
 * the others; and all are freed. */
bool exchanges_create(struct node *node);
struct exchange *exchanges_first(const struct node *node);
void exchanges_free(struct node *node);

#endif /* NODE_EXCHANGE_H */
