#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

/* How a key and its vector lie in memory. Private to the table and its indexes, which are threaded
 * through the entries: each index costs a link of 4 bytes here and little else. What can be
 * computed from the key is not kept: neither of its two hashes is.
 *
 *     | vector 24 | digest 8 | lookup_next 4 | link 4 | sizes and flags 4 | tower 4 each | key |
 *
 * The entry of a key of 20 bytes takes 72 bytes in three of four cases (bench/memory). */

#include "base/bytes.h"
#include "store/table.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ENTRY_KEY_BYTES_MAX 255
#define ENTRY_HEIGHT_MAX    16

/* Beside enum entry_flag. */
enum entry_state { ENTRY_SET_D = 8, ENTRY_DROPPED = 16 };

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
    uint8_t flags;  /* enum entry_flag, enum entry_state */
    uint8_t height; /* 1..ENTRY_HEIGHT_MAX */
    uint8_t unused;
    uint32_t tower[]; /* next in byte order at each height; then the key */
};

#define ENTRY_BYTES_MAX \
    (offsetof(struct entry, tower) + ENTRY_HEIGHT_MAX * sizeof(uint32_t) + ENTRY_KEY_BYTES_MAX)

_Static_assert(offsetof(struct entry, tower) == sizeof(struct vector) + 20, "no byte is lost");

static inline size_t entry_bytes(unsigned height, size_t key_size)
{
    return offsetof(struct entry, tower) + height * sizeof(uint32_t) + key_size;
}

static inline struct bytes entry_key_of(const struct entry *entry)
{
    return (struct bytes){ (const uint8_t *)(entry->tower + entry->height), entry->key_size };
}

/* Byte order: negative, 0 or positive, as memcmp(); a key comes after what it begins with. */
static inline int entry_compare(const struct entry *entry, struct bytes key)
{
    const struct bytes ours = entry_key_of(entry);
    const size_t size = ours.size < key.size ? ours.size : key.size;
    const int order = size == 0 ? 0 : memcmp(ours.data, key.data, size);

    return order != 0 ? order : (ours.size > key.size) - (ours.size < key.size);
}

#endif /* STORE_ENTRY_H */
