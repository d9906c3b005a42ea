#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

/* The effective settings: one struct, made of config/options.def, filled from defaults, files,
 * --set and the command line, each above the one before. Called by main, which copies what each
 * room needs into that room's own options. Never a global.
 *
 * All errors are found in one pass and reported in order, each as `FILE:LINE: sentence` (or
 * `--set: sentence`); a config with an error is never used. */

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Texts of a setting that may be given more than once; owned by the config. */
struct config_list {
    char **texts;
    size_t count;
};

#define OPTION_FIELD_DURATION(name)   uint64_t name##_ms
#define OPTION_FIELD_SIZE(name)       uint64_t name##_bytes
#define OPTION_FIELD_COUNT(name)      uint64_t name
#define OPTION_FIELD_FLAG(name)       uint64_t name
#define OPTION_FIELD_LEVEL(name)      uint64_t name /* enum log_level */
#define OPTION_FIELD_FORMAT(name)     uint64_t name /* enum log_format */
#define OPTION_FIELD_DURABILITY(name) uint64_t name /* enum journal_durability */

enum option_type {
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_COUNT,
    OPTION_FLAG,
    OPTION_LEVEL,
    OPTION_FORMAT,
    OPTION_DURABILITY,
    OPTION_ONE_TEXT,
    OPTION_TEXTS
};
enum option_check {
    CHECK_NUMBER,
    CHECK_NAME,     /* 1..255 bytes of UTF-8 without control characters */
    CHECK_PATH,     /* the same, up to 4,000 */
    CHECK_FOLDER,   /* a path, or none */
    CHECK_TARGET,   /* stderr, syslog or a path */
    CHECK_ENDPOINT, /* [host:]port */
    CHECK_SEED,     /* host:port, port above 0 */
    CHECK_RANGE,    /* address or address/bits, or none */
    CHECK_RULE,     /* PATTERN VALUE */
    CHECK_KEEP,     /* PATTERN DURATION, a minute or more */
    CHECK_HTTP      /* [host:]port, unix:PATH, off */
};
enum option_when { OPTION_RESTART, OPTION_RELOAD };

/* One line of the list as data, for everything that walks it. */
struct config_option {
    const char *name; /* as in the list, with '_' */
    const char *text; /* default of a text, defaults of a list; NULL: a number */
    const char *help;
    size_t offset; /* of the field in struct config */
    uint64_t initial;
    uint64_t least;
    uint64_t most;
    uint8_t type;  /* enum option_type */
    uint8_t check; /* enum option_check */
    uint8_t when;  /* enum option_when */
};

extern const struct config_option config_options[];
extern const size_t config_options_count;

/* Where a setting came from; a later one is above an earlier one. Derived: from other settings. */
enum config_level {
    CONFIG_DEFAULT,
    CONFIG_DERIVED,
    CONFIG_FILE,
    CONFIG_SET,
    CONFIG_FLAG,
    CONFIG_ARGUMENT
};

struct config_origin {
    char *file; /* CONFIG_FILE only; owned by the config */
    unsigned line;
    uint8_t level; /* enum config_level */
};

struct config {
#define OPTION_NUMBER(type, name, initial, least, most, when, help) OPTION_FIELD_##type(name);
#define OPTION_TEXT(check, name, initial, when, help)               char *name;
#define OPTION_LIST(check, name, initial, when, help)               struct config_list name;
#include "config/options.def"
    struct config_origin *origins; /* one an option */
};

/* Whoever wants to hear of errors. */
struct config_report {
    void (*say)(void *owner, const char *sentence);
    void *owner;
    unsigned errors;
};

void config_say(struct config_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* All settings at their defaults. False: no memory. */
bool config_init(struct config *config);
void config_clear(struct config *config);

/* The option of a name, written with '-' or '_'; NULL when there is none. */
const struct config_option *option_find(const char *name);

/* The name as people write it, into at least OPTION_NAME_MAX bytes. */
#define OPTION_NAME_MAX 32
const char *option_name(const struct config_option *option, char *to);

/* The known name nearest to a wrong one; NULL when none is near. */
const struct config_option *option_nearest(const char *name);

/* A number as people write it (30s, 16m, yes), with a NUL, cut to `size`. */
void option_print_number(const struct config_option *option, uint64_t number, char *to,
                         size_t size);

/* What a value looks like: "a duration such as 250ms, 30s or 5m". */
const char *option_form(const struct config_option *option);

/* Where a setting is being read, for messages: "FILE:LINE: " or "--set: ". */
struct config_place {
    const char *file; /* NULL: not a file */
    const char *word; /* "--set", "-l"; used without a file */
    unsigned line;
    enum config_level level;
};

/* Take one setting. A value of a higher level replaces, list or not; the same scalar twice in
 * files is an error. False: reported, nothing changed. */
bool config_put(struct config *config, const char *name, const char *value,
                const struct config_place *place, struct config_report *report);

/* What concerns more than one setting. False: reported. */
bool config_check(const struct config *config, struct config_report *report);

/* Print every setting as a line that a file could hold, with where it came from. */
void config_show(const struct config *config, FILE *to);

/* What a value of the form PATTERN VALUE consists of: the last blank parts them, so that a pattern
 * may have blanks. False: it has no such form; nothing was written. */
bool option_rule(const char *value, struct bytes *pattern_out, struct bytes *limit_out);

/* Call back for each setting that differs and cannot be changed while running. */
void config_compare(const struct config *old, const struct config *new,
                    void (*differs)(void *owner, const char *name), void *owner);

/* Exchange the settings that cannot be changed while running, so that `next` has those in force.
 * Done again, it undoes that. */
void config_keep(struct config *now, struct config *next);

#endif /* CONFIG_OPTIONS_H */
