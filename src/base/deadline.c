#include "base/deadline.h"

#include <assert.h>
#include <stdbool.h>

#define MINUTE_S     60
#define HOUR_S       3600
#define DAY_S        86400
#define HOUR_MINUTES 60
#define DAY_MINUTES  1440

#define YEAR_MIN 2000

/* Periods of 400 years repeat; they are counted from 0000-03-01, so that a leap day comes last. */
#define ERA_YEARS     400
#define ERA_DAYS      146097
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */

/* Sizes of the three forms, `~` included. */
enum form { FORM_DAY = 11, FORM_HOUR = 14, FORM_MINUTE = 17 };

_Static_assert(FORM_MINUTE == DEADLINE_BYTES_MAX, "the longest form");

struct date {
    uint32_t year;
    uint32_t month; /* 1..12 */
    uint32_t day;   /* 1..31 */
};

static bool year_leap(uint32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint32_t month_days(const struct date *date)
{
    if (date->month == 2) {
        return year_leap(date->year) ? 29 : 28;
    }
    return 30 + ((date->month + date->month / 8) & 1);
}

/* Days since 1970. */
static uint32_t date_days(const struct date *date)
{
    const uint32_t year = date->month > 2 ? date->year : date->year - 1;
    const uint32_t month = (date->month + 9) % 12; /* 0: March */
    const uint32_t of_era = year % ERA_YEARS;

    return year / ERA_YEARS * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100
           + (153 * month + 2) / 5 + date->day - 1 - DAYS_TO_EPOCH;
}

static struct date date_of(uint32_t days)
{
    const uint32_t since = days + DAYS_TO_EPOCH;
    const uint32_t of_era = since % ERA_DAYS;
    const uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const uint32_t month = (5 * of_year + 2) / 153;

    return (struct date){
        .year = since / ERA_DAYS * ERA_YEARS + year + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = of_year - (153 * month + 2) / 5 + 1,
    };
}

/* So many digits at the front, which are passed over. What is no digit makes *valid false. */
static uint32_t digits_take(const uint8_t **text, unsigned count, bool *valid)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint8_t c = *(*text)++;

        *valid = *valid && c >= '0' && c <= '9';
        number = 10 * number + (uint32_t)(c - '0');
    }
    return number;
}

static void byte_take(const uint8_t **text, uint8_t byte, bool *valid)
{
    *valid = *(*text)++ == byte && *valid;
}

/* What stands behind `~` in one of the forms. */
static uint32_t instant_get(const uint8_t *text, size_t form)
{
    bool valid = true;
    uint32_t hour = 0;
    uint32_t minute = 0;
    struct date date;

    date.year = digits_take(&text, 4, &valid);
    byte_take(&text, '-', &valid);
    date.month = digits_take(&text, 2, &valid);
    byte_take(&text, '-', &valid);
    date.day = digits_take(&text, 2, &valid);
    if (form >= FORM_HOUR) {
        byte_take(&text, 'T', &valid);
        hour = digits_take(&text, 2, &valid);
    }
    if (form == FORM_MINUTE) {
        byte_take(&text, ':', &valid);
        minute = digits_take(&text, 2, &valid);
    }
    if (!valid || date.year < YEAR_MIN || date.month < 1 || date.month > 12 || date.day < 1
        || date.day > month_days(&date) || hour > 23 || minute > 59) {
        return DEADLINE_NONE;
    }
    return date_days(&date) * DAY_MINUTES + hour * HOUR_MINUTES + minute;
}

uint32_t deadline_of(struct bytes key)
{
    static const size_t forms[] = { FORM_DAY, FORM_HOUR, FORM_MINUTE };

    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (key.size < forms[i]) {
            break;
        }
        if (key.data[key.size - forms[i]] == '~') {
            return instant_get(key.data + key.size - forms[i] + 1, forms[i]);
        }
    }
    return DEADLINE_NONE;
}

uint32_t deadline_now(uint64_t unix_s)
{
    const uint64_t minute = unix_s / MINUTE_S;

    return minute < DEADLINE_NONE ? (uint32_t)minute : DEADLINE_NONE - 1;
}

uint32_t deadline_after(uint64_t now_s, uint64_t keep_s)
{
    const uint64_t unit_s = keep_s >= UINT64_C(3) * DAY_S    ? DAY_S
                            : keep_s >= UINT64_C(3) * HOUR_S ? HOUR_S
                                                             : MINUTE_S;
    uint64_t end_s;

    if (__builtin_add_overflow(now_s, keep_s, &end_s)) {
        return DEADLINE_NONE;
    }
    end_s = (end_s / unit_s + (end_s % unit_s != 0)) * (unit_s / MINUTE_S);
    return end_s >= DEADLINE_MIN && end_s <= DEADLINE_MAX ? (uint32_t)end_s : DEADLINE_NONE;
}

static char *digits_put(char *to, uint32_t number, unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        to[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return to + count;
}

/* In full: 2026-12-29T08:30. */
static void instant_put(char *to, uint32_t minute)
{
    const struct date date = date_of(minute / DAY_MINUTES);

    assert(minute >= DEADLINE_MIN);
    assert(minute <= DEADLINE_MAX);
    to = digits_put(to, date.year, 4);
    *to++ = '-';
    to = digits_put(to, date.month, 2);
    *to++ = '-';
    to = digits_put(to, date.day, 2);
    *to++ = 'T';
    to = digits_put(to, minute % DAY_MINUTES / HOUR_MINUTES, 2);
    *to++ = ':';
    (void)digits_put(to, minute % HOUR_MINUTES, 2);
}

size_t deadline_put(char text[DEADLINE_BYTES_MAX], uint32_t minute)
{
    text[0] = '~';
    instant_put(text + 1, minute);
    if (minute % HOUR_MINUTES != 0) {
        return FORM_MINUTE;
    }
    return minute % DAY_MINUTES != 0 ? FORM_HOUR : FORM_DAY;
}

void deadline_put_iso(char text[DEADLINE_ISO_BYTES], uint32_t minute)
{
    instant_put(text, minute);
    text[DEADLINE_ISO_BYTES - 1] = 'Z';
}
