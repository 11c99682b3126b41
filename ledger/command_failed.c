/*
 * Failures to sign in, as the audit log tells of them.
 *
 * Anybody may fail as often as they like, and what the log has it keeps. So failures are counted by account and
 * network (an address, of IPv6 the 64 bits that one customer has), an hour from the first on, and there is an
 * entry for the first, one whenever they lock the account, and at the hour's end one for what came after. All
 * that are about nobody's account are one count by network: what was typed as an address is kept nowhere, since
 * it may be a password. Beyond so many entries or counts an hour there is one count more, of the rest.
 *
 * Who is told of an account's is its tenant; of what concerns nobody's, the platform alone.
 */
#include "ledger/command_person.h"

#include "base/str.h"
#include "ledger/core.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOUR_US (60 * MINUTE_US)
#define WINDOWS_MAX 4096u
#define ENTRIES_MAX 240u /* an hour, beside those of the rest */

struct window {
    struct brief brief; /* expires_us: when it is over */
    bool rest;
    uint32_t person_id, tenant_id; /* 0: nobody's account */
    uint32_t count, told;          /* so many, and so many when the log was last told */
    int64_t since_us;
    char ip[64], how[16]; /* of the last */
};

/* ---- what is kept ---- */

static struct window
window_of(struct command *command, const char *name, struct str account, struct str network)
{
    struct window w = {.brief = {.table = DB_SIGNIN, .kind = BRIEF_WINDOW}};

    brief_name(command->ledger->key_hash_key, name, account, network, w.brief.hash);
    return w;
}

/* Also when it is over, until the log has been told. One that is not there begins now. */
static int
window_get(struct command *command, struct window *w)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct js_value doc;
    int rc = brief_get(&command->txn, &w->brief, 0, &doc);

    if (rc == -ENOENT) {
        w->since_us = now_us;
        w->brief.expires_us = now_us + HOUR_US;
        return 0;
    }
    if (rc < 0)
        return rc;
    w->rest = doc_bool(doc, STR("rest"));
    w->person_id = doc_u32(doc, STR("person"));
    w->tenant_id = doc_u32(doc, STR("tenant"));
    w->count = doc_u32(doc, STR("count"));
    w->told = doc_u32(doc, STR("told"));
    w->since_us = doc_i64(doc, STR("since_us"));
    doc_text(doc, STR("ip"), w->ip, sizeof(w->ip));
    doc_text(doc, STR("how"), w->how, sizeof(w->how));
    return 0;
}

static int
window_put(struct command *command, struct window *w)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_bool(&doc.jw, "rest", w->rest);
    jw_key_u64(&doc.jw, "person", w->person_id);
    jw_key_u64(&doc.jw, "tenant", w->tenant_id);
    jw_key_u64(&doc.jw, "count", w->count);
    jw_key_u64(&doc.jw, "told", w->told);
    jw_key_i64(&doc.jw, "since_us", w->since_us);
    jw_key_cstr(&doc.jw, "ip", w->ip);
    jw_key_cstr(&doc.jw, "how", w->how);
    return brief_put(&command->txn, &w->brief, w->brief.expires_us, &doc);
}

static int
rest_get(struct command *command, struct window *w)
{
    *w = window_of(command, "sign-in-rest", STR(""), STR(""));
    w->rest = true;
    return window_get(command, w);
}

/* Whether the log may have one entry more in this hour; it is counted. */
static int
entry_take(struct command *command, bool *taken)
{
    struct brief bound = {.table = DB_SIGNIN, .kind = BRIEF_BOUND};
    int64_t now_us = ledger_wall_us(command->ledger), until_us = now_us + HOUR_US;
    uint32_t count = 0;
    struct js_value was;
    struct doc doc;
    int rc;

    *taken = false;
    brief_name(command->ledger->key_hash_key, "sign-in-entries", STR(""), STR(""), bound.hash);
    rc = brief_get(&command->txn, &bound, now_us, &was);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) {
        count = doc_u32(was, STR("count"));
        until_us = bound.expires_us;
    }
    if (count >= ENTRIES_MAX)
        return 0;
    *taken = true;
    doc_start(&doc);
    jw_key_u64(&doc.jw, "count", count + 1);
    return brief_put(&command->txn, &bound, until_us, &doc);
}

/* ---- the entry ---- */

static int
tell(struct command *command, struct window *w, int64_t locked_us)
{
    struct person p = {0};
    struct jw *jw;
    int rc = w->person_id != 0 ? person_get(&command->txn, w->person_id, &p) : 0;

    if (rc < 0)
        return rc;
    command_event(command, locked_us != 0 ? "login.locked" : "login.failed");
    if (w->person_id != 0) {
        command_target(command, "person", w->person_id, w->tenant_id);
        command_target_name(command, str_from(p.email));
    }
    jw = command_after(command);
    jw_key_bool(jw, "account", w->person_id != 0);
    if (w->rest)
        jw_key_bool(jw, "rest", true);
    jw_key_u64(jw, "count", w->count);
    jw_key_time(jw, "since", w->since_us);
    if (!w->rest)
        jw_key_cstr(jw, "how", w->how);
    if (locked_us != 0)
        jw_key_time(jw, "locked_until", locked_us);
    w->told = w->count;
    return 0;
}

/* ---- one failure ---- */

static struct str
network_of(struct str ip, char room[64])
{
    uint8_t address[16];

    str_copy(ip, room, 64);
    if (inet_pton(AF_INET6, room, address) != 1)
        return str_from(room);
    memset(address + 8, 0, 8);
    return inet_ntop(AF_INET6, address, room, 64) != NULL ? str_from(room) : ip;
}

/* Of the arguments "person" or "email": id 0 when nobody has that, or neither is told. */
static int
whose(struct command *command, struct person *p)
{
    char email[ENTITY_EMAIL_MAX + 1];
    int rc;

    *p = (struct person){0};
    if (command_has(command, "person"))
        return command_person(command, "person", p);
    if (!command_has(command, "email") || !command_email(command, "email", true, email))
        return 0;
    rc = person_find(&command->txn, str_from(email), p);
    if (rc == -ENOENT || (rc == 0 && p->removed)) {
        *p = (struct person){0};
        rc = 0;
    }
    return rc;
}

static int
count_failure(struct command *command, const struct person *p, struct str how)
{
    char room[64], id[16];
    struct str account = {id, (size_t)snprintf(id, sizeof(id), "%u", p->id)};
    struct window w = window_of(command, "sign-in", account, network_of(command->actor.ip, room));
    int64_t locked_us = 0;
    bool told = false;
    int rc = window_get(command, &w);

    if (rc == 0 && p->id != 0 && (str_eq(how, STR("password")) || str_eq(how, STR("second-factor"))))
        rc = command_locked_until(command, p->email, &locked_us);
    if (rc == 0 && w.count == 0 && db_size(&command->txn, DB_SIGNIN).entries >= 2 * WINDOWS_MAX)
        rc = rest_get(command, &w);
    if (rc < 0)
        return rc;
    if (!w.rest) {
        w.person_id = p->id;
        w.tenant_id = p->tenant_id;
        str_copy(command->actor.ip, w.ip, sizeof(w.ip));
        str_copy(how, w.how, sizeof(w.how));
    }
    w.count++;
    if (w.rest)
        told = w.told == 0;
    else if (w.told == 0 || locked_us != 0)
        rc = entry_take(command, &told);
    if (rc == 0 && told)
        rc = tell(command, &w, w.rest ? 0 : locked_us);
    command->silent = !told;
    command->changed = true;
    return rc < 0 ? rc : window_put(command, &w);
}

/* Of whoever asks, for an account or an address that may be nobody's: the answer is the same. */
static int
login_failed(struct command *command)
{
    static const char *const hows[] = {"password", "locked", "disabled", "second-factor", "code", "provider"};
    struct person p;
    struct str how;
    size_t i = 0;
    int rc;

    if (!command_str(command, "how", true, &how))
        return 0;
    while (i < COUNT_OF(hows) && !str_eq(how, str_from(hows[i])))
        i++;
    if (i == COUNT_OF(hows)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "how", "nobody fails so");
        command_hint(command, "one of password, locked, disabled, second-factor, code, provider");
        return 0;
    }
    rc = whose(command, &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    return count_failure(command, &p, how);
}

/* ---- at the hour's end ---- */

static int
add_to_rest(struct command *command, const struct window *w)
{
    struct window rest;
    int rc = rest_get(command, &rest);

    rest.count += w->count - w->told;
    return rc < 0 ? rc : window_put(command, &rest);
}

/* *told: the command has its entry. */
static int
close_window(struct command *command, struct window *w, bool *told)
{
    char *ip = arena_copy(&command->arena, str_from(w->ip));
    bool may = w->rest;
    int rc = 0;

    *told = false;
    if (w->count > w->told) {
        if (!may)
            rc = entry_take(command, &may);
        if (rc == 0 && may)
            rc = tell(command, w, 0);
        else if (rc == 0)
            rc = add_to_rest(command, w);
        *told = may;
        if (ip != NULL)
            command->actor.ip = (struct str){ip, strlen(ip)};
    }
    return rc < 0 ? rc : brief_drop(&command->txn, &w->brief);
}

/* What is over: drops it, until there is something to tell. "more": it is to be asked again. */
static int
login_tidy(struct command *command)
{
    struct brief over[BRIEF_SWEEP];
    bool told = false;
    unsigned count, i = 0;
    int rc = brief_over(&command->txn, DB_SIGNIN, ledger_wall_us(command->ledger), over, &count);

    for (; rc == 0 && i < count && !told; i++) {
        struct window w = {.brief = over[i]};

        command->changed = true;
        if (over[i].kind == BRIEF_WINDOW)
            rc = window_get(command, &w);
        if (rc == 0)
            rc = close_window(command, &w, &told);
    }
    command->silent = !told;
    jw_key_bool(&command->jw, "more", told || count == BRIEF_SWEEP);
    return rc;
}

const struct command_def command_failed_defs[] = {
    {.name = "login.failed", .kind = COMMAND_WRITE, .run = login_failed},
    {.name = "login.tidy", .kind = COMMAND_WRITE, .run = login_tidy},
    {.name = NULL},
};
