/* Operations about projects. */
#include "manage/ops.h"

static const char *const shadow_values[] = {"rpm", "tpm", "concurrency", NULL};

#define WEIGHT_FIELDS                                                                                                  \
    {"latency", .type = FIELD_DECIMAL, .example = "\"0.3\"", .doc = "What a quick answer counts where a model is chosen."}, \
        {"cost", .type = FIELD_DECIMAL, .example = "\"0.4\"", .doc = "What a low price counts."},                      \
        {"quality", .type = FIELD_DECIMAL, .example = "\"0.3\"", .doc = "What a good model counts."}

static const struct field list_params[] = {
    {"limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .doc = "The most of a page; 50 if not said."},
    {"cursor", .in = IN_QUERY, .type = FIELD_STRING, .max = 128, .arg = "after", .doc = "The next of the page before."},
    {"q", .in = IN_QUERY, .type = FIELD_STRING, .max = 96, .doc = "How a word of its name begins."},
    {"label", .in = IN_QUERY, .type = FIELD_STRING, .max = 64, .doc = "Only those that have it."},
    {NULL},
};
static const struct field project_params[] = {
    {"project", .in = IN_PATH, .type = FIELD_ID, .doc = "The project's number."},
    {NULL},
};
static const struct field create_body[] = {
    {"name", .type = FIELD_STRING, .required = true, .min = 1, .max = 96, .example = "\"web\"", .doc = "Unique in the tenant."},
    WEIGHT_FIELDS,
    {"labels", .type = FIELD_STRINGS, .max = 8, .example = "[\"team=web\"]", .doc = "To find it by."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .max = 3, .values = shadow_values, .example = "[\"tpm\"]",
     .doc = "Which of these limits count only, and refuse nothing."},
    {"channels", .type = FIELD_STRINGS, .max = 8, .doc = "Channels that may be used, in order; empty: those of its keys."},
    {"models", .type = FIELD_STRINGS, .max = 64, .example = "[\"claude-*\"]",
     .doc = "Globs of models that may be used; empty: any."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "The most that its keys may spend together."},
    {NULL},
};
static const struct field set_body[] = {
    {"name", .type = FIELD_STRING, .min = 1, .max = 96, .example = "\"web\"", .doc = "Unique in the tenant."},
    WEIGHT_FIELDS,
    {"no_weights", .type = FIELD_BOOL, .doc = "Weigh as for all."},
    {"labels", .type = FIELD_STRINGS, .max = 8, .example = "[\"team=web\"]", .doc = "To find it by."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .max = 3, .values = shadow_values, .example = "[\"tpm\"]",
     .doc = "Which of these limits count only, and refuse nothing."},
    {"channels", .type = FIELD_STRINGS, .max = 8, .doc = "Channels that may be used, in order; empty: those of its keys."},
    {"models", .type = FIELD_STRINGS, .max = 64, .example = "[\"claude-*\"]",
     .doc = "Globs of models that may be used; empty: any."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "The most that its keys may spend together."},
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
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .doc = "Limits that count only."},
    {"channels", .type = FIELD_STRINGS, .doc = "Channels that may be used; none: those of its keys."},
    {"models", .type = FIELD_STRINGS, .doc = "Globs of models that may be used; none: any."},
    {"labels", .type = FIELD_STRINGS, .doc = "To find it by."},
    {"weights", .type = FIELD_OBJECT, .members = weights_members, .nullable = true,
     .doc = "What counts where a model is chosen; null: as for all."},
    {NULL},
};
static const struct field projects_members[] = {
    {"projects", .type = FIELD_OBJECTS, .ref = "Project", .doc = "Those of this page."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};
static const struct field gone_members[] = {
    {"id", .type = FIELD_ID, .doc = "The project's number."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"deleted", .type = FIELD_BOOL, .doc = "It is gone."},
    {NULL},
};

const struct schema schemas_projects[] = {
    {"Project", "A group of keys.", project_members},
    {"ProjectList", "Projects of the tenant.", projects_members},
    {"ProjectGone", "A project that was deleted.", gone_members},
    {NULL},
};

static const struct op_refusal taken[] = {{409, "taken"}, {409, "no_channel"}, {409, "too_many"}, {0, NULL}};
static const struct op_refusal set_refusals[] = {{409, "taken"}, {409, "no_channel"}, {400, "nothing_to_set"}, {0, NULL}};
static const struct op_refusal in_use[] = {{409, "in_use"}, {0, NULL}};

const struct op ops_projects[] = {
    {.id = "projects.list", .method = "GET", .path = "/api/v1/projects", .perm = PERM_PROJECTS_READ,
     .scopes = SCOPE_MANAGE, .params = list_params, .result = "ProjectList", .command = "project.list",
     .doc = "The tenant's projects."},
    {.id = "projects.create", .method = "POST", .path = "/api/v1/projects", .perm = PERM_PROJECTS_WRITE,
     .scopes = SCOPE_MANAGE, .body = create_body, .result = "Project", .status = 201, .refusals = taken,
     .command = "project.add", .doc = "Makes a project."},
    {.id = "projects.get", .method = "GET", .path = "/api/v1/projects/{project}", .perm = PERM_PROJECTS_READ,
     .scopes = SCOPE_MANAGE, .params = project_params, .result = "Project", .command = "project.show",
     .doc = "One project."},
    {.id = "projects.set", .method = "PATCH", .path = "/api/v1/projects/{project}", .perm = PERM_PROJECTS_WRITE,
     .scopes = SCOPE_MANAGE, .params = project_params, .body = set_body, .result = "Project",
     .refusals = set_refusals, .command = "project.set", .doc = "Changes a project; what is not said stays."},
    {.id = "projects.delete", .method = "DELETE", .path = "/api/v1/projects/{project}", .perm = PERM_PROJECTS_WRITE,
     .scopes = SCOPE_MANAGE, .params = project_params, .result = "ProjectGone", .refusals = in_use,
     .command = "project.delete", .doc = "Deletes a project that has no keys any more."},
    {NULL},
};
