#include "unit/server_world.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "defaults.h"

/* The server asks an entry for its key alone, once it has one. */
struct entry {
    struct bytes key;
};

bool entry_deleted(const struct entry *entry)
{
    return entry->key.size == 0;
}

struct bytes entry_key(const struct entry *entry)
{
    return entry->key;
}

/* -- the routes ----------------------------------------------------------------------------- */

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

static void hello(struct http_request *request, struct http_context *context)
{
    context->handled++;
    http_begin(request, 200, "text/plain");
    http_put(request, text("hello\n"));
}

static void key_get(struct http_request *request, struct http_context *context)
{
    struct bytes wait;

    context->handled++;
    if (http_etag_matches(request, context->digest)) {
        if (http_query(request, "wait", &wait)
            && http_park_until_changed(request, http_key(request), wait.size * 1000000)) {
            return;
        }
        http_not_modified(request, context->digest);
        return;
    }
    http_etag(request, context->digest);
    http_begin(request, 200, "text/plain");
    http_put(request, http_key(request));
}

static void key_post(struct http_request *request, struct http_context *context)
{
    const struct bytes body = http_body(request);
    char line[64];

    context->handled++;
    (void)snprintf(line, sizeof line, "%zu bytes of %zu tags\n", body.size,
                   http_query_count(request, "tag"));
    http_begin(request, 201, "text/plain");
    http_put(request, text(line));
}

static void state_free(void *state)
{
    ++*(uint64_t *)state;
}

static enum http_step big_step(struct http_request *request, struct http_context *context,
                               void *state)
{
    static const uint8_t piece[BIG_PIECE];
    const size_t waiting = http_output_bytes(request);

    (void)state;
    context->output_most = waiting > context->output_most ? waiting : context->output_most;
    http_put(request, (struct bytes){ piece, sizeof piece });
    return ++context->steps == BIG_PIECES ? HTTP_STEP_DONE : HTTP_STEP_AGAIN;
}

static void big(struct http_request *request, struct http_context *context)
{
    struct bytes value;

    http_stream_begin(request, 200, "application/octet-stream",
                      http_query(request, "sized", &value) ? BIG_PIECES * BIG_PIECE
                                                           : HTTP_LENGTH_UNKNOWN);
    http_continue(request, big_step, &context->freed, state_free);
}

static enum http_step sleeper_step(struct http_request *request, struct http_context *context,
                                   void *state)
{
    (void)state;
    context->steps++;
    http_put(request, text("event\n"));
    return HTTP_STEP_SLEEP;
}

static void sleeper(struct http_request *request, struct http_context *context)
{
    if (!http_watcher_begin(request, http_query_count(request, "place") + 1)) {
        http_refuse(request, 503, "too many watchers");
        return;
    }
    context->sleeper = request;
    http_stream_begin(request, 200, "text/event-stream", HTTP_LENGTH_UNKNOWN);
    http_continue(request, sleeper_step, &context->freed, state_free);
}

static enum http_step timer_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    (void)state;
    if (context->steps++ == 0) {
        http_timer(request, 20000);
        return HTTP_STEP_SLEEP;
    }
    http_begin(request, 200, "text/plain");
    http_put(request, text("rang\n"));
    return HTTP_STEP_DONE;
}

static void timer(struct http_request *request, struct http_context *context)
{
    http_continue(request, timer_step, &context->freed, state_free);
}

static enum http_step abort_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    (void)context;
    (void)state;
    http_put(request, text("half"));
    return HTTP_STEP_ABORT;
}

static void abort_get(struct http_request *request, struct http_context *context)
{
    struct bytes value;

    if (http_query(request, "outlive", &value)) {
        assert_true(http_outlive(request));
    }
    http_stream_begin(request, 200, "text/plain", HTTP_LENGTH_UNKNOWN);
    http_continue(request, abort_step, &context->freed, state_free);
}

/* Consume the body in pieces; keep on when the client goes. */
static enum http_step lines_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    const struct bytes front = http_body_front(request, 1000);
    char line[64];

    (void)state;
    context->steps++;
    if (context->is_blocked) {
        return HTTP_STEP_AGAIN;
    }
    if (front.size > 0) {
        context->drained += front.size;
        http_body_drain(request, front.size);
        return HTTP_STEP_AGAIN;
    }
    (void)snprintf(line, sizeof line, "%zu drained\n", context->drained);
    http_begin(request, 200, "text/plain");
    http_put(request, text(line));
    return HTTP_STEP_DONE;
}

static void lines(struct http_request *request, struct http_context *context)
{
    struct bytes value;

    if (http_query(request, "outlive", &value)) {
        assert_true(http_outlive(request));
    }
    http_continue(request, lines_step, &context->freed, state_free);
}

static void broken(struct http_request *request, struct http_context *context)
{
    const struct fault why = { .code = STATUS_INVALID, .text = "a \"bad\" \xff value" };
    const struct http_place place = { .pointer = text("/bar/7"), .line = 3 };

    (void)context;
    http_begin(request, 200, "text/plain");
    http_put(request, text("thrown away"));
    http_problem(request, 400, &why, &place);
}

/* Each changes something, and waits for it. */
static void hold(struct http_request *request, struct http_context *context)
{
    context->handled++;
    context->noted++;
    (void)http_hold(request);
    http_begin(request, 200, "text/plain");
    http_put(request, text("kept"));
}

static enum http_step hold_end(struct http_request *request, struct http_context *context,
                               void *state)
{
    (void)context;
    (void)state;
    http_put(request, text("end"));
    return HTTP_STEP_DONE;
}

/* The same with a stream of two steps, which does not begin before. */
static enum http_step hold_step(struct http_request *request, struct http_context *context,
                                void *state)
{
    context->steps++;
    if (context->is_blocked || http_hold(request)) {
        return HTTP_STEP_AGAIN;
    }
    http_stream_begin(request, 200, "text/plain", HTTP_LENGTH_UNKNOWN);
    http_put(request, text("kept"));
    http_continue(request, hold_end, state, state_free);
    return HTTP_STEP_AGAIN;
}

static void hold_stream(struct http_request *request, struct http_context *context)
{
    struct bytes value;

    context->noted++;
    if (http_query(request, "outlive", &value)) {
        assert_true(http_outlive(request));
    }
    if (http_query(request, "at-once", &value)) {
        (void)http_hold(request); /* as a handler does that has called its step */
    }
    http_continue(request, hold_step, &context->freed, state_free);
}

static const struct http_route routes[] = {
    { .path = "", .methods = HTTP_GET, .handler = hello },
    { .path = "hello", .methods = HTTP_GET, .access = HTTP_READ, .handler = hello },
    { .path = "hello/there", .methods = HTTP_GET, .access = HTTP_READ, .handler = hello },
    { .path = "keys",
      .takes_key = true,
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .query = "wait",
      .handler = key_get },
    { .path = "keys",
      .takes_key = true,
      .methods = HTTP_POST | HTTP_PUT,
      .access = HTTP_WRITE,
      .body = HTTP_BODY_DOCUMENT,
      .query = "join tag",
      .repeated = "tag",
      .types = "application/json text/plain",
      .handler = key_post },
    { .path = "keys",
      .takes_key = true,
      .methods = HTTP_DELETE,
      .refusal = "a maximum cannot be taken back" },
    { .path = "big", .methods = HTTP_GET, .query = "sized", .handler = big },
    { .path = "sleep",
      .methods = HTTP_GET,
      .query = "place",
      .repeated = "place",
      .handler = sleeper },
    { .path = "timer", .methods = HTTP_GET, .handler = timer },
    { .path = "abort", .methods = HTTP_GET, .query = "outlive", .handler = abort_get },
    { .path = "lines",
      .methods = HTTP_POST,
      .access = HTTP_WRITE,
      .body = HTTP_BODY_LINES,
      .lines = "application/x-ndjson",
      .query = "outlive",
      .handler = lines },
    { .path = "post", .methods = HTTP_POST, .access = HTTP_WRITE, .handler = hello },
    { .path = "hold", .methods = HTTP_POST, .access = HTTP_WRITE, .handler = hold },
    { .path = "hold/stream",
      .methods = HTTP_POST,
      .access = HTTP_WRITE,
      .query = "at-once outlive",
      .handler = hold_stream },
    { .path = "broken", .methods = HTTP_GET, .handler = broken },
};

/* -- the fixture ---------------------------------------------------------------------------- */

static struct moment moment_now(void *shell)
{
    event_active(((struct fixture *)shell)->turn, 0, 0);
    return (struct moment){ .mono_us = 1, .unix_s = 1 };
}

static void turn_wanted(void *shell)
{
    ((struct fixture *)shell)->turns++;
}

static void on_turn(evutil_socket_t fd, short what, void *argument)
{
    struct fixture *fixture = argument;

    (void)fd;
    (void)what;
    http_server_turn_end(fixture->server, (struct changes){ 0 });
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
}

int listen_on_loopback(uint16_t *port_out)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

/* A server with the fixture's options. */
void serve(struct fixture *fixture)
{
    struct fault why;

    fixture->listener.fd = listen_on_loopback(&fixture->port);
    assert_int_equal(http_server_create(&fixture->options, fixture->base, &fixture->server, &why),
                     STATUS_OK);
}

int setup(void **state)
{
    static struct fixture fixture;
    const struct timeval tick = { 0, 5000 };
    struct event_config *config = event_config_new();

    signal(SIGPIPE, SIG_IGN); /* as main does */
    fixture = (struct fixture){ 0 };
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    fixture.base = event_base_new_with_config(config);
    event_config_free(config);
    fixture.tick = event_new(fixture.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(fixture.tick, &tick);
    fixture.turn = event_new(fixture.base, -1, 0, on_turn, &fixture);
    fixture.context.digest = 0x1234;
    fixture.listener = (struct http_listener){ .text = "127.0.0.1", .is_loopback = true };
    fixture.options = (struct http_options){
        HTTP_DEFAULTS,
        .listeners = &fixture.listener,
        .listeners_count = 1,
        .routes = routes,
        .routes_count = sizeof routes / sizeof routes[0],
        .node_text = "127.0.0.1:6001",
        .mem = &fixture.mem,
        .context = &fixture.context,
        .shell = &fixture,
        .moment = moment_now,
        .turn_wanted = turn_wanted,
    };
    *state = &fixture;
    return 0;
}

int teardown(void **state)
{
    struct fixture *fixture = *state;

    http_server_free(fixture->server);
    event_free(fixture->tick);
    event_free(fixture->turn);
    event_base_free(fixture->base);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

/* -- the client ----------------------------------------------------------------------------- */

static void on_read(struct bufferevent *stream, void *argument)
{
    struct client *client = argument;

    bufferevent_read_buffer(stream, client->received);
}

static void on_event(struct bufferevent *stream, short what, void *argument)
{
    struct client *client = argument;

    bufferevent_read_buffer(stream, client->received);
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        client->is_closed = true;
    }
}

struct client client_open(struct fixture *fixture)
{
    return (struct client){
        .stream = bufferevent_socket_new(fixture->base, -1, BEV_OPT_CLOSE_ON_FREE),
        .received = evbuffer_new(),
    };
}

void client_connect_to(struct client *client, const struct sockaddr *address, int size)
{
    bufferevent_setcb(client->stream, on_read, NULL, on_event, client);
    assert_int_equal(bufferevent_socket_connect(client->stream, address, size), 0);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

void client_connect(struct fixture *fixture, struct client *client)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(fixture->port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    client_connect_to(client, (const struct sockaddr *)&address, sizeof address);
}

void client_close(struct client *client)
{
    bufferevent_free(client->stream);
    evbuffer_free(client->received);
}

void serve_client(struct fixture *fixture, struct client *client)
{
    serve(fixture);
    client_connect(fixture, client);
}

void client_send(struct client *client, const char *bytes)
{
    bufferevent_write(client->stream, bytes, strlen(bytes));
}

bool client_has(struct client *client, const char *needle)
{
    return evbuffer_search(client->received, needle, strlen(needle), NULL).pos >= 0;
}

size_t client_count(struct client *client, const char *needle)
{
    struct evbuffer_ptr at = evbuffer_search(client->received, needle, strlen(needle), NULL);
    size_t count = 0;

    while (at.pos >= 0) {
        count++;
        evbuffer_ptr_set(client->received, &at, 1, EVBUFFER_PTR_ADD);
        at = evbuffer_search(client->received, needle, strlen(needle), &at);
    }
    return count;
}

uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *exchange_to_end(struct fixture *fixture, const char *request)
{
    static char answer[4096];
    struct client client = client_open(fixture);
    ev_ssize_t size;

    client_connect(fixture, &client);
    client_send(&client, request);
    AWAIT(fixture, client.is_closed);
    size = evbuffer_remove(client.received, answer, sizeof answer - 1);
    answer[size > 0 ? size : 0] = '\0';
    client_close(&client);
    return answer;
}

void assert_has(const char *answer, const char *needle)
{
    if (strstr(answer, needle) == NULL) {
        fail_msg("'%s' is not in:\n%s", needle, answer);
    }
}

void assert_lacks(const char *answer, const char *needle)
{
    if (strstr(answer, needle) != NULL) {
        fail_msg("'%s' is in:\n%s", needle, answer);
    }
}

void change(struct fixture *fixture, const char *key)
{
    struct entry entry = { .key = text(key) };
    const struct change change = { .entry = &entry };

    http_server_turn_end(fixture->server, (struct changes){ &change, 1 });
}
