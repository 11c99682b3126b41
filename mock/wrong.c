/* What comes instead of an answer, or spoils it from its first byte: the faults that go wrong. */
#include "mock/sim.h"

#include "base/rng.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

static struct buf text_buf, out_buf;

void
wrong_init(void)
{
    buf_init(&text_buf, SIZE_MAX);
    buf_init(&out_buf, SIZE_MAX);
}

static void
hang_up(struct conn *c)
{
    c->call->incomplete = true;
    c->call->keep_alive = false;
    conn_close_soon(c, fault_get(&c->call->faults, F_CUT_HOW, CUT_FIN) == CUT_RST);
    call_sent(c);
}

/* A head, or half of one, and then nothing, or the end. */
static void
head_cut(struct conn *c)
{
    struct call *call = c->call;
    const struct faults *f = &call->faults;

    call->incomplete = true;
    call->status = 200;
    call->framing = call->stream ? FRAME_CHUNKED : FRAME_LENGTH;
    out_buf.len = 0;
    head_write(&out_buf, call, 200, call->stream ? "text/event-stream" : "application/json", 1000);
    if (f->value[F_CUT_HEAD] == HEAD_HALF)
        out_buf.len /= 2;
    conn_send(c, out_buf.ptr, out_buf.len);
    if (fault_set(f, F_STALL)) {
        call->stage = STAGE_STALLED;
        return;
    }
    hang_up(c);
}

static void
garbage_send(struct conn *c)
{
    struct call *call = c->call;
    uint64_t state = call->seq;
    char noise[512];

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)rng_next(&state);
    call->incomplete = true;
    if (call->faults.value[F_GARBAGE] == GARBAGE_BODY) {
        whole_send(c, 200, call->stream ? "text/event-stream" : "application/json",
                   (struct str){noise, sizeof(noise)});
        return;
    }
    call->keep_alive = false;
    conn_send(c, noise, sizeof(noise));
    call_sent(c);
}

static void
endless_begin(struct conn *c)
{
    if (fault_on(&c->call->faults, F_ENDLESS_HEADERS))
        conn_send(c, "HTTP/1.1 200 OK\r\n", 17);
    c->call->stage = STAGE_ENDLESS;
    conn_ready(c);
}

static void
html_send(struct conn *c, int status)
{
    text_buf.len = 0;
    buf_add_fmt(&text_buf,
                "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1>"
                "</center>\r\n<hr><center>sim</center>\r\n</body>\r\n</html>\r\n",
                status, status_text(status), status, status_text(status));
    whole_send(c, status, "text/html", buf_str(&text_buf));
}

/* A whole JSON answer whose string never ends. */
void
endless_body(struct conn *c)
{
    struct call *call = c->call;

    call->framing = FRAME_CHUNKED;
    call->status = 200;
    call->stage = STAGE_ENDLESS;
    out_buf.len = 0;
    head_write(&out_buf, call, 200, "application/json", 0);
    chunk_write(&out_buf, STR("{\"id\":\"sim\",\"filler\":\""));
    conn_send(c, out_buf.ptr, out_buf.len);
    conn_ready(c);
}

/* The prompt does not fit: in the words that clients know it by. */
static void
too_long_send(struct conn *c)
{
    const struct call *call = c->call;
    unsigned long long n = call->input_tokens;
    char message[160];

    if (call->gemini)
        snprintf(message, sizeof(message),
                 "The input token count (%llu) exceeds the maximum number of tokens allowed (8).",
                 n);
    else if (is_anthropic((enum endpoint)call->endpoint))
        snprintf(message, sizeof(message), "prompt is too long: %llu tokens > 8 maximum", n);
    else
        snprintf(message, sizeof(message),
                 "This model's maximum context length is 8 tokens. However, your messages resulted "
                 "in %llu tokens. Please reduce the length of the messages.",
                 n);
    error_send(c, 400, str_from(message), "messages", "context_length_exceeded");
}

/* True when a fault took the answer's place. */
bool
fault_answer(struct conn *c)
{
    struct call *call = c->call;
    const struct faults *f = &call->faults;
    int status = (int)fault_get(f, F_STATUS, 0);
    char message[80];

    if (fault_on(f, F_HANGUP)) {
        hang_up(c);
    } else if (fault_on(f, F_CUT_HEAD)) {
        head_cut(c);
    } else if (fault_on(f, F_ENDLESS_HEADERS) || fault_on(f, F_ENDLESS_1XX)) {
        endless_begin(c);
    } else if (fault_on(f, F_ECHO_AUTH)) {
        text_buf.len = 0;
        buf_add_fmt(&text_buf, "Incorrect API key provided: %s", call->echo);
        char *text = copy_of(buf_str(&text_buf));
        error_send(c, status > 0 ? status : 401, str_from(text), NULL, NULL);
        free(text);
    } else if (fault_on(f, F_HTML)) {
        html_send(c, status > 0 ? status : 502);
    } else if (fault_on(f, F_REDIRECT)) {
        int code = (int)fault_get(f, F_REDIRECT, 0);
        whole_send(c, code >= 300 && code <= 399 ? code : 307, "text/plain", STR("moved\n"));
    } else if (fault_on(f, F_TOO_LONG)) {
        too_long_send(c);
    } else if (status > 0 && status != 200) {
        snprintf(message, sizeof(message), "sim: status %d as asked", status);
        error_send(c, status, str_from(message), NULL,
                   fault_on(f, F_QUOTA) ? "insufficient_quota"
                   : status == 404      ? "model_not_found"
                                        : NULL);
    } else if (fault_on(f, F_ERROR_IN_200)) {
        text_buf.len = 0;
        error_write(&text_buf, call, 500, STR("sim: an error in a 200"),
                    NULL, NULL);
        whole_send(c, 200, "application/json", buf_str(&text_buf));
    } else if (fault_on(f, F_EMPTY)) {
        whole_send(c, 200, call->stream ? "text/event-stream" : "application/json", STR(""));
    } else if (fault_on(f, F_GARBAGE)) {
        garbage_send(c);
    } else {
        return false;
    }
    return true;
}
