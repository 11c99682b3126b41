#include "base/js.h"
#include "base/str.h"
#include "proto/codec_in.h"
#include "proto/sse.h"
#include "test/unit/testing.h"

/* Answers: streams and whole ones of upstreams as the deltas they come to, and deltas as what a
 * client gets. As in the test of requests, JSON is written with ' for ". */

static char *
json(const char *text)
{
    char *copy = strdup(text);

    for (char *p = copy; *p != '\0'; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

/* ---- upstreams ---- */

static const char *const finish_names[CHAT_FINISH_COUNT] = {
    [CHAT_FINISH_STOP] = "stop",       [CHAT_FINISH_STOP_SEQUENCE] = "sequence",
    [CHAT_FINISH_CALLS] = "calls",     [CHAT_FINISH_LENGTH] = "length",
    [CHAT_FINISH_CONTEXT] = "context", [CHAT_FINISH_FILTER] = "filter",
    [CHAT_FINISH_REFUSAL] = "refusal",
};

static void
add_text(struct buf *log, const char *what, struct str text)
{
    buf_add_fmt(log, "%s(%.*s) ", what, STR_ARGS(text));
}

static void
log_delta(void *arg, const struct chat_delta *d)
{
    struct buf *log = arg;

    switch (d->kind) {
    case CHAT_DELTA_START:
        buf_add_fmt(log, "start(%.*s,%.*s) ", STR_ARGS(d->id), STR_ARGS(d->name));
        break;
    case CHAT_DELTA_TEXT: add_text(log, "text", d->text); break;
    case CHAT_DELTA_REASONING: add_text(log, "reasoning", d->text); break;
    case CHAT_DELTA_SIGNATURE:
        add_text(log, d->redacted ? "redacted" : "signature", d->text);
        break;
    case CHAT_DELTA_REFUSAL: add_text(log, "refusal", d->text); break;
    case CHAT_DELTA_CALL:
        buf_add_fmt(log, "call%u(%.*s,%.*s) ", d->call, STR_ARGS(d->id), STR_ARGS(d->name));
        break;
    case CHAT_DELTA_ARGUMENTS:
        buf_add_fmt(log, "args%u(%.*s) ", d->call, STR_ARGS(d->text));
        break;
    case CHAT_DELTA_CALL_END: buf_add_fmt(log, "end%u ", d->call); break;
    case CHAT_DELTA_PING: buf_add_str(log, STR("ping ")); break;
    case CHAT_DELTA_USAGE:
        buf_add_fmt(log, "usage(%u,%u,%u,%u,%u,%u) ", d->usage->input, d->usage->cache_read,
                    d->usage->cache_write_5m, d->usage->cache_write_1h, d->usage->output,
                    d->usage->reasoning);
        break;
    case CHAT_DELTA_FINISH:
        buf_add_fmt(log, "finish(%s%s%.*s) ", finish_names[d->finish],
                    d->stop_sequence.len > 0 ? "," : "", STR_ARGS(d->stop_sequence));
        break;
    case CHAT_DELTA_END: buf_add_str(log, STR("end")); break;
    case CHAT_DELTA_KIND_COUNT: fail();
    }
}

struct heard {
    struct buf log;
    struct codec_reader reader;
};

static void
reader_init(struct heard *h)
{
    memset(h, 0, sizeof *h);
    buf_init(&h->log, 1 << 20);
    h->reader.endpoint = ENDPOINT_MESSAGES;
    h->reader.on_delta = log_delta;
    h->reader.arg = &h->log;
    buf_init(&h->reader.scratch, 1 << 16);
}

static void
reader_free(struct heard *h)
{
    buf_free(&h->log);
    buf_free(&h->reader.scratch);
}

/* Each line is an event's data; a line that begins with ! has its name in front: "!ping {}". */
static bool
hear(struct heard *h, const char *lines)
{
    const struct codec *codec = codec_of(ENDPOINT_MESSAGES);
    char *text = json(lines);
    struct str line, rest = str_from(text);
    bool ok = true;

    while (ok && rest.len > 0) {
        struct sse_event event = {.name = STR_NONE};
        struct page page;

        line = str_split(rest, '\n', &rest);
        if (line.len > 0 && line.ptr[0] == '!')
            event.name = str_split((struct str){line.ptr + 1, line.len - 1}, ' ', &line);
        page = page_make(line.ptr, line.len);
        event.data = page.text;
        h->reader.scratch.len = 0;
        ok = codec->event_read(&h->reader, &event);
        page_free(&page);
    }
    free(text);
    return ok;
}

static void
check_stream(const char *lines, const char *want)
{
    struct heard h;

    reader_init(&h);
    assert_true(hear(&h, lines));
    codec_of(ENDPOINT_MESSAGES)->stream_end(&h.reader);
    assert_true(h.reader.ended);
    assert_str(buf_str(&h.log), want);
    reader_free(&h);
}

static void
check_broken(const char *lines)
{
    struct heard h;

    reader_init(&h);
    assert_false(hear(&h, lines));
    reader_free(&h);
}

#define START                                                                                      \
    "{'type':'message_start','message':{'id':'msg_1','model':'m','content':[],"                    \
    "'usage':{'input_tokens':64,'cache_read_input_tokens':40,'cache_creation_input_tokens':16,"    \
    "'output_tokens':1}}}\n"
#define STARTED "start(msg_1,m) usage(64,40,16,0,1,0) "
#define BLOCK(n, block) "{'type':'content_block_start','index':" n ",'content_block':" block "}\n"
#define DELTA(n, delta) "{'type':'content_block_delta','index':" n ",'delta':" delta "}\n"
#define STOP(n) "{'type':'content_block_stop','index':" n "}\n"
#define WHY(reason)                                                                                \
    "{'type':'message_delta','delta':{'stop_reason':'" reason "','stop_sequence':null},"           \
    "'usage':{'output_tokens':33,'output_tokens_details':{'thinking_tokens':12}}}\n"
#define END "{'type':'message_stop'}\n"

static void
test_stream(void **state)
{
    (void)state;
    check_stream(
        START "!ping {'type': 'ping'}\n"
        BLOCK("0", "{'type':'thinking','thinking':'','signature':''}")
        DELTA("0", "{'type':'thinking_delta','thinking':'Add\\n'}")
        DELTA("0", "{'type':'thinking_delta','thinking':'ing.'}")
        DELTA("0", "{'type':'signature_delta','signature':'AAAA'}") STOP("0")
        BLOCK("1", "{'type':'redacted_thinking','data':'DD=='}") STOP("1")
        BLOCK("2", "{'type':'text','text':''}")
        DELTA("2", "{'type':'text_delta','text':'H\\u00e9'}")
        DELTA("2", "{'type':'citations_delta','citation':{}}")
        DELTA("2", "{'type':'text_delta','text':''}")
        DELTA("2", "{'type':'text_delta','text':'llo'}")
        STOP("2") WHY("end_turn") END,
        STARTED "ping reasoning(Add\\n) reasoning(ing.) signature(AAAA) redacted(r.DD==) "
        "text(H\\u00e9) text(llo) usage(64,40,16,0,33,12) finish(stop) end");
    /* Thinking that is not told, from the start. */
    check_stream(
        START BLOCK("0", "{'type':'thinking','thinking':'','signature':''}")
        DELTA("0", "{'type':'signature_delta','signature':'AAAA'}") STOP("0")
        BLOCK("1", "{'type':'thinking','thinking':'','signature':'BBBB'}") STOP("1")
        WHY("end_turn") END,
        STARTED "signature(e.AAAA) signature(e.BBBB) usage(64,40,16,0,33,12) finish(stop) end");
}

static void
test_stream_calls(void **state)
{
    (void)state;
    check_stream(
        START BLOCK("0", "{'type':'tool_use','id':'toolu_1','name':'f','input':{}}")
        DELTA("0", "{'type':'input_json_delta','partial_json':''}")
        DELTA("0", "{'type':'input_json_delta','partial_json':'{\\'a\\':'}")
        DELTA("0", "{'type':'input_json_delta','partial_json':'1}'}") STOP("0")
        BLOCK("1", "{'type':'server_tool_use','id':'s','name':'web','input':{}}")
        DELTA("1", "{'type':'input_json_delta','partial_json':'{}'}") STOP("1")
        BLOCK("2", "{'type':'web_search_tool_result','content':[]}")
        STOP("2") BLOCK("3", "{'type':'tool_use','name':'g'}") STOP("3")
        BLOCK("4", "{'type':'tool_use','id':'t2','name':'h','input':{'b': '\\n\\''}}")
        DELTA("4", "{'type':'input_json_delta','partial_json':'x'}") STOP("4") WHY("tool_use") END,
        STARTED "call0(toolu_1,f) args0({\\\"a\\\":) args0(1}) end0 call1(,g) args1({}) end1 "
        "call2(t2,h) args2({\\\"b\\\":\\\"\\\\n\\\\\\\"\\\"}) end2 "
        "usage(64,40,16,0,33,12) finish(calls) end");
}

static void
test_stream_reasons(void **state)
{
    static const struct {
        const char *reason, *finish;
    } cases[] = {
        {WHY("max_tokens"), "length"},
        {WHY("model_context_window_exceeded"), "context"},
        {WHY("refusal"), "filter"},
        {WHY("pause_turn"), "stop"},
        {WHY("something_new"), "stop"},
        {WHY("stop_sequence"), "stop"}, /* which one is not told */
    };
    char lines[2048], want[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        snprintf(lines, sizeof lines, "%s%s%s", START, cases[i].reason, END);
        snprintf(want, sizeof want, STARTED "usage(64,40,16,0,33,12) finish(%s) end",
                 cases[i].finish);
        check_stream(lines, want);
    }
    check_stream(START "{'type':'message_delta','delta':{'stop_reason':'stop_sequence',"
                       "'stop_sequence':'\\n\\nX'}}\n" END,
                 STARTED "finish(sequence,\\n\\nX) end");
    check_stream(START "{'type':'message_delta','delta':{'stop_reason':null}}\n" WHY("end_turn")
                     WHY("max_tokens") END END,
                 STARTED "usage(64,40,16,0,33,12) finish(stop) usage(64,40,16,0,33,12) end");
}

/* Servers that only resemble it: no start, no stops, no end, no numbers, names only beside the
 * data. */
static void
test_stream_loose(void **state)
{
    (void)state;
    check_stream("{'type':'ping'}\n{'type':'content_block_delta','delta':"
                 "{'type':'text_delta','text':'a'}}\n",
                 "start(,) text(a) finish(stop) end");
    check_stream("!message_start {'message':{}}\n"
                 "!content_block_start {'content_block':{'type':'tool_use','name':'f','id':'i'}}\n"
                 "!content_block_start {'content_block':{'type':'text','text':'a'}}\n"
                 "!content_block_start {'content_block':{'type':'thinking','thinking':'b',"
                 "'signature':'c'}}\n"
                 "!unknown {}\n!message_stop {}\n",
                 "start(,) call0(i,f) args0({}) end0 text(a) reasoning(b) signature(c) "
                 "finish(calls) end");
    check_stream("", "start(,) finish(stop) end");
    check_stream(START BLOCK("0", "{'type':'new_kind','x':1}") DELTA("0", "{'type':'x_delta'}")
                     DELTA("0", "{'type':'text_delta','text':'no'}") STOP("0"),
                 STARTED "finish(stop) end");
    /* Usage that does not add up is not passed on. */
    check_stream("{'type':'message_start','message':{'usage':{'input_tokens':-1}}}\n"
                 WHY("end_turn"),
                 "start(,) finish(stop) end");
}

static void
test_stream_broken(void **state)
{
    (void)state;
    check_broken("not json\n");
    check_broken("[]\n");
    check_broken("{'type':'error','error':{'type':'overloaded_error'}}\n");
    check_broken("{'type':'content_block_start'}\n");
    check_broken("{'type':'content_block_delta'}\n");
    check_broken(BLOCK("0", "{}"));
    check_broken(BLOCK("0", "{'type':'tool_use','id':'a'}"));
    check_broken(BLOCK("0", "{'type':'tool_use','id':'a','name':''}"));
    check_broken(BLOCK("0", "{'type':'tool_use','id':'a','name':'f','input':[]}"));
    check_broken(BLOCK("0", "{'type':'text','text':''}") DELTA("0", "{}"));
    check_broken(BLOCK("0", "{'type':'text','text':''}")
                     DELTA("0", "{'type':'input_json_delta','partial_json':'x'}"));
    check_broken(BLOCK("0", "{'type':'tool_use','id':'a','name':'f'}")
                     DELTA("1", "{'type':'input_json_delta','partial_json':'x'}"));
}

static void
test_calls_are_bounded(void **state)
{
    struct heard h;
    unsigned count = 0;

    (void)state;
    reader_init(&h);
    while (hear(&h, BLOCK("0", "{'type':'tool_use','id':'a','name':'f'}")))
        count++;
    assert_int_equal(count, CODEC_CALLS_MAX);
    reader_free(&h);
}

static void
check_whole(const char *document, const char *want)
{
    char *text = json(document);
    struct js_value value;
    struct js_error fault;
    struct heard h;
    bool ok;

    reader_init(&h);
    assert_true(js_check(str_from(text), &value, &fault));
    ok = codec_of(ENDPOINT_MESSAGES)->answer_read(&h.reader, value);
    assert_int_equal(ok, want != NULL);
    if (want != NULL)
        assert_str(buf_str(&h.log), want);
    reader_free(&h);
    free(text);
}

static void
test_whole_read(void **state)
{
    (void)state;
    check_whole("{'id':'msg_1','type':'message','role':'assistant','model':'m','content':["
                "{'type':'thinking','thinking':'Adding.','signature':'AAAA'},"
                "{'type':'redacted_thinking','data':'DD'},"
                "{'type':'text','text':'Hi','citations':null},"
                "{'type':'server_tool_use','id':'s','name':'w','input':{'q':1}},"
                "{'type':'tool_use','id':'toolu_1','name':'f','input':{'a': 1}},"
                "{'type':'tool_use','id':'toolu_2','name':'g','input':{}}],"
                "'stop_reason':'tool_use','stop_sequence':null,"
                "'usage':{'input_tokens':64,'cache_creation_input_tokens':16,"
                "'cache_read_input_tokens':40,'cache_creation':{'ephemeral_5m_input_tokens':10,"
                "'ephemeral_1h_input_tokens':6},'output_tokens':33,"
                "'output_tokens_details':{'thinking_tokens':12},'service_tier':'standard'}}",
                "start(msg_1,m) reasoning(Adding.) signature(AAAA) redacted(r.DD) text(Hi) "
                "call0(toolu_1,f) args0({\\\"a\\\":1}) end0 call1(toolu_2,g) args1({}) end1 "
                "usage(64,40,10,6,33,12) finish(calls) end");
    check_whole("{'content':[],'stop_reason':'stop_sequence','stop_sequence':'x'}",
                "start(,) finish(sequence,x) end");
    check_whole("{'content':null}", NULL);
    check_whole("[]", NULL);
    check_whole("{'content':[1]}", NULL);
    check_whole("{'type':'error','error':{}}", NULL);
}

/* ---- clients ---- */

static const struct chat_frame frame = {
    .id = {"01ab", 4},
    .model = {"asked", 5},
    .input_estimate = 7,
    .tag = "tp1.g.0.",
};

struct told {
    struct codec_writer writer;
    struct buf out;
};

static void
writer_init(struct told *t)
{
    memset(t, 0, sizeof *t);
    t->writer.frame = &frame;
    buf_init(&t->out, 1 << 20);
}

static void
tell(struct told *t, const struct chat_delta *delta)
{
    codec_of(ENDPOINT_MESSAGES)->delta_write(&t->writer, delta, &t->out);
}

/* Events as "NAME DATA|", after a look at how they are framed. */
static void
check_told(struct told *t, const char *want)
{
    char *wanted = json(want);
    struct sse_event event;
    struct js_value document;
    struct js_error fault;
    struct buf got;
    struct sse sse;

    buf_init(&got, 1 << 20);
    sse_init(&sse, 1 << 20);
    sse_feed(&sse, buf_str(&t->out));
    while (sse_next(&sse, &event) == 1) {
        char head[64];

        snprintf(head, sizeof head, "event: %.*s\ndata: {\"type\":\"%.*s\"", STR_ARGS(event.name),
                 STR_ARGS(event.name));
        assert_true(str_starts_with(event.raw, str_from(head)));
        assert_true(js_check(event.data, &document, &fault));
        buf_add_fmt(&got, "%.*s|", STR_ARGS(event.data));
    }
    assert_str(buf_str(&got), wanted);
    buf_free(&got);
    buf_free(&t->out);
    buf_free(&t->writer.open);
    sse_free(&sse);
    free(wanted);
}

#define TEXT_DELTA(k, t) (&(struct chat_delta){.kind = (k), .text = STR(t)})
#define BARE(k) (&(struct chat_delta){.kind = (k)})

#define MESSAGE(model)                                                                             \
    "{'type':'message_start','message':{'id':'msg_01ab','type':'message','role':'assistant',"      \
    "'model':'" model "','content':[],'stop_reason':null,'stop_sequence':null,"                    \
    "'usage':{'input_tokens':7,'cache_creation_input_tokens':0,'cache_read_input_tokens':0,"       \
    "'output_tokens':0}}}|"
#define OPENED(n, block) "{'type':'content_block_start','index':" n ",'content_block':" block "}|"
#define PIECE(n, delta) "{'type':'content_block_delta','index':" n ",'delta':" delta "}|"
#define CLOSED(n) "{'type':'content_block_stop','index':" n "}|"
#define USAGE(i, w, r, w5, w1, o, t)                                                               \
    "'usage':{'input_tokens':" i ",'cache_creation_input_tokens':" w                               \
    ",'cache_read_input_tokens':" r ",'cache_creation':{'ephemeral_5m_input_tokens':" w5           \
    ",'ephemeral_1h_input_tokens':" w1 "},'output_tokens':" o                                      \
    ",'output_tokens_details':{'thinking_tokens':" t "},'service_tier':'standard'}"
#define NO_USAGE USAGE("0", "0", "0", "0", "0", "0", "0")
#define DONE(reason, usage)                                                                        \
    "{'type':'message_delta','delta':{'stop_reason':'" reason "','stop_sequence':null}," usage     \
    "}|{'type':'message_stop'}|"

static void
test_bytes(void **state)
{
    struct told t;

    (void)state;
    writer_init(&t);
    tell(&t, BARE(CHAT_DELTA_PING)); /* not before the message */
    tell(&t, BARE(CHAT_DELTA_START));
    t.out.len = 0;
    tell(&t, BARE(CHAT_DELTA_PING));
    assert_str(buf_str(&t.out), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    t.out.len = 0;
    tell(&t, TEXT_DELTA(CHAT_DELTA_TEXT, "a\\n"));
    assert_str(buf_str(&t.out),
               "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
               "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
               "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
               "\"delta\":{\"type\":\"text_delta\",\"text\":\"a\\n\"}}\n\n");
    buf_free(&t.out);
}

static void
test_told(void **state)
{
    const struct usage usage = {.state = USAGE_PRESENT, .input = 64, .cache_read = 40,
                                .cache_write_5m = 10, .cache_write_1h = 6, .output = 33,
                                .reasoning = 12};
    struct told t;

    (void)state;
    writer_init(&t);
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_START, .name = STR("up")});
    tell(&t, TEXT_DELTA(CHAT_DELTA_REASONING, ""));
    tell(&t, TEXT_DELTA(CHAT_DELTA_REASONING, "Hm"));
    tell(&t, TEXT_DELTA(CHAT_DELTA_REASONING, "m"));
    tell(&t, TEXT_DELTA(CHAT_DELTA_SIGNATURE, "SIG"));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_SIGNATURE, .text = STR("RED"), .redacted = true});
    tell(&t, TEXT_DELTA(CHAT_DELTA_TEXT, "Hi"));
    tell(&t, TEXT_DELTA(CHAT_DELTA_TEXT, ""));
    tell(&t, TEXT_DELTA(CHAT_DELTA_REASONING, "More"));
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_CALL, .id = STR("a b"), .name = STR("f")});
    tell(&t, TEXT_DELTA(CHAT_DELTA_ARGUMENTS, "{\\\"a\\\":"));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_SIGNATURE, .text = STR("X"), .of_call = true});
    tell(&t, TEXT_DELTA(CHAT_DELTA_ARGUMENTS, "1}"));
    tell(&t, BARE(CHAT_DELTA_CALL_END));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_SIGNATURE, .call = 1, .text = STR("Y"), .of_call = true});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_CALL, .call = 1, .name = STR("g")});
    tell(&t, BARE(CHAT_DELTA_CALL_END));
    tell(&t, TEXT_DELTA(CHAT_DELTA_REASONING, "So"));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_SIGNATURE, .call = 2, .text = STR("Z"), .of_call = true});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_CALL, .call = 2, .name = STR("h")});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_STOP});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_USAGE, .usage = &usage});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_TEXT, .choice = 1, .text = STR("no")});
    tell(&t, BARE(CHAT_DELTA_END));
    check_told(
        &t,
        MESSAGE("up")
        OPENED("0", "{'type':'thinking','thinking':'','signature':''}")
        PIECE("0", "{'type':'thinking_delta','thinking':'Hm'}")
        PIECE("0", "{'type':'thinking_delta','thinking':'m'}")
        PIECE("0", "{'type':'signature_delta','signature':'tp1.g.0.SIG'}") CLOSED("0")
        OPENED("1", "{'type':'redacted_thinking','data':'tp1.g.0.RED'}") CLOSED("1")
        OPENED("2", "{'type':'text','text':''}")
        PIECE("2", "{'type':'text_delta','text':'Hi'}") CLOSED("2")
        OPENED("3", "{'type':'thinking','thinking':'','signature':''}")
        PIECE("3", "{'type':'thinking_delta','thinking':'More'}") CLOSED("3")
        OPENED("4", "{'type':'tool_use','id':'call_f9a0e87109b9db96','name':'f','input':{}}")
        PIECE("4", "{'type':'input_json_delta','partial_json':'{\\'a\\':'}")
        PIECE("4", "{'type':'input_json_delta','partial_json':'1}'}") CLOSED("4")
        OPENED("5", "{'type':'redacted_thinking','data':'tp1.g.0.Y'}") CLOSED("5")
        OPENED("6", "{'type':'tool_use','id':'toolu_01ab_1','name':'g','input':{}}") CLOSED("6")
        OPENED("7", "{'type':'thinking','thinking':'','signature':''}")
        PIECE("7", "{'type':'thinking_delta','thinking':'So'}")
        PIECE("7", "{'type':'signature_delta','signature':'tp1.g.0.Z'}") CLOSED("7")
        OPENED("8", "{'type':'tool_use','id':'toolu_01ab_2','name':'h','input':{}}") CLOSED("8")
        DONE("tool_use", USAGE("64", "16", "40", "10", "6", "33", "12")));
}

/* Gemini signs a text behind its end: an answer must not end in a thought. */
static void
test_signed_behind(void **state)
{
    struct told t;

    (void)state;
    writer_init(&t);
    tell(&t, BARE(CHAT_DELTA_START));
    tell(&t, TEXT_DELTA(CHAT_DELTA_TEXT, "Hi"));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_SIGNATURE, .text = STR("A"), .redacted = true});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_STOP});
    tell(&t, BARE(CHAT_DELTA_END));
    check_told(&t, MESSAGE("asked") OPENED("0", "{'type':'text','text':''}")
                   PIECE("0", "{'type':'text_delta','text':'Hi'}") CLOSED("0")
                   DONE("end_turn", NO_USAGE));
}

static void
check_reason(enum chat_finish finish, struct str sequence, const char *want)
{
    struct told t;

    writer_init(&t);
    tell(&t, BARE(CHAT_DELTA_START));
    tell(&t, &(struct chat_delta){
                 .kind = CHAT_DELTA_FINISH, .finish = finish, .stop_sequence = sequence});
    tell(&t, BARE(CHAT_DELTA_END));
    check_told(&t, want);
}

static void
test_reasons_told(void **state)
{
    char longer[400];

    (void)state;
#define BARE_DONE(reason) MESSAGE("asked") DONE(reason, NO_USAGE)
    check_reason(CHAT_FINISH_STOP, STR_NONE, BARE_DONE("end_turn"));
    check_reason(CHAT_FINISH_LENGTH, STR_NONE, BARE_DONE("max_tokens"));
    check_reason(CHAT_FINISH_CONTEXT, STR_NONE, BARE_DONE("model_context_window_exceeded"));
    check_reason(CHAT_FINISH_FILTER, STR_NONE, BARE_DONE("refusal"));
    check_reason(CHAT_FINISH_REFUSAL, STR_NONE, BARE_DONE("refusal"));
    check_reason(CHAT_FINISH_CALLS, STR_NONE, BARE_DONE("tool_use"));
    check_reason(CHAT_FINISH_STOP_SEQUENCE, STR("\\n"),
                 MESSAGE("asked") "{'type':'message_delta','delta':{'stop_reason':'stop_sequence',"
                                  "'stop_sequence':'\\n'}," NO_USAGE "}|{'type':'message_stop'}|");
    memset(longer, 'x', sizeof longer);
    check_reason(CHAT_FINISH_STOP_SEQUENCE, (struct str){longer, sizeof longer},
                 BARE_DONE("stop_sequence"));
}

static void
test_odd_orders(void **state)
{
    struct told t;

    (void)state;
    /* Refused in words though the upstream says it just stopped; a signature by itself. */
    writer_init(&t);
    tell(&t, TEXT_DELTA(CHAT_DELTA_SIGNATURE, "S"));
    tell(&t, TEXT_DELTA(CHAT_DELTA_REFUSAL, "No."));
    tell(&t, BARE(CHAT_DELTA_CALL_END));
    tell(&t, TEXT_DELTA(CHAT_DELTA_ARGUMENTS, "of nothing"));
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_STOP});
    tell(&t, BARE(CHAT_DELTA_END));
    check_told(&t, MESSAGE("asked") OPENED("0", "{'type':'redacted_thinking','data':'tp1.g.0.S'}")
                       CLOSED("0") OPENED("1", "{'type':'text','text':''}")
                           PIECE("1", "{'type':'text_delta','text':'No.'}") CLOSED("1")
                               DONE("refusal", NO_USAGE));
    /* Cut at its limit within a call: the client must not run that. */
    writer_init(&t);
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_CALL, .id = STR("a"), .name = STR("f")});
    tell(&t, &(struct chat_delta){.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_LENGTH});
    tell(&t, BARE(CHAT_DELTA_END));
    check_told(&t, MESSAGE("asked")
                   OPENED("0", "{'type':'tool_use','id':'a','name':'f','input':{}}")
                   CLOSED("0") DONE("max_tokens", NO_USAGE));
}

static void
check_answer(const struct chat_answer *answer, const char *want)
{
    char *wanted = json(want);
    struct js_value document;
    struct js_error fault;
    struct buf out;

    buf_init(&out, 1 << 20);
    codec_of(ENDPOINT_MESSAGES)->answer_write(answer, &frame, &out);
    assert_false(out.failed);
    assert_str(buf_str(&out), wanted);
    assert_true(js_check(buf_str(&out), &document, &fault));
    buf_free(&out);
    free(wanted);
}

#define LITERAL(t) ((struct js_value){.type = JS_STRING, .raw = STR(t)})
#define ESCAPED(t) ((struct js_value){.type = JS_STRING, .raw = STR(t), .escaped = true})

static void
test_whole_written(void **state)
{
    struct chat_part parts[] = {
        {.kind = CHAT_PART_REASONING, .text = LITERAL("Adding."), .signature = LITERAL("AAAA")},
        {.kind = CHAT_PART_REASONING, .text = LITERAL("Unsigned")},
        {.kind = CHAT_PART_REASONING, .signature = LITERAL("RED"), .redacted = true},
        {.kind = CHAT_PART_REASONING},
        {.kind = CHAT_PART_TEXT, .text = LITERAL("Hi\\n")},
        {.kind = CHAT_PART_TEXT, .text = LITERAL("")},
        {.kind = CHAT_PART_CALL, .id = LITERAL("toolu_1"), .tool_name = LITERAL("f"),
         .arguments = ESCAPED("{\\\"a\\\": 1}")},
        {.kind = CHAT_PART_CALL, .tool_name = LITERAL("g"), .arguments = LITERAL("")},
        {.kind = CHAT_PART_CALL, .id = LITERAL("t"), .tool_name = LITERAL("h"),
         .arguments = LITERAL("{cut")},
    };
    struct chat_answer_choice choice = {.parts = parts, .finish = CHAT_FINISH_STOP};
    struct chat_answer answer = {
        .model = LITERAL("up"),
        .choices = &choice,
        .usage = {.state = USAGE_PRESENT, .input = 64, .cache_read = 40, .cache_write_5m = 16,
                  .output = 33, .reasoning = 12},
    };

    (void)state;
    for (size_t i = 0; i + 1 < COUNT_OF(parts); i++)
        parts[i].next = &parts[i + 1];
    check_answer(&answer,
                 "{'id':'msg_01ab','type':'message','role':'assistant','model':'up','content':["
                 "{'type':'thinking','thinking':'Adding.','signature':'tp1.g.0.AAAA'},"
                 "{'type':'thinking','thinking':'Unsigned','signature':''},"
                 "{'type':'redacted_thinking','data':'tp1.g.0.RED'},"
                 "{'type':'text','text':'Hi\\n'},"
                 "{'type':'tool_use','id':'toolu_1','name':'f','input':{'a': 1}},"
                 "{'type':'tool_use','id':'toolu_01ab_1','name':'g','input':{}},"
                 "{'type':'tool_use','id':'t','name':'h','input':{'_raw':'{cut'}}],"
                 "'stop_reason':'tool_use','stop_sequence':null,"
                 USAGE("64", "16", "40", "16", "0", "33", "12") "}");
}

static void
test_whole_without_calls(void **state)
{
    struct chat_part refusal = {.kind = CHAT_PART_REFUSAL, .text = LITERAL("No.")};
    struct chat_answer_choice choice = {
        .finish = CHAT_FINISH_STOP_SEQUENCE, .stop_sequence = LITERAL("x")};
    struct chat_answer answer = {.choices = &choice};

    (void)state;
#define EMPTY "{'id':'msg_01ab','type':'message','role':'assistant','model':'asked','content':"
    check_answer(&answer,
                 EMPTY "[],'stop_reason':'stop_sequence','stop_sequence':'x'," NO_USAGE "}");
    choice.parts = &refusal;
    choice.finish = CHAT_FINISH_STOP;
    check_answer(&answer, EMPTY "[{'type':'text','text':'No.'}],'stop_reason':'refusal',"
                                "'stop_sequence':null," NO_USAGE "}");
}

/* Gemini's calls are signed themselves. */
static void
test_whole_signed_calls(void **state)
{
    struct chat_part parts[] = {
        {.kind = CHAT_PART_REASONING, .text = LITERAL("Hm")},
        {.kind = CHAT_PART_CALL, .id = LITERAL("a"), .tool_name = LITERAL("f"),
         .arguments = LITERAL(""), .signature = LITERAL("X")},
        {.kind = CHAT_PART_REASONING, .text = LITERAL("Aha"), .signature = LITERAL("Y")},
        {.kind = CHAT_PART_CALL, .id = LITERAL("b"), .tool_name = LITERAL("f"),
         .arguments = LITERAL(""), .signature = LITERAL("Z")},
    };
    struct chat_answer_choice choice = {.parts = parts, .finish = CHAT_FINISH_STOP};
    struct chat_answer answer = {.choices = &choice};

    (void)state;
    for (size_t i = 0; i + 1 < COUNT_OF(parts); i++)
        parts[i].next = &parts[i + 1];
    check_answer(&answer, EMPTY "[{'type':'thinking','thinking':'Hm','signature':'tp1.g.0.X'},"
                                "{'type':'tool_use','id':'a','name':'f','input':{}},"
                                "{'type':'thinking','thinking':'Aha','signature':'tp1.g.0.Y'},"
                                "{'type':'redacted_thinking','data':'tp1.g.0.Z'},"
                                "{'type':'tool_use','id':'b','name':'f','input':{}}],"
                                "'stop_reason':'tool_use','stop_sequence':null," NO_USAGE "}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_calls),
        cmocka_unit_test(test_stream_reasons),
        cmocka_unit_test(test_stream_loose),
        cmocka_unit_test(test_stream_broken),
        cmocka_unit_test(test_calls_are_bounded),
        cmocka_unit_test(test_whole_read),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_signed_behind),
        cmocka_unit_test(test_reasons_told),
        cmocka_unit_test(test_odd_orders),
        cmocka_unit_test(test_whole_written),
        cmocka_unit_test(test_whole_without_calls),
        cmocka_unit_test(test_whole_signed_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
