#include "base/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/ended.h"
#include "sim/explain.h"
#include "sim/ledger.h"
#include "sim/machine.h"
#include "sim/red.h"
#include "sim/scenarios.h"
#include "sim/world.h"

#define STEP_US   (100 * WORLD_MS)
#define DAY_S     UINT64_C(86400)
#define TEN_YEARS (INT64_C(3653) * 86400)
#define NODES     8
#define DOWN_MOST 2 /* so that right clocks are more than wrong ones to everybody */
#define ROUNDS    60
#define WRITES    8
#define SETTLE_S  1000
#define LEAP_BITS 25 /* of seconds: up to 388 days at once, and a year or two in all */
#define CHECKS                                                                           \
    (CHECK_MONOTONE | CHECK_SOUND | CHECK_AUDIT | CHECK_WIRE | CHECK_RATE | CHECK_WINDOW \
     | CHECK_WORK | CHECK_ENDED | CHECK_DELETED)

/* What a client was told that it is stored. */
struct wish {
    char key[ENDED_KEY_MAX];
    uint64_t index;
    uint64_t value;
    uint32_t deadline;
    uint32_t generation; /* in which it was written */
};

struct ends {
    struct world *world;
    struct wish *wishes;
    size_t count;
    size_t room;
    struct ledger deleted; /* name of a key: the greatest generation that a deletion left */
    unsigned keys;         /* dated ones, so far */
    uint32_t skewed;       /* the machine whose clock is up to a day wrong; WORLD_NOBODY: none is */
    uint32_t ahead;        /* and that whose clock is ten years ahead */
    unsigned resurrected;  /* keys that were dead, and found again by who knows the time */
};

/* The minute by a right clock. */
static uint32_t minute_of(const struct world *world)
{
    return (uint32_t)((world->options.unix_s + world->now_us / WORLD_S) / 60);
}

/* And to a node. */
static uint32_t minute_to(const struct world *world, uint32_t machine)
{
    const struct machine *at = &world->machines[machine];

    return (uint32_t)(node_now_s(at->node, world_moment(world, at)) / 60);
}

static bool is_right(const struct ends *ends, uint32_t machine)
{
    return machine != ends->skewed && machine != ends->ahead;
}

/* Writing. */

static void wish_add(struct ends *ends, const struct wish *wish)
{
    if (ends->count == ends->room) {
        ends->room = ends->room * 2 + 64;
        ends->wishes = realloc(ends->wishes, ends->room * sizeof *ends->wishes);
        assert(ends->wishes != NULL);
    }
    ends->wishes[ends->count++] = *wish;
}

static uint64_t name_of(const char *key)
{
    static const uint8_t secret[16] = { 11 };

    return hash_sip(secret, (struct bytes){ (const uint8_t *)key, strlen(key) });
}

/* Whether it was deleted since it was written, or where it was written nobody knew that it was. */
static bool is_deleted(const struct ends *ends, const struct wish *wish)
{
    return wish->generation < ledger_get(&ends->deleted, name_of(wish->key));
}

static bool is_dead(const struct ends *ends, const struct wish *wish)
{
    return is_deleted(ends, wish) || wish->deadline <= minute_of(ends->world);
}

/* A key that ends in some minutes, or in up to a year, at a minute, an hour or a day. */
static void dated_draw(struct ends *ends, struct wish *wish)
{
    struct random *random = &ends->world->clients;
    const uint64_t ahead = 2 + random_below(random, UINT64_C(2) << random_below(random, 18));
    static const uint32_t forms[] = { 1, 60, 1440 };
    const uint32_t form = forms[random_below(random, 3)];
    const uint32_t minute = minute_of(ends->world) + (uint32_t)ahead + form - 1;
    char stem[32];

    snprintf(stem, sizeof stem, "dated%u", ends->keys++);
    ended_name(wish->key, stem, minute - minute % form);
}

static void something_write(struct ends *ends)
{
    struct world *world = ends->world;
    struct random *random = &world->clients;
    const uint32_t machine = world_any(world, random);
    const uint64_t kind = random_below(random, 8);
    struct wish wish = { .index = 0 };

    wish.index = random_below(random, 400);
    wish.value = 1 + random_below(random, 1000);
    if (kind < 2) {
        snprintf(wish.key, sizeof wish.key, "key%llu",
                 (unsigned long long)random_below(random, 20));
    } else if (kind < 6 || ends->count == 0) {
        dated_draw(ends, &wish);
    } else {
        memcpy(wish.key, ends->wishes[random_below(random, ends->count)].key, sizeof wish.key);
    }
    wish.deadline = ended_deadline((struct bytes){ (const uint8_t *)wish.key, strlen(wish.key) });
    if (random_below(random, 6) == 0 && world->options.rubies > 0) {
        world_tell(world, NODES + (uint32_t)random_below(random, 2), wish.key, wish.index,
                   wish.value);
    } else if (world_offer(world, machine, wish.key, wish.index, wish.value)) {
        wish.generation = world_generation(world, machine, wish.key);
        wish_add(ends, &wish);
    } else if (is_right(ends, machine) && wish.deadline > minute_of(world) + 1) {
        red("ends", "machine %u refuses %s at minute %u", machine, wish.key, minute_of(world));
    }
}

/* Any key, at any node that knows the time to the day: others would not take what it deletes. */
static void something_delete(struct ends *ends)
{
    struct world *world = ends->world;
    struct random *random = &world->clients;
    const uint32_t machine = world_any(world, random);
    const uint32_t minute = minute_to(world, machine);
    const char *key;
    uint32_t generation;

    if (ends->count == 0 || minute > minute_of(world) + DAY_S / 60
        || minute + DAY_S / 60 < minute_of(world)) {
        return;
    }
    key = ends->wishes[random_below(random, ends->count)].key;
    generation = world_delete(world, machine, key);
    if (generation > ledger_get(&ends->deleted, name_of(key))) {
        ledger_set(&ends->deleted, name_of(key), generation);
    }
}

/* Faults. */

static bool is_equal(struct world *world, void *unused)
{
    return world_equal(world, unused);
}

static unsigned down_count(const struct world *world)
{
    unsigned down = 0;

    for (uint32_t i = 0; i < NODES; i++) {
        down += !world->machines[i].up;
    }
    return down;
}

/* A backup is put in place only where all that it lacks is elsewhere. */
static void restore(struct ends *ends, uint32_t machine)
{
    if (ends->world->machines[machine].saved != NULL
        && world_run_until(ends->world, SETTLE_S * WORLD_S, STEP_US, is_equal, NULL)
               != UINT64_MAX) {
        world_kill(ends->world, machine);
        world_restore(ends->world, machine);
    }
}

static void clock_set(struct ends *ends, uint32_t *place, uint32_t machine, int64_t offset_s)
{
    if (*place != WORLD_NOBODY) {
        ends->world->machines[*place].unix_offset_s = 0;
        *place = WORLD_NOBODY;
    } else if (is_right(ends, machine) && ends->world->machines[machine].up) {
        ends->world->machines[machine].unix_offset_s = offset_s;
        *place = machine;
    }
}

static void something_breaks(struct ends *ends)
{
    struct world *world = ends->world;
    struct random *random = &world->chaos;
    const uint32_t machine = (uint32_t)random_below(random, NODES);
    const int64_t skew_s = (int64_t)random_below(random, 2 * DAY_S) - (int64_t)DAY_S;

    switch (random_below(random, 6)) {
    case 0:
        if (!world->machines[machine].up) {
            world_restart(world, machine, true);
        } else if (down_count(world) < DOWN_MOST && is_right(ends, machine)) {
            world_kill(world, machine);
        }
        break;
    case 1:
        if (world->machines[machine].up && world->machines[machine].saved == NULL) {
            world_save(world, machine);
        }
        break;
    case 2:
        if (world->machines[machine].up && is_right(ends, machine)) {
            restore(ends, machine);
        }
        break;
    case 3: clock_set(ends, &ends->skewed, machine, skew_s); break;
    case 4: clock_set(ends, &ends->ahead, machine, TEN_YEARS); break;
    default: break;
    }
}

/* What must be. */

/* Every node that is up and is told the time by most knows it, whatever its own clock says. */
static bool knows_minute(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < NODES; i++) {
        const uint32_t minute = minute_of(world);

        if (world->machines[i].up && minute_to(world, i) + 1 != minute
            && minute_to(world, i) != minute) {
            return false;
        }
    }
    return true;
}

static void clocks_check(struct ends *ends)
{
    if (!ends->world->options.distrustful
        && world_run_until(ends->world, SETTLE_S * WORLD_S, STEP_US, knows_minute, NULL)
               == UINT64_MAX) {
        for (uint32_t i = 0; i < NODES; i++) {
            printf("  machine %u, %s, whose clock is %lld s ahead: minute %u\n", i,
                   ends->world->machines[i].up ? "up" : "down",
                   (long long)ends->world->machines[i].unix_offset_s, minute_to(ends->world, i));
        }
        red("clock", "it is minute %u, and not to all", minute_of(ends->world));
    }
}

static void dead_count(struct ends *ends)
{
    const struct world *world = ends->world;

    for (size_t i = 0; i < ends->count; i++) {
        for (uint32_t k = 0; k < NODES; k++) {
            ends->resurrected +=
                ends->wishes[i].deadline < minute_of(world) - 1 && world->machines[k].up
                && is_right(ends, k)
                && world_read(world, k, ends->wishes[i].key, ends->wishes[i].index) != 0;
        }
    }
}

/* What was deleted is of that generation everywhere, or of a later one, so that whatever is read of
 * it was written since (CHECK_SOUND). */
static void deleted_count(struct ends *ends)
{
    for (size_t i = 0; i < ends->count; i++) {
        const struct wish *wish = &ends->wishes[i];
        const uint64_t generation = ledger_get(&ends->deleted, name_of(wish->key));

        for (uint32_t k = 0; k < NODES && wish->generation < generation; k++) {
            ends->resurrected += wish->deadline > minute_of(ends->world) + 1
                                 && world_generation(ends->world, k, wish->key) < generation;
        }
    }
}

/* Everything that was told to be stored and has not ended is at every node. */
static void live_check(const struct ends *ends)
{
    for (size_t i = 0; i < ends->count; i++) {
        const struct wish *wish = &ends->wishes[i];

        if (is_deleted(ends, wish)) {
            continue;
        }
        for (uint32_t k = 0; k < NODES && wish->deadline > minute_of(ends->world) + 1; k++) {
            if (world_read(ends->world, k, wish->key, wish->index) < wish->value) {
                red("lost", "machine %u has not %s[%llu] = %llu, at minute %u", k, wish->key,
                    (unsigned long long)wish->index, (unsigned long long)wish->value,
                    minute_of(ends->world));
            }
        }
    }
}

static void settle(struct ends *ends)
{
    struct world *world = ends->world;

    world->network.faults = (struct faults){ .latency_us = 1000, .jitter_us = 500 };
    ends->skewed = WORLD_NOBODY;
    ends->ahead = WORLD_NOBODY;
    for (uint32_t i = 0; i < NODES; i++) {
        world->machines[i].unix_offset_s = (int64_t)random_below(&world->chaos, 61) - 30;
        if (!world->machines[i].up) {
            world_restart(world, i, true);
        }
    }
    world_run(world, 10 * WORLD_S);
    if (world_run_until(world, SETTLE_S * WORLD_S, STEP_US, is_equal, NULL) == UINT64_MAX) {
        explain_views(world);
        explain_stores(world);
        red("convergence", "stores that differ after %d s without faults", SETTLE_S);
    }
}

static bool all_freed(struct world *world, void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < NODES; i++) {
        if (table_stats(world->machines[i].table).ended > 0) {
            return false;
        }
    }
    return true;
}

/* Memory of what has ended is given back, and digests are those of nodes that never had it. */
static void freed_check(struct ends *ends)
{
    struct world *world = ends->world;

    if (world->options.distrustful) {
        return; /* nobody confirms anybody's clock */
    }
    world_leap(world, 3600 * WORLD_S);
    world_run(world, 10 * WORLD_S);
    if (world_run_until(world, SETTLE_S * WORLD_S, STEP_US, all_freed, NULL) == UINT64_MAX) {
        red("freed", "keys that ended an hour ago are kept, though all clocks agree");
    }
    for (uint32_t i = 0; i < NODES; i++) {
        struct table *table = machine_table_copy(world, i, world->machines[i].table, NULL);

        if (table_root(table, TABLE_DATA) != table_root(world->machines[i].table, TABLE_DATA)) {
            red("freed", "the digest of machine %u is not that of one that never had what ended",
                i);
        }
        table_free(table);
    }
}

/* Days pass between moments in which clients write, and something breaks. */
static void days_pass(struct ends *ends)
{
    struct world *world = ends->world;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct random *random = &world->chaos;

        for (unsigned i = 0; i < WRITES; i++) {
            if (random_below(&world->clients, 8) == 0) {
                something_delete(ends);
            }
            something_write(ends);
            world_run(world, random_below(random, WORLD_S));
        }
        something_breaks(ends);
        world_run(world, 10 * WORLD_S);
        clocks_check(ends);
        dead_count(ends);
        world_leap(world, random_below(random, WORLD_S << random_below(random, LEAP_BITS)));
        world_run(world, 10 * WORLD_S);
    }
}

struct ends_result ends_run(uint64_t seed)
{
    struct ends ends = { .skewed = WORLD_NOBODY, .ahead = WORLD_NOBODY };
    struct ends_result result = { .dead = 0 };
    struct random random;
    uint64_t loss;
    uint64_t plain;

    random_seed(&random, seed, 501);
    loss = random_below(&random, 300);
    plain = random_below(&random, 2);
    ends.world = world_create(&(struct world_options){
        .seed = seed,
        .nodes = NODES,
        .rubies = plain,
        .clojures = plain,
        .repeats = true,
        .faults = { .loss_permille = (unsigned)loss, .latency_us = 500, .jitter_us = 1000 },
        .checks = CHECKS,
        .distrustful = plain == 0 && random_below(&random, 2) == 0,
    });
    world_run(ends.world, 20 * WORLD_S);
    days_pass(&ends);
    settle(&ends);
    live_check(&ends);
    deleted_count(&ends);
    freed_check(&ends);
    dead_count(&ends);
    check_end(ends.world);
    for (size_t i = 0; i < ends.count; i++) {
        result.dead += is_dead(&ends, &ends.wishes[i]);
    }
    result.resurrected = ends.resurrected;
    ledger_clear(&ends.deleted);
    free(ends.wishes);
    world_free(ends.world);
    return result;
}

void scenario_ends(uint64_t seed)
{
    const struct ends_result result = ends_run(seed);

    printf("%u of %u dead keys alive again\n", result.resurrected, result.dead);
    if (result.resurrected > 0) {
        red("ends", "%u of %u dead keys are alive again", result.resurrected, result.dead);
    }
}

/* A clock ten years ahead hides what ends before; it frees nothing. */

#define WILD_KEY    "wild"
#define WILD_MANY   4000
#define WILD_LEAP_S UINT64_C(3000) /* in which what others told of their clocks does not go stale */

struct wild {
    struct world *world;
    char key[ENDED_KEY_MAX]; /* ends in a year */
};

static struct wild wild_begin(uint64_t seed, size_t nodes)
{
    struct wild wild = { .world = world_create(&(struct world_options){
                             .seed = seed,
                             .nodes = nodes,
                             .faults = { .latency_us = 500, .jitter_us = 1000 },
                             .checks = CHECKS,
                             .prejoined = nodes > 1,
                         }) };

    ended_name(wild.key, WILD_KEY, minute_of(wild.world) + 365 * 1440);
    world_run(wild.world, 10 * WORLD_S);
    world_write(wild.world, 0, wild.key, 3, 7);
    world_run(wild.world, 10 * WORLD_S);
    return wild;
}

static void wild_expect(const struct wild *wild, uint32_t machine, bool there, const char *when)
{
    if ((world_read(wild->world, machine, wild->key, 3) == 7) != there) {
        red("wild", "%s machine %u of %zu has %s", when, machine, wild->world->count,
            there ? "not what ends in a year" : "what has ended to it");
    }
}

static void many_name(const struct wild *wild, char key[ENDED_KEY_MAX], unsigned number)
{
    char stem[24];

    snprintf(stem, sizeof stem, "many%u", number);
    ended_name(key, stem,
               ended_deadline((struct bytes){ (const uint8_t *)wild->key, strlen(wild->key) }));
}

/* More keys than a node looks at in a turn, and clients write to them while some are still to come
 * back. */
static void wild_many(const struct wild *wild)
{
    struct world *world = wild->world;
    char key[ENDED_KEY_MAX];

    for (unsigned i = 0; i < WILD_MANY; i++) {
        many_name(wild, key, i);
        world_write(world, 0, key, 0, 1);
    }
    world->machines[0].unix_offset_s = TEN_YEARS;
    world_run(world, 5 * WORLD_S);
    wild_expect(wild, 0, false, "while its clock is ahead");
    world->machines[0].unix_offset_s = 0;
    for (unsigned i = 0; i < WILD_MANY; i++) {
        many_name(wild, key, WILD_MANY - 1 - i);
        (void)world_offer(world, 0, key, 1, 1); /* until it has looked at its clock it refuses */
        world_run(world, WORLD_MS);
    }
    world_run(world, 5 * WORLD_S);
    for (unsigned i = 0; i < WILD_MANY; i++) {
        many_name(wild, key, i);
        if (world_read(world, 0, key, 0) != 1) {
            red("wild", "%s is not back once the clock is right", key);
        }
    }
}

/* The clock is right again while nobody can be asked, and all has come back. */
static void wild_right(const struct wild *wild, uint32_t machine, const char *when)
{
    struct world *world = wild->world;

    world->machines[machine].side = 1;
    network_cut(&world->network, 0, 1);
    network_cut(&world->network, 1, 0);
    world->machines[machine].unix_offset_s = 0;
    world_run(world, 10 * WORLD_S);
    wild_expect(wild, machine, true, when);
    network_heal(&world->network);
    world->machines[machine].side = 0;
    world_run(world, 10 * WORLD_S);
}

/* A clock goes wrong for so long, and right again. */
static void wild_while(const struct wild *wild, uint32_t machine, uint64_t span_s)
{
    struct world *world = wild->world;

    world->machines[machine].unix_offset_s = TEN_YEARS;
    world_run(world, 60 * WORLD_S);
    wild_expect(wild, machine, false, "while its clock is ahead");
    for (uint64_t s = 0; s < span_s; s += WILD_LEAP_S) {
        world_leap(world, WILD_LEAP_S * WORLD_S);
        world_run(world, 20 * WORLD_S);
    }
    world_kill(world, machine);
    world_restart(world, machine, true); /* and loads what it has by that clock */
    world_run(world, 20 * WORLD_S);
    wild_right(wild, machine, "once its clock is right");
}

/* Nor is it confirmed that nobody disagrees where nobody was awake to say so. */
static void wild_asleep(const struct wild *wild, uint32_t machine)
{
    struct world *world = wild->world;

    world->machines[machine].unix_offset_s = TEN_YEARS;
    world_run(world, 20 * WORLD_S);
    world_leap(world, 3 * DAY_S * WORLD_S);
    world_run(world, 20 * WORLD_S);
    wild_right(wild, machine, "after it slept with a clock that was ahead");
}

void scenario_wild(uint64_t seed)
{
    struct wild wild = wild_begin(seed, 1);

    /* Alone it is believed after a day without a jump. */
    wild_while(&wild, 0, 3600);
    wild_while(&wild, 0, 23 * 3600);
    wild_many(&wild);
    check_end(wild.world);
    world_free(wild.world);

    /* One other cannot say who is right, and never does. */
    wild = wild_begin(seed, 2);
    wild_while(&wild, 1, 3600);
    wild_while(&wild, 1, 3 * DAY_S);
    wild_asleep(&wild, 1);
    check_end(wild.world);
    world_free(wild.world);

    /* Four say so at once. */
    wild = wild_begin(seed, 5);
    wild.world->machines[4].unix_offset_s = TEN_YEARS;
    for (unsigned i = 0; i < 60; i++) {
        world_run(wild.world, WORLD_S);
        wild_expect(&wild, 4, true, "while most clocks are right");
    }
    check_end(wild.world);
    world_free(wild.world);
}
