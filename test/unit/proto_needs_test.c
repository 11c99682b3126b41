/* What a request needs of the model that serves it. */
#include "base/str.h"
#include "proto/ask.h"
#include "test/unit/testing.h"

#define T (1u << ASK_NEED_TOOLS)
#define V (1u << ASK_NEED_VISION)
#define K (1u << ASK_NEED_THINKING)
#define J (1u << ASK_NEED_JSON)
#define A (1u << ASK_NEED_AUDIO)
#define E (1u << ASK_NEED_EMBEDDINGS)

static struct ask_needs
needs_of(enum proto_endpoint endpoint, const char *body)
{
    struct page page = page_make(body, strlen(body));
    struct ask_needs needs;
    struct arena arena;
    struct proto_error error;
    struct ask ask;

    arena_init(&arena, 1 << 20);
    if (!ask_read(endpoint, page.text, &arena, &ask, &error))
        fail_msg("%s: %s", body, error.message);
    ask_needs(&ask, &needs);
    arena_end(&arena);
    page_free(&page);
    return needs;
}

#define CHAT(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define PART(part)                                                                                 \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"                        \
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"y\"}," part "]}]}"
#define INPUT(rest) "{\"model\":\"m\",\"input\":" rest "}"
#define MSG(rest)                                                                                  \
    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define MSG_PART(part)                                                                             \
    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]}"

static void
test_found(void **state)
{
    static const struct {
        enum proto_endpoint endpoint;
        const char *body;
        unsigned needs;
        size_t media;
    } cases[] = {
        {ENDPOINT_CHAT, CHAT(""), 0, 0},
        {ENDPOINT_CHAT, "  \n" CHAT(" ") "\t ", 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"tools\":[]"), 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"tools\":{}"), 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"tools\":[{\"type\":\"function\"}]"), T, 0},
        {ENDPOINT_CHAT, CHAT(",\"functions\":[{}]"), T, 0},
        {ENDPOINT_CHAT, CHAT(",\"t\\u006fols\":[1]"), T, 0},
        {ENDPOINT_CHAT, CHAT(",\"response_format\":{\"type\":\"text\"}"), 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"response_format\":{\"type\":\"json_object\"}"), J, 0},
        {ENDPOINT_CHAT, CHAT(",\"response_format\":{\"type\":\"json_schema\"},\"tools\":[1]"), J | T,
         0},
        {ENDPOINT_CHAT, CHAT(",\"response_format\":\"json\""), 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"modalities\":[\"text\",\"audio\"]"), A, 0},
        {ENDPOINT_CHAT, CHAT(",\"reasoning_effort\":\"high\""), K, 0},
        {ENDPOINT_CHAT, CHAT(",\"reasoning_effort\":\"none\""), 0, 0},
        {ENDPOINT_CHAT, CHAT(",\"reasoning_effort\":null"), 0, 0},
        {ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}}"), V, 1},
        {ENDPOINT_CHAT, PART("{\"type\":\"input_audio\"},{\"type\":\"image_url\"}"), V | A, 2},
        {ENDPOINT_CHAT, PART("{\"type\":\"text\",\"text\":\"image_url\"}"), 0, 0},
        {ENDPOINT_CHAT, PART("7,null,\"image\",[]"), 0, 0},
        {ENDPOINT_RESPONSES, INPUT("\"hi\""), 0, 0},
        {ENDPOINT_RESPONSES, INPUT("[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]"), V,
         1},
        {ENDPOINT_RESPONSES, INPUT("[{\"type\":\"input_image\"}]"), V, 1},
        {ENDPOINT_RESPONSES, INPUT("\"x\",\"text\":{\"format\":{\"type\":\"json_schema\"}}"), J, 0},
        {ENDPOINT_RESPONSES, INPUT("\"x\",\"reasoning\":{\"effort\":\"low\"}"), K, 0},
        {ENDPOINT_RESPONSES, INPUT("\"x\",\"tools\":[{\"type\":\"web_search\"}]"), T, 0},
        {ENDPOINT_MESSAGES, MSG(""), 0, 0},
        {ENDPOINT_MESSAGES, MSG(",\"tools\":[{\"name\":\"f\"}]"), T, 0},
        {ENDPOINT_MESSAGES, MSG(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5}"), K, 0},
        {ENDPOINT_MESSAGES, MSG(",\"thinking\":{\"type\":\"disabled\"}"), 0, 0},
        {ENDPOINT_MESSAGES, MSG(",\"output_format\":{\"type\":\"json_schema\"}"), J, 0},
        {ENDPOINT_MESSAGES, MSG_PART("{\"type\":\"image\",\"source\":{}}"), V, 1},
        {ENDPOINT_MESSAGES,
         MSG_PART("{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\"},{\"type\":\"image\"}]}"),
         V, 1},
        {ENDPOINT_MESSAGES, MSG_PART("{\"type\":\"tool_result\",\"content\":\"image\"}"), 0, 0},
        {ENDPOINT_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\",\"tools\":[1]}", E, 0},
        {ENDPOINT_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"x\"}", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ask_needs needs = needs_of(cases[i].endpoint, cases[i].body);

        if (needs.needs != cases[i].needs || needs.media_count != cases[i].media)
            fail_msg("%s: %#x, %zu", cases[i].body, needs.needs, needs.media_count);
        assert_true((needs.media_bytes > 0) == (cases[i].media > 0));
    }
}

static void
test_media_bytes(void **state)
{
    static const char part[] = "{\"type\":\"image\",\"source\":{\"data\":\"AAAABBBBCCCC\"}}";
    char body[512];
    struct ask_needs needs;

    (void)state;
    snprintf(body, sizeof(body), MSG_PART("{\"type\":\"text\",\"text\":\"t\"},%s,%s"), part, part);
    needs = needs_of(ENDPOINT_MESSAGES, body);
    assert_int_equal(needs.media_count, 2);
    assert_int_equal(needs.media_bytes, 2 * (sizeof(part) - 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_media_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
