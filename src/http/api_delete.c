/* Deleting keys: one, or all that match a pattern. */

#include "http/api_acks.h"
#include "store/pattern.h"

#include <string.h>

#define SLICE_KEYS 64

#define PATTERN_GIVEN "this is a pattern; DELETE /keys?match= deletes all keys that match one"
#define PATTERN_NONE                                                       \
    "'match' must be a pattern with at least one character beside %% and " \
    "*: nothing deletes all keys"

/* A key that was deleted, or a pattern whose keys are being deleted. The cursor is a copy of the
 * last key that was looked at: what is written meanwhile behind it is not met again. */
struct deleting {
    struct mem *mem;
    struct acks acks;
    uint64_t deleted;
    uint64_t deleted_before; /* this step */
    uint32_t generation;     /* that the key is in */
    size_t pattern_size;
    size_t after_size;
    uint8_t pattern[HTTP_KEY_BYTES_MAX];
    uint8_t after[HTTP_KEY_BYTES_MAX];
};

static void deleting_free(void *state)
{
    struct deleting *deleting = (struct deleting *)state;

    mem_free(deleting->mem, deleting, sizeof *deleting);
}

/* NULL: refused. */
static struct deleting *deleting_begin(struct http_request *request,
                                       const struct http_context *context)
{
    struct acks acks = { .wanted = 0 };
    struct deleting *deleting;

    if (!acks_read(request, &acks)) {
        return NULL;
    }
    deleting = (struct deleting *)mem_alloc_zeroed(context->mem, sizeof *deleting);
    if (deleting == NULL) {
        http_refuse_memory(request);
        return NULL;
    }
    deleting->mem = context->mem;
    deleting->acks = acks;
    return deleting;
}

static enum http_step key_deleted_step(struct http_request *request, struct http_context *context,
                                       void *state)
{
    struct deleting *deleting = (struct deleting *)state;
    struct reply reply;
    struct json_writer *json;

    if (acks_wait(request, context, &deleting->acks) == HTTP_STEP_SLEEP) {
        return HTTP_STEP_SLEEP;
    }
    (void)http_hold(request);
    if (deleting->acks.wanted == 0 && reply_minimal(request)) {
        return HTTP_STEP_DONE;
    }
    http_begin(request, acks_code(&deleting->acks, 200), "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "key");
    json_string(json, http_key(request));
    json_name(json, "generation");
    json_u64(json, deleting->generation);
    acks_put(json, &deleting->acks);
    json_end_object(json);
    reply_end(&reply);
    return HTTP_STEP_DONE;
}

/* False: refused. */
static bool key_delete(struct http_request *request, struct http_context *context,
                       uint32_t *generation)
{
    const struct bytes key = http_key(request);
    const struct entry *entry = table_find(context->table, key);
    struct fault why;

    if (pattern_is(key)) {
        http_refuse(request, 400, PATTERN_GIVEN);
        return false;
    }
    if (!node_is_reserved(key) && (entry == NULL || vector_size(entry_vector(entry)) == 0)) {
        http_refuse(request, 404, "no such key here");
        return false;
    }
    if (!disk_takes(context, true, &why)
        || node_delete(context->node, http_now(request), key, generation, &why) != STATUS_OK) {
        reply_fault(request, key, &why, NULL);
        return false;
    }
    return true;
}

void api_key_delete(struct http_request *request, struct http_context *context)
{
    struct deleting *deleting = deleting_begin(request, context);

    if (deleting == NULL) {
        return;
    }
    if (key_delete(request, context, &deleting->generation)
        && key_deleted_step(request, context, deleting) == HTTP_STEP_SLEEP) {
        http_continue(request, key_deleted_step, deleting, deleting_free);
    } else {
        deleting_free(deleting);
    }
}

static enum http_step deleted_answer(struct http_request *request,
                                     const struct http_context *context, struct deleting *deleting)
{
    struct reply reply;
    struct json_writer *json;

    if (acks_wait(request, context, &deleting->acks) == HTTP_STEP_SLEEP) {
        return HTTP_STEP_SLEEP;
    }
    (void)http_hold(request);
    http_begin(request, acks_code(&deleting->acks, 200), "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "deleted");
    json_u64(json, deleting->deleted);
    acks_put(json, &deleting->acks);
    json_end_object(json);
    reply_end(&reply);
    return HTTP_STEP_DONE;
}

/* Each key that goes is work for the node as the turn ends; but one goes in every step. */
static bool is_over(const struct deleting *deleting, const struct http_request *request,
                    const struct http_context *context)
{
    return http_step_is_over(request)
           || (deleting->deleted > deleting->deleted_before && !node_work_allows(context->node));
}

/* Delete what matches in a slice, as far as the step goes. */
static enum status slice_delete(struct deleting *deleting, struct http_request *request,
                                struct http_context *context, struct entry *const *entries,
                                size_t count, struct fault *why)
{
    const struct bytes pattern = { deleting->pattern, deleting->pattern_size };

    for (size_t i = 0; i < count && !is_over(deleting, request, context); i++) {
        const struct bytes key = entry_key(entries[i]);
        enum status status;
        uint32_t generation;

        deleting->after_size = key.size;
        memcpy(deleting->after, key.data, key.size);
        if (entry_set(entries[i]) != TABLE_DATA || entry_ended(context->table, entries[i])
            || !pattern_matches(pattern, key)) {
            continue;
        }
        status = node_delete(context->node, http_now(request), key, &generation, why);
        if (status != STATUS_OK) {
            return status;
        }
        deleting->deleted++;
    }
    return STATUS_OK;
}

static enum http_step deleting_step(struct http_request *request, struct http_context *context,
                                    void *state)
{
    struct deleting *deleting = (struct deleting *)state;
    const struct bytes pattern = { deleting->pattern, deleting->pattern_size };
    struct entry *entries[SLICE_KEYS];
    struct fault why;
    size_t count = deleting->acks.turn_us == 0;

    deleting->deleted_before = deleting->deleted;
    while (count > 0) {
        const struct bytes after = { deleting->after, deleting->after_size };

        if (is_over(deleting, request, context)) {
            return HTTP_STEP_AGAIN;
        }
        count = table_slice(context->table, pattern_prefix(pattern), after, entries, SLICE_KEYS);
        if (!disk_takes(context, true, &why)
            || slice_delete(deleting, request, context, entries, count, &why) != STATUS_OK) {
            (void)fault_prefix(&why, "%llu keys were deleted, then ",
                               (unsigned long long)deleting->deleted);
            reply_fault(request, (struct bytes){ NULL, 0 }, &why, NULL);
            return HTTP_STEP_DONE;
        }
    }
    return deleted_answer(request, context, deleting);
}

/* Whether a pattern says anything of the keys that match. */
static bool is_literal_somewhere(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.data[i] != '%' && pattern.data[i] != '*') {
            return true;
        }
    }
    return false;
}

void api_keys_delete(struct http_request *request, struct http_context *context)
{
    struct deleting *deleting;
    struct bytes pattern;

    if (!http_query(request, "match", &pattern) || pattern.size > sizeof deleting->pattern
        || !is_literal_somewhere(pattern)) {
        http_refuse(request, 400, PATTERN_NONE);
        return;
    }
    deleting = deleting_begin(request, context);
    if (deleting == NULL) {
        return;
    }
    deleting->pattern_size = pattern.size;
    memcpy(deleting->pattern, pattern.data, pattern.size);
    http_continue(request, deleting_step, deleting, deleting_free);
}
