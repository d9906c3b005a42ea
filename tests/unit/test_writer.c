/* What this file tests: datagrams as they are written, byte for byte where plain peers read them,
 * and through the reader of wire/message.h for all else. */

#include "base/deadline.h"
#include "base/random.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

#include "unit/edges.h"
#include "unit/hex.h"
#include "unit/test.h"

#define ELEMENTS_MAX 8192

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

struct element {
    uint64_t index;
    uint64_t value;
};

/* A buffer, a writer on it, and elements collected from what was read back. */
struct fixture {
    uint8_t buffer[WIRE_DATAGRAM_BYTES_MAX];
    struct writer writer;
    struct message message;
    struct random random;
    struct element elements[ELEMENTS_MAX];
    size_t count;
};

static int setup(void **state)
{
    struct fixture *const fixture = calloc(1, sizeof *fixture);

    *state = fixture;
    if (fixture != NULL) {
        random_seed(&fixture->random, 3, 1);
    }
    return fixture == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static struct space space_of(struct fixture *fixture)
{
    return (struct space){ fixture->buffer, sizeof fixture->buffer };
}

/* End the datagram and read it back from a copy that ends with its allocation. */
static size_t reread(struct fixture *fixture)
{
    const struct bytes datagram = writer_end(&fixture->writer);
    uint8_t *const moved = fixture->buffer + sizeof fixture->buffer - datagram.size;

    assert_ptr_equal(datagram.data, fixture->buffer);
    memmove(moved, datagram.data, datagram.size);
    assert_int_equal(message_decode((struct bytes){ moved, datagram.size }, &fixture->message),
                     WIRE_OK);
    return datagram.size;
}

static void collect(struct fixture *fixture, struct elements elements)
{
    struct block_room room;
    struct block block;

    while (elements_next(&elements, &room, &block)) {
        block_audit(&block);
        for (unsigned i = 0; i < block.count; i++) {
            assert_true(fixture->count < ELEMENTS_MAX);
            fixture->elements[fixture->count++] =
                (struct element){ block.number << 8 | block_offset(&block, i),
                                  block_value(&block, i) };
        }
    }
}

/* All items of the datagram that was read back must have these; their elements in order. */
static unsigned collect_items(struct fixture *fixture, struct bytes key, bool full,
                              uint64_t generation)
{
    struct run items = fixture->message.items;
    struct item item;
    unsigned count = 0;

    while (message_next_item(&items, &item)) {
        assert_int_equal(item.key.size, key.size);
        assert_memory_equal(item.key.data, key.data, key.size);
        assert_int_equal(item.full, full);
        assert_true(item.generation == generation);
        collect(fixture, item.elements);
        count++;
    }
    return count;
}

static void assert_frame(struct fixture *fixture, const char *hex)
{
    uint8_t bytes[1024];
    const struct bytes expected = hex_bytes(hex, bytes, sizeof bytes);
    const struct bytes datagram = writer_end(&fixture->writer);

    assert_int_equal(datagram.size, expected.size);
    assert_memory_equal(datagram.data, expected.data, expected.size);
}

static void test_writer_plain_frames_are_those_the_prototypes_take(void **state)
{
    struct fixture *const fixture = *state;
    struct writer *const writer = &fixture->writer;
    const uint8_t offsets[] = { 0, 3 };
    const uint64_t values[] = { 5, 7 };
    const uint64_t wide[] = { 1ull << 40, UINT64_MAX };
    struct block block = { .values = values, .offsets = offsets, .count = 2, .width = 8 };

    writer_begin_plain(writer, space_of(fixture), text("foo"), 9, false);
    assert_int_equal(writer_put_block(writer, &block, NULL), BLOCK_ELEMENTS);
    assert_frame(fixture, "83a36b6579a3666f6fa6766563746f728200050307a374746c09");

    block.count = 1;
    writer_begin_plain(writer, space_of(fixture), text("foo"), 9, true);
    assert_int_equal(writer_put_block(writer, &block, NULL), BLOCK_ELEMENTS);
    assert_frame(fixture, "84a36b6579a3666f6fa6766563746f72810005a466756c6cc3a374746c09");

    writer_begin_plain(writer, space_of(fixture), text("n:%"), 50, false);
    assert_frame(fixture, "83a36b6579a36e3a25a6766563746f7280a374746c32");

    block.count = 2;
    block.values = wide;
    writer_begin_plain(writer, space_of(fixture), text("foo"), 0, false);
    assert_int_equal(writer_put_block(writer, &block, NULL), BLOCK_ELEMENTS);
    assert_frame(fixture, "83a36b6579a3666f6fa6766563746f72 82 00cf0000010000000000"
                          "03cfffffffffffffffff a374746c00");
}

static void test_writer_gives_long_strings_raw16_headers(void **state)
{
    struct fixture *const fixture = *state;
    char key[WIRE_KEY_BYTES_MAX];
    static const size_t sizes[] = { 1, 31, 32, 255 };
    static const uint8_t header[] = { 0xa1, 0xbf, 0xda, 0xda };

    memset(key, 'k', sizeof key);
    for (unsigned i = 0; i < 4; i++) {
        const struct bytes name = { (const uint8_t *)key, sizes[i] };

        writer_begin_plain(&fixture->writer, space_of(fixture), name, 1, false);
        (void)reread(fixture);
        assert_int_equal(fixture->buffer[5], header[i]);
        assert_int_equal(fixture->message.plain.key.size, sizes[i]);
    }
    assert_int_equal(fixture->buffer[6], 0);
    assert_int_equal(fixture->buffer[7], 255);
}

static void test_writer_plain_goes_on_where_the_datagram_was_full(void **state)
{
    struct fixture *const fixture = *state;
    uint64_t values[BLOCK_ELEMENTS];
    const struct block block = {
        .number = 77, .values = values, .count = BLOCK_ELEMENTS, .width = 8
    };
    struct mark mark = { .number = 77, .bits = { ~0ull, ~0ull, ~0ull, ~0ull } };
    unsigned datagrams = 0;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        values[i] = random_next(&fixture->random) >> random_below(&fixture->random, 64);
        values[i] = i % 9 == 0 ? 0 : values[i] | 1;
    }
    while (!mark_empty(&mark)) {
        unsigned next;
        size_t size;

        writer_begin_plain(&fixture->writer, space_of(fixture), text("k"), 2, true);
        next = writer_put_block(&fixture->writer, &block, &mark);
        size = reread(fixture);
        assert_true(size <= WIRE_PLAIN_BYTES_MAX);
        assert_true(next == BLOCK_ELEMENTS || size > WIRE_PLAIN_BYTES_MAX - 14);
        collect(fixture, fixture->message.plain.elements);
        for (unsigned i = 0; i < next; i++) {
            mark.bits[i >> 6] &= ~(1ull << (i & 63));
        }
        assert_true(++datagrams < 10);
    }
    assert_true(datagrams > 1);
    assert_int_equal(fixture->count, BLOCK_ELEMENTS - 29);
    for (size_t i = 0; i < fixture->count; i++) {
        const struct element *const element = &fixture->elements[i];

        assert_true(element->index >> 8 == 77);
        assert_true(element->value == values[element->index & 255]);
        assert_true(i == 0 || fixture->elements[i - 1].index < element->index);
    }
}

static void test_writer_fits_whatever_space_it_gets(void **state)
{
    struct fixture *const fixture = *state;
    uint64_t values[BLOCK_ELEMENTS];
    const struct block block = { .values = values, .count = BLOCK_ELEMENTS, .width = 8 };

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        values[i] = i * 7 + 1;
    }
    for (size_t size = 30; size <= 800; size++) {
        const struct space space = { fixture->buffer, size };
        size_t used;
        unsigned next;

        writer_begin_plain(&fixture->writer, space, text("foo"), 2, true);
        next = writer_put_block(&fixture->writer, &block, NULL);
        used = reread(fixture);
        assert_true(used <= size);
        assert_true(used <= WIRE_PLAIN_BYTES_MAX);
        assert_int_equal(fixture->message.plain.elements.left, next);
        /* The next pair would not have fitted, nor a longer header. */
        assert_true(used + 6 + 2 > size || used + 6 + 2 > WIRE_PLAIN_BYTES_MAX);
    }
}

static struct envelope random_envelope(struct random *random)
{
    struct envelope envelope = { .has = (uint32_t)random_next(random) & ((1u << 14) - 1) };
    const uint64_t bits = random_next(random) >> random_below(random, 33);

    envelope.sender_id = (envelope.has & WIRE_HAS_SENDER) != 0 ? (uint32_t)bits : 0;
    envelope.who = (envelope.has & WIRE_HAS_WHO) != 0 ? 0xffffffff : 0;
    envelope.sequence = (envelope.has & WIRE_HAS_SEQUENCE) != 0 ? (uint32_t)bits >> 9 : 0;
    envelope.cluster = (envelope.has & WIRE_HAS_CLUSTER) != 0 ? 0xdf589da9 : 0;
    envelope.refused = (envelope.has & WIRE_HAS_REFUSED) != 0 ? 255 : 0;
    envelope.clock_s = (envelope.has & WIRE_HAS_CLOCK) != 0 ? 1800000000 : 0;
    envelope.minute = (envelope.has & WIRE_HAS_MINUTE) != 0 ? (uint32_t)bits >> 7 : 0;
    envelope.later = (envelope.has & WIRE_HAS_LATER) != 0 ? (uint32_t)bits >> 8 : 0;
    if ((envelope.has & WIRE_HAS_ROOTS) != 0) {
        envelope.roots[0] = 0x01020304;
        envelope.roots[1] = (uint32_t)bits;
    }
    if ((envelope.has & WIRE_HAS_TOKEN) != 0) {
        memcpy(envelope.token, &bits, sizeof envelope.token);
    }
    if ((envelope.has & WIRE_HAS_ECHO) != 0) {
        memset(envelope.echo, 0xfa, sizeof envelope.echo);
    }
    envelope.depth = (envelope.has & WIRE_HAS_DEPTH) != 0 ? WIRE_DEPTH_STOP : 0;
    envelope.window = (envelope.has & WIRE_HAS_WINDOW) != 0 ? 64 : 0;
    envelope.flags = (envelope.has & WIRE_HAS_FLAGS) != 0 ? WIRE_FLAG_FULL : 0;
    return envelope;
}

static void assert_envelope(const struct envelope *one, const struct envelope *other)
{
    assert_int_equal(one->has, other->has);
    assert_int_equal(one->sender_id, other->sender_id);
    assert_int_equal(one->who, other->who);
    assert_int_equal(one->sequence, other->sequence);
    assert_int_equal(one->cluster, other->cluster);
    assert_int_equal(one->refused, other->refused);
    assert_int_equal(one->clock_s, other->clock_s);
    assert_int_equal(one->minute, other->minute);
    assert_int_equal(one->later, other->later);
    assert_memory_equal(one->roots, other->roots, sizeof one->roots);
    assert_memory_equal(one->token, other->token, sizeof one->token);
    assert_memory_equal(one->echo, other->echo, sizeof one->echo);
    assert_int_equal(one->depth, other->depth);
    assert_int_equal(one->window, other->window);
    assert_int_equal(one->flags, other->flags);
}

static void test_writer_ordinary_is_the_envelope_of_21_bytes_and_x(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_ROOTS | WIRE_HAS_DEPTH,
                                       .sender_id = 0x11223344,
                                       .roots = { 0x01020304, 5 },
                                       .depth = 255 };

    writer_begin_ordinary(&fixture->writer, space_of(fixture), &envelope);
    assert_frame(fixture, "84a36b6579a0a6766563746f7280a374746c00a178 83 a169ce11223344"
                          "a172c4080403020105000000 a164ccff");
}

static void test_writer_carries_every_fixed_field(void **state)
{
    struct fixture *const fixture = *state;

    for (unsigned round = 0; round < 5000; round++) {
        const struct envelope envelope = random_envelope(&fixture->random);
        const struct space space = { fixture->buffer, WRITER_ORDINARY_BYTES };

        writer_begin_ordinary(&fixture->writer, space, &envelope);
        memset(&fixture->message, 0xff, sizeof fixture->message);
        (void)reread(fixture);
        assert_true(fixture->message.extended);
        assert_int_equal(fixture->message.ttl, 0);
        assert_envelope(&fixture->message.envelope, &envelope);
    }
}

static void test_writer_hello_has_presence_and_x(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope all = { .has = (1u << 14) - 1, .sender_id = UINT32_MAX };
    const uint8_t offsets[] = { 1, 2, 4, 5 };
    const uint64_t values[] = { 1ull << 47, 6871947673, UINT64_MAX, 3 };
    const struct block block = { .values = values, .offsets = offsets, .count = 4, .width = 8 };
    const uint32_t acks[] = { 7 };

    writer_begin_hello(&fixture->writer, space_of(fixture), text("n:10.0.12.34:6000"));
    assert_int_equal(writer_put_block(&fixture->writer, &block, NULL), BLOCK_ELEMENTS);
    writer_begin_x(&fixture->writer, &all);
    assert_int_equal(writer_put_acks(&fixture->writer, acks, 1), 1);
    (void)reread(fixture);
    assert_true(fixture->message.plain.full);
    assert_true(fixture->message.has_ttl);
    assert_int_equal(fixture->message.ttl, 0);
    assert_int_equal(fixture->message.plain.key.size, 17);
    assert_int_equal(fixture->message.acks.left, 1);
    assert_envelope(&fixture->message.envelope, &all);
    collect(fixture, fixture->message.plain.elements);
    assert_int_equal(fixture->count, 4);
    assert_true(fixture->elements[2].value == UINT64_MAX);
}

/* A block at random: how full and how large the values are differs from one to the next. */
static void random_block(struct random *random, uint64_t values[BLOCK_ELEMENTS])
{
    const uint64_t share = random_below(random, 17);
    const uint64_t shift = random_below(random, 64);

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        values[i] = random_below(random, 16) < share ? (random_next(random) >> shift) | 1 : 0;
        if (share > 0 && random_below(random, 64) == 0) {
            values[i] = edge_at((unsigned)random_below(random, EDGES));
        }
    }
}

/* Elements out, through as many datagrams as it takes, must be elements in. */
static void items_trip(struct fixture *fixture, unsigned blocks, struct bytes key, bool full,
                       uint64_t generation)
{
    static const struct envelope none = { .has = 0 };
    static uint64_t values[16][BLOCK_ELEMENTS];
    uint64_t numbers[16];
    uint64_t number = random_below(&fixture->random, 2);
    size_t expected = 0;
    unsigned at = 0;
    unsigned datagrams = 0;
    struct mark mark = { .bits = { ~0ull, ~0ull, ~0ull, ~0ull } };

    for (unsigned i = 0; i < blocks; i++) {
        random_block(&fixture->random, values[i]);
        numbers[i] = number;
        number += 1 + (random_next(&fixture->random) >> (12 + random_below(&fixture->random, 52)));
    }
    if (random_below(&fixture->random, 4) == 0) { /* as far up as there is */
        for (unsigned i = 0; i < blocks; i++) {
            numbers[i] = (UINT64_MAX >> 8) - (blocks - 1 - i);
        }
    }
    fixture->count = 0;
    while (at < blocks) {
        struct writer *const writer = &fixture->writer;

        writer_begin_ordinary(writer, space_of(fixture), &none);
        assert_true(writer_begin_item(writer, key, full, generation));
        for (unsigned next = BLOCK_ELEMENTS; at < blocks && next == BLOCK_ELEMENTS;) {
            const struct block block = {
                .number = numbers[at], .values = values[at], .count = BLOCK_ELEMENTS, .width = 8
            };

            mark.number = numbers[at];
            next = writer_put_block(writer, &block, &mark);
            if (next == BLOCK_ELEMENTS) {
                at++;
                memset(mark.bits, 0xff, sizeof mark.bits);
            }
            for (unsigned i = 0; next < BLOCK_ELEMENTS && i < next; i++) {
                mark.bits[i >> 6] &= ~(1ull << (i & 63));
            }
        }
        writer_end_item(writer);
        assert_true(reread(fixture) <= WIRE_EXTENDED_BYTES_MAX);
        (void)collect_items(fixture, key, full, generation);
        assert_true(++datagrams < 60);
    }
    for (unsigned i = 0; i < blocks; i++) {
        for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset++) {
            const struct element *const element = &fixture->elements[expected];

            if (values[i][offset] != 0) {
                assert_true(expected < fixture->count);
                assert_true(element->index == (numbers[i] << 8 | offset));
                assert_true(element->value == values[i][offset]);
                expected++;
            }
        }
    }
    assert_int_equal(expected, fixture->count);
}

static void test_writer_items_carry_all_elements_in_order(void **state)
{
    struct fixture *const fixture = *state;
    static const char key[] = "a key of more than thirty-two bytes, as some are";

    for (unsigned round = 0; round < 1500; round++) {
        const size_t size = 1 + random_below(&fixture->random, sizeof key - 1);
        const struct bytes name = { (const uint8_t *)key, size };

        items_trip(fixture, 1 + (unsigned)random_below(&fixture->random, 16), name,
                   (round & 1) != 0,
                   (round & 2) == 0 ? 0 : random_next(&fixture->random) >> round % 64);
    }
}

static void test_writer_item_of_eight_is_a_map_and_of_nine_a_bin(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    const uint8_t offsets[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    const uint64_t values[] = { 1, 1000, 1, 1000, UINT64_MAX, 7, 1ull << 33, 1, 1 };
    struct block block = { .values = values, .offsets = offsets, .count = 8, .width = 8 };
    struct block more = {
        .number = 1, .values = values, .offsets = offsets, .count = 1, .width = 8
    };
    struct run items;
    struct item item;

    for (unsigned count = 1; count <= 9; count++) {
        block.count = (uint16_t)(count < 9 ? count : 8);
        writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
        assert_true(writer_begin_item(&fixture->writer, text("k"), false, 0));
        assert_int_equal(writer_put_block(&fixture->writer, &block, NULL), BLOCK_ELEMENTS);
        if (count == 9) {
            assert_int_equal(writer_put_block(&fixture->writer, &more, NULL), BLOCK_ELEMENTS);
        }
        writer_end_item(&fixture->writer);
        (void)reread(fixture);
        items = fixture->message.items;
        assert_true(message_next_item(&items, &item));
        assert_int_equal(item.elements.form, count < 9 ? 0 : 1);
        fixture->count = 0;
        collect(fixture, item.elements);
        assert_int_equal(fixture->count, count);
        assert_false(message_next_item(&items, &item));
    }
}

static void test_writer_takes_up_an_item_again_where_dense_is_smaller(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    uint8_t registers[BLOCK_ELEMENTS];
    const uint8_t offsets[] = { 1, 9 };
    const struct block few = {
        .number = 0, .values = registers, .offsets = offsets, .count = 2, .width = 1
    };
    const struct block all = {
        .number = 1, .values = registers, .count = BLOCK_ELEMENTS, .width = 1
    };

    memset(registers, 3, sizeof registers);
    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_true(writer_begin_item(&fixture->writer, text("k"), true, 9));
    assert_int_equal(writer_put_block(&fixture->writer, &few, NULL), BLOCK_ELEMENTS);
    assert_int_equal(writer_put_block(&fixture->writer, &all, NULL), BLOCK_ELEMENTS);
    writer_end_item(&fixture->writer);
    assert_true(reread(fixture) < 60);
    assert_int_equal(collect_items(fixture, text("k"), true, 9), 2);
    assert_int_equal(fixture->count, BLOCK_ELEMENTS + 2);
}

static void test_writer_takes_back_an_item_without_elements(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    const uint64_t zero = 0;
    const uint8_t offset = 0;
    const struct block block = { .values = &zero, .offsets = &offset, .count = 1, .width = 8 };
    const uint32_t acks[] = { 1, 2 };

    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_int_equal(writer_put_acks(&fixture->writer, acks, 2), 2);
    assert_true(writer_begin_item(&fixture->writer, text("k"), true, 0));
    assert_int_equal(writer_put_block(&fixture->writer, &block, NULL), BLOCK_ELEMENTS);
    writer_end_item(&fixture->writer);
    assert_frame(fixture, "84a36b6579a0a6766563746f7280a374746c00a178 81 a161 920102");
}

static void test_writer_full_sketch_fits_eight_datagrams(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope envelope = { .has = (1u << 14) - 1 };
    static uint8_t registers[64][BLOCK_ELEMENTS];
    struct mark mark = { .bits = { ~0ull, ~0ull, ~0ull, ~0ull } };
    unsigned datagrams = 0;
    unsigned at = 0;
    size_t total = 0;

    /* The register of a HyperLogLog after 61 items on average: the most zeros of 61 hashes. */
    for (unsigned i = 0; i < 64 * BLOCK_ELEMENTS; i++) {
        for (unsigned item = 0; item < 61; item++) {
            const uint64_t hash = random_next(&fixture->random) | 1ull << 50;
            const uint8_t rank = (uint8_t)(__builtin_ctzll(hash) + 1);

            if (rank > registers[i >> 8][i & 255]) {
                registers[i >> 8][i & 255] = rank;
            }
        }
    }
    while (at < 64) {
        writer_begin_ordinary(&fixture->writer, space_of(fixture), &envelope);
        assert_true(writer_begin_item(&fixture->writer, text("visitors:2026-07-01"), false, 0));
        while (at < 64) {
            const struct block block = {
                .number = at, .values = registers[at], .count = BLOCK_ELEMENTS, .width = 1
            };
            unsigned next;

            mark.number = at;
            next = writer_put_block(&fixture->writer, &block, &mark);
            for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
                mark.bits[i >> 6] &= ~(i < next && next < BLOCK_ELEMENTS ? 1ull << (i & 63) : 0);
            }
            if (next < BLOCK_ELEMENTS) {
                break;
            }
            at++;
            memset(mark.bits, 0xff, sizeof mark.bits);
        }
        writer_end_item(&fixture->writer);
        total += reread(fixture) + 28; /* and the headers of IP and UDP */
        datagrams++;
        fixture->count = 0;
        (void)collect_items(fixture, text("visitors:2026-07-01"), false, 0);
        for (size_t i = 0; i < fixture->count; i++) {
            const uint64_t index = fixture->elements[i].index;

            assert_true(fixture->elements[i].value == registers[index >> 8][index & 255]);
        }
    }
    assert_true(datagrams <= 8);
    assert_true(total <= 12288 * 7 / 10);
}

static void test_writer_fills_fields_up_to_the_limit(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    uint32_t acks[1200];
    uint64_t hashes[200];
    size_t taken;
    size_t size;
    uint32_t ack;
    uint64_t hash;

    for (unsigned i = 0; i < 1200; i++) {
        acks[i] = i;
    }
    for (unsigned i = 0; i < 200; i++) {
        hashes[i] = random_next(&fixture->random);
    }
    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    taken = writer_put_acks(&fixture->writer, acks, 1200);
    size = reread(fixture);
    assert_true(size <= WIRE_EXTENDED_BYTES_MAX);
    assert_true(size > WIRE_EXTENDED_BYTES_MAX - 5);
    assert_int_equal(fixture->message.acks.left, taken);
    for (unsigned i = 0; message_next_ack(&fixture->message.acks, &ack); i++) {
        assert_int_equal(ack, i);
    }
    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_int_equal(writer_put_wanted(&fixture->writer, hashes, 31), 31);
    assert_int_equal(writer_put_wanted(&fixture->writer, hashes + 31, 169), 142 - 31);
    size = reread(fixture);
    assert_true(size > WIRE_EXTENDED_BYTES_MAX - 8);
    for (unsigned i = 0; message_next_wanted(&fixture->message.wanted, &hash); i++) {
        assert_true(hash == hashes[i]);
    }
}

static void test_writer_carries_tree_leaf_and_block_digests(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    struct wire_tree tree = { .prefix = { 0xabull << 56, 2, 1 } };
    const struct prefix prefix = { 0xabcull << 52, 3, 0 };
    const struct wire_leaf_pair pairs[] = { { 0xabcull << 52 | 5, 1 }, { 0xabcfull << 48, 2 } };
    struct wire_tree tree_back;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    uint64_t number;
    uint32_t digest;

    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        tree.children[i] = 0x01010101 * i + 3;
    }
    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_true(writer_put_tree(&fixture->writer, &tree));
    assert_true(writer_put_tree(&fixture->writer, &tree));
    assert_true(writer_put_leaf(&fixture->writer, prefix, pairs, 2));
    assert_true(writer_put_leaf(&fixture->writer, prefix, NULL, 0));
    assert_true(writer_put_probe(&fixture->writer, text("n:10.0.0.1:6000")));
    assert_true(writer_begin_blocks(&fixture->writer, 1, UINT64_MAX, 0));
    assert_true(writer_put_block_digest(&fixture->writer, 0, 9));
    assert_true(writer_put_block_digest(&fixture->writer, (1ull << 56) - 1, UINT32_MAX));
    writer_end_blocks(&fixture->writer, false);
    (void)reread(fixture);
    assert_true(message_next_tree(&fixture->message.tree, &tree_back));
    assert_true(tree_back.prefix.bits == tree.prefix.bits);
    assert_int_equal(tree_back.prefix.nibbles, 2);
    assert_int_equal(tree_back.prefix.set, 1);
    assert_memory_equal(tree_back.children, tree.children, sizeof tree.children);
    assert_true(message_next_tree(&fixture->message.tree, &tree_back));
    assert_false(message_next_tree(&fixture->message.tree, &tree_back));
    assert_true(message_next_leaf(&fixture->message.leaves, &leaf));
    assert_int_equal(leaf.pairs.size, 2 * WIRE_LEAF_PAIR_BYTES);
    assert_true(wire_leaf_at(&leaf, 1).hash == pairs[1].hash);
    assert_int_equal(wire_leaf_at(&leaf, 1).digest, 2);
    assert_true(message_next_leaf(&fixture->message.leaves, &leaf));
    assert_int_equal(leaf.pairs.size, 0);
    assert_int_equal(fixture->message.probe_target.size, 15);
    assert_true(message_next_blocks(&fixture->message.block_digests, &blocks));
    assert_true(blocks.hash == UINT64_MAX);
    assert_int_equal(blocks.set, 1);
    assert_false(blocks.more);
    assert_true(wire_blocks_next(&blocks, &number, &digest));
    assert_true(number == 0);
    assert_int_equal(digest, 9);
    assert_true(wire_blocks_next(&blocks, &number, &digest));
    assert_true(number == (1ull << 56) - 1);
    assert_true(digest == UINT32_MAX);
    assert_false(wire_blocks_next(&blocks, &number, &digest));
}

/* The examples of vignette(7), "Deletion". */
static void test_writer_says_the_generation_where_there_is_one(void **state)
{
    struct fixture *const fixture = *state;
    static const struct envelope none = { .has = 0 };
    const uint64_t hash = UINT64_C(0xdde38bd48eae7414);
    const uint64_t value = 5;
    const uint8_t offset = 0;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct wire_blocks blocks;

    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_true(writer_begin_item(&fixture->writer, text("foo"), false, 1764000000));
    assert_int_equal(writer_put_block(&fixture->writer, &block, NULL), BLOCK_ELEMENTS);
    writer_end_item(&fixture->writer);
    assert_true(writer_put_tombstone(&fixture->writer, hash, DEADLINE_NONE, 1764000000));
    assert_true(writer_put_tombstone(&fixture->writer, hash, 29975040, 1764000000));
    assert_frame(fixture, "84a36b6579a0a6766563746f7280a374746c00a178 81a16293"
                          "94a3666f6f810005c2ce69248100"
                          "94c4081474ae8ed48be3dd80c2ce69248100"
                          "94c40c1474ae8ed48be3dd0062c90180c2ce69248100");
    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_true(writer_begin_blocks(&fixture->writer, 1, 5, 42));
    assert_true(writer_put_block_digest(&fixture->writer, 7, 0x04030201));
    writer_end_blocks(&fixture->writer, false);
    assert_true(writer_begin_blocks(&fixture->writer, 1, 6, 0));
    assert_true(writer_put_block_digest(&fixture->writer, 7, 1));
    writer_end_blocks(&fixture->writer, true);
    (void)reread(fixture);
    assert_true(message_next_blocks(&fixture->message.block_digests, &blocks));
    assert_int_equal(blocks.generation, 42);
    assert_false(blocks.more);
    assert_true(message_next_blocks(&fixture->message.block_digests, &blocks));
    assert_int_equal(blocks.generation, 0);
    assert_true(blocks.more);
}

static void test_writer_puts_a_probe_where_it_just_fits(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    uint32_t acks[128] = { 0 };
    const struct bytes key = { (const uint8_t *)"n:[2001:db8:1234::5678:9]:60001!", 32 };

    for (size_t count = 1; count < 128; count++) {
        const struct space space = { fixture->buffer, WRITER_ORDINARY_BYTES };
        size_t room;
        bool fits;

        writer_begin_ordinary(&fixture->writer, space, &none);
        (void)writer_put_acks(&fixture->writer, acks, count);
        room = writer_room(&fixture->writer);
        fits = writer_put_probe(&fixture->writer, key);
        assert_int_equal(fits, room >= 2 + 3 + 32);
        (void)reread(fixture);
        assert_int_equal(fixture->message.probe_target.size, fits ? 32 : 0);
    }
}

static void test_writer_says_more_when_digests_did_not_fit(void **state)
{
    struct fixture *const fixture = *state;
    const struct envelope none = { .has = 0 };
    struct wire_blocks blocks;
    uint64_t number = 0;
    uint64_t taken = 0;
    uint32_t digest;

    writer_begin_ordinary(&fixture->writer, space_of(fixture), &none);
    assert_true(writer_begin_blocks(&fixture->writer, 0, 5, 0));
    while (writer_put_block_digest(&fixture->writer, 3 * taken, (uint32_t)taken)) {
        taken++;
    }
    writer_end_blocks(&fixture->writer, false);
    assert_false(writer_begin_blocks(&fixture->writer, 0, 6, 0));
    assert_true(reread(fixture) > WIRE_EXTENDED_BYTES_MAX - 6);
    assert_true(message_next_blocks(&fixture->message.block_digests, &blocks));
    assert_true(blocks.more);
    for (uint64_t i = 0; i < taken; i++) {
        assert_true(wire_blocks_next(&blocks, &number, &digest));
        assert_true(number == 3 * i);
        assert_int_equal(digest, i);
    }
    assert_false(wire_blocks_next(&blocks, &number, &digest));
}

/* Whatever is put, in whatever amounts and whatever space: never more than the space, never a
 * datagram that is refused, and what was said to be in is in. */
static void test_writer_never_exceeds_its_space(void **state)
{
    struct fixture *const fixture = *state;
    struct random *const random = &fixture->random;
    uint8_t key[48];
    uint64_t items = 0;

    memset(key, 'k', sizeof key);
    for (unsigned round = 0; round < 10000; round++) {
        const struct envelope envelope = random_envelope(random);
        const struct space space = { fixture->buffer,
                                     WRITER_ORDINARY_BYTES + random_below(random, 1200) };
        const uint32_t acks[4] = { 1, 300, 70000, 5 };
        const struct prefix prefix = { 0, 0, 0 };
        const struct wire_leaf_pair pairs[3] = { { 1, 1 }, { 2, 2 }, { 3, 3 } };
        const struct wire_tree tree = { .prefix = prefix };
        struct writer *const writer = &fixture->writer;
        const size_t key_size = 1 + (round % 48);
        const uint64_t generation = 1 + (random_next(random) >> (1 + round % 63));
        size_t counted[5] = { 0 };
        uint64_t values[BLOCK_ELEMENTS];

        writer_begin_ordinary(writer, space, &envelope);
        for (uint64_t i = random_below(random, 20); i > 0; i--) {
            counted[0] += writer_put_acks(writer, acks, 1 + random_below(random, 4));
        }
        for (uint64_t i = random_below(random, 4); i > 0; i--) {
            counted[1] += writer_put_tree(writer, &tree);
        }
        for (uint64_t i = random_below(random, 20); i > 0; i--) {
            counted[2] += writer_put_leaf(writer, prefix, pairs, random_below(random, 4));
        }
        for (uint64_t i = random_below(random, 20); i > 0; i--) {
            const uint64_t hash = 7;

            counted[3] += writer_put_wanted(writer, &hash, 1);
        }
        for (uint64_t i = random_below(random, 20); i > 0; i--) {
            const struct block block = {
                .number = i, .values = values, .count = BLOCK_ELEMENTS, .width = 8
            };

            random_block(random, values);
            values[3] = 1;
            if (i % 4 == 0) {
                counted[4] += writer_put_tombstone(writer, i, DEADLINE_MAX, generation);
            } else if (writer_begin_item(writer, (struct bytes){ key, key_size }, (i & 1) != 0,
                                         i % 3 == 0 ? 0 : generation)) {
                assert_true(writer_put_block(writer, &block, NULL) > 0);
                writer_end_item(writer);
                counted[4]++;
            }
        }
        for (uint64_t i = random_below(random, 4); i > 0; i--) {
            if (writer_begin_blocks(writer, 1, i, i % 3 == 0 ? 0 : generation)) {
                while (writer_put_block_digest(writer, i, 1) && random_below(random, 8) > 0) {
                    i++;
                }
                writer_end_blocks(writer, false);
                break;
            }
        }
        assert_true(reread(fixture) <= space.size);
        assert_envelope(&fixture->message.envelope, &envelope);
        assert_int_equal(fixture->message.acks.left, counted[0]);
        assert_int_equal(fixture->message.tree.left, counted[1]);
        assert_int_equal(fixture->message.leaves.left, counted[2]);
        assert_int_equal(fixture->message.wanted.left, counted[3]);
        assert_int_equal(fixture->message.items.left, counted[4]);
        items += counted[4];
    }
    assert_true(items > 1000);
}

/* -- items alone ------------------------------------------------------------------------------ */

static void test_items_alone_are_read_back(void **state)
{
    struct fixture *const fixture = *state;
    struct block_room room;
    struct run run;
    struct item item;
    struct bytes bytes;
    uint32_t items = 0;
    uint32_t read = 0;

    writer_begin_items(&fixture->writer, (struct space){ fixture->buffer, 16384 });
    while (writer_begin_item(&fixture->writer, text("key"), false, items)) {
        struct block block;

        room.values[0] = items + 1;
        room.offsets[0] = (uint8_t)items;
        block = block_unpacked(&room, items, 1);
        (void)writer_put_block(&fixture->writer, &block, NULL);
        writer_end_item(&fixture->writer);
        items++;
    }
    while (writer_put_tombstone(&fixture->writer, items, DEADLINE_NONE, 9)) {
        items++;
    }
    bytes = writer_end(&fixture->writer);
    assert_true(bytes.size > 16384 - 32);
    assert_true(items_judge(bytes, &run));
    while (message_next_item(&run, &item)) {
        struct block block;

        if (item.by_hash) {
            assert_int_equal(item.hash, read);
        } else {
            assert_int_equal(item.generation, read);
            assert_true(elements_next(&item.elements, &room, &block));
            assert_int_equal(block_get(&block, (uint8_t)read), read + 1);
        }
        read++;
    }
    assert_int_equal(read, items);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_false(items_judge((struct bytes){ bytes.data, size }, &run));
    }
    assert_false(items_judge((struct bytes){ bytes.data, bytes.size + 1 }, &run));
}

/* Wide values in no order: the largest segment there is, larger than a datagram. */
static void test_items_alone_hold_any_block(void **state)
{
    struct fixture *const fixture = *state;
    struct block_room room;
    struct block_room read;
    struct block block;
    struct run run;
    struct item item;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        room.values[i] = UINT64_C(0x9E3779B97F4A7C15) * (i + 1);
        room.offsets[i] = (uint8_t)i;
    }
    block = block_unpacked(&room, (UINT64_C(1) << 56) - 1, BLOCK_ELEMENTS);
    writer_begin_items(&fixture->writer, (struct space){ fixture->buffer, 16384 });
    assert_true(writer_begin_item(&fixture->writer, text("key"), false, 0));
    assert_int_equal(writer_put_block(&fixture->writer, &block, NULL), BLOCK_ELEMENTS);
    writer_end_item(&fixture->writer);
    assert_true(items_judge(writer_end(&fixture->writer), &run));
    assert_true(message_next_item(&run, &item));
    assert_true(elements_next(&item.elements, &read, &block));
    assert_int_equal(block.count, BLOCK_ELEMENTS);
    assert_memory_equal(block.values, room.values, sizeof room.values);
    assert_false(elements_next(&item.elements, &read, &block));
}

static void test_no_items_alone_are_an_empty_array(void **state)
{
    struct fixture *const fixture = *state;
    struct run run;

    writer_begin_items(&fixture->writer, space_of(fixture));
    assert_true(writer_begin_item(&fixture->writer, text("key"), false, 0));
    writer_end_item(&fixture->writer);
    assert_true(items_judge(writer_end(&fixture->writer), &run));
    assert_int_equal(run.left, 0);
}

static void test_items_alone_that_need_sorting_are_refused(void **state)
{
    static const uint8_t rising[] = { 0x91, 0x92, 0xa1, 'k', 0x82, 1, 1, 2, 1 };
    static const uint8_t falling[] = { 0x91, 0x92, 0xa1, 'k', 0x82, 2, 1, 1, 1 };
    struct run run;

    (void)state;
    assert_true(items_judge((struct bytes){ rising, sizeof rising }, &run));
    assert_false(items_judge((struct bytes){ falling, sizeof falling }, &run));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_writer_plain_frames_are_those_the_prototypes_take),
        TEST(test_writer_gives_long_strings_raw16_headers),
        TEST(test_writer_plain_goes_on_where_the_datagram_was_full),
        TEST(test_writer_fits_whatever_space_it_gets),
        TEST(test_writer_ordinary_is_the_envelope_of_21_bytes_and_x),
        TEST(test_writer_carries_every_fixed_field),
        TEST(test_writer_hello_has_presence_and_x),
        TEST(test_writer_items_carry_all_elements_in_order),
        TEST(test_writer_item_of_eight_is_a_map_and_of_nine_a_bin),
        TEST(test_writer_takes_up_an_item_again_where_dense_is_smaller),
        TEST(test_writer_takes_back_an_item_without_elements),
        TEST(test_writer_full_sketch_fits_eight_datagrams),
        TEST(test_writer_says_the_generation_where_there_is_one),
        TEST(test_writer_fills_fields_up_to_the_limit),
        TEST(test_writer_carries_tree_leaf_and_block_digests),
        TEST(test_writer_puts_a_probe_where_it_just_fits),
        TEST(test_writer_says_more_when_digests_did_not_fit),
        TEST(test_writer_never_exceeds_its_space),
        cmocka_unit_test_setup_teardown(test_items_alone_are_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_items_alone_hold_any_block, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_items_alone_are_an_empty_array, setup, teardown),
        cmocka_unit_test(test_items_alone_that_need_sorting_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
