/*
 * A request from its path to its operation. In this order, each of which may refuse it:
 *
 *     the address's rate; the path and method (manage/route.h); where it comes from (manage/guard.c); who calls
 *     (manage/credential.c); the caller's rate; permission; the session's token; the fields (manage/validate.h);
 *     rates of what guesses passwords; then the operation.
 *
 * Whoever may not do something learns that before anything about the request's fields, and of what is there
 * nothing: what another tenant's ID names is absent, which the ledger says.
 */
#include "manage/api_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define S_US 1000000u
#define IDEM_LEN_MAX 128u

/* ---- the room's begin and end ---- */

static void
rate_begin(struct rate *rate, const struct conf_pace *pace)
{
    rate_init(rate, 60 * (uint64_t)S_US / pace->per_minute, pace->burst);
}

/* Another conf has a process of its own: rates begin with it. */
static void
rates_begin(struct api *api, const struct conf_manage *conf)
{
    rate_begin(&api->by_address, &conf->address);
    rate_begin(&api->by_failure, &conf->failure);
    rate_begin(&api->by_credential, &conf->caller);
    rate_begin(&api->by_auth_address, &conf->sign_in);
    rate_begin(&api->by_auth_account, &conf->account);
}

int
manage_begin(struct manage *manage)
{
    struct api *api = calloc(1, sizeof *api);

    if (api == NULL)
        return -ENOMEM;
    api->ledger = ledger_client_new(&manage->net, manage->inherit->control_path);
    if (api->ledger == NULL) {
        free(api);
        return -ENOMEM;
    }
    buf_init(&api->document, 16u << 20);
    rates_begin(api, &manage->conf->manage);
    manage->api = api;
    return 0;
}

void
manage_end(struct manage *manage)
{
    struct api *api = manage->api;

    manage->api = NULL;
    if (api == NULL)
        return;
    ledger_client_end(&api->ledger);
    buf_free(&api->document);
    free(api);
}

/* ---- rates ---- */

struct str
api_address(const struct request *request, char room[64])
{
    struct str ip = request->peer_ip;
    size_t colons = 0;

    if (str_find(ip, ':', 0) == ip.len)
        return ip;
    /* The first four groups; "::" before them makes the rest of no account, too. */
    for (size_t i = 0; i < ip.len; i++)
        if (ip.ptr[i] == ':' && (++colons == 4 || (i + 1 < ip.len && ip.ptr[i + 1] == ':')))
            return (struct str){room, str_copy((struct str){ip.ptr, i}, room, 64)};
    return ip;
}

bool
api_rate(struct op_call *call, struct rate *rate, struct str name)
{
    uint64_t wait_us;

    if (rate_take(rate, name, clock_mono_us(), &wait_us))
        return true;
    call->retry_after_s = wait_us / S_US + 1;
    op_refuse(call, 429, "too_many_requests", NULL);
    return false;
}

static bool
rate_of_caller(struct op_call *call)
{
    const struct caller *caller = &call->caller;
    uint64_t name[2] = {caller->kind, caller->kind == CALLER_KEY ? caller->key_id : caller->person_id};

    return caller->kind == CALLER_NONE ||
           api_rate(call, &call->request->manage->api->by_credential, (struct str){(const char *)name, sizeof name});
}

/* Accounts by their address in lower case: each spelling of it is the same one's. */
static bool
rate_of_auth(struct op_call *call)
{
    struct api *api = call->request->manage->api;
    struct str email = op_str(call, "email");
    char room[64], lower[256];
    size_t len = str_copy(email, lower, sizeof lower);

    if ((call->op->flags & OP_AUTH) == 0)
        return true;
    for (size_t i = 0; i < len; i++)
        lower[i] = lower[i] >= 'A' && lower[i] <= 'Z' ? (char)(lower[i] + 32) : lower[i];
    return api_rate(call, &api->by_auth_address, api_address(call->request, room)) &&
           (len == 0 || api_rate(call, &api->by_auth_account, (struct str){lower, len}));
}

/* ---- permission ---- */

static bool
is_platform(enum perm perm)
{
    return perm == PERM_PLATFORM_READ || perm == PERM_PLATFORM_WRITE;
}

/* NULL: it may. Else the code, and the status. */
static const char *
refused_for(struct op_call *call, unsigned *status)
{
    const struct caller *caller = &call->caller;
    const struct op *op = call->op;
    bool reads = str_eq(str_from(op->method), STR("GET"));

    *status = 403;
    if (op->perm == PERM_NONE)
        return NULL;
    if (caller->kind == CALLER_NONE) {
        *status = 401;
        return "sign_in_required";
    }
    if (caller->kind == CALLER_KEY && op->scopes == 0)
        return "session_required";
    if (caller->kind == CALLER_KEY && (op->scopes & caller->scopes) == 0)
        return "scope_missing";
    if (op->perm == PERM_SELF)
        return NULL;
    if (is_platform(op->perm))
        return caller->platform ? NULL : "forbidden";
    if (caller->tenant_id == 0)
        return "no_tenant";
    call->own_only = !role_may(caller->role, op->perm);
    if (call->own_only && (op->own == PERM_NONE || !role_may(caller->role, op->own) || caller->member_id == 0))
        return "forbidden";
    if (caller->tenant_state == TENANT_PENDING)
        return "tenant_pending";
    return caller->tenant_state == TENANT_DISABLED && !reads ? "tenant_disabled" : NULL;
}

static bool
allowed(struct op_call *call)
{
    unsigned status;
    const char *code = refused_for(call, &status);

    if (code == NULL)
        return true;
    op_refuse(call, status, code, NULL);
    return false;
}

/* ---- fields ---- */

/* False: refused. */
static bool
read_body(struct op_call *call, struct js_value *body)
{
    struct request *request = call->request;
    struct str rest = STR_NONE, type = str_trim(str_split(request->content_type, ';', &rest));
    struct js_error fault = {0};
    unsigned line, column;
    char detail[160];

    *body = (struct js_value){.type = JS_NONE};
    if (request->body.len == 0 || str_eq(str_from(call->op->method), STR("GET")))
        return true;
    if (!str_eq_nocase(type, STR("application/json"))) {
        op_refuse(call, 415, "unsupported_media_type", NULL);
        return false;
    }
    if (!js_check(request->body, body, &fault)) {
        struct buf text;

        js_position(request->body, fault.offset, &line, &column);
        buf_init(&text, sizeof detail);
        buf_add_fmt(&text, "The body is not JSON: line %u, column %u: %s.", line, column, fault.what);
        (void)str_copy(buf_str(&text), detail, sizeof detail);
        buf_free(&text);
        op_refuse(call, 400, "malformed_json", detail);
        return false;
    }
    if (!js_is(*body, JS_OBJECT)) {
        op_refuse(call, 400, "malformed_json", NULL);
        return false;
    }
    return true;
}

static bool
idem_ok(struct op_call *call)
{
    struct str idem = call->request->idempotency_key;
    bool ok = idem.ptr == NULL || (idem.len > 0 && idem.len <= IDEM_LEN_MAX);

    for (size_t i = 0; i < idem.len; i++)
        ok &= idem.ptr[i] > ' ' && idem.ptr[i] < 0x7f;
    if (!ok)
        op_refuse(call, 400, "malformed_request", "the Idempotency-Key must be 1 to 128 printable ASCII characters");
    return ok;
}

static bool
read_fields(struct op_call *call)
{
    struct validate_input input = {.op = call->op, .query = call->request->query};
    struct problem problem = {.status = 422, .code = STR("validation_failed"), .request_id = call->request->id,
                              .lang = call->lang};
    struct faults *faults = arena_alloc(&call->request->arena, sizeof *faults);
    struct js_error ignored;

    memcpy(input.path_params, call->path_params, sizeof input.path_params);
    if (!idem_ok(call) || !read_body(call, &input.body))
        return false;
    if (faults == NULL || validate(&call->request->arena, &input, &call->args, faults) < 0) {
        op_refuse(call, 503, "unavailable", NULL);
        return false;
    }
    /* An ID that can be nobody's names nothing. */
    for (unsigned i = 0; i < faults->count; i++)
        if (faults->list[i].in == IN_PATH) {
            op_refuse(call, 404, "not_found", NULL);
            return false;
        }
    if (faults->count > 0) {
        problem.faults = faults;
        reply_problem(call, &problem, 0, NULL);
        return false;
    }
    if (js_check(buf_str(&call->args), &call->fields, &ignored))
        return true;
    op_refuse(call, 500, "internal", NULL);
    return false;
}

/* ---- the operation ---- */

static void
plain_answered(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said != LEDGER_DONE)
        op_refused(call, answer);
    else if (call->op->status == 204)
        op_answer_empty(call);
    else
        op_answer(call, answer->result.raw);
}

/* A command as it stands in the row. */
static void
plain_run(struct op_call *call)
{
    const struct op *op = call->op;
    bool reads = str_eq(str_from(op->method), STR("GET"));
    struct jw jw;

    if (is_platform(op->perm) || op->perm == PERM_NONE)
        op_ask_begin_bare(call, &jw, op->command);
    else
        op_ask_begin(call, &jw, op->command);
    if (op->perm == PERM_SELF && call->caller.person_id != 0)
        jw_key_u64(&jw, "person", call->caller.person_id);
    op_ask_fields(call, &jw);
    for (const char *const *more = op->fixed; more != NULL && *more != NULL; more += 2) {
        jw_key(&jw, more[0]);
        jw_raw(&jw, str_from(more[1]));
    }
    op_ask(call, &jw, reads ? OP_ASK_AGAIN : OP_ASK_KEYED, plain_answered);
}

void
api_known(struct op_call *call)
{
    if (!rate_of_caller(call) || !allowed(call) || !guard_csrf(call) || !read_fields(call) || !rate_of_auth(call))
        return;
    if (call->op->run != NULL)
        call->op->run(call);
    else
        plain_run(call);
}

/* ---- dispatch ---- */

static void
call_on_gone(struct request *request)
{
    struct op_call *call = request->state;
    void (*on_gone)(struct op_call *gone) = call->on_gone;

    if (on_gone != NULL)
        on_gone(call);
    op_over(call);
}

static void
no_op(struct op_call *call, const struct route *route)
{
    struct request *request = call->request;
    struct problem problem = {.status = 405, .code = STR("method_not_allowed"), .request_id = request->id,
                              .lang = call->lang};
    char allow[ROUTE_ALLOW_MAX];

    if (route->methods == 0) {
        op_refuse(call, 404, "not_found", NULL);
        return;
    }
    route_allow(route->methods, allow);
    if (!str_eq(request->method, STR("OPTIONS"))) {
        reply_problem(call, &problem, 0, allow);
        return;
    }
    op_head(call, 204, NULL);
    request_header(request, "allow", str_from(allow));
    op_over(call);
    request_send(request, STR(""));
}

/* What is not the API's: the console, of which there is none here yet, says where the API is. */
static void
no_console(struct request *request)
{
    static const char page[] =
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>turnpike</title></head>\n<body>\n"
        "<h1>turnpike</h1>\n<p>The web console is not built into this program. The management API is described at "
        "<a href=\"/api/openapi.json\">/api/openapi.json</a>.</p>\n</body>\n</html>\n";

    request_head(request, 200);
    reply_headers(request, "text/html; charset=utf-8");
    request_send(request, STR(page));
}

void
manage_handle(struct request *request)
{
    bool of_api = str_eq(request->path, STR("/api")) || str_starts_with(request->path, STR("/api/")) ||
                  str_starts_with(request->path, STR("/assets/"));
    struct op_call *call;
    struct route route;
    char room[64];

    if (!of_api && (str_eq(request->method, STR("GET")) || str_eq(request->method, STR("HEAD")))) {
        no_console(request);
        return;
    }
    call = arena_zalloc(&request->arena, sizeof *call);
    if (call == NULL) {
        request_head(request, 503);
        reply_headers(request, NULL);
        request_send(request, STR(""));
        return;
    }
    call->request = request;
    /* TLS may end before us: the operator knows. */
    request->tls |= str_starts_with(request->manage->conf->manage.url, STR("https://"));
    call->lang = lang_of(request->accept_language);
    request->state = call;
    request->on_gone = call_on_gone;
    if (!api_rate(call, &request->manage->api->by_address, api_address(request, room)))
        return;
    route_find(&request->arena, op_tables, request->method, request->path, &route);
    if (route.op == NULL) {
        no_op(call, &route);
        return;
    }
    call->op = route.op;
    memcpy(call->path_params, route.params, sizeof call->path_params);
    if (guard_origin(call))
        credential_find(call);
}
