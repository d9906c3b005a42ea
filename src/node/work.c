#include "node/work.h"

#include "node/state.h"

bool work_allows(const struct node *node)
{
    return node->work.done - node->work.turn_done < NODE_TURN_WORK_MAX;
}

void work_call_begin(struct node *node)
{
    node->work.call_done = node->work.done;
}

bool work_at_once(const struct node *node)
{
    return node->work.done - node->work.call_done < WORK_AT_ONCE
           && node->peers.members <= WORK_AT_ONCE_MEMBERS;
}

bool work_emits(const struct node *node)
{
    return work_allows(node) || node->work.emitted < NODE_EMIT_WORK_MIN;
}

void work_emit_begin(struct node *node)
{
    node->work.emit_done = node->work.done;
}

void work_emit_end(struct node *node)
{
    node->work.emitted += node->work.done - node->work.emit_done;
}

bool work_emit_allows(const struct node *node)
{
    return work_allows(node) || node->work.done - node->work.emit_done < WORK_DATAGRAM_MIN;
}

void work_turn_end(struct node *node)
{
    node->work.turn_done = node->work.done;
    node->work.emitted = 0;
}
