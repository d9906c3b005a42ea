#include "node/marks.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

#define ROOM_FIRST   1   /* most keys that wait for a plain peer have one mark */
#define ROOM_INDEXED 16  /* a list of at least this room has an index; below, a walk is quicker */
#define ROOM_KEPT    64  /* an emptied set keeps a list up to this long for the next marks */
#define WINDOW       256 /* positions looked at for one datagram's marks */

static size_t list_bytes(uint32_t room)
{
    return room * sizeof(struct marked);
}

static size_t index_bytes(uint32_t index_room)
{
    return index_room * sizeof(uint32_t);
}

/* Where an entry's block begins to be looked for. The pointer decides only where in the index it
 * lies, never in which order anything leaves. */
static uint32_t slot_first(const struct marks *marks, const struct entry *entry, uint64_t number)
{
    return (uint32_t)hash_mix((uintptr_t)entry, number) & (marks->index_room - 1);
}

/* A position + 1, or 0 when the slot was never used. A position whose mark was taken out stays in
 * the index and is passed over: positions are not used again before the list is packed, which
 * makes the index anew. At least half of the slots so are always free. */
static void index_put(struct marks *marks, uint32_t position)
{
    const struct marked *marked = &marks->list[position];
    uint32_t slot = slot_first(marks, marked->entry, marked->mark.number);

    while (marks->index[slot] != 0) {
        slot = (slot + 1) & (marks->index_room - 1);
    }
    marks->index[slot] = position + 1;
}

static struct marked *marked_find(const struct marks *marks, const struct entry *entry,
                                  uint64_t number)
{
    if (marks->index == NULL) {
        for (uint32_t i = marks->first; i < marks->last; i++) {
            if (marks->list[i].entry == entry && marks->list[i].mark.number == number) {
                return &marks->list[i];
            }
        }
        return NULL;
    }
    for (uint32_t slot = slot_first(marks, entry, number); marks->index[slot] != 0;
         slot = (slot + 1) & (marks->index_room - 1)) {
        struct marked *marked = &marks->list[marks->index[slot] - 1];

        if (marked->entry == entry && marked->mark.number == number) {
            return marked;
        }
    }
    return NULL;
}

/* Close the holes and make the index anew. */
static void list_pack(struct marks *marks)
{
    uint32_t to = 0;

    for (uint32_t i = marks->first; i < marks->last; i++) {
        if (marks->list[i].entry != NULL) {
            marks->list[to++] = marks->list[i];
        }
    }
    assert(to == marks->count);
    marks->first = 0;
    marks->last = to;
    if (marks->index != NULL) {
        memset(marks->index, 0, index_bytes(marks->index_room));
        for (uint32_t i = 0; i < to; i++) {
            index_put(marks, i);
        }
    }
}

/* Make room for one more at the end. The index is had before the list is moved, so that a failure
 * of either leaves all as it was. */
static bool list_grow(struct marks *marks, struct mem *mem)
{
    const uint32_t room = marks->room == 0 ? ROOM_FIRST : marks->room * 2;
    const uint32_t index_room = room < ROOM_INDEXED ? 0 : room * 2;
    uint32_t *index = NULL;
    struct marked *list;

    if (marks->count <= marks->room / 2 && marks->room > 0) {
        list_pack(marks);
        return true;
    }
    if (marks->room > UINT32_MAX / 4) {
        return false;
    }
    if (index_room > 0) {
        index = mem_alloc(mem, index_bytes(index_room));
        if (index == NULL) {
            return false;
        }
    }
    list = mem_grow(mem, marks->list, list_bytes(marks->room), list_bytes(room));
    if (list == NULL) {
        mem_free(mem, index, index_bytes(index_room));
        return false;
    }
    mem_free(mem, marks->index, index_bytes(marks->index_room));
    marks->list = list;
    marks->room = room;
    marks->index = index;
    marks->index_room = index_room;
    list_pack(marks);
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
    marks->first = 0;
    marks->last = 0;
    if (marks->index != NULL) {
        memset(marks->index, 0, index_bytes(marks->index_room));
    }
}

void marks_clear(struct marks *marks, struct mem *mem)
{
    mem_free(mem, marks->list, list_bytes(marks->room));
    mem_free(mem, marks->index, index_bytes(marks->index_room));
    *marks = (struct marks){ 0 };
}

bool marks_add(struct marks *marks, struct mem *mem, struct entry *entry, const struct mark *mark)
{
    struct marked *marked;

    assert(entry != NULL);
    if (mark_empty(mark)) {
        return true;
    }
    marked = marked_find(marks, entry, mark->number);
    if (marked != NULL) {
        mark_or(&marked->mark, mark);
        return true;
    }
    if (marks->last == marks->room && !list_grow(marks, mem)) {
        return false;
    }
    marks->list[marks->last] = (struct marked){ .entry = entry, .mark = *mark };
    if (marks->index != NULL) {
        index_put(marks, marks->last);
    }
    marks->last++;
    marks->count++;
    return true;
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
    struct marked *marked = marked_find(marks, entry, bits->number);

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
    assert((marks->index == NULL) == (marks->index_room == 0));
    for (uint32_t i = marks->first; i < marks->last; i++) {
        if (marks->list[i].entry == NULL) {
            continue;
        }
        count++;
        assert(!mark_empty(&marks->list[i].mark));
        assert(marked_find(marks, marks->list[i].entry, marks->list[i].mark.number)
               == &marks->list[i]);
    }
    assert(count == marks->count);
    assert(count == 0 || marks->list[marks->first].entry != NULL);
}
