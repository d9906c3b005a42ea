/* The life of a request between its calls: it waits, is woken, goes on in steps, and ends. */

#include "http/state.h"

#include <event2/http.h>

#include <assert.h>

/* -- waiting for its turn ---------------------------------------------------------------------- */

struct request_list *request_list(const struct http_request *request)
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
    TAILQ_INSERT_TAIL(request_list(request), request, queue);
    /* A timer and not an activation: the loop looks at its sockets in between. */
    if (!event_pending(server->work, EV_TIMEOUT, NULL)) {
        event_add(server->work, &at_once);
    }
}

/* -- waiting for a key, a moment or a word ----------------------------------------------------- */

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

void http_wake(struct http_request *request)
{
    if (request->state == REQUEST_SLEEPING) {
        request_queue(request);
    } else {
        request->is_woken = true;
    }
}

void request_on_timer(evutil_socket_t fd, short what, void *argument)
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

/* Once, that long from now. */
static void request_timer(struct http_request *request, uint64_t us)
{
    const struct timeval delay = connection_duration(us);

    if (request->timer == NULL) {
        request->timer = evtimer_new(request->server->base, request_on_timer, request);
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
    server->stats.parked++;
    return true;
}

/* -- waiting for the disk ---------------------------------------------------------------------- */

bool http_hold(struct http_request *request)
{
    assert(!request->is_stream);
    /* Nor does it wait without a client: what outlives one ends at once. */
    request->is_holding =
        request->server->options.keeper != NULL && !request->is_kept && request->evhttp != NULL;
    return request->is_holding;
}

void request_hold(struct http_request *request)
{
    struct http_server *server = request->server;

    request->is_holding = false;
    request->state = REQUEST_HELD;
    request->ticket = REQUEST_NO_TICKET;
    request->held_us = connection_clock_us();
    TAILQ_INSERT_TAIL(&server->keeping, request, queue);
    server->stats.holding++;
    connection_watch_close(request->connection);
}

static void hold_leave(struct http_request *request)
{
    TAILQ_REMOVE(&request->server->keeping, request, queue);
    request->server->stats.holding--;
}

/* Both lists of reasons to go on rise along the list: by ticket and by time. */
void http_server_kept(struct http_server *server)
{
    const struct http_options *options = &server->options;
    struct http_request *request = TAILQ_FIRST(&server->keeping);
    uint64_t kept;
    uint64_t lost;
    uint64_t now_us;

    if (request == NULL) {
        return;
    }
    kept = options->keeper->kept(options->shell);
    lost = options->keeper->lost(options->shell);
    now_us = connection_clock_us();
    while (request != NULL) {
        const bool is_kept = request->ticket <= kept;
        struct http_request *next = TAILQ_NEXT(request, queue);

        if (!is_kept && request->ticket > lost
            && now_us - request->held_us < options->keeper->wait_us) {
            return;
        }
        hold_leave(request);
        request->is_kept = true;
        request->is_lost = !is_kept;
        request_queue(request);
        request = next;
    }
}

/* The turn has ended: what it changed has a ticket. */
static void tickets_give(struct http_server *server)
{
    struct http_request *request = TAILQ_LAST(&server->keeping, request_list);
    uint64_t ticket;

    if (request == NULL || request->ticket != REQUEST_NO_TICKET) {
        return;
    }
    ticket = server->options.keeper->noted(server->options.shell);
    while (request != NULL && request->ticket == REQUEST_NO_TICKET) {
        request->ticket = ticket;
        request = TAILQ_PREV(request, request_list, queue);
    }
    http_server_kept(server);
}

bool http_has_waited(const struct http_request *request)
{
    return request->wait_until_us != 0;
}

void http_server_turn_end(struct http_server *server, struct changes changes)
{
    if (server->turn_work > server->stats.turn_work_most) {
        server->stats.turn_work_most = server->turn_work;
    }
    server->turn_work = 0;
    server->turn_us = 0;
    tickets_give(server);
    for (size_t i = 0; i < changes.count && park_count(server->park) > 0; i++) {
        const struct entry *entry = changes.list[i].entry;

        if (!entry_deleted(entry)) { /* the key is told with the drop of what it held */
            park_note(server->park, entry_key(entry), on_park_wake);
        }
    }
}

/* -- going on in steps ------------------------------------------------------------------------- */

void request_step_end(struct http_request *request)
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
    request_step_end(request);
    request->step = step;
    request->step_state = state;
    request->free_state = free_state;
    request->server->stats.stepping++;
}

size_t http_output_bytes(const struct http_request *request)
{
    return evbuffer_get_length(request->out) + connection_output_bytes(request->connection);
}

uint64_t request_window(const struct http_request *request)
{
    const struct mem *held = request->server->held;

    return mem_left(held) < held->limit_bytes / 2 ? HTTP_OUTPUT_BYTES_MIN : HTTP_OUTPUT_BYTES_MAX;
}

bool http_step_is_over(const struct http_request *request)
{
    return connection_clock_us() - request->called_us >= HTTP_STEP_US_MAX
           || (request->is_stream && http_output_bytes(request) > request_window(request));
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

bool http_may_wait(const struct http_request *request)
{
    return request->evhttp != NULL && !request->server->is_stopping;
}

/* -- watchers ---------------------------------------------------------------------------------- */

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

/* -- the end ----------------------------------------------------------------------------------- */

void request_charge(struct http_request *request)
{
    const uint64_t bytes = request->evhttp == NULL ? 0 : evbuffer_get_length(request->out);

    mem_hold(request->server->held, bytes);
    mem_let_go(request->server->held, request->out_bytes);
    request->out_bytes = bytes;
}

/* Free what a request holds, whatever state it is in; it is REQUEST_NONE afterwards. */
static void request_end(struct http_request *request)
{
    struct http_server *server = request->server;
    struct connection *connection = request->connection;

    if (request->state == REQUEST_QUEUED) {
        TAILQ_REMOVE(request_list(request), request, queue);
    } else if (request->state == REQUEST_PARKED) {
        server->stats.parked--;
    } else if (request->state == REQUEST_HELD) {
        hold_leave(request);
    }
    park_leave(server->park, &request->place);
    request_step_end(request);
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
    request_charge(request);
    /* One that is running cuts its connection itself, and has ended. */
    if (request->is_outliving && request->step != NULL && request->state != REQUEST_SENT
        && request->state != REQUEST_RUNNING) {
        if (request->state == REQUEST_HELD) {
            hold_leave(request);
        }
        if (request->state == REQUEST_HELD || request->state == REQUEST_DRAINING
            || request->state == REQUEST_SLEEPING) {
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

void request_leftover_end(struct http_request *request)
{
    struct http_server *server = request->server;
    struct connection *connection = request->connection;

    request_end(request);
    connection_body_settle(connection, 0);
    evbuffer_drain(server->scrap, evbuffer_get_length(server->scrap));
    TAILQ_REMOVE(&server->leftovers, connection, all);
    mem_free(server->mem, connection, sizeof *connection);
    server_look_whether_stopped(server);
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
