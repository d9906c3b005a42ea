#ifndef SIM_RUN_H
#define SIM_RUN_H

/* One random run: clients write at random places while the chosen faults happen at random times;
 * then all of them stop, and everything must come right. All checks are on. */

#include <stddef.h>
#include <stdint.h>

#include "sim/storage.h"

enum run_fault {
    RUN_LOSS = 1 << 0,
    RUN_DUPLICATE = 1 << 1,
    RUN_REORDER = 1 << 2,
    RUN_CORRUPT = 1 << 3,
    RUN_PARTITION = 1 << 4,  /* for some seconds, two sides cannot hear each other */
    RUN_ONEWAY = 1 << 5,     /* or only one of them cannot */
    RUN_CRASH = 1 << 6,      /* machines stop and start, with their store or without, some under
                             * another address */
    RUN_CLOCK = 1 << 7,      /* wall clocks jump by up to a year */
    RUN_PAUSE = 1 << 8,      /* machines sleep for some seconds */
    RUN_PLAIN = 1 << 9,      /* prototypes take part */
    RUN_STRANGERS = 1 << 10, /* attacks, as sim/attack.h names them */
    RUN_FORGERS = 1 << 11,
    RUN_FLOODS = 1 << 12,
    RUN_DATED = 1 << 13,   /* clients write keys that end in some minutes, or much later */
    RUN_DELETED = 1 << 14, /* clients delete keys, and write them again */
    RUN_DISK = 1 << 15,    /* machines keep what they have on disks that fail, and end at any moment
                            * of what these do */

    RUN_EVERY = RUN_PLAIN - 1, /* of nodes and networks */
    RUN_ATTACKS = RUN_STRANGERS | RUN_FORGERS | RUN_FLOODS,
    RUN_UNSTEADY =
        RUN_CORRUPT | RUN_PARTITION | RUN_ONEWAY | RUN_CRASH | RUN_CLOCK | RUN_PAUSE | RUN_DISK
    /* who lives may be missed */
};

struct run_options {
    uint64_t seed;
    size_t nodes;
    uint64_t seconds;     /* of faults and writes */
    unsigned faults;      /* enum run_fault bits */
    unsigned digest_bits; /* of the store's digests; 64: all */
    int64_t unix_shift_s; /* of all wall clocks */
};

/* What is the same whenever the same run is made again. */
struct run_result {
    uint64_t trace;   /* of all datagrams */
    uint64_t content; /* of the store that all have in the end, presence apart */
    uint64_t datagrams;
    uint64_t settled_us;
    struct storage_figures disks;
};

/* The names of the faults, in the order of their bits; NULL after the last. */
extern const char *const run_fault_names[];

/* Ends the program where an invariant is broken. */
struct run_result run_random(const struct run_options *options);

#endif /* SIM_RUN_H */
