/* What this file tests: whole nodes, two or three of them: what a client writes at one is read at
 * all, equal calls give equal datagrams, and a node without memory is a node that goes on. */

#include "node/node.h"
#include "node/peers.h"

#include "unit/world_fixture.h"

#define NODE_PARTS 14 /* that node_create() allocates */

static void test_node_an_update_at_one_is_read_at_the_other(void **state)
{
    struct world *world = *state;
    struct client_done done;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
    assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
    assert_int_equal(world_update(world, 0, "foo", 3, 7, &done), STATUS_OK);
    assert_int_equal(done.elements_raised, 1);
    assert_int_equal(done.joined, 1);
    assert_true(mark_has(&done.last.raised, 3));
    world_run(world, WORLD_S / 5);
    assert_int_equal(world_read(world, 1, "foo", 3), 7);
    assert_int_equal(world_update(world, 1, "foo", 300, 9, NULL), STATUS_OK);
    world_run(world, WORLD_S / 5);
    assert_int_equal(world_read(world, 0, "foo", 300), 9);
    assert_true(table_root(world->nodes[0].table, TABLE_DATA)
                == table_root(world->nodes[1].table, TABLE_DATA));
}

static void test_node_an_update_reaches_all_of_three(void **state)
{
    struct world *world = *state;

    nodes_create(world, 3);
    world_run(world, 5 * WORLD_S);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(world_state(world, i, j), i == j ? PEER_STATE_COUNT : PEER_ALIVE);
        }
        assert_int_equal(world_update(world, i, "all", i, 1 + i, NULL), STATUS_OK);
    }
    world_run(world, WORLD_S / 2);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(world_read(world, i, "all", j), 1 + j);
        }
    }
}

static void test_node_what_was_written_before_they_met_is_exchanged(void **state)
{
    struct world *world = *state;

    nodes_create(world, 2);
    for (unsigned i = 0; i < 200; i++) {
        char key[16] = "key ";

        key[4] = (char)('a' + i % 20);
        key[5] = (char)('a' + i / 20);
        assert_int_equal(world_update(world, i % 2, key, i, 1 + i, NULL), STATUS_OK);
    }
    world_run(world, 20 * WORLD_S);
    assert_int_equal(table_stats(world->nodes[0].table).keys[TABLE_DATA], 200);
    assert_true(table_root(world->nodes[0].table, TABLE_DATA)
                == table_root(world->nodes[1].table, TABLE_DATA));
}

static uint64_t trace_of_a_run(struct world *world)
{
    uint64_t trace;

    nodes_create(world, 3);
    for (unsigned i = 0; i < 60; i++) {
        char key[] = "key a";

        key[4] = (char)('a' + i % 26);
        assert_int_equal(world_update(world, i % 3, key, i, i + 1, NULL), STATUS_OK);
        world_run(world, WORLD_S / 7);
    }
    assert_true(world->sent > 100);
    trace = world->trace;
    assert_true(world_free(world));
    return trace;
}

static void test_node_the_same_calls_give_the_same_datagrams(void **state)
{
    assert_true(trace_of_a_run(*state) == trace_of_a_run(*state));
}

static void test_node_bad_datagrams_are_counted_by_reason(void **state)
{
    static const struct {
        const char *datagram;
        enum wire_drop drop;
    } rows[] = {
        { "\xc0", WIRE_NOT_A_MAP },
        { "\x81", WIRE_TRUNCATED },
        { "\x80", WIRE_NO_KEY },
        { "\x81\xa3key\xa1k\xc0", WIRE_TRAILING },
        { "\x81\xa3key\x01", WIRE_BAD_TYPE },
    };
    struct world *world = *state;
    const struct address from = world_address(3);

    nodes_create(world, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        node_receive(world->nodes[0].node, world_moment(world), &from, bytes_of(rows[i].datagram));
        assert_int_equal(node_stats(world->nodes[0].node)->dropped[rows[i].drop], 1);
    }
    assert_int_equal(node_peers(world->nodes[0].node, NULL, &(struct peer_view){ 0 }, 1), 0);
}

static void test_node_takes_plain_messages_and_answers_what_is_larger(void **state)
{
    const struct address_range trust = { .ip = { 0 }, .bits = 0 };
    struct node_options options = world_options(0);
    struct world *world = *state;
    uint64_t sent;

    options.trust = &trust;
    options.trust_count = 1;
    world_add(world, &options, 0);
    plain_send(world, 3, 0, "foo", 1, 5);
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 0, "foo", 1), 5);
    assert_int_equal(node_stats(world->nodes[0].node)->elements_raised, 1);
    sent = node_stats(world->nodes[0].node)->sent[NODE_KIND_PLAIN];
    plain_send(world, 3, 0, "foo", 1, 4);
    world_run(world, WORLD_S / 2);
    assert_int_equal(world_read(world, 0, "foo", 1), 5);
    assert_true(node_stats(world->nodes[0].node)->sent[NODE_KIND_PLAIN] > sent);
}

static void test_node_plain_only_never_speaks_extended(void **state)
{
    struct world *world = *state;
    const struct node_stats *stats;
    struct peer_view view;

    for (unsigned i = 0; i < 3; i++) {
        const struct address_range anybody = { .bits = 0 };
        struct node_options options = world_options(i);

        options.trust = &anybody; /* plain peers cannot echo */
        options.trust_count = 1;
        options.plain_only = i == 2;
        world_join(world, &options);
    }
    world_run(world, 10 * WORLD_S);
    assert_true(node_peer(world->nodes[0].node, &(struct address){ 0 }, &view) == false);
    assert_int_equal(world_state(world, 0, 2), PEER_ALIVE);
    assert_int_equal(world_update(world, 1, "foo", 1, 1, NULL), STATUS_OK);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(world_read(world, 2, "foo", 1), 1);
    assert_int_equal(world_update(world, 2, "bar", 1, 1, NULL), STATUS_OK);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(world_read(world, 0, "bar", 1), 1);
    assert_int_equal(world_read(world, 1, "bar", 1), 1);
    stats = node_stats(world->nodes[2].node);
    for (unsigned kind = 0; kind < NODE_KIND_COUNT; kind++) {
        if (kind != NODE_KIND_PLAIN) {
            assert_int_equal(stats->sent[kind], 0);
            assert_int_equal(stats->received[kind], 0);
        }
    }
}

static void test_node_is_ready_when_alone_equal_once_or_after_a_while(void **state)
{
    struct world *world = *state;
    const struct node_options third = world_options(2);
    const struct address nobody = world_address(3);

    nodes_create(world, 2);
    assert_int_equal(node_readiness(world->nodes[0].node, world_moment(world)), NODE_READY_ALONE);
    assert_int_equal(node_readiness(world->nodes[1].node, world_moment(world)), NODE_READY_NOT);
    world_run(world, 4 * WORLD_S);
    assert_int_equal(node_readiness(world->nodes[0].node, world_moment(world)), NODE_READY_EQUAL);
    assert_int_equal(node_readiness(world->nodes[1].node, world_moment(world)), NODE_READY_EQUAL);
    node_seeds(world_add(world, &third, 0)->node, world_moment(world), &nobody, 1);
    world_run(world, 9 * WORLD_S);
    assert_int_equal(node_readiness(world->nodes[2].node, world_moment(world)), NODE_READY_NOT);
    world_run(world, WORLD_S);
    assert_int_equal(node_readiness(world->nodes[2].node, world_moment(world)), NODE_READY_LATE);
}

/* Take every event, the last of this peer into `last`. Returns how many of its there were. */
static unsigned events_of(struct node *node, const struct address *address, struct node_event *last)
{
    struct node_event event;
    unsigned count = 0;

    while (node_take_event(node, &event)) {
        if (event.kind == NODE_EVENT_PEER && address_compare(&event.address, address) == 0) {
            *last = event;
            count++;
        }
    }
    return count;
}

static void test_node_tells_each_transition_of_a_peer_once(void **state)
{
    struct world *world = *state;
    const struct address other = world_address(1);
    struct node_event event = { 0 };

    nodes_create(world, 2);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(events_of(world->nodes[0].node, &other, &event), 1);
    assert_int_equal(event.was, PEER_NEW);
    assert_int_equal(event.is, PEER_ALIVE);
    assert_true(event.heard_us > 0);
    world_run(world, 2 * WORLD_S);
    assert_int_equal(events_of(world->nodes[0].node, &other, &event), 0);
    node_leave(world->nodes[1].node, world_moment(world));
    world_run(world, WORLD_S);
    assert_int_equal(events_of(world->nodes[0].node, &other, &event), 1);
    assert_int_equal(event.was, PEER_ALIVE);
    assert_int_equal(event.is, PEER_LEFT);
}

static void test_node_lists_peers_in_address_order(void **state)
{
    struct world *world = *state;
    struct peer_view views[4];
    const struct address second = world_address(2);

    nodes_create(world, 4);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(node_peers(world->nodes[1].node, NULL, views, 2), 2);
    assert_int_equal(views[0].address.ip[15], 1);
    assert_int_equal(views[0].http_port, 8000);
    assert_int_equal(views[0].level, 1);
    assert_true(views[0].is_seed);
    assert_int_equal(views[1].address.ip[15], 3);
    assert_int_equal(node_peers(world->nodes[1].node, &second, views, 4), 1);
    assert_int_equal(views[0].address.ip[15], 4);
    assert_false(views[0].is_seed);
}

static void test_node_idle_nodes_take_few_turns(void **state)
{
    struct world *world = *state;
    uint64_t turns;

    nodes_create(world, 3);
    world_run(world, 10 * WORLD_S);
    turns = world->turns;
    world_run(world, 60 * WORLD_S);
    assert_in_range(world->turns - turns, 60, 60 * 3 * 30);
}

static void test_node_that_nobody_answers_takes_few_turns(void **state)
{
    struct world *world = *state;
    uint64_t turns;

    nodes_create(world, 3);
    world_run(world, 10 * WORLD_S);
    world->loss_permille = 1000;
    turns = world->turns;
    for (unsigned i = 0; i < 500; i++) {
        char key[] = "key aa";

        key[4] = (char)('a' + i % 26);
        key[5] = (char)('a' + i / 26);
        assert_int_equal(world_update(world, 0, key, i, 1, NULL), STATUS_OK);
    }
    world_run(world, 60 * WORLD_S);
    assert_in_range(world->turns - turns, 60, 60 * 3 * 220);
    assert_int_equal(world_state(world, 0, 1), PEER_DEAD);
}

/* A closed window holds back a push: the node waits, it does not spin. */
static void test_node_waits_for_a_closed_window(void **state)
{
    struct world *world = *state;
    const struct address other = world_address(1);
    struct peer *peer;
    uint64_t copies;
    uint64_t turns;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    copies = node_stats(world->nodes[0].node)->copies;
    peer = peers_find(world->nodes[0].node->peers, &other);
    peer->window_theirs = 0;
    assert_int_equal(world_update(world, 0, "foo", 1, 7, NULL), STATUS_OK);
    turns = world->turns;
    for (unsigned i = 0; i < 2000 && world->turns - turns < 1000; i++) {
        world_run(world, 100);
    }
    assert_in_range(world->turns - turns, 1, 100);
    assert_int_equal(node_stats(world->nodes[0].node)->copies, copies);
    peer->window_theirs = 255;
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 1, "foo", 1), 7);
}

/* What is due and finds nothing that may leave is looked at again a little later, never at once. */
static void test_node_is_not_due_again_at_the_moment_it_ran_dry(void **state)
{
    struct world *world = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct address to;
    struct node *node;

    nodes_create(world, 2);
    node = world->nodes[1].node;
    assert_true(node_due_us(node) <= world->now_us);
    assert_int_equal(
        node_emit(node, world_moment(world), (struct space){ buffer, sizeof buffer }, &to), 0);
    assert_in_range(node_due_us(node) - world->now_us, 1, 10000);
}

/* The nth allocation of a node fails, for every n that a run has: it goes on, and all agree in the
 * end. */
static void test_node_survives_every_failed_allocation(void **state)
{
    struct world *world = *state;
    uint64_t countdown;
    bool failed = true;

    for (countdown = 1; failed; countdown++) {
        struct mem *mem;

        nodes_create(world, 3);
        mem = &world->nodes[0].mem;
        mem->fail_countdown = countdown;
        for (unsigned i = 0; i < 30; i++) {
            char key[] = "key a";

            key[4] = (char)('a' + i % 26);
            (void)world_update(world, i % 3, key, i, i + 1, NULL);
            world_run(world, WORLD_S / 10);
            node_audit(world->nodes[0].node);
        }
        failed = mem->fail_countdown == 0;
        world_run(world, 15 * WORLD_S);
        for (unsigned i = 1; i < 3; i++) {
            assert_true(table_root(world->nodes[0].table, TABLE_DATA)
                        == table_root(world->nodes[i].table, TABLE_DATA));
        }
        assert_true(world_free(world));
    }
    assert_true(countdown > 50);
}

static void test_node_create_says_when_there_is_no_memory(void **state)
{
    const struct moment now = { .mono_us = WORLD_S, .unix_s = WORLD_UNIX_S };
    const struct address_range trust = { .bits = 128 };
    struct mem mem = { 0 };
    const struct table_options table_options = { .mem = &mem, .digest_mask = UINT64_MAX };
    struct node_options options = world_options(0);
    struct table *table;
    struct node *node = NULL;
    uint64_t used;
    enum status status = STATUS_MEMORY;
    uint64_t countdown;

    (void)state;
    options.trust = &trust;
    options.trust_count = 1;
    for (countdown = 1; status != STATUS_OK; countdown++) {
        assert_int_equal(table_create(&table_options, &table), STATUS_OK);
        used = mem.used_bytes;
        mem.fail_countdown = countdown;
        status = node_create(&options, &mem, table, now, &node);
        mem.fail_countdown = 0;
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_MEMORY);
            assert_null(node);
            assert_true(mem.used_bytes >= used);
        }
        node_free(node);
        table_free(table);
        assert_int_equal(mem.used_bytes, 0);
        assert_true(countdown < 50);
    }
    assert_true(countdown > NODE_PARTS); /* the node, its lists, and each of its parts failed */
}

static void test_node_kind_labels_are_words(void **state)
{
    (void)state;
    assert_string_equal(node_kind_label(NODE_KIND_PLAIN), "plain");
    assert_string_equal(node_kind_label(NODE_KIND_SYNC), "sync");
}

static void test_node_stamp_is_of_presence_keys_only(void **state)
{
    struct world *world = *state;

    nodes_create(world, 1);
    world_run(world, WORLD_S);
    assert_int_equal(node_stamp(world->nodes[0].node, bytes_of("foo")), 0);
    assert_int_equal(node_stamp(world->nodes[0].node, bytes_of("n:10.0.0.9:6000")), 0);
    assert_int_equal(node_stamp(world->nodes[0].node, bytes_of("n:10.0.0.1:6000")),
                     (WORLD_UNIX_S + 2) / 60);
}

static void test_node_configure_takes_new_rules_and_keeps_who_it_is(void **state)
{
    const struct node_value_rule rule = { .pattern = bytes_of("*"), .value_max = 9 };
    struct node_options options = world_options(2);
    struct world *world = *state;

    nodes_create(world, 1);
    assert_int_equal(world_update(world, 0, "foo", 1, 10, NULL), STATUS_OK);
    options.value_rules = &rule;
    options.value_rules_count = 1;
    assert_int_equal(node_configure(world->nodes[0].node, world_moment(world), &options),
                     STATUS_OK);
    assert_int_equal(world_update(world, 0, "foo", 1, 11, NULL), STATUS_INVALID);
    assert_int_equal(world_update(world, 0, "foo", 1, 9, NULL), STATUS_OK);
    assert_int_equal(world->nodes[0].node->options.self.ip[15], 1);
    options.value_rules_count = 0;
    assert_int_equal(node_configure(world->nodes[0].node, world_moment(world), &options),
                     STATUS_OK);
    assert_int_equal(world_update(world, 0, "foo", 1, 11, NULL), STATUS_OK);
}

static void test_node_configure_without_memory_changes_nothing(void **state)
{
    const struct node_value_rule nine = { .pattern = bytes_of("*"), .value_max = 9 };
    const struct node_value_rule ten[] = {
        { .pattern = bytes_of("*"), .value_max = 10 },
        { .pattern = bytes_of("other*"), .value_max = 10 },
    };
    struct node_options options = world_options(0);
    struct world *world = *state;
    struct world_node *place;

    nodes_create(world, 1);
    place = &world->nodes[0];
    options.value_rules = &nine;
    options.value_rules_count = 1;
    assert_int_equal(node_configure(place->node, world_moment(world), &options), STATUS_OK);
    options.value_rules = ten;
    options.value_rules_count = 2;
    options.search_max = 1;
    place->mem.fail_countdown = 1;
    assert_int_equal(node_configure(place->node, world_moment(world), &options), STATUS_MEMORY);
    place->mem.fail_countdown = 0;
    assert_int_equal(world_update(world, 0, "foo", 1, 10, NULL), STATUS_INVALID);
    assert_int_equal(place->node->options.value_rules_count, 1);
    assert_true(place->node->options.value_rules[0].pattern.data == nine.pattern.data);
    assert_int_not_equal(place->node->options.search_max, 1);
}

/* Wherever it comes in, also with a member that speaks only plain. */
static void test_node_an_update_is_everywhere_within_a_fifth_of_a_second(void **state)
{
    struct world *world = *state;

    for (unsigned plain = 0; plain < 4; plain++) {
        for (unsigned i = 0; i < 3; i++) {
            const struct address_range anybody = { .bits = 0 };
            struct node_options options = world_options(i);

            options.trust = &anybody; /* plain peers cannot echo */
            options.trust_count = 1;
            options.plain_only = i == plain;
            world_join(world, &options);
        }
        world_run(world, 30 * WORLD_S);
        for (unsigned i = 0; i < 3; i++) {
            const char key[] = { 'k', (char)('0' + i), 0 };

            assert_int_equal(world_update(world, i, key, 7, 3, NULL), STATUS_OK);
            world_run(world, WORLD_S / 5);
            for (unsigned at = 0; at < 3; at++) {
                assert_int_equal(world_read(world, at, key, 7), 3);
            }
            world_run(world, WORLD_S);
        }
        assert_true(world_free(world));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_node_an_update_at_one_is_read_at_the_other),
        TEST(test_node_an_update_reaches_all_of_three),
        TEST(test_node_what_was_written_before_they_met_is_exchanged),
        TEST(test_node_the_same_calls_give_the_same_datagrams),
        TEST(test_node_bad_datagrams_are_counted_by_reason),
        TEST(test_node_takes_plain_messages_and_answers_what_is_larger),
        TEST(test_node_plain_only_never_speaks_extended),
        TEST(test_node_is_ready_when_alone_equal_once_or_after_a_while),
        TEST(test_node_tells_each_transition_of_a_peer_once),
        TEST(test_node_lists_peers_in_address_order),
        TEST(test_node_idle_nodes_take_few_turns),
        TEST(test_node_that_nobody_answers_takes_few_turns),
        TEST(test_node_waits_for_a_closed_window),
        TEST(test_node_is_not_due_again_at_the_moment_it_ran_dry),
        TEST(test_node_survives_every_failed_allocation),
        TEST(test_node_create_says_when_there_is_no_memory),
        TEST(test_node_kind_labels_are_words),
        TEST(test_node_stamp_is_of_presence_keys_only),
        TEST(test_node_configure_takes_new_rules_and_keeps_who_it_is),
        TEST(test_node_configure_without_memory_changes_nothing),
        TEST(test_node_an_update_is_everywhere_within_a_fifth_of_a_second),
    };

    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
