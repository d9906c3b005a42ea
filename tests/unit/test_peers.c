/* What this file tests: the records of all addresses, against a plain array that is searched. */

#include "node/peers.h"

#include <string.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct peers *peers;
    struct random random;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .peers = NULL };
    fixture.peers = peers_create(&fixture.mem, 7);
    assert_non_null(fixture.peers);
    random_seed(&fixture.random, 1, 1);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    peers_free(fixture->peers);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static struct address address_of(uint32_t number)
{
    struct address address = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10 } };

    address.ip[13] = (uint8_t)(number >> 20);
    address.ip[14] = (uint8_t)(number >> 12);
    address.ip[15] = (uint8_t)(number >> 4);
    address.port = (uint16_t)(6000 + (number & 15));
    return address;
}

static struct peer *obtain(struct fixture *fixture, uint32_t number, uint64_t id)
{
    const struct address address = address_of(number);

    return peers_obtain(fixture->peers, &address, id);
}

static struct peer *find(const struct fixture *fixture, uint32_t number)
{
    const struct address address = address_of(number);

    return peers_find(fixture->peers, &address);
}

static void test_peers_obtain_gives_the_same_record_again(void **state)
{
    struct fixture *fixture = *state;
    struct peer *peer = obtain(fixture, 1, 11);

    assert_non_null(peer);
    assert_ptr_equal(obtain(fixture, 1, 11), peer);
    assert_ptr_equal(find(fixture, 1), peer);
    assert_int_equal(peers_count(fixture->peers), 1);
    assert_int_equal(peer->state, PEER_NEW);
    assert_int_equal(peer->window_theirs, 255);
}

static void test_peers_find_does_not_find_what_was_never_obtained(void **state)
{
    struct fixture *fixture = *state;

    assert_null(find(fixture, 1));
    assert_non_null(obtain(fixture, 1, 11));
    assert_null(find(fixture, 2));
}

static void test_peers_stop_at_their_limit(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < NODE_PEERS_MAX; i++) {
        assert_non_null(obtain(fixture, i, i));
    }
    assert_null(obtain(fixture, NODE_PEERS_MAX, 1));
    assert_non_null(obtain(fixture, 5, 5));
    peers_drop(fixture->peers, find(fixture, 5));
    assert_non_null(obtain(fixture, NODE_PEERS_MAX, 1));
    peers_audit(fixture->peers);
}

/* Tell of addresses from `first` on as long as that is allowed; returns how many. */
static uint32_t tell_all(struct fixture *fixture, const struct address *teller, uint32_t first)
{
    uint32_t count = 0;

    while (peers_may_tell(fixture->peers, teller)) {
        const struct address address = address_of(first + count);

        assert_non_null(peers_tell(fixture->peers, &address, first + count, teller));
        count++;
    }
    return count;
}

/* One who makes up thousands leaves places to others, and each of several as many as it has. */
static void test_peers_that_tell_of_many_leave_places_to_others(void **state)
{
    struct fixture *fixture = *state;
    const struct address one = { .ip = { 0x20, 0x01, [15] = 1 }, .port = 6001 };
    const struct address same = { .ip = { 0x20, 0x01, [8] = 7, [15] = 2 }, .port = 6002 };
    const struct address two = { .ip = { 0x20, 0x01, [7] = 2, [15] = 1 }, .port = 6001 };
    const struct address three = { .ip = { 0x20, 0x01, [7] = 3, [15] = 1 }, .port = 6001 };
    const uint32_t half = tell_all(fixture, &one, 0);
    const uint32_t other = tell_all(fixture, &two, NODE_PEERS_MAX);

    assert_int_equal(half, PEERS_TOLD_MAX / 2);
    assert_int_equal(other, PEERS_TOLD_MAX / 4);
    assert_true(peers_may_tell(fixture->peers, &three));
    assert_false(peers_may_tell(fixture->peers, &one));
    assert_false(peers_may_tell(fixture->peers, &same)); /* of the same host */
    for (uint32_t i = 0; i < half; i++) {
        peers_heard(fixture->peers, find(fixture, i));
    }
    assert_true(peers_may_tell(fixture->peers, &one)); /* they were there */
    for (uint32_t i = 0; i < other; i++) {
        peers_drop(fixture->peers, find(fixture, NODE_PEERS_MAX + i));
    }
    assert_int_equal(tell_all(fixture, &two, NODE_PEERS_MAX), PEERS_TOLD_MAX / 4);
    peers_audit(fixture->peers);
}

static void test_peers_after_walks_in_address_order(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t numbers[] = { 70, 3, 900, 17, 16 };
    const uint32_t sorted[] = { 3, 16, 17, 70, 900 };
    uint32_t position = 0;

    for (unsigned i = 0; i < 5; i++) {
        assert_non_null(obtain(fixture, numbers[i], i));
    }
    for (unsigned i = 0; i < 5; i++) {
        const struct address address = address_of(sorted[i]);

        assert_int_equal(address_compare(&peers_at(fixture->peers, position)->address, &address),
                         0);
        position = peers_after(fixture->peers, &address);
        assert_int_equal(position, i + 1);
    }
}

/* Obtains, drops, states and membership at random; then every range of the trie is counted. */
static void test_peers_agree_with_a_plain_array(void **state)
{
    enum { PEERS = 200, STEPS = 20000 };
    struct fixture *fixture = *state;
    struct peers *peers = fixture->peers;
    bool there[PEERS] = { false };
    bool member[PEERS] = { false };
    uint64_t ids[PEERS];

    for (unsigned i = 0; i < PEERS; i++) {
        ids[i] = random_next(&fixture->random);
    }
    ids[1] = ids[0];
    ids[2] = UINT64_MAX;
    for (unsigned step = 0; step < STEPS; step++) {
        const uint32_t i = (uint32_t)random_below(&fixture->random, PEERS);
        struct peer *peer = find(fixture, i);

        assert_true((peer != NULL) == there[i]);
        if (peer == NULL) {
            assert_non_null(obtain(fixture, i, ids[i]));
            there[i] = true;
        } else if (random_below(&fixture->random, 3) == 0) {
            peers_drop(peers, peer);
            there[i] = false;
            member[i] = false;
        } else {
            member[i] = !member[i];
            peers_set_state(peers, peer, (enum peer_state)(step % PEER_STATE_COUNT));
            assert_true(peers_set_member(peers, peer, member[i]));
        }
        if (step % 100 == 0) {
            peers_audit(peers);
        }
    }
    for (unsigned digits = 0; digits <= 32; digits++) {
        for (unsigned i = 0; i < PEERS; i++) {
            const uint64_t last = digits == 32 ? 0 : UINT64_MAX >> (2 * digits);
            const uint64_t prefix = digits == 0 ? 0 : ids[i] & ~last;
            const struct peer_range range = peers_under(peers, prefix, digits);
            uint32_t count = 0;

            for (unsigned j = 0; j < PEERS; j++) {
                count += member[j] && (digits == 0 || (ids[j] & ~last) == prefix);
            }
            assert_int_equal(range.count, count);
            for (uint32_t j = 0; j < range.count; j++) {
                assert_true(digits == 0
                            || (peers_member(peers, range.first + j)->id & ~last) == prefix);
            }
        }
    }
}

static void test_peers_survive_every_failed_allocation(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t countdown = 1; countdown < 60; countdown++) {
        struct peer *peer;

        peers_free(fixture->peers);
        assert_int_equal(fixture->mem.used_bytes, 0);
        fixture->peers = peers_create(&fixture->mem, 7);
        assert_non_null(fixture->peers);
        fixture->mem.fail_countdown = countdown;
        for (uint32_t i = 0; i < 40; i++) {
            peer = obtain(fixture, i, i);
            if (peer != NULL) {
                (void)peers_set_member(fixture->peers, peer, true);
            }
        }
        fixture->mem.fail_countdown = 0;
        peers_audit(fixture->peers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_peers_obtain_gives_the_same_record_again),
        TEST(test_peers_find_does_not_find_what_was_never_obtained),
        TEST(test_peers_stop_at_their_limit),
        TEST(test_peers_that_tell_of_many_leave_places_to_others),
        TEST(test_peers_after_walks_in_address_order),
        TEST(test_peers_agree_with_a_plain_array),
        TEST(test_peers_survive_every_failed_allocation),
    };

    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
