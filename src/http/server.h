#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

/* The HTTP server: evhttp on the daemon's event base. The server accepts, checks, routes, parks and
 * answers; of the data it knows the change feed and nothing else. The api_*.c beside it hold one
 * handler an endpoint and are the only ones that know node and view.
 *
 * How a request flows. evhttp collects it whole. The framing, the Host, the Origin, the route, the
 * query's names, the body's size and type are checked against the route's line in the table; then
 * its handler is called, once. Before it returns the handler has done one of these:
 *
 *     answered     http_begin() and http_put(), or http_problem(): leaves when the handler returns
 *     parked       http_park_until_changed(): the handler is called again, from the start
 *     continued    http_continue(): a step function is called again and again until it is done
 *
 * A handler or a step works for at most HTTP_STEP_US_MAX, never blocks, never sees evhttp, and does
 * not touch the request after it has answered and returned. When the client goes away earlier,
 * parks are forgotten and free_state is called; nothing else tells the handler.
 *
 * All requests that come in a turn share the time of one step and a budget for being looked at
 * (HTTP_TURN_WORK_MAX); those beyond it wait for the next turn, in the order in which they came,
 * but one for an open route and one for another in turn: how a node under load is can be asked at
 * any time. So do the steps of those under way, beside them.
 *
 * Everything runs on the thread of the event base, between the base's callbacks: no function here
 * calls a handler from inside itself, except the event base. SIGPIPE is ignored by main. The
 * base is created with EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: no watched descriptor is ever dup()ed.
 *
 * Called by main (create, configure, turn_end, stop) and by http/api_*.c (the rest). Never reads a
 * clock for its decisions about data: the moment comes from main.
 *
 * Sources: RFC 9110, RFC 9112 (HTTP), RFC 9457 (problem documents), RFC 6901 (pointers). */

#include "base/bytes.h"
#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct http_context; /* whatever the handlers of this table share; the server only passes it on */
struct http_request; /* opaque; lives until it is answered or its client is gone */
struct http_server;  /* opaque */
struct log;

#define HTTP_STEP_US_MAX      2000                /* a handler or a step; see http_step_is_over() */
#define HTTP_TURN_WORK_MAX    2000                /* units a turn; see http_stats.turn_work_most */
#define HTTP_OUTPUT_BYTES_MAX 262144              /* unsent bytes above which a stream waits */
#define HTTP_OUTPUT_BYTES_MIN 4096                /* the same while held memory is half used up */
#define HTTP_BODY_STEP_BYTES  65536               /* of http_body_piece(): well below a step */
#define HTTP_WAIT_US_MAX      UINT64_C(300000000) /* a long poll is cut to five minutes */
#define HTTP_KEY_BYTES_MAX    255

/* -- the table of routes ------------------------------------------------------------------- */

enum http_method {
    HTTP_GET = 1 << 0, /* takes HEAD with it */
    HTTP_POST = 1 << 1,
    HTTP_PUT = 1 << 2,
    HTTP_PATCH = 1 << 3,
    HTTP_DELETE = 1 << 4,
};

/* Who may. OPEN answers everybody; READ and WRITE are for those who may read or write. */
enum http_access { HTTP_OPEN, HTTP_READ, HTTP_WRITE };

/* How large a body may be. */
enum http_body_kind {
    HTTP_BODY_NONE,     /* any body is 400 */
    HTTP_BODY_DOCUMENT, /* document_bytes_max */
    HTTP_BODY_LINES     /* lines_bytes_max where its type is one of `lines`, else as a document */
};

typedef void http_handler(struct http_request *request, struct http_context *context);

/* One line an endpoint and set of methods. Allow, 405, 415, the 400 for unknown parameters come
 * from it. Constant; outlives the server. */
struct http_route {
    const char *path;      /* without the first '/': "keys", "stats/history", "" for the root */
    bool takes_key;        /* matches path + "/" + key; else the path alone */
    uint8_t methods;       /* set of enum http_method */
    uint8_t access;        /* enum http_access */
    uint8_t body;          /* enum http_body_kind */
    const char *query;     /* parameters it knows, "after limit match"; NULL: none but pretty */
    const char *repeated;  /* of these, those that may be given more than once */
    const char *types;     /* of bodies, "application/json text/plain"; NULL: any. No type and
                              curl's application/x-www-form-urlencoded always pass */
    const char *lines;     /* of these types, those that are read line by line or item by item */
    const char *refusal;   /* with no handler: why these methods are 405 here */
    http_handler *handler; /* NULL only with a refusal */
};

/* -- for main ------------------------------------------------------------------------------ */

struct http_listener {
    const char *text; /* as configured, for messages; lent until http_server_create() returns */
    int fd;           /* bound, listening, nonblocking, close-on-exec; owned by the server from
                            a successful http_server_create() on */
    bool is_unix;     /* the file's mode decides who may: no Host and no Origin check */
    bool is_loopback; /* else writes are 403 until is_open */
};

/* Who keeps data on disk, by tickets that rise: of all that changed by the end of a turn, of what
 * is kept, and of what was lost on its way, which may be kept or not. */
struct http_keeper {
    uint64_t (*noted)(void *shell); /* asked in http_server_turn_end() */
    uint64_t (*kept)(void *shell);
    uint64_t (*lost)(void *shell);
    /* Whether what was kept is still being loaded: then `why` has how far that is, and all but open
     * routes are 503. */
    bool (*loads)(void *shell, struct fault *why);
    uint64_t wait_us; /* that an answer waits for the disk at most */
};

/* Zero means zero; the defaults are in config/options.def. Lists are lent until the next configure
 * or free. */
struct http_options {
    const struct http_listener *listeners;
    size_t listeners_count; /* 0: it serves nobody (http-listen off) */
    const struct http_route *routes;
    size_t routes_count;
    const char *node_text; /* host:port of the X-Vignette-Node header; NULL: none. Lent likewise */

    uint64_t document_bytes_max; /* http-max-body */
    uint64_t lines_bytes_max;    /* http-max-lines */
    uint64_t upload_bytes_max;   /* http-max-upload: of all connections together */
    uint64_t header_bytes_max;   /* http-max-header: request line and headers */
    uint64_t connections_max;    /* http-max-connections */
    uint64_t timeout_us;         /* http-timeout: for a request to arrive, for an answer to
                                     be taken, for an idle connection to ask again */
    uint64_t watchers_max;       /* http-watchers */
    uint64_t watch_buffer_bytes; /* watch-buffer */
    bool is_open;                /* http-open */

    const char *const *hosts; /* http-host: names besides addresses, localhost, our host name and
                                 what /etc/hosts makes of it */
    size_t hosts_count;
    const char *const *origins; /* http-allow-origin: "https://example.org", or "*" */
    size_t origins_count;

    struct mem *mem;              /* charged with connections and parks; outlives the server */
    struct mem *held;             /* charged with what requests hold: bodies, queries, answers that
                                     were not sent. Its limit is http-max-memory: at it all but
                                     open routes are 503. NULL: mem; outlives the server */
    struct http_context *context; /* passed to the handlers; outlives the server */
    const struct http_keeper *keeper; /* NULL: nothing is kept; outlives the server */
    struct log *log;                  /* NULL: silent; outlives the server */
    void *shell;                      /* passed to both callbacks */
    /* The moment of this turn. Called before each look at a request, handler and step: a turn that
     * was asked for it is to be ended, or requests get no further. */
    struct moment (*moment)(void *shell);
    /* A handler or step ran that may have changed data or made datagrams, or the server has
     * stopped: a turn should be ended soon. May be called often; must not call the server. */
    void (*turn_wanted)(void *shell);
};

/* Serve on the listeners. *server_out is written, and the descriptors taken over, only on
 * STATUS_OK. STATUS_MEMORY, STATUS_SYSTEM otherwise; `why` says what. */
MUST_CHECK enum status http_server_create(const struct http_options *options,
                                          struct event_base *base, struct http_server **server_out,
                                          struct fault *why);

/* Drop everything: connections are closed in the middle of whatever they are doing, states are
 * freed, listening descriptors closed. NULL is allowed. Not from inside a handler. */
void http_server_free(struct http_server *server);

/* Take new limits and lists while running; listeners, routes, mem, context, shell and callbacks
 * stay as they were. Body and header limits hold for connections accepted from now on. */
void http_server_configure(struct http_server *server, const struct http_options *options);

/* Call once at the end of every turn, before the feed is emptied: runs again what waited for one
 * of these keys. Calls no handler itself: they run from the event base, in the next turn. Requests
 * to come have a budget of their own again.
 * Time: O(changes), and nothing when nobody is parked. */
void http_server_turn_end(struct http_server *server, struct changes changes);

/* More is kept or lost by now: the answers that waited for it leave soon. Time O(those). */
void http_server_kept(struct http_server *server);

/* Begin to stop: accept nothing more, close idle connections, end watch streams, answer long polls
 * with 503, finish what is under way for at most drain_us, then cut. turn_wanted
 * is called when it is over. */
void http_server_stop(struct http_server *server, uint64_t drain_us);
bool http_server_is_stopped(const struct http_server *server);

/* Why requests were turned away before a handler saw them. */
#define HTTP_REFUSED_LIST(X)                                                    \
    X(HTTP_REFUSED_FRAMING, "framing")         /* could be read in two ways */  \
    X(HTTP_REFUSED_HOST, "host")               /* a foreign Host or Origin */   \
    X(HTTP_REFUSED_ROUTE, "route")             /* 400, 404, 405, 415, 417 */    \
    X(HTTP_REFUSED_CLOSED, "closed")           /* a write where http-open no */ \
    X(HTTP_REFUSED_BODY, "body")               /* too large for its route */    \
    X(HTTP_REFUSED_UPLOAD, "upload")           /* http-max-upload */            \
    X(HTTP_REFUSED_CONNECTIONS, "connections") /* http-max-connections */       \
    X(HTTP_REFUSED_DESCRIPTORS, "descriptors") /* none left to accept with */   \
    X(HTTP_REFUSED_TIMEOUT, "timeout")         /* cut: too slow, either way */  \
    X(HTTP_REFUSED_WATCHERS, "watchers")       /* http-watchers */              \
    X(HTTP_REFUSED_MEMORY, "memory")           /* no memory for the request */

enum http_refused {
#define X(code, label) code,
    HTTP_REFUSED_LIST(X)
#undef X
        HTTP_REFUSED_COUNT
};
const char *http_refused_label(enum http_refused reason);

#define HTTP_CLASSES          6  /* answers 1xx..5xx by code / 100 */
#define HTTP_DURATION_BUCKETS 12 /* the last is "any" */

struct http_stats {
    uint64_t answers[HTTP_CLASSES];
    uint64_t refused[HTTP_REFUSED_COUNT];
    uint64_t accepted; /* connections, ever */
    uint64_t connections;
    uint64_t upload_bytes; /* received for requests not yet freed, now */
    uint64_t received_bytes;
    uint64_t parked;    /* waiting for a change, now */
    uint64_t holding;   /* whose answers wait for the disk, now */
    uint64_t unknown;   /* answers that were lost there */
    uint64_t stepping;  /* continued in steps, now; watchers too */
    uint64_t watchers;  /* now */
    uint64_t abandoned; /* clients gone before their answer */
    /* From the whole request to its answer handed over; parks and watchers not counted. */
    uint64_t durations[HTTP_DURATION_BUCKETS];
    uint64_t duration_us_sum;
    /* The most that looking at requests cost in one turn, in units that are the same on every
     * machine: sixteen a request, one for each 64 bytes of its target and one for each parameter,
     * up to a microsecond each. A turn begins no request once HTTP_TURN_WORK_MAX are used up, so
     * that it has at most those and one request's. */
    uint64_t turn_work_most;
};
const struct http_stats *http_server_stats(const struct http_server *server);

/* Upper bounds of the buckets in microseconds; the last is UINT64_MAX. */
extern const uint64_t http_duration_bounds_us[HTTP_DURATION_BUCKETS];

/* -- for handlers: the request -------------------------------------------------------------- */

/* Views live as long as the request unless they say otherwise. */

struct moment http_now(const struct http_request *request); /* of this call of handler or step */
struct http_server *http_server_of(const struct http_request *request);

/* All after the route's path, decoded once: 1..255 bytes of UTF-8 without NUL. Empty when the
 * route takes none. */
struct bytes http_key(const struct http_request *request);

/* The value of a parameter, decoded ('+' is a space), "" when it has none; of one given more than
 * once the first. False when it is not there. A name not in the route's query is never found. */
bool http_query(const struct http_request *request, const char *name, struct bytes *value_out);

/* All values of a parameter, one a call. *at is 0 before the first call. False: there are no more.
 * All calls together look at each parameter once. */
bool http_query_next(const struct http_request *request, const char *name, size_t *at,
                     struct bytes *value_out);
/* A parameter that is not among these words, nor pretty. False: there is none. */
bool http_query_beside(const struct http_request *request, const char *words,
                       struct bytes *name_out);

/* Set *on by a parameter that is a flag; without it *on stays. False: its value is no word for on
 * or off, and the request is refused. */
bool http_query_flag(struct http_request *request, const char *name, bool *on);
size_t http_query_count(const struct http_request *request, const char *name);
bool http_is_pretty(const struct http_request *request);

/* The value of a header, the first of that name; data NULL when there is none. */
struct bytes http_header(const struct http_request *request, const char *name);

/* Whether the body's Content-Type is this one, parameters and case aside. Empty matches a missing
 * type. */
bool http_type_is(const struct http_request *request, const char *type);

/* How much Accept asks for this type: more is more, 0 not at all. Of equal q the type that is named
 * more closely counts for more; without Accept all types count the same. */
unsigned http_accepts(const struct http_request *request, const char *type);

/* Whether Prefer (RFC 7240) has this preference, "return=minimal", parameters aside. */
bool http_prefers(const struct http_request *request, const char *preference);

/* The body, read from its front. What was drained is freed and gone; the rest waits. */
size_t http_body_size(const struct http_request *request);

/* The whole body in one piece; for documents. Until the next call that touches the body. Data is
 * NULL with size > 0 when there was no memory to put it in one piece. */
struct bytes http_body(struct http_request *request);

/* The first min(size, http_body_size()) bytes in one piece; same lifetime, same failure. */
struct bytes http_body_front(struct http_request *request, size_t size);
void http_body_drain(struct http_request *request, size_t size);

/* What comes next of the body as it lies in memory, without a copy: at most HTTP_BODY_STEP_BYTES,
 * none at its end. Same lifetime. */
struct bytes http_body_piece(struct http_request *request);

/* For reading a body twice: go on behind the next bytes, which stay, and back to its front. While
 * some are passed by none may be drained. */
void http_body_pass(struct http_request *request, size_t size);
void http_body_rewind(struct http_request *request);

/* -- for handlers: answers ------------------------------------------------------------------ */

/* Begin an answer and append to it; it leaves, with its length, when the handler returns or its
 * step is done. `content_type` is a literal. Headers are added before or after, until then. */
void http_begin(struct http_request *request, unsigned code, const char *content_type);
void http_put(struct http_request *request, struct bytes bytes);

/* The answer that is or will be begun leaves once all that was changed up to the end of this turn
 * is kept. Where that fails or takes longer than the keeper waits, 503 leaves in its place, and
 * says that the outcome is unknown. Nothing to wait for: nothing waits.
 *
 * True: it is going to wait. A whole answer may be begun all the same; for one that is a stream,
 * whose code is out before its end, the step returns HTTP_STEP_AGAIN before it begins, and is
 * called again once it may, when this is false: what waits then is what the answer is made of, and
 * not its text, which is many times as long. */
bool http_hold(struct http_request *request);

/* Begin an answer that leaves as it is put, at the end of each step: chunked, or with a length
 * when it is known and kept exactly. It ends when the step is done or the handler returns without
 * having continued. A HEAD gets the headers and its steps are never called. */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
void http_stream_begin(struct http_request *request, unsigned code, const char *content_type,
                       uint64_t length);

/* Bytes put and not yet taken by the kernel. */
size_t http_output_bytes(const struct http_request *request);

/* A header of the answer; before http_stream_begin() or until an answer leaves. Copied. The value
 * must not hold CR or LF: asserted. */
void http_header_add(struct http_request *request, const char *name, const char *value);

/* The Location of the answer: the path that was asked for and what comes behind it, which needs no
 * encoding. While the target is there (see http_outlive()). */
void http_location(struct http_request *request, struct bytes behind);

/* The ETag of the answer (sixteen hex digits) with Vary: Accept. */
void http_etag(struct http_request *request, uint64_t digest);

/* Whether the request's If-None-Match names this digest; "*" does not. */
bool http_etag_matches(const struct http_request *request, uint64_t digest);

/* Answer 304 with that ETag. */
void http_not_modified(struct http_request *request, uint64_t digest);

/* Seconds in Retry-After; 429 and 503 get 1 without it. */
void http_retry_after(struct http_request *request, unsigned seconds);

/* How much of a body was applied before it could not go on. */
struct http_applied {
    uint64_t keys;     /* updates that are whole */
    uint64_t elements; /* theirs, and those of the next one that are in: ascending by index */
};

/* Where in the body something is wrong, or how far it came. */
struct http_place {
    struct bytes pointer;               /* RFC 6901, without the quotes; data NULL: none */
    uint64_t line;                      /* from 1; 0: none */
    const struct http_applied *applied; /* NULL: nothing was changed */
    bool is_unknown;                    /* whether it is kept: member "outcome" */
};

/* Answer with an RFC 9457 problem. What was begun and not yet sent is thrown away; a stream under
 * way is cut. 405 gets its Allow, 415 its Accept by themselves.
 *
 * place  NULL: the body is not at fault */
void http_problem(struct http_request *request, unsigned code, const struct fault *why,
                  const struct http_place *place);

/* The same with a detail made on the spot. */
void http_refuse(struct http_request *request, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 503: what requests hold has reached http-max-memory. */
void http_refuse_memory(struct http_request *request);

/* Long poll: call the handler again when this key changes, ends or is born, or the wait is over.
 *
 * key      lent until the request ends, as http_key() is
 * wait_us  from the first call for this request on; cut to HTTP_WAIT_US_MAX
 *
 * False: the wait is over (or the server stops), answer now. True: return
 * without having begun an answer. */
bool http_park_until_changed(struct http_request *request, struct bytes key, uint64_t wait_us);

/* Whether it has waited so: its key changed or ended, or the wait is over. */
bool http_has_waited(const struct http_request *request);

/* -- for handlers: steps -------------------------------------------------------------------- */

enum http_step {
    HTTP_STEP_AGAIN, /* call me again when others had their turn and the output has room */
    HTTP_STEP_SLEEP, /* call me again after http_wake() or when the timer is due */
    HTTP_STEP_DONE,  /* the answer is complete */
    HTTP_STEP_ABORT  /* close the connection without completing the answer */
};
typedef enum http_step http_step(struct http_request *request, struct http_context *context,
                                 void *state);

/* Work on in steps, the first one in the next turn of the loop. Called again from within a step,
 * it changes to another step function with another state; the old state is freed then if it is not
 * the same.
 *
 * state       NULL is allowed
 * free_state  called exactly once, when the request ends in whatever way; NULL: nothing to free */
void http_continue(struct http_request *request, http_step *step, void *state,
                   void (*free_state)(void *state));

/* True once the running handler or step has used up HTTP_STEP_US_MAX, or its stream has put as much
 * as may wait to be sent: return HTTP_STEP_AGAIN. False at the start of a step. */
bool http_step_is_over(const struct http_request *request);

/* Run a sleeping step soon. Harmless when it is not asleep: it then does not sleep next time. */
void http_wake(struct http_request *request);

/* Wake it that long from now, once; 0: take the timer back. */
void http_timer(struct http_request *request, uint64_t us);

/* From here on the steps run to their end even if the client goes away: for an update that is half
 * applied. What they answer is then thrown away; headers and target are not there any more, key,
 * query and body are. False: no memory, nothing changed: answer 503 before applying anything. */
bool http_outlive(struct http_request *request);

/* False: its client is gone or the server stops. What is being waited for is not worth it. */
bool http_may_wait(const struct http_request *request);

/* Count the request as a watcher until it ends: it takes so many of watchers_max places, one for
 * each key or pattern that every change is compared with, since that work is done in every turn.
 * False where there are not so many left: answer 503. */
bool http_watcher_begin(struct http_request *request, size_t places);
uint64_t http_watch_buffer_bytes(const struct http_request *request);

#endif /* HTTP_SERVER_H */
