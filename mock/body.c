/* Answers as one JSON body, in the shape of each protocol. */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

uint32_t
reasoning_shown(const struct call *call)
{
    return fault_on(&call->faults, F_HIDE_REASONING) ? 0 : call->reasoning;
}

const char *
model_named(const struct call *call)
{
    uint32_t from = fault_get(&call->faults, F_OTHER_MODEL, UINT32_MAX);

    return from == UINT32_MAX || (call->stream && call->events < from) ? call->model
                                                                        : "another-model";
}

const char *
stop_reason(const struct call *call)
{
    const struct faults *f = &call->faults;
    bool blocked = fault_on(f, F_BLOCKED);
    bool calls = call->tools > 0 && !fault_on(f, F_STOP_WITH_CALLS);

    if (fault_set(f, F_FINISH))
        return fault_text(f, F_FINISH).ptr;
    if (call->endpoint == EP_MESSAGES)
        return blocked              ? "refusal"
               : call->cap_reached  ? "max_tokens"
               : calls              ? "tool_use"
               : call->stop != NULL ? "stop_sequence"
                                    : "end_turn";
    if (call->endpoint == EP_GENERATE)
        return call->cap_reached ? "MAX_TOKENS" : "STOP";
    return blocked             ? "content_filter"
           : call->cap_reached ? "length"
           : calls             ? "tool_calls"
                               : "stop";
}

/* ---- OpenAI chat and completions ---- */

/* A call up to where its arguments, or the text of a custom one, begin. */
void
chat_call_open(const struct call *call, struct buf *out, uint32_t choice, uint32_t tool)
{
    const char *type = call->tool_custom ? "custom" : "function";

    buf_add_char(out, '{');
    if (call->stream && !fault_on(&call->faults, F_NO_INDEX))
        buf_add_fmt(out, "\"index\":%u,", tool);
    buf_add_fmt(out,
                "\"id\":\"call_sim%016llx_%u_%u\",\"type\":\"%s\",\"%s\":{\"name\":\"%s\","
                "\"%s\":\"",
                (unsigned long long)call->seq, choice, tool, type, type, call->tool_name,
                call->tool_custom ? "input" : "arguments");
}

const char *
reasoning_field(const struct call *call)
{
    return fault_set(&call->faults, F_REASONING_FIELD)
               ? fault_text(&call->faults, F_REASONING_FIELD).ptr
               : "reasoning_content";
}

void
chat_logprobs_write(const struct call *call, struct buf *out, uint32_t from, uint32_t to)
{
    if (!call->logprobs) {
        add(out, "null");
        return;
    }
    add(out, "{\"content\":");
    logprobs_write(call, out, from, to);
    add(out, ",\"refusal\":null}");
}

static void
chat_tools_write(const struct call *call, struct buf *out, uint32_t choice)
{
    add(out, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < call->tools; i++) {
        add(out, i > 0 ? "," : "");
        chat_call_open(call, out, choice, i);
        tool_arguments(out, call, i);
        add(out, "\"}}");
    }
    add(out, "]");
}

static void
chat_choice_write(const struct call *call, struct buf *out, uint32_t choice)
{
    buf_add_fmt(out, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":",
                choice > 0 ? "," : "", choice);
    if (call->words == 0 && call->tools > 0) {
        add(out, "null");
    } else {
        add(out, "\"");
        answer_text(call, out);
        add(out, "\"");
    }
    if (reasoning_shown(call) > 0) {
        buf_add_fmt(out, ",\"%s\":\"", reasoning_field(call));
        text_words(out, call->reasoning, 0, 0);
        add(out, "\"");
    }
    add(out, ",\"refusal\":null,\"annotations\":[]");
    if (call->tools > 0)
        chat_tools_write(call, out, choice);
    add(out, "},\"logprobs\":");
    chat_logprobs_write(call, out, 0, call->words);
    buf_add_fmt(out, ",\"finish_reason\":\"%s\"}", stop_reason(call));
}

static void
chat_write(const struct call *call, struct buf *out)
{
    buf_add_fmt(out,
                "{\"id\":\"chatcmpl-sim%016llx\",\"object\":\"chat.completion\",\"created\":%lld,"
                "\"model\":\"%s\",\"choices\":[",
                (unsigned long long)call->seq, (long long)started_s, model_named(call));
    for (uint32_t i = 0; i < call->choices; i++)
        chat_choice_write(call, out, i);
    add(out, "]");
    usage_write(out, call);
    buf_add_fmt(out, ",\"service_tier\":\"%s\",\"system_fingerprint\":\"fp_sim\"}",
                service_named(&call->faults, "default"));
}

static void
completions_write(const struct call *call, struct buf *out)
{
    buf_add_fmt(out,
                "{\"id\":\"cmpl-sim%016llx\",\"object\":\"text_completion\",\"created\":%lld,"
                "\"model\":\"%s\",\"choices\":[",
                (unsigned long long)call->seq, (long long)started_s, model_named(call));
    for (uint32_t i = 0; i < call->choices; i++) {
        buf_add_fmt(out, "%s{\"index\":%u,\"text\":\"", i > 0 ? "," : "", i);
        answer_text(call, out);
        buf_add_fmt(out, "\",\"logprobs\":null,\"finish_reason\":\"%s\"}", stop_reason(call));
    }
    add(out, "]");
    usage_write(out, call);
    add(out, "}");
}

/* ---- embeddings ---- */

/* Multiples of 1/8, so that both ways of writing them are exact. */
static float
embedding_value(uint32_t input, uint32_t i)
{
    return (float)((int)((input * 31 + i * 7) % 17) - 8) / 8.0f;
}

void
embedding_floats_write(struct buf *out, uint32_t input, uint32_t dimensions)
{
    for (uint32_t i = 0; i < dimensions; i++)
        buf_add_fmt(out, "%s%.3f", i > 0 ? "," : "[", (double)embedding_value(input, i));
    buf_add_char(out, ']');
}

static void
embedding_base64_write(struct buf *out, uint32_t input, uint32_t dimensions)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, bit_count = 0, written = 0;

    for (uint32_t i = 0; i < dimensions * 4; i++) {
        float f = embedding_value(input, i / 4);
        uint32_t word;

        memcpy(&word, &f, 4);
        bits = bits << 8 | (word >> 8 * (i % 4) & 0xff);
        for (bit_count += 8; bit_count >= 6; written++) {
            bit_count -= 6;
            buf_add_char(out, digits[bits >> bit_count & 63]);
        }
    }
    if (bit_count > 0) {
        buf_add_char(out, digits[bits << (6 - bit_count) & 63]);
        written++;
    }
    for (; written % 4 != 0; written++)
        buf_add_char(out, '=');
}

static void
embeddings_write(const struct call *call, struct buf *out)
{
    add(out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t input = 0; input < call->inputs; input++) {
        buf_add_fmt(out,
                    "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":", input > 0 ? "," : "",
                    input);
        if (call->base64) {
            add(out, "\"");
            embedding_base64_write(out, input, call->dimensions);
            add(out, "\"}");
            continue;
        }
        embedding_floats_write(out, input, call->dimensions);
        add(out, "}");
    }
    buf_add_fmt(out, "],\"model\":\"%s\"", model_named(call));
    usage_write(out, call);
    add(out, "}");
}

/* ---- which ---- */

void
body_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;

    switch ((enum endpoint)call->endpoint) {
    case EP_EMBEDDINGS: embeddings_write(call, out); return;
    case EP_COUNT_TOKENS:
        buf_add_fmt(
            out, "{\"input_tokens\":%llu}",
            (unsigned long long)(u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h));
        *u = (struct used){0}; /* counting is free */
        return;
    case EP_CHAT:
    case EP_COMPLETIONS:
    case EP_RESPONSES:
    case EP_MESSAGES:
    case EP_GENERATE: break;
    case EP_GEMINI_COUNT:
    case EP_GEMINI_EMBED:
    case EP_GEMINI_EMBEDS: gemini_write(call, out); return;
    case EP_IMAGES:
    case EP_IMAGE_EDITS:
    case EP_SPEECH:
    case EP_TRANSCRIPTIONS:
    case EP_TRANSLATIONS:
    case EP_MODERATIONS:
    case EP_RERANK: media_write(call, out); return;
    case EP_FILES:
    case EP_BATCHES:
    case EP_REALTIME:
    case EP_NONE:
    case EP_MODELS:
    case EP_GEMINI_MODELS:
    case EP_CONTROL:
    case EP_COUNT: ASSERT(!"an endpoint with an answer");
    }
    u->reasoning = (uint64_t)call->reasoning * call->choices;
    u->output = u->reasoning +
                ((uint64_t)call->words + (uint64_t)call->tools * TOOL_PIECES) * call->choices;
    if (call->endpoint == EP_CHAT)
        chat_write(call, out);
    else if (call->endpoint == EP_COMPLETIONS)
        completions_write(call, out);
    else if (call->endpoint == EP_RESPONSES)
        responses_write(call, out);
    else if (call->endpoint == EP_GENERATE)
        gemini_write(call, out);
    else
        messages_write(call, out);
}

const char *const model_names[] = {"sim-chat", "sim-embed", "sim-messages", "sim-large", NULL};

static void
model_write(struct buf *out, bool anthropic, struct str id)
{
    if (anthropic)
        buf_add_fmt(out,
                    "{\"type\":\"model\",\"id\":\"%.*s\",\"display_name\":\"%.*s\","
                    "\"created_at\":\"2026-01-01T00:00:00Z\"}",
                    STR_ARGS(id), STR_ARGS(id));
    else
        buf_add_fmt(out,
                    "{\"id\":\"%.*s\",\"object\":\"model\",\"created\":1767225600,"
                    "\"owned_by\":\"sim\"}",
                    STR_ARGS(id));
}

void
models_write(struct buf *out, bool anthropic, struct str id)
{
    if (id.len > 0) {
        model_write(out, anthropic, id);
        return;
    }
    add(out, anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; model_names[i] != NULL; i++) {
        add(out, i > 0 ? "," : "");
        model_write(out, anthropic, str_from(model_names[i]));
    }
    add(out, "]");
    if (anthropic)
        buf_add_fmt(out, ",\"has_more\":false,\"first_id\":\"%s\",\"last_id\":\"%s\"",
                    model_names[0], model_names[COUNT_OF(model_names) - 2]);
    add(out, "}");
}
