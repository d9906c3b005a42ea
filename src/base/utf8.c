#include "base/utf8.h"

#include <stddef.h>
#include <string.h>

/* One lead byte's promise: how many bytes follow, and the range of the first of them, by which
 * overlong forms, surrogates and what lies above U+10FFFF are refused (RFC 3629, section 4). */
struct utf8_lead {
    uint8_t least;
    uint8_t most;
    uint8_t follow; /* bytes of the sequence after the lead */
    uint8_t second_least;
    uint8_t second_most;
};

static const struct utf8_lead utf8_leads[] = {
    { 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf }, { 0xe1, 0xec, 2, 0x80, 0xbf },
    { 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf }, { 0xf0, 0xf0, 3, 0x90, 0xbf },
    { 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
};

/* Bytes of the sequence that begins here, 0 when there is none. `left` >= 1. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    const struct utf8_lead *lead = NULL;

    for (size_t i = 0; i < sizeof utf8_leads / sizeof utf8_leads[0]; i++) {
        if (at[0] >= utf8_leads[i].least && at[0] <= utf8_leads[i].most) {
            lead = &utf8_leads[i];
        }
    }
    if (lead == NULL || left - 1 < lead->follow || at[1] < lead->second_least
        || at[1] > lead->second_most) {
        return 0;
    }
    for (size_t i = 2; i <= lead->follow; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return (size_t)lead->follow + 1;
}

bool utf8_valid(struct bytes bytes)
{
    size_t at = 0;

    while (at < bytes.size) {
        uint64_t word;
        size_t size = 1;

        if (bytes.size - at >= sizeof word) {
            memcpy(&word, bytes.data + at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        if (bytes.data[at] >= 0x80) {
            size = utf8_sequence(bytes.data + at, bytes.size - at);
            if (size == 0) {
                return false;
            }
        }
        at += size;
    }
    return true;
}
