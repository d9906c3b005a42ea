#include "node/work.h"

#include "node/peers.h"
#include "node/state.h"

struct work {
    uint64_t turn_done; /* of node->work_done, before this turn */
    uint64_t call_done; /* before the datagram or update that is being taken in */
    uint64_t emit_done; /* before the datagram that is being encoded */
    uint64_t emitted;   /* of this turn's, by what left */
    uint64_t owed;      /* of what this turn dropped, to be done as it ends */
    uint64_t drop_each; /* by a key that is dropped */
    bool cut;           /* node_emit() stopped for want of budget: more waits */
};

bool work_create(struct node *node)
{
    node->work = mem_alloc_zeroed(node->mem, sizeof *node->work);
    return node->work != NULL;
}

void work_free(struct node *node)
{
    part_free(node, node->work, sizeof *node->work);
}

uint64_t work_of_turn(const struct node *node)
{
    return node->work_done - node->work->turn_done + node->work->owed;
}

bool work_allows(const struct node *node)
{
    return work_of_turn(node) < NODE_TURN_WORK_MAX;
}

void work_drop(struct node *node)
{
    node->work->owed += node->work->drop_each;
}

void work_call_begin(struct node *node)
{
    node->work->call_done = node->work_done;
}

bool work_at_once(const struct node *node)
{
    return node->work_done - node->work->call_done < WORK_AT_ONCE
           && peers_members(node->peers) <= WORK_AT_ONCE_MEMBERS;
}

bool work_emits(struct node *node)
{
    node->work->cut = !work_allows(node) && node->work->emitted >= NODE_EMIT_WORK_MIN;
    return !node->work->cut;
}

bool work_is_cut(const struct node *node)
{
    return node->work->cut;
}

void work_cut(struct node *node)
{
    node->work->cut = true;
}

uint64_t work_turn_begun(const struct node *node)
{
    return node->work->turn_done;
}

void work_emit_begin(struct node *node)
{
    node->work->emit_done = node->work_done;
}

void work_emit_end(struct node *node)
{
    node->work->emitted += node->work_done - node->work->emit_done;
}

bool work_emit_allows(const struct node *node)
{
    return work_allows(node) || node->work_done - node->work->emit_done < WORK_DATAGRAM_MIN;
}

void work_turn_end(struct node *node, uint64_t namers)
{
    node->work->turn_done = node->work_done;
    node->work->emitted = 0;
    node->work->owed = 0;
    node->work->drop_each = namers;
}
