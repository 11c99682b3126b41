/* Operations about the tenant that the caller belongs to. */
#include "manage/ops.h"

static const struct field tenant_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"disabled", .type = FIELD_BOOL, .doc = "Its keys do not work for now."},
    {"pending", .type = FIELD_BOOL, .doc = "It waits for the operator's approval."},
    {"reason", .type = FIELD_STRING, .nullable = true, .doc = "Why it is disabled."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {"state", .type = FIELD_STRING, .doc = "active, disabled or pending."},
    {"zone", .type = FIELD_STRING, .doc = "The time zone that its budgets' days, weeks and months begin in."},
    {"contact", .type = FIELD_STRING, .doc = "Who to talk to."},
    {"contact_email", .type = FIELD_STRING, .doc = "Their address."},
    {"contact_phone", .type = FIELD_STRING, .doc = "Their telephone."},
    {"overdraft", .type = FIELD_CREDITS, .doc = "How far below zero its balance may go."},
    {"available", .type = FIELD_CREDITS, .optional = true, .doc = "What may be spent."},
    {"budget", .type = FIELD_ANY, .nullable = true, .doc = "What all of it may spend in a window of time."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute of all keys together; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at once; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .doc = "Which of the limits only count."},
    {"channels", .type = FIELD_STRINGS, .doc = "Those it may use; none: all."},
    {"models", .type = FIELD_STRINGS, .doc = "Likewise of models; globs."},
    {"prices", .type = FIELD_STRINGS,
     .doc = "Prices of its own: what it pays of a channel's multiplier, as official:gpt-*=0.85; the first that is "
            "for a call counts."},
    {"members", .type = FIELD_INT, .optional = true, .doc = "How many it has."},
    {"projects", .type = FIELD_INT, .optional = true, .doc = "How many it has."},
    {"keys", .type = FIELD_INT, .optional = true, .doc = "How many it has."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
#define SETTINGS                                                                                              \
    {"name", IN_BODY, FIELD_STRING, .min = 1, .max = 96, .doc = "Its name, which no other has."},              \
        {"zone", IN_BODY, FIELD_STRING, .max = 64,                                                            \
         .doc = "The time zone that its budgets' days, weeks and months begin in, as Asia/Shanghai."},        \
        {"contact", IN_BODY, FIELD_STRING, .max = 96, .doc = "Who to talk to."},                              \
        {"contact_email", IN_BODY, FIELD_EMAIL, .doc = "Their address."},                                     \
    {                                                                                                         \
        "contact_phone", IN_BODY, FIELD_STRING, .max = 32, .doc = "Their telephone."                          \
    }
static const struct field tenant_set_body[] = {
    SETTINGS,
    {NULL},
};
static const char *const shadow_values[] = {"rpm", "tpm", "concurrency", NULL};
static const char *const state_values[] = {"active", "disabled", "pending", NULL};
static const struct field platform_path[] = {
    {"tenant", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The tenant's number."},
    {NULL},
};
static const struct field platform_set_body[] = {
    SETTINGS,
    {"overdraft", IN_BODY, FIELD_CREDITS, .doc = "How far below zero its balance may go."},
    {"budget", IN_BODY, FIELD_STRING, .max = 40, .doc = "What it may spend, as 100/month; none takes it away."},
    {"rpm", IN_BODY, FIELD_INT, .doc = "Requests a minute of all keys together; 0: no limit."},
    {"tpm", IN_BODY, FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", IN_BODY, FIELD_INT, .doc = "Calls at once; 0: no limit."},
    {"shadow", IN_BODY, FIELD_STRINGS, .values = shadow_values, .doc = "Which of the limits only count."},
    {"channels", IN_BODY, FIELD_STRINGS, .max = 16, .doc = "Those it may use."},
    {"models", IN_BODY, FIELD_STRINGS, .max = 64, .doc = "Models that it may use; globs."},
    {"any_channel", IN_BODY, FIELD_BOOL, .doc = "True: all channels."},
    {"any_model", IN_BODY, FIELD_BOOL, .doc = "True: all models."},
    {"prices", IN_BODY, FIELD_STRINGS, .max = 16,
     .doc = "Prices of its own, all of them anew: CHANNEL=FACTOR or CHANNEL:MODELS=FACTOR, where * is every channel "
            "and MODELS a glob; what it pays of the channel's multiplier. none takes them away."},
    {NULL},
};
static const struct field list_query[] = {
    {"q", IN_QUERY, FIELD_STRING, .max = 96, .doc = "The beginning of a word of its name."},
    {"state", IN_QUERY, FIELD_ENUM, .values = state_values, .doc = "Only those that are so."},
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 1000, .doc = "How many; 50 when not said."},
    {"cursor", IN_QUERY, FIELD_STRING, .arg = "after", .max = 512, .doc = "Where the page before this ended: its next."},
    {NULL},
};
static const struct field list_members[] = {
    {"tenants", .type = FIELD_OBJECTS, .ref = "Tenant", .doc = "A page of them."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
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
    {"Tenants", "Tenants, by number or by what they were looked for by.", list_members},
    {"Balance", "The tenant's credit.", balance_members},
    {NULL},
};

const struct op ops_tenant[] = {
    {.id = "tenant.show", .method = "GET", .path = "/api/v1/tenant", .perm = PERM_TENANT_READ,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .result = "Tenant", .command = "tenant.show", .doc = "The caller's tenant."},
    {.id = "tenant.set", .method = "PATCH", .path = "/api/v1/tenant", .perm = PERM_TENANT_WRITE,
     .scopes = SCOPE_MANAGE, .body = tenant_set_body, .result = "Tenant", .command = "tenant.set",
     .doc = "Changes what the caller's tenant is called, its time zone, and who to talk to."},
    {.id = "platform.tenants.list", .method = "GET", .path = "/api/v1/platform/tenants", .perm = PERM_PLATFORM_READ,
     .params = list_query, .result = "Tenants", .command = "tenant.list", .doc = "Tenants, page by page."},
    {.id = "platform.tenants.set", .method = "PATCH", .path = "/api/v1/platform/tenants/{tenant}",
     .perm = PERM_PLATFORM_WRITE, .params = platform_path, .body = platform_set_body, .result = "Tenant",
     .command = "tenant.set", .doc = "Changes a tenant: its limits, budget, overdraft, and what it may use."},
    {.id = "balance.show", .method = "GET", .path = "/api/v1/balance", .perm = PERM_BILLING_READ,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .result = "Balance", .command = "credit.show",
     .doc = "The tenant's credit: available, held, spent."},
    {NULL},
};
