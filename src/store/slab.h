#ifndef STORE_SLAB_H
#define STORE_SLAB_H

/* Where entries live: slabs of 4 KiB, each for entries of one size in steps of 8 bytes. An entry is
 * known by an id of 31 bits, slab number << 9 | first unit, and never moves. Called by store/table
 * for memory, and by its indexes to follow ids.
 *
 * The directory of slabs is kept in pieces of 512 rows, so that its growth copies nothing but
 * pointers to pieces. A slab without entries is given back; its number is used again. */

#include "base/mem.h"
#include "store/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_BYTES        4096
#define SLAB_UNIT_BYTES   8
#define SLAB_UNITS        (SLAB_BYTES / SLAB_UNIT_BYTES)
#define SLAB_HEADER_UNITS 2
#define SLAB_SIZES        (ENTRY_BYTES_MAX / SLAB_UNIT_BYTES + 2) /* by units; 0 is unused */
#define SLAB_ROWS         512
#define SLAB_ID_SHIFT     9
#define SLAB_ROW_SHIFT    9
#define SLAB_NUMBERS_MAX  (UINT32_C(1) << (31 - SLAB_ID_SHIFT)) /* ids leave the top bit alone */

struct slab {
    uint32_t before; /* neighbours in its list, by number */
    uint32_t after;
    uint16_t fresh; /* first unit that no entry was in yet */
    uint16_t free;  /* first unit of a slot given back; 0: none */
    uint16_t used;  /* entries */
    uint8_t units;  /* of an entry */
    bool is_listed; /* it has free slots, and is in the list of its size */
    uint64_t words[SLAB_UNITS - SLAB_HEADER_UNITS];
};

_Static_assert(sizeof(struct slab) == SLAB_BYTES, "a header of two units");
_Static_assert(SLAB_UNITS == 1 << SLAB_ID_SHIFT && SLAB_ROWS == 1 << SLAB_ROW_SHIFT, "shifts");
_Static_assert(SLAB_SIZES - 1 <= UINT8_MAX, "units of an entry fit their field");

union slab_row {
    struct slab *slab;
    uint64_t next_free; /* number of another unused row; 0: none */
};

struct slabs {
    union slab_row **pieces;
    size_t piece_count;
    size_t piece_capacity;
    uint64_t rows_begun;        /* rows that ever had a slab; row 0 has none */
    uint64_t rows_free;         /* of them, without a slab now */
    uint64_t row_free_first;    /* their list */
    uint32_t lists[SLAB_SIZES]; /* of slabs with free slots, by units */
};

static inline struct slab *slabs_at(const struct slabs *slabs, uint32_t number)
{
    return slabs->pieces[number >> SLAB_ROW_SHIFT][number & (SLAB_ROWS - 1)].slab;
}

/* The entry of an id, which must not be 0. */
static inline struct entry *slabs_entry(const struct slabs *slabs, uint32_t id)
{
    struct slab *slab = slabs_at(slabs, id >> SLAB_ID_SHIFT);

    return (struct entry *)(void *)((uint64_t *)(void *)slab + (id & (SLAB_UNITS - 1)));
}

void slabs_init(struct slabs *slabs);

/* Give everything back, entries included; what their vectors hold is the caller's to free. */
void slabs_clear(struct slabs *slabs, struct mem *mem);

/* Room for an entry of so many bytes, not initialised. NULL: no memory, or no id. */
struct entry *slabs_alloc(struct slabs *slabs, struct mem *mem, size_t size, uint32_t *id_out);
void slabs_free(struct slabs *slabs, struct mem *mem, uint32_t id);

/* Abort unless lists, counts and slots agree; returns the number of entries. */
uint64_t slabs_audit(const struct slabs *slabs);

#endif /* STORE_SLAB_H */
