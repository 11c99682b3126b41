#include "base/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/js.h"
#include "base/str.h"
#include "test/unit/testing.h"

/* Standard error is a pipe of ours while a test runs. */
static int saved_fd, read_fd;
static char output[1 << 20];

static void
capture_start(bool json)
{
    int fds[2];
    struct log_setup setup = {.process = "worker 1", .level_max = LOG_LEVEL_INFO, .json = json};

    assert_int_equal(pipe(fds), 0);
    saved_fd = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    read_fd = fds[0];
    log_setup(&setup);
}

static struct str
capture_read(void)
{
    ssize_t len;

    fcntl(read_fd, F_SETFL, O_NONBLOCK);
    len = read(read_fd, output, sizeof(output) - 1);
    len = MAX(len, 0);
    output[len] = '\0';
    return (struct str){output, (size_t)len};
}

static struct str
capture_end(void)
{
    struct str text = capture_read();

    dup2(saved_fd, STDERR_FILENO);
    close(saved_fd);
    close(read_fd);
    return text;
}

static void
test_text(void **state)
{
    struct str line, rest;

    (void)state;
    capture_start(false);
    log_info("server.started", "port=%d", 8080);
    line = capture_end();
    assert_int_equal(line.ptr[10], 'T');
    str_split(line, ' ', &rest);
    assert_str(rest, "info  worker 1: server.started port=8080\n");
    capture_start(false);
    log_debug("not.shown", "a=%d", 1);
    assert_int_equal(capture_end().len, 0);
}

static void
test_one_line(void **state)
{
    struct str line;

    (void)state;
    capture_start(false);
    log_error("a.b", "x=%s", "1\n2\r\x1b[31m\x7f\xff \xc3\xbc");
    line = capture_end();
    assert_int_equal(str_find(line, '\n', 0), line.len - 1);
    assert_true(str_ends_with(line, STR(" x=1\\n2\\r\\x1b[31m\\x7f\\xff \xc3\xbc\n")));
}

static void
test_quote(void **state)
{
    char text[1000];
    const char *quoted, *kept[8];

    (void)state;
    assert_string_equal(log_quote(STR("plain-1.x/y:z")), "plain-1.x/y:z");
    assert_string_equal(log_quote(STR_NONE), "\"\"");
    assert_string_equal(log_quote(STR("a b")), "\"a b\"");
    assert_string_equal(log_quote(STR("a=b")), "\"a=b\"");
    assert_string_equal(log_quote(STR("a\"b\\c")), "\"a\\\"b\\\\c\"");
    assert_string_equal(log_quote(STR("a\nb\0")), "\"a\\nb\\x00\"");
    assert_string_equal(log_quote(STR("\xc3\xbc")), "\xc3\xbc");
    assert_string_equal(log_quote(STR("\xc3")), "\\xc3");
    memset(text, 'x', sizeof(text));
    quoted = log_quote((struct str){text, sizeof(text)});
    assert_true(strlen(quoted) < 256);
    assert_string_equal(quoted + strlen(quoted) - 4, "x...");
    memset(text, '\n', sizeof(text));
    quoted = log_quote((struct str){text, sizeof(text)});
    assert_true(strlen(quoted) < 256);
    assert_string_equal(quoted + strlen(quoted) - 4, "...\"");
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        kept[i] = log_quote((struct str){&"abcdefgh"[i], 1});
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        assert_int_equal(kept[i][0], "abcdefgh"[i]);
}

static void
test_json(void **state)
{
    struct js_value line;
    struct js_error err;
    struct str text;
    char name[100];

    (void)state;
    capture_start(true);
    log_warn("a.b", "n=%d m=%d id=%s name=%s bad=\"x", 12, -3, "007",
             log_quote(STR("say \"hi\" \\ \xc3\xbc")));
    text = capture_end();
    assert_true(js_check(text, &line, &err));
    assert_true(js_str_eq(js_get(line, STR("level")), STR("warn")));
    assert_true(js_str_eq(js_get(line, STR("process")), STR("worker 1")));
    assert_true(js_str_eq(js_get(line, STR("event")), STR("a.b")));
    assert_str(js_get(line, STR("n")).raw, "12");
    assert_true(js_is(js_get(line, STR("m")), JS_NUMBER));
    assert_true(js_str_eq(js_get(line, STR("id")), STR("007"))); /* no number in JSON */
    assert_str(js_unescape(js_get(line, STR("name")), name, sizeof(name)),
               "say \"hi\" \\ \xc3\xbc");
    assert_true(js_str_eq(js_get(line, STR("bad")), STR("x")));
}

/* However long and odd the values: a line of bounded length that is JSON. */
static void
test_json_long(void **state)
{
    static const char fill[] = {'x', '\n', '"', '\\', '=', ' ', '\x01', '\xff'};
    char value[3000];
    struct js_value line;
    struct js_error err;
    struct str text;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fill); i++) {
        memset(value, fill[i], sizeof(value));
        value[sizeof(value) - 1] = '\0';
        capture_start(true);
        log_warn("a.b", "n=1 x=%s y=2", value);
        text = capture_end();
        assert_true(text.len > 0 && text.len <= 4096);
        assert_true(js_check(text, &line, &err));
        assert_str(js_get(line, STR("n")).raw, "1");
    }
}

/* A reader that does not read costs lines, never time; and then it is told. */
static void
test_full_pipe(void **state)
{
    struct str text;
    unsigned sent = 20000;

    (void)state;
    capture_start(false);
    for (unsigned i = 0; i < sent; i++)
        log_info("some.event", "i=%u", i);
    text = capture_read();
    assert_true(text.len > 0 && text.len < sent * 20);
    log_info("after.that", "");
    text = capture_end();
    assert_true(str_contains(text, STR("log.dropped count=")));
    assert_true(str_contains(text, STR("after.that")));
}

/* Who can wait is told, and nothing of it counts as dropped. */
static void
test_try(void **state)
{
    struct str text;
    unsigned written = 0;

    (void)state;
    capture_start(false);
    assert_true(log_try(LOG_LEVEL_DEBUG, "not.wanted", ""));
    while (log_try(LOG_LEVEL_INFO, "some.event", "i=%u", written))
        written++;
    assert_in_range(written, 500, 20000);
    assert_false(log_try(LOG_LEVEL_INFO, "some.event", "i=%u", written));
    (void)capture_read();
    assert_true(log_try(LOG_LEVEL_INFO, "after.that", "n=1"));
    text = capture_end();
    assert_false(str_contains(text, STR("log.dropped")));
    assert_true(str_ends_with(text, STR("worker 1: after.that n=1\n")));
}

static void
test_journal(void **state)
{
    int fds[2];
    char stream[64];
    struct log_setup setup = {.process = "master", .level_max = LOG_LEVEL_INFO};
    struct stat st;
    struct str text;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fstat(fds[1], &st);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    saved_fd = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    read_fd = fds[0];
    log_setup(&setup);
    log_error("a.b", "x=1");
    assert_string_equal(log_priority(LOG_LEVEL_WARN), "<4>");
    text = capture_end();
    assert_str(text, "<3>master: a.b x=1\n");
    assert_string_equal(log_priority(LOG_LEVEL_ERROR), ""); /* standard error is the old one again */
    setenv("JOURNAL_STREAM", "1:1", 1);
    capture_start(false);
    log_info("a.b", "");
    assert_int_not_equal(capture_end().ptr[0], '<');
    unsetenv("JOURNAL_STREAM");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_quote),     cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_long), cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_journal),   cmocka_unit_test(test_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
