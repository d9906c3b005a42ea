#ifndef STORE_STATE_H
#define STORE_STATE_H

/* The inside of the table, for store/table.c and store/table_audit.c alone. */

#include "store/calendar.h"
#include "store/feed.h"
#include "store/lookup.h"
#include "store/order.h"
#include "store/past.h"
#include "store/set.h"
#include "store/slab.h"
#include "store/tree.h"

/* Counted work lies apart, because reading a table counts too. */
struct work {
    struct lookup_work lookup;
    uint64_t nodes;
};

struct table {
    struct mem *mem;
    struct work *work;
    uint64_t keys_max;
    uint64_t keys_expected; /* to be created in this turn */
    uint64_t digest_mask;
    uint64_t elements;
    uint32_t cluster_id;
    uint32_t empty_first;  /* entries that were obtained and not merged into: id */
    uint32_t untold_first; /* dropped entries for which the feed had no room: id */
    struct slabs slabs;
    struct lookup lookup;
    struct order order;
    struct tree trees[TABLE_SET_COUNT];
    uint64_t tombstones;        /* in the tree of data */
    uint64_t tombstones_hidden; /* that have ended, and are out of it */
    struct feed feed;
    struct calendar calendar;
    struct past past;
    uint64_t hidden; /* entries that have ended, and are out of order and tree; and tombstones */
    const struct entry *hashed; /* the last that was merged into, and its hash */
    uint64_t hashed_hash;
};

#endif /* STORE_STATE_H */
