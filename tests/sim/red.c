#include "sim/red.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *command = "";

void red_command(const char *text)
{
    command = text;
    printf("%s\n", command);
    fflush(stdout);
}

void red(const char *invariant, const char *format, ...)
{
    va_list arguments;

    printf("red: %s: ", invariant);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n%s\n", command);
    fflush(stdout);
    exit(1);
}
