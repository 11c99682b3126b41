/* The tables of operations, what their functions read of a call, and how they ask the ledger. */
#include "manage/op.h"

#include <string.h>

#include "base/str.h"
#include "manage/api_in.h"
#include "manage/ops.h"

/* What the ledger takes in one line: ledger/command.h. */
#define LINE_BYTES_MAX (1u << 20)
#define IDEM_LEN_MAX 128u

/* A line each: who adds one touches nothing else. */
const struct op *const op_tables[] = {
    ops_alerts,
    ops_api,
    ops_auth,
    ops_invites,
    ops_keys,
    ops_log,
    ops_me,
    ops_members,
    ops_oidc,
    ops_platform,
    ops_projects,
    ops_site,
    ops_tenant,
    ops_usage,
    ops_vouchers,
    ops_orders,
    NULL,
};

const struct schema *const schema_tables[] = {
    schemas_alerts,
    schemas_api,
    schemas_auth,
    schemas_invites,
    schemas_oidc,
    schemas_keys,
    schemas_me,
    schemas_members,
    schemas_platform,
    schemas_projects,
    schemas_site,
    schemas_tenant,
    schemas_usage,
    schemas_vouchers,
    schemas_orders,
    NULL,
};

const struct schema *
schema_find(struct str name)
{
    for (const struct schema *const *table = schema_tables; *table != NULL; table++)
        for (const struct schema *schema = *table; schema->name != NULL; schema++)
            if (str_eq(name, str_from(schema->name)))
                return schema;
    return NULL;
}

/* ---- fields ---- */

struct js_value
op_field(const struct op_call *call, const char *name)
{
    return js_get(call->fields, str_from(name));
}

bool
op_has(const struct op_call *call, const char *name)
{
    return !js_is(op_field(call, name), JS_NONE);
}

struct str
op_str(struct op_call *call, const char *name)
{
    struct js_value value = op_field(call, name);
    char *room;

    if (!js_is(value, JS_STRING))
        return STR_NONE;
    room = arena_alloc(&call->request->arena, value.raw.len + 1);
    if (room == NULL)
        return STR_NONE;
    return js_unescape(value, room, value.raw.len + 1);
}

uint64_t
op_u64(const struct op_call *call, const char *name)
{
    uint64_t n = 0;

    return str_to_u64(op_field(call, name).raw, &n) ? n : 0;
}

bool
op_flag(const struct op_call *call, const char *name)
{
    return js_bool(op_field(call, name), false);
}

/* ---- questions ---- */

void
op_ask_begin_bare(struct op_call *call, struct jw *jw, const char *cmd)
{
    /* Not of the arena, which the many questions of one long answer would use up. */
    buf_init(&call->line, LINE_BYTES_MAX);
    jw_init(jw, &call->line);
    jw_object(jw);
    jw_key_cstr(jw, "cmd", cmd);
    jw_key(jw, "args");
    jw_object(jw);
}

void
op_ask_begin(struct op_call *call, struct jw *jw, const char *cmd)
{
    op_ask_begin_bare(call, jw, cmd);
    if (call->caller.tenant_id != 0)
        jw_key_u64(jw, "tenant", call->caller.tenant_id);
    if (call->own_only)
        jw_key_u64(jw, "only_member", call->caller.member_id);
}

void
op_ask_fields(struct op_call *call, struct jw *jw)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, call->fields); js_next(&it, &key, &value);) {
        jw_key_of(jw, key.raw);
        jw_js(jw, value);
    }
}

static void
write_actor(struct op_call *call, struct jw *jw)
{
    static const char *const kinds[] = {
        [CALLER_NONE] = "system", [CALLER_SESSION] = "person", [CALLER_KEY] = "key"};
    const struct caller *caller = &call->caller;

    jw_key(jw, "actor");
    jw_object(jw);
    jw_key_cstr(jw, "kind", kinds[caller->kind]);
    jw_key_u64(jw, "id", caller->kind == CALLER_KEY ? caller->key_id : caller->person_id);
    if (caller->name[0] != '\0')
        jw_key_cstr(jw, "name", caller->name);
    jw_key_str(jw, "ip", call->request->peer_ip);
    jw_key_str(jw, "request", call->request->id);
    jw_object_end(jw);
}

static void
on_answer(void *arg, const struct ledger_answer *answer)
{
    struct op_call *call = arg;
    op_answered_fn answered = call->answered;

    call->ask = NULL;
    call->answered = NULL;
    answered(call, answer);
}

void
op_ask(struct op_call *call, struct jw *jw, unsigned how, op_answered_fn answered)
{
    struct str idem = call->request->idempotency_key;
    bool keyed = (how & OP_ASK_KEYED) != 0 && idem.ptr != NULL;
    struct ledger_question question = {
        .request = jw->buf,
        .again = keyed || (how & OP_ASK_AGAIN) != 0,
        .wait_ms = (call->op->flags & OP_LONG) != 0 ? LEDGER_WAIT_LONG_MS : LEDGER_WAIT_MS,
        .answered = on_answer,
        .arg = call,
    };
    bool too_long;

    jw_object_end(jw);
    write_actor(call, jw);
    if (keyed)
        jw_key_str(jw, "idem", idem);
    jw_object_end(jw);
    too_long = jw->buf->failed;
    buf_add_char(jw->buf, '\n');
    ASSERT(call->ask == NULL);
    call->answered = answered;
    call->ask = ledger_client_ask(call->request->manage->api->ledger, &question);
    if (call->ask != NULL)
        return;
    call->answered = NULL;
    if (too_long)
        op_refuse(call, 413, "too_large", NULL);
    else
        op_refuse(call, 503, "unavailable", NULL);
}

/* ---- work beside the loop ---- */

struct op_job {
    struct op_call *call; /* NULL: the client left */
    struct request *request;
    void (*run)(void *arg);
    void (*done)(struct op_call *call, void *arg);
    void (*give_back)(void *arg);
    void *arg;
};

static void
job_run(void *arg)
{
    struct op_job *job = arg;

    job->run(job->arg);
}

static void
job_done(void *arg)
{
    struct op_job *job = arg;
    struct request *request = job->request;

    /* The job is of the request's arena, which is held. */
    if (request->gone)
        job->give_back(job->arg);
    else
        job->done(job->call, job->arg);
    request_release(request);
}

void
op_work(struct op_call *call, void (*run)(void *arg), void (*done)(struct op_call *call, void *arg),
        void (*give_back)(void *arg), void *arg)
{
    struct request *request = call->request;
    struct op_job *job = arena_alloc(&request->arena, sizeof *job);

    if (job != NULL) {
        *job = (struct op_job){call, request, run, done, give_back, arg};
        request_hold(request);
        if (manage_work(request->manage, job_run, job_done, job) == 0)
            return;
        request_release(request);
    }
    give_back(arg);
    op_refuse(call, 503, "unavailable", NULL);
}
