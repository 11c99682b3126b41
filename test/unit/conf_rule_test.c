/* Routing rules as they are read, and which of them are refused. */
#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

#define TOP                                                                                        \
    "upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"                           \
    "model \"m1\" { input = 1 output = 2 family = f alias = {\"mini\"} }\n"                        \
    "model \"m2\" { input = 1 output = 2 family = f }\n"                                           \
    "model \"other\" { input = 1 output = 2 }\n"                                                   \
    "channel \"c\" { use = u source = \"official\" } channel \"d\" { use = u }\n"                  \
    "auto \"auto\" { models = {\"m*\"} }\n"

static void
check(const char *rules, const char *says)
{
    struct conf_faults faults;
    struct conf *conf;
    struct buf text, said;

    buf_init(&text, 1 << 20);
    buf_init(&said, 1 << 20);
    buf_add_fmt(&text, "%s%s", TOP, rules);
    conf = conf_load_text((struct str){text.ptr, text.len}, "t", &faults);
    for (size_t i = 0; i < faults.count; i++)
        buf_add_fmt(&said, "%u: %s%s\n", faults.at[i].line, faults.at[i].warning ? "warning: " : "",
                    faults.at[i].message);
    buf_add_char(&said, '\0');
    if (strcmp(said.ptr, says) != 0)
        print_error("-- for\n%s-- said\n%s-- and not\n%s", rules, said.ptr, says);
    assert_string_equal(said.ptr, says);
    assert_true((conf == NULL) == (faults.fault_count > 0));
    buf_free(&text);
    buf_free(&said);
    conf_faults_free(&faults);
    conf_free(&conf);
}

static void
test_read(void **state)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(
        STR(TOP "rule \"first\" {\n"
                " model = {\"m*\", \"gone*\"} project = {\"p\"} key = {\"k*\"} needs = {tools, vision}\n"
                " context-above = 10 context-below = 12 hours = \"22:00-06:30\" exhausted = d\n"
                " to-model = \"mini\" to-channel = {\"d\", \"c\"} fallback = {\"m2\", \"mini\"}\n"
                "}\n"
                "rule \"rest\" { to-model = \"auto\" }\n"),
        "t", &faults);
    const struct conf_rule *rule;

    (void)state;
    assert_non_null(conf);
    assert_int_equal(conf->rule_count, 2);
    assert_str(conf->channels[0].source, "official");
    assert_null(conf->channels[1].source.ptr);
    rule = &conf->rules[0];
    assert_str(rule->name, "first");
    assert_int_equal(rule->models.count, 2);
    assert_str(rule->projects.at[0], "p");
    assert_str(rule->keys.at[0], "k*");
    assert_int_equal(rule->needs, 1u << CONF_CAN_TOOLS | 1u << CONF_CAN_VISION);
    assert_int_equal(rule->context_above, 10);
    assert_int_equal(rule->context_below, 12);
    assert_true(rule->has_hours);
    assert_int_equal(rule->hours.from_min, 1320);
    assert_int_equal(rule->hours.to_min, 390);
    assert_int_equal(rule->zone.count, 1);
    assert_int_equal(rule->exhausted_idx, 1);
    assert_int_equal(rule->to_model_idx, 0);
    assert_int_equal(rule->to_auto_idx, CONF_NONE);
    assert_int_equal(rule->to_channel_count, 2);
    assert_int_equal(rule->to_channels[0], 1);
    assert_int_equal(rule->to_channels[1], 0);
    assert_int_equal(rule->fallback_count, 2);
    assert_int_equal(rule->fallbacks[0], 1);
    assert_int_equal(rule->fallbacks[1], 0);
    rule = &conf->rules[1];
    assert_false(rule->has_hours);
    assert_int_equal(rule->models.count, 0);
    assert_int_equal(rule->exhausted_idx, CONF_NONE);
    assert_int_equal(rule->to_model_idx, CONF_NONE);
    assert_int_equal(rule->to_auto_idx, 0);
    assert_int_equal(rule->to_channel_count + rule->fallback_count, 0);
    conf_free(&conf);
}

static void
test_zone(void **state)
{
    char path[] = "/tmp/conf_rule_test.XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = TOP "rule \"r\" { hours = \"08:00-20:00\" zone = \"Asia/Shanghai\"\n"
                                   " to-channel = c }\n";
    struct conf_faults faults;
    struct conf *conf;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    conf = conf_load(path, &faults);
    assert_int_equal(unlink(path), 0);
    assert_non_null(conf);
    assert_int_equal(zone_offset_s(&conf->rules[0].zone, INT64_C(1790000000000000)), 8 * 3600);
    conf_faults_free(&faults);
    conf_free(&conf);
}

static void
test_references(void **state)
{
    (void)state;
    check("rule \"r\" { to-model = \"m3\" }\n",
          "7: to-model: no model or auto \"m3\"; did you mean \"m1\"?\n");
    check("rule \"r\" { to-model = \"autoo\" }\n",
          "7: to-model: no model or auto \"autoo\"; did you mean \"auto\"?\n");
    check("rule \"r\" { to-model = \"m1@dd\" }\n",
          "7: to-model: takes no channel; write to-model = \"m1\" to-channel = {\"d\"}\n");
    check("rule \"r\" { to-model = \"auto@nowhere\" }\n",
          "7: to-model: takes no channel; write to-model = \"auto\" to-channel = {\"nowhere\"}\n");
    check("rule \"r\" { to-model = \"m3@c\" }\n", "7: to-model: no model or auto \"m3@c\"\n");
    check("rule \"r\" { model = {\"m1\", \"mini\", \"auto\", \"q*\", \"m?\"} to-channel = c }\n", "");
    check("rule \"r\" { model = {\"mm\"} to-channel = c }\n",
          "7: model: no model or auto \"mm\", nor a glob such as \"mm*\"; did you mean \"m1\"?\n");
    check("rule \"r\" { exhausted = cc to-channel = {\"c\", \"x\", \"c\"} }\n",
          "7: exhausted: no channel \"cc\"; did you mean \"c\"?\n"
          "7: to-channel: no channel \"x\"\n"
          "7: to-channel: \"c\" is there twice\n");
    check("rule \"r\" { fallback = {\"m2\", \"auto\", \"mini\", \"m1\"} }\n",
          "7: fallback: no model \"auto\"\n"
          "7: fallback: \"m1\" is there twice\n");
    check("rule \"r\" { model = {\"m*\"} fallback = {\"other\"} }\n",
          "7: fallback: \"other\" is of the family other, which no model of this rule is of; failover "
          "never leaves the family\n");
    check("rule \"r\" { to-model = \"other\" fallback = {\"m1\"} }\n",
          "7: fallback: \"m1\" is of the family f, which no model of this rule is of; failover never "
          "leaves the family\n");
    check("rule \"r\" { model = {\"auto\"} fallback = {\"other\"} }\n", "");
}

static void
test_values(void **state)
{
    (void)state;
    check("rule \"r\" { model = {\"m1\"} }\n",
          "7: rule \"r\": does nothing; state to-model, to-channel or fallback\n");
    check("rule \"r\" { hours = \"22-6\" to-channel = c }\n",
          "7: hours: \"22-6\" is not a part of the day, such as 22:00-06:00\n");
    check("rule \"r\" { hours = \"22:00-22:00\" to-channel = c }\n",
          "7: hours: begin and end are the same; leave hours out for the whole day\n");
    check("rule \"r\" { zone = \"Asia/Tokyo\" to-channel = c }\n",
          "7: zone: has no effect without hours\n");
    check("rule \"r\" { context-above = 10 context-below = 11 to-channel = c }\n",
          "7: rule \"r\" can never match: nothing is above 10 and below 11\n");
    check("rule \"r\" { needs = {flight} to-channel = c }\n",
          "7: needs: \"flight\" is none of tools vision thinking json audio embeddings\n");
    check("rule \"r\" { modle = {\"m\"} to-channel = c }\nrule \"s\" { model = {\"m2\"} to-channel = c }\n",
          "7: unknown name \"modle\" in rule \"r\"; did you mean \"model\"?\n");
    check("rule \"r\" { model = {\"m1\"} to-channel = c }\nrule \"r\" { to-channel = c }\n",
          "8: rule \"r\" is there twice; first in line 7\n");
}

#define NEVER(line, rule, other, at)                                                               \
    line ": rule \"" rule "\" can never match: rule \"" other "\" in line " at                     \
         " comes first and takes all that it would\n"

static void
shadowed(const char *first, const char *second, bool says)
{
    char text[512];

    snprintf(text, sizeof(text), "rule \"a\" { %s to-channel = c }\nrule \"b\" { %s to-channel = d }\n",
             first, second);
    check(text, says ? NEVER("8", "b", "a", "7") : "");
}

static void
test_shadows(void **state)
{
    static const struct {
        const char *first, *second;
        bool covers;
    } cases[] = {
        {"", "", true},
        {"", "model = {\"m1\"} needs = {tools} hours = \"01:00-02:00\" exhausted = c", true},
        {"model = {\"m1\"}", "", false},
        {"model = {\"m*\"}", "model = {\"m1\"}", true},
        {"model = {\"m*\"}", "model = {\"m1\", \"m?-*\"}", true},
        {"model = {\"m*\"}", "model = {\"m1\", \"other\"}", false},
        {"model = {\"m*\", \"other\"}", "model = {\"m1\", \"other\"}", true},
        {"model = {\"m?\"}", "model = {\"m*\"}", false},
        {"model = {\"m?\"}", "model = {\"m1\"}", true},
        {"model = {\"m?\"}", "model = {\"m?\"}", true},
        {"model = {\"*\"}", "model = {\"?*\"}", true},
        {"model = {\"m*1\"}", "model = {\"m*\"}", false},
        {"project = {\"p*\"}", "project = {\"p1\"} key = {\"k\"}", true},
        {"project = {\"p*\"}", "key = {\"k\"}", false},
        {"key = {\"k\"}", "key = {\"k\"} needs = {vision}", true},
        {"needs = {tools}", "needs = {tools, vision}", true},
        {"needs = {tools, vision}", "needs = {tools}", false},
        {"context-above = 100", "context-above = 100", true},
        {"context-above = 100", "context-above = 99", false},
        {"context-above = 100", "context-below = 200", false},
        {"context-below = 100", "context-below = 100", true},
        {"context-below = 100", "context-below = 50 context-above = 10", true},
        {"context-below = 100", "context-below = 101", false},
        {"hours = \"08:00-20:00\"", "hours = \"09:00-10:00\"", true},
        {"hours = \"08:00-20:00\"", "hours = \"08:00-20:00\"", true},
        {"hours = \"08:00-20:00\"", "hours = \"19:00-21:00\"", false},
        {"hours = \"08:00-20:00\"", "hours = \"20:00-08:00\"", false},
        {"hours = \"22:00-06:00\"", "hours = \"23:00-01:00\"", true},
        {"hours = \"22:00-06:00\"", "hours = \"02:00-06:00\"", true},
        {"hours = \"22:00-06:00\"", "hours = \"02:00-06:01\"", false},
        {"hours = \"22:00-06:00\"", "hours = \"21:00-23:00\"", false},
        {"hours = \"08:00-20:00\"", "", false},
        {"exhausted = c", "exhausted = c", true},
        {"exhausted = c", "exhausted = d", false},
        {"exhausted = c", "", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        shadowed(cases[i].first, cases[i].second, cases[i].covers);
    check("rule \"a\" { model = {\"other\"} to-channel = c }\nrule \"b\" { to-channel = c }\n"
          "rule \"late\" { key = {\"k\"} to-channel = c }\n",
          NEVER("9", "late", "b", "8"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),   cmocka_unit_test(test_zone),
        cmocka_unit_test(test_references), cmocka_unit_test(test_values),
        cmocka_unit_test(test_shadows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
