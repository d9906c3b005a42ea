/* What this file tests: keys that end, as the table sees them: hidden at once, out of digests in
 * slices, back when the clock goes back, gone when dropped. */

#include "base/deadline.h"
#include "store/table.h"

#include <stdio.h>

#include "unit/table_fixture.h"
#include "unit/test.h"

#define NOW  UINT32_C(29938320) /* 2026-12-03T12:00 */
#define MANY 1000

#define KEPT_BYTES 20480 /* buckets never shrink, and nodes are spared; the keys took 140 KB more */

/* A key of a number that ends at a minute, of at least 64 bytes where it is long. */
static const char *name(char text[96], unsigned number, uint32_t deadline)
{
    int size = snprintf(
        text, 78, number % 7 == 0 ? "%u a key with a long name, longer than %u is" : "key %u of %u",
        number, number / 2);

    size += (int)deadline_put(text + size, deadline);
    text[size] = '\0';
    return text;
}

static void dated_put(struct fixture *fixture, unsigned number, uint32_t deadline)
{
    char text[96];

    assert_int_equal(
        key_write(fixture->table, name(text, number, deadline), number % 300, number + 1),
        STATUS_OK);
    if (number % 5 == 0) { /* beyond what lies in the entry */
        for (unsigned i = 0; i < 40; i++) {
            assert_int_equal(key_write(fixture->table, text, i * 9, number + i), STATUS_OK);
        }
    }
}

static struct entry *dated_find(const struct fixture *fixture, unsigned number, uint32_t deadline)
{
    char text[96];

    return table_find(fixture->table, bytes_of(name(text, number, deadline)));
}

/* Keys that a listing shows. */
static unsigned listed(const struct table *table)
{
    struct entry *entries[16];
    struct bytes after = none;
    unsigned shown = 0;
    size_t count;

    do {
        count = table_slice(table, none, after, entries, 16);
        for (size_t i = 0; i < count; i++) {
            after = entry_key(entries[i]);
            shown += !entry_ended(table, entries[i]);
        }
    } while (count == 16);
    return shown;
}

static void expire_all(struct fixture *fixture)
{
    while (table_expires(fixture->table)) {
        assert_int_not_equal(table_expire(fixture->table, 37), 0);
        table_audit(fixture->table);
    }
}

static struct table_stats stats(const struct fixture *fixture)
{
    return table_stats(fixture->table);
}

static void test_table_hides_a_key_at_its_deadline(void **state)
{
    struct fixture *fixture = *state;
    char text[96];
    struct entry *entry;
    uint64_t hash;

    table_set_minute(fixture->table, NOW);
    dated_put(fixture, 1, NOW + 1);
    (void)key_put(fixture->table, "stays", 1, 1);
    entry = dated_find(fixture, 1, NOW + 1);
    assert_non_null(entry);
    assert_false(entry_ended(fixture->table, entry));
    hash = entry_hash(fixture->table, entry);
    assert_ptr_equal(table_find_hash(fixture->table, TABLE_DATA, hash), entry);
    table_set_minute(fixture->table, NOW + 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(entry_ended(fixture->table, entry));
        assert_int_equal(element_merge(fixture->table, entry, 1, 99, CHANGE_FROM_PEER),
                         STATUS_ENDED);
        assert_null(dated_find(fixture, 1, NOW + 1));
        assert_null(table_find_hash(fixture->table, TABLE_DATA, hash));
        assert_int_equal(
            table_obtain(fixture->table, bytes_of(name(text, 1, NOW + 1)), TABLE_DATA, &entry),
            STATUS_ENDED);
        assert_int_equal(
            table_obtain(fixture->table, bytes_of(name(text, 2, NOW + 1)), TABLE_DATA, &entry),
            STATUS_ENDED);
        assert_int_equal(listed(fixture->table), 1);
        expire_all(fixture);
    }
    assert_int_equal(stats(fixture).keys[TABLE_DATA], 1);
    assert_int_equal(stats(fixture).elements, 1);
    assert_int_equal(stats(fixture).ended, 1);
}

/* How many ends the feed tells of; all of them are this entry's. */
static unsigned ends_told(const struct fixture *fixture, const struct entry *entry)
{
    const struct changes changes = table_changes(fixture->table);
    unsigned ends = 0;

    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].ended) {
            assert_ptr_equal(changes.list[i].entry, entry);
            assert_true(mark_empty(&changes.list[i].raised));
            ends++;
        }
    }
    return ends;
}

static void test_table_tells_of_an_end(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry;

    table_set_minute(fixture->table, NOW);
    dated_put(fixture, 1, NOW + 1);
    entry = dated_find(fixture, 1, NOW + 1);
    table_turn_end(fixture->table);
    for (unsigned i = 0; i < 3; i++) { /* each time anew */
        table_set_minute(fixture->table, NOW + 1);
        expire_all(fixture);
        assert_int_equal(ends_told(fixture, entry), 1);
        table_turn_end(fixture->table);
        table_set_minute(fixture->table, NOW);
        expire_all(fixture);
        assert_int_equal(ends_told(fixture, entry), 0);
    }
    /* What rises in the same turn, before and after, is a change of its own. */
    table_set_minute(fixture->table, NOW + 1);
    expire_all(fixture);
    table_set_minute(fixture->table, NOW);
    dated_put(fixture, 1, NOW + 1);
    assert_int_equal(element_merge(fixture->table, entry, 0, 99, CHANGE_FROM_PEER), STATUS_OK);
    assert_int_equal(table_changes(fixture->table).count, 2);
    assert_int_equal(ends_told(fixture, entry), 1);
    table_audit(fixture->table);
    /* Where there is no memory to tell of it, it ends all the same. */
    table_turn_end(fixture->table);
    fixture->mem.limit_bytes = fixture->mem.used_bytes;
    table_set_minute(fixture->table, NOW + 1);
    expire_all(fixture);
    assert_int_equal(stats(fixture).ended, 1);
}

/* Digests, counts and listings of a table whose dated keys all ended are those of one that never
 * had them; dropped, so is its memory, but for the buckets that never shrink. */
static void test_table_that_all_ended_in_equals_one_that_never_had_it(void **state)
{
    struct fixture *fixture = *state;
    uint64_t root;
    uint64_t used_bytes;
    size_t dropped = 0;

    table_set_minute(fixture->table, NOW);
    for (unsigned i = 0; i < 50; i++) {
        char text[16];

        (void)snprintf(text, sizeof text, "stays %u", i);
        (void)key_put(fixture->table, text, i, 1);
    }
    root = table_root(fixture->table, TABLE_DATA);
    table_turn_end(fixture->table);
    used_bytes = fixture->mem.used_bytes;
    for (unsigned i = 0; i < MANY; i++) {
        dated_put(fixture, i, NOW + 1 + i * i);
        table_turn_end(fixture->table);
    }
    assert_true(table_root(fixture->table, TABLE_DATA) != root);
    for (uint32_t minute = NOW; minute < NOW + MANY * MANY; minute += 5000) {
        table_set_minute(fixture->table, minute);
        expire_all(fixture);
        assert_int_equal(table_root_minute(fixture->table), minute);
        table_turn_end(fixture->table);
    }
    table_set_minute(fixture->table, NOW + MANY * MANY);
    expire_all(fixture);
    table_turn_end(fixture->table);
    assert_true(table_root(fixture->table, TABLE_DATA) == root);
    assert_int_equal(stats(fixture).keys[TABLE_DATA], 50);
    assert_int_equal(stats(fixture).elements, 50);
    assert_int_equal(stats(fixture).ended, MANY);
    assert_int_equal(listed(fixture->table), 50);
    while (table_drop_ended(fixture->table, 100) > 0) {
        table_audit(fixture->table);
        for (size_t i = 0; i < table_changes(fixture->table).count; i++) {
            dropped += table_changes(fixture->table).list[i].dropped;
        }
        table_turn_end(fixture->table);
    }
    assert_int_equal(dropped, MANY);
    assert_int_equal(stats(fixture).ended, 0);
    assert_true(table_root(fixture->table, TABLE_DATA) == root);
    assert_true(fixture->mem.used_bytes <= used_bytes + KEPT_BYTES);
}

static void test_table_clock_back_restores(void **state)
{
    struct fixture *fixture = *state;
    uint64_t root;
    uint64_t elements;

    table_set_minute(fixture->table, NOW);
    for (unsigned i = 0; i < MANY; i++) {
        dated_put(fixture, i, NOW + 1 + i);
        table_turn_end(fixture->table);
    }
    root = table_root(fixture->table, TABLE_DATA);
    elements = stats(fixture).elements;
    for (unsigned turn = 0; turn < 4; turn++) {
        table_set_minute(fixture->table, NOW + (turn % 2 == 0 ? MANY / 2 : DEADLINE_MAX - NOW));
        if (turn < 2) {
            expire_all(fixture);
            assert_int_equal(stats(fixture).ended, turn == 0 ? MANY / 2 : MANY);
        } else { /* back before all were taken out */
            assert_int_equal(table_expire(fixture->table, MANY / 3), MANY / 3);
        }
        table_set_minute(fixture->table, NOW);
        for (unsigned i = 0; i < MANY; i += 10) { /* found if there, though not yet put back */
            struct entry *entry = dated_find(fixture, i, NOW + 1 + i);

            assert_non_null(entry);
            assert_int_equal(element_merge(fixture->table, entry, i % 300, i + 1, CHANGE_FROM_PEER),
                             STATUS_OK);
        }
        expire_all(fixture);
        assert_true(table_root(fixture->table, TABLE_DATA) == root);
        assert_int_equal(stats(fixture).elements, elements);
        assert_int_equal(stats(fixture).ended, 0);
        assert_int_equal(listed(fixture->table), MANY);
    }
}

static uint64_t root_at(const struct fixture *fixture, uint32_t minute)
{
    return table_root_of(fixture->table, table_root_ever(fixture->table), minute);
}

/* Roots are told as of one minute until all that ended is out, and known as of earlier ones. */
static void test_table_roots_are_as_of_a_minute(void **state)
{
    struct fixture *fixture = *state;
    uint64_t roots[4];

    table_set_minute(fixture->table, NOW);
    for (unsigned i = 0; i < MANY; i++) {
        dated_put(fixture, i, NOW + 1 + i % 3);
        table_turn_end(fixture->table);
    }
    for (unsigned minute = 0; minute < 4; minute++) {
        if (minute > 0) {
            assert_true(table_keys_between(fixture->table, NOW + minute) > 0);
            table_set_minute(fixture->table, NOW + minute);
        }
        while (table_expires(fixture->table)) {
            assert_true(table_root(fixture->table, TABLE_DATA) == roots[minute - 1]);
            assert_int_equal(table_root_minute(fixture->table), NOW + minute - 1);
            (void)table_expire(fixture->table, 1);
        }
        assert_int_equal(table_root_minute(fixture->table), NOW + minute);
        roots[minute] = table_root(fixture->table, TABLE_DATA);
        for (unsigned earlier = 0; earlier <= minute; earlier++) {
            assert_true(root_at(fixture, NOW + earlier) == roots[earlier]);
            assert_int_equal(table_keys_between(fixture->table, NOW + earlier),
                             (minute - earlier) * (MANY / 3) + (earlier == 0 && minute > 0));
        }
        assert_true(table_root_ever(fixture->table) == roots[0]);
    }
    assert_int_equal(table_keys_between(fixture->table, NOW + 5), 0);
    (void)key_put(fixture->table, "another", 1, 1);
    assert_true(root_at(fixture, NOW) - roots[0] == table_root(fixture->table, TABLE_DATA));
    /* Back and on again: what is kept of a minute is of the last time it came. */
    roots[0] = root_at(fixture, NOW);
    roots[3] = table_root(fixture->table, TABLE_DATA);
    table_set_minute(fixture->table, NOW + 1);
    while (table_expires(fixture->table)) {
        assert_true(table_root(fixture->table, TABLE_DATA) == roots[3]);
        assert_true(root_at(fixture, NOW) == roots[0]);
        (void)table_expire(fixture->table, 20);
    }
    table_set_minute(fixture->table, NOW);
    expire_all(fixture);
    roots[0] = table_root(fixture->table, TABLE_DATA);
    table_set_minute(fixture->table, NOW + 1);
    (void)table_expire(fixture->table, 20);
    table_set_minute(fixture->table, NOW);
    (void)table_expire(fixture->table, 10);
    table_set_minute(fixture->table, NOW + 2);
    expire_all(fixture);
    assert_true(root_at(fixture, NOW) == roots[0]);
}

static void test_table_drop_takes_a_dated_key_out_wherever_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry;

    table_set_minute(fixture->table, NOW);
    for (unsigned i = 0; i < 40; i++) {
        dated_put(fixture, i, NOW + 1 + i % 4);
    }
    table_drop(fixture->table, dated_find(fixture, 3, NOW + 4));
    table_audit(fixture->table);
    entry = dated_find(fixture, 5, NOW + 2);
    table_set_minute(fixture->table, NOW + 2);
    table_drop(fixture->table, entry); /* while it is to be sorted */
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    expire_all(fixture);
    assert_int_equal(stats(fixture).ended, 19);
    assert_int_equal(table_drop_ended(fixture->table, 1), 1);
    table_audit(fixture->table);
    table_turn_end(fixture->table);
    table_set_minute(fixture->table, NOW);
    expire_all(fixture);
    assert_int_equal(stats(fixture).keys[TABLE_DATA], 37);
}

/* A key of a peer never ends, whatever it is called. */
static void test_table_members_have_no_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = NULL;

    table_set_minute(fixture->table, NOW);
    assert_int_equal(table_obtain(fixture->table, bytes_of("n:~2001-01-01"), TABLE_MEMBERS, &entry),
                     STATUS_OK);
    assert_int_equal(element_merge(fixture->table, entry, 0, 1, CHANGE_FROM_SELF), STATUS_OK);
    assert_ptr_equal(table_find(fixture->table, bytes_of("n:~2001-01-01")), entry);
    assert_false(table_expires(fixture->table));
}

/* Where no memory is left, what should come back waits until there is some. */
static void test_table_restores_once_there_is_memory(void **state)
{
    struct fixture *fixture = *state;
    uint64_t root;

    table_set_minute(fixture->table, NOW);
    for (unsigned i = 0; i < MANY; i++) {
        dated_put(fixture, i, NOW + 1);
        table_turn_end(fixture->table);
    }
    root = table_root(fixture->table, TABLE_DATA);
    table_set_minute(fixture->table, NOW + 1);
    expire_all(fixture);
    table_set_minute(fixture->table, NOW);
    fixture->mem.limit_bytes = fixture->mem.used_bytes;
    while (table_expire(fixture->table, 1) == 1) {
        table_audit(fixture->table);
    }
    assert_true(table_expires(fixture->table));
    assert_int_not_equal(stats(fixture).ended, 0);
    assert_non_null(dated_find(fixture, 7, NOW + 1)); /* readers look at the minute alone */
    fixture->mem.limit_bytes = 0;
    expire_all(fixture);
    assert_true(table_root(fixture->table, TABLE_DATA) == root);
    assert_int_equal(stats(fixture).ended, 0);
    /* And what is hidden when all ends is given back. */
    table_set_minute(fixture->table, NOW + 1);
    (void)table_expire(fixture->table, MANY / 2);
    table_set_minute(fixture->table, NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table_hides_a_key_at_its_deadline),
        TEST(test_table_tells_of_an_end),
        TEST(test_table_that_all_ended_in_equals_one_that_never_had_it),
        TEST(test_table_clock_back_restores),
        TEST(test_table_roots_are_as_of_a_minute),
        TEST(test_table_drop_takes_a_dated_key_out_wherever_it_is),
        TEST(test_table_members_have_no_deadline),
        TEST(test_table_restores_once_there_is_memory),
    };

    return cmocka_run_group_tests_name("table_expiry", tests, NULL, NULL);
}
