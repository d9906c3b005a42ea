/* What this file tests: what an address may be sent that has not shown that it receives, against
 * sums done by hand. */

#include "node/credit.h"
#include "node/state.h"

#include <string.h>

#include "unit/test.h"

#define SECOND UINT64_C(1000000)

struct fixture {
    struct mem mem;
    struct node node;
    struct random random;
    struct moment now;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.now.mono_us = 100 * SECOND;
    fixture.node.secret = 7;
    random_seed(&fixture.random, 1, 2);
    fixture.node.mem = &fixture.mem;
    assert_true(credit_create(&fixture.node, fixture.now));
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    credit_free(&fixture->node);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static struct address ipv4(unsigned net, unsigned host)
{
    return (struct address){
        .ip = { [10] = 0xff,
                [11] = 0xff,
                [12] = 10,
                [13] = (uint8_t)(net >> 8),
                [14] = (uint8_t)net,
                [15] = (uint8_t)host },
        .port = 6000,
    };
}

static size_t room(struct fixture *fixture, const struct address *address,
                   const struct credit *credit)
{
    return credit_room(&fixture->node, fixture->now, address, credit);
}

static void spend(struct fixture *fixture, const struct address *address, struct credit *credit,
                  size_t size)
{
    credit_spend(&fixture->node, fixture->now, address, credit, size);
}

/* The network had what everybody may have in this second. */
static void floor_spend(struct fixture *fixture, const struct address *address)
{
    struct credit other = { 0 };

    spend(fixture, address, &other, CREDIT_FLOOR_BYTES);
}

static void test_credit_is_what_came_in_bytes_and_in_datagrams(void **state)
{
    struct fixture *fixture = *state;
    const struct address address = ipv4(0, 1);
    struct credit credit = { 0 };

    floor_spend(fixture, &address); /* only what came */
    assert_int_equal(room(fixture, &address, &credit), 0);
    credit_received(&credit, 300);
    credit_received(&credit, 100);
    assert_int_equal(room(fixture, &address, &credit), 428);
    spend(fixture, &address, &credit, 200);
    assert_int_equal(room(fixture, &address, &credit), 200);
    spend(fixture, &address, &credit, 10);
    assert_int_equal(credit.bytes, 300 + 100 + 56 - 200 - 10 - 56);
    assert_int_equal(room(fixture, &address, &credit), 0); /* two came, two left */
}

static void test_credit_that_is_saved_up_has_a_limit(void **state)
{
    struct fixture *fixture = *state;
    const struct address address = ipv4(0, 1);
    struct credit credit = { 0 };

    for (unsigned i = 0; i < 100000; i++) {
        credit_received(&credit, 65507);
    }
    assert_int_equal(room(fixture, &address, &credit), CREDIT_BYTES_MAX - NODE_HEADER_BYTES);
}

static void test_credit_floor_is_one_small_datagram_a_second_and_network(void **state)
{
    struct fixture *fixture = *state;
    const struct address one = ipv4(1, 1);
    const struct address beside = ipv4(1, 200);
    const struct address elsewhere = ipv4(2, 1);
    const struct address six = { .ip = { 0x20, 1, 0xd, 0xb8, 0, 0, 1, [15] = 1 }, .port = 1 };
    const struct address six_beside = { .ip = { 0x20, 1, 0xd, 0xb8, 0, 0, 1, 9, 9 }, .port = 2 };
    struct credit credit = { 0 };

    assert_int_equal(room(fixture, &one, &credit), CREDIT_FLOOR_BYTES);
    spend(fixture, &one, &credit, 100);
    assert_int_equal(credit.bytes, 0);
    assert_int_equal(room(fixture, &one, &credit), 0);
    assert_int_equal(room(fixture, &beside, &credit), 0);
    assert_int_equal(room(fixture, &elsewhere, &credit), CREDIT_FLOOR_BYTES);
    assert_int_equal(room(fixture, &six, &credit), CREDIT_FLOOR_BYTES);
    spend(fixture, &six, &credit, 100);
    assert_int_equal(room(fixture, &six_beside, &credit), 0);
    fixture->now.mono_us += SECOND - 1000;
    assert_int_equal(room(fixture, &beside, &credit), 0);
    fixture->now.mono_us += 1000;
    assert_int_equal(room(fixture, &beside, &credit), CREDIT_FLOOR_BYTES);
}

/* Every network once a second would be 2^24 datagrams: all together have a limit. */
static void test_credit_floor_of_all_networks_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct credit credit = { 0 };
    uint64_t bytes = 0;

    for (unsigned i = 0; i < 200000; i++) {
        const struct address address = ipv4((unsigned)random_below(&fixture->random, 65536), 1);

        fixture->now.mono_us += 50; /* ten seconds in all */
        if (room(fixture, &address, &credit) > 0) {
            spend(fixture, &address, &credit, CREDIT_FLOOR_BYTES);
            bytes += CREDIT_FLOOR_BYTES + NODE_HEADER_BYTES;
        }
    }
    assert_in_range(bytes, CREDIT_FLOOR_NETS * 9 * 156, 11 * CREDIT_FLOOR_RATE);
}

static void test_credit_of_whom_somebody_told_is_one_small_datagram(void **state)
{
    struct fixture *fixture = *state;
    const struct address address = ipv4(0, 1);
    struct credit credit = { 0 };

    floor_spend(fixture, &address);
    credit_told(&credit);
    assert_int_equal(room(fixture, &address, &credit), CREDIT_FLOOR_BYTES);
    spend(fixture, &address, &credit, CREDIT_FLOOR_BYTES);
    assert_int_equal(room(fixture, &address, &credit), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_credit_is_what_came_in_bytes_and_in_datagrams),
        TEST(test_credit_that_is_saved_up_has_a_limit),
        TEST(test_credit_floor_is_one_small_datagram_a_second_and_network),
        TEST(test_credit_floor_of_all_networks_is_bounded),
        TEST(test_credit_of_whom_somebody_told_is_one_small_datagram),
    };

    return cmocka_run_group_tests_name("credit", tests, NULL, NULL);
}
