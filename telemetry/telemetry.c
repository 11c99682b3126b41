#include "telemetry/telemetry.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "telemetry/http.h"
#include "telemetry/series.h"
#include "telemetry/span.h"

#define CALLS_AT_ONCE 512u /* of one document */
#define DOCUMENT_BYTES_MAX (64u << 20)
#define TURN_MS 200u
#define FINISH_MS_MAX 5000u /* who stops the server does not wait for a collector that is away */
#define SAY_DROPPED_US UINT64_C(10000000)

enum { TRACES = 0, METRICS, CHANNELS };

struct process {
    const struct telemetry_inherit *inherit;
    struct teller teller;
    struct http *http;
    struct series_set *series;
    /* Calls whose spans wait: a ring. */
    struct call_event *queue;
    uint32_t queue_max, first, count;
    uint32_t under_way; /* of the document that is being sent */
    uint64_t first_us;  /* when the first of them came */
    uint64_t metrics_us; /* when they are told next */
    bool metrics_new;   /* there is something that was not told */
    uint64_t dropped, dropped_said, say_us;
    uint32_t interval_ms, metrics_ms, timeout_ms;
    bool master_gone;
};

static volatile sig_atomic_t ending;

static void
on_term(int number)
{
    (void)number;
    ending = 1;
}

/* ---- what comes in ---- */

static void
queue_put(struct process *p, const struct call_event *event)
{
    if (!(event->flags & RECORD_TRACED))
        return;
    if (p->count == p->queue_max) { /* the oldest tell least of what goes on now */
        p->first = (p->first + 1) % p->queue_max;
        p->count--;
        p->dropped++;
    }
    if (p->count == 0)
        p->first_us = clock_mono_us();
    p->queue[(p->first + p->count++) % p->queue_max] = *event;
}

/* All that is there. */
static void
take_events(struct process *p)
{
    static struct event_batch batch;
    ssize_t n;

    while ((n = recv(p->inherit->events_fd, &batch, sizeof(batch), MSG_DONTWAIT)) > 0) {
        if ((size_t)n < offsetof(struct event_batch, event) ||
            batch.event_bytes != sizeof(batch.event[0]) || batch.count > EVENT_BATCH_MAX ||
            (size_t)n < offsetof(struct event_batch, event) + batch.count * sizeof(batch.event[0]))
            continue; /* of a ledger process of another version: it is about to go */
        p->dropped += batch.missed;
        for (uint32_t i = 0; i < batch.count; i++) {
            series_add(p->series, &p->teller, &batch.event[i]);
            queue_put(p, &batch.event[i]);
        }
        p->metrics_new = true;
    }
}

static void
hear_master(struct process *p)
{
    char byte;
    ssize_t n = recv(p->inherit->lifeline_fd, &byte, 1, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        p->master_gone = true;
}

/* ---- what goes out ---- */

static void
on_end(void *arg, unsigned channel, enum http_end end)
{
    struct process *p = arg;

    if (channel == TRACES) {
        if (end != HTTP_TAKEN)
            p->dropped += p->under_way;
        p->under_way = 0;
    }
}

static void
send_traces(struct process *p)
{
    static struct call_event events[CALLS_AT_ONCE];
    uint32_t count = MIN(p->count, CALLS_AT_ONCE);
    struct buf document;

    for (uint32_t i = 0; i < count; i++)
        events[i] = p->queue[(p->first + i) % p->queue_max];
    p->first = (p->first + count) % p->queue_max;
    p->count -= count;
    p->first_us = clock_mono_us();
    buf_init(&document, DOCUMENT_BYTES_MAX);
    if (!spans_write(&p->teller, events, count, &document)) {
        buf_free(&document);
        p->dropped += count;
        return;
    }
    p->under_way = count;
    http_send(p->http, TRACES, &document, count);
}

static void
send_metrics(struct process *p)
{
    struct buf document;

    p->metrics_us = clock_mono_us() + p->metrics_ms * UINT64_C(1000);
    p->metrics_new = false;
    buf_init(&document, DOCUMENT_BYTES_MAX);
    if (series_write(p->series, &p->teller, p->dropped, clock_wall_us(), &document))
        http_send(p->http, METRICS, &document, 0);
    else
        buf_free(&document);
}

/* now: whatever there is, without waiting for more. */
static void
send_due(struct process *p, bool now)
{
    uint64_t now_us = clock_mono_us();

    if (!http_busy(p->http, TRACES) && p->count > 0 &&
        (now || p->count >= CALLS_AT_ONCE ||
         now_us >= p->first_us + p->interval_ms * UINT64_C(1000)))
        send_traces(p);
    if (p->metrics_ms > 0 && !http_busy(p->http, METRICS) &&
        (now ? p->metrics_new : now_us >= p->metrics_us))
        send_metrics(p);
    if (p->dropped > p->dropped_said && (now || now_us >= p->say_us)) {
        log_warn("telemetry.dropped", "count=%llu",
                 (unsigned long long)(p->dropped - p->dropped_said));
        p->dropped_said = p->dropped;
        p->say_us = now_us + SAY_DROPPED_US;
    }
}

static void
serve(struct process *p)
{
    while (!ending && !p->master_gone) {
        hear_master(p);
        take_events(p);
        send_due(p, false);
        http_turn(p->http, p->inherit->events_fd, MIN(TURN_MS, p->interval_ms));
    }
}

/* What has come is sent, as far as that goes in the time that one document may take, or 5 s. */
static void
finish(struct process *p)
{
    uint64_t until_us = clock_mono_us() + MIN(p->timeout_ms, FINISH_MS_MAX) * UINT64_C(1000);

    take_events(p);
    while (clock_mono_us() < until_us &&
           (p->count > 0 || (p->metrics_new && p->metrics_ms > 0) ||
            http_busy(p->http, TRACES) || http_busy(p->http, METRICS))) {
        send_due(p, true);
        http_turn(p->http, -1, 50);
    }
    p->dropped += p->count + p->under_way;
    p->count = p->under_way = 0;
    send_due(p, true);
}

/* ---- the beginning ---- */

static void
take_signals(void)
{
    struct sigaction term = {.sa_handler = on_term}, ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static const char *
begin(struct process *p)
{
    static const char *const paths[CHANNELS] = {"/v1/traces", "/v1/metrics"};
    const struct telemetry_inherit *inherit = p->inherit;
    const struct conf_telemetry *conf = &inherit->conf->telemetry;
    struct conf *all = inherit->conf;
    uint64_t instance[2] = {rng_u64(), rng_u64()};
    const char *why = NULL;

    p->teller.region = inherit->region;
    p->teller.endpoint_name = inherit->endpoint_name;
    p->teller.endpoint_name_count = inherit->endpoint_name_count;
    str_copy(conf->service, p->teller.service, sizeof(p->teller.service));
    str_hex(instance, sizeof(instance), p->teller.instance);
    p->interval_ms = conf->interval_ms;
    p->metrics_ms = conf->metrics_ms;
    p->timeout_ms = conf->timeout_ms;
    p->queue_max = conf->queue_count;
    p->queue = calloc(p->queue_max, sizeof(*p->queue));
    p->series = series_new(clock_wall_us());
    p->metrics_us = clock_mono_us() + p->metrics_ms * UINT64_C(1000);
    if (p->queue == NULL || p->series == NULL ||
        !providers_make(all, &p->teller.providers))
        return "out of memory";
    p->http = http_new(conf, paths, CHANNELS, on_end, p, &why);
    conf_free(&all); /* the providers' keys */
    return p->http != NULL ? NULL : why;
}

int
telemetry_main(const struct telemetry_inherit *inherit)
{
    struct process process = {.inherit = inherit};
    struct log_setup log = {
        .process = "telemetry", .level_max = inherit->log_level_max, .json = inherit->log_json};
    const char *why;

    log_setup(&log);
    (void)prctl(PR_SET_NAME, "turnpike-telem");
    take_signals();
    /* Names alone are read; balances and hashes of keys are nothing to a process that talks to the world. */
    if (mprotect(inherit->region->base, inherit->region->bytes, PROT_READ) != 0)
        log_warn("telemetry.unprotected", "errno=%d", errno);
    why = begin(&process);
    if (why != NULL) {
        log_error("telemetry.unfit", "why=%s effect=%s", log_quote(str_from(why)),
                  "\"nothing is sent until a reload or restart\"");
        return TELEMETRY_EXIT_UNFIT;
    }
    if (send(inherit->lifeline_fd, "R", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("master.deaf", "errno=%d", errno);
    serve(&process);
    finish(&process);
    log_info("telemetry.ended", "dropped=%llu", (unsigned long long)process.dropped);
    http_free(&process.http);
    series_free(&process.series);
    providers_free(&process.teller.providers);
    free(process.queue);
    return TELEMETRY_EXIT_DONE;
}
