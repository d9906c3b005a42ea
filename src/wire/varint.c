#include "wire/varint.h"

bool varint_read(struct read *read, uint64_t *number_out)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 70 && read->at < read->end; shift += 7) {
        const uint8_t byte = *read->at++;

        /* The tenth byte holds bit 63 alone; a last byte of 0 adds nothing. */
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) {
            break;
        }
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *number_out = number;
            return true;
        }
    }
    return read_refuse(read, WIRE_BAD_ITEM);
}
