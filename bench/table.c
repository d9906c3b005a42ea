/* What the table's operations cost as it grows, beside a bare hash look-up.
 *
 *     table [KEYS]           the largest size; default 1,000,000
 *
 * Grows one table from 10,000 keys by factors of ten to KEYS, and at each size takes random keys
 * that are there. Prints one line a figure, "name value unit", the name beginning with the size:
 *
 *     N_bare ns              median of a bare look-up: the same 20-byte keys in records of 72
 *                            bytes, an open hash of 8-byte slots (tag and position) at most half
 *                            full, SipHash
 *     N_find ns              table_find()
 *     N_raise ns             table_obtain() of a known key and table_merge() of a raised element
 *     N_create ns            table_obtain() of an unseen key and its first table_merge(), over
 *                            the keys by which the table grows to this size
 *     N_slice ns             a key of table_slice(), 256 a slice after a random key
 *     N_children ns          table_children() of a random prefix of 3 nibbles
 *     N_find_probes count    buckets and entries that one table_find() touched
 *     N_create_nodes count   entries and nodes of the ordered and the digest index that one
 *                            creation touched
 *     N_raise_nodes count    the same of one raise
 *     N_slice_nodes count    the same of one slice
 *     N_create_worst us      the longest single creation up to this size: of each call the shortest
 *                            time over three tables grown alike, of those the longest
 *
 * and at the end, against the smallest size,
 *
 *     growth_bare ratio      of the bare look-up: cache misses
 *     growth_find ratio      of the others, to be compared with that
 *     growth_raise ratio
 *
 * Times are medians of BATCHES batches of BATCH calls. What is found is added into a sum that goes
 * to standard error, so that no work can be left out. */

#include "store/table.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_DEFAULT 1000000
#define KEYS_FIRST   10000
#define KEY_BYTES    20
#define BATCHES      31
#define BATCH        2000
#define SLICE        256
#define TURN_KEYS    256
#define REHEARSALS   2

struct record {
    char key[KEY_BYTES];
    uint8_t rest[72 - KEY_BYTES - sizeof(uint64_t)];
    uint64_t value;
};

struct slot {
    uint32_t tag;
    uint32_t position; /* + 1; 0: free */
};

/* The bare limit. It is built at once for each size: how it would grow is not its subject. */
struct bare {
    struct record *records;
    struct slot *slots;
    uint64_t mask;
};

struct bench {
    struct mem mem;
    struct random random;
    struct table *table;
    uint64_t keys; /* in the table */
    uint64_t sum;
    uint64_t round;
};

typedef void operation(struct bench *bench, const struct bare *bare);

static const uint8_t secret[16] = "bench/table key";

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "table: %s\n", status_text(status));
        exit(1);
    }
}

static void *memory_get(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        must(STATUS_MEMORY);
    }
    return memory;
}

/* 20 bytes in no order. */
static struct bytes key_write(char key[KEY_BYTES], uint64_t number)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t mixed = number * UINT64_C(0x9E3779B97F4A7C15);

    memcpy(key, "key:", 4);
    for (unsigned i = 4; i < KEY_BYTES; i++) {
        key[i] = digits[mixed & 15];
        mixed >>= 4;
    }
    return (struct bytes){ (const uint8_t *)key, KEY_BYTES };
}

static struct bytes key_random(struct bench *bench, char key[KEY_BYTES])
{
    return key_write(key, random_below(&bench->random, bench->keys));
}

static struct bare bare_build(uint64_t keys)
{
    struct bare bare = { .mask = 1 };

    while (bare.mask < 2 * keys) {
        bare.mask *= 2;
    }
    bare.records = memory_get(keys, sizeof *bare.records);
    bare.slots = memory_get(bare.mask, sizeof *bare.slots);
    bare.mask--;
    for (uint64_t i = 0; i < keys; i++) {
        const uint64_t hash = hash_sip(secret, key_write(bare.records[i].key, i));
        uint64_t at = hash & bare.mask;

        while (bare.slots[at].position != 0) {
            at = (at + 1) & bare.mask;
        }
        bare.records[i].value = i;
        bare.slots[at] = (struct slot){ (uint32_t)(hash >> 32), (uint32_t)i + 1 };
    }
    return bare;
}

static void bare_find(struct bench *bench, const struct bare *bare)
{
    char text[KEY_BYTES];
    const struct bytes key = key_random(bench, text);
    const uint64_t hash = hash_sip(secret, key);
    uint64_t at = hash & bare->mask;

    for (; bare->slots[at].position != 0; at = (at + 1) & bare->mask) {
        const struct record *record = &bare->records[bare->slots[at].position - 1];

        if (bare->slots[at].tag == (uint32_t)(hash >> 32)
            && memcmp(record->key, text, KEY_BYTES) == 0) {
            bench->sum += record->value;
            return;
        }
    }
}

static void table_find_one(struct bench *bench, const struct bare *bare)
{
    char text[KEY_BYTES];

    (void)bare;
    bench->sum += entry_digest(table_find(bench->table, key_random(bench, text)));
}

static void element_raise(struct bench *bench, struct bytes key, uint64_t value)
{
    const uint8_t offset = 7;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct entry *entry;

    must(table_obtain(bench->table, key, TABLE_DATA, &entry));
    must(table_merge(bench->table, entry, &block, CHANGE_FROM_PEER, NULL));
}

static void table_raise_one(struct bench *bench, const struct bare *bare)
{
    char text[KEY_BYTES];

    (void)bare;
    element_raise(bench, key_random(bench, text), 2 + bench->round++);
    if (bench->round % TURN_KEYS == 0) {
        table_turn_end(bench->table);
    }
}

static void table_slice_one(struct bench *bench, const struct bare *bare)
{
    struct entry *entries[SLICE];
    char text[KEY_BYTES];
    size_t count;

    (void)bare;
    count = table_slice(bench->table, (struct bytes){ NULL, 0 }, key_random(bench, text), entries,
                        SLICE);
    for (size_t i = 0; i < count; i++) {
        bench->sum += entry_key(entries[i]).data[KEY_BYTES - 1];
    }
}

static void table_children_one(struct bench *bench, const struct bare *bare)
{
    const struct prefix prefix = { .bits = random_next(&bench->random) & UINT64_C(0xFFF) << 52,
                                   .nibbles = 3,
                                   .set = TABLE_DATA };
    struct tree_child children[WIRE_TREE_CHILDREN];

    (void)bare;
    table_children(bench->table, prefix, children);
    bench->sum += children[0].digest;
}

static int double_compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

/* Median time of a call, in nanoseconds. */
static double operation_measure(struct bench *bench, const struct bare *bare, operation *call,
                                unsigned calls)
{
    double times[BATCHES];

    for (unsigned i = 0; i < BATCHES; i++) {
        const uint64_t begin = clock_ns(CLOCK_MONOTONIC);

        for (unsigned j = 0; j < calls; j++) {
            call(bench, bare);
        }
        times[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / calls;
    }
    qsort(times, BATCHES, sizeof times[0], double_compare);
    return times[BATCHES / 2];
}

static void figure_print(uint64_t keys, const char *name, double value, const char *unit)
{
    printf("%llu_%s %.1f %s\n", (unsigned long long)keys, name, value, unit);
}

/* Add keys up to a number, each by a call whose time is taken. `least_ns` has the shortest time of
 * each call over all the tables that were grown. Returns the sum of times. */
static uint64_t table_grow(struct bench *bench, uint64_t keys, uint32_t *least_ns)
{
    uint64_t total_ns = 0;

    for (; bench->keys < keys; bench->keys++) {
        char text[KEY_BYTES];
        const struct bytes key = key_write(text, bench->keys);
        const uint64_t begin = clock_ns(CLOCK_MONOTONIC);
        uint64_t time_ns;

        element_raise(bench, key, 1);
        time_ns = clock_ns(CLOCK_MONOTONIC) - begin;
        total_ns += time_ns;
        if (time_ns < least_ns[bench->keys]) {
            least_ns[bench->keys] = (uint32_t)time_ns;
        }
        if (bench->keys % TURN_KEYS == 0) {
            table_turn_end(bench->table);
        }
    }
    table_turn_end(bench->table);
    return total_ns;
}

static struct table *table_make(struct mem *mem)
{
    struct table_options options = { .mem = mem, .digest_mask = UINT64_MAX };
    struct table *table;

    memcpy(options.hash_secret, secret, sizeof secret);
    must(table_create(&options, &table));
    return table;
}

/* The same calls on tables that are not used further: what another process took of one of them, it
 * will hardly take of the same call of another. */
static uint32_t *calls_rehearse(uint64_t keys)
{
    uint32_t *least_ns = memory_get(keys, sizeof *least_ns);

    memset(least_ns, 0xFF, keys * sizeof *least_ns);
    for (unsigned i = 0; i < REHEARSALS; i++) {
        struct bench bench = { 0 };

        bench.table = table_make(&bench.mem);
        (void)table_grow(&bench, keys, least_ns);
        table_free(bench.table);
    }
    return least_ns;
}

static void growth_measure(struct bench *bench, uint64_t keys, uint32_t *least_ns)
{
    const uint64_t first = bench->keys;
    const struct table_stats before = table_stats(bench->table);
    const uint64_t total_ns = table_grow(bench, keys, least_ns);
    uint32_t worst_ns = 0;

    for (uint64_t i = first; i < keys; i++) {
        worst_ns = least_ns[i] > worst_ns ? least_ns[i] : worst_ns;
    }
    figure_print(keys, "create", (double)total_ns / (double)(keys - first), "ns");
    figure_print(keys, "create_nodes",
                 (double)(table_stats(bench->table).nodes - before.nodes) / (double)(keys - first),
                 "count");
    figure_print(keys, "create_worst", (double)worst_ns / 1000, "us");
}

/* Nodes, or probes, that one call touched. */
static void work_measure(struct bench *bench)
{
    struct table_stats before = table_stats(bench->table);

    for (unsigned i = 0; i < BATCH; i++) {
        table_find_one(bench, NULL);
    }
    figure_print(bench->keys, "find_probes",
                 (double)(table_stats(bench->table).probes - before.probes) / BATCH, "count");
    before = table_stats(bench->table);
    for (unsigned i = 0; i < BATCH; i++) {
        table_raise_one(bench, NULL);
    }
    figure_print(bench->keys, "raise_nodes",
                 (double)(table_stats(bench->table).nodes - before.nodes) / BATCH, "count");
    before = table_stats(bench->table);
    for (unsigned i = 0; i < BATCH / 10; i++) {
        table_slice_one(bench, NULL);
    }
    figure_print(bench->keys, "slice_nodes",
                 (double)(table_stats(bench->table).nodes - before.nodes) / (BATCH / 10), "count");
}

struct figures {
    double bare_ns;
    double find_ns;
    double raise_ns;
};

static struct figures size_measure(struct bench *bench, uint64_t keys, uint32_t *least_ns)
{
    struct figures figures;
    struct bare bare;

    growth_measure(bench, keys, least_ns);
    bare = bare_build(keys);
    figures.bare_ns = operation_measure(bench, &bare, bare_find, BATCH);
    figures.find_ns = operation_measure(bench, &bare, table_find_one, BATCH);
    figures.raise_ns = operation_measure(bench, &bare, table_raise_one, BATCH);
    free(bare.records);
    free(bare.slots);
    figure_print(keys, "bare", figures.bare_ns, "ns");
    figure_print(keys, "find", figures.find_ns, "ns");
    figure_print(keys, "raise", figures.raise_ns, "ns");
    figure_print(keys, "slice", operation_measure(bench, NULL, table_slice_one, BATCH / 10) / SLICE,
                 "ns");
    figure_print(keys, "children", operation_measure(bench, NULL, table_children_one, BATCH), "ns");
    work_measure(bench);
    return figures;
}

int main(int argc, char **argv)
{
    const uint64_t keys_max = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS_DEFAULT;
    struct bench bench = { 0 };
    struct figures first;
    struct figures last;
    uint32_t *least_ns;

    if (keys_max < KEYS_FIRST || argc > 2) {
        (void)fprintf(stderr, "usage: table [KEYS], at least %d\n", KEYS_FIRST);
        return 2;
    }
    least_ns = calls_rehearse(keys_max);
    random_seed(&bench.random, 1, 0);
    bench.table = table_make(&bench.mem);
    first = size_measure(&bench, KEYS_FIRST, least_ns);
    last = first;
    for (uint64_t keys = KEYS_FIRST; keys < keys_max;) {
        keys = keys * 10 < keys_max ? keys * 10 : keys_max;
        last = size_measure(&bench, keys, least_ns);
    }
    printf("growth_bare %.2f ratio\n", last.bare_ns / first.bare_ns);
    printf("growth_find %.2f ratio\n", last.find_ns / first.find_ns);
    printf("growth_raise %.2f ratio\n", last.raise_ns / first.raise_ns);
    table_free(bench.table);
    free(least_ns);
    (void)fprintf(stderr, "sum %llu\n", (unsigned long long)bench.sum);
    return 0;
}
