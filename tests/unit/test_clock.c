/* What this file tests: instants kept in 32 bits of milliseconds, also where they wrap. */

#include "node/clock.h"

#include "unit/test.h"

#define MS      UINT64_C(1000)
#define WRAP_MS (UINT64_C(1) << 32)
#define DAY_MS  UINT64_C(86400000)

static struct moment at_ms(uint64_t ms)
{
    return (struct moment){ .mono_us = ms * MS };
}

static void test_clock_an_instant_is_ahead_until_it_comes_and_never_again(void **state)
{
    static const uint64_t begins_ms[] = { 1, WRAP_MS - 10, WRAP_MS / 2 - 10, 7 * WRAP_MS - 29999 };

    (void)state;
    for (unsigned i = 0; i < sizeof begins_ms / sizeof begins_ms[0]; i++) {
        const uint64_t begin_ms = begins_ms[i];
        const uint32_t due_ms = clock_ms(at_ms(begin_ms)) + 30000;

        assert_true(clock_is_ahead(at_ms(begin_ms), due_ms, 30000));
        assert_true(clock_is_ahead(at_ms(begin_ms + 29999), due_ms, 30000));
        assert_false(clock_is_ahead(at_ms(begin_ms + 30000), due_ms, 30000));
        for (uint64_t day = 1; day < 49; day++) {
            assert_false(clock_is_ahead(at_ms(begin_ms + day * DAY_MS), due_ms, 30000));
        }
    }
}

static void test_clock_since_counts_over_the_wrap(void **state)
{
    (void)state;
    assert_int_equal(clock_since_ms(at_ms(5), 2), 3);
    assert_int_equal(clock_since_ms(at_ms(WRAP_MS + 5), clock_ms(at_ms(WRAP_MS - 5))), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_an_instant_is_ahead_until_it_comes_and_never_again),
        cmocka_unit_test(test_clock_since_counts_over_the_wrap),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
