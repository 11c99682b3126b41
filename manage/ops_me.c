/* Operations of a person about themselves: what they are called, how they sign in, where they are signed in. */
#include "manage/people.h"

#include "base/clock.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/ops.h"
#include "manage/totp.h"

#include <string.h>

static void
answered(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        op_answer(call, answer->result.raw);
    else
        people_refused(call, answer);
}

static void
answered_empty(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        op_answer_empty(call);
    else
        people_refused(call, answer);
}

/* A question about the caller, whose id the ledger calls "id". */
static void
ask_own(struct op_call *call, struct jw *jw, const char *cmd)
{
    op_ask_begin_bare(call, jw, cmd);
    jw_key_u64(jw, "id", call->caller.person_id);
}

/* ---- who they are ---- */

static void
shown(struct op_call *call, const struct ledger_answer *answer)
{
    struct js_value key, value;
    struct js_iter it;
    struct buf body;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        op_refused(call, answer);
        return;
    }
    buf_init(&body, 65536);
    jw_init(&jw, &body);
    jw_object(&jw);
    for (js_iter_init(&it, answer->result); js_next(&it, &key, &value);) {
        jw_key_of(&jw, key.raw);
        jw_js(&jw, value);
    }
    jw_key_str(&jw, "csrf", call->caller.csrf);
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    explicit_bzero(body.ptr, body.ptr != NULL ? body.cap : 0);
    buf_free(&body);
}

static void
show_run(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.show");
    op_ask(call, &jw, OP_ASK_AGAIN, shown);
}

static void
set_run(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.set");
    op_ask_fields(call, &jw);
    op_ask(call, &jw, OP_ASK_KEYED, shown);
}

static void
agree_run(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.set");
    jw_key_bool(&jw, "agreed", true);
    op_ask(call, &jw, OP_ASK_KEYED, shown);
}

/* ---- password ---- */

static void
password_hashed(struct op_call *call, const struct password_work *work)
{
    struct jw jw;

    ask_own(call, &jw, "person.password");
    jw_key_cstr(&jw, "password", work->made);
    jw_key_str(&jw, "token", call->caller.token);
    op_ask(call, &jw, OP_ASK_KEYED, answered);
}

static void
password_proven(struct op_call *call)
{
    people_hash(call, op_str(call, "new_password"), password_hashed);
}

static void
password_run(struct op_call *call)
{
    if (people_password_ok(call, "new_password", str_from(call->caller.name), STR_NONE))
        people_prove(call, password_proven);
}

/* ---- address ---- */

static void
email_code_proven(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "code.make");
    jw_key_cstr(&jw, "purpose", "change-email");
    jw_key_u64(&jw, "person", call->caller.person_id);
    jw_key_str(&jw, "email", op_str(call, "email"));
    jw_key_cstr(&jw, "locale", lang_name[call->lang]);
    people_say_link(call, &jw, "/signin");
    op_ask(call, &jw, OP_ASK_ONCE, answered);
}

static void
email_code_run(struct op_call *call)
{
    if (people_conf(call)->mail.on)
        people_prove(call, email_code_proven);
    else
        op_refuse(call, 409, "mail_off", NULL);
}

static void
email_run(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.email");
    jw_key_str(&jw, "email", op_str(call, "email"));
    jw_key_str(&jw, "code", op_str(call, "code"));
    op_ask(call, &jw, OP_ASK_KEYED, answered);
}

/* ---- sessions ---- */

static void
sessions_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "session.list");
    jw_key_u64(&jw, "person", call->caller.person_id);
    jw_key_str(&jw, "token", call->caller.token);
    op_ask(call, &jw, OP_ASK_AGAIN, answered);
}

static void
session_close_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "session.close");
    jw_key_u64(&jw, "person", call->caller.person_id);
    jw_key_str(&jw, "id", op_str(call, "id"));
    op_ask(call, &jw, OP_ASK_KEYED, answered_empty);
}

static void
sessions_close_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "session.close_all");
    jw_key_u64(&jw, "person", call->caller.person_id);
    jw_key_str(&jw, "token", call->caller.token);
    op_ask(call, &jw, OP_ASK_AGAIN, answered);
}

/* ---- authenticator ---- */

static void
totp_set(struct op_call *call, const struct ledger_answer *answer)
{
    const uint8_t *secret = call->state;
    char text[TOTP_BASE32_LEN + 1], uri[TOTP_URI_LEN_MAX];
    struct str title = people_conf(call)->manage.title;
    struct buf body;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        op_refused(call, answer);
        return;
    }
    totp_base32(secret, text);
    buf_init(&body, 65536);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_cstr(&jw, "secret", text);
    if (totp_uri(secret, title.len > 0 ? title : STR("turnpike"), str_from(call->caller.name), uri))
        jw_key_cstr(&jw, "uri", uri);
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    explicit_bzero(body.ptr, body.ptr != NULL ? body.cap : 0);
    buf_free(&body);
    explicit_bzero(text, sizeof(text));
    explicit_bzero(uri, sizeof(uri));
}

static void
totp_proven(struct op_call *call)
{
    uint8_t *secret = arena_alloc(&call->request->arena, TOTP_SECRET_LEN);
    char text[TOTP_BASE32_LEN + 1];
    struct jw jw;

    if (secret == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    totp_secret_new(secret);
    totp_base32(secret, text);
    call->state = secret;
    ask_own(call, &jw, "totp.set");
    jw_key_cstr(&jw, "secret", text);
    op_ask(call, &jw, OP_ASK_ONCE, totp_set);
    explicit_bzero(text, sizeof(text));
}

static void
totp_run(struct op_call *call)
{
    people_prove(call, totp_proven);
}

static void
confirm_secrets(struct op_call *call, const struct ledger_answer *answer)
{
    uint8_t secret[TOTP_SECRET_LEN];
    uint64_t step = 0;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        op_refused(call, answer);
        return;
    }
    if (totp_from_base32(js_get(answer->result, STR("totp")).raw, secret))
        step = totp_match(secret, op_str(call, "code"), clock_wall_us(), 0);
    explicit_bzero(secret, sizeof(secret));
    if (step == 0) {
        op_refuse_field(call, 422, "code", "code_wrong", NULL);
        return;
    }
    ask_own(call, &jw, "totp.confirm");
    jw_key_u64(&jw, "step", step);
    op_ask(call, &jw, OP_ASK_ONCE, answered);
}

static void
confirm_run(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.secrets");
    op_ask(call, &jw, OP_ASK_AGAIN, confirm_secrets);
}

static void
totp_off_proven(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "totp.off");
    op_ask(call, &jw, OP_ASK_KEYED, answered_empty);
}

static void
totp_off_run(struct op_call *call)
{
    people_prove(call, totp_off_proven);
}

static void
unlink_proven(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "person.unlink");
    op_ask(call, &jw, OP_ASK_KEYED, answered_empty);
}

static void
unlink_run(struct op_call *call)
{
    people_prove(call, unlink_proven);
}

static void
recovery_proven(struct op_call *call)
{
    struct jw jw;

    ask_own(call, &jw, "recovery.make");
    op_ask(call, &jw, OP_ASK_ONCE, answered);
}

static void
recovery_run(struct op_call *call)
{
    people_prove(call, recovery_proven);
}

/* ---- coming and going ---- */

static void
join_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "invite.accept");
    jw_key_u64(&jw, "person", call->caller.person_id);
    jw_key_str(&jw, "token", op_str(call, "invite"));
    op_ask(call, &jw, OP_ASK_KEYED, answered);
}

static void
left(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said != LEDGER_DONE) {
        people_refused(call, answer);
        return;
    }
    op_clear_session(call);
    op_answer_empty(call);
}

static void
leave_run(struct op_call *call)
{
    struct jw jw;

    if (call->caller.tenant_id == 0) {
        op_refuse(call, 403, "no_tenant", NULL);
        return;
    }
    op_ask_begin_bare(call, &jw, "member.leave");
    jw_key_u64(&jw, "tenant", call->caller.tenant_id);
    jw_key_u64(&jw, "id", call->caller.member_id);
    if (op_has(call, "hand_over_to"))
        jw_key_u64(&jw, "hand_over_to", op_u64(call, "hand_over_to"));
    op_ask(call, &jw, OP_ASK_KEYED, left);
}

/* ---- the table ---- */

#define PASSWORD {"password", .type = FIELD_SECRET, .required = true, .max = 256, .example = "\"correct 7 horses\"", .doc = "The person's password, again."}
#define CODE {"code", .type = FIELD_SECRET, .required = true, .max = 16, .example = "\"123456\"", .doc = "Six digits."}

static const char *const locales[] = {"en", "zh-CN", NULL};

static const struct field set_body[] = {
    {"name", .type = FIELD_STRING, .max = 96, .example = "\"Ada\"", .doc = "What the person is called."},
    {"phone", .type = FIELD_STRING, .max = 40, .example = "\"+49 30 123\"", .doc = "Where to call."},
    {"locale", .type = FIELD_ENUM, .values = locales, .example = "\"en\"", .doc = "The language of mails and answers."},
    {NULL},
};
static const struct field password_body[] = {
    PASSWORD,
    {"new_password", .type = FIELD_SECRET, .required = true, .max = 256, .example = "\"correct 8 horses\"", .doc = "The password to be."},
    {NULL},
};
static const struct field proof_body[] = {PASSWORD, {NULL}};
static const struct field code_body[] = {CODE, {NULL}};
static const struct field email_code_body[] = {
    PASSWORD,
    {"email", .type = FIELD_EMAIL, .required = true, .example = "\"ada@example.net\"", .doc = "The address to be."},
    {NULL},
};
static const struct field email_body[] = {
    {"email", .type = FIELD_EMAIL, .required = true, .example = "\"ada@example.net\"", .doc = "The address to be."},
    CODE,
    {NULL},
};
static const struct field session_params[] = {
    {"id", .in = IN_PATH, .type = FIELD_STRING, .required = true, .max = 64, .example = "\"00\"", .doc = "What the list calls it."},
    {NULL},
};
static const struct field join_body[] = {
    {"invite", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the invitation's link holds."},
    {NULL},
};
static const struct field leave_body[] = {
    {"hand_over_to", .type = FIELD_ID, .doc = "The member whose the keys are from then on, for calls alone; else they stop to work."},
    {NULL},
};

static const struct field me_members[] = {
    {"id", .type = FIELD_ID, .doc = "The person's number."},
    {"email", .type = FIELD_EMAIL, .doc = "Their address."},
    {"name", .type = FIELD_STRING, .doc = "What they are called."},
    {"phone", .type = FIELD_STRING, .doc = "Where to call."},
    {"locale", .type = FIELD_STRING, .doc = "Their language; empty: none was chosen."},
    {"platform", .type = FIELD_BOOL, .doc = "They administer the platform."},
    {"disabled", .type = FIELD_BOOL, .doc = "They may not sign in."},
    {"has_password", .type = FIELD_BOOL, .doc = "They can sign in by a password."},
    {"second_factor", .type = FIELD_BOOL, .doc = "An authenticator is asked for."},
    {"recovery_left", .type = FIELD_INT, .doc = "Recovery codes that are not used."},
    {"oidc_issuer", .type = FIELD_STRING, .nullable = true, .doc = "Whom they can sign in by."},
    {"terms", .type = FIELD_INT, .doc = "The version of the terms that they agreed to; 0: none."},
    {"privacy", .type = FIELD_INT, .doc = "The version of the privacy policy that they agreed to; 0: none."},
    {"terms_agreed", .type = FIELD_TIME, .nullable = true, .doc = "When they agreed."},
    {"created", .type = FIELD_TIME, .doc = "Since when."},
    {"password_changed", .type = FIELD_TIME, .nullable = true, .doc = "When the password was set."},
    {"last_login", .type = FIELD_TIME, .nullable = true, .doc = "When they signed in last."},
    {"tenant", .type = FIELD_ID, .optional = true, .doc = "Their organisation."},
    {"tenant_name", .type = FIELD_STRING, .optional = true, .doc = "Its name."},
    {"member", .type = FIELD_ID, .optional = true, .doc = "Their place in it."},
    {"role", .type = FIELD_ENUM, .values = role_values, .optional = true, .doc = "What they may do there."},
    {"csrf", .type = FIELD_SECRET, .doc = "What x-csrf-token has to say."},
    {NULL},
};
static const struct field closed_members[] = {
    {"id", .type = FIELD_ID, .doc = "The person's number."},
    {"sessions_closed", .type = FIELD_INT, .doc = "Sessions that ended by it."},
    {NULL},
};
static const struct field session_members[] = {
    {"id", .type = FIELD_STRING, .doc = "What it is called."},
    {"created", .type = FIELD_TIME, .doc = "When the person signed in."},
    {"expires", .type = FIELD_TIME, .doc = "When it is over."},
    {"seen", .type = FIELD_TIME, .doc = "When it was last used, to a few minutes."},
    {"ip", .type = FIELD_STRING, .doc = "Where from."},
    {"agent", .type = FIELD_STRING, .doc = "By which program."},
    {"current", .type = FIELD_BOOL, .doc = "It is this one."},
    {NULL},
};
static const struct field sessions_members[] = {
    {"sessions", .type = FIELD_OBJECTS, .ref = "Session", .doc = "Those that are open."},
    {NULL},
};
static const struct field count_members[] = {
    {"closed", .type = FIELD_INT, .doc = "Sessions that ended by it."},
    {NULL},
};
static const struct field totp_members[] = {
    {"secret", .type = FIELD_SECRET, .doc = "For authenticators that take it typed."},
    {"uri", .type = FIELD_SECRET, .optional = true, .doc = "For those that read a picture of it."},
    {NULL},
};
static const struct field codes_members[] = {
    {"id", .type = FIELD_ID, .doc = "The person's number."},
    {"codes", .type = FIELD_STRINGS, .optional = true, .doc = "Each is good once, in place of the authenticator; told this one time."},
    {"second_factor", .type = FIELD_BOOL, .doc = "An authenticator is asked for."},
    {"recovery_left", .type = FIELD_INT, .doc = "Recovery codes that are not used."},
    {NULL},
};
static const struct field moved_members[] = {
    {"id", .type = FIELD_ID, .doc = "The person's number."},
    {"was", .type = FIELD_EMAIL, .doc = "The address so far."},
    {"email", .type = FIELD_EMAIL, .doc = "The address from now on."},
    {NULL},
};
static const struct field joined_members[] = {
    {"person", .type = FIELD_ID, .doc = "The person's number."},
    {"tenant", .type = FIELD_ID, .doc = "Their organisation."},
    {"member", .type = FIELD_ID, .doc = "Their place in it."},
    {"email", .type = FIELD_EMAIL, .doc = "Their address."},
    {NULL},
};

const struct schema schemas_me[] = {
    {"Me", "A person, as they see themselves.", me_members},
    {"PasswordChanged", "What a new password ended.", closed_members},
    {"Session", "Where a person is signed in.", session_members},
    {"SessionList", "Where a person is signed in.", sessions_members},
    {"SessionsClosed", "How many sessions ended.", count_members},
    {"Authenticator", "A secret for an authenticator, to be confirmed.", totp_members},
    {"RecoveryCodes", "The second factor, and what stands for it.", codes_members},
    {"EmailChanged", "A person's address.", moved_members},
    {"Joined", "A place in an organisation.", joined_members},
    {NULL},
};

static const struct op_refusal of_proof[] = {{422, "password_wrong"}, {429, "locked"}, {409, "conflict"}, {0, NULL}};
static const struct op_refusal of_password[] = {{422, "password_wrong"}, {429, "locked"}, {422, "password_short"}, {422, "password_common"},
                                                {422, "password_similar"}, {0, NULL}};
static const struct op_refusal of_email_code[] = {{409, "mail_off"}, {422, "password_wrong"}, {429, "locked"}, {429, "code_too_soon"}, {0, NULL}};
static const struct op_refusal of_email[] = {{422, "code_wrong"}, {409, "email_taken"}, {0, NULL}};
static const struct op_refusal of_session[] = {{404, "token_gone"}, {0, NULL}};
static const struct op_refusal of_confirm[] = {{422, "code_wrong"}, {409, "conflict"}, {422, "step_used"}, {0, NULL}};
static const struct op_refusal of_join[] = {{404, "token_gone"}, {409, "has_tenant"}, {409, "too_many"}, {403, "not_allowed"}, {0, NULL}};
static const struct op_refusal of_leave[] = {{409, "last_owner"}, {403, "no_tenant"}, {0, NULL}};

#define ME(how, name) .method = how, .path = "/api/v1/me" name, .perm = PERM_SELF

const struct op ops_me[] = {
    {.id = "me.show", ME("GET", ""), .result = "Me", .run = show_run, .doc = "Who is signed in."},
    {.id = "me.set", ME("PATCH", ""), .body = set_body, .result = "Me", .run = set_run, .doc = "Changes what is known of the person."},
    {.id = "me.agree", ME("POST", "/agree"), .result = "Me", .run = agree_run, .doc = "Agrees to the terms and the policy as they are now."},
    {.id = "me.password", ME("PUT", "/password"), .body = password_body, .result = "PasswordChanged", .refusals = of_password,
     .run = password_run, .doc = "Sets a new password, and ends all other sessions."},
    {.id = "me.email_code", ME("POST", "/email/code"), .body = email_code_body, .result = "CodeSent", .refusals = of_email_code,
     .run = email_code_run, .doc = "Sends a code to the address that is to be the person's."},
    {.id = "me.email", ME("PUT", "/email"), .body = email_body, .result = "EmailChanged", .refusals = of_email, .run = email_run,
     .doc = "Changes the address, by that code."},
    {.id = "me.sessions", ME("GET", "/sessions"), .result = "SessionList", .run = sessions_run, .doc = "Where the person is signed in."},
    {.id = "me.session_close", ME("DELETE", "/sessions/{id}"), .params = session_params, .status = 204, .refusals = of_session,
     .run = session_close_run, .doc = "Ends a session."},
    {.id = "me.sessions_close", ME("DELETE", "/sessions"), .result = "SessionsClosed", .run = sessions_close_run,
     .doc = "Ends all sessions but this."},
    {.id = "me.totp", ME("POST", "/totp"), .body = proof_body, .result = "Authenticator", .refusals = of_proof, .run = totp_run,
     .doc = "A secret for an authenticator. It counts once it is confirmed."},
    {.id = "me.totp_confirm", ME("POST", "/totp/confirm"), .body = code_body, .result = "RecoveryCodes", .refusals = of_confirm,
     .run = confirm_run, .doc = "Turns the second factor on, by a code of the authenticator."},
    {.id = "me.totp_off", ME("POST", "/totp/off"), .body = proof_body, .status = 204, .refusals = of_proof, .run = totp_off_run,
     .doc = "Turns the second factor off."},
    {.id = "me.oidc_unlink", ME("POST", "/oidc/unlink"), .body = proof_body, .status = 204, .refusals = of_proof, .run = unlink_run,
     .doc = "Signs in by the provider's identity no more; the next one with the person's verified address takes its place."},
    {.id = "me.recovery", ME("POST", "/recovery-codes"), .body = proof_body, .result = "RecoveryCodes", .refusals = of_proof,
     .run = recovery_run, .doc = "New recovery codes; the old ones are of no use any more."},
    {.id = "me.join", ME("POST", "/join"), .body = join_body, .result = "Joined", .refusals = of_join, .run = join_run,
     .doc = "Accepts an invitation, of who belongs to no organisation."},
    {.id = "me.leave", ME("POST", "/leave"), .flags = OP_LONG, .body = leave_body, .status = 204, .refusals = of_leave, .run = leave_run,
     .doc = "Leaves the organisation, and signs out."},
    {NULL},
};
