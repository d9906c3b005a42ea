#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

/* The way between machines: what is lost, late, doubled, damaged or kept apart. Every fault draws
 * from a generator of its own, so that more of one changes nothing in the others. */

#include "base/address.h"
#include "base/bytes.h"
#include "base/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

#define NETWORK_SIDES        8
#define NETWORK_QUEUE_MAX    92 /* datagrams of 1200 bytes that a default receive buffer holds */
#define NETWORK_HEADER_BYTES 28 /* IPv4 and UDP */
#define NETWORK_DATAGRAM_MAX 65507
#define NETWORK_REORDER_US   20000 /* by which a reordered one is late at most */

struct faults {
    unsigned loss_permille;
    unsigned duplicate_permille;
    unsigned reorder_permille; /* are late by up to NETWORK_REORDER_US */
    unsigned corrupt_permille; /* have one to four bytes changed, or are cut short */
    uint64_t latency_us;       /* one way, at least */
    uint64_t jitter_us;        /* and up to so much more */
};

struct network {
    struct faults faults;
    struct random loss;
    struct random delay;
    struct random duplicate;
    struct random reorder;
    struct random corrupt;
    bool cut[NETWORK_SIDES][NETWORK_SIDES]; /* from, to: nothing passes */
    uint64_t bystander_bytes; /* with headers, to addresses that nobody here has ever had */
    uint64_t lost;
    uint64_t corrupted;
};

void network_init(struct network *network, uint64_t seed);

/* Part two sides, or only one direction; all links again with network_heal(). */
void network_cut(struct network *network, unsigned from, unsigned to);
void network_heal(struct network *network);

/* A datagram leaves a machine. `from` is what stands in it as its source. */
void network_send(struct world *world, uint32_t sender, const struct address *from,
                  const struct address *to, struct bytes bytes);

#endif /* SIM_NETWORK_H */
