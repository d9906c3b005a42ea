/* What this file tests: the minute in the name of a key, both ways, against the C library's
 * calendar; and that whatever is written in another way is an ordinary name. */

#include "base/deadline.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "unit/test.h"

#define DAY       1440
#define ERA       146097 /* days after which the calendar repeats */
#define TEXT_ROOM 32

static uint32_t of(const char *text)
{
    return deadline_of((struct bytes){ (const uint8_t *)text, strlen(text) });
}

enum form { FORM_DAY, FORM_HOUR, FORM_MINUTE, FORM_ISO };

/* A minute as the C library writes it, behind the name `k`. */
static void name_make(char name[TEXT_ROOM], uint32_t minute, enum form form)
{
    const time_t at = (time_t)minute * 60;
    struct tm parts;
    size_t size = 0;

    assert_non_null(gmtime_r(&at, &parts));
    switch (form) {
    case FORM_DAY: size = strftime(name, TEXT_ROOM, "k~%Y-%m-%d", &parts); break;
    case FORM_HOUR: size = strftime(name, TEXT_ROOM, "k~%Y-%m-%dT%H", &parts); break;
    case FORM_MINUTE: size = strftime(name, TEXT_ROOM, "k~%Y-%m-%dT%H:%M", &parts); break;
    case FORM_ISO: size = strftime(name, TEXT_ROOM, "%Y-%m-%dT%H:%MZ", &parts); break;
    }
    assert_true(size > 0);
}

static enum form form_of(uint32_t minute)
{
    return minute % 60 != 0 ? FORM_MINUTE : minute % DAY != 0 ? FORM_HOUR : FORM_DAY;
}

static void minute_check(uint32_t minute)
{
    char name[TEXT_ROOM] = "k";
    char iso[DEADLINE_ISO_BYTES + 1] = "";
    char expected[TEXT_ROOM];
    const size_t size = deadline_put(name + 1, minute);

    name[1 + size] = '\0';
    name_make(expected, minute, form_of(minute));
    assert_string_equal(name, expected);
    assert_int_equal(of(name), minute);
    name_make(expected, minute, FORM_MINUTE);
    assert_int_equal(of(expected), minute);
    deadline_put_iso(iso, minute);
    name_make(expected, minute, FORM_ISO);
    assert_string_equal(iso, expected);
}

static void test_deadline_reads_back_every_minute_that_it_writes(void **state)
{
    struct random random;

    (void)state;
    random_seed(&random, 7, 0);
    for (uint32_t day = 0; day < ERA; day++) {
        minute_check(DEADLINE_MIN + day * DAY + (uint32_t)random_below(&random, 3) * 719);
    }
    for (uint32_t minute = 0; minute < 3 * DAY; minute++) {
        minute_check(DEADLINE_MIN + 58 * DAY + minute); /* with the 29th of February 2000 */
    }
    for (unsigned i = 0; i < 10000; i++) {
        minute_check(DEADLINE_MIN
                     + (uint32_t)random_below(&random, DEADLINE_MAX - DEADLINE_MIN + 1));
    }
    minute_check(DEADLINE_MIN);
    minute_check(DEADLINE_MAX);
}

/* What the C library makes of a text that it writes back the same; DEADLINE_NONE otherwise. */
static uint32_t minute_expected(const char *name)
{
    struct tm parts = { 0 };
    char again[TEXT_ROOM];
    int64_t minute;

    if (sscanf(name, "k~%4d-%2d-%2dT%2d:%2d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
               &parts.tm_hour, &parts.tm_min)
        < 3) {
        return DEADLINE_NONE;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    minute = timegm(&parts) / 60;
    if (minute < DEADLINE_MIN || minute > DEADLINE_MAX) {
        return DEADLINE_NONE;
    }
    for (unsigned form = FORM_DAY; form <= FORM_MINUTE; form++) {
        name_make(again, (uint32_t)minute, (enum form)form);
        if (strcmp(again, name) == 0) {
            return (uint32_t)minute;
        }
    }
    return DEADLINE_NONE;
}

static void test_deadline_takes_no_other_form(void **state)
{
    static const char *const names[] = { "k~2026-12-29", "k~2028-02-28T19", "k~2099-09-30T13:30" };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        for (size_t at = 1; at < strlen(names[i]); at++) {
            for (unsigned byte = 1; byte < 256; byte++) {
                char name[TEXT_ROOM];

                strcpy(name, names[i]);
                name[at] = (char)byte;
                assert_int_equal(of(name), minute_expected(name));
            }
        }
    }
}

static void test_deadline_leaves_ordinary_names_alone(void **state)
{
    static const char *const names[] = {
        "",
        "~",
        "k",
        "2026-12-29",
        "k@2026-12-29",
        "k~2026-12-2",
        "k~2026-12-29T",
        "k~2026-12-29T0",
        "k~2026-12-29T08:",
        "k~2026-12-29T08:3",
        "k~2026-12-29T08:30Z",
        "k~2026-12-29T08:30:00",
        "k~2026-12-29T24",
        "k~2026-12-29T23:60",
        "k~2026-12-29 08",
        "k~2026-12-29t08",
        "k~2026-02-29",
        "k~2100-02-29",
        "k~2026-04-31",
        "k~2026-00-10",
        "k~2026-13-10",
        "k~2026-12-00",
        "k~2026-12-32",
        "k~1999-12-31",
        "k~0000-01-01",
        "k~10000-01-01",
        "k~2026-12-29~",
        "k~2026-12-29/a",
        "k~+026-12-29",
        "k~20261229",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(of(names[i]), DEADLINE_NONE);
    }
    assert_int_equal(deadline_of((struct bytes){ NULL, 0 }), DEADLINE_NONE);
}

static void test_deadline_is_what_a_name_ends_in(void **state)
{
    (void)state;
    assert_int_equal(of("~2000-01-01"), DEADLINE_MIN);
    assert_int_equal(of("k~9999-12-31T23:59"), DEADLINE_MAX);
    assert_int_equal(of("k~2000-01-01~2000-01-02"), DEADLINE_MIN + DAY);
    assert_int_equal(of("visitors@2000-01-01~2000-02-29"), DEADLINE_MIN + 59 * DAY);
    assert_int_equal(of("a~b~2000-01-01T01"), DEADLINE_MIN + 60);
    assert_int_equal(of("k~2000-01-01T00:00"), DEADLINE_MIN);
}

static void test_deadline_now_stays_below_none(void **state)
{
    (void)state;
    assert_int_equal(deadline_now(0), 0);
    assert_int_equal(deadline_now(59), 0);
    assert_int_equal(deadline_now(60), 1);
    assert_int_equal(deadline_now((uint64_t)DEADLINE_MIN * 60 + 59), DEADLINE_MIN);
    assert_true(deadline_now(UINT64_MAX) < DEADLINE_NONE);
    assert_true(deadline_now((uint64_t)UINT32_MAX * 60) < DEADLINE_NONE);
}

static void test_deadline_after_rounds_up_to_what_suits_the_time(void **state)
{
    const uint64_t midnight = (uint64_t)DEADLINE_MIN * 60;
    const uint64_t now = midnight + UINT64_C(8) * 3600 + 30 * 60 + 1;

    (void)state;
    assert_int_equal(deadline_after(midnight, UINT64_C(35) * 86400), DEADLINE_MIN + 35 * DAY);
    assert_int_equal(deadline_after(now, UINT64_C(35) * 86400), DEADLINE_MIN + 36 * DAY);
    assert_int_equal(deadline_after(now, UINT64_C(3) * 86400), DEADLINE_MIN + 4 * DAY);
    assert_int_equal(deadline_after(now, UINT64_C(3) * 86400 - 1), DEADLINE_MIN + 3 * DAY + 9 * 60);
    assert_int_equal(deadline_after(now, UINT64_C(3) * 3600), DEADLINE_MIN + 12 * 60);
    assert_int_equal(deadline_after(now, UINT64_C(3) * 3600 - 1), DEADLINE_MIN + 11 * 60 + 30);
    assert_int_equal(deadline_after(now, 1), DEADLINE_MIN + 8 * 60 + 31);
    assert_int_equal(deadline_after(0, 60), DEADLINE_NONE);
    assert_int_equal(deadline_after(now, UINT64_MAX), DEADLINE_NONE);
    assert_int_equal(deadline_after(now, (uint64_t)DEADLINE_MAX * 60), DEADLINE_NONE);
    assert_int_equal(deadline_after(0, (uint64_t)(DEADLINE_MAX + 1) * 60 - DAY * 60),
                     DEADLINE_MAX + 1 - DAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline_reads_back_every_minute_that_it_writes),
        cmocka_unit_test(test_deadline_takes_no_other_form),
        cmocka_unit_test(test_deadline_leaves_ordinary_names_alone),
        cmocka_unit_test(test_deadline_is_what_a_name_ends_in),
        cmocka_unit_test(test_deadline_now_stays_below_none),
        cmocka_unit_test(test_deadline_after_rounds_up_to_what_suits_the_time),
    };

    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
