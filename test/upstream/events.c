/*
 * The events of a streamed answer, one at a time. An answer is never kept: a call remembers its
 * place (phase and position in it) and the next event's JSON is made when it is due, so that an
 * open stream costs a few hundred bytes.
 */
#include "test/upstream/sim.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct buf event;
const char *event_name;

static void
add(const char *text)
{
    buf_add(&event, text, strlen(text));
}

/* ---- OpenAI chat and completions ---- */

static void
chat_open(const struct call *call, uint32_t choice)
{
    bool chat = call->endpoint == EP_CHAT;

    add(chat ? "{\"id\":\"chatcmpl-sim" : "{\"id\":\"cmpl-sim");
    static const char hex[] = "0123456789abcdef";
    char seq[16];
    for (int i = 0; i < 16; i++)
        seq[i] = hex[call->seq >> (60 - 4 * i) & 15];
    buf_add(&event, seq, 16);
    add(chat ? "\",\"object\":\"chat.completion.chunk\",\"created\":"
             : "\",\"object\":\"text_completion\",\"created\":");
    buf_add_i64(&event, started_s);
    add(",\"model\":\"");
    add(model_named(call));
    add("\",\"choices\":[");
    if (choice == UINT32_MAX) /* the usage chunk */
        return;
    add("{\"index\":");
    buf_add_u64(&event, choice);
}

/* Closes what chat_open() began. */
static void
chat_close(const struct call *call, bool with_usage)
{
    add("]");
    if (with_usage || fault_on(&call->faults, F_USAGE_EVERY_CHUNK))
        usage_write(&event, call);
    else if (call->include_usage && !fault_on(&call->faults, F_NO_USAGE))
        add(",\"usage\":null");
    if (fault_set(&call->faults, F_SERVICE)) {
        add(",\"service_tier\":\"");
        add(service_named(&call->faults, "default"));
        add("\"");
    }
    add("}");
}

static void
chat_delta(struct call *call, uint32_t choice, const char *field, uint32_t word)
{
    chat_open(call, choice);
    add(call->endpoint == EP_CHAT ? ",\"delta\":{\"" : ",\"");
    add(field);
    add("\":\"");
    answer_piece(call, &event, word);
    add(call->endpoint == EP_CHAT ? "\"},\"finish_reason\":null}" : "\",\"finish_reason\":null}");
    call->used.output++;
    chat_close(call, false);
}

static void
chat_tool(struct call *call, uint32_t choice, uint32_t tool, uint32_t piece)
{
    chat_open(call, choice);
    buf_add_fmt(&event, ",\"delta\":{\"tool_calls\":[{\"index\":%u,", tool);
    if (piece == 0) {
        buf_add_fmt(&event,
                    "\"id\":\"call_sim%016llx_%u_%u\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"%s\",\"arguments\":\"\"}}]}",
                    (unsigned long long)call->seq, choice, tool, call->tool_name);
    } else {
        add("\"function\":{\"arguments\":\"");
        tool_piece(&event, tool, piece - 1);
        add("\"}}]}");
    }
    add(",\"finish_reason\":null}");
    call->used.output++;
    chat_close(call, false);
}

static bool
chat_next(struct call *call)
{
    bool chat = call->endpoint == EP_CHAT, on_finish;
    uint32_t i, choice;

    for (;;) {
        i = call->at / call->choices;
        choice = call->at % call->choices;
        call->at++;
        switch ((enum phase)call->phase) {
        case PHASE_START:
            if (!chat || i > 0) {
                phase_go(call, PHASE_REASONING);
                continue;
            }
            chat_open(call, choice);
            add(",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                "\"logprobs\":null,\"finish_reason\":null}");
            chat_close(call, false);
            return true;
        case PHASE_REASONING:
            if (i >= reasoning_shown(call)) {
                phase_go(call, PHASE_TEXT);
                continue;
            }
            chat_delta(call, choice, "reasoning_content", i);
            call->used.reasoning++;
            return true;
        case PHASE_TEXT:
            if (i >= call->words) {
                phase_go(call, PHASE_TOOLS);
                continue;
            }
            chat_delta(call, choice, chat ? "content" : "text", i);
            return true;
        case PHASE_TOOLS:
            if (i >= call->tools * TOOL_PIECES) {
                phase_go(call, PHASE_FINISH);
                continue;
            }
            chat_tool(call, choice, i / TOOL_PIECES, i % TOOL_PIECES);
            return true;
        case PHASE_FINISH:
            if (i > 0) {
                phase_go(call, PHASE_USAGE);
                continue;
            }
            chat_open(call, choice);
            buf_add_fmt(&event, "%s,\"finish_reason\":\"%s\"}",
                        chat ? ",\"delta\":{}" : ",\"text\":\"\"", stop_reason(call));
            on_finish = fault_on(&call->faults, F_USAGE_ON_FINISH) && choice + 1 == call->choices;
            chat_close(call, on_finish);
            return true;
        case PHASE_USAGE:
            phase_go(call, PHASE_MARK);
            if (!call->include_usage || fault_on(&call->faults, F_NO_USAGE) ||
                fault_on(&call->faults, F_USAGE_ON_FINISH))
                continue;
            chat_open(call, UINT32_MAX);
            chat_close(call, true);
            return true;
        case PHASE_MARK:
            phase_go(call, PHASE_END);
            if (fault_on(&call->faults, F_NO_DONE))
                continue;
            add("[DONE]");
            return true;
        case PHASE_REASONING_OPEN:
        case PHASE_REASONING_CLOSE:
        case PHASE_TEXT_OPEN:
        case PHASE_TEXT_CLOSE: ASSERT(!"a phase of chat"); return false;
        case PHASE_END: return false;
        }
    }
}

/* ---- Anthropic messages ---- */

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
    add("}}");
}

static void
block_start(const struct call *call, const char *block)
{
    event_name = "content_block_start";
    buf_add_fmt(&event, "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":%s}",
                call->output_index, block);
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
    add("{\"type\":\"content_block_delta\",\"index\":");
    buf_add_u64(&event, call->output_index);
    add(",\"delta\":{\"type\":\"");
    add(type);
    add("\",\"");
    add(field);
    add("\":\"");
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
    tool_piece(&event, tool, piece - 1);
    add("\"}}");
    return true;
}

static bool
messages_next(struct call *call)
{
    for (;;) {
        switch ((enum phase)call->phase) {
        case PHASE_START:
            phase_go(call, reasoning_shown(call) > 0 ? PHASE_REASONING_OPEN : PHASE_TEXT_OPEN);
            messages_start(call);
            return true;
        case PHASE_REASONING_OPEN:
            phase_go(call, PHASE_REASONING);
            block_start(call, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
            return true;
        case PHASE_REASONING:
            if (call->at < call->reasoning) {
                block_delta_open(call, "thinking_delta", "thinking");
                text_word(&event, call->at++, 0);
                add("\"}}");
                call->used.output++;
                call->used.reasoning++;
                return true;
            }
            phase_go(call, PHASE_REASONING_CLOSE);
            block_delta_open(call, "signature_delta", "signature");
            add("c2ltLXNpZ25hdHVyZQ==\"}}");
            return true;
        case PHASE_REASONING_CLOSE:
            phase_go(call, PHASE_TEXT_OPEN);
            block_stop(call);
            return true;
        case PHASE_TEXT_OPEN:
            if (call->words == 0 && call->tools > 0) {
                phase_go(call, PHASE_TOOLS);
                continue;
            }
            phase_go(call, PHASE_TEXT);
            block_start(call, "{\"type\":\"text\",\"text\":\"\"}");
            return true;
        case PHASE_TEXT:
            if (call->at == call->words) {
                phase_go(call, PHASE_TEXT_CLOSE);
                continue;
            }
            block_delta_open(call, "text_delta", "text");
            answer_piece(call, &event, call->at);
            add("\"}}");
            call->at++;
            call->used.output++;
            return true;
        case PHASE_TEXT_CLOSE:
            phase_go(call, PHASE_TOOLS);
            block_stop(call);
            return true;
        case PHASE_TOOLS:
            if (messages_tool(call))
                return true;
            phase_go(call, PHASE_FINISH);
            continue;
        case PHASE_FINISH:
            phase_go(call, PHASE_MARK);
            event_name = "message_delta";
            buf_add_fmt(&event,
                        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
                        "\"stop_sequence\":null}",
                        stop_reason(call));
            usage_write(&event, call);
            add("}");
            return true;
        case PHASE_MARK:
            phase_go(call, PHASE_END);
            if (fault_on(&call->faults, F_NO_DONE))
                continue;
            event_name = "message_stop";
            add("{\"type\":\"message_stop\"}");
            return true;
        case PHASE_USAGE: ASSERT(!"a phase of messages"); return false;
        case PHASE_END: return false;
        }
    }
}

/* ---- OpenAI responses ---- */

/* {"type":NAME,"sequence_number":N — the caller goes on with a comma and closes. */
static void
response_open(const struct call *call, const char *name)
{
    event_name = name;
    add("{\"type\":\"");
    add(name);
    add("\",\"sequence_number\":");
    buf_add_u64(&event, call->events);
}

static void
response_item(const struct call *call, enum item_kind kind, uint32_t tool, bool at_end)
{
    response_open(call, at_end ? "response.output_item.done" : "response.output_item.added");
    buf_add_fmt(&event, ",\"output_index\":%u,\"item\":", call->output_index);
    response_item_write(call, &event, kind, tool, at_end);
    add("}");
}

static void
response_place(const struct call *call, const char *prefix, const char *index_name)
{
    buf_add_fmt(&event, ",\"item_id\":\"%s_sim%016llx\",\"output_index\":%u,\"%s\":0", prefix,
                (unsigned long long)call->seq, call->output_index, index_name);
}

/* What stands around a reasoning summary or a text: item added, part added, …, text done, part
 * done, item done. Step 0 and 1 open, 2 to 4 close. */
static void
response_reasoning_frame(struct call *call, uint32_t step)
{
    static const char *const names[] = {
        NULL,
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        NULL,
    };

    if (names[step] == NULL) {
        response_item(call, ITEM_REASONING, 0, step == 4);
        call->output_index += step == 4;
        return;
    }
    response_open(call, names[step]);
    response_place(call, "rs", "summary_index");
    add(step == 2 ? ",\"text\":\"" : ",\"part\":{\"type\":\"summary_text\",\"text\":\"");
    if (step > 1)
        text_words(&event, call->reasoning, 0, 0);
    add(step == 2 ? "\"}" : "\"}}");
}

static void
response_text_frame(struct call *call, uint32_t step)
{
    static const char *const names[] = {
        NULL,
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        NULL,
    };

    if (names[step] == NULL) {
        response_item(call, ITEM_MESSAGE, 0, step == 4);
        call->output_index += step == 4;
        return;
    }
    response_open(call, names[step]);
    response_place(call, "msg", "content_index");
    add(step == 2 ? ",\"text\":\"" : ",\"part\":{\"type\":\"output_text\",\"text\":\"");
    if (step > 1)
        answer_text(call, &event);
    add(step == 2 ? "\",\"logprobs\":[]}" : "\",\"annotations\":[],\"logprobs\":[]}}");
}

/* Steps of one call: added, TOOL_PIECES - 1 deltas, arguments done, item done. */
static bool
response_tool(struct call *call)
{
    const uint32_t steps = TOOL_PIECES + 2;
    uint32_t tool = call->at / steps, step = call->at % steps;

    if (tool >= call->tools)
        return false;
    call->at++;
    if (step == 0) {
        response_item(call, ITEM_TOOL, tool, false);
        call->used.output++;
    } else if (step < TOOL_PIECES) {
        response_open(call, "response.function_call_arguments.delta");
        buf_add_fmt(&event,
                    ",\"item_id\":\"fc_sim%016llx_%u\",\"output_index\":%u,\"delta\":\"",
                    (unsigned long long)call->seq, tool, call->output_index);
        tool_piece(&event, tool, step - 1);
        add("\"}");
        call->used.output++;
    } else if (step == TOOL_PIECES) {
        response_open(call, "response.function_call_arguments.done");
        buf_add_fmt(&event,
                    ",\"item_id\":\"fc_sim%016llx_%u\",\"output_index\":%u,\"name\":\"%s\","
                    "\"arguments\":\"",
                    (unsigned long long)call->seq, tool, call->output_index, call->tool_name);
        tool_arguments(&event, tool);
        add("\"}");
    } else {
        response_item(call, ITEM_TOOL, tool, true);
        call->output_index++;
    }
    return true;
}

static void
response_delta(struct call *call, bool reasoning)
{
    response_open(call, reasoning ? "response.reasoning_summary_text.delta"
                                  : "response.output_text.delta");
    response_place(call, reasoning ? "rs" : "msg", reasoning ? "summary_index" : "content_index");
    add(",\"delta\":\"");
    if (reasoning)
        text_word(&event, call->at, 0);
    else
        answer_piece(call, &event, call->at);
    add(reasoning ? "\"}" : "\",\"logprobs\":[]}");
    call->at++;
    call->used.output++;
    call->used.reasoning += reasoning;
}

static bool
responses_next(struct call *call)
{
    for (;;) {
        uint32_t step = call->at;

        switch ((enum phase)call->phase) {
        case PHASE_START:
            response_open(call, step == 0 ? "response.created" : "response.in_progress");
            add(",\"response\":");
            response_object_write(call, &event, false);
            add("}");
            call->at++;
            if (step == 1)
                phase_go(call, reasoning_shown(call) > 0 ? PHASE_REASONING_OPEN : PHASE_TEXT_OPEN);
            return true;
        case PHASE_REASONING_OPEN:
        case PHASE_TEXT_OPEN:
            if (call->phase == PHASE_TEXT_OPEN && call->words == 0 && call->tools > 0) {
                phase_go(call, PHASE_TOOLS);
                continue;
            }
            if (step == 2) {
                phase_go(call, (enum phase)(call->phase + 1));
                continue;
            }
            call->at++;
            if (call->phase == PHASE_TEXT_OPEN)
                response_text_frame(call, step);
            else
                response_reasoning_frame(call, step);
            return true;
        case PHASE_REASONING:
        case PHASE_TEXT:
            if (step == (call->phase == PHASE_TEXT ? call->words : call->reasoning)) {
                phase_go(call, (enum phase)(call->phase + 1));
                continue;
            }
            response_delta(call, call->phase == PHASE_REASONING);
            return true;
        case PHASE_REASONING_CLOSE:
        case PHASE_TEXT_CLOSE:
            if (step == 3) {
                phase_go(call, (enum phase)(call->phase + 1));
                continue;
            }
            call->at++;
            if (call->phase == PHASE_TEXT_CLOSE)
                response_text_frame(call, step + 2);
            else
                response_reasoning_frame(call, step + 2);
            return true;
        case PHASE_TOOLS:
            if (response_tool(call))
                return true;
            phase_go(call, PHASE_MARK);
            continue;
        case PHASE_MARK:
            phase_go(call, PHASE_END);
            if (fault_on(&call->faults, F_NO_DONE))
                continue;
            response_open(call, call->cap_reached ? "response.incomplete" : "response.completed");
            add(",\"response\":");
            response_object_write(call, &event, true);
            add("}");
            return true;
        case PHASE_FINISH:
        case PHASE_USAGE: ASSERT(!"a phase of responses"); return false;
        case PHASE_END: return false;
        }
    }
}

/* ---- any protocol ---- */

bool
event_next(struct call *call)
{
    event.len = 0;
    event_name = NULL;
    if (call->endpoint == EP_MESSAGES)
        return messages_next(call);
    if (call->endpoint == EP_RESPONSES)
        return responses_next(call);
    if (call->endpoint == EP_GENERATE)
        return gemini_next(call);
    return chat_next(call);
}

void
event_error(struct call *call)
{
    event.len = 0;
    event_name = NULL;
    if (call->endpoint == EP_MESSAGES) {
        event_name = "error";
        add("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
            "\"message\":\"sim: error in the stream\"}}");
    } else if (call->endpoint == EP_RESPONSES) {
        response_open(call, "error");
        add(",\"code\":\"server_error\",\"message\":\"sim: error in the stream\",\"param\":null}");
    } else if (call->endpoint == EP_GENERATE) {
        error_write(&event, call, 503, STR("sim: error in the stream"), NULL, NULL);
    } else {
        add("{\"error\":{\"message\":\"sim: error in the stream\",\"type\":\"server_error\","
            "\"param\":null,\"code\":\"upstream_error\"}}");
    }
}
