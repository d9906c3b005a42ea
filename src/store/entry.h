#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

/* How a key and its vector lie in memory. Private to the table and its indexes, which are threaded
 * through the entries or know them by id: the first costs a link of 4 bytes here. What can be
 * computed from the key is not kept: neither of its two hashes is.
 *
 *     | vector 24 | digest 8 | lookup_next 4 | link 4 | size and flags 2 | key |
 *
 * The entry of a key of up to 22 bytes takes 64 bytes (bench/memory). */

#include "base/bytes.h"
#include "store/vector.h"

#include <stddef.h>
#include <stdint.h>

#define ENTRY_KEY_BYTES_MAX 255

/* Bits of an entry's flags. */
enum entry_flag { ENTRY_DATA = 1, ENTRY_DROPPED = 2 };

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

#define ENTRY_BYTES_MAX (offsetof(struct entry, key) + ENTRY_KEY_BYTES_MAX)

_Static_assert(offsetof(struct entry, key) == sizeof(struct vector) + 18, "no byte is lost");

static inline size_t entry_bytes(size_t key_size)
{
    return offsetof(struct entry, key) + key_size;
}

static inline struct bytes entry_key_of(const struct entry *entry)
{
    return (struct bytes){ entry->key, entry->key_size };
}

/* Byte order: negative, 0 or positive, as memcmp(); a key comes after what it begins with. */
static inline int entry_compare(const struct entry *entry, struct bytes key)
{
    return bytes_order(entry_key_of(entry), key);
}

#endif /* STORE_ENTRY_H */
