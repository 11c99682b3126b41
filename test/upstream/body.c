/* Answers as one JSON body, in the shape of each protocol. */
#include "test/upstream/sim.h"

#include "base/str.h"

#include <string.h>

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

void
answer_text(const struct call *call, struct buf *out)
{
    text_words(out, call->words, fault_get(&call->faults, F_PAD, 0),
               fault_get(&call->faults, F_HUGE_LINE, 0));
}

void
answer_piece(const struct call *call, struct buf *out, uint32_t i)
{
    uint32_t pad = fault_get(&call->faults, F_PAD, 0);

    if (i == 0 && fault_on(&call->faults, F_HUGE_LINE))
        pad = fault_get(&call->faults, F_HUGE_LINE, 0);
    text_word(out, i, pad);
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
    if (call->endpoint == EP_MESSAGES)
        return call->cap_reached ? "max_tokens" : call->tools > 0 ? "tool_use" : "end_turn";
    if (call->endpoint == EP_GENERATE)
        return call->cap_reached ? "MAX_TOKENS" : "STOP";
    return call->cap_reached ? "length" : call->tools > 0 ? "tool_calls" : "stop";
}

/* ---- OpenAI chat and completions ---- */

static void
chat_tools_write(const struct call *call, struct buf *out, uint32_t choice)
{
    add(out, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < call->tools; i++) {
        buf_add_fmt(out,
                    "%s{\"id\":\"call_sim%016llx_%u_%u\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"%s\",\"arguments\":\"",
                    i > 0 ? "," : "", (unsigned long long)call->seq, choice, i, call->tool_name);
        tool_arguments(out, i);
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
        add(out, ",\"reasoning_content\":\"");
        text_words(out, call->reasoning, 0, 0);
        add(out, "\"");
    }
    add(out, ",\"refusal\":null,\"annotations\":[]");
    if (call->tools > 0)
        chat_tools_write(call, out, choice);
    buf_add_fmt(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}", stop_reason(call));
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

/* ---- OpenAI responses ---- */

void
response_item_write(const struct call *call, struct buf *out, enum item_kind kind, uint32_t tool,
                    bool at_end)
{
    unsigned long long seq = call->seq;
    const char *status = at_end ? "completed" : "in_progress";

    switch (kind) {
    case ITEM_REASONING:
        buf_add_fmt(out, "{\"id\":\"rs_sim%016llx\",\"type\":\"reasoning\",\"summary\":[", seq);
        if (at_end) {
            add(out, "{\"type\":\"summary_text\",\"text\":\"");
            text_words(out, call->reasoning, 0, 0);
            add(out, "\"}");
        }
        add(out, "]}");
        break;
    case ITEM_MESSAGE:
        buf_add_fmt(out,
                    "{\"id\":\"msg_sim%016llx\",\"type\":\"message\",\"status\":\"%s\","
                    "\"role\":\"assistant\",\"content\":[",
                    seq, status);
        if (at_end) {
            add(out, "{\"type\":\"output_text\",\"text\":\"");
            answer_text(call, out);
            add(out, "\",\"annotations\":[],\"logprobs\":[]}");
        }
        add(out, "]}");
        break;
    case ITEM_TOOL:
        buf_add_fmt(out,
                    "{\"id\":\"fc_sim%016llx_%u\",\"type\":\"function_call\",\"status\":\"%s\","
                    "\"call_id\":\"call_sim%016llx_0_%u\",\"name\":\"%s\",\"arguments\":\"",
                    seq, tool, status, seq, tool, call->tool_name);
        if (at_end)
            tool_arguments(out, tool);
        add(out, "\"}");
        break;
    }
}

static void
response_output_write(const struct call *call, struct buf *out)
{
    bool first = true;

    add(out, ",\"output\":[");
    for (uint32_t i = 0; i < fault_get(&call->faults, F_SEARCHES, 0); i++) {
        buf_add_fmt(out,
                    "%s{\"id\":\"ws_sim%016llx_%u\",\"type\":\"web_search_call\","
                    "\"status\":\"completed\",\"action\":{\"type\":\"search\","
                    "\"query\":\"weather\"}}",
                    first ? "" : ",", (unsigned long long)call->seq, i);
        first = false;
    }
    if (reasoning_shown(call) > 0) {
        add(out, first ? "" : ",");
        response_item_write(call, out, ITEM_REASONING, 0, true);
        first = false;
    }
    if (call->words > 0 || call->tools == 0) {
        add(out, first ? "" : ",");
        response_item_write(call, out, ITEM_MESSAGE, 0, true);
        first = false;
    }
    for (uint32_t i = 0; i < call->tools; i++) {
        add(out, first ? "" : ",");
        response_item_write(call, out, ITEM_TOOL, i, true);
        first = false;
    }
    add(out, "]");
}

void
response_object_write(const struct call *call, struct buf *out, bool at_end)
{
    const char *status = !at_end ? "in_progress" : call->cap_reached ? "incomplete" : "completed";

    buf_add_fmt(out,
                "{\"id\":\"resp_sim%016llx\",\"object\":\"response\",\"created_at\":%lld,"
                "\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,"
                "\"instructions\":null,\"max_output_tokens\":null,\"model\":\"%s\"",
                (unsigned long long)call->seq, (long long)started_s, status,
                at_end && call->cap_reached ? "{\"reason\":\"max_output_tokens\"}" : "null",
                model_named(call));
    if (at_end)
        response_output_write(call, out);
    else
        add(out, ",\"output\":[]");
    add(out, ",\"parallel_tool_calls\":true,\"previous_response_id\":null,"
             "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,\"temperature\":1,"
             "\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],"
             "\"top_p\":1,\"truncation\":\"disabled\"");
    if (fault_set(&call->faults, F_SERVICE))
        buf_add_fmt(out, ",\"service_tier\":\"%s\"",
                    at_end ? service_named(&call->faults, "default") : "auto");
    if (at_end)
        usage_write(out, call);
    else
        add(out, ",\"usage\":null");
    add(out, ",\"metadata\":{}}");
}

/* ---- Anthropic messages ---- */

static void
messages_write(const struct call *call, struct buf *out)
{
    bool first = true;

    buf_add_fmt(out,
                "{\"id\":\"msg_sim%016llx\",\"type\":\"message\",\"role\":\"assistant\","
                "\"model\":\"%s\",\"content\":[",
                (unsigned long long)call->seq, model_named(call));
    if (reasoning_shown(call) > 0) {
        add(out, "{\"type\":\"thinking\",\"thinking\":\"");
        text_words(out, call->reasoning, 0, 0);
        add(out, "\",\"signature\":\"c2ltLXNpZ25hdHVyZQ==\"}");
        first = false;
    }
    if (call->words > 0 || call->tools == 0) {
        add(out, first ? "{\"type\":\"text\",\"text\":\"" : ",{\"type\":\"text\",\"text\":\"");
        answer_text(call, out);
        add(out, "\"}");
        first = false;
    }
    for (uint32_t i = 0; i < call->tools; i++) {
        buf_add_fmt(out,
                    "%s{\"type\":\"tool_use\",\"id\":\"toolu_sim%016llx_%u\",\"name\":\"%s\","
                    "\"input\":",
                    first ? "" : ",", (unsigned long long)call->seq, i, call->tool_name);
        tool_arguments_object(out, i);
        add(out, "}");
        first = false;
    }
    buf_add_fmt(out, "],\"stop_reason\":\"%s\",\"stop_sequence\":null", stop_reason(call));
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
        response_object_write(call, out, true);
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
