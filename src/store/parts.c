#include "store/parts.h"

void parts_make(struct parts *parts, const struct inlined_element *elements, unsigned count)
{
    parts->count = 0;
    for (unsigned i = 0; i < count;) {
        const unsigned first = i;
        struct block view = {
            .number = elements[i].index >> 8,
            .values = parts->values + first,
            .offsets = parts->offsets + first,
            .width = 8,
        };

        for (; i < count && elements[i].index >> 8 == view.number; i++) {
            parts->values[i] = elements[i].value;
            parts->offsets[i] = (uint8_t)elements[i].index;
        }
        view.count = (uint16_t)(i - first);
        parts->blocks[parts->count++] = run_block_measure(&view);
    }
}

void parts_of(const struct inlined *inlined, struct parts *parts)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];

    parts_make(parts, elements, inlined_read(inlined, elements));
}

unsigned parts_seek(const struct parts *parts, uint64_t number)
{
    unsigned i = 0;

    while (i < parts->count && parts->blocks[i].view.number < number) {
        i++;
    }
    return i;
}

struct run_block parts_find(const struct parts *parts, uint64_t number)
{
    const unsigned i = parts_seek(parts, number);

    if (i == parts->count || parts->blocks[i].view.number != number) {
        return (struct run_block){ 0 };
    }
    return parts->blocks[i];
}
