/* One connection: the bytes that come and go, what they are charged, and its close. */

#include "http/state.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>

#include <assert.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

/* What evbuffer_read() takes at once in libevent 2.1; two thirds of a bulk upload were spent in
 * going round the loop for it. */
#define READ_BYTES      4096
#define READ_MORE_BYTES (HTTP_BODY_STEP_BYTES - READ_BYTES)

/* A connection that is answering reads no further ahead than this. */
#define INPUT_AHEAD_BYTES 65536

/* Below this a connection is never the one to pay for http-max-upload. */
#define UPLOAD_INNOCENT_BYTES 65536

/* And below this not even for http-max-memory: an ordinary request without a body fits. */
#define UPLOAD_SMALL_BYTES 4096

uint64_t connection_clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct timeval connection_duration(uint64_t us)
{
    return (struct timeval){ .tv_sec = (time_t)(us / 1000000),
                             .tv_usec = (suseconds_t)(us % 1000000) };
}

/* -- bytes come in ----------------------------------------------------------------------------- */

/* Read what else the kernel has, in one go. Called while libevent has the buffer open for it. */
static void read_more(struct connection *connection, struct evbuffer *input)
{
    struct evbuffer_iovec room[2];
    const int count = evbuffer_reserve_space(input, READ_MORE_BYTES, room, 2);
    ssize_t got;

    if (count <= 0) {
        return;
    }
    got = readv(connection->fd, room, count);
    if (got <= 0) {
        return; /* the next read of libevent's own meets the same and knows what to do */
    }
    if ((size_t)got <= room[0].iov_len) {
        room[0].iov_len = (size_t)got;
        evbuffer_commit_space(input, room, 1);
    } else {
        room[1].iov_len = (size_t)got - room[0].iov_len;
        evbuffer_commit_space(input, room, 2);
    }
}

/* Whether the headers have come, within their limit. Of them evhttp has taken all but the last line
 * already, or nothing. */
static bool head_is_whole(const struct connection *connection, struct evbuffer *input)
{
    const uint64_t taken = connection->upload_bytes - evbuffer_get_length(input);
    ev_ssize_t end;
    char front[2];

    if (evbuffer_copyout(input, front, 2) == 2 && memcmp(front, "\r\n", 2) == 0) {
        return true;
    }
    end = evbuffer_search(input, "\r\n\r\n", 4, NULL).pos;
    return end >= 0 && taken + (uint64_t)end <= connection->server->options.header_bytes_max;
}

/* Whether this connection has to pay for what all of them hold. */
static bool is_too_much(const struct connection *connection)
{
    const struct http_server *server = connection->server;

    return (server->stats.upload_bytes > server->options.upload_bytes_max
            && connection->upload_bytes > UPLOAD_INNOCENT_BYTES)
           || (mem_left(server->held) == 0 && connection->upload_bytes > UPLOAD_SMALL_BYTES);
}

void connection_reap_soon(struct http_server *server)
{
    event_active(server->reap, EV_TIMEOUT, 0);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *argument)
{
    struct connection *connection = argument;
    struct http_server *server = connection->server;

    if (info->n_added == 0) {
        return;
    }
    connection->upload_bytes += info->n_added;
    server->stats.upload_bytes += info->n_added;
    mem_hold(server->held, info->n_added);
    server->stats.received_bytes += info->n_added;
    if (connection->phase == CONNECTION_ANSWERING) {
        if (!connection->is_input_bounded && evbuffer_get_length(input) >= INPUT_AHEAD_BYTES) {
            connection->is_input_bounded = true;
            bufferevent_setwatermark(connection->stream, EV_READ, 0, INPUT_AHEAD_BYTES);
        }
        return;
    }
    if (connection->phase == CONNECTION_IDLE) {
        connection->phase = CONNECTION_RECEIVING;
        connection->since_us = connection_clock_us();
    }
    connection->is_head_whole = connection->is_head_whole || head_is_whole(connection, input);
    if (is_too_much(connection)) {
        connection->is_doomed = true;
        connection_reap_soon(server);
    } else if (info->n_added == READ_BYTES && !connection->is_reading_more) {
        connection->is_reading_more = true;
        read_more(connection, input);
        connection->is_reading_more = false;
    }
}

void connection_body_settle(struct connection *connection, size_t left)
{
    connection->server->stats.upload_bytes -= connection->upload_bytes - left;
    mem_let_go(connection->server->held, connection->upload_bytes - left);
    connection->upload_bytes = left;
}

void connection_body_drained(struct connection *connection, size_t size)
{
    assert(size <= connection->upload_bytes);
    connection->upload_bytes -= size;
    connection->server->stats.upload_bytes -= size;
    mem_let_go(connection->server->held, size);
}

/* -- bytes go out ------------------------------------------------------------------------------ */

/* Answers wait here for the kernel to take them. */
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *argument)
{
    struct connection *connection = argument;

    (void)output;
    mem_hold(connection->server->held, info->n_added);
    mem_let_go(connection->server->held, info->n_deleted);
    if (connection->phase == CONNECTION_RECEIVING && info->n_added > 0) {
        connection->is_answered = true;
        connection_reap_soon(connection->server);
    }
    connection->output_bytes += info->n_added;
    connection->output_bytes -= info->n_deleted;
}

struct evbuffer *connection_output(const struct connection *connection)
{
    return bufferevent_get_output(connection->stream);
}

size_t connection_output_bytes(const struct connection *connection)
{
    if (connection->stream == NULL) {
        return 0;
    }
    return evbuffer_get_length(bufferevent_get_output(connection->stream));
}

void connection_frame(struct evhttp_request *request, bool chunks)
{
    request->chunked = chunks;
}

void connection_watch_close(struct connection *connection)
{
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *argument;

    bufferevent_getcb(connection->stream, &on_read, &on_write, &on_event, &argument);
    bufferevent_setcb(connection->stream, NULL, on_write, on_event, argument);
    bufferevent_enable(connection->stream, EV_READ);
}

void connection_send(struct connection *connection, struct evhttp_request *request)
{
    connection->since_us = connection_clock_us();
    connection_watch_close(connection);
    bufferevent_enable(connection->stream, EV_WRITE);
    connection_frame(request, false); /* it still says how the request came */
    evhttp_send_reply_end(request);
}

/* -- from one request to the next -------------------------------------------------------------- */

struct connection *connection_find(const struct http_server *server, struct evhttp_request *request)
{
    struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
    const int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp));
    struct connection *connection;

    if (fd < 0 || (size_t)fd >= server->by_fd_count) {
        return NULL;
    }
    connection = server->by_fd[fd].connection;
    assert(connection == NULL || connection->evhttp == evhttp);
    return connection;
}

bool connection_charge(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->stream);
    struct evbuffer *output = bufferevent_get_output(connection->stream);

    connection->output_callback = evbuffer_add_cb(output, on_output, connection);
    if (connection->output_callback == NULL) {
        return false;
    }
    if (evbuffer_add_cb(input, on_input, connection) == NULL) {
        evbuffer_remove_cb_entry(output, connection->output_callback);
        return false;
    }
    return true;
}

void connection_request_done(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->stream);
    const size_t left = evbuffer_get_length(input);

    connection->is_doomed = false;
    connection->is_answered = false;
    if (connection->is_input_bounded) {
        connection->is_input_bounded = false;
        bufferevent_setwatermark(connection->stream, EV_READ, 0, 0);
    }
    connection_body_settle(connection, left);
    connection->is_head_whole = left > 0 && head_is_whole(connection, input);
    connection->phase = left == 0 ? CONNECTION_IDLE : CONNECTION_RECEIVING;
    connection->since_us = connection_clock_us();
    if (connection->server->is_stopping) {
        connection_reap_soon(connection->server);
    }
}

bool connection_request_is_old(const struct evhttp_request *request)
{
    return request->major < 1 || (request->major == 1 && request->minor < 1);
}

void connection_close(struct connection *connection)
{
    evhttp_connection_free(connection->evhttp);
}
