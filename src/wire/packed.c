#include "wire/packed.h"

#include "wire/read.h"
#include "wire/varint.h"

#include <assert.h>
#include <string.h>

#define PACKED_NUMBER_MAX  ((UINT64_C(1) << 56) - 1)
#define PACKED_WIDTH_MAX   64
#define PACKED_EXCEPTIONS  0x80 /* of the shape byte */
#define PACKED_NARROW      64   /* values this close to one another are counted one by one */
#define PACKED_NARROW_BITS 6

_Static_assert(1 << PACKED_NARROW_BITS == PACKED_NARROW, "the widest narrow code covers them all");

/* A segment in a buffer: its fixed part read, codes and exceptions left where they are. */
struct segment {
    uint64_t number;
    uint64_t base;
    struct bytes codes;
    struct read exceptions;
    unsigned from;
    unsigned last;
    unsigned width;
    unsigned exceptions_count;
};

/* Codes of `width` bits, lowest bits first. The accumulator holds less than a byte between calls,
 * and takes 32 bits at most at a time. */
struct codes {
    uint8_t *to;
    const uint8_t *at;
    uint64_t held;
    unsigned held_bits;
};

/* The largest code of a width. */
static uint64_t packed_mask(unsigned width)
{
    return width == 0 ? 0 : ~UINT64_C(0) >> (PACKED_WIDTH_MAX - width);
}

static size_t packed_codes_size(unsigned count, unsigned width)
{
    return ((size_t)count * width + 7) / 8;
}

static uint64_t codes_get_some(struct codes *codes, unsigned bits)
{
    uint64_t code;

    while (codes->held_bits < bits) {
        codes->held |= (uint64_t)*codes->at++ << codes->held_bits;
        codes->held_bits += 8;
    }
    code = codes->held & packed_mask(bits);
    codes->held >>= bits;
    codes->held_bits -= bits;
    return code;
}

static uint64_t codes_get(struct codes *codes, unsigned width)
{
    uint64_t code;

    if (width <= 32) {
        return codes_get_some(codes, width);
    }
    code = codes_get_some(codes, 32);
    return code | codes_get_some(codes, width - 32) << 32;
}

static void codes_put_some(struct codes *codes, uint64_t code, unsigned bits)
{
    codes->held |= code << codes->held_bits;
    codes->held_bits += bits;
    while (codes->held_bits >= 8) {
        *codes->to++ = (uint8_t)codes->held;
        codes->held >>= 8;
        codes->held_bits -= 8;
    }
}

static void codes_put(struct codes *codes, uint64_t code, unsigned width)
{
    if (width <= 32) {
        codes_put_some(codes, code, width);
        return;
    }
    codes_put_some(codes, code & packed_mask(32), 32);
    codes_put_some(codes, code >> 32, width - 32);
}

static void codes_put_end(struct codes *codes)
{
    if (codes->held_bits > 0) {
        *codes->to++ = (uint8_t)codes->held;
    }
}

/* Pairs of a sparse item: one. `position` is the least index that may come. */
static bool sparse_read(struct read *read, uint64_t position, uint64_t *index, uint64_t *value)
{
    uint64_t gap;

    if (!varint_read(read, &gap) || !varint_read(read, value)) {
        return false;
    }
    if (gap > UINT64_MAX - position || *value == 0) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    *index = position + gap;
    return true;
}

static bool sparse_judge(struct read *read)
{
    uint64_t position = 0;

    do {
        uint64_t index;
        uint64_t value;

        if (!sparse_read(read, position, &index, &value)) {
            return false;
        }
        position = index + 1;
    } while (read->at < read->end && position != 0);
    return read->at == read->end;
}

static bool segment_read_range(struct read *read, bool part, struct segment *segment)
{
    struct bytes range;

    segment->from = 0;
    segment->last = BLOCK_ELEMENTS - 1;
    if (part) {
        if (!read_bytes(read, 2, &range)) {
            return false;
        }
        segment->from = range.data[0];
        segment->last = range.data[1];
    }
    return segment->from <= segment->last;
}

static bool segment_read_shape(struct read *read, struct segment *segment)
{
    struct bytes byte;
    uint8_t shape;

    if (!read_bytes(read, 1, &byte) || !varint_read(read, &segment->base)) {
        return false;
    }
    shape = byte.data[0];
    segment->width = shape & (PACKED_EXCEPTIONS - 1);
    segment->exceptions_count = 0;
    if (segment->width > PACKED_WIDTH_MAX
        || segment->base > UINT64_MAX - packed_mask(segment->width)) {
        return false;
    }
    if ((shape & PACKED_EXCEPTIONS) != 0) {
        if (!read_bytes(read, 1, &byte)) {
            return false;
        }
        segment->exceptions_count = byte.data[0] + 1u;
    }
    return true;
}

static bool segment_read_codes(struct read *read, struct segment *segment)
{
    const unsigned count = segment->last - segment->from + 1;
    const unsigned spare = count * segment->width & 7;

    if (!read_bytes(read, packed_codes_size(count, segment->width), &segment->codes)) {
        return false;
    }
    return spare == 0 || segment->codes.data[segment->codes.size - 1] >> spare == 0;
}

static bool exception_read(struct read *read, unsigned *offset, uint64_t *value)
{
    struct bytes byte;

    if (!read_bytes(read, 1, &byte) || !varint_read(read, value)) {
        return false;
    }
    *offset = byte.data[0];
    return true;
}

/* Take one segment. `position` is the least block number that may come. */
static bool segment_read(struct read *read, uint64_t position, struct segment *segment)
{
    unsigned least;
    uint64_t head;

    if (!varint_read(read, &head) || position > PACKED_NUMBER_MAX
        || head >> 1 > PACKED_NUMBER_MAX - position) {
        return false;
    }
    segment->number = position + (head >> 1);
    if (!segment_read_range(read, (head & 1) != 0, segment) || !segment_read_shape(read, segment)
        || !segment_read_codes(read, segment)) {
        return false;
    }
    segment->exceptions = *read;
    least = segment->from;
    for (unsigned i = 0; i < segment->exceptions_count; i++) {
        unsigned offset;
        uint64_t value;

        if (!exception_read(read, &offset, &value) || offset < least || offset > segment->last) {
            return false;
        }
        least = offset + 1;
    }
    return true;
}

static bool dense_judge(struct read *read)
{
    struct segment segment = { .number = 0 };
    uint64_t position = 0;

    do {
        if (!segment_read(read, position, &segment)) {
            return false;
        }
        position = segment.number + 1;
    } while (read->at < read->end);
    return true;
}

bool packed_judge(struct bytes bin, struct elements *elements)
{
    struct read read;
    struct bytes rest;
    bool valid;

    if (bin.size < 2) {
        return false;
    }
    rest = (struct bytes){ bin.data + 1, bin.size - 1 };
    read = read_begin(rest);
    switch (bin.data[0]) {
    case PACKED_SPARSE: valid = sparse_judge(&read); break;
    case PACKED_DENSE: valid = dense_judge(&read); break;
    default: valid = false; break;
    }
    if (valid) {
        *elements = (struct elements){ .rest = rest, .form = bin.data[0] };
    }
    return valid;
}

static bool sparse_next(struct elements *elements, struct block_room *room, struct block *block)
{
    struct read read = read_begin(elements->rest);
    uint64_t number = 0;
    unsigned count = 0;

    while (read.at < read.end) {
        const struct read before = read;
        uint64_t index;
        uint64_t value;
        bool valid = sparse_read(&read, elements->position, &index, &value);

        assert(valid); /* packed_judge() has said so */
        if (count > 0 && index >> 8 != number) {
            read = before;
            break;
        }
        number = index >> 8;
        room->offsets[count] = (uint8_t)index;
        room->values[count] = value;
        count++;
        elements->position = index + 1;
    }
    elements->rest = read_rest(&read);
    if (count == 0) {
        return false;
    }
    *block = (struct block){ .number = number,
                             .values = room->values,
                             .offsets = count < BLOCK_ELEMENTS ? room->offsets : NULL,
                             .count = (uint16_t)count,
                             .width = 8 };
    return true;
}

/* All 256 values of a segment; 0 where it has none. Returns the largest. */
static uint64_t segment_unpack(const struct segment *segment, uint64_t values[BLOCK_ELEMENTS])
{
    struct codes codes = { .at = segment->codes.data };
    struct read exceptions = segment->exceptions;
    uint64_t largest = 0;

    memset(values, 0, BLOCK_ELEMENTS * sizeof values[0]);
    for (unsigned i = segment->from; i <= segment->last; i++) {
        values[i] = segment->base + codes_get(&codes, segment->width);
    }
    for (unsigned i = 0; i < segment->exceptions_count; i++) {
        unsigned offset = 0;
        uint64_t value = 0;
        bool valid = exception_read(&exceptions, &offset, &value);

        assert(valid); /* packed_judge() has said so */
        values[offset] = value;
    }
    for (unsigned i = segment->from; i <= segment->last; i++) {
        largest = values[i] > largest ? values[i] : largest;
    }
    return largest;
}

static uint8_t packed_width_bytes(uint64_t largest)
{
    if (largest <= UINT8_MAX) {
        return 1;
    }
    if (largest <= UINT16_MAX) {
        return 2;
    }
    return largest <= UINT32_MAX ? 4 : 8;
}

/* Put the values that are not 0 together, as narrow as the largest allows. */
static void segment_narrow(const uint64_t values[BLOCK_ELEMENTS], uint64_t largest,
                           struct block_room *room, struct block *block)
{
    const uint8_t width = packed_width_bytes(largest);
    unsigned count = 0;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        /* Written where the next one goes, whether it counts or not: no branch to miss. */
        room->offsets[count] = (uint8_t)i;
        switch (width) {
        case 1: room->values8[count] = (uint8_t)values[i]; break;
        case 2: room->values16[count] = (uint16_t)values[i]; break;
        case 4: room->values32[count] = (uint32_t)values[i]; break;
        default: room->values[count] = values[i]; break;
        }
        count += values[i] != 0;
    }
    block->values = room->values;
    block->offsets = count < BLOCK_ELEMENTS ? room->offsets : NULL;
    block->count = (uint16_t)count;
    block->width = width;
}

static bool dense_next(struct elements *elements, struct block_room *room, struct block *block)
{
    uint64_t values[BLOCK_ELEMENTS];

    while (elements->rest.size > 0) {
        struct segment segment = { .number = 0 };
        struct read read = read_begin(elements->rest);
        uint64_t largest;
        bool valid = segment_read(&read, elements->position, &segment);

        assert(valid); /* packed_judge() has said so */
        elements->rest = read_rest(&read);
        elements->position = segment.number + 1;
        largest = segment_unpack(&segment, values);
        if (largest > 0) {
            block->number = segment.number;
            segment_narrow(values, largest, room, block);
            return true;
        }
    }
    return false;
}

bool packed_next(struct elements *elements, struct block_room *room, struct block *block)
{
    if (elements->form == PACKED_SPARSE) {
        return sparse_next(elements, room, block);
    }
    assert(elements->form == PACKED_DENSE);
    return dense_next(elements, room, block);
}

/* A base and a width that may do, and what they are thought to cost. */
struct choice {
    uint64_t base;
    size_t size;
    unsigned width;
};

/* What a range of offsets holds. */
struct range {
    const uint64_t *values;
    unsigned from;
    unsigned last;
    uint64_t least;
    uint64_t least_element; /* the same, zeros left out */
    uint64_t largest;
};

static void range_measure(struct range *range)
{
    range->least = UINT64_MAX;
    range->least_element = UINT64_MAX;
    range->largest = 0;
    for (unsigned i = range->from; i <= range->last; i++) {
        const uint64_t value = range->values[i];

        range->least = value < range->least ? value : range->least;
        range->largest = value > range->largest ? value : range->largest;
        if (value != 0 && value < range->least_element) {
            range->least_element = value;
        }
    }
}

static void choice_offer(struct choice *best, struct choice offer)
{
    offer.size += varint_size(offer.base);
    if (offer.size < best->size) {
        *best = offer;
    }
}

/* Values within PACKED_NARROW of the least: every window of every width is tried, on the sums of
 * what their values would cost as exceptions. */
static void choose_narrow(const struct range *range, struct choice *best)
{
    const unsigned count = range->last - range->from + 1;
    const unsigned span = (unsigned)(range->largest - range->least) + 1;
    uint16_t seen[PACKED_NARROW] = { 0 };
    size_t below[PACKED_NARROW + 1] = { 0 }; /* cost of all values under the least + i */

    assert(span <= PACKED_NARROW);
    for (unsigned i = range->from; i <= range->last; i++) {
        seen[range->values[i] - range->least]++;
    }
    for (unsigned i = 0; i < span; i++) {
        below[i + 1] = below[i] + seen[i] * (1 + varint_size(range->least + i));
    }
    for (unsigned width = 0; width <= PACKED_NARROW_BITS; width++) {
        for (unsigned i = 0; i < span; i++) {
            const unsigned end = span - i <= 1u << width ? span : i + (1u << width);
            const size_t patched = below[i] + below[span] - below[end];

            choice_offer(best, (struct choice){ .base = range->least + i,
                                                .size = packed_codes_size(count, width) + patched
                                                        + (patched > 0),
                                                .width = width });
        }
    }
}

/* Over a base: what is below it, or needs more bits above it than the width, is an exception. */
static void choose_wide(const struct range *range, uint64_t base, struct choice *best)
{
    const unsigned count = range->last - range->from + 1;
    size_t costs[PACKED_WIDTH_MAX + 1] = { 0 }; /* as exceptions, by the bits they need */
    size_t patched = 0;

    for (unsigned i = range->from; i <= range->last; i++) {
        const uint64_t value = range->values[i];
        const size_t cost = 1 + varint_size(value);

        if (value <= base) {
            costs[0] += value < base ? 0 : cost;
            patched += value < base ? cost : 0;
        } else {
            costs[PACKED_WIDTH_MAX - (unsigned)__builtin_clzll(value - base)] += cost;
        }
    }
    /* From the widest down: each step makes exceptions of those that needed just that bit. */
    for (unsigned width = PACKED_WIDTH_MAX;; width--) {
        choice_offer(best, (struct choice){ .base = base,
                                            .size = packed_codes_size(count, width) + patched
                                                    + (patched > 0),
                                            .width = width });
        if (width == 0) {
            break;
        }
        patched += costs[width];
    }
}

static bool segment_covers(const struct packed_segment *segment, uint64_t value)
{
    return value >= segment->base && value - segment->base <= packed_mask(segment->width);
}

/* The best segment for a range of offsets, its size exact. */
static void plan_range(const uint64_t values[BLOCK_ELEMENTS], unsigned from, unsigned last,
                       struct packed_segment *segment)
{
    struct range range = { .values = values, .from = from, .last = last };
    struct choice best = { .size = SIZE_MAX };
    const bool part = from > 0 || last < BLOCK_ELEMENTS - 1;
    uint64_t mask;

    range_measure(&range);
    if (range.largest - range.least < PACKED_NARROW) {
        choose_narrow(&range, &best);
    } else {
        choose_wide(&range, range.least, &best);
        if (range.least_element > range.least) {
            choose_wide(&range, range.least_element, &best);
        }
    }
    /* Near 2^64 the window moves down, so that base plus code cannot wrap. */
    mask = packed_mask(best.width);
    best.base = best.base > UINT64_MAX - mask ? UINT64_MAX - mask : best.base;
    *segment = (struct packed_segment){ .base = best.base,
                                        .from = (uint8_t)from,
                                        .last = (uint8_t)last,
                                        .width = (uint8_t)best.width };
    segment->size = (part ? 2u : 0u) + 1u + varint_size(best.base)
                    + packed_codes_size(last - from + 1, best.width);
    for (unsigned i = from; i <= last; i++) {
        if (!segment_covers(segment, values[i])) {
            segment->size += 1 + varint_size(values[i]) + (segment->exceptions == 0);
            segment->exceptions++;
        }
    }
}

void packed_plan(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment)
{
    struct packed_segment whole;
    unsigned from = 0;
    unsigned last = BLOCK_ELEMENTS - 1;

    while (values[from] == 0) {
        from++;
        assert(from < BLOCK_ELEMENTS);
    }
    while (values[last] == 0) {
        last--;
    }
    plan_range(values, from, last, segment);
    if (from > 0 || last < BLOCK_ELEMENTS - 1) {
        plan_range(values, 0, BLOCK_ELEMENTS - 1, &whole);
        if (whole.size <= segment->size) {
            *segment = whole;
        }
    }
}

uint8_t *packed_segment_put(uint8_t *to, const uint64_t values[BLOCK_ELEMENTS],
                            const struct packed_segment *segment, uint64_t gap)
{
    const bool part = segment->from > 0 || segment->last < BLOCK_ELEMENTS - 1;
    const bool patched = segment->exceptions > 0;
    struct codes codes = { .held = 0 };

    assert(gap <= PACKED_NUMBER_MAX);
    to = varint_put(to, gap << 1 | part);
    if (part) {
        *to++ = segment->from;
        *to++ = segment->last;
    }
    *to++ = (uint8_t)(segment->width | (patched ? PACKED_EXCEPTIONS : 0));
    to = varint_put(to, segment->base);
    if (patched) {
        *to++ = (uint8_t)(segment->exceptions - 1);
    }
    codes.to = to;
    for (unsigned i = segment->from; i <= segment->last; i++) {
        const bool covered = segment_covers(segment, values[i]);

        codes_put(&codes, covered ? values[i] - segment->base : 0, segment->width);
    }
    codes_put_end(&codes);
    to = codes.to;
    for (unsigned i = segment->from; i <= segment->last; i++) {
        if (!segment_covers(segment, values[i])) {
            *to++ = (uint8_t)i;
            to = varint_put(to, values[i]);
        }
    }
    return to;
}
