#include "base/text.h"

#include <string.h>

size_t text_put_u64(char *to, uint64_t number)
{
    char digits[TEXT_U64_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(to, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

void text_put_hex64(char *to, uint64_t number)
{
    for (unsigned i = 0; i < 16; i++) {
        to[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    }
}

bool text_get_u64(struct bytes text, uint64_t *number_out)
{
    uint64_t number = 0;

    if (text.size == 0 || text.size > TEXT_U64_MAX || (text.data[0] == '0' && text.size > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9'
            || __builtin_mul_overflow(number, UINT64_C(10), &number)
            || __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number)) {
            return false;
        }
    }
    *number_out = number;
    return true;
}

bool text_get_hex64(struct bytes text, uint64_t *number_out)
{
    uint64_t number = 0;

    if (text.size == 0 || text.size > 16) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];

        if (c >= '0' && c <= '9') {
            number = number << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            number = number << 4 | (uint64_t)(c - 'A' + 10);
        } else {
            return false;
        }
    }
    *number_out = number;
    return true;
}

/* A word behind a number, and what it multiplies by. */
struct text_unit {
    char word[3]; /* not a pointer: those are relocated, which is writable data to the linker */
    uint64_t factor;
};

static const struct text_unit text_durations[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};
static const struct text_unit text_sizes[] = {
    { "", 1 },
    { "k", UINT64_C(1) << 10 },
    { "m", UINT64_C(1) << 20 },
    { "g", UINT64_C(1) << 30 },
    { "t", UINT64_C(1) << 40 },
};

/* Digits, then one of the units. */
static bool text_get_unit(struct bytes text, const struct text_unit *units, size_t count,
                          uint64_t *amount_out)
{
    size_t digits = 0;
    uint64_t amount;

    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    if (!text_get_u64((struct bytes){ text.data, digits }, &amount)) {
        return false;
    }
    text = (struct bytes){ text.data + digits, text.size - digits };
    for (size_t i = 0; i < count; i++) {
        if (text_is(text, units[i].word)
            && !__builtin_mul_overflow(amount, units[i].factor, &amount)) {
            *amount_out = amount;
            return true;
        }
    }
    return false;
}

bool text_get_duration_ms(struct bytes text, uint64_t *ms_out)
{
    if (text_is(text, "0")) {
        *ms_out = 0;
        return true;
    }
    return text_get_unit(text, text_durations, sizeof text_durations / sizeof text_durations[0],
                         ms_out);
}

bool text_get_size_bytes(struct bytes text, uint64_t *bytes_out)
{
    return text_get_unit(text, text_sizes, sizeof text_sizes / sizeof text_sizes[0], bytes_out);
}

bool text_is(struct bytes text, const char *word)
{
    for (size_t i = 0; i < text.size; i++) {
        if (word[i] == '\0' || (uint8_t)word[i] != text.data[i]) {
            return false;
        }
    }
    return word[text.size] == '\0';
}
