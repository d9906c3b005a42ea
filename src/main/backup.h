#ifndef MAIN_BACKUP_H
#define MAIN_BACKUP_H

/* Backups of a running daemon, one at a time: a data directory of its own below a folder, with an
 * identity of its own, in which all is that was answered before it was asked for and much of what
 * came meanwhile. It is made as the daemon's own directory is kept (disk/journal.h): a snapshot in
 * pieces, and beside it a log of what rises, since a key that is deleted and written to again may
 * slip past the walk. All that waits for the disk is done by a thread.
 *
 * It is written under its name and ".tmp", synced, and renamed once it is whole; one that ends
 * otherwise is removed. Only a crash leaves a ".tmp", which nobody reads.
 *
 * Called by main/daemon.c. Costs nothing while there is none. */

#include "base/moment.h"
#include "base/status.h"
#include "http/api.h"
#include "store/table.h"

#include <stdbool.h>
#include <stdint.h>

struct backup; /* opaque */
struct event_base;
struct log;

struct backup_options {
    struct event_base *base;
    struct log *log;     /* may be replaced later, not closed */
    struct table *table; /* outlives it */
    uint32_t cluster_id;
    void *owner;
    struct moment (*moment)(void *owner);
};

/* NULL: no memory. */
struct backup *backup_create(const struct backup_options *options);

/* Gives the disk as long as that to come back with what is under way. False: it has not, and all
 * that it was lent is left as it is; the process must end. What is not whole stays as a ".tmp".
 * NULL is allowed. */
bool backup_free(struct backup *backup, uint64_t wait_us);

/* Those that begin from now on are made below this folder, which must be there; "none": there are
 * none. Lent until the next call. What is wrong with it is told when one ends. */
void backup_configure(struct backup *backup, const char *folder);

/* What HTTP begins them by, and is told of them. Lives as long as the backup. */
struct api_backup *backup_view(struct backup *backup);

/* Give the one that is under way up, if there is one, for this reason. It has ended once what it
 * wrote is removed. */
void backup_cancel(struct backup *backup, const char *reason);

/* What changed in a turn, before its end. */
void backup_note(struct backup *backup, struct changes changes);

/* What is to be done next is given to the disk. At the end of each turn. */
void backup_turn_end(struct backup *backup, struct moment now);

/* mono_us at which a turn is wanted though nothing else happens; UINT64_MAX: never. */
uint64_t backup_due_us(const struct backup *backup);

#endif /* MAIN_BACKUP_H */
