/*
 * Operations about a tenant's people: who is invited, what their role is, who goes.
 *
 * Nobody gives a role that can do more than their own, and only owners say who is one.
 */
#include "manage/people.h"

#include "base/str.h"
#include "manage/ops.h"

static void
answered(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        op_answer(call, answer->result.raw);
    else
        op_refused(call, answer);
}

/* Whether the caller may give the role of the field "role"; refused when not. */
static bool
may_give(struct op_call *call)
{
    enum role role = role_of(op_str(call, "role"));

    if (role_covers(call->caller.role, role) &&
        (role != ROLE_OWNER || role_may(call->caller.role, PERM_OWNERS_WRITE)))
        return true;
    op_refuse(call, 403, "role_above", NULL);
    return false;
}

/* The question with all fields, and whether it may be about an owner. */
static void
ask_about(struct op_call *call, const char *cmd)
{
    struct jw jw;

    op_ask_begin(call, &jw, cmd);
    op_ask_fields(call, &jw);
    if (!role_may(call->caller.role, PERM_OWNERS_WRITE))
        jw_key_bool(&jw, "no_owner", true);
    op_ask(call, &jw, OP_ASK_KEYED, answered);
}

static void
create_run(struct op_call *call)
{
    if (may_give(call))
        ask_about(call, "member.add");
}

static void
role_run(struct op_call *call)
{
    if (may_give(call))
        ask_about(call, "member.role");
}

static void
remove_run(struct op_call *call)
{
    ask_about(call, "member.remove");
}

static void
invite_run(struct op_call *call)
{
    struct jw jw;

    if (!may_give(call))
        return;
    op_ask_begin(call, &jw, "invite.add");
    op_ask_fields(call, &jw);
    jw_key_cstr(&jw, "locale", lang_name[call->lang]);
    jw_key_str(&jw, "link_base", people_link(call, "/join#"));
    op_ask(call, &jw, OP_ASK_KEYED, answered);
}

/* ---- the table ---- */

static const struct field create_body[] = {
    {"email", .type = FIELD_EMAIL, .required = true, .example = "\"grace@example.org\"", .doc = "The person's address."},
    {"role", .type = FIELD_ENUM, .values = role_values, .required = true, .example = "\"developer\"", .doc = "What they may do."},
    {"budget", .type = FIELD_BUDGET, .example = "\"100/month\"", .doc = "What they may spend of the tenant's credit."},
    {NULL},
};
static const struct field role_params[] = {
    {"member", .in = IN_PATH, .type = FIELD_ID, .required = true, .arg = "id", .doc = "The member's number."},
    {NULL},
};
static const struct field role_body[] = {
    {"role", .type = FIELD_ENUM, .values = role_values, .required = true, .example = "\"viewer\"", .doc = "What they may do from now on."},
    {NULL},
};
static const struct field remove_params[] = {
    {"member", .in = IN_PATH, .type = FIELD_ID, .required = true, .arg = "id", .doc = "The member's number."},
    {"hand_over_to", .in = IN_QUERY, .type = FIELD_ID, .doc = "The member whose the keys are from then on, for calls alone; else they stop to work."},
    {NULL},
};
static const struct field invite_body[] = {
    {"role", .type = FIELD_ENUM, .values = role_values, .required = true, .example = "\"developer\"", .doc = "What the guests will be."},
    {"email", .type = FIELD_EMAIL, .doc = "Whom it is for: it is mailed there, and the link is told to nobody else. Without, it is for whoever has the link."},
    {"uses", .type = FIELD_INT, .min = 1, .max = 1000, .doc = "How many may come; 1 unless said."},
    {"days", .type = FIELD_INT, .min = 1, .max = 90, .doc = "How long it is good."},
    {NULL},
};
static const char *const state_values[] = {"open", "used", "expired", "revoked", "all", NULL};
static const struct field list_params[] = {
    {"limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .doc = "The most of a page; 50 if not said."},
    {"cursor", .in = IN_QUERY, .type = FIELD_STRING, .max = 128, .arg = "after", .doc = "The next of the page before."},
    {"state", .in = IN_QUERY, .type = FIELD_ENUM, .values = state_values, .doc = "Which: open if not said."},
    {NULL},
};
static const struct field invite_params[] = {
    {"id", .in = IN_PATH, .type = FIELD_ID, .required = true, .doc = "The invitation."},
    {NULL},
};

static const struct field role_members[] = {
    {"id", .type = FIELD_ID, .doc = "The member."},
    {"email", .type = FIELD_EMAIL, .doc = "The person's address."},
    {"role", .type = FIELD_ENUM, .values = role_values, .doc = "What they may do."},
    {NULL},
};
static const struct field removed_members[] = {
    {"id", .type = FIELD_ID, .doc = "The member."},
    {"email", .type = FIELD_EMAIL, .doc = "The person's address."},
    {"keys_disabled", .type = FIELD_INT, .doc = "Keys that stopped to work."},
    {"keys_handed_over", .type = FIELD_INT, .doc = "Keys that are somebody else's now."},
    {NULL},
};
static const struct field one_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"role", .type = FIELD_ENUM, .values = role_values, .doc = "What its guests will be."},
    {"email", .type = FIELD_EMAIL, .nullable = true, .doc = "Whom it is for; null: anybody."},
    {"inviter", .type = FIELD_STRING, .nullable = true, .doc = "Who invited."},
    {"created", .type = FIELD_TIME, .doc = "Since when."},
    {"expires", .type = FIELD_TIME, .doc = "Until when."},
    {"uses", .type = FIELD_INT, .doc = "How many may come."},
    {"used", .type = FIELD_INT, .doc = "How many came."},
    {"state", .type = FIELD_STRING, .doc = "open, used, expired or revoked."},
    {"token", .type = FIELD_SECRET, .optional = true, .doc = "What is in the link; told this one time."},
    {"link", .type = FIELD_SECRET, .optional = true, .doc = "The link; told this one time."},
    {NULL},
};
static const struct field list_members[] = {
    {"invites", .type = FIELD_OBJECTS, .ref = "Invite", .doc = "Those of this page."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};

const struct schema schemas_invites[] = {
    {"MemberRole", "What a member may do.", role_members},
    {"MemberRemoved", "What became of a member's keys.", removed_members},
    {"Invite", "An invitation to the tenant.", one_members},
    {"InviteList", "Invitations to the tenant.", list_members},
    {NULL},
};

static const struct op_refusal of_create[] = {{403, "role_above"}, {409, "taken"}, {409, "too_many"}, {0, NULL}};
static const struct op_refusal of_role[] = {{403, "role_above"}, {403, "owners_only"}, {409, "last_owner"}, {404, "not_found"}, {0, NULL}};
static const struct op_refusal of_invite[] = {{403, "role_above"}, {409, "too_many"}, {0, NULL}};

const struct op ops_invites[] = {
    {.id = "members.create", .method = "POST", .path = "/api/v1/members", .perm = PERM_MEMBERS_WRITE, .scopes = SCOPE_MANAGE,
     .body = create_body, .result = "Member", .status = 201, .refusals = of_create, .run = create_run,
     .doc = "Adds a member by hand. Somebody with that address takes the place when they accept an invitation."},
    {.id = "members.role", .method = "PUT", .path = "/api/v1/members/{member}/role", .perm = PERM_MEMBERS_WRITE, .scopes = SCOPE_MANAGE,
     .params = role_params, .body = role_body, .result = "MemberRole", .refusals = of_role, .run = role_run,
     .doc = "Changes a member's role. The last owner stays one."},
    {.id = "members.remove", .method = "DELETE", .path = "/api/v1/members/{member}", .perm = PERM_MEMBERS_WRITE, .scopes = SCOPE_MANAGE,
     .flags = OP_LONG, .params = remove_params, .result = "MemberRemoved", .refusals = of_role, .run = remove_run,
     .doc = "Removes a member: who signed in as them belongs to the tenant no more."},
    {.id = "invites.list", .method = "GET", .path = "/api/v1/invites", .perm = PERM_MEMBERS_READ, .scopes = SCOPE_MANAGE,
     .params = list_params, .result = "InviteList", .command = "invite.list",
     .doc = "The tenant's invitations that can be accepted. Those that are over are shown by their state alone."},
    {.id = "invites.create", .method = "POST", .path = "/api/v1/invites", .perm = PERM_MEMBERS_WRITE, .scopes = SCOPE_MANAGE,
     .body = invite_body, .result = "Invite", .status = 201, .refusals = of_invite, .run = invite_run,
     .doc = "Invites: one person by mail, of which a tenant has 200 a day, or whoever has the link. A link ends when who made it "
            "is a member no more."},
    {.id = "invites.revoke", .method = "DELETE", .path = "/api/v1/invites/{id}", .perm = PERM_MEMBERS_WRITE, .scopes = SCOPE_MANAGE,
     .params = invite_params, .result = "Invite", .command = "invite.revoke", .doc = "Revokes an invitation."},
    {NULL},
};
