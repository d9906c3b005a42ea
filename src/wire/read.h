#ifndef WIRE_READ_H
#define WIRE_READ_H

/* A cursor over msgpack in memory: takes one value at a time, checks each against the end of the
 * buffer, allocates nothing, recurses never. It reads what any encoder writes (every width, the old
 * raw and the new str and bin forms); what a value means is judged by whoever asked for it. Private
 * to the room.
 *
 * Every function returns false where it cannot give what was asked for, and leaves the reason in
 * `drop`. The first reason stands; after it nothing more may be read.
 *
 * Source: the msgpack specification, 2013 edition, and the raw type of the one before. */

#include "base/bytes.h"
#include "wire/drop.h"

#include <stdbool.h>
#include <stdint.h>

#define READ_DEPTH_MAX 32 /* maps and arrays in one another, as msgpack-c's own reader has it */

/* Open, because it lives on stacks and in registers. */
struct read {
    const uint8_t *at;
    const uint8_t *end;
    enum wire_drop drop;
};

static inline struct read read_begin(struct bytes bytes)
{
    return (struct read){ bytes.data, bytes.data + bytes.size, WIRE_OK };
}

/* What is not read yet. */
static inline struct bytes read_rest(const struct read *read)
{
    return (struct bytes){ read->at, (size_t)(read->end - read->at) };
}

/* Note the reason; always false. */
static inline bool read_refuse(struct read *read, enum wire_drop drop)
{
    read->drop = drop;
    return false;
}

/* The next `size` bytes as they are. WIRE_TRUNCATED. */
bool read_bytes(struct read *read, size_t size, struct bytes *bytes_out);

/* An integer of any width, signed forms included, 0 or more. WIRE_TRUNCATED, WIRE_BAD_NUMBER for
 * floats and negative numbers, WIRE_BAD_TYPE for the rest. */
bool read_number_wide(struct read *read, uint64_t *number_out);

/* The same, for loops over pairs: the two forms that most indices and values have are read in
 * place. Watched by bench/decode. */
static inline bool read_number(struct read *read, uint64_t *number_out)
{
    const uint8_t *const at = read->at;

    if (at < read->end && at[0] < 0x80) {
        *number_out = at[0];
        read->at = at + 1;
        return true;
    }
    if (read->end - at >= 3 && at[0] == 0xcd) {
        *number_out = (uint64_t)at[1] << 8 | at[2];
        read->at = at + 3;
        return true;
    }
    return read_number_wide(read, number_out);
}

/* A number of at most `max`. Above: WIRE_BAD_NUMBER. */
bool read_number_upto(struct read *read, uint64_t max, uint64_t *number_out);

bool read_bool(struct read *read, bool *value_out);

/* A string in any form, or bin. */
bool read_text_wide(struct read *read, struct bytes *text_out);

/* The same; strings below 32 bytes, as all field names and most keys are, are read in place. */
static inline bool read_text(struct read *read, struct bytes *text_out)
{
    const uint8_t *const at = read->at;

    if (at < read->end && (at[0] & 0xe0) == 0xa0 && (at[0] & 0x1f) < read->end - at) {
        *text_out = (struct bytes){ at + 1, at[0] & 0x1f };
        read->at = at + 1 + text_out->size;
        return true;
    }
    return read_text_wide(read, text_out);
}

/* Bin only; and whether one comes next. */
static inline bool read_bin_is_next(const struct read *read)
{
    return read->at < read->end && *read->at >= 0xc4 && *read->at <= 0xc6;
}
bool read_bin(struct read *read, struct bytes *bin_out);

/* How many pairs, or values, follow. A count that the rest cannot hold is WIRE_TRUNCATED. */
bool read_map_wide(struct read *read, uint32_t *pairs_out);
static inline bool read_map(struct read *read, uint32_t *pairs_out)
{
    const uint8_t *const at = read->at;

    if (at < read->end && (at[0] & 0xf0) == 0x80 && 2 * (at[0] & 0x0f) < read->end - at) {
        *pairs_out = at[0] & 0x0f;
        read->at = at + 1;
        return true;
    }
    return read_map_wide(read, pairs_out);
}
bool read_array(struct read *read, uint32_t *values_out);

/* What comes next, without taking it; the short forms are seen in place. */
bool read_map_is_next_wide(const struct read *read);
bool read_text_is_next_wide(const struct read *read);
static inline bool read_map_is_next(const struct read *read)
{
    return (read->at < read->end && (*read->at & 0xf0) == 0x80) || read_map_is_next_wide(read);
}
static inline bool read_text_is_next(const struct read *read)
{
    return (read->at < read->end && (*read->at & 0xe0) == 0xa0) || read_text_is_next_wide(read);
}

/* Pass over one value of any type. WIRE_TOO_DEEP when it holds containers that, with the `depth`
 * around it, are more than READ_DEPTH_MAX. Time: the value's bytes. */
bool read_skip(struct read *read, unsigned depth);

#endif /* WIRE_READ_H */
