#include "log/log.h"

#include "base/text.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LOG_TO_SYSLOG (-1)

/* How often an event was written in the present second. */
struct log_slot {
    const char *event; /* NULL: free */
    uint64_t suppressed;
    uint64_t second;
    unsigned lines;
};

struct log {
    struct log_options options;
    int fd; /* or LOG_TO_SYSLOG */
    uint64_t second;
    unsigned lines;
    struct log_slot slots[LOG_EVENTS_MAX];
};

/* A line being made. What does not fit is left out; the last byte is kept for the newline. */
struct log_line {
    char text[LOG_LINE_BYTES_MAX];
    size_t size;
};

static const char *const log_levels[] = { "error", "warn", "info", "debug", "trace" };
static const int log_priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG };

static enum status log_open_target(const char *target, int *fd_out, struct fault *why)
{
    int fd;

    if (strcmp(target, "stderr") == 0) {
        *fd_out = STDERR_FILENO;
        return STATUS_OK;
    }
    if (strcmp(target, "syslog") == 0) {
        openlog("vignetted", LOG_PID | LOG_NDELAY, LOG_DAEMON);
        *fd_out = LOG_TO_SYSLOG;
        return STATUS_OK;
    }
    fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0) {
        return fault_set(why, STATUS_SYSTEM, "cannot open the log file '%s': %s", target,
                         strerror(errno));
    }
    *fd_out = fd;
    return STATUS_OK;
}

/* stderr and syslog belong to the whole process, and stay: another log may write there. */
static void log_close_target(int fd)
{
    if (fd != LOG_TO_SYSLOG && fd != STDERR_FILENO) {
        (void)close(fd);
    }
}

enum status log_open(const struct log_options *options, struct log **log_out, struct fault *why)
{
    struct log *log = calloc(1, sizeof *log);
    enum status status;

    if (log == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory for the log");
    }
    log->options = *options;
    status = log_open_target(options->target, &log->fd, why);
    if (status != STATUS_OK) {
        free(log);
        return status;
    }
    *log_out = log;
    return STATUS_OK;
}

void log_close(struct log *log)
{
    if (log != NULL) {
        log_close_target(log->fd);
        free(log);
    }
}

void log_replace(struct log *log, struct log *next)
{
    log_close_target(log->fd);
    log->fd = next->fd;
    log->options = next->options;
    free(next);
}

static struct log_slot *log_slot_of(struct log *log, const char *event)
{
    for (size_t i = 0; i < LOG_EVENTS_MAX - 1; i++) {
        struct log_slot *slot = &log->slots[i];

        if (slot->event == NULL) {
            slot->event = event;
        }
        if (strcmp(slot->event, event) == 0) {
            return slot;
        }
    }
    return &log->slots[LOG_EVENTS_MAX - 1];
}

/* Whether the event may be written in this second; counts it either way. Lines of trace take no
 * place from others, nor one of its events from another: a flood of datagrams hides no retry. */
static bool log_allows(struct log *log, struct log_slot *slot, enum log_level level,
                       uint64_t second)
{
    const bool is_trace = level == LOG_LEVEL_TRACE;
    const unsigned lines_max = is_trace ? LOG_TRACE_LINES_MAX : LOG_EVENT_LINES_MAX;

    if (slot->second != second) {
        slot->second = second;
        slot->lines = 0;
    }
    if (log->second != second) {
        log->second = second;
        log->lines = 0;
    }
    if (slot->lines >= lines_max || (!is_trace && log->lines >= LOG_LINES_MAX)) {
        slot->suppressed++;
        return false;
    }
    slot->lines++;
    log->lines += !is_trace;
    return true;
}

static void log_put(struct log_line *line, const char *text, size_t size)
{
    const size_t room = sizeof line->text - 1 - line->size;

    if (size > room) {
        size = room;
    }
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void log_puts(struct log_line *line, const char *text)
{
    log_put(line, text, strlen(text));
}

static bool log_is_bare(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        const uint8_t c = value.data[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) {
            return false;
        }
    }
    return value.size > 0 && utf8_valid(value);
}

/* One byte of a quoted value, at most six of text. Bytes of well-formed UTF-8 stand as they are,
 * but not the C1 controls (c2 80..c2 9f), which steer some terminals. */
static size_t log_escape(char to[6], uint8_t c, bool plain_above, enum log_format format)
{
    if (c == '"' || c == '\\') {
        to[0] = '\\';
        to[1] = (char)c;
        return 2;
    }
    if (c == '\n') {
        memcpy(to, "\\n", 2);
        return 2;
    }
    if (c >= ' ' && c != 0x7f && (c < 0x80 || plain_above)) {
        to[0] = (char)c;
        return 1;
    }
    if (format == LOG_FORMAT_JSON) {
        memcpy(to, "\\u00", 4);
        to[4] = "0123456789abcdef"[c >> 4];
        to[5] = "0123456789abcdef"[c & 15];
        return 6;
    }
    memcpy(to, "\\x", 2);
    to[2] = "0123456789abcdef"[c >> 4];
    to[3] = "0123456789abcdef"[c & 15];
    return 4;
}

static bool log_has_c1(struct bytes value)
{
    for (size_t i = 0; i + 1 < value.size; i++) {
        if (value.data[i] == 0xc2 && value.data[i + 1] < 0xa0) {
            return true;
        }
    }
    return false;
}

size_t log_put_value(struct space space, struct bytes value, enum log_format format)
{
    const bool plain_above = utf8_valid(value) && !log_has_c1(value);
    size_t size = 0;

    if (format == LOG_FORMAT_TEXT && log_is_bare(value) && plain_above) {
        size = value.size < space.size ? value.size : space.size;
        memcpy(space.data, value.data, size);
        return size;
    }
    if (space.size < 2) {
        return 0;
    }
    space.data[size++] = '"';
    for (size_t i = 0; i < value.size; i++) {
        char escaped[6];
        const size_t more = log_escape(escaped, value.data[i], plain_above, format);

        if (more > space.size - 1 - size) {
            break; /* cut, but closed */
        }
        memcpy(space.data + size, escaped, more);
        size += more;
    }
    space.data[size++] = '"';
    return size;
}

static void log_put_field(struct log_line *line, const struct log_field *field,
                          enum log_format format)
{
    const size_t room = sizeof line->text - 2 - line->size; /* kept: JSON's brace, the newline */
    char digits[TEXT_U64_MAX];

    if (strlen(field->name) + 4 + sizeof digits > room) {
        return; /* a field stands there with its value or not at all */
    }
    if (format == LOG_FORMAT_JSON) {
        log_puts(line, ",\"");
        log_puts(line, field->name);
        log_puts(line, "\":");
    } else {
        log_puts(line, " ");
        log_puts(line, field->name);
        log_puts(line, "=");
    }
    if (!field->is_text) {
        log_put(line, digits, text_put_u64(digits, field->number));
    } else {
        const struct space space = { (uint8_t *)line->text + line->size,
                                     sizeof line->text - 2 - line->size };

        line->size += log_put_value(space, field->text, format);
    }
}

static void log_put_time(struct log_line *line)
{
    char text[40];
    struct timespec now;
    struct tm tm;
    size_t size;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    log_put(line, text, size);
    (void)snprintf(text, sizeof text, ".%03uZ", (unsigned)(now.tv_nsec / 1000000));
    log_puts(line, text);
}

static void log_put_head(struct log_line *line, const struct log *log, enum log_level level,
                         const char *event)
{
    const bool json = log->options.format == LOG_FORMAT_JSON;

    if (json) {
        log_puts(line, "{\"time\":\"");
        log_put_time(line);
        log_puts(line, "\",\"level\":\"");
        log_puts(line, log_levels[level]);
        log_puts(line, "\",\"event\":\"");
        log_puts(line, event);
        log_puts(line, "\"");
        return;
    }
    if (log->fd != LOG_TO_SYSLOG) { /* syslog has its own time */
        log_put_time(line);
        log_puts(line, " ");
        log_puts(line, log_levels[level]);
        log_puts(line, " ");
    }
    log_puts(line, event);
}

/* Whether a line can be written without waiting for whoever reads stderr, which is not ours to set
 * to O_NONBLOCK. poll(2) promises that a pipe takes at least a page, and a line is shorter. */
static bool log_is_ready(const struct log *log)
{
    struct pollfd ready = { .fd = log->fd, .events = POLLOUT };

    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields)
{
    struct log_line line = { .size = 0 };
    struct log_slot *slot;
    struct timespec now;

    if (level > log->options.level) {
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    slot = log_slot_of(log, event);
    if (!log_allows(log, slot, level, (uint64_t)now.tv_sec)) {
        return;
    }
    log_put_head(&line, log, level, event);
    for (; fields != NULL && fields->name != NULL; fields++) {
        log_put_field(&line, fields, log->options.format);
    }
    if (slot->suppressed > 0) {
        const struct log_field field = log_number("suppressed", slot->suppressed);

        log_put_field(&line, &field, log->options.format);
        slot->suppressed = 0;
    }
    if (log->options.format == LOG_FORMAT_JSON) {
        log_puts(&line, "}");
    }
    if (log->fd == LOG_TO_SYSLOG) {
        syslog(log_priorities[level], "%.*s", (int)line.size, line.text);
        return;
    }
    line.text[line.size++] = '\n';
    if (!log_is_ready(log) || write(log->fd, line.text, line.size) < 0) {
        return; /* a full pipe or disk: the line is lost, the daemon is not */
    }
}

struct log_field log_string(const char *name, const char *text)
{
    return log_text(name, (struct bytes){ (const uint8_t *)text, strlen(text) });
}
