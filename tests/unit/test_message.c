/* What this file tests: what is taken as a message and what is refused with which reason, by
 * example, the frames of two prototypes among them. */

#include "base/deadline.h"
#include "base/random.h"
#include "base/utf8.h"
#include "wire/message.h"
#include "wire/packed.h"

#include <msgpack.h>

#include <stdlib.h>
#include <string.h>

#include "unit/hex.h"
#include "unit/test.h"

#define HEX_MAX 4096

static enum wire_drop decode_hex(const char *hex, struct message *message)
{
    uint8_t bytes[HEX_MAX];
    const struct bytes datagram = hex_bytes(hex, bytes, sizeof bytes);

    return message_decode(datagram, message);
}

static void test_message_takes_the_frames_of_both_prototypes(void **state)
{
    static const struct {
        const char *hex;
        const char *key;
        unsigned pairs;
        uint64_t index; /* of the first element */
        uint64_t value;
        uint8_t ttl;
        bool has_ttl;
        bool full;
    } frames[] = {
        { "83a36b6579a36e3a25a6766563746f7280a374746c32", "n:%", 0, 0, 0, 50, true, false },
        { "83a36b6579a3686c6ca6766563746f7281cd031105a374746c31", "hll", 1, 785, 5, 49, true,
          false },
        { "83a36b6579b06e3a3132372e302e302e313a37303032a6766563746f728100ce01c899a3a374746c31",
          "n:127.0.0.1:7002", 1, 0, 29923747, 49, true, false },
        { "83a36b6579a3666f6fa6766563746f72810307a374746c09", "foo", 1, 3, 7, 9, true, false },
        { "83a36b6579b16e3a3132372e302e302e313a3230303030a6766563746f728100cf000001a207adf9d6"
          "a466756c6cc3",
          "n:127.0.0.1:20000", 1, 0, 0x1a207adf9d6, 50, false, true },
        { "82a36b6579a3666f6fa6766563746f728200050307", "foo", 2, 0, 5, 50, false, false },
        { "84a36b6579a3666f6fa6766563746f72810005a466756c6cc3a374746c09", "foo", 1, 0, 5, 9, true,
          true },
        { "83a36b6579da0003666f6fa6766563746f72810005a374746c00", "foo", 1, 0, 5, 0, true, false },
        { "83a36b6579d903666f6fa6766563746f72810005a374746c00", "foo", 1, 0, 5, 0, true, false },
        { "83a36b6579c403666f6fa6766563746f72810005a374746c00", "foo", 1, 0, 5, 0, true, false },
        { "81a36b6579a3666f6f", "foo", 0, 0, 0, 50, false, false },
        { "83a374746cccffa6766563746f72de0001cd0000cf0000000000000005a36b6579a3666f6f", "foo", 1, 0,
          5, 50, true, false },
        { "82a36b6579a3666f6fa6766563746f7281cfffffffffffffffffcfffffffffffffffff", "foo", 1,
          UINT64_MAX, UINT64_MAX, 50, false, false },
        { "82a36b6579a3666f6fa6766563746f7281d003d1000a", "foo", 1, 3, 10, 50, false, false },
        { "83a36b6579a3666f6fa178c0a3746f6f93c0c3ca00000000", "foo", 0, 0, 0, 50, false, false },
        { "8305c0c07fa36b6579a3666f6f", "foo", 0, 0, 0, 50, false, false },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        uint8_t bytes[HEX_MAX];
        struct message message;
        struct block_room room;
        struct block block;

        assert_int_equal(message_decode(hex_bytes(frames[i].hex, bytes, sizeof bytes), &message),
                         WIRE_OK);
        assert_int_equal(message.plain.key.size, strlen(frames[i].key));
        assert_memory_equal(message.plain.key.data, frames[i].key, message.plain.key.size);
        assert_int_equal(message.plain.elements.left, frames[i].pairs);
        assert_int_equal(message.ttl, frames[i].ttl);
        assert_int_equal(message.has_ttl, frames[i].has_ttl);
        assert_int_equal(message.plain.full, frames[i].full);
        assert_false(message.extended);
        assert_int_equal(elements_next(&message.plain.elements, &room, &block),
                         frames[i].pairs > 0);
        if (frames[i].pairs > 0) {
            assert_true(block_get(&block, frames[i].index & 255) == frames[i].value);
            assert_true(block.number == frames[i].index >> 8);
        }
    }
}

#define KEY    "a36b6579a3666f6f "
#define VECTOR "a6766563746f72 "
#define X      "84a36b6579a0a6766563746f7280a374746c00a178 "

static const struct {
    enum wire_drop drop;
    const char *hex;
} refusals[] = {
    { WIRE_TRUNCATED, "" },
    { WIRE_TRUNCATED, "81" },
    { WIRE_TRUNCATED, "81a36b6579a3666f" },
    { WIRE_TRUNCATED, "82" KEY },
    { WIRE_TRUNCATED, "82" KEY VECTOR "8203" },
    { WIRE_TRUNCATED, "82" KEY VECTOR "dfffffffff 0101" },
    { WIRE_TRUNCATED, "82" KEY "a161 ddffffffff" },
    { WIRE_TRUNCATED, "82" KEY "a161 c7" },
    { WIRE_TRUNCATED, "de" },
    { WIRE_NOT_A_MAP, "c0" },
    { WIRE_NOT_A_MAP, "c1" },
    { WIRE_NOT_A_MAP, "93010203" },
    { WIRE_NOT_A_MAP, "05" },
    { WIRE_NOT_A_MAP, "a3666f6f" },
    { WIRE_TRAILING, "81" KEY "00" },
    { WIRE_TRAILING, "81" KEY "c1" },
    { WIRE_NO_KEY, "80" },
    { WIRE_NO_KEY, "82a3666f6f80a466756c6cc3" },
    { WIRE_NO_KEY, "81a178 80" },
    { WIRE_BAD_KEY, "81a36b6579a0" },
    { WIRE_BAD_KEY, "82a36b6579a0a178c3" },
    { WIRE_BAD_KEY, "81a36b6579a3660066" },
    { WIRE_BAD_KEY, "81a36b6579a1ff" },
    { WIRE_BAD_KEY, "83a36b6579a0" VECTOR "810101a17880" },
    { WIRE_BAD_TYPE, "81a36b6579c0" },
    { WIRE_BAD_TYPE, "81a36b657905" },
    { WIRE_BAD_TYPE, "81a36b657991a161" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "c0" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "90" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "81a13005" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "8105a130" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "8105c0" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "8105c3" },
    { WIRE_BAD_TYPE, "82" KEY VECTOR "810580" },
    { WIRE_BAD_TYPE, "82" KEY "a374746cc0" },
    { WIRE_BAD_TYPE, "82" KEY "a374746ca135" },
    { WIRE_BAD_TYPE, "82" KEY "a466756c6c01" },
    { WIRE_BAD_TYPE, "82" KEY "a466756c6cc0" },
    { WIRE_BAD_TYPE, "82" KEY "a161c1" },
    { WIRE_BAD_NUMBER, "82" KEY VECTOR "810aca40000000" },
    { WIRE_BAD_NUMBER, "82" KEY VECTOR "81ff05" },
    { WIRE_BAD_NUMBER, "82" KEY VECTOR "8105d3ffffffffffffffff" },
    { WIRE_BAD_NUMBER, "82" KEY VECTOR "8105d080" },
    { WIRE_BAD_NUMBER, "82" KEY "a374746cff" },
    { WIRE_BAD_NUMBER, "82" KEY "a374746ccb4004000000000000" },
    { WIRE_TWICE, "82" KEY KEY },
    { WIRE_TWICE, "83" KEY VECTOR "80" VECTOR "80" },
    { WIRE_TWICE, "83" KEY "a374746c01a374746c01" },
    { WIRE_TWICE, "83" KEY "a466756c6cc3a466756c6cc3" },
    { WIRE_TWICE, "83" KEY "a17880a17880" },
    { WIRE_TWICE, X "82a16901a16901" },
    { WIRE_TWICE, X "82a16190a16190" },
    { WIRE_BAD_TYPE, X "81a169a0" },
    { WIRE_BAD_NUMBER, X "81a169cf0000000100000000" },
    { WIRE_BAD_NUMBER, X "81a164cd0100" },
    { WIRE_BAD_NUMBER, X "81a164ff" },
    { WIRE_BAD_ITEM, X "81a174c4050102030405" },
    { WIRE_BAD_ITEM, X "81a172c40701020304050607" },
    { WIRE_BAD_TYPE, X "81a174a6010203040506" },
    { WIRE_BAD_TYPE, X "81a16105" },
    { WIRE_BAD_NUMBER, X "81a16191cf0000000100000000" },
    { WIRE_BAD_ITEM, X "81a177c40701020304050607" },
    { WIRE_BAD_TYPE, X "81a17790" },
    { WIRE_BAD_KEY, X "81a170a0" },
    { WIRE_BAD_KEY, X "81a170a1ff" },
    { WIRE_BAD_TYPE, X "81a17005" },
    { WIRE_BAD_TYPE, X "81a16291a0" },
    { WIRE_BAD_ITEM, X "81a1629191a161" },
    { WIRE_BAD_TYPE, X "81a1629194a16180c3c3" },
    { WIRE_BAD_TYPE, X "81a1629194a161800505" },
    { WIRE_BAD_NUMBER, X "81a1629194a16180c2ff" },
    { WIRE_BAD_ITEM, X "81a1629195a16180c20505" },
    { WIRE_BAD_ITEM, X "81a1629194c4070102030405060780c205" },
    { WIRE_BAD_ITEM, X "81a1629194c409010203040506070809 80c205" },
    { WIRE_BAD_ITEM, X "81a1629194c40b0102030405060708090a0b 80c205" },
    { WIRE_BAD_ITEM, X "81a1629194c40d0102030405060708 0062c901 00 80c205" },
    { WIRE_BAD_ITEM, X "81a1629194c40c0102030405060708 1fc1f000 80c205" }, /* of the year 1999 */
    { WIRE_BAD_ITEM, X "81a1629194c40c0102030405060708 a089bbfb 80c205" }, /* of 10000 */
    { WIRE_BAD_ITEM, X "81a1629194c40c0102030405060708 0062c901 810005c205" },
    { WIRE_BAD_ITEM, X "81a1629193c40c0102030405060708 0062c901 80c2" },
    { WIRE_BAD_ITEM, X "81a1629194c4080102030405060708 80c200" },
    { WIRE_BAD_ITEM, X "81a1629194c4080102030405060708 810005c205" },
    { WIRE_BAD_ITEM, X "81a1629194c4080102030405060708 810000c205" },
    { WIRE_BAD_ITEM, X "81a1629194c4080102030405060708 c403010005c205" },
    { WIRE_BAD_ITEM, X "81a1629193c4080102030405060708 80c2" },
    { WIRE_BAD_ITEM, X "81a1629192c4080102030405060708 80" },
    { WIRE_BAD_KEY, X "81a1629192a080" },
    { WIRE_BAD_TYPE, X "81a1629192a16190" },
    { WIRE_BAD_NUMBER, X "81a1629192a1618101ff" },
    { WIRE_BAD_ITEM, X "81a1629192a161c400" },
    { WIRE_BAD_ITEM, X "81a1629192a161c403010000" },
    { WIRE_BAD_TYPE, X "81a1629193a1618001" },
    { WIRE_BAD_NUMBER, X "81a14c919402000ac400" },
    { WIRE_BAD_NUMBER, X "81a14c9194000011c400" },
    { WIRE_BAD_NUMBER, X "81a14c9194000101c400" },
    { WIRE_BAD_ITEM, X "81a14c91930000c400" },
    { WIRE_BAD_ITEM, X "81a14c9194000000c40101" },
    { WIRE_BAD_ITEM, X "81a14c9194000000c418 0200000000000000 00000000 0100000000000000 00000000" },
    { WIRE_BAD_ITEM, X "81a14c9194000001c40c 0000000000000010 00000000" },
    { WIRE_BAD_NUMBER, X "81a1769194000010c400" },
    { WIRE_BAD_ITEM, X "81a1769194000000c400" },
    { WIRE_BAD_TYPE, X "81a14291940000 00c400" },
    { WIRE_BAD_ITEM, X "81a14291940000c2c40100" },
    { WIRE_BAD_TYPE, X "81a14291950000c2c400c3" },
    { WIRE_BAD_NUMBER, X "81a14291950000c2c400ff" },
    { WIRE_BAD_ITEM, X "81a14291960000c2c4000505" },
    { WIRE_BAD_ITEM, X "81a14c9195000000c40005" },
    { WIRE_BAD_ITEM, X "81a14291940000c2c406 8000 00000000" },
    { WIRE_BAD_ITEM, X "81a14291940000c2c40c 808080808080808001 00000000" },
};

static void test_message_refuses_with_the_reason(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct message message;
        const enum wire_drop drop = decode_hex(refusals[i].hex, &message);

        if (drop != refusals[i].drop) {
            fail_msg("%s: %s, not %s", refusals[i].hex, wire_drop_label(drop),
                     wire_drop_label(refusals[i].drop));
        }
    }
}

static void test_message_takes_keys_of_1_to_255_bytes(void **state)
{
    (void)state;
    for (unsigned size = 0; size < 300; size++) {
        uint8_t frame[320] = { 0x81, 0xa3, 'k', 'e', 'y', 0xda };
        struct message message;
        enum wire_drop drop;

        frame[6] = (uint8_t)(size >> 8);
        frame[7] = (uint8_t)size;
        memset(frame + 8, 'k', size);
        drop = message_decode((struct bytes){ frame, 8 + (size_t)size }, &message);
        assert_int_equal(drop, size >= 1 && size <= WIRE_KEY_BYTES_MAX ? WIRE_OK : WIRE_BAD_KEY);
    }
}

static void test_message_takes_containers_32_deep_and_no_deeper(void **state)
{
    (void)state;
    for (unsigned depth = 1; depth < 100; depth++) {
        uint8_t frame[128] = { 0x82, 0xa3, 'k', 'e', 'y', 0xa1, 'k', 0xa1, 'z' };
        struct message message;
        const enum wire_drop expected = depth + 1 <= 32 ? WIRE_OK : WIRE_TOO_DEEP;

        memset(frame + 9, 0x91, depth);
        frame[9 + depth] = 0xc0;
        assert_int_equal(message_decode((struct bytes){ frame, 10 + (size_t)depth }, &message),
                         expected);
        /* Beside what is deep there may be as much as one likes. */
        frame[9] = 0x92;
        frame[10 + depth] = 0xc0;
        assert_int_equal(message_decode((struct bytes){ frame, 11 + (size_t)depth }, &message),
                         expected);
    }
}

static void test_message_takes_x_in_no_more_than_its_limit(void **state)
{
    static uint8_t frame[2048] = {
        0x83, 0xa3, 'k', 'e', 'y', 0xa0, 0xa1, 'x', 0x80, 0xa1, 'z', 0xc5
    };
    const size_t head = 14;
    struct message message;

    (void)state;
    for (size_t size = WIRE_EXTENDED_BYTES_MAX - 3; size < WIRE_EXTENDED_BYTES_MAX + 3; size++) {
        frame[12] = (uint8_t)((size - head) >> 8);
        frame[13] = (uint8_t)(size - head);
        assert_int_equal(message_decode((struct bytes){ frame, size }, &message),
                         size <= WIRE_EXTENDED_BYTES_MAX ? WIRE_OK : WIRE_TOO_LONG);
    }
}

static void test_message_refuses_every_beginning_of_a_valid_frame(void **state)
{
    static const char *const frames[] = {
        "84a36b6579a3666f6fa6766563746f72810005a466756c6cc3a374746c09",
        "83a36b6579a3666f6fa6766563746f7283cd031105 00cf000001a207adf9d6 ce0001000005 a374746c31",
        "83" KEY "a161 c70301020304 a16293ca0000000081c0c3d40102",
        X "86 a16905 a172c4080102030405060708 a16193010203 a177c4080102030405060708"
          "a1629292a161810102 93a162c403010001c3"
          "a14c9194000000c40c010000000000000005000000",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        uint8_t bytes[HEX_MAX];
        const struct bytes frame = hex_bytes(frames[i], bytes, sizeof bytes);
        struct message message;

        assert_int_equal(message_decode(frame, &message), WIRE_OK);
        for (size_t size = 0; size < frame.size; size++) {
            uint8_t *const copy = malloc(size + 1);

            assert_non_null(copy);
            memcpy(copy + 1, frame.data, size);
            if (message_decode((struct bytes){ copy + 1, size }, &message) != WIRE_TRUNCATED) {
                fail_msg("frame %u: taken at %zu bytes", i, size);
            }
            free(copy);
        }
    }
}

/* One block as a test expects it. */
struct expected {
    uint64_t number;
    unsigned count;
    uint64_t first; /* offset */
    uint64_t value; /* of the last */
};

static void assert_blocks(const char *hex, const struct expected *expected, unsigned blocks)
{
    uint8_t bytes[HEX_MAX];
    struct message message;
    struct elements elements;
    struct block_room room;
    struct block block;

    assert_int_equal(message_decode(hex_bytes(hex, bytes, sizeof bytes), &message), WIRE_OK);
    for (unsigned walk = 0; walk < 2; walk++) {
        elements = message.plain.elements;
        for (unsigned i = 0; i < blocks; i++) {
            assert_true(elements_next(&elements, &room, &block));
            block_audit(&block);
            assert_true(block.number == expected[i].number);
            assert_int_equal(block.count, expected[i].count);
            assert_true(block_offset(&block, 0) == expected[i].first);
            assert_true(block_value(&block, block.count - 1U) == expected[i].value);
        }
        assert_false(elements_next(&elements, &room, &block));
    }
}

#define MOST   "cfffffffffffffffff"
#define BEFORE "cffffffffffffffffe"
#define LAST   UINT64_C(0xffffffffffffff) /* block */

static void test_elements_next_gives_each_block_once_in_whatever_order_pairs_come(void **state)
{
    (void)state;
    /* 1, 5, 2, 2 again, 6 (but 0), 256, 0, 9 */
    assert_blocks("82" KEY VECTOR "88 0101 0501 0203 0204 0600 cd010005 0001 0907",
                  (const struct expected[]){ { 0, 5, 0, 7 }, { 1, 1, 0, 5 } }, 2);
    /* two blocks in turns */
    assert_blocks("82" KEY VECTOR "86 cd010001 0001 cd010102 0102 cd010203 0203",
                  (const struct expected[]){ { 0, 3, 0, 3 }, { 1, 3, 0, 3 } }, 2);
    /* the same index again, in order otherwise; the larger one first and last */
    assert_blocks("82" KEY VECTOR "84 0105 0101 0201 0209",
                  (const struct expected[]){ { 0, 2, 1, 9 } }, 1);
    /* nothing but zeros, falling */
    assert_blocks("82" KEY VECTOR "82 0100 0000", NULL, 0);
    /* falling from the last index there is */
    assert_blocks("82" KEY VECTOR "82" MOST "01" BEFORE "02",
                  (const struct expected[]){ { LAST, 2, 254, 1 } }, 1);
    assert_blocks("82" KEY VECTOR "83" MOST "01" BEFORE "02 cffffffffffffffffd03",
                  (const struct expected[]){ { LAST, 3, 253, 1 } }, 1);
    assert_blocks("82" KEY VECTOR "83" MOST "01" MOST "03" MOST "02",
                  (const struct expected[]){ { LAST, 1, 255, 3 } }, 1);
    assert_blocks("82" KEY VECTOR "83" MOST "01 0002" MOST "03",
                  (const struct expected[]){ { 0, 1, 0, 2 }, { LAST, 1, 255, 3 } }, 2);
}

/* What 65,507 bytes can hold of pairs in random order, through message_decode() and the cursor. */
static void test_elements_next_sorts_the_largest_datagram(void **state)
{
    static const unsigned widths[] = { 1, 3, 5, 9 };
    uint8_t *const frame = calloc(1, WIRE_DATAGRAM_BYTES_MAX + 1);
    struct random random;

    (void)state;
    assert_non_null(frame);
    random_seed(&random, 5, 1);
    for (unsigned form = 0; form < 4; form++) {
        const unsigned width = widths[form];
        const unsigned pairs = (WIRE_DATAGRAM_BYTES_MAX - 20) / (width + 1);
        uint8_t *to = frame;
        struct message message;
        struct block_room room;
        struct block block;
        uint64_t sum = 0;
        uint64_t least = 0;
        unsigned found = 0;

        memcpy(to,
               "\x82\xa3key\xa3"
               "foo\xa6vector\xde",
               17);
        to[17] = (uint8_t)(pairs >> 8);
        to[18] = (uint8_t)pairs;
        to += 19;
        for (unsigned i = 0; i < pairs; i++) {
            const uint64_t index = random_next(&random);

            if (width > 1) {
                *to++ = width == 3 ? 0xcd : width == 5 ? 0xce : 0xcf;
            }
            for (unsigned byte = width == 1 ? 1 : width - 1; byte > 0; byte--) {
                *to++ = (uint8_t)(index >> 8 * (byte - 1) & (width == 1 ? 0x7f : 0xff));
            }
            *to++ = (uint8_t)(1 + i % 100);
            sum += 1 + i % 100;
        }
        assert_int_equal(message_decode((struct bytes){ frame, (size_t)(to - frame) }, &message),
                         WIRE_OK);
        while (elements_next(&message.plain.elements, &room, &block)) {
            block_audit(&block);
            assert_true(block.number >= least);
            least = block.number + 1;
            for (unsigned i = 0; i < block.count; i++) {
                sum -= block_value(&block, i);
            }
            found += block.count;
        }
        assert_true(found == pairs ? sum == 0 : found < pairs);
        assert_true(width == 1 ? found == 128 : found > pairs * 8 / 10);
        assert_int_equal(
            message_decode((struct bytes){ frame, WIRE_DATAGRAM_BYTES_MAX + 1 }, &message),
            WIRE_TOO_LONG);
    }
    free(frame);
}

/* The examples of vignette(7), and an absent generation, which is 0. */
static void test_generations_are_read(void **state)
{
    uint8_t bytes[HEX_MAX];
    struct message message;
    struct wire_blocks blocks;
    struct item item;

    (void)state;
    assert_int_equal(message_decode(hex_bytes(X "81a16294"
                                                "94a3666f6f810005c2ce69248100"
                                                "94c4081474ae8ed48be3dd80c2cfffffffffffffffff"
                                                "94c40c1474ae8ed48be3dd20c1f00080c205"
                                                "92a3666f6f810005",
                                              bytes, sizeof bytes),
                                    &message),
                     WIRE_OK);
    assert_true(message_next_item(&message.items, &item));
    assert_int_equal(item.generation, 0x69248100);
    assert_int_equal(item.key.size, 3);
    assert_false(item.by_hash);
    assert_false(item.full);
    assert_true(message_next_item(&message.items, &item));
    assert_true(item.generation == UINT64_MAX);
    assert_true(item.by_hash);
    assert_int_equal(item.key.size, 0);
    assert_true(item.hash == UINT64_C(0xdde38bd48eae7414));
    assert_true(item.deadline == DEADLINE_NONE);
    assert_true(message_next_item(&message.items, &item));
    assert_true(item.by_hash);
    assert_true(item.hash == UINT64_C(0xdde38bd48eae7414));
    assert_true(item.deadline == DEADLINE_MIN);
    assert_true(message_next_item(&message.items, &item));
    assert_int_equal(item.generation, 0);
    assert_false(message_next_item(&message.items, &item));
    assert_int_equal(message_decode(hex_bytes(X "81a14292 950105c2c40507 01020304 2a 940005c3c400",
                                              bytes, sizeof bytes),
                                    &message),
                     WIRE_OK);
    assert_true(message_next_blocks(&message.block_digests, &blocks));
    assert_int_equal(blocks.generation, 42);
    assert_true(message_next_blocks(&message.block_digests, &blocks));
    assert_int_equal(blocks.generation, 0);
    assert_true(blocks.more);
}

static void test_items_in_any_order_are_sorted_each_for_itself(void **state)
{
    uint8_t bytes[HEX_MAX];
    struct message message;
    struct item items[3];
    struct block_room room;
    struct block block;

    (void)state;
    assert_int_equal(message_decode(hex_bytes("83 a36b6579a0 a6766563746f7280 a178 81 a162 93"
                                              "92 a161 83 0301 0202 0103"
                                              "92 a162 82 0101 0202"
                                              "92 a163 83 cd010004 0005" MOST "06",
                                              bytes, sizeof bytes),
                                    &message),
                     WIRE_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(message_next_item(&message.items, &items[i]));
    }
    assert_true(elements_next(&items[0].elements, &room, &block));
    assert_int_equal(block.count, 3);
    assert_int_equal(block_value(&block, 0), 3);
    assert_int_equal(block_value(&block, 2), 1);
    assert_false(elements_next(&items[0].elements, &room, &block));
    assert_true(elements_next(&items[1].elements, &room, &block));
    assert_int_equal(block.count, 2);
    assert_true(elements_next(&items[2].elements, &room, &block));
    assert_int_equal(block_value(&block, 0), 5);
    assert_true(elements_next(&items[2].elements, &room, &block));
    assert_int_equal(block.number, 1);
    assert_true(elements_next(&items[2].elements, &room, &block));
    assert_true(block.number == LAST);
    assert_false(elements_next(&items[2].elements, &room, &block));
}

static void test_wire_drop_labels_are_all_there_and_differ(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WIRE_DROP_COUNT; i++) {
        assert_true(strlen(wire_drop_label((enum wire_drop)i)) > 1);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(wire_drop_label((enum wire_drop)i),
                                    wire_drop_label((enum wire_drop)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_takes_the_frames_of_both_prototypes),
        cmocka_unit_test(test_message_refuses_with_the_reason),
        cmocka_unit_test(test_message_takes_keys_of_1_to_255_bytes),
        cmocka_unit_test(test_message_takes_containers_32_deep_and_no_deeper),
        cmocka_unit_test(test_message_takes_x_in_no_more_than_its_limit),
        cmocka_unit_test(test_message_refuses_every_beginning_of_a_valid_frame),
        cmocka_unit_test(test_elements_next_gives_each_block_once_in_whatever_order_pairs_come),
        cmocka_unit_test(test_elements_next_sorts_the_largest_datagram),
        cmocka_unit_test(test_generations_are_read),
        cmocka_unit_test(test_items_in_any_order_are_sorted_each_for_itself),
        cmocka_unit_test(test_wire_drop_labels_are_all_there_and_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
