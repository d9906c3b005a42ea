#include "node/bounds.h"

#include "node/claim.h"
#include "node/clock.h"
#include "node/peers.h"
#include "node/state.h"

#define US_PER_S     UINT64_C(1000000)
#define MINUTE_LEAST UINT64_C(10000000) /* the first that is told for one: in 1989 */

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
        { MINUTE_LEAST, UINT64_C(1) },                           /* minutes */
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
    return guard_latest_s(&node->guard, now);
}

void presence_stamp_receive(struct moment now, struct peer *peer, uint64_t stamp)
{
    const uint64_t now_min = now.unix_s / 60;
    uint64_t minutes = presence_minutes(stamp);

    minutes = minutes < now_min ? minutes : now_min;
    if (minutes <= peer->stamp || minutes > UINT32_MAX) {
        return;
    }
    peer->stamp = (uint32_t)minutes;
    if (peer->level == 0 && minutes + STAMP_FRESH_MIN >= now_min) {
        if (peer->heard_us != 0) {
            peer->heard_us = now.mono_us;
        } else if (peer->state == PEER_ALIVE) {
            peer->suspect_ms = clock_ms(now);
        }
    }
}

void presence_stamp_told(struct moment now, struct peer *from, uint64_t stamp)
{
    const uint64_t told_s = presence_minutes(stamp) * 60;
    const uint64_t ran_s = (now.mono_us + US_PER_S - 1) / US_PER_S; /* its clock is not before */

    if (told_s > ran_s && told_s - ran_s > from->clock_base_s && told_s - ran_s <= UINT32_MAX) {
        from->clock_base_s = (uint32_t)(told_s - ran_s);
    }
}

/* The minute that a plain peer's own clock has reached for certain. Who writes an instance is a
 * node, which answers no stamp, and tells none that we could go by. */
static uint64_t minute_reached(struct moment now, const struct peer *to)
{
    if (to->presence != NULL && vector_get(entry_vector(to->presence), PRESENCE_INSTANCE) != 0) {
        return UINT64_MAX;
    }
    return to->clock_base_s == 0 ? MINUTE_LEAST : (to->clock_base_s + now.mono_us / US_PER_S) / 60;
}

uint64_t presence_stamp(struct moment now, const struct peer *peer, const struct peer *to)
{
    const uint64_t now_min = now.unix_s / 60;
    const uint64_t reached_min = minute_reached(now, to);
    uint64_t stamp = now_min;

    if (peer != NULL) {
        stamp = peer->stamp;
        if (peer->heard_us != 0) {
            const uint64_t ago_min = (now.mono_us - peer->heard_us) / (60 * US_PER_S);
            const uint64_t heard_min = ago_min < now_min ? now_min - ago_min : 0;

            stamp = heard_min > stamp ? heard_min : stamp;
        }
    }
    stamp = stamp < now_min ? stamp : now_min;
    return stamp < reached_min ? stamp : reached_min;
}

bool presence_forgotten(const struct node *node, struct moment now, const struct vector *vector)
{
    const struct claim nothing = { .stamp = 0 };

    return claim_forgotten(&nothing, vector, presence_now_s(node, now));
}
