/* The max-update of one key: from a body, or from other keys, `?join=`. The elements are collected
 * and checked first, then joined block by block, and what each block's join found is the answer.
 * All in steps; a small body goes through in the first, in the turn it came. */

#include "http/api_acks.h"
#include "http/api_body.h"
#include "http/api_expire.h"
#include "http/api_gather.h"
#include "store/pattern.h"

/* Blocks, a tenth of a microsecond to one each, between two looks at the clock. */
#define CLOCK_WORK 16

/* An answer about no more than these waits for the disk as it is: some kilobytes. Of others what
 * they are made of waits, which is much less. */
#define WAIT_WHOLE_BLOCKS 1

enum update_phase {
    UPDATE_COLLECT,
    UPDATE_CHECK,
    UPDATE_JOIN,
    UPDATE_ACKS,
    UPDATE_ANSWER,
    UPDATE_WRITE
};

struct update {
    struct mem *mem;
    uint8_t phase;     /* enum update_phase */
    bool is_join;      /* of other keys; else from the body */
    bool is_in_source; /* it is not wholly joined */
    bool is_larger;    /* the second object of the answer is being written */
    bool is_handed_on; /* another state answers */
    unsigned work;     /* since the clock was looked at */
    struct node_update node;
    uint8_t key[HTTP_KEY_BYTES_MAX]; /* that it goes to, where the request has another */
    struct body body;
    struct gather gather;
    size_t source_at;    /* http_query_next() of `?join=` */
    struct bytes source; /* the key that is being joined */
    size_t position;     /* block of the gathered vector that is taken next */
    struct http_applied applied;
    struct acks acks;
    struct merge_result *results; /* one a block */
    size_t results_room;
    size_t blocks; /* that were checked */
    size_t joined;
    size_t written; /* of the results, in the object that is being written */
    struct reply reply;
};

/* How a phase went. */
enum progress { PROGRESS_NEXT, PROGRESS_OVER, PROGRESS_ANSWERED };

/* What was collected. Allowed twice. */
static void source_clear(struct update *update)
{
    if (update->is_join) {
        gather_clear(&update->gather);
    } else {
        body_close(&update->body);
    }
}

static void update_free(void *state)
{
    struct update *update = (struct update *)state;

    source_clear(update);
    mem_free(update->mem, update->results, update->results_room * sizeof *update->results);
    mem_free(update->mem, update, sizeof *update);
}

static bool work_is_over(struct update *update, const struct http_request *request)
{
    if (++update->work < CLOCK_WORK) {
        return false;
    }
    update->work = 0;
    return http_step_is_over(request);
}

/* The next block of what was collected; false: no more, and the next call begins anew. */
static bool block_next(struct update *update, struct block_room *room, struct block *block)
{
    if (!update->is_join) {
        return draft_next_block(update->body.draft, room, block);
    }
    if (update->position == vector_blocks(&update->gather.join)) {
        update->position = 0;
        return false;
    }
    *block = vector_block(&update->gather.join, update->position++, room);
    return true;
}

/* -- collecting ---------------------------------------------------------------------------- */

static enum progress body_collect(struct http_request *request, struct update *update)
{
    for (;;) {
        switch (body_next(&update->body, request)) {
        case READ_DONE: return PROGRESS_NEXT;
        case READ_REFUSED: body_refuse(&update->body, request); return PROGRESS_ANSWERED;
        case READ_MEMORY: http_refuse_memory(request); return PROGRESS_ANSWERED;
        default: break;
        }
        if (http_step_is_over(request)) {
            body_pause(&update->body, request);
            return PROGRESS_OVER;
        }
    }
}

/* Join the sources into a scratch vector: keys, and all keys that match where one is a pattern. */
static enum progress sources_collect(struct http_request *request,
                                     const struct http_context *context, struct update *update)
{
    while (update->is_in_source
           || http_query_next(request, "join", &update->source_at, &update->source)) {
        const enum gather_progress progress =
            pattern_is(update->source)
                ? gather_pattern(&update->gather, request, context->table, update->source)
                : gather_key(&update->gather, request, context->table, update->source);

        update->is_in_source = progress == GATHER_OVER;
        if (progress == GATHER_OVER) {
            return PROGRESS_OVER;
        }
        if (progress == GATHER_MEMORY) {
            http_refuse_memory(request);
            return PROGRESS_ANSWERED;
        }
    }
    return PROGRESS_NEXT;
}

/* -- checking and joining ------------------------------------------------------------------ */

static enum progress blocks_check(struct http_request *request, struct update *update)
{
    struct block_room room;
    struct block block;
    struct fault why;

    while (block_next(update, &room, &block)) {
        if (node_update_check(&update->node, &block, &why) != STATUS_OK) {
            reply_fault(request, update->node.key, &why, NULL);
            return PROGRESS_ANSWERED;
        }
        update->blocks++;
        if (work_is_over(update, request)) {
            return PROGRESS_OVER;
        }
    }
    if (update->blocks > 0) {
        update->results =
            (struct merge_result *)mem_alloc(update->mem, update->blocks * sizeof *update->results);
        if (update->results == NULL) {
            http_refuse_memory(request);
            return PROGRESS_ANSWERED;
        }
        update->results_room = update->blocks;
    }
    return PROGRESS_NEXT;
}

/* Refuse what is left of the update. */
static enum progress join_refuse(struct http_request *request, const struct update *update,
                                 const struct fault *why)
{
    const struct http_place place = { .applied = &update->applied };

    reply_fault(request, update->node.key, why, &place);
    return PROGRESS_ANSWERED;
}

static enum progress blocks_join(struct http_request *request, struct http_context *context,
                                 struct update *update)
{
    struct block_room room;
    struct block block;
    struct fault why;

    if (update->blocks > 0 && !disk_takes(context, false, &why)) {
        return join_refuse(request, update, &why);
    }
    while (block_next(update, &room, &block)) {
        const struct mark mark = block_mark(&block);

        if (node_update_join(context->node, http_now(request), &update->node, &block,
                             &update->results[update->joined], &why)
            != STATUS_OK) {
            return join_refuse(request, update, &why);
        }
        update->joined++;
        update->applied.elements += mark_count(&mark);
        if (work_is_over(update, request)) {
            (void)http_outlive(request); /* without memory for that, it ends with its client */
            return PROGRESS_OVER;
        }
    }
    return PROGRESS_NEXT;
}

/* -- the answer ---------------------------------------------------------------------------- */

/* The elements of one mark, as they are now. */
static void mark_put(struct json_writer *json, const struct vector *vector, const struct mark *mark)
{
    struct block_room room;
    size_t position;
    struct block block;

    if (mark_empty(mark)) {
        return;
    }
    position = vector_seek(vector, mark->number);
    if (position == vector_blocks(vector)) {
        return;
    }
    block = vector_block(vector, position, &room);
    if (block.number == mark->number) {
        json_elements(json, &block, mark);
    }
}

/* The answer may be twice as long as the body: a large one is not collected before it leaves. */
static void answer_begin(struct http_request *request, struct update *update)
{
    const unsigned code = acks_code(&update->acks, update->node.created ? 201 : 200);
    struct json_writer *json;

    if (update->joined > API_AT_ONCE_BLOCKS) {
        http_stream_begin(request, code, "application/json", HTTP_LENGTH_UNKNOWN);
    } else {
        http_begin(request, code, "application/json");
    }
    json = reply_begin(&update->reply, request);
    json_begin_object(json);
    reply_key(json, update->node.key);
    json_name(json, "changed");
    json_begin_object(json);
}

/* The elements of the object that is being written. False: the step is over. */
static bool answer_put(struct http_request *request, struct update *update,
                       const struct entry *entry)
{
    const bool is_stream = update->joined > API_AT_ONCE_BLOCKS;

    while (update->written < update->joined) {
        const struct merge_result *result = &update->results[update->written];

        if (is_stream && http_step_is_over(request)) {
            reply_flush(&update->reply);
            return false;
        }
        if (entry != NULL) {
            mark_put(&update->reply.json, entry_vector(entry),
                     update->is_larger ? &result->larger : &result->raised);
        }
        update->written++;
    }
    return true;
}

static enum progress answer_write(struct http_request *request, const struct http_context *context,
                                  struct update *update)
{
    const struct entry *entry = table_find(context->table, update->node.key);
    struct json_writer *json = &update->reply.json;

    while (answer_put(request, update, entry)) {
        json_end_object(json);
        if (update->is_larger) {
            json_name(json, "digest");
            json_hex64(json, entry == NULL ? 0 : entry_digest(entry));
            acks_put(json, &update->acks);
            json_end_object(json);
            reply_end(&update->reply);
            return PROGRESS_ANSWERED;
        }
        update->is_larger = true;
        update->written = 0;
        json_name(json, "larger");
        json_begin_object(json);
    }
    return PROGRESS_OVER;
}

/* All is joined. A body that says nothing asks for all there is: whatever it is, it is larger. */
static enum progress answer(struct http_request *request, struct http_context *context,
                            struct update *update)
{
    const struct entry *entry = table_find(context->table, update->node.key);

    if (!update->is_join && update->blocks == 0 && entry != NULL
        && vector_size(entry_vector(entry)) > 0) {
        update->is_handed_on = true;
        return api_vector_answer(request, context, entry, API_VECTOR_LARGER) == HTTP_STEP_AGAIN
                   ? PROGRESS_OVER
                   : PROGRESS_ANSWERED;
    }
    if (http_hold(request) && update->joined > WAIT_WHOLE_BLOCKS) {
        source_clear(update);
        return PROGRESS_OVER;
    }
    if (update->acks.wanted == 0 && reply_minimal(request)) {
        return PROGRESS_ANSWERED;
    }
    answer_begin(request, update);
    return PROGRESS_NEXT;
}

/* -- the steps ----------------------------------------------------------------------------- */

static enum http_step update_step(struct http_request *request, struct http_context *context,
                                  void *state)
{
    struct update *update = (struct update *)state;

    for (;;) {
        enum progress progress = PROGRESS_ANSWERED;

        switch ((enum update_phase)update->phase) {
        case UPDATE_COLLECT:
            progress = update->is_join ? sources_collect(request, context, update)
                                       : body_collect(request, update);
            break;
        case UPDATE_CHECK: progress = blocks_check(request, update); break;
        case UPDATE_JOIN: progress = blocks_join(request, context, update); break;
        case UPDATE_ACKS:
            if (acks_wait(request, context, &update->acks) == HTTP_STEP_SLEEP) {
                return HTTP_STEP_SLEEP;
            }
            progress = PROGRESS_NEXT;
            break;
        case UPDATE_ANSWER: progress = answer(request, context, update); break;
        case UPDATE_WRITE: progress = answer_write(request, context, update); break;
        }
        if (progress != PROGRESS_NEXT) {
            return progress == PROGRESS_OVER ? HTTP_STEP_AGAIN : HTTP_STEP_DONE;
        }
        update->phase++;
    }
}

/* Begin the update of the key that the request names, or of that which stands for it since it is to
 * end. False: refused. */
static bool key_begin(struct http_request *request, const struct http_context *context,
                      struct update *update)
{
    const struct bytes named = http_key(request);
    struct bytes key = named;
    struct fault why;
    enum status status = node_update_begin(context->node, named, &update->node, &why);

    if (status == STATUS_OK && !expire_key(request, context, update->key, &key)) {
        return false;
    }
    if (key.data != named.data) {
        status = node_update_begin(context->node, key, &update->node, &why);
    }
    if (status != STATUS_OK) {
        reply_fault(request, key, &why, NULL);
    }
    return status == STATUS_OK;
}

/* Whether the request can be begun: it has one source, and its key may be written to. */
static bool update_begin(struct http_request *request, const struct http_context *context,
                         struct update *update)
{
    update->is_join = http_query_count(request, "join") > 0;
    if (update->is_join) {
        gather_init(&update->gather, context->mem);
    } else if (!body_open(&update->body, request, context, BODY_VECTOR)) {
        http_refuse_memory(request);
        return false;
    }
    if (update->is_join && http_body_size(request) > 0) {
        http_refuse(request, 400, "'join' takes its elements from other keys and no body");
        return false;
    }
    return key_begin(request, context, update);
}

void api_key_post(struct http_request *request, struct http_context *context)
{
    struct update *update = (struct update *)mem_alloc_zeroed(context->mem, sizeof *update);
    enum http_step step = HTTP_STEP_DONE;

    if (update == NULL) {
        http_refuse_memory(request);
        return;
    }
    update->mem = context->mem;
    if (update_begin(request, context, update) && acks_read(request, &update->acks)) {
        step = update_step(request, context, update);
    }
    if (step != HTTP_STEP_DONE && !update->is_handed_on) {
        http_continue(request, update_step, update, update_free);
    } else {
        update_free(update);
    }
}
