#include "http/api_gather.h"

#include "store/pattern.h"

#include <string.h>

#define SLICE_KEYS     64
#define SHARE_OF_OTHER 8   /* joins leave an eighth of the memory to other requests */
#define WHOLE_BLOCKS   256 /* of a vector that is joined in one go */

void gather_init(struct gather *gather, struct mem *mem)
{
    *gather = (struct gather){ .mem = mem };
    vector_init(&gather->join);
}

void gather_clear(struct gather *gather)
{
    vector_clear(&gather->join, gather->mem);
    gather_init(gather, gather->mem);
}

/* Join one block of a vector, or all of it (`block` NULL). */
static bool part_join(struct gather *gather, const struct vector *vector, const struct block *block)
{
    struct mem *mem = gather->mem;

    if (mem_left(mem) < mem->limit_bytes / SHARE_OF_OTHER) {
        return false;
    }
    return (block == NULL ? vector_join(&gather->join, mem, vector)
                          : vector_merge(&gather->join, mem, block, 0, NULL))
           == STATUS_OK;
}

/* Join one key's vector, from the block where the last step left it. */
static enum gather_progress elements_join(struct gather *gather, const struct http_request *request,
                                          const struct table *table, const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const uint64_t hash = entry_hash(table, entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    gather->number = gather->inside == hash ? gather->number : 0;
    gather->inside = hash;
    if (count <= WHOLE_BLOCKS) {
        if (!part_join(gather, vector, NULL)) {
            return GATHER_MEMORY;
        }
        gather->number = 0;
        gather->matched++;
        return GATHER_DONE;
    }
    for (size_t i = vector_seek(vector, gather->number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        gather->number = block.number;
        if (http_step_is_over(request)) {
            return GATHER_OVER;
        }
        if (!part_join(gather, vector, &block)) {
            return GATHER_MEMORY;
        }
    }
    gather->number = 0;
    gather->matched++;
    return GATHER_DONE;
}

enum gather_progress gather_key(struct gather *gather, const struct http_request *request,
                                const struct table *table, struct bytes key)
{
    const struct entry *entry = table_find(table, key);

    return entry == NULL ? GATHER_DONE : elements_join(gather, request, table, entry);
}

static enum gather_progress slice_join(struct gather *gather, const struct http_request *request,
                                       const struct table *table, struct bytes pattern,
                                       struct entry *const *entries, size_t count)
{
    const bool has_presence = key_is_presence(pattern);

    for (size_t i = 0; i < count; i++) {
        const struct bytes key = entry_key(entries[i]);
        enum gather_progress progress = GATHER_DONE;

        if (http_step_is_over(request)) {
            return GATHER_OVER;
        }
        if ((entry_set(entries[i]) == TABLE_DATA || has_presence) && pattern_matches(pattern, key)
            && !entry_ended(table, entries[i])) {
            progress = elements_join(gather, request, table, entries[i]);
        }
        if (progress != GATHER_DONE) {
            return progress;
        }
        gather->after_size = key.size;
        memcpy(gather->after, key.data, key.size);
    }
    return GATHER_DONE;
}

enum gather_progress gather_pattern(struct gather *gather, const struct http_request *request,
                                    const struct table *table, struct bytes pattern)
{
    struct entry *entries[SLICE_KEYS];
    size_t count;

    do {
        const struct bytes after = { gather->after, gather->after_size };
        enum gather_progress progress;

        count = table_slice(table, pattern_prefix(pattern), after, entries, SLICE_KEYS);
        progress = slice_join(gather, request, table, pattern, entries, count);
        if (progress != GATHER_DONE) {
            return progress;
        }
    } while (count == SLICE_KEYS);
    gather->after_size = 0;
    return GATHER_DONE;
}
