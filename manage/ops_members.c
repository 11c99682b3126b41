/* Operations about a tenant's members. */
#include "manage/ops.h"

static const struct field budget_members[] = {
    {"limit", .type = FIELD_CREDITS, .doc = "The most that may be spent in a window."},
    {"period", .type = FIELD_STRING, .doc = "What a window is."},
    {"used", .type = FIELD_CREDITS, .optional = true, .doc = "In this window, with what is held."},
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
    {NULL},
};
static const struct field members_members[] = {
    {"members", .type = FIELD_OBJECTS, .ref = "Member", .doc = "Those of this page."},
    {NULL},
};

const struct schema schemas_members[] = {
    {"Budget", "The most that may be spent.", budget_members},
    {"Member", "A place in a tenant.", member_members},
    {"MemberList", "Members of the tenant.", members_members},
    {NULL},
};

const struct op ops_members[] = {
    {.id = "members.list", .method = "GET", .path = "/api/v1/members", .perm = PERM_MEMBERS_READ,
     .scopes = SCOPE_MANAGE, .result = "MemberList", .command = "member.list", .doc = "The tenant's members."},
    {NULL},
};
