#ifndef DISK_JOURNAL_H
#define DISK_JOURNAL_H

/* What is kept of a table, and when: a log of what rose, and snapshots that let old logs go. Pure:
 * it decides, and somebody else does it (disk/operation.h):
 *
 *     journal_note()                    at the end of each turn: what changed
 *     journal_next() -> journal_done()  one operation after the other, as long as there is one
 *
 * What is noted is marks (store/marks.h), so that what waits merges by OR and a register is written
 * once a group however often it rose. A group is as much of what was noted as fits into one write;
 * values are read when it is encoded. While one is written the next one gathers.
 *
 * Tickets. What has been noted up to now has a ticket, journal_ticket(). Once journal_kept() has
 * come to it, all of that outlives a crash, as far as `durability` promises; that is once all is
 * written that was noted while the groups before were (disk/notes.h). What journal_lost() has come
 * to and journal_kept() has not may outlive it or not: whoever waits for it is told so.
 *
 * Snapshots. When the logs are longer than the last snapshot (and than snapshot_bytes_min) a new
 * log is begun, and the table is walked in order, a piece a turn, into a draft of the same number.
 * What rises behind the walk is in the new log, and to replay it is to join it, so no copy of
 * anything is made and nobody waits. Once the draft is synced and has its name, what is older goes.
 *
 * Failures. A file of which a write or a sync failed is let go of and never synced again: the
 * kernel may have dropped its pages and call the next sync good. All that it had not kept is noted
 * again, a new log is begun, and so on every second (JOURNAL_RETRY_US) until that succeeds.
 * Meanwhile journal_health() says what is wrong. A log is extended while it still has
 * JOURNAL_RESERVE_BYTES, so what is noted on a full disk, deletions above all, still finds room.
 *
 * Called by main and the simulator. Calls store and wire. Errors: none but of memory; where a mark
 * cannot be noted for want of it, nothing is called kept any more until a snapshot was made. */

#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "disk/journal_types.h"
#include "disk/operation.h"
#include "disk/peers.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal; /* opaque */

/* Begin. The table has been loaded (disk/recover.h), or is empty. STATUS_MEMORY. */
MUST_CHECK enum status journal_create(const struct journal_options *options,
                                      struct journal **journal_out);

/* Not while somebody still does an operation; to be told how it went is not needed. NULL is
 * allowed. */
void journal_free(struct journal *journal);

/* What changed in a turn, before its end. What came from the disk and presence are passed over. */
void journal_note(struct journal *journal, struct changes changes);

/* Whom the node knows. Other peers are written beside the next group, a newer contact alone within
 * a minute; both by themselves when there is no group until then, and in each new log. */
void journal_note_peers(struct journal *journal, const struct disk_peers *peers);

/* The next operation. False: none now, or one is under way; or the table has changes: it is asked
 * between turns, when all of them were noted. O(1) where there is nothing to do. */
bool journal_next(struct journal *journal, struct moment now, struct disk_operation *operation_out);

/* How it went. */
void journal_done(struct journal *journal, struct moment now, struct disk_result result);

/* mono_us at which journal_next() has one without anything being noted; UINT64_MAX: never. */
uint64_t journal_due_us(const struct journal *journal);

uint64_t journal_ticket(const struct journal *journal);
uint64_t journal_kept(const struct journal *journal);
uint64_t journal_lost(const struct journal *journal);
enum journal_health journal_health(const struct journal *journal);

/* Make a snapshot soon, whatever the logs' length. */
void journal_want_snapshot(struct journal *journal);

/* Keep all that was noted (with JOURNAL_NONE: make a snapshot) and then do no more. Notes still
 * come until journal_has_stopped(), which is also true of one that is failing. */
void journal_stop(struct journal *journal);
bool journal_has_stopped(const struct journal *journal);

const struct journal_stats *journal_stats(const struct journal *journal);

/* Abort unless its invariants hold. */
void journal_audit(const struct journal *journal);

#endif /* DISK_JOURNAL_H */
