/* What this file tests: the service manager gets what it is told, and its absence is no error. */

#include "net/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/test.h"

static void test_notify_without_a_manager_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_true(notify_send("READY=1"));
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    assert_true(notify_send("READY=1"));
}

static void test_notify_reaches_the_socket(void **state)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    char folder[] = "/tmp/test-notify-XXXXXX";
    char text[64];
    ssize_t size;
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)strcat(strcpy(name.sun_path, folder), "/s");
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name.sun_path, 1), 0);
    assert_true(notify_send("READY=1\nSTATUS=well"));
    size = recv(fd, text, sizeof text, 0);
    assert_int_equal(size, 19);
    assert_memory_equal(text, "READY=1\nSTATUS=well", 19);
    (void)close(fd);
    (void)unlink(name.sun_path);
    (void)rmdir(folder);
    assert_false(notify_send("READY=1"));
}

static void test_notify_of_an_overlong_path_fails(void **state)
{
    char path[200];

    (void)state;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    errno = 0;
    assert_false(notify_send("READY=1"));
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify_without_a_manager_does_nothing),
        cmocka_unit_test(test_notify_reaches_the_socket),
        cmocka_unit_test(test_notify_of_an_overlong_path_fails),
    };

    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
