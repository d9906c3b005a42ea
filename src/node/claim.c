#include "node/claim.h"

#include "node/guard.h"

#include <assert.h>

#define DAY_S           UINT64_C(86400)
#define OWNER_AHEAD_S   (2 * DAY_S) /* what only an owner writes may be so far ahead of now */
#define ACCUSER_AHEAD_S (1 * DAY_S) /* what others write: less, so that an owner can outbid it */
#define FORGOTTEN_S     (1 * DAY_S)
#define STEP_S          16                  /* above what is stored */
#define WORD_MOST_S     (UINT64_C(1) << 47) /* of 48 bits: room for more steps than can be sent */
#define LEVEL_MASK      255

static uint64_t block_read(struct claim *claim, const struct block *block)
{
    uint64_t refused = 0;

    for (unsigned i = 0; i < block->count; i++) {
        const unsigned offset = block_offset(block, i);
        const uint64_t value = block_value(block, i);

        if (value == 0) {
            continue;
        }
        if (block->number != 0 || offset >= CLAIM_ELEMENTS) {
            refused++;
        } else if (offset == PRESENCE_STAMP) {
            claim->stamp = value > claim->stamp ? value : claim->stamp;
        } else if (value > claim->values[offset]) {
            claim->values[offset] = value;
        }
    }
    return refused;
}

uint64_t claim_read(struct claim *claim, struct elements elements)
{
    struct block_room room;
    struct block block;
    uint64_t refused = 0;

    *claim = (struct claim){ .stamp = 0 };
    while (elements_next(&elements, &room, &block)) {
        refused += block_read(claim, &block);
    }
    return refused;
}

static uint64_t later(uint64_t one_s, uint64_t other_s)
{
    return one_s > other_s ? one_s : other_s;
}

/* How far the seconds in an element may lie that is `stored_s` now. Others may repeat what is there
 * and take a small step above it, so that what an owner had to write far ahead of all clocks is
 * still refuted by relay, and nobody reaches the end of the numbers by steps. */
static uint64_t owner_most_s(const struct claim_bounds *bounds, uint64_t stored_s)
{
    switch (bounds->by) {
    case CLAIM_OF_OWNER: return WORD_MOST_S;
    case CLAIM_TO_OWNER: return later(GUARD_CLOCK_MAX_S + OWNER_AHEAD_S, stored_s + STEP_S);
    case CLAIM_RELAYED:
    case CLAIM_WIDE: break;
    }
    return later(bounds->now_s + OWNER_AHEAD_S, stored_s + STEP_S);
}

/* Whoever accuses names an incarnation that its owner wrote. Of a member it is not taken as far
 * ahead, so that a slandered one can outbid it by a clock that is behind ours. Who is no member is
 * evicted by nothing, and must hear of itself whatever may be stored elsewhere. */
static uint64_t accuser_most_s(const struct claim_bounds *bounds, uint64_t stored_s)
{
    switch (bounds->by) {
    case CLAIM_RELAYED: return later(bounds->now_s + ACCUSER_AHEAD_S, stored_s);
    case CLAIM_WIDE: return later(bounds->now_s + OWNER_AHEAD_S, stored_s);
    case CLAIM_OF_OWNER:
    case CLAIM_TO_OWNER: break;
    }
    return owner_most_s(bounds, stored_s);
}

static bool element_in_bounds(unsigned element, uint64_t value, const struct claim_bounds *bounds)
{
    const struct vector *stored = bounds->stored;
    const uint64_t value_stored = stored == NULL ? 0 : vector_get(stored, element);
    const uint64_t state_stored = stored == NULL ? 0 : vector_get(stored, PRESENCE_STATE);
    uint64_t at_s = 0;
    uint64_t most_s = 0;

    switch (element) {
    case PRESENCE_LEVEL:
        if ((value & LEVEL_MASK) == 0) {
            return false; /* who speaks plain writes no level: it is a slanderer's */
        }
        /* fall through */
    case PRESENCE_INSTANCE:
    case PRESENCE_HTTP:
    case PRESENCE_VERSION:
        at_s = value >> 16;
        most_s = owner_most_s(bounds, value_stored >> 16);
        break;
    case PRESENCE_STATE:
        at_s = claim_incarnation(value);
        most_s = claim_word(value) == WORD_ALIVE || claim_word(value) == WORD_LEFT
                     ? owner_most_s(bounds, claim_incarnation(state_stored))
                     : accuser_most_s(bounds, claim_incarnation(state_stored));
        break;
    case PRESENCE_SINCE:
        at_s = value;
        most_s = bounds->now_s + ACCUSER_AHEAD_S;
        break;
    default: return false; /* those of suspectors: see confirm_judge() */
    }
    return at_s <= most_s && at_s <= WORD_MOST_S;
}

/* A suspector's slot names an incarnation that is known: one beyond it would keep that suspector,
 * and whoever shares the slot, from confirming a real death for as long as the owner takes to get
 * there. It so depends on no clock, and all who agree on the state agree on the slots. */
static uint64_t confirm_judge(struct claim *claim, const struct claim_bounds *bounds)
{
    const uint64_t stored = bounds->stored == NULL ? 0 : vector_get(bounds->stored, PRESENCE_STATE);
    const uint64_t known = claim_incarnation(later(claim->values[PRESENCE_STATE], stored));
    uint64_t refused = 0;

    for (unsigned i = PRESENCE_CONFIRM; i < CLAIM_ELEMENTS; i++) {
        if (claim->values[i] > known) {
            claim->values[i] = 0;
            refused++;
        }
    }
    return refused;
}

/* Whether there is an element, in the claim or stored. */
static bool is_known(const struct claim *claim, const struct claim_bounds *bounds, unsigned element)
{
    return claim->values[element] != 0
           || (bounds->stored != NULL && vector_get(bounds->stored, element) != 0);
}

static uint64_t take_out(struct claim *claim, unsigned element)
{
    const uint64_t refused = claim->values[element] != 0;

    claim->values[element] = 0;
    return refused;
}

uint64_t claim_judge(struct claim *claim, const struct claim_bounds *bounds)
{
    const bool says_level = claim->values[PRESENCE_LEVEL] != 0;
    uint64_t refused = 0;

    for (unsigned i = PRESENCE_LEVEL; i < PRESENCE_CONFIRM; i++) {
        if (claim->values[i] != 0 && !element_in_bounds(i, claim->values[i], bounds)) {
            claim->values[i] = 0;
            refused++;
        }
    }
    if (says_level && !is_known(claim, bounds, PRESENCE_LEVEL)) {
        refused += take_out(claim, PRESENCE_STATE); /* without it, it would look plain */
    }
    if (!is_known(claim, bounds, PRESENCE_STATE)) {
        refused += take_out(claim, PRESENCE_SINCE); /* nothing would ever end it */
    }
    return refused + confirm_judge(claim, bounds);
}

void claim_keep_end(struct claim *claim, const struct claim_bounds *bounds,
                    const struct vector *stored)
{
    const uint64_t level = vector_get(stored, PRESENCE_LEVEL);
    const uint64_t state = vector_get(stored, PRESENCE_STATE);
    const uint64_t since_s = vector_get(stored, PRESENCE_SINCE);
    const enum presence_word word = claim_word(state);

    if ((word != WORD_DEAD && word != WORD_LEFT) || since_s == 0
        || !element_in_bounds(PRESENCE_SINCE, since_s, bounds)) {
        return;
    }
    if (claim->values[PRESENCE_LEVEL] == 0 && level != 0) {
        claim->values[PRESENCE_LEVEL] = since_s << 16 | (level & 0xffff);
    }
    claim->values[PRESENCE_STATE] =
        element_in_bounds(PRESENCE_STATE, state, bounds) ? state : claim_state(since_s, word);
    claim->values[PRESENCE_SINCE] = since_s;
}

void claim_of_stored(struct claim *claim, const struct vector *stored)
{
    *claim = (struct claim){ .stamp = 0 };
    for (unsigned i = PRESENCE_LEVEL; i < CLAIM_ELEMENTS; i++) {
        claim->values[i] = vector_get(stored, i);
    }
}

bool claim_any(const struct claim *claim)
{
    for (unsigned i = PRESENCE_LEVEL; i < CLAIM_ELEMENTS; i++) {
        if (claim->values[i] != 0) {
            return true;
        }
    }
    return false;
}

bool claim_forgotten(const struct claim *claim, const struct vector *stored, uint64_t now_s)
{
    uint64_t state = claim->values[PRESENCE_STATE];
    uint64_t since_s = claim->values[PRESENCE_SINCE];

    if (stored != NULL) {
        const uint64_t stored_state = vector_get(stored, PRESENCE_STATE);
        const uint64_t stored_since_s = vector_get(stored, PRESENCE_SINCE);

        state = stored_state > state ? stored_state : state;
        since_s = stored_since_s > since_s ? stored_since_s : since_s;
    }
    return (claim_word(state) == WORD_DEAD || claim_word(state) == WORD_LEFT) && since_s != 0
           && since_s < now_s && now_s - since_s > FORGOTTEN_S;
}

struct block claim_block(const struct claim *claim, struct claim_block *room)
{
    struct block block = { .values = room->values, .offsets = room->offsets, .width = 8 };

    for (unsigned i = PRESENCE_LEVEL; i < CLAIM_ELEMENTS; i++) {
        if (claim->values[i] != 0) {
            room->values[block.count] = claim->values[i];
            room->offsets[block.count] = (uint8_t)i;
            block.count++;
        }
    }
    assert(block.count > 0);
    return block;
}
