#include "manage/people.h"

#include "base/log.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/turnstile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_MAX 200

/* ---- passwords ---- */

static void
work_free(void *arg)
{
    explicit_bzero(arg, sizeof(struct password_work));
    free(arg);
}

static void
work_run(void *arg)
{
    struct password_work *work = arg;
    struct str password = {work->password, work->password_len};
    bool again = !work->compare;

    if (work->compare)
        work->matches = password_matches(password, str_from(work->wanted), &password_cost_now, &again);
    if (again && password_hash(password, &password_cost_now, work->made) < 0)
        work->made[0] = '\0';
}

static void
work_done(struct op_call *call, void *arg)
{
    struct password_work *work = arg;

    if (!work->compare && work->made[0] == '\0')
        op_refuse(call, 503, "busy", NULL);
    else
        work->then(call, work);
    work_free(work);
}

static void
work_on(struct op_call *call, struct str password, const char *wanted, password_then_fn then)
{
    struct password_work *work = calloc(1, sizeof(*work));

    if (work == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    work->then = then;
    /* What is longer was never set: it is compared, and does not match. */
    work->password_len = str_copy(password, work->password, sizeof(work->password));
    work->compare = wanted != NULL;
    if (wanted != NULL)
        str_copy(str_from(wanted), work->wanted, sizeof(work->wanted));
    op_work(call, work_run, work_done, work_free, work);
}

void
people_hash(struct op_call *call, struct str password, password_then_fn then)
{
    work_on(call, password, NULL, then);
}

void
people_match(struct op_call *call, struct str password, struct str hash, password_then_fn then)
{
    char wanted[PASSWORD_HASH_LEN_MAX] = "";

    if (password.len <= PASSWORD_LEN_MAX)
        str_copy(hash, wanted, sizeof(wanted));
    work_on(call, password, wanted, then);
}

bool
people_password_ok(struct op_call *call, const char *field, struct str email, struct str other)
{
    enum password_fault fault = password_check(op_str(call, field), email, other);

    if (fault == PASSWORD_OK)
        return true;
    op_refuse_field(call, 422, field, password_fault_code[fault], password_fault_text[fault]);
    return false;
}

/* ---- is it a person? ---- */

struct human_work {
    const struct conf_turnstile *conf;
    void (*then)(struct op_call *call);
    char token[TURNSTILE_TOKEN_MAX + 1], ip[64], why[160];
    enum turnstile_result result;
};

static void
human_run(void *arg)
{
    struct human_work *work = arg;

    work->result = turnstile_verify(work->conf, str_from(work->token), str_from(work->ip), work->why,
                                    sizeof(work->why));
}

static void
human_done(struct op_call *call, void *arg)
{
    struct human_work *work = arg;
    void (*then)(struct op_call *call) = work->then;
    enum turnstile_result result = work->result;

    if (result == TURNSTILE_AWAY)
        log_error("turnstile.away", "why=%s", work->why);
    free(work);
    if (result == TURNSTILE_PASSED)
        then(call);
    else if (result == TURNSTILE_FAILED)
        op_refuse_field(call, 422, "turnstile", "human_check_failed", NULL);
    else
        op_refuse(call, 503, "human_check_away", NULL);
}

void
people_human(struct op_call *call, void (*then)(struct op_call *call))
{
    const struct conf_turnstile *conf = &people_conf(call)->turnstile;
    struct str token = op_str(call, "turnstile");
    struct human_work *work;

    if (!conf->on) {
        then(call);
        return;
    }
    if (token.len == 0 || token.len > TURNSTILE_TOKEN_MAX) {
        op_refuse_field(call, 422, "turnstile", "human_check_failed", NULL);
        return;
    }
    work = calloc(1, sizeof(*work));
    if (work == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    work->conf = conf;
    work->then = then;
    str_copy(token, work->token, sizeof(work->token));
    str_copy(call->request->peer_ip, work->ip, sizeof(work->ip));
    op_work(call, human_run, human_done, free, work);
}

/* ---- signing in ---- */

void
people_refused(struct op_call *call, const struct ledger_answer *answer)
{
    static const char *const often[] = {"locked", "code_too_soon"};

    if (answer->said == LEDGER_REFUSED) {
        for (size_t i = 0; i < COUNT_OF(often); i++) {
            if (!str_eq(answer->code, str_from(often[i])))
                continue;
            op_refuse(call, 429, often[i], NULL);
            return;
        }
    }
    op_refused(call, answer);
}

struct failed {
    unsigned status;
    const char *field, *code;
    void (*then)(struct op_call *call, const char *code); /* NULL: it is refused */
};

static void
failure_told(struct op_call *call, const struct ledger_answer *answer)
{
    const struct failed *failed = call->state;

    (void)answer; /* whatever it was: who failed does not get in */
    if (failed->then != NULL)
        failed->then(call, failed->code);
    else if (failed->field != NULL)
        op_refuse_field(call, failed->status, failed->field, failed->code, NULL);
    else
        op_refuse(call, failed->status, failed->code, NULL);
}

static void
tell_failure(struct op_call *call, const char *how, uint64_t person_id, struct str email, struct failed say)
{
    struct failed *failed = arena_alloc(&call->request->arena, sizeof(*failed));
    struct jw jw;

    if (failed == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    *failed = say;
    call->state = failed;
    op_ask_begin_bare(call, &jw, "login.failed");
    jw_key_cstr(&jw, "how", how);
    if (person_id != 0)
        jw_key_u64(&jw, "person", person_id);
    else if (email.len > 0)
        jw_key_str(&jw, "email", email);
    op_ask(call, &jw, OP_ASK_ONCE, failure_told);
}

void
people_failed(struct op_call *call, const char *how, uint64_t person_id, struct str email, unsigned status,
              const char *field, const char *code)
{
    tell_failure(call, how, person_id, email, (struct failed){status, field, code, NULL});
}

void
people_failed_then(struct op_call *call, const char *how, uint64_t person_id, const char *code,
                   void (*then)(struct op_call *call, const char *code))
{
    tell_failure(call, how, person_id, STR_NONE, (struct failed){0, NULL, code, then});
}

static void
signed_in(struct op_call *call, const struct ledger_answer *answer)
{
    uint64_t seconds = 0;
    struct buf body;
    struct jw jw;
    struct str token;

    if (answer->said != LEDGER_DONE) {
        people_refused(call, answer);
        return;
    }
    token = js_get(answer->result, STR("token")).raw;
    if (!js_count(js_get(answer->result, STR("seconds")), UINT32_MAX, &seconds))
        seconds = 0;
    op_set_session(call, token, seconds);
    buf_init(&body, 4096);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_bool(&jw, "signed_in", true);
    jw_key_bool(&jw, "second_factor", false);
    jw_key_js(&jw, "csrf", js_get(answer->result, STR("csrf")));
    jw_key_js(&jw, "expires", js_get(answer->result, STR("expires")));
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    explicit_bzero(body.ptr, body.cap);
    buf_free(&body);
}

void
people_sign_in(struct op_call *call, uint64_t person_id)
{
    struct str agent = call->request->user_agent;
    struct jw jw;
    char safe[AGENT_MAX + 1];
    size_t len = 0;

    /* As it is shown later: printable ASCII, no blank at either end. */
    for (size_t i = 0; i < agent.len && len < AGENT_MAX; i++)
        if (agent.ptr[i] > ' ' && agent.ptr[i] < 0x7f)
            safe[len++] = agent.ptr[i];
        else if (agent.ptr[i] == ' ' && len > 0 && safe[len - 1] != ' ')
            safe[len++] = ' ';
    while (len > 0 && safe[len - 1] == ' ')
        len--;
    op_ask_begin_bare(call, &jw, "session.open");
    jw_key_u64(&jw, "person", person_id);
    jw_key_str(&jw, "ip", call->request->peer_ip);
    jw_key_str(&jw, "agent", (struct str){safe, len});
    op_ask(call, &jw, OP_ASK_ONCE, signed_in);
}

static void
ticket_made(struct op_call *call, const struct ledger_answer *answer)
{
    struct buf body;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        op_refused(call, answer);
        return;
    }
    buf_init(&body, 4096);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_bool(&jw, "signed_in", false);
    jw_key_bool(&jw, "second_factor", true);
    jw_key_js(&jw, "ticket", js_get(answer->result, STR("token")));
    jw_key_js(&jw, "expires", js_get(answer->result, STR("expires")));
    jw_object_end(&jw);
    op_answer(call, buf_str(&body));
    buf_free(&body);
}

void
people_first_factor(struct op_call *call, uint64_t person_id, bool second_factor)
{
    struct jw jw;

    if (!second_factor) {
        people_sign_in(call, person_id);
        return;
    }
    op_ask_begin_bare(call, &jw, "ticket.make");
    jw_key_cstr(&jw, "purpose", "second-factor");
    jw_key_u64(&jw, "person", person_id);
    jw_key_u64(&jw, "minutes", 10);
    op_ask(call, &jw, OP_ASK_ONCE, ticket_made);
}

void
people_came_in(struct op_call *call, const struct ledger_answer *answer)
{
    uint64_t id = 0;

    if (answer->said != LEDGER_DONE)
        people_refused(call, answer);
    else if (js_bool(js_get(answer->result, STR("repeated")), false) ||
             !js_count(js_get(answer->result, STR("person")), UINT32_MAX, &id))
        op_answer(call, STR("{\"signed_in\":false,\"second_factor\":false}"));
    else
        people_sign_in(call, id);
}

/* ---- again, who is it? ---- */

/* call->state is the operation's: the proof is kept until then in its place, and gives it back. */
struct proving {
    void *state;
    void (*then)(struct op_call *call);
};

static void
proven(struct op_call *call)
{
    struct proving *proving = call->state;

    call->state = proving->state;
    proving->then(call);
}

static void
cleared(struct op_call *call, const struct ledger_answer *answer)
{
    if (answer->said == LEDGER_DONE)
        proven(call);
    else
        op_refused(call, answer);
}

static void
prove_done(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "login.end");
    jw_key_u64(&jw, "person", call->caller.person_id);
    op_ask(call, &jw, OP_ASK_AGAIN, cleared);
}

static void
prove_matched(struct op_call *call, const struct password_work *work)
{
    if (work->matches)
        prove_done(call);
    else
        people_failed(call, "password", call->caller.person_id, STR_NONE, 422, "password", "password_wrong");
}

static void
prove_found(struct op_call *call, const struct ledger_answer *answer)
{
    struct js_value person;
    struct str hash;
    uint64_t id = 0;

    if (answer->said != LEDGER_DONE) {
        people_refused(call, answer);
        return;
    }
    person = js_get(answer->result, STR("person"));
    /* Their address may be another by now, and this nobody's, who has no password either. */
    if (!js_count(js_get(person, STR("id")), UINT32_MAX, &id) || id != call->caller.person_id) {
        op_refuse(call, 401, "session_expired", NULL);
        return;
    }
    hash = js_get(person, STR("password")).raw;
    if (hash.len == 0)
        prove_done(call);
    else
        people_match(call, op_str(call, "password"), hash, prove_matched);
}

void
people_prove(struct op_call *call, void (*then)(struct op_call *call))
{
    struct proving *proving = arena_alloc(&call->request->arena, sizeof(*proving));
    struct jw jw;

    if (proving == NULL) {
        op_refuse(call, 503, "busy", NULL);
        return;
    }
    *proving = (struct proving){.state = call->state, .then = then};
    call->state = proving;
    op_ask_begin_bare(call, &jw, "login.begin");
    jw_key_cstr(&jw, "email", call->caller.name);
    op_ask(call, &jw, OP_ASK_ONCE, prove_found);
}

/* ---- where we are ---- */

const struct conf *
people_conf(const struct op_call *call)
{
    return call->request->manage->conf;
}

struct str
people_url(struct op_call *call)
{
    struct request *request = call->request;
    struct str url = people_conf(call)->manage.url;
    size_t cap;
    char *out;

    if (url.len > 0)
        return url;
    cap = request->host.len + sizeof("https://");
    out = arena_alloc(&request->arena, cap);
    if (out == NULL)
        return STR_NONE;
    return (struct str){out, (size_t)snprintf(out, cap, "%s://%.*s", request->tls ? "https" : "http",
                                              STR_ARGS(request->host))};
}

void
people_say_link(struct op_call *call, struct jw *jw, const char *path)
{
    if (people_conf(call)->manage.url.len > 0)
        jw_key_str(jw, "link", people_link(call, path));
}

struct str
people_link(struct op_call *call, const char *path)
{
    struct str url = people_url(call);
    char *out = arena_alloc(&call->request->arena, url.len + strlen(path) + 1);

    if (out == NULL)
        return STR_NONE;
    memcpy(out, url.ptr, url.len);
    memcpy(out + url.len, path, strlen(path) + 1);
    return (struct str){out, url.len + strlen(path)};
}
