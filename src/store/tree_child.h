#ifndef STORE_TREE_CHILD_H
#define STORE_TREE_CHILD_H

#include <stdint.h>

/* What lies under one of the 16 children of a prefix of the key hash. */
struct tree_child {
    uint64_t digest;
    uint64_t keys;
};

#endif /* STORE_TREE_CHILD_H */
