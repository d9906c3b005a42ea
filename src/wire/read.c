#include "wire/read.h"

#include <assert.h>
#include <stddef.h>

/* The families of msgpack's first byte. */
enum read_family {
    READ_NUMBER,   /* unsigned, in the byte or after it */
    READ_SIGNED,   /* two's complement after the byte */
    READ_NEGATIVE, /* in the byte */
    READ_FLOAT,
    READ_PLAIN, /* nil, false, true */
    READ_TEXT,
    READ_BIN,
    READ_EXTENSION,
    READ_ARRAY,
    READ_MAP,
    READ_NEVER /* 0xc1 */
};

/* The head of a value: its first byte and the number that follows it or is in it. */
struct read_head {
    enum read_family family;
    uint64_t number; /* the value of a number, the size or count of the rest */
};

/* First bytes 0xc0 to 0xdf: family, and the bytes of the big endian number behind. */
static const struct read_form {
    uint8_t family; /* enum read_family */
    uint8_t size;
} read_forms[32] = {
    { READ_PLAIN, 0 },     { READ_NEVER, 0 },     { READ_PLAIN, 0 },     { READ_PLAIN, 0 },
    { READ_BIN, 1 },       { READ_BIN, 2 },       { READ_BIN, 4 },       { READ_EXTENSION, 1 },
    { READ_EXTENSION, 2 }, { READ_EXTENSION, 4 }, { READ_FLOAT, 4 },     { READ_FLOAT, 8 },
    { READ_NUMBER, 1 },    { READ_NUMBER, 2 },    { READ_NUMBER, 4 },    { READ_NUMBER, 8 },
    { READ_SIGNED, 1 },    { READ_SIGNED, 2 },    { READ_SIGNED, 4 },    { READ_SIGNED, 8 },
    { READ_EXTENSION, 0 }, { READ_EXTENSION, 0 }, { READ_EXTENSION, 0 }, { READ_EXTENSION, 0 },
    { READ_EXTENSION, 0 }, { READ_TEXT, 1 },      { READ_TEXT, 2 },      { READ_TEXT, 4 },
    { READ_ARRAY, 2 },     { READ_ARRAY, 4 },     { READ_MAP, 2 },       { READ_MAP, 4 },
};

static size_t read_left(const struct read *read)
{
    return (size_t)(read->end - read->at);
}

/* A first byte that says all by itself, 0xc0 to 0xdf excepted. */
static struct read_head read_head_short(uint8_t byte)
{
    if (byte < 0x80) {
        return (struct read_head){ READ_NUMBER, byte };
    }
    if (byte < 0x90) {
        return (struct read_head){ READ_MAP, byte & 0x0f };
    }
    if (byte < 0xa0) {
        return (struct read_head){ READ_ARRAY, byte & 0x0f };
    }
    if (byte < 0xc0) {
        return (struct read_head){ READ_TEXT, byte & 0x1f };
    }
    return (struct read_head){ READ_NEGATIVE, 0 };
}

static bool head_read(struct read *read, struct read_head *head)
{
    const struct read_form *form;
    uint8_t byte;

    if (read_left(read) < 1) {
        return read_refuse(read, WIRE_TRUNCATED);
    }
    byte = *read->at++;
    if (byte < 0xc0 || byte > 0xdf) {
        *head = read_head_short(byte);
        return true;
    }
    form = &read_forms[byte - 0xc0];
    if (read_left(read) < form->size) {
        return read_refuse(read, WIRE_TRUNCATED);
    }
    *head = (struct read_head){ form->family, 0 };
    for (unsigned i = 0; i < form->size; i++) {
        head->number = head->number << 8 | *read->at++;
    }
    if (form->family == READ_SIGNED) {
        assert(form->size >= 1);
        if (head->number >> (8 * form->size - 1) != 0) {
            head->family = READ_NEGATIVE;
        }
    }
    if (form->family == READ_PLAIN) {
        head->number = byte;
    }
    if (form->family == READ_EXTENSION) {
        /* The type's byte, and for the five fixed sizes 1, 2, 4, 8 and 16. */
        head->number = 1 + (form->size == 0 ? UINT64_C(1) << (byte - 0xd4) : head->number);
    }
    return true;
}

bool read_bytes(struct read *read, size_t size, struct bytes *bytes_out)
{
    if (read_left(read) < size) {
        return read_refuse(read, WIRE_TRUNCATED);
    }
    *bytes_out = (struct bytes){ read->at, size };
    read->at += size;
    return true;
}

bool read_number_wide(struct read *read, uint64_t *number_out)
{
    const uint8_t *const at = read->at;
    struct read_head head;

    /* Two forms that values often have, without which a map of them takes half as long again to
     * judge; the rest byte by byte. */
    if (read_left(read) >= 5 && at[0] == 0xce) {
        *number_out =
            (uint64_t)at[1] << 24 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 8 | (uint64_t)at[4];
        read->at = at + 5;
        return true;
    }
    if (read_left(read) >= 2 && at[0] == 0xcc) {
        *number_out = at[1];
        read->at = at + 2;
        return true;
    }
    if (!head_read(read, &head)) {
        return false;
    }
    switch (head.family) {
    case READ_NUMBER:
    case READ_SIGNED: *number_out = head.number; return true;
    case READ_NEGATIVE:
    case READ_FLOAT: return read_refuse(read, WIRE_BAD_NUMBER);
    default: return read_refuse(read, WIRE_BAD_TYPE);
    }
}

bool read_number_upto(struct read *read, uint64_t max, uint64_t *number_out)
{
    uint64_t number;

    if (!read_number(read, &number)) {
        return false;
    }
    if (number > max) {
        return read_refuse(read, WIRE_BAD_NUMBER);
    }
    *number_out = number;
    return true;
}

bool read_bool(struct read *read, bool *value_out)
{
    struct read_head head;

    if (!head_read(read, &head)) {
        return false;
    }
    if (head.family != READ_PLAIN || head.number == 0xc0) {
        return read_refuse(read, WIRE_BAD_TYPE);
    }
    *value_out = head.number == 0xc3;
    return true;
}

bool read_text_wide(struct read *read, struct bytes *text_out)
{
    struct read_head head;

    if (!head_read(read, &head)) {
        return false;
    }
    if (head.family != READ_TEXT && head.family != READ_BIN) {
        return read_refuse(read, WIRE_BAD_TYPE);
    }
    return read_bytes(read, (size_t)head.number, text_out);
}

bool read_bin(struct read *read, struct bytes *bin_out)
{
    struct read_head head;

    if (!head_read(read, &head)) {
        return false;
    }
    if (head.family != READ_BIN) {
        return read_refuse(read, WIRE_BAD_TYPE);
    }
    return read_bytes(read, (size_t)head.number, bin_out);
}

/* Every value is a byte at least. */
static bool read_count(struct read *read, enum read_family family, unsigned values_each,
                       uint32_t *count_out)
{
    struct read_head head;

    if (!head_read(read, &head)) {
        return false;
    }
    if (head.family != family) {
        return read_refuse(read, WIRE_BAD_TYPE);
    }
    if (head.number > read_left(read) / values_each) {
        return read_refuse(read, WIRE_TRUNCATED);
    }
    *count_out = (uint32_t)head.number;
    return true;
}

bool read_map_wide(struct read *read, uint32_t *pairs_out)
{
    return read_count(read, READ_MAP, 2, pairs_out);
}

bool read_array(struct read *read, uint32_t *values_out)
{
    return read_count(read, READ_ARRAY, 1, values_out);
}

static enum read_family read_family_next(const struct read *read)
{
    const uint8_t byte = read->at < read->end ? *read->at : 0xc1;

    if (byte >= 0xc0 && byte <= 0xdf) {
        return read_forms[byte - 0xc0].family;
    }
    return read_head_short(byte).family;
}

bool read_map_is_next_wide(const struct read *read)
{
    return read_family_next(read) == READ_MAP;
}

bool read_text_is_next_wide(const struct read *read)
{
    const enum read_family family = read_family_next(read);

    return family == READ_TEXT || family == READ_BIN;
}

bool read_skip(struct read *read, unsigned depth)
{
    uint64_t left[READ_DEPTH_MAX]; /* values to come in each container that is open */
    unsigned open = 0;
    struct read_head head;
    struct bytes passed;

    assert(depth <= READ_DEPTH_MAX);
    do {
        if (!head_read(read, &head)) {
            return false;
        }
        switch (head.family) {
        case READ_NEVER: return read_refuse(read, WIRE_BAD_TYPE);
        case READ_TEXT:
        case READ_BIN:
        case READ_EXTENSION:
            if (!read_bytes(read, (size_t)head.number, &passed)) {
                return false;
            }
            break;
        case READ_MAP:
        case READ_ARRAY:
            if (open == READ_DEPTH_MAX - depth) {
                return read_refuse(read, WIRE_TOO_DEEP);
            }
            /* One more, for the container itself, which the loop below takes off. */
            left[open++] = head.number * (head.family == READ_MAP ? 2 : 1) + 1;
            break;
        default: break;
        }
        /* A value is complete, and with it every container whose last one it was. */
        while (open > 0 && --left[open - 1] == 0) {
            open--;
        }
    } while (open > 0);
    return true;
}
