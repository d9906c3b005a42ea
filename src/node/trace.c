#include "node/trace.h"

#include <assert.h>

struct trace_names trace_names_of(enum trace_kind kind)
{
    switch (kind) {
#define X(code, name, about, number) \
    case code: return (struct trace_names){ name, about, number };
        TRACE_LIST(X)
#undef X
    default: break;
    }
    assert(kind < TRACE_COUNT);
    return (struct trace_names){ "", "", "" };
}
