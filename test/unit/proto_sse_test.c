#include "proto/sse.h"

#include <errno.h>

#include "base/str.h"
#include "test/unit/testing.h"

/* What the splitter made of a stream, one line an event, so that two runs compare as text. */
struct run {
    struct sse sse;
    struct buf seen; /* "name=data\n", and "#" before an event without data */
    struct buf raw;  /* all raw ranges in a row */
    int rc;
};

static void
run_begin(struct run *run, size_t event_len_max)
{
    sse_init(&run->sse, event_len_max);
    buf_init(&run->seen, 1 << 22);
    buf_init(&run->raw, 1 << 22);
    run->rc = 0;
}

static void
note(struct run *run, const struct sse_event *event)
{
    if (event->comment_only)
        buf_add_char(&run->seen, '#');
    if (event->unterminated)
        buf_add_char(&run->seen, '!');
    buf_add_str(&run->seen, event->name);
    buf_add_char(&run->seen, '=');
    buf_add_str(&run->seen, event->data);
    buf_add_char(&run->seen, ';');
    buf_add_str(&run->raw, event->raw);
}

/* One feed out of a mapping of its own, which is gone before the next. */
static void
run_feed(struct run *run, struct str bytes)
{
    struct page page = page_make(bytes.ptr, bytes.len);
    struct sse_event event;

    if (run->rc >= 0) {
        sse_feed(&run->sse, page.text);
        while ((run->rc = sse_next(&run->sse, &event)) == 1)
            note(run, &event);
        if (run->rc >= 0)
            run->rc = sse_keep(&run->sse);
        else
            assert_int_equal(sse_keep(&run->sse), run->rc);
    }
    page_free(&page);
}

static void
run_last(struct run *run)
{
    struct sse_event event;

    if (sse_last(&run->sse, &event))
        note(run, &event);
    assert_false(sse_last(&run->sse, &event));
}

static void
run_free(struct run *run)
{
    sse_free(&run->sse);
    buf_free(&run->seen);
    buf_free(&run->raw);
}

static void
assert_buf(const struct buf *got, struct str want)
{
    assert_int_equal(got->len, want.len);
    if (want.len > 0)
        assert_memory_equal(got->ptr, want.ptr, want.len);
}

/* The stream whole, byte by byte, and cut in two at each position: always the same. */
static void
check_splits(struct str stream, const char *want, size_t raw_len)
{
    for (size_t cut = 0; cut <= stream.len + 1; cut++) {
        struct run run;

        run_begin(&run, 4096);
        if (cut > stream.len) {
            for (size_t i = 0; i < stream.len; i++)
                run_feed(&run, (struct str){stream.ptr + i, 1});
        } else {
            run_feed(&run, (struct str){stream.ptr, cut});
            run_feed(&run, (struct str){stream.ptr + cut, stream.len - cut});
        }
        run_last(&run);
        if (!str_eq(buf_str(&run.seen), str_from(want)))
            print_error("cut at %zu of %zu: %.*s\n", cut, stream.len, STR_ARGS(run.seen));
        assert_buf(&run.seen, str_from(want));
        assert_buf(&run.raw, (struct str){stream.ptr, raw_len});
        assert_int_equal(run.rc, 0);
        run_free(&run);
    }
}
#define CHECK(stream, want) check_splits(STR(stream), (want), sizeof(stream) - 1)

static void
test_lf(void **state)
{
    (void)state;
    CHECK("", "");
    CHECK("data: a\n\n", "=a;");
    CHECK("data: a\n\ndata: b\n\n", "=a;=b;");
    CHECK("event: ping\ndata: {\"type\": \"ping\"}\n\n", "ping={\"type\": \"ping\"};");
    CHECK("data:a\n\ndata:  b \n\ndata\n\ndata:\n\n", "=a;= b ;=;=;");
    CHECK("event:x\nevent: y\ndata: \xc3\xa4\n\n", "y=\xc3\xa4;");
}

static void
test_line_ends(void **state)
{
    (void)state;
    CHECK("data: a\r\n\r\ndata: b\r\n\r\n", "=a;=b;");
    CHECK("event: e\r\ndata: a\r\n\r\n: c\r\n\r\ndata: b\r\n\r\n", "e=a;#=;=b;");
    CHECK("data: a\r\rdata: b\r\r", "=a;=b;");
    CHECK("data: a\r\ndata: b\rdata: c\n\n", "=a\nb\nc;");
    /* After CR or LF a blank line is over with its CR; the LF goes with what follows. */
    CHECK("data: a\r\r\ndata: b\n\r\ndata: c\n\n", "=a;=b;=c;");
    CHECK("data: a\r\n\rdata: b\r\n\r", "=a;=b;");
    CHECK("\n\r\n\r\rdata: a\n\n\n\n\ndata: b\n\n", "=a;=b;");
}

static void
test_fields(void **state)
{
    (void)state;
    CHECK(": hello\n\n", "#=;");
    CHECK(": OPENROUTER PROCESSING\n\ndata: x\n\n", "#=;=x;");
    CHECK("id: 1\nretry: 5\ndata: x\nother: y\ndatax: z\neventually\n\n", "=x;");
    CHECK("retry: 3000\n\n", "#=;");
    CHECK("event: lonely\n\n", "#lonely=;");
    CHECK("data: 1\ndata: 2\n: c\ndata:3\n\ndata: 4\n\n", "=1\n2\n3;=4;");
    CHECK("data\ndata\n\n", "=\n;");
    CHECK("\xef\xbb\xbf"
          "data: a\n\n",
          "=a;");
    CHECK("data: a\n\n\xef\xbb\xbf"
          "data: b\n\n",
          "=a;#=;");
}

static void
test_end(void **state)
{
    (void)state;
    CHECK("data: a\n\ndata: [DONE]", "=a;!=[DONE];");
    CHECK("data: a\n\ndata: [DONE]\n", "=a;!=[DONE];");
    CHECK("data: a\r\n\r\ndata: [DONE]\r\n", "=a;!=[DONE];");
    CHECK("data: a\n\nevent: x", "=a;#!x=;");
    CHECK("data: a\n\n: half", "=a;#!=;");
    CHECK("data: a\r\n\r\nda", "=a;#!=;");
    /* Blank lines at the end are nothing. */
    check_splits(STR("data: a\n\n\n\r\n\r"), "=a;", 9);
    check_splits(STR("\n\n\r"), "", 0);
}

/* An event is never copied when it lies whole in what was fed. */
static void
test_points_into_feed(void **state)
{
    struct str bytes = STR("data: a\n\ndata: b\n\ndata: c");
    struct sse sse;
    struct sse_event event;

    (void)state;
    sse_init(&sse, 100);
    sse_feed(&sse, bytes);
    assert_int_equal(sse_next(&sse, &event), 1);
    assert_ptr_equal(event.raw.ptr, bytes.ptr);
    assert_int_equal(sse_next(&sse, &event), 1);
    assert_ptr_equal(event.raw.ptr, bytes.ptr + 9);
    assert_ptr_equal(event.data.ptr, bytes.ptr + 15);
    assert_int_equal(sse_next(&sse, &event), 0);
    assert_int_equal(sse_next(&sse, &event), 0);
    assert_null(sse.carry.ptr);
    assert_int_equal(sse_keep(&sse), 0);
    assert_int_equal(sse.carry.len, 7);

    /* The event that began before is in carry, the one after it in the feed; both stay valid. */
    struct str more = STR("\n\ndata: d\n\n");
    struct sse_event first;

    sse_feed(&sse, more);
    assert_int_equal(sse_next(&sse, &first), 1);
    assert_int_equal(sse_next(&sse, &event), 1);
    assert_str(first.data, "c");
    assert_ptr_equal(event.raw.ptr, more.ptr + 2);
    assert_int_equal(sse_next(&sse, &event), 0);
    assert_int_equal(sse_keep(&sse), 0);
    assert_null(sse.carry.ptr); /* nothing is held between events */
    sse_free(&sse);
}

static void
test_carry_twice(void **state)
{
    struct run run;

    (void)state;
    run_begin(&run, 100);
    run_feed(&run, STR("data: on"));
    run_feed(&run, STR("e\n\ndata: tw"));
    run_feed(&run, STR("o\n\ndata: th"));
    run_feed(&run, STR("ree\n\n"));
    assert_buf(&run.seen, STR("=one;=two;=three;"));
    assert_null(run.sse.carry.ptr);
    run_free(&run);
}

static void
test_limit(void **state)
{
    char stream[64];
    struct run run;

    (void)state;
    /* 20 bytes fit, 21 do not, whole or in parts. */
    for (int longer = 0; longer <= 1; longer++) {
        int len = snprintf(stream, sizeof(stream), "data: a\n\ndata: %0*d\n\n", 12 + longer, 7);

        for (size_t cut = 0; cut <= (size_t)len; cut++) {
            run_begin(&run, 20);
            run_feed(&run, (struct str){stream, cut});
            run_feed(&run, (struct str){stream + cut, (size_t)len - cut});
            assert_int_equal(run.rc, longer ? -EMSGSIZE : 0);
            if (longer) {
                struct sse_event event;

                assert_buf(&run.seen, STR("=a;"));
                assert_int_equal(sse_next(&run.sse, &event), -EMSGSIZE);
                assert_false(sse_last(&run.sse, &event));
            }
            run_free(&run);
        }
    }
}

/* Neither endless text without a line end nor endless blank lines cost more than the limit. */
static void
test_endless(void **state)
{
    static const char *const units[] = {"x", "\n", "\r", "data: y\n", ": c\r"};

    (void)state;
    for (size_t u = 0; u < COUNT_OF(units); u++) {
        char block[4096];
        size_t unit_len = strlen(units[u]), fed = 0;
        struct sse sse;
        struct sse_event event;
        int rc = 0;

        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = units[u][i % unit_len];
        sse_init(&sse, SSE_EVENT_LEN_MAX);
        while (rc == 0 && fed < 4 * SSE_EVENT_LEN_MAX) {
            sse_feed(&sse, (struct str){block, sizeof(block)});
            rc = sse_next(&sse, &event);
            assert_int_not_equal(rc, 1);
            if (rc == 0)
                rc = sse_keep(&sse);
            fed += sizeof(block);
        }
        assert_int_equal(rc, -EMSGSIZE);
        assert_true(fed <= SSE_EVENT_LEN_MAX + sizeof(block));
        sse_free(&sse);
    }
}

/* Random streams out of pieces that matter, cut at random: the same as in one feed. */
static void
test_random(void **state)
{
    static const char *const parts[] = {"data:", "data: ",   "event: ", ":",
                                        "\n",    "\r",       "\r\n",    "x",
                                        "\n\n",  "\r\n\r\n", "id: 1",   "\xef\xbb\xbf"};
    unsigned seed = (unsigned)test_seed();

    (void)state;
    for (int round = 0; round < 3000; round++) {
        char stream[256];
        size_t len = 0;
        struct run whole, cut;

        for (int i = rand_r(&seed) % 24; i > 0; i--) {
            const char *part = parts[(size_t)rand_r(&seed) % COUNT_OF(parts)];

            memcpy(stream + len, part, strlen(part));
            len += strlen(part);
        }
        run_begin(&whole, 4096);
        run_feed(&whole, (struct str){stream, len});
        run_last(&whole);
        run_begin(&cut, 4096);
        for (size_t at = 0; at < len;) {
            size_t step = 1 + (size_t)rand_r(&seed) % 5;

            step = MIN(step, len - at);
            run_feed(&cut, (struct str){stream + at, step});
            at += step;
        }
        run_last(&cut);
        assert_buf(&cut.seen, buf_str(&whole.seen));
        assert_buf(&cut.raw, buf_str(&whole.raw));
        run_free(&whole);
        run_free(&cut);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lf),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_points_into_feed),
        cmocka_unit_test(test_carry_twice),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
