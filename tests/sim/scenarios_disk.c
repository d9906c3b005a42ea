#include <stdio.h>

#include "sim/check.h"
#include "sim/red.h"
#include "sim/scenarios.h"
#include "sim/storage.h"
#include "sim/world.h"

#define NODES      3
#define KEYS       50
#define ROUNDS     20
#define EQUAL_US   (2 * WORLD_S)
#define STEP_US    (50 * WORLD_MS)
#define UP_US      (10 * WORLD_S)
#define ANSWERS_US (5 * WORLD_S)

static void all_write(struct world *world, unsigned round)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[32];

        snprintf(key, sizeof key, "key%u", i);
        world_write(world, (i + round) % NODES, key, i, round);
        world_run(world, 20 * WORLD_MS);
    }
}

static bool is_answered(struct world *world, void *unused)
{
    (void)unused;
    return !storage_waits(world);
}

static bool is_up_again(struct world *world, void *unused)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (!world->machines[i].up) {
            return false;
        }
    }
    return world_equal(world, unused);
}

/* Every operation of every disk takes up to three seconds. Nodes go on meanwhile, within the work
 * that a turn may take; what waited is written soon after, and is there after all have lost their
 * power at once. */
void scenario_stalls(uint64_t seed)
{
    const struct world_options options = { .seed = seed,
                                           .nodes = NODES,
                                           .faults = { .latency_us = 300, .jitter_us = 200 },
                                           .checks = CHECK_EVERY & ~(unsigned)CHECK_DEPTH,
                                           .has_disks = true,
                                           .always_commit = true };
    struct world *world = world_create(&options);

    if (world_run_until(world, UP_US, STEP_US, world_joined, NULL) == UINT64_MAX) {
        red("convergence", "no cluster comes about");
    }
    storage_set_faults(world, &(struct storage_faults){ .stall_permille = 1000 });
    for (unsigned round = 1; round <= ROUNDS; round++) {
        all_write(world, round);
        if (world_run_until(world, EQUAL_US, STEP_US, world_equal, NULL) == UINT64_MAX) {
            red("stall", "nodes wait for their disks");
        }
    }
    storage_set_faults(world, &(struct storage_faults){ .stall_permille = 0 });
    if (world_run_until(world, ANSWERS_US, STEP_US, is_answered, NULL) == UINT64_MAX) {
        red("stall", "updates wait for disks that are fast again");
    }
    for (uint32_t i = 0; i < NODES; i++) {
        world_kill(world, i);
        world_restart(world, i, true);
    }
    if (world_run_until(world, UP_US, STEP_US, is_up_again, NULL) == UINT64_MAX
        || world_read(world, 0, "key7", 7) != ROUNDS) {
        red("convergence", "nodes do not come up with what they had");
    }
    check_end(world);
    printf("%llu stalls\n", (unsigned long long)storage_figures(world).stalls);
    world_free(world);
}
