/* Requests come and are called: handlers once or from the start again, steps until done. */

#include "http/state.h"

#include <event2/http.h>

#include <assert.h>

/* See http_stats.turn_work_most. */
#define WORK_REQUEST      16
#define WORK_TARGET_BYTES 64

/* -- what a call led to ------------------------------------------------------------------------ */

/* The answer is complete: send it, or throw it away. */
static void request_finish(struct http_request *request)
{
    if (request->evhttp == NULL) {
        request_leftover_end(request);
        return;
    }
    if (request->is_stream && !request->is_head) {
        const bool is_whole = request->stream_left == HTTP_LENGTH_UNKNOWN
                              || request->stream_left == evbuffer_get_length(request->out);

        if (request->is_broken || !is_whole) {
            connection_close(request->connection);
            return;
        }
        request_step_end(request);
        answer_stream_end(request);
        return;
    }
    request_step_end(request);
    if (request->is_holding) {
        request_hold(request);
        return;
    }
    answer_send(request);
}

/* Whether its answer is one that waits for the disk before it begins. */
static bool waits_to_begin(const struct http_request *request)
{
    return request->is_holding && !request->is_begun;
}

/* What was held is lost on its way to the disk, or late. */
static void request_lost(struct http_request *request)
{
    static const struct http_place unknown = { .is_unknown = true };
    static const struct fault why = { .text =
                                          "the disk has not confirmed it in time: the update is in "
                                          "force and told to others, and may not outlive this "
                                          "process; to repeat it is harmless" };

    request->server->stats.unknown++;
    http_problem(request, 503, &why, &unknown);
    request_finish(request);
}

/* A handler or a first step has returned. */
static void handler_settle(struct http_request *request)
{
    if (request->is_parking) {
        request->is_parking = false;
        request->state = REQUEST_PARKED;
        connection_watch_close(request->connection);
        if (request->is_woken) { /* there was no memory for its timer */
            request_on_timer(-1, EV_TIMEOUT, request);
        }
        return;
    }
    if (waits_to_begin(request)) {
        request_hold(request);
        return;
    }
    if (request->step != NULL && !(request->is_stream && request->is_head)) {
        if (!request->is_stream) {
            connection_watch_close(request->connection);
        }
        request_queue(request);
        return;
    }
    assert(request->is_begun);
    request_finish(request);
}

static void step_settle(struct http_request *request, enum http_step result)
{
    if (result == HTTP_STEP_ABORT || (request->is_stream && request->is_broken)) {
        if (request->evhttp == NULL) {
            request_leftover_end(request);
        } else {
            connection_close(request->connection);
        }
        return;
    }
    if (result == HTTP_STEP_DONE || (request->is_stream && request->is_head)) {
        request_finish(request);
        return;
    }
    if (waits_to_begin(request)) {
        request_hold(request);
        return;
    }
    if (request->is_stream || request->evhttp == NULL) {
        answer_flush(request);
    }
    if (connection_output_bytes(request->connection) > request_window(request)) {
        request->state = REQUEST_DRAINING;
    } else if (result == HTTP_STEP_SLEEP && request->server->is_stopping && request->is_stream) {
        request_finish(request);
    } else if (result == HTTP_STEP_SLEEP && !request->is_woken) {
        request->state = REQUEST_SLEEPING;
    } else {
        request_queue(request);
    }
}

void request_stop(struct http_request *request)
{
    if (request->state == REQUEST_PARKED) {
        park_leave(request->server->park, &request->place);
        request->server->stats.parked--;
        request->state = REQUEST_RUNNING;
        http_refuse(request, 503, "%s", ANSWER_STOPPING);
        request_finish(request);
    } else if (request->state == REQUEST_SLEEPING && request->is_stream) {
        request_finish(request);
    } else if (request->state == REQUEST_SLEEPING) {
        http_wake(request);
    }
}

/* -- the calls of a turn ----------------------------------------------------------------------- */

/* Whether this turn has time left for requests that come. */
static bool turn_allows(const struct http_server *server)
{
    return server->turn_work < HTTP_TURN_WORK_MAX && server->turn_us < HTTP_STEP_US_MAX;
}

/* Look at a request. False: it is answered already. */
static bool request_look_at(struct http_request *request)
{
    struct http_server *server = request->server;

    request->is_admitted = request_admit(request, evhttp_request_get_command(request->evhttp));
    server->turn_work +=
        WORK_REQUEST + (request->target.path.size + request->target.query.size) / WORK_TARGET_BYTES
        + request->query.count;
    return request->is_admitted;
}

/* Call the handler or the step. */
static void request_call(struct http_request *request)
{
    struct http_server *server = request->server;
    const struct http_options *options = &server->options;
    const bool may_change = request->method != HTTP_GET;

    if (request->step != NULL) {
        enum http_step result;

        request->is_woken = false;
        result = request->step(request, options->context, request->step_state);
        step_settle(request, result);
    } else {
        request->route->handler(request, options->context);
        handler_settle(request);
    }
    if (may_change) {
        options->turn_wanted(options->shell);
    }
}

/* Returns how long it took. */
static uint64_t request_run(struct http_request *request)
{
    const struct http_server *server = request->server;
    const uint64_t begun_us = connection_clock_us();

    request->state = REQUEST_RUNNING;
    request->now = server->options.moment(server->options.shell);
    request->called_us = begun_us;
    if (request->is_lost) {
        request_lost(request);
    } else if (request->is_kept && request->step == NULL) {
        request_finish(request);
    } else if (request->is_admitted || request_look_at(request)) {
        request_call(request);
    } else {
        request_finish(request);
    }
    return connection_clock_us() - begun_us;
}

static bool has_arrivals(const struct http_server *server)
{
    return !TAILQ_EMPTY(&server->arrivals) || !TAILQ_EMPTY(&server->arrivals_open);
}

/* Take the next that came, in turn one that asks for an open route and one that does not: whoever
 * asks how the node is does not wait for all others, and a flood of such does not hold those up. */
static struct http_request *arrival_take(struct http_server *server)
{
    struct http_request *open = TAILQ_FIRST(&server->arrivals_open);
    struct http_request *other = TAILQ_FIRST(&server->arrivals);
    struct http_request *taken = other;

    if (open != NULL && (other == NULL || !server->was_open)) {
        taken = open;
    }
    TAILQ_REMOVE(request_list(taken), taken, queue);
    server->was_open = taken == open;
    return taken;
}

/* Look at what came and call what is under way, each for the time of one step, so that hundreds of
 * long answers delay a short one by no more than that. One is called in any case. */
void turn_on_work(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval at_once = { 0, 0 };
    struct http_server *server = argument;
    struct http_request *request;
    uint64_t took_us = 0;
    bool is_allowed = true;

    (void)fd;
    (void)what;
    while (is_allowed && has_arrivals(server)) {
        server->turn_us += request_run(arrival_take(server));
        is_allowed = turn_allows(server);
    }
    while (took_us < HTTP_STEP_US_MAX && (request = TAILQ_FIRST(&server->queue)) != NULL) {
        TAILQ_REMOVE(&server->queue, request, queue);
        took_us += request_run(request);
    }
    if (has_arrivals(server) || !TAILQ_EMPTY(&server->queue)) {
        event_add(server->work, &at_once);
    }
}

/* -- a request comes --------------------------------------------------------------------------- */

static uint8_t method_of(enum evhttp_cmd_type command)
{
    switch (command) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD: return HTTP_GET;
    case EVHTTP_REQ_POST: return HTTP_POST;
    case EVHTTP_REQ_PUT: return HTTP_PUT;
    case EVHTTP_REQ_PATCH: return HTTP_PATCH;
    case EVHTTP_REQ_DELETE: return HTTP_DELETE;
    default: return 0;
    }
}

void turn_on_request(struct evhttp_request *evhttp, void *argument)
{
    const struct listener *listener = argument;
    const enum evhttp_cmd_type command = evhttp_request_get_command(evhttp);
    struct connection *connection = connection_find(listener->server, evhttp);
    struct http_request *request;

    if (connection == NULL) {
        listener->server->stats.refused[HTTP_REFUSED_MEMORY]++;
        evhttp_connection_free(evhttp_request_get_connection(evhttp));
        return;
    }
    request = &connection->request;
    assert(request->state == REQUEST_NONE);
    connection->phase = CONNECTION_ANSWERING;
    request->evhttp = evhttp;
    request->out = evhttp_request_get_output_buffer(evhttp);
    request->body = evhttp_request_get_input_buffer(evhttp);
    request->method = method_of(command);
    request->is_head = command == EVHTTP_REQ_HEAD;
    request->is_old = connection_request_is_old(evhttp);
    request->began_us = connection_clock_us();
    evhttp_request_set_on_complete_cb(evhttp, request_on_complete, request);
    if (!has_arrivals(listener->server) && turn_allows(listener->server)) {
        listener->server->turn_us += request_run(request);
    } else {
        request->is_open = request_asks_open(request);
        connection_watch_close(connection);
        request_queue(request);
    }
}
