/* A wall clock that is wrong by as many seconds as the file VIGNETTE_CLOCK says at that moment.
 * Preloaded into daemons by clocks.py; the monotonic clock stays as it is. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long clock_offset_s(void)
{
    const char *path = getenv("VIGNETTE_CLOCK");
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    long long offset_s = 0;

    if (file != NULL) {
        if (fscanf(file, "%lld", &offset_s) != 1) {
            offset_s = 0;
        }
        fclose(file);
    }
    return offset_s;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*next)(clockid_t, struct timespec *);
    int result;

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    }
    result = next(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        now->tv_sec += (time_t)clock_offset_s();
    }
    return result;
}

time_t time(time_t *now_out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now_out != NULL) {
        *now_out = now.tv_sec;
    }
    return now.tv_sec;
}
