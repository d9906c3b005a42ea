#include "base/text.h"
#include "base/utf8.h"
#include "http/state.h"
#include "view/json_writer.h"

#include <event2/bufferevent.h>
#include <event2/http.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned code;
    const char *phrase;
} phrases[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 429, "Too Many Requests" },
    { 500, "Internal Server Error" },
    { 503, "Service Unavailable" },
    { 507, "Insufficient Storage" },
};

const char *answer_phrase(unsigned code)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].code == code) {
            return phrases[i].phrase;
        }
    }
    return "Unknown";
}

void answer_allow_text(uint8_t methods, char text[ANSWER_ALLOW_MAX])
{
    static const struct {
        enum http_method method;
        const char *text;
    } names[] = {
        { HTTP_GET, "GET, HEAD, " }, { HTTP_POST, "POST, " },     { HTTP_PUT, "PUT, " },
        { HTTP_PATCH, "PATCH, " },   { HTTP_DELETE, "DELETE, " },
    };
    size_t size = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((methods & names[i].method) != 0) {
            const size_t more = strlen(names[i].text);

            memcpy(text + size, names[i].text, more);
            size += more;
        }
    }
    memcpy(text + size, "OPTIONS", sizeof "OPTIONS");
}

/* -- headers -------------------------------------------------------------------------------- */

void http_header_add(struct http_request *request, const char *name, const char *value)
{
    assert(strpbrk(value, "\r\n") == NULL);
    if (request->evhttp == NULL) {
        return;
    }
    if (evhttp_add_header(evhttp_request_get_output_headers(request->evhttp), name, value) != 0) {
        request->is_broken = true;
    }
}

void http_etag(struct http_request *request, uint64_t digest)
{
    char text[19] = { '"' };

    text_put_hex64(text + 1, digest);
    text[17] = '"';
    http_header_add(request, "ETag", text);
    http_header_add(request, "Vary", "Accept");
    request->has_etag = true;
}

bool http_etag_matches(const struct http_request *request, uint64_t digest)
{
    const struct bytes value = http_header(request, "If-None-Match");
    char digits[16];

    if (value.data == NULL) {
        return false;
    }
    text_put_hex64(digits, digest);
    return request_etag_matches((const char *)value.data, digits);
}

void http_not_modified(struct http_request *request, uint64_t digest)
{
    http_etag(request, digest);
    http_begin(request, 304, NULL);
}

void http_retry_after(struct http_request *request, unsigned seconds)
{
    request->retry_after_s = seconds;
}

/* An allowed page of another origin may read the answer. */
static void cross_origin_add(struct http_request *request)
{
    const struct bytes origin = http_header(request, "Origin");

    if (origin.data != NULL) {
        http_header_add(request, "Access-Control-Allow-Origin", (const char *)origin.data);
        http_header_add(request, "Vary", "Origin");
    }
}

/* What every answer carries. */
static void common_add(struct http_request *request)
{
    const struct http_server *server = request->server;

    http_header_add(request, "Server", "vignette/" VERSION_TEXT);
    http_header_add(request, "X-Content-Type-Options", "nosniff");
    http_header_add(request, "Cache-Control", request->has_etag ? "no-cache" : "no-store");
    if (server->options.node_text != NULL) {
        http_header_add(request, "X-Vignette-Node", server->options.node_text);
    }
    if (request->content_type != NULL) {
        http_header_add(request, "Content-Type", request->content_type);
    }
    if (server->options.origins_count > 0 && request->fault == NULL) {
        cross_origin_add(request);
    }
    if (request->retry_after_s == 0 && (request->code == 429 || request->code == 503)) {
        request->retry_after_s = 1;
    }
    if (request->retry_after_s != 0) {
        char text[12];

        (void)snprintf(text, sizeof text, "%u", request->retry_after_s);
        http_header_add(request, "Retry-After", text);
    }
    if (request->is_closing || server->is_stopping) {
        http_header_add(request, "Connection", "close");
    }
}

static void length_add(struct http_request *request, uint64_t length)
{
    char text[TEXT_U64_MAX + 1];

    text[text_put_u64(text, length)] = '\0';
    http_header_add(request, "Content-Length", text);
}

/* -- whole answers -------------------------------------------------------------------------- */

void http_begin(struct http_request *request, unsigned code, const char *content_type)
{
    assert(!request->is_begun);
    assert(code >= 200);
    assert(code <= 599);
    request->is_begun = true;
    request->code = code;
    request->content_type = content_type;
}

void http_put(struct http_request *request, struct bytes bytes)
{
    assert(request->is_begun);
    if (evbuffer_add(request->out, bytes.data, bytes.size) != 0) {
        request->is_broken = true;
    }
}

struct space http_space(struct http_request *request, size_t size)
{
    assert(request->is_begun);
    assert(size <= INT32_MAX);
    if (evbuffer_reserve_space(request->out, (ev_ssize_t)size, &request->room, 1) != 1) {
        request->is_broken = true;
        request->room = (struct evbuffer_iovec){ 0 };
        return (struct space){ NULL, 0 };
    }
    return (struct space){ request->room.iov_base, request->room.iov_len };
}

void http_commit(struct http_request *request, size_t size)
{
    assert(size <= request->room.iov_len);
    if (size > 0) {
        request->room.iov_len = size;
        if (evbuffer_commit_space(request->out, &request->room, 1) != 0) {
            request->is_broken = true;
        }
    }
    request->room = (struct evbuffer_iovec){ 0 };
}

void answer_forget(struct http_request *request)
{
    evbuffer_drain(request->out, evbuffer_get_length(request->out));
    if (request->evhttp != NULL) {
        evhttp_clear_headers(evhttp_request_get_output_headers(request->evhttp));
    }
    request->is_begun = false;
    request->is_broken = false;
    request->has_etag = false;
    request->content_type = NULL;
    request->ticket = 0;
}

static void answer_count(struct http_request *request)
{
    struct http_server *server = request->server;
    const unsigned class = request->code / 100;

    server->stats.answers[class]++;
    if (request->route != NULL) {
        server->route_answers[request->route - server->options.routes].by_class[class]++;
    }
    if (!request->was_parked && !request->is_watcher) {
        const uint64_t us = connection_clock_us() - request->began_us;
        size_t bucket = 0;

        while (us > http_duration_bounds_us[bucket]) {
            bucket++;
        }
        server->stats.durations[bucket]++;
        server->stats.duration_us_sum += us;
    }
}

void answer_send(struct http_request *request)
{
    const size_t size = evbuffer_get_length(request->out);

    assert(request->is_begun);
    assert(!request->is_stream);
    if (request->is_broken) {
        request->server->stats.refused[HTTP_REFUSED_MEMORY]++;
        http_refuse(request, 503, "there is no memory for the answer");
    }
    common_add(request);
    if (request->is_head && request->code != 204 && request->code != 304) {
        length_add(request, size);
    }
    if (request->is_head || request->code == 204 || request->code == 304) {
        evbuffer_drain(request->out, size);
    }
    answer_count(request);
    request->state = REQUEST_SENT;
    request->connection->since_us = connection_clock_us();
    evhttp_send_reply(request->evhttp, (int)request->code, answer_phrase(request->code), NULL);
}

/* -- streams -------------------------------------------------------------------------------- */

void http_stream_begin(struct http_request *request, unsigned code, const char *content_type,
                       uint64_t length)
{
    http_begin(request, code, content_type);
    request->is_stream = true;
    request->stream_left = length;
    if (request->evhttp == NULL) {
        return;
    }
    /* Before HTTP/1.1 there are no chunks: the end of the connection ends the answer. */
    request->is_closing = request->is_closing || (length == HTTP_LENGTH_UNKNOWN && request->is_old);
    common_add(request);
    if (length != HTTP_LENGTH_UNKNOWN) {
        length_add(request, length);
    }
    answer_count(request);
    request->connection->since_us = connection_clock_us();
    evhttp_send_reply_start(request->evhttp, (int)code, answer_phrase(code));
}

/* The kernel has taken all that was put. */
static void on_drained(struct evhttp_connection *evhttp, void *argument)
{
    struct http_request *request = argument;

    (void)evhttp;
    request->connection->since_us = connection_clock_us();
    if (request->state == REQUEST_DRAINING) {
        request_queue(request);
    }
}

void answer_flush(struct http_request *request)
{
    const size_t size = evbuffer_get_length(request->out);

    if (size == 0) {
        return;
    }
    if (request->stream_left != HTTP_LENGTH_UNKNOWN) {
        assert(size <= request->stream_left);
        request->stream_left -= size;
    }
    if (request->evhttp == NULL || request->is_head) {
        evbuffer_drain(request->out, size);
        return;
    }
    if (connection_output_bytes(request->connection) == 0) {
        request->connection->since_us = connection_clock_us();
    }
    evhttp_send_reply_chunk_with_cb(request->evhttp, request->out, on_drained, request);
}

void answer_stream_end(struct http_request *request)
{
    answer_flush(request);
    request->state = REQUEST_SENT;
    request->connection->since_us = connection_clock_us();
    evhttp_send_reply_end(request->evhttp);
}

size_t http_output_bytes(const struct http_request *request)
{
    return evbuffer_get_length(request->out) + connection_output_bytes(request->connection);
}

/* -- problem documents ---------------------------------------------------------------------- */

static void json_sink(void *argument, struct bytes text)
{
    http_put(argument, text);
}

/* A string that may hold a client's bytes, cut anywhere: what is no UTF-8 is shown as '?'. */
static void json_lossy(struct json_writer *json, struct bytes text)
{
    uint8_t copy[sizeof((struct fault *)0)->text];
    size_t size = 0;

    if (utf8_valid(text)) {
        json_string(json, text);
        return;
    }
    for (size_t i = 0; i < text.size && size < sizeof copy; i++) {
        copy[size++] = text.data[i] < 0x80 ? text.data[i] : '?';
    }
    json_string(json, (struct bytes){ copy, size });
}

static void json_member(struct json_writer *json, const char *name, struct bytes text)
{
    json_name(json, name);
    json_lossy(json, text);
}

struct problem {
    unsigned code;
    const char *detail;
    const char *outcome; /* NULL: the request changed nothing */
    const struct http_place *place;
};

static void problem_put(struct http_request *request, const struct problem *problem)
{
    const char *uri = request->evhttp == NULL ? "" : evhttp_request_get_uri(request->evhttp);
    uint8_t buffer[512];
    struct json_writer json;

    answer_forget(request);
    http_begin(request, problem->code, "application/problem+json");
    json_begin(&json, (struct space){ buffer, sizeof buffer }, json_sink, request);
    json_begin_object(&json);
    json_name(&json, "type");
    json_text(&json, "about:blank");
    json_name(&json, "title");
    json_text(&json, answer_phrase(problem->code));
    json_name(&json, "status");
    json_u64(&json, problem->code);
    json_member(&json, "detail",
                (struct bytes){ (const uint8_t *)problem->detail, strlen(problem->detail) });
    json_member(&json, "instance", (struct bytes){ (const uint8_t *)uri, strcspn(uri, "?") });
    if (problem->outcome != NULL) {
        json_name(&json, "outcome");
        json_text(&json, problem->outcome);
    }
    if (problem->place != NULL && problem->place->pointer.data != NULL) {
        json_member(&json, "pointer", problem->place->pointer);
    }
    if (problem->place != NULL && problem->place->line > 0) {
        json_name(&json, "line");
        json_u64(&json, problem->place->line);
    }
    json_end_object(&json);
    json_put_literal(&json, "\n");
    (void)json_end(&json);
}

/* The headers a code asks for. */
static void problem_headers_add(struct http_request *request, unsigned code)
{
    if (code == 405) {
        char text[ANSWER_ALLOW_MAX];

        answer_allow_text(request->allowed, text);
        http_header_add(request, "Allow", text);
    } else if (code == 415 && request->route != NULL && request->route->types != NULL) {
        char text[256];
        size_t size = 0;

        for (const char *from = request->route->types; *from != '\0' && size + 3 < sizeof text;
             from++) {
            if (*from == ' ') {
                text[size++] = ',';
            }
            text[size++] = *from;
        }
        text[size] = '\0';
        http_header_add(request, "Accept", text);
    } else if (code == 401) {
        http_header_add(request, "WWW-Authenticate", "Bearer");
    }
}

void http_problem(struct http_request *request, unsigned code, const struct fault *why,
                  const struct http_place *place)
{
    const struct problem problem = { .code = code, .detail = why->text, .place = place };

    assert(code >= 400);
    if (request->is_stream) {
        request->is_broken = true;
        return;
    }
    problem_put(request, &problem);
    problem_headers_add(request, code);
}

void http_refuse(struct http_request *request, unsigned code, const char *format, ...)
{
    struct fault why = { .code = STATUS_INVALID };
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(why.text, sizeof why.text, format, arguments);
    va_end(arguments);
    http_problem(request, code, &why, NULL);
}

void answer_unknown(struct http_request *request)
{
    const struct problem problem = {
        .code = 503,
        .detail = "storage did not confirm in time; the update may or may not survive a restart, "
                  "and repeating it is harmless unless it adds to a counter",
        .outcome = "unknown",
    };

    problem_put(request, &problem);
}
