#include "unit/world.h"

#include "base/hash.h"
#include "node/state.h"
#include "store/vector.h"

#include <assert.h>
#include <stdlib.h>

#include "defaults.h"

struct world_event {
    uint64_t at_us;
    uint64_t order; /* equal times: first come, first served */
    uint8_t *datagram;
    size_t size; /* 0: a tick */
    size_t to;
    struct address from;
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

/* As one of them has it. */
static struct moment moment_of(const struct world *world, size_t i)
{
    struct moment now = world_moment(world);

    now.unix_s += (uint64_t)world->nodes[i].ahead_s;
    return now;
}

struct address world_address(size_t i)
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

    return i < world->count && address_compare(&world->nodes[i].address, address) == 0 ? i
                                                                                       : SIZE_MAX;
}

static void stray_note(struct world *world, const struct address *to, struct bytes datagram)
{
    world->strays++;
    world->stray.to = *to;
    world->stray.size = datagram.size;
    memcpy(world->stray.data, datagram.data, datagram.size);
}

static bool is_lost(struct world *world, size_t from, size_t to, struct bytes datagram)
{
    const bool apart =
        from != SIZE_MAX && to != SIZE_MAX && world->nodes[from].side != world->nodes[to].side;
    const bool lost = apart || world->sent == world->lose
                      || random_below(&world->random, 1000) < world->loss_permille;

    if (to != SIZE_MAX && world->filter != NULL) {
        return !world->filter(world->context, from, to, datagram) || lost;
    }
    return lost;
}

void world_send(struct world *world, const struct address *from, const struct address *to,
                struct bytes datagram)
{
    const bool mirrored = world->alias != NULL && address_compare(to, world->alias) == 0;
    const size_t receiver = node_of(world, mirrored ? from : to);
    const size_t sender = node_of(world, from);
    struct world_event event;

    world->sent++;
    world->trace = hash_mix(world->trace ^ world->now_us,
                            hash_sip((const uint8_t[16]){ 0 }, datagram) ^ to->ip[15]);
    if (sender != SIZE_MAX) {
        world->nodes[sender].sent_bytes += datagram.size + NODE_HEADER_BYTES;
    }
    if (is_lost(world, sender, receiver, datagram)) {
        return;
    }
    if (receiver == SIZE_MAX) {
        stray_note(world, to, datagram);
        return;
    }
    event = (struct world_event){ .at_us = world->now_us + world->delay_us,
                                  .datagram = malloc(datagram.size),
                                  .size = datagram.size,
                                  .to = receiver,
                                  .from = mirrored ? *to : *from };
    assert(event.datagram != NULL);
    memcpy(event.datagram, datagram.data, datagram.size);
    queue_push(world, event);
}

/* A tick of the node, unless one is due before. */
static void tick_plan(struct world *world, size_t i, uint64_t due_us)
{
    if (due_us < world->nodes[i].due_us) {
        world->nodes[i].due_us = due_us;
        queue_push(world, (struct world_event){ .at_us = due_us, .to = i });
    }
}

void world_wake(struct world *world, size_t node)
{
    tick_plan(world, node, world->now_us);
}

/* The rest of a turn, after something was done to the node. */
static void turn_end(struct world *world, size_t i)
{
    struct world_node *node = &world->nodes[i];
    const struct moment now = moment_of(world, i);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    uint64_t due_us;
    size_t size;

    world->turns++;
    if (now.mono_us >= node_due_us(node->node)) {
        node_tick(node->node, now);
    }
    while ((size = node_emit(node->node, now, space, &to)) > 0) {
        world_send(world, &node->address, &to, (struct bytes){ buffer, size });
    }
    node_turn_end(node->node);
    due_us = node_due_us(node->node);
    tick_plan(world, i, due_us <= world->now_us ? world->now_us + 1 : due_us);
}

static void event_handle(struct world *world, struct world_event event)
{
    struct world_node *node = &world->nodes[event.to];
    const bool is_tick = event.size == 0;

    if (is_tick && event.at_us != node->due_us) {
        return; /* another one was due before */
    }
    if (is_tick) {
        node->due_us = UINT64_MAX;
    }
    if (node->up && !is_tick) {
        node_receive(node->node, moment_of(world, event.to), &event.from,
                     (struct bytes){ event.datagram, event.size });
    }
    free(event.datagram);
    if (node->up) {
        turn_end(world, event.to);
    }
}

struct node_options world_options(size_t i)
{
    return (struct node_options){
        NODE_DEFAULTS,
        .self = world_address(i),
        .seed = 100 + i,
        .token_secret = { (uint8_t)(i + 1) },
        .http_port = (uint16_t)(8000 + i),
    };
}

struct world_node *world_add(struct world *world, const struct node_options *options,
                             uint64_t keys_max)
{
    const size_t i = world->count;
    struct world_node *node;
    struct table_options table_options = {
        .hash_secret = { (uint8_t)(i + 1) },
        .cluster_id = options->cluster_id,
        .keys_max = keys_max,
        .digest_mask = ~world->digests_cut,
    };

    if (world->nodes == NULL) {
        world->nodes = calloc(WORLD_NODES_MAX, sizeof *world->nodes);
        world->now_us = world->now_us == 0 ? WORLD_S : world->now_us;
        world->delay_us = world->delay_us == 0 ? WORLD_DELAY_US : world->delay_us;
        random_seed(&world->random, 1, 1);
    }
    assert(world->nodes != NULL && i < WORLD_NODES_MAX);
    world->count++;
    node = &world->nodes[i];
    node->address = options->self;
    node->up = true;
    node->due_us = UINT64_MAX;
    table_options.mem = &node->mem;
    if (table_create(&table_options, &node->table) != STATUS_OK
        || node_create(options, &node->mem, node->table, world_moment(world), &node->node)
               != STATUS_OK) {
        abort();
    }
    world_wake(world, i);
    return node;
}

void world_join(struct world *world, const struct node_options *options)
{
    const struct address first = world_address(0);
    struct world_node *node = world_add(world, options, 0);

    if (world->count > 1) {
        node_seeds(node->node, world_moment(world), &first, 1);
    }
}

void world_create(struct world *world, size_t count, uint64_t seed)
{
    const struct address_range anybody = { .bits = 0 };

    for (size_t i = 0; i < count; i++) {
        struct node_options options = world_options(i);

        options.seed += seed * 1000003;
        options.trust = &anybody;
        options.trust_count = 1;
        world_join(world, &options);
    }
    random_seed(&world->random, seed, 1);
}

bool world_free(struct world *world)
{
    bool clean = true;

    for (size_t i = 0; i < world->count; i++) {
        struct world_node *node = &world->nodes[i];

        node_audit(node->node);
        table_audit(node->table);
        node_free(node->node);
        table_free(node->table);
        clean = clean && node->mem.used_bytes == 0;
    }
    for (size_t i = 0; i < world->queue_count; i++) {
        free(world->queue[i].datagram);
    }
    free(world->queue);
    free(world->nodes);
    memset(world, 0, sizeof *world);
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

enum status world_update(struct world *world, size_t node, const char *key, uint64_t index,
                         uint64_t value, struct client_done *done)
{
    world_wake(world, node);
    return client_write_one(world->nodes[node].node, moment_of(world, node), bytes_of(key), index,
                            value, done);
}

void world_write(struct world *world, size_t node, const char *key, uint64_t index, uint64_t value)
{
    if (world_update(world, node, key, index, value, NULL) != STATUS_OK) {
        abort();
    }
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
    const struct address address = world_address(other);
    struct peer_view view;

    if (!node_peer(world->nodes[node].node, &address, &view)) {
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
