#include "sim/run.h"

#include "node/bounds.h"
#include "node/extended.h"

#include <stdio.h>
#include <string.h>

#include "sim/attack.h"
#include "sim/check.h"
#include "sim/draw.h"
#include "sim/ended.h"
#include "sim/explain.h"
#include "sim/prototypes.h"
#include "sim/red.h"
#include "sim/storage.h"
#include "sim/world.h"

#define SETTLE_US     (90 * WORLD_S)
#define REST_US       (20 * WORLD_S)
#define HOSTS_REST_US (2 * REST_US)   /* among so many members a suspicion takes longer */
#define NEWS_US       (10 * WORLD_S)  /* until two have exchanged what differed */
#define MINUTE_US     (3 * WORLD_S)   /* until a minute has begun to all */
#define HAUNTED_US    (900 * WORLD_S) /* until an address that was left is dead to all */
#define STEP_US       (100 * WORLD_MS)
#define YEAR_S        31536000
#define DAY_S         86400
#define KEYS          40
#define DENSE         4 /* keys with many elements */
#define WHOLE         2 /* keys that are deleted and written again */
#define WHOLE_BLOCKS  300
#define ATTACK_ACTS   5 /* fewer at once */
#define VIEWS_US      (9 * WORLD_S)

const char *const run_fault_names[] = { "loss",      "duplicate", "reorder", "corrupt", "partition",
                                        "oneway",    "crash",     "clock",   "pause",   "plain",
                                        "strangers", "forgers",   "floods",  "dated",   "deleted",
                                        "disk",      NULL };

struct course {
    const struct run_options *options;
    struct world *world;
    uint64_t news_us;      /* when stores last differed by what was made up */
    struct attack *attack; /* NULL: there is none, or it is over */
    unsigned once;         /* number of the next key that is written once */
    uint64_t heal_us;
};

static bool has(const struct course *run, enum run_fault fault)
{
    return (run->options->faults & fault) != 0;
}

static unsigned attack_kinds(const struct run_options *options)
{
    unsigned kinds = 0;

    kinds |= (options->faults & RUN_STRANGERS) != 0 ? (unsigned)ATTACK_STRANGERS : 0;
    kinds |= (options->faults & RUN_FORGERS) != 0 ? (unsigned)ATTACK_FORGERS : 0;
    kinds |= (options->faults & RUN_FLOODS) != 0 ? (unsigned)ATTACK_FLOODS : 0;
    return kinds;
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
        .strangers = (faults & RUN_ATTACKS) != 0 ? 1 : 0,
        .checks = CHECK_EVERY,
        .digest_mask = options->digest_bits < 64 ? (UINT64_C(1) << options->digest_bits) - 1 : 0,
        .unix_shift_s = options->unix_shift_s,
        .has_disks = (faults & RUN_DISK) != 0,
    };
    /* Prototypes get no more than they send where nobody is trusted. */
    world.distrustful = !plain && random_below(&random, 2) == 0;
    world.trusts_members = (faults & RUN_ATTACKS) != 0 && random_below(&random, 3) != 0;
    if ((faults & (RUN_CRASH | RUN_CORRUPT | RUN_PLAIN | RUN_ATTACKS | RUN_DISK)) != 0) {
        world.checks &= ~(unsigned)CHECK_DEPTH; /* of one life, of extended ways only */
    }
    return world_create(&world);
}

/* Of each kind none in one run of two, few or many. */
static unsigned permille(struct random *random, unsigned most)
{
    const bool is_on = random_below(random, 2) == 0;
    const unsigned few = 1 + (unsigned)random_below(random, most / 10);
    const unsigned many = 1 + (unsigned)random_below(random, most);

    return !is_on ? 0 : random_below(random, 2) == 0 ? few : many;
}

static void disks_begin(struct course *run)
{
    struct storage_faults faults;
    struct random random;

    random_seed(&random, run->options->seed, 302);
    faults.crash_permille = 10 + permille(&random, 200);
    faults.stall_permille = permille(&random, 50);
    faults.broken_permille = permille(&random, 100);
    faults.full_permille = permille(&random, 200);
    faults.rot_permille = permille(&random, 500);
    faults.lose_permille = permille(&random, 300);
    storage_set_faults(run->world, &faults);
}

/* Where nothing else happens than that datagrams are lost, and nobody is attacked by others than
 * those who can do no more than speak, a member stays one. */
static void steady_begin(struct course *run)
{
    struct world *world = run->world;

    if ((run->options->faults & RUN_UNSTEADY) != 0) {
        return;
    }
    if (world_run_until(world, SETTLE_US, STEP_US, world_members, NULL) == UINT64_MAX) {
        explain_views(world);
        red("convergence", "no cluster comes about");
    }
    for (size_t i = 0; i < run->options->nodes; i++) {
        world->machines[i].is_steady = true;
    }
}

static size_t live_count(const struct world *world)
{
    size_t live = 0;

    for (size_t i = 0; i < world->count; i++) {
        live += world->machines[i].up && world->machines[i].kind == MACHINE_NODE;
    }
    return live;
}

/* Clients. */

/* A key that ends in one to four minutes, or in up to two months. A node whose clock is wrong may
 * refuse it. */
static void dated_write(struct course *run, uint32_t machine)
{
    struct world *world = run->world;
    struct random *random = &world->clients;
    const uint32_t minute = (uint32_t)(world_moment(world, &world->machines[0]).unix_s / 60);
    const uint64_t ahead = random_below(random, random_below(random, 3) == 0 ? 90000 : 4);
    const uint64_t number = random_below(random, KEYS);
    const uint64_t index = random_below(random, 1000);
    char stem[32];
    char key[ENDED_KEY_MAX];

    snprintf(stem, sizeof stem, "dated%llu", (unsigned long long)number);
    ended_name(key, stem, minute + 1 + (uint32_t)ahead);
    (void)world_offer(world, machine, key, index, 1 + random_below(random, 100));
}

/* What a node deletes counts elsewhere unless its clock is wrong by days. */
static bool may_delete(const struct course *run, uint32_t machine)
{
    const struct world *world = run->world;
    const struct machine *at = &world->machines[machine];
    const uint64_t right_s =
        world->options.unix_s + world->now_us / WORLD_S + (uint64_t)run->options->unix_shift_s;
    const uint64_t now_s = node_now_s(at->node, world_moment(world, at));

    return now_s < right_s + DAY_S && now_s + DAY_S > right_s;
}

/* A key that a machine has, from a name on. */
static bool key_find(const struct course *run, uint32_t machine, const char *from,
                     char key[ENDED_KEY_MAX])
{
    const struct table *table = run->world->machines[machine].table;
    struct bytes after = { (const uint8_t *)from, strlen(from) };
    struct entry *entry;

    while (table_slice(table, (struct bytes){ NULL, 0 }, after, &entry, 1) == 1) {
        after = entry_key(entry);
        if (entry_set(entry) == TABLE_DATA && !entry_ended(table, entry)
            && after.size < ENDED_KEY_MAX && memcmp(after.data, "once", 4) != 0) {
            memcpy(key, after.data, after.size);
            key[after.size] = '\0';
            return true;
        }
    }
    return false;
}

/* Delete a big key, and write all that it held again: blocks are as they were, and of another
 * generation. */
static void whole_rewrite(struct course *run, uint32_t machine)
{
    const uint8_t offset = 0;
    const uint64_t value = 5;
    struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct mem mem = { 0 };
    struct vector vector;
    char key[32];

    snprintf(key, sizeof key, "whole%llu",
             (unsigned long long)random_below(&run->world->clients, WHOLE));
    (void)world_delete(run->world, machine, key);
    vector_init(&vector);
    for (block.number = 0; block.number < WHOLE_BLOCKS; block.number++) {
        if (vector_merge(&vector, &mem, &block, 0, NULL) != STATUS_OK) {
            red("memory", "no block");
        }
    }
    world_write_all(run->world, machine, key, &vector);
    vector_clear(&vector, &mem);
}

static void delete_something(struct course *run, uint32_t machine)
{
    static const char *const stems[] = { "key", "dense", "dated" };
    struct random *random = &run->world->clients;
    const unsigned stem = (unsigned)random_below(random, 4);
    const uint64_t number = random_below(random, KEYS);
    char from[32];
    char key[ENDED_KEY_MAX];

    if (!may_delete(run, machine)) {
        return;
    }
    if (stem == 3) {
        whole_rewrite(run, machine);
        return;
    }
    snprintf(from, sizeof from, "%s%llu", stems[stem], (unsigned long long)number);
    if (key_find(run, machine, from, key)) {
        (void)world_delete(run->world, machine, key);
    }
}

static void write_something(struct course *run)
{
    struct world *world = run->world;
    struct random *random = &world->clients;
    char key[32];
    uint32_t machine;
    uint64_t index;
    uint64_t value;

    if (live_count(world) == 0) {
        return;
    }
    machine = world_any(world, random);
    if (has(run, RUN_DELETED) && random_below(random, 5) == 0) {
        delete_something(run, machine);
        return;
    }
    if (has(run, RUN_DATED) && random_below(random, 3) == 0) {
        dated_write(run, machine);
        return;
    }
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
    index = draw_number(random);
    value = draw_number(random);
    world_write(world, machine, key, index, value == 0 ? 1 : value);
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

/* By up to a year; where machines start while it is wrong, by up to an hour. */
static void clock_jump(struct course *run)
{
    struct random *random = &run->world->chaos;
    struct machine *machine = &run->world->machines[random_below(random, run->options->nodes)];
    const int64_t by_s = (int64_t)random_below(random, 2 * YEAR_S) - YEAR_S;
    const bool is_far = random_below(random, 2) == 0 && !has(run, RUN_DISK);

    machine->unix_offset_s = run->options->unix_shift_s + (is_far ? by_s : by_s % 3600);
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

static bool is_up(struct world *world, void *unused)
{
    (void)unused;
    return live_count(world) == world->options.nodes;
}

static void faults_end(struct course *run)
{
    struct world *world = run->world;

    sides_heal(run);
    storage_set_faults(world, &(struct storage_faults){ .crash_permille = 0 });
    if (run->attack != NULL) {
        attack_end(run->attack);
        run->attack = NULL;
    }
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
    if (world_run_until(world, SETTLE_US, STEP_US, is_up, NULL) == UINT64_MAX) {
        red("convergence", "a machine does not come up again");
    }
}

/* Afterwards. */

static bool is_settled(struct world *world, void *unused)
{
    if (world->options.strangers > 0) {
        return world_members(world, unused) && world_equal(world, unused);
    }
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

static void settled_fail(struct course *run)
{
    struct world *world = run->world;

    explain_views(world);
    explain_strangers(world, 0);
    explain_stores(world);
    red("convergence", "%s, %s after %llu s without faults",
        world_joined(world, NULL) ? "one view" : "several views",
        world_equal(world, NULL) ? "equal stores" : "stores that differ",
        (unsigned long long)(SETTLE_US / WORLD_S));
}

/* Whether all that it tells is presence of addresses at which there is nobody, or an attacker. */
static bool tells_of_nobody(const struct world *world, const struct message *message)
{
    struct run items = message->items;
    struct address about;
    struct item item;

    while (message_next_item(&items, &item)) {
        uint32_t machine;

        if (!presence_address(item.key, &about)) {
            return false;
        }
        machine = world_machine_of(world, &about);
        if (machine != WORLD_NOBODY && world->machines[machine].kind != MACHINE_STRANGER) {
            return false;
        }
    }
    return true;
}

/* Addresses that an attacker made up are doubted less and less often, for ever: that is news, and
 * makes stores differ for a moment. */
static bool is_news(struct course *run, const struct message *message)
{
    const bool is_push = extended_kind(message) == NODE_KIND_PUSH;

    if ((run->options->faults & RUN_ATTACKS) == 0) {
        return false;
    }
    if (is_push ? tells_of_nobody(run->world, message) : !world_equal(run->world, NULL)) {
        run->news_us = run->world->now_us;
        return true;
    }
    return !is_push && run->world->now_us - run->news_us < NEWS_US;
}

static void sync_refuse(void *context, const struct world *world, uint32_t sender,
                        const struct address *to, struct bytes datagram)
{
    struct message message;

    (void)to;
    if (message_decode(datagram, &message) == WIRE_OK && message.extended
        && !is_news(context, &message)
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

/* An attacker's hosts are members like others. Since it ended they answer nobody, and what is
 * pushed to them and not acked keeps leaving until they are found dead. */
static bool is_rid_of_hosts(struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        struct address after = { .port = 0 };
        struct peer_view view;

        if (world->machines[i].kind != MACHINE_NODE) {
            continue;
        }
        while (node_peers(world->machines[i].node, &after, &view, 1) == 1) {
            const uint32_t machine = world_machine_of(world, &view.address);

            after = view.address;
            if (view.state == PEER_ALIVE && view.level > 0
                && (machine == WORLD_NOBODY || world->machines[machine].kind == MACHINE_STRANGER)) {
                return false;
            }
        }
    }
    return true;
}

/* Equal stores exchange nothing, and nobody is called dead any more. */
static void rest_check(struct course *run)
{
    struct world *world = run->world;
    const bool attacked = (run->options->faults & RUN_ATTACKS) != 0;
    uint64_t gone_us;

    if (has(run, RUN_PLAIN) || has(run, RUN_CORRUPT)) {
        return; /* prototypes write for ever, damage is mended */
    }
    /* What an attacker made up and nobody can reach may stay unknown for ever. */
    gone_us =
        world_run_until(world, HAUNTED_US, WORLD_S, attacked ? is_rid_of_hosts : is_quiet, NULL);
    if (gone_us == UINT64_MAX) {
        explain_strangers(world, 0);
        red("completeness", "an address that was left is live for ever");
    }
    world_run(world, attacked ? HOSTS_REST_US : REST_US); /* a suspicion of it ends */
    world->look = sync_refuse;
    world->context = run;
    world_run(world, REST_US);
    world->look = NULL;
    if (world_run_until(world, attacked ? NEWS_US : MINUTE_US, STEP_US, is_settled, NULL)
        == UINT64_MAX) {
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

    if ((run->options->faults & RUN_ATTACKS) != 0 && (run->options->faults & RUN_UNSTEADY) == 0
        && world_run_until(run->world, VIEWS_US, STEP_US, world_members, NULL) == UINT64_MAX) {
        explain_views(run->world);
        red("members", "views are not right %llu s after an attack",
            (unsigned long long)(VIEWS_US / WORLD_S));
    }
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
    steady_begin(&run);
    disks_begin(&run);
    if (attack_kinds(options) != 0) {
        run.attack = attack_begin(run.world);
    }
    while (run.world->now_us < end_us) {
        if (random_below(&run.world->clients, 3) == 0) {
            write_something(&run);
        }
        something_breaks(&run);
        if (run.attack != NULL) {
            const unsigned acts = (unsigned)random_below(&run.world->chaos, ATTACK_ACTS);

            attack_strike(run.attack, attack_kinds(options), acts);
        }
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
    result.disks = storage_figures(run.world);
    world_free(run.world);
    return result;
}
