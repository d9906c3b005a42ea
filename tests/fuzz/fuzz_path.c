/* Targets and hosts as strangers send them: a request's target, its key, its query, and its
 * authority as a Host. What is taken lies inside of what came, and a decoded form is not longer. */

#include "http/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside_check(struct bytes piece, const char *uri)
{
    const char *const begin = (const char *)piece.data;

    if (begin != NULL) {
        assert(begin >= uri);
        assert(piece.size <= strlen(begin));
    }
}

static void decoded_check(struct bytes raw)
{
    uint8_t *const decoded = malloc(raw.size + 1);
    size_t size;

    if (decoded == NULL) {
        abort();
    }
    if (request_decode(raw, false, decoded, &size)) {
        assert(size <= raw.size);
        assert(memchr(raw.data, '%', raw.size) != NULL || memcmp(raw.data, decoded, size) == 0);
    }
    free(decoded);
}

static void query_check(struct bytes raw)
{
    struct mem mem = { 0 };
    struct request_query query = { 0 };
    const enum request_query_status status = request_query_read(raw, &mem, &query);
    size_t decoded = 0;

    for (size_t i = 0; status == REQUEST_QUERY_OK && i < query.count; i++) {
        decoded += query.list[i].name.size + query.list[i].value.size;
    }
    assert(decoded <= raw.size);
    request_query_clear(&query, &mem);
    assert(mem.used_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "db.example" };
    char *const uri = malloc(size + 1);
    struct request_target target;

    if (uri == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(uri, data, size);
    }
    uri[size] = '\0';
    if (request_target_read(uri, &target)) {
        inside_check(target.authority, uri);
        inside_check(target.path, uri);
        inside_check(target.query, uri);
        decoded_check(target.path);
        query_check(target.query);
        (void)request_host_is_known(target.authority, "own\0own.example\0", names, 1);
    }
    (void)request_origin_is_known(uri, (struct bytes){ (const uint8_t *)"own", 3 }, names, 1);
    free(uri);
    return 0;
}
