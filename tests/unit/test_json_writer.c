/* What this file tests: JSON as it is written: escapes, integers, decimals, elements, and that
 * neither the size of the space nor the places where it is emptied show. */

#include "view/json_writer.h"

#include <cJSON.h>

#include <math.h>
#include <string.h>

#include "unit/test.h"

#define COUNT(array) (sizeof array / sizeof array[0])

struct sink {
    char text[8192];
    size_t size;
};

static void take(void *state, struct bytes text)
{
    struct sink *sink = (struct sink *)state;

    assert_true(text.size < sizeof sink->text - sink->size);
    memcpy(sink->text + sink->size, text.data, text.size);
    sink->size += text.size;
    sink->text[sink->size] = '\0';
}

/* A writer into a sink, through a space of so many bytes. */
struct writing {
    struct sink sink;
    struct output output;
    struct json_writer json;
    uint8_t buffer[300];
};

static struct json_writer *writing_begin(struct writing *writing, size_t size, bool is_pretty)
{
    writing->sink = (struct sink){ .size = 0 };
    output_init(&writing->output, (struct space){ writing->buffer, size }, take, &writing->sink);
    json_begin(&writing->json, &writing->output, is_pretty);
    return &writing->json;
}

static const char *writing_end(struct writing *writing)
{
    output_flush(&writing->output);
    return writing->sink.text;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

struct pair {
    const char *in;
    const char *out;
};

static void test_json_string_escapes_what_could_be_misread(void **state)
{
    static const struct pair table[] = {
        { "", "\"\"" },
        { "foo", "\"foo\"" },
        { "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
        { "\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"" },
        { "\xc2\x9b[2J", "\"\\u009b[2J\"" },
        { "\xc2\xa0\xc3\xa9\xf0\x9f\x98\x80", "\"\xc2\xa0\xc3\xa9\xf0\x9f\x98\x80\"" },
        { "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\\u2028\\u2029\xe2\x80\xaa\"" },
        { "<script>", "\"<script>\"" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct writing writing;

        json_string(writing_begin(&writing, 64, false), bytes_of(table[i].in));
        assert_string_equal(writing_end(&writing), table[i].out);
    }
}

static void test_json_u64_is_a_string_where_readers_would_round(void **state)
{
    static const struct {
        uint64_t number;
        const char *out;
    } table[] = {
        { 0, "0" },
        { 9007199254740991, "9007199254740991" },
        { 9007199254740992, "\"9007199254740992\"" },
        { UINT64_MAX, "\"18446744073709551615\"" },
        { 1732350000123450, "1732350000123450" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct writing writing;

        json_u64(writing_begin(&writing, 64, false), table[i].number);
        assert_string_equal(writing_end(&writing), table[i].out);
    }
}

static void test_json_decimal_rounds_and_trims(void **state)
{
    static const struct {
        double number;
        unsigned decimals;
        const char *out;
    } table[] = {
        { 0, 3, "0" },       { 0.31, 3, "0.31" },   { 0.0005, 3, "0.001" },
        { 1.9996, 3, "2" },  { -1.5, 1, "-1.5" },   { -0.0001, 2, "0" },
        { 12, 0, "12" },     { 12.5, 0, "13" },     { 0.000001, 6, "0.000001" },
        { 1e19, 0, "null" }, { -1e300, 2, "null" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct writing writing;

        json_decimal(writing_begin(&writing, 64, false), table[i].number, table[i].decimals);
        assert_string_equal(writing_end(&writing), table[i].out);
    }
}

static void test_json_decimal_of_no_number_is_null(void **state)
{
    struct writing writing;
    struct json_writer *json = writing_begin(&writing, 64, false);

    (void)state;
    json_begin_array(json);
    json_decimal(json, NAN, 1);
    json_decimal(json, INFINITY, 1);
    json_end_array(json);
    assert_string_equal(writing_end(&writing), "[null,null]");
}

/* One document of everything, through a space of any size. */
static void document_put(struct json_writer *json)
{
    static const uint8_t offsets[] = { 0, 7, 255 };
    static const uint64_t values[] = { 3, 0, UINT64_MAX };
    static const uint8_t bitmap[BLOCK_BITMAP_BYTES] = { 0x81 };
    const struct block sparse = {
        .number = 1, .values = values, .offsets = offsets, .count = 3, .width = 8
    };
    const struct block bits = { .number = 2, .values = bitmap, .count = 256, .width = 0 };
    struct mark mark = { .number = 2 };

    mark_set(&mark, 7);
    json_begin_object(json);
    json_name(json, "key");
    json_text(json, "a\nb");
    json_name(json, "vector");
    json_begin_object(json);
    json_elements(json, &sparse, NULL);
    json_elements(json, &bits, &mark);
    json_end_object(json);
    json_name(json, "empty");
    json_begin_array(json);
    json_end_array(json);
    json_name(json, "list");
    json_begin_array(json);
    json_bool(json, true);
    json_hex64(json, 0x1234);
    json_begin_object(json);
    json_end_object(json);
    json_end_array(json);
    json_end_object(json);
}

static void test_json_does_not_show_where_it_was_emptied(void **state)
{
    static const char out[] = "{\"key\":\"a\\nb\",\"vector\":{\"256\":3,"
                              "\"511\":\"18446744073709551615\",\"519\":1},\"empty\":[],"
                              "\"list\":[true,\"0000000000001234\",{}]}";

    (void)state;
    for (size_t size = 64; size < 300; size++) {
        struct writing writing;

        document_put(writing_begin(&writing, size, false));
        assert_string_equal(writing_end(&writing), out);
    }
}

static void test_json_pretty_means_the_same(void **state)
{
    struct writing plain;
    struct writing pretty;
    cJSON *one;
    cJSON *other;

    (void)state;
    document_put(writing_begin(&plain, 64, false));
    (void)writing_end(&plain);
    document_put(writing_begin(&pretty, 64, true));
    (void)writing_end(&pretty);
    assert_non_null(
        strstr(pretty.sink.text, "{\n  \"key\": \"a\\nb\",\n  \"vector\": {\n    \"256\": 3"));
    assert_non_null(strstr(pretty.sink.text, "\"empty\": [],"));
    one = cJSON_Parse(plain.sink.text);
    other = cJSON_Parse(pretty.sink.text);
    assert_non_null(one);
    assert_true(cJSON_Compare(one, other, true));
    cJSON_Delete(one);
    cJSON_Delete(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_string_escapes_what_could_be_misread),
        cmocka_unit_test(test_json_u64_is_a_string_where_readers_would_round),
        cmocka_unit_test(test_json_decimal_rounds_and_trims),
        cmocka_unit_test(test_json_decimal_of_no_number_is_null),
        cmocka_unit_test(test_json_does_not_show_where_it_was_emptied),
        cmocka_unit_test(test_json_pretty_means_the_same),
    };

    return cmocka_run_group_tests_name("json_writer", tests, NULL, NULL);
}
