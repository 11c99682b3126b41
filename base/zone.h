/*
 * The hour of the day in a time zone of the tz database ("Asia/Shanghai"), for what holds only from
 * one time of the day to another.
 *
 * A zone is a list of changes of its offset from UTC, made once; asking it is a search in that
 * list, and the answer is the same in every process and for ever, whatever becomes of the files.
 * Before 1970 and after 2100 the nearest offset known is taken.
 */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include "base/base.h"

#define ZONE_NAME_LEN_MAX 64
#define ZONE_CHANGES_MAX 512

struct zone_change {
    int64_t from_s; /* since 1970, UTC; of the first one INT64_MIN */
    int32_t offset_s; /* local time less UTC */
    int32_t pad;
};

/* Changes in the order of their time, at least one. The memory is its maker's. */
struct zone {
    const struct zone_change *changes;
    size_t count;
};

/* UTC, which needs no file. */
extern const struct zone zone_utc;

/*
 * Reads a zone into out, which has room for ZONE_CHANGES_MAX. Returns their count; -EINVAL when this
 * cannot be a zone's name, -ENOENT when the machine knows no such zone. "UTC" opens no file. Uses
 * the C library's own reader, and so TZ in the environment for a moment: not while other threads
 * read the environment or the local time. Two that read zones wait for each other.
 */
int zone_load(struct str name, struct zone_change *out) MUST_CHECK;

/* The first change after that moment: false when there is none. */
bool zone_next(const struct zone *zone, int64_t wall_us, struct zone_change *out);
int32_t zone_offset_s(const struct zone *zone, int64_t wall_us);
/* The first second since 1970 (UTC) at which clocks there show that time or a later one: seconds since 1970 as they
 * count them. Where it comes twice, the first; where it is left out, when they go on. */
int64_t zone_instant_s(const struct zone *zone, int64_t local_s);
/* 0 … 1439. */
unsigned zone_minute(const struct zone *zone, int64_t wall_us);

/* A part of the day in minutes: from the first inclusive to the second exclusive, over midnight when
 * that is smaller; the whole day when they are equal. */
struct zone_hours {
    uint16_t from_min, to_min; /* 0 … 1439 */
};
/* "22:00" or "24:00", which is 0. */
bool zone_clock_parse(struct str text, uint16_t *minute) MUST_CHECK;
bool zone_hours_hold(const struct zone *zone, struct zone_hours hours, int64_t wall_us);

#endif
