#ifndef SIM_TRACE_H
#define SIM_TRACE_H

/* What nodes do, on standard output, a line an event: seconds of the world, who, what and its
 * fields (node/trace.h). The run is the same with it and without. */

#include "sim/world.h"

/* From now on. */
void trace_begin(void);

/* The listener for a machine's node; none before trace_begin(). */
struct trace_listener trace_listener_of(struct machine *machine);

#endif /* SIM_TRACE_H */
