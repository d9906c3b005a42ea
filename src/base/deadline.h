#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

/* When a key ends, which its name says: a key that ends in `~` and an instant in UTC ends then, to
 * the minute (vignette(7), "Keys that end"). Three forms, each as short as it may be and no other:
 *
 *     visitors~2026-12-29    visitors~2026-12-29T08    visitors~2026-12-29T08:30
 *
 * Years 2000 to 9999, days that the calendar has, hours 00 to 23, minutes 00 to 59. Whatever is
 * written otherwise is an ordinary name, and ends never. Called by store, which hides what is past,
 * by node and http, which refuse it, and by disk, which leaves it out.
 *
 * Source of the calendar: Hinnant, "chrono-compatible low-level date algorithms" (2013). */

#include "base/bytes.h"

#include <stdint.h>

#define DEADLINE_NONE      UINT32_MAX           /* minute of what never ends; above all others */
#define DEADLINE_MIN       UINT32_C(15778080)   /* 2000-01-01T00:00, in minutes since 1970 */
#define DEADLINE_MAX       UINT32_C(4223371679) /* 9999-12-31T23:59 */
#define DEADLINE_BYTES_MAX 17                   /* of what a name ends in, `~` included */
#define DEADLINE_ISO_BYTES 17                   /* 2026-12-29T00:00Z */

/* Minute since 1970 at which a key ends: from its first second on the key does not exist.
 * DEADLINE_NONE for an ordinary name, of which one to three bytes are looked at. */
uint32_t deadline_of(struct bytes key);

/* The minute of a clock, less than DEADLINE_NONE. A key exists while this is below its deadline. */
uint32_t deadline_now(uint64_t unix_s);

/* The deadline of what is to be kept for so long at least from now: rounded up to the day, to the
 * hour where that is less than three days, to the minute where it is less than three hours, so that
 * what is written throughout a day goes to one key. DEADLINE_NONE: outside of 2000 to 9999. */
uint32_t deadline_after(uint64_t now_s, uint64_t keep_s);

/* What the name of a key that ends at a minute of DEADLINE_MIN to DEADLINE_MAX ends in: `~` and the
 * shortest form. No NUL. Returns how many bytes. */
size_t deadline_put(char text[DEADLINE_BYTES_MAX], uint32_t minute);

/* The same minute as people and ISO 8601 write it. No NUL. */
void deadline_put_iso(char text[DEADLINE_ISO_BYTES], uint32_t minute);

#endif /* BASE_DEADLINE_H */
