#ifndef BASE_HASH_H
#define BASE_HASH_H

/* The two functions every digest and look-up is made of. Pure arithmetic: the same on every
 * machine, byte order included, because nodes compare the results over the wire. Called by store
 * (look-ups, digests), node (ids, salted digests, tokens) and net. Never allocates.
 *
 * Test vectors: vignette(7), and tests/unit/test_hash.c. */

#include "base/bytes.h"

#include <stdint.h>

/* SipHash-2-4 of the bytes under a 16-byte key, as in the reference implementation: input and key
 * are read little endian.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). Watched by
 * bench/table. */
uint64_t hash_sip(const uint8_t key[16], struct bytes bytes);

/* Mix two words into one: c = b * C4; p = (a ^ C1) * (c ^ C2) to 128 bits; high ^ low ^ a ^
 * rotl(c, 32). The multiplication of b keeps neighbouring values (steps of a register) apart, the
 * two added terms keep a chosen index from hiding its changes behind a product of zero.
 *
 * Source: the folded 128-bit product of Wang Yi's wyhash. Watched by bench/merge. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    const uint64_t c = b * UINT64_C(0x94D049BB133111EB);
    __extension__ const unsigned __int128 p =
        (unsigned __int128)(a ^ UINT64_C(0x9E3779B97F4A7C15)) * (c ^ UINT64_C(0xD1B54A32D192ED03));

    return (uint64_t)(p >> 64) ^ (uint64_t)p ^ a ^ (c << 32 | c >> 32);
}

#endif /* BASE_HASH_H */
