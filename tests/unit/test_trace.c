/* What this file tests: the trace and the counters of a node are of the same things, once each;
 * where nobody listens its fields are not even looked at. */

#include "node/trace.h"

#include <stdio.h>

#include "unit/world_fixture.h"

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

static void listen_to(struct world *world, unsigned number)
{
    const struct node_value_rule rule = { .pattern = bytes_of("hll:*"), .value_max = 64 };
    struct node_options options = world_options(number);

    told.count = 0;
    options.value_rules = &rule;
    options.value_rules_count = 1;
    options.trace = (struct trace_listener){ told_add, &told };
    assert_int_equal(node_configure(world->nodes[number].node, world_moment(world), &options),
                     STATUS_OK);
}

/* Three nodes of a named cluster; from the first comes what is told. */
static void cluster_create(struct world *world)
{
    const struct address seed = world_address(1);

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = world_options(i);

        options.cluster_id = 7;
        world_add(world, &options, i == 0 ? KEYS_MAX : 0);
        if (i != 1) {
            node_seeds(world->nodes[i].node, world_moment(world), &seed, 1);
        }
    }
    listen_to(world, 0);
    world_run(world, 10 * WORLD_S);
}

static void junk_send(struct world *world, const char *datagram)
{
    const struct address from = world_address(3);
    const struct address to = world_address(0);

    world_send(world, &from, &to, bytes_of(datagram));
}

/* All that a node can come to do: it is cut off, called dead, calls others so, and comes back. */
static void live(struct world *world)
{
    char key[16];

    junk_send(world, "\x01");
    junk_send(world, "\x81");
    plain_send(world, 3, 0, "plain", 1, 1);
    assert_int_equal(world_update(world, 1, "hll:a", 1, 65, NULL), STATUS_OK);
    world_run(world, WORLD_S); /* it comes while there is room for its key */
    world->loss_permille = 1000;
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "cut%u", i);
        (void)world_update(world, 0, key, 1, 1, NULL);
        (void)snprintf(key, sizeof key, "key%u", i);
        assert_int_equal(world_update(world, 1, key, 1, 1, NULL), STATUS_OK);
    }
    world_run(world, 60 * WORLD_S);
    for (unsigned i = 0; i < 12000; i++) { /* back, on a line that loses every second datagram */
        world->loss_permille = i % 2 == 0 ? 1000 : 0;
        world_run(world, 5000);
    }
    world->loss_permille = 0;
    world_run(world, 60 * WORLD_S);
    assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
}

static void test_trace_tells_all_that_is_counted_once(void **state)
{
    struct world *world = *state;
    const struct node_stats *stats;

    cluster_create(world);
    live(world);
    stats = node_stats(world->nodes[0].node);
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
    struct world *world = *state;

    cluster_create(world);
    live(world);
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
    struct world *world = *state;
    const struct address junk = world_address(3);

    cluster_create(world);
    live(world);
    assert_true(told_count(TRACE_DROPPED, NULL) > 0 && told_count(TRACE_OUT, NULL) > 0);
    for (size_t i = 0; i < told.count; i++) {
        const struct trace_event *event = &told.events[i];

        if (event->kind == TRACE_DROPPED) {
            assert_int_equal(address_compare(&event->peer, &junk), 0);
        } else if (event->kind != TRACE_REFUSED && event->kind != TRACE_REFUTED) {
            const struct address known = world_address((size_t)event->peer.ip[15] - 1);

            assert_in_range(event->peer.ip[15], 1, 4);
            assert_int_equal(address_compare(&event->peer, &known), 0);
        }
    }
}

static void test_trace_ends_each_exchange_that_began(void **state)
{
    struct world *world = *state;

    cluster_create(world);
    live(world);
    assert_true(world_free(world));
    assert_true(told_count(TRACE_EXCHANGE_BEGUN, NULL) > 0);
    assert_int_equal(told_count(TRACE_EXCHANGE_ENDED, NULL),
                     told_count(TRACE_EXCHANGE_BEGUN, NULL));
}

static void test_trace_changes_no_datagram(void **state)
{
    struct world *world = *state;
    uint64_t trace;

    cluster_create(world);
    live(world);
    assert_true(told.count > 0);
    trace = world->trace;
    assert_true(world_free(world));
    cluster_create(world);
    for (unsigned i = 0; i < 3; i++) {
        world->nodes[i].node->options.trace.tell = NULL;
    }
    told.count = 0;
    live(world);
    assert_int_equal(told.count, 0);
    assert_int_equal(world->trace, trace);
}

static void test_trace_that_nobody_hears_is_not_looked_at(void **state)
{
    struct world *world = *state;
    struct node *node;
    uint64_t looked = 0;

    nodes_create(world, 1);
    node = world->nodes[0].node;
    trace_tell(node, TRACE_REFUTED, .number = looked++);
    assert_int_equal(looked, 0);
    listen_to(world, 0);
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
