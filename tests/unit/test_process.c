/* What this file tests: pid files, users, and how a start in the background ends for who waits. */

#include "main/process.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/test.h"

static void test_process_pidfile_is_written_locked_and_removed(void **state)
{
    char path[] = "/tmp/test-process-XXXXXX";
    char text[32] = "";
    struct fault why;
    FILE *file;
    int fd = mkstemp(path);
    int other;

    (void)state;
    assert_true(fd >= 0 && write(fd, "99999 left behind\n", 18) == 18);
    (void)close(fd);
    assert_int_equal(process_pidfile(path, &fd, &why), STATUS_OK); /* a stale one is taken over */
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    assert_int_equal(strtol(text, NULL, 10), getpid());
    assert_int_equal(process_pidfile(path, &other, &why), STATUS_CONFLICT);
    assert_non_null(strstr(why.text, path));
    process_pidfile_remove(path, fd);
    assert_int_equal(access(path, F_OK), -1);
    process_pidfile_remove(path, -1);
}

static void test_process_pidfile_that_cannot_be_written_says_where(void **state)
{
    struct fault why;
    int fd;

    (void)state;
    assert_int_equal(process_pidfile("/nowhere/at/all", &fd, &why), STATUS_SYSTEM);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
}

static void test_process_of_an_unknown_user_or_group_is_refused(void **state)
{
    struct fault why;

    (void)state;
    assert_int_equal(process_become("", "", &why), STATUS_OK);
    assert_int_equal(process_become("no-such-user", "", &why), STATUS_INVALID);
    assert_non_null(strstr(why.text, "no-such-user"));
    assert_int_equal(process_become("", "no-such-group", &why), STATUS_INVALID);
    assert_non_null(strstr(why.text, "no-such-group"));
}

/* Go to the background in a process of its own, whose child does this; how it ended. */
static int background(void (*child)(int ready_fd))
{
    const pid_t parent = fork();
    int status;

    if (parent == 0) {
        struct fault why;
        int ready_fd;

        if (process_daemonize(&ready_fd, &why) == STATUS_OK) {
            child(ready_fd);
        }
        _exit(99);
    }
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void child_is_ready(int ready_fd)
{
    process_tell(ready_fd, EXIT_GOOD);
    _exit(7); /* what it ends with later is nobody's business */
}

static void child_fails(int ready_fd)
{
    process_tell(ready_fd, EXIT_UNAVAILABLE);
    _exit(EXIT_UNAVAILABLE);
}

static void child_dies(int ready_fd)
{
    (void)ready_fd;
    _exit(EXIT_CONFIG);
}

static void child_is_stopped(int ready_fd)
{
    (void)ready_fd;
    _exit(EXIT_GOOD);
}

static void test_process_in_the_background_tells_who_waits(void **state)
{
    (void)state;
    assert_int_equal(background(child_is_ready), EXIT_GOOD);
    assert_int_equal(background(child_fails), EXIT_UNAVAILABLE);
    assert_int_equal(background(child_dies), EXIT_CONFIG);
    assert_int_equal(background(child_is_stopped), EXIT_SOFTWARE); /* it never was ready */
    process_tell(-1, EXIT_GOOD);
}

static void test_process_descriptors_are_some(void **state)
{
    (void)state;
    assert_true(process_descriptors() >= 64);
}

/* In a process of its own, which was started without any of the three. */
static void test_process_standard_descriptors_are_open_and_no_others(void **state)
{
    const pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct fault why;
        int fd;

        for (fd = 0; fd < 10; fd++) {
            (void)close(fd);
        }
        if (process_standard(&why) != STATUS_OK) {
            _exit(1);
        }
        fd = dup(STDERR_FILENO);
        _exit(fd == STDERR_FILENO + 1 && write(STDERR_FILENO, "", 1) == 1 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_process_of_another_group_has_no_other(void **state)
{
    const gid_t before[] = { 0, 1, 2 };
    gid_t groups[16];
    struct group *group;
    struct fault why;
    pid_t child;
    int status;

    (void)state;
    group = getgrgid(65534);
    if (geteuid() != 0 || group == NULL) {
        skip(); /* nobody else may change groups */
    }
    child = fork();
    if (child == 0) {
        if (setgroups(3, before) != 0 || process_become("", group->gr_name, &why) != STATUS_OK) {
            _exit(1);
        }
        _exit(getgroups(16, groups) == 1 && groups[0] == 65534 && getegid() == 65534 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_pidfile_is_written_locked_and_removed),
        cmocka_unit_test(test_process_pidfile_that_cannot_be_written_says_where),
        cmocka_unit_test(test_process_of_an_unknown_user_or_group_is_refused),
        cmocka_unit_test(test_process_in_the_background_tells_who_waits),
        cmocka_unit_test(test_process_descriptors_are_some),
        cmocka_unit_test(test_process_of_another_group_has_no_other),
        cmocka_unit_test(test_process_standard_descriptors_are_open_and_no_others),
    };

    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
