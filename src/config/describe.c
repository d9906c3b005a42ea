/* Writes what people read of the settings, while building:
 *
 *     describe names                       the names, one a line, for the completion
 *     describe mdoc                        the list of vignette.conf(5)
 *     describe conf [NAME=VALUE ...]       the lines of the shipped file, commented out but for
 *                                          those named, which are in force with that value */

#include "config/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DESCRIBE_WIDTH 79

/* The titles of sections, and NULL for each setting between them, in the order of the list. */
static const char *const sections[] = {
#define OPTION_SECTION(title)                                       title,
#define OPTION_NUMBER(type, name, initial, least, most, when, help) NULL,
#define OPTION_TEXT(check, name, initial, when, help)               NULL,
#define OPTION_LIST(check, name, initial, when, help)               NULL,
#include "config/options.def"
};

/* What stands behind a commented name that has no default. */
static const char *example_of(const char *name)
{
    static const char *const examples[][2] = {
        { "listen", "127.0.0.1:6001" },
        { "advertise", "192.0.2.7:6001" },
        { "seed", "192.0.2.8:6001" },
        { "cluster", "blue" },
        { "plain-peer", "192.0.2.0/24" },
        { "max-value", "visitors:* 64" },
        { "keep", "visitors:* 35d" },
        { "http-listen", "127.0.0.1:6001" },
        { "http-host", "counts.example.org" },
        { "http-allow-origin", "https://dashboard.example.org" },
        { "user", "vignette" },
        { "group", "vignette" },
        { "pidfile", "/run/vignette/vignette.pid" },
    };

    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        if (strcmp(examples[i][0], name) == 0) {
            return examples[i][1];
        }
    }
    return "";
}

/* One word; in roff, where a backslash begins an escape and a dot or quote that begins a line makes
 * it a request, as it is to be read. */
static void word_put(const char *word, size_t size, bool is_roff, bool is_first)
{
    if (is_roff && is_first && strchr(".'", word[0]) != NULL) {
        (void)fputs("\\&", stdout);
    }
    for (size_t i = 0; i < size; i++) {
        if (is_roff && word[i] == '\\') {
            (void)fputs("\\e", stdout);
        } else {
            (void)putchar(word[i]);
        }
    }
}

/* So many bytes of text, each line beginning with `before` and not above the width. */
static void wrap(const char *before, const char *text, size_t size, bool is_roff)
{
    size_t column = 0;
    size_t word;

    for (size_t at = 0; at < size; at += word + 1) {
        word = strcspn(text + at, " ");
        word = word < size - at ? word : size - at;
        if (column > 0 && column + 1 + word <= DESCRIBE_WIDTH) {
            (void)putchar(' ');
            column++;
        } else {
            (void)printf("%s%s", column > 0 ? "\n" : "", before);
            column = strlen(before);
        }
        word_put(text + at, word, is_roff, column == 0);
        column += word;
    }
    (void)putchar('\n');
}

/* A sentence a line, as mdoc(7) wants it. */
static void sentences(const char *text)
{
    size_t size = 0;

    while (text[size] != '\0') {
        size++;
        if (text[size - 1] == '.' && text[size] == ' ' && isupper((unsigned char)text[size + 1])) {
            wrap("", text, size, true);
            text += size + 1;
            size = 0;
        }
    }
    wrap("", text, size, true);
}

/* The defaults of a setting as they stand in a file, one a call. False: no more. */
static bool default_next(const struct config_option *option, const char **at, char to[256])
{
    size_t size;

    if (option->check == CHECK_NUMBER) {
        option_print_number(option, option->initial, to, 256);
        size = *at == NULL;
        *at = "";
        return size > 0;
    }
    *at = *at == NULL ? option->text : *at;
    size = option->type == OPTION_TEXTS ? strcspn(*at, " ") : strlen(*at);
    (void)snprintf(to, 256, "%.*s", (int)size, *at);
    *at += size + ((*at)[size] == ' ');
    return size > 0;
}

static void mdoc(const struct config_option *option, const char *name)
{
    const char *at = NULL;
    char value[256];
    char least[OPTION_NAME_MAX];
    char most[OPTION_NAME_MAX];
    char line[512];
    const char *before = "Default: ";

    (void)printf(".It Ic %s\n", name);
    sentences(option->help);
    (void)puts(".br");
    (void)snprintf(line, sizeof line, "Takes %s%s", option_form(option),
                   option->type == OPTION_TEXTS ? "; may be given more than once." : ".");
    sentences(line);
    while (default_next(option, &at, value)) {
        (void)printf("%s%s", before, value);
        before = " and ";
    }
    if (option->type == OPTION_DURATION || option->type == OPTION_SIZE
        || option->type == OPTION_COUNT) {
        option_print_number(option, option->least, least, sizeof least);
        option_print_number(option, option->most, most, sizeof most);
        (void)printf(", from %s to %s", least, most);
    }
    if (before[0] == ' ') {
        (void)puts(".");
    }
    (void)puts(option->when == OPTION_RELOAD ? "A reload applies it."
                                             : "A change takes effect at a restart.");
}

/* The value that is shipped in force, of NAME=VALUE arguments; NULL: none. */
static const char *shipped(const char *name, int count, char *const *settings)
{
    const size_t size = strlen(name);

    for (int i = 0; i < count; i++) {
        if (strncmp(settings[i], name, size) == 0 && settings[i][size] == '=') {
            return settings[i] + size + 1;
        }
    }
    return NULL;
}

static void conf(const struct config_option *option, const char *name, const char *value)
{
    const char *at = NULL;
    char initial[256];
    char line[512];
    bool has_default = false;

    (void)putchar('\n');
    wrap("# ", option->help, strlen(option->help), false);
    (void)snprintf(line, sizeof line, "(%s%s%s)", option_form(option),
                   option->type == OPTION_TEXTS ? "; may be given more than once" : "",
                   option->when == OPTION_RELOAD ? "" : "; at a restart");
    wrap("# ", line, strlen(line), false);
    if (value != NULL) {
        (void)printf("%s %s\n", name, value);
        return;
    }
    for (; default_next(option, &at, initial); has_default = true) {
        (void)printf("#%s %s\n", name, initial);
    }
    if (!has_default) {
        (void)printf("#%s %s\n", name, example_of(name));
    }
}

int main(int argc, char **argv)
{
    const char *form = argc > 1 ? argv[1] : "";
    const struct config_option *option = config_options;
    bool has_list = false;
    char name[OPTION_NAME_MAX];

    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (sections[i] != NULL && strcmp(form, "conf") == 0) {
            (void)printf("\n\n# -- %s --\n", sections[i]);
        } else if (sections[i] != NULL && strcmp(form, "mdoc") == 0) {
            (void)printf("%s.Ss %s\n.Bl -tag -width Ds\n", has_list ? ".El\n" : "", sections[i]);
            has_list = true;
        }
        if (sections[i] != NULL) {
            continue;
        }
        (void)option_name(option, name);
        if (strcmp(form, "conf") == 0) {
            conf(option, name, shipped(name, argc - 2, argv + 2));
        } else if (strcmp(form, "mdoc") == 0) {
            mdoc(option, name);
        } else {
            (void)puts(name);
        }
        option++;
    }
    if (has_list) {
        (void)puts(".El");
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
