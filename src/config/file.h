#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

/* Reading configuration files: `name value` or `name = value` a line, # comments, quotes, and
 * `include GLOB`. Called by config/command.c. A line is read to its end before the next one, and
 * every error of every file is reported; see vignette.conf(5). */

#include "config/options.h"

#include <stdbool.h>

#define CONFIG_LINE_MAX          4095      /* bytes; no setting needs more */
#define CONFIG_FILE_BYTES_MAX    (1 << 24) /* a larger file is not a configuration */
#define CONFIG_INCLUDE_DEPTH_MAX 8         /* files that include one another */

/* Take all settings of a file. False: errors were reported; the config is then not to be used. */
bool config_read(struct config *config, const char *path, struct config_report *report);

#endif /* CONFIG_FILE_H */
