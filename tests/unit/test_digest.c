/* What this file tests: the test vectors of vignette(7), "Functions", and that sums are linear. */

#include "store/digest.h"

#include "unit/test.h"

static struct bytes text(const char *word)
{
    size_t size = 0;

    while (word[size] != '\0') {
        size++;
    }
    return (struct bytes){ (const uint8_t *)word, size };
}

static void test_digest_cluster_id_is_that_of_the_manual(void **state)
{
    (void)state;
    assert_int_equal(digest_cluster_id(text("blue")), 0xdf589da9);
    assert_int_equal(digest_cluster_id((struct bytes){ NULL, 0 }), 0);
    assert_int_not_equal(digest_cluster_id(text("blue ")), 0xdf589da9);
}

static void test_digest_key_hash_is_that_of_the_manual(void **state)
{
    (void)state;
    assert_true(digest_key_hash(0, text("foo")) == UINT64_C(0xdde38bd48eae7414));
    assert_true(digest_key_hash(0, text("n:127.0.0.1:6001")) == UINT64_C(0x67c5246711f17993));
}

static void test_digest_key_hash_differs_with_every_byte_of_the_cluster(void **state)
{
    const uint64_t without = digest_key_hash(0, text("foo"));

    (void)state;
    for (unsigned i = 0; i < 32; i += 8) {
        for (unsigned j = 0; j < i; j += 8) {
            assert_true(digest_key_hash(UINT32_C(1) << i, text("foo"))
                        != digest_key_hash(UINT32_C(1) << j, text("foo")));
        }
        assert_true(digest_key_hash(UINT32_C(1) << i, text("foo")) != without);
    }
}

static void test_hash_mix_is_that_of_the_manual(void **state)
{
    (void)state;
    assert_true(hash_mix(0, 0) == UINT64_C(0xd6cb8892a926a943));
    assert_true(hash_mix(1, 2) == UINT64_C(0x5f5cb5b60b9f4210));
    assert_true(hash_mix(UINT64_C(0x9E3779B97F4A7C15), 7) == UINT64_C(0x186004d46ef87808));
}

static void test_digest_element_is_that_of_the_manual(void **state)
{
    const uint64_t foo = digest_key_hash(0, text("foo"));

    (void)state;
    assert_true(digest_element(foo, 0, 5) == UINT64_C(0xc87418c03d87078f));
}

static void test_digest_of_vectors_and_sets_is_that_of_the_manual(void **state)
{
    const uint64_t foo = digest_key_hash(0, text("foo"));
    const uint64_t bar = digest_key_hash(0, text("bar"));
    const uint64_t h =
        digest_element(foo, 0, 5) + digest_element(foo, 1, 11) + digest_element(foo, 5, 3);
    const uint64_t extremes =
        digest_element(foo, 0, UINT64_MAX) + digest_element(foo, UINT64_MAX, 1);
    const uint64_t set =
        digest_contribution(foo, h) + digest_contribution(bar, digest_element(bar, 7, 1));

    (void)state;
    assert_true(h == UINT64_C(0xd3c1e3fcfc1ac1c5));
    assert_true(digest_contribution(foo, h) == UINT64_C(0x4ed792c97ab1b88e));
    assert_true(extremes == UINT64_C(0xe402494e1182c0bc));
    assert_true(set == UINT64_C(0xa7132a0617b7f54e));
    assert_int_equal(digest_salted(set, 9), 0xc653f446);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_cluster_id_is_that_of_the_manual),
        cmocka_unit_test(test_digest_key_hash_is_that_of_the_manual),
        cmocka_unit_test(test_digest_key_hash_differs_with_every_byte_of_the_cluster),
        cmocka_unit_test(test_hash_mix_is_that_of_the_manual),
        cmocka_unit_test(test_digest_element_is_that_of_the_manual),
        cmocka_unit_test(test_digest_of_vectors_and_sets_is_that_of_the_manual),
    };

    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
