#include "node/spread.h"

#include "node/peers.h"
#include "node/plain.h"
#include "node/push.h"
#include "node/state.h"
#include "node/work.h"
#include "store/marks.h"

#include <assert.h>

#define BATCHES_MAX 64 /* routes at once; beyond, they share one */
#define SLICE       16 /* marks of one route before the next has its turn */

struct spread_batch {
    struct spread_batch *next;
    struct marks marks;
    struct push_route route;
    bool pushed; /* it came by push */
};

struct spread {
    struct spread_batch *first;
    struct spread_batch *last;
    uint32_t count;
    uint64_t stepped; /* the turn that has had its step, by work_turn_begun() + 1 */
};

static void spread_now(struct node *node, struct moment now, struct entry *entry,
                       const struct mark *mark, const struct spread_batch *how)
{
    if (how->pushed || node_has_extended(node, now)) {
        push_queue(node, now, entry, mark, how->route);
    } else {
        plain_spread(node, now, entry, mark, how->route.ttl, how->route.from);
    }
}

static bool same_way(const struct spread_batch *one, const struct spread_batch *other)
{
    return one->route.from == other->route.from && one->route.depth == other->route.depth
           && one->route.ttl == other->route.ttl && one->pushed == other->pushed;
}

static void batch_append(struct spread *spread, struct spread_batch *batch)
{
    batch->next = NULL;
    if (spread->last == NULL) {
        spread->first = batch;
    } else {
        spread->last->next = batch;
    }
    spread->last = batch;
}

/* Make the last batch wide enough for one more route: nobody is left out, some may hear twice. */
static struct spread_batch *batch_widen(struct spread_batch *batch, const struct spread_batch *how)
{
    batch->route.from = NULL;
    batch->route.depth =
        how->route.depth < batch->route.depth ? how->route.depth : batch->route.depth;
    batch->route.ttl = how->route.ttl > batch->route.ttl ? how->route.ttl : batch->route.ttl;
    batch->pushed = batch->pushed && how->pushed;
    return batch;
}

/* The batch of a route. NULL: no memory. */
static struct spread_batch *batch_obtain(struct node *node, const struct spread_batch *how)
{
    struct spread *spread = node->spread;
    struct spread_batch *batch = spread->last;

    if (batch == NULL || !same_way(batch, how)) {
        batch = spread->first;
    }
    while (batch != NULL && !same_way(batch, how)) {
        batch = batch->next;
    }
    if (batch != NULL) {
        return batch;
    }
    if (spread->count == BATCHES_MAX) {
        return batch_widen(spread->last, how);
    }
    batch = mem_alloc_zeroed(node->mem, sizeof *batch);
    if (batch != NULL) {
        batch->route = how->route;
        batch->pushed = how->pushed;
        spread->count++;
        batch_append(spread, batch);
    }
    return batch;
}

/* Take the first batch off the list. */
static struct spread_batch *batch_take(struct spread *spread)
{
    struct spread_batch *batch = spread->first;

    spread->first = batch->next;
    if (spread->first == NULL) {
        spread->last = NULL;
    }
    return batch;
}

static void batch_free(struct node *node, struct spread_batch *batch)
{
    marks_clear(&batch->marks, node->mem);
    mem_free(node->mem, batch, sizeof *batch);
    node->spread->count--;
}

static void spread_or_keep(struct node *node, struct moment now, struct entry *entry,
                           const struct mark *mark, const struct spread_batch *how)
{
    struct spread_batch *batch;

    if (how->route.depth == WIRE_DEPTH_STOP || peers_members(node->peers) == 0) {
        return;
    }
    if (work_at_once(node)) {
        spread_now(node, now, entry, mark, how);
        return;
    }
    work_count(node, 1);
    batch = batch_obtain(node, how);
    if (batch == NULL || !marks_add(&batch->marks, node->mem, entry, mark)) {
        node->stats.memory_refused++;
    }
}

void node_spread(struct node *node, struct moment now, struct entry *entry, const struct mark *mark,
                 struct push_route route)
{
    spread_or_keep(node, now, entry, mark, &(struct spread_batch){ .route = route });
}

void spread_pushed(struct node *node, struct moment now, struct entry *entry,
                   const struct mark *mark, struct push_route route)
{
    spread_or_keep(node, now, entry, mark,
                   &(struct spread_batch){ .route = route, .pushed = true });
}

void spread_repeat(struct node *node, struct moment now, struct entry *entry,
                   const struct mark *mark, uint8_t depth, const struct peer *from)
{
    if (!push_handled(node, now, entry, mark, depth)) {
        spread_pushed(node, now, entry, mark,
                      (struct push_route){ .from = from, .depth = depth, .ttl = PUSH_TTL });
    }
}

/* Most is for the last batch: that of the datagram. */
void spread_expect(const struct node *node, const struct entry *entry, uint64_t number)
{
    if (node->spread->last != NULL) {
        marks_expect(&node->spread->last->marks, entry, number);
    }
}

/* Spread some of the first batch; it goes to the end of the list, or away. */
static void batch_step(struct node *node, struct moment now)
{
    struct spread_batch *batch = batch_take(node->spread);
    unsigned count = 0;

    while (!marks_empty(&batch->marks) && count < SLICE && (count == 0 || work_allows(node))) {
        const struct marked marked = marks_take(&batch->marks, node->mem);

        spread_now(node, now, marked.entry, &marked.mark, batch);
        count++;
    }
    if (marks_empty(&batch->marks)) {
        batch_free(node, batch);
    } else {
        batch_append(node->spread, batch);
    }
}

void spread_step(struct node *node, struct moment now)
{
    struct spread *spread = node->spread;

    while (spread->first != NULL
           && (work_allows(node) || spread->stepped != work_turn_begun(node) + 1)) {
        batch_step(node, now);
        spread->stepped = work_turn_begun(node) + 1;
    }
}

void spread_drop_peer(struct node *node, const struct peer *peer)
{
    for (struct spread_batch *batch = node->spread->first; batch != NULL; batch = batch->next) {
        if (batch->route.from == peer) {
            batch->route.from = NULL;
        }
    }
}

void spread_drop_entries(struct node *node, struct drops drops)
{
    for (struct spread_batch *batch = node->spread->first; batch != NULL; batch = batch->next) {
        work_count(node, 1 + marks_drop(&batch->marks, node->mem, drops));
    }
}

bool spread_waits(const struct node *node)
{
    return node->spread->first != NULL;
}

bool spread_create(struct node *node)
{
    node->spread = mem_alloc_zeroed(node->mem, sizeof *node->spread);
    return node->spread != NULL;
}

void spread_free(struct node *node)
{
    while (node->spread != NULL && node->spread->first != NULL) {
        batch_free(node, batch_take(node->spread));
    }
    part_free(node, node->spread, sizeof *node->spread);
}
