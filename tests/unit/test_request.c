/* What this file tests: reading targets, queries and the headers that decide something. */

#include "http/request.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include <string.h>
#include <sys/queue.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct request_query query;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    request_query_clear(&fixture->query, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

static void assert_bytes(struct bytes bytes, const char *expected)
{
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
}

static void test_request_target_is_cut_at_the_question_mark(void **state)
{
    static const struct {
        const char *uri;
        const char *authority;
        const char *path;
        const char *query;
    } rows[] = {
        { "/", "", "", "" },
        { "/keys/a%2Fb", "", "keys/a%2Fb", "" },
        { "/keys/a//b?x=1?y", "", "keys/a//b", "x=1?y" },
        { "/?", "", "", "" },
        { "/..", "", "..", "" },
        { "/http://a/b", "", "http://a/b", "" },
        { "http://127.0.0.1:6001/keys/a?x", "127.0.0.1:6001", "keys/a", "x" },
        { "HTTPS://[::1]", "[::1]", "", "" },
        { "http://a?x=/", "a", "", "x=/" },
        { "http://a//b", "a", "/b", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request_target target;

        assert_true(request_target_read(rows[i].uri, &target));
        assert_bytes(target.authority, rows[i].authority);
        assert_int_equal(target.authority.data != NULL, rows[i].authority[0] != '\0');
        assert_bytes(target.path, rows[i].path);
        assert_bytes(target.query, rows[i].query);
    }
}

static void test_request_target_refuses_what_is_no_path(void **state)
{
    static const char *const rows[] = {
        "",
        "*",
        "keys",
        "//keys/a",
        "http:///keys",
        "127.0.0.1:80",
        "ftp://a/b",
        "http://a/b#c",
        "http:a",
        "http://",
        "http://a b/c",
        "/a b",
        "/a\tb",
        "/a#b",
        "/a\x7f",
        "/caf\xc3\xa9",
        "/a\x01",
        "?x=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request_target target;

        assert_false(request_target_read(rows[i], &target));
    }
}

static void test_request_decode_decodes_once(void **state)
{
    static const struct {
        const char *raw;
        bool plus;
        const char *decoded;
    } rows[] = {
        { "", false, "" },         { "a", false, "a" },     { "a%2fb%2F", false, "a/b/" },
        { "%2525", false, "%25" }, { "a+b", false, "a+b" }, { "a+b%2B", true, "a b+" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t decoded[16];
        size_t size = 99;

        assert_true(request_decode(text(rows[i].raw), rows[i].plus, decoded, &size));
        assert_bytes((struct bytes){ decoded, size }, rows[i].decoded);
    }
}

static void test_request_decode_refuses_half_a_form(void **state)
{
    static const char *const rows[] = { "%", "%2", "a%", "%zz", "%2z", "%z2", "%%20", "%-1" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t decoded[16];
        size_t size;

        assert_false(request_decode(text(rows[i]), false, decoded, &size));
    }
}

static void test_request_query_keeps_order_and_repetition(void **state)
{
    struct fixture *fixture = *state;
    const char *const raw = "key=a&key=b%26c&pretty&&empty=&x=y=z&caf%C3%A9=+";
    static const char *const expected[][2] = {
        { "key", "a" },  { "key", "b&c" }, { "pretty", "" },
        { "empty", "" }, { "x", "y=z" },   { "caf\xc3\xa9", " " },
    };

    assert_int_equal(request_query_read(text(raw), &fixture->mem, &fixture->query),
                     REQUEST_QUERY_OK);
    assert_int_equal(fixture->query.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < fixture->query.count; i++) {
        assert_bytes(fixture->query.list[i].name, expected[i][0]);
        assert_bytes(fixture->query.list[i].value, expected[i][1]);
    }
}

static void test_request_query_that_is_empty_takes_no_memory(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(request_query_read(text(""), &fixture->mem, &fixture->query),
                     REQUEST_QUERY_OK);
    assert_int_equal(fixture->query.count, 0);
    assert_int_equal(fixture->mem.used_bytes, 0);
}

static void test_request_query_refuses_bad_text(void **state)
{
    static const char *const rows[] = { "a=%", "%zz=1", "a=%00", "a=%ff", "%C0%AF", "a=1&b=%2" };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(request_query_read(text(rows[i]), &fixture->mem, &fixture->query),
                         REQUEST_QUERY_INVALID);
        request_query_clear(&fixture->query, &fixture->mem);
    }
}

/* A request line could hold thousands; each is compared with the names that the route knows. */
static void test_request_query_takes_so_many_parameters(void **state)
{
    struct fixture *fixture = *state;
    char raw[4 * (REQUEST_PARAMETERS_MAX + 1) + 1] = "";

    for (size_t i = 0; i < REQUEST_PARAMETERS_MAX; i++) {
        memcpy(raw + 4 * i, "a=1&", 5);
    }
    assert_int_equal(request_query_read(text(raw), &fixture->mem, &fixture->query),
                     REQUEST_QUERY_OK);
    assert_int_equal(fixture->query.count, REQUEST_PARAMETERS_MAX);
    request_query_clear(&fixture->query, &fixture->mem);
    memcpy(raw + 4 * (size_t)REQUEST_PARAMETERS_MAX, "a=1", 4);
    assert_int_equal(request_query_read(text(raw), &fixture->mem, &fixture->query),
                     REQUEST_QUERY_MANY);
    assert_int_equal(fixture->mem.used_bytes, 0);
}

static void test_request_query_says_when_there_is_no_memory(void **state)
{
    struct fixture *fixture = *state;

    fixture->mem.fail_countdown = 1;
    assert_int_equal(request_query_read(text("a=1"), &fixture->mem, &fixture->query),
                     REQUEST_QUERY_MEMORY);
}

static void test_request_flags_are_words_for_on_and_off(void **state)
{
    static const char *const on[] = { "", "1", "true", "True", "TRUE", "yes", "YES" };
    static const char *const off[] = { "0", "false", "False", "no", "No" };
    static const char *const neither[] = { "2", "on", "t", "truer", "tru", "00", " 1", "-" };
    bool is_on;

    (void)state;
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        is_on = false;
        assert_true(request_flag_read(text(on[i]), &is_on));
        assert_true(is_on);
    }
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        is_on = true;
        assert_true(request_flag_read(text(off[i]), &is_on));
        assert_false(is_on);
    }
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++) {
        assert_false(request_flag_read(text(neither[i]), &is_on));
    }
}

static void test_request_words_have_whole_words(void **state)
{
    (void)state;
    assert_true(request_words_have("after limit match", text("after")));
    assert_true(request_words_have("after limit match", text("limit")));
    assert_true(request_words_have("after limit match", text("match")));
    assert_false(request_words_have("after limit match", text("lim")));
    assert_false(request_words_have("after limit match", text("limits")));
    assert_false(request_words_have("after limit match", text("")));
    assert_false(request_words_have("after limit match", text("after limit")));
    assert_false(request_words_have("", text("x")));
    assert_false(request_words_have(NULL, text("x")));
}

struct framing_row {
    const char *headers[8]; /* name, value, ... */
    struct request_framing framing;
    bool is_sound;
};

static void test_request_framing_has_one_reading(void **state)
{
    static const struct framing_row rows[] = {
        { { "Host", "a" }, { .has_host_rule = true }, true },
        { { "Content-Length", "3" }, { 0 }, true },
        { { "Content-Length", "0" }, { .takes_no_body = true }, true },
        { { "Content-Length", "000" }, { .takes_no_body = true }, true },
        { { "Transfer-Encoding", "chunked" }, { 0 }, true },
        { { "transfer-encoding", "Chunked" }, { 0 }, true },
        { { "X-Anything", "content-length: 3" }, { 0 }, true },
        { { "Accept", "" }, { 0 }, true },
        { { "Accept", "a" }, { .has_host_rule = true }, false },
        { { "Host", "a", "host", "a" }, { 0 }, false },
        { { "Content-Length", "3", "content-length", "3" }, { 0 }, false },
        { { "Content-Length", "+3" }, { 0 }, false },
        { { "Content-Length", "" }, { 0 }, false },
        { { "Content-Length", "3 " }, { 0 }, false },
        { { "Content-Length", "0x3" }, { 0 }, false },
        { { "Content-Length", "3", "Transfer-Encoding", "chunked" }, { 0 }, false },
        { { "Transfer-Encoding", "xchunked" }, { 0 }, false },
        { { "Transfer-Encoding", "gzip, chunked" }, { 0 }, false },
        { { "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked" }, { 0 }, false },
        { { "Transfer-Encoding", "chunked" }, { .has_old_syntax = true }, false },
        { { "Transfer-Encoding", "chunked" }, { .takes_no_body = true }, false },
        { { "Content-Length", "1" }, { .takes_no_body = true }, false },
        { { "Transfer-Encoding ", "chunked" }, { 0 }, false },
        { { "", "a" }, { 0 }, false },
        { { "a\x01", "a" }, { 0 }, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct evkeyvalq headers = TAILQ_HEAD_INITIALIZER(headers);
        const char *fault;

        for (size_t j = 0; rows[i].headers[j] != NULL; j += 2) {
            assert_int_equal(
                evhttp_add_header(&headers, rows[i].headers[j], rows[i].headers[j + 1]), 0);
        }
        fault = request_framing_fault(&headers, rows[i].framing);
        if ((fault == NULL) != rows[i].is_sound) {
            fail_msg("row %zu: %s", i, fault == NULL ? "was taken" : fault);
        }
        evhttp_clear_headers(&headers);
    }
}

/* What a line of hosts(5) adds for a host called "own". */
static void test_request_own_names_are_those_that_go_on_from_the_short_one(void **state)
{
    static const struct {
        const char *line;
        const char *names; /* with commas between them */
    } rows[] = {
        { "127.0.1.1\town.example own\n", "own.example" },
        { "127.0.1.1 own own.a OWN.b # own.c", "own.a,OWN.b" },
        { "127.0.1.1 owner.example notown.example own", "" },
        { "# 127.0.1.1 own.example", "" },
        { "own.example", "" },
        { "127.0.1.1 own.01234567890123456789 own.short", "own.short" }, /* no room for the first */
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char own[24] = "own";
        char joined[64] = "";

        request_own_names_add(own, sizeof own, "own", rows[i].line);
        for (const char *name = own + 4; *name != '\0'; name += strlen(name) + 1) {
            strcat(joined, joined[0] == '\0' ? "" : ",");
            strcat(joined, name);
        }
        assert_string_equal(joined, rows[i].names);
    }
}

static void test_request_host_is_known(void **state)
{
    static const char own[] = "own\0own.example\0";
    static const char *const names[] = { "db.example" };
    static const struct {
        const char *host;
        bool is_known;
    } rows[] = {
        { "127.0.0.1", true },
        { "127.0.0.1:6001", true },
        { "10.1.2.3:80", true },
        { "[::1]", true },
        { "[::1]:6001", true },
        { "localhost", true },
        { "LocalHost:6001", true },
        { "localhost.", true },
        { "own", true },
        { "OWN.example.:80", true },
        { "own.example.org", false },
        { "db.example:1", true },
        { "DB.example.", true },
        { "evil.example", false },
        { "127.0.0.1.evil.example", false },
        { "localhost.evil.example", false },
        { "127.0.0.1:6001evil", false },
        { "127.0.0.1@evil", false },
        { "[::1", false },
        { "[::1]evil", false },
        { "db.example.evil", false },
        { "", false },
        { ":80", false },
        { ".", false },
        { "own.other", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (request_host_is_known(text(rows[i].host), own, names, 1) != rows[i].is_known) {
            fail_msg("'%s'", rows[i].host);
        }
    }
    assert_false(request_host_is_known(text("own"), NULL, NULL, 0));
    assert_false(request_host_is_known(text(""), own, NULL, 0));
}

static void test_request_origin_is_known(void **state)
{
    static const char *const origins[] = { "https://app.example" };
    static const char *const any[] = { "*" };

    (void)state;
    assert_true(request_origin_is_known("http://127.0.0.1:6001", text("127.0.0.1:6001"), NULL, 0));
    assert_true(request_origin_is_known("https://DB.example", text("db.example"), NULL, 0));
    assert_true(request_origin_is_known("https://app.example", text("127.0.0.1"), origins, 1));
    assert_true(request_origin_is_known("https://evil.example", text("127.0.0.1"), any, 1));
    assert_false(request_origin_is_known("https://evil.example", text("127.0.0.1"), origins, 1));
    assert_false(request_origin_is_known("http://127.0.0.1:7000", text("127.0.0.1:6001"), NULL, 0));
    assert_false(request_origin_is_known("null", text("127.0.0.1"), origins, 1));
    assert_false(request_origin_is_known("ftp://127.0.0.1", text("127.0.0.1"), NULL, 0));
    assert_false(request_origin_is_known("http://127.0.0.1", (struct bytes){ NULL, 0 }, NULL, 0));
    assert_false(request_origin_is_known("", text(""), NULL, 0));
}

static void test_request_type_ignores_parameters_and_case(void **state)
{
    (void)state;
    assert_true(request_type_is("application/json", text("application/json")));
    assert_true(request_type_is("Application/JSON; charset=utf-8", text("application/json")));
    assert_true(request_type_is("", text("")));
    assert_false(request_type_is("application/jsonp", text("application/json")));
    assert_false(request_type_is("application/jso", text("application/json")));
    assert_false(request_type_is("", text("application/json")));
    assert_false(request_type_is("text/plain, application/json", text("application/json")));
}

/* RFC 9110 12.5.1: the range that names a type most closely says how much it is wanted. */
static void test_request_quality_is_that_of_the_closest_range(void **state)
{
    static const struct {
        const char *value;
        unsigned thousandths;
        unsigned closeness;
    } rows[] = {
        { "application/msgpack", 1000, 3 },
        { "text/html, Application/MsgPack", 1000, 3 },
        { "application/msgpack;q=0.5, text/html", 500, 3 },
        { "text/html;q=0,application/msgpack ; q=0.001", 1, 3 },
        { "application/msgpack;version=1;q=0.25", 250, 3 },
        { "application/msgpack;q=1.000", 1000, 3 },
        { "application/msgpack;q=0", 0, 3 },
        { "application/msgpack; q=0.000, */*", 0, 3 },
        { "application/msgpack;Q=0, text/html", 0, 3 },
        { "*/*;q=0.8, application/*;q=0.3", 300, 2 },
        { "application/*", 1000, 2 },
        { "*/*", 1000, 1 },
        { "text/*, */*;q=0.1", 100, 1 },
        { "", 0, 0 },
        { "application/msgpackx", 0, 0 },
        { "xapplication/msgpack", 0, 0 },
        { "application", 0, 0 },
        { "application/msgpack;q=x", 0, 0 },
        { "application/msgpack;q=", 0, 0 },
        { "application/msgpack;q=1.5", 0, 0 },
        { "application/msgpack;q=0.1234, */*", 1000, 1 },
        { "application/msgpack;q=-1", 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct request_quality found =
            request_quality_of(rows[i].value, "application/msgpack");

        if (found.thousandths != rows[i].thousandths || found.closeness != rows[i].closeness) {
            fail_msg("'%s' gave %u, %u", rows[i].value, found.thousandths, found.closeness);
        }
    }
}

static void test_request_etag_is_found_in_a_list(void **state)
{
    static const char digits[] = "00000000000000ff";
    static const char *const yes[] = {
        "\"00000000000000ff\"",
        "W/\"00000000000000ff\"",
        "\"x\", \"00000000000000ff\"",
        "\"00000000000000fe\",W/\"00000000000000ff\"",
    };
    static const char *const no[] = {
        "",
        "*",
        "00000000000000ff",
        "\"00000000000000ff",
        "\"00000000000000FF\"",
        "\"00000000000000ff0\"",
        "\"0000000000000ff\"",
        "\", 00000000000000ff, \"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!request_etag_matches(yes[i], digits)) {
            fail_msg("'%s'", yes[i]);
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        if (request_etag_matches(no[i], digits)) {
            fail_msg("'%s'", no[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_target_is_cut_at_the_question_mark),
        TEST(test_request_target_refuses_what_is_no_path),
        TEST(test_request_decode_decodes_once),
        TEST(test_request_decode_refuses_half_a_form),
        TEST(test_request_query_keeps_order_and_repetition),
        TEST(test_request_query_that_is_empty_takes_no_memory),
        TEST(test_request_query_refuses_bad_text),
        TEST(test_request_query_takes_so_many_parameters),
        TEST(test_request_query_says_when_there_is_no_memory),
        TEST(test_request_flags_are_words_for_on_and_off),
        TEST(test_request_words_have_whole_words),
        TEST(test_request_framing_has_one_reading),
        TEST(test_request_own_names_are_those_that_go_on_from_the_short_one),
        TEST(test_request_host_is_known),
        TEST(test_request_origin_is_known),
        TEST(test_request_type_ignores_parameters_and_case),
        TEST(test_request_quality_is_that_of_the_closest_range),
        TEST(test_request_etag_is_found_in_a_list),
    };

    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
