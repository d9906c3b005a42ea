#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

/* What the daemon is to the system: its limits, its user, its pid file, its life in the background.
 * Called by main alone, in this order, while it starts; the last two at any time. */

#include "base/moment.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* sysexits(3), as documented in vignetted(8). */
enum process_exit {
    EXIT_GOOD = 0,
    EXIT_DAMAGED = 1,        /* of the commands on a data directory: something is missing in it */
    EXIT_USAGE = 64,         /* wrong arguments */
    EXIT_DATA = 65,          /* of --import: a line that is wrong */
    EXIT_UNAVAILABLE = 69,   /* an address cannot be bound */
    EXIT_SOFTWARE = 70,      /* out of memory and the like, while starting */
    EXIT_CANNOT_CREATE = 73, /* the pid file, the log file, or the data directory */
    EXIT_CONFIG = 78         /* wrong configuration */
};

/* Open what is closed of stdin, stdout and stderr, as /dev/null. Otherwise the next sockets would
 * get these numbers, and what is meant for stderr would go to a peer or into the pid file.
 *
 * STATUS_SYSTEM: cannot be opened. */
MUST_CHECK enum status process_standard(struct fault *why);

/* Raise the limit on descriptors as far as it goes; returns it. */
size_t process_descriptors(void);

/* Go to the background: returns in the child, which has the terminal's output until
 * process_tell(). The parent waits for that and exits with the status it is told, so that who
 * started us knows how it went.
 *
 * STATUS_SYSTEM: cannot fork. */
MUST_CHECK enum status process_daemonize(int *ready_fd_out, struct fault *why);

/* Tell the waiting parent. `exit` EXIT_GOOD also lets go of the terminal, but not of the folder we
 * were started in: paths of the command line mean the same at a reload. ready_fd -1: nobody. */
void process_tell(int ready_fd, enum process_exit exit);

/* Become a user, with the groups that the system says it is in, and a group; "" leaves them. A
 * group alone is then the only one. After the sockets are open, before the log file is: what is
 * opened anew later must be the user's to open.
 *
 * STATUS_INVALID: no such user or group; STATUS_SYSTEM: not allowed. */
MUST_CHECK enum status process_become(const char *user, const char *group, struct fault *why);

/* Write and lock a file with our process id; a stale one is taken over.
 *
 * STATUS_CONFLICT: another process holds it; STATUS_SYSTEM: cannot be written. */
MUST_CHECK enum status process_pidfile(const char *path, int *fd_out, struct fault *why);

/* Remove it, or where the folder is not ours any more, empty it. */
void process_pidfile_remove(const char *path, int fd);

/* Random bytes from the kernel. STATUS_SYSTEM: it gives none. */
MUST_CHECK enum status process_random(void *to, size_t size, struct fault *why);

/* What time it is. */
struct moment process_moment(void);

#endif /* MAIN_PROCESS_H */
