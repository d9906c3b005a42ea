/* What this file tests: the reader against msgpack-c's own. Messages are made at random in every
 * form that an encoder may choose, most of them then damaged, and judged a second time on the
 * objects that msgpack-c makes of them: both must agree on what is valid and on what is in it. */

#include "base/deadline.h"
#include "base/random.h"
#include "base/utf8.h"
#include "wire/message.h"
#include "wire/packed.h"

#include <msgpack.h>

#include <stdlib.h>
#include <string.h>

#include "unit/edges.h"
#include "unit/hex.h"
#include "unit/test.h"

struct maker {
    struct random random;
    uint8_t bytes[8192];
    size_t size;
};

static uint64_t maker_below(struct maker *maker, uint64_t limit)
{
    return random_below(&maker->random, limit);
}

static void make_byte(struct maker *maker, unsigned byte)
{
    assert_true(maker->size < sizeof maker->bytes);
    maker->bytes[maker->size++] = (uint8_t)byte;
}

static void make_big(struct maker *maker, uint64_t number, unsigned size)
{
    while (size-- > 0) {
        make_byte(maker, (unsigned)(number >> (8 * size)) & 255);
    }
}

/* A number in a form at random among those that hold it. */
static void make_number(struct maker *maker, uint64_t number)
{
    const unsigned form = (unsigned)maker_below(maker, 9);

    if (form < 4 && (number < 0x80 || number >> 63 == 0)) {
        if (number < 0x80) {
            make_byte(maker, (unsigned)number);
        } else {
            make_byte(maker, 0xd3);
            make_big(maker, number, 8);
        }
    } else if (form < 6 && number <= UINT16_MAX) {
        make_byte(maker, number > UINT8_MAX || form == 5 ? 0xcd : 0xcc);
        make_big(maker, number, number > UINT8_MAX || form == 5 ? 2 : 1);
    } else if (form < 8 && number <= INT32_MAX) {
        make_byte(maker, form == 6 ? 0xce : 0xd2);
        make_big(maker, number, 4);
    } else {
        make_byte(maker, 0xcf);
        make_big(maker, number, 8);
    }
}

static void make_text(struct maker *maker, const char *text, size_t size)
{
    static const uint8_t heads[] = { 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6 };
    const unsigned form = (unsigned)maker_below(maker, 12);

    if (form >= 6 && size < 32) {
        make_byte(maker, 0xa0 | (unsigned)size);
    } else {
        make_byte(maker, heads[form % 6]);
        make_big(maker, size, 1u << form % 3);
    }
    for (size_t i = 0; i < size; i++) {
        make_byte(maker, (uint8_t)text[i]);
    }
}

static void make_count(struct maker *maker, unsigned fix, unsigned wide, unsigned count)
{
    if (count < 16 && maker_below(maker, 4) != 0) {
        make_byte(maker, fix | count);
    } else {
        make_byte(maker, wide);
        make_big(maker, count, 2);
    }
}

static void make_map(struct maker *maker, unsigned pairs)
{
    make_count(maker, 0x80, 0xde, pairs);
}

static void make_array(struct maker *maker, unsigned values)
{
    make_count(maker, 0x90, 0xdc, values);
}

static void make_bin(struct maker *maker, unsigned size)
{
    make_byte(maker, 0xc4);
    make_byte(maker, size);
    for (unsigned i = 0; i < size; i++) {
        make_byte(maker, maker_below(maker, 3) == 0 ? (unsigned)maker_below(maker, 256) : 0);
    }
}

static void make_key(struct maker *maker)
{
    static const char *const keys[] = { "foo",
                                        "n:127.0.0.1:6001",
                                        "\xc3\xa9t\xc3\xa9",
                                        "%",
                                        "a*b",
                                        "a key that has more than thirty-two bytes in it" };
    const char *const key = keys[maker_below(maker, 6)];

    make_text(maker, key, strlen(key));
}

/* Of items, where a bin is a hash. */
static void make_string_key(struct maker *maker)
{
    const size_t at = maker->size;

    do {
        maker->size = at;
        make_key(maker);
    } while (maker->bytes[at] >= 0xc4 && maker->bytes[at] <= 0xc6);
}

/* A number of any width. */
static uint64_t make_wide(struct maker *maker)
{
    return random_next(&maker->random) >> maker_below(maker, 64);
}

static void make_elements(struct maker *maker)
{
    const unsigned pairs = (unsigned)maker_below(maker, 24);
    uint64_t index = random_next(&maker->random) >> maker_below(maker, 64);

    make_map(maker, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        switch (maker_below(maker, 8)) {
        case 0: index = make_wide(maker); break;
        case 1: index = edge_at((unsigned)maker_below(maker, EDGES)); break;
        case 2: index -= maker_below(maker, 4); break;
        default: index += maker_below(maker, 4); break;
        }
        make_number(maker, index);
        switch (maker_below(maker, 4)) {
        case 0: make_number(maker, 0); break;
        case 1: make_number(maker, edge_at((unsigned)maker_below(maker, EDGES))); break;
        default: make_number(maker, make_wide(maker)); break;
        }
    }
}

static void make_anything(struct maker *maker)
{
    static const char *const values[] = {
        "c0",           "c2",         "ca00000000", "cb0000000000000000", "ff",         "d0ff",
        "93010203",     "81a16101",   "d40102",     "d6ffffffffff",       "c7020102ff", "c70000",
        "9291908190c0", "c801000101",
    };
    uint8_t bytes[32];
    const struct bytes value = hex_bytes(values[maker_below(maker, 13)], bytes, sizeof bytes);

    for (size_t i = 0; i < value.size; i++) {
        make_byte(maker, value.data[i]);
    }
}

static void make_item_elements(struct maker *maker)
{
    if (maker_below(maker, 4) == 0) {
        make_byte(maker, 0xc4);
        make_byte(maker, 5);
        make_big(maker, 0x0100050201, 5);
    } else {
        make_elements(maker);
    }
}

static void make_entry(struct maker *maker, char letter)
{
    const unsigned pairs = (unsigned)maker_below(maker, 2);
    const unsigned with_generation = (unsigned)maker_below(maker, 2);

    if (letter == 'b') {
        const unsigned members = 2 + (unsigned)maker_below(maker, 3);

        make_array(maker, members);
        if (members == 4 && maker_below(maker, 2) == 0) {
            make_bin(maker, maker_below(maker, 2) == 0 ? 8 : 12);
            make_map(maker, 0);
        } else {
            make_string_key(maker);
            make_item_elements(maker);
        }
        if (members > 2) {
            make_byte(maker, 0xc2 + (unsigned)maker_below(maker, 2));
        }
        if (members > 3) {
            make_number(maker, make_wide(maker));
        }
        return;
    }
    make_array(maker, letter == 'B' ? 4 + with_generation : 4);
    make_number(maker, maker_below(maker, 2));
    if (letter == 'B') {
        make_number(maker, random_next(&maker->random));
        make_byte(maker, 0xc2 + (unsigned)maker_below(maker, 2));
        make_byte(maker, 0xc4);
        make_byte(maker, 5 * pairs);
        make_big(maker, 0x0701020304, 5 * pairs);
        if (with_generation == 1) {
            make_number(maker, make_wide(maker));
        }
        return;
    }
    make_number(maker, maker_below(maker, 16) << 60);
    make_number(maker, 1 + maker_below(maker, 15));
    if (letter == 'v') {
        make_bin(maker, 64);
    } else {
        make_byte(maker, 0xc4);
        make_byte(maker, 0);
    }
}

static void make_field(struct maker *maker, char letter)
{
    make_text(maker, &letter, 1);
    switch (letter) {
    case 'i':
    case 'q':
    case '?':
    case 'n':
    case 'c':
    case 'm':
    case 'M':
    case 'l':
        make_number(maker, random_next(&maker->random) >> (32 + maker_below(maker, 32)));
        break;
    case 'd':
    case 'W':
    case 'F': make_number(maker, maker_below(maker, 256)); break;
    case 'r': make_bin(maker, 8); break;
    case 't':
    case 'e': make_bin(maker, 6); break;
    case 'w': make_bin(maker, 8 * (unsigned)maker_below(maker, 4)); break;
    case 'p': make_key(maker); break;
    case 'a':
        make_array(maker, 2);
        make_number(maker, 7);
        make_number(maker, random_next(&maker->random) >> 32);
        break;
    case 'b':
    case 'v':
    case 'L':
    case 'B': {
        const unsigned entries = (unsigned)maker_below(maker, 4);

        make_array(maker, entries);
        for (unsigned i = 0; i < entries; i++) {
            make_entry(maker, letter);
        }
        break;
    }
    default: make_anything(maker); break;
    }
}

static void make_x(struct maker *maker)
{
    static const char letters[] = "iqnld?WFretwpabvLBzycmM";
    const unsigned first = (unsigned)maker_below(maker, sizeof letters - 1);
    const unsigned fields = (unsigned)maker_below(maker, 7);

    make_map(maker, fields);
    for (unsigned i = 0; i < fields; i++) {
        make_field(maker, letters[(first + 3 * i) % (sizeof letters - 1)]);
    }
}

static void make_message(struct maker *maker)
{
    const unsigned has = (unsigned)random_next(&maker->random);
    const bool extended = (has & 1) != 0;
    const bool vector = (has & 6) != 0;
    const bool ttl = (has & 8) != 0;
    const bool full = (has & 48) == 0;
    const bool unknown = (has & 0x1c0) == 0;

    maker->size = 0;
    make_map(maker, 1u + extended + vector + ttl + full + unknown);
    if (unknown) {
        make_text(maker, "what", 4);
        make_anything(maker);
    }
    if (vector) {
        make_text(maker, "vector", 6);
        make_elements(maker);
    }
    make_text(maker, "key", 3);
    make_key(maker);
    if (full) {
        make_text(maker, "full", 4);
        make_byte(maker, 0xc2 + (unsigned)maker_below(maker, 2));
    }
    if (ttl) {
        make_text(maker, "ttl", 3);
        make_number(maker, maker_below(maker, 60));
    }
    if (extended) {
        make_text(maker, "x", 1);
        make_x(maker);
    }
}

static void make_damage(struct maker *maker)
{
    for (uint64_t i = 1 + maker_below(maker, 3); i > 0 && maker->size > 1; i--) {
        const size_t at = maker_below(maker, maker->size);

        switch (maker_below(maker, 5)) {
        case 0: maker->size = at; break;
        case 1: maker->bytes[at] = (uint8_t)random_next(&maker->random); break;
        case 2: maker->bytes[at] ^= (uint8_t)(1u << maker_below(maker, 8)); break;
        case 3:
            memmove(maker->bytes + at, maker->bytes + at + 1, maker->size - at - 1);
            maker->size--;
            break;
        default: maker->bytes[at] = maker->bytes[maker_below(maker, maker->size)]; break;
        }
    }
}

/* The judgement of the reference. */

static bool object_text(const msgpack_object *object, struct bytes *text)
{
    if (object->type == MSGPACK_OBJECT_STR) {
        *text = (struct bytes){ (const uint8_t *)object->via.str.ptr, object->via.str.size };
        return true;
    }
    if (object->type == MSGPACK_OBJECT_BIN) {
        *text = (struct bytes){ (const uint8_t *)object->via.bin.ptr, object->via.bin.size };
        return true;
    }
    return false;
}

static bool object_bin(const msgpack_object *object, struct bytes *bin)
{
    return object->type == MSGPACK_OBJECT_BIN && object_text(object, bin);
}

static bool object_key(const msgpack_object *object, size_t least)
{
    struct bytes key;

    return object_text(object, &key) && key.size >= least && key.size <= 255
           && (key.size == 0 || memchr(key.data, 0, key.size) == NULL) && utf8_valid(key);
}

static bool object_number(const msgpack_object *object, uint64_t max)
{
    return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= max;
}

static bool object_pairs(const msgpack_object *object)
{
    if (object->type != MSGPACK_OBJECT_MAP) {
        return false;
    }
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        if (!object_number(&object->via.map.ptr[i].key, UINT64_MAX)
            || !object_number(&object->via.map.ptr[i].val, UINT64_MAX)) {
            return false;
        }
    }
    return true;
}

static uint64_t little(const uint8_t *at, unsigned size)
{
    uint64_t number = 0;

    while (size-- > 0) {
        number = number << 8 | at[size];
    }
    return number;
}

static bool object_leaf(uint64_t bits, unsigned nibbles, struct bytes bin)
{
    uint64_t before = 0;

    for (size_t at = 0; at < bin.size; at += 12) {
        uint64_t hash;

        if (bin.size - at < 12) {
            return false;
        }
        hash = little(bin.data + at, 8);
        if (hash < before || (nibbles > 0 && (hash ^ bits) >> (64 - 4 * nibbles) != 0)) {
            return false;
        }
        before = hash;
    }
    return true;
}

/* Digests of blocks: here only the shape, by the reader's own rules for varints. */
static bool object_blocks(struct bytes bin)
{
    uint64_t position = 0;
    size_t at = 0;

    while (at < bin.size) {
        uint64_t gap = 0;
        unsigned shift = 0;

        for (;; shift += 7) {
            if (at == bin.size || shift > 56) {
                return false;
            }
            gap |= (uint64_t)(bin.data[at] & 0x7f) << shift;
            if ((bin.data[at++] & 0x80) == 0) {
                break;
            }
        }
        if ((shift > 0 && bin.data[at - 1] == 0) || gap >= 1ull << 56
            || position + gap >= 1ull << 56 || bin.size - at < 4) {
            return false;
        }
        position += gap + 1;
        at += 4;
    }
    return true;
}

static bool object_item(const msgpack_object *members, uint32_t count)
{
    struct bytes bin = { NULL, 0 };
    struct elements elements;

    if (count < 2 || count > 4 || (count > 2 && members[2].type != MSGPACK_OBJECT_BOOLEAN)
        || (count > 3 && !object_number(&members[3], UINT64_MAX))) {
        return false;
    }
    if (object_bin(&members[0], &bin)) {
        return (bin.size == 8
                || (bin.size == 12
                    && little(bin.data + 8, 4) - DEADLINE_MIN <= DEADLINE_MAX - DEADLINE_MIN))
               && members[1].type == MSGPACK_OBJECT_MAP && members[1].via.map.size == 0
               && count == 4 && members[3].via.u64 > 0;
    }
    return object_key(&members[0], 1)
           && (object_pairs(&members[1])
               || (object_bin(&members[1], &bin) && packed_judge(bin, &elements)));
}

static bool object_entry(const msgpack_object *object, uint8_t letter)
{
    const msgpack_object *const members = object->via.array.ptr;
    struct bytes bin = { NULL, 0 };
    unsigned nibbles;

    if (letter == 'a') {
        return object_number(object, UINT32_MAX);
    }
    if (object->type != MSGPACK_OBJECT_ARRAY) {
        return false;
    }
    if (letter == 'b') {
        return object_item(members, object->via.array.size);
    }
    if (object->via.array.size != 4
        && (letter != 'B' || object->via.array.size != 5
            || !object_number(&members[4], UINT64_MAX))) {
        return false;
    }
    if (!object_number(&members[0], 1) || !object_number(&members[1], UINT64_MAX)
        || !object_bin(&members[3], &bin)) {
        return false;
    }
    if (letter == 'B') {
        return members[2].type == MSGPACK_OBJECT_BOOLEAN && object_blocks(bin);
    }
    if (!object_number(&members[2], letter == 'v' ? 15 : 16)) {
        return false;
    }
    nibbles = (unsigned)members[2].via.u64;
    if (nibbles < 16 && members[1].via.u64 << (4 * nibbles) != 0) {
        return false;
    }
    return letter == 'v' ? bin.size == 64 : object_leaf(members[1].via.u64, nibbles, bin);
}

static bool object_field(const msgpack_object *object, uint8_t letter)
{
    struct bytes bin;

    switch (letter) {
    case 'i':
    case 'q':
    case '?':
    case 'n':
    case 'c':
    case 'm':
    case 'M':
    case 'l': return object_number(object, UINT32_MAX);
    case 'd':
    case 'W':
    case 'F': return object_number(object, UINT8_MAX);
    case 'r': return object_bin(object, &bin) && bin.size == 8;
    case 't':
    case 'e': return object_bin(object, &bin) && bin.size == 6;
    case 'w': return object_bin(object, &bin) && bin.size % 8 == 0;
    case 'p': return object_key(object, 1);
    case 'a':
    case 'b':
    case 'v':
    case 'L':
    case 'B':
        if (object->type != MSGPACK_OBJECT_ARRAY) {
            return false;
        }
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            if (!object_entry(&object->via.array.ptr[i], letter)) {
                return false;
            }
        }
        return true;
    default: return true;
    }
}

static bool object_x(const msgpack_object *object)
{
    unsigned seen[256] = { 0 };

    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *const pair = &object->via.map.ptr[i];
        struct bytes name;

        if (!object_text(&pair->key, &name) || name.size != 1) {
            continue;
        }
        if (strchr("iq?nlcmMdWFretwpabvLB", name.data[0]) != NULL && name.data[0] != 0
            && seen[name.data[0]]++ > 0) {
            return false;
        }
        if (!object_field(&pair->val, name.data[0])) {
            return false;
        }
    }
    return true;
}

/* What the reference made of a message. */
struct reference {
    const msgpack_object *fields[5]; /* key, vector, ttl, full, x; NULL: not there */
};

static bool object_message(const msgpack_object *object, size_t size, struct reference *reference)
{
    static const char *const names[5] = { "key", "vector", "ttl", "full", "x" };
    const msgpack_object **const fields = reference->fields;
    bool extended;
    struct bytes key;

    memset(reference, 0, sizeof *reference);
    if (object->type != MSGPACK_OBJECT_MAP) {
        return false;
    }
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *const pair = &object->via.map.ptr[i];
        struct bytes name;

        for (unsigned j = 0; j < 5; j++) {
            if (object_text(&pair->key, &name) && name.size == strlen(names[j])
                && memcmp(name.data, names[j], name.size) == 0) {
                if (fields[j] != NULL) {
                    return false;
                }
                fields[j] = &pair->val;
            }
        }
    }
    extended = fields[4] != NULL && fields[4]->type == MSGPACK_OBJECT_MAP;
    if (fields[0] == NULL || !object_key(fields[0], 0)
        || (fields[1] != NULL && !object_pairs(fields[1]))
        || (fields[2] != NULL && !object_number(fields[2], UINT64_MAX))
        || (fields[3] != NULL && fields[3]->type != MSGPACK_OBJECT_BOOLEAN)
        || (extended && (!object_x(fields[4]) || size > WIRE_EXTENDED_BYTES_MAX))) {
        return false;
    }
    return object_text(fields[0], &key)
           && (key.size > 0 || (extended && (fields[1] == NULL || fields[1]->via.map.size == 0)));
}

static int pair_compare(const void *one, const void *other)
{
    const msgpack_object_kv *const a = one;
    const msgpack_object_kv *const b = other;

    if (a->key.via.u64 != b->key.via.u64) {
        return a->key.via.u64 < b->key.via.u64 ? -1 : 1;
    }
    return (a->val.via.u64 > b->val.via.u64) - (a->val.via.u64 < b->val.via.u64);
}

/* The elements that a cursor gives are those of the map by index, of each index the largest value,
 * zeros left out; and each block is one. */
static void assert_elements(struct elements elements, const msgpack_object *object)
{
    const uint32_t size = object == NULL ? 0 : object->via.map.size;
    msgpack_object_kv *const pairs = malloc((size + 1) * sizeof *pairs);
    struct block_room room;
    struct block block;
    uint64_t least = 0;
    uint32_t at = 0;

    assert_non_null(pairs);
    for (uint32_t i = 0; i < size; i++) {
        pairs[i] = object->via.map.ptr[i];
    }
    qsort(pairs, size, sizeof *pairs, pair_compare);
    while (elements_next(&elements, &room, &block)) {
        block_audit(&block);
        assert_true(block.number >= least);
        least = block.number + 1;
        for (unsigned i = 0; i < block.count; i++, at++) {
            while (at < size
                   && (pairs[at].val.via.u64 == 0
                       || (at + 1 < size && pairs[at].key.via.u64 == pairs[at + 1].key.via.u64))) {
                at++;
            }
            assert_true(at < size);
            assert_true(pairs[at].key.via.u64 == (block.number << 8 | block_offset(&block, i)));
            assert_true(pairs[at].val.via.u64 == block_value(&block, i));
        }
    }
    for (; at < size; at++) {
        assert_true(pairs[at].val.via.u64 == 0);
    }
    free(pairs);
}

static const msgpack_object *x_field(const msgpack_object *x, uint8_t letter)
{
    for (uint32_t i = 0; i < x->via.map.size; i++) {
        struct bytes name;

        if (object_text(&x->via.map.ptr[i].key, &name) && name.size == 1
            && name.data[0] == letter) {
            return &x->via.map.ptr[i].val;
        }
    }
    return NULL;
}

static void assert_x(struct message *message, const msgpack_object *x)
{
    const msgpack_object *object = x_field(x, 'q');
    struct item item;
    struct wire_tree tree;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    uint64_t number;
    uint32_t digest;
    uint32_t i;

    assert_int_equal((message->envelope.has & WIRE_HAS_SEQUENCE) != 0, object != NULL);
    if (object != NULL) {
        assert_true(message->envelope.sequence == object->via.u64);
    }
    object = x_field(x, 'W');
    assert_true(message->envelope.window == (object == NULL ? 0 : object->via.u64));
    object = x_field(x, 'r');
    if (object != NULL) {
        assert_true(message->envelope.roots[1]
                    == little((const uint8_t *)object->via.bin.ptr + 4, 4));
    }
    object = x_field(x, 'a');
    for (i = 0; message_next_ack(&message->acks, &digest); i++) {
        assert_true(digest == object->via.array.ptr[i].via.u64);
    }
    assert_true(i == (object == NULL ? 0 : object->via.array.size));
    object = x_field(x, 'b');
    for (i = 0; message_next_item(&message->items, &item); i++) {
        const msgpack_object *const members = object->via.array.ptr[i].via.array.ptr;
        const uint32_t count = object->via.array.ptr[i].via.array.size;

        if (members[1].type == MSGPACK_OBJECT_MAP) {
            assert_elements(item.elements, &members[1]);
        }
        assert_int_equal(item.full, count > 2 && members[2].via.boolean);
        assert_true(item.generation == (count > 3 ? members[3].via.u64 : 0));
        assert_int_equal(item.by_hash, members[0].type == MSGPACK_OBJECT_BIN);
        assert_true(!item.by_hash
                    || item.hash == little((const uint8_t *)members[0].via.bin.ptr, 8));
        assert_true(!item.by_hash || members[0].via.bin.size == 8
                    || item.deadline == little((const uint8_t *)members[0].via.bin.ptr + 8, 4));
    }
    assert_true(i == (object == NULL ? 0 : object->via.array.size));
    object = x_field(x, 'w');
    for (i = 0; message_next_wanted(&message->wanted, &number); i++) {
        assert_true(number == little((const uint8_t *)object->via.bin.ptr + 8 * i, 8));
    }
    assert_true(i == (object == NULL ? 0 : object->via.bin.size / 8));
    object = x_field(x, 'v');
    for (i = 0; message_next_tree(&message->tree, &tree); i++) {
        const msgpack_object *const members = object->via.array.ptr[i].via.array.ptr;

        assert_true(tree.prefix.bits == members[1].via.u64);
        assert_true(tree.children[15] == little((const uint8_t *)members[3].via.bin.ptr + 60, 4));
    }
    object = x_field(x, 'L');
    for (i = 0; message_next_leaf(&message->leaves, &leaf); i++) {
        assert_true(leaf.prefix.set == object->via.array.ptr[i].via.array.ptr[0].via.u64);
    }
    object = x_field(x, 'B');
    for (i = 0; message_next_blocks(&message->block_digests, &blocks); i++) {
        const msgpack_object *const members = object->via.array.ptr[i].via.array.ptr;

        assert_true(blocks.more == members[2].via.boolean);
        assert_true(blocks.generation
                    == (object->via.array.ptr[i].via.array.size > 4 ? members[4].via.u64 : 0));
        while (wire_blocks_next(&blocks, &number, &digest)) {
            assert_true(number < 1ull << 56);
        }
    }
    assert_true(i == (object == NULL ? 0 : object->via.array.size));
}

/* Whether msgpack-c can be asked: it would allocate for every value a count promises. */
static bool reference_dares(struct bytes datagram)
{
    for (size_t i = 0; i < datagram.size; i++) {
        if (datagram.data[i] == 0xdd || datagram.data[i] == 0xdf) {
            return false;
        }
    }
    return true;
}

static bool agree(struct bytes datagram, msgpack_unpacked *unpacked)
{
    struct message message;
    struct reference reference;
    size_t end = 0;
    const bool taken = message_decode(datagram, &message) == WIRE_OK;
    bool valid;

    if (!reference_dares(datagram)) {
        return taken;
    }
    valid = msgpack_unpack_next(unpacked, (const char *)datagram.data, datagram.size, &end)
                == MSGPACK_UNPACK_SUCCESS
            && end == datagram.size && object_message(&unpacked->data, datagram.size, &reference);
    if (taken != valid) {
        for (size_t i = 0; i < datagram.size; i++) {
            print_error("%02x", datagram.data[i]);
        }
        print_error("\n");
    }
    assert_int_equal(taken, valid);
    if (taken) {
        const msgpack_object *const ttl = reference.fields[2];
        const msgpack_object *const full = reference.fields[3];
        const msgpack_object *const x = reference.fields[4];

        assert_int_equal(message.has_ttl, ttl != NULL);
        assert_int_equal(message.ttl, ttl == NULL || ttl->via.u64 > 50 ? 50 : ttl->via.u64);
        assert_int_equal(message.plain.full, full != NULL && full->via.boolean);
        assert_int_equal(message.extended, x != NULL && x->type == MSGPACK_OBJECT_MAP);
        assert_elements(message.plain.elements, reference.fields[1]);
        if (message.extended) {
            assert_x(&message, x);
        }
    }
    return taken;
}

static void test_message_agrees_with_msgpack_c_on_what_is_valid_and_what_is_in_it(void **state)
{
    struct maker maker;
    msgpack_unpacked unpacked;
    unsigned taken = 0;
    unsigned damaged = 0;

    (void)state;
    random_seed(&maker.random, 11, 1);
    msgpack_unpacked_init(&unpacked);
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t *copy;

        make_message(&maker);
        if (round % 4 != 0) {
            make_damage(&maker);
        }
        copy = malloc(maker.size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, maker.bytes, maker.size);
        if (agree((struct bytes){ copy + 1, maker.size }, &unpacked)) {
            taken++;
            damaged += round % 4 != 0;
        }
        free(copy);
    }
    msgpack_unpacked_destroy(&unpacked);
    /* All that was not damaged, and some of what was. */
    assert_true(taken - damaged > 49000);
    assert_true(damaged > 10000);
    assert_true(damaged < 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_agrees_with_msgpack_c_on_what_is_valid_and_what_is_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
