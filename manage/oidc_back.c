/*
 * The way back of signing in by another (OpenID Connect): what the provider says of the visitor, and what becomes
 * of it.
 *
 * Somebody whose address the provider vouches for signs in to the account with that address and is linked to it;
 * but not to one that administers the platform. Who is new may register, or comes in by the invitation that the
 * way out was asked with: then the person, the link and their place are one command, so that an invitation that
 * is over by now makes nobody. A second factor is asked for all the same.
 */
#include "manage/oidc_flow.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/people.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 96u /* of a person, in the ledger */

struct back_work {
    struct oidc *oidc;
    char redirect[OIDC_URL_MAX], code[2048 + 1], why[OIDC_WHY_MAX];
    struct oidc_flow flow;
    struct arena arena;
    struct oidc_person person;
    uint64_t invite_id; /* 0: of none */
    int rc;
};

struct visitor { /* who the provider says it is; in the request's arena */
    struct str issuer, subject, email, name;
    uint64_t person_id;
    uint64_t invite_id;
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
    const struct visitor *visitor = call->state;
    uint64_t seconds = 0;

    if (answer->said != LEDGER_DONE) {
        people_failed_then(call, "disabled", visitor->person_id, "disabled", oidc_send_back);
        return;
    }

    if (!js_count(js_get(answer->result, STR("seconds")), UINT32_MAX, &seconds))
        seconds = 0;
    op_set_session(call, js_get(answer->result, STR("token")).raw, seconds);
    oidc_send_to(call, people_link(call, "/"), "");
}

/* To the page that goes on with what the ticket is for. */
static void
ticket_made(struct op_call *call, const struct ledger_answer *answer)
{
    const struct visitor *visitor = call->state;
    char path[160];

    if (answer->said != LEDGER_DONE) {
        oidc_send_back(call, "unavailable");
        return;
    }
    snprintf(path, sizeof(path), "%s%.*s", visitor->person_id != 0 ? "/signin#second-factor=" : "/register#oidc=",
             STR_ARGS(js_get(answer->result, STR("token")).raw));
    oidc_send_to(call, people_link(call, path), "");
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
        jw_key_u64(&jw, "minutes", OIDC_MINUTES);
        op_ask(call, &jw, OP_ASK_ONCE, ticket_made);
        return;
    }
    op_ask_begin_bare(call, &jw, "session.open");
    jw_key_u64(&jw, "person", visitor->person_id);
    jw_key_str(&jw, "ip", call->request->peer_ip);
    op_ask(call, &jw, OP_ASK_ONCE, came_in);
}

/* ---- by an invitation ---- */

/* A name that the ledger takes; else none, which the person can set later. */
static struct str
usual_name(struct str name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES || name.ptr[0] == ' ' || name.ptr[name.len - 1] == ' ')
        return STR_NONE;
    for (size_t i = 0; i < name.len; i++)
        if ((uint8_t)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return STR_NONE;
    return name;
}

static const char *
why_not_joined(const struct ledger_answer *answer)
{
    static const char *const pairs[][2] = {{"token_gone", "invite_gone"},
                                           {"invalid", "invite_other"},
                                           {"not_allowed", "invite_other"},
                                           {"has_tenant", "invite_has_tenant"},
                                           {"too_many", "invite_full"},
                                           {"email_taken", "oidc_link_first"},
                                           {"taken", "oidc_link_first"},
                                           {"disabled", "disabled"}};

    for (size_t i = 0; answer->said == LEDGER_REFUSED && i < COUNT_OF(pairs); i++)
        if (str_eq(answer->code, str_from(pairs[i][0])))
            return pairs[i][1];
    return "unavailable";
}

static void
joined(struct op_call *call, const struct ledger_answer *answer)
{
    struct visitor *visitor = call->state;

    if (answer->said != LEDGER_DONE)
        oidc_send_back(call, why_not_joined(answer));
    else if (!js_count(js_get(answer->result, STR("person")), UINT32_MAX, &visitor->person_id))
        oidc_send_back(call, "unavailable");
    else
        let_in(call);
}

/* Somebody new: the person, the link to the provider and the place in the tenant are made at once. */
static void
join_new(struct op_call *call)
{
    const struct visitor *visitor = call->state;
    struct str name = usual_name(visitor->name);
    struct jw jw;

    op_ask_begin_bare(call, &jw, "invite.accept");
    jw_key_u64(&jw, "invite", visitor->invite_id);
    jw_key_str(&jw, "email", visitor->email);
    jw_key_str(&jw, "issuer", visitor->issuer);
    jw_key_str(&jw, "subject", visitor->subject);
    if (name.len > 0)
        jw_key_str(&jw, "name", name);
    jw_key_cstr(&jw, "locale", lang_name[call->lang]);
    jw_key_bool(&jw, "verified", true);
    jw_key_bool(&jw, "agreed", true);
    op_ask(call, &jw, OP_ASK_ONCE, joined);
}

/* Somebody who is known. With a second factor they are nobody yet: they accept when they have given it. */
static void
come_in(struct op_call *call)
{
    const struct visitor *visitor = call->state;
    struct jw jw;

    if (visitor->invite_id == 0 || visitor->second_factor) {
        let_in(call);
        return;
    }
    op_ask_begin_bare(call, &jw, "invite.accept");
    jw_key_u64(&jw, "invite", visitor->invite_id);
    jw_key_u64(&jw, "person", visitor->person_id);
    op_ask(call, &jw, OP_ASK_ONCE, joined);
}

/* ---- who it is ---- */

static void
linked(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        come_in(call);
    else
        oidc_send_back(call, answer->said == LEDGER_REFUSED ? "oidc_refused" : "unavailable");
}

/* Nobody has that address: they may register. */
static void
offer_registration(struct op_call *call)
{
    const struct visitor *visitor = call->state;
    struct buf data;
    struct jw jw;

    if (people_conf(call)->manage.registration == CONF_CLOSED) {
        oidc_send_back(call, "registration_closed");
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
        oidc_send_back(call, "unavailable");
        return;
    }
    if (!read_person(call, answer, &closed)) {
        if (visitor->invite_id != 0)
            join_new(call);
        else
            offer_registration(call);
        return;
    }
    if (closed) {
        people_failed_then(call, "provider", visitor->person_id, "oidc_link_first", oidc_send_back);
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
        oidc_send_back(call, "unavailable");
        return;
    }
    if (read_person(call, answer, &closed)) {
        come_in(call);
        return;
    }
    if (visitor->email.len == 0) {
        people_failed_then(call, "provider", 0, "oidc_unknown", oidc_send_back);
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

    if (work->rc < 0 || visitor == NULL || oidc_provider(call, &conf) == NULL) {
        int rc = work->rc;

        log_warn("oidc.failed", "what=callback why=%s", log_quote(str_from(work->why)));
        back_free(work);
        if (rc == -EACCES || rc == -EPERM)
            people_failed_then(call, "provider", 0, rc == -EACCES ? "oidc_refused" : "oidc_domain", oidc_send_back);
        else
            oidc_send_back(call, "oidc_unavailable");
        return;
    }
    *visitor = (struct visitor){.issuer = conf->at.url,
                                .subject = kept(call, work->person.subject),
                                .email = kept(call, work->person.email),
                                .name = kept(call, work->person.name),
                                .invite_id = work->invite_id};
    back_free(work);
    call->state = visitor;
    op_ask_begin_bare(call, &jw, "person.find");
    jw_key_str(&jw, "issuer", visitor->issuer);
    jw_key_str(&jw, "subject", visitor->subject);
    op_ask(call, &jw, OP_ASK_AGAIN, found_by_subject);
}

/* What was kept says the same as what came back. */
static bool
read_flow(struct op_call *call, const struct ledger_answer *answer, struct str issuer, struct back_work *work)
{
    struct oidc_flow *flow = &work->flow;
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
    if (!js_count(js_get(data, STR("invite")), UINT32_MAX, &work->invite_id))
        work->invite_id = 0;
    return js_str_eq(js_get(data, STR("provider")), op_str(call, "provider")) &&
           state.len == OIDC_RANDOM_LEN && sodium_memcmp(state.ptr, flow->state, OIDC_RANDOM_LEN) == 0;
}

static void
back_known(struct op_call *call, const struct ledger_answer *answer)
{
    const struct conf_oidc *conf = NULL;
    struct oidc *oidc = oidc_provider(call, &conf);
    struct back_work *work = calloc(1, sizeof(*work));

    if (answer->said != LEDGER_DONE || oidc == NULL || work == NULL ||
        !read_flow(call, answer, conf->at.url, work) || op_has(call, "error") || !op_has(call, "code")) {
        bool own = work != NULL && work->flow.state[0] != '\0' && op_has(call, "error");

        free(work);
        oidc_send_back(call, own ? "oidc_refused" : "oidc_expired");
        return;
    }
    work->oidc = oidc;
    arena_init(&work->arena, 1u << 20);
    str_copy(oidc_redirect_uri(call, conf), work->redirect, sizeof(work->redirect));
    str_copy(op_str(call, "code"), work->code, sizeof(work->code));
    op_work(call, back_run, back_done, back_free, work);
}

static struct str
flow_token(const struct request *request)
{
    struct str rest = request->cookie;

    while (rest.ptr != NULL && rest.len > 0) {
        struct str value = STR_NONE, name = str_trim(str_split(str_split(rest, ';', &rest), '=', &value));

        if (str_eq(name, STR(OIDC_COOKIE)) && value.ptr != NULL)
            return str_trim(value);
    }
    return STR_NONE;
}

void
oidc_back_run(struct op_call *call)
{
    struct str token = flow_token(call->request);
    struct jw jw;

    if (token.len == 0 || token.len > 64) {
        oidc_send_back(call, "oidc_expired");
        return;
    }
    op_ask_begin_bare(call, &jw, "ticket.use");
    jw_key_cstr(&jw, "purpose", "oidc");
    jw_key_str(&jw, "token", token);
    op_ask(call, &jw, OP_ASK_ONCE, back_known);
}
