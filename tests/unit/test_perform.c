/* What this file tests: each verb on real files, what may lie in their place, and that what the
 * system does by halves or refuses is told as it is. The calls below stand before those of the C
 * library, so that a test can have one fail. */

#include "files/perform.h"

#include <errno.h>
#include <sys/syscall.h>

#include "unit/folder.h"

enum { SIZE = 100000 };

static struct {
    int pwrite_errno;   /* 0: none */
    size_t part_max;    /* bytes that one call takes; 0: all */
    size_t pwrite_room; /* bytes before pwrite_errno */
    unsigned interrupted;
    int sync_errno;
    unsigned file_syncs;
    unsigned data_syncs;
    unsigned folder_syncs;
    int folder;
} faults;

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
    if (faults.interrupted > 0) {
        faults.interrupted--;
        errno = EINTR;
        return -1;
    }
    if (faults.pwrite_errno != 0 && size > faults.pwrite_room) {
        if (faults.pwrite_room == 0) {
            errno = faults.pwrite_errno;
            return -1;
        }
        size = faults.pwrite_room;
    }
    if (faults.part_max > 0 && size > faults.part_max) {
        size = faults.part_max;
    }
    faults.pwrite_room -= size < faults.pwrite_room ? size : faults.pwrite_room;
    return syscall(SYS_pwrite64, fd, from, size, offset);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    if (faults.interrupted > 0) {
        faults.interrupted--;
        errno = EINTR;
        return -1;
    }
    if (faults.part_max > 0 && size > faults.part_max) {
        size = faults.part_max;
    }
    return syscall(SYS_pread64, fd, to, size, offset);
}

static int sync_or_fail(void)
{
    if (faults.interrupted > 0) {
        faults.interrupted--;
        errno = EINTR;
        return -1;
    }
    errno = faults.sync_errno;
    return faults.sync_errno == 0 ? 0 : -1;
}

int fsync(int fd)
{
    struct stat stat;

    assert_int_equal(fstat(fd, &stat), 0);
    *(S_ISDIR(stat.st_mode) ? &faults.folder_syncs : &faults.file_syncs) += 1;
    return sync_or_fail();
}

int fdatasync(int fd)
{
    (void)fd;
    faults.data_syncs++;
    return sync_or_fail();
}

struct fixture {
    struct folder folder;
    struct files *files;
    uint8_t bytes[SIZE];
    uint8_t other[SIZE];
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&faults, 0, sizeof faults);
    folder_make(&fixture.folder);
    fixture.files = files_create(fixture.folder.fd);
    assert_non_null(fixture.files);
    for (size_t i = 0; i < SIZE; i++) {
        fixture.bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    files_free(fixture->files);
    folder_remove(&fixture->folder);
    return 0;
}

static struct disk_result perform(struct fixture *fixture, enum disk_file_kind kind,
                                  enum disk_verb verb, uint64_t offset, size_t size)
{
    const struct disk_operation operation = { .file = { .number = 1, .kind = (uint8_t)kind },
                                              .verb = (uint8_t)verb,
                                              .offset = offset,
                                              .from = fixture->bytes,
                                              .to = fixture->other,
                                              .size = size };

    return files_perform(fixture->files, &operation);
}

static void must(struct fixture *fixture, enum disk_file_kind kind, enum disk_verb verb,
                 uint64_t offset, size_t size)
{
    const struct disk_result result = perform(fixture, kind, verb, offset, size);

    assert_int_equal(result.error, 0);
    assert_int_equal(result.outcome, DISK_DONE);
}

static void fails(struct fixture *fixture, enum disk_file_kind kind, enum disk_verb verb,
                  int reason, enum disk_outcome outcome)
{
    const struct disk_result result = perform(fixture, kind, verb, 0, SIZE);

    assert_int_equal(result.error, reason);
    assert_int_equal(result.outcome, outcome);
}

static struct stat stat_of(const struct fixture *fixture, const char *name)
{
    struct stat stat;

    assert_int_equal(fstatat(fixture->folder.fd, name, &stat, AT_SYMLINK_NOFOLLOW), 0);
    return stat;
}

static void test_perform_creates_for_the_owner_alone_and_empty(void **state)
{
    struct fixture *fixture = *state;
    const mode_t before = umask(0);

    folder_write(&fixture->folder, "log-1", "old", 3);
    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    (void)umask(before);
    assert_int_equal(stat_of(fixture, "log-1").st_size, 0);
    assert_int_equal(stat_of(fixture, "log-1").st_mode & 07777, 0600);
}

static void test_perform_writes_reads_and_reads_short_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct disk_result result;

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_WRITE, 10, SIZE);
    result = perform(fixture, DISK_LOG, DISK_READ, 10, SIZE);
    assert_int_equal(result.outcome, DISK_DONE);
    assert_int_equal(result.size, SIZE);
    assert_memory_equal(fixture->other, fixture->bytes, SIZE);
    result = perform(fixture, DISK_LOG, DISK_READ, 50, SIZE);
    assert_int_equal(result.outcome, DISK_DONE);
    assert_int_equal(result.size, SIZE - 40);
    assert_memory_equal(fixture->other, fixture->bytes + 40, SIZE - 40);
    assert_int_equal(perform(fixture, DISK_LOG, DISK_READ, 10 + SIZE, SIZE).size, 0);
    assert_int_equal(faults.data_syncs + faults.file_syncs, 0);
}

/* Bytes that are written and not only reserved, so that a write into them moves no metadata. */
static void test_perform_extends_by_zeros_that_take_room(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t zeros[SIZE];

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_EXTEND, 0, SIZE);
    must(fixture, DISK_LOG, DISK_EXTEND, SIZE, SIZE);
    assert_int_equal(stat_of(fixture, "log-1").st_size, 2 * SIZE);
    assert_true(stat_of(fixture, "log-1").st_blocks * 512 >= 2 * SIZE);
    assert_int_equal(perform(fixture, DISK_LOG, DISK_READ, SIZE, SIZE).size, SIZE);
    assert_memory_equal(fixture->other, zeros, SIZE);
    assert_int_equal(faults.file_syncs, 2);
    assert_int_equal(faults.folder_syncs, 1);
}

/* A file whose name is not synced is gone after a crash, however well it is synced itself. */
static void test_perform_syncs_a_name_with_its_first_sync(void **state)
{
    struct fixture *fixture = *state;
    const struct disk_operation synced = { .file = { .number = 1, .kind = DISK_LOG },
                                           .verb = DISK_WRITE,
                                           .from = fixture->bytes,
                                           .size = 5,
                                           .is_synced = true };

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_WRITE, 0, 5);
    assert_int_equal(faults.data_syncs, 0);
    assert_int_equal(files_perform(fixture->files, &synced).error, 0);
    assert_int_equal(faults.data_syncs, 1);
    assert_int_equal(faults.folder_syncs, 1);
    must(fixture, DISK_LOG, DISK_SYNC, 0, 0);
    assert_int_equal(faults.data_syncs, 2);
    assert_int_equal(faults.folder_syncs, 1);
}

/* What is written to it goes to a file that nobody will find. */
static void test_perform_does_not_call_kept_what_was_removed(void **state)
{
    struct fixture *fixture = *state;

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_EXTEND, 0, SIZE);
    must(fixture, DISK_LOG, DISK_SYNC, 0, 0);
    assert_int_equal(unlinkat(fixture->folder.fd, "log-1", 0), 0);
    fails(fixture, DISK_LOG, DISK_SYNC, ENOENT, DISK_BROKEN);
    fails(fixture, DISK_LOG, DISK_EXTEND, ENOENT, DISK_BROKEN);
    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_SYNC, 0, 0);
}

static void test_perform_publishes_and_removes(void **state)
{
    struct fixture *fixture = *state;

    must(fixture, DISK_DRAFT, DISK_CREATE, 0, 0);
    must(fixture, DISK_DRAFT, DISK_WRITE, 0, SIZE);
    assert_true(folder_has(&fixture->folder, "snap-1.tmp"));
    must(fixture, DISK_DRAFT, DISK_PUBLISH, 0, 0);
    assert_false(folder_has(&fixture->folder, "snap-1.tmp"));
    assert_int_equal(faults.folder_syncs, 1);
    assert_int_equal(perform(fixture, DISK_SNAPSHOT, DISK_READ, 0, SIZE).size, SIZE);
    assert_memory_equal(fixture->other, fixture->bytes, SIZE);
    must(fixture, DISK_SNAPSHOT, DISK_REMOVE, 0, 0);
    assert_false(folder_has(&fixture->folder, "snap-1"));
    must(fixture, DISK_SNAPSHOT, DISK_REMOVE, 0, 0);
    must(fixture, DISK_SNAPSHOT, DISK_CLOSE, 0, 0);
}

/* Files of an earlier life, and one that was let go of because a sync of it had failed. */
static void test_perform_writes_only_to_what_it_made(void **state)
{
    struct fixture *fixture = *state;

    folder_write(&fixture->folder, "log-1", "old", 3);
    fails(fixture, DISK_LOG, DISK_WRITE, EBADF, DISK_BROKEN);
    fails(fixture, DISK_LOG, DISK_EXTEND, EBADF, DISK_BROKEN);
    fails(fixture, DISK_LOG, DISK_SYNC, EBADF, DISK_BROKEN);
    assert_int_equal(perform(fixture, DISK_LOG, DISK_READ, 0, SIZE).size, 3);
    fails(fixture, DISK_LOG, DISK_WRITE, EBADF, DISK_BROKEN);
    must(fixture, DISK_LOG, DISK_SYNC, 0, 0); /* what a start has read */
    must(fixture, DISK_LOG, DISK_CLOSE, 0, 0);
    fails(fixture, DISK_LOG, DISK_SYNC, EBADF, DISK_BROKEN);
    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_WRITE, 0, SIZE);
    must(fixture, DISK_LOG, DISK_CLOSE, 0, 0);
    fails(fixture, DISK_LOG, DISK_SYNC, EBADF, DISK_BROKEN);
    assert_int_equal(perform(fixture, DISK_LOG, DISK_READ, 0, SIZE).size, SIZE);
}

static void test_perform_refuses_what_is_no_regular_file(void **state)
{
    struct fixture *fixture = *state;

    folder_write(&fixture->folder, "target", "secret", 6);
    fails(fixture, DISK_LOG, DISK_READ, ENOENT, DISK_BROKEN);
    assert_int_equal(symlinkat("target", fixture->folder.fd, "log-1"), 0);
    fails(fixture, DISK_LOG, DISK_READ, ELOOP, DISK_BROKEN);
    must(fixture, DISK_LOG, DISK_CREATE, 0, 0); /* the link goes, and not what it leads to */
    must(fixture, DISK_LOG, DISK_WRITE, 0, SIZE);
    assert_int_equal(stat_of(fixture, "target").st_size, 6);
    must(fixture, DISK_LOG, DISK_REMOVE, 0, 0);
    assert_int_equal(mkfifoat(fixture->folder.fd, "log-1", 0600), 0);
    (void)alarm(10);
    fails(fixture, DISK_LOG, DISK_READ, ENXIO, DISK_BROKEN);
    (void)alarm(0);
    must(fixture, DISK_LOG, DISK_REMOVE, 0, 0);
    assert_int_equal(mkdirat(fixture->folder.fd, "log-1", 0700), 0);
    fails(fixture, DISK_LOG, DISK_READ, EISDIR, DISK_BROKEN);
    fails(fixture, DISK_LOG, DISK_CREATE, EISDIR, DISK_BROKEN);
    fails(fixture, DISK_LOG, DISK_REMOVE, EISDIR, DISK_BROKEN);
}

static void test_perform_goes_on_where_the_system_did_a_part(void **state)
{
    struct fixture *fixture = *state;

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    faults.part_max = 4099;
    faults.interrupted = 3;
    must(fixture, DISK_LOG, DISK_WRITE, 0, SIZE);
    faults.interrupted = 3;
    assert_int_equal(perform(fixture, DISK_LOG, DISK_READ, 0, SIZE).size, SIZE);
    assert_memory_equal(fixture->other, fixture->bytes, SIZE);
    faults.interrupted = 3;
    must(fixture, DISK_LOG, DISK_SYNC, 0, 0);
    assert_int_equal(faults.interrupted, 0);
}

static void test_perform_tells_a_full_disk_from_a_broken_one(void **state)
{
    static const struct {
        int reason;
        enum disk_outcome outcome;
    } cases[] = { { ENOSPC, DISK_FULL },
                  { EDQUOT, DISK_FULL },
                  { EIO, DISK_BROKEN },
                  { EROFS, DISK_BROKEN },
                  { EFBIG, DISK_BROKEN } };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
        faults.pwrite_errno = cases[i].reason;
        faults.pwrite_room = 70000;
        fails(fixture, DISK_LOG, DISK_WRITE, cases[i].reason, cases[i].outcome);
        faults.pwrite_errno = 0;
        faults.sync_errno = cases[i].reason;
        fails(fixture, DISK_LOG, DISK_SYNC, cases[i].reason, cases[i].outcome);
        fails(fixture, DISK_LOG, DISK_EXTEND, cases[i].reason, cases[i].outcome);
        faults.sync_errno = 0;
    }
}

/* What is left of a full disk is not taken by half of an extension. */
static void test_perform_that_cannot_extend_leaves_the_file_as_long_as_it_was(void **state)
{
    struct fixture *fixture = *state;

    must(fixture, DISK_LOG, DISK_CREATE, 0, 0);
    must(fixture, DISK_LOG, DISK_EXTEND, 0, SIZE);
    faults.pwrite_errno = ENOSPC;
    faults.pwrite_room = 80000;
    assert_int_equal(perform(fixture, DISK_LOG, DISK_EXTEND, SIZE, SIZE).outcome, DISK_FULL);
    assert_int_equal(stat_of(fixture, "log-1").st_size, SIZE);
    faults.pwrite_errno = 0;
    must(fixture, DISK_LOG, DISK_WRITE, 0, SIZE);
    must(fixture, DISK_LOG, DISK_EXTEND, SIZE, SIZE);
    assert_int_equal(stat_of(fixture, "log-1").st_size, 2 * SIZE);
}

static void test_perform_has_a_limit_on_what_is_open(void **state)
{
    struct fixture *fixture = *state;
    struct disk_operation operation = { .verb = DISK_CREATE };

    for (uint64_t number = 1; number <= FILES_OPEN_MAX; number++) {
        operation.file.number = number;
        assert_int_equal(files_perform(fixture->files, &operation).error, 0);
    }
    operation.file.number++;
    assert_int_equal(files_perform(fixture->files, &operation).error, EMFILE);
    assert_false(folder_has(&fixture->folder, "log-17"));
    must(fixture, DISK_LOG, DISK_CLOSE, 0, 0);
    assert_int_equal(files_perform(fixture->files, &operation).error, 0);
}

static void test_perform_names_go_there_and_back(void **state)
{
    static const char *const good[] = { "log-1", "snap-12", "snap-12.tmp",
                                        "log-18446744073709551615",
                                        "snap-18446744073709551615.tmp" };
    static const char *const bad[] = { "",           "log-",      "log-0",
                                       "log-01",     "log-1 ",    "log--1",
                                       "log-+1",     "log-1.tmp", "Log-1",
                                       "snap-.tmp",  "snap-1.",   "snap-1.t",
                                       "snap-x.tmp", "snap-0",    "slog-1",
                                       "lock",       "identity",  "log-1~",
                                       "snap-0x1",   ".tmp",      "log-18446744073709551616" };
    char name[FILES_NAME_MAX];
    struct disk_file file;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(files_from_name(good[i], &file));
        files_name(file, name);
        assert_string_equal(name, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(files_from_name(bad[i], &file));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_perform_creates_for_the_owner_alone_and_empty),
        TEST(test_perform_writes_reads_and_reads_short_at_the_end),
        TEST(test_perform_extends_by_zeros_that_take_room),
        TEST(test_perform_syncs_a_name_with_its_first_sync),
        TEST(test_perform_does_not_call_kept_what_was_removed),
        TEST(test_perform_publishes_and_removes),
        TEST(test_perform_writes_only_to_what_it_made),
        TEST(test_perform_refuses_what_is_no_regular_file),
        TEST(test_perform_goes_on_where_the_system_did_a_part),
        TEST(test_perform_tells_a_full_disk_from_a_broken_one),
        TEST(test_perform_that_cannot_extend_leaves_the_file_as_long_as_it_was),
        TEST(test_perform_has_a_limit_on_what_is_open),
        TEST(test_perform_names_go_there_and_back),
    };

    return cmocka_run_group_tests_name("perform", tests, NULL, NULL);
}
