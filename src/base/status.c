#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status fault_set(struct fault *why, enum status code, const char *format, ...)
{
    va_list arguments;

    assert(code > STATUS_OK && code < STATUS_COUNT);
    why->code = code;
    va_start(arguments, format);
    (void)vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return code;
}

enum status fault_prefix(struct fault *why, const char *format, ...)
{
    char front[sizeof why->text];
    va_list arguments;
    int written;
    size_t size;
    size_t tail;

    va_start(arguments, format);
    written = vsnprintf(front, sizeof front, format, arguments);
    va_end(arguments);
    size = written < 0 ? 0 : (size_t)written >= sizeof front ? sizeof front - 1 : (size_t)written;
    tail = sizeof why->text - 1 - size; /* what is left for the old text, its end cut off */
    memmove(why->text + size, why->text, tail);
    memcpy(why->text, front, size);
    why->text[sizeof why->text - 1] = '\0';
    return why->code;
}

/* A switch, not an array: pointers would be relocated, which is writable data to the linker. */
const char *status_text(enum status code)
{
    switch (code) {
#define X(name, text) \
    case name: return text;
        STATUS_LIST(X)
#undef X
    case STATUS_COUNT: break;
    }
    assert(code < STATUS_COUNT);
    return "";
}
