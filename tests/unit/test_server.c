/* What this file tests: answers, steps, parks and the end, as a client sees them. */

#include "http/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/server_world.h"

/* -- routes and answers --------------------------------------------------------------------- */

static void test_server_answers_with_length_and_common_headers(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST);
    assert_has(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 6\r\n");
    assert_has(answer, "Content-Type: text/plain\r\n");
    assert_has(answer, "Cache-Control: no-store\r\n");
    assert_has(answer, "X-Content-Type-Options: nosniff\r\n");
    assert_has(answer, "X-Vignette-Node: 127.0.0.1:6001\r\n");
    assert_has(answer, "\r\n\r\nhello\n");
    assert_int_equal(http_server_stats(fixture->server)->answers[2], 1);
    assert_int_equal(fixture->turns, 0);
}

static void test_server_gives_a_head_the_length_without_the_body(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "HEAD /hello HTTP/1.1\r\n" LAST);
    assert_has(answer, "Content-Length: 6\r\n");
    assert_lacks(answer, "hello\n");
}

static void test_server_gives_a_head_of_a_stream_its_headers_only(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "HEAD /big?sized HTTP/1.1\r\n" LAST);
    assert_has(answer, "Content-Length: 2097152\r\n");
    assert_int_equal(fixture->context.steps, 0);
    assert_int_equal(fixture->context.freed, 1);
}
static void test_server_writes_problems_as_documents(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "GET /broken?pretty HTTP/1.1\r\n" LAST);
    assert_has(answer, "HTTP/1.1 400 Bad Request\r\n");
    assert_has(answer, "Content-Type: application/problem+json\r\n");
    assert_has(answer, "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                       "\"detail\":\"a \\\"bad\\\" ? value\",\"instance\":\"/broken\","
                       "\"pointer\":\"/bar/7\",\"line\":3}\n");
    assert_lacks(answer, "thrown away");
}

static void test_server_answers_pipelined_requests_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    for (size_t i = 0; i < 1000; i++) {
        char request[96];

        (void)snprintf(request, sizeof request, "GET /keys/k%04zu HTTP/1.1\r\n" HOST "\r\n", i);
        client_send(&client, request);
    }
    AWAIT(fixture, client_has(&client, "\r\n\r\nk0999"));
    assert_int_equal(client_count(&client, "HTTP/1.1 200"), 1000);
    assert_true(evbuffer_search(client.received, "k0499", 5, NULL).pos
                < evbuffer_search(client.received, "k0500", 5, NULL).pos);
    client_close(&client);
}

/* As `printf ... | nc -N` does: it has nothing more to say, and listens. */
static void test_server_answers_a_client_that_half_closes(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 1);
    assert_int_equal(send(bufferevent_getfd(client.stream), "GET /hello HTTP/1.0\r\n\r\n", 23, 0),
                     23);
    assert_int_equal(shutdown(bufferevent_getfd(client.stream), SHUT_WR), 0);
    AWAIT(fixture, client.is_closed);
    assert_true(client_has(&client, "hello\n"));
    client_close(&client);
}

/* -- steps ---------------------------------------------------------------------------------- */

/* A request whose target is long, on a blocking socket of its own. */
static int ask_much(const struct fixture *fixture, unsigned number)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(fixture->port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[8192];
    size_t size;

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    size = (size_t)snprintf(text, sizeof text, "GET /sleep?place=%u", number);
    while (size < 4000) {
        size += (size_t)snprintf(text + size, sizeof text - size, "&place=xxxxxxxxxxxxx");
    }
    size += (size_t)snprintf(text + size, sizeof text - size, " HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(send(fd, text, size, 0), size);
    return fd;
}

/* Looked at all in the pass in which they come, they would cost 10,000 units and more. */
static void test_server_looks_at_so_much_a_turn_and_at_all_in_the_end(void **state)
{
    enum { CLIENTS = 100, ONE_MOST = 16 + 4200 / 64 + 256 };
    struct fixture *fixture = *state;
    const struct http_stats *stats;
    int fds[CLIENTS];

    fixture->options.watchers_max = UINT16_MAX;
    serve(fixture);
    stats = http_server_stats(fixture->server);
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = ask_much(fixture, i);
    }
    AWAIT(fixture, stats->watchers == CLIENTS);
    assert_true(stats->turn_work_most > ONE_MOST);
    assert_in_range(stats->turn_work_most, 1, HTTP_TURN_WORK_MAX + ONE_MOST);
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    AWAIT(fixture, stats->watchers == 0);
}

static void on_flood(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    ++*(unsigned *)argument;
}

/* Datagrams are there in every pass of the loop, and each pass takes as many as it may: who asks
 * waits for few passes, to be accepted, read and answered, and not for the flood to end. */
static void test_server_answers_within_few_passes_whatever_else_is_ready(void **state)
{
    enum { PASSES = 5 };
    static const char request[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    struct fixture *fixture = *state;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    unsigned passes = 0;
    struct event *flood;
    char answer[1024];
    int pair[2];
    int fd;

    serve(fixture);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    flood = event_new(fixture->base, pair[0], EV_READ | EV_PERSIST, on_flood, &passes);
    assert_non_null(flood);
    assert_int_equal(event_add(flood, NULL), 0);
    for (unsigned i = 0; i < 10; i++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address.sin_port = htons(fixture->port);
        assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(send(fd, request, sizeof request - 1, 0), sizeof request - 1);
        passes = 0;
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) <= 0) {
            event_base_loop(fixture->base, EVLOOP_ONCE);
        }
        assert_in_range(passes, 1, PASSES);
        close(fd);
    }
    event_free(flood);
    close(pair[0]);
    close(pair[1]);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 0);
}

/* Many of one kind wait, each refused for its query and dear to look at; then one of the other
 * kind comes. Returns how many of the many are answered before it. */
static uint64_t answered_before(struct fixture *fixture, const char *many, const char *one)
{
    enum { CLIENTS = 300, TARGET = 4000 };
    struct client client = client_open(fixture);
    struct client clients[CLIENTS];
    const struct http_stats *stats;
    char filler[TARGET + 1];
    char text[TARGET + 200];
    uint64_t before;

    serve(fixture);
    stats = http_server_stats(fixture->server);
    memset(filler, 'x', TARGET);
    filler[TARGET] = '\0';
    (void)snprintf(text, sizeof text, "GET %s?%s HTTP/1.1\r\n" HOST "\r\n", many, filler);
    client_connect(fixture, &client);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(fixture);
        client_connect(fixture, &clients[i]);
        AWAIT(fixture, stats->connections == i + 2);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(send(bufferevent_getfd(clients[i].stream), text, strlen(text), 0),
                         strlen(text));
    }
    AWAIT(fixture, stats->received_bytes == CLIENTS * strlen(text));
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n", one);
    assert_int_equal(send(bufferevent_getfd(client.stream), text, strlen(text), 0), strlen(text));
    before = stats->answers[4];
    AWAIT(fixture, stats->answers[2] == 1);
    before = stats->answers[4] - before;
    AWAIT(fixture, stats->answers[4] == CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        client_close(&clients[i]);
    }
    client_close(&client);
    AWAIT(fixture, stats->connections == 0);
    return before;
}

/* Those of the turn in which it comes and of the one in which it is looked at, and some more. */
#define BEFORE_MAX (2 * (HTTP_TURN_WORK_MAX / (16 + 4000 / 64) + 2))

static void test_server_takes_an_open_route_before_others_that_wait(void **state)
{
    assert_in_range(answered_before(*state, "/hello", "/"), 0, BEFORE_MAX);
}

static void test_server_does_not_let_open_routes_hold_up_others(void **state)
{
    assert_in_range(answered_before(*state, "/", "/hello"), 0, BEFORE_MAX);
}

static void test_server_calls_no_step_while_the_output_is_full(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    uint64_t stalled;

    serve_client(fixture, &client);
    bufferevent_disable(client.stream, EV_READ);
    client_send(&client, "GET /big?sized HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, fixture->context.output_most > HTTP_OUTPUT_BYTES_MAX / 2);
    /* Let it run until it does not go on: ten ticks without a step. */
    do {
        stalled = fixture->context.steps;
        for (size_t i = 0; i < 20; i++) {
            event_base_loop(fixture->base, EVLOOP_ONCE);
        }
    } while (stalled != fixture->context.steps);
    assert_true(fixture->context.output_most <= HTTP_OUTPUT_BYTES_MAX);
    bufferevent_enable(client.stream, EV_READ);
    AWAIT(fixture, evbuffer_get_length(client.received) > (size_t)BIG_PIECES * BIG_PIECE);
    assert_int_equal(fixture->context.steps, BIG_PIECES);
    assert_int_equal(fixture->context.freed, 1);
    /* The connection is good for another. */
    client_send(&client, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "hello\n"));
    client_close(&client);
}

static void test_server_streams_in_chunks(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "\r\n0\r\n\r\n"));
    assert_true(client_has(&client, "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(client_count(&client, "2000\r\n"), BIG_PIECES);
    client_close(&client);
}

static void test_server_ends_an_old_client_s_stream_with_the_connection(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "GET /big HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    AWAIT(fixture, client.is_closed);
    assert_false(client_has(&client, "chunked"));
    assert_true(evbuffer_get_length(client.received) > (size_t)BIG_PIECES * BIG_PIECE);
    client_close(&client);
}

static void test_server_frees_the_state_when_the_client_leaves(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "event\n"));
    assert_int_equal(http_server_stats(fixture->server)->watchers, 1);
    client_close(&client);
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(http_server_stats(fixture->server)->watchers, 0);
    assert_int_equal(http_server_stats(fixture->server)->stepping, 0);
    assert_int_equal(http_server_stats(fixture->server)->abandoned, 1);
}

static void test_server_wakes_a_sleeping_step(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "event\n"));
    http_wake(fixture->context.sleeper);
    AWAIT(fixture, client_count(&client, "event\n") == 2);
    http_wake(fixture->context.sleeper);
    http_wake(fixture->context.sleeper); /* asleep no longer: remembered */
    AWAIT(fixture, client_count(&client, "event\n") >= 3);
    client_close(&client);
}

static void test_server_limits_watchers(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->options.watchers_max = 1;
    serve_client(fixture, &client);
    client_send(&client, "GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "event\n"));
    assert_has(exchange_to_end(fixture, "GET /sleep HTTP/1.1\r\n" LAST), "Retry-After: 1\r\n");
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_WATCHERS], 1);
    client_close(&client);
}

static void test_server_without_places_takes_no_watcher(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.watchers_max = 0;
    serve(fixture);
    assert_has(exchange_to_end(fixture, "GET /sleep HTTP/1.1\r\n" LAST), "503 ");
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_WATCHERS], 1);
}

static void test_server_counts_places_of_watchers(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->options.watchers_max = 3;
    serve_client(fixture, &client);
    client_send(&client, "GET /sleep?place=2 HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "event\n"));
    assert_has(exchange_to_end(fixture, "GET /sleep?place=2 HTTP/1.1\r\n" LAST), "503 ");
    client_close(&client);
    AWAIT(fixture, http_server_stats(fixture->server)->watchers == 0);
    client = client_open(fixture);
    client_connect(fixture, &client);
    client_send(&client, "GET /sleep?place=2&place=3 HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&client, "event\n"));
    assert_has(exchange_to_end(fixture, "GET /sleep HTTP/1.1\r\n" LAST), "503 ");
    client_close(&client);
}

static void test_server_rings_the_timer_of_a_step(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture);
    assert_has(exchange_to_end(fixture, "GET /timer HTTP/1.1\r\n" LAST), "rang\n");
    assert_int_equal(fixture->context.steps, 2);
    assert_int_equal(fixture->context.freed, 1);
}

static void test_server_cuts_a_stream_that_aborts(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "GET /abort HTTP/1.1\r\n" HOST "\r\n");
    assert_lacks(answer, "\r\n0\r\n\r\n");
    assert_int_equal(fixture->context.freed, 1);
}

static void test_server_frees_a_body_as_it_is_consumed(void **state)
{
    enum { SIZE = 300000 };
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    static char body[SIZE];

    serve(fixture);
    memset(body, 'x', sizeof body);
    fixture->context.is_blocked = true;
    client_connect(fixture, &client);
    client_send(&client, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
    bufferevent_write(client.stream, body, sizeof body);
    AWAIT(fixture, fixture->context.steps > 0);
    assert_true(http_server_stats(fixture->server)->upload_bytes >= SIZE);
    fixture->context.is_blocked = false;
    AWAIT(fixture, client_has(&client, "300000 drained\n"));
    assert_int_equal(http_server_stats(fixture->server)->upload_bytes, 0);
    client_close(&client);
}

static void test_server_finishes_what_outlives_its_client(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve(fixture);
    fixture->context.is_blocked = true;
    client_connect(fixture, &client);
    client_send(&client, "POST /lines?outlive HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345");
    AWAIT(fixture, fixture->context.steps > 0);
    client_close(&client);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 0);
    assert_int_equal(fixture->context.freed, 0);
    fixture->context.is_blocked = false;
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(fixture->context.drained, 5);
}

/* What cuts its own connection has ended, also where it would outlive one that its client cuts. */
static void test_server_ends_what_outlives_its_client_and_cuts_it(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "GET /abort?outlive HTTP/1.1\r\n" LAST);
    assert_lacks(answer, "0\r\n\r\n");
    assert_int_equal(fixture->context.freed, 1);
}

static void test_server_drops_what_does_not_outlive_its_client(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve(fixture);
    fixture->context.is_blocked = true;
    client_connect(fixture, &client);
    client_send(&client, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345");
    AWAIT(fixture, fixture->context.steps > 0);
    client_close(&client);
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(fixture->context.drained, 0);
}

/* -- parks ---------------------------------------------------------------------------------- */
static void test_server_answers_304_at_once_without_wait(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    answer = exchange_to_end(fixture, "GET /keys/a HTTP/1.1\r\n"
                                      "If-None-Match: \"0000000000001234\"\r\n" LAST);
    assert_has(answer, "HTTP/1.1 304 Not Modified\r\n");
    assert_has(answer, "ETag: \"0000000000001234\"\r\n");
    assert_has(answer, "Vary: Accept\r\n");
    assert_has(answer, "Cache-Control: no-cache\r\n");
}
static void test_server_answers_a_long_poll_when_its_key_changes(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, POLL(SECONDS_10));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    change(fixture, "b");
    assert_int_equal(http_server_stats(fixture->server)->parked, 1);
    /* A change that leaves the digest as it was parks it again. */
    change(fixture, "a");
    AWAIT(fixture, fixture->context.handled == 2);
    assert_int_equal(http_server_stats(fixture->server)->parked, 1);
    fixture->context.digest = 0x99;
    change(fixture, "a");
    AWAIT(fixture, client_has(&client, "ETag: \"0000000000000099\"\r\n"));
    assert_int_equal(http_server_stats(fixture->server)->parked, 0);
    client_close(&client);
}

static void test_server_ends_a_long_poll_in_time(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    const uint64_t begun_ms = clock_ms();

    serve_client(fixture, &client);
    client_send(&client, POLL("s"));
    AWAIT(fixture, client_has(&client, "304 Not Modified"));
    assert_true(clock_ms() - begun_ms >= 990);
    assert_int_equal(fixture->context.handled, 2);
    client_close(&client);
}

static void test_server_forgets_a_long_poll_whose_client_leaves(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, POLL(SECONDS_10));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    client_close(&client);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 0);
    assert_int_equal(http_server_stats(fixture->server)->parked, 0);
    change(fixture, "a");
    assert_int_equal(fixture->context.handled, 1);
}

static void test_server_answers_what_was_pipelined_behind_a_long_poll(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, POLL(SECONDS_10));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    client_send(&client, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    for (size_t i = 0; i < 5; i++) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
    }
    assert_false(client_has(&client, "hello"));
    fixture->context.digest = 1;
    change(fixture, "a");
    AWAIT(fixture, client_has(&client, "hello\n"));
    client_close(&client);
}

/* -- the end -------------------------------------------------------------------------------- */

static void test_server_stop_finishes_what_is_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct client idle = client_open(fixture);
    struct client poll = client_open(fixture);
    struct client watcher = client_open(fixture);
    struct client busy = client_open(fixture);

    serve(fixture);
    client_connect(fixture, &idle);
    client_connect(fixture, &poll);
    client_connect(fixture, &watcher);
    client_connect(fixture, &busy);
    fixture->context.is_blocked = true;
    client_send(&busy, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345");
    client_send(&poll, POLL(SECONDS_10));
    client_send(&watcher, "GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&watcher, "event\n"));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    AWAIT(fixture, http_server_stats(fixture->server)->stepping == 2);

    http_server_stop(fixture->server, 10000000);
    AWAIT(fixture, idle.is_closed && poll.is_closed && watcher.is_closed);
    assert_true(client_has(&poll, "503 Service Unavailable"));
    assert_true(client_has(&poll, "Retry-After: "));
    assert_true(client_has(&watcher, "\r\n0\r\n\r\n"));
    assert_false(http_server_is_stopped(fixture->server));
    fixture->turns = 0;
    fixture->context.is_blocked = false;
    AWAIT(fixture, busy.is_closed);
    assert_true(client_has(&busy, "5 drained\n"));
    AWAIT(fixture, http_server_is_stopped(fixture->server));
    assert_true(fixture->turns > 0);
    client_close(&idle);
    client_close(&poll);
    client_close(&watcher);
    client_close(&busy);
}

static void test_server_stop_cuts_what_takes_too_long(void **state)
{
    struct fixture *fixture = *state;
    struct client busy = client_open(fixture);

    serve(fixture);
    client_connect(fixture, &busy);
    fixture->context.is_blocked = true;
    client_send(&busy, "POST /lines?outlive HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n12345");
    AWAIT(fixture, fixture->context.steps > 0);
    http_server_stop(fixture->server, 50000);
    AWAIT(fixture, http_server_is_stopped(fixture->server));
    assert_int_equal(fixture->context.freed, 1);
    AWAIT(fixture, busy.is_closed);
    client_close(&busy);
}

static void test_server_free_drops_whatever_is_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct client poll = client_open(fixture);
    struct client watcher = client_open(fixture);

    serve(fixture);
    client_connect(fixture, &poll);
    client_connect(fixture, &watcher);
    client_send(&poll, POLL(SECONDS_10));
    client_send(&watcher, "GET /sleep HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&watcher, "event\n"));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    http_server_free(fixture->server);
    fixture->server = NULL;
    assert_int_equal(fixture->context.freed, 1);
    assert_int_equal(fixture->mem.used_bytes, 0);
    client_close(&poll);
    client_close(&watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_server_answers_with_length_and_common_headers),
        TEST(test_server_gives_a_head_the_length_without_the_body),
        TEST(test_server_gives_a_head_of_a_stream_its_headers_only),
        TEST(test_server_writes_problems_as_documents),
        TEST(test_server_answers_pipelined_requests_in_order),
        TEST(test_server_answers_a_client_that_half_closes),
        TEST(test_server_looks_at_so_much_a_turn_and_at_all_in_the_end),
        TEST(test_server_answers_within_few_passes_whatever_else_is_ready),
        TEST(test_server_takes_an_open_route_before_others_that_wait),
        TEST(test_server_does_not_let_open_routes_hold_up_others),
        TEST(test_server_calls_no_step_while_the_output_is_full),
        TEST(test_server_streams_in_chunks),
        TEST(test_server_ends_an_old_client_s_stream_with_the_connection),
        TEST(test_server_frees_the_state_when_the_client_leaves),
        TEST(test_server_wakes_a_sleeping_step),
        TEST(test_server_limits_watchers),
        TEST(test_server_without_places_takes_no_watcher),
        TEST(test_server_counts_places_of_watchers),
        TEST(test_server_rings_the_timer_of_a_step),
        TEST(test_server_cuts_a_stream_that_aborts),
        TEST(test_server_frees_a_body_as_it_is_consumed),
        TEST(test_server_finishes_what_outlives_its_client),
        TEST(test_server_ends_what_outlives_its_client_and_cuts_it),
        TEST(test_server_drops_what_does_not_outlive_its_client),
        TEST(test_server_answers_304_at_once_without_wait),
        TEST(test_server_answers_a_long_poll_when_its_key_changes),
        TEST(test_server_ends_a_long_poll_in_time),
        TEST(test_server_forgets_a_long_poll_whose_client_leaves),
        TEST(test_server_answers_what_was_pipelined_behind_a_long_poll),
        TEST(test_server_stop_finishes_what_is_under_way),
        TEST(test_server_stop_cuts_what_takes_too_long),
        TEST(test_server_free_drops_whatever_is_under_way),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
