/* What this file tests: how nodes come to know each other, for ever, and how they part. */

#include "node/contact.h"

#include "unit/world_fixture.h"

static void test_contact_named_clusters_form_and_do_not_merge(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = world_options(i);

        options.cluster_id = i == 2 ? 22 : 11;
        world_join(world, &options);
    }
    world_run(world, 10 * WORLD_S);
    assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
    assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
    assert_int_equal(world_state(world, 0, 2), PEER_STATE_COUNT);
    assert_true(node_stats(world->nodes[0].node)->refused_cluster > 0);
    assert_int_equal(world_update(world, 0, "foo", 1, 1, NULL), STATUS_OK);
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 1, "foo", 1), 1);
    assert_int_equal(world_read(world, 2, "foo", 1), 0);
    plain_send(world, 3, 0, "foo", 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 0, "foo", 1), 1);
}

static void test_contact_that_leaves_is_seen_to_have_left(void **state)
{
    struct world *world = *state;

    nodes_create(world, 3);
    world_run(world, 5 * WORLD_S);
    assert_false(node_has_left(world->nodes[2].node));
    node_leave(world->nodes[2].node, world_moment(world));
    assert_false(node_has_left(world->nodes[2].node));
    world_wake(world, 2);
    world_run(world, WORLD_S / 10);
    assert_true(node_has_left(world->nodes[2].node));
    assert_int_equal(world_state(world, 0, 2), PEER_LEFT);
    assert_int_equal(world_state(world, 1, 2), PEER_LEFT);
}

static void test_contact_that_cannot_be_heard_gives_up_leaving(void **state)
{
    struct world *world = *state;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    world->loss_permille = 1000;
    node_leave(world->nodes[1].node, world_moment(world));
    world_wake(world, 1);
    world_run(world, 2 * WORLD_S);
    assert_true(node_has_left(world->nodes[1].node));
}

static void test_contact_forgotten_while_alive_comes_back(void **state)
{
    struct world *world = *state;
    const struct address stranger = world_address(3);
    const struct address address = world_address(1);
    struct fault why;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(node_forget(world->nodes[0].node, world_moment(world), &stranger, &why),
                     STATUS_INVALID);
    assert_int_equal(node_forget(world->nodes[0].node, world_moment(world), &address, &why),
                     STATUS_OK);
    assert_int_equal(world_state(world, 0, 1), PEER_LEFT);
    world_wake(world, 0);
    world_run(world, 10 * WORLD_S);
    assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
    assert_true(node_stats(world->nodes[1].node)->refutations > 0);
}

static void test_contact_introduced_to_another_finds_it(void **state)
{
    const struct node_options options = world_options(1);
    struct world *world = *state;
    struct address address = world_address(1);
    struct fault why;

    nodes_create(world, 1);
    address.port = 0;
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &address, &why),
                     STATUS_INVALID);
    address = world_address(0);
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &address, &why),
                     STATUS_INVALID);
    address = world_address(1);
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &address, &why),
                     STATUS_OK);
    world_run(world, 5 * WORLD_S);
    world_add(world, &options, 0);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
    assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
}

static void test_contact_skips_a_seed_that_is_itself(void **state)
{
    struct world *world = *state;
    const struct address self = world_address(0);
    struct peer_view view;

    nodes_create(world, 1);
    node_seeds(world->nodes[0].node, world_moment(world), &self, 1);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(node_peers(world->nodes[0].node, NULL, &view, 1), 0);
    assert_int_equal(world->sent, 0);
}

/* Its own first contact comes back from a seed: the seed is an alias of its own address. */
static void test_contact_knows_its_own_address_by_another_name(void **state)
{
    struct world *world = *state;
    const struct address alias = world_address(3);
    struct peer_view view;

    nodes_create(world, 1);
    node_seeds(world->nodes[0].node, world_moment(world), &alias, 1);
    world->alias = &alias;
    world_run(world, 10 * WORLD_S);
    assert_in_range(world->sent, 1, 4);
    assert_int_equal(node_peers(world->nodes[0].node, NULL, &view, 1), 0);
    assert_int_equal(table_stats(world->nodes[0].table).keys[TABLE_MEMBERS], 1);
}

/* Whichever datagram of the first ones is lost, the two find each other and agree. */
static void test_contact_one_lost_datagram_keeps_nobody_apart(void **state)
{
    struct world *world = *state;

    for (uint64_t lose = 1; lose < 40; lose++) {
        world->lose = lose;
        nodes_create(world, 2);
        assert_int_equal(world_update(world, 1, "foo", 1, 7, NULL), STATUS_OK);
        world_run(world, 20 * WORLD_S);
        assert_true(world->sent > lose);
        assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
        assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
        assert_int_equal(world_read(world, 0, "foo", 1), 7);
        for (unsigned i = 0; i < 2; i++) {
            const struct address other = world_address(1 - i);
            struct peer_view view;

            assert_true(node_peer(world->nodes[i].node, &other, &view));
            assert_int_equal(view.level, 1);
        }
        assert_true(world_free(world));
    }
}

static void test_contact_a_stranger_is_no_peer(void **state)
{
    struct world *world = *state;
    struct peer_view view;

    nodes_create(world, 1);
    plain_send(world, 3, 0, "foo", 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 0, "foo", 1), 5);
    assert_int_equal(node_peers(world->nodes[0].node, NULL, &view, 1), 0);
}

/* Seeds are for ever; what was introduced is until the list has no room. */
static void test_contact_seeds_have_a_limit_and_are_replaced(void **state)
{
    struct world *world = *state;
    struct address seeds[NODE_SEEDS_MAX];
    struct address another = world_address(7);
    struct fault why;

    nodes_create(world, 1);
    for (unsigned i = 0; i < NODE_SEEDS_MAX; i++) {
        seeds[i] = world_address(1);
        seeds[i].port = (uint16_t)(7000 + i);
    }
    node_seeds(world->nodes[0].node, world_moment(world), seeds, NODE_SEEDS_MAX);
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &another, &why),
                     STATUS_FULL);
    node_seeds(world->nodes[0].node, world_moment(world), seeds, 3);
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &another, &why),
                     STATUS_OK);
    assert_int_equal(node_introduce(world->nodes[0].node, world_moment(world), &another, &why),
                     STATUS_OK);
    assert_int_equal(contact_seeds_count(world->nodes[0].node), 4);
    node_seeds(world->nodes[0].node, world_moment(world), seeds, 1);
    assert_int_equal(contact_seeds_count(world->nodes[0].node), 2);
    assert_int_equal(node_forget(world->nodes[0].node, world_moment(world), &another, &why),
                     STATUS_OK);
    assert_int_equal(contact_seeds_count(world->nodes[0].node), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_contact_named_clusters_form_and_do_not_merge),
        TEST(test_contact_that_leaves_is_seen_to_have_left),
        TEST(test_contact_that_cannot_be_heard_gives_up_leaving),
        TEST(test_contact_forgotten_while_alive_comes_back),
        TEST(test_contact_introduced_to_another_finds_it),
        TEST(test_contact_skips_a_seed_that_is_itself),
        TEST(test_contact_knows_its_own_address_by_another_name),
        TEST(test_contact_one_lost_datagram_keeps_nobody_apart),
        TEST(test_contact_a_stranger_is_no_peer),
        TEST(test_contact_seeds_have_a_limit_and_are_replaced),
    };

    return cmocka_run_group_tests_name("contact", tests, NULL, NULL);
}
