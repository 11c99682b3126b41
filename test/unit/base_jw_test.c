#include "base/js.h"
#include "base/jw.h"
#include "base/rng.h"
#include "base/str.h"
#include "test/unit/testing.h"

static void
test_all(void **state)
{
    struct buf buf;
    struct jw jw;

    (void)state;
    buf_init(&buf, 10000);
    jw_init(&jw, &buf);
    jw_object(&jw);
    jw_key_str(&jw, "s", STR("a"));
    jw_key_cstr(&jw, "c", "b");
    jw_key_cstr(&jw, "z", NULL);
    jw_key_str(&jw, "e", STR_NONE);
    jw_key_u64(&jw, "u", UINT64_MAX);
    jw_key_i64(&jw, "i", INT64_MIN);
    jw_key_bool(&jw, "t", true);
    jw_key_bool(&jw, "f", false);
    jw_key_ucr(&jw, "m", -12500000);
    jw_key_time(&jw, "w", 1);
    jw_key_time(&jw, "n", 0);
    jw_key(&jw, "a");
    jw_array(&jw);
    jw_object(&jw);
    jw_object_end(&jw);
    jw_array(&jw);
    jw_array_end(&jw);
    jw_null(&jw);
    jw_raw(&jw, STR("{\"x\":1}"));
    jw_array_end(&jw);
    jw_key(&jw, "o");
    jw_object(&jw);
    jw_key_of(&jw, STR("\""));
    jw_u64(&jw, 0);
    jw_object_end(&jw);
    jw_object_end(&jw);
    assert_str(buf_str(&buf),
               "{\"s\":\"a\",\"c\":\"b\",\"z\":null,\"e\":\"\",\"u\":18446744073709551615,"
               "\"i\":-9223372036854775808,\"t\":true,\"f\":false,\"m\":\"-12.5\","
               "\"w\":\"1970-01-01T00:00:00.000001Z\",\"n\":null,"
               "\"a\":[{},[],null,{\"x\":1}],\"o\":{\"\\\"\":0}}");
    buf_free(&buf);
}

static void
test_escapes(void **state)
{
    struct buf buf;
    struct jw jw;

    (void)state;
    buf_init(&buf, 10000);
    jw_init(&jw, &buf);
    jw_str(&jw, STR("\"\\/\b\f\n\r\t\x01\x1f\x7f\0\xc3\xbc\xf0\x9f\x98\x80"));
    assert_str(buf_str(&buf), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000"
                              "\xc3\xbc\xf0\x9f\x98\x80\"");
    buf_free(&buf);
    jw_init(&jw, &buf);
    jw_str(&jw, STR("a\xff\xc3(\xed\xa0\x80"));
    assert_str(buf_str(&buf), "\"a\xef\xbf\xbd\xef\xbf\xbd("
                              "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_free(&buf);
}

/* Any bytes come out as JSON that the reader takes; valid text comes back as it was. */
static void
test_round_trip(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char bytes[100], back[700];
        size_t len = rng_next(&seed) % sizeof(bytes);
        struct js_value value;
        struct js_error err;
        struct buf buf;
        struct jw jw;

        for (size_t k = 0; k < len; k++)
            bytes[k] = (char)(rng_next(&seed) & (i % 2 == 0 ? 0x7f : 0xff));
        buf_init(&buf, 10000);
        jw_init(&jw, &buf);
        jw_str(&jw, (struct str){bytes, len});
        assert_true(js_check(buf_str(&buf), &value, &err));
        if (i % 2 == 0) {
            struct str text = js_unescape(value, back, sizeof(back));

            assert_true(str_eq(text, (struct str){bytes, len}));
        }
        buf_free(&buf);
    }
}

static void
test_depth(void **state)
{
    struct js_value value;
    struct js_error err;
    struct buf buf;
    struct jw jw;

    (void)state;
    buf_init(&buf, 10000);
    jw_init(&jw, &buf);
    for (int i = 0; i < 16; i++) {
        jw_object(&jw);
        jw_key_u64(&jw, "a", 1);
        jw_key(&jw, "b");
        jw_array(&jw);
        jw_null(&jw);
    }
    for (int i = 0; i < 16; i++) {
        jw_array_end(&jw);
        jw_key_u64(&jw, "c", 1);
        jw_object_end(&jw);
    }
    assert_true(js_check(buf_str(&buf), &value, &err));
    buf_free(&buf);
}

static void
misuse(void *arg)
{
    struct buf buf;
    struct jw jw;

    buf_init(&buf, 10000);
    jw_init(&jw, &buf);
    switch (*(int *)arg) {
    case 0: jw_object_end(&jw); break;
    case 1: jw_key(&jw, "a"); break;
    case 2:
        jw_object(&jw);
        jw_u64(&jw, 1);
        break;
    case 3:
        jw_object(&jw);
        jw_array_end(&jw);
        break;
    case 4:
        jw_object(&jw);
        jw_key(&jw, "a");
        jw_object_end(&jw);
        break;
    case 5:
        jw_object(&jw);
        jw_key(&jw, "a");
        jw_key(&jw, "b");
        break;
    case 6:
        for (int i = 0; i < 33; i++)
            jw_array(&jw);
        break;
    default: break;
    }
}

static void
test_misuse(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        assert_true(aborts(misuse, &i));
}

/* The buffer's limit: no crash, and the writer finds out at the end. */
static void
test_full(void **state)
{
    struct buf buf;
    struct jw jw;

    (void)state;
    for (size_t max = 0; max < 30; max++) {
        buf_init(&buf, max);
        jw_init(&jw, &buf);
        jw_object(&jw);
        jw_key_str(&jw, "name", STR("value \n of it"));
        jw_object_end(&jw);
        assert_int_equal(buf.failed, max < sizeof("{\"name\":\"value \\n of it\"}") - 1);
        buf_free(&buf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_misuse),     cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
