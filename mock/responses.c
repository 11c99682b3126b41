/* Answers of OpenAI's Responses, whole and as events. */
#include "mock/sim.h"

#include "base/str.h"

#include <string.h>

enum item_kind { ITEM_REASONING, ITEM_MESSAGE, ITEM_TOOL };

static void
add(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

static const char *
tool_prefix(const struct call *call)
{
    return call->tool_custom ? "ctc" : "fc";
}

static void
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
        add(out, "]");
        if (at_end && call->encrypted)
            buf_add_fmt(out, ",\"encrypted_content\":\"enc-%016llx\"",
                        (unsigned long long)reasoning_mark(call));
        add(out, "}");
        break;
    case ITEM_MESSAGE:
        buf_add_fmt(out,
                    "{\"id\":\"msg_sim%016llx\",\"type\":\"message\",\"status\":\"%s\","
                    "\"role\":\"assistant\",\"content\":[",
                    seq, status);
        if (at_end) {
            add(out, "{\"type\":\"output_text\",\"text\":\"");
            answer_text(call, out);
            add(out, "\",\"annotations\":[],\"logprobs\":");
            logprobs_write(call, out, 0, call->words);
            add(out, "}");
        }
        add(out, "]}");
        break;
    case ITEM_TOOL:
        buf_add_fmt(out,
                    "{\"id\":\"%s_sim%016llx_%u\",\"type\":\"%s\",\"status\":\"%s\","
                    "\"call_id\":\"call_sim%016llx_0_%u\",\"name\":\"%s\",\"%s\":\"",
                    tool_prefix(call), seq, tool,
                    call->tool_custom ? "custom_tool_call" : "function_call", status, seq, tool,
                    call->tool_name, call->tool_custom ? "input" : "arguments");
        if (at_end)
            tool_arguments(out, call, tool);
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

/* Why the response is not what it should have been; NULL: it is. */
static const char *
incomplete_why(const struct call *call)
{
    return fault_on(&call->faults, F_BLOCKED) ? "content_filter"
           : call->cap_reached                ? "max_output_tokens"
                                              : NULL;
}

static void
response_object_write(const struct call *call, struct buf *out, bool at_end)
{
    const char *why = incomplete_why(call);
    const char *status = !at_end ? "in_progress" : why != NULL ? "incomplete" : "completed";

    buf_add_fmt(out,
                "{\"id\":\"resp_sim%016llx\",\"object\":\"response\",\"created_at\":%lld,"
                "\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s%s%s,"
                "\"instructions\":null,\"max_output_tokens\":null,\"model\":\"%s\"",
                (unsigned long long)call->seq, (long long)started_s, status,
                at_end && why != NULL ? "{\"reason\":\"" : "",
                at_end && why != NULL ? why : "null", at_end && why != NULL ? "\"}" : "",
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

void
responses_write(const struct call *call, struct buf *out)
{
    response_object_write(call, out, true);
}

/* ---- events ---- */

/* {"type":NAME,"sequence_number":N — the caller goes on with a comma and closes. */
static void
response_open(const struct call *call, const char *name)
{
    event_name = name;
    add(&event, "{\"type\":\"");
    add(&event, name);
    add(&event, "\",\"sequence_number\":");
    buf_add_u64(&event, call->events);
}

static void
response_item(const struct call *call, enum item_kind kind, uint32_t tool, bool at_end)
{
    response_open(call, at_end ? "response.output_item.done" : "response.output_item.added");
    buf_add_fmt(&event, ",\"output_index\":%u,\"item\":", call->output_index);
    response_item_write(call, &event, kind, tool, at_end);
    add(&event, "}");
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
    add(&event, step == 2 ? ",\"text\":\"" : ",\"part\":{\"type\":\"summary_text\",\"text\":\"");
    if (step > 1)
        text_words(&event, call->reasoning, 0, 0);
    add(&event, step == 2 ? "\"}" : "\"}}");
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
    add(&event, step == 2 ? ",\"text\":\"" : ",\"part\":{\"type\":\"output_text\",\"text\":\"");
    if (step > 1)
        answer_text(call, &event);
    add(&event, step == 2 ? "\",\"logprobs\":" : "\",\"annotations\":[],\"logprobs\":");
    logprobs_write(call, &event, 0, step > 1 ? call->words : 0);
    add(&event, step == 2 ? "}" : "}}");
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
        response_open(call, call->tool_custom ? "response.custom_tool_call_input.delta"
                                              : "response.function_call_arguments.delta");
        buf_add_fmt(&event,
                    ",\"item_id\":\"%s_sim%016llx_%u\",\"output_index\":%u,\"delta\":\"",
                    tool_prefix(call), (unsigned long long)call->seq, tool, call->output_index);
        tool_piece(&event, call, tool, step - 1);
        add(&event, "\"}");
        call->used.output++;
    } else if (step == TOOL_PIECES) {
        response_open(call, call->tool_custom ? "response.custom_tool_call_input.done"
                                              : "response.function_call_arguments.done");
        buf_add_fmt(&event, ",\"item_id\":\"%s_sim%016llx_%u\",\"output_index\":%u,",
                    tool_prefix(call), (unsigned long long)call->seq, tool, call->output_index);
        if (call->tool_custom)
            add(&event, "\"input\":\"");
        else
            buf_add_fmt(&event, "\"name\":\"%s\",\"arguments\":\"", call->tool_name);
        tool_arguments(&event, call, tool);
        add(&event, "\"}");
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
    add(&event, ",\"delta\":\"");
    if (reasoning)
        text_word(&event, call->at, 0);
    else
        answer_piece(call, &event, call->at);
    add(&event, "\"");
    if (!reasoning) {
        add(&event, ",\"logprobs\":");
        logprobs_write(call, &event, call->at, call->at + 1);
    }
    add(&event, "}");
    call->at++;
    call->used.output++;
    call->used.reasoning += reasoning;
}

bool
responses_next(struct call *call)
{
    for (;;) {
        uint32_t step = call->at;

        switch ((enum phase)call->phase) {
        case PHASE_START:
            response_open(call, step == 0 ? "response.created" : "response.in_progress");
            add(&event, ",\"response\":");
            response_object_write(call, &event, false);
            add(&event, "}");
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
            response_open(call, incomplete_why(call) != NULL ? "response.incomplete"
                                                            : "response.completed");
            add(&event, ",\"response\":");
            response_object_write(call, &event, true);
            add(&event, "}");
            return true;
        case PHASE_FINISH:
        case PHASE_REDACTED:
        case PHASE_USAGE: ASSERT(!"a phase of responses"); return false;
        case PHASE_END: return false;
        }
    }
}

void
responses_error(const struct call *call)
{
    response_open(call, "error");
    add(&event, ",\"code\":\"server_error\",\"message\":\"sim: error in the stream\","
                "\"param\":null}");
}
