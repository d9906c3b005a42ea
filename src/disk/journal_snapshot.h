#ifndef DISK_JOURNAL_SNAPSHOT_H
#define DISK_JOURNAL_SNAPSHOT_H

/* The snapshots of a journal: when one is begun, and what goes once it stands.
 *
 * Called by disk/journal. */

#include "disk/journal_state.h"

#include <stdbool.h>
#include <stdint.h>

/* See whether one is wanted for what no log says: keys that had ended when they were to be written,
 * and have come back with the clock; and what there was no memory to note. One that is under way
 * may have passed both by, and begins anew: the logs that say what was there before must not go. */
void journal_snapshot_look(struct journal *journal);

/* The next step of one, or the next file that goes. False: none. */
bool journal_snapshot_next(struct journal *journal, struct disk_operation *operation);

void journal_snapshot_done(struct journal *journal, struct disk_result result);
void journal_snapshot_removed(struct journal *journal, struct disk_result result);

/* Let go of the one that is under way, now or once its operation is back. */
void journal_snapshot_cancel(struct journal *journal);

uint64_t journal_snapshot_due_us(const struct journal *journal);

#endif /* DISK_JOURNAL_SNAPSHOT_H */
