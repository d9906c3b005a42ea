/* What this file tests: a join that is taken in steps, between which keys go. */

#include "http/api_gather.h"

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
} fixture;

/* What the gathering of keys asks of the room's other files. */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gather_goes_on_in_a_key_where_it_was),
        TEST(test_gather_begins_the_next_key_where_one_has_gone),
    };

    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
