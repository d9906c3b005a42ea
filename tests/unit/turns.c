#include "unit/turns.h"

#include "base/deadline.h"
#include "base/random.h"
#include "node/node.h"
#include "store/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "defaults.h"
#include "unit/client.h"

#define SECOND        UINT64_C(1000000)
#define FRAME_BYTES   65000
#define EMITTED_MAX   256 /* datagrams a turn, as net/udp has it */
#define WIDE_BLOCKS   250000
#define HUGE_BLOCKS   1000000
#define START_S       UINT64_C(1800000000)
#define WAITED_MINUTE (START_S / 60 + 60)   /* when keys end that are waited for */
#define MEMORY_BYTES  (UINT64_C(256) << 20) /* of the node, as in the daemon */

struct bench {
    struct mem store_mem;
    struct mem mem;
    struct table *table;
    struct node *node;
    struct moment now;
    struct random random;
    uint64_t (*clock_ns)(void);
    uint64_t work;     /* before this turn */
    uint64_t begun_ns; /* of this turn */
    uint64_t base_bytes;
    uint64_t allowed; /* what the turn's last datagram might make */
    struct turns_result result;
    uint8_t frame[FRAME_BYTES + 600];
};

/* A node that trusts 10.0.0.0/8, and `peers` plain ones that it has heard of late. */

static uint64_t clock_none(void)
{
    return 0;
}

static struct address address_of(uint32_t host)
{
    struct address address = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10 }, .port = 7000 };

    address.ip[13] = (uint8_t)(host >> 16);
    address.ip[14] = (uint8_t)(host >> 8);
    address.ip[15] = (uint8_t)host;
    return address;
}

static void turn_begin(struct bench *bench)
{
    bench->work = node_work(bench->node);
    bench->begun_ns = bench->clock_ns();
    bench->allowed = 0;
}

static void turn_end(struct bench *bench)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct turns_result *result = &bench->result;
    struct address to;
    uint64_t took_ns;
    uint64_t work;

    if (bench->now.mono_us >= node_due_us(bench->node)) {
        node_tick(bench->node, bench->now);
    }
    for (unsigned i = 0; i < EMITTED_MAX && node_emit(bench->node, bench->now, space, &to) > 0;
         i++) {
        result->sent++;
    }
    work = node_work(bench->node) - bench->work;
    bench->work += work; /* what ending a turn costs is the next one's */
    node_turn_end(bench->node);
    took_ns = bench->clock_ns() - bench->begun_ns;
    result->turn_ns = took_ns > result->turn_ns ? took_ns : result->turn_ns;
    result->turn_work = work > result->turn_work ? work : result->turn_work;
    if (work > NODE_TURN_WORK_MAX + bench->allowed
        && work - NODE_TURN_WORK_MAX - bench->allowed > result->turn_excess) {
        result->turn_excess = work - NODE_TURN_WORK_MAX - bench->allowed;
    }
    if (bench->mem.used_bytes > bench->base_bytes + result->memory_bytes) {
        result->memory_bytes = bench->mem.used_bytes - bench->base_bytes;
    }
    bench->now.mono_us += 1000;
    bench->begun_ns = bench->clock_ns();
    bench->allowed = 0;
}

static void turns_run(struct bench *bench, unsigned count)
{
    while (count-- > 0) {
        turn_end(bench);
    }
}

static void receive(struct bench *bench, uint32_t host, size_t size)
{
    const struct address from = address_of(host);
    const uint64_t before = node_work(bench->node);
    const uint64_t before_ns = bench->clock_ns();
    struct turns_result *result = &bench->result;
    uint64_t took_ns;
    uint64_t work;

    node_receive(bench->node, bench->now, &from, (struct bytes){ bench->frame, size });
    took_ns = bench->clock_ns() - before_ns;
    work = node_work(bench->node) - before;
    result->datagram_ns = took_ns > result->datagram_ns ? took_ns : result->datagram_ns;
    result->datagram_work = work > result->datagram_work ? work : result->datagram_work;
    if (work > node_datagram_work_max(size)
        && work - node_datagram_work_max(size) > result->excess) {
        result->excess = work - node_datagram_work_max(size);
    }
    bench->allowed = node_datagram_work_max(size);
    if (!node_work_allows(bench->node)) {
        turn_end(bench);
    }
}

static size_t uint_put(uint8_t *to, uint64_t value)
{
    const unsigned bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;

    if (value < 128) {
        to[0] = (uint8_t)value;
        return 1;
    }
    to[0] = (uint8_t)(bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf);
    for (unsigned i = 0; i < bytes; i++) {
        to[1 + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    }
    return 1 + bytes;
}

static size_t text_put(uint8_t *to, const char *text)
{
    const size_t size = strlen(text);

    to[0] = 0xd9;
    to[1] = (uint8_t)size;
    memcpy(to + 2, text, size);
    return 2 + size;
}

/* A plain message about a key with as many elements as `size` bytes hold; at most `count`. The
 * indices come from `index`. */
static size_t frame_make(struct bench *bench, const char *key, size_t count, size_t size,
                         uint64_t (*index)(struct bench *bench, size_t i), bool full)
{
    uint8_t *frame = bench->frame;
    size_t used = 0;
    size_t header;
    size_t put = 0;

    frame[used++] = full ? 0x84 : 0x83;
    used += text_put(frame + used, "key");
    used += text_put(frame + used, key);
    used += text_put(frame + used, "ttl");
    frame[used++] = 10;
    if (full) {
        used += text_put(frame + used, "full");
        frame[used++] = 0xc3;
    }
    used += text_put(frame + used, "vector");
    header = used;
    used += 3;
    while (put < count && put < UINT16_MAX && used + 10 <= size) {
        used += uint_put(frame + used, index(bench, put));
        frame[used++] = 1 + (uint8_t)random_below(&bench->random, 127);
        put++;
    }
    frame[header] = 0xde;
    frame[header + 1] = (uint8_t)(put >> 8);
    frame[header + 2] = (uint8_t)put;
    return used;
}

static uint64_t index_wide(struct bench *bench, size_t i)
{
    (void)i;
    return random_below(&bench->random, WIDE_BLOCKS) << 8 | random_below(&bench->random, 256);
}

static uint64_t index_huge(struct bench *bench, size_t i)
{
    (void)i;
    return random_below(&bench->random, (uint64_t)HUGE_BLOCKS * 16) << 8;
}

static uint64_t index_rising(struct bench *bench, size_t i)
{
    (void)bench;
    return (uint64_t)i << 8;
}

static uint64_t index_dense(struct bench *bench, size_t i)
{
    (void)bench;
    return i;
}

static void key_write(struct bench *bench, const char *key, size_t blocks, uint64_t value)
{
    const uint8_t offset = 3;
    struct entry *entry;

    assert(table_obtain(bench->table, (struct bytes){ (const uint8_t *)key, strlen(key) },
                        TABLE_DATA, &entry)
           == STATUS_OK);
    for (size_t i = 0; i < blocks; i++) {
        const struct block block = {
            .number = i, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };
        const enum status status = table_merge(bench->table, entry, &block, CHANGE_FROM_DISK, NULL);

        assert(status == STATUS_OK);
        if (i % 10000 == 9999) {
            node_turn_end(bench->node);
        }
    }
    node_turn_end(bench->node);
}

static struct bench *bench_new(uint64_t (*clock_ns)(void), uint32_t peers)
{
    static const struct address_range trust = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10 },
                                                .bits = 104 };
    struct bench *bench = calloc(1, sizeof *bench);
    struct table_options table = { .digest_mask = UINT64_MAX };
    struct node_options options = { NODE_DEFAULTS, .seed = 7, .trust = &trust, .trust_count = 1 };
    enum status status;

    assert(bench != NULL);
    options.self = address_of(0xffffff);
    bench->mem.limit_bytes = MEMORY_BYTES;
    bench->clock_ns = clock_ns == NULL ? clock_none : clock_ns;
    bench->now = (struct moment){ .mono_us = 100 * SECOND, .unix_s = START_S };
    random_seed(&bench->random, 1, 2);
    table.mem = &bench->store_mem;
    status = table_create(&table, &bench->table);
    assert(status == STATUS_OK);
    status = node_create(&options, &bench->mem, bench->table, bench->now, &bench->node);
    assert(status == STATUS_OK);
    turn_begin(bench);
    for (uint32_t i = 1; i <= peers; i++) {
        receive(bench, i, frame_make(bench, "greeting", 0, 100, index_wide, false));
    }
    turns_run(bench, 200);
    return bench;
}

static void measure_begin(struct bench *bench)
{
    bench->base_bytes = bench->mem.used_bytes;
    bench->result = (struct turns_result){ .sent = 0 };
    turn_begin(bench);
}

static struct turns_result bench_end(struct bench *bench)
{
    const struct turns_result result = bench->result;

    turns_run(bench, 100);
    node_audit(bench->node);
    node_free(bench->node);
    table_free(bench->table);
    assert(bench->mem.used_bytes == 0);
    free(bench);
    return result;
}

/* The cases. */

static struct turns_result run_random_blocks(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 8);

    measure_begin(bench);
    for (unsigned i = 0; i < 20; i++) {
        receive(bench, 1, frame_make(bench, "wide", UINT16_MAX, FRAME_BYTES, index_wide, false));
    }
    turns_run(bench, 200);
    return bench_end(bench);
}

static struct turns_result run_keys_of_their_own(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 8);

    measure_begin(bench);
    for (unsigned i = 0; i < 60; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "wide-%u", i);
        receive(bench, 1, frame_make(bench, key, UINT16_MAX, FRAME_BYTES, index_rising, false));
    }
    turns_run(bench, 200);
    return bench_end(bench);
}

/* Elements of a few blocks, the most that fit into a datagram. */
static struct turns_result run_dense(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 100);

    measure_begin(bench);
    for (unsigned i = 0; i < 20; i++) {
        receive(bench, 1, frame_make(bench, "dense", UINT16_MAX, FRAME_BYTES, index_dense, true));
    }
    turns_run(bench, 200);
    return bench_end(bench);
}

static struct turns_result run_questions(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 64);

    key_write(bench, "wide", WIDE_BLOCKS, 200);
    measure_begin(bench);
    for (unsigned i = 0; i < 2000; i++) {
        receive(bench, 1 + i % 64, frame_make(bench, "wide", 0, 100, index_wide, false));
    }
    turns_run(bench, 500);
    return bench_end(bench);
}

static struct turns_result run_full_with_few(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 64);

    key_write(bench, "wide", WIDE_BLOCKS, 200);
    measure_begin(bench);
    for (unsigned i = 0; i < 2000; i++) {
        receive(bench, 1 + i % 64, frame_make(bench, "wide", 3, 100, index_wide, true));
    }
    turns_run(bench, 500);
    return bench_end(bench);
}

/* All that a sender has is smaller than ours: it gets back as much as it said. */
static struct turns_result run_smaller(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 8);

    key_write(bench, "wide", WIDE_BLOCKS, 200);
    measure_begin(bench);
    for (unsigned i = 0; i < 20; i++) {
        receive(bench, 1, frame_make(bench, "wide", UINT16_MAX, FRAME_BYTES, index_rising, false));
    }
    turns_run(bench, 500);
    return bench_end(bench);
}

static struct turns_result run_huge_vector(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 1);

    key_write(bench, "huge", HUGE_BLOCKS, 200);
    measure_begin(bench);
    for (unsigned i = 0; i < 20; i++) {
        receive(bench, 1, frame_make(bench, "huge", UINT16_MAX, FRAME_BYTES, index_huge, false));
    }
    return bench_end(bench);
}

/* A client writes to one key as many blocks as that. */
static void client_writes(struct bench *bench, const char *key, unsigned blocks)
{
    static const uint64_t value = 7;
    static const uint8_t offset = 0;
    struct mem scratch = { 0 };
    struct client_done done;
    struct vector elements;
    enum status status;

    vector_init(&elements);
    for (unsigned i = 0; i < blocks; i++) {
        const struct block block = {
            .number = i, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };

        status = vector_merge(&elements, &scratch, &block, 0, NULL);
        assert(status == STATUS_OK);
    }
    status = client_write(bench->node, bench->now,
                          (struct bytes){ (const uint8_t *)key, strlen(key) }, &elements, &done);
    assert(status == STATUS_OK);
    vector_clear(&elements, &scratch);
}

static struct turns_result run_update_to_many(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, 3000);

    measure_begin(bench);
    client_writes(bench, "wide", 2000);
    turns_run(bench, 1000);
    return bench_end(bench);
}

static void key_drop(struct bench *bench, const char *key)
{
    struct entry *entry =
        table_find(bench->table, (struct bytes){ (const uint8_t *)key, strlen(key) });

    assert(entry != NULL);
    table_drop(bench->table, entry);
}

/* Keys go, in every turn some, while thousands are still to be told of others, and of these. */
static struct turns_result run_drops(uint64_t (*clock_ns)(void))
{
    enum { TURNS = 20, KEYS = 64 };
    struct bench *bench = bench_new(clock_ns, 3000);
    char key[16];

    for (unsigned i = 0; i < TURNS * KEYS; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        key_write(bench, key, 1, 9);
    }
    measure_begin(bench);
    client_writes(bench, "wide", 2000);
    client_writes(bench, "key0", 1);
    turns_run(bench, 50);
    for (unsigned i = 0; i < TURNS * KEYS; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        key_drop(bench, key);
        turns_run(bench, i % KEYS == KEYS - 1);
    }
    key_drop(bench, "wide");
    turns_run(bench, 100);
    return bench_end(bench);
}

/* Keys that every plain peer there is has still to be told. */
#define WAITED_KEYS  100
#define WAITED_PEERS 1000

static size_t waited_name(char name[32], unsigned number)
{
    const int size = snprintf(name, 32 - DEADLINE_BYTES_MAX, "key%u", number);
    const size_t all = (size_t)size + deadline_put(name + size, WAITED_MINUTE);

    name[all] = '\0';
    return all;
}

static struct bench *waited_new(uint64_t (*clock_ns)(void))
{
    struct bench *bench = bench_new(clock_ns, WAITED_PEERS);
    char name[32];

    for (unsigned i = 0; i < WAITED_KEYS; i++) {
        (void)waited_name(name, i);
        key_write(bench, name, 1, 9);
    }
    for (uint32_t peer = 1; peer <= WAITED_PEERS; peer++) {
        for (unsigned i = 0; i < WAITED_KEYS; i++) {
            (void)waited_name(name, i);
            receive(bench, peer, frame_make(bench, name, 0, 100, index_wide, false));
        }
    }
    measure_begin(bench);
    return bench;
}

/* Clients delete them, as far as each turn goes. */
static struct turns_result run_deletes(uint64_t (*clock_ns)(void))
{
    struct bench *bench = waited_new(clock_ns);

    for (unsigned i = 0; i < WAITED_KEYS; i++) {
        char name[32];
        const struct bytes key = { (const uint8_t *)name, waited_name(name, i) };
        uint32_t generation;
        struct fault why;
        const enum status status = node_delete(bench->node, bench->now, key, &generation, &why);

        assert(status == STATUS_OK);
        turns_run(bench, !node_work_allows(bench->node));
    }
    turns_run(bench, 100);
    return bench_end(bench);
}

/* They end. */
static struct turns_result run_ends(uint64_t (*clock_ns)(void))
{
    struct bench *bench = waited_new(clock_ns);

    bench->now.unix_s = WAITED_MINUTE * UINT64_C(60);
    turns_run(bench, 100);
    assert(table_stats(bench->table).keys[TABLE_DATA] == 0);
    return bench_end(bench);
}

/* Patterns of many stars, joins of wide keys, questions that match everything. */
static struct turns_result run_searches(uint64_t (*clock_ns)(void))
{
    static const char *const patterns[] = { "%", "*", "*a*a*a*a*a*a*a*a*b", "k%a%a%a%a%a%a", "w*" };
    struct bench *bench = bench_new(clock_ns, 100);

    key_write(bench, "wide", WIDE_BLOCKS / 4, 200);
    for (unsigned i = 0; i < 5000; i++) {
        char key[200];

        memset(key, 'a', sizeof key);
        key[0] = 'k';
        (void)snprintf(key + 100, sizeof key - 100, "%u", i);
        key_write(bench, key, 1, 9);
    }
    measure_begin(bench);
    for (unsigned i = 0; i < 2000; i++) {
        receive(bench, 1 + i % 100,
                frame_make(bench, patterns[i % 5], i % 7 == 0 ? UINT16_MAX : 0,
                           i % 70 == 0 ? FRAME_BYTES : 2000, index_rising, false));
        turns_run(bench, 1);
    }
    turns_run(bench, 3000);
    return bench_end(bench);
}

#define MIB (UINT64_C(1) << 20)

/* Marks that wait to be spread are bounded by what the datagrams raised; questions keep next to
 * nothing. */
const struct turns_case turns_cases[] = {
    { "random_blocks", 32 * MIB, run_random_blocks },
    { "keys_of_their_own", 96 * MIB, run_keys_of_their_own },
    { "dense", MIB, run_dense },
    { "questions", MIB / 8, run_questions },
    { "full_with_few", MIB / 8, run_full_with_few },
    { "smaller", 16 * MIB, run_smaller },
    { "huge_vector", 32 * MIB, run_huge_vector },
    { "update_to_many", 4 * MIB, run_update_to_many },
    { "drops", 4 * MIB, run_drops },
    { "deletes", 4 * MIB, run_deletes },
    { "ends", 4 * MIB, run_ends },
    { "searches", 4 * MIB, run_searches },
};
const size_t turns_cases_count = sizeof turns_cases / sizeof turns_cases[0];
