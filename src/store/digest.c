#include "store/digest.h"

uint32_t digest_cluster_id(struct bytes name)
{
    static const uint8_t no_key[16] = { 0 };

    return name.size == 0 ? 0 : (uint32_t)hash_sip(no_key, name);
}

uint64_t digest_key_hash(uint32_t cluster_id, struct bytes key)
{
    const uint8_t cluster_key[16] = {
        (uint8_t)cluster_id,
        (uint8_t)(cluster_id >> 8),
        (uint8_t)(cluster_id >> 16),
        (uint8_t)(cluster_id >> 24),
    };

    return hash_sip(cluster_key, key);
}
