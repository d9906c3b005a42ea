#include "store/slab.h"

#include <assert.h>

#define PIECE_BYTES        (SLAB_ROWS * sizeof(union slab_row))
#define PIECE_CAPACITY_MIN 4

static union slab_row *row_at(const struct slabs *slabs, uint64_t number)
{
    return &slabs->pieces[number >> SLAB_ROW_SHIFT][number & (SLAB_ROWS - 1)];
}

static bool piece_add(struct slabs *slabs, struct mem *mem)
{
    const size_t old = slabs->piece_capacity;

    if (slabs->piece_count == old) {
        const size_t capacity = old == 0 ? PIECE_CAPACITY_MIN : 2 * old;
        void *pieces = mem_grow(mem, slabs->pieces, old * sizeof *slabs->pieces,
                                capacity * sizeof *slabs->pieces);

        if (pieces == NULL) {
            return false;
        }
        slabs->pieces = pieces;
        slabs->piece_capacity = capacity;
    }
    slabs->pieces[slabs->piece_count] = mem_alloc(mem, PIECE_BYTES);
    if (slabs->pieces[slabs->piece_count] == NULL) {
        return false;
    }
    slabs->piece_count++;
    return true;
}

/* A row for one more slab. */
static bool row_ensure(struct slabs *slabs, struct mem *mem)
{
    if (slabs->rows_free > 0 || slabs->rows_begun < slabs->piece_count * SLAB_ROWS) {
        return true;
    }
    return slabs->rows_begun < SLAB_NUMBERS_MAX && piece_add(slabs, mem);
}

static uint32_t row_take(struct slabs *slabs, struct slab *slab)
{
    uint64_t number = slabs->row_free_first;

    if (number != 0) {
        slabs->row_free_first = row_at(slabs, number)->next_free;
        slabs->rows_free--;
    } else {
        assert(slabs->rows_begun < slabs->piece_count * SLAB_ROWS);
        number = slabs->rows_begun++;
    }
    row_at(slabs, number)->slab = slab;
    return (uint32_t)number;
}

static void row_give(struct slabs *slabs, uint32_t number)
{
    row_at(slabs, number)->next_free = slabs->row_free_first;
    slabs->row_free_first = number;
    slabs->rows_free++;
}

static void list_add(struct slabs *slabs, uint32_t number)
{
    struct slab *slab = slabs_at(slabs, number);
    uint32_t *first = &slabs->lists[slab->units];

    slab->is_listed = true;
    slab->before = 0;
    slab->after = *first;
    if (*first != 0) {
        slabs_at(slabs, *first)->before = number;
    }
    *first = number;
}

static void list_remove(struct slabs *slabs, uint32_t number)
{
    struct slab *slab = slabs_at(slabs, number);

    if (slab->before != 0) {
        slabs_at(slabs, slab->before)->after = slab->after;
    } else {
        assert(slabs->lists[slab->units] == number);
        slabs->lists[slab->units] = slab->after;
    }
    if (slab->after != 0) {
        slabs_at(slabs, slab->after)->before = slab->before;
    }
    slab->is_listed = false;
}

/* Only slabs with room are listed, so that the first of a list always takes one more. */
static bool slab_full(const struct slab *slab)
{
    return slab->free == 0 && SLAB_UNITS - slab->fresh < slab->units;
}

/* Where a free slot names the next one: in itself, so that a slab needs no list beside it. */
static uint16_t *slot_next(struct slab *slab, unsigned unit)
{
    return (uint16_t *)(void *)((uint64_t *)(void *)slab + unit);
}

/* What was freed goes first: it may still be in cache, and `fresh` memory was never touched. */
static unsigned slot_take(struct slab *slab)
{
    unsigned unit = slab->free;

    if (unit != 0) {
        slab->free = *slot_next(slab, unit);
    } else {
        unit = slab->fresh;
        slab->fresh = (uint16_t)(unit + slab->units);
    }
    slab->used++;
    return unit;
}

/* A new slab in the list of its size. Returns its number, or 0. */
static uint32_t slab_add(struct slabs *slabs, struct mem *mem, unsigned units)
{
    struct slab *slab = row_ensure(slabs, mem) ? mem_alloc(mem, sizeof *slab) : NULL;
    uint32_t number;

    if (slab == NULL) {
        return 0;
    }
    slab->fresh = SLAB_HEADER_UNITS;
    slab->free = 0;
    slab->used = 0;
    slab->units = (uint8_t)units;
    number = row_take(slabs, slab);
    list_add(slabs, number);
    return number;
}

void slabs_init(struct slabs *slabs)
{
    *slabs = (struct slabs){ .rows_begun = 1 };
}

void slabs_clear(struct slabs *slabs, struct mem *mem)
{
    for (uint64_t number = slabs->row_free_first; number != 0;) {
        union slab_row *row = row_at(slabs, number);

        number = row->next_free;
        row->slab = NULL;
    }
    for (uint64_t number = 1; number < slabs->rows_begun; number++) {
        if (row_at(slabs, number)->slab != NULL) {
            mem_free(mem, row_at(slabs, number)->slab, sizeof(struct slab));
        }
    }
    for (size_t i = 0; i < slabs->piece_count; i++) {
        mem_free(mem, slabs->pieces[i], PIECE_BYTES);
    }
    mem_free(mem, slabs->pieces, slabs->piece_capacity * sizeof *slabs->pieces);
    slabs_init(slabs);
}

struct entry *slabs_alloc(struct slabs *slabs, struct mem *mem, size_t size, uint32_t *id_out)
{
    const unsigned units = (unsigned)((size + SLAB_UNIT_BYTES - 1) / SLAB_UNIT_BYTES);
    uint32_t number;
    struct slab *slab;

    assert(units > 0 && units < SLAB_SIZES);
    number = slabs->lists[units];
    if (number == 0) {
        number = slab_add(slabs, mem, units);
    }
    if (number == 0) {
        return NULL;
    }
    slab = slabs_at(slabs, number);
    *id_out = number << SLAB_ID_SHIFT | slot_take(slab);
    if (slab_full(slab)) {
        list_remove(slabs, number);
    }
    return slabs_entry(slabs, *id_out);
}

void slabs_free(struct slabs *slabs, struct mem *mem, uint32_t id)
{
    const uint32_t number = id >> SLAB_ID_SHIFT;
    struct slab *slab = slabs_at(slabs, number);
    const unsigned unit = id & (SLAB_UNITS - 1);

    assert(slab->used > 0);
    *slot_next(slab, unit) = slab->free;
    slab->free = (uint16_t)unit;
    slab->used--;
    if (!slab->is_listed) {
        list_add(slabs, number);
    }
    if (slab->used == 0) {
        list_remove(slabs, number);
        mem_free(mem, slab, sizeof *slab);
        row_give(slabs, number);
    }
}

static void slab_audit(const struct slab *slab)
{
    unsigned slots = 0;

    assert(slab->units > 0 && slab->units < SLAB_SIZES);
    assert((slab->fresh - SLAB_HEADER_UNITS) % slab->units == 0);
    for (unsigned unit = slab->free; unit != 0;
         unit = *(const uint16_t *)(const void *)((const uint64_t *)(const void *)slab + unit)) {
        assert(unit >= SLAB_HEADER_UNITS && unit < slab->fresh);
        assert((unit - SLAB_HEADER_UNITS) % slab->units == 0);
        slots++;
        assert(slots <= SLAB_UNITS);
    }
    assert((unsigned)(slab->fresh - SLAB_HEADER_UNITS) / slab->units == slots + slab->used);
    assert(slab_full(slab) == !slab->is_listed);
    assert(slab->used > 0);
}

uint64_t slabs_audit(const struct slabs *slabs)
{
    const uint64_t rows = slabs->piece_count * SLAB_ROWS;
    uint64_t entries = 0;
    uint64_t listed = 0;
    uint64_t with_room = 0;
    uint64_t unused = 0;

    for (uint64_t number = slabs->row_free_first; number != 0;
         number = row_at(slabs, number)->next_free) {
        assert(number < slabs->rows_begun);
        unused++;
        assert(unused <= slabs->rows_free);
    }
    assert(unused == slabs->rows_free);
    assert(slabs->rows_begun <= rows || slabs->rows_begun == 1);
    for (uint64_t number = 1; number < slabs->rows_begun; number++) {
        const union slab_row *row = row_at(slabs, number);

        /* An address is never as small as the number of a row. */
        if (row->next_free >= SLAB_NUMBERS_MAX) {
            slab_audit(row->slab);
            entries += row->slab->used;
            with_room += row->slab->is_listed;
        }
    }
    for (unsigned units = 0; units < SLAB_SIZES; units++) {
        for (uint32_t number = slabs->lists[units]; number != 0;
             number = slabs_at(slabs, number)->after) {
            assert(slabs_at(slabs, number)->units == units);
            assert(slabs_at(slabs, number)->is_listed);
            listed++;
            assert(listed <= with_room);
        }
    }
    assert(listed == with_room);
    return entries;
}
