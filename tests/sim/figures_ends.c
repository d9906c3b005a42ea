#include <stdio.h>

#include "sim/figures.h"
#include "sim/report.h"
#include "sim/scenarios.h"

#define ENDS_RUNS 20

/* Nodes that were away, copies of any age, wrong clocks and prototypes that repeat everything: what
 * of all that ended comes back. */
void figure_ends(const struct figure_options *options)
{
    const size_t runs = figure_scaled(options, ENDS_RUNS, 1);
    struct ends_result all = { .dead = 0 };
    char text[80];

    for (size_t i = 0; i < runs; i++) {
        const struct ends_result one = ends_run(options->seed + i);

        all.dead += one.dead;
        all.resurrected += one.resurrected;
    }
    snprintf(text, sizeof text, "dead keys alive again, of %u", all.dead);
    report_most(text, all.resurrected, 0, "");
}
