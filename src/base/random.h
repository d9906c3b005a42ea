#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

/* A generator of pseudo-random numbers inside its owner: seeded once, never shared, so that a run
 * can be replayed from its seed. Not for secrets: a daemon takes the seed from the kernel, but
 * whatever must resist an observer (tokens, look-up secrets) is drawn from the kernel directly.
 *
 * Source: Blackman and Vigna, xoshiro256** 1.0, seeded by SplitMix64 as they advise. */

#include <stdint.h>

struct random {
    uint64_t state[4];
};

/* Start a sequence. Different (seed, purpose) pairs give unrelated sequences: one generator for
 * each purpose, so that one more draw for one of them does not change the others. */
void random_seed(struct random *random, uint64_t seed, uint64_t purpose);

/* The next 64 bits. */
uint64_t random_next(struct random *random);

/* Uniform in 0..limit-1, without bias; limit >= 1.
 *
 * Source: Lemire, "Fast random integer generation in an interval" (2019). */
uint64_t random_below(struct random *random, uint64_t limit);

#endif /* BASE_RANDOM_H */
