/* Updates of one key or many. A small body is read and applied at once, in the turn it came. */

#include "http/api_body.h"
#include "http/api_bulk.h"

/* Read a whole body into a scratch vector. False: the request was refused. */
static bool body_take(struct http_request *request, struct http_context *context, struct body *body,
                      struct vector *vector)
{
    struct bytes rest = http_body(request);
    enum read_event event;
    struct block_room room;
    struct block block;

    if (rest.size > 0 && rest.data == NULL) {
        http_refuse_memory(request);
        return false;
    }
    do {
        event = body_read(body, &rest);
        while (event == READ_UPDATE && draft_next_block(&body->draft, &room, &block)) {
            if (vector_merge(vector, context->mem, &block, 0, NULL) != STATUS_OK) {
                event = READ_MEMORY;
            }
        }
    } while (event == READ_UPDATE || event == READ_BUSY);
    if (event == READ_MORE) {
        event = body_end(body);
    }
    if (event == READ_REFUSED) {
        body_refuse(body, request);
    } else if (event != READ_DONE) {
        http_refuse_memory(request);
    }
    return event == READ_DONE;
}

static void update_apply(struct http_request *request, struct http_context *context,
                         const struct vector *elements)
{
    const struct node_update update = { .key = http_key(request), .elements = elements };
    struct node_update_result result;
    struct fault why;

    if (node_update(context->node, http_now(request), &update, &result, &why) != STATUS_OK) {
        reply_fault(request, update.key, &why, NULL);
        return;
    }
    if (vector_blocks(elements) == 0 && result.entry != NULL) {
        (void)api_vector_answer(request, context, result.entry, API_VECTOR_LARGER);
        return;
    }
    update_answer(request, &result);
}

void api_key_post(struct http_request *request, struct http_context *context)
{
    struct body body;
    struct vector elements;

    if (http_query_count(request, "join") > 0) {
        if (http_body_size(request) > 0) {
            http_refuse(request, 400, "'join' takes its elements from other keys and no body");
            return;
        }
        bulk_begin(request, context, BULK_JOIN);
        return;
    }
    if (http_body_size(request) > API_DIRECT_BYTES) {
        bulk_begin(request, context, BULK_KEY);
        return;
    }
    vector_init(&elements);
    if (!body_open(&body, request, context, BODY_VECTOR)) {
        http_refuse_memory(request);
    } else if (body_take(request, context, &body, &elements)) {
        update_apply(request, context, &elements);
    }
    body_close(&body);
    vector_clear(&elements, context->mem);
}

void api_keys_post(struct http_request *request, struct http_context *context)
{
    bulk_begin(request, context, BULK_KEYS);
}
