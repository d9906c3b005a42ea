/* What this file tests: seeds as people write them, and addresses that come of them. */

#include "log/log.h"
#include "net/resolve.h"

#include <event2/event.h>

#include <string.h>

#include "unit/test.h"

struct fixture {
    struct event_base *base;
    struct log *log;
    struct resolver *resolver;
    struct address addresses[RESOLVE_ADDRESSES_MAX];
    size_t count;
    unsigned calls;
};

static void on_resolved(void *owner, const struct address *addresses, size_t count)
{
    struct fixture *fixture = owner;

    memcpy(fixture->addresses, addresses, count * sizeof addresses[0]);
    fixture->count = count;
    fixture->calls++;
}

static int setup(void **state)
{
    static struct fixture fixture;
    const struct log_options quiet = { .target = "/dev/null" };
    struct resolve_options options;
    struct fault why;

    fixture = (struct fixture){ .base = event_base_new() };
    if (fixture.base == NULL || log_open(&quiet, &fixture.log, &why) != STATUS_OK) {
        return -1;
    }
    options = (struct resolve_options){
        .base = fixture.base, .log = fixture.log, .owner = &fixture, .resolved = on_resolved
    };
    *state = &fixture;
    return resolver_create(&options, &fixture.resolver, &why) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    resolver_free(fixture->resolver);
    event_base_free(fixture->base);
    log_close(fixture->log);
    return 0;
}

static void test_resolve_seed_forms(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
    } good[] = {
        { "6001", "127.0.0.1", 6001 },     { "10.0.0.1:6002", "10.0.0.1", 6002 },
        { "a.example:1", "a.example", 1 }, { "[::1]:6001", "::1", 6001 },
        { "0", "127.0.0.1", 0 },
    };
    static const char *const bad[] = {
        "",        ":",    "a:",   ":1",   "a:b",  "a:-1",  "::1",
        "a:65536", "a: 1", "[]:1", "a:01", "host", "6001x", "a:6001 "
    };
    struct resolve_seed seed;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(resolve_seed_from_text(good[i].text, "127.0.0.1", &seed));
        assert_string_equal(seed.host, good[i].host);
        assert_int_equal(seed.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(resolve_seed_from_text(bad[i], "127.0.0.1", &seed));
    }
}

static void test_resolver_gives_literals_and_localhost(void **state)
{
    struct fixture *fixture = *state;
    const struct resolve_seed seeds[] = { { "127.0.0.9", 6001 }, { "localhost", 6002 } };
    bool localhost = false;

    resolver_seeds(fixture->resolver, seeds, 2);
    while (fixture->calls == 0) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
    }
    assert_true(fixture->count >= 2);
    assert_int_equal(fixture->addresses[0].port, 6001);
    assert_int_equal(fixture->addresses[0].ip[15], 9);
    for (size_t i = 1; i < fixture->count; i++) {
        assert_int_equal(fixture->addresses[i].port, 6002);
        localhost = localhost || address_is_loopback(&fixture->addresses[i]);
    }
    assert_true(localhost);
}

static void test_resolver_takes_a_new_list_and_an_empty_one(void **state)
{
    struct fixture *fixture = *state;
    const struct resolve_seed seeds[] = { { "127.0.0.9", 6001 }, { "127.0.0.8", 6001 } };

    resolver_seeds(fixture->resolver, seeds, 1);
    assert_int_equal(fixture->count, 1);
    resolver_seeds(fixture->resolver, seeds, 1);
    assert_int_equal(fixture->calls, 1); /* nothing new: nobody is told */
    resolver_seeds(fixture->resolver, seeds, 2);
    assert_int_equal(fixture->count, 2);
    resolver_seeds(fixture->resolver, NULL, 0);
    assert_int_equal(fixture->count, 0);
}

static void test_resolver_may_be_freed_while_a_name_is_asked(void **state)
{
    struct fixture *fixture = *state;
    const struct resolve_seed seeds[] = { { "nowhere.invalid", 6001 } };

    resolver_seeds(fixture->resolver, seeds, 1);
    resolver_seeds(fixture->resolver, NULL, 0);
    (void)event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(fixture->count, 0);
}

/* A sanitizer says whether evdns had its turn. */
static void test_resolver_stops_while_a_name_is_asked(void **state)
{
    struct fixture *fixture = *state;
    const struct resolve_seed seeds[] = { { "127.0.0.1", 6001 }, { "nowhere.invalid", 6001 } };

    resolver_seeds(fixture->resolver, seeds, 2);
    assert_int_equal(fixture->count, 1); /* the literal waited for nobody */
    resolver_stop(fixture->resolver);
    (void)event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(fixture->calls, 1);
}

static void test_resolve_now_and_route(void **state)
{
    const struct resolve_seed good = { "127.0.0.1", 6001 };
    const struct resolve_seed bad = { "nowhere.invalid", 6001 };
    struct address address;
    struct address local;
    struct fault why;

    (void)state;
    assert_int_equal(resolve_now(&good, &address, &why), STATUS_OK);
    assert_int_equal(address.port, 6001);
    assert_int_equal(resolve_route(&address, &local, &why), STATUS_OK);
    assert_true(address_is_loopback(&local));
    assert_int_equal(resolve_now(&bad, &address, &why), STATUS_INVALID);
    assert_non_null(strstr(why.text, "nowhere.invalid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resolve_seed_forms),
        TEST(test_resolver_gives_literals_and_localhost),
        TEST(test_resolver_takes_a_new_list_and_an_empty_one),
        TEST(test_resolver_may_be_freed_while_a_name_is_asked),
        TEST(test_resolver_stops_while_a_name_is_asked),
        TEST(test_resolve_now_and_route),
    };

    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
