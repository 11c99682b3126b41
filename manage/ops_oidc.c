/*
 * Operations of signing in by another (OpenID Connect): out to the provider, back with a code.
 *
 * What belongs to one sign-in (state, nonce, verifier) is a ticket of the ledger's, used once; its token is in a
 * cookie that only this path gets, so that nobody comes back with an answer that another browser asked for.
 * Somebody whose address the provider vouches for signs in to the account with that address and is linked to it;
 * but not to one that administers the platform. Their second factor is asked for all the same.
 */
#include "manage/people.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/oidc.h"
#include "manage/ops.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COOKIE "turnpike-oidc"
#define PATH "/api/v1/auth/oidc/"
#define MINUTES 10
#define WHY_MAX 160
#define URL_MAX 8192

/* ---- providers ---- */

static struct oidc *
provider_of(struct op_call *call, const struct conf_oidc **out)
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

static struct str
redirect_uri(struct op_call *call, const struct conf_oidc *conf)
{
    char path[256];

    snprintf(path, sizeof(path), PATH "%.*s/callback", (int)MIN(conf->name.len, 128u), conf->name.ptr);
    return people_link(call, path);
}

/* ---- where the browser is sent ---- */

static void
send_to(struct op_call *call, struct str url, const char *flow_token)
{
    struct request *request = call->request;
    char cookie[256];
    int len = snprintf(cookie, sizeof(cookie), COOKIE "=%s; Path=" PATH "; HttpOnly; SameSite=Lax%s; Max-Age=%d",
                       flow_token, request->tls ? "; Secure" : "", flow_token[0] != '\0' ? MINUTES * 60 : 0);

    op_head(call, 302, NULL);
    request_header(request, "location", url);
    request_header(request, "set-cookie", (struct str){cookie, (size_t)len});
    op_over(call);
    request_send(request, STR(""));
}

/* Back to our own page, which says what is wrong. */
static void
send_back(struct op_call *call, const char *code)
{
    char path[128];

    snprintf(path, sizeof(path), "/signin?error=%s", code);
    send_to(call, people_link(call, path), "");
}

/* ---- out ---- */

struct out_work {
    struct oidc *oidc;
    char redirect[URL_MAX], why[WHY_MAX];
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

static void
out_kept(struct op_call *call, const struct ledger_answer *answer)
{
    const char *url = call->state;
    char token[80];

    if (answer->said != LEDGER_DONE) {
        send_back(call, "unavailable");
        return;
    }
    str_copy(js_get(answer->result, STR("token")).raw, token, sizeof(token));
    send_to(call, str_from(url), token);
}

static void
out_done(struct op_call *call, void *arg)
{
    struct out_work *work = arg;
    struct buf data;
    struct jw jw;

    if (work->rc < 0)
        log_warn("oidc.failed", "what=start why=%s", log_quote(str_from(work->why)));
    call->state = work->rc < 0 ? NULL : arena_copy(&call->request->arena, buf_str(&work->url));
    if (call->state == NULL) {
        out_free(work);
        send_back(call, "oidc_unavailable");
        return;
    }
    buf_init(&data, 4096);
    jw_init(&jw, &data);
    jw_object(&jw);
    jw_key_str(&jw, "provider", op_str(call, "provider"));
    jw_key_cstr(&jw, "state", work->flow.state);
    jw_key_cstr(&jw, "nonce", work->flow.nonce);
    jw_key_cstr(&jw, "verifier", work->flow.verifier);
    jw_object_end(&jw);
    op_ask_begin_bare(call, &jw, "ticket.make");
    jw_key_cstr(&jw, "purpose", "oidc");
    jw_key_u64(&jw, "minutes", MINUTES);
    jw_key_str(&jw, "data", buf_str(&data));
    explicit_bzero(data.ptr, data.ptr != NULL ? data.cap : 0);
    buf_free(&data);
    out_free(work);
    op_ask(call, &jw, OP_ASK_ONCE, out_kept);
}

static void
start_run(struct op_call *call)
{
    const struct conf_oidc *conf = NULL;
    struct oidc *oidc = provider_of(call, &conf);
    struct out_work *work;

    if (oidc == NULL) {
        op_refuse(call, 404, "not_found", NULL);
        return;
    }
    work = calloc(1, sizeof(*work));
    if (work == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    work->oidc = oidc;
    buf_init(&work->url, URL_MAX);
    str_copy(redirect_uri(call, conf), work->redirect, sizeof(work->redirect));
    op_work(call, out_run, out_done, out_free, work);
}

/* ---- back ---- */

struct back_work {
    struct oidc *oidc;
    char redirect[URL_MAX], code[2048 + 1], why[WHY_MAX];
    struct oidc_flow flow;
    struct arena arena;
    struct oidc_person person;
    int rc;
};

struct visitor { /* who the provider says it is; in the request's arena */
    struct str issuer, subject, email, name;
    uint64_t person_id;
    bool second_factor;
};

static void
back_free(void *arg)
{
    struct back_work *work = arg;

    arena_end(&work->arena);
    explicit_bzero(work, sizeof(*work));
    free(work);
}

static void
back_run(void *arg)
{
    struct back_work *work = arg;

    work->rc = oidc_finish(work->oidc, str_from(work->redirect), &work->flow, str_from(work->code),
                           clock_wall_us() / 1000000, &work->arena, &work->person, work->why, sizeof(work->why));
}

static void
came_in(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said != LEDGER_DONE) {
        send_back(call, "disabled");
        return;
    }
    uint64_t seconds = 0;

    if (!js_count(js_get(answer->result, STR("seconds")), UINT32_MAX, &seconds))
        seconds = 0;
    op_set_session(call, js_get(answer->result, STR("token")).raw, seconds);
    send_to(call, people_link(call, "/"), "");
}

/* To the page that goes on with what the ticket is for. */
static void
ticket_made(struct op_call *call, const struct ledger_answer *answer)
{
    const struct visitor *visitor = call->state;
    char path[160];

    if (answer->said != LEDGER_DONE) {
        send_back(call, "unavailable");
        return;
    }
    snprintf(path, sizeof(path), "%s%.*s", visitor->person_id != 0 ? "/signin#second-factor=" : "/register#oidc=",
             STR_ARGS(js_get(answer->result, STR("token")).raw));
    send_to(call, people_link(call, path), "");
}

static void
let_in(struct op_call *call)
{
    const struct visitor *visitor = call->state;
    struct jw jw;

    if (visitor->second_factor) {
        op_ask_begin_bare(call, &jw, "ticket.make");
        jw_key_cstr(&jw, "purpose", "second-factor");
        jw_key_u64(&jw, "person", visitor->person_id);
        jw_key_u64(&jw, "minutes", MINUTES);
        op_ask(call, &jw, OP_ASK_ONCE, ticket_made);
        return;
    }
    op_ask_begin_bare(call, &jw, "session.open");
    jw_key_u64(&jw, "person", visitor->person_id);
    jw_key_str(&jw, "ip", call->request->peer_ip);
    op_ask(call, &jw, OP_ASK_ONCE, came_in);
}

static void
linked(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        let_in(call);
    else
        send_back(call, answer->said == LEDGER_REFUSED ? "oidc_refused" : "unavailable");
}

/* Nobody has that address: they may register. */
static void
offer_registration(struct op_call *call)
{
    const struct visitor *visitor = call->state;
    struct buf data;
    struct jw jw;

    if (people_conf(call)->manage.registration == CONF_CLOSED) {
        send_back(call, "registration_closed");
        return;
    }
    buf_init(&data, 4096);
    jw_init(&jw, &data);
    jw_object(&jw);
    jw_key_str(&jw, "issuer", visitor->issuer);
    jw_key_str(&jw, "subject", visitor->subject);
    jw_key_str(&jw, "email", visitor->email);
    jw_object_end(&jw);
    op_ask_begin_bare(call, &jw, "ticket.make");
    jw_key_cstr(&jw, "purpose", "oidc-register");
    jw_key_u64(&jw, "minutes", 30);
    jw_key_str(&jw, "data", buf_str(&data));
    buf_free(&data);
    op_ask(call, &jw, OP_ASK_ONCE, ticket_made);
}

static bool
read_person(struct op_call *call, const struct ledger_answer *answer, bool *closed)
{
    struct js_value person = js_get(answer->result, STR("person"));
    struct visitor *visitor = call->state;
    uint64_t id = 0;

    if (!js_is(person, JS_OBJECT) || !js_count(js_get(person, STR("id")), UINT32_MAX, &id))
        return false;
    visitor->person_id = id;
    visitor->second_factor = js_bool(js_get(person, STR("second_factor")), false);
    /* To be linked by its address alone: not the platform's, nor one that has another identity there already. */
    *closed = js_bool(js_get(person, STR("platform")), false) ||
              js_is(js_get(person, STR("oidc_issuer")), JS_STRING);
    return true;
}

static void
found_by_email(struct op_call *call, const struct ledger_answer *answer)
{
    const struct visitor *visitor = call->state;
    bool closed = false;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        send_back(call, "unavailable");
        return;
    }
    if (!read_person(call, answer, &closed)) {
        offer_registration(call);
        return;
    }
    if (closed) {
        send_back(call, "oidc_link_first");
        return;
    }
    op_ask_begin_bare(call, &jw, "person.link");
    jw_key_u64(&jw, "id", visitor->person_id);
    jw_key_str(&jw, "issuer", visitor->issuer);
    jw_key_str(&jw, "subject", visitor->subject);
    op_ask(call, &jw, OP_ASK_AGAIN, linked);
}

static void
found_by_subject(struct op_call *call, const struct ledger_answer *answer)
{
    const struct visitor *visitor = call->state;
    bool closed;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        send_back(call, "unavailable");
        return;
    }
    if (read_person(call, answer, &closed)) {
        let_in(call);
        return;
    }
    if (visitor->email.len == 0) {
        send_back(call, "oidc_unknown");
        return;
    }
    op_ask_begin_bare(call, &jw, "person.find");
    jw_key_str(&jw, "email", visitor->email);
    op_ask(call, &jw, OP_ASK_AGAIN, found_by_email);
}

static struct str
kept(struct op_call *call, struct str text)
{
    char *copy = text.len > 0 ? arena_copy(&call->request->arena, text) : NULL;

    return copy != NULL ? (struct str){copy, text.len} : STR_NONE;
}

static void
back_done(struct op_call *call, void *arg)
{
    struct visitor *visitor = arena_zalloc(&call->request->arena, sizeof(*visitor));
    const struct conf_oidc *conf = NULL;
    struct back_work *work = arg;
    struct jw jw;

    if (work->rc < 0 || visitor == NULL || provider_of(call, &conf) == NULL) {
        int rc = work->rc;

        log_warn("oidc.failed", "what=callback why=%s", log_quote(str_from(work->why)));
        back_free(work);
        send_back(call, rc == -EACCES ? "oidc_refused" : rc == -EPERM ? "oidc_domain" : "oidc_unavailable");
        return;
    }
    *visitor = (struct visitor){.issuer = conf->at.url,
                                .subject = kept(call, work->person.subject),
                                .email = kept(call, work->person.email),
                                .name = kept(call, work->person.name)};
    back_free(work);
    call->state = visitor;
    op_ask_begin_bare(call, &jw, "person.find");
    jw_key_str(&jw, "issuer", visitor->issuer);
    jw_key_str(&jw, "subject", visitor->subject);
    op_ask(call, &jw, OP_ASK_AGAIN, found_by_subject);
}

/* What was kept says the same as what came back. */
static bool
read_flow(struct op_call *call, const struct ledger_answer *answer, struct str issuer, struct oidc_flow *flow)
{
    struct js_value text = js_get(answer->result, STR("data")), data;
    char *room = arena_alloc(&call->request->arena, text.raw.len + 1);
    struct str state = op_str(call, "state");
    struct js_error err;

    if (room == NULL || !js_check(js_unescape(text, room, text.raw.len + 1), &data, &err))
        return false;
    /* RFC 9207: a provider that says who it is must be the one that was asked. */
    if (op_has(call, "iss") && !str_eq(op_str(call, "iss"), issuer))
        return false;
    str_copy(js_get(data, STR("state")).raw, flow->state, sizeof(flow->state));
    str_copy(js_get(data, STR("nonce")).raw, flow->nonce, sizeof(flow->nonce));
    str_copy(js_get(data, STR("verifier")).raw, flow->verifier, sizeof(flow->verifier));
    return js_str_eq(js_get(data, STR("provider")), op_str(call, "provider")) &&
           state.len == OIDC_RANDOM_LEN && sodium_memcmp(state.ptr, flow->state, OIDC_RANDOM_LEN) == 0;
}

static void
back_known(struct op_call *call, const struct ledger_answer *answer)
{
    const struct conf_oidc *conf = NULL;
    struct oidc *oidc = provider_of(call, &conf);
    struct back_work *work = calloc(1, sizeof(*work));

    if (answer->said != LEDGER_DONE || oidc == NULL || work == NULL ||
        !read_flow(call, answer, conf->at.url, &work->flow) || op_has(call, "error") || !op_has(call, "code")) {
        bool own = work != NULL && work->flow.state[0] != '\0' && op_has(call, "error");

        free(work);
        send_back(call, own ? "oidc_refused" : "oidc_expired");
        return;
    }
    work->oidc = oidc;
    arena_init(&work->arena, 1u << 20);
    str_copy(redirect_uri(call, conf), work->redirect, sizeof(work->redirect));
    str_copy(op_str(call, "code"), work->code, sizeof(work->code));
    op_work(call, back_run, back_done, back_free, work);
}

static struct str
flow_token(const struct request *request)
{
    struct str rest = request->cookie;

    while (rest.ptr != NULL && rest.len > 0) {
        struct str value = STR_NONE, name = str_trim(str_split(str_split(rest, ';', &rest), '=', &value));

        if (str_eq(name, STR(COOKIE)) && value.ptr != NULL)
            return str_trim(value);
    }
    return STR_NONE;
}

static void
callback_run(struct op_call *call)
{
    struct str token = flow_token(call->request);
    struct jw jw;

    if (token.len == 0 || token.len > 64) {
        send_back(call, "oidc_expired");
        return;
    }
    op_ask_begin_bare(call, &jw, "ticket.use");
    jw_key_cstr(&jw, "purpose", "oidc");
    jw_key_str(&jw, "token", token);
    op_ask(call, &jw, OP_ASK_ONCE, back_known);
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

const struct op ops_oidc[] = {
    {.id = "auth.oidc_start", .method = "GET", .path = PATH "{provider}/start", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CREDENTIAL | OP_STREAM, .params = start_params, .type = "text/html", .status = 302,
     .run = start_run, .doc = "Sends the browser to a provider, to sign in there."},
    {.id = "auth.oidc_callback", .method = "GET", .path = PATH "{provider}/callback", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CREDENTIAL | OP_STREAM, .params = callback_params, .type = "text/html", .status = 302,
     .run = callback_run,
     .doc = "Where the provider sends the browser back to. It goes on to a page of ours, or to /signin with what went wrong "
            "in error: oidc_expired, oidc_refused, oidc_domain, oidc_unknown, oidc_link_first, oidc_unavailable, "
            "registration_closed, disabled, unavailable."},
    {.id = "auth.oidc_register", .method = "POST", .path = PATH "register", .perm = PERM_NONE,
     .flags = OP_AUTH | OP_NO_CSRF | OP_NO_CREDENTIAL, .body = register_body, .result = "SignIn", .status = 201,
     .refusals = of_register, .run = register_run,
     .doc = "Registers an organisation with an owner whom a provider vouches for."},
    {NULL},
};
