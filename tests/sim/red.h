#ifndef SIM_RED_H
#define SIM_RED_H

/* How a run ends that must not go on. */

#include <stdbool.h>
#include <stdint.h>

/* The complete command of this run: printed first, and last where something is red. The text lives
 * as long as the program. */
void red_command(const char *command);

/* Print which invariant is broken and how, then the command, and exit with 1. */
void red(const char *invariant, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif /* SIM_RED_H */
