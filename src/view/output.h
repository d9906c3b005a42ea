#ifndef VIEW_OUTPUT_H
#define VIEW_OUTPUT_H

/* Text and bytes on their way out: collected in a space, which is handed to a sink whenever it is
 * full. What writes JSON or msgpack writes here. Nothing can fail; what becomes of the bytes is up
 * to the sink. Called by the writers of this room and by http. */

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

#define OUTPUT_SPACE_MIN 64

/* Takes what was written so far; the bytes are void when it returns. */
typedef void output_sink(void *owner, struct bytes bytes);

/* Open, because it lives on a stack; only view/output.c touches the fields. */
struct output {
    struct space space;
    size_t used;
    output_sink *sink;
    void *owner;
};

/* space  at least OUTPUT_SPACE_MIN bytes; lent */
void output_init(struct output *output, struct space space, output_sink *sink, void *owner);

void output_put(struct output *output, struct bytes bytes);
void output_put_byte(struct output *output, char byte);
void output_put_text(struct output *output, const char *text);

/* Room for `size` <= OUTPUT_SPACE_MIN bytes in one piece, of which output_commit() takes the first
 * few. */
uint8_t *output_room(struct output *output, size_t size);
void output_commit(struct output *output, size_t size);

/* Hand over what is left. */
void output_flush(struct output *output);

#endif /* VIEW_OUTPUT_H */
