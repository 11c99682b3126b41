#include "base/str.h"
#include "proto/codec_in.h"
#include "proto/gemini_embed.h"
#include "proto/meter.h"
#include "test/unit/testing.h"

#define LIMIT (1u << 20)

/* ---- answers of upstreams, as a list of deltas ---- */

struct log {
    char text[4096];
    size_t len;
};

static void
log_delta(void *arg, const struct chat_delta *d)
{
    static const char *const kinds[CHAT_DELTA_KIND_COUNT] = {
        "start", "text",     "reasoning", "signature", "refusal", "call",
        "args",  "call_end", "ping",      "usage",     "finish",  "end"};
    static const char *const finishes[CHAT_FINISH_COUNT] = {"stop", "sequence", "calls", "length",
                                                            "context", "filter",   "refusal"};
    struct log *log = arg;
    char text[1024];
    int len = snprintf(text, sizeof text, "%s%s", log->len > 0 ? " " : "", kinds[d->kind]);

#define ADD(...) (len += snprintf(text + len, sizeof text - (size_t)len, __VA_ARGS__))
    if (d->choice > 0)
        ADD("#%u", d->choice);
    if (d->call > 0)
        ADD("@%u", d->call);
    if (d->kind == CHAT_DELTA_START || d->kind == CHAT_DELTA_CALL)
        ADD("(%.*s,%.*s)", STR_ARGS(d->id), STR_ARGS(d->name));
    if (d->kind == CHAT_DELTA_TEXT || d->kind == CHAT_DELTA_REASONING ||
        d->kind == CHAT_DELTA_SIGNATURE || d->kind == CHAT_DELTA_ARGUMENTS)
        ADD("(%.*s%s%s)", STR_ARGS(d->text), d->redacted ? "|redacted" : "",
            d->of_call ? "|of call" : "");
    if (d->logprobs.type != JS_NONE)
        ADD("%.*s", STR_ARGS(d->logprobs.raw));
    if (d->kind == CHAT_DELTA_USAGE)
        ADD("(%u,%u,%u,%u)", d->usage->input, d->usage->cache_read, d->usage->output,
            d->usage->reasoning);
    if (d->kind == CHAT_DELTA_FINISH)
        ADD("(%s)", finishes[d->finish]);
    assert_true(log->len + (size_t)len < sizeof log->text);
    memcpy(log->text + log->len, text, (size_t)len + 1);
    log->len += (size_t)len;
}

/* How an upstream's words come: as events, as events that the meter has been through, as a whole. */
enum way { AS_EVENTS, AS_METERED, AS_WHOLE };

/* One event a string. False where one of them was not understood. */
static bool
read_events(const char *const *events, size_t count, enum way way, struct log *log, bool *finished)
{
    struct codec_reader reader = {
        .endpoint = ENDPOINT_GENERATE, .on_delta = log_delta, .arg = log};
    struct meter meter;
    bool good = true;

    *log = (struct log){.len = 0};
    meter_init(&meter, ENDPOINT_GENERATE, false);
    buf_init(&reader.scratch, LIMIT);
    for (size_t i = 0; i < count && good; i++) {
        struct page page = page_make(events[i], strlen(events[i]));
        struct sse_event event = {.raw = page.text, .data = page.text};
        struct js_value document;
        struct js_error fault;

        reader.scratch.len = 0;
        if (way == AS_METERED && meter_event(&meter, &event) == METER_PASS)
            assert_int_equal(event.document.type, JS_OBJECT); /* or the test would be another */
        if (way == AS_WHOLE)
            good = js_check(page.text, &document, &fault) &&
                   gemini_codec.answer_read(&reader, document);
        else
            good = gemini_codec.event_read(&reader, &event);
        page_free(&page);
    }
    if (good && way != AS_WHOLE)
        gemini_codec.stream_end(&reader);
    *finished = reader.finished;
    buf_free(&reader.scratch);
    return good;
}

static void
check_events(const char *const *events, size_t count, const char *want)
{
    struct log log;
    bool finished;

    for (enum way way = AS_EVENTS; way <= AS_METERED; way++) {
        if (!read_events(events, count, way, &log, &finished))
            fail_msg("refused after %s", log.text);
        assert_string_equal(log.text, want);
        assert_int_equal(finished, strstr(want, "finish") != NULL);
    }
}
#define CHECK_EVENTS(want, ...)                                                                    \
    check_events((const char *const[]){__VA_ARGS__},                                               \
                 COUNT_OF(((const char *const[]){__VA_ARGS__})), (want))

static void
check_whole(const char *answer, const char *want)
{
    struct log log;
    bool finished;

    if (!read_events(&answer, 1, AS_WHOLE, &log, &finished))
        fail_msg("refused after %s", log.text);
    assert_string_equal(log.text, want);
}

#define PARTS(parts) "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]}}]}"
#define FINISH(parts, reason)                                                                      \
    "{\"candidates\":[{\"content\":{\"parts\":[" parts "]},\"finishReason\":\"" reason "\"}]}"

static void
test_stream(void **state)
{
    (void)state;
    CHECK_EVENTS(
        "start(r1,m) reasoning(Adding.) text(Hi \\\"there\\\") signature(AAAA|of call) "
        "call(,f) args({\\\"a\\\":1}) call_end signature@1(BB\\/B|of call) call@1(x,g) "
        "args@1({}) call_end@1 finish(calls) usage(80,40,33,12) end",
        "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Adding.\","
        "\"thought\":true}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":120},"
        "\"modelVersion\":\"m\",\"responseId\":\"r1\"}",
        PARTS("{\"text\":\"Hi \\\"there\\\"\"},{\"text\":\"\"}"),
        PARTS("{\"functionCall\":{\"name\":\"f\",\"args\":{ \"a\": 1 }},"
              "\"thoughtSignature\":\"AAAA\"},{\"functionCall\":{\"id\":\"x\",\"name\":\"g\"},"
              "\"thoughtSignature\":\"BB\\/B\"}"),
        "{\"candidates\":[{\"content\":{\"role\":\"model\"},\"finishReason\":\"STOP\"}],"
        "\"usageMetadata\":{\"promptTokenCount\":120,\"cachedContentTokenCount\":40,"
        "\"candidatesTokenCount\":21,\"thoughtsTokenCount\":12,\"totalTokenCount\":153}}");
}

static void
test_stream_ends(void **state)
{
    (void)state;
    /* Cut: nothing says that it is finished. */
    CHECK_EVENTS("start(,) text(a) end", PARTS("{\"text\":\"a\"}"));
    CHECK_EVENTS("start(,) end", "{}", "{\"candidates\":[]}");
    /* The usage after the reason; one that is wrong is none. */
    CHECK_EVENTS("start(,) text(a) finish(length) usage(7,0,0,0) end",
                 FINISH("{\"text\":\"a\"}", "MAX_TOKENS"),
                 "{\"usageMetadata\":{\"promptTokenCount\":7}}");
    CHECK_EVENTS("start(,) text(a) finish(stop) end",
                 "{\"usageMetadata\":{\"promptTokenCount\":7}}",
                 FINISH("{\"text\":\"a\"}", "STOP"),
                 "{\"usageMetadata\":{\"promptTokenCount\":-7}}");
    CHECK_EVENTS("start(,x) finish(filter) usage(5,0,0,0) end",
                 "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"modelVersion\":\"x\","
                 "\"usageMetadata\":{\"promptTokenCount\":5}}");
    /* One reason a candidate. */
    CHECK_EVENTS("start(,) finish(stop) end", FINISH("", "STOP"), FINISH("", "SAFETY"));
    CHECK_EVENTS("start(,) text(a) finish(stop) end",
                 FINISH("{\"text\":\"a\"}", "FINISH_REASON_UNSPECIFIED"), FINISH("", "OTHER"));
    /* Gemini 3 signs its texts at the very end. */
    CHECK_EVENTS("start(,) text(a) signature(S|redacted) finish(stop) end",
                 PARTS("{\"text\":\"a\"}"),
                 FINISH("{\"text\":\"\",\"thoughtSignature\":\"S\"}", "STOP"));
    CHECK_EVENTS("start(,) reasoning(a) signature(S) signature(T) text(b) end",
                 PARTS("{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":\"S\"},"
                       "{\"text\":\"b\",\"thoughtSignature\":\"T\"}"));
    /* Pictures, what ran at the provider, what is not known yet. */
    CHECK_EVENTS("start(,) end", PARTS("{\"inlineData\":{}},{\"executableCode\":{}},{\"new\":1}"));
}

static void
test_finishes(void **state)
{
    static const char *const rows[][2] = {
        {"STOP", "stop"},           {"MAX_TOKENS", "length"},
        {"SAFETY", "filter"},       {"RECITATION", "filter"},
        {"BLOCKLIST", "filter"},    {"PROHIBITED_CONTENT", "filter"},
        {"SPII", "filter"},         {"IMAGE_SAFETY", "filter"},
        {"LANGUAGE", "stop"},       {"OTHER", "stop"},
        {"NO_IMAGE", "stop"},       {"TOO_MANY_TOOL_CALLS", "stop"},
        {"MALFORMED_FUNCTION_CALL", "stop"},
    };
    struct log log;
    bool finished;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char event[256], want[128];
        const char *events = event;

        snprintf(event, sizeof event, FINISH("{\"text\":\"a\"}", "%s"), rows[i][0]);
        snprintf(want, sizeof want, "start(,) text(a) finish(%s) end", rows[i][1]);
        check_events(&events, 1, want);
    }
    CHECK_EVENTS("start(,) call(,f) args({}) call_end finish(calls) end",
                 PARTS("{\"functionCall\":{\"name\":\"f\",\"args\":{}}}"),
                 FINISH("", "MALFORMED_FUNCTION_CALL"));
    assert_false(read_events((const char *[]){FINISH("", "MALFORMED_FUNCTION_CALL")}, 1, AS_EVENTS,
                             &log, &finished));
    assert_false(finished);
    assert_false(read_events((const char *[]){FINISH("{\"text\":\"a\",\"thought\":true}",
                                                     "UNEXPECTED_TOOL_CALL")},
                             1, AS_EVENTS, &log, &finished));
}

static void
test_candidates(void **state)
{
    (void)state;
    CHECK_EVENTS("start(,) text(a) text#1(b) call#1(,f) args#1({}) call_end#1 call(,g) args({}) "
                 "call_end call#1@1(,h) args#1@1({}) call_end#1@1 finish#1(calls) finish(calls) "
                 "end",
                 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}},{\"index\":1,"
                 "\"content\":{\"parts\":[{\"text\":\"b\"},"
                 "{\"functionCall\":{\"name\":\"f\"}}]}}]}",
                 "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"g\"}}]}},"
                 "{\"index\":1,\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"h\"}}]},"
                 "\"finishReason\":\"STOP\"}]}",
                 FINISH("", "STOP"));
}

#define LOGPROBS                                                                                   \
    "\"logprobsResult\":{\"topCandidates\":[{\"candidates\":[{\"token\":\"a\","                    \
    "\"logProbability\":-0.1},{\"token\":\"b\",\"tokenId\":5,\"logProbability\":-2e1}]}],"         \
    "\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-0.1},{\"token\":7}]}"
#define LIST                                                                                       \
    "[{\"token\":\"a\",\"logprob\":-0.1,\"bytes\":null,\"top_logprobs\":[{\"token\":\"a\","        \
    "\"logprob\":-0.1,\"bytes\":null},{\"token\":\"b\",\"logprob\":-2e1,\"bytes\":null}]},"        \
    "{\"token\":\"\",\"logprob\":0,\"bytes\":null,\"top_logprobs\":[]}]"

static void
test_logprobs(void **state)
{
    (void)state;
    CHECK_EVENTS("start(,) text(a)" LIST " text(b) call(,f) args({}) call_end end",
                 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"},"
                 "{\"functionCall\":{\"name\":\"f\"}}]}," LOGPROBS "}]}");
    CHECK_EVENTS("start(,) text()" LIST " finish(stop) end",
                 "{\"candidates\":[{\"finishReason\":\"STOP\"," LOGPROBS "}]}");
}

static void
test_whole(void **state)
{
    (void)state;
    check_whole("{\"candidates\":[{\"content\":{\"role\":\"model\","
                "\"parts\":[{\"text\":\"Adding.\","
                "\"thought\":true},{\"text\":\"Hi\"},{\"functionCall\":{\"name\":\"f\",\"args\":"
                "{\"a\":\"\\n\"}},\"thoughtSignature\":\"AAAA\"}]},\"finishReason\":\"STOP\","
                "\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":120,"
                "\"cachedContentTokenCount\":40,\"candidatesTokenCount\":21,"
                "\"thoughtsTokenCount\":12,"
                "\"totalTokenCount\":153},\"modelVersion\":\"m\",\"responseId\":\"r1\"}",
                "start(r1,m) reasoning(Adding.) text(Hi) signature(AAAA|of call) call(,f) "
                "args({\\\"a\\\":\\\"\\\\n\\\"}) call_end finish(calls) usage(80,40,33,12) end");
    check_whole("{\"promptFeedback\":{\"blockReason\":\"OTHER\"}}",
                "start(,) finish(filter) end");
}

static void
test_broken(void **state)
{
    static const char *const events[] = {
        "",
        "x",
        "[]",
        "7",
        "{\"error\":{\"code\":503}}",
        "{\"candidates\":{}}",
        "{\"candidates\":[7]}",
        "{\"candidates\":[{\"index\":16}]}",
        "{\"candidates\":[{\"index\":-1}]}",
        PARTS("7"),
        PARTS("{\"functionCall\":{}}"),
        PARTS("{\"functionCall\":{\"name\":\"\"}}"),
        PARTS("{\"functionCall\":{\"name\":5}}"),
    };
    const char *wholes[] = {"{}", "[]", "{\"candidates\":[]}", "{\"candidates\":null}"};
    const char *call = PARTS("{\"functionCall\":{\"name\":\"f\"}}");
    struct codec_reader reader = {.on_delta = log_delta};
    const struct sse_event comment = {.comment_only = true};
    struct sse_event many = {.data = str_from(call)};
    struct log log;
    bool finished;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (read_events(&events[i], 1, AS_EVENTS, &log, &finished))
            fail_msg("taken: %s", events[i]);
    for (size_t i = 0; i < COUNT_OF(wholes); i++)
        if (read_events(&wholes[i], 1, AS_WHOLE, &log, &finished))
            fail_msg("taken: %s", wholes[i]);
    reader.arg = &log;
    assert_true(gemini_codec.event_read(&reader, &comment));
    buf_init(&reader.scratch, LIMIT);
    for (unsigned i = 0; i < CODEC_CALLS_MAX; i++) {
        log.len = reader.scratch.len = 0;
        assert_true(gemini_codec.event_read(&reader, &many));
    }
    assert_false(gemini_codec.event_read(&reader, &many));
    buf_free(&reader.scratch);
}

/* ---- answers to clients ---- */

#define TAG "tp1.m.00."

static const struct usage some_usage = {
    .state = USAGE_PRESENT, .input = 64, .cache_read = 40, .cache_write_5m = 16, .output = 33,
    .reasoning = 12};

static void
check_written(const struct chat_delta *deltas, size_t count, bool json_array, const char *want)
{
    struct chat_frame frame = {
        .id = STR("id"), .model = STR("fallback"), .json_array = json_array, .tag = TAG};
    struct codec_writer writer = {.frame = &frame};
    struct buf out;

    buf_init(&out, LIMIT);
    for (size_t i = 0; i < count; i++)
        gemini_codec.delta_write(&writer, &deltas[i], &out);
    assert_false(out.failed);
    assert_str(buf_str(&out), want);
    /* After the end there is nothing. */
    if (count > 0 && deltas[count - 1].kind == CHAT_DELTA_END) {
        out.len = 0;
        gemini_codec.delta_write(&writer, &deltas[count - 1], &out);
        assert_int_equal(out.len, 0);
        assert_null(writer.open.ptr);
        assert_null(writer.open2.ptr);
        assert_null(writer.items.ptr);
    }
    buf_free(&writer.open);
    buf_free(&writer.open2);
    buf_free(&writer.items);
    buf_free(&out);
}
#define CHECK_WRITTEN(json_array, want, ...)                                                       \
    check_written((const struct chat_delta[]){__VA_ARGS__},                                        \
                  COUNT_OF(((const struct chat_delta[]){__VA_ARGS__})), (json_array), (want))

#define D(what, ...) {.kind = CHAT_DELTA_##what, __VA_ARGS__}
#define T(string) .text = STR(string)
#define CHUNK(parts, rest, model)                                                                  \
    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]}" rest "}]"           \
    ",\"modelVersion\":\"" model "\",\"responseId\":\"id\"}"
#define SSE(parts) "data: " CHUNK(parts, ",\"index\":0", "m") "\r\n\r\n"
#define LAST(parts, reason, usage)                                                                 \
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]},"             \
    "\"finishReason\":\"" reason "\",\"index\":0}]" usage                                          \
    ",\"modelVersion\":\"m\",\"responseId\":\"id\"}\r\n\r\n"
#define USAGE                                                                                      \
    ",\"usageMetadata\":{\"promptTokenCount\":120,\"cachedContentTokenCount\":40,"                 \
    "\"candidatesTokenCount\":21,\"thoughtsTokenCount\":12,\"totalTokenCount\":153}"

static void
test_write_stream(void **state)
{
    (void)state;
    CHECK_WRITTEN(
        false,
        SSE("{\"text\":\"Adding.\",\"thought\":true}") ": ping\r\n\r\n"
        SSE("{\"text\":\"Hi \\\"\",\"thoughtSignature\":\"" TAG "AAAA\"}")
        SSE("{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{\"a\":\"\\n \"}}}")
        SSE("{\"functionCall\":{\"id\":\"call_id_1\",\"name\":\"g\",\"args\":{}},"
            "\"thoughtSignature\":\"" TAG "BB\"}")
        LAST("{\"text\":\"\"}", "STOP", USAGE),
        D(START, .id = STR("up"), .name = STR("m")), D(REASONING, T("Adding.")), D(PING, T("")),
        D(SIGNATURE, T("AAAA")), D(TEXT, T("Hi \\\"")), D(TEXT, T("")),
        D(CALL, .id = STR("c1"), .name = STR("f")), D(ARGUMENTS, T("{ \\\"a\\\":\\n")),
        D(ARGUMENTS, T("\\\"\\\\n \\\"\\u007d")), D(CALL_END, T("")),
        D(CALL, .call = 1, .name = STR("g")), D(SIGNATURE, T("BB"), .call = 1, .of_call = true),
        D(FINISH, .finish = CHAT_FINISH_CALLS), D(USAGE, .usage = &some_usage), D(END, T("")));
}

static void
test_write_arguments(void **state)
{
    (void)state;
    CHECK_WRITTEN(
        false,
        "data: " CHUNK("{\"functionCall\":{\"id\":\"call_id_0\",\"name\":\"f\",\"args\":"
                       "{\"_raw\":\"{\\\"a\\\":\"}}}", ",\"index\":0", "fallback") "\r\n\r\n"
        "data: " CHUNK("{\"functionCall\":{\"id\":\"call_id_1\",\"name\":\"f\",\"args\":"
                       "{\"_raw\":\"[1]\"}}}", ",\"index\":0", "fallback") "\r\n\r\n"
        "data: " CHUNK("{\"functionCall\":{\"id\":\"call_id_2\",\"name\":\"f\",\"args\":{}}}",
                       ",\"index\":0", "fallback") "\r\n\r\n",
        D(CALL, .name = STR("f")), D(ARGUMENTS, T("{\\\"a\\\":")), D(CALL_END, T("")),
        D(CALL, .name = STR("f")), D(ARGUMENTS, T("[1]")), D(CALL_END, T("")),
        D(CALL, .name = STR("f")), D(ARGUMENTS, T("  ")), D(CALL_END, T("")));
}

static void
test_write_signatures(void **state)
{
    (void)state;
    CHECK_WRITTEN(
        false,
        SSE("{\"text\":\"a\",\"thought\":true}")
        SSE("{\"text\":\"\",\"thoughtSignature\":\"" TAG "A\"}")
        SSE("{\"text\":\"\",\"thoughtSignature\":\"r." TAG "B\"},{\"text\":\"c\",\"thought\":true}")
        LAST("{\"text\":\"\",\"thoughtSignature\":\"" TAG "C\"}", "MAX_TOKENS", ""),
        D(START, .name = STR("m")), D(REASONING, T("a")), D(SIGNATURE, T("A")),
        D(SIGNATURE, T("B"), .redacted = true), D(REASONING, T("c")), D(SIGNATURE, T("C")),
        D(FINISH, .finish = CHAT_FINISH_LENGTH), D(END, T("")));
}

static void
test_write_finishes(void **state)
{
    static const struct {
        enum chat_finish finish;
        const char *reason;
    } rows[] = {
        {CHAT_FINISH_STOP, "STOP"},          {CHAT_FINISH_STOP_SEQUENCE, "STOP"},
        {CHAT_FINISH_CALLS, "STOP"},         {CHAT_FINISH_LENGTH, "MAX_TOKENS"},
        {CHAT_FINISH_CONTEXT, "MAX_TOKENS"}, {CHAT_FINISH_FILTER, "SAFETY"},
        {CHAT_FINISH_REFUSAL, "SAFETY"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct chat_delta deltas[] = {D(START, .name = STR("m")),
                                            D(FINISH, .finish = rows[i].finish), D(END, T(""))};
        char want[512];

        snprintf(want, sizeof want, LAST("{\"text\":\"\"}", "%s", ""), rows[i].reason);
        check_written(deltas, COUNT_OF(deltas), false, want);
    }
    CHECK_WRITTEN(false, SSE("{\"text\":\"no\"}") LAST("{\"text\":\"\"}", "STOP", ""),
                  D(START, .name = STR("m")), D(REFUSAL, T("no")),
                  D(FINISH, .finish = CHAT_FINISH_REFUSAL), D(END, T("")));
    /* Cut: the reason stays away, what was used is told. */
    CHECK_WRITTEN(false,
                  "data: {\"usageMetadata\":{\"promptTokenCount\":120,"
                  "\"cachedContentTokenCount\":40,\"candidatesTokenCount\":21,"
                  "\"thoughtsTokenCount\":12,\"totalTokenCount\":153},\"modelVersion\":\"m\","
                  "\"responseId\":\"id\"}\r\n\r\n",
                  D(START, .name = STR("m")), D(USAGE, .usage = &some_usage), D(END, T("")));
}

static void
test_write_candidates(void **state)
{
    (void)state;
    CHECK_WRITTEN(
        false,
        "data: " CHUNK("{\"text\":\"a\"}", ",\"index\":0", "m") "\r\n\r\n"
        "data: " CHUNK("{\"text\":\"b\"}", ",\"index\":1", "m") "\r\n\r\n"
        "data: " CHUNK("{\"text\":\"c\"}", ",\"index\":0", "m") "\r\n\r\n"
        "data: " CHUNK("{\"text\":\"\"}", ",\"finishReason\":\"STOP\",\"index\":1", "m") "\r\n\r\n"
        LAST("{\"text\":\"\"}", "MAX_TOKENS", USAGE),
        D(START, .name = STR("m")), D(TEXT, T("a")), D(TEXT, T("b"), .choice = 1),
        D(FINISH, .choice = 1, .finish = CHAT_FINISH_STOP), D(TEXT, T("c")),
        D(FINISH, .finish = CHAT_FINISH_LENGTH), D(USAGE, .usage = &some_usage), D(END, T("")));
    /* A call of another candidate after one that is finished. */
    CHECK_WRITTEN(
        false,
        "data: " CHUNK("{\"text\":\"\"}", ",\"finishReason\":\"STOP\",\"index\":1", "m") "\r\n\r\n"
        SSE("{\"functionCall\":{\"id\":\"x\",\"name\":\"f\",\"args\":{}}}")
        LAST("{\"text\":\"\"}", "STOP", ""),
        D(START, .name = STR("m")), D(FINISH, .choice = 1, .finish = CHAT_FINISH_STOP),
        D(CALL, .id = STR("x"), .name = STR("f")), D(CALL_END, T("")),
        D(FINISH, .finish = CHAT_FINISH_CALLS), D(END, T("")));
}

static void
test_write_array(void **state)
{
    (void)state;
    CHECK_WRITTEN(true,
                  "[" CHUNK("{\"text\":\"a\"}", ",\"index\":0", "m") ",\r\n"
                  CHUNK("{\"text\":\"\"}", ",\"finishReason\":\"STOP\",\"index\":0", "m") "]",
                  D(START, .name = STR("m")), D(PING, T("")), D(TEXT, T("a")),
                  D(FINISH, .finish = CHAT_FINISH_STOP), D(PING, T("")), D(END, T("")));
    CHECK_WRITTEN(true, "[]", D(END, T("")));
}

static void
test_write_logprobs(void **state)
{
    const struct js_value list = {.type = JS_ARRAY, .raw = STR(LIST)};

    (void)state;
    CHECK_WRITTEN(false,
                  "data: " CHUNK("{\"text\":\"a\"}",
                                 ",\"index\":0,\"logprobsResult\":{\"topCandidates\":["
                                 "{\"candidates\":[{\"token\":\"a\",\"logProbability\":-0.1},"
                                 "{\"token\":\"b\",\"logProbability\":-2e1}]},{\"candidates\":[]}],"
                                 "\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-0.1},"
                                 "{\"token\":\"\",\"logProbability\":0}]}", "m") "\r\n\r\n",
                  D(START, .name = STR("m")), D(TEXT, T("a"), .logprobs = list));
}

static void
test_write_whole(void **state)
{
    struct chat_part call = {.kind = CHAT_PART_CALL,
                             .tool_name = chat_literal("f"),
                             .arguments = {.type = JS_STRING,
                                           .escaped = true,
                                           .raw = STR("{\\\"a\\\": 1}")}};
    struct chat_part text = {.kind = CHAT_PART_TEXT, .text = chat_literal("Hi"), .next = &call};
    struct chat_part thought = {.kind = CHAT_PART_REASONING,
                                .text = chat_literal("Adding."),
                                .signature = chat_literal("AAAA"),
                                .next = &text};
    struct chat_part refusal = {.kind = CHAT_PART_REFUSAL, .text = chat_literal("no")};
    struct chat_answer_choice last = {.index = 2, .finish = CHAT_FINISH_FILTER};
    struct chat_answer_choice second = {
        .index = 1, .parts = &refusal, .finish = CHAT_FINISH_REFUSAL, .next = &last};
    struct chat_answer_choice choice = {
        .parts = &thought, .finish = CHAT_FINISH_CALLS, .next = &second};
    struct chat_answer answer = {
        .model = chat_literal("m"), .choices = &choice, .usage = some_usage};
    struct chat_frame frame = {.id = STR("r1"), .tag = TAG};
    struct buf out;

    (void)state;
    buf_init(&out, LIMIT);
    gemini_codec.answer_write(&answer, &frame, &out);
    assert_str(buf_str(&out),
               "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Adding.\","
               "\"thought\":true},{\"text\":\"Hi\",\"thoughtSignature\":\"" TAG "AAAA\"},"
               "{\"functionCall\":{\"id\":\"call_r1_0\",\"name\":\"f\",\"args\":{\"a\":1}}}]},"
               "\"finishReason\":\"STOP\",\"index\":0},{\"content\":{\"role\":\"model\",\"parts\":["
               "{\"text\":\"no\"}]},\"finishReason\":\"STOP\",\"index\":1},{\"content\":{\"role\":"
               "\"model\",\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"SAFETY\",\"index\":2}]"
               USAGE ",\"modelVersion\":\"m\",\"responseId\":\"r1\"}");

    /* A call signed by itself, after a thought that is not shown. */
    out.len = 0;
    thought.redacted = true;
    thought.text.type = JS_NONE;
    thought.next = &call;
    call.signature = chat_literal("BBBB");
    call.id = chat_literal("x\\\"y");
    choice.next = NULL;
    answer.usage.state = USAGE_ABSENT;
    answer.model.type = JS_NONE;
    frame.model = STR("fallback");
    frame.json_array = true;
    gemini_codec.answer_write(&answer, &frame, &out);
    assert_str(buf_str(&out),
               "[{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"\","
               "\"thoughtSignature\":\"r." TAG "AAAA\"},{\"functionCall\":{\"id\":\"x\\\"y\","
               "\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"" TAG "BBBB\"}]},"
               "\"finishReason\":\"STOP\",\"index\":0}],\"modelVersion\":\"fallback\","
               "\"responseId\":\"r1\"}]");
    buf_free(&out);
}

/* A buffer that is full says so, at whatever byte. */
static void
test_write_no_room(void **state)
{
    const struct chat_delta deltas[] = {
        D(START, .name = STR("m")), D(SIGNATURE, T("A")), D(CALL, .name = STR("f")),
        D(ARGUMENTS, T("{\\\"a\\\":1}")), D(FINISH, .finish = CHAT_FINISH_CALLS), D(END, T(""))};
    struct chat_frame frame = {.id = STR("id"), .tag = TAG};

    (void)state;
    for (size_t limit = 0; limit < 300; limit++) {
        struct codec_writer writer = {.frame = &frame};
        struct buf out;

        buf_init(&out, limit);
        for (size_t i = 0; i < COUNT_OF(deltas); i++)
            gemini_codec.delta_write(&writer, &deltas[i], &out);
        assert_true(out.failed);
        assert_null(writer.items.ptr);
        buf_free(&out);
    }
}

/* ---- embeddings ---- */

static void
check_embed_request(const char *body, const char *model, const char *want, bool want_base64)
{
    struct proto_error error;
    struct js_value document;
    struct js_error fault;
    struct arena arena;
    struct buf out;
    bool base64;

    arena_init(&arena, LIMIT);
    buf_init(&out, LIMIT);
    assert_true(js_check(str_from(body), &document, &fault));
    if (gemini_embed_request(document, str_from(model), &arena, &base64, &out, &error)) {
        assert_str(buf_str(&out), want);
        assert_int_equal(base64, want_base64);
    } else {
        assert_int_equal(error.kind, ERROR_BAD_REQUEST);
        *strchrnul(error.message, '(') = '\0';
        assert_str(str_trim(str_from(error.message)), want);
    }
    buf_free(&out);
    arena_end(&arena);
}

#define EMBED(text, rest)                                                                          \
    "{\"model\":\"models/e\",\"content\":{\"parts\":[{\"text\":\"" text "\"}]}" rest "}"

static void
test_embed_request(void **state)
{
    (void)state;
    check_embed_request("{\"model\":\"x\",\"input\":\"a\\n\",\"encoding_format\":\"float\"}", "e",
                        "{\"requests\":[" EMBED("a\\n", "") "]}", false);
    check_embed_request("{\"input\":[\"a\",\"b\"],\"dimensions\":256,"
                        "\"encoding_format\":\"base64\","
                        "\"user\":\"u\"}",
                        "models/e",
                        "{\"requests\":[" EMBED("a", ",\"outputDimensionality\":256") ","
                        EMBED("b", ",\"outputDimensionality\":256") "]}", true);
    check_embed_request("{\"input\":\"a\",\"encoding_format\":null,\"dimensions\":null}", "e",
                        "{\"requests\":[" EMBED("a", "") "]}", false);
    check_embed_request("[]", "e", "must be an object", false);
    check_embed_request("{}", "e", "input: is required", false);
    check_embed_request("{\"input\":7}", "e", "input: must be a string or a list of strings",
                        false);
    check_embed_request("{\"input\":[]}", "e", "input: must not be empty", false);
    check_embed_request("{\"input\":\"\"}", "e", "input: must not be empty", false);
    check_embed_request("{\"input\":[1,2]}", "e",
                        "input[0]: tokens are of another model; this one takes texts", false);
    check_embed_request("{\"input\":[\"a\",[1]]}", "e",
                        "input[1]: tokens are of another model; this one takes texts", false);
    check_embed_request("{\"input\":[null]}", "e", "input[0]: must be a string", false);
    check_embed_request("{\"input\":\"a\",\"dimensions\":0}", "e",
                        "dimensions: must be a whole number from 1 to 65536", false);
    check_embed_request("{\"input\":\"a\",\"encoding_format\":\"int8\"}", "e",
                        "encoding_format: must be \"float\" or \"base64\"", false);
}

static void
check_embed_answer(const char *body, bool base64, const char *want)
{
    struct page page = page_make(body, strlen(body));
    struct js_value document;
    struct js_error fault;
    struct buf out;

    buf_init(&out, LIMIT);
    assert_true(js_check(page.text, &document, &fault));
    if (gemini_embed_answer(document, STR("m"), base64, &out))
        assert_str(buf_str(&out), want);
    else
        assert_null(want);
    buf_free(&out);
    page_free(&page);
}

#define VECTOR(index, vector)                                                                      \
    "{\"object\":\"embedding\",\"index\":" index ",\"embedding\":" vector "}"

static void
test_embed_answer(void **state)
{
    char large[512];

    (void)state;
    check_embed_answer("{\"embeddings\":[{\"values\":[0.25,-1e-3]},{\"values\":[]}]}", false,
                       "{\"object\":\"list\",\"data\":[" VECTOR("0", "[0.25,-1e-3]") ","
                       VECTOR("1", "[]") "],\"model\":\"m\"}");
    /* 1.0, -2.5, 0.1 as little-endian floats: 0000803f 000020c0 cdcccc3d */
    check_embed_answer("{\"embeddings\":[{\"values\":[1,-2.5,0.1]},{\"values\":[1]},"
                       "{\"values\":[]},"
                       "{\"values\":[1,1.0]}],\"usageMetadata\":{\"promptTokenCount\":9}}",
                       true,
                       "{\"object\":\"list\",\"data\":[" VECTOR("0", "\"AACAPwAAIMDNzMw9\"") ","
                       VECTOR("1", "\"AACAPw==\"") "," VECTOR("2", "\"\"") ","
                       VECTOR("3", "\"AACAPwAAgD8=\"") "],\"model\":\"m\",\"usage\":"
                       "{\"prompt_tokens\":9,\"total_tokens\":9}}");
    check_embed_answer("{\"embedding\":{\"values\":[1e-50]}}", true,
                       "{\"object\":\"list\",\"data\":[" VECTOR("0", "\"AAAAAA==\"")
                       "],\"model\":\"m\"}");
    check_embed_answer("{}", false, NULL);
    check_embed_answer("[]", false, NULL);
    check_embed_answer("{\"embeddings\":{}}", false, NULL);
    check_embed_answer("{\"embeddings\":[7]}", false, NULL);
    check_embed_answer("{\"embeddings\":[{\"values\":{}}]}", true, NULL);
    check_embed_answer("{\"embeddings\":[{\"values\":[\"1\"]}]}", false, NULL);
    check_embed_answer("{\"embeddings\":[{\"values\":[\"1\"]}]}", true, NULL);
    check_embed_answer("{\"embeddings\":[{\"values\":[1e99]}]}", true, NULL);
    snprintf(large, sizeof large, "{\"embeddings\":[{\"values\":[0.%0128d]}]}", 1);
    check_embed_answer(large, true, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),           cmocka_unit_test(test_stream_ends),
        cmocka_unit_test(test_finishes),         cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_logprobs),         cmocka_unit_test(test_whole),
        cmocka_unit_test(test_broken),           cmocka_unit_test(test_write_stream),
        cmocka_unit_test(test_write_arguments),  cmocka_unit_test(test_write_signatures),
        cmocka_unit_test(test_write_finishes),   cmocka_unit_test(test_write_candidates),
        cmocka_unit_test(test_write_array),      cmocka_unit_test(test_write_logprobs),
        cmocka_unit_test(test_write_whole),      cmocka_unit_test(test_write_no_room),
        cmocka_unit_test(test_embed_request),    cmocka_unit_test(test_embed_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
