#include "node/join.h"

#include "base/deadline.h"
#include "node/bounds.h"
#include "node/expiry.h"
#include "node/guard.h"
#include "node/offer.h"
#include "node/plain.h"
#include "node/push.h"
#include "node/spread.h"
#include "node/state.h"
#include "node/sync.h"
#include "node/work.h"
#include "store/marks.h"
#include "store/pattern.h"

#include <assert.h>

#define CLIENT_TTL      3  /* hops of what begins here, towards plain peers */
#define KEY_SHOWN_MAX   80 /* bytes of a key in a fault's text */
#define VALUE_UNLIMITED UINT64_MAX

/* Blocks beyond as many as were listed that are compared with what a `full` item does not list; a
 * vector of more goes back whole, bit by bit (QUEUE_ALL). */
#define UNLISTED_BLOCKS 64
#define JOIN_ELEMENTS   32 /* joined in a unit, beside one for their block */
#define LIST_ELEMENTS   4  /* looked up one by one in a unit */
#define MATCH_BYTES     64 /* of a key matched with a pattern, in a unit */
#define DELETE_WORK     8  /* units: two ways down the tree, one of them through a leaf */

/* A generation is the time of a deletion, or one more than the one before: so far ahead of now it
 * may lie. A greater one is forged, or of a clock that is wrong. */
#define GENERATION_AHEAD_S UINT64_C(172800)

/* The largest value that the rules allow under a key. */
static uint64_t value_max_of(const struct node *node, struct bytes key)
{
    uint64_t value_max = VALUE_UNLIMITED;

    for (size_t i = 0; i < node->options.value_rules_count; i++) {
        const struct node_value_rule *rule = &node->options.value_rules[i];

        if (rule->value_max < value_max && pattern_matches(rule->pattern, key)) {
            value_max = rule->value_max;
        }
    }
    return value_max;
}

/* Client's updates. */

static int shown_size(struct bytes key)
{
    return key.size > KEY_SHOWN_MAX ? KEY_SHOWN_MAX : (int)key.size;
}

static enum status ended_tell(struct bytes key, struct fault *why)
{
    char text[DEADLINE_ISO_BYTES];

    deadline_put_iso(text, deadline_of(key));
    return fault_set(why, STATUS_ENDED,
                     "'%.*s' ended at %.*s; write to a name that ends later, or does not",
                     shown_size(key), (const char *)key.data, (int)sizeof text, text);
}

/* Judge a key that says when it ends. */
static enum status deadline_check(const struct node *node, struct bytes key, struct fault *why)
{
    const uint32_t deadline = deadline_of(key);
    char text[DEADLINE_ISO_BYTES];

    if (deadline <= node->expiry.minute) {
        return ended_tell(key, why);
    }
    if (!expiry_is_far(node, deadline)) {
        return STATUS_OK;
    }
    deadline_put_iso(text, deadline);
    return fault_set(why, STATUS_INVALID, "'%.*s' ends at %.*s, further ahead than max-keep allows",
                     shown_size(key), (const char *)key.data, (int)sizeof text, text);
}

/* Whether clients may change a key. */
static enum status key_judge(struct bytes key, struct fault *why)
{
    struct address address;

    if (pattern_is(key)) {
        return fault_set(why, STATUS_CONFLICT, "'%.*s' is a pattern, not a key", shown_size(key),
                         (const char *)key.data);
    }
    if (presence_address(key, &address)) {
        return fault_set(why, STATUS_CONFLICT, "'%.*s' is reserved for a peer's presence",
                         shown_size(key), (const char *)key.data);
    }
    return STATUS_OK;
}

enum status join_update_begin(const struct node *node, struct bytes key, struct node_update *update,
                              struct fault *why)
{
    const enum status status = key_judge(key, why);

    if (status != STATUS_OK) {
        return status;
    }
    if (deadline_of(key) != DEADLINE_NONE && deadline_check(node, key, why) != STATUS_OK) {
        return why->code;
    }
    *update = (struct node_update){ .key = key, .value_max = value_max_of(node, key) };
    return STATUS_OK;
}

enum status join_update_check(const struct node_update *update, const struct block *block,
                              struct fault *why)
{
    if (update->value_max == VALUE_UNLIMITED) {
        return STATUS_OK;
    }
    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);

        if (value > update->value_max) {
            return fault_set(why, STATUS_INVALID,
                             "element %llu of '%.*s' is %llu, above the limit of %llu",
                             (unsigned long long)(block->number << 8 | block_offset(block, i)),
                             shown_size(update->key), (const char *)update->key.data,
                             (unsigned long long)value, (unsigned long long)update->value_max);
        }
    }
    return STATUS_OK;
}

static enum status refusal_tell(struct node *node, struct moment now, enum status status,
                                struct bytes key, struct fault *why)
{
    const struct table_stats limits = table_stats(node->table);

    node->full_us = now.mono_us;
    if (status == STATUS_FULL) {
        refused_count(node, keys, NULL, 1);
        node->refused_us = now.mono_us;
        return fault_set(
            why, status, "there is no room for the new key '%.*s': max-keys (%llu) is reached",
            shown_size(key), (const char *)key.data, (unsigned long long)limits.keys_max);
    }
    return fault_set(
        why, status, "there is no room for '%.*s' in what max-memory (%llu bytes) leaves",
        shown_size(key), (const char *)key.data, (unsigned long long)limits.limit_bytes);
}

enum status join_update(struct node *node, struct moment now, struct node_update *update,
                        const struct block *block, struct merge_result *merged, struct fault *why)
{
    struct entry *entry = NULL;
    enum status status = table_obtain(node->table, update->key, TABLE_DATA, &entry);
    bool unseen = false;

    work_count(node, 1 + block->count / JOIN_ELEMENTS);
    if (status == STATUS_OK) {
        unseen = vector_size(entry_vector(entry)) == 0;
        status = table_merge(node->table, entry, block, CHANGE_FROM_CLIENT, merged);
    }
    if (status == STATUS_ENDED) {
        return ended_tell(update->key, why); /* since it was begun */
    }
    if (status != STATUS_OK) {
        return refusal_tell(node, now, status, update->key, why);
    }
    if (!mark_empty(&merged->raised)) {
        const unsigned raised = mark_count(&merged->raised);

        update->created |= unseen;
        update->elements_raised += raised;
        node->stats.elements_raised_clients += raised;
        node_spread(node, now, entry, &merged->raised, (struct push_route){ .ttl = CLIENT_TTL });
    }
    return STATUS_OK;
}

enum status join_delete(struct node *node, struct moment now, struct bytes key,
                        uint32_t *generation_out, struct fault *why)
{
    struct entry *entry = table_find(node->table, key);
    uint64_t generation = guard_now_s(&node->guard, now);
    enum status status = key_judge(key, why);

    if (status != STATUS_OK) {
        return status;
    }
    if (entry == NULL || vector_size(entry_vector(entry)) == 0) {
        return fault_set(why, STATUS_INVALID, "there is no key '%.*s'", shown_size(key),
                         (const char *)key.data);
    }
    if (generation <= entry_generation(entry)) {
        generation = entry_generation(entry) + UINT64_C(1);
    }
    if (generation > UINT32_MAX) {
        return fault_set(why, STATUS_FULL, "'%.*s' was deleted too often", shown_size(key),
                         (const char *)key.data);
    }
    work_count(node, DELETE_WORK);
    status = table_delete(node->table, &entry, table_hash(node->table, key), deadline_of(key),
                          (uint32_t)generation, CHANGE_FROM_CLIENT);
    if (status != STATUS_OK) {
        return refusal_tell(node, now, status, key, why);
    }
    work_drop(node);
    *generation_out = (uint32_t)generation;
    node_spread(node, now, entry, &table_tombstone_mark, (struct push_route){ .ttl = CLIENT_TTL });
    return STATUS_OK;
}

/* Peers' data. */

/* Take out what is above a limit. Returns whether anything is left; the block then is unpacked in
 * `room`, which may be the one that it lies in. */
static bool block_limit(struct node *node, struct block *block, uint64_t value_max,
                        struct block_room *room)
{
    uint64_t refused = 0;
    uint16_t count = 0;

    for (unsigned i = 0; i < block->count; i++) {
        const unsigned offset = block_offset(block, i);
        const uint64_t value = block_get(block, offset);

        if (value > value_max) {
            refused++;
        } else if (value > 0) {
            room->offsets[count] = (uint8_t)offset;
            room->values[count] = value;
            count++;
        }
    }
    refused_count(node, values, NULL, refused);
    *block = block_unpacked(room, block->number, count);
    return count > 0;
}

static void refusal_count(struct node *node, enum status status)
{
    assert(status != STATUS_ENDED); /* expiry_refuses() was asked */
    node->full_us = node->now.mono_us;
    if (status == STATUS_FULL) {
        refused_count(node, keys, NULL, 1);
        node->refused_us = node->now.mono_us;
    } else {
        node->stats.memory_refused++;
    }
}

/* Entry of a peer's key, created when it is unseen. NULL: refused, counted. */
static struct entry *entry_obtain(struct node *node, struct bytes key)
{
    struct entry *entry = NULL;
    const enum status status = table_obtain(node->table, key, TABLE_DATA, &entry);

    if (status != STATUS_OK) {
        refusal_count(node, status);
        return NULL;
    }
    return entry;
}

/* What we have of an item's key: an entry with elements or a tombstone. NULL: nothing. */
static struct entry *ours_find(struct node *node, const struct item *item)
{
    struct entry *entry;

    if (item->by_hash) {
        return sync_find(node, TABLE_DATA, item->hash);
    }
    entry = table_find(node->table, item->key);
    if (entry != NULL && vector_size(entry_vector(entry)) > 0) {
        return entry;
    }
    work_count(node, 1);
    return table_tombstone(node->table, item->key);
}

/* The blocks of one item, one after another, as far as rules allow them. */
struct join_walk {
    struct node *node;
    struct bytes key;
    struct elements elements;
    struct entry *ours;       /* what there was before; void once something was joined */
    struct entry *entry;      /* NULL: there is none so far */
    uint32_t generation;      /* of the item; a greater one than there was is begun */
    uint32_t generation_ours; /* of what there was */
    uint64_t value_max;
    uint64_t blocks; /* looked at */
    uint64_t listed; /* elements of `full` items */
    struct block_room room;
    struct block_room limited;
    bool unseen;  /* there was nothing of the key before */
    bool full;    /* this is all that the sender has of it */
    bool repair;  /* it came by anti-entropy */
    bool refused; /* the key: nothing more of it is looked at */
    bool begun;   /* a greater generation than there was has elements now */
};

static void walk_begin(struct join_walk *walk, struct node *node, const struct item *item)
{
    walk->node = node;
    walk->key = item->key;
    walk->elements = item->elements;
    walk->ours = ours_find(node, item);
    walk->entry = walk->ours == NULL || entry_deleted(walk->ours) ? NULL : walk->ours;
    walk->generation = (uint32_t)item->generation;
    walk->generation_ours = walk->ours == NULL ? 0 : entry_generation(walk->ours);
    walk->value_max =
        node->options.value_rules_count == 0 ? VALUE_UNLIMITED : value_max_of(node, item->key);
    work_count(node, node->options.value_rules_count * (1 + item->key.size / MATCH_BYTES));
    walk->blocks = 0;
    walk->listed = 0;
    walk->unseen = walk->entry == NULL;
    walk->full = item->full;
    walk->repair = false;
    walk->refused = expiry_refuses(node, item_deadline(item));
    walk->begun = false;
}

/* Join a block to what there is of the same generation; or forget that, and begin the greater. */
static enum status walk_merge(struct join_walk *walk, const struct block *block,
                              struct merge_result *merged)
{
    const enum change_origin origin = walk->repair ? CHANGE_FROM_REPAIR : CHANGE_FROM_PEER;
    enum status status;

    if (entry_generation(walk->entry) >= walk->generation) {
        return table_merge(walk->node->table, walk->entry, block, origin, merged);
    }
    status = table_renew(walk->node->table, &walk->entry, walk->generation, block, origin, merged);
    if (status == STATUS_OK) {
        walk->begun = true;
        work_drop(walk->node);
    }
    return status;
}

/* Join the next block. False: no more. */
static bool walk_next(struct join_walk *walk, struct block *block, struct merge_result *merged)
{
    struct node *node = walk->node;

    while (!walk->refused && elements_next(&walk->elements, &walk->room, block)) {
        walk->blocks++;
        work_count(node, 1 + block->count / JOIN_ELEMENTS);
        if (walk->value_max != VALUE_UNLIMITED
            && !block_limit(node, block, walk->value_max, &walk->limited)) {
            continue;
        }
        if (walk->entry == NULL) {
            walk->entry = entry_obtain(node, walk->key);
        }
        if (walk->entry == NULL) {
            walk->refused = true;
            break;
        }
        spread_expect(node, walk->entry, block->number);
        if (walk_merge(walk, block, merged) == STATUS_OK) {
            if (!mark_empty(&merged->raised)) {
                node->stats.elements_raised += mark_count(&merged->raised);
            }
            if (walk->full) {
                const struct mark listed = block_mark(block);

                walk->listed += mark_count(&listed);
            }
            return true;
        }
        node->stats.memory_refused++;
        node->full_us = node->now.mono_us;
    }
    return false;
}

static void marks_note(struct node *node, struct marks *marks, struct entry *entry,
                       const struct mark *mark)
{
    work_count(node, 1);
    if (marks != NULL && !marks_add(marks, node->mem, entry, mark)) {
        node->stats.memory_refused++;
    }
}

/* A full item says all that its sender has: what it does not list goes back too. Called where the
 * entry has not many more blocks than the item (walk_compares()). */
static void unlisted_note(struct node *node, struct entry *entry, struct elements elements,
                          struct marks *reply)
{
    struct block_room room;
    struct block block;

    work_count(node, vector_blocks(entry_vector(entry)));
    if (!marks_add_entry(reply, node->mem, entry)) {
        node->stats.memory_refused++;
        return;
    }
    while (elements_next(&elements, &room, &block)) {
        struct mark equal = { .number = block.number };

        work_count(node, 1 + block.count / LIST_ELEMENTS);
        for (unsigned i = 0; i < block.count; i++) {
            const unsigned offset = block_offset(&block, i);

            if (vector_get(entry_vector(entry), block.number << 8 | offset)
                <= block_get(&block, offset)) {
                mark_set(&equal, offset);
            }
        }
        marks_remove(reply, node->mem, entry, &equal);
    }
}

/* Whether a walk that is over was of a full item that does not list all we have. */
static bool walk_leaves_out(const struct join_walk *walk)
{
    return walk->full && !walk->refused && walk->entry != NULL
           && walk->listed < vector_size(entry_vector(walk->entry));
}

/* Whether what it leaves out can be told one by one for about what the item itself cost. */
static bool walk_compares(const struct join_walk *walk)
{
    return vector_blocks(entry_vector(walk->entry)) <= walk->blocks + UNLISTED_BLOCKS;
}

static void unlisted_answer(struct node *node, struct moment now, struct peer *to,
                            struct join_walk *walk, const struct item *item, uint8_t ttl)
{
    struct marks marks = { 0 };

    if (!walk_compares(walk)) {
        plain_queue_all(node, now, to, walk->entry, ttl);
        return;
    }
    unlisted_note(node, walk->entry, item->elements, &marks);
    while (!marks_empty(&marks)) {
        const struct marked marked = *marks_first(&marks);

        plain_queue(node, now, to, marked.entry, &marked.mark, ttl);
        marks_remove(&marks, node->mem, marked.entry, &marked.mark);
    }
    marks_clear(&marks, node->mem);
}

/* Plain peers know no generations: whatever they say of a key that was deleted once may be of
 * before, and is not taken. */
static bool walk_is_closed(const struct join_walk *walk, const struct address *from)
{
    if (walk->generation_ours > 0) {
        refused_count(walk->node, generations, from, 1);
    }
    return walk->generation_ours > 0;
}

struct entry *join_plain(struct node *node, struct moment now, struct peer *from,
                         const struct item *item, uint8_t ttl)
{
    struct join_walk walk;
    struct merge_result merged;
    struct block block;

    walk_begin(&walk, node, item);
    if (walk_is_closed(&walk, &from->address)) {
        return NULL;
    }
    while (walk_next(&walk, &block, &merged)) {
        if (!mark_empty(&merged.larger)) {
            plain_queue(node, now, from, walk.entry, &merged.larger, ttl);
        }
        if (!mark_empty(&merged.raised)) {
            node_spread(node, now, walk.entry, &merged.raised,
                        (struct push_route){ .from = from, .ttl = ttl });
        }
    }
    if (ttl > 0 && walk_leaves_out(&walk)) {
        unlisted_answer(node, now, from, &walk, item, ttl);
    }
    return walk.unseen && !walk.refused ? walk.entry : NULL;
}

struct entry *join_stranger(struct node *node, struct moment now, const struct item *item,
                            uint8_t ttl, struct mark *larger)
{
    struct join_walk walk;
    struct merge_result merged;
    struct block block;

    walk_begin(&walk, node, item);
    if (walk_is_closed(&walk, NULL)) {
        return NULL;
    }
    while (walk_next(&walk, &block, &merged)) {
        if (!mark_empty(&merged.larger) && mark_empty(larger)) {
            *larger = merged.larger;
        }
        if (!mark_empty(&merged.raised)) {
            node_spread(node, now, walk.entry, &merged.raised, (struct push_route){ .ttl = ttl });
        }
    }
    return walk.refused ? NULL : walk.entry;
}

static bool is_in_bounds(const struct node *node, struct moment now, uint64_t generation)
{
    return generation == 0
           || (generation <= UINT32_MAX
               && generation <= guard_latest_s(&node->guard, now) + GENERATION_AHEAD_S);
}

/* The item is of a lesser generation than ours: nothing of it is taken, and ours goes back. Of a
 * large one anti-entropy has it. */
static void newer_note(struct node *node, struct entry *ours, struct marks *reply)
{
    const size_t blocks = vector_blocks(entry_vector(ours));

    if (reply != NULL && blocks <= UNLISTED_BLOCKS) {
        work_count(node, blocks);
        if (!marks_add_entry(reply, node->mem, ours)) {
            node->stats.memory_refused++;
        }
    }
}

/* An item of a greater generation than ours without elements, or of which rules allow none: what we
 * have goes all the same. Returns the tombstone; NULL: refused. */
static struct entry *item_delete(struct node *node, const struct join_walk *walk,
                                 const struct item *item)
{
    struct entry *entry = walk->ours;
    const uint64_t hash = item->by_hash ? item->hash : table_hash(node->table, item->key);
    const enum status status =
        table_delete(node->table, &entry, hash, item_deadline(item), walk->generation,
                     walk->repair ? CHANGE_FROM_REPAIR : CHANGE_FROM_PEER);

    if (status != STATUS_OK) {
        refusal_count(node, status);
        return NULL;
    }
    work_drop(node);
    return entry;
}

/* What is left to do of an item for which nothing was joined: a deletion. Returns whether it was
 * one that was not known. */
static bool item_join_deletion(struct node *node, struct moment now, struct peer *from,
                               const struct join_walk *walk, const struct item *item, uint8_t depth)
{
    struct entry *entry = walk->ours;

    if (walk->generation == 0 || walk->begun || walk->refused) {
        return false;
    }
    if (walk->generation > walk->generation_ours) {
        entry = item_delete(node, walk, item);
        if (entry != NULL) {
            spread_pushed(node, now, entry, &table_tombstone_mark,
                          (struct push_route){ .from = from, .depth = depth, .ttl = PUSH_TTL });
        }
        return entry != NULL;
    }
    if (entry_deleted(entry) && walk->entry == NULL && depth != WIRE_DEPTH_STOP) {
        spread_repeat(node, now, entry, &table_tombstone_mark, depth, from);
    }
    return false;
}

void join_item(struct node *node, struct moment now, struct peer *from, const struct item *item,
               uint8_t depth, struct marks *reply)
{
    struct join_walk walk;
    struct merge_result merged;
    struct block block;
    bool any_raised = false;

    if (!is_in_bounds(node, now, item->generation)) {
        refused_count(node, generations, &from->address, 1);
        return;
    }
    walk_begin(&walk, node, item);
    walk.repair = depth == WIRE_DEPTH_STOP;
    if (walk.generation < walk.generation_ours) {
        newer_note(node, walk.ours, reply);
        walk.refused = true;
    }
    while (walk_next(&walk, &block, &merged)) {
        struct mark same = block_mark(&block);

        mark_and_not(&same, &merged.raised);
        if (!mark_empty(&merged.larger)) {
            marks_note(node, reply, walk.entry, &merged.larger);
        }
        if (!mark_empty(&merged.raised)) {
            any_raised = true;
            spread_pushed(node, now, walk.entry, &merged.raised,
                          (struct push_route){ .from = from, .depth = depth, .ttl = PUSH_TTL });
        }
        if (depth != WIRE_DEPTH_STOP && !mark_empty(&same)) {
            spread_repeat(node, now, walk.entry, &same, depth, from);
        }
    }
    any_raised = item_join_deletion(node, now, from, &walk, item, depth) || any_raised;
    /* Of a larger one anti-entropy has the rest; no node of our kind says `full` in an item. */
    if (reply != NULL && walk_leaves_out(&walk) && walk_compares(&walk)) {
        unlisted_note(node, walk.entry, item->elements, reply);
    }
    if (depth == WIRE_DEPTH_STOP) {
        if (any_raised) {
            sync_raised(node, now, from, TABLE_DATA);
        }
        return;
    }
    node->stats.copies_received++;
    node->stats.copies_duplicate += !any_raised;
}
