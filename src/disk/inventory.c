#include "disk/inventory.h"

#include <assert.h>
#include <string.h>

bool inventory_init(struct inventory *inventory, struct mem *mem, const struct disk_found *found,
                    size_t count, size_t more)
{
    *inventory = (struct inventory){ .count = count, .room = count + more };
    inventory->list = mem_alloc(mem, inventory->room * sizeof *inventory->list);
    if (inventory->list == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(inventory->list, found, count * sizeof *found);
    }
    return true;
}

void inventory_clear(struct inventory *inventory, struct mem *mem)
{
    mem_free(mem, inventory->list,
             inventory->list == NULL ? 0 : inventory->room * sizeof *inventory->list);
}

static size_t position_of(const struct inventory *inventory, struct disk_file file)
{
    size_t i = 0;

    while (i < inventory->count
           && (inventory->list[i].file.number != file.number
               || inventory->list[i].file.kind != file.kind)) {
        i++;
    }
    return i;
}

void inventory_put(struct inventory *inventory, struct disk_file file, uint64_t size)
{
    const size_t i = position_of(inventory, file);

    assert(i < inventory->room);
    inventory->list[i] = (struct disk_found){ .file = file, .size = size };
    inventory->count = i == inventory->count ? i + 1 : inventory->count;
}

void inventory_take(struct inventory *inventory, struct disk_file file)
{
    const size_t i = position_of(inventory, file);

    if (i < inventory->count) {
        inventory->list[i] = inventory->list[--inventory->count];
    }
}

bool inventory_doomed(const struct inventory *inventory, struct disk_file *file_out)
{
    for (size_t i = 0; i < inventory->count; i++) {
        const struct disk_file file = inventory->list[i].file;

        if (file.number < inventory->floor
            || (file.kind == DISK_DRAFT && file.number != inventory->draft)) {
            *file_out = file;
            return true;
        }
    }
    return false;
}

bool inventory_has_older(const struct inventory *inventory, uint64_t number)
{
    for (size_t i = 0; i < inventory->count; i++) {
        if (inventory->list[i].file.number < number) {
            return true;
        }
    }
    return false;
}

size_t inventory_logs(const struct inventory *inventory, uint64_t *bytes_out)
{
    size_t count = 0;

    *bytes_out = 0;
    for (size_t i = 0; i < inventory->count; i++) {
        const struct disk_found *found = &inventory->list[i];

        if (found->file.kind == DISK_LOG && found->file.number >= inventory->floor) {
            *bytes_out += found->size;
            count++;
        }
    }
    return count;
}
