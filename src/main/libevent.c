#include "main/libevent.h"

#include "log/log.h"

#include <event2/event.h>

#include <stddef.h>

#define LIBEVENT_PASS_US_MAX 2000 /* after which the loop looks at its sockets again */

/* libevent hands nothing through to the function below, so the log must be found here. */
static struct log *libevent_target;

static void libevent_say(int severity, const char *message)
{
    const enum log_level level = severity == EVENT_LOG_ERR    ? LOG_LEVEL_ERROR
                                 : severity == EVENT_LOG_WARN ? LOG_LEVEL_WARN
                                 : severity == EVENT_LOG_MSG  ? LOG_LEVEL_INFO
                                                              : LOG_LEVEL_DEBUG;

    if (libevent_target != NULL) {
        log_event(libevent_target, level, "libevent", log_string("message", message));
    }
}

void libevent_log(struct log *log)
{
    libevent_target = log;
    event_set_log_callback(libevent_say);
}

struct event_base *libevent_new_base(void)
{
    static const struct timeval pass = { .tv_usec = LIBEVENT_PASS_US_MAX };
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config != NULL) {
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
        /* Thousands of sockets that become readable at once are not read all in one pass. */
        (void)event_config_set_max_dispatch_interval(config, &pass, -1, 0);
        base = event_base_new_with_config(config);
        event_config_free(config);
    }
    return base;
}
