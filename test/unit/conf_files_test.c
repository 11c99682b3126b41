/* What is read from disk and the environment: includes and secrets. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

static char dir[64];

#define BESIDE "a name without / in front is looked for beside this file"
#define U "upstream \"u\" { protocol = openai url = \"https://u.example\" "
#define M "model \"m\" { input = 1 output = 2 }\n"
#define C "channel \"c\" { use = u }\n"

static const char *
path(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *text = paths[turn++ % 4];

    snprintf(text, sizeof(paths[0]), "%s/%s", dir, name);
    return text;
}

static void
put(const char *name, const char *text, mode_t mode)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Loads main.conf; what it says, without the directory, must be `says`. */
static struct conf *
load_says(const char *text, const char *says)
{
    struct conf_faults faults;
    struct conf *conf;
    char said[4096];
    size_t len = 0, dir_len = strlen(dir) + 1;

    put("main.conf", text, 0644);
    conf = conf_load(path("main.conf"), &faults);
    said[0] = '\0';
    for (size_t i = 0; i < faults.count; i++)
        len +=
            (size_t)snprintf(said + len, sizeof(said) - len, "%s:%u: %s\n",
                             faults.at[i].file + dir_len, faults.at[i].line, faults.at[i].message);
    for (char *at = strstr(said, dir); at != NULL; at = strstr(said, dir))
        memmove(at, at + dir_len, strlen(at + dir_len) + 1);
    assert_string_equal(said, says);
    assert_true((conf == NULL) == (faults.fault_count > 0));
    conf_faults_free(&faults);
    return conf;
}

static void
refuses(const char *text, const char *says)
{
    assert_null(load_says(text, says));
}

static void
test_include(void **state)
{
    struct conf *conf;

    (void)state;
    assert_int_equal(mkdir(path("sub"), 0700), 0);
    put("sub/one.conf",
        "# comment\ninclude(\"two.conf\")\nmodel \"after\" { input = 0 output = 0 }", 0644);
    put("sub/two.conf", "model \"inner\" { input = 0\n output = 0 }\n", 0644);
    conf = load_says(
        "model \"first\" { input = 0 output = 0 } include(\"sub/one.conf\") " M U "}\n" C, "");
    assert_non_null(conf);
    assert_int_equal(conf->model_count, 4); /* in the order of reading */
    assert_str(conf->models[0].name, "first");
    assert_str(conf->models[1].name, "inner");
    assert_str(conf->models[2].name, "after");
    assert_str(conf->models[3].name, "m");
    conf_free(&conf);

    put("sub/two.conf", "\n\nmodel \"inner\" { input = 0\n output = x foo = 1 }\nmodel \"m\" {",
        0644);
    refuses("include(\"sub/one.conf\")\n" M U "}\n" C "bar = 1\n",
            "main.conf:2: model \"m\" is there twice; first in sub/two.conf:5\n"
            "main.conf:5: unknown name \"bar\" outside of any section\n"
            "sub/two.conf:4: unknown name \"foo\" in model \"inner\"\n"
            "sub/two.conf:4: output: \"x\" is not a price; write digits with at most six decimals, "
            "such as 3.75\n"
            "sub/two.conf:5: syntax: model \"m\" is never closed: \"}\" is missing\n");
}

static void
test_include_faults(void **state)
{
    char text[512];
    struct conf *conf;

    (void)state;
    refuses("\ninclude(\"none.conf\")\n", "main.conf:2: cannot read none.conf: No such file or "
                                          "directory; " BESIDE "\n");
    refuses("include(\"\")\n", "main.conf:1: include() needs the name of a file\n");
    refuses("include(\".\")\n", "main.conf:1: cannot read .: Is a directory\n");
    refuses("\ninclude(\"main.conf\")\n",
            "main.conf:2: cannot read main.conf: it includes itself\n");
    for (int i = 0; i < 9; i++) {
        char name[16], next[64];

        snprintf(name, sizeof(name), "deep%d", i);
        snprintf(next, sizeof(next), "include(\"deep%d\")", i + 1);
        put(name, next, 0644);
    }
    put("deep7", "", 0644);
    refuses("include(\"deep0\")\n", "deep6:1: cannot read deep7: includes are nested too deeply\n");
    put("deep6", "", 0644);
    snprintf(text, sizeof(text), "include(\"%s\")", path("deep0"));
    conf = load_says(text, "main.conf:1: nothing can be served: there is no upstream section\n");
    assert_non_null(conf);
    conf_free(&conf);
    /* Again and again leaves nothing behind: no descriptor, no state of the lexer. */
    for (int i = 0; i < 50; i++)
        refuses("include(\"none.conf\")\nlimits { body = \"",
                "main.conf:1: cannot read none.conf: No "
                "such file or directory; " BESIDE "\nmain.conf:2: syntax: this string is never closed: \" is "
                "missing\nmain.conf:2: syntax: limits is never closed: \"}\" is missing\n");
    assert_int_equal(open("/dev/null", O_RDONLY) < 20, 1);
}

/* What a reload says, without the directory. */
static struct conf *
reload_says(const char *text, const struct conf *running, const char *says)
{
    struct conf_faults faults;
    struct conf *conf;
    char said[4096] = "";
    size_t len = 0, dir_len = strlen(dir) + 1;

    put("main.conf", text, 0644);
    conf = conf_reload(path("main.conf"), running, &faults);
    for (size_t i = 0; i < faults.count; i++)
        len += (size_t)snprintf(said + len, sizeof(said) - len, "%u: %s\n", faults.at[i].line,
                                faults.at[i].message);
    for (char *at = strstr(said, dir); at != NULL; at = strstr(said, dir))
        memmove(at, at + dir_len, strlen(at + dir_len) + 1);
    assert_string_equal(said, says);
    conf_faults_free(&faults);
    return conf;
}

/* A key that works is not lost by a reload; one that never did is no fault. */
static void
test_reload_keeps_keys(void **state)
{
    static const char one[] = U "\nkey-file = key }\n" M C;
    static const char pool[] = U "\ncredential \"a\" { key-file = key }\n"
                                 "credential \"b\" { key-file = other }\n}\n" M C;
    static const char renamed[] = "upstream \"v\" { protocol = openai\n url = \"https://v.example\" "
                                  "key-file = key }\n" M "channel \"c\" { use = v }\n";
    struct conf *running, *next;

    (void)state;
    put("key", "sk-one\n", 0600);
    running = load_says(one, "");
    assert_non_null(running);
    put("key", "sk-two\n", 0600);
    next = reload_says(one, running, "");
    assert_str(next->upstreams[0].credentials[0].secret, "sk-two");
    conf_free(&next);
    assert_int_equal(unlink(path("key")), 0);
    assert_null(reload_says(one, running,
                            "2: upstream \"u\" is disabled: key: No such file or directory\n"
                            "2: upstream \"u\": the server has this key and would lose it: key: No "
                            "such file or directory; make it readable for the server's user, or take "
                            "it out of the file\n"));
    next = reload_says(renamed, running,
                       "2: upstream \"v\" is disabled: key: No such file or directory\n");
    assert_non_null(next); /* another upstream's: nothing that works is lost */
    conf_free(&next);
    conf_free(&running);

    /* An editor may be in the middle of it. */
    put("key", "sk-one\n", 0600);
    running = load_says(one, "");
    assert_null(reload_says("", running,
                            "1: nothing could be served any more: there is no upstream section\n"));
    next = load_says("", "main.conf:1: nothing can be served: there is no upstream section\n");
    assert_non_null(next);
    conf_free(&running);
    running = next;
    next = reload_says("", running, "1: nothing can be served: there is no upstream section\n");
    assert_non_null(next);
    conf_free(&next);
    conf_free(&running);

    put("key", "sk-one\n", 0600);
    running = load_says(pool, "main.conf:3: credential \"b\" of upstream \"u\" is disabled: other: No "
                              "such file or directory\n");
    assert_non_null(running);
    assert_int_equal(unlink(path("key")), 0);
    put("other", "sk-other\n", 0600);
    assert_null(reload_says(pool, running,
                            "2: credential \"a\" of upstream \"u\" is disabled: key: No such file or "
                            "directory\n"
                            "2: credential \"a\": the server has this key and would lose it: key: No "
                            "such file or directory; make it readable for the server's user, or take "
                            "it out of the file\n"));
    conf_free(&running);
    (void)unlink(path("other"));
}

/* The same text has the same hash, whatever the secrets; another text, also of an include, another. */
static void
test_text_hash(void **state)
{
    static const char text[] = "include(\"inner.conf\")\n" U "key-file = key }\n" C;
    struct conf *first, *second;

    (void)state;
    put("key", "sk-one\n", 0600);
    put("inner.conf", M, 0644);
    first = load_says(text, "");
    put("key", "sk-two\n", 0600);
    second = load_says(text, "");
    assert_true(first->text_hash == second->text_hash && first->text_hash != 0);
    conf_free(&second);
    put("inner.conf", M "\n", 0644);
    second = load_says(text, "");
    assert_true(first->text_hash != second->text_hash);
    assert_true(first->price_version == second->price_version);
    conf_free(&second);
    conf_free(&first);
    (void)unlink(path("key"));
}

static void
test_no_file(void **state)
{
    struct conf_faults faults;

    (void)state;
    assert_null(conf_load(path("absent"), &faults));
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.at[0].line, 1);
    assert_string_equal(faults.at[0].file, path("absent"));
    assert_non_null(strstr(faults.at[0].message, "No such file or directory"));
    conf_faults_free(&faults);
}

static void
test_key_env(void **state)
{
    struct conf *conf;

    (void)state;
    unsetenv("TEST_KEY");
    conf = load_says(U "key-env = TEST_KEY }\n" M C, "main.conf:1: upstream \"u\" is disabled: the "
                                                     "environment variable TEST_KEY is not set\n");
    assert_non_null(conf->upstreams[0].disabled_reason);
    assert_null(conf->upstreams[0].credentials[0].secret.ptr);
    conf_free(&conf);
    setenv("TEST_KEY", "", 1);
    conf = load_says(U "key-env = TEST_KEY }\n" M C,
                     "main.conf:1: upstream \"u\" is disabled: TEST_KEY "
                     "is empty\n");
    conf_free(&conf);
    setenv("TEST_KEY", "sk-x\r\nHost: evil", 1);
    conf = load_says(U "key-env = TEST_KEY }\n" M C,
                     "main.conf:1: upstream \"u\" is disabled: TEST_KEY "
                     "holds bytes that no key has, such as a blank or a newline\n");
    assert_null(strstr(conf->upstreams[0].disabled_reason, "sk-x"));
    conf_free(&conf);
    setenv("TEST_KEY", "sk-good", 1);
    conf = load_says(U "key-env = \"TEST_KEY\" }\n" M C, "");
    assert_str(conf->upstreams[0].credentials[0].secret, "sk-good");
    assert_null(conf->upstreams[0].disabled_reason);
    conf_free(&conf);
    unsetenv("TEST_KEY");
}

/* Each credential for itself; an upstream is out when none is left. */
static void
test_credentials(void **state)
{
    static const char text[] = U "rpm = 5 tpm = 6\n"
                                 "credential \"a\" { key-env = TEST_KEY_A rpm = 7 }\n"
                                 "credential \"b\" { key-env = TEST_KEY_B tpm = 0 weight = 3 }\n"
                                 "}\n"
                                 "upstream \"v\" { protocol = openai url = \"https://v.example\" }\n"
                                 M "channel \"c\" { use = {u, v} }\n";
    const struct conf_upstream *u;
    struct conf *conf;

    (void)state;
    unsetenv("TEST_KEY_A");
    setenv("TEST_KEY_B", "sk-b", 1);
    conf = load_says(text, "main.conf:2: credential \"a\" of upstream \"u\" is disabled: the "
                           "environment variable TEST_KEY_A is not set\n");
    u = &conf->upstreams[0];
    assert_null(u->disabled_reason);
    assert_int_equal(conf->credential_count, 3);
    assert_int_equal(u->credential_count, 2);
    assert_int_equal(u->credential_first, 0);
    assert_non_null(u->credentials[0].disabled_reason);
    assert_str(u->credentials[0].name, "a");
    assert_int_equal(u->credentials[0].rpm, 7);
    assert_int_equal(u->credentials[0].tpm, 6);
    assert_int_equal(u->credentials[0].weight, 1);
    assert_str(u->credentials[1].secret, "sk-b");
    assert_int_equal(u->credentials[1].rpm, 5);
    assert_int_equal(u->credentials[1].tpm, 0);
    assert_int_equal(u->credentials[1].concurrency, 0);
    assert_int_equal(u->credentials[1].weight, 3);
    assert_int_equal(conf->upstreams[1].credential_first, 2);
    assert_int_equal(conf->upstreams[1].credential_count, 1);
    assert_null(conf->upstreams[1].credentials[0].name.ptr);
    assert_null(conf->upstreams[1].credentials[0].secret.ptr);
    conf_free(&conf);
    setenv("TEST_KEY_A", "sk-b", 1);
    conf = load_says(text, "main.conf:3: credential \"b\" has the same key as credential \"a\": the "
                           "provider counts them together\n");
    conf_free(&conf);
    unsetenv("TEST_KEY_A");
    unsetenv("TEST_KEY_B");
    conf = load_says(text, "main.conf:2: credential \"a\" of upstream \"u\" is disabled: the "
                           "environment variable TEST_KEY_A is not set\n"
                           "main.conf:3: credential \"b\" of upstream \"u\" is disabled: the "
                           "environment variable TEST_KEY_B is not set\n");
    assert_non_null(conf->upstreams[0].disabled_reason);
    conf_free(&conf);
}

static void
test_key_file(void **state)
{
    static const char text[] = U "key-file = \"key\" }\n" M C;
    struct conf *conf;

    (void)state;
    conf = load_says(text,
                     "main.conf:1: upstream \"u\" is disabled: key: No such file or directory\n");
    conf_free(&conf);
    put("key", "sk-one\n", 0600);
    conf = load_says(text, "");
    assert_str(conf->upstreams[0].credentials[0].secret, "sk-one");
    conf_free(&conf);
    put("key", "sk-two\r\n", 0400);
    chmod(path("key"), 0400);
    conf = load_says(text, "");
    assert_str(conf->upstreams[0].credentials[0].secret, "sk-two");
    conf_free(&conf);
    unlink(path("key"));
    put("key", "sk-three\n\n", 0600);
    conf =
        load_says(text, "main.conf:1: upstream \"u\" is disabled: key holds bytes that no key has, "
                        "such as a blank or a newline\n");
    conf_free(&conf);
    put("key", "\n", 0600);
    conf = load_says(text, "main.conf:1: upstream \"u\" is disabled: key is empty\n");
    conf_free(&conf);
    put("key", "sk-open", 0640);
    refuses(text, "main.conf:1: key-file: others can read key (mode 0640); run chmod 600 on it\n");
    unlink(path("key"));
    assert_int_equal(mkfifo(path("key"), 0600), 0);
    refuses(text, "main.conf:1: key-file: key is not a regular file\n");
    unlink(path("key"));
}

/* The longest key there may be, and one byte more. */
static void
test_key_length(void **state)
{
    static const char text[] = U "key-file = \"key\" }\n" M C;
    char key[8195];
    struct conf *conf;

    (void)state;
    memset(key, 'k', sizeof(key));
    key[8192] = '\n';
    key[8193] = '\0';
    put("key", key, 0600);
    conf = load_says(text, "");
    assert_int_equal(conf->upstreams[0].credentials[0].secret.len, 8192);
    conf_free(&conf);
    key[8192] = 'k';
    put("key", key, 0600);
    conf = load_says(text, "main.conf:1: upstream \"u\" is disabled: key is longer than any key\n");
    conf_free(&conf);
}

static void
test_key_credential(void **state)
{
    static const char text[] = U "key-credential = \"cred\" }\n" M C;
    struct conf *conf;

    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    conf = load_says(text,
                     "main.conf:1: upstream \"u\" is disabled: there are no systemd credentials, "
                     "CREDENTIALS_DIRECTORY is not set\n");
    conf_free(&conf);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    conf = load_says(text,
                     "main.conf:1: upstream \"u\" is disabled: cred: No such file or directory\n");
    conf_free(&conf);
    put("cred", "sk-cred", 0440); /* systemd's own modes are none of ours */
    conf = load_says(text, "");
    assert_str(conf->upstreams[0].credentials[0].secret, "sk-cred");
    conf_free(&conf);
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void
test_ca_file(void **state)
{
    struct conf *conf;

    (void)state;
    refuses(U "ca-file = \"ca.pem\" }\n" M C,
            "main.conf:1: ca-file: cannot read ca.pem: No such file or directory\n");
    put("ca.pem", "", 0644);
    conf = load_says(U "ca-file = \"ca.pem\" }\n" M C, "");
    assert_str(conf->upstreams[0].ca_file, path("ca.pem"));
    conf_free(&conf);
}

/* Values may come from the environment; one that is not there is told. */
static void
test_variables(void **state)
{
    struct conf *conf;

    (void)state;
    setenv("TEST_PRICE", "1.5", 1);
    unsetenv("TEST_ABSENT");
    conf = load_says(
        "model \"m\" { input = \"${TEST_PRICE}\" output = ${TEST_ABSENT:-2} }\n" U "}\n" C, "");
    assert_int_equal(conf->models[0].rates.u_per_mtok[CONF_INPUT], 1500000);
    assert_int_equal(conf->models[0].rates.u_per_mtok[CONF_OUTPUT], 2000000);
    conf_free(&conf);
    refuses(
        "model \"m\" { input = 1 output = \"${TEST_ABSENT}\" }\n" U "}\n" C,
        "main.conf:1: the environment variable TEST_ABSENT is not set: ${TEST_ABSENT} is empty\n"
        "main.conf:1: output: \"\" is not a price; write digits with at most six decimals, such as "
        "3.75\n");
    unsetenv("TEST_PRICE");
}

static int
make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/turnpike-conf-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int
remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

/* Zones come from the system's database: with daylight saving, and discounts of two of them that only
 * meet in one half of the year. */
static void
test_zones(void **state)
{
#define MODEL(from, to, zone)                                                                      \
    U "}\n" C "model \"m\" { input = 1 output = 2\n"                                               \
      " discount \"a\" { from = \"16:30\" to = \"20:30\" zone = \"Europe/Berlin\" factor = 0.5 }\n" \
      " discount \"b\" { from = " from " to = " to " zone = " zone " factor = 0.5 } }\n"
    struct conf *conf = load_says(MODEL("22:00", "22:30", "Asia/Shanghai"), "");

    (void)state;
    /* 2026-01-15 and 2026-07-15: 15:30 and 14:30 UTC. */
    assert_true(zone_hours_hold(&conf->models[0].discounts[0].zone,
                                conf->models[0].discounts[0].hours,
                                INT64_C(1768491000) * 1000000));
    assert_false(zone_hours_hold(&conf->models[0].discounts[0].zone,
                                 conf->models[0].discounts[0].hours,
                                 INT64_C(1768490999) * 1000000));
    assert_true(zone_hours_hold(&conf->models[0].discounts[0].zone,
                                conf->models[0].discounts[0].hours,
                                INT64_C(1784125800) * 1000000));
    conf_free(&conf);
    /* Shanghai's evening ends when Berlin's begins, but for the summer. */
    conf = load_says(MODEL("22:30", "23:30", "Asia/Shanghai"),
                     "main.conf:5: discount \"b\": holds in hours that discount \"a\" does\n");
    assert_null(conf);
    conf = load_says(MODEL("22:30", "23:30", "Asia/Shangai"),
                     "main.conf:5: zone: no time zone \"Asia/Shangai\"; write a name such as "
                     "Asia/Shanghai, from the tz database (package tzdata)\n");
    assert_null(conf);
    conf = load_says(MODEL("22:30", "23:30", "'../../etc/passwd'"),
                     "main.conf:5: zone: no time zone \"../../etc/passwd\"; write a name such as "
                     "Asia/Shanghai, from the tz database (package tzdata)\n");
    assert_null(conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_include),        cmocka_unit_test(test_include_faults),
        cmocka_unit_test(test_text_hash),      cmocka_unit_test(test_reload_keeps_keys),
        cmocka_unit_test(test_no_file),        cmocka_unit_test(test_key_env),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_key_file),       cmocka_unit_test(test_key_length),
        cmocka_unit_test(test_key_credential), cmocka_unit_test(test_ca_file),
        cmocka_unit_test(test_variables),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
