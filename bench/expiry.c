/* How long it takes a node to end keys that all end in the same minute.
 *
 *     expiry [KEYS]          default 1,000,000
 *
 * A node alone, whose clock has run for a day, so that it is confirmed, with a table of KEYS dated
 * keys of 24 bytes, each a sketch with one register. Turns follow each other at once, as they do
 * where nothing else happens. Prints one line a figure, "name value unit":
 *
 *     minute             to set the minute: what readers wait for
 *     turn_longest       the longest of the turns that take keys out and free them, by the clock of
 *                        the thread
 *     turn_p99           of all of them
 *     out_of_digests     from the minute until none of them is in a digest
 *     memory_back        from the minute until all of them are freed
 *     bytes_kept         of the account, beside what it had before the keys came */

#include "base/deadline.h"
#include "node/node.h"
#include "store/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "defaults.h"

#define KEYS_DEFAULT 1000000
#define TURN_KEYS    256
#define DAY_US       UINT64_C(86400000000)
#define MINUTE_US    UINT64_C(60000000)
#define END_S        (UINT64_C(29834834) * 60) /* in 2026 */
#define TURNS_MAX    65536

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "expiry: %s\n", status_text(status));
        exit(1);
    }
}

static uint64_t clock_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int by_size(const void *one, const void *other)
{
    const uint64_t a = *(const uint64_t *)one;
    const uint64_t b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

static void keys_load(struct table *table, uint64_t keys, uint32_t deadline)
{
    for (uint64_t i = 0; i < keys; i++) {
        const uint64_t value = i % 60 + 1;
        const uint8_t offset = (uint8_t)i;
        const struct block block = {
            .number = i % 64, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };
        char key[16 + DEADLINE_BYTES_MAX + 1];
        int size = snprintf(key, 16, "k%llx", (unsigned long long)(i * 0x9E3779B97F4A7C15 >> 40));
        struct entry *entry;

        size += snprintf(key + size, 8, ".%llx", (unsigned long long)i & 0xffff);
        size += (int)deadline_put(key + size, deadline);
        must(table_obtain(table, (struct bytes){ (const uint8_t *)key, (size_t)size }, TABLE_DATA,
                          &entry));
        must(table_merge(table, entry, &block, CHANGE_FROM_DISK, NULL));
        if (i % TURN_KEYS == 0) {
            table_turn_end(table);
        }
    }
    table_turn_end(table);
}

/* One turn; returns its nanoseconds. */
static uint64_t turn(struct node *node, struct moment now)
{
    const uint64_t begun_ns = clock_ns();
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct address to;

    node_tick(node, now);
    (void)node_emit(node, now, (struct space){ buffer, sizeof buffer }, &to);
    node_turn_end(node);
    return clock_ns() - begun_ns;
}

/* A day in which nobody contradicts: the clock is confirmed at its end. A while in which the node
 * did not look would not count. */
static struct moment day_pass(struct node *node, struct moment now)
{
    for (unsigned minute = 0; minute < DAY_US / MINUTE_US; minute++) {
        now.mono_us += MINUTE_US;
        now.unix_s += MINUTE_US / 1000000;
        (void)turn(node, now);
    }
    return now;
}

static void figures_print(uint64_t *turns, size_t count, uint64_t minute_ns, uint64_t out_ns,
                          uint64_t back_ns)
{
    qsort(turns, count, sizeof *turns, by_size);
    (void)printf("minute %.1f us\n", (double)minute_ns / 1e3);
    (void)printf("turn_longest %.2f ms\n", (double)turns[count - 1] / 1e6);
    (void)printf("turn_p99 %.2f ms\n", (double)turns[count * 99 / 100] / 1e6);
    (void)printf("out_of_digests %.2f s\n", (double)out_ns / 1e9);
    (void)printf("memory_back %.2f s\n", (double)back_ns / 1e9);
}

static void measure(struct table *table, struct mem *mem, struct node *node, struct moment now,
                    uint64_t keys)
{
    static uint64_t turns[TURNS_MAX];
    const uint64_t before = mem->used_bytes;
    uint64_t all_ns = 0;
    uint64_t out_ns = 0;
    uint64_t minute_ns;
    size_t count = 0;

    now = day_pass(node, now);
    keys_load(table, keys, deadline_now(END_S));
    (void)turn(node, now);
    now.unix_s++;
    now.mono_us += 1000000;
    minute_ns = clock_ns();
    table_set_minute(table, deadline_now(END_S));
    minute_ns = clock_ns() - minute_ns;
    while (count < TURNS_MAX && (table_expires(table) || table_stats(table).ended > 0)) {
        if (node_due_us(node) > now.mono_us) { /* it lets time pass in between */
            all_ns += (node_due_us(node) - now.mono_us) * 1000;
            now.mono_us = node_due_us(node);
        }
        turns[count] = turn(node, now);
        all_ns += turns[count++];
        out_ns = out_ns == 0 && !table_expires(table) ? all_ns : out_ns;
    }
    if (table_stats(table).ended > 0 || table_stats(table).keys[TABLE_DATA] > 0) {
        (void)fprintf(stderr, "expiry: keys are left\n");
        exit(1);
    }
    figures_print(turns, count, minute_ns, out_ns, all_ns);
    (void)printf("bytes_kept %.1f MiB\n", (double)(mem->used_bytes - before) / 1048576);
}

int main(int argc, char **argv)
{
    const uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS_DEFAULT;
    struct mem mem = { 0 };
    const struct table_options table_options = { .mem = &mem, .digest_mask = UINT64_MAX };
    const struct node_options options = {
        NODE_DEFAULTS,
        .self = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 }, .port = 6000 },
    };
    const struct moment start = { .mono_us = DAY_US, .unix_s = END_S - 86401 };
    struct table *table;
    struct node *node;

    must(table_create(&table_options, &table));
    must(node_create(&options, &mem, table, start, &node));
    measure(table, &mem, node, start, keys);
    node_free(node);
    table_free(table);
    return 0;
}
