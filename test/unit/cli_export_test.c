/* Records as lines: fields that need quotes, text that spreadsheets would compute, money, what is absent. */
#include "test/unit/testing.h"

#include "base/str.h"
#include "cli/export.h"

static struct buf out;

static void
row(enum export_format format, const char *json)
{
    struct js_value value;
    struct js_error err;

    buf_free(&out);
    buf_init(&out, 1 << 16);
    assert_true(js_check(str_from(json), &value, &err));
    export_row(format, value, &out);
    assert_false(out.failed);
}

/* The field of that name, as it stands there; none may hold a comma. */
static struct str
field(const char *name)
{
    struct buf head;
    struct str heads, fields = buf_str(&out);

    buf_init(&head, 1 << 12);
    export_head(EXPORT_CSV, &head);
    heads = (struct str){head.ptr, head.len - 2};
    while (heads.ptr != NULL && fields.ptr != NULL) {
        struct str title = str_split(heads, ',', &heads), value = str_split(fields, ',', &fields);

        if (str_eq(title, str_from(name))) {
            buf_free(&head);
            return value;
        }
    }
    fail_msg("there is no %s", name);
    return STR_NONE;
}

static void
csv_head(void **state)
{
    struct buf head;

    (void)state;
    buf_init(&head, 1 << 12);
    export_head(EXPORT_CSV, &head);
    assert_true(str_starts_with(buf_str(&head), STR("call,extension,started,tenant,tenant_name,key,")));
    assert_true(str_ends_with(buf_str(&head), STR(",price_version,flags\r\n")));
    head.len = 0;
    export_head(EXPORT_JSONL, &head);
    assert_int_equal(head.len, 0);
    buf_free(&head);
}

static void
csv_fields(void **state)
{
    (void)state;
    row(EXPORT_CSV, "{\"id\":\"call_1\",\"tenant\":7,\"tenant_name\":\"a\\\"b\",\"stream\":true,"
                    "\"tokens\":{\"input\":12},\"first_byte_ms\":null,\"charge\":\"12.5\","
                    "\"held\":\"3\",\"uncollected\":\"0\",\"operator_cost\":\"0.000001\","
                    "\"rule\":null,\"flags\":[\"stream\",\"extension\"]}");
    assert_str(field("call"), "call_1");
    assert_str(field("tenant"), "7");
    assert_str(field("tenant_name"), "\"a\"\"b\"");
    assert_str(field("stream"), "true");
    assert_str(field("extension"), "true");
    assert_str(field("input"), "12");
    assert_str(field("searches"), "0");
    assert_str(field("first_byte_ms"), "");
    assert_str(field("rule"), "");
    assert_str(field("charge"), "12.500000");
    assert_str(field("held"), "3.000000");
    assert_str(field("uncollected"), "0.000000");
    assert_str(field("operator_cost"), "0.000001");
    assert_str(field("flags"), "stream extension\r\n");
}

/* What a cell begins with makes it a formula. */
static void
csv_formulas(void **state)
{
    static const char *const names[][2] = {
        {"=1+1", "'=1+1"},         {"+1", "'+1"},     {"-1", "'-1"},
        {"@SUM(A1)", "'@SUM(A1)"}, {"\\t=1", "'\t=1"}, {"\\r=1", "\"'\r=1\""},
        {"\\n=1", "\"'\n=1\""},     {"a=1", "a=1"},    {" =1", " =1"},
        {"=\\\"x\\\"", "\"'=\"\"x\"\"\""}, {"a\\nb", "\"a\nb\""}, {"", ""},
        {"\\u00e9", "\u00e9"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char json[128];

        snprintf(json, sizeof(json), "{\"asked\":\"%s\"}", names[i][0]);
        row(EXPORT_CSV, json);
        assert_str(field("asked"), names[i][1]);
    }
    row(EXPORT_CSV, "{\"asked\":\"a,b\"}");
    assert_true(str_contains(buf_str(&out), STR(",\"a,b\",")));
}

static void
json_lines(void **state)
{
    struct js_value value;
    struct js_error err;

    (void)state;
    row(EXPORT_JSONL, "{\"id\":\"call_1\",\"tenant\":7,\"asked\":\"=\\\"1\\n\",\"charge\":\"0.5\","
                      "\"tokens\":{\"input\":12},\"first_byte_ms\":null,\"flags\":[\"swept\"]}");
    assert_true(str_ends_with(buf_str(&out), STR("}\n")));
    assert_int_equal(str_find(buf_str(&out), '\n', 0), out.len - 1);
    assert_true(js_check((struct str){out.ptr, out.len - 1}, &value, &err));
    assert_str(js_get(value, STR("charge")).raw, "0.500000");
    assert_str(js_get(value, STR("asked")).raw, "=\\\"1\\n"); /* as it is */
    assert_str(js_get(value, STR("input")).raw, "12");
    assert_str(js_get(value, STR("output")).raw, "0");
    assert_int_equal(js_get(value, STR("first_byte_ms")).type, JS_NULL);
    assert_int_equal(js_get(value, STR("rule")).type, JS_NULL);
    assert_str(js_get(value, STR("flags")).raw, "[\"swept\"]");
    assert_false(js_bool(js_get(value, STR("extension")), true));
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_head),
        cmocka_unit_test(csv_fields),
        cmocka_unit_test(csv_formulas),
        cmocka_unit_test(json_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
