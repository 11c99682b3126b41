/*
 * What is new in the feed, of the calls that are wanted: `turnpike tail` asks again and again, and says how
 * far it is. So the server keeps nothing for who looks, and one that is slow, or gone, costs nothing. On
 * any thread.
 */
#include "ledger/core.h"
#include "ledger/feed.h"
#include "ledger/query.h"

#include "base/clock.h"
#include "base/str.h"
#include "shm/call_id.h"
#include "shm/names.h"

#include <stdio.h>
#include <string.h>

#define ROWS_MAX 500u /* of one answer */
#define EVENTS_AT_ONCE 32u
#define STATUSES_MAX 8u
#define FEED_ID_LEN 16

struct status_span {
    unsigned from, to;
};

struct tail {
    uint32_t tenant_id, key_id, last, written;
    struct str model;
    uint64_t slow_us;
    struct status_span status[STATUSES_MAX];
    unsigned status_count;
    uint64_t at, missed;
    bool begins, restarted;
};

/* ---- arguments ---- */

static bool
status_one(struct str text, struct status_span *out)
{
    uint64_t n;

    if (text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '5' &&
        str_eq_nocase((struct str){text.ptr + 1, 2}, STR("xx"))) {
        out->from = (unsigned)(text.ptr[0] - '0') * 100;
        out->to = out->from + 99;
        return true;
    }
    if (!str_to_count(text, 599, &n) || (n < 100 && n != 0))
        return false;
    *out = (struct status_span){(unsigned)n, (unsigned)n};
    return true;
}

static bool
status_arg(struct command *command, struct tail *tail)
{
    struct str rest;

    if (!command_str(command, "status", false, &rest))
        return false;
    while (rest.len > 0) {
        struct str part = str_trim(str_split(rest, ',', &rest));

        if (tail->status_count == STATUSES_MAX ||
            !status_one(part, &tail->status[tail->status_count++])) {
            command_refuse(command, COMMAND_USAGE, "status: \"%.*s\" is no status",
                           (int)MIN(part.len, 20u), part.ptr);
            command_hint(command, "such as 429, 5xx or 4xx,5xx; at most %u", STATUSES_MAX);
            return false;
        }
    }
    return true;
}

/* "2s", "500ms". */
static bool
slow_arg(struct command *command, struct tail *tail)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};
    struct str text, unit;
    size_t digits = 0;
    uint64_t n;

    if (!command_str(command, "slow", false, &text))
        return false;
    if (text.len == 0)
        return true;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    unit = (struct str){text.ptr + digits, text.len - digits};
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (str_eq(unit, str_from(units[i].unit)) &&
            str_to_count((struct str){text.ptr, digits}, 1000000, &n) && n > 0) {
            tail->slow_us = n * units[i].us;
            return true;
        }
    command_refuse(command, COMMAND_USAGE, "slow: \"%.*s\" is no duration",
                   (int)MIN(text.len, 20u), text.ptr);
    command_hint(command, "such as 2s or 500ms");
    return false;
}

static void
feed_id(const struct ledger *ledger, char out[FEED_ID_LEN + 1])
{
    uint64_t id = __builtin_bswap64(ledger->feed_id);

    str_hex(&id, sizeof(id), out);
}

/* Where it is: of this feed, or of one that ended with another ledger process. */
static bool
place_arg(struct command *command, struct tail *tail)
{
    char id[FEED_ID_LEN + 1];
    struct str feed, after;

    if (!command_str(command, "feed", false, &feed) || !command_str(command, "after", false, &after))
        return false;
    tail->begins = feed.len == 0;
    if (tail->begins)
        return true;
    feed_id(command->ledger, id);
    tail->restarted = !str_eq(feed, str_from(id));
    if (tail->restarted || str_to_u64(after, &tail->at))
        return true;
    command_refuse(command, COMMAND_USAGE, "after: a number is wanted");
    return false;
}

static bool
tail_args(struct command *command, struct tail *tail)
{
    if (!command_tenant(command, "tenant", false, &tail->tenant_id) ||
        !command_id(command, "key", false, &tail->key_id) ||
        !command_str(command, "model", false, &tail->model) ||
        !command_u32(command, "last", &tail->last) || !status_arg(command, tail) ||
        !slow_arg(command, tail) || !place_arg(command, tail))
        return false;
    if (tail->last > ROWS_MAX) {
        command_refuse(command, COMMAND_USAGE, "-n: at most %u", ROWS_MAX);
        return false;
    }
    return true;
}

/* ---- which ---- */

static bool
status_wanted(const struct tail *tail, unsigned status)
{
    for (unsigned i = 0; i < tail->status_count; i++)
        if (status >= tail->status[i].from && status <= tail->status[i].to)
            return true;
    return tail->status_count == 0;
}

static bool
is_wanted(const struct command *command, const struct tail *tail, const struct call_event *event)
{
    const struct region *region = command->ledger->region;

    if ((tail->tenant_id != 0 && event->tenant_id != tail->tenant_id) ||
        (tail->key_id != 0 && event->key_id != tail->key_id) || event->end_us < tail->slow_us ||
        !status_wanted(tail, event->status))
        return false;
    return tail->model.len == 0 || str_glob(tail->model, name_text(region, event->model)) ||
           (event->asked != 0 && str_glob(tail->model, name_text(region, event->asked)));
}

/* ---- a row: as that of call.list, as far as it goes ---- */

static void
write_name(struct command *command, const char *key, uint16_t id)
{
    struct str name = name_text(command->ledger->region, id);

    jw_key(&command->jw, key);
    if (name.len > 0)
        jw_str(&command->jw, name);
    else
        jw_null(&command->jw);
}

static void
write_ms(struct jw *jw, const char *key, uint64_t us)
{
    jw_key(jw, key);
    if (us != 0)
        jw_u64(jw, us / 1000);
    else
        jw_null(jw);
}

static void
write_attempts(struct command *command, const struct call_event *event)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "attempts");
    jw_array(jw);
    for (unsigned i = 0; i < event->attempt_count; i++) {
        const struct record_attempt *a = &event->attempt[i];

        jw_object(jw);
        write_name(command, "upstream", a->upstream);
        jw_key_u64(jw, "status", a->status);
        jw_key_cstr(jw, "reason",
                    a->reason < REASON_COUNT ? record_reason_name[a->reason] : "unknown");
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
write_who(struct command *command, const struct call_event *event)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "tenant");
    if (event->tenant_id != 0)
        jw_u64(jw, event->tenant_id);
    else
        jw_null(jw);
    jw_key_cstr(jw, "tenant_name",
                event->tenant_id != 0 ? command_tenant_name(command, event->tenant_id) : "");
    jw_key(jw, "key");
    if (event->key_id != 0)
        jw_u64(jw, event->key_id);
    else
        jw_null(jw);
}

static void
write_row(struct command *command, const struct call_event *event)
{
    const struct ledger *ledger = command->ledger;
    struct jw *jw = &command->jw;
    char id[CALL_ID_LEN + 1];

    jw_object(jw);
    call_id_text(event->call_id, id);
    jw_key_cstr(jw, "id", id);
    jw_key_time(jw, "started", event->start_wall_us);
    write_who(command, event);
    write_name(command, "asked", event->asked != 0 ? event->asked : event->model);
    write_name(command, "model", event->model);
    write_name(command, "channel", event->channel);
    write_name(command, "upstream", event->upstream);
    jw_key(jw, "endpoint");
    if (event->endpoint < ledger->endpoint_name_count &&
        ledger->endpoint_name[event->endpoint] != NULL)
        jw_cstr(jw, ledger->endpoint_name[event->endpoint]);
    else
        jw_null(jw);
    jw_key_bool(jw, "stream", event->flags & RECORD_STREAM);
    jw_key_u64(jw, "status", event->status);
    jw_key_cstr(jw, "outcome", event->refused ? "refused" : record_outcome_name[event->outcome]);
    jw_key_u64(jw, "queue_ms", event->queue_us / 1000);
    write_ms(jw, "first_byte_ms", event->first_byte_us);
    if (event->refused)
        jw_key_u64(jw, "duration_ms", event->end_us / 1000);
    else
        write_ms(jw, "duration_ms", event->end_us);
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input", call_event_tokens_in(event));
    jw_key_u64(jw, "cache_read", event->count[RECORD_CACHE_READ]);
    jw_key_u64(jw, "output", record_tokens_out(event->count));
    jw_object_end(jw);
    jw_key_ucr(jw, "charge", event->charge_ucr);
    jw_key_ucr(jw, "uncollected", event->uncollected_ucr);
    write_attempts(command, event);
    jw_object_end(jw);
}

/* ---- the answer ---- */

/* Back from the end, until there are as many as are wanted: where to begin. */
static void
find_last(struct command *command, struct tail *tail)
{
    struct feed *feed = command->ledger->feed;
    uint64_t last = feed_last(feed), found = 0, missed = 0;
    uint64_t oldest = last > FEED_EVENTS_MAX ? last - FEED_EVENTS_MAX : 0;
    struct call_event event;

    tail->at = last;
    while (tail->at > oldest && found < tail->last) {
        uint64_t before = tail->at - 1, at = before;

        if (feed_read(feed, &at, &event, 1, &missed) == 0 || event.seq != before + 1)
            break; /* written over meanwhile */
        found += is_wanted(command, tail, &event);
        tail->at = before;
    }
}

static void
write_rows(struct command *command, struct tail *tail)
{
    struct call_event events[EVENTS_AT_ONCE];
    unsigned count;

    do {
        count = feed_read(command->ledger->feed, &tail->at, events,
                          MIN(EVENTS_AT_ONCE, ROWS_MAX - tail->written), &tail->missed);
        for (unsigned i = 0; i < count; i++)
            if (is_wanted(command, tail, &events[i])) {
                write_row(command, &events[i]);
                tail->written++;
            }
    } while (count > 0 && tail->written < ROWS_MAX);
}

static int
calls_tail(struct command *command)
{
    struct tail tail = {0};
    struct jw *jw = &command->jw;
    char id[FEED_ID_LEN + 1], number[24];

    if (command->ledger->feed == NULL) {
        command_refuse(command, COMMAND_FAILED, "no server runs here");
        return 0;
    }
    feed_watch(command->ledger->feed, clock_mono_us());
    if (!tail_args(command, &tail))
        return 0;
    if (tail.begins)
        find_last(command, &tail);
    jw_key(jw, "calls");
    jw_array(jw);
    write_rows(command, &tail);
    jw_array_end(jw);
    feed_id(command->ledger, id);
    jw_key_cstr(jw, "feed", id);
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)tail.at);
    jw_key_cstr(jw, "after", number);
    jw_key_u64(jw, "missed", tail.missed);
    jw_key_bool(jw, "restarted", tail.restarted);
    jw_key_bool(jw, "more", tail.written == ROWS_MAX);
    return 0;
}

const struct command_def command_tail_defs[] = {
    {.name = "call.tail", .kind = COMMAND_READ, .run = calls_tail},
    {.name = NULL},
};
