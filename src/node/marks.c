#include "node/marks.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

#define ROOM_FIRST    1   /* most keys that wait for a plain peer have one mark */
#define ROOM_INDEXED  16  /* a list of at least this room has an index; below, a walk is quicker */
#define ROOM_KEPT     64  /* an emptied set keeps a list up to this long for the next marks */
#define WINDOW        256 /* positions looked at for one datagram's marks */
#define INDEX_SLOTS   2   /* for each position of the list */
#define STRETCH       64  /* blocks whose slots are neighbours */
#define INDEX_ENTERED 2   /* positions entered from the index before with each new mark */

/* Open addressing over list positions. A slot is 0, or a position + 1 in the bits that a number of
 * slots takes and bits of the hash above them, so that a look at another mark's slot seldom is one
 * at the list too, which is another cache line.
 *
 * An index twice as large does not take over all at once, as that takes milliseconds where marks
 * are many: each mark that comes enters a few positions, and the rest is looked up in the index
 * before. */
struct marks_index {
    struct marks_index *before; /* has the positions from `entered` to half of the list's room */
    uint32_t count;             /* of slots, a power of two, INDEX_SLOTS times the list's room */
    uint32_t entered;
    uint32_t slots[];
};

static size_t list_bytes(uint32_t room)
{
    return room * sizeof(struct marked);
}

static size_t index_bytes(uint32_t count)
{
    return sizeof(struct marks_index) + count * sizeof(uint32_t);
}

static void index_free(struct marks_index *index, struct mem *mem)
{
    while (index != NULL) {
        struct marks_index *before = index->before;

        mem_free(mem, index, index_bytes(index->count));
        index = before;
    }
}

/* The pointer decides only where in the index a mark lies, never in which order anything leaves.
 * Blocks that follow each other, as they mostly come, have every other slot of a stretch, which is
 * a few cache lines; what tells them apart are the highest bits of those kept in a slot. */
static uint64_t marked_hash(const struct entry *entry, uint64_t number)
{
    const uint64_t within = number & (STRETCH - 1);

    return hash_mix((uintptr_t)entry, number / STRETCH) + (within << 33 | within << 26);
}

static uint32_t slot_first(const struct marks_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & (index->count - 1);
}

/* A position whose mark was taken out stays in the index and is passed over: positions are not used
 * again before the list is packed, which makes the index anew. At least half of the slots so are
 * always free. */
static void index_put(struct marks_index *index, uint64_t hash, uint32_t position)
{
    const uint32_t bits = index->count - 1;
    uint32_t slot = slot_first(index, hash);

    while (index->slots[slot] != 0) {
        slot = (slot + 1) & bits;
    }
    index->slots[slot] = ((uint32_t)hash & ~bits) | (position + 1);
}

static struct marked *index_find(const struct marks *marks, const struct marks_index *index,
                                 const struct entry *entry, uint64_t number, uint64_t hash)
{
    const uint32_t bits = index->count - 1;

    for (uint32_t slot = slot_first(index, hash); index->slots[slot] != 0;
         slot = (slot + 1) & bits) {
        struct marked *marked = &marks->list[(index->slots[slot] & bits) - 1];

        if (((index->slots[slot] ^ (uint32_t)hash) & ~bits) == 0 && marked->entry == entry
            && marked->mark.number == number) {
            return marked;
        }
    }
    return NULL;
}

static struct marked *marked_find(const struct marks *marks, const struct entry *entry,
                                  uint64_t number, uint64_t hash)
{
    struct marked *found = NULL;

    if (marks->index == NULL) {
        for (uint32_t i = marks->first; i < marks->last; i++) {
            if (marks->list[i].entry == entry && marks->list[i].mark.number == number) {
                return &marks->list[i];
            }
        }
        return NULL;
    }
    found = index_find(marks, marks->index, entry, number, hash);
    if (found == NULL && marks->index->before != NULL) {
        found = index_find(marks, marks->index->before, entry, number, hash);
    }
    return found;
}

/* Enter so many more of the positions that the index before has; the last ones end it. */
static void index_enter(struct marks *marks, struct mem *mem, uint32_t count)
{
    struct marks_index *index = marks->index;
    const uint32_t end = marks->room / 2;

    for (; count > 0 && index->entered < end; count--) {
        const struct marked *marked = &marks->list[index->entered];

        if (marked->entry != NULL) {
            index_put(index, marked_hash(marked->entry, marked->mark.number), index->entered);
        }
        index->entered++;
    }
    if (index->entered == end) {
        index_free(index->before, mem);
        index->before = NULL;
    }
}

/* Close the holes and make the index anew. */
static void list_pack(struct marks *marks, struct mem *mem)
{
    struct marks_index *index = marks->index;
    uint32_t to = 0;

    if (index != NULL) {
        index_free(index->before, mem);
        index->before = NULL;
        memset(index->slots, 0, index->count * sizeof index->slots[0]);
    }
    for (uint32_t i = marks->first; i < marks->last; i++) {
        const struct marked *marked = &marks->list[i];

        if (marked->entry == NULL) {
            continue;
        }
        if (index != NULL) {
            index_put(index, marked_hash(marked->entry, marked->mark.number), to);
        }
        marks->list[to++] = *marked;
    }
    assert(to == marks->count);
    marks->first = 0;
    marks->last = to;
}

/* Make room for one more at the end. The index is had before the list is moved, so that a failure
 * of either leaves all as it was. */
static bool list_grow(struct marks *marks, struct mem *mem)
{
    const uint32_t room = marks->room == 0 ? ROOM_FIRST : marks->room * 2;
    struct marks_index *index = NULL;
    struct marked *list;

    if (marks->count <= marks->room / 2 && marks->room > 0) {
        list_pack(marks, mem);
        return true;
    }
    if (marks->room > UINT32_MAX / (4 * INDEX_SLOTS)) {
        return false;
    }
    if (room >= ROOM_INDEXED) {
        index = mem_alloc_zeroed(mem, index_bytes(room * INDEX_SLOTS));
        if (index == NULL) {
            return false;
        }
        index->count = room * INDEX_SLOTS;
    }
    list = mem_grow(mem, marks->list, list_bytes(marks->room), list_bytes(room));
    if (list == NULL) {
        index_free(index, mem);
        return false;
    }
    marks->list = list;
    marks->room = room;
    if (index != NULL) {
        index->before = marks->index;
        index->entered = marks->first;
        marks->index = index;
        index_enter(marks, mem, index->before == NULL ? room : INDEX_ENTERED);
    }
    return true;
}

/* A mark left the set: skip holes in front; when it was the last one, begin anew. */
static void marked_left(struct marks *marks, struct mem *mem, struct marked *marked)
{
    marked->entry = NULL;
    marks->count--;
    while (marks->first < marks->last && marks->list[marks->first].entry == NULL) {
        marks->first++;
    }
    if (marks->count > 0) {
        return;
    }
    if (marks->room > ROOM_KEPT) {
        marks_clear(marks, mem);
        return;
    }
    list_pack(marks, mem);
}

void marks_clear(struct marks *marks, struct mem *mem)
{
    mem_free(mem, marks->list, list_bytes(marks->room));
    index_free(marks->index, mem);
    *marks = (struct marks){ 0 };
}

bool marks_add(struct marks *marks, struct mem *mem, struct entry *entry, const struct mark *mark)
{
    const uint64_t hash = marked_hash(entry, mark->number);
    struct marked *marked;

    assert(entry != NULL);
    if (mark_empty(mark)) {
        return true;
    }
    marked = marked_find(marks, entry, mark->number, hash);
    if (marked != NULL) {
        mark_or(&marked->mark, mark);
        return true;
    }
    if (marks->last == marks->room && !list_grow(marks, mem)) {
        return false;
    }
    marks->list[marks->last] = (struct marked){ .entry = entry, .mark = *mark };
    if (marks->index != NULL) {
        index_put(marks->index, hash, marks->last);
        if (marks->index->before != NULL) {
            index_enter(marks, mem, INDEX_ENTERED);
        }
    }
    marks->last++;
    marks->count++;
    return true;
}

void marks_expect(const struct marks *marks, const struct entry *entry, uint64_t number)
{
    const struct marks_index *index = marks->index;

    if (index != NULL) {
        __builtin_prefetch(&index->slots[slot_first(index, marked_hash(entry, number))]);
    }
}

bool marks_add_all(struct marks *marks, struct mem *mem, const struct marks *from)
{
    for (uint32_t i = from->first; i < from->last; i++) {
        const struct marked *marked = &from->list[i];

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

const struct marked *marks_first(const struct marks *marks)
{
    return marks->count == 0 ? NULL : &marks->list[marks->first];
}

struct marked marks_take(struct marks *marks, struct mem *mem)
{
    struct marked *first = &marks->list[marks->first];
    const struct marked taken = *first;

    assert(marks->count > 0);
    marked_left(marks, mem, first);
    return taken;
}

void marks_remove(struct marks *marks, struct mem *mem, struct entry *entry,
                  const struct mark *bits)
{
    struct marked *marked =
        marked_find(marks, entry, bits->number, marked_hash(entry, bits->number));

    if (marked == NULL) {
        return;
    }
    mark_and_not(&marked->mark, bits);
    if (mark_empty(&marked->mark)) {
        marked_left(marks, mem, marked);
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

    for (uint32_t i = marks->first; i < marks->last && i - marks->first < WINDOW && count < room;
         i++) {
        const struct marked *marked = &marks->list[i];

        if (marked->entry == oldest->entry && marked->mark.number >= oldest->mark.number) {
            window_insert(window, count, &marked->mark);
            count++;
        }
    }
    return count;
}

void marks_drop(struct marks *marks, struct mem *mem, const struct entry *entry)
{
    const uint32_t last = marks->last;

    /* marked_left() gives the list back with the last mark: count says when to stop. */
    for (uint32_t i = marks->first; i < last && marks->count > 0; i++) {
        if (marks->list[i].entry == entry) {
            marked_left(marks, mem, &marks->list[i]);
        }
    }
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

/* Put the oldest mark, and those after it that continue the same vector, as one item. Returns how
 * many marks it took from; *all says whether the datagram has room for another item. */
static size_t item_put_marks(struct marks *marks, struct mem *mem, struct writer *writer,
                             struct marks *carried, bool *all)
{
    struct entry *entry = marks->list[marks->first].entry;
    uint64_t number = 0;
    size_t count = 0;

    *all = writer_begin_item(writer, entry_key(entry), false);
    if (!*all) {
        return 0;
    }
    while (*all && marks->count > 0) {
        const struct marked *marked = &marks->list[marks->first];
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
        /* Without memory to remember it, it has left all the same: anti-entropy has the rest. */
        if (carried != NULL && !marks_add(carried, mem, entry, &taken)) {
            carried = NULL;
        }
        marks_remove(marks, mem, entry, &taken);
    }
    writer_end_item(writer);
    return count;
}

size_t marks_put_items(struct marks *marks, struct mem *mem, struct writer *writer,
                       struct marks *carried)
{
    size_t count = 0;
    bool all = true;

    while (all && marks->count > 0) {
        count += item_put_marks(marks, mem, writer, carried, &all);
    }
    return count;
}

void marks_audit(const struct marks *marks)
{
    uint32_t count = 0;

    assert(marks->first <= marks->last && marks->last <= marks->room);
    assert((marks->index == NULL) == (marks->room < ROOM_INDEXED));
    assert(marks->index == NULL || marks->index->count == marks->room * INDEX_SLOTS);
    for (uint32_t i = marks->first; i < marks->last; i++) {
        const struct marked *marked = &marks->list[i];

        if (marked->entry == NULL) {
            continue;
        }
        count++;
        assert(!mark_empty(&marked->mark));
        assert(marked_find(marks, marked->entry, marked->mark.number,
                           marked_hash(marked->entry, marked->mark.number))
               == marked);
    }
    assert(count == marks->count);
    assert(count == 0 || marks->list[marks->first].entry != NULL);
}
