/* What came with a request against an operation's fields. */
#include "testing.h"

#include "base/str.h"
#include "manage/problem.h"
#include "manage/validate.h"

static const char *const colours[] = {"red", "blue", NULL};
static const struct field inner[] = {
    {"cost", .type = FIELD_DECIMAL},
    {"note", .type = FIELD_STRING, .required = true, .max = 3},
    {NULL},
};
static const struct field params[] = {
    {"id", IN_PATH, .type = FIELD_ID, .arg = "key"},
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 500},
    {"tags", IN_QUERY, .type = FIELD_STRINGS},
    {"q", IN_QUERY, .type = FIELD_STRING},
    {NULL},
};
static const struct field body[] = {
    {"name", .type = FIELD_STRING, .required = true, .min = 1, .max = 5},
    {"mail", .type = FIELD_EMAIL},
    {"n", .type = FIELD_INT, .min = -3, .max = 10},
    {"credit", .type = FIELD_CREDITS, .min = 1, .max = 2000000},
    {"colour", .type = FIELD_ENUM, .values = colours, .nullable = true},
    {"on", .type = FIELD_BOOL},
    {"models", .type = FIELD_STRINGS, .max = 2},
    {"weights", .type = FIELD_OBJECT, .members = inner},
    {"rows", .type = FIELD_OBJECTS, .members = inner, .max = 2},
    {"budget", .type = FIELD_BUDGET},
    {"when", .type = FIELD_TIME},
    {"url", .type = FIELD_URL},
    {"text", .type = FIELD_TEXT},
    {"secret", .type = FIELD_SECRET, .min = 2},
    {NULL},
};
static const struct op op = {.id = "x.y", .method = "POST", .path = "/x/{id}", .params = params, .body = body};

struct run {
    struct arena arena;
    struct buf args;
    struct faults faults;
};

static void
run(struct run *r, const char *id, const char *query, const char *json)
{
    struct validate_input input = {.op = &op, .path_params = {str_from(id)}, .query = str_from(query)};
    struct js_error err;

    arena_init(&r->arena, 1 << 20);
    if (json != NULL)
        assert_true(js_check(str_from(json), &input.body, &err));
    assert_int_equal(validate(&r->arena, &input, &r->args, &r->faults), 0);
}

static void
end(struct run *r)
{
    buf_free(&r->args);
    arena_end(&r->arena);
}

/* The faults as "path:code path:code". */
static void
faults_are(const char *query, const char *json, const char *wanted)
{
    struct run r;
    struct buf got;

    buf_init(&got, 4096);
    run(&r, "7", query, json);
    for (unsigned i = 0; i < r.faults.count; i++)
        buf_add_fmt(&got, "%s%.*s:%s", i > 0 ? " " : "", STR_ARGS(r.faults.list[i].path),
                    fault_code[r.faults.list[i].kind]);
    assert_str(got.len > 0 ? buf_str(&got) : STR(""), wanted);
    buf_free(&got);
    end(&r);
}

static void
args_are(const char *query, const char *json, const char *wanted)
{
    struct run r;

    run(&r, "7", query, json);
    assert_int_equal(r.faults.count, 0);
    assert_str(buf_str(&r.args), wanted);
    end(&r);
}

static void
what_holds_goes_on(void **state)
{
    (void)state;
    args_are(NULL, "{\"name\":\"a\"}", "{\"key\":7,\"name\":\"a\"}");
    args_are("limit=20&tags=a,b%20c&q=x+y%2B", "{\"name\":\"\\u00e9tude\",\"n\":-3,\"on\":false}",
             "{\"key\":7,\"limit\":20,\"tags\":[\"a\",\"b c\"],\"q\":\"x y+\",\"name\":\"étude\",\"n\":-3,\"on\":false}");
    args_are("q=", "{\"name\":\"<b>\",\"colour\":null,\"mail\":null,\"credit\":\"2\"}",
             "{\"key\":7,\"name\":\"<b>\",\"credit\":\"2\",\"colour\":null}");
    args_are(NULL, "{\"name\":\"a\",\"weights\":{\"note\":\"abc\",\"cost\":\"0.5\"},\"rows\":[{\"note\":\"\"}]}",
             "{\"key\":7,\"name\":\"a\",\"weights\":{\"cost\":\"0.5\",\"note\":\"abc\"},\"rows\":[{\"note\":\"\"}]}");
    args_are(NULL,
             "{\"name\":\"a\",\"budget\":\"1.5/day\",\"when\":\"24h\",\"url\":\"https://h/p?q=1\",\"text\":\"a\\nb\","
             "\"secret\":\"\\u0001\\n\",\"mail\":\"a@b.c\",\"models\":[]}",
             "{\"key\":7,\"name\":\"a\",\"mail\":\"a@b.c\",\"models\":[],\"budget\":\"1.5/day\",\"when\":\"24h\","
             "\"url\":\"https://h/p?q=1\",\"text\":\"a\\nb\",\"secret\":\"\\u0001\\n\"}");
}

static void
all_faults_at_once(void **state)
{
    (void)state;
    faults_are("limit=0&nope=1&limit=3", "{\"mail\":\"x\",\"n\":11,\"credit\":\"0\",\"colour\":\"green\",\"on\":1}",
               "limit:out_of_range nope:unknown_field limit:duplicate name:required mail:invalid n:out_of_range "
               "credit:out_of_range colour:not_one_of on:wrong_type");
    faults_are(NULL, NULL, "name:required");
}

static void
each_kind_of_fault(void **state)
{
    (void)state;
    faults_are(NULL, "{\"name\":\"\"}", "name:too_short");
    faults_are(NULL, "{\"name\":\"123456\"}", "name:too_long");
    faults_are(NULL, "{\"name\":\"\\u4e2d\\u4e2d\\u4e2d\\u4e2d\\u4e2d\"}", "");
    faults_are(NULL, "{\"name\":\"a\\nb\"}", "name:invalid_characters");
    faults_are(NULL, "{\"name\":7}", "name:wrong_type");
    faults_are(NULL, "{\"name\":null}", "name:required");
    faults_are(NULL, "{\"name\":\"a\",\"name\":\"b\"}", "name:duplicate");
    faults_are(NULL, "{\"name\":\"a\",\"n\\u0061me\":\"b\"}", "name:duplicate");
    faults_are(NULL, "{\"name\":\"a\",\"x\":1,\"n\":1.5}", "x:unknown_field n:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"n\":99999999999999999999999}", "n:out_of_range");
    faults_are(NULL, "{\"name\":\"a\",\"n\":1e3}", "n:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"credit\":1.5}", "credit:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"credit\":\"0.0000001\"}", "credit:invalid");
    faults_are(NULL, "{\"name\":\"a\",\"models\":[\"a\",7,\"\"]}", "models[1]:wrong_type models[2]:too_short");
    faults_are(NULL, "{\"name\":\"a\",\"models\":[\"a\",\"b\",\"c\"]}", "models:too_long");
    faults_are(NULL, "{\"name\":\"a\",\"models\":\"a\"}", "models:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"weights\":{\"cost\":\"2\",\"z\":1}}",
               "weights.z:unknown_field weights.cost:out_of_range weights.note:required");
    faults_are(NULL, "{\"name\":\"a\",\"weights\":[]}", "weights:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"rows\":[{\"note\":\"a\"},7]}", "rows[1]:wrong_type");
    faults_are(NULL, "{\"name\":\"a\",\"rows\":[{\"note\":\"a\"},{\"note\":\"abcd\"}]}", "rows[1].note:too_long");
    faults_are(NULL, "{\"name\":\"a\",\"budget\":\"x/day\",\"when\":\"soon\",\"url\":\"javascript:1\",\"secret\":\"a\"}",
               "budget:invalid when:invalid url:invalid secret:too_short");
    faults_are("q=%00", "{\"name\":\"a\"}", "q:invalid_characters");
    faults_are("q=%ff", "{\"name\":\"a\"}", "q:invalid_characters");
    faults_are("q=%4", "{\"name\":\"a\"}", "q:invalid_characters");
    faults_are("limit=-1&tags=", "{\"name\":\"a\"}", "limit:out_of_range");
    faults_are("limit=1.0", "{\"name\":\"a\"}", "limit:wrong_type");
    faults_are("name=a", "{\"name\":\"a\"}", "name:unknown_field");
    faults_are("id=8", "{\"name\":\"a\"}", "id:unknown_field");
}

static void
ids_in_paths(void **state)
{
    static const struct {
        const char *id, *code;
    } ids[] = {{"0", "out_of_range"}, {"4294967296", "out_of_range"}, {"x", "wrong_type"}, {"-1", "out_of_range"},
               {"1x", "wrong_type"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        struct run r;

        run(&r, ids[i].id, NULL, "{\"name\":\"a\"}");
        assert_int_equal(r.faults.count, 1);
        assert_int_equal(r.faults.list[0].in, IN_PATH);
        assert_string_equal(fault_code[r.faults.list[0].kind], ids[i].code);
        end(&r);
    }
}

static void
more_faults_than_are_told(void **state)
{
    struct buf json;
    struct run r;

    (void)state;
    buf_init(&json, 8192);
    buf_add_fmt(&json, "{\"name\":\"a\"");
    for (int i = 0; i < 100; i++)
        buf_add_fmt(&json, ",\"x%d\":1", i);
    buf_add_fmt(&json, "}%c", 0);
    run(&r, "1", NULL, json.ptr);
    assert_int_equal(r.faults.count, FAULTS_MAX);
    buf_free(&json);
    end(&r);
}

/* ---- problems ---- */

static void
problem_is(const struct problem *problem, const char *wanted)
{
    struct buf out;

    buf_init(&out, 65536);
    problem_write(&out, problem);
    assert_str(buf_str(&out), wanted);
    buf_free(&out);
}

static void
faults_for_people(void **state)
{
    struct problem problem = {.status = 422, .code = STR("validation_failed"), .request_id = STR("r1")};
    struct run r;

    (void)state;
    run(&r, "7", "limit=0", "{\"name\":\"\",\"colour\":\"x\",\"models\":[\"a\",\"b\",\"c\"]}");
    problem.faults = &r.faults;
    problem_is(&problem,
               "{\"type\":\"/api/v1/problems#validation_failed\",\"title\":\"Validation failed\",\"status\":422,"
               "\"code\":\"validation_failed\",\"detail\":\"Some fields are not valid.\",\"request_id\":\"r1\",\"errors\":["
               "{\"field\":\"limit\",\"in\":\"query\",\"code\":\"out_of_range\",\"detail\":\"This must be from 1 to 500.\"},"
               "{\"field\":\"name\",\"in\":\"body\",\"code\":\"too_short\",\"detail\":\"At least 1 characters.\"},"
               "{\"field\":\"colour\",\"in\":\"body\",\"code\":\"not_one_of\",\"detail\":\"This must be one of: red, blue.\"},"
               "{\"field\":\"models\",\"in\":\"body\",\"code\":\"too_long\",\"detail\":\"At most 2 entries.\"}]}\n");
    problem.lang = LANG_ZH;
    r.faults.count = 1;
    problem_is(&problem,
               "{\"type\":\"/api/v1/problems#validation_failed\",\"title\":\"校验失败\",\"status\":422,"
               "\"code\":\"validation_failed\",\"detail\":\"部分字段无效。\",\"request_id\":\"r1\",\"errors\":["
               "{\"field\":\"limit\",\"in\":\"query\",\"code\":\"out_of_range\",\"detail\":\"取值范围为 1 至 500。\"}]}\n");
    end(&r);
}

static void
what_the_ledger_says(void **state)
{
    struct problem problem = {.status = 409, .code = STR("taken"), .detail = STR("there is already a project \"x\""),
                              .hint = STR("choose another"), .field = STR("name"), .request_id = STR("r")};

    (void)state;
    problem_is(&problem,
               "{\"type\":\"/api/v1/problems#taken\",\"title\":\"Taken\",\"status\":409,\"code\":\"taken\","
               "\"detail\":\"There is already a project \\\"x\\\". Choose another.\",\"request_id\":\"r\",\"errors\":["
               "{\"field\":\"name\",\"code\":\"taken\",\"detail\":\"There is already a project \\\"x\\\". Choose another.\"}]}\n");
    problem = (struct problem){.status = 409, .code = STR("no_such_code"), .detail = STR("so it is"), .lang = LANG_ZH};
    problem_is(&problem, "{\"type\":\"/api/v1/problems#no_such_code\",\"title\":\"no_such_code\",\"status\":409,"
                         "\"code\":\"no_such_code\",\"detail\":\"So it is.\",\"request_id\":\"\"}\n");
    assert_int_equal(problem_status(1, true, false), 404);
    assert_int_equal(problem_status(1, true, true), 409);
    assert_int_equal(problem_status(1, false, false), 409);
    assert_int_equal(problem_status(2, false, false), 400);
    assert_int_equal(problem_status(2, false, true), 422);
    assert_int_equal(problem_status(75, false, false), 503);
    assert_int_equal(problem_status(77, false, false), 403);
}

static void
languages(void **state)
{
    static const struct {
        const char *header;
        enum lang lang;
    } cases[] = {
        {"zh-CN,zh;q=0.9,en;q=0.8", LANG_ZH}, {"en,zh;q=0.9", LANG_EN}, {"fr, zh;q=0.3, en;q=0.2", LANG_ZH},
        {"zh;q=0", LANG_EN},  {"*", LANG_EN}, {"ZH_hant", LANG_ZH}, {"", LANG_EN}, {"de", LANG_EN},
        {"en;q=0.5,zh;q=0.51", LANG_ZH}, {"en;q=1,zh;q=1", LANG_EN}, {",,;q=,zh", LANG_ZH}, {"zhx", LANG_EN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(lang_of(str_from(cases[i].header)), cases[i].lang);
    assert_int_equal(lang_of(STR_NONE), LANG_EN);
    assert_int_equal(lang_of_name(STR("zh-CN")), LANG_ZH);
    assert_int_equal(lang_of_name(STR("")), LANG_EN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds_goes_on),   cmocka_unit_test(all_faults_at_once),
        cmocka_unit_test(each_kind_of_fault),   cmocka_unit_test(ids_in_paths),
        cmocka_unit_test(more_faults_than_are_told), cmocka_unit_test(faults_for_people),
        cmocka_unit_test(what_the_ledger_says), cmocka_unit_test(languages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
