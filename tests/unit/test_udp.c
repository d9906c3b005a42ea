/* What this file tests: datagrams go out and come in whole, from the address they came to. */

#include "net/udp.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "unit/test.h"

#define SENT_MAX 100 /* more than a batch */

struct fixture {
    struct event_base *base;
    struct udp *udp;
    struct udp *other;
    struct address to;
    unsigned left;     /* still to be sent */
    unsigned received; /* by `other` */
    unsigned wanted;
    unsigned allowed; /* datagrams a pass */
    unsigned in_pass; /* datagrams received in this one */
    unsigned most;    /* in any */
    struct address last_from;
    uint8_t last[16];
};

static struct address address_of(const char *text)
{
    struct address address;

    assert_true(address_from_text((struct bytes){ (const uint8_t *)text, strlen(text) }, &address));
    return address;
}

static void on_receive(void *owner, const struct address *from, struct bytes datagram)
{
    struct fixture *fixture = owner;

    assert_int_equal(datagram.size, sizeof fixture->last);
    memcpy(fixture->last, datagram.data, sizeof fixture->last);
    fixture->last_from = *from;
    fixture->received++;
    fixture->in_pass++;
    fixture->most = fixture->in_pass > fixture->most ? fixture->in_pass : fixture->most;
}

static bool on_allows(void *owner)
{
    const struct fixture *fixture = owner;

    return fixture->allowed == 0 || fixture->in_pass < fixture->allowed;
}

static void on_wanted(void *owner)
{
    struct fixture *fixture = owner;

    fixture->wanted++;
}

static size_t on_emit(void *owner, struct space space, struct address *to)
{
    struct fixture *fixture = owner;

    if (fixture->left == 0) {
        return 0;
    }
    memset(space.data, (int)fixture->left, sizeof fixture->last);
    fixture->left--;
    *to = fixture->to;
    return sizeof fixture->last;
}

static struct udp *open_udp(struct fixture *fixture, const char *listen)
{
    const struct udp_options options = { .base = fixture->base,
                                         .listen = address_of(listen),
                                         .receive_buffer_bytes = 1 << 20,
                                         .owner = fixture,
                                         .receive = on_receive,
                                         .wanted = on_wanted,
                                         .allows = on_allows };
    struct fault why;
    struct udp *udp;

    assert_int_equal(udp_open(&options, &udp, &why), STATUS_OK);
    assert_int_equal(udp_start(udp, &why), STATUS_OK);
    return udp;
}

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .base = event_base_new() };
    *state = &fixture;
    return fixture.base == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    udp_close(fixture->udp);
    udp_close(fixture->other);
    event_base_free(fixture->base);
    return 0;
}

/* Turn the loop until so many datagrams are here; loopback loses none. */
static void await(struct fixture *fixture, unsigned received)
{
    while (fixture->received < received) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
    }
}

static void test_udp_sends_and_receives_more_than_a_batch(void **state)
{
    struct fixture *fixture = *state;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = udp_address(fixture->other);
    fixture->left = SENT_MAX;
    udp_send(fixture->udp, on_emit, fixture);
    assert_int_equal(fixture->left, 0);
    await(fixture, SENT_MAX);
    assert_true(fixture->wanted > 0);
    assert_int_equal(fixture->last[0], 1);
    assert_int_equal(address_compare(&fixture->last_from, &(struct address){ 0 }) != 0, 1);
    assert_int_equal(udp_stats(fixture->udp).sent, SENT_MAX);
    assert_int_equal(udp_stats(fixture->other).received, SENT_MAX);
    assert_int_equal(udp_stats(fixture->other).received_bytes, 16 * SENT_MAX);
    assert_true(udp_stats(fixture->udp).receive_buffer_bytes > 0);
}

/* A pass of the loop ends after so much work; all there is comes in the end, in order. */
static void test_udp_receives_no_more_in_a_pass_than_is_allowed(void **state)
{
    struct fixture *fixture = *state;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = udp_address(fixture->other);
    fixture->left = SENT_MAX;
    fixture->allowed = 7;
    udp_send(fixture->udp, on_emit, fixture);
    while (fixture->received < SENT_MAX) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
        fixture->in_pass = 0; /* the turn's end */
        udp_send(fixture->other, on_emit, fixture);
        assert_int_equal(fixture->last[0], SENT_MAX - fixture->received + 1);
    }
    assert_int_equal(fixture->most, 7);
}

/* Five sources that say one word each behind a flood are heard beside it. With five, since now and
 * then one shares its lane with the flood. */
static void test_udp_takes_sources_in_turns_where_they_wait(void **state)
{
    struct fixture *fixture = *state;
    struct address flood;
    unsigned quiet = 0;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = udp_address(fixture->other);
    flood = udp_address(fixture->udp);
    fixture->left = SENT_MAX;
    fixture->allowed = 1;
    udp_send(fixture->udp, on_emit, fixture);
    for (unsigned i = 0; i < 5; i++) {
        struct udp *speaker = open_udp(fixture, "127.0.0.1:0");

        fixture->left = 1;
        udp_send(speaker, on_emit, fixture);
        udp_close(speaker);
    }
    while (fixture->received < 10) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
        quiet += fixture->in_pass > 0 && address_compare(&fixture->last_from, &flood) != 0;
        fixture->in_pass = 0;
        udp_send(fixture->other, on_emit, fixture);
    }
    assert_in_range(quiet, 3, 5);
}

/* Whatever else makes work, a datagram comes in with each pass. */
static void test_udp_receives_one_in_a_pass_that_allows_none(void **state)
{
    struct fixture *fixture = *state;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = udp_address(fixture->other);
    fixture->left = 5;
    fixture->allowed = 1;
    udp_send(fixture->udp, on_emit, fixture);
    while (fixture->received < 5) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
        udp_send(fixture->other, on_emit, fixture);
    }
    assert_true(fixture->wanted > 0);
}

static void test_udp_sends_no_more_in_a_pass_than_some_batches(void **state)
{
    struct fixture *fixture = *state;
    const unsigned all = UDP_BATCH * UDP_SENDS_MAX * 2 + 1;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = udp_address(fixture->other);
    fixture->left = all;
    udp_send(fixture->udp, on_emit, fixture);
    assert_int_equal(udp_stats(fixture->udp).sent, UDP_BATCH * UDP_SENDS_MAX);
    while (fixture->left > 0) {
        fixture->wanted = 0;
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
        assert_true(fixture->wanted > 0);
        udp_send(fixture->udp, on_emit, fixture);
    }
    await(fixture, all);
}

static void test_udp_answers_from_the_address_it_was_asked_at(void **state)
{
    struct fixture *fixture = *state;
    struct address wildcard;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "0.0.0.0:0");
    wildcard = address_of("127.0.0.7:0");
    wildcard.port = udp_address(fixture->other).port;
    fixture->to = wildcard;
    fixture->left = 1;
    udp_send(fixture->udp, on_emit, fixture);
    await(fixture, 1);
    fixture->to = fixture->last_from;
    fixture->left = 1;
    udp_send(fixture->other, on_emit, fixture);
    await(fixture, 2);
    assert_int_equal(address_compare(&fixture->last_from, &wildcard), 0);
}

/* Whoever can write to all on a wire must not thereby silence us towards the one he names. */
static void test_udp_answers_what_came_to_a_broadcast_or_multicast_address(void **state)
{
    static const char *const groups[][2] = {
        { "0.0.0.0:0", "127.255.255.255" },
        { "[::]:0", "ff01::1" },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        const bool is_v6 = i == 1;
        const int sender = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
        const int on = 1;
        struct sockaddr_storage name = { 0 };
        struct sockaddr_in *in = (struct sockaddr_in *)&name;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&name;
        struct timeval second = { .tv_sec = 5 };
        char answer[32];

        fixture->other = open_udp(fixture, groups[i][0]);
        if (is_v6) {
            *in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                          .sin6_port = htons(udp_address(fixture->other).port),
                                          .sin6_scope_id = if_nametoindex("lo") };
            (void)inet_pton(AF_INET6, groups[i][1], &in6->sin6_addr);
        } else {
            *in = (struct sockaddr_in){ .sin_family = AF_INET,
                                        .sin_port = htons(udp_address(fixture->other).port) };
            (void)inet_pton(AF_INET, groups[i][1], &in->sin_addr);
        }
        (void)setsockopt(sender, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
        (void)setsockopt(sender, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
        if (sendto(sender, fixture->last, 16, 0, (struct sockaddr *)&name,
                   is_v6 ? sizeof *in6 : sizeof *in)
            == 16) {
            await(fixture, (unsigned)i + 1);
            fixture->to = fixture->last_from;
            fixture->left = 1;
            udp_send(fixture->other, on_emit, fixture);
            assert_int_equal(udp_stats(fixture->other).send_errors, 0);
            assert_int_equal(recv(sender, answer, sizeof answer, 0), 16);
        } else {
            print_message("no way to %s here\n", groups[i][1]);
        }
        (void)close(sender);
        udp_close(fixture->other);
        fixture->other = NULL;
    }
}

static void test_udp_to_nowhere_is_counted_and_does_not_stop_the_rest(void **state)
{
    struct fixture *fixture = *state;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    fixture->other = open_udp(fixture, "127.0.0.1:0");
    fixture->to = address_of("[::1]:9"); /* no way from an IPv4 socket */
    fixture->left = 3;
    udp_send(fixture->udp, on_emit, fixture);
    assert_int_equal(udp_stats(fixture->udp).send_errors, 3);
    fixture->to = udp_address(fixture->other);
    fixture->left = 1;
    udp_send(fixture->udp, on_emit, fixture);
    await(fixture, 1);
}

static void test_udp_open_of_a_taken_port_says_which(void **state)
{
    struct fixture *fixture = *state;
    struct udp_options options = {
        .base = fixture->base, .owner = fixture, .receive = on_receive, .wanted = on_wanted
    };
    struct fault why;
    struct udp *udp;

    fixture->udp = open_udp(fixture, "127.0.0.1:0");
    options.listen = udp_address(fixture->udp);
    assert_int_equal(udp_open(&options, &udp, &why), STATUS_SYSTEM);
    assert_non_null(strstr(why.text, "UDP 127.0.0.1:"));
    assert_non_null(strstr(why.text, "choose another port"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_udp_sends_and_receives_more_than_a_batch),
        TEST(test_udp_receives_no_more_in_a_pass_than_is_allowed),
        TEST(test_udp_takes_sources_in_turns_where_they_wait),
        TEST(test_udp_receives_one_in_a_pass_that_allows_none),
        TEST(test_udp_sends_no_more_in_a_pass_than_some_batches),
        TEST(test_udp_answers_from_the_address_it_was_asked_at),
        TEST(test_udp_answers_what_came_to_a_broadcast_or_multicast_address),
        TEST(test_udp_to_nowhere_is_counted_and_does_not_stop_the_rest),
        TEST(test_udp_open_of_a_taken_port_says_which),
    };

    return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
