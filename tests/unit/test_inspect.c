/* What this file tests: data goes into a directory and comes out of it by the commands, what is
 * wrong changes nothing, and what is damaged is told. */

#include "main/inspect.h"

#include "unit/folder.h"

struct fixture {
    struct folder folder;
    struct folder data;
    char file[160];
    char said[65536];
    struct fault why;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    folder_make(&fixture.folder);
    fixture.data.fd = -1;
    (void)snprintf(fixture.data.path, sizeof fixture.data.path, "%.60s/data", fixture.folder.path);
    (void)snprintf(fixture.file, sizeof fixture.file, "%.60s/lines", fixture.folder.path);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->data.fd >= 0) {
        (void)close(fixture->data.fd);
    }
    folder_remove(&fixture->folder);
    return 0;
}

/* What a command printed is in fixture->said. */
static void keep_said(struct fixture *fixture, FILE *printed)
{
    size_t size;

    rewind(printed);
    size = fread(fixture->said, 1, sizeof fixture->said - 1, printed);
    fixture->said[size] = '\0';
    (void)fclose(printed);
}

static enum process_exit import(struct fixture *fixture, const char *lines)
{
    FILE *to = tmpfile();
    enum process_exit exit;

    folder_write(&fixture->folder, "lines", lines, strlen(lines));
    exit = inspect_import(fixture->data.path, 7, fixture->file, to, &fixture->why);
    keep_said(fixture, to);
    if (fixture->data.fd < 0) {
        fixture->data.fd = open(fixture->data.path, O_RDONLY | O_DIRECTORY);
    }
    return exit;
}

static enum process_exit export(struct fixture *fixture) {
    FILE *to = tmpfile();
    const enum process_exit exit = inspect_export(fixture->data.path, to, &fixture->why);

    keep_said(fixture, to);
    return exit;
}

static enum process_exit check(struct fixture *fixture)
{
    FILE *to = tmpfile();
    const enum process_exit exit = inspect_check(fixture->data.path, to, &fixture->why);

    keep_said(fixture, to);
    return exit;
}

static void says(const struct fixture *fixture, const char *line)
{
    if (strstr(fixture->said, line) == NULL) {
        assert_string_equal(fixture->said, line);
    }
}

static const char two[] =
    "{\"key\":\"a \\\"quote\\\"\",\"vector\":{\"0\":3,\"18446744073709551615\":"
    "\"18446744073709551615\"}}\n"
    "{\"key\":\"b\",\"vector\":{\"256\":1}}\n";

static void test_inspect_exports_what_was_imported(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, two), EXIT_GOOD);
    assert_string_equal(fixture->said, "lines 2\n");
    assert_string_equal(fixture->why.text, "");
    assert_true(folder_has(&fixture->data, "snap-1"));
    assert_int_equal(export(fixture), EXIT_GOOD);
    assert_string_equal(fixture->said, two);
    assert_string_equal(fixture->why.text, "");
}

static void test_inspect_joins_what_it_imports(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, two), EXIT_GOOD);
    /* The members of a listing are no obstacle, nor is a last line without its end. */
    assert_int_equal(import(fixture, "{\"key\":\"b\",\"size\":9,\"vector\":{\"256\":0,\"2\":5}}\n\n"
                                     "{\"key\":\"c\",\"vector\":{\"1\":1}}"),
                     EXIT_GOOD);
    assert_false(folder_has(&fixture->data, "snap-1"));
    assert_true(folder_has(&fixture->data, "snap-2"));
    assert_int_equal(export(fixture), EXIT_GOOD);
    says(fixture, "\"vector\":{\"0\":3,");
    says(fixture, "{\"key\":\"b\",\"vector\":{\"2\":5,\"256\":1}}\n{\"key\":\"c\",");
    assert_int_equal(check(fixture), EXIT_GOOD);
    says(fixture, "file snap-2 ");
    says(fixture, "snapshot 2\n");
    says(fixture, "keys 3\n");
    says(fixture, "elements 5\n");
    says(fixture, "damaged 0\n");
    says(fixture, "cluster 00000007\n");
}

#define OF_B "f4fd6d9e3f1c4c01" /* any hash: there need not be a key of it */
#define OF_C "f5fd6d9e3f1c4c01"

static void test_inspect_keeps_generations_and_deletions(void **state)
{
    static const char lines[] = "{\"key\":\"a\",\"generation\":1795000000,\"vector\":{\"1\":2}}\n"
                                "{\"key\":\"b\",\"vector\":{\"1\":3}}\n"
                                "{\"deleted\":\"" OF_B "\",\"generation\":1795000009}\n"
                                "{\"deleted\":\"" OF_C "\",\"generation\":1795000009,"
                                "\"expires\":\"~2126-12-29T08\"}\n";
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, lines), EXIT_GOOD);
    assert_string_equal(fixture->said, "lines 4\n");
    assert_int_equal(export(fixture), EXIT_GOOD);
    assert_string_equal(fixture->said, lines);
    /* What is older changes nothing, nor does the same again. */
    assert_int_equal(import(fixture, lines), EXIT_GOOD);
    assert_int_equal(import(fixture,
                            "{\"key\":\"a\",\"generation\":1794999999,\"vector\":{\"1\":9}}\n"
                            "{\"deleted\":\"" OF_B "\",\"generation\":1795000008}\n"),
                     EXIT_GOOD);
    assert_int_equal(export(fixture), EXIT_GOOD);
    assert_string_equal(fixture->said, lines);
    /* A line without one is written to the key as it is; of a later one it begins anew. */
    assert_int_equal(import(fixture,
                            "{\"key\":\"a\",\"vector\":{\"1\":1,\"4\":4}}\n"
                            "{\"key\":\"b\",\"generation\":7,\"vector\":{\"300\":1,\"0\":1}}\n"),
                     EXIT_GOOD);
    assert_int_equal(export(fixture), EXIT_GOOD);
    says(fixture, "{\"key\":\"a\",\"generation\":1795000000,\"vector\":{\"1\":2,\"4\":4}}\n"
                  "{\"key\":\"b\",\"generation\":7,\"vector\":{\"0\":1,\"300\":1}}\n");
    assert_int_equal(check(fixture), EXIT_GOOD);
    says(fixture, "deleted 2\n");
}

static void test_inspect_imports_nothing_of_a_file_with_a_wrong_line(void **state)
{
    static const struct {
        const char *lines;
        const char *words;
    } wrong[] = {
        { "{\"key\":\"c\",\"vector\":{\"1\":1}}\n{\"key\":\"d\",\"vector\":{\"1\":-1}}\n",
          "line 2: " },
        { "{\"key\":\"c\",\"vector\":{\"1\":1}}\n\n{\"key\":\"d\",\"vec", "line 3: " },
        { "{\"key\":\"c*\",\"vector\":{\"1\":1}}\n", "line 1: 'c*' is no key" },
        { "{\"key\":\"n:10.0.0.1:6001\",\"vector\":{\"1\":1}}\n",
          "line 1: 'n:10.0.0.1:6001' is no" },
        { "nonsense", "line 1: " },
    };
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, two), EXIT_GOOD);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(import(fixture, wrong[i].lines), EXIT_DATA);
        assert_string_equal(fixture->said, "");
        assert_non_null(strstr(fixture->why.text, "nothing was imported: "));
        assert_non_null(strstr(fixture->why.text, wrong[i].words));
        assert_true(folder_has(&fixture->data, "snap-1"));
        assert_int_equal(export(fixture), EXIT_GOOD);
        assert_string_equal(fixture->said, two);
    }
    (void)strcat(fixture->file, "-missing");
    assert_int_equal(inspect_import(fixture->data.path, 7, fixture->file, stdout, &fixture->why),
                     EXIT_DATA);
    assert_non_null(strstr(fixture->why.text, "No such file"));
}

static void test_inspect_does_not_give_out_what_has_ended_and_keeps_it(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, "{\"key\":\"a~2001-01-01\",\"vector\":{\"1\":1}}\n"
                                     "{\"key\":\"a~9001-01-01\",\"vector\":{\"1\":1}}\n"),
                     EXIT_GOOD);
    assert_int_equal(export(fixture), EXIT_GOOD);
    assert_string_equal(fixture->said, "{\"key\":\"a~9001-01-01\",\"vector\":{\"1\":1}}\n");
    assert_int_equal(check(fixture), EXIT_GOOD);
    says(fixture, "keys 1\nended 1\n");
}

static void test_inspect_tells_what_is_damaged_and_gives_out_the_rest(void **state)
{
    struct fixture *fixture = *state;
    char bytes[4096];
    char after[4096];
    ssize_t size;

    assert_int_equal(import(fixture, two), EXIT_GOOD);
    size = folder_read(&fixture->data, "snap-1", bytes, sizeof bytes);
    assert_true(size > 100 && size < (ssize_t)sizeof bytes);
    bytes[size - 1] ^= 1; /* its last frame says what it holds */
    folder_write(&fixture->data, "snap-1", bytes, (size_t)size);
    assert_int_equal(check(fixture), EXIT_DAMAGED);
    says(fixture, "keys 2\n");
    says(fixture, "damaged 1\n");
    assert_non_null(
        strstr(fixture->why.text, "is damaged in 1 places, first in 'snap-1' at byte "));
    assert_int_equal(export(fixture), EXIT_DAMAGED);
    assert_string_equal(fixture->said, two);
    assert_int_equal(import(fixture, "{\"key\":\"c\",\"vector\":{\"1\":1}}\n"), EXIT_DAMAGED);
    assert_int_equal(folder_read(&fixture->data, "snap-1", after, sizeof after), size);
    assert_memory_equal(after, bytes, (size_t)size);
}

static void test_inspect_of_what_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(check(fixture), EXIT_CANNOT_CREATE);
    assert_non_null(strstr(fixture->why.text, "No such file or directory"));
    assert_int_equal(export(fixture), EXIT_CANNOT_CREATE);
    assert_string_equal(fixture->said, "");
    (void)snprintf(fixture->data.path, sizeof fixture->data.path, "%.60s", fixture->folder.path);
    assert_int_equal(import(fixture, two), EXIT_CANNOT_CREATE);
    assert_non_null(strstr(fixture->why.text, "it has 'lines', and no identity"));
}

static void test_inspect_of_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(import(fixture, ""), EXIT_GOOD);
    assert_string_equal(fixture->said, "lines 0\n");
    assert_int_equal(export(fixture), EXIT_GOOD);
    assert_string_equal(fixture->said, "");
    assert_int_equal(check(fixture), EXIT_GOOD);
    says(fixture, "keys 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_inspect_exports_what_was_imported),
        TEST(test_inspect_joins_what_it_imports),
        TEST(test_inspect_keeps_generations_and_deletions),
        TEST(test_inspect_imports_nothing_of_a_file_with_a_wrong_line),
        TEST(test_inspect_does_not_give_out_what_has_ended_and_keeps_it),
        TEST(test_inspect_tells_what_is_damaged_and_gives_out_the_rest),
        TEST(test_inspect_of_what_is_refused),
        TEST(test_inspect_of_nothing),
    };

    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
