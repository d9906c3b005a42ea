#ifndef STORE_MERGE_RESULT_H
#define STORE_MERGE_RESULT_H

#include "wire/block.h"

#include <stdint.h>

/* What one merge found, in both directions of the gossip rule (vignette(7), "Receiving"). */
struct merge_result {
    struct mark raised;    /* ours rose to theirs: tell others */
    struct mark larger;    /* theirs is there and smaller: tell the sender */
    uint64_t digest_delta; /* to add to the vector's digest, mod 2^64 */
};

#endif /* STORE_MERGE_RESULT_H */
