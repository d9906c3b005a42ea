#include "node/bounds.h"

#include "node/claim.h"
#include "node/state.h"

#include <string.h>

#define US_PER_S    UINT64_C(1000000)
#define CLOCK_MAX_S UINT64_C(6000000000) /* the year 2160: no clock that is told is beyond */
#define PREFIX      "n:"
#define PREFIX_N    2

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

/* The lower median of the clocks that trusted peers told; 0 when none did. */
static uint64_t clocks_median_s(const struct presence *presence)
{
    uint64_t sorted[PRESENCE_CLOCKS_MAX];

    if (presence->clocks_count == 0) {
        return 0;
    }
    for (unsigned i = 0; i < presence->clocks_count; i++) {
        unsigned at = i;

        while (at > 0 && sorted[at - 1] > presence->clocks_s[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = presence->clocks_s[i];
    }
    return sorted[(presence->clocks_count - 1) / 2];
}

uint64_t presence_now_s(const struct node *node, struct moment now)
{
    const struct presence *presence = &node->presence;
    const uint64_t ran_s = (now.mono_us - presence->mono_at_start_us) / US_PER_S;
    const uint64_t clocks_s = clocks_median_s(presence);
    uint64_t now_s = now.unix_s;

    if (presence->wall_at_start_s + ran_s > now_s) {
        now_s = presence->wall_at_start_s + ran_s;
    }
    return clocks_s > now_s ? clocks_s : now_s;
}

/* A peer told its clock: by a stamp, or by its start, which is not after it. */
void presence_clock_learn(struct presence *presence, uint64_t id, uint64_t clock_s)
{
    unsigned at;

    if (clock_s == 0 || clock_s > CLOCK_MAX_S) {
        return;
    }
    for (at = 0; at < presence->clocks_count; at++) {
        if (presence->clocks_id[at] == id) {
            presence->clocks_s[at] =
                clock_s > presence->clocks_s[at] ? clock_s : presence->clocks_s[at];
            return;
        }
    }
    at = presence->clocks_next;
    presence->clocks_s[at] = clock_s;
    presence->clocks_id[at] = id;
    presence->clocks_next = (uint8_t)((at + 1) % PRESENCE_CLOCKS_MAX);
    if (presence->clocks_count < PRESENCE_CLOCKS_MAX) {
        presence->clocks_count++;
    }
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
