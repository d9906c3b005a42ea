#include "node/suspicion.h"

#include "node/claim.h"
#include "node/peers.h"
#include "store/table.h"

#include <assert.h>

#define US_PER_S UINT64_C(1000000)

unsigned suspicion_confirmations(const struct peer *peer)
{
    unsigned count = 0;

    if (peer->presence == NULL) {
        return 1;
    }
    for (unsigned i = 0; i < PRESENCE_CONFIRM_COUNT; i++) {
        const uint64_t slot = vector_get(entry_vector(peer->presence), PRESENCE_CONFIRM + i);

        count += slot != 0 && slot == peer->incarnation;
    }
    return count == 0 ? 1 : count;
}

/* 1024 * log10(n), to within one. The logarithm to base 2 bit by bit: a square has twice the
 * logarithm, and is 2 or more where its next bit is 1. */
static uint64_t log10_1024(uint64_t n)
{
    uint64_t bits = 0;
    uint64_t x;

    assert(n >= 1);
    while (n >> bits > 1) {
        bits++;
    }
    x = (n << 31) >> bits; /* 2^31 <= x < 2^32 */
    for (unsigned i = 0; i < 10; i++) {
        x = x * x >> 31;
        bits <<= 1;
        if (x >> 32 != 0) {
            x >>= 1;
            bits |= 1;
        }
    }
    return bits * 30103 / 100000;
}

uint64_t suspicion_us(const struct peer *peer, uint64_t nodes)
{
    /* 1024 * ln(c) / ln(k + 1) for k = 1..3, c = 1..k; from k independent suspectors on it is 1. */
    static const uint16_t ratio[3][3] = { { 0, 0, 0 }, { 0, 646, 0 }, { 0, 512, 811 } };
    const uint64_t k = nodes < 3 ? 0 : (nodes - 2 < 3 ? nodes - 2 : 3);
    const uint64_t confirmations = suspicion_confirmations(peer);
    const uint64_t log = log10_1024(nodes);
    const uint64_t least_us = 3 * US_PER_S * (log > 1024 ? log : 1024) / 1024;
    const uint64_t most_us = 6 * least_us;

    if (k == 0 || confirmations > k) {
        return least_us;
    }
    return most_us - (most_us - least_us) * ratio[k - 1][confirmations - 1] / 1024;
}
