/* What this file tests: lines stay lines whatever stands in them, levels, limits and reopening. */

#include "log/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/test.h"

struct fixture {
    char path[64];
    struct log *log;
    char text[1 << 20];
};

static int setup(void **state)
{
    static struct fixture fixture;
    int fd;

    fixture = (struct fixture){ .path = "/tmp/test-log-XXXXXX" };
    fd = mkstemp(fixture.path);
    if (fd < 0) {
        return -1;
    }
    (void)close(fd);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    log_close(fixture->log);
    return unlink(fixture->path);
}

static void open_log(struct fixture *fixture, enum log_level level, enum log_format format)
{
    const struct log_options options = { .target = fixture->path,
                                         .level = level,
                                         .format = format };
    struct fault why;

    assert_int_equal(log_open(&options, &fixture->log, &why), STATUS_OK);
}

/* What the log file holds now; lines. */
static size_t read_log(struct fixture *fixture)
{
    FILE *file = fopen(fixture->path, "r");
    size_t size;
    size_t lines = 0;

    assert_non_null(file);
    size = fread(fixture->text, 1, sizeof fixture->text - 1, file);
    fixture->text[size] = '\0';
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < size; i++) {
        lines += fixture->text[i] == '\n';
    }
    return lines;
}

static void test_log_line_has_time_level_event_and_fields(void **state)
{
    struct fixture *fixture = *state;

    open_log(fixture, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_event(fixture->log, LOG_LEVEL_WARN, "seed_unknown", log_string("seed", "a.example:6001"),
              log_number("tries", 3));
    log_write(fixture->log, LOG_LEVEL_INFO, "bare", NULL);
    assert_int_equal(read_log(fixture), 2);
    assert_non_null(strstr(fixture->text, "Z warn seed_unknown seed=a.example:6001 tries=3\n"));
    assert_non_null(strstr(fixture->text, "Z info bare\n"));
}

static void test_log_level_below_is_left_out(void **state)
{
    struct fixture *fixture = *state;

    open_log(fixture, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    log_write(fixture->log, LOG_LEVEL_INFO, "quiet", NULL);
    log_write(fixture->log, LOG_LEVEL_ERROR, "loud", NULL);
    assert_int_equal(read_log(fixture), 1);
    assert_null(strstr(fixture->text, "quiet"));
}

static void test_log_values_are_escaped(void **state)
{
    static const struct {
        const char *value;
        size_t size;
        const char *text;
        const char *json;
    } cases[] = {
        { "plain", 5, "plain", "\"plain\"" },
        { "", 0, "\"\"", "\"\"" },
        { "two words", 9, "\"two words\"", "\"two words\"" },
        { "a\nb", 3, "\"a\\nb\"", "\"a\\nb\"" },
        { "\x1b[2J", 4, "\"\\x1b[2J\"", "\"\\u001b[2J\"" },
        { "q\"\\", 3, "\"q\\\"\\\\\"", "\"q\\\"\\\\\"" },
        { "k=v", 3, "\"k=v\"", "\"k=v\"" },
        { "\xc3\xa9", 2, "\xc3\xa9", "\"\xc3\xa9\"" },
        { "\xff", 1, "\"\\xff\"", "\"\\u00ff\"" },
        { "\xc2\x9b", 2, "\"\\xc2\\x9b\"", "\"\\u00c2\\u009b\"" },
        { "a\0b", 3, "\"a\\x00b\"", "\"a\\u0000b\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct bytes value = { (const uint8_t *)cases[i].value, cases[i].size };
        uint8_t to[64];
        const struct space space = { to, sizeof to };
        size_t size = log_put_value(space, value, LOG_FORMAT_TEXT);

        assert_int_equal(size, strlen(cases[i].text));
        assert_memory_equal(to, cases[i].text, size);
        size = log_put_value(space, value, LOG_FORMAT_JSON);
        assert_int_equal(size, strlen(cases[i].json));
        assert_memory_equal(to, cases[i].json, size);
    }
}

static void test_log_json_is_one_object_a_line_even_when_cut(void **state)
{
    struct fixture *fixture = *state;
    char value[3 * LOG_LINE_BYTES_MAX];

    memset(value, '\n', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    open_log(fixture, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_event(fixture->log, LOG_LEVEL_INFO, "long", log_string("value", value));
    assert_int_equal(read_log(fixture), 1);
    assert_int_equal(fixture->text[0], '{');
    assert_non_null(strstr(fixture->text, "\\n\"}\n"));
}

static void test_log_lines_of_one_event_and_of_all_are_limited(void **state)
{
    struct fixture *fixture = *state;
    static const char *const events[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    size_t lines;

    open_log(fixture, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (unsigned i = 0; i < 1000; i++) {
        log_write(fixture->log, LOG_LEVEL_INFO, "same", NULL);
    }
    lines = read_log(fixture);
    /* The loop is over in far less than a second, but may meet the turn of one. */
    assert_in_range(lines, LOG_EVENT_LINES_MAX, 2 * LOG_EVENT_LINES_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        log_write(fixture->log, LOG_LEVEL_INFO, events[i % 8], NULL);
    }
    assert_in_range(read_log(fixture), LOG_LINES_MAX, 2 * LOG_LINES_MAX);
}

/* A loop of so many lines takes far less than a second, but may meet the turn of one. */
static void test_log_trace_has_limits_of_its_own_for_each_event(void **state)
{
    struct fixture *fixture = *state;

    open_log(fixture, LOG_LEVEL_TRACE, LOG_FORMAT_TEXT);
    for (unsigned i = 0; i < 4 * LOG_TRACE_LINES_MAX; i++) {
        log_write(fixture->log, LOG_LEVEL_TRACE, "flood", NULL);
    }
    assert_in_range(read_log(fixture), LOG_TRACE_LINES_MAX, 2 * LOG_TRACE_LINES_MAX);
    log_write(fixture->log, LOG_LEVEL_TRACE, "retry", NULL);
    log_write(fixture->log, LOG_LEVEL_INFO, "peer", NULL);
    (void)read_log(fixture);
    assert_non_null(strstr(fixture->text, "Z trace retry\n"));
    assert_non_null(strstr(fixture->text, "Z info peer\n"));
    /* What was left out stands in the next line of that event, in another second. */
    do {
        log_write(fixture->log, LOG_LEVEL_TRACE, "flood", NULL);
        (void)read_log(fixture);
    } while (strstr(fixture->text, "Z trace flood suppressed=") == NULL);
}

static void test_log_replaced_by_another_follows_a_moved_file(void **state)
{
    struct fixture *fixture = *state;
    const struct log_options options = { .target = fixture->path, .level = LOG_LEVEL_INFO };
    struct log *next;
    struct fault why;

    open_log(fixture, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(log_open(&options, &next, &why), STATUS_OK);
    log_replace(fixture->log, next);
    log_write(fixture->log, LOG_LEVEL_INFO, "again", NULL);
    assert_int_equal(read_log(fixture), 1);
}

static void test_log_another_that_is_not_taken_leaves_syslog_open(void **state)
{
    const struct log_options options = { .target = "syslog", .level = LOG_LEVEL_INFO };
    struct fixture *fixture = *state;
    struct log *next;
    struct fault why;

    assert_int_equal(log_open(&options, &fixture->log, &why), STATUS_OK);
    assert_int_equal(log_open(&options, &next, &why), STATUS_OK);
    log_close(next);
    log_write(fixture->log, LOG_LEVEL_INFO, "still_here", NULL);
}

/* A full pipe as stderr: what waited for its reader would wait for ever. */
static void test_log_waits_for_nobody_who_reads_stderr(void **state)
{
    const struct log_options options = { .target = "stderr", .level = LOG_LEVEL_INFO };
    static const char full[4096];
    struct fixture *fixture = *state;
    const int stderr_kept = dup(STDERR_FILENO);
    struct fault why;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(fds[1], full, sizeof full) > 0) {
    }
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    assert_int_equal(log_open(&options, &fixture->log, &why), STATUS_OK);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    (void)alarm(10);
    log_write(fixture->log, LOG_LEVEL_INFO, "lost", NULL);
    (void)alarm(0);
    assert_int_equal(dup2(stderr_kept, STDERR_FILENO), STDERR_FILENO);
    (void)close(stderr_kept);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_log_json_has_a_field_with_its_value_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    char long_text[LOG_LINE_BYTES_MAX];

    open_log(fixture, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    memset(long_text, 'a', sizeof long_text);
    for (size_t size = sizeof long_text - 160; size < sizeof long_text; size += 40) {
        log_event(fixture->log, LOG_LEVEL_INFO, "cut",
                  log_text("text", (struct bytes){ (const uint8_t *)long_text, size }),
                  log_number("last", 12345));
    }
    assert_in_range(read_log(fixture), 4, 5);
    for (const char *line = fixture->text; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n');

        assert_true(end[-1] == '}' && (end[-2] == '"' || end[-2] == '5'));
    }
}

static void test_log_open_of_a_folder_says_which(void **state)
{
    struct fixture *fixture = *state;
    const struct log_options options = { .target = "/tmp" };
    struct fault why;

    assert_int_equal(log_open(&options, &fixture->log, &why), STATUS_SYSTEM);
    assert_non_null(strstr(why.text, "'/tmp'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_log_line_has_time_level_event_and_fields),
        TEST(test_log_level_below_is_left_out),
        TEST(test_log_values_are_escaped),
        TEST(test_log_json_is_one_object_a_line_even_when_cut),
        TEST(test_log_lines_of_one_event_and_of_all_are_limited),
        TEST(test_log_trace_has_limits_of_its_own_for_each_event),
        TEST(test_log_replaced_by_another_follows_a_moved_file),
        TEST(test_log_another_that_is_not_taken_leaves_syslog_open),
        TEST(test_log_waits_for_nobody_who_reads_stderr),
        TEST(test_log_json_has_a_field_with_its_value_or_not_at_all),
        TEST(test_log_open_of_a_folder_says_which),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
