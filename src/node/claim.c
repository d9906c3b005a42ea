#include "node/claim.h"

#include <assert.h>

#define DAY_S           UINT64_C(86400)
#define OWNER_AHEAD_S   (2 * DAY_S) /* what only an owner writes may be so far ahead of now */
#define ACCUSER_AHEAD_S (1 * DAY_S) /* what others write: less, so that an owner can outbid it */
#define FORGOTTEN_S     (1 * DAY_S)

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

static bool element_in_bounds(unsigned element, uint64_t value, uint64_t now_s)
{
    uint64_t ahead_s = ACCUSER_AHEAD_S;

    switch (element) {
    case PRESENCE_LEVEL:
    case PRESENCE_INSTANCE:
    case PRESENCE_HTTP: return value >> 16 <= now_s + OWNER_AHEAD_S;
    case PRESENCE_STATE:
        if (claim_word(value) == WORD_ALIVE || claim_word(value) == WORD_LEFT) {
            ahead_s = OWNER_AHEAD_S;
        }
        return claim_incarnation(value) <= now_s + ahead_s;
    case PRESENCE_SINCE: return value <= now_s + ACCUSER_AHEAD_S;
    default: return element >= PRESENCE_CONFIRM && value <= now_s + ACCUSER_AHEAD_S;
    }
}

uint64_t claim_judge(struct claim *claim, uint64_t now_s)
{
    uint64_t refused = 0;

    for (unsigned i = PRESENCE_LEVEL; i < CLAIM_ELEMENTS; i++) {
        if (claim->values[i] != 0 && !element_in_bounds(i, claim->values[i], now_s)) {
            claim->values[i] = 0;
            refused++;
        }
    }
    return refused;
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
