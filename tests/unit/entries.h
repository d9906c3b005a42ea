#ifndef UNIT_ENTRIES_H
#define UNIT_ENTRIES_H

/* Entries without a table, for the tests of the indexes. */

#include "base/deadline.h"
#include "store/digest.h"
#include "store/slab.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

/* Id of a new entry whose vector is empty and whose digest is as given. */
static inline uint32_t entry_make(struct slabs *slabs, struct mem *mem, struct bytes key,
                                  uint64_t digest)
{
    const unsigned flags = deadline_of(key) == DEADLINE_NONE ? 0 : ENTRY_DATED;
    uint32_t id = 0;
    struct entry *entry = slabs_alloc(slabs, mem, entry_bytes(key.size, flags), &id);

    assert(entry != NULL);
    memset(entry, 0, offsetof(struct entry, key));
    vector_init(&entry->vector);
    entry->digest = digest;
    entry->link = id;
    entry->key_size = (uint8_t)key.size;
    entry->flags = (uint8_t)flags;
    memcpy(entry->key, key.data, key.size);
    return id;
}

#endif /* UNIT_ENTRIES_H */
