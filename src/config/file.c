#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The files that are open, each included by the one before it. */
struct config_stack {
    struct config *config;
    struct config_report *report;
    dev_t devices[CONFIG_INCLUDE_DEPTH_MAX];
    ino_t inodes[CONFIG_INCLUDE_DEPTH_MAX];
    unsigned depth;
};

/* One line being read. */
struct config_line {
    const char *path;
    char *text;
    size_t size;
    unsigned number;
};

static void file_say(const struct config_stack *stack, const struct config_line *line,
                     const char *sentence)
{
    config_say(stack->report, "%s:%u: %s", line->path, line->number, sentence);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Unquote a "..." value in place; what follows may only be blanks and a comment. */
static const char *file_unquote(char *value)
{
    char *to = value;
    char *at = value + 1;

    while (*at != '"') {
        if (*at == '\0') {
            return "a quoted value has no closing \"";
        }
        if (*at == '\\') {
            at++;
            if (*at == 'n' || *at == 't') {
                *at = *at == 'n' ? '\n' : '\t';
            } else if (*at != '"' && *at != '\\') {
                return "after a \\ in quotes comes one of \" \\ n t";
            }
        }
        *to++ = *at++;
    }
    at++;
    at += strspn(at, " \t");
    *to = '\0';
    return *at == '\0' || *at == '#' ? NULL : "nothing but a comment may follow a quoted value";
}

/* Cut a bare value at its comment and the blanks before that. */
static void file_trim(char *value)
{
    size_t size = 0;

    while (value[size] != '\0'
           && !(value[size] == '#' && (size == 0 || is_blank(value[size - 1])))) {
        size++;
    }
    while (size > 0 && is_blank(value[size - 1])) {
        size--;
    }
    value[size] = '\0';
}

/* The lone section line that other daemons' files begin with. */
static bool is_section(const char *line)
{
    static const char section[] = "[vignette]";
    const size_t size = sizeof section - 1;

    return strncmp(line, section, size) == 0
           && strchr("#", line[size + strspn(line + size, " \t")]) != NULL; /* or the end */
}

/* Part a line into name and value. `*name_out` NULL: nothing there. Returns a sentence, or NULL. */
static const char *file_split(char *text, char **name_out, char **value_out)
{
    char *name = text + strspn(text, " \t");
    char *value;
    const char *wrong = NULL;
    size_t size;

    *name_out = NULL;
    if (*name == '\0' || *name == '#') {
        return NULL;
    }
    if (*name == '[') {
        return is_section(name) ? NULL : "there is no section but [vignette]";
    }
    size = strcspn(name, " \t=#");
    value = name + size + strspn(name + size, " \t");
    if (*value == '=') {
        value++;
        value += strspn(value, " \t");
    }
    if (*value == '"') {
        wrong = file_unquote(value);
    } else {
        file_trim(value);
        wrong = *value == '\0' ? "the value is missing" : NULL;
    }
    name[size] = '\0';
    if (size == 0) {
        return "the line begins with no name";
    }
    *name_out = name;
    *value_out = value;
    return wrong;
}

/* What no line may have, whatever stands in it. */
static const char *file_judge(const struct config_line *line)
{
    if (line->number == 1 && line->size >= 3 && memcmp(line->text, "\xef\xbb\xbf", 3) == 0) {
        return "the file begins with a byte order mark: save it as plain UTF-8";
    }
    if (line->size > CONFIG_LINE_MAX) {
        return "the line is longer than 4095 bytes";
    }
    if (memchr(line->text, '\0', line->size) != NULL) {
        return "there is a NUL byte in the line";
    }
    if (line->size > 0 && line->text[line->size - 1] == '\r') {
        return "the line ends in CR LF: save the file with plain line ends";
    }
    return NULL;
}

static void file_read(struct config_stack *stack, const char *path,
                      const struct config_line *included_at);

/* `include GLOB`, relative to the file it stands in, sorted. */
static void file_include(struct config_stack *stack, const struct config_line *line,
                         const char *pattern)
{
    const char *slash = strrchr(line->path, '/');
    char full[2 * CONFIG_LINE_MAX];
    glob_t found;
    int result;

    if (pattern[0] == '/' || slash == NULL) {
        (void)snprintf(full, sizeof full, "%s", pattern);
    } else {
        (void)snprintf(full, sizeof full, "%.*s/%s", (int)(slash - line->path), line->path,
                       pattern);
    }
    result = glob(full, GLOB_ERR, NULL, &found);
    if (result == GLOB_NOMATCH && strpbrk(pattern, "*?[") != NULL) {
        return; /* a folder of snippets may be empty */
    }
    if (result != 0) {
        config_say(stack->report, "%s:%u: cannot include '%.200s': %s", line->path, line->number,
                   full, result == GLOB_NOMATCH ? "no such file" : "cannot be read");
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        file_read(stack, found.gl_pathv[i], line);
    }
    globfree(&found);
}

static void file_line(struct config_stack *stack, struct config_line *line)
{
    const struct config_place place = { .file = line->path,
                                        .line = line->number,
                                        .level = CONFIG_FILE };
    const char *wrong = file_judge(line);
    char *name;
    char *value = NULL;

    if (wrong == NULL) {
        line->text[line->size] = '\0';
        wrong = file_split(line->text, &name, &value);
    }
    if (wrong != NULL) {
        file_say(stack, line, wrong);
    } else if (name != NULL && strcmp(name, "include") == 0) {
        file_include(stack, line, value);
    } else if (name != NULL) {
        (void)config_put(stack->config, name, value, &place, stack->report);
    }
}

/* What can be read as a file of settings: a sentence if not. */
static const char *file_refuse(const struct config_stack *stack, const struct stat *stat)
{
    if (!S_ISREG(stat->st_mode)) {
        return "it is not a regular file";
    }
    if (stat->st_size > CONFIG_FILE_BYTES_MAX) {
        return "it is larger than 16 MiB";
    }
    for (unsigned i = 0; i < stack->depth; i++) {
        if (stack->devices[i] == stat->st_dev && stack->inodes[i] == stat->st_ino) {
            return "it includes itself";
        }
    }
    return stack->depth < CONFIG_INCLUDE_DEPTH_MAX ? NULL
                                                   : "files include one another more than 8 deep";
}

/* The whole file, with room for one byte more. NULL: `why` says the reason. */
static char *file_load(struct config_stack *stack, const char *path, size_t *size_out,
                       const char **why)
{
    /* A reload must not wait for the writer of a pipe. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat stat;
    char *text = NULL;
    size_t size = 0;
    ssize_t more;

    if (fd < 0 || fstat(fd, &stat) != 0) {
        *why = strerror(errno);
        goto close_file;
    }
    *why = file_refuse(stack, &stat);
    if (*why != NULL) {
        goto close_file;
    }
    text = malloc((size_t)stat.st_size + 1);
    if (text == NULL) {
        *why = "no memory";
        goto close_file;
    }
    do {
        more = read(fd, text + size, (size_t)stat.st_size - size);
        size += more > 0 ? (size_t)more : 0;
    } while (more > 0);
    if (more < 0) {
        *why = strerror(errno);
        free(text);
        text = NULL;
        goto close_file;
    }
    *size_out = size;
    stack->devices[stack->depth] = stat.st_dev;
    stack->inodes[stack->depth] = stat.st_ino;

close_file:
    if (fd >= 0) {
        (void)close(fd);
    }
    return text;
}

static void file_read(struct config_stack *stack, const char *path,
                      const struct config_line *included_at)
{
    struct config_line line = { .path = path };
    const char *why = NULL;
    size_t size = 0;
    char *text = file_load(stack, path, &size, &why);

    if (text == NULL) {
        if (included_at != NULL) {
            config_say(stack->report, "%s:%u: cannot include '%.200s': %s", included_at->path,
                       included_at->number, path, why);
        } else {
            config_say(stack->report, "cannot read the configuration '%.200s': %s", path, why);
        }
        return;
    }
    stack->depth++;
    for (size_t at = 0; at < size;) {
        char *end = memchr(text + at, '\n', size - at);

        line.text = text + at;
        line.size = end == NULL ? size - at : (size_t)(end - line.text);
        line.number++;
        at += line.size + 1;
        file_line(stack, &line);
    }
    stack->depth--;
    free(text);
}

bool config_read(struct config *config, const char *path, struct config_report *report)
{
    struct config_stack stack = { .config = config, .report = report };
    const unsigned errors = report->errors;

    file_read(&stack, path, NULL);
    /* cppcheck-suppress knownConditionTrueFalse ; the stack has the report, too */
    return report->errors == errors;
}
