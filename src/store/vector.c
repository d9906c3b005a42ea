#include "store/vector.h"

#include "base/search.h"
#include "store/merge.h"
#include "store/parts.h"
#include "store/run.h"

#include <assert.h>
#include <string.h>

#define BLOCK_NUMBER_MAX   ((UINT64_C(1) << 56) - 1)
#define DIRECTORY_ROWS_MIN 4

enum form { FORM_INLINED, FORM_RUN, FORM_DIRECTORY };

const struct vector vector_one = {
    .inlined = { .elements = { 0x01, 1 }, .count = 1, .form = FORM_INLINED }
};

/* The runs of a long vector. A run's first number bounds what is put into it, so that a block is
 * always found in the last run whose number is not above its own. */
struct directory_row {
    uint64_t number; /* of the first block; 0 in the first row */
    struct vector_run *run;
    uint64_t before; /* blocks in the rows before; after row `lag_row`, less `lag` */
};

struct directory {
    uint64_t blocks;
    uint64_t run_bytes; /* of all the runs */
    size_t count;
    size_t capacity;
    size_t lag_row;
    uint64_t lag;
    struct directory_row rows[];
};

/* Where a block is, or would be put. */
struct place {
    struct vector_run *run;
    size_t row;
    unsigned slot;
    bool found;
};

/* One merge, before anything is written. */
struct join {
    const struct block *theirs;
    struct run_block ours;
    struct run_block joined; /* what it becomes; the view has the number alone */
    struct merge_plan plan;
    uint64_t delta;
};

static size_t directory_bytes(size_t rows)
{
    return sizeof(struct directory) + rows * sizeof(struct directory_row);
}

static uint64_t row_before(const struct directory *directory, size_t row)
{
    return directory->rows[row].before + (row > directory->lag_row ? directory->lag : 0);
}

/* Have the lag begin behind another row. What a block is counted by costs so no more than the way
 * from the last one's row: blocks mostly come in order. All is mod 2^64. */
static void lag_move(struct directory *directory, size_t row)
{
    for (; directory->lag_row < row; directory->lag_row++) {
        directory->rows[directory->lag_row + 1].before += directory->lag;
    }
    for (; directory->lag_row > row; directory->lag_row--) {
        directory->rows[directory->lag_row].before -= directory->lag;
    }
}

/* The last row whose number is <= number. */
static size_t directory_seek(const struct directory *directory, uint64_t number)
{
    size_t from = 1;
    size_t to = directory->count;

    SEARCH_FIRST(from, to, at, directory->rows[at].number <= number);
    return from - 1;
}

static inline struct place place_find(const struct vector *vector, uint64_t number)
{
    struct place place = { .run = vector->heap.at.run };

    if (vector->heap.form == FORM_DIRECTORY) {
        place.row = directory_seek(vector->heap.at.directory, number);
        place.run = vector->heap.at.directory->rows[place.row].run;
    }
    place.slot = run_seek(place.run, number);
    place.found = place.slot < place.run->count && run_number(place.run, place.slot) == number;
    return place;
}

/* Make room for one more row, making the directory when there is none. */
static enum status directory_reserve(struct vector *vector, struct mem *mem)
{
    struct directory *directory = vector->heap.at.directory;
    size_t rows;

    if (vector->heap.form == FORM_RUN) {
        struct vector_run *run = vector->heap.at.run;

        directory = mem_alloc(mem, directory_bytes(DIRECTORY_ROWS_MIN));
        if (directory == NULL) {
            return STATUS_MEMORY;
        }
        *directory = (struct directory){
            .blocks = run->count,
            .run_bytes = run_bytes(run),
            .count = 1,
            .capacity = DIRECTORY_ROWS_MIN,
        };
        directory->rows[0] = (struct directory_row){ .run = run };
        vector->heap.at.directory = directory;
        vector->heap.form = FORM_DIRECTORY;
        return STATUS_OK;
    }
    if (directory->count < directory->capacity) {
        return STATUS_OK;
    }
    rows = directory->capacity + directory->capacity / 2;
    directory =
        mem_grow(mem, directory, directory_bytes(directory->capacity), directory_bytes(rows));
    if (directory == NULL) {
        return STATUS_MEMORY;
    }
    directory->capacity = rows;
    vector->heap.at.directory = directory;
    return STATUS_OK;
}

/* The run of a place was given another capacity, and perhaps another address. */
static void place_moved(struct vector *vector, struct place *place, struct vector_run *run,
                        size_t bytes_before)
{
    place->run = run;
    if (vector->heap.form == FORM_RUN) {
        vector->heap.at.run = run;
        return;
    }
    vector->heap.at.directory->rows[place->row].run = run;
    vector->heap.at.directory->run_bytes += run_bytes(run) - bytes_before;
}

/* Where to cut a run that has become too long: in the middle, by bytes, or, when blocks come in
 * order, behind its last block, so that runs filled in order are full. */
static unsigned split_slot(const struct vector *vector, const struct place *place)
{
    const struct vector_run *run = place->run;
    const size_t half = run_units_needed(run->used, run->count) * RUN_UNIT_BYTES / 2;
    const bool last =
        vector->heap.form == FORM_RUN || place->row + 1 == vector->heap.at.directory->count;
    unsigned slot = 1;

    assert(run->count >= 2);
    if (last && place->slot == run->count) {
        return run->count;
    }
    while (slot + 1U < run->count
           && run_unit(run, slot) * (size_t)RUN_UNIT_BYTES + slot * (size_t)RUN_SLOT_BYTES < half) {
        slot++;
    }
    return slot;
}

/* A block has come into a row. Not inline: most merges are into vectors without a directory. */
__attribute__((noinline)) static void directory_count(struct directory *directory, size_t row)
{
    directory->blocks++;
    lag_move(directory, row);
    directory->lag++;
}

/* Insert a row behind one that has so many blocks. */
static void directory_insert(struct directory *directory, size_t row, struct vector_run *run,
                             uint64_t number, uint64_t blocks)
{
    const uint64_t before = row_before(directory, row) + blocks;

    assert(directory->count < directory->capacity);
    lag_move(directory, row);
    row++;
    memmove(directory->rows + row + 1, directory->rows + row,
            (directory->count - row) * sizeof *directory->rows);
    directory->rows[row] = (struct directory_row){ number, run, before - directory->lag };
    directory->run_bytes += run_bytes(run);
    directory->count++;
}

/* Cut the run of a place in two, so that the one the place is then in has the room. */
static enum status place_split(struct vector *vector, struct mem *mem, struct place *place,
                               uint64_t number, size_t more_units)
{
    const unsigned more_count = place->found ? 0 : 1;
    const unsigned slot = split_slot(vector, place);
    const bool above = place->slot >= slot;
    const size_t used = run_unit(place->run, slot);
    const size_t upper_units =
        run_units_needed(place->run->used - used + (above ? more_units : 0),
                         place->run->count - slot + (above ? more_count : 0));
    const size_t lower_units = run_units_rounded(
        run_units_needed(used + (above ? 0 : more_units), slot + (above ? 0 : more_count)));
    const size_t bytes_before = run_bytes(place->run);
    const uint64_t first =
        above && !place->found && place->slot == slot ? number : run_number(place->run, slot);
    struct vector_run *upper = run_create(mem, run_units_rounded(upper_units));

    if (upper == NULL) {
        return STATUS_MEMORY;
    }
    if (directory_reserve(vector, mem) != STATUS_OK) {
        run_free(upper, mem);
        return STATUS_MEMORY;
    }
    run_split(place->run, slot, upper);
    if (lower_units < place->run->capacity) {
        struct vector_run *lower = run_resize(place->run, mem, lower_units);

        if (lower != NULL) { /* otherwise it keeps what it has */
            place_moved(vector, place, lower, bytes_before);
        }
    }
    directory_insert(vector->heap.at.directory, place->row, upper, first, slot);
    if (above) {
        place->run = upper;
        place->row++;
        place->slot -= slot;
    }
    return STATUS_OK;
}

/* Make sure that the run of a place can take so much more. The place may become another. */
static enum status place_reserve(struct vector *vector, struct mem *mem, struct place *place,
                                 uint64_t number, size_t more_units)
{
    const unsigned more_count = place->found ? 0 : 1;
    const size_t needed =
        run_units_needed(place->run->used + more_units, place->run->count + more_count);
    const size_t bytes_before = run_bytes(place->run);
    struct vector_run *run;

    if (needed <= place->run->capacity) {
        return STATUS_OK;
    }
    if (needed > RUN_UNITS_MAX) {
        return place_split(vector, mem, place, number, more_units);
    }
    run = run_resize(place->run, mem, run_units_rounded(needed));
    if (run == NULL) {
        return STATUS_MEMORY;
    }
    place_moved(vector, place, run, bytes_before);
    return STATUS_OK;
}

static bool join_raises(const struct join *join)
{
    const uint64_t *bits = join->plan.raised.bits;

    return (bits[0] | bits[1] | bits[2] | bits[3]) != 0;
}

static void join_prepare(struct join *join, uint64_t salt, bool with_digest)
{
    const unsigned class_before = join->ours.class;
    unsigned class;

    merge_compare(&join->ours.view, join->theirs, &join->plan);
    join->delta = 0;
    if (!join_raises(join)) {
        return;
    }
    class = run_class(join->plan.raised_bits);
    join->joined = (struct run_block){
        .view.number = join->theirs->number,
        .class = class > class_before ? class : class_before,
        .count = join->ours.count + join->plan.fresh_count,
    };
    if (with_digest) {
        join->delta = merge_digest_delta(&join->ours.view, join->theirs, &join->plan.raised, salt);
    }
}

/* The block keeps its place and its form: values are only written over. */
static bool join_in_place(const struct join *join)
{
    return join->ours.count > 0 && join->joined.class == join->ours.class
           && (join->plan.fresh_count == 0 || join->ours.view.offsets == NULL);
}

static enum status heap_apply(struct vector *vector, struct mem *mem, struct place *place,
                              const struct join *join)
{
    uint64_t payload[BLOCK_ELEMENTS];
    size_t more_units;

    if (join_in_place(join)) {
        run_raise(place->run, place->slot, join->theirs, &join->plan.raised,
                  join->plan.fresh_count);
        return STATUS_OK;
    }
    more_units = run_block_units(join->joined.class, join->joined.count)
                 - run_block_units(join->ours.class, join->ours.count);
    run_pack_joined(&join->joined, &join->ours, join->theirs, payload);
    if (place_reserve(vector, mem, place, join->theirs->number, more_units) != STATUS_OK) {
        return STATUS_MEMORY;
    }
    if (place->found) {
        run_replace(place->run, place->slot, &join->joined, payload);
        return STATUS_OK;
    }
    run_insert(place->run, place->slot, &join->joined, payload);
    if (vector->heap.form == FORM_DIRECTORY) {
        directory_count(vector->heap.at.directory, place->row);
    }
    return STATUS_OK;
}

/* Both dense in the same width: joined in place, at once where they are of bytes or nobody asks
 * what rose. False: it takes more than that. */
static inline bool heap_join(struct vector *vector, const struct block *theirs, uint64_t salt,
                             struct merge_result *result)
{
    const bool bytes = theirs->width == 1;
    struct place place;
    unsigned fresh_count;

    if (vector->heap.form == FORM_INLINED || theirs->offsets != NULL || theirs->width == 0
        || (result != NULL && !bytes)) {
        return false;
    }
    place = place_find(vector, theirs->number);
    if (!place.found || !run_is_dense(place.run, place.slot, theirs->width)) {
        return false;
    }
    if (result == NULL) {
        vector->heap.size += run_max(place.run, place.slot, theirs);
        return true;
    }
    fresh_count = merge_bytes(run_values(place.run, place.slot), theirs, salt, result);
    if (fresh_count > 0) {
        run_count(place.run, place.slot, fresh_count);
        vector->heap.size += fresh_count;
    }
    return true;
}

static enum status heap_merge(struct vector *vector, struct mem *mem, struct join *join,
                              uint64_t salt, bool with_digest)
{
    struct place place = place_find(vector, join->theirs->number);

    if (place.found) {
        run_block_at(place.run, place.slot, &join->ours);
    } else {
        join->ours = (struct run_block){ 0 };
    }
    join_prepare(join, salt, with_digest);
    if (!join_raises(join)) {
        return STATUS_OK;
    }
    if (heap_apply(vector, mem, &place, join) != STATUS_OK) {
        return STATUS_MEMORY;
    }
    vector->heap.size += join->plan.fresh_count;
    return STATUS_OK;
}

/* The last row that has no more than `position` blocks before it. */
static size_t directory_row_at(const struct directory *directory, uint64_t position)
{
    size_t from = 1;
    size_t to = directory->count;

    SEARCH_FIRST(from, to, at, row_before(directory, at) <= position);
    return from - 1;
}

/* The run that has the block at a position, which becomes the position within it. */
static const struct vector_run *heap_run(const struct vector *vector, size_t *position)
{
    const struct directory *directory = vector->heap.at.directory;
    size_t row;

    if (vector->heap.form == FORM_RUN) {
        return vector->heap.at.run;
    }
    row = directory_row_at(directory, *position);
    *position -= (size_t)row_before(directory, row);
    return directory->rows[row].run;
}

/* Blocks from a position on that are full on both sides and follow each other on both, joined at a
 * stroke. Returns how many. */
static size_t heap_join_stretch(struct vector *vector, const struct vector *more, size_t position)
{
    const struct vector_run *theirs = heap_run(more, &position);
    const struct place place = place_find(vector, run_number(theirs, (unsigned)position));

    return place.found ? run_max_stretch(place.run, place.slot, theirs, (unsigned)position) : 0;
}

/* What was inlined outgrows the struct: put it, with the joined block, into a first run. */
static enum status inlined_spill(struct vector *vector, struct mem *mem, struct parts *parts,
                                 const struct join *join)
{
    const unsigned at = parts_seek(parts, join->theirs->number);
    struct block_room room;
    uint64_t payload[BLOCK_ELEMENTS];
    size_t used = 0;
    struct vector_run *run;

    if (join->ours.count == 0) {
        memmove(parts->blocks + at + 1, parts->blocks + at,
                (parts->count - at) * sizeof parts->blocks[0]);
        parts->count++;
    }
    parts->blocks[at] = join->joined;
    parts->blocks[at].view =
        join->ours.count == 0 ? *join->theirs : merge_union(&join->ours.view, join->theirs, &room);
    for (unsigned i = 0; i < parts->count; i++) {
        used += run_block_units(parts->blocks[i].class, parts->blocks[i].count);
    }
    run = run_create(mem, run_units_rounded(run_units_needed(used, parts->count)));
    if (run == NULL) {
        return STATUS_MEMORY;
    }
    for (unsigned i = 0; i < parts->count; i++) {
        run_pack(&parts->blocks[i], payload);
        run_insert(run, i, &parts->blocks[i], payload);
    }
    vector->heap.size = vector->inlined.count + (uint64_t)join->plan.fresh_count;
    vector->heap.at.run = run;
    vector->heap.form = FORM_RUN;
    return STATUS_OK;
}

/* The elements after the join, when they are so few that they could be inlined; 0 otherwise. */
static unsigned inlined_join(const struct inlined_element *before, unsigned count_before,
                             const struct join *join,
                             struct inlined_element after[INLINED_ELEMENTS_MAX])
{
    const uint64_t number = join->theirs->number;
    struct block_room room;
    struct block block;
    unsigned count = 0;
    unsigned i = 0;

    if (count_before + join->plan.fresh_count > INLINED_ELEMENTS_MAX) {
        return 0;
    }
    block = merge_union(&join->ours.view, join->theirs, &room);
    for (; i < count_before && before[i].index >> 8 < number; i++) {
        after[count++] = before[i];
    }
    for (unsigned j = 0; j < block.count; j++) {
        after[count++] = (struct inlined_element){ number << 8 | room.offsets[j], room.values[j] };
    }
    for (i += join->ours.count; i < count_before; i++) {
        after[count++] = before[i];
    }
    assert(count == count_before + join->plan.fresh_count);
    return inlined_fits(after, count) ? count : 0;
}

/* A few elements where there was nothing: how keys and scratch vectors begin. False: not so. */
static bool inlined_begin(struct vector *vector, const struct block *block, uint64_t salt,
                          struct merge_result *result)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    struct mark raised = { .number = block->number };

    if (vector->heap.form != FORM_INLINED || vector->inlined.count > 0 || block->offsets == NULL
        || block->count > INLINED_ELEMENTS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < block->count; i++) {
        elements[i].index = block->number << 8 | block->offsets[i];
        elements[i].value = merge_load(block->values, block->width, i);
        if (elements[i].value == 0) {
            return false;
        }
        mark_set(&raised, block->offsets[i]);
    }
    if (!inlined_fits(elements, block->count)) {
        return false;
    }
    inlined_write(&vector->inlined, elements, block->count);
    if (result != NULL) {
        *result = (struct merge_result){
            .raised = raised,
            .larger = { .number = block->number },
            .digest_delta = merge_digest(block, salt),
        };
    }
    return true;
}

static enum status inlined_merge(struct vector *vector, struct mem *mem, struct join *join,
                                 uint64_t salt, bool with_digest)
{
    struct inlined_element before[INLINED_ELEMENTS_MAX];
    struct inlined_element after[INLINED_ELEMENTS_MAX];
    const unsigned count_before = inlined_read(&vector->inlined, before);
    struct parts parts;
    unsigned count;

    parts_make(&parts, before, count_before);
    join->ours = parts_find(&parts, join->theirs->number);
    join_prepare(join, salt, with_digest);
    if (!join_raises(join)) {
        return STATUS_OK;
    }
    count = inlined_join(before, count_before, join, after);
    if (count > 0) {
        inlined_write(&vector->inlined, after, count);
        return STATUS_OK;
    }
    return inlined_spill(vector, mem, &parts, join);
}

/* Whatever the two look like. Not inline: its frame is large, and most calls do without it. */
__attribute__((noinline)) static enum status any_merge(struct vector *vector, struct mem *mem,
                                                       const struct block *block, uint64_t salt,
                                                       struct merge_result *result)
{
    struct join join;
    enum status status;

    join.theirs = block;
    if (vector->heap.form == FORM_INLINED) {
        status = inlined_merge(vector, mem, &join, salt, result != NULL);
    } else {
        status = heap_merge(vector, mem, &join, salt, result != NULL);
    }
    if (status == STATUS_OK && result != NULL) {
        result->raised = join.plan.raised;
        result->larger = join.plan.larger;
        result->digest_delta = join.delta;
    }
    return status;
}

void vector_init(struct vector *vector)
{
    memset(vector, 0, sizeof *vector);
    vector->inlined.form = FORM_INLINED;
}

void vector_clear(struct vector *vector, struct mem *mem)
{
    if (vector->heap.form == FORM_RUN) {
        run_free(vector->heap.at.run, mem);
    } else if (vector->heap.form == FORM_DIRECTORY) {
        struct directory *directory = vector->heap.at.directory;

        for (size_t row = 0; row < directory->count; row++) {
            run_free(directory->rows[row].run, mem);
        }
        mem_free(mem, directory, directory_bytes(directory->capacity));
    }
    vector_init(vector);
}

uint64_t vector_get(const struct vector *vector, uint64_t index)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    unsigned count;

    if (vector->heap.form != FORM_INLINED) {
        const struct place place = place_find(vector, index >> 8);
        struct block block;

        if (!place.found) {
            return 0;
        }
        block = run_view(place.run, place.slot);
        return block_get(&block, index & 0xff);
    }
    count = inlined_read(&vector->inlined, elements);
    for (unsigned i = 0; i < count; i++) {
        if (elements[i].index == index) {
            return elements[i].value;
        }
    }
    return 0;
}

enum status vector_merge(struct vector *vector, struct mem *mem, const struct block *block,
                         uint64_t salt, struct merge_result *result)
{
    assert(block->number <= BLOCK_NUMBER_MAX);
    assert(block->count >= 1);
    assert(block->count <= BLOCK_ELEMENTS);
    assert(block->offsets != NULL || block->count == BLOCK_ELEMENTS);
    if (heap_join(vector, block, salt, result) || inlined_begin(vector, block, salt, result)) {
        return STATUS_OK;
    }
    if (vector->heap.form == FORM_INLINED && block->count == 1
        && inlined_join_one(&vector->inlined, block->number << 8 | block->offsets[0],
                            merge_load(block->values, block->width, 0), salt, result)) {
        return STATUS_OK;
    }
    return any_merge(vector, mem, block, salt, result);
}

enum status vector_join(struct vector *vector, struct mem *mem, const struct vector *more)
{
    const size_t blocks = vector_blocks(more);
    struct block_room room;

    for (size_t i = 0; i < blocks; i++) {
        struct block block;

        if (vector->heap.form != FORM_INLINED && more->heap.form != FORM_INLINED) {
            i += heap_join_stretch(vector, more, i);
            if (i == blocks) {
                return STATUS_OK;
            }
        }
        block = vector_block(more, i, &room);
        if (vector_merge(vector, mem, &block, 0, NULL) != STATUS_OK) {
            return STATUS_MEMORY;
        }
    }
    return STATUS_OK;
}

/* Elements from `from` on that lie in the same block. */
static unsigned inlined_block_end(const struct inlined_element *elements, unsigned count,
                                  unsigned from)
{
    unsigned to = from;

    while (to < count && elements[to].index >> 8 == elements[from].index >> 8) {
        to++;
    }
    return to;
}

size_t vector_blocks(const struct vector *vector)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    unsigned count;
    size_t blocks = 0;

    switch (vector->heap.form) {
    case FORM_RUN: return vector->heap.at.run->count;
    case FORM_DIRECTORY: return (size_t)vector->heap.at.directory->blocks;
    default: break;
    }
    if (vector->inlined.count < 2) {
        return vector->inlined.count;
    }
    count = inlined_read(&vector->inlined, elements);
    for (unsigned i = 0; i < count; i = inlined_block_end(elements, count, i)) {
        blocks++;
    }
    return blocks;
}

struct block vector_block(const struct vector *vector, size_t position, struct block_room *room)
{
    struct inlined_element elements[INLINED_ELEMENTS_MAX];
    unsigned count;
    unsigned first = 0;
    unsigned end;

    if (vector->heap.form != FORM_INLINED) {
        const struct vector_run *run = heap_run(vector, &position);

        assert(position < run->count);
        return run_view(run, (unsigned)position);
    }
    count = inlined_read(&vector->inlined, elements);
    for (; position > 0; position--) {
        first = inlined_block_end(elements, count, first);
    }
    assert(first < count);
    end = inlined_block_end(elements, count, first);
    for (unsigned i = first; i < end; i++) {
        room->values[i - first] = elements[i].value;
        room->offsets[i - first] = (uint8_t)elements[i].index;
    }
    return (struct block){ .number = elements[first].index >> 8,
                           .values = room->values,
                           .offsets = room->offsets,
                           .count = (uint16_t)(end - first),
                           .width = 8 };
}

size_t vector_seek(const struct vector *vector, uint64_t number)
{
    struct place place;
    struct parts parts;

    if (vector->heap.form == FORM_INLINED) {
        parts_of(&vector->inlined, &parts);
        return parts_seek(&parts, number);
    }
    if (number > BLOCK_NUMBER_MAX) {
        return vector_blocks(vector);
    }
    place = place_find(vector, number);
    if (vector->heap.form == FORM_RUN) {
        return place.slot;
    }
    return (size_t)row_before(vector->heap.at.directory, place.row) + place.slot;
}

uint64_t vector_size(const struct vector *vector)
{
    return vector->heap.form == FORM_INLINED ? vector->inlined.count : vector->heap.size;
}

uint64_t vector_heap_bytes(const struct vector *vector)
{
    switch (vector->heap.form) {
    case FORM_RUN: return run_bytes(vector->heap.at.run);
    case FORM_DIRECTORY:
        return vector->heap.at.directory->run_bytes
               + directory_bytes(vector->heap.at.directory->capacity);
    default: return 0;
    }
}

uint64_t vector_digest(const struct vector *vector, uint64_t salt)
{
    const size_t blocks = vector_blocks(vector);
    struct block_room room;
    uint64_t sum = 0;

    for (size_t i = 0; i < blocks; i++) {
        const struct block block = vector_block(vector, i, &room);

        sum += merge_digest(&block, salt);
    }
    return sum;
}

uint64_t vector_block_digest(const struct vector *vector, uint64_t number, uint64_t salt)
{
    const size_t position = vector_seek(vector, number);
    struct block_room room;
    struct block block;

    if (position == vector_blocks(vector)) {
        return 0;
    }
    block = vector_block(vector, position, &room);
    return block.number == number ? merge_digest(&block, salt) : 0;
}

static void directory_audit(const struct directory *directory, uint64_t size)
{
    uint64_t elements = 0;
    uint64_t blocks = 0;
    uint64_t bytes = 0;

    assert(directory->count >= 2);
    assert(directory->count <= directory->capacity);
    assert(directory->lag_row < directory->count);
    for (size_t i = 0; i < directory->count; i++) {
        const struct directory_row *row = &directory->rows[i];

        assert(row_before(directory, i) == blocks);
        elements += run_audit(row->run);
        blocks += row->run->count;
        bytes += run_bytes(row->run);
        assert(run_number(row->run, 0) >= row->number);
        assert(i == 0 || run_number(row[-1].run, row[-1].run->count - 1U) < row->number);
    }
    assert(directory->blocks == blocks);
    assert(directory->run_bytes == bytes);
    assert(size == elements);
}

void vector_audit(const struct vector *vector)
{
    switch (vector->heap.form) {
    case FORM_INLINED: inlined_audit(&vector->inlined); break;
    case FORM_RUN: assert(run_audit(vector->heap.at.run) == vector->heap.size); break;
    default:
        assert(vector->heap.form == FORM_DIRECTORY);
        directory_audit(vector->heap.at.directory, vector->heap.size);
        break;
    }
}
