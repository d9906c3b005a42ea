#include "store/merge.h"

#include "base/bits.h"
#include "store/digest.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Sixteen bytes at a time, in the vector extension that gcc and clang share. Loaded and stored by
 * memcpy, which is one unaligned move each: blocks are aligned to their width only. */
typedef uint8_t lanes __attribute__((vector_size(16)));

#define LANES       16
#define GROUP_BYTES 64 /* one word of a mark */

static inline lanes lanes_load(const uint8_t *from)
{
    lanes loaded;

    memcpy(&loaded, from, sizeof loaded);
    return loaded;
}

static inline lanes lanes_max(lanes one, lanes other)
{
#ifdef __SSE2__
    return (lanes)_mm_max_epu8((__m128i)one, (__m128i)other);
#else
    const lanes above = (lanes)(one > other);

    return (one & above) | (other & ~above);
#endif
}

/* Sixteen bytes that are 0 or 255 to sixteen bits, the first byte lowest. Without an instruction
 * for it, eight bytes at a time: byte i keeps bit i, and a multiplication adds the eight up in the
 * highest byte. */
static inline uint64_t lanes_pack(lanes mask)
{
#ifdef __SSE2__
    return (uint64_t)(unsigned)_mm_movemask_epi8((__m128i)mask);
#else
    const lanes bits = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    uint64_t halves[2];

    mask &= bits;
    memcpy(halves, &mask, sizeof halves);
    return (halves[0] * UINT64_C(0x0101010101010101)) >> 56
           | (halves[1] * UINT64_C(0x0101010101010101)) >> 56 << 8;
#endif
}

/* Four times sixteen bytes: what one word of a mark is about. Unrolled by hand here and below: gcc
 * does not at -O2, and a loop's own instructions would take as long as its work. */
struct group {
    lanes part[4];
};

static inline struct group group_load(const uint8_t *from)
{
    return (struct group){ { lanes_load(from), lanes_load(from + 16), lanes_load(from + 32),
                             lanes_load(from + 48) } };
}

static inline struct group group_max(const struct group *one, const struct group *other)
{
    return (struct group){
        { lanes_max(one->part[0], other->part[0]), lanes_max(one->part[1], other->part[1]),
          lanes_max(one->part[2], other->part[2]), lanes_max(one->part[3], other->part[3]) }
    };
}

static inline bool group_equal(const struct group *one, const struct group *other)
{
    const lanes differ = (one->part[0] ^ other->part[0]) | (one->part[1] ^ other->part[1])
                         | (one->part[2] ^ other->part[2]) | (one->part[3] ^ other->part[3]);

    return lanes_pack((lanes)(differ == (lanes){ 0 })) == 0xffff;
}

/* A bit for each byte that is the same in both. */
static inline uint64_t group_same(const struct group *one, const struct group *other)
{
    return lanes_pack((lanes)(one->part[0] == other->part[0]))
           | lanes_pack((lanes)(one->part[1] == other->part[1])) << 16
           | lanes_pack((lanes)(one->part[2] == other->part[2])) << 32
           | lanes_pack((lanes)(one->part[3] == other->part[3])) << 48;
}

static inline void group_store(uint8_t *to, const struct group *group)
{
    memcpy(to, &group->part[0], LANES);
    memcpy(to + 16, &group->part[1], LANES);
    memcpy(to + 32, &group->part[2], LANES);
    memcpy(to + 48, &group->part[3], LANES);
}

/* Bits of theirs that are not 0 and less than the larger of the two. */
static inline uint64_t group_larger(const struct group *theirs, const struct group *most)
{
    const struct group zero = { { { 0 } } };
    const uint64_t less = ~group_same(theirs, most);

    /* cppcheck-suppress knownConditionTrueFalse ; it takes ~x for more than 0 */
    return less == 0 ? 0 : less & ~group_same(theirs, &zero);
}

static void bytes_compare(const uint8_t *restrict ours, const uint8_t *restrict theirs,
                          struct merge_plan *restrict plan)
{
    const struct group zero = { { { 0 } } };

    for (unsigned i = 0; i < 4; i++) {
        const struct group one = group_load(ours + i * GROUP_BYTES);
        const struct group other = group_load(theirs + i * GROUP_BYTES);

        if (!group_equal(&one, &other)) {
            const struct group most = group_max(&one, &other);

            plan->raised.bits[i] = ~group_same(&one, &most);
            plan->larger.bits[i] = group_larger(&other, &most);
            plan->fresh_count += bits_count(plan->raised.bits[i] & group_same(&one, &zero));
        }
    }
}

/* The wider ones, which are rarer: without branches, a bit after the other. */
#define COMPARE(name, type)                                                  \
    static void name(const type *restrict ours, const type *restrict theirs, \
                     struct merge_plan *restrict plan)                       \
    {                                                                        \
        for (unsigned group = 0; group < 4; group++) {                       \
            uint64_t raised = 0;                                             \
            uint64_t larger = 0;                                             \
            uint64_t fresh = 0;                                              \
                                                                             \
            for (unsigned i = 0; i < 64; i++) {                              \
                const type one = ours[group * 64 + i];                       \
                const type other = theirs[group * 64 + i];                   \
                                                                             \
                raised |= (uint64_t)(other > one) << i;                      \
                larger |= (uint64_t)((other < one) & (other != 0)) << i;     \
                fresh |= (uint64_t)((one == 0) & (other != 0)) << i;         \
            }                                                                \
            plan->raised.bits[group] = raised;                               \
            plan->larger.bits[group] = larger;                               \
            plan->fresh_count += bits_count(fresh);                          \
        }                                                                    \
    }

COMPARE(shorts_compare, uint16_t)
COMPARE(words_compare, uint32_t)
COMPARE(longs_compare, uint64_t)
#undef COMPARE

static void dense_compare(const void *ours, const void *theirs, unsigned width,
                          struct merge_plan *plan)
{
    switch (width) {
    case 1: bytes_compare(ours, theirs, plan); break;
    case 2: shorts_compare(ours, theirs, plan); break;
    case 4: words_compare(ours, theirs, plan); break;
    default: longs_compare(ours, theirs, plan); break;
    }
}

/* All values of a block, dense in a width that takes them. */
static void block_spread(const struct block *block, unsigned width, void *to)
{
    if (block->count > 0 && block->offsets == NULL && block->width == width) {
        memcpy(to, block->values, (size_t)BLOCK_ELEMENTS * width);
        return;
    }
    memset(to, 0, (size_t)BLOCK_ELEMENTS * width);
    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = merge_load(block->values, block->width, i);

        if (value != 0) { /* of a bitmap most are */
            merge_store(to, width, block_offset(block, i), value);
        }
    }
}

/* Two bitmaps: nothing of ours can be larger. */
static void bitmaps_compare(const void *ours, const void *theirs, struct merge_plan *plan)
{
    for (unsigned group = 0; group < 4; group++) {
        for (unsigned i = 0; i < 8; i++) {
            const unsigned one = ((const uint8_t *)ours)[group * 8 + i];
            const unsigned other = ((const uint8_t *)theirs)[group * 8 + i];

            plan->raised.bits[group] |= (uint64_t)(other & ~one) << (8 * i);
        }
        plan->fresh_count += bits_count(plan->raised.bits[group]);
    }
    plan->raised_bits = plan->fresh_count > 0;
}

/* The bitwise or of all values of a dense block: of its words, folded to the width. */
static uint64_t dense_bits(const void *values, unsigned width)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < BLOCK_ELEMENTS * width; i += 8) {
        uint64_t word; /* narrow values need not be aligned to one */

        memcpy(&word, (const uint8_t *)values + i, sizeof word);
        bits |= word;
    }
    for (unsigned half = 32; half >= 8 * width; half /= 2) {
        bits |= bits >> half;
    }
    return width == 8 ? bits : bits & ((UINT64_C(1) << (8 * width)) - 1);
}

/* There is nothing of ours. */
static void absent_compare(const struct block *theirs, struct merge_plan *plan)
{
    static const uint64_t nothing[BLOCK_ELEMENTS] = { 0 };

    if (theirs->width == 0) {
        bitmaps_compare(nothing, theirs->values, plan);
        return;
    }
    dense_compare(nothing, theirs->values, theirs->width, plan);
    plan->raised_bits = dense_bits(theirs->values, theirs->width);
}

/* Theirs is dense or a bitmap, ours in another form: bring both into one width. */
static void mixed_compare(const struct block *ours, const struct block *theirs,
                          struct merge_plan *plan)
{
    uint64_t room[2][BLOCK_ELEMENTS];
    const unsigned width = ours->width > theirs->width ? ours->width : theirs->width;

    block_spread(ours, width, room[0]);
    block_spread(theirs, width, room[1]);
    dense_compare(room[0], room[1], width, plan);
    for (unsigned group = 0; group < 4; group++) {
        for (uint64_t bits = plan->raised.bits[group]; bits != 0; bits &= bits - 1) {
            const unsigned offset = group * 64 + (unsigned)__builtin_ctzll(bits);

            plan->raised_bits |= merge_load(theirs->values, theirs->width, offset);
        }
    }
}

/* A block's value at ascending offsets; the next one cannot lie before the position `from`. */
static inline uint64_t block_at(const struct block *block, unsigned offset, unsigned *from)
{
    if (block->count == 0) {
        return 0;
    }
    if (block->offsets == NULL) {
        return merge_load(block->values, block->width, offset);
    }
    *from = merge_seek(block->offsets, *from, block->count, offset);
    if (*from == block->count || block->offsets[*from] != offset) {
        return 0;
    }
    return merge_load(block->values, block->width, *from);
}

/* Theirs is sparse: one look-up each. This is the way of almost every datagram. */
static void sparse_compare(const struct block *ours, const struct block *theirs,
                           struct merge_plan *plan)
{
    unsigned from = 0;

    for (unsigned i = 0; i < theirs->count; i++) {
        const unsigned offset = theirs->offsets[i];
        const uint64_t value = merge_load(theirs->values, theirs->width, i);
        uint64_t old;

        assert(i == 0 || theirs->offsets[i - 1] < offset);
        if (value == 0) {
            continue;
        }
        old = block_at(ours, offset, &from);
        if (value > old) {
            mark_set(&plan->raised, offset);
            plan->raised_bits |= value;
            plan->fresh_count += old == 0;
        } else if (value < old) {
            mark_set(&plan->larger, offset);
        }
    }
}

/* Field by field: of a whole struct, gcc makes a string instruction that takes longer than all the
 * rest of a small merge. */
static void plan_clear(struct merge_plan *plan, uint64_t number)
{
    plan->raised.number = number;
    plan->larger.number = number;
    for (unsigned group = 0; group < 4; group++) {
        plan->raised.bits[group] = 0;
        plan->larger.bits[group] = 0;
    }
    plan->raised_bits = 0;
    plan->fresh_count = 0;
}

void merge_compare(const struct block *ours, const struct block *theirs, struct merge_plan *plan)
{
    plan_clear(plan, theirs->number);
    if (theirs->offsets != NULL) {
        sparse_compare(ours, theirs, plan);
    } else if (ours->count == 0) {
        absent_compare(theirs, plan);
    } else if (ours->offsets != NULL || ours->width != theirs->width) {
        mixed_compare(ours, theirs, plan);
    } else if (ours->width == 0) {
        bitmaps_compare(ours->values, theirs->values, plan);
    } else if (memcmp(ours->values, theirs->values, (size_t)BLOCK_ELEMENTS * ours->width) != 0) {
        dense_compare(ours->values, theirs->values, ours->width, plan);
    }
}

uint64_t merge_digest_delta(const struct block *ours, const struct block *theirs,
                            const struct mark *raised, uint64_t salt)
{
    const uint64_t first = theirs->number << 8;
    uint64_t delta = 0;
    unsigned ours_from = 0;
    unsigned theirs_from = 0;

    for (unsigned group = 0; group < 4; group++) {
        for (uint64_t bits = raised->bits[group]; bits != 0; bits &= bits - 1) {
            const unsigned offset = group * 64 + (unsigned)__builtin_ctzll(bits);
            const uint64_t old = block_at(ours, offset, &ours_from);

            delta += digest_element(salt, first + offset, block_at(theirs, offset, &theirs_from));
            if (old != 0) {
                delta -= digest_element(salt, first + offset, old);
            }
        }
    }
    return delta;
}

uint64_t merge_digest(const struct block *block, uint64_t salt)
{
    const uint64_t first = block->number << 8;
    uint64_t sum = 0;

    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = merge_load(block->values, block->width, i);

        if (value != 0) {
            sum += digest_element(salt, first + block_offset(block, i), value);
        }
    }
    return sum;
}

struct block merge_union(const struct block *ours, const struct block *theirs,
                         struct block_room *room)
{
    unsigned count = 0;
    unsigned i = 0;
    unsigned j = 0;

    while (i < ours->count || j < theirs->count) {
        const unsigned one = i < ours->count ? block_offset(ours, i) : BLOCK_ELEMENTS;
        const unsigned other = j < theirs->count ? block_offset(theirs, j) : BLOCK_ELEMENTS;
        uint64_t value = 0;

        if (one <= other) {
            value = merge_load(ours->values, ours->width, i++);
        }
        if (other <= one) {
            const uint64_t more = merge_load(theirs->values, theirs->width, j++);

            value = more > value ? more : value;
        }
        if (value != 0) {
            room->offsets[count] = (uint8_t)(one < other ? one : other);
            room->values[count++] = value;
        }
    }
    return (struct block){
        .number = theirs->number,
        .values = room->values,
        .offsets = room->offsets,
        .count = (uint16_t)count,
        .width = 8,
    };
}

static inline void lanes_join(uint8_t *restrict ours, const uint8_t *restrict theirs)
{
    const lanes most = lanes_max(lanes_load(ours), lanes_load(theirs));

    memcpy(ours, &most, sizeof most);
}

static void bytes_max(uint8_t *restrict ours, const uint8_t *restrict theirs, size_t size)
{
    for (size_t i = 0; i < size; i += GROUP_BYTES) {
        lanes_join(ours + i, theirs + i);
        lanes_join(ours + i + 16, theirs + i + 16);
        lanes_join(ours + i + 32, theirs + i + 32);
        lanes_join(ours + i + 48, theirs + i + 48);
    }
}

#ifdef __x86_64__

/* The same, 32 bytes at a time: nearly every processor of today can, but a distribution's compiler
 * may not count on it. */
__attribute__((target("avx2"))) static inline void wide_join(uint8_t *restrict ours,
                                                             const uint8_t *restrict theirs)
{
    const __m256i one = _mm256_loadu_si256((const __m256i *)(const void *)ours);
    const __m256i other = _mm256_loadu_si256((const __m256i *)(const void *)theirs);

    _mm256_storeu_si256((__m256i *)(void *)ours, _mm256_max_epu8(one, other));
}

__attribute__((target("avx2"))) static void bytes_max_wide(uint8_t *restrict ours,
                                                           const uint8_t *restrict theirs,
                                                           size_t size)
{
    for (size_t i = 0; i < size; i += 2 * GROUP_BYTES) {
        wide_join(ours + i, theirs + i);
        wide_join(ours + i + 32, theirs + i + 32);
        wide_join(ours + i + 64, theirs + i + 64);
        wide_join(ours + i + 96, theirs + i + 96);
    }
}

#endif

void merge_max_stretch(void *ours, const void *theirs, size_t count)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        bytes_max_wide(ours, theirs, count * BLOCK_ELEMENTS);
        return;
    }
#endif
    bytes_max(ours, theirs, count * BLOCK_ELEMENTS);
}

/* What the digest gains by the raised bytes of a group whose first index is `first`: nothing but
 * the mixes of each. Counts those that were 0. */
static inline uint64_t group_digest_delta(const uint8_t *restrict ours,
                                          const uint8_t *restrict theirs, uint64_t raised,
                                          uint64_t first, uint64_t salt, unsigned *fresh_count)
{
    uint64_t delta = 0;

    for (; raised != 0; raised &= raised - 1) {
        const unsigned i = (unsigned)__builtin_ctzll(raised);

        delta += digest_element(salt, first + i, theirs[i]);
        if (ours[i] != 0) {
            delta -= digest_element(salt, first + i, ours[i]);
        } else {
            ++*fresh_count;
        }
    }
    return delta;
}

unsigned merge_bytes(uint8_t *restrict ours, const struct block *theirs, uint64_t salt,
                     struct merge_result *restrict result)
{
    const uint8_t *values = theirs->values;
    uint64_t delta = 0;
    unsigned fresh_count = 0;

    result->raised.number = theirs->number;
    result->larger.number = theirs->number;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *const to = ours + i * GROUP_BYTES;
        const uint8_t *const from = values + i * GROUP_BYTES;
        const struct group one = group_load(to);
        const struct group other = group_load(from);
        uint64_t raised = 0;
        uint64_t larger = 0;

        if (!group_equal(&one, &other)) {
            const struct group most = group_max(&one, &other);

            raised = ~group_same(&one, &most);
            larger = group_larger(&other, &most);
            /* cppcheck-suppress knownConditionTrueFalse ; it takes ~x for more than 0 */
            if (raised != 0) {
                const uint64_t first = (theirs->number << 8) + i * GROUP_BYTES;

                delta += group_digest_delta(to, from, raised, first, salt, &fresh_count);
                group_store(to, &most);
            }
        }
        result->raised.bits[i] = raised;
        result->larger.bits[i] = larger;
    }
    result->digest_delta = delta;
    return fresh_count;
}

#define MAX(name, type)                                                \
    static void name(type *restrict ours, const type *restrict theirs) \
    {                                                                  \
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {                \
            ours[i] = theirs[i] > ours[i] ? theirs[i] : ours[i];       \
        }                                                              \
    }

MAX(shorts_max, uint16_t)
MAX(words_max, uint32_t)
MAX(longs_max, uint64_t)
#undef MAX

void merge_max(void *ours, const void *theirs, unsigned width)
{
    switch (width) {
    case 1: bytes_max(ours, theirs, BLOCK_ELEMENTS); break;
    case 2: shorts_max(ours, theirs); break;
    case 4: words_max(ours, theirs); break;
    default: longs_max(ours, theirs); break;
    }
}

static unsigned bytes_count(const uint8_t *values)
{
    lanes zeros = { 0 };
    unsigned count = BLOCK_ELEMENTS;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i += LANES) {
        zeros -= (lanes)(lanes_load(values + i) == (lanes){ 0 });
    }
    for (unsigned i = 0; i < LANES; i++) {
        count -= zeros[i];
    }
    return count;
}

unsigned merge_dense_count(const void *values, unsigned width)
{
    unsigned count = 0;

    if (width == 1) {
        return bytes_count(values);
    }
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        count += merge_load(values, width, i) != 0;
    }
    return count;
}
