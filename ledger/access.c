#include "ledger/access.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/trace.h"
#include "base/ucr.h"
#include "ledger/core.h"
#include "ledger/feed.h"
#include "shm/call_id.h"
#include "shm/names.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 32u
#define WAIT_MS 1000u
#define FULL_MS 50
#define OFF_MS 100u
#define STOP_US UINT64_C(1000000)
#define LINE_BYTES 1400 /* less than what the log takes of pairs */

struct access {
    struct ledger *ledger;
    pthread_t thread;
    uint64_t at;     /* of the feed */
    uint64_t missed; /* and not said yet */
    uint64_t refusals_missed; /* that were said, or were before us */
    _Atomic uint64_t stop_us; /* 0: not asked to */
};

/* ---- which ---- */

static struct conf_log
log_now(struct ledger *ledger)
{
    struct conf_log now = {.access = CONF_ACCESS_OFF};

    pthread_rwlock_rdlock(&ledger->conf_lock);
    if (ledger->conf != NULL)
        now = ledger->conf->log;
    pthread_rwlock_unlock(&ledger->conf_lock);
    return now;
}

static bool
is_wanted(const struct conf_log *log, const struct call_event *event)
{
    if (log->access != CONF_ACCESS_SAMPLED)
        return log->access == CONF_ACCESS_FULL;
    return call_event_failed(event) || event->end_us >= log->slow_ms * UINT64_C(1000) ||
           trace_sampled(call_id_seed(event->call_id), log->sample_u);
}

/* ---- a line ---- */

static void
add_name(struct buf *line, const struct region *region, const char *key, uint16_t id)
{
    struct str name = name_text(region, id);

    if (name.len > 0)
        buf_add_fmt(line, " %s=%s", key, log_quote(name));
}

static void
add_ms(struct buf *line, const char *key, uint64_t us)
{
    if (us > 0)
        buf_add_fmt(line, " %s=%llu", key, (unsigned long long)(us / 1000));
}

static const char *
endpoint_name(const struct ledger *ledger, uint8_t endpoint)
{
    return endpoint < ledger->endpoint_name_count ? ledger->endpoint_name[endpoint] : NULL;
}

/* The tries that failed, and how: "a:timeout-connect,b:status-503". */
static void
add_failed(struct buf *line, const struct region *region, const struct call_event *event)
{
    bool any = false;

    for (unsigned i = 0; i < event->attempt_count; i++) {
        const struct record_attempt *a = &event->attempt[i];
        struct str upstream = name_text(region, a->upstream);

        if (a->reason == REASON_NONE || a->reason >= REASON_COUNT)
            continue;
        buf_add_fmt(line, "%s%.*s:%s", any ? "," : " failed=", STR_ARGS(upstream),
                    record_reason_name[a->reason]);
        if (a->reason == REASON_STATUS)
            buf_add_fmt(line, "-%u", a->status);
        any = true;
    }
}

static void
add_usage(struct buf *line, const struct call_event *event)
{
    char charge[UCR_TEXT_LEN + 1];
    uint64_t cached = event->count[RECORD_CACHE_READ];

    buf_add_fmt(line, " input=%llu output=%llu",
                (unsigned long long)call_event_tokens_in(event),
                (unsigned long long)record_tokens_out(event->count));
    if (cached > 0)
        buf_add_fmt(line, " cached=%llu", (unsigned long long)cached);
    ucr_text(event->charge_ucr, charge);
    buf_add_fmt(line, " charge=%s", charge);
    if (event->uncollected_ucr > 0) {
        ucr_text(event->uncollected_ucr, charge);
        buf_add_fmt(line, " uncollected=%s", charge);
    }
}

static void
build_line(const struct ledger *ledger, const struct call_event *event, struct buf *line)
{
    const struct region *region = ledger->region;
    const char *endpoint = endpoint_name(ledger, event->endpoint);
    char id[CALL_ID_LEN + 1], start[RFC3339_LEN + 1];

    call_id_text(event->call_id, id);
    clock_rfc3339(event->start_wall_us, start);
    buf_add_fmt(line, "call=%s start=%s", id, start);
    if (event->tenant_id != 0)
        buf_add_fmt(line, " tenant=%u", event->tenant_id);
    if (event->key_id != 0)
        buf_add_fmt(line, " key=%u", event->key_id);
    if (endpoint != NULL)
        buf_add_fmt(line, " endpoint=%s", endpoint);
    add_name(line, region, "asked", event->asked);
    add_name(line, region, "model", event->model);
    add_name(line, region, "channel", event->channel);
    add_name(line, region, "upstream", event->upstream);
    buf_add_fmt(line, " status=%u", event->status);
    if (!event->refused) {
        buf_add_fmt(line, " outcome=%s", record_outcome_name[event->outcome]);
        add_usage(line, event);
    }
    add_ms(line, "queue_ms", event->queue_us);
    add_ms(line, "first_byte_ms", event->first_byte_us);
    buf_add_fmt(line, " total_ms=%llu", (unsigned long long)(event->end_us / 1000));
    if (!event->refused) {
        buf_add_fmt(line, " attempts=%u", event->attempt_count);
        add_failed(line, region, event);
    }
}

/* ---- the thread ---- */

/* Waits until the log takes it. False: there is no time left to. */
static bool
write_line(struct access *access, const char *name, struct str pairs)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    unsigned tries = 0;

    while (!log_try(LOG_LEVEL_INFO, name, "%.*s", STR_ARGS(pairs))) {
        uint64_t stop_us = atomic_load_explicit(&access->stop_us, memory_order_relaxed);

        if (stop_us != 0 && clock_mono_us() >= stop_us)
            return false;
        /* What polls as writable may still not take a whole line. */
        if (poll(&fd, 1, FULL_MS) > 0 && tries++ > 0)
            (void)poll(NULL, 0, 1);
    }
    return true;
}

static void
say_missed(struct access *access)
{
    uint64_t refusals = feed_refusals_missed(access->ledger->feed);

    access->missed += refusals - access->refusals_missed;
    access->refusals_missed = refusals;
    if (access->missed > 0 &&
        log_try(LOG_LEVEL_WARN, "access.dropped", "count=%llu", (unsigned long long)access->missed))
        access->missed = 0;
}

/* False: there is nothing more for now, or no time left to write it. */
static bool
write_some(struct access *access, const struct conf_log *log)
{
    struct ledger *ledger = access->ledger;
    struct call_event events[EVENTS_AT_ONCE];
    unsigned count = feed_read(ledger->feed, &access->at, events, EVENTS_AT_ONCE, &access->missed);

    for (unsigned i = 0; i < count; i++) {
        struct buf line;
        bool written;

        if (!is_wanted(log, &events[i]))
            continue;
        buf_init(&line, LINE_BYTES);
        build_line(ledger, &events[i], &line);
        written = !line.failed &&
                  write_line(access, events[i].refused ? "call.refused" : "call.ended",
                             buf_str(&line));
        buf_free(&line);
        if (!written)
            access->missed += count - i;
        if (!written)
            return false;
    }
    say_missed(access);
    return count > 0;
}

static void *
access_main(void *arg)
{
    struct access *access = arg;
    struct feed *feed = access->ledger->feed;
    bool goes_on = true, was_on = false;

    while (goes_on) {
        struct conf_log log = log_now(access->ledger);

        if (log.access == CONF_ACCESS_OFF) {
            access->refusals_missed = feed_refusals_missed(feed);
            was_on = false;
            goes_on = feed_idle(feed, OFF_MS);
            continue;
        }
        if (!was_on)
            access->at = feed_marked(feed);
        was_on = true;
        goes_on = feed_wait(feed, access->at, WAIT_MS);
        log = log_now(access->ledger);
        while (write_some(access, &log))
            ;
    }
    return NULL;
}

int
access_start(struct ledger *ledger, struct access **out)
{
    struct access *access = calloc(1, sizeof(*access));

    *out = NULL;
    if (access == NULL)
        return -ENOMEM;
    access->ledger = ledger;
    access->refusals_missed = feed_refusals_missed(ledger->feed);
    if (pthread_create(&access->thread, NULL, access_main, access) != 0) {
        free(access);
        return -EAGAIN;
    }
    *out = access;
    return 0;
}

void
access_stop(struct access **accessp)
{
    struct access *access = *accessp;

    *accessp = NULL;
    if (access == NULL)
        return;
    atomic_store_explicit(&access->stop_us, clock_mono_us() + STOP_US, memory_order_relaxed);
    pthread_join(access->thread, NULL);
    free(access);
}
