#include "node/recent.h"

#include <assert.h>

#define RECENT_WAYS       8
#define RECENT_ROOM_START 64

/* 16 bytes; an empty one has stamp 0. */
struct recent_slot {
    uint64_t hash;
    uint64_t stamp; /* (ms + 1) * 2^8 + level */
};

static bool slot_live(const struct recent *recent, const struct recent_slot *slot, uint64_t now_ms)
{
    return slot->stamp != 0 && now_ms + 1 - (slot->stamp >> 8) < recent->keep_ms;
}

static struct recent_slot *set_of(const struct recent *recent, uint64_t hash)
{
    return &recent->slots[(hash & (recent->room / RECENT_WAYS - 1)) * RECENT_WAYS];
}

static struct recent_slot *slot_find(const struct recent *recent, uint64_t hash, uint64_t now_ms)
{
    struct recent_slot *set;

    if (recent->room == 0) {
        return NULL;
    }
    set = set_of(recent, hash);
    for (unsigned i = 0; i < RECENT_WAYS; i++) {
        if (set[i].hash == hash && slot_live(recent, &set[i], now_ms)) {
            return &set[i];
        }
    }
    return NULL;
}

/* The oldest slot of a hash's set: empty ones are the oldest of all. */
static struct recent_slot *slot_oldest(const struct recent *recent, uint64_t hash)
{
    struct recent_slot *set = set_of(recent, hash);
    struct recent_slot *oldest = &set[0];

    for (unsigned i = 1; i < RECENT_WAYS; i++) {
        if (set[i].stamp >> 8 < oldest->stamp >> 8) {
            oldest = &set[i];
        }
    }
    return oldest;
}

/* Double the room. Nothing is lost: a set of 8 spreads over two sets of 8. */
static bool recent_grow(struct recent *recent, struct mem *mem, uint64_t now_ms)
{
    const uint32_t room = recent->room == 0 ? RECENT_ROOM_START : recent->room * 2;
    struct recent bigger = *recent;

    bigger.slots = mem_alloc_zeroed(mem, room * sizeof bigger.slots[0]);
    if (bigger.slots == NULL) {
        return false;
    }
    bigger.room = room;
    for (uint32_t i = 0; i < recent->room; i++) {
        if (slot_live(recent, &recent->slots[i], now_ms)) {
            *slot_oldest(&bigger, recent->slots[i].hash) = recent->slots[i];
        }
    }
    recent_clear(recent, mem);
    *recent = bigger;
    return true;
}

void recent_clear(struct recent *recent, struct mem *mem)
{
    mem_free(mem, recent->slots, recent->room * sizeof recent->slots[0]);
    recent->slots = NULL;
    recent->room = 0;
}

bool recent_put(struct recent *recent, struct mem *mem, uint64_t hash, uint8_t level,
                uint64_t now_ms)
{
    struct recent_slot *slot = slot_find(recent, hash, now_ms);
    bool kept_all = true;

    assert(level <= RECENT_LEVEL_MAX);
    recent->last_ms = now_ms;
    if (slot != NULL) {
        if ((slot->stamp & 255) < level) {
            level = (uint8_t)(slot->stamp & 255);
        }
        slot->stamp = (now_ms + 1) << 8 | level;
        return true;
    }
    if (recent->room == 0 && !recent_grow(recent, mem, now_ms)) {
        return false;
    }
    slot = slot_oldest(recent, hash);
    while (slot_live(recent, slot, now_ms) && recent->room < RECENT_ROOM_MAX
           && recent_grow(recent, mem, now_ms)) {
        slot = slot_oldest(recent, hash);
    }
    kept_all = !slot_live(recent, slot, now_ms);
    *slot = (struct recent_slot){ .hash = hash, .stamp = (now_ms + 1) << 8 | level };
    return kept_all;
}

bool recent_has(const struct recent *recent, uint64_t hash, uint8_t level, uint64_t now_ms)
{
    const struct recent_slot *slot = slot_find(recent, hash, now_ms);

    return slot != NULL && (slot->stamp & 255) <= level;
}

void recent_tick(struct recent *recent, struct mem *mem, uint64_t now_ms)
{
    if (recent->room > 0 && now_ms - recent->last_ms > recent->keep_ms) {
        recent_clear(recent, mem);
    }
}
