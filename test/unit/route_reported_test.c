#include "route/reported.h"

#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

static bool
is(const char *reported, const char *asked)
{
    struct page one = page_make(reported, strlen(reported)), two = page_make(asked, strlen(asked));
    bool answer = reported_is(one.text, two.text);

    page_free(&one);
    page_free(&two);
    return answer;
}

static void
test_same(void **state)
{
    static const char *const rows[][2] = {
        /* reported, asked */
        {"gpt-4o", "gpt-4o"},
        {"GPT-4o", "gpt-4o"},
        {"gpt-4o-2024-08-06", "gpt-4o"},
        {"gpt-4-0613", "gpt-4"},
        {"gpt-4o", "gpt-4o-2024-08-06"},
        {"gpt-3.5-turbo-0125", "gpt-3.5-turbo"},
        {"o3-2025-04-16", "o3"},
        {"claude-sonnet-4-5-20250929", "claude-sonnet-4-5"},
        {"claude-sonnet-4-5-20250929", "claude-sonnet-4.5"},
        {"claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest"},
        {"claude-3-5-sonnet@20241022", "claude-3-5-sonnet"},
        {"anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"},
        {"anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet"},
        {"models/gemini-2.5-pro", "gemini-2.5-pro"},
        {"gemini-2.5-pro", "google/gemini-2.5-pro"},
        {"gemini-2.0-flash-001", "gemini-2.0-flash"},
        {"gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"},
        {"accounts/fireworks/models/llama-v3p1-70b-instruct", "llama-v3p1-70b-instruct"},
        {"mistral-large-2411", "mistral-large-latest"},
        {"kimi-k2-0905-preview", "kimi-k2"},
        {"grok-4-0709", "grok-4"},
        {"llama3:latest", "llama3"},
        {"deepseek/deepseek-r1:free", "deepseek-r1"},
        {"qwen_plus", "qwen-plus"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!is(rows[i][0], rows[i][1]))
            fail_msg("'%s' is not '%s'", rows[i][0], rows[i][1]);
}

static void
test_other(void **state)
{
    static const char *const rows[][2] = {
        {"gpt-4o-mini", "gpt-4o"},
        {"gpt-4o-mini-2024-07-18", "gpt-4o"},
        {"gpt-4o", "gpt-4o-mini"},
        {"gpt-4", "gpt-4o"},
        {"gpt-4-turbo-2024-04-09", "gpt-4"},
        {"gpt-4-32k", "gpt-4"},
        {"o3-mini", "o3"},
        {"gpt-4o-2024-05-13", "gpt-4o-2024-08-06"},
        {"claude-opus-4-1-20250805", "claude-opus-4"},
        {"claude-opus-4-1", "claude-opus-4"},
        {"claude-3-5-haiku-20241022", "claude-3-5-sonnet-latest"},
        {"claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20240620"},
        {"gemini-2.0-flash-lite", "gemini-2.0-flash"},
        {"gemini-2.0-flash-lite-001", "gemini-2.0-flash"},
        {"grok-4-1-fast", "grok-4"},
        {"llama-3-70b", "llama-3"},
        {"openai/gpt-4o-mini", "openai/gpt-4o"},
        {"", "gpt-4o"},
        {"-2024-08-06", "gpt-4o"},
        {"gpt-4o-", "gpt-4o"},
        {"gpt-4o--001", "gpt-4o"},
        {"openai/", "gpt-4o"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (is(rows[i][0], rows[i][1]))
            fail_msg("'%s' is taken for '%s'", rows[i][0], rows[i][1]);
}

static void
test_of_a_model(void **state)
{
    static const struct str aliases[] = {{"claude-opus-4-0", 15}, {"opus", 4}};
    const struct conf_model model = {.name = STR("claude-opus-4"), .aliases = {aliases, 2}};

    (void)state;
    assert_true(reported_is_model(STR("claude-opus-4-20250514"), STR("claude-opus-4-0"), &model));
    assert_true(reported_is_model(STR("opus"), STR("x-17"), &model));
    assert_true(reported_is_model(STR("X-17"), STR("x-17"), &model));
    assert_false(
        reported_is_model(STR("claude-opus-4-1-20250805"), STR("claude-opus-4-0"), &model));
    assert_false(reported_is_model(STR("haiku"), STR("opus"), &model));
}

/* A name is itself, and with a date behind it; one letter more is another. */
static void
test_random_names(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 20000; i++) {
        static const char letters[] = "abcxyz0123456789-.";
        char name[40], dated[64];
        size_t len = 1 + rng_next(&seed) % 20;

        for (size_t k = 0; k < len; k++)
            name[k] = letters[rng_next(&seed) % (sizeof(letters) - 1)];
        name[len] = '\0';
        snprintf(dated, sizeof(dated), "Maker/%s-2026-01-31", name);
        assert_true(is(name, name) && is(dated, name) && is(name, dated));
        snprintf(dated, sizeof(dated), "%sq", name);
        assert_false(is(dated, name));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_other),
        cmocka_unit_test(test_of_a_model),
        cmocka_unit_test(test_random_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
