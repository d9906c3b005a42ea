#include "base/random.h"

#include <assert.h>

static inline uint64_t random_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* One step of SplitMix64: spreads a seed over the whole state. */
static uint64_t random_split(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void random_seed(struct random *random, uint64_t seed, uint64_t purpose)
{
    /* The purpose is spread first: small purposes next to small seeds must not meet. */
    uint64_t spread = purpose;
    uint64_t state = seed ^ random_split(&spread);

    for (unsigned i = 0; i < 4; i++) {
        random->state[i] = random_split(&state);
    }
}

uint64_t random_next(struct random *random)
{
    uint64_t *s = random->state;
    const uint64_t result = random_rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = random_rotate(s[3], 45);
    return result;
}

__extension__ typedef unsigned __int128 random_wide; /* ISO C has no name for it */

uint64_t random_below(struct random *random, uint64_t limit)
{
    random_wide product;

    assert(limit >= 1);
    product = (random_wide)random_next(random) * limit;
    if ((uint64_t)product < limit) {
        /* cppcheck-suppress oppositeExpression ; the one is 2^64 - limit */
        const uint64_t unfair = -limit % limit; /* 2^64 mod limit: draws that fall too often */

        while ((uint64_t)product < unfair) {
            product = (random_wide)random_next(random) * limit;
        }
    }
    return (uint64_t)(product >> 64);
}
