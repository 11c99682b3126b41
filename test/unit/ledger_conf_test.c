/* routes.conf from afar: shown, checked, replaced, its history; what lines differ. */
#include "test/unit/ledger_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "ledger/diff.h"

static struct world w;
static char path[256];

#define UPSTREAM "upstream \\\"a\\\" { protocol = {openai} url = \\\"https://a.example/v1\\\" key-env = \\\"NONE\\\" }\\n"
#define FIRST "# first\n"

static void
write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static bool
file_is(const char *text)
{
    char bytes[4096];
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(bytes, 1, sizeof(bytes) - 1, file);
    bytes[n] = '\0';
    fclose(file);
    return strcmp(bytes, text) == 0;
}

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    snprintf(path, sizeof(path), "%s/routes.conf", w.dir);
    write_file(FIRST);
    w.ledger->conf_path = path;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_audit(&w);
    world_close(&w);
    return 0;
}

static bool
said(const char *name, const char *text)
{
    struct js_value answer;
    struct js_error err;

    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    return js_str_eq(js_get(answer, str_from(name)), str_from(text));
}

static void
keep(struct js_value result, const char *name, char *out, size_t cap)
{
    str_copy(js_get(result, str_from(name)).raw, out, cap);
}

static void
replaced(void **state)
{
    char digest[80], request[512];
    struct js_value result = ask_ok(&w, "{\"cmd\":\"config.show\"}");
    struct stat st;

    (void)state;
    assert_true(js_str_eq(js_get(result, STR("text")), STR(FIRST)));
    assert_int_equal(js_get(result, STR("version")).type, JS_NULL);
    assert_true(js_bool(js_get(result, STR("writable")), false));
    keep(result, "digest", digest, sizeof(digest));
    assert_int_equal(chmod(path, 0640), 0);

    snprintf(request, sizeof(request),
             "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# second\\n\",\"base\":\"%s\",\"note\":\"n\"},"
             "\"idem\":\"i\",\"actor\":{\"kind\":\"person\",\"id\":3,\"name\":\"a@b.c\"}}",
             digest);
    result = ask_ok(&w, request);
    assert_int_equal(number_of(result, "version"), 2);
    assert_true(js_bool(js_get(result, STR("changed")), false));
    assert_true(file_is("# second\n"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    result = ask_ok(&w, request);
    assert_true(js_bool(js_get(result, STR("repeated")), false));

    /* Whoever edited the first text comes too late. */
    snprintf(request, sizeof(request),
             "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# third\\n\",\"base\":\"%s\"}}", digest);
    assert_int_equal(ask_refused(&w, request), 1);
    assert_true(said("code", "changed_meanwhile"));
    assert_true(file_is("# second\n"));
    /* The same text again is no new version. */
    result = ask_ok(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# second\\n\"}}");
    assert_int_equal(number_of(result, "version"), 2);
    assert_false(js_bool(js_get(result, STR("changed")), true));

    /* By hand in between: kept as it was found. */
    write_file("# by hand\n");
    result = ask_ok(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# fourth\\n\"}}");
    assert_int_equal(number_of(result, "version"), 4);
    result = ask_ok(&w, "{\"cmd\":\"config.version\",\"args\":{\"version\":3}}");
    assert_true(js_str_eq(js_get(result, STR("text")), STR("# by hand\n")));
    assert_int_equal(js_get(result, STR("by")).type, JS_NULL);
    result = ask_ok(&w, "{\"cmd\":\"config.version\",\"args\":{\"version\":2}}");
    assert_true(js_str_eq(js_get(result, STR("by")), STR("person 3")));
    assert_true(js_str_eq(js_get(result, STR("note")), STR("n")));
    result = ask_ok(&w, "{\"cmd\":\"config.rollback\",\"args\":{\"version\":1}}");
    assert_int_equal(number_of(result, "version"), 5);
    assert_true(file_is(FIRST));
    result = ask_ok(&w, "{\"cmd\":\"config.history\",\"args\":{\"limit\":2}}");
    assert_true(str_starts_with(js_get(result, STR("versions")).raw, STR("[{\"version\":5,")));
    assert_true(js_str_eq(js_get(result, STR("next")), STR("4")));
    result = ask_ok(&w, "{\"cmd\":\"config.history\",\"args\":{\"cursor\":\"4\"}}");
    assert_true(str_starts_with(js_get(result, STR("versions")).raw, STR("[{\"version\":3,")));
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.rollback\",\"args\":{\"version\":9}}"), 1);
    assert_true(said("code", "not_found"));
    result = ask_ok(&w, "{\"cmd\":\"config.diff\",\"args\":{\"from\":4}}");
    assert_true(js_str_eq(js_get(result, STR("diff")), STR("@@ -1,1 +1,1 @@\n-# fourth\n+# first\n")));
    result = ask_ok(&w, "{\"cmd\":\"config.diff\",\"args\":{\"text\":\"# first\\n\"}}");
    assert_true(js_bool(js_get(result, STR("same")), false));

    /* The log names versions, and does not repeat the texts. */
    result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"action\":\"config.put\"}}");
    assert_false(str_contains(buf_str(&w.answer), STR("# second")));
    assert_true(str_contains(buf_str(&w.answer), STR("\"after\":{\"version\":4,")));
}

static void
refused(void **state)
{
    struct js_value result;

    (void)state;
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"\\nlimits { colour = 1 }\\n\"}}"), 2);
    assert_true(said("code", "invalid_conf") && said("field", "text"));
    assert_true(str_contains(buf_str(&w.answer), STR("routes.conf:2: ")));
    result = ask_ok(&w, "{\"cmd\":\"config.check\",\"args\":{\"text\":\"\\nlimits { colour = 1 }\\n\"}}");
    assert_false(js_bool(js_get(result, STR("good")), true));
    assert_true(str_contains(js_get(result, STR("faults")).raw, STR("\"line\":2,\"warning\":false")));
    result = ask_ok(&w, "{\"cmd\":\"config.check\",\"args\":{\"text\":\"" UPSTREAM "\"}}");
    assert_true(js_bool(js_get(result, STR("good")), false));

    /* A program is named by hand only. */
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"mail { from = \\\"a@b.c\\\" "
                                     "sendmail = \\\"/bin/sh\\\" }\\n\"}}"), 77);
    assert_true(said("code", "not_allowed"));
    assert_true(file_is(FIRST));

    /* Where there is no server there is no file. */
    w.ledger->conf_path = NULL;
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.show\"}"), 1);
    assert_true(said("code", "no_server"));
}

/* Where the file says so, and where its folder may not be written (which root may). */
static void
not_writable(void **state)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(STR("manage { edit = false }\n"), "t", &faults);
    struct js_value result;

    (void)state;
    assert_non_null(conf);
    w.ledger->conf = conf;
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# x\\n\"}}"), 77);
    assert_true(said("code", "not_writable"));
    result = ask_ok(&w, "{\"cmd\":\"config.show\"}");
    assert_false(js_bool(js_get(result, STR("writable")), true));
    w.ledger->conf = NULL;
    conf_free(&conf);
    conf_faults_free(&faults);
    if (geteuid() == 0)
        return;
    assert_int_equal(chmod(w.dir, 0500), 0);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# x\\n\"}}"), 77);
    assert_int_equal(chmod(w.dir, 0700), 0);
    assert_true(said("code", "not_writable"));
    assert_true(file_is(FIRST));
}

/* The ledger dies at its n-th step; asked again the file and its history are what was asked for. */
static void
killed_between(void **state)
{
    static const char put[] = "{\"cmd\":\"config.put\",\"args\":{\"text\":\"# second\\n\",\"note\":\"n\"},\"idem\":\"c\"}";
    bool died = true;
    long deaths = 0;

    (void)state;
    for (long n = 0; died; n++) {
        struct js_value result;

        world_close(&w);
        setup(NULL);
        w.steps_left = n;
        died = world_ask(&w, put, &result) == DIED;
        w.steps_left = -1;
        if (!died)
            break;
        deaths++;
        world_restart(&w);
        w.ledger->conf_path = path;
        ask_ok(&w, put);
        assert_true(file_is("# second\n"));
        result = ask_ok(&w, "{\"cmd\":\"config.show\"}");
        assert_int_equal(js_get(result, STR("version")).type, JS_NUMBER);
        result = ask_ok(&w, "{\"cmd\":\"log.list\",\"args\":{\"action\":\"config.put\"}}");
        assert_true(js_get(result, STR("entries")).raw.len > 2);
        world_audit(&w);
    }
    assert_true(deaths > 5);
}

/* ---- lines ---- */

static void
diff(const char *before, const char *after, const char *says)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(diff_unified(str_from(before), str_from(after), &out), 0);
    buf_add_char(&out, '\0');
    assert_string_equal(out.ptr, says);
    buf_free(&out);
}

static void
lines_differ(void **state)
{
    (void)state;
    diff("", "", "");
    diff("a\n", "a\n", "");
    diff("", "a\n", "@@ -0,0 +1,1 @@\n+a\n");
    diff("a\n", "", "@@ -1,1 +0,0 @@\n-a\n");
    diff("a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
    diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\n", "@@ -6,4 +6,3 @@\n 6\n 7\n 8\n-9\n");
    diff("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "x\n1\n2\n3\n4\n5\n6\n7\ny\n",
         "@@ -1,4 +1,4 @@\n-a\n+x\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+y\n");
    diff("a\n1\n2\n3\n4\n5\n6\nb\n", "x\n1\n2\n3\n4\n5\n6\ny\n",
         "@@ -1,8 +1,8 @@\n-a\n+x\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+y\n");
    diff("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n",
         "@@ -1,7 +1,6 @@\n-a\n-b\n c\n+b\n a\n b\n-b\n a\n+c\n");
}

/* Texts that have nothing in common are not searched for long, and are still right. */
static void
all_differs(void **state)
{
    struct buf before, after, out;
    size_t gone = 0, new = 0;

    (void)state;
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    buf_init(&out, 1 << 22);
    for (int i = 0; i < 3000; i++) {
        buf_add_fmt(&before, "a%d\n", i);
        buf_add_fmt(&after, "b%d\n", i);
    }
    assert_int_equal(diff_unified(buf_str(&before), buf_str(&after), &out), 0);
    for (size_t i = 0; i + 1 < out.len; i++)
        if (out.ptr[i] == '\n') {
            gone += out.ptr[i + 1] == '-';
            new += out.ptr[i + 1] == '+';
        }
    assert_int_equal(gone, 3000);
    assert_int_equal(new, 3000);
    buf_free(&before);
    buf_free(&after);
    buf_free(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replaced), TEST(refused), TEST(not_writable), TEST(killed_between),
        cmocka_unit_test(lines_differ), cmocka_unit_test(all_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
