/* What this file tests: an address has one text, and what a peer may have. */

#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "unit/test.h"

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

static struct address address_of(const char *string)
{
    struct address address;

    assert_true(address_from_text(text(string), &address));
    return address;
}

static void test_address_canonical_text_is_read_and_written(void **state)
{
    static const char *const good[] = {
        "127.0.0.1:6001",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::]:1",
        "[::1]:6001",
        "[2001:db8::1]:6000",
        "[1::]:1",
        "[1:2:3:4:5:6:7:8]:9",
        "[2001:db8:0:1:1:1:1:1]:80",
        "[2001:0:0:1::1]:80",
        "[fe80::1]:5",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct address address;
        char back[ADDRESS_TEXT_MAX];
        size_t size;

        assert_true(address_from_text(text(good[i]), &address));
        size = address_to_text(&address, back);
        assert_int_equal(size, strlen(good[i]));
        assert_memory_equal(back, good[i], size);
    }
}

static void test_address_other_spellings_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        ":6001",
        "127.0.0.1:06001",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1: 6001",
        "127.0.0.01:6001",
        "127.0.0:6001",
        "1.2.3.4.5:6001",
        "256.0.0.1:6001",
        "127.0.0.1.:6001",
        "localhost:6001",
        "::1:6001",
        "[::1]",
        "[::1]:",
        "[::1:6001",
        "::1]:6001",
        "[127.0.0.1]:6001",
        "[::0]:1",
        "[0::1]:1",
        "[2001:DB8::1]:1",
        "[2001:db8:0:0:0:0:0:1]:1",
        "[::ffff:1.2.3.4]:1",
        "[1::2::3]:1",
        "[1:2:3:4:5:6:7]:1",
        "[1:2:3:4:5:6:7:8:9]:1",
        "[::12345]:1",
        "[::g]:1",
        "[:1::]:1",
        "[1:]:1",
        "[]:1",
        "[:]:1",
        "[::2:3:4:5:6:7:8]:1",
        "[fe80::1%lo]:1",
        "x127.0.0.1:1",
        "127.0.0.1:1x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address;

        if (address_from_text(text(bad[i]), &address)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void test_address_agrees_with_inet_ntop_and_inet_pton(void **state)
{
    unsigned compared = 0;
    uint64_t word = 1;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct address address = { .port = 1 };
        struct address back = { .port = 1 };
        char ours[ADDRESS_TEXT_MAX + 1];
        char theirs[INET6_ADDRSTRLEN];

        for (unsigned i = 0; i < 16; i++) { /* half the groups are zero */
            word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            address.ip[i] = (word >> 60) < 8 ? 0 : (uint8_t)(word >> 50);
        }
        ours[address_ip_to_text(&address, ours)] = '\0';
        if (address.ip[0] != 0 || address.ip[1] != 0) { /* glibc writes old v4 forms as IPv4 */
            assert_non_null(inet_ntop(AF_INET6, address.ip, theirs, sizeof theirs));
            assert_string_equal(ours, theirs);
            compared++;
        }
        assert_true(address_ip_from_text(text(ours), back.ip));
        assert_memory_equal(back.ip, address.ip, 16);
    }
    assert_true(compared > 10000);
}

static void test_address_of_a_peer(void **state)
{
    static const char *const good[] = { "127.0.0.1:6001", "10.0.0.1:1",         "223.1.1.1:65535",
                                        "[::1]:6001",     "[2001:db8::1]:6001", "[fc00::1]:1" };
    static const char *const bad[] = { "127.0.0.1:0",   "0.0.0.0:1",   "0.1.2.3:1",
                                       "224.0.0.1:1",   "240.0.0.1:1", "255.255.255.255:1",
                                       "169.254.1.1:1", "[::]:1",      "[ff02::1]:1",
                                       "[fe80::1]:1",   "[febf::1]:1" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct address address = address_of(good[i]);

        assert_true(address_is_peer(&address));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct address address = address_of(bad[i]);

        assert_false(address_is_peer(&address));
    }
}

static void test_address_kinds(void **state)
{
    const struct address v4 = address_of("127.9.9.9:1");
    const struct address v6 = address_of("[::1]:1");
    const struct address far = address_of("192.0.2.1:1");
    const struct address any = address_of("[::]:1");
    const struct address any4 = address_of("0.0.0.0:1");

    (void)state;
    assert_true(address_is_ipv4(&v4) && address_is_loopback(&v4));
    assert_true(!address_is_ipv4(&v6) && address_is_loopback(&v6));
    assert_true(address_is_ipv4(&far) && !address_is_loopback(&far));
    assert_true(address_is_wildcard(&any) && address_is_wildcard(&any4));
    assert_false(address_is_wildcard(&far) || address_is_wildcard(&v6));
}

static void test_address_of_one_host_is_any_port_and_any_of_its_network(void **state)
{
    static const char *const same[] = { "[2001:db8::1]:1", "[2001:db8::1]:2", "[2001:db8::f:1]:1",
                                        "[2001:db8::ffff:ffff:ffff:ffff]:65535" };
    static const char *const others[] = { "[2001:db8:0:1::1]:1", "[2001:db8:1::1]:1", "10.0.0.1:1",
                                          "10.0.0.2:1", "0.0.0.1:1" };
    const struct address first = address_of(same[0]);
    const struct address host = address_host(&first);

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        const struct address address = address_of(same[i]);
        const struct address its_host = address_host(&address);

        assert_int_equal(address_compare(&its_host, &host), 0);
        assert_true(address_hash(&its_host, 7) == address_hash(&host, 7));
        assert_true(i == 0 || address_hash(&address, 7) != address_hash(&first, 7));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const struct address address = address_of(others[i]);
        const struct address its_host = address_host(&address);

        assert_int_not_equal(address_compare(&its_host, &host), 0);
        assert_true(memcmp(its_host.ip, address.ip, address_is_ipv4(&address) ? 16 : 8) == 0);
        assert_int_equal(its_host.port, 0);
    }
}

static void test_address_compare_orders_by_ip_then_port(void **state)
{
    const struct address a = address_of("10.0.0.1:9");
    const struct address b = address_of("10.0.0.2:1");
    const struct address c = address_of("10.0.0.2:2");

    (void)state;
    assert_true(address_compare(&a, &b) < 0 && address_compare(&b, &c) < 0);
    assert_true(address_compare(&c, &a) > 0 && address_compare(&b, &b) == 0);
}

static void test_address_ranges(void **state)
{
    static const struct {
        const char *range;
        const char *address;
        bool in;
    } cases[] = {
        { "10.0.0.0/8", "10.255.0.1:1", true },
        { "10.0.0.0/8", "11.0.0.1:1", false },
        { "127.0.0.1", "127.0.0.1:5", true },
        { "127.0.0.1", "127.0.0.2:5", false },
        { "0.0.0.0/0", "203.0.113.7:1", true },
        { "0.0.0.0/0", "[2001:db8::1]:1", false },
        { "::1", "[::1]:7", true },
        { "::/0", "[2001:db8::1]:1", true },
        { "2001:db8::/33", "[2001:db8:7fff::1]:1", true },
        { "2001:db8::/33", "[2001:db8:8000::1]:1", false },
    };
    static const char *const bad[] = { "",   "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129",
                                       "/8", "10.0.0/8",    "name/8",    "10.0.0.0/8/8" };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct address address = address_of(cases[i].address);
        struct address_range range;

        assert_true(address_range_from_text(text(cases[i].range), &range));
        assert_int_equal(address_in_range(&address, &range), cases[i].in);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address_range range;

        assert_false(address_range_from_text(text(bad[i]), &range));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_canonical_text_is_read_and_written),
        cmocka_unit_test(test_address_other_spellings_are_refused),
        cmocka_unit_test(test_address_agrees_with_inet_ntop_and_inet_pton),
        cmocka_unit_test(test_address_of_a_peer),
        cmocka_unit_test(test_address_kinds),
        cmocka_unit_test(test_address_of_one_host_is_any_port_and_any_of_its_network),
        cmocka_unit_test(test_address_compare_orders_by_ip_then_port),
        cmocka_unit_test(test_address_ranges),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
