/* Operations about the API itself: its description, roles, refusals, and who calls. */
#include "manage/ops.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/str.h"
#include "manage/api_in.h"

/* ---- the description ---- */

static bool
make_document(struct api *api)
{
    uint8_t hash[HASH_LEN];
    char hex[2 * HASH_LEN + 1];

    if (api->document.len > 0)
        return true;
    openapi_write(&api->document, op_tables, schema_tables);
    if (api->document.failed) {
        buf_free(&api->document);
        return false;
    }
    hash_keyed(NULL, api->document.ptr, api->document.len, hash);
    str_hex(hash, sizeof hash, hex);
    snprintf(api->document_etag, sizeof api->document_etag, "\"%.32s\"", hex);
    return true;
}

static void
document_run(struct op_call *call)
{
    struct request *request = call->request;
    struct api *api = request->manage->api;
    bool known;

    if (!make_document(api)) {
        op_refuse(call, 503, "unavailable", NULL);
        return;
    }
    known = request->if_none_match.ptr != NULL &&
            str_contains(request->if_none_match, str_from(api->document_etag));
    op_head(call, known ? 304 : 200, "application/json");
    request_header(request, "etag", str_from(api->document_etag));
    op_over(call);
    request_send(request, known ? STR("") : buf_str(&api->document));
}

/* ---- roles ---- */

static void
answer_of(struct op_call *call, struct buf *out)
{
    if (out->failed)
        op_refuse(call, 503, "unavailable", NULL);
    else
        op_answer(call, buf_str(out));
    buf_free(out);
}

static void
roles_run(struct op_call *call)
{
    struct buf out;
    struct jw jw;

    buf_init(&out, 64u << 10);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key(&jw, "roles");
    jw_array(&jw);
    for (int role = ROLE_OWNER; role < ROLE_COUNT; role++) {
        jw_object(&jw);
        jw_key_cstr(&jw, "role", role_name[role]);
        jw_key(&jw, "permissions");
        jw_array(&jw);
        for (int perm = PERM_TENANT_READ; perm < PERM_COUNT; perm++)
            if (role_may((enum role)role, (enum perm)perm))
                jw_cstr(&jw, perm_name[perm]);
        jw_array_end(&jw);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    answer_of(call, &out);
}

/* ---- refusals ---- */

static void
problems_run(struct op_call *call)
{
    struct buf out;
    struct jw jw;

    buf_init(&out, 1u << 20);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key(&jw, "problems");
    jw_array(&jw);
    for (const struct problem_text *text = problem_texts; text->code != NULL; text++) {
        jw_object(&jw);
        jw_key_cstr(&jw, "code", text->code);
        jw_key_cstr(&jw, "title", text->title[call->lang]);
        jw_key_cstr(&jw, "detail", text->detail[call->lang]);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    answer_of(call, &out);
}

/* ---- who calls ---- */

static bool
may(const struct caller *caller, enum perm perm)
{
    return perm == PERM_PLATFORM_READ || perm == PERM_PLATFORM_WRITE ? caller->platform
                                                                     : role_may(caller->role, perm);
}

static void
session_run(struct op_call *call)
{
    static const char *const states[] = {
        [TENANT_ACTIVE] = "active", [TENANT_PENDING] = "pending", [TENANT_DISABLED] = "disabled"};
    const struct caller *caller = &call->caller;
    struct buf out;
    struct jw jw;

    buf_init(&out, 64u << 10);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "kind", caller->kind == CALLER_KEY ? "key" : "person");
    jw_key_u64(&jw, "id", caller->kind == CALLER_KEY ? caller->key_id : caller->person_id);
    jw_key_cstr(&jw, "name", caller->name);
    jw_key_bool(&jw, "platform", caller->platform);
    jw_key(&jw, "tenant");
    if (caller->tenant_id != 0)
        jw_u64(&jw, caller->tenant_id);
    else
        jw_null(&jw);
    jw_key_cstr(&jw, "tenant_state", caller->tenant_id != 0 ? states[caller->tenant_state] : NULL);
    jw_key(&jw, "member");
    if (caller->member_id != 0)
        jw_u64(&jw, caller->member_id);
    else
        jw_null(&jw);
    jw_key_cstr(&jw, "role", caller->role != ROLE_NONE ? role_name[caller->role] : NULL);
    jw_key(&jw, "permissions");
    jw_array(&jw);
    for (int perm = PERM_TENANT_READ; perm < PERM_COUNT; perm++)
        if (may(caller, (enum perm)perm))
            jw_cstr(&jw, perm_name[perm]);
    jw_array_end(&jw);
    jw_key(&jw, "csrf");
    if (caller->csrf.len > 0)
        jw_str(&jw, caller->csrf);
    else
        jw_null(&jw);
    jw_object_end(&jw);
    answer_of(call, &out);
}

/* ---- tables ---- */

static const char *const kinds[] = {"person", "key", NULL};
static const char *const states[] = {"active", "pending", "disabled", NULL};

static const struct field role_members[] = {
    {"role", .type = FIELD_ENUM, .values = role_values, .doc = "Its name."},
    {"permissions", .type = FIELD_STRINGS, .doc = "What it permits."},
    {NULL},
};
static const struct field roles_members[] = {
    {"roles", .type = FIELD_OBJECTS, .ref = "Role", .doc = "All of them."},
    {NULL},
};
static const struct field problem_text_members[] = {
    {"code", .type = FIELD_STRING, .doc = "Stable, for programs."},
    {"title", .type = FIELD_STRING, .doc = "For people, in the language asked for."},
    {"detail", .type = FIELD_STRING, .nullable = true, .doc = "Likewise; null when each refusal says its own."},
    {NULL},
};
static const struct field problems_members[] = {
    {"problems", .type = FIELD_OBJECTS, .ref = "ProblemText", .doc = "All of them."},
    {NULL},
};
static const struct field problem_error_members[] = {
    {"field", .type = FIELD_STRING, .doc = "The field's path, as models[2] or weights.cost."},
    {"in", .type = FIELD_STRING, .optional = true, .doc = "body, path or query."},
    {"code", .type = FIELD_STRING, .doc = "What is wrong with it."},
    {"detail", .type = FIELD_STRING, .doc = "The same for people."},
    {NULL},
};
static const struct field problem_members[] = {
    {"type", .type = FIELD_STRING, .doc = "Names the kind of refusal."},
    {"title", .type = FIELD_STRING, .doc = "The kind, for people."},
    {"status", .type = FIELD_INT, .doc = "The HTTP status."},
    {"code", .type = FIELD_STRING, .doc = "The kind, for programs: stable."},
    {"detail", .type = FIELD_STRING, .doc = "A sentence for people, in the language asked for."},
    {"request_id", .type = FIELD_STRING, .doc = "The request's ID."},
    {"errors", .type = FIELD_OBJECTS, .members = problem_error_members, .optional = true,
     .doc = "Of fields: each that is wrong."},
    {NULL},
};
static const struct field session_members[] = {
    {"kind", .type = FIELD_ENUM, .values = kinds, .doc = "A person who signed in, or a key."},
    {"id", .type = FIELD_ID, .doc = "The person's or key's."},
    {"name", .type = FIELD_STRING, .doc = "An address, or the key's name."},
    {"platform", .type = FIELD_BOOL, .doc = "An administrator of the platform."},
    {"tenant", .type = FIELD_ID, .nullable = true, .doc = "Whose member it is."},
    {"tenant_state", .type = FIELD_ENUM, .values = states, .nullable = true, .doc = "Whether the tenant may do things."},
    {"member", .type = FIELD_ID, .nullable = true, .doc = "The place in the tenant."},
    {"role", .type = FIELD_ENUM, .values = role_values, .nullable = true, .doc = "In the tenant."},
    {"permissions", .type = FIELD_STRINGS, .doc = "All that this caller may do."},
    {"csrf", .type = FIELD_STRING, .nullable = true, .doc = "To be sent in x-csrf-token with all that changes something."},
    {NULL},
};

const struct schema schemas_api[] = {
    {"Problem", "A refusal (RFC 9457).", problem_members},
    {"ProblemText", "A kind of refusal.", problem_text_members},
    {"ProblemList", "The kinds of refusals.", problems_members},
    {"Role", "A role and what it permits.", role_members},
    {"RoleList", "The roles that members can have.", roles_members},
    {"Caller", "Who calls, and what they may do.", session_members},
    {NULL},
};

const struct op ops_api[] = {
    {.id = "api.describe", .method = "GET", .path = "/api/openapi.json", .flags = OP_STREAM | OP_NO_CREDENTIAL,
     .type = "application/json", .run = document_run, .doc = "This document."},
    {.id = "api.roles", .method = "GET", .path = "/api/v1/roles", .flags = OP_NO_CREDENTIAL, .result = "RoleList",
     .run = roles_run, .doc = "The roles of members, and what each permits."},
    {.id = "api.problems", .method = "GET", .path = "/api/v1/problems", .flags = OP_NO_CREDENTIAL,
     .result = "ProblemList", .run = problems_run, .doc = "The kinds of refusals, in the language asked for."},
    {.id = "session.show", .method = "GET", .path = "/api/v1/session", .perm = PERM_SELF,
     .scopes = SCOPE_MANAGE | SCOPE_USAGE, .result = "Caller", .run = session_run,
     .doc = "Who calls, what they may do, and the token that their browser has to send."},
    {NULL},
};
