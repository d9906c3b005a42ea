/* What this file tests: datagrams that wait are taken by source in turns, and whoever sends most
 * loses first. */

#include "net/backlog.h"

#include <stdlib.h>
#include <string.h>

#include "unit/test.h"

#define SECRET UINT64_C(7) /* under which the sources below have lanes of their own */

static struct address source_of(unsigned number)
{
    return (struct address){ .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)number },
                             .port = 6000 };
}

/* Sources of one host: an IPv6 network. */
static struct address source_of_host(unsigned number)
{
    return (struct address){ .ip = { 0x20,
                                     0x01, [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number },
                             .port = (uint16_t)(6000 + number) };
}

static unsigned put_from(struct backlog *backlog, struct address from, uint8_t number, size_t size)
{
    static uint8_t data[65536];

    data[0] = number;
    return backlog_put(backlog, &from, (struct bytes){ data, size });
}

static unsigned put(struct backlog *backlog, unsigned source, uint8_t number, size_t size)
{
    return put_from(backlog, source_of(source), number, size);
}

/* The source and the number of the next one. */
static void take(struct backlog *backlog, unsigned source, uint8_t number)
{
    const struct address from = source_of(source);
    struct backlog_datagram *datagram = backlog_take(backlog);

    assert_non_null(datagram);
    assert_int_equal(address_compare(&datagram->from, &from), 0);
    assert_int_equal(datagram->data[0], number);
    free(datagram);
}

static void test_backlog_takes_sources_in_turns_and_each_in_order(void **state)
{
    struct backlog backlog;

    (void)state;
    backlog_init(&backlog, SECRET);
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(put(&backlog, 1, i, 10), 0);
    }
    assert_int_equal(put(&backlog, 2, 0, 10), 0);
    assert_int_equal(put(&backlog, 3, 0, 10), 0);
    assert_int_equal(put(&backlog, 3, 1, 10), 0);
    take(&backlog, 1, 0);
    take(&backlog, 2, 0);
    take(&backlog, 3, 0);
    take(&backlog, 1, 1);
    take(&backlog, 3, 1);
    take(&backlog, 1, 2);
    take(&backlog, 1, 3);
    assert_true(backlog_empty(&backlog));
    assert_null(backlog_take(&backlog));
    assert_int_equal(backlog.bytes, 0);
}

/* A thousand addresses and ports of one host have the turn of one, and lose first. */
static void test_backlog_of_one_host_has_one_turn(void **state)
{
    enum { SOURCES = 1000 };
    struct backlog backlog;
    unsigned before = 0;

    (void)state;
    backlog_init(&backlog, SECRET);
    for (unsigned i = 0; i < SOURCES; i++) {
        assert_int_equal(put_from(&backlog, source_of_host(i), 0, 100), 0);
    }
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(put(&backlog, 2, i, 100), 0);
    }
    for (uint8_t i = 0; i < 4; i++) {
        struct backlog_datagram *datagram = backlog_take(&backlog);

        assert_false(address_is_ipv4(&datagram->from));
        free(datagram);
        take(&backlog, 2, i);
    }
    assert_int_equal(put(&backlog, 2, 9, 60000), 0);
    for (unsigned dropped = 0; dropped < 10; before++) {
        dropped += put_from(&backlog, source_of_host(before % SOURCES), 0, 1400);
        assert_true(backlog.bytes <= BACKLOG_BYTES_MAX);
    }
    free(backlog_take(&backlog));
    take(&backlog, 2, 9);
    backlog_clear(&backlog);
    assert_int_equal(backlog.bytes, 0);
}

static void test_backlog_drops_the_oldest_of_whoever_sends_most(void **state)
{
    struct backlog backlog;
    unsigned dropped = 0;
    unsigned puts = 0;

    (void)state;
    backlog_init(&backlog, SECRET);
    assert_int_equal(put(&backlog, 2, 9, 100), 0);
    while (dropped < 10) {
        dropped += put(&backlog, 1, (uint8_t)puts++, 60000);
        assert_true(backlog.bytes <= BACKLOG_BYTES_MAX);
    }
    assert_true(puts > 10);
    take(&backlog, 2, 9);
    take(&backlog, 1, 10);
    backlog_clear(&backlog);
    assert_int_equal(backlog.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backlog_takes_sources_in_turns_and_each_in_order),
        cmocka_unit_test(test_backlog_of_one_host_has_one_turn),
        cmocka_unit_test(test_backlog_drops_the_oldest_of_whoever_sends_most),
    };

    return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
