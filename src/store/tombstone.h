#ifndef STORE_TOMBSTONE_H
#define STORE_TOMBSTONE_H

/* What is kept of a key that was deleted: its shared hash and the generation, no name. Private to
 * the table and the tree, whose leaves link tombstones among entries, by ids with SLAB_TOMBSTONE.
 *
 * Whoever asks the table by hash gets a struct entry * to either. To tell them apart would cost a
 * word where 16 bytes are all there is, so it is in the address: that of a tombstone is odd. What
 * is common to both is here; the rest of an entry is read only once it is known to be none. */

#include "store/digest.h"
#include "store/entry.h"
#include "store/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define SLAB_TOMBSTONE (UINT32_C(1) << 31) /* in an id */

_Static_assert((SLAB_NUMBERS_MAX - 1) << SLAB_ID_SHIFT < SLAB_TOMBSTONE, "no id reaches that bit");

struct tombstone {
    uint64_t hash;
    uint32_t link;       /* in the leaf of the tree; while in none, its own id */
    uint32_t generation; /* 0: dropped in this turn */
};

_Static_assert(sizeof(struct tombstone) == 2 * SLAB_UNIT_BYTES, "two units of a slab");

static inline bool entry_is_tombstone(const struct entry *entry)
{
    return ((uintptr_t)entry & 1) != 0;
}

static inline struct tombstone *entry_tombstone(const struct entry *entry)
{
    assert(entry_is_tombstone(entry));
    return (struct tombstone *)(void *)((char *)entry - 1);
}

static inline struct entry *tombstone_entry(struct tombstone *tombstone)
{
    return (struct entry *)(void *)((char *)tombstone + 1);
}

/* What an id in the tree refers to. */
static inline struct entry *slabs_either(const struct slabs *slabs, uint32_t id)
{
    struct entry *entry = slabs_entry(slabs, id & ~SLAB_TOMBSTONE);

    return (id & SLAB_TOMBSTONE) == 0 ? entry : tombstone_entry((struct tombstone *)(void *)entry);
}

static inline uint32_t *either_link(struct entry *entry)
{
    return entry_is_tombstone(entry) ? &entry_tombstone(entry)->link : &entry->link;
}

static inline uint32_t either_next(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone(entry)->link : entry->link;
}

static inline uint64_t either_hash(uint32_t cluster_id, const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone(entry)->hash
                                     : digest_key_hash(cluster_id, entry_key_of(entry));
}

/* What its contribution to the tree is made of. */
static inline uint64_t either_digest(const struct entry *entry)
{
    const struct tombstone *tombstone;

    if (!entry_is_tombstone(entry)) {
        return entry->digest;
    }
    tombstone = entry_tombstone(entry);
    return digest_generation(tombstone->hash, tombstone->generation);
}

#endif /* STORE_TOMBSTONE_H */
