#include "disk/replay.h"

#include "base/address.h"
#include "store/pattern.h"

#include <string.h>

#define AHEAD 16 /* items that are known, and their buckets fetched, before the first is joined */

void replay_begin_file(struct replay *replay)
{
    replay->seen = (struct frame_end){ .keys = 0 };
    replay->key_size = 0;
}

/* A key counts once, though it may be in several items, one behind the other. */
static void key_count(struct replay *replay, struct bytes key)
{
    if (key.size == replay->key_size && memcmp(key.data, replay->key, key.size) == 0) {
        return;
    }
    memcpy(replay->key, key.data, key.size);
    replay->key_size = (uint8_t)key.size;
    replay->seen.keys++;
}

/* Whether it is of a form in which items are kept: neither of presence, which is not, nor a
 * question. */
static bool is_data(const struct item *item)
{
    struct address address;

    return item->generation <= UINT32_MAX
           && (item->by_hash
               || (!pattern_is(item->key) && !address_from_presence(item->key, &address)));
}

/* What there is of an item's key: an entry with elements or a tombstone; NULL: nothing. */
static struct entry *ours_find(const struct table *table, const struct item *item)
{
    struct entry *entry;

    if (item->by_hash) {
        return table_find_hash(table, TABLE_DATA, item->hash);
    }
    entry = table_find(table, item->key);
    return entry != NULL && vector_size(entry_vector(entry)) > 0
               ? entry
               : table_tombstone(table, item->key);
}

/* An item without elements: its key was deleted. */
static enum status deletion_join(struct replay *replay, const struct item *item)
{
    struct table *table = replay->table;
    struct entry *entry;
    enum status status;

    if (item->generation == 0) {
        replay->refused++;
        return STATUS_OK;
    }
    replay->seen.tombstones++;
    if (table == NULL) {
        return STATUS_OK;
    }
    entry = ours_find(table, item);
    if (entry != NULL && entry_generation(entry) >= item->generation) {
        return STATUS_OK;
    }
    status = table_delete(table, &entry, item->by_hash ? item->hash : table_hash(table, item->key),
                          item_deadline(item), (uint32_t)item->generation, CHANGE_FROM_DISK);
    return status == STATUS_ENDED ? STATUS_OK : status;
}

/* The entry that an item's elements go to; NULL: they are not to be taken. */
static enum status entry_obtain(struct table *table, const struct item *item,
                                struct entry **entry_out)
{
    enum status status;

    *entry_out = NULL;
    if (table == NULL) {
        return STATUS_OK;
    }
    status = table_obtain(table, item->key, TABLE_DATA, entry_out);
    if (status == STATUS_ENDED) {
        return STATUS_OK;
    }
    if (status == STATUS_OK && entry_generation(*entry_out) > item->generation) {
        *entry_out = NULL;
    }
    return status;
}

static enum status block_join(struct table *table, struct entry **entry, uint32_t generation,
                              const struct block *block)
{
    struct merge_result merged;

    return entry_generation(*entry) == generation
               ? table_merge(table, *entry, block, CHANGE_FROM_DISK, NULL)
               : table_renew(table, entry, generation, block, CHANGE_FROM_DISK, &merged);
}

static enum status item_join(struct replay *replay, const struct item *item)
{
    struct elements elements = item->elements;
    struct block_room room;
    struct block block;
    struct entry *entry;
    enum status status;

    replay->items++;
    if (!is_data(item)) {
        replay->refused++;
        return STATUS_OK;
    }
    if (!elements_next(&elements, &room, &block)) {
        return deletion_join(replay, item);
    }
    key_count(replay, item->key);
    status = entry_obtain(replay->table, item, &entry);
    do {
        replay->seen.elements += block.count;
        if (status == STATUS_OK && entry != NULL) {
            status = block_join(replay->table, &entry, (uint32_t)item->generation, &block);
        }
    } while (status == STATUS_OK && elements_next(&elements, &room, &block));
    return status;
}

enum status replay_items(struct replay *replay, struct bytes payload)
{
    struct item items[AHEAD];
    enum status status = STATUS_OK;
    size_t count;
    struct run run;

    if (!items_judge(payload, &run)) {
        replay->refused++;
        return STATUS_OK;
    }
    do {
        for (count = 0; count < AHEAD && message_next_item(&run, &items[count]); count++) {
            if (replay->table != NULL && !items[count].by_hash) {
                table_prefetch(replay->table, items[count].key);
            }
        }
        for (size_t i = 0; i < count && status == STATUS_OK; i++) {
            status = item_join(replay, &items[i]);
        }
    } while (count == AHEAD && status == STATUS_OK);
    return status;
}
