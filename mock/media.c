/*
 * Pictures, sound, moderation and ranking: what is paid by other units than tokens. A picture is
 * always the same dot, a word of speech any 1000 bytes, and what was heard the endless text.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

#define SPEECH_BYTES 1000u  /* for each word asked for */
#define PICTURE_TOKENS 272u /* output of one */
#define SECONDS_DEFAULT 3u  /* of sound that came */
#define SEARCH_UNIT_DOCUMENTS 100u

/* A PNG of one transparent dot. */
static const char dot[] = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAA"
                          "AAYAAjCB0C8AAAAASUVORK5CYII=";

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

bool
is_media(enum endpoint ep)
{
    return ep >= EP_IMAGES && ep <= EP_RERANK;
}

static bool
model_has(const struct call *call, struct str part)
{
    return str_contains(str_from(call->model), part);
}

/* Sound is paid by its length with older models, and whenever `seconds` is set. */
static bool
paid_by_seconds(const struct call *call)
{
    return fault_set(&call->faults, F_SECONDS) || model_has(call, STR("whisper"));
}

void
media_plan(struct call *call, const struct ask *ask)
{
    call->choices = 1;
    call->inputs = ask->inputs;
    call->base64 = !str_eq(ask->format, STR("url"));
    call->text_only = (call->endpoint == EP_TRANSCRIPTIONS || call->endpoint == EP_TRANSLATIONS) &&
                      (str_eq(ask->format, STR("text")) || str_eq(ask->format, STR("srt")) ||
                       str_eq(ask->format, STR("vtt")));
    call->verbose = str_eq(ask->format, STR("verbose_json"));
    switch ((enum endpoint)call->endpoint) {
    case EP_IMAGES:
    case EP_IMAGE_EDITS: call->inputs = ask->choices; break;
    case EP_SPEECH: call->characters = ask->characters; break;
    case EP_RERANK: {
        struct js_value key, value;
        struct js_iter it;

        call->inputs = 0;
        for (js_iter_init(&it, ask->documents); js_next(&it, &key, &value);)
            call->inputs++;
        call->dimensions = MIN(call->inputs, ask->top_n);
        break;
    }
    default: break;
    }
}

/* ---- pictures ---- */

static void
images_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;
    const struct faults *f = &call->faults;

    u->images = fault_get(f, F_IMAGES, call->inputs);
    buf_add_fmt(out, "{\"created\":%lld,\"data\":[", (long long)started_s);
    for (uint32_t i = 0; i < u->images; i++) {
        add(out, i > 0 ? "," : "");
        if (call->base64)
            buf_add_fmt(out, "{\"b64_json\":\"%s\"}", dot);
        else
            buf_add_fmt(out, "{\"url\":\"http://127.0.0.1:1/sim%016llx-%u.png\"}",
                        (unsigned long long)call->seq, i);
    }
    add(out, "]");
    if (!model_has(call, STR("gpt-image"))) {
        u->input = 0; /* such models know no tokens */
        add(out, "}");
        return;
    }
    u->output = (uint64_t)u->images * PICTURE_TOKENS;
    unsigned long long pictures = fault_get(f, F_IMAGE_IN, 0), text = u->input;
    u->input += pictures;
    add(out, ",\"output_format\":\"png\",\"quality\":\"low\",\"size\":\"1024x1024\"");
    if (!fault_on(f, F_NO_USAGE))
        buf_add_fmt(out,
                    ",\"usage\":{\"input_tokens\":%llu,\"input_tokens_details\":"
                    "{\"text_tokens\":%llu,\"image_tokens\":%llu},\"output_tokens\":%llu,"
                    "\"total_tokens\":%llu}",
                    text + pictures, text, pictures, (unsigned long long)u->output,
                    (unsigned long long)u->output + text + pictures);
    add(out, "}");
}

/* ---- sound ---- */

bool
speech_next(struct call *call)
{
    if (call->at >= call->words) {
        phase_go(call, PHASE_END);
        return false;
    }
    if (call->at == 0)
        call->used.characters = fault_get(&call->faults, F_CHARACTERS, call->characters);
    if (!model_has(call, STR("gpt-")))
        call->used.input = 0; /* such models are paid by characters alone */
    call->at++;
    if (buf_reserve(&event, SPEECH_BYTES)) {
        memset(event.ptr, (int)(call->at & 0x7f), SPEECH_BYTES);
        event.len = SPEECH_BYTES;
    }
    return true;
}

static void
transcript_usage_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;
    unsigned long long sound = fault_get(&call->faults, F_AUDIO_IN, 0);

    if (fault_on(&call->faults, F_NO_USAGE))
        return;
    if (paid_by_seconds(call)) {
        buf_add_fmt(out, ",\"usage\":{\"type\":\"duration\",\"seconds\":%u}", u->seconds);
        return;
    }
    unsigned long long input = u->input + sound, output = u->output;
    buf_add_fmt(out,
                ",\"usage\":{\"type\":\"tokens\",\"input_tokens\":%llu,\"input_token_details\":"
                "{\"text_tokens\":%llu,\"audio_tokens\":%llu},\"output_tokens\":%llu,"
                "\"total_tokens\":%llu}",
                input, input - sound, sound, output, input + output);
}

/* What was heard is used up from the first word on. */
static void
transcript_count(struct call *call)
{
    if (!paid_by_seconds(call))
        return;
    call->used.seconds = fault_get(&call->faults, F_SECONDS, SECONDS_DEFAULT);
    call->used.input = 0;
}

static void
transcript_write(struct call *call, struct buf *out)
{
    transcript_count(call);
    call->used.output = paid_by_seconds(call) ? 0 : call->words;
    if (call->text_only) {
        answer_read(call, out);
        buf_add_char(out, '\n');
        return;
    }
    add(out, "{\"text\":\"");
    answer_text(call, out);
    add(out, "\"");
    if (call->verbose)
        buf_add_fmt(out,
                    ",\"task\":\"%s\",\"language\":\"english\",\"duration\":%u,"
                    "\"segments\":[]",
                    call->endpoint == EP_TRANSLATIONS ? "translate" : "transcribe",
                    fault_get(&call->faults, F_SECONDS, SECONDS_DEFAULT));
    transcript_usage_write(call, out);
    add(out, "}");
}

bool
transcript_next(struct call *call)
{
    if (call->phase == PHASE_END)
        return false;
    transcript_count(call);
    if (call->at < call->words) {
        add(&event, "{\"type\":\"transcript.text.delta\",\"delta\":\"");
        answer_piece(call, &event, call->at++);
        add(&event, "\"}");
        call->used.output += !paid_by_seconds(call);
        return true;
    }
    phase_go(call, PHASE_END);
    if (fault_on(&call->faults, F_NO_DONE))
        return false;
    add(&event, "{\"type\":\"transcript.text.done\",\"text\":\"");
    answer_text(call, &event);
    add(&event, "\"");
    transcript_usage_write(call, &event);
    add(&event, "}");
    return true;
}

/* ---- moderation and ranking ---- */

static void
moderations_write(struct call *call, struct buf *out)
{
    call->used.input = 0; /* it is free */
    buf_add_fmt(out, "{\"id\":\"modr-sim%016llx\",\"model\":\"%s\",\"results\":[",
                (unsigned long long)call->seq, model_named(call));
    for (uint32_t i = 0; i < call->inputs; i++)
        buf_add_fmt(out,
                    "%s{\"flagged\":%s,\"categories\":{\"violence\":%s},"
                    "\"category_scores\":{\"violence\":%s}}",
                    i > 0 ? "," : "", fault_on(&call->faults, F_BLOCKED) ? "true" : "false",
                    fault_on(&call->faults, F_BLOCKED) ? "true" : "false",
                    fault_on(&call->faults, F_BLOCKED) ? "0.875" : "0.125");
    add(out, "]}");
}

/* The last document fits best. Cohere's books count searches, Jina's tokens: both are here. */
static void
rerank_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;
    uint32_t units = (call->inputs + SEARCH_UNIT_DOCUMENTS - 1) / SEARCH_UNIT_DOCUMENTS;

    u->searches = fault_get(&call->faults, F_SEARCHES, MAX(units, 1u));
    buf_add_fmt(out, "{\"id\":\"sim%016llx\",\"model\":\"%s\",\"object\":\"list\",\"results\":[",
                (unsigned long long)call->seq, model_named(call));
    for (uint32_t i = 0; i < call->dimensions; i++)
        buf_add_fmt(out, "%s{\"index\":%u,\"relevance_score\":%.6f}", i > 0 ? "," : "",
                    call->inputs - 1 - i, 1.0 / (1 + i));
    add(out, "]");
    if (!fault_on(&call->faults, F_NO_USAGE))
        buf_add_fmt(out,
                    ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu},\"meta\":"
                    "{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"search_units\":%u}}",
                    (unsigned long long)u->input, (unsigned long long)u->input, u->searches);
    add(out, "}");
}

void
media_write(struct call *call, struct buf *out)
{
    switch ((enum endpoint)call->endpoint) {
    case EP_IMAGES:
    case EP_IMAGE_EDITS: images_write(call, out); break;
    case EP_TRANSCRIPTIONS:
    case EP_TRANSLATIONS: transcript_write(call, out); break;
    case EP_MODERATIONS: moderations_write(call, out); break;
    case EP_RERANK: rerank_write(call, out); break;
    default: ASSERT(!"an endpoint of media's");
    }
}
