#ifndef BASE_HASH_INDEX_H
#define BASE_HASH_INDEX_H

/* From hashes of 32 bits to positions in somebody's list. What lies at a position, and whether it
 * is the one looked for, the caller knows; here only hashes are compared.
 *
 * Segments of at most 4 KiB, each a table of its own with open addressing; a directory by the upper
 * bits of the hash leads to them. One that is full is split in two, and the hash is kept beside the
 * position: so an index of a million positions grows as one of a hundred does, by moving some three
 * hundred of them, and reads nobody's list for it. What follows each other in the lower bits of the
 * hash are neighbours in memory.
 *
 * An index is a pointer; NULL is an empty one.
 *
 * Source: Fagin et al., "Extendible hashing: a fast access method for dynamic files" (1979).
 * Watched by bench/costs. */

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

#define HASH_INDEX_NONE UINT32_MAX

struct hash_index; /* hash_index.c */

/* Give back all of it; *index becomes NULL. */
void hash_index_clear(struct hash_index **index, struct mem *mem);

/* Enter a position, which is less than HASH_INDEX_NONE. False: no memory, nothing changed. */
bool hash_index_put(struct hash_index **index, struct mem *mem, uint32_t hash, uint32_t position);

/* The next position of a hash, or HASH_INDEX_NONE when there are no more.
 *
 * cursor  0 to begin with; valid until the index changes */
uint32_t hash_index_next(const struct hash_index *index, uint32_t hash, uint32_t *cursor);

/* Take out a position that was entered with this hash. */
void hash_index_remove(struct hash_index *index, uint32_t hash, uint32_t position);

/* That a hash will soon be looked for: fetch into cache what is read first. */
void hash_index_expect(const struct hash_index *index, uint32_t hash);

/* Abort unless each position is found by its hash; returns how many there are. */
uint32_t hash_index_audit(const struct hash_index *index);

#endif /* BASE_HASH_INDEX_H */
