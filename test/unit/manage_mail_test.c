/* A message, byte by byte; what people write stays text in it; and the way out through a program. */
#include "manage/mail.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "test/unit/testing.h"

static const struct conf_mail conf = {
    .from = {"turnpike@example.org", 20},
    .from_name = {"Turnpike", 8},
    .timeout_ms = 5000,
};

static struct js_value
object(const char *text)
{
    struct js_value value;
    struct js_error err;

    assert_true(js_check(str_from(text), &value, &err));
    return value;
}

static void
fill(const char *kind, enum conf_language language, const char *vars, struct mail_text *out)
{
    assert_true(mail_template_fill(str_from(kind), language, object(vars), out));
}

static bool
has(const struct buf *buf, const char *part)
{
    return str_contains(buf_str(buf), str_from(part));
}

static void
addresses(void **state)
{
    static const char *const good[] = {"a@b.c", "a.b+c@example.org", "-x@y", "o'neil@b.c"};
    static const char *const bad[] = {"",       "a",        "@b",     "a@",      "a@b@c", "a b@c",
                                      "a>@b.c", "a@b\r\nX", "<a@b.c", "\"a\"@b", "a;b@c", "a@\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(mail_address_ok(str_from(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(mail_address_ok(str_from(bad[i])));
}

static void
message(void **state)
{
    static const char want[] =
        "Date: Sat, 21 Nov 2026 03:04:05 +0000\r\n"
        "From: =?UTF-8?B?VHVybnBpa2U=?=\r\n"
        " <turnpike@example.org>\r\n"
        "To: <a@example.com>\r\n"
        "Subject: =?UTF-8?B?5oKo55qE6aqM6K+B56CB?=\r\n";
    struct mail_head head = {.to = STR("a@example.com"),
                             .id = 7,
                             .created_us = 1,
                             .wall_us = INT64_C(1795230245000000),
                             .language = CONF_CHINESE};
    struct mail_text text;
    struct buf out, again;

    (void)state;
    fill("verify", CONF_CHINESE, "{\"code\":\"123456\",\"minutes\":\"10\"}", &text);
    assert_str(buf_str(&text.subject), "您的验证码");
    assert_true(has(&text.plain, "    123456\n"));
    buf_init(&out, 1 << 20);
    buf_init(&again, 1 << 20);
    assert_true(mail_message(&conf, &head, &text, &out));
    assert_true(str_starts_with(buf_str(&out), STR(want)));
    assert_true(has(&out, "\r\nContent-Language: zh-CN\r\n"));
    assert_true(has(&out, "\r\nAuto-Submitted: auto-generated\r\n"));
    head.wall_us += 1000000;
    assert_true(mail_message(&conf, &head, &text, &again));
    /* Sent once more, it is the same message. */
    buf_add_char(&out, '\0');
    buf_add_char(&again, '\0');
    const char *id = strstr(out.ptr, "Message-ID: "), *again_id = strstr(again.ptr, "Message-ID: ");

    assert_non_null(id);
    assert_non_null(again_id);
    out.len--;
    assert_memory_equal(id, again_id, 12 + 1 + 24 + 1 + 11 + 1);
    for (size_t i = 0, line = 0; i < out.len; i++, line++) {
        assert_true(out.ptr[i] != '\0' && (uint8_t)out.ptr[i] < 0x80);
        if (out.ptr[i] == '\n') {
            assert_int_equal(out.ptr[i - 1], '\r');
            assert_true(line <= 78 + 1);
            line = SIZE_MAX;
        } else if (out.ptr[i] == '\r') {
            assert_int_equal(out.ptr[i + 1], '\n');
        }
    }
    buf_free(&out);
    buf_free(&again);
    mail_text_free(&text);
}

/* No character is cut in two, whatever a subject's length. */
static void
long_subjects(void **state)
{
    char vars[512], name[400];

    (void)state;
    for (size_t n = 1; n <= 100; n++) {
        struct mail_head head = {.to = STR("a@b.c"), .wall_us = 1};
        struct mail_text text;
        struct buf out;
        char *at, *end;

        name[0] = '\0';
        for (size_t i = 0; i < n; i++)
            strcat(name, i % 7 == 3 ? "x" : i % 5 == 1 ? "\xf0\x9f\x98\x80" : "\xe4\xb8\xad");
        snprintf(vars, sizeof(vars), "{\"tenant\":\"%s\"}", name);
        fill("approved", CONF_ENGLISH, vars, &text);
        buf_init(&out, 1 << 20);
        assert_true(mail_message(&conf, &head, &text, &out));
        buf_add_char(&out, '\0');
        at = strstr(out.ptr, "Subject: ") + 9;
        end = strstr(at, "\r\nMessage-ID");
        while (at < end) {
            char *stop = strstr(at, "?=");

            assert_memory_equal(at, "=?UTF-8?B?", 10);
            assert_true(stop + 2 - at <= 75);
            /* A word that begins inside of a character begins with a tail byte: 10xxxxxx is base64 g to v. */
            assert_false(at[10] >= 'g' && at[10] <= 'v');
            at = stop + 2;
            if (at < end) {
                assert_memory_equal(at, "\r\n ", 3);
                at += 3;
            }
        }
        buf_free(&out);
        mail_text_free(&text);
    }
}

static void
what_people_write(void **state)
{
    struct mail_text text;

    (void)state;
    fill("invitation", CONF_ENGLISH,
         "{\"tenant\":\"<b>A&B\\\"'\",\"inviter\":\"e\\u202evil\\u2066\\u200f\\u061c!\",\"role\":\"admin\","
         "\"link\":\"https://x.example/?a=1&b=\\\"\"}",
         &text);
    assert_str(buf_str(&text.subject), "Invitation to <b>A&B\"'");
    assert_true(has(&text.html, "evil! invites you to join &lt;b&gt;A&amp;B&quot;&#39;, as admin."));
    assert_true(has(&text.html, "<a href=\"https://x.example/?a=1&amp;b=&quot;\""));
    assert_true(has(&text.plain, "evil! invites you to join <b>A&B\"', as admin."));
    assert_false(has(&text.plain, "ends at")); /* no value for it */
    mail_text_free(&text);

    fill("invitation", CONF_CHINESE,
         "{\"tenant\":\"T\",\"inviter\":\"I\",\"role\":\"admin\",\"link\":\"javascript:alert(1)\"}", &text);
    assert_true(has(&text.plain, "I 邀请您加入 T，角色为 管理员。"));
    assert_false(has(&text.html, "href"));
    assert_false(has(&text.plain, "javascript"));
    mail_text_free(&text);

    fill("verify", CONF_ENGLISH, "{\"code\":\"1\\r\\nBcc: x@y.z\\u0000\"}", &text);
    assert_true(has(&text.plain, "    1Bcc: x@y.z\n"));
    mail_text_free(&text);
    assert_false(mail_template_fill(STR("none"), CONF_ENGLISH, object("{}"), &text));
    mail_text_free(&text);
}

static void
languages(void **state)
{
    (void)state;
    assert_int_equal(mail_language(STR("zh-CN"), CONF_ENGLISH), CONF_CHINESE);
    assert_int_equal(mail_language(STR("zh"), CONF_ENGLISH), CONF_CHINESE);
    assert_int_equal(mail_language(STR("en-GB"), CONF_CHINESE), CONF_ENGLISH);
    assert_int_equal(mail_language(STR(""), CONF_CHINESE), CONF_CHINESE);
    assert_int_equal(mail_language(STR("fr"), CONF_ENGLISH), CONF_ENGLISH);
}

/* ---- a program ---- */

static char dir[] = "/tmp/turnpike-mail-XXXXXX";

static struct conf_mail
program(const char *script)
{
    static char path[64];
    struct conf_mail with = conf;
    FILE *file;

    snprintf(path, sizeof(path), "%s/sendmail", dir);
    unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\ncd %s || exit 1\n%s\n", dir, script);
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    with.sendmail = str_from(path);
    return with;
}

static void
check_file(const char *name, const char *want)
{
    char path[64], text[4096];
    FILE *file;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "r");
    assert_non_null(file);
    len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    fclose(file);
    assert_string_equal(text, want);
}

static void
check_send(struct conf_mail with, const char *to, enum mail_sent want, const char *want_why)
{
    char why[128];

    assert_int_equal(mail_send(&with, str_from(to), STR("Subject: x\r\n\r\n.\r\nend\r\n"), why, sizeof(why)),
                     want);
    assert_string_equal(why, want_why);
}

static void
programs(void **state)
{
    struct conf_mail with;

    (void)state;
    setenv("A_SECRET", "hunter2", 1);
    assert_int_equal(fcntl(2, F_DUPFD, 77), 77); /* without close-on-exec */
    check_send(program("echo \"$@\" >args; cat >text; ls /proc/self/fd | wc -l >fds; env | grep -c SECRET >env; "
                       "exit 0"),
               "a$(touch pwned)@b.c", MAIL_NEVER, "the address is none");
    check_send(program("echo \"$@\" >args; cat >text; ls /proc/$$/fd | grep -c 77 >fds; env | grep -c SECRET "
                       ">env; exit 0"),
               "a$HOME'`id`@b.c", MAIL_SENT, "");
    check_file("args", "-i -f turnpike@example.org -- a$HOME'`id`@b.c\n");
    check_file("text", "Subject: x\n\n.\nend\n");
    check_file("fds", "0\n");
    check_file("env", "0\n");
    check_send(program("exit 75"), "a@b.c", MAIL_LATER, "the program ends with 75");
    check_send(program("exit 67"), "a@b.c", MAIL_NEVER, "the program ends with 67");
    check_send(program("exit 0"), "-oX@b.c", MAIL_NEVER, "the address begins like an option");
    with = program("exit 0");
    with.sendmail = STR("/nonexistent/sendmail");
    check_send(with, "a@b.c", MAIL_LATER, "the program does not start: No such file or directory");
    with = program("sleep 60 & sleep 60");
    with.timeout_ms = 200;
    check_send(with, "a@b.c", MAIL_LATER, "the program did not end in time");
    close(77);
}

static int
unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),         cmocka_unit_test(message),
        cmocka_unit_test(long_subjects),     cmocka_unit_test(what_people_write),
        cmocka_unit_test(languages),         cmocka_unit_test(programs),
    };
    int failed;

    signal(SIGPIPE, SIG_IGN); /* as in the process that sends */
    if (mkdtemp(dir) == NULL)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    nftw(dir, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
