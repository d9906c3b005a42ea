#ifndef STORE_TOMBSTONE_H
#define STORE_TOMBSTONE_H

/* What is kept of a key that was deleted: its shared hash and the generation, no name; and where
 * the name said when the key ends, that minute, at which the tombstone ends too. Private to the
 * table, the calendar, and the tree, whose leaves link tombstones among entries, by ids with
 * SLAB_TOMBSTONE.
 *
 * Whoever asks the table by hash gets a struct entry * to either. To tell them apart would cost a
 * word where 16 bytes are all there is, so it is in the address, and in the id: what has bits here
 * is 0 in those of entries. What is common to both is here; the rest of an entry is read only once
 * it is known to be none. */

#include "base/deadline.h"
#include "store/digest.h"
#include "store/entry.h"
#include "store/set.h"
#include "store/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define SLAB_TOMBSTONE (UINT32_C(1) << 31) /* in an id */
#define SLAB_DATED     UINT32_C(1)         /* likewise, of a tombstone that ends */

_Static_assert((SLAB_NUMBERS_MAX - 1) << SLAB_ID_SHIFT < SLAB_TOMBSTONE, "no id reaches that bit");

/* In an address. */
#define TOMBSTONE_ANY   1
#define TOMBSTONE_DATED 2

struct tombstone {
    uint64_t hash;
    uint32_t link;       /* in the leaf of the tree; while in none, its own id */
    uint32_t generation; /* 0: dropped in this turn */
};

/* One that ends. */
struct tombstone_dated {
    struct tombstone head;
    uint32_t before; /* neighbours in a list of the calendar */
    uint32_t after;
    uint32_t deadline;
    bool is_hidden; /* past it, and taken out of the tree */
};

_Static_assert(sizeof(struct tombstone) == 2 * SLAB_UNIT_BYTES, "two units of a slab");
_Static_assert(sizeof(struct tombstone_dated) == 4 * SLAB_UNIT_BYTES, "four of them");
_Static_assert(SLAB_HEADER_UNITS % 2 == 0, "their first units are even: SLAB_DATED is free");

static inline bool entry_is_tombstone(const struct entry *entry)
{
    return ((uintptr_t)entry & TOMBSTONE_ANY) != 0;
}

static inline struct tombstone *entry_tombstone(const struct entry *entry)
{
    assert(entry_is_tombstone(entry));
    return (struct tombstone *)(void *)((char *)entry
                                        - ((uintptr_t)entry & (TOMBSTONE_ANY | TOMBSTONE_DATED)));
}

/* NULL: it is none that ends. */
static inline struct tombstone_dated *entry_tombstone_dated(const struct entry *entry)
{
    return ((uintptr_t)entry & TOMBSTONE_DATED) == 0
               ? NULL
               : (struct tombstone_dated *)(void *)entry_tombstone(entry);
}

/* What an id in the tree refers to. */
static inline struct entry *slabs_either(const struct slabs *slabs, uint32_t id)
{
    if ((id & SLAB_TOMBSTONE) == 0) {
        return slabs_entry(slabs, id);
    }
    return (struct entry *)(void *)((char *)slabs_entry(slabs, id & ~(SLAB_TOMBSTONE | SLAB_DATED))
                                    + TOMBSTONE_ANY
                                    + (id & SLAB_DATED) / SLAB_DATED * TOMBSTONE_DATED);
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

static inline uint32_t either_generation(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone(entry)->generation
                                     : entry_generation_of(entry);
}

static inline enum table_set either_set(const struct entry *entry)
{
    return entry_is_tombstone(entry) || (entry->flags & ENTRY_DATA) != 0 ? TABLE_DATA
                                                                         : TABLE_MEMBERS;
}

/* Minute at which it ends, DEADLINE_NONE: never. */
static inline uint32_t either_deadline(const struct entry *entry)
{
    if (entry_is_tombstone(entry)) {
        const struct tombstone_dated *dated = entry_tombstone_dated(entry);

        return dated == NULL ? DEADLINE_NONE : dated->deadline;
    }
    return (entry->flags & ENTRY_DATED) == 0 ? DEADLINE_NONE : deadline_of(entry_key_of(entry));
}

static inline bool either_is_hidden(const struct entry *entry)
{
    if (entry_is_tombstone(entry)) {
        const struct tombstone_dated *dated = entry_tombstone_dated(entry);

        return dated != NULL && dated->is_hidden;
    }
    return (entry->flags & ENTRY_HIDDEN) != 0;
}

static inline bool either_is_dropped(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone(entry)->generation == 0
                                     : (entry->flags & ENTRY_DROPPED) != 0;
}

/* Neighbours of what ends in its list (store/calendar.h). */
static inline uint32_t either_before(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone_dated(entry)->before : entry_before(entry);
}

static inline uint32_t either_after(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? entry_tombstone_dated(entry)->after : entry_after(entry);
}

static inline void either_set_before(struct entry *entry, uint32_t id)
{
    if (entry_is_tombstone(entry)) {
        entry_tombstone_dated(entry)->before = id;
    } else {
        entry_set_before(entry, id);
    }
}

static inline void either_set_after(struct entry *entry, uint32_t id)
{
    if (entry_is_tombstone(entry)) {
        entry_tombstone_dated(entry)->after = id;
    } else {
        entry_set_after(entry, id);
    }
}

#endif /* STORE_TOMBSTONE_H */
