#include "sim/trace.h"

#include <inttypes.h>
#include <stdio.h>

static bool has_begun;

void trace_begin(void)
{
    has_begun = true;
}

static void address_print(const char *before, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    const size_t size = address_to_text(address, text);

    printf("%s%.*s", before, (int)size, text);
}

static void event_print(void *owner, const struct trace_event *event)
{
    const struct machine *machine = owner;
    const struct trace_names names = trace_names_of((enum trace_kind)event->kind);
    const uint64_t world_us = event->mono_us - machine->mono_offset_us;

    printf("%" PRIu64 ".%06" PRIu64, world_us / WORLD_S, world_us % WORLD_S);
    address_print(" ", &machine->address);
    printf(" %s", names.event);
    if (event->peer.port != 0) {
        address_print(" address=", &event->peer);
    }
    if (event->about != NULL) {
        printf(" %s=%s", names.about, event->about);
    }
    if (names.number[0] != '\0') {
        printf(" %s=%" PRIu64, names.number, event->number);
    }
    printf("\n");
}

struct trace_listener trace_listener_of(struct machine *machine)
{
    return has_begun ? (struct trace_listener){ event_print, machine }
                     : (struct trace_listener){ .tell = NULL };
}
