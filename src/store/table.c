#include "store/table.h"

#include "base/deadline.h"
#include "store/digest.h"
#include "store/entry.h"
#include "store/state.h"
#include "store/tombstone.h"

#include <assert.h>
#include <string.h>

_Static_assert(TABLE_MINUTES_KEPT == PAST_MINUTES, "what is kept of them");

const struct mark table_tombstone_mark = { .bits = { 1 } };

static uint64_t shared_hash(const struct table *table, const struct entry *entry)
{
    return either_hash(table->cluster_id, entry);
}

/* The same for merging, where one block of an entry follows the other. */
static uint64_t merge_hash(struct table *table, const struct entry *entry)
{
    if (table->hashed != entry) {
        table->hashed = entry;
        table->hashed_hash = shared_hash(table, entry);
    }
    return table->hashed_hash;
}

/* The list of entries without elements. */

static void empty_add(struct table *table, struct entry *entry)
{
    entry->empty.before = 0;
    entry->empty.after = table->empty_first;
    if (table->empty_first != 0) {
        slabs_entry(&table->slabs, table->empty_first)->empty.before = entry->link;
    }
    table->empty_first = entry->link;
}

/* Afterwards the entry has a digest: that of nothing. */
static void empty_remove(struct table *table, struct entry *entry)
{
    const uint32_t before = entry->empty.before;
    const uint32_t after = entry->empty.after;

    if (before != 0) {
        slabs_entry(&table->slabs, before)->empty.after = after;
    } else {
        table->empty_first = after;
    }
    if (after != 0) {
        slabs_entry(&table->slabs, after)->empty.before = before;
    }
    entry->digest = 0;
}

/* An entry that no index knows any more, or none yet. */
static void entry_free(struct table *table, uint32_t id)
{
    vector_clear(&slabs_entry(&table->slabs, id)->vector, table->mem);
    table->hashed = NULL; /* another key may get the same place */
    slabs_free(&table->slabs, table->mem, id);
}

/* There is nothing left to be taken out or back: the roots are those of the minute. It may be the
 * one before, where the clock went back to it; what was dropped in between is not in them. */
static void expire_settle(struct table *table)
{
    if (!table_expires(table)) {
        past_settle(&table->past, table->calendar.minute);
    }
}

/* Tombstones. */

/* That of a hash, or NULL. */
static struct entry *tombstone_find(const struct table *table, uint64_t hash)
{
    return table->tombstones == 0 ? NULL
                                  : tree_find_tombstone(&table->trees[TABLE_DATA], &table->slabs,
                                                        hash, &table->work->nodes);
}

/* No digest has it any more. */
static void tombstone_unshow(struct table *table, struct entry *entry)
{
    struct tombstone *tombstone = entry_tombstone(entry);

    tombstone->link = tree_remove(&table->trees[TABLE_DATA], &table->slabs, table->mem, entry,
                                  tombstone->hash, &table->work->nodes);
    table->tombstones--;
}

static void tombstone_show(struct table *table, struct entry *entry)
{
    const struct tombstone *tombstone = entry_tombstone(entry);

    tree_insert(&table->trees[TABLE_DATA], &table->slabs, table->mem, tombstone->link,
                tombstone->hash, &table->work->nodes);
    table->tombstones++;
}

/* Take it out, whether it has ended or not; readers of the feed, which has a slot, forget it. */
static void tombstone_drop(struct table *table, struct entry *entry)
{
    if (either_is_hidden(entry)) {
        table->hidden--;
        table->tombstones_hidden--;
    } else {
        tombstone_unshow(table, entry);
    }
    if (entry_tombstone_dated(entry) != NULL) {
        calendar_remove(&table->calendar, &table->slabs, entry);
        expire_settle(table); /* it may have been the last that was to be looked at */
    }
    entry_tombstone(entry)->generation = 0;
    feed_append(&table->feed, table->mem,
                &(struct change){
                    .entry = entry,
                    .origin = CHANGE_FROM_SELF,
                    .dropped = true,
                });
}

static void tombstone_free(struct table *table, const struct entry *entry)
{
    slabs_free(&table->slabs, table->mem,
               entry_tombstone(entry)->link & ~(SLAB_TOMBSTONE | SLAB_DATED));
}

/* One that no tree and no calendar has yet. NULL: no memory. */
static struct entry *tombstone_create(struct table *table, uint64_t hash, uint32_t deadline,
                                      uint32_t generation)
{
    const bool is_dated = deadline != DEADLINE_NONE;
    const size_t size = is_dated ? sizeof(struct tombstone_dated) : sizeof(struct tombstone);
    struct entry *entry;
    uint32_t id;

    if (slabs_alloc(&table->slabs, table->mem, size, &id) == NULL) {
        return NULL;
    }
    id |= is_dated ? SLAB_TOMBSTONE | SLAB_DATED : SLAB_TOMBSTONE;
    entry = slabs_either(&table->slabs, id);
    *entry_tombstone(entry) =
        (struct tombstone){ .hash = hash, .link = id, .generation = generation };
    if (is_dated) {
        entry_tombstone_dated(entry)->deadline = deadline;
        entry_tombstone_dated(entry)->is_hidden = false;
    }
    return entry;
}

static struct entry *entry_create(struct table *table, struct bytes key, enum table_set set,
                                  uint32_t generation, uint64_t hash)
{
    const bool is_dated = set == TABLE_DATA && deadline_of(key) != DEADLINE_NONE;
    const unsigned flags = (set == TABLE_DATA ? ENTRY_DATA : 0) | (is_dated ? ENTRY_DATED : 0)
                           | (generation > 0 ? ENTRY_GENERATION : 0);
    uint32_t id;
    struct entry *entry = slabs_alloc(&table->slabs, table->mem, entry_bytes(key.size, flags), &id);

    if (entry == NULL) {
        return NULL;
    }
    vector_init(&entry->vector);
    entry->link = id;
    entry->key_size = (uint8_t)key.size;
    entry->flags = (uint8_t)flags;
    memcpy(entry->key, key.data, key.size);
    if (generation > 0) {
        entry_set_generation(entry, generation);
    }
    empty_add(table, entry);
    lookup_insert(&table->lookup, &table->slabs, id, hash);
    table->keys_expected -= table->keys_expected > 0 ? 1 : 0;
    lookup_grow(&table->lookup, &table->slabs, table->mem, table->keys_expected);
    return entry;
}

/* A key that has a digest is in every listing and digest. */
static void entry_show(struct table *table, struct entry *entry, uint32_t id, uint64_t hash)
{
    table->elements += vector_size(&entry->vector);
    order_insert(&table->order, &table->slabs, id, &table->work->nodes);
    tree_insert(&table->trees[either_set(entry)], &table->slabs, table->mem, id, hash,
                &table->work->nodes);
}

/* The other way round: the key is out of them. */
static void entry_unshow(struct table *table, struct entry *entry)
{
    table->elements -= vector_size(&entry->vector);
    order_remove(&table->order, &table->slabs, table->mem, entry, &table->work->nodes);
    tree_remove(&table->trees[either_set(entry)], &table->slabs, table->mem, entry,
                shared_hash(table, entry), &table->work->nodes);
}

/* No look-up finds it any more. Returns its id. */
static uint32_t entry_unlook(struct table *table, struct entry *entry)
{
    const uint32_t id = lookup_remove(&table->lookup, &table->slabs, entry);

    lookup_shrink(&table->lookup, &table->slabs, table->mem);
    return id;
}

/* An entry without elements goes at once: nobody was told of it. */
static void empty_forget(struct table *table, struct entry *entry)
{
    const uint32_t id = entry_unlook(table, entry);

    empty_remove(table, entry);
    entry_free(table, id);
}

/* Slots of the feed that entry_appear() and the change that follows take. */
static size_t appear_slots(const struct entry *entry)
{
    return entry_generation_of(entry) > 0 ? 2 : 1;
}

/* The key begins to exist: its vector has its first elements, and `digest` is theirs. It takes the
 * place of a tombstone; the feed has a slot to tell of that (appear_slots()). */
static void entry_appear(struct table *table, struct entry *entry, uint64_t hash, uint64_t digest)
{
    const uint32_t generation = entry_generation_of(entry);
    struct entry *tombstone = generation > 0 ? tombstone_find(table, hash) : NULL;
    const uint32_t id = entry->link;

    if (tombstone != NULL) {
        tombstone_drop(table, tombstone);
    }
    empty_remove(table, entry);
    entry->digest = digest + digest_generation(hash, generation);
    entry_show(table, entry, id, hash);
    if ((entry->flags & ENTRY_DATED) != 0) {
        calendar_add(&table->calendar, &table->slabs, id, deadline_of(entry_key_of(entry)));
    }
}

/* The key is no more, whether it had ended or not. */
static void entry_vanish(struct table *table, struct entry *entry)
{
    if ((entry->flags & ENTRY_DATED) != 0) {
        calendar_remove(&table->calendar, &table->slabs, entry);
    }
    if ((entry->flags & ENTRY_HIDDEN) != 0) {
        table->hidden--;
    } else {
        entry_unshow(table, entry);
    }
}

static void change_note(struct table *table, struct entry *entry, const struct mark *raised,
                        enum change_origin origin, bool created)
{
    struct change *change = feed_find(&table->feed, entry, raised->number);

    if (change != NULL) {
        mark_or(&change->raised, raised);
        return;
    }
    feed_append(&table->feed, table->mem,
                &(struct change){
                    .entry = entry,
                    .raised = *raised,
                    .origin = (uint8_t)origin,
                    .created = created,
                });
}

/* Tell of dropped entries as far as the feed takes them. */
static void drops_tell(struct table *table)
{
    while (table->untold_first != 0) {
        struct entry *entry = slabs_entry(&table->slabs, table->untold_first);

        if (!feed_ready(&table->feed, table->mem, 1)) {
            break;
        }
        table->untold_first = entry->lookup_next;
        entry->lookup_next = 0;
        feed_append(&table->feed, table->mem,
                    &(struct change){
                        .entry = entry,
                        .origin = CHANGE_FROM_SELF,
                        .dropped = true,
                        .deleted = (entry->flags & ENTRY_DELETED) != 0,
                    });
    }
}

bool entry_ended(const struct table *table, const struct entry *entry)
{
    return either_deadline(entry) <= table->calendar.minute;
}

/* Tell that a key ended. Without memory for that nobody is told, and it ends all the same. */
static void end_tell(struct table *table, struct entry *entry)
{
    if (feed_ready(&table->feed, table->mem, 1)) {
        feed_append(&table->feed, table->mem,
                    &(struct change){ .entry = entry, .origin = CHANGE_FROM_SELF, .ended = true });
    }
}

/* Whether it was deleted while it had ended, which no look-up by hash saw. */
static bool entry_buried(const struct table *table, const struct entry *entry)
{
    const struct entry *tombstone = (entry->flags & ENTRY_HIDDEN) == 0
                                        ? NULL
                                        : tombstone_find(table, shared_hash(table, entry));

    return tombstone != NULL && entry_tombstone(tombstone)->generation > entry_generation_of(entry);
}

/* What of the data's digest came or went since. */
static uint64_t digest_since(const struct table *table, uint64_t before)
{
    return table->trees[TABLE_DATA].digest - before;
}

/* What becomes of an entry or a tombstone that had ended when the clock goes back. */
enum coming {
    COMING_BACK,
    COMING_DROPPED, /* something later came of its key meanwhile */
    COMING_LATER    /* when there is memory */
};

static enum coming tombstone_comes(struct table *table, struct entry *entry)
{
    struct entry *other = tree_find(&table->trees[TABLE_DATA], &table->slabs,
                                    entry_tombstone(entry)->hash, &table->work->nodes);

    if (other == NULL) {
        return COMING_BACK;
    }
    if (!feed_ready(&table->feed, table->mem, 1)) {
        return COMING_LATER;
    }
    if (either_generation(other) >= either_generation(entry)) {
        tombstone_drop(table, entry);
        return COMING_DROPPED;
    }
    if (entry_is_tombstone(other)) {
        tombstone_drop(table, other);
    } else {
        other->flags |= ENTRY_DELETED;
        table_drop(table, other);
    }
    return COMING_BACK;
}

static enum coming entry_comes(struct table *table, struct entry *entry)
{
    struct entry *tombstone = tombstone_find(table, shared_hash(table, entry));

    if (tombstone != NULL && either_generation(tombstone) > entry_generation_of(entry)) {
        entry->flags |= ENTRY_DELETED;
        table_drop(table, entry);
        return COMING_DROPPED;
    }
    if (!order_ready(&table->order, table->mem)
        || (tombstone != NULL && !feed_ready(&table->feed, table->mem, 1))) {
        return COMING_LATER;
    }
    if (tombstone != NULL) {
        tombstone_drop(table, tombstone);
    }
    return COMING_BACK;
}

/* What has ended is out of order and digests, and is kept. */
static void ended_hide(struct table *table, struct entry *entry, uint32_t id)
{
    const uint64_t before = table->trees[TABLE_DATA].digest;

    table->hidden++;
    if (entry_is_tombstone(entry)) {
        tombstone_unshow(table, entry);
        entry_tombstone_dated(entry)->is_hidden = true;
        table->tombstones_hidden++;
    } else {
        entry_unshow(table, entry);
        entry->link = id;
        entry->flags |= ENTRY_HIDDEN;
        end_tell(table, entry);
    }
    past_leave(&table->past, either_deadline(entry), 0 - digest_since(table, before));
}

/* The other way round. */
static void ended_show(struct table *table, struct entry *entry, uint32_t id)
{
    const uint64_t before = table->trees[TABLE_DATA].digest;

    table->hidden--;
    if (entry_is_tombstone(entry)) {
        tombstone_show(table, entry);
        entry_tombstone_dated(entry)->is_hidden = false;
        table->tombstones_hidden--;
    } else {
        entry->flags &= (uint8_t)~ENTRY_HIDDEN;
        entry_show(table, entry, id, shared_hash(table, entry));
    }
    past_return(&table->past, either_deadline(entry), digest_since(table, before));
}

/* Put what the calendar is to look at where it belongs. False: there is no memory for it. */
static bool ended_sort(struct table *table, uint32_t id)
{
    struct entry *entry = slabs_either(&table->slabs, id);
    const uint32_t deadline = either_deadline(entry);
    const bool is_hidden = either_is_hidden(entry);
    const bool ended = deadline <= table->calendar.minute;
    enum coming coming = COMING_BACK;

    if (is_hidden && !ended) {
        coming =
            entry_is_tombstone(entry) ? tombstone_comes(table, entry) : entry_comes(table, entry);
    }
    if (coming != COMING_BACK) {
        return coming == COMING_DROPPED;
    }
    calendar_remove(&table->calendar, &table->slabs, entry);
    if (!ended) {
        calendar_add(&table->calendar, &table->slabs, id, deadline);
    } else {
        calendar_add_ended(&table->calendar, &table->slabs, id);
    }
    if (ended && !is_hidden) {
        ended_hide(table, entry, id);
    } else if (is_hidden && !ended) {
        ended_show(table, entry, id);
    }
    return true;
}

/* Creation and end. */

enum status table_create(const struct table_options *options, struct table **table_out)
{
    struct table *table = mem_alloc_zeroed(options->mem, sizeof *table);

    if (table == NULL) {
        return STATUS_MEMORY;
    }
    table->mem = options->mem;
    table->keys_max = options->keys_max;
    table->digest_mask = options->digest_mask;
    table->cluster_id = options->cluster_id;
    slabs_init(&table->slabs);
    calendar_init(&table->calendar);
    order_init(&table->order);
    table->work = mem_alloc_zeroed(table->mem, sizeof *table->work);
    if (table->work == NULL || !lookup_init(&table->lookup, table->mem, options->hash_secret)
        || !tree_init(&table->trees[TABLE_MEMBERS], table->mem, options->cluster_id)
        || !tree_init(&table->trees[TABLE_DATA], table->mem, options->cluster_id)
        || !feed_init(&table->feed, table->mem)) {
        table_free(table);
        return STATUS_MEMORY;
    }
    *table_out = table;
    return STATUS_OK;
}

/* What vectors of entries that have ended hold outside of them, in one list of the calendar. */
static void hidden_clear(struct table *table, enum calendar_list_number list)
{
    for (uint32_t id = calendar_first(&table->calendar, list); id != 0;) {
        struct entry *entry = slabs_either(&table->slabs, id);

        if (!entry_is_tombstone(entry) && (entry->flags & ENTRY_HIDDEN) != 0) {
            vector_clear(&entry->vector, table->mem);
        }
        id = calendar_after(entry);
    }
}

/* The same of all entries. */
static void vectors_clear(struct table *table)
{
    struct order_cursor cursor = order_begin(&table->order);
    struct entry *next;

    hidden_clear(table, CALENDAR_ENDED);
    hidden_clear(table, CALENDAR_UNSORTED);

    while ((next = order_next(&cursor, &table->slabs)) != NULL) {
        vector_clear(&next->vector, table->mem);
    }
    for (size_t i = 0; i < table->feed.count; i++) {
        if (table->feed.list[i].dropped && !entry_is_tombstone(table->feed.list[i].entry)) {
            vector_clear(&table->feed.list[i].entry->vector, table->mem);
        }
    }
    for (uint32_t id = table->untold_first; id != 0;) {
        struct entry *entry = slabs_entry(&table->slabs, id);

        vector_clear(&entry->vector, table->mem);
        id = entry->lookup_next;
    }
}

void table_free(struct table *table)
{
    struct mem *mem;

    if (table == NULL) {
        return;
    }
    mem = table->mem;
    vectors_clear(table);
    feed_clear(&table->feed, mem);
    tree_clear(&table->trees[TABLE_DATA], mem);
    tree_clear(&table->trees[TABLE_MEMBERS], mem);
    order_clear(&table->order, mem);
    lookup_clear(&table->lookup, mem);
    slabs_clear(&table->slabs, mem);
    mem_free(mem, table->work, table->work == NULL ? 0 : sizeof *table->work);
    mem_free(mem, table, sizeof *table);
}

void table_set_keys_max(struct table *table, uint64_t keys_max)
{
    table->keys_max = keys_max;
}

void table_expect(struct table *table, uint64_t keys)
{
    table->keys_expected = keys;
}

/* Keys that end. */

void table_set_minute(struct table *table, uint32_t minute)
{
    calendar_turn(&table->calendar, &table->slabs, minute);
    expire_settle(table);
}

uint32_t table_minute(const struct table *table)
{
    return table->calendar.minute;
}

bool table_expires(const struct table *table)
{
    return calendar_first(&table->calendar, CALENDAR_UNSORTED) != 0;
}

size_t table_expire(struct table *table, size_t keys_max)
{
    size_t count = 0;

    while (count < keys_max && table_expires(table)
           && ended_sort(table, calendar_first(&table->calendar, CALENDAR_UNSORTED))) {
        count++;
    }
    expire_settle(table);
    return count;
}

size_t table_drop_ended(struct table *table, size_t keys_max)
{
    size_t count = 0;
    uint32_t id;

    while (count < keys_max && (id = calendar_first(&table->calendar, CALENDAR_ENDED)) != 0) {
        struct entry *entry = slabs_either(&table->slabs, id);

        if (!entry_is_tombstone(entry)) {
            table_drop(table, entry);
        } else if (feed_ready(&table->feed, table->mem, 1)) {
            tombstone_drop(table, entry);
        } else {
            break;
        }
        count++;
    }
    return count;
}

/* Keys. */

/* Entry of a key, ended or not. */
static struct entry *entry_find(const struct table *table, struct bytes key, uint64_t hash)
{
    const uint32_t id = lookup_find(&table->lookup, &table->slabs, hash, key, &table->work->lookup);

    return id == 0 ? NULL : slabs_entry(&table->slabs, id);
}

struct entry *table_find(const struct table *table, struct bytes key)
{
    struct entry *entry = entry_find(table, key, lookup_hash(&table->lookup, key));

    return entry == NULL || entry_ended(table, entry) || entry_buried(table, entry) ? NULL : entry;
}

void table_prefetch(const struct table *table, struct bytes key)
{
    lookup_prefetch(&table->lookup, lookup_hash(&table->lookup, key));
}

/* Keys that count against the limit; those that are still empty do. */
static uint64_t keys_counted(const struct table *table)
{
    return table->lookup.entry_count - table->trees[TABLE_MEMBERS].keys;
}

struct entry *table_tombstone(const struct table *table, struct bytes key)
{
    struct entry *entry =
        table->tombstones == 0 ? NULL : tombstone_find(table, table_hash(table, key));

    return entry == NULL || entry_ended(table, entry) ? NULL : entry;
}

/* The generation that a deleted key is written to. */
static uint32_t tombstone_generation(const struct table *table, struct bytes key)
{
    const struct entry *entry = table_tombstone(table, key);

    return entry == NULL ? 0 : entry_tombstone(entry)->generation;
}

enum status table_obtain(struct table *table, struct bytes key, enum table_set set,
                         struct entry **entry_out)
{
    const uint64_t hash = lookup_hash(&table->lookup, key);
    uint32_t generation = 0;
    struct entry *entry;

    assert(key.size >= 1);
    assert(key.size <= ENTRY_KEY_BYTES_MAX);
    if (set == TABLE_DATA && deadline_of(key) <= table->calendar.minute) {
        return STATUS_ENDED;
    }
    entry = entry_find(table, key, hash);
    assert(entry == NULL || either_set(entry) == set);
    if (entry != NULL && entry_buried(table, entry)) {
        (void)ended_sort(table, entry->link); /* it is dropped, */
        expire_settle(table);                 /* and may have been the last */
        entry = NULL;
    }
    if (set == TABLE_DATA && (entry == NULL || entry_empty(entry))) {
        generation = tombstone_generation(table, key);
    }
    if (entry != NULL && generation > entry_generation_of(entry)) {
        empty_forget(table, entry); /* of the same turn, before the deletion came */
        entry = NULL;
    }
    if (entry != NULL) {
        *entry_out = entry;
        return STATUS_OK;
    }
    if (set == TABLE_DATA && table->keys_max > 0 && keys_counted(table) >= table->keys_max) {
        return STATUS_FULL;
    }
    entry = entry_create(table, key, set, generation, hash);
    if (entry == NULL) {
        return STATUS_MEMORY;
    }
    *entry_out = entry;
    return STATUS_OK;
}

enum status table_merge(struct table *table, struct entry *entry, const struct block *block,
                        enum change_origin origin, struct merge_result *result)
{
    const uint64_t hash = merge_hash(table, entry);
    const bool created = entry_empty(entry);
    const uint64_t size_before = vector_size(&entry->vector);
    struct merge_result own;
    enum status status;

    assert(!entry_is_tombstone(entry) && (entry->flags & ENTRY_DROPPED) == 0);
    if (entry_ended(table, entry)) {
        return STATUS_ENDED;
    }
    if ((entry->flags & ENTRY_HIDDEN) != 0) {
        if (!ended_sort(table, entry->link)) {
            return STATUS_MEMORY;
        }
        expire_settle(table); /* it may have been the last */
    }
    if (!feed_ready(&table->feed, table->mem, created ? appear_slots(entry) : 1)
        || (created && !order_ready(&table->order, table->mem))) {
        return STATUS_MEMORY;
    }
    feed_expect(&table->feed, entry, block->number);
    result = result == NULL ? &own : result;
    status = vector_merge(&entry->vector, table->mem, block, hash, result);
    if (status != STATUS_OK || mark_empty(&result->raised)) {
        return status;
    }
    /* From here on nothing can fail. */
    if (created) {
        entry_appear(table, entry, hash, result->digest_delta);
    } else {
        const uint64_t digest = entry->digest + result->digest_delta;

        table->elements += vector_size(&entry->vector) - size_before;
        tree_change(&table->trees[either_set(entry)], hash, entry->digest, digest,
                    &table->work->nodes);
        entry->digest = digest;
    }
    change_note(table, entry, &result->raised, origin, created);
    return STATUS_OK;
}

void table_drop(struct table *table, struct entry *entry)
{
    assert(!entry_is_tombstone(entry) && (entry->flags & ENTRY_DROPPED) == 0);
    if (entry_empty(entry)) {
        empty_remove(table, entry);
    } else {
        entry_vanish(table, entry);
    }
    entry->link = entry_unlook(table, entry);
    entry->flags |= ENTRY_DROPPED;
    entry->lookup_next = table->untold_first;
    table->untold_first = entry->link;
    drops_tell(table);
    expire_settle(table); /* it may have been the last that was to be looked at */
}

enum status table_renew(struct table *table, struct entry **entry, uint32_t generation,
                        const struct block *block, enum change_origin origin,
                        struct merge_result *result)
{
    struct entry *old = *entry;
    const struct bytes key = entry_key_of(old);
    struct entry *fresh;
    uint64_t hash;

    assert(!entry_is_tombstone(old));
    assert(generation >= entry_generation_of(old) && block->count > 0);
    if (table->untold_first != 0 || !feed_ready(&table->feed, table->mem, 3)
        || !order_ready(&table->order, table->mem)) {
        return STATUS_MEMORY;
    }
    fresh = entry_create(table, key, either_set(old), generation, lookup_hash(&table->lookup, key));
    if (fresh == NULL) {
        return STATUS_MEMORY;
    }
    hash = shared_hash(table, fresh);
    if (vector_merge(&fresh->vector, table->mem, block, hash, result) != STATUS_OK) {
        empty_forget(table, fresh);
        return STATUS_MEMORY;
    }
    /* From here on nothing can fail. */
    if (entry_empty(old)) {
        empty_forget(table, old);
    } else {
        old->flags |= generation > entry_generation_of(old) ? ENTRY_DELETED : 0;
        table_drop(table, old);
    }
    entry_appear(table, fresh, hash, result->digest_delta);
    change_note(table, fresh, &result->raised, origin, true);
    *entry = fresh;
    return STATUS_OK;
}

/* Whether there is a place for the tombstone of a key that is not known here. */
static bool tombstones_full(const struct table *table)
{
    return table->keys_max > 0 && table->tombstones + table->tombstones_hidden >= table->keys_max;
}

enum status table_delete(struct table *table, struct entry **entry, uint64_t hash,
                         uint32_t deadline, uint32_t generation, enum change_origin origin)
{
    struct entry *old = *entry;
    struct entry *tombstone = old;

    assert(generation > (old == NULL ? 0 : either_generation(old)));
    deadline = old == NULL ? deadline : either_deadline(old);
    if (deadline <= table->calendar.minute) {
        return STATUS_ENDED;
    }
    if (old == NULL && tombstones_full(table)) {
        return STATUS_FULL;
    }
    if (table->untold_first != 0 || !feed_ready(&table->feed, table->mem, 2)) {
        return STATUS_MEMORY;
    }
    if (old != NULL && entry_is_tombstone(old)) {
        tree_change(&table->trees[TABLE_DATA], hash, either_digest(old),
                    digest_generation(hash, generation), &table->work->nodes);
        entry_tombstone(old)->generation = generation;
    } else {
        tombstone = tombstone_create(table, hash, deadline, generation);
        if (tombstone == NULL) {
            return STATUS_MEMORY;
        }
        if (old != NULL) {
            old->flags |= ENTRY_DELETED;
            table_drop(table, old);
        }
        if (deadline != DEADLINE_NONE) {
            calendar_add(&table->calendar, &table->slabs, entry_tombstone(tombstone)->link,
                         deadline);
        }
        tombstone_show(table, tombstone);
    }
    change_note(table, tombstone, &table_tombstone_mark, origin, false);
    *entry = tombstone;
    return STATUS_OK;
}

/* Hashes. */

uint64_t table_hash(const struct table *table, struct bytes key)
{
    return digest_key_hash(table->cluster_id, key);
}

uint64_t entry_hash(const struct table *table, const struct entry *entry)
{
    return shared_hash(table, entry);
}

/* Listings and digests. */

/* Whether a cursor lies before everything that begins with the prefix. */
static bool cursor_before(struct bytes after, struct bytes prefix)
{
    const size_t size = after.size < prefix.size ? after.size : prefix.size;
    const int compared = size == 0 ? 0 : memcmp(after.data, prefix.data, size);

    return compared < 0 || (compared == 0 && after.size < prefix.size);
}

size_t table_slice(const struct table *table, struct bytes prefix, struct bytes after,
                   struct entry **entries, size_t room)
{
    const bool from_prefix = after.size == 0 || cursor_before(after, prefix);
    struct order_cursor cursor =
        order_seek(&table->order, &table->slabs, from_prefix ? prefix : after,
                   from_prefix ? ORDER_FROM : ORDER_AFTER, &table->work->nodes);
    size_t count = 0;

    while (count < room) {
        struct entry *entry = order_next(&cursor, &table->slabs);

        if (entry == NULL || !bytes_begin_with(entry_key_of(entry), prefix)) {
            break;
        }
        entries[count++] = entry;
    }
    table->work->nodes += count;
    return count;
}

/* The root without a mask, as of the minute that is settled. */
static uint64_t root_settled(const struct table *table, enum table_set set)
{
    const uint64_t since = set == TABLE_DATA ? table->past.all - table->past.settled : 0;

    return table->trees[set].digest + since;
}

uint64_t table_root(const struct table *table, enum table_set set)
{
    return root_settled(table, set) & table->digest_mask;
}

uint32_t table_root_minute(const struct table *table)
{
    return table->past.minute;
}

uint64_t table_root_ever(const struct table *table)
{
    return table->trees[TABLE_DATA].digest + table->past.all;
}

/* What had left by that minute is taken off. */
uint64_t table_root_of(const struct table *table, uint64_t ever, uint32_t minute)
{
    const uint64_t left = table->past.settled - past_after(&table->past, minute).sum;

    return (ever - left) & table->digest_mask;
}

uint64_t table_keys_between(const struct table *table, uint32_t minute)
{
    if (minute <= table->past.minute) {
        return past_after(&table->past, minute).keys;
    }
    return calendar_ends_by(&table->calendar, minute) ? UINT64_MAX : 0;
}

void table_children(const struct table *table, struct prefix prefix,
                    struct tree_child children[WIRE_TREE_CHILDREN])
{
    assert(prefix.set < TABLE_SET_COUNT);
    tree_children(&table->trees[prefix.set], &table->slabs, prefix, children, &table->work->nodes);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        children[i].digest &= table->digest_mask;
    }
}

size_t table_slice_hash(const struct table *table, struct prefix prefix, uint64_t from,
                        struct entry **entries, size_t room)
{
    assert(prefix.set < TABLE_SET_COUNT);
    return tree_slice(&table->trees[prefix.set], &table->slabs, prefix, from, entries, room,
                      &table->work->nodes);
}

struct entry *table_find_hash(const struct table *table, enum table_set set, uint64_t hash)
{
    struct entry *entry = tree_find(&table->trees[set], &table->slabs, hash, &table->work->nodes);

    return entry == NULL || entry_ended(table, entry) ? NULL : entry;
}

/* The turn. */

struct changes table_changes(const struct table *table)
{
    return (struct changes){ table->feed.list, table->feed.count };
}

void table_turn_end(struct table *table)
{
    for (size_t i = 0; i < table->feed.count; i++) {
        const struct change *change = &table->feed.list[i];

        if (change->dropped && entry_is_tombstone(change->entry)) {
            tombstone_free(table, change->entry);
        } else if (change->dropped) {
            entry_free(table, change->entry->link);
        }
    }
    feed_end(&table->feed, table->mem);
    table->keys_expected = 0;
    while (table->empty_first != 0) {
        empty_forget(table, slabs_entry(&table->slabs, table->empty_first));
    }
    drops_tell(table);
}

struct table_stats table_stats(const struct table *table)
{
    return (struct table_stats){
        .keys = { table->trees[TABLE_MEMBERS].keys,
                  table->trees[TABLE_DATA].keys - table->tombstones },
        .tombstones = table->tombstones,
        .elements = table->elements,
        .ended = table->hidden,
        .used_bytes = table->mem->used_bytes,
        .keys_max = table->keys_max,
        .limit_bytes = table->mem->limit_bytes,
        .lookups = table->work->lookup.calls,
        .probes = table->work->lookup.probes,
        .nodes = table->work->nodes,
    };
}
