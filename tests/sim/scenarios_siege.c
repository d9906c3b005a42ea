/* Attacks that last, on a cluster that goes on living meanwhile: a node is killed and missed, it
 * comes back and is welcome, an empty one joins, updates get through; and when it is over, all is
 * as if nothing had been. */

#include <stdio.h>
#include <string.h>

#include "sim/attack.h"
#include "sim/check.h"
#include "sim/explain.h"
#include "sim/limits.h"
#include "sim/red.h"
#include "sim/scenarios.h"
#include "sim/world.h"

#define STEP_US     (20 * WORLD_MS)
#define NODES       5
#define SPARE       4                    /* the one that dies and comes back */
#define NODE_BYTES  (UINT64_C(24) << 20) /* all that attackers may make a node remember */
#define STORE_BYTES (UINT64_C(64) << 20)
#define KEYS_MAX    20000

/* With nobody attacking, a newcomer of a handful is known to all within two seconds, a death
 * within nine and twice as many as there are members (each probes one a second, in an order of its
 * own), and views are one nine seconds after anything. */
#define JOIN_US   (9 * WORLD_S)
#define DEATH_US  ((9 + 2 * NODES) * WORLD_S)
#define VIEWS_US  (9 * WORLD_S)
#define UPDATE_US (9 * WORLD_S)
#define OLD_US    (30 * WORLD_S) /* nobody introduces itself for the first time any more */

/* Who is trusted: everybody, so also the attacker; the members' network; nobody. */
enum trust { TRUST_ALL, TRUST_MEMBERS, TRUST_NONE, TRUST_COUNT };
static const char *const trust_names[] = { "everybody", "the members' network", "nobody" };

struct siege {
    struct world *world;
    struct attack *attack; /* NULL: it is over */
    const char *name;
    unsigned acts;
    unsigned at_once; /* in one step */
    unsigned trust;   /* enum trust */
    unsigned updates;
    uint64_t begun_us; /* of the attack */
};

static void siege_red(const struct siege *siege, const char *what, uint64_t within_us)
{
    explain_views(siege->world);
    explain_strangers(siege->world, 0);
    explain_stores(siege->world);
    red(siege->name, "%s within %llu s, with trust in %s", what,
        (unsigned long long)(within_us / WORLD_S), trust_names[siege->trust]);
}

static void siege_step(struct siege *siege)
{
    if (siege->attack != NULL) {
        attack_strike(siege->attack, siege->acts, siege->at_once);
    }
    world_run(siege->world, STEP_US);
}

static void siege_last(struct siege *siege, uint64_t span_us)
{
    const uint64_t end_us = siege->world->now_us + span_us;

    while (siege->world->now_us < end_us) {
        siege_step(siege);
    }
}

/* Go on until a condition holds. */
static void siege_until(struct siege *siege, bool (*holds)(struct world *world, void *context),
                        void *context, uint64_t within_us, const char *what)
{
    const uint64_t end_us = siege->world->now_us + within_us;

    while (!holds(siege->world, context)) {
        if (siege->world->now_us >= end_us) {
            siege_red(siege, what, within_us);
        }
        siege_step(siege);
    }
}

/* Or called left, by a slander that it did not live to refute. */
static bool spare_dead(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < NODES; i++) {
        const enum peer_state state = i == SPARE ? PEER_DEAD : world_state(world, i, SPARE);

        if (state != PEER_DEAD && state != PEER_LEFT) {
            return false;
        }
    }
    return true;
}

static bool update_there(struct world *world, void *context)
{
    const struct siege *siege = context;

    for (uint32_t i = 0; i < NODES; i++) {
        if (world->machines[i].up && world_read(world, i, "ours", 0) != siege->updates) {
            return false;
        }
    }
    return true;
}

static void steady_set(struct siege *siege)
{
    for (uint32_t i = 0; i < NODES; i++) {
        siege->world->machines[i].is_steady = siege->world->machines[i].up;
    }
}

static void update(struct siege *siege)
{
    world_write(siege->world, siege->updates % (NODES - 1), "ours", 0, siege->updates + 1);
    siege->updates++;
    siege_until(siege, update_there, siege, UPDATE_US, "an update is not everywhere");
}

/* The spare one dies, is missed, and is back, with its store or without. */
static void death(struct siege *siege, bool kept)
{
    world_kill(siege->world, SPARE);
    siege_until(siege, spare_dead, NULL, DEATH_US, "a death is not noticed by all");
    update(siege);
    world_restart(siege->world, SPARE, kept);
    siege_until(siege, world_members, NULL, JOIN_US,
                kept ? "a node that is back is no member" : "an empty node is no member");
    steady_set(siege);
    update(siege);
}

static struct siege siege_begin(const char *name, uint64_t seed, enum trust trust)
{
    struct siege siege = { .name = name, .trust = trust };
    const struct world_options options = {
        .seed = seed + trust,
        .nodes = NODES,
        .strangers = 1,
        .checks = CHECK_EVERY & ~(unsigned)CHECK_DEPTH, /* of one life each */
        .faults = { .latency_us = 500, .jitter_us = 500, .loss_permille = 10 },
        .keys_max = KEYS_MAX,
        .node_bytes_max = NODE_BYTES,
        .store_bytes_max = STORE_BYTES,
        .distrustful = trust == TRUST_NONE,
        .trusts_members = trust == TRUST_MEMBERS,
        .prejoined = true,
    };

    siege.world = world_create(&options);
    /* What is asked for, and what floods find there. */
    for (unsigned i = 0; i < 300; i++) {
        char key[16];

        snprintf(key, sizeof key, "key%u", i);
        world_write(siege.world, i % NODES, key, i, i + 1);
        world_write(siege.world, i % NODES, "wide", (uint64_t)i << 20, i + 1);
    }
    world_write(siege.world, 0, "ours", 0, 1);
    siege.updates = 1;
    world_run(siege.world, OLD_US);
    steady_set(&siege);
    return siege;
}

/* Who makes somebody uninvolved up as a member gains little by it: together the nodes send there
 * three times what the attacker sent (as much as RFC 9000, section 8.1, lets one host send; here
 * they are many), and each its floor. */
#define REFLECTED 3

static void reflection_check(const struct siege *siege)
{
    const struct world *world = siege->world;
    const uint64_t said = world->machines[world->count - 1].sent_bytes;
    const uint64_t span_s = (world->now_us - siege->begun_us) / WORLD_S + 1;
    const uint64_t most = REFLECTED * said + span_s * NODES * LIMITS_FLOOR_BYTES;
    const uint64_t reflected = world->network.bystander_bytes;

    if (siege->trust != TRUST_ALL && reflected > most) {
        red("credit", "%llu bytes to bystanders for %llu that the attacker sent",
            (unsigned long long)reflected, (unsigned long long)said);
    }
}

static void siege_end(struct siege *siege)
{
    reflection_check(siege);
    attack_end(siege->attack);
    siege->attack = NULL;
    siege_until(siege, world_members, NULL, VIEWS_US, "views are not right after the attack");
    /* What was said during it stays without effect. */
    death(siege, true);
    if (world_run_until(siege->world, 30 * WORLD_S, STEP_US, world_equal, NULL) == UINT64_MAX) {
        siege_red(siege, "stores are not equal after the attack", 30 * WORLD_S);
    }
    check_end(siege->world);
    world_free(siege->world);
}

static void besiege(const char *name, uint64_t seed, unsigned acts, enum trust first)
{
    for (unsigned trust = first; trust < TRUST_COUNT; trust++) {
        struct siege siege = siege_begin(name, seed, (enum trust)trust);

        siege.acts = acts;
        siege.at_once = 1;
        siege.attack = attack_begin(siege.world);
        siege.begun_us = siege.world->now_us;
        siege_last(&siege, 5 * WORLD_S);
        reflection_check(&siege);
        death(&siege, true);
        update(&siege);
        death(&siege, false);
        siege_last(&siege, 3 * WORLD_S);
        siege_end(&siege);
    }
}

/* All of a kind at once, by those whom nobody trusts. */
void scenario_strangers(uint64_t seed)
{
    besiege("strangers", seed, ATTACK_STRANGERS, TRUST_MEMBERS);
}

void scenario_forgers(uint64_t seed)
{
    besiege("forgers", seed, ATTACK_FORGERS, TRUST_MEMBERS);
}

void scenario_floods(uint64_t seed)
{
    besiege("floods", seed, ATTACK_FLOODS, TRUST_MEMBERS);
}

/* By somebody who is trusted, too. */
bool scenario_act(const char *name, uint64_t seed)
{
    for (unsigned i = 0; attack_names[i] != NULL; i++) {
        if (strcmp(attack_names[i], name) == 0) {
            besiege(name, seed, 1u << i, TRUST_ALL);
            return true;
        }
    }
    return false;
}

/* Each of the acts alone: what one of them does is not hidden by another. */
void scenario_siege(uint64_t seed)
{
    for (unsigned i = 0; attack_names[i] != NULL; i++) {
        (void)scenario_act(attack_names[i], seed);
    }
}
