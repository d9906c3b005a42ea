#ifndef SIM_ATTACK_H
#define SIM_ATTACK_H

/* Somebody who means harm: one machine that sends whatever it likes under any address, and gets
 * what is sent to its own, which are all of 172.16.0.0/16. Under addresses of 172.17.0.0/16 and
 * 192.0.2.0/24 it only sends: nobody is there.
 *
 * Of its own addresses some are hosts that speak the extended level: they echo tokens, so they are
 * whom they say they are, and are taken for members where nothing else is asked of those. It
 * overhears what nodes say to each other as long as the attack lasts. */

#include <stdint.h>

struct world;
struct attack; /* opaque */

/* What it does. A random act is drawn from those that are asked for. */
enum attack_act {
    /* strangers */
    ATTACK_FORGED_PLAIN = 1 << 0, /* keys, questions and presence from thousands of addresses */
    ATTACK_FORGED_HELLO = 1 << 1, /* the same, of nodes that never echo */
    ATTACK_HOSTS = 1 << 2,        /* hosts join, write and ask */
    ATTACK_HEARSAY = 1 << 3,      /* hosts tell of members that do not exist */
    ATTACK_QUESTIONS = 1 << 4,    /* a small question for much, from everywhere */
    /* forgers */
    ATTACK_SLANDER = 1 << 5,      /* suspect, dead and left under members' addresses */
    ATTACK_PLAIN_MEMBER = 1 << 6, /* a member's presence without, or with the level 0, plain */
    ATTACK_LEVEL = 1 << 7,        /* the same by element 1, in a host's datagram */
    ATTACK_CLOCKS = 1 << 8,       /* seventeen ports of a host tell a clock of 2159 */
    ATTACK_FAR_WORDS = 1 << 9,    /* and words of that time about members */
    ATTACK_INSTANCE = 1 << 10,    /* another process at a member's address */
    ATTACK_REPLAY = 1 << 11,      /* what was said is said again, from anywhere to anybody */
    ATTACK_REFLECTION = 1 << 12,  /* somebody uninvolved is called a member */
    /* floods */
    ATTACK_ACKS = 1 << 13,     /* many tiny datagrams that want an ack */
    ATTACK_WANTS = 1 << 14,    /* one big key, wanted 135 times a datagram */
    ATTACK_BLOCKS = 1 << 15,   /* 50 lists of blocks of it a datagram */
    ATTACK_WIDE = 1 << 16,     /* questions for it */
    ATTACK_STARS = 1 << 17,    /* patterns of many stars, from many who go away */
    ATTACK_ELEMENTS = 1 << 18, /* 65 kB of elements in random blocks, in falling order */
    ATTACK_PROBES = 1 << 19,   /* requests to probe others */
    ATTACK_FAKES = 1 << 20,    /* hosts call themselves alive and answer no probe */

    ATTACK_STRANGERS = (1 << 5) - 1,
    ATTACK_FORGERS = (1 << 13) - (1 << 5),
    ATTACK_FLOODS = (1 << 21) - (1 << 13),
    ATTACK_EVERY = (1 << 21) - 1
};

/* Names of the acts in the order of their bits; NULL after the last. */
extern const char *const attack_names[];

/* The world must have a stranger, and nobody who looks or hears. */
struct attack *attack_begin(struct world *world);
void attack_end(struct attack *attack);

/* So many random acts, of those kinds, at this moment. Sends up to some hundred datagrams each. */
void attack_strike(struct attack *attack, unsigned acts, unsigned count);

#endif /* SIM_ATTACK_H */
