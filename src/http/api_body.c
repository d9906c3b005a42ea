#include "http/api_body.h"

bool body_open(struct body *body, const struct http_request *request,
               const struct http_context *context, enum body_form form)
{
    static const uint8_t packed_forms[] = {
        [BODY_VECTOR] = PACKED_FORM_VECTOR, [BODY_KEYS] = PACKED_FORM_BULK
    };
    enum json_form json_form = form == BODY_VECTOR ? JSON_FORM_VECTOR : JSON_FORM_BULK;

    draft_init(&body->draft, context->mem, context->secret);
    body->json = NULL;
    body->packed = NULL;
    body->is_lines = form == BODY_KEYS && body_is_lines(request);
    if (body_is_msgpack(request)) {
        body->packed = packed_reader_create((enum packed_form)packed_forms[form], &body->draft);
        return body->packed != NULL;
    }
    if (body->is_lines) {
        json_form = JSON_FORM_LINES;
    }
    body->json = json_reader_create(json_form, &body->draft);
    return body->json != NULL;
}

void body_close(struct body *body)
{
    json_reader_free(body->json);
    packed_reader_free(body->packed);
    draft_clear(&body->draft);
}

enum read_event body_read(struct body *body, struct bytes *rest)
{
    return body->json != NULL ? json_reader_read(body->json, rest)
                              : packed_reader_read(body->packed, rest);
}

enum read_event body_end(struct body *body)
{
    return body->json != NULL ? json_reader_end(body->json) : packed_reader_end(body->packed);
}

struct http_place body_place(struct body *body)
{
    struct draft_problem *problem = &body->draft.problem;
    const struct bytes key = draft_key(&body->draft);

    if (body->is_lines) {
        return (struct http_place){ .line = json_reader_line(body->json) };
    }
    problem->pointer_size = 0;
    if (key.size > 0) {
        draft_point(&body->draft, key);
    }
    return (struct http_place){ .pointer = { problem->pointer, problem->pointer_size } };
}
