#ifndef NODE_AGENDA_H
#define NODE_AGENDA_H

/* Which plain peers may be told something, and from when on: queues in order of their time. Whoever
 * wrote to us lately has a queue, so under a flood there are thousands, most with nothing to say
 * and nearly all of the rest waiting for their pace; a turn must look at those alone whose time has
 * come. Used by node/plain.c. Private to the room.
 *
 * A binary heap. Open, because it is embedded; only node/agenda.c touches the fields. All zero is
 * empty and holds no memory. */

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

struct plain_queue;

struct agenda {
    struct plain_queue **list;
    uint32_t count;
    uint32_t room;
};

void agenda_clear(struct agenda *agenda, struct mem *mem);

/* Make sure that this many queues find a place. False: no memory, nothing changed. */
bool agenda_reserve(struct agenda *agenda, struct mem *mem, uint32_t count);

/* Have a queue's time be this, whether it has a place yet or not; UINT64_MAX: it has none any more.
 * Time O(log count). */
void agenda_set(struct agenda *agenda, struct plain_queue *queue, uint64_t due_us);

/* The queue whose time comes first; NULL: none has one. */
struct plain_queue *agenda_first(const struct agenda *agenda);

/* Abort unless every invariant above holds. */
void agenda_audit(const struct agenda *agenda);

#endif /* NODE_AGENDA_H */
