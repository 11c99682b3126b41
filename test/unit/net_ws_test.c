/* WebSocket frames in any slicing, and handshakes. */
#include "net/ws.h"

#include "base/buf.h"
#include "base/str.h"
#include "net/h1_res.h"
#include "net/ws_shake.h"
#include "test/unit/testing.h"

#define MESSAGE_MAX 100000u

static const uint8_t mask[4] = {0x12, 0xfe, 0x00, 0x9b};

/* ---- what a reader saw, as text, and what of the bytes passed ---- */

struct run {
    struct ws ws;
    struct buf seen, passed;
    bool over;
};

static void
run_begin(struct run *run, bool masked)
{
    ws_init(&run->ws, masked, MESSAGE_MAX);
    buf_init(&run->seen, 1 << 22);
    buf_init(&run->passed, 1 << 22);
    run->over = false;
}

static void
run_end(struct run *run)
{
    buf_free(&run->seen);
    buf_free(&run->passed);
}

static void
note(struct run *run, enum ws_event event)
{
    struct ws *ws = &run->ws;
    char piece[1 << 17];

    switch (event) {
    case WS_PAYLOAD:
        assert_true(ws_in_message(ws));
        ws_unmask(ws, ws->piece.len, piece);
        buf_add(&run->seen, piece, ws->piece.len);
        return;
    case WS_MESSAGE:
        assert_false(ws_in_frame(ws) || ws_in_message(ws));
        buf_add_fmt(&run->seen, "|%s %llu;", ws->opcode == WS_TEXT ? "text" : "binary",
                    (unsigned long long)ws->message_len);
        return;
    case WS_CONTROL:
        assert_false(ws_in_frame(ws));
        buf_add_fmt(&run->seen, "<%u:", ws->opcode);
        buf_add(&run->seen, ws->control, ws->control_len);
        buf_add_char(&run->seen, '>');
        return;
    case WS_FAULT:
        if (!run->over)
            buf_add_fmt(&run->seen, "!%u", ws->fault);
        run->over = true;
        return;
    case WS_NEED:
        return;
    }
}

/* One feed out of a mapping of its own, passed on as net/ws.h says. */
static void
run_feed(struct run *run, struct str bytes)
{
    struct page page = page_make(bytes.ptr, bytes.len);
    uint8_t before[WS_KEPT_MAX];
    size_t before_len = ws_kept(&run->ws), at = 0, used, kept;
    enum ws_event event;

    memcpy(before, run->ws.kept, before_len);
    do {
        event = ws_feed(&run->ws, (const uint8_t *)page.text.ptr + at, bytes.len - at, &used);
        at += used;
        note(run, event);
    } while (event != WS_NEED && event != WS_FAULT);
    kept = ws_kept(&run->ws);
    if (kept <= at) {
        buf_add(&run->passed, before, before_len);
        buf_add(&run->passed, page.text.ptr, at - kept);
    }
    page_free(&page);
}

/* All at once, by bytes, and cut at each place: the same is seen, and the same passes. */
static void
check(bool masked, struct str bytes, const char *seen, size_t passes)
{
    struct run whole;

    run_begin(&whole, masked);
    run_feed(&whole, bytes);
    if (seen)
        assert_str(buf_str(&whole.seen), seen);
    assert_int_equal(whole.passed.len, passes);
    assert_memory_equal(whole.passed.ptr ? whole.passed.ptr : "", bytes.ptr, passes);
    for (size_t cut = 1; cut < bytes.len; cut += bytes.len > 4000 ? 997 : 1) {
        struct run run;

        run_begin(&run, masked);
        run_feed(&run, (struct str){bytes.ptr, cut});
        run_feed(&run, (struct str){bytes.ptr + cut, bytes.len - cut});
        assert_true(str_eq(buf_str(&run.seen), buf_str(&whole.seen)));
        assert_true(str_eq(buf_str(&run.passed), buf_str(&whole.passed)));
        run_end(&run);
    }
    struct run run;

    run_begin(&run, masked);
    for (size_t at = 0; at < bytes.len && !run.over; at += bytes.len > 4000 ? 4095 : 1)
        run_feed(&run, (struct str){bytes.ptr + at,
                                    MIN(bytes.len > 4000 ? 4095u : 1u, bytes.len - at)});
    assert_true(str_eq(buf_str(&run.seen), buf_str(&whole.seen)));
    assert_true(str_eq(buf_str(&run.passed), buf_str(&whole.passed)));
    run_end(&run);
    run_end(&whole);
}

#define CHECK(masked, literal, seen, passes) check(masked, STR("" literal), seen, passes)

/* ---- frames ---- */

static void
messages_pass(void **state)
{
    (void)state;
    CHECK(false, "\x81\x05hello", "hello|text 5;", 7);
    CHECK(false, "\x82\x02hi\x81\x00", "hi|binary 2;|text 0;", 6);
    CHECK(true, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hello|text 5;", 11);
    CHECK(false, "\x01\x03Hel\x80\x02lo", "Hel" "lo|text 5;", 9);
    CHECK(false, "\x01\x00\x00\x00\x80\x01x\x81\x01y", "x|text 1;y|text 1;", 10);
}

static void
control_frames_stand_between_fragments(void **state)
{
    (void)state;
    CHECK(false, "\x01\x01" "a\x89\x02hi\x8a\x00\x00\x01" "b\x88\x02\x03\xe8\x80\x01" "c",
          "a<9:hi><10:>b<8:\x03\xe8>c|text 3;", 19);
    CHECK(true, "\x89\x82\x01\x02\x03\x04" "ik", "<9:hi>", 8);
    CHECK(false, "\x88\x00", "<8:>", 2);
}

static void
long_lengths(void **state)
{
    static const size_t lens[] = {125, 126, 127, 65535, 65536, 99999};
    char *payload = malloc(MESSAGE_MAX);
    uint8_t *bytes = malloc(MESSAGE_MAX + WS_HEAD_MAX);

    (void)state;
    for (size_t i = 0; i < MESSAGE_MAX; i++)
        payload[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        for (unsigned masked = 0; masked < 2; masked++) {
            size_t len = ws_frame(bytes, WS_BINARY, (struct str){payload, lens[i]},
                                  masked ? mask : NULL);
            struct run run;

            check(masked != 0, (struct str){(const char *)bytes, len}, NULL, len);
            run_begin(&run, masked != 0);
            run_feed(&run, (struct str){(const char *)bytes, len});
            assert_memory_equal(run.seen.ptr, payload, lens[i]);
            run_end(&run);
        }
    }
    free(payload);
    free(bytes);
}

static void
breaches_end_it_and_pass_not(void **state)
{
    (void)state;
    CHECK(false, "\x81\x01" "a\xc1\x01" "b", "a|text 1;!1002", 3);     /* a reserved bit */
    CHECK(false, "\x83\x01" "b", "!1002", 0);                          /* unknown opcodes */
    CHECK(false, "\x8b\x00", "!1002", 0);
    CHECK(true, "\x81\x01" "a", "!1002", 0);                           /* unmasked, of a client */
    CHECK(false, "\x81\x81\x00\x00\x00\x00" "a", "!1002", 0);          /* masked, of a server */
    CHECK(false, "\x09\x00", "!1002", 0);                              /* a control frame in parts */
    CHECK(false, "\x89\x7e\x00\x7e", "!1002", 0);                      /* or too long */
    CHECK(false, "\x80\x01" "a", "!1002", 0);                          /* goes on with nothing */
    CHECK(false, "\x01\x01" "a\x81\x01" "b", "a!1002", 3);             /* begins within another */
    CHECK(false, "\x81\x7e\x00\x7d" "a", "!1002", 0);                  /* lengths longer than needed */
    CHECK(false, "\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff" "a", "!1002", 0);
    CHECK(false, "\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00" "a", "!1002", 0);
    CHECK(false, "\x88\x01\x03", "!1002", 0);                          /* half a code */
    CHECK(false, "\x88\x02\x03\xed", "!1002", 0);                      /* codes that are never sent */
    CHECK(false, "\x88\x02\x03\xe7", "!1002", 0);
    CHECK(false, "\x88\x02\x0b\xb7", "!1002", 0);
}

static void
messages_are_bounded(void **state)
{
    (void)state;
    CHECK(false, "\x81\x7f\x00\x00\x00\x00\x00\x01\x86\xa1" "a", "!1009", 0); /* 100,001 */
    CHECK(false, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" "a", "!1009", 0);
    /* Its frames in all, and what passed before stays passed. */
    CHECK(false, "\x01\x02" "ab\x00\x7f\x00\x00\x00\x00\x00\x01\x86\x9f" "c", "ab!1009", 4);
}

static void
close_frames(void **state)
{
    char payload[WS_CONTROL_MAX], longer[200];
    uint8_t frame[WS_CONTROL_MAX + WS_HEAD_MAX];
    struct str text = ws_close_payload(payload, 4001, STR("why"));
    struct run run;

    (void)state;
    run_begin(&run, true);
    run_feed(&run, (struct str){(char *)frame, ws_frame(frame, WS_CLOSE, text, mask)});
    assert_int_equal(ws_close_code(&run.ws), 4001);
    assert_int_equal(run.ws.control_len, 5);
    run_end(&run);
    memset(longer, 'x', sizeof longer);
    assert_int_equal(ws_close_payload(payload, 1000, (struct str){longer, sizeof longer}).len,
                     WS_CONTROL_MAX);
    run_begin(&run, false);
    run_feed(&run, STR("\x88\x00"));
    assert_int_equal(ws_close_code(&run.ws), 1005);
    run_end(&run);
}

/* ---- handshakes ---- */

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define GOOD                                                                                       \
    "GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"                       \
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: " KEY "\r\n"

static enum ws_asked
asked(const char *text, struct h1_head *head, char accept[WS_ACCEPT_LEN + 1])
{
    static struct h1_head other;
    struct h1_error error;
    const char *reason;

    if (head == NULL)
        head = &other;
    h1_head_init(head);
    assert_int_equal(h1_head_lint_request(head, &h1_limits_default, (const uint8_t *)text,
                                          strlen(text), &error),
                     H1_LINT_DONE);
    return ws_asked(head, accept, &reason);
}

static void
requests(void **state)
{
    char accept[WS_ACCEPT_LEN + 1];

    (void)state;
    assert_int_equal(asked(GOOD "\r\n", NULL, accept), WS_ASKED);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 §1.3 */
    assert_int_equal(asked(GOOD "Content-Length: 0\r\n\r\n", NULL, accept), WS_ASKED);
    assert_int_equal(asked("GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL, accept), WS_ASKED_NOT);
    assert_int_equal(asked("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
                           NULL, accept),
                     WS_ASKED_NOT);
    assert_int_equal(asked("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", NULL, accept),
                     WS_ASKED_NOT);
    assert_int_equal(asked("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n"
                           "Connection: upgrade\r\nSec-WebSocket-Version: 8\r\n"
                           "Sec-WebSocket-Key: " KEY "\r\n\r\n",
                           NULL, accept),
                     WS_ASKED_VERSION);
    assert_int_equal(asked(GOOD "Sec-WebSocket-Version: 13\r\n\r\n", NULL, accept), WS_ASKED_VERSION);
    assert_int_equal(asked(GOOD "Sec-WebSocket-Key: " KEY "\r\n\r\n", NULL, accept), WS_ASKED_BADLY);
    assert_int_equal(asked(GOOD "Content-Length: 1\r\n\r\n", NULL, accept), WS_ASKED_BADLY);
    assert_int_equal(asked("POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                           "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: " KEY "\r\n\r\n",
                           NULL, accept),
                     WS_ASKED_BADLY);
}

static void
keys(void **state)
{
    static const char *const bad[] = {
        "", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZSEh", "dGhl!HNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j ZQ=",
    };
    char accept[WS_ACCEPT_LEN + 1], one[WS_KEY_LEN + 1], two[WS_KEY_LEN + 1], text[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(text, sizeof text,
                 "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
                 bad[i]);
        assert_int_equal(asked(text, NULL, accept), WS_ASKED_BADLY);
    }
    ws_key_make(one);
    ws_key_make(two);
    assert_string_not_equal(one, two);
    snprintf(text, sizeof text,
             "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
             one);
    assert_int_equal(asked(text, NULL, accept), WS_ASKED);
}

static void
subprotocols(void **state)
{
    char accept[WS_ACCEPT_LEN + 1];
    struct h1_head head;

    (void)state;
    (void)asked(GOOD "Sec-WebSocket-Protocol: realtime-x, openai-insecure-api-key.sk-1\r\n"
                     "Sec-WebSocket-Protocol: realtime\r\n\r\n",
                &head, accept);
    assert_true(ws_offers(&head, STR("realtime")));
    assert_false(ws_offers(&head, STR("real")));
    assert_false(ws_offers(&head, STR("Realtime")));
    assert_str(ws_offered_after(&head, STR("openai-insecure-api-key.")), "sk-1");
    assert_null(ws_offered_after(&head, STR("other.")).ptr);
}

static bool
answered(const char *lines)
{
    struct h1_error error;
    struct h1_head head;
    const char *why = NULL;
    char text[512];
    bool good;

    snprintf(text, sizeof text, "HTTP/1.1 101 Switching Protocols\r\n%s\r\n", lines);
    h1_head_init(&head);
    assert_int_equal(h1_head_lint_answer(&head, &h1_limits_default, (const uint8_t *)text,
                                         strlen(text), &error),
                     H1_LINT_DONE);
    good = ws_answered(&head, KEY, &why);
    assert_true(good || why != NULL);
    return good;
}

#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCH "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"

static void
answers(void **state)
{
    (void)state;
    assert_true(answered(SWITCH ACCEPT));
    assert_false(answered(SWITCH));
    assert_false(answered(SWITCH ACCEPT ACCEPT));
    assert_false(answered(SWITCH "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n"));
    assert_false(answered("Upgrade: websocket\r\n" ACCEPT));
    assert_false(answered("Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT));
    assert_false(answered(SWITCH ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    assert_false(answered(SWITCH ACCEPT "Sec-WebSocket-Protocol: realtime\r\n"));
}

/* The reader of answers stops at a 101 that was asked for, wherever the bytes are cut. */
static void
a_switch_ends_http(void **state)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n" SWITCH
        ACCEPT "\r\n\x81\x02hi";
    const size_t len = sizeof text - 1;

    (void)state;
    for (size_t cut = 0; cut <= len; cut++) {
        struct h1_head scratch;
        struct h1_res_out out;
        struct h1_res res;
        size_t at = 0;
        enum h1_res_event event = H1_RES_MORE;

        h1_res_init(&res, &h1_limits_default, &scratch);
        res.may_switch = true;
        if (cut > 0) {
            event = h1_res_feed(&res, (const uint8_t *)text, cut, &out);
            at = out.used;
        }
        if (event == H1_RES_MORE) {
            assert_int_equal(at, cut);
            event = h1_res_feed(&res, (const uint8_t *)text + cut, len - cut, &out);
            at += out.used;
        }
        assert_int_equal(event, H1_RES_HEAD);
        assert_int_equal(res.status, 101);
        assert_memory_equal(text + at, "\x81\x02hi", 4);
        assert_int_equal(at, len - 4);
        assert_false(h1_res_reusable(&res));
        h1_res_end(&res);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_pass),
        cmocka_unit_test(control_frames_stand_between_fragments),
        cmocka_unit_test(long_lengths),
        cmocka_unit_test(breaches_end_it_and_pass_not),
        cmocka_unit_test(messages_are_bounded),
        cmocka_unit_test(close_frames),
        cmocka_unit_test(requests),
        cmocka_unit_test(keys),
        cmocka_unit_test(subprotocols),
        cmocka_unit_test(answers),
        cmocka_unit_test(a_switch_ends_http),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
