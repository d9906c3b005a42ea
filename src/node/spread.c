#include "node/state.h"

void node_spread(struct node *node, struct moment now, struct entry *entry, const struct mark *mark,
                 struct push_route route)
{
    if (node_has_extended(node, now)) {
        push_queue(node, now, entry, mark, route);
    } else if (route.depth != WIRE_DEPTH_STOP) {
        plain_spread(node, now, entry, mark, route.ttl, route.from);
    }
}
