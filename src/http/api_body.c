#include "http/api_body.h"

#include <stdio.h>
#include <string.h>

#define LOOK_BYTES 4096

/* Whether it begins as a line of NDJSON does: hardly a key of a bulk document is called so. */
static bool looks_like_lines(struct bytes front)
{
    static const char *const names[] = { "\"key\"", "\"vector\"" };
    size_t at = 0;

    for (unsigned braces = 0; at < front.size && memchr("{ \t\r\n", front.data[at], 5) != NULL;
         at++) {
        braces += front.data[at] == '{';
        if (braces > 1) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t size = strlen(names[i]);

        if (front.size - at > size && memcmp(front.data + at, names[i], size) == 0) {
            return true;
        }
    }
    return false;
}

/* What to type instead, judged by the first bytes. */
static const char *hint_of(struct http_request *request, bool is_lines)
{
    const struct bytes front = http_body_front(request, LOOK_BYTES);

    if (front.size == 0 || front.data == NULL || !looks_like_lines(front)) {
        return NULL;
    }
    if (!is_lines) {
        return "this looks like lines: say -H 'Content-Type: application/x-ndjson' and send the "
               "file with -T or --data-binary @, since -d takes newlines out";
    }
    if (memchr(front.data, '\n', front.size) == NULL) {
        return "there is no newline: curl takes them out with -d; send the file with -T or "
               "--data-binary @";
    }
    return NULL;
}

bool body_open(struct body *body, struct http_request *request, const struct http_context *context,
               enum body_form form)
{
    static const uint8_t packed_forms[] = {
        [BODY_VECTOR] = PACKED_FORM_VECTOR, [BODY_KEYS] = PACKED_FORM_BULK
    };
    enum json_form json_form = form == BODY_VECTOR ? JSON_FORM_VECTOR : JSON_FORM_BULK;

    draft_init(&body->draft, context->mem, context->secret);
    body->json = NULL;
    body->packed = NULL;
    body->is_lines = form == BODY_KEYS && body_form(request) == API_LINES;
    body->hint = NULL;
    if (body_form(request) == API_PACKED) {
        body->packed = packed_reader_create((enum packed_form)packed_forms[form], &body->draft);
        return body->packed != NULL;
    }
    if (form == BODY_KEYS) {
        body->hint = hint_of(request, body->is_lines);
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

void body_refuse(struct body *body, struct http_request *request)
{
    const struct draft_problem *problem = draft_problem(&body->draft);
    const struct http_place place = { .pointer = { problem->pointer, problem->pointer_size },
                                      .line = problem->line };
    struct fault why = problem->why;

    if (body->hint != NULL) {
        const size_t size = strlen(why.text);

        (void)snprintf(why.text + size, sizeof why.text - size, "; %s", body->hint);
    }
    http_problem(request, 400, &why, &place);
}
