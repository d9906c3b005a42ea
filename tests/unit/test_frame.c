/* What this file tests: frames and their payloads of fixed form; that none passes which was
 * damaged, or lies where it was not written. */

#include "base/random.h"
#include "disk/frame.h"
#include "disk/peers.h"

#include <string.h>

#include "unit/test.h"

#define ID   UINT64_C(0x1122334455667788)
#define ROOM 4096

static const struct disk_file log_3 = { .number = 3, .kind = DISK_LOG };

struct fixture {
    uint8_t bytes[ROOM];
    struct random random;
    size_t size;
    uint64_t seed;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .seed = frame_seed(ID, log_3) };
    random_seed(&fixture.random, 5, 1);
    *state = &fixture;
    return 0;
}

/* Append a frame with a payload of these many random bytes. */
static size_t append(struct fixture *fixture, uint64_t sequence, size_t payload)
{
    const size_t at = fixture->size;
    uint8_t *to = fixture->bytes + at;

    for (size_t i = 0; i < payload; i++) {
        to[FRAME_HEAD_BYTES + i] = (uint8_t)random_below(&fixture->random, 256);
    }
    fixture->size += frame_seal(
        to, fixture->seed,
        &(struct frame){
            .payload.size = payload, .sequence = sequence, .kept = sequence, .kind = FRAME_ITEMS });
    return at;
}

static struct bytes from(const struct fixture *fixture, size_t at)
{
    return (struct bytes){ fixture->bytes + at, fixture->size - at };
}

static void test_a_frame_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame;

    append(fixture, 7, 100);
    append(fixture, 8, 0);
    assert_true(frame_open(from(fixture, 0), fixture->seed, &frame));
    assert_int_equal(frame.sequence, 7);
    assert_int_equal(frame.kind, FRAME_ITEMS);
    assert_int_equal(frame.payload.size, 100);
    assert_ptr_equal(frame.payload.data, fixture->bytes + FRAME_HEAD_BYTES);
    assert_true(frame_open(from(fixture, frame_size(&frame)), fixture->seed, &frame));
    assert_int_equal(frame.payload.size, 0);
}

static void test_what_was_kept_before_a_frame_is_read_back(void **state)
{
    static const uint64_t cases[][3] = {
        /* sequence, kept, kept as read */
        { 9, 9, 9 },
        { 9, 2, 2 },
        { FRAME_SEQUENCE_MAX, FRAME_SEQUENCE_MAX - 65534, FRAME_SEQUENCE_MAX - 65534 },
        { FRAME_SEQUENCE_MAX, FRAME_SEQUENCE_MAX - 65535, 0 },
        { 70000, 1, 0 },
    };
    struct fixture *fixture = *state;
    struct frame frame;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture->size = frame_seal(
            fixture->bytes, fixture->seed,
            &(struct frame){ .sequence = cases[i][0], .kept = cases[i][1], .kind = FRAME_ITEMS });
        assert_true(frame_open(from(fixture, 0), fixture->seed, &frame));
        assert_true(frame.sequence == cases[i][0]);
        assert_true(frame.kept == cases[i][2]);
    }
}

static void test_no_changed_bit_passes(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame;

    append(fixture, 1, 40);
    for (size_t bit = 0; bit < fixture->size * 8; bit++) {
        fixture->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(frame_open(from(fixture, 0), fixture->seed, &frame));
        fixture->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(frame_open(from(fixture, 0), fixture->seed, &frame));
}

static void test_no_part_of_a_frame_passes(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame;

    append(fixture, 1, 40);
    for (size_t size = 0; size < fixture->size; size++) {
        assert_false(frame_open((struct bytes){ fixture->bytes, size }, fixture->seed, &frame));
    }
}

static void test_a_frame_of_another_file_or_directory_does_not_pass(void **state)
{
    struct fixture *fixture = *state;
    const struct disk_file log_4 = { .number = 4, .kind = DISK_LOG };
    const struct disk_file snapshot_3 = { .number = 3, .kind = DISK_SNAPSHOT };
    const struct disk_file draft_3 = { .number = 3, .kind = DISK_DRAFT };
    struct frame frame;

    append(fixture, 1, 40);
    assert_false(frame_open(from(fixture, 0), frame_seed(ID + 1, log_3), &frame));
    assert_false(frame_open(from(fixture, 0), frame_seed(ID, log_4), &frame));
    assert_false(frame_open(from(fixture, 0), frame_seed(ID, snapshot_3), &frame));
    assert_int_equal(frame_seed(ID, draft_3), frame_seed(ID, snapshot_3));
}

static void test_what_lies_behind_damage_is_found(void **state)
{
    struct fixture *fixture = *state;
    size_t third;

    append(fixture, 1, 100);
    append(fixture, 2, 200);
    third = append(fixture, 3, 10);
    append(fixture, 4, 10);
    memset(fixture->bytes + 60, 0x76, 200); /* 'v' all over it, and the length of the second */
    assert_int_equal(frame_search(from(fixture, 0), fixture->seed, 1), third);
    assert_int_equal(frame_search(from(fixture, 0), fixture->seed, 5), fixture->size);
    assert_int_equal(frame_search(from(fixture, third + 1), fixture->seed, 0),
                     frame_search(from(fixture, third + 20), fixture->seed, 0) + 19);
}

static void test_blank_is_zeros_alone(void **state)
{
    struct fixture *fixture = *state;

    assert_true(frame_is_blank((struct bytes){ fixture->bytes, 0 }));
    assert_true(frame_is_blank((struct bytes){ fixture->bytes, ROOM }));
    for (size_t at = 0; at < ROOM; at += 39) {
        fixture->bytes[at] = 1;
        assert_false(frame_is_blank((struct bytes){ fixture->bytes, ROOM }));
        fixture->bytes[at] = 0;
    }
}

static void test_payloads_of_fixed_form(void **state)
{
    const struct frame_begin begin = { .format = FRAME_FORMAT, .sequence = FRAME_SEQUENCE_MAX };
    const struct frame_end end = { .keys = 1, .tombstones = UINT64_MAX, .elements = 3 };
    struct fixture *fixture = *state;
    struct frame_begin begin_read;
    struct frame_end end_read;

    frame_begin_put(fixture->bytes, &begin);
    assert_true(frame_begin_read((struct bytes){ fixture->bytes, FRAME_BEGIN_BYTES }, &begin_read));
    assert_true(begin_read.sequence == FRAME_SEQUENCE_MAX);
    assert_false(
        frame_begin_read((struct bytes){ fixture->bytes, FRAME_BEGIN_BYTES - 1 }, &begin_read));
    fixture->bytes[0]++;
    assert_false(
        frame_begin_read((struct bytes){ fixture->bytes, FRAME_BEGIN_BYTES }, &begin_read));
    frame_end_put(fixture->bytes, &end);
    assert_true(frame_end_read((struct bytes){ fixture->bytes, FRAME_END_BYTES }, &end_read));
    assert_memory_equal(&end_read, &end, sizeof end);
    assert_false(frame_end_read((struct bytes){ fixture->bytes, 0 }, &end_read));
}

static void test_peers_are_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct disk_peers peers = { .contact_s = 1795000000, .count = DISK_PEERS_MAX };
    struct disk_peers read;
    size_t size;

    for (size_t i = 0; i < peers.count; i++) {
        memset(peers.list[i].ip, (int)i, sizeof peers.list[i].ip);
        peers.list[i].port = (uint16_t)(65535 - i);
    }
    size = disk_peers_put(fixture->bytes, &peers);
    assert_int_equal(size, DISK_PEERS_BYTES_MAX);
    assert_true(disk_peers_read((struct bytes){ fixture->bytes, size }, &read));
    assert_int_equal(read.count, peers.count);
    assert_int_equal(read.contact_s, peers.contact_s);
    for (size_t i = 0; i < peers.count; i++) {
        assert_int_equal(address_compare(&read.list[i], &peers.list[i]), 0);
    }
    for (size_t less = 1; less < 18; less++) {
        assert_false(disk_peers_read((struct bytes){ fixture->bytes, size - less }, &read));
    }
    assert_false(disk_peers_read((struct bytes){ fixture->bytes, size + 18 }, &read));
    assert_true(disk_peers_read((struct bytes){ fixture->bytes, 8 }, &read));
    assert_int_equal(read.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_frame_is_read_back, setup),
        cmocka_unit_test_setup(test_what_was_kept_before_a_frame_is_read_back, setup),
        cmocka_unit_test_setup(test_no_changed_bit_passes, setup),
        cmocka_unit_test_setup(test_no_part_of_a_frame_passes, setup),
        cmocka_unit_test_setup(test_a_frame_of_another_file_or_directory_does_not_pass, setup),
        cmocka_unit_test_setup(test_what_lies_behind_damage_is_found, setup),
        cmocka_unit_test_setup(test_blank_is_zeros_alone, setup),
        cmocka_unit_test_setup(test_payloads_of_fixed_form, setup),
        cmocka_unit_test_setup(test_peers_are_read_back, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
