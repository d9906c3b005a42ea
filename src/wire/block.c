#include "wire/block.h"

#include "base/bits.h"
#include "base/search.h"

#include <assert.h>
#include <stddef.h>

#define BLOCK_NUMBER_MAX ((UINT64_C(1) << 56) - 1)

uint64_t block_value(const struct block *block, unsigned i)
{
    assert(i < block->count);
    switch (block->width) {
    case 0: return ((const uint8_t *)block->values)[i >> 3] >> (i & 7) & 1;
    case 1: return ((const uint8_t *)block->values)[i];
    case 2: return ((const uint16_t *)block->values)[i];
    case 4: return ((const uint32_t *)block->values)[i];
    default: break;
    }
    assert(block->width == 8);
    return ((const uint64_t *)block->values)[i];
}

uint64_t block_get(const struct block *block, unsigned offset)
{
    unsigned from = 0;
    unsigned to = block->count;

    assert(offset < BLOCK_ELEMENTS);
    if (block->offsets == NULL) {
        return block_value(block, offset);
    }
    SEARCH_FIRST(from, to, at, block->offsets[at] < offset);
    if (from == block->count || block->offsets[from] != offset) {
        return 0;
    }
    return block_value(block, from);
}

struct mark block_mark(const struct block *block)
{
    struct mark mark = { .number = block->number };

    for (unsigned i = 0; i < block->count; i++) {
        if (block_value(block, i) != 0) {
            mark_set(&mark, block_offset(block, i));
        }
    }
    return mark;
}

void block_audit(const struct block *block)
{
    assert(block->number <= BLOCK_NUMBER_MAX);
    assert(block->width <= 8);
    assert((block->width & (block->width - 1)) == 0);
    assert(block->values != NULL);
    assert(block->width == 0 || (uintptr_t)block->values % block->width == 0);
    if (block->offsets == NULL) {
        assert(block->count == BLOCK_ELEMENTS);
        return;
    }
    assert(block->width > 0); /* a bitmap names its offsets itself */
    assert(block->count >= 1);
    assert(block->count <= BLOCK_ELEMENTS);
    for (unsigned i = 0; i < block->count; i++) {
        assert(i == 0 || block->offsets[i - 1] < block->offsets[i]);
    }
}

void mark_or(struct mark *into, const struct mark *from)
{
    assert(into->number == from->number);
    for (unsigned i = 0; i < 4; i++) {
        into->bits[i] |= from->bits[i];
    }
}

void mark_and_not(struct mark *into, const struct mark *from)
{
    assert(into->number == from->number);
    for (unsigned i = 0; i < 4; i++) {
        into->bits[i] &= ~from->bits[i];
    }
}

bool mark_empty(const struct mark *mark)
{
    return (mark->bits[0] | mark->bits[1] | mark->bits[2] | mark->bits[3]) == 0;
}

unsigned mark_count(const struct mark *mark)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 4; i++) {
        count += bits_count(mark->bits[i]);
    }
    return count;
}

unsigned mark_next(const struct mark *mark, unsigned from)
{
    if (from >= BLOCK_ELEMENTS) {
        return BLOCK_ELEMENTS;
    }
    for (unsigned i = from >> 6; i < 4; i++) {
        uint64_t bits = mark->bits[i];

        if (i == from >> 6) {
            bits &= ~UINT64_C(0) << (from & 63);
        }
        if (bits != 0) {
            return i << 6 | (unsigned)__builtin_ctzll(bits);
        }
    }
    return BLOCK_ELEMENTS;
}
