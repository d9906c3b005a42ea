#ifndef MAIN_STORAGE_H
#define MAIN_STORAGE_H

/* A node's data on disk, as the daemon drives it: the directory, what loads it (disk/recover.h),
 * what keeps it (disk/journal.h), and the thread that waits for the disk (files/worker.h).
 *
 * Opened, it loads in steps of the loop. Once loaded() was called it keeps what is noted; until
 * then nothing may be. Called by main/daemon.c. */

#include "base/moment.h"
#include "base/status.h"
#include "disk/journal.h"
#include "disk/recover.h"
#include "files/directory.h"
#include "http/api.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct event_base;
struct log;
struct storage; /* opaque */

struct storage_options {
    const struct config *config; /* data-dir, what it promises, seeds; for this call */
    uint32_t cluster_id;
    bool is_salvaging; /* go on with what is left of a damaged directory, though alone */
    struct event_base *base;
    struct log *log;
    struct table *table; /* empty, its limit on keys lifted */
    void *owner;
    struct moment (*moment)(void *owner);
    /* All is loaded, or cannot be used: STATUS_CORRUPT, STATUS_MEMORY, STATUS_SYSTEM. */
    void (*loaded)(void *owner, enum status status, const struct fault *why);
    /* Something is kept or lost by now. */
    void (*moved)(void *owner);
};

/* STATUS_CONFLICT: the directory is refused, `why` is the line; STATUS_SYSTEM, STATUS_MEMORY. The
 * log may be replaced later, not closed. */
MUST_CHECK enum status storage_open(const struct storage_options *options,
                                    struct storage **storage_out, struct fault *why);

/* Gives the disk as long as that to come back with what is under way. False: it has not, and all
 * that it was lent is left as it is; the process must end. NULL is allowed. */
bool storage_close(struct storage *storage, uint64_t wait_us);

/* What is to be done next is given to the disk. At the end of each turn. */
void storage_turn_end(struct storage *storage, struct moment now);

/* mono_us at which a turn is wanted though nothing else happens; UINT64_MAX: never. */
uint64_t storage_due_us(const struct storage *storage);

/* The journal; NULL until loaded() was called, and with a directory that is still being loaded. */
struct journal *storage_journal(struct storage *storage);

/* Whether it still loads; `why` says how far that is. */
bool storage_loads(const struct storage *storage, struct fault *why);

/* What people are shown of it. */
struct api_disk storage_view(const struct storage *storage);

/* What was found at the start, so far. */
const struct recover_report *storage_report(const struct storage *storage);

/* The least start that the node may tell peers now: they may have heard of a later one than the
 * clock says. 0: any. */
uint64_t storage_start_s(const struct storage *storage, uint64_t now_s);

/* The node has begun with this start: remember it. A failure is logged. */
void storage_started(struct storage *storage, uint64_t start_s);

/* How long the disk has been at what it is doing; 0: nothing. */
uint64_t storage_stands_us(const struct storage *storage, uint64_t now_us);

/* Keep all that is noted, then do no more. */
void storage_stop(struct storage *storage);
bool storage_has_stopped(const struct storage *storage);

#endif /* MAIN_STORAGE_H */
