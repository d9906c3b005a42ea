#ifndef NODE_TYPES_H
#define NODE_TYPES_H

/* The plain values of a node: what it is given, and what it shows. For node/node.h, which says what
 * is done with them, and for the files of the room, which lie below it. */

#include "base/address.h"
#include "base/bytes.h"
#include "node/trace.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    uint64_t keep_max_s;     /* how far ahead a deadline may be, rounded up to the day; 0: any */
    uint32_t search_max;     /* keys answered to one question */

    const struct address_range *trust; /* believed, and may get more bytes than they sent */
    size_t trust_count;
    const struct address_range *plain_peers; /* a named cluster takes plain messages from these */
    size_t plain_peers_count;
    const struct node_value_rule *value_rules;
    size_t value_rules_count;

    struct trace_listener trace; /* told what the node does; its owner outlives the node */
};

/* A client's update of one key: begun, then each of its blocks checked, then each joined, in one
 * turn or in many. Open: embedded in whoever has the update. */
struct node_update {
    struct bytes key;         /* 1..255 bytes of UTF-8 without NUL; lent until the update is over */
    uint64_t value_max;       /* that the rules allow under it */
    uint64_t elements_raised; /* by what was joined so far */
    bool created;             /* that began the key */
};

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

/* Whether readers find here what the cluster knows. Equal once is ready for good: what comes later
 * is on its way to all. */
enum node_readiness {
    NODE_READY_NOT,   /* no member's data equalled ours yet */
    NODE_READY_EQUAL, /* a member's data equalled ours once since the start */
    NODE_READY_ALONE, /* there is nobody to ask: no seeds, no members */
    NODE_READY_LATE   /* neither, but options.ready_after_us have passed */
};

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

/* "plain", "hello" and so on. */
const char *node_kind_label(enum node_kind kind);

struct node_stats {
    uint64_t received[NODE_KIND_COUNT];
    uint64_t received_bytes[NODE_KIND_COUNT];
    uint64_t sent[NODE_KIND_COUNT];
    uint64_t sent_bytes[NODE_KIND_COUNT];
    uint64_t dropped[WIRE_DROP_COUNT];
    uint64_t refused_cluster;     /* datagrams of another cluster, or plain where not taken */
    uint64_t refused_credit;      /* answers not sent: the address had no credit */
    uint64_t refused_keys;        /* new keys not taken: the table is full, or they are patterns */
    uint64_t refused_values;      /* elements above a max-value rule */
    uint64_t refused_ended;       /* items of keys past their deadline */
    uint64_t refused_max_keep;    /* items of keys that end beyond options.keep_max_s */
    uint64_t refused_generations; /* items too far ahead, plain messages of keys deleted once */
    uint64_t refused_presence;    /* presence elements out of bounds or from strangers */
    uint64_t elements_raised;     /* by peers */
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

/* The bounds of counted work, see node_work(). */
#define NODE_TURN_WORK_MAX      20000 /* 2 to 10 ms (bench/costs) */
#define NODE_EMIT_WORK_MIN      4000 /* of what leaves, so that neither it nor what comes starves */
#define NODE_DATAGRAM_WORK      768  /* a hello, a probe or deletions, whatever they find */
#define NODE_DATAGRAM_WORK_BYTE 1    /* a block takes 4 bytes and more, and makes 2 or 3 units */

#endif /* NODE_TYPES_H */
