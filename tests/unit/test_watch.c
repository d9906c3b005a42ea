/* What this file tests: what watchers are told, and that a slow one is told less often, never too
 * little, and never keeps more than it may. The store is real; the requests are not. */

#include "base/deadline.h"
#include "http/watch.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct table *table;
    struct watch *watch;
    unsigned wakes;
};

static struct fixture fixture;

/* In place of the server's. */
void http_wake(struct http_request *request)
{
    assert_ptr_equal(request, (struct http_request *)&fixture);
    fixture.wakes++;
}

static int setup(void **state)
{
    const struct table_options options = { .mem = &fixture.mem, .digest_mask = UINT64_MAX };

    memset(&fixture, 0, sizeof fixture);
    assert_int_equal(table_create(&options, &fixture.table), STATUS_OK);
    fixture.watch = watch_create(&fixture.mem);
    assert_non_null(fixture.watch);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    watch_free(fixture.watch);
    table_free(fixture.table);
    assert_int_equal(fixture.mem.used_bytes, 0);
    return 0;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static struct watcher *watcher_make(uint64_t bytes_max)
{
    struct watcher *watcher =
        watcher_create(fixture.watch, (struct http_request *)&fixture, bytes_max);

    assert_non_null(watcher);
    return watcher;
}

static void raise(const char *key, uint64_t index, uint64_t value)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct entry *entry;

    assert_int_equal(table_obtain(fixture.table, bytes_of(key),
                                  strncmp(key, "n:", 2) == 0 ? TABLE_MEMBERS : TABLE_DATA, &entry),
                     STATUS_OK);
    assert_int_equal(table_merge(fixture.table, entry, &block, CHANGE_FROM_CLIENT, NULL),
                     STATUS_OK);
}

static void turn_end(void)
{
    (void)watch_note(fixture.watch, table_changes(fixture.table));
    table_turn_end(fixture.table);
}

/* A turn that leaves something to compare. */
static bool turn_end_is_all(void)
{
    const bool is_all = watch_note(fixture.watch, table_changes(fixture.table));

    table_turn_end(fixture.table);
    return is_all;
}

static void told(struct watcher *watcher, const char *key, struct watch_event *event)
{
    struct bytes name;

    assert_true(watcher_take(watcher, event));
    name = entry_key(event->entry);
    assert_int_equal(name.size, strlen(key));
    assert_memory_equal(name.data, key, name.size);
}

static void test_watcher_is_told_what_rose_in_order_of_arrival(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    assert_false(watcher_is_due(watcher));
    turn_end();
    assert_int_equal(fixture.wakes, 0);
    raise("b", 3, 1);
    raise("a", 700, 1);
    turn_end();
    assert_int_equal(fixture.wakes, 1);
    assert_true(watcher_is_due(watcher));
    told(watcher, "b", &event);
    assert_int_equal(event.marks_count, 1);
    assert_int_equal(event.marks[0].number, 0);
    assert_true(mark_has(&event.marks[0], 3));
    told(watcher, "a", &event);
    assert_int_equal(event.marks[0].number, 2);
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

static void test_watcher_is_not_told_of_what_raised_nothing(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    raise("a", 1, 5);
    turn_end();
    told(watcher, "a", &event);
    raise("a", 1, 5);
    raise("a", 1, 4);
    turn_end();
    assert_false(watcher_is_due(watcher));
    watcher_free(watcher);
}

static void test_slow_watcher_gets_one_merged_event_a_key(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    for (uint64_t i = 1; i <= 100; i++) {
        raise("a", i % 10, i);
        raise("a", 256 * (i % 3), i);
        turn_end();
    }
    told(watcher, "a", &event);
    assert_false(event.is_whole);
    assert_int_equal(event.marks_count, 3);
    assert_int_equal(mark_count(&event.marks[0]), 10);
    assert_int_equal(event.marks[1].number, 1);
    assert_int_equal(event.marks[2].number, 2);
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

static void test_watcher_counts_many_blocks_as_the_whole_vector(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    for (uint64_t i = 0; i <= WATCH_MARKS_MAX; i++) {
        raise("a", 256 * i, 1);
    }
    turn_end();
    told(watcher, "a", &event);
    assert_true(event.is_whole);
    assert_int_equal(event.marks_count, 0);
    watcher_free(watcher);
}

static void test_watcher_hears_only_what_it_asked_for(void **state)
{
    struct watcher *all = watcher_make(1 << 20);
    struct watcher *keys = watcher_make(1 << 20);
    struct watcher *pattern = watcher_make(1 << 20);
    struct watcher *peers = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    assert_int_equal(watcher_add_key(keys, bytes_of("x")), STATUS_OK);
    assert_int_equal(watcher_add_key(keys, bytes_of("yy")), STATUS_OK);
    assert_int_equal(watcher_add_pattern(pattern, bytes_of("*y")), STATUS_OK);
    assert_int_equal(watcher_add_pattern(pattern, bytes_of("*6001")), STATUS_OK);
    assert_int_equal(watcher_add_pattern(peers, bytes_of("n:*")), STATUS_OK);
    raise("x", 1, 1);
    raise("yy", 1, 1);
    raise("z", 1, 1);
    raise("n:10.0.0.1:6001", 1, 1);
    turn_end();
    told(all, "x", &event);
    told(all, "yy", &event);
    told(all, "z", &event);
    assert_false(watcher_take(all, &event));
    told(keys, "x", &event);
    told(keys, "yy", &event);
    assert_false(watcher_take(keys, &event));
    told(pattern, "yy", &event);
    assert_false(watcher_take(pattern, &event));
    told(peers, "n:10.0.0.1:6001", &event);
    assert_false(watcher_take(peers, &event));
    watcher_free(all);
    watcher_free(keys);
    watcher_free(pattern);
    watcher_free(peers);
}

static void test_watcher_forgets_a_key_that_is_dropped(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    raise("a", 1, 1);
    raise("b", 1, 1);
    turn_end();
    table_drop(fixture.table, table_find(fixture.table, bytes_of("a")));
    turn_end();
    told(watcher, "b", &event);
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

#define END        "~2000-01-02" /* what names end in that end then */
#define END_MINUTE (DEADLINE_MIN + 1440)

/* All that has ended by a minute leaves, and is told of. */
static void minute_set(uint32_t minute)
{
    table_set_minute(fixture.table, minute);
    while (table_expires(fixture.table)) {
        assert_true(table_expire(fixture.table, 100) > 0);
    }
}

static void told_end(struct watcher *watcher, const char *key, struct watch_event *event)
{
    assert_true(watcher_take(watcher, event));
    assert_null(event->entry);
    assert_int_equal(event->is_deleted, strstr(key, END) == NULL);
    assert_int_equal(event->key_size, strlen(key));
    assert_memory_equal(event->key, key, event->key_size);
}

static void test_watcher_is_told_of_an_end_that_it_watches_once(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watcher *other = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    assert_int_equal(watcher_add_pattern(watcher, bytes_of("a*")), STATUS_OK);
    assert_int_equal(watcher_add_key(other, bytes_of("b" END)), STATUS_OK);
    raise("a" END, 1, 1);
    raise("b" END, 1, 1);
    turn_end();
    told(watcher, "a" END, &event);
    told(other, "b" END, &event);
    minute_set(END_MINUTE - 1);
    turn_end();
    assert_false(watcher_is_due(watcher));
    fixture.wakes = 0;
    minute_set(END_MINUTE);
    turn_end();
    assert_int_equal(fixture.wakes, 2);
    /* Freed before anybody asked: the name is still known, and it is not told anew. */
    assert_int_equal(table_drop_ended(fixture.table, 100), 2);
    turn_end();
    told_end(watcher, "a" END, &event);
    told_end(other, "b" END, &event);
    assert_false(watcher_is_due(watcher));
    assert_false(watcher_is_due(other));
    watcher_free(watcher);
    watcher_free(other);
}

static void delete_key(const char *key, uint32_t generation)
{
    struct entry *entry = table_find(fixture.table, bytes_of(key));

    assert_int_equal(table_delete(fixture.table, &entry, table_hash(fixture.table, bytes_of(key)),
                                  deadline_of(bytes_of(key)), generation, CHANGE_FROM_PEER),
                     STATUS_OK);
}

/* What waited of it is told no more; what is written to it afterwards is. */
static void test_watcher_is_told_of_a_deletion(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    assert_int_equal(watcher_add_pattern(watcher, bytes_of("a*")), STATUS_OK);
    raise("a", 1, 1);
    raise("b", 1, 1);
    turn_end();
    delete_key("a", 1);
    delete_key("b", 1);
    delete_key("a never seen here", 1);
    raise("a", 1, 1);
    delete_key("a", 2);
    turn_end();
    raise("a", 2, 1);
    turn_end();
    told_end(watcher, "a", &event);
    told_end(watcher, "a", &event);
    told(watcher, "a", &event);
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

/* What rose in the turn of the end is told no more; what rises after a clock that went back is. */
static void test_watcher_is_told_in_order_of_ends_and_returns(void **state)
{
    struct watcher *watcher = watcher_make(1 << 20);
    struct watch_event event;

    (void)state;
    raise("a" END, 1, 1);
    minute_set(END_MINUTE);
    turn_end();
    minute_set(END_MINUTE - 1);
    raise("a" END, 1, 2);
    turn_end();
    told_end(watcher, "a" END, &event);
    told(watcher, "a" END, &event);
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

static void test_ends_count_as_what_waits(void **state)
{
    struct watcher *watcher = watcher_make(4096);
    struct watch_event event;
    char key[16];

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "%02u" END, i);
        raise(key, 1, 1);
        turn_end();
        told(watcher, key, &event);
    }
    minute_set(END_MINUTE);
    turn_end();
    assert_true(watcher_has_overflowed(watcher));
    watcher_free(watcher);
}

static void test_watcher_overflows_at_its_limit(void **state)
{
    struct watcher *watcher = watcher_make(4096);
    struct watcher *other = watcher_make(1 << 20);
    struct watch_event event;
    const uint64_t before = fixture.mem.used_bytes;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        const char key[] = { (char)('0' + i / 10), (char)('0' + i % 10), '\0' };

        raise(key, 1, 1);
        turn_end();
    }
    assert_true(watcher_has_overflowed(watcher));
    assert_true(watcher_is_due(watcher));
    assert_false(watcher_take(watcher, &event));
    assert_false(watcher_has_overflowed(other));
    for (unsigned i = 0; i < 100; i++) {
        assert_true(watcher_take(other, &event));
    }
    assert_false(watcher_take(other, &event));
    assert_true(fixture.mem.used_bytes > before);
    watcher_free(watcher);
    watcher_free(other);
}

static void test_watcher_overflows_when_memory_runs_out(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        const char key[] = { (char)('a' + nth), '\0' };
        struct watcher *watcher = watcher_make(4096);

        raise(key, 1, 1);
        fixture.mem.fail_countdown = nth;
        turn_end();
        fixture.mem.fail_countdown = 0;
        assert_true(watcher_has_overflowed(watcher));
        watcher_free(watcher);
    }
}

static void test_watcher_tells_want_of_memory_from_a_filter_that_is_wrong(void **state)
{
    static const uint8_t letters[HTTP_KEY_BYTES_MAX + 1] = { 'a' };
    struct watcher *watcher = watcher_make(4096);
    unsigned refused = 0;

    (void)state;
    assert_int_equal(watcher_add_key(watcher, bytes_of("")), STATUS_INVALID);
    assert_int_equal(watcher_add_pattern(watcher, (struct bytes){ letters, sizeof letters }),
                     STATUS_INVALID);
    for (unsigned i = 0; i < WATCH_FILTERS_MAX; i++) {
        enum status status;

        fixture.mem.fail_countdown = 1;
        status = watcher_add_key(watcher, bytes_of("x"));
        fixture.mem.fail_countdown = 0;
        if (status != STATUS_OK) { /* the filters had to grow, and stay as many as they were */
            refused++;
            assert_int_equal(status, STATUS_MEMORY);
            assert_int_equal(watcher_filters(watcher), i == 0 ? 1 : i);
            assert_int_equal(watcher_add_key(watcher, bytes_of("x")), STATUS_OK);
        }
    }
    assert_true(refused > 1);
    assert_int_equal(watcher_add_pattern(watcher, bytes_of("x*")), STATUS_INVALID);
    watcher_free(watcher);
}

/* The costliest that may be watched, and keys that suit it. */
#define STARS   "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a"
#define LETTERS "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What the last comparison of a turn may add. */
#define WORK_ONE_MOST (1 + WATCH_MARKS_MAX / 8 + 1 + 510 / 64)

static void raise_numbered(unsigned number)
{
    char key[sizeof LETTERS + 16];

    (void)snprintf(key, sizeof key, LETTERS "%u", number);
    raise(key, 3, 1);
}

static void test_watch_compares_so_much_a_turn_and_loses_nothing(void **state)
{
    enum { WATCHERS = 64, KEYS = 300 };
    struct watcher *watchers[WATCHERS];
    struct watch_event event;
    unsigned turns = 1;

    (void)state;
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i] = watcher_make(1 << 20);
        assert_int_equal(watcher_add_pattern(watchers[i], bytes_of(STARS "*")), STATUS_OK);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        raise_numbered(i);
    }
    while (!turn_end_is_all()) {
        turns++;
        raise_numbered(0); /* what changes meanwhile is told too */
    }
    assert_in_range(turns, KEYS * WATCHERS / WATCH_WORK_MAX + 1, KEYS);
    assert_in_range(watch_work_most(fixture.watch), 1, WATCH_WORK_MAX + WORK_ONE_MOST);
    for (unsigned i = 0; i < WATCHERS; i++) {
        for (unsigned k = 0; k < KEYS; k++) {
            assert_true(watcher_take(watchers[i], &event));
        }
        assert_false(watcher_take(watchers[i], &event));
        watcher_free(watchers[i]);
    }
}

/* Marks that are merged are work too: of many blocks a key takes as much as several keys. */
static void test_watch_counts_the_blocks_that_it_tells(void **state)
{
    enum { WATCHERS = 64, KEYS = 64, BLOCKS = WATCH_MARKS_MAX };
    struct watcher *watchers[WATCHERS];
    unsigned turns = 1;
    char key[8];

    (void)state;
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i] = watcher_make(1 << 20);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        for (uint64_t block = 0; block < BLOCKS; block++) {
            raise(key, block << 8, 1);
        }
    }
    while (!turn_end_is_all()) {
        turns++;
    }
    assert_true(turns >= KEYS * WATCHERS * (BLOCKS / 8) / WATCH_WORK_MAX);
    for (unsigned i = 0; i < WATCHERS; i++) {
        watcher_free(watchers[i]);
    }
}

/* A turn in which they overflow gives back nothing: each does so when it ends. */
static void test_watch_frees_nothing_of_those_that_overflow(void **state)
{
    struct watcher *watcher = watcher_make(2000);
    struct watch_event event;
    uint64_t used_bytes;
    char key[8];

    (void)state;
    for (unsigned i = 0; !watcher_has_overflowed(watcher); i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        raise(key, 1, 1);
        used_bytes = fixture.mem.used_bytes;
        turn_end();
        assert_true(fixture.mem.used_bytes >= used_bytes);
    }
    assert_true(watcher_is_due(watcher));
    assert_false(watcher_take(watcher, &event));
    watcher_free(watcher);
}

/* In the middle of a comparison a watcher goes, another comes, and a key that waits is dropped. */
static void test_watch_goes_on_when_watchers_and_keys_go(void **state)
{
    enum { WATCHERS = 64, KEYS = 200 };
    struct watcher *watchers[WATCHERS];
    struct watch_event event;
    struct entry *last;

    (void)state;
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i] = watcher_make(1 << 20);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        raise_numbered(i);
    }
    assert_false(turn_end_is_all());
    last = table_find(fixture.table, bytes_of(LETTERS "199"));
    assert_non_null(last);
    table_drop(fixture.table, last);
    for (unsigned i = 0; i < WATCHERS; i += 2) {
        watcher_free(watchers[i]);
        watchers[i] = watcher_make(1 << 20);
    }
    while (!turn_end_is_all()) {
    }
    for (unsigned i = 0; i < WATCHERS; i++) {
        unsigned count = 0;

        while (watcher_take(watchers[i], &event)) {
            assert_ptr_not_equal(event.entry, last);
            count++;
        }
        assert_true(i % 2 == 0 || count == KEYS - 1);
        watcher_free(watchers[i]);
    }
}

static void test_watch_that_falls_too_far_behind_says_so_to_all(void **state)
{
    enum { WATCHERS = 64 };
    struct watcher *watchers[WATCHERS];
    struct watch_event event;
    char key[16];

    (void)state;
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i] = watcher_make(1 << 30);
    }
    for (unsigned i = 0; i < WATCH_BACKLOG_BYTES / 64; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        raise(key, 3, 1);
        if (i % 500 == 499) {
            turn_end();
        }
    }
    for (unsigned i = 0; i < WATCHERS; i++) {
        assert_true(watcher_has_overflowed(watchers[i]));
        assert_false(watcher_take(watchers[i], &event));
        watcher_free(watchers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watcher_is_told_what_rose_in_order_of_arrival),
        TEST(test_watcher_is_not_told_of_what_raised_nothing),
        TEST(test_slow_watcher_gets_one_merged_event_a_key),
        TEST(test_watcher_counts_many_blocks_as_the_whole_vector),
        TEST(test_watcher_hears_only_what_it_asked_for),
        TEST(test_watcher_forgets_a_key_that_is_dropped),
        TEST(test_watcher_is_told_of_an_end_that_it_watches_once),
        TEST(test_watcher_is_told_in_order_of_ends_and_returns),
        TEST(test_watcher_is_told_of_a_deletion),
        TEST(test_ends_count_as_what_waits),
        TEST(test_watcher_overflows_at_its_limit),
        TEST(test_watch_counts_the_blocks_that_it_tells),
        TEST(test_watch_frees_nothing_of_those_that_overflow),
        TEST(test_watcher_overflows_when_memory_runs_out),
        TEST(test_watcher_tells_want_of_memory_from_a_filter_that_is_wrong),
        TEST(test_watch_compares_so_much_a_turn_and_loses_nothing),
        TEST(test_watch_goes_on_when_watchers_and_keys_go),
        TEST(test_watch_that_falls_too_far_behind_says_so_to_all),
    };

    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
