/* A whole HTTP server over a node and its store, and up to three clients on local sockets who send
 * what an input says: requests of every route with parameters, headers and bodies of all kinds, in
 * JSON, lines and msgpack, whole, in pieces, chunked, pipelined, cut; and time, datagrams and
 * failing memory between them. The loop runs until nothing happens any more after each step.
 *
 * What must hold: after each step every audit of node and table, no assertion anywhere, every
 * answer begins as HTTP does, and no memory left at the end. */

#include "http/api.h"
#include "http/routes.h"
#include "http/watch.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "defaults.h"
#include "fuzz/input.h"
#include "unit/client.h"

#define CLIENTS     3
#define STEPS_MAX   24
#define TEXT_MAX    16384
#define PASSES_MAX  400
#define STORE_BYTES (UINT64_C(16) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct client {
    int fd; /* -1: not connected */
    size_t heard;
};

struct site {
    struct mem store_mem;
    struct mem node_mem;
    struct mem http_mem;
    struct table *table;
    struct node *node;
    struct event_base *base;
    struct http_server *server;
    struct http_context context;
    struct moment now;
    struct sockaddr_un address;
    socklen_t address_size;
    bool is_wanted; /* a turn */
    struct client clients[CLIENTS];
};

/* A request being put together. */
struct text {
    char bytes[TEXT_MAX];
    size_t size;
};

/* -- the server ------------------------------------------------------------------------------ */

static struct moment site_moment(void *shell)
{
    struct site *site = shell;

    site->is_wanted = true;
    return site->now;
}

static void site_wanted(void *shell)
{
    ((struct site *)shell)->is_wanted = true;
}

/* A socket that listens at a name of the kernel's choice, which is no file. */
static int site_listen(struct site *site)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    site->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    site->address_size = sizeof site->address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&site->address, sizeof(sa_family_t)) != 0
        || listen(fd, CLIENTS) != 0
        || getsockname(fd, (struct sockaddr *)&site->address, &site->address_size) != 0) {
        abort();
    }
    return fd;
}

static void server_start(struct site *site, bool is_unix)
{
    const struct http_listener listener = {
        .text = "local", .fd = site_listen(site), .is_unix = is_unix, .is_loopback = true
    };
    const struct http_options options = { .listeners = &listener,
                                          .listeners_count = 1,
                                          .routes = http_routes,
                                          .routes_count = http_routes_count,
                                          .node_text = "10.0.0.1:6000",
                                          .document_bytes_max = 4096,
                                          .lines_bytes_max = 12288,
                                          .header_bytes_max = 4096,
                                          .upload_bytes_max = default_http_max_upload,
                                          .connections_max = 1000,
                                          .timeout_us = default_http_timeout * 1000,
                                          .watchers_max = default_http_watchers,
                                          .watch_buffer_bytes = default_watch_buffer,
                                          .mem = &site->http_mem,
                                          .context = &site->context,
                                          .shell = site,
                                          .moment = site_moment,
                                          .turn_wanted = site_wanted };
    struct fault why;

    if (http_server_create(&options, site->base, &site->server, &why) != STATUS_OK) {
        abort();
    }
}

/* A key of so many blocks, `step` apart from each other, the last at the end of all indices. */
static void key_fill(struct site *site, const char *key, unsigned blocks, uint64_t step)
{
    const uint64_t values[] = { 1, 255, 256, UINT64_MAX };
    const uint8_t offsets[] = { 0, 1, 128, 255 };
    struct mem mem = { 0 };
    struct client_done done;
    struct vector vector;
    const struct bytes name = { (const uint8_t *)key, strlen(key) };

    vector_init(&vector);
    for (unsigned i = 0; i < blocks; i++) {
        const struct block block = { .number = (UINT64_MAX >> 8) - i * step,
                                     .values = values,
                                     .offsets = offsets,
                                     .count = 4,
                                     .width = 8 };

        if (vector_merge(&vector, &mem, &block, 0, NULL) != STATUS_OK) {
            abort();
        }
    }
    if (client_write(site->node, site->now, name, &vector, &done) != STATUS_OK) {
        abort();
    }
    vector_clear(&vector, &mem);
}

static void site_start(struct site *site, bool is_unix)
{
    const struct address self = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 },
                                  .port = 6000 };
    const struct table_options table_options = { .mem = &site->store_mem,
                                                 .keys_max = 64,
                                                 .digest_mask = UINT64_MAX };
    const struct node_value_rule rule = { .pattern = { (const uint8_t *)"small*", 6 },
                                          .value_max = 255 };
    const struct node_options node_options = {
        NODE_DEFAULTS,     .self = self,         .seed = 1,
        .http_port = 8000, .value_rules = &rule, .value_rules_count = 1
    };

    memset(site, 0, sizeof *site);
    site->now = (struct moment){ .mono_us = 1000000, .unix_s = 1790000000 };
    site->store_mem.limit_bytes = STORE_BYTES;
    site->node_mem.limit_bytes = STORE_BYTES;
    site->http_mem.limit_bytes = STORE_BYTES;
    site->base = event_base_new();
    if (site->base == NULL || table_create(&table_options, &site->table) != STATUS_OK
        || node_create(&node_options, &site->node_mem, site->table, site->now, &site->node)
               != STATUS_OK) {
        abort();
    }
    site->context = (struct http_context){ .node = site->node,
                                           .table = site->table,
                                           .mem = &site->http_mem,
                                           .version = "fuzz",
                                           .self = self,
                                           .http_port = 8000,
                                           .started_us = site->now.mono_us,
                                           .shell = site };
    TAILQ_INIT(&site->context.line);
    site->context.watch = watch_create(&site->http_mem);
    if (site->context.watch == NULL) {
        abort();
    }
    key_fill(site, "a", 1, 1);
    key_fill(site, "b", 5, UINT64_C(1) << 40);
    key_fill(site, "ab", 600, 1);
    server_start(site, is_unix);
    for (unsigned i = 0; i < CLIENTS; i++) {
        site->clients[i].fd = -1;
    }
}

static void client_close(struct client *client)
{
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    *client = (struct client){ .fd = -1 };
}

static void site_end(struct site *site)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_close(&site->clients[i]);
    }
    http_server_free(site->server);
    watch_free(site->context.watch);
    event_base_free(site->base);
    node_free(site->node);
    table_free(site->table);
    assert(site->http_mem.used_bytes == 0);
    assert(site->node_mem.used_bytes == 0);
    assert(site->store_mem.used_bytes == 0);
}

/* As main/daemon.c ends a pass of the loop. */
static void site_turn(struct site *site)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct changes changes;
    struct address to;

    site->is_wanted = false;
    if (site->now.mono_us >= node_due_us(site->node)) {
        node_tick(site->node, site->now);
    }
    changes = node_changes(site->node);
    watch_note(site->context.watch, changes);
    http_server_turn_end(site->server, changes);
    while (node_emit(site->node, site->now, space, &to) > 0) {
    }
    node_turn_end(site->node);
}

/* Take what a client is sent. True: there was something. */
static bool client_hear(struct client *client)
{
    char bytes[16384];
    bool any = false;

    while (client->fd >= 0) {
        const ssize_t size = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (size > 0) {
            assert(client->heard > 0 || size < 5 || memcmp(bytes, "HTTP/", 5) == 0);
            client->heard += (size_t)size;
            any = true;
        } else if (size < 0 && errno == EAGAIN) {
            break;
        } else {
            client_close(client);
            any = true;
        }
    }
    return any;
}

/* Run the loop until nothing happens any more. */
static void site_run(struct site *site)
{
    unsigned quiet = 0;

    for (unsigned i = 0; i < PASSES_MAX && quiet < 3; i++) {
        bool any = false;

        (void)event_base_loop(site->base, EVLOOP_NONBLOCK);
        for (unsigned c = 0; c < CLIENTS; c++) {
            any = client_hear(&site->clients[c]) || any;
        }
        any = any || site->is_wanted;
        if (site->is_wanted) {
            site_turn(site);
        }
        quiet = any ? 0 : quiet + 1;
    }
}

/* -- requests -------------------------------------------------------------------------------- */

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *text, const char *format, ...)
{
    va_list list;
    int size;

    va_start(list, format);
    size = vsnprintf(text->bytes + text->size, sizeof text->bytes - text->size, format, list);
    va_end(list);
    if (size > 0 && (size_t)size < sizeof text->bytes - text->size) {
        text->size += (size_t)size;
    }
}

static void put_raw(struct text *text, const void *bytes, size_t size)
{
    if (size <= sizeof text->bytes - text->size) {
        memcpy(text->bytes + text->size, bytes, size);
        text->size += size;
    }
}

static const char *pick(struct input *input, const char *const *list, unsigned count)
{
    return list[input_below(input, count)];
}
#define PICK(input, list) pick(input, list, sizeof(list) / sizeof(list)[0])

static const char *const keys[] = { "a",     "a",    "b",      "ab",   "ab",    "b",
                                    "small", "a*",   "%25",    "a%25", "*",     "n:10.0.0.1:6000",
                                    "n:",    "n:no", "%C3%A9", "%00",  "a%2Fb", "%zz",
                                    "n:*",   "" };
static const char *const plain_keys[] = { "a",       "b", "small", "a*", "%",  "n:10.0.0.1:6000",
                                          "\\u00e9", "",  "c1",    "c2", "c3", "\\ud800" };

static void put_path(struct text *text, struct input *input)
{
    static const char *const paths[] = { "/",
                                         "/health",
                                         "/openapi.json",
                                         "/ready",
                                         "/stats",
                                         "/watch",
                                         "/peers",
                                         "/keys/",
                                         "/nothing",
                                         "//keys",
                                         "/../x",
                                         "*",
                                         "http://localhost/keys" };
    const unsigned form = input_below(input, 32);

    if (form < 13) {
        put(text, "%s", paths[form]);
    } else if (form < 18) {
        put(text, "/keys");
    } else if (form < 20) {
        put(text, "/peers/10.0.0.%u:%u", input_below(input, 9), input_byte(input) * 200U);
    } else {
        put(text, "/keys/%s", PICK(input, keys));
    }
}

static void put_query(struct text *text, struct input *input)
{
    static const char *const names[] = { "after", "limit",   "match", "prefix", "vectors", "count",
                                         "from",  "index",   "wait",  "join",   "format",  "state",
                                         "every", "include", "key",   "pretty", "other",   "" };
    static const char *const values[] = { "1",   "0",        "true",       "no",    "a",
                                          "a*",  "%25",      "10s",        "1m",    "5",
                                          "",    "full",     "prometheus", "alive", "-1",
                                          "1e3", "*a*a*a*b", "%00",        "vector" };
    const unsigned count = input_below(input, 5);

    for (unsigned i = 0; i < count; i++) {
        put(text, "%c%s", i == 0 ? '?' : '&', PICK(input, names));
        if (input_rarely(input, 3)) {
            put(text, "=%" PRIu64, input_number(input));
        } else {
            put(text, "=%s", PICK(input, values));
        }
    }
}

static void put_json_vector(struct text *text, struct input *input)
{
    const unsigned count = input_below(input, 24);
    uint64_t index = 0;

    put(text, "{");
    for (unsigned i = 0; i < count; i++) {
        index = input_index(input, index);
        put(text, "%s\"%" PRIu64 "\":%" PRIu64, i == 0 ? "" : ",", index, input_number(input));
    }
    put(text, "}");
}

static void put_json_odd(struct text *text, struct input *input)
{
    static const char *const odd[] = { "[1,2,3,300,70000]",
                                       "{\"0\":1.5}",
                                       "{\"0\":-1}",
                                       "[[[[",
                                       "{\"0\":18446744073709551616}",
                                       "{\"01\":1}",
                                       "null",
                                       "",
                                       "{\"a\":{\"0\":1},\"a\":{\"0\":2}}",
                                       "{\"0\":\"7\"}",
                                       "{\"address\":\"10.0.0.7:6000\"}",
                                       "{\"from\":0,\"values\":[1]}",
                                       "\"\\ud83d\\ude00\"",
                                       "{\"0\":1e0}",
                                       " \r\n{}\r\n" };

    put(text, "%s", PICK(input, odd));
}

static void put_lines(struct text *text, struct input *input)
{
    const unsigned count = 1 + input_below(input, 12);

    for (unsigned i = 0; i < count; i++) {
        put(text, "{\"key\":\"%s\",\"vector\":", PICK(input, plain_keys));
        put_json_vector(text, input);
        put(text, input_rarely(input, 8) ? "}\r\n" : "}\n");
    }
}

static void put_big(struct text *text, unsigned head, uint64_t number, unsigned size)
{
    const uint8_t first = (uint8_t)head;

    put_raw(text, &first, 1);
    while (size > 0) {
        const uint8_t byte = (uint8_t)(number >> 8 * --size);

        put_raw(text, &byte, 1);
    }
}

static void put_packed_vector(struct text *text, struct input *input)
{
    const unsigned count = input_below(input, 24);
    uint64_t index = 0;

    put_big(text, 0xde, count, 2);
    for (unsigned i = 0; i < count; i++) {
        index = input_index(input, index);
        put_big(text, 0xcf, index, 8);
        put_big(text, 0xcf, input_number(input), 8);
    }
}

static void put_body(struct text *text, struct input *input, const char **type)
{
    const unsigned form = input_below(input, 10);

    *type = "application/json";
    switch (form) {
    case 0:
    case 1:
    case 2: put_json_vector(text, input); break;
    case 3: put_json_odd(text, input); break;
    case 4:
        put(text, "{\"%s\":", PICK(input, plain_keys));
        put_json_vector(text, input);
        put(text, "}");
        break;
    case 5:
    case 6:
        *type = "application/x-ndjson";
        put_lines(text, input);
        break;
    case 7:
        *type = "application/msgpack";
        put_packed_vector(text, input);
        break;
    case 8:
        *type = "application/msgpack";
        put_raw(text,
                "\x81\xa1"
                "a",
                3);
        put_packed_vector(text, input);
        break;
    default: {
        const struct bytes raw = input_bytes(input, 1U + input_byte(input));

        *type = input_rarely(input, 2) ? "application/msgpack" : "text/plain";
        put_raw(text, raw.data, raw.size);
        break;
    }
    }
}

/* What the server would give as its ETag now. */
static void put_known_digest(struct text *text, struct input *input, const struct site *site)
{
    static const char *const known[] = { "a", "b", "ab" };
    const char *const key = PICK(input, known);
    const struct entry *entry =
        table_find(site->table, (struct bytes){ (const uint8_t *)key, strlen(key) });

    if (entry != NULL) {
        put(text, "If-None-Match: \"%016" PRIx64 "\"\r\n", entry_digest(entry));
    }
}

static void put_headers(struct text *text, struct input *input, const struct site *site)
{
    static const char *const lines[] = {
        "Accept: application/msgpack",
        "Accept: application/json;q=0.5, */*;q=0.1",
        "Accept: text/event-stream",
        "Accept: application/x-ndjson",
        "Accept-Encoding: gzip",
        "If-None-Match: *",
        "If-None-Match: \"0000000000000000\", W/\"ffffffffffffffff\"",
        "Expect: 100-continue",
        "Connection: close",
        "Connection: keep-alive",
        "Content-Length: 18446744073709551615",
        "Content-Length: -1",
        "Content-Type: application/json",
        "Origin: http://evil.example",
        "Origin: null",
        "Prefer: return=minimal",
        "Last-Event-ID: 18446744073709551615",
        "Transfer-Encoding: chunked",
        "Host: evil.example",
        " folded",
        "Access-Control-Request-Method: POST",
    };
    const unsigned count = input_below(input, 4);

    for (unsigned i = 0; i < count; i++) {
        if (input_rarely(input, 4)) {
            put_known_digest(text, input, site);
        } else {
            put(text, "%s\r\n", PICK(input, lines));
        }
    }
}

static void put_chunked(struct text *text, struct input *input, const struct text *body)
{
    size_t from = 0;

    while (from < body->size) {
        size_t size = 1U + input_byte(input);

        size = size < body->size - from ? size : body->size - from;
        put(text, "%zx\r\n", size);
        put_raw(text, body->bytes + from, size);
        put(text, "\r\n");
        from += size;
    }
    put(text, "0\r\n\r\n");
}

static void put_request(struct text *text, struct input *input, const struct site *site)
{
    static const char *const methods[] = { "GET", "GET",  "GET",    "POST",    "POST",  "POST",
                                           "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE" };
    static struct text body;
    const char *const method = PICK(input, methods);
    const bool has_body = method[0] == 'P' || input_rarely(input, 16);
    const char *type = NULL;

    put(text, "%s ", method);
    put_path(text, input);
    put_query(text, input);
    put(text, " HTTP/1.%u\r\n", input_rarely(input, 8) ? 0U : 1U);
    put(text, input_rarely(input, 16) ? "X: y\r\n" : "Host: localhost\r\n");
    put_headers(text, input, site);
    body.size = 0;
    if (has_body) {
        put_body(&body, input, &type);
        if (!input_rarely(input, 8)) {
            put(text, "Content-Type: %s\r\n", type);
        }
    }
    if (has_body && input_rarely(input, 3)) {
        put(text, "Transfer-Encoding: chunked\r\n\r\n");
        put_chunked(text, input, &body);
    } else if (has_body) {
        put(text, "Content-Length: %zu\r\n\r\n", body.size + (input_rarely(input, 16) ? 1 : 0));
        put_raw(text, body.bytes, body.size);
    } else {
        put(text, "\r\n");
    }
}

/* -- steps ----------------------------------------------------------------------------------- */

static void client_send(struct site *site, struct client *client, struct bytes bytes)
{
    if (client->fd < 0) {
        client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        client->heard = 0;
        if (client->fd < 0) {
            abort();
        }
        if (connect(client->fd, (struct sockaddr *)&site->address, site->address_size) != 0) {
            client_close(client); /* it has stopped, or has enough of them */
            return;
        }
    }
    /* What the server does not read now is lost, as if the client had stopped there. */
    (void)send(client->fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Requests, one after another, in pieces. */
static void requests_send(struct site *site, struct input *input)
{
    static struct text text;
    struct client *client = &site->clients[input_below(input, CLIENTS)];
    const unsigned form = input_byte(input);
    const unsigned requests = 1 + (form & 3) / 2 + (form & 1);
    const size_t piece = (form & 0x30) == 0x30 ? 1U + input_byte(input) : SIZE_MAX;

    text.size = 0;
    for (unsigned i = 0; i < requests; i++) {
        put_request(&text, input, site);
    }
    if ((form & 0xc0) == 0xc0 && text.size > 0) {
        text.size -= input_byte(input) % text.size; /* cut */
    }
    for (size_t from = 0; from < text.size;) {
        const size_t left = text.size - from;
        const size_t size = piece < left ? piece : left;

        client_send(site, client, (struct bytes){ (uint8_t *)text.bytes + from, size });
        from += size;
        if (from < text.size) {
            site_run(site);
            if (client->fd < 0) {
                break;
            }
        }
    }
}

static void raw_send(struct site *site, struct input *input)
{
    client_send(site, &site->clients[input_below(input, CLIENTS)],
                input_bytes(input, 1U + input_byte(input)));
}

static void datagram_come(struct site *site, struct input *input)
{
    const struct address from = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 9 },
                                  .port = 6000 };
    static const uint8_t head[] = { 0x82, 0xa3, 'k', 'e', 'y', 0xa1, 'a',
                                    0xa6, 'v',  'e', 'c', 't', 'o',  'r' };
    static struct text text;

    text.size = 0;
    put_raw(&text, head, sizeof head);
    put_packed_vector(&text, input);
    node_receive(site->node, site->now, &from, (struct bytes){ (uint8_t *)text.bytes, text.size });
    site->is_wanted = true;
}

static void memory_fail(struct site *site, struct input *input)
{
    struct mem *const mems[] = { &site->store_mem, &site->node_mem, &site->http_mem };

    mems[input_below(input, 3)]->fail_countdown = 1U + input_below(input, 64);
}

static void step(struct site *site, struct input *input)
{
    struct client *client;

    switch (input_below(input, 16)) {
    case 0: raw_send(site, input); break;
    case 1: datagram_come(site, input); break;
    case 2: memory_fail(site, input); break;
    case 3: client_close(&site->clients[input_below(input, CLIENTS)]); break;
    case 4:
        client = &site->clients[input_below(input, CLIENTS)];
        if (client->fd >= 0) {
            (void)shutdown(client->fd, SHUT_WR);
        }
        break;
    case 5:
        site->now.mono_us += UINT64_C(1000) << input_below(input, 24);
        site->now.unix_s = 1790000000 + site->now.mono_us / 1000000;
        site->is_wanted = true;
        break;
    case 6:
        if (input_rarely(input, 8)) {
            http_server_stop(site->server, 1000000);
        }
        break;
    default: requests_send(site, input); break;
    }
    site_run(site);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct site site;
    struct input input = { data, data + size };

    (void)signal(SIGPIPE, SIG_IGN);
    site_start(&site, input_rarely(&input, 2));
    for (unsigned i = 0; i < STEPS_MAX && !input_is_over(&input); i++) {
        step(&site, &input);
        node_audit(site.node);
        table_audit(site.table);
    }
    site_end(&site);
    return 0;
}
