/* What this file tests: SipHash against the vectors of its authors, and the mix against those of
 * vignette(7), which every other implementation has to reproduce. */

#include "base/hash.h"

#include "unit/test.h"

static struct bytes text(const char *string, size_t size)
{
    return (struct bytes){ (const uint8_t *)string, size };
}

static void test_hash_sip_gives_the_reference_vectors(void **state)
{
    /* Key 00..0f, input 00, 01, ... of that size: five of the 64 vectors of the reference
     * implementation, read little endian. */
    static const struct {
        size_t size;
        uint64_t hash;
    } vectors[] = {
        { 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
        { 7, UINT64_C(0xab0200f58b01d137) },  { 8, UINT64_C(0x93f5f5799a932462) },
        { 15, UINT64_C(0xa129ca6149be45e5) },
    };
    uint8_t key[16];
    uint8_t input[64];

    (void)state;
    for (uint8_t i = 0; i < sizeof input; i++) {
        input[i] = i;
        key[i & 15] = i & 15;
    }
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const uint64_t hash = hash_sip(key, (struct bytes){ input, vectors[i].size });

        assert_true(hash == vectors[i].hash);
    }
}

static void test_hash_sip_of_a_key_under_the_zero_key(void **state)
{
    static const uint8_t zero[16];

    (void)state;
    assert_true(hash_sip(zero, text("foo", 3)) == UINT64_C(0xdde38bd48eae7414));
    assert_true(hash_sip(zero, text("n:127.0.0.1:6001", 16)) == UINT64_C(0x67c5246711f17993));
    assert_true((uint32_t)hash_sip(zero, text("blue", 4)) == UINT32_C(0xdf589da9));
}

static void test_hash_mix_gives_the_published_vectors(void **state)
{
    (void)state;
    assert_true(hash_mix(0, 0) == UINT64_C(0xd6cb8892a926a943));
    assert_true(hash_mix(1, 2) == UINT64_C(0x5f5cb5b60b9f4210));
    assert_true(hash_mix(UINT64_C(0x9E3779B97F4A7C15), 7) == UINT64_C(0x186004d46ef87808));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_sip_gives_the_reference_vectors),
        cmocka_unit_test(test_hash_sip_of_a_key_under_the_zero_key),
        cmocka_unit_test(test_hash_mix_gives_the_published_vectors),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
