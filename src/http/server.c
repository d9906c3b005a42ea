#include "http/server.h"

#include "http/state.h"

#include <event2/http.h>

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SWEEP_US_MAX     UINT64_C(1000000)
#define SWEEP_US_MIN     UINT64_C(10000)
#define SWEEPS_A_TIMEOUT 8

/* See http_stats.turn_work_most. */
#define WORK_REQUEST      16
#define WORK_TARGET_BYTES 64

const uint64_t http_duration_bounds_us[HTTP_DURATION_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 250000, 1000000, UINT64_MAX
};

const char *http_refused_label(enum http_refused reason)
{
    static const char *const labels[] = {
#define X(code, label) label,
        HTTP_REFUSED_LIST(X)
#undef X
    };

    assert(reason < HTTP_REFUSED_COUNT);
    return labels[reason];
}

static struct timeval duration_of(uint64_t us)
{
    return (struct timeval){ .tv_sec = (time_t)(us / 1000000),
                             .tv_usec = (suseconds_t)(us % 1000000) };
}

/* -- from one call to the next -------------------------------------------------------------- */

/* The list that a queued request is in. */
static struct request_list *list_of(const struct http_request *request)
{
    struct http_server *server = request->server;

    if (request->is_admitted) {
        return &server->queue;
    }
    return request->is_open ? &server->arrivals_open : &server->arrivals;
}

void request_queue(struct http_request *request)
{
    static const struct timeval at_once = { 0, 0 };
    struct http_server *server = request->server;

    request->state = REQUEST_QUEUED;
    TAILQ_INSERT_TAIL(list_of(request), request, queue);
    /* A timer and not an activation: the loop looks at its sockets in between. */
    if (!event_pending(server->work, EV_TIMEOUT, NULL)) {
        event_add(server->work, &at_once);
    }
}

/* A long poll's key changed, or its wait is over. */
static void park_end(struct http_request *request)
{
    request->server->stats.parked--;
    request_queue(request);
}

static struct http_request *request_of_place(struct park_place *place)
{
    return (void *)((char *)place - offsetof(struct http_request, place));
}

static void on_park_wake(struct park_place *place)
{
    park_end(request_of_place(place));
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct http_request *request = argument;

    (void)fd;
    (void)what;
    if (request->state == REQUEST_PARKED) {
        request->is_wait_over = true;
        park_leave(request->server->park, &request->place);
        park_end(request);
    } else {
        http_wake(request);
    }
}

void request_timer(struct http_request *request, uint64_t us)
{
    const struct timeval delay = duration_of(us);

    if (request->timer == NULL) {
        request->timer = evtimer_new(request->server->base, on_timer, request);
    }
    /* Without memory for a timer the request is woken too early rather than never. */
    if (request->timer == NULL || event_add(request->timer, &delay) != 0) {
        request->is_woken = true;
    }
}

void http_timer(struct http_request *request, uint64_t us)
{
    if (us > 0) {
        request_timer(request, us);
    } else if (request->timer != NULL) {
        event_del(request->timer);
    }
}

void http_wake(struct http_request *request)
{
    if (request->state == REQUEST_SLEEPING) {
        request_queue(request);
    } else {
        request->is_woken = true;
    }
}

static void step_state_free(struct http_request *request)
{
    if (request->free_state != NULL) {
        request->free_state(request->step_state);
    }
    if (request->step != NULL) {
        request->server->stats.stepping--;
    }
    request->step = NULL;
    request->step_state = NULL;
    request->free_state = NULL;
}

void http_continue(struct http_request *request, http_step *step, void *state,
                   void (*free_state)(void *state))
{
    assert(request->state == REQUEST_RUNNING);
    if (request->step_state == state && request->step != NULL) {
        request->free_state = NULL; /* the same state goes on */
    }
    step_state_free(request);
    request->step = step;
    request->step_state = state;
    request->free_state = free_state;
    request->server->stats.stepping++;
}

uint64_t server_window(const struct http_server *server)
{
    return mem_left(server->held) < server->held->limit_bytes / 2 ? HTTP_OUTPUT_BYTES_MIN
                                                                  : HTTP_OUTPUT_BYTES_MAX;
}

bool http_step_is_over(const struct http_request *request)
{
    return connection_clock_us() - request->called_us >= HTTP_STEP_US_MAX
           || (request->is_stream && http_output_bytes(request) > server_window(request->server));
}

bool http_park_until_changed(struct http_request *request, struct bytes key, uint64_t wait_us)
{
    struct http_server *server = request->server;
    const uint64_t now_us = connection_clock_us();

    assert(request->state == REQUEST_RUNNING);
    assert(!request->is_begun);
    if (request->wait_until_us == 0) {
        const uint64_t wait_most_us = wait_us < HTTP_WAIT_US_MAX ? wait_us : HTTP_WAIT_US_MAX;

        request->wait_until_us = now_us + wait_most_us;
    }
    if (request->is_wait_over || server->is_stopping || now_us >= request->wait_until_us) {
        return false;
    }
    park_wait(server->park, &request->place, key);
    request_timer(request, request->wait_until_us - now_us);
    request->is_parking = true;
    request->was_parked = true;
    server->stats.parked++;
    return true;
}

bool http_outlive(struct http_request *request)
{
    struct evbuffer *own;

    if (request->is_outliving) {
        return true;
    }
    /* evhttp's buffers go with its request. */
    own = evbuffer_new();
    if (own == NULL || evbuffer_add_buffer(own, request->body) != 0) {
        if (own != NULL) {
            evbuffer_free(own);
        }
        return false;
    }
    request->body = own;
    request->is_outliving = true;
    return true;
}

bool http_watcher_begin(struct http_request *request, size_t places)
{
    struct http_server *server = request->server;
    const uint64_t places_max = server->options.watchers_max;

    assert(request->places == 0 && places > 0);
    /* Lowered at a reload: those that are there may be more. */
    if (places > UINT16_MAX || server->places > places_max
        || places > places_max - server->places) {
        server->stats.refused[HTTP_REFUSED_WATCHERS]++;
        return false;
    }
    server->stats.watchers++;
    server->places += places;
    request->places = (uint16_t)places;
    return true;
}

uint64_t http_watch_buffer_bytes(const struct http_request *request)
{
    return request->server->options.watch_buffer_bytes;
}

/* -- a request ends ------------------------------------------------------------------------- */

void request_end(struct http_request *request)
{
    struct http_server *server = request->server;
    struct connection *connection = request->connection;

    if (request->state == REQUEST_QUEUED) {
        TAILQ_REMOVE(list_of(request), request, queue);
    } else if (request->state == REQUEST_PARKED) {
        server->stats.parked--;
    }
    park_leave(server->park, &request->place);
    step_state_free(request);
    if (request->timer != NULL) {
        event_free(request->timer);
    }
    if (request->is_outliving) {
        evbuffer_free(request->body);
    }
    if (request->places > 0) {
        server->stats.watchers--;
        server->places -= request->places;
    }
    request_query_clear(&request->query, server->held);
    mem_let_go(server->held, request->out_bytes);
    *request = (struct http_request){ .server = server, .connection = connection };
}

bool request_lose(struct http_request *request)
{
    struct evhttp_request *evhttp = request->evhttp;

    if (request->state == REQUEST_NONE) {
        return false;
    }
    if (request->state != REQUEST_SENT) {
        request->server->stats.abandoned++;
        /* evhttp lets go of a request whose answer is not complete; else it frees it itself. */
        if (evhttp_request_get_connection(evhttp) == NULL) {
            evhttp_request_free(evhttp);
        }
    }
    request->evhttp = NULL;
    request->out = request->server->scrap;
    answer_charge(request);
    if (request->is_outliving && request->step != NULL && request->state != REQUEST_SENT) {
        if (request->state == REQUEST_DRAINING || request->state == REQUEST_SLEEPING) {
            request_queue(request);
        }
        return true;
    }
    request_end(request);
    return false;
}

void request_on_complete(struct evhttp_request *evhttp, void *argument)
{
    struct http_request *request = argument;
    struct connection *connection = request->connection;

    (void)evhttp;
    request_end(request);
    connection_request_done(connection);
}

/* The last step of a request without a client. */
static void leftover_end(struct http_request *request)
{
    struct http_server *server = request->server;
    struct connection *connection = request->connection;

    request_end(request);
    TAILQ_REMOVE(&server->leftovers, connection, all);
    mem_free(server->mem, connection, sizeof *connection);
    server_look_whether_stopped(server);
}

/* The answer is complete: send it, or throw it away. */
static void request_finish(struct http_request *request)
{
    if (request->evhttp == NULL) {
        leftover_end(request);
        return;
    }
    if (request->is_stream && !request->is_head) {
        const bool is_whole = request->stream_left == HTTP_LENGTH_UNKNOWN
                              || request->stream_left == evbuffer_get_length(request->out);

        if (request->is_broken || !is_whole) {
            connection_close(request->connection);
            return;
        }
        step_state_free(request);
        answer_stream_end(request);
        return;
    }
    step_state_free(request);
    answer_send(request);
}

/* -- calling handlers and steps ------------------------------------------------------------- */

/* A handler or a first step has returned. */
static void handler_settle(struct http_request *request)
{
    if (request->is_parking) {
        request->is_parking = false;
        request->state = REQUEST_PARKED;
        connection_watch_close(request->connection);
        if (request->is_woken) { /* there was no memory for its timer */
            on_timer(-1, EV_TIMEOUT, request);
        }
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
            leftover_end(request);
        } else {
            connection_close(request->connection);
        }
        return;
    }
    if (result == HTTP_STEP_DONE || (request->is_stream && request->is_head)) {
        request_finish(request);
        return;
    }
    if (request->is_stream || request->evhttp == NULL) {
        answer_flush(request);
    }
    if (connection_output_bytes(request->connection) > server_window(request->server)) {
        request->state = REQUEST_DRAINING;
    } else if (result == HTTP_STEP_SLEEP && request->server->is_stopping && request->is_stream) {
        request_finish(request);
    } else if (result == HTTP_STEP_SLEEP && !request->is_woken) {
        request->state = REQUEST_SLEEPING;
    } else {
        request_queue(request);
    }
}

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
    if (request->is_admitted || request_look_at(request)) {
        request_call(request);
    } else {
        request_finish(request);
    }
    return connection_clock_us() - begun_us;
}

static void request_begin(struct http_request *request)
{
    struct http_server *server = request->server;

    server->turn_us += request_run(request);
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
    TAILQ_REMOVE(list_of(taken), taken, queue);
    server->was_open = taken == open;
    return taken;
}

/* Look at what came and call what is under way, each for the time of one step, so that hundreds of
 * long answers delay a short one by no more than that. One is called in any case. */
static void on_work(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval at_once = { 0, 0 };
    struct http_server *server = argument;
    struct http_request *request;
    uint64_t took_us = 0;
    bool is_allowed = true;

    (void)fd;
    (void)what;
    while (is_allowed && has_arrivals(server)) {
        request_begin(arrival_take(server));
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

/* -- a request comes -------------------------------------------------------------------------- */

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

void server_on_request(struct evhttp_request *evhttp, void *argument)
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
        request_begin(request);
    } else {
        request->is_open = request_asks_open(request);
        connection_watch_close(connection);
        request_queue(request);
    }
}

/* -- for main ------------------------------------------------------------------------------- */

static void default_fill(uint64_t *number, uint64_t initial)
{
    if (*number == 0) {
        *number = initial;
    }
}

static void defaults_fill(struct http_options *options)
{
    default_fill(&options->document_bytes_max, UINT64_C(1) << 20);
    default_fill(&options->lines_bytes_max, UINT64_C(64) << 20);
    default_fill(&options->upload_bytes_max, UINT64_C(128) << 20);
    default_fill(&options->header_bytes_max, UINT64_C(16) << 10);
    default_fill(&options->connections_max, 1000);
    default_fill(&options->timeout_us, UINT64_C(30000000));
    default_fill(&options->watchers_max, 64);
    default_fill(&options->watch_buffer_bytes, UINT64_C(1) << 20);
    if (options->lines_bytes_max < options->document_bytes_max) {
        options->lines_bytes_max = options->document_bytes_max;
    }
}

/* Look at the deadlines some times in a timeout. */
static void sweep_schedule(struct http_server *server)
{
    uint64_t us = server->options.timeout_us / SWEEPS_A_TIMEOUT;
    struct timeval interval;

    us = us < SWEEP_US_MIN ? SWEEP_US_MIN : us;
    us = us > SWEEP_US_MAX ? SWEEP_US_MAX : us;
    interval = duration_of(us);
    event_add(server->sweep, &interval);
}

/* The end of draining: whoever is not done is cut. */
static void on_cut(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;
    struct connection *connection;

    (void)fd;
    (void)what;
    while ((connection = TAILQ_FIRST(&server->connections)) != NULL) {
        connection_close(connection);
    }
    while ((connection = TAILQ_FIRST(&server->leftovers)) != NULL) {
        leftover_end(&connection->request);
    }
}

static bool events_make(struct http_server *server)
{
    struct event_base *base = server->base;

    server->work = evtimer_new(base, on_work, server);
    server->adopt = event_new(base, -1, 0, connection_on_adopt, server);
    server->reap = event_new(base, -1, 0, connection_on_reap, server);
    server->sweep = event_new(base, -1, EV_PERSIST, connection_on_sweep, server);
    server->resume = evtimer_new(base, connection_on_resume, server);
    server->cut = evtimer_new(base, on_cut, server);
    return server->work != NULL && server->adopt != NULL && server->reap != NULL
           && server->sweep != NULL && server->resume != NULL && server->cut != NULL;
}

/* The names that this host gives itself. The full ones are those of /etc/hosts: a resolver could
 * take long, or say what somebody else wants. */
static void own_names_find(struct http_server *server)
{
    char name[256] = { 0 };
    char line[1024];
    FILE *hosts;

    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') {
        return;
    }
    memcpy(server->own_names, name, strlen(name));
    hosts = fopen("/etc/hosts", "re");
    if (hosts == NULL) {
        return;
    }
    while (fgets(line, sizeof line, hosts) != NULL) {
        request_own_names_add(server->own_names, sizeof server->own_names, name, line);
    }
    (void)fclose(hosts);
}

/* Everything of the server but its listeners. False: no memory. */
static bool parts_make(struct http_server *server)
{
    const size_t routes_count = server->options.routes_count;
    const size_t listeners_count = server->options.listeners_count;
    uint8_t secret[16];

    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret) {
        return false;
    }
    if (listeners_count > 0) {
        server->listeners =
            mem_alloc_zeroed(server->mem, listeners_count * sizeof *server->listeners);
    }
    server->route_answers =
        mem_alloc_zeroed(server->mem, routes_count * sizeof *server->route_answers);
    server->park = park_create(server->mem, secret);
    server->scrap = evbuffer_new();
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    own_names_find(server);
    return (server->listeners != NULL || listeners_count == 0) && server->route_answers != NULL
           && server->park != NULL && server->scrap != NULL && events_make(server);
}

enum status http_server_create(const struct http_options *options, struct event_base *base,
                               struct http_server **server_out, struct fault *why)
{
    struct http_server *server;

    assert(options->routes_count > 0);
    server = mem_alloc_zeroed(options->mem, sizeof *server);
    if (server == NULL) {
        return fault_set(why, STATUS_MEMORY, "there is no memory for the HTTP server");
    }
    server->options = *options;
    server->options.listeners = NULL;
    server->base = base;
    server->mem = options->mem;
    server->held = options->held != NULL ? options->held : options->mem;
    server->spare_fd = -1;
    TAILQ_INIT(&server->newcomers);
    TAILQ_INIT(&server->connections);
    TAILQ_INIT(&server->leftovers);
    TAILQ_INIT(&server->arrivals);
    TAILQ_INIT(&server->arrivals_open);
    TAILQ_INIT(&server->queue);
    defaults_fill(&server->options);
    answer_common_make(server);
    if (!parts_make(server)) {
        goto free_server;
    }
    for (size_t i = 0; i < options->listeners_count; i++) {
        if (!connection_listen(server, &options->listeners[i], &server->listeners[i])) {
            goto free_server;
        }
    }
    sweep_schedule(server);
    *server_out = server;
    return STATUS_OK;

free_server:
    for (size_t i = 0; server->listeners != NULL && i < options->listeners_count; i++) {
        server->listeners[i].fd = -1; /* stays the caller's */
    }
    http_server_free(server);
    return fault_set(why, STATUS_MEMORY, "there is no memory to serve HTTP on %s",
                     options->listeners_count > 0 ? options->listeners[0].text : "no address");
}

static void events_free(struct http_server *server)
{
    struct event *const events[] = { server->work,  server->adopt,  server->reap,
                                     server->sweep, server->resume, server->cut };

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
}

/* Connections, whatever they are doing, and then listeners. */
static void connections_drop(struct http_server *server)
{
    const size_t count = server->listeners == NULL ? 0 : server->options.listeners_count;

    server->is_told = true; /* nobody wants to hear of the end now */
    on_cut(-1, EV_TIMEOUT, server);
    connection_newcomers_drop(server);
    for (size_t i = 0; i < count; i++) {
        connection_unlisten(&server->listeners[i]);
        if (server->listeners[i].evhttp != NULL) {
            evhttp_free(server->listeners[i].evhttp);
        }
    }
}

void http_server_free(struct http_server *server)
{
    struct mem *mem;

    if (server == NULL) {
        return;
    }
    mem = server->mem;
    connections_drop(server);
    events_free(server);
    park_free(server->park);
    if (server->scrap != NULL) {
        evbuffer_free(server->scrap);
    }
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
    }
    mem_free(mem, server->by_fd, server->by_fd_count * sizeof *server->by_fd);
    if (server->listeners != NULL) {
        mem_free(mem, server->listeners,
                 server->options.listeners_count * sizeof *server->listeners);
    }
    if (server->route_answers != NULL) {
        mem_free(mem, server->route_answers,
                 server->options.routes_count * sizeof *server->route_answers);
    }
    mem_free(mem, server, sizeof *server);
}

void http_server_configure(struct http_server *server, const struct http_options *options)
{
    const struct http_options old = server->options;

    server->options = *options;
    server->options.listeners = NULL;
    server->options.listeners_count = old.listeners_count;
    server->options.routes = old.routes;
    server->options.routes_count = old.routes_count;
    server->options.mem = old.mem;
    server->options.held = old.held;
    server->options.context = old.context;
    server->options.log = old.log;
    server->options.shell = old.shell;
    server->options.moment = old.moment;
    server->options.turn_wanted = old.turn_wanted;
    defaults_fill(&server->options);
    answer_common_make(server);
    for (size_t i = 0; i < old.listeners_count; i++) {
        connection_limit(&server->listeners[i], &server->options);
    }
    sweep_schedule(server);
}

void http_server_turn_end(struct http_server *server, struct changes changes)
{
    if (server->turn_work > server->stats.turn_work_most) {
        server->stats.turn_work_most = server->turn_work;
    }
    server->turn_work = 0;
    server->turn_us = 0;
    for (size_t i = 0; i < changes.count && park_count(server->park) > 0; i++) {
        park_note(server->park, entry_key(changes.list[i].entry), on_park_wake);
    }
}

/* What a request does when the server stops. */
static void request_stop(struct http_request *request)
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

void http_server_stop(struct http_server *server, uint64_t drain_us)
{
    const struct timeval drain = duration_of(drain_us);
    struct connection *connection = TAILQ_FIRST(&server->connections);

    server->is_stopping = true;
    event_del(server->resume);
    for (size_t i = 0; i < server->options.listeners_count; i++) {
        connection_unlisten(&server->listeners[i]);
    }
    while (connection != NULL) {
        struct connection *const next = TAILQ_NEXT(connection, all);

        request_stop(&connection->request);
        connection = next;
    }
    event_add(server->cut, &drain);
    connection_reap_soon(server);
}

bool http_server_is_stopped(const struct http_server *server)
{
    return server->is_stopping && TAILQ_EMPTY(&server->newcomers)
           && TAILQ_EMPTY(&server->connections) && TAILQ_EMPTY(&server->leftovers);
}

void server_look_whether_stopped(struct http_server *server)
{
    if (!server->is_told && http_server_is_stopped(server)) {
        server->is_told = true;
        server->options.turn_wanted(server->options.shell);
    }
}

const struct http_stats *http_server_stats(const struct http_server *server)
{
    return &server->stats;
}

const uint64_t *http_server_route_answers(const struct http_server *server, size_t route)
{
    assert(route < server->options.routes_count);
    return server->route_answers[route].by_class;
}
