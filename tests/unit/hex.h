#ifndef UNIT_HEX_H
#define UNIT_HEX_H

/* Bytes in tests, written as hex digits; spaces are for the reader. */

#include "base/bytes.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Decode into `to`, which has room for `room` bytes. */
static inline struct bytes hex_bytes(const char *hex, uint8_t *to, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    unsigned high = 16;
    size_t size = 0;

    for (; *hex != '\0'; hex++) {
        const char *const digit = strchr(digits, *hex);

        if (*hex == ' ') {
            continue;
        }
        assert(digit != NULL);
        if (high == 16) {
            high = (unsigned)(digit - digits);
            continue;
        }
        assert(size < room);
        to[size++] = (uint8_t)(high << 4 | (unsigned)(digit - digits));
        high = 16;
    }
    assert(high == 16);
    return (struct bytes){ to, size };
}

#endif /* UNIT_HEX_H */
