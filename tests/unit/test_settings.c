/* What this file tests: settings as people write them become the options that the rooms take. */

#include "main/settings.h"

#include <stdio.h>
#include <string.h>

#include "defaults.h"
#include "unit/config_fixture.h"

static void put(struct fixture *fixture, const char *name, const char *value)
{
    const struct config_place place = { .word = "test", .level = CONFIG_SET };

    assert_true(config_put(&fixture->config, name, value, &place, &fixture->report));
}

static struct address address_of(const char *text)
{
    struct address address;

    assert_true(address_from_text((struct bytes){ (const uint8_t *)text, strlen(text) }, &address));
    return address;
}

static void test_settings_of_a_node_have_its_units(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;
    struct node_options options = { 0 };

    put(fixture, "probe-interval", "250ms");
    put(fixture, "gossip-rate", "64k");
    put(fixture, "max-value", "hll:%x 64");
    put(fixture, "plain-peer", "10.0.0.0/8");
    settings_node(&fixture->config, &lists, &options);
    assert_int_equal(options.probe_interval_us, 250000);
    assert_int_equal(options.bytes_per_second_max, 65536);
    assert_int_equal(options.announce_interval_us, 3000000);
    assert_int_equal(options.value_rules_count, 1);
    assert_int_equal(options.value_rules[0].value_max, 64);
    assert_int_equal(options.value_rules[0].pattern.size, 6);
    assert_int_equal(options.plain_peers_count, 1);
}

static void test_settings_of_keep_have_pattern_and_seconds(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;

    assert_int_equal(settings_keeps(&fixture->config, &lists), 0);
    put(fixture, "keep", "two words:* 35d");
    put(fixture, "keep", "* 90500ms");
    assert_int_equal(settings_keeps(&fixture->config, &lists), 2);
    assert_int_equal(lists.keeps[0].pattern.size, strlen("two words:*"));
    assert_int_equal(lists.keeps[0].keep_s, 35 * 86400);
    assert_int_equal(lists.keeps[1].keep_s, 91);
}

static void test_settings_of_storage_say_where_and_how_surely(void **state)
{
    static const struct {
        const char *word;
        enum journal_durability durability;
    } words[] = { { "commit", JOURNAL_COMMIT },
                  { "interval", JOURNAL_INTERVAL },
                  { "none", JOURNAL_NONE } };
    struct fixture *fixture = *state;
    struct journal_options options = { 0 };

    assert_false(settings_has_directory(&fixture->config));
    settings_journal(&fixture->config, &options);
    assert_int_equal(options.durability, JOURNAL_COMMIT);
    assert_int_equal(options.sync_interval_us, 1000000);
    assert_int_equal(options.snapshot_bytes_min, 64 << 20);
    assert_true(options.reserve_bytes > 0 && options.reserve_bytes < options.extend_bytes);
    put(fixture, "data-dir", "./none");
    assert_true(settings_has_directory(&fixture->config));
    put(fixture, "sync-interval", "250ms");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        put(fixture, "durability", words[i].word);
        settings_journal(&fixture->config, &options);
        assert_int_equal(options.durability, words[i].durability);
        assert_int_equal(options.sync_interval_us, 250000);
    }
}

/* What tests and simulator run is what a daemon runs. */
static void test_settings_default_to_what_tests_take(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;
    const struct node_options node = { NODE_DEFAULTS };
    struct node_options node_set = { 0 };
    const struct http_options http = { HTTP_DEFAULTS };
    struct http_options http_set = { 0 };

    settings_node(&fixture->config, &lists, &node_set);
    node_set.trust = NULL;
    node_set.trust_count = 0;
    node_set.plain_peers = NULL;
    node_set.value_rules = NULL;
    assert_memory_equal(&node_set, &node, sizeof node);
    settings_http(&fixture->config, 1024, &http_set);
    http_set.connections_max = http.connections_max;
    http_set.hosts = NULL;
    http_set.origins = NULL;
    assert_memory_equal(&http_set, &http, sizeof http);
}

static void test_settings_keep_a_zero(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;
    struct node_options node = { NODE_DEFAULTS };
    struct http_options http = { HTTP_DEFAULTS };

    put(fixture, "batch-delay", "0");
    put(fixture, "http-watchers", "0");
    settings_node(&fixture->config, &lists, &node);
    settings_http(&fixture->config, 1024, &http);
    assert_int_equal(node.batch_delay_us, 0);
    assert_int_equal(http.watchers_max, 0);
}

static void test_settings_trust_loopback_unless_told(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;
    const struct address near = address_of("127.0.0.1:1");
    const struct address far = address_of("10.0.0.1:1");
    struct node_options options = { 0 };

    settings_node(&fixture->config, &lists, &options);
    assert_int_equal(options.trust_count, 2);
    assert_true(address_in_range(&near, &options.trust[0]));
    assert_false(address_in_range(&far, &options.trust[0]));
    put(fixture, "trust", "10.0.0.0/8");
    settings_node(&fixture->config, &lists, &options);
    assert_int_equal(options.trust_count, 1);
    assert_true(address_in_range(&far, &options.trust[0]));
}

static void test_settings_trust_none_is_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct settings_lists lists;
    struct node_options options = { 0 };

    put(fixture, "trust", "none");
    settings_node(&fixture->config, &lists, &options);
    assert_int_equal(options.trust_count, 0);
}

static void test_settings_too_long_a_list_is_refused(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < NODE_TRUST_MAX; i++) {
        put(fixture, "trust", "10.0.0.0/8");
    }
    assert_true(settings_check(&fixture->config, &fixture->report));
    put(fixture, "trust", "10.0.0.0/8");
    assert_false(settings_check(&fixture->config, &fixture->report));
    assert_non_null(strstr(fixture->said, "trust: at most 64"));
}

static void test_settings_too_many_addresses_of_http_are_refused(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < SETTINGS_LISTENERS_MAX + 1; i++) {
        put(fixture, "http-listen", "6001");
    }
    assert_false(settings_check(&fixture->config, &fixture->report));
    assert_non_null(strstr(fixture->said, "http-listen: at most 16"));
}

static void test_settings_connections_leave_descriptors_for_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct http_options options = { 0 };

    settings_http(&fixture->config, 1032, &options);
    assert_int_equal(options.connections_max, 800);
    assert_int_equal(options.timeout_us, 30000000);
    settings_http(&fixture->config, 10, &options);
    assert_int_equal(options.connections_max, 16);
    put(fixture, "http-max-connections", "7");
    settings_http(&fixture->config, 1032, &options);
    assert_int_equal(options.connections_max, 7);
}

static void test_settings_http_memory_is_a_quarter_unless_told(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "max-memory", "64m");
    assert_int_equal(settings_http_memory(&fixture->config), 16 << 20);
    put(fixture, "max-memory", "2m");
    assert_int_equal(settings_http_memory(&fixture->config), 4 << 20);
    put(fixture, "http-max-memory", "3m");
    assert_int_equal(settings_http_memory(&fixture->config), 3 << 20);
}

static void test_settings_log_of_a_daemon_goes_to_syslog(void **state)
{
    struct fixture *fixture = *state;
    struct log_options options;

    settings_log(&fixture->config, &options);
    assert_string_equal(options.target, "stderr");
    put(fixture, "daemonize", "yes");
    settings_log(&fixture->config, &options);
    assert_string_equal(options.target, "syslog");
}

static void test_settings_addresses(void **state)
{
    struct fixture *fixture = *state;
    const struct address any = address_of("0.0.0.0:6001");
    struct resolve_seed seeds[NODE_SEEDS_MAX];
    struct address address;
    struct fault why;

    put(fixture, "listen", "6001");
    assert_int_equal(settings_listen(&fixture->config, &address, &why), STATUS_OK);
    assert_true(address_is_loopback(&address));
    assert_int_equal(address.port, 6001);
    /* Every address: the route to the first seed decides. */
    put(fixture, "seed", "127.0.0.9:6002");
    assert_int_equal(settings_seeds(&fixture->config, seeds), 1);
    assert_string_equal(seeds[0].host, "127.0.0.9");
    assert_int_equal(settings_advertise(&fixture->config, &any, &address, &why), STATUS_OK);
    assert_true(address_is_loopback(&address));
    assert_int_equal(address.port, 6001);
    /* Said by hand: a port alone keeps the host. */
    put(fixture, "advertise", "192.0.2.7:7001");
    assert_int_equal(settings_advertise(&fixture->config, &any, &address, &why), STATUS_OK);
    assert_int_equal(address.port, 7001);
}

static void test_settings_advertise_what_no_peer_can_have_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct address bound = address_of("127.0.0.1:6001");
    struct address address;
    struct fault why;

    put(fixture, "advertise", "224.0.0.1:6001");
    assert_int_equal(settings_advertise(&fixture->config, &bound, &address, &why), STATUS_INVALID);
    assert_non_null(strstr(why.text, "224.0.0.1:6001"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_settings_of_a_node_have_its_units),
        TEST(test_settings_of_keep_have_pattern_and_seconds),
        TEST(test_settings_of_storage_say_where_and_how_surely),
        TEST(test_settings_default_to_what_tests_take),
        TEST(test_settings_keep_a_zero),
        TEST(test_settings_trust_loopback_unless_told),
        TEST(test_settings_trust_none_is_nobody),
        TEST(test_settings_too_long_a_list_is_refused),
        TEST(test_settings_too_many_addresses_of_http_are_refused),
        TEST(test_settings_connections_leave_descriptors_for_the_rest),
        TEST(test_settings_http_memory_is_a_quarter_unless_told),
        TEST(test_settings_log_of_a_daemon_goes_to_syslog),
        TEST(test_settings_addresses),
        TEST(test_settings_advertise_what_no_peer_can_have_is_refused),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
