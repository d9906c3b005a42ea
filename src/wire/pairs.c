#include "wire/pairs.h"

#include "wire/read.h"

#include <assert.h>
#include <string.h>

#define DIGIT_BITS  8
#define DIGIT_COUNT (1U << DIGIT_BITS)

_Static_assert(WIRE_DATAGRAM_BYTES_MAX <= UINT16_MAX, "where a pair begins fits two bytes");

struct pair pair_next_wide(const uint8_t *at, const uint8_t *end)
{
    struct read read = { at, end, WIRE_OK };
    struct pair pair;
    bool valid = read_number(&read, &pair.index) && read_number(&read, &pair.value);

    assert(valid); /* message_decode() has said so */
    pair.next = read.at;
    return pair;
}

static inline uint64_t big_get32(const uint8_t *at)
{
    return (uint64_t)at[0] << 24 | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 8 | at[3];
}

/* The index of a pair judged before, whose form is one of these: nothing is asked twice, for a sort
 * looks at each up to seventeen times. */
static inline uint64_t index_at(const uint8_t *at)
{
    switch (at[0]) {
    case 0xcc:
    case 0xd0: return at[1];
    case 0xcd:
    case 0xd1: return (uint64_t)at[1] << 8 | at[2];
    case 0xce:
    case 0xd2: return big_get32(at + 1);
    case 0xcf:
    case 0xd3: return big_get32(at + 1) << 32 | big_get32(at + 5);
    default: return at[0];
    }
}

/* One pass of the sort, stable: by the digit at a shift. */
static void digit_sort(const struct elements *elements, unsigned shift, const uint16_t *from,
                       uint16_t *to)
{
    const uint8_t *const begin = elements->rest.data;
    uint32_t places[DIGIT_COUNT] = { 0 };
    uint32_t place = 0;

    for (uint32_t i = 0; i < elements->left; i++) {
        places[index_at(begin + from[i]) >> shift & (DIGIT_COUNT - 1)]++;
    }
    for (unsigned digit = 0; digit < DIGIT_COUNT; digit++) {
        const uint32_t count = places[digit];

        places[digit] = place;
        place += count;
    }
    for (uint32_t i = 0; i < elements->left; i++) {
        to[places[index_at(begin + from[i]) >> shift & (DIGIT_COUNT - 1)]++] = from[i];
    }
}

void pairs_sort(struct elements *elements, uint16_t *order)
{
    const uint8_t *const begin = elements->rest.data;
    const uint8_t *const end = begin + elements->rest.size;
    const uint8_t *at = begin;
    uint16_t other[WIRE_PAIRS_MAX];
    uint64_t any = 0;
    uint64_t all = UINT64_MAX;
    uint16_t *from = order;
    uint16_t *to = other;

    assert(elements->form == ELEMENTS_UNSORTED);
    assert(elements->left <= WIRE_PAIRS_MAX);
    for (uint32_t i = 0; i < elements->left; i++) {
        const struct pair pair = pair_next(at, end);

        order[i] = (uint16_t)(at - begin);
        any |= pair.index;
        all &= pair.index;
        at = pair.next;
    }
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (((any ^ all) >> shift & (DIGIT_COUNT - 1)) != 0) { /* else all have the same digit */
            uint16_t *const sorted = to;

            digit_sort(elements, shift, from, to);
            to = from;
            from = sorted;
        }
    }
    if (from != order) {
        memcpy(order, from, elements->left * sizeof *order);
    }
    elements->order = order;
    elements->form = ELEMENTS_SORTED;
}

/* Pairs of one index follow each other here, the larger value counts. */
bool pairs_next(struct elements *elements, struct block_room *room, struct block *block)
{
    const uint8_t *const begin = elements->rest.data;
    const uint8_t *const end = begin + elements->rest.size;
    uint64_t number = 0;
    unsigned count = 0;

    for (; elements->left > 0; elements->left--, elements->order++) {
        const struct pair pair = pair_next(begin + *elements->order, end);
        const uint8_t offset = (uint8_t)pair.index;

        if (pair.value == 0) {
            continue;
        }
        if (count > 0 && pair.index >> 8 != number) {
            break;
        }
        number = pair.index >> 8;
        if (count == 0 || room->offsets[count - 1] != offset) {
            room->offsets[count] = offset;
            room->values[count] = pair.value;
            count++;
        } else if (pair.value > room->values[count - 1]) {
            room->values[count - 1] = pair.value;
        }
    }
    if (count == 0) {
        return false;
    }
    *block = block_unpacked(room, number, count);
    return true;
}
