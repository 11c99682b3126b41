/* The text that init writes: for each provider, and for all, what `turnpike check` finds nothing in. */
#include "cli/init.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/shipped.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

static struct conf *
load(const struct init_plan *plan, struct buf *text)
{
    struct conf_faults faults;
    struct conf *conf;

    buf_init(text, 1u << 20);
    init_text(text, plan);
    assert_false(text->failed);
    conf = conf_load_text(buf_str(text), "routes.conf", &faults);
    for (size_t i = 0; i < faults.count; i++)
        print_message("%s:%u: %s\n", faults.at[i].file, faults.at[i].line, faults.at[i].message);
    assert_int_equal(faults.count, 0);
    assert_non_null(conf);
    conf_faults_free(&faults);
    return conf;
}

static void
add(struct init_plan *plan, const char *name)
{
    const char *hint = NULL;

    assert_null(init_add_maker(plan, str_from(name), &hint));
}

static void
each_provider_alone(void **state)
{
    (void)state;
    for (const struct init_maker *maker = init_makers; maker->name != NULL; maker++) {
        struct init_plan plan = {.source_count = 0};
        struct str routes = shipped_routes();
        struct buf text;
        struct conf *conf;
        char line[128];
        int idx;

        add(&plan, maker->name);
        if (maker->key_env != NULL) {
            /* What the question proposes is what the shipped file says. */
            snprintf(line, sizeof(line), "key-env  = \"%s\"", maker->key_env);
            assert_true(str_contains(shipped_section(&routes, "upstream", maker->upstream),
                                     str_from(line)));
            snprintf(plan.source[0].key_env, sizeof(plan.source[0].key_env), "MY_%s",
                     maker->key_env);
        }
        conf = load(&plan, &text);
        /* The model to try it with is there, served, and "auto" has something to choose. */
        idx = conf_model_index(conf, str_from(maker->model));
        assert_true(idx >= 0);
        assert_true(conf_upstream_serves(&conf->upstreams[0], &conf->models[idx]));
        assert_true(conf->auto_count == 1 && conf->channel_count == 1);
        assert_int_equal(conf->channels[0].use_count, conf->upstream_count);
        for (size_t i = 0; i < conf->model_count; i++) {
            bool served = false;

            for (size_t u = 0; u < conf->upstream_count; u++)
                served |= conf_upstream_serves(&conf->upstreams[u], &conf->models[i]);
            if (!served)
                print_message("%s\n", conf->models[i].name.ptr);
            assert_true(served);
        }
        if (maker->key_env != NULL) {
            snprintf(line, sizeof(line), "key-env  = \"MY_%s\"", maker->key_env);
            assert_true(str_contains(buf_str(&text), str_from(line)));
            snprintf(line, sizeof(line), "\"%s\"", maker->key_env);
            assert_false(str_contains(buf_str(&text), str_from(line)));
        }
        conf_free(&conf);
        buf_free(&text);
    }
}

static void
all_together(void **state)
{
    struct init_plan plan = {.source_count = 0};
    size_t models = 0;
    struct buf text;
    struct conf *conf;
    struct str shipped = shipped_models();

    (void)state;
    for (const struct init_maker *maker = init_makers; maker->name != NULL; maker++) {
        add(&plan, maker->name);
        add(&plan, maker->name); /* twice is once */
    }
    assert_int_equal(plan.source_count, 10);
    for (unsigned i = 0; i < plan.source_count; i++)
        if (plan.source[i].maker->key_env != NULL)
            snprintf(plan.source[i].key_file, sizeof(plan.source[i].key_file), "%s",
                     "/a path/with \"quotes\" and \\");
    conf = load(&plan, &text);
    while (shipped.ptr != NULL)
        models += str_starts_with(str_split(shipped, '\n', &shipped), STR("model \""));
    assert_int_equal(conf->model_count, models + 3); /* and the simulated upstream's */
    assert_true(str_contains(buf_str(&text),
                             STR("key-file = \"/a path/with \\\"quotes\\\" and \\\\\"\n")));
    conf_free(&conf);
    buf_free(&text);
}

static void
answers_that_will_not_do(void **state)
{
    struct init_plan plan = {.source_count = 0};
    const char *hint = NULL;

    (void)state;
    assert_string_equal(init_add_maker(&plan, STR("opnai"), &hint), "there is no such provider");
    assert_int_equal(plan.source_count, 0);
    add(&plan, "Claude");
    assert_string_equal(plan.source[0].maker->name, "anthropic");
    assert_non_null(init_set_env(&plan.source[0], STR(""), &hint));
    assert_non_null(init_set_env(&plan.source[0], STR("sk-ant-123"), &hint));
    assert_non_null(init_set_env(&plan.source[0], STR("1A"), &hint));
    assert_null(init_set_env(&plan.source[0], STR("A_1"), &hint));
    assert_non_null(init_set_listen(&plan, STR("localhost:80"), &hint));
    assert_non_null(init_set_listen(&plan, STR("127.0.0.1:0"), &hint));
    assert_null(init_set_listen(&plan, STR("[::1]:8080"), &hint));
    assert_non_null(init_set_tenant(&plan, STR("77"), &hint));
    assert_non_null(init_set_tenant(&plan, STR(""), &hint));
    assert_null(init_set_tenant(&plan, STR("team 7"), &hint));
    assert_non_null(init_set_credit(&plan, STR("-1"), &hint));
    assert_non_null(init_set_credit(&plan, STR("ten"), &hint));
    assert_null(init_set_credit(&plan, STR("12.5"), &hint));
    assert_string_equal(plan.credit, "12.5");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_provider_alone),
        cmocka_unit_test(all_together),
        cmocka_unit_test(answers_that_will_not_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
