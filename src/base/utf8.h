#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/* Whether bytes are text. Called wherever a key comes in: the wire, HTTP, the configuration. */

#include "base/bytes.h"

#include <stdbool.h>

/* True when the bytes are well-formed UTF-8: no overlong form, no surrogate, nothing above
 * U+10FFFF, no sequence cut short. NUL is well-formed; who cannot take it says so himself.
 *
 * Source: RFC 3629, section 4. */
bool utf8_valid(struct bytes bytes);

#endif /* BASE_UTF8_H */
