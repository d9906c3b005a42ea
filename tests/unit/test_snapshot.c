/* What this file tests: a table is written whole, whatever it holds and whatever happens to it
 * between two pieces. That what was written is read back is tested along with it. */

#include "base/deadline.h"

#include "unit/disk_fixture.h"

#define PIECE FRAME_BYTES_MAX

static const struct disk_peers nobody = { .count = 0 };

/* A table that holds what a snapshot says; the caller frees it. */
static struct table *snapshot_read(struct fixture *fixture, struct recover_report *report)
{
    struct table *table = table_make(&fixture->mem);

    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, table, report), STATUS_OK);
    table_audit(table);
    return table;
}

static void assert_equal_tables(const struct table *one, const struct table *other)
{
    assert_true(table_root(one, TABLE_DATA) == table_root(other, TABLE_DATA));
    assert_int_equal(table_stats(one).keys[TABLE_DATA], table_stats(other).keys[TABLE_DATA]);
    assert_int_equal(table_stats(one).tombstones, table_stats(other).tombstones);
    assert_int_equal(table_stats(one).elements, table_stats(other).elements);
}

/* Write the table out in pieces of some size, read it back, compare. */
static void assert_survives(struct fixture *fixture, size_t piece)
{
    struct recover_report report;
    struct frame_end end;
    struct table *read;

    table_turn_end(fixture->table);
    disk_clear(&fixture->disk);
    end = snapshot_write(&fixture->disk, 1, 0, fixture->table, &nobody, piece);
    assert_int_equal(end.keys, table_stats(fixture->table).keys[TABLE_DATA]);
    assert_int_equal(end.tombstones, table_stats(fixture->table).tombstones);
    assert_int_equal(end.elements, table_stats(fixture->table).elements);
    read = snapshot_read(fixture, &report);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.snapshot_number, 1);
    assert_equal_tables(read, fixture->table);
    table_free(read);
}

static void test_an_empty_table(void **state)
{
    assert_survives(*state, PIECE);
}

static void key_fill(uint8_t key[255], size_t size, unsigned number)
{
    memset(key, 'k', size);
    for (size_t i = size < 4 ? 0 : size - 4; i < size; i++) {
        key[i] = (uint8_t)('a' + number % 26);
        number /= 26;
    }
}

/* Shapes: each puts something of its kind into a key. */

static void shape_one(struct fixture *fixture, struct bytes key)
{
    table_put(fixture->table, key, random_below(&fixture->random, 3), 1);
}

static void shape_few(struct fixture *fixture, struct bytes key)
{
    const uint64_t count = 1 + random_below(&fixture->random, 20);

    for (uint64_t i = 0; i < count; i++) {
        table_put(fixture->table, key, random_next(&fixture->random) >> i % 64,
                  1 + (random_next(&fixture->random) >> i % 63));
    }
}

static void shape_edges(struct fixture *fixture, struct bytes key)
{
    table_put(fixture->table, key, 0, UINT64_MAX);
    table_put(fixture->table, key, 255, 1);
    table_put(fixture->table, key, 256, UINT64_MAX);
    table_put(fixture->table, key, UINT64_MAX, UINT64_MAX);
    table_put(fixture->table, key, UINT64_MAX - 256, 1);
}

static void blocks_put(struct fixture *fixture, struct bytes key, unsigned blocks, uint64_t mask)
{
    struct entry *entry = NULL;

    assert_int_equal(table_obtain(fixture->table, key, TABLE_DATA, &entry), STATUS_OK);
    for (unsigned i = 0; i < blocks; i++) {
        uint64_t values[BLOCK_ELEMENTS];
        const struct block block = {
            .number = i, .values = values, .count = BLOCK_ELEMENTS, .width = 8
        };

        for (unsigned j = 0; j < BLOCK_ELEMENTS; j++) {
            values[j] = random_next(&fixture->random) & mask;
        }
        assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_CLIENT, NULL),
                         STATUS_OK);
    }
}

static void shape_sketch(struct fixture *fixture, struct bytes key)
{
    blocks_put(fixture, key, 16, 31);
}

/* Blocks that no packing makes smaller: one of them is more than a datagram holds. */
static void shape_noise(struct fixture *fixture, struct bytes key)
{
    blocks_put(fixture, key, 3, UINT64_MAX);
}

/* More than a frame holds, more than a piece does. */
static void shape_big(struct fixture *fixture, struct bytes key)
{
    blocks_put(fixture, key, 40, UINT64_MAX);
}

static void shape_bitmap(struct fixture *fixture, struct bytes key)
{
    blocks_put(fixture, key, 8, 1);
}

static void test_every_shape_survives(void **state)
{
    static void (*const shapes[])(struct fixture *, struct bytes) = {
        shape_one, shape_few, shape_edges, shape_sketch, shape_noise, shape_big, shape_bitmap,
    };
    struct fixture *fixture = *state;
    unsigned number = 0;

    for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++) {
        for (size_t size = 1; size <= 255; size += shape == 5 ? 127 : 42) {
            uint8_t key[255];

            key_fill(key, size, number++);
            shapes[shape](fixture, (struct bytes){ key, size });
        }
        assert_survives(fixture, PIECE);
    }
    assert_survives(fixture, PIECE + 1);
    assert_survives(fixture, 5 * PIECE - 3);
}

static void test_many_keys_survive(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t key[255];
        const size_t size = 4 + random_below(&fixture->random, 30);

        key_fill(key, size, i);
        shape_one(fixture, (struct bytes){ key, size });
    }
    assert_survives(fixture, PIECE);
}

static void test_generations_and_tombstones_survive(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 5000; i++) {
        uint8_t key[255] = { 0 };

        key_fill(key, 10, i);
        shape_few(fixture, (struct bytes){ key, 10 });
        if (i % 2 == 0) {
            table_remove(fixture->table, (const char *)key, 1 + i);
        }
        if (i % 4 == 0) {
            shape_few(fixture, (struct bytes){ key, 10 });
        }
        if (i % 8 == 0) {
            table_remove(fixture->table, (const char *)key, UINT32_MAX);
        }
        table_turn_end(fixture->table);
    }
    assert_int_equal(table_stats(fixture->table).tombstones, 1875);
    assert_survives(fixture, PIECE);
}

static void test_tombstones_end_after_a_load_too(void **state)
{
    static const char key[] = "b~2026-12-29";
    struct fixture *fixture = *state;
    struct recover_report report;
    struct table *read;

    table_put(fixture->table, bytes_of("a"), 7, 1);
    table_put(fixture->table, bytes_of(key), 7, 1);
    table_remove(fixture->table, "a", 5);
    table_remove(fixture->table, key, 5);
    table_turn_end(fixture->table);
    assert_survives(fixture, PIECE);
    read = snapshot_read(fixture, &report);
    assert_int_equal(table_stats(read).tombstones, 2);
    assert_int_equal(entry_deadline(table_tombstone(read, bytes_of(key))),
                     deadline_of(bytes_of(key)));
    table_set_minute(read, deadline_of(bytes_of(key)));
    (void)table_expire(read, 10);
    assert_int_equal(table_stats(read).tombstones, 1);
    table_free(read);
    /* What ended while it was away is not taken in again. */
    read = table_make(&fixture->mem);
    table_set_minute(read, deadline_of(bytes_of(key)));
    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, read, &report), STATUS_OK);
    assert_int_equal(table_stats(read).tombstones, 1);
    assert_int_equal(table_stats(read).ended, 0);
    assert_int_equal(report.damaged, 0);
    table_free(read);
}

static void test_presence_and_what_has_ended_are_left_out(void **state)
{
    static const char *const keys[] = { "a", "b~2026-12-29", "c~2026-12-30", "z" };
    const uint8_t offset = 0;
    const uint64_t value = 3;
    const struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 8 };
    struct fixture *fixture = *state;
    struct recover_report report;
    struct entry *entry;
    struct table *read;

    for (size_t i = 0; i < 4; i++) {
        table_put(fixture->table, bytes_of(keys[i]), 7, 1 + i);
    }
    assert_int_equal(
        table_obtain(fixture->table, bytes_of("n:127.0.0.1:6001"), TABLE_MEMBERS, &entry),
        STATUS_OK);
    assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_SELF, NULL), STATUS_OK);
    table_turn_end(fixture->table);
    /* The minute is set, and nothing is taken out yet. */
    table_set_minute(fixture->table, deadline_of(bytes_of(keys[1])));
    snapshot_write(&fixture->disk, 1, 0, fixture->table, &nobody, PIECE);
    read = snapshot_read(fixture, &report);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(table_stats(read).keys[TABLE_DATA], 3);
    assert_int_equal(table_stats(read).keys[TABLE_MEMBERS], 0);
    assert_int_equal(table_value(read, keys[1], 7), 0);
    assert_int_equal(table_value(read, keys[2], 7), 3);
    table_free(read);
}

static void test_peers_are_kept(void **state)
{
    const struct disk_peers peers = { .contact_s = 1795000000, .count = 1, .list[0].port = 6001 };
    struct fixture *fixture = *state;
    struct recover_report report;
    struct table *read;

    snapshot_write(&fixture->disk, 1, 0, fixture->table, &peers, PIECE);
    read = snapshot_read(fixture, &report);
    table_free(read);
    assert_int_equal(report.peers.contact_s, 1795000000);
    assert_int_equal(report.peers.count, 1);
    assert_int_equal(report.peers.list[0].port, 6001);
}

/* Between pieces. */

static void walk_change(struct fixture *fixture, unsigned step)
{
    uint8_t key[255] = { 0 };
    const unsigned number = (unsigned)random_below(&fixture->random, 3000);

    key_fill(key, 12, number);
    switch (step % 4) {
    case 0:
        if (number % 3 != 0 && table_find(fixture->table, bytes_of((const char *)key)) != NULL) {
            table_remove(fixture->table, (const char *)key, 100 + step);
        }
        break;
    case 1:
        if (number % 3 != 0 && table_find(fixture->table, bytes_of((const char *)key)) != NULL) {
            table_drop(fixture->table, table_find(fixture->table, bytes_of((const char *)key)));
        }
        break;
    case 2: shape_big(fixture, (struct bytes){ key, 12 }); break;
    default: shape_few(fixture, (struct bytes){ key, 12 }); break;
    }
}

/* Keys whose number is a multiple of three are never deleted, and what they held at first is
 * there in the end, whatever happens to them and to the others. */
static void test_what_was_there_all_the_while_is_not_missed(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    const size_t at = disk_file(disk, DISK_SNAPSHOT, 1);
    struct recover_report report;
    struct snapshot_walk walk;
    struct table *read;
    unsigned pieces = 0;
    size_t size;

    for (unsigned i = 0; i < 3000; i++) {
        uint8_t key[255] = { 0 };

        key_fill(key, 12, i);
        if (i % 500 == 0) {
            shape_big(fixture, (struct bytes){ key, 12 });
        }
        table_put(fixture->table, (struct bytes){ key, 12 }, 1000000 + i, 1 + i);
    }
    snapshot_begin(&walk, frame_seed(DIRECTORY_ID, disk->found[at].file), 0);
    do {
        table_turn_end(fixture->table);
        for (unsigned i = 0; i < 8 && pieces < 15; i++) {
            walk_change(fixture, pieces * 8 + i);
        }
        assert_true(disk->found[at].size < DISK_FILE_BYTES - PIECE);
        size = snapshot_next(&walk, fixture->table, &nobody,
                             (struct space){ disk->bytes[at] + disk->found[at].size, PIECE });
        disk->found[at].size += size;
        pieces++;
    } while (size > 0);
    assert_true(pieces > 15);
    read = snapshot_read(fixture, &report);
    assert_int_equal(report.damaged, 0);
    for (unsigned i = 0; i < 3000; i += 3) {
        uint8_t key[255] = { 0 };

        key_fill(key, 12, i);
        assert_int_equal(table_value(read, (const char *)key, 1000000 + i), 1 + i);
    }
    table_free(read);
}

/* A key that is being written is deleted, and written to anew, between two of its parts. */
static void test_a_key_that_is_renewed_while_it_is_written(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    const size_t at = disk_file(disk, DISK_SNAPSHOT, 1);
    struct recover_report report;
    struct snapshot_walk walk;
    struct table *read;
    unsigned pieces = 0;
    size_t size;

    shape_big(fixture, bytes_of("big"));
    table_put(fixture->table, bytes_of("last"), 1, 2);
    snapshot_begin(&walk, frame_seed(DIRECTORY_ID, disk->found[at].file), 0);
    do {
        table_turn_end(fixture->table);
        if (pieces == 2) {
            table_remove(fixture->table, "big", 9);
            table_put(fixture->table, bytes_of("big"), UINT64_MAX, 7);
        }
        size = snapshot_next(&walk, fixture->table, &nobody,
                             (struct space){ disk->bytes[at] + disk->found[at].size, PIECE });
        disk->found[at].size += size;
        pieces++;
    } while (size > 0);
    read = snapshot_read(fixture, &report);
    assert_int_equal(report.damaged, 0);
    assert_equal_tables(read, fixture->table);
    table_free(read);
}

/* Of a million keys that are left out a piece looks at a part. */
static void test_a_piece_is_short_however_much_is_left_out(void **state)
{
    static uint8_t bytes[4 * FRAME_BYTES_MAX];
    struct fixture *fixture = *state;
    struct snapshot_walk walk;
    uint64_t nodes;

    for (unsigned i = 0; i < 30000; i++) {
        uint8_t key[255];

        key_fill(key, 5, i);
        memcpy(key + 5, "~2026-12-29", 11);
        table_put(fixture->table, (struct bytes){ key, 16 }, 0, 1);
    }
    table_turn_end(fixture->table);
    table_set_minute(fixture->table, DEADLINE_MAX);
    snapshot_begin(&walk, 1, 0);
    do {
        nodes = table_stats(fixture->table).nodes;
        snapshot_next(&walk, fixture->table, &nobody, (struct space){ bytes, sizeof bytes });
        nodes = table_stats(fixture->table).nodes - nodes;
        assert_true(nodes < 10000);
    } while (nodes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_table),
        TEST(test_every_shape_survives),
        TEST(test_many_keys_survive),
        TEST(test_generations_and_tombstones_survive),
        TEST(test_tombstones_end_after_a_load_too),
        TEST(test_presence_and_what_has_ended_are_left_out),
        TEST(test_peers_are_kept),
        TEST(test_what_was_there_all_the_while_is_not_missed),
        TEST(test_a_key_that_is_renewed_while_it_is_written),
        TEST(test_a_piece_is_short_however_much_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
