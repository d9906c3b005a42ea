#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

/* The fixed fields of `x` as a table, from which both the reader and the writer work, so that they
 * cannot differ. Private to the room. */

#include "wire/message.h"
#include "wire/read.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVELOPE_FIELDS 11

/* Bytes of all fixed fields at their longest: name, header and content. */
#define ENVELOPE_BYTES_MAX \
    (5 * (2 + 5) + 3 * (2 + 2) + (2 + 2 + 8) + 2 * (2 + 2 + WIRE_TOKEN_BYTES))

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

/* Read its value and note that it is there. False as the functions of wire/read.h. */
bool envelope_read(struct envelope *envelope, const struct envelope_field *field,
                   struct read *read);

#endif /* WIRE_ENVELOPE_H */
