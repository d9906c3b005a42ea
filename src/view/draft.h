#ifndef VIEW_DRAFT_H
#define VIEW_DRAFT_H

/* One update of one key while a body is being read: its key, its elements in whatever order they
 * come, and what is wrong with it. Filled by view/json_reader and view/packed_reader, read by
 * http; so that http need not care which of the two it was.
 *
 * Elements are collected as they come. When they did not come in ascending order they are sorted
 * in small steps, and an index that came twice shows then. Keys of one document that came twice are
 * found in a set of keyed 64-bit hashes: that two of a million different keys share one happens
 * once in 10^8 bodies, with other hashes at the next try.
 *
 * Errors: what does not fit the account is READ_MEMORY, what is wrong READ_REFUSED with the reason
 * in draft_problem(); both are final. Memory is bounded by what was accepted: 16 bytes an element
 * of the one vector being read, 32 while sorting it, and up to 32 a key of the document. */

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRAFT_KEY_MAX     255
#define DRAFT_POINTER_MAX 560 /* "/", a key whose every byte is escaped, "/", an index, some more */
#define DRAFT_SEEN_PARTS  16

/* What a reader found. */
enum read_event {
    READ_MORE,    /* all of the piece was taken; give the next one, or say it was the last */
    READ_BUSY,    /* work is left: call again with what is left of the piece */
    READ_UPDATE,  /* the draft holds a whole update; take it, then call again */
    READ_DONE,    /* the end was reached and all was right */
    READ_REFUSED, /* draft_problem() says why */
    READ_MEMORY
};

/* What is wrong with the input, and where. */
struct draft_problem {
    uint64_t line; /* 1..; 0: lines mean nothing in this form */
    size_t pointer_size;
    uint8_t pointer[DRAFT_POINTER_MAX]; /* RFC 6901, empty: the whole document */
    struct fault why;
};

struct draft_pair {
    uint64_t index;
    uint64_t value;
};

/* Merging runs of growing width from `list` to `spare`: sorting that can stop anywhere. */
struct draft_sort {
    size_t width;
    size_t left;
    size_t left_end;
    size_t right;
    size_t right_end;
    size_t out;
};

struct draft_seen {
    uint64_t *slots; /* 0: free */
    size_t room;     /* a power of two, or 0 */
    size_t count;
};

/* Open, because it is embedded in whoever reads a body; only view/draft.c and the readers touch
 * the fields. */
struct draft {
    struct mem *mem;
    struct draft_pair *list;
    struct draft_pair *spare;
    size_t count;
    size_t list_room;
    size_t spare_room;
    size_t position; /* of draft_next_block() */
    bool ascending;
    bool is_known; /* the document was read before */
    struct draft_sort sort;
    uint8_t secret[16];
    struct draft_seen seen[DRAFT_SEEN_PARTS];
    uint8_t key[DRAFT_KEY_MAX];
    uint8_t key_size;
    uint32_t generation; /* that the line said; 0: none */
    bool is_deletion;
    uint64_t deleted;  /* shared hash of the key, with is_deletion */
    uint32_t deadline; /* that its name said (base/deadline.h) */
    struct draft_problem problem;
};

/* Make an empty draft.
 *
 * mem     the account; outlives the draft
 * secret  keys the hashes; not known to whoever wrote the body */
void draft_init(struct draft *draft, struct mem *mem, const uint8_t secret[16]);

/* Give back what it holds. */
void draft_clear(struct draft *draft);

/* The same document comes again, and was right: keys are not noted any more. */
void draft_again(struct draft *draft);

/* -- for whoever takes updates --------------------------------------------------------------- */

struct bytes draft_key(const struct draft *draft); /* until the next read; empty: none was named */

/* The generation that a line of JSON_FORM_EXPORT says the key is in; 0: it says none. */
uint32_t draft_generation(const struct draft *draft);

/* Whether such a line says that the key of this shared hash, which would have ended at this minute
 * (DEADLINE_NONE: never), was deleted, and no more. */
bool draft_is_deletion(const struct draft *draft, uint64_t *hash_out, uint32_t *deadline_out);

/* Elements read, zeros too. */
size_t draft_count(const struct draft *draft);

/* Lend the next block of the update, ascending, without zero values; false: no more, and the next
 * call begins anew. The block lives as long as the room. */
bool draft_next_block(struct draft *draft, struct block_room *room, struct block *block);

const struct draft_problem *draft_problem(const struct draft *draft);

/* -- for readers ----------------------------------------------------------------------------- */

/* Forget the elements, keep the memory. */
void draft_begin(struct draft *draft);

/* Take one element. False: no memory. */
bool draft_add(struct draft *draft, uint64_t index, uint64_t value);

/* Sort, in steps. READ_UPDATE: done; READ_BUSY: call again; READ_REFUSED: *index_out came twice,
 * the problem is the reader's to write; READ_MEMORY. */
enum read_event draft_finish(struct draft *draft, uint64_t *index_out);

/* Note a key of the document. False with *twice_out set: it was there; else no memory. */
bool draft_note_key(struct draft *draft, struct bytes key, bool *twice_out);

/* Append "/name" to the problem's pointer, escaped as RFC 6901 wants it; what does not fit is left
 * out. */
void draft_point(struct draft *draft, struct bytes name);
void draft_point_u64(struct draft *draft, uint64_t number);

#endif /* VIEW_DRAFT_H */
