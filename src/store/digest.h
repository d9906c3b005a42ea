#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

/* The arithmetic by which two nodes learn from 8 bytes whether they hold the same
 * (vignette(7), "Digests"). All sums are mod 2^64 and in any order, so that a raised element costs
 * one subtraction and one addition. Every node must compute the same: the test vectors of
 * vignette(7) are tests. */

#include "base/bytes.h"
#include "base/hash.h"

#include <stdint.h>

/* Cluster id of a cluster's name; 0 for no name (empty bytes). */
uint32_t digest_cluster_id(struct bytes name);

/* Hash of a key, the same on every node of a cluster; the salt of its vector's digest, its place
 * in the tree, and of a presence key the peer's id. */
uint64_t digest_key_hash(uint32_t cluster_id, struct bytes key);

/* What one element with a value > 0 adds to its vector's digest. */
static inline uint64_t digest_element(uint64_t key_hash, uint64_t index, uint64_t value)
{
    return hash_mix(key_hash + index * UINT64_C(0xBF58476D1CE4E5B9), value);
}

/* What a generation above 0 adds to the digest of a key's vector, so that what was deleted and
 * written again differs from what never was; of a tombstone it is all there is. */
static inline uint64_t digest_generation(uint64_t key_hash, uint64_t generation)
{
    return generation == 0 ? 0 : hash_mix(key_hash ^ UINT64_C(0xD1B54A32D192ED03), generation);
}

/* What a key whose vector has the digest h adds to its set and to every prefix it lies under. A
 * key without elements adds nothing: it does not exist. */
static inline uint64_t digest_contribution(uint64_t key_hash, uint64_t h)
{
    return hash_mix(key_hash, h);
}

/* What is compared over the wire: 4 bytes that say nothing about another salt. */
static inline uint32_t digest_salted(uint64_t digest, uint32_t salt)
{
    return (uint32_t)hash_mix(digest, salt);
}

#endif /* STORE_DIGEST_H */
