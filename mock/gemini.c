/*
 * Gemini's answers. A whole answer and each piece of a streamed one have the same shape; calls of
 * functions come whole, and the books (usageMetadata) run along with every piece.
 */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

static bool
blocked(const struct call *call)
{
    return fault_on(&call->faults, F_BLOCKED);
}

/* The same for the same answer, and known again when it comes back. */
static void
signature_write(const struct call *call, struct buf *out)
{
    buf_add_fmt(out, ",\"thoughtSignature\":\"sig-gemini-%016llx\"",
                (unsigned long long)reasoning_mark(call));
}

static bool
text_signed(const struct call *call)
{
    return call->reasoning > 0 && call->tools == 0;
}

/* ---- parts ---- */

static void
text_part_open(struct buf *out)
{
    add(out, "{\"text\":\"");
}

static void
call_part_write(const struct call *call, struct buf *out, uint32_t tool)
{
    buf_add_fmt(out, "{\"functionCall\":{\"name\":\"%s\",\"args\":", call->tool_name);
    tool_arguments_object(out, call, tool);
    add(out, "}");
    if (tool == 0)
        signature_write(call, out);
    add(out, "}");
}

static void
parts_write(const struct call *call, struct buf *out)
{
    bool first = true;

    if (reasoning_shown(call) > 0) {
        text_part_open(out);
        text_words(out, call->reasoning, 0, 0);
        add(out, "\",\"thought\":true}");
        first = false;
    }
    if (call->words > 0 || call->tools == 0) {
        add(out, first ? "" : ",");
        text_part_open(out);
        answer_text(call, out);
        add(out, "\"");
        if (text_signed(call))
            signature_write(call, out);
        add(out, "}");
        first = false;
    }
    for (uint32_t i = 0; i < call->tools; i++) {
        add(out, first ? "" : ",");
        call_part_write(call, out, i);
        first = false;
    }
}

/* ---- answers and their pieces ---- */

static void
candidate_open(struct buf *out, uint32_t choice)
{
    buf_add_fmt(out, "%s{\"content\":{\"parts\":[", choice == 0 ? "{\"candidates\":[" : ",");
}

static void
candidate_close(const struct call *call, struct buf *out, uint32_t choice, bool finished)
{
    add(out, "],\"role\":\"model\"}");
    if (finished)
        buf_add_fmt(out, ",\"finishReason\":\"%s\"", stop_reason(call));
    buf_add_fmt(out, ",\"index\":%u", choice);
    if (finished && fault_on(&call->faults, F_SEARCHES)) {
        add(out, ",\"groundingMetadata\":{\"webSearchQueries\":[");
        for (uint32_t i = 0; i < fault_get(&call->faults, F_SEARCHES, 0); i++)
            add(out, i > 0 ? ",\"weather\"" : "\"weather\"");
        add(out, "]}");
    }
}

static void
answer_close(const struct call *call, struct buf *out)
{
    usage_write(out, call);
    buf_add_fmt(out, ",\"modelVersion\":\"%s\",\"responseId\":\"sim%016llx\"}", model_named(call),
                (unsigned long long)call->seq);
}

static void
blocked_write(const struct call *call, struct buf *out)
{
    add(out, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\",\"safetyRatings\":[{\"category\":"
             "\"HARM_CATEGORY_DANGEROUS_CONTENT\",\"probability\":\"HIGH\",\"blocked\":true}]}");
    answer_close(call, out);
}

static void
generate_write(const struct call *call, struct buf *out)
{
    if (blocked(call)) {
        blocked_write(call, out);
        return;
    }
    for (uint32_t i = 0; i < call->choices; i++) {
        candidate_open(out, i);
        parts_write(call, out);
        candidate_close(call, out, i, true);
        logprobs_write_gemini(call, out, 0, call->words);
        add(out, "}");
    }
    add(out, "]");
    answer_close(call, out);
}

/* One part of one candidate's; tokens from … to - 1 of the text are in it. */
static void
piece_write(const struct call *call, uint32_t choice, struct str written, uint32_t from,
            uint32_t to)
{
    bool finished = call->phase == PHASE_FINISH;

    add(&event, "{\"candidates\":[{\"content\":{\"parts\":[");
    buf_add_str(&event, written);
    candidate_close(call, &event, choice, finished);
    if (to > from)
        logprobs_write_gemini(call, &event, from, to);
    add(&event, "}]");
    answer_close(call, &event);
}

static struct buf part;

static void
text_piece(struct call *call, uint32_t choice, uint32_t word, bool thought)
{
    text_part_open(&part);
    if (thought)
        text_word(&part, word, 0);
    else
        answer_piece(call, &part, word);
    add(&part, thought ? "\",\"thought\":true}" : "\"}");
    call->used.output++;
    call->used.reasoning += thought;
    piece_write(call, choice, buf_str(&part), word, thought ? word : word + 1);
}

static void
finish_piece(const struct call *call, uint32_t choice)
{
    text_part_open(&part);
    add(&part, "\"");
    if (text_signed(call))
        signature_write(call, &part);
    add(&part, "}");
    piece_write(call, choice, buf_str(&part), 0, 0);
}

bool
gemini_next(struct call *call)
{
    if (part.cap_max == 0)
        buf_init(&part, SIZE_MAX);
    part.len = 0;
    for (;;) {
        uint32_t i = call->at / call->choices, choice = call->at % call->choices;

        call->at++;
        switch ((enum phase)call->phase) {
        case PHASE_START:
            phase_go(call, blocked(call) ? PHASE_END : PHASE_REASONING);
            if (!blocked(call))
                continue;
            blocked_write(call, &event);
            return true;
        case PHASE_REASONING:
        case PHASE_TEXT:
            if (i >= (call->phase == PHASE_TEXT ? call->words : reasoning_shown(call))) {
                phase_go(call, call->phase == PHASE_TEXT ? PHASE_TOOLS : PHASE_TEXT);
                continue;
            }
            text_piece(call, choice, i, call->phase == PHASE_REASONING);
            return true;
        case PHASE_TOOLS:
            if (i >= call->tools) {
                phase_go(call, PHASE_FINISH);
                continue;
            }
            call_part_write(call, &part, i);
            call->used.output += TOOL_PIECES;
            piece_write(call, choice, buf_str(&part), 0, 0);
            return true;
        case PHASE_FINISH:
            if (i > 0 || fault_on(&call->faults, F_NO_DONE)) {
                phase_go(call, PHASE_END);
                continue;
            }
            finish_piece(call, choice);
            return true;
        default: return false;
        }
    }
}

/* ---- counting, embeddings, models ---- */

static void
count_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;
    unsigned long long n = u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h;

    buf_add_fmt(out,
                "{\"totalTokens\":%llu,\"promptTokensDetails\":[{\"modality\":\"TEXT\","
                "\"tokenCount\":%llu}]}",
                n, n);
    *u = (struct used){0}; /* counting is free */
}

void
gemini_write(struct call *call, struct buf *out)
{
    struct used *u = &call->used;

    switch ((enum endpoint)call->endpoint) {
    case EP_GEMINI_COUNT: count_write(call, out); return;
    case EP_GEMINI_EMBED:
        add(out, "{\"embedding\":{\"values\":");
        embedding_floats_write(out, 0, call->dimensions);
        add(out, "}");
        break;
    case EP_GEMINI_EMBEDS:
        add(out, "{\"embeddings\":[");
        for (uint32_t i = 0; i < call->inputs; i++) {
            add(out, i > 0 ? ",{\"values\":" : "{\"values\":");
            embedding_floats_write(out, i, call->dimensions);
            add(out, "}");
        }
        add(out, "]");
        break;
    default: /* nothing came of a blocked one, whatever was to be said */
        if (blocked(call))
            u->output = u->reasoning = 0;
        generate_write(call, out);
        return;
    }
    usage_write(out, call);
    add(out, "}");
}

static void
model_write(struct buf *out, struct str id)
{
    buf_add_fmt(out,
                "{\"name\":\"models/%.*s\",\"version\":\"001\",\"displayName\":\"%.*s\","
                "\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,"
                "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}",
                STR_ARGS(id), STR_ARGS(id));
}

void
gemini_models_write(struct buf *out, struct str id)
{
    if (id.len > 0) {
        model_write(out, id);
        return;
    }
    add(out, "{\"models\":[");
    for (size_t i = 0; model_names[i] != NULL; i++) {
        add(out, i > 0 ? "," : "");
        model_write(out, str_from(model_names[i]));
    }
    add(out, "]}");
}
