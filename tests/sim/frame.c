#include "sim/frame.h"

#include "base/utf8.h"

#include <string.h>

enum value_kind { VALUE_NUMBER, VALUE_TEXT, VALUE_MAP, VALUE_BOOL, VALUE_OTHER };

struct value {
    uint8_t kind;    /* enum value_kind */
    uint64_t number; /* VALUE_NUMBER, 0 or more; VALUE_MAP: pairs; VALUE_BOOL */
    uint64_t more;   /* VALUE_OTHER: values inside that still follow */
    struct bytes text;
};

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t odd;
};

static uint64_t big_endian(struct reader *reader, unsigned size)
{
    uint64_t number = 0;

    if ((size_t)(reader->end - reader->at) < size) {
        reader->odd |= FRAME_BROKEN;
        reader->at = reader->end;
        return 0;
    }
    for (unsigned i = 0; i < size; i++) {
        number = number << 8 | *reader->at++;
    }
    return number;
}

static void text_read(struct reader *reader, uint64_t size, struct value *value)
{
    if (size > (uint64_t)(reader->end - reader->at)) {
        reader->odd |= FRAME_BROKEN;
        size = 0;
        reader->at = reader->end;
    }
    value->kind = VALUE_TEXT;
    value->text = (struct bytes){ reader->at, (size_t)size };
    reader->at += size;
}

static void string_read(struct reader *reader, uint64_t size, struct value *value)
{
    text_read(reader, size, value);
    reader->odd |= utf8_valid(value->text) ? 0u : (unsigned)FRAME_NOT_UTF8;
}

/* A signed number; a negative one is none that anything here can use. */
static void signed_read(struct reader *reader, unsigned size, struct value *value)
{
    const uint64_t number = big_endian(reader, size);

    value->kind = number >> (8 * size - 1) != 0 ? VALUE_OTHER : VALUE_NUMBER;
    value->number = number;
}

static void ext_read(struct reader *reader, uint64_t size, struct value *value)
{
    reader->odd |= FRAME_EXT;
    (void)big_endian(reader, 1);
    text_read(reader, size, value);
    value->kind = VALUE_OTHER;
}

static void bin_read(struct reader *reader, uint64_t size, struct value *value)
{
    reader->odd |= FRAME_BIN;
    text_read(reader, size, value);
}

/* The forms from 0xc0 to 0xdf. */
static void wide_read(struct reader *reader, uint8_t byte, struct value *value)
{
    switch (byte) {
    case 0xc1: reader->odd |= FRAME_BROKEN; break;
    case 0xc2:
    case 0xc3:
        value->kind = VALUE_BOOL;
        value->number = byte & 1;
        break;
    case 0xc4:
    case 0xc5:
    case 0xc6: bin_read(reader, big_endian(reader, 1u << (byte - 0xc4)), value); break;
    case 0xc7:
    case 0xc8:
    case 0xc9: ext_read(reader, big_endian(reader, 1u << (byte - 0xc7)), value); break;
    case 0xca: (void)big_endian(reader, 4); break;
    case 0xcb: (void)big_endian(reader, 8); break;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        value->kind = VALUE_NUMBER;
        value->number = big_endian(reader, 1u << (byte - 0xcc));
        break;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: signed_read(reader, 1u << (byte - 0xd0), value); break;
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: ext_read(reader, 1u << (byte - 0xd4), value); break;
    case 0xd9:
        reader->odd |= FRAME_STR8;
        string_read(reader, big_endian(reader, 1), value);
        break;
    case 0xda:
    case 0xdb: string_read(reader, big_endian(reader, 2u << (byte - 0xda)), value); break;
    case 0xdc:
    case 0xdd: value->more = big_endian(reader, 2u << (byte - 0xdc)); break;
    case 0xde:
    case 0xdf:
        value->kind = VALUE_MAP;
        value->number = big_endian(reader, 2u << (byte - 0xde));
        break;
    default: break; /* nil */
    }
}

static struct value value_read(struct reader *reader)
{
    struct value value = { .kind = VALUE_OTHER };
    const uint8_t byte = (uint8_t)big_endian(reader, 1);

    if (byte < 0x80) {
        value.kind = VALUE_NUMBER;
        value.number = byte;
    } else if (byte < 0x90) {
        value.kind = VALUE_MAP;
        value.number = byte & 15;
    } else if (byte < 0xa0) {
        value.more = byte & 15;
    } else if (byte < 0xc0) {
        string_read(reader, byte & 31, &value);
    } else if (byte < 0xe0) {
        wide_read(reader, byte, &value);
    }
    return value;
}

/* Pass over whatever is inside a value. */
static void value_skip(struct reader *reader, const struct value *value)
{
    uint64_t left = value->kind == VALUE_MAP ? 2 * value->number : value->more;

    while (left > 0 && (reader->odd & FRAME_BROKEN) == 0) {
        const struct value inside = value_read(reader);

        left += inside.kind == VALUE_MAP ? 2 * inside.number : inside.more;
        left--;
    }
}

static void vector_read(struct reader *reader, const struct value *map, struct frame *frame)
{
    for (uint64_t i = 0; i < map->number && (reader->odd & FRAME_BROKEN) == 0; i++) {
        const struct value index = value_read(reader);
        struct value value;

        value_skip(reader, &index);
        value = value_read(reader);
        value_skip(reader, &value);
        if (index.kind != VALUE_NUMBER || value.kind != VALUE_NUMBER) {
            reader->odd |= FRAME_BAD_VALUE;
        } else if (frame->count == FRAME_ELEMENTS_MAX) {
            reader->odd |= FRAME_TOO_MANY;
        } else {
            frame->elements[frame->count].index = index.number;
            frame->elements[frame->count++].value = value.number;
        }
    }
}

static bool is(struct bytes text, const char *name)
{
    return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

static void field_read(struct reader *reader, struct frame *frame)
{
    const struct value name = value_read(reader);
    struct value value;

    value_skip(reader, &name);
    value = value_read(reader);
    if (name.kind == VALUE_TEXT && is(name.text, "vector") && value.kind == VALUE_MAP) {
        frame->odd &= ~(uint32_t)FRAME_NO_VECTOR;
        vector_read(reader, &value, frame);
        return;
    }
    value_skip(reader, &value);
    if (name.kind != VALUE_TEXT) {
        frame->odd |= FRAME_UNKNOWN;
    } else if (is(name.text, "key")) {
        if (value.kind == VALUE_TEXT) {
            frame->odd &= ~(uint32_t)FRAME_NO_KEY;
            frame->key = value.text;
        }
    } else if (is(name.text, "ttl")) {
        frame->has_ttl = true;
        frame->ttl = value.number;
        frame->odd |= value.kind == VALUE_NUMBER ? 0u : (unsigned)FRAME_BAD_TTL;
    } else if (is(name.text, "full")) {
        frame->full = value.kind == VALUE_BOOL && value.number != 0;
    } else if (!is(name.text, "vector")) {
        frame->odd |= FRAME_UNKNOWN;
    }
}

void frame_read(struct bytes datagram, struct frame *frame)
{
    struct reader reader = { .at = datagram.data, .end = datagram.data + datagram.size };
    const struct value map = value_read(&reader);

    frame->odd = FRAME_NO_KEY | FRAME_NO_VECTOR;
    frame->key = (struct bytes){ datagram.data, 0 };
    frame->ttl = 0;
    frame->has_ttl = false;
    frame->full = false;
    frame->count = 0;
    if (map.kind != VALUE_MAP) {
        frame->odd |= FRAME_NOT_MAP;
        value_skip(&reader, &map);
    }
    for (uint64_t i = 0; map.kind == VALUE_MAP && i < map.number; i++) {
        if ((reader.odd & FRAME_BROKEN) != 0) {
            break;
        }
        field_read(&reader, frame);
    }
    frame->odd |= reader.odd;
    frame->odd |= reader.at < reader.end ? (unsigned)FRAME_TRAILING : 0u;
}

/* Writing. */

struct pen {
    struct space space;
    size_t used;
};

static void byte_put(struct pen *pen, uint64_t byte)
{
    if (pen->used < pen->space.size) {
        pen->space.data[pen->used] = (uint8_t)byte;
    }
    pen->used++;
}

static void number_put(struct pen *pen, uint64_t number)
{
    const unsigned bits = number < 0x100 ? 0 : number < 0x10000 ? 1 : number <= UINT32_MAX ? 2 : 3;

    if (number < 0x80) {
        byte_put(pen, number);
        return;
    }
    byte_put(pen, 0xcc + bits);
    for (unsigned shift = 8u << bits; shift > 0; shift -= 8) {
        byte_put(pen, number >> (shift - 8));
    }
}

static void text_put(struct pen *pen, struct bytes text, bool str8)
{
    if (text.size < 32) {
        byte_put(pen, 0xa0 | text.size);
    } else if (str8 && text.size < 256) {
        byte_put(pen, 0xd9);
        byte_put(pen, text.size);
    } else {
        byte_put(pen, 0xda);
        byte_put(pen, text.size >> 8);
        byte_put(pen, text.size);
    }
    for (size_t i = 0; i < text.size; i++) {
        byte_put(pen, text.data[i]);
    }
}

static void name_put(struct pen *pen, const char *name)
{
    text_put(pen, (struct bytes){ (const uint8_t *)name, strlen(name) }, false);
}

size_t frame_write(const struct frame *frame, bool str8, struct space space)
{
    struct pen pen = { .space = space };

    byte_put(&pen, 0x82u + frame->has_ttl + frame->full);
    name_put(&pen, "key");
    text_put(&pen, frame->key, str8);
    name_put(&pen, "vector");
    if (frame->count < 16) {
        byte_put(&pen, 0x80 | frame->count);
    } else {
        byte_put(&pen, 0xde);
        byte_put(&pen, frame->count >> 8);
        byte_put(&pen, frame->count);
    }
    for (size_t i = 0; i < frame->count; i++) {
        number_put(&pen, frame->elements[i].index);
        number_put(&pen, frame->elements[i].value);
    }
    if (frame->full) {
        name_put(&pen, "full");
        byte_put(&pen, 0xc3);
    }
    if (frame->has_ttl) {
        name_put(&pen, "ttl");
        number_put(&pen, frame->ttl);
    }
    return pen.used <= space.size ? pen.used : 0;
}
