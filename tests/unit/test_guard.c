/* What this file tests: whose votes move the guarded clock, how many it takes, and where it stays
 * our own. */

#include "node/guard.h"

#include <string.h>

#include "unit/test.h"

#define NOW    UINT64_C(1800000000)
#define FAR    UINT64_C(5980000000) /* in 2159 */
#define SECOND UINT64_C(1000000)

static const struct moment start = { .mono_us = 100 * SECOND, .unix_s = NOW };

static int setup(void **state)
{
    static struct guard guard;

    guard_begin(&guard, start);
    *state = &guard;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return 0;
}

static void vote(struct guard *guard, struct moment now, const char *text, uint64_t clock_s)
{
    const struct bytes bytes = { (const uint8_t *)text, strlen(text) };
    struct address address;

    assert_true(address_from_text(bytes, &address));
    guard_vote(guard, now, &address, clock_s);
}

static void test_guard_alone_is_our_own_clock(void **state)
{
    struct guard *guard = *state;
    const struct moment back = { .mono_us = start.mono_us + 50 * SECOND, .unix_s = NOW - 1000 };
    const struct moment ahead = { .mono_us = start.mono_us + 50 * SECOND, .unix_s = NOW + 1000 };

    assert_int_equal(guard_now_s(guard, back), NOW - 1000);
    assert_int_equal(guard_ran_s(guard, back), NOW + 50);
    assert_int_equal(guard_latest_s(guard, back), NOW + 50); /* set back, it shuts nobody out */
    assert_int_equal(guard_now_s(guard, ahead), NOW + 1000);
    assert_int_equal(guard_latest_s(guard, ahead), NOW + 1000);
}

static void test_guard_one_host_has_one_vote_whatever_its_ports(void **state)
{
    static const char *const ports[] = { "127.0.0.1:1",        "127.0.0.1:2",
                                         "127.0.0.1:65535",    "[2001:db8::1]:1",
                                         "[2001:db8::1]:2",    "[2001:db8::2]:1",
                                         "[2001:db8::a:b]:99", "[2001:db8:0:0:f::]:7" };
    struct guard *guard = *state;

    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        vote(guard, start, ports[i], FAR);
    }
    assert_int_equal(guard->count, 2); /* an address; a network of 64 bits */
    assert_int_equal(guard_latest_s(guard, start), NOW);
    vote(guard, start, "[2001:db8:0:1::]:7", FAR);
    assert_int_equal(guard_latest_s(guard, start), FAR);
}

static void test_guard_follows_the_lower_median_of_three_hosts(void **state)
{
    struct guard *guard = *state;

    vote(guard, start, "10.0.0.1:1", NOW + 100);
    vote(guard, start, "10.0.0.2:1", NOW + 300);
    assert_int_equal(guard_now_s(guard, start), NOW);
    vote(guard, start, "10.0.0.3:1", FAR);
    assert_int_equal(guard_now_s(guard, start), NOW + 300);
    vote(guard, start, "10.0.0.4:1", FAR);
    assert_int_equal(guard_now_s(guard, start), NOW + 300); /* half of them are not most */
    assert_int_equal(guard_latest_s(guard, start), NOW + 300);
}

static void test_guard_votes_go_on_as_time_does_and_the_last_word_counts(void **state)
{
    struct guard *guard = *state;
    const struct moment later = { .mono_us = start.mono_us + 60 * SECOND, .unix_s = NOW };

    for (unsigned i = 1; i <= 3; i++) {
        char text[] = "10.0.0.0:1";

        text[7] = (char)('0' + i);
        vote(guard, start, text, FAR);
    }
    assert_int_equal(guard_now_s(guard, later), FAR + 60);
    vote(guard, later, "10.0.0.1:9", NOW + 5); /* it was set right */
    vote(guard, later, "10.0.0.2:9", NOW + 6);
    assert_int_equal(guard_now_s(guard, later), NOW + 6);
}

/* The bounds of what comes in do not follow it there: that would shut true words out. */
static void test_guard_clocks_that_lag_set_ours_back(void **state)
{
    struct guard *guard = *state;

    vote(guard, start, "10.0.0.1:1", NOW - 1000);
    vote(guard, start, "10.0.0.2:1", NOW - 1000);
    assert_int_equal(guard_now_s(guard, start), NOW);
    vote(guard, start, "10.0.0.3:1", NOW - 1000);
    assert_int_equal(guard_now_s(guard, start), NOW - 1000);
    assert_int_equal(guard_latest_s(guard, start), NOW);
}

static void test_guard_votes_go_stale(void **state)
{
    struct guard *guard = *state;
    struct moment now = start;

    vote(guard, now, "10.0.0.1:1", FAR);
    vote(guard, now, "10.0.0.2:1", FAR);
    now.mono_us += SECOND;
    vote(guard, now, "10.0.0.3:1", FAR + 1);
    now.mono_us = start.mono_us + GUARD_VOTE_US;
    assert_int_equal(guard_now_s(guard, now), FAR + GUARD_VOTE_US / SECOND);
    now.mono_us++;
    assert_int_equal(guard_now_s(guard, now), NOW);
}

static void test_guard_two_that_agree_confirm(void **state)
{
    struct guard *guard = *state;

    assert_false(guard_is_confirmed(guard, start));
    vote(guard, start, "10.0.0.1:1", NOW - GUARD_NEAR_S);
    vote(guard, start, "10.0.0.1:2", NOW);
    assert_false(guard_is_confirmed(guard, start));
    vote(guard, start, "10.0.0.2:1", NOW + GUARD_NEAR_S + 1);
    assert_false(guard_is_confirmed(guard, start));
    vote(guard, start, "10.0.0.2:1", NOW + GUARD_NEAR_S);
    assert_true(guard_is_confirmed(guard, start));
}

/* Both clocks run for so many minutes, and are looked at. */
static struct moment minutes_pass(struct guard *guard, struct moment now, unsigned minutes)
{
    for (unsigned i = 0; i < minutes; i++) {
        now.mono_us += 60 * SECOND;
        now.unix_s += 60;
        guard_tick(guard, now);
    }
    return now;
}

/* Ours is wild: others tell so, and we go by theirs. Two of them alone cannot, but ours frees
 * nothing against their word. */
static void test_guard_a_wild_clock_of_ours_is_not_confirmed(void **state)
{
    struct guard *guard = *state;
    struct moment wild = { .mono_us = start.mono_us, .unix_s = NOW + 315360000 - 86400 };

    guard_begin(guard, wild);
    wild = minutes_pass(guard, wild, 24 * 60);
    assert_true(guard_is_confirmed(guard, wild)); /* nobody says otherwise */
    vote(guard, wild, "10.0.0.1:1", NOW);
    assert_false(guard_is_confirmed(guard, wild));
    vote(guard, wild, "10.0.0.2:1", NOW + 1);
    assert_int_equal(guard_now_s(guard, wild), wild.unix_s);
    assert_false(guard_is_confirmed(guard, wild));
    vote(guard, wild, "10.0.0.3:1", NOW + 2);
    assert_int_equal(guard_now_s(guard, wild), NOW + 1);
    assert_true(guard_is_confirmed(guard, wild));
}

static void test_guard_alone_confirms_after_a_day_without_a_jump(void **state)
{
    struct guard *guard = *state;
    struct moment now = start;

    for (unsigned minute = 1; minute < 24 * 60; minute++) {
        now.mono_us += 60 * SECOND;
        now.unix_s += minute % 2 == 0 ? 100 : 20; /* it wobbles */
        guard_tick(guard, now);
        assert_false(guard_is_confirmed(guard, now));
    }
    now.mono_us += 60 * SECOND;
    now.unix_s += 60;
    guard_tick(guard, now);
    assert_true(guard_is_confirmed(guard, now));
    now.unix_s += GUARD_JUMP_S + 41;
    guard_tick(guard, now);
    assert_false(guard_is_confirmed(guard, now));
    now = minutes_pass(guard, now, 24 * 60);
    assert_true(guard_is_confirmed(guard, now));
    now.unix_s -= 86400;
    guard_tick(guard, now);
    assert_false(guard_is_confirmed(guard, now));
}

/* Whoever was contradicted, or slept, has not been alone with its clock all the while. */
static void test_guard_a_day_counts_from_the_last_word_against_it(void **state)
{
    struct guard *guard = *state;
    struct moment now = minutes_pass(guard, start, 20 * 60);

    vote(guard, now, "10.0.0.1:1", FAR);
    now = minutes_pass(guard, now, 23 * 60);
    assert_false(guard_is_confirmed(guard, now)); /* though that word counts no more */
    now = minutes_pass(guard, now, 60);
    assert_true(guard_is_confirmed(guard, now));
    now.mono_us += GUARD_STEADY_US;
    now.unix_s += 86400;
    guard_tick(guard, now);
    assert_false(guard_is_confirmed(guard, now));
}

static void test_guard_takes_no_clock_that_can_be_none(void **state)
{
    struct guard *guard = *state;

    vote(guard, start, "10.0.0.1:1", 0);
    vote(guard, start, "10.0.0.2:1", GUARD_CLOCK_MAX_S + 1);
    vote(guard, start, "10.0.0.3:1", UINT64_MAX);
    assert_int_equal(guard->count, 0);
    vote(guard, start, "10.0.0.3:1", GUARD_CLOCK_MAX_S);
    assert_int_equal(guard->count, 1);
}

static void test_guard_a_new_host_gets_the_place_told_longest_ago(void **state)
{
    struct guard *guard = *state;

    for (unsigned i = 0; i < GUARD_VOTES_MAX + 3; i++) {
        const struct moment now = { .mono_us = start.mono_us + i * SECOND, .unix_s = NOW };
        char text[] = "10.0.0.00:1";

        text[7] = (char)('1' + i / 10);
        text[8] = (char)('0' + i % 10);
        vote(guard, now, "10.0.0.9:1", NOW + i); /* whoever goes on telling keeps its place */
        vote(guard, now, text, NOW + 1);
    }
    assert_int_equal(guard->count, GUARD_VOTES_MAX);
    assert_int_equal(guard->votes[0].clock_s, NOW + GUARD_VOTES_MAX + 2);
    assert_int_equal(guard->votes[0].from.ip[15], 9);
}

static void test_guard_hosts_that_are_trusted_no_more_have_no_vote(void **state)
{
    struct guard *guard = *state;
    struct address_range trust[2];

    assert_true(
        address_range_from_text((struct bytes){ (const uint8_t *)"10.0.0.2/31", 11 }, &trust[0]));
    assert_true(address_range_from_text((struct bytes){ (const uint8_t *)"2001:db8::1/128", 15 },
                                        &trust[1]));
    vote(guard, start, "10.0.0.1:1", FAR);
    vote(guard, start, "10.0.0.2:1", FAR);
    vote(guard, start, "10.0.0.3:1", FAR);
    vote(guard, start, "[2001:db8::1]:1", FAR + 1);
    guard_trust(guard, trust, 2);
    assert_int_equal(guard_now_s(guard, start), FAR);
    guard_trust(guard, trust, 1);
    assert_int_equal(guard->count, 2);
    assert_int_equal(guard_now_s(guard, start), NOW);
    guard_trust(guard, NULL, 0);
    assert_int_equal(guard->count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_guard_alone_is_our_own_clock),
        TEST(test_guard_one_host_has_one_vote_whatever_its_ports),
        TEST(test_guard_follows_the_lower_median_of_three_hosts),
        TEST(test_guard_votes_go_on_as_time_does_and_the_last_word_counts),
        TEST(test_guard_clocks_that_lag_set_ours_back),
        TEST(test_guard_votes_go_stale),
        TEST(test_guard_two_that_agree_confirm),
        TEST(test_guard_a_wild_clock_of_ours_is_not_confirmed),
        TEST(test_guard_alone_confirms_after_a_day_without_a_jump),
        TEST(test_guard_a_day_counts_from_the_last_word_against_it),
        TEST(test_guard_takes_no_clock_that_can_be_none),
        TEST(test_guard_a_new_host_gets_the_place_told_longest_ago),
        TEST(test_guard_hosts_that_are_trusted_no_more_have_no_vote),
    };

    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
