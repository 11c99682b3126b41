/*
 * Which answer a request gets: refusals, faults that replace the answer, streams, whole bodies.
 */
#include "mock/sim.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16

static struct str accepted_keys[KEYS_MAX];
static size_t accepted_key_count;
static uint64_t seq_last;
static struct buf body_buf;

uint64_t
call_number_next(void)
{
    return ++seq_last;
}

unsigned
key_number(const struct request *req)
{
    struct str key = req->x_api_key;

    if (req->gemini)
        key = req->x_goog_api_key.ptr != NULL ? req->x_goog_api_key
                                              : query_get(req->query, STR("key"));
    else if (str_starts_with(req->authorization, STR("Bearer ")))
        key = (struct str){req->authorization.ptr + 7, req->authorization.len - 7};
    for (size_t i = 0; i < accepted_key_count; i++)
        if (str_eq(key, accepted_keys[i]))
            return (unsigned)i + 1;
    return 0;
}

/* ---- a call's beginning and end ---- */

static struct call *
call_new(struct conn *c, const struct request *req)
{
    struct call *call = calloc(1, sizeof(*call));

    ASSERT(call != NULL);
    faults_clear(&call->faults);
    call->seq = call_number_next();
    call->begin_us = clock_wall_us();
    call->endpoint = (uint8_t)req->endpoint;
    call->gemini = req->gemini;
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
        .tls_version = tls_version(c->tls),
        .tls_suite = tls_suite(c->tls),
    };

    memcpy(record.request_id, call->request_id, sizeof(record.request_id));
    if (call->model != NULL)
        str_copy(str_from(call->model), record.model, sizeof(record.model));
    if (call->endpoint != EP_MODELS && call->endpoint != EP_GEMINI_MODELS)
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
    said_free(call->said);
    websocket_free(call->websocket);
    free(call->stop);
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

/* ---- the answer proper ---- */

/* With a NUL behind it. */
char *
copy_of(struct str s)
{
    char *copy = malloc(s.len + 1);

    ASSERT(copy != NULL);
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

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
    if (call->text_only) {
        whole_send(c, 200, "text/plain; charset=utf-8", buf_str(&body_buf));
        return;
    }
    whole_send(c, 200, "application/json", buf_str(&body_buf));
}

/* How much there will be of each part, within the caller's cap. A tool call that does not fit is
 * left out. */
static void
answer_plan(struct call *call, const struct ask *ask)
{
    const struct faults *f = &call->faults;
    bool talks = call->endpoint == EP_CHAT || call->endpoint == EP_RESPONSES ||
                 call->endpoint == EP_MESSAGES || call->endpoint == EP_GENERATE;
    uint64_t left = ask->output_cap < 0 ? UINT64_MAX : (uint64_t)ask->output_cap;
    bool calls = ask->tool_call || (fault_set(f, F_TOOLS) && !fault_set(f, F_TOOL));
    uint32_t tools = calls ? fault_get(f, F_TOOLS, 1) : 0;
    uint32_t reasoning = fault_get(f, F_REASONING, 0);
    bool blocked = fault_on(f, F_BLOCKED);
    uint32_t words = fault_get(f, F_WORDS, tools > 0 || blocked ? 0 : WORD_DEFAULT);

    if (!talks)
        reasoning = tools = 0;
    if (talks || call->endpoint == EP_COMPLETIONS || call->endpoint == EP_TRANSCRIPTIONS ||
        call->endpoint == EP_TRANSLATIONS)
        said_plan(call, ask, words, tools);
    if (call->said != NULL)
        words = said_count(call->said);
    if (call->stop != NULL || blocked) /* it has stopped before them */
        tools = 0;
    call->reasoning = (uint32_t)MIN((uint64_t)reasoning, left);
    left -= call->reasoning;
    call->words = (uint32_t)MIN((uint64_t)words, left);
    left -= call->words;
    call->tools = (uint32_t)MIN((uint64_t)tools, left / TOOL_PIECES);
    call->cap_reached = call->reasoning < reasoning || call->words < words || call->tools < tools;
    if (call->cap_reached) { /* … before the text came to its stop */
        free(call->stop);
        call->stop = NULL;
    }
}

static void
call_fill(struct call *call, const struct request *req, const struct ask *ask)
{
    bool streams = call->endpoint == EP_CHAT || call->endpoint == EP_COMPLETIONS ||
                   call->endpoint == EP_RESPONSES || call->endpoint == EP_MESSAGES ||
                   call->endpoint == EP_GENERATE || call->endpoint == EP_SPEECH ||
                   call->endpoint == EP_TRANSCRIPTIONS;

    call->media = is_media((enum endpoint)call->endpoint);
    call->raw = call->endpoint == EP_SPEECH;
    call->model = copy_of(ask->model);
    call->faults = ask->faults;
    call->stream = ((ask->stream && !fault_on(&ask->faults, F_WHOLE)) || call->raw ||
                    fault_on(&ask->faults, F_STREAMED)) &&
                   streams;
    call->array = call->stream && call->gemini && !req->sse && ask->stream;
    call->include_usage = ask->include_usage || fault_on(&ask->faults, F_STREAMED);
    call->choices = call->endpoint == EP_CHAT || call->endpoint == EP_COMPLETIONS ||
                            call->endpoint == EP_GENERATE
                        ? ask->choices
                        : 1;
    call->inputs = ask->inputs;
    call->dimensions = ask->dimensions;
    call->base64 = ask->base64;
    call->tool_custom = ask->tool_custom;
    call->encrypted = ask->encrypted;
    call->logprobs = ask->logprobs;
    call->top_logprobs = ask->top_logprobs;
    call->input_tokens = ask->input_tokens;
    answer_plan(call, ask);
    if (call->media)
        media_plan(call, ask);
    if (call->tools > 0)
        call->tool_name = copy_of(ask->tool_name.ptr != NULL ? ask->tool_name : STR("tool"));
    if (fault_on(&call->faults, F_ECHO_AUTH))
        call->echo = copy_of(req->authorization.ptr != NULL ? req->authorization
                             : req->x_api_key.ptr != NULL   ? req->x_api_key
                             : req->x_goog_api_key.ptr != NULL
                                 ? req->x_goog_api_key
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
        /* Gemini's real service says 400 here. */
        *message = req->gemini ? "API key not valid. Please pass a valid API key."
                               : "Incorrect API key provided.";
        return req->gemini ? 400 : 401;
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
    struct str id = req->model;

    if (!req->gemini && req->path.len > prefix)
        id = (struct str){req->path.ptr + prefix, req->path.len - prefix};
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] == '"' || id.ptr[i] == '\\')
            id.len = i;
    call->keep_alive = req->keep_alive;
    body_buf.len = 0;
    if (req->gemini)
        gemini_models_write(&body_buf, id);
    else
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
        error_send(c, status, str_from(message), NULL,
                   status == 400 && req->gemini ? "API_KEY_INVALID" : NULL);
        return;
    }
    if (req->endpoint == EP_MODELS || req->endpoint == EP_GEMINI_MODELS) {
        models_answer(c, req);
        return;
    }
    if (req->endpoint == EP_FILES || req->endpoint == EP_BATCHES) {
        call_new(c, req)->keep_alive = req->keep_alive;
        faults_default_take(&c->call->faults);
        if (!fault_answer(c))
            files_answer(c, req);
        return;
    }
    if (req->endpoint == EP_REALTIME) {
        call_new(c, req);
        websocket_begin(c, req);
        return;
    }
    if (kept_answer(c, req))
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
        kept_candidate(req);
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
    whole_init();
    wrong_init();
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
    kept_candidate(NULL);
    request_answer(c, req);
    kept_candidate(NULL);
}

void
answer_malformed(struct conn *c, const char *why)
{
    struct request none = {.endpoint = EP_NONE};
    char message[120];

    stats.malformed++;
    fprintf(stderr, "turnpike: mock: malformed request: %s\n", why);
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
