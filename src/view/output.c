#include "view/output.h"

#include <assert.h>
#include <string.h>

void output_init(struct output *output, struct space space, output_sink *sink, void *owner)
{
    assert(space.size >= OUTPUT_SPACE_MIN);
    *output = (struct output){ .space = space, .sink = sink, .owner = owner };
}

void output_flush(struct output *output)
{
    if (output->used > 0) {
        output->sink(output->owner, (struct bytes){ output->space.data, output->used });
        output->used = 0;
    }
}

uint8_t *output_room(struct output *output, size_t size)
{
    assert(size <= OUTPUT_SPACE_MIN);
    if (size > output->space.size - output->used) {
        output_flush(output);
    }
    return output->space.data + output->used;
}

void output_commit(struct output *output, size_t size)
{
    output->used += size;
}

void output_put(struct output *output, struct bytes bytes)
{
    while (bytes.size > 0) {
        uint8_t *to = output_room(output, 1);
        const size_t room = output->space.size - output->used;
        const size_t size = bytes.size < room ? bytes.size : room;

        memcpy(to, bytes.data, size);
        output->used += size;
        bytes.data += size;
        bytes.size -= size;
    }
}

void output_put_byte(struct output *output, char byte)
{
    *output_room(output, 1) = (uint8_t)byte;
    output->used++;
}

void output_put_text(struct output *output, const char *text)
{
    output_put(output, (struct bytes){ (const uint8_t *)text, strlen(text) });
}
