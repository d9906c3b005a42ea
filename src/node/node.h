#ifndef NODE_NODE_H
#define NODE_NODE_H

/* What a node decides: gossip, membership, anti-entropy. Pure. The daemon and the simulator link
 * this same archive and drive it the same way, one turn after another:
 *
 *     node_receive() / node_update() / node_apply() / node_tick()   any number, at one moment
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
#include "store/table.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node; /* opaque */

#define NODE_SEEDS_MAX  256  /* addresses of seeds known at once: names times their addresses */
#define NODE_TRUST_MAX  64   /* ranges */
#define NODE_VALUES_MAX 64   /* max-value rules */
#define NODE_PEERS_MAX  8192 /* addresses kept, of all states; a quarter for who was heard itself */

/* A program's version in what presence has room for: major below 16, minor and patch below 64. */
#define NODE_VERSION(major, minor, patch) ((uint16_t)((major) << 12 | (minor) << 6 | (patch)))
#define NODE_VERSION_MAJOR(version)       ((unsigned)(version) >> 12)
#define NODE_VERSION_MINOR(version)       ((unsigned)(version) >> 6 & 63)
#define NODE_VERSION_PATCH(version)       ((unsigned)(version)&63)

/* A `max-value` rule: elements above the value are refused for keys that match. */
struct node_value_rule {
    struct bytes pattern; /* lent until the options are next set or the node is freed */
    uint64_t value_max;
};

/* Limits and intervals. Plain values, copied (the lists too, but for patterns); the defaults and
 * the reasons are in the option table (config/options.def), one line each. Zero means zero, and is
 * no announce interval, silent_after, probe interval or rate. */
struct node_options {
    struct address self;      /* what peers are told; a peer address, never a wildcard */
    uint64_t seed;            /* of the node's own generators */
    uint8_t token_secret[16]; /* of address tokens and the like; from the kernel */
    uint64_t start_s_min;     /* last `start` kept on disk + 1, or 0 */
    uint32_t cluster_id;      /* hash of the cluster's name, 0: none */
    uint16_t http_port;       /* announced; 0: none reachable */
    uint16_t version;         /* announced: NODE_VERSION(); 0: none */
    bool plain_only;          /* speak only the plain level; for tests of mixed clusters */

    uint64_t announce_interval_us; /* own presence to plain peers */
    uint64_t silent_after_us;      /* a plain peer not heard for this long is suspected */
    uint64_t probe_interval_us;
    uint64_t batch_delay_us; /* longest an update waits for company before it leaves */
    uint64_t bytes_per_second_max;
    uint64_t ready_after_us; /* node_readiness() no longer waits for a member that is equal */
    uint32_t search_max;     /* keys answered to one question */

    const struct address_range *trust; /* believed, and may get more bytes than they sent */
    size_t trust_count;
    const struct address_range *plain_peers; /* a named cluster takes plain messages from these */
    size_t plain_peers_count;
    const struct node_value_rule *value_rules;
    size_t value_rules_count;
};

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

/* A client's update of one key: begun, then each of its blocks checked, then each joined, in one
 * turn or in many. Open: embedded in whoever has the update. */
struct node_update {
    struct bytes key;         /* 1..255 bytes of UTF-8 without NUL; lent until the update is over */
    uint64_t value_max;       /* that the rules allow under it */
    uint64_t elements_raised; /* by what was joined so far */
    bool created;             /* that began the key */
};

/* Begin an update of a key and judge it.
 *
 * why     the reason and the key at fault, for the problem document
 *
 * STATUS_CONFLICT  the key is reserved (a peer's presence), or is a pattern */
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
 * STATUS_FULL (a new key beyond max-keys), STATUS_MEMORY: everything is as it was before this
 * block. */
MUST_CHECK enum status node_update_join(struct node *node, struct moment now,
                                        struct node_update *update, const struct block *block,
                                        struct merge_result *merged, struct fault *why);

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

enum peer_state {
    PEER_NEW, /* has not echoed our token yet: gets no data */
    PEER_ALIVE,
    PEER_SUSPECT,
    PEER_DEAD,
    PEER_LEFT,
    PEER_SILENT, /* a plain peer not heard: suspect or dead to us */
    PEER_STATE_COUNT
};

/* A peer that was equal to us so lately, when it was last compared with us, has converged: a change
 * of its own or of ours may be on its way. A lost one is mended by the next exchange, which under
 * load is begun every five seconds and may itself be lost once: who is further behind lacks more.
 */
#define NODE_CONVERGED_US UINT64_C(10000000)

struct peer_view {
    uint64_t last_heard_us; /* mono; 0: never */
    uint64_t checked_us;    /* mono, when it was last compared with us; 0: never, or not alive */
    uint64_t equal_us;      /* mono, when its data were last known to equal ours; 0: never */
    uint32_t rtt_us;        /* 0: not measured */
    uint32_t level;         /* protocol level; 0: plain */
    uint16_t http_port;     /* 0: none */
    uint16_t version;       /* of its program, as it says: NODE_VERSION(); 0: not told */
    struct address address;
    uint8_t state; /* enum peer_state */
    bool is_seed;
    bool converged; /* checked_us - equal_us, its lag, is at most NODE_CONVERGED_US */
};

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

/* Whether readers find here what the cluster knows. Equal once is ready for good: what comes later
 * is on its way to all. */
enum node_readiness {
    NODE_READY_NOT,   /* no member's data equalled ours yet */
    NODE_READY_EQUAL, /* a member's data equalled ours once since the start */
    NODE_READY_ALONE, /* there is nobody to ask: no seeds, no members */
    NODE_READY_LATE   /* neither, but options.ready_after_us have passed */
};
enum node_readiness node_readiness(const struct node *node, struct moment now);

/* Whether an update was refused within the last minute, for max-keys or for want of memory. */
bool node_is_full(const struct node *node, struct moment now);

/* The stamp (minutes, element 0) of a presence key: it lives in the peer's record, not in the
 * store. 0 when the key is no peer's or has none. */
uint64_t node_stamp(const struct node *node, struct bytes key);

/* Whether clients may not write the key: it is a peer's presence. */
bool node_is_reserved(struct bytes key);

/* Something a person may want to know, for a line in a log each. */
enum node_event_kind {
    NODE_EVENT_PEER,             /* a peer's state changed; also when it becomes known */
    NODE_EVENT_OTHER_CLUSTER,    /* datagrams of another cluster come; told once a minute at most */
    NODE_EVENT_DUPLICATE_ADDRESS /* another process speaks for our address; told once */
};
struct node_event {
    struct address address; /* the peer's, the sender's, our own */
    uint64_t heard_us;      /* mono, when the peer was last heard; 0: never, or no peer */
    uint8_t kind;           /* enum node_event_kind */
    uint8_t was;            /* enum peer_state, of NODE_EVENT_PEER */
    uint8_t is;
};

/* Take the oldest event that was not taken. The last 64 are kept: more of them in a turn are lost,
 * but for what they changed. False: none; *event_out untouched. */
bool node_take_event(struct node *node, struct node_event *event_out);

/* What datagrams are about, for counting. A datagram counts once, as the first that applies. */
#define NODE_KIND_LIST(X)                                          \
    X(NODE_KIND_PLAIN, "plain") /* any plain message */            \
    X(NODE_KIND_HELLO, "hello") /* introductions */                \
    X(NODE_KIND_PROBE, "probe") /* pings, direct and for others */ \
    X(NODE_KIND_ACK, "ack")     /* acks without anything else */   \
    X(NODE_KIND_PUSH, "push")   /* delegated updates */            \
    X(NODE_KIND_SYNC, "sync")   /* digests, wants and repairs */

enum node_kind {
#define X(code, label) code,
    NODE_KIND_LIST(X)
#undef X
        NODE_KIND_COUNT
};
const char *node_kind_label(enum node_kind kind);

struct node_stats {
    uint64_t received[NODE_KIND_COUNT];
    uint64_t received_bytes[NODE_KIND_COUNT];
    uint64_t sent[NODE_KIND_COUNT];
    uint64_t sent_bytes[NODE_KIND_COUNT];
    uint64_t dropped[WIRE_DROP_COUNT];
    uint64_t refused_cluster;  /* datagrams of another cluster, or plain where not taken */
    uint64_t refused_credit;   /* answers not sent: the address had no credit */
    uint64_t refused_keys;     /* new keys not taken: the table is full, or they are patterns */
    uint64_t refused_values;   /* elements above a max-value rule */
    uint64_t refused_presence; /* presence elements out of bounds or from strangers */
    uint64_t elements_raised;  /* by peers */
    uint64_t elements_raised_clients;
    uint64_t copies; /* items sent by push, each a block of a key */
    uint64_t copies_received;
    uint64_t copies_duplicate; /* received by push and raised nothing */
    uint64_t retries;          /* datagrams sent again for want of an ack */
    uint64_t abandoned;        /* given up after all tries; left to anti-entropy */
    uint64_t questions;        /* `%`, `*` and empty vectors asked of us */
    uint64_t suspicions;       /* declared by us */
    uint64_t deaths;           /* declared by us */
    uint64_t refutations;      /* of ourselves */
    uint64_t sync_rounds;      /* exchanges begun by us */
    uint64_t sync_keys_sent;
    uint64_t duplicate_address;
    uint64_t memory_refused; /* something queued was dropped: no memory; repair has it */
};

/* Counted work (node/work.h): units done since the node was created, for tests, the simulator and
 * whoever drives a node. What node_receive() does is at most node_datagram_work_max() of the
 * datagram's size. A turn's calls together stay below NODE_TURN_WORK_MAX + NODE_EMIT_WORK_MIN, but
 * for the last datagram or step that was begun: the driver stops taking datagrams in once
 * node_work_allows() says no, which it does at half of it so that ticks and what leaves have the
 * rest, and goes on in the next turn. node_emit() and node_tick() keep to the budget by themselves;
 * node_emit() has a share of its own in every turn however much came in, and where it stopped for
 * want of budget, or something raised is still to be spread, node_due_us() names a moment that has
 * come. */
#define NODE_TURN_WORK_MAX      20000 /* 2 to 10 ms (bench/costs) */
#define NODE_EMIT_WORK_MIN      4000 /* of what leaves, so that neither it nor what comes starves */
#define NODE_DATAGRAM_WORK      512  /* a hello or a probe, whatever it finds */
#define NODE_DATAGRAM_WORK_BYTE 1    /* a block takes 4 bytes and more, and makes 2 or 3 units */
uint64_t node_work(const struct node *node);
uint64_t node_datagram_work_max(size_t size);
bool node_work_allows(const struct node *node);

const struct node_stats *node_stats(const struct node *node);

/* Abort unless every invariant of the node's own structures holds; not the table's. */
void node_audit(const struct node *node);

#endif /* NODE_NODE_H */
