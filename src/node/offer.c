#include "node/offer.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/peers.h"
#include "node/recent.h"
#include "node/state.h"

#define FULL_US   UINT64_C(60000000)
#define FIND_UNIT 2 /* nodes and entries touched in a unit of work: 0.2 us each */

bool sync_exists(const struct node *node, struct moment now, const struct entry *entry)
{
    return entry_set(entry) == TABLE_DATA ? !entry_ended(node->table, entry)
                                          : !presence_forgotten(node, now, entry_vector(entry));
}

bool sync_exists_for(const struct node *node, struct moment now, const struct peer *peer,
                     const struct entry *entry)
{
    return sync_exists(node, now, entry) && entry_deadline(entry) > peer->minute;
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

uint64_t sync_keys(const struct node *node, unsigned set)
{
    const struct table_stats stats = table_stats(node->table);

    return stats.keys[set] + (set == TABLE_DATA ? stats.tombstones : 0);
}

uint64_t offer_hash(const struct node *node, const struct entry *entry, uint64_t number)
{
    return hash_mix(entry_hash(node->table, entry), number);
}

bool sync_is_full(const struct node *node, struct moment now)
{
    return node->refused_us != 0 && now.mono_us - node->refused_us < FULL_US;
}

bool offer_is_fresh(const struct node *node, struct moment now, const struct entry *entry,
                    uint64_t number)
{
    return recent_has(&node->fresh, offer_hash(node, entry, number), 0, now.mono_us / 1000);
}
