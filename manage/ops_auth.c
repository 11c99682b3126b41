/*
 * Operations of those who are not signed in yet: registering, signing in, a forgotten password, invitations.
 *
 * None of them tells whether somebody has an account: a code is "sent" in either case, a password is compared
 * with something in either case, and what is refused is refused in the same words.
 */
#include "manage/people.h"

#include "base/clock.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/ops.h"
#include "manage/totp.h"

#include <string.h>

#define AGREEMENT "Please read and agree to the User Service Agreement and Privacy Policy first."

/* A question whose answer is the operation's. */
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

static bool
is_refusal(const struct ledger_answer *answer, const char *code)
{
    return answer->said == LEDGER_REFUSED && str_eq(answer->code, str_from(code));
}

static uint64_t
u64_of(struct js_value object, const char *name)
{
    uint64_t n = 0;

    return js_count(js_get(object, str_from(name)), UINT32_MAX, &n) ? n : 0;
}

/* ---- what the page has to know ---- */

static void
options_run(struct op_call *call)
{
    const struct conf *conf = people_conf(call);
    struct buf body;
    struct jw jw;

    buf_init(&body, 65536);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_str(&jw, "title", conf->manage.title);
    jw_key_cstr(&jw, "registration", conf_registration_name[conf->manage.registration]);
    jw_key_bool(&jw, "mail", conf->mail.on);
    jw_key_str(&jw, "turnstile", conf->turnstile.on ? conf->turnstile.site_key : STR(""));
    jw_key(&jw, "providers");
    jw_array(&jw);
    for (size_t i = 0; i < conf->oidc_count; i++) {
        if (!conf->oidcs[i].on)
            continue;
        jw_object(&jw);
        jw_key_str(&jw, "name", conf->oidcs[i].name);
        jw_key_str(&jw, "title", conf->oidcs[i].title);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    buf_free(&body);
}

/* ---- codes by mail ---- */

static void
ask_code(struct op_call *call, bool invited)
{
    bool reset = str_eq(op_str(call, "purpose"), STR("reset"));
    struct jw jw;

    if (!people_conf(call)->mail.on) {
        op_refuse(call, 409, "mail_off", NULL);
        return;
    }
    op_ask_begin_bare(call, &jw, "code.make");
    jw_key_str(&jw, "purpose", op_str(call, "purpose"));
    jw_key_str(&jw, "email", op_str(call, "email"));
    jw_key_cstr(&jw, "locale", lang_name[call->lang]);
    people_say_link(call, &jw, reset ? "/reset" : "/signin");
    if (invited)
        jw_key_bool(&jw, "invited", true);
    op_ask(call, &jw, OP_ASK_ONCE, answered);
}

static void
code_invite_found(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        ask_code(call, true);
    else
        people_refused(call, answer);
}

static void
code_human(struct op_call *call)
{
    struct jw jw;

    if (!op_has(call, "invite")) {
        ask_code(call, false);
        return;
    }
    op_ask_begin_bare(call, &jw, "invite.find");
    jw_key_str(&jw, "token", op_str(call, "invite"));
    op_ask(call, &jw, OP_ASK_AGAIN, code_invite_found);
}

static void
code_run(struct op_call *call)
{
    people_human(call, code_human);
}

/* ---- registering ---- */

static bool
agreed(struct op_call *call)
{
    if (op_flag(call, "agree"))
        return true;
    op_refuse_field(call, 422, "agree", "agreement_required", AGREEMENT);
    return false;
}

/* What is said of a person, with the hash of their password. */
static void
say_person(struct op_call *call, struct jw *jw, const struct password_work *work)
{
    static const char *const names[] = {"email", "code", "name", "phone"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (op_has(call, names[i]))
            jw_key_str(jw, names[i], op_str(call, names[i]));
    jw_key_cstr(jw, "password", work->made);
    jw_key_cstr(jw, "locale", lang_name[call->lang]);
    jw_key_bool(jw, "agreed", true);
}

static void
register_hashed(struct op_call *call, const struct password_work *work)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "person.register");
    say_person(call, &jw, work);
    jw_key_str(&jw, "tenant_name", op_str(call, "tenant_name"));
    op_ask(call, &jw, OP_ASK_KEYED, people_came_in);
}

static void
register_run(struct op_call *call)
{
    if (agreed(call) && people_password_ok(call, "password", op_str(call, "email"), op_str(call, "tenant_name")))
        people_hash(call, op_str(call, "password"), register_hashed);
}

/* ---- invitations ---- */

static void
invite_find_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "invite.find");
    jw_key_str(&jw, "token", op_str(call, "token"));
    op_ask(call, &jw, OP_ASK_AGAIN, answered);
}

static void
accept_hashed(struct op_call *call, const struct password_work *work)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "invite.accept");
    jw_key_str(&jw, "token", op_str(call, "token"));
    say_person(call, &jw, work);
    op_ask(call, &jw, OP_ASK_KEYED, people_came_in);
}

static void
accept_run(struct op_call *call)
{
    if (agreed(call) && people_password_ok(call, "password", op_str(call, "email"), op_str(call, "name")))
        people_hash(call, op_str(call, "password"), accept_hashed);
}

/* ---- signing in ---- */

struct login {
    uint64_t person_id;
    bool second_factor, disabled;
    char hash[PASSWORD_HASH_LEN_MAX];
};

static void
login_rehashed(struct op_call *call, const struct ledger_answer *answer)
{
    const struct login *login = call->state;

    (void)answer; /* when it was not done, the next time does it */
    people_first_factor(call, login->person_id, login->second_factor);
}

static void
login_matched(struct op_call *call, const struct password_work *work)
{
    const struct login *login = call->state;
    struct jw jw;

    if (!work->matches) {
        people_failed(call, "password", 0, op_str(call, "email"), 401, NULL, "login_failed");
        return;
    }
    if (login->disabled) {
        people_failed(call, "disabled", login->person_id, STR_NONE, 403, NULL, "disabled");
        return;
    }
    if (work->made[0] == '\0') {
        people_first_factor(call, login->person_id, login->second_factor);
        return;
    }
    op_ask_begin_bare(call, &jw, "person.password");
    jw_key_u64(&jw, "id", login->person_id);
    jw_key_cstr(&jw, "password", work->made);
    jw_key_cstr(&jw, "old_hash", login->hash);
    jw_key_bool(&jw, "rehash", true);
    op_ask(call, &jw, OP_ASK_ONCE, login_rehashed);
}

static void
login_found(struct op_call *call, const struct ledger_answer *answer)
{
    struct login *login = arena_zalloc(&call->request->arena, sizeof(*login));
    struct js_value person;

    if (is_refusal(answer, "locked")) {
        people_failed(call, "locked", 0, op_str(call, "email"), 429, NULL, "locked");
        return;
    }
    if (answer->said != LEDGER_DONE || login == NULL) {
        people_refused(call, answer);
        return;
    }
    person = js_get(answer->result, STR("person"));
    login->person_id = u64_of(person, "id");
    login->second_factor = js_bool(js_get(person, STR("second_factor")), false);
    login->disabled = js_bool(js_get(person, STR("disabled")), false);
    str_copy(js_get(person, STR("password")).raw, login->hash, sizeof(login->hash));
    call->state = login;
    people_match(call, op_str(call, "password"), str_from(login->hash), login_matched);
}

static void
login_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "login.begin");
    jw_key_str(&jw, "email", op_str(call, "email"));
    op_ask(call, &jw, OP_ASK_ONCE, login_found);
}

/* ---- the second factor ---- */

static void
factor_used(struct op_call *call, const struct ledger_answer *answer)
{
    const struct login *login = call->state;

    if (answer->said == LEDGER_DONE)
        people_sign_in(call, login->person_id);
    else if (is_refusal(answer, "code_wrong") || is_refusal(answer, "step_used"))
        people_failed(call, "second-factor", login->person_id, STR_NONE, 422, "code",
                      is_refusal(answer, "step_used") ? "step_used" : "code_wrong");
    else
        people_refused(call, answer);
}

static void
use_recovery(struct op_call *call)
{
    const struct login *login = call->state;
    struct jw jw;

    op_ask_begin_bare(call, &jw, "recovery.use");
    jw_key_u64(&jw, "id", login->person_id);
    jw_key_str(&jw, "code", op_str(call, "code"));
    op_ask(call, &jw, OP_ASK_ONCE, factor_used);
}

static void
factor_secrets(struct op_call *call, const struct ledger_answer *answer)
{
    const struct login *login = call->state;
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
        use_recovery(call);
        return;
    }
    op_ask_begin_bare(call, &jw, "totp.use");
    jw_key_u64(&jw, "id", login->person_id);
    jw_key_u64(&jw, "step", step);
    op_ask(call, &jw, OP_ASK_ONCE, factor_used);
}

static void
factor_tried(struct op_call *call, const struct ledger_answer *answer)
{
    struct login *login = arena_zalloc(&call->request->arena, sizeof(*login));
    struct jw jw;

    if (answer->said != LEDGER_DONE || login == NULL) {
        people_refused(call, answer);
        return;
    }
    login->person_id = u64_of(answer->result, "person");
    call->state = login;
    op_ask_begin_bare(call, &jw, "person.secrets");
    jw_key_u64(&jw, "id", login->person_id);
    op_ask(call, &jw, OP_ASK_AGAIN, factor_secrets);
}

static void
factor_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "ticket.try");
    jw_key_cstr(&jw, "purpose", "second-factor");
    jw_key_str(&jw, "token", op_str(call, "ticket"));
    op_ask(call, &jw, OP_ASK_ONCE, factor_tried);
}

/* ---- signing out ---- */

static void
logged_out(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said != LEDGER_DONE && !answer->absent) {
        op_refused(call, answer);
        return;
    }
    op_clear_session(call);
    op_answer_empty(call);
}

static void
logout_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "session.close");
    jw_key_str(&jw, "token", call->caller.token);
    op_ask(call, &jw, OP_ASK_AGAIN, logged_out);
}

/* ---- a new password, by mail or by a link ---- */

static void
reset_done(struct op_call *call, const struct ledger_answer *answer)
{
    if (is_refusal(answer, "code_wrong"))
        people_failed(call, "code", 0, op_str(call, "email"), 422, "code", "code_wrong");
    else
        answered_empty(call, answer);
}

static void
reset_hashed(struct op_call *call, const struct password_work *work)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "person.reset");
    jw_key_str(&jw, "email", op_str(call, "email"));
    jw_key_str(&jw, "code", op_str(call, "code"));
    jw_key_cstr(&jw, "password", work->made);
    op_ask(call, &jw, OP_ASK_KEYED, reset_done);
}

static void
reset_run(struct op_call *call)
{
    if (people_password_ok(call, "password", op_str(call, "email"), STR_NONE))
        people_hash(call, op_str(call, "password"), reset_hashed);
}

static void
setup_hashed(struct op_call *call, const struct password_work *work)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "person.setup");
    jw_key_str(&jw, "token", op_str(call, "token"));
    jw_key_cstr(&jw, "password", work->made);
    op_ask(call, &jw, OP_ASK_KEYED, answered_empty);
}

static void
setup_found(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        people_hash(call, op_str(call, "password"), setup_hashed);
    else
        people_refused(call, answer);
}

static void
setup_run(struct op_call *call)
{
    struct jw jw;

    if (!people_password_ok(call, "password", STR_NONE, STR_NONE))
        return;
    op_ask_begin_bare(call, &jw, "ticket.find");
    jw_key_cstr(&jw, "purpose", "setup");
    jw_key_str(&jw, "token", op_str(call, "token"));
    op_ask(call, &jw, OP_ASK_AGAIN, setup_found);
}

/* ---- the table ---- */

#define EMAIL_FIELD {"email", .type = FIELD_EMAIL, .required = true, .example = "\"ada@example.org\"", .doc = "A mail address."}
#define CODE_FIELD {"code", .type = FIELD_SECRET, .required = true, .max = 16, .example = "\"123456\"", .doc = "The six digits that the mail says."}
#define PASSWORD_FIELD(words) {"password", .type = FIELD_SECRET, .required = true, .max = 256, .example = "\"correct 7 horses\"", .doc = words}
#define AGREE_FIELD {"agree", .type = FIELD_BOOL, .example = "true", .doc = "The person has read and agrees to the terms and the privacy policy. Refused unless true."}
#define NAME_FIELD {"name", .type = FIELD_STRING, .max = 96, .example = "\"Ada\"", .doc = "What the person is called."}
#define PHONE_FIELD {"phone", .type = FIELD_STRING, .max = 40, .example = "\"+49 30 123\"", .doc = "Where to call."}

static const char *const purposes[] = {"register", "reset", NULL};

static const struct field code_body[] = {
    {"purpose", .type = FIELD_ENUM, .values = purposes, .required = true, .example = "\"register\"", .doc = "What it is for."},
    EMAIL_FIELD,
    {"turnstile", .type = FIELD_SECRET, .max = 2048, .doc = "What the page's human verification gave, where there is one."},
    {"invite", .type = FIELD_SECRET, .max = 64, .doc = "An invitation's token: its guest may register where else nobody can."},
    {NULL},
};
static const struct field register_body[] = {
    EMAIL_FIELD,
    CODE_FIELD,
    PASSWORD_FIELD("At least 10 characters, none of those that are guessed first."),
    {"tenant_name", .type = FIELD_STRING, .required = true, .max = 96, .example = "\"Example Ltd\"", .doc = "What the organisation is called."},
    {"name", .type = FIELD_STRING, .required = true, .max = 96, .example = "\"Ada\"", .doc = "Whom to contact."},
    {"phone", .type = FIELD_STRING, .required = true, .max = 40, .example = "\"+49 30 123\"", .doc = "Where to call them."},
    AGREE_FIELD,
    {NULL},
};
static const struct field login_body[] = {EMAIL_FIELD, PASSWORD_FIELD("The person's password."), {NULL}};
static const struct field factor_body[] = {
    {"ticket", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the first step gave."},
    {"code", .type = FIELD_SECRET, .required = true, .max = 16, .example = "\"123456\"", .doc = "Of the authenticator, or a recovery code."},
    {NULL},
};
static const struct field reset_body[] = {EMAIL_FIELD, CODE_FIELD, PASSWORD_FIELD("The new password."), {NULL}};
static const struct field setup_body[] = {
    {"token", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the link holds."},
    PASSWORD_FIELD("The new password."),
    {NULL},
};
static const struct field token_body[] = {
    {"token", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the invitation's link holds."},
    {NULL},
};
static const struct field accept_body[] = {
    {"token", .type = FIELD_SECRET, .required = true, .max = 64, .example = "\"t\"", .doc = "What the invitation's link holds."},
    {"email", .type = FIELD_EMAIL, .example = "\"ada@example.org\"", .doc = "The person's address; of an invitation for one address it is that."},
    {"code", .type = FIELD_SECRET, .max = 16, .doc = "That proves the address, of an invitation for anybody."},
    PASSWORD_FIELD("The password to be."),
    NAME_FIELD,
    PHONE_FIELD,
    AGREE_FIELD,
    {NULL},
};

static const struct field sign_in_members[] = {
    {"signed_in", .type = FIELD_BOOL, .doc = "The session's cookie is set."},
    {"second_factor", .type = FIELD_BOOL, .doc = "The second factor is asked for now."},
    {"ticket", .type = FIELD_SECRET, .optional = true, .doc = "To go on with the second factor."},
    {"csrf", .type = FIELD_SECRET, .optional = true, .doc = "What x-csrf-token has to say."},
    {"expires", .type = FIELD_TIME, .optional = true, .doc = "When the session, or the ticket, is over."},
    {NULL},
};
static const struct field sent_members[] = {
    {"sent", .type = FIELD_BOOL, .doc = "True, whether somebody has that address or not."},
    {"minutes", .type = FIELD_INT, .doc = "How long the code is good."},
    {NULL},
};
static const struct field provider_members[] = {
    {"name", .type = FIELD_STRING, .doc = "As in its path."},
    {"title", .type = FIELD_STRING, .doc = "What people know it as."},
    {NULL},
};
static const struct field options_members[] = {
    {"title", .type = FIELD_STRING, .doc = "What this server is called."},
    {"registration", .type = FIELD_STRING, .doc = "Who may register: open, approval, closed."},
    {"mail", .type = FIELD_BOOL, .doc = "It can send mail."},
    {"turnstile", .type = FIELD_STRING, .doc = "The site key of the human verification; empty: there is none."},
    {"providers", .type = FIELD_OBJECTS, .members = provider_members, .doc = "Others to sign in by."},
    {NULL},
};
static const struct field guest_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant_name", .type = FIELD_STRING, .doc = "Who invites."},
    {"role", .type = FIELD_ENUM, .values = role_values, .doc = "What the guest will be."},
    {"email", .type = FIELD_EMAIL, .nullable = true, .doc = "Whom it is for; null: anybody."},
    {"inviter", .type = FIELD_STRING, .nullable = true, .doc = "Who invited."},
    {"created", .type = FIELD_TIME, .doc = "Since when."},
    {"expires", .type = FIELD_TIME, .doc = "Until when."},
    {"uses", .type = FIELD_INT, .doc = "How many may come."},
    {"used", .type = FIELD_INT, .doc = "How many came."},
    {"state", .type = FIELD_STRING, .doc = "open."},
    {NULL},
};

const struct schema schemas_auth[] = {
    {"SignIn", "How far signing in is.", sign_in_members},
    {"CodeSent", "A code is on its way, if there is anybody to have one.", sent_members},
    {"AuthOptions", "How people can sign in here.", options_members},
    {"GuestInvite", "An invitation, as its guest sees it.", guest_members},
    {NULL},
};

static const struct op_refusal of_code[] = {{409, "mail_off"}, {422, "human_check_failed"}, {503, "human_check_away"}, {429, "code_too_soon"},
                                            {403, "registration_closed"}, {403, "domain_closed"}, {404, "token_gone"}, {0, NULL}};
static const struct op_refusal of_register[] = {{422, "agreement_required"}, {422, "password_short"}, {422, "password_common"},
                                                {422, "password_similar"}, {422, "code_wrong"}, {409, "taken"}, {409, "email_taken"},
                                                {403, "registration_closed"}, {403, "domain_closed"}, {0, NULL}};
static const struct op_refusal of_login[] = {{401, "login_failed"}, {429, "locked"}, {403, "disabled"}, {0, NULL}};
static const struct op_refusal of_factor[] = {{404, "token_gone"}, {422, "code_wrong"}, {422, "step_used"}, {429, "locked"}, {403, "disabled"}, {0, NULL}};
static const struct op_refusal of_reset[] = {{422, "code_wrong"}, {422, "password_short"}, {422, "password_common"}, {422, "password_similar"}, {0, NULL}};
static const struct op_refusal of_setup[] = {{404, "token_gone"}, {422, "password_short"}, {422, "password_common"}, {0, NULL}};
static const struct op_refusal of_token[] = {{404, "token_gone"}, {0, NULL}};
static const struct op_refusal of_accept[] = {{404, "token_gone"}, {409, "too_many"}, {422, "agreement_required"}, {422, "password_short"}, {422, "password_common"},
                                              {422, "password_similar"}, {422, "code_wrong"}, {409, "email_taken"}, {0, NULL}};

#define AUTH(name) .method = "POST", .path = "/api/v1/auth/" name, .perm = PERM_NONE, .flags = OP_AUTH | OP_NO_CSRF | OP_NO_CREDENTIAL

const struct op ops_auth[] = {
    {.id = "auth.options", .method = "GET", .path = "/api/v1/auth/options", .perm = PERM_NONE, .flags = OP_NO_CREDENTIAL,
     .result = "AuthOptions", .run = options_run, .doc = "How people can sign in and register here."},
    {.id = "auth.code", AUTH("code"), .body = code_body, .result = "CodeSent", .refusals = of_code, .run = code_run,
     .doc = "Sends a code by mail. The answer is the same whether somebody has the address or not."},
    {.id = "auth.register", AUTH("register"), .body = register_body, .result = "SignIn", .status = 201, .refusals = of_register,
     .run = register_run, .doc = "Registers an organisation with its owner, and signs them in."},
    {.id = "auth.login", AUTH("login"), .body = login_body, .result = "SignIn", .refusals = of_login, .run = login_run,
     .doc = "Signs in by address and password."},
    {.id = "auth.second_factor", AUTH("second-factor"), .body = factor_body, .result = "SignIn", .refusals = of_factor,
     .run = factor_run, .doc = "Signs in by the second factor, after the first."},
    {.id = "auth.logout", .method = "POST", .path = "/api/v1/auth/logout", .perm = PERM_SELF, .status = 204,
     .run = logout_run, .doc = "Ends the session."},
    {.id = "auth.reset", AUTH("reset"), .body = reset_body, .status = 204, .refusals = of_reset, .run = reset_run,
     .doc = "Sets a new password by the code of a mail, and ends all sessions."},
    {.id = "auth.setup", AUTH("setup"), .body = setup_body, .status = 204, .refusals = of_setup, .run = setup_run,
     .doc = "Sets a password by the link that the operator's command line gave."},
    {.id = "auth.invite", AUTH("invite"), .body = token_body, .result = "GuestInvite", .refusals = of_token,
     .run = invite_find_run, .doc = "What an invitation is to."},
    {.id = "auth.accept", AUTH("accept"), .body = accept_body, .result = "SignIn", .status = 201, .refusals = of_accept,
     .run = accept_run, .doc = "Accepts an invitation as somebody new, and signs them in."},
    {NULL},
};
