#ifndef WIRE_VARINT_H
#define WIRE_VARINT_H

/* Numbers inside the binaries of `x`: seven bits a byte, lowest first, the top bit set in all bytes
 * but the last; always in their shortest form (LEB128). 300 is ac 02. Called by packed, message and
 * writer. Private to the room. */

#include "wire/read.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARINT_BYTES_MAX 10 /* of 2^64 - 1 */

/* Bytes of a number, 1..VARINT_BYTES_MAX. */
static inline size_t varint_size(uint64_t number)
{
    size_t size = 1;

    while (number >= 0x80) {
        number >>= 7;
        size++;
    }
    return size;
}

/* Write it; returns where the next byte goes. */
static inline uint8_t *varint_put(uint8_t *to, uint64_t number)
{
    while (number >= 0x80) {
        *to++ = (uint8_t)(number & 0x7f) | 0x80;
        number >>= 7;
    }
    *to++ = (uint8_t)number;
    return to;
}

/* Take one. False, with WIRE_BAD_ITEM: cut short, longer than needed, or above 2^64 - 1. */
bool varint_read(struct read *read, uint64_t *number_out);

#endif /* WIRE_VARINT_H */
