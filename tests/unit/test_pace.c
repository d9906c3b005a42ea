/* What this file tests: how much may leave, against sums done by hand. */

#include "node/pace.h"
#include "node/peers.h"
#include "node/state.h"

#include <string.h>

#include "unit/test.h"

#define RATE   1500000 /* no whole number of bytes a microsecond */
#define SECOND UINT64_C(1000000)

struct fixture {
    struct mem mem;
    struct node node;
    struct peer peer;
    struct random random;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.node.options.bytes_per_second_max = RATE;
    fixture.peer.window = PEER_WINDOW_START;
    fixture.peer.window_theirs = 255;
    random_seed(&fixture.random, 1, 2);
    fixture.node.mem = &fixture.mem;
    assert_true(pace_create(&fixture.node, (struct moment){ .mono_us = SECOND }));
    assert_true(credit_create(&fixture.node, (struct moment){ .mono_us = SECOND }));
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pace_free(&fixture->node);
    credit_free(&fixture->node);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static void test_pace_lets_a_burst_go_and_then_the_rate(void **state)
{
    struct fixture *fixture = *state;
    struct moment now = { .mono_us = SECOND };
    uint64_t bytes = 0;
    uint64_t due_us;

    while (pace_rate_allows(&fixture->node, now)) {
        pace_sent(&fixture->node, now, &fixture->peer, 1000);
        bytes += 1000 + NODE_HEADER_BYTES;
    }
    assert_in_range(bytes, PACE_BURST_BYTES, PACE_BURST_BYTES + 1027);
    due_us = pace_due_us(&fixture->node, now);
    assert_true(due_us > now.mono_us);
    now.mono_us = due_us - 1;
    assert_false(pace_rate_allows(&fixture->node, now));
    now.mono_us = due_us;
    assert_true(pace_rate_allows(&fixture->node, now));
    assert_int_equal(pace_due_us(&fixture->node, now), due_us);
}

/* However often it is asked, a long run sends the rate and at most one burst more. */
static void test_pace_keeps_the_rate_over_a_long_run(void **state)
{
    struct fixture *fixture = *state;
    struct moment now = { .mono_us = SECOND };
    uint64_t bytes = 0;

    while (now.mono_us < 11 * SECOND) {
        now.mono_us += 1 + random_below(&fixture->random, 300);
        while (pace_rate_allows(&fixture->node, now)) {
            const size_t size = 50 + random_below(&fixture->random, 1100);

            pace_sent(&fixture->node, now, &fixture->peer, size);
            bytes += size + NODE_HEADER_BYTES;
        }
    }
    assert_in_range(bytes, 10 * RATE, 10 * RATE + PACE_BURST_BYTES + 2000);
}

static void test_pace_debt_of_acks_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct moment now = { .mono_us = SECOND };

    for (unsigned i = 0; i < 100000; i++) {
        pace_sent(&fixture->node, now, &fixture->peer, 60);
    }
    assert_in_range(pace_due_us(&fixture->node, now) - now.mono_us, 1,
                    PACE_BURST_BYTES * SECOND / RATE + 1);
}

static void test_pace_a_long_silence_gives_one_burst(void **state)
{
    struct fixture *fixture = *state;
    struct moment now = { .mono_us = UINT64_C(1) << 62 };
    unsigned count = 0;

    while (pace_rate_allows(&fixture->node, now)) {
        pace_sent(&fixture->node, now, &fixture->peer, 1168);
        count++;
    }
    assert_int_equal(count, (PACE_BURST_BYTES + 1195) / 1196);
}

static void test_pace_window_is_the_smaller_of_both(void **state)
{
    const struct {
        uint8_t window;
        uint8_t theirs;
        uint8_t in_flight;
        bool allows;
    } rows[] = {
        { 8, 255, 0, true }, { 8, 255, 7, true }, { 8, 255, 8, false }, { 8, 4, 3, true },
        { 8, 4, 4, false },  { 8, 0, 0, false },  { 2, 64, 2, false },  { 64, 64, 63, true },
    };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture->peer.window = rows[i].window;
        fixture->peer.window_theirs = rows[i].theirs;
        fixture->peer.in_flight = rows[i].in_flight;
        assert_int_equal(pace_window_allows(&fixture->peer), rows[i].allows);
    }
}

static void test_pace_window_grows_by_one_a_window_and_halves(void **state)
{
    struct fixture *fixture = *state;
    struct peer *peer = &fixture->peer;

    for (unsigned i = 0; i < 7; i++) {
        pace_acked(peer);
        assert_int_equal(peer->window, 8);
    }
    pace_acked(peer);
    assert_int_equal(peer->window, 9);
    for (unsigned i = 0; i < 10000; i++) {
        pace_acked(peer);
    }
    assert_int_equal(peer->window, PACE_WINDOW_MAX);
    pace_lost(peer);
    assert_int_equal(peer->window, 32);
    for (unsigned i = 0; i < 10; i++) {
        pace_lost(peer);
    }
    assert_int_equal(peer->window, PACE_WINDOW_MIN);
}

/* The peer's network had what everybody may have in this second. */
static void floor_spend(struct fixture *fixture)
{
    struct credit other = { 0 };

    credit_spend(&fixture->node, fixture->node.now, &fixture->peer.address, &other,
                 CREDIT_FLOOR_BYTES);
}

static void test_pace_credit_counts_what_came_and_what_left(void **state)
{
    struct fixture *fixture = *state;
    const struct moment now = { .mono_us = SECOND };

    fixture->node.now = now;
    floor_spend(fixture);
    pace_received(&fixture->peer, 100);
    assert_int_equal(fixture->peer.credit.bytes, 128);
    assert_true(pace_credit_allows(&fixture->node, &fixture->peer, 100));
    assert_false(pace_credit_allows(&fixture->node, &fixture->peer, 101));
    assert_int_equal(fixture->node.stats.refused_credit, 1);
    pace_sent(&fixture->node, now, &fixture->peer, 60);
    assert_int_equal(fixture->peer.credit.bytes, 40);
    assert_false(pace_credit_allows(&fixture->node, &fixture->peer, 1));
    fixture->peer.validated_us = SECOND;
    assert_true(pace_credit_allows(&fixture->node, &fixture->peer, 1168));
    pace_sent(&fixture->node, now, &fixture->peer, 1168);
    assert_int_equal(fixture->peer.credit.bytes, 40);
}

/* First contact with whom a person named needs no credit, data does. */
static void test_pace_credit_of_a_seed_is_for_first_words(void **state)
{
    struct fixture *fixture = *state;

    fixture->node.now = (struct moment){ .mono_us = SECOND };
    floor_spend(fixture);
    fixture->peer.is_seed = true;
    assert_true(pace_credit_allows(&fixture->node, &fixture->peer, CREDIT_FLOOR_BYTES));
    assert_false(pace_credit_allows(&fixture->node, &fixture->peer, CREDIT_FLOOR_BYTES + 1));
}

static void test_pace_rto_is_four_round_trips_from_100_ms_to_3_s(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(pace_rto_us(&fixture->node, &fixture->peer), 100000);
    fixture->peer.srtt_us = 25000;
    assert_int_equal(pace_rto_us(&fixture->node, &fixture->peer), 100000);
    fixture->peer.srtt_us = 25001;
    assert_int_equal(pace_rto_us(&fixture->node, &fixture->peer), 100004);
    fixture->peer.srtt_us = UINT32_MAX;
    assert_true(pace_rto_us(&fixture->node, &fixture->peer) == 3000000);
}

/* RFC 6298, section 2. */
static void test_pace_measures_round_trips_of_a_peer_and_of_all(void **state)
{
    struct fixture *fixture = *state;
    struct peer other = { .window = PEER_WINDOW_START };

    pace_measured(&fixture->node, &fixture->peer, 80000);
    assert_int_equal(fixture->peer.srtt_us, 80000);
    assert_int_equal(pace_rto_us(&fixture->node, &other), 320000);
    pace_measured(&fixture->node, &fixture->peer, 160000);
    assert_int_equal(fixture->peer.srtt_us, 90000);
    pace_measured(&fixture->node, &other, 1000);
    assert_int_equal(pace_rto_us(&fixture->node, &other), 100000);
    assert_int_equal(pace_rto_us(&fixture->node, &fixture->peer), 360000);
    pace_measured(&fixture->node, &other, 0);
    assert_true(other.srtt_us > 0);
    pace_measured(&fixture->node, &other, UINT64_MAX);
    assert_true(pace_rto_us(&fixture->node, &(struct peer){ .srtt_us = 0 }) < 4 * 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pace_lets_a_burst_go_and_then_the_rate),
        TEST(test_pace_keeps_the_rate_over_a_long_run),
        TEST(test_pace_debt_of_acks_is_bounded),
        TEST(test_pace_a_long_silence_gives_one_burst),
        TEST(test_pace_window_is_the_smaller_of_both),
        TEST(test_pace_window_grows_by_one_a_window_and_halves),
        TEST(test_pace_credit_counts_what_came_and_what_left),
        TEST(test_pace_credit_of_a_seed_is_for_first_words),
        TEST(test_pace_rto_is_four_round_trips_from_100_ms_to_3_s),
        TEST(test_pace_measures_round_trips_of_a_peer_and_of_all),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
