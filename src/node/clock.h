#ifndef NODE_CLOCK_H
#define NODE_CLOCK_H

/* Times of which every record of a peer keeps several: the low 32 bits of the milliseconds since
 * the clock began, half the size of a whole time. They wrap after 49 days, so each is asked only
 * what its neighbourhood can answer. Private to the room. */

#include "base/moment.h"

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t clock_ms(struct moment now)
{
    return (uint32_t)(now.mono_us / 1000);
}

/* Milliseconds since an instant that lies less than 49 days back. */
static inline uint32_t clock_since_ms(struct moment now, uint32_t then_ms)
{
    return clock_ms(now) - then_ms;
}

/* Whether an instant is still to come that was set at most `most_ms` ahead. Further ahead it only
 * seems to lie by wrapping: it is past. */
static inline bool clock_is_ahead(struct moment now, uint32_t due_ms, uint32_t most_ms)
{
    const uint32_t ahead_ms = due_ms - clock_ms(now);

    return ahead_ms > 0 && ahead_ms <= most_ms;
}

#endif /* NODE_CLOCK_H */
