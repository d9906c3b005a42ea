#include "store/marks.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

#define ROOM_FIRST 1 /* most keys that wait for a plain peer have one mark */
#define ROOM_MAX   (UINT32_C(1) << 30)
#define STRETCH    8   /* blocks whose slots in the index are neighbours: a cache line */
#define WINDOW     256 /* positions looked at for one datagram's marks */

#define PASSED_UNIT 8 /* marks passed by in a unit of work: those of an entry are neighbours */

_Static_assert((MARKS_CHUNK & (MARKS_CHUNK - 1)) == 0, "positions are divided by it");

/* The pointer decides only where in the index a mark lies, never in which order anything leaves.
 * Blocks that follow each other, as they mostly come, follow each other there. */
static uint32_t marked_hash(const struct entry *entry, uint64_t number)
{
    const uint64_t hash = hash_mix((uintptr_t)entry, number / STRETCH) >> 32;

    return ((uint32_t)hash & ~(uint32_t)(STRETCH - 1)) | (number & (STRETCH - 1));
}

static bool is_chunked(const struct marks *marks)
{
    return marks->room > MARKS_CHUNK;
}

static uint32_t chunk_count(const struct marks *marks)
{
    return marks->room / MARKS_CHUNK;
}

/* Where the chunk of a position stands. */
static struct marked **chunk_of(const struct marks *marks, uint32_t position)
{
    return &marks->chunks[position / MARKS_CHUNK & (chunk_count(marks) - 1)];
}

static struct marked *marked_at(const struct marks *marks, uint32_t position)
{
    return is_chunked(marks) ? &(*chunk_of(marks, position))[position % MARKS_CHUNK]
                             : &marks->list[position];
}

static size_t list_bytes(uint32_t count)
{
    return count * sizeof(struct marked);
}

static size_t chunks_bytes(uint32_t count)
{
    return count * sizeof(struct marked *);
}

static void chunk_free(struct marked **chunk, struct mem *mem)
{
    mem_free(mem, *chunk, *chunk == NULL ? 0 : list_bytes(MARKS_CHUNK));
    *chunk = NULL;
}

static bool is_of(const struct marked *marked, const struct entry *entry, uint64_t number)
{
    return marked->entry == entry && marked->mark.number == number;
}

/* Position of a block's mark, or HASH_INDEX_NONE. */
static uint32_t position_find(const struct marks *marks, const struct entry *entry, uint64_t number,
                              uint32_t hash)
{
    uint32_t position;
    uint32_t cursor = 0;

    if (!is_chunked(marks)) {
        for (position = marks->first; position != marks->last; position++) {
            if (is_of(&marks->list[position], entry, number)) {
                return position;
            }
        }
        return HASH_INDEX_NONE;
    }
    do {
        position = hash_index_next(marks->index, hash, &cursor);
    } while (position != HASH_INDEX_NONE && !is_of(marked_at(marks, position), entry, number));
    return position;
}

/* Enter a mark's position in the index; the index knows it modulo ROOM_MAX. */
static bool position_enter(struct marks *marks, struct mem *mem, uint32_t hash, uint32_t position)
{
    return hash_index_put(&marks->index, mem, hash, position & (ROOM_MAX - 1));
}

/* The list becomes the first of two chunks. */
static bool list_index(struct marks *marks, struct mem *mem)
{
    struct marked **chunks = mem_alloc_zeroed(mem, chunks_bytes(2));
    bool is_indexed = chunks != NULL;

    for (uint32_t i = marks->first; i != marks->last && is_indexed; i++) {
        const struct marked *marked = &marks->list[i];

        is_indexed =
            marked->entry == NULL
            || position_enter(marks, mem, marked_hash(marked->entry, marked->mark.number), i);
    }
    if (!is_indexed) {
        hash_index_clear(&marks->index, mem);
        mem_free(mem, chunks, chunks == NULL ? 0 : chunks_bytes(2));
        return false;
    }
    chunks[0] = marks->list;
    marks->chunks = chunks;
    marks->room = 2 * MARKS_CHUNK;
    return true;
}

static bool list_grow(struct marks *marks, struct mem *mem)
{
    const uint32_t room = marks->room == 0 ? ROOM_FIRST : marks->room * 2;
    struct marked *list;

    if (marks->room == MARKS_CHUNK) {
        return list_index(marks, mem);
    }
    list = mem_grow(mem, marks->list, list_bytes(marks->room), list_bytes(room));
    if (list == NULL) {
        return false;
    }
    marks->list = list;
    marks->room = room;
    return true;
}

/* Twice as many places for chunks. */
static bool chunks_grow(struct marks *marks, struct mem *mem)
{
    struct marks grown = *marks;

    grown.room = marks->room * 2;
    grown.chunks =
        marks->room == ROOM_MAX ? NULL : mem_alloc_zeroed(mem, chunks_bytes(chunk_count(&grown)));
    if (grown.chunks == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < chunk_count(marks); i++) {
        const uint32_t position = marks->first + i * MARKS_CHUNK;

        *chunk_of(&grown, position) = *chunk_of(marks, position);
    }
    mem_free(mem, marks->chunks, chunks_bytes(chunk_count(marks)));
    *marks = grown;
    return true;
}

/* Close the holes. A position that is taken out of the index leaves room there for the other. */
static void list_pack(struct marks *marks, struct mem *mem)
{
    const uint32_t first = is_chunked(marks) ? marks->first : 0;
    uint32_t to = first;

    for (uint32_t i = marks->first; i != marks->last; i++) {
        const struct marked *marked = marked_at(marks, i);

        if (marked->entry == NULL) {
            continue;
        }
        if (i != to && is_chunked(marks)) {
            const uint32_t hash = marked_hash(marked->entry, marked->mark.number);
            bool is_entered;

            hash_index_remove(marks->index, hash, i & (ROOM_MAX - 1));
            is_entered = position_enter(marks, mem, hash, to);
            assert(is_entered);
        }
        *marked_at(marks, to++) = *marked;
    }
    marks->first = first;
    marks->last = to;
}

/* Make room for one more at the end. */
static bool position_obtain(struct marks *marks, struct mem *mem)
{
    const uint32_t begin = is_chunked(marks) ? marks->first & ~(MARKS_CHUNK - 1) : 0;
    struct marked **chunk;

    if (marks->last - begin == marks->room) {
        if (marks->count <= marks->room / 2 && marks->room > 0) {
            list_pack(marks, mem);
        } else if (!(is_chunked(marks) ? chunks_grow(marks, mem) : list_grow(marks, mem))) {
            return false;
        }
    }
    if (!is_chunked(marks)) {
        return true;
    }
    chunk = chunk_of(marks, marks->last);
    if (*chunk == NULL) {
        *chunk = mem_alloc(mem, list_bytes(MARKS_CHUNK));
    }
    return *chunk != NULL;
}

/* A mark left the set: skip holes in front; when it was the last one, begin anew. */
static void marked_left(struct marks *marks, struct mem *mem, uint32_t position)
{
    struct marked *marked = marked_at(marks, position);

    if (is_chunked(marks)) {
        hash_index_remove(marks->index, marked_hash(marked->entry, marked->mark.number),
                          position & (ROOM_MAX - 1));
    }
    marked->entry = NULL;
    marks->count--;
    if (marks->count == 0) {
        if (is_chunked(marks)) {
            marks_clear(marks, mem);
        }
        marks->first = 0;
        marks->last = 0;
        return;
    }
    while (marked_at(marks, marks->first)->entry == NULL) {
        marks->first++;
        if (is_chunked(marks) && marks->first % MARKS_CHUNK == 0) {
            chunk_free(chunk_of(marks, marks->first - 1), mem);
        }
    }
}

void marks_clear(struct marks *marks, struct mem *mem)
{
    if (is_chunked(marks)) {
        for (uint32_t i = 0; i < chunk_count(marks); i++) {
            chunk_free(&marks->chunks[i], mem);
        }
        mem_free(mem, marks->chunks, chunks_bytes(chunk_count(marks)));
    } else {
        mem_free(mem, marks->list, list_bytes(marks->room));
    }
    hash_index_clear(&marks->index, mem);
    *marks = (struct marks){ 0 };
}

bool marks_add(struct marks *marks, struct mem *mem, struct entry *entry, const struct mark *mark)
{
    const uint32_t hash = marked_hash(entry, mark->number);
    uint32_t position;

    assert(entry != NULL);
    if (mark_empty(mark)) {
        return true;
    }
    position = position_find(marks, entry, mark->number, hash);
    if (position != HASH_INDEX_NONE) {
        mark_or(&marked_at(marks, position)->mark, mark);
        return true;
    }
    if (!position_obtain(marks, mem)
        || (is_chunked(marks) && !position_enter(marks, mem, hash, marks->last))) {
        return false;
    }
    *marked_at(marks, marks->last) = (struct marked){ .entry = entry, .mark = *mark };
    marks->last++;
    marks->count++;
    return true;
}

void marks_expect(const struct marks *marks, const struct entry *entry, uint64_t number)
{
    hash_index_expect(marks->index, marked_hash(entry, number));
}

bool marks_add_all(struct marks *marks, struct mem *mem, const struct marks *from)
{
    for (uint32_t i = from->first; i != from->last; i++) {
        const struct marked *marked = marked_at(from, i);

        if (marked->entry != NULL && !marks_add(marks, mem, marked->entry, &marked->mark)) {
            return false;
        }
    }
    return true;
}

bool marks_add_entry(struct marks *marks, struct mem *mem, struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = 0; i < count; i++) {
        const struct block block = vector_block(vector, i, &room);
        const struct mark mark = block_mark(&block);

        if (!marks_add(marks, mem, entry, &mark)) {
            return false;
        }
    }
    return true;
}

uint64_t marks_elements(const struct marks *marks)
{
    uint64_t count = 0;

    for (uint32_t i = marks->first; i != marks->last; i++) {
        const struct marked *marked = marked_at(marks, i);

        count += marked->entry == NULL ? 0 : mark_count(&marked->mark);
    }
    return count;
}

const struct marked *marks_first(const struct marks *marks)
{
    return marks->count == 0 ? NULL : marked_at(marks, marks->first);
}

struct marked marks_take(struct marks *marks, struct mem *mem)
{
    struct marked taken;

    assert(marks->count > 0);
    taken = *marked_at(marks, marks->first);
    marked_left(marks, mem, marks->first);
    return taken;
}

void marks_remove(struct marks *marks, struct mem *mem, struct entry *entry,
                  const struct mark *bits)
{
    const uint32_t position =
        position_find(marks, entry, bits->number, marked_hash(entry, bits->number));
    struct mark *mark;

    if (position == HASH_INDEX_NONE) {
        return;
    }
    mark = &marked_at(marks, position)->mark;
    mark_and_not(mark, bits);
    if (mark_empty(mark)) {
        marked_left(marks, mem, position);
    }
}

struct mark marks_below(const struct mark *mark, unsigned offset)
{
    struct mark below = *mark;

    for (unsigned word = 0; word < 4; word++) {
        if (offset <= word * 64) {
            below.bits[word] = 0;
        } else if (offset < word * 64 + 64) {
            below.bits[word] &= (UINT64_C(1) << (offset - word * 64)) - 1;
        }
    }
    return below;
}

/* Few, and most of them in order already. */
static void window_insert(struct mark *window, size_t count, const struct mark *mark)
{
    size_t at = count;

    while (at > 0 && window[at - 1].number > mark->number) {
        window[at] = window[at - 1];
        at--;
    }
    window[at] = *mark;
}

size_t marks_window(const struct marks *marks, struct mark *window, size_t room)
{
    const struct marked *oldest = marks_first(marks);
    size_t count = 0;

    for (uint32_t i = marks->first; i != marks->last && i - marks->first < WINDOW && count < room;
         i++) {
        const struct marked *marked = marked_at(marks, i);

        if (marked->entry == oldest->entry && marked->mark.number >= oldest->mark.number) {
            window_insert(window, count, &marked->mark);
            count++;
        }
    }
    return count;
}

/* Go through all of the set. */
static void all_drop(struct marks *marks, struct mem *mem)
{
    const uint32_t last = marks->last;
    uint32_t i = marks->first;

    while (marks->count > 0 && i != last) {
        const struct marked *marked = marked_at(marks, i);

        if (marked->entry != NULL && entry_dropped(marked->entry)) {
            marked_left(marks, mem, i);
        }
        /* Chunks in front are given back, as the marks there leave. */
        i = i + 1 - marks->first > last - marks->first ? marks->first : i + 1;
    }
}

static void entry_drop(struct marks *marks, struct mem *mem, const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    /* With the last mark all goes, the chunks too. */
    for (size_t i = 0; i < count && is_chunked(marks); i++) {
        const uint64_t number = vector_block(vector, i, &room).number;
        const uint32_t position = position_find(marks, entry, number, marked_hash(entry, number));

        if (position != HASH_INDEX_NONE) {
            marked_left(marks, mem, position);
        }
    }
}

uint64_t marks_drop(struct marks *marks, struct mem *mem, struct drops drops)
{
    const uint64_t positions = marks->last - marks->first;
    uint64_t blocks = 0;

    for (size_t i = 0; i < drops.count && is_chunked(marks) && blocks < positions; i++) {
        blocks += vector_blocks(entry_vector(drops.entries[i]));
    }
    if (!is_chunked(marks) || blocks >= positions) {
        all_drop(marks, mem);
        return positions / PASSED_UNIT;
    }
    for (size_t i = 0; i < drops.count; i++) {
        entry_drop(marks, mem, drops.entries[i]);
    }
    return blocks;
}

/* Put one mark's elements into the open item. Returns the first offset that did not fit. */
static unsigned item_put(struct writer *writer, const struct marked *marked)
{
    const struct vector *vector = entry_vector(marked->entry);
    const size_t position = vector_seek(vector, marked->mark.number);
    struct block_room room;
    struct block block;

    if (position >= vector_blocks(vector)) {
        return BLOCK_ELEMENTS;
    }
    block = vector_block(vector, position, &room);
    if (block.number != marked->mark.number) {
        return BLOCK_ELEMENTS;
    }
    return writer_put_block(writer, &block, &marked->mark);
}

/* Where what went is remembered: one of both, or nowhere. */
struct carrier {
    struct marks *marks;
    struct carried *list;
    struct mem *mem;
};

/* Without memory to remember it in `marks` it has left all the same: anti-entropy has the rest. */
static void carrier_add(struct carrier *carrier, struct entry *entry, const struct mark *mark)
{
    if (carrier->list != NULL) {
        carried_add(carrier->list, carrier->mem, entry, mark);
    } else if (carrier->marks != NULL) {
        (void)marks_add(carrier->marks, carrier->mem, entry, mark);
    }
}

/* Take bits out of the oldest mark. */
static void oldest_remove(struct marks *marks, struct mem *mem, const struct mark *bits)
{
    struct mark *mark = &marked_at(marks, marks->first)->mark;

    mark_and_not(mark, bits);
    if (mark_empty(mark)) {
        marked_left(marks, mem, marks->first);
    }
}

/* Put the oldest mark, which is of a tombstone. False: it does not fit. */
static bool tombstone_put(struct marks *marks, struct writer *writer, struct carrier *carrier)
{
    const struct marked marked = *marks_first(marks);

    if (!writer_put_tombstone(writer, entry_deleted_hash(marked.entry),
                              entry_deadline(marked.entry), entry_generation(marked.entry))) {
        return false;
    }
    carrier_add(carrier, marked.entry, &marked.mark);
    oldest_remove(marks, carrier->mem, &marked.mark);
    return true;
}

/* Put the oldest mark, and those after it that continue the same vector, as one item. Returns how
 * many marks it took from; *all says whether the datagram has room for another item. */
static size_t item_put_marks(struct marks *marks, struct writer *writer, struct carrier *carrier,
                             size_t marks_max, bool *all)
{
    struct entry *entry = marks_first(marks)->entry;
    uint64_t number = 0;
    size_t count = 0;

    if (entry_deleted(entry)) {
        *all = tombstone_put(marks, writer, carrier);
        return *all;
    }
    *all = writer_begin_item(writer, entry_key(entry), false, entry_generation(entry));
    if (!*all) {
        return 0;
    }
    while (*all && marks->count > 0 && count < marks_max) {
        const struct marked *marked = marks_first(marks);
        struct mark taken;
        unsigned end;

        if (marked->entry != entry || (count > 0 && marked->mark.number <= number)) {
            break;
        }
        number = marked->mark.number;
        end = item_put(writer, marked);
        *all = end >= BLOCK_ELEMENTS;
        taken = marks_below(&marked->mark, end);
        if (mark_empty(&taken)) {
            break;
        }
        count++;
        carrier_add(carrier, entry, &taken);
        oldest_remove(marks, carrier->mem, &taken);
    }
    writer_end_item(writer);
    return count;
}

/* Returns how many items went. */
static size_t items_put(struct marks *marks, const struct table *table, struct writer *writer,
                        struct carrier *carrier, size_t marks_max)
{
    size_t ended = 0;
    size_t count = 0;
    bool all = true;

    while (all && marks->count > 0 && ended + count < marks_max) {
        const struct entry *entry = marks_first(marks)->entry;

        if (entry_ended(table, entry) || entry_dropped(entry)) {
            (void)marks_take(marks, carrier->mem);
            ended++;
            continue;
        }
        count += item_put_marks(marks, writer, carrier, marks_max - ended - count, &all);
    }
    return count;
}

size_t marks_put_items(struct marks *marks, const struct table *table, struct mem *mem,
                       struct writer *writer, struct marks *carried)
{
    struct carrier carrier = { .marks = carried, .mem = mem };

    return items_put(marks, table, writer, &carrier, SIZE_MAX);
}

void marks_carry_items(struct marks *marks, const struct table *table, struct mem *mem,
                       struct writer *writer, struct carried *carried, uint32_t marks_max)
{
    struct carrier carrier = { .list = carried, .mem = mem };

    (void)items_put(marks, table, writer, &carrier, marks_max);
}

void marks_audit(const struct marks *marks)
{
    uint32_t count = 0;

    assert(marks->last - marks->first <= marks->room && marks->room <= ROOM_MAX);
    for (uint32_t i = marks->first; i != marks->last; i++) {
        const struct marked *marked = marked_at(marks, i);

        if (marked->entry == NULL) {
            continue;
        }
        count++;
        assert(!mark_empty(&marked->mark));
        assert(position_find(marks, marked->entry, marked->mark.number,
                             marked_hash(marked->entry, marked->mark.number))
               == (i & (ROOM_MAX - 1)));
    }
    assert(count == marks->count);
    assert(count == 0 || marked_at(marks, marks->first)->entry != NULL);
    assert(hash_index_audit(marks->index) == (is_chunked(marks) ? count : 0));
}
