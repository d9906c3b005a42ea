#ifndef VIEW_JSON_WRITER_H
#define VIEW_JSON_WRITER_H

/* JSON text, written in one pass: no tree, no allocation, no copy but the one into the caller's
 * output. Commas come by themselves; that names stand only in objects, and that what was begun is
 * ended, is up to the caller. Called by http for every answer. Nothing here can fail.
 *
 * Strings must be UTF-8 (keys are, where they came in). Everything that a terminal, a log or a
 * script could take for something else is escaped: controls of both ranges, DEL, and the line
 * separators U+2028 and U+2029.
 *
 * Source: RFC 8259; RFC 7493 (I-JSON), section 2.2, for integers. */

#include "base/bytes.h"
#include "view/output.h"
#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_INTEGER_MAX ((UINT64_C(1) << 53) - 1) /* greatest that every reader keeps exact */

/* Open, because it lives on a stack; only view/json_writer.c touches the fields. */
struct json_writer {
    struct output *output;
    unsigned depth;
    bool is_pretty;  /* a member or element a line, indented */
    bool comma;      /* the next value or name needs one in front */
    bool after_name; /* a value follows on the same line */
};

/* Begin a document, for people or on one line. The output is lent. */
void json_begin(struct json_writer *json, struct output *output, bool is_pretty);

/* Begin another document in the same output, on one line. */
void json_restart(struct json_writer *json);

void json_begin_object(struct json_writer *json);
void json_end_object(struct json_writer *json);
void json_begin_array(struct json_writer *json);
void json_end_array(struct json_writer *json);

/* A member's name, then its value by one of the puts below. */
void json_name(struct json_writer *json, const char *name);
void json_name_bytes(struct json_writer *json, struct bytes name);

void json_string(struct json_writer *json, struct bytes string);
void json_text(struct json_writer *json, const char *text); /* a string that ends in NUL */
void json_bool(struct json_writer *json, bool truth);

/* Digits up to JSON_INTEGER_MAX, a string of digits beyond, which no reader rounds. */
void json_u64(struct json_writer *json, uint64_t number);

/* Sixteen hex digits, as digests are shown. */
void json_hex64(struct json_writer *json, uint64_t number);

/* A number with `decimals` 0..6 digits after the point, rounded, without trailing
 * zeros; what is not finite or beyond 10^18 becomes null. */
void json_decimal(struct json_writer *json, double number, unsigned decimals);

/* Members "index": value for the elements of a block, in ascending order.
 *
 * mark  which of them; NULL: all. Zero values are left out. */
void json_elements(struct json_writer *json, const struct block *block, const struct mark *mark);

#endif /* VIEW_JSON_WRITER_H */
