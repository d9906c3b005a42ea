#include "store/pattern.h"

#include <string.h>

static bool byte_wild(uint8_t byte)
{
    return byte == '%' || byte == '*';
}

static struct bytes bytes_from(struct bytes bytes, size_t at)
{
    return (struct bytes){ bytes.size == 0 ? bytes.data : bytes.data + at, bytes.size - at };
}

/* A place to cut a literal in two, and the period of what is right of it. */
struct cut {
    size_t at;
    size_t period;
};

/* The largest suffix in byte order, or in the reverse of it. */
static struct cut suffix_largest(struct bytes literal, bool reverse)
{
    struct cut cut = { .at = 0, .period = 1 };
    size_t candidate = 1;
    size_t matched = 0;

    while (candidate + matched < literal.size) {
        const uint8_t theirs = literal.data[candidate + matched];
        const uint8_t ours = literal.data[cut.at + matched];

        if (theirs == ours) {
            matched++;
            if (matched == cut.period) {
                candidate += cut.period;
                matched = 0;
            }
        } else if ((theirs < ours) != reverse) {
            candidate += matched + 1;
            matched = 0;
            cut.period = candidate - cut.at;
        } else {
            cut.at = candidate;
            candidate++;
            matched = 0;
            cut.period = 1;
        }
    }
    return cut;
}

/* Position of the first place where `literal` stands in `text`; text.size when there is none. Time
 * O(text up to the end of it + literal), in no memory.
 *
 * Source: Crochemore and Perrin, "Two-way string-matching" (1991). */
static size_t literal_find(struct bytes text, struct bytes literal)
{
    const struct cut up = suffix_largest(literal, false);
    const struct cut down = suffix_largest(literal, true);
    struct cut cut = up.at > down.at ? up : down;
    size_t at = 0;
    size_t known = 0; /* bytes at the front that are known to match: only a periodic one has any */
    bool periodic;

    periodic = cut.period <= literal.size - cut.at
               && memcmp(literal.data, literal.data + cut.period, cut.at) == 0;
    if (!periodic) {
        cut.period = 1 + (cut.at > literal.size - cut.at ? cut.at : literal.size - cut.at);
    }
    while (literal.size <= text.size - at) {
        size_t i = cut.at > known ? cut.at : known;

        while (i < literal.size && literal.data[i] == text.data[at + i]) {
            i++;
        }
        if (i < literal.size) {
            at += i - cut.at + 1;
            known = 0;
            continue;
        }
        i = cut.at;
        while (i > known && literal.data[i - 1] == text.data[at + i - 1]) {
            i--;
        }
        if (i <= known) {
            return at;
        }
        at += cut.period;
        known = periodic ? literal.size - cut.period : 0;
    }
    return text.size;
}

bool pattern_is(struct bytes key)
{
    return pattern_prefix(key).size < key.size;
}

struct bytes pattern_prefix(struct bytes pattern)
{
    size_t size = 0;

    while (size < pattern.size && !byte_wild(pattern.data[size])) {
        size++;
    }
    return (struct bytes){ pattern.data, size };
}

bool pattern_matches(struct bytes pattern, struct bytes key)
{
    struct bytes literal = pattern_prefix(pattern);

    if (!bytes_begin_with(key, literal)) {
        return false;
    }
    if (literal.size == pattern.size) {
        return key.size == pattern.size;
    }
    key = bytes_from(key, literal.size);
    pattern = bytes_from(pattern, literal.size + 1);
    /* `pattern` is now what follows a wildcard. */
    for (;;) {
        size_t at;

        literal = pattern_prefix(pattern);
        if (literal.size > key.size) {
            return false;
        }
        if (literal.size == pattern.size) {
            break;
        }
        at = literal.size == 0 ? 0 : literal_find(key, literal);
        if (literal.size > key.size - at) {
            return false;
        }
        key = bytes_from(key, at + literal.size);
        pattern = bytes_from(pattern, literal.size + 1);
    }
    return literal.size == 0
           || memcmp(key.data + key.size - literal.size, literal.data, literal.size) == 0;
}
