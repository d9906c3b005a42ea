/* How long the dearest datagrams and turns of tests/unit/turns.h take. One line a case: the longest
 * single datagram and the longest turn, in microseconds of this thread.
 *
 *     costs [CASE]       only this one */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "unit/turns.h"

static uint64_t clock_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < turns_cases_count; i++) {
        if (argc > 1 && strcmp(argv[1], turns_cases[i].name) != 0) {
            continue;
        }
        const struct turns_result result = turns_cases[i].run(clock_ns);

        (void)printf("%s datagram %llu us turn %llu us\n", turns_cases[i].name,
                     (unsigned long long)result.datagram_ns / 1000,
                     (unsigned long long)result.turn_ns / 1000);
        (void)fflush(stdout);
    }
    return 0;
}
