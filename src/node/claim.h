#ifndef NODE_CLAIM_H
#define NODE_CLAIM_H

/* What somebody says of a peer: the elements of its presence that have a meaning, read from a
 * datagram, judged against the clock, made into a block to merge. Knows no node and no store; used
 * by node/presence.c. Private to the room. Source: vignette(7), "Presence" and "Bounds". */

#include "store/vector.h"
#include "wire/block.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

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

#define CLAIM_ELEMENTS (PRESENCE_CONFIRM + PRESENCE_CONFIRM_COUNT)

/* 0 where nothing is said. All zero says nothing at all. */
struct claim {
    uint64_t values[CLAIM_ELEMENTS]; /* [PRESENCE_STAMP] is always 0: it is merged nowhere */
    uint64_t stamp;                  /* element 0, as it came */
};

/* Element 2: the order of these numbers is the order of precedence. */
static inline enum presence_word claim_word(uint64_t state)
{
    return (enum presence_word)(state & 3);
}
static inline uint64_t claim_incarnation(uint64_t state)
{
    return state >> 2;
}
static inline uint64_t claim_state(uint64_t incarnation, enum presence_word word)
{
    return incarnation << 2 | (uint64_t)word;
}

/* Read the elements of a presence key. Returns how many have no meaning and were left out. */
uint64_t claim_read(struct claim *claim, struct elements elements);

/* Who says it, to whom. */
enum claim_by {
    CLAIM_RELAYED,  /* anybody, of a member */
    CLAIM_WIDE,     /* anybody, of who is none, or to whom it is of; and what is stored */
    CLAIM_OF_OWNER, /* the owner itself, proved: as far as there is room above for its next word */
    CLAIM_TO_OWNER  /* a trusted peer, proved, to the owner: what any clock may have let in */
};

/* What a claim is judged by. */
struct claim_bounds {
    uint64_t now_s;
    const struct vector *stored; /* of the same presence; NULL: nothing */
    enum claim_by by;
};

/* Take out what lies so far ahead of now, and of what is stored, that its owner could not outbid
 * it; a level of 0, which nobody writes; and what then means nothing: a state whose level is taken
 * out, and since when, without a state. Returns how many. */
uint64_t claim_judge(struct claim *claim, const struct claim_bounds *bounds);

/* Put back what claim_judge() took out of what is stored of somebody dead or left, whose own words
 * were taken however far ahead while it lived: level and state now begin at element 3, where that
 * is within bounds. So whoever has it has the same, can tell it to others, and forgets it as any
 * other. */
void claim_keep_end(struct claim *claim, const struct claim_bounds *bounds,
                    const struct vector *stored);

/* What is stored, as a claim. */
void claim_of_stored(struct claim *claim, const struct vector *stored);

/* Whether it says anything but a stamp. */
bool claim_any(const struct claim *claim);

/* Whether the peer is forgotten, dead or left for more than a day, once the claim is joined with
 * what is stored (NULL: nothing). */
bool claim_forgotten(const struct claim *claim, const struct vector *stored, uint64_t now_s);

/* The claim, which says something, as a block that points into `room`. */
struct claim_block {
    uint64_t values[CLAIM_ELEMENTS];
    uint8_t offsets[CLAIM_ELEMENTS];
};
struct block claim_block(const struct claim *claim, struct claim_block *room);

#endif /* NODE_CLAIM_H */
