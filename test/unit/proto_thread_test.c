/* Which requests belong to one conversation, by all that can say so. */
#include "test/unit/testing.h"

#include "base/str.h"
#include "proto/thread.h"

static uint64_t
hash_with(enum proto_endpoint endpoint, const char *body, const char *session, uint64_t owner)
{
    struct arena arena;
    struct ask ask;
    struct proto_error error;
    uint64_t hash;

    arena_init(&arena, 1u << 20);
    if (!ask_read(endpoint, str_from(body), &arena, &ask, &error))
        fail_msg("%s", body);
    hash = thread_hash(&ask, session != NULL ? str_from(session) : STR_NONE, owner);
    arena_end(&arena);
    return hash;
}

static uint64_t
chat(const char *body)
{
    return hash_with(ENDPOINT_CHAT, body, NULL, 1);
}

static void
test_turns_of_chat(void **state)
{
    uint64_t first = chat("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
                          "{\"role\":\"user\",\"content\":\"hello\"}]}");

    (void)state;
    assert_true(first != 0);
    assert_true(first == chat("{\"stream\":true,\"messages\":[{\"role\":\"system\",\"content\":"
                              "\"be brief\"},{\"role\":\"user\",\"content\":\"hello\"},{\"role\":"
                              "\"assistant\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":"
                              "\"more\"}],\"model\":\"m\"}"));
    assert_true(first != chat("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
                              "\"be brief\"},{\"role\":\"user\",\"content\":\"hallo\"}]}"));
    assert_true(first != chat("{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
                              "\"be long\"},{\"role\":\"user\",\"content\":\"hello\"}]}"));
    assert_true(first != hash_with(ENDPOINT_CHAT,
                                   "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
                                   "\"be brief\"},{\"role\":\"user\",\"content\":\"hello\"}]}",
                                   NULL, 2));
}

/* A mark for the cache that moves to the last message leaves the conversation the same. */
static void
test_marks_move(void **state)
{
    static const char marked[] =
        "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hello\","
        "\"cache_control\":{\"type\":\"ephemeral\"}}]}]}";
    static const char moved[] =
        "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]},"
        "{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"b\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}";

    (void)state;
    assert_true(hash_with(ENDPOINT_MESSAGES, marked, NULL, 1) ==
                hash_with(ENDPOINT_MESSAGES, moved, NULL, 1));
}

static void
test_names_win(void **state)
{
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"prompt_cache_key\":\"k\",\"messages\":[{\"role\":\"user\","
        "\"content\":\"one\"}]}",
        "{\"model\":\"m\",\"prompt_cache_key\":\"k\",\"messages\":[{\"role\":\"user\","
        "\"content\":\"two\"}]}",
    };

    (void)state;
    assert_true(chat(bodies[0]) == chat(bodies[1]));
    assert_true(hash_with(ENDPOINT_CHAT, bodies[0], "s1", 1) ==
                hash_with(ENDPOINT_CHAT, bodies[1], "s1", 1));
    assert_true(hash_with(ENDPOINT_CHAT, bodies[0], "s1", 1) !=
                hash_with(ENDPOINT_CHAT, bodies[0], "s2", 1));
    assert_true(hash_with(ENDPOINT_CHAT, bodies[0], "s1", 1) != chat(bodies[0]));
    assert_true(hash_with(ENDPOINT_MESSAGES,
                          "{\"model\":\"m\",\"max_tokens\":1,\"metadata\":{\"user_id\":\"u\"},"
                          "\"messages\":[{\"role\":\"user\",\"content\":\"1\"}]}", NULL, 1) ==
                hash_with(ENDPOINT_MESSAGES,
                          "{\"model\":\"m\",\"max_tokens\":1,\"metadata\":{\"user_id\":\"u\"},"
                          "\"messages\":[{\"role\":\"user\",\"content\":\"2\"}]}", NULL, 1));
    /* OpenAI's metadata are the caller's own words, the same for all conversations. */
    assert_true(chat("{\"model\":\"m\",\"metadata\":{\"user_id\":\"u\"},\"messages\":[{\"role\":"
                     "\"user\",\"content\":\"1\"}]}") !=
                chat("{\"model\":\"m\",\"metadata\":{\"user_id\":\"u\"},\"messages\":[{\"role\":"
                     "\"user\",\"content\":\"2\"}]}"));
}

static void
test_responses(void **state)
{
    uint64_t text = hash_with(ENDPOINT_RESPONSES,
                              "{\"model\":\"m\",\"instructions\":\"i\",\"input\":\"hello\"}", NULL, 1);

    (void)state;
    assert_true(text != 0);
    assert_true(text != hash_with(ENDPOINT_RESPONSES,
                                  "{\"model\":\"m\",\"instructions\":\"j\",\"input\":\"hello\"}",
                                  NULL, 1));
    assert_true(
        hash_with(ENDPOINT_RESPONSES,
                  "{\"model\":\"m\",\"input\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":"
                  "\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"q\"}]}]}", NULL, 1) ==
        hash_with(ENDPOINT_RESPONSES,
                  "{\"model\":\"m\",\"input\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":"
                  "\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"q\"}]},{\"type\":"
                  "\"function_call\",\"name\":\"f\"}]}", NULL, 1));
}

static void
test_none(void **state)
{
    (void)state;
    assert_true(hash_with(ENDPOINT_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\"}", "s", 1) == 0);
    assert_true(hash_with(ENDPOINT_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"x\"}", NULL, 1) == 0);
    assert_true(chat("{\"model\":\"m\",\"messages\":[]}") == 0);
    assert_true(chat("{\"model\":\"m\",\"messages\":[1,null,{}]}") == 0);
    assert_true(thread_is_session_header(STR("session-id")));
    assert_true(thread_is_session_header(STR("X-Claude-Code-Session-Id")));
    assert_false(thread_is_session_header(STR("x-session")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_of_chat), cmocka_unit_test(test_marks_move),
        cmocka_unit_test(test_names_win),     cmocka_unit_test(test_responses),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
