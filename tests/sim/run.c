#include "sim/run.h"

#include "node/extended.h"

#include <stdio.h>
#include <string.h>

#include "sim/check.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/world.h"

#define SETTLE_US  (90 * WORLD_S)
#define REST_US    (20 * WORLD_S)
#define HAUNTED_US (900 * WORLD_S) /* until an address that was left is dead to all */
#define STEP_US    (100 * WORLD_MS)
#define YEAR_S     31536000
#define KEYS       40
#define DENSE      4 /* keys with many elements */

const char *const run_fault_names[] = { "loss",      "duplicate", "reorder", "corrupt",
                                        "partition", "oneway",    "crash",   "clock",
                                        "pause",     "plain",     NULL };

struct course {
    const struct run_options *options;
    struct world *world;
    unsigned once; /* number of the next key that is written once */
    uint64_t heal_us;
};

static bool has(const struct course *run, enum run_fault fault)
{
    return (run->options->faults & fault) != 0;
}

static struct world *world_begin(const struct run_options *options)
{
    const unsigned faults = options->faults;
    const bool plain = (faults & RUN_PLAIN) != 0;
    struct random random;
    struct world_options world;
    uint64_t rubies;
    uint64_t clojures;
    uint64_t loss;
    uint64_t latency_us;
    uint64_t jitter_us;

    random_seed(&random, options->seed, 301);
    rubies = 1 + random_below(&random, 3);
    clojures = random_below(&random, 3);
    loss = 1 + random_below(&random, 300);
    latency_us = 200 + random_below(&random, 5000);
    jitter_us = 1 + random_below(&random, 5000);
    world = (struct world_options){
        .seed = options->seed,
        .nodes = options->nodes,
        .rubies = plain ? rubies : 0,
        .clojures = plain ? clojures : 0,
        .faults = { .loss_permille = (faults & RUN_LOSS) != 0 ? (unsigned)loss : 0,
                    .duplicate_permille = (faults & RUN_DUPLICATE) != 0 ? 100 : 0,
                    .reorder_permille = (faults & RUN_REORDER) != 0 ? 200 : 0,
                    .corrupt_permille = (faults & RUN_CORRUPT) != 0 ? 50 : 0,
                    .latency_us = latency_us,
                    .jitter_us = jitter_us },
        .checks = CHECK_EVERY,
        .digest_mask = options->digest_bits < 64 ? (UINT64_C(1) << options->digest_bits) - 1 : 0,
        .unix_shift_s = options->unix_shift_s,
        /* Prototypes get no more than they send once strangers are held short. */
        .distrustful = !plain && random_below(&random, 2) == 0,
    };
    if ((faults & (RUN_CRASH | RUN_CORRUPT | RUN_PLAIN)) != 0) {
        world.checks &= ~(unsigned)CHECK_DEPTH; /* of one life, of extended ways only */
    }
    return world_create(&world);
}

/* Clients. */

static void write_something(struct course *run)
{
    struct world *world = run->world;
    struct random *random = &world->clients;
    const uint32_t machine = world_any(world, random);
    char key[32];
    uint64_t index;
    uint64_t value;

    if (random_below(random, 4) == 0) {
        snprintf(key, sizeof key, "once:%u", run->once++);
        world_scribble(world, machine, key, 3, 100);
        return;
    }
    if (random_below(random, 3) == 0) {
        snprintf(key, sizeof key, "dense%llu", (unsigned long long)random_below(random, DENSE));
        for (unsigned i = 0; i < 20; i++) {
            world_scribble(world, machine, key, 2000, 60);
        }
        return;
    }
    snprintf(key, sizeof key, "key%llu", (unsigned long long)random_below(random, KEYS));
    index = random_below(random, 8);
    index <<= random_below(random, 40);
    value = random_next(random);
    value >>= random_below(random, 64);
    world_write(world, machine, key, index, value | 1);
}

/* Faults. */

static void sides_part(struct course *run)
{
    struct world *world = run->world;
    struct random *random = &world->chaos;
    const bool one_way =
        has(run, RUN_ONEWAY) && (!has(run, RUN_PARTITION) || random_below(random, 2) == 0);

    if (run->heal_us != 0) {
        return;
    }
    for (size_t i = 0; i < world->count; i++) {
        world->machines[i].side = (uint8_t)random_below(random, 2);
    }
    network_cut(&world->network, 0, 1);
    if (!one_way) {
        network_cut(&world->network, 1, 0);
    }
    run->heal_us = world->now_us + WORLD_S + random_below(random, 20 * WORLD_S);
}

static void sides_heal(struct course *run)
{
    network_heal(&run->world->network);
    for (size_t i = 0; i < run->world->count; i++) {
        run->world->machines[i].side = 0;
    }
    run->heal_us = 0;
}

static size_t live_count(const struct world *world)
{
    size_t live = 0;

    for (size_t i = 0; i < world->count; i++) {
        live += world->machines[i].up && world->machines[i].kind == MACHINE_NODE;
    }
    return live;
}

/* Some come back at once, some later, some never before the end. The first ones are the seeds, and
 * keep their addresses. */
static void machine_crash(struct course *run)
{
    struct world *world = run->world;
    struct random *random = &world->chaos;
    const uint32_t machine = (uint32_t)random_below(random, world->options.nodes);
    const bool kept = random_below(random, 2) == 0;
    const bool moves = !kept && machine >= 3 && random_below(random, 4) == 0;

    if (world->machines[machine].up) {
        if (live_count(world) > 1) {
            world_kill(world, machine);
        }
        return;
    }
    if (moves) {
        world_move(world, machine);
    }
    world_restart(world, machine, kept);
}

static void clock_jump(struct course *run)
{
    struct random *random = &run->world->chaos;
    struct machine *machine = &run->world->machines[random_below(random, run->options->nodes)];
    const int64_t by_s = (int64_t)random_below(random, 2 * YEAR_S) - YEAR_S;

    machine->unix_offset_s =
        run->options->unix_shift_s + (random_below(random, 2) == 0 ? by_s : by_s % 3600);
}

static void something_breaks(struct course *run)
{
    struct world *world = run->world;
    struct random *random = &world->chaos;
    struct machine *machine;

    switch (random_below(random, 16)) {
    case 0:
        if (has(run, RUN_PARTITION) || has(run, RUN_ONEWAY)) {
            sides_part(run);
        }
        break;
    case 1:
    case 2:
        if (has(run, RUN_CRASH)) {
            machine_crash(run);
        }
        break;
    case 3:
        if (has(run, RUN_CLOCK) && !has(run, RUN_CRASH)) {
            clock_jump(run);
        }
        break;
    case 4:
        if (has(run, RUN_PAUSE)) {
            machine = &world->machines[random_below(random, run->options->nodes)];
            machine->paused_us = world->now_us + random_below(random, 30 * WORLD_S);
        }
        break;
    default: break;
    }
}

static void faults_end(struct course *run)
{
    struct world *world = run->world;

    sides_heal(run);
    world->network.faults = (struct faults){ .latency_us = 1000, .jitter_us = 500 };
    for (uint32_t i = 0; i < world->count; i++) {
        world->machines[i].unix_offset_s = run->options->unix_shift_s;
        if (world->machines[i].up) {
            world->machines[i].paused_us = 0;
            world_wake(world, i);
        }
        if (!world->machines[i].up && world->machines[i].kind == MACHINE_NODE) {
            world_restart(world, i, i % 2 == 0);
        }
    }
}

/* Afterwards. */

static bool is_settled(struct world *world, void *unused)
{
    for (size_t i = 0; i < world->count; i++) {
        uint64_t counts[PEER_STATE_COUNT];

        if (world->machines[i].kind == MACHINE_NODE) {
            node_peer_counts(world->machines[i].node, counts);
            if (counts[PEER_SUSPECT] > 0) {
                return false; /* an address that somebody left is still to be found dead */
            }
        }
    }
    return world_joined(world, unused) && world_equal(world, unused);
}

static bool is_equal(struct world *world, void *unused)
{
    return world_equal(world, unused);
}

/* One difference between the stores of two nodes, for whoever looks for its cause. */
static void difference_print(const struct machine *one, const struct machine *other)
{
    struct entry *entry = NULL;
    struct bytes after = { NULL, 0 };

    while (table_slice(one->table, (struct bytes){ NULL, 0 }, after, &entry, 1) == 1) {
        const struct bytes key = entry_key(entry);
        const struct entry *same = table_find(other->table, key);

        if (same == NULL || entry_digest(same) != entry_digest(entry)) {
            printf("  %.*s: %llu elements, %llu elsewhere\n", (int)key.size, (const char *)key.data,
                   (unsigned long long)vector_size(entry_vector(entry)),
                   (unsigned long long)(same == NULL ? 0 : vector_size(entry_vector(same))));
            for (uint64_t i = 1; same != NULL && i < 24; i++) {
                printf("    [%llu] %llu %llu\n", (unsigned long long)i,
                       (unsigned long long)vector_get(entry_vector(entry), i),
                       (unsigned long long)vector_get(entry_vector(same), i));
            }
            return;
        }
        after = key;
    }
}

/* Peers that are no machines: addresses that were left, or made up by damage. */
static void strangers_print(const struct machine *machine, const struct world *world)
{
    struct peer_view views[64];
    const size_t count = node_peers(machine->node, NULL, views, 64);

    for (size_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_MAX];

        if (world_machine_of(world, &views[i].address) == WORLD_NOBODY) {
            const int size = (int)address_to_text(&views[i].address, text);

            printf("  nobody has %.*s: level %u, state %u\n", size, text, views[i].level,
                   views[i].state);
        }
    }
}

static void settled_fail(struct course *run)
{
    struct world *world = run->world;

    for (uint32_t i = 0; i < world->count; i++) {
        for (uint32_t k = 0; k < world->count; k++) {
            if (i != k && world->machines[i].kind == MACHINE_NODE && world->machines[k].up
                && world_state(world, i, k) != PEER_ALIVE) {
                printf("  machine %u holds %u in state %d\n", i, k, world_state(world, i, k));
            }
        }
    }
    strangers_print(&world->machines[0], world);
    for (uint32_t i = 1; i < run->options->nodes; i++) {
        difference_print(&world->machines[0], &world->machines[i]);
        difference_print(&world->machines[i], &world->machines[0]);
    }
    red("convergence", "%s, %s after %llu s without faults",
        world_joined(world, NULL) ? "one view" : "several views",
        world_equal(world, NULL) ? "equal stores" : "stores that differ",
        (unsigned long long)(SETTLE_US / WORLD_S));
}

static void sync_refuse(void *context, const struct world *world, uint32_t sender,
                        const struct address *to, struct bytes datagram)
{
    struct message message;

    (void)context;
    (void)to;
    if (message_decode(datagram, &message) == WIRE_OK && message.extended
        && (extended_kind(&message) == NODE_KIND_SYNC
            || extended_kind(&message) == NODE_KIND_PUSH)) {
        red("in-sync", "machine %u sends %s at %llu us, though all stores are equal", sender,
            node_kind_label(extended_kind(&message)), (unsigned long long)world->now_us);
    }
}

static bool is_quiet(struct world *world, void *unused)
{
    return is_settled(world, unused) && !world_haunted(world, unused);
}

/* Equal stores exchange nothing, and nobody is called dead any more. */
static void rest_check(struct course *run)
{
    struct world *world = run->world;

    if (has(run, RUN_PLAIN) || has(run, RUN_CORRUPT)) {
        return; /* prototypes write for ever; damaged presence is mended for ever */
    }
    if (world_run_until(world, HAUNTED_US, WORLD_S, is_quiet, NULL) == UINT64_MAX) {
        strangers_print(&world->machines[0], world);
        red("completeness", "an address that was left is live for ever");
    }
    world_run(world, REST_US); /* a suspicion of it ends */
    world->look = sync_refuse;
    world_run(world, REST_US);
    world->look = NULL;
    if (!is_settled(world, NULL)) {
        red("convergence", "it did not last");
    }
}

/* With weak digests some differences hide; every change uncovers others. */
static bool weak_settle(struct course *run)
{
    for (unsigned i = 0; i < 400; i++) {
        char key[32];

        snprintf(key, sizeof key, "late:%u", i);
        world_write(run->world, world_any(run->world, &run->world->clients), key, 0, 1);
        if (world_run_until(run->world, 2 * WORLD_S, STEP_US, is_equal, NULL) != UINT64_MAX) {
            return true;
        }
    }
    return false;
}

static uint64_t settle(struct course *run)
{
    uint64_t took_us;

    if (run->options->digest_bits < 64) {
        if (!weak_settle(run)) {
            red("convergence", "digests of %u bits hide a difference for ever",
                run->options->digest_bits);
        }
        return 0;
    }
    if (has(run, RUN_PLAIN)) {
        /* Which prototypes are live to whom is theirs to say, not ours: the stores are. */
        took_us = world_run_until(run->world, SETTLE_US, STEP_US, is_equal, NULL);
    } else {
        took_us = world_run_until(run->world, SETTLE_US, STEP_US, is_settled, NULL);
    }
    if (took_us == UINT64_MAX) {
        settled_fail(run);
    }
    return took_us;
}

struct run_result run_random(const struct run_options *options)
{
    struct course run = { .options = options, .world = world_begin(options) };
    const uint64_t end_us = run.world->now_us + options->seconds * WORLD_S;
    struct run_result result;

    world_run(run.world, 2 * WORLD_S);
    while (run.world->now_us < end_us) {
        if (random_below(&run.world->clients, 3) == 0) {
            write_something(&run);
        }
        something_breaks(&run);
        if (run.heal_us != 0 && run.world->now_us >= run.heal_us) {
            sides_heal(&run);
        }
        world_run(run.world, random_below(&run.world->chaos, 200 * WORLD_MS));
    }
    faults_end(&run);
    result.settled_us = settle(&run);
    if (options->digest_bits == 64) {
        rest_check(&run);
    }
    check_end(run.world);
    result.trace = run.world->trace;
    result.datagrams = run.world->datagrams;
    result.content = world_content(run.world);
    world_free(run.world);
    return result;
}
