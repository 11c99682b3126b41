/*
 * Writes generationConfig: knobs, limits, the form of the answer, how much is to be thought. What
 * Gemini has not is dropped and named.
 */
#include "base/jw.h"
#include "base/str.h"
#include "proto/gemini_in.h"

/* What every model of 2.5 takes: beyond it some refuse. */
#define BUDGET_MAX 24576

struct config {
    const struct chat_request *r;
    const struct chat_target *target;
    struct chat_drops *drops;
    struct proto_error *error;
    struct jw *jw;
};

static void
write_knobs(const struct config *w)
{
    static const struct {
        enum chat_knob knob;
        const char *name;
        bool sampling;
    } rows[] = {
        {CHAT_TEMPERATURE, "temperature", true},
        {CHAT_TOP_P, "topP", true},
        {CHAT_TOP_K, "topK", true},
        {CHAT_SEED, "seed", false},
        {CHAT_PRESENCE_PENALTY, "presencePenalty", false},
        {CHAT_FREQUENCY_PENALTY, "frequencyPenalty", false},
    };
    unsigned taken = 0;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct js_value value = w->r->knobs[rows[i].knob].value;

        if (value.type == JS_NONE || (rows[i].sampling && w->target->no_sampling))
            continue;
        taken |= 1u << rows[i].knob;
        jw_key_js(w->jw, rows[i].name, value);
    }
    codec_drop_knobs(w->r, taken, w->drops);
}

static bool
write_limits(const struct config *w)
{
    const struct chat_request *r = w->r;
    struct jw *jw = w->jw;
    uint32_t output_max = r->output_max;

    if (output_max > 0 && w->target->output_max > 0)
        output_max = MIN(output_max, w->target->output_max);
    if (output_max > 0)
        jw_key_u64(jw, "maxOutputTokens", output_max);
    if (r->choice_count > GEMINI_CHOICES_MAX)
        return chat_refuse(r, r->choice_count_at, w->error, "must not be above %d for this model",
                           GEMINI_CHOICES_MAX);
    if (r->choice_count > 1)
        jw_key_u64(jw, "candidateCount", r->choice_count);
    if (r->stop_count > GEMINI_STOPS_MAX)
        return chat_refuse(r, r->stop_at, w->error,
                           "must not have more than %d elements for this model", GEMINI_STOPS_MAX);
    if (r->stop_count > 0) {
        jw_key(jw, "stopSequences");
        jw_array(jw);
        for (size_t i = 0; i < r->stop_count; i++)
            jw_js(jw, r->stops[i]);
        jw_array_end(jw);
    }
    if (r->logprobs) {
        jw_key_bool(jw, "responseLogprobs", true);
        if (r->top_logprobs > 0)
            jw_key_u64(jw, "logprobs", r->top_logprobs);
    }
    return true;
}

static void
write_format(const struct config *w)
{
    if (w->r->format == CHAT_FORMAT_TEXT)
        return;
    jw_key_cstr(w->jw, "responseMimeType", "application/json");
    if (w->r->format == CHAT_FORMAT_SCHEMA && w->r->schema.type == JS_OBJECT)
        jw_key_js(w->jw, "responseJsonSchema", w->r->schema);
}

static void
write_level(const struct config *w)
{
    static const char *const levels[CHAT_EFFORT_COUNT] = {
        [CHAT_EFFORT_MINIMAL] = "MINIMAL", [CHAT_EFFORT_LOW] = "LOW",
        [CHAT_EFFORT_MEDIUM] = "MEDIUM",   [CHAT_EFFORT_HIGH] = "HIGH",
        [CHAT_EFFORT_XHIGH] = "HIGH",      [CHAT_EFFORT_MAX] = "HIGH",
    };
    const struct chat_request *r = w->r;
    enum chat_effort effort = r->effort;

    if (effort == CHAT_EFFORT_UNSET && r->thinking_budget > 0)
        effort = codec_effort_of(r->thinking_budget);
    /* These do not stop thinking altogether. */
    if (r->thinking == CHAT_THINKING_OFF)
        effort = CHAT_EFFORT_MINIMAL;
    if (effort != CHAT_EFFORT_UNSET)
        jw_key_cstr(w->jw, "thinkingLevel", levels[effort]);
}

static void
write_budget(const struct config *w)
{
    const struct chat_request *r = w->r;
    uint32_t budget = r->thinking_budget;

    if (budget == 0)
        budget = chat_budget_of(r->effort);
    if (r->thinking == CHAT_THINKING_OFF)
        jw_key_u64(w->jw, "thinkingBudget", 0);
    else if (budget > 0)
        jw_key_u64(w->jw, "thinkingBudget", MIN(budget, (uint32_t)BUDGET_MAX));
    else if (r->thinking == CHAT_THINKING_ON)
        jw_key_i64(w->jw, "thinkingBudget", -1);
}

static void
write_thinking(const struct config *w)
{
    const struct chat_request *r = w->r;
    bool off = r->thinking == CHAT_THINKING_OFF;
    bool asked = r->thinking == CHAT_THINKING_ON || r->effort != CHAT_EFFORT_UNSET ||
                 r->thinking_budget > 0 || r->thinking_shown;

    if (!w->target->can_think) {
        if (asked && !off)
            chat_drop(w->drops, codec_thinking_name(r));
        return;
    }
    /* Where levels are spoken, the model thinks as it sees fit without one. */
    if (w->target->think_by_effort && r->effort == CHAT_EFFORT_UNSET && r->thinking_budget == 0)
        asked = r->thinking_shown;
    if (!asked && !off)
        return;
    jw_key(w->jw, "thinkingConfig");
    jw_object(w->jw);
    if (w->target->think_by_effort)
        write_level(w);
    else
        write_budget(w);
    if (r->thinking_shown && !off)
        jw_key_bool(w->jw, "includeThoughts", true);
    jw_object_end(w->jw);
}

bool
gemini_write_config(const struct chat_request *r, const struct chat_target *target,
                    struct chat_drops *drops, struct jw *jw, struct proto_error *error)
{
    const struct config config = {r, target, drops, error, jw};
    const struct config *w = &config;
    size_t start = jw->buf->len, empty;

    jw_key(jw, "generationConfig");
    jw_object(jw);
    empty = jw->buf->len;
    write_knobs(w);
    if (!write_limits(w))
        return false;
    write_format(w);
    write_thinking(w);
    jw_object_end(jw);
    /* Taken back where nothing came in; it is the last member. */
    if (!jw->buf->failed && jw->buf->len == empty + 1)
        jw->buf->len = start;
    return true;
}
