/* What this file tests: the reader of large JSON, whole and split at every byte, what it takes and
 * what it refuses, and where it says the fault is. cJSON is the oracle where it is right. */

#include "view/json_reader.h"

#include <cJSON.h>

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

#define COUNT(array) (sizeof array / sizeof array[0])

struct fixture {
    struct mem mem;
    char told[4096]; /* what was read, in a form easy to compare */
    size_t told_size;
};

static const uint8_t secret[16] = { 1, 2, 3 };

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    const struct fixture *fixture = (const struct fixture *)*state;

    assert_int_equal(fixture->mem.used_bytes, 0);
    return 0;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

__attribute__((format(printf, 2, 3))) static void tell(struct fixture *fixture, const char *format,
                                                       ...)
{
    const size_t left = sizeof fixture->told - fixture->told_size;
    va_list arguments;
    int written;

    va_start(arguments, format);
    written = vsnprintf(fixture->told + fixture->told_size, left, format, arguments);
    va_end(arguments);
    if (written > 0 && (size_t)written < left) {
        fixture->told_size += (size_t)written;
    }
}

static void tell_bytes(struct fixture *fixture, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] > 0x20 && bytes.data[i] < 0x7f) {
            tell(fixture, "%c", bytes.data[i]);
        } else {
            tell(fixture, "<%02x>", bytes.data[i]);
        }
    }
}

static void tell_update(struct fixture *fixture, struct draft *draft)
{
    struct block_room room;
    struct block block;
    uint64_t hash;
    uint32_t deadline;

    tell_bytes(fixture, draft_key(draft));
    if (draft_is_deletion(draft, &hash, &deadline)) {
        tell(fixture, "-%016llx", (unsigned long long)hash);
    }
    if (draft_generation(draft) > 0) {
        tell(fixture, "@%lu", (unsigned long)draft_generation(draft));
    }
    tell(fixture, "{");
    while (draft_next_block(draft, &room, &block)) {
        for (unsigned i = 0; i < block.count; i++) {
            tell(fixture, "%llu=%llu,",
                 (unsigned long long)(block.number << 8 | block_offset(&block, i)),
                 (unsigned long long)block_value(&block, i));
        }
    }
    tell(fixture, "}");
}

/* Read one piece to its end. */
static enum read_event piece_read(struct fixture *fixture, struct json_reader *reader,
                                  struct draft *draft, struct bytes rest)
{
    for (;;) {
        const enum read_event event = json_reader_read(reader, &rest);

        if (event == READ_UPDATE) {
            tell_update(fixture, draft);
        } else if (event != READ_BUSY) {
            assert_true(event != READ_MORE || rest.size == 0);
            return event;
        }
    }
}

/* Read a text in two pieces. */
static enum read_event read_split(struct fixture *fixture, enum json_form form, struct bytes text,
                                  size_t split, struct draft_problem *problem_out)
{
    struct draft draft;
    struct json_reader *reader;
    enum read_event event;

    fixture->told_size = 0;
    fixture->told[0] = '\0';
    draft_init(&draft, &fixture->mem, secret);
    reader = json_reader_create(form, &draft);
    assert_non_null(reader);
    event = piece_read(fixture, reader, &draft, (struct bytes){ text.data, split });
    if (event == READ_MORE) {
        event = piece_read(fixture, reader, &draft,
                           (struct bytes){ text.data + split, text.size - split });
    }
    if (event == READ_MORE) {
        event = json_reader_end(reader);
    }
    *problem_out = *draft_problem(&draft);
    json_reader_free(reader);
    draft_clear(&draft);
    return event;
}

struct taken {
    enum json_form form;
    const char *text;
    const char *told;
};

static void test_json_reader_takes_at_every_split(void **state)
{
    static const struct taken table[] = {
        { JSON_FORM_VECTOR, "{}", "{}" },
        { JSON_FORM_VECTOR, " {\n} \r\n\t", "{}" },
        { JSON_FORM_VECTOR, "{\"0\":3,\"1\":\"18446744073709551615\"}",
          "{0=3,1=18446744073709551615,}" },
        { JSON_FORM_VECTOR, "{\"5\":9007199254740991}", "{5=9007199254740991,}" },
        { JSON_FORM_VECTOR, "{ \"18446744073709551615\" : 1 , \"0\" : 0 }",
          "{18446744073709551615=1,}" },
        { JSON_FORM_VECTOR, "{\"9\":1,\"300\":2,\"2\":3,\"1\":4}", "{1=4,2=3,9=1,300=2,}" },
        { JSON_FORM_VECTOR, "{\"\\u0031\\u0030\":\"\\u0037\"}", "{10=7,}" },
        { JSON_FORM_BULK, "{}", "" },
        { JSON_FORM_BULK, "{\"foo\":{\"0\":5},\"bar\":{}}", "foo{0=5,}bar{}" },
        { JSON_FORM_BULK, "{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\":{\"1\":1}}",
          "\"\\/<08><0c><0a><0d><09>{1=1,}" },
        { JSON_FORM_BULK, "{\"\\ud83d\\uDE00\\u00e9\\u20AC\":{\"1\":1}}",
          "<f0><9f><98><80><c3><a9><e2><82><ac>{1=1,}" },
        { JSON_FORM_BULK, "{\"\xc3\xa9\":{\"1\":1},\"e\":{\"1\":\"1\"}}", "<c3><a9>{1=1,}e{1=1,}" },
        { JSON_FORM_LINES, "", "" },
        { JSON_FORM_LINES, "\n\r\n  \n", "" },
        { JSON_FORM_LINES, "{\"key\":\"a\",\"vector\":{\"0\":5}}\n", "a{0=5,}" },
        { JSON_FORM_LINES,
          "{\"vector\":{\"7\":1,\"0\":5},\"key\":\"a\"}\r\n\n"
          "{\"key\":\"a\",\"size\":3,\"digest\":\"x\",\"expires\":\"2026-12-29T00:00Z\","
          "\"view\":\"hll\",\"vector\":{}}",
          "a{0=5,7=1,}a{}" },
        { JSON_FORM_LINES, "{\"key\":\"a\",\"generation\":9,\"vector\":{\"0\":5}}", "a{0=5,}" },
        { JSON_FORM_EXPORT,
          "{\"key\":\"a\",\"generation\":9,\"size\":1,\"vector\":{\"0\":5}}\n"
          "{\"generation\":4294967295,\"deleted\":\"9f1c0d2277aa01b3\"}\n"
          "{\"vector\":{\"1\":1},\"key\":\"b\"}",
          "a@9{0=5,}-9f1c0d2277aa01b3@4294967295{}b{1=1,}" },
    };
    struct fixture *fixture = (struct fixture *)*state;
    struct draft_problem problem;

    for (size_t i = 0; i < COUNT(table); i++) {
        const struct bytes text = bytes_of(table[i].text);

        for (size_t split = 0; split <= text.size; split++) {
            const enum read_event event = read_split(fixture, table[i].form, text, split, &problem);

            assert_int_equal(event, READ_DONE);
            assert_string_equal(fixture->told, table[i].told);
        }
    }
}

struct refused {
    enum json_form form;
    const char *text;
    const char *pointer;
    uint64_t line;
    const char *words; /* of the reason */
};

static const struct refused refusals[] = {
    { JSON_FORM_LINES, "{\"deleted\":\"1\",\"generation\":9}", "/deleted", 1, "--import" },
    { JSON_FORM_EXPORT, "{\"deleted\":\"x\",\"generation\":9}", "/deleted", 1, "hexadecimal" },
    { JSON_FORM_EXPORT, "{\"deleted\":1,\"generation\":9}", "/deleted", 1, "hexadecimal" },
    { JSON_FORM_EXPORT, "{\"deleted\":\"1\"}", "", 1, "nothing else" },
    { JSON_FORM_EXPORT, "{\"deleted\":\"1\",\"generation\":9,\"key\":\"a\"}", "", 1,
      "nothing else" },
    { JSON_FORM_EXPORT, "{\"generation\":9}", "", 1, "no \"key\"" },
    { JSON_FORM_EXPORT, "{\"generation\":0}", "/generation", 1, "1..4294967295" },
    { JSON_FORM_EXPORT, "{\"generation\":4294967296}", "/generation", 1, "1..4294967295" },
    { JSON_FORM_EXPORT, "{\"generation\":\"9\"}", "/generation", 1, "1..4294967295" },
    { JSON_FORM_VECTOR, "", "", 1, "empty" },
    { JSON_FORM_VECTOR, " ", "", 1, "middle" },
    { JSON_FORM_VECTOR, "{", "", 1, "middle" },
    { JSON_FORM_VECTOR, "{\"1\":1", "/1", 1, "middle" },
    { JSON_FORM_VECTOR, "{\"1\":1}}", "", 1, "nothing more" },
    { JSON_FORM_VECTOR, "{}\n{}", "", 2, "nothing more" },
    { JSON_FORM_VECTOR, "[]", "", 1, "object must begin" },
    { JSON_FORM_VECTOR, "1 ", "", 1, "object must begin" },
    { JSON_FORM_VECTOR, "null", "", 1, "object must begin" },
    { JSON_FORM_VECTOR, "\xef\xbb\xbf{}", "", 1, "byte order mark" },
    { JSON_FORM_VECTOR, "{\"1\":1,}", "", 1, "name in double quotes" },
    { JSON_FORM_VECTOR, "{,}", "", 1, "name in double quotes" },
    { JSON_FORM_VECTOR, "{1:1}", "", 1, "where a number is" },
    { JSON_FORM_VECTOR, "{'1':1}", "", 1, "where ' is" },
    { JSON_FORM_VECTOR, "{\"1\" 1}", "/1", 1, "colon" },
    { JSON_FORM_VECTOR, "{\"1\":1 \"2\":2}", "", 1, "comma" },
    { JSON_FORM_VECTOR, "{\"1\":1/**/}", "", 1, "comma" },
    { JSON_FORM_VECTOR, "{\"00\":1}", "/00", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"01\":1}", "/01", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"-1\":1}", "/-1", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"\":1}", "/", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\" 1\":1}", "/ 1", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"1e1\":1}", "/1e1", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"a/b~\":1}", "/a~1b~0", 1, "not an index" },
    { JSON_FORM_VECTOR, "{\"18446744073709551616\":1}", "/18446744073709551616", 1,
      "not an index" },
    { JSON_FORM_VECTOR, "{\"7\":-3}", "/7", 1, "negative" },
    { JSON_FORM_VECTOR, "{\"7\":-0}", "/7", 1, "negative" },
    { JSON_FORM_VECTOR, "{\"7\":\"-3\"}", "/7", 1, "negative" },
    { JSON_FORM_VECTOR, "{\"7\":1.0}", "/7", 1, "fraction" },
    { JSON_FORM_VECTOR, "{\"7\":1e3}", "/7", 1, "exponent" },
    { JSON_FORM_VECTOR, "{\"7\":1E400}", "/7", 1, "exponent" },
    { JSON_FORM_VECTOR, "{\"7\":0123}", "/7", 1, "leading zeros" },
    { JSON_FORM_VECTOR, "{\"7\":00}", "/7", 1, "leading zeros" },
    { JSON_FORM_VECTOR, "{\"7\":.5}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\"7\":+5}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\"7\":0x10}", "", 1, "comma" },
    { JSON_FORM_VECTOR, "{\"7\":9007199254740992}", "/7", 1, "string of digits" },
    { JSON_FORM_VECTOR, "{\"7\":99999999999999999999999}", "/7", 1, "string of digits" },
    { JSON_FORM_VECTOR, "{\"7\":\"18446744073709551616\"}", "/7", 1, "not a decimal number" },
    { JSON_FORM_VECTOR, "{\"7\":\"\"}", "/7", 1, "not a decimal number" },
    { JSON_FORM_VECTOR, "{\"7\":\"1.5\"}", "/7", 1, "not a decimal number" },
    { JSON_FORM_VECTOR, "{\"7\":\"01\"}", "/7", 1, "not a decimal number" },
    { JSON_FORM_VECTOR, "{\"7\":true}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\"7\":null}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\"7\":[1]}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\"7\":{}}", "/7", 1, "whole number" },
    { JSON_FORM_VECTOR, "{\n\"1\":1,\n\"1\":2}", "/1", 3, "twice" },
    { JSON_FORM_VECTOR, "{\"1\":0,\"2\":2,\"\\u0031\":0}", "/1", 1, "twice" },
    { JSON_FORM_BULK, "{\"foo\":3}", "/foo", 1, "must be a vector" },
    { JSON_FORM_BULK, "{\"foo\":\"x\"}", "/foo", 1, "must be a vector" },
    { JSON_FORM_BULK, "{\"bar\":{\"7\":-3}}", "/bar/7", 1, "negative" },
    { JSON_FORM_BULK, "{\"a/b~\":{\"7\":{}}}", "/a~1b~0/7", 1, "whole number" },
    { JSON_FORM_BULK, "{\"foo\":{},\"bar\":{},\"foo\":{}}", "/foo", 1, "twice" },
    { JSON_FORM_BULK, "{\"foo\":{},\"\\u0066oo\":{}}", "/foo", 1, "twice" },
    { JSON_FORM_BULK, "{\"foo\":{\"1\":1,\"1\":1}}", "/foo/1", 1, "twice" },
    { JSON_FORM_BULK, "{\"\":{}}", "", 1, "empty" },
    { JSON_FORM_BULK, "{\"a\\u0000b\":{}}", "", 1, "NUL" },
    { JSON_FORM_BULK, "{\"\\ud800\":{}}", "", 1, "surrogate" },
    { JSON_FORM_BULK, "{\"\\ud800x\":{}}", "", 1, "surrogate" },
    { JSON_FORM_BULK, "{\"\\ud800\\n\":{}}", "", 1, "surrogate" },
    { JSON_FORM_BULK, "{\"\\ud800\\ud800\":{}}", "", 1, "surrogate" },
    { JSON_FORM_BULK, "{\"\\udc00\":{}}", "", 1, "surrogate" },
    { JSON_FORM_BULK, "{\"\\u12g4\":{}}", "", 1, "hex" },
    { JSON_FORM_BULK, "{\"\\x\":{}}", "", 1, "escape" },
    { JSON_FORM_BULK, "{\"a\nb\":{}}", "", 1, "control" },
    { JSON_FORM_BULK, "{\"\xff\":{}}", "", 1, "UTF-8" },
    { JSON_FORM_BULK, "{\"\xc0\xaf\":{}}", "", 1, "UTF-8" },
    { JSON_FORM_BULK, "{\"\xed\xa0\x80\":{}}", "", 1, "UTF-8" },
    { JSON_FORM_BULK, "{\"\xc3\":{}}", "", 1, "UTF-8" },
    { JSON_FORM_BULK, "{\"foo\":{}", "", 1, "middle" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"vector\":{}}\n\n{\"key\":\"b\"}", "", 3, "no \"vector\"" },
    { JSON_FORM_LINES, "{\"vector\":{}}", "", 1, "no \"key\"" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\n\"vector\":{}}", "", 1, "line ends" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"vector\":{}}{}", "", 1, "nothing more" },
    { JSON_FORM_LINES, "{\"key\":1,\"vector\":{}}", "/key", 1, "must be a string" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"vector\":[]}", "/vector", 1, "must be an object" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"key\":\"a\"}", "/key", 1, "twice" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"ttl\":1}", "/ttl", 1, "neither" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"vector\":{\"3\":-1}}", "/vector/3", 1, "negative" },
    { JSON_FORM_LINES, "\n{\"key\":\"a\",\"vector\":{\"3\":1,\"3\":1}}", "/vector/3", 2, "twice" },
    { JSON_FORM_LINES, "{\"key\":\"a\",\"size\":{}}", "/size", 1, "string or a number" },
    { JSON_FORM_LINES, "{\"key\":\"a\"", "/key", 1, "middle" },
};

static void test_json_reader_refuses_and_says_where(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct draft_problem problem;
    unsigned wrong = 0;

    for (size_t i = 0; i < COUNT(refusals); i++) {
        const struct refused *refused = &refusals[i];
        const struct bytes text = bytes_of(refused->text);

        for (size_t split = 0; split <= text.size; split++) {
            char pointer[DRAFT_POINTER_MAX + 1] = "";

            assert_int_equal(read_split(fixture, refused->form, text, split, &problem),
                             READ_REFUSED);
            memcpy(pointer, problem.pointer, problem.pointer_size);
            if (strcmp(pointer, refused->pointer) != 0 || problem.line != refused->line
                || strstr(problem.why.text, refused->words) == NULL) {
                print_error("%s: pointer \"%s\", line %llu, \"%s\"\n", refused->text, pointer,
                            (unsigned long long)problem.line, problem.why.text);
                wrong++;
                break;
            }
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_json_reader_refuses_names_that_are_too_long(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct draft_problem problem;
    char text[512];

    for (int size = 254; size <= 257; size++) {
        const int written = snprintf(text, sizeof text, "{\"%0*d\":{\"1\":1}}", size, 7);
        const struct bytes bytes = { (const uint8_t *)text, (size_t)written };

        assert_int_equal(read_split(fixture, JSON_FORM_BULK, bytes, 100, &problem),
                         size <= DRAFT_KEY_MAX ? READ_DONE : READ_REFUSED);
    }
    assert_non_null(strstr(problem.why.text, "longer than 255"));
}

/* A text nested a million deep costs nothing, and one of spaces only time. */
static void test_json_reader_is_not_moved_by_depth(void **state)
{
    static uint8_t text[1000000];
    struct fixture *fixture = (struct fixture *)*state;
    struct draft_problem problem;

    memset(text, '[', sizeof text);
    assert_int_equal(read_split(fixture, JSON_FORM_VECTOR, (struct bytes){ text, sizeof text },
                                sizeof text / 2, &problem),
                     READ_REFUSED);
    memset(text, ' ', sizeof text);
    assert_int_equal(read_split(fixture, JSON_FORM_VECTOR, (struct bytes){ text, sizeof text },
                                sizeof text / 2, &problem),
                     READ_REFUSED);
}

/* Sums over many elements, read in descending order: sorted in several steps. */
static void test_json_reader_sorts_in_steps(void **state)
{
    enum { ELEMENTS = 60000 };
    static char text[ELEMENTS * 20];
    struct fixture *fixture = (struct fixture *)*state;
    struct draft draft;
    struct json_reader *reader;
    struct bytes rest = { (const uint8_t *)text, 0 };
    struct block_room room;
    struct block block;
    unsigned busy = 0;
    uint64_t next = 1;
    enum read_event event;

    for (unsigned i = ELEMENTS; i > 0; i--) {
        rest.size += (size_t)snprintf(text + rest.size, sizeof text - rest.size, "%c\"%u\":%u",
                                      i == ELEMENTS ? '{' : ',', i, i + 1);
    }
    text[rest.size++] = '}';
    draft_init(&draft, &fixture->mem, secret);
    reader = json_reader_create(JSON_FORM_VECTOR, &draft);
    assert_non_null(reader);
    while ((event = json_reader_read(reader, &rest)) == READ_BUSY) {
        assert_int_equal(json_reader_end(reader), READ_BUSY);
        busy++;
    }
    assert_int_equal(event, READ_UPDATE);
    assert_true(busy > 10);
    while (draft_next_block(&draft, &room, &block)) {
        for (unsigned i = 0; i < block.count; i++) {
            assert_int_equal(block.number << 8 | block_offset(&block, i), next);
            assert_int_equal(block_value(&block, i), next + 1);
            next++;
        }
    }
    assert_int_equal(next, ELEMENTS + 1);
    assert_int_equal(json_reader_read(reader, &rest), READ_MORE);
    assert_int_equal(json_reader_end(reader), READ_DONE);
    json_reader_free(reader);
    draft_clear(&draft);
}

/* Whatever cJSON refuses is refused; and on vectors that cJSON takes both read the same. */
static void test_json_reader_agrees_with_cjson(void **state)
{
    static const char pieces[][8] = { "{", "}", ",", ":", "\"1\"", "\"2\"", "7", "0", " ", "\"" };
    static const char sound[][8] = { "7", ",", "\"2\"", ":", "0", ",", "\"3\"", ":" };
    struct fixture *fixture = (struct fixture *)*state;
    struct draft_problem problem;
    uint64_t random = 42;
    unsigned refused = 0;
    unsigned taken = 0;

    for (unsigned round = 0; round < 60000; round++) {
        char text[128] = "{\"1\":";
        const char *end = NULL;
        enum read_event event;
        cJSON *document;

        for (unsigned i = 0; i < 9; i++) { /* every tenth piece is any other */
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            strcat(text, (random >> 32) % 10 == 0 ? pieces[(random >> 40) % COUNT(pieces)]
                                                  : sound[i % COUNT(sound)]);
        }
        strcat(text, "}");
        event =
            read_split(fixture, JSON_FORM_VECTOR, bytes_of(text), round % strlen(text), &problem);
        document = cJSON_ParseWithOpts(text, &end, true);
        if (document == NULL) {
            assert_int_equal(event, READ_REFUSED);
            refused++;
        } else if (event == READ_DONE) {
            taken++;
            for (const cJSON *member = document->child; member != NULL; member = member->next) {
                char told[64];

                (void)snprintf(told, sizeof told, "%s=%.0f,", member->string, member->valuedouble);
                assert_true(member->valuedouble == 0 || strstr(fixture->told, told) != NULL);
            }
        }
        cJSON_Delete(document);
    }
    assert_in_range(refused, 20000, 50000);
    assert_in_range(taken, 10000, 40000);
}

static void test_json_reader_survives_the_nth_allocation_failing(void **state)
{
    static const char text[] = "{\"a\":{\"9\":1,\"3\":1,\"5\":2},\"b\":{\"1\":1}}";
    struct fixture *fixture = (struct fixture *)*state;

    for (uint64_t nth = 1; nth < 8; nth++) {
        struct draft draft;
        struct json_reader *reader;
        struct bytes rest = bytes_of(text);
        enum read_event event = READ_MEMORY;

        fixture->mem.fail_countdown = nth;
        draft_init(&draft, &fixture->mem, secret);
        reader = json_reader_create(JSON_FORM_BULK, &draft);
        if (reader != NULL) {
            event = piece_read(fixture, reader, &draft, rest);
        }
        assert_true(event == READ_MEMORY || (event == READ_MORE && nth > 4));
        json_reader_free(reader);
        draft_clear(&draft);
        assert_int_equal(fixture->mem.used_bytes, 0);
    }
    fixture->mem.fail_countdown = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_json_reader_takes_at_every_split),
        TEST(test_json_reader_refuses_and_says_where),
        TEST(test_json_reader_refuses_names_that_are_too_long),
        TEST(test_json_reader_is_not_moved_by_depth),
        TEST(test_json_reader_sorts_in_steps),
        TEST(test_json_reader_agrees_with_cjson),
        TEST(test_json_reader_survives_the_nth_allocation_failing),
    };

    return cmocka_run_group_tests_name("json_reader", tests, NULL, NULL);
}
