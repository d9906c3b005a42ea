#include "wire/packed.h"

#include "wire/little.h"
#include "wire/read.h"
#include "wire/varint.h"

#include <assert.h>
#include <string.h>

#define PACKED_NUMBER_MAX  ((UINT64_C(1) << 56) - 1)
#define PACKED_WIDTH_MAX   64
#define PACKED_EXCEPTIONS  0x80 /* of the shape byte */
#define PACKED_NARROW      64   /* values this close to one another are counted one by one */
#define PACKED_NARROW_BITS 6

_Static_assert((int)ELEMENTS_SPARSE == (int)PACKED_SPARSE
                   && (int)ELEMENTS_DENSE == (int)PACKED_DENSE,
               "packed elements have the form that byte 0 says");
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

/* Codes on their way out: fewer than 32 bits between calls, so that another 32 find room. */
struct codes {
    uint8_t *to;
    uint64_t held;
    unsigned held_bits;
};

/* A list of offsets, with room for one more than there can be. */
struct offsets {
    unsigned count;
    uint8_t list[BLOCK_ELEMENTS + 1];
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

/* The bits of a mask, 32 at most, from a bit on; eight bytes from there on can be read. */
static inline uint64_t codes_get(const uint8_t *codes, size_t from, uint64_t mask)
{
    return little_get64(codes + from / 8) >> (from % 8) & mask;
}

static inline void codes_put(struct codes *codes, uint64_t code, unsigned bits)
{
    codes->held |= code << codes->held_bits;
    codes->held_bits += bits;
    if (codes->held_bits >= 32) {
        little_put32(codes->to, (uint32_t)codes->held);
        codes->to += 4;
        codes->held >>= 32;
        codes->held_bits -= 32;
    }
}

static uint8_t *codes_put_end(const struct codes *codes)
{
    uint8_t *to = codes->to;

    for (unsigned bits = 0; bits < codes->held_bits; bits += 8) {
        *to++ = (uint8_t)(codes->held >> bits);
    }
    return to;
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
    *block = block_unpacked(room, number, count);
    return true;
}

/* Codes into values, which are 0 until then. They are copied first, so that those at the end too
 * can be taken from a whole word. */
static void codes_unpack(const struct segment *segment, uint64_t values[BLOCK_ELEMENTS])
{
    const unsigned width = segment->width;
    const uint64_t low = packed_mask(width < 32 ? width : 32);
    const uint64_t base = segment->base;
    uint8_t codes[BLOCK_ELEMENTS * PACKED_WIDTH_MAX / 8 + 8];
    size_t from = 0;

    memcpy(codes, segment->codes.data, segment->codes.size);
    memset(codes + segment->codes.size, 0, 8);
    for (unsigned i = segment->from; i <= segment->last; i++) {
        values[i] = base + codes_get(codes, from, low);
        from += width;
    }
    if (width > 32) {
        const uint64_t high = packed_mask(width - 32);

        from = 32;
        for (unsigned i = segment->from; i <= segment->last; i++) {
            values[i] += codes_get(codes, from, high) << 32;
            from += width;
        }
    }
}

/* All 256 values of a segment; 0 where it has none. Returns the bitwise or of them. */
static uint64_t segment_unpack(const struct segment *segment, uint64_t values[BLOCK_ELEMENTS])
{
    struct read exceptions = segment->exceptions;
    uint64_t bits = 0;

    memset(values, 0, BLOCK_ELEMENTS * sizeof values[0]);
    codes_unpack(segment, values);
    for (unsigned i = 0; i < segment->exceptions_count; i++) {
        unsigned offset = 0;
        uint64_t value = 0;
        bool valid = exception_read(&exceptions, &offset, &value);

        assert(valid); /* packed_judge() has said so */
        values[offset] = value;
    }
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        bits |= values[i];
    }
    return bits;
}

static uint8_t packed_width_bytes(uint64_t bits)
{
    if (bits <= UINT8_MAX) {
        return 1;
    }
    if (bits <= UINT16_MAX) {
        return 2;
    }
    return bits <= UINT32_MAX ? 4 : 8;
}

/* Put the values that are not 0 together; each is written where the next one goes, whether it
 * counts or not: no branch to miss. Returns their number. */
#define NARROW(name, type)                                                               \
    static unsigned name(const uint64_t values[BLOCK_ELEMENTS], type to[BLOCK_ELEMENTS], \
                         uint8_t offsets[BLOCK_ELEMENTS])                                \
    {                                                                                    \
        unsigned count = 0;                                                              \
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {                                  \
            offsets[count] = (uint8_t)i;                                                 \
            to[count] = (type)values[i];                                                 \
            count += values[i] != 0;                                                     \
        }                                                                                \
        return count;                                                                    \
    }

NARROW(bytes_narrow, uint8_t)
NARROW(shorts_narrow, uint16_t)
NARROW(words_narrow, uint32_t)
NARROW(longs_narrow, uint64_t)
#undef NARROW

/* A block of the values that are not 0, as narrow as the bitwise or of them allows. */
static void segment_narrow(const uint64_t values[BLOCK_ELEMENTS], uint64_t bits,
                           struct block_room *room, struct block *block)
{
    unsigned count;

    block->width = packed_width_bytes(bits);
    switch (block->width) {
    case 1: count = bytes_narrow(values, room->values8, room->offsets); break;
    case 2: count = shorts_narrow(values, room->values16, room->offsets); break;
    case 4: count = words_narrow(values, room->values32, room->offsets); break;
    default: count = longs_narrow(values, room->values, room->offsets); break;
    }
    block->values = room->values;
    block->offsets = count < BLOCK_ELEMENTS ? room->offsets : NULL;
    block->count = (uint16_t)count;
}

static bool dense_next(struct elements *elements, struct block_room *room, struct block *block)
{
    uint64_t values[BLOCK_ELEMENTS];

    while (elements->rest.size > 0) {
        struct segment segment = { .number = 0 };
        struct read read = read_begin(elements->rest);
        uint64_t bits;
        bool valid = segment_read(&read, elements->position, &segment);

        assert(valid); /* packed_judge() has said so */
        elements->rest = read_rest(&read);
        elements->position = segment.number + 1;
        bits = segment_unpack(&segment, values);
        if (bits != 0) {
            block->number = segment.number;
            segment_narrow(values, bits, room, block);
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

static void choice_offer(struct choice *best, uint64_t base, unsigned width, size_t size)
{
    size += varint_size(base);
    if (size < best->size) {
        *best = (struct choice){ base, size, width };
    }
}

/* The best window over `count` values within PACKED_NARROW of the least, by how often each comes:
 * every window of every width is tried, on the sums of what their values would cost as exceptions.
 * None ends above the largest: one of the same width that ends with it is as good. */
static void choose_counted(const uint16_t seen[PACKED_NARROW], unsigned span, uint64_t least,
                           unsigned count, struct choice *best)
{
    size_t below[PACKED_NARROW + 1]; /* cost of all values under the least + i */

    assert(span >= 1);
    assert(span <= PACKED_NARROW);
    below[0] = 0;
    for (unsigned i = 0; i < span; i++) {
        below[i + 1] = below[i] + seen[i] * (1 + varint_size(least + i));
    }
    for (unsigned width = 0; width <= PACKED_NARROW_BITS; width++) {
        const unsigned window = 1u << width < span ? 1u << width : span;
        const size_t codes_size = packed_codes_size(count, width);

        for (unsigned i = 0; i + window <= span; i++) {
            const size_t patched = below[i] + below[span] - below[i + window];
            const size_t size = codes_size + patched + (patched > 0);

            if (size < best->size) {
                choice_offer(best, least + i, width, size);
            }
        }
        if (window == span) {
            break; /* wider codes are of no use */
        }
    }
}

static void choose_narrow(const struct range *range, struct choice *best)
{
    uint16_t seen[PACKED_NARROW] = { 0 };

    for (unsigned i = range->from; i <= range->last; i++) {
        seen[range->values[i] - range->least]++;
    }
    choose_counted(seen, (unsigned)(range->largest - range->least) + 1, range->least,
                   range->last - range->from + 1, best);
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
        choice_offer(best, base, width, packed_codes_size(count, width) + patched + (patched > 0));
        if (width == 0) {
            break;
        }
        patched += costs[width];
    }
}

/* Bytes of a segment but for codes and exceptions. */
static size_t segment_fixed_size(const struct packed_segment *segment)
{
    const bool part = segment->from > 0 || segment->last < BLOCK_ELEMENTS - 1;

    return (part ? 2u : 0u) + 1u + varint_size(segment->base);
}

/* The best segment for a range of offsets, its size exact. */
static void plan_range(const uint64_t values[BLOCK_ELEMENTS], unsigned from, unsigned last,
                       struct packed_segment *segment)
{
    struct range range = { .values = values, .from = from, .last = last };
    struct choice best = { .size = SIZE_MAX };
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
    segment->size = segment_fixed_size(segment) + packed_codes_size(last - from + 1, best.width);
    for (unsigned i = from; i <= last; i++) {
        if (values[i] - best.base > mask) {
            segment->size += 1 + varint_size(values[i]) + (segment->exceptions == 0);
            segment->exceptions++;
        }
    }
}

/* How often each value comes in a block of values below PACKED_NARROW. */
struct census {
    uint16_t seen[PACKED_NARROW];
    unsigned largest;
};

static void census_take(struct census *census, const uint64_t values[BLOCK_ELEMENTS])
{
    uint8_t seen[4][PACKED_NARROW] = { { 0 } }; /* in turns: neighbours are often the same value */

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i += 4) {
        seen[0][values[i]]++;
        seen[1][values[i + 1]]++;
        seen[2][values[i + 2]]++;
        seen[3][values[i + 3]]++;
    }
    census->largest = 0;
    for (unsigned i = 0; i < PACKED_NARROW; i++) {
        census->seen[i] = (uint16_t)(seen[0][i] + seen[1][i] + seen[2][i] + seen[3][i]);
        census->largest = census->seen[i] > 0 ? i : census->largest;
    }
}

/* As plan_range(), without looking at the values again: what is not in the range is 0. */
static void plan_counted(const struct census *census, unsigned from, unsigned last,
                         struct packed_segment *segment)
{
    const unsigned count = last - from + 1;
    struct choice best = { .size = SIZE_MAX };
    struct census inside = *census;
    unsigned least = 0;
    unsigned end;

    inside.seen[0] = (uint16_t)(inside.seen[0] - (BLOCK_ELEMENTS - count));
    while (inside.seen[least] == 0) {
        least++;
    }
    choose_counted(inside.seen + least, census->largest - least + 1, least, count, &best);
    *segment = (struct packed_segment){ .base = best.base,
                                        .exceptions = (uint16_t)count,
                                        .from = (uint8_t)from,
                                        .last = (uint8_t)last,
                                        .width = (uint8_t)best.width };
    end = (unsigned)best.base + (1u << best.width);
    for (unsigned i = (unsigned)best.base; i < end && i < PACKED_NARROW; i++) {
        segment->exceptions = (uint16_t)(segment->exceptions - inside.seen[i]);
    }
    segment->size = segment_fixed_size(segment) + packed_codes_size(count, best.width)
                    + (size_t)segment->exceptions * 2 + (segment->exceptions > 0);
}

void packed_plan(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment)
{
    struct packed_segment whole;
    struct census census;
    unsigned from = 0;
    unsigned last = BLOCK_ELEMENTS - 1;
    uint64_t bits = 0;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        bits |= values[i];
    }
    assert(bits != 0);
    while (values[from] == 0) {
        from++;
    }
    while (values[last] == 0) {
        last--;
    }
    if (bits < PACKED_NARROW) {
        census_take(&census, values);
        plan_counted(&census, from, last, segment);
    } else {
        plan_range(values, from, last, segment);
    }
    if (from == 0 && last == BLOCK_ELEMENTS - 1) {
        return;
    }
    if (bits < PACKED_NARROW) {
        plan_counted(&census, 0, BLOCK_ELEMENTS - 1, &whole);
    } else {
        plan_range(values, 0, BLOCK_ELEMENTS - 1, &whole);
    }
    if (whole.size <= segment->size) {
        *segment = whole;
    }
}

/* The segment of one element, which has room if any has. */
static unsigned cut_to_one(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment,
                           unsigned from, size_t room)
{
    struct packed_segment one = { .base = values[from],
                                  .from = (uint8_t)from,
                                  .last = (uint8_t)from };

    one.size = segment_fixed_size(&one);
    if (one.size > room) {
        return 0;
    }
    *segment = one;
    return from + 1;
}

unsigned packed_cut(const uint64_t values[BLOCK_ELEMENTS], struct packed_segment *segment,
                    size_t room)
{
    const uint64_t mask = packed_mask(segment->width);
    const unsigned last = segment->last;
    const size_t fixed = 2 + 1 + varint_size(segment->base); /* a part, for all of it did not fit */
    struct packed_segment cut = *segment;
    unsigned from = segment->from;
    size_t patched = 0;
    unsigned exceptions = 0;
    unsigned end = 0;

    while (values[from] == 0) {
        from++;
        assert(from <= last);
    }
    cut.from = (uint8_t)from;
    for (unsigned i = from; i <= last; i++) {
        if (values[i] - cut.base > mask) {
            patched += 1 + varint_size(values[i]) + (exceptions == 0);
            exceptions++;
        }
        if (values[i] == 0) {
            continue; /* a segment need not end with it */
        }
        cut.last = (uint8_t)i;
        cut.exceptions = (uint16_t)exceptions;
        cut.size = fixed + packed_codes_size(i - from + 1, cut.width) + patched;
        if (cut.size > room) {
            break;
        }
        *segment = cut;
        end = i + 1;
    }
    return end > 0 ? end : cut_to_one(values, segment, from, room);
}

/* The code of a value, 0 when it is an exception; then its offset is added to a list. */
static inline uint64_t code_make(uint64_t value, const struct packed_segment *segment,
                                 uint64_t mask, unsigned offset, struct offsets *outside)
{
    const uint64_t above = value - segment->base;
    const bool covered = above <= mask;

    outside->list[outside->count] = (uint8_t)offset; /* stays only when counted */
    outside->count += !covered;
    return covered ? above : 0;
}

/* Codes of a segment, lowest bits first; narrow ones are put in fours. */
/* NOLINTNEXTLINE(readability-non-const-parameter): written to by way of `codes` */
static uint8_t *codes_pack(uint8_t *to, const uint64_t values[BLOCK_ELEMENTS],
                           const struct packed_segment *segment, struct offsets *outside)
{
    const unsigned width = segment->width;
    const uint64_t mask = packed_mask(width);
    struct codes codes = { .to = to };
    unsigned i = segment->from;

    for (; width <= 8 && i + 3 <= segment->last; i += 4) {
        const uint64_t one = code_make(values[i], segment, mask, i, outside);
        const uint64_t two = code_make(values[i + 1], segment, mask, i + 1, outside);
        const uint64_t three = code_make(values[i + 2], segment, mask, i + 2, outside);
        const uint64_t four = code_make(values[i + 3], segment, mask, i + 3, outside);

        codes_put(&codes, (one | two << width) | (three | four << width) << (2 * width), 4 * width);
    }
    for (; i <= segment->last; i++) {
        const uint64_t code = code_make(values[i], segment, mask, i, outside);

        codes_put(&codes, code & UINT32_MAX, width < 32 ? width : 32);
        if (width > 32) {
            codes_put(&codes, code >> 32, width - 32);
        }
    }
    return codes_put_end(&codes);
}

uint8_t *packed_segment_put(uint8_t *to, const uint64_t values[BLOCK_ELEMENTS],
                            const struct packed_segment *segment, uint64_t gap)
{
    const bool part = segment->from > 0 || segment->last < BLOCK_ELEMENTS - 1;
    const bool patched = segment->exceptions > 0;
    struct offsets outside;

    outside.count = 0;
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
    to = codes_pack(to, values, segment, &outside);
    for (unsigned i = 0; i < outside.count; i++) {
        *to++ = outside.list[i];
        to = varint_put(to, values[outside.list[i]]);
    }
    return to;
}
