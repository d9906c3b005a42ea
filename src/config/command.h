#ifndef CONFIG_COMMAND_H
#define CONFIG_COMMAND_H

/* The command line of vignetted(8), and from it the effective settings. Called by main, at the
 * start and again at each SIGHUP with the same arguments. */

#include "config/options.h"

#include <stdbool.h>

enum command_action {
    COMMAND_RUN,
    COMMAND_TEST,    /* -t: check and say */
    COMMAND_SHOW,    /* --show-config */
    COMMAND_SALVAGE, /* --salvage: run, whatever is damaged in the data directory */
    COMMAND_CHECK,   /* --check DIR; these three read no configuration, and data-dir is DIR */
    COMMAND_EXPORT,  /* --export DIR */
    COMMAND_IMPORT,  /* --import DIR FILE */
    COMMAND_HELP,    /* -h */
    COMMAND_VERSION  /* -V */
};

enum command_result {
    COMMAND_GOOD,
    COMMAND_USAGE, /* exit status 64 */
    COMMAND_CONFIG /* exit status 78 */
};

/* Read the arguments and the file they lead to. `config` is initialised here; clear it whatever
 * the result. Errors are reported, all of them.
 *
 * file_out   the configuration file that was read, NULL when none was; of COMMAND_IMPORT the FILE.
 *            Lent from argv or static */
enum command_result command_read(int argc, char *const *argv, struct config *config,
                                 enum command_action *action_out, const char **file_out,
                                 struct config_report *report);

/* The text of -h. */
extern const char command_help[];

#endif /* CONFIG_COMMAND_H */
