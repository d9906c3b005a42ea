#ifndef BASE_MEM_H
#define BASE_MEM_H

/* An account of bytes. Everything the core allocates is charged to the account it was created
 * with, so that a node's limit is its own even when thousands of nodes share a process, and so
 * that a test can make the nth allocation fail. Open, because it is embedded and its owner sets
 * limit and countdown; used_bytes is written here alone.
 *
 * A caller gives sizes back exactly: the account keeps no header of its own in front of a block,
 * which for the store's small vectors would cost more than the vectors. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem {
    uint64_t used_bytes;     /* allocated */
    uint64_t limit_bytes;    /* 0: none */
    uint64_t fail_countdown; /* tests: the allocation that takes it to 0 fails; 0: never */
};

/* A block of `size` >= 1 bytes, not initialised, aligned for any type.
 *
 * NULL when the limit, the countdown or malloc says no; nothing is charged then.
 * Owns: the caller, until mem_free() with the same size. */
void *mem_alloc(struct mem *mem, size_t size);

/* The same, filled with zero bytes. */
void *mem_alloc_zeroed(struct mem *mem, size_t size);

/* Change a block's size, keeping the smaller of both sizes' content. `block` may be NULL when
 * size_old is 0. NULL: the old block is as it was and still charged. Shrinking cannot meet the
 * limit or the countdown, but malloc may still say no. */
void *mem_grow(struct mem *mem, void *block, size_t size_old, size_t size_new);

/* Give back a block of exactly this size. NULL with size 0 is allowed. */
void mem_free(struct mem *mem, void *block, size_t size);

/* Charge, or give back, bytes that a library holds for the account's owner. They are there already,
 * so that this cannot fail: it may take the account past its limit, where allocations fail. */
void mem_hold(struct mem *mem, uint64_t bytes);
void mem_let_go(struct mem *mem, uint64_t bytes);

/* What the limit leaves; UINT64_MAX when there is none. */
uint64_t mem_left(const struct mem *mem);

#endif /* BASE_MEM_H */
