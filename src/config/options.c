#include "config/options.h"

#include "base/address.h"
#include "base/text.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_SENTENCE_MAX 600
#define CONFIG_NAME_MAX     255  /* of names and hosts: as DNS and keys have it */
#define CONFIG_PATH_MAX     4000 /* under PATH_MAX */
#define CONFIG_UNIX_MAX     107  /* sun_path of unix(7), less a NUL */

#define OPTION_KEEP_MS_MIN 60000 /* names say to the minute when keys end */

#define OPTION_AT_DURATION(name)   offsetof(struct config, name##_ms)
#define OPTION_AT_SIZE(name)       offsetof(struct config, name##_bytes)
#define OPTION_AT_COUNT(name)      offsetof(struct config, name)
#define OPTION_AT_FLAG(name)       offsetof(struct config, name)
#define OPTION_AT_LEVEL(name)      offsetof(struct config, name)
#define OPTION_AT_FORMAT(name)     offsetof(struct config, name)
#define OPTION_AT_DURABILITY(name) offsetof(struct config, name)

#define OPTION_NUMBER(number_type, number_name, number_initial, number_least, number_most, \
                      number_when, number_help)                                            \
    { .name = #number_name,                                                                \
      .help = number_help,                                                                 \
      .offset = OPTION_AT_##number_type(number_name),                                      \
      .initial = number_initial,                                                           \
      .least = number_least,                                                               \
      .most = number_most,                                                                 \
      .type = OPTION_##number_type,                                                        \
      .check = CHECK_NUMBER,                                                               \
      .when = OPTION_##number_when },
#define OPTION_TEXT(text_check, text_name, text_initial, text_when, text_help) \
    { .name = #text_name,                                                      \
      .text = text_initial,                                                    \
      .help = text_help,                                                       \
      .offset = offsetof(struct config, text_name),                            \
      .type = OPTION_ONE_TEXT,                                                 \
      .check = CHECK_##text_check,                                             \
      .when = OPTION_##text_when },
#define OPTION_LIST(list_check, list_name, list_initial, list_when, list_help) \
    { .name = #list_name,                                                      \
      .text = list_initial,                                                    \
      .help = list_help,                                                       \
      .offset = offsetof(struct config, list_name),                            \
      .type = OPTION_TEXTS,                                                    \
      .check = CHECK_##list_check,                                             \
      .when = OPTION_##list_when },
const struct config_option config_options[] = {
#include "config/options.def"
};
const size_t config_options_count = sizeof config_options / sizeof config_options[0];

/* A default outside its own limits does not compile. */
#define OPTION_NUMBER(type, name, initial, least, most, when, help)                              \
    _Static_assert((uint64_t)(initial) + 1 > (least) && (uint64_t)(initial) <= (uint64_t)(most), \
                   "default of " #name);
#include "config/options.def"

/* The words of the types that are no numbers to people. */
static const char *const option_flag_words[] = { "no", "yes", NULL };
static const char *const option_level_words[] = { "error", "warn", "info", "debug", "trace", NULL };
static const char *const option_format_words[] = { "text", "json", NULL };
static const char *const option_durability_words[] = { "commit", "interval", "none", NULL };

static const char *const *option_words(const struct config_option *option)
{
    return option->type == OPTION_FLAG         ? option_flag_words
           : option->type == OPTION_LEVEL      ? option_level_words
           : option->type == OPTION_FORMAT     ? option_format_words
           : option->type == OPTION_DURABILITY ? option_durability_words
                                               : NULL;
}

static struct bytes option_bytes(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

void config_say(struct config_report *report, const char *format, ...)
{
    char sentence[CONFIG_SENTENCE_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    report->errors++;
    report->say(report->owner, sentence);
}

/* One sentence about one place. */
static void config_say_at(struct config_report *report, const struct config_place *place,
                          const char *sentence)
{
    if (place->file != NULL) {
        config_say(report, "%s:%u: %s", place->file, place->line, sentence);
    } else {
        config_say(report, "%s: %s", place->word, sentence);
    }
}

static void *config_field(const struct config *config, const struct config_option *option)
{
    return (char *)(uintptr_t)config + option->offset;
}

static bool config_list_add(struct config_list *list, const char *value)
{
    char **texts = realloc(list->texts, (list->count + 1) * sizeof texts[0]);
    char *copy;

    if (texts == NULL) {
        return false;
    }
    list->texts = texts;
    copy = strdup(value);
    if (copy == NULL) {
        return false;
    }
    texts[list->count++] = copy;
    return true;
}

/* What stands between blanks. False: no memory. */
static bool config_list_default(struct config_list *list, const char *texts)
{
    char one[OPTION_NAME_MAX];

    for (size_t size; *texts != '\0'; texts += size + (texts[size] == ' ')) {
        size = strcspn(texts, " ");
        assert(size < sizeof one);
        memcpy(one, texts, size);
        one[size] = '\0';
        if (!config_list_add(list, one)) {
            return false;
        }
    }
    return true;
}

bool config_init(struct config *config)
{
    memset(config, 0, sizeof *config);
    config->origins = calloc(config_options_count, sizeof config->origins[0]);
    if (config->origins == NULL) {
        return false;
    }
    for (size_t i = 0; i < config_options_count; i++) {
        void *field = config_field(config, &config_options[i]);

        if (config_options[i].type == OPTION_ONE_TEXT) {
            char *copy = strdup(config_options[i].text);

            if (copy == NULL) {
                config_clear(config);
                return false;
            }
            *(char **)field = copy;
        } else if (config_options[i].type == OPTION_TEXTS) {
            if (!config_list_default(field, config_options[i].text)) {
                config_clear(config);
                return false;
            }
        } else {
            *(uint64_t *)field = config_options[i].initial;
        }
    }
    return true;
}

static void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->texts[i]);
    }
    free(list->texts);
    *list = (struct config_list){ 0 };
}

void config_clear(struct config *config)
{
    for (size_t i = 0; i < config_options_count; i++) {
        void *field = config_field(config, &config_options[i]);

        if (config_options[i].type == OPTION_ONE_TEXT) {
            free(*(char **)field);
        } else if (config_options[i].type == OPTION_TEXTS) {
            config_list_clear(field);
        }
        if (config->origins != NULL) {
            free(config->origins[i].file);
        }
    }
    free(config->origins);
    memset(config, 0, sizeof *config);
}

const char *option_name(const struct config_option *option, char *to)
{
    size_t i;

    assert(strlen(option->name) < OPTION_NAME_MAX);
    for (i = 0; option->name[i] != '\0'; i++) {
        to[i] = option->name[i];
        if (to[i] == '_') {
            to[i] = '-';
        }
    }
    to[i] = '\0';
    return to;
}

const struct config_option *option_find(const char *name)
{
    char spelled[OPTION_NAME_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        if (strcmp(name, config_options[i].name) == 0
            || strcmp(name, option_name(&config_options[i], spelled)) == 0) {
            return &config_options[i];
        }
    }
    return NULL;
}

/* How many letters must be changed, put in or taken out (Wagner and Fischer, 1974). */
static unsigned option_distance(const char *one, const char *other)
{
    unsigned row[OPTION_NAME_MAX + 1];
    const size_t size = strlen(other);

    for (unsigned j = 0; j <= size; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; one[i - 1] != '\0'; i++) {
        unsigned corner = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= size; j++) {
            const unsigned changed = corner + (one[i - 1] != other[j - 1]);

            corner = row[j];
            row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = changed < row[j] ? changed : row[j];
        }
    }
    return row[size];
}

const struct config_option *option_nearest(const char *name)
{
    /* A third of the letters wrong is a slip, more is another word. */
    unsigned least = (unsigned)strlen(name) / 3 + 1;
    const struct config_option *nearest = NULL;
    char spelled[OPTION_NAME_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        const unsigned distance = option_distance(name, option_name(&config_options[i], spelled));

        if (distance < least) {
            least = distance;
            nearest = &config_options[i];
        }
    }
    return nearest;
}

/* The largest unit that the number is a whole multiple of. */
static void option_print_units(uint64_t number, const uint64_t *factors, const char *const *units,
                               char *to, size_t size)
{
    size_t unit = 0;

    while (factors[unit + 1] != 0 && number != 0 && number % factors[unit + 1] == 0) {
        unit++;
    }
    (void)snprintf(to, size, "%llu%s", (unsigned long long)(number / factors[unit]), units[unit]);
}

void option_print_number(const struct config_option *option, uint64_t number, char *to, size_t size)
{
    static const uint64_t ms[] = { 1, 1000, 60000, 3600000, 86400000, 0 };
    static const char *const ms_units[] = { "ms", "s", "m", "h", "d" };
    static const uint64_t bytes[] = {
        1, UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30, UINT64_C(1) << 40, 0
    };
    static const char *const bytes_units[] = { "", "k", "m", "g", "t" };

    if (option_words(option) != NULL) {
        (void)snprintf(to, size, "%s", option_words(option)[number]);
    } else if (option->type == OPTION_DURATION) {
        option_print_units(number, ms, ms_units, to, size);
    } else if (option->type == OPTION_SIZE) {
        option_print_units(number, bytes, bytes_units, to, size);
    } else {
        (void)snprintf(to, size, "%llu", (unsigned long long)number);
    }
}

static bool option_get_word(const struct config_option *option, const char *value,
                            uint64_t *number_out)
{
    const char *const *words = option_words(option);

    for (uint64_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], value) == 0) {
            *number_out = i;
            return true;
        }
    }
    return false;
}

const char *option_form(const struct config_option *option)
{
    static const char *const types[] = {
        [OPTION_DURATION] = "a duration such as 250ms, 30s or 5m",
        [OPTION_SIZE] = "a size such as 65536, 64k, 16m or 1g",
        [OPTION_COUNT] = "a whole number",
        [OPTION_FLAG] = "yes or no",
        [OPTION_LEVEL] = "error, warn, info, debug or trace",
        [OPTION_FORMAT] = "text or json",
        [OPTION_DURABILITY] = "commit, interval or none",
    };
    static const char *const checks[] = {
        [CHECK_NAME] = "a name of at most 255 bytes without control characters",
        [CHECK_PATH] = "a path",
        [CHECK_FOLDER] = "a path, or none",
        [CHECK_TARGET] = "stderr, syslog or a path that begins with /",
        [CHECK_ENDPOINT] = "[host:]port, the port 0..65535, IPv6 in brackets",
        [CHECK_SEED] = "host:port, the port 1..65535, IPv6 in brackets",
        [CHECK_RANGE] = "an address or a block such as 10.0.0.0/8, or none",
        [CHECK_RULE] = "PATTERN VALUE, the value a whole number",
        [CHECK_KEEP] = "PATTERN DURATION, the duration a minute or more, such as 12h or 35d",
        [CHECK_HTTP] = "[host:]port, unix:/PATH (at most 107 bytes) or off",
    };

    return option->check == CHECK_NUMBER ? types[option->type] : checks[option->check];
}

/* "30s" and the like as a number within its limits. `why` gets the sentence where not. */
static bool option_get_number(const struct config_option *option, const char *value,
                              uint64_t *number_out, struct fault *why)
{
    const struct bytes text = option_bytes(value);
    uint64_t number = 0;
    bool good;

    switch (option->type) {
    case OPTION_DURATION: good = text_get_duration_ms(text, &number); break;
    case OPTION_SIZE: good = text_get_size_bytes(text, &number); break;
    case OPTION_COUNT: good = text_get_u64(text, &number); break;
    default: good = option_get_word(option, value, &number); break;
    }
    if (!good) {
        (void)fault_set(why, STATUS_INVALID, "'%.80s' is not %s", value, option_form(option));
        return false;
    }
    if (number < option->least || number > option->most) {
        const bool under = number < option->least;
        char limit[OPTION_NAME_MAX];

        option_print_number(option, under ? option->least : option->most, limit, sizeof limit);
        (void)fault_set(why, STATUS_INVALID, "'%.80s' is %s the %s allowed, %s", value,
                        under ? "under" : "over", under ? "least" : "most", limit);
        return false;
    }
    *number_out = number;
    return true;
}

static bool option_is_clean(struct bytes text, size_t size_max)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < ' ' || text.data[i] == 0x7f) {
            return false;
        }
    }
    return text.size > 0 && text.size <= size_max && utf8_valid(text);
}

/* [host:]port or host:port. A host is checked for form only: names are resolved later. */
static bool option_is_endpoint(struct bytes text, bool host_needed, uint64_t port_least)
{
    size_t colon = text.size;
    struct bytes host;
    uint64_t port;

    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    if (!text_get_u64((struct bytes){ text.data + colon, text.size - colon }, &port)
        || port > UINT16_MAX || port < port_least) {
        return false;
    }
    if (colon == 0) {
        return !host_needed;
    }
    host = (struct bytes){ text.data, colon - 1 };
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        uint8_t ip[16];

        return address_ip_from_text((struct bytes){ host.data + 1, host.size - 2 }, ip);
    }
    return option_is_clean(host, CONFIG_NAME_MAX) && memchr(host.data, ':', host.size) == NULL
           && memchr(host.data, ' ', host.size) == NULL;
}

bool option_rule(const char *value, struct bytes *pattern_out, struct bytes *limit_out)
{
    const char *blank = strrchr(value, ' ');
    const struct bytes pattern = { (const uint8_t *)value,
                                   blank == NULL ? 0 : (size_t)(blank - value) };

    if (!option_is_clean(pattern, CONFIG_NAME_MAX)) {
        return false;
    }
    *pattern_out = pattern;
    *limit_out = option_bytes(blank + 1);
    return true;
}

static bool option_is_rule(const char *value, enum option_check check)
{
    struct bytes pattern;
    struct bytes limit;
    uint64_t number;

    return option_rule(value, &pattern, &limit)
           && (check == CHECK_RULE
                   ? text_get_u64(limit, &number)
                   : text_get_duration_ms(limit, &number) && number >= OPTION_KEEP_MS_MIN);
}

static bool option_is_text(const struct config_option *option, const char *value)
{
    const struct bytes text = option_bytes(value);
    struct address_range range;

    switch (option->check) {
    case CHECK_NAME: return option_is_clean(text, CONFIG_NAME_MAX);
    case CHECK_PATH:
    case CHECK_FOLDER: return option_is_clean(text, CONFIG_PATH_MAX);
    case CHECK_TARGET:
        return text_is(text, "stderr") || text_is(text, "syslog")
               || (value[0] == '/' && option_is_clean(text, CONFIG_PATH_MAX));
    case CHECK_ENDPOINT: return option_is_endpoint(text, false, 0);
    case CHECK_SEED: return option_is_endpoint(text, true, 1);
    case CHECK_RANGE: return text_is(text, "none") || address_range_from_text(text, &range);
    case CHECK_RULE:
    case CHECK_KEEP: return option_is_rule(value, option->check);
    default: /* CHECK_HTTP */
        if (strncmp(value, "unix:", 5) == 0) {
            return value[5] == '/' && option_is_clean(text, 5 + CONFIG_UNIX_MAX);
        }
        return text_is(text, "off") || option_is_endpoint(text, false, 0);
    }
}

/* Write the value that was found good. False: no memory. */
static bool config_store(struct config *config, const struct config_option *option,
                         const char *value, uint64_t number, const struct config_place *place)
{
    struct config_origin *origin = &config->origins[option - config_options];
    void *field = config_field(config, option);
    char *copy = NULL;
    char *file = NULL;

    if (option->type == OPTION_ONE_TEXT && (copy = strdup(value)) == NULL) {
        return false;
    }
    if (place->file != NULL && (file = strdup(place->file)) == NULL) {
        free(copy);
        return false;
    }
    if (option->type == OPTION_ONE_TEXT) {
        free(*(char **)field);
        *(char **)field = copy;
    } else if (option->type == OPTION_TEXTS) {
        if (origin->level < place->level) {
            config_list_clear(field);
        }
        if (!config_list_add(field, value)) {
            free(file);
            return false;
        }
    } else {
        *(uint64_t *)field = number;
    }
    free(origin->file);
    *origin =
        (struct config_origin){ .file = file, .line = place->line, .level = (uint8_t)place->level };
    return true;
}

bool config_put(struct config *config, const char *name, const char *value,
                const struct config_place *place, struct config_report *report)
{
    const struct config_option *option = option_find(name);
    const struct config_origin *origin;
    char spelled[OPTION_NAME_MAX];
    uint64_t number = 0;
    struct fault why;

    if (option == NULL) {
        option = option_nearest(name);
        (void)fault_set(&why, STATUS_INVALID, "unknown setting '%.60s'%s%s%s", name,
                        option == NULL ? "" : " (did you mean '",
                        option == NULL ? "" : option_name(option, spelled),
                        option == NULL ? "" : "'?)");
        config_say_at(report, place, why.text);
        return false;
    }
    (void)option_name(option, spelled);
    origin = &config->origins[option - config_options];
    if (option->check != CHECK_NUMBER && !option_is_text(option, value)) {
        (void)fault_set(&why, STATUS_INVALID, "%s: '%.80s' is not %s", spelled, value,
                        option_form(option));
        config_say_at(report, place, why.text);
        return false;
    }
    if (option->check == CHECK_NUMBER && !option_get_number(option, value, &number, &why)) {
        (void)fault_prefix(&why, "%s: ", spelled);
        config_say_at(report, place, why.text);
        return false;
    }
    if (origin->level > place->level) {
        return true; /* a higher level has spoken already */
    }
    if (origin->level == CONFIG_FILE && place->level == CONFIG_FILE
        && option->type != OPTION_TEXTS) {
        (void)fault_set(&why, STATUS_INVALID, "%s was already set at %.120s:%u", spelled,
                        origin->file, origin->line);
        config_say_at(report, place, why.text);
        return false;
    }
    if (!config_store(config, option, value, number, place)) {
        config_say_at(report, place, "no memory");
        return false;
    }
    return true;
}

bool config_check(const struct config *config, struct config_report *report)
{
    const unsigned errors = report->errors;
    struct address address;
    const struct bytes listen = option_bytes(config->listen);

    if (config->listen[0] == '\0') {
        config_say(report, "no gossip address: give a port (vignetted 6001) or set listen");
    }
    if (address_from_text(listen, &address) && address_is_wildcard(&address)
        && config->advertise[0] == '\0' && config->seed.count == 0) {
        config_say(report, "listen %s is every address, so peers cannot be told one: set advertise",
                   config->listen);
    }
    for (size_t i = 0; i < config->http_listen.count; i++) {
        if (strcmp(config->http_listen.texts[i], "off") == 0 && config->http_listen.count > 1) {
            config_say(report, "http-listen off stands beside other addresses: choose one");
        }
    }
    if (config->http_max_body_bytes > config->http_max_upload_bytes
        || config->http_max_lines_bytes > config->http_max_upload_bytes) {
        config_say(report, "http-max-upload is less than one body may have: raise it, or lower "
                           "http-max-body and http-max-lines");
    }
    for (size_t i = 0; i < config->keep.count; i++) {
        struct bytes pattern;
        struct bytes limit;
        uint64_t keep_ms = 0;

        if (option_rule(config->keep.texts[i], &pattern, &limit)
            && text_get_duration_ms(limit, &keep_ms) && keep_ms > config->max_keep_ms) {
            config_say(report, "keep %s is longer than max-keep: raise that, or keep it shorter",
                       config->keep.texts[i]);
        }
    }
    if (config->http_max_memory_bytes != 0
        && config->http_max_memory_bytes < config->http_max_body_bytes) {
        config_say(report, "http-max-memory is less than one document may have: raise it, or lower "
                           "http-max-body");
    }
    return report->errors == errors;
}

static void config_show_origin(const struct config_origin *origin, FILE *to)
{
    static const char *const levels[] = { "default", "derived", NULL,
                                          "--set",   "a flag",  "an argument" };

    if (origin->level == CONFIG_FILE) {
        (void)fprintf(to, "  # %s:%u\n", origin->file, origin->line);
    } else {
        (void)fprintf(to, "  # %s\n", levels[origin->level]);
    }
}

/* A value as a file may hold it: quoted where a bare one would be read differently. */
static void config_show_text(const char *text, FILE *to)
{
    if (text[0] != '\0' && strpbrk(text, " \t\"\\#=") == NULL) {
        (void)fputs(text, to);
        return;
    }
    (void)fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            (void)fputc('\\', to);
        }
        (void)fputc(*text, to);
    }
    (void)fputc('"', to);
}

void config_show(const struct config *config, FILE *to)
{
    char name[OPTION_NAME_MAX];
    char number[OPTION_NAME_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        const struct config_origin *origin = &config->origins[i];
        const void *field = config_field(config, &config_options[i]);

        (void)option_name(&config_options[i], name);
        if (config_options[i].type == OPTION_TEXTS) {
            const struct config_list *list = field;

            for (size_t j = 0; j < list->count; j++) {
                (void)fprintf(to, "%s ", name);
                config_show_text(list->texts[j], to);
                config_show_origin(origin, to);
            }
            if (list->count == 0) {
                (void)fprintf(to, "# %s is not set\n", name);
            }
        } else if (config_options[i].type == OPTION_ONE_TEXT && **(char *const *)field == '\0') {
            (void)fprintf(to, "# %s is not set\n", name);
        } else if (config_options[i].type == OPTION_ONE_TEXT) {
            (void)fprintf(to, "%s ", name);
            config_show_text(*(char *const *)field, to);
            config_show_origin(origin, to);
        } else {
            option_print_number(&config_options[i], *(const uint64_t *)field, number,
                                sizeof number);
            (void)fprintf(to, "%s %s", name, number);
            config_show_origin(origin, to);
        }
    }
}

static bool config_lists_equal(const struct config_list *one, const struct config_list *other)
{
    bool equal = one->count == other->count;

    for (size_t i = 0; equal && i < one->count; i++) {
        equal = strcmp(one->texts[i], other->texts[i]) == 0;
    }
    return equal;
}

void config_compare(const struct config *old, const struct config *new,
                    void (*differs)(void *owner, const char *name), void *owner)
{
    char name[OPTION_NAME_MAX];

    for (size_t i = 0; i < config_options_count; i++) {
        const void *one = config_field(old, &config_options[i]);
        const void *other = config_field(new, &config_options[i]);
        bool equal;

        if (config_options[i].when == OPTION_RELOAD) {
            continue;
        }
        equal = config_options[i].type == OPTION_TEXTS ? config_lists_equal(one, other)
                : config_options[i].type == OPTION_ONE_TEXT
                    ? strcmp(*(char *const *)one, *(char *const *)other) == 0
                    : *(const uint64_t *)one == *(const uint64_t *)other;
        if (!equal) {
            differs(owner, option_name(&config_options[i], name));
        }
    }
}

static size_t option_size(const struct config_option *option)
{
    switch (option->type) {
    case OPTION_TEXTS: return sizeof(struct config_list);
    case OPTION_ONE_TEXT: return sizeof(char *);
    default: return sizeof(uint64_t);
    }
}

void config_keep(struct config *now, struct config *next)
{
    for (size_t i = 0; i < config_options_count; i++) {
        if (config_options[i].when == OPTION_RESTART) {
            const struct config_origin origin = now->origins[i];
            const size_t size = option_size(&config_options[i]);
            uint8_t kept[sizeof(struct config_list)];

            memcpy(kept, config_field(now, &config_options[i]), size);
            memcpy(config_field(now, &config_options[i]), config_field(next, &config_options[i]),
                   size);
            memcpy(config_field(next, &config_options[i]), kept, size);
            now->origins[i] = next->origins[i];
            next->origins[i] = origin;
        }
    }
}
