#include "view/draft.h"

#include "base/deadline.h"
#include "base/hash.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

#define LIST_ROOM_MIN 16
#define SEEN_ROOM_MIN 32
#define SORT_STEP     16384 /* pairs moved a step: well under a millisecond */

void draft_init(struct draft *draft, struct mem *mem, const uint8_t secret[16])
{
    memset(draft, 0, sizeof *draft);
    draft->mem = mem;
    draft->ascending = true;
    memcpy(draft->secret, secret, sizeof draft->secret);
}

static void seen_clear(struct draft *draft)
{
    for (size_t i = 0; i < DRAFT_SEEN_PARTS; i++) {
        struct draft_seen *seen = &draft->seen[i];

        mem_free(draft->mem, seen->slots, seen->room * sizeof *seen->slots);
        *seen = (struct draft_seen){ 0 };
    }
}

void draft_clear(struct draft *draft)
{
    struct mem *mem = draft->mem;

    mem_free(mem, draft->list, draft->list_room * sizeof *draft->list);
    mem_free(mem, draft->spare, draft->spare_room * sizeof *draft->spare);
    seen_clear(draft);
    draft->list = NULL;
    draft->spare = NULL;
    draft->list_room = 0;
    draft->spare_room = 0;
    draft->count = 0;
}

void draft_again(struct draft *draft)
{
    seen_clear(draft);
    draft->is_known = true;
    draft->key_size = 0;
    draft_begin(draft);
}

struct bytes draft_key(const struct draft *draft)
{
    return (struct bytes){ draft->key, draft->key_size };
}

uint32_t draft_generation(const struct draft *draft)
{
    return draft->generation;
}

bool draft_is_deletion(const struct draft *draft, uint64_t *hash_out, uint32_t *deadline_out)
{
    *deadline_out = draft->deadline;
    *hash_out = draft->deleted;
    return draft->is_deletion;
}

size_t draft_count(const struct draft *draft)
{
    return draft->count;
}

/* Elements of value 0 may be named, and so are looked at for duplicates, but say nothing. */
bool draft_next_block(struct draft *draft, struct block_room *room, struct block *block)
{
    size_t i = draft->position;
    uint16_t count = 0;
    uint64_t number = 0;

    for (; i < draft->count; i++) {
        const struct draft_pair *pair = &draft->list[i];

        if (pair->value == 0) {
            continue;
        }
        if (count > 0 && pair->index >> 8 != number) {
            break;
        }
        number = pair->index >> 8;
        room->offsets[count] = (uint8_t)pair->index;
        room->values[count] = pair->value;
        count++;
    }
    if (count == 0) {
        draft->position = 0;
        return false;
    }
    draft->position = i;
    *block = (struct block){ .number = number,
                             .values = room->values,
                             .offsets = room->offsets,
                             .count = count,
                             .width = sizeof room->values[0] };
    return true;
}

const struct draft_problem *draft_problem(const struct draft *draft)
{
    return &draft->problem;
}

void draft_begin(struct draft *draft)
{
    draft->generation = 0;
    draft->is_deletion = false;
    draft->deadline = DEADLINE_NONE;
    draft->count = 0;
    draft->position = 0;
    draft->ascending = true;
    draft->sort = (struct draft_sort){ 0 };
}

static bool list_grow(struct draft *draft)
{
    const size_t size = sizeof *draft->list;
    const size_t room = draft->list_room == 0 ? LIST_ROOM_MIN : 2 * draft->list_room;
    struct draft_pair *list = (struct draft_pair *)mem_grow(draft->mem, draft->list,
                                                            draft->list_room * size, room * size);

    if (list == NULL) {
        return false;
    }
    draft->list = list;
    draft->list_room = room;
    return true;
}

bool draft_add(struct draft *draft, uint64_t index, uint64_t value)
{
    if (draft->count == draft->list_room && !list_grow(draft)) {
        return false;
    }
    if (draft->count > 0 && index <= draft->list[draft->count - 1].index) {
        draft->ascending = false;
    }
    draft->list[draft->count++] = (struct draft_pair){ index, value };
    return true;
}

static bool spare_prepare(struct draft *draft)
{
    struct draft_pair *spare;

    if (draft->spare_room == draft->list_room) {
        return true;
    }
    spare = (struct draft_pair *)mem_alloc(draft->mem, draft->list_room * sizeof *spare);
    if (spare == NULL) {
        return false;
    }
    mem_free(draft->mem, draft->spare, draft->spare_room * sizeof *spare);
    draft->spare = spare;
    draft->spare_room = draft->list_room;
    return true;
}

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Go on to the next two runs, or to the next width. False: the list is sorted. */
static bool sort_next_runs(struct draft *draft)
{
    struct draft_sort *sort = &draft->sort;

    if (sort->out == draft->count) {
        struct draft_pair *swap = draft->list;

        draft->list = draft->spare;
        draft->spare = swap;
        sort->width *= 2;
        sort->out = 0;
    }
    if (sort->width >= draft->count) {
        return false;
    }
    sort->left = sort->out;
    sort->left_end = smaller(sort->left + sort->width, draft->count);
    sort->right = sort->left_end;
    sort->right_end = smaller(sort->right + sort->width, draft->count);
    return true;
}

enum read_event draft_finish(struct draft *draft, uint64_t *index_out)
{
    struct draft_sort *sort = &draft->sort;

    if (draft->ascending) {
        return READ_UPDATE;
    }
    if (!spare_prepare(draft)) {
        return READ_MEMORY;
    }
    if (sort->width == 0) {
        sort->width = 1;
    }
    for (unsigned budget = SORT_STEP; budget > 0; budget--) {
        const struct draft_pair *list = draft->list;

        if (sort->left == sort->left_end && sort->right == sort->right_end) {
            if (!sort_next_runs(draft)) {
                draft->ascending = true;
                return READ_UPDATE;
            }
            continue;
        }
        if (sort->right == sort->right_end
            || (sort->left < sort->left_end && list[sort->left].index < list[sort->right].index)) {
            draft->spare[sort->out++] = list[sort->left++];
            continue;
        }
        if (sort->left < sort->left_end && list[sort->left].index == list[sort->right].index) {
            *index_out = list[sort->left].index;
            return READ_REFUSED;
        }
        draft->spare[sort->out++] = list[sort->right++];
    }
    return READ_BUSY;
}

/* Place of a hash, or of the free slot where it belongs. There is always a free one. */
static uint64_t *seen_slot(const struct draft_seen *seen, uint64_t hash)
{
    size_t at = (size_t)(hash >> 1) & (seen->room - 1);

    while (seen->slots[at] != 0 && seen->slots[at] != hash) {
        at = (at + 1) & (seen->room - 1);
    }
    return &seen->slots[at];
}

static bool seen_grow(struct draft *draft, struct draft_seen *seen)
{
    struct draft_seen larger = { .room = seen->room == 0 ? SEEN_ROOM_MIN : 2 * seen->room,
                                 .count = seen->count };

    larger.slots = (uint64_t *)mem_alloc_zeroed(draft->mem, larger.room * sizeof *larger.slots);
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < seen->room; i++) {
        if (seen->slots[i] != 0) {
            *seen_slot(&larger, seen->slots[i]) = seen->slots[i];
        }
    }
    mem_free(draft->mem, seen->slots, seen->room * sizeof *seen->slots);
    *seen = larger;
    return true;
}

/* The set is in parts, so that the growth of none takes long. */
bool draft_note_key(struct draft *draft, struct bytes key, bool *twice_out)
{
    struct draft_seen *seen;
    uint64_t hash;
    uint64_t *slot;

    _Static_assert(DRAFT_SEEN_PARTS == 16, "four bits of the hash name the part");
    *twice_out = false;
    if (draft->is_known) {
        return true;
    }
    hash = hash_sip(draft->secret, key) | 1;
    seen = &draft->seen[hash >> 60];
    if (4 * seen->count >= 3 * seen->room && !seen_grow(draft, seen)) {
        return false;
    }
    slot = seen_slot(seen, hash);
    if (*slot == hash) {
        *twice_out = true;
        return false;
    }
    *slot = hash;
    seen->count++;
    return true;
}

static void point_byte(struct draft_problem *problem, uint8_t byte)
{
    if (problem->pointer_size < sizeof problem->pointer) {
        problem->pointer[problem->pointer_size++] = byte;
    }
}

void draft_point(struct draft *draft, struct bytes name)
{
    struct draft_problem *problem = &draft->problem;

    if (2 * name.size + 1 > sizeof problem->pointer - problem->pointer_size) {
        return;
    }
    point_byte(problem, '/');
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t byte = name.data[i];

        if (byte == '~' || byte == '/') {
            point_byte(problem, '~');
            point_byte(problem, byte == '~' ? '0' : '1');
            continue;
        }
        point_byte(problem, byte);
    }
}

void draft_point_u64(struct draft *draft, uint64_t number)
{
    uint8_t text[TEXT_U64_MAX];
    const size_t size = text_put_u64((char *)text, number);

    draft_point(draft, (struct bytes){ text, size });
}
