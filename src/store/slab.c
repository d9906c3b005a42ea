#include "store/slab.h"

#include <assert.h>

#define SLAB_HEADER_UNITS  2
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

/* Rows for `count` slabs beyond those promised. Pieces that were added before a failure stay: they
 * are in nobody's way. */
static bool rows_ensure(struct slabs *slabs, struct mem *mem, uint64_t count)
{
    const uint64_t room = SLAB_NUMBERS_MAX - slabs->rows_begun + slabs->rows_free;

    if (slabs->promised > room || count > room - slabs->promised) {
        return false;
    }
    while (slabs->piece_count * SLAB_ROWS + slabs->rows_free
           < slabs->rows_begun + slabs->promised + count) {
        if (!piece_add(slabs, mem)) {
            return false;
        }
    }
    return true;
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

static void list_add(struct slabs *slabs, uint32_t *first, uint32_t number, enum slab_list list)
{
    struct slab *slab = slabs_at(slabs, number);

    slab->list = (uint8_t)list;
    slab->before = 0;
    slab->after = *first;
    if (*first != 0) {
        slabs_at(slabs, *first)->before = number;
    }
    *first = number;
}

static void list_remove(struct slabs *slabs, uint32_t *first, uint32_t number)
{
    struct slab *slab = slabs_at(slabs, number);

    if (slab->before != 0) {
        slabs_at(slabs, slab->before)->after = slab->after;
    } else {
        assert(*first == number);
        *first = slab->after;
    }
    if (slab->after != 0) {
        slabs_at(slabs, slab->after)->before = slab->before;
    }
    slab->list = SLAB_IN_NO_LIST;
}

static bool slab_full(const struct slab *slab)
{
    return slab->free == 0 && SLAB_UNITS - slab->fresh < slab->units;
}

static uint16_t *slot_next(struct slab *slab, unsigned unit)
{
    return (uint16_t *)(void *)((uint64_t *)(void *)slab + unit);
}

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

/* A new slab, in the reservation's own list or in the shared one. Returns its number, or 0. */
static uint32_t slab_add(struct slabs *slabs, struct mem *mem, unsigned units,
                         struct reservation *reservation)
{
    struct slab *slab;
    uint32_t number;
    const bool promised = reservation != NULL && reservation->slabs > 0;

    if (!promised && !rows_ensure(slabs, mem, 1)) {
        return 0;
    }
    slab = mem_alloc(mem, sizeof *slab);
    if (slab == NULL) {
        return 0;
    }
    slab->fresh = SLAB_HEADER_UNITS;
    slab->free = 0;
    slab->used = 0;
    slab->units = (uint8_t)units;
    number = row_take(slabs, slab);
    if (promised) {
        reservation->slabs--;
        slabs->promised--;
        list_add(slabs, &reservation->slab_own, number, SLAB_IN_OWN);
    } else {
        list_add(slabs, &slabs->shared[units], number, SLAB_IN_SHARED);
    }
    return number;
}

/* A slab with a free slot that the reservation owns, or 0. The list has one for each size. */
static uint32_t own_find(const struct slabs *slabs, const struct reservation *reservation,
                         unsigned units)
{
    uint32_t number = reservation == NULL ? 0 : reservation->slab_own;

    while (number != 0 && slabs_at(slabs, number)->units != units) {
        number = slabs_at(slabs, number)->after;
    }
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

struct entry *slabs_alloc(struct slabs *slabs, struct mem *mem, size_t size,
                          struct reservation *reservation, uint32_t *id_out)
{
    const unsigned units = (unsigned)((size + SLAB_UNIT_BYTES - 1) / SLAB_UNIT_BYTES);
    uint32_t number;
    struct slab *slab;

    assert(units > 0 && units < SLAB_SIZES);
    number = own_find(slabs, reservation, units);
    if (number == 0) {
        number = slabs->shared[units];
    }
    if (number == 0) {
        number = slab_add(slabs, mem, units, reservation);
    }
    if (number == 0) {
        return NULL;
    }
    slab = slabs_at(slabs, number);
    *id_out = number << SLAB_ID_SHIFT | slot_take(slab);
    if (slab_full(slab)) {
        list_remove(slabs,
                    slab->list == SLAB_IN_OWN ? &reservation->slab_own : &slabs->shared[units],
                    number);
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
    if (slab->list == SLAB_IN_NO_LIST) {
        list_add(slabs, &slabs->shared[slab->units], number, SLAB_IN_SHARED);
    }
    if (slab->used == 0 && slab->list == SLAB_IN_SHARED) {
        list_remove(slabs, &slabs->shared[slab->units], number);
        mem_free(mem, slab, sizeof *slab);
        row_give(slabs, number);
    }
}

uint64_t slabs_needed_max(uint64_t keys)
{
    const uint64_t each = (SLAB_UNITS - SLAB_HEADER_UNITS) / (SLAB_SIZES - 1);

    return keys / each + (keys < SLAB_SIZES - 1 ? keys : SLAB_SIZES - 1);
}

bool slabs_promise(struct slabs *slabs, struct mem *mem, uint64_t count)
{
    if (!rows_ensure(slabs, mem, count)) {
        return false;
    }
    slabs->promised += count;
    return true;
}

void slabs_release(struct slabs *slabs, struct mem *mem, struct reservation *reservation)
{
    assert(slabs->promised >= reservation->slabs);
    slabs->promised -= reservation->slabs;
    reservation->slabs = 0;
    while (reservation->slab_own != 0) {
        const uint32_t number = reservation->slab_own;
        struct slab *slab = slabs_at(slabs, number);

        list_remove(slabs, &reservation->slab_own, number);
        if (slab->used == 0) {
            mem_free(mem, slab, sizeof *slab);
            row_give(slabs, number);
        } else {
            list_add(slabs, &slabs->shared[slab->units], number, SLAB_IN_SHARED);
        }
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
    assert(slab_full(slab) == (slab->list == SLAB_IN_NO_LIST));
    assert(slab->used > 0 || slab->list == SLAB_IN_OWN);
}

uint64_t slabs_audit(const struct slabs *slabs)
{
    const uint64_t rows = slabs->piece_count * SLAB_ROWS;
    uint64_t entries = 0;
    uint64_t listed = 0;
    uint64_t shared = 0;
    uint64_t unused = 0;

    for (uint64_t number = slabs->row_free_first; number != 0;
         number = row_at(slabs, number)->next_free) {
        assert(number < slabs->rows_begun);
        unused++;
        assert(unused <= slabs->rows_free);
    }
    assert(unused == slabs->rows_free);
    assert(slabs->rows_begun <= rows || slabs->rows_begun == 1);
    assert(slabs->promised == 0 || rows + slabs->rows_free >= slabs->rows_begun + slabs->promised);
    for (uint64_t number = 1; number < slabs->rows_begun; number++) {
        const union slab_row *row = row_at(slabs, number);

        /* An address is never as small as the number of a row. */
        if (row->next_free >= SLAB_NUMBERS_MAX) {
            slab_audit(row->slab);
            entries += row->slab->used;
            shared += row->slab->list == SLAB_IN_SHARED;
        }
    }
    for (unsigned units = 0; units < SLAB_SIZES; units++) {
        for (uint32_t number = slabs->shared[units]; number != 0;
             number = slabs_at(slabs, number)->after) {
            assert(slabs_at(slabs, number)->units == units);
            assert(slabs_at(slabs, number)->list == SLAB_IN_SHARED);
            listed++;
            assert(listed <= shared);
        }
    }
    assert(listed == shared);
    return entries;
}
