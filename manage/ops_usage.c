/* Operations about what was used. */
#include "manage/ops.h"

static const char *const by_values[] = {"hour", "day", "model", "key", NULL};

static const struct field usage_params[] = {
    {"since", IN_QUERY, FIELD_TIME, .example = "\"7d\"", .doc = "From when; 30 days ago if not said."},
    {"until", IN_QUERY, FIELD_TIME, .doc = "Till when; now if not said."},
    {"by", IN_QUERY, FIELD_ENUM, .values = by_values, .doc = "What a row is of."},
    {NULL},
};
static const struct field usage_members[] = {
    {"by", .type = FIELD_STRING, .doc = "What a row is of."},
    {"since", .type = FIELD_TIME, .nullable = true, .doc = "From when."},
    {"until", .type = FIELD_TIME, .nullable = true, .doc = "Till when."},
    {"rows", .type = FIELD_ANY, .doc = "A row each."},
    {"total", .type = FIELD_ANY, .doc = "All of them."},
    {NULL},
};

const struct schema schemas_usage[] = {
    {"Usage", "What was used, by hours, days, models or keys.", usage_members},
    {NULL},
};

const struct op ops_usage[] = {
    {.id = "usage.show", .method = "GET", .path = "/api/v1/usage", .perm = PERM_USAGE_ALL,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .flags = OP_LONG, .params = usage_params, .result = "Usage",
     .command = "usage", .doc = "What the tenant used, in calls, tokens and credits."},
    {NULL},
};
