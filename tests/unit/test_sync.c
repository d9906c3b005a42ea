/* What this file tests: that two nodes find out what differs between them and mend it, in bounded
 * bytes, and say nothing when nothing differs. */

#include "base/text.h"
#include "node/exchange.h"
#include "node/peers.h"
#include "node/state.h"
#include "node/sync.h"
#include "wire/message.h"

#include <string.h>

#include "unit/test.h"
#include "unit/world.h"

struct fixture {
    struct world world;
    uint64_t digest_bytes; /* datagrams of digests and wants, with headers */
    uint64_t item_bytes;
    uint64_t audits;
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

static bool watch(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct fixture *fixture = context;
    struct message message;

    (void)from;
    (void)to;
    if (message_decode(datagram, &message) != WIRE_OK || message.plain.key.size > 0) {
        return true;
    }
    if (message.tree.left > 0 && (message.envelope.has & WIRE_HAS_ROOTS) != 0) {
        fixture->audits++;
    } else if (message.tree.left + message.leaves.left + message.block_digests.left
                   + message.wanted.left
               > 0) {
        fixture->digest_bytes += datagram.size + 28;
    } else if (message.items.left > 0) {
        fixture->item_bytes += datagram.size + 28;
    }
    return true;
}

static void world_begin(struct fixture *fixture, size_t count)
{
    world_create(&fixture->world, count, 7);
    assert_true(world_run_until(&fixture->world, 30 * WORLD_S, world_joined, NULL));
    world_run(&fixture->world, 5 * WORLD_S);
    fixture->world.filter = watch;
    fixture->world.context = fixture;
    fixture->digest_bytes = 0;
    fixture->item_bytes = 0;
}

static const char *key_of(uint64_t number, char text[32])
{
    memcpy(text, "key", 3);
    text[3 + text_put_u64(text + 3, number)] = 0;
    return text;
}

static void load(struct fixture *fixture, size_t node, uint64_t first, uint64_t last)
{
    char key[32];

    for (uint64_t i = first; i < last; i++) {
        world_load(&fixture->world, node, key_of(i, key), 1, 5);
    }
}

static uint64_t rounds(const struct fixture *fixture)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < fixture->world.count; i++) {
        sum += node_stats(fixture->world.nodes[i].node)->sync_rounds;
    }
    return sum;
}

static bool all_equal(const struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 1; i < world->count; i++) {
        for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
            if (table_root(world->nodes[i].table, (enum table_set)set)
                != table_root(world->nodes[0].table, (enum table_set)set)) {
                return false;
            }
        }
    }
    return true;
}

static void test_sync_of_equal_nodes_exchanges_nothing(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 3);
    for (size_t i = 0; i < 3; i++) {
        load(fixture, i, 0, 1000);
    }
    world_run(&fixture->world, 240 * WORLD_S);
    assert_int_equal(fixture->digest_bytes, 0);
    assert_int_equal(fixture->item_bytes, 0);
    assert_in_range(fixture->audits, 27, 33);
}

static bool first_has(const struct world *world, void *context)
{
    char key[32];

    for (uint64_t i = 0; i < *(const uint64_t *)context; i++) {
        if (world_count(world, key_of(i, key), 1, 5) < world->count) {
            return false;
        }
    }
    return true;
}

/* Digests of no bits are always equal, those of 8 often: what they hide, audits find. */
static void test_sync_audits_find_what_equal_sums_hide(void **state)
{
    static const struct {
        uint64_t cut;
        uint64_t keys;
        size_t nodes;
        uint64_t within_s;
    } rows[] = {
        { UINT64_MAX, 200, 2, 120 },
        { UINT64_MAX, 3000, 2, 3600 },
        { ~UINT64_C(255), 200, 4, 300 },
    };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t keys = rows[i].keys;

        fixture->world.digests_cut = rows[i].cut;
        world_begin(fixture, rows[i].nodes);
        load(fixture, 1, 0, keys / 2);
        load(fixture, 0, keys / 2, keys);
        assert_true(world_run_until(&fixture->world, rows[i].within_s * WORLD_S, first_has, &keys));
        assert_true(world_free(&fixture->world));
    }
}

/* What a node refuses stays different: where the roots are, audits are not answered. */
static void test_sync_audits_are_not_answered_where_roots_differ(void **state)
{
    struct fixture *fixture = *state;
    uint64_t sent;

    world_begin(fixture, 2);
    table_set_keys_max(fixture->world.nodes[1].table, 2);
    load(fixture, 0, 0, 20);
    world_run(&fixture->world, 1200 * WORLD_S);
    sent = node_stats(fixture->world.nodes[0].node)->sync_keys_sent;
    world_run(&fixture->world, 600 * WORLD_S);
    assert_true(node_stats(fixture->world.nodes[0].node)->sync_keys_sent - sent <= 5 * 20);
    assert_int_equal(world_count(&fixture->world, "key1", 1, 5), 1);
}

/* Differences of all three sorts: only here, only there, in both and different. */
static void test_sync_finds_few_differences_in_few_bytes(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint64_t different;
        uint64_t bytes_max;
    } cases[] = { { 1, 1300 }, { 10, 6000 }, { 100, 50000 } };

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        uint64_t before;
        char key[32];

        world_begin(fixture, 2);
        before = rounds(fixture);
        load(fixture, 0, 0, 4000);
        load(fixture, 1, 0, 4000);
        for (uint64_t i = 0; i < cases[k].different; i++) {
            world_load(&fixture->world, i % 2, key_of(i % 3 == 0 ? 10000 + i : i, key), 1, 6);
            if (i % 3 == 1) {
                world_load(&fixture->world, 1 - i % 2, key_of(i, key), 9, 6);
            }
        }
        assert_true(world_run_until(&fixture->world, 10 * WORLD_S, all_equal, NULL));
        assert_int_equal(rounds(fixture) - before, 1);
        assert_in_range(fixture->digest_bytes, 1, cases[k].bytes_max);
        assert_true(fixture->item_bytes < 400 * cases[k].different);
        assert_true(world_free(&fixture->world));
    }
}

static void test_sync_ends_in_spite_of_loss(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 3);
    load(fixture, 0, 0, 300);
    load(fixture, 1, 200, 600);
    load(fixture, 2, 500, 700);
    fixture->world.loss_permille = 200;
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, all_equal, NULL));
}

static bool holds_all(const struct world *world, void *context)
{
    const uint64_t *keys = context;

    return table_stats(world->nodes[world->count - 1].table).keys[TABLE_DATA] == *keys;
}

static void test_sync_fills_an_empty_node_once(void **state)
{
    struct fixture *fixture = *state;
    uint64_t keys = 5000;

    world_begin(fixture, 4);
    for (size_t i = 0; i < 3; i++) {
        load(fixture, i, 0, keys);
    }
    assert_true(world_run_until(&fixture->world, 20 * WORLD_S, holds_all, &keys));
    world_run(&fixture->world, 10 * WORLD_S);
    assert_true(all_equal(&fixture->world, NULL));
    /* "key1234" and {1: 5}: 12 bytes an item, 13 with headers. */
    assert_in_range(fixture->item_bytes, keys * 12, keys * 12 * 2);
}

/* Nothing of anti-entropy comes from or goes to the last node. */
static bool lose_of_last(void *context, size_t from, size_t to, struct bytes datagram)
{
    const struct fixture *fixture = context;
    const size_t last = fixture->world.count - 1;
    struct message message;

    return (from != last && to != last) || message_decode(datagram, &message) != WIRE_OK
           || message.items.left + message.tree.left + message.leaves.left + message.wanted.left
                  == 0;
}

static bool first_two_equal(const struct world *world, void *unused)
{
    (void)unused;
    return table_root(world->nodes[0].table, TABLE_DATA)
           == table_root(world->nodes[1].table, TABLE_DATA);
}

/* A member whose repairs never end has others wait, but does not silence them for good. */
static void test_sync_listens_to_others_beside_a_transfer_without_end(void **state)
{
    struct fixture *fixture = *state;
    struct node *node;
    struct peer *last;

    world_begin(fixture, 3);
    fixture->world.filter = lose_of_last;
    node = fixture->world.nodes[0].node;
    last = peers_find(node->peers, &fixture->world.nodes[2].address);
    assert_non_null(last);
    load(fixture, 1, 0, 3000);
    for (unsigned i = 0; i < 30 * 20 && !first_two_equal(&fixture->world, NULL); i++) {
        for (unsigned j = 0; j < 100; j++) {
            sync_raised(node, world_moment(&fixture->world), last, TABLE_DATA);
        }
        world_run(&fixture->world, WORLD_S / 20);
    }
    assert_true(first_two_equal(&fixture->world, NULL));
}

static void test_sync_mends_a_big_vector_by_its_blocks(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t elements = 100000;
    uint64_t before;

    world_begin(fixture, 2);
    before = rounds(fixture);
    for (uint64_t i = 0; i < elements; i++) {
        world_load(&fixture->world, 0, "big", i, 1 + i % 7);
        world_load(&fixture->world, 1, "big", i, 1 + i % 7);
    }
    world_load(&fixture->world, 0, "big", 3, 200);
    world_load(&fixture->world, 0, "big", 77777, 200);
    world_load(&fixture->world, 1, "big", 99999, 200);
    world_load(&fixture->world, 0, "big", 3 * elements, 9);
    world_load(&fixture->world, 1, "big", 5 * elements, 9);
    assert_true(world_run_until(&fixture->world, 20 * WORLD_S, all_equal, NULL));
    assert_int_equal(rounds(fixture) - before, 1);
    assert_int_equal(world_read(&fixture->world, 1, "big", 77777), 200);
    assert_int_equal(world_read(&fixture->world, 0, "big", 99999), 200);
    assert_int_equal(world_read(&fixture->world, 1, "big", 3 * elements), 9);
    assert_int_equal(world_read(&fixture->world, 0, "big", 5 * elements), 9);
    assert_in_range(fixture->item_bytes + fixture->digest_bytes, 3000, 16000);
}

/* A node that takes no new keys is asked less and less often: 200 times, were it not. */
static void test_sync_with_a_full_node_waits_longer_and_longer(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before;

    world_begin(fixture, 2);
    table_set_keys_max(fixture->world.nodes[1].table, 2);
    load(fixture, 0, 0, 50);
    world_run(&fixture->world, 10 * WORLD_S);
    before = rounds(fixture);
    world_run(&fixture->world, 100 * WORLD_S);
    assert_in_range(rounds(fixture) - before, 1, 20);
}

static bool lose_items(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct message message;

    (void)context;
    (void)from;
    (void)to;
    return message_decode(datagram, &message) != WIRE_OK || message.items.left == 0;
}

/* A peer that acks probes and never a repair, as on a path that takes no large datagrams, is not
 * sent the same for ever. */
static void test_sync_gives_up_repairs_that_are_never_acked(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 2);
    load(fixture, 0, 0, 3);
    fixture->world.filter = lose_items;
    world_run(&fixture->world, 60 * WORLD_S);
    assert_true(node_stats(fixture->world.nodes[0].node)->abandoned > 0);
    fixture->world.filter = NULL;
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, all_equal, NULL));
}

/* All of a store at once, as somebody may want who lists every key: what is forgotten is found
 * again. */
static void test_sync_keeps_no_more_than_a_part_of_the_store_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct world_node *node;
    struct entry *entries[64];
    const struct prefix all = { .set = TABLE_DATA };
    struct exchange *exchange;
    uint64_t from = 0;
    uint64_t keys = 9000;
    size_t count;

    world_begin(fixture, 2);
    node = &fixture->world.nodes[0];
    load(fixture, 0, 0, keys);
    exchange = exchange_obtain(node->node, world_moment(&fixture->world),
                               peers_find(node->node->peers, &fixture->world.nodes[1].address));
    do {
        count = table_slice_hash(node->table, all, from, entries, 64);
        for (size_t i = 0; i < count; i++) {
            from = entry_hash(node->table, entries[i]);
            exchange_order(node->node, exchange,
                           (struct order){
                               .prefix = { .bits = from, .nibbles = 16, .set = TABLE_DATA },
                               .from = from,
                               .block_last = UINT64_MAX,
                               .kind = ORDER_SEND,
                           });
            from++;
        }
    } while (count == 64);
    assert_int_equal(exchange->count, EXCHANGE_ORDERS_MAX);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, first_has, &keys));
}

/* What push is still bringing is no difference worth an exchange of items. */
static void test_sync_leaves_alone_what_is_under_way(void **state)
{
    struct fixture *fixture = *state;
    uint64_t repairs = 0;

    world_begin(fixture, 8);
    for (uint64_t i = 0; i < 200; i++) {
        world_write(&fixture->world, i % 8, "counter", i % 8, i + 1);
        world_run(&fixture->world, 50000);
    }
    world_run(&fixture->world, 2 * WORLD_S);
    assert_true(all_equal(&fixture->world, NULL));
    for (size_t i = 0; i < 8; i++) {
        repairs += node_stats(fixture->world.nodes[i].node)->sync_keys_sent;
    }
    assert_true(repairs < 200);
}

static struct peer_view view_of(const struct world *world, size_t node, size_t other)
{
    struct peer_view view;

    assert_true(node_peer(world->nodes[node].node, &world->nodes[other].address, &view));
    return view;
}

/* Digests of data that change all the time are hardly ever equal when they are compared: looks at
 * all peers of all nodes, of which each but the last writes `per_s` elements a second by turns. */
static void look_under_writes(struct fixture *fixture, size_t nodes, uint64_t per_s)
{
    struct world *world = &fixture->world;
    uint64_t begun_us;
    uint64_t looked_us;

    world_begin(fixture, nodes);
    load(fixture, 0, 0, 500);
    world_run(world, 10 * WORLD_S);
    begun_us = looked_us = world->now_us;
    for (uint64_t i = 0; world->now_us - begun_us < 60 * WORLD_S; i++) {
        char key[32];

        world_write(world, i % (nodes - 1), key_of(i * 7 % 500, key), i % 8, 10 + i);
        world_run(world, WORLD_S / per_s);
        if (world->now_us - looked_us < WORLD_S / 2) {
            continue;
        }
        looked_us = world->now_us;
        for (size_t k = 0; k < nodes * nodes; k++) {
            if (k % nodes != k / nodes) {
                const struct peer_view view = view_of(world, k % nodes, k / nodes);

                assert_true(view.converged);
                assert_in_range(world->now_us - view.checked_us, 0, (5 + 5 * nodes) * WORLD_S);
            }
        }
    }
}

static void test_sync_knows_how_far_a_peer_is_behind_under_writes(void **state)
{
    look_under_writes(*state, 3, 200);
}

static void test_sync_knows_how_far_each_of_many_peers_is_behind(void **state)
{
    look_under_writes(*state, 8, 400);
}

static bool is_cut(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct fixture *fixture = context;
    struct message message;

    (void)from;
    (void)to;
    /* Nothing of the data passes; who is there, does. */
    return fixture->world.now_us == 0 || message_decode(datagram, &message) != WIRE_OK
           || (message.items.left == 0 && message.tree.left == 0 && message.leaves.left == 0
               && message.wanted.left == 0);
}

static void test_sync_tells_the_lag_of_a_peer_that_lacks_something(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint64_t written_us;

    world_begin(fixture, 2);
    world_write(world, 0, "a", 1, 1);
    world_run(world, 5 * WORLD_S);
    assert_true(view_of(world, 0, 1).converged);
    assert_true(view_of(world, 0, 1).equal_us == view_of(world, 0, 1).checked_us);
    world->filter = is_cut;
    world_write(world, 0, "a", 1, 2);
    written_us = world->now_us;
    world_run(world, 5 * WORLD_S);
    assert_in_range(view_of(world, 0, 1).equal_us, written_us - WORLD_S, written_us);
    assert_in_range(view_of(world, 1, 0).equal_us, written_us - 2 * WORLD_S, written_us);
    assert_true(view_of(world, 0, 1).converged);
    world_run(world, 10 * WORLD_S);
    assert_false(view_of(world, 0, 1).converged);
    assert_false(view_of(world, 1, 0).converged);
    world->filter = watch;
    world_run(world, 30 * WORLD_S);
    assert_true(view_of(world, 0, 1).converged && view_of(world, 1, 0).converged);
    world_kill(world, 1);
    world_run(world, 60 * WORLD_S);
    assert_int_equal(view_of(world, 0, 1).state, PEER_DEAD);
    assert_int_equal(view_of(world, 0, 1).checked_us, 0);
    assert_false(view_of(world, 0, 1).converged);
}

static bool is_held(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct fixture *fixture = context;
    struct message message;

    (void)from;
    (void)to;
    return fixture->world.now_us == 0 || message_decode(datagram, &message) != WIRE_OK
           || message.items.left == 0;
}

/* Lists of what is lacking show no more than that. */
static void test_sync_takes_no_list_of_much_for_what_is_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint64_t loaded_us;

    world_begin(fixture, 2);
    load(fixture, 0, 0, 5000);
    load(fixture, 1, 0, 5000);
    world_run(world, 5 * WORLD_S);
    world->filter = is_held;
    load(fixture, 0, 5000, 7000);
    loaded_us = world->now_us;
    for (unsigned i = 0; i < 200; i++) {
        world_run(world, WORLD_S / 10);
        assert_true(view_of(world, 1, 0).equal_us <= loaded_us);
        assert_true(view_of(world, 0, 1).equal_us <= loaded_us);
    }
    assert_false(view_of(world, 1, 0).converged || view_of(world, 0, 1).converged);
}

#define ACKS_NODES  5
#define ACKS_WRITES 200
#define ACKS_VALUE  7

struct acked {
    size_t node;
    uint64_t turn_us;
    char key[32];
};

/* Each of the other nodes that has a write is counted sooner or later, and none too soon. Returns
 * how many are. */
static uint64_t acks_look(struct world *world, const struct acked *writes, size_t count)
{
    uint64_t acks = 0;

    for (size_t i = 0; i < count; i++) {
        const struct acked *write = &writes[i];
        struct node *node = world->nodes[write->node].node;
        const uint32_t said = node_acks(node, write->turn_us);

        assert_true(said + 1 <= world_count(world, write->key, 1, ACKS_VALUE));
        acks += said;
        if (i + 5 > count) {
            node_acks_ask(node, world_moment(world), write->turn_us, ACKS_NODES);
            world_wake(world, write->node);
        }
    }
    return acks;
}

/* Several nodes write at once, so that states are passed that others never come to. */
static void test_sync_never_counts_who_lacks_an_update(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    struct acked writes[ACKS_WRITES];
    uint64_t early = 0;

    world_begin(fixture, ACKS_NODES);
    world->loss_permille = 250;
    for (size_t i = 0; i < ACKS_WRITES; i++) {
        struct acked *write = &writes[i];

        write->node = i % 3;
        write->turn_us = world->now_us;
        (void)key_of(i, write->key);
        world_write(world, write->node, write->key, 1, ACKS_VALUE);
        for (unsigned k = 0; k < i % 40; k++) {
            early += acks_look(world, writes, i + 1);
            world_run(world, WORLD_DELAY_US);
        }
    }
    assert_true(early > 0);
    world->loss_permille = 0;
    world_run(world, 20 * WORLD_S);
    assert_int_equal(acks_look(world, writes, ACKS_WRITES), ACKS_WRITES * (ACKS_NODES - 1));
}

static bool is_acked(const struct world *world, void *context)
{
    const struct acked *write = context;

    return node_acks(world->nodes[write->node].node, write->turn_us) == ACKS_NODES - 1;
}

static void test_sync_knows_in_round_trips_who_has_an_update(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    struct acked write = { .node = 0, .key = "a" };

    world_begin(fixture, ACKS_NODES);
    for (unsigned i = 0; i < 3; i++) { /* the last time it changes nothing */
        write.turn_us = world->now_us;
        world_write(world, 0, write.key, 1, i == 0 ? 1 : 2);
        assert_int_equal(node_acks(world->nodes[0].node, write.turn_us), 0);
        world_run(world, 10 * WORLD_DELAY_US);
        node_acks_ask(world->nodes[0].node, world_moment(world), write.turn_us, ACKS_NODES);
        world_wake(world, 0);
        assert_true(world_run_until(world, 4 * WORLD_DELAY_US, is_acked, &write));
        world_run(world, WORLD_S / 10);
    }
}

/* Lists that show nothing but what changed lately make it likely that all else is equal. */
static void test_sync_counts_nobody_who_is_only_on_the_way(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint64_t turn_us;

    world_begin(fixture, 2);
    world_write(world, 0, "a", 1, 1);
    world_run(world, WORLD_S);
    world->filter = is_held;
    turn_us = world->now_us;
    for (unsigned i = 2; i < 80; i++) {
        world_write(world, 0, "a", 1, i);
        assert_int_equal(node_acks(world->nodes[0].node, turn_us), 0);
        world_run(world, WORLD_S / 10);
    }
    world->filter = watch;
    world_run(world, 5 * WORLD_S);
    assert_int_equal(node_acks(world->nodes[0].node, turn_us), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sync_of_equal_nodes_exchanges_nothing),
        TEST(test_sync_audits_find_what_equal_sums_hide),
        TEST(test_sync_audits_are_not_answered_where_roots_differ),
        TEST(test_sync_finds_few_differences_in_few_bytes),
        TEST(test_sync_ends_in_spite_of_loss),
        TEST(test_sync_fills_an_empty_node_once),
        TEST(test_sync_listens_to_others_beside_a_transfer_without_end),
        TEST(test_sync_mends_a_big_vector_by_its_blocks),
        TEST(test_sync_with_a_full_node_waits_longer_and_longer),
        TEST(test_sync_gives_up_repairs_that_are_never_acked),
        TEST(test_sync_keeps_no_more_than_a_part_of_the_store_waiting),
        TEST(test_sync_leaves_alone_what_is_under_way),
        TEST(test_sync_knows_how_far_a_peer_is_behind_under_writes),
        TEST(test_sync_knows_how_far_each_of_many_peers_is_behind),
        TEST(test_sync_tells_the_lag_of_a_peer_that_lacks_something),
        TEST(test_sync_takes_no_list_of_much_for_what_is_on_its_way),
        TEST(test_sync_never_counts_who_lacks_an_update),
        TEST(test_sync_counts_nobody_who_is_only_on_the_way),
        TEST(test_sync_knows_in_round_trips_who_has_an_update),
    };

    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
