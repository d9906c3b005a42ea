#ifndef FILES_WORKER_H
#define FILES_WORKER_H

/* The one thread that waits for the disk, and does nothing else: it takes an operation, performs it
 * (files/perform.h) and tells the loop. Only bytes cross, and only one operation at a time.
 *
 * Called by main. Signals stay with the main thread. */

#include "base/status.h"
#include "disk/operation.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct worker; /* opaque */

struct worker_options {
    struct event_base *base;
    int directory; /* borrowed; -1: there are tasks alone */
    void *owner;
    /* In the loop, an operation's result. The next one may be submitted from it. */
    void (*done)(void *owner, struct disk_result result);
};

MUST_CHECK enum status worker_create(const struct worker_options *options,
                                     struct worker **worker_out, struct fault *why);

/* What the operation lends stays lent until done() is called. Asserts that none is under way. */
void worker_submit(struct worker *worker, const struct disk_operation *operation);

/* Have the thread do something else that waits for the disk, of which done() is told in the same
 * way. What belongs to the owner's task is the thread's until then. */
void worker_run(struct worker *worker, struct disk_result (*task)(void *owner));

/* Whether something is under way. */
bool worker_is_busy(const struct worker *worker);

/* End the thread. What was submitted is done first, and nobody is told. One that has not come back
 * from the disk by then is left behind, with all that it was lent: false, and the process must end
 * without freeing any of that. NULL is allowed. */
bool worker_free(struct worker *worker, uint64_t wait_us);

#endif /* FILES_WORKER_H */
