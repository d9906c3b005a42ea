#include "disk/notes.h"

#include <assert.h>

#define DROPS_AT_ONCE 64 /* each set is gone through once for so many */

void notes_clear(struct notes *notes, struct mem *mem)
{
    marks_clear(&notes->gathering, mem);
    marks_clear(&notes->waiting, mem);
    marks_clear(&notes->carried, mem);
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

static void entries_drop(struct notes *notes, struct mem *mem, struct drops drops, bool is_deletion)
{
    const uint32_t waiting = notes->waiting.count;
    const uint32_t carried = notes->carried.count;

    (void)marks_drop(&notes->gathering, mem, drops);
    (void)marks_drop(&notes->carried, mem, drops);
    (void)marks_drop(&notes->waiting, mem, drops);
    if (is_deletion && notes->waiting.count < waiting) {
        notes->is_joined = true;
    }
    if (is_deletion && notes->carried.count < carried) {
        notes->is_carried_joined = true;
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

/* Forget the entries that go. */
static void dropped_forget(struct notes *notes, struct mem *mem, struct changes changes)
{
    struct entry *entries[DROPS_AT_ONCE];
    bool is_deletion = false;
    size_t count = 0;

    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].dropped) {
            entries[count++] = changes.list[i].entry;
            is_deletion = is_deletion || is_superseded(&changes.list[i]);
        }
        if (count == DROPS_AT_ONCE || (count > 0 && i + 1 == changes.count)) {
            entries_drop(notes, mem, (struct drops){ entries, count }, is_deletion);
            count = 0;
        }
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
static void carried_clear(struct notes *notes, struct mem *mem)
{
    marks_clear(&notes->carried, mem);
    notes->is_short = false;
    notes->is_carried_joined = false;
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
    if (marks_empty(&notes->carried) && !notes->is_short) {
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
               struct writer *writer)
{
    bool is_short = notes->is_short;

    (void)marks_carry_items(&notes->waiting, table, mem, writer, &notes->carried, &is_short);
    notes->is_short = is_short;
}

void notes_written(struct notes *notes, struct mem *mem, bool is_synced)
{
    if (is_synced) {
        carried_clear(notes, mem);
    }
    round_end(notes);
}

void notes_synced(struct notes *notes, struct mem *mem)
{
    carried_clear(notes, mem);
    round_end(notes);
    notes->synced = notes->written;
    notes_keep(notes, notes->synced);
}

void notes_failed(struct notes *notes, struct mem *mem)
{
    if (notes->is_short || !marks_add_all(&notes->waiting, mem, &notes->carried)) {
        notes_block(notes);
    }
    notes->is_under_way = notes->is_under_way || !marks_empty(&notes->waiting);
    notes->is_joined = notes->is_joined || (notes->is_carried_joined && notes->is_under_way);
    carried_clear(notes, mem);
    notes->is_open = false;
    notes->written = notes->synced;
    notes->lost = notes->noted;
}

bool notes_are_done(const struct notes *notes)
{
    return notes->round == notes->noted && !notes->is_under_way && marks_empty(&notes->carried)
           && !notes->is_short;
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
    marks_audit(&notes->carried);
    assert(notes->kept <= notes->noted && notes->lost <= notes->noted);
    assert(notes->round <= notes->noted);
    assert(notes->synced <= notes->written && notes->written <= notes->round);
    assert(notes->is_under_way || marks_empty(&notes->waiting));
    assert(notes->round < notes->noted || !notes->is_open);
    assert(notes->is_open || notes->round < notes->noted || marks_empty(&notes->gathering));
}
