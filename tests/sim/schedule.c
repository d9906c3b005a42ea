#include "sim/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct datagram *datagram_create(struct bytes bytes)
{
    struct datagram *datagram = malloc(sizeof *datagram + bytes.size);

    assert(datagram != NULL);
    *datagram = (struct datagram){ .size = bytes.size };
    if (bytes.size > 0) {
        memcpy(datagram->data, bytes.data, bytes.size);
    }
    return datagram;
}

void schedule_clear(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->count; i++) {
        free(schedule->events[i].datagram);
    }
    free(schedule->events);
    *schedule = (struct schedule){ 0 };
}

static bool before(const struct event *one, const struct event *other)
{
    return one->at_us != other->at_us ? one->at_us < other->at_us : one->order < other->order;
}

void schedule_push(struct schedule *schedule, struct event event)
{
    size_t i = schedule->count++;

    if (schedule->count > schedule->room) {
        schedule->room = schedule->room * 2 + 64;
        schedule->events = realloc(schedule->events, schedule->room * sizeof *schedule->events);
        assert(schedule->events != NULL);
    }
    event.order = schedule->order++;
    while (i > 0 && before(&event, &schedule->events[(i - 1) / 2])) {
        schedule->events[i] = schedule->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    schedule->events[i] = event;
}

struct event schedule_pop(struct schedule *schedule)
{
    const struct event first = schedule->events[0];
    struct event last;
    size_t i = 0;

    assert(schedule->count > 0);
    last = schedule->events[--schedule->count];
    for (size_t child = 1; child < schedule->count; child = 2 * i + 1) {
        if (child + 1 < schedule->count
            && before(&schedule->events[child + 1], &schedule->events[child])) {
            child++;
        }
        if (!before(&schedule->events[child], &last)) {
            break;
        }
        schedule->events[i] = schedule->events[child];
        i = child;
    }
    if (schedule->count > 0) {
        schedule->events[i] = last;
    }
    return first;
}
