/* What a realtime session comes to, by its messages. */
#include "proto/realtime.h"

#include "base/arena.h"
#include "base/js.h"
#include "base/str.h"
#include "test/unit/testing.h"

static struct realtime r;

static int
setup(void **state)
{
    (void)state;
    realtime_init(&r, 1 << 16);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    realtime_free(&r);
    return 0;
}

static enum realtime_kind
server_in(struct str message, size_t step)
{
    for (size_t at = 0; at < message.len; at += step)
        realtime_server_piece(&r, (struct str){message.ptr + at, MIN(step, message.len - at)});
    return realtime_server_message(&r, message.len);
}

static enum realtime_kind
server(const char *message)
{
    return server_in(str_from(message), strlen(message) + 1);
}

static void
client(const char *message)
{
    size_t len = strlen(message), n = MIN(realtime_client_wants(&r), len);

    memcpy(realtime_client_room(&r), message, n);
    realtime_client_got(&r, n);
    realtime_client_message(&r, len);
}

/* A message that begins and ends like this, len bytes long. */
static const char *
padded(const char *begin, const char *end, size_t len)
{
    static char text[1 << 20];
    size_t from = strlen(begin);

    assert_true(len < sizeof text && len > from + strlen(end));
    memset(text, 'x', len);
    memcpy(text, begin, from);
    memcpy(text + len - strlen(end), end, strlen(end) + 1);
    return text;
}

#define USAGE                                                                                      \
    "\"usage\":{\"total_tokens\":130,\"input_tokens\":100,\"output_tokens\":30,"                   \
    "\"input_token_details\":{\"cached_tokens\":40,\"text_tokens\":30,\"audio_tokens\":70,"        \
    "\"cached_tokens_details\":{\"text_tokens\":10,\"audio_tokens\":30}},"                         \
    "\"output_token_details\":{\"text_tokens\":10,\"audio_tokens\":20}}"
#define DONE "{\"type\":\"response.done\",\"event_id\":\"e\",\"response\":{\"status\":\"completed\"," USAGE "}}"

static void
usage_is_read(const struct usage *u)
{
    assert_int_equal(u->state, USAGE_PRESENT);
    assert_int_equal(u->input, 60);
    assert_int_equal(u->audio_input, 40);
    assert_int_equal(u->cache_read, 40);
    assert_int_equal(u->output, 30);
    assert_int_equal(u->audio_output, 20);
}

static void
usage_of_a_response(void **state)
{
    (void)state;
    for (size_t step = 1; step <= sizeof DONE; step++) {
        assert_int_equal(server_in(STR(DONE), step), REALTIME_DONE);
        usage_is_read(&r.usage);
    }
    assert_int_equal(server("{\"type\":\"response.done\",\"response\":{\"usage\":null}}"),
                     REALTIME_DONE);
    assert_int_equal(r.usage.state, USAGE_ABSENT);
    assert_false(r.failed);
    assert_int_equal(server("{\"type\":\"response.done\",\"response\":{\"status\":\"failed\","
                            "\"usage\":{\"input_tokens\":-1,\"output_tokens\":3}}}"),
                     REALTIME_DONE);
    assert_int_equal(r.usage.state, USAGE_BAD);
    assert_true(r.failed);
    /* It is what it says it is, also when it cannot be read. */
    assert_int_equal(server("{\"type\":\"response.done\",\"response\":{"), REALTIME_DONE);
    assert_int_equal(r.usage.state, USAGE_ABSENT);
    assert_int_equal(server(padded("{\"type\":\"response.done\",\"response\":{\"x\":\"",
                                   "\"," USAGE "}}", (1 << 16) + 1)),
                     REALTIME_DONE);
    assert_int_equal(r.usage.state, USAGE_ABSENT);
    assert_int_equal(server(padded("{\"type\":\"response.done\",\"response\":{\"x\":\"",
                                   "\"," USAGE "}}", 1 << 16)),
                     REALTIME_DONE);
    usage_is_read(&r.usage);
}

static void
usage_of_a_transcription(void **state)
{
    (void)state;
    assert_int_equal(
        server("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"usage\":"
               "{\"type\":\"tokens\",\"total_tokens\":26,\"input_tokens\":17,\"output_tokens\":9,"
               "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":17}}}"),
        REALTIME_TRANSCRIBED);
    assert_int_equal(r.usage.state, USAGE_PRESENT);
    assert_int_equal(r.usage.audio_input, 17);
    assert_int_equal(r.usage.output, 9);
    assert_int_equal(
        server("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"usage\":"
               "{\"type\":\"duration\",\"seconds\":2.1}}"),
        REALTIME_TRANSCRIBED);
    assert_int_equal(r.usage.state, USAGE_PRESENT);
    assert_int_equal(r.usage.seconds, 3);
    assert_int_equal(
        server("{\"type\":\"conversation.item.input_audio_transcription.completed\"}"),
        REALTIME_TRANSCRIBED);
    assert_int_equal(r.usage.state, USAGE_ABSENT);
}

static void
types_wherever_they_stand(void **state)
{
    (void)state;
    assert_int_equal(server(" {\n \"event_id\" : \"e\" ,\"type\"\t:\"response.created\" }"),
                     REALTIME_RESPONSE);
    assert_int_equal(server("{\"response\":{\"type\":\"x\"},\"type\":\"response.created\"}"),
                     REALTIME_RESPONSE);
    assert_int_equal(server("{\"event_id\":\"a\\\"b\",\"type\":\"response.created\"}"),
                     REALTIME_RESPONSE);
    assert_int_equal(server("{\"n\":1,\"type\":\"response.\\u0063reated\"}"), REALTIME_RESPONSE);
    assert_int_equal(server(padded("{\"response\":\"", "\",\"type\":\"response.done\"}", 4000)),
                     REALTIME_DONE);
    assert_int_equal(server("{\"item\":{\"type\":\"response.done\"},\"type\":\"other\"}"),
                     REALTIME_OTHER);
    assert_int_equal(server("{\"delta\":\"{\\\"type\\\":\\\"response.done\\\"}\",\"type\":\"x\"}"),
                     REALTIME_OTHER);
    assert_int_equal(server("{\"type\":\"response.done.not\"}"), REALTIME_OTHER);
    assert_int_equal(server("response.done"), REALTIME_OTHER);
    assert_int_equal(server(""), REALTIME_OTHER);
    assert_int_equal(server("{\"type\""), REALTIME_OTHER);
    assert_int_equal(server("[\"type\",\"response.done\"]"), REALTIME_OTHER);
}

static void
which_model_serves(void **state)
{
    (void)state;
    assert_int_equal(server("{\"type\":\"session.created\",\"session\":{\"model\":\"m-1\"}}"),
                     REALTIME_SESSION);
    assert_string_equal(r.model, "m-1");
    assert_int_equal(server("{\"type\":\"session.updated\",\"session\":{\"voice\":\"v\"}}"),
                     REALTIME_SESSION);
    assert_string_equal(r.model, "m-1");
}

/* ---- estimates ---- */

static void
nothing_is_under_way(void **state)
{
    struct usage u = realtime_estimate(&r);

    (void)state;
    assert_int_equal(u.state, USAGE_ABSENT);
    client("{\"type\":\"conversation.item.create\",\"item\":{}}");
    u = realtime_estimate(&r);
    assert_int_equal(u.input + u.output, 0);
}

static void
text_by_its_size(void **state)
{
    struct usage u;

    (void)state;
    client(padded("{\"type\":\"conversation.item.create\",\"item\":\"", "\"}", 4000));
    (void)server("{\"type\":\"response.created\"}");
    assert_int_equal(r.under_way, 1);
    u = realtime_estimate(&r);
    assert_int_equal(u.input, 1000);
    assert_int_equal(u.audio_input, 0);
    (void)server("{\"type\":\"response.output_text.delta\",\"delta\":\"a\"}");
    (void)server("{\"type\":\"response.text.delta\",\"delta\":\"a\"}"); /* the smaller frame */
    assert_true(r.output_seen);
    (void)server("{\"type\":\"response.text.delta\",\"delta\":\"a12345678\"}");
    u = realtime_estimate(&r);
    assert_int_equal(u.output, 1 + 1 + 3);
    assert_int_equal(u.requests, 1);
}

static void
sound_by_its_size(void **state)
{
    struct usage u;

    (void)state;
    client(padded("{\"type\":\"input_audio_buffer.append\",\"audio\":\"", "\"}", 100160));
    (void)server("{\"type\":\"input_audio_buffer.speech_started\"}"); /* that was silence */
    client(padded("{\"type\":\"input_audio_buffer.append\",\"audio\":\"", "\"}", 64160));
    (void)server("{\"type\":\"response.created\"}"); /* nothing is committed yet */
    assert_int_equal(realtime_estimate(&r).input, 0);
    (void)server("{\"type\":\"input_audio_buffer.committed\"}");
    (void)server("{\"type\":\"response.created\"}");
    u = realtime_estimate(&r);
    assert_int_equal(u.audio_input, 10); /* a second */
    assert_int_equal(u.input, 10);
    assert_int_equal(server(padded("{\"type\":\"response.output_audio.delta\",\"delta\":\"", "\"}",
                                   32160)),
                     REALTIME_AUDIO);
    u = realtime_estimate(&r);
    assert_int_equal(u.audio_output, 10);
    assert_int_equal(u.output, 10);
    assert_int_equal(r.output_estimate, 10);
}

static void
sound_by_its_format(void **state)
{
    (void)state;
    (void)server("{\"type\":\"session.updated\",\"session\":{\"input_audio_format\":\"g711_ulaw\","
                 "\"output_audio_format\":\"g711_alaw\"}}");
    client(padded("{\"type\":\"conversation.item.create\",\"item\":{\"content\":[{\"type\":"
                  "\"input_audio\",\"audio\":\"", "\"}]}}", 10670));
    (void)server("{\"type\":\"response.created\"}");
    (void)server(padded("{\"type\":\"response.audio.delta\",\"delta\":\"", "\"}", 5330 + 160));
    assert_int_equal(realtime_estimate(&r).audio_input, 10);
    assert_int_equal(realtime_estimate(&r).audio_output, 10);
    (void)server("{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":"
                 "{\"type\":\"audio/pcm\"}},\"output\":{\"format\":{\"type\":\"audio/pcm\"}}}}}");
    assert_int_equal(r.input_token_bytes, 6400);
    (void)server("{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":"
                 "{\"type\":\"audio/pcma\"}},\"output\":{\"format\":{\"type\":\"audio/pcmu\"}}}}}");
    assert_int_equal(r.input_token_bytes, 1067);
    assert_int_equal(r.output_token_bytes, 533);
}

static void
pictures_have_no_size(void **state)
{
    (void)state;
    client(padded("{\"type\":\"conversation.item.create\",\"item\":{\"content\":[{\"type\":"
                  "\"input_image\",\"image_url\":\"", "\"}]}}", 100000));
    (void)server("{\"type\":\"response.created\"}");
    assert_int_equal(realtime_estimate(&r).input, 0);
}

static void
the_next_reads_what_the_last_had(void **state)
{
    struct usage u;

    (void)state;
    (void)server("{\"type\":\"response.created\"}");
    (void)server("{\"type\":\"response.text.delta\",\"delta\":\"a\"}");
    assert_int_equal(server(DONE), REALTIME_DONE);
    u = r.usage;
    realtime_counted(&r, &u);
    assert_int_equal(r.under_way, 0);
    assert_int_equal(r.responses, 1);
    assert_int_equal(realtime_estimate(&r).output, 0);
    (void)server("{\"type\":\"response.created\"}");
    u = realtime_estimate(&r);
    assert_int_equal(u.cache_read, 100);
    assert_int_equal(u.input + u.output, 0);
}

static void
deltas_without_a_beginning(void **state)
{
    (void)state;
    (void)server("{\"type\":\"response.text.delta\",\"delta\":\"a\"}");
    assert_int_equal(r.under_way, 1);
    assert_int_equal(realtime_estimate(&r).output, 1);
}

/* ---- the request, errors ---- */

static void
what_is_asked_for(void **state)
{
    struct proto_error error;
    struct arena arena;
    struct ask ask;
    char out[64];

    (void)state;
    arena_init(&arena, 1 << 16);
    assert_true(realtime_ask(STR("x=1&model=gpt%2Frealtime%2b1"), &arena, &ask, &error));
    assert_str(ask.model, "gpt/realtime+1");
    assert_true(ask.stream && ask.stored_input);
    assert_false(realtime_ask(STR("x=1"), &arena, &ask, &error));
    assert_string_equal(error.param, "model");
    assert_false(realtime_ask(STR("model="), &arena, &ask, &error));
    assert_false(realtime_ask(STR("model=%0a"), &arena, &ask, &error));
    assert_false(realtime_ask(STR("model=%4"), &arena, &ask, &error));
    assert_false(realtime_ask(STR_NONE, &arena, &ask, &error));
    arena_end(&arena);
    assert_str(realtime_query(STR("a/b&c=d e"), out, sizeof out), "model=a%2Fb%26c%3Dd%20e");
    assert_null(realtime_query(STR("a/b"), out, 10).ptr);
}

static void
an_error_is_an_event(void **state)
{
    struct proto_error error;
    struct js_value document;
    struct js_error fault;
    struct buf out;

    (void)state;
    error_set(&error, ERROR_NO_CREDIT, NULL, NULL, "out of %s", "\"credits\"");
    buf_init(&out, 4096);
    realtime_error(&out, &error, STR("call_1"));
    assert_true(js_check(buf_str(&out), &document, &fault));
    assert_true(js_str_eq(js_get(document, STR("type")), STR("error")));
    assert_true(js_str_eq(js_get(document, STR("event_id")), STR("event_call_1")));
    assert_true(js_str_eq(js_path(document, "error", "code", NULL), STR("insufficient_quota")));
    buf_free(&out);
    buf_init(&out, 40);
    realtime_error(&out, &error, STR("call_1"));
    assert_true(out.failed);
    buf_free(&out);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(usage_of_a_response),
        TEST(usage_of_a_transcription),
        TEST(types_wherever_they_stand),
        TEST(which_model_serves),
        TEST(nothing_is_under_way),
        TEST(text_by_its_size),
        TEST(sound_by_its_size),
        TEST(sound_by_its_format),
        TEST(pictures_have_no_size),
        TEST(the_next_reads_what_the_last_had),
        TEST(deltas_without_a_beginning),
        TEST(what_is_asked_for),
        TEST(an_error_is_an_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
