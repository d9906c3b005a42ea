/* What this file tests: the table of settings, from itself: every one takes what it says it takes
 * and refuses the rest with a sentence. */

#include "config/options.h"

#include <stdlib.h>
#include <string.h>

#include "unit/config_fixture.h"

static const struct config_place in_file = { .file = "f", .line = 7, .level = CONFIG_FILE };

/* A value that a check takes. */
static const char *good_text(const struct config_option *option)
{
    static const char *const texts[] = {
        [CHECK_NAME] = "a name",         [CHECK_PATH] = "/a/path",   [CHECK_TARGET] = "syslog",
        [CHECK_ENDPOINT] = "[::1]:6001", [CHECK_SEED] = "a.b:6001",  [CHECK_RANGE] = "10.0.0.0/8",
        [CHECK_RULE] = "hll:% 64",       [CHECK_KEEP] = "a b:* 35d", [CHECK_HTTP] = "unix:/a/b",
        [CHECK_FOLDER] = "none",
    };

    return texts[option->check];
}

/* Values that no setting of the check takes. */
static const char *const *bad_texts(const struct config_option *option)
{
    static const char *const names[] = { "", "a\nb", "\xff", NULL };
    static const char *const targets[] = { "", "relative", "\xff", NULL };
    static const char *const endpoints[] = { "",      "host",      "host:", "::1:6001", "a:65536",
                                             "a b:1", "[::1:6001", "6001x", "-1",       NULL };
    static const char *const seeds[] = { "", "6001", "a:0", ":6001", "a:b", NULL };
    static const char *const ranges[] = { "", "10.0.0.0/33", "name", NULL };
    static const char *const rules[] = { "", "hll:%", "hll:% x", " 5", "a -1", NULL };
    static const char *const keeps[] = {
        "", "a:*", "a:* x", " 35d", "a -1d", "a 35", "a 59s", NULL
    };
    static const char *const https[] = { "", "unix:", "unix:relative", "on", NULL };
    static const char *const numbers[] = {
        "", "-1", "1.5", "x", " 1", "1 ", "0x10", "1kk", "99999999999999999999", NULL
    };
    static const char *const *const all[] = {
        [CHECK_NUMBER] = numbers, [CHECK_NAME] = names,         [CHECK_PATH] = names,
        [CHECK_TARGET] = targets, [CHECK_ENDPOINT] = endpoints, [CHECK_SEED] = seeds,
        [CHECK_RANGE] = ranges,   [CHECK_RULE] = rules,         [CHECK_KEEP] = keeps,
        [CHECK_HTTP] = https,     [CHECK_FOLDER] = names,
    };

    return all[option->check];
}

static void test_options_defaults_pass_their_own_check(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        char text[OPTION_NAME_MAX];

        if (option->check == CHECK_NUMBER) {
            option_print_number(option, option->initial, text, sizeof text);
            assert_true(
                config_put(&fixture->config, option->name, text, &in_file, &fixture->report));
        }
        assert_true(strlen(option->help) > 10);
    }
}

static void test_options_take_what_they_say_and_keep_it(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        const char *field = (const char *)&fixture->config + option->offset;
        char name[OPTION_NAME_MAX];

        (void)option_name(option, name);
        assert_ptr_equal(option_find(name), option);
        assert_ptr_equal(option_find(option->name), option);
        if (option->check == CHECK_NUMBER) {
            char most[OPTION_NAME_MAX];

            option_print_number(option, option->most, most, sizeof most);
            assert_true(config_put(&fixture->config, name, most, &in_file, &fixture->report));
            assert_true(*(const uint64_t *)(const void *)field == option->most);
        } else {
            assert_true(
                config_put(&fixture->config, name, good_text(option), &in_file, &fixture->report));
        }
        assert_int_equal(fixture->config.origins[i].line, 7);
    }
    assert_string_equal(fixture->config.cluster, "a name");
    assert_int_equal(fixture->config.seed.count, 1);
    assert_string_equal(fixture->said, "");
}

static void test_options_refuse_the_rest_with_place_name_and_form(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        char name[OPTION_NAME_MAX];

        (void)option_name(option, name);
        for (const char *const *bad = bad_texts(option); *bad != NULL; bad++) {
            fixture->said[0] = '\0';
            assert_false(config_put(&fixture->config, name, *bad, &in_file, &fixture->report));
            assert_memory_equal(fixture->said, "f:7: ", 5);
            assert_non_null(strstr(fixture->said, name));
            assert_non_null(strstr(fixture->said, "is not "));
            assert_int_equal(fixture->config.origins[i].level, CONFIG_DEFAULT);
        }
    }
}

static void test_options_refuse_numbers_under_and_over_their_limits(void **state)
{
    struct fixture *fixture = *state;
    unsigned seen = 0;

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        char text[OPTION_NAME_MAX];

        if (option->type != OPTION_DURATION && option->type != OPTION_SIZE
            && option->type != OPTION_COUNT) {
            continue;
        }
        for (unsigned over = 0; over < 2; over++) {
            if (over == 0 && option->least == 0) {
                continue;
            }
            option_print_number(option, over == 1 ? option->most + 1 : option->least - 1, text,
                                sizeof text);
            fixture->said[0] = '\0';
            assert_false(
                config_put(&fixture->config, option->name, text, &in_file, &fixture->report));
            assert_non_null(strstr(fixture->said, over == 1 ? "is over the most allowed"
                                                            : "is under the least allowed"));
            seen++;
        }
    }
    assert_true(seen > 20);
}

static void test_options_scalar_twice_in_files_names_both_lines(void **state)
{
    struct fixture *fixture = *state;
    const struct config_place later = { .file = "g", .line = 9, .level = CONFIG_FILE };

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        char number[OPTION_NAME_MAX];
        const char *value = good_text(option);

        if (option->check == CHECK_NUMBER) {
            option_print_number(option, option->initial, number, sizeof number);
            value = number;
        }
        fixture->said[0] = '\0';
        assert_true(config_put(&fixture->config, option->name, value, &in_file, &fixture->report));
        if (option->type == OPTION_TEXTS) {
            assert_true(
                config_put(&fixture->config, option->name, value, &later, &fixture->report));
        } else {
            assert_false(
                config_put(&fixture->config, option->name, value, &later, &fixture->report));
            assert_non_null(strstr(fixture->said, "g:9: "));
            assert_non_null(strstr(fixture->said, "was already set at f:7"));
        }
    }
}

static void test_options_higher_level_wins_whatever_the_order(void **state)
{
    struct fixture *fixture = *state;
    const struct config_place flag = { .word = "-l", .level = CONFIG_FLAG };
    const struct config_place argument = { .word = "a seed", .level = CONFIG_ARGUMENT };
    struct config *config = &fixture->config;

    assert_true(config_put(config, "listen", "7001", &flag, &fixture->report));
    assert_true(config_put(config, "listen", "6001", &in_file, &fixture->report));
    assert_string_equal(config->listen, "7001");
    assert_true(config_put(config, "seed", "a:1", &in_file, &fixture->report));
    assert_true(config_put(config, "seed", "b:1", &argument, &fixture->report));
    assert_true(config_put(config, "seed", "c:1", &argument, &fixture->report));
    assert_int_equal(config->seed.count, 2); /* a list replaces the one of a lower level */
    assert_string_equal(config->seed.texts[0], "b:1");
    /* A wrong value is an error even where it would not count. */
    assert_false(config_put(config, "listen", "x", &in_file, &fixture->report));
}

static void test_options_unknown_name_is_told_the_nearest(void **state)
{
    struct fixture *fixture = *state;
    char long_name[400];

    assert_false(config_put(&fixture->config, "probe-intreval", "1s", &in_file, &fixture->report));
    assert_non_null(strstr(fixture->said, "did you mean 'probe-interval'?"));
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_false(config_put(&fixture->config, long_name, "1s", &in_file, &fixture->report));
}

static void test_options_that_contradict_are_found(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = &fixture->config;

    assert_false(config_check(config, &fixture->report));
    assert_non_null(strstr(fixture->said, "no gossip address"));
    assert_true(config_put(config, "listen", "0.0.0.0:6001", &in_file, &fixture->report));
    assert_false(config_check(config, &fixture->report));
    assert_non_null(strstr(fixture->said, "set advertise"));
    assert_true(config_put(config, "advertise", "10.0.0.1:6001", &in_file, &fixture->report));
    assert_true(config_check(config, &fixture->report));
    assert_true(config_put(config, "http-listen", "off", &in_file, &fixture->report));
    assert_true(config_put(config, "http-listen", "6001", &in_file, &fixture->report));
    assert_false(config_check(config, &fixture->report));
    assert_true(config_put(config, "http-max-upload", "2k", &in_file, &fixture->report));
    assert_false(config_check(config, &fixture->report));
    assert_non_null(strstr(fixture->said, "http-max-upload"));
}

static void test_options_keep_nothing_longer_than_max_keep(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = &fixture->config;

    assert_true(config_put(config, "listen", "6001", &in_file, &fixture->report));
    assert_true(config_put(config, "keep", "* 3650d", &in_file, &fixture->report));
    assert_true(config_check(config, &fixture->report));
    assert_true(config_put(config, "keep", "hits:* 3651d", &in_file, &fixture->report));
    assert_false(config_check(config, &fixture->report));
    assert_non_null(strstr(fixture->said, "keep hits:* 3651d is longer than max-keep"));
}

static void note_difference(void *owner, const char *name)
{
    say(owner, name);
}

static void test_options_compare_names_what_waits_for_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct config other;

    assert_true(config_init(&other));
    assert_true(config_put(&other, "receive-buffer", "1m", &in_file, &fixture->report));
    assert_true(config_put(&other, "http-listen", "6009", &in_file, &fixture->report));
    assert_true(config_put(&other, "cluster", "blue", &in_file, &fixture->report));
    assert_true(config_put(&other, "max-keys", "5", &in_file, &fixture->report));
    config_compare(&fixture->config, &other, note_difference, fixture);
    assert_string_equal(fixture->said, "cluster\nreceive-buffer\nhttp-listen\n");
    config_clear(&other);
}

/* As a reload does, twice: what waits is named each time, and what is in force stays. */
static void test_options_that_wait_for_a_restart_keep_what_is_in_force(void **state)
{
    struct fixture *fixture = *state;
    struct config *now = &fixture->config;
    struct config next;

    assert_true(config_put(now, "http-listen", "6001", &in_file, &fixture->report));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(config_init(&next));
        assert_true(config_put(&next, "cluster", "blue", &in_file, &fixture->report));
        assert_true(config_put(&next, "max-keys", "5", &in_file, &fixture->report));
        config_keep(now, &next);
        fixture->said[0] = '\0';
        config_compare(now, &next, note_difference, fixture);
        assert_string_equal(fixture->said, "cluster\nhttp-listen\n");
        config_clear(now);
        *now = next;
        assert_string_equal(now->cluster, "");
        assert_int_equal(now->http_listen.count, 1);
        assert_int_equal(now->max_keys, 5);
    }
    assert_true(config_init(&next));
    config_keep(now, &next);
    config_keep(now, &next);
    assert_int_equal(now->http_listen.count, 1);
    config_clear(&next);
}

static void test_options_of_a_unix_socket_have_a_path_that_fits(void **state)
{
    struct fixture *fixture = *state;
    char value[5 + 108 + 1] = "unix:/";

    memset(value + 6, 'x', sizeof value - 7);
    assert_false(config_put(&fixture->config, "http-listen", value, &in_file, &fixture->report));
    value[5 + 107] = '\0';
    assert_true(config_put(&fixture->config, "http-listen", value, &in_file, &fixture->report));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_options_defaults_pass_their_own_check),
        TEST(test_options_take_what_they_say_and_keep_it),
        TEST(test_options_refuse_the_rest_with_place_name_and_form),
        TEST(test_options_refuse_numbers_under_and_over_their_limits),
        TEST(test_options_scalar_twice_in_files_names_both_lines),
        TEST(test_options_higher_level_wins_whatever_the_order),
        TEST(test_options_unknown_name_is_told_the_nearest),
        TEST(test_options_that_contradict_are_found),
        TEST(test_options_keep_nothing_longer_than_max_keep),
        TEST(test_options_compare_names_what_waits_for_a_restart),
        TEST(test_options_that_wait_for_a_restart_keep_what_is_in_force),
        TEST(test_options_of_a_unix_socket_have_a_path_that_fits),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
