#include "main/libevent.h"

#include "log/log.h"

#include <event2/event.h>

#include <stddef.h>

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
