/* The meter behind the splitter, as the worker uses them: each stream goes through whole, byte by
 * byte, and cut at each position, out of memory that ends at an unmapped page. */
#include "proto/meter.h"

#include "base/str.h"
#include "proto/error.h"
#include "proto/marks.h"
#include "test/unit/testing.h"

struct run {
    struct sse sse;
    struct meter meter;
    struct buf passed;   /* what the client gets */
    struct buf verdicts; /* P H E X(error) B(ad), one an event */
    bool stopped;
};

static const char letters[METER_VERDICT_COUNT] = {
    [METER_PASS] = 'P',           [METER_HIDE] = 'H', [METER_END] = 'E',
    [METER_UPSTREAM_ERROR] = 'X', [METER_BAD] = 'B',
};

static void
take(struct run *run, struct sse_event *event)
{
    bool was_understood = run->meter.understood;
    enum meter_verdict verdict = meter_event(&run->meter, event);

    buf_add_char(&run->verdicts, letters[verdict]);
    if (verdict == METER_PASS || verdict == METER_END) {
        assert_true(run->meter.understood);
        buf_add_str(&run->passed, event->raw);
        if (event->unterminated)
            buf_add_str(&run->passed, STR("\n\n"));
    }
    if (verdict == METER_UPSTREAM_ERROR || verdict == METER_BAD) {
        run->stopped = true;
        assert_int_equal(run->meter.understood, was_understood);
    }
}

static void
feed(struct run *run, struct str bytes)
{
    struct page page = page_make(bytes.ptr, bytes.len);
    struct sse_event event;
    int rc;

    sse_feed(&run->sse, page.text);
    while ((rc = sse_next(&run->sse, &event)) == 1) {
        if (!run->stopped)
            take(run, &event);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(sse_keep(&run->sse), 0);
    page_free(&page);
}

/* cut past the end: byte by byte. */
static struct run
run_stream(enum proto_endpoint endpoint, bool usage_asked, struct str stream, size_t cut)
{
    struct run run = {.stopped = false};
    struct sse_event event;

    sse_init(&run.sse, SSE_EVENT_LEN_MAX);
    meter_init(&run.meter, endpoint, usage_asked);
    buf_init(&run.passed, 1 << 20);
    buf_init(&run.verdicts, 1 << 20);
    if (cut > stream.len) {
        for (size_t i = 0; i < stream.len; i++)
            feed(&run, (struct str){stream.ptr + i, 1});
    } else {
        feed(&run, (struct str){stream.ptr, cut});
        feed(&run, (struct str){stream.ptr + cut, stream.len - cut});
    }
    if (!run.stopped && sse_last(&run.sse, &event))
        take(&run, &event);
    return run;
}

static void
run_free(struct run *run)
{
    sse_free(&run->sse);
    buf_free(&run->passed);
    buf_free(&run->verdicts);
}

struct want {
    const char *verdicts;
    const char *passed; /* NULL: all of the stream */
    enum meter_finish finish;
    enum usage_state state;
    uint32_t input, cache_read, write_5m, output;
};

static void
check_run(const struct run *run, struct str stream, const struct want *want)
{
    struct usage usage = meter_usage(&run->meter);

    assert_str(buf_str(&run->verdicts), want->verdicts);
    assert_true(
        str_eq(buf_str(&run->passed), want->passed != NULL ? str_from(want->passed) : stream));
    assert_int_equal(meter_finish(&run->meter), want->finish);
    assert_int_equal(usage.state, want->state);
    assert_int_equal(usage.input, want->input);
    assert_int_equal(usage.cache_read, want->cache_read);
    assert_int_equal(usage.cache_write_5m, want->write_5m);
    assert_int_equal(usage.output, want->output);
}

static struct run
check(enum proto_endpoint endpoint, bool usage_asked, const char *text, struct want want)
{
    struct str stream = str_from(text);
    struct run run;

    for (size_t cut = 1; cut <= stream.len + 1; cut++) {
        run = run_stream(endpoint, usage_asked, stream, cut);
        check_run(&run, stream, &want);
        run_free(&run);
    }
    run = run_stream(endpoint, usage_asked, stream, 0);
    check_run(&run, stream, &want);
    run_free(&run);
    return run; /* its meter is still good */
}

#define CHUNK(rest)                                                                                \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,"                     \
    "\"model\":\"m\"," rest "}\n\n"
#define DELTA(text)                                                                                \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},"                        \
          "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null")
#define FINISH                                                                                     \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"                   \
          "\"usage\":null")
#define USAGE                                                                                      \
    CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"                \
          "\"total_tokens\":15,\"prompt_tokens_details\":{\"cached_tokens\":2}}")
#define DONE "data: [DONE]\n\n"

static void
test_chat(void **state)
{
    struct run run;

    (void)state;
    run = check(ENDPOINT_CHAT, false, DELTA("") DELTA("He") DELTA("llo") FINISH USAGE DONE,
                (struct want){"PPPPHE", DELTA("") DELTA("He") DELTA("llo") FINISH DONE,
                              METER_FINISH_CLEAN, USAGE_PRESENT, 10, 2, 0, 3});
    assert_string_equal(run.meter.model, "m");
    assert_int_equal(run.meter.output_event_count, 4);
    check(ENDPOINT_CHAT, true, DELTA("He") FINISH USAGE DONE,
          (struct want){"PPPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 10, 2, 0, 3});
    /* Comments and blank lines pass once something was understood. */
    check(ENDPOINT_CHAT, false, ": hi\n\n" DELTA("He") ": hi\n\n\n" FINISH DONE ": bye\n\n",
          (struct want){"HPPPEH", DELTA("He") ": hi\n\n\n" FINISH DONE, METER_FINISH_CLEAN,
                        USAGE_ABSENT, 0, 0, 0, 0});
}

static void
test_chat_variants(void **state)
{
    /* Usage on the finishing chunk, on every chunk, inside the choice. */
    const char *with_finish =
        CHUNK("\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]")
            CHUNK("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],"
                  "\"usage\" : {\"prompt_tokens\":4,\"completion_tokens\":1}") DONE;
    const char *on_each = CHUNK("\"choices\":[{\"delta\":{}}],"
                                "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":0}")
        CHUNK("\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}],"
              "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":7}") DONE;
    const char *inside = CHUNK("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":"
                               "{\"prompt_tokens\":4,\"completion_tokens\":7}}]") DONE;

    (void)state;
    check(ENDPOINT_CHAT, false, with_finish,
          (struct want){"PPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 4, 0, 0, 1});
    check(ENDPOINT_CHAT, false, on_each,
          (struct want){"PPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 4, 0, 0, 7});
    check(ENDPOINT_CHAT, false, inside,
          (struct want){"PE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 4, 0, 0, 7});
    /* No [DONE]; with and without a finish_reason. */
    check(ENDPOINT_CHAT, false, DELTA("a") FINISH,
          (struct want){"PP", NULL, METER_FINISH_ADD_MARK, USAGE_ABSENT, 0, 0, 0, 0});
    check(
        ENDPOINT_CHAT, false, DELTA("a") FINISH USAGE,
        (struct want){"PPH", DELTA("a") FINISH, METER_FINISH_ADD_MARK, USAGE_PRESENT, 10, 2, 0, 3});
    check(ENDPOINT_CHAT, false, DELTA("a") DELTA("b"),
          (struct want){"PP", NULL, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    /* [DONE] without its blank line, and chunks with empty choices at the start. */
    check(ENDPOINT_CHAT, false,
          CHUNK("\"choices\": [ ],\"prompt_filter_results\":[]") DELTA("a") "data: [DONE]",
          (struct want){"HPE", DELTA("a") DONE, METER_FINISH_CLEAN, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_COMPLETIONS, false,
          "data:{\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\","
          "\"finish_reason\":null}]}\r\n\r\n"
          "data:{\"choices\":[{\"text\":\"b\",\"finish_reason\":\"length\"}]}\r\n\r\n"
          "data:[DONE]\r\n\r\n",
          (struct want){"PPE", NULL, METER_FINISH_CLEAN, USAGE_ABSENT, 0, 0, 0, 0});
    /* Text that talks of usage and errors is text. */
    check(ENDPOINT_CHAT, false,
          DELTA("a") DELTA("{\\\"error\\\":{\\\"usage\\\": 1}, "
                           "\\\"choices\\\":[]}") FINISH DONE,
          (struct want){"PPPE", NULL, METER_FINISH_CLEAN, USAGE_ABSENT, 0, 0, 0, 0});
}

static void
test_chat_usage_bad(void **state)
{
    (void)state;
    check(ENDPOINT_CHAT, false,
          DELTA("a") FINISH CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":-1,"
                                  "\"completion_tokens\":3}") DONE,
          (struct want){"PPHE", DELTA("a") FINISH DONE, METER_FINISH_CLEAN, USAGE_BAD, 0, 0, 0, 0});
    check(
        ENDPOINT_CHAT, false,
        DELTA("a") FINISH CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":0,"
                                "\"completion_tokens\":0}") DONE,
        (struct want){"PPHE", DELTA("a") FINISH DONE, METER_FINISH_CLEAN, USAGE_ZERO, 0, 0, 0, 0});
    /* A running total of a stream that was cut is no final usage. */
    check(ENDPOINT_CHAT, false,
          CHUNK("\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":4,"
                "\"completion_tokens\":7}"),
          (struct want){"P", NULL, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
}

static void
test_chat_faults(void **state)
{
    const char *error = "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\","
                        "\"param\":null,\"code\":null}}\n\n";
    char text[2000];

    (void)state;
    check(ENDPOINT_CHAT, false, error,
          (struct want){"X", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    snprintf(text, sizeof(text), "%s%s", DELTA("a"), error);
    check(ENDPOINT_CHAT, false, text,
          (struct want){"PX", DELTA("a"), METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, "data: [DONE]\n\n",
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, "data: <html>\n\n",
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, "data: {}\n\n",
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, DELTA("a") "data: garbage\n\n",
          (struct want){"PB", DELTA("a"), METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, DELTA("a") "data: {\"usage\":{},}\n\n",
          (struct want){"PB", DELTA("a"), METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    /* Cut inside an event; cut behind it, before the blank line. */
    check(ENDPOINT_CHAT, false, DELTA("a") "data: {\"choices\":[{\"delta\":{\"cont",
          (struct want){"PB", DELTA("a"), METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, DELTA("a") "data: {\"choices\":[{\"delta\":{}}]}",
          (struct want){"PP", DELTA("a") "data: {\"choices\":[{\"delta\":{}}]}\n\n",
                        METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_CHAT, false, "",
          (struct want){"", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
}

#define EV(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define MSG_START                                                                                  \
    EV("message_start",                                                                            \
       ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","                                      \
       "\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"stop_reason\":null,"          \
       "\"usage\":{\"input_tokens\":64,\"cache_creation_input_tokens\":16,"                        \
       "\"cache_read_input_tokens\":40,\"output_tokens\":1}}")
#define BLOCK_DELTA(text)                                                                          \
    EV("content_block_delta", ",\"index\":0,\"delta\":"                                            \
                              "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define MSG_DELTA                                                                                  \
    EV("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\","                                \
                        "\"stop_sequence\":null},\"usage\":{\"output_tokens\":33}")
#define PING EV("ping", "")
#define STOP EV("message_stop", "")

static void
test_messages(void **state)
{
    struct run run;

    (void)state;
    run = check(ENDPOINT_MESSAGES, false,
                MSG_START PING EV("content_block_start", ",\"index\":0") BLOCK_DELTA("Hi")
                    BLOCK_DELTA(" you, \\\"usage\\\"") EV("content_block_stop", ",\"index\":0")
                        MSG_DELTA STOP,
                (struct want){"PPPPPPPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 64, 40, 16, 33});
    assert_string_equal(run.meter.model, "claude");
    assert_int_equal(run.meter.output_event_count, 2);
    assert_int_equal(run.meter.event_count, 7); /* a ping is no progress */

    check(ENDPOINT_MESSAGES, false, PING MSG_START STOP PING,
          (struct want){"HPEH", MSG_START STOP, METER_FINISH_CLEAN, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_MESSAGES, false, MSG_START BLOCK_DELTA("Hi"),
          (struct want){"PP", NULL, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    /* Usage came, the end mark did not: a client that went away pays what was reported. */
    check(ENDPOINT_MESSAGES, false, MSG_START MSG_DELTA,
          (struct want){"PP", NULL, METER_FINISH_CUT, USAGE_PRESENT, 64, 40, 16, 33});
    /* No event names. */
    check(ENDPOINT_MESSAGES, false,
          "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,"
          "\"output_tokens\":1}}}\n\n"
          "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n"
          "data: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n",
          (struct want){"PPEH",
                        "data: {\"type\":\"message_start\",\"message\":{\"usage\":"
                        "{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"
                        "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n"
                        "data: {\"type\":\"message_stop\"}\n\n",
                        METER_FINISH_CLEAN, USAGE_PRESENT, 1, 0, 0, 2});
}

static void
test_messages_faults(void **state)
{
    const char *overloaded = EV("error", ",\"error\":{\"type\":\"overloaded_error\","
                                         "\"message\":\"Overloaded\"}");

    (void)state;
    check(ENDPOINT_MESSAGES, false, overloaded,
          (struct want){"X", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_MESSAGES, false,
          MSG_START EV("error", ",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}"),
          (struct want){"PX", MSG_START, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_MESSAGES, false, BLOCK_DELTA("early"),
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_MESSAGES, false, "event: message_start\ndata: {\"message\":1}\n\n",
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_MESSAGES, false, MSG_START "event: message_delta\ndata: {\"usage\":\n\n",
          (struct want){"PB", MSG_START, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
}

#define CREATED                                                                                    \
    EV("response.created",                                                                         \
       ",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\","                                   \
       "\"object\":\"response\",\"model\":\"gpt\",\"output\":[],\"usage\":null}")
#define TEXT_DELTA(n, text)                                                                        \
    EV("response.output_text.delta", ",\"delta\":\"" text "\","                                    \
                                     "\"logprobs\":[],\"sequence_number\":" #n)
#define COMPLETED(kind)                                                                            \
    EV("response." kind,                                                                           \
       ",\"sequence_number\":3,\"response\":{"                                                     \
       "\"id\":\"resp_1\",\"model\":\"gpt\",\"output\":[],\"usage\":{\"input_tokens\":20,"         \
       "\"input_tokens_details\":{\"cached_tokens\":5},\"output_tokens\":9}}")

static void
test_responses(void **state)
{
    struct run run;

    (void)state;
    run = check(ENDPOINT_RESPONSES, false,
                CREATED TEXT_DELTA(1, "a") TEXT_DELTA(2, "bcdefghijkl") COMPLETED("completed"),
                (struct want){"PPPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 15, 5, 0, 9});
    assert_string_equal(run.meter.model, "gpt");
    assert_int_equal(run.meter.sequence_next, 4);
    assert_int_equal(run.meter.output_estimate, 1 + 1 + 10 / 4);
    run = check(ENDPOINT_RESPONSES, false, CREATED COMPLETED("incomplete") DONE,
                (struct want){"PEH", CREATED COMPLETED("incomplete"), METER_FINISH_CLEAN,
                              USAGE_PRESENT, 15, 5, 0, 9});
    assert_false(run.meter.failed);
    run = check(ENDPOINT_RESPONSES, false, CREATED TEXT_DELTA(1, "a") COMPLETED("failed"),
                (struct want){"PPE", NULL, METER_FINISH_CLEAN, USAGE_PRESENT, 15, 5, 0, 9});
    assert_true(run.meter.failed);
    check(ENDPOINT_RESPONSES, false, CREATED COMPLETED("failed"),
          (struct want){"PX", CREATED, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_RESPONSES, false, COMPLETED("failed"),
          (struct want){"X", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_RESPONSES, false, CREATED TEXT_DELTA(1, "a"),
          (struct want){"PP", NULL, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_RESPONSES, false, CREATED EV("error", ",\"message\":\"x\""),
          (struct want){"PX", CREATED, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_RESPONSES, false, TEXT_DELTA(0, "x"),
          (struct want){"B", "", METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
    check(ENDPOINT_RESPONSES, false, CREATED "event: response.completed\ndata: {]\n\n",
          (struct want){"PB", CREATED, METER_FINISH_CUT, USAGE_ABSENT, 0, 0, 0, 0});
}

/* With which event, from 1, the answer has begun (0: with none), and what there is at the end. */
static void
check_content(enum proto_endpoint endpoint, const char *text, unsigned begins, enum content content)
{
    struct meter meter;
    struct sse sse;
    struct sse_event event;
    unsigned at = 0, begun = 0;

    meter_init(&meter, endpoint, false);
    sse_init(&sse, SSE_EVENT_LEN_MAX);
    sse_feed(&sse, str_from(text));
    while (sse_next(&sse, &event) == 1) {
        (void)meter_event(&meter, &event);
        at++;
        if (begun == 0 && meter.answered)
            begun = at;
    }
    if (begun != begins || meter_content(&meter) != content)
        fail_msg("begins %u, content %d: %s", begun, (int)meter_content(&meter), text);
    sse_free(&sse);
}

#define ROLE                                                                                       \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]")
#define PART(inner)                                                                                \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":{" inner "},\"finish_reason\":null}]")
#define ENDS(why) CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]")
#define COUNTS(out)                                                                                \
    CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":" out "}")

static void
test_content_chat(void **state)
{
    (void)state;
    check_content(ENDPOINT_CHAT, "", 0, CONTENT_NONE);
    check_content(ENDPOINT_CHAT, ROLE, 0, CONTENT_NONE);
    check_content(ENDPOINT_CHAT, ROLE DONE, 0, CONTENT_NONE);
    check_content(ENDPOINT_CHAT, ROLE PART("\"content\":null") ": x\n\n" DONE, 0, CONTENT_NONE);
    check_content(ENDPOINT_CHAT, ROLE DELTA("a"), 2, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE PART("\"reasoning_content\":\"a\""), 2, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE PART("\"reasoning\":\" \""), 2, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE PART("\"refusal\":\"no\""), 2, CONTENT_SOME);
    check_content(ENDPOINT_CHAT,
                  PART("\"role\":\"assistant\",\"tool_calls\":[]")
                      PART("\"tool_calls\":[{\"index\":0,\"id\":\"c\"}]"),
                  2, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, PART("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}"), 1,
                  CONTENT_SOME);
    check_content(ENDPOINT_CHAT, PART("\"audio\":{\"id\":\"a\"}"), 1, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, PART("\"what_is_new\":{\"a\":[1]}"), 1, CONTENT_SOME);
    check_content(ENDPOINT_CHAT,
                  PART("\"role\":\"assistant\",\"refusal\":null,\"name\":\"x\","
                       "\"provider_specific_fields\":{\"a\":\"b\"}"),
                  0, CONTENT_NONE);
    /* The second of several choices. */
    check_content(ENDPOINT_CHAT,
                  ROLE CHUNK("\"choices\":[{\"index\":0,\"delta\":{}},{\"index\":1,\"delta\":"
                             "{\"content\":\"b\"}}]"),
                  2, CONTENT_SOME);
    /* Ended as usual without a word; for another reason; with tokens that were counted. */
    check_content(ENDPOINT_CHAT, ROLE ENDS("stop"), 0, CONTENT_EMPTY);
    check_content(ENDPOINT_CHAT, ROLE ENDS("stop") COUNTS("0") DONE, 0, CONTENT_EMPTY);
    check_content(ENDPOINT_CHAT, ROLE ENDS("stop") COUNTS("2") DONE, 0, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE ENDS("content_filter") COUNTS("0") DONE, 0, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE ENDS("length") DONE, 0, CONTENT_SOME);
    check_content(ENDPOINT_CHAT, ROLE COUNTS("2") DONE, 0, CONTENT_NONE);
    check_content(ENDPOINT_COMPLETIONS,
                  CHUNK("\"choices\":[{\"text\":\"\"}]") CHUNK("\"choices\":[{\"text\":\"a\"}]"), 2,
                  CONTENT_SOME);
}

#define BLOCK_START(block)                                                                         \
    EV("content_block_start", ",\"index\":0,\"content_block\":{\"type\":" block "}")
#define BLOCK_STOP EV("content_block_stop", ",\"index\":0")
#define MSG_ENDS(why, out)                                                                         \
    EV("message_delta",                                                                            \
       ",\"delta\":{\"stop_reason\":\"" why "\"},\"usage\":{\"output_tokens\":" out "}")

static void
test_content_messages(void **state)
{
    (void)state;
    check_content(ENDPOINT_MESSAGES, MSG_START PING, 0, CONTENT_NONE);
    check_content(ENDPOINT_MESSAGES,
                  MSG_START BLOCK_START("\"text\",\"text\":\"\"") BLOCK_DELTA("") BLOCK_STOP STOP,
                  0, CONTENT_NONE);
    check_content(ENDPOINT_MESSAGES,
                  MSG_START BLOCK_START("\"text\",\"text\":\"\"") BLOCK_DELTA("") BLOCK_DELTA("a"),
                  4, CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES, MSG_START BLOCK_START("\"text\",\"text\":\"a\""), 2,
                  CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES,
                  MSG_START BLOCK_START("\"tool_use\",\"id\":\"t\",\"input\":{}"), 2, CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES, MSG_START BLOCK_START("\"redacted_thinking\",\"data\":\"x\""),
                  2, CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES,
                  MSG_START BLOCK_START("\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
                      EV("content_block_delta", ",\"index\":0,\"delta\":{\"type\":"
                                                "\"signature_delta\",\"signature\":\"c2k\"}"),
                  3, CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES, MSG_START MSG_ENDS("end_turn", "0") STOP, 0, CONTENT_EMPTY);
    check_content(ENDPOINT_MESSAGES, MSG_START MSG_ENDS("end_turn", "3") STOP, 0, CONTENT_SOME);
    check_content(ENDPOINT_MESSAGES, MSG_START MSG_ENDS("refusal", "0") STOP, 0, CONTENT_SOME);
}

static void
test_content_responses(void **state)
{
    const char *frames = CREATED EV("response.in_progress", ",\"response\":{\"output\":[]}")
        EV("response.output_item.added", ",\"item\":{\"type\":\"message\",\"content\":[]}")
            EV("response.content_part.added",
               ",\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[1]}")
                EV("keepalive", "");
    char text[4000];

    (void)state;
    check_content(ENDPOINT_RESPONSES, frames, 0, CONTENT_NONE);
    snprintf(text, sizeof(text), "%s%s", frames, TEXT_DELTA(1, "a"));
    check_content(ENDPOINT_RESPONSES, text, 6, CONTENT_SOME);
    snprintf(text, sizeof(text), "%s%s%s", frames, TEXT_DELTA(1, ""),
             EV("response.output_text.done", ",\"item_id\":\"m\",\"text\":\"\""));
    check_content(ENDPOINT_RESPONSES, text, 0, CONTENT_NONE);
    snprintf(text, sizeof(text), "%s%s", frames,
             EV("response.completed",
                ",\"response\":{\"output\":[{\"type\":\"message\",\"content\":"
                "[{\"type\":\"output_text\",\"text\":\"\"}]}]}"));
    check_content(ENDPOINT_RESPONSES, text, 0, CONTENT_EMPTY);
    check_content(ENDPOINT_RESPONSES, CREATED COMPLETED("incomplete"), 0, CONTENT_SOME);
    check_content(ENDPOINT_RESPONSES, CREATED COMPLETED("completed"), 0,
                  CONTENT_SOME); /* 9 tokens */
    check_content(
        ENDPOINT_RESPONSES,
        CREATED EV("response.output_item.added",
                   ",\"item\":{\"type\":\"reasoning\",\"summary\":[]}")
            EV("response.output_item.added",
               ",\"item\":{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"\"}"),
        3, CONTENT_SOME);
    check_content(ENDPOINT_RESPONSES,
                  CREATED EV("response.web_search_call.searching", ",\"item_id\":\"w\""), 2,
                  CONTENT_SOME);
    check_content(ENDPOINT_RESPONSES,
                  CREATED EV("response.completed",
                             ",\"response\":{\"output\":[{\"type\":\"image_generation_call\"}]}"),
                  2, CONTENT_SOME);
}

/* The model that was reported last, in whatever event was read. */
static void
test_model_changes(void **state)
{
    struct run run;

    (void)state;
    run =
        run_stream(ENDPOINT_CHAT, false,
                   str_from(ROLE DELTA("a") "data: {\"model\":\"other\",\"choices\":[{\"delta\":{},"
                                            "\"finish_reason\":\"stop\"}]}\n\n" DONE),
                   0);
    assert_string_equal(run.meter.model, "other");
    run_free(&run);
}

static void
test_progress(void **state)
{
    struct meter_progress progress;
    struct run run;

    (void)state;
    run = run_stream(ENDPOINT_CHAT, false, str_from(DELTA("a") DELTA("abcdefghi") DELTA("a")), 0);
    progress = meter_progress(&run.meter);
    assert_false(progress.has_input);
    assert_int_equal(progress.usage.output, 1 + 1 + 2 + 1);
    run_free(&run);

    run = run_stream(ENDPOINT_MESSAGES, false,
                     str_from(MSG_START BLOCK_DELTA("a") BLOCK_DELTA("b")), 0);
    progress = meter_progress(&run.meter);
    assert_true(progress.has_input);
    assert_int_equal(progress.usage.state, USAGE_PRESENT);
    assert_int_equal(progress.usage.input, 64);
    assert_int_equal(progress.usage.cache_read, 40);
    assert_int_equal(progress.usage.output, 2); /* more than the report's 1 */
    run_free(&run);

    run = run_stream(ENDPOINT_CHAT, false,
                     str_from(CHUNK("\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":4,"
                                    "\"completion_tokens\":90}")),
                     0);
    progress = meter_progress(&run.meter);
    assert_true(progress.has_input);
    assert_int_equal(progress.usage.output, 90);
    run_free(&run);
}

/* Names that do not fit, or could break a header, are not kept. */
static void
test_names(void **state)
{
    char text[400];
    struct run run;

    (void)state;
    for (int len = METER_MODEL_CAP - 1; len <= METER_MODEL_CAP; len++) {
        snprintf(text, sizeof(text), "data: {\"model\":\"%0*d\",\"choices\":[]}\n\n", len, 0);
        run = run_stream(ENDPOINT_CHAT, false, str_from(text), 0);
        assert_int_equal(strlen(run.meter.model), len < METER_MODEL_CAP ? len : 0);
        run_free(&run);
    }
    run = run_stream(ENDPOINT_CHAT, false,
                     STR("data: {\"model\":\"a\\r\\nb\",\"choices\":[]}\n\n"), 0);
    assert_string_equal(run.meter.model, "");
    run_free(&run);
}

static void
test_marks(void **state)
{
    static const struct {
        const char *json;
        unsigned marks;
    } rows[] = {
        {"", 0},
        {"{", 0},
        {"\"", 0},
        {"\"usage\"", 0},
        {"{\"usage\":1}", MARK_USAGE},
        {"{\"usage\":null}", 0},
        {"{\"usage\": null}", 0},
        {"{ \"usage\" \t\n: {}}", MARK_USAGE},
        {"{\"usage\":", MARK_USAGE},
        {"{\"xusage\":1}", 0},
        {"{\"usages\":1}", 0},
        {"{\"a\":\"usage\",\"b\":\"error\"}", 0},
        {"{\"error\":{}}", MARK_ERROR},
        {"{\"error\":null,\"finish_reason\":null,\"usage\":null}", 0},
        {"{\"finish_reason\":\"stop\"}", MARK_FINISH},
        {"{\"choices\":[]}", MARK_NO_CHOICES},
        {"{\"choices\": [ \n]}", MARK_NO_CHOICES},
        {"{\"choices\":[{}]}", 0},
        {"{\"choices\":[", 0},
        {"{\"choices\":[],\"usage\":{},\"error\":1}", MARK_NO_CHOICES | MARK_USAGE | MARK_ERROR},
        {"{\"c\":\"\\\"usage\\\":1\"}", 0},
    };

    (void)state;
    /* Shifted by up to 40 bytes, so that each mark meets each place of a block of sixteen. */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t shift = 0; shift < 40; shift++) {
            char text[256];
            int len = snprintf(text, sizeof(text), "%*s%s", (int)shift, "", rows[i].json);
            struct page page = page_make(text, (size_t)len);

            if (marks_find(page.text) != rows[i].marks)
                print_error("%s, shifted by %zu\n", rows[i].json, shift);
            assert_int_equal(marks_find(page.text), rows[i].marks);
            page_free(&page);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_chat_variants),
        cmocka_unit_test(test_chat_usage_bad),
        cmocka_unit_test(test_chat_faults),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_messages_faults),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_content_chat),
        cmocka_unit_test(test_content_messages),
        cmocka_unit_test(test_content_responses),
        cmocka_unit_test(test_model_changes),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
