/* The tables of operations: routes, permissions, rates, and that the rows hold together. */
#include "testing.h"

#include "base/str.h"
#include "manage/api_in.h"

/* ---- permissions ---- */

static void
roles_permit(void **state)
{
    /* A column a role: owner admin billing developer viewer. */
    static const struct {
        enum perm perm;
        const char *may;
    } table[] = {
        {PERM_TENANT_READ, "xxxxx"},    {PERM_TENANT_WRITE, "xx..."},   {PERM_TENANT_CLOSE, "x...."},
        {PERM_MEMBERS_READ, "xxx.."},   {PERM_MEMBERS_WRITE, "xx..."},  {PERM_OWNERS_WRITE, "x...."},
        {PERM_PROJECTS_READ, "xxxxx"},  {PERM_PROJECTS_WRITE, "xx..."}, {PERM_KEYS_READ_ALL, "xxx.."},
        {PERM_KEYS_READ_OWN, "xxxxx"},  {PERM_KEYS_WRITE_ALL, "xx..."}, {PERM_KEYS_WRITE_OWN, "xx.x."},
        {PERM_USAGE_ALL, "xxx.."},      {PERM_USAGE_OWN, "xxxxx"},      {PERM_USAGE_TOTALS, "xxx.x"},
        {PERM_BILLING_READ, "xxx.."},   {PERM_BILLING_WRITE, "xxx.."},  {PERM_ALERTS_READ, "xxx.."},
        {PERM_ALERTS_WRITE, "xxx.."},   {PERM_AUDIT_READ, "xx..."},     {PERM_PLATFORM_READ, "....."},
        {PERM_PLATFORM_WRITE, "....."}, {PERM_NONE, "....."},           {PERM_SELF, "....."},
    };

    (void)state;
    assert_int_equal(COUNT_OF(table), PERM_COUNT);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        for (int role = ROLE_OWNER; role < ROLE_COUNT; role++)
            assert_int_equal(role_may((enum role)role, table[i].perm), table[i].may[role - 1] == 'x');
    assert_true(role_covers(ROLE_OWNER, ROLE_ADMIN));
    assert_false(role_covers(ROLE_ADMIN, ROLE_OWNER));
    assert_true(role_covers(ROLE_ADMIN, ROLE_VIEWER));
    assert_false(role_covers(ROLE_BILLING, ROLE_DEVELOPER));
    assert_int_equal(role_of(STR("owner")), ROLE_OWNER);
    assert_int_equal(role_of(STR("root")), ROLE_NONE);
    assert_int_equal(role_of(STR_NONE), ROLE_NONE);
    assert_int_equal(scope_of(STR("manage")), SCOPE_MANAGE);
    assert_int_equal(scope_of(STR("all")), 0);
    assert_string_equal(scope_name(SCOPE_USAGE), "usage");
}

/* ---- routes ---- */

static const struct op some_ops[] = {
    {.id = "a", .method = "GET", .path = "/api/v1/keys"},
    {.id = "b", .method = "POST", .path = "/api/v1/keys"},
    {.id = "c", .method = "GET", .path = "/api/v1/keys/{id}"},
    {.id = "d", .method = "DELETE", .path = "/api/v1/keys/{id}"},
    {.id = "e", .method = "GET", .path = "/api/v1/keys/export"},
    {.id = "f", .method = "POST", .path = "/api/v1/{kind}/{id}/rotate"},
    {NULL},
};
static const struct op *const some[] = {some_ops, NULL};

static void
route_is(const char *method, const char *path, const char *id, unsigned methods, const char *param)
{
    struct arena arena;
    struct route route;

    arena_init(&arena, 65536);
    route_find(&arena, some, str_from(method), str_from(path), &route);
    if (id == NULL)
        assert_null(route.op);
    else
        assert_string_equal(route.op != NULL ? route.op->id : "none", id);
    assert_int_equal(route.methods, methods);
    if (param != NULL)
        assert_str(route.params[0], param);
    arena_end(&arena);
}

static void
routes(void **state)
{
    char allow[ROUTE_ALLOW_MAX];

    (void)state;
    route_is("GET", "/api/v1/keys", "a", ROUTE_GET | ROUTE_POST, NULL);
    route_is("HEAD", "/api/v1/keys", "a", ROUTE_GET | ROUTE_POST, NULL);
    route_is("POST", "/api/v1/keys", "b", ROUTE_GET | ROUTE_POST, NULL);
    route_is("PUT", "/api/v1/keys", NULL, ROUTE_GET | ROUTE_POST, NULL);
    route_is("get", "/api/v1/keys", NULL, ROUTE_GET | ROUTE_POST, NULL);
    route_is("GET", "/api/v1/keys/7", "c", ROUTE_GET | ROUTE_DELETE, "7");
    route_is("GET", "/api/v1/keys/%37%20x", "c", ROUTE_GET | ROUTE_DELETE, "7 x");
    route_is("GET", "/api/v1/keys/export", "e", ROUTE_GET, NULL);
    route_is("DELETE", "/api/v1/keys/export", NULL, ROUTE_GET, NULL);
    route_is("POST", "/api/v1/keys/9/rotate", "f", ROUTE_POST, "keys");
    route_is("GET", "/api/v1/keys/", NULL, 0, NULL);
    route_is("GET", "/api/v1//keys", NULL, 0, NULL);
    route_is("GET", "/api/v1/keys/a%2fb", NULL, 0, NULL);
    route_is("GET", "/api/v1/keys/%2e%2e", NULL, 0, NULL);
    route_is("GET", "/api/v1/keys/%00", NULL, 0, NULL);
    route_is("GET", "/api/v1/keys/%0a", NULL, 0, NULL);
    route_is("GET", "/api/v1/keys/%zz", NULL, 0, NULL);
    route_is("GET", "/api/v1", NULL, 0, NULL);
    route_is("GET", "", NULL, 0, NULL);
    route_is("GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", NULL, 0, NULL);
    route_allow(ROUTE_GET | ROUTE_DELETE, allow);
    assert_string_equal(allow, "GET, HEAD, DELETE, OPTIONS");
    route_allow(ROUTE_GET | ROUTE_POST | ROUTE_PUT | ROUTE_PATCH | ROUTE_DELETE, allow);
    assert_string_equal(allow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

/* ---- the real rows ---- */

static void
fields_hold(const char *id, const struct field *fields, bool answer, int depth)
{
    assert_true(depth < 8);
    for (const struct field *field = fields; field != NULL && field->name != NULL; field++) {
        bool list = field->type == FIELD_OBJECT || field->type == FIELD_OBJECTS;

        if (field->type < FIELD_STRING || field->type >= FIELD_TYPE_COUNT || (field->doc == NULL && depth == 0) ||
            (field->type == FIELD_ENUM && field->values == NULL) || (field->members != NULL && !list) ||
            (field->ref != NULL && (!list || !answer || schema_find(str_from(field->ref)) == NULL)) ||
            (!answer && field - fields >= 64)) {
            print_error("%s: %s\n", id, field->name);
            fail();
        }
        for (const struct field *other = fields; other != field; other++)
            if (strcmp(other->name, field->name) == 0)
                fail_msg("%s: %s twice", id, field->name);
        fields_hold(id, field->members, answer, depth + 1);
    }
}

/* Those of the path are its placeholders, in their order. */
static void
params_hold(const struct op *row)
{
    const char *at = row->path;

    for (const struct field *field = row->params; field != NULL && field->name != NULL; field++) {
        if (field->in == IN_QUERY)
            continue;
        assert_int_equal(field->in, IN_PATH);
        at = strchr(at, '{');
        if (at == NULL || strncmp(at + 1, field->name, strlen(field->name)) != 0 ||
            at[1 + strlen(field->name)] != '}')
            fail_msg("%s: {%s} is not where it should be", row->id, field->name);
        at++;
    }
    if (strchr(at, '{') != NULL)
        fail_msg("%s: a placeholder is no param", row->id);
}

static void
row_holds(const struct op *row)
{
    bool reads = strcmp(row->method, "GET") == 0;

    if (strchr(row->id, '.') == NULL || row->doc == NULL || strchr(row->doc, '.') == NULL)
        fail_msg("%s: an ID is of two parts, a doc of sentences", row->id);
    if (row->command == NULL && row->run == NULL)
        fail_msg("%s: neither a command nor a function", row->id);
    if (reads && row->body != NULL)
        fail_msg("%s: GET has no body", row->id);
    if (row->status != 204 && (row->flags & OP_STREAM) == 0 &&
        (row->result == NULL || schema_find(str_from(row->result)) == NULL))
        fail_msg("%s: there is no schema of its result", row->id);
    if (((row->flags & OP_STREAM) != 0) != (row->type != NULL))
        fail_msg("%s: a stream has a type", row->id);
    if (row->perm == PERM_NONE && (row->scopes != 0 || row->own != PERM_NONE))
        fail_msg("%s: everybody may", row->id);
    for (const struct op_refusal *refusal = row->refusals; refusal != NULL && refusal->status != 0; refusal++)
        if (refusal->status < 400 || problem_find(str_from(refusal->code)) == NULL)
            fail_msg("%s: %s has no text", row->id, refusal->code);
    fields_hold(row->id, row->params, false, 0);
    fields_hold(row->id, row->body, false, 0);
    for (const struct field *field = row->body; field != NULL && field->name != NULL; field++)
        assert_int_equal(field->in, IN_BODY);
    params_hold(row);
}

static void
rows_hold(void **state)
{
    (void)state;
    for (const struct op *const *table = op_tables; *table != NULL; table++)
        for (const struct op *row = *table; row->id != NULL; row++) {
            row_holds(row);
            for (const struct op *const *t = op_tables; *t != NULL; t++)
                for (const struct op *other = *t; other->id != NULL; other++)
                    if (other != row && (strcmp(other->id, row->id) == 0 ||
                                         (strcmp(other->path, row->path) == 0 && strcmp(other->method, row->method) == 0)))
                        fail_msg("%s is there twice", row->id);
        }
    for (const struct schema *const *table = schema_tables; *table != NULL; table++)
        for (const struct schema *schema = *table; schema->name != NULL; schema++) {
            fields_hold(schema->name, schema->members, true, 0);
            assert_ptr_equal(schema_find(str_from(schema->name)), schema); /* no two of a name */
        }
}

static void
texts_are_there(void **state)
{
    (void)state;
    for (const struct problem_text *text = problem_texts; text->code != NULL; text++) {
        for (int lang = 0; lang < LANG_COUNT; lang++)
            assert_non_null(text->title[lang]);
        if (problem_find(str_from(text->code)) != text)
            fail_msg("%s is there twice", text->code);
        assert_non_null(text->detail[LANG_ZH]);
    }
}

/* ---- the document ---- */

static void
document_has_all_rows(void **state)
{
    struct buf out;
    struct js_value document, paths;
    struct js_error err;
    struct js_iter it, methods;
    struct js_value key, path, method, operation;
    size_t rows = 0, written = 0;

    (void)state;
    buf_init(&out, 16u << 20);
    openapi_write(&out, op_tables, schema_tables);
    assert_false(out.failed);
    assert_true(js_check(buf_str(&out), &document, &err));
    paths = js_get(document, STR("paths"));
    for (const struct op *const *table = op_tables; *table != NULL; table++)
        for (const struct op *row = *table; row->id != NULL; row++, rows++) {
            char lower[8] = "";

            for (size_t i = 0; row->method[i] != '\0'; i++)
                lower[i] = (char)(row->method[i] | 0x20);
            operation = js_get(js_get(paths, str_from(row->path)), str_from(lower));
            assert_true(js_str_eq(js_get(operation, STR("operationId")), str_from(row->id)));
            assert_true(js_str_eq(js_get(operation, STR("x-permission")), str_from(perm_name[row->perm])));
        }
    for (js_iter_init(&it, paths); js_next(&it, &key, &path);)
        for (js_iter_init(&methods, path); js_next(&methods, &method, &operation);)
            written++;
    assert_int_equal(written, rows);
    buf_free(&out);
}

/* ---- rates ---- */

static void
rates(void **state)
{
    struct rate *rate = calloc(1, sizeof *rate);
    uint64_t wait_us, now_us = 1000000;

    (void)state;
    rate_init(rate, 1000, 3);
    for (int i = 0; i < 3; i++)
        assert_true(rate_take(rate, STR("a"), now_us, &wait_us));
    assert_false(rate_take(rate, STR("a"), now_us, &wait_us));
    assert_int_equal(wait_us, 1000);
    assert_false(rate_look(rate, STR("a"), now_us + 999, &wait_us));
    assert_int_equal(wait_us, 1);
    assert_true(rate_look(rate, STR("a"), now_us + 1000, &wait_us));
    assert_true(rate_take(rate, STR("b"), now_us, &wait_us));
    assert_true(rate_take(rate, STR("a"), now_us + 1000, &wait_us));
    assert_false(rate_take(rate, STR("a"), now_us + 1000, &wait_us));
    assert_true(rate_take(rate, STR("a"), now_us + 1000000, &wait_us));
    /* However many names there are, it is of one size, and a new name has its burst. */
    for (unsigned i = 0; i < 100000; i++)
        assert_true(rate_take(rate, (struct str){(const char *)&i, sizeof i}, now_us, &wait_us));
    free(rate);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_permit),    cmocka_unit_test(routes), cmocka_unit_test(rows_hold),
        cmocka_unit_test(texts_are_there), cmocka_unit_test(document_has_all_rows),
        cmocka_unit_test(rates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
