#ifndef STORE_TABLE_H
#define STORE_TABLE_H

/* The store: every key, its vector, the digests over them, and the one door by which changes
 * leave. Called by node to write, by http, view and disk to read. It never sends, never logs,
 * never reads a clock, and never calls anybody back.
 *
 * Entries lie in slabs and are known by ids of 4 bytes (store/slab.h). Three indexes over them: a
 * keyed hash for look-ups (store/lookup.h; strangers choose the keys), a B+tree for byte order
 * (store/order.h), and for each set a 16-ary tree over the key hash for the digests (store/tree.h).
 * None of them ever stops to be rebuilt: each grows by one small piece at a time, so that no call
 * takes more than a fraction of a millisecond at any size. And taking an entry in cannot fail half
 * way. Hash and digests need no memory for it: where there is none to grow, they get slower, and
 * catch up later. The order needs some: it is there before a key begins to exist, or the key does
 * not (STATUS_MEMORY of its first merge).
 *
 * The change feed. Each write that raised something appends one change, coalesced with an earlier
 * one of the same block in the same turn. Readers (gossip, disk, watch) look at the whole list at
 * the end of the turn and note what concerns them; table_turn_end() empties it. So the list is
 * bounded by one turn's work, and a slow reader keeps a set of marks, bounded by state.
 *
 * Keys that end (base/deadline.h). The table is told the minute. From then on a key at or past its
 * deadline is neither found nor obtained, and whoever goes through keys asks entry_ended(), since
 * a listing may still hold some. A calendar (store/calendar.h) takes them out of order and digests,
 * a few at a time as its owner lets it, and puts them back where the clock goes back; only then do
 * they change roots, all at once (table_root()), and are in the feed. They are freed by
 * table_drop_ended().
 *
 * Deletion. A key has a generation, 0 at first. (generation, vector) is joined lexicographically:
 * the greater generation wins whole, within one the larger elements do. So a deletion is a greater
 * generation without elements, and what had not seen it loses to it, whenever and however often it
 * comes back. What is kept of a deleted key is a tombstone, 16 bytes without a name: no listing and
 * no look-up by name knows it, digests, prefixes and look-ups by hash do, which give it as an
 * entry. Its vector is {0: 1}, so that it can be marked, queued and sent as any other; it has no
 * key. Who writes to a deleted key writes to its generation; the tombstone then is dropped. That of
 * a key that ends has 32 bytes, and ends with it in all that is said of keys here.
 *
 * Lifetime. An entry never moves, and stays until the table_turn_end() after its drop was in the
 * feed: a reader that keeps entry pointers between turns need only read the feed. (Where no memory
 * is left for the feed, a drop is told in a later turn, and the entry stays until then.) */

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/change.h"
#include "store/set.h"
#include "store/tree_child.h"
#include "store/vector.h"
#include "wire/block.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_MINUTES_KEPT 4 /* clocks that differ by more are wrong, not skewed */

struct table; /* opaque */
struct entry; /* opaque: a key and its vector, or a tombstone */

struct table_options {
    struct mem *mem;         /* outlives the table */
    uint8_t hash_secret[16]; /* SipHash key of the look-ups, this process's own */
    uint32_t cluster_id;     /* key of the shared key hash */
    uint64_t keys_max;       /* of TABLE_DATA; 0: none. Of peers there are as many as are known */
    uint64_t digest_mask;    /* all ones; the simulator weakens set and tree digests with it */
};

/* Create an empty table. *table_out is written only on STATUS_OK; free with table_free(). */
MUST_CHECK enum status table_create(const struct table_options *options, struct table **table_out);
void table_free(struct table *table);

/* It is this minute now (base/deadline.h), before or after the last one: what has ended is gone for
 * readers. At first it is 0: nothing has. Time O(1). */
void table_set_minute(struct table *table, uint32_t minute);
uint32_t table_minute(const struct table *table);

/* Look at up to so many keys that may have ended or come back since the minute was set, and take
 * them out of order and digests, or back in. Returns how many: fewer than keys_max that there are
 * no more, or no memory to take one back. */
size_t table_expire(struct table *table, size_t keys_max);

/* Whether table_expire() has something to do. */
bool table_expires(const struct table *table);

/* Forget up to so many keys that have ended, as table_drop() does. Returns how many: fewer than
 * keys_max that there are no more, or no memory to tell of one. */
size_t table_drop_ended(struct table *table, size_t keys_max);

/* Change the limit on keys; what is there stays. */
void table_set_keys_max(struct table *table, uint64_t keys_max);

/* Entry of a key, or NULL. Never creates. An entry that was obtained and not yet merged into is
 * found, but is in no listing and no digest: a key exists from its first element. */
struct entry *table_find(const struct table *table, struct bytes key);

/* This key will soon be looked for: fetch what that reads first into cache. For who knows some keys
 * ahead. */
void table_prefetch(const struct table *table, struct bytes key);

/* Entry of a key, created empty when there is none, in the generation that its deletion left.
 *
 * set  of a new entry; asserted to be the same for an old one
 *
 * STATUS_ENDED for a key past its deadline (never in TABLE_MEMBERS), STATUS_FULL at keys_max
 * (likewise; what has ended and is not dropped counts), STATUS_MEMORY when the account says no;
 * *entry_out untouched then. Asserts that the key is 1..255 bytes: that it is UTF-8 was checked
 * where it came in. An entry still empty at table_turn_end() is forgotten. */
MUST_CHECK enum status table_obtain(struct table *table, struct bytes key, enum table_set set,
                                    struct entry **entry_out);

/* So many keys are about to be created: the buckets for them are made ahead, while the chains to be
 * shared out are short (store/lookup.h). Nothing but a hint; it ends with the turn. */
void table_expect(struct table *table, uint64_t keys);

/* Join a block into an entry's vector, update its digest and the trees, append to the feed.
 *
 * result  as vector_merge(); NULL: the caller does not care, the store still makes marks
 *
 * STATUS_MEMORY, STATUS_ENDED (the key is past its deadline by now): nothing changed. */
MUST_CHECK enum status table_merge(struct table *table, struct entry *entry,
                                   const struct block *block, enum change_origin origin,
                                   struct merge_result *result);

/* Forget a key here. It leaves indexes and digests at once and memory at the end of the turn. */
void table_drop(struct table *table, struct entry *entry);

/* Forget what is in an entry, which is no tombstone, and begin anew with a block, which has some:
 * as table_drop(), table_obtain() and table_merge(), but all of it or nothing.
 *
 * entry       in and out: the old one, the new one
 * generation  of the new one: that of the old one or a greater one
 *
 * STATUS_MEMORY: nothing changed. */
MUST_CHECK enum status table_renew(struct table *table, struct entry **entry, uint32_t generation,
                                   const struct block *block, enum change_origin origin,
                                   struct merge_result *result);

/* Delete a key of TABLE_DATA: what it held goes, and a tombstone is left.
 *
 * entry       in: what there is of it, by table_find(), table_tombstone() or table_find_hash();
 *             NULL: nothing is known. Out: the tombstone
 * hash        of the key
 * deadline    of the key, by base/deadline.h; not looked at where there is something of it
 * generation  greater than that of what there is
 *
 * STATUS_ENDED for a deadline that is past, STATUS_FULL when nothing was known of the key and there
 * are as many tombstones as keys may be, STATUS_MEMORY: nothing changed. */
MUST_CHECK enum status table_delete(struct table *table, struct entry **entry, uint64_t hash,
                                    uint32_t deadline, uint32_t generation,
                                    enum change_origin origin);

/* Tombstone of a key, or NULL, also when it has ended. Time O(1) where there are none at all, else
 * O(log keys). */
struct entry *table_tombstone(const struct table *table, struct bytes key);

/* The mark of a tombstone's one element. */
extern const struct mark table_tombstone_mark;

struct bytes entry_key(const struct entry *entry); /* lives as long as the entry; no tombstone */
const struct vector *entry_vector(const struct entry *entry);
uint64_t entry_digest(const struct entry *entry); /* as in vignette(7); also the ETag */
uint32_t entry_generation(const struct entry *entry);
uint32_t entry_deadline(const struct entry *entry); /* as deadline_of(); of tombstones, too */
uint64_t entry_deleted_hash(const struct entry *tombstone);                /* its shared key hash */
bool entry_deleted(const struct entry *entry);                             /* it is a tombstone */
uint64_t table_hash(const struct table *table, struct bytes key);          /* shared key hash */
uint64_t entry_hash(const struct table *table, const struct entry *entry); /* shared key hash */
enum table_set entry_set(const struct entry *entry);

/* Whether it is past its deadline: it does not exist, wherever it is still met. */
bool entry_ended(const struct table *table, const struct entry *entry);

/* Whether it was dropped in this turn, at the end of which it goes. */
bool entry_dropped(const struct entry *entry);

/* Keys in byte order, a slice at a time. `after` is exclusive, empty for the first slice; prefix
 * limits it. Returns how many entries were written, at most `room`; fewer than room = the end.
 * The cursor between slices is the last key, copied by the caller: no iterator to go stale.
 * Keys that ended lately may be among them: of a million that just did, none is passed over here.
 * Time O(log keys + room). */
size_t table_slice(const struct table *table, struct bytes prefix, struct bytes after,
                   struct entry **entries, size_t room);

/* Digest (masked) of a whole set: the sum of its keys' contributions, as of table_root_minute().
 * That is the minute that was set last, once table_expire() has done all there was to do for it;
 * until then it is the one before, and so are the roots. */
uint64_t table_root(const struct table *table, enum table_set set);
uint32_t table_root_minute(const struct table *table);

/* The digest (not masked) of TABLE_DATA with all that ever ended while the table was there: it
 * changes by writes alone. */
uint64_t table_root_ever(const struct table *table);

/* The root of TABLE_DATA as of an earlier minute, of a state whose table_root_ever() was this: with
 * what ended since, up to TABLE_MINUTES_KEPT back. As of a later minute it is not known, and is
 * what it is as of table_root_minute(). */
uint64_t table_root_of(const struct table *table, uint64_t ever, uint32_t minute);

/* By how many keys the root as of another minute differs: those that ended since. Of those that are
 * still to end it is only known whether there are any: UINT64_MAX or 0. */
uint64_t table_keys_between(const struct table *table, uint32_t minute);

/* The 16 children of a prefix of the key hash: digest (masked) and number of keys each, tombstones
 * included. Prefixes finer than the tree is grown are computed from the leaf: at most a few dozen
 * entries. */
void table_children(const struct table *table, struct prefix prefix,
                    struct tree_child children[WIRE_TREE_CHILDREN]);

/* Keys and tombstones under a prefix, ascending by hash, those whose hash is >= `from`; as in
 * table_slice(), some may have ended. Returns how many were written; fewer than room = the end,
 * otherwise the next slice begins at the last hash + 1. (Keys of equal hash, which somebody would
 * have to look for, may be parted by that, and the rest missed: a finer prefix finds them.) Time
 * O(log keys + room). */
size_t table_slice_hash(const struct table *table, struct prefix prefix, uint64_t from,
                        struct entry **entries, size_t room);

/* Entry or tombstone of a set by its key hash (any, where two share it), or NULL, also when it has
 * ended. Time O(32), some 6 us. */
struct entry *table_find_hash(const struct table *table, enum table_set set, uint64_t hash);

struct changes table_changes(const struct table *table);
void table_turn_end(struct table *table);

struct table_stats {
    uint64_t keys[TABLE_SET_COUNT];
    uint64_t tombstones;
    uint64_t elements;
    uint64_t ended;      /* keys and tombstones past their deadlines that are kept: in none above */
    uint64_t used_bytes; /* of the account */
    uint64_t keys_max;   /* limits, for whoever says that they are reached; 0: none */
    uint64_t limit_bytes;
    uint64_t lookups; /* counted work: calls, and slots and nodes they touched */
    uint64_t probes;
    uint64_t nodes;
};
struct table_stats table_stats(const struct table *table);

/* Abort unless every invariant holds: indexes agree, digests equal recomputed ones. O(elements);
 * for tests, the simulator and fuzzers. */
void table_audit(const struct table *table);

#endif /* STORE_TABLE_H */
