#include "node/work.h"

#include "node/state.h"

void work_count(struct node *node, uint64_t units)
{
    node->work.done += units;
}

bool work_allows(const struct node *node)
{
    return node->work.done - node->work.turn_done < NODE_TURN_WORK_MAX;
}

void work_turn_end(struct node *node)
{
    node->work.turn_done = node->work.done;
}
