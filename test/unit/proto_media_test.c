/* Pictures, sound, moderation, ranking: what is read of requests, answers and streams. */
#include "base/buf.h"
#include "base/str.h"
#include "proto/answer.h"
#include "proto/ask.h"
#include "proto/meter.h"
#include "test/unit/testing.h"

struct asked {
    struct page page;
    struct arena arena;
    struct ask ask;
    struct proto_error error;
    bool ok;
};

static struct asked
read_json(enum proto_endpoint endpoint, const char *body)
{
    struct asked a = {.page = page_make(body, strlen(body))};

    arena_init(&a.arena, 1 << 16);
    a.ok = ask_read(endpoint, a.page.text, &a.arena, &a.ask, &a.error);
    return a;
}

static struct asked
read_form(enum proto_endpoint endpoint, struct str body)
{
    struct asked a = {.page = page_make(body.ptr, body.len)};

    arena_init(&a.arena, 1 << 16);
    a.ok = ask_read_form(endpoint, STR("multipart/form-data; boundary=b"), a.page.text, &a.ask,
                         &a.error);
    return a;
}

static void
end(struct asked *a)
{
    arena_end(&a->arena);
    page_free(&a->page);
}

static void
check_refused(struct asked a, const char *param, const char *message)
{
    assert_false(a.ok);
    assert_string_equal(a.error.message, message);
    assert_string_equal(a.error.param, param);
    assert_int_equal(a.error.kind, ERROR_BAD_REQUEST);
    end(&a);
}

static void
check_sent(struct asked a, const char *model, const char *want)
{
    struct ask_pieces pieces;
    struct buf sent;

    if (!a.ok)
        print_error("%s\n", a.error.message);
    assert_true(a.ok);
    buf_init(&sent, 1 << 16);
    assert_true(ask_splices(&a.ask, str_from(model), &a.arena, &pieces));
    for (size_t i = 0; i < pieces.count; i++)
        buf_add_str(&sent, pieces.list[i]);
    assert_int_equal(sent.len, pieces.total_len);
    assert_str(buf_str(&sent), want);
    buf_free(&sent);
    end(&a);
}

/* ---- JSON ---- */

static void
test_pictures(void **state)
{
    struct asked a = read_json(ENDPOINT_IMAGES,
                               "{\"prompt\":\"a\",\"n\":4,\"model\":\"m\",\"stream\":true}");

    (void)state;
    assert_true(a.ok && a.ask.stream && !a.ask.media.bytes);
    assert_int_equal(a.ask.choice_count, 4);
    end(&a);
    check_sent(read_json(ENDPOINT_IMAGES, "{\"model\": \"m\",\"prompt\":\"a\"}"), "n\"1",
               "{\"model\": \"n\\\"1\",\"prompt\":\"a\"}");
    check_refused(read_json(ENDPOINT_IMAGES, "{\"prompt\":\"a\"}"), "model",
                  "model: Field required");
    check_refused(read_json(ENDPOINT_IMAGES, "{\"model\":\"m\"}"), "prompt",
                  "prompt: Field required");
    check_refused(read_json(ENDPOINT_IMAGES, "{\"model\":\"m\",\"prompt\":[]}"), "prompt",
                  "prompt: must be a string (line 1, column 23)");
    check_refused(read_json(ENDPOINT_IMAGES, "{\"model\":\"m\",\"prompt\":\"a\",\"n\":0}"), "n",
                  "n: must be a whole number from 1 to 128 (line 1, column 31)");
    check_refused(read_json(ENDPOINT_IMAGES, "{\"model\":\"m\",\"prompt\":\"a\",\"N\":2}"), "n",
                  "n: must be written in lower case (line 1, column 27)");
    check_refused(read_json(ENDPOINT_IMAGE_EDITS, "{\"model\":\"m\",\"n\":2,\"n\":3}"), "n",
                  "n: must not stand twice (line 1, column 20)");
}

static void
test_speech(void **state)
{
    static const struct {
        const char *input;
        uint32_t count;
    } rows[] = {
        {"", 0},
        {"a", 1},
        {"Z\xc3\xbcrich", 6},
        {"Z\\u00fcrich", 6},
        {"\xf0\x9f\x98\x80", 1},
        {"\\ud83d\\ude00", 1},
        {"\\ud83d\\uDE00\\ud83d\\ude00", 2},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", 8},
        {"\\\\ude00", 6},
        {"\\u0041\\udbff\\udfffx", 3},
    };
    char body[200];
    struct asked a;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":\"%s\"}", rows[i].input);
        a = read_json(ENDPOINT_SPEECH, body);
        assert_true(a.ok && a.ask.media.bytes && !a.ask.stream);
        assert_int_equal(a.ask.media.characters, rows[i].count);
        end(&a);
    }
    a = read_json(ENDPOINT_SPEECH, "{\"model\":\"m\",\"input\":\"a\",\"stream_format\":\"sse\"}");
    assert_true(a.ok && !a.ask.media.bytes && a.ask.stream);
    end(&a);
    a = read_json(ENDPOINT_SPEECH, "{\"model\":\"m\",\"input\":\"a\",\"stream_format\":\"audio\"}");
    assert_true(a.ok && a.ask.media.bytes);
    end(&a);
    check_refused(read_json(ENDPOINT_SPEECH, "{\"model\":\"m\"}"), "input",
                  "input: Field required");
    check_refused(read_json(ENDPOINT_SPEECH, "{\"model\":\"m\",\"input\":[\"a\"]}"), "input",
                  "input: must be a string (line 1, column 22)");
    check_refused(
        read_json(ENDPOINT_SPEECH, "{\"model\":\"m\",\"input\":\"\",\"stream_format\":\"x\"}"),
        "stream_format", "stream_format: must be 'audio' or 'sse' (line 1, column 41)");
}

static void
test_moderation(void **state)
{
    struct asked a = read_json(ENDPOINT_MODERATIONS, "{\"input\":\"a\"}");

    (void)state;
    assert_true(a.ok && a.ask.model_added);
    assert_str(a.ask.model, "omni-moderation-latest");
    end(&a);
    /* What is priced is what is asked for, also where the service would take it by itself. */
    check_sent(read_json(ENDPOINT_MODERATIONS, " { \"input\":\"a\"}"), "omni-moderation-latest",
               " {\"model\":\"omni-moderation-latest\", \"input\":\"a\"}");
    check_sent(read_json(ENDPOINT_MODERATIONS, "{\"input\":[\"a\"],\"model\":\"m\"}"), "n",
               "{\"input\":[\"a\"],\"model\":\"n\"}");
    check_refused(read_json(ENDPOINT_MODERATIONS, "{\"input\":\"a\",\"model\":null}"), "model",
                  "model: Field required");
    check_refused(read_json(ENDPOINT_MODERATIONS, "{\"model\":\"m\"}"), "input",
                  "input: Field required");
    check_refused(read_json(ENDPOINT_MODERATIONS, "{}"), "input", "input: Field required");
}

static void
test_rerank(void **state)
{
    struct asked a = read_json(ENDPOINT_RERANK,
                               "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",{},\"c\"]}");

    (void)state;
    assert_true(a.ok);
    assert_int_equal(a.ask.media.documents, 3);
    end(&a);
    check_refused(read_json(ENDPOINT_RERANK, "{\"model\":\"m\",\"documents\":[]}"), "query",
                  "query: Field required");
    check_refused(read_json(ENDPOINT_RERANK, "{\"model\":\"m\",\"query\":\"q\"}"), "documents",
                  "documents: Field required");
    check_refused(read_json(ENDPOINT_RERANK, "{\"model\":\"m\",\"query\":\"q\",\"documents\":1}"),
                  "documents", "documents: must be a list (line 1, column 38)");
}

/* ---- forms ---- */

#define FIELD(name, value)                                                                         \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_AS(name, value)                                                                       \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"f\"\r\n\r\n" value "\r\n"
#define END "--b--\r\n"

static void
test_sound(void **state)
{
    struct asked a = read_form(ENDPOINT_TRANSCRIPTIONS,
                               STR(FILE_AS("file", "12345") FIELD("model", "m") END));

    (void)state;
    assert_true(a.ok && a.ask.form && !a.ask.stream && !a.ask.media.bytes);
    assert_str(a.ask.model, "m");
    assert_int_equal(a.ask.media.file_bytes, 5);
    assert_int_equal(a.ask.media.file_count, 1);
    assert_int_equal(a.ask.media.sound_bytes_per_s, 0);
    end(&a);
    check_sent(read_form(ENDPOINT_TRANSCRIPTIONS,
                         STR(FIELD("model", "m") FILE_AS("file", "\r\n\"m\"") END)),
               "new \"name\"", FIELD("model", "new \"name\"") FILE_AS("file", "\r\n\"m\"") END);
    check_sent(read_form(ENDPOINT_TRANSLATIONS,
                         STR(FILE_AS("file", "x") FIELD("model", "m") FIELD("o", "1") END)),
               "n", FILE_AS("file", "x") FIELD("model", "n") FIELD("o", "1") END);
    a = read_form(ENDPOINT_TRANSCRIPTIONS,
                  STR(FILE_AS("file", "") FIELD("model", "m") FIELD("response_format", "vtt")
                          FIELD("stream", "true") END));
    assert_true(a.ok && a.ask.media.bytes && a.ask.stream);
    end(&a);
}

static void
test_wav(void **state)
{
    static const char wav[] =
        FIELD("model", "m") "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\""
                            "\r\n\r\nRIFF\x24\0\0\0WAVELIST\x02\0\0\0ab"
                            "fmt \x10\0\0\0\1\0\2\0\x80\x3e\0\0\0\0\0\0\4\0\x10\0data\r\n" END;
    struct asked a = read_form(ENDPOINT_TRANSCRIPTIONS, (struct str){wav, sizeof(wav) - 1});

    (void)state;
    assert_true(a.ok);
    assert_int_equal(a.ask.media.sound_bytes_per_s, 64000);
    end(&a);
    /* Cut anywhere it is a form no more, or a file of which less is known. */
    for (size_t cut = 0; cut < sizeof(wav) - 1; cut++) {
        a = read_form(ENDPOINT_TRANSCRIPTIONS, (struct str){wav, cut});
        assert_false(a.ok && cut < sizeof(wav) - 3);
        end(&a);
    }
}

static void
test_edits(void **state)
{
    struct asked a = read_form(ENDPOINT_IMAGE_EDITS,
                               STR(FILE_AS("image[]", "1") FILE_AS("image[]", "22")
                                       FIELD("prompt", "p") FIELD("n", "3") FIELD("model", "m")
                                           END));

    (void)state;
    assert_true(a.ok);
    assert_int_equal(a.ask.choice_count, 3);
    assert_int_equal(a.ask.media.file_count, 2);
    assert_int_equal(a.ask.media.file_bytes, 3);
    end(&a);
    check_refused(read_form(ENDPOINT_IMAGE_EDITS,
                            STR(FIELD("prompt", "p") FIELD("model", "m") END)),
                  "image", "image: Field required");
    check_refused(read_form(ENDPOINT_IMAGE_EDITS,
                            STR(FILE_AS("image", "p") FIELD("model", "m") END)),
                  "prompt", "prompt: Field required");
}

static void
test_bad_forms(void **state)
{
    (void)state;
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR(FILE_AS("file", "x") END)), "model",
                  "model: Field required");
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR(FIELD("model", "m") END)), "file",
                  "file: Field required");
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR(FIELD("model", "") END)), "model",
                  "model: must not be empty (byte 54 of the form)");
    check_refused(
        read_form(ENDPOINT_TRANSCRIPTIONS, STR(FIELD("model", "a") FIELD("model", "b") END)),
        "model", "model: must not stand twice (byte 110 of the form)");
    check_refused(
        read_form(ENDPOINT_TRANSCRIPTIONS, STR(FIELD("model", "a") FIELD("Model", "b") END)),
        "model", "model: must be written in lower case (byte 110 of the form)");
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR(FILE_AS("model", "a") END)), "model",
                  "model: must not be a file (byte 68 of the form)");
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR(FIELD("model", "a\r\nb") END)), "model",
                  "model: must not hold control characters (byte 54 of the form)");
    check_refused(
        read_form(ENDPOINT_TRANSCRIPTIONS,
                  STR(FIELD("stream", "1") FIELD("model", "m") FILE_AS("file", "") END)),
        "stream", "stream: must be true or false (byte 55 of the form)");
    check_refused(read_form(ENDPOINT_IMAGE_EDITS,
                            STR(FIELD("n", "1e1") FIELD("model", "m") FIELD("prompt", "p")
                                    FILE_AS("image", "") END)),
                  "n", "n: must be a whole number from 1 to 128 (byte 50 of the form)");
    check_refused(read_form(ENDPOINT_TRANSCRIPTIONS, STR("{}")), "",
                  "The body is not a valid form: the form does not begin with its boundary "
                  "(byte 1)");
}

static void
test_needs(void **state)
{
    struct asked a = read_form(ENDPOINT_TRANSCRIPTIONS,
                               STR(FILE_AS("file", "{\"tools\":[1]}") FIELD("model", "m") END));
    struct ask_needs needs;

    (void)state;
    ask_needs(&a.ask, &needs);
    assert_int_equal(needs.needs, 1u << ASK_NEED_AUDIO);
    assert_int_equal(needs.media_bytes, 13);
    end(&a);
    a = read_json(ENDPOINT_IMAGES, "{\"model\":\"m\",\"prompt\":\"p\",\"tools\":[1]}");
    ask_needs(&a.ask, &needs);
    assert_int_equal(needs.needs, 0);
    end(&a);
}

/* ---- answers ---- */

static struct answer
answer_of(enum proto_endpoint endpoint, const char *body)
{
    struct answer answer;

    answer_read(endpoint, str_from(body), &answer);
    return answer;
}

static void
test_answers(void **state)
{
    struct answer a;

    (void)state;
    a = answer_of(ENDPOINT_IMAGES, "{\"created\":1,\"data\":[{\"b64_json\":\"AAAA\"}]}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_int_equal(a.usage.state, USAGE_ABSENT);
    assert_int_equal(answer_content(&a), CONTENT_SOME);
    assert_int_equal(answer_output(&a).estimate, 0);
    a = answer_of(ENDPOINT_IMAGES, "{\"data\":[]}");
    assert_int_equal(answer_content(&a), CONTENT_NONE);
    a = answer_of(ENDPOINT_IMAGES,
                  "{\"data\":[{}],\"usage\":{\"input_tokens\":50,\"output_tokens\":272,"
                  "\"total_tokens\":322,\"input_tokens_details\":{\"text_tokens\":10,"
                  "\"image_tokens\":40}}}");
    assert_int_equal(a.usage.state, USAGE_PRESENT);
    assert_int_equal(a.usage.image_input, 40);
    assert_int_equal(a.usage.input, 50);
    assert_int_equal(a.usage.image_output, 272);
    a = answer_of(ENDPOINT_IMAGES,
                  "{\"data\":[{}],\"usage\":{\"input_tokens\":1,\"output_tokens\":9,"
                  "\"output_tokens_details\":{\"image_tokens\":7}}}");
    assert_int_equal(a.usage.image_output, 7);
    assert_int_equal(a.usage.output, 9);
    a = answer_of(ENDPOINT_MODERATIONS, "{\"model\":\"m-1\",\"results\":[{\"flagged\":true}]}");
    assert_int_equal(a.kind, ANSWER_OK);
    assert_str(a.model, "m-1");
    assert_int_equal(answer_of(ENDPOINT_RERANK, "{\"results\":[]}").kind, ANSWER_OK);
    assert_int_equal(answer_of(ENDPOINT_RERANK, "{}").kind, ANSWER_UNKNOWN);
    assert_int_equal(answer_of(ENDPOINT_TRANSCRIPTIONS, "{\"text\":\"\"}").kind, ANSWER_OK);
    assert_int_equal(answer_of(ENDPOINT_TRANSCRIPTIONS, "{\"text\":[]}").kind, ANSWER_UNKNOWN);
    assert_int_equal(answer_of(ENDPOINT_SPEECH, "{\"error\":{\"message\":\"x\"}}").kind,
                     ANSWER_ERROR);
    assert_int_equal(answer_of(ENDPOINT_SPEECH, "{\"text\":\"\"}").kind, ANSWER_UNKNOWN);
}

static void
test_heard(void **state)
{
    static const struct {
        const char *body;
        enum usage_state state;
        uint32_t input, audio, output, seconds;
    } rows[] = {
        {"{\"text\":\"a\"}", USAGE_ABSENT, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"usage\":null}", USAGE_ABSENT, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"duration\":3.0000001}", USAGE_PRESENT, 0, 0, 0, 4},
        {"{\"text\":\"a\",\"duration\":8.470000267028809,\"usage\":{\"type\":\"duration\","
         "\"seconds\":9}}",
         USAGE_PRESENT, 0, 0, 0, 9},
        {"{\"text\":\"a\",\"duration\":3.00}", USAGE_PRESENT, 0, 0, 0, 3},
        {"{\"text\":\"a\",\"duration\":0}", USAGE_ZERO, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
         "\"input_token_details\":{\"text_tokens\":4,\"audio_tokens\":10},\"output_tokens\":101,"
         "\"total_tokens\":115}}",
         USAGE_PRESENT, 14, 10, 101, 0},
        {"{\"text\":\"a\",\"usage\":{\"input_tokens\":14}}", USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1,"
         "\"input_token_details\":{\"audio_tokens\":2}}}",
         USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"duration\":\"3\"}", USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"duration\":-3}", USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"duration\":1e3}", USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"duration\":99999999999}", USAGE_BAD, 0, 0, 0, 0},
        {"{\"text\":\"a\",\"usage\":7}", USAGE_BAD, 0, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct usage u = answer_of(ENDPOINT_TRANSCRIPTIONS, rows[i].body).usage;

        assert_int_equal(u.state, rows[i].state);
        assert_int_equal(u.input, rows[i].input);
        assert_int_equal(u.audio_input, rows[i].audio);
        assert_int_equal(u.output, rows[i].output);
        assert_int_equal(u.seconds, rows[i].seconds);
    }
}

static void
test_ranked(void **state)
{
    struct usage u;

    (void)state;
    u = answer_of(ENDPOINT_RERANK, "{\"results\":[],\"meta\":{\"billed_units\":"
                                   "{\"search_units\":2.0}}}").usage;
    assert_int_equal(u.state, USAGE_PRESENT);
    assert_int_equal(u.searches, 2);
    u = answer_of(ENDPOINT_RERANK, "{\"results\":[],\"usage\":{\"total_tokens\":815}}").usage;
    assert_int_equal(u.state, USAGE_PRESENT);
    assert_int_equal(u.input, 815);
    u = answer_of(ENDPOINT_RERANK, "{\"results\":[],\"usage\":{\"total_tokens\":-1}}").usage;
    assert_int_equal(u.state, USAGE_BAD);
    u = answer_of(ENDPOINT_RERANK, "{\"results\":[]}").usage;
    assert_int_equal(u.state, USAGE_ABSENT);
}

/* ---- streams ---- */

static enum meter_verdict
feed(struct meter *meter, const char *data)
{
    struct sse_event event = {.data = str_from(data), .raw = str_from(data)};

    return meter_event(meter, &event);
}

static void
test_streams(void **state)
{
    struct meter m;

    (void)state;
    meter_init(&m, ENDPOINT_TRANSCRIPTIONS, false);
    assert_int_equal(feed(&m, "{\"type\":\"transcript.text.delta\",\"delta\":\"hi\"}"), METER_PASS);
    assert_true(m.answered && meter_finish(&m) == METER_FINISH_CUT);
    assert_int_equal(meter_usage(&m).state, USAGE_ABSENT);
    assert_int_equal(feed(&m, "{\"type\":\"transcript.text.done\",\"text\":\"hi\",\"usage\":"
                              "{\"type\":\"duration\",\"seconds\":7}}"),
                     METER_PASS);
    assert_int_equal(meter_finish(&m), METER_FINISH_ADD_MARK);
    assert_int_equal(meter_usage(&m).seconds, 7);
    assert_int_equal(feed(&m, "[DONE]"), METER_END);

    meter_init(&m, ENDPOINT_SPEECH, false);
    assert_int_equal(feed(&m, "{\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}"), METER_PASS);
    assert_int_equal(m.output_estimate, 0);
    assert_int_equal(feed(&m, "{\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14,"
                              "\"output_tokens\":101,\"total_tokens\":115}}"),
                     METER_PASS);
    assert_int_equal(meter_usage(&m).audio_output, 101);

    meter_init(&m, ENDPOINT_IMAGES, false);
    assert_int_equal(feed(&m, "{\"type\":\"image_generation.partial_image\",\"b64_json\":\"A\"}"),
                     METER_PASS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(feed(&m, "{\"type\":\"image_generation.completed\",\"b64_json\":\"A\","
                                  "\"usage\":{\"input_tokens\":5,\"output_tokens\":200}}"),
                         METER_PASS);
    assert_int_equal(m.image_count, 2);
    assert_int_equal(meter_usage(&m).image_output, 400);
    assert_int_equal(meter_usage(&m).input, 10);

    meter_init(&m, ENDPOINT_SPEECH, false);
    assert_int_equal(feed(&m, "{\"audio\":\"AAAA\"}"), METER_BAD);
    assert_int_equal(feed(&m, "[DONE]"), METER_BAD);
    assert_int_equal(feed(&m, "{\"type\":\"error\",\"message\":\"x\"}"), METER_UPSTREAM_ERROR);
    assert_int_equal(feed(&m, "{\"error\":{\"message\":\"x\"}}"), METER_UPSTREAM_ERROR);
    assert_false(m.understood);
    meter_bytes_end(&m);
    assert_int_equal(meter_finish(&m), METER_FINISH_CUT);
    meter_bytes(&m);
    assert_true(m.answered && m.event_count == 1);
    meter_bytes_end(&m);
    assert_int_equal(meter_finish(&m), METER_FINISH_CLEAN);
    assert_int_equal(meter_content(&m), CONTENT_SOME);
}

static void
test_sums(void **state)
{
    const struct usage many = {.state = USAGE_PRESENT, .output = USAGE_COUNT_MAX};
    const struct usage one = {.state = USAGE_PRESENT, .output = 1, .images = 1};
    const struct usage none = {.state = USAGE_ABSENT}, zero = {.state = USAGE_ZERO};

    (void)state;
    assert_int_equal(usage_sum(one, one).output, 2);
    assert_int_equal(usage_sum(one, one).images, 2);
    assert_int_equal(usage_sum(many, one).state, USAGE_BAD);
    assert_int_equal(usage_sum(none, one).images, 1);
    assert_int_equal(usage_sum(zero, one).state, USAGE_PRESENT);
    assert_int_equal(usage_sum(zero, none).state, USAGE_ZERO);
    assert_int_equal(usage_sum(one, (struct usage){.state = USAGE_BAD}).state, USAGE_BAD);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures), cmocka_unit_test(test_speech),
        cmocka_unit_test(test_moderation), cmocka_unit_test(test_rerank),
        cmocka_unit_test(test_sound),    cmocka_unit_test(test_wav),
        cmocka_unit_test(test_edits),    cmocka_unit_test(test_bad_forms),
        cmocka_unit_test(test_needs),    cmocka_unit_test(test_answers),
        cmocka_unit_test(test_heard),    cmocka_unit_test(test_ranked),
        cmocka_unit_test(test_streams),  cmocka_unit_test(test_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
