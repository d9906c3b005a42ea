#ifndef NODE_PRESENCE_H
#define NODE_PRESENCE_H

/* Membership as ordinary max-merged data: the keys n:<address>, their elements, the bounds that
 * keep one forged maximum from blinding anybody, and what follows from a change. Private to the
 * room. Source: vignette(7), "Presence"; the state word is the precedence order of SWIM (Das,
 * Gupta and Motivala, 2002) as one integer. */

#include "base/moment.h"
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
    PRESENCE_CONFIRM = 16, /* 16..23: suspectors' slots */
    PRESENCE_CONFIRM_COUNT = 8
};
enum presence_word { WORD_ALIVE, WORD_SUSPECT, WORD_DEAD, WORD_LEFT };

#define PRESENCE_PROTOCOL_LEVEL 1

/* Open, because it is embedded in the node; only node/presence.c touches the fields. */
struct presence {
    struct entry *self;
    uint64_t id; /* our own */
    uint64_t start_s;
    uint64_t incarnation;
    uint64_t wall_at_start_s;
    uint64_t mono_at_start_us;
    uint64_t stamps_s[16]; /* clocks of peers that echoed our token, for the median */
    uint8_t stamps_count;
    uint8_t stamps_next;
    uint8_t notice; /* enum node_notice */
    bool noticed;
    bool leaving;
    uint32_t sweep; /* position of the next peer to look at for silence, forgetting */
    uint64_t sweep_due_us;
};

/* Write our own presence. False: no memory. */
bool presence_start(struct node *node, struct moment now);

/* Whether a key is a peer's presence, and whose. */
bool presence_address(struct bytes key, struct address *address_out);

/* Who says it: decides what may be taken. */
enum presence_source {
    SOURCE_SELF_SPEAKING, /* a datagram from the very address */
    SOURCE_TRUSTED,       /* a validated or trusted peer, about others */
    SOURCE_STRANGER       /* anybody else: only about its own address */
};

/* Judge and merge presence elements that came in; learn, refute, change states. What rose is
 * spread (push at `depth`, plain peers by their rules).
 *
 * depth  WIRE_DEPTH_STOP: do not pass on
 * reply  receives the elements where ours is larger, NULL: not wanted */
void presence_receive(struct node *node, struct moment now, struct peer *from,
                      const struct address *about, struct elements elements,
                      enum presence_source source, uint8_t depth, struct marks *reply);

/* A datagram came from this address: it is alive as far as we are concerned; vouch for a plain
 * one. Creates the record (NEW) for an address unseen. NULL: no room. */
struct peer *presence_heard(struct node *node, struct moment now, const struct address *from,
                            bool extended);

/* Merge our word about a peer: suspect (with our confirmation slot), dead, left; spread with
 * priority. */
void presence_declare(struct node *node, struct moment now, struct peer *peer,
                      enum presence_word word);

/* Independent suspectors of its present incarnation, at least 1. */
unsigned presence_confirmations(const struct node *node, const struct peer *peer);

/* The state word of a peer changed (by us or by a merge): cached fields, trie, timers follow. */
void presence_update_peer(struct node *node, struct moment now, struct peer *peer);

/* A clock for bounds only: see vignette(7), "Bounds". */
uint64_t presence_now_s(const struct node *node, struct moment now);

/* Whether a presence entry is forgotten: dead or left for more than 24 h. */
bool presence_forgotten(const struct node *node, struct moment now, const struct vector *vector);

void presence_tick(struct node *node, struct moment now);
uint64_t presence_due_us(const struct node *node);
void presence_leave(struct node *node, struct moment now);

#endif /* NODE_PRESENCE_H */
