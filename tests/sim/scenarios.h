#ifndef SIM_SCENARIOS_H
#define SIM_SCENARIOS_H

/* Runs with a purpose: each sets up one situation and ends the program where it does not come out
 * as it must. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scenario {
    const char *name;
    const char *about;
    void (*run)(uint64_t seed);
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

void scenario_forged(uint64_t seed);
void scenario_units(uint64_t seed);
void scenario_flood(uint64_t seed);
void scenario_replay(uint64_t seed);

void scenario_strangers(uint64_t seed);
void scenario_forgers(uint64_t seed);
void scenario_floods(uint64_t seed);
void scenario_siege(uint64_t seed);

/* One act of an attacker, by its name (sim/attack.h). False: none is called so. */
bool scenario_act(const char *name, uint64_t seed);

/* Keys that end and keys that are deleted, over a year or two of virtual time in which all sorts of
 * copies and clocks turn up. */
struct ends_result {
    unsigned dead;        /* elements of keys that ended or were deleted */
    unsigned resurrected; /* times that one was found again, by a node whose clock is right */
};
struct ends_result ends_run(uint64_t seed);
void scenario_ends(uint64_t seed);
void scenario_wild(uint64_t seed);

void scenario_stalls(uint64_t seed);

void scenario_rolling(uint64_t seed);
void scenario_together(uint64_t seed);
void scenario_pauses(uint64_t seed);
void scenario_deaths(uint64_t seed);
void scenario_ahead(uint64_t seed);
void scenario_apart(uint64_t seed);
void scenario_sketches(uint64_t seed);
void scenario_full(uint64_t seed);
void scenario_prototypes(uint64_t seed);
void scenario_afar(uint64_t seed);
void scenario_hot(uint64_t seed);

#endif /* SIM_SCENARIOS_H */
