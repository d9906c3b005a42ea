#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Take `size` bytes from the reserve that is drawn on; what it does not have is charged to the
 * account, so that a promise that was too small is still within the limit. */
static bool mem_charge(struct mem *mem, size_t size)
{
    struct mem_reserve *draw = mem->draw;
    uint64_t promised = draw == NULL ? 0 : draw->bytes < size ? draw->bytes : size;
    uint64_t more = size - promised;

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
    return true;
}

/* The system said no while a promise is being kept: give the ballast back to it, once. */
static bool mem_drop_ballast(struct mem *mem)
{
    if (mem->draw == NULL || mem->draw->ballast == NULL) {
        return false;
    }
    free(mem->draw->ballast);
    mem->draw->ballast = NULL;
    mem->draw->ballast_size = 0;
    return true;
}

void *mem_alloc(struct mem *mem, size_t size)
{
    void *block;

    assert(size >= 1);
    if (!mem_charge(mem, size)) {
        return NULL;
    }
    block = malloc(size);
    if (block == NULL && mem_drop_ballast(mem)) {
        block = malloc(size);
    }
    if (block == NULL) {
        mem->used_bytes -= size;
    }
    return block;
}

void *mem_alloc_zeroed(struct mem *mem, size_t size)
{
    void *block = mem_alloc(mem, size);

    if (block != NULL) {
        memset(block, 0, size);
    }
    return block;
}

void *mem_grow(struct mem *mem, void *block, size_t size_old, size_t size_new)
{
    size_t more = size_new > size_old ? size_new - size_old : 0;
    void *grown;

    assert(size_new >= 1);
    assert(block != NULL || size_old == 0);
    assert(mem->used_bytes >= size_old);
    if (more > 0 && !mem_charge(mem, more)) {
        return NULL;
    }
    grown = realloc(block, size_new);
    if (grown == NULL && mem_drop_ballast(mem)) {
        grown = realloc(block, size_new);
    }
    if (grown == NULL) {
        mem->used_bytes -= more;
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

bool mem_reserve(struct mem *mem, struct mem_reserve *reserve, uint64_t bytes)
{
    assert(reserve->bytes == 0 && reserve->ballast == NULL);
    assert(mem->draw == NULL);
    if (bytes == 0) {
        return true;
    }
    if (bytes > SIZE_MAX || !mem_charge(mem, (size_t)bytes)) {
        return false;
    }
    reserve->ballast = malloc((size_t)bytes);
    if (reserve->ballast == NULL) {
        mem->used_bytes -= bytes;
        return false;
    }
    reserve->ballast_size = (size_t)bytes;
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
