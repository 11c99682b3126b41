#include "base/clock.h"

#include <time.h>

#include "base/str.h"

#define US_PER_S INT64_C(1000000)
#define S_PER_DAY INT64_C(86400)
#define YEAR_0_US (INT64_C(-62167219200) * US_PER_S)        /* 0000-01-01T00:00:00 */
#define YEAR_9999_US (INT64_C(253402300800) * US_PER_S - 1) /* 9999-12-31T23:59:59.999999 */

static uint64_t
now_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_us(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_wall_us(void)
{
    return (int64_t)(now_ns(CLOCK_REALTIME) / 1000);
}

/* Rounds towards minus infinity: the day before 1970 is day -1. */
static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/*
 * Days since 1970-01-01 and back, in the proleptic Gregorian calendar. Years are counted from
 * March, so that the day that leap years add is the last one, and eras are the 400 years after
 * which the calendar repeats.
 */
static struct civil
civil_from_days(int64_t days)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = floor_div(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    return (struct civil){
        .year = (int32_t)(year_of_era + era * 400 + (month <= 2)),
        .month = (uint8_t)month,
        .day = (uint8_t)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
}

static int64_t
days_from_civil(struct civil date)
{
    int64_t year = (int64_t)date.year - (date.month <= 2);
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

struct civil
clock_civil(int64_t wall_us)
{
    return civil_from_days(floor_div(wall_us, S_PER_DAY * US_PER_S));
}

/* Writes n in exactly width digits and gives the place behind them. */
static char *
put_digits(char *out, int64_t n, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + n % 10);
        n /= 10;
    }
    return out + width;
}

void
clock_rfc3339(int64_t wall_us, char *out)
{
    int64_t us = MAX(YEAR_0_US, MIN(wall_us, YEAR_9999_US));
    int64_t days = floor_div(us, S_PER_DAY * US_PER_S);
    int64_t rest_us = us - days * S_PER_DAY * US_PER_S;
    int64_t second = rest_us / US_PER_S;
    struct civil date = civil_from_days(days);
    char *at = out;

    at = put_digits(at, date.year, 4);
    *at++ = '-';
    at = put_digits(at, date.month, 2);
    *at++ = '-';
    at = put_digits(at, date.day, 2);
    *at++ = 'T';
    at = put_digits(at, second / 3600, 2);
    *at++ = ':';
    at = put_digits(at, second / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, second % 60, 2);
    *at++ = '.';
    at = put_digits(at, rest_us % US_PER_S, 6);
    *at++ = 'Z';
    *at = '\0';
    ASSERT(at - out == RFC3339_LEN);
}

/* Takes exactly width digits from the front of s. */
static bool
take_digits(struct str *s, size_t width, int64_t max, int64_t *out)
{
    int64_t n = 0;

    if (s->len < width)
        return false;
    for (size_t i = 0; i < width; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        n = n * 10 + (s->ptr[i] - '0');
    }
    if (n > max)
        return false;
    *s = (struct str){s->ptr + width, s->len - width};
    *out = n;
    return true;
}

/* Takes c, or C where c is a letter, from the front of s. */
static bool
take_char(struct str *s, char c)
{
    if (s->len == 0 || (s->ptr[0] != c && !(c >= 'a' && s->ptr[0] == c - 0x20)))
        return false;
    *s = (struct str){s->ptr + 1, s->len - 1};
    return true;
}

static bool
take_date(struct str *s, int64_t *days)
{
    int64_t year, month, day;
    struct civil date;

    if (!take_digits(s, 4, 9999, &year) || !take_char(s, '-') || !take_digits(s, 2, 12, &month) ||
        !take_char(s, '-') || !take_digits(s, 2, 31, &day) || month == 0 || day == 0)
        return false;
    date = (struct civil){(int32_t)year, (uint8_t)month, (uint8_t)day};
    *days = days_from_civil(date);
    /* February 30 comes back as a day of March. */
    return civil_from_days(*days).day == date.day;
}

/* hh:mm:ss and a fraction, of which more than six digits are read but not kept. A leap second is
 * the first of the next minute. */
static bool
take_time(struct str *s, int64_t *us)
{
    int64_t hour, minute, second, fraction_us = 0;

    if (!take_digits(s, 2, 23, &hour) || !take_char(s, ':') || !take_digits(s, 2, 59, &minute) ||
        !take_char(s, ':') || !take_digits(s, 2, 60, &second))
        return false;
    if (take_char(s, '.')) {
        int64_t digit, unit_us = US_PER_S / 10;

        if (!take_digits(s, 1, 9, &digit))
            return false;
        do {
            fraction_us += digit * unit_us;
            unit_us /= 10;
        } while (take_digits(s, 1, 9, &digit));
    }
    *us = ((hour * 60 + minute) * 60 + second) * US_PER_S + fraction_us;
    return true;
}

static bool
take_offset(struct str *s, int64_t *us)
{
    int64_t hour, minute;
    bool east;

    if (take_char(s, 'z')) {
        *us = 0;
        return true;
    }
    east = take_char(s, '+');
    if ((!east && !take_char(s, '-')) || !take_digits(s, 2, 23, &hour) || !take_char(s, ':') ||
        !take_digits(s, 2, 59, &minute))
        return false;
    *us = (hour * 60 + minute) * 60 * US_PER_S * (east ? 1 : -1);
    return true;
}

bool
clock_parse(struct str s, int64_t *wall_us)
{
    int64_t days, time_us = 0, offset_us = 0;

    if (!take_date(&s, &days))
        return false;
    if (s.len > 0 &&
        (!take_char(&s, 't') || !take_time(&s, &time_us) || !take_offset(&s, &offset_us)))
        return false;
    if (s.len > 0)
        return false;
    *wall_us = days * S_PER_DAY * US_PER_S + time_us - offset_us;
    return true;
}

bool
clock_parse_duration(struct str s, uint64_t *us)
{
    static const struct {
        struct str name;
        uint64_t us;
    } units[] = {
        {STR("ms"), 1000},
        {STR("s"), 1000000},
        {STR("m"), UINT64_C(60) * 1000000},
        {STR("h"), UINT64_C(3600) * 1000000},
        {STR("d"), UINT64_C(86400) * 1000000},
    };
    size_t digits = 0;
    struct str unit;
    uint64_t n;

    while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
        digits++;
    if (!str_to_u64((struct str){s.ptr, digits}, &n))
        return false;
    unit = (struct str){s.ptr + digits, s.len - digits};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (!str_eq(unit, units[i].name))
            continue;
        if (__builtin_mul_overflow(n, units[i].us, &n))
            return false;
        *us = n;
        return true;
    }
    return false;
}

int64_t
clock_days(int64_t year, int64_t month, int64_t day)
{
    year += (month - 1) / 12 - ((month - 1) % 12 < 0);
    month = ((month - 1) % 12 + 12) % 12 + 1;
    year -= month <= 2;

    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719468;
}
