/* What came: what a request says, for its handler and for those who look at it before. */

#include "base/text.h"
#include "http/state.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include <assert.h>
#include <string.h>
#include <strings.h>

struct moment http_now(const struct http_request *request)
{
    return request->now;
}

struct http_server *http_server_of(const struct http_request *request)
{
    return request->server;
}

struct bytes http_key(const struct http_request *request)
{
    return (struct bytes){ request->key, request->key_size };
}

/* -- the query --------------------------------------------------------------------------------- */

bool http_query_next(const struct http_request *request, const char *name, size_t *at,
                     struct bytes *value_out)
{
    const size_t size = strlen(name);

    while (*at < request->query.count) {
        const struct request_parameter *parameter = &request->query.list[(*at)++];

        if (parameter->name.size == size && memcmp(parameter->name.data, name, size) == 0) {
            *value_out = parameter->value;
            return true;
        }
    }
    return false;
}

bool http_query(const struct http_request *request, const char *name, struct bytes *value_out)
{
    size_t at = 0;

    return http_query_next(request, name, &at, value_out);
}

size_t http_query_count(const struct http_request *request, const char *name)
{
    struct bytes value;
    size_t count = 0;
    size_t at = 0;

    while (http_query_next(request, name, &at, &value)) {
        count++;
    }
    return count;
}

bool http_query_beside(const struct http_request *request, const char *words,
                       struct bytes *name_out)
{
    for (size_t i = 0; i < request->query.count; i++) {
        const struct bytes name = request->query.list[i].name;

        if (!request_words_have(words, name) && !request_words_have("pretty", name)) {
            *name_out = name;
            return true;
        }
    }
    return false;
}

bool http_is_pretty(const struct http_request *request)
{
    return request->is_pretty;
}

/* -- headers ----------------------------------------------------------------------------------- */

const char *request_header(const struct http_request *request, const char *name)
{
    if (request->evhttp == NULL) {
        return NULL;
    }
    return evhttp_find_header(evhttp_request_get_input_headers(request->evhttp), name);
}

struct bytes http_header(const struct http_request *request, const char *name)
{
    const char *value = request_header(request, name);

    return (struct bytes){ (const uint8_t *)value, value == NULL ? 0 : strlen(value) };
}

bool http_type_is(const struct http_request *request, const char *type)
{
    const char *value = request_header(request, "Content-Type");

    return request_type_is(value == NULL ? "" : value,
                           (struct bytes){ (const uint8_t *)type, strlen(type) });
}

unsigned http_accepts(const struct http_request *request, const char *type)
{
    struct request_quality best = { 0 };
    const struct evkeyval *header;
    bool is_asked = false;

    if (request->evhttp == NULL) {
        return 1;
    }
    header = evhttp_request_get_input_headers(request->evhttp)->tqh_first;
    for (; header != NULL; header = header->next.tqe_next) {
        if (strcasecmp(header->key, "Accept") == 0) {
            const struct request_quality found = request_quality_of(header->value, type);

            is_asked = true;
            best = found.closeness > best.closeness ? found : best;
        }
    }
    if (!is_asked) {
        return 1;
    }
    return best.thousandths == 0 ? 0 : 4u * best.thousandths + best.closeness;
}

bool http_prefers(const struct http_request *request, const char *preference)
{
    const char *value = request_header(request, "Prefer");

    return value != NULL && request_prefers(value, preference);
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

/* -- the body ---------------------------------------------------------------------------------- */

size_t http_body_size(const struct http_request *request)
{
    return evbuffer_get_length(request->body);
}

struct bytes http_body_front(struct http_request *request, size_t size)
{
    const size_t all = evbuffer_get_length(request->body);
    const size_t front = size < all ? size : all;

    if (front == 0) {
        return (struct bytes){ NULL, 0 };
    }
    return (struct bytes){ evbuffer_pullup(request->body, (ev_ssize_t)front), front };
}

struct bytes http_body(struct http_request *request)
{
    return http_body_front(request, SIZE_MAX);
}

struct bytes http_body_piece(struct http_request *request)
{
    struct evbuffer_ptr *from = request->body_passed > 0 ? &request->body_at : NULL;
    struct evbuffer_iovec piece;

    if (request->body_passed == evbuffer_get_length(request->body)
        || evbuffer_peek(request->body, HTTP_BODY_STEP_BYTES, from, &piece, 1) < 1) {
        return (struct bytes){ NULL, 0 };
    }
    return (struct bytes){ piece.iov_base, piece.iov_len < HTTP_BODY_STEP_BYTES
                                               ? piece.iov_len
                                               : HTTP_BODY_STEP_BYTES };
}

void http_body_pass(struct http_request *request, size_t size)
{
    const enum evbuffer_ptr_how how =
        request->body_passed == 0 ? EVBUFFER_PTR_SET : EVBUFFER_PTR_ADD;

    assert(size <= evbuffer_get_length(request->body) - request->body_passed);
    (void)evbuffer_ptr_set(request->body, &request->body_at, size, how);
    request->body_passed += size;
}

void http_body_rewind(struct http_request *request)
{
    request->body_passed = 0;
}

void http_body_drain(struct http_request *request, size_t size)
{
    assert(request->body_passed == 0);
    assert(size <= evbuffer_get_length(request->body));
    evbuffer_drain(request->body, size);
    connection_body_drained(request->connection, size);
}
