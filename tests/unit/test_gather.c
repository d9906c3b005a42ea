/* What this file tests: joins and copies that are taken in steps, between which keys go. */

#include "http/api_items.h"

#include <limits.h>
#include <string.h>

#include "unit/test.h"

#define BLOCKS 1000
#define FIRST  7 /* the value in the first block of the key that stays */

static struct {
    struct mem mem;
    struct table *table;
    struct gather gather;
    unsigned looks; /* at the clock until the step is over */
    uint64_t said;  /* elements */
} fixture;

/* What the gathering of keys, and the writing of items, ask of the room's other files. */

bool http_step_is_over(const struct http_request *request)
{
    (void)request;
    return fixture.looks-- == 0;
}

bool key_is_presence(struct bytes key)
{
    (void)key;
    return false;
}

enum api_form reply_form(const struct http_request *request, unsigned forms, const char **type_out)
{
    (void)request;
    (void)forms;
    *type_out = "";
    return API_PACKED;
}

bool reply_vector(struct reply *reply, const struct vector *vector, uint64_t *number,
                  const struct http_request *request)
{
    (void)reply;
    (void)number;
    (void)request;
    fixture.said += vector_size(vector);
    return true;
}

void reply_vector_begin(struct reply *reply, uint64_t elements)
{
    (void)reply;
    (void)elements;
    fail();
}

void reply_vector_end(struct reply *reply)
{
    (void)reply;
    fail();
}

void reply_facts(struct reply *reply, struct bytes key, uint64_t size, const uint64_t *digest,
                 unsigned others)
{
    (void)reply;
    (void)key;
    (void)size;
    (void)digest;
    (void)others;
}

void reply_begin_form(struct reply *reply, struct http_request *request, enum api_form form)
{
    (void)request;
    reply->is_packed = form == API_PACKED;
}

void reply_flush(struct reply *reply)
{
    (void)reply;
}

void http_header_add(struct http_request *request, const char *name, const char *value)
{
    (void)request;
    (void)name;
    (void)value;
}

void http_stream_begin(struct http_request *request, unsigned code, const char *content_type,
                       uint64_t length)
{
    (void)request;
    (void)code;
    (void)content_type;
    (void)length;
}

static struct bytes named(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static void key_write(const char *key, uint64_t number, uint64_t value)
{
    static const uint8_t offset = 0;
    const struct block block = {
        .number = number, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct entry *entry;

    assert_int_equal(table_obtain(fixture.table, named(key), TABLE_DATA, &entry), STATUS_OK);
    assert_int_equal(table_merge(fixture.table, entry, &block, CHANGE_FROM_CLIENT, NULL),
                     STATUS_OK);
}

static void wide_write(const char *key, uint64_t first)
{
    key_write(key, 0, first);
    for (uint64_t i = 1; i < BLOCKS; i++) {
        key_write(key, i, 1);
    }
}

static int setup(void **state)
{
    const struct table_options options = { .mem = &fixture.mem, .digest_mask = UINT64_MAX };

    (void)state;
    gather_init(&fixture.gather, &fixture.mem);
    return table_create(&options, &fixture.table) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gather_clear(&fixture.gather);
    table_free(fixture.table);
    return fixture.mem.used_bytes == 0 ? 0 : -1;
}

static enum gather_progress gather_for(unsigned looks)
{
    fixture.looks = looks;
    return gather_pattern(&fixture.gather, NULL, fixture.table, named("wide-*"));
}

static void test_gather_goes_on_in_a_key_where_it_was(void **state)
{
    (void)state;
    wide_write("wide-a", FIRST);
    table_turn_end(fixture.table);
    while (gather_for(BLOCKS / 4) == GATHER_OVER) {
    }
    assert_int_equal(fixture.gather.matched, 1);
    assert_int_equal(vector_size(&fixture.gather.join), BLOCKS);
    assert_int_equal(vector_get(&fixture.gather.join, 0), FIRST);
}

/* The key in which it was has gone: of the next one all is joined, from its first block on. */
static void test_gather_begins_the_next_key_where_one_has_gone(void **state)
{
    (void)state;
    wide_write("wide-a", 1);
    wide_write("wide-b", FIRST);
    table_turn_end(fixture.table);
    assert_int_equal(gather_for(BLOCKS / 2), GATHER_OVER);
    table_drop(fixture.table, table_find(fixture.table, named("wide-a")));
    table_turn_end(fixture.table);
    assert_int_equal(gather_for(UINT_MAX), GATHER_DONE);
    assert_int_equal(fixture.gather.matched, 1);
    assert_int_equal(vector_get(&fixture.gather.join, 0), FIRST);
}

/* A list has said nothing of a key that goes while it is copied, and says nothing then. */
static void test_gather_leaves_out_an_item_that_has_gone(void **state)
{
    const struct http_context context = { .table = fixture.table };
    const struct entry *entry;
    struct items items;
    uint64_t digest;

    (void)state;
    fixture.said = 0;
    wide_write("wide-a", FIRST);
    table_turn_end(fixture.table);
    entry = table_find(fixture.table, named("wide-a"));
    digest = entry_digest(entry);
    items_init(&items, &fixture.mem, NULL);
    items.has_vectors = true;
    fixture.looks = BLOCKS / 2;
    assert_int_equal(
        items_put(&items, NULL, &context, named("wide-a"), entry_vector(entry), &digest),
        ITEMS_OVER);
    table_drop(fixture.table, table_find(fixture.table, named("wide-a")));
    table_turn_end(fixture.table);
    fixture.looks = UINT_MAX;
    assert_int_equal(items_resume(&items, NULL, &context), ITEMS_DONE);
    assert_int_equal(fixture.said, 0);
    items_clear(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gather_goes_on_in_a_key_where_it_was),
        TEST(test_gather_begins_the_next_key_where_one_has_gone),
        TEST(test_gather_leaves_out_an_item_that_has_gone),
    };

    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
