/*
 * The events of a streamed answer, one at a time. An answer is never kept: a call remembers its
 * place (phase and position in it) and the next event's JSON is made when it is due, so that an
 * open stream costs a few hundred bytes.
 */
#include "mock/sim.h"

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
chat_text(struct call *call, uint32_t choice, uint32_t word)
{
    bool chat = call->endpoint == EP_CHAT;

    chat_open(call, choice);
    add(chat ? ",\"delta\":{\"content\":\"" : ",\"text\":\"");
    answer_piece(call, &event, word);
    add(chat ? "\"}" : "\"");
    if (call->logprobs && chat) {
        add(",\"logprobs\":");
        chat_logprobs_write(call, &event, word, word + 1);
    }
    add(",\"finish_reason\":null}");
    call->used.output++;
    chat_close(call, false);
}

static void
chat_reasoning(struct call *call, uint32_t choice, uint32_t word)
{
    chat_open(call, choice);
    buf_add_fmt(&event, ",\"delta\":{\"%s\":\"", reasoning_field(call));
    text_word(&event, word, fault_get(&call->faults, F_PAD, 0));
    add("\"},\"finish_reason\":null}");
    call->used.output++;
    call->used.reasoning++;
    chat_close(call, false);
}

static void
chat_tool(struct call *call, uint32_t choice, uint32_t tool, uint32_t piece)
{
    chat_open(call, choice);
    add(",\"delta\":{\"tool_calls\":[");
    if (piece == 0) {
        chat_call_open(call, &event, choice, tool);
    } else {
        add("{");
        if (!fault_on(&call->faults, F_NO_INDEX))
            buf_add_fmt(&event, "\"index\":%u,", tool);
        add(call->tool_custom ? "\"custom\":{\"input\":\"" : "\"function\":{\"arguments\":\"");
        tool_piece(&event, call, tool, piece - 1);
    }
    add("\"}}]},\"finish_reason\":null}");
    call->used.output++;
    chat_close(call, false);
}

/* Calls from `tool` up to `end`, each in one piece. */
static void
chat_whole_tools(struct call *call, uint32_t choice, uint32_t tool, uint32_t end)
{
    chat_open(call, choice);
    add(",\"delta\":{\"tool_calls\":[");
    for (uint32_t i = tool; i < end; i++) {
        add(i > tool ? "," : "");
        chat_call_open(call, &event, choice, i);
        tool_arguments(&event, call, i);
        add("\"}}");
        call->used.output += TOOL_PIECES;
    }
    add("]},\"finish_reason\":null}");
    chat_close(call, false);
}

/* Event i of a choice's calls; false at their end. */
static bool
chat_tools(struct call *call, uint32_t choice, uint32_t i)
{
    uint32_t whole = fault_get(&call->faults, F_WHOLE_CALLS, 0), tools = call->tools;

    if (i >= (whole == 0 ? tools * TOOL_PIECES : whole == 1 ? tools : MIN(tools, 1u)))
        return false;
    if (whole > 0)
        chat_whole_tools(call, choice, i, whole == 1 ? i + 1 : tools);
    else if (fault_on(&call->faults, F_INTERLEAVE))
        chat_tool(call, choice, i % tools, i / tools);
    else
        chat_tool(call, choice, i / TOOL_PIECES, i % TOOL_PIECES);
    return true;
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
            chat_reasoning(call, choice, i);
            return true;
        case PHASE_TEXT:
            if (i >= call->words) {
                phase_go(call, PHASE_TOOLS);
                continue;
            }
            chat_text(call, choice, i);
            return true;
        case PHASE_TOOLS:
            if (chat_tools(call, choice, i))
                return true;
            phase_go(call, PHASE_FINISH);
            continue;
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
        case PHASE_TEXT_CLOSE:
        case PHASE_REDACTED: ASSERT(!"a phase of chat"); return false;
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
    if (call->endpoint == EP_SPEECH)
        return speech_next(call);
    if (call->media)
        return transcript_next(call);
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
        responses_error(call);
    } else if (call->endpoint == EP_GENERATE) {
        error_write(&event, call, 503, STR("sim: error in the stream"), NULL, NULL);
    } else {
        add("{\"error\":{\"message\":\"sim: error in the stream\",\"type\":\"server_error\","
            "\"param\":null,\"code\":\"upstream_error\"}}");
    }
}
