#ifndef DISK_INVENTORY_H
#define DISK_INVENTORY_H

/* Which files a directory holds, as far as a journal knows, and which of them may go: all whose
 * number is below `floor`, and drafts but the one that is being written.
 *
 * Called by disk/journal. Open: it is embedded; only disk/inventory.c touches the fields. */

#include "base/mem.h"
#include "disk/operation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inventory {
    struct disk_found *list;
    size_t count;
    size_t room;
    uint64_t floor; /* of the snapshot that stands, 0: none. What is below it is told by it */
    uint64_t draft; /* number of the one that is being written, 0: none */
};

/* Begin with what is there, and room for so many more. False: no memory. */
bool inventory_init(struct inventory *inventory, struct mem *mem, const struct disk_found *found,
                    size_t count, size_t more);
void inventory_clear(struct inventory *inventory, struct mem *mem);

/* A file is there, or may be; of this size by now. There is room. */
void inventory_put(struct inventory *inventory, struct disk_file file, uint64_t size);

/* It is gone, if it was there. */
void inventory_take(struct inventory *inventory, struct disk_file file);

/* The next one that may go. False: none. Time O(count). */
bool inventory_doomed(const struct inventory *inventory, struct disk_file *file_out);

/* Whether there is a file that a snapshot of this number would let go. Time O(count). */
bool inventory_has_older(const struct inventory *inventory, uint64_t number);

/* How many logs a start would read, and how many bytes of them. */
size_t inventory_logs(const struct inventory *inventory, uint64_t *bytes_out);

#endif /* DISK_INVENTORY_H */
