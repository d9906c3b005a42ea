#include "node/offer.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/clock.h"
#include "node/exchange.h"
#include "node/state.h"

#define BEHIND_MS 3000 /* two or three rounds more */
#define FULL_US   UINT64_C(60000000)

bool sync_exists(const struct node *node, struct moment now, const struct entry *entry)
{
    return entry_set(entry) == TABLE_D || !presence_forgotten(node, now, entry_vector(entry));
}

uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number)
{
    return hash_mix(entry_hash(node->table, entry), number);
}

bool sync_is_full(const struct node *node, struct moment now)
{
    return node->refused_us != 0 && now.mono_us - node->refused_us < FULL_US;
}

bool offer_is_hot(const struct node *node, struct moment now, const struct entry *entry,
                  uint64_t number)
{
    return recent_has(&node->sync.hot, offer_hash(node, entry, number), 0, now.mono_us / 1000);
}

bool offer_is_behind(struct moment now, const struct exchange *exchange, enum table_set set)
{
    struct peer *peer = exchange->peer;

    if (exchange_is_behind(exchange, set)) {
        peer->sync_behind_ms[set] = clock_ms(now) + BEHIND_MS;
    }
    return clock_is_ahead(now, peer->sync_behind_ms[set], BEHIND_MS);
}

/* A block that is written to all the time is under way all the time: it is sent all the same after
 * a few exchanges that ended as they began, and to who lacks so much that more than what is under
 * way must be missing. */
bool sync_offers(const struct node *node, struct moment now, const struct exchange *exchange,
                 const struct entry *entry, uint64_t number)
{
    return offer_is_behind(now, exchange, entry_set(entry))
           || exchange->peer->sync_wait[entry_set(entry)] > PATIENT_ROUNDS
           || !offer_is_hot(node, now, entry, number);
}
