#include "files/perform.h"

#include "base/bytes.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_ZEROS_BYTES 65536 /* written at once when a file is extended */

/* A file that is open. */
struct files_open {
    struct disk_file file; /* number 0: none */
    int fd;
    bool is_ours;  /* created here: only such a file is written to */
    bool is_named; /* its name is synced: it outlives a crash */
};

struct files {
    struct files_open open[FILES_OPEN_MAX];
    int directory;
    uint8_t zeros[FILES_ZEROS_BYTES];
};

struct files *files_create(int directory)
{
    struct files *files = calloc(1, sizeof *files);

    if (files != NULL) {
        files->directory = directory;
    }
    return files;
}

static bool files_is(const struct files_open *open, struct disk_file file)
{
    return open->file.number == file.number && open->file.kind == file.kind;
}

/* NULL: it is not open. With number 0: a place that is free. */
static struct files_open *files_find(struct files *files, struct disk_file file)
{
    for (size_t i = 0; i < FILES_OPEN_MAX; i++) {
        if (files_is(&files->open[i], file)) {
            return &files->open[i];
        }
    }
    return NULL;
}

static void files_close(struct files *files, struct disk_file file)
{
    struct files_open *open = files_find(files, file);

    if (open != NULL) {
        (void)close(open->fd); /* what it could say, a sync has said */
        *open = (struct files_open){ 0 };
    }
}

void files_free(struct files *files)
{
    if (files == NULL) {
        return;
    }
    for (size_t i = 0; i < FILES_OPEN_MAX; i++) {
        if (files->open[i].file.number != 0) {
            files_close(files, files->open[i].file);
        }
    }
    free(files);
}

void files_name(struct disk_file file, char name[FILES_NAME_MAX])
{
    const char *front = file.kind == DISK_LOG ? "log" : "snap";
    const char *back = file.kind == DISK_DRAFT ? ".tmp" : "";

    (void)snprintf(name, FILES_NAME_MAX, "%s-%llu%s", front, (unsigned long long)file.number, back);
}

bool files_from_name(const char *name, struct disk_file *file_out)
{
    static const struct {
        const char *front;
        const char *back;
        uint8_t kind;
    } forms[] = { { "log-", "", DISK_LOG },
                  { "snap-", "", DISK_SNAPSHOT },
                  { "snap-", ".tmp", DISK_DRAFT } };
    const size_t size = strlen(name);

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const size_t front = strlen(forms[i].front);
        const size_t back = strlen(forms[i].back);
        uint64_t number;

        if (size > front + back && memcmp(name, forms[i].front, front) == 0
            && memcmp(name + size - back, forms[i].back, back) == 0
            && text_get_u64((struct bytes){ (const uint8_t *)name + front, size - front - back },
                            &number)
            && number > 0) {
            *file_out = (struct disk_file){ .number = number, .kind = forms[i].kind };
            return true;
        }
    }
    return false;
}

/* Each of these returns an errno, 0 when done. */

static int files_open_new(struct files *files, struct disk_file file, const char *name)
{
    struct files_open *open;
    int fd;

    files_close(files, file);
    open = files_find(files, (struct disk_file){ 0 });
    if (open == NULL) {
        return EMFILE;
    }
    if (unlinkat(files->directory, name, 0) != 0 && errno != ENOENT) {
        return errno;
    }
    fd = openat(files->directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    *open = (struct files_open){ .file = file, .fd = fd, .is_ours = true };
    return 0;
}

/* NULL: errno says why. */
static struct files_open *files_open_old(struct files *files, struct disk_file file)
{
    struct files_open *open = files_find(files, file);
    struct stat stat = { 0 };
    char name[FILES_NAME_MAX];
    int fd;

    if (open != NULL) {
        return open;
    }
    open = files_find(files, (struct disk_file){ 0 });
    if (open == NULL) {
        errno = EMFILE;
        return NULL;
    }
    files_name(file, name);
    /* A pipe in its place must not be waited for. */
    fd = openat(files->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        (void)close(fd);
        errno = S_ISDIR(stat.st_mode) ? EISDIR : ENXIO;
        return NULL;
    }
    *open = (struct files_open){ .file = file, .fd = fd };
    return open;
}

/* What was created here and not let go of since; otherwise NULL, which is EBADF. */
static struct files_open *files_find_own(struct files *files, struct disk_file file)
{
    struct files_open *open = files_find(files, file);

    return open != NULL && open->is_ours ? open : NULL;
}

static int files_sync_descriptor(int fd, int (*sync)(int fd))
{
    int result;

    do {
        result = sync(fd);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

/* ENOENT: somebody removed it, or the whole directory: what is in it is kept nowhere. */
static int files_look_for(int fd)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0) {
        return errno;
    }
    return stat.st_nlink > 0 ? 0 : ENOENT;
}

/* And its name, the first time. */
static int files_sync(struct files *files, struct files_open *open, int (*sync)(int fd))
{
    int reason = files_sync_descriptor(open->fd, sync);

    if (reason == 0 && !open->is_named) {
        reason = files_sync_descriptor(files->directory, fsync);
        open->is_named = reason == 0;
    }
    return reason == 0 ? files_look_for(open->fd) : reason;
}

static int files_write(int fd, const uint8_t *from, size_t size, uint64_t offset)
{
    while (size > 0) {
        const ssize_t done = pwrite(fd, from, size, (off_t)offset);

        if (done > 0) {
            from += done;
            size -= (size_t)done;
            offset += (uint64_t)done;
        } else if (done == 0) {
            return EIO;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* Written, not only reserved: a block that is reserved becomes one that is there at its first
 * write, which is a change of metadata with every group. */
static int files_extend(struct files *files, const struct disk_operation *operation)
{
    const uint64_t end = operation->offset + operation->size;
    struct files_open *open = files_find_own(files, operation->file);
    int reason = 0;

    if (open == NULL) {
        return EBADF;
    }
    for (uint64_t at = operation->offset; reason == 0 && at < end; at += FILES_ZEROS_BYTES) {
        const uint64_t left = end - at;

        reason = files_write(open->fd, files->zeros,
                             left < FILES_ZEROS_BYTES ? (size_t)left : FILES_ZEROS_BYTES, at);
    }
    if (reason == 0) {
        return files_sync(files, open, fsync);
    }
    /* Somebody else may need what room is left on a full disk. */
    if (ftruncate(open->fd, (off_t)operation->offset) != 0) {
        (void)0; /* then it is longer by some zeros, which mean nothing */
    }
    return reason;
}

static int files_read(struct files *files, const struct disk_operation *operation, size_t *size_out)
{
    const struct files_open *open = files_open_old(files, operation->file);
    size_t size = 0;

    if (open == NULL) {
        return errno;
    }
    while (size < operation->size) {
        const ssize_t done = pread(open->fd, operation->to + size, operation->size - size,
                                   (off_t)(operation->offset + size));

        if (done == 0) {
            break;
        }
        if (done < 0 && errno != EINTR) {
            return errno;
        }
        size += done > 0 ? (size_t)done : 0;
    }
    *size_out = size;
    return 0;
}

static int files_put(struct files *files, const struct disk_operation *operation)
{
    /* Also what was read since the start is synced, as long as it is open. */
    struct files_open *open = operation->verb == DISK_SYNC ? files_find(files, operation->file)
                                                           : files_find_own(files, operation->file);
    int reason = open == NULL ? EBADF : 0;

    if (reason == 0 && operation->verb == DISK_WRITE) {
        reason = files_write(open->fd, operation->from, operation->size, operation->offset);
    }
    if (reason == 0 && (operation->verb == DISK_SYNC || operation->is_synced)) {
        reason = files_sync(files, open, fdatasync);
    }
    return reason;
}

static int files_publish(struct files *files, struct disk_file draft, const char *name)
{
    char published[FILES_NAME_MAX];
    int reason;

    assert(draft.kind == DISK_DRAFT);
    files_name((struct disk_file){ .number = draft.number, .kind = DISK_SNAPSHOT }, published);
    if (renameat(files->directory, name, files->directory, published) != 0) {
        return errno;
    }
    reason = files_sync_descriptor(files->directory, fsync);
    if (reason == 0) {
        files_close(files, draft);
    }
    return reason;
}

static int files_remove(struct files *files, struct disk_file file, const char *name)
{
    files_close(files, file);
    return unlinkat(files->directory, name, 0) == 0 || errno == ENOENT ? 0 : errno;
}

struct disk_result files_perform(struct files *files, const struct disk_operation *operation)
{
    const struct disk_file file = operation->file;
    struct disk_result result = { .outcome = DISK_DONE };
    char name[FILES_NAME_MAX];

    assert(file.number > 0);
    files_name(file, name);
    switch ((enum disk_verb)operation->verb) {
    case DISK_CREATE: result.error = files_open_new(files, file, name); break;
    case DISK_EXTEND: result.error = files_extend(files, operation); break;
    case DISK_READ: result.error = files_read(files, operation, &result.size); break;
    case DISK_WRITE:
    case DISK_SYNC: result.error = files_put(files, operation); break;
    case DISK_PUBLISH: result.error = files_publish(files, file, name); break;
    case DISK_REMOVE: result.error = files_remove(files, file, name); break;
    case DISK_CLOSE: files_close(files, file); break;
    }
    if (result.error == ENOSPC || result.error == EDQUOT) {
        result.outcome = DISK_FULL;
    } else if (result.error != 0) {
        result.outcome = DISK_BROKEN;
    }
    return result;
}
