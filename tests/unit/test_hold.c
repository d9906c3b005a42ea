/* What this file tests: answers that wait until what they tell of is on disk. */

#include "unit/server_world.h"

#define HOLD "POST /hold HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"

#define HOLD_STREAM(query) \
    "POST /hold/stream" query " HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"

static uint64_t noted(void *shell)
{
    return ((struct fixture *)shell)->context.noted;
}

static uint64_t kept(void *shell)
{
    return ((struct fixture *)shell)->context.kept;
}

static uint64_t lost(void *shell)
{
    return ((struct fixture *)shell)->context.lost;
}

static bool loads(void *shell, struct fault *why)
{
    (void)fault_set(why, STATUS_SYSTEM, "7 of 9 bytes");
    return ((struct fixture *)shell)->context.loads;
}

static const struct http_keeper keeper = {
    .noted = noted, .kept = kept, .lost = lost, .loads = loads, .wait_us = 60000000
};

static const struct http_keeper impatient = {
    .noted = noted, .kept = kept, .lost = lost, .loads = loads, .wait_us = 20000
};

static int setup_kept(void **state)
{
    const int result = setup(state);

    ((struct fixture *)*state)->options.keeper = &keeper;
    return result;
}

static const struct http_stats *stats(const struct fixture *fixture)
{
    return http_server_stats(fixture->server);
}

/* Let so many requests come, and their turns end. */
static void await_held(struct fixture *fixture, uint64_t count)
{
    AWAIT(fixture, stats(fixture)->holding == count);
    for (int i = 0; i < 3; i++) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
    }
    assert_int_equal(stats(fixture)->holding, count);
}

static void keep(struct fixture *fixture, uint64_t ticket)
{
    fixture->context.kept = ticket;
    http_server_kept(fixture->server);
}

static void test_an_answer_waits_until_it_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD);
    await_held(fixture, 1);
    keep(fixture, 0);
    await_held(fixture, 1);
    assert_false(client_has(&client, "HTTP/1.1"));
    keep(fixture, 1);
    AWAIT(fixture, client_has(&client, "kept"));
    assert_true(client_has(&client, "200 OK"));
    assert_int_equal(stats(fixture)->holding, 0);
    client_close(&client);
}

static void test_what_is_kept_when_the_turn_ends_does_not_wait(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->context.kept = 100;
    serve_client(fixture, &client);
    client_send(&client, HOLD HOLD HOLD);
    AWAIT(fixture, client_count(&client, "kept") == 3);
    client_close(&client);
}

static void test_each_waits_for_its_own_ticket(void **state)
{
    struct fixture *fixture = *state;
    struct client one = client_open(fixture);
    struct client two = client_open(fixture);

    serve_client(fixture, &one);
    client_connect(fixture, &two);
    client_send(&one, HOLD);
    await_held(fixture, 1);
    client_send(&two, HOLD);
    await_held(fixture, 2);
    keep(fixture, 1);
    AWAIT(fixture, client_has(&one, "kept"));
    await_held(fixture, 1);
    assert_false(client_has(&two, "HTTP/1.1"));
    keep(fixture, 2);
    AWAIT(fixture, client_has(&two, "kept"));
    client_close(&one);
    client_close(&two);
}

static void test_what_is_lost_is_told_as_unknown(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD);
    await_held(fixture, 1);
    fixture->context.lost = 1;
    http_server_kept(fixture->server);
    AWAIT(fixture, client_has(&client, "}\n"));
    assert_true(client_has(&client, "503 Service Unavailable"));
    assert_true(client_has(&client, "\"outcome\":\"unknown\""));
    assert_int_equal(stats(fixture)->unknown, 1);
    client_close(&client);
}

static void test_one_that_waits_too_long_is_told_as_unknown(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->options.keeper = &impatient;
    fixture->options.timeout_us = 400000; /* deadlines are looked at eight times in it */
    serve_client(fixture, &client);
    client_send(&client, HOLD);
    AWAIT(fixture, client_has(&client, "\"outcome\":\"unknown\""));
    client_close(&client);
}

static void test_a_client_may_go_while_its_answer_waits(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD);
    await_held(fixture, 1);
    client_close(&client);
    AWAIT(fixture, stats(fixture)->holding == 0);
    assert_int_equal(stats(fixture)->abandoned, 1);
    keep(fixture, 1);
}

static void test_a_stop_lets_answers_wait_and_leave(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD);
    await_held(fixture, 1);
    http_server_stop(fixture->server, 60000000);
    await_held(fixture, 1);
    keep(fixture, 1);
    AWAIT(fixture, client_has(&client, "kept"));
    AWAIT(fixture, http_server_is_stopped(fixture->server));
    client_close(&client);
}

static void test_a_server_ends_with_answers_that_wait(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD);
    await_held(fixture, 1);
    client_close(&client);
}

static void test_requests_behind_one_that_waits_come_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD "GET /hello HTTP/1.1\r\n" LAST);
    await_held(fixture, 1);
    assert_false(client_has(&client, "HTTP/1.1"));
    keep(fixture, 1);
    AWAIT(fixture, client.is_closed);
    assert_int_equal(client_count(&client, "200 OK"), 2);
    client_close(&client);
}

static void stream_waits(struct fixture *fixture, const char *request, uint64_t steps)
{
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, request);
    await_held(fixture, 1);
    assert_int_equal(fixture->context.steps, steps - 1);
    assert_int_equal(fixture->context.freed, 0);
    assert_false(client_has(&client, "HTTP/1.1"));
    keep(fixture, 1);
    AWAIT(fixture, client_has(&client, "0\r\n\r\n"));
    assert_true(client_has(&client, "200 OK"));
    assert_true(client_has(&client, "kept"));
    assert_true(client_has(&client, "end"));
    assert_int_equal(fixture->context.steps, steps);
    assert_int_equal(fixture->context.freed, 1);
    client_close(&client);
}

static void test_a_stream_begins_when_it_may(void **state)
{
    stream_waits(*state, HOLD_STREAM(""), 2);
}

static void test_a_stream_begins_when_it_may_where_its_handler_held_it(void **state)
{
    stream_waits(*state, HOLD_STREAM("?at-once"), 1);
}

static void test_a_stream_that_is_lost_never_begins(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD_STREAM(""));
    await_held(fixture, 1);
    fixture->context.lost = 1;
    http_server_kept(fixture->server);
    AWAIT(fixture, client_has(&client, "}\n"));
    assert_true(client_has(&client, "503 Service Unavailable"));
    assert_true(client_has(&client, "\"outcome\":\"unknown\""));
    assert_int_equal(fixture->context.steps, 1);
    assert_int_equal(fixture->context.freed, 1);
    client_close(&client);
}

static void test_a_client_may_go_while_its_stream_waits(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD_STREAM(""));
    await_held(fixture, 1);
    client_close(&client);
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(fixture->context.steps, 1);
    assert_int_equal(stats(fixture)->holding, 0);
}

/* It ends by itself: nobody is left whom the disk could let wait. */
static void test_what_outlives_its_client_waits_for_no_disk(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    serve_client(fixture, &client);
    client_send(&client, HOLD_STREAM("?outlive"));
    await_held(fixture, 1);
    client_close(&client);
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(fixture->context.steps, 2);
    assert_int_equal(stats(fixture)->holding, 0);
    fixture->context.lost = 1;
    http_server_kept(fixture->server);
    assert_int_equal(stats(fixture)->unknown, 0);
}

static void test_what_has_outlived_its_client_does_not_begin_to_wait(void **state)
{
    struct fixture *fixture = *state;
    struct client client = client_open(fixture);

    fixture->context.is_blocked = true;
    serve_client(fixture, &client);
    client_send(&client, HOLD_STREAM("?outlive"));
    AWAIT(fixture, fixture->context.steps > 0);
    client_close(&client);
    AWAIT(fixture, stats(fixture)->abandoned == 1);
    fixture->context.is_blocked = false;
    AWAIT(fixture, fixture->context.freed == 1);
    assert_int_equal(stats(fixture)->holding, 0);
}

static void test_while_it_loads_only_open_routes_answer(void **state)
{
    struct fixture *fixture = *state;
    const char *answer;

    fixture->context.loads = true;
    serve(fixture);
    answer = exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST);
    assert_has(answer, "503 Service Unavailable");
    assert_has(answer, "7 of 9 bytes");
    assert_has(answer, "Retry-After: 1");
    assert_has(exchange_to_end(fixture, "GET / HTTP/1.1\r\n" LAST), "200 OK");
    fixture->context.loads = false;
    assert_has(exchange_to_end(fixture, "GET /hello HTTP/1.1\r\n" LAST), "200 OK");
}

static void test_without_a_keeper_nothing_waits(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture);
    assert_has(exchange_to_end(fixture, "POST /hold HTTP/1.1\r\nContent-Length: 0\r\n" LAST),
               "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_answer_waits_until_it_is_kept, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_kept_when_the_turn_ends_does_not_wait,
                                        setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_each_waits_for_its_own_ticket, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_lost_is_told_as_unknown, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_waits_too_long_is_told_as_unknown, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_go_while_its_answer_waits, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_lets_answers_wait_and_leave, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_server_ends_with_answers_that_wait, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_requests_behind_one_that_waits_come_in_their_order,
                                        setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_a_stream_begins_when_it_may, setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_a_stream_begins_when_it_may_where_its_handler_held_it,
                                        setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_a_stream_that_is_lost_never_begins, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_go_while_its_stream_waits, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_outlives_its_client_waits_for_no_disk, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_has_outlived_its_client_does_not_begin_to_wait,
                                        setup_kept, teardown),
        cmocka_unit_test_setup_teardown(test_while_it_loads_only_open_routes_answer, setup_kept,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_without_a_keeper_nothing_waits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
