#include "node/queue.h"

#include "base/hash.h"
#include "node/peers.h"
#include "store/marks.h"

#include <assert.h>

#define ROOM_FIRST    1               /* most who are told anything are told of one key */
#define INDEX_FROM    16              /* keys; fewer are looked at one by one */
#define RATE_STEP_US  UINT64_C(50000) /* 20 datagrams a second */
#define RATE_BURST    8               /* at once */
#define BURST_MAX     64
#define BURST_OPEN_US UINT64_C(1000000)
#define QUIET_US      UINT64_C(3200000)
#define MARKS_FEW     256   /* up to so many are kept however much of their key they are */
#define MARKS_MAX     16384 /* 0.9 MB, and some 14 s of datagrams */
#define SMALLEST_OF   256   /* keys looked at for the one of fewest elements */
#define LOOKED_UNIT   4     /* so many in a unit of work */

static uint32_t key_hash(const struct entry *entry)
{
    return (uint32_t)hash_mix((uint64_t)(uintptr_t)entry, 0);
}

static struct queue_key *key_find(const struct plain_queue *queue, const struct entry *entry)
{
    uint32_t position;
    uint32_t cursor = 0;

    if (queue->index == NULL) {
        for (uint32_t i = queue->first; i < queue->last; i++) {
            if (queue->keys[i].entry == entry) {
                return &queue->keys[i];
            }
        }
        return NULL;
    }
    do {
        position = hash_index_next(queue->index, key_hash(entry), &cursor);
    } while (position != HASH_INDEX_NONE && queue->keys[position].entry != entry);
    return position == HASH_INDEX_NONE ? NULL : &queue->keys[position];
}

/* Enter all keys in an empty index. */
static bool index_fill(struct plain_queue *queue, struct mem *mem)
{
    for (uint32_t i = queue->first; i < queue->last; i++) {
        const struct queue_key *key = &queue->keys[i];

        if (key->entry != NULL && !hash_index_put(&queue->index, mem, key_hash(key->entry), i)) {
            hash_index_clear(&queue->index, mem);
            return false;
        }
    }
    return true;
}

/* Close the holes. A position that is taken out of the index leaves room there for the other. */
static void keys_compact(struct plain_queue *queue, struct mem *mem)
{
    uint32_t to = 0;

    for (uint32_t i = queue->first; i < queue->last; i++) {
        const struct queue_key *key = &queue->keys[i];

        if (key->entry == NULL) {
            continue;
        }
        if (queue->index != NULL) {
            bool is_entered;

            hash_index_remove(queue->index, key_hash(key->entry), i);
            is_entered = hash_index_put(&queue->index, mem, key_hash(key->entry), to);
            assert(is_entered);
        }
        queue->keys[to++] = *key;
    }
    queue->first = 0;
    queue->last = to;
}

/* Room for one key more: by closing holes where they are many, else by growing. */
static bool keys_grow(struct plain_queue *queue, struct mem *mem)
{
    const uint32_t room = queue->room == 0 ? ROOM_FIRST : queue->room * 2;
    struct queue_key *keys;

    if (queue->room > 0 && queue->count <= queue->room / 2) {
        keys_compact(queue, mem);
        return true;
    }
    if (room >= INDEX_FROM && queue->index == NULL && !index_fill(queue, mem)) {
        return false;
    }
    keys = mem_grow(mem, queue->keys, queue->room * sizeof *keys, room * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    queue->keys = keys;
    queue->room = room;
    return true;
}

static struct queue_key *key_add(struct plain_queue *queue, struct mem *mem, struct moment now,
                                 struct entry *entry)
{
    struct queue_key *key;

    if (queue->count == QUEUE_KEYS_MAX || (queue->last == queue->room && !keys_grow(queue, mem))
        || (queue->index != NULL
            && !hash_index_put(&queue->index, mem, key_hash(entry), queue->last))) {
        return NULL;
    }
    key = &queue->keys[queue->last];
    *key = (struct queue_key){ .entry = entry, .ready_us = now.mono_us };
    queue->last++;
    queue->count++;
    return key;
}

void queue_clear(struct plain_queue *queue, struct mem *mem)
{
    for (uint32_t i = queue->first; i < queue->last; i++) {
        marks_clear(&queue->keys[i].marks, mem);
    }
    mem_free(mem, queue->keys, queue->room * sizeof *queue->keys);
    hash_index_clear(&queue->index, mem);
    queue->keys = NULL;
    queue->first = 0;
    queue->last = 0;
    queue->room = 0;
    queue->count = 0;
    queue->asks_peers = false;
}

/* Whether a block will be said anyhow. */
static bool key_covers(const struct queue_key *key, uint64_t number)
{
    return (key->what & QUEUE_ALL) != 0 && number > key->at;
}

/* All of a key from its beginning, instead of marks. */
static void key_all(struct queue_key *key, struct mem *mem)
{
    marks_clear(&key->marks, mem);
    key->what |= QUEUE_ALL;
    key->at = 0;
    key->offset = 0;
}

/* Marks of most of a key's blocks are no better than all of it, and so many that whoever gets them
 * is far behind are too many to keep. */
static void key_collapse(struct queue_key *key, struct mem *mem)
{
    const uint32_t count = key->marks.count;

    if (count > MARKS_MAX
        || (count > MARKS_FEW && (key->what & QUEUE_ALL) == 0
            && count >= vector_blocks(entry_vector(key->entry)) / 2)) {
        key_all(key, mem);
    }
}

bool queue_add(struct plain_queue *queue, struct mem *mem, struct moment now, struct entry *entry,
               struct queue_part part)
{
    struct queue_key *key = key_find(queue, entry);
    const bool is_new = key == NULL;

    if (is_new) {
        key = key_add(queue, mem, now, entry);
    }
    if (key == NULL) {
        return false;
    }
    if ((part.what & QUEUE_ALL) != 0 && (key->what & QUEUE_ALL) == 0) {
        key_all(key, mem);
    }
    if (part.mark != NULL && !key_covers(key, part.mark->number)
        && !marks_add(&key->marks, mem, entry, part.mark)) {
        if (is_new) {
            queue_remove(queue, mem, key);
        }
        return false;
    }
    key_collapse(key, mem);
    key->ttl = part.ttl > key->ttl ? part.ttl : key->ttl;
    key->what |= part.what;
    return true;
}

/* Whether the burst that was begun still goes on for a key. */
static bool burst_takes(const struct plain_queue *queue, uint64_t ready_us)
{
    return queue->burst_us != 0 && queue->burst_sent < BURST_MAX
           && ready_us <= queue->burst_us + BURST_OPEN_US;
}

static bool in_bursts(const struct plain_queue *queue)
{
    return queue->peer->dialect == DIALECT_NO_TTL;
}

/* The oldest key is at the front: holes there are passed over as they come up. */
static struct queue_key *key_first(const struct plain_queue *queue)
{
    assert(queue->count > 0);
    return &queue->keys[queue->first];
}

struct queue_key *queue_next(struct plain_queue *queue, struct moment now)
{
    struct queue_key *smallest = NULL;
    bool within;
    uint32_t looked_at = 0;

    if (queue->count == 0) {
        return NULL;
    }
    if (!in_bursts(queue)) {
        return key_first(queue);
    }
    within = burst_takes(queue, key_first(queue)->ready_us);
    for (uint32_t i = queue->first; i < queue->last && looked_at < SMALLEST_OF; i++) {
        struct queue_key *key = &queue->keys[i];

        if (key->entry == NULL) {
            continue;
        }
        looked_at++;
        if (within && !burst_takes(queue, key->ready_us)) {
            break; /* as are all behind it */
        }
        if (smallest == NULL
            || vector_size(entry_vector(key->entry)) < vector_size(entry_vector(smallest->entry))) {
            smallest = key;
        }
    }
    assert(smallest != NULL && smallest->ready_us <= now.mono_us);
    return smallest;
}

uint64_t queue_next_work(const struct plain_queue *queue)
{
    const uint32_t looked_at = queue->count < SMALLEST_OF ? queue->count : SMALLEST_OF;

    return in_bursts(queue) ? 1 + looked_at / LOOKED_UNIT : 1;
}

void queue_remove(struct plain_queue *queue, struct mem *mem, struct queue_key *key)
{
    assert(key->entry != NULL && queue->count > 0);
    marks_clear(&key->marks, mem);
    if (queue->count == 1) {
        const bool asks_peers = queue->asks_peers;

        queue->count = 0;
        queue->first = queue->last;
        queue_clear(queue, mem);
        queue->asks_peers = asks_peers;
        return;
    }
    if (queue->index != NULL) {
        hash_index_remove(queue->index, key_hash(key->entry), (uint32_t)(key - queue->keys));
    }
    key->entry = NULL;
    queue->count--;
    while (queue->keys[queue->first].entry == NULL) {
        queue->first++;
    }
}

uint64_t queue_drop(struct plain_queue *queue, struct mem *mem, struct drops drops)
{
    const uint32_t last = queue->last;
    const uint32_t count = queue->count;

    if (drops.count < count) {
        for (size_t i = 0; i < drops.count && queue->count > 0; i++) {
            struct queue_key *key = key_find(queue, drops.entries[i]);

            if (key != NULL) {
                queue_remove(queue, mem, key);
            }
        }
        return drops.count;
    }
    for (uint32_t i = queue->first; queue->count > 0 && i < last; i++) {
        struct queue_key *key = &queue->keys[i];

        if (key->entry != NULL && entry_dropped(key->entry)) {
            queue_remove(queue, mem, key);
        }
    }
    return count;
}

uint64_t queue_due_us(const struct plain_queue *queue)
{
    const uint64_t paid_us = (RATE_BURST - 1) * RATE_STEP_US;
    uint64_t due_us = queue->rate_us > paid_us ? queue->rate_us - paid_us : 0;

    if (in_bursts(queue) && queue->sent_us != 0
        && !(queue->count > 0 ? burst_takes(queue, key_first(queue)->ready_us)
                              : burst_takes(queue, queue->burst_us))) {
        const uint64_t quiet_us = queue->sent_us + QUIET_US;

        due_us = quiet_us > due_us ? quiet_us : due_us;
    }
    return due_us;
}

void queue_sent(struct plain_queue *queue, struct moment now)
{
    if (queue->burst_us == 0 || now.mono_us >= queue->sent_us + QUIET_US) {
        queue->burst_us = now.mono_us;
        queue->burst_sent = 0;
    }
    queue->burst_sent++;
    queue->sent_us = now.mono_us;
    queue->rate_us = (queue->rate_us > now.mono_us ? queue->rate_us : now.mono_us) + RATE_STEP_US;
}

void queue_audit(const struct plain_queue *queue)
{
    uint32_t count = 0;
    uint64_t ready_us = 0;

    assert(queue->first <= queue->last && queue->last <= queue->room);
    assert(queue->room < INDEX_FROM || queue->index != NULL);
    for (uint32_t i = queue->first; i < queue->last; i++) {
        const struct queue_key *key = &queue->keys[i];

        if (key->entry == NULL) {
            assert(key->marks.room == 0);
            continue;
        }
        count++;
        assert(key->ready_us >= ready_us);
        ready_us = key->ready_us;
        assert(key_find(queue, key->entry) == key);
        assert(key->ttl > 0);
        marks_audit(&key->marks);
    }
    assert(count == queue->count);
    assert(queue->index == NULL || hash_index_audit(queue->index) == count);
    assert(count == 0 || queue->keys[queue->first].entry != NULL);
    assert(count > 0 || queue->keys == NULL);
}
