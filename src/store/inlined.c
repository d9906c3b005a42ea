#include "store/inlined.h"

#include "store/digest.h"

#include <assert.h>

/* None for 0, so that the first element of a sketch costs two bytes. */
static unsigned number_bytes(uint64_t number)
{
    return number == 0 ? 0 : 8 - ((unsigned)__builtin_clzll(number) >> 3);
}

static unsigned element_bytes(const struct inlined_element *element)
{
    return 1 + number_bytes(element->index) + number_bytes(element->value);
}

static uint64_t number_read(const uint8_t *from, unsigned size)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < size; i++) {
        number |= (uint64_t)from[i] << (8 * i);
    }
    return number;
}

static void number_write(uint8_t *to, unsigned size, uint64_t number)
{
    for (unsigned i = 0; i < size; i++) {
        to[i] = (uint8_t)(number >> (8 * i));
    }
}

unsigned inlined_read(const struct inlined *inlined,
                      struct inlined_element elements[INLINED_ELEMENTS_MAX])
{
    const uint8_t *from = inlined->elements;

    for (unsigned i = 0; i < inlined->count; i++) {
        const unsigned index_size = *from >> 4;
        const unsigned value_size = *from & 15;

        elements[i].index = number_read(from + 1, index_size);
        elements[i].value = number_read(from + 1 + index_size, value_size);
        from += 1 + index_size + value_size;
    }
    return inlined->count;
}

bool inlined_fits(const struct inlined_element *elements, unsigned count)
{
    unsigned size = 0;

    for (unsigned i = 0; i < count; i++) {
        size += element_bytes(&elements[i]);
    }
    return size <= INLINED_BYTES;
}

void inlined_write(struct inlined *inlined, const struct inlined_element *elements, unsigned count)
{
    uint8_t *to = inlined->elements;

    assert(inlined_fits(elements, count));
    for (unsigned i = 0; i < count; i++) {
        const unsigned index_size = number_bytes(elements[i].index);
        const unsigned value_size = number_bytes(elements[i].value);

        *to = (uint8_t)(index_size << 4 | value_size);
        number_write(to + 1, index_size, elements[i].index);
        number_write(to + 1 + index_size, value_size, elements[i].value);
        to += 1 + index_size + value_size;
    }
    inlined->count = (uint8_t)count;
}

bool inlined_join_one(struct inlined *inlined, uint64_t index, uint64_t value, uint64_t salt,
                      struct merge_result *result)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    const unsigned count = inlined_read(inlined, elements);
    struct inlined_element *ours = elements;
    uint64_t digest_delta = 0;
    bool larger;
    bool raised;

    while (ours < elements + count && ours->index != index) {
        ours++;
    }
    if (ours == elements + count || value == 0) {
        return false; /* what is new here is merged, not raised */
    }
    raised = value > ours->value;
    larger = value < ours->value;
    if (raised) {
        digest_delta =
            digest_element(salt, index, value) - digest_element(salt, index, ours->value);
        ours->value = value;
        if (!inlined_fits(elements, count)) {
            return false; /* it moves to the heap, which only the caller can do */
        }
        inlined_write(inlined, elements, count);
    }
    if (result != NULL) {
        *result = (struct merge_result){ .raised.number = index >> 8,
                                         .larger.number = index >> 8,
                                         .digest_delta = digest_delta };
        result->raised.bits[(index & 255) >> 6] = (uint64_t)raised << (index & 63);
        result->larger.bits[(index & 255) >> 6] = (uint64_t)larger << (index & 63);
    }
    return true;
}

void inlined_audit(const struct inlined *inlined)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    unsigned count;

    assert(inlined->count <= INLINED_ELEMENTS_MAX);
    count = inlined_read(inlined, elements);
    assert(inlined_fits(elements, count));
    for (unsigned i = 0; i < count; i++) {
        assert(elements[i].value > 0);
        assert(i == 0 || elements[i - 1].index < elements[i].index);
    }
}
