#include "node/search.h"

#include "node/may.h"
#include "node/peers.h"
#include "node/queue.h"
#include "node/state.h"
#include "store/marks.h"
#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define SLICE          256            /* keys looked at in one step */
#define STEP_US        UINT64_C(1000) /* from one step to the next: others have turns */
#define WAITING_MAX    256            /* found keys that wait; more are looked for later */
#define STEP_WORK      2048           /* units of one step: others have theirs in the same turn */
#define MATCH_BYTES    64             /* of a pattern and a key, in a unit */
#define ADDRESSES_UNIT 16             /* compared in a unit of work */
#define GIVEN_PARTS    4              /* elements compared with the asker's, in a unit */
#define FOUND_EXACT    64 /* blocks: of a key with more all is said, whatever is known */
#define JOIN_MAX       ((uint64_t)4 * 1024 * 1024) /* bytes of a join; a larger one has no answer */

struct search {
    struct vector given; /* what the asker has */
    struct vector join;  /* `*`: of what matched so far, where larger than that */
    uint64_t begun_us;
    uint64_t moved_us; /* when it last looked at keys or said something */
    uint64_t due_us;
    uint64_t joining; /* `*`: the block where the join of the key after `after` goes on, */
    uint64_t inside;  /* if that is still the key with this hash */
    uint64_t number;  /* `*`: the block and the offset in it where the answer goes on */
    uint32_t left;    /* `%`: keys that may still be answered */
    uint16_t offset;
    uint16_t after_size;
    uint16_t pattern_size;
    uint8_t ttl;
    bool joins;  /* a `*` is in the pattern */
    bool walked; /* all keys were looked at */
    uint8_t after[WIRE_KEY_BYTES_MAX];
    uint8_t pattern[WIRE_KEY_BYTES_MAX];
};

struct searches {
    struct plain_queue *list[SEARCHES_MAX]; /* next first */
    uint32_t count;
};

static struct bytes search_pattern(const struct search *search)
{
    return (struct bytes){ search->pattern, search->pattern_size };
}

/* Elements of a block that are larger than what the asker has. */
static struct mark larger_mark(struct node *node, const struct search *search,
                               const struct block *block)
{
    struct mark mark = { .number = block->number };

    work_count(node, 1);
    if (vector_size(&search->given) == 0) {
        return block_mark(block);
    }
    work_count(node, block->count / GIVEN_PARTS);
    for (unsigned i = 0; i < block->count; i++) {
        const unsigned offset = block_offset(block, i);
        const uint64_t index = block->number << 8 | offset;

        if (block_get(block, offset) > vector_get(&search->given, index)) {
            mark_set(&mark, offset);
        }
    }
    return mark;
}

static bool given_read(struct node *node, struct search *search, struct elements elements)
{
    struct block_room room;
    struct block block;

    while (elements_next(&elements, &room, &block)) {
        work_count(node, 1);
        if (vector_merge(&search->given, node->mem, &block, 0, NULL) != STATUS_OK) {
            return false;
        }
    }
    return true;
}

/* How many searches are those of one host. */
static unsigned host_searches(const struct node *node, const struct address *address)
{
    const struct address host = address_host(address);
    unsigned count = 0;

    for (uint32_t i = 0; i < node->searches->count; i++) {
        const struct address other = address_host(&node->searches->list[i]->peer->address);

        count += address_compare(&other, &host) == 0;
    }
    return count;
}

/* Make sure that there is a place. The oldest search of the host that has most gives way: who asked
 * may be gone, and many ports of one host take no place of others. */
static void place_find(struct node *node)
{
    struct plain_queue *yields = NULL;
    unsigned most = 0;

    if (node->searches->count < SEARCHES_MAX) {
        return;
    }
    for (uint32_t i = 0; i < node->searches->count; i++) {
        struct plain_queue *queue = node->searches->list[i];
        const unsigned count = host_searches(node, &queue->peer->address);

        work_count(node, SEARCHES_MAX / ADDRESSES_UNIT);
        if (count > most || (count == most && queue->search->begun_us < yields->search->begun_us)) {
            most = count;
            yields = queue;
        }
    }
    search_end(node, yields);
}

void search_begin(struct node *node, struct moment now, struct plain_queue *queue,
                  const struct item *item, uint8_t ttl)
{
    struct search *search;

    assert(item->key.size <= WIRE_KEY_BYTES_MAX && ttl > 0);
    search_end(node, queue);
    place_find(node);
    search = mem_alloc_zeroed(node->mem, sizeof *search);
    if (search == NULL) {
        node->stats.memory_refused++;
        return;
    }
    vector_init(&search->given);
    vector_init(&search->join);
    memcpy(search->pattern, item->key.data, item->key.size);
    search->pattern_size = (uint16_t)item->key.size;
    for (size_t i = 0; i < item->key.size; i++) {
        search->joins = search->joins || item->key.data[i] == '*';
    }
    search->left = node->options.search_max;
    search->due_us = now.mono_us;
    search->begun_us = now.mono_us;
    search->moved_us = now.mono_us;
    search->ttl = ttl;
    queue->search = search;
    node->searches->list[node->searches->count++] = queue;
    if (!given_read(node, search, item->elements)) {
        node->stats.memory_refused++;
        search_end(node, queue);
    }
}

static void list_remove(struct searches *searches, const struct plain_queue *queue)
{
    uint32_t position = 0;

    while (searches->list[position] != queue) {
        position++;
    }
    searches->count--;
    memmove(&searches->list[position], &searches->list[position + 1],
            (searches->count - position) * sizeof searches->list[0]);
}

void search_last(struct node *node, struct plain_queue *queue)
{
    list_remove(node->searches, queue);
    node->searches->list[node->searches->count++] = queue;
}

uint32_t searches_count(const struct node *node)
{
    return node->searches->count;
}

struct plain_queue *searches_at(const struct node *node, uint32_t position)
{
    return node->searches->list[position];
}

bool searches_create(struct node *node)
{
    node->searches = mem_alloc_zeroed(node->mem, sizeof *node->searches);
    return node->searches != NULL;
}

void searches_free(struct node *node)
{
    part_free(node, node->searches, sizeof *node->searches);
}

void search_end(struct node *node, struct plain_queue *queue)
{
    struct search *search = queue->search;

    if (search == NULL) {
        return;
    }
    vector_clear(&search->given, node->mem);
    vector_clear(&search->join, node->mem);
    mem_free(node->mem, search, sizeof *search);
    queue->search = NULL;
    list_remove(node->searches, queue);
}

/* Have what is larger than the asker's wait. False: no memory. */
static bool key_found(struct node *node, struct moment now, struct plain_queue *queue,
                      struct entry *entry)
{
    struct search *search = queue->search;
    const struct vector *vector = entry_vector(entry);
    const size_t blocks = vector_blocks(vector);
    struct block_room room;
    bool any = false;

    if (!plain_may_get(node, queue->peer, entry)) {
        return true;
    }
    if (entry_set(entry) == TABLE_MEMBERS) {
        search->left--;
        return queue_add(queue, node->mem, now, entry,
                         (struct queue_part){ .ttl = search->ttl, .what = QUEUE_STAMP });
    }
    if (vector_size(&search->given) == 0 || blocks > FOUND_EXACT) {
        search->left--;
        return queue_add(queue, node->mem, now, entry,
                         (struct queue_part){ .ttl = search->ttl, .what = QUEUE_ALL });
    }
    for (size_t i = 0; i < blocks; i++) {
        const struct block block = vector_block(vector, i, &room);
        const struct mark mark = larger_mark(node, search, &block);

        if (!mark_empty(&mark)) {
            any = true;
            if (!queue_add(queue, node->mem, now, entry,
                           (struct queue_part){ .mark = &mark, .ttl = search->ttl })) {
                return false;
            }
        }
    }
    search->left -= any;
    return true;
}

/* Join what of a block is larger than the asker's. False: no memory. */
static bool block_join(struct node *node, struct search *search, const struct block *block)
{
    const struct mark larger = larger_mark(node, search, block);
    struct block_room room;
    struct block part = {
        .number = block->number, .values = room.values, .offsets = room.offsets, .width = 8
    };

    if (vector_size(&search->given) == 0) {
        return vector_merge(&search->join, node->mem, block, 0, NULL) == STATUS_OK;
    }
    for (unsigned o = mark_next(&larger, 0); o < BLOCK_ELEMENTS; o = mark_next(&larger, o + 1)) {
        room.values[part.count] = block_get(block, o);
        room.offsets[part.count] = (uint8_t)o;
        part.count++;
    }
    return part.count == 0 || vector_merge(&search->join, node->mem, &part, 0, NULL) == STATUS_OK;
}

/* How far a key was taken. */
enum taken { TAKEN_ALL, TAKEN_PART, TAKEN_NOT };

/* Join one more vector, or a part of it: the step has so much work until `end`. TAKEN_NOT: no
 * memory, or too large a join. */
static enum taken key_join(struct node *node, struct search *search, const struct entry *entry,
                           uint64_t end)
{
    const struct vector *vector = entry_vector(entry);
    const uint64_t hash = entry_hash(node->table, entry);
    const size_t blocks = vector_blocks(vector);
    struct block_room room;

    if (entry_set(entry) == TABLE_MEMBERS || entry_generation(entry) > 0) {
        return TAKEN_ALL; /* presence is about its own key, and plain_may_get() says no */
    }
    if (vector_heap_bytes(vector) > JOIN_MAX) {
        return TAKEN_NOT;
    }
    search->joining = search->inside == hash ? search->joining : 0;
    search->inside = hash;
    for (size_t i = vector_seek(vector, search->joining); i < blocks; i++) {
        const struct block block = vector_block(vector, i, &room);

        if (node->work_done >= end) {
            search->joining = block.number;
            return TAKEN_PART;
        }
        if (!block_join(node, search, &block)) {
            return TAKEN_NOT;
        }
    }
    search->joining = 0;
    return vector_heap_bytes(&search->join) <= JOIN_MAX ? TAKEN_ALL : TAKEN_NOT;
}

static enum taken key_take(struct node *node, struct moment now, struct plain_queue *queue,
                           struct entry *entry, uint64_t end)
{
    struct search *search = queue->search;
    const struct bytes pattern = search_pattern(search);

    if (node->work_done >= end) {
        return TAKEN_PART;
    }
    work_count(node, 1 + (pattern.size + entry_key(entry).size) / MATCH_BYTES);
    if (entry_ended(node->table, entry) || !pattern_matches(pattern, entry_key(entry))) {
        return TAKEN_ALL;
    }
    if (search->joins) {
        return key_join(node, search, entry, end);
    }
    return key_found(node, now, queue, entry) ? TAKEN_ALL : TAKEN_NOT;
}

/* Look at one slice. False: no memory. */
static bool slice_walk(struct node *node, struct moment now, struct plain_queue *queue)
{
    struct search *search = queue->search;
    const uint64_t end = node->work_done + STEP_WORK;
    struct entry *entries[SLICE];
    const size_t count =
        table_slice(node->table, pattern_prefix(search_pattern(search)),
                    (struct bytes){ search->after, search->after_size }, entries, SLICE);
    enum taken taken = TAKEN_ALL;
    size_t done = 0;

    while (done < count && (search->joins || search->left > 0)) {
        taken = key_take(node, now, queue, entries[done], end);
        if (taken != TAKEN_ALL) {
            break;
        }
        done++;
    }
    search->walked = (taken == TAKEN_ALL && count < SLICE) || (!search->joins && search->left == 0);
    if (done > 0) {
        const struct bytes last = entry_key(entries[done - 1]);

        memcpy(search->after, last.data, last.size);
        search->after_size = (uint16_t)last.size;
    }
    search->due_us = now.mono_us + STEP_US;
    search->moved_us = now.mono_us;
    return taken != TAKEN_NOT;
}

static bool queue_is_long(const struct plain_queue *queue)
{
    return !queue->search->joins && queue->count >= WAITING_MAX;
}

bool search_is_over(const struct plain_queue *queue, struct moment now)
{
    const struct search *search = queue->search;

    return search != NULL
           && ((now.mono_us - search->moved_us >= SEARCH_IDLE_US
                && now.mono_us - queue->sent_us >= SEARCH_IDLE_US)
               || now.mono_us - search->begun_us >= SEARCH_TOTAL_US);
}

void search_step(struct node *node, struct moment now, struct plain_queue *queue)
{
    struct search *search = queue->search;

    if (search == NULL || search->walked || now.mono_us < search->due_us || queue_is_long(queue)) {
        return;
    }
    if (!slice_walk(node, now, queue)) {
        node->stats.memory_refused++;
        search_end(node, queue);
    } else if (search->walked && (!search->joins || vector_size(&search->join) == 0)) {
        search_end(node, queue);
    }
}

uint64_t search_due_us(const struct plain_queue *queue)
{
    if (queue->search == NULL || queue->search->walked || queue_is_long(queue)) {
        return UINT64_MAX;
    }
    return queue->search->due_us;
}

bool search_has_answer(const struct plain_queue *queue)
{
    return queue->search != NULL && queue->search->walked;
}

size_t search_put(struct node *node, struct moment now, struct plain_queue *queue,
                  struct space space)
{
    struct search *search = queue->search;
    const size_t blocks = vector_blocks(&search->join);
    size_t position = vector_seek(&search->join, search->number);
    struct block_room room;
    struct writer writer;
    bool any = false;

    search->moved_us = now.mono_us;
    writer_begin_plain(&writer, space, search_pattern(search), search->ttl,
                       vector_size(&search->given) == 0);
    for (; position < blocks; position++) {
        const struct block block = vector_block(&search->join, position, &room);
        struct mark mark = block_mark(&block);
        unsigned end;

        work_count(node, 1);
        if (block.number == search->number) {
            const struct mark said = marks_below(&mark, search->offset);

            mark_and_not(&mark, &said);
        }
        if (mark_empty(&mark)) {
            continue;
        }
        end = writer_put_block(&writer, &block, &mark);
        any = any || end > mark_next(&mark, 0);
        if (end < BLOCK_ELEMENTS) {
            search->number = block.number;
            search->offset = (uint16_t)end;
            break;
        }
    }
    if (position == blocks) {
        const size_t size = any ? writer_end(&writer).size : 0;

        search_end(node, queue);
        return size;
    }
    return writer_end(&writer).size;
}
