/* POST /backup: have a backup made, and wait for it. */

#include "http/api.h"

static void backup_answer(struct http_request *request, const struct api_backup *backup)
{
    struct reply reply;
    struct json_writer *json;

    http_begin(request, 200, "application/json");
    json = reply_begin(&reply, request);
    json_begin_object(json);
    json_name(json, "path");
    json_text(json, backup->path);
    json_name(json, "bytes");
    json_u64(json, backup->bytes);
    json_name(json, "keys");
    json_u64(json, backup->keys);
    json_end_object(json);
    reply_end(&reply);
}

static enum http_step backup_step(struct http_request *request, struct http_context *context,
                                  void *state)
{
    const struct api_backup *backup = context->backup;
    const bool is_full = backup->why.code == STATUS_FULL || backup->why.code == STATUS_MEMORY;

    (void)state;
    if (backup->state == API_BACKUP_UNDER_WAY) {
        return HTTP_STEP_SLEEP;
    }
    if (backup->state == API_BACKUP_MADE) {
        backup_answer(request, backup);
    } else {
        http_problem(request, is_full ? 507 : 503, &backup->why, NULL);
    }
    return HTTP_STEP_DONE;
}

/* It has its answer, or its client is gone: what nobody is told the name of is not kept. */
static void backup_forget(void *state)
{
    const struct http_context *context = state;
    struct api_backup *backup = context->backup;

    if (backup != NULL) {
        backup->waiter = NULL;
        backup->cancel(backup->maker, "who asked for it is gone");
    }
}

void api_backup_post(struct http_request *request, struct http_context *context)
{
    struct api_backup *backup = context->backup;
    struct fault why;

    switch (backup->begin(backup->maker, &why)) {
    case STATUS_OK: break;
    case STATUS_INVALID: http_problem(request, 404, &why, NULL); return;
    case STATUS_CONFLICT: http_problem(request, 409, &why, NULL); return;
    default: http_problem(request, 503, &why, NULL); return;
    }
    backup->waiter = request;
    http_continue(request, backup_step, context, backup_forget);
}
