/* What this file tests: packed items, both ways, what is refused, and what they cost. */

#include "base/random.h"
#include "wire/packed.h"
#include "wire/varint.h"

#include <stdlib.h>
#include <string.h>

#include "unit/edges.h"
#include "unit/hex.h"
#include "unit/test.h"

#define BIN_MAX 16384

/* A bin being written, and what must come out of it. */
struct trip {
    uint8_t bytes[BIN_MAX];
    size_t size;
    uint64_t values[5][BLOCK_ELEMENTS];
    uint64_t numbers[5];
    unsigned blocks;
};

static void trip_begin(struct trip *trip, enum packed_kind kind)
{
    memset(trip, 0, sizeof *trip);
    trip->bytes[0] = (uint8_t)kind;
    trip->size = 1;
}

/* Write the newest block as a segment, and check that the plan's size is the real one. */
static size_t trip_put(struct trip *trip, uint64_t number)
{
    const uint64_t position = trip->blocks == 0 ? 0 : trip->numbers[trip->blocks - 1] + 1;
    const uint64_t gap = number - position;
    uint8_t *const at = trip->bytes + trip->size;
    struct packed_segment segment;
    size_t size;
    bool part;

    packed_plan(trip->values[trip->blocks], &segment);
    part = segment.from > 0 || segment.last < BLOCK_ELEMENTS - 1;
    size = (size_t)(packed_segment_put(at, trip->values[trip->blocks], &segment, gap) - at);
    assert_int_equal(size, segment.size + varint_size(gap << 1 | part));
    trip->size += size;
    trip->numbers[trip->blocks] = number;
    trip->blocks++;
    return size;
}

/* A copy that ends where its allocation ends, so that reading on would be seen. */
static struct bytes exact(const struct trip *trip)
{
    uint8_t *const copy = malloc(trip->size);

    assert_non_null(copy);
    memcpy(copy, trip->bytes, trip->size);
    return (struct bytes){ copy, trip->size };
}

static void trip_check(const struct trip *trip)
{
    const struct bytes bin = exact(trip);
    struct elements elements;
    struct block_room room;
    struct block block;

    assert_true(packed_judge(bin, &elements));
    for (unsigned i = 0; i < trip->blocks; i++) {
        unsigned count = 0;

        assert_true(packed_next(&elements, &room, &block));
        block_audit(&block);
        assert_true(block.number == trip->numbers[i]);
        for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset++) {
            assert_true(block_get(&block, offset) == trip->values[i][offset]);
            count += trip->values[i][offset] != 0;
        }
        assert_int_equal(block.count, count);
        assert_true((block.offsets == NULL) == (count == BLOCK_ELEMENTS));
    }
    assert_false(packed_next(&elements, &room, &block));
    free((void *)(uintptr_t)bin.data);
}

static void test_packed_sparse_example_of_the_header_is_true(void **state)
{
    uint8_t bytes[32];
    struct elements elements;
    struct block_room room;
    struct block block;

    (void)state;
    assert_true(packed_judge(hex_bytes("01 0005 02ac02 fc0101", bytes, sizeof bytes), &elements));
    assert_true(packed_next(&elements, &room, &block));
    assert_true(block.number == 0);
    assert_int_equal(block.count, 2);
    assert_true(block_get(&block, 0) == 5);
    assert_true(block_get(&block, 3) == 300);
    assert_true(packed_next(&elements, &room, &block));
    assert_true(block.number == 1);
    assert_true(block_get(&block, 0) == 1);
    assert_false(packed_next(&elements, &room, &block));
}

static void test_packed_dense_example_of_the_header_is_true(void **state)
{
    struct trip trip;
    uint8_t bytes[32];
    struct bytes bin = hex_bytes("02 030205 820400 43 04c801", bytes, sizeof bytes);

    (void)state;
    trip_begin(&trip, PACKED_DENSE);
    trip.values[0][2] = 7;
    trip.values[0][3] = 4;
    trip.values[0][4] = 200;
    trip.values[0][5] = 5;
    memcpy(trip.bytes, bin.data, bin.size);
    trip.size = bin.size;
    trip.numbers[0] = 1;
    trip.blocks = 1;
    trip_check(&trip);
}

static void test_packed_takes_the_extremes_of_64_bits(void **state)
{
    static const uint64_t values[] = { 1,         127,        128,        255,
                                       256,       UINT32_MAX, UINT64_MAX, UINT64_MAX - 1,
                                       1ull << 63 };
    struct trip trip;

    (void)state;
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        trip_begin(&trip, PACKED_DENSE);
        trip.values[0][0] = values[i];
        (void)trip_put(&trip, 0);
        for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset++) {
            trip.values[1][offset] = values[i] - (offset < values[i] ? offset % 5 : 0);
        }
        (void)trip_put(&trip, 5);
        for (unsigned offset = 0; offset < BLOCK_ELEMENTS; offset += 3) {
            trip.values[2][offset] = values[offset % 9];
        }
        (void)trip_put(&trip, (1ull << 56) - 1);
        trip_check(&trip);
    }
}

/* Blocks of many kinds: how full, how far apart the values, how many far out. */
static void random_block(struct random *random, uint64_t values[BLOCK_ELEMENTS])
{
    const unsigned bits = (unsigned)random_below(random, 65);
    const uint64_t mask = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
    const uint64_t least = random_next(random) >> random_below(random, 64);
    const uint64_t share = 1 + random_below(random, 16);
    const uint64_t odd = random_below(random, 3) == 0 ? 20 : 1000;

    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        values[i] = 0;
        if (random_below(random, 16) < share) {
            const uint64_t above = random_next(random) & mask;

            values[i] = above > UINT64_MAX - least ? UINT64_MAX : least + above;
        }
        if (random_below(random, odd) == 0) {
            values[i] = random_next(random) >> random_below(random, 64);
        } else if (random_below(random, odd) == 0) {
            values[i] = edge_at((unsigned)random_below(random, EDGES));
        }
    }
    values[random_below(random, BLOCK_ELEMENTS)] = 1 + random_below(random, 70);
}

static void test_packed_gives_back_what_went_in(void **state)
{
    struct random random;
    struct trip trip;

    (void)state;
    random_seed(&random, 7, 1);
    for (unsigned round = 0; round < 10000; round++) {
        uint64_t number = random_below(&random, 3);

        trip_begin(&trip, PACKED_DENSE);
        for (unsigned i = 0; i < 4; i++) {
            random_block(&random, trip.values[i]);
            (void)trip_put(&trip, number);
            number += 1 + (random_next(&random) >> (10 + random_below(&random, 54)));
        }
        if (random_below(&random, 4) == 0) {
            random_block(&random, trip.values[4]);
            (void)trip_put(&trip, UINT64_MAX >> 8);
        }
        trip_check(&trip);
    }
}

/* The elements below an offset, and nothing else, come back from a segment that was cut there; it
 * takes no more than it was given, and says how much. */
static void test_packed_cuts_a_segment_to_what_fits(void **state)
{
    uint64_t values[BLOCK_ELEMENTS];
    struct packed_segment whole;
    struct packed_segment cut;
    struct random random;
    struct trip trip;
    unsigned cuts = 0;

    (void)state;
    random_seed(&random, 7, 3);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned first = 0;
        unsigned end;
        size_t room;

        random_block(&random, values);
        while (values[first] == 0) {
            first++;
        }
        packed_plan(values, &whole);
        cut = whole;
        room = random_below(&random, whole.size);
        end = packed_cut(values, &cut, room);
        if (end == 0) {
            assert_int_equal(cut.size, whole.size);
            assert_true(room < 3 + VARINT_BYTES_MAX); /* no more than one element takes */
            continue;
        }
        assert_true(end > first);
        assert_true(cut.size <= room);
        trip_begin(&trip, PACKED_DENSE);
        memcpy(trip.values[0], values, end * sizeof values[0]);
        trip.size =
            1 + (size_t)(packed_segment_put(trip.bytes + 1, values, &cut, 5) - trip.bytes - 1);
        trip.numbers[0] = 5;
        trip.blocks = 1;
        assert_int_equal(trip.size, 2 + cut.size);
        trip_check(&trip);
        cuts++;
    }
    assert_true(cuts > 2000);
}

static void test_packed_spends_little_on_what_is_regular(void **state)
{
    struct trip trip;

    (void)state;
    trip_begin(&trip, PACKED_DENSE);
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        trip.values[0][i] = 1;           /* one value: head, shape, base */
        trip.values[1][i] = i & 1;       /* bits: 32 bytes more */
        trip.values[2][i] = 4 + (i & 7); /* registers: three bits each */
        trip.values[3][i] = 1000000 + i; /* counters: a base of three bytes, and a byte each */
    }
    trip.values[2][9] = 40; /* and an exception: a count, offset and value */
    assert_int_equal(trip_put(&trip, 0), 3);
    assert_int_equal(trip_put(&trip, 1), 3 + 32);
    assert_int_equal(trip_put(&trip, 2), 3 + 96 + 1 + 2);
    assert_int_equal(trip_put(&trip, 3), 3 + 2 + 256);
    trip_check(&trip);
}

static void test_packed_refuses_what_is_not_of_its_form(void **state)
{
    static const char *const bins[] = {
        "",                                     /* nothing */
        "01",                                   /* no pair */
        "02",                                   /* no segment */
        "00 0001",                              /* no such kind */
        "03 0001",                              /* no such kind */
        "01 00",                                /* a gap without a value */
        "01 0000",                              /* a value of 0 */
        "01 0001 80",                           /* a varint cut short */
        "01 800001",                            /* a varint longer than needed */
        "01 ffffffffffffffffff0201",            /* a varint above 2^64 - 1 */
        "01 8080808080808080808001 01",         /* a varint of 11 bytes */
        "01 ffffffffffffffffff0101 0001",       /* an index above 2^64 - 1 */
        "01 feffffffffffffffff0101 0101",       /* the same by a gap */
        "02 00",                                /* a head alone */
        "02 00 00",                             /* no base */
        "02 00 41 00",                          /* a width of 65 */
        "02 00 40 01",                          /* base + 2^64 - 1 is too much */
        "02 00 01 ffffffffffffffffff01",        /* base + 1 is too much */
        "02 00 01 00 00",                       /* codes cut short */
        "02 01 05",                             /* a range cut short */
        "02 01 0504 00 01",                     /* last before from */
        "02 01 0000 01 00 02",                  /* bits behind the codes */
        "02 00 80 01",                          /* exceptions without a count */
        "02 00 80 01 00",                       /* an exception cut short */
        "02 00 80 01 00 05",                    /* an exception without a value */
        "02 00 80 01 01 0505 0506",             /* the same offset twice */
        "02 00 80 01 01 0605 0506",             /* offsets that fall */
        "02 01 0507 80 01 00 0401",             /* an exception before the range */
        "02 01 0507 80 01 00 0801",             /* an exception behind the range */
        "02 00 00 01 00",                       /* something behind the last segment */
        "02 808080808080808002 00 01",          /* a block number of 2^56 */
        "02 feffffffffffffff01 00 01 00 00 01", /* the same by a gap */
    };
    uint8_t bytes[64];
    struct elements elements;

    (void)state;
    for (unsigned i = 0; i < sizeof bins / sizeof bins[0]; i++) {
        if (packed_judge(hex_bytes(bins[i], bytes, sizeof bytes), &elements)) {
            fail_msg("taken: %s", bins[i]);
        }
    }
}

static void test_packed_takes_what_lies_at_the_edges_of_its_form(void **state)
{
    static const char *const bins[] = {
        "01 ffffffffffffffffff0101",             /* the last index there is */
        "01 feffffffffffffffff0101 0001",        /* and the one before */
        "01 00ffffffffffffffffff01",             /* the largest value */
        "02 01 0000 01 feffffffffffffffff01 00", /* base + 1 just fits */
        "02 01 ffff 40 00 ffffffffffffffff",     /* width 64, of one element */
        "02 feffffffffffffff01 00 01",           /* the last block there is */
        "02 00 00 00",                           /* no element at all */
        "02 01 0505 80 00 00 0500",              /* an exception of 0 */
    };
    uint8_t bytes[64];
    struct elements elements;

    (void)state;
    for (unsigned i = 0; i < sizeof bins / sizeof bins[0]; i++) {
        if (!packed_judge(hex_bytes(bins[i], bytes, sizeof bytes), &elements)) {
            fail_msg("refused: %s", bins[i]);
        }
    }
}

static void test_packed_walks_whatever_it_took(void **state)
{
    struct random random;
    struct trip trip;
    unsigned taken = 0;

    (void)state;
    random_seed(&random, 7, 2);
    for (unsigned round = 0; round < 20000; round++) {
        struct elements elements = { .form = 0 };
        struct block_room room;
        struct block block;
        struct bytes bin;
        size_t count = 0;

        trip_begin(&trip, PACKED_DENSE);
        random_block(&random, trip.values[0]);
        (void)trip_put(&trip, random_below(&random, 9));
        trip.bytes[0] = (uint8_t)(1 + random_below(&random, 2));
        for (unsigned i = 0; i < 3; i++) {
            trip.bytes[1 + random_below(&random, trip.size - 1)] = (uint8_t)random_next(&random);
        }
        trip.size =
            random_below(&random, 3) == 0 ? 1 + random_below(&random, trip.size) : trip.size;
        bin = exact(&trip);
        taken += packed_judge(bin, &elements);
        while (elements.rest.size > 0 && packed_next(&elements, &room, &block)) {
            block_audit(&block);
            count += block.count;
            for (unsigned i = 0; i < block.count; i++) {
                assert_true(block_value(&block, i) != 0);
            }
        }
        assert_true(count < 86 * trip.size);
        free((void *)(uintptr_t)bin.data);
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_sparse_example_of_the_header_is_true),
        cmocka_unit_test(test_packed_dense_example_of_the_header_is_true),
        cmocka_unit_test(test_packed_takes_the_extremes_of_64_bits),
        cmocka_unit_test(test_packed_gives_back_what_went_in),
        cmocka_unit_test(test_packed_cuts_a_segment_to_what_fits),
        cmocka_unit_test(test_packed_spends_little_on_what_is_regular),
        cmocka_unit_test(test_packed_refuses_what_is_not_of_its_form),
        cmocka_unit_test(test_packed_takes_what_lies_at_the_edges_of_its_form),
        cmocka_unit_test(test_packed_walks_whatever_it_took),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
