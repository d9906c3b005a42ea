/* What it costs to write a table out and to load it again, without a disk.
 *
 *     replay [KEYS]          of one element each; default 1,000,000
 *
 * Prints one line a figure, "name value unit", in CPU time of this thread:
 *
 *     write ns               a key of a snapshot, in pieces of PIECE_BYTES
 *     write_worst us         the longest piece
 *     bytes count            of a key in a snapshot
 *     load ns                a key, from RECOVER_READ_BYTES at once
 *     load_worst us          the longest step
 *     create ns              beside it: the same keys into a bare table, in the same order
 *     group ns               a block that is written to a log, of as many keys as are noted at once
 *     group_worst us         the longest group; with blocks from all over the table */

#include "disk/journal.h"
#include "disk/recover.h"
#include "disk/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_DEFAULT 1000000
#define KEY_BYTES    20
#define TURN_KEYS    256
#define PIECE_BYTES  (UINT32_C(64) << 10)
#define DIRECTORY_ID 1

struct bench {
    struct mem mem;
    struct table *table;
    uint8_t *bytes;
    size_t size;
    uint64_t keys;
    uint64_t worst_ns;
};

static const struct disk_file file = { .number = 1, .kind = DISK_SNAPSHOT };

static uint64_t clock_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void must(bool is_well)
{
    if (!is_well) {
        (void)fputs("replay: something failed\n", stderr);
        exit(1);
    }
}

static void table_begin(struct bench *bench)
{
    const struct table_options options = { .mem = &bench->mem,
                                           .hash_secret = "bench/replay",
                                           .digest_mask = UINT64_MAX };

    must(table_create(&options, &bench->table) == STATUS_OK);
}

static void key_raise(struct bench *bench, uint64_t number, uint64_t value)
{
    const uint8_t offset = 7;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    uint8_t key[KEY_BYTES] = "key:";
    struct entry *entry;

    for (unsigned i = KEY_BYTES; i > 4; i--) {
        key[i - 1] = (uint8_t) "0123456789abcdef"[number & 15];
        number >>= 4;
    }
    must(table_obtain(bench->table, (struct bytes){ key, KEY_BYTES }, TABLE_DATA, &entry)
         == STATUS_OK);
    must(table_merge(bench->table, entry, &block, CHANGE_FROM_PEER, NULL) == STATUS_OK);
}

/* Keys that rise, evenly spread. */
static uint64_t table_fill(struct bench *bench)
{
    const uint64_t begin = clock_ns();

    for (uint64_t i = 0; i < bench->keys; i++) {
        key_raise(bench, i * (UINT64_MAX / bench->keys), 1);
        if (i % TURN_KEYS == 0) {
            table_turn_end(bench->table);
        }
    }
    table_turn_end(bench->table);
    return clock_ns() - begin;
}

static void worst_note(struct bench *bench, uint64_t began_ns)
{
    const uint64_t time_ns = clock_ns() - began_ns;

    bench->worst_ns = time_ns > bench->worst_ns ? time_ns : bench->worst_ns;
}

static uint64_t table_write(struct bench *bench)
{
    const struct disk_peers nobody = { .count = 0 };
    const uint64_t begin = clock_ns();
    struct snapshot_walk walk;
    size_t size;

    bench->worst_ns = 0;
    snapshot_begin(&walk, frame_seed(DIRECTORY_ID, file), 0);
    do {
        const uint64_t began_ns = clock_ns();

        size = snapshot_next(&walk, bench->table, &nobody,
                             (struct space){ bench->bytes + bench->size, PIECE_BYTES });
        bench->size += size;
        worst_note(bench, began_ns);
    } while (size > 0);
    return clock_ns() - begin;
}

static uint64_t table_load(struct bench *bench)
{
    const struct disk_found found = { .file = file, .size = bench->size };
    const struct recover_options options = { .mem = &bench->mem,
                                             .table = bench->table,
                                             .directory_id = DIRECTORY_ID,
                                             .files = &found,
                                             .files_count = 1 };
    const uint64_t begin = clock_ns();
    struct disk_operation operation;
    struct recover *recover;

    bench->worst_ns = 0;
    must(recover_create(&options, &recover) == STATUS_OK);
    while (recover_next(recover, &operation)) {
        const uint64_t began_ns = clock_ns();

        if (operation.verb == DISK_READ) {
            memcpy(operation.to, bench->bytes + operation.offset, operation.size);
        }
        recover_done(recover, (struct disk_result){ .size = operation.size });
        worst_note(bench, began_ns);
    }
    must(recover_status(recover) == STATUS_OK && recover_report(recover)->damaged == 0);
    recover_free(recover);
    return clock_ns() - begin;
}

/* Write the whole table to a log, as a disk that stood for so long would let it. */
static uint64_t table_log(struct bench *bench)
{
    const struct journal_options options = { .mem = &bench->mem,
                                             .table = bench->table,
                                             .directory_id = DIRECTORY_ID,
                                             .number = 1,
                                             .sequence = 1,
                                             .snapshot_bytes_min = UINT64_MAX,
                                             .extend_bytes = JOURNAL_EXTEND_BYTES,
                                             .reserve_bytes = JOURNAL_RESERVE_BYTES,
                                             .durability = JOURNAL_COMMIT };
    const struct disk_result done = { .outcome = DISK_DONE };
    struct moment now = { .mono_us = 1 };
    struct disk_operation operation;
    struct journal *journal;
    uint64_t spent_ns = 0;

    bench->worst_ns = 0;
    must(journal_create(&options, &journal) == STATUS_OK);
    for (uint64_t i = 0; i < bench->keys; i++) {
        key_raise(bench, i * (UINT64_MAX / bench->keys), 2);
        if (i % TURN_KEYS == 0 || i + 1 == bench->keys) {
            journal_note(journal, table_changes(bench->table));
            table_turn_end(bench->table);
        }
    }
    while (journal_kept(journal) < journal_ticket(journal)) {
        const uint64_t began_ns = clock_ns();

        must(journal_next(journal, now, &operation));
        journal_done(journal, now, done);
        spent_ns += clock_ns() - began_ns;
        worst_note(bench, began_ns);
        now.mono_us++;
    }
    journal_free(journal);
    return spent_ns;
}

static void figure_print(const char *name, uint64_t total, uint64_t among, const char *unit)
{
    printf("%s %.1f %s\n", name, (double)total / (double)among, unit);
}

int main(int argc, char **argv)
{
    struct bench bench = { .keys = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS_DEFAULT };
    uint64_t create_ns;
    uint64_t root;

    must(argc <= 2 && bench.keys > 0);
    bench.bytes = malloc(bench.keys * 2 * KEY_BYTES + 2 * (size_t)PIECE_BYTES);
    must(bench.bytes != NULL);
    table_begin(&bench);
    create_ns = table_fill(&bench);
    root = table_root(bench.table, TABLE_DATA);
    figure_print("write", table_write(&bench), bench.keys, "ns");
    figure_print("write_worst", bench.worst_ns, 1000, "us");
    figure_print("bytes", bench.size, bench.keys, "count");
    table_free(bench.table);
    table_begin(&bench);
    figure_print("load", table_load(&bench), bench.keys, "ns");
    figure_print("load_worst", bench.worst_ns, 1000, "us");
    must(table_root(bench.table, TABLE_DATA) == root);
    figure_print("group", table_log(&bench), bench.keys, "ns");
    figure_print("group_worst", bench.worst_ns, 1000, "us");
    figure_print("create", create_ns, bench.keys, "ns");
    table_free(bench.table);
    free(bench.bytes);
    return 0;
}
