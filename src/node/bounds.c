#include "node/bounds.h"

#include "node/claim.h"
#include "node/state.h"

#include <string.h>

#define US_PER_S UINT64_C(1000000)
#define PREFIX   "n:"
#define PREFIX_N 2

bool presence_address(struct bytes key, struct address *address_out)
{
    struct address address;

    if (key.size <= PREFIX_N || memcmp(key.data, PREFIX, PREFIX_N) != 0) {
        return false;
    }
    if (!address_from_text((struct bytes){ key.data + PREFIX_N, key.size - PREFIX_N }, &address)
        || !address_is_peer(&address)) {
        return false;
    }
    *address_out = address;
    return true;
}

uint64_t presence_minutes(uint64_t stamp)
{
    /* One minute in each unit, and where the unit's range begins: no two overlap for the times
     * from 1989 to 2160. */
    static const struct {
        uint64_t least;
        uint64_t minute;
    } units[] = {
        { UINT64_C(100000000000000000), UINT64_C(60000000000) }, /* nanoseconds */
        { UINT64_C(100000000000000), UINT64_C(60000000) },       /* microseconds */
        { UINT64_C(100000000000), UINT64_C(60000) },             /* milliseconds */
        { UINT64_C(100000000), UINT64_C(60) },                   /* seconds */
        { UINT64_C(10000000), UINT64_C(1) },                     /* minutes */
    };

    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (stamp >= units[i].least) {
            return stamp / units[i].minute;
        }
    }
    return 0;
}

uint64_t presence_now_s(const struct node *node, struct moment now)
{
    return guard_latest_s(&node->presence.guard, now);
}

uint64_t presence_stamp(const struct node *node, struct moment now, const struct peer *peer)
{
    const uint64_t now_min = now.unix_s / 60;
    uint64_t stamp = now_min;

    (void)node;
    if (peer != NULL) {
        stamp = peer->stamp;
        if (peer->heard_us != 0) {
            const uint64_t ago_min = (now.mono_us - peer->heard_us) / (60 * US_PER_S);
            const uint64_t heard_min = ago_min < now_min ? now_min - ago_min : 0;

            stamp = heard_min > stamp ? heard_min : stamp;
        }
    }
    return stamp < now_min ? stamp : now_min;
}

bool presence_forgotten(const struct node *node, struct moment now, const struct vector *vector)
{
    const struct claim nothing = { .stamp = 0 };

    return claim_forgotten(&nothing, vector, presence_now_s(node, now));
}
