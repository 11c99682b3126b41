/*
 * Operations of signing in by another (OpenID Connect): out to the provider, back with a code.
 *
 * What belongs to one sign-in (state, nonce, verifier) is a ticket of the ledger's, used once; its token is in a
 * cookie that only this path gets, so that nobody comes back with an answer that another browser asked for.
 * Who comes with an invitation says so in a body: no address has its token, and no other site's link makes
 * somebody a member of what they do not know. The ticket holds which invitation it is, not the token.
 */
#include "manage/oidc_flow.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/ops.h"
#include "manage/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- providers ---- */

struct oidc *
oidc_provider(struct op_call *call, const struct conf_oidc **out)
{
    struct oidc **providers = call->request->manage->oidcs;
    const struct conf *conf = people_conf(call);
    struct str name = op_str(call, "provider");

    for (size_t i = 0; i < conf->oidc_count; i++) {
        if (!conf->oidcs[i].on || !str_eq(conf->oidcs[i].name, name))
            continue;
        if (providers[i] == NULL)
            providers[i] = oidc_new(&conf->oidcs[i]);
        *out = &conf->oidcs[i];
        return providers[i];
    }
    return NULL;
}

struct str
oidc_redirect_uri(struct op_call *call, const struct conf_oidc *conf)
{
    char path[256];

    snprintf(path, sizeof(path), OIDC_PATH "%.*s/callback", (int)MIN(conf->name.len, 128u), conf->name.ptr);
    return people_link(call, path);
}

/* ---- where the browser is sent ---- */

size_t
oidc_cookie(const struct request *request, const char *token, char *out, size_t cap)
{
    int len = snprintf(out, cap, OIDC_COOKIE "=%s; Path=" OIDC_PATH "; HttpOnly; SameSite=Lax%s; Max-Age=%d", token,
                       request->tls ? "; Secure" : "", token[0] != '\0' ? OIDC_MINUTES * 60 : 0);

    ASSERT(len > 0 && (size_t)len < cap);
    return (size_t)len;
}

void
oidc_send_to(struct op_call *call, struct str url, const char *token)
{
    struct request *request = call->request;
    char cookie[256];
    size_t len = oidc_cookie(request, token, cookie, sizeof(cookie));

    op_head(call, 302, NULL);
    request_header(request, "location", url);
    request_header(request, "set-cookie", (struct str){cookie, len});
    op_over(call);
    request_send(request, STR(""));
}

/* Back to our own page, which says what is wrong. */
void
oidc_send_back(struct op_call *call, const char *code)
{
    char path[128];

    snprintf(path, sizeof(path), "/signin?error=%s", code);
    oidc_send_to(call, people_link(call, path), "");
}

/* ---- out ---- */

struct out { /* in the request's arena */
    struct oidc *oidc;
    struct str redirect;
    uint64_t invite_id; /* 0: of none */
    const char *url;    /* at the provider; NULL until it is known */
};

struct out_work {
    struct oidc *oidc;
    char redirect[OIDC_URL_MAX], why[OIDC_WHY_MAX];
    struct oidc_flow flow;
    struct buf url;
    int rc;
};

static void
out_free(void *arg)
{
    struct out_work *work = arg;

    buf_free(&work->url);
    explicit_bzero(work, sizeof(*work));
    free(work);
}

static void
out_run(void *arg)
{
    struct out_work *work = arg;

    work->rc = oidc_begin(work->oidc, str_from(work->redirect), &work->flow, &work->url, work->why,
                          sizeof(work->why));
}

/* A page is sent on, or back to where it says what is wrong; who came with an invitation is told. */
static void
out_failed(struct op_call *call, const char *code)
{
    const struct out *out = call->state;

    if (out->invite_id != 0)
        op_refuse(call, 503, "oidc_unavailable", NULL);
    else
        oidc_send_back(call, code);
}

static void
answer_out(struct op_call *call, const struct out *out, const char *token)
{
    char cookie[256];
    struct buf body;
    struct jw jw;

    (void)oidc_cookie(call->request, token, cookie, sizeof(cookie));
    call->cookie.text = arena_copy(&call->request->arena, str_from(cookie));
    buf_init(&body, 2 * OIDC_URL_MAX);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_cstr(&jw, "url", out->url);
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    buf_free(&body);
}

static void
out_kept(struct op_call *call, const struct ledger_answer *answer)
{
    const struct out *out = call->state;
    char token[80];

    if (answer->said != LEDGER_DONE) {
        out_failed(call, "unavailable");
        return;
    }
    str_copy(js_get(answer->result, STR("token")).raw, token, sizeof(token));
    if (out->invite_id != 0)
        answer_out(call, out, token);
    else
        oidc_send_to(call, str_from(out->url), token);
}

static void
out_done(struct op_call *call, void *arg)
{
    struct out_work *work = arg;
    struct out *out = call->state;
    struct buf data;
    struct jw jw;

    if (work->rc < 0)
        log_warn("oidc.failed", "what=start why=%s", log_quote(str_from(work->why)));
    out->url = work->rc < 0 ? NULL : arena_copy(&call->request->arena, buf_str(&work->url));
    if (out->url == NULL) {
        out_free(work);
        out_failed(call, "oidc_unavailable");
        return;
    }
    buf_init(&data, 4096);
    jw_init(&jw, &data);
    jw_object(&jw);
    jw_key_str(&jw, "provider", op_str(call, "provider"));
    jw_key_cstr(&jw, "state", work->flow.state);
    jw_key_cstr(&jw, "nonce", work->flow.nonce);
    jw_key_cstr(&jw, "verifier", work->flow.verifier);
    if (out->invite_id != 0)
        jw_key_u64(&jw, "invite", out->invite_id);
    jw_object_end(&jw);
    op_ask_begin_bare(call, &jw, "ticket.make");
    jw_key_cstr(&jw, "purpose", "oidc");
    jw_key_u64(&jw, "minutes", OIDC_MINUTES);
    jw_key_str(&jw, "data", buf_str(&data));
    explicit_bzero(data.ptr, data.ptr != NULL ? data.cap : 0);
    buf_free(&data);
    out_free(work);
    op_ask(call, &jw, OP_ASK_ONCE, out_kept);
}

/* Of the path's provider, into call->state; false: refused. */
static bool
out_begin(struct op_call *call)
{
    struct out *out = arena_zalloc(&call->request->arena, sizeof(*out));
    const struct conf_oidc *conf = NULL;
    struct oidc *oidc = oidc_provider(call, &conf);

    if (oidc == NULL || out == NULL) {
        op_refuse(call, oidc == NULL ? 404 : 503, oidc == NULL ? "not_found" : "busy", NULL);
        return false;
    }
    out->oidc = oidc;
    out->redirect = oidc_redirect_uri(call, conf);
    call->state = out;
    return true;
}

static void
go_out(struct op_call *call)
{
    const struct out *out = call->state;
    struct out_work *work = calloc(1, sizeof(*work));

    if (work == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    work->oidc = out->oidc;
    buf_init(&work->url, OIDC_URL_MAX);
    str_copy(out->redirect, work->redirect, sizeof(work->redirect));
    op_work(call, out_run, out_done, out_free, work);
}

static void
start_run(struct op_call *call)
{
    if (out_begin(call))
        go_out(call);
}

/* ---- out, with an invitation ---- */

static void
join_found(struct op_call *call, const struct ledger_answer *answer)
{
    struct out *out = call->state;

    if (answer->said != LEDGER_DONE)
        people_refused(call, answer);
    else if (!js_count(js_get(answer->result, STR("id")), UINT32_MAX, &out->invite_id) || out->invite_id == 0)
        op_refuse(call, 503, "unavailable", NULL);
    else
        go_out(call);
}

static void
join_run(struct op_call *call)
{
    struct jw jw;

    if (!op_flag(call, "agree")) {
        op_refuse_field(call, 422, "agree", "agreement_required", NULL);
        return;
    }
    if (!out_begin(call))
        return;
    op_ask_begin_bare(call, &jw, "invite.find");
    jw_key_str(&jw, "token", op_str(call, "token"));
    op_ask(call, &jw, OP_ASK_AGAIN, join_found);
}

/* ---- registering with what a provider vouched for ---- */

static void
register_known(struct op_call *call, const struct ledger_answer *answer)
{
    static const char *const said[] = {"tenant_name", "name", "phone"};
    static const char *const vouched[] = {"email", "issuer", "subject"};
    struct js_value text, data;
    struct js_error err;
    struct jw jw;
    char *room;

    if (answer->said != LEDGER_DONE) {
        people_refused(call, answer);
        return;
    }
    text = js_get(answer->result, STR("data"));
    room = arena_alloc(&call->request->arena, text.raw.len + 1);
    if (room == NULL || !js_check(js_unescape(text, room, text.raw.len + 1), &data, &err)) {
        op_refuse(call, 404, "token_gone", NULL);
        return;
    }
    op_ask_begin_bare(call, &jw, "person.register");
    for (size_t i = 0; i < COUNT_OF(vouched); i++)
        jw_key_js(&jw, vouched[i], js_get(data, str_from(vouched[i])));
    for (size_t i = 0; i < COUNT_OF(said); i++)
        jw_key_str(&jw, said[i], op_str(call, said[i]));
    jw_key_cstr(&jw, "locale", lang_name[call->lang]);
    jw_key_bool(&jw, "verified", true);
    jw_key_bool(&jw, "agreed", true);
    op_ask(call, &jw, OP_ASK_KEYED, people_came_in);
}

static void
register_run(struct op_call *call)
{
    struct jw jw;

    if (!op_flag(call, "agree")) {
        op_refuse_field(call, 422, "agree", "agreement_required", NULL);
        return;
    }
    op_ask_begin_bare(call, &jw, "ticket.find");
    jw_key_cstr(&jw, "purpose", "oidc-register");
    jw_key_str(&jw, "token", op_str(call, "ticket"));
    op_ask(call, &jw, OP_ASK_AGAIN, register_known);
}

/* ---- the table ---- */

#define PROVIDER {"provider", .in = IN_PATH, .type = FIELD_STRING, .required = true, .max = 64, .example = "\"sso\"", .doc = "Its name in routes.conf."}
#define PASSED(name_, words) {name_, .in = IN_QUERY, .type = FIELD_STRING, .max = 2048, .doc = words}

static const struct field start_params[] = {PROVIDER, {NULL}};
static const struct field callback_params[] = {
    PROVIDER,
    {"code", .in = IN_QUERY, .type = FIELD_SECRET, .max = 2048, .doc = "What the provider gave."},
    PASSED("state", "Which sign-in it belongs to."),
    PASSED("error", "Why the provider gave none."),
    PASSED("error_description", "The same in words."),
    PASSED("error_uri", "Where it is explained."),
    PASSED("iss", "Who the provider says it is."),
    PASSED("session_state", "Not used."),
    PASSED("scope", "Not used."),
    PASSED("authuser", "Not used."),
    PASSED("prompt", "Not used."),
    PASSED("hd", "Not used."),
    {NULL},
};
static const struct field join_body[] = {
    {"token", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the invitation's link holds."},
    {"agree", .type = FIELD_BOOL, .example = "true", .doc = "The person has read and agrees to the terms and the privacy policy. Refused unless true."},
    {NULL},
};
static const struct field register_body[] = {
    {"ticket", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the page was called with."},
    {"tenant_name", .type = FIELD_STRING, .required = true, .max = 96, .example = "\"Example Ltd\"", .doc = "What the organisation is called."},
    {"name", .type = FIELD_STRING, .required = true, .max = 96, .example = "\"Ada\"", .doc = "Whom to contact."},
    {"phone", .type = FIELD_STRING, .required = true, .max = 40, .example = "\"+49 30 123\"", .doc = "Where to call them."},
    {"agree", .type = FIELD_BOOL, .example = "true", .doc = "The person has read and agrees to the terms and the privacy policy."},
    {NULL},
};

static const struct op_refusal of_register[] = {{422, "agreement_required"}, {404, "token_gone"}, {409, "taken"}, {409, "email_taken"},
                                                {403, "registration_closed"}, {403, "domain_closed"}, {0, NULL}};

static const struct op_refusal of_join[] = {{422, "agreement_required"}, {404, "token_gone"}, {503, "oidc_unavailable"}, {0, NULL}};

static const struct field out_members[] = {
    {"url", .type = FIELD_STRING, .doc = "Where the browser goes next, at the provider."},
    {NULL},
};

const struct schema schemas_oidc[] = {
    {"OidcOut", "The way out to a provider.", out_members},
    {NULL},
};

const struct op ops_oidc[] = {
    {.id = "auth.oidc_start", .method = "GET", .path = OIDC_PATH "{provider}/start", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CREDENTIAL | OP_STREAM, .params = start_params, .type = "text/html", .status = 302,
     .run = start_run, .doc = "Sends the browser to a provider, to sign in there."},
    {.id = "auth.oidc_callback", .method = "GET", .path = OIDC_PATH "{provider}/callback", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CREDENTIAL | OP_STREAM, .params = callback_params, .type = "text/html", .status = 302,
     .run = oidc_back_run,
     .doc = "Where the provider sends the browser back to. It goes on to a page of ours, or to /signin with what went wrong "
            "in error: oidc_expired, oidc_refused, oidc_domain, oidc_unknown, oidc_link_first, oidc_unavailable, "
            "registration_closed, disabled, unavailable; of one with an invitation also invite_gone, invite_other (it is for "
            "another address), invite_has_tenant, invite_full (its tenant has no room)."},
    {.id = "auth.oidc_join", .method = "POST", .path = OIDC_PATH "{provider}/join", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CSRF | OP_NO_CREDENTIAL, .params = start_params, .body = join_body, .result = "OidcOut",
     .refusals = of_join, .run = join_run,
     .doc = "Begins to accept an invitation by signing in at a provider. Who comes back with an address that it vouches for is "
            "a member with the invitation's role; who has a second factor gives it, and then accepts by me.join."},
    {.id = "auth.oidc_register", .method = "POST", .path = OIDC_PATH "register", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CSRF | OP_NO_CREDENTIAL, .body = register_body, .result = "SignIn", .status = 201,
     .refusals = of_register, .run = register_run,
     .doc = "Registers an organisation with an owner whom a provider vouches for."},
    {NULL},
};
