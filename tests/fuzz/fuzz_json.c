/* Bodies as strangers send them, through both readers: the first two bytes choose the
 * form and where the text is cut, the rest is the body. Whole and cut must come to the same. */

#include "view/json_reader.h"
#include "view/packed_reader.h"

#include <assert.h>
#include <stdlib.h>

#define FORMS 5 /* three of JSON, two of msgpack */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct mem mem;
    struct draft draft;
    struct json_reader *json;
    struct packed_reader *packed;
    uint64_t told; /* a digest of all that was read */
};

static void tell(struct reading *reading, uint64_t number)
{
    reading->told = (reading->told ^ number) * UINT64_C(0x9E3779B97F4A7C15);
}

static void tell_bytes(struct reading *reading, struct bytes bytes)
{
    tell(reading, bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        tell(reading, bytes.data[i]);
    }
}

static void update_take(struct reading *reading)
{
    struct block_room room;
    struct block block;

    tell_bytes(reading, draft_key(&reading->draft));
    while (draft_next_block(&reading->draft, &room, &block)) {
        block_audit(&block);
        for (unsigned i = 0; i < block.count; i++) {
            tell(reading, block.number << 8 | block_offset(&block, i));
            tell(reading, block_value(&block, i));
        }
    }
}

static enum read_event piece_read(struct reading *reading, struct bytes rest)
{
    for (;;) {
        const enum read_event event = reading->json != NULL
                                          ? json_reader_read(reading->json, &rest)
                                          : packed_reader_read(reading->packed, &rest);

        if (event == READ_UPDATE) {
            update_take(reading);
        } else if (event != READ_BUSY) {
            return event;
        }
    }
}

static uint64_t body_read(unsigned form, struct bytes body, size_t cut)
{
    static const uint8_t secret[16] = { 7 };
    struct reading reading = { .told = 1 };
    enum read_event event;

    draft_init(&reading.draft, &reading.mem, secret);
    if (form < 3) {
        reading.json = json_reader_create((enum json_form)form, &reading.draft);
    } else {
        reading.packed = packed_reader_create((enum packed_form)(form - 3), &reading.draft);
    }
    event = piece_read(&reading, (struct bytes){ body.data, cut });
    if (event == READ_MORE) {
        event = piece_read(&reading, (struct bytes){ body.data + cut, body.size - cut });
    }
    if (event == READ_MORE) {
        event = reading.json != NULL ? json_reader_end(reading.json)
                                     : packed_reader_end(reading.packed);
    }
    tell(&reading, event);
    if (event == READ_REFUSED) {
        const struct draft_problem *problem = draft_problem(&reading.draft);

        tell_bytes(&reading, (struct bytes){ problem->pointer, problem->pointer_size });
        tell(&reading, problem->line);
    }
    json_reader_free(reading.json);
    packed_reader_free(reading.packed);
    draft_clear(&reading.draft);
    if (reading.mem.used_bytes != 0) {
        abort();
    }
    return reading.told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes body;
    size_t cut;

    if (size < 2) {
        return 0;
    }
    body = (struct bytes){ data + 2, size - 2 };
    cut = body.size == 0 ? 0 : data[1] % (body.size + 1);
    if (body_read(data[0] % FORMS, body, 0) != body_read(data[0] % FORMS, body, cut)) {
        abort();
    }
    return 0;
}
