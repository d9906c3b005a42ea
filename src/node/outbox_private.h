#ifndef NODE_OUTBOX_PRIVATE_H
#define NODE_OUTBOX_PRIVATE_H

/* The inside of the outbox, for node/outbox.c and the test that looks into it. */

#include "node/outbox.h"

struct outbox {
    struct flight *flights;      /* by the low bits of the sequence */
    struct owed_list owed_new;   /* something was added since they were last looked at, FIFO */
    struct owed_list owed_waits; /* nothing urgent: they leave as the rate allows, FIFO */
    uint32_t sequence;           /* of the next datagram to be acked; starts at random */
    uint32_t flights_count;
    uint32_t flights_room;
    uint64_t flights_due_us; /* no flight is due before */
};

#endif /* NODE_OUTBOX_PRIVATE_H */
