#include "files/directory.h"

#include "base/bytes.h"
#include "base/text.h"
#include "files/perform.h"

#include <xxhash.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_FORMAT    1
#define DIRECTORY_TEXT_MAX  512 /* of an identity */
#define DIRECTORY_SLOT_MASK ((UINT64_C(1) << 60) - 1)

static const char name_lock[] = "lock";
static const char name_identity[] = "identity";
static const char name_written[] = "identity.new"; /* until it is renamed */

struct directory {
    char *path; /* for people */
    int fd;
    int lock; /* -1: none */
    bool is_read_only;
    bool has_identity;
    struct identity identity;
    struct disk_found *files;
    size_t files_count;
    char foreign[NAME_MAX + 1]; /* "": none */
};

/* Every sentence begins with whose directory it is about. */
#define DIRECTORY_REFUSE(directory, why, ...) \
    directory_prefix(directory, fault_set(why, STATUS_CONFLICT, __VA_ARGS__), why)
#define DIRECTORY_FAIL(directory, why, ...) \
    directory_prefix(directory, fault_set(why, STATUS_SYSTEM, __VA_ARGS__), why)

static enum status directory_prefix(const struct directory *directory, enum status status,
                                    struct fault *why)
{
    (void)fault_prefix(why, "data directory '%.100s' ", directory->path);
    return status;
}

/* The line `name value` that `text` begins with; it goes from there. */
static bool identity_line(struct bytes *text, const char *name, struct bytes *value_out)
{
    const size_t front = strlen(name);
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
    const size_t size = end == NULL ? 0 : (size_t)(end - text->data);

    if (size < front + 1 || memcmp(text->data, name, front) != 0 || text->data[front] != ' ') {
        return false;
    }
    *value_out = (struct bytes){ text->data + front + 1, size - front - 1 };
    text->data += size + 1;
    text->size -= size + 1;
    return true;
}

/* The lines before the checksum. Returns their size. */
static size_t identity_print(const struct identity *identity, char to[DIRECTORY_TEXT_MAX])
{
    const int size = snprintf(to, DIRECTORY_TEXT_MAX,
                              "vignette data-directory\n"
                              "format %d\n"
                              "id %016" PRIx64 "\n"
                              "slot %016" PRIx64 "\n"
                              "cluster %08" PRIx32 "\n"
                              "start %" PRIu64 "\n",
                              DIRECTORY_FORMAT, identity->id, identity->slot, identity->cluster_id,
                              identity->start_s);

    assert(size > 0 && size < DIRECTORY_TEXT_MAX);
    return (size_t)size;
}

/* STATUS_CONFLICT: of a newer format; STATUS_CORRUPT: anything else that is not this text. */
static enum status identity_read(struct bytes text, struct identity *identity_out)
{
    const struct bytes whole = text;
    struct identity identity;
    struct bytes value;
    uint64_t cluster;
    uint64_t number;
    size_t summed;

    if (!identity_line(&text, "vignette", &value) || !text_is(value, "data-directory")
        || !identity_line(&text, "format", &value) || !text_get_u64(value, &number)) {
        return STATUS_CORRUPT;
    }
    if (number > DIRECTORY_FORMAT) {
        return STATUS_CONFLICT;
    }
    if (!identity_line(&text, "id", &value) || !text_get_hex64(value, &identity.id)
        || !identity_line(&text, "slot", &value) || !text_get_hex64(value, &identity.slot)
        || !identity_line(&text, "cluster", &value) || !text_get_hex64(value, &cluster)
        || !identity_line(&text, "start", &value) || !text_get_u64(value, &identity.start_s)) {
        return STATUS_CORRUPT;
    }
    summed = whole.size - text.size;
    if (!identity_line(&text, "checksum", &value) || !text_get_hex64(value, &number)
        || text.size > 0 || number != XXH3_64bits(whole.data, summed) || cluster > UINT32_MAX) {
        return STATUS_CORRUPT;
    }
    identity.cluster_id = (uint32_t)cluster;
    *identity_out = identity;
    return STATUS_OK;
}

/* Owner alone: this process, or for those that only look whoever may read everything. */
static bool directory_is_owner(const struct directory *directory, const struct stat *stat)
{
    return stat->st_uid == geteuid() || (directory->is_read_only && geteuid() == 0);
}

/* Whether a file of one of our names is what we would have made. */
static enum status directory_judge(struct directory *directory, const char *name,
                                   const struct stat *stat, struct fault *why)
{
    if (!S_ISREG(stat->st_mode)) {
        return DIRECTORY_REFUSE(directory, why, "is refused: its '%s' is no regular file", name);
    }
    if (!directory_is_owner(directory, stat)) {
        return DIRECTORY_REFUSE(directory, why,
                                "is refused: its '%s' belongs to user %u, and we are %u", name,
                                (unsigned)stat->st_uid, (unsigned)geteuid());
    }
    if ((stat->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return DIRECTORY_REFUSE(directory, why,
                                "is refused: its '%s' may be written to by others (mode %04o)",
                                name, (unsigned)(stat->st_mode & 07777));
    }
    return STATUS_OK;
}

static enum status directory_add(struct directory *directory, struct disk_file file, uint64_t size,
                                 struct fault *why)
{
    struct disk_found *files =
        realloc(directory->files, (directory->files_count + 1) * sizeof files[0]);

    if (files == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory for the names of a data directory");
    }
    files[directory->files_count] = (struct disk_found){ .file = file, .size = size };
    directory->files = files;
    directory->files_count++;
    return STATUS_OK;
}

/* One name that is in it. */
static enum status directory_take(struct directory *directory, const char *name, struct fault *why)
{
    const bool is_identity = strcmp(name, name_identity) == 0;
    const bool is_ours =
        is_identity || strcmp(name, name_lock) == 0 || strcmp(name, name_written) == 0;
    struct disk_file file = { 0 };
    struct stat stat;
    enum status status;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0) {
        return STATUS_OK;
    }
    if (!is_ours && !files_from_name(name, &file)) {
        /* One without a dot is worth more to whoever must be told of one. */
        if (directory->foreign[0] == '\0' || (directory->foreign[0] == '.' && name[0] != '.')) {
            (void)snprintf(directory->foreign, sizeof directory->foreign, "%s", name);
        }
        return STATUS_OK;
    }
    if (fstatat(directory->fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? STATUS_OK
                               : /* renamed or removed meanwhile: it is not locked yet */
                   DIRECTORY_FAIL(directory, why, "cannot be read: '%s': %s", name,
                                  strerror(errno));
    }
    status = directory_judge(directory, name, &stat, why);
    if (status != STATUS_OK || is_ours) {
        directory->has_identity = directory->has_identity || is_identity;
        return status;
    }
    return directory_add(directory, file, (uint64_t)stat.st_size, why);
}

static enum status directory_list(struct directory *directory, struct fault *why)
{
    const int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd < 0 ? NULL : fdopendir(fd);
    enum status status = STATUS_OK;
    const struct dirent *entry;

    directory->files_count = 0;
    directory->has_identity = false;
    directory->foreign[0] = '\0';
    if (names == NULL) {
        status = DIRECTORY_FAIL(directory, why, "cannot be read: %s", strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    while (status == STATUS_OK && (errno = 0, entry = readdir(names)) != NULL) {
        status = directory_take(directory, entry->d_name, why);
    }
    if (status == STATUS_OK && errno != 0) {
        status = DIRECTORY_FAIL(directory, why, "cannot be read: %s", strerror(errno));
    }
    (void)closedir(names);
    return status;
}

static enum status directory_identify(struct directory *directory,
                                      const struct directory_options *options, struct fault *why)
{
    const int fd = openat(directory->fd, name_identity, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char text[DIRECTORY_TEXT_MAX];
    enum status status;
    ssize_t size;
    int reason;

    size = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
    reason = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (size < 0) {
        return DIRECTORY_FAIL(directory, why, "has an identity that cannot be read: %s",
                              strerror(reason));
    }
    status =
        identity_read((struct bytes){ (const uint8_t *)text, (size_t)size }, &directory->identity);
    if (status == STATUS_CONFLICT) {
        return DIRECTORY_REFUSE(directory, why, "is of a newer vignette, use that one");
    }
    if (status != STATUS_OK) {
        return DIRECTORY_REFUSE(directory, why, "is refused: its identity is damaged");
    }
    if (!options->is_any_cluster && directory->identity.cluster_id != options->cluster_id) {
        return DIRECTORY_REFUSE(directory, why,
                                "is that of another cluster (%08" PRIx32 ", and ours is %08" PRIx32
                                "): see the setting cluster",
                                directory->identity.cluster_id, options->cluster_id);
    }
    return STATUS_OK;
}

/* What is in it, before and again after the lock is ours. */
static enum status directory_look(struct directory *directory,
                                  const struct directory_options *options, struct fault *why)
{
    enum status status = directory_list(directory, why);
    char name[FILES_NAME_MAX];

    if (status != STATUS_OK) {
        return status;
    }
    if (directory->has_identity) {
        return directory_identify(directory, options, why);
    }
    if (directory->is_read_only) {
        return DIRECTORY_REFUSE(directory, why, "is none of vignette: there is no identity in it");
    }
    if (directory->foreign[0] != '\0') {
        return DIRECTORY_REFUSE(directory, why, "is not ours: it has '%.60s', and no identity",
                                directory->foreign);
    }
    if (directory->files_count > 0) {
        files_name(directory->files[0].file, name);
        return DIRECTORY_REFUSE(directory, why, "has '%s', and its identity is gone", name);
    }
    return STATUS_OK;
}

/* In the directory above, which must outlive a crash as well as what is in it. */
static enum status directory_make(struct directory *directory, struct fault *why)
{
    char above[PATH_MAX];
    int fd;

    if (mkdir(directory->path, 0700) != 0 && errno != EEXIST) {
        return DIRECTORY_REFUSE(directory, why, "cannot be made: %s", strerror(errno));
    }
    (void)snprintf(above, sizeof above, "%s", directory->path);
    fd = open(dirname(above), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* where it cannot be, an empty one may be gone after a crash */
        (void)close(fd);
    }
    return STATUS_OK;
}

static enum status directory_enter(struct directory *directory, struct fault *why)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    enum status status;
    struct stat stat;

    directory->fd = open(directory->path, flags);
    if (directory->fd < 0 && errno == ENOENT && !directory->is_read_only) {
        status = directory_make(directory, why);
        if (status != STATUS_OK) {
            return status;
        }
        directory->fd = open(directory->path, flags);
    }
    if (directory->fd < 0) {
        return lstat(directory->path, &stat) == 0 && S_ISLNK(stat.st_mode)
                   ? DIRECTORY_REFUSE(directory, why,
                                      "is a symbolic link: name the directory itself")
                   : DIRECTORY_REFUSE(directory, why, "cannot be opened: %s", strerror(errno));
    }
    if (fstat(directory->fd, &stat) != 0) {
        return DIRECTORY_FAIL(directory, why, "cannot be read: %s", strerror(errno));
    }
    if (!directory_is_owner(directory, &stat)) {
        return DIRECTORY_REFUSE(directory, why, "belongs to user %u, and we are %u",
                                (unsigned)stat.st_uid, (unsigned)geteuid());
    }
    if ((stat.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return DIRECTORY_REFUSE(directory, why,
                                "may be written to by others (mode %04o): chmod go-w",
                                (unsigned)(stat.st_mode & 07777));
    }
    if (!directory->is_read_only && faccessat(directory->fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        return DIRECTORY_REFUSE(directory, why, "cannot be written to: %s", strerror(errno));
    }
    return STATUS_OK;
}

/* Another process has it: which one, as far as it said. */
static enum status directory_taken(struct directory *directory, struct fault *why)
{
    char text[TEXT_U64_MAX + 1];
    const ssize_t size = pread(directory->lock, text, sizeof text, 0);
    uint64_t number;

    if (size > 1
        && text_get_u64((struct bytes){ (const uint8_t *)text, (size_t)size - 1 }, &number)) {
        return DIRECTORY_REFUSE(directory, why, "is in use by process %" PRIu64, number);
    }
    return DIRECTORY_REFUSE(directory, why, "is in use by another process");
}

static enum status directory_lock(struct directory *directory, struct fault *why)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    char text[TEXT_U64_MAX + 2];
    int size;

    directory->lock = directory->is_read_only
                          ? openat(directory->fd, name_lock, O_RDONLY | flags)
                          : openat(directory->fd, name_lock, O_RDWR | O_CREAT | flags, 0600);
    if (directory->lock < 0 && errno == ENOENT) {
        return STATUS_OK; /* nobody ever ran on it */
    }
    if (directory->lock < 0) {
        return DIRECTORY_FAIL(directory, why, "cannot be locked: %s", strerror(errno));
    }
    if (flock(directory->lock, (directory->is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? directory_taken(directory, why)
                   : DIRECTORY_FAIL(directory, why, "cannot be locked: %s", strerror(errno));
    }
    if (!directory->is_read_only) {
        size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (ftruncate(directory->lock, 0) != 0
            || pwrite(directory->lock, text, (size_t)size, 0) != size) {
            (void)0; /* on a full disk the lock holds all the same, without a number */
        }
    }
    return STATUS_OK;
}

/* It was empty, and becomes ours. */
static enum status directory_found(struct directory *directory, uint32_t cluster_id,
                                   struct fault *why)
{
    struct identity identity = { .cluster_id = cluster_id };

    if (getrandom(&identity.id, sizeof identity.id, 0) != sizeof identity.id
        || getrandom(&identity.slot, sizeof identity.slot, 0) != sizeof identity.slot) {
        return DIRECTORY_FAIL(directory, why, "gets no identity: %s", strerror(errno));
    }
    identity.slot &= DIRECTORY_SLOT_MASK;
    return directory_save(directory, &identity, why);
}

/* A copy, without the slashes at its end, through which a symbolic link would be followed. */
static char *directory_path(const char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return strndup(path, size);
}

enum status directory_open(const struct directory_options *options,
                           struct directory **directory_out, struct fault *why)
{
    struct directory *directory = calloc(1, sizeof *directory);
    enum status status = STATUS_MEMORY;

    if (directory != NULL) {
        directory->fd = -1;
        directory->lock = -1;
        directory->is_read_only = options->is_read_only;
        directory->path = directory_path(options->path);
    }
    if (directory == NULL || directory->path == NULL) {
        (void)fault_set(why, STATUS_MEMORY, "no memory for a data directory");
        goto end;
    }
    status = directory_enter(directory, why);
    if (status == STATUS_OK) {
        status = directory_look(directory, options, why);
    }
    if (status == STATUS_OK) {
        status = directory_lock(directory, why);
    }
    if (status == STATUS_OK) {
        status = directory_look(directory, options, why); /* nobody changes it any more */
    }
    if (status == STATUS_OK && !directory->has_identity) {
        status = directory_found(directory, options->cluster_id, why);
    }
end:
    if (status != STATUS_OK) {
        directory_close(directory);
        return status;
    }
    *directory_out = directory;
    return STATUS_OK;
}

void directory_close(struct directory *directory)
{
    if (directory == NULL) {
        return;
    }
    if (directory->lock >= 0) {
        (void)close(directory->lock);
    }
    if (directory->fd >= 0) {
        (void)close(directory->fd);
    }
    free(directory->files);
    free(directory->path);
    free(directory);
}

int directory_descriptor(const struct directory *directory)
{
    return directory->fd;
}

const struct identity *directory_identity(const struct directory *directory)
{
    return &directory->identity;
}

const struct disk_found *directory_files(const struct directory *directory, size_t *count_out)
{
    *count_out = directory->files_count;
    return directory->files;
}

const char *directory_foreign(const struct directory *directory)
{
    return directory->foreign[0] == '\0' || directory->foreign[0] == '.' ? NULL
                                                                         : directory->foreign;
}

/* An errno, 0 when done. */
static int directory_write(const struct directory *directory, const char *text, size_t size)
{
    int reason = 0;
    int fd;

    if (unlinkat(directory->fd, name_written, 0) != 0 && errno != ENOENT) {
        return errno;
    }
    fd = openat(directory->fd, name_written, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                0600);
    if (fd < 0) {
        return errno;
    }
    errno = EIO; /* of a short write, which says nothing */
    if (write(fd, text, size) != (ssize_t)size || fsync(fd) != 0) {
        reason = errno;
    }
    (void)close(fd);
    if (reason == 0
        && (renameat(directory->fd, name_written, directory->fd, name_identity) != 0
            || fsync(directory->fd) != 0)) {
        reason = errno;
    }
    return reason;
}

enum status directory_save(struct directory *directory, const struct identity *identity,
                           struct fault *why)
{
    char text[DIRECTORY_TEXT_MAX];
    size_t size = identity_print(identity, text);
    const uint64_t checksum = XXH3_64bits(text, size);
    int reason;

    assert(!directory->is_read_only);
    size +=
        (size_t)snprintf(text + size, sizeof text - size, "checksum %016" PRIx64 "\n", checksum);
    reason = directory_write(directory, text, size);
    if (reason != 0) {
        return DIRECTORY_FAIL(directory, why, "cannot keep its identity: %s", strerror(reason));
    }
    directory->identity = *identity;
    directory->has_identity = true;
    return STATUS_OK;
}
