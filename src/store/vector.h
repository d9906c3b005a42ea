#ifndef STORE_VECTOR_H
#define STORE_VECTOR_H

/* A sparse vector of unsigned 64-bit integers that only rise: the value kept under every key.
 *
 * An index that was never raised reads 0. Elements are kept in blocks of 256 consecutive indices
 * (wire/block.h), sorted by block number. Inside, a block is sparse (an offset and a value each)
 * or dense (256 values) with values 1, 2, 4 or 8 bytes wide, or, where all its values are 1, a
 * bitmap; whichever is smallest. The form follows from the number of elements and the width of the
 * largest, which both only rise, so forms do not flap. Neighbouring blocks share one allocation, a
 * run (store/run.h); a vector with more than RUN_BYTES_MAX of them has several, in a directory, so
 * that no merge moves more than one run and the directory: microseconds at a million blocks.
 *
 * Up to INLINED_BYTES of elements live in the struct itself, which is why it is open: it is
 * embedded in the table's entry. Nobody outside store/vector.c reads a field.
 *
 * Called by store/table (which owns the vectors that are kept) and by http and view (which fill
 * scratch vectors from request bodies and hand them to node). It never does I/O, never logs,
 * never reads a clock, knows no key.
 *
 * Errors: only what can allocate can fail, with STATUS_MEMORY, and a failed call has changed
 * nothing. Broken preconditions are bugs of the caller and abort.
 *
 * Source: the two container forms are the idea of Chambi, Lemire, Kaser and Godin, "Better bitmap
 * performance with Roaring bitmaps" (2016), with max in place of or. */

#include "base/mem.h"
#include "base/status.h"
#include "store/inlined.h"
#include "store/merge_result.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vector_run; /* store/run.h */
struct directory;  /* vector.c: several runs */

/* Size matters more than anything here: it is embedded in every entry. */
struct vector {
    union {
        struct {
            uint64_t size; /* non-zero elements */
            union {
                struct vector_run *run;
                struct directory *directory;
            } at;
            uint8_t unused[INLINED_BYTES + 1 - sizeof(uint64_t) - sizeof(void *)];
            uint8_t form; /* vector.c: inlined, one run, several */
        } heap;
        struct inlined inlined;
    };
};

_Static_assert(sizeof(struct vector) == INLINED_BYTES + 2, "no byte of a vector is lost");

/* {0: 1}, for what only is or is not. */
extern const struct vector vector_one;

/* Make an empty vector. Cannot fail; allocates nothing. */
void vector_init(struct vector *vector);

/* Give back what it holds. The vector is empty afterwards and may be used again. */
void vector_clear(struct vector *vector, struct mem *mem);

/* Value at an index; 0 when it was never raised. O(log blocks). */
uint64_t vector_get(const struct vector *vector, uint64_t index);

/* Join one block into the vector: every element becomes the larger of the two.
 *
 * vector   raised in place
 * mem      the account the vector has been charged to since it was empty
 * block    1..256 elements; must not point into this vector; zero values are ignored
 * salt     of the digest: the key's hash (store/digest.h)
 * result   out; written whole, also when nothing rose. NULL: only join, which is several times
 *          faster; for scratch vectors (unions, aggregates, start-up)
 *
 * Returns STATUS_OK, or STATUS_MEMORY with vector and result untouched.
 *
 * Owns: nothing of block is kept. Blocks lent by vector_block() are void afterwards.
 * Time: O(log blocks) to find the block, then one pass over it. For two dense blocks of the same
 * width a first pass without branches asks whether anything differs; only then are marks made. */
MUST_CHECK enum status vector_merge(struct vector *vector, struct mem *mem,
                                    const struct block *block, uint64_t salt,
                                    struct merge_result *result);

/* Join a whole vector: as merging each of its blocks with result NULL, but sketches as fast as
 * memory is. For unions in scratch vectors.
 *
 * STATUS_MEMORY: some of the blocks have been joined. */
MUST_CHECK enum status vector_join(struct vector *vector, struct mem *mem,
                                   const struct vector *more);

/* Number of blocks; 0 when empty, whatever the form. */
size_t vector_blocks(const struct vector *vector);

/* Lend the block at a position, 0 <= position < vector_blocks(). Blocks come in ascending order of
 * number. The view is valid until the vector is next merged into or cleared, or the room reused
 * (inlined elements are unpacked into it). O(log runs). */
struct block vector_block(const struct vector *vector, size_t position, struct block_room *room);

/* Position of the first block whose number is >= number; block count when there is none. */
size_t vector_seek(const struct vector *vector, uint64_t number);

/* Number of non-zero elements. O(1). */
uint64_t vector_size(const struct vector *vector);

/* Bytes charged to the account for this vector (not the struct itself). O(1). */
uint64_t vector_heap_bytes(const struct vector *vector);

/* The digest computed from scratch: the sum of digest_element() over all elements. O(n). */
uint64_t vector_digest(const struct vector *vector, uint64_t salt);

/* The sum over one block alone, by its number; 0 when it is not there. */
uint64_t vector_block_digest(const struct vector *vector, uint64_t number, uint64_t salt);

/* Abort unless every invariant above holds: order, widths, counts, no zero stored. O(n); called
 * by the simulator and after every step of the fuzzers, never by the daemon. */
void vector_audit(const struct vector *vector);

#endif /* STORE_VECTOR_H */
