/* Loading and building the route table with the n-th allocation failing, for n = 1, 2, … until a
 * run gets through: never a crash, a leak, or a snapshot that is only half there. */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup */
#include "base/str.h"
#include "conf/conf.h"
#include "route/route.h"
#include "test/unit/failing_memory.h"
#include "test/unit/testing.h"

#define SECTIONS                                                                                   \
    "upstream \"u\" { protocol = {openai} url = \"https://u.example/v1\" rename = {\"m=n\"} }\n"   \
    "model \"m\" { input = 1 output = 2 alias = {a, b} tier \"t\" { above = 3 input = 4 } }\n"     \
    "channel \"c\" { use = {u} weights = {\"u=2\"} }\nauto \"x\" { models = {m} }\n"
#define MANY SECTIONS "limits { body = 1m }\n"

static void
check(const char *text, bool good)
{
    bool done = false;

    for (int n = 1; !done; n++) {
        struct conf_faults faults;
        struct conf *conf;

        assert_true(n < 10000);
        atomic_store(&fail_in, n);
        conf = conf_load_text(str_from(text), "t", &faults);
        done = atomic_load(&fail_in) > 0;
        atomic_store(&fail_in, 0);
        assert_true((conf == NULL) == (faults.fault_count > 0));
        if (done)
            assert_true((conf != NULL) == good);
        if (conf != NULL) {
            assert_int_equal(conf->upstream_count, 1);
            assert_int_equal(conf->upstreams[0].rename_count, 1);
            assert_int_equal(conf_model_index(conf, STR("b")), 0);
            assert_true(conf->price_version != 0);
        }
        conf_faults_free(&faults);
        conf_free(&conf);
    }
}

static void
test_load(void **state)
{
    (void)state;
    check(MANY, true);
    check(MANY "limits { foo = 1 bar = 2 }\nupstream \"v\" { url = \"http://x\" }", false);
    check(MANY "limits { body = \"\\401\" }\n" SECTIONS, false);
}

static void
test_table(void **state)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(STR(MANY), "t", &faults);
    struct route_table *table = NULL;

    (void)state;
    assert_non_null(conf);
    for (int n = 1; table == NULL; n++) {
        assert_true(n < 100);
        atomic_store(&fail_in, n);
        table = route_table_make(conf);
        assert_true((table == NULL) == (atomic_load(&fail_in) <= 0));
        atomic_store(&fail_in, 0);
    }
    route_table_free(&table);
    conf_free(&conf);
    conf_faults_free(&faults);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load), cmocka_unit_test(test_table)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
