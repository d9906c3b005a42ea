#ifndef SIM_KEPT_H
#define SIM_KEPT_H

/* What a machine has said it keeps, and all that it ever had. After whatever end, what it loads
 * lies between the two: it has every deletion and every element that was acknowledged, or a greater
 * one, or its key in a later generation; and nothing that it never had in that generation.
 *
 * It waits for the same tickets as clients do (disk/journal.h). Keys are known by their shared
 * hash, as tombstones are. Used by sim/storage. */

#include "disk/recover.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kept; /* opaque */

struct kept *kept_create(void);
void kept_free(struct kept *kept);

/* A client's update was taken, whether it raised anything or not: it waits for kept_note(). */
void kept_asked(struct kept *kept, const struct table *table, struct bytes key, uint64_t index,
                uint64_t value);

/* A turn's changes, and what was asked in it, wait for a ticket. What ends up to this minute need
 * not be kept any more. */
void kept_note(struct kept *kept, const struct table *table, uint64_t ticket, uint32_t minute);

/* All that waits for a ticket up to this one is acknowledged. */
void kept_until(struct kept *kept, uint64_t ticket, uint64_t now_us);

/* Whether something waits. */
bool kept_waits(const struct kept *kept);

/* A life ends. What still waits may be there or not, and so may what was acknowledged from
 * `synced_us` on. */
void kept_end(struct kept *kept, uint64_t synced_us);

/* What is acknowledged, as of now; and back, as the directory goes back to a copy that was taken
 * then. NULL: the directory is empty. */
struct kept *kept_copy(const struct kept *kept);
void kept_restore(struct kept *kept, const struct kept *copy);

/* Judge what was loaded. Where the disk lost something by itself (`is_rotten`) it may be missing,
 * but not in silence. What is missing is not asked for again. Returns how much is. */
size_t kept_loaded(struct kept *kept, const struct table *table,
                   const struct recover_report *report, bool is_rotten, uint32_t machine);

#endif /* SIM_KEPT_H */
