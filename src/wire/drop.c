#include "wire/drop.h"

#include <assert.h>

const char *wire_drop_label(enum wire_drop drop)
{
    switch (drop) {
#define X(code, label) \
    case code: return label;
        WIRE_DROP_LIST(X)
#undef X
    default: break;
    }
    assert(drop < WIRE_DROP_COUNT);
    return "";
}
