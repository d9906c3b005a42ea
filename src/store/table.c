#include "store/table.h"

#include "base/deadline.h"
#include "store/calendar.h"
#include "store/digest.h"
#include "store/entry.h"
#include "store/feed.h"
#include "store/lookup.h"
#include "store/order.h"
#include "store/past.h"
#include "store/slab.h"
#include "store/tree.h"

#include <assert.h>

_Static_assert(TABLE_MINUTES_KEPT == PAST_MINUTES, "what is kept of them");

/* Counted work lies apart, because reading a table counts too. */
struct work {
    struct lookup_work lookup;
    uint64_t nodes;
};

struct table {
    struct mem *mem;
    struct work *work;
    uint64_t keys_max;
    uint64_t keys_expected; /* to be created in this turn */
    uint64_t digest_mask;
    uint64_t elements;
    uint32_t cluster_id;
    uint32_t empty_first;  /* entries that were obtained and not merged into: id */
    uint32_t untold_first; /* dropped entries for which the feed had no room: id */
    struct slabs slabs;
    struct lookup lookup;
    struct order order;
    struct tree trees[TABLE_SET_COUNT];
    struct feed feed;
    struct calendar calendar;
    struct past past;
    uint64_t hidden;            /* entries that have ended, and are out of order and tree */
    const struct entry *hashed; /* the last that was merged into, and its hash */
    uint64_t hashed_hash;
};

static uint64_t shared_hash(const struct table *table, const struct entry *entry)
{
    return digest_key_hash(table->cluster_id, entry_key_of(entry));
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

static bool entry_empty(const struct entry *entry)
{
    return vector_size(&entry->vector) == 0;
}

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

static struct entry *entry_create(struct table *table, struct bytes key, enum table_set set,
                                  uint64_t hash)
{
    const bool is_dated = set == TABLE_DATA && deadline_of(key) != DEADLINE_NONE;
    const unsigned flags = (set == TABLE_DATA ? ENTRY_DATA : 0) | (is_dated ? ENTRY_DATED : 0);
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
    tree_insert(&table->trees[entry_set(entry)], &table->slabs, table->mem, id, hash,
                &table->work->nodes);
}

/* The other way round: the key is out of them. */
static void entry_unshow(struct table *table, struct entry *entry)
{
    table->elements -= vector_size(&entry->vector);
    order_remove(&table->order, &table->slabs, table->mem, entry, &table->work->nodes);
    tree_remove(&table->trees[entry_set(entry)], &table->slabs, table->mem, entry,
                shared_hash(table, entry), &table->work->nodes);
}

/* The key begins to exist: its vector has its first elements, and `digest` is theirs. */
static void entry_appear(struct table *table, struct entry *entry, uint64_t hash, uint64_t digest)
{
    const uint32_t id = entry->link;

    empty_remove(table, entry);
    entry->digest = digest;
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
                    });
    }
}

bool entry_ended(const struct table *table, const struct entry *entry)
{
    return (entry->flags & ENTRY_DATED) != 0
           && deadline_of(entry_key_of(entry)) <= table->calendar.minute;
}

/* Tell that a key ended. Without memory for that nobody is told, and it ends all the same. */
static void end_tell(struct table *table, struct entry *entry)
{
    if (feed_ready(&table->feed, table->mem, 1)) {
        feed_append(&table->feed, table->mem,
                    &(struct change){ .entry = entry, .origin = CHANGE_FROM_SELF, .ended = true });
    }
}

/* What of the data's digest came or went since. */
static uint64_t digest_since(const struct table *table, uint64_t before)
{
    return table->trees[TABLE_DATA].digest - before;
}

/* Put an entry that the calendar is to look at where it belongs. False: no memory to show it. */
static bool entry_sort(struct table *table, uint32_t id)
{
    struct entry *entry = slabs_entry(&table->slabs, id);
    const uint32_t deadline = deadline_of(entry_key_of(entry));
    const uint64_t before = table->trees[TABLE_DATA].digest;
    const bool is_hidden = (entry->flags & ENTRY_HIDDEN) != 0;
    const bool ended = deadline <= table->calendar.minute;

    if (is_hidden && !ended && !order_ready(&table->order, table->mem)) {
        return false;
    }
    calendar_remove(&table->calendar, &table->slabs, entry);
    if (ended && !is_hidden) {
        entry_unshow(table, entry);
        entry->link = id;
        entry->flags |= ENTRY_HIDDEN;
        table->hidden++;
        past_leave(&table->past, deadline, 0 - digest_since(table, before));
        end_tell(table, entry);
    } else if (is_hidden && !ended) {
        entry->flags &= (uint8_t)~ENTRY_HIDDEN;
        table->hidden--;
        entry_show(table, entry, id, shared_hash(table, entry));
        past_return(&table->past, deadline, digest_since(table, before));
    }
    if (ended) {
        calendar_add_ended(&table->calendar, &table->slabs, id);
    } else {
        calendar_add(&table->calendar, &table->slabs, id, deadline);
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
        struct entry *entry = slabs_entry(&table->slabs, id);

        if ((entry->flags & ENTRY_HIDDEN) != 0) {
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
        if (table->feed.list[i].dropped) {
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

/* There is nothing left to be taken out or back: the roots are those of the minute. */
static void expire_settle(struct table *table)
{
    if (!table_expires(table) && table->past.minute != table->calendar.minute) {
        past_settle(&table->past, table->calendar.minute);
    }
}

void table_set_minute(struct table *table, uint32_t minute)
{
    calendar_turn(&table->calendar, &table->slabs, minute);
    expire_settle(table);
}

bool table_expires(const struct table *table)
{
    return calendar_first(&table->calendar, CALENDAR_UNSORTED) != 0;
}

size_t table_expire(struct table *table, size_t keys_max)
{
    size_t count = 0;

    while (count < keys_max && table_expires(table)
           && entry_sort(table, calendar_first(&table->calendar, CALENDAR_UNSORTED))) {
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
        table_drop(table, slabs_entry(&table->slabs, id));
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

    return entry == NULL || entry_ended(table, entry) ? NULL : entry;
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

enum status table_obtain(struct table *table, struct bytes key, enum table_set set,
                         struct entry **entry_out)
{
    const uint64_t hash = lookup_hash(&table->lookup, key);
    struct entry *entry;

    assert(key.size >= 1);
    assert(key.size <= ENTRY_KEY_BYTES_MAX);
    if (set == TABLE_DATA && deadline_of(key) <= table->calendar.minute) {
        return STATUS_ENDED;
    }
    entry = entry_find(table, key, hash);
    if (entry != NULL) {
        assert(entry_set(entry) == set);
        *entry_out = entry;
        return STATUS_OK;
    }
    if (set == TABLE_DATA && table->keys_max > 0 && keys_counted(table) >= table->keys_max) {
        return STATUS_FULL;
    }
    entry = entry_create(table, key, set, hash);
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

    assert((entry->flags & ENTRY_DROPPED) == 0);
    if (entry_ended(table, entry)) {
        return STATUS_ENDED;
    }
    if ((entry->flags & ENTRY_HIDDEN) != 0) {
        if (!entry_sort(table, entry->link)) {
            return STATUS_MEMORY;
        }
        expire_settle(table); /* it may have been the last */
    }
    if (!feed_ready(&table->feed, table->mem, 1)
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
        tree_change(&table->trees[entry_set(entry)], hash, entry->digest, digest,
                    &table->work->nodes);
        entry->digest = digest;
    }
    change_note(table, entry, &result->raised, origin, created);
    return STATUS_OK;
}

void table_drop(struct table *table, struct entry *entry)
{
    assert((entry->flags & ENTRY_DROPPED) == 0);
    if (entry_empty(entry)) {
        empty_remove(table, entry);
    } else {
        entry_vanish(table, entry);
    }
    entry->link = lookup_remove(&table->lookup, &table->slabs, entry);
    entry->flags |= ENTRY_DROPPED;
    entry->lookup_next = table->untold_first;
    table->untold_first = entry->link;
    drops_tell(table);
}

enum status table_renew(struct table *table, struct entry **entry, const struct block *block,
                        enum change_origin origin, struct merge_result *result)
{
    struct entry *old = *entry;
    const struct bytes key = entry_key_of(old);
    struct entry *fresh;
    uint64_t hash;

    assert(!entry_empty(old) && block->count > 0);
    if (table->untold_first != 0 || !feed_ready(&table->feed, table->mem, 2)
        || !order_ready(&table->order, table->mem)) {
        return STATUS_MEMORY;
    }
    fresh = entry_create(table, key, entry_set(old), lookup_hash(&table->lookup, key));
    if (fresh == NULL) {
        return STATUS_MEMORY;
    }
    hash = shared_hash(table, fresh);
    if (vector_merge(&fresh->vector, table->mem, block, hash, result) != STATUS_OK) {
        table_drop(table, fresh);
        return STATUS_MEMORY;
    }
    /* From here on nothing can fail. */
    table_drop(table, old);
    entry_appear(table, fresh, hash, result->digest_delta);
    change_note(table, fresh, &result->raised, origin, true);
    *entry = fresh;
    return STATUS_OK;
}

/* Entries. */

struct bytes entry_key(const struct entry *entry)
{
    return entry_key_of(entry);
}

const struct vector *entry_vector(const struct entry *entry)
{
    return &entry->vector;
}

uint64_t entry_digest(const struct entry *entry)
{
    return entry_empty(entry) ? 0 : entry->digest;
}

uint64_t entry_hash(const struct table *table, const struct entry *entry)
{
    return shared_hash(table, entry);
}

enum table_set entry_set(const struct entry *entry)
{
    return (entry->flags & ENTRY_DATA) != 0 ? TABLE_DATA : TABLE_MEMBERS;
}

bool entry_dropped(const struct entry *entry)
{
    return (entry->flags & ENTRY_DROPPED) != 0;
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
        if (table->feed.list[i].dropped) {
            entry_free(table, table->feed.list[i].entry->link);
        }
    }
    feed_end(&table->feed, table->mem);
    table->keys_expected = 0;
    while (table->empty_first != 0) {
        struct entry *entry = slabs_entry(&table->slabs, table->empty_first);
        const uint32_t id = lookup_remove(&table->lookup, &table->slabs, entry);

        empty_remove(table, entry);
        entry_free(table, id);
    }
    drops_tell(table);
}

struct table_stats table_stats(const struct table *table)
{
    return (struct table_stats){
        .keys = { table->trees[TABLE_MEMBERS].keys, table->trees[TABLE_DATA].keys },
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

/* Whether an entry is found by its key. */
static bool entry_audit_find(const struct table *table, const struct entry *entry)
{
    const struct bytes key = entry_key_of(entry);

    return entry_find(table, key, lookup_hash(&table->lookup, key)) == entry;
}

/* Every key that exists is what it should be; returns how many there are. */
static uint64_t entries_audit(const struct table *table)
{
    struct order_cursor cursor = order_begin(&table->order);
    const struct entry *entry;
    uint64_t keys = 0;
    uint64_t elements = 0;
    uint64_t dated = 0;

    while ((entry = order_next(&cursor, &table->slabs)) != NULL) {
        vector_audit(&entry->vector);
        assert(!entry_empty(entry));
        assert((entry->flags & (ENTRY_DROPPED | ENTRY_HIDDEN)) == 0);
        assert(entry->digest == vector_digest(&entry->vector, shared_hash(table, entry)));
        assert(entry_audit_find(table, entry));
        elements += vector_size(&entry->vector);
        dated += (entry->flags & ENTRY_DATED) != 0;
        keys++;
    }
    assert(elements == table->elements);
    assert(calendar_audit(&table->calendar, &table->slabs) == dated + table->hidden);
    return keys;
}

/* Those that have ended and are kept are all there, and as they were. Returns how many. */
static uint64_t hidden_audit(const struct table *table)
{
    static const enum calendar_list_number lists[] = { CALENDAR_ENDED, CALENDAR_UNSORTED };
    uint64_t hidden = 0;

    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (uint32_t id = calendar_first(&table->calendar, lists[i]); id != 0;) {
            const struct entry *entry = slabs_entry(&table->slabs, id);

            if ((entry->flags & ENTRY_HIDDEN) != 0) {
                vector_audit(&entry->vector);
                assert(!entry_empty(entry) && entry->link == id);
                assert(entry->digest == vector_digest(&entry->vector, shared_hash(table, entry)));
                assert(entry_audit_find(table, entry));
                hidden++;
            }
            id = calendar_after(entry);
        }
    }
    assert(hidden == table->hidden);
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
            assert((change->entry->flags & ENTRY_DROPPED) != 0);
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
    const uint64_t keys = entries_audit(table);
    const uint64_t hidden = hidden_audit(table);
    uint64_t empty = 0;

    for (uint32_t id = table->empty_first; id != 0;) {
        const struct entry *entry = slabs_entry(&table->slabs, id);

        assert(entry_empty(entry));
        assert(entry->link == id);
        assert(entry_audit_find(table, entry));
        empty++;
        id = entry->empty.after;
    }
    assert(keys == table->order.count);
    assert(keys == (uint64_t)table->trees[TABLE_MEMBERS].keys + table->trees[TABLE_DATA].keys);
    assert(keys + empty + hidden == table->lookup.entry_count);
    assert(slabs_audit(&table->slabs) == keys + empty + hidden + dropped_audit(table));
    assert(table_expires(table) || table->past.minute == table->calendar.minute);
    lookup_audit(&table->lookup, &table->slabs);
    order_audit(&table->order, &table->slabs);
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        tree_audit(&table->trees[set], &table->slabs);
    }
    feed_audit(&table->feed);
}
