/* Anthropic's answers to messages, whole and as events. */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

/* Reasoning that nobody may read, only send back. */
static void
redacted_write(const struct call *call, struct buf *out)
{
    buf_add_fmt(out, "{\"type\":\"redacted_thinking\",\"data\":\"red-anthropic-%016llx\"}",
                (unsigned long long)reasoning_mark(call));
}

/* The stop sequence in quotes, or null. */
static void
stop_sequence_write(const struct call *call, struct buf *out)
{
    if (call->stop != NULL)
        buf_add_fmt(out, "\"%s\"", call->stop);
    else
        add(out, "null");
}

void
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
        buf_add_fmt(out, "\",\"signature\":\"sig-anthropic-%016llx\"}",
                    (unsigned long long)reasoning_mark(call));
        first = false;
    }
    if (fault_on(&call->faults, F_REDACTED)) {
        add(out, first ? "" : ",");
        redacted_write(call, out);
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
        tool_arguments_object(out, call, i);
        add(out, "}");
        first = false;
    }
    buf_add_fmt(out, "],\"stop_reason\":\"%s\",\"stop_sequence\":", stop_reason(call));
    stop_sequence_write(call, out);
    usage_write(out, call);
    add(out, "}");
}

/* ---- events ---- */

static void
messages_start(const struct call *call)
{
    struct call early = *call;

    /* The service has one token of output on its books when it begins. Bad numbers come at the
     * end only, where the sum is. */
    early.used.output = 1;
    early.used.reasoning = 0;
    early.faults.value[F_BAD_USAGE] = FAULT_ABSENT;
    early.faults.value[F_OUTPUT_TOKENS] = FAULT_ABSENT;
    event_name = "message_start";
    buf_add_fmt(&event,
                "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_sim%016llx\","
                "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[],"
                "\"stop_reason\":null,\"stop_sequence\":null",
                (unsigned long long)call->seq, model_named(call));
    usage_write(&event, &early);
    add(&event, "}}");
}

static void
block_start_open(const struct call *call)
{
    event_name = "content_block_start";
    buf_add_fmt(&event, "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":",
                call->output_index);
}

static void
block_start(const struct call *call, const char *block)
{
    block_start_open(call);
    add(&event, block);
    add(&event, "}");
}

static void
block_stop(struct call *call)
{
    event_name = "content_block_stop";
    buf_add_fmt(&event, "{\"type\":\"content_block_stop\",\"index\":%u}", call->output_index);
    call->output_index++;
}

static void
block_delta_open(const struct call *call, const char *type, const char *field)
{
    event_name = "content_block_delta";
    add(&event, "{\"type\":\"content_block_delta\",\"index\":");
    buf_add_u64(&event, call->output_index);
    add(&event, ",\"delta\":{\"type\":\"");
    add(&event, type);
    add(&event, "\",\"");
    add(&event, field);
    add(&event, "\":\"");
}

static bool
messages_tool(struct call *call)
{
    uint32_t tool = call->at / (TOOL_PIECES + 1), piece = call->at % (TOOL_PIECES + 1);

    if (tool >= call->tools)
        return false;
    call->at++;
    if (piece == TOOL_PIECES) {
        block_stop(call);
        return true;
    }
    call->used.output++;
    if (piece == 0) {
        event_name = "content_block_start";
        buf_add_fmt(&event,
                    "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":"
                    "{\"type\":\"tool_use\",\"id\":\"toolu_sim%016llx_%u\",\"name\":\"%s\","
                    "\"input\":{}}}",
                    call->output_index, (unsigned long long)call->seq, tool, call->tool_name);
        return true;
    }
    block_delta_open(call, "input_json_delta", "partial_json");
    tool_piece(&event, call, tool, piece - 1);
    add(&event, "\"}}");
    return true;
}

/* ---- each phase: moves on, and says whether there was an event ---- */

/* Words, and behind them the signature. */
static bool
thinking_next(struct call *call)
{
    if (call->at < call->reasoning) {
        block_delta_open(call, "thinking_delta", "thinking");
        text_word(&event, call->at++, 0);
        add(&event, "\"}}");
        call->used.output++;
        call->used.reasoning++;
        return true;
    }
    phase_go(call, PHASE_REASONING_CLOSE);
    block_delta_open(call, "signature_delta", "signature");
    buf_add_fmt(&event, "sig-anthropic-%016llx\"}}", (unsigned long long)reasoning_mark(call));
    return true;
}

static bool
redacted_next(struct call *call)
{
    if (!fault_on(&call->faults, F_REDACTED) || call->at == 2) {
        phase_go(call, PHASE_TEXT_OPEN);
        return false;
    }
    if (call->at++ == 1) {
        block_stop(call);
        return true;
    }
    block_start_open(call);
    redacted_write(call, &event);
    add(&event, "}");
    return true;
}

static bool
text_open(struct call *call)
{
    if (call->words == 0 && call->tools > 0) {
        phase_go(call, PHASE_TOOLS);
        return false;
    }
    phase_go(call, PHASE_TEXT);
    block_start(call, "{\"type\":\"text\",\"text\":\"\"}");
    return true;
}

static bool
text_next(struct call *call)
{
    if (call->at == call->words) {
        phase_go(call, PHASE_TEXT_CLOSE);
        return false;
    }
    block_delta_open(call, "text_delta", "text");
    answer_piece(call, &event, call->at);
    add(&event, "\"}}");
    call->at++;
    call->used.output++;
    return true;
}

static bool
tools_next(struct call *call)
{
    if (messages_tool(call))
        return true;
    phase_go(call, PHASE_FINISH);
    return false;
}

static bool
finish(struct call *call)
{
    phase_go(call, PHASE_MARK);
    event_name = "message_delta";
    buf_add_fmt(&event,
                "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
                "\"stop_sequence\":",
                stop_reason(call));
    stop_sequence_write(call, &event);
    add(&event, "}");
    usage_write(&event, call);
    add(&event, "}");
    return true;
}

static bool
mark(struct call *call)
{
    phase_go(call, PHASE_END);
    if (fault_on(&call->faults, F_NO_DONE))
        return false;
    event_name = "message_stop";
    add(&event, "{\"type\":\"message_stop\"}");
    return true;
}

static bool
phase_next(struct call *call)
{
    switch ((enum phase)call->phase) {
    case PHASE_START:
        phase_go(call, reasoning_shown(call) > 0 ? PHASE_REASONING_OPEN : PHASE_REDACTED);
        messages_start(call);
        return true;
    case PHASE_REASONING_OPEN:
        phase_go(call, PHASE_REASONING);
        block_start(call, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        return true;
    case PHASE_REASONING: return thinking_next(call);
    case PHASE_REASONING_CLOSE:
        phase_go(call, PHASE_REDACTED);
        block_stop(call);
        return true;
    case PHASE_REDACTED: return redacted_next(call);
    case PHASE_TEXT_OPEN: return text_open(call);
    case PHASE_TEXT: return text_next(call);
    case PHASE_TEXT_CLOSE:
        phase_go(call, PHASE_TOOLS);
        block_stop(call);
        return true;
    case PHASE_TOOLS: return tools_next(call);
    case PHASE_FINISH: return finish(call);
    case PHASE_MARK: return mark(call);
    case PHASE_USAGE: ASSERT(!"a phase of messages"); return false;
    case PHASE_END: return false;
    }
    return false;
}

bool
messages_next(struct call *call)
{
    while (call->phase != PHASE_END)
        if (phase_next(call))
            return true;
    return false;
}
