#include "sim/machine.h"

#include "base/hash.h"
#include "node/state.h"
#include "wire/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/frame.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/storage.h"
#include "sim/trace.h"

#define IDLE_TURNS_MOST 2000 /* at once, in which nothing came, left or changed */
#define BATCH           64   /* datagrams taken in one turn */
#define SEEDS           3    /* the first nodes */
#define SLICE           64

static uint32_t number_of(const struct world *world, const struct machine *machine)
{
    return (uint32_t)(machine - world->machines);
}

struct table *machine_table(struct world *world, uint32_t machine)
{
    struct machine *at = &world->machines[machine];
    const struct table_options options = {
        .mem = &at->mem,
        .hash_secret = { (uint8_t)machine, (uint8_t)(machine >> 8) },
        .cluster_id = world->options.node.cluster_id,
        .keys_max = world->options.keys_max,
        .digest_mask = world->options.digest_mask,
    };
    struct table *table;

    if (table_create(&options, &table) != STATUS_OK) {
        red("memory", "no table");
    }
    return table;
}

static void entry_copy(struct table *table, const struct entry *from)
{
    const struct vector *vector = entry_vector(from);
    const uint32_t generation = entry_generation(from);
    struct merge_result result;
    struct entry *entry;

    if (table_obtain(table, entry_key(from), entry_set(from), &entry) != STATUS_OK) {
        red("memory", "no entry");
    }
    for (size_t i = 0; i < vector_blocks(vector); i++) {
        struct block_room room;
        const struct block block = vector_block(vector, i, &room);

        if (generation > entry_generation(entry)
                ? table_renew(table, &entry, generation, &block, CHANGE_FROM_DISK, &result)
                : table_merge(table, entry, &block, CHANGE_FROM_DISK, &result)) {
            red("memory", "no block");
        }
    }
}

static void tombstones_copy(struct table *table, const struct table *from)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[SLICE];
    uint64_t hash = 0;
    size_t count;

    while ((count = table_slice_hash(from, all, hash, entries, SLICE)) > 0) {
        for (size_t i = 0; i < count; i++) {
            struct entry *tombstone = NULL;

            hash = entry_hash(from, entries[i]);
            if (entry_deleted(entries[i])
                && table_delete(table, &tombstone, hash, entry_deadline(entries[i]),
                                entry_generation(entries[i]), CHANGE_FROM_DISK)) {
                red("memory", "no tombstone");
            }
        }
        table_turn_end(table);
        if (hash++ == UINT64_MAX) {
            return;
        }
    }
}

/* What has ended is listed by none but a table that is told that nothing has yet. */
static void minute_set(struct table *table, uint32_t minute)
{
    table_set_minute(table, minute);
    while (table_expires(table)) {
        (void)table_expire(table, SLICE);
    }
}

struct table *machine_table_copy(struct world *world, uint32_t machine, struct table *from,
                                 const struct entry *except)
{
    const uint32_t minute = table_root_minute(from);
    struct table *table = machine_table(world, machine);
    struct entry *entries[SLICE];
    struct bytes after = { NULL, 0 };
    size_t count;

    minute_set(from, 0);
    do {
        count = table_slice(from, (struct bytes){ NULL, 0 }, after, entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            if (entries[i] != except) {
                entry_copy(table, entries[i]);
            }
            after = entry_key(entries[i]);
        }
        table_turn_end(table);
    } while (count == SLICE);
    tombstones_copy(table, from);
    minute_set(from, minute);
    return table;
}

static struct node_options options_of(const struct world *world, struct machine *machine,
                                      const struct address_range *trusted)
{
    struct node_options options = world->options.node;

    options.self = machine->address;
    options.seed = hash_mix(world->options.seed, number_of(world, machine) | machine->starts << 32);
    options.start_s_min = machine->start_s_min;
    options.trace = trace_listener_of(machine);
    for (unsigned i = 0; i < 16; i++) {
        options.token_secret[i] = (uint8_t)(options.seed >> (i % 8 * 8));
    }
    if (!world->options.distrustful) {
        options.trust = trusted;
        options.trust_count = 1;
    }
    return options;
}

static void node_start(struct world *world, uint32_t number, struct table *table)
{
    struct machine *machine = &world->machines[number];
    const struct address_range trusted =
        world->options.trusts_members ? world_network : (struct address_range){ .bits = 0 };
    const struct node_options options = options_of(world, machine, &trusted);
    const struct moment now = world_moment(world, machine);

    machine->table = table == NULL ? machine_table(world, number) : table;
    check_loaded(world, machine);
    if (node_create(&options, &machine->node_mem, machine->table, now, &machine->node)
        != STATUS_OK) {
        red("memory", "no node");
    }
    check_turn_begin(world, machine);
    machine->start_s_min =
        (now.unix_s > machine->start_s_min ? now.unix_s : machine->start_s_min) + 1;
}

void machine_start(struct world *world, uint32_t number, struct table *table)
{
    struct machine *machine = &world->machines[number];

    machine->starts++;
    machine->up = true;
    machine->paused_us = 0;
    machine->turn_us = UINT64_MAX;
    if (machine->kind == MACHINE_NODE) {
        node_start(world, number, table);
        return;
    }
    prototype_free(machine->prototype);
    machine->prototype =
        prototype_create(machine->kind == MACHINE_RUBY ? PROTOTYPE_RUBY : PROTOTYPE_CLOJURE,
                         &machine->address, hash_mix(world->options.seed, number));
    prototype_repeat(machine->prototype, world->options.repeats);
}

void machine_seed(struct world *world, uint32_t number)
{
    struct machine *machine = &world->machines[number];
    struct address seeds[SEEDS];
    size_t count = 0;

    for (uint32_t i = 0; i < SEEDS && i < world->options.nodes; i++) {
        if (i != number) {
            seeds[count++] = world->machines[i].address;
        }
    }
    if (machine->kind == MACHINE_NODE) {
        node_seeds(machine->node, world_moment(world, machine), seeds, count);
    } else if (count > 0) {
        /* One seed each, as people start them; different ones, so that there is a network. */
        prototype_seed(machine->prototype, &seeds[number % count]);
    }
}

static void turn_plan(struct world *world, struct machine *machine, uint64_t due_us)
{
    due_us = due_us <= world->now_us ? world->now_us + 1 : due_us;
    if (due_us < machine->turn_us) {
        machine->turn_us = due_us;
        schedule_push(&world->schedule, (struct event){ .at_us = due_us,
                                                        .machine = number_of(world, machine),
                                                        .kind = EVENT_TURN });
    }
}

static void datagram_leaves(struct world *world, struct machine *machine, const struct address *to,
                            struct bytes datagram)
{
    static const uint8_t secret[16] = { 3 };

    machine->sent++;
    machine->sent_bytes += datagram.size + NETWORK_HEADER_BYTES;
    world->datagrams++;
    world->trace = hash_mix(world->trace ^ world->now_us,
                            hash_sip(secret, datagram) ^ to->ip[15] ^ (uint64_t)to->port << 32);
    if (machine->kind == MACHINE_NODE) {
        check_sent(world, machine, to, datagram);
        if (world->look != NULL) {
            world->look(world->context, world, number_of(world, machine), to, datagram);
        }
    }
    network_send(world, number_of(world, machine), &machine->address, to, datagram);
}

/* Whether a node that wants its next turn at once has done nothing in so many that it never will:
 * a daemon would burn a processor. */
static void idle_check(const struct world *world, struct machine *machine, uint64_t changes)
{
    const uint64_t passed = machine->sent + machine->arrived;
    const bool is_due = node_due_us(machine->node) <= world_moment(world, machine).mono_us;
    const bool is_idle = passed == machine->idle_passed && changes == 0 && is_due;

    machine->idle_turns = is_idle ? machine->idle_turns + 1 : 0;
    machine->idle_passed = passed;
    if (machine->idle_turns > IDLE_TURNS_MOST) {
        red("idle", "machine %u is due at once again and again, and does nothing",
            number_of(world, machine));
    }
}

static void node_finish(struct world *world, struct machine *machine)
{
    const struct moment now = world_moment(world, machine);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    uint64_t changes;
    uint64_t due_us;
    size_t size;

    check_turn(world, machine);
    while ((size = node_emit(machine->node, now, space, &to)) > 0) {
        datagram_leaves(world, machine, &to, (struct bytes){ buffer, size });
    }
    check_turn_end(world, machine);
    check_turn_begin(world, machine); /* what ending one costs is the next one's */
    changes = table_changes(machine->table).count;
    storage_note(world, number_of(world, machine));
    node_turn_end(machine->node);
    storage_go_on(world, number_of(world, machine));
    idle_check(world, machine, changes);
    due_us = node_due_us(machine->node);
    if (due_us != UINT64_MAX) {
        turn_plan(world, machine,
                  due_us < machine->mono_offset_us ? 0 : due_us - machine->mono_offset_us);
    }
}

/* What a prototype says is written by it, as far as anybody can tell. */
static void frame_written(struct world *world, struct bytes datagram)
{
    struct frame *frame = calloc(1, sizeof *frame);

    assert(frame != NULL);
    frame_read(datagram, frame);
    for (size_t i = 0; i < frame->count; i++) {
        check_written(world->checks, frame->key, GENERATION_FIRST, frame->elements[i].index,
                      frame->elements[i].value);
    }
    free(frame);
}

static void prototype_finish(struct world *world, struct machine *machine)
{
    const struct moment now = world_moment(world, machine);
    struct bytes datagram;
    struct address to;
    uint64_t due_us;

    while (prototype_emit(machine->prototype, now, &datagram, &to)) {
        frame_written(world, datagram);
        datagram_leaves(world, machine, &to, datagram);
    }
    due_us = prototype_due_us(machine->prototype);
    turn_plan(world, machine,
              due_us < machine->mono_offset_us ? 0 : due_us - machine->mono_offset_us);
}

void machine_finish(struct world *world, struct machine *machine)
{
    if (machine->kind == MACHINE_NODE) {
        node_finish(world, machine);
    } else if (machine->kind != MACHINE_STRANGER) {
        prototype_finish(world, machine);
    }
}

static struct datagram *received_take(struct machine *machine)
{
    struct datagram *datagram = machine->received_first;

    if (datagram != NULL) {
        machine->received_first = datagram->next;
        if (datagram->next == NULL) {
            machine->received_last = NULL;
        }
        machine->received_count--;
    }
    return datagram;
}

void machine_deafen(struct machine *machine)
{
    struct datagram *datagram;

    while ((datagram = received_take(machine)) != NULL) {
        free(datagram);
    }
}

void machine_halt(struct world *world, uint32_t number)
{
    struct machine *machine = &world->machines[number];

    machine->up = false;
    machine->is_steady = false;
    machine->turn_us = UINT64_MAX;
    machine_deafen(machine);
}

static void datagram_take(struct world *world, struct machine *machine,
                          const struct datagram *datagram)
{
    const struct moment now = world_moment(world, machine);
    const struct bytes bytes = { datagram->data, datagram->size };

    if (machine->kind == MACHINE_NODE) {
        const uint64_t work = node_work(machine->node);

        check_taken(world, machine, &datagram->from, bytes);
        node_receive(machine->node, now, &datagram->from, bytes);
        check_worked(world, machine, bytes.size, node_work(machine->node) - work);
    } else if (machine->kind == MACHINE_STRANGER) {
        if (world->hear != NULL) {
            world->hear(world->hear_context, world, datagram);
        }
    } else {
        const bool ours = world->machines[datagram->sender].kind == MACHINE_NODE;
        const char *fault = prototype_receive(machine->prototype, now, &datagram->from, bytes);

        if (fault != NULL && ours && (world->options.checks & CHECK_WIRE) != 0
            && world->options.faults.corrupt_permille == 0) {
            red("prototype", "machine %u %s because of machine %u", number_of(world, machine),
                fault, datagram->sender);
        }
    }
}

static bool may_take(const struct machine *machine)
{
    return machine->kind != MACHINE_NODE || node_work_allows(machine->node);
}

void machine_turn(struct world *world, struct machine *machine)
{
    struct datagram *datagram;
    const struct moment now = world_moment(world, machine);

    for (unsigned i = 0;
         i < BATCH && may_take(machine) && (datagram = received_take(machine)) != NULL; i++) {
        datagram_take(world, machine, datagram);
        free(datagram);
    }
    if (machine->kind == MACHINE_NODE && now.mono_us >= node_due_us(machine->node)) {
        node_tick(machine->node, now);
    }
    machine_finish(world, machine);
    if (machine->received_first != NULL) {
        turn_plan(world, machine, world->now_us);
    }
}

/* Joining all at once. */

static const struct entry *presence_of(const struct machine *machine)
{
    uint8_t key[NODE_PRESENCE_KEY_MAX];

    return table_find(machine->table, node_presence_key(&machine->address, key));
}

/* The third datagram of a handshake: who I am, my token for you, yours back, and my clock. */
static size_t hello_write(struct world *world, const struct machine *from, const struct machine *to,
                          struct space space)
{
    const struct entry *presence = presence_of(from);
    struct envelope envelope = {
        .has = WIRE_HAS_SENDER | WIRE_HAS_TOKEN | WIRE_HAS_ECHO | WIRE_HAS_CLOCK
               | (world->options.node.cluster_id == 0 ? 0u : (unsigned)WIRE_HAS_CLUSTER),
        .sender_id = (uint32_t)entry_hash(from->table, presence),
        .cluster = world->options.node.cluster_id,
        .clock_s = (uint32_t)world_moment(world, from).unix_s,
    };
    struct block_room room;
    const struct block block = vector_block(entry_vector(presence), 0, &room);
    struct writer writer;

    node_token(from->node, world_moment(world, from), &to->address, 0, envelope.token);
    node_token(to->node, world_moment(world, to), &from->address, 0, envelope.echo);
    writer_begin_hello(&writer, space, entry_key(presence));
    if (writer_put_block(&writer, &block, NULL) != BLOCK_ELEMENTS) {
        red("prejoin", "a presence does not fit");
    }
    writer_begin_x(&writer, &envelope);
    return writer_end(&writer).size;
}

static void hellos_hear(struct world *world, struct machine *to)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    uint8_t unread[WIRE_EXTENDED_BYTES_MAX];
    struct address unwanted;

    for (uint32_t i = 0; i < world->options.nodes; i++) {
        const struct machine *from = &world->machines[i];
        const struct moment now = world_moment(world, to);
        size_t size;

        if (from == to) {
            continue;
        }
        size = hello_write(world, from, to, (struct space){ buffer, sizeof buffer });
        node_receive(to->node, now, &from->address, (struct bytes){ buffer, size });
        /* Its answer would only say what the other one was made to hear just so. */
        while (node_emit(to->node, now, (struct space){ unread, sizeof unread }, &unwanted) > 0) {
        }
        check_turn(world, to);
        node_turn_end(to->node);
        check_turn_begin(world, to);
    }
}

void machine_prejoin(struct world *world)
{
    const uint32_t nodes = (uint32_t)world->options.nodes;
    struct table *all = machine_table(world, 0);

    /* Each writes its presence into a table of its own, once, to be read by all others. */
    for (uint32_t i = 0; i < nodes; i++) {
        machine_start(world, i, NULL);
        check_turn(world, &world->machines[i]);
        entry_copy(all, presence_of(&world->machines[i]));
        table_turn_end(all);
        table_turn_end(world->machines[i].table);
    }
    for (uint32_t i = 0; i < nodes; i++) {
        struct machine *machine = &world->machines[i];
        const struct bytes own = entry_key(presence_of(machine));
        struct table *table = machine_table_copy(world, i, all, table_find(all, own));

        node_free(machine->node);
        table_free(machine->table);
        check_forget(world->checks, world, machine);
        machine->node = NULL;
        machine->table = NULL;
        machine->starts = 0;
        machine->start_s_min = 0;
        machine_start(world, i, table);
        machine_seed(world, i);
    }
    table_free(all);
    for (uint32_t i = 0; i < nodes; i++) {
        hellos_hear(world, &world->machines[i]);
    }
    for (uint32_t i = 0; i < nodes; i++) {
        machine_finish(world, &world->machines[i]);
    }
}
