#ifndef WIRE_LITTLE_H
#define WIRE_LITTLE_H

/* Whole numbers inside the binaries of `x`: little endian, at any address. Private to the room. */

#include <stdint.h>

static inline uint16_t little_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t little_get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t little_get64(const uint8_t *at)
{
    return little_get32(at) | (uint64_t)little_get32(at + 4) << 32;
}

static inline void little_put16(uint8_t *to, uint16_t number)
{
    to[0] = (uint8_t)number;
    to[1] = (uint8_t)(number >> 8);
}

static inline void little_put32(uint8_t *to, uint32_t number)
{
    to[0] = (uint8_t)number;
    to[1] = (uint8_t)(number >> 8);
    to[2] = (uint8_t)(number >> 16);
    to[3] = (uint8_t)(number >> 24);
}

static inline void little_put64(uint8_t *to, uint64_t number)
{
    little_put32(to, (uint32_t)number);
    little_put32(to + 4, (uint32_t)(number >> 32));
}

#endif /* WIRE_LITTLE_H */
