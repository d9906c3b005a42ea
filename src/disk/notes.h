#ifndef DISK_NOTES_H
#define DISK_NOTES_H

/* What is to be written to a log, and the tickets of those who wait for it. Marks (store/marks.h)
 * in three sets:
 *
 *     gathering   noted since the last swap
 *     waiting     the round that is being written; empty: `gathering` becomes it
 *     carried     written, but not synced yet: noted again if that fails
 *
 * So within a round each register is written once, however often it rose, and a round ends, however
 * much comes in meanwhile. A ticket is of all that was noted up to now; it is kept with the last
 * group of the round that has it.
 *
 * A key that is deleted takes its marks along, from `waiting` too. Its deletion is in `gathering`
 * then, and only with that the round is kept: who was told that an update is kept must not find
 * the key as it was before.
 *
 * Where there was no memory for a mark, notes are blocked: no ticket is kept until a snapshot is
 * there that began afterwards.
 *
 * Called by disk/journal. Open: it is embedded; only disk/notes.c touches the fields. All zero is
 * empty. */

#include "base/mem.h"
#include "store/marks.h"
#include "store/table.h"
#include "wire/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct notes {
    struct marks gathering;
    struct marks waiting;
    struct carried carried;
    uint64_t noted;   /* ticket of the newest note */
    uint64_t round;   /* the newest ticket in `waiting` */
    uint64_t written; /* up to which all was written, or had gone before it was */
    uint64_t synced;  /* likewise synced */
    uint64_t kept;    /* as the one of both says that counts; not while blocked */
    uint64_t lost;
    uint64_t covered;           /* ticket at the beginning of the snapshot that is being made */
    bool is_open : 1;           /* what is noted now has the newest ticket too */
    bool is_under_way : 1;      /* the round: begun, and not all of it written */
    bool is_joined : 1;         /* it is kept with the next one only */
    bool is_carried_joined : 1; /* likewise, if what is carried is noted again */
    bool is_blocked : 1;        /* something is missing in the others */
    bool is_covered : 1;        /* nothing has gone missing since that snapshot began */
    bool is_kept_early : 1;     /* kept when written, not when synced */
};

void notes_clear(struct notes *notes, struct mem *mem);

/* What changed in a turn: of keys alone, and not what came from the disk. */
void notes_add(struct notes *notes, struct mem *mem, struct changes changes);

/* Whether something of a turn took the place of what there was: a deletion, or what was written
 * after one. */
bool notes_have_deletion(struct changes changes);

/* Begin the next round where the last is written. Not while a group is under way. Returns whether
 * there is something to write. */
bool notes_ready(struct notes *notes);

/* Whether something may be there to write. */
static inline bool notes_wait(const struct notes *notes)
{
    return notes->is_under_way || notes->round < notes->noted;
}

/* Put what fits of the round into a frame's items, to be carried: at most so many marks. */
void notes_put(struct notes *notes, const struct table *table, struct mem *mem,
               struct writer *writer, uint32_t marks_max);

/* Whether so much is carried that it is time to sync. */
bool notes_are_heavy(const struct notes *notes);

/* What was put is written; is_synced: and synced, with all that was written before it. */
void notes_written(struct notes *notes, struct mem *mem, bool is_synced);

/* All that was written is synced. */
void notes_synced(struct notes *notes, struct mem *mem);

/* All that was put and not synced may be there or not: note it again. */
void notes_failed(struct notes *notes, struct mem *mem);

/* Whether all that was noted is written and synced. */
bool notes_are_done(const struct notes *notes);

/* A snapshot begins; it is there, with its name. */
void notes_cover(struct notes *notes);
void notes_covered(struct notes *notes);

/* Blocks that wait to be written. */
uint64_t notes_count(const struct notes *notes);

void notes_audit(const struct notes *notes);

#endif /* DISK_NOTES_H */
