#include "fuzz/forge.h"

#include "node/state.h"
#include "wire/little.h"
#include "wire/varint.h"

#include <stdlib.h>
#include <string.h>

#define X_ROOM 1000 /* bytes after which no more fields are begun */

/* A datagram being written; what does not fit is left out, so that it is cut. */
struct pen {
    uint8_t *to;
    size_t size;
    size_t room;
};

static void put_bytes(struct pen *pen, const void *bytes, size_t size)
{
    if (size <= pen->room - pen->size) {
        memcpy(pen->to + pen->size, bytes, size);
        pen->size += size;
    }
}

static void put_byte(struct pen *pen, unsigned byte)
{
    const uint8_t one = (uint8_t)byte;

    put_bytes(pen, &one, 1);
}

static void put_big(struct pen *pen, uint64_t number, unsigned size)
{
    while (size > 0) {
        put_byte(pen, (unsigned)(number >> 8 * --size) & 0xff);
    }
}

static void put_number(struct pen *pen, uint64_t number)
{
    if (number < 0x80) {
        put_byte(pen, (unsigned)number);
    } else if (number <= UINT16_MAX) {
        put_byte(pen, 0xcd);
        put_big(pen, number, 2);
    } else if (number <= UINT32_MAX) {
        put_byte(pen, 0xce);
        put_big(pen, number, 4);
    } else {
        put_byte(pen, 0xcf);
        put_big(pen, number, 8);
    }
}

static void put_map(struct pen *pen, unsigned pairs)
{
    put_byte(pen, 0xde);
    put_big(pen, pairs, 2);
}

static void put_array(struct pen *pen, unsigned values)
{
    put_byte(pen, 0xdc);
    put_big(pen, values, 2);
}

static void put_text(struct pen *pen, struct bytes text)
{
    put_byte(pen, 0xda);
    put_big(pen, text.size, 2);
    put_bytes(pen, text.data, text.size);
}

static void put_name(struct pen *pen, const char *name)
{
    put_byte(pen, 0xa0U + (unsigned)strlen(name));
    put_bytes(pen, name, strlen(name));
}

static void put_bin(struct pen *pen, const void *bytes, size_t size)
{
    put_byte(pen, 0xc5);
    put_big(pen, size, 2);
    put_bytes(pen, bytes, size);
}

static void put_letter(struct pen *pen, char letter)
{
    put_byte(pen, 0xa1);
    put_byte(pen, (uint8_t)letter);
}

/* Keys. */

static struct bytes presence_key(const struct address *address, uint8_t room[64])
{
    memcpy(room, "n:", 2);
    return (struct bytes){ room, 2 + address_to_text(address, (char *)room + 2) };
}

struct bytes forge_key(struct input *input, uint8_t room[64])
{
    static const char *const keys[] = { "x",  "k",  "k1",  "k2",  "sketch", "a*b",  "%",
                                        "k%", "k*", "n:%", "n:*", "*",      "n:no", "\xc3\xa9" };
    const unsigned form = input_below(input, 32);
    struct address address;

    if (form < 18) {
        const char *const key = keys[form < 14 ? form : form % 5];

        return (struct bytes){ (const uint8_t *)key, strlen(key) };
    }
    if (form < 24) {
        address = member_address(form % MEMBERS);
        return presence_key(&address, room);
    }
    if (form < 28) {
        address = stranger_address(form % STRANGERS);
        return presence_key(&address, room);
    }
    room[0] = 'r';
    room[1] = (uint8_t)('a' + input_below(input, 26));
    room[2] = (uint8_t)('a' + input_below(input, 26));
    return (struct bytes){ room, 3 };
}

/* The hash of a key that a member has; or any number. */
static uint64_t known_hash(const struct forge *forge, struct input *input)
{
    const struct table *table = forge->members->list[forge->member].table;
    struct entry *entries[16];
    size_t count;

    if (input_rarely(input, 4)) {
        return input_number(input);
    }
    count =
        input_rarely(input, 3)
            ? table_slice_hash(table, (struct prefix){ .set = TABLE_DATA }, 0, entries, 16)
            : table_slice(table, (struct bytes){ NULL, 0 }, (struct bytes){ NULL, 0 }, entries, 16);
    return count == 0 ? 0 : entry_hash(table, entries[input_below(input, (unsigned)count)]);
}

/* Elements. */

/* A value as those of presence are, or any. */
static uint64_t presence_value(const struct forge *forge, struct input *input)
{
    const uint64_t now_s = forge->members->now.unix_s;
    const uint64_t ahead_s = input_number(input) % 200000;

    switch (input_below(input, 10)) {
    case 0: return now_s / 60;
    case 1: return now_s << 16 | 1;
    case 2: return (now_s + ahead_s) << 16 | 0x0101;
    case 3: return now_s << 2 | input_below(input, 4);
    case 4: return (now_s + ahead_s) << 2 | input_below(input, 4);
    case 5: return now_s - ahead_s;
    case 6: return now_s + ahead_s;
    default: return input_number(input);
    }
}

static void put_elements(const struct forge *forge, struct input *input, struct pen *pen,
                         unsigned most, bool presence)
{
    const unsigned pairs = input_below(input, most);
    uint64_t index = 0;

    put_map(pen, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        if (presence && !input_rarely(input, 8)) {
            put_number(pen, input_below(input, 25));
            put_number(pen, presence_value(forge, input));
        } else {
            index = input_index(input, index);
            put_number(pen, index);
            put_number(pen, input_number(input));
        }
    }
}

/* Packed items: of the right form, but for a number or two. */
static void put_packed(struct input *input, struct pen *pen)
{
    uint8_t bytes[400];
    uint8_t *to = bytes;
    const unsigned parts = 1 + input_below(input, 12);
    const bool dense = input_rarely(input, 2);
    uint64_t index = 0;

    *to++ = dense ? 2 : 1;
    for (unsigned i = 0; i < parts && to - bytes < 300; i++) {
        const uint64_t number = input_index(input, index);

        if (dense) {
            const uint8_t from = input_byte(input);
            const unsigned width = input_rarely(input, 8) ? 64 : 0;
            const unsigned last = width > 0 ? from : from + input_below(input, 256U - from);

            to = varint_put(to, ((number & 0xffffffffffffff) << 1) | 1);
            *to++ = from;
            *to++ = (uint8_t)last;
            *to++ = (uint8_t)width;
            to = varint_put(to, width > 0 ? 0 : input_number(input));
            for (unsigned n = 0; n < width / 8; n++) {
                *to++ = input_byte(input);
            }
        } else {
            to = varint_put(to, number);
            to = varint_put(to, input_number(input));
        }
        index = 0;
    }
    put_bin(pen, bytes, (size_t)(to - bytes));
}

static void put_big_plain(struct input *input, struct pen *pen)
{
    static const unsigned steps[] = { 1, 3, 256, 257, 0x10001, 40503 };
    const unsigned pairs = 1U << input_below(input, 13);
    const uint64_t step = steps[input_below(input, 6)];
    const bool falls = input_rarely(input, 2);
    uint64_t index = input_number(input);

    put_map(pen, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        put_number(pen, index);
        put_number(pen, 1 + i % 5);
        index += falls ? -step : step;
    }
}

size_t forge_plain(const struct forge *forge, struct input *input, uint8_t *to)
{
    struct pen pen = { to, 0, FORGE_BYTES_MAX };
    const unsigned form = input_byte(input);
    uint8_t room[64];
    const struct bytes key = forge_key(input, room);
    const bool presence = key.size > 2 && memcmp(key.data, "n:", 2) == 0;

    put_byte(&pen, 0x82U + (form & 1) + (form >> 1 & 1));
    put_name(&pen, "key");
    put_text(&pen, key);
    put_name(&pen, "vector");
    if (form >> 2 == 1) {
        put_big_plain(input, &pen);
    } else {
        put_elements(forge, input, &pen, 40, presence);
    }
    if ((form & 1) != 0) {
        put_name(&pen, "ttl");
        put_number(&pen, input_number(input));
    }
    if ((form & 2) != 0) {
        put_name(&pen, "full");
        put_byte(&pen, 0xc2U + (input_byte(input) & 1));
    }
    return pen.size;
}

/* Fields of x. */

static void put_item_elements(const struct forge *forge, struct input *input, struct pen *pen,
                              bool presence)
{
    if (!presence && input_rarely(input, 3)) {
        put_packed(input, pen);
    } else {
        put_elements(forge, input, pen, 16, presence);
    }
}

/* Low ones, which follow each other, as those of a clock, or any. */
static void put_generation(const struct forge *forge, struct input *input, struct pen *pen)
{
    const uint64_t now_s = forge->members->now.unix_s;

    switch (input_below(input, 8)) {
    case 0: put_number(pen, now_s + input_number(input) % 400000 - 200000); break;
    case 1: put_number(pen, input_number(input)); break;
    default: put_number(pen, input_below(input, 5)); break;
    }
}

static void put_items(const struct forge *forge, struct input *input, struct pen *pen)
{
    const unsigned count = input_below(input, 6);

    put_array(pen, count);
    for (unsigned i = 0; i < count; i++) {
        uint8_t room[64];
        uint8_t hash[8];
        const struct bytes key = forge_key(input, room);
        const bool presence = key.size > 2 && memcmp(key.data, "n:", 2) == 0;
        const bool full = input_rarely(input, 3);
        const bool deleted = input_rarely(input, 8);

        put_array(pen, deleted ? 4 : full ? 3 : 2);
        if (deleted && input_rarely(input, 2)) {
            little_put64(hash, known_hash(forge, input));
            put_bin(pen, hash, sizeof hash);
            put_map(pen, 0);
        } else {
            put_text(pen, key);
            put_item_elements(forge, input, pen, presence);
        }
        if (full || deleted) {
            put_byte(pen, 0xc2U + (input_byte(input) & 1));
        }
        if (deleted) {
            put_generation(forge, input, pen);
        }
    }
}

static uint64_t prefix_bits(const struct forge *forge, struct input *input, unsigned nibbles)
{
    const uint64_t hash = known_hash(forge, input);

    return nibbles == 0 ? 0 : hash & ~UINT64_C(0) << (64 - 4 * nibbles);
}

static void put_trees(const struct forge *forge, struct input *input, struct pen *pen)
{
    const unsigned count = input_below(input, 4);

    put_array(pen, count);
    for (unsigned i = 0; i < count; i++) {
        const unsigned nibbles = input_below(input, 16);
        uint8_t digests[64];

        memset(digests, input_byte(input), sizeof digests);
        digests[input_below(input, 64)] = input_byte(input);
        put_array(pen, 4);
        put_number(pen, input_below(input, 2));
        put_number(pen, prefix_bits(forge, input, nibbles));
        put_number(pen, nibbles);
        put_bin(pen, digests, sizeof digests);
    }
}

static int hash_compare(const void *one, const void *other)
{
    const uint64_t a = *(const uint64_t *)one;
    const uint64_t b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

static void put_leaves(const struct forge *forge, struct input *input, struct pen *pen)
{
    const unsigned count = input_below(input, 4);

    put_array(pen, count);
    for (unsigned i = 0; i < count; i++) {
        const unsigned nibbles = input_below(input, 17);
        const unsigned pairs = input_below(input, 8);
        const uint64_t bits = prefix_bits(forge, input, nibbles);
        uint64_t hashes[8];
        uint8_t bytes[8 * 12];

        for (unsigned n = 0; n < pairs; n++) {
            hashes[n] = known_hash(forge, input);
            if (nibbles > 0) {
                hashes[n] = bits | (nibbles == 16 ? 0 : hashes[n] & ~UINT64_C(0) >> (4 * nibbles));
            }
        }
        qsort(hashes, pairs, sizeof hashes[0], hash_compare);
        for (unsigned n = 0; n < pairs; n++) {
            little_put64(bytes + (size_t)12 * n, hashes[n]);
            little_put32(bytes + (size_t)12 * n + 8, (uint32_t)input_number(input));
        }
        put_array(pen, 4);
        put_number(pen, input_below(input, 2));
        put_number(pen, bits);
        put_number(pen, nibbles);
        put_bin(pen, bytes, (size_t)12 * pairs);
    }
}

static void put_blocks(const struct forge *forge, struct input *input, struct pen *pen)
{
    const unsigned count = input_below(input, 5);

    put_array(pen, count);
    for (unsigned i = 0; i < count; i++) {
        const unsigned digests = input_below(input, 10);
        const bool generation = input_rarely(input, 8);
        uint8_t bytes[10 * 14];
        uint8_t *to = bytes;

        for (unsigned n = 0; n < digests; n++) {
            const uint64_t gap = input_number(input);

            to = varint_put(to, input_rarely(input, 4) ? gap >> 8 : gap % 4);
            little_put32(to, (uint32_t)input_number(input));
            to += 4;
        }
        put_array(pen, generation ? 5 : 4);
        put_number(pen, input_below(input, 2));
        put_number(pen, known_hash(forge, input));
        put_byte(pen, 0xc2U + (input_byte(input) & 1));
        put_bin(pen, bytes, (size_t)(to - bytes));
        if (generation) {
            put_generation(forge, input, pen);
        }
    }
}

static void put_wanted(const struct forge *forge, struct input *input, struct pen *pen)
{
    const unsigned count = input_below(input, 24);
    const uint64_t hash = known_hash(forge, input);
    uint8_t bytes[24 * 8];

    for (unsigned n = 0; n < count; n++) {
        little_put64(bytes + (size_t)8 * n,
                     input_rarely(input, 2) ? known_hash(forge, input) : hash);
    }
    put_bin(pen, bytes, (size_t)8 * count);
}

static uint32_t own_id(const struct forge *forge)
{
    const struct address address = stranger_address(forge->stranger);

    return (uint32_t)node_peer_id(forge->members->list[forge->member].node, &address);
}

/* A field that is a number, or one of a few bytes. */
static void put_fixed(const struct forge *forge, struct input *input, struct pen *pen, char letter)
{
    const struct heard *heard = &forge->members->heard[forge->stranger][forge->member];
    const bool odd = input_rarely(input, 8);
    uint8_t bytes[8];

    switch (letter) {
    case 'i': put_number(pen, odd ? (uint32_t)input_number(input) : own_id(forge)); break;
    case '?': put_number(pen, odd ? (uint32_t)input_number(input) : heard->sender_id); break;
    case 'l': put_number(pen, odd ? 1 : 0); break;
    case 'n': put_number(pen, odd ? (uint32_t)input_number(input) : heard->sequence); break;
    case 'c':
    case 'm':
    case 'M':
    case 'q': put_number(pen, (uint32_t)input_number(input)); break;
    case 'd': put_number(pen, odd ? input_byte(input) : input_below(input, 5)); break;
    case 'W':
    case 'F': put_number(pen, input_byte(input)); break;
    case 't':
        memset(bytes, 1 + (int)forge->stranger, sizeof bytes);
        put_bin(pen, bytes, WIRE_TOKEN_BYTES);
        break;
    case 'e':
        memcpy(bytes, heard->token, WIRE_TOKEN_BYTES);
        bytes[0] ^= odd;
        put_bin(pen, bytes, WIRE_TOKEN_BYTES);
        break;
    default: /* r */
        little_put64(bytes, input_number(input));
        put_bin(pen, bytes, 8);
        break;
    }
}

static void put_acks(const struct forge *forge, struct input *input, struct pen *pen)
{
    const uint32_t sequence = forge->members->heard[forge->stranger][forge->member].sequence;
    const unsigned count = input_below(input, 8);

    put_array(pen, count);
    for (unsigned n = 0; n < count; n++) {
        put_number(pen, input_rarely(input, 3) ? (uint32_t)input_number(input) : sequence - n);
    }
}

static void put_field(const struct forge *forge, struct input *input, struct pen *pen, char letter)
{
    uint8_t room[64];

    put_letter(pen, letter);
    switch (letter) {
    case 'a': put_acks(forge, input, pen); break;
    case 'b': put_items(forge, input, pen); break;
    case 'v': put_trees(forge, input, pen); break;
    case 'L': put_leaves(forge, input, pen); break;
    case 'B': put_blocks(forge, input, pen); break;
    case 'w': put_wanted(forge, input, pen); break;
    case 'p': put_text(pen, forge_key(input, room)); break;
    default: put_fixed(forge, input, pen, letter); break;
    }
}

static void put_x(const struct forge *forge, struct input *input, struct pen *pen)
{
    static const char letters[] = "ieqtdrWbavLBwpnlF?cmM";
    /* Who it is and that it is there are in nearly all. */
    const unsigned wish = (unsigned)input_byte(input) << 2 | (unsigned)input_byte(input) << 10 | 3U;
    const unsigned fields = input_rarely(input, 16) ? wish & ~3U : wish;
    uint8_t *const head = pen->to + pen->size;
    unsigned count = 0;

    put_map(pen, 0);
    for (unsigned i = 0; i < sizeof letters - 1 && pen->size < X_ROOM; i++) {
        if ((fields >> i & 1) != 0) {
            put_field(forge, input, pen, letters[i]);
            count++;
        }
    }
    head[2] = (uint8_t)count;
}

size_t forge_extended(const struct forge *forge, struct input *input, uint8_t *to)
{
    struct pen pen = { to, 0, WIRE_EXTENDED_BYTES_MAX };

    put_byte(&pen, 0x84);
    put_name(&pen, "key");
    put_byte(&pen, 0xa0);
    put_name(&pen, "vector");
    put_byte(&pen, 0x80);
    put_name(&pen, "ttl");
    put_byte(&pen, 0);
    put_name(&pen, "x");
    put_x(forge, input, &pen);
    return pen.size;
}

size_t forge_hello(const struct forge *forge, struct input *input, uint8_t *to)
{
    const uint64_t now_s = forge->members->now.unix_s;
    const struct address self = stranger_address(forge->stranger);
    const uint64_t odd = input_rarely(input, 4) ? input_number(input) : 0;
    struct pen pen = { to, 0, WIRE_EXTENDED_BYTES_MAX };
    uint8_t room[64];

    put_byte(&pen, 0x85);
    put_name(&pen, "key");
    put_text(&pen, presence_key(&self, room));
    put_name(&pen, "vector");
    put_byte(&pen, 0x84);
    put_number(&pen, 0);
    put_number(&pen, now_s / 60);
    put_number(&pen, 1);
    put_number(&pen, (now_s << 16 | 1) + (odd << 16));
    put_number(&pen, 2);
    put_number(&pen, (now_s + odd) << 2);
    put_number(&pen, 4);
    put_number(&pen, now_s << 16 | forge->stranger);
    put_name(&pen, "full");
    put_byte(&pen, 0xc3);
    put_name(&pen, "ttl");
    put_byte(&pen, 1);
    put_name(&pen, "x");
    put_x(forge, input, &pen);
    return pen.size;
}
