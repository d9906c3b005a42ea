#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

/* The wire room turns datagrams into views and views into datagrams; vignette(7) is its
 * specification. This header reads; wire/writer.h writes. It is called by node, for every datagram
 * in and out, and by the fuzzers. It never allocates, never keeps a pointer between calls, never
 * looks at a clock, and knows nothing of keys it has seen.
 *
 * A datagram is judged once, here and in full: after message_decode() has said WIRE_OK, nothing
 * above checks its form again, and the cursors below cannot fail. Numbers are judged too: what a
 * cursor gives has the ranges that its struct states.
 *
 * Data flow: the kernel's buffer -> message_decode() leaves a view -> elements_next() unpacks a
 * block at a time onto the caller's stack -> the store joins it. Nothing is copied in between. */

#include "base/bytes.h"
#include "wire/block.h"
#include "wire/drop.h"
#include "wire/elements.h"
#include "wire/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_PLAIN_BYTES_MAX    760  /* one prototype's receive buffer holds 768 */
#define WIRE_EXTENDED_BYTES_MAX 1168 /* 1200 less 32 for sealing, so that a key changes nothing */
#define WIRE_KEY_BYTES_MAX      255
#define WIRE_TTL_MAX            50 /* what a missing or a larger ttl is read as */
#define WIRE_TREE_CHILDREN      16
#define WIRE_DEPTH_STOP         255 /* envelope.depth: do not pass on */

/* Entries of one variable field of `x`, still in wire form. Copy it to walk it again. */
struct run {
    struct bytes rest;
    uint16_t *order; /* of items: room in struct message for what is sorted; NULL: nothing is */
    uint32_t left;
};

struct item {
    struct bytes key; /* 1..255 bytes of valid UTF-8 without NUL; of one by hash: empty */
    struct elements elements;
    uint64_t generation; /* of the vector; 0 at the plain level. Without elements: it was deleted */
    uint64_t hash;       /* of one by hash: the key hash; there are no elements */
    uint32_t deadline;   /* likewise; item_deadline() */
    bool by_hash;
    bool full;
};

/* Minute at which an item's key ends (base/deadline.h), whether it has a name or says so. */
uint32_t item_deadline(const struct item *item);

/* How the fields of `x` look on the wire. Names are strings of one letter. Numbers are msgpack
 * integers, whole numbers inside a bin are little endian, varints those of wire/varint.h.
 *
 *     i ? q l n c m M   number of 32 bits
 *     d W F       number of 8 bits
 *     r           bin of 8: roots[0], roots[1], 4 bytes each
 *     t e         bin of 6
 *     p           string of 1..255 bytes, valid UTF-8 without NUL
 *     a           array of numbers of 32 bits
 *     w           bin of 8n: hashes
 *     v           array of [set, bits, nibbles, bin of 64]: nibbles 0..15; 16 digests of 4 bytes
 *     L           array of [set, bits, nibbles, bin of 12n]: nibbles 0..16; hash 8, digest 4, the
 *                 hashes ascending (equal ones may come) and all under the prefix
 *     B           array of [set, hash, more, bin] or [set, hash, more, bin, generation]: more is a
 *                 bool; in the bin any number of times a varint, the block's number - (number
 *                 before + 1), of the first the number itself, then a digest of 4 bytes
 *     b           array of [key, elements], [key, elements, full] or [key, elements, full,
 *                 generation]: elements a map as in `vector`, or a bin as in wire/packed.h; full a
 *                 bool. The key is a string; or a bin of 8, the key hash, where elements is an
 *                 empty map and generation above 0: a tombstone; or a bin of 12, the hash and 4
 *                 bytes with the minute at which the key ends, and its tombstone with it
 *
 * generation is a number of 64 bits.
 *
 * set is 0 or 1; bits is a number of 64 bits with nothing below the prefix. */

/* One datagram, read in place: every pointer points into it, or into `order`. 64 KiB, of which no
 * more is touched than pairs have to be sorted; neither copied nor moved while it is in use. */
struct message {
    struct item plain; /* key is empty in an ordinary extended datagram; may be a pattern */
    struct envelope envelope;
    struct run acks;                /* `a` */
    struct run tree;                /* `v` */
    struct run leaves;              /* `L` */
    struct run block_digests;       /* `B` */
    struct run wanted;              /* `w` */
    struct run items;               /* `b` */
    struct bytes probe_target;      /* `p`: a key, not yet judged as one of presence; empty: none */
    uint8_t ttl;                    /* as sent, or 50 */
    bool has_ttl;                   /* its absence tells the dialect */
    bool extended;                  /* `x` is there and is a map */
    uint16_t order[WIRE_PAIRS_MAX]; /* of pairs that came in another order than they are walked */
};

/* Read a datagram, in one pass and, where the pairs of a map do not rise, up to seventeen more over
 * these, without allocating. It takes 64 KiB of stack beside the message.
 *
 * datagram  what recvmmsg gave; not changed; must stay until the last view of it is forgotten
 * message   means something only on WIRE_OK; on a refusal it holds what was read until then
 *
 * Taken: any integer width, any string form and bin for keys and field names, maps in any order,
 * duplicate indices, values up to 2^64 - 1, unknown fields of any name and type, `ttl`, `vector`
 * and `full` missing. An `x` that is no map is an unknown field.
 *
 * Refused whole, the first reason found:
 *   WIRE_TRUNCATED    the bytes end before the map does, or there are none
 *   WIRE_NOT_A_MAP    something else comes first
 *   WIRE_TRAILING     bytes after the map
 *   WIRE_TOO_DEEP     an unknown field by which containers are more than 32 deep, all counted
 *   WIRE_TOO_LONG     `x` in more than WIRE_EXTENDED_BYTES_MAX bytes (wire/packed.h: why), or
 *                     anything in more than WIRE_DATAGRAM_BYTES_MAX
 *   WIRE_TWICE        a known field that comes twice: two readers could pick differently
 *   WIRE_NO_KEY       no `key`
 *   WIRE_BAD_KEY      over 255 bytes, a NUL, not UTF-8; empty without `x` or with elements
 *   WIRE_BAD_TYPE     nil, bool, string or container where a number must be, and the like; 0xc1
 *   WIRE_BAD_NUMBER   negative, a float, or out of the range that its field has
 *   WIRE_BAD_ITEM     an entry of `x` that is not of the form written above
 * A ttl above WIRE_TTL_MAX is no reason: it is read as WIRE_TTL_MAX.
 *
 * Time O(size). Source: vignette(7), "Plain messages" and "Extended datagrams". */
enum wire_drop message_decode(struct bytes datagram, struct message *message);

/* The next block. Each comes once, numbers rise, and so do the offsets in it, in whatever order the
 * pairs of a map came; of pairs with the same index the largest value counts. Elements of value 0
 * are skipped: the block is dense only when all its 256 values are above 0. False: no more.
 *
 * room   where values are unpacked; the block points into it until the next call
 *
 * Time of a whole walk: O(bytes), of a packed item O(86 * bytes). Watched by bench/decode. */
bool elements_next(struct elements *elements, struct block_room *room, struct block *block);

/* Items alone, as writer_begin_items() makes them: judged whole, to be walked with
 * message_next_item(). False: they are of another form, or the pairs of a map do not rise, which
 * need room to be sorted in. */
bool items_judge(struct bytes bytes, struct run *items);

/* The cursors of `x`. Each takes the next entry of its field; false: no more. */
bool message_next_item(struct run *items, struct item *item);
bool message_next_ack(struct run *acks, uint32_t *sequence);
bool message_next_wanted(struct run *wanted, uint64_t *hash);

/* A prefix of the tree over key hashes: its upper 4 * nibbles bits, the rest 0. */
struct prefix {
    uint64_t bits;
    uint8_t nibbles; /* 0..16 */
    uint8_t set;     /* 0 M (presence), 1 D (all else) */
};

/* The digests of a prefix's 16 children, salted. */
struct wire_tree {
    struct prefix prefix; /* nibbles 0..15 */
    uint32_t children[WIRE_TREE_CHILDREN];
};
bool message_next_tree(struct run *tree, struct wire_tree *view);

/* All keys under a prefix: pairs of hash and salted vector digest, ascending by hash. */
struct wire_leaf {
    struct prefix prefix;
    struct bytes pairs; /* 12 bytes each; read with wire_leaf_at() */
};
struct wire_leaf_pair {
    uint64_t hash;
    uint32_t digest;
};
#define WIRE_LEAF_PAIR_BYTES 12
bool message_next_leaf(struct run *leaves, struct wire_leaf *view);
struct wire_leaf_pair wire_leaf_at(const struct wire_leaf *leaf, size_t position);

/* Digests of the blocks of one big vector, ascending by number. A sender that had no room for all
 * of them says so by `more`: what lies above the last number is then not judged. */
struct wire_blocks {
    uint64_t hash;       /* of the key */
    uint64_t generation; /* of the vector */
    struct bytes rest;
    uint64_t position; /* where the next gap counts from */
    uint8_t set;
    bool more;
};
bool message_next_blocks(struct run *block_digests, struct wire_blocks *view);
bool wire_blocks_next(struct wire_blocks *view, uint64_t *number, uint32_t *digest);

#endif /* WIRE_MESSAGE_H */
