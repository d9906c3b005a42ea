#ifndef NODE_PRESENCE_H
#define NODE_PRESENCE_H

/* Membership as ordinary max-merged data: the keys n:<address>, their elements, the bounds that
 * keep one forged maximum from blinding anybody, and what follows from a change. Private to the
 * room. Source: vignette(7), "Presence"; the state word is the precedence order of SWIM (Das,
 * Gupta and Motivala, 2002) as one integer. */

#include "base/address.h"
#include "base/moment.h"
#include "node/bounds.h"
#include "node/guard.h"
#include "node/marks.h"
#include "node/peers.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

/* Elements of a presence key. 0 (the stamp) never enters the store. */
enum presence_element {
    PRESENCE_STAMP = 0,
    PRESENCE_LEVEL = 1,    /* start * 2^16 + feature bits * 2^8 + level */
    PRESENCE_STATE = 2,    /* 4 * incarnation + enum presence_word */
    PRESENCE_SINCE = 3,    /* unix s when declared dead or left */
    PRESENCE_INSTANCE = 4, /* start * 2^16 + 16 random bits */
    PRESENCE_HTTP = 5,     /* start * 2^16 + HTTP port */
    PRESENCE_VERSION = 6,  /* start * 2^16 + node_options.version */
    PRESENCE_CONFIRM = 16, /* 16..23: suspectors' slots */
    PRESENCE_CONFIRM_COUNT = 8
};
enum presence_word { WORD_ALIVE, WORD_SUSPECT, WORD_DEAD, WORD_LEFT };

#define PRESENCE_PROTOCOL_LEVEL 1
#define PRESENCE_START_AHEAD    (UINT64_C(1) << 8) /* feature bit: the start is no clock */

/* Open, because it is embedded in the node; only node/presence.c touches the fields. */
struct presence {
    struct entry *self;
    uint64_t id; /* our own */
    uint64_t start_s;
    uint64_t began_s; /* the first start: later ones outbid others */
    uint64_t incarnation;
    uint64_t level_word; /* elements 1, 2, 4, 5 and 6 as this process last wrote them */
    uint64_t state_word;
    uint64_t instance_word;
    uint64_t http_word;
    uint64_t version_word;
    uint64_t outbid_due_us; /* elements of a later start are outbid once a minute at most */
    struct guard guard;
    bool noticed;
    bool leaving;
    uint32_t sweep; /* position of the next peer to look at for silence, forgetting */
    uint64_t sweep_due_us;
    uint64_t awake_us; /* since when we have listened without a break */
};

/* Write our own presence. False: no memory. */
bool presence_start(struct node *node, struct moment now);

/* Who says it: decides what may be taken. */
enum presence_source {
    SOURCE_OWNER,         /* a datagram from the very address that echoes our token */
    SOURCE_SELF_SPEAKING, /* one that seems to come from the very address */
    SOURCE_TRUSTED,       /* a validated or trusted peer, about others */
    SOURCE_STRANGER       /* anybody else: only about its own address */
};

enum presence_source presence_source_of(const struct peer *from, const struct address *about,
                                        bool trusted, bool proved);

/* Presence elements that came in. */
struct presence_report {
    struct address about;
    struct elements elements;
    struct marks *reply; /* receives the elements where ours is larger, NULL: not wanted */
    uint8_t source;      /* enum presence_source */
    uint8_t depth;       /* where push goes on, WIRE_DEPTH_STOP: do not pass on */
    bool proved;         /* the datagram echoes our token: it is no forger's */
};

/* Judge and merge what a peer reports; learn, refute, change states. What rose is spread (push at
 * its depth, plain peers by their rules). */
void presence_receive(struct node *node, struct moment now, struct peer *from,
                      const struct presence_report *report);

/* Forget what is in the store of a peer, which has some. It has no presence at once, and may get a
 * new one in the same turn; marks of the old one go when the turn ends, before the entry does. */
void presence_drop(struct node *node, struct moment now, struct peer *peer);

/* A datagram came from this address, which is trusted or validated, or a seed's: note it, and tell
 * an extended peer that is held suspect, dead or left what is said of it. `peer` is its record;
 * NULL: it has none, and one is created (NEW). Returns it; NULL: no room. */
struct peer *presence_heard(struct node *node, struct moment now, struct peer *peer,
                            const struct address *from, bool extended);

/* A plain message came from this peer and was taken: where it is plain and its address is trusted
 * or a seed's, say in its presence that it is alive. To be called once what the message says of
 * the sender has been merged, since that may show that it is not plain. */
void presence_vouch(struct node *node, struct moment now, struct peer *peer);

/* Merge our word about a peer: suspect (with our confirmation slot), dead, left; spread with
 * priority. */
void presence_declare(struct node *node, struct moment now, struct peer *peer,
                      enum presence_word word);

/* The state word of a peer changed (by us or by a merge): cached fields, trie, timers follow. */
void presence_update_peer(struct node *node, struct moment now, struct peer *peer);

void presence_tick(struct node *node, struct moment now);
uint64_t presence_due_us(const struct node *node);
void presence_leave(struct node *node, struct moment now);

#endif /* NODE_PRESENCE_H */
