#ifndef SIM_FIGURES_H
#define SIM_FIGURES_H

/* The scenarios that measure. Each prints its lines of the table. */

#include <stddef.h>
#include <stdint.h>

struct figure_options {
    uint64_t seed;
    size_t nodes; /* 0: as many as the figure is about */
    double scale; /* 1: the whole measurement; less: fewer trials, shorter spans, smaller worlds */
};

struct figure {
    const char *name;
    const char *about;
    void (*run)(const struct figure_options *options);
};

extern const struct figure figures[];
extern const size_t figures_count;

/* A number scaled, but not below the least that still means something. */
size_t figure_scaled(const struct figure_options *options, size_t whole, size_t least);

void figure_push(const struct figure_options *options);
void figure_push_far(const struct figure_options *options);
void figure_push_loss(const struct figure_options *options);
void figure_push_dead(const struct figure_options *options);
void figure_join(const struct figure_options *options);
void figure_idle(const struct figure_options *options);
void figure_kill(const struct figure_options *options);
void figure_false_deaths(const struct figure_options *options);
void figure_healing(const struct figure_options *options);
void figure_sketch(const struct figure_options *options);
void figure_amplification(const struct figure_options *options);
void figure_differences(const struct figure_options *options);
void figure_rejoin(const struct figure_options *options);
void figure_lossy(const struct figure_options *options);
void figure_ends(const struct figure_options *options);
void figure_crashes(const struct figure_options *options);
void figure_deadline(const struct figure_options *options);
void figure_pull(const struct figure_options *options);

#endif /* SIM_FIGURES_H */
