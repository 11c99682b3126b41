/* The OpenAI codec: requests of chat and completions read and written again, answers of upstreams,
 * streamed and whole, and answers to clients. What is compared is bytes, and deltas as text. */
#include "base/str.h"
#include "proto/codec_in.h"
#include "test/unit/testing.h"

/* ---- requests ---- */

struct trip {
    struct arena arena;
    struct chat_request request;
    struct proto_error error;
    struct buf out;
    struct page page;
    bool ok;
};

static const struct chat_target plain = {.model_json = {"\"up\"", 4}, .can_think = true};

static void
trip_start(struct trip *trip, enum proto_endpoint endpoint, const char *body)
{
    struct js_error fault;

    memset(trip, 0, sizeof *trip);
    trip->page = page_make(body, strlen(body));
    arena_init(&trip->arena, 1 << 20);
    buf_init(&trip->out, 1 << 20);
    trip->request = (struct chat_request){
        .body = trip->page.text, .arena = &trip->arena, .endpoint = endpoint, .choice_count = 1};
    assert_true(js_check(trip->page.text, &trip->request.document, &fault));
}

static void
trip_end(struct trip *trip)
{
    arena_end(&trip->arena);
    buf_free(&trip->out);
    page_free(&trip->page);
}

static void
trip_write(struct trip *trip, const struct chat_target *target)
{
    trip->ok = chat_link(&trip->request, &trip->error) &&
               openai_codec.request_write(&trip->request, target, &trip->request.drops, &trip->out,
                                          &trip->error);
}

static void
trip_run(struct trip *trip, enum proto_endpoint endpoint, const char *body,
         const struct chat_target *target)
{
    trip_start(trip, endpoint, body);
    trip->ok = codec_of(endpoint)->request_read(&trip->request, &trip->error);
    if (trip->ok)
        trip_write(trip, target);
}

static void
check_out(const struct trip *trip, const char *want, const char *drops)
{
    struct js_value document;
    struct js_error fault;

    if (!trip->ok)
        fail_msg("%s", trip->error.message);
    assert_str(buf_str(&trip->out), want);
    assert_true(js_check(buf_str(&trip->out), &document, &fault));
    assert_str(((struct str){trip->request.drops.text, trip->request.drops.len}), drops);
}

static void
written(enum proto_endpoint endpoint, const char *body, const struct chat_target *target,
        const char *want, const char *drops)
{
    struct trip trip;

    trip_run(&trip, endpoint, body, target);
    check_out(&trip, want, drops);
    trip_end(&trip);
}

static void
refused(enum proto_endpoint endpoint, const char *body, const char *param, const char *message)
{
    struct trip trip;

    trip_run(&trip, endpoint, body, &plain);
    if (trip.ok)
        fail_msg("%s was taken", body);
    assert_int_equal(trip.error.kind, ERROR_BAD_REQUEST);
    if (strcmp(trip.error.param, param) != 0 || strstr(trip.error.message, message) == NULL)
        fail_msg("%s: param %s, message %s", body, trip.error.param, trip.error.message);
    trip_end(&trip);
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define UP(rest) "{\"model\":\"up\"," rest "}"
#define CHAT(rest) "{\"model\":\"m\"," rest "}"

static void
chat(const char *body, const char *want)
{
    written(ENDPOINT_CHAT, body, &plain, want, "");
}

static void
test_messages(void **state)
{
    (void)state;
    chat(CHAT(HI), UP(HI));
    /* Strings stay in their own spelling. */
    chat(CHAT("\"messages\":[{\"content\":\"a\\u00e9\\/\\n\\ud83d\\ude00\",\"role\":\"user\"}]"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":\"a\\u00e9\\/\\n\\ud83d\\ude00\"}]"));
    chat(CHAT("\"messages\":[{\"role\":\"system\",\"content\":\"a\"},"
              "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},"
              "{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"c\"}]},"
              "{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"system\",\"content\":\"later\"},"
              "{\"role\":\"user\",\"content\":\"v\"}]"),
         UP("\"messages\":[{\"role\":\"system\",\"content\":\"a\\nb\\nc\"},"
            "{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"system\",\"content\":\"later\"},"
            "{\"role\":\"user\",\"content\":\"v\"}]"));
    chat(CHAT("\"messages\":[{\"role\":\"system\",\"content\":\"only\"}]"),
         UP("\"messages\":[{\"role\":\"system\",\"content\":\"only\"}]"));
    chat(CHAT("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\","
              "\"detail\":\"low\"}},"
              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA\\/A\"}},"
              "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"wav\"}},"
              "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"mp3\"}},"
              "{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/pdf;base64,UERG\","
              "\"filename\":\"a.pdf\"}},"
              "{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,QQ==\"}}]}]"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
            "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\","
            "\"detail\":\"low\"}},"
            "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA/A\"}},"
            "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"wav\"}},"
            "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"mp3\"}},"
            "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\","
            "\"file_data\":\"data:application/pdf;base64,UERG\"}},"
            "{\"type\":\"file\",\"file\":{\"filename\":\"document\","
            "\"file_data\":\"data:text/plain;base64,QQ==\"}}]}]"));
    /* No list of no parts. */
    chat(CHAT("\"messages\":[{\"role\":\"user\",\"content\":["
              "{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"\"}]}]"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":\"\"}]"));
    written(ENDPOINT_CHAT,
            CHAT("\"messages\":[{\"role\":\"user\",\"name\":\"bob\",\"content\":[{\"type\":"
                 "\"text\",\"text\":\"a\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}]"),
            &plain, UP("\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"),
            "name, prompt_cache_breakpoint");
}

static void
test_assistant(void **state)
{
    static const struct chat_target thinks = {
        .model_json = {"\"up\"", 4}, .can_think = true, .takes_reasoning = true};
    static const char said[] =
        CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
             "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
             "{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"refusal\",\"refusal\":\"no\"}],"
             "\"reasoning_content\":\"hm\",\"annotations\":[]},"
             "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"never\",\"reasoning\":\"x\"},"
             "{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":\"x\"},"
             "{\"role\":\"user\",\"content\":\"v\"}]");

    (void)state;
    chat(said, UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
                  "{\"role\":\"assistant\",\"content\":\"ab\",\"refusal\":\"no\"},"
                  "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"never\"},"
                  "{\"role\":\"user\",\"content\":\"v\"}]"));
    written(ENDPOINT_CHAT, said, &thinks,
            UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
               "{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":\"ab\","
               "\"refusal\":\"no\"},"
               "{\"role\":\"assistant\",\"reasoning_content\":\"x\",\"content\":null,"
               "\"refusal\":\"never\"},"
               "{\"role\":\"user\",\"content\":\"v\"}]"),
            "");
}

#define CALL(id, args)                                                                             \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":" args "}}"
#define RESULT(id, text)                                                                           \
    "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"

static void
test_calls(void **state)
{
    (void)state;
    /* Results out of order, a system message between them. */
    chat(CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" CALL(
                  "c1", "\"{\\\"a\\\": 1.0}\"") "," CALL("c2", "\"\"") "," CALL("c3",
                                                                              "{ \"b\" : \"\\n\" }")
              "]}," RESULT("c2", "two") ",{\"role\":\"system\",\"content\":\"s\"}," RESULT(
                  "c1", "one") ",{\"role\":\"tool\",\"tool_call_id\":\"c3\",\"content\":["
              "{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}]"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
            "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL(
                "c1", "\"{\\\"a\\\": 1.0}\"") "," CALL("c2", "\"{}\"") "," CALL("c3",
                                                                              "\"{\\\"b\\\":"
                                                                              "\\\"\\\\n\\\"}\"")
            "]}," RESULT("c2", "two") "," RESULT("c1", "one") "," RESULT("c3", "x\\ny")
            ",{\"role\":\"system\",\"content\":\"s\"}]"));
    /* A custom tool becomes a function of one string; an odd name a plain one. */
    written(
        ENDPOINT_CHAT,
        CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
             "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"custom\","
             "\"custom\":{\"name\":\"sh\",\"input\":\"a \\\"b\\\"\"}}]}," RESULT("c1", "") "],"
             "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"sh\",\"description\":\"d\","
             "\"format\":{\"type\":\"grammar\",\"grammar\":{\"syntax\":\"lark\"}}}},"
             "{\"type\":\"web_search\"},{\"type\":\"function\",\"function\":{\"name\":\"a.b\"}}],"
             "\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"sh\"}}"),
        &plain,
        UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
           "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\","
           "\"type\":\"function\",\"function\":{\"name\":\"sh\",\"arguments\":"
           "\"{\\\"input\\\":\\\"a \\\\\\\"b\\\\\\\"\\\"}\"}}]}," RESULT("c1", "") "],"
           "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"sh\",\"description\":\"d\","
           "\"parameters\":{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
           "\"required\":[\"input\"],\"additionalProperties\":false}}},"
           "{\"type\":\"function\",\"function\":{\"name\":\"ab_f4d4b10fb36a5f80\"}}],"
           "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"sh\"}}"),
        "tools, format");
    /* The older form: paired by the function's name. */
    chat(CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\","
              "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"r\"}],"
              "\"functions\":[{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}],"
              "\"function_call\":{\"name\":\"f\"}"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
            "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("call_1_0",
                                                                             "\"{}\"") "]}," RESULT(
                "call_1_0", "r") "],"
            "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
            "\"parameters\":{\"type\":\"object\"}}}],"
            "\"parallel_tool_calls\":false,"
            "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"));
    /* One call after the other of the same function; none of today's form is meant. */
    chat(CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"content\":\"a\",\"function_call\":{\"name\":\"f\","
              "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"r\"},"
              "{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}},"
              "{\"role\":\"function\",\"name\":\"f\",\"content\":null}],"
              "\"functions\":[{\"name\":\"f\"}]"),
         UP("\"messages\":[{\"role\":\"user\",\"content\":\"u\"},"
            "{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":["
            CALL("call_1_0", "\"{}\"") "]}," RESULT("call_1_0", "r") ","
            "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
            CALL("call_3_0", "\"{}\"") "]}," RESULT("call_3_0", "") "],"
            "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
            "\"parallel_tool_calls\":false"));
}

#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"

static void
test_tools(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\"tool_choice\":\"auto\"", "\"tool_choice\":\"auto\""},
        {"\"tool_choice\":\"none\"", "\"tool_choice\":\"none\""},
        {"\"tool_choice\":\"required\",\"parallel_tool_calls\":false",
         "\"parallel_tool_calls\":false,\"tool_choice\":\"required\""},
        {"\"parallel_tool_calls\":true,\"function_call\":\"auto\"", "\"tool_choice\":\"auto\""},
        {"\"tool_choice\":" TOOL("g"), "\"tool_choice\":" TOOL("g")},
        {"\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"}", "\"tool_choice\":" TOOL("g")},
        {"\"tool_choice\":" TOOL("\\u0067"), "\"tool_choice\":" TOOL("g")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char in[400], out[400];

        snprintf(in, sizeof in, CHAT(HI ",\"tools\":[" TOOL("f") "," TOOL("g") "],%s"),
                 cases[i].in);
        snprintf(out, sizeof out, UP(HI ",\"tools\":[" TOOL("f") "," TOOL("g") "],%s"),
                 cases[i].out);
        chat(in, out);
    }
    chat(CHAT(HI ",\"tools\":[" TOOL("f") "," TOOL("g") "],\"tool_choice\":{\"type\":"
                 "\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":[" TOOL(
                     "g") "]}}"),
         UP(HI ",\"tools\":[" TOOL("g") "],\"tool_choice\":\"required\""));
    chat(CHAT(HI ",\"tools\":[" TOOL("f") "],\"tool_choice\":{\"type\":"
                 "\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[]}}"),
         UP(HI));
    chat(CHAT(HI ",\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false"), UP(HI));
    chat(CHAT(HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"
                 "\"description\":\"d\",\"parameters\":{\"type\": \"object\"}}}]"),
         UP(HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
               "\"description\":\"d\",\"parameters\":{\"type\": \"object\"},\"strict\":true}}]"));
}

static void
test_fields(void **state)
{
    static const struct chat_target old = {
        .model_json = {"\"up\"", 4}, .stream = true, .output_max = 50, .no_sampling = true,
        .max_tokens_old = true};

    (void)state;
    chat(CHAT(HI ",\"temperature\":1.50,\"top_p\":0.9,\"seed\":-7,\"presence_penalty\":0.1,"
                 "\"frequency_penalty\":-1,\"logit_bias\":{\"5\":1},\"user\":\"u\","
                 "\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\","
                 "\"service_tier\":\"flex\",\"verbosity\":\"low\",\"reasoning_effort\":\"xhigh\","
                 "\"stop\":[\"a\",\"b\"],\"n\":2,\"logprobs\":true,\"top_logprobs\":3,"
                 "\"max_tokens\":5,\"max_completion_tokens\":4,\"modalities\":[\"text\"],"
                 "\"store\":false,\"audio\":null"),
         UP(HI ",\"reasoning_effort\":\"xhigh\",\"temperature\":1.50,\"top_p\":0.9,\"seed\":-7,"
               "\"presence_penalty\":0.1,\"frequency_penalty\":-1,\"logit_bias\":{\"5\":1},"
               "\"user\":\"s\",\"prompt_cache_key\":\"k\",\"service_tier\":\"flex\","
               "\"verbosity\":\"low\",\"stop\":[\"a\",\"b\"],\"max_completion_tokens\":5,\"n\":2,"
               "\"logprobs\":true,\"top_logprobs\":3"));
    chat(CHAT(HI ",\"stop\":\"x\",\"reasoning_effort\":\"none\",\"temperature\":null"),
         UP(HI ",\"reasoning_effort\":\"none\",\"stop\":[\"x\"]"));
    written(ENDPOINT_CHAT,
            CHAT(HI ",\"temperature\":1,\"top_p\":1,\"top_k\":5,\"prompt_cache_key\":\"k\","
                    "\"service_tier\":\"flex\",\"verbosity\":\"low\",\"max_tokens\":99,"
                    "\"reasoning_effort\":\"low\",\"stream\":true,\"metadata\":{},\"store\":true,"
                    "\"prediction\":{},\"web_search_options\":{},\"audio\":{},\"x\\u0041\":1"),
            &old,
            UP(HI ",\"max_tokens\":50,\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
            "metadata, prediction, web_search_options, audio, x\\u0041, store, reasoning_effort, "
            "temperature, top_p, top_k, prompt_cache_key, service_tier, verbosity");
    /* Where there is no thinking there is nothing to switch off; no limit that nobody set. */
    written(ENDPOINT_CHAT, CHAT(HI ",\"reasoning_effort\":\"none\""), &old,
            UP(HI ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"), "");
    /* Longer than OpenAI takes. */
    written(ENDPOINT_CHAT,
            CHAT(HI ",\"user\":\"01234567890123456789012345678901"
                    "234567890123456789012345678901234\""),
            &plain, UP(HI), "user");
    chat(CHAT(HI ",\"response_format\":{\"type\":\"text\"}"), UP(HI));
    chat(CHAT(HI ",\"response_format\":{\"type\":\"json_object\"}"),
         UP(HI ",\"response_format\":{\"type\":\"json_object\"}"));
    chat(CHAT(HI ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
                 "\"description\":\"d\",\"schema\":{\"type\":\"object\"},\"strict\":true}}"),
         UP(HI ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
               "\"description\":\"d\",\"schema\":{\"type\":\"object\"},\"strict\":true}}"));
    chat(CHAT(HI ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                 "\"schema\":{}}}"),
         UP(HI ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
               "\"name\":\"response\",\"schema\":{}}}"));
}

static void
test_stream_asked(void **state)
{
    struct trip trip;

    (void)state;
    trip_run(&trip, ENDPOINT_CHAT,
             CHAT(HI ",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
                     "\"include_obfuscation\":false}"),
             &plain);
    assert_true(trip.ok && trip.request.stream && trip.request.include_usage);
    check_out(&trip, UP(HI), "");
    trip_end(&trip);
}

#define USER(part) CHAT("\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]")

static void
test_refusals_of_messages(void **state)
{
    static const struct {
        const char *body, *param, *message;
    } cases[] = {
        {CHAT("\"a\":1"), "", "messages is missing"},
        {CHAT("\"messages\":{}"), "messages", "must be a list"},
        {CHAT("\"messages\":[]"), "messages", "must not be empty"},
        {CHAT("\"messages\":[1]"), "messages[0]", "must be an object"},
        {CHAT("\"messages\":[{}]"), "messages[0]", "role is missing"},
        {CHAT("\"messages\":[{\"role\":1}]"), "messages[0].role", "must be a string"},
        {CHAT("\"messages\":[{\"role\":\"x\"}]"), "messages[0].role", "must be system,"},
        {CHAT("\"messages\":[{\"role\":\"user\"}]"), "messages[0]", "content is missing"},
        {CHAT("\"messages\":[{\"role\":\"user\",\"content\":1}]"), "messages[0].content",
         "must be a string or a list"},
        {USER("1"), "messages[0].content[0]", "must be an object"},
        {USER("{}"), "messages[0].content[0]", "type is missing"},
        {USER("{\"type\":\"x\"}"), "messages[0].content[0].type", "not known"},
        {USER("{\"type\":\"text\"}"), "messages[0].content[0]", "text is missing"},
        {USER("{\"type\":\"text\",\"text\":1}"), "messages[0].content[0].text", "a string"},
        {USER("{\"type\":\"text\",\"text\":\"\",\"prompt_cache_breakpoint\":1}"),
         "messages[0].content[0].prompt_cache_breakpoint", "an object"},
        {USER("{\"type\":\"refusal\",\"refusal\":\"\"}"), "messages[0].content[0].type",
         "this role"},
        {CHAT("\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"image_url\"}]}]"),
         "messages[0].content[0].type", "this role"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"file\"}]}]"),
         "messages[0].content[0].type", "this role"},
        {USER("{\"type\":\"image_url\"}"), "messages[0].content[0]", "image_url is missing"},
        {USER("{\"type\":\"image_url\",\"image_url\":\"x\"}"), "messages[0].content[0].image_url",
         "an object"},
        {USER("{\"type\":\"image_url\",\"image_url\":{}}"), "messages[0].content[0].image_url",
         "url is missing"},
        {USER("{\"type\":\"image_url\",\"image_url\":{\"url\":\"ftp://x\"}}"),
         "messages[0].content[0].image_url.url", "http(s) URL"},
        {USER("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,x\"}}"),
         "messages[0].content[0].image_url.url", "http(s) URL"},
        {USER("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:text/html;base64,QQ==\"}}"),
         "messages[0].content[0].image_url.url", "is no image"},
        {USER("{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x\",\"detail\":1}}"),
         "messages[0].content[0].image_url.detail", "a string"},
        {USER("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\",\"format\":\"ogg\"}}"),
         "messages[0].content[0].input_audio.format", "wav or mp3"},
        {USER("{\"type\":\"input_audio\",\"input_audio\":{\"format\":\"wav\"}}"),
         "messages[0].content[0].input_audio", "data is missing"},
        {USER("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"),
         "messages[0].content[0].file.file_id", "does not have this file"},
        {USER("{\"type\":\"file\",\"file\":{}}"), "messages[0].content[0].file",
         "file_data is missing"},
        {USER("{\"type\":\"file\",\"file\":{\"file_data\":\"QQ==\"}}"),
         "messages[0].content[0].file.file_data", "data URL"},
        {USER("{\"type\":\"file\",\"file\":{\"file_data\":\"data:a/b;base64,\",\"filename\":1}}"),
         "messages[0].content[0].file.filename", "a string"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}]"),
         "messages[0].audio", "does not have this answer"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"refusal\":1}]"), "messages[0].refusal",
         "a string"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":[]}]"),
         "messages[0].reasoning_content", "a string"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]"),
         "messages[0].tool_calls", "a list"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[1]}]"),
         "messages[0].tool_calls[0]", "an object"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]"),
         "messages[0].tool_calls[0]", "id is missing"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\"}]}]"),
         "messages[0].tool_calls[0]", "function is missing"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
              "\"type\":\"x\"}]}]"),
         "messages[0].tool_calls[0].type", "function or custom"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
              "\"function\":{\"name\":\"\"}}]}]"),
         "messages[0].tool_calls[0].function.name", "must not be empty"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
              "\"function\":{\"name\":\"f\",\"arguments\":[]}}]}]"),
         "messages[0].tool_calls[0].function.arguments", "a string"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"function_call\":[]}]"),
         "messages[0].function_call", "an object"},
        {CHAT("\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]"), "messages[0]",
         "tool_call_id is missing"},
        {CHAT("\"messages\":[" RESULT("c", "") "]"), "messages[0]", "answers no call"},
        {CHAT("\"messages\":[{\"role\":\"function\",\"content\":\"\"}]"), "messages[0]",
         "name is missing"},
        {CHAT("\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALL("c", "\"\"") "]},"
              "{\"role\":\"user\",\"content\":\"\"}]"),
         "messages[0].tool_calls[0]", "is missing"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refused(ENDPOINT_CHAT, cases[i].body, cases[i].param, cases[i].message);
}

static void
test_refusals_of_fields(void **state)
{
    static const struct {
        const char *field, *param, *message;
    } cases[] = {
        {"\"temperature\":\"1\"", "temperature", "a number"},
        {"\"seed\":1.5", "seed", "a whole number"},
        {"\"top_k\":1.5", "top_k", "a whole number"},
        {"\"logit_bias\":[]", "logit_bias", "an object"},
        {"\"user\":1", "user", "a string"},
        {"\"stop\":1", "stop", "a string or a list"},
        {"\"stop\":[\"a\",1]", "stop[1]", "a string"},
        {"\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\"]", "stop", "more than 4"},
        {"\"n\":0", "n", "from 1 to 128"},
        {"\"max_tokens\":0", "max_tokens", "from 1"},
        {"\"max_completion_tokens\":\"9\"", "max_completion_tokens", "from 1"},
        {"\"stream\":1", "stream", "true or false"},
        {"\"stream_options\":1", "stream_options", "an object"},
        {"\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage", "true or"},
        {"\"modalities\":[\"text\",\"audio\"]", "modalities[1]", "in text only"},
        {"\"modalities\":\"text\"", "modalities", "a list"},
        {"\"logprobs\":1", "logprobs", "true or false"},
        {"\"top_logprobs\":21", "top_logprobs", "from 0 to 20"},
        {"\"top_logprobs\":2", "top_logprobs", "needs logprobs"},
        {"\"response_format\":\"x\"", "response_format", "an object"},
        {"\"response_format\":{}", "response_format", "type is missing"},
        {"\"response_format\":{\"type\":\"xml\"}", "response_format.type", "json_object"},
        {"\"response_format\":{\"type\":\"json_schema\"}", "response_format",
         "json_schema is missing"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}",
         "response_format.json_schema", "schema is missing"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"strict\":1}}",
         "response_format.json_schema.strict", "true or false"},
        {"\"reasoning_effort\":\"huge\"", "reasoning_effort", "must be none,"},
        {"\"reasoning_effort\":1", "reasoning_effort", "a string"},
        {"\"tools\":{}", "tools", "a list"},
        {"\"tools\":[1]", "tools[0]", "an object"},
        {"\"tools\":[{}]", "tools[0]", "type is missing"},
        {"\"tools\":[{\"type\":\"web_search\"}]", "tools[0]", "its provider's own"},
        {"\"tools\":[{\"type\":\"function\"}]", "tools[0]", "function is missing"},
        {"\"tools\":[{\"type\":\"custom\",\"custom\":1}]", "tools[0].custom", "an object"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools[0].function",
         "name is missing"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]",
         "tools[0].function.name", "must not be empty"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":1}}]",
         "tools[0].function.parameters", "an object"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":1}}]",
         "tools[0].function.strict", "true or false"},
        {"\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"format\":1}}]",
         "tools[0].custom.format", "an object"},
        {"\"functions\":[1]", "functions[0]", "an object"},
        {"\"functions\":[{}]", "functions[0]", "name is missing"},
        {"\"tool_choice\":1", "tool_choice", "a string or an object"},
        {"\"tool_choice\":\"x\"", "tool_choice", "none, auto or required"},
        {"\"tool_choice\":\"required\"", "tool_choice", "no tool to be called"},
        {"\"tool_choice\":{}", "tool_choice", "function or custom"},
        {"\"tool_choice\":{\"type\":\"function\"}", "tool_choice", "name is missing"},
        {"\"tool_choice\":" TOOL("f"), "tool_choice.function.name", "none of the tools"},
        {"\"tool_choice\":{\"type\":\"allowed_tools\"}", "tool_choice", "allowed_tools is missing"},
        {"\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"x\"}}",
         "tool_choice.allowed_tools.mode", "auto or required"},
        {"\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\"}}",
         "tool_choice.allowed_tools", "tools must be a list"},
        {"\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\","
         "\"tools\":[" TOOL("f") "]}}",
         "tool_choice.allowed_tools.tools[0].function.name", "none of the tools"},
        {"\"function_call\":{\"name\":\"f\"}", "function_call.name", "none of the tools"},
        {"\"parallel_tool_calls\":1", "parallel_tool_calls", "true or false"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[400];

        snprintf(body, sizeof body, CHAT(HI ",%s"), cases[i].field);
        refused(ENDPOINT_CHAT, body, cases[i].param, cases[i].message);
    }
}

static void
test_completions(void **state)
{
    static const struct {
        const char *fields, *param, *message;
    } cases[] = {
        {"\"a\":1", "", "prompt is missing"},
        {"\"prompt\":1", "prompt", "a string"},
        {"\"prompt\":[]", "prompt", "must not be empty"},
        {"\"prompt\":[1,2]", "prompt", "no tokens"},
        {"\"prompt\":[[1]]", "prompt", "no tokens"},
        {"\"prompt\":[{}]", "prompt[0]", "a string"},
        {"\"prompt\":[\"a\",\"b\"]", "prompt[1]", "one prompt"},
        {"\"prompt\":\"a\",\"suffix\":\"x\"", "suffix", "towards an end"},
        {"\"prompt\":\"a\",\"echo\":true", "echo", "repeat"},
        {"\"prompt\":\"a\",\"best_of\":3,\"n\":2", "best_of", "best of several"},
        {"\"prompt\":\"a\",\"logprobs\":0", "logprobs", "no logprobs"},
        {"\"prompt\":\"a\",\"logprobs\":true", "logprobs", "whole number"},
    };

    (void)state;
    written(ENDPOINT_COMPLETIONS,
            CHAT("\"prompt\":\"a\\n\",\"max_tokens\":5,\"echo\":false,\"suffix\":\"\","
                 "\"stop\":\"x\",\"best_of\":1,\"logprobs\":null,\"messages\":1,\"user\":\"u\""),
            &plain,
            UP("\"messages\":[{\"role\":\"user\",\"content\":\"a\\n\"}],\"user\":\"u\","
               "\"stop\":[\"x\"],\"max_completion_tokens\":5"),
            "messages");
    written(ENDPOINT_COMPLETIONS, CHAT("\"prompt\":[\"a\"]"), &plain,
            UP("\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"), "");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[200];

        snprintf(body, sizeof body, CHAT("%s"), cases[i].fields);
        refused(ENDPOINT_COMPLETIONS, body, cases[i].param, cases[i].message);
    }
}

/* ---- requests of other protocols ---- */

struct build {
    struct trip trip;
    struct chat_message **messages_end;
    struct chat_part **parts_end;
    struct chat_tool **tools_end;
};

static void
build_start(struct build *b, enum proto_endpoint endpoint)
{
    trip_start(&b->trip, endpoint, "{}");
    b->messages_end = &b->trip.request.messages;
    b->tools_end = &b->trip.request.tools;
}

static struct chat_message *
add_message(struct build *b, enum chat_role role)
{
    struct chat_message *m =
        chat_message_add(&b->trip.request, &b->messages_end, role, b->trip.request.document);

    assert_non_null(m);
    b->parts_end = &m->parts;
    return m;
}

static struct chat_part *
add_part(struct build *b, enum chat_part_kind kind, const char *text)
{
    struct chat_part *p =
        chat_part_add(&b->trip.request, &b->parts_end, kind, b->trip.request.document);

    assert_non_null(p);
    if (text != NULL)
        p->text = chat_literal(text);
    return p;
}

static struct chat_part *
add_call(struct build *b, enum chat_tool_kind kind, const char *id, const char *name,
         struct js_value arguments)
{
    struct chat_part *p = add_part(b, CHAT_PART_CALL, NULL);

    p->tool = kind;
    p->id = chat_literal(id);
    if (name != NULL)
        p->tool_name = chat_literal(name);
    p->arguments = arguments;
    return p;
}

/* A result; what is added next is its content. */
static struct chat_part *
add_result(struct build *b, const char *id)
{
    struct chat_part *p;

    add_message(b, CHAT_TOOL);
    p = add_part(b, CHAT_PART_RESULT, NULL);
    p->id = chat_literal(id);
    b->parts_end = &p->content;
    return p;
}

static void
add_image(struct build *b)
{
    struct chat_part *p = add_part(b, CHAT_PART_IMAGE, NULL);

    p->source = CHAT_SOURCE_DATA;
    p->media_type = chat_literal("image/png");
    p->data = chat_literal("QQ==");
}

static const struct js_value no_arguments = {.type = JS_OBJECT, .raw = {"{ }", 3}};

#define IMAGE                                                                                      \
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,QQ==\"}}"

/* A system text of two blocks, results with pictures and errors, with and without somebody who
 * speaks after them. */
static void
build_results(struct build *b, bool system_between)
{
    struct chat_message *m = (build_start(b, ENDPOINT_MESSAGES), add_message(b, CHAT_SYSTEM));
    struct chat_part *p = add_part(b, CHAT_PART_TEXT, "s\\\"1");

    m->leading = true;
    p->cache = CHAT_CACHE_LONG;
    add_part(b, CHAT_PART_TEXT, "s2");
    add_message(b, CHAT_USER);
    p = add_part(b, CHAT_PART_DOCUMENT, "doc");
    p->source = CHAT_SOURCE_TEXT;
    add_message(b, CHAT_ASSISTANT);
    p = add_part(b, CHAT_PART_REASONING, NULL);
    p->redacted = true;
    add_part(b, CHAT_PART_TEXT, "t");
    add_call(b, CHAT_TOOL_FUNCTION, "a", "f", no_arguments);
    add_call(b, CHAT_TOOL_LOCAL_SHELL, "b", NULL, no_arguments)->tool_name =
        chat_literal("local_shell");
    add_result(b, "a");
    add_image(b);
    add_result(b, "b")->is_error = true;
    add_part(b, CHAT_PART_TEXT, "bad");
    add_part(b, CHAT_PART_TEXT, "worse");
    if (system_between) {
        add_message(b, CHAT_SYSTEM);
        add_part(b, CHAT_PART_TEXT, "note");
    }
    add_message(b, CHAT_USER);
    add_part(b, CHAT_PART_TEXT, "go on");
}

#define RESULTS_HEAD                                                                               \
    "\"messages\":[{\"role\":\"system\",\"content\":\"s\\\"1\\ns2\"},"                             \
    "{\"role\":\"user\",\"content\":\"doc\"},"                                                     \
    "{\"role\":\"assistant\",\"content\":\"t\",\"tool_calls\":["                                   \
    "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"     \
    "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"local_shell\","                  \
    "\"arguments\":\"{}\"}}]},"                                                                    \
    "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"(attached to the next message)\"},"   \
    "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"Error: bad\\nworse\"},"

static void
test_results(void **state)
{
    struct build b;

    (void)state;
    build_results(&b, false);
    trip_write(&b.trip, &plain);
    check_out(&b.trip,
              UP(RESULTS_HEAD "{\"role\":\"user\",\"content\":[" IMAGE
                              ",{\"type\":\"text\",\"text\":\"go on\"}]}]"),
              "cache_control");
    trip_end(&b.trip);
    build_results(&b, true);
    trip_write(&b.trip, &plain);
    check_out(&b.trip,
              UP(RESULTS_HEAD "{\"role\":\"user\",\"content\":[" IMAGE "]},"
                              "{\"role\":\"system\",\"content\":\"note\"},"
                              "{\"role\":\"user\",\"content\":\"go on\"}]"),
              "cache_control");
    trip_end(&b.trip);
}

static void
test_other_tools(void **state)
{
    struct chat_tool *tool;
    struct build b;

    (void)state;
    build_start(&b, ENDPOINT_RESPONSES);
    add_message(&b, CHAT_USER);
    add_message(&b, CHAT_ASSISTANT);
    add_call(&b, CHAT_TOOL_FUNCTION, "a", "f", no_arguments)->space = chat_literal("ns");
    add_result(&b, "a");
    tool = chat_tool_add(&b.trip.request, &b.tools_end, CHAT_TOOL_FUNCTION,
                         b.trip.request.document);
    assert_non_null(tool);
    tool->name = chat_literal("f");
    tool->space = chat_literal("ns");
    tool = chat_tool_add(&b.trip.request, &b.tools_end, CHAT_TOOL_LOCAL_SHELL,
                         b.trip.request.document);
    assert_non_null(tool);
    b.trip.request.choice = CHAT_CHOICE_ONE;
    b.trip.request.choice_name = chat_literal("f");
    b.trip.request.choice_space = chat_literal("ns");
    b.trip.request.thinking = CHAT_THINKING_ON;
    b.trip.request.thinking_budget = 9000;
    trip_write(&b.trip, &plain);
    check_out(
        &b.trip,
        UP("\"messages\":[{\"role\":\"user\",\"content\":\"\"},"
           "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\","
           "\"type\":\"function\",\"function\":{\"name\":\"ns__f\",\"arguments\":\"{}\"}}]},"
           "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"\"}],"
           "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"ns__f\"}},"
           "{\"type\":\"function\",\"function\":{\"name\":\"local_shell\",\"description\":"
           "\"Runs a command and gives its output.\",\"parameters\":{\"type\":\"object\","
           "\"properties\":{\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
           "\"working_directory\":{\"type\":\"string\"},\"timeout_ms\":{\"type\":\"integer\"}},"
           "\"required\":[\"command\"]}}}],"
           "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"ns__f\"}},"
           "\"reasoning_effort\":\"high\""),
        "");
    trip_end(&b.trip);
}

static void
test_not_taken(void **state)
{
    static const struct chat_target simple = {.model_json = {"\"up\"", 4}};
    struct js_value stops[5];
    struct build b;
    unsigned i;

    (void)state;
    for (i = 0; i < 5; i++) {
        build_start(&b, ENDPOINT_MESSAGES);
        add_message(&b, CHAT_USER);
        if (i == 0) {
            add_part(&b, CHAT_PART_DOCUMENT, NULL)->source = CHAT_SOURCE_URL;
        } else if (i == 1) {
            add_part(&b, CHAT_PART_AUDIO, NULL)->source = CHAT_SOURCE_URL;
        } else if (i == 2) {
            add_part(&b, CHAT_PART_AUDIO, NULL)->media_type = chat_literal("audio/ogg");
        } else if (i == 3) {
            for (unsigned j = 0; j < 5; j++)
                stops[j] = chat_literal("x");
            b.trip.request.stops = stops;
            b.trip.request.stop_count = 5;
        } else {
            b.trip.request.thinking = CHAT_THINKING_ON;
        }
        trip_write(&b.trip, &simple);
        assert_int_equal(b.trip.ok, i == 4);
        if (i == 4)
            check_out(&b.trip, UP("\"messages\":[{\"role\":\"user\",\"content\":\"\"}]"),
                      "thinking");
        else
            assert_int_equal(b.trip.error.kind, ERROR_BAD_REQUEST);
        trip_end(&b.trip);
    }
}

/* However little room there is: an error, or all of it. */
static void
test_no_room(void **state)
{
    static const char body[] =
        CHAT("\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
             "{\"url\":\"data:image\\/png;base64,AA\"}},{\"type\":\"text\",\"text\":\"x\"}]}],"
             "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"a.b\"}}],\"stop\":\"x\"");
    bool done = false;

    (void)state;
    for (size_t room = 0; room < 8192; room += 64) {
        struct trip trip;

        trip_start(&trip, ENDPOINT_CHAT, body);
        trip.arena.limit_bytes = room;
        trip.ok = openai_codec.request_read(&trip.request, &trip.error);
        if (trip.ok)
            trip_write(&trip, &plain);
        done |= trip.ok;
        trip_end(&trip);
    }
    assert_true(done);
    for (size_t room = 0; room < 16; room++) {
        struct trip trip;

        trip_start(&trip, ENDPOINT_CHAT, body);
        buf_init(&trip.out, room);
        assert_true(openai_codec.request_read(&trip.request, &trip.error));
        trip_write(&trip, &plain);
        assert_false(trip.ok);
        assert_int_equal(trip.error.kind, ERROR_TOO_LARGE);
        trip_end(&trip);
    }
}

/* ---- answers of upstreams ---- */

struct log {
    struct codec_reader reader;
    struct codec_writer writer;
    struct chat_frame frame;
    struct buf text, client;
    const struct codec *to;
    bool failed;
};

static void
log_usage(struct buf *out, const struct usage *u)
{
    buf_add_fmt(out, "(%u %u %u %u %u)", u->input, u->cache_read, u->cache_write_5m, u->output,
                u->reasoning);
}

/* A line a delta. */
static void
log_delta(void *arg, const struct chat_delta *d)
{
    static const char *const kinds[CHAT_DELTA_KIND_COUNT] = {
        [CHAT_DELTA_START] = "start",     [CHAT_DELTA_TEXT] = "text",
        [CHAT_DELTA_REASONING] = "think", [CHAT_DELTA_SIGNATURE] = "sign",
        [CHAT_DELTA_REFUSAL] = "refuse",  [CHAT_DELTA_CALL] = "call",
        [CHAT_DELTA_ARGUMENTS] = "args",  [CHAT_DELTA_CALL_END] = "end call",
        [CHAT_DELTA_PING] = "ping",       [CHAT_DELTA_USAGE] = "usage",
        [CHAT_DELTA_FINISH] = "finish",   [CHAT_DELTA_END] = "end",
    };
    static const char *const finishes[CHAT_FINISH_COUNT] = {
        [CHAT_FINISH_STOP] = "stop",       [CHAT_FINISH_STOP_SEQUENCE] = "sequence",
        [CHAT_FINISH_CALLS] = "calls",     [CHAT_FINISH_LENGTH] = "length",
        [CHAT_FINISH_CONTEXT] = "context", [CHAT_FINISH_FILTER] = "filter",
        [CHAT_FINISH_REFUSAL] = "refusal",
    };
    struct log *log = arg;
    struct buf *out = &log->text;

    if (log->to != NULL)
        log->to->delta_write(&log->writer, d, &log->client);
    buf_add_fmt(out, "%s", kinds[d->kind]);
    if (d->choice > 0)
        buf_add_fmt(out, " @%u", d->choice);
    if (d->kind == CHAT_DELTA_CALL || d->kind == CHAT_DELTA_ARGUMENTS)
        buf_add_fmt(out, " #%u", d->call);
    if (d->id.ptr != NULL)
        buf_add_fmt(out, " id=%.*s", STR_ARGS(d->id));
    if (d->name.ptr != NULL)
        buf_add_fmt(out, " name=%.*s", STR_ARGS(d->name));
    if (d->text.ptr != NULL)
        buf_add_fmt(out, " [%.*s]", STR_ARGS(d->text));
    if (d->logprobs.type != JS_NONE)
        buf_add_fmt(out, " %.*s", STR_ARGS(d->logprobs.raw));
    if (d->kind == CHAT_DELTA_FINISH)
        buf_add_fmt(out, " %s", finishes[d->finish]);
    if (d->kind == CHAT_DELTA_USAGE)
        log_usage(out, d->usage);
    buf_add_char(out, '\n');
}

static void
log_start(struct log *log, const struct codec *to)
{
    memset(log, 0, sizeof *log);
    buf_init(&log->text, 1 << 20);
    buf_init(&log->client, 1 << 20);
    buf_init(&log->reader.scratch, 1 << 20);
    log->reader.endpoint = ENDPOINT_CHAT;
    log->reader.on_delta = log_delta;
    log->reader.arg = log;
    log->to = to;
    log->frame = (struct chat_frame){.id = STR("7"), .model = STR("m"), .created_s = 9};
    log->writer.frame = &log->frame;
}

static void
log_end(struct log *log)
{
    buf_free(&log->text);
    buf_free(&log->client);
    buf_free(&log->reader.scratch);
}

static void
log_feed(struct log *log, struct sse *sse, struct str bytes)
{
    struct page page = page_make(bytes.ptr, bytes.len);
    struct sse_event event;
    int rc;

    sse_feed(sse, page.text);
    while ((rc = sse_next(sse, &event)) == 1) {
        log->reader.scratch.len = 0;
        if (!log->failed && !openai_codec.event_read(&log->reader, &event))
            log->failed = true;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(sse_keep(sse), 0);
    page_free(&page);
}

/* Cut at a place; past the end: byte by byte. */
static void
log_stream(struct log *log, struct str stream, size_t cut)
{
    struct sse_event event;
    struct sse sse;

    sse_init(&sse, SSE_EVENT_LEN_MAX);
    if (cut > stream.len) {
        for (size_t i = 0; i < stream.len; i++)
            log_feed(log, &sse, (struct str){stream.ptr + i, 1});
    } else {
        log_feed(log, &sse, (struct str){stream.ptr, cut});
        log_feed(log, &sse, (struct str){stream.ptr + cut, stream.len - cut});
    }
    if (sse_last(&sse, &event) && !log->failed &&
        !openai_codec.event_read(&log->reader, &event))
        log->failed = true;
    if (!log->failed)
        openai_codec.stream_end(&log->reader);
    sse_free(&sse);
}

static void
streamed(const char *text, const char *want)
{
    struct str stream = str_from(text);
    struct log log;

    for (size_t cut = 0; cut <= stream.len + 1; cut += 7) {
        log_start(&log, NULL);
        log_stream(&log, stream, MIN(cut, stream.len));
        assert_false(log.failed);
        assert_str(buf_str(&log.text), want);
        log_end(&log);
    }
    log_start(&log, NULL);
    log_stream(&log, stream, stream.len + 1);
    assert_str(buf_str(&log.text), want);
    assert_true(log.reader.ended);
    log_end(&log);
}

#define CHUNK(rest)                                                                                \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,"                     \
    "\"model\":\"up\"," rest "}\n\n"
#define CHOICE(delta, finish)                                                                      \
    "{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish "}"
#define DELTA(delta) CHUNK("\"choices\":[" CHOICE(delta, "null") "],\"usage\":null")
#define FINISH(reason) CHUNK("\"choices\":[" CHOICE("", "\"" reason "\"") "]")
#define TEXT(text) DELTA("\"content\":\"" text "\"")
#define DONE "data: [DONE]\n\n"
#define USED                                                                                       \
    "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":33,\"total_tokens\":153,"              \
    "\"prompt_tokens_details\":{\"cached_tokens\":40,\"cache_write_tokens\":16},"                  \
    "\"completion_tokens_details\":{\"reasoning_tokens\":12}}"
#define START "start id=c1 name=up\n"
#define CALLS(list) DELTA("\"tool_calls\":[" list "]")

static void
test_stream(void **state)
{
    (void)state;
    streamed(DELTA("\"role\":\"assistant\",\"content\":\"\"") TEXT("H\\u00e9") TEXT("y\\n")
                 FINISH("stop") CHUNK("\"choices\":[]," USED) DONE,
             START "text [H\\u00e9]\ntext [y\\n]\nfinish stop\nusage(64 40 16 33 12)\nend\n");
    /* Without a mark of the end; usage in the last chunk; noise behind the end of the choice. */
    streamed(TEXT("a") CHUNK("\"choices\":[" CHOICE("", "\"length\"") "]," USED) TEXT("b")
                 FINISH("stop"),
             START "text [a]\nfinish length\nusage(64 40 16 33 12)\nend\n");
    /* Usage in each chunk, or in the choice; an unfinished last event. */
    streamed(CHUNK("\"choices\":[" CHOICE("\"content\":\"a\"", "null") "]," USED)
                 "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"," USED
                 "}]}",
             START "text [a]\nusage(64 40 16 33 12)\nfinish stop\nusage(64 40 16 33 12)\nend\n");
    /* The end has its mark, but no reason. Usage that does not add up is none. */
    streamed(TEXT("a") CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":-1}") DONE TEXT("b"),
             START "text [a]\nfinish stop\nend\n");
    /* Cut: no end is made up. */
    streamed(TEXT("a"), START "text [a]\nend\n");
    streamed(": hello\n\n" TEXT("a") ": ping\n\n" FINISH("content_filter") DONE,
             START "text [a]\nping\nfinish filter\nend\n");
    /* What comes first may name neither id nor model, or have no choices at all. */
    streamed("data: {\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n"
             "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\n\n"
             "data: {\"id\":\"c2\",\"choices\":[{\"delta\":null,\"finish_reason\":\"eos\"}]}\n\n",
             "start\ntext [a]\nfinish stop\nend\n");
    streamed(DELTA("\"reasoning\":\"r\",\"content\":null")
                 DELTA("\"reasoning_content\":\"s\",\"reasoning\":\"s\"")
                     DELTA("\"refusal\":\"no\"") FINISH("stop") DONE,
             START "think [r]\nthink [s]\nrefuse [no]\nfinish refusal\nend\n");
    streamed(DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\","
                   "\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"x\"}]")
                 FINISH("model_length"),
             START "think [hm]\ntext [a]\nfinish context\nend\n");
    streamed(CHUNK("\"obfuscation\":\"xx\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},"
                   "\"logprobs\":{\"content\":[{\"token\":\"a\"}]}}]")
                 CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},"
                       "\"logprobs\":{\"content\":[]}}]") FINISH("stop"),
             START "text [a] [{\"token\":\"a\"}]\nfinish stop\nend\n");
    /* Two choices, interleaved. */
    streamed(CHUNK("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},"
                   "{\"index\":0,\"delta\":{\"content\":\"a\"}}]")
                 CHUNK("\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]")
                     TEXT("c") FINISH("stop") DONE,
             START "text @1 [b]\ntext [a]\nfinish @1 length\ntext [c]\nfinish stop\nend\n");
}

static void
test_stream_calls(void **state)
{
    (void)state;
    streamed(CALLS("{\"index\":0,\"id\":\"x\",\"type\":\"function\",\"function\":"
                   "{\"name\":\"f\",\"arguments\":\"\"}}")
                 CALLS("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\"}}")
                     CALLS("{\"index\":1,\"id\":\"y\",\"function\":{\"name\":\"g\"}}")
                         CALLS("{\"index\":0,\"function\":{\"arguments\":\"\\\":1}\"}}")
                             FINISH("tool_calls") DONE,
             START "call #0 id=x name=f\nargs #0 [{\\\"a]\ncall #1 id=y name=g\n"
                   "args #0 [\\\":1}]\nfinish calls\nend\n");
    /* Whole, several in one delta, without an index, and "stop". */
    streamed(CALLS("{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
                   "{\"id\":\"y\",\"function\":{\"name\":\"f\",\"arguments\":{ \"a\" : 1 }}}")
                 FINISH("stop") DONE,
             START "call #0 id=x name=f\nargs #0 [{}]\ncall #1 id=y name=f\n"
                   "args #1 [{\\\"a\\\":1}]\nfinish calls\nend\n");
    /* All with index 0; id and name in each piece; pieces with neither index nor id. */
    streamed(CALLS("{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}}")
                 CALLS("{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\","
                       "\"arguments\":\"2\"}}")
                     CALLS("{\"index\":0,\"id\":\"y\",\"function\":{\"name\":\"f\"}}")
                         CALLS("{\"index\":0,\"function\":{\"arguments\":\"3\"}}")
                             CALLS("{\"function\":{\"arguments\":\"4\"}}") FINISH("stop") DONE,
             START "call #0 id=x name=f\nargs #0 [1]\nargs #0 [2]\ncall #1 id=y name=f\n"
                   "args #1 [3]\nargs #1 [4]\nfinish calls\nend\n");
    /* No ids at all. */
    streamed(CALLS("{\"function\":{\"name\":\"f\",\"arguments\":\"1\"}}")
                 CALLS("{\"id\":\"\",\"function\":{\"arguments\":\"2\"}}")
                     CALLS("{\"function\":{\"name\":\"g\"}}") DONE,
             START "call #0 name=f\nargs #0 [1]\nargs #0 [2]\ncall #1 name=g\n"
                   "finish calls\nend\n");
    streamed(DELTA("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}")
                 DELTA("\"function_call\":{\"arguments\":\"{}\"}") FINISH("function_call") DONE,
             START "call #0 name=f\nargs #0 [{}]\nfinish calls\nend\n");
    /* Calls of two choices are counted apart. */
    streamed(CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\","
                   "\"function\":{\"name\":\"f\"}}]}},{\"index\":1,\"delta\":{\"tool_calls\":"
                   "[{\"index\":0,\"id\":\"y\",\"function\":{\"name\":\"g\"}}]}},"
                   "{\"index\":2,\"delta\":{},\"finish_reason\":\"tool_calls\"}]") DONE,
             START "call #0 id=x name=f\ncall @1 #0 id=y name=g\nfinish @2 stop\n"
                   "finish calls\nfinish @1 calls\nend\n");
    streamed(CALLS("{\"index\":4}") FINISH("tool_calls") DONE, START "finish stop\nend\n");
}

static void
test_broken_streams(void **state)
{
    static const char *const streams[] = {
        "data: x\n\n",
        "data: []\n\n",
        DONE,
        "data: {\"error\":{\"message\":\"x\"}}\n\n",
        CHUNK("\"choices\":1"),
        CHUNK("\"choices\":[1]"),
        CHUNK("\"choices\":[{\"index\":128}]"),
        CHUNK("\"choices\":[{\"index\":\"0\"}]"),
        CHUNK("\"choices\":[{\"delta\":1}]"),
        DELTA("\"content\":1"),
        DELTA("\"tool_calls\":1"),
        CALLS("1"),
        CALLS("{\"index\":65535,\"function\":{\"name\":\"f\"}}"),
        CALLS("{\"index\":\"0\"}"),
        CALLS("{\"index\":0,\"function\":{\"arguments\":\"1\"}}"),
        CALLS("{\"function\":{\"name\":\"f\",\"arguments\":1}}"),
        CHUNK("\"choices\":[" CHOICE("", "1") "]"),
        FINISH("error"),
    };
    struct log log;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        log_start(&log, NULL);
        log_stream(&log, str_from(streams[i]), 0);
        if (!log.failed)
            fail_msg("%s", streams[i]);
        log_end(&log);
    }
    /* As many calls as there is room for, and one more. */
    log_start(&log, NULL);
    for (unsigned i = 0; i <= CODEC_CALLS_MAX; i++) {
        char json[200];
        struct sse_event event = {.data = {json, 0}};

        event.data.len = (size_t)snprintf(
            json, sizeof json,
            "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%u,\"function\":{\"name\":\"f\"}}"
            "]}}]}",
            i);
        assert_int_equal(openai_codec.event_read(&log.reader, &event), i < CODEC_CALLS_MAX);
    }
    log_end(&log);
}

static void
answered(const char *json, const char *want)
{
    struct page page = page_make(json, strlen(json));
    struct js_value document;
    struct js_error fault;
    struct log log;

    log_start(&log, NULL);
    assert_true(js_check(page.text, &document, &fault));
    assert_int_equal(openai_codec.answer_read(&log.reader, document), want != NULL);
    if (want != NULL)
        assert_str(buf_str(&log.text), want);
    log_end(&log);
    page_free(&page);
}

static void
test_whole(void **state)
{
    (void)state;
    answered("{\"id\":\"c1\",\"model\":\"up\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
             "\"assistant\",\"content\":\"Hi\",\"refusal\":null,\"reasoning\":\"hm\"},"
             "\"logprobs\":{\"content\":[1]},\"finish_reason\":\"stop\"}]," USED "}",
             START "think [hm]\ntext [Hi] [1]\nfinish stop\nusage(64 40 16 33 12)\nend\n");
    answered("{\"id\":\"c1\",\"model\":\"up\",\"choices\":[{\"message\":{\"content\":null,"
             "\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
             "{\"id\":\"x\",\"function\":{\"name\":\"g\",\"arguments\":{}}}]},"
             "\"finish_reason\":\"stop\"},{\"message\":{\"content\":\"b\",\"function_call\":"
             "{\"name\":\"h\",\"arguments\":\"\"}},\"finish_reason\":null}],\"error\":null}",
             START "call #0 id=x name=f\nargs #0 [{}]\ncall #1 id=x name=g\nargs #1 [{}]\n"
                   "finish calls\ntext @1 [b]\ncall @1 #0 name=h\nfinish @1 calls\nend\n");
    answered("{}", NULL);
    answered("[]", NULL);
    answered("{\"choices\":[]}", NULL);
    answered("{\"choices\":{\"a\":{}}}", NULL);
    answered("{\"choices\":[{}],\"error\":{}}", NULL);
}

/* ---- answers to clients ---- */

#define TO_CLIENT(rest)                                                                            \
    "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"             \
    "\"model\":\"up\",\"choices\":[" rest "]}\n\n"
#define TO(index, delta, logprobs, finish)                                                         \
    TO_CLIENT("{\"index\":" index ",\"delta\":{" delta "},\"logprobs\":" logprobs                  \
              ",\"finish_reason\":" finish "}")
#define TO_DELTA(delta) TO("0", delta, "null", "null")
#define TO_ROLE TO_DELTA("\"role\":\"assistant\",\"content\":\"\"")
#define TO_CALL(rest) TO_DELTA("\"tool_calls\":[{" rest "}]")

static void
sent(const char *stream, bool include_usage, const char *want)
{
    struct log log;

    log_start(&log, &openai_codec);
    log.frame.include_usage = include_usage;
    log_stream(&log, str_from(stream), 0);
    assert_false(log.failed);
    assert_str(buf_str(&log.client), want);
    log_end(&log);
}

static void
test_client_stream(void **state)
{
    (void)state;
    sent(DELTA("\"reasoning\":\"r\"") TEXT("a\\n") ": x\n\n" FINISH("stop")
             CHUNK("\"choices\":[]," USED) DONE,
         false,
         TO_ROLE TO_DELTA("\"reasoning_content\":\"r\"") TO_DELTA("\"content\":\"a\\n\"")
             ": ping\n\n" TO("0", "", "null", "\"stop\"") DONE);
    sent(CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":"
               "{\"content\":[{\"token\":\"a\"}]}}]")
             DELTA("\"refusal\":\"no\"") FINISH("stop") DONE,
         false,
         TO_ROLE TO("0", "\"content\":\"a\"",
                    "{\"content\":[{\"token\":\"a\"}],\"refusal\":null}", "null")
             TO_DELTA("\"refusal\":\"no\"") TO("0", "", "null", "\"stop\"") DONE);
    sent(CALLS("{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}")
             CALLS("{\"index\":0,\"function\":{\"arguments\":\"{}\"}}")
                 CALLS("{\"index\":1,\"function\":{\"name\":\"g\",\"arguments\":\"1\"}}")
                     FINISH("stop") DONE,
         false,
         TO_ROLE TO_CALL("\"index\":0,\"id\":\"x\",\"type\":\"function\",\"function\":"
                         "{\"name\":\"f\",\"arguments\":\"\"}")
             TO_CALL("\"index\":0,\"function\":{\"arguments\":\"{}\"}")
                 TO_CALL("\"index\":1,\"id\":\"call_7_1\",\"type\":\"function\",\"function\":"
                         "{\"name\":\"g\",\"arguments\":\"\"}")
                     TO_CALL("\"index\":1,\"function\":{\"arguments\":\"1\"}")
                         TO("0", "", "null", "\"tool_calls\"") DONE);
    /* Each choice has its role; what has no model is called as the client calls it. */
    sent("data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},"
         "\"finish_reason\":\"length\"}]}\n\n" DONE,
         false,
         "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
         "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
         "\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
         "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
         "\"model\":\"m\",\"choices\":[{\"index\":1,\"delta\":{\"role\":\"assistant\","
         "\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
         "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
         "\"model\":\"m\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},"
         "\"logprobs\":null,\"finish_reason\":null}]}\n\n"
         "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
         "\"model\":\"m\",\"choices\":[{\"index\":1,\"delta\":{},\"logprobs\":null,"
         "\"finish_reason\":\"length\"}]}\n\n" DONE);
}

#define USED_OUT                                                                                   \
    "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":33,\"total_tokens\":153,"              \
    "\"prompt_tokens_details\":{\"cached_tokens\":40,\"cache_write_tokens\":16,"                   \
    "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":12,"                  \
    "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"
#define USAGE_NULL(rest)                                                                           \
    "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"             \
    "\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{" rest "}],\"usage\":null}\n\n"

static void
test_client_usage(void **state)
{
    (void)state;
    sent(TEXT("a") FINISH("stop") CHUNK("\"choices\":[]," USED) DONE, true,
         USAGE_NULL("\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                    "\"finish_reason\":null") USAGE_NULL("\"content\":\"a\"},\"logprobs\":null,"
                                                         "\"finish_reason\":null")
             USAGE_NULL("},\"logprobs\":null,\"finish_reason\":\"stop\"")
                 "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
                 "\"model\":\"up\",\"choices\":[]," USED_OUT "}\n\n" DONE);
    /* The upstream told none. */
    sent(FINISH("stop") DONE, true,
         USAGE_NULL("\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                    "\"finish_reason\":null")
             USAGE_NULL("},\"logprobs\":null,\"finish_reason\":\"stop\"") DONE);
}

/* What no OpenAI upstream sends. */
static void
test_client_others(void **state)
{
    static const struct chat_delta deltas[] = {
        {.kind = CHAT_DELTA_START, .name = {"up", 2}},
        {.kind = CHAT_DELTA_SIGNATURE, .text = {"sig", 3}},
        {.kind = CHAT_DELTA_CALL, .id = {"a", 1}, .name = {"sh", 2}, .tool = CHAT_TOOL_CUSTOM},
        {.kind = CHAT_DELTA_ARGUMENTS, .text = {"ls", 2}},
        {.kind = CHAT_DELTA_CALL_END},
        {.kind = CHAT_DELTA_CALL, .call = 1, .id = {"b", 1}, .name = {"f", 1}},
        {.kind = CHAT_DELTA_CALL_END, .call = 1},
        {.kind = CHAT_DELTA_TEXT, .choice = CODEC_CHOICES_MAX, .text = {"x", 1}},
        {.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_REFUSAL},
    };
    struct log log;

    (void)state;
    log_start(&log, &openai_codec);
    for (size_t i = 0; i < COUNT_OF(deltas); i++)
        openai_codec.delta_write(&log.writer, &deltas[i], &log.client);
    assert_str(buf_str(&log.client),
               TO_ROLE TO_CALL("\"index\":0,\"id\":\"a\",\"type\":\"custom\",\"custom\":"
                               "{\"name\":\"sh\",\"input\":\"\"}")
                   TO_CALL("\"index\":0,\"custom\":{\"input\":\"ls\"}")
                       TO_CALL("\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":"
                               "{\"name\":\"f\",\"arguments\":\"\"}")
                           TO_CALL("\"index\":1,\"function\":{\"arguments\":\"{}\"}")
                               TO("0", "", "null", "\"content_filter\""));
    log_end(&log);
}

/* Which form of tools a request has: today's, where it has both. */
static void
test_older_asked(void **state)
{
    static const struct {
        const char *body;
        bool older;
    } cases[] = {
        {"{}", false},
        {"[]", false},
        {"{\"functions\":[{\"name\":\"f\"}]}", true},
        {"{\"functions\":[{\"name\":\"f\"}],\"tools\":null}", true},
        {"{\"functions\":[{\"name\":\"f\"}],\"tools\":[]}", false},
        {"{\"functions\":null}", false},
        {"{\"functions\":{}}", false},
        {"{\"functions\":[],\"functions\":null}", false},
        {"{\"tools\":[{\"name\":\"f\"}]}", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct js_value document;
        struct js_error fault;

        assert_true(js_check(str_from(cases[i].body), &document, &fault));
        if (openai_codec.has_older_calls(document) != cases[i].older)
            fail_msg("%s", cases[i].body);
    }
}

/* To a client that has functions instead of tools: one call, the first one, without an id. */
static void
test_client_older(void **state)
{
    static const struct chat_delta deltas[] = {
        {.kind = CHAT_DELTA_START, .name = {"up", 2}},
        {.kind = CHAT_DELTA_TEXT, .text = {"t", 1}},
        {.kind = CHAT_DELTA_CALL, .id = {"a", 1}, .name = {"f", 1}},
        {.kind = CHAT_DELTA_ARGUMENTS, .text = {"{\\\"a\\\"", 6}},
        {.kind = CHAT_DELTA_ARGUMENTS, .text = {":1}", 3}},
        {.kind = CHAT_DELTA_CALL_END},
        {.kind = CHAT_DELTA_CALL, .call = 1, .id = {"b", 1}, .name = {"g", 1}},
        {.kind = CHAT_DELTA_ARGUMENTS, .call = 1, .text = {"{}", 2}},
        {.kind = CHAT_DELTA_CALL_END, .call = 1},
        {.kind = CHAT_DELTA_CALL, .choice = 1, .id = {"c", 1}, .name = {"h", 1}},
        {.kind = CHAT_DELTA_CALL_END, .choice = 1},
        {.kind = CHAT_DELTA_FINISH, .finish = CHAT_FINISH_CALLS},
        {.kind = CHAT_DELTA_FINISH, .choice = 1, .finish = CHAT_FINISH_LENGTH},
    };
    struct chat_part calls[3] = {
        {.kind = CHAT_PART_TEXT, .next = &calls[1], .text = chat_literal("t")},
        {.kind = CHAT_PART_CALL, .next = &calls[2], .id = chat_literal("x"),
         .tool_name = chat_literal("f"), .arguments = chat_literal("")},
        {.kind = CHAT_PART_CALL, .tool_name = chat_literal("g"), .arguments = chat_literal("{}")},
    };
    struct chat_answer_choice choice = {.parts = calls, .finish = CHAT_FINISH_CALLS};
    struct chat_answer answer = {.model = chat_literal("up"), .choices = &choice};
    struct log log;

    (void)state;
    log_start(&log, &openai_codec);
    log.frame.older_calls = true;
    for (size_t i = 0; i < COUNT_OF(deltas); i++)
        openai_codec.delta_write(&log.writer, &deltas[i], &log.client);
    assert_str(buf_str(&log.client),
               TO_ROLE TO_DELTA("\"content\":\"t\"")
               TO_DELTA("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}")
               TO_DELTA("\"function_call\":{\"arguments\":\"{\\\"a\\\"\"}")
               TO_DELTA("\"function_call\":{\"arguments\":\":1}\"}")
               TO("1", "\"role\":\"assistant\",\"content\":\"\"", "null", "null")
               TO("1", "\"function_call\":{\"name\":\"h\",\"arguments\":\"\"}", "null", "null")
               TO("1", "\"function_call\":{\"arguments\":\"{}\"}", "null", "null")
               TO("0", "", "null", "\"function_call\"") TO("1", "", "null", "\"length\""));
    log.client.len = 0;
    openai_codec.answer_write(&answer, &log.frame, &log.client);
    assert_str(buf_str(&log.client),
               "{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion\",\"created\":9,"
               "\"model\":\"up\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
               "\"content\":\"t\",\"refusal\":null,\"function_call\":{\"name\":\"f\","
               "\"arguments\":\"{}\"},\"annotations\":[]},\"logprobs\":null,"
               "\"finish_reason\":\"function_call\"}]}");
    log_end(&log);
}

#define OLD(rest)                                                                                  \
    "data: {\"id\":\"cmpl-7\",\"object\":\"text_completion\",\"created\":9,\"model\":\"up\","      \
    "\"choices\":[" rest "}\n\n"

static void
test_client_completions(void **state)
{
    struct log log;

    (void)state;
    log_start(&log, &completions_codec);
    log.frame.include_usage = true;
    log_stream(&log,
               str_from(DELTA("\"reasoning\":\"r\"") TEXT("a") FINISH("length")
                            CHUNK("\"choices\":[]," USED) DONE),
               0);
    assert_str(buf_str(&log.client),
               OLD("{\"text\":\"a\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}],"
                   "\"usage\":null")
                   OLD("{\"text\":\"\",\"index\":0,\"logprobs\":null,"
                       "\"finish_reason\":\"length\"}],\"usage\":null")
                       OLD("]," USED_OUT) DONE);
    log_end(&log);
}

static void
test_client_whole(void **state)
{
    struct chat_part calls[2] = {
        {.kind = CHAT_PART_CALL, .next = &calls[1], .id = chat_literal("x"),
         .tool_name = chat_literal("f"), .arguments = chat_literal("")},
        {.kind = CHAT_PART_CALL, .tool = CHAT_TOOL_CUSTOM, .tool_name = chat_literal("sh"),
         .arguments = chat_literal("ls")},
    };
    struct chat_part texts[4] = {
        {.kind = CHAT_PART_REASONING, .next = &texts[1], .text = chat_literal("hm")},
        {.kind = CHAT_PART_TEXT, .next = &texts[2], .text = chat_literal("a\\n")},
        {.kind = CHAT_PART_TEXT, .next = &texts[3], .text = chat_literal("b")},
        {.kind = CHAT_PART_REFUSAL, .text = chat_literal("no")},
    };
    struct chat_answer_choice choices[2] = {
        {.next = &choices[1], .parts = texts, .finish = CHAT_FINISH_REFUSAL,
         .logprobs = {.type = JS_ARRAY, .raw = STR("[1]")}},
        {.index = 1, .parts = calls, .finish = CHAT_FINISH_CALLS},
    };
    struct usage used = {.state = USAGE_PRESENT, .input = 64, .cache_read = 40,
                         .cache_write_5m = 10, .cache_write_1h = 6, .output = 33, .reasoning = 12};
    struct chat_answer answer = {.model = chat_literal("up"), .choices = choices, .usage = used};
    struct chat_frame frame = {.id = STR("7"), .model = STR("m"), .created_s = 9};
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    openai_codec.answer_write(&answer, &frame, &out);
    assert_str(buf_str(&out),
               "{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion\",\"created\":9,"
               "\"model\":\"up\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
               "\"content\":\"a\\nb\",\"refusal\":\"no\",\"reasoning_content\":\"hm\","
               "\"annotations\":[]},\"logprobs\":{\"content\":[1],\"refusal\":null},"
               "\"finish_reason\":\"stop\"},{\"index\":1,\"message\":{\"role\":\"assistant\","
               "\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"x\","
               "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
               "{\"id\":\"call_7_1\",\"type\":\"custom\",\"custom\":{\"name\":\"sh\","
               "\"input\":\"ls\"}}],\"annotations\":[]},\"logprobs\":null,"
               "\"finish_reason\":\"tool_calls\"}]," USED_OUT "}");
    out.len = 0;
    answer.usage.state = USAGE_ABSENT;
    answer.model.type = JS_NONE;
    answer.choices = &choices[0];
    choices[0].next = NULL;
    completions_codec.answer_write(&answer, &frame, &out);
    assert_str(buf_str(&out),
               "{\"id\":\"cmpl-7\",\"object\":\"text_completion\",\"created\":9,\"model\":\"m\","
               "\"choices\":[{\"text\":\"a\\nbno\",\"index\":0,\"logprobs\":null,"
               "\"finish_reason\":\"stop\"}]}");
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_assistant),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_stream_asked),
        cmocka_unit_test(test_refusals_of_messages),
        cmocka_unit_test(test_refusals_of_fields),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_other_tools),
        cmocka_unit_test(test_not_taken),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_calls),
        cmocka_unit_test(test_broken_streams),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_client_stream),
        cmocka_unit_test(test_client_usage),
        cmocka_unit_test(test_client_others),
        cmocka_unit_test(test_older_asked),
        cmocka_unit_test(test_client_older),
        cmocka_unit_test(test_client_completions),
        cmocka_unit_test(test_client_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
