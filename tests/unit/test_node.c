/* What this file tests: whole nodes, two or three of them: what a client writes at one is read at
 * all, equal calls give equal datagrams, and a node without memory is a node that goes on. */

#include "node/node.h"
#include "node/peers.h"

#include "unit/node_exchange.h"

#define NODE_PARTS 14 /* that node_create() allocates */

static void test_node_an_update_at_one_is_read_at_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct client_done done;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
    assert_int_equal(update(fixture, 0, "foo", 3, 7, &done), STATUS_OK);
    assert_int_equal(done.elements_raised, 1);
    assert_int_equal(done.joined, 1);
    assert_true(mark_has(&done.last.raised, 3));
    run_us(fixture, SECOND_US / 5);
    assert_int_equal(value_at(fixture, 1, "foo", 3), 7);
    assert_int_equal(update(fixture, 1, "foo", 300, 9, NULL), STATUS_OK);
    run_us(fixture, SECOND_US / 5);
    assert_int_equal(value_at(fixture, 0, "foo", 300), 9);
    assert_true(table_root(fixture->places[0].table, TABLE_DATA)
                == table_root(fixture->places[1].table, TABLE_DATA));
}

static void test_node_an_update_reaches_all_of_three(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 3);
    run_us(fixture, 5 * SECOND_US);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(state_at(fixture, i, j), i == j ? PEER_STATE_COUNT : PEER_ALIVE);
        }
        assert_int_equal(update(fixture, i, "all", i, 1 + i, NULL), STATUS_OK);
    }
    run_us(fixture, SECOND_US / 2);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(value_at(fixture, i, "all", j), 1 + j);
        }
    }
}

static void test_node_what_was_written_before_they_met_is_exchanged(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 2);
    for (unsigned i = 0; i < 200; i++) {
        char key[16] = "key ";

        key[4] = (char)('a' + i % 20);
        key[5] = (char)('a' + i / 20);
        assert_int_equal(update(fixture, i % 2, key, i, 1 + i, NULL), STATUS_OK);
    }
    run_us(fixture, 20 * SECOND_US);
    assert_int_equal(table_stats(fixture->places[0].table).keys[TABLE_DATA], 200);
    assert_true(table_root(fixture->places[0].table, TABLE_DATA)
                == table_root(fixture->places[1].table, TABLE_DATA));
}

static uint64_t trace_of_a_run(struct fixture *fixture)
{
    uint64_t trace;

    fixture->trace = 0;
    now_set(fixture, SECOND_US);
    nodes_create(fixture, 3);
    for (unsigned i = 0; i < 60; i++) {
        char key[] = "key a";

        key[4] = (char)('a' + i % 26);
        assert_int_equal(update(fixture, i % 3, key, i, i + 1, NULL), STATUS_OK);
        run_us(fixture, SECOND_US / 7);
    }
    trace = fixture->trace;
    places_clear(fixture);
    return trace;
}

static void test_node_the_same_calls_give_the_same_datagrams(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t trace = trace_of_a_run(fixture);

    assert_true(fixture->sent > 100);
    assert_true(trace_of_a_run(fixture) == trace);
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
    struct fixture *fixture = *state;
    const struct address from = address_of(3);

    nodes_create(fixture, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        node_receive(fixture->places[0].node, fixture->now, &from, bytes_of(rows[i].datagram));
        assert_int_equal(node_stats(fixture->places[0].node)->dropped[rows[i].drop], 1);
    }
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &(struct peer_view){ 0 }, 1), 0);
}

static void test_node_takes_plain_messages_and_answers_what_is_larger(void **state)
{
    const struct address_range trust = { .ip = { 0 }, .bits = 0 };
    struct node_options options = options_of(0);
    struct fixture *fixture = *state;
    uint64_t sent;

    options.trust = &trust;
    options.trust_count = 1;
    place_create(fixture, &options, 0);
    plain_send(fixture, 3, 0, "foo", 1, 5, 3);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 5);
    assert_int_equal(node_stats(fixture->places[0].node)->elements_raised, 1);
    sent = node_stats(fixture->places[0].node)->sent[NODE_KIND_PLAIN];
    plain_send(fixture, 3, 0, "foo", 1, 4, 3);
    run_us(fixture, SECOND_US / 2);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 5);
    assert_true(node_stats(fixture->places[0].node)->sent[NODE_KIND_PLAIN] > sent);
}

static void test_node_plain_only_never_speaks_extended(void **state)
{
    struct fixture *fixture = *state;
    const struct node_stats *stats;
    struct peer_view view;

    for (unsigned i = 0; i < 3; i++) {
        const struct address_range anybody = { .bits = 0 };
        struct node_options options = options_of(i);

        options.trust = &anybody; /* plain peers cannot echo */
        options.trust_count = 1;
        options.plain_only = i == 2;
        node_add(fixture, &options);
    }
    run_us(fixture, 10 * SECOND_US);
    assert_true(node_peer(fixture->places[0].node, &(struct address){ 0 }, &view) == false);
    assert_int_equal(state_at(fixture, 0, 2), PEER_ALIVE);
    assert_int_equal(update(fixture, 1, "foo", 1, 1, NULL), STATUS_OK);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(value_at(fixture, 2, "foo", 1), 1);
    assert_int_equal(update(fixture, 2, "bar", 1, 1, NULL), STATUS_OK);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(value_at(fixture, 0, "bar", 1), 1);
    assert_int_equal(value_at(fixture, 1, "bar", 1), 1);
    stats = node_stats(fixture->places[2].node);
    for (unsigned kind = 0; kind < NODE_KIND_COUNT; kind++) {
        if (kind != NODE_KIND_PLAIN) {
            assert_int_equal(stats->sent[kind], 0);
            assert_int_equal(stats->received[kind], 0);
        }
    }
}

static void test_node_is_ready_when_alone_equal_once_or_after_a_while(void **state)
{
    struct fixture *fixture = *state;
    const struct address nobody = address_of(3);

    nodes_create(fixture, 2);
    assert_int_equal(node_readiness(fixture->places[0].node, fixture->now), NODE_READY_ALONE);
    assert_int_equal(node_readiness(fixture->places[1].node, fixture->now), NODE_READY_NOT);
    run_us(fixture, 4 * SECOND_US);
    assert_int_equal(node_readiness(fixture->places[0].node, fixture->now), NODE_READY_EQUAL);
    assert_int_equal(node_readiness(fixture->places[1].node, fixture->now), NODE_READY_EQUAL);
    {
        const struct node_options options = options_of(2);
        struct place *place = place_create(fixture, &options, 0);

        node_seeds(place->node, fixture->now, &nobody, 1);
    }
    run_us(fixture, 9 * SECOND_US);
    assert_int_equal(node_readiness(fixture->places[2].node, fixture->now), NODE_READY_NOT);
    run_us(fixture, SECOND_US);
    assert_int_equal(node_readiness(fixture->places[2].node, fixture->now), NODE_READY_LATE);
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
    struct fixture *fixture = *state;
    const struct address other = address_of(1);
    struct node_event event = { 0 };

    nodes_create(fixture, 2);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(events_of(fixture->places[0].node, &other, &event), 1);
    assert_int_equal(event.was, PEER_NEW);
    assert_int_equal(event.is, PEER_ALIVE);
    assert_true(event.heard_us > 0);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(events_of(fixture->places[0].node, &other, &event), 0);
    node_leave(fixture->places[1].node, fixture->now);
    run_us(fixture, SECOND_US);
    assert_int_equal(events_of(fixture->places[0].node, &other, &event), 1);
    assert_int_equal(event.was, PEER_ALIVE);
    assert_int_equal(event.is, PEER_LEFT);
}

static void test_node_lists_peers_in_address_order(void **state)
{
    struct fixture *fixture = *state;
    struct peer_view views[4];
    const struct address second = address_of(2);

    nodes_create(fixture, 4);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_peers(fixture->places[1].node, NULL, views, 2), 2);
    assert_int_equal(views[0].address.ip[15], 1);
    assert_int_equal(views[0].http_port, 8000);
    assert_int_equal(views[0].level, 1);
    assert_true(views[0].is_seed);
    assert_int_equal(views[1].address.ip[15], 3);
    assert_int_equal(node_peers(fixture->places[1].node, &second, views, 4), 1);
    assert_int_equal(views[0].address.ip[15], 4);
    assert_false(views[0].is_seed);
}

static void test_node_idle_nodes_take_few_turns(void **state)
{
    struct fixture *fixture = *state;
    uint64_t turns;

    nodes_create(fixture, 3);
    run_us(fixture, 10 * SECOND_US);
    turns = fixture->turns;
    run_us(fixture, 60 * SECOND_US);
    assert_in_range(fixture->turns - turns, 60, 60 * 3 * 30);
}

static void test_node_that_nobody_answers_takes_few_turns(void **state)
{
    struct fixture *fixture = *state;
    uint64_t turns;

    nodes_create(fixture, 3);
    run_us(fixture, 10 * SECOND_US);
    fixture->lossy = true;
    turns = fixture->turns;
    for (unsigned i = 0; i < 500; i++) {
        char key[] = "key aa";

        key[4] = (char)('a' + i % 26);
        key[5] = (char)('a' + i / 26);
        assert_int_equal(update(fixture, 0, key, i, 1, NULL), STATUS_OK);
    }
    run_us(fixture, 60 * SECOND_US);
    assert_in_range(fixture->turns - turns, 60, 60 * 3 * 220);
    assert_int_equal(state_at(fixture, 0, 1), PEER_DEAD);
}

/* A closed window holds back a push: the node waits, it does not spin. */
static void test_node_waits_for_a_closed_window(void **state)
{
    struct fixture *fixture = *state;
    const struct address other = address_of(1);
    struct peer *peer;
    uint64_t copies;
    uint64_t turns;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    copies = node_stats(fixture->places[0].node)->copies;
    peer = peers_find(fixture->places[0].node->peers, &other);
    peer->window_theirs = 0;
    assert_int_equal(update(fixture, 0, "foo", 1, 7, NULL), STATUS_OK);
    turns = fixture->turns;
    for (unsigned i = 0; i < 2000 && fixture->turns - turns < 1000; i++) {
        run_us(fixture, 100);
    }
    assert_in_range(fixture->turns - turns, 1, 100);
    assert_int_equal(node_stats(fixture->places[0].node)->copies, copies);
    peer->window_theirs = 255;
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 1, "foo", 1), 7);
}

/* What is due and finds nothing that may leave is looked at again a little later, never at once. */
static void test_node_is_not_due_again_at_the_moment_it_ran_dry(void **state)
{
    struct fixture *fixture = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct address to;
    struct node *node;

    nodes_create(fixture, 2);
    node = fixture->places[1].node;
    assert_true(node_due_us(node) <= fixture->now.mono_us);
    assert_int_equal(node_emit(node, fixture->now, (struct space){ buffer, sizeof buffer }, &to),
                     0);
    assert_in_range(node_due_us(node) - fixture->now.mono_us, 1, 10000);
}

/* The nth allocation of a node fails, for every n that a run has: it goes on, and all agree in the
 * end. */
static void test_node_survives_every_failed_allocation(void **state)
{
    struct fixture *fixture = *state;
    uint64_t countdown;
    bool failed = true;

    for (countdown = 1; failed; countdown++) {
        struct mem *mem = &fixture->places[0].mem;

        now_set(fixture, SECOND_US);
        nodes_create(fixture, 3);
        mem->fail_countdown = countdown;
        for (unsigned i = 0; i < 30; i++) {
            char key[] = "key a";

            key[4] = (char)('a' + i % 26);
            (void)update(fixture, i % 3, key, i, i + 1, NULL);
            run_us(fixture, SECOND_US / 10);
            node_audit(fixture->places[0].node);
        }
        failed = mem->fail_countdown == 0;
        run_us(fixture, 15 * SECOND_US);
        for (unsigned i = 1; i < 3; i++) {
            assert_true(table_root(fixture->places[0].table, TABLE_DATA)
                        == table_root(fixture->places[i].table, TABLE_DATA));
        }
        places_clear(fixture);
    }
    assert_true(countdown > 50);
}

static void test_node_create_says_when_there_is_no_memory(void **state)
{
    struct fixture *fixture = *state;
    struct place *place = &fixture->places[fixture->count++];
    const struct table_options table_options = { .mem = &place->mem, .digest_mask = UINT64_MAX };
    const struct address_range trust = { .bits = 128 };
    struct node_options options = options_of(0);
    struct node *node = NULL;
    uint64_t used;
    enum status status = STATUS_MEMORY;
    uint64_t countdown;

    options.trust = &trust;
    options.trust_count = 1;
    for (countdown = 1; status != STATUS_OK; countdown++) {
        assert_int_equal(table_create(&table_options, &place->table), STATUS_OK);
        used = place->mem.used_bytes;
        place->mem.fail_countdown = countdown;
        status = node_create(&options, &place->mem, place->table, fixture->now, &node);
        place->mem.fail_countdown = 0;
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_MEMORY);
            assert_null(node);
            assert_true(place->mem.used_bytes >= used);
            table_free(place->table);
            assert_int_equal(place->mem.used_bytes, 0);
        }
        assert_true(countdown < 50);
    }
    assert_true(countdown > NODE_PARTS); /* the node, its lists, and each of its parts failed */
    place->node = node;
}

static void test_node_kind_labels_are_words(void **state)
{
    (void)state;
    assert_string_equal(node_kind_label(NODE_KIND_PLAIN), "plain");
    assert_string_equal(node_kind_label(NODE_KIND_SYNC), "sync");
}

static void test_node_stamp_is_of_presence_keys_only(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 1);
    run_us(fixture, SECOND_US);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("foo")), 0);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("n:10.0.0.9:6000")), 0);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("n:10.0.0.1:6000")),
                     (START_S + 2) / 60);
}

static void test_node_configure_takes_new_rules_and_keeps_who_it_is(void **state)
{
    const struct node_value_rule rule = { .pattern = bytes_of("*"), .value_max = 9 };
    struct node_options options = options_of(2);
    struct fixture *fixture = *state;

    nodes_create(fixture, 1);
    assert_int_equal(update(fixture, 0, "foo", 1, 10, NULL), STATUS_OK);
    options.value_rules = &rule;
    options.value_rules_count = 1;
    assert_int_equal(node_configure(fixture->places[0].node, fixture->now, &options), STATUS_OK);
    assert_int_equal(update(fixture, 0, "foo", 1, 11, NULL), STATUS_INVALID);
    assert_int_equal(update(fixture, 0, "foo", 1, 9, NULL), STATUS_OK);
    assert_int_equal(fixture->places[0].node->options.self.ip[15], 1);
    options.value_rules_count = 0;
    assert_int_equal(node_configure(fixture->places[0].node, fixture->now, &options), STATUS_OK);
    assert_int_equal(update(fixture, 0, "foo", 1, 11, NULL), STATUS_OK);
}

static void test_node_configure_without_memory_changes_nothing(void **state)
{
    const struct node_value_rule nine = { .pattern = bytes_of("*"), .value_max = 9 };
    const struct node_value_rule ten[] = {
        { .pattern = bytes_of("*"), .value_max = 10 },
        { .pattern = bytes_of("other*"), .value_max = 10 },
    };
    struct node_options options = options_of(0);
    struct fixture *fixture = *state;
    struct place *place;

    nodes_create(fixture, 1);
    place = &fixture->places[0];
    options.value_rules = &nine;
    options.value_rules_count = 1;
    assert_int_equal(node_configure(place->node, fixture->now, &options), STATUS_OK);
    options.value_rules = ten;
    options.value_rules_count = 2;
    options.search_max = 1;
    place->mem.fail_countdown = 1;
    assert_int_equal(node_configure(place->node, fixture->now, &options), STATUS_MEMORY);
    place->mem.fail_countdown = 0;
    assert_int_equal(update(fixture, 0, "foo", 1, 10, NULL), STATUS_INVALID);
    assert_int_equal(place->node->options.value_rules_count, 1);
    assert_true(place->node->options.value_rules[0].pattern.data == nine.pattern.data);
    assert_int_not_equal(place->node->options.search_max, 1);
}

/* Wherever it comes in, also with a member that speaks only plain. */
static void test_node_an_update_is_everywhere_within_a_fifth_of_a_second(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned plain = 0; plain < 4; plain++) {
        for (unsigned i = 0; i < 3; i++) {
            const struct address_range anybody = { .bits = 0 };
            struct node_options options = options_of(i);

            options.trust = &anybody; /* plain peers cannot echo */
            options.trust_count = 1;
            options.plain_only = i == plain;
            node_add(fixture, &options);
        }
        run_us(fixture, 30 * SECOND_US);
        for (unsigned i = 0; i < 3; i++) {
            const char key[] = { 'k', (char)('0' + i), 0 };

            assert_int_equal(update(fixture, i, key, 7, 3, NULL), STATUS_OK);
            run_us(fixture, SECOND_US / 5);
            for (unsigned at = 0; at < 3; at++) {
                assert_int_equal(value_at(fixture, at, key, 7), 3);
            }
            run_us(fixture, SECOND_US);
        }
        places_clear(fixture);
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
