#ifndef UNIT_FOLDER_H
#define UNIT_FOLDER_H

/* A folder of a test's own below /tmp, and what can be done in it. */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/test.h"

struct folder {
    char path[128];
    int fd;
};

static inline void folder_make(struct folder *folder)
{
    (void)strcpy(folder->path, "/tmp/test-folder-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY);
    assert_true(folder->fd >= 0);
}

static inline int folder_remove_one(const char *path, const struct stat *stat, int what,
                                    struct FTW *walk)
{
    (void)stat;
    (void)what;
    (void)walk;
    return remove(path);
}

static inline void folder_remove(struct folder *folder)
{
    (void)close(folder->fd);
    assert_int_equal(nftw(folder->path, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void folder_write(const struct folder *folder, const char *name, const void *data,
                                size_t size)
{
    const int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(close(fd), 0);
}

/* Returns the size; -1: it is not there. */
static inline ssize_t folder_read(const struct folder *folder, const char *name, void *to,
                                  size_t size)
{
    const int fd = openat(folder->fd, name, O_RDONLY);
    ssize_t got;

    if (fd < 0) {
        return -1;
    }
    got = read(fd, to, size);
    assert_int_equal(close(fd), 0);
    return got;
}

static inline bool folder_has(const struct folder *folder, const char *name)
{
    return faccessat(folder->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

#endif /* UNIT_FOLDER_H */
