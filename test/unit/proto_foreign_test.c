/* What other providers have signed, taken out of bodies that pass; all other bytes stay. */
#include "base/js.h"
#include "base/str.h"
#include "proto/foreign.h"
#include "test/unit/testing.h"

/* want NULL: there is nothing to take out. */
static void
check(enum proto_endpoint endpoint, const char *body, const char *want)
{
    struct page page = page_make(body, strlen(body));
    struct js_value document;
    struct js_error fault;
    struct buf out;

    buf_init(&out, 1 << 16);
    assert_int_equal(foreign_strip(endpoint, page.text, &out), want != NULL);
    assert_str(buf_str(&out), want != NULL ? want : "");
    if (want != NULL) {
        assert_true(foreign_suspected(endpoint, page.text));
        assert_true(js_check(buf_str(&out), &document, &fault));
    }
    buf_free(&out);
    page_free(&page);
}

#define THOUGHT(signature) "{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"" signature "\"}"
#define HIDDEN(data) "{\"type\":\"redacted_thinking\",\"data\":\"" data "\"}"
#define OTHER "tp1.g.0123456789abcdef.AAAA"
#define CALL "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{}}"
#define USER "{\"role\":\"user\",\"content\":\"tp1.\"}"
#define RESULT "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\"}]}"
#define ASSISTANT(blocks) "{\"content\": [" blocks "],\"role\":\"assistant\"}"

static void
test_messages(void **state)
{
    (void)state;
    check(ENDPOINT_MESSAGES,
          "{\"messages\":[{\"content\":[],\"content\":[" THOUGHT(OTHER) ",1]}]}",
          "{\"messages\":[{\"content\":[],\"content\":[1]}]}");
    check(ENDPOINT_MESSAGES, "{\"messages\":[" USER "]}", NULL);
    check(ENDPOINT_MESSAGES, "{\"messages\":[" USER "," ASSISTANT(THOUGHT("own") "," CALL) "]}", NULL);
    check(ENDPOINT_MESSAGES, "{\"messages\":\"" OTHER "\"}", NULL);
    check(ENDPOINT_MESSAGES, "[\"" OTHER "\"]", NULL);
    /* First, last, between, in a row, with blanks around the commas. */
    check(ENDPOINT_MESSAGES,
          "{\"x\":1e400, \"messages\":[" USER " , " ASSISTANT(
              THOUGHT(OTHER) " , " HIDDEN(OTHER) "," CALL " ,\n" HIDDEN(OTHER) "," THOUGHT("own")
              "," HIDDEN(OTHER)) "," RESULT "] ,\"y\":2}",
          "{\"x\":1e400, \"messages\":[" USER " , " ASSISTANT(CALL "," THOUGHT("own"))
          "," RESULT "] ,\"y\":2}");
    /* A message of nothing else goes, wherever it is. */
    check(ENDPOINT_MESSAGES,
          "{\"messages\":[" ASSISTANT(HIDDEN(OTHER)) "," USER "," ASSISTANT(HIDDEN(OTHER)) ", " USER
          "," ASSISTANT(THOUGHT(OTHER)) "]}",
          "{\"messages\":[" USER "," USER "]}");
}

static void
test_thinking_goes_off(void **state)
{
#define ON "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"
#define OFF "\"thinking\":{\"type\":\"disabled\"}"
#define ADAPTIVE "\"thinking\":{\"type\":\"adaptive\"}"
    (void)state;
    /* Only within a loop of tools whose thought is gone, and where it was said how long to think. */
    check(ENDPOINT_MESSAGES,
          "{" ON ",\"messages\":[" USER "," ASSISTANT(THOUGHT(OTHER) "," CALL) "," RESULT "]}",
          "{" OFF ",\"messages\":[" USER "," ASSISTANT(CALL) "," RESULT "]}");
    check(ENDPOINT_MESSAGES,
          "{\"messages\":[" USER "," ASSISTANT(THOUGHT(OTHER) "," CALL) "," RESULT "]," ON "}",
          "{\"messages\":[" USER "," ASSISTANT(CALL) "," RESULT "]," OFF "}");
    check(ENDPOINT_MESSAGES,
          "{" ADAPTIVE ",\"messages\":[" USER "," ASSISTANT(THOUGHT(OTHER) "," CALL) "," RESULT "]}",
          "{" ADAPTIVE ",\"messages\":[" USER "," ASSISTANT(CALL) "," RESULT "]}");
    check(ENDPOINT_MESSAGES,
          "{" ON ",\"messages\":[" USER "," ASSISTANT(THOUGHT(OTHER) "," CALL) "," RESULT ","
              ASSISTANT(THOUGHT("own") "," CALL) "," RESULT "]}",
          "{" ON ",\"messages\":[" USER "," ASSISTANT(CALL) "," RESULT ","
              ASSISTANT(THOUGHT("own") "," CALL) "," RESULT "]}");
    check(ENDPOINT_MESSAGES,
          "{" ON ",\"messages\":[" USER "," ASSISTANT(THOUGHT(OTHER) "," CALL) "," RESULT ","
              ASSISTANT("{\"type\":\"text\",\"text\":\"A\"}") "," USER "]}",
          "{" ON ",\"messages\":[" USER "," ASSISTANT(CALL) "," RESULT ","
              ASSISTANT("{\"type\":\"text\",\"text\":\"A\"}") "," USER "]}");
}

static void
test_responses(void **state)
{
#define ITEM(signature) "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"" signature "\"}"
    (void)state;
    check(ENDPOINT_RESPONSES, "{\"input\":\"" OTHER "\"}", NULL);
    check(ENDPOINT_RESPONSES, "{\"input\":[" ITEM("own") "]}", NULL);
    check(ENDPOINT_RESPONSES,
          "{\"input\":[" ITEM(OTHER) ",{\"role\":\"user\",\"content\":\"a\"}," ITEM(OTHER) ","
              ITEM("own") "],\"model\":\"m\"}",
          "{\"input\":[{\"role\":\"user\",\"content\":\"a\"}," ITEM("own") "],\"model\":\"m\"}");
    /* Said twice: the provider reads the last one. */
    check(ENDPOINT_RESPONSES, "{\"input\":[1],\"input\":[" ITEM(OTHER) ",2]}",
          "{\"input\":[1],\"input\":[2]}");
}

static void
test_gemini(void **state)
{
#define PART(signature) "{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":\"" signature "\"}"
    (void)state;
    check(ENDPOINT_GENERATE, "{\"contents\":[{\"parts\":[" PART("own") "]}]}", NULL);
    check(ENDPOINT_GENERATE, "{\"contents\":[1,{\"parts\":{}},{\"parts\":[2]}]}", NULL);
    check(ENDPOINT_GENERATE,
          "{\"contents\":[{\"parts\":[" PART(OTHER) "," PART("own") "]},{\"parts\":["
          "{\"thought_signature\":\"r." OTHER "\",\"text\":\"\"}]}],\"x\":0}",
          "{\"contents\":[{\"parts\":[" PART("skip_thought_signature_validator") "," PART("own") "]},"
          "{\"parts\":[{\"thought_signature\":\"skip_thought_signature_validator\",\"text\":\"\"}]}],"
          "\"x\":0}");
}

static void
test_gemini_twice(void **state)
{
    (void)state;
    check(ENDPOINT_GENERATE,
          "{\"contents\":[],\"contents\":[{\"parts\":[],\"parts\":[" PART(OTHER) "]}]}",
          "{\"contents\":[],\"contents\":[{\"parts\":[],\"parts\":["
          PART("skip_thought_signature_validator") "]}]}");
}

static void
test_no_room(void **state)
{
    const struct str body = STR("{\"input\":[1," ITEM(OTHER) ",2]}");
    struct buf out;

    (void)state;
    buf_init(&out, 8);
    assert_false(foreign_strip(ENDPOINT_RESPONSES, body, &out));
    assert_true(out.failed);
    buf_free(&out);
    assert_false(foreign_suspected(ENDPOINT_CHAT, body));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_thinking_goes_off),
        cmocka_unit_test(test_responses), cmocka_unit_test(test_gemini),
        cmocka_unit_test(test_gemini_twice), cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
