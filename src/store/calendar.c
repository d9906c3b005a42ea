#include "store/calendar.h"

#include "store/tombstone.h"

#include <assert.h>

#define WHEEL_LISTS CALENDAR_UNSORTED
#define NO_LIST     CALENDAR_LISTS

/* What stands for the end of a list: where a slab has its header, so that no entry has such an id.
 */
#define END_UNIT 1

_Static_assert(END_UNIT < SLAB_HEADER_UNITS, "no entry begins in the header");
_Static_assert(CALENDAR_LEVELS *CALENDAR_SLOT_BITS >= 32, "the wheel holds every minute");

static uint32_t end_of(unsigned list)
{
    return (uint32_t)list << SLAB_ID_SHIFT | END_UNIT;
}

static bool is_end(uint32_t id)
{
    return (id & (SLAB_UNITS - 1)) == END_UNIT;
}

static void list_empty(struct calendar *calendar, unsigned list)
{
    calendar->lists[list] = (struct calendar_list){ 0 };
    if (list < WHEEL_LISTS) {
        calendar->occupied[list / CALENDAR_SLOTS] &= ~(UINT64_C(1) << list % CALENDAR_SLOTS);
    }
}

static void list_append(struct calendar *calendar, const struct slabs *slabs, unsigned list,
                        uint32_t id)
{
    struct calendar_list *to = &calendar->lists[list];
    struct entry *entry = slabs_either(slabs, id);

    either_set_before(entry, to->last == 0 ? end_of(list) : to->last);
    either_set_after(entry, end_of(list));
    if (to->last == 0) {
        to->first = id;
    } else {
        either_set_after(slabs_either(slabs, to->last), id);
    }
    to->last = id;
    if (list < WHEEL_LISTS) {
        calendar->occupied[list / CALENDAR_SLOTS] |= UINT64_C(1) << list % CALENDAR_SLOTS;
    }
}

/* All entries of a list are to be sorted anew. */
static void list_unsort(struct calendar *calendar, const struct slabs *slabs, unsigned list)
{
    const struct calendar_list from = calendar->lists[list];
    struct calendar_list *to = &calendar->lists[CALENDAR_UNSORTED];

    if (from.first == 0) {
        return;
    }
    either_set_after(slabs_either(slabs, from.last), end_of(CALENDAR_UNSORTED));
    if (to->last == 0) {
        either_set_before(slabs_either(slabs, from.first), end_of(CALENDAR_UNSORTED));
        to->first = from.first;
    } else {
        either_set_before(slabs_either(slabs, from.first), to->last);
        either_set_after(slabs_either(slabs, to->last), from.first);
    }
    to->last = from.last;
    list_empty(calendar, list);
}

/* The list of the wheel for a deadline after the calendar's minute. */
static unsigned list_of(const struct calendar *calendar, uint32_t deadline)
{
    const unsigned bit = 31 - (unsigned)__builtin_clz(deadline ^ calendar->minute);
    const unsigned level = bit / CALENDAR_SLOT_BITS;

    return level * CALENDAR_SLOTS + (deadline >> level * CALENDAR_SLOT_BITS & (CALENDAR_SLOTS - 1));
}

/* The list of the wheel that time reaches first, and when. NO_LIST: all are empty. Those of a level
 * lie within one list of the level above it, which was reached before. */
static unsigned list_next(const struct calendar *calendar, uint64_t *minute)
{
    for (unsigned level = 0; level < CALENDAR_LEVELS; level++) {
        if (calendar->occupied[level] != 0) {
            const unsigned slot = (unsigned)__builtin_ctzll(calendar->occupied[level]);
            const unsigned shift = level * CALENDAR_SLOT_BITS;
            const uint64_t above = (uint64_t)calendar->minute >> shift >> CALENDAR_SLOT_BITS;

            *minute = (above << CALENDAR_SLOT_BITS | slot) << shift;
            return level * CALENDAR_SLOTS + slot;
        }
    }
    return NO_LIST;
}

void calendar_init(struct calendar *calendar)
{
    *calendar = (struct calendar){ .minute = 0 };
}

void calendar_turn(struct calendar *calendar, const struct slabs *slabs, uint32_t minute)
{
    uint64_t start;
    unsigned list;

    if (minute < calendar->minute) {
        for (list = 0; list < WHEEL_LISTS; list++) {
            list_unsort(calendar, slabs, list);
        }
        list_unsort(calendar, slabs, CALENDAR_ENDED);
    }
    while ((list = list_next(calendar, &start)) != NO_LIST && start <= minute) {
        list_unsort(calendar, slabs, list);
        calendar->minute = (uint32_t)start;
    }
    calendar->minute = minute;
}

void calendar_add(struct calendar *calendar, const struct slabs *slabs, uint32_t id,
                  uint32_t deadline)
{
    list_append(calendar, slabs,
                deadline > calendar->minute ? list_of(calendar, deadline) : CALENDAR_UNSORTED, id);
}

void calendar_add_ended(struct calendar *calendar, const struct slabs *slabs, uint32_t id)
{
    list_append(calendar, slabs, CALENDAR_ENDED, id);
}

void calendar_remove(struct calendar *calendar, const struct slabs *slabs, struct entry *entry)
{
    const uint32_t before = either_before(entry);
    const uint32_t after = either_after(entry);

    if (is_end(before) && is_end(after)) {
        assert(before == after);
        list_empty(calendar, before >> SLAB_ID_SHIFT);
        return;
    }
    if (is_end(before)) {
        calendar->lists[before >> SLAB_ID_SHIFT].first = after;
    } else {
        either_set_after(slabs_either(slabs, before), after);
    }
    if (is_end(after)) {
        calendar->lists[after >> SLAB_ID_SHIFT].last = before;
    } else {
        either_set_before(slabs_either(slabs, after), before);
    }
}

uint32_t calendar_after(const struct entry *entry)
{
    const uint32_t after = either_after(entry);

    return is_end(after) ? 0 : after;
}

bool calendar_ends_by(const struct calendar *calendar, uint32_t minute)
{
    uint64_t start;

    return calendar->lists[CALENDAR_UNSORTED].first != 0
           || (list_next(calendar, &start) != NO_LIST && start <= minute);
}

static uint64_t list_audit(const struct calendar *calendar, const struct slabs *slabs,
                           unsigned list)
{
    uint32_t before = end_of(list);
    uint64_t count = 0;

    for (uint32_t id = calendar->lists[list].first; id != 0;) {
        const struct entry *entry = slabs_either(slabs, id);
        const uint32_t deadline = either_deadline(entry);

        assert(deadline != DEADLINE_NONE && !either_is_dropped(entry));
        assert(either_before(entry) == before);
        if (list < WHEEL_LISTS) {
            assert(deadline > calendar->minute && list_of(calendar, deadline) == list);
        }
        if (list != CALENDAR_UNSORTED) {
            assert(either_is_hidden(entry) == (list == CALENDAR_ENDED));
        }
        before = id;
        id = calendar_after(entry);
        assert(id != 0 || either_after(entry) == end_of(list));
        count++;
    }
    assert(calendar->lists[list].last == (count == 0 ? 0 : before));
    return count;
}

uint64_t calendar_audit(const struct calendar *calendar, const struct slabs *slabs)
{
    uint64_t count = 0;

    for (unsigned list = 0; list < CALENDAR_LISTS; list++) {
        const bool any = calendar->lists[list].first != 0;

        count += list_audit(calendar, slabs, list);
        assert(list >= WHEEL_LISTS
               || (calendar->occupied[list / CALENDAR_SLOTS] >> list % CALENDAR_SLOTS & 1) == any);
    }
    return count;
}
