/* What this file tests: the command line, and what of it is above what. */

#include "config/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/test.h"

#define ARGUMENTS_MAX 16

struct fixture {
    struct config config;
    struct config_report report;
    enum command_action action;
    const char *file;
    char said[4096];
    char path[32];
};

static void say(void *owner, const char *sentence)
{
    struct fixture *fixture = owner;
    const size_t size = strlen(fixture->said);

    (void)snprintf(fixture->said + size, sizeof fixture->said - size, "%s\n", sentence);
}

static int setup(void **state)
{
    static const char text[] = "listen 7001\nmax-keys 5\nmax-memory 5m\nseed file:1\n";
    static struct fixture fixture;
    int fd;

    memset(&fixture, 0, sizeof fixture);
    fixture.report = (struct config_report){ .say = say, .owner = &fixture };
    (void)strcpy(fixture.path, "/tmp/test-command-XXXXXX");
    fd = mkstemp(fixture.path);
    *state = &fixture;
    return fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1 ? close(fd) : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    config_clear(&fixture->config);
    return unlink(fixture->path);
}

/* Read one command line, its words parted by blanks; @ is the file. */
static enum command_result command(struct fixture *fixture, const char *line)
{
    static char text[512];
    char *argv[ARGUMENTS_MAX + 1] = { (char *)(uintptr_t) "vignetted" };
    int argc = 1;

    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = strcmp(word, "@") == 0 ? fixture->path : word;
    }
    config_clear(&fixture->config);
    fixture->said[0] = '\0';
    fixture->report.errors = 0;
    return command_read(argc, argv, &fixture->config, &fixture->action, &fixture->file,
                        &fixture->report);
}

static void test_command_of_the_seed(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(command(fixture, "6003 127.0.0.1:6001 127.0.0.1:6002"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_RUN);
    assert_null(fixture->file);
    assert_string_equal(fixture->config.listen, "6003");
    assert_int_equal(fixture->config.seed.count, 2);
    assert_string_equal(fixture->config.seed.texts[1], "127.0.0.1:6002");
}

static void test_command_order_is_default_file_set_flag_argument(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(command(fixture, "-c @"), COMMAND_GOOD);
    assert_string_equal(fixture->config.listen, "7001");
    assert_int_equal(fixture->config.max_keys, 5);
    assert_int_equal(command(fixture, "-c @ --set listen=7002 --set max_keys=6"), COMMAND_GOOD);
    assert_string_equal(fixture->config.listen, "7002");
    assert_int_equal(fixture->config.max_keys, 6);
    assert_int_equal(fixture->config.max_memory_bytes, 5 << 20);
    assert_int_equal(command(fixture, "-l 7003 -c @ --set listen=7002"), COMMAND_GOOD);
    assert_string_equal(fixture->config.listen, "7003");
    assert_int_equal(command(fixture, "-l 7003 -c @ 7004 --set listen=7002 arg:1"), COMMAND_GOOD);
    assert_string_equal(fixture->config.listen, "7004");
    assert_int_equal(fixture->config.seed.count, 1);
    assert_string_equal(fixture->config.seed.texts[0], "arg:1");
}

static void test_command_flags_long_and_short(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(command(fixture, "-dv -p /run/p -D data/7 -H off 6001"), COMMAND_GOOD);
    assert_string_equal(fixture->config.data_dir, "data/7");
    assert_int_equal(fixture->config.daemonize, 1);
    assert_int_equal(fixture->config.log_level, 3);
    assert_string_equal(fixture->config.pidfile, "/run/p");
    assert_string_equal(fixture->config.http_listen.texts[0], "off");
    assert_int_equal(command(fixture, "--daemonize --quiet --pidfile=/run/p --http 7000 6001"),
                     COMMAND_GOOD);
    assert_int_equal(fixture->config.log_level, 1);
    assert_string_equal(fixture->config.data_dir, "none");
    assert_int_equal(command(fixture, "--data-dir /data 6001"), COMMAND_GOOD);
    assert_string_equal(fixture->config.data_dir, "/data");
    assert_int_equal(command(fixture, "-t 6001"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_TEST);
    assert_int_equal(command(fixture, "--show-config 6001"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_SHOW);
    assert_int_equal(command(fixture, "-h"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_HELP);
    assert_int_equal(command(fixture, "--version"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_VERSION);
    assert_int_equal(command(fixture, "--salvage 6001"), COMMAND_GOOD);
    assert_int_equal(fixture->action, COMMAND_SALVAGE);
    assert_string_equal(fixture->config.listen, "6001");
}

static void test_command_on_a_directory_reads_no_configuration(void **state)
{
    static const struct {
        const char *line;
        enum command_action action;
    } lines[] = { { "--check /data", COMMAND_CHECK },
                  { "--export=/data", COMMAND_EXPORT },
                  { "--import /data lines", COMMAND_IMPORT },
                  { "lines --import /data", COMMAND_IMPORT } };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(command(fixture, lines[i].line), COMMAND_GOOD);
        assert_int_equal(fixture->action, lines[i].action);
        assert_string_equal(fixture->config.data_dir, "/data");
        assert_string_equal(fixture->config.listen, "");
        assert_string_equal(fixture->file == NULL ? "" : fixture->file,
                            lines[i].action == COMMAND_IMPORT ? "lines" : "");
    }
}

static void test_command_that_is_wrong_is_usage(void **state)
{
    static const struct {
        const char *line;
        const char *sentence;
    } wrong[] = {
        { "6001x", "'6001x' is not [host:]port" },
        { "6001 nowhere", "'nowhere' is not host:port" },
        { "6001 a:0", "'a:0' is not host:port" },
        { "70000", "'70000' is not [host:]port" },
        { "-Z 6001", "there is no option -Z" },
        { "-Zq 6001", "there is no option -Z" },
        { "-q -qZv 6001", "there is no option -Z" },
        { "--test=now 6001", "there is no option --test=now" },
        { "--nothing 6001", "there is no option --nothing" },
        { "6001 -p", "-p needs a value" },
        { "--check", "--check needs a value" },
        { "--check /data 6001", "--check and --export take no more" },
        { "--import /data", "--import needs one FILE" },
        { "--import /data a b", "--import needs one FILE" },
        { "--check /data --export /data", "stand alone" },
        { "--set 6001", "'6001' is not name=value" },
        { "--set =5 6001", "'=5' is not name=value" },
        { "--set max-kyes=5 6001", "did you mean 'max-keys'?" },
        { "--set max-keys=x 6001", "--set: max-keys: 'x' is not a whole number" },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(command(fixture, wrong[i].line), COMMAND_USAGE);
        if (strstr(fixture->said, wrong[i].sentence) == NULL) {
            fail_msg("'%s' said: %s", wrong[i].line, fixture->said);
        }
    }
}

static void test_command_with_a_wrong_file_is_configuration(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(command(fixture, "-c /nowhere.conf"), COMMAND_CONFIG);
    assert_non_null(strstr(fixture->said, "cannot read the configuration '/nowhere.conf'"));
    assert_int_equal(command(fixture, "0.0.0.0:6001"), COMMAND_CONFIG);
    assert_non_null(strstr(fixture->said, "set advertise"));
    assert_int_equal(command(fixture, "--set max-keys=5 -c @"), COMMAND_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_command_of_the_seed),
        TEST(test_command_order_is_default_file_set_flag_argument),
        TEST(test_command_flags_long_and_short),
        TEST(test_command_on_a_directory_reads_no_configuration),
        TEST(test_command_that_is_wrong_is_usage),
        TEST(test_command_with_a_wrong_file_is_configuration),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
