#ifndef WIRE_DROP_H
#define WIRE_DROP_H

/* Why a datagram was dropped whole. Name and metric label come from the same line. */
#define WIRE_DROP_LIST(X)              \
    X(WIRE_OK, "ok")                   \
    X(WIRE_NOT_A_MAP, "not_a_map")     \
    X(WIRE_TRUNCATED, "truncated")     \
    X(WIRE_TRAILING, "trailing_bytes") \
    X(WIRE_TOO_DEEP, "too_deep")       \
    X(WIRE_TOO_LONG, "too_long")       \
    X(WIRE_TWICE, "field_twice")       \
    X(WIRE_NO_KEY, "no_key")           \
    X(WIRE_BAD_KEY, "bad_key")         \
    X(WIRE_BAD_TYPE, "bad_type")       \
    X(WIRE_BAD_NUMBER, "bad_number")   \
    X(WIRE_BAD_ITEM, "bad_item")

enum wire_drop {
#define X(code, label) code,
    WIRE_DROP_LIST(X)
#undef X
        WIRE_DROP_COUNT
};

/* The metric label of a reason. */
const char *wire_drop_label(enum wire_drop drop);

#endif /* WIRE_DROP_H */
