#include "store/lookup.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

#define SEGMENT_BYTES     (LOOKUP_SEGMENT_BUCKETS * sizeof(uint32_t))
#define BUCKETS_MIN       64
#define BUCKETS_MAX       (UINT64_C(1) << 32)
#define BUCKETS_PER_ENTRY 2
#define BUCKETS_SPARE     4 /* an entry; more are given back, at once no faster than grown */

static uint32_t *bucket_at(const struct lookup *lookup, uint64_t bucket)
{
    return &lookup->segments[bucket / LOOKUP_SEGMENT_BUCKETS][bucket % LOOKUP_SEGMENT_BUCKETS];
}

/* The power of two above the last bucket, less 1. */
static uint64_t bucket_mask(const struct lookup *lookup)
{
    return UINT64_MAX >> __builtin_clzll(lookup->bucket_count);
}

/* Buckets that were not made yet are where they will be split from. */
static uint64_t bucket_of(const struct lookup *lookup, uint64_t hash)
{
    const uint64_t mask = bucket_mask(lookup);
    const uint64_t bucket = hash & (uint32_t)mask;

    return bucket < lookup->bucket_count ? bucket : bucket & mask >> 1;
}

static bool segment_add(struct lookup *lookup, struct mem *mem)
{
    const size_t old = lookup->segment_capacity;
    const size_t capacity = old == 0 ? 1 : 2 * old;

    if (lookup->segment_count == old) {
        void *segments = mem_grow(mem, lookup->segments, old * sizeof *lookup->segments,
                                  capacity * sizeof *lookup->segments);

        if (segments == NULL) {
            return false;
        }
        lookup->segments = segments;
        lookup->segment_capacity = capacity;
    }
    lookup->segments[lookup->segment_count] = mem_alloc(mem, SEGMENT_BYTES);
    if (lookup->segments[lookup->segment_count] == NULL) {
        return false;
    }
    lookup->segment_count++;
    return true;
}

/* Make one more bucket, and share out the chain of the one that stood for it. */
static void bucket_split(struct lookup *lookup, const struct slabs *slabs)
{
    const uint64_t fresh = lookup->bucket_count;
    const uint64_t old = bucket_of(lookup, fresh);
    uint32_t *to_old = bucket_at(lookup, old);
    uint32_t *to_fresh = bucket_at(lookup, fresh);
    uint32_t id = *to_old;

    lookup->bucket_count++;
    while (id != 0) {
        struct entry *entry = slabs_entry(slabs, id);
        const uint64_t hash = lookup_hash(lookup, entry_key_of(entry));
        uint32_t **to = bucket_of(lookup, hash) == fresh ? &to_fresh : &to_old;

        **to = id;
        *to = &entry->lookup_next;
        id = entry->lookup_next;
    }
    *to_old = 0;
    *to_fresh = 0;
}

/* The way back: the last bucket's chain goes to the end of that of the one it was split from. */
static void bucket_join(struct lookup *lookup, const struct slabs *slabs)
{
    const uint64_t last = lookup->bucket_count - 1;
    const uint32_t first = *bucket_at(lookup, last);
    uint32_t *to;

    lookup->bucket_count = last;
    to = bucket_at(lookup, bucket_of(lookup, last));
    while (*to != 0) {
        to = &slabs_entry(slabs, *to)->lookup_next;
    }
    *to = first;
}

bool lookup_init(struct lookup *lookup, struct mem *mem, const uint8_t secret[16])
{
    *lookup = (struct lookup){ .bucket_count = BUCKETS_MIN };
    memcpy(lookup->secret, secret, sizeof lookup->secret);
    if (!segment_add(lookup, mem)) {
        lookup_clear(lookup, mem);
        return false;
    }
    memset(lookup->segments[0], 0, SEGMENT_BYTES);
    return true;
}

void lookup_clear(struct lookup *lookup, struct mem *mem)
{
    for (size_t i = 0; i < lookup->segment_count; i++) {
        mem_free(mem, lookup->segments[i], SEGMENT_BYTES);
    }
    mem_free(mem, lookup->segments, lookup->segment_capacity * sizeof *lookup->segments);
    *lookup = (struct lookup){ 0 };
}

uint64_t lookup_hash(const struct lookup *lookup, struct bytes key)
{
    return hash_sip(lookup->secret, key);
}

void lookup_prefetch(const struct lookup *lookup, uint64_t hash)
{
    __builtin_prefetch(bucket_at(lookup, bucket_of(lookup, hash)));
}

uint32_t lookup_find(const struct lookup *lookup, const struct slabs *slabs, uint64_t hash,
                     struct bytes key, struct lookup_work *work)
{
    uint32_t id = *bucket_at(lookup, bucket_of(lookup, hash));

    work->calls++;
    work->probes++;
    while (id != 0) {
        const struct entry *entry = slabs_entry(slabs, id);

        work->probes++;
        if (entry->key_size == key.size
            && memcmp(entry_key_of(entry).data, key.data, key.size) == 0) {
            break;
        }
        id = entry->lookup_next;
    }
    return id;
}

void lookup_insert(struct lookup *lookup, const struct slabs *slabs, uint32_t id, uint64_t hash)
{
    uint32_t *bucket = bucket_at(lookup, bucket_of(lookup, hash));

    slabs_entry(slabs, id)->lookup_next = *bucket;
    *bucket = id;
    lookup->entry_count++;
}

void lookup_grow(struct lookup *lookup, const struct slabs *slabs, struct mem *mem, uint64_t coming)
{
    const unsigned splits = coming == 0 ? LOOKUP_SPLITS : LOOKUP_SPLITS_AHEAD;

    for (unsigned i = 0; i < splits; i++) {
        if (lookup->bucket_count >= BUCKETS_PER_ENTRY * (lookup->entry_count + coming)
            || lookup->bucket_count == BUCKETS_MAX) {
            break;
        }
        if (lookup->bucket_count == lookup->segment_count * LOOKUP_SEGMENT_BUCKETS
            && !segment_add(lookup, mem)) {
            break;
        }
        bucket_split(lookup, slabs);
    }
}

uint32_t lookup_remove(struct lookup *lookup, const struct slabs *slabs, const struct entry *entry)
{
    const uint64_t hash = lookup_hash(lookup, entry_key_of(entry));
    uint32_t *link = bucket_at(lookup, bucket_of(lookup, hash));
    uint32_t id = *link;

    while (slabs_entry(slabs, id) != entry) {
        link = &slabs_entry(slabs, id)->lookup_next;
        id = *link;
        assert(id != 0);
    }
    *link = entry->lookup_next;
    lookup->entry_count--;
    return id;
}

void lookup_shrink(struct lookup *lookup, const struct slabs *slabs, struct mem *mem)
{
    for (unsigned i = 0; i <= BUCKETS_SPARE; i++) {
        if (lookup->bucket_count <= BUCKETS_SPARE * lookup->entry_count
            || lookup->bucket_count <= BUCKETS_MIN) {
            break;
        }
        bucket_join(lookup, slabs);
        if (lookup->bucket_count % LOOKUP_SEGMENT_BUCKETS == 0) {
            lookup->segment_count--;
            mem_free(mem, lookup->segments[lookup->segment_count], SEGMENT_BYTES);
        }
    }
}

void lookup_audit(const struct lookup *lookup, const struct slabs *slabs)
{
    uint64_t entries = 0;

    assert(lookup->bucket_count >= BUCKETS_MIN);
    assert(lookup->bucket_count <= lookup->segment_count * LOOKUP_SEGMENT_BUCKETS);
    for (uint64_t bucket = 0; bucket < lookup->bucket_count; bucket++) {
        for (uint32_t id = *bucket_at(lookup, bucket); id != 0;
             id = slabs_entry(slabs, id)->lookup_next) {
            const struct bytes key = entry_key_of(slabs_entry(slabs, id));

            assert(bucket_of(lookup, lookup_hash(lookup, key)) == bucket);
            entries++;
            assert(entries <= lookup->entry_count);
        }
    }
    assert(entries == lookup->entry_count);
}
