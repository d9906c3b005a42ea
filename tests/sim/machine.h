#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

/* Starting, stopping and turning one machine. Used by the world alone. */

#include "sim/world.h"

/* Start a node over a table that may hold something already (NULL: make an empty one). */
void machine_start(struct world *world, uint32_t machine, struct table *table);

/* An empty table of this machine, and one with all that another has but one entry (NULL: all): also
 * with what has ended and is kept, as on a disk. */
struct table *machine_table(struct world *world, uint32_t machine);
struct table *machine_table_copy(struct world *world, uint32_t machine, struct table *from,
                                 const struct entry *except);

/* The seeds of a machine: the first nodes. */
void machine_seed(struct world *world, uint32_t machine);

/* One turn: what was received, what is due, what leaves. */
void machine_turn(struct world *world, struct machine *machine);

/* The rest of a turn, after something was done to the node: check, emit, end, plan the next. */
void machine_finish(struct world *world, struct machine *machine);

/* It does no more turns and hears nothing. */
void machine_halt(struct world *world, uint32_t machine);

/* Throw away what waits to be received. */
void machine_deafen(struct machine *machine);

/* Make every node know every other as a member, as if all had joined long ago: each is loaded with
 * the presence of all and hears, from each, the hello that ends their handshake. */
void machine_prejoin(struct world *world);

#endif /* SIM_MACHINE_H */
