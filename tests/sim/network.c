#include "sim/network.h"

#include <string.h>

#include "sim/world.h"

enum purpose {
    PURPOSE_LOSS = 101,
    PURPOSE_DELAY,
    PURPOSE_DUPLICATE,
    PURPOSE_REORDER,
    PURPOSE_CORRUPT
};

void network_init(struct network *network, uint64_t seed)
{
    random_seed(&network->loss, seed, PURPOSE_LOSS);
    random_seed(&network->delay, seed, PURPOSE_DELAY);
    random_seed(&network->duplicate, seed, PURPOSE_DUPLICATE);
    random_seed(&network->reorder, seed, PURPOSE_REORDER);
    random_seed(&network->corrupt, seed, PURPOSE_CORRUPT);
}

void network_cut(struct network *network, unsigned from, unsigned to)
{
    network->cut[from][to] = true;
}

void network_heal(struct network *network)
{
    memset(network->cut, 0, sizeof network->cut);
}

static bool falls(struct random *random, unsigned permille)
{
    return permille > 0 && random_below(random, 1000) < permille;
}

/* Change some bytes, or lose the end. */
static void damage(struct network *network, struct datagram *datagram)
{
    struct random *random = &network->corrupt;
    const uint64_t count = 1 + random_below(random, 4);

    network->corrupted++;
    if (random_below(random, 4) == 0) {
        datagram->size = random_below(random, datagram->size + 1);
        return;
    }
    for (uint64_t i = 0; i < count && datagram->size > 0; i++) {
        const size_t at = random_below(random, datagram->size);

        datagram->data[at] ^= (uint8_t)(1 + random_below(random, 255));
    }
}

static uint64_t delay_us(struct network *network)
{
    const struct faults *faults = &network->faults;
    uint64_t us = faults->latency_us;

    if (faults->jitter_us > 0) {
        us += random_below(&network->delay, faults->jitter_us + 1);
    }
    if (falls(&network->reorder, faults->reorder_permille)) {
        us += random_below(&network->reorder, NETWORK_REORDER_US);
    }
    return us;
}

void network_send(struct world *world, uint32_t sender, const struct address *from,
                  const struct address *to, struct bytes bytes)
{
    struct network *network = &world->network;
    const uint32_t receiver = world_machine_of(world, to);
    unsigned copies = 1;

    if (receiver == WORLD_NOBODY && !address_in_range(to, &world_network)) {
        network->bystander_bytes += bytes.size + NETWORK_HEADER_BYTES;
    }
    if (receiver == WORLD_NOBODY
        || network->cut[world->machines[sender].side][world->machines[receiver].side]) {
        network->lost++;
        return;
    }
    copies += falls(&network->duplicate, network->faults.duplicate_permille);
    for (unsigned i = 0; i < copies; i++) {
        struct datagram *datagram;

        if (falls(&network->loss, network->faults.loss_permille)) {
            network->lost++;
            continue;
        }
        datagram = datagram_create(bytes);
        datagram->from = *from;
        datagram->to = *to;
        datagram->sender = sender;
        if (falls(&network->corrupt, network->faults.corrupt_permille)) {
            damage(network, datagram);
        }
        schedule_push(&world->schedule, (struct event){ .at_us = world->now_us + delay_us(network),
                                                        .datagram = datagram,
                                                        .machine = receiver,
                                                        .kind = EVENT_ARRIVAL });
    }
}
