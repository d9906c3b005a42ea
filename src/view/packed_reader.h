#ifndef VIEW_PACKED_READER_H
#define VIEW_PACKED_READER_H

/* Reading application/msgpack bodies: the same documents as view/json_reader.h, resumable,
 * without recursion, with the same limits and the same draft. Maps of indices take unsigned
 * integers of any width (signed ones when not negative); keys are str or bin.
 *
 * Called by http like json_reader. Source: the MessagePack specification. */

#include "base/bytes.h"
#include "view/draft.h"

enum packed_form {
    PACKED_FORM_VECTOR, /* {0: 3}: one READ_UPDATE without a key */
    PACKED_FORM_BULK    /* {"foo": {0: 3}}: a READ_UPDATE each; several such maps may follow each
                         * other, for who does not know beforehand how many keys there are */
};

struct packed_reader; /* opaque */

/* As json_reader's. */
struct packed_reader *packed_reader_create(enum packed_form form, struct draft *draft);
void packed_reader_free(struct packed_reader *reader);
void packed_reader_fill(struct packed_reader *reader, struct draft *draft);
enum read_event packed_reader_read(struct packed_reader *reader, struct bytes *rest);
enum read_event packed_reader_end(struct packed_reader *reader);

#endif /* VIEW_PACKED_READER_H */
