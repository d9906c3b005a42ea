#include "main/backup.h"

#include "disk/journal.h"
#include "files/directory.h"
#include "files/perform.h"
#include "files/worker.h"
#include "log/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKUP_SYNC_US       UINT64_C(100000)    /* of its log: the end waits for one */
#define BACKUP_EXTEND_BYTES  (UINT64_C(1) << 20) /* its log is short */
#define BACKUP_RESERVE_BYTES JOURNAL_GROUP_BYTES
#define BACKUP_NAMES_MAX     100 /* that begin in one second */
#define BACKUP_NAME_MAX      64
#define BACKUP_SUFFIX        ".tmp" /* until it is whole */

enum stage {
    STAGE_NONE,
    STAGE_OPEN,   /* a directory is made, */
    STAGE_WRITE,  /* written, */
    STAGE_RENAME, /* and whole; */
    STAGE_REMOVE  /* or never will be */
};

struct backup {
    struct backup_options options;
    struct api_backup view;
    const char *parent;    /* where they are made; "none" */
    struct worker *worker; /* from the first backup on */
    struct mem mem;        /* of the journal */
    struct journal *journal;
    uint64_t began_us; /* mono */
    time_t began_s;
    uint8_t stage; /* enum stage */

    /* The thread's, while it is at something. */
    struct fault fault; /* of what it was at; code STATUS_OK: that went well */
    struct disk_operation operation;
    struct directory *directory;
    struct files *files;
    int folder;                 /* -1: none */
    char name[BACKUP_NAME_MAX]; /* with the suffix; "": there is none */
    char path[PATH_MAX];        /* of the folder; in the end, of the directory */
};

/* What waits for the disk, in the thread. */

static enum status task_fail(struct backup *backup, const char *what)
{
    const int reason = errno;

    return fault_set(&backup->fault,
                     reason == ENOSPC || reason == EDQUOT ? STATUS_FULL : STATUS_SYSTEM,
                     "backup-dir '%.120s' %s: %s", backup->path, what, strerror(reason));
}

/* What it is called without the suffix. */
static void name_cut(const char *name, char to[BACKUP_NAME_MAX])
{
    const int size = (int)(strlen(name) - strlen(BACKUP_SUFFIX));

    (void)snprintf(to, BACKUP_NAME_MAX, "%.*s", size, name);
}

/* Make it under a name that nobody has. */
static enum status name_take(struct backup *backup)
{
    char number[16] = "";
    char date[32];
    char whole[BACKUP_NAME_MAX];
    struct stat stat;
    struct tm utc;

    (void)gmtime_r(&backup->began_s, &utc);
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &utc);
    errno = EEXIST;
    for (unsigned i = 2; errno == EEXIST && i < BACKUP_NAMES_MAX; i++) {
        (void)snprintf(backup->name, sizeof backup->name, "%s%s%s", date, number, BACKUP_SUFFIX);
        name_cut(backup->name, whole);
        if (fstatat(backup->folder, whole, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
            errno = EEXIST;
        } else if (mkdirat(backup->folder, backup->name, 0700) == 0) {
            return STATUS_OK;
        }
        (void)snprintf(number, sizeof number, "-%u", i);
    }
    backup->name[0] = '\0';
    return task_fail(backup, "cannot be written to");
}

static enum status folder_open(struct backup *backup)
{
    struct directory_options options = { .cluster_id = backup->options.cluster_id };
    char path[PATH_MAX];
    enum status status;

    backup->folder = open(backup->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backup->folder < 0) {
        return task_fail(backup, "cannot be opened");
    }
    status = name_take(backup);
    if (status != STATUS_OK) {
        return status;
    }
    if (snprintf(path, sizeof path, "%s/%s", backup->path, backup->name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return task_fail(backup, "cannot be written to");
    }
    options.path = path;
    status = directory_open(&options, &backup->directory, &backup->fault);
    if (status == STATUS_OK) {
        backup->files = files_create(directory_descriptor(backup->directory));
        if (backup->files == NULL) {
            status = fault_set(&backup->fault, STATUS_MEMORY, "no memory for a backup");
        }
    }
    return status;
}

static struct disk_result task_open(void *owner)
{
    struct backup *backup = owner;

    (void)folder_open(backup);
    return (struct disk_result){ .outcome = DISK_DONE };
}

static struct disk_result task_write(void *owner)
{
    struct backup *backup = owner;

    return files_perform(backup->files, &backup->operation);
}

static void task_close(struct backup *backup)
{
    files_free(backup->files);
    directory_close(backup->directory);
    if (backup->folder >= 0) {
        (void)close(backup->folder);
    }
    backup->files = NULL;
    backup->directory = NULL;
    backup->folder = -1;
}

static struct disk_result task_rename(void *owner)
{
    struct backup *backup = owner;
    const size_t size = strlen(backup->path);
    char final[BACKUP_NAME_MAX];

    name_cut(backup->name, final);
    if (renameat(backup->folder, backup->name, backup->folder, final) != 0) {
        (void)task_fail(backup, "cannot be written to");
        return (struct disk_result){ .outcome = DISK_BROKEN };
    }
    (void)snprintf(backup->name, sizeof backup->name, "%s", final); /* by which it is removed */
    if (fsync(backup->folder) != 0) {
        (void)task_fail(backup, "cannot be synced");
        return (struct disk_result){ .outcome = DISK_BROKEN };
    }
    (void)snprintf(backup->path + size, sizeof backup->path - size, "/%s", final);
    task_close(backup);
    return (struct disk_result){ .outcome = DISK_DONE };
}

/* The directory, with all that we put into it. What cannot be removed stays. */
static struct disk_result task_remove(void *owner)
{
    struct backup *backup = owner;
    const int fd =
        backup->name[0] == '\0'
            ? -1
            : openat(backup->folder, backup->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *names = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    while (names != NULL && (entry = readdir(names)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(fd, entry->d_name, 0);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
        (void)unlinkat(backup->folder, backup->name, AT_REMOVEDIR);
    } else if (fd >= 0) {
        (void)close(fd);
    }
    task_close(backup);
    return (struct disk_result){ .outcome = DISK_DONE };
}

/* From stage to stage, in the loop. */

static void stage_begin(struct backup *backup, enum stage stage)
{
    static struct disk_result (*const tasks[])(void *) = { [STAGE_OPEN] = task_open,
                                                           [STAGE_WRITE] = task_write,
                                                           [STAGE_RENAME] = task_rename,
                                                           [STAGE_REMOVE] = task_remove };

    backup->stage = (uint8_t)stage;
    worker_run(backup->worker, tasks[stage]);
}

/* The first reason counts. */
static void backup_fail(struct backup *backup, enum status code, const char *reason)
{
    if (backup->view.why.code == STATUS_OK) {
        (void)fault_set(&backup->view.why, code, "%s", reason);
    }
}

static enum status journal_begin(struct backup *backup)
{
    const struct journal_options options = {
        .mem = &backup->mem,
        .table = backup->options.table,
        .directory_id = directory_identity(backup->directory)->id,
        .number = 1,
        .sequence = 1,
        .wants_snapshot = true,
        .snapshot_bytes_min = UINT64_MAX,
        .extend_bytes = BACKUP_EXTEND_BYTES,
        .reserve_bytes = BACKUP_RESERVE_BYTES,
        .sync_interval_us = BACKUP_SYNC_US,
        .durability = JOURNAL_INTERVAL,
    };

    return journal_create(&options, &backup->journal);
}

static void opened(struct backup *backup)
{
    if (backup->fault.code != STATUS_OK) {
        backup_fail(backup, backup->fault.code, backup->fault.text);
    } else if (journal_begin(backup) != STATUS_OK) {
        backup_fail(backup, STATUS_MEMORY, "no memory for a backup");
    }
    backup->stage = STAGE_WRITE;
}

static void written(struct backup *backup, struct moment now, struct disk_result result)
{
    const struct journal_stats *stats = journal_stats(backup->journal);

    journal_done(backup->journal, now, result);
    backup->view.bytes = stats->snapshot_bytes + stats->log_bytes;
    if (stats->failures > 0) {
        backup_fail(backup, result.outcome == DISK_FULL ? STATUS_FULL : STATUS_SYSTEM,
                    strerror(stats->error));
        (void)fault_prefix(&backup->view.why,
                           "backup-dir '%.120s' cannot be written to: ", backup->path);
    }
}

static void ended(struct backup *backup, struct moment now, bool is_made)
{
    struct api_backup *view = &backup->view;
    struct log *log = backup->options.log;

    backup->stage = STAGE_NONE;
    view->state = is_made ? API_BACKUP_MADE : API_BACKUP_FAILED;
    view->path = backup->path;
    if (is_made) {
        log_event(log, LOG_LEVEL_INFO, "backup", log_string("path", view->path),
                  log_number("bytes", view->bytes), log_number("keys", view->keys),
                  log_number("ms", (now.mono_us - backup->began_us) / 1000));
    } else {
        log_event(log, LOG_LEVEL_WARN, "backup_failed", log_string("reason", view->why.text));
    }
    if (view->waiter != NULL) {
        http_wake(view->waiter);
    }
}

/* Asking for the moment ends in a turn, and that goes on. */
static void backup_on_done(void *owner, struct disk_result result)
{
    struct backup *backup = owner;
    const struct moment now = backup->options.moment(backup->options.owner);

    switch ((enum stage)backup->stage) {
    case STAGE_OPEN: opened(backup); break;
    case STAGE_WRITE: written(backup, now, result); break;
    case STAGE_RENAME:
        if (result.outcome == DISK_DONE) {
            ended(backup, now, true);
        } else {
            backup_fail(backup, backup->fault.code, backup->fault.text);
            stage_begin(backup, STAGE_REMOVE);
        }
        break;
    case STAGE_REMOVE: ended(backup, now, false); break;
    case STAGE_NONE: break;
    }
}

void backup_turn_end(struct backup *backup, struct moment now)
{
    const bool is_over = backup->view.why.code != STATUS_OK;

    if (backup->stage != STAGE_WRITE || worker_is_busy(backup->worker)) {
        return;
    }
    /* With its name, the snapshot has all that was noted until the walk's end, or the log has. */
    if (is_over || journal_stats(backup->journal)->snapshots > 0) {
        journal_free(backup->journal);
        backup->journal = NULL;
        backup->view.keys = table_stats(backup->options.table).keys[TABLE_DATA];
        stage_begin(backup, is_over ? STAGE_REMOVE : STAGE_RENAME);
    } else if (journal_next(backup->journal, now, &backup->operation)) {
        stage_begin(backup, STAGE_WRITE);
    }
}

void backup_note(struct backup *backup, struct changes changes)
{
    if (backup->journal != NULL) {
        journal_note(backup->journal, changes);
    }
}

uint64_t backup_due_us(const struct backup *backup)
{
    return backup->journal == NULL || worker_is_busy(backup->worker)
               ? UINT64_MAX
               : journal_due_us(backup->journal);
}

/* Beginning and end. */

static enum status backup_begin(void *maker, struct fault *why)
{
    struct backup *backup = maker;
    const struct worker_options worker = {
        .base = backup->options.base, .directory = -1, .owner = backup, .done = backup_on_done
    };
    const struct moment now = backup->options.moment(backup->options.owner);
    struct api_backup *view = &backup->view;

    if (strcmp(backup->parent, "none") == 0) {
        return fault_set(why, STATUS_INVALID, "no backups are made here: backup-dir is not set");
    }
    if (backup->stage != STAGE_NONE) {
        return fault_set(why, STATUS_CONFLICT, "a backup is being made already");
    }
    if (backup->worker == NULL) {
        const enum status status = worker_create(&worker, &backup->worker, why);

        if (status != STATUS_OK) {
            return status;
        }
    }
    view->state = API_BACKUP_UNDER_WAY;
    view->why.code = STATUS_OK;
    backup->fault.code = STATUS_OK;
    backup->name[0] = '\0';
    backup->began_us = now.mono_us;
    backup->began_s = (time_t)now.unix_s;
    (void)snprintf(backup->path, sizeof backup->path, "%s", backup->parent);
    stage_begin(backup, STAGE_OPEN);
    return STATUS_OK;
}

static void cancel(void *maker, const char *reason)
{
    backup_cancel(maker, reason);
}

struct backup *backup_create(const struct backup_options *options)
{
    struct backup *backup = calloc(1, sizeof *backup);

    if (backup != NULL) {
        backup->options = *options;
        backup->view.maker = backup;
        backup->view.begin = backup_begin;
        backup->view.cancel = cancel;
        backup->parent = "none";
        backup->folder = -1;
    }
    return backup;
}

void backup_configure(struct backup *backup, const char *folder)
{
    backup->parent = folder;
}

struct api_backup *backup_view(struct backup *backup)
{
    return &backup->view;
}

bool backup_free(struct backup *backup, uint64_t wait_us)
{
    if (backup == NULL) {
        return true;
    }
    if (!worker_free(backup->worker, wait_us)) {
        return false;
    }
    journal_free(backup->journal);
    task_close(backup);
    free(backup);
    return true;
}

void backup_cancel(struct backup *backup, const char *reason)
{
    if (backup->stage == STAGE_OPEN || backup->stage == STAGE_WRITE) {
        backup_fail(backup, STATUS_SYSTEM, reason);
        (void)backup->options.moment(backup->options.owner);
    }
}
