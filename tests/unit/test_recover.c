/* What this file tests: a table is loaded from its directory whatever order and state its files are
 * in; what is missing is told; nothing is joined that was not written. */

#include "base/deadline.h"

#include "unit/disk_fixture.h"

static const struct disk_peers nobody = { .count = 0 };

static struct recover_report load(struct fixture *fixture)
{
    struct recover_report report;

    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, fixture->table, &report), STATUS_OK);
    table_audit(fixture->table);
    return report;
}

static void assert_well(const struct recover_report *report)
{
    assert_int_equal(report->damaged, 0);
    assert_int_equal(report->torn_bytes, 0);
}

static void test_an_empty_directory(void **state)
{
    const struct recover_report report = load(*state);

    assert_well(&report);
    assert_int_equal(report.next_number, 1);
    assert_int_equal(report.next_sequence, 1);
    assert_int_equal(report.snapshot_number, 0);
}

static void test_logs_are_joined_in_order_of_their_numbers(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 12, 3);
    log_write(&fixture->disk, 12, 3, 3, "b", 0, 1, 7);
    log_begin(&fixture->disk, 9, 1);
    log_write(&fixture->disk, 9, 1, 1, "a", 0, 5, 4);
    log_write(&fixture->disk, 9, 2, 2, "a", 0, 5, 3);
    disk_extend(&fixture->disk, 1, 700000);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(table_value(fixture->table, "a", 5), 4);
    assert_int_equal(table_value(fixture->table, "b", 1), 7);
    assert_int_equal(report.next_number, 13);
    assert_int_equal(report.next_sequence, 4);
    assert_int_equal(report.items, 3);
    assert_int_equal(report.frames, 5);
}

static void test_what_a_snapshot_holds_is_not_read_from_logs(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    table_put(fixture->table, bytes_of("kept"), 1, 1);
    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "old", 0, 1, 1);
    log_begin(&fixture->disk, 2, 40);
    log_write(&fixture->disk, 2, 40, 40, "new", 0, 1, 1);
    snapshot_write(&fixture->disk, 2, 40, fixture->table, &nobody, FRAME_BYTES_MAX);
    disk_file(&fixture->disk, DISK_DRAFT, 7);
    table_drop(fixture->table, table_find(fixture->table, bytes_of("kept")));
    table_turn_end(fixture->table);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(table_value(fixture->table, "kept", 1), 1);
    assert_int_equal(table_value(fixture->table, "new", 1), 1);
    assert_int_equal(table_value(fixture->table, "old", 1), 0);
    assert_int_equal(report.snapshot_number, 2);
    assert_int_equal(report.next_number, 8);
    assert_int_equal(report.next_sequence, 41);
}

static void test_an_empty_draft_is_ignored(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    table_put(fixture->table, bytes_of("old"), 1, 1);
    snapshot_write(&fixture->disk, 3, 0, fixture->table, &nobody, FRAME_BYTES_MAX);
    disk_file(&fixture->disk, DISK_DRAFT, 4);
    disk_extend(&fixture->disk, 1, 100);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(report.snapshot_number, 3);
    assert_int_equal(report.next_sequence, 1);
}

/* Generations. */

static void test_the_greater_generation_wins_whole(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    const uint64_t gone = table_hash(fixture->table, bytes_of("gone"));
    const uint64_t back = table_hash(fixture->table, bytes_of("back"));
    struct recover_report report;

    log_begin(disk, 1, 1);
    log_write(disk, 1, 1, 1, "back", 0, 1, 100);
    log_write(disk, 1, 2, 2, "gone", 0, 1, 100);
    log_delete(disk, 1, 3, back, 50);
    log_delete(disk, 1, 4, gone, 60);
    log_write(disk, 1, 5, 5, "back", 50, 2, 7);
    log_write(disk, 1, 6, 6, "gone", 59, 1, 100);
    log_write(disk, 1, 7, 7, "fresh", 70, 3, 1);
    log_write(disk, 1, 8, 8, "fresh", 69, 4, 1);
    log_delete(disk, 1, 9, table_hash(fixture->table, bytes_of("fresh")), 68);
    log_write(disk, 1, 10, 10, "back", 51, 3, 8);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(table_value(fixture->table, "back", 1), 0);
    assert_int_equal(table_value(fixture->table, "back", 2), 0);
    assert_int_equal(table_value(fixture->table, "back", 3), 8);
    assert_null(table_find(fixture->table, bytes_of("gone")));
    assert_int_equal(table_value(fixture->table, "fresh", 3), 1);
    assert_int_equal(table_value(fixture->table, "fresh", 4), 0);
    assert_int_equal(table_stats(fixture->table).tombstones, 1);
    assert_int_equal(entry_generation(table_tombstone(fixture->table, bytes_of("gone"))), 60);
}

static void test_a_deletion_by_name(void **state)
{
    /* [["k", {}, false, 9]] */
    static const uint8_t payload[] = { 0x91, 0x94, 0xa1, 'k', 0x80, 0xc2, 9 };
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "k", 8, 1, 100);
    log_put(&fixture->disk, 1, 2, FRAME_ITEMS, (struct bytes){ payload, sizeof payload });
    report = load(fixture);
    assert_well(&report);
    assert_null(table_find(fixture->table, bytes_of("k")));
    assert_int_equal(entry_generation(table_tombstone(fixture->table, bytes_of("k"))), 9);
}

static void test_what_has_ended_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    table_set_minute(fixture->table, deadline_of(bytes_of("x~2026-12-29")));
    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "x~2026-12-29", 0, 1, 1);
    log_write(&fixture->disk, 1, 2, 2, "x~2026-12-30", 0, 1, 1);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 1);
    assert_int_equal(table_value(fixture->table, "x~2026-12-30", 1), 1);
}

/* Form. */

static void test_what_no_peer_could_say_is_damage(void **state)
{
    static const struct {
        uint8_t size;
        uint8_t bytes[32];
    } payloads[] = {
        { 1, { 0xc0 } },
        { 0, { 0 } },
        { 6, { 0x91, 0x92, 0xa1, 0x80, 0x81, 0 } },         /* cut off */
        { 7, { 0x91, 0x92, 0xa1, 0x80, 0x81, 0, 1 } },      /* not UTF-8 */
        { 6, { 0x91, 0x92, 0xa0, 0x81, 0, 1 } },            /* no name */
        { 7, { 0x91, 0x92, 0xa1, 0, 0x81, 0, 1 } },         /* a NUL */
        { 7, { 0x91, 0x92, 0xa1, '%', 0x81, 0, 1 } },       /* a pattern */
        { 5, { 0x91, 0x92, 0xa1, 'k', 0x80 } },             /* says nothing */
        { 9, { 0x91, 0x92, 0xa1, 'k', 0x82, 9, 1, 8, 1 } }, /* indices fall */
        { 17, { 0x91, 0x94, 0xa1, 'k', 0x81, 0, 1, 0xc2, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0 } },
        { 22, { 0x91, 0x92, 0xb0, 'n', ':', '1', '2', '7', '.',  '0', '.',
                '0',  '.',  '1',  ':', '6', '0', '0', '1', 0x81, 0,   1 } }, /* presence */
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        struct recover_report report;

        disk_clear(&fixture->disk);
        log_begin(&fixture->disk, 1, 1);
        log_put(&fixture->disk, 1, 1, FRAME_ITEMS,
                (struct bytes){ payloads[i].bytes, payloads[i].size });
        log_write(&fixture->disk, 1, 2, 2, "good", 0, 1, 1);
        report = load(fixture);
        assert_int_equal(report.damaged, 1);
        assert_int_equal(report.damaged_offset, FRAME_HEAD_BYTES + FRAME_BEGIN_BYTES);
        assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 1);
        assert_int_equal(table_value(fixture->table, "good", 1), 1);
    }
}

static void test_frames_in_the_wrong_place_are_damage(void **state)
{
    static const uint8_t zeros[FRAME_END_BYTES] = { 0 };
    struct fixture *fixture = *state;

    for (unsigned kind = FRAME_BEGIN; kind < FRAME_KIND_COUNT; kind++) {
        struct recover_report report;

        disk_clear(&fixture->disk);
        log_begin(&fixture->disk, 1, 1);
        log_put(&fixture->disk, 1, 1, (enum frame_kind)kind, (struct bytes){ zeros, sizeof zeros });
        report = load(fixture);
        assert_int_equal(report.damaged, 1);
    }
}

/* Torn, or damaged. */

static void write_three(struct disk *disk)
{
    log_begin(disk, 1, 1);
    log_write(disk, 1, 1, 1, "a", 0, 1, 1);
    log_write(disk, 1, 2, 2, "b", 0, 1, 1);
    log_write(disk, 1, 3, 3, "c", 0, 1, 1);
}

/* Offset in log 1 of the frame that write_three() gave this sequence, all of one size. */
static size_t third_at(const struct disk *disk, unsigned sequence)
{
    const size_t begin = FRAME_HEAD_BYTES + FRAME_BEGIN_BYTES;

    return begin + (disk->found[0].size - begin) / 3 * (sequence - 1);
}

/* What passes its checksum may still say what nobody writes: whoever goes on from there counts from
 * 1, and not beyond the greatest. */
static void test_what_is_to_come_can_be_counted(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t wild[] = { 0, FRAME_SEQUENCE_MAX, FRAME_SEQUENCE_MAX + 1, UINT64_MAX };
    const size_t count = sizeof wild / sizeof wild[0];

    for (size_t i = 0; i < count * count; i++) {
        struct recover_report report;

        disk_clear(&fixture->disk);
        log_begin(&fixture->disk, 1, wild[i / count]);
        log_write(&fixture->disk, 1, wild[i % count], wild[i % count] / 2, "k", 0, 1, 1);
        log_begin(&fixture->disk, DISK_NUMBER_MAX + 1, 9);
        report = load(fixture);
        assert_true(report.next_sequence >= 1);
        assert_true(report.next_sequence <= FRAME_SEQUENCE_MAX + 1);
        assert_int_equal(report.next_number, 2);
    }
}

static void test_a_bad_frame_at_the_end_is_torn(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    write_three(&fixture->disk);
    fixture->disk.bytes[0][third_at(&fixture->disk, 3)] ^= 1;
    disk_extend(&fixture->disk, 0, 400000);
    report = load(fixture);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.torn_bytes, 24 + 7);
    assert_int_equal(report.next_sequence, 3);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 2);
}

static void test_a_bad_frame_before_a_good_one_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    write_three(&fixture->disk);
    fixture->disk.bytes[0][third_at(&fixture->disk, 2)] ^= 1;
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_bytes, 24 + 7);
    assert_int_equal(report.damaged_file.kind, DISK_LOG);
    assert_int_equal(report.damaged_file.number, 1);
    assert_int_equal(report.damaged_offset, third_at(&fixture->disk, 2));
    assert_int_equal(report.torn_bytes, 0);
    assert_int_equal(report.next_sequence, 4);
    assert_int_equal(table_value(fixture->table, "c", 1), 1);
}

/* Of a write of several frames any sectors may be missing, and it was never kept. */
static void test_a_hole_in_the_last_write_is_torn(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "a", 0, 1, 1);
    log_write(&fixture->disk, 1, 2, 1, "b", 0, 1, 1);
    log_write(&fixture->disk, 1, 3, 1, "c", 0, 1, 1);
    fixture->disk.bytes[0][third_at(&fixture->disk, 2)] ^= 1;
    report = load(fixture);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.torn_bytes, 24 + 7);
    assert_int_equal(report.next_sequence, 2);
    assert_int_equal(table_value(fixture->table, "c", 1), 1);
    /* A log that goes on from there agrees; */
    log_begin(&fixture->disk, 2, 2);
    log_write(&fixture->disk, 2, 2, 2, "d", 0, 1, 1);
    report = load(fixture);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.next_sequence, 3);
    /* one that was begun as if it had been kept does not. */
    disk_remove(&fixture->disk, DISK_LOG, 2);
    log_begin(&fixture->disk, 2, 4);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.torn_bytes, 0);
}

/* The first write of a log begins it: what is left of it may be all but that. */
static void test_a_torn_beginning_is_torn(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "a", 0, 1, 1);
    fixture->disk.bytes[0][0] ^= 1;
    report = load(fixture);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.torn_bytes, FRAME_HEAD_BYTES + FRAME_BEGIN_BYTES);
    assert_int_equal(table_value(fixture->table, "a", 1), 1);
    /* A write that came after that one was synced knows better. */
    log_write(&fixture->disk, 1, 2, 2, "b", 0, 1, 1);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.torn_bytes, 0);
}

static void test_a_hole_that_a_later_frame_knows_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "a", 0, 1, 1);
    log_write(&fixture->disk, 1, 2, 1, "b", 0, 1, 1);
    log_write(&fixture->disk, 1, 3, 1, "c", 0, 1, 1);
    fixture->disk.bytes[0][third_at(&fixture->disk, 2)] ^= 1;
    log_write(&fixture->disk, 1, 4, 4, "d", 0, 1, 1);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_bytes, 24 + 7);
    assert_int_equal(report.torn_bytes, 0);
    assert_int_equal(report.next_sequence, 5);
}

static void test_a_torn_log_before_another_is_no_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    write_three(&fixture->disk);
    fixture->disk.bytes[0][third_at(&fixture->disk, 3)] ^= 1;
    log_begin(&fixture->disk, 2, 3);
    log_write(&fixture->disk, 2, 3, 3, "d", 0, 1, 1);
    report = load(fixture);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.torn_bytes, 24 + 7);
    assert_int_equal(report.next_sequence, 4);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 3);
}

/* What was written to a file that failed is numbered anew in the next, though it may be there. */
static void test_a_log_that_goes_back_is_no_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    write_three(&fixture->disk);
    log_begin(&fixture->disk, 2, 2);
    log_write(&fixture->disk, 2, 2, 2, "d", 0, 1, 1);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(report.next_sequence, 3);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 4);
}

static void test_a_gap_between_logs_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    write_three(&fixture->disk);
    log_begin(&fixture->disk, 3, 5);
    log_write(&fixture->disk, 3, 5, 5, "d", 0, 1, 1);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_file.number, 3);
    assert_int_equal(report.next_sequence, 6);
}

static void test_the_first_log_being_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    log_begin(&fixture->disk, 2, 5);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
}

static void test_the_log_of_a_snapshot_being_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    snapshot_write(&fixture->disk, 2, 40, fixture->table, &nobody, FRAME_BYTES_MAX);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_file.kind, DISK_LOG);
    assert_int_equal(report.damaged_file.number, 2);
    assert_int_equal(report.next_sequence, 40);
    log_begin(&fixture->disk, 3, 50);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.next_sequence, 50);
}

static void test_a_file_of_another_directory_does_not_pass(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;
    uint8_t *bytes;

    write_three(&fixture->disk);
    bytes = fixture->disk.bytes[0];
    fixture->disk.found[0].file.number = 2; /* renamed: a log of another number */
    report = load(fixture);
    assert_int_equal(report.frames, 0);
    assert_int_equal(report.torn_bytes, fixture->disk.found[0].size);
    fixture->disk.found[0].file = (struct disk_file){ .number = 1, .kind = DISK_SNAPSHOT };
    report = load(fixture);
    assert_int_equal(report.frames, 0);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_bytes, fixture->disk.found[0].size);
    assert_ptr_equal(bytes, fixture->disk.bytes[0]);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 0);
}

/* A snapshot that is damaged: what is good of it is joined, and the one before with its logs. */
static void test_behind_a_damaged_snapshot_the_older_one_counts(void **state)
{
    static const struct disk_peers old = { .contact_s = 1, .count = 1 };
    static const struct disk_peers recent = { .contact_s = 2, .count = 1, .list[0].port = 1 };
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    size_t at;

    table_put(fixture->table, bytes_of("first"), 1, 1);
    log_begin(disk, 1, 1);
    snapshot_write(disk, 1, 1, fixture->table, &old, FRAME_BYTES_MAX);
    log_write(disk, 1, 1, 1, "second", 0, 1, 1);
    table_put(fixture->table, bytes_of("third"), 1, 1);
    snapshot_write(disk, 2, 2, fixture->table, &recent, FRAME_BYTES_MAX);
    log_begin(disk, 2, 2);
    log_write(disk, 2, 2, 2, "fourth", 0, 1, 1);
    at = disk_file(disk, DISK_SNAPSHOT, 2);
    disk->bytes[at][disk->found[at].size - 1] ^= 1;
    table_free(fixture->table);
    fixture->table = table_make(&fixture->mem);
    report = load(fixture);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.damaged_file.kind, DISK_SNAPSHOT);
    assert_int_equal(report.damaged_file.number, 2);
    assert_int_equal(report.snapshot_number, 1);
    assert_int_equal(report.peers.contact_s, 2);
    assert_int_equal(report.next_sequence, 3);
    assert_int_equal(table_stats(fixture->table).keys[TABLE_DATA], 4);
}

static void test_a_snapshot_that_does_not_add_up_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    uint8_t *payload;

    for (unsigned field = 0; field < 3; field++) {
        disk_clear(disk);
        table_put(fixture->table, bytes_of("first"), 1, 1);
        snapshot_write(disk, 1, 0, fixture->table, &nobody, FRAME_BYTES_MAX);
        disk->found[0].size -= FRAME_HEAD_BYTES + FRAME_END_BYTES;
        payload = disk_payload(disk, 0);
        payload[8 * field] ^= 1;
        disk_seal(
            disk, 0,
            &(struct frame){
                .payload.size = FRAME_END_BYTES, .sequence = 2, .kept = 2, .kind = FRAME_END });
        report = load(fixture);
        assert_int_equal(report.damaged, 1);
        assert_int_equal(report.snapshot_number, 0);
    }
}

/* Whatever order frames come in, and however often. */
static void test_order_and_repetition_make_no_difference(void **state)
{
    static const char *const keys[] = { "a", "b", "c" };
    struct fixture *fixture = *state;
    uint64_t root = 0;

    for (unsigned round = 0; round < 30; round++) {
        struct random random;
        unsigned order[80];
        struct recover_report report;

        random_seed(&random, 3, 0); /* the same each round */
        disk_clear(&fixture->disk);
        for (unsigned i = 0; i < 80; i++) {
            order[i] = i / (round % 2 + 1);
        }
        for (unsigned i = 80; i > 1 && round > 1; i--) {
            const unsigned other = (unsigned)random_below(&fixture->random, i);
            const unsigned swapped = order[i - 1];

            order[i - 1] = order[other];
            order[other] = swapped;
        }
        log_begin(&fixture->disk, 1, 1);
        for (unsigned i = 0; i < 80; i++) {
            random_seed(&random, 1 + order[i] % 40, 0);
            if (random_below(&random, 4) == 0) {
                log_delete(&fixture->disk, 1, 1 + i,
                           table_hash(fixture->table, bytes_of(keys[random_below(&random, 3)])),
                           1 + random_below(&random, 5));
            } else {
                log_write(&fixture->disk, 1, 1 + i, 1 + i, keys[random_below(&random, 3)],
                          random_below(&random, 5), random_below(&random, 3),
                          1 + random_below(&random, 9));
            }
        }
        table_free(fixture->table);
        fixture->table = table_make(&fixture->mem);
        report = load(fixture);
        assert_well(&report);
        root = round == 0 ? table_root(fixture->table, TABLE_DATA) : root;
        assert_true(table_root(fixture->table, TABLE_DATA) == root);
    }
}

/* Anything that can happen to a small directory. */

#define WRITTEN 6

static const struct {
    const char *key;
    uint64_t generation;
    uint64_t index;
    uint64_t value;
} written[WRITTEN] = {
    { "snapped", 0, 1, 100 }, { "snapped", 0, 300, UINT64_MAX }, { "early", 0, 9, 5 },
    { "early", 7, 9, 4 },     { "late", 0, 2, 70000 },           { "last", 0, 3, 3 },
};

/* Log 1 was abandoned before its last frame was kept; log 2 has two writes, the last of two frames.
 */
static void small_write(struct fixture *fixture)
{
    struct disk *disk = &fixture->disk;

    for (unsigned i = 0; i < 2; i++) {
        table_put(fixture->table, bytes_of(written[i].key), written[i].index, written[i].value);
    }
    snapshot_write(disk, 1, 1, fixture->table, &nobody, FRAME_BYTES_MAX);
    log_begin(disk, 1, 1);
    log_write(disk, 1, 1, 1, written[2].key, 0, written[2].index, written[2].value);
    log_write(disk, 1, 2, 2, written[3].key, 7, written[3].index, written[3].value);
    log_begin(disk, 2, 2);
    log_write(disk, 2, 2, 2, written[3].key, 7, written[3].index, written[3].value);
    log_write(disk, 2, 3, 3, written[4].key, 0, written[4].index, written[4].value);
    log_write(disk, 2, 4, 3, written[5].key, 0, written[5].index, written[5].value);
    disk_extend(disk, disk_file(disk, DISK_LOG, 2), 64);
    table_free(fixture->table);
    fixture->table = NULL;
}

static bool was_written(const struct entry *entry, uint64_t index, uint64_t value)
{
    for (unsigned i = 0; i < WRITTEN; i++) {
        if (bytes_order(entry_key(entry), bytes_of(written[i].key)) == 0
            && entry_generation(entry) == written[i].generation && index == written[i].index
            && value == written[i].value) {
            return true;
        }
    }
    return false;
}

static void assert_nothing_else(const struct table *table)
{
    struct entry *entries[WRITTEN];
    const size_t count =
        table_slice(table, (struct bytes){ NULL, 0 }, (struct bytes){ NULL, 0 }, entries, WRITTEN);

    assert_int_equal(table_stats(table).tombstones, 0);
    assert_true(count < WRITTEN);
    for (size_t i = 0; i < count; i++) {
        const struct vector *vector = entry_vector(entries[i]);

        for (size_t j = 0; j < vector_blocks(vector); j++) {
            struct block_room room;
            const struct block block = vector_block(vector, j, &room);

            for (unsigned k = 0; k < block.count; k++) {
                const uint64_t index = block.number << 8 | block_offset(&block, k);

                assert_true(block_value(&block, k) == 0
                            || was_written(entries[i], index, block_value(&block, k)));
            }
        }
    }
}

/* Load what is there now. Returns the root. */
static uint64_t small_load(struct fixture *fixture, struct recover_report *report)
{
    struct table *table = table_make(&fixture->mem);
    uint64_t root;

    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, table, report), STATUS_OK);
    table_audit(table);
    assert_nothing_else(table);
    root = table_root(table, TABLE_DATA);
    table_free(table);
    return root;
}

/* Where what was not yet kept begins in a file. */
static size_t unkept_at(const struct disk *disk, size_t file)
{
    const size_t begin = FRAME_HEAD_BYTES + FRAME_BEGIN_BYTES;
    struct frame frame;
    bool opened;

    if (disk->found[file].file.kind == DISK_SNAPSHOT) {
        return disk->found[file].size;
    }
    opened = frame_open((struct bytes){ disk->bytes[file] + begin, disk->found[file].size - begin },
                        frame_seed(DIRECTORY_ID, disk->found[file].file), &frame);
    assert_true(opened);
    return begin + frame_size(&frame);
}

static void test_every_bit_counts(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    uint64_t root;

    small_write(fixture);
    root = small_load(fixture, &report);
    assert_well(&report);
    for (size_t file = 0; file < disk->count; file++) {
        const size_t unkept = unkept_at(disk, file);

        for (size_t bit = 0; bit < disk->found[file].size * 8; bit++) {
            disk->bytes[file][bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)small_load(fixture, &report);
            if (bit / 8 < unkept) {
                assert_true(report.damaged > 0);
            } else {
                assert_int_equal(report.damaged, 0);
                assert_true(report.torn_bytes > 0);
            }
            disk->bytes[file][bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_true(small_load(fixture, &report) == root);
    fixture->table = table_make(&fixture->mem);
}

static void test_every_truncation_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;

    small_write(fixture);
    for (size_t file = 0; file < disk->count; file++) {
        const uint64_t size = disk->found[file].size;
        const size_t unkept = unkept_at(disk, file);

        for (disk->found[file].size = 0; disk->found[file].size < size; disk->found[file].size++) {
            (void)small_load(fixture, &report);
            if (disk->found[file].file.number == 2) {
                assert_int_equal(report.damaged, 0); /* a crash before that was ever kept */
            } else {
                assert_true((report.damaged > 0) == (disk->found[file].size < unkept));
            }
        }
    }
    fixture->table = table_make(&fixture->mem);
}

static void test_every_hole_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    uint8_t saved[64];

    small_write(fixture);
    for (size_t file = 0; file < disk->count; file++) {
        const size_t unkept = unkept_at(disk, file);

        for (size_t from = 0; from + 64 <= disk->found[file].size; from++) {
            uint8_t *hole = disk->bytes[file] + from;

            memcpy(saved, hole, 64);
            memset(hole, 0, 64);
            (void)small_load(fixture, &report);
            /* Log 2 to its end is as if it had never been. */
            if (from < unkept && disk->found[file].file.number == 1) {
                assert_true(report.damaged > 0);
            } else if (from >= unkept) {
                assert_int_equal(report.damaged, 0);
            }
            memcpy(hole, saved, 64);
        }
    }
    fixture->table = table_make(&fixture->mem);
}

/* Reads, memory. */

/* Frames lie across reads; between them, damage and zeros of any length. */
static void test_frames_across_reads(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    uint64_t sequence = 1;
    uint64_t holes = 0;
    uint64_t bytes = 0;

    log_begin(disk, 1, 1);
    while (disk->found[0].size < DISK_FILE_BYTES - 70000) {
        static const uint8_t payload[FRAME_PAYLOAD_MAX] = { 0x90 };

        log_write(disk, 1, sequence, sequence, "k", 0, sequence, sequence);
        sequence++;
        if (random_below(&fixture->random, 8) == 0) {
            const size_t hole = 1 + random_below(&fixture->random, 40000);
            uint8_t *at = disk->bytes[0] + disk->found[0].size;

            disk_extend(disk, 0, hole);
            if (random_below(&fixture->random, 2) == 0) {
                for (size_t i = 0; i < hole; i++) {
                    at[i] = (uint8_t)random_below(&fixture->random, 256);
                }
            }
            holes++;
            bytes += hole;
        }
        if (random_below(&fixture->random, 4) == 0) {
            const size_t refused = random_below(&fixture->random, FRAME_PAYLOAD_MAX);

            /* Long, and good: trailing zeros are no item. */
            log_put(disk, 1, sequence, FRAME_ITEMS, (struct bytes){ payload, refused + 1 });
            sequence++;
            holes += refused > 0;
            bytes += refused > 0 ? FRAME_HEAD_BYTES + refused + 1 : 0;
        }
    }
    log_write(disk, 1, sequence, sequence, "k", 0, sequence, sequence);
    report = load(fixture);
    assert_int_equal(report.next_sequence, sequence + 1);
    assert_int_equal(report.frames, sequence + 1);
    assert_int_equal(report.damaged, holes);
    assert_int_equal(report.damaged_bytes, bytes);
    assert_int_equal(table_value(fixture->table, "k", sequence), sequence);
}

/* A long frame begins just before a read ends, behind what no frame is in. */
static void test_a_frame_behind_a_hole_across_reads(void **state)
{
    static uint8_t payload[FRAME_PAYLOAD_MAX] = { 0x90 };
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;

    for (size_t before = 1; before < FRAME_BYTES_MAX; before += 1000) {
        struct recover_report report;

        disk_clear(disk);
        log_begin(disk, 1, 1);
        disk_extend(disk, 0, RECOVER_READ_BYTES - before - disk->found[0].size);
        log_put(disk, 1, 1, FRAME_ITEMS, (struct bytes){ payload, sizeof payload });
        report = load(fixture);
        assert_int_equal(report.frames, 2);
    }
}

static void test_a_read_that_fails_ends_the_load(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;

    small_write(fixture);
    for (fixture->disk.fails_at = 1; fixture->disk.fails_at <= 3; fixture->disk.fails_at++) {
        struct table *table = table_make(&fixture->mem);

        assert_int_equal(disk_load(&fixture->disk, &fixture->mem, table, &report), STATUS_SYSTEM);
        assert_int_equal(report.error, 5);
        table_free(table);
    }
    fixture->disk.fails_at = 0;
    fixture->table = table_make(&fixture->mem);
}

/* What a killed process wrote or named and did not sync is there for good before it is built on. */
static void test_a_start_syncs_what_it_read(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report report;
    struct table *table;

    snapshot_write(&fixture->disk, 1, 1, fixture->table, &nobody, FRAME_BYTES_MAX);
    log_begin(&fixture->disk, 1, 1);
    log_write(&fixture->disk, 1, 1, 1, "a", 0, 1, 1);
    log_begin(&fixture->disk, 2, 2);
    log_write(&fixture->disk, 2, 2, 2, "b", 0, 1, 1);
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(fixture->disk.syncs, 3);
    fixture->disk.is_read_only = true;
    report = load(fixture);
    assert_well(&report);
    assert_int_equal(fixture->disk.syncs, 0);
    fixture->disk.is_read_only = false;
    fixture->disk.sync_fails_at = 2;
    table = table_make(&fixture->mem);
    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, table, &report), STATUS_SYSTEM);
    assert_int_equal(report.error, 5);
    table_free(table);
}

static void test_no_memory_at_any_point(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = &fixture->disk;
    struct recover_report report;
    enum status status = STATUS_MEMORY;
    uint64_t root;

    for (unsigned i = 0; i < 300; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key%u", i);
        table_put(fixture->table, bytes_of(key), i * (uint64_t)70, i + 1);
        table_put(fixture->table, bytes_of(key), i * (uint64_t)9000, i + 1);
        if (i % 5 == 0) {
            table_remove(fixture->table, key, i + 1);
        }
    }
    table_turn_end(fixture->table);
    root = table_root(fixture->table, TABLE_DATA);
    snapshot_write(disk, 1, 0, fixture->table, &nobody, FRAME_BYTES_MAX);
    for (uint64_t countdown = 1; status != STATUS_OK; countdown++) {
        const uint64_t used = fixture->mem.used_bytes;
        struct table *table = table_make(&fixture->mem);

        fixture->mem.fail_countdown = countdown;
        status = disk_load(disk, &fixture->mem, table, &report);
        fixture->mem.fail_countdown = 0;
        assert_true(status == STATUS_OK || status == STATUS_MEMORY);
        assert_true(status != STATUS_OK || table_root(table, TABLE_DATA) == root);
        table_audit(table);
        table_free(table);
        assert_true(fixture->mem.used_bytes == used);
    }
}

/* Without a table all is told as with one. */
static void test_a_look_without_a_table(void **state)
{
    struct fixture *fixture = *state;
    struct recover_report looked;
    struct recover_report loaded;

    small_write(fixture);
    fixture->disk.bytes[1][50] ^= 1;
    assert_int_equal(disk_load(&fixture->disk, &fixture->mem, NULL, &looked), STATUS_OK);
    fixture->table = table_make(&fixture->mem);
    loaded = load(fixture);
    assert_int_equal(looked.damaged, loaded.damaged);
    assert_int_equal(looked.items, loaded.items);
    assert_int_equal(looked.snapshot_number, 1);
    assert_true(looked.damaged > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_directory),
        TEST(test_logs_are_joined_in_order_of_their_numbers),
        TEST(test_what_a_snapshot_holds_is_not_read_from_logs),
        TEST(test_an_empty_draft_is_ignored),
        TEST(test_the_greater_generation_wins_whole),
        TEST(test_a_deletion_by_name),
        TEST(test_what_has_ended_is_passed_over),
        TEST(test_what_no_peer_could_say_is_damage),
        TEST(test_frames_in_the_wrong_place_are_damage),
        TEST(test_what_is_to_come_can_be_counted),
        TEST(test_a_bad_frame_at_the_end_is_torn),
        TEST(test_a_bad_frame_before_a_good_one_is_damage),
        TEST(test_a_hole_in_the_last_write_is_torn),
        TEST(test_a_torn_beginning_is_torn),
        TEST(test_a_hole_that_a_later_frame_knows_is_damage),
        TEST(test_a_torn_log_before_another_is_no_damage),
        TEST(test_a_log_that_goes_back_is_no_damage),
        TEST(test_a_gap_between_logs_is_damage),
        TEST(test_the_first_log_being_gone_is_damage),
        TEST(test_the_log_of_a_snapshot_being_gone_is_damage),
        TEST(test_a_file_of_another_directory_does_not_pass),
        TEST(test_behind_a_damaged_snapshot_the_older_one_counts),
        TEST(test_a_snapshot_that_does_not_add_up_is_damaged),
        TEST(test_order_and_repetition_make_no_difference),
        TEST(test_every_bit_counts),
        TEST(test_every_truncation_is_told),
        TEST(test_every_hole_is_told),
        TEST(test_frames_across_reads),
        TEST(test_a_frame_behind_a_hole_across_reads),
        TEST(test_a_read_that_fails_ends_the_load),
        TEST(test_a_start_syncs_what_it_read),
        TEST(test_no_memory_at_any_point),
        TEST(test_a_look_without_a_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
