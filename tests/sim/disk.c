#include "sim/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PURPOSE   401
#define FILES_MAX 96 /* with those that may come back */
#define GRAIN     (64 * DISK_SECTOR_BYTES)

#define CALL_US      20 /* of a call that waits for no medium */
#define SYNC_US      200
#define SYNC_MORE    4000
#define BYTES_PER_US 500

struct place {
    struct disk_file file;
    bool is_named;
};

struct file {
    struct place seen;   /* its name to the machine */
    struct place kept;   /* and on the medium */
    uint8_t *seen_bytes; /* `room` each */
    uint8_t *kept_bytes;
    uint8_t *dirty; /* of each sector: a sync is to write it */
    size_t room;
    size_t seen_size;
    size_t kept_size;
    uint64_t order; /* in which they were made */
    bool has_failed;
    bool is_named; /* this process has synced its name */
};

struct disk {
    struct random random;
    struct disk_faults faults;
    struct disk_stats stats;
    struct file files[FILES_MAX];
    size_t count;
    uint64_t order;
    uint8_t *removed; /* what the last file had that went */
    size_t removed_size;
    struct disk_operation operation; /* under way */
    bool is_busy;
    unsigned full; /* operations that will find no space yet */
};

static bool falls(struct disk *disk, unsigned permille)
{
    return permille > 0 && random_below(&disk->random, 1000) < permille;
}

static bool is_heads(struct disk *disk)
{
    return random_below(&disk->random, 2) == 0;
}

struct disk *disk_create(uint64_t seed)
{
    struct disk *disk = calloc(1, sizeof *disk);

    assert(disk != NULL);
    random_seed(&disk->random, seed, PURPOSE);
    return disk;
}

static void file_clear(struct file *file)
{
    free(file->seen_bytes);
    free(file->kept_bytes);
    free(file->dirty);
    *file = (struct file){ .room = 0 };
}

static void files_clear(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        file_clear(&disk->files[i]);
    }
    disk->count = 0;
}

void disk_free(struct disk *disk)
{
    if (disk != NULL) {
        files_clear(disk);
        free(disk->removed);
        free(disk);
    }
}

void disk_set_faults(struct disk *disk, const struct disk_faults *faults)
{
    disk->faults = *faults;
    disk->full = 0;
}

/* Files. */

static bool is_at(const struct place *place, struct disk_file file)
{
    return place->is_named && place->file.kind == file.kind && place->file.number == file.number;
}

static struct file *file_find(struct disk *disk, struct disk_file name)
{
    for (size_t i = 0; i < disk->count; i++) {
        if (is_at(&disk->files[i].seen, name)) {
            return &disk->files[i];
        }
    }
    return NULL;
}

/* Without a name anywhere it goes, and what it had is what the medium still has where the next one
 * will be. */
static void files_forget(struct disk *disk)
{
    size_t left = 0;

    for (size_t i = 0; i < disk->count; i++) {
        struct file *file = &disk->files[i];

        if (file->seen.is_named || file->kept.is_named) {
            disk->files[left++] = *file;
            continue;
        }
        if (file->kept_size > 0 && file->seen.file.kind == DISK_LOG) {
            free(disk->removed);
            disk->removed = file->kept_bytes;
            disk->removed_size = file->kept_size;
            file->kept_bytes = NULL;
        }
        file_clear(file);
    }
    disk->count = left;
}

static void *grown(void *bytes, size_t size, size_t size_new)
{
    uint8_t *more = realloc(bytes, size_new);

    assert(more != NULL);
    memset(more + size, 0, size_new - size);
    return more;
}

static void file_grow(struct file *file, size_t size)
{
    const size_t room = (size + GRAIN - 1) / GRAIN * GRAIN;

    if (room > file->room) {
        const size_t sectors = file->room / DISK_SECTOR_BYTES;

        file->seen_bytes = grown(file->seen_bytes, file->room, room);
        file->kept_bytes = grown(file->kept_bytes, file->room, room);
        file->dirty = grown(file->dirty, sectors, room / DISK_SECTOR_BYTES);
        file->room = room;
    }
    file->seen_size = size > file->seen_size ? size : file->seen_size;
}

static struct file *file_create(struct disk *disk, struct disk_file name)
{
    struct file *old = file_find(disk, name);
    struct file *file;

    if (old != NULL) {
        old->seen.is_named = false;
        files_forget(disk);
    }
    assert(disk->count < FILES_MAX);
    file = &disk->files[disk->count++];
    *file = (struct file){ .seen = { .file = name, .is_named = true }, .order = ++disk->order };
    return file;
}

/* NULL: zeros. */
static void file_write(struct file *file, size_t offset, const uint8_t *from, size_t size)
{
    if (size == 0) {
        return;
    }
    file_grow(file, offset + size);
    if (from == NULL) {
        memset(file->seen_bytes + offset, 0, size);
    } else {
        memcpy(file->seen_bytes + offset, from, size);
    }
    memset(file->dirty + offset / DISK_SECTOR_BYTES, 1,
           (offset + size - 1) / DISK_SECTOR_BYTES - offset / DISK_SECTOR_BYTES + 1);
}

static size_t sectors_of(const struct file *file)
{
    return (file->seen_size + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
}

static void sector_keep(struct file *file, size_t sector, size_t from, size_t to)
{
    const size_t at = sector * DISK_SECTOR_BYTES;

    memcpy(file->kept_bytes + at + from, file->seen_bytes + at + from, to - from);
}

static void file_sync(struct file *file)
{
    for (size_t i = 0; i < sectors_of(file); i++) {
        if (file->dirty[i] != 0) {
            sector_keep(file, i, 0, DISK_SECTOR_BYTES);
            file->dirty[i] = 0;
        }
    }
    file->kept_size = file->seen_size;
}

/* What it had not written yet it will never write. */
static void file_sync_badly(struct disk *disk, struct file *file)
{
    for (size_t i = 0; i < sectors_of(file); i++) {
        if (file->dirty[i] != 0 && is_heads(disk)) {
            sector_keep(file, i, 0, DISK_SECTOR_BYTES);
        }
        file->dirty[i] = 0;
    }
    if (is_heads(disk)) {
        file->kept_size = file->seen_size;
    }
    file->has_failed = true;
}

static void directory_sync(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        disk->files[i].kept = disk->files[i].seen;
        disk->files[i].is_named = true;
    }
    files_forget(disk);
}

/* Operations. */

static bool is_sync(const struct disk_operation *operation)
{
    return operation->verb == DISK_SYNC || operation->verb == DISK_EXTEND
           || operation->verb == DISK_PUBLISH
           || (operation->verb == DISK_WRITE && operation->is_synced);
}

uint64_t disk_begin(struct disk *disk, const struct disk_operation *operation)
{
    uint64_t us = CALL_US + operation->size / BYTES_PER_US;

    assert(!disk->is_busy);
    disk->operation = *operation;
    disk->is_busy = true;
    disk->stats.operations++;
    if (is_sync(operation)) {
        us += SYNC_US + random_below(&disk->random, SYNC_MORE);
    }
    if (falls(disk, disk->faults.stall_permille)) {
        disk->stats.stalls++;
        us += random_below(&disk->random, DISK_STALL_US);
    }
    return us;
}

static bool grows(const struct disk_operation *operation, const struct file *file)
{
    return operation->verb == DISK_CREATE || operation->verb == DISK_EXTEND
           || (operation->verb == DISK_WRITE && file != NULL
               && operation->offset + operation->size > file->seen_size);
}

/* A part of what was to be written. */
static void write_part(struct disk *disk, struct file *file)
{
    const struct disk_operation *operation = &disk->operation;
    const size_t size = random_below(&disk->random, operation->size + 1);

    file_write(file, operation->offset, operation->from, size);
}

static void publish(struct disk *disk, struct file *draft)
{
    const struct disk_file name = { .number = draft->seen.file.number, .kind = DISK_SNAPSHOT };
    struct file *old = file_find(disk, name);

    if (old != NULL) {
        old->seen.is_named = false;
    }
    draft->seen.file = name;
}

/* As far as the machine sees it, nothing being synced. */
static void act(struct disk *disk, struct file *file)
{
    const struct disk_operation *operation = &disk->operation;

    switch (operation->verb) {
    case DISK_CREATE: (void)file_create(disk, operation->file); break;
    case DISK_EXTEND: file_write(file, operation->offset, NULL, operation->size); break;
    case DISK_WRITE: file_write(file, operation->offset, operation->from, operation->size); break;
    case DISK_PUBLISH: publish(disk, file); break;
    case DISK_REMOVE:
        if (file != NULL) {
            file->seen.is_named = false;
        }
        files_forget(disk);
        break;
    default: break;
    }
}

static size_t read_file(const struct disk_operation *operation, const struct file *file)
{
    size_t size = 0;

    if (operation->offset < file->seen_size) {
        size = file->seen_size - operation->offset;
        size = size < operation->size ? size : operation->size;
        memcpy(operation->to, file->seen_bytes + operation->offset, size);
    }
    return size;
}

static struct disk_result fail(struct disk *disk, struct file *file)
{
    const struct disk_operation *operation = &disk->operation;

    disk->stats.broken++;
    if (operation->verb == DISK_WRITE || operation->verb == DISK_EXTEND) {
        write_part(disk, file);
        file->has_failed = true;
    } else if (is_heads(disk)) {
        act(disk, file);
    }
    file = file_find(disk, operation->file);
    if (file != NULL && is_sync(operation) && operation->verb != DISK_PUBLISH) {
        file_sync_badly(disk, file);
    }
    return (struct disk_result){ .error = EIO, .outcome = DISK_BROKEN };
}

static struct disk_result refuse(struct disk *disk, struct file *file)
{
    const struct disk_operation *operation = &disk->operation;

    disk->stats.full++;
    if (operation->verb != DISK_CREATE) {
        write_part(disk, file);
        file->has_failed = file->has_failed || operation->verb == DISK_WRITE;
    }
    return (struct disk_result){ .error = ENOSPC, .outcome = DISK_FULL };
}

static void sync(struct disk *disk, struct file *file)
{
    const bool publishes = disk->operation.verb == DISK_PUBLISH;

    if (!publishes) {
        disk->stats.lies += file->has_failed;
        file_sync(file);
    }
    if (publishes || !file->is_named) {
        directory_sync(disk);
    }
}

struct disk_result disk_end(struct disk *disk)
{
    const struct disk_operation *operation = &disk->operation;
    struct file *file = file_find(disk, operation->file);
    struct disk_result result = { .outcome = DISK_DONE };

    assert(disk->is_busy);
    disk->is_busy = false;
    if (operation->verb == DISK_CLOSE) {
        return result;
    }
    if (file == NULL && operation->verb != DISK_CREATE && operation->verb != DISK_REMOVE) {
        return (struct disk_result){ .error = ENOENT, .outcome = DISK_BROKEN };
    }
    if (grows(operation, file)) {
        if (falls(disk, disk->faults.full_permille)) {
            disk->full = 1 + (unsigned)random_below(&disk->random, DISK_FULL_MAX);
        }
        if (disk->full > 0) {
            disk->full--;
            return refuse(disk, file);
        }
    }
    if (falls(disk, disk->faults.broken_permille)) {
        return fail(disk, file);
    }
    act(disk, file);
    if (operation->verb == DISK_READ) {
        result.size = read_file(operation, file);
    } else if (is_sync(operation)) {
        sync(disk, file);
    }
    return result;
}

bool disk_is_busy(const struct disk *disk)
{
    return disk->is_busy;
}

/* Ends. */

/* Any part of what was under way is done, and nothing of it synced. */
static void interrupt(struct disk *disk)
{
    struct file *file;

    if (!disk->is_busy) {
        return;
    }
    disk->is_busy = false;
    disk->stats.interrupted++;
    file = file_find(disk, disk->operation.file);
    if (disk->operation.verb == DISK_WRITE || disk->operation.verb == DISK_EXTEND) {
        if (file != NULL) {
            write_part(disk, file);
        }
    } else if (is_heads(disk) && (file != NULL || disk->operation.verb == DISK_CREATE)) {
        act(disk, file);
    }
}

/* What the machine sees is what is on the medium. */
static void file_reread(struct file *file)
{
    if (file->room > 0) {
        memcpy(file->seen_bytes, file->kept_bytes, file->room);
        memset(file->dirty, 0, file->room / DISK_SECTOR_BYTES);
        memset(file->kept_bytes + file->kept_size, 0, file->room - file->kept_size);
        memset(file->seen_bytes + file->kept_size, 0, file->room - file->kept_size);
    }
    file->seen_size = file->kept_size;
    file->has_failed = false;
    file->is_named = false;
}

void disk_kill(struct disk *disk)
{
    interrupt(disk);
    for (size_t i = 0; i < disk->count; i++) {
        struct file *file = &disk->files[i];

        for (size_t s = 0; s < sectors_of(file); s++) {
            if (file->has_failed && file->dirty[s] == 0) {
                memcpy(file->seen_bytes + s * DISK_SECTOR_BYTES,
                       file->kept_bytes + s * DISK_SECTOR_BYTES, DISK_SECTOR_BYTES);
            }
        }
        file->has_failed = false;
        file->is_named = false;
    }
}

/* What is on the medium in a sector that was to be written and was not. */
static void sector_lose(struct disk *disk, struct file *file, size_t sector, bool is_stale)
{
    const size_t at = sector * DISK_SECTOR_BYTES;
    size_t size = 0;

    disk->stats.sectors_lost++;
    if (at < file->kept_size) {
        return;
    }
    if (is_stale && at < disk->removed_size) {
        disk->stats.sectors_stale++;
        size = disk->removed_size - at;
        size = size < DISK_SECTOR_BYTES ? size : DISK_SECTOR_BYTES;
        memcpy(file->kept_bytes + at, disk->removed + at, size);
    }
    memset(file->kept_bytes + at + size, 0, DISK_SECTOR_BYTES - size);
}

static void sector_tear(struct disk *disk, struct file *file, size_t sector)
{
    const size_t at = random_below(&disk->random, DISK_SECTOR_BYTES);

    disk->stats.sectors_torn++;
    if (is_heads(disk)) {
        sector_keep(file, sector, 0, at);
    } else {
        sector_keep(file, sector, at, DISK_SECTOR_BYTES);
    }
}

/* Some lose nearly nothing, some nearly all, and most something. */
static void file_cut(struct disk *disk, struct file *file)
{
    const uint64_t kept_of_4 = random_below(&disk->random, 5);
    const bool is_stale = random_below(&disk->random, 4) == 0;

    for (size_t i = 0; i < sectors_of(file); i++) {
        if (file->dirty[i] == 0) {
            continue;
        }
        if (random_below(&disk->random, 4) < kept_of_4) {
            sector_keep(file, i, 0, DISK_SECTOR_BYTES);
            continue;
        }
        sector_lose(disk, file, i, is_stale);
        if (random_below(&disk->random, 4) == 0) {
            sector_tear(disk, file, i);
        }
    }
    if (file->kept_size < file->seen_size) {
        file->kept_size += is_heads(disk)
                               ? file->seen_size - file->kept_size
                               : random_below(&disk->random, file->seen_size - file->kept_size + 1);
    }
}

static void names_cut(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        struct file *file = &disk->files[i];
        const bool is_same = file->seen.is_named == file->kept.is_named
                             && (!file->seen.is_named || is_at(&file->kept, file->seen.file));

        if (!is_same && is_heads(disk)) {
            disk->stats.names_undone++;
            file->seen = file->kept;
        }
        file->kept = file->seen;
    }
    /* Of two that now have one name the later one has it. */
    for (size_t i = 0; i < disk->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (disk->files[k].seen.is_named
                && is_at(&disk->files[i].seen, disk->files[k].seen.file)) {
                disk->files[k].seen.is_named = false;
                disk->files[k].kept.is_named = false;
            }
        }
    }
}

void disk_cut_power(struct disk *disk)
{
    disk->stats.power_cuts++;
    interrupt(disk);
    for (size_t i = 0; i < disk->count; i++) {
        file_cut(disk, &disk->files[i]);
        file_reread(&disk->files[i]);
    }
    names_cut(disk);
    files_forget(disk);
}

/* Bytes up to the last one that is not 0. */
static size_t content_of(const struct file *file)
{
    size_t size = file->kept_size;

    while (size > 0 && file->kept_bytes[size - 1] == 0) {
        size--;
    }
    return size;
}

/* From its beginning or a sector on there is what another file of its kind has at the same places.
 * False: none has anything there. */
static bool misplace(struct disk *disk, struct file *file, size_t sector)
{
    const struct file *other = &disk->files[random_below(&disk->random, disk->count)];
    const size_t end = other->kept_size < file->kept_size ? other->kept_size : file->kept_size;
    const size_t at = random_below(&disk->random, 2) * sector * DISK_SECTOR_BYTES;

    if (other == file || other->seen.file.kind != file->seen.file.kind || at >= end
        || at >= content_of(other)) {
        return false;
    }
    memcpy(file->kept_bytes + at, other->kept_bytes + at, end - at);
    return true;
}

/* The last one that has something does not become blank: nobody could tell that it was not. */
static void spoil(struct disk *disk, struct file *file, size_t at)
{
    const uint64_t bits = 1 + random_below(&disk->random, 8);
    uint8_t *sector = file->kept_bytes + at;

    if (at + DISK_SECTOR_BYTES < content_of(file) && random_below(&disk->random, 4) == 0) {
        memset(sector, 0, DISK_SECTOR_BYTES);
        return;
    }
    for (uint64_t i = 0; i < bits; i++) {
        const uint64_t bit = random_below(&disk->random, UINT64_C(8) * DISK_SECTOR_BYTES);

        sector[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

bool disk_rot(struct disk *disk)
{
    struct file *file;
    size_t sectors;
    size_t sector;

    if (disk->count == 0) {
        return false;
    }
    file = &disk->files[random_below(&disk->random, disk->count)];
    sectors = content_of(file) / DISK_SECTOR_BYTES;
    if (sectors == 0 || !file->seen.is_named) {
        return false;
    }
    file_sync(file); /* in its own time, as happens to all that is written */
    sector = random_below(&disk->random, sectors);
    if (random_below(&disk->random, 2) == 0 || !misplace(disk, file, sector)) {
        spoil(disk, file, sector * DISK_SECTOR_BYTES);
    }
    memcpy(file->seen_bytes, file->kept_bytes, file->kept_size);
    disk->stats.rotten++;
    return true;
}

/* Copies. */

static void file_copy(struct disk *disk, const struct file *from)
{
    struct file *file = file_create(disk, from->seen.file);

    if (from->seen_size > 0) {
        file_write(file, 0, from->seen_bytes, from->seen_size);
        file_sync(file);
    }
    file->kept = file->seen;
}

static void files_copy(struct disk *disk, const struct disk *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (from->files[i].seen.is_named) {
            file_copy(disk, &from->files[i]);
        }
    }
}

struct disk *disk_copy(const struct disk *disk)
{
    struct disk *copy = disk_create(0);

    files_copy(copy, disk);
    return copy;
}

void disk_restore(struct disk *disk, const struct disk *copy)
{
    assert(!disk->is_busy);
    files_clear(disk);
    if (copy != NULL) {
        files_copy(disk, copy);
    }
}

size_t disk_list(const struct disk *disk, struct disk_found *found, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i < disk->count && count < room; i++) {
        if (disk->files[i].seen.is_named) {
            found[count++] = (struct disk_found){ .file = disk->files[i].seen.file,
                                                  .size = disk->files[i].seen_size };
        }
    }
    return count;
}

bool disk_has_failed(const struct disk *disk, struct disk_file file)
{
    for (size_t i = 0; i < disk->count; i++) {
        if (is_at(&disk->files[i].seen, file)) {
            return disk->files[i].has_failed;
        }
    }
    return false;
}

const struct disk_stats *disk_stats(const struct disk *disk)
{
    return &disk->stats;
}
