#include "sim/explain.h"

#include <stdio.h>

#include "sim/world.h"

static bool is_right(const struct machine *of, enum peer_state state)
{
    return of->up ? state == PEER_ALIVE : state == PEER_DEAD || state == PEER_LEFT;
}

void explain_views(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.nodes; i++) {
        for (uint32_t k = 0; k < world->count && world->machines[i].up; k++) {
            const struct machine *other = &world->machines[k];

            if (i != k && other->kind != MACHINE_STRANGER
                && !is_right(other, world_state(world, i, k))) {
                printf("  machine %u holds %u, which is %s, in state %d\n", i, k,
                       other->up ? "up" : "down", world_state(world, i, k));
            }
        }
    }
}

/* One difference between the stores of two nodes. */
static void difference_print(const struct machine *one, const struct machine *other)
{
    struct entry *entry = NULL;
    struct bytes after = { NULL, 0 };

    while (table_slice(one->table, (struct bytes){ NULL, 0 }, after, &entry, 1) == 1) {
        const struct bytes key = entry_key(entry);
        const struct entry *same = table_find(other->table, key);

        if (same == NULL || entry_digest(same) != entry_digest(entry)) {
            printf("  %.*s: %llu elements, %llu elsewhere\n", (int)key.size, (const char *)key.data,
                   (unsigned long long)vector_size(entry_vector(entry)),
                   (unsigned long long)(same == NULL ? 0 : vector_size(entry_vector(same))));
            for (uint64_t i = 1; same != NULL && i < 24; i++) {
                const uint64_t here = vector_get(entry_vector(entry), i);
                const uint64_t there = vector_get(entry_vector(same), i);

                if (here != there) {
                    printf("    [%llu] %llu %llu\n", (unsigned long long)i,
                           (unsigned long long)here, (unsigned long long)there);
                }
            }
            return;
        }
        after = key;
    }
}

void explain_stores(const struct world *world)
{
    for (uint32_t i = 1; i < world->options.nodes; i++) {
        printf("  stores of 0 and %u\n", i);
        difference_print(&world->machines[0], &world->machines[i]);
        difference_print(&world->machines[i], &world->machines[0]);
    }
}

void explain_strangers(const struct world *world, uint32_t node)
{
    const struct machine *machine = &world->machines[node];
    struct peer_view views[64];
    const size_t count = node_peers(machine->node, NULL, views, 64);

    for (size_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_MAX];

        if (world_machine_of(world, &views[i].address) == WORLD_NOBODY) {
            const int size = (int)address_to_text(&views[i].address, text);

            printf("  nobody has %.*s: level %u, state %u\n", size, text, views[i].level,
                   views[i].state);
        }
    }
}
