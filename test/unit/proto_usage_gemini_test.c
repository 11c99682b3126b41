#include "base/str.h"
#include "proto/usage.h"
#include "test/unit/testing.h"

static struct usage
used(const char *text)
{
    struct js_value value;
    struct js_error fault;

    assert_true(js_check(str_from(text), &value, &fault));
    return usage_from_gemini(value);
}

static void
check(const char *text, const uint32_t want[4])
{
    struct usage got = used(text);

    if (got.state != USAGE_PRESENT)
        fail_msg("%s: %s", usage_state_name[got.state], text);
    assert_int_equal(got.input, want[0]);
    assert_int_equal(got.cache_read, want[1]);
    assert_int_equal(got.output, want[2]);
    assert_int_equal(got.reasoning, want[3]);
    assert_int_equal(got.cache_write_5m + got.cache_write_1h, 0);
}
#define CHECK(text, ...) check((text), (const uint32_t[4]){__VA_ARGS__})

static void
test_counts(void **state)
{
    (void)state;
    CHECK("{\"promptTokenCount\":120,\"cachedContentTokenCount\":40,\"candidatesTokenCount\":21,"
          "\"thoughtsTokenCount\":12,\"totalTokenCount\":153}",
          80, 40, 33, 12);
    /* The first chunks of a stream know no candidates yet. */
    CHECK("{\"promptTokenCount\":7,\"totalTokenCount\":7,\"candidatesTokenCount\":null}", 7, 0, 0,
          0);
    CHECK("{\"promptTokenCount\":7,\"toolUsePromptTokenCount\":30,\"candidatesTokenCount\":2,"
          "\"totalTokenCount\":39}",
          37, 0, 2, 0);
    CHECK("{\"promptTokenCount\":5}", 5, 0, 0, 0);
    CHECK("{\"promptTokenCount\":40,\"cachedContentTokenCount\":40}", 0, 40, 0, 0);
    CHECK("{\"promptTokenCount\":500000000,\"toolUsePromptTokenCount\":500000000,"
          "\"candidatesTokenCount\":500000000,\"thoughtsTokenCount\":500000000}",
          1000000000, 0, 1000000000, 500000000);
    /* A total that is off by no more than an eighth and 64. */
    CHECK("{\"promptTokenCount\":800,\"totalTokenCount\":964}", 800, 0, 0, 0);
    CHECK("{\"promptTokenCount\":800,\"totalTokenCount\":636}", 800, 0, 0, 0);
    assert_int_equal(used("null").state, USAGE_ABSENT);
    assert_int_equal(usage_from_gemini((struct js_value){.type = JS_NONE}).state, USAGE_ABSENT);
    assert_int_equal(used("{\"promptTokenCount\":0,\"totalTokenCount\":0}").state, USAGE_ZERO);
}

static void
test_modalities(void **state)
{
    struct usage u =
        used("{\"promptTokenCount\":100,\"cachedContentTokenCount\":20,\"candidatesTokenCount\":50,"
             "\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":30},"
             "{\"modality\":\"AUDIO\",\"tokenCount\":25},{\"modality\":\"IMAGE\","
             "\"tokenCount\":30},"
             "{\"modality\":\"IMAGE\",\"tokenCount\":15},{\"modality\":\"DOCUMENT\"}],"
             "\"cacheTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":20}],"
             "\"candidatesTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":11},"
             "{\"modality\":\"IMAGE\",\"tokenCount\":39}]}");

    (void)state;
    assert_int_equal(u.state, USAGE_PRESENT);
    assert_int_equal(u.input, 80);
    assert_int_equal(u.audio_input, 5);
    assert_int_equal(u.image_input, 45);
    assert_int_equal(u.audio_output, 11);
    assert_int_equal(u.image_output, 39);
    /* Of what was cached nobody says what it was: no more than what is left. */
    u = used("{\"promptTokenCount\":100,\"cachedContentTokenCount\":90,"
             "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":7},"
             "{\"modality\":\"IMAGE\",\"tokenCount\":50}]}");
    assert_int_equal(u.audio_input, 7);
    assert_int_equal(u.image_input, 3);
}

static void
test_bad(void **state)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "\"7\"",
        "7",
        "{\"candidatesTokenCount\":7}",
        "{\"promptTokenCount\":null}",
        "{\"promptTokenCount\":\"7\"}",
        "{\"promptTokenCount\":-7}",
        "{\"promptTokenCount\":7.5}",
        "{\"promptTokenCount\":1e3}",
        "{\"promptTokenCount\":1000000001}",
        "{\"promptTokenCount\":99999999999}",
        "{\"promptTokenCount\":7,\"cachedContentTokenCount\":8}",
        "{\"promptTokenCount\":7,\"candidatesTokenCount\":-1}",
        "{\"promptTokenCount\":7,\"thoughtsTokenCount\":true}",
        "{\"promptTokenCount\":7,\"toolUsePromptTokenCount\":{}}",
        "{\"promptTokenCount\":1000000000,\"toolUsePromptTokenCount\":1}",
        "{\"promptTokenCount\":7,\"candidatesTokenCount\":1000000000,\"thoughtsTokenCount\":1}",
        "{\"promptTokenCount\":800,\"totalTokenCount\":965}",
        "{\"promptTokenCount\":800,\"totalTokenCount\":635}",
        "{\"promptTokenCount\":7,\"totalTokenCount\":-7}",
        "{\"promptTokenCount\":7,\"promptTokensDetails\":{}}",
        "{\"promptTokenCount\":7,\"promptTokensDetails\":[{\"modality\":\"AUDIO\","
        "\"tokenCount\":8}]}",
        "{\"promptTokenCount\":7,\"promptTokensDetails\":[{\"modality\":\"TEXT\","
        "\"tokenCount\":-1}]}",
        "{\"promptTokenCount\":7,\"cacheTokensDetails\":[{\"modality\":\"IMAGE\","
        "\"tokenCount\":\"1\"}]}",
        "{\"promptTokenCount\":7,\"promptTokensDetails\":[{\"modality\":\"IMAGE\","
        "\"tokenCount\":1000000000},{\"modality\":\"IMAGE\",\"tokenCount\":1}]}",
        "{\"promptTokenCount\":7,\"candidatesTokenCount\":3,\"thoughtsTokenCount\":2,"
        "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":4}]}",
        "{\"promptTokenCount\":7,\"candidatesTokensDetails\":7}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct usage got = used(rows[i]);

        if (got.state != USAGE_BAD || got.input != 0 || got.output != 0)
            fail_msg("%s: %s", usage_state_name[got.state], rows[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_modalities),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
