#include "store/digest.h"
#include "store/entry.h"
#include "store/state.h"
#include "store/table.h"
#include "store/tombstone.h"

#include <assert.h>

/* Whether an entry is found by its key. */
static bool found_audit(const struct table *table, const struct entry *entry)
{
    const struct bytes key = entry_key_of(entry);
    const uint32_t id = lookup_find(&table->lookup, &table->slabs, lookup_hash(&table->lookup, key),
                                    key, &table->work->lookup);

    return id != 0 && slabs_entry(&table->slabs, id) == entry;
}

/* The digest that an entry with elements must have. */
static uint64_t digest_audit(const struct table *table, const struct entry *entry)
{
    const uint64_t hash = either_hash(table->cluster_id, entry);

    return vector_digest(&entry->vector, hash)
           + digest_generation(hash, entry_generation_of(entry));
}

/* Every key that exists is what it should be; returns how many there are. */
static uint64_t entries_audit(const struct table *table, uint64_t *dated_out)
{
    struct order_cursor cursor = order_begin(&table->order);
    const struct entry *entry;
    uint64_t keys = 0;
    uint64_t elements = 0;
    uint64_t dated = 0;

    while ((entry = order_next(&cursor, &table->slabs)) != NULL) {
        vector_audit(&entry->vector);
        assert(vector_size(&entry->vector) > 0);
        assert((entry->flags & (ENTRY_DROPPED | ENTRY_HIDDEN)) == 0);
        assert(entry->digest == digest_audit(table, entry));
        assert(found_audit(table, entry));
        elements += vector_size(&entry->vector);
        dated += (entry->flags & ENTRY_DATED) != 0;
        keys++;
    }
    assert(elements == table->elements);
    *dated_out = dated;
    return keys;
}

/* What has ended and is kept is all there, and as it was. Returns how many keys. */
static uint64_t hidden_audit(const struct table *table)
{
    static const enum calendar_list_number lists[] = { CALENDAR_ENDED, CALENDAR_UNSORTED };
    uint64_t tombstones = 0;
    uint64_t hidden = 0;

    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (uint32_t id = calendar_first(&table->calendar, lists[i]); id != 0;) {
            const struct entry *entry = slabs_either(&table->slabs, id);

            if (entry_is_tombstone(entry)) {
                tombstones += either_is_hidden(entry);
            } else if ((entry->flags & ENTRY_HIDDEN) != 0) {
                vector_audit(&entry->vector);
                assert(vector_size(&entry->vector) > 0 && entry->link == id);
                assert(entry->digest == digest_audit(table, entry));
                assert(found_audit(table, entry));
                hidden++;
            }
            id = calendar_after(entry);
        }
    }
    assert(tombstones == table->tombstones_hidden);
    assert(hidden + tombstones == table->hidden);
    return hidden;
}

/* Entries that are dropped and still readable. */
static uint64_t dropped_audit(const struct table *table)
{
    uint64_t dropped = 0;

    for (size_t i = 0; i < table->feed.count; i++) {
        const struct change *change = &table->feed.list[i];

        assert(mark_empty(&change->raised) == (change->dropped || change->ended));
        if (change->dropped) {
            assert(entry_dropped(change->entry));
            dropped++;
        }
    }
    for (uint32_t id = table->untold_first; id != 0;
         id = slabs_entry(&table->slabs, id)->lookup_next) {
        assert((slabs_entry(&table->slabs, id)->flags & ENTRY_DROPPED) != 0);
        dropped++;
    }
    return dropped;
}

void table_audit(const struct table *table)
{
    uint64_t dated;
    const uint64_t keys = entries_audit(table, &dated);
    const uint64_t hidden = hidden_audit(table);
    const struct tree_tombstones tombstones = tree_audit(&table->trees[TABLE_DATA], &table->slabs);
    uint64_t empty = 0;

    for (uint32_t id = table->empty_first; id != 0;) {
        const struct entry *entry = slabs_entry(&table->slabs, id);

        assert(vector_size(&entry->vector) == 0);
        assert(entry->link == id);
        assert(found_audit(table, entry));
        empty++;
        id = entry->empty.after;
    }
    assert(keys == table->order.count);
    assert(keys + table->tombstones
           == (uint64_t)table->trees[TABLE_MEMBERS].keys + table->trees[TABLE_DATA].keys);
    assert(keys + empty + hidden == table->lookup.entry_count);
    assert(slabs_audit(&table->slabs)
           == keys + empty + hidden + table->tombstones + table->tombstones_hidden
                  + dropped_audit(table));
    assert(table_expires(table)
           || (table->past.minute == table->calendar.minute
               && table->past.all == table->past.settled));
    lookup_audit(&table->lookup, &table->slabs);
    order_audit(&table->order, &table->slabs);
    assert(tree_audit(&table->trees[TABLE_MEMBERS], &table->slabs).all == 0);
    assert(tombstones.all == table->tombstones);
    assert(calendar_audit(&table->calendar, &table->slabs)
           == dated + tombstones.dated + table->hidden);
    feed_audit(&table->feed);
}
