#include "ledger/feed.h"

#include "base/str.h"
#include "ledger/batch.h"
#include "shm/refusal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REFUSALS_AT_ONCE 64u
#define WATCH_US UINT64_C(3000000)

struct feed {
    pthread_mutex_t lock; /* of all below; held for copying alone */
    pthread_cond_t more;  /* something came */
    pthread_cond_t ended; /* stopped */
    uint64_t last;
    uint64_t refusals_missed;
    uint64_t marked;
    bool stopped;
    struct call_event *ring; /* FEED_EVENTS_MAX; event n is at n % that */
    _Atomic uint64_t watched_until_us;
};

int
feed_new(struct feed **out)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    pthread_condattr_t attr;

    *out = NULL;
    if (feed == NULL)
        return -ENOMEM;
    feed->ring = calloc(FEED_EVENTS_MAX, sizeof(*feed->ring));
    if (feed->ring == NULL) {
        free(feed);
        return -ENOMEM;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->more, &attr);
    pthread_cond_init(&feed->ended, &attr);
    pthread_condattr_destroy(&attr);
    *out = feed;
    return 0;
}

void
feed_free(struct feed **feedp)
{
    struct feed *feed = *feedp;

    *feedp = NULL;
    if (feed == NULL)
        return;
    pthread_cond_destroy(&feed->ended);
    pthread_cond_destroy(&feed->more);
    pthread_mutex_destroy(&feed->lock);
    free(feed->ring);
    free(feed);
}

/* ---- what comes in: main thread ---- */

/* The place of the next event, with the lock. */
static struct call_event *
place_next(struct feed *feed)
{
    struct call_event *event = &feed->ring[++feed->last % FEED_EVENTS_MAX];

    memset(event, 0, offsetof(struct call_event, attempt));
    event->seq = feed->last;
    return event;
}

/* Of a call whose worker died, what its other slots cost: they were swept together. */
static int64_t
swept_charge_ucr(const struct ledger *ledger, const struct block_record *first)
{
    int64_t sum_ucr = first->charge_ucr;

    if (!(first->rec.flags & RECORD_EXTENDED))
        return sum_ucr;
    for (uint32_t i = 0; i < ledger->batch_count; i++) {
        const struct block_record *r = &ledger->batch[i].record;

        if ((r->rec.flags & RECORD_EXTENSION) != 0 &&
            memcmp(r->rec.call_id, first->rec.call_id, sizeof(r->rec.call_id)) == 0)
            sum_ucr += r->charge_ucr;
    }
    return sum_ucr;
}

static void
event_of_record(const struct ledger *ledger, const struct block_record *r, struct call_event *event)
{
    const struct record *rec = &r->rec;
    bool swept = (rec->flags & RECORD_SWEPT) != 0;

    memcpy(event->call_id, rec->call_id, sizeof(event->call_id));
    event->start_wall_us = rec->start_wall_us;
    event->first_byte_us = rec->first_byte_us;
    event->end_us = rec->end_us;
    event->queue_us = rec->queue_us;
    event->charge_ucr = swept ? swept_charge_ucr(ledger, r) : rec->total_charge_ucr;
    event->uncollected_ucr = rec->uncollected_ucr;
    event->tenant_id = r->tenant_id;
    event->key_id = rec->key_id;
    memcpy(event->count, r->count, sizeof(event->count));
    event->flags = rec->flags;
    event->asked = rec->asked;
    event->model = rec->model;
    event->channel = rec->channel;
    event->upstream = rec->upstream;
    event->status = rec->http_status;
    event->protocol = rec->protocol;
    event->endpoint = rec->endpoint;
    event->outcome = swept ? OUTCOME_UNKNOWN : rec->outcome;
    event->attempt_count = rec->attempt_count;
    memcpy(event->model_reported, rec->model_reported, sizeof(event->model_reported));
    if (rec->flags & RECORD_TRACE_PARENT) {
        memcpy(event->trace_id, rec->trace_id, sizeof(event->trace_id));
        memcpy(event->trace_parent, rec->trace_parent, sizeof(event->trace_parent));
    }
    memcpy(event->attempt, rec->attempt, rec->attempt_count * sizeof(event->attempt[0]));
}

/* A call is its first slot's record. What has no slot is an earlier server's. */
static bool
is_told(const struct batch_item *item, const struct block_record *const *refused,
        uint32_t refused_count)
{
    for (uint32_t i = 0; i < refused_count; i++)
        if (refused[i] == &item->record)
            return false;
    return item->account_idx != 0 && !(item->record.rec.flags & RECORD_EXTENSION);
}

void
feed_committed(struct ledger *ledger, const struct block_record *const *refused,
               uint32_t refused_count)
{
    struct feed *feed = ledger->feed;

    if (feed == NULL)
        return;
    pthread_mutex_lock(&feed->lock);
    for (uint32_t i = 0; i < ledger->batch_count; i++)
        if (is_told(&ledger->batch[i], refused, refused_count))
            event_of_record(ledger, &ledger->batch[i].record, place_next(feed));
    pthread_cond_broadcast(&feed->more);
    pthread_mutex_unlock(&feed->lock);
}

static void
event_of_refusal(const struct refusal *refusal, struct call_event *event)
{
    memcpy(event->call_id, refusal->call_id, sizeof(event->call_id));
    event->start_wall_us = refusal->wall_us;
    event->end_us = refusal->took_us;
    event->tenant_id = refusal->tenant_id;
    event->key_id = refusal->key_id;
    event->model = refusal->model;
    event->status = refusal->status;
    event->protocol = refusal->protocol;
    event->endpoint = refusal->endpoint;
    event->refused = true;
}

static void
refused_at(struct feed *feed, struct refusal_ring *ring)
{
    struct refusal taken[REFUSALS_AT_ONCE];
    unsigned count;

    do {
        uint64_t missed = 0;

        count = refusal_take(ring, taken, REFUSALS_AT_ONCE, &missed);
        if (count == 0 && missed == 0)
            return;
        pthread_mutex_lock(&feed->lock);
        feed->refusals_missed += missed;
        for (unsigned i = 0; i < count; i++)
            event_of_refusal(&taken[i], place_next(feed));
        pthread_cond_broadcast(&feed->more);
        pthread_mutex_unlock(&feed->lock);
    } while (count == REFUSALS_AT_ONCE);
}

void
feed_refused(struct ledger *ledger)
{
    if (ledger->feed == NULL)
        return;
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        if (ledger->view_open[t])
            refused_at(ledger->feed, refusal_ring_at(ledger->region, t));
}

void
feed_mark(struct ledger *ledger)
{
    struct feed *feed = ledger->feed;

    feed_refused(ledger);
    pthread_mutex_lock(&feed->lock);
    feed->marked = feed->last;
    pthread_mutex_unlock(&feed->lock);
}

/* ---- readers ---- */

uint64_t
feed_marked(struct feed *feed)
{
    uint64_t marked;

    pthread_mutex_lock(&feed->lock);
    marked = feed->marked;
    pthread_mutex_unlock(&feed->lock);
    return marked;
}

uint64_t
feed_last(struct feed *feed)
{
    uint64_t last;

    pthread_mutex_lock(&feed->lock);
    last = feed->last;
    pthread_mutex_unlock(&feed->lock);
    return last;
}

unsigned
feed_read(struct feed *feed, uint64_t *at, struct call_event *out, unsigned max, uint64_t *missed)
{
    unsigned count = 0;
    uint64_t oldest;

    pthread_mutex_lock(&feed->lock);
    oldest = feed->last > FEED_EVENTS_MAX ? feed->last - FEED_EVENTS_MAX : 0;
    if (*at > feed->last) /* of another feed */
        *at = feed->last;
    if (*at < oldest) {
        *missed += oldest - *at;
        *at = oldest;
    }
    while (count < max && *at < feed->last)
        out[count++] = feed->ring[++*at % FEED_EVENTS_MAX];
    pthread_mutex_unlock(&feed->lock);
    return count;
}

static struct timespec
from_now(unsigned timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

bool
feed_wait(struct feed *feed, uint64_t at, unsigned timeout_ms)
{
    struct timespec until = from_now(timeout_ms);
    bool stopped;
    int rc = 0;

    pthread_mutex_lock(&feed->lock);
    while (feed->last <= at && !feed->stopped && rc == 0)
        rc = pthread_cond_timedwait(&feed->more, &feed->lock, &until);
    stopped = feed->stopped;
    pthread_mutex_unlock(&feed->lock);
    return !stopped;
}

bool
feed_idle(struct feed *feed, unsigned timeout_ms)
{
    struct timespec until = from_now(timeout_ms);
    bool stopped;
    int rc = 0;

    pthread_mutex_lock(&feed->lock);
    while (!feed->stopped && rc == 0)
        rc = pthread_cond_timedwait(&feed->ended, &feed->lock, &until);
    stopped = feed->stopped;
    pthread_mutex_unlock(&feed->lock);
    return !stopped;
}

void
feed_stop(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->stopped = true;
    pthread_cond_broadcast(&feed->more);
    pthread_cond_broadcast(&feed->ended);
    pthread_mutex_unlock(&feed->lock);
}

uint64_t
feed_refusals_missed(struct feed *feed)
{
    uint64_t missed;

    pthread_mutex_lock(&feed->lock);
    missed = feed->refusals_missed;
    pthread_mutex_unlock(&feed->lock);
    return missed;
}

void
feed_watch(struct feed *feed, uint64_t now_mono_us)
{
    atomic_store_explicit(&feed->watched_until_us, now_mono_us + WATCH_US, memory_order_relaxed);
}

bool
feed_watched(const struct feed *feed, uint64_t now_mono_us)
{
    return now_mono_us < atomic_load_explicit(&feed->watched_until_us, memory_order_relaxed);
}
