#ifndef DISK_JOURNAL_LOG_H
#define DISK_JOURNAL_LOG_H

/* The log of a journal: begun, extended ahead, written to in groups, synced, and let go of where it
 * failed. Each `next` gives an operation and says so in journal->step, or is false.
 *
 * Called by disk/journal and disk/journal_snapshot. */

#include "disk/journal_state.h"

#include <stdbool.h>
#include <stdint.h>

/* What keeps the log: to let go of the last one, begin one, sync and extend it. */
bool journal_log_next(struct journal *journal, struct disk_operation *operation);

/* The next group. */
bool journal_log_group(struct journal *journal, struct disk_operation *operation);

/* Leave it for the next one, synced first. */
bool journal_log_rotate(struct journal *journal, struct disk_operation *operation);

/* How one of the steps above went. */
void journal_log_done(struct journal *journal, enum step step, struct disk_result result);

/* When it is to be begun, extended, synced or written to; UINT64_MAX: nothing of these. */
uint64_t journal_log_due_us(const struct journal *journal);

/* Figures of the files, after they changed. */
void journal_log_count_files(struct journal *journal);

#endif /* DISK_JOURNAL_LOG_H */
