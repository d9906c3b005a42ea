#include "sim/draw.h"

#include "unit/edges.h"

uint64_t draw_edge(struct random *random)
{
    return edge_at((unsigned)random_below(random, EDGES));
}

uint64_t draw_number(struct random *random)
{
    uint64_t number;

    if (random_below(random, 4) != 0) {
        return draw_edge(random);
    }
    number = random_next(random);
    return number >> random_below(random, 64);
}
