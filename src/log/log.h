#ifndef LOG_LOG_H
#define LOG_LOG_H

/* What the daemon says to its operator: one line an event, `event key=value ...` or one JSON
 * object, to stderr, syslog or a file.
 *
 * Called by net, http, config and main; never by the core, which counts instead. A line is written
 * with one system call and never waited for (only syslog(3) may wait); what strangers sent stands
 * in it escaped, so that a line is always one line and no terminal is steered. Lines are limited,
 * each event by itself and all together, so that nobody can fill a disk from outside; what was left
 * out is counted in the next line of that event (`suppressed=n`).
 *
 * Errors: log_open() alone can fail. A line that cannot be written is lost. */

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* error: needs a person; warn: will need one; info: a state changed; debug: the rest; trace: all
 * that the core does, with each datagram a line. */
enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

#define LOG_LINE_BYTES_MAX  2048 /* a longer line is cut: a datagram's key has 255 bytes */
#define LOG_EVENT_LINES_MAX 5    /* a second, of one event: enough to see that it goes on */
#define LOG_LINES_MAX       20   /* a second, of all together but trace */
#define LOG_TRACE_LINES_MAX 1000 /* a second, of one event of trace, which people ask for: 100 KB */
#define LOG_EVENTS_MAX      64   /* events told apart by the limit; others share one slot */

struct log; /* opaque */

struct log_options {
    const char *target; /* "stderr", "syslog" or a path; lent until the options are next set */
    enum log_level level;
    enum log_format format;
};

/* One key=value of a line. Made by the three functions below. */
struct log_field {
    const char *name; /* NULL: the end */
    struct bytes text;
    uint64_t number;
    bool is_text;
};

/* Begin to log. STATUS_SYSTEM: the file cannot be opened; why names it. */
MUST_CHECK enum status log_open(const struct log_options *options, struct log **log_out,
                                struct fault *why);
void log_close(struct log *log);

/* Go on as another log, which log_open() made with new options (after logrotate moved the file) and
 * which is gone afterwards. In two steps, so that a reload can still say no after the file is open.
 */
void log_replace(struct log *log, struct log *next);

/* Write a line, unless the level or the limit says no. `event` is a literal, lower case with
 * underscores; `fields` ends with one without a name. */
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields);

/* log_event(log, LOG_LEVEL_INFO, "peer_added", log_string("address", text)); a line without fields
 * is log_write(..., NULL). */
#define log_event(log, level, event, ...) \
    log_write(log, level, event, (const struct log_field[]){ __VA_ARGS__, { 0 } })

static inline struct log_field log_text(const char *name, struct bytes text)
{
    return (struct log_field){ .name = name, .text = text, .is_text = true };
}
static inline struct log_field log_number(const char *name, uint64_t number)
{
    return (struct log_field){ .name = name, .number = number };
}
struct log_field log_string(const char *name, const char *text); /* NUL-terminated, lent */

/* Append a value as it stands in a text line: bare where it is plain, else quoted and escaped.
 * Returns the size, at most `space.size`. Exported for its test. */
size_t log_put_value(struct space space, struct bytes value, enum log_format format);

#endif /* LOG_LOG_H */
