/*
 * Who calls: the ledger is asked for each request what its cookie or key stands for, so that what was revoked is
 * revoked at once. It costs a question of some tens of microseconds; what is no credential counts against the
 * address that sends it.
 */
#include "manage/api_in.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define KEY_LEN_MAX 256u

/* ---- what the ledger says ---- */

static struct str
text_in(struct op_call *call, struct js_value object, const char *name)
{
    struct js_value value = js_get(object, str_from(name));
    char *room;

    if (!js_is(value, JS_STRING))
        return STR_NONE;
    room = arena_alloc(&call->request->arena, value.raw.len + 1);
    if (room == NULL)
        return STR_NONE;
    struct str text = js_unescape(value, room, value.raw.len + 1);

    /* The answer goes: its text is kept. */
    if (text.ptr != room && text.len > 0)
        memcpy(room, text.ptr, text.len);
    return (struct str){room, text.len};
}

static uint32_t
id_in(struct js_value object, const char *name)
{
    uint64_t id = 0;

    return js_count(js_get(object, str_from(name)), UINT32_MAX, &id) ? (uint32_t)id : 0;
}

static void
read_tenant(struct op_call *call, struct js_value result)
{
    struct js_value tenant = js_get(result, STR("tenant")), member = js_get(result, STR("member"));
    struct str state = text_in(call, tenant, "state");

    call->caller.tenant_id = id_in(tenant, "id");
    call->caller.member_id = id_in(member, "id");
    call->caller.role = role_of(text_in(call, member, "role"));
    if (js_bool(js_get(tenant, STR("pending")), false) || str_eq(state, STR("pending")))
        call->caller.tenant_state = TENANT_PENDING;
    else if (js_bool(js_get(tenant, STR("disabled")), false) || (state.len > 0 && !str_eq(state, STR("active"))))
        call->caller.tenant_state = TENANT_DISABLED;
}

static void
read_session(struct op_call *call, struct js_value result)
{
    struct js_value person = js_get(result, STR("person"));
    struct caller *caller = &call->caller;

    caller->kind = CALLER_SESSION;
    caller->person_id = id_in(person, "id");
    caller->platform = js_bool(js_get(person, STR("platform")), false);
    caller->session_id = id_in(result, "id");
    caller->csrf = text_in(call, result, "csrf");
    str_copy(text_in(call, person, "email"), caller->name, sizeof caller->name);
    str_copy(text_in(call, person, "locale"), caller->locale, sizeof caller->locale);
    read_tenant(call, result);
    if (caller->locale[0] != '\0' && call->request->accept_language.ptr == NULL)
        call->lang = lang_of_name(str_from(caller->locale));
}

/* What a key may do is what its member may; but whoever may make keys for an owner makes no owner of them. */
static void
read_key(struct op_call *call, struct js_value result)
{
    struct js_value key = js_get(result, STR("key")), name, value;
    struct caller *caller = &call->caller;
    struct js_iter it;

    caller->kind = CALLER_KEY;
    caller->key_id = id_in(key, "id");
    str_copy(text_in(call, key, "name"), caller->name, sizeof caller->name);
    for (js_iter_init(&it, js_get(result, STR("scopes"))); js_next(&it, &name, &value);)
        caller->scopes |= scope_of(value.raw);
    read_tenant(call, result);
    if (caller->member_id == 0 || caller->role == ROLE_OWNER)
        caller->role = ROLE_ADMIN;
}

/* ---- asking ---- */

static bool
failed_once_more(struct op_call *call)
{
    struct api *api = call->request->manage->api;
    char room[64];
    uint64_t wait_us;

    (void)rate_take(&api->by_failure, api_address(call->request, room), clock_mono_us(), &wait_us);
    return true;
}

/* An operation for everybody takes no notice of a credential that is none any more. */
static void
unknown(struct op_call *call, const char *code)
{
    (void)failed_once_more(call);
    if (call->op->perm == PERM_NONE)
        api_known(call);
    else
        op_refuse(call, 401, code, NULL);
}

/* So that a session's last use is known. Nobody waits for it. */
static void
touch(struct op_call *call)
{
    struct api *api = call->request->manage->api;
    struct buf line;
    struct jw jw;

    buf_init(&line, 4096);
    jw_init(&jw, &line);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", "session.touch");
    jw_key(&jw, "args");
    jw_object(&jw);
    jw_key_str(&jw, "token", call->caller.token);
    jw_key_str(&jw, "ip", call->request->peer_ip);
    jw_object_end(&jw);
    jw_object_end(&jw);
    buf_add_char(&line, '\n');
    (void)ledger_client_ask(api->ledger, &(struct ledger_question){.request = &line, .again = true});
}

static void
session_answered(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE) {
        read_session(call, answer->result);
        if (js_bool(js_get(answer->result, STR("stale")), false))
            touch(call);
        api_known(call);
    } else if (answer->said == LEDGER_REFUSED && answer->absent) {
        unknown(call, "session_expired");
    } else {
        op_refused(call, answer);
    }
}

static void
key_answered(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE) {
        read_key(call, answer->result);
        api_known(call);
    } else if (answer->said == LEDGER_REFUSED && answer->status == 77) {
        (void)failed_once_more(call);
        op_refuse(call, 403, "key_address", NULL);
    } else if (answer->said == LEDGER_REFUSED && answer->absent) {
        unknown(call, "unknown_key");
    } else {
        op_refused(call, answer);
    }
}

/* "Bearer sk-…", or x-api-key. STR_NONE: there is none; *malformed: there is something else. */
static struct str
key_of(const struct request *request, bool *malformed)
{
    struct str rest = STR_NONE, scheme;

    *malformed = false;
    if (request->authorization.ptr != NULL) {
        scheme = str_split(request->authorization, ' ', &rest);
        rest = str_trim(rest);
        *malformed = !str_eq_nocase(scheme, STR("bearer")) || rest.len == 0 || rest.len > KEY_LEN_MAX;
        return rest;
    }
    if (request->api_key.ptr == NULL)
        return STR_NONE;
    *malformed = request->api_key.len == 0 || request->api_key.len > KEY_LEN_MAX;
    return request->api_key;
}

void
credential_find(struct op_call *call)
{
    struct request *request = call->request;
    struct api *api = request->manage->api;
    char room[64];
    uint64_t wait_us;
    bool malformed;
    struct str key = key_of(request, &malformed);
    struct str token = key.ptr == NULL ? guard_cookie(request) : STR_NONE;
    struct jw jw;

    if ((call->op->flags & OP_NO_CREDENTIAL) != 0 || (key.ptr == NULL && token.ptr == NULL && !malformed)) {
        api_known(call);
        return;
    }
    if (!rate_look(&api->by_failure, api_address(request, room), clock_mono_us(), &wait_us)) {
        call->retry_after_s = wait_us / 1000000 + 1;
        op_refuse(call, 429, "too_many_requests", NULL);
        return;
    }
    if (malformed) {
        unknown(call, "unknown_key");
        return;
    }
    op_ask_begin_bare(call, &jw, key.ptr != NULL ? "key.find" : "session.find");
    if (key.ptr != NULL) {
        jw_key_str(&jw, "key", key);
        jw_key_str(&jw, "ip", request->peer_ip);
        op_ask(call, &jw, OP_ASK_AGAIN, key_answered);
    } else {
        call->caller.token = token;
        jw_key_str(&jw, "token", token);
        op_ask(call, &jw, OP_ASK_AGAIN, session_answered);
    }
}
