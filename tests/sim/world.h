#ifndef SIM_WORLD_H
#define SIM_WORLD_H

/* Machines under a virtual clock, with a network between them. On a machine runs a node, the very
 * object code of the daemon, driven by turns as the daemon drives it; or a model of one of the two
 * prototypes; or nothing, and somebody sends datagrams from its address.
 *
 * Everything that happens follows from the options and the seed: the same run gives the same
 * datagrams, byte for byte (`trace`). A broken invariant ends the program (red.h). */

#include "base/address.h"
#include "base/mem.h"
#include "base/moment.h"
#include "base/random.h"
#include "node/node.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/network.h"
#include "sim/schedule.h"

struct checks;
struct prototype;
struct storage;

#define WORLD_S      UINT64_C(1000000)
#define WORLD_MS     UINT64_C(1000)
#define WORLD_UNIX_S UINT64_C(1790000000)
#define WORLD_NOBODY UINT32_MAX

enum machine_kind { MACHINE_NODE, MACHINE_RUBY, MACHINE_CLOJURE, MACHINE_STRANGER };

struct machine {
    struct address address;
    struct mem mem;      /* of its store */
    struct mem node_mem; /* of all else */
    struct table *table;
    struct table *saved;         /* a copy of an earlier one; NULL: there is none */
    struct storage *storage;     /* its disk; NULL: it has none, and its store outlives it */
    struct node *node;           /* NULL while down */
    struct prototype *prototype; /* of a MACHINE_RUBY or MACHINE_CLOJURE */
    struct datagram *received_first;
    struct datagram *received_last;
    uint32_t received_count; /* NETWORK_QUEUE_MAX at most */
    uint64_t turn_us;        /* when it wants to do a turn; UINT64_MAX: not at all */
    uint64_t paused_us;      /* it does none before */
    int64_t unix_offset_s;   /* of its wall clock */
    uint64_t mono_offset_us; /* of its other clock */
    uint64_t start_s_min;    /* as kept on disk over a restart */
    uint64_t starts;
    uint64_t sent;
    uint64_t sent_bytes; /* with headers */
    uint64_t arrived;
    uint64_t arrived_bytes; /* with headers */
    uint64_t overflows;     /* the receive queue was full */
    uint8_t side;           /* of a partition */
    uint8_t kind;           /* enum machine_kind */
    bool up;
    uint64_t idle_passed; /* datagrams in and out, as the last turn ended */
    uint32_t idle_turns;  /* without any, or a change, and another was wanted at once */
    bool is_steady; /* it is up, hears and is heard: to be a member to all others of that kind */
};

struct world_options {
    uint64_t seed;
    size_t nodes;
    size_t rubies;   /* machines after the nodes */
    size_t clojures; /* and after those */
    size_t strangers;
    bool repeats; /* prototypes say all they know again and again */
    struct faults faults;
    unsigned checks;      /* enum check bits */
    uint64_t unix_s;      /* 0: WORLD_UNIX_S */
    int64_t unix_shift_s; /* of all wall clocks */
    uint64_t digest_mask; /* 0: all ones */
    uint64_t keys_max;
    struct node_options node; /* its cluster_id, and where not 0 its bytes_per_second_max */
    bool distrustful;         /* nobody is trusted; else everybody, unless */
    bool trusts_members;      /*   machines are, but for strangers */
    uint64_t node_bytes_max;  /* of a node's own account; 0: no limit */
    uint64_t store_bytes_max; /* of its store's */
    bool has_disks;           /* nodes begin with empty ones; not prejoined */
    bool always_commit;       /* all of them answer only what is synced; else as their seeds say */
    bool prejoined; /* every node begins with all others as members; else by the first ones as
                     * seeds */
};

struct world {
    struct world_options options;
    struct machine *machines;
    size_t count;
    struct schedule schedule;
    struct network network;
    uint64_t now_us;
    uint64_t turns;
    uint64_t datagrams;
    uint64_t trace;
    struct random clients; /* what clients write, and where */
    struct random chaos;   /* when what breaks */
    struct checks *checks;
    /* Sees every datagram of a node as it leaves. NULL: nobody looks. */
    void (*look)(void *context, const struct world *world, uint32_t sender,
                 const struct address *to, struct bytes datagram);
    void *context;
    /* Gets every datagram that comes to a stranger. NULL: nobody does. */
    void (*hear)(void *context, struct world *world, const struct datagram *datagram);
    void *hear_context;
};

/* Where machines live, strangers' hosts apart. */
extern const struct address_range world_network;

struct world *world_create(const struct world_options *options);
void world_free(struct world *world);

struct moment world_moment(const struct world *world, const struct machine *machine);

/* The machine of an address; WORLD_NOBODY: none has it. All of 172.16.0.0/16 is the first
 * stranger's, at any port. */
uint32_t world_machine_of(const struct world *world, const struct address *address);

/* Whether the nodes' `trust` names an address. */
bool world_is_trusted(const struct world *world, const struct address *address);

/* Let time pass. */
void world_run(struct world *world, uint64_t span_us);

/* Let time pass at once, in which nobody does anything, as if all had been asleep: what was under
 * way and what was due comes late. That is how days pass. */
void world_leap(struct world *world, uint64_t span_us);

/* Let time pass until a condition holds, which is asked every `step_us`. Returns how long it took;
 * UINT64_MAX: it did not hold within the span. */
uint64_t world_run_until(struct world *world, uint64_t span_us, uint64_t step_us,
                         bool (*condition)(struct world *world, void *context), void *context);

/* A client's update of one element at a node that is up. */
void world_write(struct world *world, uint32_t machine, const char *key, uint64_t index,
                 uint64_t value);

/* The same, which the node may refuse because the key has ended. False: it did. */
bool world_offer(struct world *world, uint32_t machine, const char *key, uint64_t index,
                 uint64_t value);

/* A client's deletion. Returns the generation that it left; 0: there is no such key there. */
uint32_t world_delete(struct world *world, uint32_t machine, const char *key);

/* A client's update of many elements at once. */
void world_write_all(struct world *world, uint32_t machine, const char *key,
                     const struct vector *elements);

/* A random element below the index is raised to at most the value, at a machine or, for
 * WORLD_NOBODY, at any. Draws are made one after another here as everywhere: among arguments each
 * compiler would have an order of its own. */
void world_scribble(struct world *world, uint32_t machine, const char *key, uint64_t index_end,
                    uint64_t value_max);

/* The same at a prototype that is up. */
void world_tell(struct world *world, uint32_t machine, const char *key, uint64_t index,
                uint64_t value);

/* Put an element into a store as if from disk: nobody is told, and digests differ. */
void world_load(struct world *world, uint32_t machine, const char *key, uint64_t index,
                uint64_t value);

uint64_t world_read(const struct world *world, uint32_t machine, const char *key, uint64_t index);

/* Of a key at a machine, whether it is deleted or written. */
uint32_t world_generation(const struct world *world, uint32_t machine, const char *key);

/* Stop a machine as a power cut does. */
void world_kill(struct world *world, uint32_t machine);

/* Let a machine go on that was stopped, as if it had only been asleep. */
void world_wake(struct world *world, uint32_t machine);

/* Start it again. With `kept`, the store is what it was when the machine was killed, presence
 * included; else all is forgotten but that it ran. A machine with a disk (sim/storage.h) loads what
 * that has, or with `kept` false begins with an empty one, and is up when it has. */
void world_restart(struct world *world, uint32_t machine, bool kept);

/* Keep a copy of a store, in place of an earlier one; and start the machine over that copy, as from
 * a backup, which there must be. */
void world_save(struct world *world, uint32_t machine);
void world_restore(struct world *world, uint32_t machine);

/* Give a machine another address, which takes effect when it starts. */
void world_move(struct world *world, uint32_t machine);

/* Somebody sends a datagram, with any source address. */
void world_inject(struct world *world, uint32_t sender, const struct address *from,
                  const struct address *to, struct bytes datagram);

/* Every node that is up holds every other machine that is up alive, and none that is down. */
bool world_joined(struct world *world, void *unused);

/* The same of nodes alone: what others are called is nobody's concern. */
bool world_members(struct world *world, void *unused);

/* Some node holds an address live, or may yet, that no machine has any more. */
bool world_haunted(struct world *world, void *unused);

/* All nodes that are up and on one side have equal stores: their digests say so, and it is so. */
bool world_equal(struct world *world, void *unused);

/* A hash over the data of the first node that is up, that owes nothing to the store's digests; the
 * generations of what was deleted are in it. */
uint64_t world_content(const struct world *world);

/* The state in which one node holds another; PEER_STATE_COUNT: it does not know it. */
enum peer_state world_state(const struct world *world, uint32_t node, uint32_t other);

/* A random node that is up. */
uint32_t world_any(const struct world *world, struct random *random);

/* Sums over all nodes. */
uint64_t world_sent_bytes(const struct world *world);
uint64_t world_overflows(const struct world *world);
uint64_t world_copies(const struct world *world);

#endif /* SIM_WORLD_H */
