#include "worker/receipt.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"
#include "worker/callid.h"
#include "worker/client.h"

#define QUERIES_MAX 256
#define QUERY_MS 5000u
#define ANSWER_BYTES_MAX (256u << 10)
/* What the control socket's answers to a refusal may say, as exit statuses. */
#define EXIT_USAGE 2
#define EXIT_BUSY 75

struct own_query {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    struct wheel_timer timer;
    struct worker *worker;
    struct client *client; /* NULL once it is gone or answered */
    enum proto_protocol shape;
    bool closing;
    struct buf request, answer;
    char read_buf[4096];
};

static void
send_error(struct client *c, enum proto_protocol shape, enum error_kind kind, const char *text)
{
    struct proto_error error;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    error_set(&error, kind, NULL, NULL, "turnpike: %s", text);
    if (kind == ERROR_UNAVAILABLE)
        error.retry_after_s = 1;
    callid_make(c->worker, bytes, id);
    (void)client_send_error(c, shape, &error, (struct str){id, CALL_ID_LEN}, NULL);
}

static void
on_closed(uv_handle_t *handle)
{
    struct own_query *q = CONTAINER_OF(handle, struct own_query, pipe);
    struct worker *w = q->worker;

    buf_free(&q->request);
    buf_free(&q->answer);
    free(q);
    w->queries_open--;
    worker_maybe_done(w);
}

static void
query_close(struct own_query *q)
{
    if (q->closing)
        return;
    q->closing = true;
    wheel_cancel(&q->worker->net.wheel, &q->timer);
    uv_close((uv_handle_t *)&q->pipe, on_closed);
}

static struct client *
detach(struct own_query *q)
{
    struct client *c = q->client;

    if (c)
        c->query = NULL;
    q->client = NULL;
    return c;
}

static void
query_failed(struct own_query *q)
{
    struct client *c = detach(q);
    enum proto_protocol shape = q->shape;

    query_close(q);
    if (c)
        send_error(c, shape, ERROR_UNAVAILABLE, "the ledger does not answer");
}

static void
on_timer(struct wheel_timer *timer)
{
    query_failed(CONTAINER_OF(timer, struct own_query, timer));
}

/*
 * No receipt. Only when the ledger process says that there is no such call is that so; one that
 * runs still will have its receipt, and a ledger process that stops or fails has a successor.
 */
static void
no_receipt(struct client *c, enum proto_protocol shape, struct js_value answer)
{
    char unescaped[128], why[128];
    int64_t status = 0;

    (void)!js_i64(js_get(answer, STR("exit")), &status);
    if (status == EXIT_USAGE || js_bool(js_get(answer, STR("absent")), false)) {
        send_error(c, shape, ERROR_NOT_FOUND, "there is no such call");
        return;
    }
    if (status == EXIT_BUSY) {
        str_copy(js_unescape(js_get(answer, STR("why")), unescaped, sizeof unescaped), why,
                 sizeof why);
        send_error(c, shape, ERROR_UNAVAILABLE, why);
        return;
    }
    send_error(c, shape, ERROR_UNAVAILABLE, "the ledger cannot tell at the moment");
}

/* {"ok":true,"result":{…}}: the result is the receipt. */
static void
query_answered(struct own_query *q)
{
    struct client *c = detach(q);
    struct js_value answer, result;
    struct js_error error;
    struct h1_out out;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    query_close(q);
    if (c == NULL)
        return;
    if (!js_check(buf_str(&q->answer), &answer, &error)) {
        send_error(c, q->shape, ERROR_INTERNAL, "the ledger's answer cannot be read");
        return;
    }
    result = js_get(answer, STR("result"));
    if (!js_bool(js_get(answer, STR("ok")), false) || !js_is(result, JS_OBJECT)) {
        no_receipt(c, q->shape, answer);
        return;
    }
    callid_make(c->worker, bytes, id);
    client_head(c, &out, 200, (struct str){id, CALL_ID_LEN});
    h1_out_own(&out, "content-type: ", STR("application/json"));
    (void)client_send_whole(c, &out, result.raw);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct own_query *q = CONTAINER_OF(handle, struct own_query, pipe);

    (void)suggested;
    *buf = uv_buf_init(q->read_buf, sizeof q->read_buf);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct own_query *q = CONTAINER_OF(stream, struct own_query, pipe);
    const char *end;

    if (n == 0 || q->closing)
        return;
    if (n < 0 || !buf_add(&q->answer, buf->base, (size_t)n)) {
        query_failed(q);
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
    struct own_query *q = CONTAINER_OF(write, struct own_query, write);

    if (status < 0 && !q->closing)
        query_failed(q);
}

static void
on_connected(uv_connect_t *connect, int status)
{
    struct own_query *q = CONTAINER_OF(connect, struct own_query, connect);
    uv_buf_t buf = uv_buf_init(q->request.ptr, (unsigned)q->request.len);

    if (q->closing)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&q->pipe, on_alloc, on_read) < 0 ||
        uv_write(&q->write, (uv_stream_t *)&q->pipe, &buf, 1, on_written) < 0)
        query_failed(q);
}

static void
write_request(struct buf *out, struct str id, uint32_t tenant_id)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", "call.show");
    jw_key(&jw, "args");
    jw_object(&jw);
    jw_key_str(&jw, "id", id);
    jw_key_u64(&jw, "tenant", tenant_id);
    jw_object_end(&jw);
    jw_object_end(&jw);
    buf_add_char(out, '\n');
}

void
receipt_ask(struct client *c, struct str id, enum proto_protocol shape, uint32_t tenant_id)
{
    struct worker *w = c->worker;
    struct own_query *q;

    if (id.len != CALL_ID_LEN) {
        send_error(c, shape, ERROR_NOT_FOUND, "there is no such call");
        return;
    }
    q = w->queries_open < QUERIES_MAX ? calloc(1, sizeof *q) : NULL;
    if (q == NULL || uv_pipe_init(&w->net.loop, &q->pipe, 0) < 0) {
        free(q);
        send_error(c, shape, ERROR_UNAVAILABLE, "too many receipts are asked for");
        return;
    }
    w->queries_open++;
    q->worker = w;
    q->client = c;
    c->query = q;
    q->shape = shape;
    buf_init(&q->request, 4096);
    buf_init(&q->answer, ANSWER_BYTES_MAX);
    write_request(&q->request, id, tenant_id);
    wheel_set(&w->net.wheel, &q->timer, QUERY_MS, on_timer);
    uv_pipe_connect(&q->connect, &q->pipe, w->inherit->control_path, on_connected);
}

void
receipt_client_gone(struct client *c)
{
    struct own_query *q = c->query;

    (void)detach(q);
    query_close(q);
}
