/* What this file tests: what libevent says becomes lines of the log, not of stderr. */

#include "log/log.h"
#include "main/libevent.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/test.h"

/* To enter the loop within the loop is what libevent warns of. */
static void on_event(evutil_socket_t fd, short what, void *argument)
{
    struct event_base *base = argument;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < 100; i++) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
}

static void provoke(void)
{
    struct event_base *base = event_base_new();
    struct event *event = event_new(base, -1, 0, on_event, base);

    event_active(event, 0, 0);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    event_free(event);
    event_base_free(base);
}

/* What was written to the file; its lines. */
static size_t read_lines(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t lines = 0;

    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static void test_libevent_speaks_in_the_log_and_no_oftener_than_others(void **state)
{
    char path[] = "/tmp/test-libevent-XXXXXX";
    const struct log_options options = { .target = path, .level = LOG_LEVEL_WARN };
    char text[65536];
    struct log *log;
    struct fault why;
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(log_open(&options, &log, &why), STATUS_OK);
    libevent_log(log);
    provoke();
    /* It is over in far less than a second, but may meet the turn of one. */
    assert_in_range(read_lines(path, text, sizeof text), LOG_EVENT_LINES_MAX,
                    2 * LOG_EVENT_LINES_MAX);
    assert_non_null(strstr(text, " warn libevent message=\"event_base_loop"));
    libevent_log(NULL);
    log_close(log);
    provoke();
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libevent_speaks_in_the_log_and_no_oftener_than_others),
    };

    return cmocka_run_group_tests_name("libevent", tests, NULL, NULL);
}
