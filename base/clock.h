/*
 * Time. Monotonic for timeouts and limits, wall clock for records and budget windows. Units
 * are in the names. Functions of pure code take the time as an argument instead.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

uint64_t clock_mono_ns(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_us(void); /* microseconds since 1970-01-01T00:00:00Z */

#define RFC3339_LEN 27 /* "2026-11-21T03:04:05.123456Z" */
/* UTC with microseconds, NUL-terminated: out has room for RFC3339_LEN + 1. Years 0 to 9999. */
void clock_rfc3339(int64_t wall_us, char *out);
/*
 * Reads RFC 3339 (fraction optional, offset Z or +hh:mm) or a bare date YYYY-MM-DD (midnight UTC).
 */
bool MUST_CHECK clock_parse(struct str s, int64_t *wall_us);
/* "90s", "5m", "24h", "7d", "250ms": digits and unit. */
bool MUST_CHECK clock_parse_duration(struct str s, uint64_t *us);

/* Civil date of a wall time in UTC. */
struct civil {
    int32_t year;
    uint8_t month, day; /* from 1 */
};
struct civil clock_civil(int64_t wall_us);
/* Days since 1970 of a date; months and days may be out of their range. */
int64_t clock_days(int64_t year, int64_t month, int64_t day);

#endif
