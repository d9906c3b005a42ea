#ifndef NODE_PRESENCE_H
#define NODE_PRESENCE_H

/* Membership as ordinary max-merged data: the keys n:<address>, their elements, the bounds that
 * keep one forged maximum from blinding anybody, and what follows from a change. Private to the
 * room. Source: vignette(7), "Presence"; the state word is the precedence order of SWIM (Das,
 * Gupta and Motivala, 2002) as one integer. */

#include "base/address.h"
#include "base/moment.h"
#include "node/claim.h"
#include "node/peers.h"
#include "store/marks.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

/* Write our own presence. False: no memory. */
bool presence_create(struct node *node, struct moment now);
void presence_free(struct node *node);

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
