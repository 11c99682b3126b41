/* People: registration, sessions, codes, invitations, roles; races have one winner, and a death at any step leaves
 * all or nothing. */
#include "test/unit/ledger_world.h"

#include <stdarg.h>

#include "ledger/person.h"
#include "ledger/session.h"

static struct world w;
static struct conf rules; /* of a server: its section manage */

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)
#define HASH "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    rules = (struct conf){.manage = {.registration = CONF_OPEN,
                                     .session_ms = 86400000,
                                     .session_idle_ms = 3600000,
                                     .invite_ms = 86400000}};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_audit(&w);
    world_close(&w);
    return 0;
}

static struct js_value PRINTF_LIKE(1, 2)
done(const char *fmt, ...)
{
    char request[2048];
    va_list args;

    va_start(args, fmt);
    assert_in_range(vsnprintf(request, sizeof(request), fmt, args), 1, sizeof(request) - 1);
    va_end(args);
    return ask_ok(&w, request);
}

/* What a refusal's code is, and that there is one. */
static const char *PRINTF_LIKE(1, 2)
refused(const char *fmt, ...)
{
    static char code[64];
    char request[2048];
    struct js_value answer;
    struct js_error err;
    va_list args;

    va_start(args, fmt);
    assert_in_range(vsnprintf(request, sizeof(request), fmt, args), 1, sizeof(request) - 1);
    va_end(args);
    assert_int_not_equal(ask_refused(&w, request), 0);
    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    str_copy(js_get(answer, STR("code")).raw, code, sizeof(code));
    return code;
}

static void
copy(struct js_value result, const char *name, char *out, size_t cap)
{
    assert_int_equal(js_get(result, str_from(name)).type, JS_STRING);
    str_copy(js_get(result, str_from(name)).raw, out, cap);
}

/* Takes what is due out of the queue. The code of the last of that template, "" when it has none; NULL: there is no
 * such mail. */
static const char *
mailed(const char *template)
{
    static char code[16];
    struct str mails = js_get(done("{\"cmd\":\"mail.next\",\"args\":{}}"), STR("mails")).raw;
    char *text = malloc(mails.len + 1);
    struct js_value list, key, value;
    bool found = false;
    struct js_error err;
    struct js_iter it;

    assert_non_null(text);
    str_copy(mails, text, mails.len + 1); /* questions between go over where it lies */
    assert_true(js_check(str_from(text), &list, &err));
    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        done("{\"cmd\":\"mail.done\",\"args\":{\"id\":%d}}", (int)number_of(value, "id"));
        if (!js_str_eq(js_get(value, STR("template")), str_from(template)))
            continue;
        found = true;
        str_copy(js_path(value, "vars", "code", NULL).raw, code, sizeof(code));
    }
    free(text);
    return found ? code : NULL;
}

static const char *
code_for(const char *purpose, const char *email, const char *template)
{
    const char *code;

    w.wall_us += 2 * MINUTE;
    done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"%s\",\"email\":\"%s\"}}", purpose, email);
    code = mailed(template);
    assert_non_null(code);
    assert_int_equal(strlen(code), 6);
    return code;
}

/* With a tenant of that name: the person's id. */
static uint32_t
registered(const char *email, const char *tenant)
{
    const char *code = code_for("register", email, "verify");

    return (uint32_t)number_of(
        done("{\"cmd\":\"person.register\",\"args\":{\"email\":\"%s\",\"code\":\"%s\",\"password\":\"" HASH
             "\",\"tenant_name\":\"%s\",\"name\":\"Ada\",\"phone\":\"+49 1\",\"agreed\":true}}",
             email, code, tenant),
        "person");
}

static const char *
opened(uint32_t person)
{
    static char token[TOKEN_LEN + 1];

    copy(done("{\"cmd\":\"session.open\",\"args\":{\"person\":%u,\"ip\":\"192.0.2.1\",\"agent\":\"x\"}}", person),
         "token", token, sizeof(token));
    return token;
}

static uint32_t
role_count(uint32_t tenant, const char *role)
{
    struct js_value members, key, value;
    struct js_iter it;
    uint32_t count = 0;

    members = js_get(done("{\"cmd\":\"member.list\",\"args\":{\"tenant\":%u}}", tenant), STR("members"));
    for (js_iter_init(&it, members); js_next(&it, &key, &value);)
        count += js_str_eq(js_get(value, STR("role")), str_from(role));
    return count;
}

/* ---- registration ---- */

static void
registers(void **state)
{
    struct js_value result;
    const char *code;

    (void)state;
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@b.c\",\"tenant_name\":\"acme\","
                                "\"agreed\":false}}"),
                        "agreement_required");
    assert_true(str_contains(buf_str(&w.answer), STR("\"why\":\"Please read and agree to the User Service Agreement "
                                                     "and Privacy Policy first.\"")));
    done("{\"cmd\":\"terms.put\",\"args\":{\"kind\":\"terms\",\"en\":\"Be kind.\"}}");
    rules.manage.trial_ucr = 5 * UCR_PER_CREDIT / 2;
    rules.manage.trial_days = 14;
    w.ledger->conf = &rules;
    code = code_for("register", "Ada@Example.org", "verify");
    result = done("{\"cmd\":\"person.register\",\"args\":{\"email\":\"ada@example.ORG\",\"code\":\"%s\",\"password\":"
                  "\"" HASH "\",\"tenant_name\":\"acme\",\"name\":\"Ada\",\"phone\":\"+49 1\",\"agreed\":true}}",
                  code);
    assert_int_equal(number_of(result, "person"), 1);
    assert_int_equal(number_of(result, "tenant"), 1);
    assert_int_equal(number_of(result, "member"), 1);
    assert_str(js_get(result, STR("email")).raw, "ada@example.org");
    assert_int_equal(money_of(done("{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}"), "available"),
                     5 * UCR_PER_CREDIT / 2);
    world_audit(&w);
    w.wall_us += 14 * DAY;
    assert_int_equal(number_of(done("{\"cmd\":\"grant.expire\",\"args\":{}}"), "expired"), 1);
    assert_int_equal(money_of(done("{\"cmd\":\"credit.show\",\"args\":{\"tenant\":1}}"), "available"), 0);
    world_audit(&w);
    w.wall_us -= 14 * DAY;
    result = done("{\"cmd\":\"person.show\",\"args\":{\"id\":1}}");
    assert_str(js_get(result, STR("role")).raw, "owner");
    assert_int_equal(number_of(result, "terms"), 1);
    assert_int_equal(number_of(result, "privacy"), 0);
    assert_false(str_contains(buf_str(&w.answer), STR("argon2id")));
    /* The code was used up, and whoever has the address has it. */
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"ada@example.org\",\"code\":\"%s\","
                                "\"password\":\"" HASH "\",\"agreed\":true,\"tenant_name\":\"b\"}}",
                                code),
                        "code_wrong");
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"ada@example.org\",\"agreed\":true,\"verified\":true,"
                                "\"tenant_name\":\"b\"}}"),
                        "email_taken");
    /* Who registers again is told by mail, and by nothing else. */
    w.wall_us += 2 * MINUTE;
    done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"register\",\"email\":\"ada@example.org\"}}");
    assert_string_equal(mailed("registered"), "");
}

static void
who_may_register(void **state)
{
    static struct str domains[] = {{"b.c", 3}, {"example.org", 11}};

    (void)state;
    w.ledger->conf = &rules;
    rules.manage.domains = (struct conf_strs){.at = domains, .count = 2};
    assert_string_equal(refused("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"register\",\"email\":\"a@d.e\"}}"),
                        "domain_closed");
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@sub.b.c\",\"agreed\":true,\"verified\":true,"
                                "\"tenant_name\":\"t\"}}"),
                        "domain_closed");
    registered("a@B.C", "t");
    rules.manage.registration = CONF_CLOSED;
    assert_string_equal(refused("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"register\",\"email\":\"x@b.c\"}}"),
                        "registration_closed");
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"x@b.c\",\"agreed\":true,\"verified\":true,"
                                "\"tenant_name\":\"u\"}}"),
                        "registration_closed");
    /* Who was invited may come all the same. */
    done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"register\",\"email\":\"x@d.e\",\"invited\":true}}");
    assert_int_equal(strlen(mailed("verify")), 6);
}

/* As long as routes.conf says, and not longer than it says since its last use. */
static void
sessions_idle(void **state)
{
    char token[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    w.ledger->conf = &rules;
    str_copy(str_from(opened(1)), token, sizeof(token));
    w.wall_us += 64 * MINUTE; /* its last use is written down every five minutes only */
    done("{\"cmd\":\"session.touch\",\"args\":{\"token\":\"%s\"}}", token);
    w.wall_us += 64 * MINUTE;
    done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token);
    w.wall_us += MINUTE;
    assert_string_equal(refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token), "token_gone");
    rules.manage.session_idle_ms = rules.manage.session_ms;
    done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token);
    w.wall_us += DAY - 129 * MINUTE;
    assert_string_equal(refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token), "token_gone");
}

static void
waits_for_approval(void **state)
{
    struct js_value tenant;
    char token[TOKEN_LEN + 1];

    (void)state;
    rules.manage.registration = CONF_APPROVAL;
    w.ledger->conf = &rules;
    done("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@b.c\",\"agreed\":true,\"verified\":true,\"tenant_name\":\"t\","
         "\"issuer\":\"https://i\",\"subject\":\"s\"}}");
    str_copy(str_from(opened(1)), token, sizeof(token));
    tenant = js_get(done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token), STR("tenant"));
    assert_true(js_bool(js_get(tenant, STR("disabled")), false));
    assert_true(js_bool(js_get(tenant, STR("pending")), false));
    assert_int_equal(js_get(done("{\"cmd\":\"person.find\",\"args\":{\"issuer\":\"https://i\",\"subject\":\"s\"}}"),
                            STR("person"))
                         .type,
                     JS_OBJECT);
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a2@b.c\",\"agreed\":true,\"verified\":true,"
                                "\"tenant_name\":\"u\",\"issuer\":\"https://i\",\"subject\":\"s\"}}"),
                        "taken");
}

/* A name that is taken leaves the code good for another. */
static void
name_taken(void **state)
{
    const char *code;

    (void)state;
    done("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\"}}");
    code = code_for("register", "a@b.c", "verify");
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@b.c\",\"code\":\"%s\","
                                "\"password\":\"" HASH "\",\"agreed\":true,\"tenant_name\":\"acme\"}}",
                                code),
                        "taken");
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@b.c\",\"code\":\"%s\","
                                "\"password\":\"secret\",\"agreed\":true,\"tenant_name\":\"b\"}}",
                                code),
                        "invalid");
    done("{\"cmd\":\"person.register\",\"args\":{\"email\":\"a@b.c\",\"code\":\"%s\",\"password\":\"" HASH
         "\",\"agreed\":true,\"tenant_name\":\"b\"}}",
         code);
}

/* ---- codes ---- */

#define RESET(code) \
    "{\"cmd\":\"person.reset\",\"args\":{\"email\":\"a@b.c\",\"code\":\"%s\",\"password\":\"" HASH "\"}}", code

static void
codes_have_five_tries(void **state)
{
    char right[8], wrong[8] = "000000";

    (void)state;
    registered("a@b.c", "t");
    str_copy(str_from(code_for("reset", "a@b.c", "reset")), right, sizeof(right));
    if (strcmp(right, wrong) == 0)
        wrong[0] = '1';
    for (int i = 0; i < 4; i++)
        assert_string_equal(refused(RESET(wrong)), "code_wrong");
    world_restart(&w); /* tries are counted in the store */
    done(RESET(right));
    assert_string_equal(refused(RESET(right)), "code_wrong");
    str_copy(str_from(code_for("reset", "a@b.c", "reset")), right, sizeof(right));
    wrong[5] = right[5] == '0' ? '1' : '0';
    for (int i = 0; i < 5; i++)
        assert_string_equal(refused(RESET(wrong)), "code_wrong");
    assert_string_equal(refused(RESET(right)), "code_wrong");
}

static void
codes_end(void **state)
{
    char code[8];

    (void)state;
    registered("a@b.c", "t");
    str_copy(str_from(code_for("reset", "a@b.c", "reset")), code, sizeof(code));
    w.wall_us += 10 * MINUTE;
    assert_string_equal(refused(RESET(code)), "code_wrong");
    str_copy(str_from(code_for("reset", "a@b.c", "reset")), code, sizeof(code));
    w.wall_us += 10 * MINUTE - SECOND;
    done(RESET(code));
    /* For one purpose and one address. */
    str_copy(str_from(code_for("register", "c@d.e", "verify")), code, sizeof(code));
    assert_string_equal(refused(RESET(code)), "code_wrong");
    assert_string_equal(refused("{\"cmd\":\"person.email\",\"args\":{\"id\":1,\"email\":\"c@d.e\",\"code\":\"%s\"}}", code),
                        "code_wrong");
}

/* Whoever asks for an address sees the same, whether somebody has it or not. */
static void
codes_tell_nothing(void **state)
{
    static const char *const asked[] = {"a@b.c", "nobody@b.c"};

    (void)state;
    registered("a@b.c", "t");
    w.wall_us += DAY;
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct js_value result =
            done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"reset\",\"email\":\"%s\"}}", asked[i]);

        assert_str(result.raw, "{\"sent\":true,\"minutes\":10}");
        assert_string_equal(refused("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"reset\",\"email\":\"%s\"}}",
                                    asked[i]),
                            "code_too_soon");
        assert_true((mailed("reset") != NULL) == (i == 0));
        assert_string_equal(refused("{\"cmd\":\"person.reset\",\"args\":{\"email\":\"%s\",\"code\":\"\",\"password\":\"" HASH
                                    "\"}}",
                                    asked[i]),
                            "required");
        for (int n = 0; n < 6; n++)
            assert_string_equal(refused("{\"cmd\":\"person.reset\",\"args\":{\"email\":\"%s\",\"code\":\"x\",\"password\":"
                                        "\"" HASH "\"}}",
                                        asked[i]),
                                "code_wrong");
        for (int n = 1; n < 10; n++) {
            w.wall_us += 2 * MINUTE;
            done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"reset\",\"email\":\"%s\"}}", asked[i]);
        }
        w.wall_us += 2 * MINUTE;
        assert_string_equal(refused("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"reset\",\"email\":\"%s\"}}",
                                    asked[i]),
                            "code_too_soon");
        (void)mailed("reset");
    }
    w.wall_us += DAY;
    done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"reset\",\"email\":\"a@b.c\"}}");
}

/* ---- sessions ---- */

static void
sessions(void **state)
{
    char first[TOKEN_LEN + 1], second[TOKEN_LEN + 1], id[SESSION_ID_LEN + 1];
    struct js_value found;
    uint32_t person;

    (void)state;
    person = registered("a@b.c", "t");
    str_copy(str_from(opened(person)), first, sizeof(first));
    str_copy(str_from(opened(person)), second, sizeof(second));
    found = done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", first);
    assert_str(js_path(found, "person", "email", NULL).raw, "a@b.c");
    assert_str(js_path(found, "member", "role", NULL).raw, "owner");
    assert_str(js_path(found, "tenant", "name", NULL).raw, "t");
    assert_false(js_bool(js_get(found, STR("stale")), true));
    copy(found, "id", id, sizeof(id));
    world_restart(&w);
    w.wall_us += 6 * MINUTE;
    found = done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", first);
    assert_true(js_bool(js_get(found, STR("stale")), false));
    done("{\"cmd\":\"session.touch\",\"args\":{\"token\":\"%s\",\"ip\":\"192.0.2.9\"}}", first);
    found = done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", first);
    assert_false(js_bool(js_get(found, STR("stale")), true));
    assert_str(js_get(found, STR("ip")).raw, "192.0.2.9");
    done("{\"cmd\":\"session.close\",\"args\":{\"person\":%u,\"id\":\"%s\"}}", person, id);
    assert_string_equal(refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", first), "token_gone");
    done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", second);
    w.wall_us += 14 * DAY;
    assert_string_equal(refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", second), "token_gone");
    assert_string_equal(refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"x\"}}"), "token_gone");
}

/* A new password ends all but the session that set it. */
static void
password_ends_sessions(void **state)
{
    char own[TOKEN_LEN + 1], other[TOKEN_LEN + 1];
    struct js_value result;

    (void)state;
    registered("a@b.c", "t");
    str_copy(str_from(opened(1)), own, sizeof(own));
    str_copy(str_from(opened(1)), other, sizeof(other));
    result = done("{\"cmd\":\"person.password\",\"args\":{\"id\":1,\"password\":\"" HASH "x\",\"token\":\"%s\"}}", own);
    assert_int_equal(number_of(result, "sessions_closed"), 1);
    done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", own);
    refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", other);
    /* Of two who replace the same one, the second does not. */
    done("{\"cmd\":\"person.password\",\"args\":{\"id\":1,\"password\":\"" HASH "y\",\"old_hash\":\"" HASH
         "x\",\"rehash\":true}}");
    assert_string_equal(refused("{\"cmd\":\"person.password\",\"args\":{\"id\":1,\"password\":\"" HASH
                                "z\",\"old_hash\":\"" HASH "x\",\"rehash\":true}}"),
                        "conflict");
    done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", own);
    done("{\"cmd\":\"person.set\",\"args\":{\"id\":1,\"disabled\":true}}");
    refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", own);
    assert_string_equal(refused("{\"cmd\":\"session.open\",\"args\":{\"person\":1}}"), "disabled");
}

static uint64_t
entries(enum db_table table)
{
    struct db_txn txn;
    uint64_t n;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    n = db_size(&txn, table).entries;
    db_end(&txn);
    return n;
}

/* However many somebody opens: 64 are kept, and what is over is cleared away by those that come. */
static void
sessions_are_bounded(void **state)
{
    char first[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    str_copy(str_from(opened(1)), first, sizeof(first));
    for (int i = 0; i < 70; i++)
        opened(1);
    assert_int_equal(entries(DB_SESSION), 3 * SESSIONS_MAX);
    refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", first);
    w.wall_us += 15 * DAY;
    for (int i = 0; i < 4; i++)
        opened(1);
    assert_int_equal(entries(DB_SESSION), 3 * 4);
    for (int i = 0; i < 4; i++) /* codes, too */
        registered((const char *[]){"b@b.c", "c@b.c", "d@b.c", "e@b.c"}[i], (const char *[]){"b", "c", "d", "e"}[i]);
    w.wall_us += 2 * DAY;
    code_for("reset", "a@b.c", "reset");
    assert_int_equal(entries(DB_BRIEF), 2 * 2);
}

/* ---- signing in ---- */

static void
locks(void **state)
{
    static const char *const asked[] = {"a@b.c", "nobody@b.c"};

    (void)state;
    registered("a@b.c", "t");
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        for (int n = 0; n < 5; n++) {
            struct js_value result = done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"%s\"}}", asked[i]);

            assert_int_equal(js_get(result, STR("person")).type, i == 0 ? JS_OBJECT : JS_NULL);
        }
        assert_string_equal(refused("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"%s\"}}", asked[i]), "locked");
        w.wall_us += MINUTE - SECOND;
        assert_string_equal(refused("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"%s\"}}", asked[i]), "locked");
        w.wall_us += SECOND;
        done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"%s\"}}", asked[i]);
        w.wall_us += 2 * MINUTE - SECOND;
        assert_string_equal(refused("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"%s\"}}", asked[i]), "locked");
        w.wall_us += SECOND;
    }
    done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"a@b.c\"}}");
    opened(1); /* who gets in begins anew */
    for (int n = 0; n < 5; n++)
        done("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"a@b.c\"}}");
    assert_string_equal(refused("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"A@b.c\"}}"), "locked");
}

static void
tickets(void **state)
{
    char token[TOKEN_LEN + 1];

    (void)state;
    copy(done("{\"cmd\":\"ticket.make\",\"args\":{\"purpose\":\"p\",\"person\":7,\"data\":\"{\\\"a\\\":1}\"}}"), "token",
         token, sizeof(token));
    assert_string_equal(refused("{\"cmd\":\"ticket.find\",\"args\":{\"purpose\":\"q\",\"token\":\"%s\"}}", token),
                        "token_gone");
    assert_int_equal(number_of(done("{\"cmd\":\"ticket.find\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token),
                               "person"),
                     7);
    for (int i = 0; i < 5; i++)
        done("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token);
    assert_string_equal(refused("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token),
                        "token_gone");
    copy(done("{\"cmd\":\"ticket.make\",\"args\":{\"purpose\":\"p\"}}"), "token", token, sizeof(token));
    done("{\"cmd\":\"ticket.use\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token);
    assert_string_equal(refused("{\"cmd\":\"ticket.use\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token),
                        "token_gone");
    copy(done("{\"cmd\":\"ticket.make\",\"args\":{\"purpose\":\"p\"}}"), "token", token, sizeof(token));
    w.wall_us += 15 * MINUTE;
    assert_string_equal(refused("{\"cmd\":\"ticket.use\",\"args\":{\"purpose\":\"p\",\"token\":\"%s\"}}", token),
                        "token_gone");
}

/* Codes of a second factor are tried no oftener than passwords, however many tickets somebody gets. */
static void
tickets_of_somebody_count(void **state)
{
    char token[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    for (int i = 0; i < 5; i++) {
        copy(done("{\"cmd\":\"ticket.make\",\"args\":{\"purpose\":\"second-factor\",\"person\":1}}"), "token", token, sizeof(token));
        done("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"second-factor\",\"token\":\"%s\"}}", token);
    }
    assert_string_equal(refused("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"second-factor\",\"token\":\"%s\"}}", token),
                        "locked");
    assert_string_equal(refused("{\"cmd\":\"login.begin\",\"args\":{\"email\":\"a@b.c\"}}"), "locked");
    w.wall_us += MINUTE; /* what was refused used nothing of the ticket */
    done("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"second-factor\",\"token\":\"%s\"}}", token);
    assert_string_equal(refused("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"second-factor\",\"token\":\"%s\"}}", token),
                        "locked");
    opened(1); /* who gets in begins anew */
    done("{\"cmd\":\"ticket.try\",\"args\":{\"purpose\":\"second-factor\",\"token\":\"%s\"}}", token);
}

/* ---- second factors ---- */

static void
second_factor(void **state)
{
    char code[16];
    struct js_value result, key, value;
    struct js_iter it;
    struct db_txn txn;
    struct person p;

    (void)state;
    registered("a@b.c", "t");
    done("{\"cmd\":\"totp.set\",\"args\":{\"id\":1,\"secret\":\"GEZDGNBVGY3TQOJQ\"}}");
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(person_get(&txn, 1, &p), 0);
    db_end(&txn);
    assert_null(strstr(p.totp, "GEZDGN"));
    result = done("{\"cmd\":\"person.secrets\",\"args\":{\"id\":1}}");
    assert_str(js_get(result, STR("totp")).raw, "GEZDGNBVGY3TQOJQ");
    assert_false(js_bool(js_get(result, STR("totp_on")), true));
    result = done("{\"cmd\":\"totp.confirm\",\"args\":{\"id\":1,\"step\":100}}");
    assert_int_equal(number_of(result, "recovery_left"), 10);
    js_iter_init(&it, js_get(result, STR("codes")));
    assert_true(js_next(&it, &key, &value));
    str_copy(value.raw, code, sizeof(code));
    assert_int_equal(strlen(code), 10);
    assert_string_equal(refused("{\"cmd\":\"totp.use\",\"args\":{\"id\":1,\"step\":100}}"), "step_used");
    assert_string_equal(refused("{\"cmd\":\"totp.use\",\"args\":{\"id\":1,\"step\":99}}"), "step_used");
    done("{\"cmd\":\"totp.use\",\"args\":{\"id\":1,\"step\":101}}");
    assert_string_equal(refused("{\"cmd\":\"totp.set\",\"args\":{\"id\":1,\"secret\":\"X\"}}"), "conflict");
    assert_int_equal(number_of(done("{\"cmd\":\"recovery.use\",\"args\":{\"id\":1,\"code\":\"%s\"}}", code),
                               "recovery_left"),
                     9);
    assert_string_equal(refused("{\"cmd\":\"recovery.use\",\"args\":{\"id\":1,\"code\":\"%s\"}}", code), "code_wrong");
    done("{\"cmd\":\"recovery.make\",\"args\":{\"id\":1}}");
    assert_string_equal(refused("{\"cmd\":\"recovery.use\",\"args\":{\"id\":1,\"code\":\"%s\"}}", code), "code_wrong");
    done("{\"cmd\":\"totp.off\",\"args\":{\"id\":1}}");
    assert_string_equal(refused("{\"cmd\":\"totp.use\",\"args\":{\"id\":1,\"step\":500}}"), "conflict");
    assert_string_equal(refused("{\"cmd\":\"recovery.make\",\"args\":{\"id\":1}}"), "conflict");
}

/* ---- invitations ---- */

static void
invite(char token[TOKEN_LEN + 1], const char *rest)
{
    copy(done("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"developer\"%s}}", rest), "token", token,
         TOKEN_LEN + 1);
}

static void
one_comes_in(void **state)
{
    char token[TOKEN_LEN + 1], code[2][8];
    struct js_value result;

    (void)state;
    registered("a@b.c", "t");
    invite(token, "");
    assert_str(js_get(done("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", token), STR("tenant_name")).raw, "t");
    str_copy(str_from(code_for("register", "x@b.c", "verify")), code[0], sizeof(code[0]));
    str_copy(str_from(code_for("register", "y@b.c", "verify")), code[1], sizeof(code[1]));
    result = done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"x@b.c\",\"code\":\"%s\",\"name\":\"X\","
                  "\"password\":\"" HASH "\"}}",
                  token, code[0]);
    assert_int_equal(number_of(result, "tenant"), 1);
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"y@b.c\",\"code\":\"%s\","
                                "\"password\":\"" HASH "\"}}",
                                token, code[1]),
                        "token_gone");
    assert_int_equal(role_count(1, "developer"), 1);
    assert_int_equal(number_of(done("{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}"), "members"), 2);
    assert_int_equal(js_get(done("{\"cmd\":\"person.find\",\"args\":{\"email\":\"y@b.c\"}}"), STR("person")).type, JS_NULL);
}

static void
invitations_end(void **state)
{
    char token[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    invite(token, ",\"days\":1");
    w.wall_us += DAY;
    assert_string_equal(refused("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", token), "token_gone");
    invite(token, "");
    done("{\"cmd\":\"invite.revoke\",\"args\":{\"tenant\":1,\"id\":2}}");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"x@b.c\",\"code\":\"1\"}}",
                                token),
                        "token_gone");
    done("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\"}}");
    assert_string_equal(refused("{\"cmd\":\"invite.revoke\",\"args\":{\"tenant\":2,\"id\":1}}"), "not_found");
    refused("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"king\"}}");
    refused("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"viewer\",\"uses\":1001}}");
    refused("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"viewer\",\"days\":91}}");
    refused("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"viewer\",\"uses\":2,\"email\":\"x@b.c\"}}");
    invite(token, ",\"uses\":2");
    for (int i = 0; i < 2; i++) {
        const char *email = i == 0 ? "x@b.c" : "y@b.c", *code = code_for("register", email, "verify");

        done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"%s\",\"code\":\"%s\"}}", token, email, code);
    }
    refused("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", token);
}

/* For one address: by its mail alone, which proves it; somebody who was added by hand keeps what they are. */
static void
invited_by_mail(void **state)
{
    struct js_value result;
    char token[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"x@b.c\",\"role\":\"billing\"}}");
    result = done("{\"cmd\":\"invite.add\",\"actor\":{\"kind\":\"person\",\"id\":1,\"name\":\"a@b.c\"},\"args\":{\"tenant\":1,"
                  "\"role\":\"viewer\",\"email\":\"X@b.c\",\"link_base\":\"https://h/join#\"}}");
    assert_int_equal(js_get(result, STR("token")).type, JS_NONE);
    assert_int_equal(js_get(result, STR("link")).type, JS_NONE);
    result = js_get(done("{\"cmd\":\"mail.next\",\"args\":{}}"), STR("mails"));
    assert_true(str_contains(result.raw, STR("\"invitation\"")));
    size_t at = 0;

    while (!str_starts_with((struct str){result.raw.ptr + at, result.raw.len - at}, STR("https://h/join#")))
        at++;
    str_copy((struct str){result.raw.ptr + at + 15, TOKEN_LEN}, token, sizeof(token));
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"y@b.c\"}}", token), "invalid");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"password\":\"" HASH "\"}}", token);
    assert_str(js_get(done("{\"cmd\":\"person.show\",\"args\":{\"id\":2}}"), STR("role")).raw, "billing");
    assert_int_equal(number_of(done("{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}"), "members"), 2);
    /* Who is in a tenant comes into no other. */
    registered("o@b.c", "other");
    copy(done("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":2,\"role\":\"viewer\"}}"), "token", token, sizeof(token));
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"person\":2}}", token), "has_tenant");
    done("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"email\":\"x@b.c\"}}");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"person\":2}}", token);
    assert_int_equal(number_of(done("{\"cmd\":\"person.show\",\"args\":{\"id\":2}}"), "tenant"), 2);
}

/* Whom a provider vouches for: by the invitation's ID, whose token was seen before, and without a code. */
static void
invited_by_provider(void **state)
{
#define VOUCHED ",\"verified\":true,\"agreed\":true,\"issuer\":\"https://i\",\"subject\":\"s1\""
    struct js_value result;
    char token[TOKEN_LEN + 1];

    (void)state;
    registered("a@b.c", "t");
    invite(token, ",\"uses\":3"); /* 1 */
    result = done("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"email\":\"x@b.c\"" VOUCHED "}}");
    assert_int_equal(number_of(result, "person"), 2);
    assert_int_equal(number_of(result, "tenant"), 1);
    assert_int_equal(number_of(js_get(done("{\"cmd\":\"person.find\",\"args\":{\"issuer\":\"https://i\",\"subject\":\"s1\"}}"),
                                      STR("person")),
                               "id"),
                     2);
    assert_int_equal(role_count(1, "developer"), 1);
    /* Another's identity, an address that somebody has, no code and nobody who vouches: nobody is made, none is used. */
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"email\":\"y@b.c\"" VOUCHED "}}"), "taken");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"email\":\"x@b.c\",\"verified\":true,"
                                "\"agreed\":true}}"),
                        "email_taken");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"email\":\"y@b.c\",\"agreed\":true,"
                                "\"code\":\"000000\"}}"),
                        "code_wrong");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":2,\"email\":\"y@b.c\"" VOUCHED "}}"), "token_gone");
    assert_int_equal(js_get(done("{\"cmd\":\"person.find\",\"args\":{\"email\":\"y@b.c\"}}"), STR("person")).type, JS_NULL);
    assert_int_equal(number_of(done("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", token), "used"), 1);
    /* Who may not sign in joins nothing. */
    done("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"email\":\"x@b.c\"}}");
    done("{\"cmd\":\"person.set\",\"args\":{\"id\":2,\"disabled\":true}}");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"person\":2}}"), "disabled");
    done("{\"cmd\":\"person.set\",\"args\":{\"id\":2,\"disabled\":false}}");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"person\":2}}");
    done("{\"cmd\":\"invite.revoke\",\"args\":{\"tenant\":1,\"id\":1}}");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":1,\"email\":\"z@b.c\"" VOUCHED "}}"), "token_gone");
#undef VOUCHED
}

/* The IDs of a page, as text; its next in *next, 0: none. */
static const char *
invites_of(const char *args, uint32_t *next)
{
    static char text[128];
    struct js_value page = done("{\"cmd\":\"invite.list\",\"args\":{\"tenant\":1%s}}", args), key, value;
    struct js_iter it;
    uint64_t n = 0;

    text[0] = '\0';
    for (js_iter_init(&it, js_get(page, STR("invites"))); js_next(&it, &key, &value);)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u ", (unsigned)number_of(value, "id"));
    *next = str_to_count(js_get(page, STR("next")).raw, UINT32_MAX, &n) ? (uint32_t)n : 0;
    return text;
}

static void
invitations_by_the_page(void **state)
{
    char token[TOKEN_LEN + 1];
    uint32_t next;

    (void)state;
    registered("a@b.c", "t");
    for (int i = 0; i < 6; i++)
        invite(token, i == 2 ? ",\"days\":1" : ",\"days\":9");
    done("{\"cmd\":\"invite.revoke\",\"args\":{\"tenant\":1,\"id\":2}}");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"invite\":5,\"email\":\"x@b.c\",\"verified\":true,\"agreed\":true}}");
    w.wall_us += DAY;
    assert_string_equal(invites_of("", &next), "1 4 6 ");
    assert_int_equal(next, 0);
    assert_string_equal(invites_of(",\"limit\":2", &next), "1 4 ");
    assert_int_not_equal(next, 0);
    assert_string_equal(invites_of(",\"limit\":2,\"after\":\"4\"", &next), "6 ");
    assert_int_equal(next, 0);
    assert_string_equal(invites_of(",\"state\":\"open\"", &next), "1 4 6 ");
    assert_string_equal(invites_of(",\"state\":\"revoked\"", &next), "2 ");
    assert_string_equal(invites_of(",\"state\":\"expired\"", &next), "3 ");
    assert_string_equal(invites_of(",\"state\":\"used\"", &next), "5 ");
    assert_string_equal(invites_of(",\"state\":\"all\"", &next), "1 2 3 4 5 6 ");
    assert_string_equal(refused("{\"cmd\":\"invite.list\",\"args\":{\"tenant\":1,\"state\":\"gone\"}}"), "invalid");
    /* One member: not another tenant's, and of those who see only their own not another's. */
    registered("o@b.c", "other");
    assert_str(js_get(done("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":2}}"), STR("email")).raw, "x@b.c");
    assert_int_equal(number_of(done("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":2,\"only_member\":2}}"), "id"), 2);
    assert_string_equal(refused("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":2,\"only_member\":1}}"), "not_found");
    assert_string_equal(refused("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":3}}"), "not_found");
    assert_string_equal(refused("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":99}}"), "not_found");
}

/* A link is known to who made it: it is good for no longer than they are a member. */
static void
links_end_with_who_made_them(void **state)
{
    char token[TOKEN_LEN + 1], theirs[TOKEN_LEN + 1], by_key[TOKEN_LEN + 1];
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    invite(token, "");
    code = code_for("register", "b@b.c", "verify");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"b@b.c\",\"code\":\"%s\"}}", token, code);
    done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"only_member\":2,\"scopes\":[\"manage\"]}}");
    copy(done("{\"cmd\":\"invite.add\",\"actor\":{\"kind\":\"person\",\"id\":2},\"args\":{\"tenant\":1,\"role\":\"admin\"}}"), "token", theirs,
         sizeof(theirs));
    copy(done("{\"cmd\":\"invite.add\",\"actor\":{\"kind\":\"key\",\"id\":1},\"args\":{\"tenant\":1,\"role\":\"admin\"}}"), "token", by_key,
         sizeof(by_key));
    copy(done("{\"cmd\":\"invite.add\",\"actor\":{\"kind\":\"person\",\"id\":1},\"args\":{\"tenant\":1,\"role\":\"viewer\"}}"), "token", token,
         sizeof(token));
    done("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", theirs);
    done("{\"cmd\":\"invite.find\",\"args\":{\"token\":\"%s\"}}", by_key);
    done("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"id\":2}}");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"person\":2,\"token\":\"%s\"}}", theirs), "token_gone");
    assert_string_equal(refused("{\"cmd\":\"invite.accept\",\"args\":{\"person\":2,\"token\":\"%s\"}}", by_key), "token_gone");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"person\":2,\"token\":\"%s\"}}", token);
    assert_str(js_get(done("{\"cmd\":\"person.show\",\"args\":{\"id\":2}}"), STR("role")).raw, "viewer");
}

/* Whoever registers may not have us mail all the world. */
static void
mailed_invitations_are_bounded(void **state)
{
    const char *ask = "{\"cmd\":\"invite.add\",\"actor\":{\"kind\":\"person\",\"id\":%d,\"name\":\"a@b.c\"},\"args\":{\"tenant\":%d,"
                      "\"role\":\"viewer\",\"email\":\"g%d@b.c\",\"link_base\":\"https://h/join#\"}}";
    char text[512];

    (void)state;
    registered("a@b.c", "t");
    registered("o@b.c", "other");
    for (int i = 0; i <= 200; i++) {
        snprintf(text, sizeof(text), ask, 1, 1, i);
        if (i < 200)
            done("%s", text);
        else
            assert_string_equal(refused("%s", text), "too_many");
    }
    snprintf(text, sizeof(text), ask, 2, 2, 0);
    done("%s", text);
    done("{\"cmd\":\"invite.add\",\"args\":{\"tenant\":1,\"role\":\"viewer\"}}"); /* no mail */
    w.wall_us += DAY;
    snprintf(text, sizeof(text), ask, 1, 1, 201);
    done("%s", text);
}

/* ---- roles ---- */

static void
last_owner(void **state)
{
    char token[TOKEN_LEN + 1];
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    assert_string_equal(refused("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"id\":1}}"), "last_owner");
    assert_string_equal(refused("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"id\":1,\"role\":\"admin\"}}"), "last_owner");
    /* One whom nobody signs in as is none. */
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"z@b.c\",\"role\":\"owner\"}}");
    assert_string_equal(refused("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"email\":\"a@b.c\"}}"), "last_owner");
    invite(token, "");
    code = code_for("register", "b@b.c", "verify");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"b@b.c\",\"code\":\"%s\"}}", token, code);
    done("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"id\":3,\"role\":\"owner\"}}");
    assert_string_equal(refused("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"id\":3,\"role\":\"admin\",\"no_owner\":true}}"),
                        "owners_only");
    assert_string_equal(refused("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"id\":3,\"no_owner\":true}}"), "owners_only");
    /* Two who leave at once: one stays. */
    done("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"id\":1}}");
    assert_string_equal(refused("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"id\":3}}"), "last_owner");
    assert_string_equal(refused("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"id\":1,\"role\":\"viewer\"}}"), "not_found");
    done("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"email\":\"z@b.c\"}}");
    refused("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"id\":3,\"role\":\"king\"}}");
}

static void
keys_are_handed_over(void **state)
{
    char token[TOKEN_LEN + 1];
    struct js_value result;
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    registered("o@b.c", "other");
    invite(token, "");
    code = code_for("register", "b@b.c", "verify");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"b@b.c\",\"code\":\"%s\"}}", token, code);
    str_copy(str_from(opened(3)), token, sizeof(token));
    for (int i = 0; i < 3; i++)
        done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"member\":\"b@b.c\"}}");
    done("{\"cmd\":\"key.disable\",\"args\":{\"id\":3}}");
    refused("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"id\":3,\"hand_over_to\":3}}");
    assert_string_equal(refused("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"id\":3,\"hand_over_to\":2}}"), "not_found");
    assert_string_equal(refused("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":2,\"id\":3}}"), "not_found");
    result = done("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"id\":3,\"hand_over_to\":1}}");
    assert_int_equal(number_of(result, "keys_handed_over"), 3);
    assert_int_equal(number_of(result, "keys_disabled"), 0);
    for (int i = 1; i <= 3; i++) {
        result = done("{\"cmd\":\"key.show\",\"args\":{\"id\":%d}}", i);
        assert_str(js_get(result, STR("member")).raw, "a@b.c");
        assert_true(js_bool(js_get(result, STR("disabled")), false) == (i == 3));
    }
    /* Who was removed is signed out, and belongs to nobody. */
    refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token);
    assert_int_equal(js_get(done("{\"cmd\":\"person.show\",\"args\":{\"id\":3}}"), STR("tenant")).type, JS_NONE);
    assert_int_equal(number_of(done("{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}"), "members"), 1);
}

/* Who went knows the text of the keys still: what they may beside calls would be the heir's, who may be an admin. */
static void
keys_handed_over_serve_calls_alone(void **state)
{
    char token[TOKEN_LEN + 1], text[128];
    struct js_value result;
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    invite(token, "");
    code = code_for("register", "b@b.c", "verify");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"b@b.c\",\"code\":\"%s\"}}", token, code);
    done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"only_member\":2,\"scopes\":[\"inference\",\"manage\"]}}");
    copy(done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"only_member\":2,\"scopes\":[\"manage\",\"usage\"]}}"), "key", text, sizeof(text));
    done("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\"}}", text);
    result = done("{\"cmd\":\"member.leave\",\"args\":{\"tenant\":1,\"id\":2,\"hand_over_to\":1}}");
    assert_int_equal(number_of(result, "keys_handed_over"), 1);
    assert_int_equal(number_of(result, "keys_disabled"), 1);
    result = done("{\"cmd\":\"key.show\",\"args\":{\"id\":1}}");
    assert_str(js_get(result, STR("scopes")).raw, "[\"inference\"]");
    assert_int_equal(number_of(result, "member_id"), 1);
    assert_false(js_bool(js_get(result, STR("disabled")), true));
    /* One that was for nothing else stays whose it was, and of no use. */
    result = done("{\"cmd\":\"key.show\",\"args\":{\"id\":2}}");
    assert_int_equal(number_of(result, "member_id"), 2);
    assert_true(js_bool(js_get(result, STR("disabled")), false));
    refused("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\"}}", text);
    done("{\"cmd\":\"key.enable\",\"args\":{\"id\":2}}");
    assert_string_equal(refused("{\"cmd\":\"key.find\",\"args\":{\"key\":\"%s\"}}", text), "not_found");
}

/* Likewise one that is given to somebody else, or to nobody, unless it is said what it may now. */
static void
keys_given_away_serve_calls_alone(void **state)
{
    struct js_value result;

    (void)state;
    registered("a@b.c", "t");
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"b@b.c\"}}");
    for (int i = 0; i < 2; i++)
        done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"only_member\":2,\"scopes\":[\"inference\",\"manage\"]}}");
    done("{\"cmd\":\"key.add\",\"args\":{\"tenant\":1,\"only_member\":2,\"scopes\":[\"manage\"]}}");
    result = done("{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"member\":2,\"rpm\":5}}");
    assert_str(js_get(result, STR("scopes")).raw, "[\"inference\",\"manage\"]");
    result = done("{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"member\":1}}");
    assert_str(js_get(result, STR("scopes")).raw, "[\"inference\"]");
    result = done("{\"cmd\":\"key.set\",\"args\":{\"id\":2,\"no_member\":true}}");
    assert_str(js_get(result, STR("scopes")).raw, "[\"inference\"]");
    assert_string_equal(refused("{\"cmd\":\"key.set\",\"args\":{\"id\":3,\"no_member\":true}}"), "required");
    result = done("{\"cmd\":\"key.set\",\"args\":{\"id\":3,\"no_member\":true,\"scopes\":[\"manage\"]}}");
    assert_str(js_get(result, STR("scopes")).raw, "[\"manage\"]");
}

/* A member's address is one, however it is spelt: who was added with a budget comes in with it. */
static void
addresses_have_no_case(void **state)
{
    char token[TOKEN_LEN + 1];
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    done("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"Grace@B.c\",\"budget\":\"5\"}}");
    assert_string_equal(refused("{\"cmd\":\"member.add\",\"args\":{\"tenant\":1,\"email\":\"grace@b.C\"}}"), "taken");
    invite(token, "");
    code = code_for("register", "grace@b.c", "verify");
    done("{\"cmd\":\"invite.accept\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"GRACE@b.c\",\"code\":\"%s\"}}", token, code);
    assert_int_equal(number_of(done("{\"cmd\":\"person.show\",\"args\":{\"id\":2}}"), "member"), 2);
    assert_int_equal(number_of(done("{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":1}}"), "members"), 2);
    assert_int_equal(number_of(done("{\"cmd\":\"member.show\",\"args\":{\"tenant\":1,\"member\":\"Grace@B.c\"}}"), "id"), 2);
    done("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"email\":\"Grace@B.c\",\"role\":\"viewer\"}}");
    done("{\"cmd\":\"member.remove\",\"args\":{\"tenant\":1,\"email\":\"GRACE@B.C\"}}");
}

static void
email_moves(void **state)
{
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    registered("o@b.c", "other");
    refused("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"change-email\",\"email\":\"new@b.c\"}}");
    /* It is that person's who asked for it: who is in somebody's session has no use for one of their own. */
    code = code_for("change-email\",\"person\":\"2", "new@b.c", "change-email");
    assert_string_equal(refused("{\"cmd\":\"person.email\",\"args\":{\"id\":1,\"email\":\"new@b.c\",\"code\":\"%s\"}}", code),
                        "code_wrong");
    code = code_for("change-email\",\"person\":\"1", "new@b.c", "change-email");
    done("{\"cmd\":\"person.email\",\"args\":{\"id\":1,\"email\":\"new@b.c\",\"code\":\"%s\"}}", code);
    assert_int_equal(js_get(done("{\"cmd\":\"person.find\",\"args\":{\"email\":\"a@b.c\"}}"), STR("person")).type, JS_NULL);
    assert_str(js_get(done("{\"cmd\":\"person.show\",\"args\":{\"id\":1}}"), STR("email")).raw, "new@b.c");
    done("{\"cmd\":\"member.role\",\"args\":{\"tenant\":1,\"email\":\"new@b.c\",\"role\":\"owner\"}}");
    w.wall_us += 2 * MINUTE; /* to one that is somebody's: the mail says so, and there is no code */
    done("{\"cmd\":\"code.make\",\"args\":{\"purpose\":\"change-email\",\"person\":1,\"email\":\"o@b.c\"}}");
    assert_string_equal(mailed("registered"), "");
    registered("a@b.c", "third");
}

/* Who is not signed in yet is told apart by the address: one visitor's key is not in another's way. */
static void
visitors_have_keys_of_their_own(void **state)
{
    static const char *const emails[] = {"a@b.c", "o@b.c"};

    (void)state;
    for (unsigned again = 0; again < 2; again++)
        for (unsigned i = 0; i < 2; i++) {
            const char *code = again ? "000000" : code_for("register", emails[i], "verify");
            struct js_value result =
                done("{\"cmd\":\"person.register\",\"actor\":{\"kind\":\"system\",\"id\":0},\"idem\":\"1\",\"args\":{\"email\":\"%s\","
                     "\"code\":\"%s\",\"password\":\"" HASH "\",\"tenant_name\":\"t%u\",\"agreed\":true}}",
                     emails[i], code, i);

            assert_int_equal(number_of(result, "person"), i + 1);
            assert_true(js_bool(js_get(result, STR("repeated")), false) == (again != 0));
        }
    assert_string_equal(refused("{\"cmd\":\"person.register\",\"actor\":{\"kind\":\"system\"},\"idem\":\"1\",\"args\":{\"email\":"
                                "\"a@b.c\",\"code\":\"000000\",\"tenant_name\":\"x\",\"agreed\":true}}"),
                        "idempotency_mismatch");
}

/* A code for an address whose owner has moved since is one for nobody, and no more than that. */
static void
reset_of_who_moved(void **state)
{
    char reset[8];
    const char *code;

    (void)state;
    registered("a@b.c", "t");
    str_copy(str_from(code_for("reset", "a@b.c", "reset")), reset, sizeof(reset));
    code = code_for("change-email\",\"person\":\"1", "new@b.c", "change-email");
    done("{\"cmd\":\"person.email\",\"args\":{\"id\":1,\"email\":\"new@b.c\",\"code\":\"%s\"}}", code);
    assert_string_equal(refused("{\"cmd\":\"person.reset\",\"args\":{\"email\":\"a@b.c\",\"code\":\"%s\",\"password\":\"" HASH "\"}}", reset),
                        "code_wrong");
    done("{\"cmd\":\"session.open\",\"args\":{\"person\":1}}");
}

/* ---- administrators ---- */

static void
administrators(void **state)
{
    char token[TOKEN_LEN + 1];
    struct js_value result;

    (void)state;
    copy(done("{\"cmd\":\"admin.add\",\"args\":{\"email\":\"Root@b.c\",\"name\":\"R\"}}"), "token", token, sizeof(token));
    refused("{\"cmd\":\"person.setup\",\"args\":{\"token\":\"%s\",\"password\":\"plain\"}}", token);
    result = done("{\"cmd\":\"person.setup\",\"args\":{\"token\":\"%s\",\"password\":\"" HASH "\"}}", token);
    assert_int_equal(number_of(result, "person"), 1);
    assert_string_equal(refused("{\"cmd\":\"person.setup\",\"args\":{\"token\":\"%s\",\"password\":\"" HASH "\"}}", token),
                        "token_gone");
    registered("a@b.c", "t");
    done("{\"cmd\":\"admin.add\",\"args\":{\"email\":\"a@b.c\"}}");
    result = js_get(done("{\"cmd\":\"admin.list\"}"), STR("admins"));
    assert_true(str_contains(result.raw, STR("root@b.c")) && str_contains(result.raw, STR("a@b.c")));
    str_copy(str_from(opened(1)), token, sizeof(token));
    assert_true(js_bool(js_path(done("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token), "person", "platform",
                                NULL),
                        false));
    done("{\"cmd\":\"admin.remove\",\"args\":{\"email\":\"root@b.c\"}}");
    refused("{\"cmd\":\"session.find\",\"args\":{\"token\":\"%s\"}}", token);
    assert_string_equal(refused("{\"cmd\":\"admin.remove\",\"args\":{\"email\":\"root@b.c\"}}"), "not_found");
    done("{\"cmd\":\"person.remove\",\"args\":{\"id\":1}}");
    assert_string_equal(refused("{\"cmd\":\"person.show\",\"args\":{\"id\":1}}"), "not_found");
    assert_string_equal(refused("{\"cmd\":\"person.remove\",\"args\":{\"id\":2}}"), "has_tenant");
}

static void
listed_by_pages(void **state)
{
    struct js_value result;

    (void)state;
    for (int i = 0; i < 5; i++)
        done("{\"cmd\":\"person.register\",\"args\":{\"email\":\"p%d@b.c\",\"agreed\":true,\"verified\":true,\"tenant_name\":\"t-%d\"}}", i, i);
    result = done("{\"cmd\":\"person.list\",\"args\":{\"limit\":2}}");
    assert_int_equal(number_of(result, "next"), 2);
    result = done("{\"cmd\":\"person.list\",\"args\":{\"limit\":3,\"after\":2}}");
    assert_int_equal(js_get(result, STR("next")).type, JS_NULL);
    assert_true(str_contains(result.raw, STR("p4@b.c")) && !str_contains(result.raw, STR("p1@b.c")));
    result = done("{\"cmd\":\"person.list\",\"args\":{\"q\":\"p3@\"}}");
    assert_true(str_contains(result.raw, STR("p3@b.c")) && !str_contains(result.raw, STR("p4@b.c")));
}

/* ---- deaths ---- */

/* Killed at every step of it in turn, an invitation is used and its person there, or neither. */
static void
killed_between(void **state)
{
    char token[TOKEN_LEN + 1], request[512];
    const char *code;
    bool through = false;

    (void)state;
    registered("a@b.c", "t");
    invite(token, "");
    code = code_for("register", "x@b.c", "verify");
    snprintf(request, sizeof(request),
             "{\"cmd\":\"invite.accept\",\"idem\":\"k\",\"args\":{\"agreed\":true,\"token\":\"%s\",\"email\":\"x@b.c\",\"code\":\"%s\"}}", token, code);
    for (long step = 0; !through; step++) {
        struct js_value result;
        bool person, used;

        assert_true(step < 500);
        w.steps_left = step;
        through = world_ask(&w, request, &result) == 0;
        w.steps_left = -1;
        world_restart(&w);
        person = js_get(done("{\"cmd\":\"person.find\",\"args\":{\"email\":\"x@b.c\"}}"), STR("person")).type == JS_OBJECT;
        used = js_bool(js_get(js_get(done("{\"cmd\":\"invite.list\",\"args\":{\"tenant\":1,\"state\":\"all\"}}"), STR("invites")), STR("x")), false) ||
               str_contains(buf_str(&w.answer), STR("\"used\":1"));
        assert_true(person == used);
        assert_true(person == (role_count(1, "developer") == 1));
        assert_true(!through || person);
    }
    /* Whoever asks again with the same key learns that it was done, once. */
    assert_true(js_bool(js_get(done("%s", request), STR("repeated")), false) ||
                str_contains(buf_str(&w.answer), STR("\"repeated\":true")));
    assert_int_equal(role_count(1, "developer"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers),      TEST(waits_for_approval), TEST(who_may_register), TEST(sessions_idle), TEST(name_taken),      TEST(codes_have_five_tries),
        TEST(codes_end),      TEST(codes_tell_nothing), TEST(sessions),        TEST(password_ends_sessions),
        TEST(sessions_are_bounded), TEST(locks),        TEST(tickets),         TEST(second_factor),
        TEST(one_comes_in),   TEST(invitations_end),    TEST(invited_by_mail), TEST(invited_by_provider), TEST(invitations_by_the_page), TEST(last_owner),
        TEST(keys_are_handed_over), TEST(keys_handed_over_serve_calls_alone), TEST(keys_given_away_serve_calls_alone),
        TEST(addresses_have_no_case), TEST(tickets_of_somebody_count), TEST(links_end_with_who_made_them), TEST(mailed_invitations_are_bounded), TEST(email_moves), TEST(reset_of_who_moved), TEST(visitors_have_keys_of_their_own),  TEST(administrators),  TEST(listed_by_pages),
        TEST(killed_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
