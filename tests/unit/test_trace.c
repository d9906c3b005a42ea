/* What this file tests: the trace and the counters of a node are of the same things, once each;
 * where nobody listens its fields are not even looked at. */

#include "node/trace.h"

#include <stdio.h>

#include "unit/node_exchange.h"

#define TOLD_MAX 65536
#define KEYS_MAX 300 /* of the first node */

/* Events that a node told, in order. */
struct told {
    struct trace_event events[TOLD_MAX];
    size_t count;
};

static struct told told;

static void told_add(void *owner, const struct trace_event *event)
{
    struct told *to = owner;

    assert_true(to->count < TOLD_MAX);
    assert_in_range(event->kind, 0, TRACE_COUNT - 1);
    assert_int_equal(event->about != NULL, trace_names_of(event->kind).about[0] != '\0');
    to->events[to->count++] = *event;
}

/* Events of a kind; `about` NULL: whatever they are about. */
static uint64_t told_count(enum trace_kind kind, const char *about)
{
    uint64_t count = 0;

    for (size_t i = 0; i < told.count; i++) {
        count += told.events[i].kind == kind
                 && (about == NULL || strcmp(told.events[i].about, about) == 0);
    }
    return count;
}

static uint64_t told_sum(enum trace_kind kind, const char *about)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < told.count; i++) {
        sum += told.events[i].kind == kind && strcmp(told.events[i].about, about) == 0
                   ? told.events[i].number
                   : 0;
    }
    return sum;
}

static void listen_to(struct fixture *fixture, unsigned number)
{
    const struct node_value_rule rule = { .pattern = bytes_of("hll:*"), .value_max = 64 };
    struct node_options options = options_of(number);

    told.count = 0;
    options.value_rules = &rule;
    options.value_rules_count = 1;
    options.trace = (struct trace_listener){ told_add, &told };
    assert_int_equal(node_configure(fixture->places[number].node, fixture->now, &options),
                     STATUS_OK);
}

/* Three nodes of a named cluster; from the first comes what is told. */
static void cluster_create(struct fixture *fixture)
{
    const struct address seed = address_of(1);

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = options_of(i);

        options.cluster_id = 7;
        place_create(fixture, &options, i == 0 ? KEYS_MAX : 0);
        if (i != 1) {
            node_seeds(fixture->places[i].node, fixture->now, &seed, 1);
        }
    }
    listen_to(fixture, 0);
    run_us(fixture, 10 * SECOND_US);
}

static void junk_send(struct fixture *fixture, const char *datagram)
{
    const struct address from = address_of(3);
    const struct address to = address_of(0);

    datagram_send(fixture, &from, &to, bytes_of(datagram));
}

/* All that a node can come to do: it is cut off, called dead, calls others so, and comes back. */
static void live(struct fixture *fixture)
{
    char key[16];

    junk_send(fixture, "\x01");
    junk_send(fixture, "\x81");
    plain_send(fixture, 3, 0, "plain", 1, 1, 1);
    assert_int_equal(update(fixture, 1, "hll:a", 1, 65, NULL), STATUS_OK);
    run_us(fixture, SECOND_US); /* it comes while there is room for its key */
    fixture->lossy = true;
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "cut%u", i);
        (void)update(fixture, 0, key, 1, 1, NULL);
        (void)snprintf(key, sizeof key, "key%u", i);
        assert_int_equal(update(fixture, 1, key, 1, 1, NULL), STATUS_OK);
    }
    run_us(fixture, 60 * SECOND_US);
    for (unsigned i = 0; i < 12000; i++) { /* back, on a line that loses every second datagram */
        fixture->lossy = i % 2 == 0;
        run_us(fixture, 5000);
    }
    fixture->lossy = false;
    run_us(fixture, 60 * SECOND_US);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
}

static void test_trace_tells_all_that_is_counted_once(void **state)
{
    struct fixture *fixture = *state;
    const struct node_stats *stats;

    cluster_create(fixture);
    live(fixture);
    stats = node_stats(fixture->places[0].node);
    for (unsigned i = 0; i < NODE_KIND_COUNT; i++) {
        const char *label = node_kind_label((enum node_kind)i);

        assert_int_equal(told_count(TRACE_OUT, label), stats->sent[i]);
        assert_int_equal(told_sum(TRACE_OUT, label), stats->sent_bytes[i]);
        assert_int_equal(told_count(TRACE_IN, label), stats->received[i]);
        assert_int_equal(told_sum(TRACE_IN, label), stats->received_bytes[i]);
    }
    for (unsigned i = 1; i < WIRE_DROP_COUNT; i++) {
        assert_int_equal(told_count(TRACE_DROPPED, wire_drop_label((enum wire_drop)i)),
                         stats->dropped[i]);
    }
    assert_int_equal(told_sum(TRACE_REFUSED, "cluster"), stats->refused_cluster);
    assert_int_equal(told_sum(TRACE_REFUSED, "credit"), stats->refused_credit);
    assert_int_equal(told_sum(TRACE_REFUSED, "keys"), stats->refused_keys);
    assert_int_equal(told_sum(TRACE_REFUSED, "values"), stats->refused_values);
    assert_int_equal(told_sum(TRACE_REFUSED, "presence"), stats->refused_presence);
    assert_int_equal(told_count(TRACE_RETRY, NULL), stats->retries);
    assert_int_equal(told_count(TRACE_ABANDONED, NULL), stats->abandoned);
    assert_int_equal(told_count(TRACE_DECLARED, "suspect"), stats->suspicions);
    assert_int_equal(told_count(TRACE_DECLARED, "dead"), stats->deaths);
    assert_int_equal(told_count(TRACE_REFUTED, NULL), stats->refutations);
    assert_int_equal(told_count(TRACE_ROUND, NULL), stats->sync_rounds);
}

static void test_trace_has_every_event_in_a_node_s_life(void **state)
{
    struct fixture *fixture = *state;

    cluster_create(fixture);
    live(fixture);
    for (unsigned i = 0; i < TRACE_COUNT; i++) {
        if (told_count((enum trace_kind)i, NULL) == 0) {
            fail_msg("no %s", trace_names_of((enum trace_kind)i).event);
        }
    }
    assert_int_equal(told_count(TRACE_DROPPED, "not_a_map"), 1);
    assert_int_equal(told_count(TRACE_REFUSED, "cluster"), 1);
    assert_true(told_count(TRACE_RETRY, "push") > 0 && told_count(TRACE_RETRY, "sync") > 0);
    assert_true(told_count(TRACE_REFUSED, "keys") > 0);
    assert_true(told_count(TRACE_REFUSED, "values") > 0);
}

static void test_trace_names_the_peer_of_an_event(void **state)
{
    struct fixture *fixture = *state;
    const struct address junk = address_of(3);

    cluster_create(fixture);
    live(fixture);
    for (size_t i = 0; i < told.count; i++) {
        const struct trace_event *event = &told.events[i];

        if (event->kind == TRACE_DROPPED) {
            assert_int_equal(address_compare(&event->peer, &junk), 0);
        } else if (event->kind != TRACE_REFUSED && event->kind != TRACE_REFUTED) {
            assert_true(place_at(fixture, &event->peer) != NULL
                        || address_compare(&event->peer, &junk) == 0);
        }
    }
}

static void test_trace_ends_each_exchange_that_began(void **state)
{
    struct fixture *fixture = *state;

    cluster_create(fixture);
    live(fixture);
    places_clear(fixture);
    assert_true(told_count(TRACE_EXCHANGE_BEGUN, NULL) > 0);
    assert_int_equal(told_count(TRACE_EXCHANGE_ENDED, NULL),
                     told_count(TRACE_EXCHANGE_BEGUN, NULL));
}

static void test_trace_changes_no_datagram(void **state)
{
    struct fixture *fixture = *state;
    uint64_t trace;

    cluster_create(fixture);
    live(fixture);
    assert_true(told.count > 0);
    trace = fixture->trace;
    places_clear(fixture);
    assert_int_equal(teardown(state), 0);
    assert_int_equal(setup(state), 0);
    fixture = *state;
    cluster_create(fixture);
    for (unsigned i = 0; i < 3; i++) {
        fixture->places[i].node->options.trace.tell = NULL;
    }
    told.count = 0;
    live(fixture);
    assert_int_equal(told.count, 0);
    assert_int_equal(fixture->trace, trace);
}

static void test_trace_that_nobody_hears_is_not_looked_at(void **state)
{
    struct fixture *fixture = *state;
    struct node *node;
    uint64_t looked = 0;

    nodes_create(fixture, 1);
    node = fixture->places[0].node;
    trace_tell(node, TRACE_REFUTED, .number = looked++);
    assert_int_equal(looked, 0);
    listen_to(fixture, 0);
    trace_tell(node, TRACE_REFUTED, .number = looked++);
    assert_int_equal(looked, 1);
    assert_int_equal(told_count(TRACE_REFUTED, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_trace_tells_all_that_is_counted_once),
        TEST(test_trace_has_every_event_in_a_node_s_life),
        TEST(test_trace_names_the_peer_of_an_event),
        TEST(test_trace_ends_each_exchange_that_began),
        TEST(test_trace_changes_no_datagram),
        TEST(test_trace_that_nobody_hears_is_not_looked_at),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
