/* What this file tests: how an update goes down the tree of members: to all of them, about once,
 * whatever is lost or dead. */

#include "node/peers.h"
#include "node/push.h"
#include "node/state.h"

#include <stdio.h>
#include <string.h>

#include "defaults.h"
#include "unit/test.h"
#include "unit/world.h"

struct fixture {
    struct world world;
    uint64_t depth_broken; /* datagrams whose level does not rise */
    uint64_t pushed;
    unsigned drop; /* of the pushes that leave, that many of the first are lost */
    uint8_t depth_at[64];
};

static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */

    memset(&fixture, 0, sizeof fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    return world_free(&fixture->world) ? 0 : -1;
}

static void world_begin(struct fixture *fixture, size_t count)
{
    world_create(&fixture->world, count, 7);
    assert_true(world_run_until(&fixture->world, 30 * WORLD_S, world_joined, NULL));
    world_run(&fixture->world, 10 * WORLD_S);
}

static uint64_t copies(const struct world *world)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < world->count; i++) {
        sum += node_stats(world->nodes[i].node)->copies;
    }
    return sum;
}

static bool everybody_has(const struct world *world, void *key)
{
    size_t up = 0;

    for (size_t i = 0; i < world->count; i++) {
        up += world->nodes[i].up ? 1 : 0;
    }
    return world_count(world, key, 0, 9) == up;
}

static bool somebody_was_told(const struct world *world, void *key)
{
    return world_count(world, key, 0, 9) > 1;
}

/* Data pushes carry a level above the one their sender got the key from; 0 at its origin. */
static bool watch_pushes(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct fixture *fixture = context;
    struct message message;
    struct item item;

    if (message_decode(datagram, &message) != WIRE_OK || message.items.left == 0
        || message.envelope.depth == WIRE_DEPTH_STOP) {
        return true;
    }
    if (!message_next_item(&message.items, &item) || item.key.data[0] != 'k') {
        return true;
    }
    fixture->pushed++;
    fixture->depth_broken += message.envelope.depth <= fixture->depth_at[from];
    if (fixture->pushed <= fixture->drop) {
        return false;
    }
    fixture->depth_at[to] = message.envelope.depth;
    return true;
}

static void test_push_reaches_two_nodes_with_one_datagram(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 2);
    fixture->world.filter = watch_pushes;
    fixture->world.context = fixture;
    world_write(&fixture->world, 0, "k", 0, 9);
    assert_true(world_run_until(&fixture->world, 10000, everybody_has, "k"));
    world_run(&fixture->world, WORLD_S);
    assert_int_equal(fixture->pushed, 1);
}

static void test_push_sends_one_copy_to_each_where_nothing_is_lost(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before;

    world_begin(fixture, 30);
    before = copies(&fixture->world);
    world_write(&fixture->world, 11, "k", 0, 9);
    assert_true(world_run_until(&fixture->world, 20000, everybody_has, "k"));
    world_run(&fixture->world, WORLD_S);
    assert_int_equal(copies(&fixture->world) - before, 29);
}

static void test_push_levels_rise_strictly(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 30);
    fixture->world.filter = watch_pushes;
    fixture->world.context = fixture;
    world_write(&fixture->world, 3, "k", 0, 9);
    world_run(&fixture->world, WORLD_S);
    assert_int_equal(fixture->pushed, 29);
    assert_int_equal(fixture->depth_broken, 0);
}

static void test_push_lost_is_sent_again(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 10);
    fixture->world.filter = watch_pushes;
    fixture->world.context = fixture;
    fixture->drop = 3;
    world_write(&fixture->world, 0, "k", 0, 9);
    assert_true(world_run_until(&fixture->world, 500000, everybody_has, "k"));
    world_run(&fixture->world, WORLD_S);
    assert_in_range(fixture->pushed, 9 + 3, 9 + 3 + 6);
}

static void test_push_copies_stay_few_under_loss(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint64_t before;

    world_begin(fixture, 30);
    world->loss_permille = 50;
    before = copies(world);
    for (uint64_t i = 0; i < 50; i++) {
        char key[] = { 'k', (char)('a' + i % 25), i < 25 ? 'a' : 'b', 0 };

        world_write(world, i % 30, key, 0, 9);
        assert_true(world_run_until(world, 3 * WORLD_S, everybody_has, key));
        world_run(world, WORLD_S);
    }
    assert_in_range(copies(world) - before, 50 * 29 * 95 / 100, 50 * 29 * 130 / 100);
}

static void test_push_goes_round_dead_members_that_nobody_has_noticed(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 30);
    for (size_t i = 1; i < 10; i++) {
        world_kill(&fixture->world, i * 3);
    }
    world_write(&fixture->world, 0, "k", 0, 9);
    assert_true(world_run_until(&fixture->world, 1200000, everybody_has, "k"));
}

/* Many updates at once share datagrams: the batch delay. */
static void test_push_batches_what_comes_close_together(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint64_t before;

    world_begin(fixture, 2);
    before = world_sent(world, NODE_KIND_PUSH);
    for (uint64_t i = 0; i < 40; i++) {
        world_write(world, 0, "k", i, 9);
        world_run(world, 1000);
    }
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 1, "k", 39), 9);
    assert_in_range(world_sent(world, NODE_KIND_PUSH) - before, 2, 3);
}

static void test_push_without_a_delay_batches_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    struct node_options options = { NODE_DEFAULTS };
    uint64_t before;

    world_begin(fixture, 2);
    options.batch_delay_us = 0;
    assert_int_equal(node_configure(world->nodes[0].node, world_moment(world), &options),
                     STATUS_OK);
    before = world_sent(world, NODE_KIND_PUSH);
    for (uint64_t i = 0; i < 40; i++) {
        world_write(world, 0, "k", i, 9);
        world_run(world, 1000);
    }
    world_run(world, WORLD_S);
    assert_int_equal(world_sent(world, NODE_KIND_PUSH) - before, 40);
}

/* Whole subtrees have let everything be lost, and none of them may be sent more: that is found out
 * once for all that was lost there. */
static void test_push_looks_once_for_whom_lost_datagrams_may_go_to(void **state)
{
    enum { NODES = 30, KEYS = 1000, MOST = 200 }; /* a hundred datagrams were lost */
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    struct node *node;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct address to;
    uint64_t before;

    world_begin(fixture, NODES);
    node = world->nodes[0].node;
    world->loss_permille = 1000;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key%u", i);
        world_write(world, 0, key, 0, 9);
        world_run(world, 200);
    }
    for (uint32_t i = 0; i < peers_members(node->peers); i++) {
        peers_member(node->peers, i)->window_theirs = 0;
    }
    world_run(world, WORLD_S / 2);
    before = node_work(node);
    while (node_emit(node, world_moment(world), (struct space){ buffer, sizeof buffer }, &to) > 0) {
    }
    assert_in_range(node_work(node) - before, 1, MOST);
    node_turn_end(node);
}

/* The origin dies right after its first datagrams were acked: those who have it do not cover the
 * subtrees that were not told, anti-entropy does. */
static void test_push_cut_short_is_mended_by_anti_entropy(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 20);
    fixture->world.filter = watch_pushes;
    fixture->world.context = fixture;
    fixture->drop = 0;
    world_write(&fixture->world, 0, "k", 0, 9);
    assert_true(world_run_until(&fixture->world, WORLD_S, somebody_was_told, "k"));
    fixture->world.loss_permille = 1000;
    world_run(&fixture->world, 900);
    fixture->world.loss_permille = 0;
    world_kill(&fixture->world, 0);
    world_run(&fixture->world, 500);
    assert_in_range(world_count(&fixture->world, "k", 0, 9), 1, 18);
    assert_true(world_run_until(&fixture->world, 8 * WORLD_S, everybody_has, "k"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_push_reaches_two_nodes_with_one_datagram),
        TEST(test_push_sends_one_copy_to_each_where_nothing_is_lost),
        TEST(test_push_levels_rise_strictly),
        TEST(test_push_lost_is_sent_again),
        TEST(test_push_copies_stay_few_under_loss),
        TEST(test_push_goes_round_dead_members_that_nobody_has_noticed),
        TEST(test_push_batches_what_comes_close_together),
        TEST(test_push_without_a_delay_batches_nothing),
        TEST(test_push_looks_once_for_whom_lost_datagrams_may_go_to),
        TEST(test_push_cut_short_is_mended_by_anti_entropy),
    };

    return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
