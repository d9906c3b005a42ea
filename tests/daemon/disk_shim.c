/* Preloaded into the daemon by test_disk_faults.py: what it asks of the disk under DISK_SHIM_UNDER
 * is counted, and, as the page that the file DISK_SHIM names says, fails, takes long or is
 * recorded.
 *
 * Recorded are all calls that change what lies there, with the moment at which each came back, so
 * that a test can build what a power cut between two of them could have left. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Shared with the test, which writes it as struct "qqqqq". */
struct page {
    int64_t countdown; /* the call that takes it to 0 fails; 0: none does */
    int64_t error;     /* as what; of a write, 0: half of it is done */
    int64_t forever;   /* all later ones fail too */
    int64_t stall;     /* while 1, syncs and reads of what is kept do not come back */
    int64_t calls;     /* so far; written here */
};

static volatile struct page *page;
static const char *under;
static int record = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_SHIM");
    const char *to = getenv("DISK_SHIM_RECORD");
    const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    under = getenv("DISK_SHIM_UNDER");
    if (fd >= 0) {
        void *found = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        page = found == MAP_FAILED ? NULL : found;
        close(fd);
    }
    if (to != NULL) {
        record = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

#define REAL(name)                                 \
    static __typeof__(&name) real;                 \
    if (real == NULL) {                            \
        *(void **)&real = dlsym(RTLD_NEXT, #name); \
    }

/* The path of a descriptor below the folder, less the folder; NULL: it is another's. */
static const char *path_of(int fd, char path[4096])
{
    char link[64];
    ssize_t size;

    if (under == NULL || page == NULL) {
        return NULL;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, 4095);
    if (size <= 0) {
        return NULL;
    }
    path[size] = '\0';
    return strncmp(path, under, strlen(under)) == 0 ? path + strlen(under) : NULL;
}

/* Whether this call fails; errno is set then. */
static int fails(void)
{
    if (page == NULL) {
        return 0;
    }
    page->calls++;
    if (page->countdown <= 0) {
        return 0;
    }
    if (page->countdown == 1) {
        page->countdown = page->forever != 0 ? 1 : 0;
        errno = page->error == 0 ? ENOSPC : (int)page->error;
        return 1;
    }
    page->countdown--;
    return 0;
}

/* A line of text, and the bytes behind it. */
static void note(const char *verb, const char *path, uint64_t offset, const void *bytes,
                 size_t size)
{
    struct timespec now;
    char head[512];
    int length;

    if (record < 0) {
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    length = snprintf(head, sizeof head, "%s %s %llu %zu %lld.%09ld\n", verb, path,
                      (unsigned long long)offset, size, (long long)now.tv_sec, now.tv_nsec);
    REAL(write);
    (void)!real(record, head, (size_t)length);
    (void)!real(record, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    char room[4096];
    const char *path = path_of(fd, room);
    ssize_t done;

    REAL(pwrite64);
    if (path != NULL && fails()) {
        if (page->error != 0 || size < 2) {
            return -1;
        }
        size /= 2; /* a short write */
    }
    done = real(fd, bytes, size, offset);
    if (path != NULL && done > 0) {
        note("write", path, (uint64_t)offset, bytes, (size_t)done);
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite64(fd, bytes, size, offset);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    char room[4096];
    const char *path = path_of(fd, room);
    const off_t at = path == NULL ? 0 : lseek(fd, 0, SEEK_CUR);
    ssize_t done;

    REAL(write);
    if (path != NULL && fails()) {
        return -1;
    }
    done = real(fd, bytes, size);
    if (path != NULL && done > 0) {
        note("write", path, (uint64_t)at, bytes, (size_t)done);
    }
    return done;
}

static void stand_still(void)
{
    const struct timespec bit = { .tv_nsec = 5000000 };

    while (page->stall != 0) {
        (void)nanosleep(&bit, NULL);
    }
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset)
{
    char room[4096];
    const char *path = path_of(fd, room);

    REAL(pread64);
    if (path != NULL && (strncmp(path, "/log-", 5) == 0 || strncmp(path, "/snap-", 6) == 0)) {
        stand_still();
    }
    return real(fd, bytes, size, offset);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    return pread64(fd, bytes, size, offset);
}

static int sync_of(int fd, int (*real)(int))
{
    char room[4096];
    const char *path = path_of(fd, room);
    int done;

    if (path != NULL) {
        stand_still();
    }
    if (path != NULL && fails()) {
        return -1;
    }
    done = real(fd);
    if (path != NULL && done == 0) {
        note("sync", path[0] == '\0' ? "/" : path, 0, "", 0);
    }
    return done;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return sync_of(fd, real);
}

int fsync(int fd)
{
    REAL(fsync);
    return sync_of(fd, real);
}

int openat64(int folder, const char *name, int flags, ...)
{
    char room[4096];
    const char *path = (flags & O_CREAT) != 0 ? path_of(folder, room) : NULL;
    mode_t mode = 0;
    int fd;

    REAL(openat64);
    if ((flags & O_CREAT) != 0) {
        va_list rest;

        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (path != NULL && fails()) {
        return -1;
    }
    fd = real(folder, name, flags, mode);
    if (path != NULL && fd >= 0) {
        char whole[300];

        (void)snprintf(whole, sizeof whole, "/%.255s", name);
        note((flags & O_TRUNC) != 0 ? "create" : "open", whole, 0, "", 0);
    }
    return fd;
}

int openat(int folder, const char *name, int flags, ...)
{
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list rest;

        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return openat64(folder, name, flags, mode);
}

int renameat(int from, const char *name, int to, const char *name_new)
{
    char room[4096];
    const char *path = path_of(from, room);
    char both[520];
    int done;

    REAL(renameat);
    if (path != NULL && fails()) {
        return -1;
    }
    done = real(from, name, to, name_new);
    if (path != NULL && done == 0) {
        (void)snprintf(both, sizeof both, "/%.250s:/%.250s", name, name_new);
        note("rename", both, 0, "", 0);
    }
    return done;
}

int unlinkat(int folder, const char *name, int flags)
{
    char room[4096];
    const char *path = path_of(folder, room);
    char whole[300];
    int done;

    REAL(unlinkat);
    if (path != NULL && fails()) {
        return -1;
    }
    done = real(folder, name, flags);
    if (path != NULL && done == 0) {
        (void)snprintf(whole, sizeof whole, "/%.255s", name);
        note("unlink", whole, 0, "", 0);
    }
    return done;
}
