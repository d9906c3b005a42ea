#include <stdio.h>

#include "sim/figures.h"
#include "sim/report.h"
#include "sim/run.h"

#define CRASH_RUNS 40
#define NODES      4
#define SECONDS    60

/* Machines end at any moment of what their disks do, while networks and disks fail: how often, and
 * that what they had acknowledged was there afterwards. A loss ends the program. */
void figure_crashes(const struct figure_options *options)
{
    static const unsigned others[] = { 0, RUN_LOSS, RUN_EVERY, RUN_EVERY | RUN_DATED };
    const size_t runs = figure_scaled(options, CRASH_RUNS, 4);
    uint64_t crashes = 0;
    char text[80];

    for (size_t i = 0; i < runs; i++) {
        const struct run_options one = { .seed = options->seed + i,
                                         .nodes = NODES,
                                         .seconds = SECONDS,
                                         .faults = RUN_DISK | others[i % 4],
                                         .digest_bits = 64 };
        const struct storage_figures disks = run_random(&one).disks;

        crashes += disks.power_cuts + disks.kills;
    }
    snprintf(text, sizeof text, "losses in %llu crashes over disks", (unsigned long long)crashes);
    report_most(text, 0, 0, "");
}
