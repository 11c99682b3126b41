#include "ledger/pump.h"

#include "base/clock.h"
#include "ledger/core.h"
#include "ledger/feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define WAIT_MS 1000u
#define OFF_MS 100u
#define FULL_MS 100
#define STOP_US UINT64_C(1000000)

struct pump {
    struct ledger *ledger;
    pthread_t thread;
    int fd;
    uint64_t at, refusals_missed; /* as in struct access */
    _Atomic uint64_t stop_us;     /* 0: not asked to */
    struct event_batch batch;
};

static bool
is_on(struct ledger *ledger)
{
    bool on;

    pthread_rwlock_rdlock(&ledger->conf_lock);
    on = ledger->conf != NULL && ledger->conf->telemetry.on;
    pthread_rwlock_unlock(&ledger->conf_lock);
    return on;
}

/* False: there is no time left. */
static bool
send_batch(struct pump *pump)
{
    size_t len = offsetof(struct event_batch, event) + pump->batch.count * sizeof(pump->batch.event[0]);
    struct pollfd fd = {.fd = pump->fd, .events = POLLOUT};

    while (send(pump->fd, &pump->batch, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        uint64_t stop_us = atomic_load_explicit(&pump->stop_us, memory_order_relaxed);

        if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
            break; /* it is lost; the next one is tried anew */
        if (stop_us != 0 && clock_mono_us() >= stop_us)
            return false;
        (void)poll(&fd, 1, FULL_MS);
    }
    pump->batch.missed = 0;
    return true;
}

/* False: nothing more for now. */
static bool
send_some(struct pump *pump)
{
    struct feed *feed = pump->ledger->feed;
    uint64_t refusals = feed_refusals_missed(feed);

    pump->batch.count =
        feed_read(feed, &pump->at, pump->batch.event, EVENT_BATCH_MAX, &pump->batch.missed);
    pump->batch.missed += refusals - pump->refusals_missed;
    pump->refusals_missed = refusals;
    return pump->batch.count > 0 && send_batch(pump);
}

static void *
pump_main(void *arg)
{
    struct pump *pump = arg;
    struct feed *feed = pump->ledger->feed;
    bool goes_on = true, was_on = false;

    while (goes_on) {
        if (!is_on(pump->ledger)) {
            was_on = false;
            pump->refusals_missed = feed_refusals_missed(feed);
            goes_on = feed_idle(feed, OFF_MS);
            continue;
        }
        if (!was_on)
            pump->at = feed_marked(feed);
        was_on = true;
        goes_on = feed_wait(feed, pump->at, WAIT_MS);
        while (send_some(pump))
            ;
    }
    return NULL;
}

int
pump_start(struct ledger *ledger, int fd, struct pump **out)
{
    struct pump *pump = calloc(1, sizeof(*pump));

    *out = NULL;
    if (pump == NULL)
        return -ENOMEM;
    pump->ledger = ledger;
    pump->fd = fd;
    pump->batch.event_bytes = sizeof(pump->batch.event[0]);
    pump->refusals_missed = feed_refusals_missed(ledger->feed);
    if (pthread_create(&pump->thread, NULL, pump_main, pump) != 0) {
        free(pump);
        return -EAGAIN;
    }
    *out = pump;
    return 0;
}

void
pump_stop(struct pump **pumpp)
{
    struct pump *pump = *pumpp;

    *pumpp = NULL;
    if (pump == NULL)
        return;
    atomic_store_explicit(&pump->stop_us, clock_mono_us() + STOP_US, memory_order_relaxed);
    pthread_join(pump->thread, NULL);
    free(pump);
}
