/* What this file tests: that sequences can be replayed, are apart, and are fair. */

#include "base/random.h"

#include "unit/test.h"

static void test_random_same_seed_and_purpose_replay(void **state)
{
    struct random one;
    struct random other;

    (void)state;
    random_seed(&one, 42, 1);
    random_seed(&other, 42, 1);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(random_next(&one) == random_next(&other));
    }
}

static void test_random_purposes_and_seeds_do_not_meet(void **state)
{
    (void)state;
    /* Small numbers next to each other: (0, 1) and (1, 0) above all. */
    for (uint64_t seed = 0; seed < 16; seed++) {
        for (uint64_t purpose = 0; purpose < 16; purpose++) {
            for (uint64_t other = 0; other < 256; other++) {
                struct random a;
                struct random b;

                if (other == seed * 16 + purpose) {
                    continue;
                }
                random_seed(&a, seed, purpose);
                random_seed(&b, other / 16, other % 16);
                assert_true(random_next(&a) != random_next(&b));
            }
        }
    }
}

static void test_random_gives_the_sequence_of_its_authors(void **state)
{
    /* xoshiro256** from the state {1, 2, 3, 4}. */
    static const uint64_t expected[] = { UINT64_C(11520), UINT64_C(0), UINT64_C(1509978240),
                                         UINT64_C(1215971899390074240) };
    struct random random = { { 1, 2, 3, 4 } };

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(random_next(&random) == expected[i]);
    }
}

static void test_random_below_stays_below_and_reaches_all(void **state)
{
    unsigned seen[7] = { 0 };
    struct random random;

    (void)state;
    random_seed(&random, 7, 7);
    for (unsigned i = 0; i < 70000; i++) {
        const uint64_t drawn = random_below(&random, 7);

        assert_true(drawn < 7);
        seen[drawn]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        assert_in_range(seen[i], 9500, 10500); /* 10,000 with a deviation of 93 */
    }
    assert_int_equal(random_below(&random, 1), 0);
    /* A limit just above 2^63: nearly half of all draws are thrown away. */
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(random_below(&random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_same_seed_and_purpose_replay),
        cmocka_unit_test(test_random_purposes_and_seeds_do_not_meet),
        cmocka_unit_test(test_random_gives_the_sequence_of_its_authors),
        cmocka_unit_test(test_random_below_stays_below_and_reaches_all),
    };

    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
