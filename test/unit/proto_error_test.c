#include "proto/error.h"

#include "base/js.h"
#include "base/str.h"
#include "test/unit/testing.h"

static struct buf
body_of(enum proto_protocol protocol, const struct proto_error *error, const char *request_id)
{
    struct js_value ignored;
    struct js_error fault;
    struct buf out;

    buf_init(&out, 1 << 16);
    error_write_body(&out, protocol, error, str_from(request_id));
    assert_false(out.failed);
    assert_true(js_check(buf_str(&out), &ignored, &fault));
    return out;
}

static void
check_body(enum proto_protocol protocol, const struct proto_error *error, const char *request_id,
           const char *want)
{
    struct buf out = body_of(protocol, error, request_id);

    assert_str(buf_str(&out), want);
    buf_free(&out);
}

static void
test_bodies(void **state)
{
    struct proto_error error;

    (void)state;
    error_set(&error, ERROR_NO_MODEL, "model", NULL, "The model '%s' does not exist", "x\"y");
    check_body(PROTO_OPENAI, &error, "call_1",
               "{\"error\":{\"message\":\"The model 'x\\\"y' does not exist\","
               "\"type\":\"invalid_request_error\",\"param\":\"model\","
               "\"code\":\"model_not_found\"}}");
    check_body(PROTO_ANTHROPIC, &error, "call_1",
               "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\","
               "\"message\":\"The model 'x\\\"y' does not exist\"},\"request_id\":\"call_1\"}");
    error_set(&error, ERROR_BAD_REQUEST, NULL, NULL, "no");
    check_body(PROTO_RESPONSES, &error, NULL,
               "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,"
               "\"code\":null}}");
    error_set(&error, ERROR_LIMIT_REQUESTS, NULL, NULL, "slow down");
    error.retry_after_s = 17;
    check_body(PROTO_GEMINI, &error, NULL,
               "{\"error\":{\"code\":429,\"message\":\"slow down\",\"status\":"
               "\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"
               "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"17s\"}]}}");
    error_set(&error, ERROR_BAD_REQUEST, NULL, "own_code", "%s", "no");
    check_body(PROTO_OPENAI, &error, NULL,
               "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,"
               "\"code\":\"own_code\"}}");
}

static void
test_every_kind(void **state)
{
    (void)state;
    for (int kind = 0; kind < ERROR_KIND_COUNT; kind++) {
        struct proto_error error;

        error_set(&error, (enum error_kind)kind, NULL, NULL, "m");
        assert_non_null(error_kind_name[kind]);
        for (int p = 0; p < PROTO_PROTOCOL_COUNT; p++) {
            unsigned status = error_status((enum error_kind)kind, (enum proto_protocol)p);
            struct buf out = body_of((enum proto_protocol)p, &error, "r");

            assert_true(status >= 400 && status < 600);
            assert_string_not_equal(error_reason(status), "Error");
            buf_free(&out);
        }
    }
    assert_int_equal(error_status(ERROR_OVERLOADED, PROTO_ANTHROPIC), 529);
    assert_int_equal(error_status(ERROR_OVERLOADED, PROTO_OPENAI), 503);
    assert_int_equal(error_status(ERROR_UNAVAILABLE, PROTO_ANTHROPIC), 503);
}

static void
test_long_message(void **state)
{
    struct proto_error error;

    (void)state;
    error_set(&error, ERROR_BAD_REQUEST, NULL, NULL, "%0*d", 5000, 1);
    assert_int_equal(strlen(error.message), ERROR_MESSAGE_MAX - 1);
}

static void
check_event(enum proto_endpoint endpoint, const struct proto_error *error, const char *want)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    error_write_event(&out, endpoint, error, 9, STR("call_1"));
    assert_str(buf_str(&out), want);
    buf_free(&out);
}

static void
test_events(void **state)
{
    struct proto_error error;

    (void)state;
    error_set(&error, ERROR_UPSTREAM_FAILED, NULL, NULL, "cut");
    check_event(ENDPOINT_CHAT, &error,
                "data: {\"error\":{\"message\":\"cut\",\"type\":\"server_error\",\"param\":null,"
                "\"code\":\"upstream_error\"}}\n\n");
    check_event(ENDPOINT_RESPONSES, &error,
                "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_error\","
                "\"message\":\"cut\",\"param\":null,\"sequence_number\":9}\n\n");
    check_event(ENDPOINT_MESSAGES, &error,
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                "\"message\":\"cut\"},\"request_id\":\"call_1\"}\n\n");
    assert_str(error_stream_end_mark(ENDPOINT_CHAT), "data: [DONE]\n\n");
    assert_null(error_stream_end_mark(ENDPOINT_MESSAGES).ptr);
    assert_null(error_stream_end_mark(ENDPOINT_RESPONSES).ptr);
}

static const struct str secret_list[] = {
    {"sk-upstream-key", 15}, {"api.example.net", 15}, {"", 0}, {"abc", 3}};
static const struct error_secrets secrets = {secret_list, COUNT_OF(secret_list)};

static struct proto_error
translate(unsigned status, const char *body)
{
    struct page page = page_make(body, strlen(body));
    const struct upstream_answer answer = {.status = status, .body = page.text};
    struct proto_error error;

    memset(&error, 0xff, sizeof(error));
    error_from_upstream(&answer, secrets, &error);
    page_free(&page);
    return error;
}

static void
test_upstream_keeps_words(void **state)
{
    struct proto_error error;

    (void)state;
    error = translate(400, "{\"error\":{\"message\":\"context_management: Extra inputs are not "
                           "permitted\",\"type\":\"invalid_request_error\",\"param\":\"x[0].y\","
                           "\"code\":\"unknown_parameter\"}}");
    assert_int_equal(error.kind, ERROR_BAD_REQUEST);
    assert_string_equal(error.message, "context_management: Extra inputs are not permitted");
    assert_string_equal(error.param, "x[0].y");
    assert_string_equal(error.code, "unknown_parameter");

    error = translate(400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
                           "\"message\":\"prompt is too long: 9 > 8\"}}");
    assert_string_equal(error.message, "prompt is too long: 9 > 8");
    error = translate(400, "{\"error\":{\"message\":\"too long\","
                           "\"code\":\"context_length_exceeded\"}}");
    assert_int_equal(error.kind, ERROR_CONTEXT_TOO_LONG);
    assert_string_equal(error.code, "context_length_exceeded");
    error = translate(404, "{\"error\":{\"message\":\"no such model\"}}");
    assert_int_equal(error.kind, ERROR_NO_MODEL);
    assert_string_equal(error.message, "no such model");
    error = translate(413, "{\"error\":\"big\"}");
    assert_int_equal(error.kind, ERROR_TOO_LARGE);
    assert_string_equal(error.message, "big");
    error = translate(422, "{\"detail\":\"bad\"}");
    assert_int_equal(error.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(error.message, "bad");
    error = translate(400, "[{\"error\":{\"code\":400,\"message\":\"listed\"}}]");
    assert_string_equal(error.message, "listed");
}

static void
test_upstream_own_words(void **state)
{
    static const struct {
        unsigned status;
        enum error_kind kind;
    } rows[] = {
        {401, ERROR_UPSTREAM_FAILED},  {403, ERROR_UPSTREAM_FAILED}, {402, ERROR_QUOTA},
        {429, ERROR_LIMIT_REQUESTS},   {500, ERROR_UPSTREAM_FAILED}, {502, ERROR_UPSTREAM_FAILED},
        {503, ERROR_OVERLOADED},       {529, ERROR_OVERLOADED},      {504, ERROR_UPSTREAM_TIMEOUT},
        {408, ERROR_UPSTREAM_TIMEOUT}, {409, ERROR_CONFLICT},        {302, ERROR_UPSTREAM_FAILED},
        {418, ERROR_UPSTREAM_FAILED},
    };
    struct proto_error error;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        error = translate(rows[i].status, "{\"error\":{\"message\":\"org-12345 at 10.0.0.1\","
                                          "\"param\":\"org-12345\",\"code\":\"org-12345\"}}");
        assert_int_equal(error.kind, rows[i].kind);
        assert_null(strstr(error.message, "org-12345"));
        assert_string_equal(error.param, "");
        assert_string_equal(error.code, "");
        assert_int_equal(error.retry_after_s, rows[i].status == 429);
    }
    error = translate(429, "{\"error\":{\"message\":\"x\",\"code\":\"insufficient_quota\"}}");
    assert_int_equal(error.kind, ERROR_QUOTA);
    assert_int_equal(error.retry_after_s, 0);
    error = translate(404, "<html>nothing</html>");
    assert_int_equal(error.kind, ERROR_UPSTREAM_FAILED);
}

static void
test_no_html_no_secret(void **state)
{
    static const char *const html[] = {
        "<!DOCTYPE html><html>secret page</html>",
        "{\"error\":{\"message\":\"  <HTML><body>secret page\"}}",
        "{\"error\":{\"message\":\"a <b> \\u003chead\\u003e secret page\"}}",
        "",
        "\xff\xfe",
        "{",
        "{\"error\":7}",
        "{\"error\":{\"message\":\"\"}}",
        "{\"error\":{\"message\":{\"x\":1}}}",
    };
    struct proto_error error;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(html); i++) {
        error = translate(400, html[i]);
        assert_string_equal(error.message, "The upstream refused this request as invalid.");
    }
    error =
        translate(400, "{\"error\":{\"message\":\"key sk-upstream-key (sk-upstream\\u002dkey) at "
                       "api.example.net\\nabc\",\"param\":\"sk-upstream-key\"}}");
    assert_string_equal(error.message, "key *** (***) at *** abc");
    assert_string_equal(error.param, "***");
}

/* A secret at each place around the cuts that bound the text never comes out in part. */
static void
test_secret_at_cuts(void **state)
{
    char body[6000], text[4096];

    (void)state;
    for (size_t before = 300; before < 2100; before++) {
        memset(text, 'x', sizeof(text));
        memcpy(text + before, "sk-upstream-key", 15);
        text[3000] = '\0';
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}", text);
        struct proto_error error = translate(400, body);
        assert_null(strstr(error.message, "sk-"));
        assert_true(strlen(error.message) < ERROR_MESSAGE_MAX);
    }
    /* Escapes and letters of several bytes are never cut through. */
    for (size_t before = 0; before < 16; before++) {
        size_t len = before;

        memset(text, 'x', before);
        while (len < 3000)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "\xc3\xa4\\ud83d\\ude00\\n");
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}", text);
        struct proto_error error = translate(400, body);
        struct buf out = body_of(PROTO_OPENAI, &error, NULL);
        assert_false(str_contains(buf_str(&out), STR("\xef\xbf\xbd")));
        buf_free(&out);
    }
}

static void
test_objects(void **state)
{
    static const struct {
        const char *data;
        enum error_kind kind;
    } rows[] = {
        {"{\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}", ERROR_OVERLOADED},
        {"{\"error\":{\"type\":\"rate_limit_error\"}}", ERROR_LIMIT_REQUESTS},
        {"{\"error\":{\"type\":\"api_error\"}}", ERROR_UPSTREAM_FAILED},
        {"{\"error\":{\"code\":429,\"message\":\"x\"}}", ERROR_LIMIT_REQUESTS},
        {"{\"error\":{\"code\":400,\"message\":\"x\"}}", ERROR_BAD_REQUEST},
        {"{\"error\":{\"type\":\"authentication_error\"}}", ERROR_UPSTREAM_FAILED},
        {"{\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}", ERROR_LIMIT_REQUESTS},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"invalid_prompt\","
         "\"message\":\"x\"}}}",
         ERROR_BAD_REQUEST},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}",
         ERROR_UPSTREAM_FAILED},
        {"{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}", ERROR_OVERLOADED},
        {"{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}", ERROR_LIMIT_REQUESTS},
        {"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\"}}", ERROR_BAD_REQUEST},
        {"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"reason\":"
         "\"API_KEY_INVALID\"}]}}",
         ERROR_UPSTREAM_FAILED},
        {"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":\"The input token "
         "count (5) exceeds the maximum number of tokens allowed (4).\"}}",
         ERROR_CONTEXT_TOO_LONG},
        {"{\"error\":\"oops\"}", ERROR_UPSTREAM_FAILED},
        {"no json", ERROR_UPSTREAM_FAILED},
    };
    struct proto_error error;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        error_from_object(str_from(rows[i].data), secrets, &error);
        assert_int_equal(error.kind, rows[i].kind);
    }
}

static void
test_retry_after(void **state)
{
    (void)state;
    assert_int_equal(error_retry_after_s(STR_NONE, STR_NONE), 0);
    assert_int_equal(error_retry_after_s(STR("17"), STR_NONE), 17);
    assert_int_equal(error_retry_after_s(STR(" 0 "), STR_NONE), 1);
    assert_int_equal(error_retry_after_s(STR("1.2"), STR_NONE), 2);
    assert_int_equal(error_retry_after_s(STR("1.000"), STR_NONE), 1);
    assert_int_equal(error_retry_after_s(STR("1.x"), STR_NONE), 0);
    assert_int_equal(error_retry_after_s(STR("5"), STR("1500")), 2);
    assert_int_equal(error_retry_after_s(STR("5"), STR("1500.5")), 2);
    assert_int_equal(error_retry_after_s(STR("-5"), STR_NONE), 0);
    assert_int_equal(error_retry_after_s(STR("9999999999"), STR_NONE), 86400);
    assert_int_equal(error_retry_after_s(STR("Wed, 21 Oct 2026 07:28:00 GMT"), STR_NONE), 0);
    const struct upstream_answer answer = {.status = 503, .retry_after = STR("7")};
    struct proto_error error;
    error_from_upstream(&answer, secrets, &error);
    assert_int_equal(error.retry_after_s, 7);

    const struct upstream_answer gemini = {
        .status = 429,
        .body = STR("{\"error\":{\"code\":429,\"message\":\"quota\",\"status\":"
                    "\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"type.googleapis.com/"
                    "google.rpc.RetryInfo\",\"retryDelay\":\"16.2s\"}]}}")};
    error_from_upstream(&gemini, secrets, &error);
    assert_int_equal(error.kind, ERROR_LIMIT_REQUESTS);
    assert_int_equal(error.retry_after_s, 17);
}

/* Clients of Anthropic's API shorten a conversation when they read these words, whoever it was that
 * found it too long. */
static void
test_too_long(void **state)
{
    const struct upstream_answer openai = {
        .status = 400,
        .body = STR("{\"error\":{\"message\":\"This model's maximum context length is 8 tokens.\","
                    "\"code\":null}}")};
    struct proto_error error;
    struct buf out;

    (void)state;
    error_from_upstream(&openai, secrets, &error);
    buf_init(&out, 4096);
    error_write_body(&out, PROTO_ANTHROPIC, &error, STR_NONE);
    assert_str(buf_str(&out),
               "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
               "\"prompt is too long: This model's maximum context length is 8 tokens.\"}}");
    buf_free(&out);
}

static void
test_fail_over(void **state)
{
    static const unsigned yes[] = {301, 401, 402, 403, 405, 408, 429, 500, 502, 503, 504, 529};
    static const unsigned no[] = {400, 404, 409, 413, 422};
    struct proto_error error;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(yes) + COUNT_OF(no); i++) {
        bool may = i < COUNT_OF(yes);
        struct upstream_answer answer = {.status = may ? yes[i] : no[i - COUNT_OF(yes)],
                                         .body = STR("{\"error\":{\"message\":\"x\"}}")};

        error_from_upstream(&answer, secrets, &error);
        assert_int_equal(error_may_fail_over(&error), may);
    }
    /* A 404 without a word is a wrong address. */
    error_from_upstream(&(struct upstream_answer){.status = 404, .body = STR("gone")}, secrets,
                        &error);
    assert_true(error_may_fail_over(&error));
    error_from_object(STR("{\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\"}}"),
                      secrets, &error);
    assert_false(error_may_fail_over(&error));
    error_from_object(STR("{\"error\":{\"message\":\"x\",\"type\":\"overloaded_error\"}}"), secrets,
                      &error);
    assert_true(error_may_fail_over(&error));
}

static void
test_redact(void **state)
{
    char text[] = "sk-upstream-keysk-upstream-key abc sk-upstream-ke";
    size_t len = error_redact(text, strlen(text), secrets);

    (void)state;
    assert_str(((struct str){text, len}), "****** abc sk-upstream-ke");
    assert_int_equal(error_redact(text, 0, secrets), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_long_message),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_upstream_keeps_words),
        cmocka_unit_test(test_upstream_own_words),
        cmocka_unit_test(test_no_html_no_secret),
        cmocka_unit_test(test_secret_at_cuts),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_fail_over),
        cmocka_unit_test(test_redact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
