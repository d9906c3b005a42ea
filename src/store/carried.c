#include "store/carried.h"

#include <assert.h>
#include <stddef.h>

#define ROOM_FIRST UINT32_C(16)
#define ROOM_MAX   (UINT32_C(1) << 30)

static size_t list_bytes(uint32_t room)
{
    return room * sizeof(struct marked);
}

void carried_clear(struct carried *carried, struct mem *mem)
{
    mem_free(mem, carried->list, list_bytes(carried->room));
    *carried = (struct carried){ .count = 0 };
}

static bool list_grow(struct carried *carried, struct mem *mem)
{
    const uint32_t room = carried->room == 0 ? ROOM_FIRST : carried->room * 2;
    struct marked *list;

    assert(room <= ROOM_MAX);
    list = mem_grow(mem, carried->list, list_bytes(carried->room), list_bytes(room));
    if (list == NULL) {
        return false;
    }
    carried->list = list;
    carried->room = room;
    return true;
}

void carried_add(struct carried *carried, struct mem *mem, struct entry *entry,
                 const struct mark *mark)
{
    if (carried->count == carried->room && !list_grow(carried, mem)) {
        carried->is_short = true;
        return;
    }
    carried->list[carried->count++] = (struct marked){ .entry = entry, .mark = *mark };
}

bool carried_drop(struct carried *carried)
{
    const uint32_t before = carried->count;
    uint32_t count = 0;

    for (uint32_t i = 0; i < before; i++) {
        if (!entry_dropped(carried->list[i].entry)) {
            carried->list[count++] = carried->list[i];
        }
    }
    carried->count = count;
    return count < before;
}
