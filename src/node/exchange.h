#ifndef NODE_EXCHANGE_H
#define NODE_EXCHANGE_H

/* What anti-entropy has still to send to one peer: digests of prefixes, leaf lists, block digests,
 * wanted keys, repairs, streams. Each is a short order, carried out from the store's state at the
 * moment a datagram leaves; an exchange without orders is freed. Private to the room: sync.c
 * decides what is ordered, this file keeps and sends it.
 *
 * Repairs and streams are acked and keep to the peer's window. Digests of a small difference are
 * neither: whatever is lost, the next probe begins again. A long queue of them is acked too, so
 * that it fills no receive queue. */

#include "base/moment.h"
#include "node/marks.h"
#include "node/outbox.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;

/* An empty side is told as a leaf list without keys, whatever the size of the prefix. */
#define EXCHANGE_LEAF_KEYS_MAX 32
#define EXCHANGE_ORDERS_MAX    8192 /* to one peer; more are forgotten, and asked for again */
#define EXCHANGE_REPAIRS_MAX   8192 /* blocks, likewise: nobody has the whole store kept waiting */

enum order_kind {
    ORDER_TREE,   /* the digests of a prefix's children */
    ORDER_LEAF,   /* the leaf list of a prefix, or its tree if it has grown too long */
    ORDER_WANT,   /* a wanted key: prefix.bits is its hash */
    ORDER_BLOCKS, /* block digests of a key, from block number `at` on: prefix.bits is its hash */
    ORDER_STREAM, /* all keys of a prefix, from hash `at` on */
    ORDER_KIND_COUNT
};

struct order {
    struct prefix prefix;
    uint64_t at;
    uint8_t kind; /* enum order_kind */
};

struct exchange {
    struct exchange *next;
    struct peer *peer;
    struct marks repairs;
    struct order *orders;
    uint32_t count;
    uint32_t room;
    uint32_t counts[ORDER_KIND_COUNT];
    uint64_t heard_us; /* when the peer last took part: asked, answered or acked */
    uint32_t sent;     /* datagrams of repairs */
    uint8_t losses;    /* datagrams lost since the last ack */
    bool salted;       /* the last exchange ended as it began: not with digests unsalted again */
    bool blocked;      /* all there is waits for the peer's window */
};

/* The exchange with a peer; created where there is none. NULL: no memory (counted). */
struct exchange *exchange_obtain(struct node *node, struct moment now, struct peer *peer);

/* The one there is, or NULL. */
struct exchange *exchange_find(const struct node *node, const struct peer *peer);

/* Order something; the same order twice is one. Without memory or room nothing is ordered. */
void exchange_order(struct node *node, struct exchange *exchange, struct order order);

/* Order some elements of a key, or all that may be sent now (sync_offers()); false: none may. */
void exchange_repair(struct node *node, struct exchange *exchange, struct entry *entry,
                     const struct mark *mark);
bool exchange_repair_all(struct node *node, struct moment now, struct exchange *exchange,
                         struct entry *entry);

/* Repairs or a stream of this set are on their way to the peer. */
bool exchange_repairs(const struct exchange *exchange, enum table_set set);

/* So many that another descent would only find them again. */
bool exchange_transfers(const struct exchange *exchange, enum table_set set);

/* Forget what was ordered of a set: the peer has it from elsewhere. */
void exchange_cancel(struct node *node, struct exchange *exchange, enum table_set set);

/* The next datagram of this exchange. 0: none may leave now. */
size_t exchange_emit(struct node *node, struct moment now, struct space space,
                     struct exchange *exchange);

bool exchange_done(const struct exchange *exchange);
void exchange_free(struct node *node, struct exchange *exchange);

#endif /* NODE_EXCHANGE_H */
