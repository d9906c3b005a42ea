#include "node/extended.h"
#include "wire/writer.h"

#include <stdio.h>
#include <string.h>

#include "sim/check.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/scenarios.h"
#include "sim/world.h"

#define STEP_US (100 * WORLD_MS)
#define KEEP_CHECKS \
    (CHECK_MONOTONE | CHECK_SOUND | CHECK_AUDIT | CHECK_WIRE | CHECK_RATE | CHECK_WINDOW)

static struct world *world_of(uint64_t seed, size_t nodes, unsigned loss)
{
    return world_create(&(struct world_options){
        .seed = seed,
        .nodes = nodes,
        .faults = { .loss_permille = loss, .latency_us = 500, .jitter_us = 1000 },
        .checks = KEEP_CHECKS,
        .prejoined = true,
        .distrustful = true,
    });
}

static bool is_healed(struct world *world, void *unused)
{
    return world_joined(world, unused) && world_equal(world, unused);
}

static void healed_wait(struct world *world, uint64_t within_s, const char *what)
{
    if (world_run_until(world, within_s * WORLD_S, STEP_US, is_healed, NULL) == UINT64_MAX) {
        red(what, "%s, %s after %llu s", world_joined(world, NULL) ? "one view" : "several views",
            world_equal(world, NULL) ? "equal stores" : "stores that differ",
            (unsigned long long)within_s);
    }
    check_end(world);
    world_free(world);
}

static void write_some(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32];

        snprintf(key, sizeof key, "k%llu", (unsigned long long)random_below(&world->clients, 30));
        world_scribble(world, WORLD_NOBODY, key, 400, 1000);
    }
}

/* Every node is restarted in turn, as an upgrade does it, while clients write. */
void scenario_rolling(uint64_t seed)
{
    struct world *world = world_of(seed, 30, 10);

    for (uint32_t i = 0; i < 30; i++) {
        world_run(world, WORLD_S);
        write_some(world, 5);
        world_kill(world, i);
        world_run(world, random_below(&world->chaos, 4 * WORLD_S));
        write_some(world, 5);
        world_restart(world, i, i % 3 != 0);
    }
    healed_wait(world, 15, "rolling");
}

/* All stop and all start again with what they had. */
void scenario_together(uint64_t seed)
{
    struct world *world = world_of(seed, 30, 10);

    write_some(world, 100);
    world_run(world, 2 * WORLD_S);
    for (uint32_t i = 0; i < 30; i++) {
        world_kill(world, i);
    }
    world_run(world, 10 * WORLD_S);
    for (uint32_t i = 0; i < 30; i++) {
        world_restart(world, i, true);
    }
    healed_wait(world, 15, "together");
}

/* A quarter of all datagrams is lost, and a tenth of the nodes sleeps for 5 to 30 s, again and
 * again. Who sleeps may be called dead; who is awake must not be, nor for long after it woke. */
void scenario_pauses(uint64_t seed)
{
    struct world *world = world_of(seed, 40, 250);

    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < 4; i++) {
            const uint32_t machine = world_any(world, &world->chaos);

            world->machines[machine].paused_us =
                world->now_us + 5 * WORLD_S + random_below(&world->chaos, 25 * WORLD_S);
        }
        write_some(world, 10);
        world_run(world, 10 * WORLD_S);
        for (uint32_t i = 0; i < 40; i++) {
            for (uint32_t k = 0; k < 40; k++) {
                if (world->machines[i].paused_us == 0 && world->machines[k].paused_us == 0 && i != k
                    && world_state(world, i, k) == PEER_DEAD) {
                    red("pauses", "node %u, never asleep, is dead to %u, never asleep", k, i);
                }
            }
        }
    }
    world_run(world, 30 * WORLD_S);
    healed_wait(world, 15, "pauses");
}

static bool deaths_known(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < world->count; i++) {
        for (uint32_t k = 0; k < world->count; k++) {
            if (world->machines[i].up && !world->machines[k].up
                && world_state(world, i, k) != PEER_DEAD) {
                return false;
            }
        }
    }
    return true;
}

static bool halves_dead(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < world->count; i++) {
        for (uint32_t k = 0; k < world->count; k++) {
            if (world->machines[i].side != world->machines[k].side && world->machines[i].up
                && world_state(world, i, k) != PEER_DEAD) {
                return false;
            }
        }
    }
    return true;
}

/* Three in ten die at once; all of them are found, and nobody else. */
void scenario_deaths(uint64_t seed)
{
    struct world *world = world_of(seed, 50, 50);

    world_run(world, 5 * WORLD_S);
    for (unsigned i = 0; i < 15; i++) {
        world_kill(world, world_any(world, &world->chaos));
    }
    if (world_run_until(world, 40 * WORLD_S, STEP_US, deaths_known, NULL) == UINT64_MAX) {
        red("deaths", "some are not known after 40 s");
    }
    healed_wait(world, 15, "deaths");
}

/* All wall clocks but one jump 30 h ahead, and then some die: what the others write of
 * it the one takes too. */
void scenario_ahead(uint64_t seed)
{
    struct world *world = world_of(seed, 8, 0);

    world_run(world, 5 * WORLD_S);
    for (uint32_t i = 1; i < 8; i++) {
        world->machines[i].unix_offset_s = 30 * 3600;
    }
    for (uint32_t i = 4; i < 8; i++) {
        world_kill(world, i);
    }
    if (world_run_until(world, 40 * WORLD_S, STEP_US, deaths_known, NULL) == UINT64_MAX) {
        red("ahead", "some are not known after 40 s");
    }
    healed_wait(world, 15, "ahead");
}

/* The seeds die, and halves of the others are apart until each is dead to the other: nothing brings
 * them together but that the dead are tried again. */
void scenario_apart(uint64_t seed)
{
    struct world *world = world_of(seed, 9, 0);

    world_run(world, 5 * WORLD_S);
    for (uint32_t i = 0; i < 9; i++) {
        world->machines[i].side = i % 2;
        if (i < 3) {
            world_kill(world, i);
        }
    }
    network_cut(&world->network, 0, 1);
    network_cut(&world->network, 1, 0);
    if (world_run_until(world, 120 * WORLD_S, STEP_US, halves_dead, NULL) == UINT64_MAX) {
        red("apart", "the halves are not dead to one another after 120 s");
    }
    world_run(world, 120 * WORLD_S); /* nothing that was sent before is sent again any more */
    network_heal(&world->network);
    for (uint32_t i = 0; i < 9; i++) {
        world->machines[i].side = 0;
    }
    healed_wait(world, 15, "apart");
}

/* Sketches of 16384 registers, raised everywhere at once. */
void scenario_sketches(uint64_t seed)
{
    struct world *world = world_of(seed, 8, 20);

    world_run(world, 2 * WORLD_S);
    for (unsigned i = 0; i < 6000; i++) {
        world_scribble(world, WORLD_NOBODY, i % 2 == 0 ? "hll:a" : "hll:b", 16384, 40);
        if (i % 20 == 0) {
            world_run(world, 10 * WORLD_MS);
        }
    }
    healed_wait(world, 20, "sketches");
}

static void sync_count(void *context, const struct world *world, uint32_t sender,
                       const struct address *to, struct bytes datagram)
{
    uint64_t *count = context;
    struct message message;

    (void)world;
    (void)sender;
    (void)to;
    *count += message_decode(datagram, &message) == WIRE_OK && message.extended
              && extended_kind(&message) == NODE_KIND_SYNC;
}

/* Stores that may not take all there is: they do not exchange for ever, what they know still
 * rises, and their members are all live. */
void scenario_full(uint64_t seed)
{
    struct world *world = world_create(&(struct world_options){
        .seed = seed,
        .nodes = 5,
        .faults = { .latency_us = 500, .jitter_us = 1000 },
        .checks = KEEP_CHECKS,
        .keys_max = 60,
    });
    uint64_t early = 0;
    uint64_t late = 0;

    world_run(world, 10 * WORLD_S);
    world->look = sync_count;
    world->context = &early;
    for (unsigned i = 0; i < 5 * 50; i++) {
        char key[32];

        snprintf(key, sizeof key, "of-%u-%u", i % 5, i / 5);
        world_load(world, i % 5, key, 0, 1 + i);
    }
    world_run(world, 60 * WORLD_S);
    world_run(world, 600 * WORLD_S);
    world->context = &late;
    world_run(world, 600 * WORLD_S);
    if (late > early / 4 + 200) {
        red("full", "%llu datagrams of anti-entropy in ten minutes, %llu in those before",
            (unsigned long long)late, (unsigned long long)early);
    }
    if (!world_joined(world, NULL)) {
        red("full", "not all are live");
    }
    check_end(world);
    world_free(world);
}

/* Prototypes. */

/* Which of the machines have an element: all of them, some node of ours. */
struct had {
    char key[64];
    uint32_t lacks; /* the last that has it not */
    bool by_all;
    bool by_node;
};

static bool had_by_all(struct world *world, void *context)
{
    struct had *had = context;

    had->by_all = true;
    had->by_node = false;
    for (uint32_t i = 0; i < world->count; i++) {
        const struct machine *machine = &world->machines[i];
        const bool is_node = machine->kind == MACHINE_NODE;
        const uint64_t value = is_node ? world_read(world, i, had->key, 0)
                                       : prototype_read(machine->prototype, had->key, 0);

        had->lacks = value == 1 ? had->lacks : i;
        had->by_all = had->by_all && value == 1;
        had->by_node = had->by_node || (is_node && value == 1);
    }
    return had->by_all;
}

/* What a client tells any of us, or one of us hears from a prototype, all come to have: the
 * prototypes among themselves would reach every sixth. (What is told to one that tells one other
 * may go no further than that.) No loss, since a plain network does not repair it. */
void scenario_prototypes(uint64_t seed)
{
    struct world *world = world_create(&(struct world_options){
        .seed = seed,
        .nodes = 3,
        .rubies = 5,
        .clojures = 5,
        .faults = { .latency_us = 500, .jitter_us = 1000 },
        .checks = KEEP_CHECKS,
    });

    world_run(world, 60 * WORLD_S);
    for (uint32_t i = 0; i < world->count; i++) {
        const bool tells_one = world->machines[i].kind == MACHINE_RUBY;
        struct had had;

        snprintf(had.key, sizeof had.key, "a-key-of-more-than-thirty-two-bytes-%u", i);
        if (world->machines[i].kind == MACHINE_NODE) {
            world_write(world, i, had.key, 0, 1);
        } else {
            world_tell(world, i, had.key, 0, 1);
        }
        (void)world_run_until(world, 60 * WORLD_S, STEP_US, had_by_all, &had);
        if (!had.by_all && (had.by_node || !tells_one)) {
            red("prototypes", "machine %u has not after a minute what %u was told", had.lacks, i);
        }
    }
    for (uint32_t i = 3; i < world->count; i++) {
        if (prototype_is_dead(world->machines[i].prototype)) {
            red("prototypes", "machine %u is dead", i);
        }
    }
    world_free(world);
}

/* The path of every datagram. */

static struct bytes plain_write(const char *key, uint64_t value, struct space space)
{
    const uint8_t offset = 7;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct writer writer;

    writer_begin_plain(&writer, space, (struct bytes){ (const uint8_t *)key, strlen(key) }, 3,
                       false);
    (void)writer_put_block(&writer, &block, NULL);
    return writer_end(&writer);
}

/* A plain message that raises a known key is taken without asking for memory even once. */
static void plain_check(uint64_t seed)
{
    struct world *world =
        world_create(&(struct world_options){ .seed = seed, .nodes = 1, .strangers = 1 });
    struct machine *machine = &world->machines[0];

    for (uint64_t value = 1; value < 200; value++) {
        const struct moment now = world_moment(world, machine);
        uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
        const struct bytes datagram =
            plain_write("known", value, (struct space){ buffer, sizeof buffer });

        machine->mem.fail_countdown = value < 3 ? 0 : 1;
        node_receive(machine->node, now, &world->machines[1].address, datagram);
        if (value >= 3 && machine->mem.fail_countdown != 1) {
            red("hot", "a plain message that raises a known element allocates");
        }
        machine->mem.fail_countdown = 0;
        world_write(world, 0, "other", 0, value); /* ends the turn */
        if (world_read(world, 0, "known", 7) != value) {
            red("hot", "what was received is not stored");
        }
    }
    world_free(world);
}

static void known_write(struct world *world, uint64_t value)
{
    for (unsigned i = 0; i < 20; i++) {
        char key[32];

        snprintf(key, sizeof key, "k%u", i);
        world_write(world, i % 5, key, i, value);
    }
}

/* An empty node catches up with one across an ocean, where much is under way at any time. */
void scenario_afar(uint64_t seed)
{
    struct world *world = world_create(&(struct world_options){
        .seed = seed,
        .nodes = 2,
        .faults = { .latency_us = 60 * WORLD_MS, .jitter_us = 1000 },
        .checks = KEEP_CHECKS,
        .prejoined = true,
        .distrustful = true,
    });

    for (uint64_t i = 0; i < 10000; i++) {
        char key[32];

        snprintf(key, sizeof key, "afar:%llu", (unsigned long long)i);
        world_load(world, 0, key, i, 1);
    }
    healed_wait(world, 60, "afar");
}

static uint64_t bytes_used(const struct machine *machine)
{
    return machine->mem.used_bytes + machine->node_mem.used_bytes;
}

/* Values rise a hundred times everywhere, and when it is quiet again no node holds one byte more
 * than before: what waits, flies and is remembered is all given back. */
void scenario_hot(uint64_t seed)
{
    struct world *world = world_of(seed, 5, 50);
    uint64_t before[5];

    plain_check(seed);
    for (uint64_t value = 1; value < 4; value++) {
        known_write(world, value);
        world_run(world, WORLD_S);
    }
    world_run(world, 30 * WORLD_S);
    for (unsigned i = 0; i < 5; i++) {
        before[i] = bytes_used(&world->machines[i]);
    }
    for (uint64_t value = 4; value < 100; value++) {
        known_write(world, value);
        world_run(world, random_below(&world->clients, 500 * WORLD_MS));
    }
    world_run(world, 30 * WORLD_S);
    for (unsigned i = 0; i < 5; i++) {
        const uint64_t more = bytes_used(&world->machines[i]) - before[i];

        /* A probe or its ack may be under way just then, and the flights' table have grown. */
        if ((int64_t)more > 40000) {
            red("hot", "node %u holds %lld bytes more than before", i, (long long)more);
        }
    }
    healed_wait(world, 5, "hot");
}
