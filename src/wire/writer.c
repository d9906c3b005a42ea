#include "wire/writer.h"

#include "base/deadline.h"
#include "wire/envelope.h"
#include "wire/little.h"
#include "wire/packed.h"
#include "wire/read.h"
#include "wire/varint.h"

#include <msgpack/pack.h>

#include <assert.h>
#include <string.h>

#define WRITER_FULL_BYTES 6 /* a4 full c3 */
#define WRITER_TTL_BYTES  5 /* a3 ttl, and a number below 128 */
#define WRITER_X_BYTES    5 /* a1 x, and a map header at its longest */

/* The first element of an item at its longest, header and kind included: a dense segment of one
 * value (2 + 1, head 9, range 2, shape 1, base 10). A pair of a map, or of a sparse item, is less.
 */
#define WRITER_ELEMENT_BYTES_MAX 25

/* Fields of `x` that have entries, and `p`, in the order of their bits in writer->fields. */
static const char writer_letters[] = { 'a', 'v', 'L', 'B', 'w', 'b', 'p' };

_Static_assert(sizeof writer_letters <= 8, "each has a bit of writer->fields");
_Static_assert(21 + 2 + ENVELOPE_BYTES_MAX <= WRITER_ORDINARY_BYTES, "all fixed fields fit");
_Static_assert(13 + 3 + WRITER_FULL_BYTES + WRITER_TTL_BYTES + WRITER_X_BYTES + ENVELOPE_BYTES_MAX
                   <= WRITER_HELLO_BYTES,
               "all fixed fields fit");

enum writer_stage {
    STAGE_PLAIN = 1, /* a plain message's vector is open */
    STAGE_HELLO,     /* a hello's vector is open */
    STAGE_X,         /* `x` is open, and no entry in it */
    STAGE_ITEM,      /* an item is open */
    STAGE_BLOCKS,    /* an entry of `B` is open */
    STAGE_ENDED
};

/* Headers whose count is known only later. They are written as short as the count allows, and what
 * is behind moves when that changes. */
enum writer_header { HEADER_MAP, HEADER_ARRAY, HEADER_BIN };

/* Elements of one block that are to be written: by offset, 0 where there is none. */
struct picked {
    uint64_t values[BLOCK_ELEMENTS];
    struct mark mark;
    unsigned count;
};

/* The next `size` bytes of the datagram. */
static uint8_t *writer_take(struct writer *writer, size_t size)
{
    uint8_t *const at = writer->space.data + writer->used;

    assert(size <= writer->space.size - writer->used);
    writer->used += size;
    return at;
}

/* What msgpack-c's packer calls. */
static int writer_append(void *data, const char *bytes, size_t size)
{
    struct writer *const writer = data;

    memcpy(writer_take(writer, size), bytes, size);
    return 0;
}

static msgpack_packer writer_packer(struct writer *writer)
{
    return (msgpack_packer){ .data = writer, .callback = writer_append };
}

static size_t number_size(uint64_t number)
{
    if (number < 0x80) {
        return 1;
    }
    if (number <= UINT8_MAX) {
        return 2;
    }
    if (number <= UINT16_MAX) {
        return 3;
    }
    return number <= UINT32_MAX ? 5 : 9;
}

static void number_put(struct writer *writer, uint64_t number)
{
    msgpack_packer packer = writer_packer(writer);

    (void)msgpack_pack_uint64(&packer, number);
}

static void bool_put(struct writer *writer, bool value)
{
    msgpack_packer packer = writer_packer(writer);

    if (value) {
        (void)msgpack_pack_true(&packer);
    } else {
        (void)msgpack_pack_false(&packer);
    }
}

static size_t text_size(size_t size)
{
    return (size < 32 ? 1 : 3) + size;
}

/* The packer would give a string of 32 to 255 bytes the str8 header that stops a prototype; raw16,
 * which is str16 today, is read by all. */
static void text_put(struct writer *writer, struct bytes text)
{
    msgpack_packer packer = writer_packer(writer);

    assert(text.size <= UINT16_MAX);
    if (text.size < 32) {
        (void)msgpack_pack_str(&packer, text.size);
    } else {
        uint8_t *const header = writer_take(writer, 3);

        header[0] = 0xda;
        header[1] = (uint8_t)(text.size >> 8);
        header[2] = (uint8_t)text.size;
    }
    if (text.size > 0) {
        (void)msgpack_pack_str_body(&packer, text.data, text.size);
    }
}

static void name_put(struct writer *writer, const char *name, size_t size)
{
    text_put(writer, (struct bytes){ (const uint8_t *)name, size });
}

static size_t header_size(enum writer_header header, size_t count)
{
    if (header == HEADER_BIN) {
        return count <= UINT8_MAX ? 2 : 3;
    }
    return count < 16 ? 1 : 3;
}

/* Bytes by which a header grows with its count. */
static size_t header_growth(enum writer_header header, size_t from, size_t to)
{
    return header_size(header, to) - header_size(header, from);
}

static void header_write(struct writer *writer, size_t at, enum writer_header header, size_t count)
{
    const size_t used = writer->used;
    msgpack_packer packer = writer_packer(writer);

    writer->used = at;
    switch (header) {
    case HEADER_MAP: (void)msgpack_pack_map(&packer, count); break;
    case HEADER_ARRAY: (void)msgpack_pack_array(&packer, count); break;
    case HEADER_BIN: (void)msgpack_pack_bin(&packer, count); break;
    }
    writer->used = used;
}

/* Begin a header with a count at the end; returns where it is. */
static size_t header_begin(struct writer *writer, enum writer_header header, size_t count)
{
    const size_t at = writer->used;

    (void)writer_take(writer, header_size(header, count));
    header_write(writer, at, header, count);
    return at;
}

/* Change a header's count; what is behind it moves up or down with its size. */
static void header_change(struct writer *writer, size_t at, enum writer_header header,
                          uint32_t *count, size_t to)
{
    const size_t size_old = header_size(header, *count);
    const size_t size_new = header_size(header, to);

    assert(to <= UINT16_MAX);
    if (size_old != size_new) {
        const size_t behind = writer->used - at - size_old;

        assert(at + size_new + behind <= writer->space.size);
        memmove(writer->space.data + at + size_new, writer->space.data + at + size_old, behind);
        writer->used = at + size_new + behind;
    }
    header_write(writer, at, header, to);
    *count = (uint32_t)to;
}

static void writer_begin(struct writer *writer, struct space space, size_t limit)
{
    *writer = (struct writer){ .space = space };
    if (writer->space.size > limit) {
        writer->space.size = limit;
    }
}

/* The frame's start, up to the header of the vector. */
static void frame_begin(struct writer *writer, struct bytes key, size_t fields)
{
    (void)header_begin(writer, HEADER_MAP, fields);
    name_put(writer, "key", 3);
    text_put(writer, key);
    name_put(writer, "vector", 6);
    writer->entry_at = header_begin(writer, HEADER_MAP, 0);
}

/* The frame's end, but for `x`. */
static void frame_end(struct writer *writer)
{
    if (writer->full) {
        name_put(writer, "full", 4);
        bool_put(writer, true);
    }
    name_put(writer, "ttl", 3);
    number_put(writer, writer->ttl);
}

void writer_begin_plain(struct writer *writer, struct space space, struct bytes key, uint8_t ttl,
                        bool full)
{
    assert(key.size >= 1);
    assert(key.size <= WIRE_KEY_BYTES_MAX);
    assert(ttl <= WIRE_TTL_MAX);
    writer_begin(writer, space, WIRE_PLAIN_BYTES_MAX);
    writer->stage = STAGE_PLAIN;
    writer->ttl = ttl;
    writer->full = full;
    frame_begin(writer, key, full ? 4 : 3);
    writer->tail = (full ? WRITER_FULL_BYTES : 0) + WRITER_TTL_BYTES;
    assert(writer->tail <= writer->space.size - writer->used);
}

void writer_begin_hello(struct writer *writer, struct space space, struct bytes key)
{
    assert(key.size >= 1);
    assert(key.size <= WIRE_KEY_BYTES_MAX);
    writer_begin(writer, space, WIRE_EXTENDED_BYTES_MAX);
    writer->stage = STAGE_HELLO;
    writer->full = true;
    frame_begin(writer, key, 5);
    writer->tail = WRITER_FULL_BYTES + WRITER_TTL_BYTES + WRITER_X_BYTES + ENVELOPE_BYTES_MAX;
    assert(writer->tail <= writer->space.size - writer->used);
}

static void bin_put(struct writer *writer, const uint8_t *data, size_t size)
{
    msgpack_packer packer = writer_packer(writer);

    (void)msgpack_pack_bin(&packer, size);
    (void)msgpack_pack_bin_body(&packer, data, size);
}

static void fixed_put(struct writer *writer, const struct envelope_field *field,
                      const struct envelope *envelope)
{
    const uint8_t *const from = (const uint8_t *)envelope + field->offset;
    uint32_t words[2];
    uint8_t roots[8];

    name_put(writer, (const char *)&field->letter, 1);
    switch ((enum envelope_form)field->form) {
    case ENVELOPE_U8: number_put(writer, *from); break;
    case ENVELOPE_U32:
        memcpy(words, from, sizeof words[0]);
        number_put(writer, words[0]);
        break;
    case ENVELOPE_ROOTS:
        memcpy(words, from, sizeof words);
        little_put32(roots, words[0]);
        little_put32(roots + 4, words[1]);
        bin_put(writer, roots, sizeof roots);
        break;
    case ENVELOPE_TOKEN: bin_put(writer, from, WIRE_TOKEN_BYTES); break;
    }
}

/* `x` and its fixed fields. */
static void x_begin(struct writer *writer, const struct envelope *envelope)
{
    name_put(writer, "x", 1);
    writer->tail = 0;
    writer->fields_at = header_begin(writer, HEADER_MAP, 0);
    for (unsigned i = 0; i < ENVELOPE_FIELDS; i++) {
        if ((envelope->has & envelope_fields[i].has) != 0) {
            fixed_put(writer, &envelope_fields[i], envelope);
            writer->x_count++;
        }
    }
    assert(writer->x_count < 16);
    header_write(writer, writer->fields_at, HEADER_MAP, writer->x_count);
    writer->stage = STAGE_X;
}

void writer_begin_x(struct writer *writer, const struct envelope *envelope)
{
    assert(writer->stage == STAGE_HELLO);
    frame_end(writer);
    x_begin(writer, envelope);
}

void writer_begin_ordinary(struct writer *writer, struct space space,
                           const struct envelope *envelope)
{
    assert(space.size >= WRITER_ORDINARY_BYTES);
    writer_begin(writer, space, WIRE_EXTENDED_BYTES_MAX);
    frame_begin(writer, (struct bytes){ NULL, 0 }, 4);
    frame_end(writer);
    x_begin(writer, envelope);
}

static uint8_t field_bit(char letter)
{
    unsigned at = 0;

    while (writer_letters[at] != letter) {
        at++;
        assert(at < sizeof writer_letters);
    }
    return (uint8_t)(1u << at);
}

void writer_begin_items(struct writer *writer, struct space space)
{
    writer_begin(writer, space, UINT16_MAX);
    writer->is_bare = true;
    writer->stage = STAGE_X;
    writer->field = 'b';
    writer->fields = field_bit('b');
    writer->field_at = header_begin(writer, HEADER_ARRAY, 0);
}

/* Bytes that opening a field, or adding to it when it is open, costs beside the entry. */
static size_t field_cost(const struct writer *writer, char letter, enum writer_header header,
                         size_t count)
{
    if (writer->field == (uint8_t)letter) {
        return header_growth(header, writer->field_count, count);
    }
    return header_growth(HEADER_MAP, writer->x_count, writer->x_count + 1) + 2
           + header_size(header, count);
}

/* Make it the open field, if it is not. */
static void field_begin(struct writer *writer, char letter)
{
    assert(writer->stage == STAGE_X);
    if (writer->field == (uint8_t)letter) {
        return;
    }
    assert((writer->fields & field_bit(letter)) == 0); /* a field cannot be taken up again */
    writer->fields |= field_bit(letter);
    writer->field = (uint8_t)letter;
    header_change(writer, writer->fields_at, HEADER_MAP, &writer->x_count, writer->x_count + 1);
    name_put(writer, &letter, 1);
}

/* Open the field where that is still to be done, and count `count` entries in its header. */
static void field_count(struct writer *writer, char letter, enum writer_header header, size_t count)
{
    const bool open = writer->field == (uint8_t)letter;

    field_begin(writer, letter);
    if (open) {
        header_change(writer, writer->field_at, header, &writer->field_count, count);
    } else {
        writer->field_at = header_begin(writer, header, count);
        writer->field_count = (uint32_t)count;
    }
}

/* Take back the field's last entry, which is empty, and with its only entry the field. */
static void field_uncount(struct writer *writer, char letter, enum writer_header header)
{
    assert(writer->field == (uint8_t)letter);
    if (writer->field_count > 1 || writer->is_bare) {
        header_change(writer, writer->field_at, header, &writer->field_count,
                      writer->field_count - (size_t)1);
        return;
    }
    writer->used = writer->field_at - 2;
    writer->field = 0;
    writer->fields &= (uint8_t)~field_bit(letter);
    header_change(writer, writer->fields_at, HEADER_MAP, &writer->x_count,
                  writer->x_count - (size_t)1);
}

/* Entries in the field so far. */
static size_t field_entries(const struct writer *writer, char letter)
{
    return writer->field == (uint8_t)letter ? writer->field_count : 0;
}

/* Reserve an entry of `size` bytes in a field of entries; false: it does not fit. */
static bool entry_begin(struct writer *writer, char letter, size_t size)
{
    const size_t count = field_entries(writer, letter) + 1;
    const size_t cost = field_cost(writer, letter, HEADER_ARRAY, count);

    assert(writer->stage == STAGE_X);
    if (size > WIRE_EXTENDED_BYTES_MAX || cost + size > writer_room(writer)) {
        return false;
    }
    field_count(writer, letter, HEADER_ARRAY, count);
    return true;
}

/* A pair of the open map; false: it does not fit. */
static bool pair_put(struct writer *writer, uint64_t index, uint64_t value)
{
    const size_t count = writer->entry_count + (size_t)1;
    const size_t size = number_size(index) + number_size(value)
                        + header_growth(HEADER_MAP, writer->entry_count, count);

    if (size > writer_room(writer)) {
        return false;
    }
    header_change(writer, writer->entry_at, HEADER_MAP, &writer->entry_count, count);
    number_put(writer, index);
    number_put(writer, value);
    return true;
}

/* The values of a dense block, widened. */
#define WIDEN(name, type)                                     \
    static void name(uint64_t *restrict to, const type *from) \
    {                                                         \
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {       \
            to[i] = from[i];                                  \
        }                                                     \
    }

WIDEN(bytes_widen, uint8_t)
WIDEN(shorts_widen, uint16_t)
WIDEN(words_widen, uint32_t)
#undef WIDEN

/* Of a dense block. */
static void block_widen(uint64_t values[BLOCK_ELEMENTS], const struct block *block)
{
    switch (block->width) {
    case 0:
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
            values[i] = block_value(block, i);
        }
        return;
    case 1: bytes_widen(values, block->values); return;
    case 2: shorts_widen(values, block->values); return;
    case 4: words_widen(values, block->values); return;
    default: memcpy(values, block->values, BLOCK_ELEMENTS * sizeof values[0]); return;
    }
}

/* Leave the wanted values of a dense block alone, and say which those are. */
static void dense_pick(struct picked *picked, const struct block *block, const struct mark *wanted)
{
    block_widen(picked->values, block);
    for (unsigned word = 0; word < 4; word++) {
        uint64_t *const values = picked->values + word * 64;
        uint64_t present = 0;

        for (unsigned i = 0; i < 64; i += 4) {
            present |= ((uint64_t)(values[i] != 0) | (uint64_t)(values[i + 1] != 0) << 1
                        | (uint64_t)(values[i + 2] != 0) << 2 | (uint64_t)(values[i + 3] != 0) << 3)
                       << i;
        }
        for (uint64_t bits = present & ~wanted->bits[word]; bits != 0; bits &= bits - 1) {
            values[__builtin_ctzll(bits)] = 0;
        }
        picked->mark.bits[word] = present & wanted->bits[word];
    }
}

/* The same of one that has few: only those are looked at. */
static void sparse_pick(struct picked *picked, const struct block *block, const struct mark *wanted)
{
    memset(picked->values, 0, sizeof picked->values);
    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);
        const unsigned offset = block_offset(block, i);

        if (value != 0 && mark_has(wanted, offset)) {
            picked->values[offset] = value;
            mark_set(&picked->mark, offset);
        }
    }
}

/* Pick the marked values, all of them when mark is NULL. */
static void picked_from(struct picked *picked, const struct block *block, const struct mark *mark)
{
    static const struct mark all = { .bits = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };

    picked->mark = (struct mark){ .number = block->number };
    if (block->offsets == NULL) {
        dense_pick(picked, block, mark == NULL ? &all : mark);
    } else {
        sparse_pick(picked, block, mark == NULL ? &all : mark);
    }
    picked->count = mark_count(&picked->mark);
}

/* The first offset >= `from` that was picked, or BLOCK_ELEMENTS. */
static unsigned picked_next(const struct picked *picked, unsigned from)
{
    return mark_next(&picked->mark, from);
}

static unsigned put_map(struct writer *writer, const struct picked *picked)
{
    unsigned offset = picked_next(picked, 0);

    while (offset < BLOCK_ELEMENTS
           && pair_put(writer, picked->mark.number << 8 | offset, picked->values[offset])) {
        offset = picked_next(picked, offset + 1);
    }
    return offset;
}

/* Whether the open bin has room for so many bytes more. */
static bool packed_fits(const struct writer *writer, size_t size)
{
    const size_t count = writer->entry_count + size;

    return size + header_growth(HEADER_BIN, writer->entry_count, count) <= writer_room(writer);
}

/* The next bytes of the open bin, which fit. */
static uint8_t *packed_take(struct writer *writer, size_t size)
{
    header_change(writer, writer->entry_at, HEADER_BIN, &writer->entry_count,
                  writer->entry_count + size);
    return writer_take(writer, size);
}

/* Make a bin of the open item, which has no element. */
static void packed_begin(struct writer *writer, enum packed_kind kind)
{
    writer->used = writer->entry_at;
    writer->entry_at = header_begin(writer, HEADER_BIN, 0);
    writer->entry_count = 0;
    writer->form = (uint8_t)kind;
    writer->position = 0;
    *packed_take(writer, 1) = (uint8_t)kind;
}

static bool sparse_put(struct writer *writer, uint64_t index, uint64_t value)
{
    const uint64_t gap = index - writer->position;
    const size_t size = varint_size(gap) + varint_size(value);

    assert(index >= writer->position); /* blocks ascend */
    if (!packed_fits(writer, size)) {
        return false;
    }
    (void)varint_put(varint_put(packed_take(writer, size), gap), value);
    writer->position = index + 1;
    return true;
}

static unsigned put_sparse(struct writer *writer, const struct picked *picked)
{
    unsigned offset = picked_next(picked, 0);

    while (offset < BLOCK_ELEMENTS
           && sparse_put(writer, picked->mark.number << 8 | offset, picked->values[offset])) {
        offset = picked_next(picked, offset + 1);
    }
    return offset;
}

/* Bytes that can be added to the open bin, its longer header taken off. */
static size_t packed_room(const struct writer *writer)
{
    const size_t room = writer_room(writer);
    const size_t growth =
        header_growth(HEADER_BIN, writer->entry_count, writer->entry_count + room);

    return room < growth ? 0 : room - growth;
}

/* A segment with all that was picked, or with as much from the start as fits. */
static unsigned put_dense(struct writer *writer, const struct picked *picked)
{
    const uint64_t gap = picked->mark.number - writer->position;
    const size_t head = varint_size(gap << 1 | 1);
    struct packed_segment segment;
    unsigned end = BLOCK_ELEMENTS;

    assert(picked->mark.number >= writer->position); /* blocks ascend */
    packed_plan(picked->values, &segment);
    if (!packed_fits(writer, head + segment.size)) {
        const size_t room = packed_room(writer);

        end = room < head ? 0 : packed_cut(picked->values, &segment, room - head);
    }
    if (end > 0) {
        uint8_t bytes[PACKED_SEGMENT_BYTES_MAX];
        const size_t size =
            (size_t)(packed_segment_put(bytes, picked->values, &segment, gap) - bytes);

        memcpy(packed_take(writer, size), bytes, size);
        writer->position = picked->mark.number + 1;
    }
    return picked_next(picked, end);
}

/* Bytes of what was picked as pairs of a sparse item that is at `position`. */
static size_t sparse_cost(const struct picked *picked, uint64_t position)
{
    size_t size = 0;

    for (unsigned i = picked_next(picked, 0); i < BLOCK_ELEMENTS; i = picked_next(picked, i + 1)) {
        const uint64_t index = picked->mark.number << 8 | i;

        size += varint_size(index - position) + varint_size(picked->values[i]);
        position = index + 1;
    }
    return size;
}

/* Bytes of an item behind its elements. */
static size_t item_tail(bool full, uint64_t generation)
{
    return (full || generation > 0 ? 1 : 0) + (generation > 0 ? number_size(generation) : 0);
}

/* Bytes an item of `b` costs beside its elements. */
static size_t item_cost(const struct writer *writer, struct bytes key, bool full,
                        uint64_t generation)
{
    const size_t count = field_entries(writer, 'b') + 1;

    return field_cost(writer, 'b', HEADER_ARRAY, count) + 1 + text_size(key.size)
           + item_tail(full, generation);
}

/* Turn the open map of few elements into a sparse bin. False, and nothing done: no room. */
static bool sparse_from_map(struct writer *writer)
{
    const struct bytes pairs = { writer->space.data + writer->entry_at + 1,
                                 writer->used - writer->entry_at - 1 };
    const unsigned count = writer->entry_count;
    struct read read = read_begin(pairs);
    uint64_t index[WRITER_MAP_ELEMENTS_MAX];
    uint64_t value[WRITER_MAP_ELEMENTS_MAX];
    uint64_t position = 0;
    size_t size = 2 + 1;

    assert(count <= WRITER_MAP_ELEMENTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        bool valid = read_number(&read, &index[i]) && read_number(&read, &value[i]);

        assert(valid);
        size += varint_size(index[i] - position) + varint_size(value[i]);
        position = index[i] + 1;
    }
    /* Beside these bytes, room for the next element must remain. */
    if (size + WRITER_ELEMENT_BYTES_MAX > writer_room(writer) + pairs.size + 1) {
        return false;
    }
    packed_begin(writer, PACKED_SPARSE);
    for (unsigned i = 0; i < count; i++) {
        bool fits = sparse_put(writer, index[i], value[i]);

        assert(fits);
    }
    return true;
}

/* Elements in the open item. Packed: what is behind the kind. */
static bool item_empty(const struct writer *writer)
{
    return writer->entry_count == (writer->form == 0 ? 0 : 1);
}

/* The form in which the picked elements go into the open item, which may end that item and begin
 * another. False: the datagram is full. */
static bool item_form_choose(struct writer *writer, const struct picked *picked)
{
    struct packed_segment segment;
    size_t dense;
    size_t sparse;

    if (writer->form == PACKED_DENSE
        || (writer->form == 0 && writer->entry_count + picked->count <= WRITER_MAP_ELEMENTS_MAX)) {
        return true;
    }
    packed_plan(picked->values, &segment);
    dense = segment.size;
    sparse = sparse_cost(picked, writer->form == PACKED_SPARSE ? writer->position : 0);
    if (item_empty(writer)) {
        dense += varint_size(picked->mark.number << 1 | 1);
        packed_begin(writer, dense < sparse ? PACKED_DENSE : PACKED_SPARSE);
        return true;
    }
    dense += varint_size(picked->mark.number << 1 | 1) + 3
             + item_cost(writer, writer->key, writer->full, writer->generation);
    if (dense < sparse
        && item_cost(writer, writer->key, writer->full, writer->generation)
                   + WRITER_ELEMENT_BYTES_MAX
               <= writer_room(writer)) {
        const struct bytes key = writer->key;
        const bool full = writer->full;
        const uint64_t generation = writer->generation;
        bool begun;

        writer_end_item(writer);
        begun = writer_begin_item(writer, key, full, generation);
        assert(begun);
        packed_begin(writer, PACKED_DENSE);
        return true;
    }
    return writer->form == PACKED_SPARSE || sparse_from_map(writer);
}

unsigned writer_put_block(struct writer *writer, const struct block *block, const struct mark *mark)
{
    struct picked picked;

    assert(writer->stage == STAGE_PLAIN || writer->stage == STAGE_HELLO
           || writer->stage == STAGE_ITEM);
    assert(mark == NULL || mark->number == block->number);
    picked_from(&picked, block, mark);
    if (picked.count == 0) {
        return BLOCK_ELEMENTS;
    }
    if (writer->stage != STAGE_ITEM) {
        return put_map(writer, &picked);
    }
    if (!item_form_choose(writer, &picked)) {
        return picked_next(&picked, 0);
    }
    switch (writer->form) {
    case PACKED_SPARSE: return put_sparse(writer, &picked);
    case PACKED_DENSE: return put_dense(writer, &picked);
    default: return put_map(writer, &picked);
    }
}

bool writer_begin_item(struct writer *writer, struct bytes key, bool full, uint64_t generation)
{
    assert(writer->stage == STAGE_X);
    assert(key.size >= 1);
    assert(key.size <= WIRE_KEY_BYTES_MAX);
    if (item_cost(writer, key, full, generation) + WRITER_ELEMENT_BYTES_MAX > writer_room(writer)) {
        return false;
    }
    field_count(writer, 'b', HEADER_ARRAY, field_entries(writer, 'b') + 1);
    writer->item_at = header_begin(writer, HEADER_ARRAY, generation > 0 ? 4 : full ? 3 : 2);
    text_put(writer, key);
    writer->entry_at = header_begin(writer, HEADER_MAP, 0);
    writer->entry_count = 0;
    writer->form = 0;
    writer->key = key;
    writer->full = full;
    writer->generation = generation;
    writer->tail = item_tail(full, generation);
    writer->stage = STAGE_ITEM;
    return true;
}

void writer_end_item(struct writer *writer)
{
    assert(writer->stage == STAGE_ITEM);
    writer->stage = STAGE_X;
    writer->tail = 0;
    if (item_empty(writer)) {
        writer->used = writer->item_at;
        field_uncount(writer, 'b', HEADER_ARRAY);
        return;
    }
    if (writer->full || writer->generation > 0) {
        bool_put(writer, writer->full);
    }
    if (writer->generation > 0) {
        number_put(writer, writer->generation);
    }
}

bool writer_put_tombstone(struct writer *writer, uint64_t hash, uint32_t deadline,
                          uint64_t generation)
{
    const size_t key_size = sizeof hash + (deadline == DEADLINE_NONE ? 0 : sizeof deadline);
    const size_t size = 1 + (2 + key_size) + 1 + item_tail(false, generation);
    uint8_t bytes[sizeof hash + sizeof deadline];

    assert(generation > 0);
    if (!entry_begin(writer, 'b', size)) {
        return false;
    }
    (void)header_begin(writer, HEADER_ARRAY, 4);
    little_put64(bytes, hash);
    little_put32(bytes + sizeof hash, deadline);
    bin_put(writer, bytes, key_size);
    (void)header_begin(writer, HEADER_MAP, 0);
    bool_put(writer, false);
    number_put(writer, generation);
    return true;
}

size_t writer_put_acks(struct writer *writer, const uint32_t *sequences, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!entry_begin(writer, 'a', number_size(sequences[i]))) {
            return i;
        }
        number_put(writer, sequences[i]);
    }
    return count;
}

size_t writer_put_wanted(struct writer *writer, const uint64_t *hashes, size_t count)
{
    assert(writer->stage == STAGE_X);
    for (size_t i = 0; i < count; i++) {
        const size_t size = field_entries(writer, 'w') + sizeof hashes[0];

        if (field_cost(writer, 'w', HEADER_BIN, size) + sizeof hashes[0] > writer_room(writer)) {
            return i;
        }
        field_count(writer, 'w', HEADER_BIN, size);
        little_put64(writer_take(writer, sizeof hashes[0]), hashes[i]);
    }
    return count;
}

static void prefix_put(struct writer *writer, struct prefix prefix)
{
    (void)header_begin(writer, HEADER_ARRAY, 4);
    number_put(writer, prefix.set);
    number_put(writer, prefix.bits);
    number_put(writer, prefix.nibbles);
}

bool writer_put_tree(struct writer *writer, const struct wire_tree *tree)
{
    const size_t content = sizeof tree->children;

    assert(tree->prefix.set <= 1);
    assert(tree->prefix.nibbles <= 15);
    assert((tree->prefix.bits & ~UINT64_C(0) >> (4 * tree->prefix.nibbles)) == 0);
    if (!entry_begin(writer, 'v', 3 + number_size(tree->prefix.bits) + 2 + content)) {
        return false;
    }
    prefix_put(writer, tree->prefix);
    (void)header_begin(writer, HEADER_BIN, content);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        little_put32(writer_take(writer, 4), tree->children[i]);
    }
    return true;
}

bool writer_put_leaf(struct writer *writer, struct prefix prefix,
                     const struct wire_leaf_pair *pairs, size_t count)
{
    const size_t content = count * WIRE_LEAF_PAIR_BYTES;

    assert(prefix.set <= 1);
    assert(prefix.nibbles <= 16);
    if (count > WIRE_EXTENDED_BYTES_MAX
        || !entry_begin(writer, 'L',
                        3 + number_size(prefix.bits) + header_size(HEADER_BIN, content)
                            + content)) {
        return false;
    }
    prefix_put(writer, prefix);
    (void)header_begin(writer, HEADER_BIN, content);
    for (size_t i = 0; i < count; i++) {
        uint8_t *const at = writer_take(writer, WIRE_LEAF_PAIR_BYTES);

        assert(i == 0 || pairs[i - 1].hash <= pairs[i].hash);
        little_put64(at, pairs[i].hash);
        little_put32(at + 8, pairs[i].digest);
    }
    return true;
}

bool writer_put_probe(struct writer *writer, struct bytes key)
{
    const size_t opening = header_growth(HEADER_MAP, writer->x_count, writer->x_count + 1) + 2;

    assert(writer->field != 'p'); /* there is one */
    assert(key.size >= 1);
    assert(key.size <= WIRE_KEY_BYTES_MAX);
    if (opening + text_size(key.size) > writer_room(writer)) {
        return false;
    }
    field_begin(writer, 'p');
    text_put(writer, key);
    return true;
}

bool writer_begin_blocks(struct writer *writer, uint8_t set, uint64_t hash, uint64_t generation)
{
    const size_t head = 1 + 1 + number_size(hash) + 1 + header_size(HEADER_BIN, 0);
    const size_t tail = generation > 0 ? number_size(generation) : 0;
    const size_t count = field_entries(writer, 'B') + 1;
    const size_t cost = field_cost(writer, 'B', HEADER_ARRAY, count);

    assert(writer->stage == STAGE_X);
    assert(set <= 1);
    if (cost + head + VARINT_BYTES_MAX + 4 + tail > writer_room(writer)) {
        return false;
    }
    field_count(writer, 'B', HEADER_ARRAY, count);
    writer->item_at = header_begin(writer, HEADER_ARRAY, generation > 0 ? 5 : 4);
    number_put(writer, set);
    number_put(writer, hash);
    bool_put(writer, false);
    writer->entry_at = header_begin(writer, HEADER_BIN, 0);
    writer->entry_count = 0;
    writer->position = 0;
    writer->more = false;
    writer->generation = generation;
    writer->tail = tail;
    writer->stage = STAGE_BLOCKS;
    return true;
}

bool writer_put_block_digest(struct writer *writer, uint64_t number, uint32_t digest)
{
    const uint64_t gap = number - writer->position;
    const size_t size = varint_size(gap) + 4;

    assert(writer->stage == STAGE_BLOCKS);
    assert(number >= writer->position);
    if (writer->more || !packed_fits(writer, size)) {
        writer->more = true;
        return false;
    }
    little_put32(varint_put(packed_take(writer, size), gap), digest);
    writer->position = number + 1;
    return true;
}

void writer_end_blocks(struct writer *writer, bool more)
{
    const size_t used = writer->used;

    assert(writer->stage == STAGE_BLOCKS);
    /* The bool stands right before the header of the digests. */
    writer->used = writer->entry_at - 1;
    bool_put(writer, more || writer->more);
    writer->used = used;
    writer->tail = 0;
    if (writer->generation > 0) {
        number_put(writer, writer->generation);
    }
    writer->stage = STAGE_X;
}

size_t writer_room(const struct writer *writer)
{
    return writer->space.size - writer->used - writer->tail;
}

struct bytes writer_end(struct writer *writer)
{
    assert(writer->stage == STAGE_PLAIN || writer->stage == STAGE_X);
    if (writer->stage == STAGE_PLAIN) {
        frame_end(writer);
    }
    writer->stage = STAGE_ENDED;
    return (struct bytes){ writer->space.data, writer->used };
}
