/* Connections come, and are closed when they are late, too large or no longer wanted. */

#include "http/state.h"
#include "log/log.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_US 100000 /* between two looks for a free descriptor */
#define ACCEPT_SHED_MAX 64     /* connections closed at each */

/* -- descriptors run out ----------------------------------------------------------------------- */

struct search {
    const struct evconnlistener *accept;
    struct http_server *server;
};

static int server_search(const struct event_base *base, const struct event *event, void *argument)
{
    struct search *search = argument;
    struct http_server *server;

    (void)base;
    if (event_get_callback(event) != accept_on_sweep) {
        return 0;
    }
    server = event_get_callback_arg(event);
    for (size_t i = 0; i < server->options.listeners_count; i++) {
        if (server->listeners[i].accept == search->accept) {
            search->server = server;
            return 1;
        }
    }
    return 0;
}

static void accept_pause(struct http_server *server)
{
    const struct timeval pause = connection_duration(ACCEPT_PAUSE_US);

    for (size_t i = 0; i < server->options.listeners_count; i++) {
        evconnlistener_disable(server->listeners[i].accept);
    }
    event_add(server->resume, &pause);
}

/* Give the spare descriptor up, take a connection with it, close that, and get the spare back: the
 * clients see that they are not served, and the backlog does not fill. */
static void accept_shed(struct http_server *server, int listen_fd)
{
    for (size_t i = 0; i < ACCEPT_SHED_MAX && server->spare_fd >= 0; i++) {
        int fd;

        close(server->spare_fd);
        fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            close(fd);
            server->stats.refused[HTTP_REFUSED_DESCRIPTORS]++;
        }
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return;
        }
    }
}

/* accept() failed: none left to accept with, or no memory in the kernel. The listener stays
 * readable, so without a pause the loop would spin. evhttp has taken the listener's argument for
 * itself; the server is found by its sweep. */
static void accept_failed(struct evconnlistener *accept, void *evhttp)
{
    const int error = errno;
    struct search search = { .accept = accept };

    (void)evhttp;
    event_base_foreach_event(evconnlistener_get_base(accept), server_search, &search);
    if (search.server == NULL) {
        evconnlistener_disable(accept);
        return;
    }
    if (search.server->options.log != NULL) {
        log_event(search.server->options.log, LOG_LEVEL_WARN, "http_accept_failed",
                  log_string("reason", strerror(error)));
    }
    accept_shed(search.server, evconnlistener_get_fd(accept));
    accept_pause(search.server);
}

void accept_on_resume(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;

    (void)fd;
    (void)what;
    if (server->is_stopping) {
        return;
    }
    if (server->spare_fd < 0) {
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    for (size_t i = 0; i < server->options.listeners_count; i++) {
        evconnlistener_enable(server->listeners[i].accept);
    }
}

/* -- connections come and go ------------------------------------------------------------------- */

/* Our half of a new connection. evhttp gives it the descriptor after this, and makes its own
 * object around it, which accept_on_adopt() finds. Until then we hold a reference, because
 * evhttp may give up in between. */
static struct bufferevent *on_accept(struct event_base *base, void *argument)
{
    struct listener *listener = argument;
    struct http_server *server = listener->server;
    struct bufferevent *stream = bufferevent_socket_new(base, -1, 0);
    struct connection *connection;

    server->stats.accepted++;
    if (stream == NULL) {
        return NULL;
    }
    connection = mem_alloc_zeroed(server->mem, sizeof *connection);
    if (connection == NULL) {
        const struct timeval timeout = connection_duration(server->options.timeout_us);

        /* Without an object its first request is refused; until then this is its deadline. */
        bufferevent_set_timeouts(stream, &timeout, &timeout);
        return stream;
    }
    connection->server = server;
    connection->listener = listener;
    connection->stream = stream;
    connection->request.server = server;
    connection->request.connection = connection;
    bufferevent_incref(stream);
    TAILQ_INSERT_TAIL(&server->newcomers, connection, all);
    event_active(server->adopt, EV_TIMEOUT, 0);
    return stream;
}

static void on_close(struct evhttp_connection *evhttp, void *argument)
{
    struct connection *connection = argument;
    struct http_server *server = connection->server;

    (void)evhttp;
    if (connection->phase == CONNECTION_GONE) {
        return;
    }
    evbuffer_remove_cb_entry(bufferevent_get_output(connection->stream),
                             connection->output_callback);
    mem_let_go(server->held, connection->output_bytes);
    server->by_fd[connection->fd].connection = NULL;
    server->stats.connections--;
    TAILQ_REMOVE(&server->connections, connection, all);
    connection->phase = CONNECTION_GONE;
    connection->evhttp = NULL;
    connection->stream = NULL;
    if (request_lose(&connection->request)) {
        connection_body_settle(connection, evbuffer_get_length(connection->request.body));
        TAILQ_INSERT_TAIL(&server->leftovers, connection, all);
    } else {
        connection_body_settle(connection, 0);
        mem_free(server->mem, connection, sizeof *connection);
    }
    server_look_whether_stopped(server);
}

/* An answer for somebody evhttp cannot answer: written straight into the fresh socket, whose
 * buffer has room for it. */
static void turn_away(struct connection *connection, unsigned code, const char *detail)
{
    char body[256];
    char text[640];
    const int body_size =
        snprintf(body, sizeof body, "{\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\"}\n",
                 answer_phrase(code), code, detail);
    const int size = snprintf(text, sizeof text,
                              "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\n"
                              "Content-Length: %d\r\n%sConnection: close\r\n\r\n%s",
                              code, answer_phrase(code), body_size,
                              code == 503 ? "Retry-After: 1\r\n" : "", body);

    assert(size > 0);
    assert((size_t)size < sizeof text);
    if (send(connection->fd, text, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        return; /* then the client only sees the connection close */
    }
    connection->server->stats.answers[code / 100]++;
}

/* Room in by_fd for a descriptor. */
static bool by_fd_reach(struct http_server *server, int fd)
{
    const size_t count_old = server->by_fd_count;
    size_t count = count_old == 0 ? 64 : count_old;
    struct connection_slot *grown;

    if ((size_t)fd < count_old) {
        return true;
    }
    while (count <= (size_t)fd) {
        count *= 2;
    }
    grown = mem_grow(server->mem, server->by_fd, count_old * sizeof *grown, count * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    for (size_t i = count_old; i < count; i++) {
        grown[i].connection = NULL;
    }
    server->by_fd = grown;
    server->by_fd_count = count;
    return true;
}

/* Refuse a newcomer: nobody knows it yet but evhttp. */
static void newcomer_refuse(struct connection *connection, struct evhttp_connection *evhttp,
                            enum http_refused reason, const char *detail)
{
    struct http_server *server = connection->server;

    server->stats.refused[reason]++;
    turn_away(connection, 503, detail);
    evhttp_connection_free(evhttp);
    mem_free(server->mem, connection, sizeof *connection);
}

static void newcomer_adopt(struct connection *connection)
{
    struct http_server *server = connection->server;
    struct evhttp_connection *evhttp;
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *argument;

    /* evhttp's own callbacks carry its connection as their argument, and nothing when it gave
     * the connection up. */
    bufferevent_getcb(connection->stream, &on_read, &on_write, &on_event, &argument);
    evhttp = argument;
    connection->fd = bufferevent_getfd(connection->stream);
    if (bufferevent_decref(connection->stream) != 0 || evhttp == NULL) {
        mem_free(server->mem, connection, sizeof *connection);
        return;
    }
    if (server->is_stopping) {
        newcomer_refuse(connection, evhttp, HTTP_REFUSED_CONNECTIONS, ANSWER_STOPPING);
        return;
    }
    if (server->stats.connections >= server->options.connections_max) {
        newcomer_refuse(connection, evhttp, HTTP_REFUSED_CONNECTIONS,
                        "too many connections; try again soon or raise http-max-connections");
        return;
    }
    if (!by_fd_reach(server, connection->fd) || !connection_charge(connection)) {
        newcomer_refuse(connection, evhttp, HTTP_REFUSED_MEMORY,
                        "there is no memory for the connection; try again soon");
        return;
    }
    connection->evhttp = evhttp;
    connection->phase = CONNECTION_IDLE;
    connection->since_us = connection_clock_us();
    evhttp_connection_set_closecb(evhttp, on_close, connection);
    server->by_fd[connection->fd].connection = connection;
    server->stats.connections++;
    TAILQ_INSERT_TAIL(&server->connections, connection, all);
}

void accept_on_adopt(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;
    struct connection *connection;

    (void)fd;
    (void)what;
    while ((connection = TAILQ_FIRST(&server->newcomers)) != NULL) {
        TAILQ_REMOVE(&server->newcomers, connection, all);
        newcomer_adopt(connection);
    }
}

void accept_newcomers_drop(struct http_server *server)
{
    struct connection *connection;

    while ((connection = TAILQ_FIRST(&server->newcomers)) != NULL) {
        TAILQ_REMOVE(&server->newcomers, connection, all);
        bufferevent_decref(connection->stream); /* evhttp has its own */
        mem_free(server->mem, connection, sizeof *connection);
    }
}

/* -- listening --------------------------------------------------------------------------------- */

void accept_limit(struct listener *listener, const struct http_options *options)
{
    evhttp_set_max_headers_size(listener->evhttp, (ev_ssize_t)options->header_bytes_max);
    evhttp_set_max_body_size(listener->evhttp, (ev_ssize_t)options->lines_bytes_max);
}

bool accept_begin(struct http_server *server, const struct http_listener *from,
                  struct listener *listener)
{
    const struct http_options *options = &server->options;
    const int on = 1;
    struct evhttp *evhttp = evhttp_new(server->base);
    struct evconnlistener *accept =
        evconnlistener_new(server->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, from->fd);
    struct evhttp_bound_socket *bound;

    if (evhttp == NULL || accept == NULL) {
        goto free_both;
    }
    bound = evhttp_bind_listener(evhttp, accept);
    if (bound == NULL) {
        goto free_both;
    }
    evconnlistener_set_error_cb(accept, accept_failed);
    /* Accepted sockets inherit it; without it pipelined answers wait for delayed acks. On a Unix
     * socket it fails and is not needed. */
    (void)setsockopt(from->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    evhttp_set_bevcb(evhttp, on_accept, listener);
    evhttp_set_gencb(evhttp, turn_on_request, listener);
    evhttp_set_allowed_methods(evhttp, UINT16_MAX); /* the routes decide, unknown ones too */
    evhttp_set_default_content_type(evhttp, NULL);
    *listener = (struct listener){ .server = server,
                                   .evhttp = evhttp,
                                   .accept = accept,
                                   .bound = bound,
                                   .fd = from->fd,
                                   .is_unix = from->is_unix,
                                   .is_loopback = from->is_loopback };
    accept_limit(listener, options);
    return true;

free_both:
    if (accept != NULL) {
        evconnlistener_free(accept);
    }
    if (evhttp != NULL) {
        evhttp_free(evhttp);
    }
    return false;
}

void accept_end(struct listener *listener)
{
    if (listener->bound != NULL) {
        evhttp_del_accept_socket(listener->evhttp, listener->bound);
        listener->bound = NULL;
        listener->accept = NULL;
        if (listener->fd >= 0) {
            close(listener->fd);
        }
    }
}

/* -- closing by ourselves ---------------------------------------------------------------------- */

/* Cut a connection whose time is over. */
static void deadline_apply(struct connection *connection, uint64_t now_us)
{
    struct http_server *server = connection->server;

    if (now_us - connection->since_us < server->options.timeout_us) {
        return;
    }
    if (connection->phase == CONNECTION_ANSWERING) {
        if (connection_output_bytes(connection) == 0) {
            return; /* the answer is still being made: not its fault */
        }
        server->stats.refused[HTTP_REFUSED_TIMEOUT]++;
    } else if (connection->phase == CONNECTION_RECEIVING) {
        server->stats.refused[HTTP_REFUSED_TIMEOUT]++;
        turn_away(connection, 408, "the request took too long to arrive");
    }
    connection_close(connection);
}

void accept_on_sweep(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;
    const uint64_t now_us = connection_clock_us();
    struct connection *connection = TAILQ_FIRST(&server->connections);

    (void)fd;
    (void)what;
    while (connection != NULL) {
        struct connection *const next = TAILQ_NEXT(connection, all);

        deadline_apply(connection, now_us);
        connection = next;
    }
    http_server_kept(server); /* some may have waited for too long */
}

/* Close a connection whose upload is too much together with what others hold, or by itself. */
static void upload_refuse(struct connection *connection)
{
    struct http_server *server = connection->server;
    const uint64_t limit_bytes = server->held->limit_bytes;
    char full[ANSWER_FULL_MAX];

    if (limit_bytes > 0 && connection->upload_bytes >= limit_bytes) {
        server->stats.refused[HTTP_REFUSED_MEMORY]++;
        turn_away(connection, 413, "the body alone takes more than http-max-memory allows");
    } else if (server->stats.upload_bytes > server->options.upload_bytes_max) {
        server->stats.refused[HTTP_REFUSED_UPLOAD]++;
        turn_away(connection, 503,
                  "too much is being uploaded at once; try again soon or raise "
                  "http-max-upload");
    } else {
        server->stats.refused[HTTP_REFUSED_MEMORY]++;
        answer_full_text(server, full);
        turn_away(connection, 503, full);
    }
    connection_close(connection);
}

/* evhttp has answered a request by itself, before we got it: with a page of HTML, which has not
 * left yet. Say the same as we say everything. */
static void page_replace(struct connection *connection)
{
    struct http_server *server = connection->server;
    const struct http_options *options = &server->options;
    char status[] = "HTTP/1.1 400";
    char detail[160];

    (void)evbuffer_copyout(connection_output(connection), status, sizeof status - 1);
    connection->is_answered = false;
    if (strcmp(status + 9, "100") == 0) {
        return;
    }
    if (strcmp(status + 9, "413") == 0) {
        server->stats.refused[HTTP_REFUSED_BODY]++;
        (void)snprintf(detail, sizeof detail,
                       "the body is longer than http-max-lines (%llu bytes) allows",
                       (unsigned long long)options->lines_bytes_max);
        turn_away(connection, 413, detail);
    } else if (strcmp(status + 9, "417") == 0) {
        server->stats.refused[HTTP_REFUSED_ROUTE]++;
        turn_away(connection, 417, "Expect is not 100-continue");
    } else if (!connection->is_head_whole && connection->upload_bytes > options->header_bytes_max) {
        server->stats.refused[HTTP_REFUSED_FRAMING]++;
        (void)snprintf(detail, sizeof detail,
                       "request line and headers are longer than http-max-header (%llu bytes) "
                       "allows",
                       (unsigned long long)options->header_bytes_max);
        turn_away(connection, 431, detail);
    } else {
        server->stats.refused[HTTP_REFUSED_FRAMING]++;
        turn_away(connection, 400, "this is not an HTTP request that can be read");
    }
    connection_close(connection);
}

void accept_on_reap(evutil_socket_t fd, short what, void *argument)
{
    struct http_server *server = argument;
    struct connection *connection = TAILQ_FIRST(&server->connections);

    (void)fd;
    (void)what;
    while (connection != NULL) {
        struct connection *const next = TAILQ_NEXT(connection, all);

        if (connection->is_doomed && connection->phase == CONNECTION_RECEIVING) {
            upload_refuse(connection);
        } else if (connection->is_answered && connection->phase == CONNECTION_RECEIVING) {
            page_replace(connection);
        } else if (server->is_stopping && connection->phase == CONNECTION_IDLE) {
            connection_close(connection);
        }
        connection = next;
    }
    server_look_whether_stopped(server);
}
