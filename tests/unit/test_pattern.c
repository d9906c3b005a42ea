/* What this file tests: matching keys with % and *. */

#include "store/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

static int setup(void **state)
{
    *state = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return 0;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static void test_pattern_matches_whole_keys(void **state)
{
    static const struct {
        const char *pattern;
        const char *key;
        bool matches;
    } cases[] = {
        { "", "", true },
        { "", "a", false },
        { "a", "", false },
        { "a", "a", true },
        { "a", "ab", false },
        { "%", "", true },
        { "%", "anything", true },
        { "*", "anything", true },
        { "%*%", "", true },
        { "a%", "a", true },
        { "a%", "ab", true },
        { "a%", "ba", false },
        { "%a", "a", true },
        { "%a", "ba", true },
        { "%a", "ab", false },
        { "a%a", "a", false },
        { "a%a", "aa", true },
        { "ab*ba", "aba", false },
        { "ab*ba", "abba", true },
        { "%b%", "abc", true },
        { "%b%", "aac", false },
        { "%ab%ab%", "abab", true },
        { "%ab%ab%", "abcab", true },
        { "%ab%ab%", "aab", false },
        { "a%b%c", "a1b2b3c", true },
        { "a%b%c", "a1c2b3", false },
        { "%aab%", "aaaaab", true },
        { "%abab%c", "abaababc", true },
        { "visits:%:day", "visits:paris:day", true },
        { "visits:%:day", "visits:day", false },
        { "?", "a", false },
        { "[a]", "a", false },
        { "\\%", "%", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (pattern_matches(bytes_of(cases[i].pattern), bytes_of(cases[i].key))
            != cases[i].matches) {
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].key);
        }
    }
}

static void test_pattern_of_no_bytes_may_have_no_address(void **state)
{
    const struct bytes none = { NULL, 0 };

    (void)state;
    assert_true(pattern_matches(none, none));
    assert_true(pattern_matches(bytes_of("%"), none));
    assert_false(pattern_matches(none, bytes_of("a")));
    assert_false(pattern_matches(bytes_of("%a"), none));
}

static void test_pattern_prefix_ends_before_the_first_wildcard(void **state)
{
    static const struct {
        const char *pattern;
        size_t size;
        bool is;
    } cases[] = {
        { "", 0, false },     { "abc", 3, false }, { "%", 0, true },
        { "ab%c*", 2, true }, { "ab*", 2, true },  { "abc%", 3, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct bytes pattern = bytes_of(cases[i].pattern);

        assert_int_equal(pattern_prefix(pattern).size, cases[i].size);
        assert_ptr_equal(pattern_prefix(pattern).data, pattern.data);
        assert_int_equal(pattern_is(pattern), cases[i].is);
    }
}

/* Text number n over so many letters, in a scheme that counts all the texts of a size. */
static struct bytes text_write(char *text, unsigned number, unsigned size, const char *letters)
{
    const unsigned count = (unsigned)strlen(letters);

    for (unsigned i = 0; i < size; i++) {
        text[i] = letters[number % count];
        number /= count;
    }
    return (struct bytes){ (const uint8_t *)text, size };
}

static unsigned power(unsigned base, unsigned exponent)
{
    return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

/* By definition, trying everything. */
static bool matches_slowly(struct bytes pattern, struct bytes key)
{
    if (pattern.size == 0) {
        return key.size == 0;
    }
    if (pattern.data[0] != '%') {
        return key.size > 0 && key.data[0] == pattern.data[0]
               && matches_slowly((struct bytes){ pattern.data + 1, pattern.size - 1 },
                                 (struct bytes){ key.data + 1, key.size - 1 });
    }
    for (size_t skip = 0; skip <= key.size; skip++) {
        if (matches_slowly((struct bytes){ pattern.data + 1, pattern.size - 1 },
                           (struct bytes){ key.data + skip, key.size - skip })) {
            return true;
        }
    }
    return false;
}

/* All patterns of up to 6 bytes over a, b and %, on all keys of up to 8 over a and b. */
static void test_pattern_matches_as_defined_for_all_short_patterns(void **state)
{
    (void)state;
    for (unsigned pattern_size = 0; pattern_size <= 6; pattern_size++) {
        for (unsigned p = 0; p < power(3, pattern_size); p++) {
            char pattern_text[16];
            const struct bytes pattern = text_write(pattern_text, p, pattern_size, "ab%");

            for (unsigned key_size = 0; key_size <= 8; key_size++) {
                for (unsigned k = 0; k < power(2, key_size); k++) {
                    char key_text[16];
                    const struct bytes key = text_write(key_text, k, key_size, "ab");

                    if (pattern_matches(pattern, key) != matches_slowly(pattern, key)) {
                        fail_msg("'%.*s' and '%.*s'", (int)pattern_size, pattern_text,
                                 (int)key_size, key_text);
                    }
                }
            }
        }
    }
}

/* All literals of up to 9 bytes in all texts of up to 13: every kind of period. */
static void test_pattern_finds_every_periodic_literal(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 9; size++) {
        for (unsigned p = 0; p < power(2, size); p++) {
            char pattern[16] = "%";
            const struct bytes literal = text_write(pattern + 1, p, size, "ab");

            pattern[1 + size] = '%';
            for (unsigned k = 0; k < power(2, 13); k++) {
                char key[16];

                (void)text_write(key, k, 13, "ab");
                if (pattern_matches((struct bytes){ (const uint8_t *)pattern, size + 2 },
                                    (struct bytes){ (const uint8_t *)key, 13 })
                    != (memmem(key, 13, literal.data, size) != NULL)) {
                    fail_msg("'%.*s' in '%.13s'", (int)size + 2, pattern, key);
                }
            }
        }
    }
}

/* What takes a backtracking matcher for ever: ten million bytes, and half a million of literals
 * that nearly are there. A quadratic search would need hours. */
static void test_pattern_is_no_trap(void **state)
{
    const size_t size = 10000000;
    const size_t literal = 1000000;
    uint8_t *key = malloc(size);
    uint8_t *pattern = malloc(size);

    (void)state;
    memset(key, 'a', size);
    memset(pattern, 'a', size);
    pattern[0] = '%';
    pattern[literal] = 'b';
    pattern[literal + 1] = '%';
    assert_false(
        pattern_matches((struct bytes){ pattern, literal + 2 }, (struct bytes){ key, size }));
    pattern[literal / 2] = 'b';
    pattern[literal] = 'a';
    assert_false(
        pattern_matches((struct bytes){ pattern, literal + 2 }, (struct bytes){ key, size }));
    for (size_t i = 0; i < literal; i += 2) {
        pattern[i] = '%';
        pattern[i + 1] = 'a';
    }
    pattern[literal] = 'b';
    assert_false(
        pattern_matches((struct bytes){ pattern, literal + 2 }, (struct bytes){ key, size }));
    free(pattern);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pattern_matches_whole_keys),
        TEST(test_pattern_of_no_bytes_may_have_no_address),
        TEST(test_pattern_prefix_ends_before_the_first_wildcard),
        TEST(test_pattern_matches_as_defined_for_all_short_patterns),
        TEST(test_pattern_finds_every_periodic_literal),
        TEST(test_pattern_is_no_trap),
    };

    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
