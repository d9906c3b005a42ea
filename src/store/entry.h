#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

/* How a key and its vector lie in memory. Private to the table and its indexes, which are threaded
 * through the entries or know them by id: the first costs a link of 4 bytes here. What can be
 * computed from the key is not kept: neither of its two hashes is.
 *
 *     | vector 24 | digest 8 | lookup_next 4 | link 4 | size and flags 2 | key | tail |
 *
 * The entry of a key of up to 22 bytes takes 64 bytes (bench/memory). The tail has what few keys
 * need, each part where the entry's flags say so, in this order:
 *
 *     | ENTRY_DATED: before 4, after 4 | ENTRY_GENERATION: generation 4 |
 *
 * An entry is made with its flags: they cannot change while it lives, because it never moves. */

#include "base/bytes.h"
#include "store/vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ENTRY_KEY_BYTES_MAX 255

/* Bits of an entry's flags. Those of the tail's parts stay as they were when the entry was made. */
enum entry_flag {
    ENTRY_DATA = 1,
    ENTRY_DROPPED = 2,
    ENTRY_DATED = 4,      /* its name says when it ends; in a list of the calendar */
    ENTRY_GENERATION = 8, /* it was deleted before: its generation is not 0 */
    ENTRY_HIDDEN = 16,    /* past its deadline, and taken out of order and tree */
    ENTRY_DELETED = 32    /* dropped for good: by a deletion, or by what was written after one */
};

#define ENTRY_DATED_BYTES      8
#define ENTRY_GENERATION_BYTES 4
#define ENTRY_TAIL_BYTES_MAX   (ENTRY_DATED_BYTES + ENTRY_GENERATION_BYTES)

/* Entries refer to each other by id; 0 is none. */
struct entry {
    struct vector vector; /* empty: the key is found, but neither listed nor in a tree */
    union {
        uint64_t digest;
        struct {
            uint32_t before;
            uint32_t after;
        } empty; /* while the vector is empty: the neighbours in the list of such entries */
    };
    uint32_t lookup_next; /* in the bucket; once dropped: in the list of drops not yet told */
    uint32_t link;        /* in the leaf of the tree; while in none, the entry's own id */
    uint8_t key_size;
    uint8_t flags; /* enum entry_flag bits */
    uint8_t key[];
};

#define ENTRY_BYTES_MAX (offsetof(struct entry, key) + ENTRY_KEY_BYTES_MAX + ENTRY_TAIL_BYTES_MAX)

_Static_assert(offsetof(struct entry, key) == sizeof(struct vector) + 18, "no byte is lost");

/* What an entry with such flags takes. */
static inline size_t entry_bytes(size_t key_size, unsigned flags)
{
    return offsetof(struct entry, key) + key_size
           + ((flags & ENTRY_DATED) != 0 ? ENTRY_DATED_BYTES : 0)
           + ((flags & ENTRY_GENERATION) != 0 ? ENTRY_GENERATION_BYTES : 0);
}

static inline bool entry_empty(const struct entry *entry)
{
    return vector_size(&entry->vector) == 0;
}

static inline struct bytes entry_key_of(const struct entry *entry)
{
    return (struct bytes){ entry->key, entry->key_size };
}

/* Words of the tail, at offsets behind the key; it is not aligned. */
static inline uint32_t entry_tail(const struct entry *entry, size_t offset)
{
    uint32_t word;

    memcpy(&word, entry->key + entry->key_size + offset, sizeof word);
    return word;
}

static inline void entry_set_tail(struct entry *entry, size_t offset, uint32_t word)
{
    memcpy(entry->key + entry->key_size + offset, &word, sizeof word);
}

/* Neighbours of a dated entry in its list (store/calendar.h). */
static inline uint32_t entry_before(const struct entry *entry)
{
    return entry_tail(entry, 0);
}

static inline uint32_t entry_after(const struct entry *entry)
{
    return entry_tail(entry, 4);
}

static inline void entry_set_before(struct entry *entry, uint32_t id)
{
    entry_set_tail(entry, 0, id);
}

static inline void entry_set_after(struct entry *entry, uint32_t id)
{
    entry_set_tail(entry, 4, id);
}

/* Where the generation lies in a tail that has one. */
static inline size_t entry_generation_offset(const struct entry *entry)
{
    return (entry->flags & ENTRY_DATED) != 0 ? ENTRY_DATED_BYTES : 0;
}

/* 0 where none was ever deleted. */
static inline uint32_t entry_generation_of(const struct entry *entry)
{
    return (entry->flags & ENTRY_GENERATION) == 0
               ? 0
               : entry_tail(entry, entry_generation_offset(entry));
}

static inline void entry_set_generation(struct entry *entry, uint32_t generation)
{
    entry_set_tail(entry, entry_generation_offset(entry), generation);
}

/* Byte order: negative, 0 or positive, as memcmp(); a key comes after what it begins with. */
static inline int entry_compare(const struct entry *entry, struct bytes key)
{
    return bytes_order(entry_key_of(entry), key);
}

#endif /* STORE_ENTRY_H */
