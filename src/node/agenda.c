#include "node/agenda.h"

#include "node/queue.h"

#include <assert.h>
#include <stddef.h>

#define ROOM_FIRST 16

void agenda_clear(struct agenda *agenda, struct mem *mem)
{
    mem_free(mem, agenda->list, agenda->room * sizeof *agenda->list);
    *agenda = (struct agenda){ .count = 0 };
}

bool agenda_reserve(struct agenda *agenda, struct mem *mem, uint32_t count)
{
    uint32_t room = agenda->room == 0 ? ROOM_FIRST : agenda->room;
    struct plain_queue **list;

    if (count <= agenda->room) {
        return true;
    }
    while (room < count) {
        room *= 2;
    }
    list = mem_grow(mem, agenda->list, agenda->room * sizeof *list, (size_t)room * sizeof *list);
    if (list == NULL) {
        return false;
    }
    agenda->list = list;
    agenda->room = room;
    return true;
}

/* A queue knows its place, so that a change of its time looks for nothing. */
static void put(struct agenda *agenda, uint32_t position, struct plain_queue *queue)
{
    agenda->list[position] = queue;
    queue->place = position + 1;
}

static void rise(struct agenda *agenda, uint32_t position, struct plain_queue *queue)
{
    while (position > 0 && queue->due_us < agenda->list[(position - 1) / 2]->due_us) {
        put(agenda, position, agenda->list[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    put(agenda, position, queue);
}

static void sink(struct agenda *agenda, uint32_t position, struct plain_queue *queue)
{
    for (uint32_t child = 2 * position + 1; child < agenda->count; child = 2 * position + 1) {
        if (child + 1 < agenda->count
            && agenda->list[child + 1]->due_us < agenda->list[child]->due_us) {
            child++;
        }
        if (agenda->list[child]->due_us >= queue->due_us) {
            break;
        }
        put(agenda, position, agenda->list[child]);
        position = child;
    }
    put(agenda, position, queue);
}

/* Put a queue where one is missing. */
static void settle(struct agenda *agenda, uint32_t position, struct plain_queue *queue)
{
    if (position > 0 && queue->due_us < agenda->list[(position - 1) / 2]->due_us) {
        rise(agenda, position, queue);
    } else {
        sink(agenda, position, queue);
    }
}

void agenda_set(struct agenda *agenda, struct plain_queue *queue, uint64_t due_us)
{
    const uint32_t position = queue->place - 1;

    queue->due_us = due_us;
    if (queue->place == 0) {
        if (due_us != UINT64_MAX) {
            assert(agenda->count < agenda->room);
            agenda->count++;
            rise(agenda, agenda->count - 1, queue);
        }
        return;
    }
    assert(agenda->list[position] == queue);
    if (due_us != UINT64_MAX) {
        settle(agenda, position, queue);
        return;
    }
    queue->place = 0;
    agenda->count--;
    if (position < agenda->count) {
        settle(agenda, position, agenda->list[agenda->count]);
    }
}

struct plain_queue *agenda_first(const struct agenda *agenda)
{
    return agenda->count == 0 ? NULL : agenda->list[0];
}

void agenda_audit(const struct agenda *agenda)
{
    assert(agenda->count <= agenda->room);
    for (uint32_t i = 0; i < agenda->count; i++) {
        assert(agenda->list[i]->place == i + 1);
        assert(agenda->list[i]->due_us != UINT64_MAX);
        assert(agenda->list[i]->due_us >= agenda->list[i == 0 ? 0 : (i - 1) / 2]->due_us);
    }
}
