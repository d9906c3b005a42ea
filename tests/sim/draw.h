#ifndef SIM_DRAW_H
#define SIM_DRAW_H

/* Numbers as attackers and the unlucky choose them: more often than not at an edge, where
 * arithmetic wraps, a form of the wire becomes too narrow or a double loses its last bit. */

#include "base/random.h"

#include <stdint.h>

/* One of the edges of unit/edges.h. */
uint64_t draw_edge(struct random *random);

/* An edge three times in four, else any number, small ones as often as large ones. */
uint64_t draw_number(struct random *random);

#endif /* SIM_DRAW_H */
