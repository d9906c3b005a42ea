#include "node/offer.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/state.h"

#define PATIENT_ROUNDS 2

bool sync_exists(const struct node *node, struct moment now, const struct entry *entry)
{
    return entry_set(entry) == TABLE_D || !presence_forgotten(node, now, entry_vector(entry));
}

uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number)
{
    return hash_mix(entry_hash(node->table, entry), number);
}

/* A block that is written to all the time is under way all the time: after a few exchanges that
 * ended as they began it is sent all the same. */
bool sync_offers(const struct node *node, struct moment now, const struct peer *peer,
                 const struct entry *entry, uint64_t number)
{
    return peer->sync_wait[entry_set(entry)] > PATIENT_ROUNDS
           || !recent_has(&node->sync.hot, offer_hash(node, entry, number), 0, now.mono_us / 1000);
}
