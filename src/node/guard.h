#ifndef NODE_GUARD_H
#define NODE_GUARD_H

/* The guarded clock: our own, or what most of enough trusted hosts say. One wrong clock, ours or
 * another's, must neither let a forged word in nor shut a true one out, nor end what has not ended.
 * Knows no node and no wire; whoever calls guard_vote() has made sure that the voter is in a
 * trusted range and receives where it sends from (a holder of a key may be added there).
 *
 * What is wrong for a while hides, and shows again. What cannot be undone waits until the clock is
 * confirmed: by two others, or, where nobody says otherwise, by a day without a jump. Private to
 * the room. Source: vignette(7), "Bounds" and "Keys that end". */

#include "base/address.h"
#include "base/moment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_VOTES_LEAST 3                    /* fewer could be one liar and one mistake */
#define GUARD_VOTES_MAX   16                   /* more make no better median */
#define GUARD_CLOCK_MAX_S UINT64_C(6000000000) /* the year 2160: no clock is beyond */
#define GUARD_VOTE_US     UINT64_C(3600000000) /* a vote counts so long: tokens go every 10 min */
#define GUARD_NEAR_S      3600 /* a vote so near to now confirms it: time zones differ by more */
#define GUARD_AGREE       2    /* of those */
#define GUARD_JUMP_S      60   /* a clock that is set by less stays in its minute or the next */
#define GUARD_STEADY_US   UINT64_C(86400000000) /* who is alone with its clock believes it then */

/* One host, address_host(). */
struct guard_vote {
    struct address from; /* that told it last */
    uint64_t clock_s;    /* at `told_us` */
    uint64_t told_us;    /* mono */
};

/* Open, because it is embedded; only node/guard.c touches the fields. */
struct guard {
    uint64_t wall_at_start_s;
    uint64_t mono_at_start_us;
    struct moment steady; /* since when the wall clock has run as the other one, undisputed */
    uint64_t ticked_us;
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

/* Time goes on: to be called in each turn, so that a jump of the wall clock is seen. */
void guard_tick(struct guard *guard, struct moment now);

/* Unix seconds: the lower median of the votes where there are at least GUARD_VOTES_LEAST, else our
 * wall clock. For whatever ends at a time. */
uint64_t guard_now_s(const struct guard *guard, struct moment now);

/* Whether guard_now_s() is sure enough for what cannot be undone. */
bool guard_is_confirmed(const struct guard *guard, struct moment now);

/* For bounds of what may come in: the latest of that, our wall clock, and the wall clock at the
 * start plus the time that went by since, so that a clock that is set back shuts nobody out. */
uint64_t guard_latest_s(const struct guard *guard, struct moment now);

/* The wall clock at the start plus the time that went by since. */
uint64_t guard_ran_s(const struct guard *guard, struct moment now);

#endif /* NODE_GUARD_H */
