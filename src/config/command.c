#include "config/command.h"

#include "config/file.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define COMMAND_FILE    SYSCONFDIR "/vignette/vignette.conf"
#define COMMAND_LETTERS ":c:D:dH:hl:p:qtVv"

enum command_long { LONG_SET = 256, LONG_SHOW, LONG_SALVAGE, LONG_CHECK, LONG_EXPORT, LONG_IMPORT };

const char command_help[] =
    "usage: vignetted [-dhqtVv] [-c file] [-D data-dir] [-H http-address|off] [-l listen]\n"
    "                 [-p pidfile] [--set name=value]... [[host:]port [host:port ...]]\n"
    "\n"
    "The first argument is the gossip port of this node, which is also its HTTP port; the others\n"
    "are nodes to join. With a port, or -l, and without -c no configuration file is read.\n"
    "\n"
    "  -c, --config FILE     read this file instead of " COMMAND_FILE "\n"
    "  -D, --data-dir DIR    keep what it knows there; without it in memory alone\n"
    "  -d, --daemonize       go to the background when ready\n"
    "  -H, --http ADDRESS    HTTP address: [host:]port, unix:PATH or off\n"
    "  -h, --help            show this\n"
    "  -l, --listen ADDRESS  gossip address: [host:]port\n"
    "  -p, --pidfile FILE    write our process id there\n"
    "  -q, --quiet           log warnings and errors only\n"
    "  -t, --test            check the configuration, print every error, and exit\n"
    "  -V, --version         show the version\n"
    "  -v, --verbose         log everything\n"
    "      --salvage         start with what is left of a damaged data directory\n"
    "      --set NAME=VALUE  set one setting of vignette.conf(5)\n"
    "      --show-config     show every setting and where it comes from, and exit\n"
    "\n"
    "Of a data directory that no daemon runs on:\n"
    "\n"
    "      --check DIR        say what is in it, and whether it is damaged\n"
    "      --export DIR       print it as lines that POST /keys takes\n"
    "      --import DIR FILE  join such lines into it; - is stdin\n";

/* What the arguments asked for, before the file is read. */
struct command {
    struct config *config;
    struct config_report *report;
    enum command_action action;
    const char *file;
    bool has_listen; /* by -l: as by the first argument, no file is read then */
};

static void command_put(struct command *command, const char *name, const char *value,
                        const char *word, enum config_level level)
{
    const struct config_place place = { .word = word, .level = level };

    (void)config_put(command->config, name, value, &place, command->report);
}

/* --set name=value */
static void command_set(struct command *command, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[OPTION_NAME_MAX];

    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof name) {
        config_say(command->report, "--set: '%.80s' is not name=value", text);
        return;
    }
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    command_put(command, name, equals + 1, "--set", CONFIG_SET);
}

/* What is asked of a data directory, instead of running. */
static void command_inspect(struct command *command, enum command_action action, const char *path)
{
    if (command->action != COMMAND_RUN) {
        config_say(command->report, "--check, --export and --import stand alone");
    }
    command->action = action;
    command_put(command, "data-dir", path, "the data directory", CONFIG_FLAG);
}

/* One flag. False: it is none. */
static bool command_flag(struct command *command, int flag, const char *value)
{
    switch (flag) {
    case 'c': command->file = value; break;
    case 'D': command_put(command, "data-dir", value, "-D", CONFIG_FLAG); break;
    case 'd': command_put(command, "daemonize", "yes", "-d", CONFIG_FLAG); break;
    case 'H': command_put(command, "http-listen", value, "-H", CONFIG_FLAG); break;
    case 'h': command->action = COMMAND_HELP; break;
    case 'l':
        command_put(command, "listen", value, "-l", CONFIG_FLAG);
        command->has_listen = true;
        break;
    case 'p': command_put(command, "pidfile", value, "-p", CONFIG_FLAG); break;
    case 'q': command_put(command, "log-level", "warn", "-q", CONFIG_FLAG); break;
    case 't': command->action = COMMAND_TEST; break;
    case 'V': command->action = COMMAND_VERSION; break;
    case 'v': command_put(command, "log-level", "debug", "-v", CONFIG_FLAG); break;
    case LONG_SET: command_set(command, value); break;
    case LONG_SHOW: command->action = COMMAND_SHOW; break;
    case LONG_SALVAGE: command->action = COMMAND_SALVAGE; break;
    case LONG_CHECK: command_inspect(command, COMMAND_CHECK, value); break;
    case LONG_EXPORT: command_inspect(command, COMMAND_EXPORT, value); break;
    case LONG_IMPORT: command_inspect(command, COMMAND_IMPORT, value); break;
    default: return false;
    }
    return true;
}

/* A word that getopt_long() does not know, or a letter among letters that it knows: it has not gone
 * on to the next word then. */
static void command_refuse(struct command *command, const char *word, int letter)
{
    if (letter > 0 && letter <= UCHAR_MAX && strchr(COMMAND_LETTERS, letter) == NULL) {
        config_say(command->report, "there is no option -%c; see vignetted -h", letter);
    } else {
        config_say(command->report, "there is no option %s; see vignetted -h", word);
    }
}

/* Flags in any order; what is left over begins at the position returned. */
static int command_flags(struct command *command, int argc, char *const *argv)
{
    static const struct option longs[] = {
        { "check", required_argument, NULL, LONG_CHECK },
        { "config", required_argument, NULL, 'c' },
        { "data-dir", required_argument, NULL, 'D' },
        { "daemonize", no_argument, NULL, 'd' },
        { "export", required_argument, NULL, LONG_EXPORT },
        { "help", no_argument, NULL, 'h' },
        { "http", required_argument, NULL, 'H' },
        { "import", required_argument, NULL, LONG_IMPORT },
        { "listen", required_argument, NULL, 'l' },
        { "pidfile", required_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { "salvage", no_argument, NULL, LONG_SALVAGE },
        { "set", required_argument, NULL, LONG_SET },
        { "show-config", no_argument, NULL, LONG_SHOW },
        { "test", no_argument, NULL, 't' },
        { "verbose", no_argument, NULL, 'v' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    int flag;

    optind = 0; /* begin anew: the arguments are read again at every reload */
    opterr = 0;
    while ((flag = getopt_long(argc, argv, COMMAND_LETTERS, longs, NULL)) != -1) {
        if (flag == ':') {
            config_say(command->report, "%s needs a value; see vignetted -h", argv[optind - 1]);
        } else if (!command_flag(command, flag, optarg)) {
            command_refuse(command, argv[optind - 1], optopt);
        }
    }
    return optind;
}

static bool command_inspects(const struct command *command)
{
    return command->action == COMMAND_CHECK || command->action == COMMAND_EXPORT
           || command->action == COMMAND_IMPORT;
}

/* [[host:]port [host:port ...]], or the FILE of --import. */
static void command_arguments(struct command *command, int count, char *const *arguments)
{
    if (command_inspects(command)) {
        const int wanted = command->action == COMMAND_IMPORT ? 1 : 0;

        if (count != wanted) {
            config_say(command->report, "%s; see vignetted -h",
                       wanted == 1 ? "--import needs one FILE"
                                   : "--check and --export take no more");
        }
        command->file = count == wanted && wanted == 1 ? arguments[0] : NULL;
        return;
    }
    for (int i = 0; i < count; i++) {
        command_put(command, i == 0 ? "listen" : "seed", arguments[i],
                    i == 0 ? "the first argument" : "a seed", CONFIG_ARGUMENT);
    }
}

enum command_result command_read(int argc, char *const *argv, struct config *config,
                                 enum command_action *action_out, const char **file_out,
                                 struct config_report *report)
{
    struct command command = { .config = config, .report = report };
    int first;

    *file_out = NULL;
    *action_out = COMMAND_RUN;
    if (!config_init(config)) {
        config_say(report, "no memory");
        return COMMAND_CONFIG;
    }
    first = command_flags(&command, argc, argv);
    command_arguments(&command, argc - first, argv + first);
    *action_out = command.action;
    if (report->errors > 0) {
        return COMMAND_USAGE;
    }
    if (command.action == COMMAND_HELP || command.action == COMMAND_VERSION) {
        return COMMAND_GOOD;
    }
    if (command_inspects(&command)) {
        *file_out = command.file;
        return COMMAND_GOOD;
    }
    if (command.file == NULL && first == argc && !command.has_listen) {
        command.file = COMMAND_FILE; /* the seed's usage, a bare port, reads no file */
        if (access(COMMAND_FILE, F_OK) != 0) {
            if (config->listen[0] == '\0') {
                config_say(report, "neither a port nor " COMMAND_FILE
                                   ": try vignetted 6001, or vignetted -h");
                return COMMAND_USAGE;
            }
            command.file = NULL;
        }
    }
    if (command.file != NULL) {
        *file_out = command.file;
        (void)config_read(config, command.file, report);
    }
    if (report->errors == 0) {
        (void)config_check(config, report);
    }
    return report->errors == 0 ? COMMAND_GOOD : COMMAND_CONFIG;
}
