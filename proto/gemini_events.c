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
    struct js_value text = js_get(part, STR("text")), call = js_get(part, STR("functionCall"));
    struct js_value signature = js_get(part, STR("thoughtSignature"));
    bool thought = js_get(part, STR("thought")).type == JS_TRUE;

    if (part.type != JS_OBJECT)
        return false;
    if (call.type == JS_OBJECT) {
        read_signature(candidate, signature, true);
        return read_call(candidate, call);
    }
    if (!thought)
        read_signature(candidate, signature, false);
    if (text.type == JS_STRING)
        read_text(candidate, text, thought);
    if (thought)
        read_signature(candidate, signature, false);
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
    struct candidate candidate = {
        .reader = reader,
        .logprobs = js_get(value, STR("logprobsResult")),
    };
    struct js_value parts = js_path(value, "content", "parts", NULL);
    struct js_value index = js_get(value, STR("index")), key, part;
    struct js_iter it;
    uint64_t n = 0;

    if (value.type != JS_OBJECT ||
        (index.type == JS_NUMBER && !js_count(index, CHOICES_MAX - 1, &n)))
        return false;
    candidate.choice = (uint32_t)n;
    if (parts.type != JS_ARRAY)
        parts.type = JS_NONE;
    for (js_iter_init(&it, parts); js_next(&it, &key, &part);)
        if (!read_part(&candidate, part))
            return false;
    if (candidate.logprobs.type == JS_OBJECT)
        emit_text(&candidate, CHAT_DELTA_TEXT, STR(""),
                  logprobs_list(&reader->scratch, candidate.logprobs));
    return read_finish(&candidate, js_get(value, STR("finishReason")));
}

static void
emit_start(struct codec_reader *reader, struct js_value document)
{
    struct js_value id = js_get(document, STR("responseId"));
    struct js_value model = js_get(document, STR("modelVersion"));

    codec_emit(reader, &(struct chat_delta){
                           .kind = CHAT_DELTA_START,
                           .id = id.type == JS_STRING ? id.raw : STR_NONE,
                           .name = model.type == JS_STRING ? model.raw : STR_NONE,
                       });
}

/* False: the upstream breaks its protocol. *candidates: how many there are. */
static bool
read_response(struct codec_reader *reader, struct js_value document, size_t *candidates)
{
    struct js_value list = js_get(document, STR("candidates"));
    struct js_value usage = js_get(document, STR("usageMetadata"));
    struct js_value key, candidate;
    struct js_iter it;

    *candidates = 0;
    if (document.type != JS_OBJECT || js_get(document, STR("error")).type == JS_OBJECT)
        return false;
    if (list.type != JS_NONE && list.type != JS_NULL && list.type != JS_ARRAY)
        return false;
    emit_start(reader, document);
    if (usage.type != JS_NONE) {
        reader->usage = usage_from_gemini(usage);
        if (reader->usage.state == USAGE_BAD)
            reader->usage.state = USAGE_ABSENT;
    }
    for (js_iter_init(&it, list); js_next(&it, &key, &candidate); ++*candidates)
        if (!read_candidate(reader, candidate))
            return false;
    if (*candidates == 0 &&
        js_path(document, "promptFeedback", "blockReason", NULL).type == JS_STRING) {
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
    return js_check_lenient(event->data, &document, NULL, &fault) &&
           read_response(reader, document, &candidates);
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

    if (!read_response(reader, document, &candidates) || candidates == 0)
        return false;
    gemini_stream_end(reader);
    return true;
}
