#include "unit/world.h"

#include "store/vector.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "defaults.h"
#include "unit/client.h"

struct world_event {
    uint64_t at_us;
    uint64_t order; /* equal times: first come, first served */
    uint8_t *datagram;
    size_t size; /* 0: a tick */
    size_t to;
    size_t from;
};

static bool event_before(const struct world_event *one, const struct world_event *other)
{
    return one->at_us != other->at_us ? one->at_us < other->at_us : one->order < other->order;
}

static void queue_push(struct world *world, struct world_event event)
{
    size_t i = world->queue_count++;

    if (world->queue_count > world->queue_room) {
        world->queue_room = world->queue_room * 2 + 64;
        world->queue = realloc(world->queue, world->queue_room * sizeof *world->queue);
        assert(world->queue != NULL);
    }
    event.order = world->order++;
    while (i > 0 && event_before(&event, &world->queue[(i - 1) / 2])) {
        world->queue[i] = world->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    world->queue[i] = event;
}

static struct world_event queue_pop(struct world *world)
{
    const struct world_event first = world->queue[0];
    const struct world_event last = world->queue[--world->queue_count];
    size_t i = 0;

    for (size_t child = 1; child < world->queue_count; child = 2 * i + 1) {
        if (child + 1 < world->queue_count
            && event_before(&world->queue[child + 1], &world->queue[child])) {
            child++;
        }
        if (!event_before(&world->queue[child], &last)) {
            break;
        }
        world->queue[i] = world->queue[child];
        i = child;
    }
    world->queue[i] = last;
    return first;
}

struct moment world_moment(const struct world *world)
{
    return (struct moment){ .mono_us = world->now_us,
                            .unix_s = WORLD_UNIX_S + world->now_us / WORLD_S };
}

static struct address address_of(size_t i)
{
    return (struct address){
        .ip = { [10] = 0xff,
                [11] = 0xff,
                [12] = 10,
                [13] = (uint8_t)(i >> 16),
                [14] = (uint8_t)(i >> 8),
                [15] = (uint8_t)(i + 1) },
        .port = 6000,
    };
}

static size_t node_of(const struct world *world, const struct address *address)
{
    const size_t i = (size_t)address->ip[13] << 16 | (size_t)address->ip[14] << 8
                     | (uint8_t)(address->ip[15] - 1);

    return i < world->count ? i : SIZE_MAX;
}

static void datagram_leaves(struct world *world, size_t from, const struct address *to,
                            struct bytes datagram)
{
    struct world_node *node = &world->nodes[from];
    const size_t receiver = node_of(world, to);
    struct world_event event;
    bool lost;

    node->sent++;
    node->sent_bytes += datagram.size + 28;
    lost = receiver == SIZE_MAX || node->side != world->nodes[receiver].side
           || random_below(&world->random, 1000) < world->loss_permille;
    if (receiver != SIZE_MAX && world->filter != NULL) {
        lost = !world->filter(world->context, from, receiver, datagram) || lost;
    }
    if (lost) {
        return;
    }
    event = (struct world_event){ .at_us = world->now_us + world->delay_us,
                                  .datagram = malloc(datagram.size),
                                  .size = datagram.size,
                                  .to = receiver,
                                  .from = from };
    assert(event.datagram != NULL);
    memcpy(event.datagram, datagram.data, datagram.size);
    queue_push(world, event);
}

/* The rest of a turn, after something was done to the node. */
static void turn_end(struct world *world, size_t i)
{
    struct world_node *node = &world->nodes[i];
    const struct moment now = world_moment(world);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    uint64_t due_us;
    size_t size;

    while ((size = node_emit(node->node, now, space, &to)) > 0) {
        datagram_leaves(world, i, &to, (struct bytes){ buffer, size });
    }
    node_turn_end(node->node);
    due_us = node_due_us(node->node);
    due_us = due_us <= world->now_us ? world->now_us + 1 : due_us;
    if (due_us < node->due_us) {
        node->due_us = due_us;
        queue_push(world, (struct world_event){ .at_us = due_us, .to = i });
    }
}

static void event_handle(struct world *world, struct world_event event)
{
    struct world_node *node = &world->nodes[event.to];
    const struct moment now = world_moment(world);

    if (event.size == 0 && event.at_us == node->due_us) {
        node->due_us = UINT64_MAX;
    }
    if (!node->up) {
        free(event.datagram);
        return;
    }
    if (event.size > 0) {
        node_receive(node->node, now, &world->nodes[event.from].address,
                     (struct bytes){ event.datagram, event.size });
        free(event.datagram);
    }
    if (now.mono_us >= node_due_us(node->node)) {
        node_tick(node->node, now);
    }
    turn_end(world, event.to);
}

static void node_start(struct world *world, size_t i, uint64_t seed)
{
    struct world_node *node = &world->nodes[i];
    const struct table_options table_options = {
        .mem = &node->mem,
        .hash_secret = { (uint8_t)i },
        .digest_mask = ~world->digests_cut,
    };
    const struct address first = address_of(0);
    struct address_range anybody = { .bits = 0 };
    struct node_options options = {
        NODE_DEFAULTS,
        .seed = seed * 1000003 + i,
        .token_secret = { (uint8_t)i, (uint8_t)(i >> 8) },
        .trust = &anybody,
        .trust_count = 1,
    };

    node->address = address_of(i);
    options.self = node->address;
    node->up = true;
    node->due_us = UINT64_MAX;
    if (table_create(&table_options, &node->table) != STATUS_OK
        || node_create(&options, &node->mem, node->table, world_moment(world), &node->node)
               != STATUS_OK) {
        abort();
    }
    if (i > 0) {
        node_seeds(node->node, world_moment(world), &first, 1);
    }
    turn_end(world, i);
}

void world_create(struct world *world, size_t count, uint64_t seed)
{
    const uint64_t digests_cut = world->digests_cut;

    *world = (struct world){
        .count = count, .now_us = WORLD_S, .delay_us = 1000, .digests_cut = digests_cut
    };
    random_seed(&world->random, seed, 1);
    world->nodes = calloc(count, sizeof *world->nodes);
    assert(world->nodes != NULL);
    for (size_t i = 0; i < count; i++) {
        node_start(world, i, seed);
    }
}

bool world_free(struct world *world)
{
    bool clean = true;

    for (size_t i = 0; i < world->count; i++) {
        node_free(world->nodes[i].node);
        table_free(world->nodes[i].table);
        clean = clean && world->nodes[i].mem.used_bytes == 0;
    }
    for (size_t i = 0; i < world->queue_count; i++) {
        free(world->queue[i].datagram);
    }
    free(world->queue);
    free(world->nodes);
    return clean;
}

bool world_run_until(struct world *world, uint64_t span_us,
                     bool (*condition)(const struct world *world, void *context), void *context)
{
    const uint64_t end_us = world->now_us + span_us;

    while (world->queue_count > 0 && world->queue[0].at_us <= end_us) {
        struct world_event event = queue_pop(world);

        world->now_us = event.at_us;
        event_handle(world, event);
        if (condition != NULL && condition(world, context)) {
            return true;
        }
    }
    world->now_us = end_us;
    return false;
}

void world_run(struct world *world, uint64_t span_us)
{
    (void)world_run_until(world, span_us, NULL, NULL);
}

bool world_joined(const struct world *world, void *unused)
{
    size_t up = 0;

    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        up += world->nodes[i].up ? 1 : 0;
    }
    for (size_t i = 0; i < world->count; i++) {
        uint64_t counts[PEER_STATE_COUNT];

        if (world->nodes[i].up) {
            node_peer_counts(world->nodes[i].node, counts);
            if (counts[PEER_ALIVE] + 1 != up) {
                return false;
            }
        }
    }
    return true;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

void world_write(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value)
{
    if (client_write_one(world->nodes[node].node, world_moment(world), bytes_of(key), index, value,
                         NULL)
        != STATUS_OK) {
        abort();
    }
    turn_end(world, node);
}

uint64_t world_read(const struct world *world, size_t node, const char *key, uint64_t index)
{
    const struct entry *entry = table_find(world->nodes[node].table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

size_t world_count(const struct world *world, const char *key, uint64_t index, uint64_t value)
{
    size_t count = 0;

    for (size_t i = 0; i < world->count; i++) {
        count += world->nodes[i].up && world_read(world, i, key, index) >= value ? 1 : 0;
    }
    return count;
}

void world_load(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value)
{
    struct table *table = world->nodes[node].table;
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct entry *entry;

    if (table_obtain(table, bytes_of(key), TABLE_DATA, &entry) != STATUS_OK
        || table_merge(table, entry, &block, CHANGE_FROM_DISK, NULL) != STATUS_OK) {
        abort();
    }
    table_turn_end(table);
}

enum peer_state world_state(const struct world *world, size_t node, size_t other)
{
    struct peer_view view;

    if (!node_peer(world->nodes[node].node, &world->nodes[other].address, &view)) {
        return PEER_STATE_COUNT;
    }
    return (enum peer_state)view.state;
}

void world_kill(struct world *world, size_t node)
{
    world->nodes[node].up = false;
}

uint64_t world_sent_bytes(const struct world *world)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < world->count; i++) {
        bytes += world->nodes[i].sent_bytes;
    }
    return bytes;
}

uint64_t world_sent(const struct world *world, enum node_kind kind)
{
    uint64_t count = 0;

    for (size_t i = 0; i < world->count; i++) {
        count += node_stats(world->nodes[i].node)->sent[kind];
    }
    return count;
}
