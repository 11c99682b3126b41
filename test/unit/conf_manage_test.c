/* The section manage: what holds without it, what it says, and its faults. */
#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

#include <stdio.h>

static struct conf *
load(const char *text, const char *says)
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
    buf_free(&all);
    conf_faults_free(&faults);
    return conf;
}

static void
pace_is(const struct conf_pace *pace, uint32_t per_minute, uint32_t burst)
{
    assert_int_equal(pace->per_minute, per_minute);
    assert_int_equal(pace->burst, burst);
}

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static void
by_default(void **state)
{
    static const char *const texts[] = {"", "manage { }\n"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct conf *conf = load(texts[i], "");

        assert_non_null(conf);
        assert_int_equal(conf->manage.registration, CONF_CLOSED);
        assert_true(conf->manage.edit);
        assert_true(str_eq(conf->manage.title, STR("Turnpike")));
        assert_null(conf->manage.url.ptr);
        assert_int_equal(conf->manage.domains.count, 0);
        assert_int_equal(conf->manage.trial_ucr, 0);
        assert_int_equal(conf->manage.trial_days, 0);
        assert_int_equal(conf->manage.session_ms, 30 * DAY_MS);
        assert_int_equal(conf->manage.session_idle_ms, 7 * DAY_MS);
        assert_int_equal(conf->manage.invite_ms, 7 * DAY_MS);
        assert_int_equal(conf->manage.proxy_count, 0);
        pace_is(&conf->manage.address, 30000, 2000);
        pace_is(&conf->manage.caller, 3000, 200);
        pace_is(&conf->manage.failure, 30, 60);
        pace_is(&conf->manage.sign_in, 60, 120);
        pace_is(&conf->manage.account, 6, 20);
        assert_int_equal(conf->manage.keys_max, 10000);
        assert_int_equal(conf->manage.members_max, 1000);
        assert_int_equal(conf->manage.projects_max, 1000);
        conf_free(&conf);
    }
}

static void
as_stated(void **state)
{
    struct conf *conf = load("manage { registration = approval domains = {\"a.org\", \"b.org\"}\n"
                             "trial-credit = 2.5 trial-days = 14 title = \"Ours\" url = \"https://g.example/\"\n"
                             "session-time = 12h session-idle = 30m invite-time = 1d edit = false }\n",
                             "");

    (void)state;
    assert_non_null(conf);
    assert_int_equal(conf->manage.registration, CONF_APPROVAL);
    assert_false(conf->manage.edit);
    assert_int_equal(conf->manage.domains.count, 2);
    assert_true(str_eq(conf->manage.domains.at[1], STR("b.org")));
    assert_int_equal(conf->manage.trial_ucr, 2500000);
    assert_int_equal(conf->manage.trial_days, 14);
    assert_true(str_eq(conf->manage.title, STR("Ours")));
    assert_true(str_eq(conf->manage.url, STR("https://g.example")));
    assert_int_equal(conf->manage.session_ms, DAY_MS / 2);
    assert_int_equal(conf->manage.session_idle_ms, DAY_MS / 48);
    assert_int_equal(conf->manage.invite_ms, DAY_MS);
    conf_free(&conf);
}

/* The slowest that there may be, each, and who is trusted. */
static void
paces_and_proxies(void **state)
{
    static const uint8_t wanted[3][16] = {
        {[10] = 0xff, 0xff, 10, 1},
        {0x20, 0x01, 0x0d, 0xb8},
        {[10] = 0xff, 0xff, 192, 0, 2, 7},
    };
    static const uint8_t bits[3] = {96 + 16, 32, 128};
    struct conf *conf = load("manage { trusted-proxies = {\"10.1.2.3/16\", \"2001:db8::/32\", \"192.0.2.7\"}\n"
                             "address-rate = 600 address-burst = 100 caller-rate = 60 caller-burst = 50\n"
                             "failure-rate = 1 failure-burst = 5 sign-in-rate = 6 sign-in-burst = 10\n"
                             "account-rate = 1 account-burst = 5 }\n",
                             "");

    (void)state;
    assert_non_null(conf);
    assert_int_equal(conf->manage.proxy_count, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_memory_equal(conf->manage.proxies[i].addr, wanted[i], 16);
        assert_int_equal(conf->manage.proxies[i].bits, bits[i]);
    }
    pace_is(&conf->manage.address, 600, 100);
    pace_is(&conf->manage.caller, 60, 50);
    pace_is(&conf->manage.failure, 1, 5);
    pace_is(&conf->manage.sign_in, 6, 10);
    pace_is(&conf->manage.account, 1, 5);
    conf_free(&conf);
}

static void
faults(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"manage { registration = open }\n", ""},
        {"manage { registration = half }\n",
         "1: registration: \"half\" is none of closed approval open\n"},
        {"manage { trial-credit = -1 }\n", "1: trial-credit: -1 is negative; at least 0\n"},
        {"manage { url = \"g.example\" }\n", "1: url: the URL starts with neither https:// nor http://\n"},
        {"manage { url = \"https://g.example/x\" }\n",
         "1: url: the URL has a path; pages and API are at the root of their host\n"},
        {"manage { url = \"https://u:p@g.example\" }\n",
         "1: url: the URL holds a user name; keys come by key-env, key-file or key-credential\n"},
        {"manage { domains = {\"a@b.org\"} }\n", "1: domains: \"a@b.org\" is none; write example.org\n"},
        {"manage { domains = {\"*.b.org\"} }\n", "1: domains: \"*.b.org\" is none; write example.org\n"},
        {"manage { session-time = 1h }\n", "1: session-idle is longer than session-time\n"},
        {"manage { session-time = 1s }\n", "1: session-time: 1s is too small: at least 5m\n"},
        {"manage { }\nmanage { }\n", "2: manage is there twice; first in line 1\n"},
        {"manage { trusted-proxies = {} }\n", ""},
        {"manage { trusted-proxies = \"proxy.example\" }\n",
         "1: trusted-proxies: \"proxy.example\" is none; write 192.0.2.1 or 10.0.0.0/8\n"},
        {"manage { trusted-proxies = {\"10.0.0.0/8\", \"10.0.0.0/33\"} }\n",
         "1: trusted-proxies: \"10.0.0.0/33\" is none; write 192.0.2.1 or 10.0.0.0/8\n"},
        {"manage { trusted-proxies = \"0.0.0.0/0\" }\n",
         "1: trusted-proxies: \"0.0.0.0/0\" is everybody: any client could say which address it has\n"},
        {"manage { trusted-proxies = \"::/1\" }\n",
         "1: trusted-proxies: \"::/1\" is everybody: any client could say which address it has\n"},
        {"manage { trusted-proxies = \"128.0.0.0/1\" }\n", ""},
        {"manage { address-rate = 599 }\n", "1: address-rate: 599 is too small: at least 600\n"},
        {"manage { address-burst = 99 }\n", "1: address-burst: 99 is too small: at least 100\n"},
        {"manage { caller-rate = 59 }\n", "1: caller-rate: 59 is too small: at least 60\n"},
        {"manage { caller-burst = 49 }\n", "1: caller-burst: 49 is too small: at least 50\n"},
        {"manage { failure-rate = 0 }\n", "1: failure-rate: 0 is too small: at least 1\n"},
        {"manage { failure-burst = 4 }\n", "1: failure-burst: 4 is too small: at least 5\n"},
        {"manage { sign-in-rate = 5 }\n", "1: sign-in-rate: 5 is too small: at least 6\n"},
        {"manage { sign-in-burst = 9 }\n", "1: sign-in-burst: 9 is too small: at least 10\n"},
        {"manage { account-rate = 0 }\n", "1: account-rate: 0 is too small: at least 1\n"},
        {"manage { account-burst = 4 }\n", "1: account-burst: 4 is too small: at least 5\n"},
        {"manage { caller-rate = 600001 }\n", "1: caller-rate: 600001 is too large: at most 600000\n"},
        {"manage { colour = red }\n", "1: unknown name \"colour\" in manage\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *conf = load(cases[i].text, cases[i].says);

        assert_true((conf == NULL) == (cases[i].says[0] != '\0'));
        conf_free(&conf);
    }
}

/* Codes come by mail, or somebody else's word stands for them. */
static void
nobody_can_register(void **state)
{
    static const struct {
        const char *text;
        bool said;
    } cases[] = {
        {"manage { registration = open }\n", true},
        {"manage { registration = approval }\n", true},
        {"manage { }\n", false},
        {"manage { registration = open }\nmail { from = \"a@b.org\" sendmail = \"/usr/sbin/sendmail\" }\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf_faults all;
        struct conf *conf = conf_load_text(str_from(cases[i].text), "t", &all);
        unsigned said = 0;

        assert_non_null(conf);
        for (size_t f = 0; f < all.count; f++)
            said += all.at[f].warning && all.at[f].line == 1 &&
                    strcmp(all.at[f].message, "registration: nobody can register: there is no section mail to send "
                                              "codes by, and no oidc") == 0;
        assert_int_equal(said, cases[i].said);
        conf_faults_free(&all);
        conf_free(&conf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_can_register),
        cmocka_unit_test(by_default),
        cmocka_unit_test(as_stated),
        cmocka_unit_test(paces_and_proxies),
        cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
