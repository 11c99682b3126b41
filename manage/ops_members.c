/* Operations about a tenant's members. */
#include "manage/ops.h"

static const char *const shadow_values[] = {"rpm", "tpm", "concurrency", NULL};

static const struct field list_params[] = {
    {"limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .doc = "The most of a page; 50 if not said."},
    {"cursor", .in = IN_QUERY, .type = FIELD_STRING, .max = 128, .arg = "after", .doc = "The next of the page before."},
    {"q", .in = IN_QUERY, .type = FIELD_STRING, .max = 96, .doc = "How a word of the address begins."},
    {"role", .in = IN_QUERY, .type = FIELD_ENUM, .values = role_values, .doc = "Only those with it."},
    {NULL},
};
static const struct field member_params[] = {
    {"member", .in = IN_PATH, .type = FIELD_ID, .doc = "The member's number."},
    {NULL},
};
static const struct field limits_body[] = {
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .max = 3, .values = shadow_values, .example = "[\"tpm\"]",
     .doc = "Which of these limits count only, and refuse nothing."},
    {"channels", .type = FIELD_STRINGS, .max = 8, .doc = "Channels that may be used, in order; empty: those of their keys."},
    {"models", .type = FIELD_STRINGS, .max = 64, .example = "[\"claude-*\"]",
     .doc = "Globs of models that may be used; empty: any."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "Their share of the tenant's credit, once or by the window; \"none\": no bound."},
    {"raise", .type = FIELD_CREDITS, .example = "\"5\"", .doc = "So much more than the budget is now."},
    {"lower", .type = FIELD_CREDITS, .example = "\"5\"", .doc = "So much less, down to nothing."},
    {NULL},
};

static const struct field budget_members[] = {
    {"limit", .type = FIELD_CREDITS, .doc = "The most that may be spent in a window."},
    {"period", .type = FIELD_STRING, .doc = "What a window is."},
    {"hours", .type = FIELD_INT, .optional = true, .doc = "How long a rolling window is."},
    {"shadow", .type = FIELD_BOOL, .doc = "It counts only, and refuses nothing."},
    {"used", .type = FIELD_CREDITS, .optional = true, .doc = "In this window, with what is held."},
    {"resets", .type = FIELD_TIME, .optional = true, .doc = "When the window ends."},
    {NULL},
};
static const struct field member_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant", .type = FIELD_ID, .doc = "Where it is."},
    {"email", .type = FIELD_EMAIL, .doc = "The person's address."},
    {"role", .type = FIELD_ENUM, .values = role_values, .doc = "What they may do."},
    {"created", .type = FIELD_TIME, .doc = "Since when."},
    {"signed_up", .type = FIELD_BOOL, .doc = "Somebody can sign in to it."},
    {"budget", .type = FIELD_OBJECT, .ref = "Budget", .nullable = true, .doc = "What they may spend."},
    {"rpm", .type = FIELD_INT, .doc = "Requests a minute; 0: no limit."},
    {"tpm", .type = FIELD_INT, .doc = "Tokens a minute; 0: no limit."},
    {"concurrency", .type = FIELD_INT, .doc = "Calls at a time; 0: no limit."},
    {"shadow", .type = FIELD_STRINGS, .doc = "Limits that count only."},
    {"channels", .type = FIELD_STRINGS, .doc = "Channels that may be used; none: those of their keys."},
    {"models", .type = FIELD_STRINGS, .doc = "Globs of models that may be used; none: any."},
    {NULL},
};
static const struct field members_members[] = {
    {"members", .type = FIELD_OBJECTS, .ref = "Member", .doc = "Those of this page."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};

const struct schema schemas_members[] = {
    {"Budget", "The most that may be spent.", budget_members},
    {"Member", "A place in a tenant.", member_members},
    {"MemberList", "Members of the tenant.", members_members},
    {NULL},
};

static const struct op_refusal refusals[] = {
    {409, "no_channel"}, {409, "no_budget"}, {400, "nothing_to_set"}, {0, NULL}};

const struct op ops_members[] = {
    {.id = "members.list", .method = "GET", .path = "/api/v1/members", .perm = PERM_MEMBERS_READ,
     .scopes = SCOPE_MANAGE, .params = list_params, .result = "MemberList", .command = "member.list",
     .doc = "The tenant's members."},
    {.id = "members.show", .method = "GET", .path = "/api/v1/members/{member}", .perm = PERM_MEMBERS_READ,
     .scopes = SCOPE_MANAGE, .params = member_params, .result = "Member", .command = "member.show",
     .doc = "One member."},
    {.id = "members.limits", .method = "PATCH", .path = "/api/v1/members/{member}/limits", .perm = PERM_MEMBERS_WRITE,
     .scopes = SCOPE_MANAGE, .params = member_params, .body = limits_body, .result = "Member", .refusals = refusals,
     .command = "member.limits", .doc = "Changes what a member may spend and use; what is not said stays."},
    {NULL},
};
