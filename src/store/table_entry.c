/* What readers of a table may know of an entry or a tombstone by itself. */

#include "store/entry.h"
#include "store/table.h"
#include "store/tombstone.h"

#include <assert.h>

struct bytes entry_key(const struct entry *entry)
{
    assert(!entry_is_tombstone(entry));
    return entry_key_of(entry);
}

const struct vector *entry_vector(const struct entry *entry)
{
    return entry_is_tombstone(entry) ? &vector_one : &entry->vector;
}

uint64_t entry_digest(const struct entry *entry)
{
    return !entry_is_tombstone(entry) && entry_empty(entry) ? 0 : either_digest(entry);
}

uint32_t entry_generation(const struct entry *entry)
{
    return either_generation(entry);
}

uint32_t entry_deadline(const struct entry *entry)
{
    return either_deadline(entry);
}

uint64_t entry_deleted_hash(const struct entry *tombstone)
{
    return entry_tombstone(tombstone)->hash;
}

bool entry_deleted(const struct entry *entry)
{
    return entry_is_tombstone(entry);
}

enum table_set entry_set(const struct entry *entry)
{
    return either_set(entry);
}

bool entry_dropped(const struct entry *entry)
{
    return either_is_dropped(entry);
}
