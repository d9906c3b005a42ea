/* The join of all keys that match a pattern with '*': computed and forgotten, in steps. A lower
 * bound of some moment while writes go on. */

#include "base/hash.h"
#include "http/api.h"
#include "store/pattern.h"

#include <string.h>

#define SLICE_KEYS 64

struct aggregate {
    struct mem *mem;
    uint8_t pattern[HTTP_KEY_BYTES_MAX];
    size_t pattern_size;
    uint8_t after[HTTP_KEY_BYTES_MAX]; /* the last key that is wholly in */
    size_t after_size;
    uint64_t number; /* block to go on from, of the key after that or of the join */
    uint64_t matched;
    uint64_t digest;
    struct vector join;
    struct reply reply;
};

static void aggregate_free(void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;

    vector_clear(&aggregate->join, aggregate->mem);
    mem_free(aggregate->mem, aggregate, sizeof *aggregate);
}

static struct bytes pattern_of(const struct aggregate *aggregate)
{
    return (struct bytes){ aggregate->pattern, aggregate->pattern_size };
}

static enum http_step write_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;
    struct json_writer *json = &aggregate->reply.json;

    (void)context;
    if (!reply_vector(json, &aggregate->join, &aggregate->number, request)) {
        reply_flush(&aggregate->reply);
        return HTTP_STEP_AGAIN;
    }
    json_end_object(json);
    json_end_object(json);
    reply_end(&aggregate->reply);
    return HTTP_STEP_DONE;
}

static enum http_step write_begin(struct http_request *request, struct aggregate *aggregate)
{
    struct json_writer *json;

    if (http_etag_matches(request, aggregate->digest)) {
        http_not_modified(request, aggregate->digest);
        return HTTP_STEP_DONE;
    }
    http_etag(request, aggregate->digest);
    http_stream_begin(request, 200, "application/json", HTTP_LENGTH_UNKNOWN);
    json = reply_begin(&aggregate->reply, request);
    json_begin_object(json);
    json_name(json, "key");
    json_string(json, pattern_of(aggregate));
    json_name(json, "matched");
    json_u64(json, aggregate->matched);
    json_name(json, "size");
    json_u64(json, vector_size(&aggregate->join));
    json_name(json, "digest");
    json_hex64(json, aggregate->digest);
    json_name(json, "vector");
    json_begin_object(json);
    aggregate->number = 0;
    http_continue(request, write_step, aggregate, aggregate_free);
    return HTTP_STEP_AGAIN;
}

/* The digest of the join, salted with the pattern: the same wherever the same was joined. */
static enum http_step digest_step(struct http_request *request, struct http_context *context,
                                  void *state)
{
    static const uint8_t unkeyed[16] = { 0 };
    struct aggregate *aggregate = (struct aggregate *)state;
    const uint64_t salt = hash_sip(unkeyed, pattern_of(aggregate));
    const size_t count = vector_blocks(&aggregate->join);
    struct block_room room;

    (void)context;
    for (size_t i = vector_seek(&aggregate->join, aggregate->number); i < count; i++) {
        const uint64_t number = vector_block(&aggregate->join, i, &room).number;

        aggregate->number = number;
        if (http_step_is_over(request)) {
            return HTTP_STEP_AGAIN;
        }
        aggregate->digest += vector_block_digest(&aggregate->join, number, salt);
    }
    return write_begin(request, aggregate);
}

enum joined { JOINED, JOINED_PART, JOINED_NO_MEMORY };

/* Join one key, from the block where the last step left it. */
static enum joined entry_join(const struct http_request *request, struct aggregate *aggregate,
                              const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = vector_seek(vector, aggregate->number); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);

        if (http_step_is_over(request)) {
            aggregate->number = block.number;
            return JOINED_PART;
        }
        if (vector_merge(&aggregate->join, aggregate->mem, &block, 0, NULL) != STATUS_OK) {
            return JOINED_NO_MEMORY;
        }
    }
    aggregate->number = 0;
    aggregate->matched++;
    return JOINED;
}

static enum joined slice_join(const struct http_request *request, struct aggregate *aggregate,
                              struct entry *const *entries, size_t count)
{
    const bool has_presence = key_is_presence(pattern_of(aggregate));

    for (size_t i = 0; i < count; i++) {
        const struct bytes key = entry_key(entries[i]);
        enum joined joined = JOINED;

        if (http_step_is_over(request)) {
            return JOINED_PART;
        }
        if ((entry_set(entries[i]) == TABLE_D || has_presence)
            && pattern_matches(pattern_of(aggregate), key)) {
            joined = entry_join(request, aggregate, entries[i]);
        }
        if (joined != JOINED) {
            return joined;
        }
        aggregate->after_size = key.size;
        memcpy(aggregate->after, key.data, key.size);
    }
    return JOINED;
}

static enum http_step join_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;
    struct entry *entries[SLICE_KEYS];
    size_t count;

    do {
        const struct bytes after = { aggregate->after, aggregate->after_size };

        count = table_slice(context->table, pattern_prefix(pattern_of(aggregate)), after, entries,
                            SLICE_KEYS);
        switch (slice_join(request, aggregate, entries, count)) {
        case JOINED_PART: return HTTP_STEP_AGAIN;
        case JOINED_NO_MEMORY: reply_memory(request); return HTTP_STEP_DONE;
        case JOINED: break;
        }
    } while (count == SLICE_KEYS);
    aggregate->number = 0;
    http_continue(request, digest_step, aggregate, aggregate_free);
    return HTTP_STEP_AGAIN;
}

void api_aggregate_get(struct http_request *request, struct http_context *context)
{
    const struct bytes pattern = http_key(request);
    struct aggregate *aggregate =
        (struct aggregate *)mem_alloc_zeroed(context->mem, sizeof *aggregate);

    if (aggregate == NULL) {
        reply_memory(request);
        return;
    }
    aggregate->mem = context->mem;
    aggregate->pattern_size = pattern.size;
    memcpy(aggregate->pattern, pattern.data, pattern.size);
    vector_init(&aggregate->join);
    http_continue(request, join_step, aggregate, aggregate_free);
}
