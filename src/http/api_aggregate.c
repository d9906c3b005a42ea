/* The join of all keys that match a pattern with '*': computed and forgotten, in steps. A lower
 * bound of some moment while writes go on.
 *
 * A join may become as large as the store, and many could fill the memory that requests may hold
 * without one of them being complete. So they stand in line: a few at a time are joined, and where
 * memory ends the younger ones give up theirs and begin anew once they are the oldest. */

#include "base/hash.h"
#include "http/api_gather.h"
#include "http/api_packed.h"

#include <string.h>

#define JOINS_AT_ONCE 4 /* so that a small join does not wait for a large one */

struct aggregate {
    struct mem *mem;
    struct http_request *request;
    struct api_line *line;        /* NULL: it has left it */
    TAILQ_ENTRY(aggregate) place; /* in it */
    bool has_given_way;           /* it waits until it is the oldest */
    uint8_t pattern[HTTP_KEY_BYTES_MAX];
    size_t pattern_size;
    uint64_t number; /* of the join, on its way out: block to go on from */
    uint64_t digest;
    struct gather gather;
    struct reply reply;
};

/* -- the line ------------------------------------------------------------------------------ */

static void line_enter(struct api_line *line, struct aggregate *aggregate)
{
    aggregate->line = line;
    TAILQ_INSERT_TAIL(line, aggregate, place);
}

static void line_leave(struct aggregate *aggregate)
{
    struct api_line *line = aggregate->line;
    const struct aggregate *next;

    if (line == NULL) {
        return;
    }
    TAILQ_REMOVE(line, aggregate, place);
    aggregate->line = NULL;
    next = TAILQ_FIRST(line);
    for (unsigned i = 0; i < JOINS_AT_ONCE && next != NULL; i++) {
        http_wake(next->request);
        next = TAILQ_NEXT(next, place);
    }
}

/* Whether it is among those that are joined. */
static bool line_allows(const struct aggregate *aggregate)
{
    const struct aggregate *one = TAILQ_FIRST(aggregate->line);

    if (aggregate->has_given_way) {
        return one == aggregate;
    }
    for (unsigned i = 1; i < JOINS_AT_ONCE && one != NULL && one != aggregate; i++) {
        one = TAILQ_NEXT(one, place);
    }
    return one == aggregate;
}

static void give_way(struct aggregate *aggregate)
{
    gather_clear(&aggregate->gather);
    aggregate->has_given_way = true;
}

/* Memory has ended. False: this one is the oldest, and no other has any to give. */
static bool room_make(struct aggregate *aggregate)
{
    struct aggregate *other = TAILQ_FIRST(aggregate->line);
    bool is_made = false;

    if (other != aggregate) {
        give_way(aggregate);
        return true;
    }
    while ((other = TAILQ_NEXT(other, place)) != NULL) {
        if (vector_heap_bytes(&other->gather.join) > 0) {
            give_way(other);
            is_made = true;
        }
    }
    return is_made;
}

static void aggregate_free(void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;

    line_leave(aggregate);
    gather_clear(&aggregate->gather);
    mem_free(aggregate->mem, aggregate, sizeof *aggregate);
}

/* -- writing ------------------------------------------------------------------------------- */

static struct bytes pattern_of(const struct aggregate *aggregate)
{
    return (struct bytes){ aggregate->pattern, aggregate->pattern_size };
}

static enum http_step write_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;

    (void)context;
    if (!reply_vector(&aggregate->reply, &aggregate->gather.join, &aggregate->number, request)) {
        reply_flush(&aggregate->reply);
        return HTTP_STEP_AGAIN;
    }
    reply_vector_end(&aggregate->reply);
    return HTTP_STEP_DONE;
}

/* All but the elements. */
static void head_put(struct json_writer *json, const struct aggregate *aggregate)
{
    json_begin_object(json);
    json_name(json, "key");
    json_string(json, pattern_of(aggregate));
    json_name(json, "matched");
    json_u64(json, aggregate->gather.matched);
    json_name(json, "size");
    json_u64(json, vector_size(&aggregate->gather.join));
    json_name(json, "digest");
    json_hex64(json, aggregate->digest);
    json_name(json, "vector");
    json_begin_object(json);
}

static void packed_head_put(struct output *output, const struct aggregate *aggregate)
{
    const uint64_t size = vector_size(&aggregate->gather.join);

    packed_map(output, 5);
    packed_name(output, "key");
    packed_text(output, pattern_of(aggregate));
    packed_name(output, "matched");
    packed_u64(output, aggregate->gather.matched);
    packed_name(output, "size");
    packed_u64(output, size);
    packed_name(output, "digest");
    packed_hex64(output, aggregate->digest);
    packed_name(output, "vector");
    packed_map(output, size);
}

static enum http_step write_begin(struct http_request *request, struct aggregate *aggregate)
{
    const char *type;
    enum api_form form;

    if (http_etag_matches(request, aggregate->digest)) {
        http_not_modified(request, aggregate->digest);
        return HTTP_STEP_DONE;
    }
    form = reply_form(request, API_JSON | API_PACKED, &type);
    http_etag(request, aggregate->digest);
    http_stream_begin(request, 200, type, HTTP_LENGTH_UNKNOWN);
    reply_begin_form(&aggregate->reply, request, form);
    if (form == API_PACKED) {
        packed_head_put(&aggregate->reply.output, aggregate);
    } else {
        head_put(&aggregate->reply.json, aggregate);
    }
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
    const size_t count = vector_blocks(&aggregate->gather.join);
    struct block_room room;

    (void)context;
    for (size_t i = vector_seek(&aggregate->gather.join, aggregate->number); i < count; i++) {
        const uint64_t number = vector_block(&aggregate->gather.join, i, &room).number;

        aggregate->number = number;
        if (http_step_is_over(request)) {
            return HTTP_STEP_AGAIN;
        }
        aggregate->digest += vector_block_digest(&aggregate->gather.join, number, salt);
    }
    return write_begin(request, aggregate);
}

/* -- joining ------------------------------------------------------------------------------- */

/* A join that takes most of the memory by itself will not fit a second later either. */
static enum http_step refuse_memory(struct http_request *request, const struct aggregate *aggregate)
{
    const uint64_t limit_bytes = aggregate->mem->limit_bytes;

    if (limit_bytes > 0 && vector_heap_bytes(&aggregate->gather.join) > limit_bytes / 2) {
        http_refuse(
            request, 507,
            "the join of these keys takes more than http-max-memory (%llu bytes) leaves; ask "
            "for fewer or raise it",
            (unsigned long long)limit_bytes);
    } else {
        http_refuse_memory(request);
    }
    return HTTP_STEP_DONE;
}

static enum http_step join_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct aggregate *aggregate = (struct aggregate *)state;

    if (!line_allows(aggregate)) {
        return HTTP_STEP_SLEEP;
    }
    aggregate->has_given_way = false;
    switch (gather_pattern(&aggregate->gather, request, context->table, pattern_of(aggregate))) {
    case GATHER_OVER: return HTTP_STEP_AGAIN;
    case GATHER_MEMORY:
        return room_make(aggregate) ? HTTP_STEP_AGAIN : refuse_memory(request, aggregate);
    case GATHER_DONE: break;
    }
    line_leave(aggregate);
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
        http_refuse_memory(request);
        return;
    }
    aggregate->mem = context->mem;
    aggregate->pattern_size = pattern.size;
    memcpy(aggregate->pattern, pattern.data, pattern.size);
    gather_init(&aggregate->gather, context->mem);
    aggregate->request = request;
    line_enter(&context->line, aggregate);
    http_continue(request, join_step, aggregate, aggregate_free);
}
