#ifndef WIRE_ELEMENTS_H
#define WIRE_ELEMENTS_H

/* Elements as they stand in a datagram, judged and not yet unpacked; elements_next() of
 * wire/message.h walks them. */

#include "base/bytes.h"

#include <stdint.h>

#define WIRE_DATAGRAM_BYTES_MAX 65507
#define WIRE_PAIRS_MAX          (WIRE_DATAGRAM_BYTES_MAX / 2) /* of all maps of a datagram */

/* How elements are written: a map whose indices rise, or do not, or do not and are sorted, or
 * packed (vignette(7), "Packed items"). */
enum elements_form {
    ELEMENTS_MAP,
    ELEMENTS_SPARSE,
    ELEMENTS_DENSE,
    ELEMENTS_UNSORTED,
    ELEMENTS_SORTED
};

/* Elements still in wire form: a map, or a packed item. Copy it to walk it again. */
struct elements {
    struct bytes rest; /* what is not yet walked; sorted: all pairs */
    union {
        uint64_t position; /* packed: where the next gap counts from */
        const uint16_t
            *order; /* sorted: where in `rest` the pairs not yet walked begin, by index */
    };
    uint32_t left; /* map: pairs not yet walked, those of value 0 too; packed: unused */
    uint8_t form;  /* enum elements_form */
};

#endif /* WIRE_ELEMENTS_H */
