#ifndef UNIT_SERVER_WORLD_H
#define UNIT_SERVER_WORLD_H

/* A server over real sockets on loopback with a table of small routes, and a client on the same
 * event base. Shared by the tests of the files of http/state.h. */

#include "http/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <string.h>
#include <sys/socket.h>

#include "unit/test.h"

#define PATIENCE_MS 10000 /* only a broken server takes this long */
#define BIG_PIECES  256
#define BIG_PIECE   8192

struct http_context {
    struct http_request *sleeper;
    uint64_t digest; /* of every key */
    uint64_t handled;
    uint64_t freed;     /* states */
    uint64_t steps;     /* of the route that counts them */
    size_t output_most; /* bytes waiting when a step was called */
    size_t drained;
    bool is_blocked; /* "outlive" waits for this to fall */
    uint64_t noted;  /* what a keeper says */
    uint64_t kept;
    uint64_t lost;
    bool loads;
    char seen[64];
};

struct fixture {
    struct mem mem;
    struct event_base *base;
    struct event *tick; /* lets loops look at their deadline */
    struct event *turn; /* ends the turn of whoever asked for its moment */
    struct http_server *server;
    struct http_context context;
    struct http_options options;
    struct http_listener listener;
    uint64_t turns;
    uint16_t port;
};

struct client {
    struct bufferevent *stream;
    struct evbuffer *received;
    bool is_closed;
};

int setup(void **state);

/* Every test ends with: nothing is left of the server. */
int teardown(void **state);

/* A listening socket. */
int listen_on_loopback(uint16_t *port_out);

/* Start the server with the fixture's options. */
void serve(struct fixture *fixture);

/* A turn in which this key changed. */
void change(struct fixture *fixture, const char *key);

struct client client_open(struct fixture *fixture);
void client_connect_to(struct client *client, const struct sockaddr *address, int size);
void client_connect(struct fixture *fixture, struct client *client);
void client_close(struct client *client);

/* Start the server, and connect an open client to it. */
void serve_client(struct fixture *fixture, struct client *client);

void client_send(struct client *client, const char *bytes);
bool client_has(struct client *client, const char *needle);
size_t client_count(struct client *client, const char *needle);

/* Send, wait for the end of the connection; the answer is there until the next exchange. */
const char *exchange_to_end(struct fixture *fixture, const char *request);

void assert_has(const char *answer, const char *needle);
void assert_lacks(const char *answer, const char *needle);

uint64_t clock_ms(void);

/* Run the loop until a condition holds. */
#define AWAIT(fixture, condition)                          \
    do {                                                   \
        const uint64_t end_ms = clock_ms() + PATIENCE_MS;  \
        while (!(condition)) {                             \
            assert_true(clock_ms() < end_ms);              \
            event_base_loop((fixture)->base, EVLOOP_ONCE); \
        }                                                  \
    } while (0)

#define HOST "Host: 127.0.0.1\r\n"
#define LAST HOST "Connection: close\r\n\r\n"

#define POLL(wait) \
    "GET /keys/a?wait=" wait " HTTP/1.1\r\nIf-None-Match: \"0000000000001234\"\r\n" HOST "\r\n"
#define SECONDS_10 "ssssssssss" /* a second a letter */

#endif /* UNIT_SERVER_WORLD_H */
