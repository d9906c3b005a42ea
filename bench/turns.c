/* How long the turns of a running daemon are: preloaded into it (LD_PRELOAD), it takes the time
 * from each return of epoll_wait() to the next call.
 *
 * $TURNS names the file that is written when the process ends, one line a figure:
 *
 *     turns count            how many there were
 *     longest us             the longest by the clock of the thread: what others took is not in it
 *     longest_wall us        the longest by the clock on the wall
 *     above_10ms count       how many took more than 10 ms of the thread's time
 *
 * SIGUSR2 begins anew, so that what comes before (a million keys being loaded) can be left out or
 * looked at by itself. */

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define TURN_US_MAX 10000

struct turns {
    int (*wait)(int, struct epoll_event *, int, int);
    uint64_t begin_us;
    uint64_t begin_wall_us;
    uint64_t count;
    uint64_t longest_us;
    uint64_t longest_wall_us;
    uint64_t above;
};

static struct turns turns;
static volatile sig_atomic_t is_new;

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_signal(int signal)
{
    (void)signal;
    is_new = 1;
}

static void turn_end(void)
{
    const uint64_t took_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - turns.begin_us;
    const uint64_t took_wall_us = clock_us(CLOCK_MONOTONIC) - turns.begin_wall_us;

    turns.count++;
    turns.above += took_us > TURN_US_MAX;
    turns.longest_us = took_us > turns.longest_us ? took_us : turns.longest_us;
    turns.longest_wall_us =
        took_wall_us > turns.longest_wall_us ? took_wall_us : turns.longest_wall_us;
}

int epoll_wait(int fd, struct epoll_event *events, int room, int timeout_ms)
{
    int count;

    if (turns.begin_us != 0) {
        turn_end();
    } else {
        /* POSIX makes a function pointer of what dlsym() gives; C does not. */
        *(void **)&turns.wait = dlsym(RTLD_NEXT, "epoll_wait");
        (void)signal(SIGUSR2, on_signal);
    }
    if (is_new != 0) {
        is_new = 0;
        turns = (struct turns){ .wait = turns.wait };
    }
    count = turns.wait(fd, events, room, timeout_ms);
    turns.begin_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    turns.begin_wall_us = clock_us(CLOCK_MONOTONIC);
    return count;
}

__attribute__((destructor)) static void turns_write(void)
{
    const char *path = getenv("TURNS");
    FILE *file = path == NULL ? NULL : fopen(path, "we");

    if (file != NULL) {
        (void)fprintf(file,
                      "turns %llu count\nlongest %llu us\nlongest_wall %llu us\n"
                      "above_10ms %llu count\n",
                      (unsigned long long)turns.count, (unsigned long long)turns.longest_us,
                      (unsigned long long)turns.longest_wall_us, (unsigned long long)turns.above);
        (void)fclose(file);
    }
}
