#ifndef STORE_PARTS_H
#define STORE_PARTS_H

/* Inlined elements (store/inlined.h) as the blocks they lie in, ascending. The blocks' views point
 * into the struct, which must not be copied. Called by store/vector only. */

#include "store/inlined.h"
#include "store/run.h"

struct parts {
    uint64_t values[INLINED_ELEMENTS_MAX];
    uint8_t offsets[INLINED_ELEMENTS_MAX];
    struct run_block blocks[INLINED_ELEMENTS_MAX + 1]; /* one more may be put between */
    unsigned count;
};

void parts_make(struct parts *parts, const struct inlined_element *elements, unsigned count);
void parts_of(const struct inlined *inlined, struct parts *parts);

/* Position of the first block whose number is >= number; the count when there is none. */
unsigned parts_seek(const struct parts *parts, uint64_t number);

/* The block of a number; of count 0 when it is not there. */
struct run_block parts_find(const struct parts *parts, uint64_t number);

#endif /* STORE_PARTS_H */
