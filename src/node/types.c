#include "node/types.h"

#include <assert.h>

const char *node_kind_label(enum node_kind kind)
{
    switch (kind) {
#define X(code, label) \
    case code: return label;
        NODE_KIND_LIST(X)
#undef X
    default: break;
    }
    assert(kind < NODE_KIND_COUNT);
    return "";
}
