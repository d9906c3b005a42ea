/* Whether a request may reach its handler. */

#include "base/utf8.h"
#include "http/state.h"

#include <event2/http.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_SHOWN_MAX 100

static void refuse_count(struct http_request *request, enum http_refused reason)
{
    request->server->stats.refused[reason]++;
}

/* Whether the framing can be read in one way only, and the target is a path. */
static bool admit_framing(struct http_request *request, enum evhttp_cmd_type command)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->evhttp);
    const struct request_framing framing = {
        .has_host_rule = !request->is_old,
        .takes_no_body =
            command == EVHTTP_REQ_HEAD || command == EVHTTP_REQ_TRACE || command > EVHTTP_REQ_PATCH,
        .has_old_syntax = request->is_old,
    };

    request->fault = request_framing_fault(headers, framing);
    if (request->fault == NULL
        && !request_target_read(evhttp_request_get_uri(request->evhttp), &request->target)) {
        request->fault = "the target is neither a path, like /keys/foo, nor an http URL";
    }
    if (request->fault == NULL) {
        return true;
    }
    refuse_count(request, HTTP_REFUSED_FRAMING);
    request->is_closing = true; /* where the next request begins is not known */
    http_refuse(request, 400, "%s", request->fault);
    return false;
}

/* Whom the client means: an absolute target has it, and then the Host does not matter. */
static struct bytes host_of(const struct http_request *request)
{
    return request->target.authority.data != NULL ? request->target.authority
                                                  : http_header(request, "Host");
}

/* Whether the client means us: a page of another site that has its name point to our address, or
 * sends its visitors' browsers here, does not pass. */
static bool admit_origin(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    const struct bytes host = host_of(request);
    const char *origin = request_header(request, "Origin");

    if (request->connection->listener->is_unix) {
        return true;
    }
    if (host.data != NULL
        && !request_host_is_known(host, request->server->own_names, options->hosts,
                                  options->hosts_count)) {
        request->fault = "host";
        refuse_count(request, HTTP_REFUSED_HOST);
        http_refuse(request, 403, "the Host '%.*s' is not known here; add it with http-host",
                    host.size < HOST_SHOWN_MAX ? (int)host.size : HOST_SHOWN_MAX,
                    (const char *)host.data);
        return false;
    }
    if (origin != NULL
        && !request_origin_is_known(origin, host, options->origins, options->origins_count)) {
        request->fault = "origin";
        refuse_count(request, HTTP_REFUSED_HOST);
        http_refuse(request, 403,
                    "the Origin '%.100s' is not allowed here; add it with http-allow-origin",
                    origin);
        return false;
    }
    return true;
}

/* Whether the path is this route's; *key_out is what follows it, data NULL when nothing may. */
static bool route_matches(const struct http_route *route, struct bytes path, struct bytes *key_out)
{
    const size_t size = strlen(route->path);

    if (path.size < size || memcmp(path.data, route->path, size) != 0) {
        return false;
    }
    if (!route->takes_key) {
        *key_out = (struct bytes){ NULL, 0 };
        return path.size == size;
    }
    if (path.size == size || path.data[size] != '/') {
        return false;
    }
    *key_out = (struct bytes){ path.data + size + 1, path.size - size - 1 };
    return true;
}

bool request_asks_open(const struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    const char *uri = evhttp_request_get_uri(request->evhttp);

    for (size_t i = 0; *uri == '/' && i < options->routes_count; i++) {
        const struct http_route *route = &options->routes[i];
        const size_t size = strlen(route->path);

        if (route->access == HTTP_OPEN && !route->takes_key
            && (route->methods & request->method) != 0 && strncmp(uri + 1, route->path, size) == 0
            && (uri[1 + size] == '\0' || uri[1 + size] == '?')) {
            return true;
        }
    }
    return false;
}

/* Answer OPTIONS; to a page of another origin that asks first, what it may do. */
static void options_answer(struct http_request *request)
{
    char text[ANSWER_ALLOW_MAX];

    answer_allow_text(request->allowed, text);
    http_begin(request, 204, NULL);
    http_header_add(request, "Allow", text);
    if (request_header(request, "Access-Control-Request-Method") != NULL) {
        http_header_add(request, "Access-Control-Allow-Methods", text);
        http_header_add(request, "Access-Control-Allow-Headers",
                        "authorization, content-type, if-none-match, prefer");
        http_header_add(request, "Access-Control-Max-Age", "600");
    }
}

/* Find the route; false when there is an answer already. */
static bool admit_route(struct http_request *request, enum evhttp_cmd_type command,
                        struct bytes *key_out)
{
    const struct http_options *options = &request->server->options;
    const struct http_route *found = NULL;
    bool exists = false;

    for (size_t i = 0; i < options->routes_count; i++) {
        const struct http_route *route = &options->routes[i];
        struct bytes key;

        if (!route_matches(route, request->target.path, &key)) {
            continue;
        }
        exists = true;
        if (route->handler != NULL) {
            request->allowed |= route->methods;
        }
        if (found == NULL && (route->methods & request->method) != 0) {
            found = route;
            *key_out = key;
        }
    }
    if (!exists) {
        http_refuse(request, 404, "there is nothing here; GET / lists what there is");
    } else if (command == EVHTTP_REQ_OPTIONS) {
        options_answer(request);
        return false;
    } else if (found == NULL || found->handler == NULL) {
        http_refuse(request, 405, "%s",
                    found == NULL ? "this resource does not take this method" : found->refusal);
    } else {
        request->route = found;
        return true;
    }
    refuse_count(request, HTTP_REFUSED_ROUTE);
    return false;
}

static bool admit_access(struct http_request *request)
{
    const struct listener *listener = request->connection->listener;

    if (request->route->access != HTTP_WRITE || listener->is_loopback || listener->is_unix
        || request->server->options.is_open) {
        return true;
    }
    refuse_count(request, HTTP_REFUSED_CLOSED);
    http_refuse(request, 403,
                "updates are not taken on an address that others can reach; "
                "say `http-open yes` to take them from everybody");
    return false;
}

/* Whether there is memory for what the request will hold. Who asks how the node is gets an answer
 * all the same. */
static bool admit_memory(struct http_request *request)
{
    if (request->route->access == HTTP_OPEN || mem_left(request->server->held) > 0) {
        return true;
    }
    http_refuse_memory(request);
    return false;
}

static bool admit_key(struct http_request *request, struct bytes raw)
{
    uint8_t decoded[3 * HTTP_KEY_BYTES_MAX];
    struct bytes key = { decoded, 0 };
    const char *fault = NULL;

    if (!request->route->takes_key) {
        return true;
    }
    if (raw.size == 0) {
        fault = "the key is empty";
    } else if (raw.size <= sizeof decoded && !request_decode(raw, false, decoded, &key.size)) {
        fault = "a % in the key is not followed by two hex digits; write it as %25";
    } else if (raw.size > sizeof decoded || key.size > HTTP_KEY_BYTES_MAX) {
        fault = "the key has more than 255 bytes";
    } else if (!utf8_valid(key) || memchr(decoded, 0, key.size) != NULL) {
        fault = "the key is not UTF-8, or has a NUL";
    }
    if (fault != NULL) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 400, "%s", fault);
        return false;
    }
    memcpy(request->key, decoded, key.size);
    request->key_size = (uint8_t)key.size;
    return true;
}

/* Whether no parameter stands twice but those that may: one of the two would be left out. Each that
 * may not stands once before this ends, so that it is compared with few. */
static bool admit_once(struct http_request *request)
{
    const struct request_parameter *list = request->query.list;

    for (size_t i = 0; i < request->query.count; i++) {
        const struct bytes name = list[i].name;
        size_t at = 0;

        if (request_words_have(request->route->repeated, name)) {
            continue;
        }
        while (list[at].name.size != name.size
               || memcmp(list[at].name.data, name.data, name.size) != 0) {
            at++;
        }
        if (at < i) {
            refuse_count(request, HTTP_REFUSED_ROUTE);
            http_refuse(request, 400, "the parameter '%.*s' is given twice; it takes one value",
                        (int)name.size, (const char *)name.data);
            return false;
        }
    }
    return true;
}

bool http_query_flag(struct http_request *request, const char *name, bool *on)
{
    struct bytes value;

    if (!http_query(request, name, &value) || request_flag_read(value, on)) {
        return true;
    }
    http_refuse(request, 400, "'%s' must be 1, true, yes, 0, false or no", name);
    return false;
}

static bool admit_pretty(struct http_request *request)
{
    bool is_pretty = false;

    if (!http_query_flag(request, "pretty", &is_pretty)) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        return false;
    }
    request->is_pretty = is_pretty;
    return true;
}

/* Whether each parameter is known to the route: a misspelt one must not pass for its default. */
static bool admit_query(struct http_request *request)
{
    const char *known = request->route->query;
    struct bytes name;

    switch (request_query_read(request->target.query, request->server->held, &request->query)) {
    case REQUEST_QUERY_OK: break;
    case REQUEST_QUERY_MEMORY: http_refuse_memory(request); return false;
    case REQUEST_QUERY_INVALID:
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 400, "the query is not percent-encoded UTF-8");
        return false;
    case REQUEST_QUERY_MANY:
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 400, "the query has more than %d parameters; ask in more requests",
                    REQUEST_PARAMETERS_MAX);
        return false;
    }
    if (http_query_beside(request, known, &name)) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 400, "the parameter '%.*s' is not known here; known are: %s%s",
                    name.size < 60 ? (int)name.size : 60, (const char *)name.data,
                    known == NULL ? "" : known, known == NULL ? "pretty" : " pretty");
        return false;
    }
    return admit_once(request) && admit_pretty(request);
}

/* Whether the body's type is one of these, which stand with single spaces between them. */
static bool type_is_among(const struct http_request *request, const char *types)
{
    const char *value = request_header(request, "Content-Type");

    while (value != NULL && types != NULL && *types != '\0') {
        const size_t size = strcspn(types, " ");

        if (request_type_is(value, (struct bytes){ (const uint8_t *)types, size })) {
            return true;
        }
        types += size;
        types += *types == ' ';
    }
    return false;
}

static bool type_is_taken(const struct http_request *request)
{
    const char *value = request_header(request, "Content-Type");

    return request->route->types == NULL || value == NULL || *value == '\0'
           || http_type_is(request, "application/x-www-form-urlencoded")
           || type_is_among(request, request->route->types);
}

/* Whether the body is not longer than its kind may be. */
static bool admit_size(struct http_request *request, size_t size)
{
    const struct http_options *options = &request->server->options;
    const bool takes_lines = request->route->body == HTTP_BODY_LINES;
    const bool is_lines = takes_lines && type_is_among(request, request->route->lines);
    const uint64_t size_max = is_lines ? options->lines_bytes_max : options->document_bytes_max;
    char longer[120] = "";

    if (size <= size_max) {
        return true;
    }
    if (takes_lines && !is_lines) {
        (void)snprintf(longer, sizeof longer,
                       "; as application/x-ndjson it may have http-max-lines (%llu bytes)",
                       (unsigned long long)options->lines_bytes_max);
    }
    refuse_count(request, HTTP_REFUSED_BODY);
    http_refuse(request, 413, "the body has %zu bytes, more than %s (%llu bytes) allows%s", size,
                is_lines ? "http-max-lines" : "http-max-body", (unsigned long long)size_max,
                longer);
    return false;
}

static bool admit_body(struct http_request *request)
{
    const size_t size = http_body_size(request);
    const char *coding = request_header(request, "Content-Encoding");

    if (size == 0) {
        return true;
    }
    if (request->route->body == HTTP_BODY_NONE) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 400, "this request takes no body");
        return false;
    }
    if (!admit_size(request, size)) {
        return false;
    }
    if (coding != NULL && strcasecmp(coding, "identity") != 0) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 415, "the body is compressed; send it as it is");
        return false;
    }
    if (!type_is_taken(request)) {
        refuse_count(request, HTTP_REFUSED_ROUTE);
        http_refuse(request, 415, "the body's Content-Type is not one of: %s",
                    request->route->types);
        return false;
    }
    return true;
}

/* While what was kept is loaded there is nothing to answer from. */
static bool admit_loaded(struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    struct fault why;

    if (request->route->access == HTTP_OPEN || options->keeper == NULL
        || !options->keeper->loads(options->shell, &why)) {
        return true;
    }
    http_problem(request, 503, &why, NULL);
    return false;
}

bool request_admit(struct http_request *request, enum evhttp_cmd_type command)
{
    struct bytes key = { NULL, 0 };

    return admit_framing(request, command) && admit_origin(request)
           && admit_route(request, command, &key) && admit_access(request) && admit_loaded(request)
           && admit_memory(request) && admit_key(request, key) && admit_query(request)
           && admit_body(request);
}
