#include "node/lag.h"

#include "base/hash.h"
#include "node/peers.h"
#include "node/recent.h"
#include "node/state.h"
#include "store/digest.h"

#define STATES_FIRST 16
#define SETTLED_US   1000000 /* one exchange is many lists: one that tells nothing proves nothing */
#define FOUND_MS     30000   /* longer than it takes to exchange with the same peer again */
#define CHANGING_US  1000000 /* the last change is so new: unequal digests tell nothing */
#define UNTOLD_US    5000000 /* but after as long as exchanges with all may take, so much each */
#define STATES_UNIT  16      /* compared for one unit of work */

struct lag_state {
    uint64_t root;     /* with all that ended: table_root_ever() */
    uint64_t since_us; /* mono; until the next one's */
};

struct lag {
    struct lag_state *states; /* a ring, the oldest is overwritten */
    struct recent found;      /* differences that did not change lately */
    uint32_t room;            /* 0 or a power of two */
    uint32_t last;            /* of the newest, counted on for ever */
    uint32_t count;
};

static struct lag_state *state_at(const struct lag *lag, uint32_t number)
{
    return &lag->states[number & (lag->room - 1)];
}

static void states_grow(struct node *node)
{
    struct lag *lag = node->lag;
    struct lag bigger = *lag;

    bigger.room = lag->room == 0 ? STATES_FIRST : lag->room * 2;
    bigger.states = mem_alloc(node->mem, bigger.room * sizeof *bigger.states);
    if (bigger.states == NULL) {
        node->stats.memory_refused++;
        return;
    }
    for (uint32_t i = 0; i < lag->count; i++) {
        *state_at(&bigger, lag->last - i) = *state_at(lag, lag->last - i);
    }
    mem_free(node->mem, lag->states, lag->room * sizeof *lag->states);
    *lag = bigger;
}

bool lag_create(struct node *node)
{
    node->lag = mem_alloc_zeroed(node->mem, sizeof *node->lag);
    return node->lag != NULL;
}

void lag_free(struct node *node)
{
    struct lag *lag = node->lag;

    if (lag != NULL) {
        recent_clear(&lag->found, node->mem);
        mem_free(node->mem, lag->states, lag->room * sizeof *lag->states);
        mem_free(node->mem, lag, sizeof *lag);
    }
}

void lag_note(struct node *node, struct moment now)
{
    struct lag *lag = node->lag;
    const uint64_t root = table_root_ever(node->table);

    if (lag->count > 0 && state_at(lag, lag->last)->root == root) {
        return;
    }
    if (lag->count == lag->room && lag->room < LAG_STATES_MAX) {
        states_grow(node);
    }
    if (lag->room == 0) {
        return;
    }
    lag->last++;
    lag->count += lag->count < lag->room;
    *state_at(lag, lag->last) = (struct lag_state){ .root = root, .since_us = now.mono_us };
}

/* Whether it is of a state of ours. */
static bool is_of(const struct node *node, uint64_t ever, struct lag_said said)
{
    return digest_salted(table_root_of(node->table, ever, said.minute), said.salt) == said.root;
}

/* Until when a state was ours whose digest this is, of those that were later than a time. 0: there
 * was none. */
static uint64_t ours_until(struct node *node, struct moment now, struct lag_said said,
                           uint64_t later_us)
{
    const struct lag *lag = node->lag;
    uint64_t until_us = now.mono_us;
    uint64_t found_us = 0;
    uint32_t i = 0;

    while (i < lag->count && until_us >= later_us && found_us == 0) {
        const struct lag_state *state = state_at(lag, lag->last - i);

        if (is_of(node, state->root, said)) {
            found_us = until_us;
        }
        until_us = state->since_us;
        i++;
    }
    work_count(node, 1 + i / STATES_UNIT);
    return found_us;
}

/* Whether a digest that is none of ours tells that the peer differs: digests of data that change
 * differ all the time, and an exchange, which is had with each peer now and then, tells more. */
static bool tells(const struct node *node, struct moment now, const struct peer *peer)
{
    const struct lag *lag = node->lag;
    const uint64_t untold_us = NODE_CONVERGED_US + peers_members(node->peers) * (uint64_t)UNTOLD_US;
    const bool changing =
        lag->count > 0 && now.mono_us - state_at(lag, lag->last)->since_us < CHANGING_US;

    return !changing || peer->checked_us == 0 || now.mono_us - peer->checked_us > untold_us;
}

bool lag_check(struct node *node, struct moment now, struct peer *peer, struct lag_said said)
{
    const uint64_t kept_us = 2 * NODE_CONVERGED_US;
    const uint64_t later_us = now.mono_us < kept_us ? 0 : now.mono_us - kept_us;
    const uint64_t until_us = is_of(node, table_root_ever(node->table), said)
                                  ? now.mono_us
                                  : ours_until(node, now, said, later_us);
    const struct lag_said before = { peer->told_root, peer->told_salt, peer->told_minute };

    bool was_ours = until_us != 0;

    if (until_us > peer->equal_us) {
        peer->equal_us = until_us;
    }
    if (until_us > peer->has_us) {
        peer->has_us = until_us;
    }
    /* It was ahead of us, and we have come to where it was. */
    if (peer->told_us > peer->equal_us && ours_until(node, now, before, peer->told_us) != 0) {
        peer->equal_us = peer->told_us;
        peer->has_us = peer->told_us;
        was_ours = true;
    }
    peer->told_us = until_us == 0 ? now.mono_us : 0;
    peer->told_root = said.root;
    peer->told_salt = said.salt;
    peer->told_minute = said.minute;
    if (was_ours || tells(node, now, peer)) {
        peer->checked_us = now.mono_us;
    }
    return was_ours;
}

bool lag_is_old(struct node *node, struct moment now, const struct peer *peer, uint64_t difference)
{
    struct recent *found = &node->lag->found;
    const uint64_t hash = hash_mix(peer->id, difference);
    const bool old = recent_has(found, hash, 0, now.mono_us / 1000);

    found->keep_ms = FOUND_MS;
    if (!recent_put(found, node->mem, hash, 0, now.mono_us / 1000)) {
        node->stats.memory_refused += found->room == 0;
    }
    return old;
}

void lag_differs(struct moment now, struct peer *peer, bool old)
{
    const uint64_t fresh_us = LAG_FRESH_MS * UINT64_C(1000);

    if (old) {
        peer->settled_us = now.mono_us;
    } else if (now.mono_us - peer->settled_us > SETTLED_US
               && now.mono_us - fresh_us > peer->equal_us) {
        peer->equal_us = now.mono_us - fresh_us;
        peer->checked_us = now.mono_us;
        peer->told_us = 0;
    }
}

void lag_tick(struct node *node, struct moment now)
{
    recent_tick(&node->lag->found, node->mem, now.mono_us / 1000);
}
