#include "sim/storage.h"

#include "base/hash.h"
#include "disk/journal.h"
#include "disk/recover.h"
#include "node/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/disk.h"
#include "sim/ended.h"
#include "sim/kept.h"
#include "sim/machine.h"
#include "sim/red.h"
#include "sim/world.h"

#define PURPOSE   402
#define FILES_MAX 96
#define AWAY_US   (2 * WORLD_S)       /* until a machine that ended is back */
#define AGAIN_US  (100 * WORLD_MS)    /* after a read that failed */
#define AGAIN_OF  8                   /* loads of which one is checked by loading again */
#define PEERS_OF  64                  /* turns of which one tells whom the node knows */
#define FOREIGN   (UINT64_C(1) << 32) /* numbers that no file has */
#define NEVER     UINT64_MAX

/* Small, so that logs are extended and snapshots made all the time. */
#define SNAPSHOT_BYTES_MIN (UINT64_C(64) << 10)
#define EXTEND_BYTES       (UINT64_C(64) << 10)
#define RESERVE_BYTES      (UINT64_C(16) << 10)
#define SYNC_INTERVAL_US   WORLD_S

struct storage {
    struct random random;
    struct storage_faults faults;
    struct disk *disk;
    struct disk *saved; /* NULL: none */
    struct kept *kept;
    struct kept *saved_kept;
    struct mem mem;
    struct recover *recover; /* NULL: nothing is being loaded */
    struct table *loading;
    struct disk_found found[FILES_MAX];
    struct journal *journal; /* NULL: the machine is down or loading */
    uint64_t directory_id;
    uint64_t due_us;     /* of the next event */
    uint64_t done_us;    /* the operation under way is done */
    uint64_t crash_us;   /* it ends */
    uint64_t restart_us; /* it is back */
    uint64_t begun_us;   /* the operation under way */
    uint64_t synced_us;  /* all that was acknowledged up to here is on the medium */
    uint64_t kept_ticket;
    struct disk_operation operation; /* under way */
    char asked_key[ENDED_KEY_MAX];   /* what a client asked last; empty: nothing */
    uint64_t asked_index;
    uint64_t asked_value;
    struct storage_figures figures;
    uint8_t durability;
    uint8_t crash_how; /* 0: in order; 1, 2: as a process */
    bool has_failed;   /* in this life, an operation */
    bool is_rotten;    /* something may be missing that the disk lost by itself */
    bool is_saved_rotten;
    bool is_stopping;
};

static struct storage *of(const struct world *world, uint32_t machine)
{
    return world->machines[machine].storage;
}

static bool falls(struct storage *storage, unsigned permille)
{
    return permille > 0 && random_below(&storage->random, 1000) < permille;
}

struct storage *storage_create(const struct world *world, uint32_t machine)
{
    struct storage *storage = calloc(1, sizeof *storage);
    const uint64_t seed = hash_mix(world->options.seed, machine);
    uint64_t of_10;

    assert(storage != NULL);
    random_seed(&storage->random, seed, PURPOSE);
    storage->disk = disk_create(seed);
    storage->kept = kept_create();
    storage->directory_id = random_next(&storage->random);
    of_10 = random_below(&storage->random, 10);
    storage->durability = world->options.always_commit || of_10 < 7 ? JOURNAL_COMMIT
                          : of_10 < 9                               ? JOURNAL_INTERVAL
                                                                    : JOURNAL_NONE;
    storage->due_us = NEVER;
    storage->done_us = NEVER;
    storage->crash_us = NEVER;
    storage->restart_us = NEVER;
    return storage;
}

static void disk_fails(struct storage *storage, const struct storage_faults *faults)
{
    disk_set_faults(storage->disk,
                    &(struct disk_faults){ .stall_permille = faults->stall_permille,
                                           .broken_permille = faults->broken_permille,
                                           .full_permille = faults->full_permille });
}

void storage_set_faults(struct world *world, const struct storage_faults *faults)
{
    for (uint32_t i = 0; i < world->count; i++) {
        if (of(world, i) != NULL) {
            of(world, i)->faults = *faults;
            of(world, i)->crash_us = NEVER;
            disk_fails(of(world, i), faults);
        }
    }
}

/* Events. */

static void plan(struct world *world, uint32_t machine, uint64_t at_us)
{
    struct storage *storage = of(world, machine);

    at_us = at_us <= world->now_us ? world->now_us + 1 : at_us;
    if (at_us < storage->due_us) {
        storage->due_us = at_us;
        schedule_push(&world->schedule,
                      (struct event){ .at_us = at_us, .machine = machine, .kind = EVENT_DISK });
    }
}

static uint64_t least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static void plan_next(struct world *world, uint32_t machine)
{
    const struct storage *storage = of(world, machine);
    const uint64_t at_us = least(storage->done_us, least(storage->crash_us, storage->restart_us));

    if (at_us != NEVER) {
        plan(world, machine, at_us);
    }
}

/* Operations. */

static bool writes(const struct disk_operation *operation)
{
    return operation->verb == DISK_EXTEND || operation->verb == DISK_WRITE
           || operation->verb == DISK_SYNC || operation->verb == DISK_PUBLISH;
}

static void operation_check(const struct storage *storage, uint32_t machine,
                            const struct disk_operation *operation)
{
    if (writes(operation) && disk_has_failed(storage->disk, operation->file)) {
        red("failed", "machine %u does %u to file %llu, of which a write or a sync has failed",
            machine, operation->verb, (unsigned long long)operation->file.number);
    }
    if (operation->verb == DISK_WRITE && operation->size > JOURNAL_GROUP_BYTES) {
        red("work", "machine %u writes %zu bytes at once", machine, operation->size);
    }
}

static void begin(struct world *world, uint32_t machine, const struct disk_operation *operation)
{
    struct storage *storage = of(world, machine);
    uint64_t took_us;

    operation_check(storage, machine, operation);
    took_us = disk_begin(storage->disk, operation);
    storage->operation = *operation;
    storage->begun_us = world->now_us;
    storage->done_us = world->now_us + took_us;
    if (storage->crash_us == NEVER && falls(storage, storage->faults.crash_permille)) {
        storage->crash_us = world->now_us + random_below(&storage->random, 2 * took_us);
        storage->crash_how = (uint8_t)random_below(&storage->random, 8);
    }
    plan_next(world, machine);
}

/* What the journal says is kept. */
static void acknowledge(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const uint64_t kept = journal_kept(storage->journal);

    if (kept < storage->kept_ticket || kept > journal_ticket(storage->journal)) {
        red("ticket", "machine %u kept up to %llu, then up to %llu, of %llu", machine,
            (unsigned long long)storage->kept_ticket, (unsigned long long)kept,
            (unsigned long long)journal_ticket(storage->journal));
    }
    storage->kept_ticket = kept;
    kept_until(storage->kept, kept, world->now_us);
}

/* In a life in which nothing failed, a sync of a log has kept all that was written before it. */
static void sync_learn(struct storage *storage, const struct disk_result *result)
{
    const struct disk_operation *operation = &storage->operation;

    if (result->outcome != DISK_DONE) {
        storage->has_failed = storage->has_failed || result->outcome == DISK_BROKEN;
        return;
    }
    if (storage->durability == JOURNAL_INTERVAL && operation->file.kind == DISK_LOG
        && !storage->has_failed
        && (operation->verb == DISK_SYNC
            || (operation->verb == DISK_WRITE && operation->is_synced))) {
        storage->synced_us = storage->begun_us;
    }
}

/* Loading. */

static enum status recover_begin(struct storage *storage, struct table *table, size_t count)
{
    const struct recover_options options = { .mem = &storage->mem,
                                             .table = table,
                                             .directory_id = storage->directory_id,
                                             .files = storage->found,
                                             .files_count = count };

    return recover_create(&options, &storage->recover);
}

void storage_start(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const size_t count = disk_list(storage->disk, storage->found, FILES_MAX);

    assert(storage->recover == NULL && storage->journal == NULL);
    storage->restart_us = NEVER;
    storage->crash_us = NEVER;
    storage->done_us = NEVER;
    storage->is_stopping = false;
    storage->loading = machine_table(world, machine);
    if (recover_begin(storage, storage->loading, count) != STATUS_OK) {
        red("memory", "nothing to load with");
    }
    storage_go_on(world, machine);
}

static void load_end(struct storage *storage)
{
    recover_free(storage->recover);
    storage->recover = NULL;
    table_free(storage->loading);
    storage->loading = NULL;
}

/* Look at one file at once, under a number that is greater by `shift` than its own. Returns how
 * many frames passed. */
static uint64_t load_one(struct storage *storage, struct table *table, struct disk_found found,
                         uint64_t shift)
{
    const struct recover_options options = { .mem = &storage->mem,
                                             .table = table,
                                             .directory_id = storage->directory_id,
                                             .files = &found,
                                             .files_count = 1,
                                             .is_read_only = true };
    struct disk_operation operation;
    struct recover *recover;
    uint64_t frames;

    found.file.number += shift;
    if (recover_create(&options, &recover) != STATUS_OK) {
        red("memory", "nothing to load with");
    }
    while (recover_next(recover, &operation)) {
        operation.file.number -= shift;
        (void)disk_begin(storage->disk, &operation);
        recover_done(recover, disk_end(storage->disk));
    }
    frames = recover_report(recover)->frames;
    recover_free(recover);
    return frames;
}

/* The snapshot and the logs from it on, each by itself in any order, one of them twice. */
static void load_again(struct world *world, uint32_t machine, const struct recover_report *report)
{
    struct storage *storage = of(world, machine);
    struct table *table = machine_table(world, machine);
    struct disk_found found[FILES_MAX];
    const size_t count = disk_list(storage->disk, found, FILES_MAX);

    disk_fails(storage, &(struct storage_faults){ .crash_permille = 0 });
    for (size_t i = count; i > 0; i--) {
        const size_t k = random_below(&storage->random, i);
        const struct disk_found one = found[k];
        const bool is_loaded =
            one.file.kind == DISK_LOG
                ? one.file.number >= report->snapshot_number
                : one.file.kind == DISK_SNAPSHOT && one.file.number == report->snapshot_number;

        found[k] = found[i - 1];
        for (unsigned twice = 0; is_loaded && twice < (i == 1 ? 2 : 1); twice++) {
            (void)load_one(storage, table, one, 0);
        }
        if (load_one(storage, NULL, one, FOREIGN) > 0) {
            red("foreign", "frames of machine %u pass in another file", machine);
        }
    }
    disk_fails(storage, &storage->faults);
    if (table_root(table, TABLE_DATA) != table_root(storage->loading, TABLE_DATA)) {
        red("order", "machine %u loads other things when it loads files by themselves", machine);
    }
    table_free(table);
}

static void loaded_check(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const struct recover_report *report = recover_report(storage->recover);
    size_t missing;

    missing = kept_loaded(storage->kept, storage->loading, report, storage->is_rotten, machine);
    if (report->damaged > 0 && !storage->is_rotten) {
        red("wolf", "machine %u calls %s %llu damaged at %llu, and it is not", machine,
            report->damaged_file.kind == DISK_LOG ? "log" : "snapshot",
            (unsigned long long)report->damaged_file.number,
            (unsigned long long)report->damaged_offset);
    }
    if (report->damaged == 0 && random_below(&storage->random, AGAIN_OF) == 0) {
        load_again(world, machine, report);
    }
    storage->figures.loads++;
    storage->figures.damaged += report->damaged > 0;
    storage->figures.torn += report->torn_bytes > 0;
    storage->figures.missing += missing;
    storage->is_rotten = storage->is_rotten && report->damaged > 0;
}

static void journal_begin(struct world *world, uint32_t machine, struct table *table)
{
    struct storage *storage = of(world, machine);
    const struct recover_report *report = recover_report(storage->recover);
    const struct journal_options options = { .mem = &storage->mem,
                                             .table = table,
                                             .directory_id = storage->directory_id,
                                             .number = report->next_number,
                                             .sequence = report->next_sequence,
                                             .old = storage->found,
                                             .old_count = disk_list(storage->disk, storage->found,
                                                                    FILES_MAX),
                                             .snapshot_number = report->snapshot_number,
                                             .wants_snapshot = report->damaged > 0,
                                             .snapshot_bytes_min = SNAPSHOT_BYTES_MIN,
                                             .extend_bytes = EXTEND_BYTES,
                                             .reserve_bytes = RESERVE_BYTES,
                                             .sync_interval_us = SYNC_INTERVAL_US,
                                             .durability = storage->durability };

    if (journal_create(&options, &storage->journal) != STATUS_OK) {
        red("memory", "no journal");
    }
    storage->has_failed = false;
    storage->kept_ticket = 0;
    storage->synced_us = world->now_us;
}

/* A client that got no answer asks again. What it asks for may be there by now, and then it is
 * answered as soon as that is kept. */
static void ask_again(struct world *world, uint32_t machine)
{
    const struct storage *storage = of(world, machine);
    char key[ENDED_KEY_MAX];

    if (storage->asked_key[0] != '\0') {
        memcpy(key, storage->asked_key, sizeof key);
        (void)world_offer(world, machine, key, storage->asked_index, storage->asked_value);
    }
}

/* All is read: the machine is up from now on. */
static void loaded(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const enum status status = recover_status(storage->recover);
    struct table *table = storage->loading;

    if (status == STATUS_MEMORY) {
        red("memory", "machine %u cannot load all", machine);
    }
    if (status != STATUS_OK) {
        storage->figures.refused++; /* the process ends, and is started again */
        load_end(storage);
        disk_kill(storage->disk);
        kept_end(storage->kept, storage->durability == JOURNAL_COMMIT ? NEVER : storage->synced_us);
        storage->restart_us = world->now_us + AGAIN_US;
        plan(world, machine, storage->restart_us);
        return;
    }
    loaded_check(world, machine);
    journal_begin(world, machine, table);
    storage->loading = NULL;
    load_end(storage);
    machine_start(world, machine, table);
    machine_seed(world, machine);
    machine_finish(world, &world->machines[machine]);
    ask_again(world, machine);
}

/* Ends. */

void storage_save(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (storage == NULL) {
        return;
    }
    disk_free(storage->saved);
    kept_free(storage->saved_kept);
    storage->saved = disk_copy(storage->disk);
    storage->saved_kept = kept_copy(storage->kept);
    storage->is_saved_rotten = storage->is_rotten;
}

void storage_restore(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (storage == NULL) {
        return;
    }
    assert(storage->saved != NULL);
    disk_restore(storage->disk, storage->saved);
    kept_restore(storage->kept, storage->saved_kept);
    storage->is_rotten = storage->is_saved_rotten;
}

void storage_empty(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (storage == NULL) {
        return;
    }
    disk_restore(storage->disk, NULL);
    kept_restore(storage->kept, NULL);
    storage->is_rotten = false;
}

/* What happens to a directory while nobody runs on it. */
static void directory_change(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (falls(storage, storage->faults.rot_permille) && disk_rot(storage->disk)) {
        storage->is_rotten = true;
    }
    if (!falls(storage, storage->faults.lose_permille)) {
        return;
    }
    switch (random_below(&storage->random, 4)) {
    case 0: storage_empty(world, machine); break;
    case 1:
        if (storage->saved != NULL) {
            storage_restore(world, machine);
        }
        break;
    default: storage_save(world, machine); break;
    }
}

static void journal_end(struct world *world, uint32_t machine, bool was_busy)
{
    struct storage *storage = of(world, machine);
    const struct disk_result result = { .outcome = DISK_BROKEN };

    storage->figures.snapshots += journal_stats(storage->journal)->snapshots;
    storage->figures.failures += journal_stats(storage->journal)->failures;
    if (was_busy) {
        journal_done(storage->journal, world_moment(world, &world->machines[machine]), result);
    }
    journal_free(storage->journal);
    storage->journal = NULL;
}

void storage_end(struct world *world, uint32_t machine, enum storage_end how)
{
    struct storage *storage = of(world, machine);
    bool was_busy;
    bool loses;

    if (storage == NULL || (storage->journal == NULL && storage->recover == NULL)) {
        return;
    }
    was_busy = disk_is_busy(storage->disk);
    /* Of what a sync forgot nothing is left when the process ends. */
    loses = storage->durability == JOURNAL_NONE
            || (storage->durability == JOURNAL_INTERVAL
                && (how == STORAGE_POWER || storage->has_failed));
    if (how == STORAGE_POWER) {
        disk_cut_power(storage->disk);
        storage->figures.power_cuts++;
    } else {
        disk_kill(storage->disk);
        storage->figures.kills += !storage->is_stopping;
    }
    if (storage->recover != NULL) {
        load_end(storage);
    } else {
        journal_end(world, machine, was_busy);
    }
    kept_end(storage->kept, loses ? storage->synced_us : NEVER);
    storage->done_us = NEVER;
    storage->crash_us = NEVER;
    storage->due_us = NEVER;
    storage->is_stopping = false;
    directory_change(world, machine);
}

/* It ends, and is back after a while. */
static void goes(struct world *world, uint32_t machine, enum storage_end how)
{
    struct storage *storage = of(world, machine);

    storage_end(world, machine, how);
    world_kill(world, machine);
    storage->restart_us = world->now_us + random_below(&storage->random, AWAY_US);
    plan(world, machine, storage->restart_us);
}

static void crash(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    storage->crash_us = NEVER;
    if (storage->crash_how == 0 && storage->journal != NULL) {
        storage->is_stopping = true;
        journal_stop(storage->journal);
        machine_halt(world, machine);
        storage_go_on(world, machine);
    } else {
        goes(world, machine, storage->crash_how < 3 ? STORAGE_KILL : STORAGE_POWER);
    }
}

/* Keeping. */

void storage_asked(struct world *world, uint32_t machine, const char *key, uint64_t index,
                   uint64_t value)
{
    const struct bytes bytes = { (const uint8_t *)key, strlen(key) };

    struct storage *storage = of(world, machine);

    if (storage == NULL) {
        return;
    }
    kept_asked(storage->kept, world->machines[machine].table, bytes, index, value);
    snprintf(storage->asked_key, sizeof storage->asked_key, "%s", key);
    storage->asked_index = index;
    storage->asked_value = value;
}

static void peers_note(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    struct disk_peers peers = { .contact_s =
                                    world_moment(world, &world->machines[machine]).unix_s };

    for (uint32_t i = 0; i < world->options.nodes && peers.count < DISK_PEERS_MAX; i++) {
        if (i != machine && world_state(world, machine, i) == PEER_ALIVE) {
            peers.list[peers.count++] = world->machines[i].address;
        }
    }
    journal_note_peers(storage->journal, &peers);
}

void storage_note(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const struct machine *at = &world->machines[machine];

    if (storage == NULL) {
        return;
    }
    journal_note(storage->journal, table_changes(at->table));
    kept_note(storage->kept, at->table, journal_ticket(storage->journal), at->node->expiry.minute);
    acknowledge(world, machine);
    if (random_below(&storage->random, PEERS_OF) == 0) {
        peers_note(world, machine);
    }
}

static bool next_operation(struct world *world, uint32_t machine, struct disk_operation *operation)
{
    struct storage *storage = of(world, machine);

    if (storage->recover != NULL) {
        return recover_next(storage->recover, operation);
    }
    return storage->journal != NULL
           && journal_next(storage->journal, world_moment(world, &world->machines[machine]),
                           operation);
}

static void stopped(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (journal_health(storage->journal) == JOURNAL_FINE) {
        if (kept_waits(storage->kept)) {
            red("stop", "machine %u has stopped and has not kept all", machine);
        }
        storage->synced_us = world->now_us + 1;
    }
    storage->figures.stops++;
    goes(world, machine, STORAGE_KILL);
}

/* What is to happen without anything being done to it. */
static void wait_on(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const uint64_t offset_us = world->machines[machine].mono_offset_us;
    uint64_t due_us;

    if (storage->journal == NULL) {
        return;
    }
    due_us = journal_due_us(storage->journal);
    if (due_us != NEVER) {
        due_us = due_us < offset_us ? 0 : due_us - offset_us;
        if (due_us <= world->now_us) {
            red("due", "the journal of machine %u is due and has nothing to do", machine);
        }
        plan(world, machine, due_us);
    }
}

void storage_go_on(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    struct disk_operation operation;

    if (storage == NULL) {
        return;
    }
    if (disk_is_busy(storage->disk)) {
        if (next_operation(world, machine, &operation)) {
            red("one", "machine %u has two operations at once", machine);
        }
        return;
    }
    if (next_operation(world, machine, &operation)) {
        begin(world, machine, &operation);
    } else if (storage->recover != NULL) {
        loaded(world, machine);
    } else if (storage->is_stopping && journal_has_stopped(storage->journal)) {
        stopped(world, machine);
    } else {
        wait_on(world, machine);
    }
}

static void done(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);
    const struct disk_result result = disk_end(storage->disk);

    storage->done_us = NEVER;
    if (storage->recover != NULL) {
        recover_done(storage->recover, result);
        return;
    }
    sync_learn(storage, &result);
    journal_done(storage->journal, world_moment(world, &world->machines[machine]), result);
    journal_audit(storage->journal);
    acknowledge(world, machine);
}

void storage_event(struct world *world, uint32_t machine, uint64_t at_us)
{
    struct storage *storage = of(world, machine);

    if (at_us != storage->due_us) {
        return; /* it has changed its mind meanwhile */
    }
    storage->due_us = NEVER;
    if (world->now_us >= storage->crash_us) {
        crash(world, machine);
    } else if (world->now_us >= storage->restart_us) {
        world_restart(world, machine, true);
    } else if (world->now_us >= world->machines[machine].paused_us) {
        if (world->now_us >= storage->done_us) {
            done(world, machine);
        }
        storage_go_on(world, machine);
    } else {
        plan(world, machine, world->machines[machine].paused_us); /* the process sleeps */
        return;
    }
    plan_next(world, machine);
}

void storage_free(struct world *world, uint32_t machine)
{
    struct storage *storage = of(world, machine);

    if (storage == NULL) {
        return;
    }
    storage_end(world, machine, STORAGE_KILL);
    if (storage->mem.used_bytes != 0) {
        red("memory", "a journal left %llu bytes", (unsigned long long)storage->mem.used_bytes);
    }
    disk_free(storage->disk);
    disk_free(storage->saved);
    kept_free(storage->kept);
    kept_free(storage->saved_kept);
    free(storage);
}

bool storage_waits(const struct world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        if (of(world, i) != NULL && kept_waits(of(world, i)->kept)) {
            return true;
        }
    }
    return false;
}

struct storage_figures storage_figures(const struct world *world)
{
    struct storage_figures sum = { 0 };

    for (uint32_t i = 0; i < world->count; i++) {
        const struct storage *storage = of(world, i);

        if (storage == NULL) {
            continue;
        }
        sum.power_cuts += storage->figures.power_cuts;
        sum.kills += storage->figures.kills;
        sum.stops += storage->figures.stops;
        sum.loads += storage->figures.loads;
        sum.damaged += storage->figures.damaged;
        sum.torn += storage->figures.torn;
        sum.refused += storage->figures.refused;
        sum.missing += storage->figures.missing;
        sum.snapshots += storage->figures.snapshots;
        sum.failures += storage->figures.failures;
        sum.stalls += disk_stats(storage->disk)->stalls;
        sum.lies += disk_stats(storage->disk)->lies;
    }
    return sum;
}
