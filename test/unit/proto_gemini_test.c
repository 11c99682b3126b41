#include "base/str.h"
#include "proto/codec_in.h"
#include "test/unit/testing.h"

#define LIMIT (1u << 20)

/* A request of a Gemini client, read, linked, and written for a Gemini upstream again. */
struct trip {
    struct arena arena;
    struct chat_request r;
    struct chat_target target;
    struct chat_drops drops;
    struct proto_error error;
    struct buf out;
    struct page page;
};

static void
trip_init(struct trip *trip, const char *body)
{
    struct js_error fault;

    memset(trip, 0, sizeof *trip);
    arena_init(&trip->arena, LIMIT);
    buf_init(&trip->out, LIMIT);
    trip->page = page_make(body, strlen(body));
    trip->r = (struct chat_request){
        .body = trip->page.text,
        .arena = &trip->arena,
        .endpoint = ENDPOINT_GENERATE,
        .choice_count = 1,
    };
    trip->target = (struct chat_target){.model_json = STR("\"m\""), .can_think = true};
    if (!js_check(trip->r.body, &trip->r.document, &fault))
        fail_msg("%s at %zu: %s", fault.what, fault.offset, body);
}

static void
trip_free(struct trip *trip)
{
    arena_end(&trip->arena);
    buf_free(&trip->out);
    page_free(&trip->page);
}

static bool
trip_read(struct trip *trip)
{
    return gemini_codec.request_read(&trip->r, &trip->error) && chat_link(&trip->r, &trip->error);
}

static bool
trip_go(struct trip *trip)
{
    struct js_value document;
    struct js_error fault;

    if (!trip_read(trip))
        return false;
    trip->drops = trip->r.drops;
    if (!gemini_codec.request_write(&trip->r, &trip->target, &trip->drops, &trip->out,
                                    &trip->error))
        return false;
    if (!js_check(buf_str(&trip->out), &document, &fault))
        fail_msg("%s at %zu: %.*s", fault.what, fault.offset, STR_ARGS(buf_str(&trip->out)));
    return true;
}

static void
check_trip(struct trip *trip, const char *want, const char *drops)
{
    if (!trip_go(trip))
        fail_msg("%s", trip->error.message);
    assert_str(buf_str(&trip->out), want);
    assert_str(((struct str){trip->drops.text, trip->drops.len}), drops);
    trip_free(trip);
}

static void
check(const char *body, const char *want)
{
    struct trip trip;

    trip_init(&trip, body);
    check_trip(&trip, want, "");
}

#define HI "{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}"
#define HI_CONTENTS "\"contents\":[" HI "]"

/* ---- requests ---- */

static void
test_contents(void **state)
{
    (void)state;
    check("{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":{}}",
          "{" HI_CONTENTS "}");
    check("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\\n\"},{\"text\":\"\"}]},"
          "{\"role\":\"user\",\"parts\":[{\"text\":\"b\"}]},{\"role\":\"model\",\"parts\":[]},"
          "{\"role\":\"model\",\"parts\":[{\"text\":\"\"}]},{\"role\":null,\"parts\":null},"
          "{\"role\":\"model\",\"parts\":[{\"text\":\"c\"}]},"
          "{\"role\":\"model\",\"parts\":[{\"text\":\"d\"}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\\n\"},{\"text\":\"b\"}]},"
          "{\"role\":\"model\",\"parts\":[{\"text\":\"c\"},{\"text\":\"d\"}]}]}");
    check("{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"c\"}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\".\"}]},"
          "{\"role\":\"model\",\"parts\":[{\"text\":\"c\"}]}]}");
    /* Nothing but thoughts, which are not sent back. */
    check("{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"c\",\"thought\":true}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\".\"}]}]}");
}

static void
test_system(void **state)
{
    (void)state;
    check("{\"systemInstruction\":{\"role\":\"user\",\"parts\":[{\"text\":\"one\"},{\"text\":\"\"},"
          "{\"text\":\"two\"}]},\"contents\":[" HI "]}",
          "{\"systemInstruction\":{\"parts\":[{\"text\":\"one\\ntwo\"}]}," HI_CONTENTS "}");
    check("{\"system_instruction\":\"be \\\"kind\\\"\",\"contents\":[" HI "]}",
          "{\"systemInstruction\":{\"parts\":[{\"text\":\"be \\\"kind\\\"\"}]}," HI_CONTENTS "}");
    check("{\"systemInstruction\":[{\"text\":\"x\"}],\"contents\":[" HI "]}",
          "{\"systemInstruction\":{\"parts\":[{\"text\":\"x\"}]}," HI_CONTENTS "}");
    check("{\"systemInstruction\":{\"parts\":[]},\"contents\":[" HI "]}", "{" HI_CONTENTS "}");
    check("{\"systemInstruction\":null,\"contents\":[" HI "]}", "{" HI_CONTENTS "}");
}

static void
test_data(void **state)
{
    (void)state;
    check("{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
          "\"data\":\"AAAA\"}},"
          "{\"inline_data\":{\"mime_type\":\"audio\\/wav\",\"data\":\"BB\\/B\"}},"
          "{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":\"CCCC\","
          "\"displayName\":\"d.pdf\"}},"
          "{\"inlineData\":{\"mimeType\":\"text/csv\",\"data\":\"YSwiYiIKw6Q=\"}}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":["
          "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},"
          "{\"inlineData\":{\"mimeType\":\"audio/wav\",\"data\":\"BB\\/B\"}},"
          "{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":\"CCCC\"}},"
          "{\"text\":\"a,\\\"b\\\"\\n\xc3\xa4\"}]}]}");
    check("{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"TEXT/plain\","
          "\"data\":\"eA\"}},{\"inlineData\":{\"mimeType\":\"text/plain\",\"data\":\"\"}}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}");
}

#define DECLARED(name) "{\"functionDeclarations\":[{\"name\":\"" name "\"}]}"

static void
test_calls(void **state)
{
    (void)state;
    /* Pieces of a streamed answer are one turn; its results are in the order of its calls. */
    check("{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\","
          "\"args\":{ \"a\" : 1e2 }}}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":"
          "{\"id\":\"x\",\"name\":\"g\"}},{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]},"
          "{\"role\":\"user\",\"parts\":[{\"text\":\"now\"},"
          "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"output\":\"one\"}}},"
          "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"error\":\"no \\\"f\\\"\"}}},"
          "{\"functionResponse\":{\"id\":\"x\",\"name\":\"g\",\"response\":{\"k\": [1,"
          " \"a b\\n\"]}}}"
          "]}]}",
          "{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":["
          "{\"functionCall\":{\"name\":\"f\",\"args\":{ \"a\" : 1e2 }},"
          "\"thoughtSignature\":\"skip_thought_signature_validator\"},"
          "{\"functionCall\":{\"name\":\"g\",\"args\":{}}},"
          "{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]},"
          "{\"role\":\"user\",\"parts\":["
          "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"output\":\"one\"}}},"
          "{\"functionResponse\":{\"name\":\"g\",\"response\":{\"output\":"
          "\"{\\\"k\\\":[1,\\\"a b\\\\n\\\"]}\"}}},"
          "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"error\":\"no \\\"f\\\"\"}}}]},"
          "{\"role\":\"user\",\"parts\":[{\"text\":\"now\"}]}]}");
}

static void
check_response(const char *response, const char *want)
{
    char body[1024], text[1024];

    snprintf(body, sizeof body,
             "{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":[{\"functionCall\":"
             "{\"name\":\"f\",\"args\":{}}}]},{\"role\":\"function\","
             "\"parts\":[{\"function_response"
             "\":{\"id\":\"made up\",\"name\":\"f\"%s}}]}]}",
             response);
    snprintf(text, sizeof text,
             "{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":[{\"functionCall\":"
             "{\"name\":\"f\",\"args\":{}},\"thoughtSignature\":"
             "\"skip_thought_signature_validator\"}]},{\"role\":\"user\",\"parts\":["
             "{\"functionResponse\":{\"name\":\"f\",\"response\":%s}}]}]}",
             want);
    check(body, text);
}

static void
test_responses(void **state)
{
    (void)state;
    check_response(",\"response\":{\"output\":\"x\"}", "{\"output\":\"x\"}");
    check_response(",\"response\":{\"output\":5}", "{\"output\":\"{\\\"output\\\":5}\"}");
    check_response(",\"response\":{\"output\":\"x\",\"y\":1}",
                   "{\"output\":\"{\\\"output\\\":\\\"x\\\",\\\"y\\\":1}\"}");
    check_response(",\"response\":{\"name\":\"f\",\"content\":\"x\"}", "{\"output\":\"x\"}");
    check_response(",\"response\":{\"name\":\"f\",\"output\":\"x\"}",
                   "{\"output\":\"{\\\"name\\\":\\\"f\\\",\\\"output\\\":\\\"x\\\"}\"}");
    check_response(",\"response\":{\"error\":{\"code\": 5}}", "{\"error\":\"{\\\"code\\\":5}\"}");
    check_response(",\"response\":{\"error\":null}", "{\"output\":\"{\\\"error\\\":null}\"}");
    check_response(",\"response\":{\"error\":\"x\",\"code\":1}",
                   "{\"output\":\"{\\\"error\\\":\\\"x\\\",\\\"code\\\":1}\"}");
    check_response(",\"response\":{}", "{\"output\":\"{}\"}");
    check_response("", "{\"output\":\"\"}");
    check_response(",\"response\":{\"output\":\"\"},\"parts\":[{\"inlineData\":{\"mimeType\":"
                   "\"image/png\",\"data\":\"AAAA\"}},{\"inlineData\":{\"mimeType\":"
                   "\"text/plain\",\"data\":\"eA==\"}}]",
                   "{\"output\":\"x\"},\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
                   "\"data\":\"AAAA\"}}]");
}

static void
test_tools(void **state)
{
    (void)state;
    check("{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":["
          "{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"OBJECT\","
          "\"properties\":"
          "{\"type\":{\"type\":\"STRING\",\"enum\":[\"A\",\"STRING\"],\"nullable\":true},"
          "\"n\":{\"type\":\"ARRAY\",\"min_items\":\"2\",\"items\":{\"type\":\"INTEGER\","
          "\"format\":\"int32\"}},\"u\":{\"anyOf\":[{\"type\":\"NUMBER\"},{\"type\":\"object\"}],"
          "\"nullable\":true}},\"required\":[\"type\"],\"propertyOrdering\":[\"n\",\"type\"]}},"
          "{\"name\":\"g.h:i\",\"parametersJsonSchema\":{ \"type\":\"object\",\"$defs\":{}}},"
          "{\"name\":\"up\",\"parameters_json_schema\":{\"type\":[\"STRING\", \"null\"]}}"
          "]},{\"function_declarations\":[{\"name\":\"7 odd\"}]}],"
          "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}}}",
          "{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":["
          "{\"name\":\"f\",\"description\":\"d\",\"parametersJsonSchema\":{\"type\":\"object\","
          "\"properties\":{\"type\":{\"type\":[\"string\",\"null\"],\"enum\":[\"A\",\"STRING\","
          "null]},"
          "\"n\":{\"type\":\"array\",\"minItems\":2,\"items\":{\"type\":\"integer\","
          "\"format\":\"int32\"}},\"u\":{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"object\"},"
          "{\"type\":\"null\"}]}},\"required\":[\"type\"]}},"
          "{\"name\":\"g.h:i\",\"parametersJsonSchema\":{ \"type\":\"object\",\"$defs\":{}}},"
          "{\"name\":\"up\",\"parametersJsonSchema\":{\"type\":[\"string\",\"null\"]}},"
          "{\"name\":\"odd_81b81748e999b818\"}]}],"
          "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}}}");
}

/* A document of the schema this deep; deeper ones js_check() refuses. */
static void
test_deep_schema(void **state)
{
    char body[2048] = "{\"contents\":[],\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\","
                      "\"parameters\":";
    struct trip trip;
    unsigned depth = 0;

    (void)state;
    /* Five levels around it. */
    for (; depth < JS_DEPTH_MAX - 5; depth++)
        strcat(body, "{\"items\":");
    strcat(body, "7");
    while (depth-- > 0)
        strcat(body, "}");
    strcat(body, "}]}]}");
    trip_init(&trip, body);
    assert_true(gemini_codec.request_read(&trip.r, &trip.error));
    assert_true(str_starts_with(trip.r.tools->schema.raw, STR("{\"items\":{\"items\":")));
    trip_free(&trip);
}

static void
check_choice(const char *config, const char *tools, const char *want)
{
    char body[1024], text[1024];

    snprintf(body, sizeof body,
             "{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"},"
             "{\"name\":\"g\"},{\"name\":\"h\"}]}],\"tool_config\":%s}",
             config);
    snprintf(text, sizeof text,
             "{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[%s]}]%s%s%s}", tools,
             want[0] != '\0' ? ",\"toolConfig\":{\"functionCallingConfig\":" : "", want,
             want[0] != '\0' ? "}" : "");
    check(body, text);
}

static void
test_choices(void **state)
{
    const char *all = "{\"name\":\"f\"},{\"name\":\"g\"},{\"name\":\"h\"}";
    const char *two = "{\"name\":\"f\"},{\"name\":\"h\"}";

    (void)state;
    check_choice("{}", all, "");
    check_choice("{\"functionCallingConfig\":{}}", all, "");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"MODE_UNSPECIFIED\"}}", all, "");
    check_choice("{\"function_calling_config\":{\"mode\":\"VALIDATED\"}}", all,
                 "{\"mode\":\"AUTO\"}");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"none\"}}", all, "{\"mode\":\"NONE\"}");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[]}}", all,
                 "{\"mode\":\"ANY\"}");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"g\"]}}",
                 all, "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"g\"]}");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowed_function_names\":"
                 "[\"h\",\"f\"]}}",
                 two, "{\"mode\":\"ANY\"}");
    check_choice("{\"functionCallingConfig\":{\"mode\":\"VALIDATED\",\"allowedFunctionNames\":"
                 "[\"\\u0067\"]}}",
                 "{\"name\":\"g\"}", "{\"mode\":\"AUTO\"}");
}

static void
test_hosted(void **state)
{
    struct trip trip;

    (void)state;
    trip_init(&trip, "{" HI_CONTENTS ",\"tools\":[{\"googleSearch\":{}},{\"codeExecution\":{},"
                     "\"functionDeclarations\":[{\"name\":\"f\",\"behavior\":\"BLOCKING\"}]}]}");
    check_trip(&trip, "{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]}",
               "functionDeclarations.behavior, tools");
}

static void
test_config(void **state)
{
    (void)state;
    check("{" HI_CONTENTS ",\"generationConfig\":{\"temperature\":0.70,\"topP\":1e-1,\"topK\":64,"
          "\"candidateCount\":2,\"maxOutputTokens\":100,\"stopSequences\":[\"a\",\"\\n\"],"
          "\"seed\":-5,\"presencePenalty\":0.5,\"frequency_penalty\":-0.5,"
          "\"responseLogprobs\":true,\"logprobs\":3,\"responseMimeType\":\"text/plain\","
          "\"response_modalities\":[\"Text\"]}}",
          "{" HI_CONTENTS ",\"generationConfig\":{\"temperature\":0.70,\"topP\":1e-1,\"topK\":64,"
          "\"seed\":-5,\"presencePenalty\":0.5,\"frequencyPenalty\":-0.5,"
          "\"maxOutputTokens\":100,\"candidateCount\":2,\"stopSequences\":[\"a\",\"\\n\"],"
          "\"responseLogprobs\":true,\"logprobs\":3}}");
    check("{" HI_CONTENTS ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}",
          "{" HI_CONTENTS ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}");
    check("{" HI_CONTENTS ",\"generation_config\":{\"response_mime_type\":\"application/json\","
          "\"response_schema\":{\"type\":\"STRING\"}}}",
          "{" HI_CONTENTS ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
          "\"responseJsonSchema\":{\"type\":\"string\"}}}");
    check("{" HI_CONTENTS ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
          "\"responseJsonSchema\":{\"type\": \"OBJECT\",\"additionalProperties\":false}}}",
          "{" HI_CONTENTS ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
          "\"responseJsonSchema\":{\"type\":\"object\",\"additionalProperties\":false}}}");
}

static void
check_thinking(const char *config, bool by_effort, const char *want)
{
    char body[512], text[512];
    struct trip trip;

    snprintf(body, sizeof body, "{" HI_CONTENTS ",\"generationConfig\":{\"thinkingConfig\":%s}}",
             config);
    snprintf(text, sizeof text, "{" HI_CONTENTS "%s%s%s}",
             want[0] != '\0' ? ",\"generationConfig\":{\"thinkingConfig\":" : "", want,
             want[0] != '\0' ? "}" : "");
    trip_init(&trip, body);
    trip.target.think_by_effort = by_effort;
    check_trip(&trip, text, "");
}

static void
test_thinking(void **state)
{
    struct trip trip;

    (void)state;
    check_thinking("{}", false, "");
    check_thinking("{\"thinkingBudget\":0,\"includeThoughts\":true}", false,
                   "{\"thinkingBudget\":0}");
    check_thinking("{\"thinkingBudget\":-1,\"includeThoughts\":true}", false,
                   "{\"thinkingBudget\":-1,\"includeThoughts\":true}");
    check_thinking("{\"thinking_budget\":8192}", false, "{\"thinkingBudget\":8192}");
    check_thinking("{\"thinkingBudget\":32768}", false, "{\"thinkingBudget\":24576}");
    check_thinking("{\"thinkingLevel\":\"low\"}", false, "{\"thinkingBudget\":2048}");
    check_thinking("{\"includeThoughts\":true}", false, "{\"includeThoughts\":true}");
    check_thinking("{\"thinkingLevel\":\"THINKING_LEVEL_UNSPECIFIED\"}", false, "");
    check_thinking("{\"thinkingLevel\":\"MINIMAL\"}", true, "{\"thinkingLevel\":\"MINIMAL\"}");
    check_thinking("{\"thinkingBudget\":8192}", true, "{\"thinkingLevel\":\"MEDIUM\"}");
    check_thinking("{\"thinkingBudget\":0}", true, "{\"thinkingLevel\":\"MINIMAL\"}");
    check_thinking("{\"thinkingBudget\":-1}", true, "");
    check_thinking("{\"thinkingBudget\":-1,\"includeThoughts\":true}", true,
                   "{\"includeThoughts\":true}");
    trip_init(&trip, "{" HI_CONTENTS ",\"generationConfig\":{\"thinkingConfig\":"
                     "{\"thinkingBudget\":1}}}");
    trip.target.can_think = false;
    check_trip(&trip, "{" HI_CONTENTS "}", "generationConfig.thinkingConfig");
    trip_init(&trip, "{" HI_CONTENTS ",\"generationConfig\":{\"thinkingConfig\":"
                     "{\"thinkingBudget\":0}}}");
    trip.target.can_think = false;
    check_trip(&trip, "{" HI_CONTENTS "}", "");
}

static void
test_target(void **state)
{
    struct trip trip;

    (void)state;
    trip_init(&trip, "{" HI_CONTENTS ",\"generationConfig\":{\"temperature\":1,\"topP\":1,"
                     "\"seed\":1,\"maxOutputTokens\":9000}}");
    trip.target.no_sampling = true;
    trip.target.output_max = 8192;
    check_trip(&trip,
               "{" HI_CONTENTS ",\"generationConfig\":{\"seed\":1,\"maxOutputTokens\":8192}}",
               "generationConfig.temperature, generationConfig.topP");
    trip_init(&trip, "{" HI_CONTENTS ",\"safetySettings\":[],\"labels\":{},\"store\":true,"
                     "\"serviceTier\":\"flex\",\"model\":\"m\",\"cachedContent\":\"\","
                     "\"generationConfig\":{\"mediaResolution\":\"LOW\",\"speechConfig\":null},"
                     "\"toolConfig\":{\"retrievalConfig\":{}}}");
    check_trip(&trip, "{" HI_CONTENTS "}",
               "safetySettings, labels, store, serviceTier, toolConfig.retrievalConfig, "
               "generationConfig.mediaResolution");
}

/* What only clients of other protocols can ask for. */
static void
test_foreign(void **state)
{
    struct js_value yes = {.type = JS_TRUE, .raw = STR("true")}, stops[6];
    struct chat_tool custom = {.kind = CHAT_TOOL_CUSTOM,
                               .name = chat_literal("patch"),
                               .description = chat_literal("d"),
                               .format = {.type = JS_OBJECT,
                                          .raw = STR("{\"definition\":\"start: x\"}")}};
    struct chat_tool shell = {.kind = CHAT_TOOL_LOCAL_SHELL, .name = chat_literal("local_shell")};
    struct chat_part image = {.kind = CHAT_PART_IMAGE,
                              .source = CHAT_SOURCE_URL,
                              .data = chat_literal("https://example.com/a.png")};
    struct chat_part later_text = {.kind = CHAT_PART_TEXT, .text = chat_literal("later")};
    struct chat_message later = {.role = CHAT_SYSTEM, .parts = &later_text};
    struct trip trip;

    (void)state;
    trip_init(&trip, "{" HI_CONTENTS "}");
    trip.r.endpoint = ENDPOINT_CHAT;
    assert_true(trip_read(&trip));
    trip.r.tools = &custom;
    custom.next = &shell;
    trip.r.messages->next = &later;
    trip.r.no_parallel = true;
    trip.r.choice = CHAT_CHOICE_ONE;
    trip.r.choice_name = custom.name;
    trip.r.effort = CHAT_EFFORT_XHIGH;
    trip.r.knobs[CHAT_LOGIT_BIAS] = (struct chat_field){yes, "logit_bias"};
    trip.r.knobs[CHAT_END_USER] = (struct chat_field){yes, "user"};
    assert_true(gemini_codec.request_write(&trip.r, &trip.target, &trip.drops, &trip.out,
                                           &trip.error));
    assert_str(buf_str(&trip.out),
               "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"},"
               "{\"text\":\"later\"}]}],\"tools\":[{\"functionDeclarations\":["
               "{\"name\":\"patch\",\"description\":\"d\",\"parametersJsonSchema\":"
               "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\","
               "\"description\":\"start: x\"}},\"required\":[\"input\"]}},"
               "{\"name\":\"local_shell\",\"parametersJsonSchema\":{\"type\":\"object\","
               "\"properties\":{\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
               "\"working_directory\":{\"type\":\"string\"},\"timeout_ms\":{\"type\":\"integer\"}},"
               "\"required\":[\"command\"]}}]}],\"toolConfig\":{\"functionCallingConfig\":"
               "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"patch\"]}},\"generationConfig\":"
               "{\"thinkingConfig\":{\"thinkingBudget\":24576}}}");
    assert_str(((struct str){trip.drops.text, trip.drops.len}),
               "parallel_tool_calls, logit_bias, user");
    /* Both are kept, to be found when they are called. */
    assert_non_null(trip.r.names);
    assert_non_null(trip.r.names->next);

    trip.r.endpoint = ENDPOINT_MESSAGES;
    trip.target.can_think = false;
    trip.drops.len = trip.out.len = 0;
    for (size_t i = 0; i < COUNT_OF(stops); i++)
        stops[i] = chat_literal("x");
    trip.r.stops = stops;
    trip.r.stop_count = 6;
    assert_false(gemini_codec.request_write(&trip.r, &trip.target, &trip.drops, &trip.out,
                                            &trip.error));
    assert_string_equal(trip.error.message, "must not have more than 5 elements for this model");
    assert_str(((struct str){trip.drops.text, trip.drops.len}),
               "tool_choice.disable_parallel_tool_use, logit_bias, user");
    trip.r.stop_count = 0;
    trip.r.choice_count = 9;
    trip.out.len = 0;
    assert_false(gemini_codec.request_write(&trip.r, &trip.target, &trip.drops, &trip.out,
                                            &trip.error));
    assert_string_equal(trip.error.message, "must not be above 8 for this model");

    trip.r.choice_count = 1;
    trip.out.len = 0;
    trip.drops.len = 0;
    assert_true(gemini_codec.request_write(&trip.r, &trip.target, &trip.drops, &trip.out,
                                           &trip.error));
    assert_str(((struct str){trip.drops.text, trip.drops.len}),
               "tool_choice.disable_parallel_tool_use, logit_bias, user, output_config.effort");

    trip.r.messages->parts = &image;
    trip.out.len = 0;
    assert_false(gemini_codec.request_write(&trip.r, &trip.target, &trip.drops, &trip.out,
                                            &trip.error));
    assert_string_equal(trip.error.message, "this model's provider cannot fetch files by their "
                                            "URL; send the data");
    trip_free(&trip);
}

/* ---- signatures ---- */

#define CALL_F "{\"functionCall\":{\"name\":\"f\",\"args\":{}}"
#define ANSWER_F                                                                                   \
    "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":"           \
    "{\"output\":\"x\"}}}]}"

static void
test_own_signatures(void **state)
{
    char tag[CODEC_TAG_CAP], body[1024], want[1024];
    struct trip trip;

    (void)state;
    codec_tag(PROTO_GEMINI, STR("family"), tag);
    assert_true(str_starts_with(str_from(tag), STR("tp1.g.")));
    /* On the call itself; and on the reasoning right before it. */
    snprintf(body, sizeof body,
             "{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":[" CALL_F
             ",\"thoughtSignature\":\"%sSIG1\"}]}," ANSWER_F ",{\"role\":\"model\",\"parts\":["
             "{\"text\":\"t\",\"thought\":true,\"thoughtSignature\":\"%sSIG2\"}," CALL_F
             "}]}," ANSWER_F ",{\"role\":\"model\",\"parts\":[{\"text\":\"t\",\"thought\":true,"
             "\"thought_signature\":\"%sSIG3\"},{\"text\":\"so\"}," CALL_F
             ",\"thoughtSignature\":\"tp1.g.0000000000000000.OTHER\"}]}," ANSWER_F "]}",
             tag, tag, tag);
    snprintf(want, sizeof want,
             "{\"contents\":[" HI ",{\"role\":\"model\",\"parts\":[" CALL_F
             ",\"thoughtSignature\":\"SIG1\"}]}," ANSWER_F ",{\"role\":\"model\",\"parts\":[" CALL_F
             ",\"thoughtSignature\":\"SIG2\"}]}," ANSWER_F
             ",{\"role\":\"model\",\"parts\":[{\"text\":\"so\"}," CALL_F
             ",\"thoughtSignature\":\"skip_thought_signature_validator\"}]}," ANSWER_F "]}");
    trip_init(&trip, body);
    trip.target.tag = tag;
    check_trip(&trip, want, "");
}

/* What the signatures of others come to: kind, text and signature of each part. */
static void
check_parts(const char *parts, const char *want)
{
    static const char *const kinds[CHAT_PART_KIND_COUNT] = {
        [CHAT_PART_TEXT] = "text", [CHAT_PART_CALL] = "call", [CHAT_PART_REASONING] = "reasoning"};
    char body[2048], got[1024] = "";
    struct trip trip;
    size_t len = 0;

    len = (size_t)snprintf(body, sizeof body, "{\"contents\":[%s", parts);
    for (const char *p = parts; (p = strstr(p, "\"functionCall\"")) != NULL; p++)
        len += (size_t)snprintf(body + len, sizeof body - len, "," ANSWER_F);
    snprintf(body + len, sizeof body - len, "]}");
    len = 0;
    trip_init(&trip, body);
    if (!trip_read(&trip))
        fail_msg("%s", trip.error.message);
    for (const struct chat_part *p = trip.r.messages->parts; p != NULL; p = p->next)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s(%.*s|%.*s%s)", kinds[p->kind],
                                STR_ARGS(p->text.raw), STR_ARGS(p->signature.raw),
                                p->redacted ? "|redacted" : "");
    assert_string_equal(got, want);
    trip_free(&trip);
}
#define MODEL(parts) "{\"role\":\"model\",\"parts\":[" parts "]}"

static void
test_others_signatures(void **state)
{
    (void)state;
    /* A stream's pieces: the signature on the part behind the thoughts is that of all of them. */
    check_parts(MODEL("{\"text\":\"a\",\"thought\":true}") ","
                MODEL("{\"text\":\"\\n\",\"thought\":true}") ","
                MODEL("{\"text\":\"so\",\"thoughtSignature\":\"tp1.m.00.SIG\"}"),
                "reasoning(a\\n|tp1.m.00.SIG)text(so|)");
    /* The CLI sends no thoughts. */
    check_parts(MODEL(CALL_F ",\"thoughtSignature\":\"tp1.m.00.SIG\"}"),
                "reasoning(|tp1.m.00.SIG)call(|)");
    check_parts(MODEL("{\"text\":\"\",\"thoughtSignature\":\"tp1.r.00.A\"},"
                      "{\"thoughtSignature\":\"r.tp1.m.00.B\"},"
                      "{\"text\":\"c\",\"thought\":true},{\"text\":\"d\","
                      "\"thoughtSignature\":\"tp1.m.00.C\"}"),
                "reasoning(|tp1.r.00.A)reasoning(|tp1.m.00.B|redacted)"
                "reasoning(c|tp1.m.00.C)text(d|)");
    /* Gemini's own: with the call, and of no use on a text. */
    check_parts(MODEL("{\"text\":\"a\",\"thoughtSignature\":\"AAAA\"}," CALL_F
                      ",\"thoughtSignature\":\"BBBB\"}"),
                "text(a|)call(|BBBB)");
    check_parts(MODEL("{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":\"AAAA\"},"
                      "{\"text\":\"b\",\"thought\":true},{\"text\":\"c\"}"),
                "reasoning(a|AAAA)reasoning(b|)text(c|)");
}

/* ---- what is refused ---- */

static void
test_refusals(void **state)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"[]", "must be an object"},
        {"{}", "contents: must not be empty"},
        {"{\"contents\":{}}", "contents: must be a list"},
        {"{\"contents\":[7]}", "contents[0]: must be an object"},
        {"{\"contents\":[{\"role\":7}]}",
         "contents[0].role: must be a string"},
        {"{\"contents\":[{\"role\":\"system\"}]}",
         "contents[0].role: must be \"user\" or \"model\""},
        {"{\"contents\":[{\"parts\":{}}]}",
         "contents[0].parts: must be a list"},
        {"{\"contents\":[{\"parts\":[{}]}]}",
         "contents[0].parts[0]: must have one of text, inlineData, functionCall, "
         "functionResponse"},
        {"{\"contents\":[{\"parts\":[{\"text\":\"a\",\"functionCall\":{}}]}]}",
         "contents[0].parts[0]: must have one of text, inlineData, functionCall, "
         "functionResponse"},
        {"{\"contents\":[{\"parts\":[{\"text\":7}]}]}",
         "contents[0].parts[0].text: must be a string"},
        {"{\"contents\":[{\"parts\":[{\"text\":\"\",\"thoughtSignature\":[]}]}]}",
         "contents[0].parts[0].thoughtSignature: must be a string"},
        {"{\"contents\":[{\"parts\":[{\"fileData\":{\"fileUri\":\"x\"}}]}]}",
         "contents[0].parts[0].fileData: files at their provider cannot be passed on to this "
         "model"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"executableCode\":{}}]}]}",
         "contents[0].parts[0].executableCode: code that another model has run cannot be passed "
         "on to this one"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"codeExecutionResult\":{}}]}]}",
         "contents[0].parts[0].codeExecutionResult: code that another model has run cannot be "
         "passed on to this one"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"inlineData\":{}}]}]}",
         "contents[0].parts[0].inlineData: pictures and sound of the model's own cannot be passed "
         "on to this model"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionResponse\":{}}]}]}",
         "contents[0].parts[0].functionResponse: the model does not answer its own calls"},
        {"{\"contents\":[{\"parts\":[{\"functionCall\":{}}]}]}",
         "contents[0].parts[0].functionCall: only the model calls functions"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":7}]}]}",
         "contents[0].parts[0].inlineData: must have a mimeType and data, which are strings"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\"}}]}]}",
         "contents[0].parts[0].inlineData: must have a mimeType and data, which are strings"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"video/mp4\","
         "\"data\":\"\"}}]}]}",
         "contents[0].parts[0].inlineData.mimeType: data of this kind cannot be passed on to this "
         "model"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"text/plain\","
         "\"data\":\"?\"}}]}]}",
         "contents[0].parts[0].inlineData.data: must be base64"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"text/plain\","
         "\"data\":\"AAAAA\"}}]}]}",
         "contents[0].parts[0].inlineData.data: must be base64"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":7}]}]}",
         "contents[0].parts[0].functionCall: must be an object"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"\"}}]}]}",
         "contents[0].parts[0].functionCall: must have a name"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\","
         "\"id\":1}}]}]}",
         "contents[0].parts[0].functionCall.id: must be a string"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\","
         "\"args\":[]}}]}]}",
         "contents[0].parts[0].functionCall.args: must be an object"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":[]}]}]}",
         "contents[0].parts[0].functionResponse: must be an object"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"response\":{}}}]}]}",
         "contents[0].parts[0].functionResponse: must have a name"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\","
         "\"response\":\"x\"}}]}]}",
         "contents[0].parts[0].functionResponse.response: must be an object"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"parts\":[{}]}}]}]}",
         "contents[0].parts[0].functionResponse.parts[0]: must have inlineData"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}]}]}",
         "contents[0].parts[0]: no call of the turn before it has this name"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"id\":\"x\"}}]}]}",
         "contents[0].parts[0]: this result of a tool answers no call of the turn before it"},
        {"{\"contents\":[" MODEL(CALL_F "}") "," HI "]}",
         "contents[0].parts[0]: the result of this call of a tool is missing"},
        {"{" HI_CONTENTS ",\"systemInstruction\":7}",
         "systemInstruction: must be an object with parts, or a text"},
        {"{" HI_CONTENTS ",\"systemInstruction\":{\"parts\":7}}",
         "systemInstruction.parts: must be a list"},
        {"{" HI_CONTENTS ",\"systemInstruction\":{\"parts\":[{\"inlineData\":{}}]}}",
         "systemInstruction.parts[0]: must have a text, and nothing else"},
        {"{" HI_CONTENTS ",\"cachedContent\":\"x\"}",
         "cachedContent: what is cached at its provider cannot be passed on to this model"},
        {"{" HI_CONTENTS ",\"tools\":{}}", "tools: must be a list"},
        {"{" HI_CONTENTS ",\"tools\":[[]]}", "tools[0]: must be an object"},
        {"{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":{}}]}",
         "tools[0].functionDeclarations: must be a list"},
        {"{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[{}]}]}",
         "tools[0].functionDeclarations[0]: must have a name"},
        {"{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\","
         "\"parameters\":7}]}]}",
         "tools[0].functionDeclarations[0].parameters: must be an object"},
        {"{" HI_CONTENTS ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{},"
         "\"parametersJsonSchema\":{}}]}]}",
         "tools[0].functionDeclarations[0].parametersJsonSchema: must not be there together with "
         "parameters"},
        {"{" HI_CONTENTS ",\"tools\":[{\"googleSearch\":{}}]}",
         "tools[0].googleSearch: this tool is its provider's own, and the model is served by "
         "another"},
        {"{" HI_CONTENTS ",\"toolConfig\":[]}",
         "toolConfig: must be an object"},
        {"{" HI_CONTENTS ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"X\"}}}",
         "toolConfig.functionCallingConfig.mode: must be AUTO, ANY, NONE or VALIDATED"},
        {"{" HI_CONTENTS ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\","
         "\"allowedFunctionNames\":[\"f\"]}}}",
         "toolConfig.functionCallingConfig.allowedFunctionNames[0]: no function of "
         "this name is declared"},
        {"{" HI_CONTENTS ",\"generationConfig\":7}",
         "generationConfig: must be an object"},
#define CONFIG(text) "{" HI_CONTENTS ",\"generationConfig\":{" text "}}"
        {CONFIG("\"temperature\":\"1\""),
         "generationConfig.temperature: must be a number"},
        {CONFIG("\"topP\":[]"), "generationConfig.topP: must be a number"},
        {CONFIG("\"topK\":1.5"),
         "generationConfig.topK: must be a whole number from 1 to 1000000"},
        {CONFIG("\"seed\":1.5"),
         "generationConfig.seed: must be a whole number"},
        {CONFIG("\"candidateCount\":9"),
         "generationConfig.candidateCount: must be a whole number from 1 to 8"},
        {CONFIG("\"maxOutputTokens\":0"),
         "generationConfig.maxOutputTokens: must be a whole number from 1 to 1000000000"},
        {CONFIG("\"stopSequences\":\"x\""),
         "generationConfig.stopSequences: must be a list"},
        {CONFIG("\"stopSequences\":[1]"),
         "generationConfig.stopSequences[0]: must be a string"},
        {CONFIG("\"stopSequences\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]"),
         "generationConfig.stopSequences: must not have more than 5 elements"},
        {CONFIG("\"responseLogprobs\":1"),
         "generationConfig.responseLogprobs: must be true or false"},
        {CONFIG("\"logprobs\":5"),
         "generationConfig.logprobs: needs responseLogprobs"},
        {CONFIG("\"responseMimeType\":\"text/x.enum\""),
         "generationConfig.responseMimeType: must be \"text/plain\" or \"application/json\""},
        {CONFIG("\"responseSchema\":{}"),
         "generationConfig.responseSchema: needs responseMimeType \"application/json\""},
        {CONFIG("\"responseMimeType\":\"application/json\",\"responseSchema\":{},"
                "\"responseJsonSchema\":{}"),
         "generationConfig.responseJsonSchema: must not be there together with responseSchema"},
        {CONFIG("\"responseModalities\":[\"TEXT\",\"IMAGE\"]"),
         "generationConfig.responseModalities[1]: this model answers with text only"},
        {CONFIG("\"thinkingConfig\":{\"thinkingBudget\":-2}"),
         "generationConfig.thinkingConfig.thinkingBudget: must be a whole number from -1 to "
         "10000000"},
        {CONFIG("\"thinkingConfig\":{\"thinkingLevel\":\"MAX\"}"),
         "generationConfig.thinkingConfig.thinkingLevel: must be MINIMAL, LOW, MEDIUM or HIGH"},
        {CONFIG("\"thinkingConfig\":{\"includeThoughts\":\"yes\"}"),
         "generationConfig.thinkingConfig.includeThoughts: must be true or false"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trip trip;

        trip_init(&trip, rows[i].body);
        if (trip_go(&trip))
            fail_msg("taken: %s", rows[i].body);
        assert_int_equal(trip.error.kind, ERROR_BAD_REQUEST);
        /* Without the line and column, which are not always there. */
        *strchrnul(trip.error.message, '(') = '\0';
        if (!str_eq(str_trim(str_from(trip.error.message)), str_from(rows[i].message)))
            fail_msg("%s\n  %s\n  %s", rows[i].body, trip.error.message, rows[i].message);
        trip_free(&trip);
    }
}

/* What the CLI sends, in little. */
static void
test_cli(void **state)
{
    (void)state;
    check("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"setup\"}]},"
          "{\"role\":\"user\",\"parts\":[{\"text\":\"list files\"}]},"
          "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"list_directory\","
          "\"args\":{\"path\":\".\"}},\"thoughtSignature\":\"skip_thought_signature_validator\"}]},"
          "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"list_directory-17-ab\","
          "\"name\":\"list_directory\",\"response\":{\"output\":\"a.c\\nb.c\"}}}]}],"
          "\"systemInstruction\":{\"parts\":[{\"text\":\"You are\"}],\"role\":\"user\"},"
          "\"tools\":[{\"functionDeclarations\":[{\"name\":\"list_directory\","
          "\"description\":\"d\","
          "\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"path\":"
          "{\"type\":\"string\"}},\"required\":[\"path\"]}}]}],\"generationConfig\":"
          "{\"temperature\":1,\"topP\":0.95,\"topK\":64,\"thinkingConfig\":"
          "{\"includeThoughts\":true,\"thinkingBudget\":8192}}}",
          "{\"systemInstruction\":{\"parts\":[{\"text\":\"You are\"}]},\"contents\":["
          "{\"role\":\"user\",\"parts\":[{\"text\":\"setup\"},{\"text\":\"list files\"}]},"
          "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"list_directory\","
          "\"args\":{\"path\":\".\"}},\"thoughtSignature\":\"skip_thought_signature_validator\"}]},"
          "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"list_directory\","
          "\"response\":{\"output\":\"a.c\\nb.c\"}}}]}],\"tools\":[{\"functionDeclarations\":["
          "{\"name\":\"list_directory\",\"description\":\"d\",\"parametersJsonSchema\":"
          "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"}},"
          "\"required\":[\"path\"]}}]}],\"generationConfig\":{\"temperature\":1,\"topP\":0.95,"
          "\"topK\":64,\"thinkingConfig\":{\"thinkingBudget\":8192,\"includeThoughts\":true}}}");
}

/* However little room there is, it ends with an answer. */
static void
test_no_room(void **state)
{
    const char *body =
        "{\"systemInstruction\":\"s\",\"contents\":[" HI "," MODEL(
            "{\"text\":\"a\",\"thought\":true},{\"text\":\"b\",\"thought\":true}," CALL_F
            "}") "," ANSWER_F ",{\"parts\":[{\"inlineData\":{\"mimeType\":\"text/plain\","
                 "\"data\":\"AAAA\"}}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":\"odd name"
                 "\",\"parameters\":{\"type\":\"OBJECT\"}}]}]}";
    unsigned refused = 0;

    (void)state;
    for (size_t limit = 0; limit < 8192; limit += 64) {
        struct trip trip;

        trip_init(&trip, body);
        trip.arena.limit_bytes = limit;
        trip.out.cap_max = limit;
        if (!trip_go(&trip)) {
            assert_int_equal(trip.error.kind, ERROR_TOO_LARGE);
            refused++;
        }
        trip_free(&trip);
    }
    assert_in_range(refused, 20, 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),       cmocka_unit_test(test_system),
        cmocka_unit_test(test_data),           cmocka_unit_test(test_calls),
        cmocka_unit_test(test_responses),      cmocka_unit_test(test_tools),
        cmocka_unit_test(test_deep_schema),    cmocka_unit_test(test_choices),
        cmocka_unit_test(test_hosted),         cmocka_unit_test(test_config),
        cmocka_unit_test(test_thinking),       cmocka_unit_test(test_target),
        cmocka_unit_test(test_foreign),        cmocka_unit_test(test_own_signatures),
        cmocka_unit_test(test_others_signatures), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cli),            cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
