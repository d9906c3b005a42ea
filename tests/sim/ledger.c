#include "sim/ledger.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST 1024

void ledger_clear(struct ledger *ledger)
{
    free(ledger->slots);
    *ledger = (struct ledger){ 0 };
}

static uint64_t *slot_find(const struct ledger *ledger, uint64_t name)
{
    size_t i = (name ^ name >> 32) & (ledger->room - 1);

    while (ledger->slots[2 * i] != 0 && ledger->slots[2 * i] != name) {
        i = (i + 1) & (ledger->room - 1);
    }
    return &ledger->slots[2 * i];
}

static uint64_t name_of(uint64_t name)
{
    return name == 0 ? 1 : name;
}

uint64_t ledger_get(const struct ledger *ledger, uint64_t name)
{
    const uint64_t *slot;

    if (ledger->room == 0) {
        return 0;
    }
    slot = slot_find(ledger, name_of(name));
    return slot[0] == 0 ? 0 : slot[1];
}

static void grow(struct ledger *ledger)
{
    const struct ledger old = *ledger;

    ledger->room = old.room == 0 ? FIRST : old.room * 2;
    ledger->slots = calloc(2 * ledger->room, sizeof *ledger->slots);
    assert(ledger->slots != NULL);
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[2 * i] != 0) {
            uint64_t *slot = slot_find(ledger, old.slots[2 * i]);

            slot[0] = old.slots[2 * i];
            slot[1] = old.slots[2 * i + 1];
        }
    }
    free(old.slots);
}

void ledger_set(struct ledger *ledger, uint64_t name, uint64_t value)
{
    uint64_t *slot;

    if (4 * ledger->count >= 3 * ledger->room) {
        grow(ledger);
    }
    slot = slot_find(ledger, name_of(name));
    ledger->count += slot[0] == 0;
    slot[0] = name_of(name);
    slot[1] = value;
}
