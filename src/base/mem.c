#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A bite of the ballast beyond what is needed, for the allocator's own ends. */
#define MEM_BALLAST_STEP ((size_t)64 << 10)

/* Take `size` bytes from the reserve that is drawn on; what it does not have is charged to the
 * account, so that a promise that was too small is still within the limit. `promised_out` is the
 * reserve's part. */
static bool mem_charge(struct mem *mem, size_t size, uint64_t *promised_out)
{
    struct mem_reserve *draw = mem->draw;
    const uint64_t promised = draw == NULL ? 0 : draw->bytes < size ? draw->bytes : size;
    const uint64_t more = size - promised;

    if (more > 0 && mem->fail_countdown > 0 && --mem->fail_countdown == 0) {
        return false;
    }
    if (more > 0 && mem->limit_bytes > 0
        && (mem->used_bytes > mem->limit_bytes || more > mem->limit_bytes - mem->used_bytes)) {
        return false;
    }
    if (promised > 0) {
        draw->bytes -= promised;
    }
    mem->used_bytes += more;
    *promised_out = promised;
    return true;
}

/* Undo a charge. */
static void mem_refund(struct mem *mem, size_t size, uint64_t promised)
{
    mem->used_bytes -= size - promised;
    if (promised > 0) {
        mem->draw->bytes += promised;
    }
}

/* The system said no while a promise is being kept: give back as much of the ballast as the
 * allocation needs and some more for the allocator's own ends, but not all of it, since others
 * would take the rest before the promise is kept to its end. False: there is none left. */
static bool mem_shrink_ballast(struct mem *mem, size_t size)
{
    struct mem_reserve *draw = mem->draw;
    size_t give = MEM_BALLAST_STEP;
    void *smaller = NULL;

    if (draw == NULL || draw->ballast == NULL) {
        return false;
    }
    if (size < draw->ballast_size) {
        give += size;
    }
    if (give < draw->ballast_size) {
        smaller = realloc(draw->ballast, draw->ballast_size - give);
    }
    if (smaller == NULL) {
        free(draw->ballast);
        give = draw->ballast_size;
    }
    draw->ballast = smaller;
    draw->ballast_size -= give;
    return true;
}

/* calloc() knows which memory is zero already: a large block costs nothing before it is used. */
static void *block_alloc(size_t size, bool zeroed)
{
    return zeroed ? calloc(1, size) : malloc(size);
}

static void *alloc(struct mem *mem, size_t size, bool zeroed)
{
    uint64_t promised;
    void *block;

    assert(size >= 1);
    if (!mem_charge(mem, size, &promised)) {
        return NULL;
    }
    block = block_alloc(size, zeroed);
    while (block == NULL && mem_shrink_ballast(mem, size)) {
        block = block_alloc(size, zeroed);
    }
    if (block == NULL) {
        mem_refund(mem, size, promised);
    }
    return block;
}

void *mem_alloc(struct mem *mem, size_t size)
{
    return alloc(mem, size, false);
}

void *mem_alloc_zeroed(struct mem *mem, size_t size)
{
    return alloc(mem, size, true);
}

void *mem_grow(struct mem *mem, void *block, size_t size_old, size_t size_new)
{
    const size_t more = size_new > size_old ? size_new - size_old : 0;
    uint64_t promised = 0;
    void *grown;

    assert(size_new >= 1);
    assert(block != NULL || size_old == 0);
    assert(mem->used_bytes >= size_old);
    if (more > 0 && !mem_charge(mem, more, &promised)) {
        return NULL;
    }
    grown = realloc(block, size_new);
    while (grown == NULL && mem_shrink_ballast(mem, size_new)) {
        grown = realloc(block, size_new);
    }
    if (grown == NULL) {
        mem_refund(mem, more, promised);
        return NULL;
    }
    if (size_new < size_old) {
        mem->used_bytes -= size_old - size_new;
    }
    return grown;
}

void mem_free(struct mem *mem, void *block, size_t size)
{
    assert(block != NULL || size == 0);
    assert(mem->used_bytes >= size);
    mem->used_bytes -= size;
    free(block);
}

void mem_hold(struct mem *mem, uint64_t bytes)
{
    mem->used_bytes += bytes;
}

void mem_let_go(struct mem *mem, uint64_t bytes)
{
    assert(mem->used_bytes >= bytes);
    mem->used_bytes -= bytes;
}

uint64_t mem_left(const struct mem *mem)
{
    if (mem->limit_bytes == 0) {
        return UINT64_MAX;
    }
    return mem->used_bytes < mem->limit_bytes ? mem->limit_bytes - mem->used_bytes : 0;
}

bool mem_reserve(struct mem *mem, struct mem_reserve *reserve, uint64_t bytes)
{
    uint64_t promised;

    assert(reserve->bytes == 0 && reserve->ballast == NULL);
    assert(mem->draw == NULL);
    if (bytes == 0) {
        return true;
    }
    if (bytes > SIZE_MAX / 2 || !mem_charge(mem, (size_t)bytes, &promised)) {
        return false;
    }
    /* A quarter more than was promised: malloc's own share, and what others get of the bites. */
    reserve->ballast_size = (size_t)bytes + (size_t)bytes / 4;
    reserve->ballast = malloc(reserve->ballast_size);
    if (reserve->ballast == NULL) {
        reserve->ballast_size = 0;
        mem_refund(mem, (size_t)bytes, promised);
        return false;
    }
    reserve->bytes = bytes;
    return true;
}

void mem_draw(struct mem *mem, struct mem_reserve *reserve)
{
    mem->draw = reserve;
}

void mem_release(struct mem *mem, struct mem_reserve *reserve)
{
    assert(mem->used_bytes >= reserve->bytes);
    if (mem->draw == reserve) {
        mem->draw = NULL;
    }
    mem->used_bytes -= reserve->bytes;
    free(reserve->ballast);
    *reserve = (struct mem_reserve){ 0 };
}
