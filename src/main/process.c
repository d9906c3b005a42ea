#include "main/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum status process_standard(struct fault *why)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return fault_set(why, STATUS_SYSTEM, "cannot open /dev/null: %s", strerror(errno));
    }
    (void)close(fd);
    return STATUS_OK;
}

size_t process_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        const rlim_t before = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            limit.rlim_cur = before;
        }
    }
    return limit.rlim_cur;
}

/* In the parent: how it went with the child, as an exit status. */
static int process_await(pid_t child, int fd)
{
    unsigned char told;
    int status;
    ssize_t size;

    do {
        size = read(fd, &told, 1);
    } while (size < 0 && errno == EINTR);
    if (size == 1) {
        return told;
    }
    /* It ended without a word. In good order it did so because it was asked to before it was ready,
     * and whoever waits for that has no daemon all the same. */
    if (waitpid(child, &status, 0) == child && WIFEXITED(status)
        && WEXITSTATUS(status) != EXIT_GOOD) {
        return WEXITSTATUS(status);
    }
    return EXIT_SOFTWARE;
}

enum status process_daemonize(int *ready_fd_out, struct fault *why)
{
    int pipe_fds[2];
    pid_t child;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return fault_set(why, STATUS_SYSTEM, "cannot go to the background: %s", strerror(errno));
    }
    child = fork();
    if (child < 0) {
        const int reason = errno;

        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        return fault_set(why, STATUS_SYSTEM, "cannot go to the background: %s", strerror(reason));
    }
    if (child > 0) {
        (void)close(pipe_fds[1]);
        _exit(process_await(child, pipe_fds[0]));
    }
    (void)close(pipe_fds[0]);
    (void)setsid();
    *ready_fd_out = pipe_fds[1];
    return STATUS_OK;
}

void process_tell(int ready_fd, enum process_exit exit)
{
    const unsigned char told = (unsigned char)exit;

    if (ready_fd < 0) {
        return;
    }
    if (exit == EXIT_GOOD) {
        const int null = open("/dev/null", O_RDWR);

        if (null >= 0) {
            (void)dup2(null, STDIN_FILENO);
            (void)dup2(null, STDOUT_FILENO);
            (void)dup2(null, STDERR_FILENO);
            if (null > STDERR_FILENO) {
                (void)close(null);
            }
        }
    }
    if (write(ready_fd, &told, 1) != 1) {
        (void)0; /* the parent was killed: nobody waits for the word */
    }
    (void)close(ready_fd);
}

enum status process_become(const char *user, const char *group, struct fault *why)
{
    const struct passwd *entry = NULL;
    const struct group *named = NULL;
    bool good;
    gid_t gid;

    if (user[0] != '\0' && (entry = getpwnam(user)) == NULL) {
        return fault_set(why, STATUS_INVALID, "user: there is no user '%s'", user);
    }
    if (group[0] != '\0' && (named = getgrnam(group)) == NULL) {
        return fault_set(why, STATUS_INVALID, "group: there is no group '%s'", group);
    }
    if (named != NULL) {
        gid = named->gr_gid;
    } else if (entry != NULL) {
        gid = entry->pw_gid;
    } else {
        return STATUS_OK;
    }
    if ((entry == NULL || entry->pw_uid == geteuid()) && gid == getegid()) {
        return STATUS_OK; /* already so, and then nothing more is allowed or needed */
    }
    if (entry == NULL) {
        good = setgroups(1, &gid) == 0 && setgid(gid) == 0;
    } else {
        good =
            initgroups(entry->pw_name, gid) == 0 && setgid(gid) == 0 && setuid(entry->pw_uid) == 0;
    }
    if (!good) {
        return fault_set(why, STATUS_SYSTEM, "cannot become %s%s%s: %s", user,
                         named != NULL ? " group " : "", group, strerror(errno));
    }
    return STATUS_OK;
}

/* Whether the path still names the file that is open: one that ended meanwhile has removed it. */
static bool process_is_at(const char *path, int fd)
{
    struct stat named;
    struct stat held;

    return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_ino == named.st_ino
           && held.st_dev == named.st_dev;
}

enum status process_pidfile(const char *path, int *fd_out, struct fault *why)
{
    char text[24];
    const int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    enum status status;
    int fd = -1;

    do {
        if (fd >= 0) {
            (void)close(fd);
        }
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
            return fault_set(why, STATUS_SYSTEM, "cannot write the pid file '%s': %s", path,
                             strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            status =
                fault_set(why, STATUS_CONFLICT,
                          "another vignetted runs with the pid file '%s': stop it first", path);
            (void)close(fd);
            return status;
        }
    } while (!process_is_at(path, fd));
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        status = fault_set(why, STATUS_SYSTEM, "cannot write the pid file '%s': %s", path,
                           strerror(errno));
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return STATUS_OK;
}

void process_pidfile_remove(const char *path, int fd)
{
    if (fd < 0) {
        return;
    }
    if (unlink(path) != 0 && ftruncate(fd, 0) != 0) {
        (void)0; /* a stale file is taken over by the next start */
    }
    (void)close(fd);
}

enum status process_random(void *to, size_t size, struct fault *why)
{
    if (getrandom(to, size, 0) != (ssize_t)size) {
        return fault_set(why, STATUS_SYSTEM, "the kernel gives no random bytes: %s",
                         strerror(errno));
    }
    return STATUS_OK;
}

struct moment process_moment(void)
{
    struct timespec mono;
    struct timespec wall;

    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return (struct moment){ .mono_us =
                                (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000 + 1,
                            .unix_s = (uint64_t)wall.tv_sec };
}
