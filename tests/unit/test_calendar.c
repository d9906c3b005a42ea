/* What this file tests: which entries time has reached, wherever it jumps, against a plain look at
 * all of them. */

#include "base/random.h"
#include "store/calendar.h"

#include "unit/entries.h"
#include "unit/test.h"

#define KEYS  400
#define STEPS 3000
#define START DEADLINE_MIN

struct fixture {
    struct mem mem;
    struct slabs slabs;
    struct calendar calendar;
    struct random random;
    uint32_t ids[KEYS]; /* 0: none */
    uint32_t minute;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ .minute = START };
    slabs_init(&fixture.slabs);
    calendar_init(&fixture.calendar);
    calendar_turn(&fixture.calendar, &fixture.slabs, START);
    random_seed(&fixture.random, 7, 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)calendar_audit(&fixture->calendar, &fixture->slabs);
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static uint32_t deadline(const struct fixture *fixture, uint32_t id)
{
    return deadline_of(entry_key_of(slabs_entry(&fixture->slabs, id)));
}

static uint32_t key_make(struct fixture *fixture, uint32_t at)
{
    char key[64];
    int size = snprintf(key, sizeof key, "%llu", (unsigned long long)random_next(&fixture->random));
    uint32_t id;

    size += (int)deadline_put(key + size, at);
    key[size] = '\0';
    id = entry_make(&fixture->slabs, &fixture->mem, bytes_of(key), 1);
    calendar_add(&fixture->calendar, &fixture->slabs, id, at);
    return id;
}

/* Sort up to so many entries; returns how many there were. */
static unsigned sort(struct fixture *fixture, unsigned most)
{
    uint32_t id;
    unsigned count = 0;

    while (count < most && (id = calendar_first(&fixture->calendar, CALENDAR_UNSORTED)) != 0) {
        struct entry *entry = slabs_entry(&fixture->slabs, id);

        calendar_remove(&fixture->calendar, &fixture->slabs, entry);
        if (deadline(fixture, id) <= fixture->minute) {
            entry->flags |= ENTRY_HIDDEN;
            calendar_add_ended(&fixture->calendar, &fixture->slabs, id);
        } else {
            entry->flags &= (uint8_t)~ENTRY_HIDDEN;
            calendar_add(&fixture->calendar, &fixture->slabs, id, deadline(fixture, id));
        }
        count++;
    }
    return count;
}

static void turn(struct fixture *fixture, uint32_t minute)
{
    fixture->minute = minute;
    calendar_turn(&fixture->calendar, &fixture->slabs, minute);
}

static bool is_ended(const struct fixture *fixture, uint32_t id)
{
    return (slabs_entry(&fixture->slabs, id)->flags & ENTRY_HIDDEN) != 0;
}

/* What has ended is found in the minute it ends in, and nothing else is touched. */
static void test_calendar_finds_each_minute(void **state)
{
    static const uint32_t after[] = { 1, 2, 63, 64, 65, 4095, 4096, 4097, 8191, 8192 };
    struct fixture *fixture = *state;
    unsigned ended = 0;

    for (unsigned i = 0; i < 10; i++) {
        fixture->ids[i] = key_make(fixture, START + after[i]);
    }
    for (uint32_t minute = START; minute <= START + 8192; minute++) {
        turn(fixture, minute);
        (void)sort(fixture, KEYS);
        while (ended < 10 && after[ended] <= minute - START) {
            ended++;
        }
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(is_ended(fixture, fixture->ids[i]), i < ended);
        }
    }
    assert_int_equal(ended, 10);
}

/* An entry is moved once for each level at most, however long it stays. */
static void test_calendar_moves_an_entry_once_a_level(void **state)
{
    struct fixture *fixture = *state;
    unsigned moves = 0;

    (void)key_make(fixture, START + 3000000);
    for (uint32_t minute = START; minute <= START + 3000000; minute += 7) {
        turn(fixture, minute);
        moves += sort(fixture, KEYS);
    }
    turn(fixture, START + 3000000);
    moves += sort(fixture, KEYS);
    assert_true(moves >= 1);
    assert_true(moves <= CALENDAR_LEVELS);
    assert_int_equal(calendar_first(&fixture->calendar, CALENDAR_UNSORTED), 0);
    assert_int_not_equal(calendar_first(&fixture->calendar, CALENDAR_ENDED), 0);
}

static uint32_t minute_near(struct fixture *fixture, uint32_t minute)
{
    static const uint32_t ranges[] = { 3, 70, 5000, 300000, 20000000, UINT32_MAX };
    const uint32_t range = ranges[random_below(&fixture->random, 6)];
    const uint64_t shifted = (uint64_t)minute + random_below(&fixture->random, range)
                             - (range / 3 < minute ? range / 3 : 0);

    return shifted < DEADLINE_MIN   ? DEADLINE_MIN
           : shifted > DEADLINE_MAX ? DEADLINE_MAX
                                    : (uint32_t)shifted;
}

static void test_calendar_agrees_with_a_look_at_all(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned step = 0; step < STEPS; step++) {
        const size_t i = random_below(&fixture->random, KEYS);
        uint64_t count = 0;
        bool ends = false;

        if (fixture->ids[i] == 0) {
            fixture->ids[i] = key_make(fixture, minute_near(fixture, fixture->minute));
        } else if (random_below(&fixture->random, 3) == 0) {
            calendar_remove(&fixture->calendar, &fixture->slabs,
                            slabs_entry(&fixture->slabs, fixture->ids[i]));
            slabs_free(&fixture->slabs, &fixture->mem, fixture->ids[i]);
            fixture->ids[i] = 0;
        }
        if (random_below(&fixture->random, 8) == 0) {
            turn(fixture, minute_near(fixture, fixture->minute));
        }
        (void)sort(fixture, (unsigned)random_below(&fixture->random, 100));
        for (unsigned k = 0; k < KEYS; k++) {
            count += fixture->ids[k] != 0;
        }
        assert_int_equal(calendar_audit(&fixture->calendar, &fixture->slabs), count);
        if (calendar_first(&fixture->calendar, CALENDAR_UNSORTED) != 0) {
            continue;
        }
        for (unsigned k = 0; k < KEYS; k++) {
            const uint32_t id = fixture->ids[k];

            assert_true(id == 0
                        || is_ended(fixture, id) == (deadline(fixture, id) <= fixture->minute));
            ends = ends
                   || (id != 0 && !is_ended(fixture, id)
                       && deadline(fixture, id) <= fixture->minute + 5);
        }
        assert_true(!ends || calendar_ends_by(&fixture->calendar, fixture->minute + 5));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calendar_finds_each_minute),
        TEST(test_calendar_moves_an_entry_once_a_level),
        TEST(test_calendar_agrees_with_a_look_at_all),
    };

    return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
