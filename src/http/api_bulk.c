/* Updates of many keys. The body is read twice: first it is checked whole, so that what is wrong
 * with it refuses it as a whole, then it is applied. Only memory, or max-keys where others write
 * too, can end that half-way: joins are idempotent, and the body may be sent again. Readers see a
 * part of it meanwhile. */

#include "http/api_acks.h"
#include "http/api_body.h"

/* Blocks and updates, tens of nanoseconds to a microsecond each, between two looks at the clock. */
#define CLOCK_WORK 32

struct bulk {
    struct mem *mem;
    struct body body;
    struct draft *taking;      /* an update that was read; NULL: none is left of it */
    struct node_update update; /* the same, and its key, for node */
    bool is_applying;
    bool is_applied; /* all of it */
    bool has_blocks;
    struct http_applied applied;
    struct acks acks;
    uint64_t new_keys; /* not seen when they were checked, less those that were created since */
    uint64_t changed;
    uint64_t elements_raised;
    unsigned work; /* since the clock was looked at */
};

static void bulk_free(void *state)
{
    struct bulk *bulk = (struct bulk *)state;

    body_close(&bulk->body);
    mem_free(bulk->mem, bulk, sizeof *bulk);
}

/* Whether the step is over, asked after each piece of work: looking at the clock costs as much as a
 * small one. */
static bool work_is_over(struct bulk *bulk, const struct http_request *request)
{
    if (++bulk->work < CLOCK_WORK) {
        return false;
    }
    bulk->work = 0;
    return http_step_is_over(request);
}

/* Refuse for what node has against the update. Once something is applied it is not the body that is
 * at fault. */
static enum http_step update_refuse(struct http_request *request, struct bulk *bulk,
                                    const struct fault *why)
{
    const struct http_place applied = { .applied = &bulk->applied };
    const struct http_place place = bulk->is_applying ? applied : body_place(&bulk->body);

    reply_fault(request, bulk->update.key, why, &place);
    return HTTP_STEP_DONE;
}

/* There is no memory to read on. */
static enum http_step memory_refuse(struct http_request *request, const struct bulk *bulk)
{
    const struct http_place applied = { .applied = &bulk->applied };
    struct fault why;

    if (bulk->is_applying) {
        (void)fault_set(&why, STATUS_MEMORY,
                        "there is no memory to read the rest of the body; send it again");
        http_problem(request, 503, &why, &applied);
    } else {
        http_refuse_memory(request);
    }
    return HTTP_STEP_DONE;
}

static enum status block_take(struct http_request *request, struct http_context *context,
                              struct bulk *bulk, const struct block *block, struct fault *why)
{
    struct merge_result merged;
    enum status status;

    bulk->has_blocks = true;
    if (!bulk->is_applying) {
        return node_update_check(&bulk->update, block, why);
    }
    status = node_update_join(context->node, http_now(request), &bulk->update, block, &merged, why);
    bulk->applied.elements += status == STATUS_OK ? block->count : 0;
    return status;
}

/* The update was taken whole. */
static void update_end(struct http_context *context, struct bulk *bulk)
{
    const struct node_update *update = &bulk->update;

    bulk->taking = NULL;
    if (bulk->is_applying) {
        bulk->applied.keys++;
        bulk->changed += update->elements_raised > 0 ? 1 : 0;
        bulk->elements_raised += update->elements_raised;
        bulk->new_keys -= update->created && bulk->new_keys > 0 ? 1 : 0;
    } else if (bulk->has_blocks && table_find(context->table, update->key) == NULL) {
        bulk->new_keys++;
    }
}

/* An update was read (`has_read`), or the body is at its end. To be applied it waits for the next
 * one. */
static enum status update_begin(const struct http_context *context, struct bulk *bulk,
                                bool has_read, struct fault *why)
{
    struct draft *read = bulk->body.draft;

    bulk->has_blocks = false;
    if (!bulk->is_applying) {
        bulk->taking = read;
        bulk->update.key = draft_key(read); /* should it be refused */
        return node_update_begin(context->node, draft_key(read), &bulk->update, why);
    }
    if (has_read) {
        table_prefetch(context->table, draft_key(read));
    }
    bulk->taking = body_hold(&bulk->body, has_read);
    if (bulk->taking != NULL) {
        bulk->update = (struct node_update){ .key = draft_key(bulk->taking) };
    }
    return STATUS_OK;
}

/* More new keys than there may be are refused at once, where each of them stands once. */
static bool keys_fit(const struct http_context *context, const struct bulk *bulk, struct fault *why)
{
    const struct table_stats stats = table_stats(context->table);
    const uint64_t keys = stats.keys[TABLE_DATA];

    if (stats.keys_max == 0 || body_repeats_keys(&bulk->body) || bulk->new_keys == 0
        || (keys <= stats.keys_max && bulk->new_keys <= stats.keys_max - keys)) {
        return true;
    }
    (void)fault_set(why, STATUS_FULL, "the update has more new keys than max-keys (%llu) leaves",
                    (unsigned long long)stats.keys_max);
    return false;
}

static enum http_step answer(struct http_request *request, const struct bulk *bulk)
{
    struct reply reply;
    struct json_writer *json;

    (void)http_hold(request);
    if (bulk->acks.wanted == 0 && reply_minimal(request)) {
        return HTTP_STEP_DONE;
    }
    http_begin(request, acks_code(&bulk->acks, 200), "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "keys");
    json_u64(json, bulk->applied.keys);
    json_name(json, "changed");
    json_u64(json, bulk->changed);
    json_name(json, "elements_raised");
    json_u64(json, bulk->elements_raised);
    acks_put(json, &bulk->acks);
    json_end_object(json);
    reply_end(&reply);
    return HTTP_STEP_DONE;
}

/* All was read: and is right, or is applied but for the last one. */
static enum http_step body_done(struct http_request *request, const struct http_context *context,
                                struct bulk *bulk)
{
    struct fault why;

    if (bulk->is_applying) {
        (void)update_begin(context, bulk, false, &why);
        bulk->is_applied = bulk->taking == NULL;
        return HTTP_STEP_AGAIN;
    }
    if (!keys_fit(context, bulk, &why)) {
        reply_fault(request, (struct bytes){ NULL, 0 }, &why, NULL);
        return HTTP_STEP_DONE;
    }
    if (!body_again(&bulk->body, request)) {
        return memory_refuse(request, bulk);
    }
    bulk->is_applying = true;
    table_expect(context->table, bulk->new_keys);
    return HTTP_STEP_AGAIN;
}

/* One piece of work. HTTP_STEP_AGAIN: there is more. */
static enum http_step go_on(struct http_request *request, struct http_context *context,
                            struct bulk *bulk)
{
    enum status status = STATUS_OK;
    struct block_room room;
    struct block block;
    struct fault why;

    if (bulk->is_applied) {
        const enum http_step step = acks_wait(request, context, &bulk->acks);

        return step == HTTP_STEP_DONE ? answer(request, bulk) : step;
    }
    if (bulk->taking != NULL) {
        if (draft_next_block(bulk->taking, &room, &block)) {
            status = block_take(request, context, bulk, &block, &why);
        } else {
            update_end(context, bulk);
        }
    } else {
        switch (body_next(&bulk->body, request)) {
        case READ_MORE: break;
        case READ_BUSY: bulk->work += CLOCK_WORK; break; /* a part of sorting */
        case READ_UPDATE: status = update_begin(context, bulk, true, &why); break;
        case READ_DONE: return body_done(request, context, bulk);
        case READ_REFUSED: body_refuse(&bulk->body, request); return HTTP_STEP_DONE;
        default: return memory_refuse(request, bulk);
        }
    }
    return status == STATUS_OK ? HTTP_STEP_AGAIN : update_refuse(request, bulk, &why);
}

static enum http_step bulk_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct bulk *bulk = (struct bulk *)state;
    enum http_step step;
    struct fault why;

    if (!bulk->is_applied && !disk_takes(context, false, &why)) {
        return update_refuse(request, bulk, &why);
    }
    if (bulk->is_applying && !bulk->is_applied) {
        table_expect(context->table, bulk->new_keys);
    }
    do {
        step = go_on(request, context, bulk);
    } while (step == HTTP_STEP_AGAIN && !work_is_over(bulk, request));
    if (step == HTTP_STEP_AGAIN) {
        body_pause(&bulk->body, request);
        if (bulk->is_applying) {
            (void)http_outlive(request); /* without memory for that, it ends with its client */
        }
    }
    return step;
}

void api_keys_post(struct http_request *request, struct http_context *context)
{
    struct bulk *bulk = (struct bulk *)mem_alloc_zeroed(context->mem, sizeof *bulk);
    enum http_step step = HTTP_STEP_DONE;

    if (bulk == NULL) {
        http_refuse_memory(request);
        return;
    }
    bulk->mem = context->mem;
    if (!body_open(&bulk->body, request, context, BODY_KEYS)) {
        http_refuse_memory(request);
    } else if (acks_read(request, &bulk->acks)) {
        step = bulk_step(request, context, bulk);
    }
    if (step != HTTP_STEP_DONE) {
        http_continue(request, bulk_step, bulk, bulk_free);
    } else {
        bulk_free(bulk);
    }
}
