#ifndef STORE_MARKS_H
#define STORE_MARKS_H

/* A set of marks that waits: which elements of which blocks of which entries somebody is still to
 * be told. Marks of the same block merge by OR, so a set is bounded by the state, whatever the
 * load, and values are read when they are encoded. Oldest first. Used by node (what peers are to be
 * told, and what a datagram carried) and by disk (what is to be written).
 *
 * Open, because it is embedded; only store/marks.c touches the fields. All zero is empty and holds
 * no memory. */

#include "base/hash_index.h"
#include "base/mem.h"
#include "store/carried.h"
#include "store/table.h"
#include "wire/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positions count up, and a mark stays at its own while the set grows: a list of up to MARKS_CHUNK
 * is one block of memory, a longer one is chunks of so many, of which those in front are given
 * back. So a set of a million marks takes in one more as one of a hundred does. */
#define MARKS_CHUNK UINT32_C(32)

struct marks {
    union {
        struct marked *list;    /* while `room` is at most MARKS_CHUNK */
        struct marked **chunks; /* a ring: chunk i is at i modulo their number; NULL: none so far */
    };
    struct hash_index *index; /* over positions, once there are chunks */
    uint32_t first; /* positions `first`..`last` - 1, modulo 2^32; holes have entry NULL */
    uint32_t last;
    uint32_t room; /* positions that there is place for, a power of two */
    uint32_t count;
};

/* Give back what it holds. */
void marks_clear(struct marks *marks, struct mem *mem);

/* Merge a mark in. False: no memory, nothing changed. */
bool marks_add(struct marks *marks, struct mem *mem, struct entry *entry, const struct mark *mark);

/* That a mark of a block will be added soon: memory that it takes first is fetched meanwhile. */
void marks_expect(const struct marks *marks, const struct entry *entry, uint64_t number);

/* Merge all of `from` in. False: no memory; some of them may be in. */
bool marks_add_all(struct marks *marks, struct mem *mem, const struct marks *from);

/* Mark every element that an entry has now. False: no memory. */
bool marks_add_entry(struct marks *marks, struct mem *mem, struct entry *entry);

static inline bool marks_empty(const struct marks *marks)
{
    return marks->count == 0;
}

/* How many elements all marks have. Time O(count). */
uint64_t marks_elements(const struct marks *marks);

/* The oldest mark, or NULL. Valid until the set changes. */
const struct marked *marks_first(const struct marks *marks);

/* Take the oldest mark out; there is one. */
struct marked marks_take(struct marks *marks, struct mem *mem);

/* Take bits out of a block's mark; a mark without bits leaves the set. */
void marks_remove(struct marks *marks, struct mem *mem, struct entry *entry,
                  const struct mark *bits);

/* What of the oldest mark's entry could leave in one datagram, where blocks must ascend: the oldest
 * mark, and of those that came soon after it the ones with larger numbers, ascending. So the oldest
 * always leaves, whatever comes in later.
 *
 * Returns how many were written, at most `room`. Time O(256), and what sorting `room` takes. */
size_t marks_window(const struct marks *marks, struct mark *window, size_t room);

/* The part of a mark that lies below an offset: what the writer took of it. */
struct mark marks_below(const struct mark *mark, unsigned offset);

/* Entries that were dropped in this turn: several at once, as each set is looked at for them. */
struct drops {
    struct entry *const *entries;
    size_t count;
};

/* Forget entries. They are looked up by their blocks or the set is gone through once, whichever is
 * less: so time is O(count) at most, however large what goes is.
 *
 * Returns how much work it was, in units: a look-up is one, and so are eight marks passed by. */
uint64_t marks_drop(struct marks *marks, struct mem *mem, struct drops drops);

/* Abort unless every invariant above holds. O(count). */
void marks_audit(const struct marks *marks);

/* Move as much as fits from the oldest on into the open datagram as items of `b`, each with the
 * values of now; what went is removed from the set and added to `carried` (NULL or no memory: not
 * kept; it has left all the same). What has ended or was dropped goes nowhere. Returns how many
 * items (blocks) went. Elements that a plain peer must not see are not this function's business. */
size_t marks_put_items(struct marks *marks, const struct table *table, struct mem *mem,
                       struct writer *writer, struct marks *carried);

/* The same for who must know what went, which is remembered in `carried`. At most `marks_max` marks
 * are taken from, those of what has ended too: each is a look-up or more, and they may be many. */
void marks_carry_items(struct marks *marks, const struct table *table, struct mem *mem,
                       struct writer *writer, struct carried *carried, uint32_t marks_max);

#endif /* STORE_MARKS_H */
