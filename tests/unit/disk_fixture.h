#ifndef UNIT_DISK_FIXTURE_H
#define UNIT_DISK_FIXTURE_H

/* A directory in memory, a table that is loaded from it, and ways to write its files. */

#include "base/deadline.h"
#include "base/random.h"
#include "disk/frame.h"
#include "disk/recover.h"
#include "disk/snapshot.h"
#include "store/table.h"
#include "wire/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

#define DIRECTORY_ID    UINT64_C(0x1122334455667788)
#define DISK_FILES_MAX  8
#define DISK_FILE_BYTES (UINT32_C(4) << 20)

struct disk {
    struct disk_found found[DISK_FILES_MAX];
    uint8_t *bytes[DISK_FILES_MAX]; /* of DISK_FILE_BYTES each */
    size_t count;
    unsigned fails_at; /* the read that fails; 0: none */
    unsigned reads;
    unsigned sync_fails_at; /* likewise */
    unsigned syncs;
    bool is_read_only;
};

struct fixture {
    struct mem mem;
    struct table *table;
    struct disk disk;
    struct random random;
};

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline struct table *table_make(struct mem *mem)
{
    const struct table_options options = { .mem = mem,
                                           .hash_secret = "sixteen byte key",
                                           .digest_mask = UINT64_MAX };
    struct table *table = NULL;

    assert_int_equal(table_create(&options, &table), STATUS_OK);
    return table;
}

static inline int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .disk.count = 0 };
    random_seed(&fixture.random, 11, 0);
    fixture.table = table_make(&fixture.mem);
    *state = &fixture;
    return 0;
}

static inline void disk_clear(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        free(disk->bytes[i]);
    }
    disk->count = 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    table_audit(fixture->table);
    table_free(fixture->table);
    disk_clear(&fixture->disk);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

/* Position of a file in a directory; it is made where it is not there. */
static inline size_t disk_file(struct disk *disk, enum disk_file_kind kind, uint64_t number)
{
    for (size_t i = 0; i < disk->count; i++) {
        if (disk->found[i].file.kind == kind && disk->found[i].file.number == number) {
            return i;
        }
    }
    assert_true(disk->count < DISK_FILES_MAX);
    disk->found[disk->count] =
        (struct disk_found){ .file = { .number = number, .kind = (uint8_t)kind } };
    disk->bytes[disk->count] = malloc(DISK_FILE_BYTES);
    assert_non_null(disk->bytes[disk->count]);
    return disk->count++;
}

static inline void disk_remove(struct disk *disk, enum disk_file_kind kind, uint64_t number)
{
    const size_t at = disk_file(disk, kind, number);

    free(disk->bytes[at]);
    disk->count--;
    disk->bytes[at] = disk->bytes[disk->count];
    disk->found[at] = disk->found[disk->count];
}

/* Append a frame to a file; of its payload, which lies there already, `frame` has the size. */
static inline void disk_seal(struct disk *disk, size_t at, const struct frame *frame)
{
    struct disk_found *found = &disk->found[at];

    found->size +=
        frame_seal(disk->bytes[at] + found->size, frame_seed(DIRECTORY_ID, found->file), frame);
}

static inline uint8_t *disk_payload(const struct disk *disk, size_t at)
{
    return disk->bytes[at] + disk->found[at].size + FRAME_HEAD_BYTES;
}

/* Begin log `number`, of which the first frame will have this sequence. */
static inline void log_begin(struct disk *disk, uint64_t number, uint64_t sequence)
{
    const size_t at = disk_file(disk, DISK_LOG, number);

    frame_begin_put(disk_payload(disk, at),
                    &(struct frame_begin){ .format = FRAME_FORMAT, .sequence = sequence });
    disk_seal(disk, at,
              &(struct frame){ .payload.size = FRAME_BEGIN_BYTES,
                               .sequence = sequence - 1,
                               .kept = sequence - 1,
                               .kind = FRAME_BEGIN });
}

/* Append a frame with one element; all below `kept` was kept before. */
static inline void log_write(struct disk *disk, uint64_t number, uint64_t sequence, uint64_t kept,
                             const char *key, uint64_t generation, uint64_t index, uint64_t value)
{
    const size_t at = disk_file(disk, DISK_LOG, number);
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct writer writer;

    writer_begin_items(&writer, (struct space){ disk_payload(disk, at), FRAME_PAYLOAD_MAX });
    assert_true(writer_begin_item(&writer, bytes_of(key), false, generation));
    assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
    writer_end_item(&writer);
    disk_seal(disk, at,
              &(struct frame){ .payload.size = writer_end(&writer).size,
                               .sequence = sequence,
                               .kept = kept,
                               .kind = FRAME_ITEMS });
}

/* A deletion, likewise. */
static inline void log_delete(struct disk *disk, uint64_t number, uint64_t sequence, uint64_t hash,
                              uint64_t generation)
{
    const size_t at = disk_file(disk, DISK_LOG, number);
    struct writer writer;

    writer_begin_items(&writer, (struct space){ disk_payload(disk, at), FRAME_PAYLOAD_MAX });
    assert_true(writer_put_tombstone(&writer, hash, DEADLINE_NONE, generation));
    disk_seal(disk, at,
              &(struct frame){ .payload.size = writer_end(&writer).size,
                               .sequence = sequence,
                               .kept = sequence,
                               .kind = FRAME_ITEMS });
}

/* A frame of any payload. */
static inline void log_put(struct disk *disk, uint64_t number, uint64_t sequence,
                           enum frame_kind kind, struct bytes payload)
{
    const size_t at = disk_file(disk, DISK_LOG, number);

    memcpy(disk_payload(disk, at), payload.data, payload.size);
    disk_seal(disk, at,
              &(struct frame){ .payload.size = payload.size,
                               .sequence = sequence,
                               .kept = sequence,
                               .kind = (uint8_t)kind });
}

/* So many zeros at the end of a file. */
static inline void disk_extend(struct disk *disk, size_t at, size_t size)
{
    assert_true(size <= DISK_FILE_BYTES - disk->found[at].size);
    memset(disk->bytes[at] + disk->found[at].size, 0, size);
    disk->found[at].size += size;
}

/* Write a table's snapshot in pieces of this much space. Returns what it says that it holds. */
static inline struct frame_end snapshot_write(struct disk *disk, uint64_t number,
                                              uint64_t log_sequence, const struct table *table,
                                              const struct disk_peers *peers, size_t piece)
{
    const size_t at = disk_file(disk, DISK_SNAPSHOT, number);
    struct disk_found *found = &disk->found[at];
    struct snapshot_walk walk;
    size_t size;

    snapshot_begin(&walk, frame_seed(DIRECTORY_ID, found->file), log_sequence);
    do {
        assert_true(piece <= DISK_FILE_BYTES - found->size);
        size = snapshot_next(&walk, table, peers,
                             (struct space){ disk->bytes[at] + found->size, piece });
        assert_true(size <= piece);
        found->size += size;
    } while (size > 0);
    return walk.end;
}

static inline struct disk_result disk_perform(struct disk *disk,
                                              const struct disk_operation *operation)
{
    size_t at;
    size_t left;

    if (operation->verb == DISK_CLOSE) {
        return (struct disk_result){ .outcome = DISK_DONE };
    }
    if (operation->verb == DISK_SYNC) {
        const bool fails = ++disk->syncs == disk->sync_fails_at;

        return (struct disk_result){ .outcome = fails ? DISK_BROKEN : DISK_DONE,
                                     .error = fails ? 5 : 0 };
    }
    assert_int_equal(operation->verb, DISK_READ);
    if (++disk->reads == disk->fails_at) {
        return (struct disk_result){ .outcome = DISK_BROKEN, .error = 5 };
    }
    at = disk_file(disk, operation->file.kind, operation->file.number);
    assert_true(operation->offset < disk->found[at].size);
    left = disk->found[at].size - operation->offset;
    left = left < operation->size ? left : operation->size;
    memcpy(operation->to, disk->bytes[at] + operation->offset, left);
    return (struct disk_result){ .size = left, .outcome = DISK_DONE };
}

/* Load a table. */
static inline enum status disk_load(struct disk *disk, struct mem *mem, struct table *table,
                                    struct recover_report *report)
{
    const struct recover_options options = { .mem = mem,
                                             .table = table,
                                             .directory_id = DIRECTORY_ID,
                                             .files = disk->found,
                                             .files_count = disk->count,
                                             .is_read_only = disk->is_read_only };
    struct disk_operation operation;
    struct recover *recover;
    enum status status = recover_create(&options, &recover);

    if (status != STATUS_OK) {
        return status;
    }
    disk->reads = 0;
    disk->syncs = 0;
    while (recover_next(recover, &operation)) {
        struct disk_operation none;

        assert_false(recover_next(recover, &none));
        assert_false(recover_is_over(recover));
        recover_done(recover, disk_perform(disk, &operation));
    }
    assert_true(recover_is_over(recover));
    *report = *recover_report(recover);
    status = recover_status(recover);
    assert_true(status != STATUS_OK || report->bytes_read == report->bytes_total);
    recover_free(recover);
    return status;
}

/* The value of an element that is there, else 0. */
static inline uint64_t table_value(const struct table *table, const char *key, uint64_t index)
{
    const struct entry *entry = table_find(table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

/* Write an element. */
static inline struct entry *table_put(struct table *table, struct bytes key, uint64_t index,
                                      uint64_t value)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct entry *entry = NULL;

    assert_int_equal(table_obtain(table, key, TABLE_DATA, &entry), STATUS_OK);
    assert_int_equal(table_merge(table, entry, &block, CHANGE_FROM_CLIENT, NULL), STATUS_OK);
    return entry;
}

static inline void table_remove(struct table *table, const char *key, uint32_t generation)
{
    struct entry *entry = table_find(table, bytes_of(key));

    assert_int_equal(table_delete(table, &entry, table_hash(table, bytes_of(key)),
                                  deadline_of(bytes_of(key)), generation, CHANGE_FROM_CLIENT),
                     STATUS_OK);
}

#endif /* UNIT_DISK_FIXTURE_H */
