#include "disk/snapshot.h"

#include "store/table.h"
#include "wire/writer.h"

#include <assert.h>
#include <string.h>

/* Looked at before a frame is ended, and with it the piece, however few of them are to be written:
 * of a million keys that just ended, or have no tombstone among them, a piece takes no longer than
 * of others. A frame is full with fewer. */
#define LOOKED_MAX 4096
#define SLICE      64 /* listed at once; what a frame has no room for is listed again */

#define FULL_BYTES (FRAME_PAYLOAD_MAX / 2) /* more is in a frame that ended for want of room */

enum stage { STAGE_BEGIN, STAGE_PEERS, STAGE_KEYS, STAGE_TOMBSTONES, STAGE_END, STAGE_WHOLE };

_Static_assert(sizeof((struct snapshot_walk *)0)->key == WIRE_KEY_BYTES_MAX, "any key has room");

void snapshot_begin(struct snapshot_walk *walk, uint64_t seed, uint64_t first_log_sequence)
{
    *walk = (struct snapshot_walk){ .seed = seed,
                                    .first_log_sequence = first_log_sequence,
                                    .stage = STAGE_BEGIN };
}

static void cursor_set(struct snapshot_walk *walk, struct bytes key)
{
    memcpy(walk->key, key.data, key.size);
    walk->key_size = (uint16_t)key.size;
    walk->is_inside = false;
}

static struct bytes cursor(const struct snapshot_walk *walk)
{
    return (struct bytes){ walk->key, walk->key_size };
}

/* Leave the offsets from..until - 1 of a set. */
static void mark_limit(struct mark *mark, unsigned from, unsigned until)
{
    for (unsigned word = 0; word < 4; word++) {
        const unsigned low = word * 64;

        if (from >= low + 64 || until <= low) {
            mark->bits[word] = 0;
            continue;
        }
        if (from > low) {
            mark->bits[word] &= UINT64_MAX << (from - low);
        }
        if (until < low + 64) {
            mark->bits[word] &= ~(UINT64_MAX << (until - low));
        }
    }
}

/* Put the elements of a block from an offset on. Returns the first offset that found no room. */
static unsigned block_put(struct snapshot_walk *walk, struct writer *writer,
                          const struct block *block, unsigned from)
{
    struct mark mark = block_mark(block);
    unsigned until;

    mark_limit(&mark, from, BLOCK_ELEMENTS);
    until = writer_put_block(writer, block, from == 0 ? NULL : &mark);
    mark_limit(&mark, from, until);
    walk->end.elements += mark_count(&mark);
    return until;
}

/* Put the elements of a vector where the cursor says, or all of them; the cursor then says where to
 * go on. False: no room for all. */
static bool elements_put(struct snapshot_walk *walk, struct writer *writer, struct bytes key,
                         const struct vector *vector)
{
    const uint64_t elements = walk->end.elements;
    const bool was_inside = walk->is_inside;
    const size_t blocks = vector_blocks(vector);
    struct block_room room;
    unsigned until = BLOCK_ELEMENTS;

    for (size_t i = was_inside ? vector_seek(vector, walk->block) : 0; i < blocks; i++) {
        const struct block block = vector_block(vector, i, &room);
        const bool is_cut = was_inside && block.number == walk->block;

        until = block_put(walk, writer, &block, is_cut ? walk->offset : 0);
        if (until < BLOCK_ELEMENTS) {
            if (walk->end.elements > elements || was_inside) {
                cursor_set(walk, key);
                walk->is_inside = true;
                walk->block = block.number;
                walk->offset = (uint8_t)until;
            }
            break;
        }
    }
    walk->end.keys += !was_inside && walk->end.elements > elements ? 1 : 0;
    return until == BLOCK_ELEMENTS;
}

/* Put a key, or what is still missing of it. False: no room for all. */
static bool key_put(struct snapshot_walk *walk, struct writer *writer, const struct entry *entry)
{
    const struct bytes key = entry_key(entry);
    bool is_whole;

    if (!writer_begin_item(writer, key, false, entry_generation(entry))) {
        return false;
    }
    is_whole = elements_put(walk, writer, key, entry_vector(entry));
    writer_end_item(writer);
    return is_whole;
}

/* Go on with the key that the last frame had no room for, if there still is one. False: this frame
 * has none either. */
static bool inside_put(struct snapshot_walk *walk, const struct table *table, struct writer *writer)
{
    const struct entry *entry = walk->is_inside ? table_find(table, cursor(walk)) : NULL;

    if (entry != NULL && !key_put(walk, writer, entry)) {
        return false;
    }
    walk->is_inside = false;
    return true;
}

static void keys_put(struct snapshot_walk *walk, const struct table *table, struct writer *writer)
{
    struct entry *entries[SLICE];
    size_t count = SLICE;

    if (!inside_put(walk, table, writer)) {
        return;
    }
    for (unsigned looked = 0; count == SLICE && looked < LOOKED_MAX; looked += SLICE) {
        count = table_slice(table, (struct bytes){ NULL, 0 }, cursor(walk), entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            if (entry_set(entries[i]) == TABLE_DATA && !entry_ended(table, entries[i])
                && !key_put(walk, writer, entries[i])) {
                return;
            }
            cursor_set(walk, entry_key(entries[i]));
        }
    }
    if (count < SLICE) {
        walk->stage = STAGE_TOMBSTONES;
    }
}

static void tombstones_put(struct snapshot_walk *walk, const struct table *table,
                           struct writer *writer)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[SLICE];
    bool is_last = table_stats(table).tombstones == 0;

    for (unsigned looked = 0; !is_last && looked < LOOKED_MAX; looked += SLICE) {
        const size_t count = table_slice_hash(table, all, walk->hash, entries, SLICE);

        is_last = count < SLICE;
        for (size_t i = 0; i < count; i++) {
            const uint64_t hash = entry_hash(table, entries[i]);

            if (entry_deleted(entries[i])) {
                if (!writer_put_tombstone(writer, hash, entry_deadline(entries[i]),
                                          entry_generation(entries[i]))) {
                    return;
                }
                walk->end.tombstones++;
            }
            is_last = is_last || hash == UINT64_MAX;
            walk->hash = hash + 1;
        }
    }
    if (is_last) {
        walk->stage = STAGE_END;
    }
}

/* What comes next, as a frame's payload. Returns its size. */
static size_t payload_put(struct snapshot_walk *walk, const struct table *table,
                          const struct disk_peers *peers, uint8_t *to, uint8_t *kind)
{
    struct writer writer;

    switch ((enum stage)walk->stage) {
    case STAGE_BEGIN:
        frame_begin_put(to, &(struct frame_begin){ .format = FRAME_FORMAT,
                                                   .sequence = walk->first_log_sequence });
        *kind = FRAME_BEGIN;
        walk->stage = peers->count > 0 ? STAGE_PEERS : STAGE_KEYS;
        return FRAME_BEGIN_BYTES;
    case STAGE_PEERS:
        *kind = FRAME_PEERS;
        walk->stage = STAGE_KEYS;
        return disk_peers_put(to, peers);
    case STAGE_END:
        frame_end_put(to, &walk->end);
        *kind = FRAME_END;
        walk->stage = STAGE_WHOLE;
        return FRAME_END_BYTES;
    default:
        writer_begin_items(&writer, (struct space){ to, FRAME_PAYLOAD_MAX });
        if (walk->stage == STAGE_KEYS) {
            keys_put(walk, table, &writer);
        }
        if (walk->stage == STAGE_TOMBSTONES) {
            tombstones_put(walk, table, &writer);
        }
        *kind = FRAME_ITEMS;
        return writer_end(&writer).size;
    }
}

size_t snapshot_next(struct snapshot_walk *walk, const struct table *table,
                     const struct disk_peers *peers, struct space space)
{
    size_t used = 0;
    bool is_short = false;

    assert(space.size >= FRAME_BYTES_MAX);
    while (walk->stage != STAGE_WHOLE && !is_short && space.size - used >= FRAME_BYTES_MAX) {
        uint8_t *to = space.data + used;
        struct frame frame = { .sequence = walk->sequence, .kept = walk->sequence };

        frame.payload.size = payload_put(walk, table, peers, to + FRAME_HEAD_BYTES, &frame.kind);
        used += frame_seal(to, walk->seed, &frame);
        walk->sequence++;
        is_short = frame.kind == FRAME_ITEMS && walk->stage != STAGE_END
                   && frame.payload.size < FULL_BYTES;
    }
    return used;
}
