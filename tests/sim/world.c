#include "sim/world.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "defaults.h"
#include "sim/check.h"
#include "sim/machine.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/storage.h"
#include "unit/client.h"

#define PORT        6000
#define WAKE_US     50 /* from a datagram's arrival to the turn that takes it, at least */
#define WAKE_JITTER 100
#define SLICE       64

enum purpose { PURPOSE_CLIENTS = 201, PURPOSE_CHAOS, PURPOSE_MACHINES };

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

const struct address_range world_network = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10 },
                                             .bits = 104 };

/* 10.b.c.d, of which b, c, d are the machine's number plus one. */
static struct address address_of(uint32_t machine)
{
    const uint32_t number = machine + 1;

    return (struct address){
        .ip = { [10] = 0xff,
                [11] = 0xff,
                [12] = 10,
                [13] = (uint8_t)(number >> 16),
                [14] = (uint8_t)(number >> 8),
                [15] = (uint8_t)number },
        .port = PORT,
    };
}

uint32_t world_machine_of(const struct world *world, const struct address *address)
{
    const uint32_t number =
        (uint32_t)address->ip[13] << 16 | (uint32_t)address->ip[14] << 8 | address->ip[15];

    if (address->ip[12] == 172 && address->ip[13] == 16 && world->options.strangers > 0) {
        return (uint32_t)(world->count - world->options.strangers);
    }
    if (address->ip[12] != 10 || number == 0 || number > world->count
        || address_compare(address, &world->machines[number - 1].address) != 0) {
        return WORLD_NOBODY;
    }
    return number - 1;
}

bool world_is_trusted(const struct world *world, const struct address *address)
{
    if (world->options.distrustful) {
        return false;
    }
    return !world->options.trusts_members || address_in_range(address, &world_network);
}

struct moment world_moment(const struct world *world, const struct machine *machine)
{
    const uint64_t unix_s = world->options.unix_s + world->now_us / WORLD_S;

    return (struct moment){ .mono_us = world->now_us + machine->mono_offset_us,
                            .unix_s = (uint64_t)((int64_t)unix_s + machine->unix_offset_s) };
}

static enum machine_kind kind_of(const struct world_options *options, size_t i)
{
    if (i < options->nodes) {
        return MACHINE_NODE;
    }
    if (i < options->nodes + options->rubies) {
        return MACHINE_RUBY;
    }
    return i < options->nodes + options->rubies + options->clojures ? MACHINE_CLOJURE
                                                                    : MACHINE_STRANGER;
}

static void machines_create(struct world *world)
{
    struct random random;

    random_seed(&random, world->options.seed, PURPOSE_MACHINES);
    for (uint32_t i = 0; i < world->count; i++) {
        struct machine *machine = &world->machines[i];

        machine->kind = (uint8_t)kind_of(&world->options, i);
        machine->address = address_of(i);
        machine->turn_us = UINT64_MAX;
        machine->unix_offset_s = world->options.unix_shift_s;
        machine->mem.limit_bytes = world->options.store_bytes_max;
        machine->node_mem.limit_bytes = world->options.node_bytes_max;
        /* Clocks that count from the machine's own start differ by anything. */
        machine->mono_offset_us = WORLD_S + random_below(&random, 4000000000000);
    }
}

struct world *world_create(const struct world_options *options)
{
    struct world *world = calloc(1, sizeof *world);

    assert(world != NULL);
    world->options = *options;
    world->options.node =
        (struct node_options){ NODE_DEFAULTS, .cluster_id = options->node.cluster_id };
    if (options->node.bytes_per_second_max > 0) {
        world->options.node.bytes_per_second_max = options->node.bytes_per_second_max;
    }
    world->options.unix_s = options->unix_s == 0 ? WORLD_UNIX_S : options->unix_s;
    world->options.digest_mask = options->digest_mask == 0 ? UINT64_MAX : options->digest_mask;
    world->count = options->nodes + options->rubies + options->clojures + options->strangers;
    world->machines = calloc(world->count, sizeof *world->machines);
    assert(world->machines != NULL);
    world->now_us = WORLD_S;
    world->network.faults = options->faults;
    network_init(&world->network, options->seed);
    random_seed(&world->clients, options->seed, PURPOSE_CLIENTS);
    random_seed(&world->chaos, options->seed, PURPOSE_CHAOS);
    world->checks = checks_create(world);
    machines_create(world);
    if (options->prejoined) {
        machine_prejoin(world);
    }
    for (uint32_t i = 0; i < world->count; i++) {
        if (options->has_disks && world->machines[i].kind == MACHINE_NODE) {
            world->machines[i].storage = storage_create(world, i);
            storage_start(world, i);
        } else if (world->machines[i].node == NULL && world->machines[i].kind != MACHINE_STRANGER) {
            machine_start(world, i, NULL);
            machine_seed(world, i);
            machine_finish(world, &world->machines[i]);
        }
    }
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        struct machine *machine = &world->machines[i];

        machine_deafen(machine);
        storage_free(world, i);
        node_free(machine->node);
        table_free(machine->table);
        table_free(machine->saved);
        prototype_free(machine->prototype);
        if (machine->mem.used_bytes != 0 || machine->node_mem.used_bytes != 0) {
            red("memory", "machine %u has %llu and %llu bytes left after its end", i,
                (unsigned long long)machine->mem.used_bytes,
                (unsigned long long)machine->node_mem.used_bytes);
        }
    }
    schedule_clear(&world->schedule);
    checks_free(world->checks);
    free(world->machines);
    free(world);
}

/* Time. */

static void arrive(struct world *world, struct machine *machine, struct datagram *datagram)
{
    const uint64_t wake_us = world->now_us + WAKE_US + world->schedule.order % WAKE_JITTER;

    if (!machine->up || machine->received_count == NETWORK_QUEUE_MAX) {
        machine->overflows += machine->up;
        free(datagram);
        return;
    }
    machine->arrived++;
    machine->arrived_bytes += datagram->size + NETWORK_HEADER_BYTES;
    if (machine->received_last == NULL) {
        machine->received_first = datagram;
    } else {
        machine->received_last->next = datagram;
    }
    machine->received_last = datagram;
    machine->received_count++;
    if (wake_us < machine->turn_us) {
        machine->turn_us = wake_us;
        schedule_push(&world->schedule,
                      (struct event){ .at_us = wake_us,
                                      .machine = (uint32_t)(machine - world->machines),
                                      .kind = EVENT_TURN });
    }
}

static void event_handle(struct world *world, const struct event *event)
{
    struct machine *machine = &world->machines[event->machine];

    if (event->kind == EVENT_ARRIVAL) {
        arrive(world, machine, event->datagram);
        return;
    }
    if (event->kind == EVENT_DISK) {
        storage_event(world, event->machine, event->at_us);
        return;
    }
    if (event->at_us != machine->turn_us || !machine->up) {
        return; /* it has changed its mind meanwhile */
    }
    if (world->now_us < machine->paused_us) {
        machine->turn_us = machine->paused_us;
        schedule_push(&world->schedule, (struct event){ .at_us = machine->turn_us,
                                                        .machine = event->machine,
                                                        .kind = EVENT_TURN });
        return;
    }
    world->turns++;
    machine->turn_us = UINT64_MAX;
    machine_turn(world, machine);
}

void world_run(struct world *world, uint64_t span_us)
{
    const uint64_t end_us = world->now_us + span_us;

    while (schedule_due_us(&world->schedule) <= end_us) {
        const struct event event = schedule_pop(&world->schedule);

        world->now_us = event.at_us > world->now_us ? event.at_us : world->now_us;
        event_handle(world, &event);
    }
    world->now_us = end_us;
}

void world_leap(struct world *world, uint64_t span_us)
{
    world->now_us += span_us;
}

uint64_t world_run_until(struct world *world, uint64_t span_us, uint64_t step_us,
                         bool (*condition)(struct world *world, void *context), void *context)
{
    const uint64_t begun_us = world->now_us;

    while (!condition(world, context)) {
        if (world->now_us - begun_us >= span_us) {
            return UINT64_MAX;
        }
        world_run(world, step_us);
    }
    return world->now_us - begun_us;
}

/* Clients. */

static struct block element_block(const uint64_t *value, const uint8_t *offset, uint64_t index)
{
    return (struct block){
        .number = index >> 8, .values = value, .offsets = offset, .count = 1, .width = 8
    };
}

void world_write_all(struct world *world, uint32_t machine, const char *key,
                     const struct vector *elements)
{
    struct machine *at = &world->machines[machine];
    struct client_done done;

    if (client_write(at->node, world_moment(world, at), bytes_of(key), elements, &done)
        != STATUS_OK) {
        red("update", "%s was refused", key);
    }
    for (size_t i = 0; i < vector_blocks(elements); i++) {
        struct block_room room;
        const struct block block = vector_block(elements, i, &room);

        for (unsigned j = 0; j < block.count; j++) {
            check_written(world->checks, bytes_of(key), world_generation(world, machine, key),
                          block.number << 8 | block_offset(&block, j), block_value(&block, j));
        }
    }
    machine_finish(world, at);
}

bool world_offer(struct world *world, uint32_t machine, const char *key, uint64_t index,
                 uint64_t value)
{
    struct machine *at = &world->machines[machine];
    const enum status status =
        client_write_one(at->node, world_moment(world, at), bytes_of(key), index, value, NULL);

    check_written(world->checks, bytes_of(key), world_generation(world, machine, key), index,
                  value);
    if (status == STATUS_OK) {
        storage_asked(world, machine, key, index, value);
    }
    machine_finish(world, at);
    return status == STATUS_OK;
}

uint32_t world_delete(struct world *world, uint32_t machine, const char *key)
{
    struct machine *at = &world->machines[machine];
    uint32_t generation = 0;
    struct fault why;

    if (node_delete(at->node, world_moment(world, at), bytes_of(key), &generation, &why)
        != STATUS_OK) {
        return 0;
    }
    machine_finish(world, at);
    return generation;
}

void world_write(struct world *world, uint32_t machine, const char *key, uint64_t index,
                 uint64_t value)
{
    if (!world_offer(world, machine, key, index, value)) {
        red("update", "%s was refused", key);
    }
}

void world_scribble(struct world *world, uint32_t machine, const char *key, uint64_t index_end,
                    uint64_t value_max)
{
    struct random *random = &world->clients;
    const uint32_t at = machine == WORLD_NOBODY ? world_any(world, random) : machine;
    const uint64_t index = random_below(random, index_end);
    const uint64_t value = 1 + random_below(random, value_max);

    world_write(world, at, key, index, value);
}

void world_tell(struct world *world, uint32_t machine, const char *key, uint64_t index,
                uint64_t value)
{
    struct machine *at = &world->machines[machine];

    prototype_write(at->prototype, world_moment(world, at), key, index, value);
    machine_finish(world, at);
}

void world_load(struct world *world, uint32_t machine, const char *key, uint64_t index,
                uint64_t value)
{
    struct table *table = world->machines[machine].table;
    const uint8_t offset = (uint8_t)index;
    const struct block block = element_block(&value, &offset, index);
    struct entry *entry;

    check_written(world->checks, bytes_of(key), GENERATION_FIRST, index, value);
    if (table_obtain(table, bytes_of(key), TABLE_DATA, &entry) != STATUS_OK
        || table_merge(table, entry, &block, CHANGE_FROM_DISK, NULL) != STATUS_OK) {
        red("load", "no memory");
    }
    check_turn(world, &world->machines[machine]);
    table_turn_end(table);
}

uint64_t world_read(const struct world *world, uint32_t machine, const char *key, uint64_t index)
{
    const struct entry *entry = table_find(world->machines[machine].table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

uint32_t world_generation(const struct world *world, uint32_t machine, const char *key)
{
    const struct table *table = world->machines[machine].table;
    const struct entry *entry = table_find(table, bytes_of(key));

    entry = entry == NULL ? table_tombstone(table, bytes_of(key)) : entry;
    return entry == NULL ? 0 : entry_generation(entry);
}

/* Faults. */

void world_kill(struct world *world, uint32_t machine)
{
    storage_end(world, machine, STORAGE_POWER);
    machine_halt(world, machine);
}

void world_wake(struct world *world, uint32_t machine)
{
    world->machines[machine].up = true;
    machine_turn(world, &world->machines[machine]);
}

/* Start a machine anew over a copy of a table; NULL: over nothing. */
static void start_over(struct world *world, uint32_t machine, struct table *from)
{
    struct machine *at = &world->machines[machine];
    struct table *table = NULL;

    if (at->kind == MACHINE_NODE) {
        table = from == NULL || at->storage != NULL
                    ? NULL
                    : machine_table_copy(world, machine, from, NULL);
        node_free(at->node);
        table_free(at->table);
        at->node = NULL;
        at->table = NULL;
        check_forget(world->checks, world, at);
    }
    if (at->storage != NULL) {
        storage_start(world, machine);
        return;
    }
    machine_start(world, machine, table);
    machine_seed(world, machine);
    machine_finish(world, at);
}

void world_restart(struct world *world, uint32_t machine, bool kept)
{
    struct table *table = world->machines[machine].table;

    storage_end(world, machine, STORAGE_KILL);
    if (!kept) {
        storage_empty(world, machine);
    }
    start_over(world, machine, kept ? table : NULL);
}

void world_save(struct world *world, uint32_t machine)
{
    struct machine *at = &world->machines[machine];

    table_free(at->saved);
    at->saved = machine_table_copy(world, machine, at->table, NULL);
}

void world_restore(struct world *world, uint32_t machine)
{
    start_over(world, machine, world->machines[machine].saved);
}

void world_move(struct world *world, uint32_t machine)
{
    world->machines[machine].address.port++;
}

void world_inject(struct world *world, uint32_t sender, const struct address *from,
                  const struct address *to, struct bytes datagram)
{
    world->machines[sender].sent++;
    world->machines[sender].sent_bytes += datagram.size + NETWORK_HEADER_BYTES;
    check_said(world->checks, datagram);
    network_send(world, sender, from, to, datagram);
}

/* Views of it all. */

static bool is_live(const struct machine *machine)
{
    return machine->up && machine->kind == MACHINE_NODE;
}

static bool holds_all(const struct world *world, uint32_t node)
{
    for (uint32_t i = 0; i < world->count; i++) {
        const struct machine *machine = &world->machines[i];
        const bool alive = world_state(world, node, i) == PEER_ALIVE;

        if (i != node && machine->kind != MACHINE_STRANGER && alive != machine->up) {
            return false;
        }
    }
    return true;
}

bool world_joined(struct world *world, void *unused)
{
    size_t live = 0;

    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        live += world->machines[i].up && world->machines[i].kind != MACHINE_STRANGER ? 1 : 0;
    }
    for (uint32_t i = 0; i < world->count; i++) {
        uint64_t counts[PEER_STATE_COUNT];

        if (!is_live(&world->machines[i])) {
            continue;
        }
        node_peer_counts(world->machines[i].node, counts);
        if (counts[PEER_ALIVE] + 1 < live || !holds_all(world, i)) {
            return false;
        }
    }
    return true;
}

bool world_members(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < world->options.nodes; i++) {
        for (uint32_t k = 0; k < world->options.nodes && world->machines[i].up; k++) {
            if (i != k && (world_state(world, i, k) == PEER_ALIVE) != world->machines[k].up) {
                return false;
            }
        }
    }
    return true;
}

bool world_haunted(struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        struct address after = { .port = 0 };
        struct peer_view view;

        if (!is_live(&world->machines[i])) {
            continue;
        }
        while (node_peers(world->machines[i].node, &after, &view, 1) == 1) {
            after = view.address;
            if (world_machine_of(world, &view.address) == WORLD_NOBODY
                && (view.state == PEER_ALIVE || view.state == PEER_SUSPECT
                    || view.state == PEER_NEW)) {
                return true;
            }
        }
    }
    return false;
}

static uint64_t tombstones_hash(const struct table *table)
{
    struct entry *entries[SLICE];
    uint64_t hash = 0;
    uint64_t sum = 0;
    size_t count;

    while ((count =
                table_slice_hash(table, (struct prefix){ .set = TABLE_DATA }, hash, entries, SLICE))
           > 0) {
        for (size_t i = 0; i < count; i++) {
            hash = entry_hash(table, entries[i]);
            if (entry_deleted(entries[i]) && !entry_ended(table, entries[i])) {
                sum += hash_mix(hash, entry_generation(entries[i]));
            }
        }
        if (hash++ == UINT64_MAX) {
            break;
        }
    }
    return sum;
}

/* A hash over all that a table holds of a set, that owes nothing to the store's own digests. */
static uint64_t content_hash(const struct table *table, enum table_set set)
{
    static const uint8_t secret[16] = { 7 };
    struct entry *entries[SLICE];
    struct bytes after = { NULL, 0 };
    uint64_t sum = 0;
    size_t count;

    do {
        count = table_slice(table, (struct bytes){ NULL, 0 }, after, entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            const struct vector *vector = entry_vector(entries[i]);
            const uint64_t key_hash =
                hash_mix(hash_sip(secret, entry_key(entries[i])), entry_generation(entries[i]));

            after = entry_key(entries[i]);
            for (size_t b = 0; b < vector_blocks(vector) && entry_set(entries[i]) == set; b++) {
                struct block_room room;
                const struct block block = vector_block(vector, b, &room);

                for (unsigned j = 0; j < block.count; j++) {
                    const uint64_t index = block.number << 8 | block_offset(&block, j);
                    const uint64_t value = block_value(&block, j);

                    sum += value == 0 ? 0 : hash_mix(hash_mix(key_hash, index), value);
                }
            }
        }
    } while (count == SLICE);
    return sum + (set == TABLE_DATA ? tombstones_hash(table) : 0);
}

bool world_equal(struct world *world, void *unused)
{
    const struct machine *first[NETWORK_SIDES] = { NULL };
    const struct machine *same[NETWORK_SIDES] = { NULL };

    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        const struct machine *machine = &world->machines[i];

        if (!is_live(machine)) {
            continue;
        }
        if (first[machine->side] == NULL) {
            first[machine->side] = machine;
            continue;
        }
        for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
            if (table_root(machine->table, (enum table_set)set)
                != table_root(first[machine->side]->table, (enum table_set)set)) {
                return false;
            }
        }
        same[machine->side] = machine;
    }
    /* The digests say so; that it is so is looked at for two of a side, and for all at the end. */
    for (size_t side = 0; side < NETWORK_SIDES; side++) {
        for (unsigned set = 0; same[side] != NULL && set < TABLE_SET_COUNT; set++) {
            if (content_hash(first[side]->table, (enum table_set)set)
                == content_hash(same[side]->table, (enum table_set)set)) {
                continue;
            }
            if (world->options.digest_mask == UINT64_MAX) {
                red("convergence", "digests are equal and stores are not");
            }
            return false;
        }
    }
    return true;
}

uint64_t world_content(const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        if (is_live(&world->machines[i])) {
            return content_hash(world->machines[i].table, TABLE_DATA);
        }
    }
    return 0;
}

enum peer_state world_state(const struct world *world, uint32_t node, uint32_t other)
{
    struct peer_view view;

    if (!node_peer(world->machines[node].node, &world->machines[other].address, &view)) {
        return PEER_STATE_COUNT;
    }
    return (enum peer_state)view.state;
}

uint32_t world_any(const struct world *world, struct random *random)
{
    uint32_t machine;

    do {
        machine = (uint32_t)random_below(random, world->count);
    } while (!is_live(&world->machines[machine]));
    return machine;
}

uint64_t world_sent_bytes(const struct world *world)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < world->count; i++) {
        bytes += world->machines[i].sent_bytes;
    }
    return bytes;
}

uint64_t world_overflows(const struct world *world)
{
    uint64_t count = 0;

    for (size_t i = 0; i < world->count; i++) {
        count += world->machines[i].overflows;
    }
    return count;
}

uint64_t world_copies(const struct world *world)
{
    uint64_t copies = 0;

    for (size_t i = 0; i < world->count; i++) {
        copies += world->machines[i].node == NULL ? 0 : node_stats(world->machines[i].node)->copies;
    }
    return copies;
}
