#ifndef STORE_RUN_H
#define STORE_RUN_H

/* A run: neighbouring blocks of one vector in one allocation, so that a sketch of 64 blocks costs
 * one malloc and ten bytes a block instead of 64 mallocs and pointers. Called by store/vector
 * only, which strings runs together when one would become larger than RUN_BYTES_MAX.
 *
 *     header | payloads, ascending ->     free     <- ties | heads |
 *
 * Payloads are whole 8-byte units, hence aligned for every width. The two words about a block
 * stand at the end, so that payloads need not move when one more comes: heads (block number << 8 |
 * non-zero elements - 1), which are searched, and ties (first unit of the payload << 3 | class).
 *
 * A block's form follows from its class and its number of non-zero elements alone, and both only
 * rise, so forms never flap. Class: 0 all values are 1; 1, 2, 3, 4 the largest value needs 1, 2, 4
 * or 8 bytes. Form: sparse, which is values and then offsets, or dense, which is 256 values or, in
 * class 0, a bitmap; whichever takes fewer units, dense when equal. A dense block always has 256
 * values of class 1 and above.
 *
 * Open, because every merge reads it; store/run.c and store/vector.c alone touch the fields. */

#include "base/mem.h"
#include "wire/block.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_UNIT_BYTES   8
#define RUN_CLASSES      5
#define RUN_HEADER_UNITS 2  /* payloads begin where 16-byte loads are aligned: 1.4 times faster */
#define RUN_SLOT_BYTES   10 /* a head and a tie */

/* Of a whole run: what 64 dense byte blocks (a HyperLogLog of p = 14) and one small block beside
 * them take, so that such a sketch has no slack. What a new block moves is microseconds still
 * (bench/merge). */
#define RUN_BYTES_MAX 17064
#define RUN_UNITS_MAX (RUN_BYTES_MAX / RUN_UNIT_BYTES)

/* The largest block there is: 256 values of 8 bytes, head and tie. */
#define RUN_BLOCK_BYTES_MAX (BLOCK_ELEMENTS * 8 + RUN_SLOT_BYTES)

struct vector_run {
    uint16_t capacity; /* units of the whole allocation, this header included */
    uint16_t used;     /* units of payloads */
    uint16_t count;    /* blocks */
    uint16_t unused[5];
    uint64_t words[];
};

_Static_assert(sizeof(struct vector_run) == RUN_HEADER_UNITS * RUN_UNIT_BYTES, "the header");
_Static_assert(RUN_UNITS_MAX < 1 << 13, "a tie has 13 bits for the first unit");

/* A block as it is to be kept. */
struct run_block {
    struct block view; /* of count 0 there is none */
    unsigned class;
    unsigned count; /* non-zero elements */
};

/* Units that the payload of a block takes; 0 for none. Rises with both arguments. */
unsigned run_block_units(unsigned class, unsigned count);

/* Class of a block by the bitwise or of its values. */
unsigned run_class(uint64_t bits);

/* Class by all the elements, and their number; zeros are none. O(count). */
struct run_block run_block_measure(const struct block *view);

/* Units of a run with this many units of payload and blocks, without slack. */
size_t run_units_needed(size_t used, size_t count);

/* Units to allocate where so many are needed: an eighth more from 256 bytes on, so that a run which
 * grows by little is rarely moved, up to what malloc gives anyway, but never above RUN_UNITS_MAX
 * when that is enough. */
size_t run_units_rounded(size_t units);

/* An empty run of exactly this capacity, or NULL. */
struct vector_run *run_create(struct mem *mem, size_t units);
void run_free(struct vector_run *run, struct mem *mem);

/* Change the capacity. NULL: the run is as it was. The run may have moved. */
struct vector_run *run_resize(struct vector_run *run, struct mem *mem, size_t units);

static inline const uint64_t *run_heads(const struct vector_run *run)
{
    return (const uint64_t *)(const void *)run + run->capacity - run->count;
}

static inline const uint16_t *run_ties(const struct vector_run *run)
{
    return (const uint16_t *)(const void *)run_heads(run) - run->count;
}

static inline size_t run_bytes(const struct vector_run *run)
{
    return (size_t)run->capacity * RUN_UNIT_BYTES;
}

static inline uint64_t run_number(const struct vector_run *run, unsigned slot)
{
    return run_heads(run)[slot] >> 8;
}

/* First unit of the payload of a block, or of the free room when slot is the count. */
static inline unsigned run_unit(const struct vector_run *run, unsigned slot)
{
    return slot == run->count ? run->used : run_ties(run)[slot] >> 3;
}

/* Position of the first block whose number is >= number; the count when there is none. */
unsigned run_search(const struct vector_run *run, uint64_t number);

/* The same; at once where blocks stand without gaps, as those of a sketch do: the position is then
 * the distance from the first. */
static inline unsigned run_seek(const struct vector_run *run, uint64_t number)
{
    const uint64_t *heads = run_heads(run);
    const uint64_t guess = number - (run->count > 0 ? heads[0] >> 8 : 0);

    if (guess < run->count && heads[guess] >> 8 == number) {
        return (unsigned)guess;
    }
    return run_search(run, number);
}

/* Bytes a value by class, and from how many elements on a block is dense. */
static const uint8_t run_class_width[RUN_CLASSES] = { 1, 1, 2, 4, 8 };
static const uint8_t run_class_dense_from[RUN_CLASSES] = { 13, 125, 169, 204, 227 };

/* The block at a position, by reference to the run: void after any change. Written field by field
 * where it is wanted: views are looked at as soon as they are made, and to copy one just written
 * costs more than to make it. */
static inline struct block run_view(const struct vector_run *run, unsigned slot)
{
    const uint64_t head = run_heads(run)[slot];
    const unsigned tie = run_ties(run)[slot];
    const unsigned class = tie & 7;
    const unsigned count = (unsigned)(head & 0xff) + 1;
    const unsigned width = run_class_width[class];
    const uint8_t *payload = (const uint8_t *)(run->words + (tie >> 3));
    const bool dense = count >= run_class_dense_from[class];

    assert(slot < run->count);
    return (struct block){
        .number = head >> 8,
        .values = payload,
        .offsets = dense ? NULL : payload + (size_t)count * width,
        .count = (uint16_t)(dense ? BLOCK_ELEMENTS : count),
        .width = (uint8_t)(dense && class == 0 ? 0 : width),
    };
}

static inline void run_block_at(const struct vector_run *run, unsigned slot,
                                struct run_block *block_out)
{
    block_out->view = run_view(run, slot);
    block_out->class = run_ties(run)[slot] & 7;
    block_out->count = (unsigned)(run_heads(run)[slot] & 0xff) + 1;
}

/* Whether the block at a position is dense in this width; 0 is a bitmap. */
static inline bool run_is_dense(const struct vector_run *run, unsigned slot, unsigned width)
{
    static const uint8_t widths[RUN_CLASSES] = { 0, 1, 2, 4, 8 };
    const unsigned class = run_ties(run)[slot] & 7;

    return width == widths[class]
           && (run_heads(run)[slot] & 0xff) + 1 >= run_class_dense_from[class];
}

/* Free units, after what `count` more blocks would take. */
bool run_fits(const struct vector_run *run, size_t more_units, unsigned more_count);

/* Lay out a block's payload: run_block_units() units into `payload`, which is as many. */
void run_pack(const struct run_block *block, void *payload);

/* The same for what ours becomes when theirs is joined into it. */
void run_pack_joined(const struct run_block *joined, const struct run_block *ours,
                     const struct block *theirs, void *payload);

/* Put a new block in front of position `slot`, or replace the one at `slot` by a form that is not
 * smaller. Asserts that it fits. */
void run_insert(struct vector_run *run, unsigned slot, const struct run_block *block,
                const void *payload);
void run_replace(struct vector_run *run, unsigned slot, const struct run_block *block,
                 const void *payload);

/* Values of the block at `slot`, which is dense in bytes, for merge_bytes(); and after it: so many
 * of them are new. */
static inline uint8_t *run_values(struct vector_run *run, unsigned slot)
{
    return (uint8_t *)(run->words + (run_ties(run)[slot] >> 3));
}
void run_count(struct vector_run *run, unsigned slot, unsigned fresh_count);

/* Join theirs into the block at `slot`, both dense in the same width, not 0. Returns how many
 * elements are new. */
unsigned run_max(struct vector_run *run, unsigned slot, const struct block *theirs);

/* Join as many blocks from position `from` of theirs on as stand in the same order from `slot` of
 * ours on and are full on both sides: 256 bytes, none 0. Those are one stretch of memory. Returns
 * how many. */
unsigned run_max_stretch(struct vector_run *run, unsigned slot, const struct vector_run *theirs,
                         unsigned from);

/* Write theirs where `raised` says so, into the block at `slot`, which has all those elements or
 * is dense; `fresh_count` of them are new. Neither class nor form may change by it. */
void run_raise(struct vector_run *run, unsigned slot, const struct block *theirs,
               const struct mark *raised, unsigned fresh_count);

/* Move the blocks from position `slot` on into `upper`, which is empty and has the room. */
void run_split(struct vector_run *run, unsigned slot, struct vector_run *upper);

/* Abort unless everything above holds. Returns the number of elements. */
uint64_t run_audit(const struct vector_run *run);

#endif /* STORE_RUN_H */
