#ifndef SIM_EXPLAIN_H
#define SIM_EXPLAIN_H

/* What a red run prints for whoever looks for its cause. */

#include <stdint.h>

struct world;

/* Who holds whom, that is up, for something else than alive, or one that is down for alive. */
void explain_views(const struct world *world);

/* One difference between the stores of the first node and each other one. */
void explain_stores(const struct world *world);

/* Peers of a node that are no machines: addresses that were left, or made up. */
void explain_strangers(const struct world *world, uint32_t node);

#endif /* SIM_EXPLAIN_H */
