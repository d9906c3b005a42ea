#ifndef STORE_INLINED_H
#define STORE_INLINED_H

/* The few elements that live in struct vector itself, without an allocation. Called by
 * store/vector only, which knows whether a vector is in that form.
 *
 * Of each element a byte with the sizes of index (high four bits) and value (low), then the two,
 * lowest byte first and as many bytes as they need, ascending by index:
 *
 *     {0: 5, 300: 1} is 01 05 | 21 2c 01 01
 */

#include "store/merge_result.h"

#include <stdbool.h>
#include <stdint.h>

/* An element takes a byte and as many bytes as its index and its value need: a register of a sketch
 * 3 or 4, the sketch's header 7. So three registers beside a header, or five without, cost no
 * allocation (bench/memory). */
#define INLINED_BYTES        22
#define INLINED_ELEMENTS_MAX 7 /* of 3 bytes each, index 0 of 2 */

struct inlined {
    uint8_t elements[INLINED_BYTES]; /* ascending by index */
    uint8_t count;                   /* elements */
    uint8_t form;                    /* store/vector.c alone */
};

struct inlined_element {
    uint64_t index;
    uint64_t value;
};

/* Take the elements out. Returns how many. */
unsigned inlined_read(const struct inlined *inlined,
                      struct inlined_element elements[INLINED_ELEMENTS_MAX]);

/* Whether they have room in the struct. */
bool inlined_fits(const struct inlined_element *elements, unsigned count);

/* Put back elements that fit. */
void inlined_write(struct inlined *inlined, const struct inlined_element *elements, unsigned count);

/* Join one element that is there already, as that of almost every datagram is, where it stands.
 * False, and nothing done: it is not there, its value is 0, or the larger value does not fit.
 *
 * result  as vector_merge() */
bool inlined_join_one(struct inlined *inlined, uint64_t index, uint64_t value, uint64_t salt,
                      struct merge_result *result);

/* Abort unless order and sizes are as said above. */
void inlined_audit(const struct inlined *inlined);

#endif /* STORE_INLINED_H */
