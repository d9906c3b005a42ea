#include "node/extended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/figures.h"
#include "sim/red.h"
#include "sim/report.h"
#include "sim/world.h"

#define STEP_US (20 * WORLD_MS)
#define NEVER_S 1e9

#define SKETCH_REGISTERS 16384

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

/* Registers of a HyperLogLog sketch of precision 14 that has seen a million things. */
static void sketch_make(struct vector *vector, struct mem *mem, struct random *random)
{
    static uint8_t registers[SKETCH_REGISTERS];

    memset(registers, 0, sizeof registers);
    for (unsigned i = 0; i < 1000000; i++) {
        const uint64_t hash = random_next(random);
        const size_t at = hash % SKETCH_REGISTERS;
        const uint8_t rank = (uint8_t)(__builtin_ctzll(hash >> 14 | UINT64_C(1) << 50) + 1);

        registers[at] = rank > registers[at] ? rank : registers[at];
    }
    for (size_t i = 0; i < SKETCH_REGISTERS; i += BLOCK_ELEMENTS) {
        const struct block block = { .number = i / BLOCK_ELEMENTS,
                                     .values = registers + i,
                                     .count = BLOCK_ELEMENTS,
                                     .width = 1 };

        if (vector_merge(vector, mem, &block, 0, NULL) != STATUS_OK) {
            red("memory", "no sketch");
        }
    }
}

static void push_count(void *context, const struct world *world, uint32_t sender,
                       const struct address *to, struct bytes datagram)
{
    uint64_t *bytes = context;
    struct message message;

    (void)world;
    (void)sender;
    (void)to;
    if (message_decode(datagram, &message) == WIRE_OK && message.extended
        && extended_kind(&message) == NODE_KIND_PUSH) {
        *bytes += datagram.size + NETWORK_HEADER_BYTES;
    }
}

void figure_sketch(const struct figure_options *options)
{
    struct world *world = world_of(options, 2);
    struct vector sketch;
    struct mem mem = { 0 };
    uint64_t bytes = 0;

    vector_init(&sketch);
    sketch_make(&sketch, &mem, &world->clients);
    world_run(world, 2 * WORLD_S);
    world->look = push_count;
    world->context = &bytes;
    world_write_all(world, 0, "hll", &sketch);
    world_run(world, 5 * WORLD_S);
    if (!world_equal(world, NULL)) {
        red("sketch", "it did not arrive");
    }
    report_most("a sketch of 16384 registers, with headers, in parts of 12288 bytes",
                (double)bytes / 12288, 0.70, "");
    vector_clear(&sketch, &mem);
    world_free(world);
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

/* One question from an address that has not shown that it receives there: how many bytes go to it
 * for each that came. */
void figure_amplification(const struct figure_options *options)
{
    static const char question[] = "\x83\xa3key\xa1%\xa6vector\x80\xa3ttl\x02";
    const struct bytes datagram = { (const uint8_t *)question, sizeof question - 1 };
    struct world *world = world_create(&(struct world_options){ .seed = options->seed,
                                                                .nodes = 1,
                                                                .strangers = 1,
                                                                .checks = CHECK_WIRE | CHECK_RATE,
                                                                .distrustful = true });
    uint64_t bytes;

    for (uint64_t i = 0; i < 1000; i++) {
        key_load(world, 0, i);
    }
    bytes = world->machines[0].sent_bytes;
    world_inject(world, 1, &world->machines[1].address, &world->machines[0].address, datagram);
    world_run(world, 120 * WORLD_S);
    report_most("bytes to a stranger for each that it sent, after the question for all keys",
                (double)(world->machines[0].sent_bytes - bytes)
                    / (double)(datagram.size + NETWORK_HEADER_BYTES),
                -1, "");
    world_free(world);
}
