#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

/* Building one outgoing datagram in the sender's own buffer. Called by node, at the moment the
 * socket has room, and by disk for items alone. Whatever does not fit is left for the next
 * datagram: every put says how much it took, and nothing is ever written in half. Never allocates.
 *
 * What goes to plain peers is the frame that both prototypes survive: exactly {key, vector, full?,
 * ttl}, fixstr or raw16 strings, minimal integers. Strings of 32 bytes and more get a raw16 header
 * everywhere, since str8 stops one prototype for ever; bin is used inside `x` only, which plain
 * peers never see. The msgpack itself comes from msgpack-c's packer, but for that header.
 *
 * Order of calls, plain:     begin_plain, put_block*, end.
 *           hello:           begin_hello, put_block*, begin_x, fields, end.
 *           ordinary:        begin_ordinary, fields, end.
 *           items alone:     begin_items, items, end.
 * A field's puts must follow one another; a field cannot be taken up again after another one. */

#include "base/bytes.h"
#include "wire/block.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITER_MAP_ELEMENTS_MAX 8   /* an item with more elements than this is packed */
#define WRITER_ORDINARY_BYTES   133 /* an ordinary datagram with every fixed field of `x` */
#define WRITER_HELLO_BYTES      144 /* a hello with every fixed field, less its key and elements */

/* Open, because it lives on a stack; only wire/writer.c touches the fields. */
struct writer {
    struct space space;
    size_t used;
    size_t tail;      /* bytes kept free for what must still follow */
    size_t fields_at; /* the map header of `x` */
    size_t field_at;  /* the header of the open field */
    size_t item_at;   /* the open item, or entry of `B` */
    size_t entry_at;  /* the header of the open vector, of an item's elements, of a `B`'s digests */
    uint64_t position;    /* in packed items and `B`: where the next gap counts from */
    uint32_t x_count;     /* fields of `x` so far */
    uint32_t field_count; /* what the open field's header says */
    uint32_t entry_count; /* what the open entry's header says */
    uint64_t generation;  /* of the open item, or entry of `B` */
    struct bytes key;     /* of the open item; lent by the caller until the item ends */
    uint8_t fields;       /* variable fields of `x` so far, a bit each */
    uint8_t field;        /* the letter that is open */
    uint8_t form;         /* of the open item: as in struct elements */
    uint8_t stage;        /* what may be called next */
    uint8_t ttl;
    bool full;
    bool is_bare; /* items alone, in no datagram */
    bool more;    /* a digest of the open entry of `B` was refused */
};

/* Begin a plain message of at most WIRE_PLAIN_BYTES_MAX bytes.
 *
 * space  WIRE_PLAIN_BYTES_MAX; less is allowed where less may be sent, down to what a message
 *        without elements needs: 27 bytes, and the key
 * key    1..255 bytes; that a plain peer may get it was judged by the caller
 * ttl    0..50 */
void writer_begin_plain(struct writer *writer, struct space space, struct bytes key, uint8_t ttl,
                        bool full);

/* Begin a hello of at most WIRE_EXTENDED_BYTES_MAX bytes: our presence key and, by put_block, its
 * elements; full, ttl 0. Room for all fixed fields of `x` is kept.
 *
 * space  at least WRITER_HELLO_BYTES and the key, and what the elements need */
void writer_begin_hello(struct writer *writer, struct space space, struct bytes key);

/* End the plain part of a hello and write the fixed fields of its `x`. */
void writer_begin_x(struct writer *writer, const struct envelope *envelope);

/* Begin an ordinary extended datagram (empty key and vector, ttl 0) of at most
 * WIRE_EXTENDED_BYTES_MAX bytes, with the fixed fields of its `x`.
 *
 * space  at least WRITER_ORDINARY_BYTES */
void writer_begin_ordinary(struct writer *writer, struct space space,
                           const struct envelope *envelope);

/* Begin items alone, an array as the field `b`, which items_judge() reads: what lies on disk.
 * Nothing but items goes in; writer_end() ends it.
 *
 * space  up to 64 KiB */
void writer_begin_items(struct writer *writer, struct space space);

/* Add the marked elements of one block, all of it when mark is NULL, to the open vector or item.
 * Blocks come in ascending order of number, each once. Values that are 0 are skipped and count as
 * taken. Into an item, what it has room for goes in the smallest form: a map of few elements, a
 * sparse or a dense packing (wire/packed.h). An item whose form no longer suits is ended and taken
 * up again in another form under the same key; both say `full` and the generation then.
 *
 * Returns the first offset not taken: BLOCK_ELEMENTS when all is in; less means the datagram is
 * full, and the caller goes on from that offset in another one. */
unsigned writer_put_block(struct writer *writer, const struct block *block,
                          const struct mark *mark);

/* Begin an item of `b`. False, and nothing written, when not even one element would fit.
 *
 * key         lent until the item ends
 * generation  of the vector; 0 is not written */
bool writer_begin_item(struct writer *writer, struct bytes key, bool full, uint64_t generation);

/* End it. An item without elements is taken back. */
void writer_end_item(struct writer *writer);

/* Add the item of a deleted key, by its hash. False, and nothing written, when it does not fit.
 *
 * deadline    of the key, by base/deadline.h
 * generation  above 0 */
bool writer_put_tombstone(struct writer *writer, uint64_t hash, uint32_t deadline,
                          uint64_t generation);

/* Add entries to a field of `x`. Each returns how many of `count` were taken, from the first. */
size_t writer_put_acks(struct writer *writer, const uint32_t *sequences, size_t count);
size_t writer_put_wanted(struct writer *writer, const uint64_t *hashes, size_t count);

/* Add one entry whole. False, and nothing written, when it does not fit. */
bool writer_put_tree(struct writer *writer, const struct wire_tree *tree);
bool writer_put_leaf(struct writer *writer, struct prefix prefix,
                     const struct wire_leaf_pair *pairs, size_t count);
bool writer_put_probe(struct writer *writer, struct bytes key);

/* Begin the digests of one vector's blocks, add them ascending by number, end them. Begin says
 * false when not even one fits; put says false when the datagram is full, and end then writes that
 * there is more. */
bool writer_begin_blocks(struct writer *writer, uint8_t set, uint64_t hash, uint64_t generation);
bool writer_put_block_digest(struct writer *writer, uint64_t number, uint32_t digest);
void writer_end_blocks(struct writer *writer, bool more);

/* Bytes that could still be added. */
size_t writer_room(const struct writer *writer);

/* Close it: the datagram, a prefix of the space it was begun with. */
struct bytes writer_end(struct writer *writer);

#endif /* WIRE_WRITER_H */
