#include "view/batch.h"

#include <assert.h>
#include <string.h>

#define PIECE_BYTES_MIN 1024
#define PIECE_BYTES_MAX 262144
#define LEB_MAX         10            /* bytes of an integer */
#define PAIR_MAX        (1 + LEB_MAX) /* an offset and its value */
#define BLOCK_HEAD_MAX  (2 + LEB_MAX) /* a count and a number */
#define KEY_MAX         255
#define UPDATE_HEAD_MAX (2 + KEY_MAX)

struct batch_piece {
    struct batch_piece *next;
    size_t size; /* of data */
    size_t used;
    uint8_t data[];
};

void batch_init(struct batch *batch, struct mem *mem)
{
    *batch = (struct batch){ .mem = mem };
}

void batch_clear(struct batch *batch)
{
    struct batch_piece *piece = batch->first;

    while (piece != NULL) {
        struct batch_piece *next = piece->next;

        mem_free(batch->mem, piece, sizeof *piece + piece->size);
        piece = next;
    }
    batch_init(batch, batch->mem);
}

/* Begin another piece, twice as large as the last one. */
static bool piece_add(struct batch *batch)
{
    size_t size = batch->last == NULL ? PIECE_BYTES_MIN : 2 * batch->last->size;
    struct batch_piece *piece;

    if (size > PIECE_BYTES_MAX) {
        size = PIECE_BYTES_MAX;
    }
    piece = (struct batch_piece *)mem_alloc(batch->mem, sizeof *piece + size);
    if (piece == NULL) {
        return false;
    }
    piece->next = NULL;
    piece->size = size;
    piece->used = 0;
    if (batch->last == NULL) {
        batch->first = piece;
    } else {
        batch->last->next = piece;
    }
    batch->last = piece;
    return true;
}

/* Room for `size` bytes in one piece; NULL: no memory. */
static uint8_t *room_at(struct batch *batch, size_t size)
{
    struct batch_piece *piece = batch->last;

    if (piece == NULL || size > piece->size - piece->used) {
        if (!piece_add(batch)) {
            return NULL;
        }
        piece = batch->last;
    }
    return piece->data + piece->used;
}

static size_t leb_put(uint8_t *to, uint64_t number)
{
    size_t size = 0;

    while (number >= 0x80) {
        to[size++] = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    to[size++] = (uint8_t)number;
    return size;
}

bool batch_begin(struct batch *batch, struct bytes key)
{
    uint8_t *to = room_at(batch, UPDATE_HEAD_MAX);
    size_t size;

    assert(key.size <= KEY_MAX);
    if (to == NULL) {
        return false;
    }
    size = leb_put(to, key.size);
    if (key.size > 0) {
        memcpy(to + size, key.data, key.size);
    }
    batch->last->used += size + key.size;
    batch->updates++;
    return true;
}

bool batch_put(struct batch *batch, const struct block *block)
{
    uint8_t *to = room_at(batch, BLOCK_HEAD_MAX);
    size_t size;

    assert(block->count >= 1 && block->count <= BLOCK_ELEMENTS);
    if (to == NULL) {
        return false;
    }
    size = leb_put(to, block->count);
    size += leb_put(to + size, block->number);
    batch->last->used += size;
    for (unsigned i = 0; i < block->count; i++) {
        to = room_at(batch, PAIR_MAX);
        if (to == NULL) {
            return false;
        }
        to[0] = (uint8_t)block_offset(block, i);
        batch->last->used += 1 + leb_put(to + 1, block_value(block, i));
    }
    return true;
}

bool batch_end(struct batch *batch)
{
    uint8_t *to = room_at(batch, 1);

    if (to == NULL) {
        return false;
    }
    *to = 0;
    batch->last->used++;
    return true;
}

uint64_t batch_updates(const struct batch *batch)
{
    return batch->updates;
}

struct batch_cursor batch_first(const struct batch *batch)
{
    return (struct batch_cursor){ .piece = batch->first };
}

/* Whatever is read next begins in this piece or at the start of a later one. False: the end. */
static bool cursor_settle(struct batch_cursor *cursor)
{
    while (cursor->piece != NULL && cursor->at == cursor->piece->used) {
        cursor->piece = cursor->piece->next;
        cursor->at = 0;
    }
    return cursor->piece != NULL;
}

static uint64_t leb_get(struct batch_cursor *cursor)
{
    uint64_t number = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = cursor->piece->data[cursor->at++];
        number |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte >= 0x80);
    return number;
}

bool batch_next_key(struct batch_cursor *cursor, struct bytes *key)
{
    if (!cursor_settle(cursor)) {
        return false;
    }
    key->size = (size_t)leb_get(cursor);
    key->data = cursor->piece->data + cursor->at;
    cursor->at += key->size;
    return true;
}

bool batch_next_block(struct batch_cursor *cursor, struct block_room *room, struct block *block)
{
    const bool is_there = cursor_settle(cursor);
    uint16_t count;
    uint64_t number;

    assert(is_there);
    count = (uint16_t)leb_get(cursor);
    if (count == 0) {
        return false;
    }
    number = leb_get(cursor);
    for (unsigned i = 0; i < count; i++) {
        (void)cursor_settle(cursor);
        room->offsets[i] = cursor->piece->data[cursor->at++];
        room->values[i] = leb_get(cursor);
    }
    *block = (struct block){ .number = number,
                             .values = room->values,
                             .offsets = room->offsets,
                             .count = count,
                             .width = sizeof room->values[0] };
    return true;
}
