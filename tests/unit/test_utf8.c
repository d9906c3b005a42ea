/* What this file tests: well-formed UTF-8 is taken and nothing else, at every place in a word. */

#include "base/utf8.h"

#include <string.h>

#include "unit/test.h"

struct sample {
    const char *bytes;
    size_t size;
};
#define SAMPLE(literal)             \
    {                               \
        literal, sizeof literal - 1 \
    }

static const struct sample good[] = {
    SAMPLE(""),
    SAMPLE("plain"),
    SAMPLE("\0"),
    SAMPLE("\x7f"),
    SAMPLE("\xc2\x80"),
    SAMPLE("\xdf\xbf"),
    SAMPLE("\xe0\xa0\x80"),
    SAMPLE("\xed\x9f\xbf"),
    SAMPLE("\xee\x80\x80"),
    SAMPLE("\xef\xbf\xbf"),
    SAMPLE("\xf0\x90\x80\x80"),
    SAMPLE("\xf4\x8f\xbf\xbf"),
};
static const struct sample bad[] = {
    SAMPLE("\x80"), /* a continuation alone */
    SAMPLE("\xbf"),
    SAMPLE("\xc0\x80"), /* overlong */
    SAMPLE("\xc1\xbf"),
    SAMPLE("\xe0\x9f\xbf"),
    SAMPLE("\xf0\x8f\xbf\xbf"),
    SAMPLE("\xed\xa0\x80"), /* a surrogate */
    SAMPLE("\xed\xbf\xbf"),
    SAMPLE("\xf4\x90\x80\x80"), /* above U+10FFFF */
    SAMPLE("\xf5\x80\x80\x80"),
    SAMPLE("\xff"),
    SAMPLE("\xc2"), /* cut short */
    SAMPLE("\xe1\x80"),
    SAMPLE("\xf1\x80\x80"),
    SAMPLE("\xc2\x41"), /* no continuation */
    SAMPLE("\xe1\x80\x41"),
    SAMPLE("\xf1\x80\x80\x41"),
};

/* The sample behind 0..16 letters and before as many: words are read eight bytes at a time. */
static bool valid_everywhere(const struct sample *sample, bool expected)
{
    for (size_t front = 0; front <= 16; front++) {
        char text[64];

        memset(text, 'a', sizeof text);
        memcpy(text + front, sample->bytes, sample->size);
        for (size_t behind = 0; behind <= 16; behind++) {
            const struct bytes bytes = { (const uint8_t *)text, front + sample->size + behind };

            if (utf8_valid(bytes) != expected) {
                return false;
            }
        }
    }
    return true;
}

static void test_utf8_takes_what_is_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(valid_everywhere(&good[i], true));
    }
    assert_true(utf8_valid((struct bytes){ NULL, 0 }));
}

static void test_utf8_refuses_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(valid_everywhere(&bad[i], false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_takes_what_is_well_formed),
        cmocka_unit_test(test_utf8_refuses_what_is_not),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
