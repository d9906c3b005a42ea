#ifndef NODE_STATE_H
#define NODE_STATE_H

/* The inside of a node: what its parts share, and the parts, each a pointer to a type that only its
 * own file knows. Private to the room. Below every part: knows none of them. */

#include "base/mem.h"
#include "base/moment.h"
#include "base/random.h"
#include "node/guard.h"
#include "node/recent.h"
#include "node/types.h"
#include "store/table.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;

#define NODE_PRESENCE_KEY_MAX (2 + ADDRESS_TEXT_MAX)
#define NODE_HEADER_BYTES     28 /* IPv4 and UDP, counted as sent with every datagram */

/* Generators, by purpose: one more draw of one changes nothing in the others. */
enum random_purpose {
    RANDOM_NODE, /* whatever has none of its own */
    RANDOM_PLAIN,
    RANDOM_PUSH,
    RANDOM_DETECT,
    RANDOM_SYNC,
    RANDOM_COUNT
};

/* The clock as keys that end know it; expiry.c. */
struct expiry {
    struct moment looked; /* when it was last looked at the clock */
    uint64_t now_s;       /* what it showed */
    uint32_t minute;      /* that the table was told */
    bool is_stuck;        /* there was no memory to put a key back, or to tell that one goes */
    bool is_confirmed;    /* the clock, when it was looked at */
};

struct node {
    struct node_options options; /* lists point into `lists` */
    void *lists;
    size_t lists_size;
    struct mem *mem;
    struct table *table;
    struct peers *peers;
    struct presence *presence;
    struct outbox *outbox;
    struct pace *pace;
    struct credit_floor *floor;
    struct strangers *strangers;
    struct plain *plain;
    struct searches *searches;
    struct push *push; /* from when there is a member; likewise detect and sync */
    struct spread *spread;
    struct detect *detect;
    struct sync *sync;
    struct lag *lag;
    struct exchanges *exchanges;
    struct contact *contact;
    struct work *work;
    struct events *events;
    struct entry *self; /* our own presence; presence.c */
    uint64_t self_id;
    struct guard guard;
    struct expiry expiry;
    struct recent fresh; /* blocks changed in the last 500 ms, but by repair; sync.c */
    struct random random[RANDOM_COUNT];
    struct moment now;   /* of the last call */
    uint64_t secret;     /* of look-ups by address: strangers choose addresses */
    uint64_t work_done;  /* units, since the node was created */
    uint32_t hearsay;    /* position of the last peer looked at to make room for another */
    uint64_t created_us; /* mono */
    uint64_t alone_us;   /* when we last had no member; contact.c */
    uint64_t dry_us;     /* when node_emit() last found nothing that may leave; 0: not known */
    uint64_t refused_us; /* when the table last refused a key; 0: never */
    uint64_t full_us;    /* when it last refused anything, for want of memory too; 0: never */
    bool was_equal;      /* a member's data equalled ours since the start */
    bool leaving;        /* node_leave() was called */
    uint8_t bulk_next;   /* which kind of bulk is asked first; node.c */
    uint8_t ahead_run;   /* datagrams that went ahead of bulk since it last had a chance */
    bool has_extended;   /* of this turn: some member speaks extended */
    bool has_extended_known;
    struct node_stats stats;
};

/* Free a part that may never have come to be: node_create() failed. */
static inline void part_free(struct node *node, void *part, size_t size)
{
    if (part != NULL) {
        mem_free(node->mem, part, size);
    }
}

/* So many units of work were done (node/work.h). Here, since every block and mark is counted. */
static inline void work_count(struct node *node, uint64_t units)
{
    node->work_done += units;
}

/* Tell the listener, if there is one, of an event: trace_tell(node, TRACE_ROUND, .peer = address).
 * Its fields are not even looked at where nobody listens. */
#define trace_tell(node, event_kind, ...)                                                     \
    do {                                                                                      \
        if (__builtin_expect((node)->options.trace.tell != NULL, 0)) {                        \
            (node)->options.trace.tell((node)->options.trace.owner,                           \
                                       &(struct trace_event){ .kind = (event_kind),           \
                                                              .mono_us = (node)->now.mono_us, \
                                                              __VA_ARGS__ });                 \
        }                                                                                     \
    } while (0)

/* A datagram has been encoded and leaves. */
static inline void sent_count(struct node *node, const struct address *to, enum node_kind kind,
                              size_t size)
{
    node->stats.sent[kind]++;
    node->stats.sent_bytes[kind] += size;
    trace_tell(node, TRACE_OUT, .peer = *to, .about = node_kind_label(kind), .number = size);
}

/* So many things were refused: refused_count(node, presence, &from->address, 1). The address is
 * NULL where no peer is known to have caused it. */
#define refused_count(node, reason, from, count) \
    refused_add(node, &(node)->stats.refused_##reason, #reason, from, count)

static inline void refused_add(struct node *node, uint64_t *counter, const char *reason,
                               const struct address *from, uint64_t count)
{
    *counter += count;
    if (count > 0) {
        trace_tell(node, TRACE_REFUSED,
                   .peer = from == NULL ? (struct address){ .port = 0 } : *from, .about = reason,
                   .number = count);
    }
}

/* Whether an address is in a trusted range. */
bool node_trusts_address(const struct node *node, const struct address *address);

/* Whether plain messages of an address are taken, and it is spoken to in them: always by a node
 * without a cluster's name; a named cluster is told which addresses may. */
bool node_takes_plain(const struct node *node, const struct address *address);

/* Whether what a source says about others is taken: trusted range, or echoed our token. */
bool node_trusts(const struct node *node, const struct peer *peer, struct moment now);

/* Whether it is trusted and something came from there: nobody made it up. */
bool node_has_reached(const struct node *node, const struct peer *peer, struct moment now);

/* How long a valid `x` counts: ten minutes, or three rounds of probes where these take longer. */
uint64_t node_extended_us(const struct node *node);

/* Ordinary extended datagrams may go to it: level >= 1, trusted, heard a valid `x` within that
 * time. */
bool node_speaks_extended(const struct node *node, const struct peer *peer, struct moment now);

/* Whether they may go to any member; found once a turn. Without one, push has nothing under way. */
bool node_has_extended(struct node *node, struct moment now);

/* The token that an address must echo. `epoch` 0: the present one, 1: the one before. */
void node_token(const struct node *node, struct moment now, const struct address *address,
                unsigned epoch, uint8_t token[WIRE_TOKEN_BYTES]);

/* Whether an echo is of a token that this address was sent. */
bool node_is_token(const struct node *node, struct moment now, const struct address *address,
                   const uint8_t echo[WIRE_TOKEN_BYTES]);

/* Whether we came into the cluster less than a minute ago, and so have everybody still to meet. */
bool node_is_new(const struct node *node, struct moment now);

/* Text of the presence key of an address, in `key`, and the id that follows from it. */
struct bytes node_presence_key(const struct address *address, uint8_t key[NODE_PRESENCE_KEY_MAX]);
uint64_t node_peer_id(const struct node *node, const struct address *address);

#endif /* NODE_STATE_H */
