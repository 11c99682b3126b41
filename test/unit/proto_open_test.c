/* What a request points to beyond its own bytes. */
#include "base/str.h"
#include "proto/ask.h"
#include "test/unit/testing.h"

#define L ASK_OPEN_LINKS
#define H ASK_OPEN_TOOLS

static unsigned
open_of(enum proto_endpoint endpoint, const char *body)
{
    struct page page = page_make(body, strlen(body));
    struct arena arena;
    struct proto_error error;
    struct ask ask;
    unsigned open;

    arena_init(&arena, 1 << 20);
    const struct proto_what gemini = {
        .endpoint = endpoint, .id = STR("m"), .action = STR("generateContent")};
    bool read = endpoint == ENDPOINT_GENERATE
                    ? ask_read_gemini(&gemini, STR_NONE, page.text, &arena, &ask, &error)
                    : ask_read(endpoint, page.text, &arena, &ask, &error);
    if (!read)
        fail_msg("%s: %s", body, error.message);
    open = ask_open(&ask);
    arena_end(&arena);
    page_free(&page);
    return open;
}

#define CHAT(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define PART(part) "{\"model\":\"m\",\"messages\":[{\"content\":\"x\"},{\"content\":[{}," part "]}]}"
#define INPUT(rest) "{\"model\":\"m\",\"input\":" rest "}"
#define MSG(rest)                                                                                  \
    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define GEMINI(part, rest) "{\"contents\":[{\"parts\":[" part "]}]" rest "}"
#define MSG_PART(part)                                                                             \
    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]}"

static void
test_open(void **state)
{
    static const struct {
        enum proto_endpoint endpoint;
        const char *body;
        unsigned open;
    } cases[] = {
        {ENDPOINT_GENERATE, GEMINI("{\"text\":\"x\"}", ""), 0},
        {ENDPOINT_GENERATE, GEMINI("{\"inlineData\":{\"data\":\"AA\"}}", ""), 0},
        {ENDPOINT_GENERATE, GEMINI("{\"fileData\":{\"fileUri\":\"x\"}}", ""), L},
        {ENDPOINT_GENERATE, GEMINI("{}", ",\"tools\":[{\"functionDeclarations\":[]}]"), 0},
        {ENDPOINT_GENERATE, GEMINI("{}", ",\"tools\":[{\"googleSearch\":{}}]"), H},
        {ENDPOINT_GENERATE, GEMINI("{}", ",\"cachedContent\":\"c\""), L},
        {ENDPOINT_CHAT, CHAT(""), 0},
        {ENDPOINT_CHAT, " " CHAT(",\"url\":\"https://x\"") "\n", 0},
        {ENDPOINT_CHAT, CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{}},{}, 7]"), 0},
        {ENDPOINT_CHAT, CHAT(",\"tools\":{\"type\":\"web_search\"}"), 0},
        {ENDPOINT_CHAT, CHAT(",\"web_search_options\":{}"), H},
        {ENDPOINT_CHAT, CHAT(",\"web_search_options\":null"), 0},
        {ENDPOINT_CHAT, PART("{\"type\":\"text\",\"text\":\"https://x\"}"), 0},
        {ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\"}}"), L},
        {ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;,x\"}}"), 0},
        {ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"DATA:;,x\"}}"), 0},
        {ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":\"https://x/y\"}"), L},
        {ENDPOINT_CHAT, PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"), L},
        {ENDPOINT_CHAT, PART("{\"type\":\"file\",\"file\":{\"file_data\":\"f\"}}"), 0},
        {ENDPOINT_RESPONSES, INPUT("\"https://x\""), 0},
        {ENDPOINT_RESPONSES, INPUT("[{\"content\":[{\"image_url\":\"https://x\"}]}]"), L},
        {ENDPOINT_RESPONSES, INPUT("[{\"content\":[{\"image_url\":\"data:x\"}]}]"), 0},
        {ENDPOINT_RESPONSES, INPUT("[{\"content\":[{\"file_url\":\"https://x\"}]}]"), L},
        {ENDPOINT_RESPONSES, INPUT("[{\"content\":[{\"file_id\":\"f\"}]}]"), L},
        {ENDPOINT_RESPONSES, INPUT("[{\"content\":[{\"file_id\":null}]}]"), 0},
        {ENDPOINT_RESPONSES, INPUT("[{\"type\":\"item_reference\",\"id\":\"i\"}]"), L},
        {ENDPOINT_RESPONSES, INPUT("[{\"output\":[{\"file_id\":\"f\"}]}]"), L},
        {ENDPOINT_RESPONSES, INPUT("\"x\",\"conversation\":\"c\""), L},
        {ENDPOINT_RESPONSES, INPUT("\"x\",\"tools\":[{\"type\":\"custom\"}]"), 0},
        {ENDPOINT_RESPONSES,
         INPUT("\"x\",\"tools\":[{\"type\":\"function\"},{\"type\":\"file_search\"}]"), H},
        {ENDPOINT_MESSAGES, MSG(""), 0},
        {ENDPOINT_MESSAGES, MSG(",\"tools\":[{\"name\":\"web_search\"}]"), 0},
        {ENDPOINT_MESSAGES, MSG(",\"tools\":[{\"type\":\"web_search_20250305\"}]"), H},
        {ENDPOINT_MESSAGES, MSG(",\"mcp_servers\":[{\"url\":\"https://x\"}]"), H},
        {ENDPOINT_MESSAGES, MSG(",\"tools\":[{\"ty\\u0070e\":\"web_fetch\"}]"), H},
        {ENDPOINT_MESSAGES, MSG_PART("{\"source\":{\"type\":\"base64\",\"data\":\"x\"}}"), 0},
        {ENDPOINT_MESSAGES, MSG_PART("{\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}"), L},
        {ENDPOINT_MESSAGES, MSG_PART("{\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}"), L},
        {ENDPOINT_MESSAGES,
         MSG_PART("{\"content\":[1,{\"source\":{\"url\":\"https://x\"}}]}"), L},
        {ENDPOINT_MESSAGES, MSG_PART("\"https://x\",null,[{\"url\":\"https://x\"}]"), 0},
        {ENDPOINT_EMBEDDINGS, INPUT("[\"https://x\"]"), 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (open_of(cases[i].endpoint, cases[i].body) != cases[i].open)
            fail_msg("%s: %u", cases[i].body, open_of(cases[i].endpoint, cases[i].body));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_open)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
