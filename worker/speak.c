#include "worker/speak.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/foreign.h"
#include "proto/gemini_embed.h"
#include "proto/translate.h"
#include "worker/call.h"
#include "worker/kept.h"

#define SPOKEN_BYTES_KEPT (256u << 10)
#define ESCAPES_ROOM (64u << 10) /* what a translated body has beyond twice the client's */

struct speech {
    struct translate t;
    struct buf body;    /* for this candidate: */
    uint16_t upstream_idx, model_idx;
    bool written;
    bool translates;    /* the try under way is a translation */
    bool cap_raised;    /* the call's cap has the budget of its thinking */
    bool collects;      /* the client wants a whole answer, the upstream streams */
    bool base64;        /* embeddings: how the client wants the numbers */
    bool list_begun;    /* Gemini's list of answers has its first bracket */
};

static const enum proto_protocol preference[] = {PROTO_RESPONSES, PROTO_ANTHROPIC, PROTO_GEMINI,
                                                 PROTO_OPENAI};

static const struct route_candidate *
candidate_of(const struct call *call)
{
    return call->at;
}

static bool
no_memory(struct proto_error *error)
{
    error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
    error->retry_after_s = 1;
    return false;
}

static struct speech *
speech_of(struct call *call)
{
    struct speech *s = call->speech;

    if (s != NULL)
        return s;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    translate_init(&s->t, (enum proto_endpoint)call->endpoint,
                   call->worker->limits->response_body_bytes);
    buf_init(&s->body, 2 * call->ask.body.len + ESCAPES_ROOM);
    call->speech = s;
    return s;
}

/* ---- the request ---- */

static bool
is_native(const struct call *call, const struct conf_upstream *upstream)
{
    if ((upstream->protocols & CONF_PROTOCOL_BIT(call->protocol)) == 0)
        return false;
    return call->endpoint != ENDPOINT_COMPLETIONS || upstream->completions;
}

static bool
decode(struct call *call, struct speech *s, struct proto_error *error)
{
    return s->t.decoded || translate_decode(&s->t, call->ask.body, call->ask.stream, error);
}

static struct chat_target
target_of(const struct call *call, const char *tag)
{
    const struct route_candidate *candidate = candidate_of(call);
    const struct conf_model *model = &call->worker->conf->models[candidate->model_idx];
    const struct conf_upstream *upstream = call_upstream(call);

    return (struct chat_target){
        .model_json = candidate->model_json,
        .stream = call->ask.stream,
        .output_max = (uint32_t)MIN(model->output_tokens_max, (uint64_t)UINT32_MAX),
        .can_think = model->can >> CONF_CAN_THINKING & 1,
        .think_by_effort = model->thinking == CONF_THINKING_EFFORT,
        .no_sampling = !model->sampling,
        .no_schemas = !model->schemas,
        .max_tokens_old = upstream->max_tokens_old,
        .takes_reasoning = upstream->takes_reasoning,
        .takes_system_later = upstream->system_later,
        .tag = tag,
    };
}

/* Anthropic counts the tokens of thinking within the cap, so that the caller's is raised by them: what
 * is held has to reach as far. */
static void
allow_for_thinking(struct call *call, struct speech *s)
{
    const struct chat_request *r = &s->t.request;
    uint32_t budget = r->thinking_budget;

    if (r->thinking != CHAT_THINKING_ON || !call->ask.has_output_cap || s->cap_raised)
        return;
    if (budget == 0)
        budget = chat_budget_of(r->effort != CHAT_EFFORT_UNSET ? r->effort : CHAT_EFFORT_MEDIUM);
    call->ask.output_cap += MIN(budget, UINT32_MAX - call->ask.output_cap);
    s->cap_raised = true;
}

/* In this protocol: the body, for the candidate. */
static bool
encode(struct call *call, struct speech *s, enum proto_protocol protocol,
       struct proto_error *error)
{
    const struct route_candidate *candidate = candidate_of(call);
    enum proto_endpoint upstream = codec_endpoint(protocol);
    struct chat_target target;
    char tag[CODEC_TAG_CAP];

    codec_tag(protocol, call->worker->conf->models[candidate->model_idx].family, tag);
    target = target_of(call, tag);
    s->body.len = 0;
    s->body.failed = false;
    if (!translate_encode(&s->t, upstream, &target, &s->body, error))
        return false;
    if (upstream == ENDPOINT_MESSAGES && !target.think_by_effort && target.can_think)
        allow_for_thinking(call, s);
    call->up_endpoint = (uint8_t)upstream;
    s->written = s->translates = true;
    s->upstream_idx = candidate->upstream_idx;
    s->model_idx = candidate->model_idx;
    return true;
}

/* Embeddings in OpenAI's shape, of a Gemini upstream. */
static bool
embed_for(struct call *call, struct speech *s, struct proto_error *error)
{
    const struct route_candidate *candidate = candidate_of(call);
    struct js_value document;
    struct js_error ignored;

    s->body.len = 0;
    s->body.failed = false;
    if (!js_check(call->ask.body, &document, &ignored) ||
        !gemini_embed_request(document, candidate->model_sent, &call->arena, &s->base64, &s->body,
                              error))
        return false;
    call->up_endpoint = ENDPOINT_GEMINI_EMBED;
    s->written = s->translates = true;
    s->upstream_idx = candidate->upstream_idx;
    s->model_idx = candidate->model_idx;
    return true;
}

/* The first protocol of the upstream's in which it can be said; else why not in the first one. */
static bool
translate_for(struct call *call, struct speech *s, struct proto_error *error)
{
    const struct conf_upstream *upstream = call_upstream(call);
    struct proto_error other, *where = error;
    bool any = false;

    for (size_t i = 0; i < COUNT_OF(preference); i++) {
        enum proto_endpoint endpoint = codec_endpoint(preference[i]);

        if ((upstream->protocols & CONF_PROTOCOL_BIT(preference[i])) == 0 ||
            endpoint == call->endpoint ||
            !translate_can((enum proto_endpoint)call->endpoint, endpoint))
            continue;
        if (encode(call, s, preference[i], where))
            return true;
        any = true;
        where = &other;
    }
    if (!any)
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL,
                  "turnpike: upstream %.*s does not take such calls", STR_ARGS(upstream->name));
    return false;
}

bool
speak_prepare(struct call *call, struct proto_error *error)
{
    const struct route_candidate *candidate = candidate_of(call);
    struct speech *s = call->speech;

    if (is_native(call, call_upstream(call))) {
        call->up_endpoint = (uint8_t)kept_endpoint(call);
        if (s != NULL)
            s->translates = false;
        return true;
    }
    s = speech_of(call);
    if (s == NULL)
        return no_memory(error);
    if (s->written && s->upstream_idx == candidate->upstream_idx &&
        s->model_idx == candidate->model_idx) {
        call->up_endpoint = call->endpoint == ENDPOINT_EMBEDDINGS ? (uint8_t)ENDPOINT_GEMINI_EMBED
                                                                  : (uint8_t)s->t.upstream;
        s->translates = true;
        return true;
    }
    s->written = false;
    if (call->endpoint == ENDPOINT_EMBEDDINGS)
        return embed_for(call, s, error);
    if (s->t.from == NULL) { /* no conversation: only its own protocol will do */
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL,
                  "turnpike: upstream %.*s does not take such calls",
                  STR_ARGS(call_upstream(call)->name));
        return false;
    }
    return decode(call, s, error) && translate_for(call, s, error);
}

bool
speak_admit(struct call *call, struct proto_error *error)
{
    struct proto_error other, *where = error;
    struct route_plan *plan = call->plan;

    while (plan->candidate_count > 0) {
        call->candidate = 0;
        if (speak_prepare(call, where))
            return true;
        if (call->speech != NULL && !call->speech->t.decoded)
            return false; /* the request itself is at fault, wherever it goes */
        where = &other;
        plan->candidate_count--;
        memmove(plan->candidates, plan->candidates + 1,
                plan->candidate_count * sizeof *plan->candidates);
    }
    return false;
}

static struct str
gemini_action(const struct call *call)
{
    if (call->endpoint == call->up_endpoint)
        return call->ask.action;
    if (call->endpoint == ENDPOINT_EMBEDDINGS)
        return STR("batchEmbedContents");
    return call->ask.stream ? STR("streamGenerateContent") : STR("generateContent");
}

bool
speak_target(const struct call *call, char *out, size_t out_cap, struct str *path,
             struct str *query)
{
    enum proto_endpoint endpoint = (enum proto_endpoint)call->up_endpoint;

    if (proto_is_file(endpoint)) {
        struct str both = proto_file_path(endpoint, call->ask.file->id, kept_query(call), out,
                                          out_cap);

        *path = str_split(both, '?', query);
        return both.ptr != NULL;
    }
    if (proto_of(endpoint) == PROTO_GEMINI) {
        struct str both = proto_gemini_path(candidate_of(call)->model_sent, gemini_action(call),
                                            out, out_cap);

        *path = str_split(both, '?', query);
        return both.ptr != NULL;
    }
    *path = proto_upstream_path(endpoint);
    *query = call->endpoint == call->up_endpoint ? proto_upstream_query(endpoint, call->query)
                                                 : STR_NONE;
    if (query->len > 1) /* comes with its question mark */
        *query = (struct str){query->ptr + 1, query->len - 1};
    else
        *query = STR_NONE;
    return true;
}

/* The caller's own bytes, but for what other providers have signed: one piece. */
static bool
pass_own(struct call *call, struct ask_pieces *out)
{
    struct speech *s = speech_of(call);
    struct buf joined;
    bool stripped;

    if (s == NULL)
        return false;
    buf_init(&joined, out->total_len);
    for (size_t i = 0; i < out->count; i++)
        buf_add_str(&joined, out->list[i]);
    s->written = false;
    s->body.len = 0;
    s->body.failed = joined.failed;
    stripped = !joined.failed &&
               foreign_strip((enum proto_endpoint)call->endpoint, buf_str(&joined), &s->body);
    buf_free(&joined);
    if (stripped)
        *out = (struct ask_pieces){
            .list = {buf_str(&s->body)}, .count = 1, .total_len = s->body.len};
    return !s->body.failed;
}

bool
speak_body(struct call *call, struct ask_pieces *out)
{
    if (call->speech != NULL && call->speech->translates) {
        *out = (struct ask_pieces){.list = {buf_str(&call->speech->body)},
                                   .count = 1,
                                   .total_len = call->speech->body.len};
        return true;
    }
    if (!ask_splices(&call->ask, candidate_of(call)->model_sent, &call->arena, out))
        return false;
    return !foreign_suspected((enum proto_endpoint)call->endpoint, call->ask.body) ||
           pass_own(call, out);
}

/* ---- the answer ---- */

static struct chat_frame
frame_of(const struct call *call)
{
    const struct route_candidate *candidate = candidate_of(call);
    const struct str quoted = candidate->model_json;
    struct chat_frame frame = {
        .id = {call->id_text, CALL_ID_LEN},
        .model = {quoted.ptr + 1, quoted.len - 2},
        .created_s = call->start_wall_us / 1000000,
        .input_estimate = call->input_estimate,
        .include_usage = call->ask.usage_asked,
        .include_encrypted = true,
        .json_array = call->ask.json_array,
    };

    /* What both speak the same keeps its signatures as they are. */
    if (call->endpoint != call->up_endpoint)
        codec_tag(proto_of((enum proto_endpoint)call->up_endpoint),
                  call->worker->conf->models[candidate->model_idx].family, frame.tag);
    return frame;
}

void
speak_answer(struct call *call)
{
    struct speech *s = call->speech;
    struct chat_frame frame;

    call->speaks = s != NULL && s->translates;
    call->up_stream = call->ask.stream;
    if (s == NULL)
        return;
    s->collects = s->list_begun = false;
    if (!s->translates || call->endpoint == ENDPOINT_EMBEDDINGS)
        return;
    frame = frame_of(call);
    translate_answer(&s->t, (enum proto_endpoint)call->up_endpoint, &frame, !call->ask.stream);
}

bool
speak_adapt(struct call *call, bool upstream_streams)
{
    enum proto_endpoint upstream = (enum proto_endpoint)call->up_endpoint;
    struct speech *s = speech_of(call);
    struct chat_frame frame;

    if (s == NULL || !translate_can((enum proto_endpoint)call->endpoint, upstream))
        return false;
    if (!s->translates) {
        frame = frame_of(call);
        translate_look(&s->t, call->ask.body);
        translate_answer(&s->t, upstream, &frame, !call->ask.stream);
        s->translates = call->speaks = true;
    }
    s->collects = upstream_streams;
    call->up_stream = upstream_streams;
    return true;
}

bool
speak_collects(const struct call *call)
{
    return call->speech != NULL && call->speaks && call->speech->collects;
}

/* Gemini without alt=sse: what its events hold, as elements of a list. */
static bool
list_element(struct call *call, const struct sse_event *event, struct buf *out)
{
    struct speech *s = speech_of(call);

    if (s == NULL)
        return false;
    if (event->comment_only)
        return true;
    buf_add_str(out, s->list_begun ? STR(",\r\n") : STR("["));
    s->list_begun = true;
    return buf_add_str(out, str_trim(event->data));
}

static bool
append_event(struct call *call, const struct sse_event *event, struct buf *out)
{
    if (!call->speaks)
        return list_element(call, event, out);
    return translate_event(&call->speech->t, event, out);
}

/* Nothing of what it held is waited for any more. A large one is given back. */
static void
begin_afresh(struct buf *out)
{
    out->len = 0;
    if (out->cap > SPOKEN_BYTES_KEPT) {
        size_t cap_max = out->cap_max;

        buf_free(out);
        buf_init(out, cap_max);
    }
}

/* What is gathered is all in one buffer, which may move as it grows. */
static void
gather_all(struct gather *g, struct str text)
{
    g->count = text.len > 0;
    g->parts[0] = text;
}

bool
speak_event(struct call *call, const struct sse_event *event, struct gather *g)
{
    struct buf *out = &call->worker->spoken;

    if (g->count == 0)
        begin_afresh(out);
    if (!append_event(call, event, out) || out->failed) {
        out->failed = false;
        return false;
    }
    gather_all(g, buf_str(out));
    return true;
}

bool
speak_last(struct call *call, const struct sse_event *event, struct gather *g, struct str *last)
{
    struct buf *out = &call->worker->spoken;
    size_t before;
    bool read = true;

    if (g->count == 0)
        begin_afresh(out);
    before = out->len;
    if (event != NULL)
        read = append_event(call, event, out);
    if (call->speaks)
        read = read && translate_end(&call->speech->t, out);
    if (!read || out->failed) {
        out->failed = false;
        return false;
    }
    gather_all(g, (struct str){out->ptr, before});
    *last = out->len > before ? (struct str){out->ptr + before, out->len - before} : STR_NONE;
    return true;
}

bool
speak_whole(struct call *call, struct str body, struct buf *out)
{
    struct translate *t = &call->speech->t;
    struct js_value document;
    struct js_error ignored;

    ASSERT(call->speaks);
    if (call->endpoint == ENDPOINT_EMBEDDINGS)
        return js_check_lenient(body, &document, NULL, &ignored) &&
               gemini_embed_answer(document, candidate_of(call)->model_sent,
                                   call->speech->base64, out);
    if (body.ptr != NULL && (!js_check_lenient(body, &document, NULL, &ignored) ||
                             !translate_document(t, document, out)))
        return false;
    return call->ask.stream ? !out->failed : translate_whole(t, out);
}

void
speak_error_field(const struct call *call, struct proto_error *error)
{
    size_t len = strcspn(error->param, ".[");
    struct js_value document;
    struct js_error ignored;

    if (call->endpoint == call->up_endpoint || len == 0)
        return;
    if (!js_check(call->ask.body, &document, &ignored) ||
        js_get(document, (struct str){error->param, len}).type == JS_NONE)
        error->param[0] = '\0';
}

void
speak_error(const struct call *call, const struct proto_error *error, struct buf *out)
{
    enum proto_endpoint endpoint = (enum proto_endpoint)call->endpoint;
    const struct str id = {call->id_text, CALL_ID_LEN};
    uint64_t sequence = call->speaks ? call->speech->t.writer.sequence : call->meter.sequence_next;
    bool begun;

    if (!call->ask.json_array) {
        error_write_event(out, endpoint, error, sequence, id);
        return;
    }
    begun = call->speaks ? call->speech->t.writer.started
                         : call->speech != NULL && call->speech->list_begun;
    buf_add_str(out, begun ? STR(",\r\n") : STR("["));
    error_write_body(out, PROTO_GEMINI, error, id);
    buf_add_str(out, STR("]"));
}

struct str
speak_end_mark(const struct call *call)
{
    if (call->speaks)
        return STR_NONE; /* its encoder's */
    if (call->ask.json_array)
        return call->speech != NULL && call->speech->list_begun ? STR("]") : STR("[]");
    return error_stream_end_mark((enum proto_endpoint)call->endpoint);
}

struct str
speak_content_type(const struct call *call)
{
    if (!call->speaks && !call->ask.json_array)
        return STR_NONE;
    return call->ask.stream && !call->ask.json_array ? STR("text/event-stream")
                                                     : STR("application/json");
}

struct str
speak_dropped(const struct call *call)
{
    const struct speech *s = call->speech;

    if (s == NULL || !s->translates || !s->written)
        return STR_NONE;
    return (struct str){s->t.drops.text, s->t.drops.len};
}

/* ---- ends ---- */

void
speak_forget_request(struct call *call)
{
    struct speech *s = call->speech;

    if (s == NULL)
        return;
    buf_free(&s->body);
    if (s->t.decoded)
        translate_forget_request(&s->t);
}

void
speak_free(struct call *call)
{
    if (call->speech == NULL)
        return;
    translate_free(&call->speech->t);
    buf_free(&call->speech->body);
    free(call->speech);
    call->speech = NULL;
}
