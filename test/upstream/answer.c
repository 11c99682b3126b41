/*
 * Which answer a request gets: refusals, faults that replace the answer, streams, whole bodies.
 * The answers to plain requests are kept as they went out, keyed by the bytes of the request, with
 * only the ids written anew: under load an answer costs one look-up and one write.
 */
#include "test/upstream/sim.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16

static struct str accepted_keys[KEYS_MAX];
static size_t accepted_key_count;
static uint64_t seq_last;
static struct buf body_buf, out_buf, gzip_buf;

/* ---- answers kept ---- */

#define CACHE_SLOTS 256u
#define CACHE_BODY_MAX ((size_t)64 << 10)
#define CACHE_IDS_MAX 8

static struct cached {
    struct str body; /* of the request; ours */
    char *answer;
    size_t answer_len;
    uint32_t id_at[CACHE_IDS_MAX]; /* where the 16 hex digits of the call's number stand */
    uint32_t id_count;
    struct record record;
} cache[CACHE_SLOTS];

/* The request whose answer may be kept, while it is being answered. */
static const struct request *cache_candidate;

static struct cached *
cache_slot(const struct request *req)
{
    return &cache[(hash_u64(req->body.ptr, req->body.len) + req->endpoint) % CACHE_SLOTS];
}

static void
hex16(char *out, uint64_t n)
{
    for (int i = 15; i >= 0; i--, n >>= 4)
        out[i] = "0123456789abcdef"[n & 15];
}

static void
cached_clear(struct cached *slot)
{
    free((void *)(uintptr_t)slot->body.ptr);
    free(slot->answer);
    *slot = (struct cached){.body = STR_NONE};
}

void
cache_forget(void)
{
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        cached_clear(&cache[i]);
}

static void
cache_keep(const struct call *call, struct str answer)
{
    const struct request *req = cache_candidate;
    char id[16];

    cache_candidate = NULL;
    if (req == NULL || req->body.len > CACHE_BODY_MAX || !call->keep_alive)
        return;
    struct cached *slot = cache_slot(req);
    cached_clear(slot);
    char *body = malloc(req->body.len);
    slot->answer = malloc(answer.len);
    ASSERT(body != NULL && slot->answer != NULL);
    memcpy(body, req->body.ptr, req->body.len);
    memcpy(slot->answer, answer.ptr, answer.len);
    slot->body = (struct str){body, req->body.len};
    slot->answer_len = answer.len;
    hex16(id, call->seq);
    for (const char *at = answer.ptr; slot->id_count < CACHE_IDS_MAX;) {
        at = memmem(at, answer.len - (size_t)(at - answer.ptr), id, sizeof(id));
        if (at == NULL)
            break;
        slot->id_at[slot->id_count++] = (uint32_t)(at - answer.ptr);
        at += sizeof(id);
    }
    slot->record.used = call->used;
    slot->record.status = call->status;
    slot->record.endpoint = call->endpoint;
    str_copy(str_from(call->model), slot->record.model, sizeof(slot->record.model));
}

/* The number from 1 of the accepted key that came; 0: none did. */
static unsigned
key_number(const struct request *req)
{
    struct str key = req->x_api_key;

    if (str_starts_with(req->authorization, STR("Bearer ")))
        key = (struct str){req->authorization.ptr + 7, req->authorization.len - 7};
    for (size_t i = 0; i < accepted_key_count; i++)
        if (str_eq(key, accepted_keys[i]))
            return (unsigned)i + 1;
    return 0;
}

/* Answers from what was kept; false when there is nothing for these bytes. */
static bool
cache_answer(struct conn *c, const struct request *req)
{
    struct cached *slot = cache_slot(req);

    if (!str_eq(slot->body, req->body) || slot->record.endpoint != req->endpoint ||
        faults_default_active() || !req->keep_alive || req->http_1_0)
        return false;
    struct record record = slot->record;
    record.seq = ++seq_last;
    record.begin_us = record.end_us = clock_wall_us();
    record.conn_id = c->id;
    record.key = (uint8_t)key_number(req);
    record.completed = true;
    str_copy(req->x_request_id, record.request_id, sizeof(record.request_id));
    for (uint32_t i = 0; i < slot->id_count; i++)
        hex16(slot->answer + slot->id_at[i], record.seq);
    conn_send(c, slot->answer, slot->answer_len);
    calls_add(&record);
    stats.completed++;
    return true;
}

/* ---- a call's beginning and end ---- */

static struct call *
call_new(struct conn *c, const struct request *req)
{
    struct call *call = calloc(1, sizeof(*call));

    ASSERT(call != NULL);
    faults_clear(&call->faults);
    call->seq = ++seq_last;
    call->begin_us = clock_wall_us();
    call->endpoint = (uint8_t)req->endpoint;
    call->keep_alive = req->keep_alive;
    call->http_1_0 = req->http_1_0;
    call->choices = 1;
    call->key = (uint8_t)key_number(req);
    str_copy(req->x_request_id, call->request_id, sizeof(call->request_id));
    c->call = call;
    stats.open_calls++;
    stats.open_calls_max = MAX(stats.open_calls_max, stats.open_calls);
    return call;
}

void
call_end(struct conn *c, bool client_closed)
{
    struct call *call = c->call;
    struct record record = {
        .seq = call->seq,
        .begin_us = call->begin_us,
        .end_us = clock_wall_us(),
        .used = call->used,
        .conn_id = c->id,
        .status = call->status,
        .key = call->key,
        .endpoint = call->endpoint,
        .stream = call->stream,
        .completed = !client_closed && !call->incomplete,
        .client_closed = client_closed,
    };

    memcpy(record.request_id, call->request_id, sizeof(record.request_id));
    if (call->model != NULL)
        str_copy(str_from(call->model), record.model, sizeof(record.model));
    if (call->endpoint != EP_MODELS)
        calls_add(&record);
    stats.open_calls--;
    if (record.completed)
        stats.completed++;
    if (client_closed)
        stats.aborted++;
    if (!call->keep_alive)
        conn_close_soon(c, false);
    timer_stop(&c->timer);
    if (fault_set(&call->faults, F_CLOSE_AFTER)) {
        c->idle_close = true;
        timer_set(&c->timer, loop_now_ms + fault_get(&call->faults, F_CLOSE_AFTER, 0));
    }
    buf_free(&call->carry);
    free(call->model);
    free(call->tool_name);
    free(call->echo);
    free(call);
    c->call = NULL;
    c->drip = 0;
}

void
call_sent(struct conn *c)
{
    c->call->stage = STAGE_DONE;
    if (!conn_blocked(c))
        call_end(c, false);
}

/* ---- heads and whole bodies ---- */

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
        cache_keep(call, buf_str(&out_buf));
    call_sent(c);
}

static void
error_send(struct conn *c, int status, struct str message, const char *param, const char *code)
{
    body_buf.len = 0;
    error_write(&body_buf, (enum endpoint)c->call->endpoint, status, message, param, code);
    whole_send(c, status, "application/json", buf_str(&body_buf));
}

/* ---- faults that replace the answer ---- */

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
    body_buf.len = 0;
    buf_add_fmt(&body_buf,
                "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1>"
                "</center>\r\n<hr><center>sim</center>\r\n</body>\r\n</html>\r\n",
                status, status_text(status), status, status_text(status));
    whole_send(c, status, "text/html", buf_str(&body_buf));
}

/* A whole JSON answer whose string never ends. */
static void
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

/* With a NUL behind it. */
static char *
copy_of(struct str s)
{
    char *copy = malloc(s.len + 1);

    ASSERT(copy != NULL);
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

/* True when a fault took the answer's place. */
static bool
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
        body_buf.len = 0;
        buf_add_fmt(&body_buf, "Incorrect API key provided: %s", call->echo);
        char *text = copy_of(buf_str(&body_buf));
        error_send(c, status > 0 ? status : 401, str_from(text), NULL, NULL);
        free(text);
    } else if (fault_on(f, F_HTML)) {
        html_send(c, status > 0 ? status : 502);
    } else if (fault_on(f, F_REDIRECT)) {
        int code = (int)fault_get(f, F_REDIRECT, 0);
        whole_send(c, code >= 300 && code <= 399 ? code : 307, "text/plain", STR("moved\n"));
    } else if (status > 0 && status != 200) {
        snprintf(message, sizeof(message), "sim: status %d as asked", status);
        error_send(c, status, str_from(message), NULL,
                   fault_on(f, F_QUOTA) ? "insufficient_quota" : NULL);
    } else if (fault_on(f, F_ERROR_IN_200)) {
        body_buf.len = 0;
        error_write(&body_buf, (enum endpoint)call->endpoint, 500, STR("sim: an error in a 200"),
                    NULL, NULL);
        whole_send(c, 200, "application/json", buf_str(&body_buf));
    } else if (fault_on(f, F_EMPTY)) {
        whole_send(c, 200, call->stream ? "text/event-stream" : "application/json", STR(""));
    } else if (fault_on(f, F_GARBAGE)) {
        garbage_send(c);
    } else {
        return false;
    }
    return true;
}

/* ---- the answer proper ---- */

static void
answer_begin(struct conn *c)
{
    struct call *call = c->call;
    const struct faults *f = &call->faults;

    if (fault_on(f, F_CLOSE))
        call->keep_alive = false;
    c->drip = fault_get(f, F_DRIP, 0);
    if (fault_answer(c))
        return;
    call->used.input = call->input_tokens;
    call->used.cache_read = fault_get(f, F_CACHED, 0);
    call->used.cache_write_5m = fault_get(f, F_CACHE5M, 0);
    call->used.cache_write_1h = fault_get(f, F_CACHE1H, 0);
    call->status = 200;
    if (call->stream) {
        stream_begin(c);
        return;
    }
    if (fault_on(f, F_ENDLESS_LINE)) {
        endless_body(c);
        return;
    }
    body_buf.len = 0;
    body_write(call, &body_buf);
    whole_send(c, 200, "application/json", buf_str(&body_buf));
}

/* How much there will be of each part, within the caller's cap. A tool call that does not fit is
 * left out. */
static void
answer_plan(struct call *call, const struct ask *ask)
{
    const struct faults *f = &call->faults;
    bool talks = call->endpoint == EP_CHAT || call->endpoint == EP_RESPONSES ||
                 call->endpoint == EP_MESSAGES;
    uint64_t left = ask->output_cap < 0 ? UINT64_MAX : (uint64_t)ask->output_cap;
    uint32_t tools = fault_get(f, F_TOOLS, ask->tool_call ? 1 : 0);
    uint32_t reasoning = fault_get(f, F_REASONING, 0);
    uint32_t words = fault_get(f, F_WORDS, tools > 0 ? 0 : WORD_DEFAULT);

    if (!talks)
        reasoning = tools = 0;
    call->reasoning = (uint32_t)MIN((uint64_t)reasoning, left);
    left -= call->reasoning;
    call->words = (uint32_t)MIN((uint64_t)words, left);
    left -= call->words;
    call->tools = (uint32_t)MIN((uint64_t)tools, left / TOOL_PIECES);
    call->cap_reached = call->reasoning < reasoning || call->words < words || call->tools < tools;
}

static void
call_fill(struct call *call, const struct request *req, const struct ask *ask)
{
    bool streams = call->endpoint == EP_CHAT || call->endpoint == EP_COMPLETIONS ||
                   call->endpoint == EP_RESPONSES || call->endpoint == EP_MESSAGES;

    call->model = copy_of(ask->model);
    call->faults = ask->faults;
    call->stream = ask->stream && streams;
    call->include_usage = ask->include_usage;
    call->choices =
        call->endpoint == EP_CHAT || call->endpoint == EP_COMPLETIONS ? ask->choices : 1;
    call->inputs = ask->inputs;
    call->dimensions = ask->dimensions;
    call->base64 = ask->base64;
    call->input_tokens = ask->input_tokens;
    answer_plan(call, ask);
    if (call->tools > 0)
        call->tool_name = copy_of(ask->tool_name.ptr != NULL ? ask->tool_name : STR("tool"));
    if (fault_on(&call->faults, F_ECHO_AUTH))
        call->echo = copy_of(req->authorization.ptr != NULL ? req->authorization
                             : req->x_api_key.ptr != NULL   ? req->x_api_key
                                                            : STR("none"));
}

/* What can be refused without reading the body; 0 when nothing. */
static int
refusal_early(const struct request *req, const char **message)
{
    if (req->endpoint == EP_NONE) {
        *message = "sim: unknown path";
        return 404;
    }
    if (accepted_key_count > 0 && key_number(req) == 0) {
        *message = "Incorrect API key provided.";
        return 401;
    }
    if (req->wrong_method) {
        *message = "sim: method not allowed here";
        return req->endpoint == EP_RESPONSES ? 426 : 405;
    }
    if (is_anthropic(req->endpoint) && req->anthropic_version.ptr == NULL) {
        *message = "anthropic-version: header is required";
        return 400;
    }
    return 0;
}

static void
models_answer(struct conn *c, const struct request *req)
{
    struct call *call = call_new(c, req);
    size_t prefix = str_starts_with(req->path, STR("/v1/")) ? 11 : 8;
    struct str id = STR_NONE;

    if (req->path.len > prefix)
        id = (struct str){req->path.ptr + prefix, req->path.len - prefix};
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] == '"' || id.ptr[i] == '\\')
            id.len = i;
    call->keep_alive = req->keep_alive;
    body_buf.len = 0;
    models_write(&body_buf, req->anthropic_version.ptr != NULL, id);
    whole_send(c, 200, "application/json", buf_str(&body_buf));
}

static void
request_answer(struct conn *c, const struct request *req)
{
    struct ask ask;
    struct refusal no;
    const char *message = NULL;
    int status = refusal_early(req, &message);

    if (status != 0) {
        stats.refused++;
        call_new(c, req);
        error_send(c, status, str_from(message), NULL, NULL);
        return;
    }
    if (req->endpoint == EP_MODELS) {
        models_answer(c, req);
        return;
    }
    if (cache_answer(c, req))
        return;
    struct call *call = call_new(c, req);
    if (!ask_read(&ask, req, &no)) {
        stats.refused++;
        if (ask.model.len > 0 && ask.model.len <= MODEL_MAX)
            call->model = copy_of(ask.model);
        error_send(c, no.status, str_from(no.message), no.param, no.code);
        return;
    }
    call_fill(call, req, &ask);
    if (!call->stream && faults_only_plain(&call->faults) && !faults_default_active())
        cache_candidate = req;
    uint32_t delay_ms = fault_get(&call->faults, F_DELAY, 0);
    if (delay_ms > 0) {
        call->stage = STAGE_DELAY;
        timer_set(&c->timer, loop_now_ms + delay_ms);
        return;
    }
    answer_begin(c);
}

/* ---- the front door ---- */

void
answer_init(struct str *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count && i < KEYS_MAX; i++)
        accepted_keys[accepted_key_count++] = keys[i];
    buf_init(&body_buf, SIZE_MAX);
    buf_init(&out_buf, SIZE_MAX);
    buf_init(&gzip_buf, SIZE_MAX);
    started_s = clock_wall_us() / 1000000;
}

void
answer_request(struct conn *c, const struct request *req)
{
    if (req->endpoint == EP_CONTROL) {
        control_request(c, req);
        return;
    }
    stats.requests++;
    last_keep(req);
    cache_candidate = NULL;
    request_answer(c, req);
    cache_candidate = NULL;
}

void
answer_malformed(struct conn *c, const char *why)
{
    struct request none = {.endpoint = EP_NONE};
    char message[120];

    stats.malformed++;
    fprintf(stderr, "sim-upstream: malformed request: %s\n", why);
    call_new(c, &none);
    snprintf(message, sizeof(message), "sim: malformed request: %s", why);
    error_send(c, 400, str_from(message), NULL, NULL);
}

void
answer_continue(struct conn *c)
{
    switch ((enum stage)c->call->stage) {
    case STAGE_DELAY: answer_begin(c); break;
    case STAGE_STREAM: stream_continue(c); break;
    case STAGE_ENDLESS: endless_continue(c); break;
    case STAGE_STALLED: break;
    case STAGE_DONE:
        if (!conn_blocked(c))
            call_end(c, false);
        break;
    }
}
