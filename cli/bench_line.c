/*
 * One connection of bench, and the call on it. A call ends in call_end() and nowhere else, once: with a class of
 * failure, or with none. A kept connection that turns out to be closed before a byte of the answer came was closed
 * while nobody looked: the call is sent once more on a new one, which is what clients do.
 */
#include "cli/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/str.h"
#include "net/dial.h"
#include "proto/answer.h"

#define BODY_BYTES_MAX (32u << 20)
#define REST_MS 100

#define TO(s) (1u << (s))
static const unsigned may_become[BENCH_LINE_STATE_COUNT] = {
    [BENCH_LINE_CLOSED] = TO(BENCH_LINE_DIALLING),
    [BENCH_LINE_DIALLING] = TO(BENCH_LINE_BUSY) | TO(BENCH_LINE_CLOSING) | TO(BENCH_LINE_CLOSED),
    [BENCH_LINE_IDLE] = TO(BENCH_LINE_BUSY) | TO(BENCH_LINE_CLOSING),
    [BENCH_LINE_BUSY] = TO(BENCH_LINE_IDLE) | TO(BENCH_LINE_CLOSING),
    [BENCH_LINE_CLOSING] = TO(BENCH_LINE_CLOSED) | TO(BENCH_LINE_DIALLING),
};

static bool
has_call(enum bench_line_state state)
{
    return state == BENCH_LINE_DIALLING || state == BENCH_LINE_BUSY;
}

static void
line_set_state(struct bench_line *line, enum bench_line_state next)
{
    struct bench *bench = line->bench;

    ASSERT(may_become[line->state] & TO(next));
    list_remove(&line->node);
    if (next == BENCH_LINE_IDLE)
        list_push_back(&bench->idle, &line->node);
    else if (next == BENCH_LINE_CLOSED)
        list_push_back(&bench->closed, &line->node);
    bench->busy += (unsigned)has_call(next) - (unsigned)has_call(line->state);
    line->state = next;
}

/* ---- the call's end ---- */

/* What an error's body says, in whichever protocol: its "message". */
static struct str
message_of(const struct bench_line *line, char *out, size_t cap)
{
    struct js_value value, message;
    struct js_error err;

    if (!js_check(buf_str(&line->body), &value, &err))
        return STR_NONE;
    message = js_path(value, "error", "message", NULL);
    if (!js_is(message, JS_STRING) || message.raw.len >= cap)
        return STR_NONE;
    return js_unescape(message, out, cap);
}

static void
count_usage(struct bench_line *line, const struct usage *usage)
{
    struct bench_result *result = line->bench->result;

    result->input_tokens += (uint64_t)usage->input + usage->cache_read + usage->cache_write_5m +
                            usage->cache_write_1h;
    result->output_tokens += usage->output;
}

static void
call_passed(struct bench_line *line, const struct usage *usage)
{
    struct bench_result *result = line->bench->result;
    uint64_t total_us = clock_mono_us() - line->from_us;

    result->ok++;
    hist_add(&result->first_byte, line->first_byte_us * 1000);
    if (line->first_chunk_us > 0)
        hist_add(&result->first_chunk, line->first_chunk_us * 1000);
    hist_add(&result->total, total_us * 1000);
    count_usage(line, usage);
}

/* After it the line is IDLE, or on its way to CLOSED. */
static void
call_end(struct bench_line *line, bool reusable)
{
    wheel_cancel(&line->bench->net.wheel, &line->timer);
    h1_res_end(&line->res);
    sse_free(&line->sse);
    buf_free(&line->body);
    if (!reusable) {
        bench_line_close(line);
        return;
    }
    line->reused = true;
    line_set_state(line, BENCH_LINE_IDLE);
    bench_next(line->bench);
}

static void
call_failed(struct bench_line *line, const char *class_name, struct str sample, bool reusable)
{
    bench_failed(line->bench, class_name, sample);
    call_end(line, reusable);
}

static void
call_complete(struct bench_line *line)
{
    bool reusable = h1_res_reusable(&line->res);
    struct usage usage = {.state = USAGE_ABSENT};
    char name[16], text[512];

    if (line->res.status != 200) {
        (void)snprintf(name, sizeof(name), "%u", line->res.status);
        call_failed(line, name, message_of(line, text, sizeof(text)), reusable);
        return;
    }
    if (line->events) {
        if (line->fault == NULL && meter_finish(&line->meter) == METER_FINISH_CUT)
            line->fault = "cut short";
        usage = meter_usage(&line->meter);
    } else {
        struct answer answer;

        answer_read(line->bench->setup->endpoint, buf_str(&line->body), &answer);
        if (answer.kind != ANSWER_OK)
            line->fault = "not an answer";
        usage = answer.usage;
    }
    if (line->fault != NULL) {
        call_failed(line, line->fault, STR_NONE, reusable);
        return;
    }
    call_passed(line, &usage);
    call_end(line, reusable);
}

/* ---- the answer ---- */

static void
take_event(struct bench_line *line, struct sse_event *event, uint64_t now_us)
{
    enum meter_verdict verdict;

    if (event->comment_only)
        return;
    if (line->first_chunk_us == 0)
        line->first_chunk_us = MAX(now_us - line->from_us, 1u);
    else
        hist_add(&line->bench->result->gap, (now_us - line->last_us) * 1000);
    line->last_us = now_us;
    verdict = meter_event(&line->meter, event);
    if (verdict == METER_UPSTREAM_ERROR)
        line->fault = "error in the stream";
    else if (verdict == METER_BAD)
        line->fault = "bad event";
}

static void
take_span(struct bench_line *line, struct str span, uint64_t now_us)
{
    struct sse_event event;

    if (!line->events) {
        if (line->body.len + span.len <= BODY_BYTES_MAX)
            (void)buf_add_str(&line->body, span);
        return;
    }
    sse_feed(&line->sse, span);
    while (sse_next(&line->sse, &event) == 1)
        take_event(line, &event, now_us);
    if (sse_keep(&line->sse) < 0)
        line->fault = "bad event";
}

static void
take_head(struct bench_line *line)
{
    struct str type = h1_head_get(line->res.head, H1_CONTENT_TYPE);

    line->has_head = true;
    line->events = line->res.status == 200 && str_starts_with(type, STR("text/event-stream"));
}

static void
line_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct bench_line *line = CONTAINER_OF(conn, struct bench_line, conn);
    uint64_t now_us = clock_mono_us();

    if (line->state != BENCH_LINE_BUSY) { /* bytes that nobody asked for */
        bench_line_close(line);
        return;
    }
    if (line->first_byte_us == 0)
        line->first_byte_us = MAX(now_us - line->from_us, 1u);
    for (;;) {
        struct h1_res_out out;
        enum h1_res_event event = h1_res_feed(&line->res, bytes, len, &out);

        bytes += out.used;
        len -= out.used;
        for (size_t i = 0; i < out.span_count; i++)
            take_span(line, out.spans[i], now_us);
        switch (event) {
        case H1_RES_HEAD: take_head(line); break;
        case H1_RES_SPANS: break;
        case H1_RES_MORE: return;
        case H1_RES_DONE: call_complete(line); return;
        case H1_RES_ERROR:
            call_failed(line, "bad answer", str_from(line->res.reason), false);
            return;
        }
    }
}

/* ---- the connection ---- */

static void
line_on_late(struct wheel_timer *timer)
{
    struct bench_line *line = CONTAINER_OF(timer, struct bench_line, timer);

    call_failed(line, "timeout", STR_NONE, false);
}

static void
call_send(struct bench_line *line)
{
    int rc = conn_write(&line->conn, &line->bench->setup->request, 1);

    if (rc < 0)
        call_failed(line, "closed", str_from(strerror(-rc)), false);
}

static void
line_on_open(struct conn *conn)
{
    struct bench_line *line = CONTAINER_OF(conn, struct bench_line, conn);

    line->bench->result->connected++;
    line_set_state(line, BENCH_LINE_BUSY);
    call_send(line);
}

/* Nothing of the answer came, on a connection that was kept: it was closed while nobody looked. */
static bool
is_stale(const struct bench_line *line)
{
    return line->state == BENCH_LINE_BUSY && line->reused && !line->res.started;
}

static void line_dial(struct bench_line *line);

/* The call stays, its connection goes: line_on_closed() dials again. */
static void
line_again(struct bench_line *line)
{
    line->reused = false;
    h1_res_init(&line->res, &h1_limits_default, &line->bench->head);
    conn_close(&line->conn);
}

static void
line_on_eof(struct conn *conn)
{
    struct bench_line *line = CONTAINER_OF(conn, struct bench_line, conn);

    if (line->state != BENCH_LINE_BUSY)
        bench_line_close(line);
    else if (is_stale(line))
        line_again(line);
    else if (h1_res_eof(&line->res) == H1_RES_DONE)
        call_complete(line);
    else
        call_failed(line, line->res.started ? "cut short" : "closed", STR_NONE, false);
}

static void
line_on_error(struct conn *conn, const struct conn_error *error)
{
    struct bench_line *line = CONTAINER_OF(conn, struct bench_line, conn);
    bool dialling = line->state == BENCH_LINE_DIALLING;

    if (is_stale(line)) {
        line_again(line);
        return;
    }
    if (!has_call(line->state)) {
        bench_line_close(line);
        return;
    }
    line->resting = dialling;
    call_failed(line, dialling ? conn_stage_name[error->stage] : "closed", str_from(error->text), false);
}

static void
line_on_drain(struct conn *conn)
{
    (void)conn;
}

static void
line_on_rested(struct wheel_timer *timer)
{
    struct bench_line *line = CONTAINER_OF(timer, struct bench_line, timer);

    line->resting = false;
    list_push_back(&line->bench->closed, &line->node);
    bench_next(line->bench);
}

static void
line_on_closed(struct conn *conn)
{
    struct bench_line *line = CONTAINER_OF(conn, struct bench_line, conn);

    memset(&line->conn, 0, sizeof(line->conn));
    line->reused = false;
    if (line->state == BENCH_LINE_BUSY) { /* line_again() */
        line_set_state(line, BENCH_LINE_CLOSING);
        line_dial(line);
        return;
    }
    line_set_state(line, BENCH_LINE_CLOSED);
    if (line->resting && !line->bench->over) {
        list_remove(&line->node);
        wheel_set(&line->bench->net.wheel, &line->timer, REST_MS, line_on_rested);
    }
    bench_next(line->bench);
}

static const struct conn_events line_events = {
    .on_open = line_on_open,
    .on_data = line_on_data,
    .on_eof = line_on_eof,
    .on_drain = line_on_drain,
    .on_error = line_on_error,
    .on_closed = line_on_closed,
};

static void
line_dial(struct bench_line *line)
{
    const struct bench_setup *setup = line->bench->setup;
    const struct dial_target target = {
        .host = setup->host,
        .port = setup->port,
        .local = true,
        .tls = line->bench->tls,
        .connect_ms = setup->timeout_ms,
    };
    int rc;

    line_set_state(line, BENCH_LINE_DIALLING);
    rc = net_dial(&line->bench->net, &line->conn, &line_events, &target);
    if (rc == 0)
        return;
    wheel_cancel(&line->bench->net.wheel, &line->timer);
    h1_res_end(&line->res);
    bench_failed(line->bench, "connect", str_from(strerror(-rc)));
    line_set_state(line, BENCH_LINE_CLOSED);
}

/* ---- for bench_run.c ---- */

void
bench_line_init(struct bench_line *line, struct bench *bench)
{
    memset(line, 0, sizeof(*line));
    line->bench = bench;
    list_init(&line->node);
    list_push_back(&bench->closed, &line->node);
}

void
bench_line_call(struct bench_line *line, uint64_t due_us)
{
    const struct bench_setup *setup = line->bench->setup;
    bool idle = line->state == BENCH_LINE_IDLE;

    ASSERT(idle || line->state == BENCH_LINE_CLOSED);
    line->from_us = due_us != 0 ? due_us : clock_mono_us();
    line->first_byte_us = line->first_chunk_us = 0;
    line->has_head = line->events = false;
    line->fault = NULL;
    h1_res_init(&line->res, &h1_limits_default, &line->bench->head);
    sse_init(&line->sse, SSE_EVENT_LEN_MAX);
    meter_init(&line->meter, setup->endpoint, true);
    buf_init(&line->body, BODY_BYTES_MAX);
    wheel_set(&line->bench->net.wheel, &line->timer, setup->timeout_ms, line_on_late);
    if (!idle) {
        line_dial(line);
        return;
    }
    line_set_state(line, BENCH_LINE_BUSY);
    call_send(line);
}

void
bench_line_close(struct bench_line *line)
{
    if (line->state == BENCH_LINE_CLOSED || line->state == BENCH_LINE_CLOSING)
        return;
    line_set_state(line, BENCH_LINE_CLOSING);
    conn_close(&line->conn);
}

void
bench_line_free(struct bench_line *line)
{
    wheel_cancel(&line->bench->net.wheel, &line->timer);
    h1_res_end(&line->res);
    sse_free(&line->sse);
    buf_free(&line->body);
    bench_line_close(line);
}
