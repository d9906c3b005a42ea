#ifndef STORE_LOOKUP_H
#define STORE_LOOKUP_H

/* From a key to its entry: a hash table under a secret key, with chains through the entries, grown
 * one bucket at a time. Called by store/table only.
 *
 * Two buckets for each key: a look-up touches one bucket and, on average, 1.25 entries when the key
 * is there and 0.5 when it is not. Each insertion splits up to LOOKUP_SPLITS buckets, whose
 * chains are shared out between the old bucket and a new one at the end; buckets lie in segments
 * of 4 KiB, and nothing is ever copied but pointers to segments. Without memory for a segment the
 * chains get longer until there is some. It shrinks the same way backwards, once there are more
 * than four buckets for each key.
 *
 * Source: Litwin, "Linear hashing: a new tool for file and table addressing" (1980), in the form
 * for memory of Larson, "Dynamic hash tables" (1988). Watched by bench/table. */

#include "base/bytes.h"
#include "base/mem.h"
#include "store/slab.h"

#include <stdint.h>

#define LOOKUP_SEGMENT_BUCKETS 1024
#define LOOKUP_SPLITS          3 /* two would do; the third makes up for those once refused */
#define LOOKUP_SPLITS_AHEAD    16

/* Counted work, kept apart because reading a table counts too. */
struct lookup_work {
    uint64_t calls;
    uint64_t probes; /* buckets and entries touched */
};

struct lookup {
    uint8_t secret[16];
    uint32_t **segments;
    size_t segment_count;
    size_t segment_capacity;
    uint64_t bucket_count; /* in use */
    uint64_t entry_count;
};

/* False: no memory; nothing to clear then. */
bool lookup_init(struct lookup *lookup, struct mem *mem, const uint8_t secret[16]);
void lookup_clear(struct lookup *lookup, struct mem *mem);

/* Hash of a key under the secret. Its upper 32 bits are never used for the buckets. */
uint64_t lookup_hash(const struct lookup *lookup, struct bytes key);

/* Fetch into cache what lookup_find() will read first. */
void lookup_prefetch(const struct lookup *lookup, uint64_t hash);

/* Id of the entry of a key, or 0. */
uint32_t lookup_find(const struct lookup *lookup, const struct slabs *slabs, uint64_t hash,
                     struct bytes key, struct lookup_work *work);

/* Take in an entry whose key is not there. Cannot fail. */
void lookup_insert(struct lookup *lookup, const struct slabs *slabs, uint32_t id, uint64_t hash);

/* Split what is due after an insertion, as far as there is memory.
 *
 * coming  entries that are known to follow. The buckets for them are made first, several at a time,
 *         while the chains to be shared out are short: to visit each entry again whenever the table
 *         doubles was an eighth of what loading a million keys took. */
void lookup_grow(struct lookup *lookup, const struct slabs *slabs, struct mem *mem,
                 uint64_t coming);

/* Take out an entry that is there. Returns its id. */
uint32_t lookup_remove(struct lookup *lookup, const struct slabs *slabs, const struct entry *entry);

/* Join buckets that are too many after a removal, and give back their memory. */
void lookup_shrink(struct lookup *lookup, const struct slabs *slabs, struct mem *mem);

/* Abort unless each entry is in its bucket. */
void lookup_audit(const struct lookup *lookup, const struct slabs *slabs);

#endif /* STORE_LOOKUP_H */
