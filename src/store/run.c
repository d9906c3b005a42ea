#include "store/run.h"

#include "base/search.h"
#include "store/merge.h"

#include <string.h>

#define BITMAP_UNITS (BLOCK_BITMAP_BYTES / RUN_UNIT_BYTES)

static unsigned dense_units(unsigned class)
{
    return class == 0 ? BITMAP_UNITS : run_class_width[class] * (BLOCK_ELEMENTS / RUN_UNIT_BYTES);
}

static unsigned sparse_units(unsigned class, unsigned count)
{
    return (count * (run_class_width[class] + 1U) + RUN_UNIT_BYTES - 1) / RUN_UNIT_BYTES;
}

static bool is_dense(unsigned class, unsigned count)
{
    return count >= run_class_dense_from[class];
}

unsigned run_block_units(unsigned class, unsigned count)
{
    return is_dense(class, count) ? dense_units(class) : sparse_units(class, count);
}

unsigned run_class(uint64_t bits)
{
    if (bits <= 1) {
        return 0;
    }
    if (bits <= UINT8_MAX) {
        return 1;
    }
    if (bits <= UINT16_MAX) {
        return 2;
    }
    return bits <= UINT32_MAX ? 3 : 4;
}

struct run_block run_block_measure(const struct block *view)
{
    struct run_block block = { .view = *view };
    uint64_t bits = 0;

    for (unsigned i = 0; i < view->count; i++) {
        const uint64_t value = merge_load(view->values, view->width, i);

        bits |= value;
        block.count += value != 0;
    }
    block.class = run_class(bits);
    return block;
}

size_t run_units_needed(size_t used, size_t count)
{
    return RUN_HEADER_UNITS + used + (count * RUN_SLOT_BYTES + RUN_UNIT_BYTES - 1) / RUN_UNIT_BYTES;
}

size_t run_units_rounded(size_t units)
{
    /* malloc hands out 24, 40, 56... bytes: odd numbers of units. */
    const size_t rounded = (units + (units < 32 ? 0 : units / 8)) | 1;

    return units <= RUN_UNITS_MAX && rounded > RUN_UNITS_MAX ? RUN_UNITS_MAX : rounded;
}

struct vector_run *run_create(struct mem *mem, size_t units)
{
    struct vector_run *run;

    assert(units >= 1);
    assert(units <= RUN_UNITS_MAX);
    run = mem_alloc(mem, units * RUN_UNIT_BYTES);
    if (run != NULL) {
        *run = (struct vector_run){ .capacity = (uint16_t)units };
    }
    return run;
}

void run_free(struct vector_run *run, struct mem *mem)
{
    mem_free(mem, run, run_bytes(run));
}

static uint64_t *heads_of(struct vector_run *run)
{
    return (uint64_t *)(void *)run + run->capacity - run->count;
}

static uint16_t *ties_of(struct vector_run *run)
{
    return (uint16_t *)(void *)heads_of(run) - run->count;
}

/* Heads and ties follow the end of the allocation. */
static void slots_move(struct vector_run *run, size_t capacity)
{
    const void *from = run_ties(run);

    run->capacity = (uint16_t)capacity;
    memmove(ties_of(run), from, (size_t)run->count * RUN_SLOT_BYTES);
}

struct vector_run *run_resize(struct vector_run *run, struct mem *mem, size_t units)
{
    const size_t before = run->capacity;
    struct vector_run *resized;

    assert(units <= RUN_UNITS_MAX);
    assert(units >= run_units_needed(run->used, run->count));
    if (units < before) {
        slots_move(run, units);
    }
    resized = mem_grow(mem, run, before * RUN_UNIT_BYTES, units * RUN_UNIT_BYTES);
    if (resized == NULL) {
        if (units < before) {
            slots_move(run, before);
        }
        return NULL;
    }
    if (units > before) {
        slots_move(resized, units);
    }
    return resized;
}

unsigned run_search(const struct vector_run *run, uint64_t number)
{
    const uint64_t *heads = run_heads(run);
    const uint64_t wanted = number << 8;
    unsigned from = 0;
    unsigned to = run->count;

    SEARCH_FIRST(from, to, at, heads[at] < wanted);
    return from;
}

bool run_fits(const struct vector_run *run, size_t more_units, unsigned more_count)
{
    return run_units_needed(run->used + more_units, run->count + more_count) <= run->capacity;
}

static void dense_pack(const struct run_block *block, void *payload)
{
    const struct block *view = &block->view;
    const unsigned width = block->class == 0 ? 0 : run_class_width[block->class];
    const size_t bytes = (size_t)dense_units(block->class) * RUN_UNIT_BYTES;

    if (view->offsets == NULL && view->width == width) {
        memcpy(payload, view->values, bytes);
        return;
    }
    memset(payload, 0, bytes);
    for (unsigned i = 0; i < view->count; i++) {
        const uint64_t value = merge_load(view->values, view->width, i);

        if (value != 0) {
            merge_store(payload, width, block_offset(view, i), value);
        }
    }
}

static void sparse_pack(const struct run_block *block, void *payload)
{
    const struct block *view = &block->view;
    const unsigned width = run_class_width[block->class];
    uint8_t *offsets = (uint8_t *)payload + (size_t)block->count * width;
    unsigned n = 0;

    for (unsigned i = 0; i < view->count; i++) {
        const uint64_t value = merge_load(view->values, view->width, i);

        if (value != 0) {
            assert(n < block->count);
            merge_store(payload, width, n, value);
            offsets[n++] = (uint8_t)block_offset(view, i);
        }
    }
    assert(n == block->count);
}

void run_pack(const struct run_block *block, void *payload)
{
    if (is_dense(block->class, block->count)) {
        dense_pack(block, payload);
    } else {
        sparse_pack(block, payload);
    }
}

/* One more element between those that are there, all in the same width: how a sketch fills. */
static void sparse_pack_one(const struct block *ours, const struct block *one, void *payload)
{
    const uint8_t *values = ours->values;
    const size_t width = ours->width;
    const size_t count = ours->count;
    const unsigned at = merge_seek(ours->offsets, 0, ours->count, one->offsets[0]);
    uint8_t *to = payload;
    uint8_t *offsets = to + (count + 1) * width;

    memcpy(to, values, at * width);
    merge_store(payload, ours->width, at, merge_load(one->values, one->width, 0));
    memcpy(to + (at + 1) * width, values + at * width, (count - at) * width);
    memcpy(offsets, ours->offsets, at);
    offsets[at] = one->offsets[0];
    memcpy(offsets + at + 1, ours->offsets + at, count - at);
}

void run_pack_joined(const struct run_block *joined, const struct run_block *ours,
                     const struct block *theirs, void *payload)
{
    struct block_room room;
    struct run_block block = *joined;

    if (theirs->offsets != NULL && theirs->count == 1 && ours->view.offsets != NULL
        && joined->class == ours->class && !is_dense(joined->class, joined->count)) {
        assert(joined->count == ours->count + 1);
        sparse_pack_one(&ours->view, theirs, payload);
        return;
    }
    block.view = ours->count == 0 ? *theirs : merge_union(&ours->view, theirs, &room);
    run_pack(&block, payload);
}

/* Heads and ties make place for one more in front of `slot`: those in front of it move down by a
 * head and a tie, the ties from it on by a head. */
static void slot_open(struct vector_run *run, unsigned slot)
{
    uint64_t *heads = heads_of(run);
    uint16_t *ties = ties_of(run);

    memmove(ties - 5, ties, slot * sizeof *ties);
    memmove(ties + slot - 4, ties + slot, (run->count - slot) * sizeof *ties);
    memmove(heads - 1, heads, slot * sizeof *heads);
    run->count++;
}

/* Eight ties at a time, which gcc does not at -O2. */
static void ties_add(uint16_t *ties, unsigned count, unsigned more)
{
    typedef uint16_t lanes __attribute__((vector_size(16)));
    enum { LANES = sizeof(lanes) / sizeof ties[0] };
    const lanes all = (lanes){ 0 } + (uint16_t)more;
    unsigned i = 0;

    for (; count - i >= LANES; i += LANES) {
        lanes part;

        memcpy(&part, ties + i, sizeof part);
        part += all;
        memcpy(ties + i, &part, sizeof part);
    }
    for (; i < count; i++) {
        ties[i] = (uint16_t)(ties[i] + more);
    }
}

/* The payload between two units gets another size: move what comes after, and say so in the ties
 * from `slot` on. */
static void payload_resize(struct vector_run *run, unsigned slot, unsigned end, unsigned grown)
{
    if (grown > 0 && end < run->used) {
        memmove(run->words + end + grown, run->words + end,
                (size_t)(run->used - end) * RUN_UNIT_BYTES);
        ties_add(ties_of(run) + slot, run->count - slot, grown << 3);
    }
    run->used = (uint16_t)(run->used + grown);
}

static void slot_write(struct vector_run *run, unsigned slot, unsigned unit,
                       const struct run_block *block)
{
    heads_of(run)[slot] = block->view.number << 8 | (block->count - 1);
    ties_of(run)[slot] = (uint16_t)(unit << 3 | block->class);
}

void run_insert(struct vector_run *run, unsigned slot, const struct run_block *block,
                const void *payload)
{
    const unsigned unit = run_unit(run, slot);
    const unsigned units = run_block_units(block->class, block->count);

    assert(run_fits(run, units, 1));
    payload_resize(run, slot, unit, units);
    slot_open(run, slot);
    slot_write(run, slot, unit, block);
    memcpy(run->words + unit, payload, (size_t)units * RUN_UNIT_BYTES);
}

void run_replace(struct vector_run *run, unsigned slot, const struct run_block *block,
                 const void *payload)
{
    const unsigned unit = run_unit(run, slot);
    const unsigned units = run_block_units(block->class, block->count);
    const unsigned end = run_unit(run, slot + 1);

    assert(unit + units >= end);
    assert(run_fits(run, unit + units - end, 0));
    payload_resize(run, slot + 1, end, unit + units - end);
    slot_write(run, slot, unit, block);
    memcpy(run->words + unit, payload, (size_t)units * RUN_UNIT_BYTES);
}

unsigned run_max_stretch(struct vector_run *run, unsigned slot, const struct vector_run *theirs,
                         unsigned from)
{
    const uint64_t *our_heads = run_heads(run) + slot;
    const uint64_t *their_heads = run_heads(theirs) + from;
    const uint16_t *our_ties = run_ties(run) + slot;
    const uint16_t *their_ties = run_ties(theirs) + from;
    const unsigned ours_left = run->count - slot;
    const unsigned theirs_left = theirs->count - from;
    const unsigned most = ours_left < theirs_left ? ours_left : theirs_left;
    unsigned count = 0;

    while (count < most && our_heads[count] == their_heads[count]
           && (our_heads[count] & 0xff) == 0xff && (our_ties[count] & 7) == 1
           && (their_ties[count] & 7) == 1) {
        count++;
    }
    if (count > 0) {
        merge_max_stretch(run->words + run_unit(run, slot), theirs->words + run_unit(theirs, from),
                          count);
    }
    return count;
}

unsigned run_max(struct vector_run *run, unsigned slot, const struct block *theirs)
{
    void *values = run->words + run_unit(run, slot);
    const unsigned before = (unsigned)(run_heads(run)[slot] & 0xff) + 1;
    unsigned after;

    merge_max(values, theirs->values, theirs->width);
    if (before == BLOCK_ELEMENTS) {
        return 0;
    }
    after = merge_dense_count(values, theirs->width);
    heads_of(run)[slot] += after - before;
    return after - before;
}

void run_count(struct vector_run *run, unsigned slot, unsigned fresh_count)
{
    heads_of(run)[slot] += fresh_count;
}

/* Where the value of an offset stands, which the block has; not before position `from`. */
static unsigned value_position(const struct block *block, unsigned from, unsigned offset)
{
    if (block->offsets == NULL) {
        return offset;
    }
    from = merge_seek(block->offsets, from, block->count, offset);
    assert(from < block->count);
    assert(block->offsets[from] == offset);
    return from;
}

void run_raise(struct vector_run *run, unsigned slot, const struct block *theirs,
               const struct mark *raised, unsigned fresh_count)
{
    const struct block ours = run_view(run, slot);
    const unsigned width = ours.width;
    void *values = run->words + run_unit(run, slot);
    unsigned ours_from = 0;
    unsigned theirs_from = 0;

    for (unsigned group = 0; group < 4; group++) {
        for (uint64_t bits = raised->bits[group]; bits != 0; bits &= bits - 1) {
            const unsigned offset = group * 64 + (unsigned)__builtin_ctzll(bits);

            ours_from = value_position(&ours, ours_from, offset);
            theirs_from = value_position(theirs, theirs_from, offset);
            merge_store(values, width, ours_from,
                        merge_load(theirs->values, theirs->width, theirs_from));
        }
    }
    heads_of(run)[slot] += fresh_count;
}

void run_split(struct vector_run *run, unsigned slot, struct vector_run *upper)
{
    const unsigned unit = run_unit(run, slot);
    const unsigned count = run->count - slot;
    const unsigned units = run->used - unit;

    assert(upper->count == 0);
    assert(run_fits(upper, units, count));
    if (count == 0) {
        return;
    }
    upper->used = (uint16_t)units;
    upper->count = (uint16_t)count;
    memcpy(upper->words, run->words + unit, (size_t)units * RUN_UNIT_BYTES);
    memcpy(heads_of(upper), run_heads(run) + slot, count * sizeof(uint64_t));
    for (unsigned i = 0; i < count; i++) {
        ties_of(upper)[i] = (uint16_t)(run_ties(run)[slot + i] - (unit << 3));
    }
    /* What stays keeps its heads and ties at the end: they move up by what left. */
    memmove(heads_of(run) + count, heads_of(run), slot * sizeof(uint64_t));
    memmove((uint8_t *)(heads_of(run) + count) - slot * sizeof(uint16_t), run_ties(run),
            slot * sizeof(uint16_t));
    run->used = (uint16_t)unit;
    run->count = (uint16_t)slot;
}

uint64_t run_audit(const struct vector_run *run)
{
    uint64_t elements = 0;
    unsigned unit = 0;

    assert(run->count >= 1);
    assert(run->capacity <= RUN_UNITS_MAX);
    assert(run_fits(run, 0, 0));
    for (unsigned slot = 0; slot < run->count; slot++) {
        struct run_block kept;
        struct run_block found;

        run_block_at(run, slot, &kept);
        found = run_block_measure(&kept.view);
        block_audit(&kept.view);
        assert(slot == 0 || run_number(run, slot - 1) < kept.view.number);
        assert(kept.class == found.class);
        assert(kept.count == found.count);
        assert(run_unit(run, slot) == unit);
        unit += run_block_units(kept.class, kept.count);
        elements += kept.count;
    }
    assert(unit == run->used);
    return elements;
}
