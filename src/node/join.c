#include "node/join.h"

#include "base/deadline.h"
#include "node/bounds.h"
#include "node/expiry.h"
#include "node/marks.h"
#include "node/plain.h"
#include "node/push.h"
#include "node/spread.h"
#include "node/state.h"
#include "node/sync.h"
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

enum status join_update_begin(const struct node *node, struct bytes key, struct node_update *update,
                              struct fault *why)
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

/* Entry of a peer's key, created when it is unseen. NULL: refused, counted. */
static struct entry *entry_obtain(struct node *node, struct bytes key)
{
    struct entry *entry = NULL;
    const enum status status = table_obtain(node->table, key, TABLE_DATA, &entry);

    if (status == STATUS_OK) {
        return entry;
    }
    assert(status != STATUS_ENDED); /* expiry_refuses() was asked */
    node->full_us = node->now.mono_us;
    if (status == STATUS_FULL) {
        refused_count(node, keys, NULL, 1);
        node->refused_us = node->now.mono_us;
    } else {
        node->stats.memory_refused++;
    }
    return NULL;
}

/* The blocks of one item, one after another, as far as rules allow them. */
struct join_walk {
    struct node *node;
    struct bytes key;
    struct elements elements;
    struct entry *entry; /* NULL: there is none so far */
    uint64_t value_max;
    uint64_t blocks; /* looked at */
    uint64_t listed; /* elements of `full` items */
    struct block_room room;
    struct block_room limited;
    bool unseen;  /* there was nothing of the key before */
    bool full;    /* this is all that the sender has of it */
    bool repair;  /* it came by anti-entropy */
    bool refused; /* the key: nothing more of it is looked at */
};

static void walk_begin(struct join_walk *walk, struct node *node, const struct item *item)
{
    walk->node = node;
    walk->key = item->key;
    walk->elements = item->elements;
    walk->entry = table_find(node->table, item->key);
    walk->value_max =
        node->options.value_rules_count == 0 ? VALUE_UNLIMITED : value_max_of(node, item->key);
    work_count(node, node->options.value_rules_count * (1 + item->key.size / MATCH_BYTES));
    walk->blocks = 0;
    walk->listed = 0;
    walk->unseen = walk->entry == NULL || vector_size(entry_vector(walk->entry)) == 0;
    walk->full = item->full;
    walk->repair = false;
    walk->refused = expiry_refuses(node, item->key);
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
        if (table_merge(node->table, walk->entry, block,
                        walk->repair ? CHANGE_FROM_REPAIR : CHANGE_FROM_PEER, merged)
            == STATUS_OK) {
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

struct entry *join_plain(struct node *node, struct moment now, struct peer *from,
                         const struct item *item, uint8_t ttl)
{
    struct join_walk walk;
    struct merge_result merged;
    struct block block;

    walk_begin(&walk, node, item);
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

void join_item(struct node *node, struct moment now, struct peer *from, const struct item *item,
               uint8_t depth, struct marks *reply)
{
    struct join_walk walk;
    struct merge_result merged;
    struct block block;
    bool any_raised = false;

    walk_begin(&walk, node, item);
    walk.repair = depth == WIRE_DEPTH_STOP;
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
