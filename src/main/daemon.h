#ifndef MAIN_DAEMON_H
#define MAIN_DAEMON_H

/* The running daemon: one node in a shell of sockets and a disk, on one event base. Everything that
 * happens ends in a turn: receive, update, tick; note the changes; emit; end. Called by main.c
 * alone. */

#include "base/status.h"
#include "config/options.h"
#include "log/log.h"
#include "main/process.h"

#include <stdbool.h>

struct daemon; /* opaque */

struct daemon_options {
    const struct config *config; /* outlives the daemon, until daemon_reload() takes another */
    struct log *log;
    size_t descriptors;
    bool is_salvaging; /* start on what is left of a damaged data directory, though alone */

    /* A signal came: SIGHUP. Reads the settings again and calls daemon_reload(). */
    void (*reload)(void *owner);

    /* All that was kept is loaded, and the node takes part. Called once. */
    void (*ready)(void *owner);
    void *owner;
};

/* Bind everything. Not yet serving.
 *
 * On failure `exit_out` has the exit status that vignetted(8) documents for it, and `why` the
 * sentence. */
MUST_CHECK enum status daemon_create(const struct daemon_options *options,
                                     struct daemon **daemon_out, enum process_exit *exit_out,
                                     struct fault *why);

/* Begin to load what the data directory keeps, as the user we became; where there is none, or it is
 * empty, the node is ready at once. Says so in the log and to a service manager, and begins to look
 * for the seeds: whoever waits for the start finds the line in the log. To be called once, before
 * daemon_run(). On failure as daemon_create(). */
MUST_CHECK enum status daemon_start(struct daemon *daemon, enum process_exit *exit_out,
                                    struct fault *why);

/* Serve until a signal ends it: turn, say `left`, finish answers, keep what is noted. Or until it
 * shows that what was kept cannot be loaded: then the exit status is not EXIT_GOOD, and `why` says
 * what is wrong. */
enum process_exit daemon_run(struct daemon *daemon, struct fault *why);

/* Take new settings; those that cannot change while running are named in the log. STATUS_MEMORY:
 * the old ones stay in force, all of them. */
MUST_CHECK enum status daemon_reload(struct daemon *daemon, const struct config *config,
                                     struct fault *why);

void daemon_free(struct daemon *daemon);

#endif /* MAIN_DAEMON_H */
