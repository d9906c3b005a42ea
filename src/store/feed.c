#include "store/feed.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

#define CAPACITY_MIN FEED_STEP
#define BUCKETS_MIN  64
#define STRETCH      16 /* blocks whose buckets are neighbours */
#define CHAIN_MAX    1  /* on average, before the buckets are doubled */

_Static_assert(sizeof(struct change) == 56, "the link lies in what was padding");

/* Blocks that follow each other have neighbouring buckets. */
static uint32_t *bucket_of(const struct feed *feed, const struct entry *entry, uint64_t number)
{
    const uint64_t hash = hash_mix((uintptr_t)entry, number / STRETCH) + number % STRETCH;

    return &feed->buckets[hash & (feed->bucket_count - 1)];
}

static void change_link(struct feed *feed, size_t position)
{
    struct change *change = &feed->list[position];
    uint32_t *bucket = bucket_of(feed, change->entry, change->raised.number);

    change->before = *bucket;
    *bucket = (uint32_t)position + 1;
}

static bool capacity_set(struct feed *feed, struct mem *mem, size_t capacity)
{
    void *list;

    assert(capacity >= feed->count);
    if (capacity >= UINT32_MAX) {
        return false;
    }
    list = mem_grow(mem, feed->list, feed->capacity * sizeof *feed->list,
                    capacity * sizeof *feed->list);
    if (list == NULL) {
        return false;
    }
    feed->list = list;
    feed->capacity = capacity;
    return true;
}

/* More buckets when the chains have become long. Only tried, as they work anyhow. */
static void buckets_fit(struct feed *feed, struct mem *mem)
{
    const size_t bucket_count = 2 * feed->bucket_count;
    uint32_t *buckets = mem_alloc_zeroed(mem, bucket_count * sizeof *buckets);

    if (buckets == NULL) {
        return;
    }
    mem_free(mem, feed->buckets, feed->bucket_count * sizeof *feed->buckets);
    feed->buckets = buckets;
    feed->bucket_count = bucket_count;
    for (size_t i = 0; i < feed->count; i++) {
        change_link(feed, i);
    }
}

bool feed_init(struct feed *feed, struct mem *mem)
{
    *feed = (struct feed){ .bucket_count = BUCKETS_MIN };
    feed->buckets = mem_alloc_zeroed(mem, BUCKETS_MIN * sizeof *feed->buckets);
    if (feed->buckets == NULL) {
        return false;
    }
    if (!capacity_set(feed, mem, CAPACITY_MIN)) {
        feed_clear(feed, mem);
        return false;
    }
    return true;
}

void feed_clear(struct feed *feed, struct mem *mem)
{
    if (feed->buckets != NULL) {
        mem_free(mem, feed->buckets, feed->bucket_count * sizeof *feed->buckets);
    }
    mem_free(mem, feed->list, feed->capacity * sizeof *feed->list);
    *feed = (struct feed){ 0 };
}

struct change *feed_find(const struct feed *feed, const struct entry *entry, uint64_t number)
{
    uint32_t at = *bucket_of(feed, entry, number);

    while (at != 0) {
        struct change *change = &feed->list[at - 1];

        if (change->entry == entry && change->raised.number == number && !change->ended) {
            assert(!change->dropped);
            return change;
        }
        at = change->before;
    }
    return NULL;
}

void feed_expect(const struct feed *feed, const struct entry *entry, uint64_t number)
{
    __builtin_prefetch(bucket_of(feed, entry, number));
}

bool feed_ready(struct feed *feed, struct mem *mem, size_t slots)
{
    return feed->count + slots <= feed->capacity
           || capacity_set(feed, mem, feed->capacity + feed->capacity / 2 + FEED_STEP);
}

void feed_append(struct feed *feed, struct mem *mem, const struct change *change)
{
    assert(feed->count < feed->capacity);
    feed->list[feed->count] = *change;
    change_link(feed, feed->count);
    feed->count++;
    /* Asked once in a while, so that a refusal is not asked for each time. */
    if (feed->count % FEED_STEP == 0 && feed->count > CHAIN_MAX * feed->bucket_count) {
        buckets_fit(feed, mem);
    }
}

void feed_end(struct feed *feed, struct mem *mem)
{
    const size_t count = feed->count;

    for (size_t i = 0; i < count; i++) {
        *bucket_of(feed, feed->list[i].entry, feed->list[i].raised.number) = 0;
    }
    feed->count = 0;
    if (feed->capacity / 8 > count + CAPACITY_MIN) {
        (void)capacity_set(feed, mem, feed->capacity / 2);
    }
    if (feed->bucket_count / 8 > BUCKETS_MIN + count) {
        const size_t half = feed->bucket_count / 2;
        void *buckets = mem_grow(mem, feed->buckets, feed->bucket_count * sizeof *feed->buckets,
                                 half * sizeof *feed->buckets);

        if (buckets != NULL) {
            feed->buckets = buckets;
            feed->bucket_count = half;
        }
    }
}

void feed_audit(const struct feed *feed)
{
    size_t linked = 0;

    assert(feed->count <= feed->capacity);
    for (size_t i = 0; i < feed->bucket_count; i++) {
        for (uint32_t at = feed->buckets[i]; at != 0; at = feed->list[at - 1].before) {
            const struct change *change = &feed->list[at - 1];

            assert(at <= feed->count);
            assert(change->before < at);
            assert(bucket_of(feed, change->entry, change->raised.number) == &feed->buckets[i]);
            linked++;
        }
    }
    assert(linked == feed->count);
}
