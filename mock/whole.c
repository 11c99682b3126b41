/* Heads, and bodies sent whole. */
#include "mock/sim.h"

#include "base/str.h"

/* One turn at a time, so one buffer of each does for all calls. */
static struct buf error_buf, out_buf, gzip_buf;

void
whole_init(void)
{
    buf_init(&error_buf, SIZE_MAX);
    buf_init(&out_buf, SIZE_MAX);
    buf_init(&gzip_buf, SIZE_MAX);
}

static void
head_write_faults(struct buf *out, const struct call *call, int status)
{
    const struct faults *f = &call->faults;

    if (fault_set(f, F_RETRY_AFTER))
        buf_add_fmt(out, "retry-after: %u\r\n", fault_get(f, F_RETRY_AFTER, 0));
    if (fault_on(f, F_SET_COOKIE))
        buf_add_str(out, STR("set-cookie: sim=1; Path=/; HttpOnly\r\n"));
    if (status / 100 == 3)
        buf_add_str(out, STR("location: http://127.0.0.1:1/elsewhere\r\n"));
    if (fault_on(f, F_GZIP))
        buf_add_str(out, STR("content-encoding: gzip\r\n"));
}

void
head_write(struct buf *out, const struct call *call, int status, const char *type, uint64_t length)
{
    char id[16];

    buf_add(out, "HTTP/1.1 ", 9);
    buf_add_u64(out, (uint64_t)status);
    buf_add_char(out, ' ');
    buf_add_str(out, str_from(status_text(status)));
    buf_add_str(out, STR("\r\ncontent-type: "));
    buf_add_str(out, str_from(type));
    buf_add_str(out, is_anthropic((enum endpoint)call->endpoint)
                         ? STR("\r\nrequest-id: req_sim")
                         : STR("\r\nx-request-id: req_sim"));
    hex16(id, call->seq);
    buf_add(out, id, sizeof(id));
    buf_add(out, "\r\n", 2);
    if (faults_any(&call->faults))
        head_write_faults(out, call, status);
    if (!call->keep_alive)
        buf_add_str(out, STR("connection: close\r\n"));
    else if (call->http_1_0)
        buf_add_str(out, STR("connection: keep-alive\r\n"));
    if (call->framing == FRAME_CHUNKED) {
        buf_add_str(out, STR("transfer-encoding: chunked\r\n"));
    } else if (call->framing == FRAME_LENGTH) {
        buf_add_str(out, STR("content-length: "));
        buf_add_u64(out, length);
        buf_add(out, "\r\n", 2);
    }
    buf_add(out, "\r\n", 2);
}

static struct str
gzip_body(struct call *call, struct str body)
{
    gzip_buf.len = 0;
    gzip_begin(&gzip_buf);
    gzip_block(call, &gzip_buf, body);
    gzip_end(call, &gzip_buf);
    return buf_str(&gzip_buf);
}

static void
body_frame(struct buf *out, const struct call *call, struct str body)
{
    if (call->framing != FRAME_CHUNKED) {
        buf_add_str(out, body);
        return;
    }
    /* Several chunks of odd sizes, so that a reader must join them. */
    for (size_t at = 0; at < body.len;) {
        size_t len = MIN(body.len - at, at == 0 ? (size_t)1 : (size_t)193);

        chunk_write(out, (struct str){body.ptr + at, len});
        at += len;
    }
    buf_add(out, "0\r\n\r\n", 5);
}

void
whole_send(struct conn *c, int status, const char *type, struct str body)
{
    struct call *call = c->call;
    const struct faults *f = &call->faults;
    uint64_t length = body.len;

    call->status = (uint16_t)status;
    if (fault_on(f, F_UNTIL_CLOSE))
        call->framing = FRAME_UNTIL_CLOSE;
    else
        call->framing = fault_on(f, F_CHUNKED) && !call->http_1_0 ? FRAME_CHUNKED : FRAME_LENGTH;
    if (fault_on(f, F_EARLY_END) || fault_set(f, F_CUT)) {
        call->framing = FRAME_LENGTH;
        call->incomplete = true;
        call->keep_alive = false;
    }
    if (call->framing == FRAME_UNTIL_CLOSE)
        call->keep_alive = false;
    if (fault_on(f, F_GZIP)) {
        body = gzip_body(call, body);
        length = body.len;
    }
    if (fault_on(f, F_EARLY_END))
        length += 100;
    out_buf.len = 0;
    head_write(&out_buf, call, status, type, length);
    if (fault_set(f, F_CUT) || fault_set(f, F_STALL)) {
        buf_add(&out_buf, body.ptr, body.len / 2);
        conn_send(c, out_buf.ptr, out_buf.len);
        if (fault_set(f, F_STALL)) {
            call->stage = STAGE_STALLED;
            return;
        }
        conn_close_soon(c, fault_get(f, F_CUT_HOW, CUT_FIN) == CUT_RST);
        call_sent(c);
        return;
    }
    body_frame(&out_buf, call, body);
    if (fault_on(f, F_EXTRA_BYTES))
        buf_add_str(&out_buf, STR("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    conn_send(c, out_buf.ptr, out_buf.len);
    if (status == 200)
        kept_keep(call, buf_str(&out_buf));
    call_sent(c);
}

void
error_send(struct conn *c, int status, struct str message, const char *param, const char *code)
{
    error_buf.len = 0;
    error_write(&error_buf, c->call, status, message, param, code);
    whole_send(c, status, "application/json", buf_str(&error_buf));
}
