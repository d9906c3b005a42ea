#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

/* What is still to happen, in order of its time; what is to happen at one time, in the order in
 * which it was decided. A binary heap, and datagrams on their way with it. */

#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A datagram under way, or in the receive queue of a machine. */
struct datagram {
    struct datagram *next;
    struct address from; /* as the receiver will see it: may be forged */
    struct address to;
    uint32_t sender; /* the machine that it really left */
    size_t size;
    uint8_t data[];
};

struct datagram *datagram_create(struct bytes bytes);

enum event_kind {
    EVENT_ARRIVAL, /* `datagram` comes to `machine` */
    EVENT_TURN,    /* `machine` does a turn, if that is still when it wants to */
    EVENT_DISK     /* its disk is done, or something is to be done to it; likewise */
};

struct event {
    uint64_t at_us;
    uint64_t order;
    struct datagram *datagram;
    uint32_t machine;
    uint8_t kind; /* enum event_kind */
};

struct schedule {
    struct event *events;
    size_t count;
    size_t room;
    uint64_t order; /* of the next one */
};

void schedule_clear(struct schedule *schedule);
void schedule_push(struct schedule *schedule, struct event event);

/* Take the first. There must be one. */
struct event schedule_pop(struct schedule *schedule);

/* Time of the first; UINT64_MAX when there is none. */
static inline uint64_t schedule_due_us(const struct schedule *schedule)
{
    return schedule->count == 0 ? UINT64_MAX : schedule->events[0].at_us;
}

#endif /* SIM_SCHEDULE_H */
