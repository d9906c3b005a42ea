#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

/* A map from 64-bit names to 64-bit values, all that the checks know of the past: kept apart from
 * the store they check, and as unlike it as can be. Names are hashes of what they stand for; that
 * two of them are equal by chance is left to chance (2^-64). */

#include <stddef.h>
#include <stdint.h>

struct ledger {
    uint64_t *slots; /* name, value, name, value; name 0 is a free slot */
    size_t count;
    size_t room; /* a power of two, or 0 */
};

void ledger_clear(struct ledger *ledger);

/* The value of a name, 0 when there is none. */
uint64_t ledger_get(const struct ledger *ledger, uint64_t name);
void ledger_set(struct ledger *ledger, uint64_t name, uint64_t value);

#endif /* SIM_LEDGER_H */
