/* Spans and series as documents that can be read: without anything in them, full, and beyond the bound; hostile
 * names. What they say of real calls is test/e2e/test_telemetry.py's. */
#include "telemetry/series.h"

#include "base/str.h"
#include "shm/names.h"
#include "test/unit/shm_small.h"

static const char *const endpoints[] = {"chat", NULL, "embeddings"};

static struct provider provider = {.upstream = "up\"1", .name = "openai", .host = "a.example", .port = 443};

static struct teller
teller(void)
{
    struct teller teller = {.region = t.region,
                            .providers = {&provider, 1},
                            .endpoint_name = endpoints,
                            .endpoint_name_count = COUNT_OF(endpoints)};

    str_copy(STR("gate \"1\"\n"), teller.service, sizeof(teller.service));
    return teller;
}

static struct call_event
event(uint8_t n)
{
    struct call_event event = {.call_id = {[15] = n},
                               .start_wall_us = 1700000000000000,
                               .end_us = 1500000,
                               .flags = RECORD_TRACED,
                               .status = 200,
                               .outcome = OUTCOME_OK,
                               .attempt_count = 2};

    event.upstream = name_intern(t.region, STR("up\"1"));
    event.model = name_intern(t.region, STR("m\\1"));
    event.attempt[0] = (struct record_attempt){.upstream = event.upstream, .reason = REASON_AT_LIMIT};
    event.attempt[1] = (struct record_attempt){.upstream = event.upstream, .model = event.model};
    memset(event.model_reported, 0xff, sizeof(event.model_reported)); /* no UTF-8, no end */
    return event;
}

static struct js_value
parsed(const struct buf *text)
{
    struct js_value value;
    struct js_error error;

    if (!js_check(buf_str(text), &value, &error))
        fail_msg("no JSON: %.*s", (int)text->len, text->ptr);
    return value;
}

static size_t
count_of(const struct buf *text, const char *what)
{
    size_t count = 0, len = strlen(what);

    for (size_t i = 0; i + len <= text->len; i++)
        count += memcmp(text->ptr + i, what, len) == 0;
    return count;
}

static void
test_spans(void **state)
{
    struct teller who = teller();
    struct call_event events[3] = {event(1), event(2), event(3)};
    struct buf out;

    (void)state;
    events[1].flags = 0;                             /* not traced */
    events[2].endpoint = 200;                        /* nobody knows it */
    events[2].attempt_count = 250;                   /* another process's nonsense */
    events[2].outcome = OUTCOME_CUT;
    buf_init(&out, 1 << 20);
    assert_true(spans_write(&who, events, 0, &out));
    (void)parsed(&out);
    assert_int_equal(count_of(&out, "spanId"), 0);
    buf_free(&out);
    assert_true(spans_write(&who, events, 3, &out));
    (void)parsed(&out);
    /* Of the first: the call, and the one that was tried; of the third: six attempts less one. */
    assert_int_equal(count_of(&out, "\"spanId\""), 2 + 1 + 5);
    assert_int_equal(count_of(&out, "\"name\":\"unknown m\\\\1\""), 2);
    assert_int_equal(count_of(&out, "\"stringValue\":\"up\\\"1\""), 4);
    buf_free(&out);
    buf_init(&out, 100);
    assert_false(spans_write(&who, events, 3, &out));
    buf_free(&out);
}

static void
test_series(void **state)
{
    struct teller who = teller();
    struct series_set *set = series_new(1700000000000000);
    struct call_event one = event(1);
    struct buf out;

    (void)state;
    assert_non_null(set);
    one.charge_ucr = 7;
    one.count[RECORD_INPUT] = 5;
    for (unsigned i = 0; i < SERIES_MAX + 10; i++) {
        memset(one.model_reported, 0, sizeof(one.model_reported));
        snprintf(one.model_reported, sizeof(one.model_reported), "model-%u", i);
        series_add(set, &who, &one);
    }
    one.refused = true;
    series_add(set, &who, &one);
    one.refused = false;
    one.upstream = one.attempt[1].upstream = 0; /* never got anywhere */
    one.attempt[0].upstream = 0;
    series_add(set, &who, &one);
    buf_init(&out, 16 << 20);
    assert_true(series_write(set, &who, 3, 1700000001000000, &out));
    (void)parsed(&out);
    /* Of durations, of charges; and of tokens one each way. */
    assert_int_equal(count_of(&out, "otel.metric.overflow"), 4);
    assert_int_equal(count_of(&out, "\"count\":\"10\",\"sum\":15.000000"), 1);
    assert_int_equal(count_of(&out, "\"asInt\":\"70\""), 1);
    assert_int_equal(count_of(&out, "\"asInt\":\"3\""), 1);
    assert_int_equal(count_of(&out, "\"model-511\""), 4);
    assert_int_equal(count_of(&out, "\"model-512\""), 0);
    assert_int_equal(count_of(&out, "time_to_first_token"), 0); /* none was a stream */
    buf_free(&out);
    series_free(&set);
}

static void
test_words(void **state)
{
    struct call_event one = event(1);
    char text[8];

    (void)state;
    assert_string_equal(call_operation("messages"), "chat");
    assert_string_equal(call_operation("generate"), "generate_content");
    assert_string_equal(call_operation("speech"), "speech");
    assert_string_equal(call_operation(NULL), "unknown");
    assert_null(call_error(&one, text));
    one.outcome = OUTCOME_CUT;
    assert_string_equal(call_error(&one, text), "cut");
    one.status = 502;
    assert_string_equal(call_error(&one, text), "502");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_series, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
