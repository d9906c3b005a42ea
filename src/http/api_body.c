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

/* A reader of what the draft takes. False: no memory. */
static bool reader_create(struct body *body, bool is_packed)
{
    const bool is_vector = body->kind == BODY_VECTOR;

    if (is_packed) {
        body->packed =
            packed_reader_create(is_vector ? PACKED_FORM_VECTOR : PACKED_FORM_BULK, body->draft);
        return body->packed != NULL;
    }
    body->json = json_reader_create(is_vector        ? JSON_FORM_VECTOR
                                    : body->is_lines ? JSON_FORM_LINES
                                                     : JSON_FORM_BULK,
                                    body->draft);
    return body->json != NULL;
}

static void readers_free(struct body *body)
{
    json_reader_free(body->json);
    packed_reader_free(body->packed);
    body->json = NULL;
    body->packed = NULL;
}

bool body_open(struct body *body, struct http_request *request, const struct http_context *context,
               enum body_kind kind)
{
    const enum api_form type = body_form(request);

    body->kind = (uint8_t)kind;
    body->is_kept = kind == BODY_KEYS;
    body->draft = &body->drafts[0];
    draft_init(&body->drafts[0], context->mem, context->secret);
    if (kind == BODY_KEYS && type != API_PACKED) {
        body->is_lines = type == API_LINES;
        body->hint = hint_of(request, body->is_lines);
    }
    return reader_create(body, type == API_PACKED);
}

void body_close(struct body *body)
{
    readers_free(body);
    draft_clear(&body->drafts[0]);
    if (body->drafts[1].mem != NULL) {
        draft_clear(&body->drafts[1]);
    }
}

void body_pause(struct body *body, struct http_request *request)
{
    if (body->is_kept) {
        http_body_pass(request, body->taken);
    } else {
        http_body_drain(request, body->taken);
    }
    body->piece = (struct bytes){ NULL, 0 };
    body->taken = 0;
}

enum read_event body_next(struct body *body, struct http_request *request)
{
    struct bytes rest;
    enum read_event event;

    if (body->taken == body->piece.size && !body->is_busy) {
        body_pause(body, request);
        body->piece = http_body_piece(request);
        if (body->piece.size == 0) {
            return body->json != NULL ? json_reader_end(body->json)
                                      : packed_reader_end(body->packed);
        }
    }
    rest = body->piece;
    if (body->taken > 0) {
        rest.data += body->taken;
        rest.size -= body->taken;
    }
    event = body->json != NULL ? json_reader_read(body->json, &rest)
                               : packed_reader_read(body->packed, &rest);
    body->taken = body->piece.size - rest.size;
    body->is_busy = event == READ_BUSY;
    return event;
}

bool body_again(struct body *body, struct http_request *request)
{
    const bool is_packed = body->packed != NULL;

    body_pause(body, request);
    http_body_rewind(request);
    body->is_kept = false;
    readers_free(body);
    draft_again(&body->drafts[0]);
    draft_init(&body->drafts[1], body->drafts[0].mem, body->drafts[0].secret);
    draft_again(&body->drafts[1]);
    return reader_create(body, is_packed);
}

struct draft *body_hold(struct body *body, bool has_read)
{
    struct draft *read = body->draft;
    struct draft *held = read == &body->drafts[0] ? &body->drafts[1] : &body->drafts[0];
    const bool is_held = body->is_held;

    body->is_held = has_read;
    if (has_read) {
        body->draft = held;
    }
    if (has_read && body->json != NULL) {
        json_reader_fill(body->json, held);
    } else if (has_read) {
        packed_reader_fill(body->packed, held);
    }
    return is_held ? held : NULL;
}

bool body_repeats_keys(const struct body *body)
{
    return body->is_lines;
}

struct http_place body_place(struct body *body)
{
    struct draft_problem *problem = &body->draft->problem;
    const struct bytes key = draft_key(body->draft);

    if (body->is_lines) {
        return (struct http_place){ .line = json_reader_line(body->json) };
    }
    problem->pointer_size = 0;
    if (key.size > 0) {
        draft_point(body->draft, key);
    }
    return (struct http_place){ .pointer = { problem->pointer, problem->pointer_size } };
}

void body_refuse(struct body *body, struct http_request *request)
{
    const struct draft_problem *problem = draft_problem(body->draft);
    const struct http_place place = { .pointer = { problem->pointer, problem->pointer_size },
                                      .line = problem->line };
    struct fault why = problem->why;

    if (body->hint != NULL) {
        const size_t size = strlen(why.text);

        (void)snprintf(why.text + size, sizeof why.text - size, "; %s", body->hint);
    }
    http_problem(request, 400, &why, &place);
}
