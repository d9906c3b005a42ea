#ifndef SIM_REPORT_H
#define SIM_REPORT_H

/* The table of figures: one line each, what was measured beside what is to be reached. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A figure that must be at most so much. A limit below 0: it is only shown. */
void report_most(const char *figure, double measured, double limit, const char *unit);

/* How many were missed so far. */
unsigned report_missed(void);

/* A sample of measurements. */
struct sample {
    double *values;
    size_t count;
    size_t room;
};

void sample_clear(struct sample *sample);
void sample_add(struct sample *sample, double value);
double sample_mean(const struct sample *sample);
/* The value below which so many of a thousand lie; 1000: the largest. */
double sample_permille(struct sample *sample, unsigned permille);

#endif /* SIM_REPORT_H */
