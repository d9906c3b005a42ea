#include "node/flights.h"

#include "node/contact.h"
#include "node/detect.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/push.h"
#include "node/state.h"
#include "node/sync.h"
#include "store/marks.h"

bool flights_acked(struct node *node, struct moment now, struct peer *peer, uint32_t sequence)
{
    struct flight flight;

    if (!outbox_take_acked(node, now, peer, sequence, &flight)) {
        return false;
    }
    switch (flight.kind) {
    case FLIGHT_PROBE: detect_acked(node, now, &flight); break;
    case FLIGHT_PUSH: push_acked(node, now, &flight); break;
    case FLIGHT_SYNC: sync_acked(now, &flight); break;
    case FLIGHT_LEAVE: contact_acked(node, &flight); break;
    default: break;
    }
    marks_clear(&flight.carried, node->mem);
    return true;
}

/* Probes and hellos go where nobody may be: that they are lost says nothing about the way, and a
 * probe keeps its own times. Who has let a probe fail is not probed for every datagram more. */
static void flight_lost(struct node *node, struct moment now, struct flight *flight)
{
    switch (flight->kind) {
    case FLIGHT_PUSH:
        pace_lost(flight->peer);
        if (push_lost(node, now, flight) && !flight->peer->mute) {
            detect_soon(node, now, flight->peer);
        }
        break;
    case FLIGHT_SYNC:
        pace_lost(flight->peer);
        sync_lost(node, now, flight);
        break;
    case FLIGHT_LEAVE: contact_lost(node, flight); break;
    default: break;
    }
}

void flights_tick(struct node *node, struct moment now)
{
    struct flight flight;
    uint32_t cursor = 0;

    while (outbox_take_lost(node, now, &cursor, &flight)) {
        flight_lost(node, now, &flight);
        marks_clear(&flight.carried, node->mem);
    }
}
