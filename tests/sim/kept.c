#include "sim/kept.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ended.h"
#include "sim/ledger.h"
#include "sim/red.h"

#define SLICE   64
#define NO_ONE  UINT64_MAX /* ticket of what waits for one */
#define DELETED UINT64_C(0x64656c65746564)

/* One element, or a deletion. */
struct record {
    uint64_t hash; /* of the key */
    uint64_t index;
    uint64_t value;
    uint64_t ticket;
    uint64_t at_us; /* when it was acknowledged */
    uint32_t generation;
    bool is_deletion;
};

struct records {
    struct record *list;
    size_t count;
    size_t room;
};

struct kept {
    struct records waiting; /* in the order of their tickets, from `first` on */
    size_t first;
    struct records acknowledged;
    struct ledger places;    /* name of a record: 1 + its place in `acknowledged` */
    struct ledger had;       /* name of a record: the greatest value there ever was */
    struct ledger deadlines; /* hash of a key: 1 + the minute at which it ends */
    uint32_t minute;         /* up to which all may have ended */
};

struct kept *kept_create(void)
{
    struct kept *kept = calloc(1, sizeof *kept);

    assert(kept != NULL);
    return kept;
}

void kept_free(struct kept *kept)
{
    if (kept != NULL) {
        free(kept->waiting.list);
        free(kept->acknowledged.list);
        ledger_clear(&kept->places);
        ledger_clear(&kept->had);
        ledger_clear(&kept->deadlines);
        free(kept);
    }
}

static struct record *records_add(struct records *records, const struct record *record)
{
    if (records->count == records->room) {
        records->room = records->room * 2 + SLICE;
        records->list = realloc(records->list, records->room * sizeof *records->list);
        assert(records->list != NULL);
    }
    records->list[records->count] = *record;
    return &records->list[records->count++];
}

static uint64_t name_of(const struct record *record)
{
    const uint64_t life = hash_mix(record->hash, record->generation);

    return hash_mix(life, record->is_deletion ? DELETED : record->index);
}

/* What comes in. */

static void wait_for(struct kept *kept, const struct record *record)
{
    const uint64_t name = name_of(record);

    if (record->value > ledger_get(&kept->had, name)) {
        ledger_set(&kept->had, name, record->value);
    }
    (void)records_add(&kept->waiting, record);
}

static void deadline_learn(struct kept *kept, uint64_t hash, struct bytes key)
{
    const uint32_t deadline = ended_deadline(key);

    if (deadline != ENDED_NEVER) {
        ledger_set(&kept->deadlines, hash, UINT64_C(1) + deadline);
    }
}

void kept_asked(struct kept *kept, const struct table *table, struct bytes key, uint64_t index,
                uint64_t value)
{
    const struct entry *entry = table_find(table, key);

    if (entry != NULL && value > 0) {
        const struct record record = { .hash = entry_hash(table, entry),
                                       .index = index,
                                       .value = value,
                                       .ticket = NO_ONE,
                                       .generation = entry_generation(entry) };

        wait_for(kept, &record);
    }
}

static void change_note(struct kept *kept, const struct table *table, const struct change *change)
{
    const struct vector *vector = entry_vector(change->entry);
    struct record record = { .ticket = NO_ONE, .generation = entry_generation(change->entry) };
    struct block_room room;
    struct block block;

    if (entry_deleted(change->entry)) {
        record.hash = entry_deleted_hash(change->entry);
        record.is_deletion = true;
        record.value = 1;
        wait_for(kept, &record);
        return;
    }
    record.hash = entry_hash(table, change->entry);
    deadline_learn(kept, record.hash, entry_key(change->entry));
    block = vector_block(vector, vector_seek(vector, change->raised.number), &room);
    for (unsigned o = mark_next(&change->raised, 0); o < BLOCK_ELEMENTS;
         o = mark_next(&change->raised, o + 1)) {
        record.index = change->raised.number << 8 | o;
        record.value = block_get(&block, o);
        wait_for(kept, &record);
    }
}

void kept_note(struct kept *kept, const struct table *table, uint64_t ticket, uint32_t minute)
{
    const struct changes changes = table_changes(table);

    for (size_t i = 0; i < changes.count; i++) {
        const struct change *change = &changes.list[i];

        if (!change->dropped && !mark_empty(&change->raised) && !entry_dropped(change->entry)
            && entry_set(change->entry) == TABLE_DATA) {
            change_note(kept, table, change);
        }
    }
    for (size_t i = kept->waiting.count;
         i > kept->first && kept->waiting.list[i - 1].ticket == NO_ONE; i--) {
        kept->waiting.list[i - 1].ticket = ticket;
    }
    kept->minute = minute > kept->minute ? minute : kept->minute;
}

/* What is acknowledged. */

static void acknowledge(struct kept *kept, const struct record *record, uint64_t now_us)
{
    const uint64_t name = name_of(record);
    const uint64_t place = ledger_get(&kept->places, name);
    struct record *at;

    if (place == 0) {
        at = records_add(&kept->acknowledged, record);
        at->at_us = now_us;
        ledger_set(&kept->places, name, kept->acknowledged.count);
        return;
    }
    at = &kept->acknowledged.list[place - 1];
    if (record->value > at->value) {
        at->value = record->value;
        at->at_us = now_us;
    }
}

void kept_until(struct kept *kept, uint64_t ticket, uint64_t now_us)
{
    while (kept_waits(kept) && kept->waiting.list[kept->first].ticket <= ticket) {
        acknowledge(kept, &kept->waiting.list[kept->first++], now_us);
    }
    if (!kept_waits(kept)) {
        kept->waiting.count = 0;
        kept->first = 0;
    }
}

bool kept_waits(const struct kept *kept)
{
    return kept->first < kept->waiting.count;
}

static void record_remove(struct kept *kept, size_t i)
{
    struct records *records = &kept->acknowledged;

    ledger_set(&kept->places, name_of(&records->list[i]), 0);
    records->count--;
    if (i < records->count) {
        records->list[i] = records->list[records->count];
        ledger_set(&kept->places, name_of(&records->list[i]), i + 1);
    }
}

void kept_end(struct kept *kept, uint64_t synced_us)
{
    kept->waiting.count = 0;
    kept->first = 0;
    for (size_t i = kept->acknowledged.count; i > 0; i--) {
        if (kept->acknowledged.list[i - 1].at_us >= synced_us) {
            record_remove(kept, i - 1);
        }
    }
}

static void records_copy(struct kept *to, const struct kept *from)
{
    for (size_t i = 0; i < from->acknowledged.count; i++) {
        acknowledge(to, &from->acknowledged.list[i], from->acknowledged.list[i].at_us);
    }
}

struct kept *kept_copy(const struct kept *kept)
{
    struct kept *copy = kept_create();

    records_copy(copy, kept);
    return copy;
}

void kept_restore(struct kept *kept, const struct kept *copy)
{
    kept->acknowledged.count = 0;
    ledger_clear(&kept->places);
    if (copy != NULL) {
        records_copy(kept, copy);
    }
}

/* What is loaded. */

static bool is_there(const struct table *table, const struct record *record)
{
    const struct entry *entry = table_find_hash(table, TABLE_DATA, record->hash);

    if (entry == NULL || entry_generation(entry) != record->generation) {
        return entry != NULL && entry_generation(entry) > record->generation;
    }
    return record->is_deletion
           || (!entry_deleted(entry)
               && vector_get(entry_vector(entry), record->index) >= record->value);
}

static bool may_have_ended(const struct kept *kept, const struct record *record)
{
    const uint64_t deadline = ledger_get(&kept->deadlines, record->hash);

    return deadline != 0 && deadline - 1 <= kept->minute;
}

static void was_had(const struct kept *kept, const struct record *record, uint32_t machine)
{
    const uint64_t had = ledger_get(&kept->had, name_of(record));

    if (record->value > had) {
        red("invented",
            "machine %u loads %llu for element %llu of key %016llx in generation %u, which had at "
            "most %llu",
            machine, (unsigned long long)record->value, (unsigned long long)record->index,
            (unsigned long long)record->hash, record->generation, (unsigned long long)had);
    }
}

static void entry_was_had(const struct kept *kept, const struct table *table,
                          const struct entry *entry, uint32_t machine)
{
    const struct vector *vector = entry_vector(entry);
    struct record record = { .hash = entry_hash(table, entry),
                             .generation = entry_generation(entry),
                             .is_deletion = entry_deleted(entry),
                             .value = 1 };

    if (record.is_deletion) {
        was_had(kept, &record, machine);
        return;
    }
    for (size_t i = 0; i < vector_blocks(vector); i++) {
        struct block_room room;
        const struct block block = vector_block(vector, i, &room);

        for (unsigned j = 0; j < block.count; j++) {
            record.index = block.number << 8 | block_offset(&block, j);
            record.value = block_value(&block, j);
            was_had(kept, &record, machine);
        }
    }
}

static void all_was_had(const struct kept *kept, const struct table *table, uint32_t machine)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[SLICE];
    uint64_t from = 0;
    size_t count;

    do {
        count = table_slice_hash(table, all, from, entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            entry_was_had(kept, table, entries[i], machine);
            from = entry_hash(table, entries[i]) + 1;
        }
    } while (count == SLICE);
}

size_t kept_loaded(struct kept *kept, const struct table *table,
                   const struct recover_report *report, bool is_rotten, uint32_t machine)
{
    size_t missing = 0;

    for (size_t i = kept->acknowledged.count; i > 0; i--) {
        const struct record *record = &kept->acknowledged.list[i - 1];

        if (is_there(table, record)) {
            continue;
        }
        if (!may_have_ended(kept, record)) {
            missing++;
            if (!is_rotten) {
                red("lost",
                    "machine %u has acknowledged %s %llu = %llu of key %016llx in generation %u",
                    machine, record->is_deletion ? "the deletion" : "element",
                    (unsigned long long)record->index, (unsigned long long)record->value,
                    (unsigned long long)record->hash, record->generation);
            }
        }
        record_remove(kept, i - 1);
    }
    if (missing > 0 && report->damaged == 0 && report->torn_bytes == 0) {
        red("silence", "machine %u misses %zu records and says that all is well", machine, missing);
    }
    all_was_had(kept, table, machine);
    return missing;
}
