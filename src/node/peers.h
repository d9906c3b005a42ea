#ifndef NODE_PEERS_H
#define NODE_PEERS_H

/* Every address this node knows, members and others: found by address, by id, in id order (the
 * trie of dissemination) and in address order (listings). Private to the room. Records are a few
 * hundred bytes at most, since every node knows every node: node/peers.c asserts it.
 *
 * A record stays where it is until peers_drop(). It holds only what cannot be read from the
 * presence entry quickly enough, and the local view: when heard, how far, in what dialect. */

#include "base/address.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/credit.h"
#include "node/types.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct owed;
struct plain_queue;
struct exchange;

#define PEER_WINDOW_START 8 /* of the 92 datagrams a default receive buffer holds */

/* How a plain peer speaks, by its last frame. */
enum peer_dialect { DIALECT_UNKNOWN, DIALECT_TTL /* Ruby */, DIALECT_NO_TTL /* Clojure */ };

struct peer {
    struct address address;
    uint64_t id;               /* key hash of its presence key */
    struct entry *presence;    /* NULL: nothing of it is in the store */
    struct owed *owed;         /* answers that wait to leave; outbox.c */
    struct plain_queue *plain; /* what a plain peer is still to get; plain.c */
    struct exchange *exchange; /* what anti-entropy has still to send to it; exchange.c */
    uint64_t heard_us;         /* any datagram from it; 0: never */
    uint64_t extended_us;      /* last valid `x` from it; 0: never */
    uint64_t validated_us;     /* last echo of our token; 0: never */
    uint64_t checked_us;       /* when it was last compared with us; lag.c, as the next ones */
    uint64_t equal_us;         /* when its data were last known to equal ours; 0: never */
    uint64_t has_us;           /* it has what we had before, by digests alone; 0: not known */
    uint64_t told_us;          /* when it said a digest that was none of ours; 0: it was */
    uint64_t settled_us;       /* when it last listed what differed for long; 0: never */
    uint64_t incarnation;      /* of state; from the presence entry */
    uint32_t state_s;      /* element 3: when it was declared dead or left; unix s, low 32 bits */
    uint32_t hello_due_ms; /* mono, wrapping: no hello before */
    uint32_t stamp;        /* element 0 in minutes, normalised; 0: none */
    uint32_t clock_base_s; /* of a plain peer: what its clock showed at least when our monotonic one
                              was at 0, by the stamps it told; unix s; 0: it told none */
    uint32_t srtt_us;      /* 0: not measured */
    struct credit credit;  /* as long as it is not trusted */
    uint32_t told_root;    /* that digest, */
    uint32_t told_salt;    /* and its salt, */
    uint32_t told_minute;  /* and the minute as of which it was */
    uint32_t minute;       /* that its data are as of, as it said last; 0: never */
    uint32_t avoid_until_ms; /* mono, wrapping: push chooses others until then */
    uint32_t suspect_ms; /* mono, wrapping: when we first saw the present state or incarnation */
    uint32_t sync_due_ms[TABLE_SET_COUNT];    /* mono, wrapping: no exchange of that set before */
    uint32_t sync_behind_ms[TABLE_SET_COUNT]; /* mono, wrapping: nothing is left out until then */
    uint8_t sync_wait[TABLE_SET_COUNT];       /* exponent of that wait; 0: one second */
    uint8_t sync_losses;                      /* of repairs, since the last ack of one */
    bool sync_asked[TABLE_SET_COUNT]; /* we began the last exchange, and nothing came of it */
    uint8_t token[WIRE_TOKEN_BYTES];  /* its token for us, to echo */
    uint8_t avoid_exponent;           /* exponent of the next such time */
    uint8_t hello_tries;              /* hellos since it last echoed our token */
    uint8_t window;                   /* datagrams it may have unacked from us */
    uint8_t window_acks;              /* since the window last grew; pace.c */
    uint8_t window_theirs;            /* its `W`; 255: not said */
    uint8_t in_flight;                /* unacked, of what fills the window; outbox.c */
    uint8_t flags_theirs;             /* its `F` */
    uint8_t level;                    /* protocol level, from element 1; 0: plain */
    uint8_t state;                    /* enum peer_state */
    uint8_t dialect;                  /* enum peer_dialect */
    uint8_t probes_asked;             /* probes of ours under way that it asked for; detect.c */
    bool is_seed;                     /* configured or introduced */
    bool answered;                    /* it has acked a probe of ours; detect.c */
    bool mute;                        /* and has let one fail since */
    bool has_token;
    bool is_told;     /* somebody told of it, and it was not heard yet */
    uint8_t told_by;  /* whose share that counts in; peers.c */
    bool hello_asked; /* it asked who we are, too soon after the last hello */
    bool member;      /* in the trie: live, and validated or plain and heard */
};

#define PEERS_TOLD_MAX (NODE_PEERS_MAX / 4 * 3) /* places that an address told of may take */

struct peers; /* peers.c */

/* No peers. `secret`: of the look-up, since strangers choose addresses. NULL: no memory. */
struct peers *peers_create(struct mem *mem, uint64_t secret);
void peers_free(struct peers *peers);

struct peer *peers_find(const struct peers *peers, const struct address *address);

/* Position of the first peer whose address is above this one; the count when there is none. */
uint32_t peers_after(const struct peers *peers, const struct address *address);

/* Find or create. NULL: NODE_PEERS_MAX or memory. */
struct peer *peers_obtain(struct peers *peers, const struct address *address, uint64_t id);

/* Whether a peer may tell of one more address. Its host (address_host()) may have told of as many
 * that were not heard yet as places are left for such: one that makes up addresses so takes half of
 * them, and of several each leaves as many to others as it has itself (dynamic thresholds;
 * Choudhury and Hahne, 1998). */
bool peers_may_tell(const struct peers *peers, const struct address *teller);

/* Create a record for an address that is not known and that a peer tells of, which may. NULL: no
 * memory. */
struct peer *peers_tell(struct peers *peers, const struct address *address, uint64_t id,
                        const struct address *teller);

/* It was heard itself: it counts in nobody's share any more. */
void peers_heard(struct peers *peers, struct peer *peer);

/* Forget a record. Whoever keeps pointers to it must have let go (node.c sees to the order). */
void peers_drop(struct peers *peers, struct peer *peer);

/* Change the state, keeping the counts; and membership of the trie. False: no memory. */
void peers_set_state(struct peers *peers, struct peer *peer, enum peer_state state);
bool peers_set_member(struct peers *peers, struct peer *peer, bool member);

/* Members whose id lies under a prefix: `digits` base-4 digits from the top, the rest of `prefix`
 * 0. They are the members at first .. first + count - 1. */
struct peer_range {
    uint32_t first;
    uint32_t count;
};
struct peer_range peers_under(const struct peers *peers, uint64_t prefix, unsigned digits);

/* Positions for walking: 0 <= position < peers_count() in address order. */
struct peer *peers_at(const struct peers *peers, uint32_t position);
struct peer *peers_member(const struct peers *peers, uint32_t position);

/* How many there are: of all, of members, in a state. */
uint32_t peers_count(const struct peers *peers);
uint32_t peers_members(const struct peers *peers);
uint64_t peers_in_state(const struct peers *peers, enum peer_state state);

void peers_audit(const struct peers *peers);

#endif /* NODE_PEERS_H */
