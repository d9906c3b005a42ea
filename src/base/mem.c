#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/* What is used may lie above a limit that was lowered: it stays, and nothing is added. */
static bool mem_charge(struct mem *mem, size_t size)
{
    if (mem->fail_countdown > 0 && --mem->fail_countdown == 0) {
        return false;
    }
    if (mem->limit_bytes > 0
        && (mem->used_bytes > mem->limit_bytes || size > mem->limit_bytes - mem->used_bytes)) {
        return false;
    }
    mem->used_bytes += size;
    return true;
}

/* calloc() knows which memory is zero already: a large block costs nothing before it is used. */
static void *alloc(struct mem *mem, size_t size, bool zeroed)
{
    void *block;

    assert(size >= 1);
    if (!mem_charge(mem, size)) {
        return NULL;
    }
    block = zeroed ? calloc(1, size) : malloc(size);
    if (block == NULL) {
        mem->used_bytes -= size;
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
    void *grown;

    assert(size_new >= 1);
    assert(block != NULL || size_old == 0);
    assert(mem->used_bytes >= size_old);
    if (more > 0 && !mem_charge(mem, more)) {
        return NULL;
    }
    grown = realloc(block, size_new);
    if (grown == NULL) {
        mem->used_bytes -= more;
    } else if (size_new < size_old) {
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
