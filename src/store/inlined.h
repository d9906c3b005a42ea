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

#include "store/run.h"
#include "store/vector.h"

#include <stdbool.h>
#include <stdint.h>

#define INLINED_ELEMENTS_MAX 7 /* of 3 bytes each, index 0 of 2 */

struct inlined_element {
    uint64_t index;
    uint64_t value;
};

/* Take the elements out. Returns how many. */
unsigned inlined_read(const struct vector *vector,
                      struct inlined_element elements[INLINED_ELEMENTS_MAX]);

/* Whether they have room in the struct. */
bool inlined_fits(const struct inlined_element *elements, unsigned count);

/* Put back elements that fit. */
void inlined_write(struct vector *vector, const struct inlined_element *elements, unsigned count);

/* Join one element that is there already, as that of almost every datagram is, where it stands.
 * False, and nothing done: it is not there, its value is 0, or the larger value does not fit.
 *
 * result  as vector_merge() */
bool inlined_join_one(struct vector *vector, uint64_t index, uint64_t value, uint64_t salt,
                      struct merge_result *result);

/* Inlined elements as blocks, ascending: their views point into the struct, which must not be
 * copied. */
struct inlined_parts {
    uint64_t values[INLINED_ELEMENTS_MAX];
    uint8_t offsets[INLINED_ELEMENTS_MAX];
    struct run_block blocks[INLINED_ELEMENTS_MAX + 1]; /* one more may be put between */
    unsigned count;
};

void inlined_parts_make(struct inlined_parts *parts, const struct inlined_element *elements,
                        unsigned count);
void inlined_parts_of(const struct vector *vector, struct inlined_parts *parts);

/* Position of the first block whose number is >= number; the count when there is none. */
unsigned inlined_parts_seek(const struct inlined_parts *parts, uint64_t number);

/* The block of a number; of count 0 when it is not there. */
struct run_block inlined_parts_find(const struct inlined_parts *parts, uint64_t number);

/* Abort unless order and sizes are as said above. */
void inlined_audit(const struct vector *vector);

#endif /* STORE_INLINED_H */
