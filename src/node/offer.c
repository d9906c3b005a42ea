#include "node/offer.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/clock.h"
#include "node/exchange.h"
#include "node/state.h"

#define BEHIND_MS 3000 /* two or three rounds more */
#define FULL_US   UINT64_C(60000000)
#define FIND_UNIT 8 /* nodes and entries touched in a unit of work */

bool sync_exists(const struct node *node, struct moment now, const struct entry *entry)
{
    return entry_set(entry) == TABLE_D || !presence_forgotten(node, now, entry_vector(entry));
}

struct entry *sync_find(struct node *node, enum table_set set, uint64_t hash)
{
    const uint64_t before = table_stats(node->table).nodes;
    struct entry *entry = table_find_hash(node->table, set, hash);

    work_count(node, 1 + (table_stats(node->table).nodes - before) / FIND_UNIT);
    return entry;
}

size_t sync_slice(struct node *node, struct prefix prefix, uint64_t from, struct entry **entries,
                  size_t room)
{
    const uint64_t before = table_stats(node->table).nodes;
    const size_t found = table_slice_hash(node->table, prefix, from, entries, room);

    work_count(node, 1 + found + (table_stats(node->table).nodes - before) / FIND_UNIT);
    return found;
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
