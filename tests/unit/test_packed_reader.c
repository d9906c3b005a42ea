/* What this file tests: msgpack bodies, packed by msgpack-c, split at every byte; and refusals. */

#include "view/packed_reader.h"

#include <msgpack.h>

#include <string.h>

#include "unit/test.h"

#define COUNT(array) (sizeof array / sizeof array[0])

static const uint8_t secret[16] = { 9 };

static int setup(void **state)
{
    static struct mem mem;

    mem = (struct mem){ 0 };
    *state = &mem;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(((const struct mem *)*state)->used_bytes, 0);
    return 0;
}

/* The sum of index * value over what was read, and how many updates there were. */
struct told {
    uint64_t sum;
    unsigned updates;
};

static enum read_event piece_read(struct packed_reader *reader, struct draft *draft,
                                  struct bytes rest, struct told *told)
{
    for (;;) {
        const enum read_event event = packed_reader_read(reader, &rest);
        struct block_room room;
        struct block block;

        if (event == READ_UPDATE) {
            told->updates++;
            while (draft_next_block(draft, &room, &block)) {
                for (unsigned i = 0; i < block.count; i++) {
                    told->sum +=
                        (block.number << 8 | block_offset(&block, i)) * block_value(&block, i);
                }
            }
        } else if (event != READ_BUSY) {
            return event;
        }
    }
}

static enum read_event read_split(struct mem *mem, enum packed_form form, struct bytes text,
                                  size_t split, struct told *told)
{
    struct draft draft;
    struct packed_reader *reader;
    enum read_event event;

    *told = (struct told){ 0 };
    draft_init(&draft, mem, secret);
    reader = packed_reader_create(form, &draft);
    assert_non_null(reader);
    event = piece_read(reader, &draft, (struct bytes){ text.data, split }, told);
    if (event == READ_MORE) {
        event = piece_read(reader, &draft, (struct bytes){ text.data + split, text.size - split },
                           told);
    }
    if (event == READ_MORE) {
        event = packed_reader_end(reader);
    }
    packed_reader_free(reader);
    draft_clear(&draft);
    return event;
}

static void key_pack(msgpack_packer *packer, const char *key)
{
    msgpack_pack_str(packer, strlen(key));
    msgpack_pack_str_body(packer, key, strlen(key));
}

static void test_packed_reader_takes_what_msgpack_c_packs(void **state)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    struct told told;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 3);
    key_pack(&packer, "a key of more than thirty-one bytes, so str 8");
    msgpack_pack_map(&packer, 20);
    for (uint64_t i = 0; i < 20; i++) {
        msgpack_pack_uint64(&packer, 1000 - i * 50);
        msgpack_pack_int64(&packer, (int64_t)i * 70000);
    }
    key_pack(&packer, "b");
    msgpack_pack_map(&packer, 0);
    key_pack(&packer, "c");
    msgpack_pack_map(&packer, 1);
    msgpack_pack_fix_int64(&packer, 7);
    msgpack_pack_fix_uint64(&packer, UINT64_C(1) << 60);
    for (size_t split = 0; split <= buffer.size; split++) {
        uint64_t sum = 7 * (UINT64_C(1) << 60);

        for (uint64_t i = 0; i < 20; i++) {
            sum += (1000 - i * 50) * i * 70000;
        }
        assert_int_equal(read_split((struct mem *)*state, PACKED_FORM_BULK,
                                    (struct bytes){ (const uint8_t *)buffer.data, buffer.size },
                                    split, &told),
                         READ_DONE);
        assert_int_equal(told.updates, 3);
        assert_int_equal(told.sum, sum);
    }
    msgpack_sbuffer_destroy(&buffer);
}

struct text {
    enum packed_form form;
    const char *data;
    size_t size;
};

/* Each is read to the same end, wherever it is cut in two. */
static void texts_check(struct mem *mem, const struct text *texts, size_t count,
                        enum read_event end)
{
    struct told told;

    for (size_t i = 0; i < count; i++) {
        const struct bytes bytes = { (const uint8_t *)texts[i].data, texts[i].size };

        for (size_t split = 0; split <= bytes.size; split++) {
            assert_int_equal(read_split(mem, texts[i].form, bytes, split, &told), end);
        }
    }
}

static void test_packed_reader_takes_small_documents(void **state)
{
    static const struct text table[] = {
        { PACKED_FORM_VECTOR, "\x80", 1 },
        { PACKED_FORM_VECTOR, "\x81\x01\x02", 3 },
        { PACKED_FORM_VECTOR,
          "\xdf\0\0\0\1\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\0\0\0\0\0\0\0\1", 23 },
        { PACKED_FORM_BULK, "\x80", 1 },
        { PACKED_FORM_BULK, "\x81\xa1\x61\x80", 4 },
        { PACKED_FORM_BULK, "\x81\xc4\x01\x61\x81\0\1", 7 },
        { PACKED_FORM_BULK, "\x81\xa1\x61\x80\x80\x81\xa1\x62\x81\0\1", 11 },
    };

    texts_check((struct mem *)*state, table, COUNT(table), READ_DONE);
}

static void test_packed_reader_refuses_the_rest(void **state)
{
    static const struct text table[] = {
        { PACKED_FORM_VECTOR, "", 0 },
        { PACKED_FORM_VECTOR, "\x80\x80", 2 },
        { PACKED_FORM_BULK, "\x81\xa1\x61\x80\x81\xa1\x61\x80", 8 }, /* the same key */
        { PACKED_FORM_BULK, "\x80\x90", 2 },
        { PACKED_FORM_BULK, "\x80\x81", 2 },
        { PACKED_FORM_VECTOR, "\xc1", 1 },
        { PACKED_FORM_VECTOR, "\xc0", 1 },
        { PACKED_FORM_VECTOR, "\x90", 1 },
        { PACKED_FORM_VECTOR, "\x07", 1 },
        { PACKED_FORM_VECTOR, "\x80\x80", 2 },
        { PACKED_FORM_VECTOR, "\x81\x01", 2 },
        { PACKED_FORM_VECTOR, "\x81\x01\xff", 3 },
        { PACKED_FORM_VECTOR, "\x81\xff\x01", 3 },
        { PACKED_FORM_VECTOR, "\x81\x01\xd1\xff\xff", 5 },
        { PACKED_FORM_VECTOR, "\x81\x01\xca\x3f\x80\0\0", 7 },
        { PACKED_FORM_VECTOR, "\x81\x01\xc2", 3 },
        { PACKED_FORM_VECTOR, "\x81\x01\xa1\x31", 4 },
        { PACKED_FORM_VECTOR, "\x81\xa1\x31\x01", 4 },
        { PACKED_FORM_VECTOR, "\x82\x01\x01\x01\x01", 5 },
        { PACKED_FORM_VECTOR, "\x83\x01\x01\x02\x01\x01\x01", 7 },
        { PACKED_FORM_VECTOR, "\xdf\xff\xff\xff\xff\x01\x01", 7 },
        { PACKED_FORM_BULK, "\x81\xa0\x80", 3 },
        { PACKED_FORM_BULK, "\x81\xa1\0\x80", 4 },
        { PACKED_FORM_BULK, "\x81\xa1\xff\x80", 4 },
        { PACKED_FORM_BULK, "\x81\x01\x80", 3 },
        { PACKED_FORM_BULK, "\x81\xa1\x61\x90", 4 },
        { PACKED_FORM_BULK, "\x81\xda\x01\0", 4 },
        { PACKED_FORM_BULK, "\x82\xa1\x61\x80\xa1\x61\x80", 7 },
    };

    texts_check((struct mem *)*state, table, COUNT(table), READ_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packed_reader_takes_what_msgpack_c_packs),
        TEST(test_packed_reader_takes_small_documents),
        TEST(test_packed_reader_refuses_the_rest),
    };

    return cmocka_run_group_tests_name("packed_reader", tests, NULL, NULL);
}
