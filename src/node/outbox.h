#ifndef NODE_OUTBOX_H
#define NODE_OUTBOX_H

/* What may leave now, and what left and is not acked yet. There is no queue of datagrams:
 * node_emit() asks each producer in order of urgency for one datagram, and it is encoded then.
 * Private to the room.
 *
 * Owed: what a datagram that came entitles its sender to (an ack, our roots, elements of which we
 * have more, a hello, "who are you"), kept in a small record at the peer until the next emission
 * and sent together. Flights: extended datagrams with a sequence number that wait for their ack;
 * each remembers as marks what it carried. */

#include "base/moment.h"
#include "node/peers.h"
#include "store/marks.h"
#include "wire/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct node;

#define OUTBOX_ACKS_MAX    64   /* PACE_WINDOW_MAX: a whole window may come in one turn */
#define OUTBOX_REFUSED_MAX 32   /* probes of its own that whoever asks may have under way */
#define OUTBOX_FLIGHTS_MAX 8192 /* unacked at all peers together; beyond, none is waited for */

enum flight_kind {
    FLIGHT_PROBE, /* detect: direct, indirect and out of turn */
    FLIGHT_PUSH,  /* push: `carried` is what the subtree was to get */
    FLIGHT_SYNC,  /* sync: repairs and descents */
    FLIGHT_LEAVE, /* node_leave() */
    FLIGHT_HELLO
};

/* One unacked datagram. */
struct flight {
    struct peer *peer; /* NULL: the slot is free */
    struct marks carried;
    uint64_t sent_us;
    uint64_t due_us;   /* when it counts as lost */
    uint64_t tag;      /* the producer's: a bucket, a probe, a prefix */
    uint32_t sequence; /* by the counter of all, not as it was sent */
    uint8_t kind;      /* enum flight_kind */
    uint8_t tries;     /* how often its content was sent, this time included */
};

/* What a flight is for and until when it is waited for. */
struct flight_plan {
    uint64_t tag;    /* the producer's, comes back with the ack or the loss */
    uint64_t due_us; /* when it counts as lost */
    uint8_t kind;    /* enum flight_kind */
    uint8_t tries;   /* how often its content was sent, this time included */
};

/* Answers owed to a peer. One record while there is something; freed when it was sent. */
struct owed {
    struct peer *peer;
    TAILQ_ENTRY(owed) link; /* in one of the outbox's two lists */
    struct marks larger;    /* elements of which we have more: ride in the ack, not passed on */
    uint32_t acks[OUTBOX_ACKS_MAX];
    uint32_t refused[OUTBOX_REFUSED_MAX]; /* `n`, one a datagram */
    uint32_t who;                         /* the id we do not know */
    uint32_t roots_salt;                  /* the `a` to salt our roots with */
    uint8_t acks_count;
    uint8_t refused_count;
    bool has_who;
    bool has_roots;
    bool
        hello; /* answer with a hello instead of an ordinary datagram; to a stranger, a challenge */
    bool bare; /* answer even with nothing to say: our token, its echo */
    bool asks_echo; /* our token goes with `larger` */
    bool waits;     /* in which list it is */
};

TAILQ_HEAD(owed_list, owed);

/* Nothing is owed or under way. False: no memory. */
bool outbox_create(struct node *node);
void outbox_free(struct node *node);

/* The owed record of a peer, created when there is none, for the caller to add to. NULL: no memory
 * (counted), or this node speaks only the plain level and owes nobody anything. */
struct owed *outbox_owe(struct node *node, struct peer *peer);

/* Note that a sequence number is to be acked; with `roots`, our digests go with it. One that finds
 * no room or no memory is not acked: it will be sent again. */
void outbox_owe_ack(struct node *node, struct peer *peer, uint32_t sequence, bool roots);

/* A peer is to be told that the probe it asked for with this sequence number found nothing. Each is
 * told, since its silence would be taken for a dead line. One that finds no room or no memory is
 * not told. */
void outbox_owe_refused(struct node *node, struct peer *peer, uint32_t sequence);

/* A peer should hear who we are. `asked`: it showed that it does not know; at most one a second,
 * and one that came too soon is said later, since who has asked and goes by our token is silent.
 * Else at most one in half a second, in a second, in two, and so on up to one in 30 s, until the
 * peer echoes our token.
 *
 * An address that somebody told us of and that was not heard here is not a party to that. Where it
 * is not in a trusted range it gets a challenge, which is smaller, and only as its credit allows;
 * and where we are not new here ourselves, one in 30 s and a second for each member, so that all of
 * us together send it one a second, in a trusted range too. */
void outbox_owe_hello(struct node *node, struct moment now, struct peer *peer, bool asked);

/* The same, not before so many milliseconds have passed. */
void outbox_owe_hello_later(struct moment now, struct peer *peer, uint32_t wait_ms);

/* Digests of both sets, salted, that of data as of a minute (table_root_of()). */
void outbox_roots(const struct node *node, uint32_t salt, uint32_t minute, uint32_t roots[2]);

/* Put them into what goes to a peer: as of its minute, where that is not after ours, so that it
 * can compare them. */
void outbox_put_roots(const struct node *node, const struct peer *peer, uint32_t salt,
                      struct envelope *envelope);

/* Begin an ordinary datagram to a peer: sender, flags, cluster, our token until it was echoed, its
 * echo once it sent one, and whatever acks it is owed. `envelope` has the producer's own fixed
 * fields (sequence, roots, depth, ...); has-bits of both are joined. */
void outbox_begin(struct node *node, struct moment now, struct peer *peer, struct writer *writer,
                  struct space space, const struct envelope *envelope);

/* Close it: charge it, count it, clear what was owed and is in it. Returns its size. */
size_t outbox_end(struct node *node, struct moment now, struct peer *peer, struct writer *writer,
                  enum node_kind kind);

/* The number that the next flight will have if it goes to this peer: goes into the envelope as `q`.
 * It says nothing of the numbers that other peers are sent. */
uint32_t outbox_sequence(const struct node *node, const struct peer *peer);

/* Note that the datagram just encoded, with that sequence, is under way. Takes over `carried` (may
 * be NULL). False: no memory or too many; it then counts as sent and never acked, and `carried` is
 * cleared. */
bool outbox_fly(struct node *node, struct moment now, struct peer *peer,
                const struct flight_plan *plan, struct marks *carried);

/* An ack came from a peer: measure the round trip, open the window, hand out the flight, whose
 * `carried` is the caller's then. False: the number is not known. */
bool outbox_take_acked(struct node *node, struct moment now, struct peer *peer, uint32_t sequence,
                       struct flight *flight_out);

/* Hand out the next flight that is overdue; `carried` likewise. False: none is left. `cursor` is 0
 * before the first call. */
bool outbox_take_lost(struct node *node, struct moment now, uint32_t *cursor,
                      struct flight *flight_out);
uint64_t outbox_due_us(const struct node *node);

/* Send what is owed, what is urgent before the rest. 0: nothing. Time O(1), however much waits. */
size_t outbox_emit(struct node *node, struct moment now, struct space space, struct address *to);

/* A peer or entries go: forget all flights and marks of them. */
void outbox_drop_peer(struct node *node, struct peer *peer);
void outbox_drop_entries(struct node *node, struct drops drops);

/* Abort unless every invariant above holds. */
void outbox_audit(const struct node *node);

#endif /* NODE_OUTBOX_H */
