#include "node/extended.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/check.h"
#include "sim/figures.h"
#include "sim/report.h"
#include "sim/world.h"

#define STEP_US (20 * WORLD_MS)
#define NEVER_S 1e9

static struct world *world_of(const struct figure_options *options, size_t nodes)
{
    return world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = nodes,
        .faults = { .latency_us = 800, .jitter_us = 400 },
        .checks = CHECK_WIRE | CHECK_RATE,
        .prejoined = true,
        .distrustful = true,
    });
}

static void key_load(struct world *world, uint32_t machine, uint64_t number)
{
    char key[40];

    snprintf(key, sizeof key, "key-%010llu", (unsigned long long)number);
    world_load(world, machine, key, number % 1000, 1 + number % 50);
}

/* Bytes of anti-entropy, its repairs and the acks for them; digests ride in probes that are sent
 * anyway. */
static void sync_count(void *context, const struct world *world, uint32_t sender,
                       const struct address *to, struct bytes datagram)
{
    uint64_t *bytes = context;
    struct message message;

    (void)world;
    (void)sender;
    (void)to;
    if (message_decode(datagram, &message) == WIRE_OK && message.extended) {
        const enum node_kind kind = extended_kind(&message);

        if (kind == NODE_KIND_SYNC
            || (kind == NODE_KIND_ACK && (message.envelope.has & WIRE_HAS_ROOTS) == 0)) {
            *bytes += datagram.size + NETWORK_HEADER_BYTES;
        }
    }
}

static void difference_measure(struct world *world, uint64_t *number, uint64_t count, double limit)
{
    uint64_t bytes = 0;
    uint64_t took_us;
    char text[80];

    for (uint64_t i = 0; i < count; i++) {
        key_load(world, (uint32_t)(i % 2), (*number)++);
    }
    world->look = sync_count;
    world->context = &bytes;
    took_us = world_run_until(world, 300 * WORLD_S, STEP_US, world_equal, NULL);
    world_run(world, 2 * WORLD_S);
    world->look = NULL;
    snprintf(text, sizeof text, "anti-entropy: kB to mend %llu differences",
             (unsigned long long)count);
    report_most(text, (double)bytes / 1e3, limit, "kB");
    report_most("  time", took_us == UINT64_MAX ? NEVER_S : (double)took_us / 1e6, 30, "s");
}

void figure_differences(const struct figure_options *options)
{
    struct world *world = world_of(options, 2);
    uint64_t number = figure_scaled(options, 1000000, 20000);
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < number; i++) {
        key_load(world, 0, i);
        key_load(world, 1, i);
    }
    world_run(world, 5 * WORLD_S);
    world->look = sync_count;
    world->context = &bytes;
    world_run(world, 20 * WORLD_S);
    printf("      anti-entropy between two nodes with %llu keys:\n", (unsigned long long)number);
    report_most("anti-entropy: bytes while in sync", (double)bytes, 0, "B");
    difference_measure(world, &number, 1, 1.3);
    difference_measure(world, &number, 100, 50);
    difference_measure(world, &number, 1000, 320);
    world_free(world);
}

/* An empty node beside four that are full. */
void figure_pull(const struct figure_options *options)
{
    const uint64_t keys = figure_scaled(options, 1000000, 20000);
    struct world *world = world_of(options, 5);
    struct machine *empty = &world->machines[4];
    uint64_t arrived_bytes;
    uint64_t took_us;
    char text[80];

    for (uint64_t i = 0; i < keys; i++) {
        for (uint32_t machine = 0; machine < 4; machine++) {
            key_load(world, machine, i);
        }
    }
    arrived_bytes = empty->arrived_bytes;
    took_us = world_run_until(world, 600 * WORLD_S, 10 * STEP_US, world_equal, NULL);
    snprintf(text, sizeof text, "an empty node pulls %llu small keys", (unsigned long long)keys);
    report_most(text, took_us == UINT64_MAX ? NEVER_S : (double)took_us / 1e6,
                (double)keys * 50 / 1e6 + 5, "s");
    report_most("  bytes a key that came to it",
                (double)(empty->arrived_bytes - arrived_bytes) / (double)keys, 50, "B");
    report_most("  datagrams that its receive queue had no room for", (double)empty->overflows, 0,
                "");
    world_free(world);
}
