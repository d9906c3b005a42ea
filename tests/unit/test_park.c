/* What this file tests: who waits for what, and who is woken. */

#include "http/park.h"

#include <string.h>

#include "unit/test.h"

#define SITTERS 8

struct sitter {
    struct park_place place; /* first: a place is its sitter */
    struct fixture *fixture;
    unsigned woken;
    unsigned order;
    bool is_stubborn; /* waits again when woken */
};

struct fixture {
    struct mem mem;
    struct park *park;
    struct sitter sitters[SITTERS];
    unsigned woken;
};

static struct bytes text(const char *string)
{
    return (struct bytes){ (const uint8_t *)string, strlen(string) };
}

static int setup(void **state)
{
    static struct fixture fixture;
    const uint8_t secret[16] = { 1 };

    fixture = (struct fixture){ 0 };
    fixture.park = park_create(&fixture.mem, secret);
    for (size_t i = 0; i < SITTERS; i++) {
        fixture.sitters[i].fixture = &fixture;
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < SITTERS; i++) {
        park_leave(fixture->park, &fixture->sitters[i].place);
    }
    park_free(fixture->park);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static void on_wake(struct park_place *place)
{
    struct sitter *sitter = (struct sitter *)place;

    sitter->woken++;
    sitter->order = ++sitter->fixture->woken;
    if (sitter->is_stubborn) {
        park_wait(sitter->fixture->park, place, text("again"));
    }
}

static void sit(struct fixture *fixture, size_t sitter, const char *key)
{
    park_wait(fixture->park, &fixture->sitters[sitter].place, text(key));
}

static void test_park_wakes_all_who_wait_for_a_key_and_nobody_else(void **state)
{
    struct fixture *fixture = *state;

    sit(fixture, 0, "a");
    sit(fixture, 1, "a");
    sit(fixture, 2, "b");
    sit(fixture, 3, "aa");
    park_note(fixture->park, text("a"), on_wake);
    assert_int_equal(fixture->sitters[0].woken, 1);
    assert_int_equal(fixture->sitters[1].woken, 1);
    assert_true(fixture->sitters[0].order < fixture->sitters[1].order);
    assert_int_equal(fixture->sitters[2].woken, 0);
    assert_int_equal(fixture->sitters[3].woken, 0);
    assert_int_equal(park_count(fixture->park), 2);
}

static void test_park_wakes_once(void **state)
{
    struct fixture *fixture = *state;

    sit(fixture, 0, "a");
    park_note(fixture->park, text("a"), on_wake);
    park_note(fixture->park, text("a"), on_wake);
    assert_int_equal(fixture->sitters[0].woken, 1);
}

static void test_park_lets_the_woken_wait_again(void **state)
{
    struct fixture *fixture = *state;

    fixture->sitters[0].is_stubborn = true;
    sit(fixture, 0, "again");
    sit(fixture, 1, "again");
    park_note(fixture->park, text("again"), on_wake);
    assert_int_equal(fixture->sitters[0].woken, 1);
    assert_int_equal(fixture->sitters[1].woken, 1);
    assert_int_equal(park_count(fixture->park), 1);
    park_note(fixture->park, text("again"), on_wake);
    assert_int_equal(fixture->sitters[0].woken, 2);
}

static void test_park_forgets_who_leaves(void **state)
{
    struct fixture *fixture = *state;

    sit(fixture, 0, "a");
    sit(fixture, 1, "a");
    sit(fixture, 2, "a");
    park_leave(fixture->park, &fixture->sitters[1].place);
    park_leave(fixture->park, &fixture->sitters[1].place); /* twice is allowed */
    park_note(fixture->park, text("a"), on_wake);
    assert_int_equal(fixture->sitters[0].woken, 1);
    assert_int_equal(fixture->sitters[1].woken, 0);
    assert_int_equal(fixture->sitters[2].woken, 1);
}

static void test_park_keeps_keys_apart_that_share_a_bucket(void **state)
{
    struct fixture *fixture = *state;
    char key[8] = "key";

    /* Many times more keys than buckets: some share that of "key". */
    sit(fixture, 0, "key");
    for (unsigned i = 0; i < 20000; i++) {
        key[3] = (char)('a' + i % 26);
        key[4] = (char)('a' + i / 26 % 26);
        key[5] = (char)('a' + i / 676);
        park_note(fixture->park, (struct bytes){ (const uint8_t *)key, 6 }, on_wake);
    }
    assert_int_equal(fixture->woken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_park_wakes_all_who_wait_for_a_key_and_nobody_else),
        TEST(test_park_wakes_once),
        TEST(test_park_lets_the_woken_wait_again),
        TEST(test_park_forgets_who_leaves),
        TEST(test_park_keeps_keys_apart_that_share_a_bucket),
    };

    return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
