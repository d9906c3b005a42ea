#ifndef VIEW_JSON_READER_H
#define VIEW_JSON_READER_H

/* Reading the JSON that may be large: vectors, and many of them. Strict (RFC 8259,
 * and I-JSON, RFC 7493: UTF-8, no lone surrogate, no name twice), resumable at any byte, without
 * recursion, with memory bounded by what it accepted. Small fixed documents are cJSON's.
 *
 * Indices are decimal digits without leading zeros, 0..2^64 - 1. Values are numbers 0..2^53 - 1
 * without sign, fraction or exponent, or strings of digits up to 2^64 - 1. Keys are 1..255 bytes
 * without NUL.
 *
 * Called by http: read() with one piece after another until it says other than READ_MORE, then
 * end(). What was read lies in the draft (view/draft.h); so does what is wrong. */

#include "base/bytes.h"
#include "view/draft.h"

enum json_form {
    JSON_FORM_VECTOR, /* {"0":3,"1":"18446744073709551615"}: one READ_UPDATE without a key */
    JSON_FORM_BULK,   /* {"foo":{"0":3},"bar":{}}: a READ_UPDATE each */
    JSON_FORM_LINES,  /* {"key":"foo","vector":{"0":3}}, one a line: a READ_UPDATE each. Members
                       * "size", "digest", "expires", "view" and "generation" are passed over, so
                       * that a listing can be fed back; any other is refused */
    JSON_FORM_EXPORT  /* such lines, of which the generation is read, and deletions among them:
                       * {"deleted":"9f1c0d2277aa01b3","generation":1795000000}, and what the
                       * name ended in where that says when: "expires":"~2026-12-29" */
};

struct json_reader; /* opaque */

/* NULL: no memory. The draft is freshly initialised and outlives the reader, as does its
 * account. */
struct json_reader *json_reader_create(enum json_form form, struct draft *draft);
void json_reader_free(struct json_reader *reader);

/* From here on, between two updates, fill another draft. */
void json_reader_fill(struct json_reader *reader, struct draft *draft);

/* Read on. *rest loses what was taken from its front. After READ_REFUSED and READ_MEMORY the
 * reader says the same for ever.
 * Time: O(taken), or a step of sorting of well under a millisecond. */
enum read_event json_reader_read(struct json_reader *reader, struct bytes *rest);

/* Say that there is no more. READ_DONE, READ_REFUSED or READ_MEMORY; READ_BUSY when the last read
 * was, and has to be repeated first. */
enum read_event json_reader_end(struct json_reader *reader);

/* The line that was read last, from 1: of the update that was just returned. */
uint64_t json_reader_line(const struct json_reader *reader);

#endif /* VIEW_JSON_READER_H */
