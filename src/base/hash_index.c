#include "base/hash_index.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define SLOTS_FIRST 16
#define SLOTS_SPLIT 512 /* a segment of so many is split rather than doubled: 4 KiB */
#define DEPTH_MAX   16  /* beyond, segments are doubled; by then there are 32 million slots */
#define HASH_BITS   32

/* A slot is 0, or the hash above the position + 1. */
struct hash_segment {
    uint32_t slot_count; /* a power of two */
    uint32_t used;
    unsigned depth; /* upper bits that the hashes in it have in common */
    uint64_t slots[];
};

struct hash_index {
    unsigned depth;                  /* upper bits that choose a segment */
    struct hash_segment *segments[]; /* 2 ^ depth; several may be the same */
};

static size_t index_bytes(unsigned depth)
{
    return sizeof(struct hash_index) + (sizeof(struct hash_segment *) << depth);
}

static size_t segment_bytes(uint32_t slot_count)
{
    return sizeof(struct hash_segment) + slot_count * sizeof(uint64_t);
}

/* Where a hash's segment stands in a directory of so many bits. */
static uint32_t directory_place(uint32_t hash, unsigned depth)
{
    return depth == 0 ? 0 : hash >> (HASH_BITS - depth);
}

static struct hash_segment *segment_of(const struct hash_index *index, uint32_t hash)
{
    return index->segments[directory_place(hash, index->depth)];
}

static struct hash_segment *segment_new(struct mem *mem, uint32_t slot_count, unsigned depth)
{
    struct hash_segment *segment = mem_alloc_zeroed(mem, segment_bytes(slot_count));

    if (segment != NULL) {
        segment->slot_count = slot_count;
        segment->depth = depth;
    }
    return segment;
}

static void segment_free(struct hash_segment *segment, struct mem *mem)
{
    mem_free(mem, segment, segment == NULL ? 0 : segment_bytes(segment->slot_count));
}

static uint64_t slot_of(uint32_t hash, uint32_t position)
{
    return (uint64_t)hash << HASH_BITS | (position + 1);
}

static uint32_t slot_hash(uint64_t slot)
{
    return (uint32_t)(slot >> HASH_BITS);
}

static void segment_put(struct hash_segment *segment, uint64_t slot)
{
    const uint32_t bits = segment->slot_count - 1;
    uint32_t at = slot_hash(slot) & bits;

    while (segment->slots[at] != 0) {
        at = (at + 1) & bits;
    }
    segment->slots[at] = slot;
    segment->used++;
}

/* Five eighths: a split leaves them a third full. */
static bool segment_is_full(const struct hash_segment *segment)
{
    return segment->used >= segment->slot_count / 2 + segment->slot_count / 8;
}

/* Put one segment where another is in the directory: for all hashes that have its bits, or, one
 * bit deeper, for half of them. */
static void segment_place(struct hash_index *index, uint32_t hash, struct hash_segment *segment)
{
    const unsigned shift = index->depth - segment->depth;
    const uint32_t first = directory_place(hash, index->depth) >> shift << shift;

    for (uint32_t i = 0; i < UINT32_C(1) << shift; i++) {
        index->segments[first + i] = segment;
    }
}

static bool segment_double(struct hash_index *index, struct mem *mem, uint32_t hash)
{
    struct hash_segment *old = segment_of(index, hash);
    struct hash_segment *segment = segment_new(mem, old->slot_count * 2, old->depth);

    if (segment == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < old->slot_count; i++) {
        if (old->slots[i] != 0) {
            segment_put(segment, old->slots[i]);
        }
    }
    segment_place(index, hash, segment);
    segment_free(old, mem);
    return true;
}

/* Twice as many places, of which each two lead where one did. */
static bool directory_double(struct hash_index **index, struct mem *mem)
{
    const unsigned depth = (*index)->depth;
    struct hash_index *grown = mem_grow(mem, *index, index_bytes(depth), index_bytes(depth + 1));

    if (grown == NULL) {
        return false;
    }
    for (uint32_t i = UINT32_C(1) << depth; i-- > 0;) {
        grown->segments[2 * i] = grown->segments[i];
        grown->segments[2 * i + 1] = grown->segments[i];
    }
    grown->depth = depth + 1;
    *index = grown;
    return true;
}

static bool segment_split(struct hash_index **index, struct mem *mem, uint32_t hash)
{
    struct hash_segment *old = segment_of(*index, hash);
    const uint32_t bit = UINT32_C(1) << (HASH_BITS - 1 - old->depth);
    struct hash_segment *low;
    struct hash_segment *high;

    if (old->depth == (*index)->depth && !directory_double(index, mem)) {
        return false;
    }
    low = segment_new(mem, old->slot_count, old->depth + 1);
    high = segment_new(mem, old->slot_count, old->depth + 1);
    if (low == NULL || high == NULL) {
        segment_free(low, mem);
        segment_free(high, mem);
        return false;
    }
    for (uint32_t i = 0; i < old->slot_count; i++) {
        if (old->slots[i] != 0) {
            segment_put((slot_hash(old->slots[i]) & bit) == 0 ? low : high, old->slots[i]);
        }
    }
    segment_place(*index, hash & ~bit, low);
    segment_place(*index, hash | bit, high);
    segment_free(old, mem);
    return true;
}

static bool index_begin(struct hash_index **index, struct mem *mem)
{
    struct hash_index *begun = mem_alloc(mem, index_bytes(0));

    if (begun == NULL) {
        return false;
    }
    begun->depth = 0;
    begun->segments[0] = segment_new(mem, SLOTS_FIRST, 0);
    if (begun->segments[0] == NULL) {
        mem_free(mem, begun, index_bytes(0));
        return false;
    }
    *index = begun;
    return true;
}

void hash_index_clear(struct hash_index **index, struct mem *mem)
{
    uint32_t place = 0;

    if (*index == NULL) {
        return;
    }
    while (place < UINT32_C(1) << (*index)->depth) {
        struct hash_segment *segment = (*index)->segments[place];

        place += UINT32_C(1) << ((*index)->depth - segment->depth);
        segment_free(segment, mem);
    }
    mem_free(mem, *index, index_bytes((*index)->depth));
    *index = NULL;
}

bool hash_index_put(struct hash_index **index, struct mem *mem, uint32_t hash, uint32_t position)
{
    assert(position < HASH_INDEX_NONE);
    if (*index == NULL && !index_begin(index, mem)) {
        return false;
    }
    /* All hashes of a segment may have the next bit in common too. */
    while (segment_is_full(segment_of(*index, hash))) {
        const struct hash_segment *segment = segment_of(*index, hash);
        const bool splits = segment->slot_count >= SLOTS_SPLIT && segment->depth < DEPTH_MAX;

        if (!(splits ? segment_split(index, mem, hash) : segment_double(*index, mem, hash))) {
            return false;
        }
    }
    segment_put(segment_of(*index, hash), slot_of(hash, position));
    return true;
}

uint32_t hash_index_next(const struct hash_index *index, uint32_t hash, uint32_t *cursor)
{
    const struct hash_segment *segment;
    uint32_t bits;

    if (index == NULL) {
        return HASH_INDEX_NONE;
    }
    segment = segment_of(index, hash);
    bits = segment->slot_count - 1;
    for (;;) {
        const uint64_t slot = segment->slots[(hash + *cursor) & bits];

        if (slot == 0) {
            return HASH_INDEX_NONE;
        }
        ++*cursor;
        if (slot_hash(slot) == hash) {
            return (uint32_t)slot - 1;
        }
    }
}

void hash_index_remove(struct hash_index *index, uint32_t hash, uint32_t position)
{
    struct hash_segment *segment = segment_of(index, hash);
    const uint32_t bits = segment->slot_count - 1;
    uint32_t hole = hash & bits;

    while (segment->slots[hole] != slot_of(hash, position)) {
        assert(segment->slots[hole] != 0);
        hole = (hole + 1) & bits;
    }
    segment->slots[hole] = 0;
    segment->used--;
    /* Move back those behind it that could no longer be found. */
    for (uint32_t at = (hole + 1) & bits; segment->slots[at] != 0; at = (at + 1) & bits) {
        const uint32_t wanted = slot_hash(segment->slots[at]) & bits;

        if (((at - wanted) & bits) >= ((at - hole) & bits)) {
            segment->slots[hole] = segment->slots[at];
            segment->slots[at] = 0;
            hole = at;
        }
    }
}

void hash_index_expect(const struct hash_index *index, uint32_t hash)
{
    if (index != NULL) {
        const struct hash_segment *segment = segment_of(index, hash);

        __builtin_prefetch(&segment->slots[hash & (segment->slot_count - 1)]);
    }
}

static bool slot_is_found(const struct hash_index *index, uint64_t slot)
{
    uint32_t cursor = 0;
    uint32_t position;

    do {
        position = hash_index_next(index, slot_hash(slot), &cursor);
    } while (position != HASH_INDEX_NONE && position != (uint32_t)slot - 1);
    return position != HASH_INDEX_NONE;
}

uint32_t hash_index_audit(const struct hash_index *index)
{
    uint32_t count = 0;
    uint32_t place = 0;

    while (index != NULL && place < UINT32_C(1) << index->depth) {
        const struct hash_segment *segment = index->segments[place];
        uint32_t used = 0;

        assert(segment->depth <= index->depth && segment->used < segment->slot_count);
        for (uint32_t i = 0; i < segment->slot_count; i++) {
            if (segment->slots[i] != 0) {
                assert(segment_of(index, slot_hash(segment->slots[i])) == segment);
                assert(slot_is_found(index, segment->slots[i]));
                used++;
            }
        }
        assert(used == segment->used);
        count += used;
        place += UINT32_C(1) << (index->depth - segment->depth);
    }
    return count;
}
