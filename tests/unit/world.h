#ifndef UNIT_WORLD_H
#define UNIT_WORLD_H

/* A few nodes in one process under a virtual clock, for the unit tests of what only shows between
 * nodes: first contact, dissemination, detection, anti-entropy. Datagrams are lost, delayed and
 * counted here. Same seed, same run.
 *
 * A world of zeros has no nodes, and may be freed. What is set of it before its first node is made
 * stays: the time, the delay, `digests_cut`. */

#include "base/mem.h"
#include "base/random.h"
#include "node/node.h"
#include "store/table.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "unit/client.h"

#define WORLD_S         UINT64_C(1000000) /* a second, in microseconds */
#define WORLD_UNIX_S    UINT64_C(1790000000)
#define WORLD_DELAY_US  UINT64_C(1000)
#define WORLD_NODES_MAX 64

struct world_event;

struct world_node {
    struct mem mem;
    struct table *table;
    struct node *node;
    struct address address;
    uint64_t due_us;     /* of the tick in the queue */
    uint64_t sent_bytes; /* with headers */
    int64_t ahead_s;     /* its wall clock, of the others' */
    uint8_t side;        /* of a partition */
    bool up;
};

/* The last datagram to an address that is no node's. */
struct world_stray {
    struct address to;
    size_t size;
    uint8_t data[WIRE_EXTENDED_BYTES_MAX];
};

struct world {
    struct world_node *nodes; /* room for WORLD_NODES_MAX */
    size_t count;
    struct world_event *queue; /* a binary heap */
    size_t queue_count;
    size_t queue_room;
    uint64_t now_us;
    uint64_t order;
    uint64_t delay_us;
    unsigned loss_permille;
    uint64_t digests_cut; /* bits of the digests that are not there */
    uint64_t sent;        /* datagrams */
    uint64_t turns;       /* of all nodes */
    uint64_t trace;       /* hash of all datagrams, in order */
    uint64_t lose;        /* this datagram is lost, counted from 1; 0: none */
    uint64_t strays;
    struct world_stray stray;
    const struct address *alias; /* what goes there comes back from there */
    struct random random;
    /* Sees every datagram that leaves for a node; false: it is lost. NULL: none is looked at. */
    bool (*filter)(void *context, size_t from, size_t to, struct bytes datagram);
    void *context;
};

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

/* Of node i, also where there is none. */
struct address world_address(size_t i);

/* Of node i; it trusts nobody. */
struct node_options world_options(size_t i);

/* The next node; it knows nobody. */
struct world_node *world_add(struct world *world, const struct node_options *options,
                             uint64_t keys_max);

/* The same; unless it is the first, that one is its seed. */
void world_join(struct world *world, const struct node_options *options);

/* Nodes that know of each other by the first one as their seed and trust everybody. */
void world_create(struct world *world, size_t count, uint64_t seed);

/* Audits and frees all, and leaves a world of zeros; true when no node had memory left. */
bool world_free(struct world *world);

/* The moment that nodes are told now. */
struct moment world_moment(const struct world *world);

/* Let a node have a turn now: something was done to it. */
void world_wake(struct world *world, size_t node);

/* A datagram from any address. */
void world_send(struct world *world, const struct address *from, const struct address *to,
                struct bytes datagram);

/* Let time pass. */
void world_run(struct world *world, uint64_t span_us);

/* Let time pass until a condition holds; false: it did not within the span. */
bool world_run_until(struct world *world, uint64_t span_us,
                     bool (*condition)(const struct world *world, void *context), void *context);

/* Every node that is up holds every other one that is up alive. */
bool world_joined(const struct world *world, void *unused);

/* A client's update of one element at a node, which has a turn then. `done` may be NULL. */
enum status world_update(struct world *world, size_t node, const char *key, uint64_t index,
                         uint64_t value, struct client_done *done);

/* The same, which must succeed. */
void world_write(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value);

uint64_t world_read(const struct world *world, size_t node, const char *key, uint64_t index);

/* How many of the nodes that are up read at least this. */
size_t world_count(const struct world *world, const char *key, uint64_t index, uint64_t value);

/* Put an element into a node's store as if from disk: nobody is told. */
void world_load(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value);

/* The state in which one node holds another, or what would be its address. */
enum peer_state world_state(const struct world *world, size_t node, size_t other);

/* Stop a node as kill -9 does. */
void world_kill(struct world *world, size_t node);

uint64_t world_sent_bytes(const struct world *world);
uint64_t world_sent(const struct world *world, enum node_kind kind);

#endif /* UNIT_WORLD_H */
