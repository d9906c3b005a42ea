#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

/* The bytes of a fuzzer as a program: what is to be done, and with which numbers. Behind the end
 * all is 0, so that every input is one. */

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unit/edges.h"

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

static inline bool input_is_over(const struct input *input)
{
    return input->at == input->end;
}

static inline uint8_t input_byte(struct input *input)
{
    return input_is_over(input) ? 0 : *input->at++;
}

/* 0..limit - 1; limit 1..256. */
static inline unsigned input_below(struct input *input, unsigned limit)
{
    return input_byte(input) % limit;
}

/* One in so many. */
static inline bool input_rarely(struct input *input, unsigned often)
{
    return input_below(input, often) == often - 1;
}

/* Up to so many bytes as they are. */
static inline struct bytes input_bytes(struct input *input, size_t most)
{
    const size_t left = (size_t)(input->end - input->at);
    const struct bytes bytes = { input->at, most < left ? most : left };

    input->at += bytes.size;
    return bytes;
}

/* A number: an edge, one near it, a small one, or any. */
static inline uint64_t input_number(struct input *input)
{
    const uint8_t form = input_byte(input);
    uint64_t number = 0;

    if (form < 96) {
        return edge_at(form % EDGES);
    }
    if (form < 128) {
        return edge_at(form % EDGES) + (uint64_t)(int64_t)(int8_t)input_byte(input);
    }
    if (form < 240) {
        return (uint64_t)(form - 128) << (form & 8);
    }
    for (unsigned i = 0; i < 8; i++) {
        number = number << 8 | input_byte(input);
    }
    return number;
}

/* An index that often is near the one before: above, the same, below. */
static inline uint64_t input_index(struct input *input, uint64_t before)
{
    const uint8_t form = input_byte(input);

    if (form < 96) {
        return before + form % 4;
    }
    if (form < 128) {
        return before - 1;
    }
    if (form < 144) {
        return before + 256;
    }
    if (form < 160) {
        return before - 256;
    }
    return input_number(input);
}

#endif /* FUZZ_INPUT_H */
