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
#include <strings.h>
#include <time.h>

#define BODY_BESIDE_MAX  2048 /* a body up to this goes in one piece with its head */
#define ORIGIN_BYTES_MAX 200  /* a longer Origin is not repeated */
#define HEAD_FIXED_MAX   320  /* status line, Date, Cache-Control, types and lengths */
#define HEAD_BYTES_MAX                                       \
    (HEAD_FIXED_MAX + sizeof((struct http_request *)0)->head \
     + sizeof((struct http_server *)0)->common)

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
    { 410, "Gone" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
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

/* Copy text to `to` and return what comes after it. */
static char *text_put(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

#define TEXT_PUT(to, literal) text_put(to, literal, sizeof(literal) - 1)

void http_header_add(struct http_request *request, const char *name, const char *value)
{
    const size_t name_size = strlen(name);
    const size_t value_size = strlen(value);
    char *to = request->head + request->head_size;

    assert(strpbrk(value, "\r\n") == NULL);
    if (name_size + value_size + 4 > sizeof request->head - request->head_size) {
        request->is_broken = true;
        return;
    }
    to = text_put(to, name, name_size);
    to = TEXT_PUT(to, ": ");
    to = text_put(to, value, value_size);
    to = TEXT_PUT(to, "\r\n");
    request->head_size = (uint16_t)(to - request->head);
}

void http_location(struct http_request *request, struct bytes behind)
{
    const struct bytes path = request->target.path;
    char text[LOCATION_BYTES_MAX];

    (void)snprintf(text, sizeof text, "/%.*s%.*s", (int)path.size, (const char *)path.data,
                   (int)behind.size, (const char *)behind.data);
    http_header_add(request, "Location", text);
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

    if (origin.data != NULL && origin.size <= ORIGIN_BYTES_MAX) {
        http_header_add(request, "Access-Control-Allow-Origin", (const char *)origin.data);
        http_header_add(request, "Access-Control-Expose-Headers",
                        "ETag, Location, Retry-After, X-Vignette-Node, Preference-Applied");
        http_header_add(request, "Vary", "Origin");
    }
}

void answer_common_make(struct http_server *server)
{
    const char *node = server->options.node_text;
    const int size = snprintf(server->common, sizeof server->common,
                              "Server: vignette/" VERSION_TEXT "\r\n"
                              "X-Content-Type-Options: nosniff\r\n%s%.255s%s",
                              node == NULL ? "" : "X-Vignette-Node: ", node == NULL ? "" : node,
                              node == NULL ? "" : "\r\n");

    assert(size > 0);
    assert((size_t)size < sizeof server->common);
    server->common_size = (size_t)size;
}

/* The text of Date, made once a second. */
static const char *date_text(struct http_server *server)
{
    const time_t now = time(NULL);
    struct tm parts;

    if (now != server->date_s && gmtime_r(&now, &parts) != NULL) {
        (void)evutil_date_rfc1123(server->date, sizeof server->date, &parts);
        server->date_s = now;
    }
    return server->date;
}

/* Headers that follow from the request and the code. */
static void derived_add(struct http_request *request)
{
    if (request->server->options.origins_count > 0 && request->fault == NULL) {
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
}

/* The Connection header, and evhttp's own notice of it. */
static void connection_add(struct http_request *request)
{
    const char *wish =
        evhttp_find_header(evhttp_request_get_input_headers(request->evhttp), "Connection");
    const bool is_kept = request->is_old && wish != NULL && strcasecmp(wish, "keep-alive") == 0;

    if (request->is_closing || request->server->is_stopping) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request->evhttp);

        if (evhttp_add_header(headers, "Connection", "close") != 0) {
            request->is_broken = true;
        }
        http_header_add(request, "Connection", "close");
    } else if (is_kept) {
        http_header_add(request, "Connection", "keep-alive");
    } else if (request->is_old || (wish != NULL && strcasecmp(wish, "close") == 0)) {
        http_header_add(request, "Connection", "close");
    }
}

/* How an answer says where it ends. */
enum ending { ENDING_LENGTH, ENDING_CHUNKS, ENDING_NONE };

/* Write the head of an answer, up to the empty line, into HEAD_BYTES_MAX; returns its size. We do
 * it and not evhttp, whose list of headers costs three allocations and a printf for each: that took
 * a quarter of a small GET. */
static size_t head_write(struct http_request *request, enum ending ending, uint64_t length,
                         char *head)
{
    struct http_server *server = request->server;
    const char *phrase = answer_phrase(request->code);
    const char *date = date_text(server);
    char *to = head;

    to = TEXT_PUT(to, "HTTP/1.1 ");
    to += text_put_u64(to, request->code);
    *to++ = ' ';
    to = text_put(to, phrase, strlen(phrase));
    to = TEXT_PUT(to, "\r\nDate: ");
    to = text_put(to, date, strlen(date));
    to = TEXT_PUT(to, "\r\n");
    to = text_put(to, server->common, server->common_size);
    to = request->has_etag ? TEXT_PUT(to, "Cache-Control: no-cache\r\n")
                           : TEXT_PUT(to, "Cache-Control: no-store\r\n");
    if (request->content_type != NULL) {
        to = TEXT_PUT(to, "Content-Type: ");
        to = text_put(to, request->content_type, strlen(request->content_type));
        to = TEXT_PUT(to, "\r\n");
    }
    to = text_put(to, request->head, request->head_size);
    if (ending == ENDING_LENGTH) {
        to = TEXT_PUT(to, "Content-Length: ");
        to += text_put_u64(to, length);
        to = TEXT_PUT(to, "\r\n");
    } else if (ending == ENDING_CHUNKS) {
        to = TEXT_PUT(to, "Transfer-Encoding: chunked\r\n");
    }
    to = TEXT_PUT(to, "\r\n");
    assert((size_t)(to - head) <= HEAD_BYTES_MAX);
    return (size_t)(to - head);
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
    request_charge(request);
}

/* Throw away what was put and not sent. */
static void answer_forget(struct http_request *request)
{
    evbuffer_drain(request->out, evbuffer_get_length(request->out));
    request_charge(request);
    request->head_size = 0;
    request->is_begun = false;
    request->is_broken = false;
    request->has_etag = false;
    request->content_type = NULL;
}

const uint64_t http_duration_bounds_us[HTTP_DURATION_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 250000, 1000000, UINT64_MAX
};

static void answer_count(struct http_request *request)
{
    struct http_server *server = request->server;

    server->stats.answers[request->code / 100]++;
    if (request->wait_until_us == 0 && request->places == 0) {
        const uint64_t us = connection_clock_us() - request->began_us;
        size_t bucket = 0;

        while (us > http_duration_bounds_us[bucket]) {
            bucket++;
        }
        server->stats.durations[bucket]++;
        server->stats.duration_us_sum += us;
    }
}

/* Put head and body into the connection's buffer; a small body in one piece with its head, so that
 * one buffer and not two goes to the kernel. */
static void answer_put(struct http_request *request, enum ending ending, uint64_t length)
{
    struct evbuffer *output = connection_output(request->connection);
    const size_t size = evbuffer_get_length(request->out);
    const size_t beside = size <= BODY_BESIDE_MAX ? size : 0;
    struct evbuffer_iovec room;
    size_t used;

    if (evbuffer_reserve_space(output, (ev_ssize_t)(HEAD_BYTES_MAX + beside), &room, 1) != 1) {
        request->is_broken = true;
        return;
    }
    used = head_write(request, ending, length, room.iov_base);
    if (beside > 0) {
        (void)evbuffer_remove(request->out, (char *)room.iov_base + used, beside);
        used += beside;
    }
    room.iov_len = used;
    if (evbuffer_commit_space(output, &room, 1) != 0
        || (size > beside && evbuffer_add_buffer(output, request->out) != 0)) {
        request->is_broken = true;
    }
    request_charge(request);
}

void answer_send(struct http_request *request)
{
    struct connection *connection = request->connection;
    const bool is_empty = request->code == 204 || request->code == 304;
    enum ending ending = is_empty ? ENDING_NONE : ENDING_LENGTH;
    uint64_t length;

    assert(request->is_begun);
    if (request->is_broken) {
        request->server->stats.refused[HTTP_REFUSED_MEMORY]++;
        http_refuse(request, 503, "there is no memory for the answer");
        ending = ENDING_LENGTH;
    }
    length = evbuffer_get_length(request->out);
    if (request->is_stream) { /* of a HEAD */
        length = request->stream_left;
        ending = length == HTTP_LENGTH_UNKNOWN ? ENDING_CHUNKS : ENDING_LENGTH;
    }
    derived_add(request);
    connection_add(request);
    if (request->is_head || ending == ENDING_NONE) {
        evbuffer_drain(request->out, evbuffer_get_length(request->out));
    }
    answer_count(request);
    answer_put(request, ending, length);
    if (request->is_broken) {
        connection_close(connection);
        return;
    }
    request->state = REQUEST_SENT;
    connection_send(connection, request->evhttp);
}

/* -- streams -------------------------------------------------------------------------------- */

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

void http_stream_begin(struct http_request *request, unsigned code, const char *content_type,
                       uint64_t length)
{
    enum ending ending = length == HTTP_LENGTH_UNKNOWN ? ENDING_CHUNKS : ENDING_LENGTH;
    char head[HEAD_BYTES_MAX];

    http_begin(request, code, content_type);
    request->is_stream = true;
    request->stream_left = length;
    if (request->evhttp == NULL || request->is_head) {
        return;
    }
    if (ending == ENDING_CHUNKS && request->is_old) {
        /* Before HTTP/1.1 there are no chunks: the end of the connection ends the answer. */
        request->is_closing = true;
        ending = ENDING_NONE;
    }
    derived_add(request);
    connection_add(request);
    answer_count(request);
    request->connection->since_us = connection_clock_us();
    if (evbuffer_add(request->out, head, head_write(request, ending, length, head)) != 0) {
        request->is_broken = true;
        return;
    }
    /* The head goes the way of a chunk, but bare. */
    connection_frame(request->evhttp, false);
    evhttp_send_reply_chunk_with_cb(request->evhttp, request->out, on_drained, request);
    connection_frame(request->evhttp, ending == ENDING_CHUNKS);
}

void answer_flush(struct http_request *request)
{
    const size_t size = evbuffer_get_length(request->out);

    if (size == 0) {
        return;
    }
    if (request->evhttp == NULL) { /* its connection is gone */
        evbuffer_drain(request->out, size);
        return;
    }
    if (request->stream_left != HTTP_LENGTH_UNKNOWN) {
        assert(size <= request->stream_left);
        request->stream_left -= size;
    }
    if (connection_output_bytes(request->connection) == 0) {
        request->connection->since_us = connection_clock_us();
    }
    evhttp_send_reply_chunk_with_cb(request->evhttp, request->out, on_drained, request);
    request_charge(request);
}

void answer_stream_end(struct http_request *request)
{
    answer_flush(request);
    request->state = REQUEST_SENT;
    request->connection->since_us = connection_clock_us();
    evhttp_send_reply_end(request->evhttp);
}

/* -- problem documents ---------------------------------------------------------------------- */

static void output_to(void *argument, struct bytes text)
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

static void problem_put(struct http_request *request, unsigned code, struct bytes detail,
                        const struct http_place *place)
{
    const char *uri = request->evhttp == NULL ? "" : evhttp_request_get_uri(request->evhttp);
    uint8_t buffer[512];
    struct output output;
    struct json_writer json;

    answer_forget(request);
    http_begin(request, code, "application/problem+json");
    output_init(&output, (struct space){ buffer, sizeof buffer }, output_to, request);
    json_begin(&json, &output, false);
    json_begin_object(&json);
    json_name(&json, "type");
    json_text(&json, "about:blank");
    json_name(&json, "title");
    json_text(&json, answer_phrase(code));
    json_name(&json, "status");
    json_u64(&json, code);
    json_member(&json, "detail", detail);
    json_member(&json, "instance", (struct bytes){ (const uint8_t *)uri, strcspn(uri, "?") });
    if (place != NULL && place->pointer.data != NULL) {
        json_member(&json, "pointer", place->pointer);
    }
    if (place != NULL && place->line > 0) {
        json_name(&json, "line");
        json_u64(&json, place->line);
    }
    if (place != NULL && place->applied != NULL) {
        json_name(&json, "applied");
        json_begin_object(&json);
        json_name(&json, "keys");
        json_u64(&json, place->applied->keys);
        json_name(&json, "elements");
        json_u64(&json, place->applied->elements);
        json_end_object(&json);
    }
    if (place != NULL && place->is_unknown) {
        json_name(&json, "outcome");
        json_text(&json, "unknown");
    }
    json_end_object(&json);
    output_put_byte(&output, '\n');
    output_flush(&output);
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
    assert(code >= 400);
    if (request->is_stream) {
        request->is_broken = true;
        return;
    }
    problem_put(request, code, (struct bytes){ (const uint8_t *)why->text, strlen(why->text) },
                place);
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

void answer_full_text(const struct http_server *server, char text[ANSWER_FULL_MAX])
{
    (void)snprintf(
        text, ANSWER_FULL_MAX,
        "requests hold all the memory that http-max-memory (%llu bytes) allows; try again "
        "soon or raise it",
        (unsigned long long)server->held->limit_bytes);
}

void http_refuse_memory(struct http_request *request)
{
    char full[ANSWER_FULL_MAX];

    request->server->stats.refused[HTTP_REFUSED_MEMORY]++;
    answer_full_text(request->server, full);
    http_refuse(request, 503, "%s", full);
}
