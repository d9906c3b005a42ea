#include "wire/envelope.h"

#include "wire/little.h"
#include "wire/read.h"

#include <string.h>

#define AT(member) offsetof(struct envelope, member)

const struct envelope_field envelope_fields[ENVELOPE_FIELDS] = {
    { WIRE_HAS_SENDER, 'i', ENVELOPE_U32, AT(sender_id) },
    { WIRE_HAS_CLUSTER, 'l', ENVELOPE_U32, AT(cluster) },
    { WIRE_HAS_TOKEN, 't', ENVELOPE_TOKEN, AT(token) },
    { WIRE_HAS_ECHO, 'e', ENVELOPE_TOKEN, AT(echo) },
    { WIRE_HAS_SEQUENCE, 'q', ENVELOPE_U32, AT(sequence) },
    { WIRE_HAS_ROOTS, 'r', ENVELOPE_ROOTS, AT(roots) },
    { WIRE_HAS_MINUTE, 'm', ENVELOPE_U32, AT(minute) },
    { WIRE_HAS_LATER, 'M', ENVELOPE_U32, AT(later) },
    { WIRE_HAS_CLOCK, 'c', ENVELOPE_U32, AT(clock_s) },
    { WIRE_HAS_DEPTH, 'd', ENVELOPE_U8, AT(depth) },
    { WIRE_HAS_WINDOW, 'W', ENVELOPE_U8, AT(window) },
    { WIRE_HAS_FLAGS, 'F', ENVELOPE_U8, AT(flags) },
    { WIRE_HAS_WHO, '?', ENVELOPE_U32, AT(who) },
    { WIRE_HAS_REFUSED, 'n', ENVELOPE_U32, AT(refused) },
};

const struct envelope_field *envelope_find(uint8_t letter)
{
    for (unsigned i = 0; i < ENVELOPE_FIELDS; i++) {
        if (envelope_fields[i].letter == letter) {
            return &envelope_fields[i];
        }
    }
    return NULL;
}

static bool envelope_read_number(uint8_t *to, enum envelope_form form, struct read *read)
{
    uint64_t number;

    if (!read_number_upto(read, form == ENVELOPE_U8 ? UINT8_MAX : UINT32_MAX, &number)) {
        return false;
    }
    if (form == ENVELOPE_U8) {
        *to = (uint8_t)number;
    } else {
        const uint32_t narrow = (uint32_t)number;

        memcpy(to, &narrow, sizeof narrow);
    }
    return true;
}

static bool envelope_read_bin(uint8_t *to, enum envelope_form form, struct read *read)
{
    const size_t size = form == ENVELOPE_ROOTS ? 8 : WIRE_TOKEN_BYTES;
    struct bytes bin;

    if (!read_bin(read, &bin)) {
        return false;
    }
    if (bin.size != size) {
        return read_refuse(read, WIRE_BAD_ITEM);
    }
    if (form == ENVELOPE_ROOTS) {
        const uint32_t roots[2] = { little_get32(bin.data), little_get32(bin.data + 4) };

        memcpy(to, roots, sizeof roots);
    } else {
        memcpy(to, bin.data, size);
    }
    return true;
}

bool envelope_read(struct envelope *envelope, const struct envelope_field *field, struct read *read)
{
    uint8_t *const to = (uint8_t *)envelope + field->offset;
    const enum envelope_form form = field->form;

    if ((envelope->has & field->has) != 0) {
        return read_refuse(read, WIRE_TWICE);
    }
    envelope->has |= field->has;
    if (form == ENVELOPE_U8 || form == ENVELOPE_U32) {
        return envelope_read_number(to, form, read);
    }
    return envelope_read_bin(to, form, read);
}
