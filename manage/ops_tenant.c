/* Operations about the tenant that the caller belongs to. */
#include "manage/ops.h"

static const struct field tenant_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"disabled", .type = FIELD_BOOL, .doc = "Its keys do not work for now."},
    {"pending", .type = FIELD_BOOL, .doc = "It waits for the operator's approval."},
    {"reason", .type = FIELD_STRING, .nullable = true, .doc = "Why it is disabled."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {"overdraft", .type = FIELD_CREDITS, .doc = "How far below zero its balance may go."},
    {"available", .type = FIELD_CREDITS, .optional = true, .doc = "What may be spent."},
    {NULL},
};
static const struct field source_members[] = {
    {"source", .type = FIELD_STRING, .doc = "Where it came from."},
    {"amount", .type = FIELD_CREDITS, .doc = "How much."},
    {NULL},
};
static const struct field balance_members[] = {
    {"available", .type = FIELD_CREDITS, .doc = "What may be spent."},
    {"held", .type = FIELD_CREDITS, .doc = "For calls under way."},
    {"spent", .type = FIELD_CREDITS, .doc = "In all."},
    {"sources", .type = FIELD_OBJECTS, .members = source_members, .doc = "What came in, by source."},
    {NULL},
};

const struct schema schemas_tenant[] = {
    {"Tenant", "Who pays: an organisation, a team or a person.", tenant_members},
    {"Balance", "The tenant's credit.", balance_members},
    {NULL},
};

const struct op ops_tenant[] = {
    {.id = "tenant.show", .method = "GET", .path = "/api/v1/tenant", .perm = PERM_TENANT_READ,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .result = "Tenant", .command = "tenant.show", .doc = "The caller's tenant."},
    {.id = "balance.show", .method = "GET", .path = "/api/v1/balance", .perm = PERM_BILLING_READ,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .result = "Balance", .command = "credit.show",
     .doc = "The tenant's credit: available, held, spent."},
    {NULL},
};
