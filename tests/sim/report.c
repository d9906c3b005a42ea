#include "sim/report.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned missed;

void report_most(const char *figure, double measured, double limit, const char *unit)
{
    if (limit < 0) {
        printf("      %-66s %10.3f %s\n", figure, measured, unit);
    } else {
        const bool reached = measured <= limit;

        printf("%-5s %-66s %10.3f %s, to be at most %g\n", reached ? "ok" : "red", figure, measured,
               unit, limit);
        missed += !reached;
    }
    fflush(stdout);
}

unsigned report_missed(void)
{
    return missed;
}

void sample_clear(struct sample *sample)
{
    free(sample->values);
    *sample = (struct sample){ 0 };
}

void sample_add(struct sample *sample, double value)
{
    if (sample->count == sample->room) {
        sample->room = sample->room * 2 + 64;
        sample->values = realloc(sample->values, sample->room * sizeof *sample->values);
        assert(sample->values != NULL);
    }
    sample->values[sample->count++] = value;
}

double sample_mean(const struct sample *sample)
{
    double sum = 0;

    for (size_t i = 0; i < sample->count; i++) {
        sum += sample->values[i];
    }
    return sample->count == 0 ? 0 : sum / (double)sample->count;
}

static int compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

double sample_permille(struct sample *sample, unsigned permille)
{
    size_t position;

    if (sample->count == 0) {
        return 0;
    }
    qsort(sample->values, sample->count, sizeof *sample->values, compare);
    position = (sample->count * permille + 999) / 1000;
    return sample->values[position == 0 ? 0 : position - 1];
}
