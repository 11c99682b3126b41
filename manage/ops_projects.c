/* Operations about projects. */
#include "manage/ops.h"

static const struct field create_body[] = {
    {"name", .type = FIELD_STRING, .required = true, .min = 1, .max = 96, .example = "\"web\"", .doc = "Unique in the tenant."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "The most that its keys may spend together."},
    {"latency", .type = FIELD_DECIMAL, .example = "\"0.3\"", .doc = "What a quick answer counts where a model is chosen."},
    {"cost", .type = FIELD_DECIMAL, .example = "\"0.4\"", .doc = "What a low price counts."},
    {"quality", .type = FIELD_DECIMAL, .example = "\"0.3\"", .doc = "What a good model counts."},
    {NULL},
};
static const struct field weights_members[] = {
    {"latency", .type = FIELD_DECIMAL, .doc = "Of a quick answer."},
    {"cost", .type = FIELD_DECIMAL, .doc = "Of a low price."},
    {"quality", .type = FIELD_DECIMAL, .doc = "Of a good model."},
    {NULL},
};
static const struct field project_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "Unique in the tenant."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {"budget", .type = FIELD_OBJECT, .ref = "Budget", .nullable = true, .doc = "What its keys may spend together."},
    {"weights", .type = FIELD_OBJECT, .members = weights_members, .nullable = true,
     .doc = "What counts where a model is chosen; null: as for all."},
    {NULL},
};
static const struct field projects_members[] = {
    {"projects", .type = FIELD_OBJECTS, .ref = "Project", .doc = "Those of this page."},
    {NULL},
};

const struct schema schemas_projects[] = {
    {"Project", "A group of keys.", project_members},
    {"ProjectList", "Projects of the tenant.", projects_members},
    {NULL},
};

static const struct op_refusal taken[] = {{409, "taken"}, {0, NULL}};

const struct op ops_projects[] = {
    {.id = "projects.list", .method = "GET", .path = "/api/v1/projects", .perm = PERM_PROJECTS_READ,
     .scopes = SCOPE_MANAGE, .result = "ProjectList", .command = "project.list", .doc = "The tenant's projects."},
    {.id = "projects.create", .method = "POST", .path = "/api/v1/projects", .perm = PERM_PROJECTS_WRITE,
     .scopes = SCOPE_MANAGE, .body = create_body, .result = "Project", .status = 201, .refusals = taken,
     .command = "project.add", .doc = "Makes a project."},
    {NULL},
};
