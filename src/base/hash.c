#include "base/hash.h"

#include <string.h>

/* The state of SipHash: four words, named as in the paper. */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t sip_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline uint64_t sip_load(const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline void sip_round(struct sip *sip)
{
    sip->v0 += sip->v1;
    sip->v2 += sip->v3;
    sip->v1 = sip_rotate(sip->v1, 13) ^ sip->v0;
    sip->v3 = sip_rotate(sip->v3, 16) ^ sip->v2;
    sip->v0 = sip_rotate(sip->v0, 32);
    sip->v2 += sip->v1;
    sip->v0 += sip->v3;
    sip->v1 = sip_rotate(sip->v1, 17) ^ sip->v2;
    sip->v3 = sip_rotate(sip->v3, 21) ^ sip->v0;
    sip->v2 = sip_rotate(sip->v2, 32);
}

static inline void sip_absorb(struct sip *sip, uint64_t word)
{
    sip->v3 ^= word;
    sip_round(sip);
    sip_round(sip);
    sip->v0 ^= word;
}

uint64_t hash_sip(const uint8_t key[16], struct bytes bytes)
{
    const uint64_t k0 = sip_load(key);
    const uint64_t k1 = sip_load(key + 8);
    struct sip sip = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                       k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
    uint64_t last = (uint64_t)bytes.size << 56;
    size_t at;

    for (at = 0; bytes.size - at >= 8; at += 8) {
        sip_absorb(&sip, sip_load(bytes.data + at));
    }
    for (unsigned i = 0; at + i < bytes.size; i++) {
        last |= (uint64_t)bytes.data[at + i] << (8 * i);
    }
    sip_absorb(&sip, last);
    sip.v2 ^= 0xff;
    for (unsigned i = 0; i < 4; i++) {
        sip_round(&sip);
    }
    return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}
