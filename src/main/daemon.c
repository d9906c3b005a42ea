#include "main/daemon.h"

#include "base/hash.h"
#include "http/api.h"
#include "http/routes.h"
#include "http/watch.h"
#include "main/backup.h"
#include "main/libevent.h"
#include "main/report.h"
#include "main/settings.h"
#include "main/storage.h"
#include "net/listen.h"
#include "net/notify.h"
#include "net/udp.h"
#include "store/digest.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAEMON_UNIX_PATH_MAX 108   /* what sun_path holds */
#define DAEMON_PORT_TRIES    16    /* port 0: one number that is free in UDP and in TCP */
#define DAEMON_DRAIN_MS      5000  /* answers under way when we stop */
#define DAEMON_LEAVE_MS      500   /* acks of `left` */
#define DAEMON_KEEP_MS       60000 /* what is to be kept, while the disk takes it */
#define DAEMON_STAND_US      UINT64_C(5000000)         /* without a word of the disk: it is left */
#define DAEMON_HOLD_US       UINT64_C(10000000)        /* for an answer: few clients wait longer */
#define DAEMON_DISK_MS       2000                      /* for what the disk is at, at the end */
#define DAEMON_PEERS_US      UINT64_C(60000000)        /* between two looks at whom we know */
#define DAEMON_ALONE_US      UINT64_C(1000000)         /* the same while we know nobody */
#define DAEMON_TIMER_MIN_US  1000                      /* the loop's own clock has milliseconds */
#define VERSION_OF(...)      NODE_VERSION(__VA_ARGS__) /* three numbers that come as one argument */
#define DAEMON_NODE_BYTES    (UINT64_C(256) << 20)     /* 8,192 peers and their queues fit */

struct daemon {
    struct daemon_options options;
    const struct config *config;
    struct event_base *base;
    struct event *turn;
    struct event *timer;
    struct event *second;
    struct event *stop_check;
    struct event *signals[3];
    struct udp *udp;
    struct resolver *resolver;
    struct http_server *server;
    struct http_context context;
    struct table *table;
    struct node *node; /* these two once all is loaded */
    struct report *report;
    struct storage *storage; /* NULL: memory only */
    struct backup *backup;
    uint64_t peers_us;  /* mono: when those we know are noted for the next start */
    struct fault fault; /* why it cannot go on; code STATUS_OK: it can */
    struct mem store_mem;
    struct mem node_mem;
    struct mem server_mem; /* connections */
    struct mem http_mem;   /* what requests hold */
    struct moment now;     /* of this pass of the loop; mono_us 0: not read yet */
    uint64_t timer_us;     /* when the timer is set to; UINT64_MAX: not set */
    uint64_t stop_us;      /* when we stop waiting for others; 0: not stopping */
    struct address bound;
    struct address self;
    struct settings_lists lists[2]; /* of the node's options now and before a reload */
    unsigned list;
    struct node_options node_options;
    struct http_listener listeners[SETTINGS_LISTENERS_MAX];
    char listener_texts[SETTINGS_LISTENERS_MAX][ADDRESS_TEXT_MAX + 1];
    size_t listeners_count;
    char unix_paths[SETTINGS_LISTENERS_MAX][DAEMON_UNIX_PATH_MAX]; /* files that we made */
    size_t unix_paths_count;
    struct resolve_seed seeds[NODE_SEEDS_MAX];
    char self_text[ADDRESS_TEXT_MAX + 1];
    uint16_t http_port; /* that peers may be told; 0: none */
    bool has_watchdog;  /* the service manager ends us when we do not speak up */
};

static void daemon_wanted(void *owner)
{
    struct daemon *daemon = owner;

    event_active(daemon->turn, 0, 0);
}

/* The moment of this pass of the loop. Whoever asks has work to do, so a turn will end the pass. */
static struct moment daemon_moment(void *owner)
{
    struct daemon *daemon = owner;

    if (daemon->now.mono_us == 0) {
        daemon->now = process_moment();
        daemon_wanted(daemon);
    }
    return daemon->now;
}

static void daemon_on_datagram(void *owner, const struct address *from, struct bytes datagram)
{
    struct daemon *daemon = owner;

    node_receive(daemon->node, daemon_moment(daemon), from, datagram);
}

static bool daemon_allows(void *owner)
{
    const struct daemon *daemon = owner;

    return node_work_allows(daemon->node);
}

static size_t daemon_emit(void *owner, struct space space, struct address *to)
{
    struct daemon *daemon = owner;

    return node_emit(daemon->node, daemon->now, space, to);
}

/* When something is due though nothing comes. */
static uint64_t daemon_due_us(const struct daemon *daemon)
{
    const uint64_t node_us = daemon->node == NULL ? UINT64_MAX : node_due_us(daemon->node);
    const uint64_t disk_us = daemon->storage == NULL ? UINT64_MAX : storage_due_us(daemon->storage);
    const uint64_t backup_us = backup_due_us(daemon->backup);
    const uint64_t least_us = node_us < disk_us ? node_us : disk_us;

    return least_us < backup_us ? least_us : backup_us;
}

/* Set the timer for that. */
static void daemon_set_timer(struct daemon *daemon)
{
    const uint64_t due_us = daemon_due_us(daemon);
    struct timeval wait;
    uint64_t wait_us;

    if (due_us == daemon->timer_us && due_us != UINT64_MAX && due_us > daemon->now.mono_us) {
        return;
    }
    daemon->timer_us = due_us;
    if (due_us == UINT64_MAX) {
        (void)event_del(daemon->timer);
        return;
    }
    wait_us = due_us > daemon->now.mono_us ? due_us - daemon->now.mono_us : 0;
    if (wait_us < DAEMON_TIMER_MIN_US) {
        wait_us = DAEMON_TIMER_MIN_US;
    }
    wait.tv_sec = (time_t)(wait_us / 1000000);
    wait.tv_usec = (suseconds_t)(wait_us % 1000000);
    (void)event_add(daemon->timer, &wait);
}

/* Whom we know, for the next start. */
static void daemon_note_peers(struct daemon *daemon)
{
    struct disk_peers peers = { .contact_s = daemon->now.unix_s };
    struct peer_view views[DISK_PEERS_MAX];
    const size_t count = node_peers(daemon->node, NULL, views, DISK_PEERS_MAX);

    for (size_t i = 0; i < count; i++) {
        if (views[i].state == PEER_ALIVE) {
            peers.list[peers.count++] = views[i].address;
        }
    }
    if (peers.count > 0) {
        journal_note_peers(storage_journal(daemon->storage), &peers);
    }
    daemon->peers_us = daemon->now.mono_us + (peers.count > 0 ? DAEMON_PEERS_US : DAEMON_ALONE_US);
}

static void daemon_keep(struct daemon *daemon, struct changes changes)
{
    backup_note(daemon->backup, changes);
    if (daemon->storage == NULL) {
        return;
    }
    journal_note(storage_journal(daemon->storage), changes);
    if (daemon->now.mono_us >= daemon->peers_us) {
        daemon_note_peers(daemon);
    }
}

/* The turn before there is a node. */
static void daemon_load_on(struct daemon *daemon)
{
    http_server_turn_end(daemon->server, (struct changes){ .count = 0 });
    storage_turn_end(daemon->storage, daemon->now);
    daemon_set_timer(daemon);
    daemon->now.mono_us = 0;
}

/* The turn: what everything that happens ends in. See node/node.h. */
static void daemon_on_turn(evutil_socket_t fd, short events, void *argument)
{
    static const struct timeval at_once = { 0, 0 };
    struct daemon *daemon = argument;
    struct changes changes;

    (void)fd;
    (void)events;
    if (daemon->now.mono_us == 0) {
        daemon->now = process_moment();
    }
    if (daemon->node == NULL) {
        daemon_load_on(daemon);
        return;
    }
    if (daemon->now.mono_us >= node_due_us(daemon->node)) {
        node_tick(daemon->node, daemon->now);
    }
    changes = node_changes(daemon->node);
    daemon_keep(daemon, changes);
    if (!watch_note(daemon->context.watch, changes)) {
        (void)event_add(daemon->turn, &at_once); /* a timer: the sockets come first */
    }
    http_server_turn_end(daemon->server, changes);
    udp_send(daemon->udp, daemon_emit, daemon);
    node_turn_end(daemon->node);
    if (daemon->storage != NULL) {
        storage_turn_end(daemon->storage, daemon->now);
    }
    backup_turn_end(daemon->backup, daemon->now);
    report_events(daemon->report, daemon->now.mono_us);
    daemon_set_timer(daemon);
    daemon->now.mono_us = 0;
}

static void daemon_on_timer(evutil_socket_t fd, short events, void *argument)
{
    struct daemon *daemon = argument;

    (void)fd;
    (void)events;
    daemon->timer_us = UINT64_MAX;
    daemon_wanted(daemon);
}

static void daemon_on_second(evutil_socket_t fd, short events, void *argument)
{
    struct daemon *daemon = argument;

    (void)fd;
    (void)events;
    if (daemon->report != NULL) {
        report_changes(daemon->report, process_moment().mono_us);
    }
    if (daemon->has_watchdog) {
        (void)notify_send("WATCHDOG=1"); /* the loop turns: that is what a watchdog wants to know */
    }
}

static void daemon_on_resolved(void *owner, const struct address *addresses, size_t count)
{
    struct daemon *daemon = owner;

    node_seeds(daemon->node, daemon_moment(daemon), addresses, count);
    report_seeds(daemon->report, addresses, count, daemon->now.mono_us);
}

/* Something is on disk, or may never be: who waits for it is answered. */
static void daemon_on_kept(void *owner)
{
    struct daemon *daemon = owner;

    http_server_kept(daemon->server);
}

/* -- stopping ------------------------------------------------------------------------------ */

/* To be asked once nothing more is taken: all of that is to be kept. */
static bool daemon_has_kept(struct daemon *daemon, uint64_t now_us)
{
    if (daemon->storage == NULL) {
        return true;
    }
    storage_stop(daemon->storage);
    return storage_has_stopped(daemon->storage)
           || storage_stands_us(daemon->storage, now_us) >= DAEMON_STAND_US
           || now_us >= daemon->stop_us + DAEMON_KEEP_MS * 1000;
}

static void daemon_on_stop_check(evutil_socket_t fd, short events, void *argument)
{
    struct daemon *daemon = argument;
    const uint64_t now_us = daemon_moment(daemon).mono_us;
    const bool has_left = daemon->node == NULL || node_has_left(daemon->node)
                          || now_us >= daemon->stop_us + DAEMON_LEAVE_MS * 1000;
    const bool has_answered = http_server_is_stopped(daemon->server)
                              || now_us >= daemon->stop_us + DAEMON_DRAIN_MS * 1000;
    const bool has_backed_up = backup_view(daemon->backup)->state != API_BACKUP_UNDER_WAY
                               || now_us >= daemon->stop_us + DAEMON_DRAIN_MS * 1000;

    (void)fd;
    (void)events;
    if (has_left && has_answered && has_backed_up && daemon_has_kept(daemon, now_us)) {
        (void)event_base_loopbreak(daemon->base);
    }
}

static void daemon_on_stop(evutil_socket_t signal, short events, void *argument)
{
    static const struct timeval often = { .tv_usec = 10000 };
    struct daemon *daemon = argument;
    const struct moment now = daemon_moment(daemon);

    (void)events;
    if (daemon->stop_us != 0) { /* asked twice: at once */
        (void)event_base_loopbreak(daemon->base);
        return;
    }
    daemon->stop_us = now.mono_us;
    log_event(daemon->options.log, LOG_LEVEL_INFO, "stopping",
              log_string("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"));
    (void)notify_send("STOPPING=1");
    resolver_stop(daemon->resolver);
    if (daemon->node != NULL) {
        node_leave(daemon->node, now);
    }
    if (daemon->storage != NULL && daemon->node != NULL) {
        daemon_note_peers(daemon);
    }
    backup_cancel(daemon->backup, "this node is stopping: nothing is kept of the backup");
    http_server_stop(daemon->server, DAEMON_DRAIN_MS * 1000);
    (void)event_add(daemon->stop_check, &often);
}

static void daemon_on_reload(evutil_socket_t signal, short events, void *argument)
{
    struct daemon *daemon = argument;
    char reloading[64];

    (void)signal;
    (void)events;
    if (daemon->stop_us != 0) {
        return; /* seeds would be asked for again */
    }
    if (daemon->node == NULL) { /* READY=1 would say that all is loaded */
        daemon->options.reload(daemon->options.owner);
        return;
    }
    /* systemd wants the moment too, to tell this reload from an earlier one. */
    (void)snprintf(reloading, sizeof reloading, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)daemon_moment(daemon).mono_us);
    (void)notify_send(reloading);
    daemon->options.reload(daemon->options.owner);
    (void)notify_send("READY=1");
}

/* -- starting ------------------------------------------------------------------------------ */

static enum status daemon_open_udp(struct daemon *daemon, uint16_t port, struct fault *why)
{
    struct udp_options options = { .base = daemon->base,
                                   .receive_buffer_bytes = daemon->config->receive_buffer_bytes,
                                   .owner = daemon,
                                   .receive = daemon_on_datagram,
                                   .wanted = daemon_wanted,
                                   .allows = daemon_allows };
    enum status status = settings_listen(daemon->config, &options.listen, why);

    if (status != STATUS_OK) {
        return status;
    }
    if (port != 0) {
        options.listen.port = port;
    }
    status = udp_open(&options, &daemon->udp, why);
    if (status == STATUS_OK) {
        daemon->bound = udp_address(daemon->udp);
    }
    return status;
}

static struct http_listener *daemon_new_listener(struct daemon *daemon)
{
    struct http_listener *listener = &daemon->listeners[daemon->listeners_count];

    listener->text = daemon->listener_texts[daemon->listeners_count];
    daemon->listeners_count++;
    return listener;
}

static enum status daemon_listen_tcp(struct daemon *daemon, struct address address,
                                     struct fault *why)
{
    struct http_listener *listener = daemon_new_listener(daemon);
    char *text = daemon->listener_texts[listener - daemon->listeners];
    const enum status status = listen_tcp(&address, &listener->fd, why);

    if (status != STATUS_OK) {
        daemon->listeners_count--;
        return status;
    }
    text[address_to_text(&address, text)] = '\0';
    listener->is_loopback = address_is_loopback(&address);
    /* Peers are told a port that they could reach. */
    if (daemon->http_port == 0 && (!listener->is_loopback || address_is_loopback(&daemon->bound))) {
        daemon->http_port = address.port;
    }
    return STATUS_OK;
}

static enum status daemon_listen_one(struct daemon *daemon, const char *text, struct fault *why)
{
    struct resolve_seed endpoint;
    struct address address;
    char host[ADDRESS_TEXT_MAX + 1];
    enum status status;
    bool good;

    if (strncmp(text, "unix:", 5) == 0) {
        struct http_listener *listener = daemon_new_listener(daemon);

        listener->is_unix = true;
        listener->text = text;
        status = listen_unix(text + 5, &listener->fd, why);
        daemon->listeners_count -= status != STATUS_OK;
        if (status == STATUS_OK) {
            (void)snprintf(daemon->unix_paths[daemon->unix_paths_count++], DAEMON_UNIX_PATH_MAX,
                           "%s", text + 5);
        }
        return status;
    }
    host[address_ip_to_text(&daemon->bound, host)] = '\0';
    good = resolve_seed_from_text(text, host, &endpoint);
    assert(good);
    status = resolve_now(&endpoint, &address, why);
    return status == STATUS_OK ? daemon_listen_tcp(daemon, address, why) : status;
}

static enum status daemon_listen(struct daemon *daemon, struct fault *why)
{
    const struct config_list *list = &daemon->config->http_listen;

    if (list->count == 0) {
        return daemon_listen_tcp(daemon, daemon->bound, why);
    }
    assert(list->count <= SETTINGS_LISTENERS_MAX);
    for (size_t i = 0; i < list->count && strcmp(list->texts[i], "off") != 0; i++) {
        const enum status status = daemon_listen_one(daemon, list->texts[i], why);

        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Remove the files of Unix sockets that we made, and no others: a start that failed because another
 * daemon has the path must leave it there. */
static void daemon_remove_unix(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->unix_paths_count; i++) {
        (void)unlink(daemon->unix_paths[i]);
    }
    daemon->unix_paths_count = 0;
}

static void daemon_close_listeners(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->listeners_count; i++) {
        (void)close(daemon->listeners[i].fd);
    }
    daemon->listeners_count = 0;
    daemon_remove_unix(daemon);
}

/* Gossip and HTTP sockets. Port 0 is one number for both: tried until one is free in both. */
static enum status daemon_bind(struct daemon *daemon, struct fault *why)
{
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < DAEMON_PORT_TRIES; i++) {
        struct address listen;

        status = daemon_open_udp(daemon, 0, why);
        if (status != STATUS_OK) {
            return status;
        }
        status = daemon_listen(daemon, why);
        if (status == STATUS_OK) {
            return STATUS_OK;
        }
        daemon_close_listeners(daemon);
        daemon->http_port = 0;
        if (settings_listen(daemon->config, &listen, why) != STATUS_OK || listen.port != 0) {
            return status;
        }
        udp_close(daemon->udp);
        daemon->udp = NULL;
    }
    return status;
}

/* The settings of the node that come with a configuration. */
static void daemon_set_node(struct daemon *daemon, const struct config *config, unsigned list,
                            struct node_options *options)
{
    settings_node(config, &daemon->lists[list], options);
    options->trace = (struct trace_listener){ .tell = NULL };
    if (config->log_level == LOG_LEVEL_TRACE) {
        options->trace = (struct trace_listener){ report_trace, daemon->options.log };
    }
}

/* The table, without a limit on keys: what was kept is never refused. */
static enum status daemon_build_table(struct daemon *daemon, struct fault *why)
{
    const struct config *config = daemon->config;
    struct table_options table = { .mem = &daemon->store_mem, .digest_mask = UINT64_MAX };
    const enum status status = process_random(table.hash_secret, sizeof table.hash_secret, why);

    if (status != STATUS_OK) {
        return status;
    }
    table.cluster_id = digest_cluster_id(
        (struct bytes){ (const uint8_t *)config->cluster, strlen(config->cluster) });
    daemon->node_options.cluster_id = table.cluster_id;
    daemon->store_mem.limit_bytes = config->max_memory_bytes;
    if (table_create(&table, &daemon->table) != STATUS_OK) {
        return fault_set(why, STATUS_MEMORY, "no memory for the store: raise max-memory");
    }
    return STATUS_OK;
}

/* The node, over what the table has by now. */
static enum status daemon_build_node(struct daemon *daemon, struct fault *why)
{
    struct node_options *node = &daemon->node_options;
    const struct moment now = daemon_moment(daemon);
    enum status status = process_random(node->token_secret, sizeof node->token_secret, why);

    if (status == STATUS_OK) {
        status = process_random(&node->seed, sizeof node->seed, why);
    }
    if (status != STATUS_OK) {
        return status;
    }
    table_set_keys_max(daemon->table, daemon->config->max_keys);
    daemon->node_mem.limit_bytes = DAEMON_NODE_BYTES;
    node->self = daemon->self;
    node->http_port = daemon->http_port;
    node->version = VERSION_OF(VERSION_NUMBERS);
    daemon_set_node(daemon, daemon->config, daemon->list, node);
    if (daemon->storage != NULL) {
        node->start_s_min = storage_start_s(daemon->storage, now.unix_s);
        storage_started(daemon->storage,
                        node->start_s_min > now.unix_s ? node->start_s_min : now.unix_s);
    }
    if (node_create(node, &daemon->node_mem, daemon->table, now, &daemon->node) != STATUS_OK) {
        return fault_set(why, STATUS_MEMORY, "no memory for the store: raise max-memory");
    }
    daemon->context.node = daemon->node;
    return STATUS_OK;
}

static struct api_socket daemon_socket(void *shell)
{
    const struct daemon *daemon = shell;
    const struct udp_stats udp = udp_stats(daemon->udp);

    return (struct api_socket){ .kernel_drops = udp.receive_drops,
                                .send_errors = udp.send_errors,
                                .send_blocked = udp.send_blocked,
                                .receive_buffer_bytes = udp.receive_buffer_bytes };
}

/* -- what http asks of the disk --------------------------------------------------------------- */

static struct api_disk daemon_disk(void *shell)
{
    const struct daemon *daemon = shell;

    return storage_view(daemon->storage);
}

static uint64_t daemon_noted(void *shell)
{
    const struct daemon *daemon = shell;

    return journal_ticket(storage_journal(daemon->storage));
}

static uint64_t daemon_kept(void *shell)
{
    const struct daemon *daemon = shell;

    return journal_kept(storage_journal(daemon->storage));
}

static uint64_t daemon_lost(void *shell)
{
    const struct daemon *daemon = shell;

    return journal_lost(storage_journal(daemon->storage));
}

static bool daemon_loads(void *shell, struct fault *why)
{
    const struct daemon *daemon = shell;

    return daemon->node == NULL && storage_loads(daemon->storage, why);
}

static const struct http_keeper daemon_keeper = { .noted = daemon_noted,
                                                  .kept = daemon_kept,
                                                  .lost = daemon_lost,
                                                  .loads = daemon_loads,
                                                  .wait_us = DAEMON_HOLD_US };

/* What requests go by of the configuration in force. */
static void daemon_set_requests(struct daemon *daemon)
{
    struct settings_lists *lists = &daemon->lists[daemon->list];

    daemon->context.keeps = lists->keeps;
    daemon->context.keeps_count = settings_keeps(daemon->config, lists);
    backup_configure(daemon->backup, daemon->config->backup_dir);
}

static enum status daemon_build_http(struct daemon *daemon, struct fault *why)
{
    struct http_options options = { .listeners = daemon->listeners,
                                    .listeners_count = daemon->listeners_count,
                                    .node_text = daemon->self_text,
                                    .mem = &daemon->server_mem,
                                    .held = &daemon->http_mem,
                                    .shell = daemon,
                                    .moment = daemon_moment,
                                    .turn_wanted = daemon_wanted };
    struct http_context *context = &daemon->context;
    enum status status;

    *context = (struct http_context){ .table = daemon->table,
                                      .mem = &daemon->http_mem,
                                      .version = VERSION_TEXT,
                                      .self = daemon->self,
                                      .http_port = daemon->http_port,
                                      .started_us = daemon_moment(daemon).mono_us,
                                      .socket = daemon_socket,
                                      .backup = backup_view(daemon->backup),
                                      .shell = daemon };
    daemon_set_requests(daemon);
    TAILQ_INIT(&context->line);
    status = process_random(context->secret, sizeof context->secret, why);
    if (status != STATUS_OK) {
        return status;
    }
    context->watch = watch_create(&daemon->http_mem);
    if (context->watch == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory for the HTTP interface");
    }
    daemon->http_mem.limit_bytes = settings_http_memory(daemon->config);
    if (settings_has_directory(daemon->config)) {
        context->disk = daemon_disk;
        options.keeper = &daemon_keeper;
    }
    options.context = context;
    options.routes = http_routes;
    options.routes_count = http_routes_count;
    settings_http(daemon->config, daemon->options.descriptors, &options);
    status = http_server_create(&options, daemon->base, &daemon->server, why);
    if (status == STATUS_OK) {
        daemon->listeners_count = 0; /* they are the server's now */
    }
    return status;
}

static enum status daemon_build_events(struct daemon *daemon, struct fault *why)
{
    static const struct timeval second = { .tv_sec = 1 };
    struct event_base *base = daemon->base;

    daemon->turn = event_new(base, -1, 0, daemon_on_turn, daemon);
    daemon->timer = event_new(base, -1, 0, daemon_on_timer, daemon);
    daemon->second = event_new(base, -1, EV_PERSIST, daemon_on_second, daemon);
    daemon->stop_check = event_new(base, -1, EV_PERSIST, daemon_on_stop_check, daemon);
    daemon->signals[0] = evsignal_new(base, SIGTERM, daemon_on_stop, daemon);
    daemon->signals[1] = evsignal_new(base, SIGINT, daemon_on_stop, daemon);
    daemon->signals[2] = evsignal_new(base, SIGHUP, daemon_on_reload, daemon);
    if (daemon->turn == NULL || daemon->timer == NULL || daemon->second == NULL
        || daemon->stop_check == NULL || daemon->signals[0] == NULL || daemon->signals[1] == NULL
        || daemon->signals[2] == NULL || event_add(daemon->second, &second) != 0
        || event_add(daemon->signals[0], NULL) != 0 || event_add(daemon->signals[1], NULL) != 0
        || event_add(daemon->signals[2], NULL) != 0) {
        return fault_set(why, STATUS_MEMORY, "no memory for events");
    }
    return STATUS_OK;
}

static enum status daemon_build_backup(struct daemon *daemon, struct fault *why)
{
    const struct backup_options options = { .base = daemon->base,
                                            .log = daemon->options.log,
                                            .table = daemon->table,
                                            .cluster_id = daemon->node_options.cluster_id,
                                            .owner = daemon,
                                            .moment = daemon_moment };

    daemon->backup = backup_create(&options);
    return daemon->backup == NULL ? fault_set(why, STATUS_MEMORY, "no memory") : STATUS_OK;
}

static enum status daemon_build(struct daemon *daemon, struct fault *why)
{
    const struct resolve_options resolve = { .base = daemon->base,
                                             .log = daemon->options.log,
                                             .owner = daemon,
                                             .resolved = daemon_on_resolved };
    enum status status = daemon_build_events(daemon, why);

    if (status == STATUS_OK) {
        status = daemon_build_table(daemon, why);
    }
    if (status == STATUS_OK) {
        status = daemon_build_backup(daemon, why);
    }
    if (status == STATUS_OK) {
        status = daemon_build_http(daemon, why);
    }
    if (status == STATUS_OK) {
        status = resolver_create(&resolve, &daemon->resolver, why);
    }
    return status;
}

enum status daemon_create(const struct daemon_options *options, struct daemon **daemon_out,
                          enum process_exit *exit_out, struct fault *why)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    enum status status;

    *exit_out = EXIT_SOFTWARE;
    if (daemon == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory");
    }
    daemon->options = *options;
    daemon->config = options->config;
    daemon->timer_us = UINT64_MAX;
    daemon->has_watchdog = getenv("WATCHDOG_USEC") != NULL;
    daemon->base = libevent_new_base();
    if (daemon->base == NULL) {
        status = fault_set(why, STATUS_SYSTEM, "no event base: %s", strerror(errno));
        goto free_daemon;
    }
    status = daemon_bind(daemon, why);
    if (status != STATUS_OK) {
        *exit_out = status == STATUS_SYSTEM ? EXIT_UNAVAILABLE : EXIT_CONFIG;
        goto free_daemon;
    }
    status = settings_advertise(daemon->config, &daemon->bound, &daemon->self, why);
    if (status != STATUS_OK) {
        *exit_out = EXIT_CONFIG;
        goto free_daemon;
    }
    daemon->self_text[address_to_text(&daemon->self, daemon->self_text)] = '\0';
    status = daemon_build(daemon, why);
    if (status != STATUS_OK) {
        goto free_daemon;
    }
    *daemon_out = daemon;
    return STATUS_OK;

free_daemon:
    daemon_free(daemon);
    return status;
}

/* -- running ------------------------------------------------------------------------------- */

static void daemon_say_ready(struct daemon *daemon)
{
    const char *http = daemon->listener_texts[0][0] != '\0' ? daemon->listener_texts[0]
                       : daemon->config->http_listen.count > 0
                           ? daemon->config->http_listen.texts[0]
                           : "off";
    char bound[ADDRESS_TEXT_MAX + 1];
    char status[200];

    bound[address_to_text(&daemon->bound, bound)] = '\0';
    log_event(
        daemon->options.log, LOG_LEVEL_INFO, "ready", log_string("version", VERSION_TEXT),
        log_string("gossip", bound), log_string("http", http),
        log_string("advertise", daemon->self_text), log_number("seeds", daemon->config->seed.count),
        log_string("data", daemon->storage == NULL ? "memory-only" : daemon->config->data_dir));
    if (listen_port_is_bad(daemon->http_port)) {
        log_event(daemon->options.log, LOG_LEVEL_WARN, "browsers_refuse_port",
                  log_number("port", daemon->http_port),
                  log_string("hint", "use curl, or set http-listen"));
    }
    (void)snprintf(status, sizeof status, "READY=1\nSTATUS=gossip %s, http %s", bound, http);
    if (!notify_send(status)) {
        log_event(daemon->options.log, LOG_LEVEL_WARN, "notify_failed",
                  log_string("reason", strerror(errno)));
    }
}

static void daemon_start_seeds(struct daemon *daemon)
{
    const size_t count = settings_seeds(daemon->config, daemon->seeds);

    resolver_seeds(daemon->resolver, daemon->seeds, count);
}

/* Those that an earlier life knew are asked besides the seeds, in case no seed answers. */
static void daemon_greet_known(struct daemon *daemon)
{
    const struct disk_peers *peers = &storage_report(daemon->storage)->peers;

    for (size_t i = 0; i < peers->count; i++) {
        struct fault why;

        if (node_introduce(daemon->node, daemon->now, &peers->list[i], &why) == STATUS_FULL) {
            return;
        }
    }
}

/* Take part, with all that was kept. */
static enum status daemon_join(struct daemon *daemon, struct fault *why)
{
    enum status status = daemon_build_node(daemon, why);

    if (status == STATUS_OK) {
        const struct report_options report = { .log = daemon->options.log,
                                               .node = daemon->node,
                                               .server = daemon->server,
                                               .udp = daemon->udp,
                                               .bound = daemon->bound,
                                               .self = daemon->self };

        daemon->report = report_create(&report);
        if (daemon->report == NULL) {
            status = fault_set(why, STATUS_MEMORY, "no memory for the log");
        }
    }
    if (status == STATUS_OK) {
        status = udp_start(daemon->udp, why);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (daemon->storage != NULL) {
        daemon_greet_known(daemon);
    }
    daemon_start_seeds(daemon);
    daemon_say_ready(daemon);
    daemon->options.ready(daemon->options.owner);
    daemon_wanted(daemon);
    return STATUS_OK;
}

static void daemon_on_loaded(void *owner, enum status status, const struct fault *why)
{
    struct daemon *daemon = owner;

    if (status == STATUS_OK && daemon->stop_us == 0) {
        status = daemon_join(daemon, &daemon->fault);
    } else if (status != STATUS_OK) {
        daemon->fault = *why;
    }
    if (status != STATUS_OK) {
        (void)event_base_loopbreak(daemon->base);
    }
}

enum status daemon_start(struct daemon *daemon, enum process_exit *exit_out, struct fault *why)
{
    const struct config *config = daemon->config;
    const struct storage_options options = { .config = config,
                                             .cluster_id = daemon->node_options.cluster_id,
                                             .is_salvaging = daemon->options.is_salvaging,
                                             .base = daemon->base,
                                             .log = daemon->options.log,
                                             .table = daemon->table,
                                             .owner = daemon,
                                             .moment = daemon_moment,
                                             .loaded = daemon_on_loaded,
                                             .moved = daemon_on_kept };
    enum status status;

    *exit_out = EXIT_SOFTWARE;
    if (!settings_has_directory(config)) {
        return daemon_join(daemon, why);
    }
    status = storage_open(&options, &daemon->storage, why);
    if (status == STATUS_CONFLICT || status == STATUS_SYSTEM) {
        *exit_out = EXIT_CANNOT_CREATE;
    }
    return status;
}

enum process_exit daemon_run(struct daemon *daemon, struct fault *why)
{
    daemon_wanted(daemon);
    (void)event_base_dispatch(daemon->base);
    if (daemon->fault.code != STATUS_OK) {
        *why = daemon->fault;
        return daemon->fault.code == STATUS_CORRUPT || daemon->fault.code == STATUS_SYSTEM
                   ? EXIT_CANNOT_CREATE
                   : EXIT_SOFTWARE;
    }
    log_event(daemon->options.log, LOG_LEVEL_INFO, "stopped",
              log_string("gossip", daemon->self_text));
    return EXIT_GOOD;
}

static void daemon_on_difference(void *owner, const char *name)
{
    struct daemon *daemon = owner;

    log_event(daemon->options.log, LOG_LEVEL_WARN, "setting_waits_for_restart",
              log_string("setting", name));
}

enum status daemon_reload(struct daemon *daemon, const struct config *config, struct fault *why)
{
    struct http_options http = { .node_text = daemon->self_text };
    struct node_options node = daemon->node_options;
    const unsigned list = daemon->list ^ 1; /* the node looks into the old lists until it is told */

    daemon->store_mem.limit_bytes = config->max_memory_bytes;
    daemon_set_node(daemon, config, list, &node);
    if (daemon->node != NULL
        && node_configure(daemon->node, daemon_moment(daemon), &node) != STATUS_OK) {
        daemon->store_mem.limit_bytes = daemon->config->max_memory_bytes;
        return fault_set(why, STATUS_MEMORY,
                         "no memory for the new settings: the old ones stay in force");
    }
    daemon->list = list;
    daemon->node_options = node;
    config_compare(daemon->config, config, daemon_on_difference, daemon);
    daemon->config = config;
    daemon_set_requests(daemon);
    daemon->http_mem.limit_bytes = settings_http_memory(config);
    if (daemon->node != NULL) {
        table_set_keys_max(daemon->table, config->max_keys);
        daemon_start_seeds(daemon);
    }
    settings_http(config, daemon->options.descriptors, &http);
    http_server_configure(daemon->server, &http);
    return STATUS_OK;
}

static void daemon_free_events(struct daemon *daemon)
{
    struct event *events[] = { daemon->turn,       daemon->timer,      daemon->second,
                               daemon->stop_check, daemon->signals[0], daemon->signals[1],
                               daemon->signals[2] };

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
}

void daemon_free(struct daemon *daemon)
{
    if (daemon == NULL) {
        return;
    }
    if (!storage_close(daemon->storage, DAEMON_DISK_MS * 1000)
        || !backup_free(daemon->backup, DAEMON_DISK_MS * 1000)) {
        daemon_remove_unix(daemon);
        return; /* of a disk that does not come back, what it was lent must stay */
    }
    daemon->context.backup = NULL;
    report_free(daemon->report);
    resolver_free(daemon->resolver);
    http_server_free(daemon->server);
    watch_free(daemon->context.watch);
    udp_close(daemon->udp);
    node_free(daemon->node);
    table_free(daemon->table);
    daemon_free_events(daemon);
    daemon_close_listeners(daemon);
    if (daemon->base != NULL) {
        event_base_free(daemon->base);
    }
    free(daemon);
}
