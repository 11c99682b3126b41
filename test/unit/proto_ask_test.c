#include "proto/ask.h"

#include "base/buf.h"
#include "base/js.h"
#include "base/str.h"
#include "test/unit/testing.h"

/* Reads a body that ends at an unmapped page, and puts the pieces together again. */
struct asked {
    struct page page;
    struct arena arena;
    struct ask ask;
    struct proto_error error;
    struct buf sent;
    bool ok;
};

static struct asked
read_body(enum proto_endpoint endpoint, struct str body, const char *upstream_model)
{
    struct asked a = {.page = page_make(body.ptr, body.len)};
    struct ask_pieces pieces;

    arena_init(&a.arena, 1 << 20);
    buf_init(&a.sent, 1 << 22);
    a.ok = ask_read(endpoint, a.page.text, &a.arena, &a.ask, &a.error);
    if (a.ok && upstream_model != NULL) {
        assert_true(ask_splices(&a.ask, str_from(upstream_model), &a.arena, &pieces));
        for (size_t i = 0; i < pieces.count; i++) {
            assert_true(pieces.list[i].len > 0);
            buf_add_str(&a.sent, pieces.list[i]);
        }
        assert_int_equal(a.sent.len, pieces.total_len);
    }
    return a;
}

static void
end(struct asked *a)
{
    arena_end(&a->arena);
    buf_free(&a->sent);
    page_free(&a->page);
}

static void
check_sent(enum proto_endpoint endpoint, const char *body, const char *model, const char *want)
{
    struct asked a = read_body(endpoint, str_from(body), model);
    struct js_value ignored;
    struct js_error fault;

    if (!a.ok)
        print_error("%s\n", a.error.message);
    assert_true(a.ok);
    assert_str(buf_str(&a.sent), want);
    assert_true(js_check(buf_str(&a.sent), &ignored, &fault));
    end(&a);
}

static void
check_refused(enum proto_endpoint endpoint, const char *body, const char *param,
              const char *message)
{
    struct asked a = read_body(endpoint, str_from(body), NULL);

    assert_false(a.ok);
    assert_int_equal(a.error.kind, ERROR_BAD_REQUEST);
    assert_string_equal(a.error.param, param);
    assert_string_equal(a.error.message, message);
    end(&a);
}

#define M "\"messages\":[]"

static void
test_plain(void **state)
{
    struct asked a = read_body(ENDPOINT_CHAT,
                               STR(" {\"model\" : \"gpt-x\", " M ", \"max_tokens\": 7, \"n\":3,"
                                   "\"stream\":false, \"foo\":{\"model\":1}} \n"),
                               NULL);

    (void)state;
    assert_true(a.ok);
    assert_str(a.ask.model, "gpt-x");
    assert_memory_equal(a.page.text.ptr + a.ask.model_range.off, "\"gpt-x\"", 7);
    assert_int_equal(a.ask.model_range.len, 7);
    assert_true(a.ask.has_output_cap);
    assert_int_equal(a.ask.output_cap, 7);
    assert_int_equal(a.ask.choice_count, 3);
    assert_false(a.ask.stream);
    assert_false(a.ask.usage_asked);
    assert_false(a.ask.stored_input);
    end(&a);
}

static void
test_null_is_absent(void **state)
{
    struct asked a = read_body(ENDPOINT_CHAT,
                               STR("{\"model\":\"m\"," M ",\"stream\":null,\"n\":null,"
                                   "\"max_tokens\":null,\"stream_options\":null}"),
                               "m");

    (void)state;
    assert_true(a.ok);
    assert_false(a.ask.has_output_cap);
    assert_int_equal(a.ask.choice_count, 1);
    assert_true(str_eq(buf_str(&a.sent), a.page.text));
    end(&a);
    check_refused(ENDPOINT_CHAT, "{\"model\":null," M "}", "model", "model: Field required");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"messages\":null}", "messages",
                  "messages: Field required");
}

static void
test_model_name(void **state)
{
    (void)state;
    check_sent(ENDPOINT_CHAT, "{\"model\":\"a\"," M "}", "a", "{\"model\":\"a\"," M "}");
    check_sent(ENDPOINT_CHAT, "{\"model\":\"a\"," M "}", "longer/name",
               "{\"model\":\"longer/name\"," M "}");
    check_sent(ENDPOINT_CHAT, "{" M ", \"model\":  \"a\"}", "q\"\\\x01",
               "{" M ", \"model\":  \"q\\\"\\\\\\u0001\"}");
    /* Escapes in key and value: the same model, so its bytes stay. */
    check_sent(ENDPOINT_CHAT, "{\"\\u006dodel\":\"\\u0061\\/b\"," M "}", "a/b",
               "{\"\\u006dodel\":\"\\u0061\\/b\"," M "}");
    check_sent(ENDPOINT_CHAT, "{\"\\u006dodel\":\"\\u0061\"," M "}", "b",
               "{\"\\u006dodel\":\"b\"," M "}");
    check_sent(ENDPOINT_EMBEDDINGS, "{\"input\":\"x\",\"model\":\"a\"}", "b",
               "{\"input\":\"x\",\"model\":\"b\"}");
    check_sent(ENDPOINT_COUNT_TOKENS, "{\"model\":\"a\"," M "}", "b", "{\"model\":\"b\"," M "}");

    check_refused(ENDPOINT_CHAT, "{" M "}", "model", "model: Field required");
    check_refused(ENDPOINT_CHAT, "{\"model\":1," M "}", "model",
                  "model: must be a string (line 1, column 10)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"\"," M "}", "model",
                  "model: must not be empty (line 1, column 10)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"a\\n\"," M "}", "model",
                  "model: must not hold control characters (line 1, column 10)");
    for (int len = ASK_MODEL_LEN_MAX; len <= ASK_MODEL_LEN_MAX + 1; len++) {
        char body[600];
        int body_len = snprintf(body, sizeof(body), "{\"model\":\"%0*d\"," M "}", len, 0);
        struct asked a = read_body(ENDPOINT_CHAT, (struct str){body, (size_t)body_len}, NULL);

        assert_int_equal(a.ok, len == ASK_MODEL_LEN_MAX);
        end(&a);
    }
}

/* stream_options.include_usage, wherever it is or is not. */
static void
test_include_usage(void **state)
{
    const enum proto_endpoint c = ENDPOINT_CHAT;

    (void)state;
    check_sent(c, "{\"model\":\"m\"," M ",\"stream\":true}", "m",
               "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\"," M
               ",\"stream\":true}");
    check_sent(c, " { \"model\":\"m\"," M ",\"stream\":true}", "n",
               " {\"stream_options\":{\"include_usage\":true}, \"model\":\"n\"," M
               ",\"stream\":true}");
    check_sent(c, "{\"stream_options\":null,\"model\":\"m\"," M ",\"stream\":true}", "n",
               "{\"stream_options\":{\"include_usage\":true},\"model\":\"n\"," M
               ",\"stream\":true}");
    check_sent(c, "{\"model\":\"m\"," M ",\"stream\":true,\"stream_options\":{ }}", "n",
               "{\"model\":\"n\"," M
               ",\"stream\":true,\"stream_options\":{\"include_usage\":true }}");
    check_sent(c, "{\"model\":\"m\"," M ",\"stream\":true,\"stream_options\":{\"a\":1}}", "m",
               "{\"model\":\"m\"," M
               ",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"a\":1}}");
    check_sent(c,
               "{\"stream_options\":{\"a\":[],\"include_usage\":false},\"model\":\"m\"," M
               ",\"stream\":true}",
               "n",
               "{\"stream_options\":{\"a\":[],\"include_usage\":true},\"model\":\"n\"," M
               ",\"stream\":true}");
    check_sent(ENDPOINT_COMPLETIONS,
               "{\"stream_options\":{\"include_usage\":null},\"model\":\"m\",\"stream\":true}", "m",
               "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"stream\":true}");
    /* Not a stream, or not of this kind: left alone. */
    check_sent(c, "{\"model\":\"m\"," M ",\"stream_options\":7}", "m",
               "{\"model\":\"m\"," M ",\"stream_options\":7}");
    check_sent(ENDPOINT_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}", "m",
               "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}");
    check_sent(ENDPOINT_MESSAGES, "{\"model\":\"m\"," M ",\"max_tokens\":1,\"stream\":true}", "m",
               "{\"model\":\"m\"," M ",\"max_tokens\":1,\"stream\":true}");

    struct asked a = read_body(c,
                               STR("{\"model\":\"m\"," M ",\"stream\":true,"
                                   "\"stream_options\":{\"include_\\u0075sage\":true}}"),
                               "m");
    assert_true(a.ok);
    assert_true(a.ask.usage_asked);
    assert_true(str_eq(buf_str(&a.sent), a.page.text));
    end(&a);

    check_refused(c, "{\"model\":\"m\"," M ",\"stream\":true,\"stream_options\":[]}",
                  "stream_options", "stream_options: must be an object (line 1, column 59)");
    check_refused(c,
                  "{\"model\":\"m\"," M ",\"stream\":true,\n"
                  "\"stream_options\":{\"include_usage\":\"yes\"}}",
                  "stream_options.include_usage",
                  "stream_options.include_usage: must be true or false (line 2, column 35)");
    check_refused(c,
                  "{\"model\":\"m\"," M ",\"stream\":true,\n"
                  "\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
                  "stream_options.include_usage",
                  "stream_options.include_usage: must not stand twice (line 2, column 40)");
}

static void
test_counts(void **state)
{
    static const char *const bad[] = {"-1",   "0",          "1.0", "1e2",  "\"5\"",
                                      "true", "[1]",        "+3",  "01",   "99999999999",
                                      "{}",   "1000000001", "129", "1e-2", "-0"};
    char body[200];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(body, sizeof(body), "{\"model\":\"m\"," M ",\"n\":%s}", bad[i]);
        struct asked a = read_body(ENDPOINT_CHAT, str_from(body), NULL);
        assert_false(a.ok);
        end(&a);
        if (strcmp(bad[i], "129") == 0)
            continue;
        snprintf(body, sizeof(body), "{\"model\":\"m\"," M ",\"max_tokens\":%s}", bad[i]);
        a = read_body(ENDPOINT_MESSAGES, str_from(body), NULL);
        assert_false(a.ok);
        assert_int_equal(a.error.kind, ERROR_BAD_REQUEST);
        end(&a);
    }
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\"," M ",\n\n \"n\": 129}", "n",
                  "n: must be a whole number from 1 to 128 (line 3, column 7)");
    check_refused(ENDPOINT_MESSAGES, "{\"model\":\"m\"," M "}", "max_tokens",
                  "max_tokens: Field required");

    struct asked a = read_body(
        ENDPOINT_CHAT,
        STR("{\"model\":\"m\"," M ",\"max_tokens\":1000000000,\"max_completion_tokens\":5}"), NULL);
    assert_true(a.ok);
    assert_int_equal(a.ask.output_cap, 1000000000);
    end(&a);
    a = read_body(ENDPOINT_RESPONSES,
                  STR("{\"model\":\"m\",\"input\":[],\"max_output_tokens\":16,\"max_tokens\":-1}"),
                  NULL);
    assert_true(a.ok); /* max_tokens is none of Responses' */
    assert_int_equal(a.ask.output_cap, 16);
    end(&a);
}

static void
check_choices(const char *rest, uint32_t want)
{
    char body[300];

    snprintf(body, sizeof(body), "{\"model\":\"m\"%s}", rest);
    struct asked a = read_body(ENDPOINT_COMPLETIONS, str_from(body), NULL);
    assert_true(a.ok);
    assert_int_equal(a.ask.choice_count, want);
    end(&a);
}

static void
test_choices(void **state)
{
    char body[8192];
    size_t len;

    (void)state;
    check_choices("", 1);
    check_choices(",\"prompt\":\"x\",\"n\":2,\"best_of\":5,\"max_tokens\":0", 5);
    check_choices(",\"prompt\":[\"a\",\"b\",\"c\"],\"n\":4", 12);
    check_choices(",\"prompt\":[1,2,3]", 1);
    check_choices(",\"prompt\":[[1],[2,3]]", 2);
    check_choices(",\"prompt\":[]", 1);
    check_refused(ENDPOINT_COMPLETIONS, "{\"model\":\"m\",\"prompt\":5}", "prompt",
                  "prompt: must be a string or a list (line 1, column 23)");
    len = (size_t)snprintf(body, sizeof(body), "{\"model\":\"m\",\"prompt\":[\"\"");
    for (int i = 0; i < ASK_PROMPTS_MAX; i++)
        len += (size_t)snprintf(body + len, sizeof(body) - len, ",\"\"");
    snprintf(body + len, sizeof(body) - len, "]}");
    check_refused(ENDPOINT_COMPLETIONS, body, "prompt",
                  "prompt: must not have more than 2048 elements (line 1, column 23)");
}

/* A body that two readers could read in two ways. */
static void
test_ambiguous(void **state)
{
    (void)state;
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"model\":\"n\"," M "}", "model",
                  "model: must not stand twice (line 1, column 14)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"mod\\u0065l\":\"m\"," M "}", "model",
                  "model: must not stand twice (line 1, column 14)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"Model\":\"n\"," M "}", "model",
                  "model: must be written in lower case (line 1, column 14)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"stream\":null,\"stream\":true," M "}",
                  "stream", "stream: must not stand twice (line 1, column 28)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\",\"MAX_tokens\":1," M "}", "max_tokens",
                  "max_tokens: must be written in lower case (line 1, column 14)");
    /* Others are the upstream's business. */
    struct asked a =
        read_body(ENDPOINT_CHAT, STR("{\"model\":\"m\",\"x\":1,\"x\":2,\"Input\":3," M "}"), NULL);
    assert_true(a.ok);
    end(&a);
}

static void
test_not_json(void **state)
{
    char deep[200];

    (void)state;
    check_refused(ENDPOINT_CHAT, "", "",
                  "The body is not valid JSON: unexpected end (line 1, column 1, byte 0)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\n \"m\" \"x\"}", "",
                  "The body is not valid JSON: expected ',' or '}' (line 2, column 6, byte 15)");
    check_refused(ENDPOINT_CHAT, "[1]", "", "The body must be a JSON object (line 1, column 1)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\"," M "} x", "",
                  "The body is not valid JSON: text after the value (line 1, column 29, byte 28)");
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof(deep) - 1] = '\0';
    struct asked a = read_body(ENDPOINT_CHAT, str_from(deep), NULL);
    assert_false(a.ok);
    assert_string_equal(a.error.code, "invalid_json");
    end(&a);
}

static void
test_input(void **state)
{
    struct asked a;

    (void)state;
    check_refused(ENDPOINT_EMBEDDINGS, "{\"model\":\"m\"}", "input", "input: Field required");
    check_refused(ENDPOINT_EMBEDDINGS, "{\"model\":\"m\",\"input\":{}}", "input",
                  "input: must be a string or a list (line 1, column 22)");
    check_refused(ENDPOINT_RESPONSES, "{\"model\":\"m\"}", "input", "input: Field required");
    check_refused(ENDPOINT_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"background\":true}",
                  "background", "background: is not supported by this gateway (line 1, column 39)");
    check_refused(ENDPOINT_MESSAGES, "{\"model\":\"m\",\"max_tokens\":1,\"messages\":\"x\"}",
                  "messages", "messages: must be a list (line 1, column 40)");
    check_refused(ENDPOINT_CHAT, "{\"model\":\"m\"," M ",\"stream\":1}", "stream",
                  "stream: must be true or false (line 1, column 37)");
    a = read_body(ENDPOINT_RESPONSES,
                  STR("{\"model\":\"m\",\"previous_response_id\":\"r\",\"background\":false,"
                      "\"text\":{},\"stream\":true}"),
                  NULL);
    assert_true(a.ok);
    assert_true(a.ask.stored_input);
    assert_true(a.ask.stream);
    end(&a);
}

/* Every beginning of a body is refused, and none reads past its end. */
static void
test_every_cut(void **state)
{
    struct str body = STR("{\"model\":\"m\\u00e4\"," M ",\"stream\":true,\"n\":1,"
                          "\"stream_options\":{\"a\":[1,{}]},\"max_tokens\":12}");

    (void)state;
    for (size_t len = 0; len < body.len; len++) {
        struct asked a = read_body(ENDPOINT_CHAT, (struct str){body.ptr, len}, NULL);

        assert_false(a.ok);
        end(&a);
    }
    struct asked a = read_body(ENDPOINT_CHAT, body, "x");
    assert_true(a.ok);
    assert_str(a.ask.model, "m\xc3\xa4");
    end(&a);
}

static void
test_arena_full(void **state)
{
    struct arena arena;
    struct ask ask;
    struct proto_error error;
    struct ask_pieces pieces;

    (void)state;
    arena_init(&arena, 0);
    assert_false(
        ask_read(ENDPOINT_CHAT, STR("{\"model\":\"\\u0061\"," M "}"), &arena, &ask, &error));
    assert_int_equal(error.kind, ERROR_UNAVAILABLE);
    assert_true(ask_read(ENDPOINT_CHAT, STR("{\"model\":\"a\"," M "}"), &arena, &ask, &error));
    assert_true(ask_splices(&ask, STR("a"), &arena, &pieces));
    assert_int_equal(pieces.count, 1);
    assert_false(ask_splices(&ask, STR("b"), &arena, &pieces));
    arena_end(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_null_is_absent),
        cmocka_unit_test(test_model_name), cmocka_unit_test(test_include_usage),
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_choices),
        cmocka_unit_test(test_ambiguous),  cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_input),      cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_arena_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
