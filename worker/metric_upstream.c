/* Families of upstreams, a line a credential: what all workers know of it together (shm/health.h). */
#include "worker/metric.h"

#include <inttypes.h>

#include "base/str.h"
#include "shm/health.h"
#include "shm/names.h"

/* Writes one figure of a credential's line. */
typedef void (*show_fn)(struct buf *out, const struct worker *w, const struct health *health);

struct figure {
    show_fn show;
};

static uint32_t
load_u32(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void
show_up(struct buf *out, const struct worker *w, const struct health *health)
{
    buf_add_fmt(out, "%d",
                load_u32(&health->disabled) == 0 &&
                    health_usable(w->region, health, worker_now_ms(w)));
}

static void
show_circuit(struct buf *out, const struct worker *w, const struct health *health)
{
    struct health_view view;

    health_look(health, worker_now_ms(w), &view);
    buf_add_fmt(out, "%d", (int)view.state);
}

static void
show_refused(struct buf *out, const struct worker *w, const struct health *health)
{
    struct health_view view;

    health_look(health, worker_now_ms(w), &view);
    buf_add_fmt(out, "%d", view.state != HEALTH_STATE_CLOSED &&
                               (view.why == HEALTH_AUTH || view.why == HEALTH_DENIED));
}

static void
show_in_flight(struct buf *out, const struct worker *w, const struct health *health)
{
    buf_add_fmt(out, "%" PRIu32, health_load(w->region, health));
}

static void
show_attempts(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    buf_add_fmt(out, "%" PRIu64, atomic_load_explicit(&health->calls, memory_order_relaxed));
}

static void
show_probes(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    buf_add_fmt(out, "%" PRIu32, load_u32(&health->probes));
}

static void
show_first_byte(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    metric_micro(out, load_u32(&health->first_byte_us));
}

static void
show_token(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    metric_micro(out, load_u32(&health->us_per_token));
}

static void
show_error_ratio(struct buf *out, const struct worker *w, const struct health *health)
{
    (void)w;
    metric_micro(out, load_u32(&health->error_ppm));
}

/* upstream="a", and the credential where it has a name. */
static void
write_labels(struct buf *out, const struct worker *w, const struct health *health)
{
    struct str credential = name_text(w->region, (uint16_t)load_u32(&health->credential_name));

    metric_label(out, "upstream", name_text(w->region, health_name_id(health)));
    if (credential.len > 0) {
        buf_add_char(out, ',');
        metric_label(out, "credential", credential);
    }
}

static uint32_t
lines(const struct worker *w)
{
    return w->region->header->geometry.health_max;
}

/* Those of the newest routes.conf; NULL for other lines. */
static const struct health *
line_of(const struct worker *w, uint32_t line_idx)
{
    const struct health *health = health_line(w->region, line_idx);

    return health != NULL && health_is_named(w->region, health) ? health : NULL;
}

static void
write_figure(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct figure *figure = metric->arg;
    const struct health *health = line_of(w, item);

    if (health == NULL)
        return;
    buf_add_fmt(out, "%s{", metric->name);
    write_labels(out, w, health);
    buf_add_fmt(out, "} ");
    figure->show(out, w, health);
    buf_add_char(out, '\n');
}

static void
write_failed(const struct metric *metric, struct buf *out, const struct worker *w, uint32_t item)
{
    const struct health *health = line_of(w, item);

    for (unsigned why = 0; health != NULL && why < HEALTH_CLASS_COUNT; why++) {
        buf_add_fmt(out, "%s{", metric->name);
        write_labels(out, w, health);
        buf_add_fmt(out, ",class=\"%s\"} %" PRIu32 "\n", health_class_name[why],
                    load_u32(&health->failed[why]));
    }
}

#define FIGURE(name, type, show, help) \
    {name, type, help, lines, write_figure, &(const struct figure){show}}

static const struct metric metrics[] = {
    FIGURE("turnpike_upstream_up", "gauge", show_up, "1: calls may go there."),
    FIGURE("turnpike_upstream_circuit", "gauge", show_circuit,
           "0 closed, 1 open, 2 half open: a trial is due or under way."),
    FIGURE("turnpike_upstream_credential_refused", "gauge", show_refused,
           "1: the provider refuses the key, or its account is spent."),
    FIGURE("turnpike_upstream_in_flight", "gauge", show_in_flight, "Calls under way there."),
    FIGURE("turnpike_upstream_attempts_total", "counter", show_attempts, "Tries of calls there."),
    {"turnpike_upstream_failed_total", "counter", "Tries that failed, by class.", lines,
     write_failed, NULL},
    FIGURE("turnpike_upstream_probes_total", "counter", show_probes, "Probes that were sent."),
    FIGURE("turnpike_upstream_first_byte_seconds", "gauge", show_first_byte,
           "Moving average of the time to the first byte; 0 unknown."),
    FIGURE("turnpike_upstream_token_seconds", "gauge", show_token,
           "Moving average of the time of a token; 0 unknown."),
    FIGURE("turnpike_upstream_error_ratio", "gauge", show_error_ratio,
           "Moving average of failures among tries."),
};
const struct metric_table metric_upstream = {metrics, COUNT_OF(metrics)};
