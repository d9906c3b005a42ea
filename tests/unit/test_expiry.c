/* What this file tests: keys that end, in whole nodes: what is taken in, sent and freed, by whose
 * clock. */

#include "base/deadline.h"
#include "node/expiry.h"

#include <stdio.h>

#include "unit/world_fixture.h"

#define MINUTE_S  60
#define MINUTE_US (MINUTE_S * WORLD_S)

/* The minute that the nodes' clocks show, without what they are ahead. */
static uint32_t minute_of(const struct world *world)
{
    return deadline_now(world_moment(world).unix_s);
}

/* A key of a name that ends so many minutes from now. */
static const char *name(const struct world *world, char text[64], const char *front,
                        uint32_t minutes)
{
    const int size = snprintf(text, 32, "%s", front);

    text[(size_t)size + deadline_put(text + size, minute_of(world) + minutes)] = '\0';
    return text;
}

static uint64_t keys_of(const struct world *world, size_t node)
{
    return table_stats(world->nodes[node].table).keys[TABLE_DATA];
}

static uint64_t ended_of(const struct world *world, size_t node)
{
    return table_stats(world->nodes[node].table).ended;
}

static const struct node_stats *stats_of(const struct world *world, size_t node)
{
    return node_stats(world->nodes[node].node);
}

/* All of them know each other, and have acked a probe of each other. */
static void world_begin(struct world *world, size_t count)
{
    world_create(world, count, 7);
    assert_true(world_run_until(world, 30 * WORLD_S, world_joined, NULL));
    world_run(world, 20 * WORLD_S);
    world_run(world, MINUTE_US - world_moment(world).unix_s % MINUTE_S * WORLD_S);
}

static void test_expiry_ends_a_key_everywhere_and_frees_it(void **state)
{
    struct world *world = *state;
    char text[64];

    world_begin(world, 3);
    world_write(world, 0, name(world, text, "k", 2), 1, 5);
    world_write(world, 0, "stays", 1, 5);
    world_run(world, MINUTE_US);
    assert_int_equal(world_count(world, text, 1, 5), 3);
    world_run(world, MINUTE_US - WORLD_S);
    assert_int_equal(world_count(world, text, 1, 5), 3);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(world_count(world, text, 1, 1), 0);
    assert_int_equal(world_count(world, "stays", 1, 5), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(keys_of(world, i), 1);
        assert_int_equal(ended_of(world, i), 0); /* two others confirm the clock */
        assert_int_equal(stats_of(world, i)->refused_ended, 0);
    }
}

/* A clock that nobody confirms hides; set right, it shows again. */
static void test_expiry_frees_nothing_by_a_wild_clock(void **state)
{
    struct world *world = *state;
    char text[64];

    world_begin(world, 2);
    world_write(world, 0, name(world, text, "k", 24 * 60), 1, 5);
    world_run(world, 5 * WORLD_S);
    world->nodes[1].ahead_s = INT64_C(315360000);
    world_wake(world, 1);
    world_run(world, 2 * MINUTE_US);
    assert_int_equal(world_read(world, 0, text, 1), 5);
    assert_int_equal(world_read(world, 1, text, 1), 0);
    assert_int_equal(keys_of(world, 1), 0);
    assert_int_equal(ended_of(world, 1), 1);
    world->nodes[1].ahead_s = 0;
    world_wake(world, 1);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(world_read(world, 1, text, 1), 5);
    assert_int_equal(ended_of(world, 1), 0);
}

/* Of four, one with a wild clock goes by that of the others. */
static void test_expiry_goes_by_the_clock_of_most(void **state)
{
    struct world *world = *state;
    char text[64];

    world_begin(world, 4);
    world->nodes[3].ahead_s = INT64_C(315360000);
    world_write(world, 0, name(world, text, "k", 10), 1, 5);
    world_run(world, 2 * MINUTE_US);
    assert_int_equal(world_count(world, text, 1, 5), 4);
    world_run(world, 8 * MINUTE_US + WORLD_S);
    assert_int_equal(world_count(world, text, 1, 1), 0);
}

/* What a peer says of a key that has ended, or ends beyond max-keep, stays at the door. */
static void test_expiry_refuses_at_the_door(void **state)
{
    struct world *world = *state;
    struct node_options options = world_options(0);
    const struct address_range anybody = { .bits = 0 };
    char text[64];

    options.trust = &anybody;
    options.trust_count = 1;
    options.keep_max_s = UINT64_C(10) * 86400;
    world_join(world, &options);
    world_run(world, MINUTE_US);
    plain_send(world, 9, 0, name(world, text, "k", 0), 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(stats_of(world, 0)->refused_ended, 1);
    plain_send(world, 9, 0, name(world, text, "k", 12 * 24 * 60), 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(stats_of(world, 0)->refused_max_keep, 1);
    assert_int_equal(keys_of(world, 0), 0);
    plain_send(world, 9, 0, name(world, text, "k", 10 * 24 * 60), 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(keys_of(world, 0), 1);
    assert_int_equal(stats_of(world, 0)->refused_ended + stats_of(world, 0)->refused_max_keep, 2);
}

/* A question about a key that has ended is answered with nothing, nor is it asked for. */
static void test_expiry_neither_answers_nor_asks(void **state)
{
    struct world *world = *state;
    char text[64];

    world_begin(world, 1);
    world_write(world, 0, name(world, text, "k", 1), 1, 5);
    plain_send(world, 9, 0, text, 0, 0);
    world_run(world, MINUTE_US / 2);
    assert_true(world->strays > 0);
    world_run(world, 2 * MINUTE_US);
    world->strays = 0;
    plain_send(world, 9, 0, text, 0, 0);
    plain_send(world, 9, 0, text, 1, 9);
    world_run(world, WORLD_S / 2);
    assert_int_equal(world->strays, 0);
    plain_send(world, 9, 0, "k%", 0, 0);
    world_run(world, WORLD_S / 2);
    assert_int_equal(world->strays, 0);
}

/* A wall clock that wavers about the turn of a minute does not move the minute back. */
static void test_expiry_minute_does_not_waver(void **state)
{
    struct world *world = *state;
    struct node *node;
    uint32_t minute;

    world_begin(world, 1);
    node = world->nodes[0].node;
    minute = minute_of(world);
    assert_int_equal(node->expiry.minute, minute);
    world->nodes[0].ahead_s = -30;
    world_wake(world, 0);
    world_run(world, WORLD_S);
    assert_int_equal(node->expiry.minute, minute);
    world->nodes[0].ahead_s = -90;
    world_wake(world, 0);
    world_run(world, WORLD_S);
    assert_int_equal(node->expiry.minute, minute - 2);
}

#define TOGETHER 5000 /* keys that end in the same minute */

static uint64_t sent_bytes(const struct world *world)
{
    return world->nodes[0].sent_bytes + world->nodes[1].sent_bytes;
}

static bool world_equal(const struct world *world, void *unused)
{
    (void)unused;
    return table_root(world->nodes[0].table, TABLE_DATA)
           == table_root(world->nodes[1].table, TABLE_DATA);
}

static void many_write(struct world *world, uint32_t minutes)
{
    for (unsigned i = 0; i < TOGETHER; i++) {
        char front[32];
        char text[64];

        (void)snprintf(front, sizeof front, "k%u", i);
        world_write(world, 0, name(world, text, front, minutes), i, 5);
        if (i % 100 == 0) {
            world_run(world, WORLD_S / 10);
        }
    }
    world_write(world, 0, "stays", 1, 1);
}

/* Two clocks a minute apart, and many keys that end: whoever is ahead lacks them for a minute, and
 * neither sends them, lists them nor looks what differs; what differs beside them is found. */
static void test_expiry_clocks_a_minute_apart_cost_next_to_nothing(void **state)
{
    struct world *world = *state;
    uint64_t at_rest;
    uint64_t bytes;
    uint32_t minute;
    char text[64];

    world_begin(world, 2);
    many_write(world, 10);
    minute = minute_of(world);
    assert_true(world_run_until(world, 2 * MINUTE_US, world_equal, NULL));
    world_run(world, MINUTE_US - world_moment(world).unix_s % MINUTE_S * WORLD_S);
    world->nodes[1].ahead_s = MINUTE_S;
    world_wake(world, 1);
    world_run(world, MINUTE_US);
    at_rest = sent_bytes(world);
    world_run(world, 4 * MINUTE_US);
    at_rest = (sent_bytes(world) - at_rest) / 4;
    while (keys_of(world, 1) == TOGETHER + 1) {
        world_run(world, WORLD_S / 100);
    }
    world_run(world, WORLD_S / 100); /* turns follow each other at once */
    assert_int_equal(keys_of(world, 1), 1);
    assert_int_equal(keys_of(world, 0), TOGETHER + 1);
    bytes = sent_bytes(world);
    world_run(world, MINUTE_US / 4);
    world_write(world, 0, "stays", 1, 2);
    world_write(world, 0, name(world, text, "k7", minute + 10 - minute_of(world)), 7, 9);
    world_run(world, MINUTE_US * 3 / 4);
    assert_true(sent_bytes(world) - bytes <= at_rest + 2 * 2048);
    assert_int_equal(world_count(world, "stays", 1, 2), 2);
    while (keys_of(world, 0) > 1) {
        world_run(world, WORLD_S);
    }
    world_run(world, 10 * WORLD_S);
    assert_true(world_equal(world, NULL));
    assert_true(sent_bytes(world) - bytes <= 2 * (at_rest + 2 * 2048));
    assert_int_equal(stats_of(world, 0)->refused_ended, 0);
    assert_in_range(stats_of(world, 1)->refused_ended, 1, 8); /* that one, and its tries */
}

/* By so much that no digest is told as of the other's minute. All the same nobody is sent what it
 * would refuse, also once nothing is left there that ends. */
static void test_expiry_clocks_an_hour_apart_send_nothing_that_ended(void **state)
{
    struct world *world = *state;
    char front[16];
    char text[64];

    world_begin(world, 2);
    world->nodes[1].ahead_s = 60 * MINUTE_S;
    world_wake(world, 1);
    for (unsigned i = 0; i < 400; i++) {
        (void)snprintf(front, sizeof front, "k%u", i);
        world_write(world, 0, name(world, text, front, 62 + i % 10), 1, 5);
    }
    world_run(world, MINUTE_US);
    assert_int_equal(keys_of(world, 1), 400);
    world_run(world, 20 * MINUTE_US);
    assert_int_equal(keys_of(world, 0), 400);
    assert_int_equal(keys_of(world, 1), 0);
    assert_int_equal(stats_of(world, 1)->refused_ended, 0);
}

static bool is_equal_lately(const struct world *world, size_t node, size_t other)
{
    struct peer_view view = { .equal_us = 0 };

    return node_peer(world->nodes[node].node, &world->nodes[other].address, &view)
           && world->now_us - view.equal_us < 10 * WORLD_S;
}

/* Of few keys between two clocks each side knows that the rest is equal, and who is behind does not
 * offer them again and again. */
static void test_expiry_of_few_keys_between_two_clocks_is_no_difference(void **state)
{
    struct world *world = *state;
    char text[64];

    world_begin(world, 2);
    world->nodes[1].ahead_s = MINUTE_S;
    world_write(world, 0, name(world, text, "k", 4), 1, 5);
    world_write(world, 0, "stays", 1, 5);
    while (keys_of(world, 1) != 1) {
        world_run(world, WORLD_S);
    }
    world_run(world, MINUTE_US / 3);
    assert_int_equal(keys_of(world, 0), 2);
    assert_true(is_equal_lately(world, 0, 1));
    assert_true(is_equal_lately(world, 1, 0));
    assert_int_equal(stats_of(world, 0)->sync_rounds + stats_of(world, 1)->sync_rounds,
                     2); /* as they met */
    world_write(world, 0, text, 1, 6);
    world_run(world, MINUTE_US / 2);
    assert_in_range(stats_of(world, 1)->refused_ended, 1, 8);
    assert_int_equal(keys_of(world, 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_expiry_ends_a_key_everywhere_and_frees_it),
        TEST(test_expiry_frees_nothing_by_a_wild_clock),
        TEST(test_expiry_goes_by_the_clock_of_most),
        TEST(test_expiry_refuses_at_the_door),
        TEST(test_expiry_neither_answers_nor_asks),
        TEST(test_expiry_minute_does_not_waver),
        TEST(test_expiry_clocks_a_minute_apart_cost_next_to_nothing),
        TEST(test_expiry_clocks_an_hour_apart_send_nothing_that_ended),
        TEST(test_expiry_of_few_keys_between_two_clocks_is_no_difference),
    };

    return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
