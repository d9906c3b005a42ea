#ifndef NODE_TRACE_H
#define NODE_TRACE_H

/* What a node did, one event after another, for whoever looks for the reason of something: the
 * daemon's log at the level trace, the simulator's --trace. Counters (node_stats()) say how often,
 * these say with whom and in which order.
 *
 * The node hands each event to the function in its options, within the call that caused it, and
 * does nothing else with it. Without a function an event costs one branch that is never taken. The
 * function must not call the node; what it does changes no datagram. */

#include "base/address.h"

#include <stdint.h>

/* The event's name and those of its two fields; "" where there is none.
 *
 * Every datagram that leaves is one datagram_out; one that comes is a datagram_in where it can be
 * decoded, with a refused where nothing else is made of it, or else a datagram_dropped. */
#define TRACE_LIST(X)                                                                            \
    X(TRACE_IN, "datagram_in", "kind", "bytes") /* enum node_kind */                             \
    X(TRACE_OUT, "datagram_out", "kind", "bytes")                                                \
    X(TRACE_DROPPED, "datagram_dropped", "reason", "bytes") /* enum wire_drop */                 \
    X(TRACE_REFUSED, "refused", "reason", "count") /* the refused_* of struct node_stats */      \
    X(TRACE_RETRY, "retry", "kind", "losses")      /* push, sync or leave, lost so often */      \
    X(TRACE_ABANDONED, "abandoned", "kind", "losses")                                            \
    X(TRACE_DECLARED, "declared", "state", "incarnation") /* the peer, suspect or dead, by us */ \
    X(TRACE_REFUTED, "refuted", "", "incarnation")        /* what somebody said of ourselves */  \
    X(TRACE_ROUND, "sync_round", "set", "")               /* we asked the peer what differs */   \
    X(TRACE_EXCHANGE_BEGUN, "exchange_begun", "", "")     /* by either side */                   \
    X(TRACE_EXCHANGE_ENDED, "exchange_ended", "", "repairs") /* datagrams of them that we sent */

enum trace_kind {
#define X(code, name, about, number) code,
    TRACE_LIST(X)
#undef X
        TRACE_COUNT
};

struct trace_event {
    struct address peer; /* port 0: no peer's doing */
    uint8_t kind;        /* enum trace_kind */
    const char *about;   /* a literal, or NULL: there is no such field */
    uint64_t number;
    uint64_t mono_us; /* of the call */
};

/* Who is told; `tell` NULL: nobody. */
struct trace_listener {
    void (*tell)(void *owner, const struct trace_event *event);
    void *owner;
};

/* What an event is called in a line, and its fields. */
struct trace_names {
    const char *event;
    const char *about;
    const char *number;
};
struct trace_names trace_names_of(enum trace_kind kind);

#endif /* NODE_TRACE_H */
