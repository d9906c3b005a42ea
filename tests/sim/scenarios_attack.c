#include "node/claim.h"
#include "node/state.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/scenarios.h"
#include "sim/world.h"

#define STEP_US (100 * WORLD_MS)

/* An attacker's tools. */

struct forgery {
    struct world *world;
    struct random random;
    uint32_t attacker; /* the machine it really sends from */
};

static struct world *world_of(uint64_t seed, size_t nodes, const struct world_options *more)
{
    struct world_options options = *more;

    options.seed = seed;
    options.nodes = nodes;
    options.strangers = 1;
    options.prejoined = true;
    options.faults = (struct faults){ .latency_us = 500, .jitter_us = 500 };
    return world_create(&options);
}

static struct forgery forgery_of(struct world *world)
{
    struct forgery forgery = { .world = world, .attacker = (uint32_t)world->count - 1 };

    random_seed(&forgery.random, world->options.seed, 401);
    return forgery;
}

static void send_as(const struct forgery *forgery, const struct address *from, uint32_t to,
                    struct bytes datagram)
{
    world_inject(forgery->world, forgery->attacker, from, &forgery->world->machines[to].address,
                 datagram);
}

static struct block one_element(const uint64_t *value, const uint8_t *offset)
{
    return (struct block){ .values = value, .offsets = offset, .count = 1, .width = 8 };
}

/* Under whose address, about whom, to whom: machines. */
struct slander {
    uint32_t from;
    uint32_t victim;
    uint32_t to;
};

/* An item of a member's presence, in a datagram that seems to come from another member. */
static void forge_presence(const struct forgery *forgery, struct slander slander,
                           const uint64_t values[], const uint8_t offsets[], size_t count)
{
    struct world *world = forgery->world;
    const struct address *source = &world->machines[slander.from].address;
    const struct address *victim = &world->machines[slander.victim].address;
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct envelope envelope = {
        .has = WIRE_HAS_SENDER | WIRE_HAS_DEPTH,
        .sender_id = (uint32_t)node_peer_id(world->machines[slander.from].node, source),
        .depth = 1,
    };
    struct writer writer;

    writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
    if (!writer_begin_item(&writer, node_presence_key(victim, key), false, 0)) {
        red("forged", "no room for an item");
    }
    for (size_t i = 0; i < count; i++) {
        const struct block block = one_element(&values[i], &offsets[i]);

        (void)writer_put_block(&writer, &block, NULL);
        if (i + 1 < count) {
            writer_end_item(&writer);
            (void)writer_begin_item(&writer, node_presence_key(victim, key), false, 0);
        }
    }
    writer_end_item(&writer);
    send_as(forgery, source, slander.to, writer_end(&writer));
}

/* Members are called suspect, dead, gone and alive again, in incarnations near and far, under the
 * address of other members. Each must be alive to all soon after. */
void scenario_forged(uint64_t seed)
{
    struct world *world = world_of(seed, 20, &(struct world_options){ .checks = CHECK_AUDIT });
    struct forgery forgery = forgery_of(world);
    const uint8_t offsets[] = { PRESENCE_STATE, PRESENCE_SINCE, PRESENCE_INSTANCE,
                                PRESENCE_CONFIRM };

    world_run(world, 5 * WORLD_S);
    for (unsigned i = 0; i < 400; i++) {
        static const uint64_t ahead_s[] = { 0, 1, 1000, 80000, 90000, 170000, 1000000, 1u << 31 };
        struct random *random = &forgery.random;
        const uint64_t now_s = world_moment(world, &world->machines[0]).unix_s;
        const uint64_t near = now_s + ahead_s[random_below(random, 8)];
        const uint64_t incarnation = random_below(random, 8) == 0 ? UINT64_MAX >> 2 : near;
        const uint64_t word = random_below(random, 4);
        const uint64_t since_s = now_s + ahead_s[random_below(random, 8)];
        const uint64_t values[] = { incarnation << 2 | word, since_s, incarnation << 16 | 7,
                                    incarnation };
        struct slander slander;

        slander.from = (uint32_t)random_below(random, 20);
        slander.victim = (uint32_t)random_below(random, 20);
        slander.to = (uint32_t)random_below(random, 20);
        forge_presence(&forgery, slander, values, offsets, 1 + random_below(random, 4));
        world_run(world, random_below(random, STEP_US));
    }
    if (world_run_until(world, 15 * WORLD_S, STEP_US, world_joined, NULL) == UINT64_MAX) {
        red("forged", "a member stays slandered");
    }
    world_run(world, 30 * WORLD_S);
    if (!world_joined(world, NULL)) {
        red("forged", "slander comes back");
    }
    check_end(world);
    world_free(world);
}

/* Presence of plain peers with stamps in every unit there is. No prototype is told a stamp above
 * its minute (the models and the checks of the wire see to that), and whoever lives is live. */
void scenario_units(uint64_t seed)
{
    struct world *world = world_of(
        seed, 5, &(struct world_options){ .rubies = 2, .clojures = 2, .checks = CHECK_WIRE });
    struct forgery forgery = forgery_of(world);
    static const uint64_t units[] = { 1000000000, 1000000, 1000, 1, 0 };

    for (unsigned i = 0; i < 600; i++) {
        const uint64_t unit = units[random_below(&forgery.random, 5)];
        const uint64_t now_s = world_moment(world, &world->machines[0]).unix_s;
        const uint64_t stamp = unit == 0 ? now_s / 6 : now_s * unit;
        const uint8_t offset = PRESENCE_STAMP;
        const struct block block = one_element(&stamp, &offset);
        const uint32_t about = (uint32_t)random_below(&forgery.random, 9);
        /* Like a Ruby-like one: of the other kind it would tell a wrong dialect. */
        const uint32_t from = 5 + (uint32_t)random_below(&forgery.random, 2);
        const uint32_t to = (uint32_t)random_below(&forgery.random, 5);
        uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
        uint8_t key[NODE_PRESENCE_KEY_MAX];
        struct writer writer;

        writer_begin_plain(&writer, (struct space){ buffer, sizeof buffer },
                           node_presence_key(&world->machines[about].address, key), 3, false);
        (void)writer_put_block(&writer, &block, NULL);
        send_as(&forgery, &world->machines[from].address, to, writer_end(&writer));
        world_run(world, random_below(&forgery.random, 1000 * WORLD_MS));
    }
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t k = 5; k < 9; k++) {
            if (world_state(world, i, k) != PEER_ALIVE) {
                red("units", "node %u holds the prototype %u in state %d", i, k,
                    world_state(world, i, k));
            }
        }
        for (uint32_t k = 0; k < 5; k++) {
            if (i != k && world_state(world, i, k) != PEER_ALIVE) {
                red("units", "node %u holds the node %u in state %d", i, k,
                    world_state(world, i, k));
            }
        }
    }
    for (uint32_t k = 5; k < 9; k++) {
        if (prototype_is_dead(world->machines[k].prototype)) {
            red("units", "the prototype %u is dead", k);
        }
    }
    world_free(world);
}

/* Flood. */

static struct address stranger(struct random *random)
{
    const uint64_t host = random_below(random, 65536);

    return (struct address){
        .ip = { [10] = 0xff,
                [11] = 0xff,
                [12] = 172,
                [13] = 16,
                [14] = (uint8_t)(host >> 8),
                [15] = (uint8_t)host },
        .port = (uint16_t)(1024 + random_below(random, 60000)),
    };
}

/* A plain message: a new key, a question, or somebody's presence. */
static struct bytes plain_forge(struct random *random, struct space space)
{
    static const char *const keys[] = { "%", "*", "k%", "n:%", "n:1.2.3.4:5" };
    const uint64_t value = 1 + random_below(random, 1000000);
    const uint8_t offset = (uint8_t)random_below(random, 256);
    const struct block block = one_element(&value, &offset);
    char key[24] = "flood:";
    struct bytes named = { (const uint8_t *)key, 22 };
    struct writer writer;

    if (random_below(random, 4) == 0) {
        const char *const fixed = keys[random_below(random, 5)];

        named = (struct bytes){ (const uint8_t *)fixed, strlen(fixed) };
    } else {
        for (unsigned i = 6; i < 22; i++) {
            key[i] = (char)('a' + random_below(random, 26));
        }
    }
    writer_begin_plain(&writer, space, named, (uint8_t)random_below(random, 51), false);
    if (random_below(random, 4) != 0) {
        (void)writer_put_block(&writer, &block, NULL);
    }
    return writer_end(&writer);
}

/* What somebody overheard, with some bytes changed. */
struct overheard {
    uint8_t datagrams[64][WIRE_EXTENDED_BYTES_MAX];
    size_t sizes[64];
    size_t count;
};

static void overhear(void *context, const struct world *world, uint32_t sender,
                     const struct address *to, struct bytes datagram)
{
    struct overheard *overheard = context;
    const size_t at = overheard->count++ % 64;

    (void)world;
    (void)sender;
    (void)to;
    memcpy(overheard->datagrams[at], datagram.data, datagram.size);
    overheard->sizes[at] = datagram.size;
}

static struct bytes overheard_mutate(const struct overheard *overheard, struct random *random,
                                     struct space space)
{
    const size_t at = random_below(random, overheard->count < 64 ? overheard->count : 64);

    memcpy(space.data, overheard->datagrams[at], overheard->sizes[at]);
    for (uint64_t i = random_below(random, 4); i > 0; i--) {
        const size_t changed = random_below(random, overheard->sizes[at]);

        space.data[changed] = (uint8_t)random_next(random);
    }
    return (struct bytes){ space.data, overheard->sizes[at] };
}

static bool has_key(struct world *world, void *context)
{
    for (uint32_t i = 0; i < world->options.nodes; i++) {
        if (world_read(world, i, context, 0) == 0) {
            return false;
        }
    }
    return true;
}

#define FLOOD_KEYS_MAX  2000
#define FLOOD_BYTES_MAX 40000000 /* of a node without a limit: answers that wait for strangers */
#define FLOOD_LIMIT     6000000  /* of the accounts of some: less than they would like */

/* Strangers from everywhere: 40,000 datagrams in 20 seconds. Memory stays within its bounds, and a
 * member's update gets through. */
void scenario_flood(uint64_t seed)
{
    struct world *world = world_of(seed, 4,
                                   &(struct world_options){ .checks = CHECK_AUDIT | CHECK_RATE,
                                                            .distrustful = true,
                                                            .keys_max = FLOOD_KEYS_MAX });
    struct forgery forgery = forgery_of(world);
    struct overheard *overheard = calloc(1, sizeof *overheard);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];

    world_write(world, 0, "ours", 1, 1); /* while there is room */
    for (size_t k = 2; k < 4; k++) {
        world->machines[k].mem.limit_bytes = FLOOD_LIMIT;
        world->machines[k].node_mem.limit_bytes = FLOOD_LIMIT;
    }
    world->look = overhear;
    world->context = overheard;
    world_run(world, 5 * WORLD_S);
    for (unsigned i = 0; i < 40000; i++) {
        struct random *random = &forgery.random;
        const struct space space = { buffer, sizeof buffer };
        const struct address from = stranger(random);
        const struct bytes datagram = random_below(random, 3) == 0
                                          ? overheard_mutate(overheard, random, space)
                                          : plain_forge(random, (struct space){ buffer, 760 });

        send_as(&forgery, &from, (uint32_t)random_below(random, 4), datagram);
        world_run(world, 500);
        for (size_t k = 0; k < 4; k++) {
            if (world->machines[k].node_mem.used_bytes > FLOOD_BYTES_MAX) {
                red("flood", "%llu bytes after %u datagrams",
                    (unsigned long long)world->machines[k].node_mem.used_bytes, i);
            }
        }
        if (i % 8000 == 7999) {
            world_write(world, i / 8000 % 4, "ours", i, 1);
        }
    }
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t k = 0; k < 4; k++) {
            if (i != k && world_state(world, i, k) != PEER_ALIVE) {
                red("flood", "node %u holds %u in state %d", i, k, world_state(world, i, k));
            }
        }
    }
    world_write(world, 0, "ours", 0, 1);
    if (world_run_until(world, 2 * WORLD_S, STEP_US, has_key, "ours") == UINT64_MAX) {
        red("flood", "an update does not get through");
    }
    check_end(world);
    free(overheard);
    world_free(world);
}

/* Everything that was ever said is said again, from where it came and from elsewhere, later and in
 * another order. Nothing follows. */
void scenario_replay(uint64_t seed)
{
    struct world *world =
        world_of(seed, 6, &(struct world_options){ .checks = CHECK_MONOTONE | CHECK_SOUND });
    struct forgery forgery = forgery_of(world);
    struct overheard *overheard = calloc(1, sizeof *overheard);

    world->look = overhear;
    world->context = overheard;
    for (unsigned i = 0; i < 2000; i++) {
        const size_t at = random_below(&forgery.random, 64);
        const uint32_t from = (uint32_t)random_below(&forgery.random, 6);

        if (i % 20 == 0) {
            world_write(world, (uint32_t)random_below(&world->clients, 6), "key", i, 1 + i);
        }
        if (at < overheard->count) {
            send_as(&forgery, &world->machines[from].address,
                    (uint32_t)random_below(&forgery.random, 6),
                    (struct bytes){ overheard->datagrams[at], overheard->sizes[at] });
        }
        world_run(world, random_below(&forgery.random, 20 * WORLD_MS));
    }
    if (world_run_until(world, 20 * WORLD_S, STEP_US, world_equal, NULL) == UINT64_MAX
        || world_run_until(world, 20 * WORLD_S, STEP_US, world_joined, NULL) == UINT64_MAX) {
        red("replay", "views or stores differ 20 s after it");
    }
    check_end(world);
    free(overheard);
    world_free(world);
}
