#ifndef UNIT_JOURNAL_FIXTURE_H
#define UNIT_JOURNAL_FIXTURE_H

/* A journal over a small disk in memory that fails, fills and forgets what was not synced, and a
 * record of what it called kept. */

#include "base/deadline.h"
#include "base/random.h"
#include "disk/frame.h"
#include "disk/journal.h"
#include "disk/notes.h"
#include "disk/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

#define ID         UINT64_C(0x1122334455667788)
#define SECTOR     512
#define FILE_BYTES (UINT32_C(512) << 10)

enum { FILES = 160, KEYS = 12, WAITERS = 4096, VERBS = DISK_CLOSE + 1 };

struct file {
    struct disk_file file;
    uint8_t *bytes;  /* as written */
    uint8_t *synced; /* as a crash of the machine leaves it, but for sectors that were written */
    size_t size;
    bool is_broken; /* a write or a sync failed: it is to be let go of */
};

/* What a key is, ordered by both; without a value it is deleted or was never there. */
struct state {
    uint64_t generation;
    uint64_t value;
};

struct waiter {
    uint64_t ticket;
    unsigned key;
    struct state state;
};

struct fixture {
    struct mem mem;       /* the journal's */
    struct mem table_mem; /* the table's and the load's */
    struct table *table;
    struct journal *journal;
    struct journal_options options;
    struct moment now;
    struct random random;
    struct file files[FILES];
    size_t files_count;
    size_t space;      /* bytes that are left; SIZE_MAX: plenty */
    unsigned fails_in; /* operations: that one fails; 0: none */
    uint8_t fails_as;
    uint8_t fails_verb; /* VERBS: any */
    bool fails_on;      /* and all after it */
    bool is_eventful;   /* turns of any writes come while operations are under way */
    struct disk_operation last;
    unsigned verbs[VERBS]; /* how often each was asked for */
    struct state kept[KEYS];
    struct waiter waiters[WAITERS];
    size_t waiters_count;
    struct recover_report report;
};

/* Keys. */

static inline struct bytes key_of(unsigned i)
{
    static const char names[KEYS][4] = { "k0", "k1", "k2", "k3", "k4",  "k5",
                                         "k6", "k7", "k8", "k9", "k10", "k11" };

    return (struct bytes){ (const uint8_t *)names[i], strlen(names[i]) };
}

static inline int state_order(struct state a, struct state b)
{
    if (a.generation != b.generation) {
        return a.generation < b.generation ? -1 : 1;
    }
    return a.value < b.value ? -1 : a.value > b.value;
}

static inline struct state state_of(const struct table *table, unsigned i)
{
    const struct entry *entry = table_find(table, key_of(i));

    if (entry != NULL) {
        return (struct state){ entry_generation(entry), vector_get(entry_vector(entry), 0) };
    }
    entry = table_tombstone(table, key_of(i));
    return (struct state){ entry == NULL ? 0 : entry_generation(entry), 0 };
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

static inline void element_put(struct fixture *fixture, struct bytes key, uint64_t index,
                               uint64_t value, enum change_origin origin)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct entry *entry = NULL;

    assert_int_equal(table_obtain(fixture->table, key, TABLE_DATA, &entry), STATUS_OK);
    assert_int_equal(table_merge(fixture->table, entry, &block, origin, NULL), STATUS_OK);
}

static inline void key_raise(struct fixture *fixture, unsigned i, uint64_t by)
{
    element_put(fixture, key_of(i), 0, state_of(fixture->table, i).value + by, CHANGE_FROM_CLIENT);
}

static inline void key_delete(struct fixture *fixture, unsigned i)
{
    const uint64_t generation = state_of(fixture->table, i).generation + 1;
    struct entry *entry = table_find(fixture->table, key_of(i));

    if (entry == NULL) {
        entry = table_tombstone(fixture->table, key_of(i));
    }
    assert_int_equal(table_delete(fixture->table, &entry, table_hash(fixture->table, key_of(i)),
                                  deadline_of(key_of(i)), (uint32_t)generation, CHANGE_FROM_CLIENT),
                     STATUS_OK);
}

/* Many keys with whole blocks: more than a group. */
static inline void bulk_write(struct fixture *fixture, unsigned keys)
{
    for (unsigned i = 0; i < keys; i++) {
        char name[16];
        const int size = snprintf(name, sizeof name, "x%04u", i);
        struct entry *entry = NULL;
        uint64_t values[BLOCK_ELEMENTS];
        const struct block block = { .values = values, .count = BLOCK_ELEMENTS, .width = 8 };

        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            values[o] = random_next(&fixture->random) | 1;
        }
        assert_int_equal(table_obtain(fixture->table,
                                      (struct bytes){ (const uint8_t *)name, (size_t)size },
                                      TABLE_DATA, &entry),
                         STATUS_OK);
        assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_CLIENT, NULL),
                         STATUS_OK);
    }
}

/* The end of a turn. Returns the ticket of whoever wrote in it. */
static inline uint64_t turn(struct fixture *fixture)
{
    journal_note(fixture->journal, table_changes(fixture->table));
    table_turn_end(fixture->table);
    return journal_ticket(fixture->journal);
}

/* The disk. */

static inline struct file *file_find(struct fixture *fixture, struct disk_file file)
{
    for (size_t i = 0; i < fixture->files_count; i++) {
        if (fixture->files[i].file.number == file.number
            && fixture->files[i].file.kind == file.kind) {
            return &fixture->files[i];
        }
    }
    return NULL;
}

static inline bool file_is_there(struct fixture *fixture, enum disk_file_kind kind, uint64_t number)
{
    return file_find(fixture, (struct disk_file){ .number = number, .kind = (uint8_t)kind })
           != NULL;
}

static inline void file_free(struct fixture *fixture, struct file *file)
{
    if (fixture->space != SIZE_MAX) {
        fixture->space += file->size;
    }
    free(file->bytes);
    free(file->synced);
    *file = fixture->files[--fixture->files_count];
}

static inline void file_remove(struct fixture *fixture, struct disk_file file)
{
    struct file *found = file_find(fixture, file);

    if (found != NULL) {
        file_free(fixture, found);
    }
}

static inline void file_create(struct fixture *fixture, struct disk_file file)
{
    file_remove(fixture, file);
    assert_true(fixture->files_count < FILES);
    fixture->files[fixture->files_count++] = (struct file){ .file = file,
                                                            .bytes = calloc(1, FILE_BYTES),
                                                            .synced = calloc(1, FILE_BYTES) };
}

/* Let a file be so long. False: there is no room. */
static inline bool file_grow(struct fixture *fixture, struct file *file, size_t size)
{
    assert_true(size <= FILE_BYTES);
    if (size > file->size && fixture->space != SIZE_MAX) {
        if (size - file->size > fixture->space) {
            return false;
        }
        fixture->space -= size - file->size;
    }
    file->size = size > file->size ? size : file->size;
    return true;
}

/* A sync that failed: some of it is there, and what is not never will be. */
static inline void file_tear(struct fixture *fixture, struct file *file)
{
    for (size_t at = 0; at < file->size; at += SECTOR) {
        if (random_below(&fixture->random, 2) == 0) {
            memcpy(file->synced + at, file->bytes + at, SECTOR);
        }
    }
}

static inline uint8_t write_perform(struct fixture *fixture, const struct disk_operation *operation,
                                    struct file *file, bool fails)
{
    const size_t part = fails ? random_below(&fixture->random, operation->size + 1) : 0;

    assert_false(file->is_broken);
    assert_true(file->file.kind == DISK_DRAFT || operation->offset + operation->size <= file->size);
    assert_true(operation->size <= JOURNAL_GROUP_BYTES);
    if (!file_grow(fixture, file, operation->offset + operation->size)) {
        return DISK_FULL;
    }
    memcpy(file->bytes + operation->offset, operation->from, fails ? part : operation->size);
    if (fails) {
        file->is_broken = true;
        file_tear(fixture, file);
    } else if (operation->is_synced) {
        memcpy(file->synced, file->bytes, file->size);
    }
    return DISK_DONE;
}

static inline uint8_t extend_perform(struct fixture *fixture,
                                     const struct disk_operation *operation, struct file *file,
                                     bool fails)
{
    assert_false(file->is_broken);
    assert_true(operation->offset <= file->size);
    if (fails) {
        file->is_broken = fixture->fails_as != DISK_FULL;
        return DISK_DONE;
    }
    if (!file_grow(fixture, file, operation->offset + operation->size)) {
        return DISK_FULL;
    }
    memset(file->bytes + operation->offset, 0, operation->size);
    memcpy(file->synced, file->bytes, file->size);
    return DISK_DONE;
}

static inline void publish_perform(struct fixture *fixture, struct file *file)
{
    const struct disk_file named = { .number = file->file.number, .kind = DISK_SNAPSHOT };

    assert_memory_equal(file->bytes, file->synced, file->size);
    file_remove(fixture, named);
    file_find(fixture, (struct disk_file){ .number = named.number, .kind = DISK_DRAFT })->file =
        named;
}

/* Do what is asked, or fail at it. */
static inline uint8_t verb_perform(struct fixture *fixture, const struct disk_operation *operation,
                                   bool fails)
{
    struct file *file = file_find(fixture, operation->file);

    switch (operation->verb) {
    case DISK_CREATE:
        if (!fails) {
            file_create(fixture, operation->file);
        }
        return DISK_DONE;
    case DISK_EXTEND: return extend_perform(fixture, operation, file, fails);
    case DISK_WRITE: return write_perform(fixture, operation, file, fails);
    case DISK_SYNC:
        assert_false(file->is_broken);
        file->is_broken = fails;
        if (fails) {
            file_tear(fixture, file);
        } else {
            memcpy(file->synced, file->bytes, file->size);
        }
        return DISK_DONE;
    case DISK_PUBLISH:
        if (!fails || random_below(&fixture->random, 2) == 0) {
            publish_perform(fixture, file);
        }
        return DISK_DONE;
    case DISK_REMOVE:
        if (!fails) {
            file_remove(fixture, operation->file);
        }
        return DISK_DONE;
    default: assert_int_equal(operation->verb, DISK_CLOSE); return DISK_DONE;
    }
}

static inline struct disk_result perform(struct fixture *fixture,
                                         const struct disk_operation *operation)
{
    const bool counts = (fixture->fails_verb == VERBS || fixture->fails_verb == operation->verb)
                        && operation->verb != DISK_CLOSE;
    bool fails = false;
    uint8_t outcome;

    fixture->last = *operation;
    fixture->verbs[operation->verb]++;
    if (counts && fixture->fails_in > 0 && --fixture->fails_in == 0) {
        fails = true;
        fixture->fails_in = fixture->fails_on ? 1 : 0;
    }
    outcome = verb_perform(fixture, operation, fails);
    outcome = fails ? fixture->fails_as : outcome;
    return (struct disk_result){ .outcome = outcome, .error = outcome == DISK_DONE ? 0 : 5 };
}

static inline void fail_at(struct fixture *fixture, uint8_t verb, unsigned nth,
                           enum disk_outcome as)
{
    fixture->fails_verb = verb;
    fixture->fails_in = nth;
    fixture->fails_as = (uint8_t)as;
}

/* Whoever waits for what is kept now has been told so. */
static inline void waiters_tell(struct fixture *fixture)
{
    size_t left = 0;

    for (size_t i = 0; i < fixture->waiters_count; i++) {
        const struct waiter *waiter = &fixture->waiters[i];

        if (waiter->ticket > journal_kept(fixture->journal)) {
            fixture->waiters[left++] = *waiter;
        } else if (state_order(fixture->kept[waiter->key], waiter->state) < 0) {
            fixture->kept[waiter->key] = waiter->state;
        }
    }
    fixture->waiters_count = left;
}

/* One turn of writes of any kind. */
static inline void turn_random(struct fixture *fixture)
{
    const unsigned count = (unsigned)random_below(&fixture->random, 4);

    for (unsigned n = 0; n < count; n++) {
        const unsigned i = (unsigned)random_below(&fixture->random, KEYS);
        struct waiter *waiter = &fixture->waiters[fixture->waiters_count++];

        if (random_below(&fixture->random, 5) == 0) {
            key_delete(fixture, i);
        } else {
            key_raise(fixture, i, 1 + random_below(&fixture->random, 1000));
        }
        *waiter = (struct waiter){ .key = i, .state = state_of(fixture->table, i) };
        assert_true(fixture->waiters_count < WAITERS);
    }
    (void)turn(fixture);
    for (unsigned n = 0; n < count; n++) {
        fixture->waiters[fixture->waiters_count - 1 - n].ticket = journal_ticket(fixture->journal);
    }
}

/* One operation. False: there is none. */
static inline bool step(struct fixture *fixture)
{
    struct disk_operation operation;
    struct disk_operation other;

    if (!journal_next(fixture->journal, fixture->now, &operation)) {
        return false;
    }
    assert_false(journal_next(fixture->journal, fixture->now, &other));
    assert_true(journal_due_us(fixture->journal) == UINT64_MAX);
    fixture->now.mono_us += 10;
    if (fixture->is_eventful && random_below(&fixture->random, 3) == 0) {
        turn_random(fixture); /* while it is under way */
    }
    journal_done(fixture->journal, fixture->now, perform(fixture, &operation));
    journal_audit(fixture->journal);
    waiters_tell(fixture);
    return true;
}

static inline void settle(struct fixture *fixture)
{
    unsigned steps = 0;

    while (step(fixture)) {
        assert_true(++steps < 100000);
    }
    assert_true(journal_due_us(fixture->journal) > fixture->now.mono_us);
}

static inline void pass(struct fixture *fixture, uint64_t us)
{
    fixture->now.mono_us += us;
}

/* Lives. */

static inline void journal_begin(struct fixture *fixture)
{
    struct disk_found found[FILES];

    for (size_t i = 0; i < fixture->files_count; i++) {
        found[i] = (struct disk_found){ fixture->files[i].file, fixture->files[i].size };
    }
    fixture->options.table = fixture->table;
    fixture->options.old = found;
    fixture->options.old_count = fixture->files_count;
    fixture->options.number = fixture->report.next_number;
    fixture->options.sequence = fixture->report.next_sequence;
    fixture->options.snapshot_number = fixture->report.snapshot_number;
    fixture->options.wants_snapshot = fixture->report.damaged > 0;
    assert_int_equal(journal_create(&fixture->options, &fixture->journal), STATUS_OK);
    fixture->options.old = NULL;
    fixture->waiters_count = 0;
}

static inline int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .fails_verb = VERBS,
                                .space = SIZE_MAX,
                                .now = { .mono_us = 5000000, .unix_s = 1790000000 },
                                .report = { .next_number = 1, .next_sequence = 1 } };
    random_seed(&fixture.random, 13, 0);
    fixture.table = table_make(&fixture.table_mem);
    fixture.options = (struct journal_options){ .mem = &fixture.mem,
                                                .directory_id = ID,
                                                .snapshot_bytes_min = 64 << 10,
                                                .extend_bytes = 32 << 10,
                                                .reserve_bytes = 8 << 10,
                                                .sync_interval_us = 1000000,
                                                .durability = JOURNAL_COMMIT };
    journal_begin(&fixture);
    *state = &fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    journal_free(fixture->journal);
    table_free(fixture->table);
    while (fixture->files_count > 0) {
        fixture->space = SIZE_MAX;
        file_free(fixture, &fixture->files[0]);
    }
    return fixture->mem.used_bytes == 0 && fixture->table_mem.used_bytes == 0 ? 0 : -1;
}

/* Begin anew with other options. */
static inline void restart_with(struct fixture *fixture, enum journal_durability durability)
{
    journal_free(fixture->journal);
    fixture->options.durability = (uint8_t)durability;
    journal_begin(fixture);
}

/* Of what was not synced some sectors are there. */
static inline void machine_crash(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->files_count; i++) {
        struct file *file = &fixture->files[i];

        if (!file->is_broken) {
            file_tear(fixture, file);
        }
        memcpy(file->bytes, file->synced, file->size);
    }
}

static inline struct disk_result read_perform(struct fixture *fixture,
                                              const struct disk_operation *operation)
{
    const struct file *file = file_find(fixture, operation->file);
    size_t size;

    if (operation->verb != DISK_READ) {
        return (struct disk_result){ .outcome = DISK_DONE };
    }
    size = file->size - operation->offset;
    size = size < operation->size ? size : operation->size;
    memcpy(operation->to, file->bytes + operation->offset, size);
    return (struct disk_result){ .size = size, .outcome = DISK_DONE };
}

/* Load a table from the directory as it is. */
static inline struct table *load(struct fixture *fixture)
{
    struct disk_found found[FILES];
    struct table *table = table_make(&fixture->table_mem);
    const struct recover_options options = { .mem = &fixture->table_mem,
                                             .table = table,
                                             .directory_id = ID,
                                             .files = found,
                                             .files_count = fixture->files_count };
    struct recover *recover;
    struct disk_operation operation;

    for (size_t i = 0; i < fixture->files_count; i++) {
        found[i] = (struct disk_found){ fixture->files[i].file, fixture->files[i].size };
    }
    assert_int_equal(recover_create(&options, &recover), STATUS_OK);
    while (recover_next(recover, &operation)) {
        recover_done(recover, read_perform(fixture, &operation));
    }
    assert_int_equal(recover_status(recover), STATUS_OK);
    fixture->report = *recover_report(recover);
    recover_free(recover);
    return table;
}

/* What was kept is there, and nothing that never was. */
static inline void loaded_check(struct fixture *fixture, const struct table *loaded)
{
    assert_int_equal(fixture->report.damaged, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct state state = state_of(loaded, i);

        assert_true(state_order(state, fixture->kept[i]) >= 0);
        assert_true(state_order(state, state_of(fixture->table, i)) <= 0);
    }
}

static inline void images_check(struct fixture *fixture)
{
    struct table *loaded = load(fixture);

    loaded_check(fixture, loaded);
    table_free(loaded);
}

/* The process or the machine ends, and all begins anew. */
static inline void crash(struct fixture *fixture, bool is_machine)
{
    struct table *loaded;

    if (is_machine) {
        machine_crash(fixture);
    }
    loaded = load(fixture);
    loaded_check(fixture, loaded);
    journal_free(fixture->journal);
    table_free(fixture->table);
    fixture->table = loaded;
    for (size_t i = 0; i < fixture->files_count; i++) {
        fixture->files[i].is_broken = false;
        memcpy(fixture->files[i].synced, fixture->files[i].bytes, fixture->files[i].size);
    }
    journal_begin(fixture);
}

/* The value that a load finds of a key. */
static inline uint64_t loaded_value(struct fixture *fixture, unsigned i)
{
    struct table *loaded = load(fixture);
    const uint64_t value = state_of(loaded, i).value;

    table_free(loaded);
    return value;
}

/* Write a key and wait for it. */
static inline void key_keep(struct fixture *fixture, unsigned i)
{
    uint64_t ticket;

    key_raise(fixture, i, 1);
    ticket = turn(fixture);
    settle(fixture);
    assert_true(journal_kept(fixture->journal) >= ticket);
}

#endif /* UNIT_JOURNAL_FIXTURE_H */
