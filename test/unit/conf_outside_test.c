/* The sections mail, turnstile and oidc: what they say, every fault of theirs, and that secrets stay out of sight. */
#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/conf_good.h"
#include "test/unit/testing.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIL "mail { from = \"t@example.org\" "
#define SMTP MAIL "smtp = \"smtps://mail.example.org\" "
#define TURNSTILE "turnstile { site-key = \"1x\" secret-env = \"TS\" "
#define OIDC "oidc \"corp\" { issuer = \"https://id.example.org\" client-id = \"tp\" "

static void
said(const char *text, const char *says)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(str_from(text), "t", &faults);
    struct buf all;

    buf_init(&all, 1 << 16);
    for (size_t i = 0; i < faults.count; i++)
        if (!faults.at[i].warning) /* there is nothing to be served, which is another matter */
            buf_add_fmt(&all, "%u: %s\n", faults.at[i].line, faults.at[i].message);
    buf_add_char(&all, '\0');
    if (strcmp(all.ptr, says) != 0)
        print_error("for %s\n", text);
    assert_string_equal(all.ptr, says);
    assert_true((conf == NULL) == (faults.fault_count > 0));
    buf_free(&all);
    conf_faults_free(&faults);
    conf_free(&conf);
}

static void
faults(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {SMTP "}\n", ""},
        {MAIL "}\n", "1: mail: name either smtp or sendmail\n"},
        {SMTP "sendmail = \"/usr/sbin/sendmail\" }\n", "1: mail: name either smtp or sendmail\n"},
        {MAIL "sendmail = \"sendmail\" }\n", "1: sendmail: name the program by its full path\n"},
        {"mail { smtp = \"smtps://m.example\" }\n", "1: mail: from is not stated\n"},
        {MAIL "smtp = \"https://m.example\" }\n",
         "1: smtp: the URL starts with neither smtp:// nor smtps://\n"},
        {MAIL "smtp = \"smtp://m.example/x\" }\n", "1: smtp: the URL has a path\n"},
        {MAIL "smtp = \"smtp://user:pw@m.example\" }\n",
         "1: smtp: the URL holds a user name; keys come by key-env, key-file or key-credential\n"},
        {MAIL "smtp = \"smtp://10.1.2.3\" }\n",
         "1: smtp: 10.1.2.3 is not a public address; set local = true to allow it\n"},
        {MAIL "smtp = \"smtp://10.1.2.3\" local = true tls = off }\n",
         "1: tls: mail and password would go unencrypted; off is for a server at a loopback "
         "address\n"},
        {MAIL "smtp = \"smtp://127.0.0.1:2525\" local = true tls = off }\n", ""},
        {MAIL "smtp = \"smtp://[::1]\" local = true tls = off }\n", ""},
        {MAIL "smtp = \"smtp://LocalHost\" local = true tls = off }\n", ""},
        {MAIL "smtp = \"smtp://127.0.0.1.example.org\" tls = off }\n",
         "1: tls: mail and password would go unencrypted; off is for a server at a loopback "
         "address\n"},
        {MAIL "smtp = \"smtps://127.0.0.1\" local = true tls = off }\n",
         "1: tls: smtps:// is encrypted; write smtp:// to turn that off\n"},
        {SMTP "user = \"u\" }\n", "1: mail: there is a user and no password\n"},
        {SMTP "password-file = \"p\" }\n", "1: mail: there is a password and no user\n"},
        {SMTP "user = \"u\" password-file = \"p\" password-env = \"P\" }\n",
         "1: mail: names more than one source of its secret\n"},
        {SMTP "user = \"u\" password-env = \"hunter-2!\" }\n",
         "1: password-env: this is not the name of an environment variable; the secret itself does "
         "not belong in this file\n"},
        {SMTP "user = \"u\" password-credential = \"../x\" }\n",
         "1: password-credential: this is not the name of a credential\n"},
        {"mail { from = \"t@x> Bcc: a\" smtp = \"smtps://m.example\" }\n",
         "1: from: this is not a mail address\n"},
        {SMTP "reply-to = \"nobody\" operators = \"a@b@c\" }\n",
         "1: reply-to: this is not a mail address\n1: operators: this is not a mail address\n"},
        {SMTP "}\n" SMTP "}\n", "2: mail is there twice; first in line 1\n"},
        {TURNSTILE "}\n", ""},
        {"turnstile { site-key = \"x\" }\n",
         "1: turnstile: has no secret; add secret-file, secret-env or secret-credential\n"},
        {TURNSTILE "url = \"http://c.example\" }\n",
         "1: url: secrets would go unencrypted; write https://, or set local = true\n"},
        {TURNSTILE "url = \"https://127.0.0.1\" }\n",
         "1: url: 127.0.0.1 is not a public address; set local = true to allow it\n"},
        {OIDC "}\n", ""},
        {OIDC "}\n" OIDC "}\n", "2: oidc \"corp\" is there twice\n"},
        {OIDC "scopes = {\"a b\"} }\n", "1: scopes: \"a b\" is none\n"},
        {"oidc \"c\" { issuer = \"https://id.example.org/?x\" client-id = \"a\" }\n",
         "1: issuer: the URL holds a query; leave out the ? and what follows\n"},
        {"oidc \"c d\" { issuer = \"https://id.example.org\" client-id = \"a\" }\n",
         "1: oidc \"c d\": a name has letters, digits and . _ - only\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        said(cases[i].text, cases[i].says);
}

static void
values(void **state)
{
    struct conf *conf = conf_good(STR(
        MAIL "smtp = \"smtp://[2606:4700::1]:2525\" language = zh-CN timeout = 3s }\n" TURNSTILE
        "hostnames = {\"a.example\", \"b.example\"} }\n" OIDC
        "title = \"Corp\" domains = {\"corp.example\"} unverified = true }\n"));

    (void)state;
    assert_true(conf->mail.on);
    assert_str(conf->mail.host, "2606:4700::1");
    assert_int_equal(conf->mail.port, 2525);
    assert_false(conf->mail.implicit);
    assert_int_equal(conf->mail.tls, CONF_MAIL_TLS_REQUIRED);
    assert_int_equal(conf->mail.language, CONF_CHINESE);
    assert_int_equal(conf->mail.timeout_ms, 3000);
    assert_str(conf->mail.from, "t@example.org");
    assert_str(conf->mail.from_name, "Turnpike");
    assert_null(conf->mail.user.ptr);
    assert_str(conf->turnstile.at.url, "https://challenges.cloudflare.com/turnstile/v0/siteverify");
    assert_int_equal(conf->turnstile.hostnames.count, 2);
    assert_int_equal(conf->oidc_count, 1);
    assert_str(conf->oidcs[0].name, "corp");
    assert_str(conf->oidcs[0].title, "Corp");
    assert_str(conf->oidcs[0].domains.at[0], "corp.example");
    assert_true(conf->oidcs[0].unverified);
    assert_int_equal(conf->oidcs[0].at.timeout_ms, 10000);
    conf_free(&conf);
    conf = conf_good(STR(SMTP "}\n"));
    assert_int_equal(conf->mail.port, 465);
    assert_true(conf->mail.implicit);
    conf_free(&conf);
    conf = conf_good(STR(MAIL "smtp = \"smtp://mail.example.org\" }\n"));
    assert_int_equal(conf->mail.port, 587);
    conf_free(&conf);
}

static void
secrets(void **state)
{
    char path[] = "/tmp/turnpike-conf-XXXXXX";
    int fd = mkstemp(path);
    struct conf_faults list;
    struct conf *conf;
    FILE *file;

    (void)state;
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    fprintf(file, "%s", SMTP "user = \"u\" password-env = \"TP_MAIL\" }\n"
                        "turnstile { site-key = \"x\" secret-env = \"TP_TS\" }\n"
                        OIDC "client-secret-env = \"TP_OIDC\" }\n"
                        "oidc \"open\" { issuer = \"https://o.example\" client-id = \"c\" }\n");
    fclose(file);
    setenv("TP_MAIL", "pass word", 1);
    setenv("TP_OIDC", "s3cret", 1);
    unsetenv("TP_TS");
    conf = conf_load(path, &list);
    assert_non_null(conf);
    assert_true(conf->mail.on);
    assert_str(conf->mail.password, "pass word");
    assert_false(conf->turnstile.on);
    assert_int_equal(list.warning_count, 2);
    assert_non_null(strstr(list.at[1].message, "turnstile is disabled: the environment variable "
                                               "TP_TS is not set"));
    assert_true(conf->oidcs[0].on);
    assert_str(conf->oidcs[0].secret, "s3cret");
    assert_true(conf->oidcs[1].on);
    assert_null(conf->oidcs[1].secret.ptr);

    const char *password = conf->mail.password.ptr, *secret = conf->oidcs[0].secret.ptr;

    conf_forget_outside(conf);
    assert_false(conf->mail.on);
    assert_false(conf->oidcs[0].on);
    assert_null(conf->mail.password.ptr);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(password[i], 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(secret[i], 0);
    conf_faults_free(&list);
    conf_free(&conf);
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults),
        cmocka_unit_test(values),
        cmocka_unit_test(secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
