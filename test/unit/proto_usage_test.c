#include "proto/usage.h"

#include "base/str.h"
#include "proto/answer.h"
#include "test/unit/testing.h"

static struct js_value
parsed(const char *text)
{
    struct js_value value;
    struct js_error fault;

    assert_true(js_check(str_from(text), &value, &fault));
    return value;
}

static void
check_usage(struct usage got, enum usage_state state, const uint32_t want[6])
{
    static const uint32_t nothing[6];

    if (got.state != state)
        print_error("state %s\n", usage_state_name[got.state]);
    assert_int_equal(got.state, state);
    want = state == USAGE_PRESENT ? want : nothing;
    assert_int_equal(got.input, want[0]);
    assert_int_equal(got.cache_read, want[1]);
    assert_int_equal(got.cache_write_5m, want[2]);
    assert_int_equal(got.cache_write_1h, want[3]);
    assert_int_equal(got.output, want[4]);
    assert_int_equal(got.reasoning, want[5]);
}
#define CHECK(got, state, ...) check_usage((got), (state), (const uint32_t[6]){__VA_ARGS__})

static void
test_openai(void **state)
{
    (void)state;
    CHECK(usage_from_openai(parsed(
              "{\"prompt_tokens\":120,\"completion_tokens\":33,\"total_tokens\":153,"
              "\"prompt_tokens_details\":{\"cached_tokens\":40,\"cache_write_tokens\":16,"
              "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":12}}")),
          USAGE_PRESENT, 64, 40, 16, 0, 33, 12);
    CHECK(usage_from_openai(parsed("{\"prompt_tokens\":5,\"completion_tokens\":0,"
                                   "\"prompt_tokens_details\":null}")),
          USAGE_PRESENT, 5, 0, 0, 0, 0, 0);
    CHECK(usage_from_openai(parsed("{\"prompt_tokens\":0,\"completion_tokens\":0}")), USAGE_ZERO,
          0);
    CHECK(usage_from_openai(parsed("null")), USAGE_ABSENT, 0);
    CHECK(usage_from_openai((struct js_value){.type = JS_NONE}), USAGE_ABSENT, 0);
    CHECK(usage_from_openai(parsed("{\"prompt_tokens\":1000000000,"
                                   "\"completion_tokens\":1000000000}")),
          USAGE_PRESENT, 1000000000, 0, 0, 0, 1000000000, 0);
}

/* Each dimension, in whichever protocol has it. */
static void
test_dimensions(void **state)
{
    struct usage u = usage_from_openai(
        parsed("{\"prompt_tokens\":100,\"completion_tokens\":60,\"total_tokens\":160,"
               "\"prompt_tokens_details\":{\"cached_tokens\":30,\"audio_tokens\":20,"
               "\"image_tokens\":10},\"completion_tokens_details\":{\"reasoning_tokens\":15,"
               "\"audio_tokens\":25,\"image_tokens\":5},\"images\":2,\"seconds\":7.25,"
               "\"characters\":900,\"num_search_queries\":3}"));

    (void)state;
    assert_int_equal(u.state, USAGE_PRESENT);
    assert_int_equal(u.input, 70);
    assert_int_equal(u.audio_input, 20);
    assert_int_equal(u.image_input, 10);
    assert_int_equal(u.cache_read, 30);
    assert_int_equal(u.output, 60);
    assert_int_equal(u.reasoning, 15);
    assert_int_equal(u.audio_output, 25);
    assert_int_equal(u.image_output, 5);
    assert_int_equal(u.images, 2);
    assert_int_equal(u.seconds, 8); /* a part of one counts as one */
    assert_int_equal(u.characters, 900);
    assert_int_equal(u.searches, 3);
    u = usage_from_openai(parsed("{\"prompt_tokens\":10,\"completion_tokens\":1,\"seconds\":7.0,"
                                 "\"prompt_tokens_details\":{\"cached_tokens\":8,"
                                 "\"audio_tokens\":6}}"));
    assert_int_equal(u.seconds, 7);
    assert_int_equal(u.audio_input, 2); /* the others are among the cached */
    assert_int_equal(u.input, 2);
    u = usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                    "\"server_tool_use\":{\"web_search_requests\":4}}"));
    assert_int_equal(u.searches, 4);
    /* No tokens, but something all the same. */
    u = usage_from_openai(parsed("{\"prompt_tokens\":0,\"completion_tokens\":0,\"seconds\":9}"));
    assert_int_equal(u.state, USAGE_PRESENT);
}

/* Some leave reasoning out of the completion: their total tells. */
static void
test_total(void **state)
{
    (void)state;
    CHECK(usage_from_openai(parsed("{\"prompt_tokens\":10,\"completion_tokens\":5,"
                                   "\"total_tokens\":35,\"completion_tokens_details\":"
                                   "{\"reasoning_tokens\":20}}")),
          USAGE_PRESENT, 10, 0, 0, 0, 25, 20);
    CHECK(usage_from_openai(parsed("{\"prompt_tokens\":10,\"completion_tokens\":25,"
                                   "\"total_tokens\":35,\"completion_tokens_details\":"
                                   "{\"reasoning_tokens\":20}}")),
          USAGE_PRESENT, 10, 0, 0, 0, 25, 20);
    /* Off by little is a frame that nobody counts; by much, something is wrong. */
    CHECK(usage_from_openai(
              parsed("{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":17}")),
          USAGE_PRESENT, 10, 0, 0, 0, 5, 0);
    CHECK(usage_from_openai(
              parsed("{\"prompt_tokens\":1000,\"completion_tokens\":5,\"total_tokens\":1195}")),
          USAGE_BAD, 0);
    CHECK(usage_from_responses(
              parsed("{\"input_tokens\":1000,\"output_tokens\":5,\"total_tokens\":5}")),
          USAGE_BAD, 0);
}

static void
test_searches(void **state)
{
    (void)state;
    assert_int_equal(usage_searches_in(parsed("[]")), 0);
    assert_int_equal(usage_searches_in(parsed("{\"type\":\"web_search_call\"}")), 0);
    assert_int_equal(
        usage_searches_in(parsed(
            "[{\"type\":\"web_search_call\",\"status\":\"completed\"},"
            "{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}},"
            "{\"type\":\"web_search_call\",\"action\":{\"type\":\"open_page\"}},"
            "{\"type\":\"web_search_call\",\"status\":\"failed\"},"
            "{\"type\":\"message\",\"content\":\"web_search_call\"},7,null]")),
        2);
}

static void
test_bad(void **state)
{
    static const char *const bad[] = {
        "{\"prompt_tokens\":5,\"completion_tokens\":5,\"seconds\":-1.5}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,\"seconds\":1.5e3}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,\"images\":1.5}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,\"total_tokens\":-10}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,\"num_search_queries\":\"3\"}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"prompt_tokens_details\":{\"audio_tokens\":6}}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"completion_tokens_details\":{\"reasoning_tokens\":3,\"audio_tokens\":3}}",
        "{}",
        "[]",
        "5",
        "\"x\"",
        "{\"prompt_tokens\":5}",
        "{\"completion_tokens\":5}",
        "{\"prompt_tokens\":null,\"completion_tokens\":5}",
        "{\"prompt_tokens\":-1,\"completion_tokens\":5}",
        "{\"prompt_tokens\":1.5,\"completion_tokens\":5}",
        "{\"prompt_tokens\":1e3,\"completion_tokens\":5}",
        "{\"prompt_tokens\":\"7\",\"completion_tokens\":5}",
        "{\"prompt_tokens\":1000000001,\"completion_tokens\":5}",
        "{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":5}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"prompt_tokens_details\":{\"cached_tokens\":6}}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"prompt_tokens_details\":{\"cached_tokens\":3,\"cache_write_tokens\":3}}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"prompt_tokens_details\":{\"cached_tokens\":\"3\"}}",
        "{\"prompt_tokens\":5,\"completion_tokens\":5,"
        "\"completion_tokens_details\":{\"reasoning_tokens\":6}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(usage_from_openai(parsed(bad[i])), USAGE_BAD, 0);
}

static void
test_others(void **state)
{
    (void)state;
    CHECK(usage_from_embeddings(parsed("{\"prompt_tokens\":8,\"total_tokens\":8}")), USAGE_PRESENT,
          8, 0, 0, 0, 0, 0);
    CHECK(usage_from_embeddings(parsed("{\"total_tokens\":8}")), USAGE_BAD, 0);
    CHECK(usage_from_responses(
              parsed("{\"input_tokens\":120,\"input_tokens_details\":{\"cached_tokens\":40,"
                     "\"cache_write_tokens\":16},\"output_tokens\":33,"
                     "\"output_tokens_details\":{\"reasoning_tokens\":12},\"total_tokens\":153}")),
          USAGE_PRESENT, 64, 40, 16, 0, 33, 12);
    CHECK(usage_from_count_tokens(parsed("{\"input_tokens\":9}"), STR("input_tokens")), USAGE_PRESENT, 9, 0, 0, 0, 0, 0);
    CHECK(usage_from_count_tokens(parsed("{\"input_tokens\":-9}"), STR("input_tokens")), USAGE_BAD, 0);
    CHECK(usage_from_count_tokens(parsed("{}"), STR("input_tokens")), USAGE_ABSENT, 0);
}

static void
test_anthropic(void **state)
{
    (void)state;
    CHECK(usage_from_anthropic(parsed(
              "{\"input_tokens\":64,\"cache_creation_input_tokens\":16,"
              "\"cache_read_input_tokens\":40,\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,"
              "\"ephemeral_1h_input_tokens\":6},\"output_tokens\":33,"
              "\"output_tokens_details\":{\"thinking_tokens\":12},\"service_tier\":\"standard\"}")),
          USAGE_PRESENT, 64, 40, 10, 6, 33, 12);
    /* No split, or one that leaves some over: 5 minutes. */
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                      "\"cache_creation_input_tokens\":16}")),
          USAGE_PRESENT, 1, 0, 16, 0, 2, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                      "\"cache_creation_input_tokens\":16,\"cache_creation\":"
                                      "{\"ephemeral_1h_input_tokens\":6}}")),
          USAGE_PRESENT, 1, 0, 10, 6, 2, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                      "\"cache_creation_input_tokens\":4,\"cache_creation\":"
                                      "{\"ephemeral_1h_input_tokens\":6}}")),
          USAGE_BAD, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                      "\"cache_read_input_tokens\":null,\"cache_creation\":null}")),
          USAGE_PRESENT, 1, 0, 0, 0, 2, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":0,\"output_tokens\":0}")), USAGE_ZERO, 0);
    CHECK(usage_from_anthropic(parsed("{\"output_tokens\":1}")), USAGE_BAD, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1}")), USAGE_BAD, 0);
    CHECK(usage_from_anthropic(parsed("{\"input_tokens\":1,\"output_tokens\":2,"
                                      "\"cache_read_input_tokens\":-1}")),
          USAGE_BAD, 0);
    CHECK(usage_from_anthropic(parsed("null")), USAGE_ABSENT, 0);
    CHECK(usage_from_anthropic(parsed("[]")), USAGE_BAD, 0);
}

static void
test_anthropic_stream(void **state)
{
    struct usage_anthropic sum = {.seen = 0};

    (void)state;
    usage_anthropic_merge(&sum,
                          parsed("{\"input_tokens\":64,\"cache_creation_input_tokens\":16,"
                                 "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,"
                                 "\"ephemeral_1h_input_tokens\":16},\"output_tokens\":1}"),
                          false);
    assert_false(sum.final);
    CHECK(usage_anthropic_sum(&sum), USAGE_PRESENT, 64, 0, 0, 16, 1, 0);
    usage_anthropic_merge(&sum,
                          parsed("{\"input_tokens\":null,\"output_tokens\":20,"
                                 "\"cache_creation_input_tokens\":16}"),
                          true);
    assert_true(sum.final);
    CHECK(usage_anthropic_sum(&sum), USAGE_PRESENT, 64, 0, 0, 16, 20, 0);
    /* Exact numbers may come only at the end. */
    usage_anthropic_merge(&sum, parsed("{\"input_tokens\":70,\"output_tokens\":33}"), true);
    CHECK(usage_anthropic_sum(&sum), USAGE_PRESENT, 70, 0, 0, 16, 33, 0);
    usage_anthropic_merge(&sum, parsed("{\"output_tokens\":\"x\"}"), true);
    CHECK(usage_anthropic_sum(&sum), USAGE_BAD, 0);
}

/* ---- whole answers --------------------------------------------------------------------------- */

static struct answer_output output; /* of the answer read last */

static struct answer
read_answer(enum proto_endpoint endpoint, const char *body)
{
    struct page page = page_make(body, strlen(body));
    struct answer answer;

    answer_read(endpoint, page.text, &answer);
    output = answer_output(&answer);
    assert_true(output.estimate <= answer_output_max(&answer));
    /* The views point into the page: read them before it goes. */
    answer.model = str_from(answer.model.ptr != NULL ? "some" : NULL);
    answer.id = str_from(answer.id.ptr != NULL ? "some" : NULL);
    page_free(&page);
    return answer;
}

static void
test_answers(void **state)
{
    struct answer a;

    (void)state;
    a = read_answer(ENDPOINT_CHAT,
                    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"m\","
                    "\"error\":null,\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                    "\"content\":\"Hello, you\",\"refusal\":null},\"finish_reason\":\"stop\"}],"
                    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}");
    assert_int_equal(a.kind, ANSWER_OK);
    CHECK(a.usage, USAGE_PRESENT, 3, 0, 0, 0, 2, 0);
    assert_true(output.any);
    assert_int_equal(output.len, 10);
    assert_int_equal(output.estimate, 3);
    assert_str(a.model, "some");
    assert_str(a.id, "some");

    a = read_answer(ENDPOINT_CHAT, "{\"choices\":[{\"message\":{\"content\":\"\"},"
                                   "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":0}}]}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_false(output.any);
    CHECK(a.usage, USAGE_PRESENT, 3, 0, 0, 0, 0, 0);

    a = read_answer(ENDPOINT_COMPLETIONS, "{\"choices\":[{\"text\":\"abcd\"}]}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_int_equal(output.len, 4);
    CHECK(a.usage, USAGE_ABSENT, 0);

    a = read_answer(ENDPOINT_EMBEDDINGS, "{\"object\":\"list\",\"data\":[{\"embedding\":\"AAAA\"}],"
                                         "\"model\":\"e\",\"usage\":{\"prompt_tokens\":8}}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_true(output.any);
    assert_int_equal(output.estimate, 0);
    CHECK(a.usage, USAGE_PRESENT, 8, 0, 0, 0, 0, 0);

    a = read_answer(ENDPOINT_RESPONSES,
                    "{\"id\":\"resp_1\",\"object\":\"response\",\"error\":null,\"model\":\"m x\","
                    "\"output\":[{\"type\":\"message\"}],"
                    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_true(output.any);
    assert_null(a.model.ptr); /* not fit for a header */
    CHECK(a.usage, USAGE_PRESENT, 3, 0, 0, 0, 2, 0);

    a = read_answer(ENDPOINT_MESSAGES, "{\"id\":\"msg_1\",\"type\":\"message\",\"model\":\"m\","
                                       "\"content\":[],\"usage\":{\"input_tokens\":3,"
                                       "\"output_tokens\":2}}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_false(output.any);
    CHECK(a.usage, USAGE_PRESENT, 3, 0, 0, 0, 2, 0);

    a = read_answer(ENDPOINT_COUNT_TOKENS, "{\"input_tokens\":14}");
    assert_int_equal(a.kind, ANSWER_OK);

    /* What the provider's tools made is no output of the model's. */
    a = read_answer(ENDPOINT_RESPONSES,
                    "{\"model\":\"m\",\"output\":[{\"type\":\"web_search_call\",\"action\":"
                    "{\"type\":\"search\",\"query\":\"a long one\",\"sources\":[\"https://x/y/z\"]}},"
                    "{\"type\":\"message\"},{\"type\":\"file_search_call\",\"results\":[1,2,3]}],"
                    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_int_equal(a.usage.searches, 1);
    assert_int_equal(output.len, strlen("{\"type\":\"message\"},,"));
    a = read_answer(ENDPOINT_MESSAGES,
                    "{\"model\":\"m\",\"content\":[{\"type\":\"web_search_tool_result\",\"content\":"
                    "[{\"encrypted_content\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}],"
                    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}");
    assert_int_equal(output.len, 0);
    assert_false(output.any);
}

static void
test_answers_that_are_none(void **state)
{
    static const enum proto_endpoint calls[] = {ENDPOINT_CHAT,       ENDPOINT_COMPLETIONS,
                                                ENDPOINT_EMBEDDINGS, ENDPOINT_RESPONSES,
                                                ENDPOINT_MESSAGES,   ENDPOINT_COUNT_TOKENS};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        assert_int_equal(read_answer(calls[i], "").kind, ANSWER_NOT_JSON);
        assert_int_equal(read_answer(calls[i], "<html>").kind, ANSWER_NOT_JSON);
        assert_int_equal(read_answer(calls[i], "{\"choices\":[").kind, ANSWER_NOT_JSON);
        assert_int_equal(read_answer(calls[i], "\x1f\x8b\x08").kind, ANSWER_NOT_JSON);
        assert_int_equal(read_answer(calls[i], "{}").kind, ANSWER_UNKNOWN);
        assert_int_equal(read_answer(calls[i], "[]").kind, ANSWER_UNKNOWN);
        assert_int_equal(read_answer(calls[i], "{\"error\":null}").kind, ANSWER_UNKNOWN);
        assert_int_equal(read_answer(calls[i], "{\"error\":{\"message\":\"x\"}}").kind,
                         ANSWER_ERROR);
        assert_int_equal(read_answer(calls[i], "{\"error\":\"x\"}").kind, ANSWER_ERROR);
    }
}

static void
test_empty_answers(void **state)
{
    static const struct {
        enum proto_endpoint endpoint;
        enum content content;
        const char *body;
    } rows[] = {
        {ENDPOINT_CHAT, CONTENT_NONE, "{\"choices\":[]}"},
        {ENDPOINT_CHAT, CONTENT_NONE, "{\"choices\":[{\"message\":{\"role\":\"assistant\"}}]}"},
        {ENDPOINT_CHAT, CONTENT_EMPTY,
         "{\"choices\":[{\"message\":{\"content\":\"\",\"refusal\":null,\"tool_calls\":[]},"
         "\"finish_reason\":\"stop\"}]}"},
        {ENDPOINT_CHAT, CONTENT_EMPTY,
         "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],"
         "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":0}}"},
        {ENDPOINT_CHAT, CONTENT_SOME,
         "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],"
         "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}"},
        {ENDPOINT_CHAT, CONTENT_SOME,
         "{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"content_filter\"}]}"},
        {ENDPOINT_CHAT, CONTENT_SOME, "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}"},
        {ENDPOINT_COMPLETIONS, CONTENT_NONE, "{\"choices\":[{\"text\":\"\"}]}"},
        {ENDPOINT_COMPLETIONS, CONTENT_SOME, "{\"choices\":[{\"text\":\"a\"}]}"},
        {ENDPOINT_EMBEDDINGS, CONTENT_NONE, "{\"data\":[]}"},
        {ENDPOINT_EMBEDDINGS, CONTENT_SOME, "{\"data\":[{\"embedding\":[]}]}"},
        {ENDPOINT_RESPONSES, CONTENT_NONE, "{\"output\":[]}"},
        {ENDPOINT_RESPONSES, CONTENT_EMPTY, "{\"status\":\"completed\",\"output\":[]}"},
        {ENDPOINT_RESPONSES, CONTENT_SOME, "{\"status\":\"queued\",\"output\":[]}"},
        {ENDPOINT_RESPONSES, CONTENT_SOME,
         "{\"output\":[{\"type\":\"function_call\",\"name\":\"f\"}]}"},
        {ENDPOINT_RESPONSES, CONTENT_EMPTY,
         "{\"output\":[{\"type\":\"message\",\"status\":\"incomplete\",\"content\":[{\"type\":"
         "\"output_text\",\"text\":\"\",\"annotations\":[]}]}],\"status\":\"completed\"}"},
        {ENDPOINT_MESSAGES, CONTENT_NONE, "{\"content\":[]}"},
        {ENDPOINT_MESSAGES, CONTENT_EMPTY,
         "{\"content\":[{\"type\":\"text\",\"text\":\"\"}],\"stop_reason\":\"end_turn\"}"},
        {ENDPOINT_MESSAGES, CONTENT_SOME,
         "{\"content\":[],\"stop_reason\":\"end_turn\","
         "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}"},
        {ENDPOINT_MESSAGES, CONTENT_SOME, "{\"content\":[],\"stop_reason\":\"max_tokens\"}"},
        {ENDPOINT_MESSAGES, CONTENT_SOME, "{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\"}]}"},
        {ENDPOINT_COUNT_TOKENS, CONTENT_SOME, "{\"input_tokens\":0}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct page page = page_make(rows[i].body, strlen(rows[i].body));
        struct answer answer;

        answer_read(rows[i].endpoint, page.text, &answer);
        assert_int_equal(answer.kind, ANSWER_OK);
        if (answer_content(&answer) != rows[i].content)
            fail_msg("%d: %s", (int)answer_content(&answer), rows[i].body);
        page_free(&page);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dimensions), cmocka_unit_test(test_total),
        cmocka_unit_test(test_searches), cmocka_unit_test(test_openai),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_anthropic),
        cmocka_unit_test(test_anthropic_stream),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_empty_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
