#include "node/extended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"
#include "sim/ended.h"
#include "sim/figures.h"
#include "sim/red.h"
#include "sim/report.h"
#include "sim/world.h"

#define STEP_US (20 * WORLD_MS)
#define NEVER_S 1e9

#define SKETCH_REGISTERS 16384

#define LOSSY_RUNS 16
#define LOSSY_KEYS 3000
#define LOSSY_US   (60 * WORLD_S)

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

/* Keys that came to one of seven nodes each without being pushed, where one datagram in five is
 * lost: a question that nobody answers is asked again at once, not with the next probe. */
void figure_lossy(const struct figure_options *options)
{
    uint64_t took_us = 0;

    for (unsigned run = 0; run < LOSSY_RUNS; run++) {
        const struct figure_options one = { .seed = options->seed + run };
        struct world *world = world_of(&one, 7);
        uint64_t one_us;

        world_run(world, 3 * WORLD_S);
        world->network.faults.loss_permille = 200;
        for (uint64_t i = 0; i < LOSSY_KEYS; i++) {
            key_load(world, (uint32_t)random_below(&world->clients, 7), i);
        }
        one_us = world_run_until(world, LOSSY_US, STEP_US, world_equal, NULL);
        took_us += one_us < LOSSY_US ? one_us : LOSSY_US;
        world_free(world);
    }
    report_most("anti-entropy: 3000 keys among 7 nodes, 20 % loss: until all are equal, mean of 16",
                (double)took_us / LOSSY_RUNS / 1e6, 10, "s");
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

/* A node that comes back empty, at a rate that all is scaled with. */

#define REJOIN_NODES    4
#define REJOIN_ELEMENTS 20
#define REJOIN_LOAD     15000 /* elements a second that rise, at three of four nodes */
#define REJOIN_BATCH_US (10 * WORLD_MS)

struct rejoin {
    uint64_t keys;
    uint64_t rate;
    uint64_t load;       /* elements a second */
    uint64_t item_bytes; /* datagrams of repairs, with headers */
    uint64_t elements;   /* that the others have */
    uint64_t seen;       /* that it had when last looked at */
    uint64_t grew_us;
    uint64_t pause_us; /* the longest while in which it got nothing */
};

static void repairs_count(void *context, const struct world *world, uint32_t sender,
                          const struct address *to, struct bytes datagram)
{
    struct rejoin *rejoin = context;
    struct message message;

    (void)sender;
    if (address_compare(to, &world->machines[REJOIN_NODES - 1].address) == 0
        && message_decode(datagram, &message) == WIRE_OK && message.extended
        && extended_kind(&message) == NODE_KIND_SYNC && message.items.left > 0) {
        rejoin->item_bytes += datagram.size + NETWORK_HEADER_BYTES;
    }
}

/* Elements that are there rise at the others: what it still lacks is known by their number. */
static bool rejoin_step(struct world *world, void *context)
{
    struct rejoin *rejoin = context;
    const struct machine *machine = &world->machines[REJOIN_NODES - 1];
    const uint64_t elements = table_stats(machine->table).elements;
    char key[40];

    if (elements > rejoin->seen) {
        rejoin->seen = elements;
        rejoin->grew_us = world->now_us;
    }
    if (world->now_us - rejoin->grew_us > rejoin->pause_us) {
        rejoin->pause_us = world->now_us - rejoin->grew_us;
    }
    for (uint64_t i = 0; i < rejoin->load * REJOIN_BATCH_US / WORLD_S; i++) {
        const uint64_t number = random_below(&world->clients, rejoin->keys);
        const uint32_t at = (uint32_t)random_below(&world->clients, REJOIN_NODES - 1);
        const uint64_t index = random_below(&world->clients, REJOIN_ELEMENTS);

        snprintf(key, sizeof key, "key-%010llu", (unsigned long long)number);
        world_write(world, at, key, index, 1000 + world->now_us / WORLD_MS);
    }
    return elements >= rejoin->elements;
}

/* What a node sent to push updates, with headers. */
static uint64_t push_bytes(const struct world *world, uint32_t machine)
{
    const struct node_stats *stats = node_stats(world->machines[machine].node);

    return stats->sent_bytes[NODE_KIND_PUSH] + stats->sent[NODE_KIND_PUSH] * NETWORK_HEADER_BYTES;
}

/* The bare transfer is what was sent to it as repairs where nothing else happened, and what one of
 * the others had to push meanwhile, at the rate. Returns the former's bytes. */
static uint64_t rejoin_measure(const struct figure_options *options, uint64_t load,
                               uint64_t bare_bytes)
{
    struct rejoin rejoin = { .keys = figure_scaled(options, 60000, 3000),
                             .rate = figure_scaled(options, 1000000, 50000),
                             .load = figure_scaled(options, load, 1) };
    struct world *world = world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = REJOIN_NODES,
        .faults = { .latency_us = 800, .jitter_us = 400 },
        .checks = CHECK_WIRE | CHECK_RATE,
        .node = { .bytes_per_second_max = rejoin.rate },
    });
    uint64_t pushed_bytes;
    uint64_t took_us;
    double bare_s;

    world_run(world, 10 * WORLD_S);
    for (uint64_t i = 0; i < rejoin.keys * REJOIN_ELEMENTS * (REJOIN_NODES - 1); i++) {
        char key[40];

        snprintf(key, sizeof key, "key-%010llu",
                 (unsigned long long)(i / REJOIN_ELEMENTS % rejoin.keys));
        world_load(world, (uint32_t)(i / REJOIN_ELEMENTS / rejoin.keys), key, i % REJOIN_ELEMENTS,
                   1 + i % 50);
    }
    world_kill(world, REJOIN_NODES - 1);
    world_run(world, 7 * WORLD_S);
    rejoin.elements = rejoin.keys * REJOIN_ELEMENTS;
    world->look = repairs_count;
    world->context = &rejoin;
    world_restart(world, REJOIN_NODES - 1, false);
    rejoin.grew_us = world->now_us;
    pushed_bytes = push_bytes(world, 0);
    took_us = world_run_until(world, 300 * WORLD_S, REJOIN_BATCH_US, rejoin_step, &rejoin);
    pushed_bytes = push_bytes(world, 0) - pushed_bytes;
    bare_bytes = bare_bytes > 0 ? bare_bytes : rejoin.item_bytes;
    bare_s = (double)(bare_bytes + pushed_bytes) / (double)rejoin.rate;
    printf("      an empty node rejoins three with %llu keys of %d elements; %llu a second rise:\n",
           (unsigned long long)rejoin.keys, REJOIN_ELEMENTS, (unsigned long long)rejoin.load);
    report_most("rejoin: time until it has all, in parts of the bare transfer",
                took_us == UINT64_MAX ? NEVER_S : (double)took_us / 1e6 / bare_s, 1.5, "");
    report_most("  the longest pause", (double)rejoin.pause_us / 1e6, 1, "s");
    took_us = world_run_until(world, 60 * WORLD_S, STEP_US, world_equal, NULL);
    report_most("  time from the end of the load until all are equal",
                took_us == UINT64_MAX ? NEVER_S : (double)took_us / 1e6, 2, "s");
    report_most("  datagrams that receive queues had no room for", (double)world_overflows(world),
                0, "");
    world_free(world);
    return bare_bytes;
}

void figure_rejoin(const struct figure_options *options)
{
    const uint64_t bare_bytes = rejoin_measure(options, 0, 0);

    (void)rejoin_measure(options, REJOIN_LOAD / 5, bare_bytes);
    (void)rejoin_measure(options, REJOIN_LOAD, bare_bytes);
}

/* Many keys end in the same minute at three nodes, too few to tell each other the time, with clocks
 * a minute apart. */

#define DEADLINE_NODES   3
#define DEADLINE_SKEW_S  30   /* from one to the next */
#define DEADLINE_OTHERS  1000 /* keys that do not end */
#define DEADLINE_MINUTES 5    /* looked at, the one before them included */

struct deadline {
    uint64_t bytes; /* of anti-entropy, in this minute */
    uint64_t rest;  /* the digest of what does not end */
    uint64_t listed_us[DEADLINE_NODES];
    uint64_t kept_us[DEADLINE_NODES];
    uint32_t minute;
};

static void deadline_load(struct world *world, struct deadline *deadline, uint64_t keys)
{
    for (uint64_t i = 0; i < DEADLINE_OTHERS + keys; i++) {
        char stem[32];
        char key[ENDED_KEY_MAX];

        snprintf(stem, sizeof stem, "key-%010llu", (unsigned long long)i);
        ended_name(key, stem, deadline->minute);
        if (i == DEADLINE_OTHERS) {
            deadline->rest = table_root(world->machines[0].table, TABLE_DATA);
        }
        for (uint32_t machine = 0; machine < DEADLINE_NODES; machine++) {
            world_load(world, machine, i < DEADLINE_OTHERS ? stem : key, i % 1000, 1 + i % 50);
        }
    }
}

/* For how long, since it is that minute by its own clock, a node has keys that end then in its
 * digest, and in memory. */
static void deadline_look(const struct world *world, struct deadline *deadline)
{
    for (uint32_t i = 0; i < DEADLINE_NODES; i++) {
        const struct machine *machine = &world->machines[i];

        if (world_moment(world, machine).unix_s / 60 >= deadline->minute) {
            const bool listed = table_root(machine->table, TABLE_DATA) != deadline->rest;
            const bool kept = listed || table_stats(machine->table).ended > 0;

            deadline->listed_us[i] += listed ? STEP_US : 0;
            deadline->kept_us[i] += kept ? STEP_US : 0;
        }
    }
}

static double most_s(const uint64_t us[DEADLINE_NODES])
{
    uint64_t most = 0;

    for (unsigned i = 0; i < DEADLINE_NODES; i++) {
        most = us[i] > most ? us[i] : most;
    }
    return (double)most / 1e6;
}

void figure_deadline(const struct figure_options *options)
{
    const uint64_t keys = figure_scaled(options, 1000000, 20000);
    struct world *world = world_create(&(struct world_options){
        .seed = options->seed,
        .nodes = DEADLINE_NODES,
        .faults = { .latency_us = 800, .jitter_us = 400 },
        .checks = CHECK_WIRE | CHECK_RATE | CHECK_WORK,
        .prejoined = true,
    });
    struct deadline deadline = { .minute = (uint32_t)(world->options.unix_s / 60) + 3 };
    uint64_t bytes = 0;
    char text[80];

    for (uint32_t i = 0; i < DEADLINE_NODES; i++) {
        world->machines[i].unix_offset_s = (int64_t)i * DEADLINE_SKEW_S;
    }
    deadline_load(world, &deadline, keys);
    world_run(world, 60 * WORLD_S);
    world->look = sync_count;
    world->context = &deadline.bytes;
    for (unsigned minute = 0; minute < DEADLINE_MINUTES; minute++) {
        deadline.bytes = 0;
        for (unsigned step = 0; step < 60 * WORLD_S / STEP_US; step++) {
            world_run(world, STEP_US);
            deadline_look(world, &deadline);
        }
        bytes = deadline.bytes > bytes ? deadline.bytes : bytes;
    }
    snprintf(text, sizeof text, "%llu keys end in one minute, clocks 60 s apart: bytes a node",
             (unsigned long long)keys);
    report_most(text, (double)bytes / DEADLINE_NODES, 2000, "B");
    report_most("  until they have left the digests of a node", most_s(deadline.listed_us), 5, "s");
    report_most("  until their memory is given back", most_s(deadline.kept_us), 60, "s");
    world_free(world);
}

/* One question from an address that has not shown that it receives there: how many bytes go to it
 * for each that came. */
void figure_amplification(const struct figure_options *options)
{
    static const char question[] = "\x83\xa3key\xa1%\xa6vector\x80\xa3ttl\x02";
    const struct bytes datagram = { (const uint8_t *)question, sizeof question - 1 };
    struct world *world =
        world_create(&(struct world_options){ .seed = options->seed,
                                              .nodes = 1,
                                              .strangers = 1,
                                              .checks = CHECK_WIRE | CHECK_RATE | CHECK_CREDIT,
                                              .distrustful = true });
    const double floor_bytes = 156.0 * 10; /* a datagram a second, whatever came */
    const double came_bytes = (double)(datagram.size + NETWORK_HEADER_BYTES);
    uint64_t bytes;

    for (uint64_t i = 0; i < 1000; i++) {
        key_load(world, 0, i);
    }
    bytes = world->machines[0].sent_bytes;
    world_inject(world, 1, &world->machines[1].address, &world->machines[0].address, datagram);
    world_run(world, 10 * WORLD_S);
    report_most("bytes to a stranger for each that it sent, after the question for all keys",
                (double)(world->machines[0].sent_bytes - bytes) / came_bytes,
                (came_bytes + floor_bytes) / came_bytes, "");
    world_free(world);
}
