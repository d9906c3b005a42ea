/* What this file tests: what is refused before a handler sees it, and how it is said. */

#include "http/server.h"

#include "unit/server_world.h"

/* A request and what its answer must begin with and hold. */
struct answer_row {
    const char *request;
    const char *first;
    const char *holds;
};

static void rows_check(struct fixture *fixture, const struct answer_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *answer = exchange_to_end(fixture, rows[i].request);

        if (strncmp(answer, rows[i].first, strlen(rows[i].first)) != 0) {
            fail_msg("%s\nwas answered\n%s", rows[i].request, answer);
        }
        assert_has(answer, rows[i].holds);
    }
}

static void test_admit_routes_by_the_raw_path(void **state)
{
    static const struct answer_row rows[] = {
        { "GET / HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "hello" },
        { "GET /hello/there HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "hello" },
        { "GET /keys/a%2Fb HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "\r\n\r\na/b" },
        { "GET /keys/a//b HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "\r\n\r\na//b" },
        { "GET /keys/.. HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "\r\n\r\n.." },
        { "GET /keys/a+b%25 HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "\r\n\r\na+b%" },
        { "GET /keys/%C3%A9 HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "\r\n\r\n\xc3\xa9" },
        { "GET /nothing HTTP/1.1\r\n" LAST, "HTTP/1.1 404", "\"status\":404" },
        { "GET /keys HTTP/1.1\r\n" LAST, "HTTP/1.1 404", "\"instance\":\"/keys\"" },
        { "GET /hello/ HTTP/1.1\r\n" LAST, "HTTP/1.1 404", "problem+json" },
        { "GET /keys/ HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "the key is empty" },
        { "GET /keys/%zz HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "two hex digits" },
        { "GET /keys/a%00b HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "NUL" },
        { "GET /keys/%C0%AF HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "not UTF-8" },
        { "GET //keys/a HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "neither a path" },
        { "GET http://127.0.0.1/hello HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "hello" },
        { "GET http://evil.example/hello HTTP/1.1\r\n" LAST, "HTTP/1.1 403", "evil.example" },
        { "GET ftp://127.0.0.1/hello HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "neither a path" },
        { "GET /hel lo HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "neither a path" },
        { "GET /hello#x HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "neither a path" },
        { "OPTIONS * HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "neither a path" },
    };
    struct fixture *fixture = *state;

    serve(fixture);
    rows_check(fixture, rows, sizeof rows / sizeof rows[0]);
}

static void test_admit_says_what_methods_a_resource_takes(void **state)
{
    static const struct answer_row rows[] = {
        { "POST /hello HTTP/1.1\r\n" LAST, "HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n" },
        { "BREW /hello HTTP/1.1\r\n" LAST, "HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n" },
        { "TRACE /hello HTTP/1.1\r\n" LAST, "HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n" },
        { "DELETE /keys/a HTTP/1.1\r\n" LAST, "HTTP/1.1 405",
          "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n" },
        { "DELETE /keys/a HTTP/1.1\r\n" LAST, "HTTP/1.1 405", "cannot be taken back" },
        { "OPTIONS /keys/a HTTP/1.1\r\n" LAST, "HTTP/1.1 204",
          "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n" },
    };
    struct fixture *fixture = *state;

    serve(fixture);
    rows_check(fixture, rows, sizeof rows / sizeof rows[0]);
}

#define LINES "Content-Type: application/x-ndjson\r\n"

static void test_admit_refuses_parameters_types_and_sizes_it_does_not_know(void **state)
{
    static const struct answer_row rows[] = {
        { "GET /keys/a?limt=5 HTTP/1.1\r\n" LAST, "HTTP/1.1 400",
          "the parameter 'limt' is not known here; known are: wait pretty" },
        { "GET /hello?pretty HTTP/1.1\r\n" LAST, "HTTP/1.1 200", "hello" },
        { "GET /hello?pretty=%F HTTP/1.1\r\n" LAST, "HTTP/1.1 400", "percent" },
        { "POST /keys/a?tag=x&tag=y&tag HTTP/1.1\r\nContent-Length: 2\r\n" LAST "{}",
          "HTTP/1.1 201", "2 bytes of 3 tags" },
        { "POST /keys/a HTTP/1.1\r\nContent-Length: 2\r\n"
          "Content-Type: application/json; charset=utf-8\r\n" LAST "{}",
          "HTTP/1.1 201", "2 bytes" },
        { "POST /keys/a HTTP/1.1\r\nContent-Length: 2\r\n"
          "Content-Type: application/x-www-form-urlencoded\r\n" LAST "{}",
          "HTTP/1.1 201", "2 bytes" },
        { "POST /keys/a HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: image/png\r\n" LAST "{}",
          "HTTP/1.1 415", "Accept: application/json, text/plain\r\n" },
        { "POST /keys/a HTTP/1.1\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n" LAST "{}",
          "HTTP/1.1 415", "compressed" },
        { "POST /keys/a HTTP/1.1\r\nContent-Length: 9\r\n" LAST "123456789", "HTTP/1.1 413",
          "http-max-body" },
        { "POST /lines HTTP/1.1\r\nContent-Length: 9\r\n" LINES LAST "123456789", "HTTP/1.1 200",
          "9 drained" },
        { "POST /lines HTTP/1.1\r\nContent-Length: 9\r\n" LAST "123456789", "HTTP/1.1 413",
          "http-max-body (8 bytes) allows; as application/x-ndjson it may have http-max-lines (16 "
          "bytes)" },
        { "POST /lines HTTP/1.1\r\nContent-Length: 17\r\n" LINES LAST "12345678901234567",
          "HTTP/1.1 413", "" },
        { "POST /post HTTP/1.1\r\nContent-Length: 2\r\n" LAST "{}", "HTTP/1.1 400", "no body" },
        { "POST /keys/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" LAST "2\r\n{}\r\n0\r\n\r\n",
          "HTTP/1.1 201", "2 bytes" },
    };
    struct fixture *fixture = *state;

    fixture->options.document_bytes_max = 8;
    fixture->options.lines_bytes_max = 16;
    serve(fixture);
    rows_check(fixture, rows, sizeof rows / sizeof rows[0]);
    assert_int_equal(fixture->turns, 7); /* calls of handlers and steps of writes */
}

static void test_admit_keeps_strangers_sites_out(void **state)
{
    static const struct answer_row rows[] = {
        { "GET /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 403",
          "http-host" },
        { "GET /hello HTTP/1.1\r\nHost: db.example:80\r\nConnection: close\r\n\r\n", "HTTP/1.1 200",
          "hello" },
        { "GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "hello" },
        { "GET /hello HTTP/1.1\r\nOrigin: http://evil.example\r\n" LAST, "HTTP/1.1 403",
          "http-allow-origin" },
        { "GET /hello HTTP/1.1\r\nOrigin: null\r\n" LAST, "HTTP/1.1 403", "http-allow-origin" },
        { "GET /hello HTTP/1.1\r\nOrigin: http://127.0.0.1\r\n" LAST, "HTTP/1.1 200", "hello" },
        { "GET /hello HTTP/1.1\r\nOrigin: https://app.example\r\n" LAST, "HTTP/1.1 200",
          "Access-Control-Allow-Origin: https://app.example\r\n" },
        { "OPTIONS /hello HTTP/1.1\r\nOrigin: https://app.example\r\n"
          "Access-Control-Request-Method: GET\r\n" LAST,
          "HTTP/1.1 204", "Access-Control-Allow-Methods: GET" },
    };
    static const char *const hosts[] = { "db.example" };
    static const char *const origins[] = { "https://app.example" };
    struct fixture *fixture = *state;

    fixture->options.hosts = hosts;
    fixture->options.hosts_count = 1;
    fixture->options.origins = origins;
    fixture->options.origins_count = 1;
    serve(fixture);
    rows_check(fixture, rows, sizeof rows / sizeof rows[0]);
    assert_int_equal(http_server_stats(fixture->server)->refused[HTTP_REFUSED_HOST], 3);
}

static void test_admit_takes_no_updates_from_others_until_open(void **state)
{
    struct fixture *fixture = *state;
    const char *const post = "POST /keys/a HTTP/1.1\r\nContent-Length: 0\r\n" LAST;

    fixture->listener.is_loopback = false;
    serve(fixture);
    assert_has(exchange_to_end(fixture, post), "HTTP/1.1 403");
    assert_has(exchange_to_end(fixture, "GET /keys/a HTTP/1.1\r\n" LAST), "HTTP/1.1 200");
    fixture->options.is_open = true;
    http_server_configure(fixture->server, &fixture->options);
    assert_has(exchange_to_end(fixture, post), "HTTP/1.1 201");
}

/* -- framing -------------------------------------------------------------------------------- */

/* Each hides a second request where some readers would see a body; it must not run. */
static void test_admit_refuses_what_can_be_read_in_two_ways(void **state)
{
#define INNER "GET /hello HTTP/1.1\r\n" LAST
    static const char *const requests[] = {
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST
        "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" INNER,
        "POST /keys/a HTTP/1.0\r\n" HOST
        "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" INNER,
        "HEAD /hello HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n" INNER,
        "BREW /hello HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n" INNER,
        "GET /hello HTTP/1.1\r\n" HOST "X : a\r\n\r\n" INNER,
        "GET /hello HTTP/1.1\r\n" HOST ": a\r\n\r\n" INNER,
        "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n" INNER,
        "GET /hello HTTP/1.1\r\n\r\n" INNER,
        "GET /hello HTTP/1.1\r\n" HOST "no colon\r\n\r\n" INNER,
    };
    struct fixture *fixture = *state;

    serve(fixture);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const char *answer = exchange_to_end(fixture, requests[i]);

        if (strncmp(answer, "HTTP/1.", 7) != 0 || strncmp(answer + 8, " 400", 4) != 0) {
            fail_msg("%s\nwas answered\n%s", requests[i], answer);
        }
        assert_has(answer, "Connection: close\r\n");
    }
    assert_int_equal(fixture->context.handled, 0);
#undef INNER
}

static void test_admit_takes_keys_of_up_to_255_bytes(void **state)
{
    static const struct {
        size_t count;
        const char *piece;
        const char *first;
    } rows[] = {
        { 255, "k", "HTTP/1.1 200" },
        { 256, "k", "HTTP/1.1 400" },
        { 255, "%6b", "HTTP/1.1 200" },
        { 256, "%6b", "HTTP/1.1 400" },
    };
    struct fixture *fixture = *state;

    serve(fixture);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[1024] = "GET /keys/";

        for (size_t j = 0; j < rows[i].count; j++) {
            strcat(request, rows[i].piece);
        }
        strcat(request, " HTTP/1.1\r\n" LAST);
        assert_has(exchange_to_end(fixture, request), rows[i].first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_admit_routes_by_the_raw_path),
        TEST(test_admit_says_what_methods_a_resource_takes),
        TEST(test_admit_refuses_parameters_types_and_sizes_it_does_not_know),
        TEST(test_admit_keeps_strangers_sites_out),
        TEST(test_admit_takes_no_updates_from_others_until_open),
        TEST(test_admit_refuses_what_can_be_read_in_two_ways),
        TEST(test_admit_takes_keys_of_up_to_255_bytes),
    };

    return cmocka_run_group_tests_name("admit", tests, NULL, NULL);
}
