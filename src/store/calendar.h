#ifndef STORE_CALENDAR_H
#define STORE_CALENDAR_H

/* Dated entries and tombstones, here both called entries, by the minute in which they end: a timing
 * wheel. Called by store/table only.
 *
 * Six levels of 64 lists, a list for each value of each group of six bits of a minute. An entry
 * lies at the level of the highest group in which its deadline differs from the calendar's minute,
 * in the list of the value that its deadline has there. So time finds what it reaches by the first
 * list that is not empty, however far it jumps, and six levels hold every minute there is. No list
 * is gone through: those that time has reached are joined, in O(1) each, to one list of entries to
 * be sorted anew, which the caller works off as slowly as it likes. Where the clock goes back that
 * is all lists; what had ended comes back the same way. Whatever comes is as quick: nothing here
 * takes longer than a look at each of the lists.
 *
 * A list is linked both ways through its entries, and ends in its own number, so that
 * an entry leaves it wherever it lies. No memory is taken: nothing here can fail.
 *
 * Source: Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987). */

#include "store/slab.h"

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_LEVELS    6
#define CALENDAR_SLOT_BITS 6 /* of a minute, at each level */
#define CALENDAR_SLOTS     (1U << CALENDAR_SLOT_BITS)

/* Lists beside those of the wheel. */
enum calendar_list_number {
    CALENDAR_UNSORTED = CALENDAR_LEVELS * CALENDAR_SLOTS,
    CALENDAR_ENDED,
    CALENDAR_LISTS
};

struct calendar_list {
    uint32_t first; /* ids; 0: it is empty */
    uint32_t last;
};

struct calendar {
    uint64_t occupied[CALENDAR_LEVELS]; /* bit i: list i of the level is not empty */
    struct calendar_list lists[CALENDAR_LISTS];
    uint32_t minute;
};

void calendar_init(struct calendar *calendar);

/* It is this minute now, before or after the last one. What has to be looked at for that is to be
 * sorted. */
void calendar_turn(struct calendar *calendar, const struct slabs *slabs, uint32_t minute);

/* Take in an entry that ends at a minute: in the wheel, or where that is not after the calendar's
 * own, among those to be sorted. */
void calendar_add(struct calendar *calendar, const struct slabs *slabs, uint32_t id,
                  uint32_t deadline);

/* Take in an entry that has ended: it stays apart until the clock goes back. */
void calendar_add_ended(struct calendar *calendar, const struct slabs *slabs, uint32_t id);

/* Take out an entry that is there, wherever it lies. */
void calendar_remove(struct calendar *calendar, const struct slabs *slabs, struct entry *entry);

/* The first of a list, and what follows an entry; 0: none. */
static inline uint32_t calendar_first(const struct calendar *calendar,
                                      enum calendar_list_number list)
{
    return calendar->lists[list].first;
}
uint32_t calendar_after(const struct entry *entry);

/* Whether entries may end after the calendar's minute and not after another: of those that it has
 * not sorted to the minute yet, it says so too. */
bool calendar_ends_by(const struct calendar *calendar, uint32_t minute);

/* Abort unless each list is linked both ways and holds what belongs there. Returns how many entries
 * there are. */
uint64_t calendar_audit(const struct calendar *calendar, const struct slabs *slabs);

#endif /* STORE_CALENDAR_H */
