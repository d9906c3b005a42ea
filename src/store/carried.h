#ifndef STORE_CARRIED_H
#define STORE_CARRIED_H

/* Marks that left a set and may have to come back to it: a plain list in the order they left, in
 * which a block is as often as it left. To remember one costs an append; who keeps it bounds it.
 *
 * Called by store/marks and disk/notes. Open: it is embedded; only store/carried.c touches the
 * fields, others read them. All zero is empty and holds no memory. */

#include "base/mem.h"
#include "store/table.h"

#include <stdbool.h>
#include <stdint.h>

struct marked {
    struct entry *entry;
    struct mark mark;
};

struct carried {
    struct marked *list;
    uint32_t count;
    uint32_t room;
    bool is_short; /* there was no memory for some of it */
};

/* Give back what it holds, and forget that something was missing. */
void carried_clear(struct carried *carried, struct mem *mem);

/* Remember a mark, or that it could not be. */
void carried_add(struct carried *carried, struct mem *mem, struct entry *entry,
                 const struct mark *mark);

/* Forget entries that were dropped in this turn. Returns whether there were any. O(count). */
bool carried_drop(struct carried *carried);

#endif /* STORE_CARRIED_H */
