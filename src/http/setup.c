/* The server from its creation to its end, for main. */

#include "http/state.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SWEEP_US_MAX     UINT64_C(1000000)
#define SWEEP_US_MIN     UINT64_C(10000)
#define SWEEPS_A_TIMEOUT 8

/* -- figures ----------------------------------------------------------------------------------- */

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

const struct http_stats *http_server_stats(const struct http_server *server)
{
    return &server->stats;
}

/* -- options ----------------------------------------------------------------------------------- */

static void options_judge(struct http_options *options)
{
    assert(options->document_bytes_max > 0 && options->header_bytes_max > 0);
    assert(options->connections_max > 0 && options->timeout_us > 0);
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
    interval = connection_duration(us);
    event_add(server->sweep, &interval);
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
    server->options.keeper = old.keeper;
    server->options.log = old.log;
    server->options.shell = old.shell;
    server->options.moment = old.moment;
    server->options.turn_wanted = old.turn_wanted;
    options_judge(&server->options);
    answer_common_make(server);
    for (size_t i = 0; i < old.listeners_count; i++) {
        accept_limit(&server->listeners[i], &server->options);
    }
    sweep_schedule(server);
}

/* -- creation ---------------------------------------------------------------------------------- */

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
        request_leftover_end(&connection->request);
    }
}

static bool events_make(struct http_server *server)
{
    struct event_base *base = server->base;

    server->work = evtimer_new(base, turn_on_work, server);
    server->adopt = event_new(base, -1, 0, accept_on_adopt, server);
    server->reap = event_new(base, -1, 0, accept_on_reap, server);
    server->sweep = event_new(base, -1, EV_PERSIST, accept_on_sweep, server);
    server->resume = evtimer_new(base, accept_on_resume, server);
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
    const size_t listeners_count = server->options.listeners_count;
    uint8_t secret[16];

    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret) {
        return false;
    }
    if (listeners_count > 0) {
        server->listeners =
            mem_alloc_zeroed(server->mem, listeners_count * sizeof *server->listeners);
    }
    server->park = park_create(server->mem, secret);
    server->scrap = evbuffer_new();
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    own_names_find(server);
    return (server->listeners != NULL || listeners_count == 0) && server->park != NULL
           && server->scrap != NULL && events_make(server);
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
    TAILQ_INIT(&server->keeping);
    options_judge(&server->options);
    answer_common_make(server);
    if (!parts_make(server)) {
        goto free_server;
    }
    for (size_t i = 0; i < options->listeners_count; i++) {
        if (!accept_begin(server, &options->listeners[i], &server->listeners[i])) {
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

/* -- the end ----------------------------------------------------------------------------------- */

void http_server_stop(struct http_server *server, uint64_t drain_us)
{
    const struct timeval drain = connection_duration(drain_us);
    struct connection *connection = TAILQ_FIRST(&server->connections);

    server->is_stopping = true;
    event_del(server->resume);
    for (size_t i = 0; i < server->options.listeners_count; i++) {
        accept_end(&server->listeners[i]);
    }
    while (connection != NULL) {
        struct connection *const next = TAILQ_NEXT(connection, all);

        request_stop(&connection->request);
        connection = next;
    }
    event_add(server->cut, &drain);
    connection_reap_soon(server);
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

    server->is_told = true; /* the caller knows: no word of the end */
    on_cut(-1, EV_TIMEOUT, server);
    accept_newcomers_drop(server);
    for (size_t i = 0; i < count; i++) {
        accept_end(&server->listeners[i]);
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
    mem_free(mem, server, sizeof *server);
}
