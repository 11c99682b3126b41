/* Requests and their replies: whole, streamed, later, cut; clients that leave; draining. The handler is ours. */
#include "net_tools.h"
#include "manage/httpd.h"
#include "manage/op.h"
#include "manage/request.h"
#include "net/unix.h"

static struct manage manage;
static char folder[64], path[96];
static struct side client;

/* What the handler does with the next request, and what it saw of the last one. */
static void (*handler)(struct request *request);
static struct request *last;
static unsigned handled, gone, drained;
static char seen[1024];

/* ---- in the place of all above requests ---- */

int
manage_begin(struct manage *m)
{
    (void)m;
    return 0;
}

void
manage_end(struct manage *m)
{
    (void)m;
}

static void
note(struct request *r)
{
    (void)snprintf(seen, sizeof(seen), "%.*s %.*s?%.*s [%.*s] peer=%.*s tls=%d id=%.*s host=%.*s cookie=%.*s",
                   STR_ARGS(r->method), STR_ARGS(r->path), STR_ARGS(r->query), STR_ARGS(r->body),
                   STR_ARGS(r->peer_ip), r->tls, STR_ARGS(r->id), STR_ARGS(r->host), STR_ARGS(r->cookie));
}

void
manage_handle(struct request *request)
{
    handled++;
    last = request;
    note(request);
    if (handler != NULL)
        handler(request);
}

/* ---- the frame ---- */

static int
setup(void **state)
{
    int fd;

    (void)state;
    memset(&manage, 0, sizeof(manage));
    handler = NULL;
    last = NULL;
    handled = gone = drained = 0;
    tools_net(&manage.net);
    (void)snprintf(folder, sizeof(folder), "/tmp/manage-httpd-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
    fd = net_listen_unix(path);
    assert_true(fd >= 0);
    manage.httpd = httpd_new(&manage, fd);
    assert_non_null(manage.httpd);
    side_init(&client);
    assert_int_equal(net_dial_unix(&manage.net, &client.conn, &side_events, path), 0);
    RUN_UNTIL(&manage.net, client.opened == 1);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    conn_close(&client.conn);
    RUN_UNTIL(&manage.net, client.closed == 1);
    if (!manage.draining) {
        manage.draining = true;
        httpd_drain(manage.httpd);
    }
    RUN_UNTIL(&manage.net, httpd_is_empty(manage.httpd));
    httpd_free(&manage.httpd);
    assert_int_equal(manage.net.counts.conns_open, 0);
    net_end(&manage.net);
    side_free(&client);
    (void)unlink(path);
    (void)rmdir(folder);
    return 0;
}

static void
say(const char *text)
{
    struct str part = {text, strlen(text)};

    assert_int_equal(conn_write(&client.conn, &part, 1), 0);
}

static bool
got_is(const char *text)
{
    return client.got.len == strlen(text) && memcmp(client.got.ptr, text, client.got.len) == 0;
}

static void
expect(const char *text)
{
    RUN_UNTIL(&manage.net, client.got.len >= strlen(text));
    RUN_FOR(&manage.net, 5);
    if (!got_is(text))
        fail_msg("got: %.*s", (int)client.got.len, client.got.ptr);
    client.got.len = 0;
}

#define GET(target) "GET " target " HTTP/1.1\r\nhost: h\r\n\r\n"

/* ---- replies ---- */

static void
reply_with_body(struct request *r)
{
    request_head(r, 200);
    request_header(r, "content-type", STR("text/plain"));
    request_send(r, r->body);
}

static void
whole_replies_in_turn(void **state)
{
    (void)state;
    handler = reply_with_body;
    say("POST /a%20b?c=d HTTP/1.1\r\nHost: h.test\r\nX-Turnpike-Peer: 192.0.2.1\r\nx-turnpike-tls: 1\r\n"
        "x-request-id: call_1\r\nCookie: x=y\r\ncookie: z=z\r\ncontent-length: 3\r\n\r\nabc" GET("/two"));
    expect("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc"
           "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(handled, 2);
    assert_string_equal(seen, "GET /two? [] peer= tls=0 id= host=h cookie=");
    handler = NULL;
    say("DELETE /a?c=d&e HTTP/1.1\r\nHost: h.test\r\nX-Turnpike-Peer: 192.0.2.1\r\nx-turnpike-tls: 1\r\n"
        "x-request-id: call_1\r\nCookie: x=y\r\ncookie: z=z\r\n\r\n");
    RUN_UNTIL(&manage.net, handled == 3);
    assert_string_equal(seen, "DELETE /a?c=d&e [] peer=192.0.2.1 tls=1 id=call_1 host=h.test cookie=x=y");
    reply_with_body(last);
}

static void
reply_204(struct request *r)
{
    request_head(r, 204);
    request_send(r, STR("never sent"));
}

static void
replies_without_body(void **state)
{
    (void)state;
    handler = reply_204;
    say(GET("/"));
    expect("HTTP/1.1 204 No Content\r\n\r\n");
    handler = reply_with_body;
    say("HEAD / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab");
    expect("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n");
}

static void
reply_with_bad_headers(struct request *r)
{
    request_head(r, 200);
    request_header(r, "x-a", STR("fine"));
    request_header(r, "x-b", STR("split\r\nset-cookie: evil=1"));
    request_header(r, "x-c", ((struct str){"nul\0", 4}));
    request_send(r, STR(""));
}

static void
headers_cannot_be_split(void **state)
{
    (void)state;
    handler = reply_with_bad_headers;
    say(GET("/"));
    expect("HTTP/1.1 200 OK\r\nx-a: fine\r\ncontent-length: 0\r\n\r\n");
}

static void
streamed_later(void **state)
{
    (void)state;
    say(GET("/tail"));
    RUN_UNTIL(&manage.net, handled == 1);
    request_head(last, 200);
    assert_int_equal(request_chunk(last, STR("")), 0);
    expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_int_equal(request_chunk(last, STR("one")), 0);
    assert_int_equal(request_chunk(last, STR("")), 0);
    expect("3\r\none\r\n");
    say(GET("/next")); /* waits for its turn */
    RUN_FOR(&manage.net, 20);
    assert_int_equal(handled, 1);
    handler = reply_with_body;
    request_end(last);
    expect("0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(handled, 2);
}

static void
cut_is_seen(void **state)
{
    (void)state;
    say(GET("/tail"));
    RUN_UNTIL(&manage.net, handled == 1);
    request_head(last, 200);
    assert_int_equal(request_chunk(last, STR("one")), 0);
    request_cut(last);
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"));
}

/* A question for the next part of an answer that cannot be asked: it is too late for a refusal. */
static void
refused_when_begun(void **state)
{
    struct op_call call = {.args = {.ptr = NULL}};

    (void)state;
    say(GET("/export"));
    RUN_UNTIL(&manage.net, handled == 1);
    call.request = last;
    assert_false(request_has_begun(last));
    request_head(last, 200);
    assert_int_equal(request_chunk(last, STR("one")), 0);
    assert_true(request_has_begun(last));
    op_refuse(&call, 503, "unavailable", NULL);
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"));
}

static void
on_drain(struct request *r)
{
    (void)r;
    drained++;
}

static void
full_and_drained(void **state)
{
    static char block[16384];
    struct str part = {block, sizeof(block)};
    size_t sent = 0;

    (void)state;
    conn_read_stop(&client.conn);
    say(GET("/export"));
    RUN_UNTIL(&manage.net, handled == 1);
    last->on_drain = on_drain;
    request_head(last, 200);
    while (!request_is_full(last)) {
        assert_int_equal(request_chunk(last, part), 0);
        sent += sizeof(block);
        assert_true(sent < 64u << 20);
        RUN_FOR(&manage.net, 1);
    }
    assert_int_equal(drained, 0);
    conn_read_start(&client.conn);
    RUN_UNTIL(&manage.net, drained == 1);
    assert_false(request_is_full(last));
    request_end(last);
    RUN_UNTIL(&manage.net, client.got.len > 5 && memcmp(client.got.ptr + client.got.len - 5, "0\r\n\r\n", 5) == 0);
    assert_true(client.got.len > sent);
}

/* ---- clients that leave ---- */

static void
on_gone(struct request *r)
{
    assert_true(r->gone);
    gone++;
}

static void
gone_is_told_once(void **state)
{
    (void)state;
    say(GET("/slow"));
    RUN_UNTIL(&manage.net, handled == 1);
    last->on_gone = on_gone;
    request_hold(last);
    conn_close(&client.conn);
    RUN_UNTIL(&manage.net, gone == 1 && client.closed == 1);
    /* Its memory is there, and replying does nothing. */
    assert_int_equal(manage.httpd->request_count, 1);
    request_head(last, 200);
    request_header(last, "x", STR("y"));
    assert_true(request_chunk(last, STR("z")) < 0);
    request_send(last, STR("z"));
    request_end(last);
    request_cut(last);
    request_release(last);
    assert_int_equal(manage.httpd->request_count, 0);
    assert_int_equal(gone, 1);
}

static void
gone_without_a_hold(void **state)
{
    (void)state;
    say(GET("/slow"));
    RUN_UNTIL(&manage.net, handled == 1);
    last->on_gone = on_gone;
    conn_close(&client.conn);
    RUN_UNTIL(&manage.net, gone == 1);
    RUN_UNTIL(&manage.net, manage.httpd->request_count == 0);
}

/* A reply while a hold is kept: the memory outlives it, too. */
static void
held_over_its_reply(void **state)
{
    (void)state;
    say(GET("/"));
    RUN_UNTIL(&manage.net, handled == 1);
    request_hold(last);
    reply_with_body(last);
    expect("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(manage.httpd->request_count, 1);
    assert_false(last->gone);
    request_release(last);
    assert_int_equal(manage.httpd->request_count, 0);
}

/* ---- refusals ---- */

static void
bad_requests(void **state)
{
    (void)state;
    say("GET /x HTTP/1.1\r\nhost: h\r\ncontent-length: 1048577\r\n\r\n");
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    assert_int_equal(handled, 0);
}

static void
every_slicing(void **state)
{
    static const char text[] = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";

    (void)state;
    handler = reply_with_body;
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        struct str part = {text + i, 1};

        assert_int_equal(conn_write(&client.conn, &part, 1), 0);
        RUN_FOR(&manage.net, 1);
    }
    expect("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc");
}

/* ---- draining ---- */

static void
drain(void)
{
    manage.draining = true;
    httpd_drain(manage.httpd);
}

static void
idle_is_told_to_ask_again(void **state)
{
    (void)state;
    handler = reply_with_body;
    say(GET("/"));
    expect("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    say(GET("/crosses")); /* on its way as the other side drains */
    drain();
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is(HTTPD_AGAIN));
    assert_int_equal(handled, 1);
}

static void
asked_is_answered(void **state)
{
    (void)state;
    say(GET("/slow") GET("/after"));
    RUN_UNTIL(&manage.net, handled == 1);
    drain();
    RUN_FOR(&manage.net, 20);
    assert_false(httpd_is_empty(manage.httpd));
    reply_with_body(last);
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    assert_int_equal(handled, 1);
}

static void
half_asked_is_answered(void **state)
{
    (void)state;
    handler = reply_with_body;
    say("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na");
    RUN_FOR(&manage.net, 20);
    drain();
    RUN_FOR(&manage.net, 20);
    say("bc");
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_true(got_is("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"));
}

static void
cut_at_the_end(void **state)
{
    (void)state;
    say(GET("/never"));
    RUN_UNTIL(&manage.net, handled == 1);
    last->on_gone = on_gone;
    drain();
    httpd_cut(manage.httpd);
    RUN_UNTIL(&manage.net, client.eofs == 1);
    assert_int_equal(gone, 1);
    assert_int_equal(client.got.len, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whole_replies_in_turn), TEST(replies_without_body), TEST(headers_cannot_be_split),
        TEST(streamed_later),        TEST(cut_is_seen), TEST(refused_when_begun),         TEST(full_and_drained),
        TEST(gone_is_told_once),     TEST(gone_without_a_hold),  TEST(held_over_its_reply),
        TEST(bad_requests),          TEST(every_slicing),        TEST(idle_is_told_to_ask_again),
        TEST(asked_is_answered),     TEST(half_asked_is_answered), TEST(cut_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
