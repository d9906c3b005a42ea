#ifndef VIEW_PACKED_WRITER_H
#define VIEW_PACKED_WRITER_H

/* Pieces of msgpack, written to an output. A map says beforehand how many pairs it has, an array
 * how many values: that they follow is up to the caller. Called by http. */

#include "base/bytes.h"
#include "view/output.h"
#include "wire/block.h"

#include <stdint.h>

void packed_map(struct output *output, uint64_t pairs);
void packed_array(struct output *output, uint64_t values);
void packed_text(struct output *output, struct bytes text);
void packed_name(struct output *output, const char *name);
void packed_u64(struct output *output, uint64_t number);

/* Sixteen hex digits, as digests are shown. */
void packed_hex64(struct output *output, uint64_t number);

/* The elements of a block as pairs. Zero values are left out. */
void packed_elements(struct output *output, const struct block *block);

#endif /* VIEW_PACKED_WRITER_H */
