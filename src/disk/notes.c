#include "disk/notes.h"

#include <assert.h>

#define DROPS_AT_ONCE 64 /* each set is gone through once for so many */

/* Blocks carried until a sync: each is as often there as it was written, and to note all of them
 * again takes some milliseconds. */
#define CARRIED_MAX 32768

void notes_clear(struct notes *notes, struct mem *mem)
{
    marks_clear(&notes->gathering, mem);
    marks_clear(&notes->waiting, mem);
    carried_clear(&notes->carried, mem);
}

/* Something may be missing from the log from now on. */
static void notes_block(struct notes *notes)
{
    notes->is_blocked = true;
    notes->is_covered = false;
}

/* What may be called kept by now. */
static void notes_keep(struct notes *notes, uint64_t ticket)
{
    if (!notes->is_blocked && ticket > notes->kept) {
        notes->kept = ticket;
    }
}

/* Whether an entry went for good, and another one says so: it was deleted, or is the tombstone of
 * a key that was written to again. */
static bool is_superseded(const struct change *change)
{
    return change->dropped && (change->deleted || entry_deleted(change->entry));
}

bool notes_have_deletion(struct changes changes)
{
    size_t i = 0;

    while (i < changes.count && !is_superseded(&changes.list[i])) {
        i++;
    }
    return i < changes.count;
}

/* Forget entries that go, in the sets. */
static void entries_forget(struct notes *notes, struct mem *mem, struct drops drops)
{
    (void)marks_drop(&notes->gathering, mem, drops);
    (void)marks_drop(&notes->waiting, mem, drops);
}

/* Forget all that go. */
static void dropped_forget(struct notes *notes, struct mem *mem, struct changes changes)
{
    const bool is_deletion = notes_have_deletion(changes);
    const uint32_t waiting = notes->waiting.count;
    struct entry *entries[DROPS_AT_ONCE];
    bool has_any = false;
    size_t count = 0;

    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].dropped) {
            entries[count++] = changes.list[i].entry;
            has_any = true;
        }
        if (count == DROPS_AT_ONCE) {
            entries_forget(notes, mem, (struct drops){ entries, count });
            count = 0;
        }
    }
    if (!has_any) {
        return;
    }
    entries_forget(notes, mem, (struct drops){ entries, count });
    if (carried_drop(&notes->carried) && is_deletion) {
        notes->is_carried_joined = true;
    }
    if (notes->waiting.count < waiting && is_deletion) {
        notes->is_joined = true;
    }
}

static bool concerns(const struct change *change)
{
    return !change->dropped && !change->ended && change->origin != CHANGE_FROM_DISK
           && entry_set(change->entry) == TABLE_DATA && !entry_dropped(change->entry);
}

void notes_add(struct notes *notes, struct mem *mem, struct changes changes)
{
    for (size_t i = 0; i < changes.count; i++) {
        const struct change *change = &changes.list[i];

        if (!concerns(change)) {
            continue;
        }
        if (!notes->is_open) {
            notes->is_open = true;
            notes->noted++;
        }
        if (!marks_add(&notes->gathering, mem, change->entry, &change->raised)) {
            notes_block(notes);
        }
    }
    dropped_forget(notes, mem, changes);
}

/* All of it is synced, or noted again. */
static void carried_forget(struct notes *notes, struct mem *mem)
{
    carried_clear(&notes->carried, mem);
    notes->is_carried_joined = false;
}

static bool carries_nothing(const struct notes *notes)
{
    return notes->carried.count == 0 && !notes->carried.is_short;
}

/* Where nothing of the round is left and no group is under way, it is over. */
static void round_end(struct notes *notes)
{
    if (!notes->is_under_way || !marks_empty(&notes->waiting)) {
        return;
    }
    notes->is_under_way = false;
    if (!notes->is_joined || notes->round == notes->noted) {
        notes->written = notes->round;
    }
    notes->is_joined = false;
    if (carries_nothing(notes)) {
        notes->synced = notes->written;
    }
    notes_keep(notes, notes->is_kept_early ? notes->written : notes->synced);
}

bool notes_ready(struct notes *notes)
{
    /* What was noted may have gone since: then a round ends as it begins. */
    round_end(notes);
    if (!notes->is_under_way && notes->round < notes->noted) {
        const struct marks empty = notes->waiting;

        notes->waiting = notes->gathering;
        notes->gathering = empty;
        notes->round = notes->noted;
        notes->is_open = false;
        notes->is_under_way = true;
        round_end(notes);
    }
    return notes->is_under_way;
}

void notes_put(struct notes *notes, const struct table *table, struct mem *mem,
               struct writer *writer, uint32_t marks_max)
{
    marks_carry_items(&notes->waiting, table, mem, writer, &notes->carried, marks_max);
}

bool notes_are_heavy(const struct notes *notes)
{
    return notes->carried.count >= CARRIED_MAX;
}

void notes_written(struct notes *notes, struct mem *mem, bool is_synced)
{
    if (is_synced) {
        carried_forget(notes, mem);
    }
    round_end(notes);
}

void notes_synced(struct notes *notes, struct mem *mem)
{
    carried_forget(notes, mem);
    round_end(notes);
    notes->synced = notes->written;
    notes_keep(notes, notes->synced);
}

/* Back into the round. False: no memory for some of it, or there was none to carry it. */
static bool carried_return(struct notes *notes, struct mem *mem)
{
    bool is_whole = !notes->carried.is_short;

    for (uint32_t i = 0; i < notes->carried.count; i++) {
        const struct marked *marked = &notes->carried.list[i];

        is_whole = marks_add(&notes->waiting, mem, marked->entry, &marked->mark) && is_whole;
    }
    return is_whole;
}

void notes_failed(struct notes *notes, struct mem *mem)
{
    /* The last round ended, and is kept with the next one only. */
    const bool was_joined = !notes->is_under_way && notes->written < notes->round;

    if (!carried_return(notes, mem)) {
        notes_block(notes);
    }
    notes->is_joined = notes->is_joined || notes->is_carried_joined || was_joined;
    carried_forget(notes, mem);
    notes->is_open = false;
    notes->written = notes->synced;
    /* The round is open again, also where all that it had is gone by now. */
    notes->is_under_way = notes->written < notes->round;
    notes->is_joined = notes->is_joined && notes->is_under_way;
    notes->lost = notes->noted;
}

bool notes_are_done(const struct notes *notes)
{
    return !notes_wait(notes) && carries_nothing(notes);
}

void notes_cover(struct notes *notes)
{
    notes->covered = notes->noted;
    notes->is_covered = true;
}

void notes_covered(struct notes *notes)
{
    if (notes->is_covered) {
        notes->is_blocked = false;
        notes_keep(notes, notes->covered);
        notes_keep(notes, notes->is_kept_early ? notes->written : notes->synced);
    }
    notes->is_covered = false;
}

uint64_t notes_count(const struct notes *notes)
{
    return (uint64_t)notes->gathering.count + notes->waiting.count;
}

void notes_audit(const struct notes *notes)
{
    marks_audit(&notes->gathering);
    marks_audit(&notes->waiting);
    assert(notes->kept <= notes->noted && notes->lost <= notes->noted);
    assert(notes->round <= notes->noted);
    assert(notes->synced <= notes->written && notes->written <= notes->round);
    assert(notes->is_under_way || marks_empty(&notes->waiting));
    assert(notes->round < notes->noted || !notes->is_open);
    assert(notes->is_open || notes->round < notes->noted || marks_empty(&notes->gathering));
}
