#include "node/guard.h"

#define US_PER_S UINT64_C(1000000)

static uint64_t later(uint64_t one_s, uint64_t other_s)
{
    return one_s > other_s ? one_s : other_s;
}

void guard_begin(struct guard *guard, struct moment now)
{
    *guard = (struct guard){
        .wall_at_start_s = now.unix_s,
        .mono_at_start_us = now.mono_us,
        .steady = now,
        .ticked_us = now.mono_us,
    };
}

static uint64_t apart_s(uint64_t one_s, uint64_t other_s)
{
    return one_s > other_s ? one_s - other_s : other_s - one_s;
}

/* Measured from one point: many small steps are a jump, too. Of a while in which nobody looked,
 * nobody knows whether others would have disagreed. */
void guard_tick(struct guard *guard, struct moment now)
{
    const uint64_t expected_s =
        guard->steady.unix_s + (now.mono_us - guard->steady.mono_us) / US_PER_S;

    if (apart_s(now.unix_s, expected_s) > GUARD_JUMP_S
        || now.mono_us - guard->ticked_us > GUARD_JUMP_S * US_PER_S) {
        guard->steady = now;
    }
    guard->ticked_us = now.mono_us;
}

/* The place of a host: its own, a free one, or the one that was told longest ago. */
static struct guard_vote *vote_place(struct guard *guard, const struct address *from)
{
    const struct address host = address_host(from);
    struct guard_vote *oldest = &guard->votes[0];

    for (unsigned i = 0; i < guard->count; i++) {
        const struct address other = address_host(&guard->votes[i].from);

        if (address_compare(&other, &host) == 0) {
            return &guard->votes[i];
        }
        if (guard->votes[i].told_us < oldest->told_us) {
            oldest = &guard->votes[i];
        }
    }
    return guard->count < GUARD_VOTES_MAX ? &guard->votes[guard->count++] : oldest;
}

void guard_vote(struct guard *guard, struct moment now, const struct address *from,
                uint64_t clock_s)
{
    if (clock_s == 0 || clock_s > GUARD_CLOCK_MAX_S) {
        return;
    }
    /* Who was contradicted is not alone with its clock for a day after that, either. */
    if (apart_s(clock_s, now.unix_s) > GUARD_NEAR_S) {
        guard->steady = now;
    }
    *vote_place(guard, from) =
        (struct guard_vote){ .from = *from, .clock_s = clock_s, .told_us = now.mono_us };
}

void guard_trust(struct guard *guard, const struct address_range *trust, size_t count)
{
    uint8_t kept = 0;

    for (unsigned i = 0; i < guard->count; i++) {
        if (address_in_ranges(&guard->votes[i].from, trust, count)) {
            guard->votes[kept++] = guard->votes[i];
        }
    }
    guard->count = kept;
}

/* What the votes that count say by now, ascending. Returns how many. */
static unsigned votes_sort(const struct guard *guard, struct moment now,
                           uint64_t sorted[GUARD_VOTES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < guard->count; i++) {
        const struct guard_vote *vote = &guard->votes[i];
        const uint64_t clock_s = vote->clock_s + (now.mono_us - vote->told_us) / US_PER_S;
        unsigned at = count;

        if (now.mono_us - vote->told_us > GUARD_VOTE_US) {
            continue;
        }
        while (at > 0 && sorted[at - 1] > clock_s) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = clock_s;
        count++;
    }
    return count;
}

uint64_t guard_now_s(const struct guard *guard, struct moment now)
{
    uint64_t sorted[GUARD_VOTES_MAX];
    const unsigned count = votes_sort(guard, now, sorted);

    return count < GUARD_VOTES_LEAST ? now.unix_s : sorted[(count - 1) / 2];
}

bool guard_is_confirmed(const struct guard *guard, struct moment now)
{
    const uint64_t now_s = guard_now_s(guard, now);
    uint64_t sorted[GUARD_VOTES_MAX];
    const unsigned count = votes_sort(guard, now, sorted);
    unsigned near = 0;

    for (unsigned i = 0; i < count; i++) {
        near += apart_s(sorted[i], now_s) <= GUARD_NEAR_S;
    }
    return near >= GUARD_AGREE
           || (near == count && now.mono_us - guard->steady.mono_us >= GUARD_STEADY_US);
}

uint64_t guard_ran_s(const struct guard *guard, struct moment now)
{
    return guard->wall_at_start_s + (now.mono_us - guard->mono_at_start_us) / US_PER_S;
}

uint64_t guard_latest_s(const struct guard *guard, struct moment now)
{
    return later(later(guard_now_s(guard, now), now.unix_s), guard_ran_s(guard, now));
}
