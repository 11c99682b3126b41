#include "worker/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "worker/client.h"
#include "worker/metric.h"

#define PIECE_BYTES (16u << 10) /* and what the item that passes it adds */

static const struct metric_table *const tables[] = {&metric_process, &metric_ledger,
                                                    &metric_upstream, &metric_series};

/* One answer under way: where it is in the tables. */
struct scrape {
    struct client *client;
    struct wheel_timer timer;
    size_t table, metric;
    uint32_t item;
    bool waits; /* for the peer to take what is pending */
    struct buf out;
};

/* ---- text ---- */

void
metric_label(struct buf *out, const char *name, struct str value)
{
    buf_add_fmt(out, "%s=\"", name);
    if (value.len == 0)
        value = STR("none");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"' || value.ptr[i] == '\\')
            buf_add_char(out, '\\');
        if (value.ptr[i] == '\n')
            buf_add(out, "\\n", 2);
        else
            buf_add_char(out, value.ptr[i]);
    }
    buf_add_char(out, '"');
}

void
metric_micro(struct buf *out, uint64_t micro)
{
    buf_add_fmt(out, "%" PRIu64 ".%06" PRIu64, micro / 1000000, micro % 1000000);
}

/* The next item. False when all were written. */
static bool
write_next(struct scrape *s)
{
    const struct worker *w = s->client->worker;

    while (s->table < COUNT_OF(tables)) {
        const struct metric_table *table = tables[s->table];
        const struct metric *metric;

        if (s->metric == table->count) {
            s->table++;
            s->metric = 0;
            continue;
        }
        metric = &table->at[s->metric];
        if (s->item == 0)
            buf_add_fmt(&s->out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                        metric->name, metric->type);
        if (s->item < (metric->items != NULL ? metric->items(w) : 1)) {
            metric->write(metric, &s->out, w, s->item++);
            return true;
        }
        s->metric++;
        s->item = 0;
    }
    return false;
}

/* ---- the answer ---- */

static void
scrape_end(struct scrape *s)
{
    s->client->scrape = NULL;
    wheel_cancel(&s->client->worker->net.wheel, &s->timer);
    buf_free(&s->out);
    free(s);
}

static void
scrape_go_on(struct wheel_timer *timer)
{
    struct scrape *s = CONTAINER_OF(timer, struct scrape, timer);
    struct client *c = s->client;
    struct str part;
    bool more = true;

    s->out.len = 0;
    while (s->out.len < PIECE_BYTES && more)
        more = write_next(s);
    part = buf_str(&s->out);
    if (s->out.failed) { /* no memory: what is left out must be seen to be missing */
        scrape_end(s);
        client_abort(c);
        return;
    }
    if (!more) {
        struct buf last = s->out;

        buf_init(&s->out, 0);
        scrape_end(s);
        (void)client_send_last(c, &part, part.len > 0 ? 1 : 0);
        buf_free(&last);
        return;
    }
    if (!client_send_parts(c, &part, 1)) {
        scrape_end(s);
        return;
    }
    s->waits = conn_is_full(&c->conn);
    if (!s->waits)
        wheel_soon(&c->worker->net.wheel, &s->timer, scrape_go_on);
}

void
metrics_drained(struct client *c)
{
    if (c->scrape == NULL || !c->scrape->waits)
        return;
    c->scrape->waits = false;
    wheel_soon(&c->worker->net.wheel, &c->scrape->timer, scrape_go_on);
}

void
metrics_client_gone(struct client *c)
{
    if (c->scrape != NULL)
        scrape_end(c->scrape);
}

static void
refuse(struct client *c, enum error_kind kind, const char *why)
{
    struct proto_error error;

    error_set(&error, kind, NULL, NULL, "turnpike: %s", why);
    (void)client_send_error(c, PROTO_OPENAI, &error, STR_NONE, NULL);
}

void
metrics_answer(struct client *c)
{
    struct h1_out out;
    struct scrape *s;

    if (!str_eq(h1_head_path(c->req.head), STR("/metrics"))) {
        refuse(c, ERROR_NO_PATH, "only /metrics is here");
        return;
    }
    s = c->bodyless ? NULL : calloc(1, sizeof *s);
    if (s == NULL && !c->bodyless) {
        refuse(c, ERROR_UNAVAILABLE, "out of memory");
        return;
    }
    client_head(c, &out, 200, STR_NONE);
    h1_out_own(&out, "content-type: ", STR("text/plain; version=0.0.4; charset=utf-8"));
    if (s == NULL) {
        (void)client_send_whole(c, &out, STR_NONE);
        return;
    }
    s->client = c;
    c->scrape = s;
    buf_init(&s->out, PIECE_BYTES + METRIC_ITEM_BYTES + 4096);
    if (!client_send_head(c, &out, NULL, 0))
        scrape_end(s);
    else
        wheel_soon(&c->worker->net.wheel, &s->timer, scrape_go_on);
}
