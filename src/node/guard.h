#ifndef NODE_GUARD_H
#define NODE_GUARD_H

/* The guarded clock: our own, and what enough trusted hosts say where it lags behind. One wrong
 * clock, ours or another's, must neither let a forged word in nor shut a true one out. Knows no
 * node and no wire; whoever calls guard_vote() has made sure that the voter is in a trusted range
 * and receives where it sends from (a holder of a key may be added there).
 *
 * A vote is a floor: what is told is a start, which lies at or before the teller's clock. So votes
 * can show that our clock lags, never that it is ahead; that takes a clock on the wire. Private to
 * the room. Source: vignette(7), "Bounds". */

#include "base/address.h"
#include "base/moment.h"

#include <stddef.h>
#include <stdint.h>

#define GUARD_VOTES_LEAST 3                    /* fewer could be one liar and one mistake */
#define GUARD_VOTES_MAX   16                   /* more make no better median */
#define GUARD_CLOCK_MAX_S UINT64_C(6000000000) /* the year 2160: no clock is beyond */

/* One host: an IPv4 address, or the 64 bits of an IPv6 network, in which one host may take any
 * address; whatever its ports. */
struct guard_vote {
    struct address from; /* that told it last */
    uint64_t clock_s;    /* at `told_us` */
    uint64_t told_us;    /* mono */
};

/* Open, because it is embedded; only node/guard.c touches the fields. */
struct guard {
    uint64_t wall_at_start_s;
    uint64_t mono_at_start_us;
    struct guard_vote votes[GUARD_VOTES_MAX];
    uint8_t count;
};

void guard_begin(struct guard *guard, struct moment now);

/* A trusted host told its clock: its last word counts. Where all places are taken, it gets that of
 * the host that told nothing for longest. Clocks of 0 and beyond GUARD_CLOCK_MAX_S are none. */
void guard_vote(struct guard *guard, struct moment now, const struct address *from,
                uint64_t clock_s);

/* The trusted ranges are other ones now: votes from outside of them are no more. */
void guard_trust(struct guard *guard, const struct address_range *trust, size_t count);

/* Unix seconds: our wall clock, or the lower median of the votes where that is later and there are
 * at least GUARD_VOTES_LEAST. For whatever ends at a time. */
uint64_t guard_now_s(const struct guard *guard, struct moment now);

/* For bounds of what may come in: as guard_now_s(), and not before the wall clock at the start plus
 * the time that went by since, so that a clock that is set back shuts nobody out. */
uint64_t guard_latest_s(const struct guard *guard, struct moment now);

/* The wall clock at the start plus the time that went by since. */
uint64_t guard_ran_s(const struct guard *guard, struct moment now);

#endif /* NODE_GUARD_H */
