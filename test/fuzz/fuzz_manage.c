/* What strangers send to the management API: a path, a query and a body, split at two NUL bytes. Whatever comes, a
 * route is found or not, and of the fields either all hold, and are then one JSON object, or each fault is told. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "manage/lang.h"
#include "manage/problem.h"
#include "manage/route.h"
#include "manage/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *const words[] = {"hour", "day", NULL};
static const struct field inner[] = {
    {"cost", .type = FIELD_DECIMAL},
    {"note", .type = FIELD_STRING, .required = true, .max = 30},
    {NULL},
};
static const struct field params[] = {
    {"id", .in = IN_PATH, .type = FIELD_ID},
    {"name", .in = IN_PATH, .type = FIELD_STRING},
    {"limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 500},
    {"by", .in = IN_QUERY, .type = FIELD_ENUM, .values = words},
    {"tags", .in = IN_QUERY, .type = FIELD_STRINGS},
    {"since", .in = IN_QUERY, .type = FIELD_TIME},
    {"q", .in = IN_QUERY, .type = FIELD_STRING},
    {NULL},
};
static const struct field body[] = {
    {"name", .type = FIELD_STRING, .required = true, .min = 1, .max = 96},
    {"text", .type = FIELD_TEXT, .nullable = true},
    {"secret", .type = FIELD_SECRET},
    {"email", .type = FIELD_EMAIL},
    {"n", .type = FIELD_INT, .min = -5},
    {"credit", .type = FIELD_CREDITS},
    {"budget", .type = FIELD_BUDGET},
    {"when", .type = FIELD_TIME},
    {"on", .type = FIELD_BOOL},
    {"by", .type = FIELD_ENUM, .values = words},
    {"models", .type = FIELD_STRINGS, .max = 4},
    {"one", .type = FIELD_OBJECT, .members = inner},
    {"any", .type = FIELD_OBJECT},
    {"rows", .type = FIELD_OBJECTS, .members = inner},
    {"url", .type = FIELD_URL},
    {NULL},
};
static const struct op ops[] = {
    {.id = "a.b", .method = "POST", .path = "/api/v1/x/{id}/{name}", .params = params, .body = body},
    {.id = "a.c", .method = "GET", .path = "/api/v1/x/all/{name}"},
    {.id = NULL},
};
static const struct op *const tables[] = {ops, NULL};

static struct str
part(struct str *rest)
{
    struct str text = str_split(*rest, '\0', rest);

    return text.ptr != NULL ? text : STR("");
}

static void
answered(const struct faults *faults, const struct buf *args)
{
    struct js_value document;
    struct js_error fault;
    struct buf out;

    if (faults->count == 0) {
        ASSERT(js_check(buf_str(args), &document, &fault) && document.type == JS_OBJECT);
        ASSERT(js_get(document, STR("name")).type == JS_STRING);
        return;
    }
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        struct problem problem = {.status = 422, .code = STR("validation_failed"), .faults = faults,
                                  .lang = (enum lang)lang};

        buf_init(&out, 1 << 20);
        problem_write(&out, &problem);
        ASSERT(!out.failed && js_check(buf_str(&out), &document, &fault));
        buf_free(&out);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    struct str rest = {copy, len}, path, query;
    struct validate_input input = {.op = &ops[0]};
    struct faults faults;
    struct arena arena;
    struct route route;
    struct js_error fault;
    struct buf args;

    memcpy(copy, bytes, len);
    arena_init(&arena, 8u << 20);
    path = part(&rest);
    query = part(&rest);
    (void)lang_of(query);
    route_find(&arena, tables, STR("POST"), path, &route);
    input.path_params[0] = route.op != NULL ? route.params[0] : STR("7");
    input.path_params[1] = route.op != NULL ? route.params[1] : STR("a");
    input.query = query;
    if (rest.ptr != NULL && (!js_check(rest, &input.body, &fault) || input.body.type != JS_OBJECT))
        input.body = (struct js_value){.type = JS_NONE};
    if (validate(&arena, &input, &args, &faults) == 0)
        answered(&faults, &args);
    buf_free(&args);
    arena_end(&arena);
    free(copy);
    return 0;
}
