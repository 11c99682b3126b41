/* Loading and building the route table with the n-th allocation failing, for n = 1, 2, … until a
 * run gets through: never a crash, a leak, or a snapshot that is only half there. */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup */
#include "base/str.h"
#include "conf/conf.h"
#include "route/route.h"
#include "test/unit/testing.h"

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *ptr, size_t len);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *ptr, size_t len);
char *__wrap_strdup(const char *text);

static size_t allocations, failing; /* 0: none fails */

static bool
fails(void)
{
    return failing != 0 && ++allocations == failing;
}

void *
__wrap_malloc(size_t len)
{
    return fails() ? NULL : __real_malloc(len);
}

void *
__wrap_calloc(size_t count, size_t len)
{
    return fails() ? NULL : __real_calloc(count, len);
}

void *
__wrap_realloc(void *ptr, size_t len)
{
    return fails() ? NULL : __real_realloc(ptr, len);
}

char *
__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

#define SECTIONS                                                                                   \
    "upstream \"u\" { protocol = {openai} url = \"https://u.example/v1\" rename = {\"m=n\"} }\n"   \
    "model \"m\" { input = 1 output = 2 alias = {a, b} tier \"t\" { above = 3 input = 4 } }\n"     \
    "channel \"c\" { use = {u} weights = {\"u=2\"} }\nauto \"x\" { models = {m} }\n"
#define MANY SECTIONS "limits { body = 1m }\n"

static void
check(const char *text, bool good)
{
    bool done = false;

    for (size_t n = 1; !done; n++) {
        struct conf_faults faults;
        struct conf *conf;

        assert_true(n < 10000);
        allocations = 0;
        failing = n;
        conf = conf_load_text(str_from(text), "t", &faults);
        done = allocations < n;
        failing = 0;
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
    for (size_t n = 1; table == NULL; n++) {
        assert_true(n < 100);
        allocations = 0;
        failing = n;
        table = route_table_make(conf);
        assert_true((table == NULL) == (allocations >= n));
        failing = 0;
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
