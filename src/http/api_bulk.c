#include "http/api_bulk.h"

#include "http/api_body.h"
#include "http/api_gather.h"
#include "store/pattern.h"
#include "view/batch.h"

#include <assert.h>
#include <string.h>

#define RETRY_US      50000 /* between two tries when memory went in the middle of applying */
#define UPDATES_AHEAD 6     /* between fetching what a key needs and needing it: microseconds */
#define BLOCKS_AHEAD  4     /* an update of so many takes longer than what it would wait for */
#define TRIES_MAX     200

#define PREFERENCE "return=minimal"

/* Beside what the updates need by themselves: a block or a list that is copied while it grows. */
#define RESERVE_SLACK_BYTES 262144
/* Blocks and updates, tens of nanoseconds to a microsecond each, between two looks at the clock. */
#define CLOCK_WORK 32

/* What stands between the first byte of a body and its answer. */
struct bulk {
    struct mem *mem;
    struct table *table;
    uint8_t form;   /* enum bulk_form */
    bool is_open;   /* the body */
    bool is_busy;   /* the reader has work left, whether or not the body is all read */
    bool is_taking; /* blocks of an update go from the draft or the join to the batch */
    bool is_in_update;
    bool is_created; /* the one key is new */
    bool has_raised; /* the update that is being applied raised something */
    struct body body;
    struct batch batch;
    struct vector piece; /* of an update, API_PIECE_BLOCKS at most */
    struct reservation reserved;
    uint64_t keys_needed;
    uint64_t bytes_needed;
    uint64_t bytes_left; /* of the promise, after the most that was drawn on it */
    unsigned tries;
    unsigned work; /* since the clock was looked at */

    uint64_t changed;
    uint64_t elements_raised;
    struct batch_cursor cursor;
    struct batch_cursor ahead; /* of the updates whose keys are fetched into cache */
    unsigned ahead_count;      /* updates between the two */
    struct bytes key;          /* of the update that is being applied; lent by the batch */

    /* One key: what its merges found, to be answered. */
    struct merge_result *results; /* NULL: of many keys, nothing is kept */
    size_t blocks_taken;          /* of the body: one result each at most */
    size_t results_room;
    size_t results_count;
    size_t written; /* of the results, in the object that is being written */
    bool is_larger; /* that object is the second one */
    struct reply reply;

    /* Joining other keys. */
    struct gather gather;
    size_t source_at;    /* http_query_next() of `?join=` */
    struct bytes source; /* the key that is being joined */
    bool is_in_source;
    size_t joined_position; /* block of the join that goes to the batch next */
};

static void bulk_free(void *state)
{
    struct bulk *bulk = (struct bulk *)state;

    if (bulk->is_open) {
        body_close(&bulk->body);
    }
    batch_clear(&bulk->batch);
    vector_clear(&bulk->piece, bulk->mem);
    gather_clear(&bulk->gather);
    table_release(bulk->table, &bulk->reserved);
    mem_free(bulk->mem, bulk->results, bulk->results_room * sizeof *bulk->results);
    mem_free(bulk->mem, bulk, sizeof *bulk);
}

/* Whether the step is over, asked after each piece: looking at the clock costs as much as a small
 * one. */
static bool work_is_over(struct bulk *bulk, const struct http_request *request)
{
    bulk->work++;
    if (bulk->work < CLOCK_WORK) {
        return false;
    }
    bulk->work = 0;
    return http_step_is_over(request);
}

/* What a piece of an update could newly charge. The one change of a new key is in what is promised
 * for the key. */
static uint64_t piece_bytes_max(const struct entry *entry, const struct vector *piece)
{
    return entry == NULL && vector_blocks(piece) <= 1 ? vector_merge_bytes_max(NULL, piece)
                                                      : table_merge_bytes_max(entry, piece);
}

static struct bytes bulk_key(const struct bulk *bulk, const struct http_request *request)
{
    return bulk->form == BULK_KEYS ? draft_key(&bulk->body.draft) : http_key(request);
}

/* -- answers ------------------------------------------------------------------------------- */

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

/* To what was begun. */
static struct json_writer *update_head(struct reply *reply, struct http_request *request)
{
    struct json_writer *json = reply_begin(reply, request);

    json_begin_object(json);
    json_name(json, "key");
    json_string(json, http_key(request));
    json_name(json, "changed");
    json_begin_object(json);
    return json;
}

/* Answer with no more than a code, if the client would rather have that. False: it would not. */
static bool minimal_answer(struct http_request *request)
{
    if (!http_prefers(request, PREFERENCE)) {
        return false;
    }
    http_header_add(request, "Preference-Applied", PREFERENCE);
    http_begin(request, 204, NULL);
    return true;
}

static void update_tail(struct reply *reply, const struct entry *entry)
{
    struct json_writer *json = &reply->json;

    json_end_object(json);
    json_name(json, "digest");
    json_hex64(json, entry == NULL ? 0 : entry_digest(entry));
    json_end_object(json);
    reply_end(reply);
}

static void larger_begin(struct json_writer *json)
{
    json_end_object(json);
    json_name(json, "larger");
    json_begin_object(json);
}

void update_answer(struct http_request *request, const struct node_update_result *result)
{
    const struct vector *vector = result->entry == NULL ? NULL : entry_vector(result->entry);
    struct reply reply;
    struct json_writer *json;

    if (minimal_answer(request)) {
        return;
    }
    http_begin(request, result->created ? 201 : 200, "application/json");
    json = update_head(&reply, request);
    for (size_t i = 0; i < result->blocks_count; i++) {
        mark_put(json, vector, &result->blocks[i].raised);
    }
    larger_begin(json);
    for (size_t i = 0; i < result->blocks_count; i++) {
        mark_put(json, vector, &result->blocks[i].larger);
    }
    update_tail(&reply, result->entry);
}

/* The same in steps, from the results that were kept. */
static enum http_step answer_step(struct http_request *request, struct http_context *context,
                                  void *state)
{
    struct bulk *bulk = (struct bulk *)state;
    struct json_writer *json = &bulk->reply.json;
    const struct entry *entry = table_find(context->table, http_key(request));

    for (;;) {
        const struct merge_result *result;

        if (bulk->written == bulk->results_count) {
            if (bulk->is_larger) {
                update_tail(&bulk->reply, entry);
                return HTTP_STEP_DONE;
            }
            bulk->is_larger = true;
            bulk->written = 0;
            larger_begin(json);
            continue;
        }
        if (http_step_is_over(request)) {
            reply_flush(&bulk->reply);
            return HTTP_STEP_AGAIN;
        }
        result = &bulk->results[bulk->written++];
        if (entry != NULL) {
            mark_put(json, entry_vector(entry),
                     bulk->is_larger ? &result->larger : &result->raised);
        }
    }
}

static enum http_step applied(struct http_request *request, struct bulk *bulk)
{
    struct json_writer *json;

    table_release(bulk->table, &bulk->reserved);
    if (minimal_answer(request)) {
        return HTTP_STEP_DONE;
    }
    if (bulk->form != BULK_KEYS) {
        /* It may say as much as the body twice over. */
        http_stream_begin(request, bulk->is_created ? 201 : 200, "application/json",
                          HTTP_LENGTH_UNKNOWN);
        (void)update_head(&bulk->reply, request);
        http_continue(request, answer_step, bulk, bulk_free);
        return HTTP_STEP_AGAIN;
    }
    http_begin(request, 200, "application/json");
    json = reply_begin(&bulk->reply, request);
    json_begin_object(json);
    json_name(json, "keys");
    json_u64(json, batch_updates(&bulk->batch));
    json_name(json, "changed");
    json_u64(json, bulk->changed);
    json_name(json, "elements_raised");
    json_u64(json, bulk->elements_raised);
    json_end_object(json);
    reply_end(&bulk->reply);
    return HTTP_STEP_DONE;
}

static enum http_step out_of_memory(struct http_request *request)
{
    http_refuse_memory(request);
    return HTTP_STEP_DONE;
}

/* -- applying ------------------------------------------------------------------------------ */

/* Before an update is taken: look some updates on, and fetch what their keys will be looked for in
 * while others are applied. Where one of them is large the way to the next is not walked. */
static void ahead_move(struct bulk *bulk)
{
    for (unsigned i = 0; i < 2 && bulk->ahead_count < UPDATES_AHEAD; i++) {
        struct block_room room;
        struct block block;
        struct bytes key;
        unsigned blocks = 0;

        if (bulk->ahead_count == 0) {
            bulk->ahead = bulk->cursor;
        }
        if (!batch_next_key(&bulk->ahead, &key)) {
            return;
        }
        table_prefetch(bulk->table, key);
        while (batch_next_block(&bulk->ahead, &room, &block)) {
            if (++blocks == BLOCKS_AHEAD) {
                bulk->ahead_count = 0;
                return;
            }
        }
        bulk->ahead_count++;
    }
}

/* The next blocks of the update that is being applied. False: it is through. */
static bool piece_load(struct bulk *bulk)
{
    struct block_room room;
    struct block block;

    while (vector_blocks(&bulk->piece) < API_PIECE_BLOCKS) {
        const struct batch_cursor before = bulk->cursor;

        if (!batch_next_block(&bulk->cursor, &room, &block)) {
            bulk->is_in_update = false;
            break;
        }
        if (vector_merge(&bulk->piece, bulk->mem, &block, 0, NULL) != STATUS_OK) {
            bulk->cursor = before; /* what is there is tried first */
            break;
        }
    }
    return vector_blocks(&bulk->piece) > 0;
}

static void results_keep(struct bulk *bulk, const struct node_update_result *result)
{
    const size_t left = bulk->results_room - bulk->results_count;
    const size_t count = result->blocks_count < left ? result->blocks_count : left;

    if (bulk->results != NULL && count > 0) {
        memcpy(bulk->results + bulk->results_count, result->blocks, count * sizeof *bulk->results);
        bulk->results_count += count;
    }
}

/* Merge the piece. What it needs is asked again here, from the vector as it is now: an update
 * before it in this body, or a peer's meanwhile, may have changed it. */
static enum status piece_apply(struct http_request *request, struct http_context *context,
                               struct bulk *bulk)
{
    const struct node_update update = { .key = bulk->key, .elements = &bulk->piece };
    const struct entry *entry = table_find(bulk->table, bulk->key);
    const uint64_t needed = piece_bytes_max(entry, &bulk->piece);
    struct reservation extra = { 0 };
    struct reservation *reservation = &bulk->reserved;
    struct node_update_result result;
    enum status status;

    if (needed <= bulk->bytes_left) {
        bulk->bytes_left -= needed;
    } else {
        status = table_reserve(bulk->table, entry == NULL ? 1 : 0, needed, &extra);
        if (status != STATUS_OK) {
            return status;
        }
        reservation = &extra;
    }
    status = node_apply(context->node, http_now(request), &update, reservation, &result);
    table_release(bulk->table, &extra);
    if (status != STATUS_OK) {
        return status;
    }
    bulk->elements_raised += result.elements_raised;
    bulk->has_raised |= result.elements_raised > 0;
    bulk->is_created |= result.created;
    results_keep(bulk, &result);
    bulk->work += (unsigned)vector_blocks(&bulk->piece);
    vector_clear(&bulk->piece, bulk->mem);
    return STATUS_OK;
}

/* Memory went although it was promised: other parts of the process took it from malloc. What waits
 * is small; try again for a while. */
static enum http_step apply_later(struct http_request *request, struct bulk *bulk)
{
    if (bulk->tries++ < TRIES_MAX) {
        http_timer(request, RETRY_US);
        return HTTP_STEP_SLEEP;
    }
    http_refuse(
        request, 507,
        "the memory of max-memory ran out in the middle of applying the update; a part of it "
        "is kept, and repeating it is harmless");
    return HTTP_STEP_DONE;
}

/* Take the next update. False: no more. */
static bool update_next(struct bulk *bulk, struct http_request *request)
{
    if (bulk->form == BULK_KEYS) {
        ahead_move(bulk);
    }
    if (!batch_next_key(&bulk->cursor, &bulk->key)) {
        return false;
    }
    bulk->ahead_count -= bulk->ahead_count > 0;
    if (bulk->form != BULK_KEYS) {
        bulk->key = http_key(request);
    }
    return true;
}

static enum http_step apply_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct bulk *bulk = (struct bulk *)state;

    for (;;) {
        if (vector_blocks(&bulk->piece) == 0 && !bulk->is_in_update) {
            bulk->changed += bulk->has_raised ? 1 : 0;
            bulk->has_raised = false;
            if (!update_next(bulk, request)) {
                return applied(request, bulk);
            }
            bulk->is_in_update = true;
        }
        if (vector_blocks(&bulk->piece) > 0 || piece_load(bulk)) {
            if (piece_apply(request, context, bulk) != STATUS_OK) {
                return apply_later(request, bulk);
            }
        } else if (bulk->is_in_update) {
            return apply_later(request, bulk);
        }
        if (work_is_over(bulk, request)) {
            return HTTP_STEP_AGAIN;
        }
    }
}

/* A large body that says nothing: whatever is there is larger. */
static enum http_step answer_nothing(struct http_request *request, struct http_context *context)
{
    const struct node_update_result nothing = { 0 };
    const struct entry *entry = table_find(context->table, http_key(request));

    if (entry != NULL && vector_size(entry_vector(entry)) > 0) {
        return api_vector_answer(request, context, entry, API_VECTOR_LARGER);
    }
    update_answer(request, &nothing);
    return HTTP_STEP_DONE;
}

static void room_refusal(const struct http_context *context, enum status status, struct fault *why)
{
    const struct table_stats limits = table_stats(context->table);

    if (status == STATUS_FULL) {
        (void)fault_set(why, status, "the update has more new keys than max-keys (%llu) leaves",
                        (unsigned long long)limits.keys_max);
    } else {
        (void)fault_set(why, status,
                        "the update does not fit into what max-memory (%llu bytes) leaves",
                        (unsigned long long)limits.limit_bytes);
    }
}

/* All was read and is right: promise room for it. From here on nothing of the input can fail. */
static enum http_step accept(struct http_request *request, struct http_context *context,
                             struct bulk *bulk)
{
    const uint64_t bytes = bulk->bytes_needed + RESERVE_SLACK_BYTES;
    enum status status;
    struct fault why;

    if (bulk->is_open) {
        body_close(&bulk->body);
        bulk->is_open = false;
    }
    vector_clear(&bulk->piece, bulk->mem); /* the last one that was checked */
    if (bulk->form == BULK_KEY && bulk->blocks_taken == 0) {
        return answer_nothing(request, context);
    }
    if (bulk->form != BULK_KEYS && bulk->blocks_taken > 0) {
        bulk->results =
            (struct merge_result *)mem_alloc(bulk->mem, bulk->blocks_taken * sizeof *bulk->results);
        if (bulk->results == NULL) {
            return out_of_memory(request);
        }
        bulk->results_room = bulk->blocks_taken;
    }
    status = table_reserve(bulk->table, bulk->keys_needed, bytes, &bulk->reserved);
    if (status != STATUS_OK) {
        room_refusal(context, status, &why);
        reply_fault(request, (struct bytes){ NULL, 0 }, &why, NULL);
        return HTTP_STEP_DONE;
    }
    bulk->bytes_left = bytes;
    bulk->cursor = batch_first(&bulk->batch);
    if (!http_outlive(request)) {
        http_refuse(request, 503, "there is no memory to apply the update; try again");
        return HTTP_STEP_DONE;
    }
    http_continue(request, apply_step, bulk, bulk_free);
    return HTTP_STEP_AGAIN;
}

/* -- reading and checking ------------------------------------------------------------------ */

/* The next block of the update that is being taken. */
static bool source_next_block(struct bulk *bulk, struct block_room *room, struct block *block)
{
    if (bulk->form != BULK_JOIN) {
        return draft_next_block(&bulk->body.draft, room, block);
    }
    if (bulk->joined_position == vector_blocks(&bulk->gather.join)) {
        return false;
    }
    *block = vector_block(&bulk->gather.join, bulk->joined_position++, room);
    return true;
}

/* Dense blocks have zeros, which the batch does not want. */
static bool batch_put_sparse(struct batch *batch, const struct block *block)
{
    struct block_room room;
    struct block sparse = { .number = block->number,
                            .values = room.values,
                            .offsets = room.offsets,
                            .width = sizeof room.values[0] };

    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);

        if (value != 0) {
            room.offsets[sparse.count] = (uint8_t)block_offset(block, i);
            room.values[sparse.count] = value;
            sparse.count++;
        }
    }
    return sparse.count == 0 || batch_put(batch, &sparse);
}

/* Take up to API_PIECE_BLOCKS blocks of the update into the batch. *taken_out is true when there
 * are no more. */
static enum status piece_take(struct bulk *bulk, bool *taken_out)
{
    struct block_room room;
    struct block block;

    *taken_out = false;
    vector_clear(&bulk->piece, bulk->mem);
    for (unsigned i = 0; i < API_PIECE_BLOCKS; i++) {
        if (!source_next_block(bulk, &room, &block)) {
            *taken_out = true;
            return batch_end(&bulk->batch) ? STATUS_OK : STATUS_MEMORY;
        }
        if (!batch_put_sparse(&bulk->batch, &block)
            || vector_merge(&bulk->piece, bulk->mem, &block, 0, NULL) != STATUS_OK) {
            return STATUS_MEMORY;
        }
        bulk->blocks_taken++;
    }
    return STATUS_OK;
}

/* Refuse for what node has against a piece of an update. */
static void refuse_piece(struct http_request *request, struct bulk *bulk, const struct fault *why)
{
    const struct bytes key = bulk_key(bulk, request);
    struct http_place place;

    if (bulk->form == BULK_JOIN) {
        reply_fault(request, key, why, NULL);
        return;
    }
    place = body_place(&bulk->body);
    reply_fault(request, key, why, bulk->form == BULK_KEYS ? &place : NULL);
}

/* Check a piece of the update that is being taken and count what it needs. False: answered. */
static bool take_on(struct http_request *request, struct http_context *context, struct bulk *bulk)
{
    const struct node_update update = { .key = bulk_key(bulk, request), .elements = &bulk->piece };
    const struct entry *entry = table_find(bulk->table, update.key);
    const bool is_first = !bulk->is_taking;
    struct fault why;
    bool is_taken;

    if (is_first) {
        const struct bytes key = { NULL, 0 };

        if (!batch_begin(&bulk->batch, bulk->form == BULK_KEYS ? update.key : key)) {
            http_refuse_memory(request);
            return false;
        }
    }
    if (piece_take(bulk, &is_taken) != STATUS_OK) {
        http_refuse_memory(request);
        return false;
    }
    if (node_check(context->node, &update, &why) != STATUS_OK) {
        refuse_piece(request, bulk, &why);
        return false;
    }
    /* An entry without elements is forgotten at the end of the turn: it does not count. */
    if (entry != NULL && vector_size(entry_vector(entry)) == 0) {
        entry = NULL;
    }
    bulk->keys_needed += is_first && entry == NULL && vector_blocks(&bulk->piece) > 0 ? 1 : 0;
    bulk->bytes_needed += piece_bytes_max(entry, &bulk->piece);
    bulk->is_taking = !is_taken;
    bulk->work += (unsigned)vector_blocks(&bulk->piece);
    return true;
}

/* One piece of the body. READ_MORE: all taken; READ_BUSY: the step is over; READ_DONE: answered. */
static enum read_event piece_read(struct http_request *request, struct http_context *context,
                                  struct bulk *bulk, struct bytes *rest)
{
    for (;;) {
        enum read_event event;

        while (bulk->is_taking) {
            if (!take_on(request, context, bulk)) {
                return READ_DONE;
            }
            if (work_is_over(bulk, request)) {
                return READ_BUSY;
            }
        }
        event = body_read(&bulk->body, rest);
        if (event == READ_MORE || event == READ_MEMORY || event == READ_REFUSED) {
            return event;
        }
        if (event == READ_UPDATE && !take_on(request, context, bulk)) {
            return READ_DONE;
        }
        if (event == READ_BUSY) {
            bulk->work += CLOCK_WORK; /* a part of sorting */
        }
        if (work_is_over(bulk, request)) {
            return READ_BUSY;
        }
    }
}

static enum http_step read_refuse(struct http_request *request, struct bulk *bulk,
                                  enum read_event event)
{
    if (event == READ_MEMORY) {
        return out_of_memory(request);
    }
    if (event == READ_REFUSED) {
        body_refuse(&bulk->body, request);
    }
    return HTTP_STEP_DONE;
}

static enum http_step read_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct bulk *bulk = (struct bulk *)state;
    enum read_event event = READ_MORE;

    while (http_body_size(request) > 0 || bulk->is_taking || bulk->is_busy) {
        const struct bytes front = http_body_front(request, HTTP_BODY_STEP_BYTES);
        struct bytes rest = front;

        if (front.size > 0 && front.data == NULL) {
            return out_of_memory(request);
        }
        event = piece_read(request, context, bulk, &rest);
        if (event != READ_MORE && event != READ_BUSY) {
            return read_refuse(request, bulk, event);
        }
        bulk->is_busy = event == READ_BUSY;
        http_body_drain(request, front.size - rest.size);
        if (event == READ_BUSY || http_step_is_over(request)) {
            return HTTP_STEP_AGAIN;
        }
    }
    event = body_end(&bulk->body);
    return event == READ_DONE ? accept(request, context, bulk) : read_refuse(request, bulk, event);
}

/* -- joining ------------------------------------------------------------------------------- */

static enum http_step join_take_step(struct http_request *request, struct http_context *context,
                                     void *state)
{
    struct bulk *bulk = (struct bulk *)state;

    do {
        if (!take_on(request, context, bulk)) {
            return HTTP_STEP_DONE;
        }
        if (http_step_is_over(request)) {
            return HTTP_STEP_AGAIN;
        }
    } while (bulk->is_taking);
    return accept(request, context, bulk);
}

/* Join the sources into a scratch vector: keys, and all keys that match where one is a pattern. */
static enum http_step join_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    struct bulk *bulk = (struct bulk *)state;

    while (bulk->is_in_source
           || http_query_next(request, "join", &bulk->source_at, &bulk->source)) {
        const enum gather_progress progress =
            pattern_is(bulk->source)
                ? gather_pattern(&bulk->gather, request, context->table, bulk->source)
                : gather_key(&bulk->gather, request, context->table, bulk->source);

        bulk->is_in_source = progress == GATHER_OVER;
        if (progress == GATHER_OVER) {
            return HTTP_STEP_AGAIN;
        }
        if (progress == GATHER_MEMORY) {
            return out_of_memory(request);
        }
    }
    http_continue(request, join_take_step, bulk, bulk_free);
    return HTTP_STEP_AGAIN;
}

void bulk_begin(struct http_request *request, struct http_context *context, enum bulk_form form)
{
    struct bulk *bulk = (struct bulk *)mem_alloc_zeroed(context->mem, sizeof *bulk);

    if (bulk == NULL) {
        http_refuse_memory(request);
        return;
    }
    bulk->mem = context->mem;
    bulk->table = context->table;
    bulk->form = (uint8_t)form;
    batch_init(&bulk->batch, context->mem);
    vector_init(&bulk->piece);
    gather_init(&bulk->gather, context->mem);
    if (form != BULK_JOIN) {
        bulk->is_open = true;
        if (!body_open(&bulk->body, request, context,
                       form == BULK_KEYS ? BODY_KEYS : BODY_VECTOR)) {
            http_refuse_memory(request);
            bulk_free(bulk);
            return;
        }
    }
    http_continue(request, form == BULK_JOIN ? join_step : read_step, bulk, bulk_free);
}
