#ifndef UNIT_WORLD_H
#define UNIT_WORLD_H

/* A few nodes in one process under a virtual clock, for the unit tests of what only shows between
 * nodes: dissemination, detection, anti-entropy. Datagrams are lost, delayed and counted here.
 * Same seed, same run. */

#include "base/mem.h"
#include "base/random.h"
#include "node/node.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_S      UINT64_C(1000000)
#define WORLD_UNIX_S UINT64_C(1790000000)

struct world_event;

struct world_node {
    struct mem mem;
    struct table *table;
    struct node *node;
    struct address address;
    uint64_t due_us;     /* of the tick in the queue */
    uint64_t sent_bytes; /* with headers */
    uint64_t sent;
    uint8_t side; /* of a partition */
    bool up;
};

struct world {
    struct world_node *nodes;
    size_t count;
    struct world_event *queue; /* a binary heap */
    size_t queue_count;
    size_t queue_room;
    uint64_t now_us;
    uint64_t order;
    uint64_t delay_us;
    unsigned loss_permille;
    uint64_t digests_cut; /* bits of the digests that are not there */
    struct random random;
    /* Sees every datagram that leaves; false: it is lost. NULL: none is looked at. */
    bool (*filter)(void *context, size_t from, size_t to, struct bytes datagram);
    void *context;
};

/* Nodes that know of each other by the first one as their seed. Of `world` only digests_cut is
 * looked at. */
void world_create(struct world *world, size_t count, uint64_t seed);

/* Frees all; true when no node had memory left. */
bool world_free(struct world *world);

/* The moment that nodes are told now. */
struct moment world_moment(const struct world *world);

/* Let time pass. */
void world_run(struct world *world, uint64_t span_us);

/* Let time pass until a condition holds; false: it did not within the span. */
bool world_run_until(struct world *world, uint64_t span_us,
                     bool (*condition)(const struct world *world, void *context), void *context);

/* Every node that is up holds every other one that is up alive. */
bool world_joined(const struct world *world, void *unused);

/* A client's update of one element at a node. */
void world_write(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value);

uint64_t world_read(const struct world *world, size_t node, const char *key, uint64_t index);

/* How many of the nodes that are up read at least this. */
size_t world_count(const struct world *world, const char *key, uint64_t index, uint64_t value);

/* Put an element into a node's store as if from disk: nobody is told. */
void world_load(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value);

/* The state in which one node holds another. */
enum peer_state world_state(const struct world *world, size_t node, size_t other);

/* Stop a node as kill -9 does. */
void world_kill(struct world *world, size_t node);

uint64_t world_sent_bytes(const struct world *world);
uint64_t world_sent(const struct world *world, enum node_kind kind);

#endif /* UNIT_WORLD_H */
