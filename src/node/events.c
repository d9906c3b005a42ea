#include "node/events.h"

#include "node/peers.h"
#include "node/state.h"

#define EVENTS_MAX             64
#define EVENTS_CLUSTER_WAIT_US UINT64_C(60000000) /* one told a minute: it goes on for ever */

struct events {
    struct node_event ring[EVENTS_MAX];
    uint32_t first;
    uint32_t count;
    uint64_t cluster_due_us;
};

bool events_create(struct node *node)
{
    node->events = mem_alloc_zeroed(node->mem, sizeof *node->events);
    return node->events != NULL;
}

void events_free(struct node *node)
{
    part_free(node, node->events, sizeof *node->events);
}

static void put(struct events *events, struct node_event event)
{
    if (events->count == EVENTS_MAX) {
        events->first = (events->first + 1) % EVENTS_MAX;
        events->count--;
    }
    events->ring[(events->first + events->count) % EVENTS_MAX] = event;
    events->count++;
}

void events_state(struct events *events, const struct peer *peer, enum peer_state was)
{
    put(events, (struct node_event){ .address = peer->address,
                                     .heard_us = peer->heard_us,
                                     .kind = NODE_EVENT_PEER,
                                     .was = (uint8_t)was,
                                     .is = peer->state });
}

void events_cluster(struct events *events, struct moment now, const struct address *from)
{
    if (now.mono_us >= events->cluster_due_us) {
        events->cluster_due_us = now.mono_us + EVENTS_CLUSTER_WAIT_US;
        put(events, (struct node_event){ .address = *from, .kind = NODE_EVENT_OTHER_CLUSTER });
    }
}

void events_duplicate(struct events *events, const struct address *self)
{
    put(events, (struct node_event){ .address = *self, .kind = NODE_EVENT_DUPLICATE_ADDRESS });
}

bool events_take(struct events *events, struct node_event *event_out)
{
    if (events->count == 0) {
        return false;
    }
    *event_out = events->ring[events->first];
    events->first = (events->first + 1) % EVENTS_MAX;
    events->count--;
    return true;
}
