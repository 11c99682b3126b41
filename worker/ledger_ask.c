#include "worker/ledger_ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define QUERIES_MAX 256
#define QUERY_MS 5000u
#define AGAIN_MS 50u
#define REQUEST_BYTES_MAX (64u << 10) /* what the ledger takes */
#define ANSWER_BYTES_MAX (256u << 10)
/* What the control socket's answers to a refusal may say, as exit statuses. */
#define EXIT_USAGE 2
#define EXIT_BUSY 75

struct ledger_query {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    struct wheel_timer timer;
    struct worker *worker;
    ledger_answered_fn answered; /* NULL: nobody waits */
    void *arg;
    uint64_t due_ms;
    bool closing; /* the pipe is */
    bool over;    /* and is not opened again */
    struct buf request, answer;
    char read_buf[4096];
};

static void query_connect(struct ledger_query *q);

/* ---- the end ---- */

static void
query_free(struct ledger_query *q)
{
    struct worker *w = q->worker;

    buf_free(&q->request);
    buf_free(&q->answer);
    free(q);
    w->queries_open--;
    worker_maybe_done(w);
}

static void
again_on_timer(struct wheel_timer *timer)
{
    struct ledger_query *q = CONTAINER_OF(timer, struct ledger_query, timer);

    q->answer.len = 0;
    q->closing = false;
    query_connect(q);
}

static void
on_closed(uv_handle_t *handle)
{
    struct ledger_query *q = CONTAINER_OF(handle, struct ledger_query, pipe);

    if (q->over)
        query_free(q);
    else
        wheel_set(&q->worker->net.wheel, &q->timer, AGAIN_MS, again_on_timer);
}

static void
query_close(struct ledger_query *q)
{
    if (q->closing)
        return;
    q->closing = true;
    wheel_cancel(&q->worker->net.wheel, &q->timer);
    uv_close((uv_handle_t *)&q->pipe, on_closed);
}

/* Closes first: who is told may end the worker's last call. */
static void
query_over(struct ledger_query *q, const struct ledger_answer *answer)
{
    ledger_answered_fn answered = q->answered;
    void *arg = q->arg;

    q->answered = NULL;
    q->over = true;
    query_close(q);
    if (answered)
        answered(arg, answer);
}

/* ---- the answer ---- */

static enum ledger_said
said_no(struct js_value answer, char *why, size_t why_cap)
{
    struct js_value text = js_get(answer, STR("why"));
    char plain[320];
    int64_t status = 0;

    if (text.raw.len < sizeof plain)
        str_copy(js_unescape(text, plain, sizeof plain), why, why_cap);
    (void)!js_i64(js_get(answer, STR("exit")), &status);
    if (status == EXIT_USAGE || js_bool(js_get(answer, STR("absent")), false))
        return LEDGER_ABSENT;
    return status == EXIT_BUSY ? LEDGER_BUSY : LEDGER_REFUSED;
}

/* {"ok":true,"result":{…}} */
static void
query_answered(struct ledger_query *q)
{
    struct ledger_answer answer = {.said = LEDGER_SILENT};
    struct js_value document;
    struct js_error ignored;

    if (js_check(buf_str(&q->answer), &document, &ignored)) {
        answer.result = js_get(document, STR("result"));
        answer.said = js_bool(js_get(document, STR("ok")), false) &&
                              js_is(answer.result, JS_OBJECT)
                          ? LEDGER_DONE
                          : said_no(document, answer.why, sizeof answer.why);
    }
    query_over(q, &answer);
}

/* Whether anything became of it nobody knows. */
static void
query_broke(struct ledger_query *q)
{
    if (q->closing)
        return;
    if (net_now_ms(&q->worker->net) + AGAIN_MS < q->due_ms)
        query_close(q);
    else
        query_over(q, &(struct ledger_answer){.said = LEDGER_SILENT});
}

static void
on_timer(struct wheel_timer *timer)
{
    struct ledger_query *q = CONTAINER_OF(timer, struct ledger_query, timer);

    query_over(q, &(struct ledger_answer){.said = LEDGER_SILENT});
}

/* ---- the connection ---- */

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ledger_query *q = CONTAINER_OF(handle, struct ledger_query, pipe);

    (void)suggested;
    *buf = uv_buf_init(q->read_buf, sizeof q->read_buf);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ledger_query *q = CONTAINER_OF(stream, struct ledger_query, pipe);
    const char *end;

    if (n == 0 || q->closing)
        return;
    if (n < 0) {
        query_broke(q);
        return;
    }
    if (!buf_add(&q->answer, buf->base, (size_t)n)) {
        query_over(q, &(struct ledger_answer){.said = LEDGER_SILENT});
        return;
    }
    end = memchr(q->answer.ptr, '\n', q->answer.len);
    if (end == NULL)
        return;
    q->answer.len = (size_t)(end - q->answer.ptr);
    query_answered(q);
}

static void
on_written(uv_write_t *write, int status)
{
    struct ledger_query *q = CONTAINER_OF(write, struct ledger_query, write);

    if (status < 0)
        query_broke(q);
}

static void
on_connected(uv_connect_t *connect, int status)
{
    struct ledger_query *q = CONTAINER_OF(connect, struct ledger_query, connect);
    uv_buf_t buf = uv_buf_init(q->request.ptr, (unsigned)q->request.len);

    if (q->closing)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&q->pipe, on_alloc, on_read) < 0 ||
        uv_write(&q->write, (uv_stream_t *)&q->pipe, &buf, 1, on_written) < 0)
        query_broke(q);
}

static void
query_connect(struct ledger_query *q)
{
    struct worker *w = q->worker;
    uint64_t now_ms = net_now_ms(&w->net);

    (void)uv_pipe_init(&w->net.loop, &q->pipe, 0); /* fails for no reason that there is here */
    wheel_set(&w->net.wheel, &q->timer, q->due_ms > now_ms ? q->due_ms - now_ms : 1, on_timer);
    uv_pipe_connect(&q->connect, &q->pipe, w->inherit->control_path, on_connected);
}

/* ---- the question ---- */

void
ledger_ask_begin(struct jw *jw, struct buf *out, const char *cmd)
{
    buf_init(out, REQUEST_BYTES_MAX);
    jw_init(jw, out);
    jw_object(jw);
    jw_key_cstr(jw, "cmd", cmd);
    jw_key(jw, "args");
    jw_object(jw);
}

struct ledger_query *
ledger_ask_send(struct worker *w, struct jw *jw, ledger_answered_fn answered, void *arg)
{
    struct ledger_query *q = w->queries_open < QUERIES_MAX ? calloc(1, sizeof *q) : NULL;
    struct buf *request = jw->buf;

    jw_object_end(jw);
    jw_object_end(jw);
    buf_add_char(request, '\n');
    if (q == NULL || request->failed) {
        free(q);
        buf_free(request);
        return NULL;
    }
    w->queries_open++;
    q->worker = w;
    q->answered = answered;
    q->arg = arg;
    q->request = *request;
    buf_init(request, 0);
    buf_init(&q->answer, ANSWER_BYTES_MAX);
    q->due_ms = net_now_ms(&w->net) + QUERY_MS;
    query_connect(q);
    return q;
}

void
ledger_ask_forget(struct ledger_query **query)
{
    if (*query != NULL)
        (*query)->answered = NULL;
    *query = NULL;
}
