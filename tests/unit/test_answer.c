/* What this file tests: that what a peer asks of anti-entropy costs no more work than its datagram
 * has bytes, however big what it asks for, and that it gets it all the same. */

#include "node/answer.h"
#include "node/claim.h"
#include "node/exchange.h"
#include "node/peers.h"
#include "node/state.h"
#include "node/sync.h"
#include "store/digest.h"
#include "wire/writer.h"

#include <string.h>

#include "unit/test.h"
#include "unit/world.h"

#define BLOCKS 20000
#define KEYS   7000 /* most leaves of the tree are nearly full */

struct fixture {
    struct world world;
    struct exchange *exchange; /* of the first node with the second */
    struct writer writer;
    uint8_t datagram[WIRE_EXTENDED_BYTES_MAX];
    uint64_t big; /* hash of the big key */
};

static struct node *node_of(const struct fixture *fixture)
{
    return fixture->world.nodes[0].node;
}

static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */
    static const struct envelope nothing = { 0 };
    char key[] = "key0000";

    memset(&fixture, 0, sizeof fixture);
    *state = &fixture;
    world_create(&fixture.world, 2, 7);
    if (!world_run_until(&fixture.world, 30 * WORLD_S, world_joined, NULL)) {
        return -1;
    }
    for (uint64_t i = 0; i < BLOCKS; i++) {
        world_load(&fixture.world, 0, "big", i << 8, 1);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        key[3] = (char)('0' + i / 1000);
        key[4] = (char)('0' + i / 100 % 10);
        key[5] = (char)('0' + i / 10 % 10);
        key[6] = (char)('0' + i % 10);
        world_load(&fixture.world, 0, key, 1, 5);
    }
    fixture.big = entry_hash(fixture.world.nodes[0].table,
                             table_find(fixture.world.nodes[0].table, bytes_of("big")));
    fixture.exchange =
        exchange_obtain(node_of(&fixture), world_moment(&fixture.world),
                        peers_find(node_of(&fixture)->peers, &fixture.world.nodes[1].address));
    writer_begin_ordinary(&fixture.writer,
                          (struct space){ fixture.datagram, sizeof fixture.datagram }, &nothing);
    return fixture.exchange == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    return world_free(&fixture->world) ? 0 : -1;
}

/* Answer what was written. Its work is bounded by its size. */
static void answer(struct fixture *fixture)
{
    static const bool listens[TABLE_SET_COUNT] = { true, true };
    const struct bytes datagram = writer_end(&fixture->writer);
    const uint64_t before = node_work(node_of(fixture));
    struct message message;
    uint64_t work;

    assert_int_equal(message_decode(datagram, &message), WIRE_OK);
    (void)answer_fields(node_of(fixture), world_moment(&fixture->world), fixture->exchange,
                        &message, 0, listens);
    work = node_work(node_of(fixture)) - before;
    assert_true(work <= node_datagram_work_max(datagram.size));
}

static bool has_all(const struct world *world, void *unused)
{
    (void)unused;
    return table_root(world->nodes[0].table, TABLE_DATA)
           == table_root(world->nodes[1].table, TABLE_DATA);
}

static void test_answer_takes_a_repeated_wish_for_one(void **state)
{
    struct fixture *fixture = *state;

    while (writer_put_wanted(&fixture->writer, &fixture->big, 1) == 1) {
    }
    answer(fixture);
    assert_in_range(fixture->exchange->count, 1, 2); /* one that is kept may be of either set */
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

/* As many keys as a datagram can want. */
static void test_answer_of_many_wishes_walks_few_leaves(void **state)
{
    struct fixture *fixture = *state;
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[200];
    const size_t count = table_slice_hash(fixture->world.nodes[0].table, all, 0, entries, 200);
    size_t wanted = 0;
    uint64_t hash;

    do {
        hash = entry_hash(fixture->world.nodes[0].table, entries[wanted++]);
    } while (writer_put_wanted(&fixture->writer, &hash, 1) == 1 && wanted < count);
    assert_in_range(wanted, 100, count - 1);
    answer(fixture);
    assert_in_range(fixture->exchange->count, wanted - 1, 2 * wanted);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

static void test_answer_of_many_block_lists_walks_no_vector(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number = 0;

    while (writer_begin_blocks(&fixture->writer, TABLE_DATA, fixture->big, 0)) {
        if (writer_put_block_digest(&fixture->writer, number++, 17)) {
            (void)writer_put_block_digest(&fixture->writer, number + 9000, 17);
        }
        writer_end_blocks(&fixture->writer, false);
    }
    answer(fixture);
    assert_true(fixture->exchange->count > 1);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

/* The more one list names, the more is looked at for it, but the size bounds that too. */
static void test_answer_of_leaf_lists_is_bounded_by_them(void **state)
{
    struct fixture *fixture = *state;
    static const size_t counts[] = { 0, 1, 3, 30, 80 };

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct wire_leaf_pair pairs[90];
        struct prefix prefix = { .set = TABLE_DATA, .nibbles = 1 };
        bool room = true;

        writer_begin_ordinary(&fixture->writer,
                              (struct space){ fixture->datagram, sizeof fixture->datagram },
                              &(struct envelope){ 0 });
        while (room) { /* under each prefix there are hundreds of ours */
            for (size_t k = 0; k < counts[i]; k++) {
                pairs[k] = (struct wire_leaf_pair){ .hash = prefix.bits + k + 1, .digest = 3 };
            }
            room = writer_put_leaf(&fixture->writer, prefix, pairs, counts[i]);
            prefix.bits += UINT64_C(1) << 60;
        }
        exchange_cancel(node_of(fixture), fixture->exchange, TABLE_DATA); /* a stream puts off */
        answer(fixture);
    }
}

/* Trees of somebody who has nothing, all of whose children so are to be sent. */
static void test_answer_of_trees_is_bounded_by_them(void **state)
{
    struct fixture *fixture = *state;
    struct wire_tree tree = { .prefix = { .set = TABLE_DATA } };

    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        tree.children[i] = digest_salted(0, 0);
    }
    while (writer_put_tree(&fixture->writer, &tree)) {
        tree.prefix.bits += UINT64_C(1) << 60;
        tree.prefix.nibbles = 1;
    }
    answer(fixture);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

/* What found no room is taken up again, from the lowest hash on, until nothing is left. */
static void test_answer_goes_on_where_orders_found_no_room(void **state)
{
    struct fixture *fixture = *state;
    const struct table *table = fixture->world.nodes[0].table;
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[KEYS];
    const size_t count = table_slice_hash(table, all, 0, entries, KEYS);

    for (size_t i = 0; i < count; i++) {
        exchange_order(node_of(fixture), fixture->exchange,
                       (struct order){ .prefix = { .bits = entry_hash(table, entries[i]),
                                                   .nibbles = 16,
                                                   .set = TABLE_DATA },
                                       .kind = ORDER_WANT });
    }
    assert_int_equal(fixture->exchange->count, EXCHANGE_ORDERS_MAX);
    assert_true(fixture->exchange->spills[TABLE_DATA].any);
    assert_true(fixture->exchange->spills[TABLE_DATA].first
                <= entry_hash(table, entries[EXCHANGE_ORDERS_MAX]));
    assert_true(fixture->exchange->spills[TABLE_DATA].last
                >= entry_hash(table, entries[count - 1]));
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

/* Keys may have come since a list was ordered; a datagram's trees are written before its lists. */
static void test_answer_makes_a_tree_of_a_list_that_grew(void **state)
{
    struct fixture *fixture = *state;
    const struct order tree = { .prefix = { .set = TABLE_DATA, .nibbles = 1 }, .kind = ORDER_TREE };
    const struct order leaf = { .prefix = { .set = TABLE_DATA }, .kind = ORDER_LEAF };

    exchange_order(node_of(fixture), fixture->exchange, tree);
    exchange_order(node_of(fixture), fixture->exchange, leaf);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

/* Hashes that nobody has, as somebody may make up: none is looked for without passing all that lie
 * beside it, which counts, and is bounded like all else. */
static void test_answer_counts_what_looking_for_a_hash_takes(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t before = node_work(node_of(fixture));
    const uint64_t nodes = table_stats(fixture->world.nodes[0].table).nodes;
    uint64_t hash = 1;

    while (writer_put_wanted(&fixture->writer, &hash, 1) == 1) {
        hash += UINT64_C(0x01b54a32d192ed03);
    }
    answer(fixture);
    assert_true(node_work(node_of(fixture)) - before
                >= (table_stats(fixture->world.nodes[0].table).nodes - nodes) / 2);
    /* What was kept comes to nothing once it is looked at. */
    assert_true(fixture->exchange->count > 0);
    world_run(&fixture->world, WORLD_S);
    assert_true(node_work(node_of(fixture)) - before
                >= (table_stats(fixture->world.nodes[0].table).nodes - nodes) / 2);
    assert_true(world_run_until(&fixture->world, 60 * WORLD_S, has_all, NULL));
}

static const struct order everything = { .prefix = { .set = TABLE_DATA },
                                         .block_last = UINT64_MAX,
                                         .kind = ORDER_STREAM };

/* However much work comes in, and whatever it takes to spread it, repairs go on. */
static void test_answer_leaves_in_a_turn_that_has_no_budget_left(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = node_of(fixture);
    const struct space space = { fixture->datagram, sizeof fixture->datagram };
    const uint64_t before = node_stats(node)->sync_keys_sent;
    struct address to;

    exchange_order(node, fixture->exchange, everything);
    work_count(node, NODE_TURN_WORK_MAX);
    while (node_emit(node, world_moment(&fixture->world), space, &to) > 0) {
    }
    assert_true(node_stats(node)->sync_keys_sent > before);
}

/* Whose window is full costs a look each time, and there may be thousands of them. */
static void test_answer_counts_who_cannot_be_sent_to(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = node_of(fixture);
    const struct space space = { fixture->datagram, sizeof fixture->datagram };
    const uint8_t in_flight = fixture->exchange->peer->in_flight;
    const uint64_t before = node_work(node);
    struct address to;

    exchange_order(node, fixture->exchange, everything);
    fixture->exchange->peer->in_flight = UINT8_MAX;
    assert_int_equal(sync_emit(node, world_moment(&fixture->world), space, &to), 0);
    assert_true(fixture->exchange->blocked);
    assert_true(node_work(node) >= before + 2); /* one for the order */
    fixture->exchange->peer->in_flight = in_flight;
}

/* What is forgotten of one set is nothing of the other, whichever waits first. */
static void test_answer_cancels_the_repairs_of_one_set(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = node_of(fixture);
    struct entry *self = node->self;
    struct entry *big = table_find_hash(fixture->world.nodes[0].table, TABLE_DATA, fixture->big);
    struct mark mark = { .number = 0 };

    mark_set(&mark, PRESENCE_STATE);
    exchange_repair(node, fixture->exchange, big, &mark);
    exchange_repair(node, fixture->exchange, self, &mark);
    assert_true(exchange_repairs(fixture->exchange, TABLE_MEMBERS));
    assert_true(exchange_repairs(fixture->exchange, TABLE_DATA));
    exchange_cancel(node, fixture->exchange, TABLE_MEMBERS);
    assert_false(exchange_repairs(fixture->exchange, TABLE_MEMBERS));
    assert_true(exchange_repairs(fixture->exchange, TABLE_DATA));
    exchange_cancel(node, fixture->exchange, TABLE_DATA);
    assert_true(exchange_done(fixture->exchange));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer_takes_a_repeated_wish_for_one),
        TEST(test_answer_of_many_wishes_walks_few_leaves),
        TEST(test_answer_of_many_block_lists_walks_no_vector),
        TEST(test_answer_of_leaf_lists_is_bounded_by_them),
        TEST(test_answer_of_trees_is_bounded_by_them),
        TEST(test_answer_goes_on_where_orders_found_no_room),
        TEST(test_answer_makes_a_tree_of_a_list_that_grew),
        TEST(test_answer_counts_what_looking_for_a_hash_takes),
        TEST(test_answer_leaves_in_a_turn_that_has_no_budget_left),
        TEST(test_answer_counts_who_cannot_be_sent_to),
        TEST(test_answer_cancels_the_repairs_of_one_set),
    };

    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
