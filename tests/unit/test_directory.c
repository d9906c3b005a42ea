/* What this file tests: whose data directory is taken, and that whose is not is told in one clear
 * line and left just as it was. */

#include "files/directory.h"
#include "files/perform.h"

#include <xxhash.h>

#include <dirent.h>
#include <errno.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "unit/folder.h"

#define CLUSTER 0x1234abcd

struct fixture {
    struct folder folder;
    char path[100]; /* of the data directory, in the folder */
    struct directory *directory;
    struct fault why;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    folder_make(&fixture.folder);
    (void)snprintf(fixture.path, sizeof fixture.path, "%s/data", fixture.folder.path);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    directory_close(fixture->directory);
    (void)chmod(fixture->path, 0700);
    folder_remove(&fixture->folder);
    return 0;
}

static enum status open_as(struct fixture *fixture, uint32_t cluster_id, bool is_read_only)
{
    const struct directory_options options = { .path = fixture->path,
                                               .cluster_id = cluster_id,
                                               .is_any_cluster = cluster_id == 0,
                                               .is_read_only = is_read_only };

    return directory_open(&options, &fixture->directory, &fixture->why);
}

static void opens(struct fixture *fixture)
{
    const enum status status = open_as(fixture, CLUSTER, false);

    assert_string_equal(status == STATUS_OK ? "" : fixture->why.text, "");
}

static void closes(struct fixture *fixture)
{
    directory_close(fixture->directory);
    fixture->directory = NULL;
}

static void is_identity(const struct fixture *fixture, const struct identity *identity)
{
    const struct identity *found = directory_identity(fixture->directory);

    assert_true(found->id == identity->id && found->slot == identity->slot
                && found->start_s == identity->start_s
                && found->cluster_id == identity->cluster_id);
}

/* A data directory that was opened and closed once, and its descriptor. */
static struct folder made(struct fixture *fixture)
{
    struct folder data;

    opens(fixture);
    closes(fixture);
    (void)snprintf(data.path, sizeof data.path, "%s", fixture->path);
    data.fd = open(fixture->path, O_RDONLY | O_DIRECTORY);
    assert_true(data.fd >= 0);
    return data;
}

/* Names, kinds, owners, sizes and times of all that is there, the directory itself included. */
static void note(const char *path, char *to, size_t size)
{
    DIR *names;
    struct dirent *entry;
    size_t used;
    struct stat stat;
    uint64_t sum = 0;

    assert_int_equal(lstat(path, &stat), 0);
    used = (size_t)snprintf(to, size, "%o %u %lld %lld.%09ld %s ", stat.st_mode, stat.st_uid,
                            (long long)stat.st_size, (long long)stat.st_mtim.tv_sec,
                            stat.st_mtim.tv_nsec, strrchr(path, '/'));
    names = S_ISDIR(stat.st_mode) ? opendir(path) : NULL;
    if (names == NULL) {
        return;
    }
    while ((entry = readdir(names)) != NULL) {
        char inner[400];
        char line[400];

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            note(inner, line, sizeof line);
            for (size_t i = 0; line[i] != '\0'; i++) { /* in whatever order they come */
                sum += (uint64_t)(unsigned char)line[i] * (i * i + 1) * 2654435761;
            }
        }
    }
    (void)closedir(names);
    (void)snprintf(to + used, size - used, "%016llx", (unsigned long long)sum);
}

/* Refused, with all of these words, and everything is as it was. */
static void refused_as(struct fixture *fixture, uint32_t cluster_id, bool is_read_only,
                       const char *words)
{
    char before[600] = "nothing";
    char after[600] = "nothing";
    struct stat stat;
    const bool is_there = lstat(fixture->path, &stat) == 0;

    if (is_there) {
        note(fixture->path, before, sizeof before);
    }
    assert_int_equal(open_as(fixture, cluster_id, is_read_only), STATUS_CONFLICT);
    assert_null(fixture->directory);
    assert_int_equal(fixture->why.code, STATUS_CONFLICT);
    if (strstr(fixture->why.text, words) == NULL || strstr(fixture->why.text, "/data'") == NULL) {
        assert_string_equal(fixture->why.text, words);
    }
    if (lstat(fixture->path, &stat) == 0) {
        note(fixture->path, after, sizeof after);
    }
    assert_string_equal(before, after);
}

static void refused(struct fixture *fixture, const char *words)
{
    refused_as(fixture, CLUSTER, false, words);
}

static void test_directory_that_is_not_there_is_made_and_keeps_who_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity;
    struct stat stat;
    size_t count;

    opens(fixture);
    assert_int_equal(lstat(fixture->path, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    identity = *directory_identity(fixture->directory);
    assert_true(identity.id != 0 && identity.slot != 0 && identity.slot < UINT64_C(1) << 60);
    assert_int_equal(identity.cluster_id, CLUSTER);
    assert_int_equal(identity.start_s, 0);
    (void)directory_files(fixture->directory, &count);
    assert_int_equal(count, 0);
    assert_null(directory_foreign(fixture->directory));
    identity.start_s = UINT64_MAX;
    identity.slot ^= 5;
    assert_int_equal(directory_save(fixture->directory, &identity, &fixture->why), STATUS_OK);
    is_identity(fixture, &identity);
    closes(fixture);
    opens(fixture);
    is_identity(fixture, &identity);
}

static void test_directory_that_is_empty_becomes_ours(void **state)
{
    struct fixture *fixture = *state;
    char inner[150];

    assert_int_equal(mkdir(fixture->path, 0755), 0);
    (void)snprintf(inner, sizeof inner, "%s/lost+found", fixture->path); /* of a file system */
    assert_int_equal(mkdir(inner, 0700), 0);
    opens(fixture);
    closes(fixture);
    (void)snprintf(fixture->path, sizeof fixture->path, "%.60s/data//", fixture->folder.path);
    opens(fixture);
}

static void test_directory_says_what_lies_in_it(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);
    const struct disk_found *files;
    unsigned seen = 0;
    size_t count;

    folder_write(&data, "log-7", "12345", 5);
    folder_write(&data, "snap-6", "123", 3);
    folder_write(&data, "snap-7.tmp", "", 0);
    folder_write(&data, "log-08", "", 0);
    folder_write(&data, ".hidden", "", 0);
    opens(fixture);
    files = directory_files(fixture->directory, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        static const uint64_t numbers[] = { 7, 6, 7 };
        static const uint64_t sizes[] = { 5, 3, 0 };

        seen |= 1u << files[i].file.kind;
        assert_int_equal(files[i].file.number, numbers[files[i].file.kind]);
        assert_int_equal(files[i].size, sizes[files[i].file.kind]);
    }
    assert_int_equal(seen, 7);
    assert_string_equal(directory_foreign(fixture->directory), "log-08");
    (void)close(data.fd);
}

static void test_directory_of_somebody_else_is_not_touched(void **state)
{
    static const char *const names[] = { "notes.txt", ".bashrc", "log-1", "snap-3.tmp" };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct folder data;

        assert_int_equal(mkdir(fixture->path, 0700), 0);
        (void)snprintf(data.path, sizeof data.path, "%s", fixture->path);
        data.fd = open(fixture->path, O_RDONLY | O_DIRECTORY);
        folder_write(&data, names[i], "mine", 4);
        refused(fixture, names[i]);
        folder_remove(&data);
    }
}

static void test_directory_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char elsewhere[150];

    folder_write(&fixture->folder, "data", "a file", 6);
    refused(fixture, "Not a directory");
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0700), 0);
    (void)alarm(10);
    refused(fixture, "Not a directory");
    (void)alarm(0);
    assert_int_equal(unlink(fixture->path), 0);
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", fixture->folder.path);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, fixture->path), 0);
    refused(fixture, "symbolic link");
    (void)snprintf(fixture->path, sizeof fixture->path, "%.60s/data/", fixture->folder.path);
    assert_int_equal(open_as(fixture, CLUSTER, false), STATUS_CONFLICT);
    assert_int_equal(rmdir(elsewhere), 0); /* empty as it was */
    fixture->path[strlen(fixture->path) - 1] = '\0';
    assert_int_equal(unlink(fixture->path), 0);
    (void)snprintf(fixture->path, sizeof fixture->path, "%.60s/nowhere/data", fixture->folder.path);
    refused(fixture, "cannot be made: No such file or directory");
}

static void test_directory_that_others_may_write_to_is_refused(void **state)
{
    static const mode_t modes[] = { 0777, 0770, 0702, 01777 };
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(fchmod(data.fd, modes[i]), 0);
        refused(fixture, "may be written to by others");
    }
    assert_int_equal(fchmod(data.fd, 0755), 0); /* read by them it may be */
    folder_write(&data, "log-1", "", 0);
    assert_int_equal(fchmodat(data.fd, "log-1", 0620, 0), 0);
    refused(fixture, "its 'log-1' may be written to by others (mode 0620)");
    (void)close(data.fd);
}

static void test_directory_of_another_user_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct folder data;

    if (geteuid() != 0) {
        skip();
    }
    data = made(fixture);
    folder_write(&data, "log-1", "", 0);
    assert_int_equal(fchownat(data.fd, "log-1", 12345, 12345, 0), 0);
    refused(fixture, "its 'log-1' belongs to user 12345, and we are 0");
    assert_int_equal(fchownat(data.fd, "log-1", 0, 0, 0), 0);
    assert_int_equal(fchown(data.fd, 12345, 12345), 0);
    refused(fixture, "belongs to user 12345, and we are 0");
    /* Root may look, and changes nothing. */
    assert_int_equal(open_as(fixture, CLUSTER, true), STATUS_OK);
    (void)close(data.fd);
}

static void test_directory_with_something_else_in_place_of_a_file_is_refused(void **state)
{
    static const char *const names[] = { "identity", "lock", "log-1", "snap-1", "identity.new" };
    struct fixture *fixture = *state;
    char words[64];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct folder data = made(fixture);

        (void)snprintf(words, sizeof words, "its '%s' is no regular file", names[i]);
        (void)unlinkat(data.fd, names[i], 0);
        assert_int_equal(mkfifoat(data.fd, names[i], 0600), 0);
        (void)alarm(10);
        refused(fixture, words);
        (void)alarm(0);
        assert_int_equal(unlinkat(data.fd, names[i], 0), 0);
        assert_int_equal(symlinkat("elsewhere", data.fd, names[i]), 0);
        refused(fixture, words);
        assert_int_equal(unlinkat(data.fd, names[i], 0), 0);
        assert_int_equal(mkdirat(data.fd, names[i], 0700), 0);
        refused(fixture, words);
        folder_remove(&data);
    }
}

static void test_directory_with_a_damaged_identity_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);
    char text[512];
    const ssize_t got = folder_read(&data, "identity", text, sizeof text);
    const size_t size = got > 0 ? (size_t)got : 0;

    assert_true(size > 100 && size < sizeof text);
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 1;
        folder_write(&data, "identity", text, size);
        text[i] ^= 1;
        assert_int_equal(open_as(fixture, CLUSTER, false), STATUS_CONFLICT);
        if (strstr(fixture->why.text, "damaged") == NULL) {
            assert_non_null(strstr(fixture->why.text, "newer")); /* the number of its format */
        }
        folder_write(&data, "identity", text, i); /* cut off */
        refused(fixture, "damaged");
    }
    text[size] = 'x';
    folder_write(&data, "identity", text, size + 1);
    refused(fixture, "damaged");
    folder_write(&data, "identity", text, size);
    opens(fixture);
    (void)close(data.fd);
}

/* Whoever made the checksum: no number is believed. */
static void test_directory_with_a_cluster_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);
    char text[512] = "vignette data-directory\nformat 1\nid 1\nslot 1\n"
                     "cluster 100000000\nstart 0\n";
    const size_t size = strlen(text);

    (void)snprintf(text + size, sizeof text - size, "checksum %016llx\n",
                   (unsigned long long)XXH3_64bits(text, size));
    folder_write(&data, "identity", text, strlen(text));
    refused(fixture, "damaged");
    (void)close(data.fd);
}

static void test_directory_of_a_newer_format_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);
    const char text[] = "vignette data-directory\nformat 2\nuuid what this may be\n";

    folder_write(&data, "identity", text, sizeof text - 1);
    refused(fixture, "is of a newer vignette");
    (void)close(data.fd);
}

static void test_directory_of_another_cluster_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);

    refused_as(fixture, CLUSTER + 1, false, "another cluster (1234abcd, and ours is 1234abce)");
    assert_int_equal(open_as(fixture, 0, false), STATUS_OK); /* any */
    (void)close(data.fd);
}

static void test_directory_in_use_says_by_whom(void **state)
{
    struct fixture *fixture = *state;
    struct fixture other = *fixture;
    char words[64];
    int told[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(told), 0);
    child = fork();
    if (child == 0) {
        const bool good = open_as(&other, CLUSTER, false) == STATUS_OK;

        (void)!write(told[1], good ? "+" : "-", 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(byte, '+');
    (void)snprintf(words, sizeof words, "is in use by process %ld", (long)child);
    refused(fixture, words);
    refused_as(fixture, CLUSTER, true, words);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    opens(fixture); /* what a killed one leaves is no obstacle */
    (void)close(told[0]);
    (void)close(told[1]);
}

static void test_directory_that_only_is_looked_at_is_left_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct fixture other = *fixture;
    char before[600];
    char after[600];
    struct folder data;

    refused_as(fixture, CLUSTER, true, "No such file or directory");
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    refused_as(fixture, CLUSTER, true, "there is no identity in it");
    data = made(fixture);
    note(fixture->path, before, sizeof before);
    assert_int_equal(open_as(fixture, CLUSTER, true), STATUS_OK);
    assert_int_equal(open_as(&other, CLUSTER, true), STATUS_OK); /* beside others who do */
    assert_int_equal(open_as(fixture, CLUSTER, false), STATUS_CONFLICT);
    directory_close(other.directory);
    closes(fixture);
    note(fixture->path, after, sizeof after);
    assert_string_equal(before, after);
    (void)close(data.fd);
}

static void test_directory_that_cannot_be_written_to_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct folder data = made(fixture);

    assert_int_equal(fchmod(data.fd, 0500), 0);
    if (geteuid() == 0) { /* root is not held by modes: as somebody else, in a process apart */
        const pid_t child = fork();
        int ended;

        if (child == 0) {
            const bool good =
                chown(fixture->folder.path, 12345, 12345) == 0 && fchown(data.fd, 12345, 12345) == 0
                && fchownat(data.fd, "identity", 12345, 12345, 0) == 0
                && fchownat(data.fd, "lock", 12345, 12345, 0) == 0 && setuid(12345) == 0;

            if (good) {
                refused(fixture, "cannot be written to: Permission denied");
            }
            _exit(good ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_int_equal(ended, 0);
    } else {
        refused(fixture, "cannot be written to: Permission denied");
    }
    (void)close(data.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_directory_that_is_not_there_is_made_and_keeps_who_it_is),
        TEST(test_directory_that_is_empty_becomes_ours),
        TEST(test_directory_says_what_lies_in_it),
        TEST(test_directory_of_somebody_else_is_not_touched),
        TEST(test_directory_that_is_none_is_refused),
        TEST(test_directory_that_others_may_write_to_is_refused),
        TEST(test_directory_of_another_user_is_refused),
        TEST(test_directory_with_something_else_in_place_of_a_file_is_refused),
        TEST(test_directory_with_a_damaged_identity_is_refused),
        TEST(test_directory_with_a_cluster_that_is_none_is_refused),
        TEST(test_directory_of_a_newer_format_is_refused),
        TEST(test_directory_of_another_cluster_is_refused),
        TEST(test_directory_in_use_says_by_whom),
        TEST(test_directory_that_only_is_looked_at_is_left_as_it_is),
        TEST(test_directory_that_cannot_be_written_to_is_refused),
    };

    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
