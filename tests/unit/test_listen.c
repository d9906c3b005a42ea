/* What this file tests: listening on TCP and on Unix sockets, and saying why it cannot be. */

#include "net/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/test.h"

static struct address loopback(uint16_t port)
{
    struct address address;

    assert_true(address_from_text((struct bytes){ (const uint8_t *)"127.0.0.1:0", 11 }, &address));
    address.port = port;
    return address;
}

static void test_listen_tcp_port_0_gives_the_real_one_and_it_is_taken(void **state)
{
    struct address address = loopback(0);
    struct address again;
    struct fault why;
    int fd;
    int other;

    (void)state;
    assert_int_equal(listen_tcp(&address, &fd, &why), STATUS_OK);
    assert_int_not_equal(address.port, 0);
    again = address;
    assert_int_equal(listen_tcp(&again, &other, &why), STATUS_SYSTEM);
    assert_non_null(strstr(why.text, "127.0.0.1:"));
    assert_non_null(strstr(why.text, "choose another port"));
    (void)close(fd);
}

static void test_listen_tcp_of_a_foreign_address_says_so(void **state)
{
    struct address address;
    struct fault why;
    int fd;

    (void)state;
    assert_true(
        address_from_text((struct bytes){ (const uint8_t *)"192.0.2.1:7000", 14 }, &address));
    assert_int_equal(listen_tcp(&address, &fd, &why), STATUS_SYSTEM);
    assert_non_null(strstr(why.text, "192.0.2.1:7000"));
}

static void test_listen_unix_takes_over_a_dead_socket_and_nothing_else(void **state)
{
    char folder[] = "/tmp/test-listen-XXXXXX";
    char path[64];
    struct fault why;
    FILE *file;
    int fd;
    int other;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(listen_unix(path, &fd, &why), STATUS_OK);
    assert_int_equal(listen_unix(path, &other, &why), STATUS_SYSTEM); /* somebody answers */
    (void)close(fd);
    assert_int_equal(listen_unix(path, &fd, &why), STATUS_OK); /* nobody does */
    (void)close(fd);
    (void)unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(listen_unix(path, &fd, &why), STATUS_SYSTEM);
    assert_int_equal(access(path, F_OK), 0); /* somebody's file is still there */
    (void)unlink(path);
    (void)rmdir(folder);
}

static void test_listen_unix_of_an_overlong_path_is_refused(void **state)
{
    char path[200];
    struct fault why;
    int fd;

    (void)state;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(listen_unix(path, &fd, &why), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_tcp_port_0_gives_the_real_one_and_it_is_taken),
        cmocka_unit_test(test_listen_tcp_of_a_foreign_address_says_so),
        cmocka_unit_test(test_listen_unix_takes_over_a_dead_socket_and_nothing_else),
        cmocka_unit_test(test_listen_unix_of_an_overlong_path_is_refused),
    };

    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
