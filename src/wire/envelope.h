#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

/* The fixed fields of `x`: what they say, for everybody, and as a table, for this room alone, from
 * which both the reader and the writer work, so that they cannot differ. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_TOKEN_BYTES 6

/* Bits of envelope.has: which fixed fields of `x` are there. */
enum wire_field {
    WIRE_HAS_SENDER = 1 << 0,
    WIRE_HAS_WHO = 1 << 1,
    WIRE_HAS_SEQUENCE = 1 << 2,
    WIRE_HAS_ROOTS = 1 << 3,
    WIRE_HAS_TOKEN = 1 << 4,
    WIRE_HAS_ECHO = 1 << 5,
    WIRE_HAS_DEPTH = 1 << 6,
    WIRE_HAS_REFUSED = 1 << 7,
    WIRE_HAS_WINDOW = 1 << 8,
    WIRE_HAS_CLUSTER = 1 << 9,
    WIRE_HAS_FLAGS = 1 << 10,
    WIRE_HAS_CLOCK = 1 << 11,
    WIRE_HAS_MINUTE = 1 << 12,
    WIRE_HAS_LATER = 1 << 13,
};

#define WIRE_FLAG_FULL 1 /* envelope.flags: my store refuses new keys, send only what I ask for */

/* The fixed fields of `x`; the same struct in and out. A field that is not there is 0. */
struct envelope {
    uint32_t has;       /* enum wire_field bits */
    uint32_t sender_id; /* `i` */
    uint32_t who;       /* `?`: this id is not known to me */
    uint32_t sequence;  /* `q` */
    uint32_t cluster;   /* `l` */
    uint32_t refused;   /* `n`: the `q` of the request whose probe failed */
    uint32_t clock_s;   /* `c`: the sender's wall clock, unix seconds */
    uint32_t minute;    /* `m`: as of which the roots are, minutes since 1970 */
    uint32_t later;     /* `M`: the sender's minute, where it is later than that */
    uint32_t
        roots[2]; /* `r`: digests of members and data, salted with `q` (in an ack: with its `a`) */
    uint8_t token[WIRE_TOKEN_BYTES]; /* `t`: for the receiver */
    uint8_t echo[WIRE_TOKEN_BYTES];  /* `e`: the receiver's own, back */
    uint8_t depth;                   /* `d` */
    uint8_t window;                  /* `W` */
    uint8_t flags;                   /* `F` */
};

#define ENVELOPE_FIELDS 14 /* from here on: private to the room */

/* Bytes of all fixed fields at their longest: name, header and content. */
#define ENVELOPE_BYTES_MAX \
    (8 * (2 + 5) + 3 * (2 + 2) + (2 + 2 + 8) + 2 * (2 + 2 + WIRE_TOKEN_BYTES))

enum envelope_form {
    ENVELOPE_U8,
    ENVELOPE_U32,
    ENVELOPE_ROOTS,
    ENVELOPE_TOKEN,
};

struct envelope_field {
    uint16_t has;    /* enum wire_field */
    uint8_t letter;  /* its name */
    uint8_t form;    /* enum envelope_form */
    uint16_t offset; /* in struct envelope */
};

/* In the order in which they are written. */
extern const struct envelope_field envelope_fields[ENVELOPE_FIELDS];

/* The field of a name, or NULL: not a fixed field. */
const struct envelope_field *envelope_find(uint8_t letter);

struct read;

/* Read its value and note that it is there. False as the functions of wire/read.h. */
bool envelope_read(struct envelope *envelope, const struct envelope_field *field,
                   struct read *read);

#endif /* WIRE_ENVELOPE_H */
