/*
 * Reads what a Gemini upstream answers. Each event of a stream, and a whole answer as well, is one
 * GenerateContentResponse: pieces of its candidates, a reason where one of them is finished, and
 * the usage so far. Nothing marks the end but the end of the body; a stream that was cut has told
 * no reason, which the caller sees by reader->finished.
 *
 * Calls come whole. Their numbers are counted for each candidate, 16 bits in reader->calls_seen
 * each; a bit for each that is finished is in reader->block.
 */
#include <string.h>

#include "base/jw.h"
#include "base/str.h"
#include "proto/gemini_in.h"
#include "proto/pick.h"

#define CHOICES_MAX 16
_Static_assert(CHOICES_MAX * 16 <= sizeof ((struct codec_reader *)0)->calls_seen * 8,
               "a count of calls for each candidate");

struct candidate {
    struct codec_reader *reader;
    uint32_t choice;
    struct js_value logprobs; /* logprobsResult, until a text took it along */
};

static uint32_t
calls_of(const struct codec_reader *reader, uint32_t choice)
{
    return (uint32_t)(reader->calls_seen[choice / 4] >> choice % 4 * 16) & 0xffff;
}

static bool
call_counted(struct codec_reader *reader, uint32_t choice)
{
    if (reader->call_count == CODEC_CALLS_MAX)
        return false;
    reader->call_count++;
    reader->calls_seen[choice / 4] += UINT64_C(1) << choice % 4 * 16;
    return true;
}

static void
emit_text(const struct candidate *candidate, enum chat_delta_kind kind, struct str text,
          struct js_value logprobs)
{
    codec_emit(candidate->reader, &(struct chat_delta){
                                      .kind = kind,
                                      .choice = candidate->choice,
                                      .text = text,
                                      .logprobs = logprobs,
                                  });
}

/* ---- logprobs ---- */

static void
put_logprob(struct jw *jw, struct js_value token)
{
    struct js_value text = js_get(token, STR("token"));
    struct js_value probability = js_get(token, STR("logProbability"));

    jw_key_js(jw, "token", text.type == JS_STRING ? text : chat_literal(""));
    if (probability.type == JS_NUMBER)
        jw_key_js(jw, "logprob", probability);
    else
        jw_key_u64(jw, "logprob", 0);
    jw_key(jw, "bytes");
    jw_null(jw);
}

/* Tokens that were chosen, and beside each those that might have been, as chat has them. */
static struct js_value
logprobs_list(struct buf *scratch, struct js_value result)
{
    struct js_value chosen = js_get(result, STR("chosenCandidates"));
    struct js_value key, token, top, other;
    struct js_iter it, tops, others;
    size_t start = scratch->len;
    struct jw jw;

    if (chosen.type != JS_ARRAY)
        return (struct js_value){.type = JS_NONE};
    jw_init(&jw, scratch);
    jw_array(&jw);
    js_iter_init(&tops, js_get(result, STR("topCandidates")));
    for (js_iter_init(&it, chosen); js_next(&it, &key, &token);) {
        jw_object(&jw);
        put_logprob(&jw, token);
        jw_key(&jw, "top_logprobs");
        jw_array(&jw);
        if (js_next(&tops, &key, &top))
            for (js_iter_init(&others, js_get(top, STR("candidates")));
                 js_next(&others, &key, &other);) {
                jw_object(&jw);
                put_logprob(&jw, other);
                jw_object_end(&jw);
            }
        jw_array_end(&jw);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    if (scratch->failed)
        return (struct js_value){.type = JS_NONE};
    return (struct js_value){.type = JS_ARRAY,
                             .raw = {scratch->ptr + start, scratch->len - start}};
}

/* ---- parts ---- */

static void
read_signature(const struct candidate *candidate, struct js_value signature, bool of_call)
{
    struct codec_reader *reader = candidate->reader;

    if (signature.type != JS_STRING || signature.raw.len == 0)
        return;
    codec_emit(reader, &(struct chat_delta){
                           .kind = CHAT_DELTA_SIGNATURE,
                           .choice = candidate->choice,
                           .call = of_call ? calls_of(reader, candidate->choice) : 0,
                           .text = signature.raw,
                           .of_call = of_call,
                           .redacted = !of_call && !reader->reasoning_seen,
                       });
}

static void
read_text(struct candidate *candidate, struct js_value text, bool thought)
{
    struct codec_reader *reader = candidate->reader;
    struct js_value logprobs = {.type = JS_NONE};

    if (text.raw.len == 0)
        return;
    if (thought) {
        reader->reasoning_seen = true;
        emit_text(candidate, CHAT_DELTA_REASONING, text.raw, logprobs);
        return;
    }
    reader->text_seen = true;
    if (candidate->logprobs.type == JS_OBJECT)
        logprobs = logprobs_list(&reader->scratch, candidate->logprobs);
    candidate->logprobs.type = JS_NONE;
    emit_text(candidate, CHAT_DELTA_TEXT, text.raw, logprobs);
}

static bool
read_call(const struct candidate *candidate, struct js_value call)
{
    struct codec_reader *reader = candidate->reader;
    struct js_value id = js_get(call, STR("id")), name = js_get(call, STR("name"));
    struct js_value args = js_get(call, STR("args"));
    size_t start = reader->scratch.len;
    struct chat_delta delta = {
        .kind = CHAT_DELTA_CALL,
        .choice = candidate->choice,
        .call = calls_of(reader, candidate->choice),
        .id = id.type == JS_STRING && id.raw.len > 0 ? id.raw : STR_NONE,
        .name = name.raw,
    };

    if (name.type != JS_STRING || name.raw.len == 0 || !call_counted(reader, candidate->choice))
        return false;
    codec_emit(reader, &delta);
    chat_write_json_as_text(&reader->scratch, args.type == JS_OBJECT ? args.raw : STR("{}"));
    if (reader->scratch.failed)
        return false;
    delta = (struct chat_delta){
        .kind = CHAT_DELTA_ARGUMENTS,
        .choice = delta.choice,
        .call = delta.call,
        .text = {reader->scratch.ptr + start, reader->scratch.len - start},
    };
    codec_emit(reader, &delta);
    delta.kind = CHAT_DELTA_CALL_END;
    delta.text = STR_NONE;
    codec_emit(reader, &delta);
    return true;
}

/* A call's signature comes before it, as does that of the reasoning where others keep it. */
static bool
read_part(struct candidate *candidate, struct js_value part)
{
    enum { TEXT, CALL, SIGNATURE, THOUGHT, COUNT };
    static const struct str names[COUNT] = {
        [TEXT] = PICK_NAME("text"),
        [CALL] = PICK_NAME("functionCall"),
        [SIGNATURE] = PICK_NAME("thoughtSignature"),
        [THOUGHT] = PICK_NAME("thought"),
    };
    struct js_value values[COUNT];
    bool thought;

    if (part.type != JS_OBJECT)
        return false;
    pick_members(part, names, COUNT, values);
    if (values[CALL].type == JS_OBJECT) {
        read_signature(candidate, values[SIGNATURE], true);
        return read_call(candidate, values[CALL]);
    }
    thought = values[THOUGHT].type == JS_TRUE;
    if (!thought)
        read_signature(candidate, values[SIGNATURE], false);
    if (values[TEXT].type == JS_STRING)
        read_text(candidate, values[TEXT], thought);
    if (thought)
        read_signature(candidate, values[SIGNATURE], false);
    return true;
}

/* ---- candidates ---- */

static const struct {
    struct str name;
    enum chat_finish finish;
} finishes[] = {
    {{"MAX_TOKENS", 10}, CHAT_FINISH_LENGTH},
    {{"SAFETY", 6}, CHAT_FINISH_FILTER},
    {{"RECITATION", 10}, CHAT_FINISH_FILTER},
    {{"BLOCKLIST", 9}, CHAT_FINISH_FILTER},
    {{"PROHIBITED_CONTENT", 18}, CHAT_FINISH_FILTER},
    {{"SPII", 4}, CHAT_FINISH_FILTER},
    {{"IMAGE_SAFETY", 12}, CHAT_FINISH_FILTER},
    {{"IMAGE_PROHIBITED_CONTENT", 24}, CHAT_FINISH_FILTER},
    {{"IMAGE_RECITATION", 16}, CHAT_FINISH_FILTER},
    {{"IMAGE_OTHER", 11}, CHAT_FINISH_FILTER},
};

static void
emit_finish(struct codec_reader *reader, uint32_t choice, enum chat_finish finish)
{
    if (reader->block >> choice & 1)
        return;
    reader->block |= 1u << choice;
    codec_emit(reader, &(struct chat_delta){
                           .kind = CHAT_DELTA_FINISH, .choice = choice, .finish = finish});
}

static bool
read_finish(const struct candidate *candidate, struct js_value reason)
{
    struct codec_reader *reader = candidate->reader;
    enum chat_finish finish = CHAT_FINISH_STOP;
    bool calls = calls_of(reader, candidate->choice) > 0;

    if (reason.type != JS_STRING || js_str_eq(reason, STR("FINISH_REASON_UNSPECIFIED")))
        return true;
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (js_str_eq(reason, finishes[i].name))
            finish = finishes[i].finish;
    if (calls)
        finish = CHAT_FINISH_CALLS;
    else if (!reader->text_seen && (js_str_eq(reason, STR("MALFORMED_FUNCTION_CALL")) ||
                                    js_str_eq(reason, STR("UNEXPECTED_TOOL_CALL"))))
        return false;
    emit_finish(reader, candidate->choice, finish);
    return true;
}

static bool
read_candidate(struct codec_reader *reader, struct js_value value)
{
    enum { CONTENT, INDEX, FINISH, LOGPROBS, COUNT };
    static const struct str names[COUNT] = {
        [CONTENT] = PICK_NAME("content"),
        [INDEX] = PICK_NAME("index"),
        [FINISH] = PICK_NAME("finishReason"),
        [LOGPROBS] = PICK_NAME("logprobsResult"),
    };
    struct js_value values[COUNT], parts, key, part;
    struct candidate candidate = {.reader = reader};
    struct js_iter it;
    uint64_t n = 0;

    pick_members(value, names, COUNT, values);
    if (value.type != JS_OBJECT ||
        (values[INDEX].type == JS_NUMBER && !js_count(values[INDEX], CHOICES_MAX - 1, &n)))
        return false;
    candidate.choice = (uint32_t)n;
    candidate.logprobs = values[LOGPROBS];
    parts = js_get(values[CONTENT], STR("parts"));
    if (parts.type != JS_ARRAY)
        parts.type = JS_NONE;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);)
        if (!read_part(&candidate, part))
            return false;
    if (candidate.logprobs.type == JS_OBJECT)
        emit_text(&candidate, CHAT_DELTA_TEXT, STR(""),
                  logprobs_list(&reader->scratch, candidate.logprobs));
    return read_finish(&candidate, values[FINISH]);
}

static void
emit_start(struct codec_reader *reader, struct js_value id, struct js_value model)
{
    codec_emit(reader, &(struct chat_delta){
                           .kind = CHAT_DELTA_START,
                           .id = id.type == JS_STRING ? id.raw : STR_NONE,
                           .name = model.type == JS_STRING ? model.raw : STR_NONE,
                       });
}

static void
keep_usage(struct codec_reader *reader, const struct usage *usage)
{
    reader->usage = *usage;
    if (usage->state == USAGE_BAD)
        reader->usage.state = USAGE_ABSENT;
}

/*
 * False: the upstream breaks its protocol. *candidates: how many there are. event: whose usage the
 * meter has read, or NULL.
 */
static bool
read_response(struct codec_reader *reader, struct js_value document, const struct sse_event *event,
              size_t *candidates)
{
    enum { CANDIDATES, USAGE, ERROR, ID, MODEL, FEEDBACK, COUNT };
    static const struct str names[COUNT] = {
        [CANDIDATES] = PICK_NAME("candidates"), [USAGE] = PICK_NAME("usageMetadata"),
        [ERROR] = PICK_NAME("error"),           [ID] = PICK_NAME("responseId"),
        [MODEL] = PICK_NAME("modelVersion"),    [FEEDBACK] = PICK_NAME("promptFeedback"),
    };
    struct js_value values[COUNT], list, key, candidate;
    struct js_iter it;

    *candidates = 0;
    pick_members(document, names, COUNT, values);
    list = values[CANDIDATES];
    if (document.type != JS_OBJECT || values[ERROR].type == JS_OBJECT)
        return false;
    if (list.type != JS_NONE && list.type != JS_NULL && list.type != JS_ARRAY)
        return false;
    emit_start(reader, values[ID], values[MODEL]);
    if (event != NULL && event->usage != NULL) {
        keep_usage(reader, event->usage);
    } else if (event == NULL && values[USAGE].type != JS_NONE) {
        struct usage usage = usage_from_gemini(values[USAGE]);

        keep_usage(reader, &usage);
    }
    for (js_iter_init(&it, list); js_next(&it, &key, &candidate); ++*candidates)
        if (!read_candidate(reader, candidate))
            return false;
    if (*candidates == 0 &&
        js_get(values[FEEDBACK], STR("blockReason")).type == JS_STRING) {
        emit_finish(reader, 0, CHAT_FINISH_FILTER);
        ++*candidates;
    }
    return !reader->scratch.failed;
}

bool
gemini_event_read(struct codec_reader *reader, const struct sse_event *event)
{
    struct js_value document;
    struct js_error fault;
    size_t candidates;

    if (event->data.ptr == NULL)
        return true;
    if (event->document.type != JS_NONE)
        return read_response(reader, event->document, event, &candidates);
    return js_check_lenient(event->data, &document, NULL, &fault) &&
           read_response(reader, document, NULL, &candidates);
}

void
gemini_stream_end(struct codec_reader *reader)
{
    if (reader->usage.state == USAGE_PRESENT || reader->usage.state == USAGE_ZERO)
        codec_emit(reader, &(struct chat_delta){.kind = CHAT_DELTA_USAGE, .usage = &reader->usage});
    codec_emit(reader, &(struct chat_delta){.kind = CHAT_DELTA_END});
}

bool
gemini_answer_read(struct codec_reader *reader, struct js_value document)
{
    size_t candidates;

    if (!read_response(reader, document, NULL, &candidates) || candidates == 0)
        return false;
    gemini_stream_end(reader);
    return true;
}
