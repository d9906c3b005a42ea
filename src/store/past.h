#ifndef STORE_PAST_H
#define STORE_PAST_H

/* What left the data's digest because it ended, so that roots can be told and compared as of a
 * minute, while keys are still being taken out, and with nodes whose clocks are behind. Called by
 * store/table only. */

#include <stdint.h>

#define PAST_MINUTES 4 /* kept apart: clocks that differ by more are wrong, not skewed */

/* Keys that ended in one minute. */
struct past_minute {
    uint64_t sum;
    uint32_t minute;
    uint32_t keys;
};

struct past {
    uint64_t all;     /* sum of the contributions of all that left and did not come back */
    uint64_t settled; /* the same when the minute was settled */
    uint32_t minute;  /* up to which all that ended has left, and nothing else */
    struct past_minute kept[PAST_MINUTES];
};

/* A key that ended at a minute left the digest, or came back into it. */
void past_leave(struct past *past, uint32_t deadline, uint64_t contribution);
void past_return(struct past *past, uint32_t deadline, uint64_t contribution);

/* All that ended up to this minute has left now, and nothing else. */
void past_settle(struct past *past, uint32_t minute);

/* Keys that ended after a minute and not after the one that is settled, and their sum, as far as
 * they are kept. */
struct past_minute past_after(const struct past *past, uint32_t minute);

#endif /* STORE_PAST_H */
