/* What this file tests: limits and deadlines of connections. */

#include "http/server.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/server_world.h"

/* -- limits --------------------------------------------------------------------------------- */

#define LINES "Content-Type: application/x-ndjson\r\n"

static void test_connection_cuts_a_client_that_drips(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    const uint64_t begun_ms = clock_ms();
    uint64_t dripped_ms = begun_ms;

    fixture->options.timeout_us = 300000;
    serve_client(fixture, &client);
    client_send(&client, "GET /hello HTTP/1.1\r\nX: ");
    while (!client.is_closed && clock_ms() - begun_ms < PATIENCE_MS) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
        if (clock_ms() - dripped_ms >= 50) {
            dripped_ms = clock_ms();
            client_send(&client, "x");
        }
    }
    assert_true(client.is_closed);
    assert_true(clock_ms() - begun_ms >= 290);
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_TIMEOUT], 1);
    client_close(&client);
}

static void test_connection_cuts_a_client_that_does_not_read(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    const int small = 4096;

    fixture->options.timeout_us = 200000;
    serve(fixture);
    /* Inherited by what it accepts: the kernel must not take the whole answer. */
    assert_int_equal(setsockopt(fixture->listener.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
                     0);
    client_connect(fixture, &client);
    bufferevent_disable(client.stream, EV_READ);
    client_send(&client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, http_server_stats(fixture->server)->refused[HTTP_REFUSED_TIMEOUT] == 1);
    assert_true(fixture->context.steps < BIG_PIECES);
    assert_int_equal(fixture->context.freed, 1);
    assert_int_equal(http_server_stats(fixture->server)->connections, 0);
    client_close(&client);
}

static void test_connection_leaves_a_long_poll_alone_past_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->options.timeout_us = 100000;
    serve_client(fixture, &client);
    client_send(&client, POLL("s"));
    AWAIT(fixture, client_has(&client, "304 Not Modified"));
    client_close(&client);
}

static void test_connection_closes_an_idle_connection(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->options.timeout_us = 100000;
    serve_client(fixture, &client);
    AWAIT(fixture, client.is_closed);
    assert_int_equal(evbuffer_get_length(client.received), 0);
    client_close(&client);
}

static void test_connection_limits_connections(void **state)
{
    struct fixture *fixture = *state;
    struct client first = client_open(fixture);
    const char *answer;

    fixture->options.connections_max = 1;
    serve(fixture);
    client_connect(fixture, &first);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 1);
    answer = exchange_to_end(fixture, "");
    assert_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(answer, "http-max-connections");
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_CONNECTIONS], 1);
    client_send(&first, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&first, "hello\n"));
    client_close(&first);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 0);
    assert_has(exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST), "hello\n");
}

static void on_stop(evutil_socket_t fd, short what, void *argument)
{
    struct fixture *fixture = argument;

    (void)fd;
    (void)what;
    http_server_stop(fixture->server, 1000000);
}

/* The pipe can be written to from the start, and was added after the listener: it stops in the pass
 * in which the connection is accepted, before that is looked at. */
static void test_connection_that_comes_while_it_stops_is_told_so(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    serve(fixture);
    assert_int_equal(event_base_once(fixture->base, ends[1], EV_WRITE, on_stop, fixture, NULL), 0);
    answer = exchange_to_end(fixture, "");
    assert_int_equal(http_server_stats(fixture->server)->accepted, 1);
    assert_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(answer, "this node is stopping");
    assert_lacks(answer, "http-max-connections");
    AWAIT(fixture, http_server_is_stopped(fixture->server));
    close(ends[0]);
    close(ends[1]);
}

static void test_connection_limits_what_is_uploaded_at_once(void **state)
{
    enum { SIZE = 400000 };
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    static char body[SIZE];

    fixture->options.upload_bytes_max = 200000;
    serve_client(fixture, &client);
    client_send(&client, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 400000\r\n\r\n");
    bufferevent_write(client.stream, body, sizeof body);
    AWAIT(fixture, client.is_closed);
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_UPLOAD], 1);
    assert_int_equal(http_server_stats(fixture->server)->upload_bytes, 0);
    assert_int_equal(fixture->context.steps, 0);
    client_close(&client);
}

static void test_connection_pays_for_memory_that_is_used_up(void **state)
{
    enum { SIZE = 400000 };
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    struct client other = client_open(fixture);
    struct mem held = { .limit_bytes = 300000 };
    static char body[SIZE];

    fixture->options.held = &held;
    serve_client(fixture, &client);
    client_send(&client, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 400000\r\n\r\n");
    bufferevent_write(client.stream, body, 200000);
    AWAIT(fixture, held.used_bytes > 200000);
    client_connect(fixture, &other);
    client_send(&other, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n");
    bufferevent_write(other.stream, body, 150000);
    AWAIT(fixture, other.is_closed);
    assert_true(client_has(&other, "HTTP/1.1 503"));
    assert_true(client_has(&other, "Retry-After: "));
    assert_true(client_has(&other, "http-max-memory (300000 bytes)"));
    AWAIT(fixture, held.used_bytes < 250000);
    bufferevent_write(client.stream, body, 200000); /* by itself it is too much as well */
    AWAIT(fixture, client.is_closed);
    assert_true(client_has(&client, "HTTP/1.1 413"));
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_MEMORY], 2);
    assert_int_equal(held.used_bytes, 0);
    client_close(&client);
    client_close(&other);
}

/* Requests are refused before they take more, but whoever asks how the node is gets an answer. */
static void test_connection_is_refused_what_holds_memory_when_it_is_used_up(void **state)
{
    struct fixture *fixture = *state;
    struct mem held = { .limit_bytes = 300000 };
    const char *answer;

    fixture->options.held = &held;
    serve(fixture);
    mem_hold(&held, 300000);
    answer = exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST);
    assert_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(answer, "Retry-After: 1\r\n");
    assert_has(answer, "http-max-memory (300000 bytes)");
    assert_has(exchange_to_end(fixture, "GET / HTTP/1.1\r\n" LAST), "HTTP/1.1 200");
    mem_let_go(&held, 300000);
    assert_has(exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST), "HTTP/1.1 200");
    assert_int_equal(held.used_bytes, 0);
}

/* Send a request and what follows it, and wait for the end: it is answered with this code by a
 * problem document that has these words, and counted. No handler is called. */
static void refused_check(struct fixture *fixture, const char *request, const char *more,
                          const char *code, const char *words)
{
    const struct http_stats *stats = http_server_stats(fixture->server);
    const uint64_t answers = stats->answers[4];
    struct client client = client_open(fixture);

    client_connect(fixture, &client);
    client_send(&client, request);
    client_send(&client, more);
    AWAIT(fixture, client.is_closed);
    assert_true(client_has(&client, code));
    assert_true(client_has(&client, "Content-Type: application/problem+json\r\n"));
    assert_true(client_has(&client, words));
    assert_false(client_has(&client, "<"));
    assert_int_equal(client_count(&client, "HTTP/1.1"), 1);
    assert_int_equal(stats->answers[4], answers + 1);
    assert_int_equal(stats->upload_bytes, 0);
    assert_int_equal(fixture->context.handled, 0);
    client_close(&client);
}

static void test_connection_refuses_a_header_over_the_limit(void **state)
{
    struct fixture *fixture = *state;
    static char header[40000];

    serve(fixture);
    memset(header, 'x', sizeof header - 1);
    refused_check(fixture, "GET /hello HTTP/1.1\r\n" HOST "X: ", header, "HTTP/1.1 431 ",
                  "http-max-header (16384 bytes)");
    for (size_t i = 0; i + 8 < sizeof header; i += 8) {
        memcpy(header + i, "x: 123\r\n", 8);
    }
    refused_check(fixture, "GET /hello HTTP/1.1\r\n" HOST, header, "HTTP/1.1 431 ",
                  "http-max-header (16384 bytes)");
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_FRAMING], 2);
}

/* What evhttp refuses by itself is answered as everything else is. */
static void test_connection_answers_what_evhttp_refuses_with_problems(void **state)
{
    struct fixture *fixture = *state;
    static char body[200000];

    fixture->options.lines_bytes_max = 2000000;
    serve(fixture);
    memset(body, ' ', sizeof body - 1);
    refused_check(fixture, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 2000001\r\n\r\n", "",
                  "HTTP/1.1 413 ", "http-max-lines (2000000 bytes)");
    refused_check(fixture, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 2000001\r\n\r\n", body,
                  "HTTP/1.1 413 ", "http-max-lines (2000000 bytes)");
    refused_check(fixture,
                  "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 2000001\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  "", "HTTP/1.1 413 ", "http-max-lines (2000000 bytes)");
    refused_check(fixture,
                  "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 2\r\n"
                  "Expect: tea\r\n\r\n",
                  "", "HTTP/1.1 417 ", "Expect");
    refused_check(fixture, "nonsense\r\n\r\n", "", "HTTP/1.1 400 ", "not an HTTP request");
    refused_check(fixture, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", "",
                  "HTTP/1.1 400 ", "not an HTTP request");
}

static void test_connection_lets_a_client_that_asks_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "POST /lines HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                         "Expect: 100-continue\r\n\r\n");
    AWAIT(fixture, client_has(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
    client_send(&client, "12345");
    AWAIT(fixture, client_has(&client, "5 drained\n"));
    client_close(&client);
}

/* A body that is worked off after its client went is in memory still. */
static void test_connection_charges_a_body_that_outlives_it(void **state)
{
    enum { SIZE = 400000 };
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    struct mem held = { .limit_bytes = 1000000 };
    static char body[SIZE];

    fixture->options.held = &held;
    serve(fixture);
    fixture->context.is_blocked = true;
    client_connect(fixture, &client);
    client_send(&client,
                "POST /lines?outlive HTTP/1.1\r\n" HOST LINES "Content-Length: 400000\r\n\r\n");
    bufferevent_write(client.stream, body, sizeof body);
    AWAIT(fixture, fixture->context.steps > 0);
    client_close(&client);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 0);
    assert_in_range(held.used_bytes, SIZE, SIZE + 1000);
    assert_int_equal(http_server_stats(fixture->server)->upload_bytes, SIZE);
    fixture->context.is_blocked = false;
    AWAIT(fixture, fixture->context.drained > 0);
    assert_in_range(held.used_bytes, 0, SIZE);
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(http_server_stats(fixture->server)->upload_bytes, 0);
    assert_int_equal(held.used_bytes, 0);
}

/* A request that cannot be kept is refused, and nothing else suffers. */
static void test_connection_survives_without_memory(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    serve(fixture);
    fixture->mem.fail_countdown = 1; /* the connection's object */
    (void)exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST);
    assert_int_equal(fixture->context.handled, 0);
    fixture->mem.fail_countdown = 2; /* the table of descriptors, the first time */
    answer = exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST);
    assert_has(answer, "HTTP/1.1 503");
    assert_has(answer, "there is no memory for the connection");
    assert_lacks(answer, "http-max-connections");
    fixture->mem.fail_countdown = 3; /* the query, after the connection and that table */
    assert_has(exchange_to_end(fixture, "GET /hello?pretty HTTP/1.1\r\n" LAST), "HTTP/1.1 503");
    fixture->mem.fail_countdown = 0;
    assert_has(exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST), "HTTP/1.1 200");
    assert_true(http_server_stats(fixture->server)->refused[HTTP_REFUSED_MEMORY] >= 3);
}

static void test_connection_create_fails_without_memory_and_keeps_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct fault why;

    fixture->listener.fd = listen_on_loopback(&fixture->port);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        fixture->mem.fail_countdown = nth;
        assert_int_equal(
            http_server_create(&fixture->options, fixture->base, &fixture->server, &why),
            STATUS_MEMORY);
        assert_int_equal(fixture->mem.used_bytes, 0);
    }
    fixture->mem.fail_countdown = 0;
    /* The descriptor was left alone. */
    assert_int_equal(close(fixture->listener.fd), 0);
}

/* No descriptor is left but the spare one: clients are turned away instead of left hanging, the
 * kept connection is served, and all is well again afterwards. */
static void test_connection_without_descriptors_is_turned_away(void **state)
{
    enum { COUNT = 5 };
    struct fixture *fixture = *state;
    struct client kept = client_open(fixture);
    struct client others[COUNT];
    struct rlimit limit;
    struct rlimit low;

    serve(fixture);
    client_connect(fixture, &kept);
    AWAIT(fixture, http_server_stats(fixture->server)->connections == 1);
    for (size_t i = 0; i < COUNT; i++) {
        others[i] = client_open(fixture);
        client_connect(fixture, &others[i]);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)bufferevent_getfd(others[COUNT - 1].stream) + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (size_t i = 0; i < COUNT; i++) {
        AWAIT(fixture, others[i].is_closed);
    }
    client_send(&kept, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    AWAIT(fixture, client_has(&kept, "hello\n"));
    /* Not COUNT: valgrind closes a connection by itself when it finds it over the limit. */
    assert_true(http_server_stats(fixture->server)->refused[HTTP_REFUSED_DESCRIPTORS] > 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_has(exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST), "hello\n");
    for (size_t i = 0; i < COUNT; i++) {
        client_close(&others[i]);
    }
    client_close(&kept);
}

/* Who may connect to a Unix socket is decided by its file: no Host is asked for its name. */
static void test_connection_over_a_unix_socket_may_name_any_host(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct fault why;
    /* The abstract name space: no file is left behind. */
    const int size = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                              "vignette-test-connection-%d", (int)getpid());
    const socklen_t length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)size;

    fixture->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fixture->listener.is_unix = true;
    fixture->listener.is_loopback = false;
    assert_int_equal(bind(fixture->listener.fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fixture->listener.fd, 8), 0);
    assert_int_equal(http_server_create(&fixture->options, fixture->base, &fixture->server, &why),
                     STATUS_OK);
    client_connect_to(&client, (struct sockaddr *)&address, (int)length);
    client_send(&client, "POST /keys/a HTTP/1.1\r\nHost: any.example\r\nContent-Length: 2\r\n"
                         "\r\n{}");
    AWAIT(fixture, client_has(&client, "2 bytes"));
    assert_true(client_has(&client, "HTTP/1.1 201"));
    client_close(&client);
}

/* What a client sends ahead while its request is at work stays in the kernel from 64 KiB on. */
static void test_connection_reads_ahead_within_bounds(void **state)
{
    enum { SIZE = 4000000 };
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);
    static char more[SIZE];

    serve_client(fixture, &client);
    client_send(&client, POLL(SECONDS_10));
    AWAIT(fixture, http_server_stats(fixture->server)->parked == 1);
    memset(more, 'x', sizeof more);
    bufferevent_write(client.stream, more, sizeof more);
    AWAIT(fixture, http_server_stats(fixture->server)->upload_bytes >= 65536);
    for (size_t i = 0; i < 50; i++) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
    }
    assert_true(http_server_stats(fixture->server)->upload_bytes <= 2 * 65536);
    client_close(&client);
}

static void test_connection_continues_a_body_that_waits_to_be_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, "POST /keys/a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
                         "Content-Length: 2\r\n\r\n");
    AWAIT(fixture, client_has(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
    client_send(&client, "{}");
    AWAIT(fixture, client_has(&client, "2 bytes"));
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connection_cuts_a_client_that_drips),
        TEST(test_connection_cuts_a_client_that_does_not_read),
        TEST(test_connection_leaves_a_long_poll_alone_past_the_timeout),
        TEST(test_connection_closes_an_idle_connection),
        TEST(test_connection_limits_connections),
        TEST(test_connection_that_comes_while_it_stops_is_told_so),
        TEST(test_connection_limits_what_is_uploaded_at_once),
        TEST(test_connection_pays_for_memory_that_is_used_up),
        TEST(test_connection_is_refused_what_holds_memory_when_it_is_used_up),
        TEST(test_connection_refuses_a_header_over_the_limit),
        TEST(test_connection_answers_what_evhttp_refuses_with_problems),
        TEST(test_connection_lets_a_client_that_asks_go_on),
        TEST(test_connection_charges_a_body_that_outlives_it),
        TEST(test_connection_survives_without_memory),
        TEST(test_connection_create_fails_without_memory_and_keeps_nothing),
        TEST(test_connection_without_descriptors_is_turned_away),
        TEST(test_connection_over_a_unix_socket_may_name_any_host),
        TEST(test_connection_reads_ahead_within_bounds),
        TEST(test_connection_continues_a_body_that_waits_to_be_asked_for),
    };

    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
