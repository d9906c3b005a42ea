/* What this file tests: deletion among nodes. What is deleted is gone everywhere, stays so whatever
 * comes back, and plain peers have no part in it. */

#include "base/deadline.h"
#include "node/join.h"
#include "node/may.h"
#include "node/offer.h"
#include "node/peers.h"
#include "node/push.h"

#include <stdio.h>

#include "unit/world_fixture.h"

#define FEW_S     (WORLD_S / 2) /* push takes no longer, and anti-entropy has hardly begun */
#define REPAIR_S  (20 * WORLD_S)
#define SOURCE    40 /* addresses of plain peers: no node's */
#define MANY_KEYS 300

/* The world's nodes, all joined. */
static void joined_create(struct world *world, size_t count)
{
    world_create(world, count, 5);
    assert_true(world_run_until(world, 30 * WORLD_S, world_joined, NULL));
}

static uint32_t key_delete(struct world *world, size_t node, const char *key)
{
    uint32_t generation = 0;
    struct fault why;

    world_wake(world, node);
    assert_int_equal(
        node_delete(world->nodes[node].node, world_moment(world), bytes_of(key), &generation, &why),
        STATUS_OK);
    return generation;
}

static bool all_equal(const struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 1; i < world->count; i++) {
        if (table_root(world->nodes[i].table, TABLE_DATA)
            != table_root(world->nodes[0].table, TABLE_DATA)) {
            return false;
        }
    }
    return true;
}

/* Whether a key is a tombstone at all nodes. */
static bool all_deleted(const struct world *world, void *context)
{
    const char *key = context;

    for (size_t i = 0; i < world->count; i++) {
        if (table_find(world->nodes[i].table, bytes_of(key)) != NULL
            || table_tombstone(world->nodes[i].table, bytes_of(key)) == NULL) {
            return false;
        }
    }
    return true;
}

static bool by_side(void *context, size_t from, size_t to, struct bytes datagram)
{
    const size_t *alone = context;

    (void)datagram;
    return (from == *alone) == (to == *alone);
}

static void test_deletion_goes_to_all_by_push(void **state)
{
    struct world *world = *state;
    char key[] = "foo";
    uint64_t copies = 0;

    joined_create(world, 12);
    world_write(world, 0, key, 1, 5);
    world_run(world, FEW_S);
    assert_int_equal(world_count(world, key, 1, 5), 12);
    for (size_t i = 0; i < 12; i++) {
        copies += node_stats(world->nodes[i].node)->copies;
    }
    assert_true(key_delete(world, 3, key) >= WORLD_UNIX_S);
    assert_int_equal(node_changes(world->nodes[3].node).count, 2);
    assert_true(world_run_until(world, FEW_S, all_deleted, key));
    world_run(world, FEW_S);
    for (size_t i = 0; i < 12; i++) {
        copies -= node_stats(world->nodes[i].node)->copies;
    }
    assert_in_range(0 - copies, 11, 14); /* once to each, as an update */
}

static void test_deletion_of_what_is_not_there_is_refused(void **state)
{
    struct world *world = *state;
    uint32_t generation = 7;
    struct fault why;

    joined_create(world, 2);
    world_write(world, 0, "foo", 1, 5);
    (void)key_delete(world, 0, "foo");
    assert_int_equal(
        node_delete(world->nodes[0].node, world_moment(world), bytes_of("foo"), &generation, &why),
        STATUS_INVALID);
    assert_int_equal(node_delete(world->nodes[0].node, world_moment(world), bytes_of("never"),
                                 &generation, &why),
                     STATUS_INVALID);
    assert_int_equal(node_delete(world->nodes[0].node, world_moment(world),
                                 bytes_of("n:127.0.0.1:6001"), &generation, &why),
                     STATUS_CONFLICT);
    assert_int_equal(generation, 7);
}

static void test_write_after_a_deletion_is_everywhere(void **state)
{
    struct world *world = *state;

    joined_create(world, 4);
    world_write(world, 0, "foo", 1, 5);
    world_run(world, FEW_S);
    (void)key_delete(world, 1, "foo");
    world_write(world, 1, "foo", 2, 3); /* in the same turn */
    world_run(world, FEW_S);
    (void)key_delete(world, 2, "foo");
    world_run(world, FEW_S);
    world_write(world, 3, "foo", 4, 1);
    world_run(world, FEW_S);
    assert_int_equal(world_count(world, "foo", 4, 1), 4);
    assert_int_equal(world_count(world, "foo", 1, 1), 0);
    assert_int_equal(world_count(world, "foo", 2, 1), 0);
    assert_true(all_equal(world, NULL));
}

/* Who has not seen the deletion writes to what is gone. */
static void test_concurrent_writes_are_lost_with_their_generation(void **state)
{
    struct world *world = *state;
    size_t alone = 2;
    char key[] = "foo";

    joined_create(world, 4);
    world_write(world, 0, key, 1, 5);
    world_run(world, FEW_S);
    world->filter = by_side;
    world->context = &alone;
    (void)key_delete(world, 0, key);
    world_write(world, alone, key, 1, 900);
    world_write(world, alone, key, 2, 900);
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, alone, key, 2), 900);
    world->filter = NULL;
    assert_true(world_run_until(world, REPAIR_S, all_deleted, key));
    assert_true(all_equal(world, NULL));
}

/* Whoever tells of a lesser generation is told the greater one with the ack. */
static void test_writer_that_missed_a_deletion_is_told_at_once(void **state)
{
    struct world *world = *state;
    size_t alone = 1;
    char key[] = "foo";

    joined_create(world, 2);
    world_write(world, 0, key, 1, 5);
    world_run(world, FEW_S);
    world->filter = by_side;
    world->context = &alone;
    (void)key_delete(world, 0, key);
    world_run(world, WORLD_S / 100);
    world->filter = NULL;
    world_write(world, alone, key, 1, 900);
    assert_true(world_run_until(world, WORLD_S / 50, all_deleted, key));
}

/* A node comes back with what it had before, again and again: big vectors whose blocks are compared
 * first, small ones, and keys that were written since. */
static void test_old_copies_bring_nothing_back(void **state)
{
    struct world *world = *state;
    char key[32];

    joined_create(world, 3);
    for (unsigned i = 0; i < MANY_KEYS; i++) {
        (void)snprintf(key, sizeof key, "key %u", i);
        world_write(world, 0, key, 1, 5);
        (void)key_delete(world, 0, key);
    }
    for (uint64_t i = 0; i < 600; i++) {
        world_write(world, 0, "big", i, 5);
        world_write(world, 0, "changes", i, 5);
        world_write(world, 0, "again", i, 5);
    }
    (void)key_delete(world, 0, "big");
    (void)key_delete(world, 0, "changes");
    (void)key_delete(world, 0, "again");
    for (uint64_t i = 0; i < 600; i++) {
        world_write(world, 0, "changes", i, 3);
        world_write(world, 0, "again", i, 5); /* the same blocks, of another generation */
    }
    for (unsigned i = 0; i < MANY_KEYS; i += 3) {
        (void)snprintf(key, sizeof key, "key %u", i);
        world_write(world, 0, key, 2, 1);
    }
    world_run(world, WORLD_S);
    for (unsigned times = 0; times < 2; times++) {
        const struct node_options options = world_options(world->count);

        world_join(world, &options);
        for (unsigned i = 0; i < MANY_KEYS; i++) {
            (void)snprintf(key, sizeof key, "key %u", i);
            world_load(world, world->count - 1, key, 1, 5);
        }
        for (uint64_t i = 0; i < 600; i++) {
            world_load(world, world->count - 1, "big", i, 5);
            world_load(world, world->count - 1, "changes", i, 5);
            world_load(world, world->count - 1, "again", i, 5);
        }
        assert_true(world_run_until(world, 3 * REPAIR_S, all_equal, NULL));
        for (size_t n = 0; n < world->count; n++) {
            assert_int_equal(table_stats(world->nodes[n].table).keys[TABLE_DATA],
                             2 + MANY_KEYS / 3);
            assert_int_equal(world_read(world, n, "key 0", 1), 0);
            assert_int_equal(world_read(world, n, "changes", 599), 3);
        }
    }
}

static uint64_t blocks_sent(const struct world *world)
{
    return node_stats(world->nodes[0].node)->sync_keys_sent
           + node_stats(world->nodes[1].node)->sync_keys_sent;
}

/* Of a big vector that was deleted once, too, only the blocks that differ are sent. */
static void test_blocks_of_one_generation_are_compared(void **state)
{
    struct world *world = *state;
    uint64_t sent;

    joined_create(world, 2);
    world_write(world, 0, "big", 1, 5);
    (void)key_delete(world, 0, "big");
    for (uint64_t i = 0; i < 100; i++) {
        for (uint64_t k = 0; k < 4; k++) {
            world_write(world, 0, "big", i << 8 | k, 5);
        }
    }
    world_run(world, 5 * WORLD_S);
    assert_true(all_equal(world, NULL));
    sent = blocks_sent(world);
    world_load(world, 1, "big", 50 << 8, 6);
    assert_true(world_run_until(world, REPAIR_S, all_equal, NULL));
    assert_int_equal(world_read(world, 0, "big", 50 << 8), 6);
    assert_in_range(blocks_sent(world) - sent, 1, 3);
}

/* A key of a number that ends so many minutes from now. */
static const char *dated(const struct world *world, char text[64], unsigned number,
                         uint32_t minutes)
{
    const int size = snprintf(text, 32, "key %u", number);
    const uint32_t now = deadline_now(world_moment(world).unix_s);

    text[(size_t)size + deadline_put(text + size, now + minutes)] = '\0';
    return text;
}

/* For a peer whose clock is ahead the tombstone of a key that ends before is none. */
static void test_tombstones_exist_for_peers_until_they_end(void **state)
{
    struct world *world = *state;
    struct peer peer = { .level = 1 };
    const struct entry *tombstone;
    char text[64];

    nodes_create(world, 1);
    for (uint32_t minutes = 0; minutes < 3; minutes++) {
        const char *key = minutes == 0 ? "foo" : dated(world, text, 1, minutes);

        world_write(world, 0, key, 1, 5);
        (void)key_delete(world, 0, key);
        world_run(world, WORLD_S);
        peer.minute = table_root_minute(world->nodes[0].table) + 1;
        tombstone = table_tombstone(world->nodes[0].table, bytes_of(key));
        assert_int_equal(
            sync_exists_for(world->nodes[0].node, world_moment(world), &peer, tombstone),
            minutes != 1);
    }
}

static bool nothing_left(const struct world *world, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < world->count; i++) {
        const struct table_stats stats = table_stats(world->nodes[i].table);

        if (stats.keys[TABLE_DATA] + stats.tombstones + stats.ended > 0
            || table_root(world->nodes[i].table, TABLE_DATA) != 0) {
            return false;
        }
    }
    return true;
}

/* Of whoever deletes dated keys nothing is left, neither at nodes that had them nor at those that
 * know of their deletion alone, nor where an old copy comes back afterwards. */
static void test_tombstones_of_dated_keys_end_with_them(void **state)
{
    const struct address_range anybody = { .bits = 0 };
    struct node_options options = world_options(2);
    struct world *world = *state;
    char keys[MANY_KEYS][64];

    joined_create(world, 2);
    for (unsigned i = 0; i < MANY_KEYS; i++) {
        world_write(world, 0, dated(world, keys[i], i, 6), 1, 5);
        (void)key_delete(world, 0, keys[i]);
    }
    world_run(world, 5 * WORLD_S);
    options.trust = &anybody;
    options.trust_count = 1;
    world_join(world, &options);
    world_load(world, 2, keys[0], 1, 5);
    assert_true(world_run_until(world, REPAIR_S, all_equal, NULL));
    for (size_t n = 0; n < world->count; n++) {
        assert_int_equal(table_stats(world->nodes[n].table).tombstones, MANY_KEYS);
        assert_int_equal(table_stats(world->nodes[n].table).keys[TABLE_DATA], 0);
    }
    world_write(world, 2, keys[1], 1, 1);
    assert_true(world_run_until(world, 6 * 60 * WORLD_S, nothing_left, NULL));
    plain_send(world, 1, 0, keys[0], 1, 5);
    world_run(world, WORLD_S);
    assert_true(nothing_left(world, NULL));
}

/* A tombstone is refused like the key itself: once it has ended, and beyond max-keep. */
static void test_tombstones_that_end_are_judged_at_the_door(void **state)
{
    struct world *world = *state;
    struct node_options options = world_options(1);
    char text[64];

    nodes_create(world, 1);
    options.keep_max_s = UINT64_C(10) * 86400;
    world_join(world, &options);
    assert_true(world_run_until(world, 30 * WORLD_S, world_joined, NULL));
    for (unsigned days = 9; days < 13; days += 3) {
        world_write(world, 0, dated(world, text, days, days * 24 * 60), 1, 5);
        (void)key_delete(world, 0, text);
    }
    world_run(world, REPAIR_S);
    assert_int_equal(table_stats(world->nodes[0].table).tombstones, 2);
    assert_int_equal(table_stats(world->nodes[1].table).tombstones, 1);
    assert_true(node_stats(world->nodes[1].node)->refused_max_keep > 0);
    assert_int_equal(node_stats(world->nodes[1].node)->refused_ended, 0);
    world->nodes[1].ahead_s = INT64_C(3) * 60;
    world_write(world, 0, dated(world, text, 1, 2), 1, 5);
    (void)key_delete(world, 0, text);
    world_run(world, 20 * WORLD_S);
    assert_int_equal(table_stats(world->nodes[1].table).tombstones, 1);
    assert_true(node_stats(world->nodes[1].node)->refused_ended > 0);
}

/* Whether the plain peer is told anything of data within a second. */
static bool is_told(struct world *world)
{
    for (unsigned i = 0; i < 100; i++) {
        struct message message;

        world->stray.size = 0;
        world_run(world, WORLD_S / 100);
        if (world->stray.size > 0
            && message_decode((struct bytes){ world->stray.data, world->stray.size }, &message)
                   == WIRE_OK
            && !bytes_begin_with(message.plain.key, bytes_of("n:"))) {
            return true;
        }
    }
    return false;
}

static void test_plain_peers_have_no_part_in_what_was_deleted(void **state)
{
    struct world *world = *state;

    joined_create(world, 2);
    world_write(world, 0, "gone", 1, 5);
    world_write(world, 0, "again", 1, 5);
    (void)key_delete(world, 0, "gone");
    (void)key_delete(world, 0, "again");
    world_write(world, 0, "again", 2, 3);
    plain_send(world, SOURCE, 0, "there", 1, 7);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(world_read(world, 0, "there", 1), 7);
    plain_send(world, SOURCE, 0, "gone", 1, 5);
    plain_send(world, SOURCE, 0, "again", 1, 9);
    assert_false(is_told(world));
    assert_int_equal(world_read(world, 0, "gone", 1), 0);
    assert_int_equal(world_read(world, 0, "again", 1), 0);
    assert_int_equal(node_stats(world->nodes[0].node)->refused_generations, 2);
    plain_send(world, SOURCE, 0, "gone", 1, 0);
    plain_send(world, SOURCE, 0, "again", 1, 0);
    plain_send(world, SOURCE, 0, "again", 2, 1);
    assert_false(is_told(world));
    plain_send(world, SOURCE, 0, "again*", 0, 0);
    assert_false(is_told(world));
    plain_send(world, SOURCE, 0, "%again", 0, 0);
    assert_false(is_told(world));
    world_write(world, 0, "again", 4, 3);
    assert_false(is_told(world));
    plain_send(world, SOURCE, 0, "there", 1, 0);
    assert_true(is_told(world));
    plain_send(world, SOURCE, 0, "*", 0, 0);
    assert_true(is_told(world));
}

/* The same of an address that is no peer yet, whose answer waits while its key is deleted. */
/* What goes in this turn may still be queued: neither what was deleted nor the tombstone that was
 * written to is for a plain peer. */
static void test_plain_peers_get_nothing_that_goes(void **state)
{
    struct world *world = *state;
    const struct peer peer = { .address = world_address(SOURCE) };
    struct entry *entry;
    struct table *table;

    nodes_create(world, 1);
    world_write(world, 0, "again", 1, 5);
    table = world->nodes[0].table;
    entry = table_find(table, bytes_of("again"));
    assert_true(plain_may_get(world->nodes[0].node, &peer, entry));
    (void)key_delete(world, 0, "again");
    assert_false(plain_may_get(world->nodes[0].node, &peer, entry));
    entry = table_tombstone(table, bytes_of("again"));
    assert_false(plain_may_get(world->nodes[0].node, &peer, entry));
    assert_int_equal(
        client_write_one(world->nodes[0].node, world_moment(world), bytes_of("again"), 1, 5, NULL),
        STATUS_OK);
    assert_true(entry_dropped(entry));
    assert_false(plain_may_get(world->nodes[0].node, &peer, entry));
}

static void test_strangers_are_told_nothing_of_what_was_deleted(void **state)
{
    struct world *world = *state;

    nodes_create(world, 1);
    world_write(world, 0, "gone", 1, 5);
    world_write(world, 0, "again", 1, 5);
    world_run(world, WORLD_S);
    for (unsigned i = 0; i < 2; i++) {
        const struct address from = world_address(SOURCE);
        uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

        node_receive(world->nodes[0].node, world_moment(world), &from,
                     plain_write(buffer, i == 0 ? "gone" : "again", 1, 0));
        (void)key_delete(world, 0, i == 0 ? "gone" : "again");
        if (i > 0) {
            world_write(world, 0, "again", 2, 3);
        }
        assert_false(is_told(world));
        plain_send(world, SOURCE, 0, i == 0 ? "gone" : "again", 1, 9);
        assert_false(is_told(world));
        assert_int_equal(world_count(world, i == 0 ? "gone" : "again", 1, 1), 0);
    }
    world_write(world, 0, "there", 1, 5);
    plain_send(world, SOURCE, 0, "there", 1, 0);
    assert_true(is_told(world));
}

/* A generation two days ahead is taken, a later one is not. */
static void test_generations_far_ahead_are_refused(void **state)
{
    static const uint32_t day_s = 86400;
    struct world *world = *state;

    joined_create(world, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct table *table = world->nodes[0].table;
        const char *key = i == 0 ? "ahead" : "far ahead";
        const uint32_t now_s = (uint32_t)world_moment(world).unix_s;
        struct entry *entry = NULL;

        assert_int_equal(table_delete(table, &entry, table_hash(table, bytes_of(key)),
                                      DEADLINE_NONE, now_s + day_s * (i == 0 ? 2 : 3),
                                      CHANGE_FROM_DISK),
                         STATUS_OK);
        world_load(world, 1, key, 1, 5);
    }
    world_run(world, REPAIR_S);
    assert_int_equal(world_read(world, 1, "ahead", 1), 0);
    assert_int_equal(world_read(world, 1, "far ahead", 1), 5);
    assert_true(node_stats(world->nodes[1].node)->refused_generations > 0);
}

/* What was passed on of one generation was not passed on of another, though the values are the
 * same: what came by repair still has to be, when it comes by push, too. */
static void test_what_was_passed_on_is_of_one_generation(void **state)
{
    struct world *world = *state;
    struct table *table;
    const uint64_t value = 5;
    const uint8_t offset = 1;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    const struct mark mark = block_mark(&block);
    struct merge_result merged;
    struct entry *entry;

    joined_create(world, 3);
    table = world->nodes[0].table;
    world_write(world, 0, "again", 1, 5);
    entry = table_find(table, bytes_of("again"));
    assert_true(push_handled(world->nodes[0].node, world_moment(world), entry, &mark, 0));
    assert_int_equal(table_renew(table, &entry, (uint32_t)world_moment(world).unix_s, &block,
                                 CHANGE_FROM_REPAIR, &merged),
                     STATUS_OK);
    assert_false(push_handled(world->nodes[0].node, world_moment(world), entry, &mark, 0));
}

/* What a rule refuses in the new generation takes the old one away all the same. */
static void test_refused_values_of_a_later_generation_empty_the_key(void **state)
{
    struct world *world = *state;
    const struct node_value_rule rule = { .pattern = bytes_of("small:*"), .value_max = 10 };
    struct node_options options;

    joined_create(world, 2);
    options = world_options(2);
    options.value_rules = &rule;
    options.value_rules_count = 1;
    world_join(world, &options);
    assert_true(world_run_until(world, 30 * WORLD_S, world_joined, NULL));
    world_write(world, 0, "small:a", 1, 5);
    world_run(world, FEW_S);
    (void)key_delete(world, 0, "small:a");
    world_write(world, 0, "small:a", 2, 11); /* in the same turn: the tombstone is not sent */
    world_run(world, WORLD_S);
    assert_int_equal(world_read(world, 1, "small:a", 2), 11);
    assert_int_equal(world_read(world, 2, "small:a", 1), 0);
    assert_non_null(table_tombstone(world->nodes[2].table, bytes_of("small:a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_deletion_goes_to_all_by_push),
        TEST(test_deletion_of_what_is_not_there_is_refused),
        TEST(test_write_after_a_deletion_is_everywhere),
        TEST(test_concurrent_writes_are_lost_with_their_generation),
        TEST(test_writer_that_missed_a_deletion_is_told_at_once),
        TEST(test_old_copies_bring_nothing_back),
        TEST(test_blocks_of_one_generation_are_compared),
        TEST(test_tombstones_exist_for_peers_until_they_end),
        TEST(test_tombstones_of_dated_keys_end_with_them),
        TEST(test_tombstones_that_end_are_judged_at_the_door),
        TEST(test_plain_peers_have_no_part_in_what_was_deleted),
        TEST(test_plain_peers_get_nothing_that_goes),
        TEST(test_strangers_are_told_nothing_of_what_was_deleted),
        TEST(test_generations_far_ahead_are_refused),
        TEST(test_what_was_passed_on_is_of_one_generation),
        TEST(test_refused_values_of_a_later_generation_empty_the_key),
    };

    return cmocka_run_group_tests_name("delete", tests, NULL, NULL);
}
