#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/figures.h"
#include "sim/report.h"
#include "sim/world.h"

#define STEP_US  (2 * WORLD_MS)
#define LIMIT_US (30 * WORLD_S)
#define NEAR_US  800   /* one way, at least; half as much more at most */
#define FAR_US   50000 /* across an ocean */

/* What is counted of one update. */
struct trial {
    char key[32];
    uint64_t copies;
};

static void copies_count(void *context, const struct world *world, uint32_t sender,
                         const struct address *to, struct bytes datagram)
{
    struct trial *trial = context;
    struct message message;
    struct item item;

    (void)world;
    (void)sender;
    (void)to;
    if (message_decode(datagram, &message) != WIRE_OK || !message.extended
        || (message.envelope.has & WIRE_HAS_DEPTH) == 0
        || message.envelope.depth == WIRE_DEPTH_STOP) {
        return;
    }
    while (message_next_item(&message.items, &item)) {
        trial->copies += item.key.size == strlen(trial->key)
                         && memcmp(item.key.data, trial->key, item.key.size) == 0;
    }
}

static bool all_have(struct world *world, void *context)
{
    const struct trial *trial = context;

    for (uint32_t i = 0; i < world->count; i++) {
        if (world->machines[i].up && world_read(world, i, trial->key, 0) == 0) {
            return false;
        }
    }
    return true;
}

/* One update at a random node. Returns how long it took to the last live one, in seconds. */
static double update_run(struct world *world, struct trial *trial, unsigned number)
{
    uint64_t took_us;

    *trial = (struct trial){ .copies = 0 };
    snprintf(trial->key, sizeof trial->key, "once:%u", number);
    world->look = copies_count;
    world->context = trial;
    world_write(world, world_any(world, &world->clients), trial->key, 0, 1 + number);
    took_us = world_run_until(world, LIMIT_US, STEP_US, all_have, trial);
    return took_us == UINT64_MAX ? 1e9 : (double)took_us / 1e6;
}

/* Let what is still under way arrive, and say how many copies were sent for each node but the
 * first. */
static double update_end(struct world *world, const struct trial *trial, uint64_t settle_us)
{
    world_run(world, settle_us);
    world->look = NULL;
    return (double)trial->copies / (double)(world->count - 1);
}

static struct world *world_of(const struct figure_options *options, size_t nodes, unsigned loss,
                              uint64_t latency_us)
{
    return world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = options->nodes == 0 ? nodes : options->nodes,
        .faults = { .loss_permille = loss, .latency_us = latency_us, .jitter_us = latency_us / 2 },
        .checks = CHECK_DEPTH | CHECK_WIRE | CHECK_RATE,
        .prejoined = true,
        .distrustful = true,
    });
}

static void updates_measure(struct world *world, size_t count, struct sample *times,
                            struct sample *copies)
{
    world_run(world, 3 * WORLD_S);
    for (size_t i = 0; i < count; i++) {
        struct trial trial;

        sample_add(times, update_run(world, &trial, (unsigned)i));
        sample_add(copies, update_end(world, &trial, WORLD_S));
    }
}

void figure_push(const struct figure_options *options)
{
    struct world *world = world_of(options, figure_scaled(options, 1000, 200), 10, NEAR_US);
    struct sample times = { 0 };
    struct sample copies = { 0 };
    char text[80];

    updates_measure(world, figure_scaled(options, 100, 20), &times, &copies);
    snprintf(text, sizeof text, "an update to the last of %zu nodes, 1 %% loss: mean",
             world->count);
    report_most(text, sample_mean(&times), 0.30, "s");
    snprintf(text, sizeof text, "an update to the last of %zu nodes, 1 %% loss: p99", world->count);
    report_most(text, sample_permille(&times, 990), 0.45, "s");
    report_most("copies of it a node", sample_mean(&copies), 1.15, "");
    sample_clear(&times);
    sample_clear(&copies);
    world_free(world);
}

void figure_push_far(const struct figure_options *options)
{
    struct world *world = world_of(options, figure_scaled(options, 1000, 200), 10, FAR_US);
    struct sample times = { 0 };
    struct sample copies = { 0 };
    char text[80];

    updates_measure(world, figure_scaled(options, 50, 20), &times, &copies);
    snprintf(text, sizeof text, "an update to the last of %zu nodes, 50 to 75 ms apart: p99",
             world->count);
    report_most(text, sample_permille(&times, 990), 2, "s");
    report_most("copies of it a node", sample_mean(&copies), 1.15, "");
    sample_clear(&times);
    sample_clear(&copies);
    world_free(world);
}

void figure_push_loss(const struct figure_options *options)
{
    struct world *world = world_of(options, figure_scaled(options, 1000, 200), 250, NEAR_US);
    struct sample times = { 0 };
    struct sample copies = { 0 };
    char text[80];

    updates_measure(world, figure_scaled(options, 100, 20), &times, &copies);
    snprintf(text, sizeof text, "an update to the last of %zu nodes, 25 %% loss: mean",
             world->count);
    report_most(text, sample_mean(&times), -1, "s");
    snprintf(text, sizeof text, "an update to the last of %zu nodes, 25 %% loss: p99",
             world->count);
    report_most(text, sample_permille(&times, 990), 1.7, "s");
    report_most("copies of it a node", sample_mean(&copies), -1, "");
    sample_clear(&times);
    sample_clear(&copies);
    world_free(world);
}

/* Three in ten stop, and an update is written before anybody noticed; then they go on, as after a
 * pause, and everybody learns that they are alive. */
void figure_push_dead(const struct figure_options *options)
{
    struct world *world = world_of(options, figure_scaled(options, 1000, 200), 10, NEAR_US);
    const size_t dead = world->count * 3 / 10;
    uint32_t *killed = calloc(dead, sizeof *killed);
    struct sample times = { 0 };
    struct sample copies = { 0 };
    char text[80];

    world_run(world, 3 * WORLD_S);
    for (size_t i = 0; i < figure_scaled(options, 50, 8); i++) {
        struct trial trial;

        for (size_t k = 0; k < dead; k++) {
            killed[k] = world_any(world, &world->chaos);
            world_kill(world, killed[k]);
        }
        sample_add(&times, update_run(world, &trial, (unsigned)i));
        for (size_t k = 0; k < dead; k++) {
            world_wake(world, killed[k]);
        }
        sample_add(&copies, update_end(world, &trial, 5 * WORLD_S));
    }
    snprintf(text, sizeof text, "an update to the last live of %zu, 30 %% dead unnoticed: mean",
             world->count);
    report_most(text, sample_mean(&times), 1.2, "s");
    report_most("  p99", sample_permille(&times, 990), -1, "s");
    report_most("copies of it a node", sample_mean(&copies), -1, "");
    free(killed);
    sample_clear(&times);
    sample_clear(&copies);
    world_free(world);
}
