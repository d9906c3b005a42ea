/* What this file tests: configuration files, what their lines mean, and that every error of every
 * file is told with its place. */

#include "config/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/test.h"

struct fixture {
    struct config config;
    struct config_report report;
    char folder[32];
    char said[8192];
};

static void say(void *owner, const char *sentence)
{
    struct fixture *fixture = owner;
    const size_t size = strlen(fixture->said);

    (void)snprintf(fixture->said + size, sizeof fixture->said - size, "%s\n", sentence);
}

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    (void)strcpy(fixture.folder, "/tmp/test-file-XXXXXX");
    fixture.report = (struct config_report){ .say = say, .owner = &fixture };
    *state = &fixture;
    return mkdtemp(fixture.folder) != NULL && config_init(&fixture.config) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = { "a.conf", "b.conf", "c.conf" };
    struct fixture *fixture = *state;
    char path[64];

    config_clear(&fixture->config);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(fixture->folder);
}

static void write_file(struct fixture *fixture, const char *name, const char *text, size_t size)
{
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static bool read_file(struct fixture *fixture, const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    fixture->said[0] = '\0';
    return config_read(&fixture->config, path, &fixture->report);
}

static bool read_text(struct fixture *fixture, const char *text)
{
    write_file(fixture, "a.conf", text, strlen(text));
    return read_file(fixture, "a.conf");
}

static void test_file_lines_in_all_their_forms(void **state)
{
    struct fixture *fixture = *state;

    assert_true(read_text(fixture, "# a comment\n"
                                   "\n"
                                   "  listen 6001   # behind a blank\n"
                                   "max-keys=5\n"
                                   "\tmax_memory =  2m\n"
                                   "[vignette]\n"
                                   " [vignette] \t # its settings\n"
                                   "cluster \"two words # and \\\" \\\\\"  # quoted\n"
                                   "seed a:1\n"
                                   "seed = b:2\n"
                                   "pidfile /run/a#b\n"
                                   "http-timeout 5s"));
    assert_string_equal(fixture->said, "");
    assert_string_equal(fixture->config.listen, "6001");
    assert_string_equal(fixture->config.cluster, "two words # and \" \\");
    assert_int_equal(fixture->config.max_keys, 5);
    assert_int_equal(fixture->config.max_memory_bytes, 2 << 20);
    assert_int_equal(fixture->config.seed.count, 2);
    assert_string_equal(fixture->config.seed.texts[1], "b:2");
    assert_string_equal(fixture->config.pidfile, "/run/a#b");
    assert_int_equal(fixture->config.http_timeout_ms, 5000);
}

static void test_file_tells_every_error_with_its_line(void **state)
{
    static const struct {
        const char *line;
        const char *sentence;
    } wrong[] = {
        { "max-keys", "the value is missing" },
        { "max-keys =", "the value is missing" },
        { "max-keys # 5", "the value is missing" },
        { "max-keys 5x", "is not a whole number" },
        { "max-kyes 5", "did you mean 'max-keys'?" },
        { "[vignette] 5", "no section but [vignette]" },
        { "[other]", "no section but [vignette]" },
        { "= 5", "the line begins with no name" },
        { "cluster \"open", "no closing" },
        { "cluster \"a\" b", "nothing but a comment" },
        { "cluster \"\\q\"", "after a \\" },
        { "max-keys 5\r", "CR LF" },
        { "include nowhere.conf", "cannot include" },
    };
    struct fixture *fixture = *state;
    char text[2048] = "";
    const size_t count = sizeof wrong / sizeof wrong[0];

    for (size_t i = 0; i < count; i++) {
        (void)strcat(strcat(text, wrong[i].line), "\n");
    }
    assert_false(read_text(fixture, text));
    assert_int_equal(fixture->report.errors, count);
    for (size_t i = 0; i < count; i++) {
        char place[96];
        const char *line;

        (void)snprintf(place, sizeof place, "%s/a.conf:%zu: ", fixture->folder, i + 1);
        line = strstr(fixture->said, place);
        assert_non_null(line);
        assert_non_null(strstr(line, wrong[i].sentence));
    }
}

static void test_file_refuses_nul_mark_and_long_lines(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = (size_t)1 << 20;
    char *line = malloc(size);

    assert_non_null(line);
    write_file(fixture, "a.conf", "max-keys 5\0\nseed a:1\n", 21);
    assert_false(read_file(fixture, "a.conf"));
    assert_non_null(strstr(fixture->said, "a.conf:1: there is a NUL byte"));
    write_file(fixture, "a.conf", "\xef\xbb\xbfmax-keys 5\n", 14);
    assert_false(read_file(fixture, "a.conf"));
    assert_non_null(strstr(fixture->said, "a.conf:1: the file begins with a byte order mark"));
    memset(line, 'x', size);
    write_file(fixture, "a.conf", line, size);
    assert_false(read_file(fixture, "a.conf"));
    assert_non_null(strstr(fixture->said, "a.conf:1: the line is longer than 4095 bytes"));
    free(line);
}

static void test_file_includes_sorted_and_relative(void **state)
{
    struct fixture *fixture = *state;

    write_file(fixture, "b.conf", "seed b:1\n", 9);
    write_file(fixture, "c.conf", "seed c:1\nmax-keys 7\n", 20);
    assert_true(read_text(fixture, "seed a:1\ninclude [bc].conf\ninclude none*.conf\n"));
    assert_int_equal(fixture->config.seed.count, 3);
    assert_string_equal(fixture->config.seed.texts[1], "b:1");
    assert_string_equal(fixture->config.seed.texts[2], "c:1");
    /* A scalar in both files names both. */
    config_clear(&fixture->config);
    assert_true(config_init(&fixture->config));
    assert_false(read_text(fixture, "max-keys 5\ninclude c.conf\n"));
    assert_non_null(strstr(fixture->said, "c.conf:2: max-keys was already set at "));
}

static void test_file_that_includes_itself_or_too_deep_is_refused(void **state)
{
    struct fixture *fixture = *state;

    write_file(fixture, "b.conf", "\ninclude a.conf\n", 16);
    assert_false(read_text(fixture, "include b.conf\n"));
    assert_non_null(strstr(fixture->said, "b.conf:2: cannot include"));
    assert_non_null(strstr(fixture->said, "it includes itself"));
    assert_false(read_text(fixture, "include a.conf\n"));
    assert_non_null(strstr(fixture->said, "it includes itself"));
}

static void test_file_that_cannot_be_read_says_why(void **state)
{
    struct fixture *fixture = *state;

    assert_false(read_file(fixture, "missing.conf"));
    assert_non_null(strstr(fixture->said, "missing.conf': No such file"));
    fixture->said[0] = '\0';
    assert_false(config_read(&fixture->config, "/tmp", &fixture->report));
    assert_non_null(strstr(fixture->said, "not a regular file"));
}

static void test_file_that_is_a_pipe_is_refused_and_not_waited_for(void **state)
{
    struct fixture *fixture = *state;
    char path[64];

    (void)snprintf(path, sizeof path, "%s/a.conf", fixture->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)alarm(10);
    assert_false(config_read(&fixture->config, path, &fixture->report));
    (void)alarm(0);
    assert_non_null(strstr(fixture->said, "not a regular file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_file_that_is_a_pipe_is_refused_and_not_waited_for),
        TEST(test_file_lines_in_all_their_forms),
        TEST(test_file_tells_every_error_with_its_line),
        TEST(test_file_refuses_nul_mark_and_long_lines),
        TEST(test_file_includes_sorted_and_relative),
        TEST(test_file_that_includes_itself_or_too_deep_is_refused),
        TEST(test_file_that_cannot_be_read_says_why),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
