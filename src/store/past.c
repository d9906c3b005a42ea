#include "store/past.h"

#include <string.h>

static struct past_minute *place_of(struct past *past, uint32_t deadline)
{
    return &past->kept[deadline % PAST_MINUTES];
}

void past_leave(struct past *past, uint32_t deadline, uint64_t contribution)
{
    struct past_minute *place = place_of(past, deadline);

    past->all += contribution;
    if (place->minute < deadline || place->keys == 0) {
        *place = (struct past_minute){ .minute = deadline };
    }
    if (place->minute == deadline) {
        place->sum += contribution;
        place->keys++;
    }
}

/* Of a settled minute the place stays as it is told of: it goes once the earlier one is settled. */
void past_return(struct past *past, uint32_t deadline, uint64_t contribution)
{
    struct past_minute *place = place_of(past, deadline);

    past->all -= contribution;
    if (place->minute == deadline && place->keys > 0 && deadline > past->minute) {
        place->sum -= contribution;
        place->keys--;
    }
}

void past_settle(struct past *past, uint32_t minute)
{
    if (minute < past->minute) {
        memset(past->kept, 0, sizeof past->kept);
    }
    past->minute = minute;
    past->settled = past->all;
}

struct past_minute past_after(const struct past *past, uint32_t minute)
{
    struct past_minute after = { .minute = minute };

    for (unsigned i = 0; i < PAST_MINUTES; i++) {
        const struct past_minute *kept = &past->kept[i];

        if (kept->minute > minute && kept->minute <= past->minute) {
            after.sum += kept->sum;
            after.keys += kept->keys;
        }
    }
    return after;
}
