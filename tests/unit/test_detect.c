/* What this file tests: that the dead are found out in time, that the living are not accused for
 * long, and what it costs. */

#include "node/claim.h"
#include "node/detect.h"
#include "node/extended.h"
#include "node/peers.h"
#include "node/presence.h"
#include "node/state.h"

#include <string.h>

#include "unit/test.h"
#include "unit/world.h"

struct fixture {
    struct world world;
    size_t deaf; /* nothing from node 0 arrives at it, nor the other way */
    size_t victim;
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

static void world_begin(struct fixture *fixture, size_t count, uint64_t seed)
{
    world_create(&fixture->world, count, seed);
    assert_true(world_run_until(&fixture->world, 30 * WORLD_S, world_joined, NULL));
    world_run(&fixture->world, 10 * WORLD_S);
}

/* The sum over all nodes of one counter. */
static uint64_t counted(const struct world *world, size_t offset)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < world->count; i++) {
        const char *stats = (const char *)node_stats(world->nodes[i].node);

        sum += *(const uint64_t *)(const void *)(stats + offset);
    }
    return sum;
}

static uint64_t suspicions(const struct world *world)
{
    return counted(world, offsetof(struct node_stats, suspicions));
}

static bool victim_dead_everywhere(const struct world *world, void *context)
{
    const struct fixture *fixture = context;

    for (size_t i = 0; i < world->count; i++) {
        if (world->nodes[i].up && world_state(world, i, fixture->victim) != PEER_DEAD) {
            return false;
        }
    }
    return true;
}

static bool no_pair(void *context, size_t from, size_t to, struct bytes datagram)
{
    const struct fixture *fixture = context;

    (void)datagram;
    return !(from == 0 && to == fixture->deaf) && !(to == 0 && from == fixture->deaf);
}

static void test_detect_knows_a_killed_node_everywhere_in_time(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        size_t nodes;
        uint64_t within_s;
    } cases[] = { { 3, 20 }, { 10, 10 }, { 30, 10 } };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_begin(fixture, cases[i].nodes, 5 + i);
        fixture->victim = cases[i].nodes - 1;
        world_kill(&fixture->world, fixture->victim);
        assert_true(world_run_until(&fixture->world, cases[i].within_s * WORLD_S,
                                    victim_dead_everywhere, fixture));
        assert_true(world_free(&fixture->world));
    }
}

static unsigned slot_of(const struct world *world, size_t node)
{
    return (unsigned)(world->nodes[node].node->self_id % PRESENCE_CONFIRM_COUNT);
}

/* Two suspectors whose ids share a slot do not confirm each other's word: their suspicion ends at
 * the most time there is, which is still in time. Of nine nodes two share one. */
static void test_detect_knows_a_death_that_two_of_one_slot_suspect(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    size_t one = 0;
    size_t other = 1;

    world_begin(fixture, PRESENCE_CONFIRM_COUNT + 1, 7);
    while (slot_of(world, one) != slot_of(world, other)) {
        if (++other == world->count) {
            one++;
            other = one + 1;
        }
    }
    fixture->victim = 0;
    while (fixture->victim == one || fixture->victim == other) {
        fixture->victim++;
    }
    for (size_t i = 0; i < world->count; i++) {
        if (i != one && i != other && i != fixture->victim) {
            world_kill(world, i);
        }
    }
    world_run(world, 60 * WORLD_S); /* these are dead to all three */
    assert_int_equal(peers_members(world->nodes[one].node->peers), 2);
    world_kill(world, fixture->victim);
    assert_true(world_run_until(world, 14 * WORLD_S, victim_dead_everywhere, fixture));
}

static void test_detect_accuses_nobody_at_rest(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 10, 1);
    world_run(&fixture->world, 120 * WORLD_S);
    assert_int_equal(suspicions(&fixture->world), 0);
}

/* A round trip three times as long as the time-out that the fast way had led to. */
static void test_detect_accuses_nobody_whose_way_has_become_longer(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 5, 4);
    fixture->world.delay_us = 150000;
    world_run(&fixture->world, 60 * WORLD_S);
    assert_int_equal(suspicions(&fixture->world), 0);
}

static void test_detect_kills_nobody_at_a_tenth_lost(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 20, 1);
    fixture->world.loss_permille = 100;
    world_run(&fixture->world, 300 * WORLD_S);
    assert_int_equal(counted(&fixture->world, offsetof(struct node_stats, deaths)), 0);
}

/* A broken way between two is not a death: others answer for the one that is not reached. */
static void test_detect_asks_others_before_it_accuses(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 6, 1);
    fixture->deaf = 3;
    fixture->world.filter = no_pair;
    fixture->world.context = fixture;
    world_run(&fixture->world, 60 * WORLD_S);
    assert_int_equal(suspicions(&fixture->world), 0);
    assert_int_equal(world_state(&fixture->world, 0, 3), PEER_ALIVE);
}

/* Cut off from all, a node knows that it is more likely the one at fault. */
static void test_detect_cut_off_accuses_nobody(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before;

    world_begin(fixture, 10, 1);
    before = node_stats(fixture->world.nodes[4].node)->suspicions;
    fixture->world.nodes[4].side = 1;
    world_run(&fixture->world, 30 * WORLD_S);
    assert_int_equal(node_stats(fixture->world.nodes[4].node)->suspicions, before);
    assert_int_equal(world_state(&fixture->world, 0, 4), PEER_DEAD);
}

enum { REAL = 4, FAKES = 30, SEEDS = 3 };

/* From its place on, nodes say who they are and that they live, and answer no probe. */
static bool fakes_answer_nothing(void *context, size_t from, size_t to, struct bytes datagram)
{
    struct message message;

    (void)context;
    (void)to;
    if (from < REAL || message_decode(datagram, &message) != WIRE_OK || !message.extended) {
        return true;
    }
    return extended_kind(&message) == NODE_KIND_HELLO || extended_kind(&message) == NODE_KIND_PUSH;
}

static bool victim_is_to_the_real(const struct world *world, const struct fixture *fixture,
                                  enum peer_state state)
{
    for (size_t i = 0; i < REAL; i++) {
        if (i != fixture->victim && world_state(world, i, fixture->victim) != state) {
            return false;
        }
    }
    return true;
}

static bool victim_dead_to_the_real(const struct world *world, void *context)
{
    return victim_is_to_the_real(world, context, PEER_DEAD);
}

static bool victim_alive_to_the_real(const struct world *world, void *context)
{
    return victim_is_to_the_real(world, context, PEER_ALIVE);
}

static void test_detect_a_death_is_not_hidden_by_members_that_never_answer(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;

    uint64_t sum_us = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t killed_us;

        world_create(world, REAL + FAKES, seed);
        world->filter = fakes_answer_nothing;
        world_run(world, 40 * WORLD_S);
        for (size_t i = 0; i < REAL; i++) {
            for (size_t k = 0; k < REAL; k++) {
                assert_true(i == k || world_state(world, i, k) == PEER_ALIVE);
            }
        }
        fixture->victim = REAL - 1;
        world_kill(world, fixture->victim);
        killed_us = world->now_us;
        assert_true(world_run_until(world, 9 * WORLD_S, victim_dead_to_the_real, fixture));
        sum_us += world->now_us - killed_us;
        assert_true(world_free(world));
    }
    assert_in_range(sum_us / SEEDS, 3 * WORLD_S, 8 * WORLD_S);
}

/* It was found dead, came back, and dies again before a round of all those is over. */
static void test_detect_a_second_death_is_not_hidden_by_them_either(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        world_create(world, REAL + FAKES, seed);
        fixture->victim = REAL - 1;
        world->filter = fakes_answer_nothing;
        world_run(world, 40 * WORLD_S);
        world->nodes[fixture->victim].side = 1;
        assert_true(world_run_until(world, 9 * WORLD_S, victim_dead_to_the_real, fixture));
        world->nodes[fixture->victim].side = 0;
        assert_true(world_run_until(world, 30 * WORLD_S, victim_alive_to_the_real, fixture));
        world_kill(world, fixture->victim);
        assert_true(world_run_until(world, 9 * WORLD_S, victim_dead_to_the_real, fixture));
        assert_true(world_free(world));
    }
}

/* One member asks all others for 3000 probes a second of some that do not answer any more. */
static void test_detect_a_death_is_not_hidden_by_requests(void **state)
{
    enum { NODES = 12, GONE = 8, ASKER = NODES - 1 };
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint32_t sequence = 1;
    bool dead = false;

    world_begin(fixture, NODES, 3);
    for (size_t i = GONE; i < ASKER; i++) {
        world_kill(world, i);
    }
    world_run(world, 30 * WORLD_S);
    fixture->victim = 5;
    for (unsigned ms = 0; ms < 10000 && !dead; ms += 10) {
        for (size_t i = 0; i < GONE; i++) {
            const struct moment now = world_moment(world);
            struct node *node = world->nodes[i].node;
            struct peer *asker = peers_find(node->peers, &world->nodes[ASKER].address);

            for (unsigned k = 0; k < 30 && world->nodes[i].up; k++, sequence++) {
                uint8_t key[NODE_PRESENCE_KEY_MAX];
                const size_t target = GONE + sequence % (ASKER - GONE);

                detect_requested(node, now, asker,
                                 node_presence_key(&world->nodes[target].address, key), sequence);
            }
        }
        if (ms == 1000) {
            world_kill(world, fixture->victim);
        }
        dead = world_run_until(world, WORLD_S / 100, victim_dead_everywhere, fixture);
    }
    assert_true(dead);
}

/* A host asks under as many addresses as it likes: its probes are those of one. */
static void test_detect_shares_probes_for_others_out_by_host(void **state)
{
    enum { NODES = 8, ASKERS = 64 };
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    struct node *node;

    world_begin(fixture, NODES, 3);
    node = world->nodes[0].node;
    for (uint32_t i = 0; i < ASKERS; i++) {
        const struct address address = { .ip = { 0x20, 0x01, [15] = (uint8_t)i }, .port = 6001 };
        struct peer *asker = peers_obtain(node->peers, &address, node_peer_id(node, &address));

        assert_non_null(asker);
        detect_requested(node, world_moment(world), asker,
                         node_presence_key(&world->nodes[1].address, key), i);
    }
    for (uint32_t i = 2; i < 5; i++) {
        detect_requested(node, world_moment(world), peers_member(node->peers, 0),
                         node_presence_key(&world->nodes[i].address, key), i);
    }
    assert_int_equal(peers_member(node->peers, 0)->probes_asked, 3);
}

/* A node whose clock was wrong holds a member as gone in 2159. The member, whose clock is right, is
 * told so and outbids it, and those whose clocks are right take its word. */
static void test_detect_a_member_outbids_what_lies_beyond_all_clocks(void **state)
{
    enum { LIED_TO = 0, VICTIM = 3 };
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    const struct moment now = { .mono_us = 50 * WORLD_S, .unix_s = WORLD_UNIX_S + 50 };
    struct peer *peer;
    struct node *node;

    world_begin(fixture, 5, 2);
    node = world->nodes[LIED_TO].node;
    peer = peers_find(node->peers, &world->nodes[VICTIM].address);
    peer->incarnation = UINT64_C(5980000000);
    presence_declare(node, now, peer, WORD_LEFT);
    assert_int_equal(world_state(world, LIED_TO, VICTIM), PEER_LEFT);
    assert_true(world_run_until(world, 9 * WORLD_S, world_joined, NULL));
    world_run(world, 20 * WORLD_S);
    assert_true(world_joined(world, NULL));
    for (size_t i = 0; i < world->count; i++) {
        assert_true(table_root(world->nodes[i].table, TABLE_MEMBERS)
                    == table_root(world->nodes[0].table, TABLE_MEMBERS));
    }
}

static void test_detect_a_paused_node_refutes_when_it_is_back(void **state)
{
    struct fixture *fixture = *state;

    world_begin(fixture, 10, 1);
    fixture->world.nodes[4].side = 1;
    world_run(&fixture->world, 2500000);
    fixture->world.nodes[4].side = 0;
    assert_true(world_run_until(&fixture->world, 10 * WORLD_S, world_joined, NULL));
    world_run(&fixture->world, 30 * WORLD_S);
    assert_true(world_joined(&fixture->world, NULL));
    assert_int_equal(counted(&fixture->world, offsetof(struct node_stats, deaths)), 0);
}

static void test_detect_heals_a_partition_within_8_s(void **state)
{
    struct fixture *fixture = *state;
    static const size_t nodes[] = { 2, 5, 20 };

    for (size_t k = 0; k < sizeof nodes / sizeof nodes[0]; k++) {
        world_begin(fixture, nodes[k], 3 + k);
        for (size_t i = 0; i < nodes[k] / 2; i++) {
            fixture->world.nodes[i].side = 1;
        }
        world_run(&fixture->world, 60 * WORLD_S);
        for (size_t i = 0; i < nodes[k]; i++) {
            fixture->world.nodes[i].side = 0;
        }
        assert_true(world_run_until(&fixture->world, 8 * WORLD_S, world_joined, NULL));
        assert_true(world_free(&fixture->world));
    }
}

/* Headers of 28 bytes included, whatever the number of nodes. */
static void test_detect_at_rest_costs_at_most_190_bytes_a_second(void **state)
{
    struct fixture *fixture = *state;
    static const size_t nodes[] = { 3, 30 };

    for (size_t k = 0; k < sizeof nodes / sizeof nodes[0]; k++) {
        uint64_t before;

        world_begin(fixture, nodes[k], 9);
        world_run(&fixture->world, 30 * WORLD_S);
        before = world_sent_bytes(&fixture->world);
        world_run(&fixture->world, 20 * WORLD_S);
        assert_in_range((world_sent_bytes(&fixture->world) - before) / 20 / nodes[k], 100, 190);
        assert_true(world_free(&fixture->world));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_detect_knows_a_killed_node_everywhere_in_time),
        TEST(test_detect_knows_a_death_that_two_of_one_slot_suspect),
        TEST(test_detect_accuses_nobody_at_rest),
        TEST(test_detect_accuses_nobody_whose_way_has_become_longer),
        TEST(test_detect_kills_nobody_at_a_tenth_lost),
        TEST(test_detect_asks_others_before_it_accuses),
        TEST(test_detect_cut_off_accuses_nobody),
        TEST(test_detect_a_death_is_not_hidden_by_members_that_never_answer),
        TEST(test_detect_a_second_death_is_not_hidden_by_them_either),
        TEST(test_detect_a_death_is_not_hidden_by_requests),
        TEST(test_detect_shares_probes_for_others_out_by_host),
        TEST(test_detect_a_member_outbids_what_lies_beyond_all_clocks),
        TEST(test_detect_a_paused_node_refutes_when_it_is_back),
        TEST(test_detect_heals_a_partition_within_8_s),
        TEST(test_detect_at_rest_costs_at_most_190_bytes_a_second),
    };

    return cmocka_run_group_tests_name("detect", tests, NULL, NULL);
}
