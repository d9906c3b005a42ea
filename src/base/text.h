#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* Numbers to and from text, without the C library's locale, errno and NUL. Called by every room
 * that reads or writes for people; never allocates. */

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_U64_MAX 20 /* digits of 2^64 - 1 */

/* Decimal digits of a number into at least TEXT_U64_MAX bytes, no NUL. Returns how many. */
size_t text_put_u64(char *to, uint64_t number);

/* Sixteen lower-case hex digits, no NUL. */
void text_put_hex64(char *to, uint64_t number);

/* The whole of `text` as a decimal number: digits only, no sign, no space, no leading zero except
 * "0" itself, at most 2^64 - 1. False: not that; *number_out untouched. */
bool text_get_u64(struct bytes text, uint64_t *number_out);

/* Exactly 1..16 hex digits, either case. False: not that; *number_out untouched. */
bool text_get_hex64(struct bytes text, uint64_t *number_out);

/* "250ms", "30s", "5m", "2h", "1d": a whole number and a unit, in milliseconds. "0" needs none.
 * False when it is not that or does not fit. */
bool text_get_duration_ms(struct bytes text, uint64_t *ms_out);

/* "65536", "64k", "16m", "1g", "2t": a number of bytes, units of 1024. False as above. */
bool text_get_size_bytes(struct bytes text, uint64_t *bytes_out);

/* Equal, byte for byte. */
bool text_is(struct bytes text, const char *word);

#endif /* BASE_TEXT_H */
