/* What this file tests: how nodes come to know each other, for ever, and how they part. */

#include "node/contact.h"

#include "unit/node_exchange.h"

static void test_contact_named_clusters_form_and_do_not_merge(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = options_of(i);

        options.cluster_id = i == 2 ? 22 : 11;
        node_add(fixture, &options);
    }
    run_us(fixture, 10 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 0, 2), PEER_STATE_COUNT);
    assert_true(node_stats(fixture->places[0].node)->refused_cluster > 0);
    assert_int_equal(update(fixture, 0, "foo", 1, 1, NULL), STATUS_OK);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 1, "foo", 1), 1);
    assert_int_equal(value_at(fixture, 2, "foo", 1), 0);
    plain_send(fixture, 3, 0, "foo", 1, 5, 3);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 1);
}

static void test_contact_that_leaves_is_seen_to_have_left(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 3);
    run_us(fixture, 5 * SECOND_US);
    assert_false(node_has_left(fixture->places[2].node));
    node_leave(fixture->places[2].node, fixture->now);
    assert_false(node_has_left(fixture->places[2].node));
    fixture->places[2].dirty = true;
    run_us(fixture, SECOND_US / 10);
    assert_true(node_has_left(fixture->places[2].node));
    assert_int_equal(state_at(fixture, 0, 2), PEER_LEFT);
    assert_int_equal(state_at(fixture, 1, 2), PEER_LEFT);
}

static void test_contact_that_cannot_be_heard_gives_up_leaving(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    fixture->lossy = true;
    node_leave(fixture->places[1].node, fixture->now);
    fixture->places[1].dirty = true;
    run_us(fixture, 2 * SECOND_US);
    assert_true(node_has_left(fixture->places[1].node));
}

static void test_contact_forgotten_while_alive_comes_back(void **state)
{
    struct fixture *fixture = *state;
    const struct address stranger = address_of(3);
    const struct address address = address_of(1);
    struct fault why;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_forget(fixture->places[0].node, fixture->now, &stranger, &why),
                     STATUS_INVALID);
    assert_int_equal(node_forget(fixture->places[0].node, fixture->now, &address, &why), STATUS_OK);
    assert_int_equal(state_at(fixture, 0, 1), PEER_LEFT);
    fixture->places[0].dirty = true;
    run_us(fixture, 10 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_true(node_stats(fixture->places[1].node)->refutations > 0);
}

static void test_contact_introduced_to_another_finds_it(void **state)
{
    struct fixture *fixture = *state;
    struct address address = address_of(1);
    struct fault why;

    nodes_create(fixture, 1);
    address.port = 0;
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_INVALID);
    address = address_of(0);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_INVALID);
    address = address_of(1);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_OK);
    run_us(fixture, 5 * SECOND_US);
    {
        const struct node_options options = options_of(1);

        place_create(fixture, &options, 0);
    }
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
}

static void test_contact_skips_a_seed_that_is_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct address self = address_of(0);
    struct peer_view view;

    nodes_create(fixture, 1);
    node_seeds(fixture->places[0].node, fixture->now, &self, 1);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &view, 1), 0);
    assert_int_equal(fixture->sent, 0);
}

/* Its own first contact comes back from a seed: the seed is an alias of its own address. */
static void test_contact_knows_its_own_address_by_another_name(void **state)
{
    struct fixture *fixture = *state;
    const struct address alias = address_of(3);
    struct peer_view view;

    nodes_create(fixture, 1);
    node_seeds(fixture->places[0].node, fixture->now, &alias, 1);
    fixture->alias = &alias;
    run_us(fixture, 10 * SECOND_US);
    assert_in_range(fixture->sent, 1, 4);
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &view, 1), 0);
    assert_int_equal(table_stats(fixture->places[0].table).keys[TABLE_MEMBERS], 1);
}

/* Whichever datagram of the first ones is lost, the two find each other and agree. */
static void test_contact_one_lost_datagram_keeps_nobody_apart(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t lose = 1; lose < 40; lose++) {
        now_set(fixture, SECOND_US);
        fixture->sent = 0;
        fixture->lose = lose;
        nodes_create(fixture, 2);
        assert_int_equal(update(fixture, 1, "foo", 1, 7, NULL), STATUS_OK);
        run_us(fixture, 20 * SECOND_US);
        assert_true(fixture->sent > lose);
        assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
        assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
        assert_int_equal(value_at(fixture, 0, "foo", 1), 7);
        for (unsigned i = 0; i < 2; i++) {
            const struct address other = address_of(1 - i);
            struct peer_view view;

            assert_true(node_peer(fixture->places[i].node, &other, &view));
            assert_int_equal(view.level, 1);
        }
        places_clear(fixture);
    }
}

static void test_contact_a_stranger_is_no_peer(void **state)
{
    struct fixture *fixture = *state;
    struct peer_view view;

    nodes_create(fixture, 1);
    plain_send(fixture, 3, 0, "foo", 1, 5, 3);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 5);
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &view, 1), 0);
}

/* Seeds are for ever; what was introduced is until the list has no room. */
static void test_contact_seeds_have_a_limit_and_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct address seeds[NODE_SEEDS_MAX];
    struct address another = address_of(7);
    struct fault why;

    nodes_create(fixture, 1);
    for (unsigned i = 0; i < NODE_SEEDS_MAX; i++) {
        seeds[i] = address_of(1);
        seeds[i].port = (uint16_t)(7000 + i);
    }
    node_seeds(fixture->places[0].node, fixture->now, seeds, NODE_SEEDS_MAX);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &another, &why),
                     STATUS_FULL);
    node_seeds(fixture->places[0].node, fixture->now, seeds, 3);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &another, &why),
                     STATUS_OK);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &another, &why),
                     STATUS_OK);
    assert_int_equal(contact_seeds_count(fixture->places[0].node), 4);
    node_seeds(fixture->places[0].node, fixture->now, seeds, 1);
    assert_int_equal(contact_seeds_count(fixture->places[0].node), 2);
    assert_int_equal(node_forget(fixture->places[0].node, fixture->now, &another, &why), STATUS_OK);
    assert_int_equal(contact_seeds_count(fixture->places[0].node), 1);
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
