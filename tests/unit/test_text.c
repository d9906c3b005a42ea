/* What this file tests: numbers as text, both ways, and what is refused. */

#include "base/text.h"

#include <string.h>

#include "unit/test.h"

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

struct number {
    const char *text;
    uint64_t number;
};

typedef bool text_getter(struct bytes text, uint64_t *number_out);

static void takes(text_getter *get, const struct number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 99;

        assert_true(get(text(numbers[i].text), &number));
        assert_true(number == numbers[i].number);
    }
}

static void refuses(text_getter *get, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 99;

        assert_false(get(text(texts[i]), &number));
        assert_true(number == 99);
    }
}

#define COUNT(array) (sizeof array / sizeof array[0])

static void test_text_get_u64(void **state)
{
    static const struct number good[] = {
        { "0", 0 },
        { "7", 7 },
        { "9007199254740993", UINT64_C(9007199254740993) },
        { "18446744073709551615", UINT64_MAX },
    };
    static const char *const bad[] = { "",
                                       "00",
                                       "01",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "1.0",
                                       "1e3",
                                       "0x1",
                                       "a",
                                       "18446744073709551616",
                                       "99999999999999999999",
                                       "111111111111111111111" };

    (void)state;
    takes(text_get_u64, good, COUNT(good));
    refuses(text_get_u64, bad, COUNT(bad));
}

static void test_text_get_hex64(void **state)
{
    static const struct number good[] = { { "0", 0 },
                                          { "00ff", 255 },
                                          { "fFfFfFfFfFfFfFfF", UINT64_MAX } };
    static const char *const bad[] = { "", "g", "0x1", "00000000000000000", " 1", "-1" };

    (void)state;
    takes(text_get_hex64, good, COUNT(good));
    refuses(text_get_hex64, bad, COUNT(bad));
}

static void test_text_get_duration_ms(void **state)
{
    static const struct number good[] = {
        { "0", 0 },        { "250ms", 250 },   { "30s", 30000 }, { "5m", 300000 },
        { "2h", 7200000 }, { "1d", 86400000 }, { "0s", 0 },
    };
    static const char *const bad[] = { "",     "1",  "s",    "1 s", "-1s",
                                       "1.5s", "1S", "1sec", "1s ", "18446744073709551615s",
                                       "01s" };

    (void)state;
    takes(text_get_duration_ms, good, COUNT(good));
    refuses(text_get_duration_ms, bad, COUNT(bad));
}

static void test_text_get_size_bytes(void **state)
{
    static const struct number good[] = {
        { "0", 0 },
        { "65536", 65536 },
        { "64k", 65536 },
        { "16m", UINT64_C(16) << 20 },
        { "1g", UINT64_C(1) << 30 },
        { "2t", UINT64_C(2) << 40 },
    };
    static const char *const bad[] = { "",         "k",    "1kb", "1K",
                                       "-1k",      "1.5m", "1 k", "18446744073709551615k",
                                       "16777216t" };

    (void)state;
    takes(text_get_size_bytes, good, COUNT(good));
    refuses(text_get_size_bytes, bad, COUNT(bad));
}

static void test_text_put_is_read_back(void **state)
{
    static const uint64_t numbers[] = { 0, 9, 10, 12345, UINT64_MAX, UINT64_C(1) << 63 };

    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint8_t digits[TEXT_U64_MAX];
        uint64_t back = 1;
        const size_t size = text_put_u64((char *)digits, numbers[i]);

        assert_true(text_get_u64((struct bytes){ digits, size }, &back));
        assert_true(back == numbers[i]);
        text_put_hex64((char *)digits, numbers[i]);
        assert_true(text_get_hex64((struct bytes){ digits, 16 }, &back));
        assert_true(back == numbers[i]);
    }
}

static void test_text_is_compares_all_of_both(void **state)
{
    static const uint8_t nul[] = { 'a', 0 };

    (void)state;
    assert_true(text_is(text("abc"), "abc"));
    assert_true(text_is(text(""), ""));
    assert_false(text_is(text("ab"), "abc"));
    assert_false(text_is(text("abc"), "ab"));
    assert_false(text_is(text("abd"), "abc"));
    assert_false(text_is((struct bytes){ nul, 2 }, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_get_u64),
        cmocka_unit_test(test_text_get_hex64),
        cmocka_unit_test(test_text_get_duration_ms),
        cmocka_unit_test(test_text_get_size_bytes),
        cmocka_unit_test(test_text_put_is_read_back),
        cmocka_unit_test(test_text_is_compares_all_of_both),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
