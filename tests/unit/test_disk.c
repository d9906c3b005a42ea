/* What this file tests: the simulator's disk, on which all is built that the simulator says about
 * crashes. It must keep what was synced, and be able to lose, tear and undo all else. */

#include <string.h>

#include "sim/disk.h"
#include "unit/test.h"

#define SECTORS 8
#define BYTES   ((size_t)SECTORS * DISK_SECTOR_BYTES)
#define SEEDS   200

static const struct disk_file log_1 = { .number = 1, .kind = DISK_LOG };
static const struct disk_file draft_2 = { .number = 2, .kind = DISK_DRAFT };
static const struct disk_file snapshot_2 = { .number = 2, .kind = DISK_SNAPSHOT };

static struct disk_result does(struct disk *disk, struct disk_operation operation)
{
    assert_true(disk_begin(disk, &operation) > 0);
    return disk_end(disk);
}

static unsigned outcome(struct disk *disk, enum disk_verb verb, struct disk_file file)
{
    return does(disk, (struct disk_operation){ .file = file, .verb = (uint8_t)verb }).outcome;
}

static unsigned writes(struct disk *disk, struct disk_file file, uint8_t byte, bool is_synced)
{
    uint8_t bytes[BYTES];

    memset(bytes, byte, sizeof bytes);
    return does(disk, (struct disk_operation){ .file = file,
                                               .from = bytes,
                                               .size = sizeof bytes,
                                               .verb = DISK_WRITE,
                                               .is_synced = is_synced })
        .outcome;
}

static size_t reads(struct disk *disk, struct disk_file file, uint8_t bytes[BYTES])
{
    return does(disk,
                (struct disk_operation){
                    .file = file, .to = bytes, .size = BYTES, .verb = DISK_READ })
        .size;
}

/* A log of zeros that is there for good. */
static struct disk *with_log(uint64_t seed)
{
    struct disk *disk = disk_create(seed);

    assert_int_equal(outcome(disk, DISK_CREATE, log_1), DISK_DONE);
    assert_int_equal(
        does(disk, (struct disk_operation){ .file = log_1, .size = BYTES, .verb = DISK_EXTEND })
            .outcome,
        DISK_DONE);
    return disk;
}

static bool is_all(const uint8_t *bytes, uint8_t byte, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte) {
            return false;
        }
    }
    return true;
}

static void test_disk_keeps_what_was_synced(void **state)
{
    uint8_t bytes[BYTES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = with_log(seed);

        assert_int_equal(writes(disk, log_1, 7, true), DISK_DONE);
        disk_cut_power(disk);
        assert_int_equal(reads(disk, log_1, bytes), BYTES);
        assert_true(is_all(bytes, 7, BYTES));
        disk_free(disk);
    }
}

static void test_disk_loses_tears_and_keeps_what_was_not(void **state)
{
    unsigned lost = 0;
    unsigned torn = 0;
    unsigned whole = 0;
    unsigned holes = 0; /* something is there behind something that is not */
    uint8_t bytes[BYTES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = with_log(seed);
        bool is_lost = false;

        assert_int_equal(writes(disk, log_1, 7, false), DISK_DONE);
        disk_cut_power(disk);
        assert_int_equal(reads(disk, log_1, bytes), BYTES);
        for (size_t i = 0; i < SECTORS; i++) {
            const uint8_t *sector = bytes + i * DISK_SECTOR_BYTES;
            const bool has_all = is_all(sector, 7, DISK_SECTOR_BYTES);
            const bool has_none = is_all(sector, 0, DISK_SECTOR_BYTES);

            holes += is_lost && has_all;
            is_lost = is_lost || has_none;
            lost += has_none;
            whole += has_all;
            torn += !has_none && !has_all;
        }
        disk_free(disk);
    }
    assert_true(lost > SEEDS && whole > SEEDS && torn > SEEDS / 4 && holes > SEEDS / 4);
}

static void test_disk_a_process_loses_nothing_by_its_end(void **state)
{
    struct disk *disk = with_log(1);
    uint8_t bytes[BYTES];

    (void)state;
    assert_int_equal(writes(disk, log_1, 7, false), DISK_DONE);
    disk_kill(disk);
    assert_int_equal(reads(disk, log_1, bytes), BYTES);
    assert_true(is_all(bytes, 7, BYTES));
    disk_free(disk);
}

static void test_disk_lies_after_a_failed_sync(void **state)
{
    unsigned gone = 0;
    uint8_t bytes[BYTES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = with_log(seed);

        assert_int_equal(writes(disk, log_1, 7, false), DISK_DONE);
        disk_set_faults(disk, &(struct disk_faults){ .broken_permille = 1000 });
        assert_int_equal(outcome(disk, DISK_SYNC, log_1), DISK_BROKEN);
        assert_true(disk_has_failed(disk, log_1));
        disk_set_faults(disk, &(struct disk_faults){ .broken_permille = 0 });
        assert_int_equal(outcome(disk, DISK_SYNC, log_1), DISK_DONE);
        assert_int_equal(disk_stats(disk)->lies, 1);
        assert_int_equal(reads(disk, log_1, bytes), BYTES);
        assert_true(is_all(bytes, 7, BYTES));
        disk_cut_power(disk);
        assert_int_equal(reads(disk, log_1, bytes), BYTES);
        gone += !is_all(bytes, 7, BYTES);
        disk_free(disk);
    }
    assert_true(gone > SEEDS / 2);
}

static bool has(const struct disk *disk, struct disk_file file)
{
    struct disk_found found[8];
    const size_t count = disk_list(disk, found, 8);

    for (size_t i = 0; i < count; i++) {
        if (found[i].file.kind == file.kind && found[i].file.number == file.number) {
            return true;
        }
    }
    return false;
}

static void test_disk_undoes_names_that_were_not_synced(void **state)
{
    unsigned created = 0;
    unsigned removed = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = with_log(seed);

        assert_int_equal(outcome(disk, DISK_CREATE, draft_2), DISK_DONE);
        assert_int_equal(outcome(disk, DISK_REMOVE, log_1), DISK_DONE);
        assert_true(has(disk, draft_2) && !has(disk, log_1));
        disk_cut_power(disk);
        created += has(disk, draft_2);
        removed += !has(disk, log_1);
        disk_free(disk);
    }
    assert_in_range(created, SEEDS / 4, SEEDS * 3 / 4);
    assert_in_range(removed, SEEDS / 4, SEEDS * 3 / 4);
}

static void test_disk_a_published_name_stays_and_its_bytes_as_far_as_synced(void **state)
{
    unsigned holes = 0;
    uint8_t bytes[BYTES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const bool is_synced = seed % 2 == 0;
        struct disk *disk = with_log(seed);

        assert_int_equal(outcome(disk, DISK_CREATE, draft_2), DISK_DONE);
        assert_int_equal(writes(disk, draft_2, 7, is_synced), DISK_DONE);
        assert_int_equal(outcome(disk, DISK_PUBLISH, draft_2), DISK_DONE);
        disk_cut_power(disk);
        assert_true(has(disk, snapshot_2) && !has(disk, draft_2));
        if (reads(disk, snapshot_2, bytes) < BYTES || !is_all(bytes, 7, BYTES)) {
            assert_false(is_synced);
            holes++;
        }
        disk_free(disk);
    }
    assert_true(holes > SEEDS / 4);
}

static void test_disk_is_full_for_a_while(void **state)
{
    struct disk *disk = with_log(1);
    unsigned refusals = 0;

    (void)state;
    disk_set_faults(disk, &(struct disk_faults){ .full_permille = 500 });
    for (unsigned i = 0; i < 50; i++) {
        const struct disk_operation extend = {
            .file = log_1, .offset = BYTES, .size = BYTES, .verb = DISK_EXTEND
        };

        refusals += does(disk, extend).outcome == DISK_FULL;
        assert_int_equal(writes(disk, log_1, 7, true), DISK_DONE); /* into what it has */
    }
    assert_in_range(refusals, 1, 49);
    assert_false(disk_has_failed(disk, log_1));
    disk_free(disk);
}

/* Of one file there is nothing to be mistaken for another's. */
static void test_disk_rot_takes_one_sector(void **state)
{
    unsigned all = 0;
    uint8_t bytes[BYTES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = with_log(seed);
        unsigned rotten = 0;

        assert_int_equal(writes(disk, log_1, 7, true), DISK_DONE);
        assert_true(disk_rot(disk));
        assert_int_equal(reads(disk, log_1, bytes), BYTES);
        for (size_t i = 0; i < SECTORS; i++) {
            rotten += !is_all(bytes + i * DISK_SECTOR_BYTES, 7, DISK_SECTOR_BYTES);
        }
        assert_in_range(rotten, 0, 1);
        all += rotten;
        disk_free(disk);
    }
    assert_true(all > SEEDS / 2);
}

static void test_disk_a_copy_is_apart(void **state)
{
    struct disk *disk = with_log(1);
    struct disk *copy;
    uint8_t bytes[BYTES];

    (void)state;
    assert_int_equal(writes(disk, log_1, 7, true), DISK_DONE);
    copy = disk_copy(disk);
    assert_int_equal(writes(disk, log_1, 8, true), DISK_DONE);
    disk_restore(disk, copy);
    disk_cut_power(disk);
    assert_int_equal(reads(disk, log_1, bytes), BYTES);
    assert_true(is_all(bytes, 7, BYTES));
    disk_restore(disk, NULL);
    assert_false(has(disk, log_1));
    disk_free(copy);
    disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_keeps_what_was_synced),
        cmocka_unit_test(test_disk_loses_tears_and_keeps_what_was_not),
        cmocka_unit_test(test_disk_a_process_loses_nothing_by_its_end),
        cmocka_unit_test(test_disk_lies_after_a_failed_sync),
        cmocka_unit_test(test_disk_undoes_names_that_were_not_synced),
        cmocka_unit_test(test_disk_a_published_name_stays_and_its_bytes_as_far_as_synced),
        cmocka_unit_test(test_disk_is_full_for_a_while),
        cmocka_unit_test(test_disk_rot_takes_one_sector),
        cmocka_unit_test(test_disk_a_copy_is_apart),
    };

    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
