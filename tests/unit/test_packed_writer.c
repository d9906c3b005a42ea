/* What this file tests: msgpack as it is written, read back by the reader of bodies, through a
 * space that is emptied at every place. */

#include "view/packed_reader.h"
#include "view/packed_writer.h"

#include <string.h>

#include "unit/test.h"

struct sink {
    uint8_t data[4096];
    size_t size;
};

static void take(void *owner, struct bytes bytes)
{
    struct sink *sink = (struct sink *)owner;

    assert_true(bytes.size <= sizeof sink->data - sink->size);
    memcpy(sink->data + sink->size, bytes.data, bytes.size);
    sink->size += bytes.size;
}

static const uint64_t values[] = { 1, 0, 128, 65536, UINT64_MAX };
static const uint8_t offsets[] = { 0, 1, 2, 100, 255 };

static void document_put(struct output *output, struct bytes key)
{
    const struct block block = {
        .number = UINT64_MAX >> 8, .values = values, .offsets = offsets, .count = 5, .width = 8
    };

    packed_map(output, 2);
    packed_text(output, key);
    packed_map(output, 4);
    packed_elements(output, &block);
    packed_name(output, "none");
    packed_map(output, 0);
}

static void test_packed_writer_writes_what_the_reader_reads(void **state)
{
    static const uint8_t secret[16] = { 1 };
    uint8_t text[200];
    const struct bytes key = { text, sizeof text };

    (void)state;
    memset(text, 'k', sizeof text);
    for (size_t size = OUTPUT_SPACE_MIN; size < 300; size++) {
        struct mem mem = { 0 };
        struct sink sink = { .size = 0 };
        struct output output;
        struct draft draft;
        struct packed_reader *reader;
        struct block_room room;
        struct block block;
        struct bytes rest;
        uint8_t space[300];

        output_init(&output, (struct space){ space, size }, take, &sink);
        document_put(&output, key);
        output_flush(&output);
        rest = (struct bytes){ sink.data, sink.size };
        draft_init(&draft, &mem, secret);
        reader = packed_reader_create(PACKED_FORM_BULK, &draft);
        assert_int_equal(packed_reader_read(reader, &rest), READ_UPDATE);
        assert_int_equal(draft_key(&draft).size, sizeof text);
        assert_true(draft_next_block(&draft, &room, &block));
        assert_int_equal(block.count, 4);
        assert_true(block.number == UINT64_MAX >> 8);
        for (unsigned i = 0, j = 0; j < 5; j++) {
            if (values[j] != 0) {
                assert_int_equal(block_offset(&block, i), offsets[j]);
                assert_true(block_value(&block, i) == values[j]);
                i++;
            }
        }
        assert_int_equal(packed_reader_read(reader, &rest), READ_UPDATE);
        assert_int_equal(draft_count(&draft), 0);
        assert_int_equal(packed_reader_end(reader), READ_DONE);
        packed_reader_free(reader);
        draft_clear(&draft);
        assert_int_equal(mem.used_bytes, 0);
    }
}

static void test_packed_writer_writes_digests_as_hex(void **state)
{
    static const uint8_t wanted[] = "\x91\xb0"
                                    "0000000000001234";
    struct sink sink = { .size = 0 };
    struct output output;
    uint8_t space[OUTPUT_SPACE_MIN];

    (void)state;
    output_init(&output, (struct space){ space, sizeof space }, take, &sink);
    packed_array(&output, 1);
    packed_hex64(&output, 0x1234);
    output_flush(&output);
    assert_int_equal(sink.size, sizeof wanted - 1);
    assert_memory_equal(sink.data, wanted, sink.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_writer_writes_what_the_reader_reads),
        cmocka_unit_test(test_packed_writer_writes_digests_as_hex),
    };

    return cmocka_run_group_tests_name("packed_writer", tests, NULL, NULL);
}
