#include <stdio.h>
#include <stdlib.h>

#include "sim/check.h"
#include "sim/figures.h"
#include "sim/report.h"
#include "sim/world.h"

#define STEP_US   (50 * WORLD_MS)
#define NEVER_S   1e9
#define IDLE_MOST 190

static double seconds(uint64_t us)
{
    return us == UINT64_MAX ? NEVER_S : (double)us / 1e6;
}

static struct world *world_of(const struct figure_options *options, size_t nodes, unsigned loss,
                              unsigned checks)
{
    return world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = nodes,
        .faults = { .loss_permille = loss, .latency_us = 800, .jitter_us = 400 },
        .checks = checks,
        .prejoined = true,
        .distrustful = true,
    });
}

/* Idle. */

static double idle_measure(const struct figure_options *options, size_t nodes, uint64_t settle_s,
                           uint64_t span_s)
{
    struct world *world = world_of(options, nodes, 0, CHECK_WIRE | CHECK_RATE);
    uint64_t bytes;

    world_run(world, settle_s * WORLD_S);
    bytes = world_sent_bytes(world);
    world_run(world, span_s * WORLD_S);
    bytes = world_sent_bytes(world) - bytes;
    world_free(world);
    return (double)bytes / (double)(nodes * span_s);
}

/* The last line is long enough for everything that is done now and then. */
void figure_idle(const struct figure_options *options)
{
    static const size_t sizes[] = { 3, 10, 30, 100, 300, 1000 };
    const size_t most = figure_scaled(options, 1000, 100);
    const uint64_t long_s = figure_scaled(options, 1500, 600);
    double first = 0;
    double last = 0;
    size_t nodes = 0;
    char text[80];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && sizes[i] <= most; i++) {
        nodes = sizes[i];
        last = idle_measure(options, nodes, 10, figure_scaled(options, 60, 20));
        first = i == 0 ? last : first;
        snprintf(text, sizeof text, "idle bytes a node and second, n = %zu", nodes);
        report_most(text, last, IDLE_MOST, "B/s");
    }
    report_most("  more of them for each 100 nodes", (last - first) * 100 / (double)(nodes - 3), 1,
                "B/s");
    snprintf(text, sizeof text, "the same over %llu s, n = %zu", (unsigned long long)long_s, nodes);
    report_most(text, idle_measure(options, nodes, 300, long_s), IDLE_MOST, "B/s");
}

/* All begin at once and know the first three. */
void figure_join(const struct figure_options *options)
{
    const size_t nodes = figure_scaled(options, 300, 60);
    struct world *world = world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = nodes,
        .faults = { .loss_permille = 10, .latency_us = 800, .jitter_us = 400 },
        .checks = CHECK_WIRE | CHECK_RATE,
        .distrustful = true,
    });
    char text[80];

    snprintf(text, sizeof text, "%zu nodes that begin at once know each other, 1 %% loss", nodes);
    report_most(text, seconds(world_run_until(world, 60 * WORLD_S, STEP_US, world_joined, NULL)), 8,
                "s");
    report_most("  bytes that each sent to another",
                (double)world_sent_bytes(world) / (double)(nodes * (nodes - 1)), 1000, "B");
    world_free(world);
}

/* Death. */

static bool is_known_dead(struct world *world, void *context)
{
    const uint32_t dead = *(const uint32_t *)context;

    for (uint32_t i = 0; i < world->count; i++) {
        if (i != dead && world->machines[i].up && world_state(world, i, dead) != PEER_DEAD) {
            return false;
        }
    }
    return true;
}

/* Whom nobody happens to probe for a while is found dead late: of n nodes that probe one member a
 * second, none draws a given one within t seconds with probability exp(-t). So the last of a
 * hundred means something after a thousand of them only. */
void figure_kill(const struct figure_options *options)
{
    struct world *world =
        world_of(options, options->nodes == 0 ? 100 : options->nodes, 10, CHECK_WIRE | CHECK_RATE);
    const size_t trials = figure_scaled(options, 2000, 30);
    struct sample times = { 0 };
    struct sample back = { 0 };

    world_run(world, 10 * WORLD_S);
    for (size_t i = 0; i < trials; i++) {
        uint32_t dead = world_any(world, &world->chaos);

        world_run(world, random_below(&world->chaos, WORLD_S));
        world_kill(world, dead);
        sample_add(&times,
                   seconds(world_run_until(world, 60 * WORLD_S, STEP_US, is_known_dead, &dead)));
        world_restart(world, dead, i % 2 == 0);
        sample_add(&back,
                   seconds(world_run_until(world, 60 * WORLD_S, STEP_US, world_joined, NULL)));
        world_run(world, 2 * WORLD_S);
    }
    report_most("a node is killed and all of 100 know, 1 % loss: mean", sample_mean(&times), 5.5,
                "s");
    report_most("  p99", sample_permille(&times, 990), trials < 1000 ? -1 : 9, "s");
    report_most("  the longest", sample_permille(&times, 1000), 20, "s");
    report_most("  it is back and all know: p99", sample_permille(&back, 990), 8, "s");
    sample_clear(&times);
    sample_clear(&back);
    world_free(world);
}

static void false_deaths_measure(const struct figure_options *options, unsigned loss, double limit)
{
    struct world *world = world_of(options, 100, loss, CHECK_WIRE | CHECK_RATE);
    const uint64_t span_s = figure_scaled(options, 3600, 360);
    uint64_t deaths = 0;
    uint64_t suspicions = 0;
    char text[80];

    world_run(world, span_s * WORLD_S);
    for (size_t i = 0; i < world->count; i++) {
        deaths += node_stats(world->machines[i].node)->deaths;
        suspicions += node_stats(world->machines[i].node)->suspicions;
    }
    snprintf(text, sizeof text, "false deaths in %.0f node-hours at %u %% loss",
             (double)(100 * span_s) / 3600, loss / 10);
    report_most(text, (double)deaths, limit, "");
    report_most("  false suspicions", (double)suspicions, -1, "");
    world_free(world);
}

void figure_false_deaths(const struct figure_options *options)
{
    false_deaths_measure(options, 50, 0);
    false_deaths_measure(options, 100, 0);
    false_deaths_measure(options, 250, 1);
}

/* Healing. */

static bool is_healed(struct world *world, void *unused)
{
    return world_joined(world, unused) && world_equal(world, unused);
}

static void write_somewhere(struct world *world, unsigned number)
{
    char key[32];

    snprintf(key, sizeof key, "k%u", number % 50);
    world_scribble(world, WORLD_NOBODY, key, 300, 1000000);
}

static void healing_measure(const struct figure_options *options, const char *what, size_t nodes,
                            uint64_t apart_s, bool one_way)
{
    struct world *world = world_of(options, nodes, 10, CHECK_WIRE | CHECK_RATE | CHECK_SOUND);
    char text[80];

    world_run(world, 5 * WORLD_S);
    for (uint32_t i = 0; i < world->count; i++) {
        world->machines[i].side = i % 2;
    }
    network_cut(&world->network, 0, 1);
    if (!one_way) {
        network_cut(&world->network, 1, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        write_somewhere(world, i);
        world_run(world, apart_s * WORLD_S / 100);
    }
    network_heal(&world->network);
    for (uint32_t i = 0; i < world->count; i++) {
        world->machines[i].side = 0;
    }
    snprintf(text, sizeof text, "%zu nodes heal after %s %llu s: one view, equal stores", nodes,
             what, (unsigned long long)apart_s);
    report_most(text, seconds(world_run_until(world, 120 * WORLD_S, STEP_US, is_healed, NULL)), 8,
                "s");
    check_end(world);
    world_free(world);
}

/* Halves apart for longer and longer. Seeds are on both sides. */
void figure_healing(const struct figure_options *options)
{
    const bool whole = options->scale >= 1;

    healing_measure(options, "halves apart for", figure_scaled(options, 100, 20), 30, false);
    healing_measure(options, "halves apart for", figure_scaled(options, 100, 20), 600, false);
    healing_measure(options, "halves apart for", whole ? 30 : 10, 3600, false);
    healing_measure(options, "one direction cut for", figure_scaled(options, 100, 20), 120, true);
    if (whole) {
        healing_measure(options, "halves apart for", 10, 86400 - 600, false);
        healing_measure(options, "halves apart for", 10, 86400 + 7200, false);
    }
}
