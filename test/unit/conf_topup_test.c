/* The section topup: what credit costs, what comes with it, and its faults. */
#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

#define CREDITS(n) (INT64_C(1000000) * (n))

static struct conf *
load(const char *text, const char *says)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(str_from(text), "t", &faults);
    struct buf all;

    buf_init(&all, 1 << 16);
    for (size_t i = 0; i < faults.count; i++)
        if (!faults.at[i].warning)
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
nothing_is_sold(void **state)
{
    struct conf *conf = load("", "");

    (void)state;
    assert_false(conf->topup.on);
    assert_int_equal(conf->topup.credits_u[CONF_USD], 0);
    conf_free(&conf);
}

static void
as_stated(void **state)
{
    struct conf *conf = load("topup { per-usd = 1.5 per-cny = 0.14 minimum = 5 maximum = 10000 expires = 30m\n"
                             "packages = {\"USD 50\", \"CNY 99.90\"} bonus = {\"100: 5\", \"500:10.5\"}\n"
                             "bonus-days = 90 bank = \"DE02\" confirm-above = 1000 }\n",
                             "");
    const struct conf_topup *topup = &conf->topup;

    (void)state;
    assert_true(topup->on);
    assert_int_equal(topup->credits_u[CONF_USD], 1500000);
    assert_int_equal(topup->credits_u[CONF_CNY], 140000);
    assert_int_equal(topup->minimum_ucr, CREDITS(5));
    assert_int_equal(topup->maximum_ucr, CREDITS(10000));
    assert_int_equal(topup->expires_ms, 1800000);
    assert_int_equal(topup->bonus_days, 90);
    assert_int_equal(topup->confirm_above_ucr, CREDITS(1000));
    assert_true(str_eq(topup->bank, STR("DE02")));
    assert_int_equal(topup->offer_count, 2);
    assert_int_equal(topup->offers[0].currency, CONF_USD);
    assert_int_equal(topup->offers[0].amount_minor, 5000);
    assert_int_equal(topup->offers[1].currency, CONF_CNY);
    assert_int_equal(topup->offers[1].amount_minor, 9990);
    assert_int_equal(topup->step_count, 2);
    assert_int_equal(topup->steps[0].from_ucr, CREDITS(100));
    assert_int_equal(topup->steps[0].percent_u, 5000000);
    assert_int_equal(topup->steps[1].percent_u, 10500000);
    conf_free(&conf);
}

static void
faults(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"topup { }\n", "1: topup: say what credit costs: per-usd, per-cny\n"},
        {"topup { per-usd = 1 minimum = 5 maximum = 4 }\n", "1: maximum is less than minimum\n"},
        {"topup { per-usd = 1\nbonus = {\"100: 5\", \"50: 6\"} }\n", "2: bonus: steps rise: \"50: 6\" does not\n"},
        {"topup { per-usd = 1\nbonus = {\"100: 101\"} }\n",
         "2: bonus: \"100: 101\" is none; write \"100: 5\" for 5 per cent from 100 credits on, at most 100\n"},
        {"topup { per-usd = 1\nbonus = {\"100\"} }\n",
         "2: bonus: \"100\" is none; write \"100: 5\" for 5 per cent from 100 credits on, at most 100\n"},
        {"topup { per-usd = 1\npackages = {\"CNY 5\"} }\n",
         "2: packages: \"CNY 5\": nothing is sold for that currency (per-usd, per-cny)\n"},
        {"topup { per-usd = 1\npackages = {\"USD 5.001\"} }\n", "2: packages: \"USD 5.001\" is none; write \"USD 50\"\n"},
        {"topup { per-usd = 1\npackages = {\"EUR 5\"} }\n", "2: packages: \"EUR 5\" is none; write \"USD 50\"\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conf *conf = load(bad[i].text, bad[i].says);

        assert_null(conf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sold),
        cmocka_unit_test(as_stated),
        cmocka_unit_test(faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
