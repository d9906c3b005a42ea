#ifndef STORE_FEED_H
#define STORE_FEED_H

/* The changes of one turn, in the order in which they first came, those of the same block of the
 * same entry as one. Called by store/table only.
 *
 * A small hash over entry and block number finds what there is already; its chains run through the
 * changes. The list grows by copying and is short: one turn's work. Where there is no memory for
 * more buckets the chains get longer. */

#include "base/mem.h"
#include "store/change.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_STEP 64

struct feed {
    struct change *list;
    size_t count;
    size_t capacity;
    uint32_t *buckets;   /* position + 1 of the newest change */
    size_t bucket_count; /* a power of two */
};

/* False: no memory; nothing to clear then. */
bool feed_init(struct feed *feed, struct mem *mem);
void feed_clear(struct feed *feed, struct mem *mem);

/* The change of a block in this turn, or NULL. */
struct change *feed_find(const struct feed *feed, const struct entry *entry, uint64_t number);

/* That feed_find() will be asked for it soon: what it looks at first is fetched meanwhile. */
void feed_expect(const struct feed *feed, const struct entry *entry, uint64_t number);

/* Make sure that the next so many feed_append() have a slot, 1 to 3. False: no memory. */
bool feed_ready(struct feed *feed, struct mem *mem, size_t slots);

/* Append a change; feed_ready() said true just before. */
void feed_append(struct feed *feed, struct mem *mem, const struct change *change);

/* Empty the list, and fit the memory to what the turn needed. */
void feed_end(struct feed *feed, struct mem *mem);

/* Abort unless each change is found. */
void feed_audit(const struct feed *feed);

#endif /* STORE_FEED_H */
