#include "base/zone.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define ZONE_DIR "/usr/share/zoneinfo/"
#define DAY_S INT64_C(86400)
#define FIRST_S INT64_C(0)
#define LAST_S INT64_C(4102444800) /* 2100 */
/* No zone has kept an offset for less than this and gone back to the one before. */
#define STEP_S (7 * DAY_S)

static const struct zone_change utc_changes[] = {{.from_s = INT64_MIN, .offset_s = 0}};
const struct zone zone_utc = {utc_changes, COUNT_OF(utc_changes)};

/* Letters, digits and + - _ in parts between slashes: nothing that leaves the directory. */
static bool
name_ok(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool inner = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '_' || c == '/';

        /* One name for a file, not as many as it can have slashes. */
        if ((!letter && !(inner && i > 0)) || (c == '/' && name.ptr[i - 1] == '/'))
            return false;
    }
    return name.len > 0 && name.len <= ZONE_NAME_LEN_MAX && name.ptr[name.len - 1] != '/';
}

static bool
file_is_there(struct str name)
{
    char path[sizeof(ZONE_DIR) + ZONE_NAME_LEN_MAX], magic[4];
    bool is_zone;
    FILE *file;

    snprintf(path, sizeof(path), "%s%.*s", ZONE_DIR, STR_ARGS(name));
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    is_zone = fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
              memcmp(magic, "TZif", sizeof(magic)) == 0;
    fclose(file);
    return is_zone;
}

/* By the C library, in the zone of TZ. */
static int32_t
offset_now(int64_t at_s)
{
    time_t t = (time_t)at_s;
    struct tm tm;

    return localtime_r(&t, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

/* The first second in (before_s, after_s] with the offset of after_s. */
static int64_t
change_between(int64_t before_s, int64_t after_s)
{
    int32_t offset_s = offset_now(after_s);

    while (after_s - before_s > 1) {
        int64_t middle_s = before_s + (after_s - before_s) / 2;

        if (offset_now(middle_s) == offset_s)
            after_s = middle_s;
        else
            before_s = middle_s;
    }
    return after_s;
}

static int
changes_find(struct zone_change *out)
{
    int count = 1;

    out[0] = (struct zone_change){.from_s = INT64_MIN, .offset_s = offset_now(FIRST_S)};
    for (int64_t at_s = FIRST_S; at_s < LAST_S; at_s += STEP_S) {
        int64_t next_s = at_s + STEP_S;

        if (offset_now(next_s) == out[count - 1].offset_s)
            continue;
        if (count == ZONE_CHANGES_MAX)
            break;
        out[count++] = (struct zone_change){.from_s = change_between(at_s, next_s),
                                            .offset_s = offset_now(next_s)};
    }
    return count;
}

static int
load(struct str name, struct zone_change *out)
{
    char text[ZONE_NAME_LEN_MAX + 2] = ":";
    const char *before = getenv("TZ");
    char *kept = before != NULL ? strdup(before) : NULL;
    int count;

    if (!name_ok(name) || (before != NULL && kept == NULL)) {
        free(kept);
        return -EINVAL;
    }
    if (str_eq(name, STR("UTC"))) {
        out[0] = utc_changes[0];
        free(kept);
        return 1;
    }
    if (!file_is_there(name)) {
        free(kept);
        return -ENOENT;
    }
    str_copy(name, text + 1, sizeof(text) - 1);
    (void)setenv("TZ", text, 1);
    tzset();
    count = changes_find(out);
    if (kept != NULL)
        (void)setenv("TZ", kept, 1);
    else
        (void)unsetenv("TZ");
    tzset();
    free(kept);
    return count;
}

int
zone_load(struct str name, struct zone_change *out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* there is one TZ */
    int count;

    pthread_mutex_lock(&lock);
    count = load(name, out);
    pthread_mutex_unlock(&lock);
    return count;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Of the last change up to then. */
static size_t
change_at(const struct zone *zone, int64_t wall_us)
{
    int64_t at_s = floor_div(wall_us, 1000000);
    size_t first = 0, last = zone->count;

    ASSERT(zone->count > 0);
    while (last - first > 1) {
        size_t middle = first + (last - first) / 2;

        if (zone->changes[middle].from_s <= at_s)
            first = middle;
        else
            last = middle;
    }
    return first;
}

bool
zone_next(const struct zone *zone, int64_t wall_us, struct zone_change *out)
{
    size_t next = change_at(zone, wall_us) + 1;

    if (next >= zone->count)
        return false;
    *out = zone->changes[next];
    return true;
}

int32_t
zone_offset_s(const struct zone *zone, int64_t wall_us)
{
    return zone->changes[change_at(zone, wall_us)].offset_s;
}

int64_t
zone_instant_s(const struct zone *zone, int64_t local_s)
{
    ASSERT(zone->count > 0);
    for (size_t i = 0;; i++) {
        const struct zone_change *change = &zone->changes[i];
        int64_t at_s = local_s - change->offset_s;

        if (i > 0)
            at_s = MAX(at_s, change->from_s);
        if (i + 1 == zone->count || at_s < zone->changes[i + 1].from_s)
            return at_s;
    }
}

unsigned
zone_minute(const struct zone *zone, int64_t wall_us)
{
    int64_t local_s = floor_div(wall_us, 1000000) + zone_offset_s(zone, wall_us);

    return (unsigned)((local_s - floor_div(local_s, DAY_S) * DAY_S) / 60);
}

bool
zone_clock_parse(struct str text, uint16_t *minute)
{
    struct str minutes, hours = str_split(text, ':', &minutes);
    uint64_t h, m;

    if (hours.len != 2 || minutes.len != 2 || !str_to_count(hours, 24, &h) ||
        !str_to_count(minutes, 59, &m) || (h == 24 && m != 0))
        return false;
    *minute = (uint16_t)((h % 24) * 60 + m);
    return true;
}

bool
zone_hours_hold(const struct zone *zone, struct zone_hours hours, int64_t wall_us)
{
    unsigned now = zone_minute(zone, wall_us);

    if (hours.from_min == hours.to_min)
        return true;
    if (hours.from_min < hours.to_min)
        return now >= hours.from_min && now < hours.to_min;
    return now >= hours.from_min || now < hours.to_min;
}
