#ifndef HTTP_STATE_H
#define HTTP_STATE_H

/* The parts of the server, for the files that make it up. Private to the room; api_*.c do not
 * include it. Each calls those before it in this list alone:
 *
 *     connection.c  one connection: bytes in and out, what they are charged
 *     asked.c       what a request says
 *     life.c        a request waits, is woken, goes on in steps, ends
 *     answer.c      what goes out
 *     admit.c       whether a request may reach its handler
 *     turn.c        requests are looked at, and handlers and steps called
 *     accept.c      connections come, and are closed when their time is over
 *     setup.c       the whole, for main
 *
 * A connection and its request are one object, because evhttp works on one request a connection
 * at a time: nothing is allocated for a request but the table of its query. The object outlives
 * its connection only while the request does (http_outlive()).
 *
 * Who may free what. evhttp frees its connection, also when we ask for it, and tells
 * connection.c, which drops the object. evhttp frees its request with the connection or once the
 * answer has left, except one it has let go of while we were still at work on it: that one is
 * freed in request_lose(). */

#include "http/park.h"
#include "http/request.h"
#include "http/server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <sys/queue.h>

struct bufferevent;
struct connection;
struct evbuffer_cb_entry;
struct evconnlistener;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evhttp_request;

/* The longest path of a route and a key, each byte of it encoded, and what comes behind. */
#define LOCATION_BYTES_MAX (3 * HTTP_KEY_BYTES_MAX + 64)

/* What http/turn.c is going to do with a request next. */
enum request_state {
    REQUEST_NONE,     /* there is none */
    REQUEST_RUNNING,  /* its handler or step is being called */
    REQUEST_QUEUED,   /* to be looked at or called from the work event */
    REQUEST_PARKED,   /* waits for a key */
    REQUEST_HELD,     /* its answer waits for the disk */
    REQUEST_SLEEPING, /* waits for http_wake() or its timer */
    REQUEST_DRAINING, /* waits for the client to take what was put */
    REQUEST_SENT      /* handed over to evhttp */
};

#define REQUEST_NO_TICKET UINT64_MAX

struct http_request {
    struct http_server *server;
    struct connection *connection;
    struct evhttp_request *evhttp; /* NULL: none, or the client is gone */
    const struct http_route *route;
    struct evbuffer *out;        /* what is put: evhttp's, or the server's scrap */
    struct evbuffer *body;       /* evhttp's, or our own once the request outlives its connection */
    struct evbuffer_ptr body_at; /* behind what was passed by */
    size_t body_passed;
    struct event *timer; /* made when first needed */
    http_step *step;
    void *step_state;
    void (*free_state)(void *state);
    const char *content_type;
    const char *fault; /* why the request was refused before a handler saw it */
    TAILQ_ENTRY(http_request) queue;
    struct park_place place;
    struct request_target target;
    struct request_query query;
    struct moment now;
    uint64_t began_us;
    uint64_t called_us;     /* when the handler or step was called */
    uint64_t wait_until_us; /* of a long poll; 0: none, or not begun */
    uint64_t ticket;        /* of a held answer; REQUEST_NO_TICKET: its turn has not ended */
    uint64_t held_us;       /* when it was held */
    uint64_t stream_left;   /* bytes still promised; HTTP_LENGTH_UNKNOWN: any number */
    uint64_t out_bytes;     /* of `out`, as charged */
    unsigned code;
    unsigned retry_after_s;
    uint8_t method;  /* enum http_method; 0: none of them */
    uint8_t allowed; /* methods of the resource, for Allow */
    uint8_t state;   /* enum request_state */
    uint8_t key_size;
    bool is_admitted : 1; /* it was looked at, and its handler may be called */
    bool is_open : 1;     /* it asks for an open route, and waits with its like */
    bool is_pretty : 1;
    bool is_head : 1;
    bool is_old : 1; /* before HTTP/1.1 */
    bool is_begun : 1;
    bool is_stream : 1;  /* headers are out */
    bool is_parking : 1; /* the handler has parked it */
    bool is_woken : 1;   /* http_wake() came while it was not asleep */
    bool is_wait_over : 1;
    bool is_holding : 1; /* its answer is to wait for the disk */
    bool is_kept : 1;    /* it has waited, and leaves */
    bool is_lost : 1;    /* or another leaves in its place */
    bool is_outliving : 1;
    bool is_broken : 1;  /* something could not be put: no memory */
    bool is_closing : 1; /* the connection cannot be used after this */
    bool has_etag : 1;
    uint16_t head_size;
    uint16_t places; /* of http-watchers that it takes; 0: no watcher */
    uint8_t key[HTTP_KEY_BYTES_MAX];
    char head[608 + LOCATION_BYTES_MAX]; /* headers of the answer that only it has */
};

enum connection_phase {
    CONNECTION_NEW,       /* accepted, evhttp's object not known yet */
    CONNECTION_IDLE,      /* nothing of a request has come */
    CONNECTION_RECEIVING, /* a request comes in */
    CONNECTION_ANSWERING, /* a request is at work or its answer leaves */
    CONNECTION_GONE       /* only the request is left */
};

struct connection {
    struct http_server *server;
    struct listener *listener;
    struct bufferevent *stream;
    struct evhttp_connection *evhttp;
    TAILQ_ENTRY(connection) all;
    uint64_t since_us;     /* the deadline of the phase counts from here */
    uint64_t upload_bytes; /* received and not yet freed */
    uint64_t output_bytes; /* handed over and not yet taken by the kernel, as charged */
    struct evbuffer_cb_entry *output_callback;
    int fd;
    uint8_t phase;         /* enum connection_phase */
    bool is_doomed;        /* over http-max-upload or http-max-memory */
    bool is_input_bounded; /* reads ahead no further than a watermark */
    bool is_head_whole;    /* the request that comes in has its headers, within their limit */
    bool is_answered;      /* evhttp wrote something while a request came in */
    bool is_reading_more;
    struct http_request request;
};

struct listener {
    struct http_server *server;
    struct evhttp *evhttp;
    struct evconnlistener *accept;     /* owned by evhttp */
    struct evhttp_bound_socket *bound; /* NULL: no longer listening */
    int fd;
    bool is_unix;
    bool is_loopback;
};

TAILQ_HEAD(connection_list, connection);
TAILQ_HEAD(request_list, http_request);

/* By descriptor: how a request of evhttp's is led back to its connection. */
struct connection_slot {
    struct connection *connection; /* NULL: none */
};

struct http_server {
    struct http_options options; /* lines_bytes_max at least document_bytes_max */
    struct event_base *base;
    struct mem *mem;
    struct mem *held; /* what requests hold: see http_options */
    struct listener *listeners;
    struct park *park;
    struct evbuffer *scrap; /* where answers to nobody go */
    struct connection_list newcomers;
    struct connection_list connections;
    struct connection_list leftovers; /* requests that outlive their connection */
    struct connection_slot *by_fd;
    size_t by_fd_count;
    struct request_list arrivals;      /* to be looked at: this turn had no more time for them */
    struct request_list arrivals_open; /* those of them that ask for open routes */
    struct request_list queue;         /* under way, to be called again */
    struct request_list keeping;       /* whose answers wait for the disk, by ticket and by time */
    struct event *work;                /* calls what is queued */
    struct event *adopt;               /* looks at newcomers */
    struct event *reap;                /* closes what cannot be closed where it is found */
    struct event *sweep;               /* deadlines */
    struct event *resume;              /* accepts again */
    struct event *cut;                 /* the end of draining */
    int spare_fd;                      /* given up to accept and close when there is no other */
    bool was_open;                     /* the last arrival taken asked for an open route */
    bool is_stopping;
    bool is_told; /* turn_wanted was called because the server has stopped */
    size_t common_size;
    char common[400];     /* headers of every answer */
    char date[40];        /* for Date */
    int64_t date_s;       /* that it was made for */
    char own_names[1024]; /* of this host, each ended by a NUL, and the list by another */
    uint64_t turn_work;   /* units, of this turn */
    uint64_t turn_us;     /* that requests that came took in it */
    struct http_stats stats;
    uint64_t places; /* of http-watchers that are taken */
};

/* -- connection.c --------------------------------------------------------------------------- */

/* Monotonic time for deadlines and step budgets; not for data. */
uint64_t connection_clock_us(void);
struct timeval connection_duration(uint64_t us);

/* Count and charge what goes in and out. False: no memory, and nobody is called back. */
bool connection_charge(struct connection *connection);

/* Of a request in evhttp's hands; NULL when there was no memory for one. */
struct connection *connection_find(const struct http_server *server,
                                   struct evhttp_request *request);

/* While a request is at work evhttp does not read, and so would not see its client go. Let it. */
void connection_watch_close(struct connection *connection);

/* The answer has left; the next request may come. */
void connection_request_done(struct connection *connection);

/* Some body was freed. */
void connection_body_drained(struct connection *connection, size_t size);

/* Charge only the bytes received that are in memory still. */
void connection_body_settle(struct connection *connection, size_t left);

/* Where answers are written to. */
struct evbuffer *connection_output(const struct connection *connection);

/* Send what was written there; with it the request is answered. Both may be gone afterwards. */
void connection_send(struct connection *connection, struct evhttp_request *request);

/* Whether evhttp frames what it is given as chunks, and ends them. */
void connection_frame(struct evhttp_request *request, bool chunks);

/* Bytes handed over that the kernel has not taken. */
size_t connection_output_bytes(const struct connection *connection);

/* Close now. The object is gone afterwards, unless its request outlives it. */
void connection_close(struct connection *connection);

/* Whether the request came before HTTP/1.1. */
bool connection_request_is_old(const struct evhttp_request *request);

/* Have accept_on_reap() called soon. */
void connection_reap_soon(struct http_server *server);

/* -- asked.c -------------------------------------------------------------------------------- */

/* The value of a header; NULL when there is none. */
const char *request_header(const struct http_request *request, const char *name);

/* -- life.c --------------------------------------------------------------------------------- */

/* The list that a request waits in for its turn. */
struct request_list *request_list(const struct http_request *request);

/* Wait there, and have turn_on_work() called. */
void request_queue(struct http_request *request);

/* Its time is over: of a parked one the wait, of others as http_wake(). */
void request_on_timer(evutil_socket_t fd, short what, void *argument);

/* Have its answer, which is whole or not begun, wait for the disk; it is queued again when it may
 * leave, or be begun. */
void request_hold(struct http_request *request);

/* Free the state of its steps. */
void request_step_end(struct http_request *request);

/* Unsent bytes that a stream may have. */
uint64_t request_window(const struct http_request *request);

/* Charge what `out` has now. */
void request_charge(struct http_request *request);

/* The client is gone before the answer was. False: nothing is left of the request. */
bool request_lose(struct http_request *request);

/* The last step of a request without a client. Its connection is gone afterwards. */
void request_leftover_end(struct http_request *request);

/* evhttp has sent the answer to this request. */
void request_on_complete(struct evhttp_request *evhttp, void *argument);

/* The server may have become empty after http_server_stop(). */
void server_look_whether_stopped(struct http_server *server);

/* -- answer.c ------------------------------------------------------------------------------- */

/* Make the headers that all answers have, from the options. */
void answer_common_make(struct http_server *server);

/* Hand a finished answer over. The request, and its connection, may be gone afterwards. */
void answer_send(struct http_request *request);

/* Hand over what a stream has put so far. */
void answer_flush(struct http_request *request);

/* End a stream. As answer_send(). */
void answer_stream_end(struct http_request *request);

#define ANSWER_STOPPING "this node is stopping; ask another one, or this one again soon"

/* What to do when held memory is used up: a sentence. */
#define ANSWER_FULL_MAX 160
void answer_full_text(const struct http_server *server, char text[ANSWER_FULL_MAX]);

/* "GET, HEAD, POST, OPTIONS". */
#define ANSWER_ALLOW_MAX 64
void answer_allow_text(uint8_t methods, char text[ANSWER_ALLOW_MAX]);

const char *answer_phrase(unsigned code);

/* -- admit.c -------------------------------------------------------------------------------- */

/* Everything that is looked at before a handler is called: framing, Host and Origin, route, who
 * may, key, query, body. False: it is answered already. */
bool request_admit(struct http_request *request, enum evhttp_cmd_type command);

/* Whether a request that nobody has looked at yet asks for an open route. Time: O(routes), however
 * long the target is; one that is a whole URL does not count. */
bool request_asks_open(const struct http_request *request);

/* -- turn.c --------------------------------------------------------------------------------- */

/* evhttp has a whole request for this listener. */
void turn_on_request(struct evhttp_request *evhttp, void *argument);

/* Event callback of the server: call what is queued. */
void turn_on_work(evutil_socket_t fd, short what, void *argument);

/* What a request does when the server stops. */
void request_stop(struct http_request *request);

/* -- accept.c ------------------------------------------------------------------------------- */

/* Begin to accept. False: no memory; `listener` is then as it was and the descriptor still the
 * caller's. */
bool accept_begin(struct http_server *server, const struct http_listener *from,
                  struct listener *listener);

/* Stop accepting for good and close the descriptor. Allowed twice. */
void accept_end(struct listener *listener);

/* The limits evhttp keeps itself, for connections to come. */
void accept_limit(struct listener *listener, const struct http_options *options);

/* Forget those nobody has looked at yet. */
void accept_newcomers_drop(struct http_server *server);

/* Event callbacks of the server: close what is doomed or, when stopping, idle; look at newcomers;
 * accept again; close what has been idle or is late. */
void accept_on_reap(evutil_socket_t fd, short what, void *argument);
void accept_on_adopt(evutil_socket_t fd, short what, void *argument);
void accept_on_resume(evutil_socket_t fd, short what, void *argument);
void accept_on_sweep(evutil_socket_t fd, short what, void *argument);

#endif /* HTTP_STATE_H */
