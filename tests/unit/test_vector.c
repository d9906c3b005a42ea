/* What this file tests: a vector against a naive reference, over random merges of every form of
 * block, and each promise of vector.h that a random merge does not meet by itself. */

#include "base/random.h"
#include "store/digest.h"
#include "store/vector.h"

#include <string.h>

#include "unit/edges.h"
#include "unit/test.h"

#define BLOCKS_MAX 3000
#define SALT       UINT64_C(0x0123456789abcdef)
#define LAST       (UINT64_MAX >> 8) /* block number */

struct fixture {
    struct mem mem;
    struct vector vector;
    struct random random;
    uint64_t digest; /* kept by deltas alone */
    /* The reference: some block numbers, ascending, and all the values under each. */
    unsigned blocks;
    uint64_t numbers[BLOCKS_MAX];
    uint64_t values[BLOCKS_MAX][BLOCK_ELEMENTS];
};

/* A block and the memory that it views. */
struct made {
    struct block block;
    union {
        uint64_t longs[BLOCK_ELEMENTS];
        uint32_t words[BLOCK_ELEMENTS];
        uint16_t shorts[BLOCK_ELEMENTS];
        uint8_t bytes[BLOCK_ELEMENTS];
    } values;
    uint8_t offsets[BLOCK_ELEMENTS];
};

static int setup(void **state)
{
    static struct fixture fixture; /* a test program has one; cmocka runs tests in sequence */

    memset(&fixture, 0, sizeof fixture);
    vector_init(&fixture.vector);
    *state = &fixture;
    return 0;
}

/* Every test ends with: nothing leaked, every invariant held. */
static int teardown(void **state)
{
    struct fixture *fixture = *state;

    vector_audit(&fixture->vector);
    vector_clear(&fixture->vector, &fixture->mem);
    return fixture->mem.used_bytes == 0 && vector_size(&fixture->vector) == 0 ? 0 : -1;
}

static void made_set(struct made *made, unsigned i, uint64_t value)
{
    switch (made->block.width) {
    case 0: made->values.bytes[i >> 3] |= (uint8_t)((value & 1) << (i & 7)); break;
    case 1: made->values.bytes[i] = (uint8_t)value; break;
    case 2: made->values.shorts[i] = (uint16_t)value; break;
    case 4: made->values.words[i] = (uint32_t)value; break;
    default: made->values.longs[i] = value; break;
    }
}

/* A value up to `most`, which is all ones or small; often one where widths end. */
static uint64_t value_draw(struct random *random, uint64_t most)
{
    const uint64_t edge = edge_at((unsigned)random_below(random, EDGES));

    if (edge <= most && random_below(random, 4) == 0) {
        return edge;
    }
    return most == UINT64_MAX ? random_next(random) : random_below(random, most + 1);
}

/* Every element of the block that `chosen` of `of` say; width 0 to 8; values up to `most`,
 * sometimes 0 where the form allows it. */
static void make(struct made *made, struct random *random, uint64_t number, unsigned width,
                 bool dense, uint64_t chosen, uint64_t of, uint64_t most)
{
    memset(made, 0, sizeof *made);
    made->block = (struct block){ .number = number, .values = &made->values };
    made->block.width = (uint8_t)width;
    made->block.count = BLOCK_ELEMENTS;
    if (dense) {
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
            if (random_below(random, of) < chosen) {
                const uint64_t value = value_draw(random, most);

                made_set(made, i, value == 0 ? 1 : value);
            }
        }
        return;
    }
    made->block.offsets = made->offsets;
    made->block.count = 0;
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        if (random_below(random, of) < chosen) {
            made->offsets[made->block.count] = (uint8_t)i;
            made_set(made, made->block.count++, value_draw(random, most));
        }
    }
    if (made->block.count == 0) {
        made->offsets[0] = (uint8_t)random_below(random, BLOCK_ELEMENTS);
        made_set(made, 0, most);
        made->block.count = 1;
    }
}

static void make_one(struct made *made, uint64_t index, uint64_t value)
{
    memset(made, 0, sizeof *made);
    made->offsets[0] = (uint8_t)index;
    made->values.longs[0] = value;
    made->block = (struct block){
        .number = index >> 8,
        .values = &made->values,
        .offsets = made->offsets,
        .count = 1,
        .width = 8,
    };
}

static uint64_t width_most(unsigned width)
{
    switch (width) {
    case 0: return 1;
    case 1: return UINT8_MAX;
    case 2: return UINT16_MAX;
    case 4: return UINT32_MAX;
    default: return UINT64_MAX;
    }
}

/* A random block: forms, densities and widths all mixed; narrow values more often, so that blocks
 * stay in each form for a while. */
static void make_random(struct made *made, struct random *random, uint64_t number,
                        unsigned width_limit)
{
    static const unsigned widths[] = { 0, 1, 2, 4, 8 };
    static const uint64_t chosen[] = { 1, 1, 1, 4, 60, 200, 256 };
    unsigned width = widths[random_below(random, 5)];
    uint64_t most;
    bool dense;

    while (width > width_limit) {
        width = widths[random_below(random, 5)];
    }
    dense = width == 0 || random_below(random, 3) == 0;
    most = width_most(width);
    if (random_below(random, 2) == 0 && most > 60) {
        most = 1 + random_below(random, 60);
    }
    make(made, random, number, width, dense, chosen[random_below(random, 7)], BLOCK_ELEMENTS, most);
}

/* Merge and compare all that the merge says with what it should, by a loop over the reference. */
static void merge_and_check(struct fixture *fixture, unsigned at, const struct block *block,
                            bool with_result)
{
    struct merge_result result;
    struct mark raised = { .number = block->number };
    struct mark larger = { .number = block->number };

    for (unsigned i = 0; i < block->count; i++) {
        const uint64_t value = block_value(block, i);
        const unsigned offset = block_offset(block, i);
        uint64_t *ours = &fixture->values[at][offset];

        if (value > *ours) {
            mark_set(&raised, offset);
            *ours = value;
        } else if (value > 0 && value < *ours) {
            mark_set(&larger, offset);
        }
    }
    assert_int_equal(
        vector_merge(&fixture->vector, &fixture->mem, block, SALT, with_result ? &result : NULL),
        STATUS_OK);
    if (with_result) {
        fixture->digest += result.digest_delta;
        assert_memory_equal(&result.raised, &raised, sizeof raised);
        assert_memory_equal(&result.larger, &larger, sizeof larger);
    } else {
        fixture->digest = vector_digest(&fixture->vector, SALT);
    }
    assert_true(vector_heap_bytes(&fixture->vector) == fixture->mem.used_bytes);
}

static uint64_t reference_block_digest(const struct fixture *fixture, unsigned at, uint64_t *size)
{
    uint64_t sum = 0;

    *size = 0;
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        if (fixture->values[at][i] > 0) {
            sum += digest_element(SALT, fixture->numbers[at] << 8 | i, fixture->values[at][i]);
            ++*size;
        }
    }
    return sum;
}

/* Everything that can be read against the reference. */
static void check_all(const struct fixture *fixture)
{
    struct block_room room;
    uint64_t digest = 0;
    uint64_t size = 0;
    size_t position = 0;

    vector_audit(&fixture->vector);
    for (unsigned at = 0; at < fixture->blocks; at++) {
        const uint64_t number = fixture->numbers[at];
        uint64_t block_size;
        const uint64_t sum = reference_block_digest(fixture, at, &block_size);
        struct block block;

        assert_true(vector_seek(&fixture->vector, number) == position);
        assert_true(vector_block_digest(&fixture->vector, number, SALT) == sum);
        digest += sum;
        size += block_size;
        if (block_size == 0) {
            continue;
        }
        block = vector_block(&fixture->vector, position++, &room);
        block_audit(&block);
        assert_true(block.number == number);
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
            assert_true(block_get(&block, i) == fixture->values[at][i]);
        }
        for (unsigned i = 0; i < BLOCK_ELEMENTS; i += 51) {
            assert_true(vector_get(&fixture->vector, number << 8 | i) == fixture->values[at][i]);
        }
        assert_true(vector_seek(&fixture->vector, number + 1) == position);
    }
    assert_true(vector_blocks(&fixture->vector) == position);
    assert_true(vector_seek(&fixture->vector, UINT64_MAX) == position);
    assert_true(vector_size(&fixture->vector) == size);
    assert_true(vector_digest(&fixture->vector, SALT) == digest);
    assert_true(fixture->digest == digest);
}

/* The reference's block numbers: `neighbours` ones from `first` on, or far apart. */
static void choose_numbers(struct fixture *fixture, unsigned blocks, uint64_t first, bool apart)
{
    const uint64_t step = apart ? ((UINT64_C(1) << 56) - 1 - first) / blocks : 1;

    fixture->blocks = blocks;
    for (unsigned i = 0; i < blocks; i++) {
        fixture->numbers[i] = first + (i + (apart ? 1U : 0U)) * step;
    }
}

static void test_vector_is_the_reference_over_random_merges_of_every_form(void **state)
{
    static const struct {
        unsigned blocks;
        uint64_t first;
        bool apart;
        unsigned width_limit;
        unsigned merges;
    } rows[] = {
        { 1, 0, false, 0, 60 },
        { 1, 7, false, 1, 200 },
        { 1, 9, false, 8, 300 },
        { 3, 0, true, 0, 60 },
        { 5, 0, true, 8, 400 },
        { 64, 0, false, 1, 600 },
        { 64, 0, false, 8, 1500 },
        { 300, 5, true, 0, 1500 },
        { 300, 0, true, 8, 1500 },
        /* up to the last block there is */
        { 1, LAST, false, 8, 200 },
        { 2, LAST - 1, false, 8, 200 },
        { 80, LAST - 79, false, 8, 900 },
    };
    struct made made;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned seed = 0; seed < 4; seed++) {
            struct fixture *fixture = *state;

            setup(state);
            random_seed(&fixture->random, seed, i);
            choose_numbers(fixture, rows[i].blocks, rows[i].first, rows[i].apart);
            for (unsigned merge = 0; merge < rows[i].merges; merge++) {
                const unsigned at = (unsigned)random_below(&fixture->random, rows[i].blocks);

                make_random(&made, &fixture->random, fixture->numbers[at], rows[i].width_limit);
                merge_and_check(fixture, at, &made.block, random_below(&fixture->random, 4) > 0);
                vector_audit(&fixture->vector);
                if (merge < 60 || merge % 61 == 0) {
                    check_all(fixture);
                }
            }
            check_all(fixture);
            assert_int_equal(teardown(state), 0);
        }
    }
}

/* Elements one by one, as they come in datagrams, through every form from inlined on. */
static void test_vector_is_the_reference_over_single_elements(void **state)
{
    static const uint64_t mosts[] = { 1, 50, 300, 70000, UINT64_MAX };
    static const unsigned blocks[] = { 1, 2, 7, 64 };
    struct made made;

    for (unsigned i = 0; i < 20; i++) {
        struct fixture *fixture = *state;

        setup(state);
        random_seed(&fixture->random, 1, i);
        choose_numbers(fixture, blocks[i % 4], 0, i % 3 == 1);
        for (unsigned merge = 0; merge < 1200; merge++) {
            const unsigned at = (unsigned)random_below(&fixture->random, fixture->blocks);
            const uint64_t most = mosts[i / 4];
            const uint64_t value = most == UINT64_MAX ? random_next(&fixture->random)
                                                      : 1 + random_below(&fixture->random, most);

            make_one(&made,
                     fixture->numbers[at] << 8 | random_below(&fixture->random, BLOCK_ELEMENTS),
                     value);
            merge_and_check(fixture, at, &made.block, true);
            vector_audit(&fixture->vector);
            if (merge < 40 || merge % 97 == 0) {
                check_all(fixture);
            }
        }
        check_all(fixture);
        assert_int_equal(teardown(state), 0);
    }
}

/* Far more than one run: cuts in the middle, behind the end, and directories that grow. */
static void test_vector_of_thousands_of_blocks_is_the_reference(void **state)
{
    struct fixture *fixture = *state;
    struct made made;

    for (unsigned order = 0; order < 3; order++) {
        setup(state);
        random_seed(&fixture->random, 2, order);
        choose_numbers(fixture, BLOCKS_MAX, 1, order != 0);
        for (unsigned merge = 0; merge < 3 * BLOCKS_MAX; merge++) {
            unsigned at = (unsigned)random_below(&fixture->random, BLOCKS_MAX);

            if (order < 2 && merge < BLOCKS_MAX) {
                at = order == 0 ? merge : BLOCKS_MAX - 1 - merge;
            }
            make_random(&made, &fixture->random, fixture->numbers[at], 8);
            merge_and_check(fixture, at, &made.block, true);
            if (merge % 1009 == 0) {
                check_all(fixture);
            }
        }
        check_all(fixture);
        assert_int_equal(teardown(state), 0);
    }
}

static void test_vector_get_of_an_empty_vector_is_0(void **state)
{
    struct fixture *fixture = *state;

    assert_true(vector_get(&fixture->vector, 0) == 0);
    assert_true(vector_get(&fixture->vector, UINT64_MAX) == 0);
    assert_int_equal(vector_blocks(&fixture->vector), 0);
    assert_int_equal(vector_seek(&fixture->vector, 0), 0);
    assert_int_equal(vector_size(&fixture->vector), 0);
    assert_int_equal(vector_heap_bytes(&fixture->vector), 0);
    assert_true(vector_digest(&fixture->vector, SALT) == 0);
    assert_true(vector_block_digest(&fixture->vector, 0, SALT) == 0);
}

/* The largest index and value survive: index UINT64_MAX is offset 255 of block 2^56 - 1. */
static void test_vector_merge_keeps_the_largest_index(void **state)
{
    struct fixture *fixture = *state;
    struct merge_result result;
    struct made made;

    make_one(&made, UINT64_MAX, UINT64_MAX);
    assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, &result),
                     STATUS_OK);
    assert_true(vector_get(&fixture->vector, UINT64_MAX) == UINT64_MAX);
    assert_int_equal(result.raised.bits[3] >> 63, 1);
    assert_int_equal(vector_heap_bytes(&fixture->vector), 0);
}

/* Extremes through all forms: the largest value beside small ones, in sparse and dense blocks. */
static void test_vector_keeps_the_largest_values_in_dense_blocks(void **state)
{
    struct fixture *fixture = *state;
    struct made made;

    random_seed(&fixture->random, 3, 0);
    choose_numbers(fixture, 1, (UINT64_C(1) << 56) - 1, false);
    for (unsigned i = 0; i < BLOCK_ELEMENTS; i++) {
        make_one(&made, fixture->numbers[0] << 8 | i, i % 2 == 0 ? UINT64_MAX - i : 1);
        merge_and_check(fixture, 0, &made.block, true);
        check_all(fixture);
    }
}

static void test_vector_keeps_a_few_small_elements_without_allocating(void **state)
{
    static const uint64_t header = (UINT64_C(1) << 32) + (1U << 16) + 14;
    struct fixture *fixture = *state;
    const uint64_t indexes[] = { header, 1234, 16383, 100 };
    struct made made;

    for (unsigned i = 0; i < 4; i++) {
        make_one(&made, indexes[i], i == 0 ? 1 : 40);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                         STATUS_OK);
        assert_int_equal(vector_heap_bytes(&fixture->vector), 0);
    }
    assert_int_equal(vector_size(&fixture->vector), 4);
    assert_int_equal(vector_blocks(&fixture->vector), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(vector_get(&fixture->vector, indexes[i]) == (i == 0 ? 1 : 40));
    }
}

static void test_vector_ignores_values_of_0(void **state)
{
    struct fixture *fixture = *state;
    struct merge_result result;
    struct made made;

    for (unsigned round = 0; round < 2; round++) {
        const uint64_t size = vector_size(&fixture->vector);

        make_one(&made, 9, 0);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, &result),
                         STATUS_OK);
        assert_true(mark_empty(&result.raised));
        assert_true(mark_empty(&result.larger));
        made.block.offsets = NULL;
        made.block.count = BLOCK_ELEMENTS;
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, &result),
                         STATUS_OK);
        assert_true(mark_empty(&result.raised));
        assert_true(mark_empty(&result.larger));
        assert_int_equal(vector_size(&fixture->vector), size);
        random_seed(&fixture->random, 4, 0);
        make(&made, &fixture->random, 0, 1, true, 200, 256, 99);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                         STATUS_OK);
    }
}

/* Theirs does not name what we have more of: nothing to tell the sender. */
static void test_vector_merge_marks_as_larger_only_what_theirs_has(void **state)
{
    struct fixture *fixture = *state;
    struct merge_result result;
    struct made made;

    for (unsigned i = 0; i < 100; i++) {
        make_one(&made, i, 9);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, &result),
                         STATUS_OK);
        assert_true(mark_empty(&result.larger));
    }
    make_one(&made, 50, 8);
    assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, &result),
                     STATUS_OK);
    assert_true(mark_empty(&result.raised));
    assert_int_equal(mark_count(&result.larger), 1);
    assert_true(mark_has(&result.larger, 50));
    assert_true(result.digest_delta == 0);
}

/* A HyperLogLog of p = 14 with its header, filled one register at a time in random order. */
static void test_vector_of_16384_registers_takes_at_most_17_kib(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t header = (UINT64_C(1) << 32) + (1U << 16) + 14;
    struct made made;

    random_seed(&fixture->random, 5, 0);
    for (unsigned i = 0; i < 16384; i++) {
        /* An odd multiplier visits every register once. */
        make_one(&made, i * 7919U % 16384, 1 + random_below(&fixture->random, 50));
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                         STATUS_OK);
        if (i == 100) {
            make_one(&made, header, 1);
            assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                             STATUS_OK);
        }
    }
    assert_int_equal(vector_size(&fixture->vector), 16385);
    assert_in_range(vector_heap_bytes(&fixture->vector), 16384, 17064);
}

/* Bytes a block over 100,000 blocks of one small element, which is a tie, a head and a unit. */
static void test_vector_of_many_small_blocks_takes_few_bytes_each(void **state)
{
    struct fixture *fixture = *state;
    struct made made;

    for (uint64_t i = 0; i < 100000; i++) {
        make_one(&made, (i * 7919 % 100000) << 20, 5);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                         STATUS_OK);
    }
    assert_int_equal(vector_blocks(&fixture->vector), 100000);
    assert_in_range(vector_heap_bytes(&fixture->vector), 1800000, 2200000);
    vector_audit(&fixture->vector);
}

/* One merge, with the nth allocation failing: nothing may have changed, result included. */
static void merge_with_failures(struct fixture *fixture, const struct block *block)
{
    const uint64_t digest = vector_digest(&fixture->vector, SALT);
    const uint64_t size = vector_size(&fixture->vector);
    const size_t blocks = vector_blocks(&fixture->vector);
    const uint64_t bytes = fixture->mem.used_bytes;
    struct merge_result result;
    const struct merge_result untouched = { .digest_delta = 77, .raised.number = 5 };
    enum status status = STATUS_MEMORY;

    for (uint64_t nth = 1; status != STATUS_OK; nth++) {
        assert_in_range(nth, 1, 3);
        result = untouched;
        fixture->mem.fail_countdown = nth;
        status = vector_merge(&fixture->vector, &fixture->mem, block, SALT, &result);
        if (status == STATUS_OK) {
            break;
        }
        assert_int_equal(status, STATUS_MEMORY);
        assert_memory_equal(&result, &untouched, sizeof result);
        vector_audit(&fixture->vector);
        assert_true(vector_digest(&fixture->vector, SALT) == digest);
        assert_true(vector_size(&fixture->vector) == size);
        assert_true(vector_blocks(&fixture->vector) == blocks);
        assert_true(fixture->mem.used_bytes == bytes);
        assert_true(vector_heap_bytes(&fixture->vector) == bytes);
    }
    fixture->mem.fail_countdown = 0;
    assert_true(vector_digest(&fixture->vector, SALT) == digest + result.digest_delta);
    assert_true(vector_heap_bytes(&fixture->vector) == fixture->mem.used_bytes);
    vector_audit(&fixture->vector);
}

static void test_vector_merge_that_cannot_allocate_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct made made;

    random_seed(&fixture->random, 6, 0);
    for (unsigned merge = 0; merge < 1500; merge++) {
        make_random(&made, &fixture->random, random_below(&fixture->random, 400), 8);
        merge_with_failures(fixture, &made.block);
    }
    assert_in_range(fixture->mem.used_bytes, 200000, 1000000);
}

static void vector_fill(struct vector *vector, struct mem *mem, struct random *random,
                        unsigned merges, unsigned blocks, uint64_t step)
{
    struct made made;

    for (unsigned i = 0; i < merges; i++) {
        if (random_below(random, 3) == 0) {
            make_random(&made, random, random_below(random, blocks) * step, 8);
        } else {
            make_one(&made,
                     random_below(random, blocks) * step << 8
                         | random_below(random, BLOCK_ELEMENTS),
                     1 + random_below(random, 60));
        }
        assert_int_equal(vector_merge(vector, mem, &made.block, 0, NULL), STATUS_OK);
    }
}

static void merge_all(struct vector *vector, struct mem *mem, const struct vector *more)
{
    struct block_room room;

    for (size_t i = 0; i < vector_blocks(more); i++) {
        const struct block block = vector_block(more, i, &room);
        struct merge_result result;

        assert_int_equal(vector_merge(vector, mem, &block, SALT, &result), STATUS_OK);
    }
}

/* What a node does most: values that rise, or not, where there is an element already. */
static void test_vector_merge_into_what_is_there_allocates_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint64_t bytes;

    random_seed(&fixture->random, 10, 0);
    vector_fill(&fixture->vector, &fixture->mem, &fixture->random, 2000, 50, 1);
    bytes = fixture->mem.used_bytes;
    fixture->mem.limit_bytes = 1;
    for (size_t i = 0; i < vector_blocks(&fixture->vector); i++) {
        struct block_room room;
        struct made made;
        const struct block block = vector_block(&fixture->vector, i, &room);
        const uint64_t first = block.number << 8 | block_offset(&block, 0);
        const uint64_t value = vector_get(&fixture->vector, first);
        const uint64_t more = value == 1 || (value & (value + 1)) == 0 ? value : value + 1;

        make_one(&made, first, more);
        assert_int_equal(vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL),
                         STATUS_OK);
        assert_true(fixture->mem.used_bytes == bytes);
    }
}

/* Runs that stand alike and runs that do not, full blocks and others, are joined the same. */
static void test_vector_join_is_a_merge_of_every_block(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned round = 0; round < 200; round++) {
        struct vector more;
        struct vector merged;
        const unsigned merges = round % 4 == 0 ? 2 : 300;

        random_seed(&fixture->random, round, 12);
        vector_init(&more);
        vector_init(&merged);
        vector_fill(&more, &fixture->mem, &fixture->random, merges, 1 + round * 3, 1);
        vector_fill(&fixture->vector, &fixture->mem, &fixture->random, round % 3 * 150,
                    1 + round * 3, 1);
        for (unsigned i = round % 5; i < 60; i++) { /* full blocks of bytes, with gaps in both */
            struct made made;

            make(&made, &fixture->random, i, 1, true, 1, 1, 250);
            if (i % 7 != round % 7) {
                assert_int_equal(vector_merge(&more, &fixture->mem, &made.block, 0, NULL),
                                 STATUS_OK);
            }
            make(&made, &fixture->random, i, 1, true, 1, 1, 250);
            if (i % 11 != round % 11) {
                assert_int_equal(
                    vector_merge(&fixture->vector, &fixture->mem, &made.block, 0, NULL), STATUS_OK);
            }
        }
        merge_all(&merged, &fixture->mem, &fixture->vector);
        merge_all(&merged, &fixture->mem, &more);
        assert_int_equal(vector_join(&fixture->vector, &fixture->mem, &more), STATUS_OK);
        vector_audit(&fixture->vector);
        assert_true(vector_digest(&fixture->vector, SALT) == vector_digest(&merged, SALT));
        assert_true(vector_size(&fixture->vector) == vector_size(&merged));
        vector_clear(&more, &fixture->mem);
        vector_clear(&merged, &fixture->mem);
        vector_clear(&fixture->vector, &fixture->mem);
    }
}

static void test_vector_join_says_when_it_cannot_allocate(void **state)
{
    struct fixture *fixture = *state;
    struct vector more;

    vector_init(&more);
    random_seed(&fixture->random, 13, 0);
    vector_fill(&more, &fixture->mem, &fixture->random, 100, 50, 1);
    fixture->mem.fail_countdown = 3;
    assert_int_equal(vector_join(&fixture->vector, &fixture->mem, &more), STATUS_MEMORY);
    vector_audit(&fixture->vector);
    vector_clear(&more, &fixture->mem);
}

static void test_vector_clear_leaves_a_vector_that_can_be_used_again(void **state)
{
    struct fixture *fixture = *state;

    random_seed(&fixture->random, 11, 0);
    for (unsigned i = 0; i < 3; i++) {
        vector_fill(&fixture->vector, &fixture->mem, &fixture->random, 500, 500, 1);
        vector_clear(&fixture->vector, &fixture->mem);
        assert_int_equal(fixture->mem.used_bytes, 0);
        assert_int_equal(vector_blocks(&fixture->vector), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vector_get_of_an_empty_vector_is_0),
        TEST(test_vector_merge_keeps_the_largest_index),
        TEST(test_vector_keeps_the_largest_values_in_dense_blocks),
        TEST(test_vector_keeps_a_few_small_elements_without_allocating),
        TEST(test_vector_ignores_values_of_0),
        TEST(test_vector_merge_marks_as_larger_only_what_theirs_has),
        TEST(test_vector_of_16384_registers_takes_at_most_17_kib),
        TEST(test_vector_of_many_small_blocks_takes_few_bytes_each),
        TEST(test_vector_is_the_reference_over_random_merges_of_every_form),
        TEST(test_vector_is_the_reference_over_single_elements),
        TEST(test_vector_of_thousands_of_blocks_is_the_reference),
        TEST(test_vector_merge_that_cannot_allocate_changes_nothing),
        TEST(test_vector_merge_into_what_is_there_allocates_nothing),
        TEST(test_vector_join_is_a_merge_of_every_block),
        TEST(test_vector_join_says_when_it_cannot_allocate),
        TEST(test_vector_clear_leaves_a_vector_that_can_be_used_again),
    };

    return cmocka_run_group_tests_name("vector", tests, NULL, NULL);
}
