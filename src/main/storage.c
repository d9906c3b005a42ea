#include "main/storage.h"

#include "config/options.h"
#include "files/perform.h"
#include "files/worker.h"
#include "log/log.h"
#include "main/process.h"
#include "main/settings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE_PROGRESS_US UINT64_C(5000000) /* between two lines while it loads */
#define STORAGE_SLOT_BITS   60

/* How far ahead of the clock a start of an earlier life may lie: further ahead was a wrong clock,
 * and what that told peers they have forgotten or will refute. */
#define STORAGE_START_AHEAD_S UINT64_C(86400)

struct storage {
    struct storage_options options;
    struct journal_options kept; /* what people set of it */
    bool has_seeds;              /* others may have what is missing */
    char *path;
    struct mem mem; /* of recover and journal */
    struct directory *directory;
    struct identity identity;
    struct worker *worker;
    struct recover *recover; /* while it loads */
    struct recover_report report;
    struct journal *journal;    /* once it has */
    uint64_t began_us;          /* mono: to load */
    uint64_t asked_us;          /* mono: for what the disk is doing */
    uint64_t told_us;           /* mono: last line of progress */
    enum journal_health health; /* as told last */
};

/* -- loading -------------------------------------------------------------------------------- */

static void loaded_tell(const struct storage *storage, uint64_t now_us)
{
    const struct recover_report *report = &storage->report;

    log_event(storage->options.log, LOG_LEVEL_INFO, "loaded",
              log_string("directory", storage->path),
              log_number("keys", table_stats(storage->options.table).keys[TABLE_DATA]),
              log_number("bytes", report->bytes_read), log_number("frames", report->frames),
              log_number("torn_bytes", report->torn_bytes),
              log_number("ms", (now_us - storage->began_us) / 1000));
}

/* Somebody's else may be lost when the directory is cleared. */
static void foreign_tell(const struct storage *storage)
{
    const char *name = directory_foreign(storage->directory);

    if (name != NULL) {
        log_event(storage->options.log, LOG_LEVEL_WARN, "foreign_file",
                  log_string("directory", storage->path), log_string("name", name));
    }
}

static void damage_tell(const struct storage *storage)
{
    const struct recover_report *report = &storage->report;
    char name[FILES_NAME_MAX];

    files_name(report->damaged_file, name);
    log_event(storage->options.log, LOG_LEVEL_ERROR, "data_damaged",
              log_string("directory", storage->path), log_string("file", name),
              log_number("offset", report->damaged_offset), log_number("places", report->damaged),
              log_number("bytes", report->damaged_bytes),
              log_string("hint",
                         "all that passed its checksum was taken; other nodes are asked for "
                         "the rest"));
}

/* What is there cannot be all that was kept. Who alone has it must not go on as if it were. */
static enum status damage_judge(const struct storage *storage, struct fault *why)
{
    const struct recover_report *report = &storage->report;
    char name[FILES_NAME_MAX];

    if (report->damaged == 0 || report->peers.count > 0 || storage->has_seeds
        || storage->options.is_salvaging) {
        return STATUS_OK;
    }
    files_name(report->damaged_file, name);
    return fault_set(why, STATUS_CORRUPT,
                     "%s/%s is damaged at byte %" PRIu64
                     ", and no other node is known that could have what is missing: start with a "
                     "seed, or with --salvage to go on with what is left",
                     storage->path, name, report->damaged_offset);
}

/* Whose counts are lost in part must not be counted on with: peers may know more of them. */
static enum status slot_retire(struct storage *storage, struct fault *why)
{
    struct identity identity = storage->identity;
    const enum status status = process_random(&identity.slot, sizeof identity.slot, why);

    if (status != STATUS_OK) {
        return status;
    }
    identity.slot &= (UINT64_C(1) << STORAGE_SLOT_BITS) - 1;
    storage->identity = identity;
    return directory_save(storage->directory, &identity, why);
}

static enum status journal_begin(struct storage *storage, struct fault *why)
{
    size_t count;
    const struct disk_found *files = directory_files(storage->directory, &count);
    struct journal_options options = storage->kept;

    options.mem = &storage->mem;
    options.table = storage->options.table;
    options.directory_id = storage->identity.id;
    options.number = storage->report.next_number;
    options.sequence = storage->report.next_sequence;
    options.old = files;
    options.old_count = count;
    options.snapshot_number = storage->report.snapshot_number;
    options.wants_snapshot = storage->report.damaged > 0;
    if (journal_create(&options, &storage->journal) != STATUS_OK) {
        return fault_set(why, STATUS_MEMORY, "no memory to keep data with");
    }
    if (storage->report.peers.count > 0) {
        journal_note_peers(storage->journal, &storage->report.peers);
    }
    return STATUS_OK;
}

static void load_end(struct storage *storage)
{
    struct fault why = { .code = STATUS_OK };
    enum status status = recover_status(storage->recover);

    storage->report = *recover_report(storage->recover);
    recover_free(storage->recover);
    storage->recover = NULL;
    if (status == STATUS_MEMORY) {
        (void)fault_set(&why, status, "%s has more than fits into memory: raise max-memory",
                        storage->path);
    } else if (status != STATUS_OK) {
        (void)fault_set(&why, status, "%s cannot be read: %s", storage->path,
                        strerror(storage->report.error));
    } else {
        status = damage_judge(storage, &why);
    }
    if (status == STATUS_OK && storage->report.damaged > 0) {
        damage_tell(storage);
        status = slot_retire(storage, &why);
    }
    if (status == STATUS_OK) {
        status = journal_begin(storage, &why);
    }
    if (status == STATUS_OK) {
        foreign_tell(storage);
        loaded_tell(storage, storage->options.moment(storage->options.owner).mono_us);
    }
    storage->options.loaded(storage->options.owner, status, &why);
}

static void progress_tell(struct storage *storage, uint64_t now_us)
{
    const struct recover_report *report = recover_report(storage->recover);

    if (now_us - storage->told_us < STORAGE_PROGRESS_US) {
        return;
    }
    storage->told_us = now_us;
    log_event(storage->options.log, LOG_LEVEL_INFO, "loading",
              log_string("directory", storage->path), log_number("bytes", report->bytes_read),
              log_number("of", report->bytes_total));
}

/* -- keeping -------------------------------------------------------------------------------- */

static const char *health_text(enum journal_health health)
{
    switch (health) {
    case JOURNAL_FULL: return "no space";
    case JOURNAL_FAILING: return "failing";
    default: return "fine";
    }
}

static void health_tell(struct storage *storage)
{
    const enum journal_health health = journal_health(storage->journal);

    if (health == storage->health) {
        return;
    }
    storage->health = health;
    log_event(storage->options.log, health == JOURNAL_FINE ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
              "storage", log_string("directory", storage->path),
              log_string("state", health_text(health)),
              log_string("reason", health == JOURNAL_FINE
                                       ? "it is written again"
                                       : strerror(journal_stats(storage->journal)->error)));
}

static void storage_next(struct storage *storage, struct moment now)
{
    struct disk_operation operation;

    if (worker_is_busy(storage->worker)) {
        return;
    }
    if (storage->recover != NULL
            ? recover_next(storage->recover, &operation)
            : storage->journal != NULL && journal_next(storage->journal, now, &operation)) {
        storage->asked_us = now.mono_us;
        worker_submit(storage->worker, &operation);
    }
}

/* Somebody removed files: what they held is written anew, if the directory is still there. */
static void removed_restore(struct storage *storage)
{
    struct fault why;

    if (directory_save(storage->directory, &storage->identity, &why) == STATUS_OK) {
        journal_want_snapshot(storage->journal);
    }
}

static void storage_on_done(void *owner, struct disk_result result)
{
    struct storage *storage = owner;
    const struct moment now = storage->options.moment(storage->options.owner);

    if (storage->recover != NULL) {
        recover_done(storage->recover, result);
        progress_tell(storage, now.mono_us);
        if (recover_is_over(storage->recover)) {
            load_end(storage);
            return;
        }
    } else {
        journal_done(storage->journal, now, result);
        if (result.error == ENOENT) {
            removed_restore(storage);
        }
        health_tell(storage);
        storage->options.moved(storage->options.owner);
    }
    storage_next(storage, now);
}

/* -- for the daemon --------------------------------------------------------------------------- */

static enum status recover_begin(struct storage *storage, struct fault *why)
{
    struct recover_options options = { .mem = &storage->mem,
                                       .table = storage->options.table,
                                       .directory_id = storage->identity.id };

    options.files = directory_files(storage->directory, &options.files_count);
    if (recover_create(&options, &storage->recover) != STATUS_OK) {
        return fault_set(why, STATUS_MEMORY, "no memory to load data with");
    }
    return STATUS_OK;
}

enum status storage_open(const struct storage_options *options, struct storage **storage_out,
                         struct fault *why)
{
    const struct directory_options directory = { .path = options->config->data_dir,
                                                 .cluster_id = options->cluster_id };
    struct storage *storage = calloc(1, sizeof *storage);
    char *path = strdup(options->config->data_dir);
    enum status status;

    if (storage == NULL || path == NULL) {
        free(storage);
        free(path);
        return fault_set(why, STATUS_MEMORY, "no memory");
    }
    storage->path = path;
    storage->options = *options;
    settings_journal(options->config, &storage->kept);
    storage->has_seeds = options->config->seed.count > 0;
    storage->began_us = options->moment(options->owner).mono_us;
    storage->told_us = storage->began_us;
    status = directory_open(&directory, &storage->directory, why);
    if (status == STATUS_OK) {
        storage->identity = *directory_identity(storage->directory);
        status = recover_begin(storage, why);
    }
    if (status == STATUS_OK) {
        const struct worker_options worker = { .base = options->base,
                                               .directory =
                                                   directory_descriptor(storage->directory),
                                               .owner = storage,
                                               .done = storage_on_done };

        status = worker_create(&worker, &storage->worker, why);
    }
    if (status != STATUS_OK) {
        (void)storage_close(storage, 0);
        return status;
    }
    *storage_out = storage;
    return STATUS_OK;
}

bool storage_close(struct storage *storage, uint64_t wait_us)
{
    if (storage == NULL) {
        return true;
    }
    if (!worker_free(storage->worker, wait_us)) {
        return false;
    }
    recover_free(storage->recover);
    journal_free(storage->journal);
    directory_close(storage->directory);
    free(storage->path);
    free(storage);
    return true;
}

void storage_turn_end(struct storage *storage, struct moment now)
{
    if (storage->recover != NULL && recover_is_over(storage->recover)) {
        load_end(storage); /* there was nothing to read */
    }
    storage_next(storage, now);
}

uint64_t storage_due_us(const struct storage *storage)
{
    return storage->journal == NULL || worker_is_busy(storage->worker)
               ? UINT64_MAX
               : journal_due_us(storage->journal);
}

struct journal *storage_journal(struct storage *storage)
{
    return storage->journal;
}

const struct recover_report *storage_report(const struct storage *storage)
{
    return storage->recover != NULL ? recover_report(storage->recover) : &storage->report;
}

uint64_t storage_start_s(const struct storage *storage, uint64_t now_s)
{
    const uint64_t kept_s = storage->identity.start_s;

    return kept_s == 0 || kept_s > now_s + STORAGE_START_AHEAD_S ? 0 : kept_s + 1;
}

void storage_started(struct storage *storage, uint64_t start_s)
{
    struct fault why;

    storage->identity.start_s = start_s;
    if (directory_save(storage->directory, &storage->identity, &why) != STATUS_OK) {
        log_event(storage->options.log, LOG_LEVEL_ERROR, "identity_not_saved",
                  log_string("reason", why.text));
    }
}

struct api_disk storage_view(const struct storage *storage)
{
    static const char *const promises[] = {
        [JOURNAL_COMMIT] = "commit", [JOURNAL_INTERVAL] = "interval", [JOURNAL_NONE] = "none"
    };
    static const uint8_t states[] = { [JOURNAL_FINE] = API_DISK_FINE,
                                      [JOURNAL_FULL] = API_DISK_FULL,
                                      [JOURNAL_FAILING] = API_DISK_FAILING };
    const struct recover_report *report = storage_report(storage);
    struct api_disk disk = { .state = API_DISK_LOADING,
                             .promise = promises[storage->kept.durability],
                             .is_damaged = report->damaged > 0,
                             .loaded_bytes = report->bytes_read,
                             .to_load_bytes = report->bytes_total };

    if (storage->journal != NULL) {
        const struct journal_stats *stats = journal_stats(storage->journal);

        disk.state = states[journal_health(storage->journal)];
        disk.error = stats->error;
        disk.log_bytes = stats->log_bytes;
        disk.snapshot_bytes = stats->snapshot_bytes;
        disk.written_bytes = stats->written_bytes;
        disk.groups = stats->groups;
        disk.snapshots = stats->snapshots;
        disk.failures = stats->failures;
        disk.waiting_blocks = stats->waiting;
        disk.commit_us = stats->commit_us;
        disk.commit_us_most = stats->commit_us_max;
    }
    return disk;
}

bool storage_loads(const struct storage *storage, struct fault *why)
{
    const struct recover_report *report = storage_report(storage);

    (void)fault_set(why, STATUS_SYSTEM,
                    "what was kept is being loaded: %" PRIu64 " of %" PRIu64 " bytes",
                    report->bytes_read, report->bytes_total);
    return storage->journal == NULL;
}

uint64_t storage_stands_us(const struct storage *storage, uint64_t now_us)
{
    return worker_is_busy(storage->worker) ? now_us - storage->asked_us : 0;
}

void storage_stop(struct storage *storage)
{
    if (storage->journal != NULL) {
        journal_stop(storage->journal);
    }
}

bool storage_has_stopped(const struct storage *storage)
{
    return storage->journal == NULL || journal_has_stopped(storage->journal);
}
