/* What this file tests: questions over many keys, answered in slices to whoever asked. */

#include "node/claim.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/queue.h"
#include "node/search.h"

#include <stdio.h>

#include "unit/plain_world.h"
#include "unit/test.h"

#define A "10.0.0.2:7000"
#define B "10.0.0.3:7000"

/* Keys "key-0000" and on, each with one element: its number + 1 at its number. */
static void keys_write(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[] = "key-0000";

        key[4] = (char)('0' + i / 1000);
        key[5] = (char)('0' + i / 100 % 10);
        key[6] = (char)('0' + i / 10 % 10);
        key[7] = (char)('0' + i % 10);
        write_one(world, key, i, i + 1);
    }
    world_emit(world);
}

static void test_search_answers_every_matching_key_in_byte_order(void **state)
{
    struct world *world = *state;
    size_t count = 0;

    keys_write(world, 600);
    write_one(world, "other", 0, 1);
    hear(world, A, "key-0%", NULL, 0, 9, 0);
    world_run(world, 40 * SECOND);
    for (size_t i = 0; i < world->said_count; i++) {
        const struct said *said = &world->said[i];

        if (strncmp(said->key, "key-", 4) != 0) {
            continue;
        }
        assert_int_equal(said->count, 1);
        assert_int_equal(said->pairs[0].index, count);
        assert_int_equal(said->pairs[0].value, count + 1);
        assert_int_equal(said->ttl, 3);
        assert_true(said->full);
        count++;
    }
    assert_int_equal(count, 600);
    assert_null(said_find(world, NULL, "other", 0));
    assert_int_equal(searches_count(world->node), 0);
}

static void test_search_answers_search_max_keys_at_most(void **state)
{
    struct world *world = *state;
    size_t count = 0;

    (void)world_end(world);
    *world = (struct world){ .options = { NODE_DEFAULTS } };
    world->options.search_max = 10;
    world_begin(world);
    keys_write(world, 400);
    hear(world, A, "%", NULL, 0, 3, 0);
    world_run(world, 20 * SECOND);
    for (size_t i = 0; i < world->said_count; i++) {
        count += strncmp(world->said[i].key, "key-", 4) == 0;
    }
    assert_int_equal(count, 10);
}

static void test_search_says_only_what_is_larger(void **state)
{
    struct world *world = *state;
    const struct pair given[] = { { 1, 9 }, { 2, 3 } };
    const struct said *said;

    keys_write(world, 3);
    write_one(world, "key-0002", 300, 5);
    hear(world, A, "key-%", given, 2, 3, 0);
    world_run(world, SECOND);
    assert_non_null(said_find(world, A, "key-0000", 0));
    assert_null(said_find(world, A, "key-0001", 0));
    said = said_find(world, A, "key-0002", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 1);
    assert_int_equal(said_value(said, 300), 5);
    assert_false(said->full);
}

static void test_search_needs_a_ttl_that_lets_an_answer_leave(void **state)
{
    struct world *world = *state;

    keys_write(world, 3);
    hear(world, A, "key-%", NULL, 0, 1, 0);
    hear(world, A, "key-*", NULL, 0, 0, 0);
    world_run(world, SECOND);
    assert_true(world->said_count > 0);
    for (size_t i = 0; i < world->said_count; i++) {
        assert_int_not_equal(strncmp(world->said[i].key, "key", 3), 0);
    }
    assert_int_equal(node_stats(world->node)->questions, 2);
}

static void test_search_a_new_question_replaces_the_old_one_of_its_source(void **state)
{
    struct world *world = *state;

    keys_write(world, 900);
    hear(world, A, "key-%", NULL, 0, 3, 0);
    world_run(world, SECOND);
    hear(world, A, "key-0899", NULL, 0, 3, 0);
    hear(world, A, "key-0898%", NULL, 0, 3, 0);
    hear(world, B, "key-0000%", NULL, 0, 3, 0);
    assert_int_equal(searches_count(world->node), 2);
    world_run(world, 60 * SECOND);
    assert_int_equal(said_count_of(world, A, "key-0898"), 1);
    assert_null(said_find(world, A, "key-0800", 0)); /* the old one had not come so far */
    assert_int_equal(said_count_of(world, B, "key-0000"), 1);
}

static void test_search_of_the_join_goes_to_the_asker_alone_and_is_not_stored(void **state)
{
    struct world *world = *state;
    static const char *const both[] = { A, B };
    uint64_t sum = 0;
    size_t parts;

    world_meet(world, both, 2, 0);
    keys_write(world, 700);
    world_run(world, 60 * SECOND);
    world->said_count = 0;
    hear(world, A, "key-*", NULL, 0, 3, 0);
    world_run(world, 10 * SECOND);
    parts = said_count_of(world, A, "key-*");
    assert_true(parts > 1);
    for (size_t i = 0; i < parts; i++) {
        const struct said *said = said_find(world, A, "key-*", i);

        assert_true(said->full);
        for (size_t j = 0; j < said->count; j++) {
            assert_int_equal(said->pairs[j].value, said->pairs[j].index + 1);
            sum += said->pairs[j].value;
        }
    }
    assert_int_equal(sum, 700 * 701 / 2);
    assert_null(said_find(world, B, "key-*", 0));
    assert_null(table_find(world->table, bytes_of("key-*")));
}

static void test_search_of_a_join_says_only_what_is_larger(void **state)
{
    struct world *world = *state;
    const struct pair given[] = { { 0, 1 }, { 1, 1 }, { 2, 4 } };
    const struct said *said;

    keys_write(world, 3);
    hear(world, A, "key-*", given, 3, 3, 0);
    world_run(world, SECOND);
    said = said_find(world, A, "key-*", 0);
    assert_non_null(said);
    assert_int_equal(said->count, 1);
    assert_int_equal(said_value(said, 1), 2);
    world->said_count = 0;
    hear(world, A, "none*", NULL, 0, 3, 0);
    hear(world, B, "n:*", NULL, 0, 3, 0);
    world_run(world, SECOND);
    assert_null(said_find(world, A, "none*", 0));
    assert_null(said_find(world, B, "n:*", 0));
}

static void test_search_takes_a_slice_of_keys_a_turn(void **state)
{
    struct world *world = *state;
    size_t turns = 0;

    keys_write(world, 1000);
    hear(world, A, "nothing%x", NULL, 0, 3, 0);
    world_run(world, SECOND);
    hear(world, A, "%nothing", NULL, 0, 3, 0);
    while (searches_count(world->node) > 0) {
        world->now.mono_us += 1000;
        node_tick(world->node, world->now);
        world_emit(world);
        turns++;
    }
    assert_int_equal(turns, 1000 / 256 + 1);
}

static void test_search_for_peers_names_live_ones_and_ourselves_but_not_the_asker(void **state)
{
    struct world *world = *state;
    const struct pair dead[] = { { PRESENCE_STAMP, WORLD_MINUTES },
                                 { PRESENCE_STATE, 9 << 2 | WORD_DEAD },
                                 { PRESENCE_SINCE, WORLD_START_S } };

    hear(world, A, "greeting", NULL, 0, 3, 0);
    hear(world, "10.0.0.9:7000", "greeting", NULL, 0, 3, 0);
    hear(world, A, "n:10.0.0.9:7000", dead, 3, 3, 0);
    world_run(world, SECOND);
    world->said_count = 0;
    hear(world, B, "n:" B, dead, 1, 3, 0); /* it tells its clock */
    hear(world, B, "n:%", NULL, 0, 3, 0);
    world_run(world, SECOND);
    assert_int_equal(said_value(said_find(world, B, "n:" A, 0), 0), WORLD_MINUTES);
    assert_non_null(said_find(world, B, "n:10.0.0.1:6001", 0));
    assert_null(said_find(world, B, "n:" B, 0));
    assert_null(said_find(world, B, "n:10.0.0.9:7000", 0));
}

static void test_search_ends_with_its_peer(void **state)
{
    struct world *world = *state;

    keys_write(world, 600);
    hear(world, "10.0.0.7:7000", "%", NULL, 0, 3, 0);
    assert_int_equal(searches_count(world->node), 1);
    plain_drop_peer(world->node, peer_of(world, "10.0.0.7:7000"));
    assert_int_equal(searches_count(world->node), 0);
}

/* 10.0.9.i is trusted, 192.0.2.i is not. */
static void ask_as(struct world *world, const char *network, unsigned host)
{
    char from[32];

    (void)snprintf(from, sizeof from, "%s.%u:7000", network, host);
    hear(world, from, "key-%", NULL, 0, 3, 0);
}

static bool searches_for(const struct world *world, const char *network, unsigned host)
{
    const struct peer *peer;
    char text[32];

    (void)snprintf(text, sizeof text, "%s.%u:7000", network, host);
    peer = peer_of(world, text);
    return peer != NULL && peer->plain != NULL && peer->plain->search != NULL;
}

static void test_search_takes_the_place_of_the_oldest_when_all_are_taken(void **state)
{
    struct world *world = *state;

    keys_write(world, 900);
    for (unsigned i = 0; i < SEARCHES_MAX + 6; i++) {
        ask_as(world, "10.0.9", i + 1);
        world->now.mono_us++;
    }
    assert_int_equal(searches_count(world->node), SEARCHES_MAX);
    assert_false(searches_for(world, "10.0.9", 6));
    assert_true(searches_for(world, "10.0.9", 7));
    assert_true(searches_for(world, "10.0.9", SEARCHES_MAX + 6));
}

static void test_search_of_the_host_with_most_gives_way(void **state)
{
    struct world *world = *state;
    char from[32];

    keys_write(world, 900);
    ask_as(world, "10.0.9", 1);
    for (unsigned i = 0; i < 2 * SEARCHES_MAX; i++) {
        world->now.mono_us++;
        (void)snprintf(from, sizeof from, "10.0.8.1:%u", 7000 + i);
        hear(world, from, "key-%", NULL, 0, 3, 0);
    }
    assert_int_equal(searches_count(world->node), SEARCHES_MAX);
    assert_true(searches_for(world, "10.0.9", 1));
    ask_as(world, "10.0.9", 2);
    assert_true(searches_for(world, "10.0.9", 1));
    assert_true(searches_for(world, "10.0.9", 2));
}

/* A key goes while a part of it is joined: of the next one all is, from its first block on. */
static void test_search_of_a_join_forgets_where_it_was_in_a_key_that_goes(void **state)
{
    enum { BLOCKS = 3000, FIRST = 7 };
    struct world *world = *state;
    struct plain_queue *queue;

    for (uint64_t i = 0; i < BLOCKS; i++) {
        write_one(world, "wide-a", i << 8, 1);
    }
    write_one(world, "wide-b", 0, FIRST);
    write_one(world, "wide-b", (uint64_t)BLOCKS << 8, 1);
    world_meet(world, (const char *const[]){ A }, 1, 0);
    hear(world, A, "wide-*", NULL, 0, 3, 0);
    queue = peer_of(world, A)->plain;
    search_step(world->node, world->now, queue);
    assert_false(search_has_answer(queue));
    table_drop(world->table, table_find(world->table, bytes_of("wide-a")));
    node_turn_end(world->node);
    world_run(world, SECOND);
    assert_int_equal(said_value(said_find(world, A, "wide-*", 0), 0), FIRST);
}

/* So does a host that takes a new IPv6 address for each. */
static void test_search_of_an_ipv6_network_gives_way_as_one_host(void **state)
{
    struct world *world = *state;
    const struct address_range all = { .bits = 0 };
    struct node_options options = world->options;
    char from[48];

    options.trust = &all;
    assert_int_equal(node_configure(world->node, world->now, &options), STATUS_OK);
    keys_write(world, 900);
    ask_as(world, "10.0.9", 1);
    for (unsigned i = 0; i < 2 * SEARCHES_MAX; i++) {
        world->now.mono_us++;
        (void)snprintf(from, sizeof from, "[2001:db8::5:%x]:7000", i + 1);
        hear(world, from, "key-%", NULL, 0, 3, 0);
    }
    assert_int_equal(searches_count(world->node), SEARCHES_MAX);
    assert_true(searches_for(world, "10.0.9", 1));
}

static void test_search_of_a_stranger_is_none(void **state)
{
    struct world *world = *state;

    keys_write(world, 10);
    ask_as(world, "192.0.2", 1);
    assert_int_equal(searches_count(world->node), 0);
}

static void test_search_ends_when_nothing_can_be_said(void **state)
{
    struct world *world = *state;

    keys_write(world, 900);
    hear(world, A, "key-%", NULL, 0, 3, 0);
    node_tick(world->node, world->now);
    world->now.mono_us += SEARCH_IDLE_US - 1;
    node_tick(world->node, world->now);
    assert_int_equal(searches_count(world->node), 1);
    world->now.mono_us += 1;
    node_tick(world->node, world->now);
    assert_int_equal(searches_count(world->node), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_search_answers_every_matching_key_in_byte_order),
        TEST(test_search_answers_search_max_keys_at_most),
        TEST(test_search_says_only_what_is_larger),
        TEST(test_search_needs_a_ttl_that_lets_an_answer_leave),
        TEST(test_search_a_new_question_replaces_the_old_one_of_its_source),
        TEST(test_search_of_the_join_goes_to_the_asker_alone_and_is_not_stored),
        TEST(test_search_of_a_join_says_only_what_is_larger),
        TEST(test_search_takes_a_slice_of_keys_a_turn),
        TEST(test_search_for_peers_names_live_ones_and_ourselves_but_not_the_asker),
        TEST(test_search_ends_with_its_peer),
        TEST(test_search_takes_the_place_of_the_oldest_when_all_are_taken),
        TEST(test_search_of_the_host_with_most_gives_way),
        TEST(test_search_of_a_join_forgets_where_it_was_in_a_key_that_goes),
        TEST(test_search_of_an_ipv6_network_gives_way_as_one_host),
        TEST(test_search_of_a_stranger_is_none),
        TEST(test_search_ends_when_nothing_can_be_said),
    };

    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
